//! Answers that stop a file: each says its cause and the fix, in the words of `validate`.

use serde_json::{Value, json};
use standins::faults::{Answer, Fault, Rule};
use standins::lambda::Outcome;
use standins::{installation, s3};
use stories::{SOURCE, STATE, World, answer, created};

const KEY: &str = "track_1.csv";
const CSV: &str = "userId,event\n1,e\n";

async fn world() -> World {
    let world = World::new().await;
    world.s3.put(SOURCE, KEY, CSV).unwrap();
    world
}

/// A refusal in the words of S3.
fn refusal(status: u16, code: &str, message: &str) -> Answer {
    Fault::status(status).body(format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"))
}

/// The reads of other buckets than our own.
fn reads_of_sources(world: &World) -> usize {
    world.s3.requests().of("GetObject").iter().filter(|request| request.bucket != STATE).count()
}

/// How the file of this bucket fails.
async fn failure(world: &World, bucket: &str) -> String {
    let mut payload = created(KEY);
    payload["Records"][0]["s3"]["bucket"]["name"] = json!(bucket);
    let invocation = world.ingester().deploy().invoke(&payload).await;
    let Outcome::Error { message, .. } = &invocation.outcome else { panic!("{invocation:#?}") };
    assert!(world.received_ids().is_empty(), "{message}");
    message.clone()
}

#[tokio::test]
async fn a_refused_read_is_told_with_the_cause_and_the_fix_of_validate() {
    let sse_c = "The object was stored using a form of Server Side Encryption. The correct parameters must be provided \
                 to retrieve the object.";
    let malformed = "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'";
    let no_key = "User: arn:aws:sts::1:assumed-role/r/f is not authorized to perform: kms:Decrypt on resource: k";
    let redirect = refusal(301, "PermanentRedirect", "Elsewhere.").header("x-amz-bucket-region", "eu-central-1");
    let cases = [
        (refusal(403, "InvalidObjectState", "The operation is not valid for the object's storage class"), "archived"),
        (refusal(400, "InvalidRequest", sse_c), "SSE-C"),
        (refusal(403, "AccessDenied", no_key), "encrypts with a KMS key"),
        (refusal(403, "AccessDenied", "The bucket is a Requester Pays bucket"), "REQUEST_PAYER=requester"),
        (refusal(400, "KMS.DisabledException", "arn:aws:kms:eu-west-1:1:key/k is disabled."), "KMS key is disabled"),
        (refusal(403, "AllAccessDisabled", "All access has been disabled."), "AWS has disabled all access"),
        (refusal(400, "AuthorizationHeaderMalformed", malformed), "is in eu-west-1"),
        (redirect, "is in eu-central-1"),
        (refusal(403, "RequestTimeTooSkewed", "The difference is too large."), "clock"),
        (refusal(400, "ExpiredToken", "The provided token has expired."), "have expired"),
        (refusal(403, "InvalidAccessKeyId", "It does not exist in our records."), "access key"),
    ];
    for (refusal, expected) in cases {
        let world = world().await;
        world.s3.faults().add(Rule::on("GetObject").bucket(SOURCE).before(refusal));
        let message = failure(&world, SOURCE).await;
        assert!(message.contains(expected), "{expected} is not in {message}");
        let found = answer(&world.ingester().deploy(), &json!({"validate": [SOURCE]})).await;
        let causes = &found["sources"][0]["steps"][2]["likely_causes"];
        let [cause, fix] =
            ["cause", "fix"].map(|field| causes[0][field].as_str().unwrap_or_else(|| panic!("{found:#}")));
        assert!(message.contains(&format!("{cause}: {fix}")), "{message} does not have {cause}: {fix}");
    }
}

#[tokio::test]
async fn a_busy_kms_does_not_stop_a_file() {
    let world = world().await;
    let busy = refusal(400, "KMS.ThrottlingException", "The rate of requests is too high.");
    world.s3.faults().add(Rule::on("GetObject").bucket(SOURCE).times(2).before(busy));
    let report = answer(&world.ingester().deploy(), &created(KEY)).await;
    assert_eq!(report["objects"][0]["outcome"], "finished", "{report:#}");
}

#[tokio::test]
async fn the_arn_of_a_bucket_names_the_bucket() {
    let world = world().await;
    let mut payload = created(KEY);
    payload["Records"][0]["s3"]["bucket"]["name"] = json!(format!("arn:aws:s3:::{SOURCE}"));
    let report = answer(&world.ingester().deploy(), &payload).await;
    assert_eq!(report["objects"][0]["object"], format!("s3://{SOURCE}/{KEY}"), "{report:#}");
    assert_eq!(report["objects"][0]["outcome"], "finished", "{report:#}");
    let found = answer(&world.ingester().deploy(), &json!({"validate": [format!("arn:aws:s3:::{SOURCE}")]})).await;
    assert_eq!(found["sources"][0]["ok"], true, "{found:#}");
}

#[tokio::test]
async fn a_bucket_without_an_address_fails_the_file_at_once() {
    let world = world().await;
    // The stand-in has no access points, so the SDK refuses it before it sends anything.
    let arn = "arn:aws:s3:us-east-1:123456789012:accesspoint/inbox";
    let message = failure(&world, arn).await;
    assert!(message.contains("nothing was sent") && message.contains("AWS_ENDPOINT_URL_S3"), "{message}");
    assert_eq!(reads_of_sources(&world), 0);
}

#[tokio::test]
async fn a_bucket_written_as_a_path_or_a_url_fails_the_file_in_the_words_of_validate() {
    let world = world().await;
    for bucket in [format!("{SOURCE}/"), format!("arn:aws:s3:::{SOURCE}/folder"), format!("s3://{SOURCE}")] {
        let message = failure(&world, &bucket).await;
        let found = answer(&world.ingester().deploy(), &json!({"validate": [bucket]})).await;
        let result = found["sources"][0]["steps"][0]["result"].as_str().unwrap().to_owned();
        let words = result.strip_prefix("the name ").unwrap();
        assert!(words.contains("write the bucket's name alone") && message.contains(words), "{message}: {words}");
    }
    assert_eq!(reads_of_sources(&world), 0);
}

#[tokio::test]
async fn a_requester_pays_bucket_is_read_if_request_payer_is_set() {
    let setup = installation::with_buckets(s3::Server::memory().with_requester_pays_bucket("paid"));
    let aws = setup.start().await.unwrap();
    aws.put("paid", KEY, CSV).unwrap();
    let scene = World::new().await;
    let ingester = |payer: &str| scene.ingester().envs(aws.env()).env("REQUEST_PAYER", payer).deploy();
    let mut payload = created(KEY);
    payload["Records"][0]["s3"]["bucket"]["name"] = json!("paid");
    let Outcome::Error { message, .. } = ingester("").invoke(&payload).await.outcome else { panic!("an error") };
    assert!(message.contains("AccessDenied"), "{message}");
    let causes = |found: &Value| found["sources"][0]["steps"][1]["likely_causes"].to_string();
    let found = answer(&ingester(""), &json!({"validate": ["paid"]})).await;
    assert!(causes(&found).contains("REQUEST_PAYER=requester"), "{found:#}");
    let found = answer(&ingester("requester"), &json!({"validate": ["paid"]})).await;
    assert_eq!(found["sources"][0]["ok"], true, "{found:#}");
    let report = answer(&ingester("requester"), &payload).await;
    assert_eq!(report["objects"][0]["outcome"], "finished", "{report:#}");
}
