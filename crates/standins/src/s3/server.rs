//! Setting a server up, and the handle on a running one.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use s3s::service::S3ServiceBuilder;

use super::access::{BucketPolicies, Guard};
use super::notification::{Filter, Notifications};
use super::operations::Operations;
use super::requests::Requests;
use super::service::Service;
use super::store::Store;
use super::sts::StsRoute;
use super::version::{Attributes, BucketSettings, Meta, NULL_VERSION, Versioning};
use super::wire::Wire;
use crate::clock::Clock;
use crate::faults::Faults;
use crate::iam::{Credentials, DEFAULT_ACCOUNT, Directory, Policy, PolicyError, Role};
use crate::serve::{self, Listening};

/// The configuration of a server. [`start`](Setup::start) makes it so.
#[derive(Debug)]
#[must_use]
pub struct Setup {
    folder: Option<PathBuf>,
    address: SocketAddr,
    clock: Clock,
    administrator: Option<(String, String)>,
    buckets: Vec<(String, BucketSettings)>,
    roles: Vec<Role>,
    faults: Faults,
}

impl Setup {
    fn new(folder: Option<PathBuf>) -> Setup {
        Setup {
            folder,
            address: serve::any_port(),
            clock: Clock::real(),
            administrator: None,
            buckets: Vec::new(),
            roles: Vec::new(),
            faults: Faults::default(),
        }
    }

    /// Adds a bucket.
    pub fn with_bucket(self, name: &str) -> Setup {
        self.bucket(name, BucketSettings::default())
    }

    /// Adds a bucket that keeps versions.
    pub fn with_versioned_bucket(self, name: &str) -> Setup {
        let settings = BucketSettings { versioning: Versioning::Enabled, ..BucketSettings::default() };
        self.bucket(name, settings)
    }

    /// Adds a bucket of another account, in a region: requests signed for another region are
    /// redirected, callers of other accounts refused.
    pub fn with_foreign_bucket(self, name: &str, owner: &str, region: &str) -> Setup {
        let settings = BucketSettings {
            owner: Some(owner.to_owned()),
            region: Some(region.to_owned()),
            ..BucketSettings::default()
        };
        self.bucket(name, settings)
    }

    /// Adds a Requester Pays bucket: requests without `x-amz-request-payer: requester` are refused.
    pub fn with_requester_pays_bucket(self, name: &str) -> Setup {
        self.bucket(name, BucketSettings { requester_pays: true, ..BucketSettings::default() })
    }

    fn bucket(mut self, name: &str, settings: BucketSettings) -> Setup {
        self.buckets.push((name.to_owned(), settings));
        self
    }

    /// Adds a role for STS.
    pub fn with_role(mut self, role: Role) -> Setup {
        self.roles.push(role);
        self
    }

    /// Goes by this clock: for `Last-Modified`, notifications and the end of sessions.
    /// (Signatures are checked by the machine's time.)
    pub fn with_clock(mut self, clock: Clock) -> Setup {
        self.clock = clock;
        self
    }

    /// Gives the administrator this access key in place of a random one.
    pub fn with_credentials(mut self, access_key_id: &str, secret_access_key: &str) -> Setup {
        self.administrator = Some((access_key_id.to_owned(), secret_access_key.to_owned()));
        self
    }

    /// Listens here instead of at any free port of 127.0.0.1.
    pub fn at(mut self, address: SocketAddr) -> Setup {
        self.address = address;
        self
    }

    /// Starts the server on the running tokio runtime.
    pub async fn start(self) -> io::Result<Server> {
        let address = self.address;
        let mut server = self.in_process()?;
        let wire = server.service.wire();
        let handle = move |request: http::Request<Incoming>| wire.clone().handle(request.map(serve::incoming));
        server.listening = Some(serve::listen(address, handle).await?);
        Ok(server)
    }

    /// Sets the server up without a socket: [`Server::service`] is the way to it.
    pub fn in_process(self) -> io::Result<Server> {
        let store = Arc::new(match self.folder {
            None => Store::in_memory(self.clock.clone()),
            Some(root) => Store::in_folder(root, self.clock.clone())?,
        });
        for (name, settings) in self.buckets {
            store.settle_bucket(&name, settings)?;
        }
        let directory = Directory::new(self.clock.clone());
        for role in self.roles {
            directory.add_role(role);
        }
        let arn = format!("arn:aws:iam::{}:user/administrator", DEFAULT_ACCOUNT);
        let everything = vec![Policy::allow_all()];
        let credentials = match self.administrator {
            None => directory.add_user(&arn, everything),
            Some((access_key_id, secret_access_key)) => {
                let key = Credentials { access_key_id, secret_access_key, session_token: None, expires_at_ms: None };
                directory.add_user_with(&arn, everything, key)
            }
        };
        let policies = BucketPolicies::default();
        let guard = Guard {
            directory: directory.clone(),
            store: Arc::clone(&store),
            policies: policies.clone(),
            faults: self.faults.clone(),
        };
        let mut service = S3ServiceBuilder::new(Operations { store: Arc::clone(&store) });
        service.set_auth(guard.clone());
        service.set_access(guard.clone());
        service.set_route(StsRoute(guard));
        let requests = Requests::default();
        let wire = Wire { service: service.build(), requests: requests.clone(), clock: self.clock.clone() };
        let service = Service::new(wire, Arc::clone(&store));
        let (listening, faults, clock) = (None, self.faults, self.clock);
        Ok(Server { listening, service, store, policies, directory, credentials, faults, requests, clock })
    }
}

