//! Buckets, and the versions of their objects.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use s3s::dto::ETagCondition;
use s3s::{S3Error, S3Result, s3_error};

use super::body::{Blob, Draft, Finished, Opened};
use super::checksums::{self, Checksums};
use super::conditions::WriteCondition;
use super::folder::Folder;
use super::notification::{Created, Listeners};
use super::upload::Upload;
use super::version::{Attributes, Bucket, BucketSettings, Meta, NULL_VERSION, Version, Versioning};
use crate::clock::Clock;
use crate::dice;

/// An object that is ready to be kept.
#[derive(Debug)]
pub(crate) struct NewObject {
    pub(crate) key: String,
    pub(crate) body: Finished,
    pub(crate) size: u64,
    /// The MD5, or the ETag of a multipart upload.
    pub(crate) etag: String,
    pub(crate) attributes: Attributes,
    pub(crate) checksums: Checksums,
    /// `ObjectCreated:Put`, …
    pub(crate) event: &'static str,
    /// Who puts it, for the notification.
    pub(crate) principal: String,
}

/// The result of a delete.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Deleted {
    pub(crate) delete_marker: bool,
    pub(crate) version_id: Option<String>,
}

/// The result of a read.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) meta: Meta,
    pub(crate) versioned: bool,
    pub(crate) body: Opened,
}

#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) clock: Clock,
    pub(crate) listeners: Listeners,
    folder: Option<Folder>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) buckets: BTreeMap<String, Bucket>,
    pub(crate) uploads: HashMap<String, Upload>,
}

impl Store {
    pub(crate) fn in_memory(clock: Clock) -> Store {
        Store { clock, listeners: Listeners::default(), folder: None, state: Mutex::default() }
    }

