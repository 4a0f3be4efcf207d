//! `segment-s3 logs`: the log objects of a source and a day.

use super::place::{Place, Way, fits};
use super::rejects::fetch;
use super::settings::deployed;
use crate::check::bytes_in_words;
use crate::voice::warn;
use crate::words::visible;
use anyhow::Context;
use aws::{Bucket, Clock, Listed};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use export::object::{date, folder};
use flate2::write::MultiGzDecoder;
use protocol::id::{Day, SourceId};
use protocol::ledger::rfc3339;
use protocol::plan::Layout;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{BufWriter, ErrorKind, Write};
use std::process::ExitCode;
use std::time::Duration;

const OBJECTS_MAX: usize = 100_000;
const BUFFER_BYTES: usize = 256 * 1024;
const POLL: Duration = Duration::from_secs(10);

/// The arguments of `logs`.
#[derive(Args, Debug)]
pub(crate) struct LogsArgs {
    /// The source: its id, or its name in the configuration of the stack; without it the one source of the stack
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// The UTC day on which the events were received, such as 2026-11-27; without it today
    #[arg(long, value_name = "DAY")]
    day: Option<String>,
    /// List the objects, and fetch none
    #[arg(long)]
    list: bool,
    /// Wait for further objects until Ctrl-C; without --day also those of the next days
    #[arg(long)]
    follow: bool,
    /// With --list: one JSON document for each object, on a line of its own. Events are JSON in any case
    #[arg(long)]
    json: bool,
    /// The bucket of the logs, with an optional /path/prefix; without it the destination of the stack that takes the source
    #[arg(long, value_name = "BUCKET", value_parser = NonEmptyStringValueParser::new())]
    logs: Option<String>,
    /// The folders in that bucket are those of `layout = "hive"`
    #[arg(long)]
    hive: bool,
    #[command(flatten)]
    way: Way,
}

/// Where the logs of a source are.
struct Logs {
    bucket: Bucket,
    prefix: String,
    layout: Layout,
    source: SourceId,
}

