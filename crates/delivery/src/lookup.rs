//! Whether Segment knows the write key: its Tracking API does not say.
//!
//! Segment answers 200 to a well-formed key without a source, and drops its calls. But it serves a source's settings,
//! which its browser and mobile libraries fetch, only for a key with a source. The key is part of their URL, so no URL,
//! and nothing that holds one, may be printed here.

use crate::deliver::{Delivery, host_of, read_some};
use crate::key::Held;
use crate::write_key::WriteKey;
use ingestion::deadline::Deadline;
use reqwest::Url;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::Mutex;

/// As much of the settings is read. The settings of a source with a tracking plan have some hundred KB. No limit is
/// documented.
const SETTINGS_BYTES_MAX: usize = 8 << 20;

/// The time for which an answer counts.
const COUNTS_MS: i64 = 3_600_000;

/// The longest wait for an answer before calls are sent.
const PATIENCE_MS_MAX: i64 = 5_000;

/// The last answer, the key that it is about, and when it came, in ms since the epoch. The holder of the lock asks for all.
pub(crate) type LastLooked = Mutex<Option<(WriteKey, i64, Looked)>>;

/// The result of asking for the write key's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// The key is a source's.
    Known {
        /// The API that Segment's libraries are to send this source's calls to, if that is said: a host and a path.
        sends_to: Option<String>,
    },
    /// No source has the key.
    Unknown {
        /// The status of the answer.
        status: u16,
    },
    /// It could not be found out.
    Unclear {
        /// Why; never the URL.
        reason: String,
    },
}

impl Delivery {
    /// Who is asked by [`look_up_key`](Self::look_up_key).
    #[must_use]
    pub fn settings_host(&self) -> &str {
        host_of(&self.settings().settings_endpoint)
    }

    /// Whether Segment knows the write key, asked at most once an hour. An unknown key is asked about again each time, so
    /// that a correction helps at once.
    ///
    /// A server in Segment's place need not have the settings of sources. It is asked only if `SEGMENT_SETTINGS_ENDPOINT`
    /// names it.
    pub async fn verify_key(&self, deadline: Deadline) -> Looked {
        if !self.settings().verify_write_key || !self.settings().has_settings {
            return Looked::Unclear { reason: "it is not asked".to_owned() };
        }
        let mut last = self.looked.lock().await;
        let now_ms = self.clock.now_ms();
        if let Some((key, at_ms, looked)) = last.as_ref()
            && *key == self.write_key()
            && !matches!(looked, Looked::Unknown { .. })
        {
            if now_ms - at_ms < COUNTS_MS {
                return looked.clone();
            }
            // So an old key that Segment still takes is out of use an hour after its secret has another one.
            self.key.refresh().await;
        }
        let patience_ms = (deadline.drain_at_ms - now_ms).clamp(0, PATIENCE_MS_MAX);
        let looked = self.look_up_key(Duration::from_millis(patience_ms.unsigned_abs())).await;
        *last = Some((self.write_key(), now_ms, looked.clone()));
        looked
    }

    /// Asks for the write key's settings, and waits so long for the answer. If the key is unknown and its secret has
    /// another one, it asks about that one.
    pub async fn look_up_key(&self, patience: Duration) -> Looked {
        let (key, began_ms) = (self.key.held(), self.clock.now_ms());
        let looked = self.ask_about(&key.write_key, patience).await;
        if matches!(looked, Looked::Unknown { .. }) && self.key.replaces(&key, began_ms).await {
            return self.ask_about(&self.write_key(), patience).await;
        }
        looked
    }

    /// Whether another key is in use now than the one that Segment did not take, and Segment may take it. The request with
    /// `refused` began at `began_ms`.
    pub(crate) async fn has_better_key(&self, refused: &Held, began_ms: i64, deadline: Deadline) -> bool {
        self.key.replaces(refused, began_ms).await
            && match self.verify_key(deadline).await {
                Looked::Known { sends_to } => sends_to.is_none_or(|api| self.settings().other_region(&api).is_none()),
                // Without a clear answer it is sent.
                Looked::Unclear { .. } => true,
                Looked::Unknown { .. } => false,
            }
    }

    async fn ask_about(&self, key: &WriteKey, patience: Duration) -> Looked {
        let Some(url) = self.settings_url(key) else {
            return Looked::Unclear { reason: "SEGMENT_SETTINGS_ENDPOINT is no URL".to_owned() };
        };
        match self.ask_for_settings(url, patience).await {
            Ok((status, body)) => judge(status, &body),
            Err(error) => Looked::Unclear { reason: aws::fault::chain(&error.without_url()) },
        }
    }

    async fn ask_for_settings(&self, url: Url, patience: Duration) -> Result<(u16, Vec<u8>), reqwest::Error> {
        let response = self.http.get(url).timeout(patience).send().await?;
        let status = response.status().as_u16();
        Ok((status, read_some(response, SETTINGS_BYTES_MAX).await?))
    }

    fn settings_url(&self, key: &WriteKey) -> Option<Url> {
        let mut url = Url::parse(&self.settings().settings_endpoint).ok()?;
        let key = key.reveal();
        url.path_segments_mut().ok()?.pop_if_empty().extend(["v1", "projects", key, "settings"]);
        Some(url)
    }
}

