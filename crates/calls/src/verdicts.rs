//! What an answer of the Tracking API means, and what is done next: a pure function.
//!
//! The sets of statuses are those of Segment's newest libraries (analytics-next `publisher.ts`, analytics-java):
//! 408, 410, 429, 460 and 5xx except 501, 505 and 511 are worth another try; all other failures are not.

use serde_json::Value;

/// No wait that a server asks for is honoured beyond this (analytics-next caps `Retry-After` likewise).
pub const SERVER_WAIT_MAX_MS: u64 = 300_000;
/// How much of a server's words is repeated in ours.
const MESSAGE_BYTES_MAX: usize = 200;

/// What came back for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A complete answer.
    Response {
        /// The HTTP status.
        status: u16,
        /// `Retry-After`, as it was sent.
        retry_after: Option<String>,
        /// `X-RateLimit-Reset`, as it was sent.
        rate_limit_reset: Option<String>,
        /// The body's first bytes.
        body: Vec<u8>,
    },
    /// None: the connection failed, broke, or timed out. It may have been received all the same.
    Broken {
        /// What happened, without secrets.
        reason: String,
    },
}

/// What is done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Segment took it.
    Acknowledged,
    /// The same request again after a wait.
    Retry {
        /// How long the server asks to wait at least, if it does.
        asked_ms: Option<u64>,
        /// True when the server asked for it (429 or `Retry-After`).
        throttled: bool,
        /// What was answered, in short.
        reason: String,
    },
    /// Something in the body is not acceptable: halve it until each refused call is alone.
    Refused {
        /// Segment's words: for the rejects file only, since they might quote a cell.
        message: String,
        /// What may be repeated anywhere: the status, Segment's code, and its words where they are known ones.
        public: String,
        /// The answer was 413, so that the size is what is wrong.
        too_large: bool,
    },
    /// Segment does not take the write key. A secret that has the key may have another one by now.
    InvalidKey {
        /// What is wrong, and which setting to look at.
        message: String,
    },
    /// Segment accepts no call of this file until a person corrects a setting.
    Configuration {
        /// What is wrong, and which setting to look at.
        message: String,
    },
    /// The answer was 403. Of a file's first request that is a wrong setting. Once something of the file was
    /// acknowledged, the credentials are right, and something between us and Segment, such as a firewall, refuses what
    /// stands in some calls.
    Forbidden {
        /// What is wrong, and which setting to look at, if nothing was acknowledged.
        message: String,
    },
}

/// Judges an answer. `now_ms` (since the epoch) is for a `Retry-After` that is a date.
#[must_use]
pub fn verdict(answer: &Answer, now_ms: i64) -> Verdict {
    let (status, body) = match answer {
        Answer::Broken { reason } => return retry(reason.clone(), None, false),
        Answer::Response { status, body, .. } => (*status, body.as_slice()),
    };
    match status {
        200 => match success(body) {
            Some(true) => Verdict::Acknowledged,
            // The answer does not say that a call is at fault, so no call is refused.
            said_so => {
                let reason = if said_so.is_some() { "that says `success: false`" } else { "without `success: true`" };
                retry(format!("status 200 {reason}"), None, false)
            }
        },
        400 | 413 => refused(status, body),
        401 => Verdict::InvalidKey { message: "status 401, the credentials were refused: see WRITE_KEY".to_owned() },
        403 => Verdict::Forbidden {
            message:
                "status 403: see WRITE_KEY, and whether something in between, such as a firewall, refuses requests"
                    .to_owned(),
        },
        404 => Verdict::Configuration {
            message: "status 404: nothing answers at this path: see SEGMENT_ENDPOINT, SEGMENT_OBJECTS_ENDPOINT"
                .to_owned(),
        },
        408 | 410 | 429 | 460 | 500 | 502..=504 | 506..=510 | 512..=599 => {
            retry(format!("status {status}"), server_wait_ms(answer, now_ms), status == 429)
        }
        300..=399 => Verdict::Configuration {
            message: format!("status {status}: the endpoint redirects, which is not followed: see SEGMENT_ENDPOINT"),
        },
        _ => Verdict::Configuration { message: format!("status {status}: see SEGMENT_ENDPOINT") },
    }
}

/// What a firewall's refusal of some calls is called, in the rejects file and elsewhere.
pub const FORBIDDEN: &str = "status 403: something between here and Segment, such as a firewall, refuses this call";

