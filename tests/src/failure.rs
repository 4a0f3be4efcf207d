//! The evidence that a failed story leaves: `target/stories/NAME/`.

use crate::binaries::target_folder;
use standins::evidence::{Evidence, Journal};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The worlds that each story of this process has had.
static WORLDS: Mutex<Option<HashMap<String, usize>>> = Mutex::new(None);

/// The place for the evidence of one world, and the journal of its functions.
#[derive(Debug)]
pub(crate) struct Failure {
    story: String,
    folder: PathBuf,
    pub(crate) journal: Journal,
}

impl Failure {
    /// For the story that runs on this thread. The first world of a story removes the evidence of an earlier run.
    pub(crate) fn of_this_story() -> Self {
        let thread = std::thread::current();
        let story = thread.name().unwrap_or("story").to_owned();
        let of_story = target_folder().join("stories").join(story.replace("::", "."));
        let mut worlds = WORLDS.lock().unwrap_or_else(PoisonError::into_inner);
        let count = worlds.get_or_insert_default().entry(story.clone()).or_insert(0);
        *count += 1;
        if *count == 1 {
            // Most often there is nothing.
            let _ = std::fs::remove_dir_all(&of_story);
        }
        Self { story, folder: of_story.join(format!("world-{count}")), journal: Journal::default() }
    }

    /// If the story's thread panics: writes the journal and the files of `write`. Prints their folder and the command
    /// that runs the story again.
    pub(crate) fn keep(&self, write: impl FnOnce(&Evidence) -> io::Result<()>) {
        let written = self.add(|evidence| {
            evidence.journal(&self.journal)?;
            write(evidence)
        });
        if std::thread::panicking() {
            self.print(written);
        }
    }

    /// While the story's thread panics: writes more, and prints nothing.
    pub(crate) fn add(&self, write: impl FnOnce(&Evidence) -> io::Result<()>) -> io::Result<()> {
        if std::thread::panicking() { write(&Evidence::in_folder(&self.folder)?) } else { Ok(()) }
    }

    #[expect(clippy::print_stderr, reason = "the test harness shows it below the failure")]
    fn print(&self, written: io::Result<()>) {
        match written {
            Ok(()) => eprintln!("evidence: {}", self.folder.display()),
            Err(error) => eprintln!("evidence: {}: {error}", self.folder.display()),
        }
        eprintln!("run again: cargo test --workspace --test stories -- --exact {} --nocapture", self.story);
    }
}
