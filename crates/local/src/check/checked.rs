//! The result for a file.

use super::ids::Ids;
use super::preview::Preview;
use super::wire::Wire;
use calls::batches::Batch;
use calls::columns::Column;
use calls::dialect::{Compression, StoredHeader};
use calls::kind::Api;
use calls::pipeline::Pipeline;
use calls::profile::{Profile, Values};
use calls::refusal::{FaultCode, Position, RowRefusal, Warning};
use calls::subject::Subject;
use protocol::account::Account;
use protocol::id::SourceId;
use std::process::ExitCode;

/// How a check ends, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Usability {
    Sound,
    RowsRefused,
    Unusable,
}

impl From<Usability> for ExitCode {
    fn from(verdict: Usability) -> ExitCode {
        ExitCode::from(match verdict {
            Usability::Sound => 0,
            Usability::RowsRefused => 1,
            Usability::Unusable => 2,
        })
    }
}

/// The result for a file, as one mapping reads it.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(super) name: String,
    /// The key that it is read under.
    pub(super) key: String,
    /// The names of the mapping and of the source, if there are such.
    pub(crate) mapping: Option<String>,
    pub(super) source: Option<String>,
    /// The id of that source.
    pub(crate) source_id: Option<SourceId>,
    /// Calls a second; 0 is no limit.
    pub(super) pace: u32,
    /// The zone of times without one, if it is set.
    pub(super) zone: Option<String>,
    pub(super) subject: Option<Subject>,
    pub(super) header: Option<StoredHeader>,
    pub(super) columns: Vec<Column>,
    pub(super) warnings: Vec<Warning>,
    pub(crate) account: Account,
    pub(super) profile: Option<Profile>,
    /// The least and the greatest cell of each column in the profile.
    pub(super) values: Vec<Values>,
    /// Calls; several rows may be one.
    pub(super) calls: u64,
    /// The ids of objects.
    pub(super) ids: Ids,
    /// The first values of each column, before and after; only of a mapping.
    pub(super) preview: Option<Preview>,
    /// The stored size of the file.
    pub(super) bytes: u64,
    pub(super) first_calls: Vec<String>,
    /// The first refused rows, with their records.
    pub(super) first_refused: Vec<(RowRefusal, Vec<u8>)>,
    pub(super) wire: Wire,
    /// Why the file cannot be used, or not be read to its end.
    pub(super) fault: Option<String>,
    /// The stable code of that, and where it is, when it is the file's own fault.
    pub(super) fault_code: Option<FaultCode>,
    pub(super) fault_at: Option<Position>,
    /// Why the ingester would stop it, though it can be read.
    pub(super) stopped: Option<String>,
    /// Where the first row begins that would not be sent, when the file is not read to its end.
    pub(super) undelivered_from: Option<Position>,
}

impl Checked {
    /// How the check of the file ends.
    pub(crate) fn verdict(&self) -> Usability {
        if self.fault.is_some() || self.stopped.is_some() {
            Usability::Unusable
        } else if self.account.rejected > 0 {
            Usability::RowsRefused
        } else {
            Usability::Sound
        }
    }
}

impl Checked {
    /// Takes a batch: its size, its first calls and refused rows, the first values of its columns.
    pub(super) fn take(&mut self, batch: &Batch, machine: &Pipeline, show: usize, gzip: bool) {
        if let (Some(preview), Some(header), Some(plan)) = (&mut self.preview, machine.header(), machine.plan()) {
            preview.take(batch, header, plan);
        }
        if self.subject.as_ref().is_some_and(|subject| subject.kind.api() == Api::Objects) {
            self.ids.take(batch);
        }
        self.calls += batch.calls.len() as u64;
        if !batch.calls.is_empty() {
            self.wire.send(batch, gzip);
        }
        for call in 0..batch.calls.len().min(show - self.first_calls.len().min(show)) {
            self.first_calls.push(String::from_utf8_lossy(batch.call(call)).into_owned());
        }
        for refused in batch.refused.iter().take(show - self.first_refused.len().min(show)) {
            let record = batch.records[refused.record.clone()].to_vec();
            self.first_refused.push((refused.refusal.clone(), record));
        }
    }

    /// Takes the machine's result at the end of the file.
    pub(super) fn end(&mut self, machine: &mut Pipeline) {
        self.profile = machine.take_profile();
        self.values = machine.values().to_vec();
        self.header = machine.header().cloned();
        self.columns = machine.plan().map_or(Vec::new(), |plan| plan.columns().to_vec());
        self.warnings = machine.warnings().to_vec();
        if let Some(profile) = &self.profile {
            self.warnings.extend(machine.warnings_of(profile, &self.account));
        }
        let of_ids = self.columns.iter().find(|column| column.path.as_deref() == Some("id"));
        self.warnings.extend(of_ids.and_then(|column| self.ids.warning(&column.name)));
        let fault = machine.fault();
        self.fault = fault.map(ToString::to_string);
        self.fault_code = fault.map(|fault| fault.code);
        self.fault_at = fault.and_then(|fault| fault.at);
        let begin = self.header.as_ref().map(|header| header.rows_from);
        let is_unusable = self.verdict() == Usability::Unusable;
        let compression = self.header.as_ref().map(|header| header.dialect.compression);
        // Behind the last byte nothing is undelivered.
        let is_end = |from: &Position| compression == Some(Compression::None) && from.byte >= self.bytes;
        self.undelivered_from = self.undelivered_from.or(begin).filter(|from| is_unusable && !is_end(from));
    }
}
