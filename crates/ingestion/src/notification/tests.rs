use super::*;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;

/// The answer to a payload in words: `b/key` for an object to ingest.
fn words(payload: &Value, wanted: Wanted) -> Vec<String> {
    let of_entry = |entry: Entry| match entry {
        Entry::Ingest(notice) => format!("{}/{}", notice.bucket, notice.key),
        Entry::Ignored(ignored) => format!("ignored: {}", ignored.reason),
        Entry::Unreadable(fault) => format!("unreadable: {fault}"),
        Entry::Backfill(backfill) => format!("rest of {}", backfill.bucket),
    };
    match read(payload, wanted) {
        Ok(Notification::Direct(entries)) => entries.into_iter().map(of_entry).collect(),
        Ok(Notification::Queue(messages)) => messages.into_iter().flat_map(|m| m.entries).map(of_entry).collect(),
        Ok(Notification::Batch(batch)) => {
            let notices = batch.tasks.into_iter().map(|task| task.notice);
            notices
                .map(|notice| {
                    notice.map_or_else(
                        |fault| format!("unreadable: {fault}"),
                        |n| format!("queue: {}/{}", n.bucket, n.key),
                    )
                })
                .collect()
        }
        Ok(Notification::Validate(buckets)) => vec![format!("validate: {buckets:?}")],
        Ok(Notification::Backfill(backfill)) => vec![format!("backfill: {backfill:?}")],
        Ok(Notification::Status(of)) => vec![format!("status: {of:?}")],
        Err(fault) => vec![format!("refused: {fault}")],
    }
}

/// The answer begins with this, and has nothing else.
#[track_caller]
fn check(payload: &Value, expected: &str) {
    let words = words(payload, EVERYTHING);
    assert!(words.len() == 1 && words[0].starts_with(expected), "{words:?} and not {expected}: {payload}");
}

fn s3(key: &str) -> Value {
    json!({"eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
           "s3": {"bucket": {"name": "b"}, "object": {"key": key}}})
}

fn named(name: &str) -> Value {
    let mut record = s3("k.csv");
    record["eventName"] = json!(name);
    json!({"Records": [record]})
}

fn event_bridge(kind: &str, detail: &Value) -> Value {
    json!({"detail-type": kind, "source": "aws.s3", "detail": detail})
}

fn in_queue(body: &Value) -> Value {
    let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
    json!({"messageId": "1", "eventSource": "aws:sqs", "body": body, "attributes": {"ApproximateReceiveCount": "3"}})
}

fn in_topic(message: &Value) -> Value {
    json!({"Type": "Notification", "Message": message.to_string()})
}

const EVERYTHING: Wanted = Wanted { copies: true, restored: true };

/// One line for each file of `events/`: what the ingester makes of it.
const SAMPLES: &[(&str, &str)] = &[
    ("batch_operations_1.json", "queue: segment-s3-source/track_1.csv"),
    ("batch_operations_2.json", "queue: segment-s3-source/track_1.csv"),
    ("eventbridge_copy.json", "segment-s3-source/track_1.csv"),
    ("eventbridge_object_created.json", "segment-s3-source/track_1.csv"),
    ("eventbridge_object_deleted.json", "ignored: `Object Deleted`"),
    ("eventbridge_restore_completed.json", "segment-s3-source/track_1.csv"),
    ("flush_full.json", "unreadable: the payload is not an S3 notification"),
    ("pipes_sqs_s3_put.json", "segment-s3-source/track_1.csv"),
    ("s3_copy.json", "segment-s3-source/track_1.csv"),
    ("s3_manual.json", "segment-s3-source/track_1.csv"),
    ("s3_object_removed.json", "ignored: `ObjectRemoved:Delete`"),
    ("s3_put.json", "segment-s3-source/track_1.csv"),
    ("s3_restore_completed.json", "segment-s3-source/track_1.csv"),
    ("s3_test_event.json", "ignored: a test event"),
    ("s3_two_records.json", "segment-s3-source/track_1.csv, segment-s3-source/exports/2026 Q4/identify_Zürich+1.csv"),
    ("scheduled.json", "ignored: `Scheduled Event`"),
    ("sns_s3_put.json", "segment-s3-source/track_1.csv"),
    ("sqs_eventbridge.json", "segment-s3-source/track_1.csv"),
    ("sqs_lambda_failure.json", "segment-s3-source/track_1.csv"),
    ("sqs_s3_put.json", "segment-s3-source/track_1.csv"),
    ("sqs_s3_put_byte_order_mark.json", "segment-s3-source/track_1.csv"),
    ("sqs_s3_put_encoded_twice.json", "segment-s3-source/track_1.csv"),
    ("sqs_sns_eventbridge.json", "segment-s3-source/track_1.csv"),
    ("sqs_sns_raw_s3_put.json", "segment-s3-source/track_1.csv"),
    ("sqs_sns_s3_put.json", "segment-s3-source/track_1.csv"),
    ("sqs_sns_s3_test_event.json", "ignored: a test event"),
    ("validate.json", "validate: []"),
];

