//! A large file, and the assertions about its end.
//!
//! The file has good rows and refused ones. A function may be killed, refused or made to wait any number of times. At
//! the end each good row has one message id, which Segment acknowledged. Each refused row is in the rejects file once.
//! The ledger adds up. Each acknowledged row is in the logs exactly once.

use crate::{SOURCE, SOURCE_ID, STATE, World, created};
use serde_json::{Value, json};
use standins::faults::{Fault, Faults, Gate, Rule};
use standins::lambda::{Function, Lambda, Outcome};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A file of track calls.
#[derive(Debug, Clone)]
pub struct Rows {
    /// The file.
    pub csv: String,
    /// The users of its good rows, one each.
    pub good: BTreeSet<String>,
    /// Its refused rows: the record, its line and its byte.
    pub refused: Vec<(String, usize, usize)>,
}

impl Rows {
    /// Makes `count` rows of about `bytes` bytes each. Every `refused_every`-th row has no user. Some hold line breaks,
    /// and some have blank lines before them.
    #[must_use]
    pub fn new(count: usize, refused_every: usize, bytes: usize) -> Self {
        let mut rows =
            Self { csv: "userId,event,properties.text\n".to_owned(), good: BTreeSet::new(), refused: Vec::new() };
        let (mut line, padding) = (2, "x".repeat(bytes));
        for row in 0..count {
            if row % 97 == 3 {
                rows.csv.push('\n');
                line += 1;
            }
            let user = if row % refused_every == refused_every - 1 { String::new() } else { format!("user-{row}") };
            let lines = if row % 31 == 5 { "\none \"\"more\"\" line" } else { "" };
            let record = format!("{user},Row Seen,\"{row} {padding}{lines}\"");
            if user.is_empty() {
                rows.refused.push((record.clone(), line, rows.csv.len()));
            } else {
                rows.good.insert(user);
            }
            line += 1 + lines.matches('\n').count();
            let _ = writeln!(rows.csv, "{record}");
        }
        rows
    }
}

/// A function whose commits follow each request, one by one.
pub fn killable(function: Function) -> Function {
    function.env("COMMIT_SECONDS", "0").env("REQUESTS_IN_FLIGHT", "1")
}

