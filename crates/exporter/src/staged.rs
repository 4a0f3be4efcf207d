//! What waits in the state bucket: listed, sorted by whether it can be planned.

use std::collections::{BTreeMap, BTreeSet};

use aws::{Bucket, Fault};
use futures_util::{StreamExt, TryStreamExt, stream};
use logs::fragment::{FragmentName, Origin, StreamId};
use logs::plan::{Draft, Flush, Held, Limits, Size, cut};
use logs::received::SourceId;
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
    /// The plans to be made.
    pub(crate) drafts: Vec<Draft>,
    /// Events that wait for more, since their objects are not full.
    pub(crate) not_full: Size,
    /// Events in no committed range of their file: the file is being read, or it is garbage.
    pub(crate) uncommitted: Size,
    /// Events of sources that no destination takes.
    pub(crate) unrouted: BTreeMap<SourceId, Size>,
    /// Events that are given up: unrouted for too long.
    pub(crate) expired: Size,
    /// Fragments that never counted and never will.
    pub(crate) garbage: Size,
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

/// Lists what waits and cuts it into plans.
pub(crate) async fn find(bucket: &Bucket, rules: &Rules<'_>) -> Result<Found, Fault> {
    let mut found = Found::default();
    let mut expired = Vec::new();
    let candidates = candidates(bucket, rules, &mut found, &mut expired).await?;

    // A tick for full objects only need not ask after files that could not fill one.
    let promising = cut(&candidates, rules.routes, rules.flush, rules.limits);
    let streams: BTreeSet<StreamId> =
        promising.iter().flat_map(|draft| &draft.fragments).filter_map(|staged| stream_of(&staged.name)).collect();
    let accounts = accounts(bucket, streams, &mut found.unreadable).await?;
    let mut counted: Vec<Staged> = Vec::new();
    for staged in promising.into_iter().flat_map(|draft| draft.fragments) {
        if accounts.count(&staged.name) {
            counted.push(staged);
        } else if rules.is_expired(&staged.name) {
            found.garbage.add(&staged.name);
            expired.push(staged);
        } else {
            found.uncommitted.add(&staged.name);
        }
    }
    found.drafts = cut(&counted, rules.routes, rules.flush, rules.limits);
    let planned = found.drafts.iter().map(|draft| draft.fragments.len()).sum::<usize>();
    let considered = Size::of(candidates.iter().map(|staged| &staged.name));
    let gone_on = Size::of(found.drafts.iter().flat_map(|draft| &draft.fragments).map(|staged| &staged.name));
    found.not_full = Size {
        fragments: considered.fragments - planned as u64 - found.uncommitted.fragments - found.garbage.fragments,
        events: considered.events - gone_on.events - found.uncommitted.events - found.garbage.events,
        raw_bytes: considered.raw_bytes - gone_on.raw_bytes - found.uncommitted.raw_bytes - found.garbage.raw_bytes,
    };
    expired.truncate(rules.limits.fragments_max);
    if !expired.is_empty() {
        found.drafts.push(Draft::expiring(expired));
    }
    Ok(found)
}

/// The fragments that a destination takes and no open plan holds.
async fn candidates(
    bucket: &Bucket,
    rules: &Rules<'_>,
    found: &mut Found,
    expired: &mut Vec<Staged>,
) -> Result<Vec<Staged>, Fault> {
    let mut candidates = Vec::new();
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
                candidates.push(staged);
            } else if rules.is_expired(&staged.name) {
                found.expired.add(&staged.name);
                expired.push(staged);
            } else {
                found.unrouted.entry(staged.name.source.clone()).or_default().add(&staged.name);
            }
        }
        match next {
            Some(_) if candidates.len() >= CONSIDERED_MAX => {
                found.more = true;
                return Ok(candidates);
            }
            Some(last) => after = Some(last),
            None => return Ok(candidates),
        }
    }
}

fn stream_of(name: &FragmentName) -> Option<StreamId> {
    match name.origin {
        Origin::File { stream, .. } => Some(stream),
        Origin::Request { .. } => None,
    }
}

/// Reads what each file has committed: in its checkpoint, or in its ledger when there is no checkpoint any more.
///
/// After the listing, so that a fragment written since then is only waited for.
async fn accounts(
    bucket: &Bucket,
    streams: BTreeSet<StreamId>,
    unreadable: &mut Vec<String>,
) -> Result<Streams, Fault> {
    let read = async |stream: StreamId| {
        for key in [Streams::checkpoint_key(stream), Streams::ledger_key(stream)] {
            if let Some(object) = bucket.get(&key).await? {
                return Ok((stream, Some((key, object.body))));
            }
        }
        Ok((stream, None))
    };
    let mut accounts = Streams::default();
    let mut reading = std::pin::pin!(stream::iter(streams).map(read).buffer_unordered(ACCOUNTS_AHEAD));
    while let Some((stream, account)) = reading.try_next().await? {
        let Some((key, body)) = account else { continue };
        if let Err(error) = accounts.add(stream, &body) {
            unreadable.push(format!("{key}: {error}"));
        }
    }
    Ok(accounts)
}
