//! The ingester's `validate` finds wrong set-ups and names the fix.

use serde_json::{Value, json};
use standins::faults::{Fault, Rule};
use standins::iam::Policy;
use standins::lambda::{Function, Outcome};
use standins::{installation, s3};
use stories::{SOURCE, STATE, WRITE_KEY, World, answer, event};

const UNKNOWN_KEY: &str = "another-key-never-to-be-seen";

struct Scene {
    world: World,
}

impl Scene {
    async fn new() -> Self {
        Self { world: World::new().await }
    }

    fn ingester(&self) -> Function {
        self.world.ingester().env("SOURCE_BUCKET", SOURCE).env("RUST_LOG", "debug")
    }
}

/// The answer; neither it nor the log has a write key.
async fn validate(ingester: Function, buckets: &[&str]) -> Value {
    let invocation = ingester.deploy().invoke(&json!({ "validate": buckets })).await;
    let said = format!("{invocation:?}");
    for key in [WRITE_KEY, UNKNOWN_KEY, "/v1/projects/"] {
        assert!(!said.contains(key), "{key} in {invocation:#?}");
    }
    let Outcome::Response(answer) = invocation.outcome else { panic!("{invocation:#?}") };
    answer
}

/// Which of the three checks passed.
fn well(answer: &Value) -> (bool, bool, Vec<bool>) {
    let sources = answer["sources"].as_array().unwrap();
    let ok = |value: &Value| value["ok"].as_bool().unwrap();
    assert_eq!(ok(answer), ok(&answer["write_key"]) && ok(&answer["state_bucket"]) && sources.iter().all(ok));
    (ok(&answer["write_key"]), ok(&answer["state_bucket"]), sources.iter().map(ok).collect())
}

#[tokio::test]
async fn a_valid_set_up_is_reported_and_nothing_is_sent() {
    let scene = Scene::new().await;
    scene.world.s3.put(SOURCE, "track_1.csv", "userId,event\n1,e\n").unwrap();
    let answer = validate(scene.ingester(), &[]).await;
    assert_eq!(well(&answer), (true, true, vec![true]), "{answer:#}");
    assert_eq!(answer["summary"], "1 of 1 source buckets can be read; the write key is known; the state bucket works");
    assert_eq!(answer["sources"][0]["bucket"], SOURCE);
    let tried: Vec<_> = answer["sources"][0]["steps"].as_array().unwrap().iter().map(|step| &step["tried"]).collect();
    assert_eq!(tried.len(), 3, "{answer:#}");
    assert_eq!(tried[2], &json!(format!("read the first byte of s3://{SOURCE}/track_1.csv")));
    assert!(scene.world.segment.record().applied().is_empty(), "no call was made");
    assert_eq!(scene.world.s3.keys(STATE, ""), ["ingest/validate.txt"], "under a prefix that ages out");
}

#[tokio::test]
async fn an_unknown_write_key_is_reported_although_segment_answers_200() {
    let scene = Scene::new().await;
    let answer = validate(scene.ingester().env("WRITE_KEY", UNKNOWN_KEY), &[]).await;
    assert_eq!(well(&answer), (false, true, vec![true]), "{answer:#}");
    let step = &answer["write_key"];
    assert_eq!(step["result"], "the write key is unknown (status 404)");
    let causes = step["likely_causes"].to_string();
    assert!(causes.contains("drops them") && causes.contains("SEGMENT_REGION"), "{causes}");
}

#[tokio::test]
async fn a_source_of_another_region_is_reported() {
    let scene = Scene::new().await;
    let europe = installation::segment().with_api_host("events.eu1.segmentapis.com/v1").start().await.unwrap();
    let ingester = scene.ingester().env("SEGMENT_ENDPOINT", "").env("SEGMENT_OBJECTS_ENDPOINT", "");
    let ingester = ingester.env("SEGMENT_SETTINGS_ENDPOINT", europe.url());
    let answer = validate(ingester.clone().env("SEGMENT_REGION", "us"), &[]).await;
    assert_eq!(well(&answer), (false, true, vec![true]), "{answer:#}");
    assert!(
        answer["write_key"]["likely_causes"][0]["fix"].as_str().unwrap().contains("SEGMENT_REGION=eu"),
        "{answer:#}"
    );
    let answer = validate(ingester.env("SEGMENT_REGION", "eu"), &[]).await;
    assert_eq!(well(&answer), (true, true, vec![true]), "{answer:#}");
}

#[tokio::test]
async fn an_unreachable_segment_is_not_reported_as_an_unknown_write_key() {
    let scene = Scene::new().await;
    scene.world.segment.faults().add(Rule::on("settings").times(1).before(Fault::status(503)));
    let away = scene.ingester().env("SEGMENT_SETTINGS_ENDPOINT", "http://127.0.0.1:9");
    for ingester in [scene.ingester(), away] {
        let answer = validate(ingester, &[]).await;
        assert_eq!(well(&answer), (false, true, vec![true]), "{answer:#}");
        let result = answer["write_key"]["result"].as_str().unwrap();
        assert!(result.starts_with("failed to check the write key"), "{result}");
    }
}

