//! What a source object is about, read from its name.
//!
//! The walkthrough dispatches on the beginning of the key, such as `track_` or `object_<collection>_`. It looks at the
//! whole key, so a folder breaks it; here the *basename* decides.

use protocol::keys::rejects_name;
use protocol::mapping::Mapping;
use protocol::reading::Reading;
use thiserror::Error;

use crate::kind::{Api, Kind};

/// Longest collection name that the Objects API takes.
///
/// Segment docs: Object API, "collection": lowercase letters and underscores, up to 100 characters.
pub const COLLECTION_CHARS_MAX: usize = 100;

/// What a source object is about: the kind of its rows, and for objects their collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The kind of every row.
    pub kind: Kind,
    /// The collection; `Some` exactly when the kind is of [`Api::Objects`].
    pub collection: Option<String>,
    /// The object's basename: its key after the last `/`.
    pub name: String,
    /// The name of the mapping, if a mapping says kind and collection, and not the name.
    pub mapping: Option<String>,
}

/// Why the calls of a file do not follow from its name. The whole file is refused, before anything is sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SubjectError {
    /// The prefix of no kind.
    #[error(
        "`{name}`: the name has no known prefix; rename the file so that it begins with one of {}{}",
        Kind::ALL.iter().map(|kind| kind.prefix_shown()).collect::<Vec<_>>().join(", "),
        near.map(|kind| format!(" (is `{kind}_` meant? prefixes are lower case and end in `_`)")).unwrap_or_default()
    )]
    UnknownPrefix {
        /// The basename.
        name: String,
        /// The kind that the name would be of, were it written in lower case and with a `_`.
        near: Option<Kind>,
    },
    /// `object_2024.csv`: nothing in the name can be a collection.
    #[error(
        "`{name}`: no collection in the name; write object_<collection>_1.csv, list it in COLLECTIONS, or set the object's metadata segment-collection"
    )]
    NoCollection {
        /// The basename.
        name: String,
    },
    /// A collection that the Objects API would refuse.
    #[error(
        "`{name}`: the Objects API refuses the collection `{collection}`: lowercase letters a-z and `_` only, no `_` at either end, at most {COLLECTION_CHARS_MAX} characters"
    )]
    BadCollection {
        /// The basename.
        name: String,
        /// The collection that was read.
        collection: String,
    },
    /// A mapping to no kind of call.
    #[error(
        "`{name}`: the mapping's call `{call}` is unknown; write one of identify, track, page, screen, group, alias, object"
    )]
    UnknownCall {
        /// The basename.
        name: String,
        /// The call that the mapping says.
        call: String,
    },
}

impl Subject {
    /// Reads the subject of the object stored under `key`.
    ///
    /// `collections` are the configured names (`COLLECTIONS`), `metadata_collection` is the object's
    /// own `x-amz-meta-segment-collection`, which wins over everything in the name.
    ///
    /// | key | collection |
    /// |---|---|
    /// | `object_rooms_1.csv`, `object_rooms_2024_05.csv`, `object_rooms_lihue.csv`, `object_rooms.csv` | `rooms` |
    /// | `object_room_types_2024.csv`, `object_room_types_all.csv` | `room_types` |
    /// | `object_room_types.csv` | `room`, as the walkthrough reads it |
    /// | `object_room_types.csv` with `COLLECTIONS=room_types,rooms` | `room_types` |
    pub fn of(key: &str, collections: &[String], metadata_collection: Option<&str>) -> Result<Subject, SubjectError> {
        let name = key.rsplit('/').next().unwrap_or(key).to_owned();
        let Some((kind, rest)) = Kind::of_name(&name) else {
            let near = near_kind(&name);
            return Err(SubjectError::UnknownPrefix { name, near });
        };
        if kind.api() == Api::Tracking {
            return Ok(Subject { kind, collection: None, name, mapping: None });
        }
        let collection = match metadata_collection.or_else(|| collection_in(rest, collections)) {
            Some(collection) => collection.to_owned(),
            None => return Err(SubjectError::NoCollection { name }),
        };
        if !is_collection(&collection) {
            return Err(SubjectError::BadCollection { name, collection });
        }
        Ok(Subject { kind, collection: Some(collection), name, mapping: None })
    }

