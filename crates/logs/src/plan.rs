//! Export plans: which fragments make which log objects, decided once and written down.
//!
//! A plan is immutable, and so is everything that follows from it: the objects' names (derived
//! from the plan's random nonce), their order of lines, their bytes. So whoever carries it out,
//! however often, writes the same bytes to the same keys. What must change on the way (a fragment
//! that is damaged, a destination that is given up) is a *revision*: a new document under the same
//! nonce, hence under the same names.

mod cut;
mod head;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::fragment::{FRAME_LEN, FragmentName};
use crate::hex_id::hex_id;
use crate::object;
use crate::staging::Staged;

pub use cut::{Draft, Flush, Limits, cut};
pub use head::{ClosedPlan, Head, OpenPlan, REMEMBERED_MAX, REMEMBERED_MS};

/// The version of the documents that this code writes and the only one that it reads.
pub const FORMAT: u32 = 1;

/// Fragments of one plan at most.
pub const FRAGMENTS_MAX: usize = 10_000;

/// Raw bytes of one plan at most (one object may exceed it, alone).
pub const RAW_BYTES_MAX: u64 = 1_000_000_000;

/// Below this many raw bytes on average an object's fragments are compressed anew: apart they
/// compress badly, since each begins with an empty window.
///
/// Measured by `examples/stitch.rs make` on lines of 600 bytes: fragments of 500,000 bytes have a
/// ratio of 6.9, of 16,000 bytes 5.7, of 4,000 bytes 3.9, of a single line 1.5.
pub const REWRITE_BELOW_BYTES: u64 = 16 * 1024;

hex_id! {
    /// 128 random bits.
    Nonce,
    /// A text that is no nonce.
    NotANonce, "not a nonce: 32 lowercase hexadecimal digits are expected"
}

/// A plan, or a revision of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: u32,
    /// What names it and its objects.
    pub nonce: Nonce,
    /// How often it was revised.
    pub revision: u32,
    /// When it was made, in epoch milliseconds; part of its objects' names.
    pub created_ms: i64,
    /// The version of the software that made it; part of its objects' names.
    pub version: String,
    /// What becomes of the fragments.
    pub purpose: Purpose,
    /// Where the objects go; nowhere unless the purpose is to export.
    pub destinations: Vec<PlannedDestination>,
    /// What the objects are made of, in order.
    pub fragments: Vec<Staged>,
    /// What is left out, since it is damaged or gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantined: Vec<Quarantined>,
}

/// What becomes of a plan's fragments.
///
/// Giving up is a plan like every other, so that no two exporters can export and give up one event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// They are put into objects, then deleted.
    #[default]
    Export,
    /// Their events were received, but nobody could export them for too long: they are deleted.
    Expire,
    /// Their events never counted (a killed run left them) and never will: they are deleted.
    Discard,
}

/// A destination as it was when the plan was made. Role, external id and key are not part of it:
/// those come from today's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedDestination {
    /// Its name in the settings.
    pub name: String,
    /// Its bucket.
    pub bucket: String,
    /// What goes before `segment-logs/`.
    pub prefix: String,
    /// Why nothing more is put there, if it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abandoned: Option<String>,
    /// Its objects; together they hold every fragment of the plan.
    pub objects: Vec<PlannedObject>,
}

/// One log object: the fragments `[from, to)` of the plan, all of one source and one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedObject {
    /// The first fragment.
    pub from: usize,
    /// The fragment after the last.
    pub to: usize,
    /// True if the lines are compressed anew instead of joined.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rewrite: bool,
}

impl PlannedObject {
    /// The places of its fragments in the plan.
    pub fn fragments(&self) -> Range<usize> {
        self.from..self.to
    }
}

/// A fragment that is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Its place in the plan.
    pub fragment: usize,
    /// What is wrong with it.
    pub why: String,
}

/// What a plan holds, for reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Fragments.
    pub fragments: u64,
    /// Events.
    pub events: u64,
    /// Bytes of their lines.
    pub raw_bytes: u64,
}

impl Size {
    /// Adds a fragment.
    pub fn add(&mut self, name: &FragmentName) {
        self.fragments += 1;
        self.events += u64::from(name.events);
        self.raw_bytes += name.raw_bytes;
    }

    /// Adds what something else holds.
    pub fn extend(&mut self, other: &Size) {
        self.fragments += other.fragments;
        self.events += other.events;
        self.raw_bytes = self.raw_bytes.saturating_add(other.raw_bytes);
    }

    /// The size of these.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a FragmentName>) -> Size {
        names.into_iter().fold(Size::default(), |mut size, name| {
            size.add(name);
            size
        })
    }
}

/// A document that is no plan that this code can carry out.
#[derive(Debug, thiserror::Error)]
pub enum NotAPlan {
    /// Not the document.
    #[error("not a plan: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by a version that this one does not know.
    #[error("a plan of format {0}, and only format {FORMAT} is known")]
    Format(u32),
    /// It contradicts itself.
    #[error("a plan that contradicts itself: {0}")]
    Law(&'static str),
}

impl Plan {
    /// Reads a plan and checks the laws that everything rests on.
    ///
    /// # Errors
    /// When it is none, or breaks a law.
    pub fn from_json(json: &[u8]) -> Result<Plan, NotAPlan> {
        let plan: Plan = serde_json::from_slice(json)?;
        if plan.format != FORMAT {
            return Err(NotAPlan::Format(plan.format));
        }
        plan.check().map_err(NotAPlan::Law)?;
        Ok(plan)
    }

