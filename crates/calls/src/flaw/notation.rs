//! What a cell that is not JSON probably is.

use super::Hint;

impl Hint {
    /// The hint for a cell that is not JSON.
    pub(crate) fn of_json(value: &[u8]) -> Hint {
        let value = value.trim_ascii();
        let text = std::str::from_utf8(value).unwrap_or_default();
        if is_python(text) {
            return Hint::Python;
        }
        let notation = match Hint::of(value) {
            Hint::None => braces(text),
            hint => return hint,
        };
        match notation {
            Hint::None => slip(text),
            notation => notation,
        }
    }
}

/// Whether a text is a value as Python prints it: a name or a string in single quotes where JSON has none, or a call.
fn is_python(text: &str) -> bool {
    let call = text.split_once('(').filter(|(name, _)| !name.is_empty() && text.ends_with(')'));
    let is_call =
        call.is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_')));
    if is_call || matches!(text, "True" | "False") {
        return true;
    }
    if !text.starts_with(['{', '[', '(']) {
        return false;
    }
    // What stands in double quotes is text, in which people write apostrophes.
    let bare: Vec<&str> = text.split('"').step_by(2).collect();
    let opens = |piece: &&str| ["{'", "['", "('", ", '", ": '", ":'", ",'"].iter().any(|open| piece.contains(open));
    let is_word = |word: &str| matches!(word, "None" | "True" | "False" | "datetime" | "OrderedDict" | "nan");
    bare.iter().any(opens)
        || bare.iter().flat_map(|piece| piece.split(|c: char| !c.is_ascii_alphanumeric())).any(is_word)
}

/// What people and JavaScript write that JSON does not have.
fn slip(text: &str) -> Hint {
    let words =
        |piece: &str| -> Vec<String> { piece.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_owned).collect() };
    let is_word = |is: fn(&str) -> bool| text.split('"').step_by(2).flat_map(words).any(|word| is(&word));
    let is_json_word = |word: &str| ["true", "false", "null"].iter().any(|known| word.eq_ignore_ascii_case(known));
    let has_control = |piece: &str| piece.contains(|c: char| c.is_ascii_control());
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
    if values.next().is_some_and(|value| value.is_ok()) && values.next().is_some() {
        return Hint::SeveralValues;
    }
    if is_json_word(text) {
        return Hint::Capitals;
    }
    if !text.starts_with(['{', '[', '"', '\u{201C}']) {
        return Hint::None;
    }
    if text.contains(['\u{201C}', '\u{201D}', '\u{201E}']) {
        Hint::CurlyQuotes
    } else if is_word(|word| matches!(word, "undefined" | "NaN" | "Infinity")) {
        Hint::ScriptValue
    } else if text.split('"').step_by(2).any(has_bare_name) {
        Hint::BareName
    } else if text.split('"').skip(1).step_by(2).any(has_control) {
        Hint::LineBreak
    } else if text.split('"').step_by(2).any(has_last_comma) {
        Hint::LastComma
    } else if text.starts_with(['{', '[']) && !text.ends_with(['}', ']']) {
        Hint::CutOff
    } else {
        Hint::None
    }
}

/// `{a:`, `, b :`
fn has_bare_name(piece: &str) -> bool {
    piece.split(['{', ',']).skip(1).any(|behind| {
        let name = behind.split(':').next().unwrap_or_default().trim();
        behind.contains(':')
            && name.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '$'))
            && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '-'))
    })
}

/// `,}`, `, ]`
fn has_last_comma(piece: &str) -> bool {
    piece.split(',').skip(1).any(|behind| behind.trim_start().starts_with(['}', ']']))
}

/// `{a=1}` of Hive and Java, `{a,b}` of Postgres.
fn braces(text: &str) -> Hint {
    let Some(inside) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else { return Hint::None };
    let is_map = inside.split_once('=').is_some_and(|(name, _)| !name.is_empty() && !name.contains(['"', ':']));
    if is_map {
        Hint::JavaMap
    } else if !inside.contains(':') && !inside.contains('{') {
        Hint::PostgresArray
    } else {
        Hint::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_json_cell_gets_a_hint_about_its_notation() {
        for (cell, expected) in [
            ("{'a': True}", Hint::Python),
            ("{\"a\": None}", Hint::Python),
            ("[1, nan]", Hint::Python),
            ("OrderedDict([('a', 1)])", Hint::Python),
            ("datetime.date(2019, 5, 11)", Hint::Python),
            ("{\"a\": \"it's a long te", Hint::CutOff),
            ("{\"a\": \"None of it", Hint::CutOff),
            ("[1, 2", Hint::CutOff),
            ("{\"a\": \"it's\",}", Hint::LastComma),
            ("{a=1, b=2}", Hint::JavaMap),
            ("{a,b}", Hint::PostgresArray),
            ("NaN", Hint::NullMarker),
            ("None", Hint::NullMarker),
            ("[object Object]", Hint::NullMarker),
            ("True", Hint::Python),
            ("TRUE", Hint::Capitals),
            ("{a: 1}", Hint::BareName),
            ("{\"a\": {b: 1}}", Hint::BareName),
            ("{\"a\": undefined}", Hint::ScriptValue),
            ("{\"a\": NaN}", Hint::ScriptValue),
            ("{\u{201C}a\u{201D}: 1}", Hint::CurlyQuotes),
            ("{\"a\": \"x\ny\"}", Hint::LineBreak),
            ("{\"a\": 1,}", Hint::LastComma),
            ("{}{}", Hint::SeveralValues),
            ("{\"a\": \"undefined, b: 1\"; }", Hint::None),
            ("\"\\ud800\"", Hint::None),
            ("x", Hint::None),
        ] {
            assert_eq!(Hint::of_json(cell.as_bytes()), expected, "{cell}");
        }
    }
}
