//! Names of mappings and destinations.

/// Whether it may stand in reports, metrics and keys.
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

/// The fault of any other name.
pub(crate) const NAME_FAULT: &str = "is not a name; write at most 64 letters, digits, `.`, `_` and `-`";
