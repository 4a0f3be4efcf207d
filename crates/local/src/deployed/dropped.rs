//! A file of `drop`: what the check says of it, and how it ended.

use super::follow::Followed;
use crate::check::{Checked, Usability, check_json};
use serde_json::{Value, json};
use std::path::PathBuf;

/// A file that was checked, and uploaded if it can be used.
#[derive(Default)]
pub(super) struct Dropped {
    pub(super) path: PathBuf,
    /// Why it is neither checked nor uploaded.
    pub(super) error: Option<String>,
    pub(super) checked: Vec<Checked>,
    pub(super) followed: Option<Followed>,
    /// True once its end is said.
    pub(super) is_said: bool,
}

impl Dropped {
    /// What the exit status says of it: how it ended, or what the check says where it is not followed.
    pub(super) fn usability(&self, is_followed: bool) -> Usability {
        match &self.followed {
            None => Usability::Unusable,
            Some(followed) if is_followed => followed.usability(),
            Some(_) => self.checked.iter().map(Checked::verdict).max().unwrap_or(Usability::Sound),
        }
    }

    /// The file, if it is on its way.
    pub(super) fn open(&mut self) -> Option<&mut Followed> {
        self.followed.as_mut().filter(|followed| !followed.has_ended())
    }

    pub(super) fn json(&self) -> Value {
        let followed = self.followed.as_ref();
        let ends = followed.into_iter().flat_map(Followed::ends);
        json!({
            "file": self.path.display().to_string(),
            "error": self.error,
            "object": followed.map(|followed| format!("s3://{}/{}", followed.bucket, followed.key)),
            "version": followed.and_then(|followed| followed.pin.version_id.as_ref()),
            "checked": self.checked.iter().map(check_json).collect::<Vec<_>>(),
            "outcomes": ends.collect::<Vec<_>>(),
        })
    }
}

/// How many files are on their way.
pub(super) fn open(files: &[Dropped]) -> usize {
    files.iter().filter_map(|file| file.followed.as_ref()).filter(|followed| !followed.has_ended()).count()
}

/// The settled rows of all files, and all rows.
pub(super) fn rows(files: &[Dropped]) -> (u64, u64) {
    let of_files = files.iter().filter_map(|file| file.followed.as_ref()).map(Followed::rows);
    of_files.fold((0, 0), |sum, rows| (sum.0 + rows.0, sum.1 + rows.1))
}
