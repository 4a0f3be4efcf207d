//! The promises of the encoder, by the eyes of two decoders.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Read;

use deflate::{Encoder, Repeat, Repeats, blocks_len_max, gzip_len_max};
use proptest::prelude::*;

const FLUSH: [u8; 5] = [0, 0, 0, 0xff, 0xff];
const FINAL_BLOCK: [u8; 5] = [1, 0, 0, 0xff, 0xff];

fn blocks(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Encoder::default().append_blocks(&mut out, bytes);
    out
}

fn inflate(blocks: &[u8]) -> Vec<u8> {
    let deflated = [blocks, &FINAL_BLOCK].concat();
    let mut inflated = Vec::new();
    let mut decoder = flate2::bufread::DeflateDecoder::new(&deflated[..]);
    decoder.read_to_end(&mut inflated).unwrap();
    assert!(decoder.into_inner().is_empty(), "bytes after the final block");
    assert!(miniz_oxide::inflate::decompress_to_vec(&deflated).unwrap() == inflated, "the decoders disagree");
    inflated
}

fn assert_round_trip(name: &str, bytes: &[u8]) -> usize {
    let blocks = blocks(bytes);
    assert!(inflate(&blocks) == bytes, "{name}");
    assert!(blocks.ends_with(&FLUSH[1..]), "{name}: no sync flush at the end");
    assert!(blocks.len() <= blocks_len_max(bytes.len()), "{name}: {} bytes become {}", bytes.len(), blocks.len());
    blocks.len()
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| step()).collect()
}

/// Lines of calls, which differ in an id, a time and a number.
fn lines(count: usize) -> Vec<u8> {
    let ids = noise(16 * count);
    let line = |(number, id): (usize, &[u8])| {
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        format!(
            "{{\"type\":\"track\",\"messageId\":\"s3-{number}\",\"event\":\"Order Completed\",\"anonymousId\":\"{id}\",\
             \"properties\":{{\"revenue\":{}}},\"timestamp\":\"2019-05-11T20:32:{:02}.940Z\"}}\n",
            number % 977,
            number % 60
        )
    };
    ids.chunks(16).enumerate().map(line).collect::<String>().into_bytes()
}

#[test]
fn nothing_is_a_sync_flush_alone() {
    assert_eq!(blocks(b""), FLUSH);
}

#[test]
fn each_length_around_a_limit_round_trips() {
    let around = |limit: usize, most: usize| limit - most..=limit + most;
    let small = [16, 258].into_iter().flat_map(|limit| around(limit, 16));
    let large = [32_768, 65_535, 128_000, 128_258, 256_000].into_iter().flat_map(|limit| around(limit, 1));
    for len in small.chain(large) {
        assert_round_trip("noise", &noise(len));
        assert_round_trip("one byte", &vec![b'a'; len]);
        assert_round_trip("lines", &lines(len / 150 + 1)[..len]);
    }
}

#[test]
fn input_of_any_period_round_trips_and_takes_little_more_than_one_period() {
    let noise = noise(70_000);
    for period in (1..300).chain([1_000, 3_000, 32_762, 32_768, 32_769, 40_000, 65_535, 65_536, 65_537, 70_000]) {
        let bytes: Vec<u8> = noise[..period].iter().copied().cycle().take(3 * period + 300).collect();
        let len = assert_round_trip("periodic", &bytes);
        if period <= 3_000 {
            assert!(len < period + period / 8 + 200, "a period of {period} bytes makes {len}");
        }
    }
}

#[test]
fn all_bytes_round_trip() {
    let each: Vec<u8> = (0..=255).collect();
    assert_round_trip("each byte once", &each);
    assert_round_trip("each byte often", &each.repeat(1_000));
    assert_round_trip("zeroes", &[0; 70_000]);
}

#[test]
fn many_megabytes_round_trip() {
    assert_round_trip("noise between lines", &[lines(5_000), noise(2_000_000), lines(8_000)].concat());
}

#[test]
fn output_is_never_longer_than_the_bound() {
    for len in (0..2_000).chain([65_535, 65_536, 128_000, 131_070, 1_000_000]) {
        assert_round_trip("noise", &noise(len));
    }
    // Half of a stored block's frame goes to align it, if other blocks end in the middle of a byte.
    let mixed: Vec<u8> = (0..20).flat_map(|_| [lines(1_000), noise(140_000)].concat()).collect();
    assert_round_trip("lines between noise", &mixed);
}

#[test]
fn an_encoder_forgets_what_it_compressed_before() {
    let mut encoder = Encoder::default();
    for bytes in [lines(2_000), noise(200_000), lines(3), lines(2_000), vec![0; 100_000], b"{}\n".to_vec()] {
        let mut out = Vec::new();
        encoder.append_blocks(&mut out, &bytes);
        assert!(out == blocks(&bytes));
    }
}

#[test]
fn blocks_follow_what_is_there() {
    let mut encoder = Encoder::default();
    let (first, second) = (lines(100), lines(300));
    let mut out = Vec::new();
    encoder.append_blocks(&mut out, &first);
    encoder.append_blocks(&mut out, &second);
    assert_eq!(out, [blocks(&first), blocks(&second)].concat());
    assert!(inflate(&out) == [first, second].concat());
}

#[test]
fn lines_take_a_fourth_at_most_and_a_single_call_takes_less_than_itself() {
    let many = lines(2_000);
    assert!(blocks(&many).len() < many.len() / 4);
    let call = lines(1);
    assert!(blocks(&call).len() < call.len());
}

