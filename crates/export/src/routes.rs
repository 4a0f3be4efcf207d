//! Routes: which source's events go to which bucket, and through which role.

use std::collections::BTreeSet;

use protocol::id::SourceId;
use protocol::place::Place;
use protocol::plan::Layout;

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
    /// How S3 encrypts the objects, where the bucket's default is not to be used: `AES256` or `aws:kms`.
    pub sse: Option<String>,
    /// The key of `aws:kms`, where the bucket's default is not to be used.
    pub kms_key_arn: Option<String>,
    /// The storage class of the objects, where it is not `STANDARD`.
    pub storage_class: Option<String>,
    /// A canned ACL to put with each object.
    pub acl: Option<String>,
    /// The account that must own the bucket, or S3 refuses the put. `None`: any.
    pub expected_bucket_owner: Option<String>,
    /// The sources it takes.
    pub sources: Sources,
    /// JSON bytes of one of its objects at most.
    pub batch_bytes_max: u64,
    /// The folders of its objects.
    pub layout: Layout,
    /// Whether it gets manifests, and a mark for each day that is complete.
    pub manifest: bool,
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

/// A fault, or a doubt, between two destinations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// The index of the later one.
    pub index: usize,
    /// What is wrong, and what to do.
    pub what: String,
}

impl Routes {
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
    pub fn clashes(&self) -> Vec<Clash> {
        let mut clashes = Vec::new();
        for (index, one) in self.destinations.iter().enumerate() {
            for other in &self.destinations[..index] {
                if one.name == other.name {
                    let what = "has the name of another destination; rename one".to_owned();
                    clashes.push(Clash { index, what });
                }
                let one_place = !one.bucket.is_empty() && one.bucket == other.bucket && one.prefix == other.prefix;
                if one_place && one.sources.meet(&other.sources) {
                    let what = format!(
                        "puts the same sources into the same bucket and prefix as destination `{}`, so each event would \
                         be there twice; give them different sources, buckets or prefixes",
                        other.name
                    );
                    clashes.push(Clash { index, what });
                }
            }
        }
        clashes
    }

    /// Roles that two destinations assume with different external ids.
    ///
    /// An external id stands for one customer. So one role with two of them is either a mistake, or a trust policy that
    /// lets two customers use it.
    pub fn doubts(&self) -> Vec<Clash> {
        let doubt = |(index, one): (usize, &Destination)| {
            let is_doubtful =
                |other: &&Destination| one.role_arn == other.role_arn && one.external_id != other.external_id;
            let other = self.destinations[..index].iter().find(is_doubtful)?;
            let what = format!(
                "has the role of destination `{}` and another external id; the trust policy of a role usually asks for \
                 one, so compare both",
                other.name
            );
            Some(Clash { index, what })
        };
        self.destinations.iter().enumerate().filter_map(doubt).collect()
    }
}

#[cfg(test)]
mod tests;
