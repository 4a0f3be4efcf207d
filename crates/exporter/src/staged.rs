//! The waiting fragments in the state bucket: listed, sorted, and cut into plans.

use std::collections::{BTreeMap, BTreeSet};

use aws::{Fault, Listed as Object};
use export::cut::{Draft, Flush, Limits, cut};
use export::routes::Routes;
use futures_util::{StreamExt, TryStreamExt, stream};
use protocol::committed::Committed;
use protocol::format::Unreadable;
use protocol::fragment::{FragmentName, Origin, Staged};
use protocol::id::{Day, SourceId, StreamId};
use protocol::keys;
use protocol::plan::{Held, Purpose, Size};
use tokio::time::Instant;

use crate::state::State;

const DAY_MS: i64 = 86_400_000;

/// The fragments that were found, and the plans for them.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The plans to make: exports first, then expired and discarded fragments.
    pub(crate) drafts: Vec<Draft>,
    /// Events that wait for more, since their objects are not full.
    pub(crate) not_full: Size,
    /// Events in no committed range of their file: the file is being read, or it is garbage.
    pub(crate) uncommitted: Size,
    /// Events of sources that no destination takes.
    pub(crate) unrouted: BTreeMap<SourceId, Size>,
    /// Events that wait until a plan closes, by the destination for which no more may be planned.
    pub(crate) capped: BTreeMap<usize, Size>,
    /// Fragments that seem to have been exported and deleted already.
    pub(crate) late_fragments: BTreeSet<FragmentName>,
    /// Objects among the fragments that are not fragments.
    pub(crate) strangers: u64,
    /// When the oldest event that is not exported was put here, as far as it is known to count. Open plans hold some of
    /// these events.
    pub(crate) oldest_ms: Option<i64>,
    /// Files whose account could not be read; their fragments wait.
    pub(crate) unreadable: Vec<String>,
    /// True if there is more than was considered. The next tick begins there.
    pub(crate) more: bool,
}

impl Found {
    fn note_unexported(&mut self, put_ms: i64) {
        self.oldest_ms = Some(self.oldest_ms.map_or(put_ms, |oldest_ms| oldest_ms.min(put_ms)));
    }
}

/// The rules of planning.
pub(crate) struct Rules<'a> {
    pub(crate) routes: &'a Routes,
    /// The fragments of open plans.
    pub(crate) held: &'a Held,
    /// The fragments of recently closed plans.
    pub(crate) settled: &'a Held,
    /// The destinations, by their place in the routes, for which no more may be planned.
    pub(crate) full: &'a BTreeSet<usize>,
    pub(crate) flush: Flush,
    pub(crate) limits: &'a Limits,
    pub(crate) considered_max: usize,
    pub(crate) now_ms: i64,
    pub(crate) expire_days: u32,
    /// The time at which listing stops.
    pub(crate) until: Instant,
}

impl Rules<'_> {
    /// Judged by the received day, which is in the key: whatever touches the object later changes nothing.
    fn is_expired(&self, name: &FragmentName) -> bool {
        let expires_ms = name.day.ms().saturating_add((i64::from(self.expire_days) + 1) * DAY_MS);
        expires_ms <= self.now_ms
    }
}

/// A fragment, and when it was put.
#[derive(Clone)]
struct Waiting {
    staged: Staged,
    put_ms: i64,
}

/// The fragments that no open plan holds, by what happens to them.
#[derive(Default)]
struct Listed {
    routed: Vec<Waiting>,
    /// Too old to wait any longer for a destination for which no more may be planned.
    overdue: Vec<Waiting>,
    /// No destination takes them, and they are too old to wait.
    expired: Vec<Waiting>,
}

impl Listed {
    fn len(&self) -> usize {
        self.routed.len() + self.overdue.len() + self.expired.len()
    }

