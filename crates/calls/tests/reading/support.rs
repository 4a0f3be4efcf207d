//! Reading a whole file, and everything that can be asked of it.

use calls::call::MessageIds;
use calls::dialect::StoredHeader;
use calls::reading::Reading;
use calls::refusal::{FileFault, Position, RowRefusal, Span};
use calls::rejects::{Reason, Rejects};
use calls::subject::Subject;
use calls::translator::{Dropped, GroupRow, Translated, Translator};
use calls::warnings::{Finding, Tally};
use protocol::id::StreamId;

/// What one record came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Call(String),
    Refused(RowRefusal),
    RefusedGroup(Vec<RowRefusal>),
    Dropped(Dropped),
}

/// One record of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) span: Span,
    /// Where reading can be taken up behind it.
    pub(crate) after: Position,
    pub(crate) record: Vec<u8>,
    /// The rows of a group.
    pub(crate) group: Vec<GroupRow>,
    /// How many rows it is.
    pub(crate) rows: u64,
    pub(crate) outcome: Outcome,
}

impl Taken {
    /// The refusals of its rows.
    pub(crate) fn refusals(&self) -> &[RowRefusal] {
        match &self.outcome {
            Outcome::Call(_) | Outcome::Dropped(_) => &[],
            Outcome::Refused(refusal) => std::slice::from_ref(refusal),
            Outcome::RefusedGroup(refusals) => refusals,
        }
    }

    /// The bytes of each of its rows.
    pub(crate) fn records(&self) -> Vec<&[u8]> {
        match &self.group[..] {
            [] => vec![&self.record],
            rows => rows.iter().map(|row| &self.record[row.record.clone()]).collect(),
        }
    }
}

/// Everything that a file came to.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Read {
    pub(crate) header: Option<StoredHeader>,
    pub(crate) taken: Vec<Taken>,
    pub(crate) fault: Option<FileFault>,
    /// Where reading ended.
    pub(crate) end: Option<Position>,
    pub(crate) warnings: Vec<String>,
    /// What is doubtful about the rows.
    pub(crate) findings: Vec<Finding>,
    pub(crate) blank_lines: u64,
    /// Name, path and type of each column.
    pub(crate) columns: Vec<[String; 3]>,
}

impl Read {
    pub(crate) fn calls(&self) -> Vec<&str> {
        self.taken
            .iter()
            .filter_map(|taken| match &taken.outcome {
                Outcome::Call(call) => Some(call.as_str()),
                Outcome::Refused(_) | Outcome::RefusedGroup(_) | Outcome::Dropped(_) => None,
            })
            .collect()
    }

    pub(crate) fn dropped(&self, reason: Dropped) -> usize {
        self.taken.iter().filter(|taken| taken.outcome == Outcome::Dropped(reason)).count()
    }

    /// Rows that a filter leaves out.
    pub(crate) fn skipped_rows(&self) -> u64 {
        let is_skipped = |taken: &&Taken| taken.outcome == Outcome::Dropped(Dropped::Skipped);
        self.taken.iter().filter(is_skipped).map(|taken| taken.rows).sum()
    }

    /// What its owner is told of columns and rows.
    pub(crate) fn told(&self) -> Vec<String> {
        let findings = self.findings.iter().filter(|finding| finding.holds()).map(Finding::in_words);
        self.warnings.iter().cloned().chain(findings).collect()
    }

    pub(crate) fn refusals(&self) -> Vec<&RowRefusal> {
        self.taken.iter().flat_map(|taken| taken.refusals()).collect()
    }

    /// The rejects file, or nothing when no row was refused.
    pub(crate) fn rejects(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let Some(header) = &self.header else {
            return out;
        };
        let mut rejects = Rejects::new(header);
        for taken in &self.taken {
            for (refusal, record) in taken.refusals().iter().zip(taken.records()) {
                if out.is_empty() {
                    out.extend_from_slice(rejects.head());
                }
                let reason = Reason {
                    code: refusal.code.as_str(),
                    message: &refusal.message,
                    line: refusal.span.line,
                    byte: refusal.span.start,
                };
                rejects.append(record, reason, &mut out);
            }
        }
        out
    }
}

/// A file to be read: its name, its settings and its bytes.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) reading: Reading,
    pub(crate) bytes: Vec<u8>,
}

impl File {
    pub(crate) fn new(name: &str, bytes: impl Into<Vec<u8>>) -> File {
        File { name: name.to_owned(), reading: Reading::default(), bytes: bytes.into() }
    }

    pub(crate) fn subject(&self) -> Subject {
        match &self.reading.mapping {
            Some(mapping) => Subject::mapped(mapping, &self.name).unwrap(),
            None => Subject::of(&self.name, &self.reading.collections, None).unwrap(),
        }
    }

