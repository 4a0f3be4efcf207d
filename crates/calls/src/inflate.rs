//! Compressed bytes to plain ones, a bounded piece at a time.
//!
//! Compression is recognised by the first bytes. A megabyte of gzip can be a gigabyte of text, so
//! what is pushed is kept compressed, and inflated only as fast as it is pulled.

mod gzip;
mod zstd;

use crate::dialect::Compression;
use crate::refusal::{FaultCode, FileFault};

pub use zstd::ZSTD_WINDOW_BYTES_MAX;

/// Plain bytes are produced in pieces of about this size.
const PIECE_BYTES: usize = 256 * 1024;

/// So many bytes say whether the source is compressed.
const MAGIC_BYTES_MAX: usize = 4;

/// What a pull came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pulled {
    /// Something; there may be more at once.
    Some,
    /// Nothing until more is pushed.
    Starved,
    /// Everything has been had.
    End,
}

/// Takes bytes as they come, gives plain ones.
#[derive(Debug)]
pub(crate) struct Inflater {
    method: Method,
    /// The largest window of a zstd frame.
    window_bytes_max: u64,
    input: Vec<u8>,
    /// How much of `input` has been read.
    read: usize,
    finished: bool,
    /// What is wrong with the stream, to be said once everything before it has been had.
    fault: Option<FileFault>,
}

#[derive(Debug)]
enum Method {
    /// The first bytes have not been seen.
    Unknown,
    Plain,
    Gzip(gzip::Stream),
    Zstd(zstd::Stream),
}

impl Default for Inflater {
    fn default() -> Inflater {
        Inflater {
            method: Method::Unknown,
            window_bytes_max: ZSTD_WINDOW_BYTES_MAX,
            input: Vec::new(),
            read: 0,
            finished: false,
            fault: None,
        }
    }
}

impl Inflater {
    /// Refuses zstd frames that need a larger window.
    pub(crate) fn limit_window(&mut self, bytes_max: u64) {
        self.window_bytes_max = bytes_max;
    }

    /// For bytes that are known to be plain, because they begin in the middle of a file.
    pub(crate) fn plain() -> Inflater {
        Inflater { method: Method::Plain, ..Inflater::default() }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.read > self.input.len() / 2 {
            self.input.drain(..self.read);
            self.read = 0;
        }
        self.input.extend_from_slice(bytes);
    }

    pub(crate) fn finish(&mut self) {
        self.finished = true;
    }

    /// How the source is compressed, once that is known.
    pub(crate) fn compression(&self) -> Option<Compression> {
        match self.method {
            Method::Unknown => None,
            Method::Plain => Some(Compression::None),
            Method::Gzip(_) => Some(Compression::Gzip),
            Method::Zstd(_) => Some(Compression::Zstd),
        }
    }

    /// Bytes that are pushed and not yet inflated.
    pub(crate) fn pending(&self) -> usize {
        self.input.len() - self.read
    }

    /// Appends plain bytes to `out`.
    pub(crate) fn pull(&mut self, out: &mut Vec<u8>) -> Result<Pulled, FileFault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        if matches!(self.method, Method::Unknown) && !self.recognise() {
            return Ok(Pulled::Starved);
        }
        let before = out.len();
        let input = &self.input[self.read..];
        let pulled = match &mut self.method {
            Method::Unknown => Ok(0),
            Method::Plain => {
                out.extend_from_slice(input);
                Ok(input.len())
            }
            Method::Gzip(stream) => stream.pull(input, self.finished, out),
            Method::Zstd(stream) => stream.pull(input, self.finished, out),
        };
        match pulled {
            Ok(read) => self.read += read,
            Err(what) => {
                let fault = self.fault.insert(FileFault::new(FaultCode::CorruptCompression, what));
                if out.len() == before {
                    return Err(fault.clone());
                }
            }
        }
        Ok(if out.len() > before {
            Pulled::Some
        } else if self.finished && self.pending() == 0 {
            Pulled::End
        } else {
            Pulled::Starved
        })
    }

    fn recognise(&mut self) -> bool {
        let start = &self.input[self.read..];
        if gzip::begins(start) {
            self.method = Method::Gzip(gzip::Stream::new());
        } else if zstd::begins(start) {
            self.method = Method::Zstd(zstd::Stream::new(self.window_bytes_max));
        } else if start.len() >= MAGIC_BYTES_MAX || self.finished {
            self.method = Method::Plain;
        }
        !matches!(self.method, Method::Unknown)
    }
}
