//! `rejects`, `replay` and `redrive`.

use super::*;

#[tokio::test]
async fn rejects_are_fetched_under_their_own_name_and_replace_nothing() {
    let aws = Aws::new().await;
    let rows = "userId,event,_error_code,_error,_line,_byte\n,Seen,missing_user_id,x,3,20\n";
    aws.s3.put(STATE, "rejects/9/track_1.rejects.csv", rows).unwrap();
    aws.keep(&outcome("track_1.csv", Outcome::Finished, 1, NOW_MS));
    let folder = Folder::new("aws-rejects");
    let to = folder.0.to_str().unwrap();
    let fetched = aws.run(&["rejects", "track_1.csv", "--stack", "shop", "--folder", to]).await;
    assert_eq!(fetched.status, Some(0), "{}", fetched.stderr);
    let path = folder.0.join("track_1.rejects.csv");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), rows);
    std::fs::write(&path, "corrected").unwrap();
    let again = aws.run(&["rejects", "track_1.csv", "--stack", "shop", "--folder", to]).await;
    assert!(again.status == Some(2) && again.stderr.contains("is there already"), "{}", again.stderr);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "corrected");
    let printed = aws.run(&["rejects", "s3://inbox/track_1.csv", "--state", STATE, "--stdout"]).await;
    assert_eq!(printed.stdout, rows);
    let unknown = aws.run(&["rejects", "other.csv", "--stack", "shop"]).await;
    assert!(unknown.status == Some(2) && unknown.stderr.contains("no end of it is known"), "{}", unknown.stderr);
}

#[tokio::test]
async fn the_rejects_of_two_mappings_are_two_files() {
    let aws = Aws::new().await;
    let folder = Folder::new("aws-rejects-two");
    let to = folder.0.to_str().unwrap();
    for mapping in ["carts", "orders"] {
        let rejects = format!("rejects/9/{mapping}.rejects.csv");
        aws.s3.put(STATE, &rejects, mapping).unwrap();
        let refused = outcome("a.csv", Outcome::Finished, 1, NOW_MS);
        let rejects = Some(format!("s3://{STATE}/{rejects}"));
        aws.keep(&FileOutcome { mapping: Some(mapping.to_owned()), rejects, ..refused });
    }
    let joined = aws.run(&["rejects", "a.csv", "--stack", "shop", "--stdout"]).await;
    assert!(joined.status == Some(2) && joined.stderr.contains("name one with --mapping"), "{}", joined.stderr);
    assert_eq!(joined.stdout, "");
    let one = aws.run(&["rejects", "a.csv", "--stack", "shop", "--stdout", "--mapping", "orders"]).await;
    assert_eq!((one.status, &*one.stdout), (Some(0), "orders"), "{}", one.stderr);
    let unknown = aws.run(&["show", "a.csv", "--stack", "shop", "--mapping", "other"]).await;
    assert!(unknown.status == Some(2) && unknown.stderr.contains("carts, orders"), "{}", unknown.stderr);
    let corrected = folder.file("carts.rejects.csv", "corrected");
    let both = aws.run(&["rejects", "a.csv", "--stack", "shop", "--folder", to]).await;
    assert!(both.status == Some(2) && both.stderr.contains("is there already"), "{}", both.stderr);
    assert_eq!(std::fs::read_to_string(corrected).unwrap(), "corrected");
    assert_eq!(std::fs::read_to_string(folder.0.join("orders.rejects.csv")).unwrap(), "orders");
}

#[tokio::test]
async fn a_replay_is_a_message_in_the_queue() {
    let aws = Aws::new().await;
    aws.s3.put(INBOX, "in/a b.csv", "userId,event\nu1,Seen\n").unwrap();
    let sent = aws.run(&["replay", "in/a b.csv", "--tag", "2026-fix", "--stack", "shop"]).await;
    assert_eq!(sent.status, Some(0), "{}", sent.stderr);
    assert!(sent.stdout.contains("segment-s3 show 'in/a b.csv' --stack shop"), "{}", sent.stdout);
    let messages = aws.sqs.messages("work");
    let body: serde_json::Value = serde_json::from_str(&messages[0].body).unwrap();
    assert_eq!((messages.len(), &body["replay"]), (1, &"2026-fix".into()));
    let key = &body["Records"][0]["s3"]["object"]["key"];
    assert_eq!(key, "in%2Fa%20b%2Ecsv");
    let queue = aws.sqs.queue_url("work");
    let other = ["replay", "in/a b.csv", "--tag", "2026-fix", "--queue", &queue, "--inbox", INBOX];
    let other = aws.run(&other).await;
    assert!(other.status == Some(0) && !other.stdout.contains("show"), "it would not find the state: {}", other.stdout);
    for (key, tag, words) in
        [("other.csv", "x", "there is no s3://inbox/other.csv"), ("in/a b.csv", "a/b", "--tag must be 1 to 64")]
    {
        let refused = aws.run(&["replay", key, "--tag", tag, "--stack", "shop"]).await;
        assert!(refused.status == Some(2) && refused.stderr.contains(words), "{}", refused.stderr);
    }
    assert_eq!(aws.sqs.messages("work").len(), 2);
}