    /// The subject of the object stored under `key`, whose rows `mapping` reads.
    pub fn mapped(mapping: &Mapping, key: &str) -> Result<Subject, SubjectError> {
        let name = key.rsplit('/').next().unwrap_or(key).to_owned();
        let Some(kind) = Kind::ALL.iter().copied().find(|kind| kind.as_str() == mapping.call) else {
            return Err(SubjectError::UnknownCall { name, call: mapping.call.clone() });
        };
        let collection = mapping.collection.clone().filter(|_| kind.api() == Api::Objects);
        match &collection {
            None if kind.api() == Api::Objects => Err(SubjectError::NoCollection { name }),
            Some(collection) if !is_collection(collection) => {
                Err(SubjectError::BadCollection { name, collection: collection.clone() })
            }
            _ => Ok(Subject { kind, collection, name, mapping: Some(mapping.name.clone()) }),
        }
    }

    /// Whether the object is called as a rejects file.
    pub(crate) fn is_called_rejects(&self) -> bool {
        rejects_stem(&self.name).is_some()
    }

    /// The name for the file of refused rows: `track_1.csv` gives `track_1.rejects.csv`, and under the mapping `crm`
    /// `contacts.csv` gives `contacts.crm.rejects.csv`.
    ///
    /// It keeps the prefix, so the file can be dropped back as it is. Endings that say how the
    /// source was compressed go, because rejects are plain text. Where the name alone would give
    /// objects another collection than they have, a name that gives it is put before it.
    pub fn rejects_name(&self) -> String {
        let stem = uncompressed(&self.name);
        let stem = stem.strip_suffix(".csv").unwrap_or(stem);
        if let Some(mapping) = &self.mapping {
            return rejects_name(stem, &mapped_rejects_ending(mapping));
        }
        let name = rejects_name(stem, REJECTS_ENDING);
        match &self.collection {
            Some(collection) if !names(&name, collection) => {
                rejects_name(&format!("{}_{collection}_1.{stem}", self.kind), REJECTS_ENDING)
            }
            _ => name,
        }
    }
}

/// The end of the name of each rejects file.
const REJECTS_ENDING: &str = ".rejects.csv";

fn mapped_rejects_ending(mapping: &str) -> String {
    format!(".{mapping}{REJECTS_ENDING}")
}

/// Whether the name of an object says that it has the rows that the mapping of that name refused. Such an object is for
/// that mapping alone. Programs that keep or copy a file change capitals, and the end of its name.
pub fn is_rejects_of(mapping: &str, key: &str) -> bool {
    let ending = format!(".{}", mapping.to_lowercase());
    rejects_stem(key).is_some_and(|stem| stem.ends_with(&ending))
}

/// What stands before `.rejects.csv` in a name, in small letters; `None` if it is no name of a rejects file.
fn rejects_stem(name: &str) -> Option<String> {
    let name = name.to_lowercase();
    let name = uncompressed(&name);
    let stem = first_copy(name.strip_suffix(".csv").unwrap_or(name));
    stem.strip_suffix(".rejects").map(str::to_owned)
}

/// Words behind the name of a copy, as programs write them in several languages.
const COPY_WORDS: [&str; 7] = ["copy", "kopie", "copie", "copia", "kopia", "kopi", "cópia"];

/// A name without the ending that programs give to a second file of that name: ` (1)`, ` - Copy`, ` copy 2`.
fn first_copy(stem: &str) -> &str {
    let mut stem = stem.trim_end();
    loop {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let counted = stem.strip_suffix(')').and_then(|rest| rest.rsplit_once('('));
        let counted = counted.filter(|(_, number)| digits(number)).map(|(before, _)| before);
        let number = || stem.rsplit_once(' ').filter(|(_, number)| digits(number)).map(|(before, _)| before);
        let word = || COPY_WORDS.iter().find_map(|word| stem.strip_suffix(word));
        let Some(before) = counted.or_else(number).or_else(word) else { return stem };
        stem = before.trim_end_matches([' ', '-', '_']);
    }
}

