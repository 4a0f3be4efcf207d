//! The least and the greatest cell of a column.

/// So many bytes of a cell are compared and kept.
const VALUE_BYTES_MAX: usize = 64;

/// The least and the greatest of a column's filled cells, without blanks at their ends and cut to 64 bytes. Numbers come
/// before texts.
///
/// These are cells: they are for a person at a terminal, and stand in no document and no log line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    range: Option<(String, String)>,
}

impl Values {
    /// The least and the greatest cell, if there is any.
    #[must_use]
    pub fn range(&self) -> Option<(&str, &str)> {
        self.range.as_ref().map(|(least, greatest)| (&**least, &**greatest))
    }

    pub(super) fn add(&mut self, value: &[u8]) {
        let text = cut(value);
        let Some((least, greatest)) = &mut self.range else {
            self.range = Some((text.to_owned(), text.to_owned()));
            return;
        };
        if is_less(text, least) {
            text.clone_into(least);
        } else if is_less(greatest, text) {
            text.clone_into(greatest);
        }
    }
}

fn cut(value: &[u8]) -> &str {
    let text = std::str::from_utf8(value).unwrap_or_default();
    &text[..text.floor_char_boundary(VALUE_BYTES_MAX)]
}

fn is_less(left: &str, right: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    match (number(left), number(right)) {
        (Some(a), Some(b)) if a != b => a < b,
        (Some(_), None) => true,
        (None, Some(_)) => false,
        _ => left < right,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(cells: &[&str], expected: (&str, &str)) {
        for cells in [cells.to_vec(), cells.iter().rev().copied().collect()] {
            let mut values = Values::default();
            cells.iter().for_each(|cell| values.add(cell.as_bytes()));
            assert_eq!(values.range(), Some(expected), "{cells:?}");
        }
    }

    #[test]
    fn numbers_are_compared_by_their_value_and_come_before_texts() {
        check(&["10", "9", "-3.5", "1e1"], ("-3.5", "1e1"));
        check(&["b", "10", "a"], ("10", "b"));
        check(&["2025-12-31", "2024-01-01"], ("2024-01-01", "2025-12-31"));
        let long = "é".repeat(40);
        check(&[&long], (&"é".repeat(32), &"é".repeat(32)));
        assert_eq!(Values::default().range(), None);
    }
}
