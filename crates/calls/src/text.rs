//! Bytes to text: byte order marks, UTF-16, and the encodings that ASCII is part of.

use memchr::memmem;

use protocol::reading::{Delimiter, Encoding};

use crate::columns::REJECT_COLUMNS;

/// What stands in transcoded text where the source had no character. It is in no UTF-8, so the row
/// is refused, and refused again when it comes back without a correction.
pub(crate) const NO_CHARACTER: u8 = 0xFF;

/// Takes plain bytes, gives what records are looked for in: the bytes as they are, or UTF-8 for
/// UTF-16.
#[derive(Debug)]
pub(crate) struct Transcoder {
    /// The encoding where no byte order mark says another.
    default: Encoding,
    encoding: Option<Encoding>,
    /// Whether the encoding is found out from the beginning of the text, without a mark.
    auto: bool,
    /// Whether the text may be a rejects file of ours, which is UTF-8 whatever the setting.
    may_be_rejects: bool,
    /// Whether nothing but the lack of any other speaks for the encoding.
    is_guess: bool,
    /// Length of the byte order marks.
    bom: usize,
    /// Bytes that say nothing alone: fewer than a mark, or half of a character.
    held: Vec<u8>,
}

impl Transcoder {
    pub(crate) fn new(default: Encoding, auto: bool) -> Transcoder {
        let may_be_rejects = false;
        Transcoder { default, encoding: None, auto, may_be_rejects, is_guess: false, bom: 0, held: Vec::new() }
    }

    /// The same for a file that is called a rejects file: with the header of one, it is read as UTF-8 if it is that.
    pub(crate) fn may_be_rejects(self) -> Transcoder {
        Transcoder { may_be_rejects: matches!(self.default, Encoding::Legacy(_)), ..self }
    }

    /// For text that begins in the middle of a file.
    pub(crate) fn within(encoding: Encoding) -> Transcoder {
        Transcoder { encoding: Some(encoding), ..Transcoder::new(encoding, false) }
    }

    /// The encoding, once it is known.
    pub(crate) fn encoding(&self) -> Option<Encoding> {
        self.encoding
    }

