//! An upload in parts as plain data.

use std::collections::BTreeMap;

use super::body::Finished;
use super::version::Attributes;

#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) attributes: Attributes,
    pub(crate) parts: BTreeMap<i32, Part>,
}

#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) md5: [u8; 16],
    pub(crate) size: u64,
    pub(crate) body: Finished,
}
