//! The exporter's settings: plain data, read once, all faults told together.

use aws::settings::{Faults, Reader};
use export::cut::Limits;
use export::routes::{Routes, Single};

/// Events that nobody could export are given up after so many days, unless the settings say otherwise.
pub const EXPIRE_DAYS: u32 = 30;

/// What the exporter works from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Our own bucket: what waits for export, and the state of the exports.
    pub state_bucket: String,
    /// Where events go.
    pub routes: RoutesFrom,
    /// Days after which events that nobody could export are given up, with an alarm. The state bucket's lifecycle rule
    /// is the net below it and must be longer.
    pub expire_days: u32,
    /// How large a plan may become.
    pub limits: Limits,
    /// How much there may be of everything else.
    pub caps: Caps,
    /// How much is done at a time.
    pub at_a_time: AtATime,
}

/// How many requests are under way at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtATime {
    /// Places that are served.
    pub places: usize,
    /// Objects put to one destination: most are small, and waiting for answers is most of the work.
    pub objects: usize,
    /// Fragments fetched ahead of those that are being sent to one place.
    pub fragments: usize,
    /// Plans that are read; the largest have some two megabytes.
    pub plans: usize,
    /// Accounts of files that are read.
    pub accounts: usize,
}

impl Default for AtATime {
    fn default() -> AtATime {
        AtATime { places: 8, objects: 4, fragments: 32, plans: 8, accounts: 32 }
    }
}

impl AtATime {
    /// One request after the other, so that a run repeats.
    pub const ONE: AtATime = AtATime { places: 1, objects: 1, fragments: 1, plans: 1, accounts: 1 };
}

/// What bounds a tick, whatever waits and whoever fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Plans that one tick opens: each is two requests, one after the other.
    pub plans_per_tick_max: usize,
    /// Plans that may be open for one destination. Beyond, what waits for it waits as fragments, and an alarm says so.
    pub open_plans_max: usize,
    /// Fragments that they may hold; likewise. A tick has a hash of each in memory.
    pub held_fragments_max: u64,
    /// Fragments that one tick considers; more wait for the next, which begins there.
    pub considered_max: usize,
    /// Bytes of fragments that are fetched and not yet sent, of all objects together.
    pub fetched_bytes_max: u64,
    /// Bytes of objects that are compressed anew, of all together: they are in memory whole. One that alone has more is
    /// alone.
    pub rewritten_bytes_max: u64,
}

impl Default for Caps {
    fn default() -> Caps {
        Caps {
            plans_per_tick_max: 250,
            // Those of a destination that takes nothing for a month: one an hour for each set of destinations that it
            // belongs to, and one for each object that fills up in between.
            open_plans_max: 10_000,
            held_fragments_max: 1_000_000,
            considered_max: 200_000,
            // One place has some 16 MB at most, at half a megabyte a fragment: one that is slow leaves enough to others.
            fetched_bytes_max: 64 << 20,
            rewritten_bytes_max: 64 << 20,
        }
    }
}

/// Where the routes are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoutesFrom {
    /// In the settings themselves.
    Here(Routes),
    /// In an object, read anew at every invocation.
    Object {
        /// Its bucket.
        bucket: String,
        /// Its key.
        key: String,
    },
}

impl Settings {
    /// Reads the settings through `get`.
    ///
    /// # Errors
    /// Every fault, by the setting's name.
    pub fn parse(get: &dyn Fn(&str) -> Option<String>) -> Result<Settings, Faults> {
        let mut reader = Reader::new(get);
        let state_bucket = reader.bucket("STATE_BUCKET", "our own bucket, in which received events wait for export");
        let expire_days = reader.parsed("EXPIRE_DAYS", EXPIRE_DAYS, "a number of days");
        if !(1..=EXPIRE_DAYS).contains(&expire_days) {
            // Events may wait so long unrouted, and as long again for a destination; the bucket's lifecycle is the net
            // below that, and has to be longer.
            reader.fault("EXPIRE_DAYS", format_args!("is {expire_days}; write 1 to {EXPIRE_DAYS}"));
        }
        let routes = routes(&mut reader);
        let (limits, caps, at_a_time) = (Limits::default(), Caps::default(), AtATime::default());
        reader.finish(Settings { state_bucket, routes, expire_days, limits, caps, at_a_time })
    }
}

const SINGLE: [&str; 4] =
    ["DESTINATION_BUCKET", "DESTINATION_REGION", "DESTINATION_ROLE_ARN", "DESTINATION_EXTERNAL_ID"];

