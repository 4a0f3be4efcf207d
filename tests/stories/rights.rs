//! The functions have the rights that they use, and no others.

use serde_json::{Value, json};
use standins::faults::{Fault, Rule};
use standins::iam::{Decision, Question, evaluate};
use standins::s3::Versioning;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use stories::deployed::Deployed;
use stories::line::Line;
use stories::mill::{Mill, Rows};
use stories::requests::{batch, to_url};
use stories::{SOURCE, STATE, answer, event};

/// Rights that no request of a story shows, because Lambda uses them with the function's role.
const OF_LAMBDA: [(&str, &str); 9] = [
    // Lambda developer guide, "Using Lambda with Amazon SQS": the event source mapping polls with the function's role.
    ("ingester", "sqs:ReceiveMessage"),
    ("ingester", "sqs:DeleteMessage"),
    ("ingester", "sqs:GetQueueAttributes"),
    // Lambda developer guide, "Sending Lambda function logs to CloudWatch Logs". The template makes the log group.
    ("ingester", "logs:CreateLogStream"),
    ("ingester", "logs:PutLogEvents"),
    ("exporter", "logs:CreateLogStream"),
    ("exporter", "logs:PutLogEvents"),
    ("receiver", "logs:CreateLogStream"),
    ("receiver", "logs:PutLogEvents"),
];

/// Actions beside those of the policies that somebody may add one day.
const OTHER_ACTIONS: [&str; 16] = [
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:GetObjectTagging",
    "s3:PutObject",
    "s3:PutObjectAcl",
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:PutLifecycleConfiguration",
    "sqs:SendMessage",
    "sqs:ChangeMessageVisibility",
    "sqs:PurgeQueue",
    "sts:AssumeRole",
    "kms:Decrypt",
    "secretsmanager:GetSecretValue",
];

const QUEUE_ARN: &str = "arn:aws:sqs:us-east-1:123456789012:ingest";

/// The folders of the state bucket. One that lies in another stands before it.
const FOLDERS: [&str; 6] = ["ingest/", "received/", "rejects/received/", "rejects/", "outcomes/", "exports/"];

/// One resource of each kind that a policy can tell apart.
fn probes() -> BTreeSet<String> {
    let mut probes = BTreeSet::new();
    for bucket in [STATE, SOURCE, "customer-logs", "another-bucket"] {
        probes.insert(format!("arn:aws:s3:::{bucket}"));
    }
    for object in FOLDERS.map(|folder| format!("{folder}x")) {
        probes.insert(format!("arn:aws:s3:::{STATE}/{object}"));
    }
    for object in ["x", "ingest", "ingested/x"] {
        probes.insert(format!("arn:aws:s3:::{STATE}/{object}"));
    }
    for object in [format!("{SOURCE}/x"), "customer-logs/segment-logs/x".to_owned(), "another-bucket/x".to_owned()] {
        probes.insert(format!("arn:aws:s3:::{object}"));
    }
    for other in [
        QUEUE_ARN,
        "arn:aws:sqs:us-east-1:123456789012:ingest-dead-letters",
        "arn:aws:sqs:us-east-1:123456789012:another",
        "arn:aws:iam::111122223333:role/SegmentAWSS3Role",
        "arn:aws:iam::111122223333:role/Another",
        "arn:aws:logs:us-east-1:123456789012:log-group:segment-s3-IngesterLog:x",
        "arn:aws:logs:us-east-1:123456789012:log-group:segment-s3-ExporterLog:x",
        "arn:aws:logs:us-east-1:123456789012:log-group:segment-s3-ReceiverLog:x",
        "arn:aws:logs:us-east-1:123456789012:log-group:another:x",
    ] {
        probes.insert(other.to_owned());
    }
    probes
}

/// The probe that stands for a resource.
fn probe_of(resource: &str) -> String {
    for prefix in FOLDERS {
        let prefix = format!("arn:aws:s3:::{STATE}/{prefix}");
        if resource.starts_with(&prefix) {
            return format!("{prefix}x");
        }
    }
    for prefix in [format!("arn:aws:s3:::{STATE}/"), format!("arn:aws:s3:::{SOURCE}/")] {
        if resource.starts_with(&prefix) {
            return format!("{prefix}x");
        }
    }
    resource.to_owned()
}

type Rights = BTreeSet<(String, String)>;

/// The rights that the policy of a function gives.
fn allowed(function: &str) -> Rights {
    let deployed = Deployed::read();
    let policy = deployed.policy(function);
    let statements = deployed.roles[function].policy["Statement"].as_array().unwrap();
    let of_policy = statements.iter().flat_map(|statement| texts(&statement["Action"]));
    let actions: BTreeSet<_> = of_policy.chain(OTHER_ACTIONS.map(str::to_owned)).collect();
    let mut allowed = Rights::new();
    for action in &actions {
        for resource in probes() {
            let question = Question { action, resource: &resource, principals: &[], context: &BTreeMap::default() };
            if evaluate([&policy], &question) == Decision::Allow {
                allowed.insert((action.clone(), resource));
            }
        }
    }
    allowed
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(many) => many.iter().flat_map(texts).collect(),
        one => vec![one.as_str().unwrap().to_owned()],
    }
}

