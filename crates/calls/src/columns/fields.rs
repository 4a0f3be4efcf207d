//! The fields that Segment has at the top of each kind of call, and advice on names that are none.
//!
//! Segment docs: Spec, Common Fields; and Identify, Track, Page, Screen, Group, Alias.

use crate::kind::{self, Api, Kind, Required};
use crate::refusal::{FaultCode, FileFault};

use super::heading::{Heading, Mapped, shown};

/// What the first part of a column's name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// A string of Segment's: an id, `event`, `name`.
    Text,
    /// The time of the call.
    Timestamp,
    /// An object of Segment's; `known` when this kind of call has it.
    Container { known: bool },
    /// What we or Segment write there ourselves. A column for it would give a call two `type`s, or
    /// a `sentAt` that moves every timestamp.
    Ours,
    /// Nothing of Segment's.
    Unknown,
}

/// Segment docs: Spec, Common Fields: set by the API, or by whoever sends the request.
const OURS: [&str; 9] =
    ["type", "sentAt", "receivedAt", "originalTimestamp", "channel", "version", "projectId", "writeKey", "_metadata"];

/// Whether a call of the Tracking API takes no value of a row at that name, because Segment or the file's name says what
/// stands there.
pub fn is_never_sent(name: &str) -> bool {
    OURS.contains(&name)
}

/// What `name` is at the top of a call of `kind`.
pub(super) fn field(kind: Kind, name: &str) -> Field {
    if kind.entry().texts.iter().any(|text| text.name == name) {
        Field::Text
    } else if name == "timestamp" {
        Field::Timestamp
    } else if kind::is_container(name) {
        Field::Container { known: kind.containers().contains(&name) }
    } else if OURS.contains(&name) {
        Field::Ours
    } else {
        Field::Unknown
    }
}

