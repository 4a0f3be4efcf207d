//! The protocol without one of its fences, taken out of the real requests on their way.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use serde_json::{Value, json};
use standins::explorer::{Fate, Tamper};

use crate::world::{STATE, World};

const HEAD: &str = "/segment-s3-state/exports/head.json";

/// A clause of the protocol that can be taken out at the wire; the model's fences have the same names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fence {
    SwapOnFirstRead,
    HeadBeforeListing,
    EveryHeadUnique,
    NameFromPlan,
    EveryDestinationFirst,
    HeadBeforeQuarantine,
    MarkerBeforeQuarantine,
    DeleteBeforeClose,
    ReadBack,
    ClosedRemembered,
    SweepAfterSwap,
}

/// All of them.
pub(super) const FENCES: [Fence; 11] = [
    Fence::SwapOnFirstRead,
    Fence::HeadBeforeListing,
    Fence::EveryHeadUnique,
    Fence::NameFromPlan,
    Fence::EveryDestinationFirst,
    Fence::HeadBeforeQuarantine,
    Fence::MarkerBeforeQuarantine,
    Fence::DeleteBeforeClose,
    Fence::ReadBack,
    Fence::ClosedRemembered,
    Fence::SweepAfterSwap,
];

/// The runs' requests without some fences.
pub(super) struct Without {
    fences: Vec<Fence>,
    world: Rc<World>,
    /// The memory of each run.
    runs: BTreeMap<usize, Memory>,
    attempts: u32,
}

#[derive(Default)]
struct Memory {
    /// The answer to its first reading of the head.
    first_head: Option<(HeaderValue, Bytes)>,
    /// The head as it read it last.
    last_head: Option<Value>,
    /// The listing of staged fragments from before it read the head.
    listing: Option<String>,
    /// A head whose swap was not answered.
    unsure: Option<Bytes>,
    has_missed_a_fragment: bool,
    /// A delete that waits for the plan's close.
    delete: Vec<String>,
    /// It is done with the next request.
    is_closed: bool,
}

impl Without {
    pub(super) fn new(fences: &[Fence], world: &Rc<World>) -> Without {
        let without = Without { fences: fences.to_vec(), world: Rc::clone(world), runs: BTreeMap::new(), attempts: 0 };
        let head = world.head();
        if without.lacks(Fence::EveryHeadUnique) && head["sequence"] != json!(null) {
            let alike = json!({"format": head["format"], "sequence": 0, "nonce": "0".repeat(32), "open": []});
            world.s3.put(STATE, "exports/head.json", alike.to_string()).unwrap();
        }
        without
    }

    fn lacks(&self, fence: Fence) -> bool {
        self.fences.contains(&fence)
    }

    /// S3's current answer to a listing of staged fragments.
    fn listing(&self) -> String {
        let object = |object: standins::s3::Object| {
            format!(
                "<Contents><Key>{}</Key><LastModified>2019-05-11T20:32:27.000Z</LastModified><Size>{}</Size></Contents>",
                object.key, object.size
            )
        };
        let objects: Vec<String> = self.world.s3.objects(STATE, "received/").into_iter().map(object).collect();
        format!(
            "<ListBucketResult><Name>{STATE}</Name><Prefix>received/</Prefix><KeyCount>{}</KeyCount>\
             <MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{}</ListBucketResult>",
            objects.len(),
            objects.concat()
        )
    }

    fn put_head(&mut self, run: usize, fate: Fate, request: &mut Request<Bytes>) {
        let mut head: Value = serde_json::from_slice(request.body()).unwrap();
        if self.lacks(Fence::EveryHeadUnique) {
            (head["sequence"], head["nonce"]) = (json!(0), json!("0".repeat(32)));
        }
        if let (Some(fields), Some(_)) = (head.as_object_mut(), self.fences.iter().find(|fence| forgets(**fence))) {
            fields.remove("closed");
        }
        if self.fences.iter().any(|fence| forgets(*fence)) {
            *request.body_mut() = head.to_string().into();
            let is_digest = |name: &&http::HeaderName| name.as_str().contains("checksum") || *name == "content-md5";
            let digests: Vec<_> = request.headers().keys().filter(is_digest).cloned().collect();
            digests.iter().for_each(|name| drop(request.headers_mut().remove(name)));
        }
        let revises = head["open"].as_array().into_iter().flatten().any(|open| open["revision"] != json!(0));
        if self.lacks(Fence::SwapOnFirstRead) || (self.lacks(Fence::HeadBeforeQuarantine) && revises) {
            let now = self.world.s3.object(STATE, "exports/head.json");
            request.headers_mut().remove("if-match");
            if let Some(now) = now {
                let etag = HeaderValue::from_str(&format!("\"{}\"", now.etag)).unwrap();
                request.headers_mut().remove("if-none-match");
                request.headers_mut().insert("if-match", etag);
            }
        }
        let memory = self.runs.entry(run).or_default();
        memory.unsure = (fate == Fate::Lost).then(|| request.body().clone());
        memory.is_closed = fate == Fate::Answered && !memory.delete.is_empty();
    }