#[test]
fn a_gzip_file_is_one_member_with_checksum_and_length() {
    for bytes in [Vec::new(), b"{}".to_vec(), lines(3_000), noise(200_000)] {
        let mut out = b"before".to_vec();
        Encoder::default().append_gzip(&mut out, &bytes, usize::MAX);
        let gzip = out.strip_prefix(b"before").unwrap();
        assert!(gzip.len() <= gzip_len_max(bytes.len()));
        let mut decoder = flate2::bufread::GzDecoder::new(gzip);
        let mut inflated = Vec::new();
        decoder.read_to_end(&mut inflated).unwrap();
        assert!(decoder.into_inner().is_empty(), "bytes after the member");
        assert!(inflated == bytes);
    }
}

fn blocks_with(bytes: &[u8], repeats: impl IntoIterator<Item = Repeat>) -> Vec<u8> {
    let (mut out, mut all) = (Vec::new(), Repeats::default());
    repeats.into_iter().for_each(|repeat| all.push(repeat));
    Encoder::default().append_blocks_with(&mut out, bytes, &all);
    assert!(inflate(&out) == bytes);
    assert!(out.len() <= blocks_len_max(bytes.len()));
    out
}

#[test]
fn with_the_repeats_of_a_search_the_output_is_as_short_as_by_the_search() {
    for bytes in [lines(3_000), [lines(100), noise(150_000), lines(100)].concat(), vec![b'a'; 300_000], noise(5)] {
        let mut encoder = Encoder::default();
        let mut searched = Vec::new();
        encoder.append_blocks(&mut searched, &bytes);
        assert_eq!(encoder.repeats().input_len(), bytes.len());
        let followed = blocks_with(&bytes, encoder.repeats().iter());
        let most = searched.len() + searched.len() / 1_000 + 8;
        assert!(followed.len() <= most, "{} by the search, {} by its repeats", searched.len(), followed.len());
    }
}

#[test]
fn a_repeat_goes_on_for_as_long_as_the_bytes_are_the_same() {
    let bytes = noise(2_000).repeat(2);
    let one = blocks_with(&bytes, [Repeat { at: 2_000, distance: 2_000 }]);
    assert!(one.len() < 2_100, "{}", one.len());
    // The match before goes beyond the second one, which is tried where that ends.
    let twice = [noise(500), noise(250), noise(250)].concat();
    let passed = [Repeat { at: 500, distance: 500 }, Repeat { at: 740, distance: 250 }];
    assert!(blocks_with(&twice, passed).len() < 600);
}

#[test]
fn a_gzip_file_refers_back_no_farther_than_it_may() {
    let twice = noise(20_000).repeat(2);
    let len = |distance_max| {
        let (mut encoder, mut out) = (Encoder::default(), Vec::new());
        encoder.append_gzip(&mut out, &twice, distance_max);
        assert!(encoder.repeats().iter().all(|repeat| repeat.distance <= distance_max));
        out.len()
    };
    assert!(len(20_000) < 21_000 && len(19_999) > 40_000);
}

#[test]
fn repeats_are_given_back_as_they_were_put() {
    let mut repeats = Repeats::default();
    let all =
        [(0, 1), (0, 32_768), (65_535, 7), (131_071, 8), (1_000_000, 9)].map(|(at, distance)| Repeat { at, distance });
    for repeat in all {
        repeats.push(repeat);
        repeats.push(Repeat { at: repeat.at + 1, distance: 32_769 });
    }
    assert_eq!(repeats.iter().collect::<Vec<_>>(), all);
}

#[test]
fn wrong_repeats_change_no_byte() {
    let bytes = lines(1_000);
    let len = bytes.len();
    let wrong = [(0, 1), (5, 0), (5, 6), (800, 1), (900, 30_000), (40_000, 40_000), (len, 1), (len + 70_000, 3)];
    blocks_with(&bytes, wrong.map(|(at, distance)| Repeat { at, distance }));
    blocks_with(b"", [Repeat { at: 0, distance: 0 }]);
    blocks_with(&bytes, []);
}

/// Pieces that repeat each other, now and then with a change.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..400),
        "[0-9a-f]{0,64}".prop_map(String::into_bytes),
        Just(b"\"context\":{\"library\":{\"name\":\"segment-s3\"}}".to_vec()),
        (any::<u8>(), 0..1_000_usize).prop_map(|(byte, len)| vec![byte; len]),
    ];
    (proptest::collection::vec(piece, 1..8), proptest::collection::vec(any::<proptest::sample::Index>(), 0..200))
        .prop_map(|(pieces, order)| order.iter().flat_map(|index| index.get(&pieces).clone()).collect())
}

proptest! {
    #[test]
    fn any_bytes_round_trip(bytes in proptest::collection::vec(any::<u8>(), 0..5_000)) {
        assert_round_trip("any bytes", &bytes);
    }

    #[test]
    fn pieces_in_any_order_round_trip(bytes in pieces()) {
        assert_round_trip("pieces", &bytes);
    }

    #[test]
    fn any_repeats_change_no_byte(
        bytes in pieces(),
        mut repeats in proptest::collection::vec((0..200_000_usize, 0..40_000_usize), 0..100),
    ) {
        repeats.sort_unstable();
        blocks_with(&bytes, repeats.into_iter().map(|(at, distance)| Repeat { at, distance }));
    }

    #[test]
    fn the_repeats_of_other_bytes_change_no_byte(bytes in pieces(), others in pieces()) {
        let mut encoder = Encoder::default();
        encoder.append_blocks(&mut Vec::new(), &others);
        blocks_with(&bytes, encoder.repeats().iter());
    }
}
