//! Measures the real ingester on a file: CPU seconds, peak memory and wall time, against stand-ins on loopback.
//!
//! ```sh
//! cargo build --profile bench -p ingester -p stories --example ingest
//! target/release/examples/ingest FILE.csv [NAME=VALUE …]
//! ```
//!
//! `NAME=VALUE` are settings of the function; `LATENCY_MS=50` is Segment's.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be set up is none")]
#![expect(clippy::print_stdout, reason = "its result is what it prints")]

use standins::faults::{Fault, Rule};
use standins::lambda::Function;
use standins::s3::Server as S3;
use standins::segment::Server as Segment;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use stories::{SOURCE, SOURCE_ID, STATE, WRITE_KEY, created};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let file = PathBuf::from(arguments.next().expect("the CSV file"));
    let settings: Vec<(String, String)> =
        arguments.map(|a| a.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned())).expect("NAME=VALUE")).collect();
    let folder = tempfile::tempdir().unwrap();
    let s3 = S3::folder(folder.path()).with_bucket(SOURCE).with_bucket(STATE).start().await.unwrap();
    let segment = Segment::setup().sink().start().await.unwrap();
    if let Some((_, latency)) = settings.iter().find(|(name, _)| name == "LATENCY_MS") {
        let wait = Duration::from_millis(latency.parse().unwrap());
        segment.faults().add(Rule::on("batch").before(Fault::Slow(wait)));
    }
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    std::fs::copy(&file, folder.path().join(SOURCE).join(&name)).unwrap();
    s3.rescan().unwrap();
    let bootstrap = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("ingester");
    let ingester = Function::new("ingester", bootstrap)
        .envs(s3.env())
        .env("WRITE_KEY", WRITE_KEY)
        .env("SOURCE_ID", SOURCE_ID)
        .env("STATE_BUCKET", STATE)
        .env("SEGMENT_ENDPOINT", segment.url())
        .env("SEGMENT_OBJECTS_ENDPOINT", segment.url())
        .envs(settings)
        .timeout(Duration::from_secs(900))
        .deploy();
    let began = Instant::now();
    let invocation = ingester.invoke(&created(&name)).await;
    let wall = began.elapsed();
    let report = invocation.response().unwrap_or_else(|| panic!("{invocation:#?}"));
    let object = &report["objects"][0];
    let rows = object["rows"].as_u64().unwrap();
    let cpu = ingester.pids().iter().map(|pid| cpu_seconds(*pid)).sum::<f64>();
    let sent: usize = segment.record().deliveries().iter().map(|delivery| delivery.wire_bytes).sum();
    println!("{} rows, {} acknowledged, {} rejected", rows, object["acknowledged"], object["rejected"]);
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let per_million = cpu * 1e6 / rows.max(1) as f64;
    println!("cpu {cpu:.2} s ({per_million:.2} s per million rows), wall {:.2} s", wall.as_secs_f64());
    println!("peak memory {:.1} MB", invocation.memory_peak_bytes.unwrap_or(0) as f64 / 1e6);
    println!(
        "{} requests, {:.1} MB sent, {} connections",
        segment.record().count(),
        sent as f64 / 1e6,
        segment.connections()
    );
}

/// User and system time of a live process (proc(5): fields 14 and 15 of `stat`, in hundredths of a second).
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}
