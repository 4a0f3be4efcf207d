//! Follows a file that was put to its end: rows from its checkpoints, the end from the outcome index or its ledger.

use super::index::Index;
use super::words;
use crate::check::Usability;
use aws::bucket::Pin;
use aws::{Bucket, Fault};
use protocol::account::Account;
use protocol::checkpoint::{Checkpoint, Phase};
use protocol::format::{self, Unreadable};
use protocol::id::{SourceId, StreamId};
use protocol::keys;
use protocol::ledger::Ledger;
use protocol::outcome::{FileOutcome, Outcome};
use protocol::upload::Identity;

/// How one mapping reads the file, before anything is sent.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) mapping: Option<String>,
    /// The source that its calls go to, if it is known.
    pub(super) source: Option<SourceId>,
    pub(super) rows: u64,
}

/// A version of a file, on its way.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) pin: Pin,
    readers: Vec<Reader>,
    before: Before,
    /// True once another version of the key has ended: the last outcome of the key may not be that of this version.
    is_shared: bool,
}

/// What was known of the key before it was put.
#[derive(Debug, Default)]
pub(super) struct Before {
    outcomes: Vec<FileOutcome>,
    /// The outcomes of this version are later than this, by the clock of AWS.
    since_ms: i64,
}

impl Before {
    /// Asks the index.
    ///
    /// # Errors
    /// When the state bucket does not answer, or refuses.
    pub(super) async fn of(index: &Index, bucket: &str, key: &str) -> anyhow::Result<Before> {
        let since_ms = index.now_at_the_earliest_ms();
        let mut outcomes = index.of_file(bucket, key).await?;
        outcomes.extend(index.of_file_since(bucket, key, since_ms).await?);
        Ok(Before { outcomes, since_ms })
    }
}

/// The file, as one mapping reads it.
#[derive(Debug)]
struct Reader {
    expected: Expected,
    /// Names its checkpoint. Without the source it cannot be known before the end.
    stream: Option<StreamId>,
    settled: Account,
    /// Its ledger, once that is there. The outcome follows at once, unless the run that ended the file was killed.
    ledger: Option<Box<Ledger>>,
    end: Option<FileOutcome>,
}

impl Followed {
    /// Follows the version that `pin` identifies.
    pub(super) fn new(bucket: &str, key: &str, pin: Pin, expected: &[Expected], before: Before) -> Followed {
        let reader = |expected: &Expected| {
            let stream = |source| stream_of(bucket, key, &pin, source, expected.mapping.clone());
            let stream = expected.source.as_ref().map(stream);
            Reader { expected: expected.clone(), stream, settled: Account::default(), ledger: None, end: None }
        };
        let readers = expected.iter().map(reader).collect();
        Followed { bucket: bucket.to_owned(), key: key.to_owned(), pin, readers, before, is_shared: false }
    }

    /// Rows that are settled, and rows in all.
    pub(super) fn rows(&self) -> (u64, u64) {
        let settled = |reader: &Reader| reader.end.as_ref().map_or(reader.settled.rows, |end| end.account.rows);
        let all = |reader: &Reader| reader.expected.rows.max(settled(reader));
        (self.readers.iter().map(settled).sum(), self.readers.iter().map(all).sum())
    }

    pub(super) fn has_ended(&self) -> bool {
        self.readers.iter().all(|reader| reader.end.is_some())
    }

    /// How it ended: once for each mapping.
    pub(super) fn ends(&self) -> impl Iterator<Item = &FileOutcome> {
        self.readers.iter().filter_map(|reader| reader.end.as_ref())
    }

    /// The worst of its ends.
    pub(super) fn usability(&self) -> Usability {
        self.ends().map(words::usability).max().unwrap_or(Usability::Sound)
    }

    /// Asks how it stands.
    ///
    /// # Errors
    /// When the state bucket does not answer, or refuses.
    pub(super) async fn ask(&mut self, state: &Bucket, index: &Index) -> anyhow::Result<()> {
        let known = index.of_file(&self.bucket, &self.key).await?;
        self.take_all(known, state).await?;
        if self.is_shared && !self.has_ended() {
            let all = index.of_file_since(&self.bucket, &self.key, self.before.since_ms).await?;
            self.take_all(all, state).await?;
        }
        for reader in self.readers.iter_mut().filter(|reader| reader.end.is_none()) {
            reader.ask(state).await?;
        }
        Ok(())
    }

