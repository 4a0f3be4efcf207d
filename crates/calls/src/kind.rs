//! The kinds of calls. One table declares all that depends on the kind.
//!
//! File names, the compiler of headers, the encoder, the messages, `check` and the documents follow from it. Segment
//! docs: Spec, Common Fields; and Identify, Track, Page, Screen, Group, Alias; Objects API.

use std::fmt;

use crate::refusal::RefusalCode;
use crate::table::table;

/// What the table declares of a kind.
#[derive(Debug)]
pub struct KindEntry {
    /// The call's `type` on the wire. With `_` behind it, file names begin with it.
    pub word: &'static str,
    /// The API that takes the calls.
    pub api: Api,
    /// The texts that Segment has at the top of the call.
    pub texts: &'static [TextField],
    /// The object that holds a row's own values.
    pub values: Option<&'static str>,
    /// What every row must have, in the order in which rows are checked.
    pub required: &'static [Required],
    /// The columns that tell a header from a row.
    pub header_ids: &'static [&'static str],
}

/// The API that takes the calls of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `POST /v1/batch`: calls with a type, a message id and a context. They reach the logs.
    Tracking,
    /// `POST /v1/set`: objects of a collection, with an `id` and flat properties.
    Objects,
}

/// A text at the top of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextField {
    /// Its name on the wire, and in a header.
    pub name: &'static str,
    /// How its cells are read.
    pub sort: TextSort,
}

/// How the cells of a text field are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextSort {
    /// An id: without blanks around it, and empty if it is a null marker.
    Id,
    /// A text that is empty if it has only blanks.
    Title,
    /// A text as it stands.
    Plain,
}

/// A field that every row of a kind must have.
#[derive(Clone, Copy, Debug)]
pub struct Required {
    /// The fields of which one is enough.
    pub any_of: &'static [&'static str],
    /// The code of a row that has none of them.
    pub code: RefusalCode,
    /// What the message says that every call of the kind needs.
    pub needs: &'static str,
}

const USER_ID: TextField = TextField { name: "userId", sort: TextSort::Id };
const ANONYMOUS_ID: TextField = TextField { name: "anonymousId", sort: TextSort::Id };
const MESSAGE_ID: TextField = TextField { name: "messageId", sort: TextSort::Id };
const NAME: TextField = TextField { name: "name", sort: TextSort::Plain };
const CATEGORY: TextField = TextField { name: "category", sort: TextSort::Plain };
const EVENT: TextField = TextField { name: "event", sort: TextSort::Title };
const GROUP_ID: TextField = TextField { name: "groupId", sort: TextSort::Id };
const PREVIOUS_ID: TextField = TextField { name: "previousId", sort: TextSort::Id };
const ID: TextField = TextField { name: "id", sort: TextSort::Id };

const USER_IDS: &[&str] = &["userId", "anonymousId"];
const USER: Required =
    Required { any_of: USER_IDS, code: RefusalCode::MissingUserId, needs: "a `userId` or an `anonymousId`" };

table! {
    /// The kind of call that every row of a file becomes. In the order in which Segment's walkthrough tries them.
    Kind of KindEntry {
        /// Who a user is: `traits`.
        Identify {
            word: "identify",
            api: Api::Tracking,
            texts: &[USER_ID, ANONYMOUS_ID, MESSAGE_ID],
            values: Some("traits"),
            required: &[USER],
            header_ids: USER_IDS,
        }
        /// What a user did: `event` and `properties`.
        Track {
            word: "track",
            api: Api::Tracking,
            texts: &[USER_ID, ANONYMOUS_ID, EVENT, MESSAGE_ID],
            values: Some("properties"),
            required: &[
                USER,
                Required { any_of: &["event"], code: RefusalCode::EventMissing, needs: "an event" },
            ],
            header_ids: USER_IDS,
        }
        /// A page seen on a website.
        Page {
            word: "page",
            api: Api::Tracking,
            texts: &[USER_ID, ANONYMOUS_ID, NAME, CATEGORY, MESSAGE_ID],
            values: Some("properties"),
            required: &[USER],
            header_ids: USER_IDS,
        }
        /// A screen seen in an app.
        Screen {
            word: "screen",
            api: Api::Tracking,
            texts: &[USER_ID, ANONYMOUS_ID, NAME, CATEGORY, MESSAGE_ID],
            values: Some("properties"),
            required: &[USER],
            header_ids: USER_IDS,
        }
        /// The account a user belongs to.
        Group {
            word: "group",
            api: Api::Tracking,
            texts: &[USER_ID, ANONYMOUS_ID, GROUP_ID, MESSAGE_ID],
            values: Some("traits"),
            required: &[
                USER,
                Required { any_of: &["groupId"], code: RefusalCode::MissingGroupId, needs: "a group id" },
            ],
            header_ids: USER_IDS,
        }
        /// Two ids that are one user.
        Alias {
            word: "alias",
            api: Api::Tracking,
            texts: &[USER_ID, PREVIOUS_ID, ANONYMOUS_ID, MESSAGE_ID],
            values: None,
            required: &[
                Required { any_of: &["userId"], code: RefusalCode::MissingUserId, needs: "a user id" },
                Required { any_of: &["previousId"], code: RefusalCode::MissingPreviousId, needs: "a previous id" },
            ],
            header_ids: USER_IDS,
        }
        /// A row of the Objects API: an `id` and flat properties, no user.
        Object {
            word: "object",
            api: Api::Objects,
            texts: &[ID],
            values: Some("properties"),
            required: &[Required { any_of: &["id"], code: RefusalCode::MissingId, needs: "an id" }],
            header_ids: &["id"],
        }
    }
}