    fn add(&mut self, object: Object, rules: &Rules<'_>, found: &mut Found) {
        let Ok(name) = object.key.parse::<FragmentName>() else {
            found.strangers += 1;
            return;
        };
        if rules.held.contains(&name) {
            found.note_unexported(object.modified_ms);
            return;
        }
        if rules.settled.contains(&name) {
            found.late_fragments.insert(name);
            return;
        }
        let takers = rules.routes.taking(&name.source);
        let full: Vec<usize> = takers.iter().copied().filter(|taker| rules.full.contains(taker)).collect();
        let is_expired = rules.is_expired(&name);
        let waiting = Waiting { staged: Staged { name, bytes: object.bytes }, put_ms: object.modified_ms };
        let name = &waiting.staged.name;
        match (takers.is_empty(), full.is_empty(), is_expired) {
            (false, true, _) => self.routed.push(waiting),
            (false, false, true) => self.overdue.push(waiting),
            (true, _, true) => self.expired.push(waiting),
            (false, false, false) => {
                found.note_unexported(waiting.put_ms);
                full.iter().for_each(|taker| found.capped.entry(*taker).or_default().add(name));
            }
            (true, _, false) => {
                found.note_unexported(waiting.put_ms);
                found.unrouted.entry(name.source.clone()).or_default().add(name);
            }
        }
    }
}

/// Lists the waiting fragments and cuts them into plans.
pub(crate) async fn find(state: &State, rules: &Rules<'_>) -> Result<Found, Fault> {
    let mut found = Found::default();
    let listed = list(state, rules, &mut found).await?;

    // A tick for full objects need not ask after files that could not fill one, were all of them to count.
    let promising: BTreeSet<(SourceId, Day)> = cut(staged_of(&listed.routed), rules.routes, rules.flush, rules.limits)
        .iter()
        .flat_map(|draft| &draft.fragments)
        .map(|staged| (staged.name.source.clone(), staged.name.day))
        .collect();
    let is_promising = |Staged { name, .. }: &Staged| promising.contains(&(name.source.clone(), name.day));
    let (asked, unasked): (Vec<Waiting>, Vec<Waiting>) =
        listed.routed.into_iter().partition(|waiting| is_promising(&waiting.staged));
    let all = asked.iter().chain(&listed.overdue).chain(&listed.expired);
    let accounts = Accounts::read(state, all.filter_map(|waiting| stream_of(&waiting.staged.name))).await?;

    let (counted, rest) = accounts.part(asked);
    let (overdue, overdue_rest) = accounts.part(listed.overdue);
    let (expired, expired_rest) = accounts.part(listed.expired);
    counted.iter().chain(&overdue).for_each(|waiting| found.note_unexported(waiting.put_ms));
    let (garbage, waiting): (Vec<Waiting>, Vec<Waiting>) = [rest, overdue_rest, expired_rest]
        .concat()
        .into_iter()
        .partition(|Waiting { staged, .. }| rules.is_expired(&staged.name) && accounts.are_known(&staged.name));
    let (unaccounted, garbage): (Vec<Waiting>, Vec<Waiting>) =
        garbage.into_iter().partition(|waiting| accounts.are_gone(&waiting.staged.name));
    found.uncommitted = size_of(&waiting);

    found.drafts = cut(staged_of(&counted), rules.routes, rules.flush, rules.limits);
    let planned = found.drafts.iter().flat_map(|draft| &draft.fragments).map(|staged| &staged.name);
    found.not_full = less(size_of(&counted), Size::of(planned));
    found.not_full.extend(&size_of(&unasked));
    let owned = |waiting: &[Waiting]| staged_of(waiting).cloned().collect::<Vec<Staged>>();
    found.drafts.extend(without_full(cut(staged_of(&overdue), rules.routes, Flush::All, rules.limits), rules));
    found.drafts.extend(Draft::giving_up(Purpose::Expire, &owned(&expired), rules.limits));
    found.drafts.extend(Draft::giving_up(Purpose::Discard, &owned(&garbage), rules.limits));
    found.drafts.extend(Draft::discarding_unaccounted(&owned(&unaccounted), rules.limits));
    found.unreadable = accounts.unreadable.into_values().collect();
    Ok(found)
}

/// Gives drafts up for the destinations for which no more may be planned, so that the others get them.
fn without_full(mut drafts: Vec<Draft>, rules: &Rules<'_>) -> Vec<Draft> {
    let why = format!("not accepted within {} days", rules.expire_days);
    let full = rules.full.iter().filter_map(|index| rules.routes.destinations.get(*index));
    for destination in full {
        drafts.iter_mut().for_each(|draft| draft.abandon(&destination.name, &why));
    }
    drafts
}

