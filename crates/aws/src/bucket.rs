//! The operations on one bucket. Each retries here and nowhere else.

pub use crate::answer::{Object, Pin};
use crate::answer::{etag_of, is_truncated, same_object, size_of};
use crate::backoff::REQUESTS;
use crate::dice::Dice;
use crate::fault::{Fault, Kind, Operation};
use crate::sample::{Got, Sample, Sampler};
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{BuildError, ProvideErrorMetadata};
use aws_sdk_s3::operation::get_object::builders::GetObjectFluentBuilder;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier, RequestPayer};
use bytes::Bytes;
use protocol::upload::Version;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// `DeleteObjects` takes at most this many keys (S3 API reference).
pub const DELETE_KEYS_MAX: usize = 1_000;

/// A bucket seen through one client.
#[derive(Debug, Clone)]
pub struct Bucket {
    client: Client,
    name: String,
    dice: Dice,
    /// Set if the requests of reads say that we pay for them.
    payer: Option<RequestPayer>,
    /// The last GET of one object among many that succeeded.
    sample: Arc<Mutex<Option<Arc<Sample>>>>,
}

/// How a put that must create ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// The object is now there, with this ETag.
    Done(String),
    /// An object with this key was there already; after a lost response it may be our own.
    AlreadyThere,
}

/// How a compare-and-swap ended.
#[derive(Debug)]
pub enum Swapped {
    /// The object is ours now, with this ETag.
    Done(String),
    /// Another value is stored, or none. The caller reads it first.
    Lost,
    /// No answer, or a conflict: it may or may not have landed. The caller reads the document back and compares its
    /// nonce.
    Unsure(Fault),
}

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its whole key.
    pub key: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was put, in ms since the epoch.
    pub modified_ms: i64,
}

/// An object that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its version, if the bucket keeps versions.
    pub version_id: Option<String>,
    /// Its ETag, as S3 words it.
    pub etag: String,
}

/// An object that is being read: its pin, its metadata and its body.
pub struct OpenObject {
    /// The pin of the first answer.
    pub pin: Pin,
    /// User metadata (`x-amz-meta-…` without that prefix).
    pub metadata: std::collections::HashMap<String, String>,
    /// The bytes as they come.
    pub body: ByteStream,
}

impl Bucket {
    /// A bucket by its name. The waits between two tries come from the dice.
    #[must_use]
    pub fn new(client: Client, name: impl Into<String>, dice: Dice) -> Self {
        Self { client, name: name.into(), dice, payer: None, sample: Arc::default() }
    }

    /// The same bucket, for whose reads and listings we pay if `pays` is true (S3 user guide, "Requester Pays buckets").
    #[must_use]
    pub fn paid_by_us(self, pays: bool) -> Self {
        Self { payer: pays.then_some(RequestPayer::Requester), ..self }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its chance comes from.
    #[must_use]
    pub fn dice(&self) -> &Dice {
        &self.dice
    }

    /// A key of it as a URI, for messages.
    #[must_use]
    pub fn target(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.name)
    }

    /// Reads a small object whole; `None` when it is not there.
    ///
    /// # Errors
    /// When S3 does not give it.
    pub async fn get(&self, key: &str) -> Result<Option<Object>, Fault> {
        there(retried(&self.dice, || self.get_once(key, None)).await)
    }

    /// The same for one object among many, in less than half of the CPU time. The checksum that S3 keeps is not compared, so the
    /// object needs one of its own.
    ///
    /// The SDK makes the first GET, and each that follows an unclear answer.
    ///
    /// # Errors
    /// When S3 does not give it.
    pub async fn get_of_many(&self, key: &str) -> Result<Option<Object>, Fault> {
        let get = async || {
            let sample = self.sample().clone();
            if let Some(sample) = sample {
                let got = sample.get(key).await;
                if let Got::Object(object) = got {
                    return Ok(object);
                }
                *self.sample() = None;
                if let Got::Busy(status) = got {
                    let detail = format!("S3 answers with status {status}");
                    return Err(Fault::foreign(Operation::Get, self.target(key), detail));
                }
                tracing::debug!(key, "the SDK will get it");
            }
            let sampler = Sampler::default();
            let object = self.get_once(key, Some(&sampler)).await?;
            *self.sample() = sampler.taken().map(Arc::new);
            Ok(object)
        };
        there(retried(&self.dice, get).await)
    }

