//! Finding out whether destinations can be written to, and only through their external ids.
//!
//! Segment docs: storage/catalog/aws-s3, "Validate": the role is assumed with the external id and then without it, and
//! an object is put. A role that can be assumed without the id is reported. Its trusted account could be tricked into
//! using it for another customer.

use aws::answer::etag_of;
use aws::roles::Role;
use aws::validation::{Check, TRIAL, cause, in_time};
use aws::{Dice, Fault, Kind, Operation};
use bytes::Bytes;
use export::object::dummy_key;
use export::routes::{Destination, Routes};
use futures_util::{StreamExt, stream};
use protocol::keys;
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;

use crate::carry::role_of;
use crate::causes::{self, Owner};
use crate::put::put_request;
use crate::{App, STOP_BEFORE_MS};

/// Destinations asked at a time.
const AT_A_TIME: usize = 8;

/// The timeout of a step. The next step follows.
const STEP_TIMEOUT: Duration = Duration::from_secs(15);

/// The steps for one destination at most: two roles, a put that is denied, and two puts without the expected owner.
const STEPS: u32 = 5;

/// The answer to `{"validate": [NAME, ...]}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Validated {
    /// True if every check passed.
    pub ok: bool,
    /// All of it in a sentence.
    pub summary: String,
    /// Our own bucket.
    pub state_bucket: Check,
    /// Each destination.
    pub destinations: Vec<Checked>,
}

/// The result for a destination.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checked {
    /// Its name.
    pub destination: String,
    /// True if it can be written to, and only with the external id.
    pub ok: bool,
    /// The steps, in order.
    pub steps: Vec<Check>,
}

impl App {
    /// Validates the named destinations, or all of them without names.
    pub(crate) async fn validate(&self, routes: &Routes, names: &[String], until: Instant) -> Validated {
        let names: Vec<String> = match names {
            [] => routes.destinations.iter().map(|destination| destination.name.clone()).collect(),
            names => names.to_vec(),
        };
        let time = Time::of(names.len(), until);
        let check = |name: String| async move {
            match routes.named(&name) {
                Some(destination) if Instant::now() + STEPS * STEP_TIMEOUT < until => self.check(destination).await,
                Some(_) => untried(name, time),
                None => unknown(name, routes),
            }
        };
        let state_bucket = self.check_state().await;
        let destinations: Vec<Checked> = stream::iter(names).map(check).buffered(AT_A_TIME).collect().await;
        let well = destinations.iter().filter(|checked| checked.ok).count();
        let ok = state_bucket.ok && well == destinations.len();
        let ours = if state_bucket.ok { "" } else { "; the state bucket does not work" };
        let summary = format!(
            "{well} of {} destinations can be written to, and only with the external id{ours}",
            destinations.len()
        );
        Validated { ok, summary, state_bucket, destinations }
    }

    async fn check(&self, destination: &Destination) -> Checked {
        let mut steps = Vec::new();
        let with = role_of(destination);
        let tried = format!("assume {} with the external id", with.arn);
        let assumed = in_time(Operation::Assume, &with.arn, STEP_TIMEOUT, self.roles.assume(&with)).await;
        let causes = |fault: &Fault| causes::of_assume(fault, destination);
        let (step, client) = Check::of(tried, assumed, |_| "assumed".to_owned(), causes);
        steps.push(step);
        if let Some(client) = client {
            steps.push(self.check_without_id(&with).await);
            let key = dummy_key(&destination.prefix);
            let at = format!("s3://{}/{key}", destination.bucket);
            steps.push(Dummy { client, destination, dice: &self.dice, key, at }.check().await);
        }
        Checked { destination: destination.name.clone(), ok: steps.iter().all(|step| step.ok), steps }
    }

    async fn check_without_id(&self, with: &Role) -> Check {
        let tried = format!("assume {} without the external id, which must be denied", with.arn);
        let without = Role { external_id: None, ..with.clone() };
        match in_time(Operation::Assume, &without.arn, STEP_TIMEOUT, self.roles.assume(&without)).await {
            Err(fault) if fault.code == "AccessDenied" => Check::well(tried, "denied"),
            Err(fault) => Check::ill(tried, fault.to_string(), causes::of_assume_without(&fault)),
            Ok(_) => Check::ill(
                tried,
                "INSECURE: the role was assumed",
                vec![cause(
                    "the trust policy does not require an external id",
                    "add to its statement: \"Condition\": {\"StringEquals\": {\"sts:ExternalId\": \"…\"}}",
                )],
            ),
        }
    }

