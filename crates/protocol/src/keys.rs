//! Every key and every prefix of the state bucket.
//!
//! | key | what lies there | who writes it |
//! |---|---|---|
//! | `ingest/{stream}/checkpoint.json` | how far a file is settled (`Checkpoint`) | ingester |
//! | `ingest/{stream}/ledger.json` | what is kept of a file that has ended (`Ledger`) | ingester |
//! | `ingest/{stream}/rejects/{epoch}-{from}-{to}.csv` | refused rows of a part of a file | ingester |
//! | `ingest/config.toml`, `exports/config.toml` | the last configuration without a fault | ingester, exporter |
//! | `ingest/validate.txt` | a trial of the rights to write | ingester |
//! | `ingest/backfills/{id}.json` | which objects of a backfill are queued (`Progress`) | ingester |
//! | `rejects/{stream}/{name}` | all refused rows of a file that has ended | ingester |
//! | `rejects/received/{source}/{day}/{nonce}.jsonl` | refused calls of requests, each with its reason | receiver |
//! | `outcomes/by-day/{day}/{left}-{hash}-{outcome}{parts}.json` | an end or a failure of a file (`FileOutcome`); its parts are a `ListedOutcome` | ingester |
//! | `outcomes/by-key/{hash}.json` | the last outcomes of a key (`KeyOutcomes`) | ingester |
//! | `received/{source}/{day}/{rest}` | received events (`FragmentName`) | ingester, receiver |
//! | `exports/head.json` | which plans are open (`Head`) | exporter |
//! | `exports/plans/{plan}.{revision}.json` | a plan (`Plan`) | exporter |
//! | `exports/done/{plan}/{destination}/{object}` | the mark of an object that its destination has | exporter |
//! | `exports/days/{name}/{source}/{day}` | a day of a source whose manifests are not complete yet | exporter |
//! | `exports/failing/{name}/{bucket}` | since when a destination fails | exporter |
//! | `exports/cursor` | the key behind which listing goes on | exporter |
//! | `exports/quarantine/{fragment}` | a damaged fragment | exporter |

use crate::fragment::FragmentName;
use crate::id::{Day, Epoch, Nonce, SourceId, StreamId};
use crate::ledger::rfc3339;
use crate::outcome::Outcome;
use crate::place::Place;
use crate::position::ByteRange;
use sha2::{Digest, Sha256};

/// The longest key, in bytes (S3 user guide, "Naming Amazon S3 objects").
pub const KEY_BYTES_MAX: usize = 1_024;

const DAY_MS: i64 = 86_400_000;

const JSON: &str = ".json";

/// The prefix of all checkpoints, ledgers and rejects parts.
pub const INGEST: &str = "ingest/";

/// The prefix of all rejects files.
pub const REJECTS: &str = "rejects/";

/// The prefix of the outcome index.
pub const OUTCOMES: &str = "outcomes/";

/// The prefix of all fragments.
pub const RECEIVED: &str = FragmentName::PREFIX;

/// The prefix of all plans.
pub const PLANS: &str = "exports/plans/";

/// The prefix of all markers.
pub const DONE: &str = "exports/done/";

/// The prefix of all documents about failing places.
pub const FAILING: &str = "exports/failing/";

/// The prefix of all days whose manifests are not complete.
pub const DAYS: &str = "exports/days/";

/// The prefix of all copies of damaged fragments.
pub const QUARANTINE: &str = "exports/quarantine/";

/// The head.
pub const HEAD: &str = "exports/head.json";

/// The key at which listing resumes.
pub const CURSOR: &str = "exports/cursor";

/// The last configuration without a fault that the ingester has read.
pub const INGEST_CONFIG: &str = "ingest/config.toml";

/// The last configuration without a fault that the exporter has read.
pub const EXPORTS_CONFIG: &str = "exports/config.toml";

/// The test object of `validate`.
pub const INGEST_TRIAL: &str = "ingest/validate.txt";

/// A file's checkpoint.
#[must_use]
pub fn checkpoint(stream: StreamId) -> String {
    format!("{INGEST}{stream}/checkpoint.json")
}