    pub(crate) fn sample(&self) -> MutexGuard<'_, Option<Arc<Sample>>> {
        self.sample.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn get_once(&self, key: &str, sampler: Option<&Sampler>) -> Result<Object, Fault> {
        let target = self.target(key);
        let request = self.client.get_object().bucket(&self.name).key(key);
        let mut request = request.set_request_payer(self.payer.clone()).customize();
        if let Some(sampler) = sampler {
            request = request.interceptor(sampler.watch(key));
        }
        let answer = request.send().await.map_err(|error| Fault::of(Operation::Get, &target, &error))?;
        let etag = etag_of(answer.e_tag(), Operation::Get, &target)?;
        let bytes = size_of(&answer, 0, &target)?;
        let body = answer.body.collect().await.map_err(|error| Fault::broken(&target, &error))?.into_bytes();
        if body.len() as u64 != bytes {
            let detail = format!("the answer has {} of the {bytes} bytes that it promises", body.len());
            return Err(Fault::foreign(Operation::Get, &target, detail));
        }
        Ok(Object { body, etag })
    }

    /// Reads the first `bytes_max` bytes of an object. The pin of this answer decides all later reads.
    ///
    /// # Errors
    /// `Missing` when the key, or the version that was begun, is not there.
    pub async fn open(&self, key: &str, version: &Version, bytes_max: u64) -> Result<OpenObject, Fault> {
        let of = |version: &str| Pin { version_id: Some(version.to_owned()), ..Pin::default() };
        match version {
            Version::Latest => {}
            Version::Begun(version) => {
                let begun = of(version);
                return retried(&self.dice, || self.read_once(key, Some(&begun), 0, bytes_max)).await;
            }
            Version::Hinted(version) => {
                let hint = of(version);
                match retried(&self.dice, || self.read_once(key, Some(&hint), 0, bytes_max)).await {
                    Err(fault) if !fault.is_transient() => tracing::debug!(%fault, "the version of the event cannot \
                        be read; reading the latest version"),
                    read => return read,
                }
            }
        }
        retried(&self.dice, || self.read_once(key, None, 0, bytes_max)).await
    }

    /// Reads up to `bytes_max` bytes at `from` of exactly the object that `pin` identifies. An empty object answers
    /// with no bytes.
    ///
    /// # Errors
    /// `Missing` when the key or the pinned version is gone, `Precondition` when another object took its place.
    pub async fn read(&self, key: &str, pin: &Pin, from: u64, bytes_max: u64) -> Result<OpenObject, Fault> {
        let pin = Some(pin);
        retried(&self.dice, || self.read_once(key, pin, from, bytes_max)).await
    }

    async fn read_once(&self, key: &str, pin: Option<&Pin>, from: u64, bytes_max: u64) -> Result<OpenObject, Fault> {
        let range = format!("bytes={from}-{}", from + bytes_max.max(1) - 1);
        let target = self.target(key);
        let request = || {
            let request = self.client.get_object().bucket(&self.name).key(key).set_request_payer(self.payer.clone());
            pin.map_or(request.clone(), |pin| pinned(request, pin))
        };
        let answer = match request().range(range).send().await {
            Ok(answer) => answer,
            // An empty object satisfies no range; ask again without one.
            Err(error) if from == 0 && error.code() == Some("InvalidRange") => {
                request().send().await.map_err(|error| Fault::of(Operation::Get, &target, &error))?
            }
            Err(error) => return Err(Fault::of(Operation::Get, &target, &error)),
        };
        let found = Pin {
            // In a bucket with versions, "null" is the version id of an object from before versioning.
            version_id: answer.version_id().map(str::to_owned),
            etag: etag_of(answer.e_tag(), Operation::Get, &target)?,
            modified_ms: answer.last_modified().and_then(|at| at.to_millis().ok()).unwrap_or_default(),
            bytes: size_of(&answer, from, &target)?,
        };
        if let Some(pin) = pin {
            same_object(pin, &found, &target)?;
        }
        Ok(OpenObject { pin: found, metadata: answer.metadata.unwrap_or_default(), body: answer.body })
    }

