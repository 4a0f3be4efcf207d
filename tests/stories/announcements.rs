//! The messages about files, for the people who dropped them.

use serde_json::{Value, json};
use standins::faults::{Fault, Rule};
use standins::iam::Role;
use standins::lambda::Function;
use standins::sns::{Published, Server};
use stories::deployed::Deployed;
use stories::telemetry::lines;
use stories::{SOURCE, STATE, World, answer, created};

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:files";
const CSV: &str = "userId,event\nu1,Seen\n,Seen\nu3,Seen\n";

struct Scene {
    world: World,
    sns: Server,
}

impl Scene {
    async fn new(key: &str) -> Scene {
        let scene = Scene { world: World::new().await, sns: Server::start(&[TOPIC]).await.unwrap() };
        scene.world.s3.put(SOURCE, key, CSV).unwrap();
        scene
    }

    fn ingester(&self) -> Function {
        self.world.ingester().envs(self.sns.env()).env("NOTICE_TOPIC_ARN", TOPIC)
    }

    fn subjects(&self) -> Vec<String> {
        self.sns.published().into_iter().map(|published| published.subject).collect()
    }

    fn ledgers(&self) -> usize {
        self.world.s3.keys(STATE, "ingest/").into_iter().filter(|key| key.ends_with("ledger.json")).count()
    }
}

#[tokio::test]
async fn each_file_has_one_message_for_its_owner() {
    let scene = Scene::new("in/track_1.csv").await;
    let ingester = scene.ingester().deploy();
    for _ in 0..2 {
        answer(&ingester, &created("in/track_1.csv")).await;
    }
    let published = scene.sns.published();
    let [Published { subject, message, attributes, .. }] = &published[..] else { panic!("{published:#?}") };
    assert_eq!(subject, "track_1.csv: 2 of 3 rows sent, 1 needs fixing");
    assert!(message.contains("\n  1 row: the id of the person is empty\n"), "{message}");
    assert_eq!((attributes["outcome"].as_str(), attributes["source"].as_str()), ("finished", stories::SOURCE_ID));
    assert_eq!(attributes["rejected"], "1");
    assert!(!message.contains("u1"), "a cell");

    scene.world.s3.put(SOURCE, "Übersicht.csv", "a\n1\n").unwrap();
    scene.world.s3.put(SOURCE, "track_2.csv", "").unwrap();
    for key in ["Übersicht.csv", "track_2.csv"] {
        assert_eq!(answer(&ingester, &created(key)).await["objects"][0]["outcome"], "refused");
    }
    assert_eq!(scene.subjects()[1..], ["Uebersicht.csv: not read, it is not a file for Segment"]);
}

#[tokio::test]
async fn a_message_is_published_before_the_ledger_is_written_and_again_after_a_kill() {
    let scene = Scene::new("track_1.csv").await;
    // The ledger is not there while the message is published, and its put fails after that.
    scene.world.s3.faults().add(Rule::on("PutObject").key("*ledger.json").before(Fault::InternalError));
    scene.ingester().deploy().invoke(&created("track_1.csv")).await;
    assert_eq!((scene.subjects().len(), scene.ledgers()), (1, 0));
    scene.world.s3.faults().clear();
    answer(&scene.ingester().deploy(), &created("track_1.csv")).await;
    let published = scene.sns.published();
    assert_eq!((published.len(), scene.ledgers()), (2, 1));
    assert_eq!(published[0], published[1], "the id repeats, and so does the rest");
}

#[tokio::test]
async fn an_outage_of_the_topic_delays_the_ledger_and_a_missing_right_does_not() {
    let scene = Scene::new("track_1.csv").await;
    scene.sns.faults().add(Rule::on("Publish").before(Fault::InternalError));
    let invocation = scene.ingester().deploy().invoke(&created("track_1.csv")).await;
    assert!(invocation.response().is_none() && scene.ledgers() == 0, "{invocation:#?}");
    scene.sns.faults().clear();
    let denied = "<ErrorResponse><Error><Type>Sender</Type><Code>AuthorizationError</Code></Error></ErrorResponse>";
    scene.sns.faults().add(Rule::on("Publish").before(Fault::status(403).body(denied)));
    let invocation = scene.ingester().deploy().invoke(&created("track_1.csv")).await;
    assert_eq!(invocation.response().unwrap()["objects"][0]["outcome"], "finished", "{invocation:#?}");
    assert_eq!(scene.ledgers(), 1);
    let is_told = |line: &Value| line["reason"].as_str().is_some_and(|reason| reason.contains("allow it sns:Publish"));
    let lines = lines(&invocation);
    assert!(lines.iter().any(is_told) && lines.iter().any(|line| line["Alarms"] == 1), "{lines:#?}");
    assert!(scene.subjects().is_empty());
}

#[tokio::test]
async fn refused_rows_stand_in_a_folder_beside_their_file_and_are_never_ingested_there() {
    let scene = Scene::new("in/track_1.csv").await;
    // As the template allows it with `RejectedFolder`.
    let role = &Deployed::read().roles["ingester"];
    let mut policy = role.policy.clone();
    let may_put = json!({"Effect": "Allow", "Action": "s3:PutObject",
        "Resource": format!("arn:aws:s3:::{SOURCE}/*rejected/*")});
    policy["Statement"].as_array_mut().unwrap().push(may_put);
    scene.world.s3.directory().add_role(Role::new(&role.arn).policy(&policy.to_string()));
    let ingester = scene.ingester().env("REJECTED_FOLDER", "true").deploy();
    let report = answer(&ingester, &created("in/track_1.csv")).await;
    let key = "in/rejected/track_1.rejects.csv";
    let rejects = report["objects"][0]["rejects"].as_str().unwrap().strip_prefix("s3://segment-s3-state/").unwrap();
    assert_eq!(scene.world.s3.bytes(SOURCE, key), scene.world.s3.bytes(STATE, rejects));
    let message = scene.sns.published().remove(0).message;
    assert!(message.contains(&format!("\n  s3://{SOURCE}/{key}\n")), "{message}");
    assert_eq!(answer(&ingester, &created(key)).await["objects"][0]["outcome"], "ignored");
    // A person corrects it and uploads it beside its file.
    let fixed = String::from_utf8(scene.world.s3.bytes(SOURCE, key).unwrap().to_vec()).unwrap().replace("\n,", "\nu2,");
    scene.world.s3.put(SOURCE, "in/track_1.rejects.csv", fixed).unwrap();
    let report = answer(&ingester, &created("in/track_1.rejects.csv")).await;
    assert_eq!(report["objects"][0]["acknowledged"], 1, "{report:#}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_filled_fails_no_file() {
    let scene = Scene::new("in/track_1.csv").await;
    let invocation = scene.ingester().env("REJECTED_FOLDER", "true").deploy().invoke(&created("in/track_1.csv")).await;
    assert_eq!(invocation.response().unwrap()["objects"][0]["outcome"], "finished", "{invocation:#?}");
    let is_told = |line: &Value| line["reason"].as_str().is_some_and(|reason| reason.contains("REJECTED_FOLDER=false"));
    assert!(lines(&invocation).iter().any(is_told), "{invocation:#?}");
    let message = scene.sns.published().remove(0).message;
    assert!(message.contains("\n  s3://segment-s3-state/rejects/"), "{message}");
}
