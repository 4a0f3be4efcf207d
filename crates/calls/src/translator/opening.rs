//! The beginning of a file: what it is, how it is written down, and its header.

use memchr::memchr;

use super::{HEADER_BYTES_MAX, ROW_BYTES_MAX, Stage, Translator, behind};
use crate::columns::Plan;
use crate::dialect::{Compression, Delimiter, Dialect, Encoding, Measure, StoredHeader, delimiter_of_header, foreign};
use crate::refusal::{FaultCode, FileFault, Position};
use crate::rows::{Advance, Splitter};
use crate::subject::Kind;
use crate::text::transcode;

impl Translator {
    /// Reads the header, if it is there. Returns whether that came a step further.
    pub(super) fn read_header(&mut self) -> Result<bool, FileFault> {
        let set = match &self.stage {
            Stage::Header { delimiter } => *delimiter,
            Stage::Rows => return Ok(false),
            Stage::Broken(fault) => return Err(fault.clone()),
        };
        self.header_step(set).map_err(|mut fault| {
            let at = match fault.code {
                FaultCode::EmptyFile => self.position,
                _ => self.behind_blank_lines(),
            };
            fault.message = format!("line {}: {}", at.line, fault.message);
            self.broken(fault.at(at))
        })
    }

    fn header_step(&mut self, set: Option<Delimiter>) -> Result<bool, FileFault> {
        // Before anything looks at them: they may be a whole file, of any size.
        if !self.rows.skip_blank_lines() && !self.rows.is_finished() {
            return Ok(false);
        }
        let text = self.rows.unread();
        if let Some(what) = foreign(text) {
            return Err(FileFault::new(FaultCode::NotCsv, format!("this is no CSV, it is {what}")));
        }
        let too_long = text.len() > HEADER_BYTES_MAX;
        let last = self.rows.is_finished() || too_long;
        let Some(delimiter) = set.or_else(|| delimiter_of_header(text, last, ids_of(self.subject.kind))) else {
            return Ok(false);
        };
        self.rows.set_delimiter(delimiter.byte());
        self.rows.set_limit(HEADER_BYTES_MAX);
        match self.rows.advance() {
            Advance::Starved => Ok(false),
            Advance::End => {
                Err(FileFault::new(FaultCode::EmptyFile, "the file is empty: its first row has to name the columns"))
            }
            Advance::TooLong => Err(FileFault::new(
                FaultCode::HeaderTooLong,
                format!(
                    "the header is longer than {HEADER_BYTES_MAX} bytes: a quote in it is never closed, or this is no CSV"
                ),
            )),
            Advance::Record => self.header_record(delimiter),
        }
    }

    fn header_record(&mut self, delimiter: Delimiter) -> Result<bool, FileFault> {
        let encoding = self.transcoder.encoding().unwrap_or(Encoding::Utf8);
        let Some(record) = self.rows.record() else {
            return Ok(false);
        };
        let after = Position {
            byte: behind(self.position.byte, encoding, &record, self.transcoded),
            line: self.position.line + record.blank.lines + record.lines,
        };
        // Excel's own way to name the delimiter, on a line before the header.
        if let [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', byte] = record.text
            && let Some(delimiter) = Delimiter::ALL.into_iter().find(|d| d.byte() == *byte)
        {
            self.position = after;
            self.stage = Stage::Header { delimiter: Some(delimiter) };
            return Ok(true);
        }
        if record.unclosed {
            return Err(FileFault::new(FaultCode::BadColumn, "a quote in the header is never closed"));
        }
        if memchr(0, record.text).is_some() {
            return Err(FileFault::new(
                FaultCode::Encoding,
                "the header holds NUL bytes: if this is UTF-16 without a byte order mark, set CSV_ENCODING=utf-16le",
            ));
        }
        let mut text = Vec::new();
        transcode(record.text, encoding, &mut text);
        let text = String::from_utf8(text).map_err(|_| {
            FileFault::new(
                FaultCode::Encoding,
                format!("the header is not {encoding}: save the file as UTF-8, or set CSV_ENCODING, for instance to windows-1252"),
            )
        })?;
        if encoding.may_hide(delimiter) {
            return Err(FileFault::new(
                FaultCode::Encoding,
                format!(
                    "`{delimiter}` is part of characters in {encoding}, so cells cannot be told apart: save the file as UTF-8"
                ),
            ));
        }
        let dialect = Dialect {
            compression: self.inflater.compression().unwrap_or(Compression::None),
            encoding,
            bom: self.transcoder.bom() > 0,
            delimiter,
        };
        self.begin_rows(dialect, text, after)?;
        self.position = after;
        Ok(true)
    }

    /// Compiles the header and makes ready for rows.
    pub(super) fn begin_rows(&mut self, dialect: Dialect, text: String, rows_from: Position) -> Result<(), FileFault> {
        let mut splitter = Splitter::new(dialect.delimiter.byte());
        splitter.split(text.as_bytes());
        let mut scratch = Vec::new();
        let names: Vec<String> = splitter
            .cells()
            .iter()
            .map(|cell| String::from_utf8_lossy(cell.value(text.as_bytes(), &mut scratch)).into_owned())
            .collect();
        let plan = Plan::compile(&names, &self.subject, &self.reading)?;
        self.rows.set_delimiter(dialect.delimiter.byte());
        self.rows.set_limit(ROW_BYTES_MAX);
        self.decoded.splitter = splitter;
        self.header = Some(StoredHeader { dialect, text, rows_from, fingerprint: plan.fingerprint().to_owned() });
        self.plan = Some(plan);
        self.stage = Stage::Rows;
        Ok(())
    }
}

/// Columns that a header of this kind is recognised by.
fn ids_of(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Object => &["id"],
        _ => &["userId", "anonymousId"],
    }
}
