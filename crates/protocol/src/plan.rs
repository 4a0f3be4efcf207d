//! Export plans: which fragments make which log objects, decided once and written down.
//!
//! A plan is immutable, and its objects follow from it: their names (from the plan's random nonce), their lines and
//! their bytes. So every exporter writes the same bytes to the same keys, however often. A change (a damaged fragment,
//! an abandoned destination) is a *revision*: a new document under the same nonce, with the same object names.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::format::{self, Unreadable};
use crate::fragment::{FRAME_LEN, FragmentName, Staged};
use crate::id::Nonce;
use crate::keys;
use crate::place::Place;

/// A plan, or a revision of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// See [`format::PLAN`].
    pub format: u32,
    /// The nonce that names it and its objects.
    pub nonce: Nonce,
    /// How often it was revised.
    pub revision: u32,
    /// When it was made, in epoch milliseconds; part of its objects' names.
    pub created_ms: i64,
    /// The version of the software that made it; part of its objects' names.
    pub version: String,
    /// The purpose of the plan.
    pub purpose: Purpose,
    /// True if it discards fragments of files whose checkpoint and ledger are gone: nobody knows whether their events
    /// counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unaccounted: bool,
    /// Where the objects go; nowhere unless the purpose is to export.
    pub destinations: Vec<PlannedDestination>,
    /// The fragments of the objects, in order.
    pub fragments: Vec<Staged>,
    /// The fragments that are left out, because they are damaged or gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantined: Vec<Quarantined>,
}

/// The purpose of a plan.
///
/// Giving up is a plan like every other, so that no two exporters can export and give up one event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// They are put into objects, then deleted.
    #[default]
    Export,
    /// Their events were received, but no destination accepted them for too long. They are deleted.
    Expire,
    /// Their events do not count (a killed run left them) and never will: they are deleted.
    Discard,
}

/// A destination as it was when the plan was made. Role, external id, encryption and storage class are not part of it:
/// those come from today's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedDestination {
    /// Its name in the settings.
    pub name: String,
    /// Its bucket.
    pub bucket: String,
    /// The prefix before `segment-logs/`.
    pub prefix: String,
    /// The account that must own the bucket. It is for the time after the destination has moved, when the settings are
    /// about another bucket. `None`: any, or an older version made the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_bucket_owner: Option<String>,
    /// The folders of its objects. An older version, which knows one layout, would put those that are missing there.
    #[serde(default, skip_serializing_if = "Layout::is_segments")]
    pub layout: Layout,
    /// Why nothing more is put there, if it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abandoned: Option<String>,
    /// Its objects; together they hold every fragment of the plan.
    pub objects: Vec<PlannedObject>,
}

/// The folders of the objects of a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `{source}/{received day in ms}/`, as Segment has it.
    #[default]
    Segment,
    /// `source={source}/day=2019-05-11/`, which Athena, Spark and DuckDB know as partitions.
    Hive,
}

impl Layout {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    fn is_segments(&self) -> bool {
        *self == Self::Segment
    }
}

impl PlannedDestination {
    /// Where its objects go.
    pub fn place(&self) -> Place {
        Place::new(&self.name, &self.bucket, &self.prefix)
    }
}

/// One log object: the fragments `[from, to)` of the plan, all of one source and one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedObject {
    /// The first fragment.
    pub from: usize,
    /// The fragment after the last.
    pub to: usize,
    /// True if the lines are compressed again instead of joined.
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
    /// The fault.
    pub why: String,
}

/// The size of fragments, for reports.
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

    /// Adds another size.
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

impl Plan {
    /// Reads a plan and checks the rules that the code relies on.
    ///
    /// # Errors
    /// If it is not a plan, its format is unknown to this version, or it breaks a rule.
    pub fn from_json(json: &[u8]) -> Result<Plan, Unreadable> {
        let plan: Plan = format::PLAN.read(json)?;
        plan.check().map_err(Unreadable::Rule)?;
        Ok(plan)
    }