    /// The refused rows of this file, as they come back under the name of their rejects file.
    pub(crate) fn refused(&self, read: &Read) -> File {
        File { name: self.subject().rejects_name(), bytes: read.rejects(), ..self.clone() }
    }

    /// Reads it in pieces of the given lengths, over and over.
    pub(crate) fn read(&self, pieces: &[usize]) -> Read {
        let ids = MessageIds::new(StreamId::new([0; 16]));
        drive(Translator::new(&self.subject(), &self.reading, ids), &self.bytes, pieces)
    }

    /// Reads the rest of it, from where an earlier reading was at `at`.
    pub(crate) fn resume(&self, header: &StoredHeader, at: Position, pieces: &[usize]) -> Read {
        let ids = MessageIds::new(StreamId::new([0; 16]));
        let translator = Translator::resume(&self.subject(), &self.reading, ids, header, at).unwrap();
        let from = match header.dialect.compression {
            calls::dialect::Compression::None => usize::try_from(at.byte).unwrap(),
            _ => 0,
        };
        drive(translator, &self.bytes[from..], pieces)
    }
}

fn drive(mut translator: Translator, bytes: &[u8], pieces: &[usize]) -> Read {
    let mut read = Read::default();
    let mut rest = bytes;
    let mut lengths = pieces.iter().cycle();
    // Neither buffer begins empty, as they do not in a batch.
    let (mut calls, mut records) = (b"[".to_vec(), b"<".to_vec());
    let mut finished = false;
    let mut tally = Tally::default();
    loop {
        let (call_from, record_from) = (calls.len(), records.len());
        let step = match translator.next(&mut calls, &mut records) {
            Ok(step) => step,
            Err(fault) => {
                let again = translator.next(&mut calls, &mut records);
                assert_eq!(again, Err(fault.clone()), "the same error comes again");
                read.fault = Some(fault);
                break;
            }
        };
        let call = String::from_utf8(calls[call_from..].to_vec()).unwrap();
        let record = records[record_from..].to_vec();
        let outcome = match step {
            Translated::Call { span, len, timestamp } => {
                assert_eq!(len, call.len());
                if let Some(at) = timestamp {
                    assert_eq!(at.len(), 24);
                    assert!(call[..at.start].ends_with("\"timestamp\":\""));
                }
                (span, Outcome::Call(call))
            }
            Translated::Refused(refusal) => {
                assert_eq!(call, "", "nothing stays of a refused call");
                assert!(refusal.cell.as_ref().is_none_or(|cell| cell.start <= cell.end && cell.end <= record.len()));
                (refusal.span, Outcome::Refused(refusal))
            }
            Translated::RefusedGroup(refusals) => {
                assert_eq!(call, "", "nothing stays of a refused group");
                assert_eq!(refusals.len(), translator.group().len());
                let (first, last) = (refusals[0].span, refusals[refusals.len() - 1].span);
                (Span { to: last.to, ..first }, Outcome::RefusedGroup(refusals))
            }
            Translated::Dropped { span, reason } => {
                assert_eq!((call.as_str(), record.len()), ("", 0), "nothing stays of a dropped record");
                (span, Outcome::Dropped(reason))
            }
            Translated::Starved if rest.is_empty() => {
                assert!(!finished, "starved behind the end");
                finished = true;
                translator.finish();
                continue;
            }
            Translated::Starved => {
                let length = lengths.next().map_or(1, |length| (*length).clamp(1, rest.len()));
                let (piece, after) = rest.split_at(length);
                translator.push(piece);
                rest = after;
                continue;
            }
            Translated::Paused => continue,
            Translated::End => {
                read.blank_lines += translator.blank_lines();
                break;
            }
        };
        let (span, outcome) = outcome;
        tally.add(translator.notes(), span.line);
        read.blank_lines += translator.blank_lines();
        let (group, rows) = (translator.group().to_vec(), translator.rows_taken());
        read.taken.push(Taken { span, after: translator.position(), record, group, rows, outcome });
    }
    read.end = Some(translator.position());
    read.header = translator.header().cloned();
    read.warnings = translator.warnings().iter().map(|warning| warning.message.clone()).collect();
    let columns = translator.plan().map_or(&[][..], |plan| plan.columns());
    let is_mapped = translator.plan().is_some_and(|plan| plan.is_mapped());
    read.findings = tally.findings(is_mapped, |column| columns[column as usize].name.clone());
    read.columns = translator.plan().map_or(Vec::new(), |plan| {
        plan.columns()
            .iter()
            .map(|column| {
                let path = column.path.clone().unwrap_or_else(|| "(not sent)".to_owned());
                [column.name.clone(), path, column.cell.to_string()]
            })
            .collect()
    });
    read
}
