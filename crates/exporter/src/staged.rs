//! What waits in the state bucket: listed, sorted by whether it can be planned, cut into plans.

use std::collections::{BTreeMap, BTreeSet};

use aws::{Bucket, Fault};
use futures_util::{StreamExt, TryStreamExt, stream};
use logs::fragment::{FragmentName, Origin, StreamId};
use logs::plan::{Draft, Flush, Held, Limits, Purpose, Size, cut};
use logs::received::{Day, SourceId};
use logs::routes::Routes;
use logs::staging::{Staged, Streams};

/// Fragments that one tick considers at most; more wait for the next.
pub(crate) const CONSIDERED_MAX: usize = 200_000;

/// Accounts read at a time.
const ACCOUNTS_AHEAD: usize = 32;

const DAY_MS: i64 = 86_400_000;

/// What was found, and what can be made of it.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The plans to be made: exports first, then what is given up.
    pub(crate) drafts: Vec<Draft>,
    /// Events that wait for more, since their objects are not full.
    pub(crate) not_full: Size,
    /// Events in no committed range of their file: the file is being read, or it is garbage.
    pub(crate) uncommitted: Size,
    /// Events of sources that no destination takes.
    pub(crate) unrouted: BTreeMap<SourceId, Size>,
    /// Objects among the fragments that are none.
    pub(crate) strangers: u64,
    /// Files whose account could not be read; their fragments wait.
    pub(crate) unreadable: Vec<String>,
    /// True if there is more than was considered.
    pub(crate) more: bool,
}

/// What decides.
pub(crate) struct Rules<'a> {
    pub(crate) routes: &'a Routes,
    pub(crate) held: &'a Held,
    pub(crate) flush: Flush,
    pub(crate) limits: &'a Limits,
    pub(crate) now_ms: i64,
    pub(crate) expire_days: u32,
}

impl Rules<'_> {
    /// Judged by the received day, which is in the key: whatever touches the object later changes nothing.
    fn is_expired(&self, name: &FragmentName) -> bool {
        let expires_ms = name.day.ms().saturating_add((i64::from(self.expire_days) + 1) * DAY_MS);
        expires_ms <= self.now_ms
    }
}

/// Fragments that no open plan holds, by what becomes of them.
#[derive(Default)]
struct Listed {
    routed: Vec<Staged>,
    expired: Vec<Staged>,
}

/// Lists what waits and cuts it into plans.
pub(crate) async fn find(bucket: &Bucket, rules: &Rules<'_>) -> Result<Found, Fault> {
    let mut found = Found::default();
    let listed = list(bucket, rules, &mut found).await?;

    // A tick for full objects need not ask after files that could not fill one, were all of them to count.
    let promising: BTreeSet<(SourceId, Day)> = cut(&listed.routed, rules.routes, rules.flush, rules.limits)
        .iter()
        .flat_map(|draft| &draft.fragments)
        .map(|staged| (staged.name.source.clone(), staged.name.day))
        .collect();
    let (asked, unasked): (Vec<Staged>, Vec<Staged>) = listed
        .routed
        .into_iter()
        .partition(|staged| promising.contains(&(staged.name.source.clone(), staged.name.day)));
    let listed_expired = listed.expired;
    let streams = asked.iter().chain(&listed_expired).filter_map(|staged| stream_of(&staged.name));
    let accounts = Accounts::read(bucket, streams).await?;

    let (counted, rest): (Vec<Staged>, Vec<Staged>) =
        asked.into_iter().partition(|staged| accounts.streams.count(&staged.name));
    let (mut garbage, waiting): (Vec<Staged>, Vec<Staged>) =
        rest.into_iter().partition(|staged| rules.is_expired(&staged.name) && accounts.are_known(&staged.name));
    let (expired, never_counted): (Vec<Staged>, Vec<Staged>) =
        listed_expired.into_iter().partition(|staged| accounts.streams.count(&staged.name));
    garbage.extend(never_counted.into_iter().filter(|staged| accounts.are_known(&staged.name)));
    found.uncommitted = size_of(&waiting);

    found.drafts = cut(&counted, rules.routes, rules.flush, rules.limits);
    let planned = found.drafts.iter().flat_map(|draft| &draft.fragments).map(|staged| &staged.name);
    found.not_full = less(size_of(&counted), Size::of(planned));
    found.not_full.extend(&size_of(&unasked));
    found.drafts.extend(Draft::giving_up(Purpose::Expire, &expired, rules.limits));
    found.drafts.extend(Draft::giving_up(Purpose::Discard, &garbage, rules.limits));
    found.unreadable = accounts.unreadable.into_values().collect();
    Ok(found)
}

