//! The lines of a body's calls, and where they repeat earlier ones.
//!
//! A call is compressed twice: in the body of its request, and in its line. Both have the same text, so only the body is
//! searched, and each of its repeats is moved to the line of its call. That saves a fifth to a third of the time for the
//! lines (README of `deflate`). The fields that a line adds to its call are those of an earlier line.

use std::ops::Range;

use deflate::{DISTANCE_MAX, Repeat, Repeats};

use crate::received::{ORIGINAL_TIMESTAMP, Stamp, append_own_call};

/// How many bytes a line has more than its call: 195, or 156 if the call has a time, for a source's id of 22 characters and
/// without the write key. This is a little more.
const ADDED_BYTES: usize = 200;

/// Lines are searched if more than one in so many repeats of their body is of no use to them. For each the line has some
/// twenty letters that a search might find again.
const LOST_SHARE: usize = 100;

/// The calls of a body are found by pieces of so many bytes.
const CHUNK_BYTES: usize = 256;

/// How far back the repeats of a body may go, so that nearly all are near enough for deflate in the lines of its calls:
/// what is 100 calls back in the body is 100 lines back there. Calls of very different lengths have some that are not.
pub fn distance_max(body_len: usize, calls: usize) -> usize {
    DISTANCE_MAX * body_len / (body_len + ADDED_BYTES * calls).max(1)
}

/// Lines, with the places of their calls.
#[derive(Debug, Default)]
pub struct Lines {
    text: Vec<u8>,
    body_len: usize,
    calls: Vec<Moved>,
    /// For each [`CHUNK_BYTES`] of the body: the last line whose call begins at or before the start of them, or 0.
    chunks: Vec<u32>,
}

/// A call and its line.
#[derive(Clone, Copy, Debug)]
struct Moved {
    /// Where the call begins in the body.
    from: usize,
    /// Its bytes that are in the line: all but the last brace.
    len: usize,
    /// Where its line begins.
    to: usize,
    /// Where its timestamp begins in the line.
    timestamp: Option<usize>,
    /// Where the line goes on after its times.
    after_times: usize,
}

impl Moved {
    /// Where the line goes on after the call.
    fn end(&self) -> usize {
        self.to + self.len
    }

    /// Puts the repeats of the fields that its line adds.
    ///
    /// `alike` is the last line that has a time too, or has none either. `before` is the line before. After their times all
    /// lines go on alike.
    fn push_added(&self, alike: Option<&Self>, before: Option<&Self>, repeats: &mut Repeats) {
        let mut push = |at: usize, earlier: Option<usize>| {
            if let Some(earlier) = earlier {
                repeats.push(Repeat { at, distance: at - earlier });
            }
        };
        push(self.end(), alike.map(Self::end));
        push(self.end() + ORIGINAL_TIMESTAMP.len(), self.timestamp);
        push(self.after_times, before.map(|before| before.after_times));
    }
}

