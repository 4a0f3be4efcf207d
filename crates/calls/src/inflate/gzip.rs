//! gzip: members one after the other, as `cat a.gz b.gz` and parallel compressors write them.

use flate2::{Decompress, FlushDecompress, Status};

use super::PIECE_BYTES;

const MAGIC: [u8; 2] = [0x1F, 0x8B];

/// The largest window there is; memory is 32 KiB.
const WINDOW_BITS: u8 = 15;

pub(super) fn begins(start: &[u8]) -> bool {
    start.starts_with(&MAGIC)
}

/// A stream of members.
#[derive(Debug)]
pub(super) struct Stream {
    member: Box<Decompress>,
    /// Whether a member has begun and not ended.
    open: bool,
}

impl Stream {
    pub(super) fn new() -> Stream {
        Stream { member: Box::new(Decompress::new_gzip(WINDOW_BITS)), open: false }
    }

    /// Inflates a piece. Returns how much of `input` it took, or what is wrong with it.
    pub(super) fn pull(&mut self, input: &[u8], finished: bool, out: &mut Vec<u8>) -> Result<usize, &'static str> {
        let mut read = 0;
        let begin = out.len();
        loop {
            let rest = &input[read..];
            if !self.open {
                // Tapes and some uploaders pad with zeros.
                let padding = rest.iter().take_while(|byte| **byte == 0).count();
                read += padding;
                let rest = &rest[padding..];
                if rest.is_empty() || (rest.len() < MAGIC.len() && !finished) {
                    return Ok(read);
                }
                if !begins(rest) {
                    return Err("the gzip stream has extra bytes after its end; upload it again");
                }
                self.member.reset(true);
                self.open = true;
                continue;
            }
            if out.len() - begin >= PIECE_BYTES {
                return Ok(read);
            }
            out.reserve(PIECE_BYTES);
            let (consumed, produced) = (self.member.total_in(), out.len());
            let status = self
                .member
                .decompress_vec(rest, out, FlushDecompress::None)
                .map_err(|_| "the gzip stream is damaged: upload it again")?;
            let consumed = usize::try_from(self.member.total_in() - consumed).unwrap_or(rest.len());
            read += consumed;
            if status == Status::StreamEnd {
                self.open = false;
            } else if consumed == 0 && out.len() == produced {
                return match finished {
                    true => Err("the gzip stream breaks off: the upload is incomplete"),
                    false => Ok(read),
                };
            }
        }
    }
}