    async fn take_all(&mut self, outcomes: Vec<FileOutcome>, state: &Bucket) -> anyhow::Result<()> {
        for outcome in outcomes {
            if self.before.outcomes.contains(&outcome) {
                continue;
            }
            match self.is_of_this_version(state, &outcome).await? {
                true => self.take(outcome),
                false => self.is_shared = true,
            }
        }
        Ok(())
    }

    /// True if an outcome is about the version that was put. One without a stream is about a file that was not read: it is
    /// new, so the event of this version caused it.
    async fn is_of_this_version(&self, state: &Bucket, outcome: &FileOutcome) -> anyhow::Result<bool> {
        let Some(stream) = outcome.stream else { return Ok(true) };
        if self.readers.iter().any(|reader| reader.stream == Some(stream)) {
            return Ok(true);
        }
        let found = checkpoint(state, stream).await?;
        Ok(found.is_some_and(|found| found.object.replay.is_none() && is_same(&found.object, &self.pin)))
    }

    fn take(&mut self, outcome: FileOutcome) {
        let is_open = |reader: &&mut Reader| reader.end.is_none();
        if outcome.mapping.is_none() && outcome.stream.is_none() {
            // The file was not read by any mapping.
            self.readers.iter_mut().filter(is_open).for_each(|reader| reader.end = Some(outcome.clone()));
            return;
        }
        let of_mapping = self.readers.iter().position(|reader| reader.expected.mapping == outcome.mapping);
        // Another configuration may be in force there than the one that it was checked by.
        let known = self.readers.iter().any(|reader| reader.end.as_ref() == Some(&outcome));
        let reader = match of_mapping {
            Some(at) => self.readers.get_mut(at),
            None if known => None,
            None => self.readers.iter_mut().find(|reader| reader.end.is_none()),
        };
        if let Some(reader) = reader {
            reader.end = Some(outcome);
        }
    }
}

impl Reader {
    /// Asks its checkpoint for the settled rows, and for the end.
    async fn ask(&mut self, state: &Bucket) -> anyhow::Result<()> {
        if let Some(ledger) = self.ledger.take() {
            self.end = Some(end_of(&ledger, state));
            return Ok(());
        }
        let Some(stream) = self.stream else { return Ok(()) };
        let Some(checkpoint) = checkpoint(state, stream).await? else { return Ok(()) };
        if checkpoint.phase.is_terminal() {
            self.ledger = ledger(state, stream).await?.map(Box::new);
        }
        self.settled = checkpoint.account;
        Ok(())
    }
}

/// The outcome that a ledger stands for.
fn end_of(ledger: &Ledger, state: &Bucket) -> FileOutcome {
    let at_ms = ledger.ended_at.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond).unwrap_or_default();
    FileOutcome {
        format: format::OUTCOME.newest,
        version: ledger.version.clone(),
        bucket: ledger.object.bucket.clone(),
        key: ledger.object.key.clone(),
        outcome: match ledger.ended {
            Phase::Stopped => Outcome::Stopped,
            Phase::Replaced => Outcome::Replaced,
            Phase::Finished | Phase::Running => Outcome::Finished,
        },
        reason: ledger.reason.clone(),
        code: ledger.code.clone(),
        source_id: Some(ledger.object.source_id.clone()),
        mapping: ledger.object.mapping.clone(),
        kind: Some(ledger.kind.clone()),
        collection: ledger.collection.clone(),
        stream: Some(ledger.stream),
        account: ledger.account.clone(),
        undelivered_from_line: ledger.undelivered_from_line,
        ledger: Some(state.target(&keys::ledger(ledger.stream))),
        rejects: ledger.rejects.as_ref().map(|key| state.target(key)),
        started: Some(ledger.started.clone()),
        at: ledger.ended_at.clone(),
        at_ms,
    }
}