fn routes(reader: &mut Reader<'_>) -> RoutesFrom {
    let nowhere = RoutesFrom::Here(Routes::default());
    let Some(document) = reader.optional("ROUTES") else {
        let [bucket, region, role_arn, external_id] =
            SINGLE.map(|name| reader.required(name, "where the events go; ROUTES describes many destinations"));
        // What is not set has been told once.
        let missing = |fault: &String| {
            SINGLE.iter().any(|name| fault.starts_with(&format!("{name} ")) && reader.optional(name).is_none())
        };
        return match Routes::single(&Single { bucket, region, role_arn, external_id }) {
            Ok(routes) => RoutesFrom::Here(routes),
            Err(faults) => {
                let told: Vec<String> = faults.into_iter().filter(|fault| !missing(fault)).collect();
                reader.faults.extend(told);
                nowhere
            }
        };
    };
    for name in SINGLE {
        if reader.optional(name).is_some() {
            reader.fault(name, "is set beside ROUTES; write the destination into ROUTES, or unset ROUTES");
        }
    }
    match object_of(&document) {
        Some(Ok(from)) => return from,
        Some(Err(what)) => reader.fault("ROUTES", what),
        None => match Routes::parse(&document) {
            Ok(routes) => return RoutesFrom::Here(routes),
            Err(faults) => faults.iter().for_each(|fault| reader.fault("ROUTES", fault)),
        },
    }
    nowhere
}

/// Reads `s3://bucket/key`; `None` if it is a document.
fn object_of(text: &str) -> Option<Result<RoutesFrom, String>> {
    let rest = text.strip_prefix("s3://")?;
    Some(match rest.split_once('/') {
        Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => {
            Ok(RoutesFrom::Object { bucket: bucket.to_owned(), key: key.to_owned() })
        }
        _ => Err(format!("is {text:?}, which names no object; write s3://BUCKET/KEY")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(set: &[(&str, &str)]) -> Result<Settings, Faults> {
        Settings::parse(&|name| set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    const ONE: [(&str, &str); 5] = [
        ("STATE_BUCKET", "our-state"),
        ("DESTINATION_BUCKET", "their-logs/some/prefix/"),
        ("DESTINATION_REGION", "eu-west-1"),
        ("DESTINATION_ROLE_ARN", "arn:aws:iam::123456789012:role/SegmentAWSS3Role"),
        ("DESTINATION_EXTERNAL_ID", "workspace-id"),
    ];

    #[test]
    fn one_destination_comes_from_the_environment() {
        let settings = parse(&ONE).unwrap();
        let RoutesFrom::Here(routes) = settings.routes else { panic!("not an object") };
        let destination = routes.named("default").unwrap();
        assert_eq!((destination.bucket.as_str(), destination.prefix.as_str()), ("their-logs", "some/prefix"));
        assert_eq!(routes.taking(&"anySource".parse().unwrap()), [0]);
    }

    #[test]
    fn every_fault_is_told_at_once_and_once() {
        let faults = parse(&[
            ("STATE_BUCKET", "s3://our-state"),
            ("DESTINATION_BUCKET", "s3://their-logs/prefix"),
            ("DESTINATION_ROLE_ARN", "arn:aws:iam::123456789012:user/me"),
            ("DESTINATION_EXTERNAL_ID", "x"),
        ])
        .unwrap_err();
        let [state, region, bucket, role, id] = &faults.0[..] else { panic!("{faults:#?}") };
        assert!(state.contains("STATE_BUCKET is a URI"), "{state}");
        assert!(region.contains("DESTINATION_REGION is not set"), "{region}");
        assert!(bucket.contains("DESTINATION_BUCKET is an s3:// URI") && bucket.ends_with(": their-logs/prefix"));
        assert!(role.contains("is a user's ARN"), "{role}");
        assert!(id.contains("DESTINATION_EXTERNAL_ID is no external id") && !id.contains("\"x\""), "{id}");
    }

    #[test]
    fn routes_may_lie_in_an_object_but_not_beside_a_single_destination() {
        let at = parse(&[("STATE_BUCKET", "our-state"), ("ROUTES", "s3://our-config/routes.toml")]).unwrap();
        assert_eq!(at.routes, RoutesFrom::Object { bucket: "our-config".into(), key: "routes.toml".into() });

        let mut both = ONE.to_vec();
        both.push(("ROUTES", "s3://our-config"));
        let faults = parse(&both).unwrap_err();
        assert_eq!(faults.0.len(), 5, "{faults}");
        assert!(faults.0.iter().any(|fault| fault.contains("ROUTES is \"s3://our-config\", which names no object")));
    }
}