/// Segment's words for an invalid write key.
const INVALID_WRITE_KEY: &str = "An invalid write key was provided";
/// Segment's words for a body that is no JSON.
const MALFORMED_JSON: &str = "malformed JSON";

/// A 400 is about a call, unless it says, in exactly Segment's words, that it is about the key. Other words may quote a
/// cell, so nothing is looked for within them.
fn refused(status: u16, body: &[u8]) -> Verdict {
    let message = said(body, if status == 413 { "payload too large" } else { "not accepted" });
    if status != 413 && message == INVALID_WRITE_KEY {
        return Verdict::InvalidKey { message: format!("{INVALID_WRITE_KEY}: see WRITE_KEY") };
    }
    let public = public_words(status, body, &message);
    let message = match message.as_str() {
        MALFORMED_JSON => format!("{MALFORMED_JSON}: this program wrote it, so please report it"),
        _ => message,
    };
    Verdict::Refused { public, message, too_large: status == 413 }
}

/// Messages that Segment is known to answer (recorded from the Tracking API), and that quote nothing.
const KNOWN_MESSAGES: [&str; 4] = [INVALID_WRITE_KEY, MALFORMED_JSON, "Exceed payload limit", "payload too large"];

fn public_words(status: u16, body: &[u8], message: &str) -> String {
    let body: Option<Value> = serde_json::from_slice(body).ok();
    let code = body.as_ref().and_then(|body| body.get("code")?.as_str()).unwrap_or_default();
    let is_code = !code.is_empty() && code.len() <= 40 && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let code = if is_code { format!(", code {code}") } else { String::new() };
    let words = if KNOWN_MESSAGES.contains(&message) { format!(": {message}") } else { String::new() };
    format!("status {status}{code}{words}")
}

fn retry(reason: String, asked_ms: Option<u64>, throttled: bool) -> Verdict {
    Verdict::Retry { asked_ms, throttled: throttled || asked_ms.is_some(), reason }
}

/// `Retry-After` in seconds or as an HTTP date, else `X-RateLimit-Reset` in seconds; capped.
fn server_wait_ms(answer: &Answer, now_ms: i64) -> Option<u64> {
    let Answer::Response { retry_after, rate_limit_reset, .. } = answer else { return None };
    let asked = match retry_after.as_deref().map(str::trim) {
        Some(text) => seconds(text).or_else(|| until(text, now_ms)),
        None => None,
    };
    let asked = asked.or_else(|| seconds(rate_limit_reset.as_deref()?.trim()));
    asked.map(|ms| ms.min(SERVER_WAIT_MAX_MS))
}

fn seconds(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().map(|seconds| seconds.saturating_mul(1_000))
}

fn until(text: &str, now_ms: i64) -> Option<u64> {
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(u64::try_from(date.timestamp().as_millisecond() - now_ms).unwrap_or(0))
}

fn success(body: &[u8]) -> Option<bool> {
    serde_json::from_slice::<Value>(body).ok()?.get("success")?.as_bool()
}

