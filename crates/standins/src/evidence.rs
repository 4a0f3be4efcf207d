//! Evidence: the folder that a failed story leaves behind.

use std::fmt::Debug;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::s3;

/// Characters that stay in the names of files.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'=').remove(b'@');

/// The lines that functions wrote, with the begin and the end of each invocation, in order. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lock().clone()
    }

    pub(crate) fn add(&self, line: String) {
        self.lock().push(line);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A folder for the state of the stand-ins.
#[derive(Debug)]
pub struct Evidence {
    folder: PathBuf,
}

impl Evidence {
    /// Evidence in this folder, which is made.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn in_folder(folder: &Path) -> io::Result<Evidence> {
        fs::create_dir_all(folder)?;
        Ok(Evidence { folder: folder.to_owned() })
    }

    /// Writes every object of every bucket to `buckets/BUCKET/KEY`, and every request to `s3-requests.txt`.
    /// A key that cannot be a path is escaped.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn s3(&self, server: &s3::Server) -> io::Result<()> {
        for bucket in server.buckets() {
            let folder = self.folder.join("buckets").join(&bucket);
            fs::create_dir_all(&folder)?;
            for key in server.keys(&bucket, "") {
                let bytes = server.bytes(&bucket, &key).unwrap_or_default();
                // A key may continue another key: `a` and `a/b`.
                write(&folder.join(path_of(&key)), &bytes).or_else(|_| write(&folder.join(escaped(&key)), &bytes))?;
            }
        }
        self.list("s3-requests.txt", &server.requests().all())
    }

    /// Writes a list to a file, each item as Rust shows it, one a line.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn list(&self, name: &str, items: &[impl Debug]) -> io::Result<()> {
        let text: String = items.iter().map(|item| format!("{item:?}\n")).collect();
        write(&self.folder.join(name), text.as_bytes())
    }

    /// Writes the functions' logs to `functions.log`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn journal(&self, journal: &Journal) -> io::Result<()> {
        let text: String = journal.lines().iter().map(|line| format!("{line}\n")).collect();
        write(&self.folder.join("functions.log"), text.as_bytes())
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes)
}

/// The key as a path that stays below its folder.
fn path_of(key: &str) -> PathBuf {
    key.split('/')
        .map(|part| if matches!(part, "" | "." | "..") { escaped_dots(part) } else { escaped(part) })
        .collect()
}

fn escaped(name: &str) -> String {
    utf8_percent_encode(name, ESCAPED).to_string()
}

fn escaped_dots(part: &str) -> String {
    if part.is_empty() { "%".to_owned() } else { part.replace('.', "%2E") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_leads_out_of_its_folder() {
        for key in ["../../etc/passwd", "/etc/passwd", "a/../../b", "./a", "..", "a//b", "a/"] {
            let path = path_of(key);
            assert!(path.components().all(|part| matches!(part, std::path::Component::Normal(_))), "{path:?} of {key}");
        }
        assert_eq!(path_of("received/s1/9.gz"), Path::new("received/s1/9.gz"));
        assert_ne!(path_of("a//b"), path_of("a/b"));
    }
}
