//! Where calls go, and how fast.

use calls::pipeline::BATCHES_AHEAD_MAX;
use config::environment::Reader;
use config::settings::{
    CONCURRENCY, DefaultValue, EVENTS_PER_SECOND, GZIP_REQUESTS, REQUESTS_IN_FLIGHT, SEGMENT_ENDPOINT,
    SEGMENT_OBJECTS_ENDPOINT, SEGMENT_REGION, SEGMENT_SETTINGS_ENDPOINT, Setting, VERIFY_WRITE_KEY,
    WORKSPACE_EVENTS_PER_SECOND, WRITE_KEY,
};

use crate::write_key::WriteKey;

/// The spelling of Segment's walkthrough.
static WALKTHROUGHS_WRITE_KEY: Setting =
    Setting { name: "write_key", default: DefaultValue::None, meaning: "the source's write key" };

/// Segment's two regions (Segment docs, "Regional Segment").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Region {
    /// Oregon.
    Us,
    /// Dublin.
    Eu,
}

impl Region {
    /// The Tracking API's host (Segment docs, "HTTP Tracking API").
    #[must_use]
    pub fn tracking(self) -> &'static str {
        match self {
            Self::Us => "https://api.segment.io",
            Self::Eu => "https://events.eu1.segmentapis.com",
        }
    }

    /// The Objects API's host (Segment docs, "Objects API").
    #[must_use]
    pub fn objects(self) -> &'static str {
        match self {
            Self::Us => "https://objects.segment.com",
            Self::Eu => "https://objects.euw1.segment.com",
        }
    }

    /// Where a source's settings are. Segment's own code has one host for both regions (action-destinations,
    /// `segment/properties.ts`); this is the one of its libraries (analytics-kotlin, analytics-swift).
    #[must_use]
    pub fn settings(self) -> &'static str {
        match self {
            Self::Us | Self::Eu => "https://cdn-settings.segment.com",
        }
    }

    /// As `SEGMENT_REGION` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Us => "us",
            Self::Eu => "eu",
        }
    }
}

/// The pipeline hands out no more batches ahead of a slow one.
const REQUESTS_IN_FLIGHT_MAX: usize = BATCHES_AHEAD_MAX;
/// Segment's documented pace for a workspace (product limits: 1,000 events a second).
const SEGMENT_EVENTS_PER_SECOND: u32 = 1_000;

/// How to deliver to a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The source's write key. It is empty if the settings describe no source.
    pub write_key: WriteKey,
    /// The Tracking API, without a trailing slash.
    pub tracking_endpoint: String,
    /// The Objects API, without a trailing slash.
    pub objects_endpoint: String,
    /// The API that gives a source's settings, without a trailing slash.
    pub settings_endpoint: String,
    /// Whether that endpoint is known to give settings: it is Segment's, or the environment names it.
    pub has_settings: bool,
    /// Whether the write key is looked up before calls are sent.
    pub verify_write_key: bool,
    /// Whether bodies are gzipped. AWS charges for outgoing traffic.
    pub gzip: bool,
    /// Requests under way at once.
    pub requests_in_flight: usize,
    /// Calls a second for this process; 0 is no limit.
    pub events_per_second: u32,
    /// How many processes share the budget of a source.
    pub concurrency: u32,
}

impl Settings {
    /// Reads the settings from the environment. `needs_key`: whether a write key is required.
    #[must_use]
    pub fn read(reader: &mut Reader<'_>, needs_key: bool) -> Self {
        // The walkthrough's own spelling works too.
        let write_key = match reader.optional(&WALKTHROUGHS_WRITE_KEY) {
            Some(key) if reader.optional(&WRITE_KEY).is_none() => key,
            _ if needs_key => reader.required(&WRITE_KEY),
            _ => reader.optional(&WRITE_KEY).unwrap_or_default(),
        };
        if !write_key.bytes().all(|byte| byte.is_ascii_graphic()) {
            reader.fault(&WRITE_KEY, "has blanks or invalid characters; copy the key alone");
        }
        let region = match reader.optional(&SEGMENT_REGION).as_deref() {
            None => None,
            Some("us") => Some(Region::Us),
            Some("eu") => Some(Region::Eu),
            Some(other) => {
                reader.fault(&SEGMENT_REGION, format_args!("is {other:?}; write us or eu"));
                None
            }
        };
        let defaults = region.unwrap_or(Region::Us);
        let tracking_endpoint = reader.endpoint(&SEGMENT_ENDPOINT, defaults.tracking());
        let objects_endpoint = reader.endpoint(&SEGMENT_OBJECTS_ENDPOINT, defaults.objects());
        one_region(reader, region, &tracking_endpoint, &objects_endpoint);
        // A stand-in for Segment has its own write keys. Segment must not see them.
        let segments_own = region_of(&tracking_endpoint).is_some();
        let (settings_endpoint, has_settings) = match reader.optional(&SEGMENT_SETTINGS_ENDPOINT) {
            Some(_) => (reader.endpoint(&SEGMENT_SETTINGS_ENDPOINT, defaults.settings()), true),
            None => (settings_endpoint(defaults, &tracking_endpoint), segments_own),
        };
        let requests_in_flight = reader.parsed(&REQUESTS_IN_FLIGHT, "a number such as 4");
        if !(1..=REQUESTS_IN_FLIGHT_MAX).contains(&requests_in_flight) {
            reader.fault(&REQUESTS_IN_FLIGHT, format_args!("must be 1 to {REQUESTS_IN_FLIGHT_MAX}"));
        }
        let default_pace = if segments_own { SEGMENT_EVENTS_PER_SECOND } else { 0 };
        Self {
            write_key: WriteKey::new(write_key),
            gzip: reader.flag(&GZIP_REQUESTS),
            requests_in_flight,
            concurrency: concurrency(reader),
            events_per_second: pace(reader, default_pace),
            tracking_endpoint,
            objects_endpoint,
            settings_endpoint,
            has_settings,
            verify_write_key: reader.flag(&VERIFY_WRITE_KEY),
        }
    }