#[test]
fn every_sample_of_an_event_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events");
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let named: BTreeSet<_> = SAMPLES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(files.collect::<BTreeSet<_>>(), named, "each sample is in the table");
    for (name, expected) in SAMPLES {
        let payload = serde_json::from_str(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap();
        let words = words(&payload, EVERYTHING).join(", ");
        assert!(words.starts_with(expected), "{name}: {words}");
        assert!(expected.contains(": ") || words == *expected, "{name}: {words}");
    }
}

#[test]
fn every_record_counts_and_keys_are_form_decoded() {
    let payload = json!({"Records": [s3("track_1.csv"), s3("a%2Fb+c/%E5%B0%8F%E9%BE%8D%2B1.csv")]});
    assert_eq!(words(&payload, EVERYTHING), ["b/track_1.csv", "b/a/b c/小龍+1.csv"]);
}

#[test]
fn eventbridge_does_not_encode_the_key() {
    let detail = json!({"bucket": {"name": "b"}, "object": {"key": "a+b.csv"}});
    check(&event_bridge("Object Created", &detail), "b/a+b.csv");
}

#[test]
fn a_queue_event_holds_notifications_and_each_message_fails_alone() {
    let mut broken = in_queue(&json!("no json"));
    broken["messageId"] = json!("2");
    let payload = json!({"Records": [in_queue(&json!({"Records": [s3("x+y.csv")]})), broken]});
    let Ok(Notification::Queue(messages)) = read(&payload, EVERYTHING) else { panic!("a queue") };
    let ids: Vec<_> = messages.iter().map(|message| (message.id.as_str(), message.receives)).collect();
    assert_eq!(ids, [("1", 3), ("2", 3)]);
    assert_eq!(words(&payload, EVERYTHING), ["b/x y.csv", "unreadable: the message's body is not JSON"]);
}

#[test]
fn envelopes_are_opened_in_any_order() {
    let event = json!({"Records": [s3("k.csv")]});
    let created = event_bridge("Object Created", &json!({"bucket": {"name": "b"}, "object": {"key": "k.csv"}}));
    let failed =
        |payload: &Value| json!({"requestContext": {"condition": "RetriesExhausted"}, "requestPayload": payload});
    for content in [event.clone(), created, s3("k.csv"), json!(event.to_string())] {
        for payload in [
            content.clone(),
            json!([content]),
            json!(format!("\u{feff}{content}")),
            in_topic(&content),
            json!({"Records": [in_queue(&content)]}),
            json!({"Records": [in_queue(&in_topic(&content))]}),
            json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": content.to_string()}}]}),
            json!([in_queue(&failed(&json!({"Records": [in_queue(&in_topic(&in_topic(&content)))]})))]),
            event_bridge("Event from aws:sqs", &in_queue(&content)),
            event_bridge("Lambda Function Invocation Result - Failure", &failed(&content)),
        ] {
            check(&payload, "b/k.csv");
        }
    }
}

#[test]
fn envelopes_without_end_are_refused() {
    let mut payload = json!({"Records": [s3("k.csv")]});
    for _ in 0..40 {
        payload = json!([payload]);
    }
    check(&payload, "unreadable: the S3 event is in more than 32 envelopes");
}

