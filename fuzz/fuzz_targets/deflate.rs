//! Any bytes → deflate blocks, by a search and by repeats, and a gzip file, which decoders inflate to the same bytes.
//!
//! If the first byte of the input is odd, the rest is compressed. If it is even, the rest is a program that writes up to
//! 300 KB, so that short input has far matches and several blocks. Seeds: the inputs of the reading corpus and `events/` (`fuzz/seed.sh`).
#![no_main]

use std::cell::RefCell;
use std::io::Read;

use deflate::{DISTANCE_MAX, Encoder, blocks_len_max, gzip_len_max};
use libfuzzer_sys::fuzz_target;

const BYTES_MAX: usize = 300_000;
const FLUSH: [u8; 4] = [0, 0, 0xff, 0xff];
const FINAL_BLOCK: [u8; 5] = [1, 0, 0, 0xff, 0xff];

thread_local! {
    static USED: RefCell<Encoder> = RefCell::default();
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, rest)) = input.split_first() else { return };
    let bytes = if choice % 2 == 1 { rest.to_vec() } else { written(rest) };
    USED.with_borrow_mut(|encoder| {
        let mut blocks = Vec::new();
        encoder.append_blocks(&mut blocks, &bytes);
        assert!(blocks.ends_with(&FLUSH));
        assert!(blocks.len() <= blocks_len_max(bytes.len()), "{} bytes become {}", bytes.len(), blocks.len());
        let mut fresh = Vec::new();
        Encoder::default().append_blocks(&mut fresh, &bytes);
        assert!(fresh == blocks, "the output depends on what was compressed before");

        // Blocks can follow any others.
        let half = bytes.len() / 2;
        encoder.append_blocks(&mut blocks, &bytes[half..]);
        blocks.extend_from_slice(&FINAL_BLOCK);
        assert_inflates(&blocks, &[&bytes, &bytes[half..]].concat());

        let mut gzip = Vec::new();
        let distance_max = DISTANCE_MAX - (usize::from(*choice >> 1) << 8);
        encoder.append_gzip(&mut gzip, &bytes, distance_max);
        assert!(gzip.len() <= gzip_len_max(bytes.len()));
        let mut inflated = Vec::new();
        flate2::bufread::MultiGzDecoder::new(&gzip[..]).read_to_end(&mut inflated).expect("a gzip file");
        assert!(inflated == bytes);

        // Repeats change no byte, whether they are of these bytes or of others.
        let repeats = encoder.repeats().clone();
        assert!(repeats.iter().all(|repeat| repeat.distance <= distance_max));
        for others in [bytes.clone(), bytes[half..].to_vec(), [&bytes[half..], b"between", &bytes[..half]].concat()] {
            let mut blocks = Vec::new();
            encoder.append_blocks_with(&mut blocks, &others, &repeats);
            assert!(blocks.len() <= blocks_len_max(others.len()));
            blocks.extend_from_slice(&FINAL_BLOCK);
            assert_inflates(&blocks, &others);
        }
    });
});

fn assert_inflates(deflated: &[u8], bytes: &[u8]) {
    assert!(miniz_oxide::inflate::decompress_to_vec(deflated).expect("deflate for miniz_oxide") == bytes);
    let mut inflated = Vec::new();
    flate2::bufread::DeflateDecoder::new(deflated).read_to_end(&mut inflated).expect("deflate for zlib-rs");
    assert!(inflated == bytes);
}

/// What a program writes. A step has five bytes: what to do, a length, and how.
fn written(program: &[u8]) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), program);
    while let Some(([step, len @ .., low, high], after)) = rest.split_first_chunk::<5>() {
        rest = after;
        let (len, how) = (usize::from(u16::from_le_bytes(*len)), u16::from_le_bytes([*low, *high]));
        match step % 4 {
            0 => {
                let (literal, after) = rest.split_at(rest.len().min(len % 64));
                bytes.extend_from_slice(literal);
                rest = after;
            }
            1 => {
                for _ in 0..len {
                    let earlier = bytes.len().checked_sub(usize::from(how) + 1).map(|at| bytes[at]);
                    bytes.push(earlier.unwrap_or(*low));
                }
            }
            2 => {
                let mut state = u64::from(how) | 1 << 32;
                for _ in 0..len {
                    state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                    bytes.push((state >> 56) as u8 & high.rotate_left(u32::from(*step) / 32));
                }
            }
            _ => bytes.resize(bytes.len() + len, *low),
        }
        if bytes.len() > BYTES_MAX {
            break;
        }
    }
    bytes.truncate(BYTES_MAX);
    bytes
}