impl Lines {
    /// Forgets all lines, and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.calls.clear();
        self.chunks.clear();
    }

    /// Appends the line of a call that we encoded ourselves ([`append_own_call`]). All calls are of one body, in its order.
    ///
    /// `timestamp` is the range of its `timestamp` in the body.
    pub fn append(&mut self, body: &[u8], call: Range<usize>, timestamp: Option<Range<usize>>, stamp: &Stamp) {
        let (from, to) = (call.start, self.text.len());
        debug_assert!(self.calls.last().is_none_or(|before| before.from + before.len < from), "calls come in order");
        let timestamp = timestamp.map(|at| at.start - from..at.end - from);
        let (len, timestamp_at) = (call.len() - 1, timestamp.as_ref().map(|at| to + at.start));
        append_own_call(&mut self.text, &body[call], timestamp, stamp);
        let after_times = self.text.len() - stamp.after_times().len();
        self.body_len = body.len();
        let before = self.calls.len().saturating_sub(1) as u32;
        self.chunks.resize(from.div_ceil(CHUNK_BYTES), before);
        self.calls.push(Moved { from, len, to, timestamp: timestamp_at, after_times });
    }

    /// The lines.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// How many lines there are.
    pub fn count(&self) -> u32 {
        self.calls.len() as u32
    }

    /// Puts where the lines repeat, given where their body does. False if the lines are to be searched: the repeats are of a
    /// body of another length, or many are lost.
    ///
    /// A repeat is lost if it is too far back in the lines, since the calls between are short, or if it repeats a call
    /// without a line.
    pub(crate) fn put_repeats(&self, of_body: &Repeats, repeats: &mut Repeats) -> bool {
        repeats.clear();
        if of_body.input_len() != self.body_len {
            return false;
        }
        let mut of_body = of_body.iter().peekable();
        // The line before, the last one without a time, and the last one with a time.
        let (mut before, mut alike) = (None, [None; 2]);
        let (mut count, mut lost) = (0, 0);
        for call in &self.calls {
            while let Some(repeat) = of_body.next_if(|repeat| repeat.at < call.from + call.len) {
                if repeat.at < call.from {
                    continue;
                }
                count += 1;
                match self.moved(repeat, call).filter(|repeat| repeat.distance <= DISTANCE_MAX) {
                    Some(repeat) => repeats.push(repeat),
                    None => lost += 1,
                }
            }
            let alike = &mut alike[usize::from(call.timestamp.is_some())];
            call.push_added(*alike, before, repeats);
            (*alike, before) = (Some(call), Some(call));
        }
        lost <= count / LOST_SHARE
    }

    /// A repeat of the body, in the line of its call. Without an answer it repeats nothing that has a line.
    #[inline(always)]
    fn moved(&self, repeat: Repeat, call: &Moved) -> Option<Repeat> {
        let source = repeat.at.checked_sub(repeat.distance)?;
        let origin = self.call_at(source)?;
        let at = call.to + (repeat.at - call.from);
        Some(Repeat { at, distance: at - (origin.to + (source - origin.from)) })
    }

    /// The call at a position of the body, if it has a line.
    #[inline(always)]
    fn call_at(&self, at: usize) -> Option<&Moved> {
        let mut line = self.chunks.get(at / CHUNK_BYTES).map_or(self.calls.len() - 1, |line| *line as usize);
        while self.calls.get(line + 1).is_some_and(|next| next.from <= at) {
            line += 1;
        }
        self.calls.get(line).filter(|call| (call.from..call.from + call.len).contains(&at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fragment::{self, Encoder};
    use crate::received::TIMESTAMP_LEN;
    use proptest::prelude::*;
    use std::io::Read;

    /// A body as the ingester makes it. Of its calls some are refused, and have no line.
    struct Sent {
        body: Vec<u8>,
        calls: Vec<(Range<usize>, Option<Range<usize>>)>,
    }

    impl Sent {
        fn new(calls: impl IntoIterator<Item = String>) -> Self {
            let mut sent = Self { body: b"{\"batch\":[".to_vec(), calls: Vec::new() };
            for call in calls {
                if !sent.calls.is_empty() {
                    sent.body.push(b',');
                }
                let from = sent.body.len();
                let timestamp = call.find("\"timestamp\":\"").map(|at| from + at + 13..from + at + 13 + TIMESTAMP_LEN);
                sent.body.extend_from_slice(call.as_bytes());
                sent.calls.push((from..sent.body.len(), timestamp));
            }
            sent.body.extend_from_slice(b"]}");
            sent
        }

        fn lines(&self, has_line: impl Fn(usize) -> bool, stamp: &Stamp) -> Lines {
            let mut lines = Lines::default();
            for (call, timestamp) in
                self.calls.iter().enumerate().filter(|(index, _)| has_line(*index)).map(|(_, call)| call)
            {
                lines.append(&self.body, call.clone(), timestamp.clone(), stamp);
            }
            lines
        }

        /// The lengths of the lines' fragment by the repeats of the body, and by a search.
        fn compressed(&self, lines: &Lines) -> (usize, usize) {
            let mut of_body = deflate::Encoder::default();
            of_body.append_gzip(&mut Vec::new(), &self.body, distance_max(self.body.len(), self.calls.len()));
            let (mut encoder, repeats) = (Encoder::default(), of_body.repeats());
            // Bytes are right even where the lines would rather be searched.
            let (mut put, mut blocks) = (Repeats::default(), Vec::new());
            lines.put_repeats(repeats, &mut put);
            deflate::Encoder::default().append_blocks_with(&mut blocks, lines.text(), &put);
            blocks.extend_from_slice(&protocol::fragment::FINAL_BLOCK);
            let mut inflated = Vec::new();
            flate2::read::DeflateDecoder::new(&blocks[..]).read_to_end(&mut inflated).unwrap();
            assert!(inflated == lines.text());
            let [followed, searched] = [Some(repeats), None].map(|repeats| {
                let (bytes, _) = fragment::join(&[encoder.piece(lines, repeats)]);
                let mut inflated = Vec::new();
                flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut inflated).unwrap();
                assert!(inflated == lines.text());
                bytes.len()
            });
            (followed, searched)
        }
    }

    fn stamp() -> Stamp {
        Stamp::new(1_557_606_747_940, &"qv5iYYMxd94DahFpRzm58y".parse().unwrap())
    }

    fn call(number: usize, has_time: bool) -> String {
        let cities = ["Lagos", "Quito", "Hanoi", "Bergen", "Dakar", "Lima", "Oslo"];
        let time = format!(",\"timestamp\":\"2019-05-{:02}T20:{:02}:27.940Z\"", number % 28 + 1, number * 7 % 60);
        format!(
            "{{\"type\":\"track\",\"messageId\":\"s3-0b5c-{}\",\"userId\":\"user-{}\"{},\"event\":\"Order Completed\",\
             \"properties\":{{\"city\":\"{}\",\"text\":\"{}\"}}}}",
            number * 131,
            number.wrapping_mul(0x9E37_79B9) % 100_000,
            if has_time { &time } else { "" },
            cities[number * number % 7],
            "word ".repeat(number % 5),
        )
    }

    #[test]
    fn lines_are_as_short_by_the_repeats_of_their_body_as_by_a_search() {
        for (case, has_time) in [
            ("with times", (|_| true) as fn(usize) -> bool),
            ("without times", |_| false),
            ("each third with a time", |number| number % 3 == 0),
            ("a time by chance", |number| number * number % 7 < 3),
            ("a time now and then", |number| number % 100 == 9),
        ] {
            for (size, cell_len) in [("short", 0), ("long", 600)] {
                let cell = "x".repeat(cell_len);
                let calls =
                    (0..1_100).map(|number| call(number, has_time(number)).replace("word", &format!("word{cell}")));
                let sent = Sent::new(calls);
                let (followed, searched) = sent.compressed(&sent.lines(|_| true, &stamp()));
                assert!(followed != searched, "{case}, {size}: the lines are searched");
                let most = searched + searched * 3 / 100;
                assert!(followed <= most, "{case}, {size}: {followed} bytes, {searched} by a search");
            }
        }
    }

    #[test]
    fn lines_of_calls_as_long_as_they_may_be_repeat_the_call_before() {
        let columns: String = (0..1_050).map(|column| format!(",\"properties column {}\":1", column * 7919)).collect();
        let sent =
            Sent::new((0..12).map(|number| format!("{{\"type\":\"track\",\"messageId\":\"{number}\"{columns}}}")));
        // At most 32,000 bytes are allowed (HTTP API documentation: 32 KB).
        assert!((31_000..32_000).contains(&(sent.body.len() / 12)), "{}", sent.body.len() / 12);
        let (followed, searched) = sent.compressed(&sent.lines(|_| true, &stamp()));
        assert!(followed < searched + searched / 50, "{followed} bytes, {searched} by a search");
    }

    #[test]
    fn a_line_adds_no_more_bytes_than_assumed() {
        let added = [false, true].map(|has_time| {
            let sent = Sent::new([call(1, has_time)]);
            sent.lines(|_| true, &stamp()).text().len() - sent.calls[0].0.len()
        });
        assert_eq!(added, [195, 156]);
        assert!(added.iter().all(|added| *added <= ADDED_BYTES));
        assert_eq!(distance_max(0, 0), 0);
        assert_eq!(distance_max(400_000, 1_000), DISTANCE_MAX * 2 / 3);
    }

    #[test]
    fn lines_are_searched_if_many_repeats_are_too_far_back_in_them_or_have_no_line() {
        let long = "x".repeat(3_000);
        let calls = (0..1_100).map(|number| match number {
            ..1_000 => call(number, true),
            _ => call(number, true).replace("word", &format!("{long}{}", number * number)),
        });
        let sent = Sent::new(calls);
        let (followed, searched) = sent.compressed(&sent.lines(|_| true, &stamp()));
        assert_eq!(followed, searched, "short calls beside long ones");
        let sent = Sent::new((0..1_100).map(|number| call(number, true)));
        for (every, is_searched) in [(2, true), (10, true), (1_000, false)] {
            let lines = sent.lines(|number| number % every != 1, &stamp());
            let (followed, searched) = sent.compressed(&lines);
            assert_eq!(followed == searched, is_searched, "of {every} calls one is refused");
        }
    }

    #[test]
    fn lines_are_searched_if_the_repeats_are_those_of_another_body() {
        let sent = Sent::new((0..50).map(|number| call(number, true)));
        assert!(!sent.lines(|_| true, &stamp()).put_repeats(&Repeats::default(), &mut Repeats::default()));
    }

    #[test]
    fn what_follows_a_call_repeats_the_line_before() {
        let sent = Sent::new((0..2).map(|number| call(number, true)));
        let lines = sent.lines(|_| true, &stamp());
        let text = |at: usize, len: usize| std::str::from_utf8(&lines.text()[at..at + len]).unwrap();
        let (mut of_body, mut repeats) = (deflate::Encoder::default(), Repeats::default());
        of_body.append_gzip(&mut Vec::new(), &sent.body, 0);
        assert!(lines.put_repeats(of_body.repeats(), &mut repeats));
        let repeats = repeats.iter().map(|repeat| (text(repeat.at, 20), text(repeat.at - repeat.distance, 20)));
        let [first, second] = ["2019-05-01T20:00:27.", "2019-05-02T20:07:27."];
        let [name, rest] = [",\"originalTimestamp\"", "\",\"receivedAt\":\"2019"];
        let expected = [(first, first), (name, name), (second, second), (rest, rest)];
        assert_eq!(repeats.collect::<Vec<_>>(), expected);
    }

    fn some_call() -> impl Strategy<Value = String> {
        (0..40_usize, any::<bool>(), "[a-z\"\\\\é]{0,300}").prop_map(|(number, has_time, text)| {
            let call = call(number, has_time);
            format!("{},\"text\":{}}}", &call[..call.len() - 1], serde_json::Value::from(text))
        })
    }

    proptest! {
        #[test]
        fn lines_of_any_calls_round_trip(
            calls in proptest::collection::vec((some_call(), any::<bool>()), 0..60),
            times in 1..20_usize,
        ) {
            let all: Vec<(String, bool)> = (0..times).flat_map(|_| calls.clone()).collect();
            let sent = Sent::new(all.iter().map(|(call, _)| call.clone()));
            let has_line = |index: usize| all.get(index).is_some_and(|(_, has_line)| *has_line);
            sent.compressed(&sent.lines(has_line, &stamp()));
        }

        #[test]
        fn the_repeats_of_another_body_change_no_line(calls in proptest::collection::vec(some_call(), 0..60)) {
            let sent = Sent::new(calls.iter().cloned());
            let other = Sent::new(calls.iter().rev().cloned());
            other.compressed(&sent.lines(|_| true, &stamp()));
        }
    }
}
