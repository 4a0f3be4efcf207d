//! Bytes to text: byte order marks, UTF-16, and the encodings that ASCII is part of.

use crate::dialect::Encoding;

/// What stands in transcoded text where the source had no character. It is in no UTF-8, so the row
/// is refused, and refused again when it comes back unmended.
pub(crate) const NO_CHARACTER: u8 = 0xFF;

/// Takes plain bytes, gives what records are looked for in: the bytes as they are, or UTF-8 for
/// UTF-16.
#[derive(Debug)]
pub(crate) struct Transcoder {
    /// The encoding where no byte order mark says another.
    default: Encoding,
    encoding: Option<Encoding>,
    /// Length of the byte order mark.
    bom: usize,
    /// Bytes that say nothing alone: fewer than a mark, or half of a character.
    held: Vec<u8>,
}

impl Transcoder {
    pub(crate) fn new(default: Encoding) -> Transcoder {
        Transcoder { default, encoding: None, bom: 0, held: Vec::new() }
    }

    /// For text that begins in the middle of a file.
    pub(crate) fn within(encoding: Encoding) -> Transcoder {
        Transcoder { encoding: Some(encoding), ..Transcoder::new(encoding) }
    }

    /// The encoding, once it is known.
    pub(crate) fn encoding(&self) -> Option<Encoding> {
        self.encoding
    }

    /// Length of the byte order mark, 0 without one.
    pub(crate) fn bom(&self) -> usize {
        self.bom
    }

    /// How many bytes are held back.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// Whether bytes can be taken as they are, without asking here.
    pub(crate) fn passes_through(&self) -> bool {
        matches!(self.encoding, Some(Encoding::Utf8 | Encoding::Legacy(_)))
    }

    /// Appends the text of `bytes` to `out`. `last` says that nothing follows.
    pub(crate) fn feed(&mut self, bytes: &[u8], last: bool, out: &mut Vec<u8>) {
        if self.passes_through() {
            out.extend_from_slice(bytes);
            return;
        }
        self.held.extend_from_slice(bytes);
        let mut held = std::mem::take(&mut self.held);
        let mut taken = 0;
        if self.encoding.is_none() {
            let Some((encoding, bom)) = recognise(&held, self.default, last) else {
                self.held = held;
                return;
            };
            (self.encoding, self.bom, taken) = (Some(encoding), bom, bom);
        }
        taken += match self.encoding {
            Some(Encoding::Utf16Le) => utf16(&held[taken..], u16::from_le_bytes, last, out),
            Some(Encoding::Utf16Be) => utf16(&held[taken..], u16::from_be_bytes, last, out),
            _ => {
                out.extend_from_slice(&held[taken..]);
                held.len() - taken
            }
        };
        held.drain(..taken);
        self.held = held;
    }
}

/// The encoding by the byte order mark, which wins over any setting, and the mark's length.
fn recognise(start: &[u8], default: Encoding, last: bool) -> Option<(Encoding, usize)> {
    const MARKS: [(&[u8], Encoding); 3] =
        [(b"\xEF\xBB\xBF", Encoding::Utf8), (b"\xFF\xFE", Encoding::Utf16Le), (b"\xFE\xFF", Encoding::Utf16Be)];
    for (mark, encoding) in MARKS {
        if start.starts_with(mark) {
            return Some((encoding, mark.len()));
        }
    }
    let may_become = MARKS.iter().any(|(mark, _)| mark.starts_with(start));
    (last || !may_become).then_some((default, 0))
}

/// Appends UTF-16 as UTF-8. Returns how many bytes were taken; what is left is half of something.
fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16, last: bool, out: &mut Vec<u8>) -> usize {
    let (pairs, odd) = bytes.as_chunks::<2>();
    out.reserve(pairs.len() * 3 / 2);
    let mut at = 0;
    while let Some(pair) = pairs.get(at) {
        let first = unit(*pair);
        if first < 0x80 {
            out.push(pair[0] | pair[1]);
            at += 1;
            continue;
        }
        let second = pairs.get(at + 1).map(|pair| unit(*pair));
        if second.is_none() && matches!(first, 0xD800..=0xDBFF) && !last {
            break;
        }
        let units = [first, second.unwrap_or(0)];
        match char::decode_utf16(units).next() {
            Some(Ok(c)) => {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                at += c.len_utf16();
            }
            _ => {
                out.push(NO_CHARACTER);
                at += 1;
            }
        }
    }
    if last && !odd.is_empty() {
        out.push(NO_CHARACTER);
        return bytes.len();
    }
    at * 2
}

/// Appends a record as UTF-8, whatever its encoding; what is no character becomes
/// [`NO_CHARACTER`].
pub(crate) fn transcode(record: &[u8], encoding: Encoding, out: &mut Vec<u8>) {
    let Encoding::Legacy(charset) = encoding else {
        out.extend_from_slice(record);
        return;
    };
    let mut decoder = charset.new_decoder_without_bom_handling();
    let mut rest = record;
    loop {
        let begin = out.len();
        // Three bytes for each is the most that any of them becomes.
        let room = decoder.max_utf8_buffer_length_without_replacement(rest.len()).unwrap_or(rest.len() * 3 + 16);
        out.resize(begin + room, 0);
        let (result, read, written) = decoder.decode_to_utf8_without_replacement(rest, &mut out[begin..], true);
        out.truncate(begin + written);
        rest = &rest[read..];
        match result {
            encoding_rs::DecoderResult::InputEmpty => return,
            encoding_rs::DecoderResult::OutputFull => {}
            encoding_rs::DecoderResult::Malformed(_, _) => out.push(NO_CHARACTER),
        }
    }
}
