//! Work on fixed input whose instructions are counted: `make bench-guard` runs it under callgrind.
//!
//! ```text
//! guard encode | profile | map | batch | compress | stitch | receive
//! ```
//!
//! Callgrind counts only below [`counted`], so that making the input costs nothing.
#![expect(clippy::print_stdout, reason = "it is a command line")]

use std::error::Error;
use std::fmt::Write as _;
use std::hint::black_box;

use calls::batches::{Batch, Envelope};
use calls::call::MessageIds;
use calls::pipeline::{Next, Pipeline};
use calls::profile::Detail;
use calls::reading::Reading;
use calls::refusal::Position;
use calls::subject::Subject;
use calls::translator::{Translated, Translator};
use config::Config;
use export::fragment::{self, Encoder, Verified};
use export::lines::{Lines, distance_max};
use export::object::Stitcher;
use export::received::{Stamp, append_own_call};
use protocol::fragment::{FragmentName, Origin};
use protocol::id::{Day, SourceId, StreamId};
use tracking::body::Body;
use tracking::calls::{self as tracked, Limits, Sender};

const ROWS: u64 = 20_000;
const PIECE_BYTES: usize = 64 * 1024;
const REQUESTS: u64 = 20;
const CALLS_PER_REQUEST: u64 = 100;
const MAPPING: &str = r#"
[[mapping]]
name = "guard"
match = "guard.csv"
call = "track"
where."event" = { not = "Cart Viewed" }
columns."userId" = { to = "userId", trim = true, lower = true, prefix = "crm-" }
columns."event" = "event"
columns."timestamp" = "timestamp"
columns."properties.plan" = { to = "properties.plan", values = { gold = "Gold" }, else = "other" }
columns."properties.revenue:number" = "properties.total:number"
columns."properties.text" = "properties.text"
columns."context.ip" = "context.ip"
"#;
const FRAGMENTS: u64 = 40;
const EVENTS_PER_FRAGMENT: u64 = 250;
const AT_MS: i64 = 1_557_606_747_940;

fn main() -> Result<(), Box<dyn Error>> {
    let work = std::env::args().nth(1).unwrap_or_default();
    let done = match work.as_str() {
        "encode" => {
            let csv = csv();
            counted(|| encode(translator()?, &csv))?
        }
        "profile" => {
            let csv = csv();
            counted(|| encode(translator()?.with_profile(Detail::Counts), &csv))?
        }
        "map" => {
            let csv = csv();
            counted(|| encode(mapped()?, &csv))?
        }
        "batch" => {
            let csv = csv();
            counted(|| batch(&csv))?
        }
        "compress" => {
            let batches = batches(&csv())?;
            counted(|| compress(&batches))
        }
        "stitch" => {
            let fragments = fragments()?;
            counted(|| stitch(&fragments))?
        }
        "receive" => {
            let bodies: Vec<String> = (0..REQUESTS).map(request).collect();
            counted(|| receive(&bodies))?
        }
        _ => return Err("usage: guard encode | profile | map | batch | compress | stitch | receive".into()),
    };
    println!("{work}: {done}");
    Ok(())
}

/// Callgrind toggles its count at this name.
#[inline(never)]
fn counted<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

/// A million users are the same in every run.
fn spread(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 44
}

fn csv() -> Vec<u8> {
    let mut csv =
        "userId,event,timestamp,properties.plan,properties.revenue:number,properties.text,context.ip\n".to_owned();
    for row in 0..ROWS {
        let user = spread(row);
        // One row in a hundred has no user and is refused; one in ten has a quoted cell.
        let id = if row % 100 == 99 { String::new() } else { format!("user-{user}") };
        let text = if row % 10 == 3 { "\"two \"\"quoted\"\"\nlines\"" } else { "plain text of some length" };
        let (hour, minute) = (row % 24, user % 60);
        let _ = writeln!(
            csv,
            "{id},Order Completed,2019-05-11T{hour:02}:{minute:02}:27.940Z,gold,{}.{:02},{text},175.154.50.{}",
            user % 500,
            row % 100,
            user % 256,
        );
    }
    csv.into_bytes()
}

