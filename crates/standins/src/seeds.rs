//! The seeds that a story of chance plays: `SEED=17`, `SEEDS=200` or `SEEDS=100..200`.

use std::ops::Range;

/// The seed of `SEED`, which a failed story prints.
///
/// # Panics
/// If `SEED` is not a number.
#[must_use]
pub fn only_seed() -> Option<u64> {
    let text = std::env::var("SEED").ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("SEED={text}: write SEED=17")))
}

/// The seed of `SEED`, or the seeds of `SEEDS`, or the `usual` ones.
///
/// # Panics
/// If a variable has another form.
#[must_use]
pub fn seeds(usual: Range<u64>) -> Range<u64> {
    if let Some(seed) = only_seed() {
        return seed..seed + 1;
    }
    let Ok(text) = std::env::var("SEEDS") else { return usual };
    range(&text).unwrap_or_else(|| panic!("SEEDS={text}: write SEEDS=200 or SEEDS=100..200"))
}

/// `200` is `0..200`. A range without seeds is wrong, because nothing would be played.
fn range(text: &str) -> Option<Range<u64>> {
    let (from, to) = text.split_once("..").unwrap_or(("0", text));
    let range = from.parse().ok()?..to.parse().ok()?;
    (!range.is_empty()).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_count_or_a_range() {
        assert_eq!(range("200"), Some(0..200));
        assert_eq!(range("100..200"), Some(100..200));
        for text in ["", "0", "7..7", "9..7", "..7", "7..", "a", "0..1..2"] {
            assert_eq!(range(text), None, "{text}");
        }
    }
}