/// A file's ledger.
#[must_use]
pub fn ledger(stream: StreamId) -> String {
    format!("{INGEST}{stream}/ledger.json")
}

/// The refused rows of these bytes of a file, as the owner of `epoch` wrote them.
#[must_use]
pub fn rejects_part(stream: StreamId, epoch: Epoch, range: ByteRange) -> String {
    format!("{INGEST}{stream}/rejects/{epoch:04}-{:016}-{:016}.csv", range.from, range.to)
}

/// All refused rows of a file, under a name that begins as the file's own.
#[must_use]
pub fn rejects(stream: StreamId, name: &str) -> String {
    format!("{REJECTS}{stream}/{name}")
}

/// The name of a rejects file: `beginning`, which comes from the name of the file, and `ending`, which says whose refused
/// rows it has.
///
/// Only here a name of the state bucket is made of the name of a file. If the key would be too long, the beginning is cut,
/// and a hash of the whole beginning stands in the place of the rest.
#[must_use]
pub fn rejects_name(beginning: &str, ending: &str) -> String {
    let room = KEY_BYTES_MAX - rejects(StreamId::new([0; 16]), "").len();
    if beginning.len() + ending.len() <= room {
        return format!("{beginning}{ending}");
    }
    let hash = format!("-{}", hex::encode(&Sha256::digest(beginning)[..8]));
    let kept = beginning.floor_char_boundary(room.saturating_sub(hash.len() + ending.len()));
    format!("{}{hash}{ending}", &beginning[..kept])
}

/// The refused calls of requests that the receiver wrote together. No stream is called `received`.
#[must_use]
pub fn received_rejects(source: &SourceId, day: Day, write: Nonce) -> String {
    format!("{REJECTS}received/{source}/{day}/{write}.jsonl")
}

/// The outcomes of a UTC day: those of a later millisecond come first.
#[must_use]
pub fn outcomes_of_day(at_ms: i64) -> String {
    let date = rfc3339(at_ms - at_ms.rem_euclid(DAY_MS));
    format!("{OUTCOMES}by-day/{}/", date.split('T').next().unwrap_or_default())
}

/// One of them: the milliseconds that are left of its day, a hash of the file's name, the word of the outcome, and what a
/// list shows of it (`ListedOutcome`). Without `parts` if the key would be too long.
///
/// S3 lists keys in ascending order only. So the first page of a day has its newest outcomes.
#[must_use]
pub fn outcome_of_day(at_ms: i64, hash: &str, outcome: Outcome, parts: &str) -> String {
    let left_ms = DAY_MS - 1 - at_ms.rem_euclid(DAY_MS);
    let head = format!("{}{left_ms:08}-{hash}-{}", outcomes_of_day(at_ms), outcome.as_str());
    let fits = head.len() + parts.len() + JSON.len() <= KEY_BYTES_MAX;
    format!("{head}{}{JSON}", if fits { parts } else { "" })
}

/// Reads such a key: the time, the outcome, and the parts.
#[must_use]
pub fn read_outcome_of_day(key: &str) -> Option<(i64, Outcome, &str)> {
    let (day, rest) = key.strip_prefix(OUTCOMES)?.strip_prefix("by-day/")?.strip_suffix(JSON)?.split_once('/')?;
    let (head, parts) = rest.split_once('/').unwrap_or((rest, ""));
    let mut head = head.splitn(3, '-');
    let (left_ms, _hash, outcome) = (head.next()?.parse::<i64>().ok()?, head.next()?, head.next()?);
    let begins_ms = format!("{day}T00:00:00Z").parse::<jiff::Timestamp>().ok()?.as_millisecond();
    let outcome = Outcome::ALL.into_iter().find(|known| known.as_str() == outcome)?;
    Some((begins_ms + DAY_MS - 1 - left_ms, outcome, parts))
}

/// The last outcomes of the key with this hash.
#[must_use]
pub fn outcomes_of_key(hash: &str) -> String {
    format!("{OUTCOMES}by-key/{hash}.json")
}

/// The progress of the backfill with this id.
#[must_use]
pub fn backfill(id: &str) -> String {
    format!("{INGEST}backfills/{id}.json")
}