    /// The document.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a plan has text keys only")
    }

    /// Where the state bucket keeps this revision.
    pub fn key(&self) -> String {
        keys::plan(self.nonce, self.revision)
    }

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

    /// The fragments of an object with their indexes in the plan: those in its range that are not quarantined.
    pub fn content(&self, object: &PlannedObject) -> impl Iterator<Item = (usize, &Staged)> {
        let out = |index: usize| self.quarantined.iter().any(|q| q.fragment == index);
        self.staged(object.fragments()).filter(move |(index, _)| !out(*index))
    }

    /// The length of an object that is joined, in bytes.
    pub fn object_bytes(&self, object: &PlannedObject) -> u64 {
        let bodies = self.content(object).map(|(_, staged)| staged.bytes.saturating_sub(FRAME_LEN as u64));
        FRAME_LEN as u64 + bodies.sum::<u64>()
    }

    /// The size of the whole plan.
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

    /// The size of an object.
    pub fn object_size(&self, object: &PlannedObject) -> Size {
        Size::of(self.content(object).map(|(_, staged)| &staged.name))
    }

    /// The next revision, which leaves these fragments out, each for its reason.
    pub fn quarantining(&self, unfit: impl IntoIterator<Item = Quarantined>) -> Plan {
        let mut next = Plan { revision: self.revision + 1, ..self.clone() };
        next.quarantined.extend(unfit);
        next
    }

    /// The next revision, which abandons these destinations; `None` if all of them are abandoned already.
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

/// The fragments that plans hold, so that each is planned only once.
///
/// Only a hash of each key is kept, because many plans may be open for long. A collision only makes a fragment wait
/// until a plan closes.
#[derive(Clone, Debug, Default)]
pub struct Held(HashSet<u64>);

impl Held {
    /// Adds the fragments of a plan by their [hashes](Plan::hashes).
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
pub(crate) mod samples;

#[cfg(test)]
mod tests {
    use super::samples::{plan, staged, unfit};
    use super::*;

    #[test]
    fn a_plan_that_breaks_a_rule_is_refused() {
        let fragments = vec![staged("a", 1, 10), staged("a", 2, 10), staged("b", 3, 10)];
        let whole = plan(&["d"], fragments, &[(0, 1), (1, 2), (2, 3)]);
        assert!(Plan::from_json(&whole.to_json()).is_ok());
        let check = |change: fn(&mut Plan), expected: &str| {
            let mut plan = whole.clone();
            change(&mut plan);
            let words = Plan::from_json(&plan.to_json()).unwrap_err().to_string();
            assert!(words.contains(expected), "{words}");
        };
        check(|plan| plan.format = 2, "format 2");
        check(|plan| plan.fragments.clear(), "no fragments");
        check(|plan| plan.purpose = Purpose::Discard, "purpose");
        check(|plan| plan.destinations.clear(), "purpose");
        check(|plan| plan.destinations[0].objects.truncate(2), "each fragment once");
        check(|plan| plan.destinations[0].objects[1].from = 0, "each fragment once");
        check(|plan| plan.destinations[0].objects[2].to = 4, "each fragment once");
        check(|plan| plan.destinations[0].objects = vec![PlannedObject { from: 0, to: 3, rewrite: false }], "mixes");
        check(|plan| *plan = plan.quarantining([unfit(3)]), "does not have");
        assert!(Plan::from_json(b"{}").is_err());
    }

    #[test]
    fn held_fragments_of_a_plan_are_found_by_their_hashes() {
        let plan = plan(&[], vec![staged("a", 1, 10)], &[]);
        let mut held = Held::default();
        held.add(&plan.hashes());
        assert!(held.contains(&plan.fragments[0].name));
        assert!(!held.contains(&staged("a", 2, 10).name));
    }

    #[test]
    fn a_quarantined_fragment_is_left_out_and_the_others_keep_their_objects() {
        let fragments = vec![staged("a", 1, 100), staged("a", 2, 200), staged("a", 3, 300)];
        let plan = plan(&["d"], fragments.clone(), &[(0, 3)]);
        let object = plan.destinations[0].objects[0];
        let revised = plan.quarantining([unfit(1)]);
        assert_eq!(revised.revision, 1);
        assert_eq!(revised.content(&object).map(|(index, _)| index).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(revised.object_bytes(&object), plan.object_bytes(&object) - (fragments[1].bytes - 23));
        assert_eq!(revised.object_size(&object).raw_bytes, 400);
        assert_eq!(revised.size().raw_bytes, 600, "the whole plan still holds it, until it is deleted");
    }

    #[test]
    fn a_destination_is_given_up_once() {
        let plan = plan(&["x", "y"], vec![staged("a", 1, 10)], &[(0, 1)]);
        let revised = plan.abandoning(&[0], "told to").unwrap();
        assert_eq!((revised.revision, revised.destinations[0].abandoned.as_deref()), (1, Some("told to")));
        assert_eq!(revised.destinations[1].abandoned, None);
        assert_eq!(revised.abandoning(&[0], "again"), None);
        assert_eq!(plan.abandoning(&[2], "unknown"), None);
    }
}