/// Lists all staged fragments once, from the key at which the last tick stopped.
async fn list(state: &State, rules: &Rules<'_>, found: &mut Found) -> Result<Listed, Fault> {
    let mut listed = Listed::default();
    let begin = state.cursor().await?;
    let mut after = begin.clone();
    let mut is_second_half = begin.is_none();
    loop {
        let (page, next) = state.bucket.list_page(keys::RECEIVED, after.as_deref()).await?;
        for object in page {
            let is_seen = is_second_half && begin.as_ref().is_some_and(|begin| object.key > *begin);
            if !is_seen {
                listed.add(object, rules, found);
            }
        }
        let is_round = match (&begin, &next) {
            (_, None) => true,
            (Some(begin), Some(next)) => next >= begin,
            (None, Some(_)) => false,
        };
        if is_second_half && is_round {
            break;
        }
        found.more = listed.len() >= rules.considered_max || Instant::now() >= rules.until;
        if found.more {
            state.set_cursor(next.as_deref()).await?;
            return Ok(listed);
        }
        is_second_half |= next.is_none();
        after = next;
    }
    if begin.is_some() {
        state.set_cursor(None).await?;
    }
    Ok(listed)
}

/// The committed ranges of the files of these fragments.
#[derive(Default)]
struct Accounts {
    committed: Committed,
    unreadable: BTreeMap<StreamId, String>,
    /// Files without a checkpoint and without a ledger.
    gone: BTreeSet<StreamId>,
}

impl Accounts {
    /// Reads the checkpoint of each file, or its ledger if the checkpoint is gone.
    ///
    /// It runs after the listing, so that a commit in between only makes a fragment wait.
    async fn read(state: &State, streams: impl Iterator<Item = StreamId>) -> Result<Accounts, Fault> {
        let streams: BTreeSet<StreamId> = streams.collect();
        let read = async |stream: StreamId| {
            type Add = fn(&mut Committed, StreamId, &[u8]) -> Result<(), Unreadable>;
            let checkpoint = (keys::checkpoint(stream), Committed::add_checkpoint as Add);
            let ledger = (keys::ledger(stream), Committed::add_ledger as Add);
            for (key, add) in [checkpoint, ledger] {
                if let Some(object) = state.bucket.get(&key).await? {
                    return Ok((stream, Some((key, add, object.body))));
                }
            }
            Ok((stream, None))
        };
        let mut accounts = Accounts::default();
        let mut reading = std::pin::pin!(stream::iter(streams).map(read).buffer_unordered(state.at_a_time.accounts));
        while let Some((stream, account)) = reading.try_next().await? {
            let Some((key, add, body)) = account else {
                accounts.gone.insert(stream);
                continue;
            };
            if let Err(error) = add(&mut accounts.committed, stream, &body) {
                accounts.unreadable.insert(stream, format!("{key} cannot be read: {error}"));
            }
        }
        Ok(accounts)
    }

    /// Those that count, and the rest.
    fn part(&self, waiting: Vec<Waiting>) -> (Vec<Waiting>, Vec<Waiting>) {
        waiting.into_iter().partition(|waiting| self.committed.count(&waiting.staged.name))
    }

    /// True if the file has neither checkpoint nor ledger.
    fn are_gone(&self, name: &FragmentName) -> bool {
        stream_of(name).is_some_and(|stream| self.gone.contains(&stream))
    }

    /// False if the file's account is there and cannot be read: then nothing of it is garbage.
    fn are_known(&self, name: &FragmentName) -> bool {
        stream_of(name).is_none_or(|stream| !self.unreadable.contains_key(&stream))
    }
}

fn staged_of(waiting: &[Waiting]) -> impl Iterator<Item = &Staged> {
    waiting.iter().map(|waiting| &waiting.staged)
}

fn stream_of(name: &FragmentName) -> Option<StreamId> {
    match name.origin {
        Origin::File { stream, .. } => Some(stream),
        Origin::Request { .. } => None,
    }
}

fn size_of(waiting: &[Waiting]) -> Size {
    Size::of(staged_of(waiting).map(|staged| &staged.name))
}

fn less(a: Size, b: Size) -> Size {
    Size {
        fragments: a.fragments.saturating_sub(b.fragments),
        events: a.events.saturating_sub(b.events),
        raw_bytes: a.raw_bytes.saturating_sub(b.raw_bytes),
    }
}