#[test]
fn an_event_that_creates_no_object_is_ignored_whoever_words_it() {
    for name in [
        "ObjectRemoved:Delete",
        "s3:ObjectRemoved:DeleteMarkerCreated",
        "ObjectRestore:Post",
        "ObjectRestore:Delete",
        "ObjectTagging:Put",
        "ObjectAcl:Put",
        "LifecycleExpiration:Delete",
        "LifecycleTransition",
        "Replication:OperationFailedReplication",
        "IntelligentTiering",
        "ReducedRedundancyLostObject",
    ] {
        check(&named(name), &format!("ignored: `{name}` is no S3 event about a new object"));
    }
    for kind in [
        "Object Deleted",
        "Object Restore Initiated",
        "Object Restore Expired",
        "Object Tags Added",
        "Object Tags Deleted",
        "Object ACL Updated",
        "Object Storage Class Changed",
        "Object Access Tier Changed",
        "Scheduled Event",
    ] {
        let detail = json!({"bucket": {"name": "b"}, "object": {"key": "k"}});
        check(&event_bridge(kind, &detail), &format!("ignored: `{kind}` is no S3 event about a new object"));
    }
    let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"});
    for payload in [test.clone(), in_topic(&test), json!({"Records": [in_queue(&in_topic(&test))]})] {
        check(&payload, "ignored: a test event");
    }
    let succeeded = json!({"requestContext": {"condition": "Success"}, "requestPayload": {"Records": [s3("k.csv")]}});
    check(&succeeded, "ignored: an invocation that has succeeded: its function has handled the event already");
    check(&json!({"Type": "UnsubscribeConfirmation"}), "ignored: a subscription of SNS that has ended");
}

#[test]
fn a_creation_of_any_kind_is_ingested() {
    for name in
        ["ObjectCreated:Put", "ObjectCreated:Post", "ObjectCreated:CompleteMultipartUpload", "s3:ObjectCreated:Put"]
    {
        for name in [name.to_owned(), name.to_lowercase(), name.to_uppercase()] {
            check(&named(&name), "b/k.csv");
        }
    }
    for kind in ["Object Created", "object created", "OBJECT CREATED"] {
        check(&event_bridge(kind, &json!({"bucket": {"name": "b"}, "object": {"key": "k.csv"}})), "b/k.csv");
    }
    let mut unnamed = s3("k.csv");
    unnamed.as_object_mut().unwrap().remove("eventName");
    check(&json!({"Records": [unnamed]}), "b/k.csv");
    // Another S3 than that of AWS.
    let mut foreign = s3("k.csv");
    foreign["eventSource"] = json!("minio:s3");
    check(&json!({"EventName": "s3:ObjectCreated:Put", "Key": "b/k.csv", "Records": [foreign]}), "b/k.csv");
}

#[test]
fn copies_and_restored_objects_are_ingested_as_the_settings_say() {
    let detail = |reason: &str| json!({"bucket": {"name": "b"}, "object": {"key": "k.csv"}, "reason": reason});
    let copies = [named("ObjectCreated:Copy"), event_bridge("Object Created", &detail("CopyObject"))];
    let restored = [named("ObjectRestore:Completed"), event_bridge("Object Restore Completed", &detail(""))];
    for (wanted, copies_are, restored_are) in [
        (Wanted { copies: true, restored: false }, "b/k.csv", "ignored: INGEST_RESTORED is false"),
        (Wanted { copies: false, restored: true }, "ignored: INGEST_COPIES is false", "b/k.csv"),
    ] {
        for (payloads, expected) in [(&copies, copies_are), (&restored, restored_are)] {
            for payload in payloads {
                let words = words(payload, wanted);
                assert!(words[0].starts_with(expected), "{words:?}");
            }
        }
        // An upload is one, whatever the settings say of copies.
        assert_eq!(words(&event_bridge("Object Created", &detail("PutObject")), wanted), ["b/k.csv"]);
        assert_eq!(words(&named("ObjectCreated:Put"), wanted), ["b/k.csv"]);
    }
}

#[test]
fn a_record_that_cannot_be_read_hides_no_other() {
    let keyless = json!({"s3": {"bucket": {"name": "b"}}});
    let mut no_text = s3("%ff");
    no_text["s3"]["object"]["sequencer"] = json!("0055AED6DCD90281E5");
    let payload = json!({"Records": [s3("one.csv"), keyless, 7, no_text, s3("two.csv"), in_queue(&json!("no json"))]});
    let expected = [
        "b/one.csv",
        "unreadable: record 1: `s3.object.key` is missing",
        "unreadable: the payload is not an S3 notification",
        "unreadable: record 3: `s3.object.key` is not UTF-8 once its percent escapes are decoded",
        "b/two.csv",
        "unreadable: the message's body is not JSON",
    ];
    let words = words(&payload, EVERYTHING);
    assert_eq!(words.len(), expected.len(), "{words:?}");
    for (word, expected) in words.iter().zip(expected) {
        assert!(word.starts_with(expected), "{word}");
    }
}

