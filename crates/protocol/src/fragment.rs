//! Fragments: the name of one, which carries all that planning and checking need, and the frame around its lines.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{Day, Epoch, RequestId, SourceId, StreamId};
use crate::position::ByteRange;

/// The first bytes of every fragment and of every log object: deflate, no flags, no time, no
/// extra flags, operating system unknown.
pub const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// The empty, final, stored block that ends the deflate stream.
pub const FINAL_BLOCK: [u8; 5] = [1, 0, 0, 0xff, 0xff];

/// Bytes of the trailer: the CRC-32 of the lines, and their length modulo 2³².
pub const TRAILER_LEN: usize = 8;

/// The bytes of a fragment that are not its body.
pub const FRAME_LEN: usize = HEADER.len() + FINAL_BLOCK.len() + TRAILER_LEN;

/// Where the events of a fragment came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Rows of a file. They count once a committed range of the same epoch covers them.
    File {
        /// The file.
        stream: StreamId,
        /// The ownership under which the rows were sent; a new owner has a new one.
        epoch: Epoch,
        /// The bytes of the file that the rows take.
        range: ByteRange,
    },
    /// A request to the receiver. It counts always: the answer was given after the fragment.
    Request {
        /// The request.
        id: RequestId,
    },
}

/// A fragment's whole key, `received/{source}/{day}/{rest}`, where the rest is
/// `file.{stream}.{epoch}.{from}-{to}.{events}.{raw bytes}.{crc32}.gz` or
/// `request.{id}.{events}.{raw bytes}.{crc32}.gz`.
///
/// [`Display`](fmt::Display) writes the key, and [`FromStr`] reads exactly the same form. So planning needs only a
/// listing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FragmentName {
    /// The source that received the events.
    pub source: SourceId,
    /// The day on which it received them.
    pub day: Day,
    /// Where they came from.
    pub origin: Origin,
    /// How many they are.
    pub events: u32,
    /// The length of their lines.
    pub raw_bytes: u64,
    /// The CRC-32 of the fragment's own (compressed) bytes.
    pub crc32: u32,
}

impl FragmentName {
    /// The prefix of all fragments.
    pub const PREFIX: &str = "received/";
}

impl fmt::Display for FragmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}/", Self::PREFIX, self.source, self.day)?;
        match &self.origin {
            Origin::File { stream, epoch, range: ByteRange { from, to } } => {
                write!(f, "file.{stream}.{epoch}.{from}-{to}")?;
            }
            Origin::Request { id } => write!(f, "request.{id}")?,
        }
        write!(f, ".{}.{}.{:08x}.gz", self.events, self.raw_bytes, self.crc32)
    }
}

/// A fragment as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Staged {
    /// Its key.
    #[serde(rename = "key")]
    pub name: FragmentName,
    /// Its size.
    pub bytes: u64,
}

/// A key that no fragment has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a fragment")]
pub struct NotAFragmentName;

impl FromStr for FragmentName {
    type Err = NotAFragmentName;

    fn from_str(key: &str) -> Result<FragmentName, NotAFragmentName> {
        let name = read(key).ok_or(NotAFragmentName)?;
        // A fragment has one key only: for 7 we write neither `007` nor `+7`.
        if name.to_string() == key { Ok(name) } else { Err(NotAFragmentName) }
    }
}

impl TryFrom<String> for FragmentName {
    type Error = NotAFragmentName;

    fn try_from(key: String) -> Result<FragmentName, NotAFragmentName> {
        key.parse()
    }
}

impl From<FragmentName> for String {
    fn from(name: FragmentName) -> String {
        name.to_string()
    }
}

