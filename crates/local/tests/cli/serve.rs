//! `segment-s3 serve` over HTTP.

use crate::scene::Folder;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const GOOD: &str = "userId,event,properties.price:number\nu1,Order Completed,14.90\nu2,Order Completed,7.00\n";
const BAD: &str = "userId,event\nu1,Signed Up\n,Signed Up\n";
const ORDERS: &str = "Email,Total\nann@example.com,14.90\n";
const MAPPING: &str = "[[mapping]]\nname = \"orders\"\nmatch = \"orders*.csv\"\ncall = \"track\"\nset.event = \"Ordered\"\n\
    columns.\"Email\" = \"userId\"\ncolumns.\"Total\" = { to = \"properties.total\", type = \"number\" }\n";
/// No test waits so long; a test that does has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running system.
struct Serve {
    child: Child,
    page: String,
}

impl Serve {
    fn start(folder: &Folder, settings: &[(&str, &str)]) -> Serve {
        let any = "127.0.0.1:0";
        let mut child = Command::new(env!("CARGO_BIN_EXE_segment-s3"))
            .args(["serve", "--folder", "state", "--page", any, "--s3", any, "--receiver", any, "--schedule", "never"])
            .current_dir(&folder.0)
            .env_clear()
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let page = line.split_once("http://").map(|(_, rest)| rest.split(' ').next().unwrap().to_owned());
        let Some(page) = page else {
            let mut words = String::new();
            child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
            panic!("it did not start: {words}");
        };
        Serve { child, page }
    }

    fn get(&self, path: &str) -> Answer {
        request(&self.page, "GET", path, &[], b"")
    }

    fn post(&self, path: &str, body: &[u8]) -> Answer {
        request(&self.page, "POST", path, &[], body)
    }

    /// Drops a file, and waits until its progress has these words.
    fn drop_until(&self, key: &str, body: &[u8], words: &str) -> String {
        let dropped = request(&self.page, "PUT", &format!("/drop/file?key={key}"), &[], body);
        assert_eq!(dropped.status, 200, "{}", dropped.text());
        let version = between(&dropped.text(), "\"version\":\"", "\"");
        self.until(&format!("/drop/progress?key={key}&version={version}"), words)
    }

