//! `drop`: the check, the upload, and the file to its end.

use super::*;

#[tokio::test]
async fn a_dropped_file_is_followed_to_the_end_of_its_own_version() {
    let aws = Aws::with(Stack::default().parameter("SourcePrefix", "in/")).await;
    let folder = Folder::new("aws-drop");
    let file = folder.file("track_1.csv", "userId,event\nu1,Seen\n,Seen\nu3,Seen\n");
    let key = "in/track_1.csv";
    aws.keep(&outcome(key, Outcome::Finished, 0, NOW_MS));
    let mut drop = aws.start(&["drop", &file, "--stack", "shop"]);
    until(&mut drop, "uploaded to s3://inbox/in/track_1.csv, version ").await;
    let ours = of_latest(&aws, outcome(key, Outcome::Finished, 1, NOW_MS + 2));
    // Another version ends in between.
    let another =
        FileOutcome { stream: Some(StreamId::new([8; 16])), ..outcome(key, Outcome::Finished, 0, NOW_MS + 1) };
    aws.keep(&another);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(drop.try_wait().unwrap().is_none(), "it was another version");
    aws.keep(&ours);
    let ended = ended(drop).await;
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    assert!(ended.stdout.contains("finished  3 rows = 2 accepted + 1 refused"), "{}", ended.stdout);
    assert!(ended.stdout.contains("segment-s3 rejects in/track_1.csv --stack shop"), "{}", ended.stdout);
    let put = aws.s3.bytes(INBOX, key).unwrap();
    assert_eq!(&put[..], std::fs::read(&file).unwrap());
}

#[tokio::test]
async fn a_dropped_file_ends_although_another_version_ends_right_after_it() {
    let aws = Aws::new().await;
    let folder = Folder::new("aws-drop-shared");
    let file = folder.file("track_1.csv", "userId,event\nu1,Seen\n,Seen\nu3,Seen\n");
    // Without a stack the source is not known, so the checkpoint is not either.
    for args in [&["--stack", "shop"][..], &["--inbox", INBOX, "--state", STATE]] {
        let mut drop = aws.start(&[&["drop", &file], args].concat());
        until(&mut drop, "uploaded to").await;
        let now_ms = aws::Clock::system().now_ms();
        let ours = of_latest(&aws, outcome("track_1.csv", Outcome::Finished, 1, now_ms));
        aws.s3.put(STATE, &keys::checkpoint(ours.stream.unwrap()), ended_checkpoint(&aws).to_json()).unwrap();
        let another = outcome("track_1.csv", Outcome::Finished, 0, now_ms + 1);
        aws.keep(&ours);
        aws.keep(&FileOutcome { stream: Some(StreamId::new([8; 16])), ..another });
        let ended = ended(drop).await;
        assert_eq!(ended.status, Some(1), "{}", ended.stderr);
        assert!(ended.stdout.contains("3 rows = 2 accepted + 1 refused"), "{}", ended.stdout);
    }
}

#[tokio::test]
async fn a_dropped_file_ends_with_its_ledger_if_its_outcome_is_not_kept() {
    let aws = Aws::new().await;
    let folder = Folder::new("aws-drop-ledger");
    let file = folder.file("track_1.csv", "userId,event\nu1,Seen\n,Seen\nu3,Seen\n");
    let mut drop = aws.start(&["drop", &file, "--stack", "shop"]);
    until(&mut drop, "uploaded to").await;
    let checkpoint = ended_checkpoint(&aws);
    let stream = checkpoint.object.stream();
    aws.s3.put(STATE, &keys::checkpoint(stream), checkpoint.to_json()).unwrap();
    aws.s3.put(STATE, &keys::ledger(stream), Ledger::of(&checkpoint).unwrap().to_json()).unwrap();
    let ended = ended(drop).await;
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    assert!(ended.stdout.contains("finished  3 rows = 2 accepted + 1 refused"), "{}", ended.stdout);
    assert!(ended.stdout.contains("refused rows: s3://state/rejects/9/track_1.rejects.csv"), "{}", ended.stdout);
}

