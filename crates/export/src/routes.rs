//! Routes: which source's events go to which bucket, and through which role.

mod arn;
mod document;

use std::collections::BTreeSet;

use protocol::id::SourceId;
use protocol::place::Place;

/// JSON bytes of one log object at most, unless a destination says otherwise.
///
/// Segment docs: storage/catalog/aws-s3, "files of at most 100 MB".
pub const BATCH_BYTES_MAX: u64 = 100_000_000;

/// A bucket of a customer's, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// What it is called in plans, reports and alarms; unique.
    pub name: String,
    /// The bucket's region.
    pub region: String,
    /// The bucket's name.
    pub bucket: String,
    /// What goes before `segment-logs/`: empty, or `path/prefix` without outer slashes.
    pub prefix: String,
    /// The role that may put there.
    pub role_arn: String,
    /// The external id that the role's trust policy asks for.
    pub external_id: String,
    /// The key of SSE-KMS, where the bucket's default is not to be used.
    pub kms_key_arn: Option<String>,
    /// A canned ACL to put with each object.
    pub acl: Option<String>,
    /// The account that must own the bucket, or S3 refuses the put.
    pub expected_bucket_owner: Option<String>,
    /// The sources it takes.
    pub sources: Sources,
    /// JSON bytes of one of its objects at most.
    pub batch_bytes_max: u64,
    /// False: it takes nothing new, and what is planned for it waits.
    pub enabled: bool,
}

impl Destination {
    /// Where its objects go.
    pub fn place(&self) -> Place {
        Place::new(&self.name, &self.bucket, &self.prefix)
    }
}

/// The sources that a destination takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sources {
    /// Every source.
    All,
    /// These.
    These(BTreeSet<SourceId>),
}

impl Sources {
    /// True when it is one of them.
    pub fn contain(&self, source: &SourceId) -> bool {
        match self {
            Sources::All => true,
            Sources::These(ids) => ids.contains(source),
        }
    }

    fn meet(&self, other: &Sources) -> bool {
        match (self, other) {
            (Sources::These(a), Sources::These(b)) => !a.is_disjoint(b),
            (Sources::These(ids), Sources::All) | (Sources::All, Sources::These(ids)) => !ids.is_empty(),
            (Sources::All, Sources::All) => true,
        }
    }
}

/// A source and what people call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its id.
    pub id: SourceId,
    /// Its name, for reports.
    pub name: String,
}

/// All destinations, and the sources that have names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// The destinations, in the order in which they were written.
    pub destinations: Vec<Destination>,
    /// The sources that were given a name.
    pub sources: Vec<Source>,
}

/// The one destination that the environment's `DESTINATION_*` variables describe, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Single {
    /// `DESTINATION_BUCKET`: a name with an optional `/path/prefix`.
    pub bucket: String,
    /// `DESTINATION_REGION`.
    pub region: String,
    /// `DESTINATION_ROLE_ARN`.
    pub role_arn: String,
    /// `DESTINATION_EXTERNAL_ID`.
    pub external_id: String,
}

impl Single {
    /// What the destination is called that the environment describes.
    pub const NAME: &str = "default";
}

impl Routes {
    /// Reads a TOML document of `[[destination]]` and `[[source]]` tables.
    ///
    /// # Errors
    /// Every fault, each with the name of what is at fault and what to write instead.
    pub fn parse(document: &str) -> Result<Routes, Vec<String>> {
        let (routes, mut faults) = document::read(document);
        faults.extend(routes.clashes());
        if faults.is_empty() { Ok(routes) } else { Err(faults) }
    }

    /// The routes of one destination that takes every source.
    ///
    /// # Errors
    /// Every fault, by the environment variable's name.
    pub fn single(single: &Single) -> Result<Routes, Vec<String>> {
        let mut faults = Vec::new();
        let destination = document::single(single, &mut faults);
        if faults.is_empty() {
            Ok(Routes { destinations: vec![destination], sources: Vec::new() })
        } else {
            Err(faults)
        }
    }

    /// The destination of this name.
    pub fn named(&self, name: &str) -> Option<&Destination> {
        self.destinations.iter().find(|destination| destination.name == name)
    }

    /// The destinations that take a source's events, by their place in the list.
    pub fn taking(&self, source: &SourceId) -> Vec<usize> {
        let takes = |destination: &Destination| destination.enabled && destination.sources.contain(source);
        self.destinations.iter().enumerate().filter(|(_, d)| takes(d)).map(|(index, _)| index).collect()
    }

    /// What people call a source: its name if it has one, else its id.
    pub fn source_name<'a>(&'a self, id: &'a SourceId) -> &'a str {
        self.sources.iter().find(|source| source.id == *id).map_or(id.as_str(), |source| &source.name)
    }

    /// Names given twice, and places that would get an event twice.
    fn clashes(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (index, one) in self.destinations.iter().enumerate() {
            for other in self.destinations.iter().skip(index + 1) {
                if one.name == other.name {
                    faults.push(format!("destination `{}`: two destinations have this name; rename one", one.name));
                }
                let one_place = !one.bucket.is_empty() && one.bucket == other.bucket && one.prefix == other.prefix;
                if one_place && one.sources.meet(&other.sources) {
                    faults.push(format!(
                        "destinations `{}` and `{}` put the same sources into one bucket and prefix, where each event \
                         would lie twice; give them different sources, buckets or prefixes",
                        one.name, other.name
                    ));
                }
            }
        }
        for (index, one) in self.sources.iter().enumerate() {
            if self.sources.iter().skip(index + 1).any(|other| other.id == one.id) {
                faults.push(format!("source `{}`: described twice; keep one", one.id));
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests;