/// What the body says in `message` (or the Objects API's `error.message`), shortened; else `otherwise`.
fn said(body: &[u8], otherwise: &str) -> String {
    let body: Option<Value> = serde_json::from_slice(body).ok();
    let text = body.as_ref().and_then(|body| {
        let message = body.get("message").or_else(|| body.get("error")?.get("message")).or_else(|| body.get("error"));
        message?.as_str()
    });
    let text = text.unwrap_or(otherwise);
    let end = (0..=MESSAGE_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_557_606_747_000;

    fn answer(status: u16, body: &str) -> Answer {
        Answer::Response { status, retry_after: None, rate_limit_reset: None, body: body.as_bytes().to_vec() }
    }

    fn told_to_wait(status: u16, retry_after: Option<&str>, reset: Option<&str>) -> Answer {
        Answer::Response {
            status,
            retry_after: retry_after.map(str::to_owned),
            rate_limit_reset: reset.map(str::to_owned),
            body: Vec::new(),
        }
    }

    fn word(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Acknowledged => "acknowledged",
            Verdict::Retry { .. } => "retry",
            Verdict::Refused { .. } => "refused",
            Verdict::InvalidKey { .. } => "invalid key",
            Verdict::Configuration { .. } => "configuration",
            Verdict::Forbidden { .. } => "forbidden",
        }
    }

    #[test]
    fn every_status_has_its_verdict() {
        for status in 100..=599_u16 {
            let expected = match status {
                200 => "retry", // without `success` it is unknown whether the calls were accepted
                400 | 413 => "refused",
                408 | 410 | 429 | 460 => "retry",
                401 => "invalid key",
                403 => "forbidden",
                501 | 505 | 511 => "configuration",
                500..=599 => "retry",
                _ => "configuration",
            };
            assert_eq!(word(&verdict(&answer(status, ""), AT)), expected, "status {status}");
        }
    }

    #[test]
    fn only_a_200_with_success_true_is_accepted() {
        assert_eq!(verdict(&answer(200, r#"{"success": true}"#), AT), Verdict::Acknowledged);
        assert_eq!(word(&verdict(&answer(200, r#"{"success":false}"#), AT)), "retry");
        assert_eq!(word(&verdict(&answer(200, "<html>"), AT)), "retry");
        assert_eq!(word(&verdict(&answer(204, ""), AT)), "configuration");
    }

    #[test]
    fn a_400_about_the_key_is_about_no_row_and_every_other_is_bisected() {
        let key = r#"{"success":false,"message":"An invalid write key was provided","code":"invalid_request"}"#;
        let json = r#"{"success":false,"message":"malformed JSON","code":"invalid_request"}"#;
        let size = r#"{"success":false,"message":"Exceed payload limit"}"#;
        assert_eq!(word(&verdict(&answer(400, key), AT)), "invalid key");
        assert_eq!(word(&verdict(&answer(400, json), AT)), "refused");
        // Words that quote a cell are not taken for Segment's own.
        for quoting in
            ["traits.note: `An invalid write key was provided`", "an invalid write key was provided", "write key"]
        {
            let body = serde_json::json!({ "success": false, "message": quoting }).to_string();
            assert_eq!(word(&verdict(&answer(400, &body), AT)), "refused", "{quoting}");
        }
        let public = "status 400: Exceed payload limit".to_owned();
        let expected = Verdict::Refused { message: "Exceed payload limit".to_owned(), public, too_large: false };
        assert_eq!(verdict(&answer(400, size), AT), expected);
        let objects = r#"{"error":{"message":"Tyler is bad"},"code":"bad_request"}"#;
        let public = "status 400, code bad_request".to_owned();
        let expected = Verdict::Refused { message: "Tyler is bad".to_owned(), public, too_large: false };
        assert_eq!(verdict(&answer(400, objects), AT), expected);
    }

    #[test]
    fn waits_that_the_server_asks_for_are_honoured_and_capped() {
        let date = "Sat, 11 May 2019 20:32:37 GMT"; // ten seconds after AT
        for status in [408, 410, 429, 460, 500, 503] {
            for (retry_after, reset, expected) in [
                (Some("1"), None, Some(1_000)),
                (Some("900"), None, Some(SERVER_WAIT_MAX_MS)),
                (Some(date), None, Some(10_000)),
                (Some("Sat, 11 May 2019 20:00:00 GMT"), None, Some(0)),
                (None, Some("7"), Some(7_000)),
                (Some("2"), Some("7"), Some(2_000)),
                (Some("soon"), Some("7"), Some(7_000)),
                (Some("soon"), None, None),
                (Some("0"), None, Some(0)),
            ] {
                let Verdict::Retry { asked_ms, .. } = verdict(&told_to_wait(status, retry_after, reset), AT) else {
                    panic!("a retry")
                };
                assert_eq!(asked_ms, expected, "{status} {retry_after:?} {reset:?}");
            }
        }
    }

    #[test]
    fn a_broken_request_is_sent_again_and_asks_for_no_wait() {
        let broken = Answer::Broken { reason: "connection reset".to_owned() };
        let again = Verdict::Retry { asked_ms: None, throttled: false, reason: "connection reset".to_owned() };
        assert_eq!(verdict(&broken, AT), again);
    }

    #[test]
    fn a_long_message_is_cut_between_letters_and_has_no_line_breaks() {
        let body = serde_json::json!({"message": format!("a\n{}", "é".repeat(300))}).to_string();
        let Verdict::Refused { message, .. } = verdict(&answer(400, &body), AT) else { panic!("refused") };
        assert!(message.len() <= MESSAGE_BYTES_MAX && message.starts_with("a é"));
    }
}
