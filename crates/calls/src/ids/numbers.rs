//! Ids that are numbers as spreadsheets and tables of floating-point numbers write them.

/// Whether a cell may be `1.0`, `4.479E11`, `12.5E6` or `1E+11`.
pub(super) fn is_number_like(cell: &[u8]) -> bool {
    let (mut has_plus, mut has_e) = (false, false);
    for byte in cell.iter().rev().take(POWER_BYTES_MAX + 1) {
        has_plus |= *byte == b'+';
        has_e |= matches!(byte, b'E' | b'e');
    }
    matches!(cell, [_, b'.' | b',', ..])
        || has_plus
        || (has_e && memchr::memchr2(b'.', b',', cell).is_some())
        || (cell.ends_with(b"0") && is_decimal(cell))
}

/// A number in exponent notation.
#[derive(Clone, Copy, Debug)]
struct Exponent {
    has_sign: bool,
    whole_digits: usize,
    /// How many digits stand behind the point, if there is one.
    fraction_digits: Option<usize>,
    /// Whether a `+` stands before the power.
    has_plus: bool,
    /// Whether a `-` stands before the power.
    has_minus: bool,
    /// Whether blanks stand around the `E`.
    has_blank: bool,
}

/// The longest power of ten, with its sign: `+011`.
const POWER_BYTES_MAX: usize = 4;

/// Takes a number in exponent notation apart.
fn exponent(cell: &[u8]) -> Option<Exponent> {
    let at = cell.iter().position(|byte| matches!(byte, b'E' | b'e'))?;
    let (raw_number, raw_power) = (&cell[..at], &cell[at + 1..]);
    let (number, power) = (raw_number.trim_ascii_end(), raw_power.trim_ascii_start());
    let unsigned = number.strip_prefix(b"-").or_else(|| number.strip_prefix(b"+")).unwrap_or(number);
    let mut parts = unsigned.splitn(2, |byte| matches!(byte, b'.' | b','));
    let (whole, fraction) = (parts.next()?, parts.next());
    let digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    let (has_plus, has_minus) = (power.starts_with(b"+"), power.starts_with(b"-"));
    let ten_to = &power[usize::from(has_plus || has_minus)..];
    let is_number = digits(whole) && fraction.is_none_or(digits) && whole.len() + fraction.map_or(0, <[u8]>::len) > 0;
    let is_power = digits(ten_to) && !ten_to.is_empty() && raw_power.len() <= POWER_BYTES_MAX;
    (is_number && is_power).then(|| Exponent {
        has_sign: unsigned.len() < number.len(),
        whole_digits: whole.len(),
        fraction_digits: fraction.map(<[u8]>::len),
        has_plus,
        has_minus,
        has_blank: number.len() < raw_number.len() || power.len() < raw_power.len(),
    })
}

impl Exponent {
    /// Whether a spreadsheet or a program has written a number so, which then has lost digits: `4.479E+11`, `447.9E+9`,
    /// `1E+11`, `4.479E11`. `12e5` and `1e5` are codes.
    fn is_rounded(self) -> bool {
        let has_fraction = self.fraction_digits.is_some_and(|digits| digits > 0);
        let is_scientific = self.whole_digits == 1 && has_fraction && !self.has_minus;
        let is_positive = self.has_plus && (self.fraction_digits.is_some() || self.has_sign || self.whole_digits == 1);
        !self.has_blank && (is_positive || is_scientific)
    }

    /// Whether it may be such a number: `12E+5`, `4.479E-05`, `4.479 E+11`, `12.5E6`.
    fn is_doubtful(self) -> bool {
        self.has_plus || self.fraction_digits.is_some()
    }
}

/// Whether a cell may be a number in exponent notation that has lost digits.
pub(super) fn is_exponent(cell: &[u8]) -> bool {
    exponent(cell).is_some_and(Exponent::is_doubtful)
}

/// Whether a cell is a number that has lost digits, in exponent notation.
pub(crate) fn is_rounded(cell: &[u8]) -> bool {
    exponent(cell).is_some_and(Exponent::is_rounded)
}

/// The digits that a spreadsheet keeps of a number.
const SPREADSHEET_DIGITS: usize = 15;

/// Whether an id is a number of more digits than a spreadsheet keeps.
#[inline]
pub(crate) fn may_be_cut(id: &[u8]) -> bool {
    id.len() > SPREADSHEET_DIGITS && matches!(id, [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9', ..])
}

/// Whether such a number has lost the digits that a spreadsheet does not keep: `447900000000000000`. `None` if the id is
/// not a number.
#[cold]
pub(crate) fn is_cut(id: &[u8]) -> Option<bool> {
    let is_number = id.iter().all(u8::is_ascii_digit);
    is_number.then(|| id[SPREADSHEET_DIGITS..].iter().all(|digit| *digit == b'0'))
}

/// `1.0`, `1,00`, `1.000`: digits and a fraction of zeros, as a table of floating-point numbers writes 1. The last may be
/// a thousand as well.
pub(super) fn is_decimal(id: &[u8]) -> bool {
    let Some(at) = id.iter().position(|byte| matches!(byte, b'.' | b',')) else { return false };
    let (whole, zeros) = (&id[..at], &id[at + 1..]);
    let is_number = !whole.is_empty() && whole.iter().all(u8::is_ascii_digit);
    is_number && !zeros.is_empty() && zeros.iter().all(|byte| *byte == b'0')
}