    /// The pin of an object, of its latest version or of this one; `None` when it is not there.
    ///
    /// # Errors
    /// When S3 does not say.
    pub async fn head(&self, key: &str, version_id: Option<&str>) -> Result<Option<Pin>, Fault> {
        let pin = retried(&self.dice, || async {
            let head = self.client.head_object().bucket(&self.name).key(key);
            let head = head.set_version_id(version_id.map(str::to_owned)).set_request_payer(self.payer.clone());
            let head = head.send().await.map_err(|error| Fault::of(Operation::Size, self.target(key), &error))?;
            Ok(Pin {
                version_id: head.version_id().map(str::to_owned),
                etag: etag_of(head.e_tag(), Operation::Size, &self.target(key))?,
                modified_ms: head.last_modified().and_then(|at| at.to_millis().ok()).unwrap_or_default(),
                bytes: head.content_length().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default(),
            })
        })
        .await;
        match pin {
            Ok(pin) => Ok(Some(pin)),
            Err(fault) if fault.kind == Kind::Missing => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Puts an object, whatever was there.
    ///
    /// # Errors
    /// When S3 does not take it.
    pub async fn put(&self, key: &str, body: Bytes, content_type: &str) -> Result<(), Fault> {
        retried(&self.dice, || async {
            let put = self.client.put_object().bucket(&self.name).key(key).content_type(content_type);
            let answer = put.body(body.clone().into()).send().await;
            let answer = answer.map_err(|error| Fault::of(Operation::Put, self.target(key), &error))?;
            etag_of(answer.e_tag(), Operation::Put, &self.target(key)).map(|_| ())
        })
        .await
    }

    /// Puts an object under a key that has none (`If-None-Match: *`).
    ///
    /// # Errors
    /// If S3 does not accept the object. An existing object is not an error.
    pub async fn create(&self, key: &str, body: Bytes, content_type: &str) -> Result<Created, Fault> {
        let put = retried(&self.dice, || async {
            let put = self.client.put_object().bucket(&self.name).key(key).content_type(content_type);
            let answer = put.if_none_match("*").body(body.clone().into()).send().await;
            let answer = answer.map_err(|error| Fault::of(Operation::Create, self.target(key), &error))?;
            etag_of(answer.e_tag(), Operation::Create, &self.target(key))
        })
        .await;
        match put {
            Ok(etag) => Ok(Created::Done(etag)),
            Err(fault) if fault.kind == Kind::Precondition => Ok(Created::AlreadyThere),
            Err(fault) => Err(fault),
        }
    }

    /// Replaces the object whose ETag is `etag` (`If-Match`), or creates it when `etag` is `None`. There is one try, and
    /// another if S3 refused the signature of the first. A caller without a clear answer reads the object back.
    ///
    /// # Errors
    /// When S3 refuses for another reason than the condition.
    pub async fn swap(&self, key: &str, etag: Option<&str>, body: Bytes, content_type: &str) -> Result<Swapped, Fault> {
        let put = async || {
            let put = self.client.put_object().bucket(&self.name).key(key).content_type(content_type);
            let put = match etag {
                Some(etag) => put.if_match(etag),
                None => put.if_none_match("*"),
            };
            let answer = put.body(body.clone().into()).send().await;
            let answer = answer.map_err(|error| Fault::of(Operation::Replace, self.target(key), &error))?;
            etag_of(answer.e_tag(), Operation::Replace, &self.target(key))
        };
        let put = match put().await {
            Err(fault) if fault.is_stale() => put().await,
            put => put,
        };
        match put {
            Ok(etag) => Ok(Swapped::Done(etag)),
            Err(fault) if matches!(fault.kind, Kind::Precondition | Kind::Missing) => Ok(Swapped::Lost),
            Err(fault) if fault.is_transient() => Ok(Swapped::Unsure(fault)),
            Err(fault) => Err(fault),
        }
    }

    /// One page of the keys that start with `prefix`, and the token of the next page.
    ///
    /// # Errors
    /// When S3 does not list.
    pub async fn list_page(
        &self,
        prefix: &str,
        start_after: Option<&str>,
    ) -> Result<(Vec<Listed>, Option<String>), Fault> {
        retried(&self.dice, || async {
            let answer = self
                .client
                .list_objects_v2()
                .bucket(&self.name)
                .prefix(prefix)
                .set_start_after(start_after.map(str::to_owned))
                .set_request_payer(self.payer.clone())
                .send()
                .await
                .map_err(|error| Fault::of(Operation::List, self.target(prefix), &error))?;
            let more = is_truncated(&answer, &self.target(prefix))?;
            let objects: Vec<Listed> = answer
                .contents()
                .iter()
                .map(|object| Listed {
                    key: object.key().unwrap_or_default().to_owned(),
                    bytes: object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
                    modified_ms: object.last_modified().and_then(|at| at.to_millis().ok()).unwrap_or_default(),
                })
                .collect();
            let next = more.then(|| objects.last().map(|last| last.key.clone()));
            Ok((objects, next.flatten()))
        })
        .await
    }

    /// The first object of all, in the order of the keys.
    ///
    /// # Errors
    /// When S3 does not list.
    pub async fn first_key(&self) -> Result<Option<String>, Fault> {
        retried(&self.dice, || async {
            let list = self.client.list_objects_v2().bucket(&self.name).max_keys(1);
            let list = list.set_request_payer(self.payer.clone());
            let answer = list.send().await.map_err(|error| Fault::of(Operation::List, self.target(""), &error))?;
            is_truncated(&answer, &self.target(""))?;
            Ok(answer.contents().first().and_then(|object| object.key().map(str::to_owned)))
        })
        .await
    }

    /// All that starts with `prefix`, up to `objects_max`, in the order of the keys.
    ///
    /// # Errors
    /// When S3 does not list.
    pub async fn list(&self, prefix: &str, objects_max: usize) -> Result<Vec<Listed>, Fault> {
        let mut objects = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let (page, next) = self.list_page(prefix, after.as_deref()).await?;
            objects.extend(page);
            if next.is_none() || objects.len() >= objects_max {
                objects.truncate(objects_max);
                return Ok(objects);
            }
            after = next;
        }
    }

    /// Deletes keys and returns each key that S3 did not confirm.
    ///
    /// # Errors
    /// When S3 refuses the request, or one of the keys.
    pub async fn delete(&self, keys: &[String]) -> Result<(), Fault> {
        for page in keys.chunks(DELETE_KEYS_MAX) {
            retried(&self.dice, || self.delete_page(page)).await?;
        }
        Ok(())
    }

    async fn delete_page(&self, keys: &[String]) -> Result<(), Fault> {
        let target = self.target(keys.first().map_or("", String::as_str));
        let identifiers = keys.iter().filter_map(|key| ObjectIdentifier::builder().key(key).build().ok()).collect();
        let delete = Delete::builder().set_objects(Some(identifiers)).build();
        let unfit = |error: BuildError| Fault::new(Kind::Other, Operation::Delete, &target, error.to_string());
        let delete = delete.map_err(unfit)?;
        let answer = self
            .client
            .delete_objects()
            .bucket(&self.name)
            .delete(delete)
            .send()
            .await
            .map_err(|error| Fault::of(Operation::Delete, &target, &error))?;
        match answer.errors().first() {
            // S3 reports each key as deleted or failed. A key without a report may still exist.
            None => {
                let deleted: BTreeSet<_> = answer.deleted().iter().filter_map(|deleted| deleted.key()).collect();
                let missed = keys.iter().find(|key| !deleted.contains(key.as_str()));
                let detail = |key| format!("{key} was not confirmed");
                missed.map_or(Ok(()), |key| Err(Fault::foreign(Operation::Delete, &target, detail(key))))
            }
            Some(error) => {
                let (code, message) = (error.code().unwrap_or_default(), error.message().unwrap_or_default());
                // A key's refusal has no status; all but a denial may be better next time.
                let status = if code == "AccessDenied" { 403 } else { 503 };
                let target = self.target(error.key().unwrap_or_default());
                Err(Fault::refused(Operation::Delete, target, status, code, message))
            }
        }
    }

    /// Starts a multipart upload, for an object that does not fit into memory.
    ///
    /// # Errors
    /// When S3 does not start it.
    pub async fn upload(&self, key: &str, content_type: &str) -> Result<Upload<'_>, Fault> {
        let id = retried(&self.dice, || async {
            let answer = self
                .client
                .create_multipart_upload()
                .bucket(&self.name)
                .key(key)
                .content_type(content_type)
                .send()
                .await
                .map_err(|error| Fault::of(Operation::StartUpload, self.target(key), &error))?;
            match answer.upload_id().filter(|id| !id.is_empty()) {
                Some(id) => Ok(id.to_owned()),
                None => Err(Fault::foreign(
                    Operation::StartUpload,
                    self.target(key),
                    "the answer has no upload id, so it is not from S3",
                )),
            }
        })
        .await?;
        Ok(Upload { bucket: self, key: key.to_owned(), id, parts: Vec::new(), bytes: 0 })
    }
}