    /// The settings for a source of the configuration: what the source leaves out is as the environment says.
    #[must_use]
    pub fn for_source(&self, source: &config::source::Source, write_key: WriteKey) -> Self {
        let region = match source.region.as_deref() {
            Some("us") => Some(Region::Us),
            Some("eu") => Some(Region::Eu),
            _ => None,
        };
        let endpoint = |own: &Option<String>, of: fn(Region) -> &'static str, base: &str| {
            own.clone().or_else(|| region.map(|region| of(region).to_owned())).unwrap_or_else(|| base.to_owned())
        };
        let tracking_endpoint = endpoint(&source.endpoint, Region::tracking, &self.tracking_endpoint);
        // A server in Segment's place serves both APIs.
        let both = source.endpoint.clone().filter(|endpoint| region_of(endpoint).is_none());
        let objects = source.objects_endpoint.clone().or(both);
        let objects_endpoint = endpoint(&objects, Region::objects, &self.objects_endpoint);
        let (settings_endpoint, has_settings) = if tracking_endpoint == self.tracking_endpoint {
            (self.settings_endpoint.clone(), self.has_settings)
        } else {
            let endpoint = settings_endpoint(region.unwrap_or(Region::Us), &tracking_endpoint);
            (endpoint, region_of(&tracking_endpoint).is_some())
        };
        let events_per_second = match source.events_per_second {
            Some(budget) => share(budget, self.concurrency),
            None => self.events_per_second,
        };
        Self {
            write_key,
            tracking_endpoint,
            objects_endpoint,
            settings_endpoint,
            has_settings,
            events_per_second,
            ..self.clone()
        }
    }

    /// The region that a source's calls belong to, if it is another than the one that they are sent to. `host` is what
    /// Segment says of the source: `events.eu1.segmentapis.com/v1`.
    #[must_use]
    pub fn other_region(&self, host: &str) -> Option<Region> {
        let ours = region_of(&self.tracking_endpoint)?;
        region_of(&format!("https://{host}")).filter(|region| *region != ours)
    }
}

/// `EVENTS_PER_SECOND`, or a workspace's budget shared by so many functions at once: a template cannot divide.
fn pace(reader: &mut Reader<'_>, default: u32) -> u32 {
    const NUMBER: &str = "a whole number, 0 for no limit";
    if let Some(pace) = reader.parsed_if_set(&EVENTS_PER_SECOND, NUMBER) {
        for other in [&WORKSPACE_EVENTS_PER_SECOND, &CONCURRENCY] {
            if reader.optional(other).is_some() {
                reader.fault(other, "is set beside EVENTS_PER_SECOND, which is for one function alone; keep one");
            }
        }
        return pace;
    }
    let budget = reader.parsed_if_set(&WORKSPACE_EVENTS_PER_SECOND, NUMBER).unwrap_or(default);
    let concurrency: u32 = reader.parsed(&CONCURRENCY, "how many functions run at once, such as 2");
    if concurrency == 0 {
        reader.fault(&CONCURRENCY, "must be at least 1");
    }
    share(budget, concurrency)
}

