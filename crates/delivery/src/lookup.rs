//! Whether Segment knows the write key: its Tracking API does not say.
//!
//! Segment answers 200 to a well-formed key without a source, and drops its calls. But it serves a source's settings,
//! which its browser and mobile libraries fetch, only for a key with a source. The key is part of their URL, so no URL,
//! and nothing that holds one, may be printed here.

use crate::deliver::{Delivery, host_of, read_some};
use reqwest::Url;
use serde_json::Value;
use std::time::Duration;

/// As much of the settings is read. The settings of a source with a tracking plan have some hundred KB. No limit is
/// documented.
const SETTINGS_BYTES_MAX: usize = 8 << 20;

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

    /// Asks once for the write key's settings, and waits so long for the answer.
    pub async fn look_up_key(&self, patience: Duration) -> Looked {
        let Some(url) = self.settings_url() else {
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

    fn settings_url(&self) -> Option<Url> {
        let mut url = Url::parse(&self.settings().settings_endpoint).ok()?;
        let key = self.settings().write_key.reveal();
        url.path_segments_mut().ok()?.pop_if_empty().extend(["v1", "projects", key, "settings"]);
        Some(url)
    }
}

/// Reads an answer. Segment answers 404 to an unknown key (analytics-react-native, "WRITE_KEY giving 404 when fetching
/// settings"). A store behind a CDN may answer 403 instead. That the settings name the API which calls belong to is how
/// its libraries learn a source's region (analytics-kotlin, `SegmentDestination`).
fn judge(status: u16, body: &[u8]) -> Looked {
    match status {
        200 => match serde_json::from_slice::<Value>(body) {
            Ok(settings) if settings["integrations"].is_object() => {
                let host = settings["integrations"]["Segment.io"]["apiHost"].as_str();
                Looked::Known { sends_to: host.map(str::to_owned) }
            }
            _ => Looked::Unclear { reason: "status 200 without the settings of a source".to_owned() },
        },
        403 | 404 => Looked::Unknown { status },
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
        for status in [403, 404] {
            assert_eq!(judge(status, b"not here"), Looked::Unknown { status });
        }
        for (status, body) in [(200, "<html>"), (200, r#"{"success":true}"#), (301, ""), (429, ""), (500, "{}")] {
            assert!(matches!(judge(status, body.as_bytes()), Looked::Unclear { .. }), "{status} {body}");
        }
    }

    #[test]
    fn any_write_key_is_one_segment_of_the_path() {
        let url = delivery("http://127.0.0.1:9/proxy/").settings_url().unwrap();
        assert_eq!(url.as_str(), "http://127.0.0.1:9/proxy/v1/projects/never%2Fseen%3F%23/settings");
        assert_eq!(delivery("https://").settings_url(), None);
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