/// An object that is put part by part.
pub struct Upload<'a> {
    bucket: &'a Bucket,
    key: String,
    id: String,
    parts: Vec<CompletedPart>,
    /// Of all parts together.
    bytes: u64,
}

impl Upload<'_> {
    /// Puts the next part; all but the last have at least 5 MiB (S3 user guide, "Multipart upload limits").
    ///
    /// # Errors
    /// When S3 does not take it.
    pub async fn part(&mut self, body: Bytes) -> Result<(), Fault> {
        let number = i32::try_from(self.parts.len() + 1).unwrap_or(i32::MAX);
        let etag = retried(&self.bucket.dice, || async {
            let answer = self
                .bucket
                .client
                .upload_part()
                .bucket(&self.bucket.name)
                .key(&self.key)
                .upload_id(&self.id)
                .part_number(number)
                .body(ByteStream::new(SdkBody::from(body.clone())))
                .send()
                .await
                .map_err(|error| Fault::of(Operation::UploadPart, self.bucket.target(&self.key), &error))?;
            etag_of(answer.e_tag(), Operation::UploadPart, &self.bucket.target(&self.key))
        })
        .await?;
        self.bytes += body.len() as u64;
        self.parts.push(CompletedPart::builder().part_number(number).e_tag(etag).build());
        Ok(())
    }

    /// Makes the parts one object.
    ///
    /// # Errors
    /// When S3 does not.
    pub async fn complete(self) -> Result<Stored, Fault> {
        match self.try_to_complete().await {
            // An upload that is gone at a second try was completed by the first, whose answer was lost; or it was
            // dropped. The size of the stored object decides.
            Err(fault) if fault.kind == Kind::Missing && fault.attempts > 1 => {
                match self.bucket.head(&self.key, None).await? {
                    Some(pin) if pin.bytes == self.bytes => Ok(Stored { version_id: pin.version_id, etag: pin.etag }),
                    _ => Err(fault),
                }
            }
            completed => completed,
        }
    }

    /// Deletes the parts. Without it they stay until a lifecycle rule of the bucket deletes them.
    ///
    /// # Errors
    /// When S3 does not.
    pub async fn abort(self) -> Result<(), Fault> {
        retried(&self.bucket.dice, || async {
            let abort = self.bucket.client.abort_multipart_upload().bucket(&self.bucket.name).key(&self.key);
            let aborted = abort.upload_id(&self.id).send().await.map(|_| ());
            aborted.map_err(|error| Fault::of(Operation::AbortUpload, self.bucket.target(&self.key), &error))
        })
        .await
    }

    async fn try_to_complete(&self) -> Result<Stored, Fault> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(self.parts.clone())).build();
        retried(&self.bucket.dice, || async {
            let completing = self.bucket.client.complete_multipart_upload().bucket(&self.bucket.name).key(&self.key);
            let answer = completing.upload_id(&self.id).multipart_upload(parts.clone()).send().await;
            let at = self.bucket.target(&self.key);
            let answer = answer.map_err(|error| Fault::of(Operation::CompleteUpload, &at, &error))?;
            let etag = etag_of(answer.e_tag(), Operation::CompleteUpload, &at)?;
            Ok(Stored { version_id: answer.version_id().map(str::to_owned), etag })
        })
        .await
    }
}