fn translator() -> Result<Translator, Box<dyn Error>> {
    let subject = Subject::of("track_guard.csv", &[], None)?;
    let reading = Reading::default();
    Ok(Translator::new(&subject, &reading, MessageIds::new(StreamId::new([7; 16]))))
}

/// A translator with a mapping that renames each column, changes cells and leaves rows out.
fn mapped() -> Result<Translator, Box<dyn Error>> {
    let reading = Reading::default();
    let config = Config::parse(MAPPING, &reading).map_err(|faults| format!("{faults:?}"))?;
    let found = config.for_key("guard.csv").map_err(|_| "no source takes the file")?;
    let reading = &found.first().ok_or("no mapping takes the file")?.reading;
    let mapping = reading.mapping.as_ref().ok_or("the mapping is not the file's")?;
    let subject = Subject::mapped(mapping, "guard.csv")?;
    Ok(Translator::new(&subject, reading, MessageIds::new(StreamId::new([7; 16]))))
}

/// Rows to calls. Returns the bytes of the calls.
fn encode(mut translator: Translator, csv: &[u8]) -> Result<usize, Box<dyn Error>> {
    let (mut bytes, mut calls, mut records) = (0, Vec::new(), Vec::new());
    let mut pieces = csv.chunks(PIECE_BYTES);
    loop {
        match translator.next(&mut calls, &mut records)? {
            Translated::Starved => match pieces.next() {
                Some(piece) => translator.push(piece),
                None => translator.finish(),
            },
            Translated::End => return Ok(bytes),
            _ => {
                bytes += calls.len();
                calls.clear();
                records.clear();
            }
        }
    }
}

/// Rows to batches, each settled and committed. Returns the number of batches.
fn batch(csv: &[u8]) -> Result<usize, Box<dyn Error>> {
    let mut batches = 0;
    each_batch(csv, |batch| {
        batches += 1;
        black_box(batch);
    })?;
    Ok(batches)
}

fn each_batch(csv: &[u8], mut take: impl FnMut(&Batch)) -> Result<(), Box<dyn Error>> {
    let start = Position { byte: 0, line: 1 };
    let mut pipeline = Pipeline::new(translator()?, Envelope::batch(), start);
    let mut pieces = csv.chunks(PIECE_BYTES);
    loop {
        match pipeline.next_batch() {
            Next::Hungry => match pieces.next() {
                Some(piece) => pipeline.push(piece),
                None => pipeline.finish(),
            },
            Next::Batch(batch) => {
                take(&batch);
                pipeline.settle(&batch, &[]);
                black_box(pipeline.commit());
            }
            Next::Paused => {}
            Next::Done => return Ok(()),
        }
    }
}

/// A batch as libraries send it. Half of the calls have a context of their own, and one has no user.
fn request(number: u64) -> String {
    let call = |place: u64| {
        let user = spread(number * CALLS_PER_REQUEST + place);
        let id = if place == 7 { String::new() } else { format!("\"userId\":\"user-{user}\",") };
        let context = if place.is_multiple_of(2) { "\"context\":{\"page\":{\"path\":\"/pricing\"}}," } else { "" };
        format!(
            "{{\"type\":\"track\",{id}{context}\"event\":\"Order Completed\",\"messageId\":\"m-{number}-{place}\",\
             \"timestamp\":\"2019-05-11T20:32:{:02}.940Z\",\"properties\":{{\"plan\":\"gold\",\"revenue\":{}}}}}",
            place % 60,
            user % 500
        )
    };
    let calls: Vec<String> = (0..CALLS_PER_REQUEST).map(call).collect();
    format!(
        "{{\"batch\":[{}],\"writeKey\":\"key\",\"sentAt\":\"2019-05-11T20:32:27.940Z\",\
         \"context\":{{\"library\":{{\"name\":\"analytics-node\",\"version\":\"3.1.0\"}}}}}}",
        calls.join(",")
    )
}

