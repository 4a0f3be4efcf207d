//! What rows cost at AWS, by item, in list prices.
//!
//! The counts follow from how the functions work: a fragment for some requests, a commit every few seconds, a range of
//! 2 MiB for each read. CPU time is measured (`docs/performance.md`).

use crate::prices::{LAMBDA_GB_SECOND, LAMBDA_GB_SECOND_ARM, LAMBDA_INVOCATION, LOGS_GB, S3_GET, S3_PUT, SQS_REQUEST};
use crate::run::{COMMIT_ROWS, FRAGMENT_BATCHES, RANGE_BYTES};

/// "At 1,769 MB, a function has the equivalent of one vCPU" (Lambda developer guide, "Configure Lambda function memory").
pub const MEMORY_MB_PER_CPU: u32 = 1_769;

/// CPU time of a row that is sent compressed and kept: twice what is measured without TLS on a current CPU.
const ROW_CPU_SECONDS: f64 = 3.2e-6;
/// The time of an invocation beside its rows.
const FILE_SECONDS: f64 = 1.0;
/// The working time of an invocation: Lambda's 15 minutes without the time to end.
const INVOCATION_SECONDS: f64 = 14.0 * 60.0;
/// The default of `COMMIT_SECONDS`.
pub const COMMIT_SECONDS: f64 = 10.0;
/// Requests to S3 for one file beside its rows: reads, and puts of checkpoint, ledger, rejects and outcome.
const FILE_GETS: f64 = 6.0;
const FILE_PUTS: f64 = 7.0;
/// A message is sent, received and deleted.
const MESSAGE_REQUESTS: f64 = 3.0;
/// What an invocation writes, with Lambda's own lines.
const INVOCATION_LOG_GB: f64 = 6e-6;
/// The exporter's time for a row, with 512 MB; and its puts for a row: objects, plans, markers and heads.
const EXPORTED_ROW_SECONDS: f64 = 6e-6;
const EXPORTED_ROW_PUTS: f64 = 20e-6;

/// The processor of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processor {
    /// `x86_64`
    X86,
    /// `arm64`
    Arm,
}

/// The rows, and how they are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// Rows of all files.
    pub rows: f64,
    /// Files.
    pub files: f64,
    /// Bytes of the files, as stored.
    pub stored_bytes: f64,
    /// Requests to Segment.
    pub requests: f64,
    /// Calls a second of one ingester; 0 is no limit.
    pub events_per_second: u32,
    /// The memory of the function in MB.
    pub memory_mb: u32,
    /// Its processor.
    pub processor: Processor,
    /// Whether accepted calls are kept and exported.
    pub keeps: bool,
}

/// Dollars by item, without traffic and without Segment's own price.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bill {
    /// Time of the ingester: GB-seconds.
    pub time: f64,
    /// Its invocations and their messages in the queue.
    pub invocations: f64,
    /// Puts of fragments.
    pub fragments: f64,
    /// Puts of checkpoints.
    pub commits: f64,
    /// Other requests to S3: reads of the file, its ledger, its outcome.
    pub files: f64,
    /// Lines of the log.
    pub logs: f64,
    /// The exporter: its time, its gets of fragments, its puts.
    pub export: f64,
}

impl Work {
    /// Rows a second: as the limit says, or as fast as the share of a CPU allows.
    #[must_use]
    pub fn rows_per_second(&self) -> f64 {
        let possible =
            f64::from(self.memory_mb.min(MEMORY_MB_PER_CPU)) / f64::from(MEMORY_MB_PER_CPU) / ROW_CPU_SECONDS;
        match self.events_per_second {
            0 => possible,
            limit => possible.min(f64::from(limit)),
        }
    }