/// Lists log objects, or writes their lines to standard output.
pub(super) async fn run(args: &LogsArgs) -> anyhow::Result<ExitCode> {
    let given = args.day.as_deref().map(day_of).transpose()?;
    let place = Place::open(&args.way).await?;
    let logs = Logs::of(args, &place).await?;
    let today = || Day::of(Clock::system().now_ms());
    let mut day = given.unwrap_or_else(today);
    let mut seen = BTreeSet::new();
    let mut is_empty = true;
    loop {
        // Before the listing: what comes at midnight is listed once more.
        let next = given.unwrap_or_else(today);
        for object in logs.list(day).await.map_err(|fault| place.explained(&fault))? {
            if !seen.insert(object.key.clone()) {
                continue;
            }
            is_empty = false;
            match logs.say(&object, args).await {
                // The reader of the lines has closed the pipe.
                Err(error) if is_broken_pipe(&error) => return Ok(ExitCode::SUCCESS),
                said => said.map_err(|error| place.explain(error))?,
            }
        }
        if !args.follow {
            break;
        }
        if next == day {
            tokio::time::sleep(POLL).await;
        }
        day = next;
    }
    if is_empty {
        warn(format_args!(
            "segment-s3: there are no log objects of {} for {} in {} (the exporter runs at :40)",
            logs.source,
            date(day),
            visible(&logs.bucket.target(&logs.prefix))
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a date.
fn day_of(text: &str) -> anyhow::Result<Day> {
    let date: jiff::civil::Date =
        text.parse().map_err(|_| anyhow::anyhow!("--day {text} is no date: write it as 2026-11-27"))?;
    let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).context("--day is out of range")?;
    Ok(Day::of(midnight.timestamp().as_millisecond()))
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    };
    error.chain().any(broken)
}

impl Logs {
    async fn of(args: &LogsArgs, place: &Place) -> anyhow::Result<Logs> {
        if let Some(written) = &args.logs {
            let source = args.source.as_deref().context("the source is not known: name its id with --source")?;
            let source = source.parse().with_context(|| format!("--source {source} is no id of a source"))?;
            let written = written.strip_prefix("s3://").unwrap_or(written);
            let (bucket, prefix) = written.split_once('/').unwrap_or((written, ""));
            fits("--logs", bucket)?;
            let layout = if args.hive { Layout::Hive } else { Layout::Segment };
            let prefix = prefix.trim_matches('/').to_owned();
            return Ok(Logs { bucket: place.bucket(bucket), prefix, layout, source });
        }
        let stack = place
            .stack()
            .context("the bucket of the logs is not known: name the stack with --stack, or it with --logs")?;
        let deployed = deployed(place).await?;
        let source = source_of(args.source.as_deref(), &deployed.config, deployed.source.as_ref())?;
        if let Some(bucket) = stack.parameter("DestinationBucket") {
            let (bucket, prefix) = bucket.split_once('/').unwrap_or((bucket, ""));
            let bucket = match stack.parameter("DestinationRegion") {
                Some(region) => place.bucket_in(bucket, region),
                None => place.bucket(bucket),
            };
            return Ok(Logs { bucket, prefix: prefix.trim_matches('/').to_owned(), layout: Layout::Segment, source });
        }
        let destinations = deployed.config.routes.destinations;
        let found = destinations.into_iter().find(|destination| destination.sources.contain(&source));
        let found = found.with_context(|| format!("the stack {} exports no events of {source}", stack.name()))?;
        let bucket = place.bucket_in(&found.bucket, &found.region);
        Ok(Logs { bucket, prefix: found.prefix, layout: found.layout, source })
    }

    /// The objects of a day, in the order in which they were planned.
    async fn list(&self, day: Day) -> Result<Vec<Listed>, aws::Fault> {
        let folder = folder(&self.prefix, self.layout, &self.source, day);
        let mut objects = self.bucket.list(&folder, OBJECTS_MAX).await?;
        objects.retain(|object| object.key.ends_with(".gz"));
        objects.sort_by_key(|object| object.modified_ms);
        Ok(objects)
    }

    async fn say(&self, object: &Listed, args: &LogsArgs) -> anyhow::Result<()> {
        let (uri, put) = (self.bucket.target(&object.key), rfc3339(object.modified_ms));
        let mut stdout = std::io::stdout();
        if args.list && args.json {
            writeln!(stdout, "{}", json!({"object": uri, "bytes": object.bytes, "put": put}))?;
        } else if args.list {
            writeln!(stdout, "{put}  {:>9}  {}", bytes_in_words(object.bytes), visible(&uri))?;
        } else {
            let mut lines = MultiGzDecoder::new(BufWriter::with_capacity(BUFFER_BYTES, stdout.lock()));
            fetch(&self.bucket, &object.key, &mut lines).await?;
            lines.try_finish()?;
            lines.get_mut().flush()?;
        }
        Ok(())
    }
}

/// A source by its id or name; without one the only source.
fn source_of(named: Option<&str>, config: &config::Config, single: Option<&SourceId>) -> anyhow::Result<SourceId> {
    let all: Vec<(&str, &SourceId)> = config.sources.iter().map(|source| (source.name.as_str(), &source.id)).collect();
    if let Some(named) = named {
        let of_name = all.iter().find(|(name, id)| *name == named || id.as_str() == named);
        return match of_name {
            Some((_, id)) => Ok((*id).clone()),
            None => named.parse().with_context(|| format!("--source {named} is neither a name nor an id of a source")),
        };
    }
    match (single, &all[..]) {
        (Some(id), _) => Ok(id.clone()),
        (None, [(_, id)]) => Ok((*id).clone()),
        _ => {
            let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
            anyhow::bail!("the stack has several sources ({}): name one with --source", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_a_date() {
        assert_eq!(day_of("2019-05-11").unwrap().ms(), 1_557_532_800_000);
        for text in ["2019-05-32", "today", "1557532800000", ""] {
            assert!(day_of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_source_is_found_by_name_or_id() {
        let text = "[[source]]\nname = \"shop\"\nid = \"id1\"\n[[source]]\nname = \"app\"\nid = \"id2\"\n";
        let config = config::Config::parse(text, &config::Config::default().reading).unwrap();
        let of = |named, single: Option<&str>| {
            let single = single.map(|id| id.parse().unwrap());
            source_of(named, &config, single.as_ref()).map(|id| id.to_string()).ok()
        };
        for (named, single, expected) in [
            (Some("shop"), None, Some("id1")),
            (Some("id2"), None, Some("id2")),
            (Some("other"), None, Some("other")),
            (None, Some("id9"), Some("id9")),
            (None, None, None),
        ] {
            assert_eq!(of(named, single).as_deref(), expected, "{named:?} {single:?}");
        }
    }
}