    /// Checks the state bucket: every permission that the exporter needs except deleting.
    async fn check_state(&self) -> Check {
        let tried = format!("read and list the state bucket {}", self.settings.state_bucket);
        let found = in_time(Operation::Read, &self.settings.state_bucket, STEP_TIMEOUT, async {
            let at = self.state.head().await?;
            self.state.bucket.list_page(keys::RECEIVED, None).await?;
            Ok(at.head.open.len())
        });
        let causes = |fault: &Fault| {
            let fix =
                "allow s3:GetObject, s3:PutObject, s3:DeleteObject on it and s3:ListBucket to the exporter's role";
            let why = match fault.kind {
                Kind::NoBucket => "the bucket does not exist: compare STATE_BUCKET with the S3 console",
                _ => "the exporter's role lacks a permission",
            };
            vec![cause(why, fix)]
        };
        Check::of(tried, found.await, |open| format!("{open} plans are open"), causes).0
    }
}

/// A test object that is put like a log object.
struct Dummy<'a> {
    client: aws_sdk_s3::Client,
    destination: &'a Destination,
    dice: &'a Dice,
    key: String,
    at: String,
}

impl Dummy<'_> {
    /// Puts it. After a denial puts it again without the expected owner, to learn whether the owner is the cause.
    async fn check(&self) -> Check {
        let tried = format!("put {}", self.at);
        let expected = self.destination.expected_bucket_owner.as_deref();
        let fault = match self.put(expected).await {
            Ok(how) => return Check::well(tried, how),
            Err(fault) => fault,
        };
        let is_denied = fault.kind == Kind::Denied && !fault.is_about_key();
        let (owner, words) = match expected {
            Some(_) if is_denied => match self.put(None).await {
                Ok(_) => (Owner::Cause, "; without expected_bucket_owner S3 takes the object"),
                Err(fault) if fault.kind == Kind::Denied => {
                    (Owner::NotTheOnlyCause, "; S3 denies it without expected_bucket_owner too")
                }
                Err(_) => (Owner::Unknown, ""),
            },
            _ => (Owner::Unknown, ""),
        };
        Check::ill(tried, format!("{fault}{words}"), causes::of_put(&fault, self.destination, owner))
    }

    /// Puts it. If it exists already, puts it again, so that permissions and keys are checked each time. A bucket's policy
    /// may allow only the first put, which is enough. Returns how it ended.
    async fn put(&self, expected_owner: Option<&str>) -> Result<&'static str, Fault> {
        match self.send(expected_owner, true).await {
            Ok(()) => Ok("put"),
            Err(fault) if fault.kind == Kind::Precondition => match self.send(expected_owner, false).await {
                Ok(()) => Ok("put again"),
                Err(fault) if fault.kind == Kind::Denied && !fault.is_about_key() => {
                    Ok("it exists already, and the role may not replace it")
                }
                Err(fault) => Err(fault),
            },
            Err(fault) => Err(fault),
        }
    }

    async fn send(&self, expected_owner: Option<&str>, only_where_none_is: bool) -> Result<(), Fault> {
        let Dummy { client, destination, dice, key, at } = self;
        let put = aws::bucket::retried(dice, async || {
            let put = put_request(client, destination, expected_owner, &destination.bucket, key)
                .content_type("text/plain")
                .set_if_none_match(only_where_none_is.then(|| "*".to_owned()))
                .body(Bytes::from_static(TRIAL).into());
            let answer = put.send().await.map_err(|error| Fault::of(Operation::Put, at, &error))?;
            etag_of(answer.e_tag(), Operation::Put, at).map(|_| ())
        });
        in_time(Operation::Put, at, STEP_TIMEOUT, put).await
    }
}

/// The time of an invocation, and the time that it needs at most.
#[derive(Clone, Copy)]
struct Time {
    left: Duration,
    needed: Duration,
    destinations: usize,
}

impl Time {
    fn of(destinations: usize, until: Instant) -> Time {
        let reserve = Duration::from_millis(STOP_BEFORE_MS.unsigned_abs());
        let rounds = u32::try_from(destinations.div_ceil(AT_A_TIME)).unwrap_or(u32::MAX);
        // The step is the one for the state bucket.
        let needed = reserve + STEP_TIMEOUT + rounds.saturating_mul(STEPS) * STEP_TIMEOUT;
        Time { left: until.saturating_duration_since(Instant::now()) + reserve, needed, destinations }
    }
}

fn untried(name: String, time: Time) -> Checked {
    let Time { left, needed, destinations } = time;
    let fewer = if destinations > 1 { ", or name fewer destinations at once" } else { "" };
    let words = format!(
        "validation may take {} s, and the function had {} s: raise its timeout{fewer}",
        needed.as_secs(),
        left.as_secs_f64().round()
    );
    let step = Check::ill("check the time that is left", words, vec![]);
    Checked { destination: name, ok: false, steps: vec![step] }
}

fn unknown(name: String, routes: &Routes) -> Checked {
    let known: Vec<&str> = routes.destinations.iter().map(|destination| destination.name.as_str()).collect();
    let step = Check::ill(
        "find it in the settings",
        format!("destination `{name}` is unknown; known are {}", known.join(", ")),
        vec![],
    );
    Checked { destination: name, ok: false, steps: vec![step] }
}
