//! Measures the cost of fragments: to make, by compression level, and to join.
//!
//! ```text
//! stitch levels                     speed and size of fragments: ours, by the repeats of their bodies, by level of zlib-rs
//! stitch make DIR COUNT RAW_BYTES   COUNT fragments of about RAW_BYTES of lines each, and DIR/lines.json beside them
//! stitch join DIR OBJECTS           joins them to so many objects DIR/object-N.gz
//! ```
//!
//! `make` and `join` are separate runs, so that `/usr/bin/time` measures each.
#![expect(clippy::print_stdout, reason = "it is a command line")]
#![expect(clippy::disallowed_methods, reason = "what the crate must not do is measured from outside")]
#![expect(clippy::unwrap_used, reason = "a measurement that fails has nothing better to do")]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Instant;

use export::fragment::{self, Encoder, Verified};
use export::lines::{Lines, distance_max};
use export::object::Stitcher;
use export::received::Stamp;
use flate2::{Compress, Compression, FlushCompress};
use protocol::fragment::{FragmentName, Origin};
use protocol::id::{Day, SourceId};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["levels"] => levels(),
        ["make", dir, count, raw_bytes] => make(Path::new(dir), count.parse().unwrap(), raw_bytes.parse().unwrap()),
        ["join", dir, objects] => join(Path::new(dir), objects.parse().unwrap()),
        _ => println!("stitch levels | make DIR COUNT RAW_BYTES | join DIR OBJECTS"),
    }
}

/// Random enough for names and plans, and the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

/// A body and its lines, up to about `raw_bytes`, as the ingester makes them of a CSV with a dozen columns.
fn batch(raw_bytes: usize, dice: &mut Dice) -> (Vec<u8>, Lines) {
    let names = ["Tyler", "Jacob", "Ally", "Jasmin", "Omar", "Yuki", "Sofia", "Lars"];
    let surnames = ["Ortiz", "Johnson", "Sweeney", "Christian", "Haddad", "Tanaka", "Rossi", "Berg"];
    let plans = ["bronze", "silver", "gold", "platinum"];
    let pages = ["/pricing", "/docs", "/", "/blog/how-we-work", "/checkout"];
    let source: SourceId = "qv5iYYMxd94DahFpRzm58y".parse().unwrap();
    let stamp = Stamp::new(1_557_606_747_940, &source);
    let (mut body, mut calls, mut call) = (String::from("{\"batch\":["), Vec::new(), String::new());
    let stream = format!("{:016x}{:016x}", dice.roll(u64::MAX), dice.roll(u64::MAX));
    let (mut offset, mut line_bytes) = (0, 0);
    while line_bytes < raw_bytes {
        let pick = |list: &[&str], dice: &mut Dice| list[dice.roll(list.len() as u64) as usize].to_owned();
        call.clear();
        write!(
            call,
            "{{\"type\":\"track\",\"messageId\":\"s3-{stream}-{offset}\",\"timestamp\":\"2019-05-{:02}T{:02}:{:02}:{:02}.{:03}Z\",\
             \"event\":\"Order Completed\",\"userId\":\"{}\",\"anonymousId\":\"{:016x}{:016x}\",\
             \"properties\":{{\"plan\":\"{}\",\"revenue\":{}.{:02},\"orderId\":\"{:012x}\",\"currency\":\"EUR\",\"page\":\"{}\"}},\
             \"context\":{{\"ip\":\"{}.{}.{}.{}\",\"device\":{{\"id\":\"{:08x}\"}},\"traits\":{{\"name\":\"{} {}\"}},\
             \"library\":{{\"name\":\"segment-s3\",\"version\":\"0.1.0\"}}}}}}",
            1 + dice.roll(28), dice.roll(24), dice.roll(60), dice.roll(60), dice.roll(1000),
            dice.roll(1_000_000), dice.roll(u64::MAX), dice.roll(u64::MAX),
            pick(&plans, dice), dice.roll(500), dice.roll(100), dice.roll(1 << 48), pick(&pages, dice),
            dice.roll(256), dice.roll(256), dice.roll(256), dice.roll(256), dice.roll(1 << 32),
            pick(&names, dice), pick(&surnames, dice),
        )
        .unwrap();
        offset += 80 + dice.roll(60);
        let at = call.find("2019-05-").unwrap();
        let from = body.len();
        body.push_str(&call);
        calls.push((from..body.len(), from + at..from + at + 24));
        body.push(',');
        // A line has so many bytes more than its call.
        line_bytes += call.len() + 156;
    }
    body.pop();
    body.push_str("]}");
    let (body, mut lines) = (body.into_bytes(), Lines::default());
    for (call, timestamp) in calls {
        lines.append(&body, call, Some(timestamp), &stamp);
    }
    (body, lines)
}