/// Kills the next invocation of a [`killable`] function once it has committed something and Segment has taken `further`
/// requests after that. Until the commit Segment takes `answered` requests and no more, so that rows are left on a machine
/// of any speed. After the commit nothing is written.
pub fn kill_once_committed(s3: &Faults, segment: &Faults, lambda: &Lambda, answered: u64, further: usize) {
    let (commit, taken, taken_after) = (Gate::new(), Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    segment.add(Rule::any().skip(answered).before(Fault::Hold(commit.clone())));
    segment.add(Rule::any().after(Fault::act({
        let (victim, commit, taken) = (lambda.clone(), commit.clone(), Arc::clone(&taken));
        move |_| {
            taken.fetch_add(1, Ordering::SeqCst);
            if commit.is_open() && taken_after.fetch_add(1, Ordering::SeqCst) + 1 == further {
                victim.kill();
            }
        }
    })));
    let (victim, writes) = (lambda.clone(), s3.clone());
    // A checkpoint that is written once rows are sent is a commit, unless a third of the lease is over before.
    s3.add(Rule::on("PutObject").key("*checkpoint.json").after(Fault::act(move |_| {
        if taken.load(Ordering::SeqCst) == 0 {
            return;
        }
        writes.add(Rule::on("PutObject").before(Fault::Hang));
        if further == 0 {
            victim.kill();
        } else {
            commit.open();
        }
    })));
}

/// A world with one large file.
pub struct Mill {
    /// S3, and the buckets.
    pub world: World,
    /// The rows of the file.
    pub rows: Rows,
    /// The file's key.
    pub key: String,
}

impl Mill {
    /// Puts the file where it is to be ingested.
    pub async fn new(key: &str, rows: Rows) -> Self {
        let mill = Self::before_upload(key, rows).await;
        mill.upload();
        mill
    }

    /// The same before the file is there.
    pub async fn before_upload(key: &str, rows: Rows) -> Self {
        Self { world: World::new().await, rows, key: key.to_owned() }
    }

    /// Puts the file there.
    pub fn upload(&self) {
        self.world.s3.put(SOURCE, &self.key, &self.rows.csv).unwrap();
    }

    /// The ingester with settings for this world.
    pub fn ingester(&self) -> Function {
        self.world.ingester()
    }

    /// The event that announces the file.
    #[must_use]
    pub fn event(&self) -> Value {
        created(&self.key)
    }

    /// Invokes a function and kills it once it has committed something, with rows left.
    pub async fn killed_after_a_commit(&self, function: Function, event: &Value) {
        self.killed_once_committed(function, event, 1, 0).await;
    }

    /// Invokes a function and kills it by [`kill_once_committed`].
    pub async fn killed_once_committed(&self, function: Function, event: &Value, answered: u64, further: usize) {
        let lambda = killable(function).deploy();
        let (s3, segment) = (self.world.s3.faults(), self.world.segment.faults());
        kill_once_committed(s3, segment, &lambda, answered, further);
        let invocation = lambda.invoke(event).await;
        assert!(matches!(invocation.outcome, Outcome::Crashed { .. }), "{invocation:#?}");
        s3.clear();
        segment.clear();
        assert!(self.checkpoints()[0]["account"]["rows"].as_u64().unwrap() > 0, "nothing was committed");
    }

    /// Invokes a function and kills it once so many fragments are there. Each request waits for the fragment of the one
    /// before. The batch of the last one is not committed.
    pub async fn killed_after_fragments(&self, function: Function, event: &Value, fragments: u64) {
        let lambda = killable(function).deploy();
        let (s3, segment) = (self.world.s3.faults(), self.world.segment.faults());
        let kept = |fragment: u64| Rule::on("PutObject").key("received/*").skip(fragment - 1).times(1);
        for fragment in 1..fragments {
            let gate = Gate::new();
            segment.add(Rule::on("batch").skip(fragment).times(1).before(Fault::Hold(gate.clone())));
            s3.add(kept(fragment).after(Fault::act(move |_| gate.open())));
        }
        segment.add(Rule::on("batch").skip(fragments).before(Fault::Hang));
        let victim = lambda.clone();
        s3.add(kept(fragments).after(Fault::act(move |_| victim.kill())));
        let invocation = lambda.invoke(event).await;
        assert!(matches!(invocation.outcome, Outcome::Crashed { .. }), "{invocation:#?}");
        s3.clear();
        segment.clear();
    }

    /// The ledgers of all files that have ended.
    #[must_use]
    pub fn ledgers(&self) -> Vec<Value> {
        self.documents("ledger.json")
    }

    /// The checkpoints of all files.
    #[must_use]
    pub fn checkpoints(&self) -> Vec<Value> {
        self.documents("checkpoint.json")
    }

    fn documents(&self, name: &str) -> Vec<Value> {
        let keys = self.world.s3.keys(STATE, "ingest/").into_iter().filter(|key| key.ends_with(name));
        keys.map(|key| serde_json::from_slice(&self.world.s3.bytes(STATE, &key).unwrap()).unwrap()).collect()
    }

    /// Asserts that every row ended in one place and that the ledger says so.
    ///
    /// # Panics
    /// When it is not so; `told` is said then (the seed).
    pub fn assert_ingested(&self, told: &str) {
        let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for call in self.world.segment.record().applied() {
            ids.entry(call.user_id.unwrap()).or_default().insert(call.message_id.unwrap());
        }
        assert!(self.world.segment.record().dropped().is_empty(), "{told}: Segment threw calls away");
        let acknowledged = self.world.segment.record().acknowledged();
        let acknowledged: BTreeSet<String> = acknowledged.into_iter().filter_map(|call| call.user_id).collect();
        assert_eq!(acknowledged.len(), self.rows.good.len(), "{told}: acknowledged rows");
        assert_eq!(acknowledged, self.rows.good, "{told}: the acknowledged rows are the good ones");
        let several: Vec<_> = ids.iter().filter(|(_, ids)| ids.len() > 1).collect();
        assert!(several.is_empty(), "{told}: rows with several ids: {several:?}");
        let all: BTreeSet<_> = ids.values().flatten().collect();
        assert_eq!(all.len(), self.rows.good.len(), "{told}: ids that several rows have");

        let ledgers = self.ledgers();
        let [ledger] = &ledgers[..] else { panic!("{told}: {} ledgers", ledgers.len()) };
        let account = &ledger["account"];
        let (good, refused) = (self.rows.good.len(), self.rows.refused.len());
        assert_eq!(ledger["ended"], "finished", "{told}: {ledger:#}");
        assert_eq!(account["rows"], good + refused, "{told}: {account}");
        assert_eq!(account["acknowledged"], good, "{told}: {account}");
        assert_eq!(account["rejected"], refused, "{told}: {account}");
        self.assert_committed_without_gaps(ledger, told);
        self.assert_rejects(ledger, told);
    }

    fn assert_committed_without_gaps(&self, ledger: &Value, told: &str) {
        let (mut at, mut last_epoch) = (0, -1);
        for range in ledger["committed"].as_array().unwrap() {
            assert_eq!(range["from"], at, "{told}: a gap in {}", ledger["committed"]);
            let epoch = range["epoch"].as_i64().unwrap();
            assert!(epoch > last_epoch, "{told}: two ranges of one epoch in {}", ledger["committed"]);
            (at, last_epoch) = (range["to"].as_u64().unwrap(), epoch);
        }
        assert_eq!(at, self.rows.csv.len() as u64, "{told}: the whole file is committed");
    }

    fn assert_rejects(&self, ledger: &Value, told: &str) {
        if self.rows.refused.is_empty() {
            assert_eq!(ledger.get("rejects"), None, "{told}");
            return;
        }
        let key = ledger["rejects"].as_str().unwrap();
        let text = String::from_utf8(self.world.s3.bytes(STATE, key).unwrap().to_vec()).unwrap();
        let mut expected = "userId,event,properties.text,_error_code,_error,_line,_byte\n".to_owned();
        for (record, line, byte) in &self.rows.refused {
            let why = format!(
                "\"line {line}, column `userId`: empty, and every track needs a `userId` or an `anonymousId`\""
            );
            // Quoted only where it has to be.
            let _ = writeln!(expected, "{record},missing_user_id,{why},{line},{byte}");
        }
        assert!(text == expected, "{told}: the rejects file differs: {}", first_difference(&text, &expected));
    }

    /// Exports until nothing waits, and asserts that each acknowledged row is in the logs once.
    ///
    /// # Panics
    /// When it is not so.
    pub async fn assert_exported(&self, exporter: Function, told: &str) -> BTreeSet<i64> {
        let exporter = exporter.deploy();
        let (mut report, mut lines) = (Value::Null, Vec::new());
        for _ in 0..10 {
            let invocation = exporter.invoke(&crate::event("scheduled.json")).await;
            report = invocation.response().unwrap_or_else(|| panic!("{told}: {invocation:#?}")).clone();
            lines = self.world.logged();
            if lines.len() >= self.rows.good.len() {
                break;
            }
        }
        let users: BTreeSet<_> = lines.iter().map(|line| line["userId"].as_str().unwrap().to_owned()).collect();
        assert!(users == self.rows.good, "{told}: {} users are in the logs; {report:#}", users.len());
        assert_eq!(lines.len(), users.len(), "{told}: each line once");
        let ids = self.world.segment.record().message_ids();
        let seen = |line: &Value| ids.contains_key(line["messageId"].as_str().unwrap());
        assert!(lines.iter().all(seen), "{told}: an id that Segment never saw");
        let day = |key: String| key.split('/').nth(2).unwrap().parse().unwrap();
        let keys = self.world.s3.keys(crate::CUSTOMER, &format!("segment-logs/{SOURCE_ID}/"));
        keys.into_iter().map(day).collect()
    }

    /// How often calls were sent in vain: Segment drops those again by their ids.
    #[must_use]
    pub fn duplicates(&self) -> usize {
        self.world.segment.record().message_ids().values().map(|times| times - 1).sum()
    }
}

fn first_difference(one: &str, other: &str) -> String {
    let pairs = one.lines().zip(other.lines());
    let at = pairs.enumerate().find(|(_, (one, other))| one != other);
    json!({"lines": [one.lines().count(), other.lines().count()], "first": format!("{at:.300?}")}).to_string()
}