#[tokio::test]
async fn dead_letters_are_shown_with_reasons_and_go_back_to_the_queue() {
    let aws = Aws::new().await;
    let event = |key: &str| {
        format!(
            r#"{{"Records":[{{"s3":{{"bucket":{{"name":"inbox"}},"object":{{"key":"{key}","sequencer":"1"}}}}}}]}}"#
        )
    };
    for number in 0..25 {
        aws.sqs.send("dead", &event(&format!("track_{number}.csv")));
    }
    aws.keep(&outcome("track_7.csv", Outcome::Failed, 0, NOW_MS));
    let shown = aws.run(&["redrive", "--stack", "shop", "--dry-run"]).await;
    assert_eq!(shown.status, Some(0), "{}", shown.stderr);
    assert!(shown.stdout.contains("failed  the role may not read it"), "{}", shown.stdout);
    let dead = aws.sqs.messages("dead");
    let now_ms = aws.sqs.clock().now_ms();
    assert!(dead.len() == 25 && dead.iter().all(|message| message.visible_ms <= now_ms), "they are given back");
    let unasked = aws.run(&["redrive", "--stack", "shop"]).await;
    assert!(unasked.status == Some(2) && unasked.stderr.contains("add --yes"), "{}", unasked.stderr);
    assert!(aws.sqs.messages("work").is_empty());
    let sent = aws.run(&["redrive", "--stack", "shop", "--yes"]).await;
    assert!(sent.stdout.contains("25 of 25 messages are sent again"), "{} {}", sent.stdout, sent.stderr);
    assert!(aws.sqs.messages("dead").is_empty());
    let mut bodies: Vec<_> = aws.sqs.messages("work").into_iter().map(|message| message.body).collect();
    let mut expected: Vec<_> = (0..25).map(|number| event(&format!("track_{number}.csv"))).collect();
    bodies.sort();
    expected.sort();
    assert_eq!(bodies, expected);
    let empty = aws.run(&["redrive", "--stack", "shop", "--yes"]).await;
    assert!(empty.stdout.contains("the dead-letter queue is empty"), "{}", empty.stdout);
}

#[tokio::test]
async fn a_dead_letter_about_no_file_keeps_none_from_being_sent() {
    let aws = Aws::new().await;
    let of_test =
        r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-11-27T00:00:00.000Z","Bucket":"inbox"}"#;
    let of_file = r#"{"Records":[{"s3":{"bucket":{"name":"inbox"},"object":{"key":"a.csv","sequencer":"1"}}}]}"#;
    for body in [of_test, of_file] {
        aws.sqs.send("dead", body);
    }
    aws.s3.put(STATE, &key_of(INBOX, "a.csv"), "no document").unwrap();
    let shown = aws.run(&["redrive", "--stack", "shop", "--dry-run"]).await;
    assert_eq!(shown.status, Some(0), "{}", shown.stderr);
    assert!(
        shown.stdout.contains("a.csv  sent") && shown.stdout.contains("its outcome cannot be read"),
        "{}",
        shown.stdout
    );
    let (_, id) = shown.stdout.split_once("delete it with --discard ").unwrap();
    let id = id.lines().next().unwrap();
    let discarded = aws.run(&["redrive", "--stack", "shop", "--discard", id]).await;
    assert_eq!(discarded.status, Some(0), "{}", discarded.stderr);
    let left: Vec<_> = aws.sqs.messages("dead").into_iter().map(|message| message.body).collect();
    assert_eq!(left, [of_file]);
    let again = aws.run(&["redrive", "--stack", "shop", "--discard", id]).await;
    assert!(again.status == Some(2) && again.stderr.contains("there is no message"), "{}", again.stderr);
    let sent = aws.run(&["redrive", "--stack", "shop", "--yes"]).await;
    assert!(sent.stdout.contains("1 of 1 messages are sent again"), "{} {}", sent.stdout, sent.stderr);
}

#[tokio::test]
async fn a_redrive_that_ends_between_its_two_requests_loses_no_message() {
    use standins::faults::{Fault, Rule};
    let aws = Aws::new().await;
    aws.sqs.send("dead", "{}");
    let denied = Fault::status(403).body(r#"{"__type":"com.amazonaws.sqs#AccessDeniedException","message":"no"}"#);
    aws.sqs.faults().add(Rule::on("DeleteMessage").bucket("dead").before(denied));
    let ended = aws.run(&["redrive", "--stack", "shop", "--yes"]).await;
    assert_eq!(ended.status, Some(2), "{}", ended.stdout);
    assert!(ended.stderr.contains("ask for sqs:DeleteMessage"), "{}", ended.stderr);
    assert_eq!((aws.sqs.messages("dead").len(), aws.sqs.messages("work").len()), (1, 1));
}