    /// Seconds that all invocations take together.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.rows / self.rows_per_second() + self.files * FILE_SECONDS
    }

    /// The puts of fragments. Each has the calls of some requests. It waits for them until the next commit, or until the
    /// end of the file.
    #[expect(clippy::cast_precision_loss, reason = "a constant of two digits")]
    fn fragments(&self, commits: f64) -> f64 {
        let (waits, requests) = (commits.max(self.files), self.requests.max(self.files));
        if waits <= 0.0 {
            return 0.0;
        }
        // Some waits see one request more than others.
        let (fewer, share_of_more) = ((requests / waits).floor(), (requests / waits).fract());
        let joined = |requests: f64| (requests / FRAGMENT_BATCHES as f64).ceil();
        waits * (joined(fewer) * (1.0 - share_of_more) + joined(fewer + 1.0) * share_of_more)
    }

    /// The bill.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "constants of a few digits")]
    pub fn bill(&self) -> Bill {
        let gb_second = match self.processor {
            Processor::X86 => LAMBDA_GB_SECOND,
            Processor::Arm => LAMBDA_GB_SECOND_ARM,
        };
        let gigabytes = |memory_mb: f64| memory_mb / 1_024.0;
        let invocations = (self.seconds() / INVOCATION_SECONDS).max(self.files);
        let intervals = self.rows / (self.rows_per_second() * COMMIT_SECONDS);
        let commits = intervals.max(self.rows / COMMIT_ROWS as f64);
        let gets = self.stored_bytes / RANGE_BYTES as f64 + self.files * FILE_GETS;
        let fragments = if self.keeps { self.fragments(commits) } else { 0.0 };
        let exported_rows = if self.keeps { self.rows } else { 0.0 };
        Bill {
            time: self.seconds() * gigabytes(f64::from(self.memory_mb)) * gb_second,
            invocations: invocations * (LAMBDA_INVOCATION + MESSAGE_REQUESTS * SQS_REQUEST),
            fragments: fragments * S3_PUT,
            commits: commits * S3_PUT,
            files: gets * S3_GET + self.files * FILE_PUTS * S3_PUT,
            logs: invocations * INVOCATION_LOG_GB * LOGS_GB,
            export: fragments * S3_GET
                + exported_rows * EXPORTED_ROW_PUTS * S3_PUT
                + exported_rows * EXPORTED_ROW_SECONDS * gigabytes(512.0) * gb_second,
        }
    }
}

impl Bill {
    /// All items.
    #[must_use]
    pub fn total(&self) -> f64 {
        let Self { time, invocations, fragments, commits, files, logs, export } = self;
        time + invocations + fragments + commits + files + logs + export
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A million rows of 152 bytes, as `docs/cost.md` has them.
    const MILLION: Work = Work {
        rows: 1e6,
        files: 1.0,
        stored_bytes: 152e6,
        requests: 855.0,
        events_per_second: 0,
        memory_mb: 512,
        processor: Processor::X86,
        keeps: true,
    };

    #[test]
    fn a_million_rows_cost_less_than_a_cent_even_if_a_limit_on_the_rate_makes_the_function_wait() {
        let unpaced = MILLION.bill();
        assert!((0.000_5..0.001).contains(&unpaced.total()), "{unpaced:?}");
        let paced = Work { events_per_second: 1_000, ..MILLION };
        // 1,001 seconds of half a GB.
        assert!((0.0083..0.0084).contains(&paced.bill().time), "{:?}", paced.bill());
        assert!((0.009..0.010).contains(&paced.bill().total()), "{:?}", paced.bill());
        let small = Work { memory_mb: 128, ..paced };
        assert!(small.bill().total() < 0.005, "{:?}", small.bill());
        let arm = Work { processor: Processor::Arm, ..paced };
        assert!(arm.bill().total() < paced.bill().total());
    }

    #[test]
    fn a_fragment_has_the_calls_of_ten_requests_and_waits_no_longer_than_a_commit_or_its_file() {
        let puts = |work: Work| (work.bill().fragments / S3_PUT).round();
        // Twenty commits of 42 or 43 requests.
        assert_eq!(puts(MILLION), 100.0);
        // Eight or nine requests in ten seconds.
        assert_eq!(puts(Work { events_per_second: 1_000, ..MILLION }), 100.0);
        // Less than one.
        assert_eq!(puts(Work { events_per_second: 100, ..MILLION }), 855.0);
        assert_eq!(puts(Work { files: 100_000.0, rows: 100_000.0, requests: 72.0, ..MILLION }), 100_000.0);
    }

    #[test]
    fn rows_that_are_not_kept_cost_no_fragments_and_no_export() {
        let bill = Work { keeps: false, ..MILLION }.bill();
        assert_eq!((bill.fragments, bill.export), (0.0, 0.0));
    }

    #[test]
    fn a_slow_cpu_is_a_limit_on_the_rate_too() {
        let small = Work { memory_mb: 128, events_per_second: 100_000, ..MILLION };
        assert!((22_000.0..23_000.0).contains(&small.rows_per_second()), "{}", small.rows_per_second());
        assert_eq!(Work { events_per_second: 1_000, ..MILLION }.rows_per_second(), 1_000.0);
    }
}
