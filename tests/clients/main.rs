//! Real libraries send to the receiver, through a front that gives them trouble: `make test-clients`.
#![expect(clippy::unwrap_used, reason = "a story that cannot set its scene has failed")]
#![expect(clippy::print_stdout, reason = "figures for whoever runs it")]

mod front;

use front::{Fate, Front};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use stories::{WRITE_KEY, World};
use tokio::process::Command;

const NODE: [&str; 3] = ["@segment/analytics-node", "analytics-node", "@rudderstack/rudder-sdk-node"];
const PYTHON: [&str; 2] = ["segment-analytics-python", "rudder-sdk-python"];
/// One call of each kind.
const CALLS: usize = 6;

#[tokio::test]
#[ignore = "needs npm, pip and the network: make test-clients"]
async fn each_call_of_a_real_library_is_in_the_logs_whatever_its_first_answer() {
    let (world, _) = World::with_receiver(false).await;
    let mut expected = Vec::new();
    for (library, is_node) in NODE.map(|name| (name, true)).into_iter().chain(PYTHON.map(|name| (name, false))) {
        for fate in [Fate::Answered, Fate::Status(429), Fate::Status(500), Fate::Status(503), Fate::Lost] {
            let front = Front::start(&world.segment_url, fate).await;
            let user = format!("{library} {fate:?}");
            send(library, is_node, &front.url(), &user).await;
            println!("{user}: {} requests", front.requests());
            assert!(front.requests() > usize::from(fate != Fate::Answered), "{user} was not sent again");
            expected.push((user, fate));
        }
    }
    world.export().await;
    let logged = world.logged();
    for (user, fate) in expected {
        let lines: Vec<_> = logged.iter().filter(|line| line["userId"] == user.as_str()).collect();
        let by_id: BTreeMap<_, _> = lines.iter().map(|line| (line["messageId"].to_string(), *line)).collect();
        assert_eq!(by_id.len(), CALLS, "{user}: {lines:#?}");
        assert!(fate == Fate::Lost || lines.len() == CALLS, "{user}: each once");
        by_id.values().for_each(|line| check(line));
    }
}

#[tokio::test]
#[ignore = "needs npm and the network: make test-clients"]
async fn each_call_of_a_page_in_a_browser_is_in_the_logs() {
    let (world, _) = World::with_receiver(false).await;
    for fate in [Fate::Answered, Fate::Status(503), Fate::Lost] {
        let front = Front::start(&world.segment_url, fate).await;
        run(Path::new("node"), "browser.mjs", &[&front.url(), WRITE_KEY, &format!("{fate:?}")]).await;
        println!("browser {fate:?}: {} requests", front.requests());
    }
    world.export().await;
    let logged = world.logged();
    for fate in [Fate::Answered, Fate::Status(503), Fate::Lost] {
        let lines = logged.iter().filter(|line| line["userId"] == format!("{fate:?}").as_str());
        // A call whose answer came after the page had gone is sent again by the next page.
        let by_id: BTreeMap<_, _> = lines.map(|line| (line["messageId"].to_string(), line)).collect();
        let mut names: Vec<_> =
            by_id.values().map(|line| (line["type"].to_string(), line["event"].to_string())).collect();
        names.sort_unstable();
        let expected = [
            ("identify", "null"),
            ("identify", "null"),
            ("page", "null"),
            ("page", "null"),
            ("track", "\"batching cut \u{fffd}\""),
            ("track", "\"batching last\""),
            ("track", "\"standard cut \u{fffd}\""),
            ("track", "\"standard last\""),
        ];
        let expected = expected.map(|(kind, event)| (format!("{kind:?}"), event.to_owned()));
        assert_eq!(names, expected, "{fate:?}");
        for line in by_id.values() {
            assert_eq!((&line["channel"], &line["context"]["ip"]), (&json!("client"), &json!("127.0.0.1")), "{line}");
            assert_eq!(line["context"]["page"]["title"], "Shop", "{line}");
        }
    }
}

/// Checks that a line has what its library was given.
fn check(line: &Value) {
    let (field, expected) = match line["type"].as_str().unwrap() {
        "track" => {
            assert_eq!(line["properties"], json!({"price": 9.5, "list": [1, "ü"]}), "{line}");
            ("event", "cut \u{fffd}")
        }
        "identify" => {
            let traits = line.get("traits").or_else(|| line["context"].get("traits"));
            assert_eq!(traits.unwrap()["plan"], "gold", "{line}");
            ("channel", "server")
        }
        "page" => ("name", "Home"),
        "screen" => ("name", "Main"),
        "group" => ("groupId", "g1"),
        _ => ("previousId", "before"),
    };
    // Rudder's own libraries name their channel.
    assert!(line[field] == expected || field == "channel", "{line}");
    assert!(line["context"]["library"]["name"].is_string(), "{line}");
    let ms = |name: &str| line[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond();
    // A library that tries again keeps the time of the call.
    assert!((ms("receivedAt") - ms("timestamp")).abs() < 60_000, "{line}");
    assert!((ms("receivedAt") - ms("originalTimestamp")).abs() < 60_000, "{line}");
}

async fn send(library: &str, is_node: bool, url: &str, user: &str) {
    let (program, script) = if is_node { ("node", "send.cjs") } else { ("venv/bin/python", "send.py") };
    let program = if is_node { PathBuf::from(program) } else { folder().join(program) };
    run(&program, script, &[library, url, WRITE_KEY, user]).await;
}

/// Where `run.sh` installs the libraries.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("target/clients")
}

async fn run(program: &Path, script: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    command.arg(script).args(arguments).current_dir(folder());
    // A proxy does not lead to loopback.
    for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    let output = command.output().await.unwrap();
    println!("{}", String::from_utf8_lossy(&output.stderr));
}
