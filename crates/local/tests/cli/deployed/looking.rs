//! `check --stack`, `files`, `show` and `logs`.

use super::*;

#[tokio::test]
async fn check_reads_by_what_is_deployed() {
    let mapping = "[[mapping]]\nname = \"orders\"\nmatch = \"orders*.csv\"\ncall = \"track\"\nset.event = \"Ordered\"\n\
        columns.\"Email\" = \"userId\"\nrest = \"drop\"\n";
    let folder = Folder::new("aws-check");
    let file = folder.file("orders_1.csv", "Email,Total\nann@example.com,1\n");
    let inline = Aws::with(Stack::default().parameter("Config", mapping)).await;
    let in_object = Aws::with(Stack::default().parameter("Config", "s3://state/ingest/config.toml")).await;
    in_object.s3.put(STATE, "ingest/config.toml", mapping).unwrap();
    for aws in [inline, in_object] {
        let ended = aws.run(&["check", &file, "--key", "orders_1.csv", "--stack", "shop", "--json"]).await;
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
        let told: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!((&told["mapping"], &told["rows"]), (&"orders".into(), &1.into()), "{told:#}");
        assert_eq!(aws.run(&["check", &file, "--key", "orders_1.csv"]).await.status, Some(2), "not without the stack");
    }
}

#[tokio::test]
async fn files_are_listed_with_their_last_outcome() {
    let aws = Aws::new().await;
    let now_ms = aws::Clock::system().now_ms();
    aws.keep(&outcome("a.csv", Outcome::Failed, 0, now_ms - 4_000));
    aws.keep(&outcome("b.csv", Outcome::Failed, 0, now_ms - 3_000));
    aws.keep(&outcome("a.csv", Outcome::Finished, 1, now_ms - 2_000));
    let all = aws.run(&["files", "--stack", "shop"]).await;
    let lines: Vec<_> = all.stdout.lines().collect();
    assert_eq!((all.status, lines.len()), (Some(0), 4), "{} {}", all.stdout, all.stderr);
    assert!(lines[1].ends_with("a.csv") && lines[1].contains("finished"), "{}", all.stdout);
    assert!(lines[2].ends_with("b.csv") && lines[3].contains("the role may not read it"), "{}", all.stdout);
    let failed = aws.run(&["files", "--failed", "--json", "--state", STATE]).await;
    let file: serde_json::Value = serde_json::from_str(&failed.stdout).unwrap();
    let expected = serde_json::json!({"bucket": INBOX, "key": "b.csv", "outcome": "failed", "rows": 3, "acknowledged": 3,
        "rejected": 0, "reason": "the role may not read it", "at": rfc3339(now_ms - 3_000)});
    assert_eq!(file, expected);
}

#[tokio::test]
async fn a_file_that_is_being_read_shows_its_rows_so_far() {
    let aws = Aws::new().await;
    aws.s3.put(INBOX, "track_1.csv", "userId,event\nu1,Seen\n").unwrap();
    let running = Checkpoint { phase: Phase::Running, ending: None, ..ended_checkpoint(&aws) };
    aws.s3.put(STATE, &keys::checkpoint(running.object.stream()), running.to_json()).unwrap();
    let shown = aws.run(&["show", "track_1.csv", "--stack", "shop"]).await;
    assert_eq!(shown.status, Some(2), "it has not finished: {}", shown.stderr);
    assert!(shown.stdout.contains("running  3 rows = 2 accepted + 1 refused so far"), "{}", shown.stdout);
}

#[tokio::test]
async fn log_objects_are_listed_and_their_lines_written() {
    let aws = Aws::new().await;
    let day = Day::of(NOW_MS);
    let gz = |text: &str| {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    aws.s3.put(LOGS, &format!("raw/segment-logs/shop1/{}/1.a.gz", day.ms()), gz("{\"a\":1}\n")).unwrap();
    aws.s3.put(LOGS, &format!("raw/segment-logs/shop1/{}/2.b.gz", day.ms()), gz("{\"b\":2}\n")).unwrap();
    aws.s3.put(LOGS, &format!("raw/segment-logs/shop2/{}/3.c.gz", day.ms()), gz("{\"c\":3}\n")).unwrap();
    let date = rfc3339(day.ms())[..10].to_owned();
    let lines = aws.run(&["logs", "--stack", "shop", "--day", &date]).await;
    assert_eq!((lines.status, &*lines.stdout), (Some(0), "{\"a\":1}\n{\"b\":2}\n"), "{}", lines.stderr);
    let listed =
        aws.run(&["logs", "--logs", "logs/raw", "--source", "shop2", "--day", &date, "--list", "--json"]).await;
    let object: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert!(object["object"].as_str().unwrap().ends_with("/3.c.gz"), "{object}");
    let none = aws.run(&["logs", "--stack", "shop", "--day", "2001-01-01"]).await;
    assert!(none.status == Some(0) && none.stderr.contains("there are no log objects"), "{}", none.stderr);
}
