//! The write key in use. A key from a secret may change while the process runs.
//!
//! The rule: when Segment does not take the key, its secret is read again, once for each answer that says so. A request that
//! began before the last reading starts no other one, so the requests that are under way together share one. The secret is
//! also read with each later [lookup](crate::lookup) of the key, which is at most once an hour, and for `validate`.

use crate::write_key::WriteKey;
use aws::Clock;
use aws::secrets::Secrets;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use config::source::Secret;
use http::header::HeaderValue;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

/// The longest wait for a secret.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// A write key with its header.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) write_key: WriteKey,
    pub(crate) authorization: HeaderValue,
}

/// The write key in use.
pub(crate) struct Key {
    held: RwLock<Arc<Held>>,
    secrets: Option<Secrets>,
    /// When the secret was last read, in ms since the epoch. The holder of the lock reads for all.
    read_ms: Mutex<Option<i64>>,
    clock: Clock,
}

impl Held {
    fn new(write_key: WriteKey) -> Arc<Held> {
        // Base64 has only characters that a header may have.
        let credentials = STANDARD.encode(format!("{}:", write_key.reveal()));
        let mut authorization =
            HeaderValue::try_from(format!("Basic {credentials}")).unwrap_or(HeaderValue::from_static(""));
        authorization.set_sensitive(true);
        Arc::new(Held { write_key, authorization })
    }
}

impl Key {
    /// Without `secrets` the key stays as it is.
    pub(crate) fn new(write_key: WriteKey, secrets: Option<Secrets>, clock: Clock) -> Key {
        Key { held: RwLock::new(Held::new(write_key)), secrets, read_ms: Mutex::default(), clock }
    }