/// Bodies of requests to lines of the logs. Returns the bytes of the lines.
fn receive(bodies: &[String]) -> Result<usize, Box<dyn Error>> {
    let limits = Limits { body_bytes_max: 524_288, call_bytes_max: 32_768, calls_max: 2_500 };
    let stamp = Stamp::new(AT_MS, &"qv5iYYMxd94DahFpRzm58y".parse()?);
    let sender = Sender { stamp: &stamp, request: "r", is_client: false, ip: None, user_agent: None };
    let mut bytes = 0;
    for body in bodies {
        let body = Body::read(body.as_bytes());
        let fields = body.fields().map_err(|refusal| refusal.message)?;
        let received = tracked::batch(&fields, limits, &sender).map_err(|refusal| refusal.message)?;
        bytes += received.lines.len() + received.rejects(AT_MS).len();
    }
    Ok(bytes)
}

/// The body of a batch, and its lines.
type Sent = (Vec<u8>, Lines);

fn batches(csv: &[u8]) -> Result<Vec<Sent>, Box<dyn Error>> {
    let stamp = Stamp::new(AT_MS, &"qv5iYYMxd94DahFpRzm58y".parse()?);
    let mut batches = Vec::new();
    each_batch(csv, |batch| {
        let mut lines = Lines::default();
        for call in &batch.calls {
            lines.append(&batch.body, call.body.clone(), call.timestamp.clone(), &stamp);
        }
        batches.push((batch.body.clone(), lines));
    })?;
    Ok(batches)
}

/// Bodies to gzip files, and lines to fragments by the repeats of their bodies. Returns the bytes of both.
fn compress(batches: &[Sent]) -> usize {
    let (mut bodies, mut fragments) = (deflate::Encoder::default(), Encoder::default());
    let compressed = batches.iter().map(|(body, lines)| {
        let mut gzip = Vec::with_capacity(body.len() / 4);
        bodies.append_gzip(&mut gzip, body, distance_max(body.len(), lines.count() as usize));
        let piece = fragments.piece(lines, Some(bodies.repeats()));
        gzip.len() + fragment::join(&[piece]).0.len()
    });
    compressed.sum()
}

type Fragment = (FragmentName, Vec<u8>);

/// Received events as fragments, with their names.
fn fragments() -> Result<Vec<Fragment>, Box<dyn Error>> {
    let source: SourceId = "qv5iYYMxd94DahFpRzm58y".parse()?;
    let (stamp, mut encoder) = (Stamp::new(AT_MS, &source), Encoder::default());
    let fragment = |number: u64| {
        let mut lines = Vec::new();
        for event in 0..EVENTS_PER_FRAGMENT {
            let user = spread(number * EVENTS_PER_FRAGMENT + event);
            let call = format!(
                "{{\"type\":\"track\",\"messageId\":\"m-{number}-{event}\",\"event\":\"Order Completed\",\
                 \"userId\":\"user-{user}\",\"properties\":{{\"plan\":\"gold\",\"revenue\":{}}}}}",
                user % 500
            );
            append_own_call(&mut lines, call.as_bytes(), None, &stamp);
        }
        let bytes = encoder.encode(&lines);
        let name = FragmentName {
            source: source.clone(),
            day: Day::of(AT_MS),
            origin: Origin::Request { id: format!("r{number}").parse()? },
            events: u32::try_from(EVENTS_PER_FRAGMENT)?,
            raw_bytes: lines.len() as u64,
            crc32: fragment::crc32(&bytes),
        };
        Ok((name, bytes))
    };
    (0..FRAGMENTS).map(fragment).collect()
}

/// Fragments to one log object, each verified whole. Returns the object's bytes.
fn stitch(fragments: &[Fragment]) -> Result<usize, Box<dyn Error>> {
    let (mut stitcher, mut object) = (Stitcher::default(), Stitcher::HEADER.to_vec());
    for (name, bytes) in fragments {
        let verified = Verified::new(name, bytes).map_err(|damage| format!("a fragment is damaged: {damage:?}"))?;
        stitcher.push(&verified);
        object.extend_from_slice(verified.body());
    }
    object.extend_from_slice(&stitcher.finish());
    Ok(object.len())
}
