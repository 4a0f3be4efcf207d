//! Object-created events, in S3's words.

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use standins::s3::{Filter, Server};

use crate::support::{bytes, client};

#[tokio::test]
async fn an_event_has_the_form_of_s3() {
    let server = Server::memory().with_bucket("source").start().await.unwrap();
    let mut events = server.notifications("source", Filter::all());
    let s3 = client(&server.url(), &server.credentials());
    let key = "in/größe 1+2 (100%).csv";
    s3.put_object().bucket("source").key(key).body(bytes("hello")).send().await.unwrap();
    let event = events.recv().await.unwrap();
    let record = &event["Records"][0];
    assert_eq!(event["Records"].as_array().unwrap().len(), 1);
    assert_eq!(record["eventVersion"], "2.1");
    assert_eq!(record["eventSource"], "aws:s3");
    assert_eq!(record["eventName"], "ObjectCreated:Put");
    assert_eq!(record["s3"]["bucket"]["name"], "source");
    assert_eq!(record["s3"]["bucket"]["arn"], "arn:aws:s3:::source");
    let object = &record["s3"]["object"];
    assert_eq!(object["key"], "in/gr%C3%B6%C3%9Fe+1%2B2+%28100%25%29.csv");
    assert_eq!(object["size"], 5);
    assert_eq!(object["eTag"], "5d41402abc4b2a76b9719d911017c592");
    assert!(object.get("versionId").is_none());
    let time = record["eventTime"].as_str().unwrap();
    assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
}

#[tokio::test]
async fn versions_are_named_and_sequencers_grow() {
    let server = Server::memory().with_versioned_bucket("source").start().await.unwrap();
    let mut events = server.notifications("source", Filter::all());
    let s3 = client(&server.url(), &server.credentials());
    let mut last = String::new();
    for body in ["1", "2", "3"] {
        let put = s3.put_object().bucket("source").key("k").body(bytes(body)).send().await.unwrap();
        let event = events.recv().await.unwrap();
        let object = &event["Records"][0]["s3"]["object"];
        assert_eq!(object["versionId"].as_str(), put.version_id());
        let sequencer = object["sequencer"].as_str().unwrap().to_owned();
        assert!(sequencer > last);
        last = sequencer;
    }
}

#[tokio::test]
async fn prefix_and_suffix_filter_notifications() {
    let server = Server::memory().with_bucket("source").with_bucket("other").start().await.unwrap();
    let mut events = server.notifications("source", Filter::all().prefix("in/").suffix(".csv"));
    for key in ["in/a.csv", "out/b.csv", "in/c.txt", "in/d e.csv"] {
        server.put("source", key, "x").unwrap();
        server.put("other", key, "x").unwrap();
    }
    let mut keys = Vec::new();
    while let Ok(event) = events.try_recv() {
        keys.push(event["Records"][0]["s3"]["object"]["key"].as_str().unwrap().to_owned());
    }
    assert_eq!(keys, ["in/a.csv", "in/d+e.csv"]);
}

#[tokio::test]
async fn multipart_uploads_are_notified_and_refused_puts_are_not() {
    let server = Server::memory().with_bucket("source").start().await.unwrap();
    server.put("source", "there", "x").unwrap();
    let mut events = server.notifications("source", Filter::all());
    let s3 = client(&server.url(), &server.credentials());
    let refused = s3.put_object().bucket("source").key("there").if_none_match("*").body(bytes("y"));
    refused.send().await.unwrap_err();
    let create = s3.create_multipart_upload().bucket("source").key("parts");
    let upload = create.send().await.unwrap().upload_id.unwrap();
    let part = s3.upload_part().bucket("source").key("parts").upload_id(&upload).part_number(1);
    let etag = part.body(bytes("x")).send().await.unwrap().e_tag.unwrap();
    let parts = CompletedPart::builder().part_number(1).e_tag(etag).build();
    let parts = CompletedMultipartUpload::builder().parts(parts).build();
    let complete = s3.complete_multipart_upload().bucket("source").key("parts").upload_id(&upload);
    complete.multipart_upload(parts).send().await.unwrap();
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        let record = &event["Records"][0];
        told.push((record["eventName"].clone(), record["s3"]["object"]["key"].clone()));
    }
    assert_eq!(told, [("ObjectCreated:CompleteMultipartUpload".into(), "parts".into())]);
}