    /// Asks until the answer has these words.
    fn until(&self, path: &str, words: &str) -> String {
        let begun = Instant::now();
        loop {
            let text = self.get(path).text();
            if text.contains(words) {
                return text;
            }
            assert!(begun.elapsed() < PATIENCE, "no {words:?} in {text}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Where the receiver listens, as the page says.
    fn receiver(&self) -> String {
        between(&self.get("/").text(), "receiver <code>http://", "</code>")
    }

    /// Runs a command about this system, as about one on AWS.
    fn run(&self, args: &[&str]) -> std::process::Output {
        let url = between(&self.get("/").text(), "S3 <code>", "</code>");
        let key =
            [("AWS_ACCESS_KEY_ID", "local"), ("AWS_SECRET_ACCESS_KEY", "local-secret"), ("AWS_REGION", "us-east-1")];
        let endpoint = [("AWS_ENDPOINT_URL_S3", url.as_str()), ("SOURCE_ID", "local")];
        crate::scene::run(args, &[&key[..], &endpoint].concat(), b"")
    }

    /// Kills it at once.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One request over its own connection.
fn request(address: &str, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    let host = if headers.iter().any(|header| header.starts_with("Host:")) {
        String::new()
    } else {
        format!("Host: {address}\r\n")
    };
    let more: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let head =
        format!("{method} {path} HTTP/1.1\r\n{host}{more}Connection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).unwrap();
    // A refused request may be answered before its body is read.
    let _ = stream.write_all(body);
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    let end = all.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&all[..end]).to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = all[end + 4..].to_vec();
    let body = if head.contains("transfer-encoding: chunked") { dechunked(&body) } else { body };
    Answer { status, head, body }
}

fn dechunked(mut body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = body.windows(2).position(|bytes| bytes == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        out.extend_from_slice(&body[end + 2..end + 2 + length]);
        body = &body[end + 2 + length + 2..];
    }
    out
}

fn between(text: &str, from: &str, to: &str) -> String {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no {from:?} in {text}"));
    rest.split(to).next().unwrap().to_owned()
}

#[test]
fn a_dropped_file_is_seen_in_files_live_and_exports() {
    let folder = Folder::new("serve-through");
    let serve = Serve::start(&folder, &[]);
    serve.drop_until("track_1.csv", GOOD.as_bytes(), "\"outcome\":\"finished\"");
    let files = serve.get("/files").text();
    assert!(files.contains("track_1.csv") && files.contains("finished"), "{files}");
    let live = serve.get("/live?kind=track").text();
    assert!(live.contains("Order Completed · u2") && live.contains("&quot;price&quot;: 14.90"), "{live}");
    assert!(serve.get("/exports").text().contains("There is none yet"));
    assert_eq!(serve.post("/exports/now", b"").status, 303);
    let exports = serve.get("/exports").text();
    assert!(exports.contains("1 object with 2 events in 1 destination"), "{exports}");
    let query = between(&exports, "/exports/lines?", "\"").replace("&amp;", "&");
    assert!(serve.get(&format!("/exports/lines?{query}")).text().contains("Order Completed"));
    let object = serve.get(&format!("/download?{query}"));
    assert!(object.body.starts_with(&[0x1f, 0x8b]), "{}", object.head);
    assert!(object.head.contains("content-disposition: attachment"), "{}", object.head);
}

#[test]
fn refused_rows_are_downloaded_and_a_file_is_replayed() {
    let folder = Folder::new("serve-rejects");
    let serve = Serve::start(&folder, &[]);
    let state = serve.drop_until("track_bad.csv", BAD.as_bytes(), "\"rejects\":\"rejects/");
    let rejects = between(&state, "\"rejects\":\"", "\"");
    let rows = serve.get(&format!("/download?bucket=segment-s3-state&key={rejects}")).text();
    assert!(rows.starts_with("userId,event,_error_code") && rows.contains("\n,Signed Up,missing_user_id,"), "{rows}");
    let ledger = between(&serve.get("/files").text(), "href=\"/files/ledger/", "\"");
    assert!(serve.get(&format!("/files/ledger/{ledger}")).text().contains("&quot;acknowledged&quot;: 1"));
    assert_eq!(serve.post("/files/replay?key=track_bad.csv", b"").status, 303);
    serve.until("/files", "replay page-");
    assert_eq!(serve.post("/files/replay?key=other.csv", b"").status, 404);
}

#[test]
fn a_file_is_dropped_by_the_command_line_and_its_refused_rows_are_mended() {
    use crate::scene::{stderr, stdout};
    let folder = Folder::new("serve-commands");
    let serve = Serve::start(&folder, &[]);
    let file = folder.file("track_bad.csv", BAD);
    let (inbox, state) = (["--inbox", "segment-s3-source"], ["--state", "segment-s3-state"]);
    let of = |args: &[&str]| serve.run(&[args, &inbox, &state].concat());
    let dropped = of(&["drop", &file, "--prefix", "in/"]);
    assert_eq!(dropped.status.code(), Some(1), "{}", stderr(&dropped));
    let words = stdout(&dropped);
    assert!(words.contains("1 of 2 rows refused") && words.contains("2 rows = 1 accepted + 1 refused"), "{words}");
    let shown = of(&["show", "in/track_bad.csv"]);
    assert_eq!(shown.status.code(), Some(1), "{}", stderr(&shown));
    assert!(stdout(&shown).contains("ledger: s3://segment-s3-state/ingest/"), "{}", stdout(&shown));
    let to = folder.0.to_str().unwrap();
    let fetched = of(&["rejects", "in/track_bad.csv", "--folder", to]);
    assert!(fetched.status.success(), "{}", stderr(&fetched));
    let rejects = folder.0.join("track_bad.rejects.csv");
    let mended = std::fs::read_to_string(&rejects).unwrap().replace("\n,Signed Up", "\nu2,Signed Up");
    std::fs::write(&rejects, mended).unwrap();
    let dropped = of(&["drop", rejects.to_str().unwrap(), "--prefix", "in/", "--json"]);
    assert_eq!(dropped.status.code(), Some(0), "{}", stderr(&dropped));
    let told: serde_json::Value = serde_json::from_str(stdout(&dropped)).unwrap();
    assert_eq!(told["outcomes"][0]["account"]["acknowledged"], 1, "{told:#}");
    let files = serve.run(&[&["files"][..], &state].concat());
    assert_eq!(stdout(&files).lines().count(), 3, "{}", stdout(&files));
}

#[test]
fn files_are_listed_from_the_outcome_index_after_a_restart_too() {
    let folder = Folder::new("serve-index");
    let serve = Serve::start(&folder, &[]);
    serve.drop_until("track_bad.csv", BAD.as_bytes(), "\"rejects\":\"rejects/");
    serve.drop_until("object_rooms_1.csv", b"id,size\nr1,4\n", "\"outcome\":\"finished\"");
    serve.drop_until("notes.csv", b"a\n1\n", "\"outcome\":\"refused\"");
    serve.kill();
    // The page needs no checkpoint of a file that has ended.
    let state = folder.0.join("state/buckets/segment-s3-state");
    let streams = std::fs::read_dir(state.join("ingest")).unwrap().map(|entry| entry.unwrap().path());
    let checkpoints: Vec<_> =
        streams.map(|stream| stream.join("checkpoint.json")).filter(|path| path.exists()).collect();
    assert_eq!(checkpoints.len(), 2);
    let serve = Serve::start(&folder, &[]);
    checkpoints.iter().for_each(|path| std::fs::remove_file(path).unwrap());
    let files = serve.get("/files").text();
    assert!(files.contains("track_bad.rejects.csv"), "{files}");
    assert!(files.contains("objects are acknowledged and shown under Live"), "{files}");
    assert!(files.contains("the name has no known prefix"), "{files}");
}

#[test]
fn a_refused_file_says_why_and_can_be_tried_again() {
    let folder = Folder::new("serve-again");
    let serve = Serve::start(&folder, &[]);
    let state = serve.drop_until("orders_1.csv", ORDERS.as_bytes(), "\"outcome\":\"refused\"");
    assert!(state.contains("the name has no known prefix"), "{state}");
    serve.until("/live?refused=1", "orders_1.csv: ");
    assert_eq!(serve.post("/drop/mapping?key=orders_1.csv", MAPPING.as_bytes()).status, 204);
    assert_eq!(serve.post("/files/again?key=orders_1.csv", b"").status, 303);
    serve.until("/files", "badge good\">finished");
}

#[test]
fn a_destination_that_fails_is_shown_with_the_reason() {
    let folder = Folder::new("serve-fails");
    let destination = |name: &str, owner: &str| {
        format!(
            "[[destination]]\nname = \"{name}\"\nregion = \"us-east-1\"\nbucket = \"shared-logs/{name}\"\n\
             role_arn = \"arn:aws:iam::222233334444:role/{name}\"\nexternal_id = \"workspace\"\n\
             expected_bucket_owner = \"{owner}\"\nsources = \"*\"\n"
        )
    };
    // The last one owns the bucket.
    folder.file("segment-s3.toml", destination("first", "555566667777") + &destination("last", "222233334444"));
    let serve = Serve::start(&folder, &[]);
    serve.drop_until("track_1.csv", GOOD.as_bytes(), "\"outcome\":\"finished\"");
    serve.post("/exports/now", b"");
    let exports = serve.get("/exports").text();
    assert!(exports.contains("badge bad\">fails") && exports.contains("badge good\">takes objects"), "{exports}");
    assert!(exports.contains("<ul class=\"alarms\">") && exports.contains("is open since"), "{exports}");
}

#[test]
fn a_preview_shows_columns_calls_and_the_place_of_a_refusal_and_sends_nothing() {
    let folder = Folder::new("serve-preview");
    let serve = Serve::start(&folder, &[]);
    let preview = |key: &str, mapping: &str, sample: &str, size: usize| {
        let body = [mapping.as_bytes(), sample.as_bytes()].concat();
        serve.post(&format!("/drop/preview?key={key}&mapping={}&size={size}", mapping.len()), &body)
    };
    let shown = preview("track_1.csv", "", BAD, BAD.len()).text();
    assert!(shown.contains("1 of 2 rows refused") && shown.contains("<mark>\u{a0}</mark>,Signed Up"), "{shown}");
    assert!(shown.contains("&quot;userId&quot;: &quot;u1&quot;"), "{shown}");
    let shown = preview("orders_1.csv", "", ORDERS, ORDERS.len()).text();
    assert!(shown.contains("cannot be used"), "{shown}");
    let shown = preview("orders_1.csv", MAPPING, ORDERS, ORDERS.len()).text();
    assert!(shown.contains("every row can be sent") && shown.contains("<code>properties.total</code>"), "{shown}");
    let faulty = preview("orders_1.csv", "[[mapping]]\nname = 1\n", ORDERS, ORDERS.len());
    assert_eq!(faulty.status, 422);
    assert!(faulty.text().contains("line 2"), "{}", faulty.text());
    let elsewhere = preview("other.csv", MAPPING, ORDERS, ORDERS.len());
    assert!(elsewhere.text().contains("of this mapping takes the key other.csv"), "{}", elsewhere.text());
    // The last line of a sample is cut.
    let shown = preview("track_1.csv", "", "userId,event\nu1,a\nu2", 1_000_000).text();
    assert!(shown.contains("every row can be sent") && shown.contains("The preview has read the first"), "{shown}");
    let draft = serve.post("/drop/suggest?key=orders_1.csv", ORDERS.as_bytes());
    assert!(draft.text().contains("[[mapping]]"), "{}", draft.text());
    assert!(serve.get("/files").text().contains("No file was dropped yet"));
    assert!(serve.get("/live").text().contains("Nothing was received"));
}

#[test]
fn a_mapping_of_the_page_reads_the_file_and_outlives_a_restart() {
    let folder = Folder::new("serve-mapping");
    let serve = Serve::start(&folder, &[]);
    assert_eq!(serve.post("/drop/mapping?key=orders_1.csv", MAPPING.as_bytes()).status, 204);
    let state = serve.drop_until("orders_1.csv", ORDERS.as_bytes(), "\"outcome\":\"finished\"");
    assert!(state.contains("\"mapping\":\"orders\"") && state.contains("\"acknowledged\":1"), "{state}");
    serve.kill();
    let serve = Serve::start(&folder, &[]);
    assert_eq!(serve.get("/drop/mapping?name=orders").text(), MAPPING);
    serve.drop_until("orders_2.csv", ORDERS.as_bytes(), "\"outcome\":\"finished\"");
}

#[test]
fn a_file_that_a_kill_interrupts_is_finished_after_a_restart() {
    let folder = Folder::new("serve-restart");
    let rows: String = (0..40_000).map(|row| format!("u{row},Signed Up\n")).collect();
    let serve = Serve::start(&folder, &[("EVENTS_PER_SECOND", "2000")]);
    let text = serve.drop_until("track_long.csv", format!("userId,event\n{rows}").as_bytes(), "\"settled\":");
    assert!(!text.contains("\"outcome\":\"finished\""), "{text}");
    serve.kill();
    let serve = Serve::start(&folder, &[]);
    let state = serve.until("/files", "badge good\">finished");
    assert!(state.contains("40,000"), "{state}");
}

#[test]
fn a_call_to_the_receiver_is_seen_and_a_refusal_says_why() {
    let folder = Folder::new("serve-receiver");
    let serve = Serve::start(&folder, &[("WRITE_KEYS", "one-more=shop1")]);
    let receiver = serve.receiver();
    let call = |key: &str| format!(r#"{{"userId":"u1","event":"Signed Up <b>","writeKey":"{key}"}}"#);
    assert_eq!(request(&receiver, "POST", "/v1/track", &[], call("local-write-key").as_bytes()).status, 200);
    let live = serve.get("/live").text();
    assert!(live.contains("Signed Up &lt;b&gt; · u1") && !live.contains("&quot;writeKey&quot;"), "{live}");
    assert_eq!(request(&receiver, "POST", "/v1/track", &[], call("one-more").as_bytes()).status, 200);
    assert_ne!(request(&receiver, "POST", "/v1/track", &[], call("another").as_bytes()).status, 200);
    let live = serve.get("/live?refused=1").text();
    assert!(live.contains("/v1/track: ") && !live.contains("another"), "{live}");
}

#[test]
fn a_page_of_another_site_changes_nothing() {
    let folder = Folder::new("serve-guard");
    let serve = Serve::start(&folder, &[]);
    let of_elsewhere = ["Origin: http://elsewhere.example"];
    for (method, path) in
        [("POST", "/exports/now"), ("PUT", "/drop/file?key=track_1.csv"), ("POST", "/drop/mapping?key=a")]
    {
        assert_eq!(request(&serve.page, method, path, &of_elsewhere, b"x").status, 403, "{path}");
    }
    assert_eq!(request(&serve.page, "GET", "/live", &["Host: elsewhere.example"], b"").status, 403);
    let own = format!("Origin: http://{}", serve.page);
    assert_eq!(request(&serve.page, "POST", "/exports/now", &[&own], b"").status, 303);
    assert!(serve.get("/").head.contains("content-security-policy: default-src 'none'"));
    assert!(serve.get("/files").text().contains("No file was dropped yet"));
}

#[test]
fn a_real_endpoint_is_refused() {
    let folder = Folder::new("serve-real");
    let output = Command::new(env!("CARGO_BIN_EXE_segment-s3"))
        .arg("serve")
        .current_dir(&folder.0)
        .env_clear()
        .env("SEGMENT_ENDPOINT", "https://api.segment.io")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("SEGMENT_ENDPOINT is set, and serve sends to this machine only"), "{words}");
}

#[test]
fn the_configuration_of_the_folder_names_sources_and_destinations() {
    let folder = Folder::new("serve-configuration");
    folder.file(
        "segment-s3.toml",
        "[[source]]\nname = \"shop\"\nid = \"shop1\"\nregion = \"eu\"\nwrite_key = \"env:SHOP_KEY\"\n\
         [[destination]]\nname = \"archive\"\nregion = \"eu-west-1\"\nbucket = \"archive-logs/raw\"\n\
         role_arn = \"arn:aws:iam::222233334444:role/Logs\"\nexternal_id = \"workspace\"\nsse = \"aws:kms\"\nsources = \"*\"\n",
    );
    let serve = Serve::start(&folder, &[("SHOP_KEY", "shop-key")]);
    serve.drop_until("track_1.csv", GOOD.as_bytes(), "\"outcome\":\"finished\"");
    serve.post("/exports/now", b"");
    let exports = serve.get("/exports").text();
    assert!(exports.contains("archive-logs/raw") && exports.contains("takes objects"), "{exports}");
    assert!(exports.contains("bucket=archive-logs&amp;key=raw/segment-logs/shop1/"), "{exports}");
}