fn levels() {
    let mut dice = Dice(42);
    let batches: Vec<(Vec<u8>, Lines)> = (0..200).map(|_| batch(500_000, &mut dice)).collect();
    let pieces: Vec<&[u8]> = batches.iter().map(|(_, lines)| lines.text()).collect();
    let raw: usize = pieces.iter().map(|piece| piece.len()).sum();
    println!("{:.0} MB of lines in {} fragments", raw as f64 / 1e6, pieces.len());
    let mut encoder = Encoder::default();
    let (start, mut size) = (Instant::now(), 0);
    for piece in &pieces {
        size += encoder.encode(piece).len();
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("ours:    {:5.0} MB/s, ratio {:.2}", raw as f64 / 1e6 / seconds, raw as f64 / size as f64);
    let (mut bodies, mut seconds, mut size) = (deflate::Encoder::default(), 0.0, 0);
    for (body, lines) in &batches {
        bodies.append_gzip(&mut Vec::new(), body, distance_max(body.len(), lines.count() as usize));
        let start = Instant::now();
        size += fragment::join(&[encoder.piece(lines, Some(bodies.repeats()))]).0.len();
        seconds += start.elapsed().as_secs_f64();
    }
    println!("repeats: {:5.0} MB/s, ratio {:.2}", raw as f64 / 1e6 / seconds, raw as f64 / size as f64);
    for level in 1..=6 {
        let mut compress = Compress::new(Compression::new(level), false);
        let (start, mut size) = (Instant::now(), 0);
        for piece in &pieces {
            let mut out = Vec::with_capacity(piece.len());
            compress.reset();
            compress.compress_vec(piece, &mut out, FlushCompress::Sync).unwrap();
            size += out.len();
        }
        let seconds = start.elapsed().as_secs_f64();
        println!("level {level}: {:5.0} MB/s, ratio {:.2}", raw as f64 / 1e6 / seconds, raw as f64 / size as f64);
    }
    let start = Instant::now();
    let sum = pieces.iter().fold(0, |sum, piece| sum ^ fragment::crc32(piece));
    println!("crc32:   {:5.0} MB/s ({sum:08x})", raw as f64 / 1e6 / start.elapsed().as_secs_f64());
}

fn make(dir: &Path, count: u64, raw_bytes: usize) {
    fs::create_dir_all(dir).unwrap();
    let (mut dice, mut encoder) = (Dice(42), Encoder::default());
    let mut all = BufWriter::new(File::create(dir.join("lines.json")).unwrap());
    let mut names = String::new();
    for number in 0..count {
        let (_, lines) = batch(raw_bytes, &mut dice);
        let lines = lines.text();
        all.write_all(lines).unwrap();
        let bytes = encoder.encode(lines);
        let name = FragmentName {
            source: "qv5iYYMxd94DahFpRzm58y".parse().unwrap(),
            day: Day::of(1_557_606_747_940),
            origin: Origin::Request { id: format!("r{number}").parse().unwrap() },
            events: lines.iter().filter(|b| **b == b'\n').count() as u32,
            raw_bytes: lines.len() as u64,
            crc32: fragment::crc32(&bytes),
        };
        fs::write(dir.join(format!("fragment-{number}.gz")), &bytes).unwrap();
        writeln!(names, "{name}").unwrap();
    }
    all.flush().unwrap();
    fs::write(dir.join("names"), names).unwrap();
}

fn join(dir: &Path, objects: usize) {
    let names: Vec<FragmentName> =
        fs::read_to_string(dir.join("names")).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    for (number, group) in names.chunks(names.len().div_ceil(objects)).enumerate() {
        let mut out = File::create(dir.join(format!("object-{number}.gz"))).unwrap();
        let mut stitcher = Stitcher::default();
        out.write_all(&Stitcher::HEADER).unwrap();
        for name in group {
            let Origin::Request { id } = &name.origin else { panic!("a request's") };
            let file = format!("fragment-{}.gz", &id.to_string()[1..]);
            let fragment = Verified::new(name, fs::read(dir.join(file)).unwrap()).unwrap();
            stitcher.push(&fragment);
            out.write_all(fragment.body()).unwrap();
        }
        out.write_all(&stitcher.finish()).unwrap();
    }
}
