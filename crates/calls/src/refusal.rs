//! What can be wrong: with one row (a [`RowRefusal`], which is data) and with the whole file (a
//! [`FileFault`], which is an error).
//!
//! Codes are stable: they stand in rejects files, ledgers and metrics. Messages say where first,
//! then what, then what to write instead, and never what the cell contains, because a cell's
//! content is personal data.

use std::fmt;
use std::ops::Range;

pub use protocol::position::Position;
pub use protocol::reading::Warning;
use thiserror::Error;

/// The stretch of the source that a record takes: `[from, to)`.
///
/// Spans are contiguous: `to` of a record is `from` of the next, so blank lines before a record
/// belong to it. Hence a range of spans is a range of bytes, which is what a checkpoint commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where the stretch begins: the end of the record before.
    pub from: u64,
    /// Where the record itself begins, after any blank lines. The message id is made of it.
    pub start: u64,
    /// Where the stretch ends: after the record's line end.
    pub to: u64,
    /// The line on which the record itself begins.
    pub line: u64,
}

macro_rules! codes {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Every code.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The stable code.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

codes! {
    /// Why a row is refused.
    RefusalCode {
        /// Neither `userId` nor `anonymousId` has a value (alias: no `userId`).
        MissingUserId = "missing_user_id",
        /// A track row without an `event`.
        EventMissing = "event_missing",
        /// A group row without a `groupId`.
        MissingGroupId = "missing_group_id",
        /// An alias row without a `previousId`.
        MissingPreviousId = "missing_previous_id",
        /// An object row without an `id`.
        MissingId = "missing_id",
        /// An object's `id` beyond what the Objects API takes.
        IdTooLong = "id_too_long",
        /// A `messageId` of the file's own that Segment would refuse.
        MessageIdTooLong = "message_id_too_long",
        /// An object row in which every property is empty.
        ObjectEmpty = "object_empty",
        /// An id as spreadsheets write large numbers: digits are lost.
        RoundedId = "rounded_id",
        /// The encoded call is larger than Segment takes.
        CallTooLarge = "call_too_large",
        /// More cells than the header has columns.
        TooManyCells = "too_many_cells",
        /// A quote that is still open where the file ends.
        UnclosedQuote = "unclosed_quote",
        /// Text after a closing quote, or a quote after a blank.
        StrayQuote = "stray_quote",
        /// Bytes that are not text in the file's encoding.
        InvalidEncoding = "invalid_encoding",
        /// A timestamp column that holds no date.
        NotATimestamp = "not_a_timestamp",
        /// A `:number` column that holds no number.
        NotANumber = "not_a_number",
        /// An `:integer` column that holds no integer.
        NotAnInteger = "not_an_integer",
        /// A `:boolean` column, or an integration, that is neither true nor false.
        NotABoolean = "not_a_boolean",
        /// A `:json` column that holds no JSON.
        NotJson = "not_json",
        /// JSON that nests too deep.
        JsonTooDeep = "json_too_deep",
        /// A whole `properties:json`, `traits:json`, `context:json` or `integrations:json` that is
        /// JSON, but no object.
        NotAnObject = "not_an_object",
        /// A cell that the `values` of a mapping lack.
        UnknownValue = "unknown_value",
        /// A row of a group of which another row is refused.
        GroupRefused = "group_refused",
        /// A group of too many rows.
        GroupTooLong = "group_too_long",
        /// A row with another id than the rows before it in the group.
        GroupIdsDiffer = "group_ids_differ",
        /// A row without a cell for the `message_id` of a mapping.
        MessageIdEmpty = "message_id_empty",
    }
}

codes! {
    /// What is read, but not for certain.
    WarningCode {
        /// Fewer cells than the header has columns.
        ShortRow = "short_row",
        /// A null marker in place of an id: it counts as empty.
        IdNullMarker = "id_null_marker",
        /// An id such as `nan`, `None` or `0`.
        IdPlaceholder = "id_placeholder",
        /// An id such as `Total`, `# comment` or `-----`, a line of text, or the name of a column.
        IdNoData = "id_no_data",
        /// Invisible or control characters inside an id.
        IdInvisible = "id_invisible_characters",
        /// An id in a spreadsheet's guard, which is taken off.
        IdGuard = "id_spreadsheet_guard",
        /// An id that begins with an apostrophe.
        IdApostrophe = "id_apostrophe",
        /// An id such as `1.0`.
        IdDecimal = "id_decimal",
        /// An id that is a number in exponent notation, and may have lost digits.
        IdExponent = "id_exponent",
        /// Ids without the digits that a spreadsheet does not keep.
        IdCut = "id_digits_lost",
        /// An id in quotes.
        IdQuotes = "id_quotes",
        /// An id in the notation of a program, such as `ObjectId(5f1a)`.
        IdNotation = "id_notation",
        /// A row whose first cell says that it is a total.
        Footer = "total_row",
        /// A row that is a header in other words.
        OtherHeader = "other_header",
        /// A number as spreadsheets round it, in a cell that is no id.
        RoundedNumber = "rounded_number",
        /// A null marker in a cell that is no id.
        NullMarker = "null_marker",
        /// A spreadsheet's guard in a cell that is no id.
        Guard = "spreadsheet_guard",
        /// An id or an event that begins as a spreadsheet's formula.
        Formula = "spreadsheet_formula",
        /// JSON in a string: it was encoded twice.
        JsonEncodedTwice = "json_encoded_twice",
        /// A name that a JSON object has twice.
        JsonNameRepeated = "json_name_repeated",
        /// Every cell of a row in single quotes.
        SingleQuotes = "single_quotes",
        /// An empty `timestamp`.
        TimestampEmpty = "timestamp_empty",
        /// A date that stands for none or for ever, or a year of two digits.
        TimestampSentinel = "timestamp_sentinel",
        /// Numbers read as Unix time that spell dates and times as well.
        TimestampDigits = "timestamp_digits",
        /// A time without a zone.
        TimestampZoneless = "timestamp_without_zone",
        /// A time that the change of the clocks makes twice or never.
        TimestampAmbiguous = "timestamp_ambiguous",
        /// Dates that are dates with day and month exchanged, too.
        DayMonthOrder = "day_month_order",
        /// Text among inferred numbers or booleans.
        MixedTypes = "mixed_types",
        /// Escapes of Postgres' `COPY`.
        CopyEscapes = "copy_escapes",
        /// Booleans among inferred numbers.
        MixedLiterals = "numbers_and_booleans",
        /// Numbers of which each may be a thousand times as large.
        Thousands = "thousands",
        /// Numbers with a decimal comma by a setting, of which each may have a decimal point.
        DecimalPoints = "decimal_points",
        /// A `messageId` that an earlier row has.
        MessageIdRepeated = "message_id_repeated",
        /// Blanks around an event.
        EventBlanks = "event_blanks",
        /// Blanks around an email address.
        EmailBlanks = "email_blanks",
        /// Valid UTF-8 that a setting says to read as something else.
        LooksLikeUtf8 = "looks_like_utf8",
        /// Ctrl-Z at the end of a row.
        CtrlZ = "ctrl_z",
        /// A bad cell that a mapping omits.
        CellOmitted = "cell_omitted",
        /// A group with the cell of an earlier group.
        GroupReturns = "group_returns",
        /// Rows of a group with different values for one field.
        GroupValuesDiffer = "group_values_differ",
    }
}

codes! {
    /// Why a whole file is refused.
    FaultCode {
        /// Nothing in it, or nothing but blank lines.
        EmptyFile = "empty_file",
        /// Not text: an archive, a workbook, a Parquet file.
        NotCsv = "not_csv",
        /// A gzip or zstd stream that breaks off or does not add up.
        CorruptCompression = "corrupt_compression",
        /// Text in an encoding that is not read, or of which the header is not.
        Encoding = "unreadable_encoding",
        /// Cells are separated by something that is not read.
        Delimiter = "unreadable_delimiter",
        /// A compressed file that later invocations could not inflate again.
        CompressedTooLarge = "compressed_too_large",
        /// A first record beyond the limit.
        HeaderTooLong = "header_too_long",
        /// More columns than the limit.
        TooManyColumns = "too_many_columns",
        /// No column for what every row must have.
        MissingColumn = "missing_column",
        /// Two columns of the same name.
        DuplicateColumn = "duplicate_column",
        /// Two columns of which one would have to be a value and the other an object.
        ColumnConflict = "column_conflict",
        /// Every column with data ends where Segment has no field for it.
        NothingArrives = "nothing_arrives",
        /// A column whose name or type cannot work.
        BadColumn = "bad_column",
        /// The columns of a rejects file, and a name that does not say which mapping refused its rows.
        RejectsOfNoMapping = "rejects_of_no_mapping",
        /// Too much text without a row.
        NoRows = "no_rows",
        /// A row beyond the limit: a quote is probably never closed.
        RowTooLong = "row_too_long",
        /// A group beyond all limits: its column is probably the same in every row.
        GroupTooLong = "group_too_long",
    }
}

/// A refused row: position, code and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowRefusal {
    /// Where the row stands.
    pub span: Span,
    /// Why, for machines.
    pub code: RefusalCode,
    /// The column at fault, where there is one.
    pub column: Option<String>,
    /// Where in its record the cell stands that is at fault, or the cells that are too many.
    pub cell: Option<Range<usize>>,
    /// Why, for people: ``line 4, column `timestamp`: not a date …``.
    pub message: String,
}

/// Why a file cannot be used, or not be read further.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct FileFault {
    /// Why, for machines.
    pub code: FaultCode,
    /// Where, as far as that can be said.
    pub at: Option<Position>,
    /// Why, for people.
    pub message: String,
}

impl FileFault {
    pub(crate) fn new(code: FaultCode, message: impl Into<String>) -> FileFault {
        FileFault { code, at: None, message: message.into() }
    }

    pub(crate) fn at(mut self, at: Position) -> FileFault {
        self.at = Some(at);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_every_code() {
        let document = include_str!("../README.md");
        let codes = RefusalCode::ALL.iter().map(|code| code.as_str());
        for code in codes.chain(FaultCode::ALL.iter().map(|code| code.as_str())) {
            assert!(document.contains(&format!("`{code}`")), "{code}");
        }
    }
}