    /// The document.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a plan has text keys only")
    }

    /// Where the state bucket keeps this revision.
    pub fn key(&self) -> String {
        Plan::key_of(self.nonce, self.revision)
    }

    /// Where it keeps a revision of a plan.
    pub fn key_of(nonce: Nonce, revision: u32) -> String {
        format!("{}{nonce}.{revision}.json", Plan::PREFIX)
    }

    /// What the keys of all plans begin with.
    pub const PREFIX: &str = "exports/plans/";

    /// Every fragment is in exactly one object of every destination, and every object is of one
    /// source and one day.
    fn check(&self) -> Result<(), &'static str> {
        if self.fragments.is_empty() {
            return Err("it has no fragments");
        }
        if (self.purpose == Purpose::Export) == self.destinations.is_empty() {
            return Err("its purpose and its destinations do not fit");
        }
        for destination in &self.destinations {
            let mut next = 0;
            for object in &destination.objects {
                if object.from != next || object.to <= object.from || object.to > self.fragments.len() {
                    return Err("its objects do not hold each fragment once");
                }
                next = object.to;
                let mut folders =
                    self.staged(object.fragments()).map(|(_, staged)| (&staged.name.source, staged.name.day));
                let first = folders.next();
                if folders.any(|folder| Some(folder) != first) {
                    return Err("an object mixes sources or days");
                }
            }
            if next != self.fragments.len() {
                return Err("its objects do not hold each fragment once");
            }
        }
        if self.quarantined.iter().any(|q| q.fragment >= self.fragments.len()) {
            return Err("it quarantines a fragment that it does not have");
        }
        Ok(())
    }

    fn staged(&self, range: Range<usize>) -> impl Iterator<Item = (usize, &Staged)> {
        self.fragments.iter().enumerate().skip(range.start).take(range.len())
    }

    /// The fragments whose lines an object is made of, with their places in the plan: those of its
    /// range that are not quarantined.
    pub fn content(&self, object: &PlannedObject) -> impl Iterator<Item = (usize, &Staged)> {
        let out = |index: usize| self.quarantined.iter().any(|q| q.fragment == index);
        self.staged(object.fragments()).filter(move |(index, _)| !out(*index))
    }

    /// The length of an object that is joined, in bytes.
    pub fn object_bytes(&self, object: &PlannedObject) -> u64 {
        let bodies = self.content(object).map(|(_, staged)| staged.bytes.saturating_sub(FRAME_LEN as u64));
        FRAME_LEN as u64 + bodies.sum::<u64>()
    }

    /// The key of a destination's object in the destination's bucket.
    pub fn object_key(&self, destination: usize, object: usize) -> Option<String> {
        let planned = self.destinations.get(destination)?;
        let first = self.fragments.get(planned.objects.get(object)?.from)?;
        let name = object::Name::derive(self, destination, object);
        Some(object::key(&planned.prefix, &first.name.source, first.name.day, &name))
    }

    /// What the whole plan holds.
    pub fn size(&self) -> Size {
        Size::of(self.fragments.iter().map(|staged| &staged.name))
    }

    /// A hash of each fragment's key, for [`Held`].
    pub fn hashes(&self) -> Vec<u64> {
        self.fragments.iter().map(|staged| hash(&staged.name)).collect()
    }

    /// The fragments that were put, or given up, once the plan is closed: all that are not quarantined.
    pub fn settled(&self) -> impl Iterator<Item = &Staged> {
        let out: HashSet<usize> = self.quarantined.iter().map(|quarantined| quarantined.fragment).collect();
        self.fragments.iter().enumerate().filter(move |(index, _)| !out.contains(index)).map(|(_, staged)| staged)
    }

    /// A hash of each of their keys.
    pub fn settled_hashes(&self) -> Vec<u64> {
        self.settled().map(|staged| hash(&staged.name)).collect()
    }

    /// What an object holds.
    pub fn object_size(&self, object: &PlannedObject) -> Size {
        Size::of(self.content(object).map(|(_, staged)| &staged.name))
    }

    /// The next revision, which leaves these fragments out, each for its reason.
    pub fn quarantining(&self, unfit: impl IntoIterator<Item = Quarantined>) -> Plan {
        let mut next = Plan { revision: self.revision + 1, ..self.clone() };
        next.quarantined.extend(unfit);
        next
    }

    /// The next revision, in which nothing more is put to these destinations; `None` if there is none
    /// among them that is not given up already.
    pub fn abandoning(&self, destinations: &[usize], why: &str) -> Option<Plan> {
        let mut next = Plan { revision: self.revision + 1, ..self.clone() };
        let mut found = false;
        for index in destinations {
            let Some(destination) = next.destinations.get_mut(*index).filter(|d| d.abandoned.is_none()) else {
                continue;
            };
            destination.abandoned = Some(why.to_owned());
            found = true;
        }
        found.then_some(next)
    }
}

/// What plans hold, so that it is planned only once.
///
/// Only a hash of each key is kept: many plans may be open for long, and a collision does no more
/// than let a fragment wait until a plan closes.
#[derive(Clone, Debug, Default)]
pub struct Held(HashSet<u64>);

impl Held {
    /// Adds what a plan holds, by its [hashes](Plan::hashes).
    pub fn add(&mut self, hashes: &[u64]) {
        self.0.extend(hashes);
    }

    /// True if one of the plans holds it.
    pub fn contains(&self, name: &FragmentName) -> bool {
        self.0.contains(&hash(name))
    }
}

fn hash(name: &FragmentName) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