#[test]
fn a_continuation_round_trips() {
    let hop = Hop {
        count: 2,
        position: 7,
        stream: Some(StreamId::new([3; 16])),
        trouble_since_ms: Some(9),
        sent_ms: Some(10),
        missing: true,
    };
    let notice = Notice {
        other_keys: vec!["k  %.csv".into()],
        version_id: Some("v".into()),
        event_ms: Some(11),
        replay: Some("r1".into()),
        hop: Some(hop),
        ..Notice::of("b", "k +%.csv")
    };
    let read = read(&continuation(&notice), EVERYTHING);
    assert_eq!(read, Ok(Notification::Direct(vec![Entry::Ingest(notice)])));
}

#[test]
fn only_a_payload_written_by_hand_may_mean_another_key() {
    let spellings = |payload: &Value| match read(payload, EVERYTHING) {
        Ok(Notification::Direct(entries)) => match entries.as_slice() {
            [Entry::Ingest(notice)] => notice.spellings().map(|notice| notice.key).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let of_event_bridge =
        |key: &str| event_bridge("Object Created", &json!({"bucket": {"name": "b"}, "object": {"key": key}}));
    for (written, expected) in [
        ("a/track_1.csv", &["a/track_1.csv"] as &[&str]),
        ("a/track_h+1.csv", &["a/track_h 1.csv", "a/track_h+1.csv"]),
        ("a%2Ftrack_1.csv", &["a/track_1.csv", "a%2Ftrack_1.csv"]),
        ("a%252Ftrack_1.csv", &["a%2Ftrack_1.csv", "a%252Ftrack_1.csv", "a/track_1.csv"]),
        ("track_100%25.csv", &["track_100%.csv", "track_100%25.csv"]),
        ("track_%25E9.csv", &["track_%E9.csv", "track_%25E9.csv"]),
    ] {
        assert_eq!(spellings(&json!({"Records": [s3(written)]})), expected);
        let mut own = s3(written);
        own["s3"]["object"]["sequencer"] = json!("0055AED6DCD90281E5");
        assert_eq!(spellings(&json!({"Records": [own]})), expected[..1], "S3 has encoded it");
    }
    let of_latin_1 = json!({"Records": [s3("track_%E9.csv")]});
    assert_eq!(spellings(&of_latin_1), ["track_%E9.csv"], "it is no text once decoded, so it stands for itself");
    let mut payload = of_event_bridge("a%2Fb+c.csv");
    assert_eq!(spellings(&payload), ["a%2Fb+c.csv", "a/b c.csv"]);
    payload["detail"]["object"]["sequencer"] = json!("00617F08299329D189");
    assert_eq!(spellings(&payload), ["a%2Fb+c.csv"]);
}

#[test]
fn a_message_about_a_begun_file_means_one_key() {
    let hop = Hop { count: 1, position: 0, stream: None, trouble_since_ms: None, sent_ms: None, missing: false };
    let mut notice = Notice { other_keys: vec!["b".into()], hop: Some(hop), ..Notice::of("bucket", "a") };
    let second = notice.spellings().nth(1).unwrap();
    assert_eq!((second.key.as_str(), second.other_keys.as_slice()), ("b", ["a".to_owned()].as_slice()));
    notice.hop.as_mut().unwrap().stream = Some(StreamId::new([3; 16]));
    assert_eq!(notice.spellings().collect::<Vec<_>>(), [notice]);
}

#[test]
fn validation_can_be_invoked_by_a_person_and_not_by_a_queue() {
    check(&json!({"validate": []}), "validate: []");
    check(&json!({"validate": ["a", "b"]}), r#"validate: ["a", "b"]"#);
    check(&json!({"validate": ["arn:aws:s3:::inbox"]}), r#"validate: ["inbox"]"#);
    for validate in [json!("a"), json!({}), json!([1]), json!(null)] {
        check(&json!({ "validate": validate }), "refused: `validate` must be a list of bucket names");
    }
    check(
        &json!({"status": "s3://inbox/a b/track_1.csv"}),
        r#"status: Object { bucket: "inbox", key: "a b/track_1.csv" }"#,
    );
    check(&json!({"status": 1_000}), "status: Newest(1000)");
    for status in [json!("track_1.csv"), json!("s3://inbox"), json!("s3://inbox/"), json!(0), json!(1_001), json!(null)]
    {
        check(&json!({ "status": status }), "refused: `status` must be `s3://BUCKET/KEY`, or a number");
    }
    check(&json!({"Records": [in_queue(&json!({"backfill": {"bucket": "arn:aws:s3:::inbox"}}))]}), "rest of inbox");
    check(
        &json!({"backfill": {"bucket": "inbox", "prefix": "in/", "dry_run": true}}),
        r#"backfill: Backfill { bucket: "inbox", prefix: "in/", dry_run: true, tag: None }"#,
    );
    let backfill = json!({"backfill": {"bucket": "inbox"}});
    check(&json!({"Records": [in_queue(&backfill)]}), "rest of inbox");
    for backfill in
        [json!("inbox"), json!({"prefix": "in/"}), json!({"bucket": ""}), json!({"bucket": "b", "dry": true})]
    {
        check(&json!({ "backfill": backfill }), "refused: `backfill` must be");
    }
    let in_queue = in_queue(&json!({"validate": []}));
    check(&json!({"Records": [in_queue]}), "unreadable: the payload is not an S3 notification");
}

#[test]
fn a_payload_that_may_be_a_creation_in_another_form_is_never_ignored() {
    for payload in [
        json!({"hello": 1}),
        json!(7),
        json!(null),
        json!({"Records": {}}),
        json!({"Records": [{"eventSource": "aws:kinesis", "eventName": "aws:kinesis:record", "kinesis": {}}]}),
        json!({"continue": {"bucket": "b"}}),
        event_bridge("AWS API Call via CloudTrail", &json!({"eventName": "PutObject"})),
    ] {
        check(&payload, "unreadable: the payload is not an S3 notification: expected `Records`");
    }
    check(&json!({"Records": [{}]}), "unreadable: record 0: `s3.bucket.name` is missing");
    check(&event_bridge("Object Created", &json!({})), "unreadable: record 0: `detail.bucket.name` is missing");
    check(&json!("no json"), "unreadable: the message's body is not JSON");
    check(&json!({"Type": "SubscriptionConfirmation"}), "unreadable: SNS asks to confirm a subscription");
}

#[test]
fn a_replay_tag_counts_for_every_event_in_its_envelope() {
    let tagged = |payload: &Value| match read(payload, EVERYTHING).unwrap() {
        Notification::Direct(mut entries) => match entries.remove(0) {
            Entry::Ingest(notice) => notice.replay.unwrap(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let mut payload = json!({"Records": [s3("k")], "replay": "monday-2"});
    assert_eq!(tagged(&payload), "monday-2");
    assert_eq!(tagged(&json!([in_topic(&payload)])), "monday-2");
    assert_eq!(
        tagged(&json!({"requestPayload": payload, "replay": "later"})),
        "later",
        "the outer tag is the newer one"
    );
    payload["replay"] = json!("a b");
    check(&payload, "unreadable: `replay` must be");
}

#[test]
fn a_notice_has_the_time_of_its_event_unless_a_person_wrote_the_event() {
    let time_of = |payload: &Value| match read(payload, EVERYTHING).unwrap() {
        Notification::Direct(mut entries) => match entries.remove(0) {
            Entry::Ingest(notice) => notice.event_ms,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let mut of_s3 = s3("k.csv");
    of_s3["eventTime"] = json!("2019-05-11T20:32:27.940Z");
    assert_eq!(time_of(&of_s3), None, "no sequencer");
    of_s3["s3"]["object"]["sequencer"] = json!("0055AED6DCD90281E5");
    assert_eq!(time_of(&of_s3), Some(1_557_606_747_940));
    of_s3["eventTime"] = json!("yesterday");
    assert_eq!(time_of(&of_s3), None);
    let object = json!({"key": "k.csv", "sequencer": "0055AED6DCD90281E5"});
    let detail = json!({"bucket": {"name": "b"}, "object": object});
    let mut of_event_bridge = event_bridge("Object Created", &detail);
    of_event_bridge["time"] = json!("2019-05-11T20:32:27Z");
    assert_eq!(time_of(&of_event_bridge), Some(1_557_606_747_000));
}