    /// The key now.
    pub(crate) fn held(&self) -> Arc<Held> {
        Arc::clone(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the secret again, because Segment did not take `refused`. The request with it began at `began_ms`. True if
    /// another key is in use now.
    pub(crate) async fn replaces(&self, refused: &Held, began_ms: i64) -> bool {
        let read_ms = self.read_ms.lock().await;
        let is_another = |held: &Held| held.write_key != refused.write_key;
        if is_another(&self.held()) || read_ms.is_some_and(|read_ms| read_ms >= began_ms) {
            return is_another(&self.held());
        }
        warn_of(self.read_with(read_ms).await);
        is_another(&self.held())
    }

    /// Reads the secret again. If that fails, the key stays in use.
    pub(crate) async fn refresh(&self) {
        warn_of(self.read().await);
    }

    /// Reads the secret of the key, if it has one. The key that it has now is in use from then on.
    ///
    /// # Errors
    /// Which secret cannot be read, and why; or that its text is no key.
    pub(crate) async fn read(&self) -> Result<(), String> {
        self.read_with(self.read_ms.lock().await).await
    }

    async fn read_with(&self, mut read_ms: MutexGuard<'_, Option<i64>>) -> Result<(), String> {
        let held = self.held();
        let (Some(secrets), Some(arn)) = (&self.secrets, held.write_key.secret()) else { return Ok(()) };
        let from = Secret::SecretsManager(arn.to_owned());
        let read = timeout(READ_TIMEOUT, WriteKey::read(&from, secrets)).await;
        *read_ms = Some(self.clock.now_ms());
        let key = read.unwrap_or_else(|_| Err(format!("{arn}: no answer in {} s", READ_TIMEOUT.as_secs())))?;
        if key != held.write_key {
            tracing::info!(secret = arn, "the secret has another write key than before");
            *self.held.write().unwrap_or_else(PoisonError::into_inner) = Held::new(key);
        }
        Ok(())
    }
}

fn warn_of(read: Result<(), String>) {
    if let Err(reason) = read {
        tracing::warn!(reason, "the secret of the write key cannot be read again");
    }
}

#[cfg(test)]
mod tests {
    use crate::{Delivery, Looked};
    use aws::secrets::Secrets;
    use aws::{Clock, Dice};
    use config::environment::Reader;
    use ingestion::deadline::Deadline;
    use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const ARN: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:write-key-AbCdEf";

    /// A secret, and a Segment that knows every key but `unknown`.
    #[derive(Clone, Default)]
    struct World {
        url: String,
        now_ms: Arc<AtomicI64>,
        secret: Arc<Mutex<&'static str>>,
        reads: Arc<AtomicUsize>,
    }

    impl World {
        async fn new(secret: &'static str) -> World {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let world = World { url, secret: Arc::new(Mutex::new(secret)), ..World::default() };
            let serving = world.clone();
            tokio::spawn(async move {
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let mut request = [0; 4096];
                    let read = stream.read(&mut request).await.unwrap();
                    let answer = serving.answer(&String::from_utf8_lossy(&request[..read]));
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
            world
        }

        fn answer(&self, request: &str) -> String {
            let (status, body) = if request.starts_with("POST") {
                self.reads.fetch_add(1, Ordering::Relaxed);
                ("200 OK", format!(r#"{{"ARN":"{ARN}","SecretString":"{}"}}"#, self.secret.lock().unwrap()))
            } else if request.contains("/unknown/") {
                ("404 Not Found", "unknown".to_owned())
            } else {
                ("200 OK", r#"{"integrations":{}}"#.to_owned())
            };
            format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
        }

        fn delivery(&self, key: &str) -> Delivery {
            let get = |name: &str| match name {
                "WRITE_KEY" => Some(key.to_owned()),
                "SEGMENT_SETTINGS_ENDPOINT" => Some(self.url.clone()),
                _ => None,
            };
            let mut settings = crate::Settings::read(&mut Reader::new(&get), true);
            settings.write_key.secret = Some(ARN.to_owned());
            let now_ms = Arc::clone(&self.now_ms);
            let clock = Clock::from_fn(move || now_ms.fetch_add(1, Ordering::Relaxed));
            let secrets = Secrets::new(&aws::clients::config_at(&self.url, "id", "secret"));
            Delivery::new(settings, clock, Dice::seeded(1)).unwrap().with_secrets(&secrets)
        }

        async fn verified(&self, delivery: &Delivery) -> bool {
            let now_ms = self.now_ms.load(Ordering::Relaxed);
            !matches!(delivery.verify_key(Deadline::of(now_ms, now_ms + 60_000)).await, Looked::Unknown { .. })
        }

        fn reads(&self) -> usize {
            self.reads.load(Ordering::Relaxed)
        }
    }

    #[tokio::test]
    async fn a_key_that_segment_still_takes_is_read_again_an_hour_later() {
        let world = World::new("old").await;
        let delivery = world.delivery("old");
        *world.secret.lock().unwrap() = "new";
        for _ in 0..2 {
            assert!(world.verified(&delivery).await);
        }
        assert_eq!((delivery.write_key().reveal(), world.reads()), ("old", 0));
        world.now_ms.fetch_add(3_600_000, Ordering::Relaxed);
        assert!(world.verified(&delivery).await);
        assert_eq!((delivery.write_key().reveal(), world.reads()), ("new", 1));
    }

    #[tokio::test]
    async fn an_unknown_key_is_read_again_once_for_each_answer() {
        let world = World::new("unknown").await;
        let delivery = world.delivery("unknown");
        for reads in 1..=3 {
            assert!(!world.verified(&delivery).await);
            assert_eq!(world.reads(), reads);
        }
        *world.secret.lock().unwrap() = "new";
        assert!(world.verified(&delivery).await);
        assert_eq!((delivery.write_key().reveal(), world.reads()), ("new", 4));
    }

    #[tokio::test]
    async fn requests_that_are_under_way_together_share_a_reading() {
        let world = World::new("unknown").await;
        let delivery = world.delivery("unknown");
        let refused = delivery.key.held();
        let began_ms = world.now_ms.load(Ordering::Relaxed);
        let replaces = || delivery.key.replaces(&refused, began_ms);
        assert_eq!((tokio::join!(replaces(), replaces(), replaces()), world.reads()), ((false, false, false), 1));
        let began_ms = world.now_ms.load(Ordering::Relaxed);
        *world.secret.lock().unwrap() = "new";
        let replaces = || delivery.key.replaces(&refused, began_ms);
        assert_eq!((tokio::join!(replaces(), replaces(), replaces()), world.reads()), ((true, true, true), 2));
    }

    #[tokio::test]
    async fn a_key_stays_in_use_while_its_secret_cannot_be_read() {
        let world = World::new("two words").await;
        let delivery = world.delivery("old");
        let reason = delivery.read_key().await.unwrap_err();
        assert!(reason.contains(ARN) && !reason.contains("two words"), "{reason}");
        assert_eq!(delivery.write_key().reveal(), "old");
        assert!(tokio::time::timeout(Duration::from_secs(60), world.verified(&delivery)).await.unwrap());
    }
}