fn is_same(object: &Identity, pin: &Pin) -> bool {
    let version = |id: &Option<String>| id.clone().filter(|id| id != "null");
    version(&object.version_id) == version(&pin.version_id) && object.etag == pin.etag
}

/// The stream of a version, as one mapping reads it.
pub(super) fn stream_of(bucket: &str, key: &str, pin: &Pin, source: &SourceId, mapping: Option<String>) -> StreamId {
    let identity = Identity {
        source_id: source.clone(),
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        version_id: pin.version_id.clone(),
        etag: pin.etag.clone(),
        modified_ms: pin.modified_ms,
        bytes: pin.bytes,
        replay: None,
        mapping,
    };
    identity.stream()
}

/// The checkpoint of a stream. One that a newer version wrote is an error.
pub(super) async fn checkpoint(state: &Bucket, stream: StreamId) -> Result<Option<Checkpoint>, Fault> {
    document(state, &keys::checkpoint(stream), Checkpoint::from_json).await
}

/// The ledger of a stream. One that a newer version wrote is an error.
pub(super) async fn ledger(state: &Bucket, stream: StreamId) -> Result<Option<Ledger>, Fault> {
    document(state, &keys::ledger(stream), Ledger::from_json).await
}

async fn document<T>(state: &Bucket, key: &str, read: fn(&[u8]) -> Result<T, Unreadable>) -> Result<Option<T>, Fault> {
    let Some(found) = state.get(key).await? else { return Ok(None) };
    read(&found.body).map(Some).map_err(|error| Fault::unreadable(state.target(key), error))
}

#[cfg(test)]
mod tests {
    use super::super::words::tests::outcome;
    use super::*;

    fn followed(mappings: &[Option<&str>]) -> Followed {
        let source = || Some("s".parse().unwrap());
        let expected: Vec<Expected> = mappings
            .iter()
            .map(|mapping| Expected { mapping: mapping.map(str::to_owned), source: source(), rows: 2_000 })
            .collect();
        let pin = Pin { version_id: Some("v".to_owned()), etag: "\"e\"".to_owned(), modified_ms: 1, bytes: 9 };
        Followed::new("inbox", "in/track 1.csv", pin, &expected, Before::default())
    }

    fn read_by(mapping: &str, rejected: u64) -> FileOutcome {
        let stream = Some(StreamId::new([7; 16]));
        FileOutcome { mapping: Some(mapping.to_owned()), stream, ..outcome(Outcome::Finished, rejected) }
    }

    #[test]
    fn a_file_has_ended_when_each_mapping_has_read_it() {
        let mut file = followed(&[Some("a"), Some("b")]);
        file.take(read_by("b", 12));
        assert!(!file.has_ended());
        assert_eq!(file.rows(), (2_000, 4_000));
        file.take(read_by("a", 0));
        assert!(file.has_ended());
        assert_eq!(file.usability(), Usability::RowsRefused);
    }

    #[test]
    fn a_file_that_no_mapping_reads_ends_as_a_whole() {
        let mut file = followed(&[Some("a"), Some("b")]);
        file.take(outcome(Outcome::Refused, 0));
        assert!(file.has_ended() && file.usability() == Usability::Unusable);
    }

    #[test]
    fn an_outcome_of_a_mapping_that_was_not_expected_counts_once() {
        let mut file = followed(&[Some("a"), Some("b")]);
        file.take(read_by("new", 0));
        file.take(read_by("new", 0));
        assert_eq!(file.ends().count(), 1);
    }

    #[test]
    fn the_stream_is_that_of_the_version_that_was_put() {
        let stream = followed(&[None]).readers[0].stream.unwrap();
        let identity = Identity {
            source_id: "s".parse().unwrap(),
            bucket: "inbox".to_owned(),
            key: "in/track 1.csv".to_owned(),
            version_id: Some("v".to_owned()),
            etag: "\"e\"".to_owned(),
            modified_ms: 1,
            bytes: 9,
            replay: None,
            mapping: None,
        };
        assert_eq!(identity.stream(), stream);
    }
}