/// The objects that every call of the Tracking API has beside its own values.
const COMMON: [&str; 2] = ["context", "integrations"];

impl Kind {
    /// The call's `type`, as it stands on the wire. Objects have no type there.
    pub const fn as_str(self) -> &'static str {
        self.entry().word
    }

    /// The API that takes its calls.
    pub const fn api(self) -> Api {
        self.entry().api
    }

    /// The kind of a file, by the beginning of its name, and the rest of the name.
    pub(crate) fn of_name(name: &str) -> Option<(Kind, &str)> {
        Kind::ALL.iter().find_map(|kind| Some((*kind, kind.after_prefix(name)?)))
    }

    /// The rest of a file's name behind the prefix of this kind.
    fn after_prefix(self, name: &str) -> Option<&str> {
        name.strip_prefix(self.as_str())?.strip_prefix('_')
    }

    /// The beginning of the names of its files, as messages and documents have it.
    pub fn prefix_shown(self) -> String {
        let word = self.as_str();
        match self.api() {
            Api::Tracking => format!("{word}_"),
            Api::Objects => format!("{word}_<collection>_"),
        }
    }

    /// The objects that its calls may have, the one of the row's own values first.
    pub(crate) fn containers(self) -> Vec<&'static str> {
        let common: &[&str] = match self.api() {
            Api::Tracking => &COMMON,
            Api::Objects => &[],
        };
        self.entry().values.into_iter().chain(common.iter().copied()).collect()
    }

    /// Where a value belongs that has no field of its own.
    pub(crate) fn home(self) -> &'static str {
        self.entry().values.unwrap_or("context")
    }

    /// The text field of that name. A field of another kind of the same API is read as that kind reads it.
    pub(crate) fn text_field(self, name: &str) -> Option<TextField> {
        let others = Kind::ALL.iter().filter(|kind| kind.api() == self.api());
        let kinds = std::iter::once(&self).chain(others);
        kinds.flat_map(|kind| kind.entry().texts).find(|field| field.name == name).copied()
    }

    /// What a row lacks that is refused with `code`.
    pub(crate) fn requirement(self, code: RefusalCode) -> Option<&'static Required> {
        self.entry().required.iter().find(|required| required.code == code)
    }
}

/// Whether calls of some kind have an object of that name.
pub(crate) fn is_container(name: &str) -> bool {
    COMMON.contains(&name) || is_values(name)
}

/// Whether it is the object of the rows' own values in calls of some kind.
pub(crate) fn is_values(name: &str) -> bool {
    Kind::ALL.iter().any(|kind| kind.entry().values == Some(name))
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_requires_and_recognises_only_fields_that_it_has() {
        for kind in Kind::ALL {
            let entry = kind.entry();
            let has = |name: &&str| entry.texts.iter().any(|field| field.name == *name);
            assert!(entry.header_ids.iter().all(has), "{kind}");
            assert!(entry.required.iter().all(|required| required.any_of.iter().all(&has)), "{kind}");
        }
    }

    #[test]
    fn no_kind_hides_another_and_no_code_is_required_twice() {
        for (index, kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(Kind::of_name(&format!("{kind}_1.csv")), Some((*kind, "1.csv")), "entry {index}");
            for required in kind.entry().required {
                let same = kind.entry().required.iter().filter(|other| other.code == required.code);
                assert_eq!(same.count(), 1, "{kind}");
            }
        }
    }
}