/// A revision of a plan.
#[must_use]
pub fn plan(plan: Nonce, revision: u32) -> String {
    format!("{PLANS}{plan}.{revision}.json")
}

/// The prefix of the markers of a plan.
#[must_use]
pub fn done_of(plan: Nonce) -> String {
    format!("{DONE}{plan}/")
}

/// The mark of a plan's object, by the places of its destination and of itself in the plan.
#[must_use]
pub fn done(plan: Nonce, destination: usize, object: usize) -> String {
    format!("{DONE}{plan}/{destination}/{object}")
}

/// Reads the key of a mark: plan, destination, object.
#[must_use]
pub fn read_done(key: &str) -> Option<(Nonce, usize, usize)> {
    let mut parts = key.strip_prefix(DONE)?.splitn(3, '/');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The plan that a key under [`PLANS`] or [`DONE`] belongs to.
#[must_use]
pub fn plan_of(key: &str) -> Option<Nonce> {
    let rest = key.strip_prefix(PLANS).or_else(|| key.strip_prefix(DONE))?;
    rest.get(..32)?.parse().ok()
}

/// The note that a place does not take its objects.
#[must_use]
pub fn failing(place: &Place) -> String {
    format!("{FAILING}{}/{}", place.name, place.bucket)
}

/// The note that the manifests of a destination for a source and a day are not complete yet.
#[must_use]
pub fn open_day(destination: &str, source: &SourceId, day: Day) -> String {
    format!("{DAYS}{destination}/{source}/{day}")
}

/// Reads the key of such a note: destination, source, day.
#[must_use]
pub fn read_open_day(key: &str) -> Option<(&str, SourceId, Day)> {
    let mut parts = key.strip_prefix(DAYS)?.splitn(3, '/');
    Some((parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The prefix of the fragments of a source and a day.
#[must_use]
pub fn received_of(source: &SourceId, day: Day) -> String {
    format!("{RECEIVED}{source}/{day}/")
}

/// The copy of a damaged fragment.
#[must_use]
pub fn quarantine(fragment: &FragmentName) -> String {
    format!("{QUARANTINE}{fragment}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deployed keys do not change, because another version and the other function use them.
    #[test]
    fn the_keys_of_the_state_bucket_stay_as_they_are() {
        let (stream, nonce) = (StreamId::new([0x0a; 16]), Nonce::new([0xb0; 16]));
        let (hex_stream, hex_nonce) = ("0a".repeat(16), "b0".repeat(16));
        let range = ByteRange { from: 120, to: 4_096 };
        let fragment = "received/s/0/request.r-1.1.20.00000000.gz";
        for (key, expected) in [
            (checkpoint(stream), format!("ingest/{hex_stream}/checkpoint.json")),
            (ledger(stream), format!("ingest/{hex_stream}/ledger.json")),
            (
                rejects_part(stream, Epoch(3), range),
                format!("ingest/{hex_stream}/rejects/0003-0000000000000120-0000000000004096.csv"),
            ),
            (rejects(stream, "track_1.rejects.csv"), format!("rejects/{hex_stream}/track_1.rejects.csv")),
            (
                received_rejects(&"s".parse().unwrap(), Day::of(86_400_001), nonce),
                format!("rejects/received/s/86400000/{hex_nonce}.jsonl"),
            ),
            (
                outcome_of_day(1_557_606_747_940, "ab", Outcome::Failed, "/rows=1"),
                "outcomes/by-day/2019-05-11/12452059-ab-failed/rows=1.json".to_owned(),
            ),
            (backfill("ab"), "ingest/backfills/ab.json".to_owned()),
            (outcomes_of_key("ab"), "outcomes/by-key/ab.json".to_owned()),
            (plan(nonce, 2), format!("exports/plans/{hex_nonce}.2.json")),
            (done_of(nonce), format!("exports/done/{hex_nonce}/")),
            (done(nonce, 1, 20), format!("exports/done/{hex_nonce}/1/20")),
            (failing(&Place::new("prod", "logs", "a/b")), "exports/failing/prod/logs/a/b".to_owned()),
            (open_day("prod", &"s".parse().unwrap(), Day::of(0)), "exports/days/prod/s/0".to_owned()),
            (received_of(&"s".parse().unwrap(), Day::of(0)), "received/s/0/".to_owned()),
            (quarantine(&fragment.parse().unwrap()), format!("exports/quarantine/{fragment}")),
        ] {
            assert_eq!(key, expected);
        }
    }

    #[test]
    fn a_name_is_cut_only_where_its_key_would_be_too_long() {
        let key_bytes =
            |beginning: &str| rejects(StreamId::new([7; 16]), &rejects_name(beginning, ".rejects.csv")).len();
        let room = 1_024 - "rejects/".len() - 33 - ".rejects.csv".len();
        let fits = "a".repeat(room);
        assert_eq!(rejects_name(&fits, ".rejects.csv"), format!("{fits}.rejects.csv"));
        assert_eq!(key_bytes(&fits), KEY_BYTES_MAX);
        let one_more = rejects_name(&format!("{fits}b"), ".rejects.csv");
        assert!(one_more.starts_with("aaa") && one_more.ends_with(".rejects.csv"), "{one_more}");
        assert_ne!(one_more, rejects_name(&format!("{fits}c"), ".rejects.csv"), "the hash is of the whole name");
        for beginning in ["a".repeat(1_024), "ü".repeat(512), "€".repeat(341), "😀".repeat(256)] {
            assert!((KEY_BYTES_MAX - 3..=KEY_BYTES_MAX).contains(&key_bytes(&beginning)), "{beginning}");
        }
    }

    #[test]
    fn a_later_outcome_of_a_day_is_listed_first() {
        let key = |at_ms| outcome_of_day(at_ms, "ab", Outcome::Finished, "");
        let day_ms = 18_027 * DAY_MS;
        for (earlier, later) in [(0, 1), (9, 10), (1, DAY_MS - 1), (DAY_MS - 2, DAY_MS - 1)] {
            assert!(key(day_ms + later) < key(day_ms + earlier), "{earlier} {later}");
        }
        assert_eq!(outcomes_of_day(day_ms), outcomes_of_day(day_ms + DAY_MS - 1));
        assert_ne!(outcomes_of_day(day_ms), outcomes_of_day(day_ms - 1));
    }

    #[test]
    fn the_key_of_an_outcome_round_trips_and_a_too_long_one_has_no_parts() {
        let at_ms = 1_557_606_747_940;
        for (parts, kept) in [("", ""), ("/a=1/b=-", "a=1/b=-"), (&*format!("/{}", "a".repeat(1_000)), "")] {
            let key = outcome_of_day(at_ms, "ab", Outcome::Failed, parts);
            assert!(key.len() <= KEY_BYTES_MAX);
            assert_eq!(read_outcome_of_day(&key), Some((at_ms, Outcome::Failed, kept)));
        }
        for key in ["outcomes/by-day/x/1-a-failed.json", "outcomes/by-day/2019-05-11/1-a-lost.json", HEAD] {
            assert_eq!(read_outcome_of_day(key), None, "{key}");
        }
    }

    #[test]
    fn the_key_of_a_marker_round_trips() {
        let nonce = Nonce::new([7; 16]);
        assert_eq!(read_done(&done(nonce, 1, 20)), Some((nonce, 1, 20)));
        for key in ["exports/done/", "exports/done/x/1/2", "exports/head.json"] {
            assert_eq!(read_done(key), None, "{key}");
        }
    }

    #[test]
    fn the_key_of_an_open_day_round_trips() {
        let (source, day): (SourceId, Day) = ("s_1".parse().unwrap(), Day::of(1_557_606_747_940));
        let key = open_day("a.b-c", &source, day);
        assert_eq!(read_open_day(&key), Some(("a.b-c", source, day)));
        assert_eq!(read_open_day("exports/days/a/s/1"), None, "1 is no midnight");
    }

    #[test]
    fn the_keys_of_a_plan_name_the_plan() {
        let nonce = Nonce::new([7; 16]);
        assert_eq!(plan_of(&plan(nonce, 3)), Some(nonce));
        assert_eq!(plan_of(&done(nonce, 0, 1)), Some(nonce));
        assert_eq!(plan_of(HEAD), None);
    }
}
