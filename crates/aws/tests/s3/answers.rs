//! Which answers count: each operation of a bucket, when a gateway answers in S3's place.

use aws::bucket::Pin;
use aws::{Bucket, Created, Dice, Fault, Kind, Swapped};
use bytes::Bytes;
use protocol::upload::Version;
use standins::faults::{self, Moment, Rule};
use standins::s3::Server;

const BUCKET: &str = "our-state";
const TEXT: &str = "text/plain";

/// A bucket with an object `there`, its pin, and a rule for every request from then on.
async fn bucket_with(rule: Rule, moment: Moment) -> (Server, Bucket, Pin) {
    let server = Server::memory().with_bucket(BUCKET).start().await.unwrap();
    let key = server.credentials();
    let config = aws::clients::config_at(&server.url(), &key.access_key_id, &key.secret_access_key);
    let bucket = Bucket::new(aws::clients::s3(&config), BUCKET, Dice::seeded(1));
    server.put(BUCKET, "there", "old").unwrap();
    let pin = bucket.open("there", &Version::Latest, 10).await.unwrap().pin;
    let page = faults::Fault::gateway_page();
    server.faults().add(match moment {
        Moment::Before => rule.before(page),
        Moment::After => rule.after(page),
    });
    (server, bucket, pin)
}

fn body() -> Bytes {
    Bytes::from_static(b"new")
}

/// Runs one operation on the bucket and returns whether its result is right.
async fn operate(operation: &str, bucket: &Bucket, pin: &Pin) -> Result<bool, Fault> {
    Ok(match operation {
        "get" => bucket.get("there").await?.is_some_and(|object| object.body == "old" && object.etag == pin.etag),
        "open" => bucket.open("there", &Version::Latest, 10).await?.pin == *pin,
        "read" => bucket.read("there", pin, 1, 10).await?.pin == *pin,
        "put" => bucket.put("k", body(), TEXT).await.map(|()| true)?,
        // After a page the second try finds the object of the first.
        "create" => matches!(bucket.create("k", body(), TEXT).await?, Created::Done(_) | Created::AlreadyThere),
        "list" => bucket.list_page("", None).await?.0.iter().any(|object| object.key == "there"),
        "first key" => bucket.first_key().await?.as_deref() == Some("there"),
        "delete" => bucket.delete(&["there".to_owned()]).await.map(|()| true)?,
        "upload" => {
            let mut upload = bucket.upload("k", TEXT).await?;
            upload.part(body()).await?;
            upload.complete().await.map(|_| true)?
        }
        other => panic!("no operation: {other}"),
    })
}

const OPERATIONS: [&str; 9] = ["get", "open", "read", "put", "create", "list", "first key", "delete", "upload"];

#[tokio::test]
async fn a_request_that_a_gateway_answers_is_sent_again() {
    for operation in OPERATIONS {
        for moment in [Moment::Before, Moment::After] {
            let requests = if operation == "upload" { 3 } else { 1 };
            for request in 0..requests {
                // The repetition of a request that was answered by a page comes before the next request.
                let (server, bucket, pin) = bucket_with(Rule::any().skip(request).times(1), moment).await;
                let case = format!("{operation}, request {request}, {moment:?}");
                assert!(operate(operation, &bucket, &pin).await.unwrap(), "{case}");
                assert_eq!(server.faults().strikes().len(), 1, "{case}");
                let writes = matches!(operation, "put" | "create" | "upload");
                assert_eq!(server.bytes(BUCKET, "k"), writes.then(body), "{case}");
                assert_eq!(server.object(BUCKET, "there").is_none(), operation == "delete", "{case}");
            }
        }
    }
}

#[tokio::test]
async fn an_operation_that_only_a_gateway_answers_fails_and_can_be_retried() {
    let check = async |operation: &str| {
        let (server, bucket, pin) = bucket_with(Rule::any(), Moment::Before).await;
        let fault = operate(operation, &bucket, &pin).await.unwrap_err();
        assert_eq!(fault.kind, Kind::Transient, "{operation}: {fault}");
        let words = fault.to_string();
        assert!(words.contains("not from S3") || words.contains("not from AWS"), "{operation}: {fault}");
        assert_eq!(server.keys(BUCKET, ""), ["there"], "{operation}");
    };
    tokio::join!(
        check("get"),
        check("open"),
        check("read"),
        check("put"),
        check("create"),
        check("list"),
        check("first key"),
        check("delete"),
        check("upload"),
    );
}

