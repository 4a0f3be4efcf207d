//! A column of the draft.

/// A column and its fields.
#[derive(Debug)]
pub(super) struct DraftColumn {
    pub(super) name: String,
    pub(super) fields: Vec<DraftField>,
    /// What is said about it.
    pub(super) note: Option<String>,
}

/// A field, with its verbs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DraftField {
    pub(super) to: String,
    /// Whether blanks and capitals make no difference.
    pub(super) is_email: bool,
    pub(super) prefix: Option<String>,
    pub(super) yes_no: Option<(&'static str, &'static str)>,
    pub(super) cell: Option<&'static str>,
}