/// A name without the ending that says how the object is compressed.
fn uncompressed(name: &str) -> &str {
    [".gz", ".zst"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
}

/// Whether a file of that name is about `collection`, where nothing but the name says so.
fn names(name: &str, collection: &str) -> bool {
    Subject::of(name, &[], None).is_ok_and(|subject| subject.collection.as_deref() == Some(collection))
}

/// The subject of a file, by how it is read.
pub trait SubjectOf {
    /// The subject of the object stored under `key`: by the mapping, if there is one, else by the name.
    ///
    /// # Errors
    /// When neither says what the rows are.
    fn subject(&self, key: &str, metadata_collection: Option<&str>) -> Result<Subject, SubjectError>;
}

impl SubjectOf for Reading {
    fn subject(&self, key: &str, metadata_collection: Option<&str>) -> Result<Subject, SubjectError> {
        match &self.mapping {
            Some(mapping) => Subject::mapped(mapping, key),
            None => Subject::of(key, &self.collections, metadata_collection),
        }
    }
}

/// Whether the Objects API takes `name` as a collection.
///
/// Segment docs: Object API, "collection … must not begin or end with an underscore".
pub fn is_collection(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= COLLECTION_CHARS_MAX
        && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        && !name.starts_with('_')
        && !name.ends_with('_')
}

/// The collection in the rest of a name behind its prefix; see [`Subject::of`] for the table.
fn collection_in<'a>(rest: &'a str, configured: &'a [String]) -> Option<&'a str> {
    let stem = rest.split('.').next().unwrap_or(rest);
    let longest = configured
        .iter()
        .filter(|collection| {
            stem.strip_prefix(collection.as_str()).is_some_and(|after| after.is_empty() || after.starts_with('_'))
        })
        .max_by_key(|collection| collection.len());
    if let Some(collection) = longest {
        return Some(collection);
    }
    let words: Vec<&str> = stem.split('_').collect();
    let lettered =
        words.iter().take_while(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphabetic())).count();
    let taken = if lettered == words.len() && lettered > 1 { lettered - 1 } else { lettered };
    // The words stand at the stem's beginning, each followed by one `_`.
    let length = words[..taken].iter().map(|word| word.len() + 1).sum::<usize>();
    stem.get(..length.checked_sub(1)?)
}

