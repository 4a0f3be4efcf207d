//! Batches whose calls are accepted, until their fragment is written.
//!
//! A fragment holds several batches, because S3 asks a price for each put, and the exporter gets each fragment. It waits
//! for them until the next commit is due at the latest. So a kill repeats no more rows than without it.
//!
//! Each batch is compressed as soon as it is accepted: its JSON, most of its memory, is then freed.

use super::Step;
use calls::batches::Batch;
use calls::pipeline::RefusedCall;
use protocol::id::Day;
use protocol::position::ByteRange;
use std::collections::{BTreeMap, VecDeque};

/// Batches of a fragment at most: 5 MB of calls, compressed about 1 MB. At 1,000 rows a second ten seconds have not quite
/// nine batches, so that each commit has one fragment.
pub const FRAGMENT_BATCHES: usize = 10;
/// So many batches may wait or be written before the next request begins, since they are in memory. The requests under way
/// come on top. While a fragment is written, the first batches of the next one gather.
const GATHERED_BATCHES_MAX: usize = FRAGMENT_BATCHES + 2;

/// A batch with accepted calls that the exporter wants.
#[derive(Debug)]
pub struct Accepted {
    /// The batch.
    pub batch: Box<Batch>,
    /// Its refused calls, in the order of the rows.
    pub refused_calls: Vec<RefusedCall>,
    /// When Segment accepted the last of the others, in ms since the epoch.
    pub at_ms: i64,
}

/// The accepted batches of a run.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Those that are to be compressed.
    raw: VecDeque<Accepted>,
    /// Those that are compressed, by number: in the order of the rows.
    waiting: BTreeMap<u64, Accepted>,
    /// Fragments by the number of their first batch, and those that are not begun.
    closed: BTreeMap<u64, Vec<Accepted>>,
    ready: VecDeque<u64>,
}

impl Gathered {
    /// Adds a batch.
    pub(super) fn add(&mut self, mut accepted: Accepted) {
        let Accepted { batch, refused_calls, .. } = &mut accepted;
        if batch.refused.is_empty() && refused_calls.is_empty() {
            // Only refused rows are written as they stood in the file.
            batch.records = Vec::new();
        }
        self.raw.push_back(accepted);
    }

    pub(super) fn is_compressing(&self) -> bool {
        !self.raw.is_empty()
    }

    /// The next batch to compress.
    pub(super) fn to_compress(&self) -> Option<&Accepted> {
        self.raw.front()
    }

    /// Frees most memory of the batch that was compressed: only refused calls are needed once more. Makes a fragment of it
    /// and its neighbours if they are as many as a fragment may have.
    pub(super) fn compressed(&mut self) {
        let Some(mut accepted) = self.raw.pop_front() else { return };
        if accepted.refused_calls.is_empty() {
            accepted.batch.forget_calls();
        } else {
            accepted.batch.body = Vec::new();
        }
        self.waiting.insert(accepted.batch.number, accepted);
        let full = self.runs().into_iter().find(|run| run.len() >= FRAGMENT_BATCHES);
        if let Some(run) = full {
            self.close_run(&run);
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether a fragment is being written.
    pub(super) fn is_writing(&self) -> bool {
        !self.closed.is_empty()
    }

    /// Whether a batch is to be compressed, or a fragment to be written.
    pub(super) fn is_working(&self) -> bool {
        !self.raw.is_empty() || !self.closed.is_empty()
    }

    /// The rows of all batches.
    pub(super) fn rows(&self) -> u64 {
        let all = self.raw.iter().chain(self.waiting.values()).chain(self.closed.values().flatten());
        all.map(|accepted| accepted.batch.rows()).sum()
    }

    /// Whether another batch may be sent.
    pub(super) fn has_room(&self) -> bool {
        self.raw.len() + self.waiting.len() + self.closed.values().map(Vec::len).sum::<usize>() < GATHERED_BATCHES_MAX
    }

    /// Makes fragments of all that waits.
    pub(super) fn close(&mut self) {
        for run in self.runs() {
            self.close_run(&run);
        }
    }

    /// The waiting batches, by their numbers, in runs that may share a fragment: the rows of one range, received on one day.
    fn runs(&self) -> Vec<Vec<u64>> {
        let all: Vec<&Accepted> = self.waiting.values().collect();
        let shares = |one: &&Accepted, next: &&Accepted| {
            one.batch.to == next.batch.from && Day::of(one.at_ms) == Day::of(next.at_ms)
        };
        let runs = all.chunk_by(shares);
        runs.map(|run| run.iter().map(|accepted| accepted.batch.number).collect()).collect()
    }

    fn close_run(&mut self, run: &[u64]) {
        let batches: Vec<Accepted> = run.iter().filter_map(|number| self.waiting.remove(number)).collect();
        if let Some(first) = run.first() {
            self.closed.insert(*first, batches);
            self.ready.push_back(*first);
        }
    }

    /// The number of the next fragment to write.
    pub(super) fn next(&mut self) -> Option<u64> {
        self.ready.pop_front()
    }

    /// The step that writes a fragment.
    pub(super) fn keep(&self, fragment: u64) -> Option<Step<'_>> {
        let batches = self.closed.get(&fragment)?;
        let (first, last) = (batches.first()?, batches.last()?);
        let range = ByteRange { from: first.batch.from, to: last.batch.to };
        Some(Step::Keep { fragment, range, day: Day::of(first.at_ms), batches })
    }

    /// Takes the batches of a fragment that is written, or failed.
    pub(super) fn take(&mut self, number: u64) -> Option<Vec<Accepted>> {
        self.closed.remove(&number)
    }

    /// Forgets them all: the next run sends them again.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(number: u64, at_ms: i64) -> Accepted {
        let batch = Batch { number, from: number * 10, to: number * 10 + 10, ..Batch::default() };
        Accepted { batch: Box::new(batch), refused_calls: Vec::new(), at_ms }
    }