async fn list(bucket: &Bucket, rules: &Rules<'_>, found: &mut Found) -> Result<Listed, Fault> {
    let mut listed = Listed::default();
    let mut after: Option<String> = None;
    loop {
        let (page, next) = bucket.list_page(FragmentName::PREFIX, after.as_deref()).await?;
        for object in page {
            let Ok(name) = object.key.parse::<FragmentName>() else {
                found.strangers += 1;
                continue;
            };
            if rules.held.contains(&name) {
                continue;
            }
            let staged = Staged { name, bytes: object.bytes };
            if !rules.routes.taking(&staged.name.source).is_empty() {
                listed.routed.push(staged);
            } else if rules.is_expired(&staged.name) {
                listed.expired.push(staged);
            } else {
                found.unrouted.entry(staged.name.source.clone()).or_default().add(&staged.name);
            }
        }
        found.more = next.is_some() && listed.routed.len() + listed.expired.len() >= CONSIDERED_MAX;
        if next.is_none() || found.more {
            return Ok(listed);
        }
        after = next;
    }
}

/// What the files that fragments came from have committed.
#[derive(Default)]
struct Accounts {
    streams: Streams,
    unreadable: BTreeMap<StreamId, String>,
}

impl Accounts {
    /// Reads each file's checkpoint, or its ledger where there is no checkpoint any more.
    ///
    /// After the listing, so that what was committed since then is only waited for.
    async fn read(bucket: &Bucket, streams: impl Iterator<Item = StreamId>) -> Result<Accounts, Fault> {
        let streams: BTreeSet<StreamId> = streams.collect();
        let read = async |stream: StreamId| {
            for key in [Streams::checkpoint_key(stream), Streams::ledger_key(stream)] {
                if let Some(object) = bucket.get(&key).await? {
                    return Ok((stream, Some((key, object.body))));
                }
            }
            Ok((stream, None))
        };
        let mut accounts = Accounts::default();
        let mut reading = std::pin::pin!(stream::iter(streams).map(read).buffer_unordered(ACCOUNTS_AHEAD));
        while let Some((stream, account)) = reading.try_next().await? {
            let Some((key, body)) = account else { continue };
            if let Err(error) = accounts.streams.add(stream, &body) {
                accounts.unreadable.insert(stream, format!("{key}: {error}"));
            }
        }
        Ok(accounts)
    }

    /// False if the file's account is there and cannot be read: then nothing of it is garbage.
    fn are_known(&self, name: &FragmentName) -> bool {
        stream_of(name).is_none_or(|stream| !self.unreadable.contains_key(&stream))
    }
}

fn stream_of(name: &FragmentName) -> Option<StreamId> {
    match name.origin {
        Origin::File { stream, .. } => Some(stream),
        Origin::Request { .. } => None,
    }
}

fn size_of(staged: &[Staged]) -> Size {
    Size::of(staged.iter().map(|staged| &staged.name))
}

fn less(a: Size, b: Size) -> Size {
    Size {
        fragments: a.fragments.saturating_sub(b.fragments),
        events: a.events.saturating_sub(b.events),
        raw_bytes: a.raw_bytes.saturating_sub(b.raw_bytes),
    }
}