/// The kind that `name` would be of under a forgiving reading: any case, `-` or a blank for `_`.
fn near_kind(name: &str) -> Option<Kind> {
    let lower = name.to_ascii_lowercase();
    Kind::ALL.iter().copied().find(|kind| {
        lower
            .strip_prefix(kind.as_str())
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphabetic() && c != 's'))
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn of(key: &str) -> Result<Subject, SubjectError> {
        Subject::of(key, &[], None)
    }

    #[test]
    fn the_basename_decides_the_kind() {
        for (key, kind) in [
            ("identify_1.csv", Kind::Identify),
            ("track_1.csv", Kind::Track),
            ("2024/05/track_1.csv", Kind::Track),
            ("track_/page_1.csv", Kind::Page),
            ("screen_", Kind::Screen),
            ("group_a.b.csv.gz", Kind::Group),
            ("alias_1", Kind::Alias),
            ("object_rooms.csv", Kind::Object),
        ] {
            assert_eq!(of(key).unwrap().kind, kind, "{key}");
        }
    }

    #[test]
    fn a_name_of_no_kind_is_refused_with_the_prefix_that_is_meant() {
        for (key, near) in [
            ("foo.csv", None),
            ("Track_1.csv", Some(Kind::Track)),
            ("track-1.csv", Some(Kind::Track)),
            ("tracks_1.csv", Some(Kind::Track)),
            ("pageant.csv", None),
            ("track_/foo.csv", None),
            ("", None),
        ] {
            let name = key.rsplit('/').next().unwrap().to_owned();
            assert_eq!(of(key), Err(SubjectError::UnknownPrefix { name, near }), "{key}");
        }
    }

    #[test]
    fn the_collection_is_read_as_the_table_says() {
        for (name, collection) in [
            ("object_rooms_1.csv", "rooms"),
            ("object_rooms_2024_05.csv", "rooms"),
            ("object_rooms_lihue.csv", "rooms"),
            ("object_rooms.csv", "rooms"),
            ("object_rooms.2024_all.csv", "rooms"),
            ("object_room_types_2024.csv", "room_types"),
            ("object_room_types_all.csv", "room_types"),
            ("object_room_types_1.csv", "room_types"),
            ("object_room_types.csv", "room"),
            ("object_rooms_", "rooms"),
        ] {
            let subject = of(name).unwrap();
            assert_eq!(subject.collection.as_deref(), Some(collection), "{name}");
        }
    }

    #[test]
    fn the_longest_configured_collection_wins() {
        let configured = ["room".to_owned(), "room_types".to_owned(), "rooms".to_owned()];
        for (name, collection) in [
            ("object_room_types.csv", "room_types"),
            ("object_room_types_1.csv", "room_types"),
            ("object_room_1.csv", "room"),
            ("object_rooms.csv", "rooms"),
            ("object_roomsize_1.csv", "roomsize"),
        ] {
            let subject = Subject::of(name, &configured, None).unwrap();
            assert_eq!(subject.collection.as_deref(), Some(collection), "{name}");
        }
    }

    #[test]
    fn the_objects_own_metadata_overrides_the_name() {
        let subject = Subject::of("object_2024.csv", &[], Some("room_types")).unwrap();
        assert_eq!(subject.collection.as_deref(), Some("room_types"));
    }

    #[test]
    fn a_collection_that_the_objects_api_refuses_is_refused_for_the_file() {
        for (name, metadata) in [
            ("object_Rooms_1.csv", None),
            ("object_rooms.csv", Some("rooms2")),
            ("object_rooms.csv", Some("_rooms")),
            ("object_rooms.csv", Some("rooms_")),
            ("object_rooms.csv", Some("")),
        ] {
            assert!(
                matches!(Subject::of(name, &[], metadata), Err(SubjectError::BadCollection { .. })),
                "{name} {metadata:?}"
            );
        }
        let long = format!("object_{}_1.csv", "a".repeat(COLLECTION_CHARS_MAX + 1));
        assert!(matches!(of(&long), Err(SubjectError::BadCollection { .. })));
        for name in ["object_2024.csv", "object_.csv", "object__rooms.csv"] {
            assert!(matches!(of(name), Err(SubjectError::NoCollection { .. })), "{name}");
        }
    }

    #[test]
    fn the_rejects_file_keeps_the_prefix() {
        for (name, rejects) in [
            ("track_1.csv", "track_1.rejects.csv"),
            ("track_1", "track_1.rejects.csv"),
            ("track_1.csv.gz", "track_1.rejects.csv"),
            ("track_1.csv.zst", "track_1.rejects.csv"),
            ("object_rooms_1.v2.csv", "object_rooms_1.v2.rejects.csv"),
        ] {
            let subject = of(name).unwrap();
            assert_eq!(subject.rejects_name(), rejects);
            let again = of(rejects).unwrap();
            assert_eq!((again.kind, again.collection), (subject.kind, subject.collection));
        }
    }

    #[test]
    fn a_rejects_file_is_known_by_its_name_in_any_case_and_as_a_copy() {
        for name in [
            "in/a.orders.rejects.csv",
            "in/A.ORDERS.REJECTS.CSV",
            "a.orders.rejects.csv.gz",
            "a.orders.rejects (1).csv",
            "a.orders.rejects - Kopie.csv",
            "a.orders.rejects - Copy (2).csv",
            "a.orders.rejects copy 2.csv",
            "Copy of a.orders.rejects.csv",
            "a.orders.rejects.orders.rejects.csv",
        ] {
            assert!(is_rejects_of("Orders", name), "{name}");
        }
        for name in [
            "a.orders.csv",
            "a.orders.rejects.csv.bak",
            "a.reorders.rejects.csv",
            "a.rejects.csv",
            "a.orders.rejects-new.csv",
        ] {
            assert!(!is_rejects_of("orders", name), "{name}");
        }
    }

    #[test]
    fn a_mapping_says_kind_and_collection_and_the_rejects_file_has_its_name() {
        let mapping = |call: &str, collection: Option<&str>| Mapping {
            name: "hotels".to_owned(),
            call: call.to_owned(),
            collection: collection.map(str::to_owned),
            ..Mapping::default()
        };
        let subject = Subject::mapped(&mapping("object", Some("rooms")), "eu/Hotel Export.csv.gz").unwrap();
        assert_eq!((subject.kind, subject.collection.as_deref()), (Kind::Object, Some("rooms")));
        assert_eq!(subject.rejects_name(), "Hotel Export.hotels.rejects.csv");
        for (key, is_it) in [
            ("eu/Hotel Export.hotels.rejects.csv", true),
            ("Hotel Export.hotels.rejects.csv.gz", true),
            ("Hotel Export.hotels.rejects.hotels.rejects.csv", true),
            ("Hotel Export.myhotels.rejects.csv", false),
            ("Hotel Export.hotels.rejects.other.rejects.csv", false),
            ("hotels.rejects.csv", false),
        ] {
            assert_eq!(is_rejects_of("hotels", key), is_it, "{key}");
        }
        let subject = Subject::mapped(&mapping("identify", Some("rooms")), "track_1.csv").unwrap();
        assert_eq!((subject.kind, subject.collection), (Kind::Identify, None));
        for (mapping, expected) in [
            (mapping("object", None), "no collection"),
            (mapping("object", Some("A")), "`A`"),
            (mapping("tracks", None), "`tracks`"),
        ] {
            let error = Subject::mapped(&mapping, "a.csv").unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn the_rejects_file_keeps_a_collection_that_its_name_does_not_say() {
        let configured = ["room_types".to_owned()];
        for (name, metadata, rejects) in [
            ("object_2024.csv.gz", Some("rooms"), "object_rooms_1.object_2024.rejects.csv"),
            ("object_rooms_1.csv", Some("room_types"), "object_room_types_1.object_rooms_1.rejects.csv"),
            ("object_room_types.csv", None, "object_room_types_1.object_room_types.rejects.csv"),
            ("object_room_types_1.csv", None, "object_room_types_1.rejects.csv"),
            ("object_rooms_1.csv", Some("rooms"), "object_rooms_1.rejects.csv"),
        ] {
            let subject = Subject::of(name, &configured, metadata).unwrap();
            assert_eq!(subject.rejects_name(), rejects, "{name}");
            for configured in [&[][..], &configured] {
                let again = Subject::of(rejects, configured, None).unwrap();
                assert_eq!(again.collection, subject.collection, "{name}");
                let stem = rejects.strip_suffix(".csv").unwrap();
                assert_eq!(again.rejects_name(), format!("{stem}.rejects.csv"), "and when it comes back");
            }
        }
    }

    #[test]
    fn the_rejects_file_of_a_file_with_a_long_name_is_read_as_that_file() {
        let long = |beginning: &str, filler: &str, bytes: usize| {
            let filler = filler.repeat((bytes - beginning.len() - 4) / filler.len());
            format!("{beginning}{filler}.csv")
        };
        for (beginning, metadata) in [
            ("track_", None),
            ("object_rooms_", None),
            ("object_rooms_", Some("room_types")),
            ("object_", Some("rooms")),
            ("object_a_b_c_", None),
        ] {
            for filler in ["x", "_y", "ü", "😀", ".z"] {
                for bytes in [960, 980, 1_000, 1_024] {
                    let name = long(beginning, filler, bytes);
                    let Ok(subject) = Subject::of(&name, &[], metadata) else { continue };
                    let rejects = subject.rejects_name();
                    assert!(rejects.len() <= 1_024 - 41 && rejects.ends_with(".rejects.csv"), "{rejects}");
                    let again = of(&rejects).unwrap();
                    assert_eq!((again.kind, &again.collection), (subject.kind, &subject.collection), "{rejects}");
                    assert!(again.is_called_rejects());
                    assert!(again.rejects_name().len() <= 1_024 - 41, "and when it comes back");
                }
            }
        }
        let mapping = Mapping { name: "crm".to_owned(), call: "identify".to_owned(), ..Mapping::default() };
        let subject = Subject::mapped(&mapping, &long("contacts", "x", 1_024)).unwrap();
        let rejects = subject.rejects_name();
        assert!(rejects.starts_with("contactsxx") && is_rejects_of("crm", &rejects), "{rejects}");
        assert_eq!(rejects.len(), 1_024 - 41);
    }
}
