//! Compressed bytes to plain ones, a bounded piece at a time.
//!
//! Compression is recognised by the first bytes. A megabyte of gzip can be a gigabyte of text, so
//! what is pushed is kept compressed, and inflated only as fast as it is pulled.

use flate2::{Decompress, FlushDecompress, Status};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::dialect::Compression;
use crate::refusal::{FaultCode, FileFault};

/// Largest window of a zstd frame that is accepted, which is memory that reading it takes. It is
/// what `zstd --ultra -21` uses; the tool itself accepts 128 MiB.
pub const ZSTD_WINDOW_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Plain bytes are produced in pieces of about this size.
const PIECE_BYTES: usize = 256 * 1024;

const GZIP_MAGIC: [u8; 2] = [0x1F, 0x8B];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
/// A zstd frame's header takes at most this much (RFC 8878 §3.1.1).
const ZSTD_HEADER_BYTES_MAX: usize = 18;

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
#[derive(Default)]
pub(crate) struct Inflater {
    method: Method,
    input: Vec<u8>,
    /// How much of `input` has been read.
    read: usize,
    finished: bool,
}

#[derive(Default)]
enum Method {
    /// The first bytes have not been seen.
    #[default]
    Unknown,
    Plain,
    Gzip {
        stream: Box<Decompress>,
        /// Whether a member has begun and not ended.
        open: bool,
    },
    Zstd {
        frame: Box<FrameDecoder>,
        state: Frame,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    /// Before a frame.
    Between,
    /// Within one; `checksum` when four bytes of it follow the last block.
    Open { checksum: bool },
    /// Within a frame of no content, of which so many bytes are left.
    Skipping { bytes: usize },
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater")
            .field("compression", &self.compression())
            .field("pending", &self.pending())
            .finish_non_exhaustive()
    }
}

impl Inflater {
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
            Method::Gzip { .. } => Some(Compression::Gzip),
            Method::Zstd { .. } => Some(Compression::Zstd),
        }
    }

    /// Bytes that are pushed and not yet inflated.
    pub(crate) fn pending(&self) -> usize {
        self.input.len() - self.read
    }

    /// Appends plain bytes to `out`.
    pub(crate) fn pull(&mut self, out: &mut Vec<u8>) -> Result<Pulled, FileFault> {
        if matches!(self.method, Method::Unknown) && !self.recognise() {
            return Ok(Pulled::Starved);
        }
        let before = out.len();
        let input = &self.input[self.read..];
        let (read, pulled) = match &mut self.method {
            Method::Unknown => (0, Pulled::Starved),
            Method::Plain => {
                out.extend_from_slice(input);
                (input.len(), Pulled::Starved)
            }
            Method::Gzip { stream, open } => gunzip(stream, open, input, self.finished, out)?,
            Method::Zstd { frame, state } => unzstd(frame, state, input, self.finished, out)?,
        };
        self.read += read;
        Ok(if out.len() > before {
            Pulled::Some
        } else if pulled == Pulled::Starved && self.finished && self.pending() == 0 {
            Pulled::End
        } else {
            pulled
        })
    }

    fn recognise(&mut self) -> bool {
        let start = &self.input[self.read..];
        let skippable = matches!(start, [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..]);
        if start.starts_with(&GZIP_MAGIC) {
            self.method = Method::Gzip { stream: Box::new(Decompress::new_gzip(15)), open: false };
        } else if start.starts_with(&ZSTD_MAGIC) || skippable {
            let mut frame = Box::new(FrameDecoder::new());
            frame.set_max_window_size(ZSTD_WINDOW_BYTES_MAX);
            self.method = Method::Zstd { frame, state: Frame::Between };
        } else if start.len() >= ZSTD_MAGIC.len() || self.finished {
            self.method = Method::Plain;
        }
        !matches!(self.method, Method::Unknown)
    }
}

fn corrupt(what: &str) -> FileFault {
    FileFault::new(FaultCode::CorruptCompression, what)
}