    /// Adds a batch and compresses it.
    fn gather(gathered: &mut Gathered, number: u64, at_ms: i64) {
        gathered.add(accepted(number, at_ms));
        gathered.compressed();
    }

    fn fragments(gathered: &mut Gathered) -> Vec<Vec<u64>> {
        gathered.close();
        let mut all = Vec::new();
        while let Some(number) = gathered.next() {
            let Some(Step::Keep { range, batches, .. }) = gathered.keep(number) else { panic!("{number}") };
            let numbers: Vec<u64> = batches.iter().map(|one| one.batch.number).collect();
            assert_eq!((range.from, range.to), (numbers[0] * 10, numbers[numbers.len() - 1] * 10 + 10));
            all.push(numbers);
        }
        all
    }

    #[test]
    fn a_fragment_has_batches_without_a_gap_and_of_one_day() {
        let mut gathered = Gathered::default();
        // In the order of their answers: batch 2 has none yet.
        for number in [3, 0, 1, 4] {
            gather(&mut gathered, number, 0);
        }
        assert_eq!(fragments(&mut gathered), [vec![0, 1], vec![3, 4]]);
        gather(&mut gathered, 5, 86_399_999);
        gather(&mut gathered, 6, 86_400_000);
        assert_eq!(fragments(&mut gathered), [[5], [6]]);
        assert_eq!(gathered.take(0).unwrap().len(), 2);
        assert!(gathered.is_working() && !gathered.is_waiting());
    }

    #[test]
    fn as_many_neighbours_as_a_fragment_has_are_one_at_once_and_others_wait_for_theirs() {
        let mut gathered = Gathered::default();
        for number in [0].into_iter().chain(2..11) {
            gather(&mut gathered, number, 0);
            assert_eq!(gathered.next(), None);
        }
        gather(&mut gathered, 11, 0);
        assert_eq!((gathered.next(), gathered.take(2).unwrap().len(), gathered.waiting.len()), (Some(2), 10, 1));
    }

    #[test]
    fn no_more_batches_are_sent_while_many_are_in_memory() {
        let mut gathered = Gathered::default();
        for number in 0..12 {
            assert!(gathered.has_room());
            gathered.add(accepted(number, 0));
        }
        assert!(!gathered.has_room());
        (0..12).for_each(|_| gathered.compressed());
        assert!(!gathered.has_room());
        gathered.take(0);
        assert!(gathered.has_room());
    }

    #[test]
    fn rows_as_they_stood_are_kept_only_beside_refused_rows() {
        let mut gathered = Gathered::default();
        let mut sound = accepted(0, 0);
        sound.batch.records = vec![1];
        let mut doubtful = accepted(1, 0);
        doubtful.batch.records = vec![1];
        doubtful.refused_calls.push(RefusedCall { call: 0, code: "c", message: String::new() });
        gathered.add(sound);
        gathered.add(doubtful);
        let records: Vec<usize> = gathered.raw.iter().map(|accepted| accepted.batch.records.len()).collect();
        assert_eq!(records, [0, 1]);
    }
}
