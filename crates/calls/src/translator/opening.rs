//! The beginning of a file: what it is, how it is written down, and its header.

use memchr::memchr;

use super::beginnings::{
    Failed, Named, explain, is_narrow, is_preamble, is_swapped, named_delimiter, no_csv, no_csv_either, other_line_end,
    separated_otherwise, with_nuls,
};
use super::grouping::Grouping;
use super::recognition::{Beginning, Recognised, Shape, plain, quoted_line, recognise};
use super::records::{behind, behind_text};
use super::{BEGINNING_BYTES, HEADER_BYTES_MAX, ROW_BYTES_MAX, Stage, Translator, rowless};
use crate::columns::{ColumnPlan, REJECT_COLUMNS};
use crate::dialect::{Compression, Delimiter, Dialect, Encoding, Measure, Quoting, StoredHeader, delimiter_of_header};
use crate::ids::is_void;
use crate::kind::Kind;
use crate::mapping::{self, Mapper};
use crate::reading::Reading;
use crate::refusal::{FaultCode, FileFault, Position, Warning};
use crate::rows::{Advance, Record, Splitter, strip_marks};
use crate::subject::is_rejects_of;
use crate::text::transcode;
use crate::wording::worded;

impl Translator {
    /// Reads the header, if it is there. Returns whether that came a step further.
    pub(super) fn read_header(&mut self) -> Result<bool, FileFault> {
        let set = match &self.stage {
            Stage::Header { delimiter, .. } => *delimiter,
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

    /// Passes the lines before the header that the settings say. Returns whether the header is next.
    fn skip_lines(&mut self) -> Result<bool, FileFault> {
        let text = self.rows.unread();
        let is_first = self.lines_to_skip == self.reading.skip_lines;
        if is_first && text.len() <= BEGINNING_BYTES && !self.rows.is_finished() && !self.breaks_off {
            return Ok(false);
        }
        let text = &text[..text.len().min(BEGINNING_BYTES)];
        if is_first && Delimiter::ALL.into_iter().any(|delimiter| came_back(text, delimiter)) {
            // We wrote it, without those lines.
            self.lines_to_skip = 0;
        }
        while self.lines_to_skip > 0 {
            let Some(line) = self.rows.line() else {
                if self.rows.unread().len() > HEADER_BYTES_MAX {
                    return Err(line_too_long());
                }
                return Ok(false);
            };
            if let Some(Named::Delimiter(delimiter)) = named_delimiter(line) {
                self.stage = Stage::Header { delimiter: Some(delimiter), named: true };
            }
            if line.len() > HEADER_BYTES_MAX {
                return Err(line_too_long());
            }
            let encoding = self.transcoder.encoding().unwrap_or(Encoding::Utf8);
            let length = line.len();
            self.position.byte = behind_text(self.position.byte, encoding, line, self.transcoded);
            self.position.line += u64::from(length > 0);
            self.rows.pass(length);
            // There is nothing to pass over at the end.
            self.lines_to_skip = if length > 0 { self.lines_to_skip - 1 } else { 0 };
        }
        Ok(true)
    }

    fn header_step(&mut self, set: Option<Delimiter>) -> Result<bool, FileFault> {
        if self.lines_to_skip > 0 {
            // The delimiter may be named in them.
            return self.skip_lines();
        }
        // Before anything looks at them: they may be a whole file, of any size.
        let is_more_needed = !self.rows.skip_blank_lines() && !self.rows.is_finished();
        if self.is_rowless(self.behind_blank_lines()) {
            return Err(FileFault::new(FaultCode::NoRows, rowless(self.limits.rowless_bytes)));
        }
        if is_more_needed {
            return Ok(false);
        }
        let text = without_line_ends(self.rows.upcoming());
        // As much as decides, however the bytes come.
        if text.len() <= BEGINNING_BYTES && !self.rows.is_finished() && !self.breaks_off {
            return Ok(false);
        }
        let complete = text.len() <= BEGINNING_BYTES && !self.breaks_off;
        let text = &text[..text.len().min(BEGINNING_BYTES)];
        let encoding = self.transcoder.encoding().unwrap_or(Encoding::Utf8);
        let is_marked = self.transcoder.bom() > 0;
        let fault = no_csv(text)
            .or_else(|| is_narrow(text, encoding).filter(|_| !is_marked))
            .or_else(|| is_swapped(text, encoding, is_marked));
        if let Some(fault) = fault {
            return Err(fault);
        }
        if let Some(named) = named_delimiter(text) {
            return self.take_delimiter(named);
        }
        let wanted = wanted(&self.reading, self.subject.kind);
        let wanted = &wanted[..];
        let quoted = quoted_line(text);
        let delimiter = set.or_else(|| delimiter_of_header(quoted.as_deref().unwrap_or(text), true, wanted));
        let delimiter = delimiter.unwrap_or(Delimiter::Comma);
        let beginning = Beginning { text, complete, delimiter: delimiter.byte(), wanted };
        let recognised = self.quoting_of(beginning, delimiter);
        self.check_rejects(delimiter)?;
        self.rows.set_delimiter(delimiter.byte());
        self.rows.set_quoting(recognised.quoting);
        self.rows.set_limit(HEADER_BYTES_MAX);
        match self.rows.advance() {
            Advance::Starved => Ok(false),
            Advance::End => Err(FileFault::new(FaultCode::EmptyFile, self.emptiness())),
            Advance::TooLong => Err(FileFault::new(
                FaultCode::HeaderTooLong,
                format!(
                    "the header is longer than {HEADER_BYTES_MAX} bytes: a quote in it is never closed, or this is no CSV"
                ),
            )),
            Advance::Record => self.header_record(delimiter, recognised),
        }
    }

    /// Why there is no header.
    fn emptiness(&self) -> String {
        match self.reading.skip_lines {
            lines if lines > 0 && self.position.byte > 0 => format!(
                "nothing stands behind the {lines} lines that `skip_lines` skips: set it to a smaller number, so that the next row names the columns"
            ),
            _ => "the file is empty: its first row has to name the columns".to_owned(),
        }
    }

    /// How the file is quoted: as it is set, or as its beginning shows.
    fn quoting_of(&self, beginning: Beginning<'_>, delimiter: Delimiter) -> Recognised {
        if came_back(beginning.text, delimiter) {
            // We wrote it, by RFC 4180.
            return Recognised::known(Quoting::default());
        }
        if let Some(quoting) = self.reading.quoting {
            return Recognised::known(quoting);
        }
        let encoding = self.transcoder.encoding().unwrap_or(Encoding::Utf8);
        recognise(beginning, !encoding.may_hide_backslash())
    }

    /// Passes the line that names the delimiter.
    fn take_delimiter(&mut self, named: Named) -> Result<bool, FileFault> {
        let Named::Delimiter(delimiter) = named else {
            return Err(FileFault::new(
                FaultCode::Delimiter,
                "the line names a delimiter that is not read: write the file with , ; tab or |",
            ));
        };
        self.rows.set_limit(HEADER_BYTES_MAX);
        self.rows.set_quoting(Quoting::default());
        if self.rows.advance() != Advance::Record {
            return Ok(false);
        }
        let encoding = self.transcoder.encoding().unwrap_or(Encoding::Utf8);
        if let Some(record) = self.rows.record() {
            self.position = Position {
                byte: behind(self.position.byte, encoding, &record, self.transcoded),
                line: self.position.line + record.blank.lines + record.lines,
            };
        }
        self.stage = Stage::Header { delimiter: Some(delimiter), named: true };
        Ok(true)
    }

    /// Refuses rows that another mapping may have refused: this one would send them a second time, as other calls.
    fn check_rejects(&self, delimiter: Delimiter) -> Result<(), FileFault> {
        let Some(mapping) = &self.reading.mapping else { return Ok(()) };
        if is_rejects_of(&mapping.name, &self.subject.name) || !came_back(self.rows.upcoming(), delimiter) {
            return Ok(());
        }
        Err(FileFault::new(
            FaultCode::RejectsOfNoMapping,
            format!(
                "the file has the columns of a rejects file, and its name does not say that the mapping `{0}` refused its rows: name it as the rejects file was named, such as `NAME.{0}.rejects.csv`, or remove the columns `{1}` to `{2}`",
                mapping.name, REJECT_COLUMNS[0], REJECT_COLUMNS[3]
            ),
        ))
    }

    fn header_record(&mut self, delimiter: Delimiter, recognised: Recognised) -> Result<bool, FileFault> {
        let Recognised { quoting, shape, .. } = recognised;
        let reading = self.reading.clone();
        let wanted = wanted(&reading, self.subject.kind);
        let encoding = self.transcoder.encoding().unwrap_or(Encoding::Utf8);
        let Some(record) = self.rows.record() else {
            return Ok(false);
        };
        let line = self.position.line + record.blank.lines;
        let after = Position {
            byte: behind(self.position.byte, encoding, &record, self.transcoded),
            line: line + record.lines,
        };
        if let Some(fault) = self.fault_of_record(&record, encoding, &wanted) {
            return Err(fault);
        }
        let is_mojibake = matches!(encoding, Encoding::Legacy(_))
            && !record.text.is_ascii()
            && std::str::from_utf8(record.text).is_ok();
        let text = self.header_text(&record, encoding, delimiter, quoting)?;
        if let Some(fault) = self.fault_of_separation(&text, encoding, delimiter, shape, &wanted) {
            return Err(fault);
        }
        let compression = self.inflater.compression().unwrap_or(Compression::None);
        let dialect = Dialect { compression, encoding, bom: self.transcoder.bom() > 0, delimiter, quoting };
        let mut warnings = self.doubts(recognised, line, encoding);
        let utf8 = is_mojibake.then(|| {
            format!("the header is valid UTF-8 and CSV_ENCODING reads it as {encoding}: set CSV_ENCODING=auto or utf-8")
        });
        warnings.extend(utf8.iter().map(|what| warning(format!("line {line}: {what}"))));
        let header = text.clone();
        let stored = StoredHeader { dialect, text, rows_from: after, fingerprint: String::new(), warnings };
        let named_by = match self.stage {
            Stage::Header { delimiter: Some(_), named: true } => Some("the line before the header"),
            Stage::Header { delimiter: Some(_), named: false } => Some("CSV_DELIMITER"),
            _ => None,
        };
        if let Err(mut fault) = self.begin_rows(stored) {
            if let (FaultCode::MissingColumn, Some(utf8)) = (fault.code, utf8) {
                fault.message = format!("{}; {utf8}", fault.message);
            }
            let failed = Failed {
                text: self.rows.unread(),
                header: &header,
                line,
                delimiter: delimiter.byte(),
                quote: quoting.quote,
                named_by,
                wanted: &wanted,
                is_mapped: reading.mapping.is_some(),
            };
            return Err(explain(fault, failed));
        }
        self.position = after;
        Ok(true)
    }

    /// Why a record cannot be the header, however it is separated.
    fn fault_of_record(&self, record: &Record<'_>, encoding: Encoding, wanted: &[&str]) -> Option<FileFault> {
        let bad_column = |message: &str| FileFault::new(FaultCode::BadColumn, message);
        if (record.unclosed || record.stray.is_some())
            && let Some(fault) = no_csv_either(record.text)
        {
            return Some(fault);
        }
        if record.unclosed {
            return Some(bad_column("a quote in the header is never closed"));
        }
        if memchr(0, record.text).is_some() {
            let at = self.position.byte + record.blank.bytes * encoding.ascii_bytes();
            return Some(with_nuls(self.rows.unread(), encoding, !at.is_multiple_of(2), self.transcoder.bom() > 0));
        }
        record.stray?;
        let otherwise = separated_otherwise(&String::from_utf8_lossy(record.text), wanted);
        Some(otherwise.unwrap_or_else(|| {
            bad_column(
                "text after a closing quote in the header, or a quote after a blank: double each quote inside a quoted name",
            )
        }))
    }

    /// The header as text, quoted by the usual rules.
    fn header_text(
        &self,
        record: &Record<'_>,
        encoding: Encoding,
        delimiter: Delimiter,
        quoting: Quoting,
    ) -> Result<String, FileFault> {
        let mut text = Vec::new();
        transcode(record.text, encoding, &mut text);
        text.drain(..text.len() - strip_marks(&text).len());
        if !quoting.is_rfc4180() {
            let raw = std::mem::take(&mut text);
            plain(&raw, quoting, delimiter.byte(), 2, &mut text);
        }
        String::from_utf8(text).map_err(|_| not_text(encoding, self.transcoder.bom() > 0))
    }

    /// Why the cells of a file with this header cannot be told apart.
    fn fault_of_separation(
        &self,
        header: &str,
        encoding: Encoding,
        delimiter: Delimiter,
        shape: Option<Shape>,
        wanted: &[&str],
    ) -> Option<FileFault> {
        if self.rows.is_finished()
            && is_void(self.rows.upcoming())
            && let Some(fault) = other_line_end(header, delimiter.byte(), wanted)
        {
            return Some(fault);
        }
        if encoding.may_hide(delimiter) {
            return Some(FileFault::new(
                FaultCode::Encoding,
                format!(
                    "`{delimiter}` is part of characters in {encoding}, so cells cannot be told apart: save the file as UTF-8"
                ),
            ));
        }
        let Some(Shape::RowsBy(other)) = shape else { return None };
        let (of_header, of_rows) = (named(delimiter), named(other));
        (!is_preamble(delimiter, self.rows.unread(), wanted)).then(|| {
            FileFault::new(
                FaultCode::Delimiter,
                format!(
                    "the header is separated by {of_header}, and the rows by {of_rows}: write both with the same delimiter"
                ),
            )
        })
    }

    /// What is doubtful about how a file is written, whose header stands on `line`.
    fn doubts(&self, recognised: Recognised, line: u64, encoding: Encoding) -> Vec<Warning> {
        let Recognised { quoting, trouble_line, shape } = recognised;
        let dialect = trouble_line.map(|trouble| {
            let trouble = line + trouble - 1;
            let cause = if quoting.lines && trouble == line {
                format!("line {line} has the header in one quoted cell")
            } else {
                format!("line {trouble} is not RFC 4180")
            };
            format!(
                "{cause}, so the file is read with {quoting}: set CSV_QUOTE or CSV_ESCAPE if it is quoted otherwise"
            )
        });
        let cells = match shape {
            Some(Shape::RowNumbers) => Some(
                "each row has one cell more than the header, and the first cells count up by one: if they are numbers of rows, add a name for their column in front of the header"
                    .to_owned(),
            ),
            Some(Shape::RowNames) => Some(
                "each row has one cell more than the header, and the first cells are all different: if they are names of rows, as R writes them, add a name for their column in front of the header; if a delimiter stands in a cell, put the cell in quotes"
                    .to_owned(),
            ),
            Some(Shape::OneNameAndRowsBy(other)) => Some(format!(
                "the header has one column, and each row has {}: if that separates cells, name every column in the header",
                named(other)
            )),
            Some(Shape::RowsBy(_)) | None => None,
        };
        let guess = self.transcoder.is_guess().then(|| {
            format!("the text is no UTF-8, so it is read as {encoding}: set CSV_ENCODING if it is something else")
        });
        [dialect, cells, guess].into_iter().flatten().map(warning).collect()
    }

    /// Compiles the header and makes ready for rows.
    pub(super) fn begin_rows(&mut self, header: StoredHeader) -> Result<(), FileFault> {
        let delimiter = header.dialect.delimiter.byte();
        let text = header.text.as_bytes();
        let mut splitter = Splitter::new(delimiter);
        splitter.split(text);
        let mut scratch = Vec::new();
        let names: Vec<String> = splitter
            .cells()
            .iter()
            .map(|cell| String::from_utf8_lossy(cell.value(text, &mut scratch)).into_owned())
            .collect();
        let (mapper, plan) = match &self.reading.mapping {
            None => (None, ColumnPlan::compile(&names, &self.subject, &self.reading)?),
            Some(mapping) => {
                let (mapper, plan) = mapping::compile(mapping, &names, self.subject.kind, &self.reading)?;
                (Some(mapper), plan)
            }
        };
        self.grouping = mapper.as_ref().and_then(Mapper::group).map(Grouping::new);
        self.mapper = mapper;
        self.rows.set_delimiter(delimiter);
        self.rows.set_quoting(header.dialect.quoting);
        self.rows.set_limit(ROW_BYTES_MAX);
        self.rows.set_marks(!header.dialect.encoding.may_hide_backslash());
        self.decoded.splitter = splitter;
        self.names = names.into_iter().map(String::into_bytes).collect();
        let warnings = header.warnings.iter().chain(plan.warnings()).cloned();
        let is_mapped = self.mapper.is_some();
        let in_words =
            |warning: Warning| Warning { message: worded(warning.message, is_mapped), column: warning.column };
        self.warnings = warnings.map(in_words).collect();
        self.header = Some(StoredHeader { fingerprint: plan.fingerprint().to_owned(), ..header });
        self.plan = Some(plan);
        self.begin_profile();
        self.stage = Stage::Rows;
        Ok(())
    }
}

/// A text without the line ends that it begins with.
fn without_line_ends(text: &[u8]) -> &[u8] {
    let lines = text.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
    &text[lines..]
}

fn not_text(encoding: Encoding, is_marked: bool) -> FileFault {
    let message = if is_marked {
        format!(
            "the header is not {encoding}, and the byte order mark before it, which says {encoding}, overrides CSV_ENCODING: save the file again as UTF-8"
        )
    } else {
        format!(
            "the header is not {encoding}: save the file as UTF-8, or set CSV_ENCODING, for instance to auto or windows-1252"
        )
    };
    FileFault::new(FaultCode::Encoding, message)
}

fn line_too_long() -> FileFault {
    FileFault::new(
        FaultCode::HeaderTooLong,
        format!("a line before the header is longer than {HEADER_BYTES_MAX} bytes, or this is no CSV"),
    )
}

fn warning(message: String) -> Warning {
    Warning { column: String::new(), message }
}

/// The delimiter, as a message calls it.
fn named(delimiter: Delimiter) -> String {
    if delimiter == Delimiter::Tab { "a tab".to_owned() } else { format!("`{delimiter}`") }
}

/// Whether the header that `text` begins with is that of a rejects file.
fn came_back(text: &[u8], delimiter: Delimiter) -> bool {
    let mut splitter = Splitter::new(delimiter.byte());
    splitter.split_first(text);
    let cells = splitter.cells();
    cells.len() >= REJECT_COLUMNS.len()
        && cells[cells.len() - REJECT_COLUMNS.len()..]
            .iter()
            .zip(REJECT_COLUMNS)
            .all(|(cell, name)| cell.raw(text).trim_ascii() == name.as_bytes())
}

/// Columns that the header is recognised by: those that the mapping names, or else ids.
fn wanted(reading: &Reading, kind: Kind) -> Vec<&str> {
    match &reading.mapping {
        Some(mapping) => mapping::names(mapping),
        None => kind.entry().header_ids.to_vec(),
    }
}
