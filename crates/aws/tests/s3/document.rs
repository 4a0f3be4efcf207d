//! A document changes by compare-and-swap, through lost answers and conflicts.

use aws::document::{Document, Format, Found};
use aws::{Bucket, Dice, Kind};
use standins::faults::{Fault, Rule};
use standins::s3::Server;
use std::sync::Arc;

const BUCKET: &str = "our-state";
const KEY: &str = "head.json";

/// A text is a document here, and identifies its own write.
const TEXTS: Format<String> = Format {
    read: |bytes| Ok(String::from_utf8(bytes.to_vec())?),
    write: |text| text.clone().into_bytes(),
    is_same_write: |one, other| one == other,
};

async fn world() -> (Arc<Server>, Document<String>) {
    let server = Server::memory().with_bucket(BUCKET).start().await.unwrap();
    let key = server.credentials();
    let config = aws::clients::config_at(&server.url(), &key.access_key_id, &key.secret_access_key);
    let bucket = Bucket::new(aws::clients::s3(&config), BUCKET, Dice::seeded(1));
    (Arc::new(server), Document::new(bucket, KEY, TEXTS))
}

/// A document of which `one` was written, and its ETag.
async fn written() -> (Arc<Server>, Document<String>, String) {
    let (server, document) = world().await;
    let Found { etag, .. } = document.swap(None, "one".to_owned()).await.unwrap().unwrap();
    server.requests().clear();
    (server, document, etag)
}

fn there(server: &Server) -> String {
    String::from_utf8(server.bytes(BUCKET, KEY).unwrap().to_vec()).unwrap()
}

/// Writes `text`, as another writer would, just before a request is carried out.
fn write(server: &Arc<Server>, text: &'static str) -> Fault {
    let server = Arc::clone(server);
    Fault::act(move |_| {
        server.put(BUCKET, KEY, text).unwrap();
    })
}

#[tokio::test]
async fn a_swap_needs_the_document_that_was_read() {
    let (server, document) = world().await;
    assert_eq!(document.read().await.unwrap(), None);
    let first = document.swap(None, "one".to_owned()).await.unwrap().unwrap();
    assert_eq!(document.read().await.unwrap(), Some(first.clone()));
    let second = document.swap(Some(&first.etag), "two".to_owned()).await.unwrap().unwrap();
    for stale in [None, Some(first.etag.as_str())] {
        assert_eq!(document.swap(stale, "three".to_owned()).await.unwrap(), None);
    }
    assert_eq!((there(&server), document.read().await.unwrap()), ("two".to_owned(), Some(second)));
}

#[tokio::test]
async fn a_refused_first_try_is_lost_and_the_document_is_not_read_again() {
    let (server, document, etag) = written().await;
    server.put(BUCKET, KEY, "another's").unwrap();
    assert_eq!(document.swap(Some(&etag), "two".to_owned()).await.unwrap(), None);
    assert_eq!((server.requests().count("PutObject"), server.requests().count("GetObject")), (1, 0));
}

#[tokio::test]
async fn a_swap_whose_answer_was_lost_is_done() {
    for fault in [Fault::Reset, Fault::InternalError, Fault::gateway_page().into()] {
        let (server, document, etag) = written().await;
        server.faults().add(Rule::on("PutObject").times(1).after(fault));
        let found = document.swap(Some(&etag), "two".to_owned()).await.unwrap().unwrap();
        assert_eq!(document.read().await.unwrap(), Some(found));
        assert_eq!((server.requests().count("PutObject"), there(&server)), (1, "two".to_owned()));
    }
}

#[tokio::test]
async fn a_swap_that_did_not_land_is_tried_again() {
    for fault in [Fault::Conflict, Fault::Reset, Fault::gateway_page().into()] {
        for before in [false, true] {
            let (server, document) = world().await;
            let etag = match before {
                true => Some(document.swap(None, "one".to_owned()).await.unwrap().unwrap().etag),
                false => None,
            };
            server.faults().add(Rule::on("PutObject").times(2).before(fault.clone()));
            let found = document.swap(etag.as_deref(), "two".to_owned()).await.unwrap().unwrap();
            assert_eq!((document.read().await.unwrap(), there(&server)), (Some(found), "two".to_owned()));
        }
    }
}

#[tokio::test]
async fn a_refused_later_try_is_done_if_an_earlier_one_landed_late() {
    let (server, document, etag) = written().await;
    server.faults().add(Rule::on("PutObject").times(1).before(Fault::Reset));
    server.faults().add(Rule::on("PutObject").skip(1).times(1).before(write(&server, "two")));
    let found = document.swap(Some(&etag), "two".to_owned()).await.unwrap();
    assert_eq!(document.read().await.unwrap(), found);
    assert_eq!((found.unwrap().value, server.requests().count("PutObject")), ("two".to_owned(), 2));
}

#[tokio::test]
async fn a_swap_is_lost_to_a_writer_that_comes_before_any_of_its_tries() {
    // Between the first try and reading back, and between reading back and the second try.
    for (operation, skip) in [("GetObject", 0), ("PutObject", 1)] {
        let (server, document, etag) = written().await;
        server.faults().add(Rule::on("PutObject").times(1).before(Fault::Reset));
        server.faults().add(Rule::on(operation).skip(skip).times(1).before(write(&server, "another's")));
        assert_eq!(document.swap(Some(&etag), "two".to_owned()).await.unwrap(), None, "{operation}");
        assert_eq!(there(&server), "another's");
    }
}

#[tokio::test]
async fn a_swap_that_is_never_answered_fails_and_can_be_retried() {
    let (server, document, etag) = written().await;
    server.faults().add(Rule::on("PutObject").before(Fault::Reset));
    let fault = document.swap(Some(&etag), "two".to_owned()).await.unwrap_err();
    assert_eq!((fault.kind, fault.attempts), (Kind::Transient, 6), "{fault}");
    assert_eq!(there(&server), "one");
}

#[tokio::test]
async fn an_unreadable_document_is_reported_and_not_overwritten() {
    let (server, document) = world().await;
    server.put(BUCKET, KEY, b"\xff").unwrap();
    let fault = document.read().await.unwrap_err();
    assert_eq!(fault.kind, Kind::Unreadable);
    assert!(fault.to_string().starts_with("failed to parse s3://our-state/head.json: "), "{fault}");
    assert_eq!(server.bytes(BUCKET, KEY).unwrap(), &b"\xff"[..]);
}
