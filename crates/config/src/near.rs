//! Lists of words for messages, and the word that was meant.

/// `a`, `b` and `c`.
pub(crate) fn list(words: &[&str]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [one] => format!("`{one}`"),
        [all @ .., last] => {
            let all: Vec<String> = all.iter().map(|word| format!("`{word}`")).collect();
            format!("{} or `{last}`", all.join(", "))
        }
    }
}

/// The known word that `written` is probably a misspelling of.
pub(crate) fn of<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let written = written.to_lowercase().replace('-', "_");
    let distance = |word: &str| strsim::damerau_levenshtein(&written, word);
    known
        .iter()
        .copied()
        .min_by_key(|word| distance(word))
        .filter(|word| distance(word) * 3 <= word.len().max(written.len()))
}
