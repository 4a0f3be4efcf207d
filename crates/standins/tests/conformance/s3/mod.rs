//! The behaviour of every S3.

mod conditions;
mod integrity;
mod keys;
mod listings;
mod multipart;
mod objects;
mod versions;