/// Refuses a header without a column for what every row must have.
///
/// Segment docs: Spec, Common Fields and each call's own fields.
pub(super) fn require(kind: Kind, headings: &[Heading<'_>]) -> Result<(), FileFault> {
    let missing = missing(kind, headings);
    if missing.is_empty() {
        return Ok(());
    }
    let advice = missing.iter().filter_map(|any_of| {
        headings.iter().zip(1..).find_map(|(heading, number)| {
            let meant = near(heading.name, any_of)?;
            if plain(heading.name) == plain(meant) {
                return Some(format!("rename the column {} to `{meant}`", heading.shown()));
            }
            // Where the header is missing, `user7` and `Evert` are people, and no misspellings of `userId`
            // and `event`. The number of the column is nobody's.
            let may_be_data = heading.full.contains(|c: char| c.is_numeric() || c == '@');
            (!may_be_data).then(|| format!("column {number} may be meant as `{meant}`"))
        })
    });
    let advice: Vec<String> = advice.collect();
    let advice = if advice.is_empty() { "the first row must name the columns".to_owned() } else { advice.join("; ") };
    Err(FileFault::new(
        FaultCode::MissingColumn,
        format!("no column {}, which every {kind} needs; {advice}", in_words(&missing, " and no column ")),
    ))
}

/// Refuses a mapping without a field that every row must have.
pub(super) fn require_mapped(kind: Kind, headings: &[Heading<'_>]) -> Result<(), FileFault> {
    let missing = missing(kind, headings);
    if missing.is_empty() {
        return Ok(());
    }
    Err(FileFault::new(
        FaultCode::MissingColumn,
        format!(
            "the mapping makes no {}, which every {kind} needs: name a column for it, or set it",
            in_words(&missing, " and no ")
        ),
    ))
}

fn missing(kind: Kind, headings: &[Heading<'_>]) -> Vec<&'static [&'static str]> {
    // A key below a container is none of Segment's fields, whatever its name.
    let is_field =
        |heading: &&Heading<'_>| kind.api() == Api::Objects || !matches!(heading.mapped, Some(Mapped::Key(..)));
    let is_there = |any_of: &[&str]| headings.iter().filter(is_field).any(|heading| any_of.contains(&heading.name));
    let needed = kind.entry().required.iter().map(|Required { any_of, .. }| *any_of);
    needed.filter(|any_of| !is_there(any_of)).collect()
}

fn in_words(missing: &[&[&str]], between: &str) -> String {
    let one = |any_of: &&[&str]| any_of.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
    missing.iter().map(one).collect::<Vec<_>>().join(between)
}

/// What to write instead of a name that is no field.
pub(super) fn advice(kind: Kind, name: &str) -> String {
    let (first, rest) = match name.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (name, None),
    };
    if kind::is_container(first) && !kind.containers().contains(&first) {
        // `traits.plan` on a track call, `properties.plan` on an identify call.
        return format!("write `{}.{}`", home_of(kind, first), rest.unwrap_or("<name>"));
    }
    match rest {
        Some(rest) => match near(first, &kind.containers()) {
            Some(container) => format!("is `{container}.{rest}` meant?"),
            None => format!("is `{}.{name}` meant?", kind.home()),
        },
        None => match near_field(kind, name) {
            Some(field) => format!("is `{field}` meant?"),
            None => format!("to have it among the {0}, write `{0}.` before its name", kind.home()),
        },
    }
}

/// The field at the top of a call that `name` is a misspelling of, if any.
fn near_field(kind: Kind, name: &str) -> Option<&'static str> {
    let texts = kind.entry().texts.iter().map(|text| text.name);
    let fields: Vec<&str> = texts.chain(["timestamp"]).collect();
    near(name, &fields)
}

/// The object of this kind's calls for the values of an object that only other kinds have.
fn home_of(kind: Kind, container: &str) -> &'static str {
    match (kind.home(), container) {
        ("properties", "traits") => "context.traits",
        (home, _) => home,
    }
}

/// What to do about a path that is no field of Segment's.
pub(super) fn meant(kind: Kind, path: &str) -> String {
    if path.contains('.') && path.split('.').any(str::is_empty) {
        return format!("a part of {} is empty: write a name between its dots", shown(path));
    }
    if kind::is_container(path) {
        return format!("write `{}` for {}", kind.home(), shown(path));
    }
    if let Some((container, rest)) = path.split_once('.').filter(|(container, _)| kind::is_container(container)) {
        return format!("write `{}.{rest}` for {}", home_of(kind, container), shown(path));
    }
    let container = path.split_once('.').and_then(|(first, rest)| Some((near(first, &kind.containers())?, rest)));
    match container {
        Some((container, rest)) => format!("write `{container}.{rest}` for {}", shown(path)),
        None => match near_field(kind, path).filter(|_| !path.contains('.')) {
            Some(field) => format!("is `{field}` meant? Else write `{}.{path}` for it", kind.home()),
            None => format!("write `{}.{path}` for {}", kind.home(), shown(path)),
        },
    }
}

/// The candidate that `name` is a misspelling of, if any: the same letters in another style
/// (`user_id`, `UserId`), or few letters apart.
pub(crate) fn near<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let name = plain(name);
    candidates
        .iter()
        .map(|candidate| (strsim::generic_levenshtein(&name, &plain(candidate)), *candidate))
        .filter(|(edits, candidate)| *edits <= candidate.len() / 3)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// The letters and digits of a name, in lower case.
pub(crate) fn plain(text: &str) -> Vec<char> {
    text.chars().filter(|c| c.is_alphanumeric()).take(64).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_an_empty_part_is_told_to_fill_it() {
        for path in ["properties..A", "properties.", "a..b"] {
            let expected = format!("a part of `{path}` is empty: write a name between its dots");
            assert_eq!(meant(Kind::Track, path), expected);
        }
    }

    #[test]
    fn a_misspelt_name_is_recognised() {
        let known = ["userId", "anonymousId", "event", "properties", "traits"];
        for (name, meant) in [
            ("userid", Some("userId")),
            ("user_id", Some("userId")),
            ("User ID", Some("userId")),
            ("user", Some("userId")),
            ("anonymous_id", Some("anonymousId")),
            ("Event", Some("event")),
            ("property", Some("properties")),
            ("trait", Some("traits")),
            ("plan", None),
            ("email", None),
            ("", None),
        ] {
            assert_eq!(near(name, &known), meant, "{name}");
        }
    }
}
