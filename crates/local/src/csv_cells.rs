//! The cells of a record in UTF-8.

/// The cells of one record, quoted as RFC 4180 has it.
pub(crate) fn cells(record: &[u8], delimiter: u8) -> Vec<String> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(record);
    let first = reader.byte_records().next().and_then(Result::ok).unwrap_or_default();
    first.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect()
}