#[tokio::test]
async fn a_missing_state_bucket_is_reported_with_its_setting() {
    let scene = Scene::new().await;
    let answer = validate(scene.ingester().env("STATE_BUCKET", "no-such-bucket"), &[]).await;
    assert_eq!(well(&answer), (true, false, vec![true]), "{answer:#}");
    let cause = &answer["state_bucket"]["likely_causes"][0];
    assert_eq!(cause["cause"], "the bucket no-such-bucket does not exist");
    assert!(cause["fix"].as_str().unwrap().contains("STATE_BUCKET"), "{answer:#}");
}

#[tokio::test]
async fn a_source_bucket_that_is_forbidden_names_the_permissions() {
    let scene = Scene::new().await;
    scene.world.s3.put(SOURCE, "track_1.csv", "userId,event\n1,e\n").unwrap();
    let allowed = |more: &str| {
        let state = format!(
            r#"{{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::{STATE}/*"}}"#
        );
        let list =
            format!(r#"{{"Effect":"Allow","Action":"s3:ListBucket","Resource":["arn:aws:s3:::{STATE}"{more}]}}"#);
        let policy = Policy::parse(&format!(r#"{{"Version":"2012-10-17","Statement":[{state},{list}]}}"#)).unwrap();
        let user = scene.world.s3.directory().add_user("arn:aws:iam::123456789012:user/ingester", vec![policy]);
        scene.ingester().envs(scene.world.s3.env_as(&user))
    };
    let may_list = format!(r#","arn:aws:s3:::{SOURCE}""#);
    for (more, verb, steps) in [("", "list", 2), (may_list.as_str(), "get", 3)] {
        let answer = validate(allowed(more), &[]).await;
        assert_eq!(well(&answer), (true, true, vec![false]), "{answer:#}");
        let tried = answer["sources"][0]["steps"].as_array().unwrap();
        assert_eq!(tried.len(), steps, "{answer:#}");
        let step = tried.last().unwrap();
        assert!(step["result"].as_str().unwrap().starts_with(&format!("failed to {verb}")), "{step:#}");
        let causes = step["likely_causes"].to_string();
        for part in ["s3:GetObject ", "s3:GetObjectVersion", "s3:ListBucket"] {
            assert!(causes.contains(part), "{part} in {causes}");
        }
    }
}

#[tokio::test]
async fn a_forbidden_version_is_reported_before_a_long_file_is_read() {
    let scene = Scene::new().await;
    let aws = s3::Server::memory().with_versioned_bucket(SOURCE).with_bucket(STATE).start().await.unwrap();
    aws.put(SOURCE, "track_1.csv", "userId,event\n1,e\n").unwrap();
    for (action, expected) in [("s3:GetObject", false), ("s3:GetObject*", true)] {
        let policy = format!(
            r#"{{"Statement":[{{"Effect":"Allow","Action":"s3:*","Resource":["arn:aws:s3:::{STATE}","arn:aws:s3:::{STATE}/*"]}},
            {{"Effect":"Allow","Action":["{action}","s3:ListBucket"],"Resource":["arn:aws:s3:::{SOURCE}","arn:aws:s3:::{SOURCE}/*"]}}]}}"#
        );
        let policy = Policy::parse(&policy).unwrap();
        let user = aws.directory().add_user("arn:aws:iam::123456789012:user/ingester", vec![policy]);
        let answer = validate(scene.ingester().envs(aws.env_as(&user)), &[]).await;
        assert_eq!(well(&answer), (true, true, vec![expected]), "{action}: {answer:#}");
    }
}

#[tokio::test]
async fn named_buckets_are_validated_one_by_one() {
    let scene = Scene::new().await;
    let found = validate(scene.ingester(), &[SOURCE, STATE, "no-such-bucket", "s3://a-bucket/folder"]).await;
    assert_eq!(well(&found), (true, true, vec![true, false, false, false]), "{found:#}");
    let words: Vec<_> = found["sources"].as_array().unwrap().iter().map(Value::to_string).collect();
    assert!(words[0].contains("it is empty"), "{}", words[0]);
    assert!(words[1].contains("cannot be a source"), "{}", words[1]);
    assert!(words[2].contains("does not exist"), "{}", words[2]);
    assert!(words[3].contains("write the bucket's name alone"), "{}", words[3]);

    let unnamed = answer(&scene.ingester().env("SOURCE_BUCKET", "").deploy(), &event("validate.json")).await;
    assert!(unnamed["summary"].as_str().unwrap().contains("no source bucket is named"), "{unnamed:#}");
    let outcome = scene.ingester().deploy().invoke(&json!({"validate": "all"})).await.outcome;
    let Outcome::Error { message, .. } = outcome else { panic!("{outcome:?}") };
    assert!(message.contains("must be a list of bucket names"), "{message}");
}

#[tokio::test]
async fn a_service_without_answers_is_reported_before_the_invocation_ends() {
    let scene = Scene::new().await;
    scene.world.s3.faults().add(Rule::any().bucket(SOURCE).before(Fault::Hang));
    scene.world.segment.faults().add(Rule::on("settings").before(Fault::Hang));
    let answer = validate(scene.ingester().timeout(std::time::Duration::from_secs(11)), &[]).await;
    assert_eq!(well(&answer), (false, true, vec![false]), "{answer:#}");
    // Of eleven seconds the last sixth is for the answer. A step alone would wait for ten.
    let result = answer["sources"][0]["steps"][1]["result"].as_str().unwrap();
    let waited_s: f64 = result.strip_prefix("no answer in ").unwrap().strip_suffix(" s").unwrap().parse().unwrap();
    assert!(waited_s <= 9.2, "{answer:#}");
}
