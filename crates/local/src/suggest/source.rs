//! The file that a draft is made of, read several times.

use crate::input::open;
use std::cell::RefCell;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The name of standard input, for patterns.
const STDIN_NAME: &str = "export.csv";

/// A file, its first bytes, or standard input. Of standard input, as much is kept as was read: the first rows.
pub(super) enum Source {
    File(PathBuf),
    Stdin(Rc<RefCell<Vec<u8>>>),
    Bytes { name: String, bytes: Vec<u8> },
}

impl Source {
    pub(super) fn of(path: &Path) -> Source {
        if path == Path::new("-") { Source::Stdin(Rc::default()) } else { Source::File(path.to_owned()) }
    }

    /// The name that a pattern is made of.
    pub(super) fn name(&self) -> String {
        match self {
            Source::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Source::Stdin(_) => STDIN_NAME.to_owned(),
            Source::Bytes { name, .. } => name.clone(),
        }
    }

    /// A reader from the first byte on.
    pub(super) fn open(&self) -> anyhow::Result<Box<dyn Read>> {
        match self {
            Source::File(path) => open(path).map(|(input, _)| input),
            Source::Bytes { bytes, .. } => Ok(Box::new(std::io::Cursor::new(bytes.clone()))),
            Source::Stdin(kept) => Ok(Box::new(Again { kept: Rc::clone(kept), at: 0, rest: std::io::stdin() })),
        }
    }
}

/// Reads what was kept, then the rest, which it keeps.
struct Again<R> {
    kept: Rc<RefCell<Vec<u8>>>,
    at: usize,
    rest: R,
}

impl<R: Read> Read for Again<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut kept = self.kept.borrow_mut();
        if self.at == kept.len() {
            let length = self.rest.read(buffer)?;
            kept.extend_from_slice(&buffer[..length]);
            self.at = kept.len();
            return Ok(length);
        }
        let length = buffer.len().min(kept.len() - self.at);
        buffer[..length].copy_from_slice(&kept[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_once_is_read_again_and_the_rest_behind_it() {
        let kept = Rc::default();
        let read = |rest: &'static [u8], buffer: &mut [u8]| {
            let mut again = Again { kept: Rc::clone(&kept), at: 0, rest };
            let mut out = Vec::new();
            while let Ok(length @ 1..) = again.read(buffer) {
                out.extend_from_slice(&buffer[..length]);
            }
            String::from_utf8(out).unwrap()
        };
        assert_eq!(read(b"abcde", &mut [0; 2]), "abcde");
        assert_eq!(read(b"", &mut [0; 3]), "abcde");
        assert_eq!(read(b"fg", &mut [0; 64]), "abcdefg");
    }
}