#[tokio::test]
async fn a_document_of_a_newer_version_ends_the_following_with_its_reason() {
    let aws = Aws::new().await;
    let folder = Folder::new("aws-drop-newer");
    let file = folder.file("track_1.csv", "userId,event\nu1,Seen\n");
    let mut drop = aws.start(&["drop", &file, "--stack", "shop"]);
    until(&mut drop, "uploaded to").await;
    let stream = ended_checkpoint(&aws).object.stream();
    aws.s3.put(STATE, &keys::checkpoint(stream), r#"{"format":999}"#).unwrap();
    let ended = ended(drop).await;
    assert_eq!(ended.status, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("checkpoint.json") && ended.stderr.contains("999"), "{}", ended.stderr);
}

#[tokio::test]
async fn two_files_with_one_key_are_refused_before_the_upload() {
    let aws = Aws::new().await;
    let (one, two) = (Folder::new("aws-drop-one"), Folder::new("aws-drop-two"));
    let text = "userId,event\nu1,Seen\n";
    let (one, two) = (one.file("track_1.csv", text), two.file("track_1.csv", text));
    let ended = aws.run(&["drop", &one, &two, "--stack", "shop"]).await;
    assert!(ended.status == Some(2) && ended.stderr.contains("the same key"), "{}", ended.stderr);
    assert!(aws.s3.keys(INBOX, "").is_empty());
}

#[tokio::test]
async fn without_versions_etag_and_date_identify_the_upload() {
    let aws = Aws::new().await;
    aws.s3.set_versioning(INBOX, s3::Versioning::Off).unwrap();
    let folder = Folder::new("aws-drop-unversioned");
    let file = folder.file("track_1.csv", "userId,event\nu1,Seen\n");
    let mut drop = aws.start(&["drop", &file, "--stack", "shop"]);
    until(&mut drop, "uploaded to s3://inbox/track_1.csv\n").await;
    aws.keep(&of_latest(&aws, outcome("track_1.csv", Outcome::Finished, 0, NOW_MS)));
    let ended = ended(drop).await;
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
}

#[tokio::test]
async fn a_file_that_fails_has_status_2_and_says_why() {
    let aws = Aws::new().await;
    let folder = Folder::new("aws-drop-fails");
    let file = folder.file("track_1.csv", "userId,event\nu1,Seen\n");
    let mut drop = aws.start(&["drop", &file, "--inbox", INBOX, "--state", STATE, "--json"]);
    while aws.s3.objects(INBOX, "track_1.csv").is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(drop.try_wait().unwrap().is_none());
    }
    // The message failed before the object was read.
    aws.keep(&FileOutcome { stream: None, ..outcome("track_1.csv", Outcome::Failed, 0, NOW_MS) });
    let ended = ended(drop).await;
    assert_eq!(ended.status, Some(2), "{}", ended.stderr);
    let told: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(told["outcomes"][0]["reason"], "the role may not read it", "{told:#}");
    assert_eq!(told["checked"][0]["rows"], 1, "{told:#}");
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_not_uploaded() {
    let aws = Aws::with(Stack::default().parameter("MoreSettings", "REJECT_LIMIT_ROWS=1")).await;
    let folder = Folder::new("aws-drop-bad");
    for (name, text, words) in [
        ("track_1.csv", "userId,event\n,Seen\n,Seen\n", "would be stopped"),
        ("notes.csv", "a\n1\n", "no known prefix"),
        ("track_2.csv", "", "empty"),
    ] {
        let file = folder.file(name, text);
        let ended = aws.run(&["drop", &file, "--stack", "shop"]).await;
        assert_eq!(ended.status, Some(2), "{}", ended.stderr);
        assert!(ended.stdout.contains(words) && ended.stdout.contains("it is not uploaded"), "{}", ended.stdout);
    }
    assert!(aws.s3.keys(INBOX, "").is_empty());
}

#[tokio::test]
async fn a_key_that_starts_nothing_is_refused_before_the_upload() {
    let aws = Aws::with(Stack::default().parameter("SourcePrefix", "in/").parameter("SourceSuffix", ".csv")).await;
    let folder = Folder::new("aws-drop-prefix");
    let file = folder.file("track_1.txt", "userId,event\nu1,Seen\n");
    for (prefix, words) in [("out/", "write --prefix in/"), ("in/", "rename the file")] {
        let ended = aws.run(&["drop", &file, "--stack", "shop", "--prefix", prefix]).await;
        assert_eq!(ended.status, Some(2));
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
    assert!(aws.s3.keys(INBOX, "").is_empty());
}

#[tokio::test]
async fn without_following_the_check_gives_the_exit_status() {
    let aws = Aws::with(Stack::default().parameter("SourcePrefix", "in/")).await;
    let folder = Folder::new("aws-drop-unfollowed");
    let file = folder.file("track_1.csv", "userId,event\nu1,Seen\n,Seen\nu3,Seen\n");
    let gone = folder.0.join("track_2.csv");
    let ended = aws.run(&["drop", &file, "--stack", "shop", "--no-follow"]).await;
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    assert_eq!(aws.s3.keys(INBOX, ""), ["in/track_1.csv"]);
    let ended = aws.run(&["drop", gone.to_str().unwrap(), &file, "--stack", "shop", "--no-follow", "--json"]).await;
    let told: Vec<serde_json::Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((ended.status, told.len()), (Some(2), 2), "each file has a document: {}", ended.stdout);
    assert!(told[0]["error"].as_str().unwrap().contains("failed to open it"), "{}", told[0]);
}

#[tokio::test]
async fn check_and_drop_read_a_file_under_the_same_key() {
    let mapping = "[[mapping]]\nname = \"orders\"\nmatch = \"in/orders*.csv\"\ncall = \"track\"\nset.event = \"Ordered\"\n\
        columns.\"Email\" = \"userId\"\nrest = \"drop\"\n";
    let aws = Aws::with(Stack::default().parameter("SourcePrefix", "in/").parameter("Config", mapping)).await;
    let folder = Folder::new("aws-same-key");
    let file = folder.file("orders_1.csv", "Email,Total\nann@example.com,1\n");
    let checked = aws.run(&["check", &file, "--stack", "shop", "--json"]).await;
    let checked: serde_json::Value = serde_json::from_str(&checked.stdout).unwrap();
    let dropped = aws.run(&["drop", &file, "--stack", "shop", "--no-follow", "--json"]).await;
    let dropped: serde_json::Value = serde_json::from_str(&dropped.stdout).unwrap();
    assert_eq!((&checked["mapping"], &dropped["checked"][0]["mapping"]), (&"orders".into(), &"orders".into()));
    assert_eq!(dropped["object"], "s3://inbox/in/orders_1.csv");
    let mistaken = aws.run(&["drop", &file, "--stack", "shop", "--prefix", "in"]).await;
    assert!(mistaken.status == Some(2) && mistaken.stderr.contains("write --prefix in/"), "{}", mistaken.stderr);
}

#[tokio::test]
async fn a_drop_goes_on_when_its_output_cannot_be_written() {
    let aws = Aws::new().await;
    let folder = Folder::new("aws-drop-unread");
    let text = "userId,event\nu1,Seen\n";
    let (one, two) = (folder.file("track_1.csv", text), folder.file("track_2.csv", text));
    for key in ["track_1.csv", "track_2.csv"] {
        // The message failed before the object was read.
        let failed = FileOutcome { stream: None, ..outcome(key, Outcome::Failed, 0, NOW_MS) };
        aws.keep(&failed);
    }
    let args = ["drop", &one, &two, "--stack", "shop", "--no-follow"];
    let mut closed = aws.start(&args);
    drop(closed.stdout.take());
    let closed = ended(closed).await;
    assert_eq!((closed.status, &*closed.stderr), (Some(0), ""), "a closed pipe is ignored");
    assert_eq!(aws.s3.versions(INBOX, "").len(), 2);
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    let mut full_disk = aws.command(&args);
    let full_disk = ended(full_disk.stdout(full).spawn().unwrap()).await;
    assert_eq!(full_disk.status, Some(2), "{}", full_disk.stderr);
    assert!(full_disk.stderr.contains("failed to write to standard output"), "{}", full_disk.stderr);
    assert_eq!(aws.s3.versions(INBOX, "").len(), 4);
    for args in [&["files", "--stack", "shop"][..], &["show", "track_1.csv", "--stack", "shop"]] {
        let mut closed = aws.start(args);
        drop(closed.stdout.take());
        assert_eq!(ended(closed).await.stderr, "", "{args:?}");
    }
}

#[tokio::test]
async fn ctrl_c_in_an_upload_gives_it_up_and_says_what_is_uploaded() {
    use standins::faults::{Fault, Gate, Rule};
    let aws = Aws::new().await;
    let gate = Gate::new();
    let folder = Folder::new("aws-drop-interrupted-upload");
    let text = "userId,event\nu1,Seen\n";
    let (one, two) = (folder.file("track_1.csv", text), folder.file("track_2.csv", text));
    aws.s3.faults().add(Rule::on("UploadPart").key("track_2.csv").before(Fault::Hold(gate.clone())));
    let three = folder.file("track_3.csv", text);
    let mut drop = aws.start(&["drop", &one, &two, &three, "--stack", "shop"]);
    until(&mut drop, "uploaded to s3://inbox/track_1.csv").await;
    gate.reached(1).await;
    interrupt(&drop);
    let ended = ended(drop).await;
    assert_eq!(ended.status, Some(130), "{}", ended.stderr);
    for name in ["track_2.csv", "track_3.csv"] {
        assert!(ended.stderr.contains(&format!("{name}: Ctrl-C: it is not uploaded")), "{}", ended.stderr);
    }
    assert!(ended.stderr.contains("segment-s3 show track_1.csv --stack shop"), "{}", ended.stderr);
    assert_eq!(aws.s3.requests().count("AbortMultipartUpload"), 1);
    assert_eq!(aws.s3.keys(INBOX, ""), ["track_1.csv"]);
}

#[tokio::test]
async fn ctrl_c_ends_the_following_and_not_the_ingestion() {
    let aws = Aws::new().await;
    let folder = Folder::new("aws-drop-interrupted");
    let file = folder.file("track_1.csv", "userId,event\nu1,Seen\n");
    let mut drop = aws.start(&["drop", &file, "--stack", "shop"]);
    until(&mut drop, "uploaded to").await;
    let questions = || aws.s3.requests().count("GetObject");
    let before = questions();
    while questions() < before + 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    interrupt(&drop);
    let ended = ended(drop).await;
    assert_eq!(ended.status, Some(130));
    assert!(ended.stderr.contains("the ingestion goes on"), "{}", ended.stderr);
    assert!(ended.stderr.contains("segment-s3 show track_1.csv --stack shop"), "{}", ended.stderr);
    assert_eq!(aws.s3.keys(INBOX, ""), ["track_1.csv"]);
}
