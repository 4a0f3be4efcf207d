//! What every S3 does, whoever runs it.

mod conditions;
mod integrity;
mod keys;
mod listings;
mod multipart;
mod objects;
mod versions;
