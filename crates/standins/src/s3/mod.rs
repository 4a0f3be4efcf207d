//! S3 (and, on the same port, STS) over memory or a folder.

pub(crate) mod access;
mod answers;
mod body;
mod checksums;
mod conditions;
mod folder;
mod listing;
mod multipart;
mod notification;
mod operations;
mod pages;
mod requests;
mod server;
mod service;
mod shared_body;
mod signature;
mod store;
mod sts;
mod upload;
mod version;
mod wire;

pub use notification::{Filter, Notifications, form_encoded, test_event};
pub use requests::{Request, Requests};
pub use server::{Object, Server, Setup, StoreError};
pub use service::Service;
#[cfg(feature = "explorer")]
pub(crate) use service::content_of;
pub use version::Versioning;

/// Where everything is that does not say otherwise.
pub const REGION: &str = "us-east-1";
