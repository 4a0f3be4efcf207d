//! Log objects: their names, and their bytes.
//!
//! A joined object is made of verified fragments without inflating any of them:
//! [`Stitcher::HEADER`], each fragment's body, [`Stitcher::finish`].

use std::io::Read;

use protocol::fragment::{FINAL_BLOCK, HEADER, TRAILER_LEN};
use protocol::id::{Day, SourceId};
use protocol::ledger::rfc3339;
use protocol::plan::{Layout, Plan};
use sha2::{Digest, Sha256};

use crate::fragment::{Encoder, Verified, append_end};

/// The object that shows that a destination can be written to (Segment docs: storage/catalog/aws-s3,
/// "Validate").
pub const DUMMY: &str = "dummy-object.txt";

/// The name of the mark of a day that is complete.
pub const COMPLETE: &str = "_complete";

/// The folder of Segment's logs.
pub const FOLDER: &str = "segment-logs";

/// A log object's name, `<ms>.<12 hex>.<version>.<uuid>.gz`, the form of Segment's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The name of a destination's object in a plan.
    ///
    /// The name follows from the plan, and the plan's nonce is random. So each exporter of the plan finds the same
    /// objects, and a new deployment never finds old ones.
    pub(crate) fn derive(plan: &Plan, destination: usize, object: usize) -> Name {
        let mut hash = Sha256::new();
        hash.update(b"segment-s3 log object\0");
        hash.update(plan.nonce.bits());
        hash.update((destination as u64).to_be_bytes());
        hash.update((object as u64).to_be_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        let (file, rest) = digest.split_at(6);
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&rest[..16]);
        // RFC 9562: version 4, variant 10.
        uuid[6] = (uuid[6] & 0x0f) | 0x40;
        uuid[8] = (uuid[8] & 0x3f) | 0x80;
        let uuid = hex::encode(uuid);
        let (a, b, c, d, e) = (&uuid[..8], &uuid[8..12], &uuid[12..16], &uuid[16..20], &uuid[20..]);
        Name(format!("{}.{}.{}.{a}-{b}-{c}-{d}-{e}.gz", plan.created_ms, hex::encode(file), plan.version))
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key of a plan's object in the destination's bucket; `None` if the plan has no such object.
pub fn key_of(plan: &Plan, destination: usize, object: usize) -> Option<String> {
    let planned = plan.destinations.get(destination)?;
    let first = plan.fragments.get(planned.objects.get(object)?.from)?;
    let name = Name::derive(plan, destination, object);
    Some(key(&planned.prefix, planned.layout, &first.name.source, first.name.day, &name))
}

/// `[prefix/]segment-logs/{source}/{day}/{name}`, or the folders of another layout.
pub fn key(prefix: &str, layout: Layout, source: &SourceId, day: Day, name: &Name) -> String {
    format!("{}{name}", folder(prefix, layout, source, day))
}

/// What the keys of all objects of a source and a day begin with: `[prefix/]segment-logs/{source}/{day}/`, or the folders
/// of another layout.
pub fn folder(prefix: &str, layout: Layout, source: &SourceId, day: Day) -> String {
    match layout {
        Layout::Segment => under(prefix, format_args!("{source}/{day}/")),
        Layout::Hive => under(prefix, format_args!("source={source}/day={}/", date(day))),
    }
}

/// `[prefix/]segment-logs/_manifests/{source}/{day}/{name}`, whatever the layout. No such key ends with `.gz`.
pub fn manifest_key(prefix: &str, source: &SourceId, day: Day, name: &str) -> String {
    under(prefix, format_args!("_manifests/{source}/{day}/{name}"))
}

/// A day as a date: 2019-05-11.
pub fn date(day: Day) -> String {
    rfc3339(day.ms()).chars().take_while(|letter| *letter != 'T').collect()
}

/// The key of the object that shows that a destination can be written to.
pub fn dummy_key(prefix: &str) -> String {
    under(prefix, format_args!("{DUMMY}"))
}

fn under(prefix: &str, rest: std::fmt::Arguments<'_>) -> String {
    if prefix.is_empty() { format!("{FOLDER}/{rest}") } else { format!("{prefix}/{FOLDER}/{rest}") }
}

/// Joins fragments into one gzip member.
#[derive(Clone, Debug, Default)]
pub struct Stitcher {
    raw: crc32fast::Hasher,
    raw_bytes: u64,
}

/// The bytes that end an object.
pub const END_LEN: usize = FINAL_BLOCK.len() + TRAILER_LEN;

impl Stitcher {
    /// The bytes that begin an object.
    pub const HEADER: [u8; 10] = HEADER;

    /// Takes the next fragment; its [body](Verified::body) comes next in the object.
    pub fn push<B: AsRef<[u8]>>(&mut self, fragment: &Verified<B>) {
        let part = crc32fast::Hasher::new_with_initial_len(fragment.raw_crc32(), fragment.raw_bytes());
        self.raw.combine(&part);
        self.raw_bytes += fragment.raw_bytes();
    }

    /// The bytes that come after the last body.
    pub fn finish(self) -> [u8; END_LEN] {
        let mut out = Vec::with_capacity(END_LEN);
        append_end(&mut out, self.raw.finalize(), self.raw_bytes);
        let mut end = [0; END_LEN];
        end.copy_from_slice(&out);
        end
    }
}

/// Compresses the lines of fragments again, if each fragment is so small that it compresses badly.
///
/// It holds the whole object, because S3 needs the length before the first byte.
#[derive(Debug)]
pub struct Rewriter {
    encoder: Encoder,
    stitcher: Stitcher,
    lines: Vec<u8>,
    pieces: Vec<Vec<u8>>,
}

/// Lines are gathered up to this length before they are compressed together.
const REWRITE_WINDOW: usize = 1 << 20;

impl Default for Rewriter {
    fn default() -> Rewriter {
        let pieces = vec![HEADER.to_vec()];
        Rewriter { encoder: Encoder::default(), stitcher: Stitcher::default(), lines: Vec::new(), pieces }
    }
}

/// A fragment with the right checksum that does not inflate to its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the fragment does not inflate to the lines that its trailer describes")]
pub struct NotTheLines;

impl Rewriter {
    /// Takes the next fragment.
    ///
    /// # Errors
    /// When it does not inflate; nothing of it was taken then.
    pub fn push<B: AsRef<[u8]>>(&mut self, fragment: &Verified<B>) -> Result<(), NotTheLines> {
        let before = self.lines.len();
        let mut inflated = flate2::read::DeflateDecoder::new(fragment.body()).take(fragment.raw_bytes() + 1);
        // The body has no final block, so a reader that wants one complains after the last line.
        let ended = read_all(&mut inflated, &mut self.lines);
        let lines = self.lines.get(before..).unwrap_or_default();
        let right = lines.len() as u64 == fragment.raw_bytes() && crc32fast::hash(lines) == fragment.raw_crc32();
        if !ended || !right {
            self.lines.truncate(before);
            return Err(NotTheLines);
        }
        self.stitcher.push(fragment);
        if self.lines.len() >= REWRITE_WINDOW {
            self.compress();
        }
        Ok(())
    }

    /// The object's pieces, in order.
    pub fn finish(mut self) -> Vec<Vec<u8>> {
        self.compress();
        self.pieces.push(self.stitcher.finish().to_vec());
        self.pieces
    }

    fn compress(&mut self) {
        let mut piece = Vec::with_capacity(self.lines.len() / 5 + 1024);
        self.encoder.append_body(&mut piece, &self.lines);
        piece.shrink_to_fit();
        self.pieces.push(piece);
        self.lines.clear();
    }
}

fn read_all(from: &mut impl Read, to: &mut Vec<u8>) -> bool {
    match from.read_to_end(to) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::UnexpectedEof,
    }
}

#[cfg(test)]
mod tests;