/// Reads an answer. Segment answers 404 to an unknown key (analytics-react-native, "WRITE_KEY giving 404 when fetching
/// settings"), in plain words (analytics.js-integrations, `compiler/scripts/settings.js`). A page of HTML is a gateway's,
/// and a 403 may be a firewall's. That the settings name the API which calls belong to is how its libraries learn a source's
/// region (analytics-kotlin, `SegmentDestination`).
fn judge(status: u16, body: &[u8]) -> Looked {
    match status {
        200 => match serde_json::from_slice::<Value>(body) {
            Ok(settings) if settings["integrations"].is_object() => {
                let host = settings["integrations"]["Segment.io"]["apiHost"].as_str();
                Looked::Known { sends_to: host.map(str::to_owned) }
            }
            _ => Looked::Unclear { reason: "status 200 without the settings of a source".to_owned() },
        },
        404 if !body.trim_ascii_start().starts_with(b"<") => Looked::Unknown { status },
        _ => Looked::Unclear { reason: format!("status {status}") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws::{Clock, Dice};
    use config::environment::Reader;

    fn delivery(endpoint: &str) -> Delivery {
        let get = |name: &str| match name {
            "WRITE_KEY" => Some("never/seen?#".to_owned()),
            "SEGMENT_SETTINGS_ENDPOINT" => Some(endpoint.to_owned()),
            _ => None,
        };
        Delivery::new(crate::Settings::read(&mut Reader::new(&get), true), Clock::system(), Dice::seeded(1)).unwrap()
    }

    #[test]
    fn the_settings_answer_shows_whether_the_write_key_is_known() {
        let known = |host: Option<&str>| Looked::Known { sends_to: host.map(str::to_owned) };
        let settings = br#"{"integrations":{"Segment.io":{"apiHost":"api.segment.io/v1"}},"plan":{}}"#;
        assert_eq!(judge(200, settings), known(Some("api.segment.io/v1")));
        assert_eq!(judge(200, br#"{"integrations":{}}"#), known(None));
        for body in ["", "Invalid path or write key provided.", r#"{"success":false}"#] {
            assert_eq!(judge(404, body.as_bytes()), Looked::Unknown { status: 404 });
        }
        let page = "\n<!DOCTYPE html><html>";
        for (status, body) in [
            (200, "<html>"),
            (200, r#"{"success":true}"#),
            (301, ""),
            (403, "not here"),
            (404, page),
            (429, ""),
            (500, "{}"),
            (502, page),
        ] {
            assert!(matches!(judge(status, body.as_bytes()), Looked::Unclear { .. }), "{status} {body}");
        }
    }

    #[test]
    fn any_write_key_is_one_segment_of_the_path() {
        let url = |endpoint: &str| {
            let delivery = delivery(endpoint);
            delivery.settings_url(&delivery.write_key())
        };
        let proxied = url("http://127.0.0.1:9/proxy/").unwrap();
        assert_eq!(proxied.as_str(), "http://127.0.0.1:9/proxy/v1/projects/never%2Fseen%3F%23/settings");
        assert_eq!(url("https://"), None);
    }

    #[tokio::test]
    async fn a_server_that_need_not_have_settings_is_not_asked() {
        let settings = |vars: &[(&str, &str)]| {
            let get = |name: &str| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            crate::Settings::read(&mut Reader::new(&get), false)
        };
        let asks = async |vars: &[(&str, &str)]| {
            let delivery = Delivery::new(settings(vars), Clock::system(), Dice::seeded(1)).unwrap();
            let deadline = Deadline::of(delivery.clock.now_ms(), delivery.clock.now_ms() + 60_000);
            delivery.verify_key(deadline).await != Looked::Unclear { reason: "it is not asked".to_owned() }
        };
        let proxy = [("SEGMENT_ENDPOINT", "http://127.0.0.1:9")];
        let named = [("SEGMENT_SETTINGS_ENDPOINT", "http://127.0.0.1:9")];
        assert!(!asks(&proxy).await && asks(&named).await && asks(&[proxy, named].concat()).await);
        assert!(!asks(&[named[0], ("VERIFY_WRITE_KEY", "false")]).await);
        assert!(settings(&[]).has_settings && settings(&[("SEGMENT_REGION", "eu")]).has_settings);
    }

    #[tokio::test]
    async fn a_request_to_an_https_endpoint_begins_with_a_tls_handshake() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let delivery = delivery(&format!("https://{}", listener.local_addr().unwrap()));
        let first_byte = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncReadExt::read_u8(&mut stream).await.unwrap()
        };
        let (looked, first_byte) = tokio::join!(delivery.look_up_key(Duration::from_secs(5)), first_byte);
        // RFC 8446, "ContentType": a handshake.
        assert_eq!(first_byte, 22);
        assert!(matches!(looked, Looked::Unclear { .. }), "{looked:?}");
    }

    #[tokio::test]
    async fn a_failed_connection_is_reported_without_the_write_key() {
        // Port 9 is closed. The other name is not a host.
        for endpoint in ["http://127.0.0.1:9", "http://no-such-host.invalid"] {
            let looked = delivery(endpoint).look_up_key(Duration::from_secs(5)).await;
            let Looked::Unclear { reason } = &looked else { panic!("{looked:?}") };
            assert!(!reason.is_empty() && !reason.contains("never") && !reason.contains("projects"), "{reason}");
        }
    }
}