    /// Opens a folder with its existing objects.
    pub(crate) fn in_folder(root: PathBuf, clock: Clock) -> std::io::Result<Store> {
        let folder = Folder::open(root)?;
        let buckets = folder.load()?;
        Ok(Store {
            clock,
            listeners: Listeners::default(),
            folder: Some(folder),
            state: Mutex::new(State { buckets, uploads: HashMap::new() }),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn draft(&self) -> S3Result<Draft> {
        match &self.folder {
            None => Ok(Draft::in_memory()),
            Some(folder) => folder.draft().map_err(S3Error::internal_error),
        }
    }

    /// Creates a bucket, or changes the settings of an existing one.
    pub(crate) fn settle_bucket(&self, name: &str, settings: BucketSettings) -> std::io::Result<()> {
        if let Some(folder) = &self.folder {
            folder.write_bucket(name, &settings)?;
        }
        self.lock().buckets.entry(name.to_owned()).or_default().settings = settings;
        Ok(())
    }

    pub(crate) fn bucket_settings(&self, name: &str) -> Option<BucketSettings> {
        let state = self.lock();
        state.buckets.get(name).map(|bucket| bucket.settings.clone())
    }

    pub(crate) fn delete_bucket(&self, name: &str) -> S3Result<()> {
        let mut state = self.lock();
        let bucket = state.buckets.get(name).ok_or_else(no_such_bucket)?;
        if !bucket.objects.is_empty() {
            return Err(s3_error!(BucketNotEmpty, "The bucket you tried to delete is not empty"));
        }
        if let Some(folder) = &self.folder {
            folder.remove_bucket(name).map_err(S3Error::internal_error)?;
        }
        state.buckets.remove(name);
        Ok(())
    }

    /// Keeps an object if the condition holds now. Check and effect are one: of any number of
    /// concurrent `If-None-Match: *`, one wins.
    pub(crate) fn put(&self, bucket: &str, new: NewObject, condition: &WriteCondition) -> S3Result<Meta> {
        let mut state = self.lock();
        let held = state.buckets.get_mut(bucket).ok_or_else(no_such_bucket)?;
        condition.check(held.current(&new.key).map(|version| version.meta.etag.as_str()))?;
        let versioning = held.settings.versioning;
        let etag = match new.attributes.sse.as_deref() {
            // "Objects encrypted by SSE-KMS have ETags that are not an MD5 digest."
            Some("aws:kms" | "aws:kms:dsse") => dice::token(16),
            _ => new.etag,
        };
        let meta = Meta {
            id: match versioning {
                Versioning::Enabled => dice::token(16),
                Versioning::Off => String::from(NULL_VERSION),
            },
            etag,
            size: new.size,
            modified_ms: self.clock.now_ms(),
            delete_marker: false,
            attributes: new.attributes,
            checksums: new.checksums,
        };
        let blob = match (new.body, &self.folder) {
            (Finished::Memory(bytes), None) => Blob::Memory(bytes),
            (body, folder) => body.keep(folder.as_ref().map(|folder| folder.side_path(bucket)))?,
        };
        let version = Version { meta: meta.clone(), blob };
        self.add(bucket, held, &new.key, version)?;
        // Under the lock, so that notifications come in the order of their sequencers.
        self.listeners.tell(&Created {
            bucket,
            key: &new.key,
            meta: &meta,
            versioned: versioning == Versioning::Enabled,
            event: new.event,
            principal: &new.principal,
            now_ms: meta.modified_ms,
        });
        Ok(meta)
    }

    /// Deletes the newest version (by a marker, where versions are kept), or the one named.
    pub(crate) fn delete(
        &self,
        bucket: &str,
        key: &str,
        version_id: Option<&str>,
        if_match: Option<&ETagCondition>,
    ) -> S3Result<Deleted> {
        let mut state = self.lock();
        let held = state.buckets.get_mut(bucket).ok_or_else(no_such_bucket)?;
        if let Some(condition) = if_match {
            let current = held.current(key).map(|version| version.meta.etag.as_str());
            WriteCondition::Matches(condition.clone()).check(current)?;
        }
        if let Some(id) = version_id {
            return self.delete_version(bucket, held, key, id);
        }
        if held.settings.versioning == Versioning::Off {
            if let Some(versions) = held.objects.remove(key) {
                self.settle(bucket, key, &mut [], versions)?;
            }
            return Ok(Deleted::default());
        }
        let id = dice::token(16);
        let marker = Version {
            meta: Meta {
                id: id.clone(),
                etag: String::new(),
                size: 0,
                modified_ms: self.clock.now_ms(),
                delete_marker: true,
                attributes: Attributes::default(),
                checksums: Checksums::new(),
            },
            blob: Blob::Memory(bytes::Bytes::new()),
        };
        self.add(bucket, held, key, marker)?;
        Ok(Deleted { delete_marker: true, version_id: Some(id) })
    }

    fn delete_version(&self, bucket: &str, held: &mut Bucket, key: &str, id: &str) -> S3Result<Deleted> {
        let mut deleted = Deleted { delete_marker: false, version_id: Some(id.to_owned()) };
        let Some(versions) = held.objects.get_mut(key) else { return Ok(deleted) };
        if let Some(at) = versions.iter().position(|version| version.meta.id == id) {
            let removed = versions.remove(at);
            deleted.delete_marker = removed.meta.delete_marker;
            self.settle(bucket, key, versions, vec![removed])?;
        }
        if versions.is_empty() {
            held.objects.remove(key);
        }
        Ok(deleted)
    }

    /// Finds a version and opens it.
    pub(crate) fn find(&self, bucket: &str, key: &str, version_id: Option<&str>) -> S3Result<Found> {
        let state = self.lock();
        let held = state.buckets.get(bucket).ok_or_else(no_such_bucket)?;
        let versioned = held.settings.versioning != Versioning::Off;
        let versions = held.objects.get(key).map_or(&[][..], Vec::as_slice);
        let version = match version_id {
            None => versions.last().ok_or_else(no_such_key)?,
            Some(id) => versions
                .iter()
                .find(|version| version.meta.id == id)
                .ok_or_else(|| s3_error!(NoSuchVersion, "The specified version does not exist."))?,
        };
        if version.meta.delete_marker {
            return Err(is_delete_marker(version, version_id.is_some()));
        }
        Ok(Found { meta: version.meta.clone(), versioned, body: version.blob.open().map_err(S3Error::internal_error)? })
    }

    /// Puts a version on top, over those that it replaces.
    fn add(&self, bucket: &str, held: &mut Bucket, key: &str, version: Version) -> S3Result<()> {
        let versions = held.objects.entry(key.to_owned()).or_default();
        let replaced = versions.extract_if(.., |old| old.meta.id == version.meta.id).collect();
        versions.push(version);
        self.settle(bucket, key, versions, replaced)
    }

    fn settle(&self, bucket: &str, key: &str, versions: &mut [Version], gone: Vec<Version>) -> S3Result<()> {
        match &self.folder {
            None => Ok(()),
            Some(folder) => folder.settle(bucket, key, versions, gone).map_err(S3Error::internal_error),
        }
    }

    /// Takes up files that were put into, changed in or removed from the folder by hand.
    /// Answers with the keys that are new or changed.
    pub(crate) fn rescan(&self) -> std::io::Result<Vec<(String, String)>> {
        let Some(folder) = &self.folder else { return Ok(Vec::new()) };
        let mut state = self.lock();
        let fresh = folder.load()?;
        let mut changed = Vec::new();
        for (name, bucket) in &fresh {
            let known = state.buckets.get(name);
            for (key, versions) in &bucket.objects {
                let etag = |versions: &Vec<Version>| versions.last().map(|v| v.meta.etag.clone());
                if known.and_then(|known| known.objects.get(key)).and_then(etag) != etag(versions) {
                    changed.push((name.clone(), key.clone()));
                }
            }
        }
        state.buckets = fresh;
        for (name, key) in &changed {
            let Some(version) = state.buckets.get(name).and_then(|bucket| bucket.current(key)) else {
                continue;
            };
            self.listeners.tell(&Created {
                bucket: name,
                key,
                meta: &version.meta,
                versioned: version.meta.id != NULL_VERSION,
                event: "ObjectCreated:Put",
                principal: "folder",
                now_ms: self.clock.now_ms(),
            });
        }
        Ok(changed)
    }

    /// Keeps bytes without a request: how stories seed a bucket.
    pub(crate) fn seed(&self, bucket: &str, key: &str, bytes: &[u8], attributes: Attributes) -> S3Result<Meta> {
        let mut draft = self.draft()?;
        draft.write(bytes).map_err(S3Error::internal_error)?;
        let new = NewObject {
            key: key.to_owned(),
            size: draft.size(),
            body: draft.finish(),
            etag: hex::encode(checksums::md5(bytes)),
            attributes,
            checksums: Checksums::new(),
            event: "ObjectCreated:Put",
            principal: String::from("seed"),
        };
        self.put(bucket, new, &WriteCondition::Always)
    }
}

pub(crate) fn no_such_bucket() -> S3Error {
    s3_error!(NoSuchBucket, "The specified bucket does not exist")
}

pub(crate) fn no_such_key() -> S3Error {
    s3_error!(NoSuchKey, "The specified key does not exist.")
}

/// A marker by its id is 405, a marker that hides an object is 404. Both answers have the marker's headers.
fn is_delete_marker(version: &Version, by_id: bool) -> S3Error {
    let mut error = match by_id {
        true => s3_error!(MethodNotAllowed, "The specified method is not allowed against this resource."),
        false => no_such_key(),
    };
    let mut headers = http::HeaderMap::new();
    headers.insert("x-amz-delete-marker", http::HeaderValue::from_static("true"));
    if let Ok(id) = version.meta.id.parse() {
        headers.insert("x-amz-version-id", id);
    }
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/xml"));
    error.set_headers(headers);
    error
}
