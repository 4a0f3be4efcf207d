//! Which of the fragments that are listed count.
//!
//! The ingester writes a fragment after a batch is acknowledged and *then* commits the range of the file that the batch
//! covers. When it is killed in between, its successor (a new epoch) sends the same rows again and writes another
//! fragment of them. Only one of the two is in a range that its own epoch committed, and committed ranges never
//! overlap. So each row counts once. The other is garbage and ages out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::format::{self, Unreadable};
use crate::fragment::{FragmentName, Origin};
use crate::id::{Epoch, StreamId};
use crate::position::ByteRange;

/// A stretch of a file, `[from, to)` in decompressed bytes, settled by the owner of one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedRange {
    /// Whose work it is.
    pub epoch: Epoch,
    /// Its bytes.
    #[serde(flatten)]
    pub range: ByteRange,
}

impl CommittedRange {
    /// True if the owner of `epoch` has committed all of `range` in this one.
    #[must_use]
    pub fn covers(&self, epoch: Epoch, range: ByteRange) -> bool {
        self.epoch == epoch && self.range.covers(range)
    }
}

/// The part of a checkpoint or a ledger that is read here: both say which ranges are committed.
#[derive(Deserialize)]
struct Ranges {
    committed: Vec<CommittedRange>,
}

/// The committed ranges of the files that fragments came from.
#[derive(Clone, Debug, Default)]
pub struct Committed(BTreeMap<StreamId, Vec<CommittedRange>>);

impl Committed {
    /// Reads the ranges out of a file's checkpoint.
    ///
    /// The way of reading does not matter here, because the accepted rows are in the fragments.
    ///
    /// # Errors
    /// If it is not a checkpoint, or its format is unknown to this version.
    pub fn add_checkpoint(&mut self, stream: StreamId, json: &[u8]) -> Result<(), Unreadable> {
        self.add(stream, format::CHECKPOINT.read(json)?);
        Ok(())
    }

    /// Reads the ranges out of a file's ledger.
    ///
    /// # Errors
    /// If it is not a ledger, or its format is unknown to this version.
    pub fn add_ledger(&mut self, stream: StreamId, json: &[u8]) -> Result<(), Unreadable> {
        self.add(stream, format::LEDGER.read(json)?);
        Ok(())
    }

    fn add(&mut self, stream: StreamId, ranges: Ranges) {
        self.0.insert(stream, ranges.committed);
    }

    /// True if the events of this fragment count: a committed range of its epoch covers it, or the receiver wrote it.
    ///
    /// A file that nothing is known of has committed nothing yet.
    pub fn count(&self, name: &FragmentName) -> bool {
        match &name.origin {
            Origin::Request { .. } => true,
            Origin::File { stream, epoch, range } => {
                let covers = |committed: &CommittedRange| committed.covers(*epoch, *range);
                self.0.get(stream).is_some_and(|ranges| ranges.iter().any(covers))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const STREAM: &str = "00112233445566778899aabbccddeeff";

    fn streams(committed: &[(u32, u64, u64)]) -> Committed {
        let ranges: Vec<_> =
            committed.iter().map(|(epoch, from, to)| json!({"epoch": epoch, "from": from, "to": to})).collect();
        let account = json!({"format": 1, "sequence": 4, "committed": ranges, "rows": {"read": 7}}).to_string();
        let mut streams = Committed::default();
        streams.add_checkpoint(STREAM.parse().unwrap(), account.as_bytes()).unwrap();
        streams
    }

    fn fragment(epoch: u32, from: u64, to: u64) -> FragmentName {
        format!("received/s/0/file.{STREAM}.{epoch}.{from}-{to}.1.20.00000000.gz").parse().unwrap()
    }

    #[test]
    fn a_fragment_counts_when_one_range_of_its_epoch_covers_it() {
        let streams = streams(&[(0, 0, 100), (0, 100, 200), (1, 200, 300)]);
        let check = |epoch, from, to, expected| {
            assert_eq!(streams.count(&fragment(epoch, from, to)), expected, "{epoch}: {from}-{to}");
        };
        check(0, 0, 100, true);
        check(0, 10, 90, true);
        check(0, 100, 200, true);
        check(1, 200, 300, true);
        // Two ranges together: no batch was ever committed in two pieces.
        check(0, 50, 150, false);
        // Sent again by the next owner, or sent by the owner before and never committed.
        check(1, 0, 100, false);
        check(0, 200, 300, false);
        check(1, 200, 301, false);
    }

    #[test]
    fn a_fragment_of_an_unknown_file_waits() {
        assert!(!Committed::default().count(&fragment(0, 0, 1)));
    }

    #[test]
    fn a_fragment_of_the_receiver_always_counts() {
        let name = "received/s/0/request.r-1.1.20.00000000.gz".parse().unwrap();
        assert!(Committed::default().count(&name));
    }

    #[test]
    fn a_checkpoint_or_ledger_without_ranges_is_refused() {
        let (mut committed, stream) = (Committed::default(), STREAM.parse().unwrap());
        for json in ["{}", "", r#"{"format": 1}"#] {
            assert!(committed.add_checkpoint(stream, json.as_bytes()).is_err());
            assert!(committed.add_ledger(stream, json.as_bytes()).is_err());
        }
    }

    #[test]
    fn an_account_of_a_newer_version_is_refused_and_one_from_before_there_were_numbers_is_read() {
        let (mut committed, stream) = (Committed::default(), STREAM.parse().unwrap());
        let newer = br#"{"format": 9, "committed": []}"#;
        for error in [committed.add_checkpoint(stream, newer), committed.add_ledger(stream, newer)] {
            assert!(matches!(error, Err(Unreadable::Format(_))), "{error:?}");
        }
        assert!(committed.add_ledger(stream, br#"{"committed": []}"#).is_ok());
    }

    #[test]
    fn accepted_rows_count_for_every_way_of_reading() {
        let mut committed = Committed::default();
        let json = br#"{"format": 1, "reading_format": 9, "committed": [{"epoch": 0, "from": 0, "to": 10}]}"#;
        committed.add_checkpoint(STREAM.parse().unwrap(), json).unwrap();
        assert!(committed.count(&fragment(0, 0, 10)));
    }

    proptest! {
        /// A history of owners: each sends batches, commits after some of them, and is killed
        /// after having sent one batch more. Every byte that is committed counts exactly once.
        #[test]
        fn each_committed_byte_counts_once(
            history in prop::collection::vec((prop::collection::vec((1u64..50, any::<bool>()), 0..6), 0u64..50), 1..6),
        ) {
            let (mut committed, mut fragments, mut settled) = (Vec::new(), Vec::new(), 0);
            for (epoch, (batches, sent_and_lost)) in (0u32..).zip(&history) {
                let mut at = settled;
                for (len, commits) in batches {
                    fragments.push((epoch, at, at + len));
                    at += len;
                    if *commits {
                        committed.push((epoch, settled, at));
                        settled = at;
                    }
                }
                if *sent_and_lost > 0 {
                    fragments.push((epoch, at, at + sent_and_lost));
                }
            }
            let streams = streams(&committed);
            let mut counted: Vec<_> =
                fragments.into_iter().filter(|(epoch, from, to)| streams.count(&fragment(*epoch, *from, *to))).collect();
            counted.sort_by_key(|(_, from, _)| *from);
            let mut next = 0;
            for (_, from, to) in counted {
                prop_assert_eq!(from, next);
                next = to;
            }
            prop_assert_eq!(next, settled);
        }
    }
}