fn concurrency(reader: &Reader<'_>) -> u32 {
    reader.optional(&CONCURRENCY).and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// The share of one function. A budget smaller than the number of functions still lets each send one call a second.
fn share(budget: u32, concurrency: u32) -> u32 {
    if budget == 0 { 0 } else { (budget / concurrency.max(1)).max(1) }
}

/// Where the settings of a source are. A server in Segment's place knows its own write keys, and Segment must not see
/// them.
fn settings_endpoint(region: Region, tracking_endpoint: &str) -> String {
    if region_of(tracking_endpoint).is_some() { region.settings().to_owned() } else { tracking_endpoint.to_owned() }
}

/// Which of Segment's regions an endpoint belongs to, if it is Segment's at all.
fn region_of(endpoint: &str) -> Option<Region> {
    let host = endpoint.split("://").nth(1)?.split(['/', ':']).next()?;
    let is_of = |domain: &str| host == domain || host.ends_with(&format!(".{domain}"));
    if !["segment.io", "segment.com", "segmentapis.com"].into_iter().any(is_of) {
        return None;
    }
    let eu = host.split('.').any(|part| part == "eu1" || part == "euw1");
    Some(if eu { Region::Eu } else { Region::Us })
}

/// The wrong region loses calls silently (Segment docs, "Regional Segment"), so a mixture is refused.
fn one_region(reader: &mut Reader<'_>, region: Option<Region>, tracking: &str, objects: &str) {
    for (setting, endpoint) in [(&SEGMENT_ENDPOINT, tracking), (&SEGMENT_OBJECTS_ENDPOINT, objects)] {
        if let (Some(asked), Some(found)) = (region, region_of(endpoint))
            && asked != found
        {
            let (asked, found) = (asked.name(), found.name());
            reader.fault(setting, format_args!("is {endpoint}, of region {found}, but SEGMENT_REGION is {asked}"));
        }
    }
    if region.is_none()
        && let (Some(one), Some(other)) = (region_of(tracking), region_of(objects))
        && one != other
    {
        let (one, other) = (one.name(), other.name());
        let words = format!("SEGMENT_ENDPOINT ({one}) and SEGMENT_OBJECTS_ENDPOINT ({other}) differ");
        reader.fault(&SEGMENT_REGION, format_args!("is not set, and {words}; set it to us or eu"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
        let get = |name: &str| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let mut reader = Reader::new(&get);
        let settings = Settings::read(&mut reader, true);
        reader.finish(settings).map_err(|faults| faults.0)
    }

    #[test]
    fn a_region_chooses_both_endpoints() {
        let eu = read(&[("WRITE_KEY", "k"), ("SEGMENT_REGION", "eu")]).unwrap();
        assert_eq!(
            (eu.tracking_endpoint.as_str(), eu.objects_endpoint.as_str()),
            (Region::Eu.tracking(), Region::Eu.objects())
        );
        let us = read(&[("write_key", "k")]).unwrap();
        assert_eq!((us.tracking_endpoint.as_str(), us.events_per_second), ("https://api.segment.io", 1_000));
        assert_eq!(
            (us.settings_endpoint.as_str(), eu.settings_endpoint.as_str()),
            (Region::Us.settings(), Region::Eu.settings())
        );
        assert_eq!(us.other_region("events.eu1.segmentapis.com/v1"), Some(Region::Eu));
        assert_eq!(eu.other_region("api.segment.io/v1"), Some(Region::Us));
        for (settings, host) in
            [(&us, "api.segment.io/v1"), (&eu, "events.eu1.segmentapis.com"), (&us, "cdp.example.com")]
        {
            assert_eq!(settings.other_region(host), None, "{host}");
        }
    }

    #[test]
    fn a_stand_in_for_segment_is_asked_about_its_own_write_keys() {
        let vars = [("WRITE_KEY", "k"), ("SEGMENT_ENDPOINT", "http://127.0.0.1:9/"), ("SEGMENT_REGION", "eu")];
        let settings = read(&vars).unwrap();
        assert_eq!(settings.settings_endpoint, "http://127.0.0.1:9");
        assert_eq!(settings.other_region("api.segment.io/v1"), None);
        let set = read(&[&vars[..], &[("SEGMENT_SETTINGS_ENDPOINT", "http://127.0.0.1:8")]].concat()).unwrap();
        assert_eq!(set.settings_endpoint, "http://127.0.0.1:8");
    }

    #[test]
    fn a_source_of_the_configuration_has_its_own_endpoints_and_pace() {
        let base = read(&[("WRITE_KEY", "k"), ("WORKSPACE_EVENTS_PER_SECOND", "900"), ("CONCURRENCY", "3")]).unwrap();
        let source = |lines: &str| {
            let document = format!("[[source]]\nname = \"a\"\nid = \"i\"\n{lines}");
            config::Config::parse(&document, &calls::reading::Reading::default()).unwrap().sources.remove(0)
        };
        let of = |lines: &str| base.for_source(&source(lines), WriteKey::new("other".to_owned()));
        let eu = of("region = \"eu\"\nevents_per_second = 60");
        assert_eq!(
            (eu.tracking_endpoint.as_str(), eu.objects_endpoint.as_str()),
            (Region::Eu.tracking(), Region::Eu.objects())
        );
        assert_eq!(
            (eu.events_per_second, of("").events_per_second, of("events_per_second = 0").events_per_second),
            (20, 300, 0)
        );
        let own = of("endpoint = \"http://127.0.0.1:9/\"");
        let all = [&own.tracking_endpoint, &own.objects_endpoint, &own.settings_endpoint];
        assert!(all.into_iter().all(|endpoint| endpoint == "http://127.0.0.1:9"), "{all:?}");
        assert_eq!(of("").settings_endpoint, base.settings_endpoint);
    }

    #[test]
    fn a_region_that_does_not_fit_an_endpoint_is_refused() {
        let faults = read(&[
            ("WRITE_KEY", "k"),
            ("SEGMENT_REGION", "us"),
            ("SEGMENT_ENDPOINT", "https://events.eu1.segmentapis.com"),
        ])
        .unwrap_err();
        assert!(faults[0].contains("of region eu, but SEGMENT_REGION is us"), "{faults:?}");
        let faults =
            read(&[("WRITE_KEY", "k"), ("SEGMENT_ENDPOINT", "https://events.eu1.segmentapis.com/")]).unwrap_err();
        assert!(faults[0].starts_with("SEGMENT_REGION is not set"), "{faults:?}");
        let objects = [("WRITE_KEY", "k"), ("SEGMENT_OBJECTS_ENDPOINT", "https://objects.euw1.segment.com")];
        assert!(read(&objects).unwrap_err()[0].starts_with("SEGMENT_REGION is not set"));
        let elsewhere =
            [("WRITE_KEY", "k"), ("SEGMENT_REGION", "eu"), ("SEGMENT_ENDPOINT", "https://api.notsegment.io")];
        assert!(read(&elsewhere).is_ok(), "not Segment's");
        let proxy =
            [("WRITE_KEY", "k"), ("SEGMENT_REGION", "us"), ("SEGMENT_ENDPOINT", "https://eu1.x.segmentapis.com")];
        assert!(read(&proxy).is_err());
    }

    #[test]
    fn elsewhere_there_is_no_limit_unless_one_is_set() {
        let vars = [
            ("WRITE_KEY", "k"),
            ("SEGMENT_ENDPOINT", "http://127.0.0.1:9"),
            ("SEGMENT_OBJECTS_ENDPOINT", "http://127.0.0.1:9"),
        ];
        assert_eq!(read(&vars).unwrap().events_per_second, 0);
        assert_eq!(read(&[&vars[..], &[("EVENTS_PER_SECOND", "50")]].concat()).unwrap().events_per_second, 50);
        let shared = [("WORKSPACE_EVENTS_PER_SECOND", "1000"), ("CONCURRENCY", "3")];
        assert_eq!(read(&[&vars[..], &shared].concat()).unwrap().events_per_second, 333);
        let segments_own = [("WRITE_KEY", "k"), ("CONCURRENCY", "4")];
        assert_eq!(read(&segments_own).unwrap().events_per_second, 250);
        let both = [("WRITE_KEY", "k"), ("CONCURRENCY", "4"), ("EVENTS_PER_SECOND", "9")];
        assert!(read(&both).unwrap_err()[0].starts_with("CONCURRENCY is set beside"));
    }

    #[test]
    fn all_faults_are_reported_together_and_without_the_write_key() {
        let faults = read(&[("SEGMENT_REGION", "mars"), ("REQUESTS_IN_FLIGHT", "0"), ("SEGMENT_ENDPOINT", "ftp:x")])
            .unwrap_err();
        assert_eq!(faults.len(), 4, "{faults:?}");
        assert!(faults[0].starts_with("WRITE_KEY is not set"));
        let faults = read(&[("WRITE_KEY", "a b"), ("SEGMENT_ENDPOINT", "https://")]).unwrap_err();
        assert!(faults[0].starts_with("WRITE_KEY has blanks") && !faults[0].contains("a b"), "{faults:?}");
        assert!(faults.len() == 2 && faults[1].starts_with("SEGMENT_ENDPOINT is \"https://\""), "{faults:?}");
    }

    #[test]
    fn requests_in_flight_may_be_as_many_as_the_batches_that_are_handed_out_ahead() {
        let in_flight = |number: &str| read(&[("WRITE_KEY", "k"), ("REQUESTS_IN_FLIGHT", number)]);
        assert_eq!(in_flight("32").unwrap().requests_in_flight, BATCHES_AHEAD_MAX);
        assert!(in_flight("33").unwrap_err()[0].starts_with("REQUESTS_IN_FLIGHT must be 1 to 32"));
    }
}
