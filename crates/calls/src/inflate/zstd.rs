//! zstd: frames one after the other, block by block.

use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::PIECE_BYTES;

/// Largest window of a zstd frame that is accepted, which is memory that reading it takes. It is
/// what `zstd --ultra -21` uses; the tool itself accepts 128 MiB.
pub const ZSTD_WINDOW_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// RFC 8878 §3.1.1.
const MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

/// The longest header of a frame, RFC 8878 §3.1.1.1, with the magic number.
const HEADER_BYTES_MAX: usize = 18;

const BLOCK_HEADER_BYTES: usize = 3;

pub(super) fn begins(start: &[u8]) -> bool {
    start.starts_with(&MAGIC) || matches!(start, [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..])
}

/// A stream of frames.
pub(super) struct Stream {
    frame: Box<FrameDecoder>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Between,
    /// In a frame; `checksum` when four bytes of it follow the last block.
    Open {
        checksum: bool,
    },
    /// In a skippable frame, of which so many bytes are left.
    Skipping {
        bytes: usize,
    },
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Stream {
    pub(super) fn new(window_bytes_max: u64) -> Stream {
        let mut frame = Box::new(FrameDecoder::new());
        frame.set_max_window_size(window_bytes_max);
        Stream { frame, state: State::Between }
    }

    /// Decodes a piece. Returns how much of `input` it took, or what is wrong with it.
    pub(super) fn pull(&mut self, input: &[u8], finished: bool, out: &mut Vec<u8>) -> Result<usize, &'static str> {
        let mut read = 0;
        let begin = out.len();
        while out.len() - begin < PIECE_BYTES {
            let rest = &input[read..];
            let taken = match self.state {
                State::Between if rest.is_empty() => return Ok(read),
                State::Between => self.begin(rest, finished)?,
                State::Skipping { bytes } => self.skip(rest, bytes),
                State::Open { checksum } => self.block(rest, checksum, out)?,
            };
            match taken {
                Some(taken) => read += taken,
                None if finished => return Err("the zstd stream breaks off: the upload is incomplete"),
                None => return Ok(read),
            }
        }
        Ok(read)
    }

    /// Begins a frame. `None` when more bytes are needed, here and below.
    fn begin(&mut self, input: &[u8], finished: bool) -> Result<Option<usize>, &'static str> {
        if let [0x50..=0x5F, 0x2A, 0x4D, 0x18, rest @ ..] = input {
            let Some((length, _)) = rest.split_first_chunk::<4>() else {
                return Ok(None);
            };
            let bytes = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
            self.state = State::Skipping { bytes };
            return Ok(Some(MAGIC.len() + length.len()));
        }
        if input.len() < HEADER_BYTES_MAX && !finished {
            return Ok(None);
        }
        let mut rest = input;
        self.frame.reset(&mut rest).map_err(|error| match error {
            FrameDecoderError::WindowSizeTooBig { .. } => {
                "the zstd stream needs a window beyond 64 MiB, or beyond an eighth of the function's memory: compress it without \
                 --long and --ultra"
            }
            FrameDecoderError::DictNotProvided { .. } => "the zstd stream needs a dictionary: compress it without one",
            _ if !begins(input) && input.len() >= MAGIC.len() => {
                "the zstd stream has extra bytes after its end; upload it again"
            }
            _ => "the zstd stream is damaged, or breaks off: upload it again",
        })?;
        // Bit 2 of the frame header descriptor, RFC 8878 §3.1.1.1.1.
        let checksum = input.get(MAGIC.len()).is_some_and(|descriptor| descriptor & 4 != 0);
        self.state = State::Open { checksum };
        Ok(Some(input.len() - rest.len()))
    }

    fn skip(&mut self, input: &[u8], bytes: usize) -> Option<usize> {
        let skipped = bytes.min(input.len());
        self.state = match bytes - skipped {
            0 => State::Between,
            bytes => State::Skipping { bytes },
        };
        (skipped > 0 || bytes == 0).then_some(skipped)
    }

    fn block(&mut self, input: &[u8], checksum: bool, out: &mut Vec<u8>) -> Result<Option<usize>, &'static str> {
        const CORRUPT: &str = "the zstd stream is damaged: upload it again";
        let Some(length) = block_bytes(input, checksum).filter(|length| *length <= input.len()) else {
            return Ok(None);
        };
        let mut rest = input;
        self.frame.decode_blocks(&mut rest, BlockDecodingStrategy::UptoBlocks(1)).map_err(|_| CORRUPT)?;
        self.frame.collect_to_writer(&mut *out).map_err(|_| CORRUPT)?;
        if self.frame.is_finished() {
            self.state = State::Between;
            let expected = self.frame.get_checksum_from_data().filter(|_| checksum);
            if expected.is_some() && expected != self.frame.get_calculated_checksum() {
                return Err("the zstd stream is damaged (wrong checksum): upload it again");
            }
        }
        Ok(Some(length))
    }
}

/// How long the block at the beginning of `input` is, with its header, and with the frame's checksum
/// when it is the last. RFC 8878 §3.1.1.2.
fn block_bytes(input: &[u8], checksum: bool) -> Option<usize> {
    let (header, _) = input.split_first_chunk::<BLOCK_HEADER_BYTES>()?;
    let header = u32::from_le_bytes([header[0], header[1], header[2], 0]);
    let (last, kind, size) = (header & 1 == 1, (header >> 1) & 3, header >> 3);
    // A run is one byte, however long.
    let size = usize::try_from(if kind == 1 { 1 } else { size }).ok()?;
    Some(BLOCK_HEADER_BYTES + size + if last && checksum { 4 } else { 0 })
}
