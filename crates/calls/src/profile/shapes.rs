//! The shape of a cell: digits as `9`, letters as `A`, signs as they are.

use protocol::profile::Patterns;

/// Longer cells are texts, and no two have the same shape.
const SHAPE_BYTES_MAX: usize = 32;

/// Counts the shape of a cell.
///
/// A cell of signs alone would be its own shape, so it has none. Every character beyond ASCII counts as a letter.
pub(super) fn count(cell: &[u8], shapes: &mut Patterns) {
    let mut shape = [0; SHAPE_BYTES_MAX];
    let length = write(cell, &mut shape);
    shapes.count(length.and_then(|length| std::str::from_utf8(&shape[..length]).ok()));
}

fn write(cell: &[u8], shape: &mut [u8; SHAPE_BYTES_MAX]) -> Option<usize> {
    let (mut length, mut hides) = (0, false);
    for byte in cell {
        let sign = SIGNS[usize::from(*byte)];
        if sign == CONTINUED {
            continue;
        }
        hides |= sign == b'9' || sign == b'A';
        *shape.get_mut(length)? = sign;
        length += 1;
    }
    hides.then_some(length)
}

/// The sign of a byte that is not the first of its character.
const CONTINUED: u8 = 0;

/// What stands for each byte.
const SIGNS: [u8; 256] = {
    let mut signs = [CONTINUED; 256];
    let mut byte = 0;
    while byte < 256 {
        signs[byte] = match byte as u8 {
            b'0'..=b'9' => b'9',
            b'a'..=b'z' | b'A'..=b'Z' | 0xC0..=0xFF => b'A',
            0x80..=0xBF => CONTINUED,
            0..=b' ' | 0x7F => b' ',
            sign => sign,
        };
        byte += 1;
    }
    signs
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(cell: &str, expected: Option<&str>) {
        let mut shape = [0; SHAPE_BYTES_MAX];
        let length = write(cell.as_bytes(), &mut shape);
        assert_eq!(length.map(|length| std::str::from_utf8(&shape[..length]).unwrap()), expected, "{cell}");
    }

    #[test]
    fn a_shape_keeps_signs_and_hides_letters_and_digits() {
        check("2025-12-31", Some("9999-99-99"));
        check("ABC-123", Some("AAA-999"));
        check("Zoë Ää\t1", Some("AAA AA 9"));
        check("#1001", Some("#9999"));
        check("--", None);
        check(&"1".repeat(32), Some(&"9".repeat(32)));
        check(&"1".repeat(33), None);
    }

    proptest! {
        #[test]
        fn no_letter_and_no_digit_of_a_cell_is_in_its_shape(cell in "[ -~é€]{0,40}") {
            let mut shape = [0; SHAPE_BYTES_MAX];
            let length = write(cell.as_bytes(), &mut shape).unwrap_or(0);
            prop_assert!(shape[..length].iter().all(|byte| matches!(byte, b'9' | b'A') || byte.is_ascii_punctuation() || *byte == b' '));
        }
    }
}
