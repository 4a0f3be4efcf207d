//! A Lambda function that follows its payload, over plain sockets. So the tests of the Runtime API do not depend on the
//! functions.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::exit;
use std::time::Duration;

const PREFIX: &str = "/2018-06-01/runtime";

fn main() {
    match std::env::var("FAKE_INIT").as_deref() {
        Ok("error") => {
            let body = r#"{"errorType":"Init","errorMessage":"no settings"}"#;
            let _ = call("POST", "/init/error", body);
            exit(1);
        }
        Ok("crash") => exit(7),
        _ => {}
    }
    let mut invocations = 0;
    loop {
        let Ok((head, payload)) = call("GET", "/invocation/next", "") else { exit(2) };
        invocations += 1;
        let id = header(&head, "lambda-runtime-aws-request-id");
        let deadline_ms = header(&head, "lambda-runtime-deadline-ms");
        say(&format!("working on {payload}"));
        let asked = |what: &str| payload.contains(what);
        if asked("crash") {
            exit(3);
        } else if asked("hang") {
            std::thread::sleep(Duration::from_secs(60));
        } else if asked("large") {
            // A JSON string of this many bytes, including its quotes.
            let size: usize = payload.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
            let _ = call("POST", &format!("/invocation/{id}/response"), &format!("\"{}\"", "x".repeat(size - 2)));
        } else if asked("stranger") {
            let refused = call("POST", "/invocation/somebody-elses/response", "{}");
            let (head, body) = refused.unwrap_or_default();
            let status = head.first().cloned().unwrap_or_default();
            let body = format!(r#"{{"status":"{status}","body":{body}}}"#);
            let _ = call("POST", &format!("/invocation/{id}/response"), &body);
        } else if asked("error") {
            let body = r#"{"errorType":"Told","errorMessage":"told to fail"}"#;
            let _ = call("POST", &format!("/invocation/{id}/error"), body);
        } else {
            let secret = std::env::var("SECRET").unwrap_or_default();
            let home = std::env::var("HOME").unwrap_or_default();
            let body = format!(
                r#"{{"payload":{payload},"invocations":{invocations},"deadline_ms":{deadline_ms},"secret":"{secret}","home":"{home}"}}"#
            );
            let _ = call("POST", &format!("/invocation/{id}/response"), &body);
        }
    }
}

/// To standard error, without the macro that the lints keep out of libraries.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn header(head: &[String], name: &str) -> String {
    let lines = head.iter().filter_map(|line| line.split_once(": "));
    let mut found = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    found.next().unwrap_or_default().to_owned()
}

fn call(method: &str, path: &str, body: &str) -> std::io::Result<(Vec<String>, String)> {
    let api = std::env::var("AWS_LAMBDA_RUNTIME_API").unwrap_or_default();
    let mut stream = TcpStream::connect(&api)?;
    let length = body.len();
    write!(
        stream,
        "{method} {PREFIX}{path} HTTP/1.1\r\nhost: {api}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )?;
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let mut text = String::new();
    reader.read_to_string(&mut text)?;
    Ok((head, text))
}
