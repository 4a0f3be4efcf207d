//! Cuts staged fragments into plans.

use std::collections::BTreeMap;

use protocol::format;
use protocol::fragment::Staged;
use protocol::id::Nonce;
use protocol::plan::{Plan, PlannedDestination, PlannedObject, Purpose, Size};

use crate::routes::{Destination, Routes};

/// Fragments of one plan at most.
pub const FRAGMENTS_MAX: usize = 10_000;

/// Raw bytes of one plan at most (one object may exceed it, alone).
pub const RAW_BYTES_MAX: u64 = 1_000_000_000;

/// Below this many raw bytes on average, an object's fragments are compressed again. Small fragments compress badly,
/// because each begins with an empty window.
///
/// Ratios measured by `examples/stitch.rs make` on lines of 600 bytes: 6.9 for 500,000 bytes, 5.7 for 16,000, 3.9 for
/// 4,000, 1.5 for one line.
pub const REWRITE_BELOW_BYTES: u64 = 16 * 1024;

/// Which of the waiting fragments are planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Everything.
    All,
    /// Only fragments that fill objects.
    Full,
}

/// How large a plan may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fragments.
    pub fragments_max: usize,
    /// Bytes of lines.
    pub raw_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { fragments_max: FRAGMENTS_MAX, raw_bytes_max: RAW_BYTES_MAX }
    }
}

/// A plan that has no nonce yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// The purpose of the plan.
    pub purpose: Purpose,
    /// See [`Plan::unaccounted`].
    pub unaccounted: bool,
    /// Where it goes.
    pub destinations: Vec<PlannedDestination>,
    /// Its fragments.
    pub fragments: Vec<Staged>,
}

impl Draft {
    /// Plans that give these fragments up, within the limits.
    pub fn giving_up(purpose: Purpose, fragments: &[Staged], limits: &Limits) -> Vec<Draft> {
        let pieces = fragments.chunks(limits.fragments_max.max(1));
        pieces.map(|piece| Draft { purpose, fragments: piece.to_vec(), ..Draft::default() }).collect()
    }

    /// Plans that discard these fragments of files whose checkpoint and ledger are gone.
    pub fn discarding_unaccounted(fragments: &[Staged], limits: &Limits) -> Vec<Draft> {
        let drafts = Draft::giving_up(Purpose::Discard, fragments, limits).into_iter();
        drafts.map(|draft| Draft { unaccounted: true, ..draft }).collect()
    }

    /// Gives it up for the destinations of a name before anything is put there.
    pub fn abandon(&mut self, name: &str, why: &str) {
        for destination in self.destinations.iter_mut().filter(|destination| destination.name == name) {
            destination.abandoned = Some(why.to_owned());
        }
    }

    /// The size of its contents.
    pub fn size(&self) -> Size {
        Size::of(self.fragments.iter().map(|staged| &staged.name))
    }

    /// Makes it a plan.
    pub fn sign(self, nonce: Nonce, created_ms: i64, version: &str) -> Plan {
        Plan {
            format: format::PLAN.newest,
            nonce,
            revision: 0,
            created_ms,
            version: version.to_owned(),
            purpose: self.purpose,
            unaccounted: self.unaccounted,
            destinations: self.destinations,
            fragments: self.fragments,
            quarantined: Vec::new(),
        }
    }
}

