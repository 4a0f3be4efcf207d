//! The page about costs has the arithmetic of the code.

use ingestion::cost::{Bill, Processor, Work};
use ingestion::prices::{self, AS_OF};
use stories::document::assert_region;

/// A million rows of 152 bytes, with the requests that `make bench` counts.
const MILLION: Work = Work {
    rows: 1e6,
    files: 1.0,
    stored_bytes: 152e6,
    requests: 855.0,
    events_per_second: 0,
    memory_mb: 512,
    processor: Processor::X86,
    keeps: true,
};
/// GB that a million rows are on their way to Segment: 75 bytes a call, compressed from 406.
const SENT_GB: f64 = 0.075;
/// GB of their lines in the logs, before compression.
const LINES_GB: f64 = 0.53;

#[test]
fn the_page_of_costs_has_the_list_prices() {
    let mut table = format!("| item | dollars, {AS_OF} |\n|---|---|\n");
    for (item, dollars) in [
        ("Lambda, x86, a million GB-seconds", prices::LAMBDA_GB_SECOND * 1e6),
        ("Lambda, arm64, a million GB-seconds", prices::LAMBDA_GB_SECOND_ARM * 1e6),
        ("Lambda, a million invocations", prices::LAMBDA_INVOCATION * 1e6),
        ("S3, a million puts or lists", prices::S3_PUT * 1e6),
        ("S3, a million gets", prices::S3_GET * 1e6),
        ("SQS, a million requests", prices::SQS_REQUEST * 1e6),
        ("CloudWatch Logs, a GB", prices::LOGS_GB),
        ("traffic to the internet, a GB", prices::GB_OUT),
        ("traffic to another region, a GB", prices::GB_TO_REGION),
    ] {
        table += &format!("| {item} | {dollars:.2} |\n");
    }
    assert_region("docs/cost.md", "prices", &table);
}

#[test]
fn the_page_of_costs_has_a_million_rows_by_item() {
    let mut table = String::from(
        "| sent | memory, processor | time | invocations, queue | fragments | checkpoints | file | logs | export | together |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    let paces = [(0, "as fast as it can"), (1_000, "1,000 a second")];
    let processors = [(Processor::X86, "x86"), (Processor::Arm, "arm64")];
    for (events_per_second, pace) in paces {
        for memory_mb in [512, 256, 128] {
            for (processor, name) in processors {
                let bill = Work { events_per_second, memory_mb, processor, ..MILLION }.bill();
                let Bill { time, invocations, fragments, commits, files, logs, export } = bill;
                let items = [time, invocations, fragments, commits, files, logs, export, bill.total()];
                let cents: Vec<String> = items.iter().map(|dollars| format!("{:.3}", dollars * 100.0)).collect();
                table += &format!("| {pace} | {memory_mb} MB, {name} | {} |\n", cents.join(" | "));
            }
        }
    }
    assert_region("docs/cost.md", "a million rows", &table);
}

#[test]
fn the_page_of_costs_has_traffic_and_export_apart() {
    let mut table = String::from("| a million rows to Segment | cents |\n|---|---|\n");
    for (way, gb) in [
        ("without a price, for example within a region by a private address", 0.0),
        ("to another region", prices::GB_TO_REGION),
        ("to the internet", prices::GB_OUT),
    ] {
        table += &format!("| {way} | {:.2} |\n", SENT_GB * gb * 100.0);
    }
    assert_region("docs/cost.md", "traffic", &table);
    let export = MILLION.bill().export / LINES_GB * 100.0;
    let sentence = format!("A GB of lines, about 1.9 million events, costs {export:.2} cents to export.\n");
    assert_region("docs/cost.md", "export", &sentence);
}