/// Inflates a piece. Returns how much of `input` it took.
fn gunzip(
    stream: &mut Decompress,
    open: &mut bool,
    input: &[u8],
    finished: bool,
    out: &mut Vec<u8>,
) -> Result<(usize, Pulled), FileFault> {
    let mut read = 0;
    let begin = out.len();
    loop {
        let rest = &input[read..];
        if !*open {
            // Tapes and some uploaders pad with zeros.
            let padding = rest.iter().take_while(|byte| **byte == 0).count();
            read += padding;
            let rest = &rest[padding..];
            if rest.len() < GZIP_MAGIC.len() && !(finished && !rest.is_empty()) {
                return Ok((read, Pulled::Starved));
            }
            if !rest.starts_with(&GZIP_MAGIC) {
                return Err(corrupt("the gzip stream is followed by bytes that are none"));
            }
            stream.reset(true);
            *open = true;
            continue;
        }
        if out.len() - begin >= PIECE_BYTES {
            return Ok((read, Pulled::Some));
        }
        out.reserve(PIECE_BYTES);
        let (consumed, produced) = (stream.total_in(), out.len());
        let status = stream
            .decompress_vec(rest, out, FlushDecompress::None)
            .map_err(|_| corrupt("the gzip stream is corrupt"))?;
        let consumed = usize::try_from(stream.total_in() - consumed).unwrap_or(rest.len());
        read += consumed;
        if status == Status::StreamEnd {
            *open = false;
        } else if consumed == 0 && out.len() == produced {
            return if finished {
                Err(corrupt("the gzip stream breaks off: the upload is incomplete"))
            } else {
                Ok((read, Pulled::Starved))
            };
        }
    }
}

/// Decodes a piece, block by block. Returns how much of `input` it took.
fn unzstd(
    frame: &mut FrameDecoder,
    state: &mut Frame,
    input: &[u8],
    finished: bool,
    out: &mut Vec<u8>,
) -> Result<(usize, Pulled), FileFault> {
    let mut read = 0;
    let begin = out.len();
    let broken = || corrupt("the zstd stream is corrupt");
    let starved = |read| {
        if finished {
            Err(corrupt("the zstd stream breaks off: the upload is incomplete"))
        } else {
            Ok((read, Pulled::Starved))
        }
    };
    loop {
        let mut rest = &input[read..];
        match *state {
            Frame::Skipping { bytes } => {
                let skipped = bytes.min(rest.len());
                read += skipped;
                if skipped < bytes {
                    *state = Frame::Skipping { bytes: bytes - skipped };
                    return starved(read);
                }
                *state = Frame::Between;
            }
            Frame::Between => match rest {
                [] => return Ok((read, Pulled::Starved)),
                [0x50..=0x5F, 0x2A, 0x4D, 0x18, a, b, c, d, ..] => {
                    let bytes = u32::from_le_bytes([*a, *b, *c, *d]);
                    read += 8;
                    *state = Frame::Skipping { bytes: usize::try_from(bytes).unwrap_or(usize::MAX) };
                }
                _ if rest.len() < ZSTD_HEADER_BYTES_MAX && !finished => {
                    return Ok((read, Pulled::Starved));
                }
                _ => {
                    let length = rest.len();
                    // Bit 2 of the frame header descriptor, RFC 8878 §3.1.1.1.1.
                    let checksum = rest.get(4).is_some_and(|byte| byte & 4 != 0);
                    frame.reset(&mut rest).map_err(|error| {
                        use ruzstd::decoding::errors::FrameDecoderError as Fault;
                        match error {
                            Fault::WindowSizeTooBig { .. } => {
                                corrupt("the zstd stream needs a window beyond 64 MiB: compress it without --long")
                            }
                            Fault::DictNotProvided { .. } => {
                                corrupt("the zstd stream needs a dictionary: compress it without one")
                            }
                            _ => broken(),
                        }
                    })?;
                    read += length - rest.len();
                    *state = Frame::Open { checksum };
                }
            },
            Frame::Open { checksum } => {
                if out.len() - begin >= PIECE_BYTES {
                    return Ok((read, Pulled::Some));
                }
                let Some(needed) = zstd_block_bytes(rest, checksum).filter(|n| *n <= rest.len()) else {
                    return starved(read);
                };
                frame.decode_blocks(&mut rest, BlockDecodingStrategy::UptoBlocks(1)).map_err(|_| broken())?;
                read += needed;
                frame.collect_to_writer(&mut *out).map_err(|_| broken())?;
                if frame.is_finished() {
                    let expected = frame.get_checksum_from_data().filter(|_| checksum);
                    if expected.is_some() && expected != frame.get_calculated_checksum() {
                        return Err(corrupt("the zstd stream does not have its checksum"));
                    }
                    *state = Frame::Between;
                }
            }
        }
    }
}

/// How long the block at the beginning of `input` is, with its header, and with the frame's checksum
/// when it is the last. RFC 8878 §3.1.1.2.
fn zstd_block_bytes(input: &[u8], checksum: bool) -> Option<usize> {
    let [a, b, c, ..] = input else {
        return None;
    };
    let header = u32::from_le_bytes([*a, *b, *c, 0]);
    let (last, kind, size) = (header & 1 == 1, (header >> 1) & 3, header >> 3);
    // A run is one byte, however long.
    let size = if kind == 1 { 1 } else { size };
    let size = usize::try_from(size).ok()?;
    Some(3 + size + if last && checksum { 4 } else { 0 })
}