/// A running S3 with its STS. It stops when it is dropped. The files of a folder stay.
#[derive(Debug)]
pub struct Server {
    /// `None` in process.
    listening: Option<Listening>,
    service: Service,
    store: Arc<Store>,
    policies: BucketPolicies,
    directory: Directory,
    credentials: Credentials,
    faults: Faults,
    requests: Requests,
    clock: Clock,
}

/// Something that the store refused to a story.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(String);

/// An object (or one version of it), as a story sees it.
#[derive(Clone, Debug)]
pub struct Object {
    /// The unchanged key.
    pub key: String,
    /// ETag without quotes.
    pub etag: String,
    /// Size in bytes.
    pub size: u64,
    /// In a bucket that keeps versions.
    pub version_id: Option<String>,
    /// Milliseconds since 1970; the wire shows whole seconds.
    pub modified_ms: i64,
    /// Whether this is a delete marker.
    pub delete_marker: bool,
    /// `Content-Type`, as it was given.
    pub content_type: Option<String>,
    /// `Content-Encoding`, without `aws-chunked`.
    pub content_encoding: Option<String>,
    /// `x-amz-meta-*`.
    pub metadata: BTreeMap<String, String>,
    /// `x-amz-acl`, as it was given.
    pub acl: Option<String>,
    /// `x-amz-server-side-encryption`, as it was given.
    pub server_side_encryption: Option<String>,
    /// `x-amz-storage-class`, as it was given.
    pub storage_class: Option<String>,
    /// `x-amz-server-side-encryption-aws-kms-key-id`, as it was given.
    pub kms_key_id: Option<String>,
    /// Checksums that were verified, by algorithm (`CRC32`).
    pub checksums: BTreeMap<String, String>,
}

impl Server {
    /// A server that keeps everything in memory.
    pub fn memory() -> Setup {
        Setup::new(None)
    }

    /// A server that keeps objects in a folder, where ordinary keys are ordinary files. Objects in the folder are found
    /// again.
    pub fn folder(root: impl Into<PathBuf>) -> Setup {
        Setup::new(Some(root.into()))
    }

    /// The endpoint, for S3 and STS alike. In process it leads nowhere.
    pub fn url(&self) -> String {
        self.listening.as_ref().map_or_else(|| String::from("http://in.process"), Listening::url)
    }

