//! The protocol without one of its fences, taken out of the real requests on their way.

use super::promises::Rules;
use super::world::{STATE, World};
use bytes::Bytes;
use http::{HeaderName, Method, Request, Response, Uri};
use standins::explorer::{Fate, Tamper};
use std::sync::Arc;

/// The protections of owners from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fence {
    /// Checkpoints are written by compare-and-swap.
    CompareAndSwap,
    /// A fragment counts in its own epoch alone.
    Epochs,
    /// A fragment is written before the checkpoint that counts it.
    FragmentFirst,
    /// A rejects part that grows has another name.
    NewNameOfPart,
}

impl Fence {
    /// Which objects count without it.
    pub(super) fn rules_without(self) -> Rules {
        let renamed: Option<fn(&str) -> String> = (self == Fence::NewNameOfPart).then_some(name_without_end);
        Rules { are_epochs_ignored: self == Fence::Epochs, renamed }
    }
}

/// The requests of all runs without a fence.
pub(super) struct Without {
    fence: Fence,
    world: Arc<World>,
    /// Fragments that were answered and are not written, by run; true once the checkpoint is.
    owed: Vec<(usize, String, Bytes, bool)>,
}

impl Without {
    pub(super) fn new(fence: Fence, world: &Arc<World>) -> Without {
        Without { fence, world: Arc::clone(world), owed: Vec::new() }
    }

    /// Writes the fragments that a run owes.
    fn write_owed(&mut self, run: usize) {
        let world = &self.world;
        self.owed.retain(|(owner, key, body, is_due)| {
            let is_written = *owner == run && *is_due;
            if is_written {
                world.s3.put(STATE, key, body).unwrap();
            }
            !is_written
        });
    }
}

impl Tamper for Without {
    fn request(&mut self, run: usize, fate: Fate, request: &mut Request<Bytes>) -> Option<Response<Bytes>> {
        if fate != Fate::Crash {
            self.write_owed(run);
        }
        let path = request.uri().path().to_owned();
        let is_put = request.method() == Method::PUT;
        match self.fence {
            Fence::CompareAndSwap if is_put && path.ends_with("/checkpoint.json") => without_conditions(request),
            Fence::FragmentFirst if is_put && path.starts_with("/segment-s3-state/received/") => {
                if fate != Fate::Answered {
                    return None;
                }
                let key = path["/segment-s3-state/".len()..].to_owned();
                self.owed.push((run, key, request.body().clone(), false));
                return Some(Response::builder().header("etag", "\"owed\"").body(Bytes::new()).unwrap());
            }
            Fence::NewNameOfPart if path.contains("/ingest/") && path.contains("/rejects/") => {
                let query = request.uri().query().map_or(String::new(), |query| format!("?{query}"));
                let uri = format!("http://in.process{}{query}", name_without_end(&path));
                *request.uri_mut() = uri.parse::<Uri>().unwrap();
                if is_put {
                    without_conditions(request);
                }
            }
            _ => {}
        }
        None
    }

    fn answer(&mut self, run: usize, request: &Request<Bytes>, answer: &mut Response<Bytes>) {
        if request.method() == Method::PUT && request.uri().path().ends_with("/checkpoint.json") {
            let is_written = answer.status().is_success();
            let of_run = self.owed.iter_mut().filter(|(owner, ..)| *owner == run);
            of_run.for_each(|(.., is_due)| *is_due |= is_written);
        }
    }
}

fn without_conditions(request: &mut Request<Bytes>) {
    for name in ["if-match", "if-none-match"].map(HeaderName::from_static) {
        request.headers_mut().remove(name);
    }
}

/// `…/rejects/{epoch}-{from}-{to}.csv` without the end of its range and its epoch, which change when it grows.
fn name_without_end(key: &str) -> String {
    let (folder, name) = key.rsplit_once('/').unwrap();
    format!("{folder}/{}.csv", name.split('-').nth(1).unwrap())
}