#[test]
fn each_resource_of_a_policy_is_of_a_kind_that_is_looked_at() {
    for (function, role) in &Deployed::read().roles {
        for statement in role.policy["Statement"].as_array().unwrap() {
            for resource in texts(&statement["Resource"]) {
                let prefix = resource.strip_suffix('*').unwrap_or(&resource);
                let is_one =
                    |probe: &String| if prefix == resource { *probe == resource } else { probe.starts_with(prefix) };
                assert!(probes().iter().any(is_one), "{function}: {resource} matches no probe; add one");
            }
        }
    }
}

/// The stories run with the rights of the template, so that one too few fails them. This one makes each request that the
/// functions make, so that no right is there for nothing.
#[tokio::test]
async fn each_right_of_the_template_is_used_and_none_is_missing() {
    let mut line = Line::new(Mill::before_upload("track_long.csv", Rows::new(1_600, 2, 15_000)).await).await;
    ingest_and_validate(&mut line).await;
    export_and_validate(&line).await;
    receive(&line).await;
    let directory = line.mill.world.s3.directory();
    for (function, role) in &Deployed::read().roles {
        let used = directory.asked(&role.arn).into_iter().map(|(action, resource)| (action, probe_of(&resource)));
        let mut used: Rights = used.collect();
        if function == "ingester" {
            // The queue checks no rights; `queue.rs` shows both requests.
            let of_queue = ["sqs:SendMessage", "sqs:ChangeMessageVisibility"];
            used.extend(of_queue.map(|action| (action.to_owned(), QUEUE_ARN.to_owned())));
        }
        let allowed = allowed(function);
        let is_of_lambda = |(action, _): &&(String, String)| OF_LAMBDA.contains(&(function.as_str(), action.as_str()));
        let is_unused = |right: &&(String, String)| !is_of_lambda(right) && !is_in_a_folder_of(function, &right.1);
        let unused: Vec<_> = allowed.difference(&used).filter(is_unused).collect();
        assert!(unused.is_empty(), "{function}: no request needs {unused:#?}");
        let missing: Vec<_> = used.difference(&allowed).collect();
        assert!(missing.is_empty(), "{function}: the template does not allow {missing:#?}");
        for (_, action) in OF_LAMBDA.iter().filter(|(name, _)| name == function) {
            assert!(allowed.iter().any(|(allowed, _)| allowed == action), "{function}: Lambda needs {action}");
        }
    }
}

/// Whether the resource lies in a folder that the function may use for another reason. The ingester puts the rejects of
/// a bucket under the bucket's name. Rights on all names include the folder of the receiver.
fn is_in_a_folder_of(function: &str, resource: &str) -> bool {
    function == "ingester" && resource.ends_with("/rejects/received/x")
}

/// A file with refused rows that needs two invocations, and the checks of the setup.
async fn ingest_and_validate(line: &mut Line) {
    let s3 = &line.mill.world.s3;
    s3.set_versioning(SOURCE, Versioning::Enabled).unwrap();
    line.mill.upload();
    // The first invocation has no time left for the fragment, and sends the rest to the queue.
    s3.faults().add(Rule::on("PutObject").key("received/*").times(1).before(Fault::Hang));
    // The rejects file is put in parts, and its last answer is lost.
    s3.faults().add(Rule::on("CompleteMultipartUpload").times(1).lose_response());
    line.announce();
    let ingester = line.ingester().env("REJECT_LIMIT_SHARE", "1").env("COMMIT_SECONDS", "0");
    let runs = line.run(&ingester.timeout(Duration::from_secs(20))).await;
    assert!(runs >= 2, "the rest was sent to the queue");
    assert_eq!(s3.faults().strikes().len(), 2, "both faults struck");
    line.mill.assert_ingested("rights");
    let ingester = line.ingester().env("SOURCE_BUCKET", SOURCE).deploy();
    let validated = answer(&ingester, &json!({"validate": []})).await;
    assert_eq!(validated["ok"], true, "{validated:#}");
}

/// A destination that fails for a while, an export, and the check of the setup.
async fn export_and_validate(line: &Line) {
    let world = &line.mill.world;
    let exporter = world.exporter().timeout(Duration::from_secs(900)).deploy();
    let validated = answer(&exporter, &json!({"validate": []})).await;
    assert_eq!(validated["ok"], true, "{validated:#}");
    // A person may delete it; the exporter may not.
    world.s3.delete("customer-logs", "segment-logs/dummy-object.txt").unwrap();
    world.s3.faults().add(Rule::on("PutObject").bucket("customer-logs").before(Fault::status(500)));
    answer(&exporter, &event("scheduled.json")).await;
    world.s3.faults().clear();
    let report = answer(&exporter, &event("scheduled.json")).await;
    let users: BTreeSet<_> = world.logged().iter().map(|line| line["userId"].as_str().unwrap().to_owned()).collect();
    assert_eq!(users, line.mill.rows.good, "{report:#}");
}

/// A request to the receiver with a call that is kept and a call that is refused.
async fn receive(line: &Line) {
    let receiver = line.mill.world.receiver().deploy();
    let received = answer(&receiver, &to_url("POST", "/v1/batch", "", batch(&["1", ""]).as_bytes())).await;
    assert_eq!(received["statusCode"], 200, "{received:#}");
}