    /// Whether nothing but the lack of any other speaks for the encoding.
    pub(crate) fn is_guess(&self) -> bool {
        self.is_guess
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
            let Some((marked, bom)) = marked(&held, last) else {
                self.held = held;
                return;
            };
            let is_decided = !self.auto && !self.may_be_rejects;
            if marked.is_none() && !is_decided && held.len() <= AUTO_BYTES && !last {
                self.held = held;
                return;
            }
            let encoding = match marked {
                Some(encoding) => encoding,
                None if self.auto => {
                    let (encoding, is_guess) = found_out(&held);
                    self.is_guess = is_guess;
                    encoding
                }
                None if self.may_be_rejects && is_utf8_of_rejects(&held) => Encoding::Utf8,
                None => self.default,
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

/// So much of a text decides its encoding, where that is found out.
const AUTO_BYTES: usize = 256 * 1024;

/// Byte order marks that may follow on each other: tools that add one do not look for one.
const MARKS_MAX: usize = 4;

/// The encoding by the byte order mark, which wins over any setting, and the length of all marks there are. `None`
/// when more has to be seen.
fn marked(start: &[u8], last: bool) -> Option<(Option<Encoding>, usize)> {
    const MARKS: [(&[u8], Encoding); 3] =
        [(b"\xEF\xBB\xBF", Encoding::Utf8), (b"\xFF\xFE", Encoding::Utf16Le), (b"\xFE\xFF", Encoding::Utf16Be)];
    let Some((mark, encoding)) = MARKS.iter().find(|(mark, _)| start.starts_with(mark)) else {
        let may_become = MARKS.iter().any(|(mark, _)| mark.starts_with(start));
        return (last || !may_become).then_some((None, 0));
    };
    let mut at = mark.len();
    for _ in 1..MARKS_MAX {
        let rest = &start[at..];
        if rest.starts_with(mark) {
            at += mark.len();
        } else if mark.starts_with(rest) && !last {
            return None;
        } else {
            break;
        }
    }
    Some((Some(*encoding), at))
}

/// The encoding of a text without a mark, and whether that is a guess.
fn found_out(start: &[u8]) -> (Encoding, bool) {
    let start = &start[..start.len().min(AUTO_BYTES)];
    let nuls_at = |parity: usize| start.iter().skip(parity).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (nuls_at(0), nuls_at(1));
    if even > 4 * odd && even * 4 > start.len() {
        return (Encoding::Utf16Be, false);
    }
    if odd > 4 * even && odd * 4 > start.len() {
        return (Encoding::Utf16Le, false);
    }
    if is_of_rejects(start) || is_mostly_utf8(start) {
        (Encoding::Utf8, false)
    } else {
        (Encoding::Legacy(encoding_rs::WINDOWS_1252), true)
    }
}

/// Whether a text is a rejects file and still in UTF-8: another program may have saved it in an encoding of its own.
fn is_utf8_of_rejects(start: &[u8]) -> bool {
    let start = &start[..start.len().min(AUTO_BYTES)];
    is_of_rejects(start) && is_mostly_utf8(start)
}

/// Whether the header is that of a rejects file: we write UTF-8, and a row that was refused for its bytes still has them.
fn is_of_rejects(start: &[u8]) -> bool {
    let is_end = |rest: &[u8]| matches!(rest.first(), None | Some(b'\n' | b'\r'));
    Delimiter::ALL.into_iter().any(|delimiter| {
        let names = REJECT_COLUMNS.join(&char::from(delimiter.byte()).to_string());
        memmem::find_iter(start, &names).any(|at| is_end(&start[at + names.len()..]))
    })
}

/// Whether more lines beyond ASCII are UTF-8 than are not: in no other encoding are such lines UTF-8 but by chance. The
/// exceptions are refused one by one.
fn is_mostly_utf8(start: &[u8]) -> bool {
    let (mut valid, mut invalid) = (0, 0);
    for line in start.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| !line.is_ascii()) {
        match std::str::from_utf8(line) {
            Ok(_) => valid += 1,
            // A character that is cut off at the end does not count.
            Err(error) if error.error_len().is_none() && is_cut_off(start, line) => {}
            Err(_) => invalid += 1,
        }
    }
    invalid == 0 || valid > invalid
}

/// Whether `line` is the last of a beginning that more text may follow.
fn is_cut_off(start: &[u8], line: &[u8]) -> bool {
    start.len() == AUTO_BYTES && start.as_ptr_range().end == line.as_ptr_range().end
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

/// What DOS ends a text with.
pub(crate) const CTRL_Z: u8 = 0x1A;

/// A record without the Ctrl-Z that DOS ends a text with, and the NUL bytes behind it.
#[inline]
pub(crate) fn without_ctrl_z(text: &[u8]) -> Option<&[u8]> {
    match text.last() {
        Some(&(CTRL_Z | 0)) => {
            let end = text.iter().rposition(|byte| *byte != 0)?;
            (text[end] == CTRL_Z).then(|| &text[..end])
        }
        _ => None,
    }
}

/// Where the first byte is that is not UTF-8.
#[inline]
pub(crate) fn first_non_utf8(text: &[u8]) -> Option<usize> {
    // Several times as fast as the standard library on names beyond ASCII.
    if encoding_rs::Encoding::utf8_valid_up_to(text) == text.len() {
        None
    } else {
        std::str::from_utf8(text).err().map(|error| error.valid_up_to())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_another_encoding_does_not_change_that_of_the_file() {
        let utf8 = "x,Müller\n".repeat(49);
        for (text, expected) in [
            ([utf8.as_bytes(), b"y,caf\xE9\n"].concat(), Encoding::Utf8),
            ([b"y,caf\xE9\n", utf8.as_bytes()].concat(), Encoding::Utf8),
            (b"x,caf\xE9\ny,M\xC3\xBCller\n".to_vec(), Encoding::Legacy(encoding_rs::WINDOWS_1252)),
            (b"x,caf\xE9".to_vec(), Encoding::Legacy(encoding_rs::WINDOWS_1252)),
            (b"x,caf\xC3".to_vec(), Encoding::Legacy(encoding_rs::WINDOWS_1252)),
            (b"x\n".to_vec(), Encoding::Utf8),
        ] {
            assert_eq!(found_out(&text).0, expected, "{}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn a_character_that_the_sample_cuts_in_two_does_not_decide_the_encoding() {
        let text = format!("{}ü", "x".repeat(AUTO_BYTES - 1));
        assert_eq!(found_out(text.as_bytes()).0, Encoding::Utf8);
    }
}