#[tokio::test]
async fn a_swap_that_a_gateway_answers_is_unsure_even_if_it_landed() {
    for moment in [Moment::Before, Moment::After] {
        let (server, bucket, pin) = bucket_with(Rule::any().times(1), moment).await;
        let swapped = bucket.swap("there", Some(&pin.etag), body(), TEXT).await.unwrap();
        assert!(matches!(swapped, Swapped::Unsure(_)), "{moment:?}: {swapped:?}");
        let landed = server.bytes(BUCKET, "there").unwrap() == "new";
        assert_eq!(landed, moment == Moment::After);
    }
}

/// S3 words each refusal. A page says nothing about the object, whatever its status.
#[tokio::test]
async fn a_refusal_of_a_gateway_is_not_mistaken_for_one_of_s3() {
    let check = async |status: u16| {
        let (server, bucket, pin) = bucket_with(Rule::any(), Moment::Before).await;
        server.faults().clear();
        let page =
            faults::Fault::status(status).header("location", "/login").body("<html><body>Not here.</body></html>");
        server.faults().add(Rule::any().before(page));
        let ends = OPERATIONS.map(async |operation| {
            let fault = operate(operation, &bucket, &pin).await.unwrap_err();
            assert_eq!(fault.kind, Kind::Transient, "{operation}, {status}: {fault}");
        });
        futures_util::future::join_all(ends).await;
        let swapped = bucket.swap("k", None, body(), TEXT).await.unwrap();
        assert!(matches!(swapped, Swapped::Unsure(_)), "{status}: {swapped:?}");
        assert_eq!(server.keys(BUCKET, ""), ["there"], "{status}");
    };
    futures_util::future::join_all([302, 400, 401, 403, 404, 407, 409, 412, 502].map(check)).await;
}

/// Another server's answer about another object: it has an ETag, but not the promised bytes.
#[tokio::test]
async fn an_answer_without_the_promised_bytes_is_an_outage() {
    let page = |headers: &[(&str, &str)]| {
        let page = faults::Fault::status(206).body("<html></html>").header("etag", "\"page\"");
        headers.iter().fold(page, |page, (name, value)| page.header(name, value))
    };
    let pages = [
        ("read", page(&[])),
        ("read", page(&[("content-range", "bytes 0-12/13")])),
        ("read", page(&[("content-range", "bytes 1-13/14")])),
        ("open", page(&[("content-range", "bytes 0-99/100")])),
        ("get", page(&[("content-range", "bytes 0-99/100")])),
    ];
    for (operation, page) in pages {
        let (server, bucket, pin) = bucket_with(Rule::any(), Moment::Before).await;
        server.faults().clear();
        server.faults().add(Rule::on("GetObject").times(2).before(page));
        assert!(operate(operation, &bucket, &pin).await.unwrap(), "{operation}");
        assert_eq!(server.faults().strikes().len(), 2, "{operation}");
    }
}

#[tokio::test]
async fn a_listing_or_a_deletion_that_another_server_answers_in_xml_is_an_outage() {
    for (operation, request) in [("list", "ListObjectsV2"), ("first key", "ListObjectsV2"), ("delete", "DeleteObjects")]
    {
        for xml in ["<ok/>", "<ListBucketResult/>", "<DeleteResult/>", "<?xml version=\"1.0\"?><status>fine</status>"] {
            let (server, bucket, pin) = bucket_with(Rule::any(), Moment::Before).await;
            server.faults().clear();
            server.faults().add(Rule::on(request).times(1).before(faults::Fault::status(200).body(xml)));
            assert!(operate(operation, &bucket, &pin).await.unwrap(), "{operation}: {xml}");
        }
    }
}
