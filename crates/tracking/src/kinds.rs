//! The kinds of calls of the Tracking API.

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Its `type`, which is also its path.
    pub word: &'static str,
    /// Its short path, which libraries for browsers use.
    pub short: &'static str,
    /// The field that it needs beside the user, and the code of a call without it.
    pub(crate) needs: Option<(&'static str, &'static str)>,
    /// Fields that have to be text, with the codes of Segment.
    pub(crate) texts: &'static [(&'static str, &'static str)],
}

/// The texts of every kind.
pub(crate) const TEXTS: [(&str, &str); 5] = [
    ("userId", "id_not_string"),
    ("anonymousId", "id_not_string"),
    ("groupId", "id_not_string"),
    ("previousId", "id_not_string"),
    ("messageId", "id_not_string"),
];

const NAMES: &[(&str, &str)] = &[("name", "name_not_string"), ("category", "category_not_string")];

/// Every kind. The specification has them, so the list is not that of the files.
pub const KINDS: [Kind; 6] = [
    Kind { word: "identify", short: "i", needs: None, texts: &[] },
    Kind {
        word: "track",
        short: "t",
        needs: Some(("event", "event_not_defined")),
        texts: &[("event", "event_not_string")],
    },
    Kind { word: "page", short: "p", needs: None, texts: NAMES },
    Kind { word: "screen", short: "s", needs: None, texts: NAMES },
    Kind { word: "group", short: "g", needs: Some(("groupId", "bad_request")), texts: &[] },
    Kind { word: "alias", short: "a", needs: Some(("previousId", "bad_request")), texts: &[] },
];