    /// Deletes the documents of plans that a run does not know, before it swaps the head.
    fn sweep(&self, run: usize) {
        let Some(head) = self.runs.get(&run).and_then(|memory| memory.last_head.as_ref()) else { return };
        let plans = |of: &str| head[of].as_array().into_iter().flatten().map(|plan| plan["plan"].as_str().unwrap());
        let known: BTreeSet<&str> = plans("open").chain(plans("closed")).collect();
        for key in self.world.s3.keys(STATE, "exports/plans/") {
            if !known.contains(&key["exports/plans/".len()..][..32]) {
                self.world.s3.delete(STATE, &key).unwrap();
            }
        }
    }
}

impl Tamper for Without {
    fn request(&mut self, run: usize, fate: Fate, request: &mut Request<Bytes>) -> Option<Response<Bytes>> {
        // The undisturbed exporter keeps to the protocol.
        if run > 1 {
            return None;
        }
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let is_list_of = |prefix: &str| query.ends_with(&format!("prefix={}", prefix.replace('/', "%2F")));
        let (listing, method) = (self.listing(), request.method().clone());
        let memory = self.runs.entry(run).or_default();
        if std::mem::take(&mut memory.is_closed) && fate != Fate::Crash {
            for key in std::mem::take(&mut memory.delete) {
                self.world.s3.delete(STATE, &key).unwrap();
            }
        }
        match (&method, path.as_str()) {
            (&Method::PUT, HEAD) => self.put_head(run, fate, request),
            (&Method::GET, HEAD) => {
                if let Some(body) = memory.unsure.take().filter(|_| self.lacks(Fence::ReadBack)) {
                    return Some(answer(200, Some("\"not-read-back\""), body));
                }
                let memory = self.runs.entry(run).or_default();
                let has_missed = std::mem::take(&mut memory.has_missed_a_fragment);
                let stale = memory.first_head.clone().filter(|_| has_missed);
                if let Some((etag, body)) = stale.filter(|_| self.lacks(Fence::HeadBeforeQuarantine)) {
                    return Some(answer(200, etag.to_str().ok(), body));
                }
            }
            (&Method::GET, _) if is_list_of("exports/done/") => {
                memory.listing.get_or_insert(listing);
            }
            (&Method::GET, _) if is_list_of("received/") && self.lacks(Fence::HeadBeforeListing) => {
                let listing = self.runs.get_mut(&run).and_then(|memory| memory.listing.take());
                return Some(answer(200, None, listing?.into()));
            }
            (&Method::GET, _) if is_list_of("exports/plans/") && self.lacks(Fence::SweepAfterSwap) => self.sweep(run),
            (&Method::GET, marker) if is_marker(marker) && self.lacks(Fence::MarkerBeforeQuarantine) => {
                let body = "<Error><Code>NoSuchKey</Code><Message>The key does not exist.</Message></Error>";
                return Some(answer(404, None, body.into()));
            }
            (&Method::PUT, marker) if is_marker(marker) && self.lacks(Fence::EveryDestinationFirst) => {
                let other = marker["/segment-s3-state/".len()..].replace("/0/0", "/1/0");
                self.world.s3.put(STATE, &other, "").unwrap();
            }
            (&Method::PUT, object) if object.contains("/segment-logs/") && self.lacks(Fence::NameFromPlan) => {
                self.attempts += 1;
                let renamed = object.replace(".gz", &format!("-{}.gz", self.attempts));
                *request.uri_mut() = format!("http://in.process{renamed}?{query}").parse().unwrap();
            }
            (&Method::POST, _) if query.contains("delete") && self.lacks(Fence::DeleteBeforeClose) => {
                let text = String::from_utf8_lossy(request.body()).into_owned();
                let keys = text.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
                let keys: Vec<String> = keys.filter(|key| key.starts_with("received/")).map(str::to_owned).collect();
                if keys.is_empty() {
                    return None;
                }
                let deleted: String = keys.iter().map(|key| format!("<Deleted><Key>{key}</Key></Deleted>")).collect();
                self.runs.entry(run).or_default().delete = keys;
                return Some(answer(200, None, format!("<DeleteResult>{deleted}</DeleteResult>").into()));
            }
            _ => {}
        }
        None
    }

    fn answer(&mut self, run: usize, request: &Request<Bytes>, answer: &mut Response<Bytes>) {
        let memory = self.runs.entry(run).or_default();
        let path = request.uri().path();
        if request.method() == Method::GET && path == HEAD && answer.status() == 200 {
            memory.last_head = serde_json::from_slice(answer.body()).ok();
            let etag = answer.headers().get("etag").cloned();
            let etag = etag.unwrap_or_else(|| HeaderValue::from_static(""));
            memory.first_head.get_or_insert_with(|| (etag, answer.body().clone()));
        }
        if request.method() == Method::GET && path == HEAD && answer.status() == 404 {
            memory.last_head = Some(json!({}));
        }
        memory.has_missed_a_fragment |= path.starts_with("/segment-s3-state/received/") && answer.status() == 404;
    }
}

fn is_marker(path: &str) -> bool {
    path.starts_with("/segment-s3-state/exports/done/")
}

/// True if heads do not name closed plans.
fn forgets(fence: Fence) -> bool {
    matches!(fence, Fence::ClosedRemembered | Fence::EveryHeadUnique)
}

fn answer(status: u16, etag: Option<&str>, body: Bytes) -> Response<Bytes> {
    let mut response = Response::builder().status(status).header("content-length", body.len());
    if let Some(etag) = etag {
        response = response.header("etag", etag);
    }
    response.body(body).unwrap()
}
