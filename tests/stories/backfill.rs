//! Objects that were there before are ingested: each once, whatever happens in the middle.

use serde_json::{Value, json};
use standins::event_source::EventSource;
use standins::faults::{Fault, Rule, Target};
use standins::lambda::{Function, Outcome};
use standins::sns::Server as Sns;
use standins::sqs::Server as Sqs;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use stories::line::QUEUE;
use stories::{SOURCE, STATE, World, answer};

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:files";

/// As many as `BACKFILL` says.
fn files() -> usize {
    std::env::var("BACKFILL").ok().and_then(|files| files.parse().ok()).unwrap_or(300)
}

struct Scene {
    world: World,
    sqs: Sqs,
    sns: Sns,
}

impl Scene {
    /// Files of one row each under `in/`, and some objects that are no files.
    async fn new(files: usize) -> Scene {
        let sqs = Sqs::setup().with_queue(QUEUE).start().await.unwrap();
        let scene = Scene { world: World::new().await, sqs, sns: Sns::start(&[TOPIC]).await.unwrap() };
        for file in 0..files {
            let row = format!("userId,event\nuser-{file},Seen\n");
            scene.world.s3.put(SOURCE, &format!("in/track_{file}.csv"), row).unwrap();
        }
        for (key, content) in [("in/notes.txt", "x"), ("in/track_x.csv.tmp", "x"), ("in/track_empty.csv", "")] {
            scene.world.s3.put(SOURCE, key, content).unwrap();
        }
        scene.world.s3.put(SOURCE, "out/track_other.csv", "userId,event\nother,Seen\n").unwrap();
        scene
    }

    fn ingester(&self) -> Function {
        let queue = self.sqs.queue_url(QUEUE);
        self.world
            .ingester()
            .envs(self.sqs.env())
            .envs(self.sns.env())
            .env("QUEUE_URL", queue)
            .env("NOTICE_TOPIC_ARN", TOPIC)
    }

    fn queued(&self) -> Vec<String> {
        let keys = self.sqs.messages(QUEUE).into_iter().filter_map(|message| {
            let body: Value = serde_json::from_str(&message.body).unwrap();
            body["continue"]["key"].as_str().map(str::to_owned)
        });
        keys.collect()
    }
}

fn backfill() -> Value {
    json!({"backfill": {"bucket": SOURCE, "prefix": "in/"}})
}

#[tokio::test]
async fn a_backfill_that_is_killed_in_the_middle_ingests_each_object_once() {
    let files = files();
    let scene = Scene::new(files).await;
    let lambda = scene.ingester().deploy();
    let victim = lambda.clone();
    let kill = Fault::Do(Arc::new(move |_: &Target| victim.kill()));
    let middle = u64::try_from(files / 2 + 30).unwrap();
    scene.sqs.faults().add(Rule::on("SendMessage").skip(middle).times(1).before(kill));
    let killed = lambda.invoke(&backfill()).await;
    assert!(matches!(killed.outcome, Outcome::Crashed { .. }), "{killed:#?}");
    let before = scene.queued().len();
    let told = answer(&scene.ingester().deploy(), &backfill()).await;
    assert_eq!(
        (&told["done"], &told["files"], &told["left_alone"]),
        (&json!(true), &json!(files), &json!(3)),
        "{told:#}"
    );
    let queued = scene.queued();
    assert_eq!(queued.iter().collect::<BTreeSet<_>>().len(), files, "each object is queued");
    let again = queued.len() - files;
    assert!(before > files / 2 && again < 200 + 16, "{again} of {before} messages were sent again");
    println!("{files} objects: {before} messages before the kill, {again} sent again");
    // Once more, when all is done, nothing happens.
    assert_eq!(answer(&scene.ingester().deploy(), &backfill()).await["done"], true);
    assert_eq!(scene.queued().len(), queued.len());

    let polling = EventSource::on(&scene.sqs, QUEUE).fast_forward().to_lambda(&lambda);
    polling.drained().await;
    let users: BTreeSet<_> =
        scene.world.segment.record().applied().into_iter().filter_map(|call| call.user_id).collect();
    assert_eq!((users.len(), scene.world.received_ids().len()), (files, files), "each once");
    let ledgers = scene.world.s3.keys(STATE, "ingest/").into_iter().filter(|key| key.ends_with("ledger.json"));
    assert_eq!(ledgers.count(), files);
    let subjects: Vec<_> = scene.sns.published().into_iter().map(|published| published.subject).collect();
    assert_eq!(subjects.len(), 1, "one summary, and no message for a file: {subjects:#?}");
    assert!(subjects[0].ends_with("files of the backfill are queued"), "{subjects:#?}");
}

#[tokio::test]
async fn a_backfill_that_runs_out_of_time_goes_on_from_the_queue() {
    let scene = Scene::new(450).await;
    // The second slice lasts too long for a third one: slices begin in the first 17 of 30 seconds.
    let slow = Fault::Slow(Duration::from_secs(18));
    scene.world.s3.faults().add(Rule::on("ListObjectsV2").bucket(SOURCE).skip(1).times(1).before(slow));
    let ingester = scene.ingester().timeout(Duration::from_secs(30));
    let told = answer(&ingester.clone().deploy(), &backfill()).await;
    assert_eq!(told["done"], false, "{told:#}");
    assert!(told["summary"].as_str().unwrap().ends_with("; the queue has the rest"), "{told:#}");
    let polling = EventSource::on(&scene.sqs, QUEUE).fast_forward().to_lambda(&scene.ingester().deploy());
    polling.drained().await;
    assert_eq!(scene.world.received_ids().len(), 450);
}

#[tokio::test]
async fn a_dry_run_counts_and_changes_nothing() {
    let scene = Scene::new(20).await;
    let before = scene.world.s3.keys(STATE, "");
    let dry_run = json!({"backfill": {"bucket": SOURCE, "prefix": "in/", "dry_run": true}});
    let told = answer(&scene.ingester().env("EVENTS_PER_SECOND", "1000").deploy(), &dry_run).await;
    assert_eq!((&told["files"], &told["left_alone"], &told["done"]), (&json!(20), &json!(3), &json!(true)), "{told:#}");
    assert_eq!(told["estimate"]["messages"], 20, "{told:#}");
    for figure in ["hours", "dollars"] {
        assert!(told["estimate"][figure].as_f64().is_some_and(|figure| figure > 0.0), "{told:#}");
    }
    assert_eq!((scene.queued().len(), scene.world.s3.keys(STATE, "")), (0, before));
}

#[tokio::test]
async fn a_backfill_needs_a_queue_and_another_bucket_than_our_own() {
    let world = World::new().await;
    for (bucket, words) in [(SOURCE, "QUEUE_URL is not set"), (STATE, "STATE_BUCKET")] {
        let invocation = world.ingester().deploy().invoke(&json!({"backfill": {"bucket": bucket}})).await;
        assert!(format!("{:?}", invocation.outcome).contains(words), "{invocation:#?}");
    }
}