    /// The address it listens at; the unspecified one in process.
    pub fn address(&self) -> SocketAddr {
        self.listening.as_ref().map_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into(), Listening::address)
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.listening.as_ref().map_or(0, Listening::connections)
    }

    /// The way to it without a socket.
    pub fn service(&self) -> Service {
        self.service.clone()
    }

    /// The administrator's access key: may do everything in this account.
    pub fn credentials(&self) -> Credentials {
        self.credentials.clone()
    }

    /// All that a process needs to use this server: endpoints, region, the administrator's key.
    pub fn env(&self) -> Vec<(String, String)> {
        self.env_as(&self.credentials)
    }

    /// As [`env`](Server::env), with another key.
    pub fn env_as(&self, credentials: &Credentials) -> Vec<(String, String)> {
        let mut env = vec![
            (String::from("AWS_ENDPOINT_URL_S3"), self.url()),
            (String::from("AWS_ENDPOINT_URL_STS"), self.url()),
            (String::from("AWS_REGION"), String::from(super::REGION)),
        ];
        env.extend(credentials.env());
        env
    }

    /// Users, roles and sessions.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The faults of S3 and STS.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The log of its requests.
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// The clock it goes by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Notifications of objects created in a bucket from now on, in order.
    pub fn notifications(&self, bucket: &str, filter: Filter) -> Notifications {
        self.store.listeners.add(bucket, filter)
    }

    /// Calls `tell` for every object created from now on, at the very moment: when the client hears
    /// of its put, `tell` has returned. It must not use this server.
    pub fn on_created(&self, bucket: &str, filter: Filter, tell: impl Fn(serde_json::Value) + Send + Sync + 'static) {
        self.store.listeners.add_function(bucket, filter, move |notification| {
            tell(notification);
            true
        });
    }

    /// Makes a bucket if it is not there.
    pub fn create_bucket(&self, name: &str) -> io::Result<()> {
        match self.store.bucket_settings(name) {
            Some(_) => Ok(()),
            None => self.change(name, |_| {}),
        }
    }

    /// Sets the policy of a bucket. `Principal` may be an account, a role or a session.
    ///
    /// # Errors
    /// If the document cannot be used.
    pub fn set_bucket_policy(&self, bucket: &str, json: &str) -> Result<(), PolicyError> {
        self.policies.set(bucket, Policy::parse(json)?);
        Ok(())
    }

    /// Removes a bucket with everything in it.
    pub fn remove_bucket(&self, name: &str) -> Result<(), StoreError> {
        for version in self.versions(name, "") {
            let id = version.version_id.as_deref().unwrap_or(NULL_VERSION);
            let deleted = self.store.delete(name, &version.key, Some(id), None);
            deleted.map_err(refused)?;
        }
        self.store.delete_bucket(name).map_err(refused)
    }

    /// Turns versioning on or off.
    pub fn set_versioning(&self, bucket: &str, versioning: Versioning) -> io::Result<()> {
        self.change(bucket, |settings| settings.versioning = versioning)
    }

    fn change(&self, bucket: &str, change: impl FnOnce(&mut BucketSettings)) -> io::Result<()> {
        let mut settings = self.store.bucket_settings(bucket).unwrap_or_default();
        change(&mut settings);
        self.store.settle_bucket(bucket, settings)
    }

    /// Puts an object without a request; it is notified of like any other.
    pub fn put(&self, bucket: &str, key: &str, bytes: impl AsRef<[u8]>) -> Result<Object, StoreError> {
        self.put_with(bucket, key, bytes, &[])
    }

    /// As [`put`](Server::put), with user metadata.
    pub fn put_with(
        &self,
        bucket: &str,
        key: &str,
        bytes: impl AsRef<[u8]>,
        metadata: &[(&str, &str)],
    ) -> Result<Object, StoreError> {
        let pairs = metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let attributes = Attributes { metadata: pairs.collect(), ..Attributes::default() };
        let meta = self.store.seed(bucket, key, bytes.as_ref(), attributes).map_err(refused)?;
        Ok(object(key, &meta))
    }

    /// Deletes an object without a request.
    pub fn delete(&self, bucket: &str, key: &str) -> Result<(), StoreError> {
        self.store.delete(bucket, key, None, None).map(|_| ()).map_err(refused)
    }

    /// The bytes of an object, if it is there.
    pub fn bytes(&self, bucket: &str, key: &str) -> Option<Bytes> {
        self.store.find(bucket, key, None).ok()?.body.read_all().ok()
    }

    /// The bytes of one of the [`versions`](Server::versions); none for a delete marker.
    pub fn bytes_of(&self, bucket: &str, version: &Object) -> Option<Bytes> {
        let id = version.version_id.as_deref();
        self.store.find(bucket, &version.key, id).ok()?.body.read_all().ok()
    }

    /// An object, if it is there.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Object> {
        let found = self.store.find(bucket, key, None).ok()?;
        Some(object(key, &found.meta))
    }

    /// The names of all buckets, in order.
    pub fn buckets(&self) -> Vec<String> {
        self.store.lock().buckets.keys().cloned().collect()
    }

    /// The objects whose keys begin so, in order.
    pub fn objects(&self, bucket: &str, prefix: &str) -> Vec<Object> {
        let state = self.store.lock();
        let Some(held) = state.buckets.get(bucket) else { return Vec::new() };
        let keys = held.objects.keys().filter(|key| key.starts_with(prefix));
        keys.filter_map(|key| Some(object(key, &held.current(key)?.meta))).collect()
    }

    /// Their keys.
    pub fn keys(&self, bucket: &str, prefix: &str) -> Vec<String> {
        self.objects(bucket, prefix).into_iter().map(|object| object.key).collect()
    }

    /// Every version and delete marker, oldest first within a key.
    pub fn versions(&self, bucket: &str, prefix: &str) -> Vec<Object> {
        let state = self.store.lock();
        let Some(held) = state.buckets.get(bucket) else { return Vec::new() };
        let keys = held.objects.iter().filter(|(key, _)| key.starts_with(prefix));
        keys.flat_map(|(key, versions)| versions.iter().map(|version| object(key, &version.meta))).collect()
    }

    /// Takes up files put into, changed in or removed from the folder by hand; new and changed
    /// ones are notified of. Answers with their buckets and keys. In memory it does nothing.
    pub fn rescan(&self) -> io::Result<Vec<(String, String)>> {
        self.store.rescan()
    }
}

fn refused(error: s3s::S3Error) -> StoreError {
    let message = error.message().unwrap_or_default();
    StoreError(format!("{}: {message}", error.code().as_str()))
}

fn object(key: &str, meta: &Meta) -> Object {
    let attributes = meta.attributes.clone();
    Object {
        key: key.to_owned(),
        etag: meta.etag.clone(),
        size: meta.size,
        version_id: (meta.id != NULL_VERSION).then(|| meta.id.clone()),
        modified_ms: meta.modified_ms,
        delete_marker: meta.delete_marker,
        content_type: attributes.content_type,
        content_encoding: attributes.content_encoding,
        metadata: attributes.metadata,
        acl: attributes.acl,
        server_side_encryption: attributes.sse,
        storage_class: attributes.storage_class,
        kms_key_id: attributes.kms_key_id,
        checksums: meta.checksums.clone(),
    }
}