/// Cuts fragments into plans: each for one set of destinations, so that a failed destination delays only its own
/// events.
///
/// A *slice* is never divided between plans. It has fragments of one source and day, enough for the largest object of
/// its destinations. With [`Flush::Full`] a slice that is not full is left for later. Fragments of sources that no
/// destination takes are left out. The sets of destinations take turns, so that the first plans are not all for one of
/// them.
pub fn cut<'a>(
    staged: impl IntoIterator<Item = &'a Staged>,
    routes: &Routes,
    flush: Flush,
    limits: &Limits,
) -> Vec<Draft> {
    let mut staged: Vec<&Staged> = staged.into_iter().collect();
    staged.sort();
    let mut by_destinations: BTreeMap<Vec<usize>, Vec<Filling>> = BTreeMap::new();
    for group in staged.chunk_by(|a, b| (&a.name.source, a.name.day) == (&b.name.source, b.name.day)) {
        let Some(first) = group.first() else { continue };
        let indexes = routes.taking(&first.name.source);
        let takers: Vec<&Destination> = indexes.iter().filter_map(|index| routes.destinations.get(*index)).collect();
        let Some(slice_bytes_max) = takers.iter().map(|taker| taker.batch_bytes_max).max() else { continue };
        let mut slices = split(group, slice_bytes_max, limits.fragments_max);
        if flush == Flush::Full && slices.last().is_some_and(|last| !is_full(last, slice_bytes_max, limits)) {
            slices.pop();
        }
        let drafts = by_destinations.entry(indexes).or_default();
        for slice in slices {
            let raw_bytes = raw_bytes_of(slice);
            let fits = |filling: &Filling| {
                filling.draft.fragments.len() + slice.len() <= limits.fragments_max
                    && filling.raw_bytes + raw_bytes <= limits.raw_bytes_max
            };
            if !drafts.last().is_some_and(fits) {
                drafts.push(Filling::default());
            }
            if let Some(filling) = drafts.last_mut() {
                filling.raw_bytes += raw_bytes;
                add(&mut filling.draft, slice, &takers, limits.fragments_max);
            }
        }
    }
    let drafts = |fillings: Vec<Filling>| fillings.into_iter().map(|filling| filling.draft);
    let mut turns: Vec<(usize, Draft)> =
        by_destinations.into_values().flat_map(|fillings| drafts(fillings).enumerate()).collect();
    turns.sort_by_key(|(turn, _)| *turn);
    turns.into_iter().map(|(_, draft)| draft).collect()
}

/// A draft that may take more.
#[derive(Default)]
struct Filling {
    draft: Draft,
    raw_bytes: u64,
}

/// Adds a slice, cut to each destination's own measure.
fn add(draft: &mut Draft, slice: &[&Staged], takers: &[&Destination], fragments_max: usize) {
    if draft.destinations.is_empty() {
        draft.destinations = takers.iter().map(|taker| planned(taker)).collect();
    }
    for (destination, taker) in draft.destinations.iter_mut().zip(takers) {
        let mut from = draft.fragments.len();
        for piece in split(slice, taker.batch_bytes_max, fragments_max) {
            let to = from + piece.len();
            destination.objects.push(PlannedObject { from, to, rewrite: is_small(piece) });
            from = to;
        }
    }
    draft.fragments.extend(slice.iter().map(|staged| (*staged).clone()));
}

fn planned(destination: &Destination) -> PlannedDestination {
    PlannedDestination {
        name: destination.name.clone(),
        bucket: destination.bucket.clone(),
        prefix: destination.prefix.clone(),
        expected_bucket_owner: destination.expected_bucket_owner.clone(),
        layout: destination.layout,
        abandoned: None,
        objects: Vec::new(),
    }
}

/// Splits fragments into runs with limits on the bytes of lines and on the number of fragments. A fragment above the
/// limit is its own run.
fn split<'a, 'b>(staged: &'b [&'a Staged], raw_bytes_max: u64, fragments_max: usize) -> Vec<&'b [&'a Staged]> {
    let mut runs = Vec::new();
    let (mut from, mut raw_bytes) = (0, 0u64);
    for (at, next) in staged.iter().enumerate() {
        let full = at - from >= fragments_max || raw_bytes.saturating_add(next.name.raw_bytes) > raw_bytes_max;
        if full && at > from {
            runs.extend(staged.get(from..at));
            (from, raw_bytes) = (at, 0);
        }
        raw_bytes = raw_bytes.saturating_add(next.name.raw_bytes);
    }
    runs.extend(staged.get(from..).filter(|rest| !rest.is_empty()));
    runs
}

fn is_full(run: &[&Staged], raw_bytes_max: u64, limits: &Limits) -> bool {
    raw_bytes_of(run) >= raw_bytes_max || run.len() >= limits.fragments_max
}

fn is_small(run: &[&Staged]) -> bool {
    run.len() > 1 && raw_bytes_of(run) < run.len() as u64 * REWRITE_BELOW_BYTES
}

fn raw_bytes_of(run: &[&Staged]) -> u64 {
    run.iter().fold(0, |sum, staged| sum.saturating_add(staged.name.raw_bytes))
}

#[cfg(test)]
mod tests;
