//! Which cells may be empty or a null marker. Most cells are neither, as their first byte and their length show.

use crate::ids::{self, MARKER_LENGTHS, NULL_MARKERS, Nulls, is_null_marker, is_void};
use crate::rows::Cell;

use super::part::Length;

/// The longest null marker of ours, with some blanks around it.
const MARKER_BYTES_MAX: u32 = 20;

/// First bytes of the characters beyond ASCII that may be blank or invisible.
const MAYBE_NOTHING: [u8; 8] = [0xC2, 0xCD, 0xD8, 0xE1, 0xE2, 0xE3, 0xEF, 0xF3];

/// Finds empty cells and null markers.
#[derive(Debug)]
pub(super) struct Markers {
    /// Null markers besides ours.
    nulls: Option<Nulls>,
    /// How long a cell is at most that may be empty or a null marker, by its first byte.
    odd_bytes_max: [u32; 256],
    scratch: Vec<u8>,
}

impl Markers {
    pub(super) fn new(nulls: &[String]) -> Markers {
        Markers {
            nulls: (!nulls.is_empty()).then(|| Nulls::new(nulls.to_vec())),
            odd_bytes_max: odd_bytes_max(nulls),
            scratch: Vec::new(),
        }
    }

    /// Whether a cell is certainly filled. A doubled quote at its beginning is a quote of the value as well.
    #[inline]
    pub(super) fn is_plain(&self, cell: &Cell, text: &[u8]) -> bool {
        let first = text.get(cell.start()).copied().unwrap_or_default();
        cell.bytes() > self.odd_bytes_max[usize::from(first)]
    }

    /// The length of any cell.
    #[inline(never)]
    pub(super) fn length(&mut self, cell: &Cell, text: &[u8]) -> Length {
        let raw = cell.raw(text);
        if raw.is_empty() {
            return Length::Empty;
        }
        if self.nulls.is_none() && !may_be_odd(raw) {
            return Length::Filled(cell.bytes());
        }
        let value = cell.value(text, &mut self.scratch);
        if is_void(value) {
            Length::Empty
        } else if self.nulls.as_ref().is_some_and(|nulls| nulls.has(value)) || is_null_marker(ids::trim(value)) {
            Length::Null
        } else {
            Length::Filled(cell.bytes())
        }
    }
}

#[inline]
fn narrow(bytes: usize) -> u32 {
    // A record is at most 1 MiB, plus what one push holds beyond it.
    u32::try_from(bytes).unwrap_or(u32::MAX - 1)
}

/// Whether a cell is as long as a null marker, or may have blanks at its ends.
#[inline]
fn may_be_odd(value: &[u8]) -> bool {
    match value {
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() && *first != b'#' => {
            u32::try_from(value.len()).is_ok_and(|bytes| bytes < 32 && MARKER_LENGTHS & (1 << bytes) != 0)
        }
        [first, ..] if !first.is_ascii() => begins_with_nothing(value),
        _ => true,
    }
}

/// Whether the first character, which is not ASCII, shows nothing. No null marker begins with another such character.
fn begins_with_nothing(value: &[u8]) -> bool {
    let first = value.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next());
    first.is_none_or(ids::is_nothing)
}

fn odd_bytes_max(nulls: &[String]) -> [u32; 256] {
    let mut bytes_max = [0; 256];
    for (first, bytes) in (0..=u8::MAX).zip(&mut bytes_max) {
        let is_odd = if first.is_ascii() { !first.is_ascii_graphic() } else { MAYBE_NOTHING.contains(&first) };
        // A column of a spreadsheet that is too narrow is as many `#` as it is wide.
        if is_odd || first == b'#' {
            *bytes = u32::MAX;
        }
    }
    for first in NULL_MARKERS.iter().filter_map(|marker| marker.bytes().next()) {
        bytes_max[usize::from(first)] = MARKER_BYTES_MAX;
    }
    for null in nulls {
        let Some(first) = null.bytes().next() else { continue };
        let most = &mut bytes_max[usize::from(first)];
        *most = narrow(null.len()).max(*most);
    }
    bytes_max
}