/// `None` in place of a missing object.
fn there(got: Result<Object, Fault>) -> Result<Option<Object>, Fault> {
    match got {
        Ok(object) => Ok(Some(object)),
        Err(fault) if fault.kind == Kind::Missing => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Adds the version or the ETag of a pin to a request.
fn pinned(request: GetObjectFluentBuilder, pin: &Pin) -> GetObjectFluentBuilder {
    let request = request.set_version_id(pin.version_id.clone());
    if pin.etag.is_empty() { request } else { request.if_match(&pin.etag) }
}

/// Runs `operation` until it succeeds, fails permanently, or has used its attempts. A refused signature is renewed once.
///
/// # Errors
/// The last fault, with the number of tries.
pub async fn retried<T, F>(dice: &Dice, operation: impl Fn() -> F) -> Result<T, Fault>
where
    F: Future<Output = Result<T, Fault>>,
{
    let mut attempts = 1;
    let mut is_renewed = false;
    loop {
        let fault = match operation().await {
            Ok(value) => return Ok(value),
            Err(fault) if fault.is_stale() && !is_renewed => {
                tracing::debug!(%fault, "will sign again");
                (attempts, is_renewed) = (attempts + 1, true);
                continue;
            }
            Err(fault) => fault,
        };
        let Some(wait) = REQUESTS.wait(attempts, dice).filter(|_| fault.is_transient()) else {
            return Err(fault.after(attempts));
        };
        tracing::debug!(%fault, attempts, "will try again");
        tokio::time::sleep(wait).await;
        attempts += 1;
    }
}
