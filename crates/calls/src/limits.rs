//! Segment's limits on one call.

/// Largest call, encoded.
///
/// Segment docs: HTTP API, "32KB per call". Libraries disagree whether that is 32,000 or 32,768
/// bytes; this satisfies all of them.
pub const CALL_BYTES_MAX: usize = 32_000;

/// Most rows of a group, which become one call.
pub(crate) const GROUP_ROWS_MAX: usize = 1_000;

/// Longest `messageId`: under 100 characters, says Segment (HTTP API, batch limits).
pub const MESSAGE_ID_CHARS_MAX: usize = 99;

/// Longest `id` of an object. Segment docs: Object API, "id … up to 100 characters".
pub const OBJECT_ID_CHARS_MAX: usize = 100;