fn read(key: &str) -> Option<FragmentName> {
    let mut folders = key.strip_prefix(FragmentName::PREFIX)?.splitn(3, '/');
    let source = folders.next()?.parse().ok()?;
    let day = folders.next()?.parse().ok()?;
    let mut parts = folders.next()?.strip_suffix(".gz")?.split('.');
    let origin = match parts.next()? {
        "file" => {
            let stream = parts.next()?.parse().ok()?;
            let epoch = parts.next()?.parse().ok()?;
            let (from, to) = parts.next()?.split_once('-')?;
            let (from, to) = (from.parse().ok()?, to.parse().ok()?);
            if from >= to {
                return None;
            }
            Origin::File { stream, epoch, range: ByteRange { from, to } }
        }
        "request" => Origin::Request { id: parts.next()?.parse().ok()? },
        _ => return None,
    };
    let name = FragmentName {
        source,
        day,
        origin,
        events: parts.next()?.parse().ok()?,
        raw_bytes: parts.next()?.parse().ok()?,
        crc32: u32::from_str_radix(parts.next()?, 16).ok()?,
    };
    parts.next().is_none().then_some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origin() -> impl Strategy<Value = Origin> {
        let file = (any::<[u8; 16]>(), any::<u32>(), any::<u64>(), any::<u64>())
            .prop_filter("not empty", |(.., a, b)| a != b)
            .prop_map(|(bits, epoch, a, b)| Origin::File {
                stream: StreamId::new(bits),
                epoch: Epoch(epoch),
                range: ByteRange { from: a.min(b), to: a.max(b) },
            });
        let request = "[a-zA-Z0-9-]{1,100}".prop_map(|id| Origin::Request { id: id.parse().unwrap() });
        prop_oneof![file, request]
    }

    proptest! {
        #[test]
        fn a_fragment_name_round_trips(
            source in "[a-zA-Z0-9_-]{1,100}",
            ms in -62_135_596_800_000_i64..253_402_300_799_000,
            origin in origin(),
            events in any::<u32>(),
            raw_bytes in any::<u64>(),
            crc32 in any::<u32>(),
        ) {
            let source = source.parse().unwrap();
            let name = FragmentName { source, day: Day::of(ms), origin, events, raw_bytes, crc32 };
            let key = name.to_string();
            prop_assert!(key.len() <= 1024);
            prop_assert_eq!(key.parse(), Ok(name));
        }
    }

    #[test]
    fn a_fragment_key_has_source_day_and_size() {
        let key = "received/P0OJ3CTID1/1557532800000/\
                   file.00112233445566778899aabbccddeeff.3.113-4096.25.17290.0badcafe.gz";
        let name: FragmentName = key.parse().unwrap();
        assert_eq!(name.source.as_str(), "P0OJ3CTID1");
        assert_eq!(name.day.ms(), 1_557_532_800_000);
        assert_eq!((name.events, name.raw_bytes), (25, 17290));
        assert_eq!(name.crc32, 0x0bad_cafe);
        assert!(matches!(name.origin, Origin::File { epoch: Epoch(3), range: ByteRange { from: 113, to: 4096 }, .. }));
    }

    #[test]
    fn an_unknown_key_is_not_a_fragment() {
        let good = "received/s/0/request.r-1.1.20.00000000.gz";
        assert!(good.parse::<FragmentName>().is_ok());
        for key in [
            "",
            "received/",
            "received/s/0/notes.txt",
            "staged/s/0/request.r-1.1.20.00000000.gz",
            "received/s/1/request.r-1.1.20.00000000.gz",
            "received/s/0/x/request.r-1.1.20.00000000.gz",
            "received/s/0/request.r_1.1.20.00000000.gz",
            "received/s/0/request.r-1.01.20.00000000.gz",
            "received/s/0/request.r-1.+1.20.00000000.gz",
            "received/s/0/request.r-1.1.20.0000000A.gz",
            "received/s/0/request.r-1.1.20.0.gz",
            "received/s/0/request.r-1.1.20.00000000.0.gz",
            "received/s/0/request.r-1.1.20.00000000",
            "received/s/0/file.00112233445566778899aabbccddeeff.0.5-5.1.20.00000000.gz",
            "received/s/0/file.00112233445566778899AABBCCDDEEFF.0.5-9.1.20.00000000.gz",
        ] {
            assert_eq!(key.parse::<FragmentName>(), Err(NotAFragmentName), "{key}");
        }
    }
}
