//! Clocks that differ, credentials that have expired, keys that are busy.

use aws::clients::{config_at, s3, with_clock};
use aws::document::{Document, Format};
use aws::{Bucket, Clock, Dice, Kind};
use bytes::Bytes;
use standins::faults::{Fault, Rule};
use standins::s3::Server;

const BUCKET: &str = "our-state";
const HOUR_MS: i64 = 3_600_000;

async fn bucket(server: &Server, ahead_ms: i64) -> Bucket {
    let key = server.credentials();
    let config = config_at(&server.url(), &key.access_key_id, &key.secret_access_key);
    let clock = Clock::from_fn(move || Clock::system().now_ms() + ahead_ms);
    Bucket::new(s3(&with_clock(config, &clock)), BUCKET, Dice::seeded(1))
}

fn refusal(status: u16, code: &str) -> Fault {
    Fault::status(status).body(format!("<Error><Code>{code}</Code><Message>No.</Message></Error>")).into()
}

/// S3 refuses a signature that is more than 15 minutes old or early.
#[tokio::test]
async fn a_clock_that_is_wrong_costs_each_client_one_request() {
    for ahead_ms in [-HOUR_MS, HOUR_MS] {
        let server = Server::memory().with_bucket(BUCKET).start().await.unwrap();
        let bucket = bucket(&server, ahead_ms).await;
        for key in ["a", "b"] {
            bucket.put(key, Bytes::from_static(b"x"), "text/plain").await.unwrap();
        }
        assert_eq!(server.keys(BUCKET, ""), ["a", "b"]);
        let refused = server.requests().all().iter().filter(|request| request.status == Some(403)).count();
        assert_eq!(refused, 1, "{ahead_ms} ms ahead");
    }
}

#[tokio::test]
async fn a_compare_and_swap_with_a_refused_signature_is_signed_again() {
    let server = Server::memory().with_bucket(BUCKET).start().await.unwrap();
    let texts = Format {
        read: |bytes: &[u8]| Ok(String::from_utf8(bytes.to_vec())?),
        write: |text: &String| text.clone().into_bytes(),
        is_same_write: |one, other| one == other,
    };
    let document = Document::new(bucket(&server, HOUR_MS).await, "head.json", texts);
    document.swap(None, "one".to_owned()).await.unwrap().unwrap();
    assert_eq!((server.requests().count("GetObject"), server.bytes(BUCKET, "head.json").unwrap()), (0, "one".into()));
}

#[tokio::test]
async fn a_signature_that_is_refused_twice_is_a_fault_with_its_name() {
    for (status, code, kind) in [
        (403, "RequestTimeTooSkewed", Kind::Skewed),
        (400, "ExpiredToken", Kind::Expired),
        (400, "InvalidToken", Kind::Expired),
        (403, "InvalidAccessKeyId", Kind::Expired),
    ] {
        let server = Server::memory().with_bucket(BUCKET).start().await.unwrap();
        let bucket = bucket(&server, 0).await;
        server.faults().add(Rule::any().before(refusal(status, code)));
        let fault = bucket.put("k", Bytes::new(), "text/plain").await.unwrap_err();
        assert_eq!((fault.kind, fault.code.as_str(), fault.attempts), (kind, code, 2), "{fault}");
        let fault = bucket.swap("k", None, Bytes::new(), "text/plain").await.unwrap_err();
        assert_eq!((fault.kind, server.faults().strikes().len()), (kind, 4), "{fault}");
    }
}

#[tokio::test]
async fn a_busy_kms_is_asked_again() {
    for (status, code) in [(400, "KMS.ThrottlingException"), (400, "SlowDown"), (400, "Throttling")] {
        let server = Server::memory().with_bucket(BUCKET).start().await.unwrap();
        server.faults().add(Rule::on("PutObject").times(2).before(refusal(status, code)));
        bucket(&server, 0).await.put("k", Bytes::new(), "text/plain").await.unwrap();
        assert_eq!(server.requests().count("PutObject"), 3, "{code}");
    }
}

/// With an endpoint of our own, as here, the SDK has no address for an access point.
#[tokio::test]
async fn a_bucket_that_has_no_address_fails_at_once_and_nothing_is_sent() {
    let server = Server::memory().with_bucket(BUCKET).start().await.unwrap();
    let key = server.credentials();
    let config = config_at(&server.url(), &key.access_key_id, &key.secret_access_key);
    for name in
        ["arn:aws:s3:::inbox", "arn:aws:s3:us-east-1:123456789012:accesspoint/inbox", "arn:aws:sns:us-east-1:1:t"]
    {
        let bucket = Bucket::new(s3(&config), name, Dice::seeded(1));
        let fault = bucket.get("k").await.unwrap_err();
        assert_eq!((fault.kind, fault.attempts, fault.bucket()), (Kind::Other, 1, name), "{fault}");
    }
    assert!(server.requests().all().is_empty());
}
