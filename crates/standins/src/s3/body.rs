//! The bytes of an object: in memory, or in a file.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use s3s::dto::StreamingBlob;
use s3s::{S3Error, S3Result, s3_error};

use crate::dice;
use crate::serve::BoxError;

/// The bytes that are read from a file at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// The place of a version's bytes.
#[derive(Clone, Debug)]
pub(crate) enum Blob {
    Memory(Bytes),
    File(PathBuf),
}

impl Blob {
    /// Opens it. An opened body stays readable when the object is replaced or deleted.
    pub(crate) fn open(&self) -> io::Result<Opened> {
        match self {
            Blob::Memory(bytes) => Ok(Opened::Memory(bytes.clone())),
            Blob::File(path) => Ok(Opened::File(File::open(path)?)),
        }
    }
}

#[derive(Debug)]
pub(crate) enum Opened {
    Memory(Bytes),
    File(File),
}

impl Opened {
    /// Everything, in memory.
    pub(crate) fn read_all(self) -> io::Result<Bytes> {
        match self {
            Opened::Memory(bytes) => Ok(bytes),
            Opened::File(mut file) => {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes)?;
                Ok(bytes.into())
            }
        }
    }

    /// Bytes `from..to`, as the body of an answer. A file is read as the client takes it.
    pub(crate) fn stream(self, from: u64, to: u64) -> io::Result<StreamingBlob> {
        match self {
            Opened::Memory(bytes) => {
                let range = position(from)?..position(to)?;
                Ok(s3s::Body::from(bytes.slice(range)).into())
            }
            Opened::File(mut file) => {
                file.seek(SeekFrom::Start(from))?;
                let chunks = stream::try_unfold((file, to - from), |(mut file, left)| async move {
                    let take = left.min(CHUNK_BYTES as u64);
                    if take == 0 {
                        return Ok(None);
                    }
                    let mut chunk = vec![0; position(take)?];
                    file.read_exact(&mut chunk)?;
                    Ok::<_, BoxError>(Some((Frame::data(Bytes::from(chunk)), (file, left - take))))
                });
                Ok(s3s::Body::http_body_unsync(StreamBody::new(chunks)).into())
            }
        }
    }
}

fn position(byte: u64) -> io::Result<usize> {
    usize::try_from(byte).map_err(io::Error::other)
}

/// Bytes on their way in. Nothing of a draft that is dropped stays behind.
#[derive(Debug)]
pub(crate) struct Draft {
    kind: DraftKind,
    len: u64,
}

#[derive(Debug)]
enum DraftKind {
    Memory(BytesMut),
    File(File, Unplaced),
}

/// A file that is removed again unless it finds its place.
#[derive(Debug)]
pub(crate) struct Unplaced(PathBuf);

impl Unplaced {
    /// Moves the file to its final path and replaces an older file.
    pub(crate) fn place(self, to: &Path) -> io::Result<()> {
        std::fs::rename(&self.0, to)
    }
}

impl Drop for Unplaced {
    fn drop(&mut self) {
        // After `place` there is nothing left to remove.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A draft that is complete.
#[derive(Debug)]
pub(crate) enum Finished {
    Memory(Bytes),
    File(Unplaced),
}

impl Draft {
    pub(crate) fn in_memory() -> Draft {
        Draft { kind: DraftKind::Memory(BytesMut::new()), len: 0 }
    }

    pub(crate) fn in_folder(folder: &Path) -> io::Result<Draft> {
        let path = folder.join(dice::token(16));
        let file = File::create_new(&path)?;
        Ok(Draft { kind: DraftKind::File(file, Unplaced(path)), len: 0 })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.len += bytes.len() as u64;
        match &mut self.kind {
            DraftKind::Memory(buffer) => {
                buffer.extend_from_slice(bytes);
                Ok(())
            }
            DraftKind::File(file, _) => file.write_all(bytes),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.len
    }

    pub(crate) fn finish(self) -> Finished {
        match self.kind {
            DraftKind::Memory(buffer) => Finished::Memory(buffer.freeze()),
            DraftKind::File(_, unplaced) => Finished::File(unplaced),
        }
    }
}

impl Finished {
    pub(crate) fn open(&self) -> io::Result<Opened> {
        match self {
            Finished::Memory(bytes) => Ok(Opened::Memory(bytes.clone())),
            Finished::File(unplaced) => Ok(Opened::File(File::open(&unplaced.0)?)),
        }
    }
}

impl Finished {
    /// Puts it where it may stay until the store has settled on its place.
    pub(crate) fn keep(self, side_path: Option<io::Result<PathBuf>>) -> S3Result<Blob> {
        match (self, side_path) {
            (Finished::Memory(bytes), _) => Ok(Blob::Memory(bytes)),
            (Finished::File(unplaced), Some(path)) => {
                let path = path.map_err(S3Error::internal_error)?;
                unplaced.place(&path).map_err(S3Error::internal_error)?;
                Ok(Blob::File(path))
            }
            (Finished::File(_), None) => Err(s3_error!(InternalError, "a file without a folder")),
        }
    }
}
