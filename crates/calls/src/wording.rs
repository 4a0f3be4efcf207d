//! Messages in the words of a mapping.
//!
//! Messages name a setting as the environment has it (`CSV_ENCODING`). The user of a mapping writes it in the mapping,
//! under another name.

use crate::reading::key_of;

/// A message about a file, with each setting under the name that it has in a mapping, if one reads the file.
pub(crate) fn worded(message: String, is_mapped: bool) -> String {
    let is_setting_part = |c: char| c.is_ascii_uppercase() || c == '_';
    if !is_mapped || !message.contains(is_setting_part) {
        return message;
    }
    let mut out = String::with_capacity(message.len());
    for (index, part) in message.split('`').enumerate() {
        if index > 0 {
            out.push('`');
        }
        // Names of columns stand in backticks.
        if index % 2 == 1 {
            out.push_str(part);
            continue;
        }
        let mut rest = part;
        while let Some(at) = rest.find(is_setting_part) {
            let (before, from) = rest.split_at(at);
            let (word, behind) = from.split_at(from.find(|c| !is_setting_part(c)).unwrap_or(from.len()));
            out.push_str(before);
            rest = append(word, behind, &mut out);
        }
        out.push_str(rest);
    }
    out
}

/// Appends a word, or the setting and the value that it begins. Returns the rest of `behind`.
fn append<'a>(word: &str, behind: &'a str, out: &mut String) -> &'a str {
    let Some(key) = key_of(word) else {
        out.push_str(word);
        return behind;
    };
    let value = behind.strip_prefix('=').unwrap_or_default();
    let length = value.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(value.len());
    let (value, rest) = value.split_at(length);
    if value.is_empty() {
        out.push_str(&format!("`{key}`"));
        return behind;
    }
    out.push_str(&format!("`{key} = \"{value}\"`"));
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_has_the_name_that_it_has_in_a_mapping() {
        for (message, mapped) in [
            ("not UTF-8: set CSV_ENCODING=auto or utf-8", "not UTF-8: set `encoding = \"auto\"` or utf-8"),
            ("add it to ID_NULLS if it is not an id", "add it to `id_nulls` if it is not an id"),
            ("column `NULLS`: a null marker: set NULLS", "column `NULLS`: a null marker: set `nulls`"),
            ("columns `a` and `b`", "columns `a` and `b`"),
            ("AM or PM: set TIMESTAMP_FORMATS, for instance to %p", "AM or PM: set `dates`, for instance to %p"),
        ] {
            assert_eq!(worded(message.to_owned(), true), mapped);
            assert_eq!(worded(message.to_owned(), false), message);
        }
    }
}
