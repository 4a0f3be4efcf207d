//! What a backfill will take: rows, hours and money, in round figures.
//!
//! Sizes are all that a listing shows. So the figures are rough, and say their assumptions.

use crate::cost::{Processor, Work};
use crate::prices;
use protocol::backfill::Passed;
use serde::Serialize;

/// Bytes of a row of CSV.
const ROW_BYTES: f64 = 160.0;
/// A compressed file of CSV becomes so many times as large.
const INFLATION: f64 = 6.0;
/// Calls of a request, and bytes of a call as it is sent: about 400 bytes, compressed to a fifth (`docs/performance.md`).
const REQUEST_CALLS: f64 = 1_170.0;
const CALL_BYTES_SENT: f64 = 75.0;

/// How the files are going to be ingested.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Way {
    /// Calls a second of one ingester; 0 is no limit.
    pub events_per_second: u32,
    /// How many of them run at once.
    pub concurrency: u32,
    /// The memory of the function, in MB.
    pub memory_mb: u32,
}

/// The estimate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// Rows of all files.
    pub rows: u64,
    /// Messages of the queue: one for each file.
    pub messages: u64,
    /// Hours until the last file is done.
    pub hours: f64,
    /// Dollars at AWS, at list prices.
    pub dollars: f64,
    /// What the figures assume.
    pub assumes: String,
}

impl Estimate {
    /// For these objects.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "round figures")]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes are positive")]
    pub fn of(passed: &Passed, way: Way) -> Self {
        let plain = (passed.bytes - passed.compressed_bytes) as f64;
        let rows = (plain + passed.compressed_bytes as f64 * INFLATION) / ROW_BYTES;
        let files = passed.files as f64;
        let work = Work {
            rows,
            files,
            stored_bytes: passed.bytes as f64,
            requests: rows / REQUEST_CALLS,
            events_per_second: way.events_per_second,
            memory_mb: way.memory_mb,
            processor: Processor::X86,
            keeps: true,
        };
        let (pace, busy_seconds) = (work.rows_per_second(), work.seconds());
        let concurrency = f64::from(way.concurrency.max(1));
        let dollars = work.bill().total() + rows * CALL_BYTES_SENT / 1e9 * prices::GB_OUT;
        Self {
            rows: rows as u64,
            messages: passed.files,
            hours: rounded(busy_seconds / concurrency / 3_600.0),
            dollars: rounded(dollars),
            assumes: format!(
                "{ROW_BYTES:.0} bytes a row, compressed files {INFLATION:.0} times as large, {pace:.0} rows a second in each \
                 of {concurrency:.0} ingesters of {} MB, list prices of us-east-1 of {}, {CALL_BYTES_SENT:.0} bytes a row to Segment through the internet, without \
                 Segment's own",
                way.memory_mb,
                prices::AS_OF
            ),
        }
    }
}

/// Two digits that count.
fn rounded(number: f64) -> f64 {
    if number <= 0.0 {
        return 0.0;
    }
    let unit = 10_f64.powf(number.log10().floor() - 1.0);
    let rounded = (number / unit).round() * unit;
    // The digits of a power of ten are not exact.
    format!("{rounded:.6}").parse().unwrap_or(rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAY: Way = Way { events_per_second: 500, concurrency: 2, memory_mb: 512 };

    #[test]
    fn the_pace_decides_about_large_files_and_their_number_about_small_ones() {
        let large = Passed { files: 10, bytes: 16_000_000_000, ..Passed::default() };
        let estimate = Estimate::of(&large, WAY);
        // 100 million rows, 1,000 a second.
        assert_eq!((estimate.rows, estimate.messages, estimate.hours), (100_000_000, 10, 28.0));
        let small = Passed { files: 100_000, bytes: 16_000_000, ..Passed::default() };
        let estimate = Estimate::of(&small, WAY);
        assert_eq!((estimate.rows, estimate.hours), (100_000, 14.0));
        // Puts alone are 700,000 at 5 dollars a million.
        assert!((4.0..6.0).contains(&estimate.dollars), "{estimate:?}");
    }

    #[test]
    fn compressed_files_have_more_rows_and_no_files_need_nothing() {
        let plain = Passed { files: 1, bytes: 1_600, ..Passed::default() };
        let compressed = Passed { compressed_bytes: 1_600, ..plain.clone() };
        assert_eq!((Estimate::of(&plain, WAY).rows, Estimate::of(&compressed, WAY).rows), (10, 60));
        let nothing = Estimate::of(&Passed::default(), Way { events_per_second: 0, ..WAY });
        assert_eq!((nothing.rows, nothing.hours, nothing.dollars), (0, 0.0, 0.0));
    }
}
