//! The names in the state bucket: of files, runs, requests, plans, sources and days.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const DAY_MS: i64 = 86_400_000;

/// Declares an id of 128 bits, written as 32 lowercase hexadecimal digits. Each kind is a type of its own, so a stream's id
/// is never taken for a plan's.
macro_rules! hex_id {
    ($(#[$doc:meta])* $id:ident, $(#[$error_doc:meta])* $error:ident, $message:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $id([u8; 16]);

        impl $id {
            /// The id with these bits.
            pub fn new(bits: [u8; 16]) -> $id {
                $id(bits)
            }

            /// The id's bits.
            pub fn bits(self) -> [u8; 16] {
                self.0
            }
        }

        impl std::fmt::Display for $id {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl std::fmt::Debug for $id {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        $(#[$error_doc])*
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
        #[error($message)]
        pub struct $error;

        impl std::str::FromStr for $id {
            type Err = $error;

            fn from_str(text: &str) -> Result<$id, $error> {
                let mut bits = [0; 16];
                hex::decode_to_slice(text, &mut bits).map_err(|_| $error)?;
                // One id, one text: keys are compared as text.
                if text.bytes().any(|b| b.is_ascii_uppercase()) { Err($error) } else { Ok($id(bits)) }
            }
        }

        impl TryFrom<String> for $id {
            type Error = $error;

            fn try_from(text: String) -> Result<$id, $error> {
                text.parse()
            }
        }

        impl From<$id> for String {
            fn from(id: $id) -> String {
                id.to_string()
            }
        }
    };
}

hex_id! {
    /// A file that is ingested: 128 bits of a hash over all that makes the file *this* file.
    StreamId,
    /// A text that is not a stream id.
    NotAStreamId, "not a stream id: 32 lowercase hexadecimal digits are expected"
}

hex_id! {
    /// 128 random bits: the name of a plan, and the mark of a single write of a document.
    Nonce,
    /// A text that is not a nonce.
    NotANonce, "not a nonce: 32 lowercase hexadecimal digits are expected"
}

/// The number of a file's owner: 0 for the first, one more for each run that takes the file over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u32);

impl Epoch {
    /// The first owner's.
    pub const FIRST: Epoch = Epoch(0);

    /// The next owner's.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Epoch {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Epoch, Self::Err> {
        text.parse().map(Epoch)
    }
}

/// A Segment source's id: the `projectId` of its lines and a folder in every key.
///
/// Segment's ids have 10 or 22 alphanumerics. Letters, digits, `_` and `-` are allowed, so that an id needs no escaping
/// in JSON, in a key, or in an IAM policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SourceId(String);

impl SourceId {
    /// The longest id taken, in bytes; keys have 1,024 for everything.
    pub const BYTES_MAX: usize = 100;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is not a source id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a source id: 1 to {max} letters, digits, `_` or `-` are expected", max = SourceId::BYTES_MAX)]
pub struct NotASourceId;

impl FromStr for SourceId {
    type Err = NotASourceId;

    fn from_str(text: &str) -> Result<SourceId, NotASourceId> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if (1..=SourceId::BYTES_MAX).contains(&text.len()) && text.bytes().all(plain) {
            Ok(SourceId(text.to_owned()))
        } else {
            Err(NotASourceId)
        }
    }
}

impl TryFrom<String> for SourceId {
    type Error = NotASourceId;

    fn try_from(text: String) -> Result<SourceId, NotASourceId> {
        text.parse()
    }
}

impl From<SourceId> for String {
    fn from(id: SourceId) -> String {
        id.0
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The receiver's id of one request: letters, digits and `-`, as in a UUID.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(String);

impl RequestId {
    /// The longest id taken, in bytes.
    pub const BYTES_MAX: usize = 100;
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is not a request id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a request id: 1 to {max} letters, digits or `-` are expected", max = RequestId::BYTES_MAX)]
pub struct NotARequestId;

impl FromStr for RequestId {
    type Err = NotARequestId;

    fn from_str(text: &str) -> Result<RequestId, NotARequestId> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if (1..=RequestId::BYTES_MAX).contains(&text.len()) && text.bytes().all(plain) {
            Ok(RequestId(text.to_owned()))
        } else {
            Err(NotARequestId)
        }
    }
}

/// The UTC day on which an event was received, written as the epoch milliseconds of its
/// midnight: the folder name of Segment's logs.
///
/// The folder follows the day of receipt, not the day of upload: a late event lands in an old
/// folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Day(i64);

impl Day {
    /// The day that holds a time, in epoch milliseconds.
    pub fn of(ms: i64) -> Day {
        Day(ms.saturating_sub(ms.rem_euclid(DAY_MS)))
    }

    /// The day's midnight, in epoch milliseconds.
    pub fn ms(self) -> i64 {
        self.0
    }
}

/// A number that is not a UTC midnight in epoch milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a received day: the epoch milliseconds of a UTC midnight are expected")]
pub struct NotADay;

impl TryFrom<i64> for Day {
    type Error = NotADay;

    fn try_from(ms: i64) -> Result<Day, NotADay> {
        if ms.rem_euclid(DAY_MS) == 0 { Ok(Day(ms)) } else { Err(NotADay) }
    }
}

impl From<Day> for i64 {
    fn from(day: Day) -> i64 {
        day.0
    }
}

impl FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Day, NotADay> {
        let ms: i64 = text.parse().map_err(|_| NotADay)?;
        // One way to write a day, so that a key has one form: no `+`, no leading zeros.
        if ms.to_string() != text {
            return Err(NotADay);
        }
        Day::try_from(ms)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_the_midnight_before() {
        assert_eq!(Day::of(1_553_116_119_647).ms(), 1_553_040_000_000);
        assert_eq!(Day::of(0).ms(), 0);
        assert_eq!(Day::of(-1).ms(), -DAY_MS);
        assert_eq!("1544572800000".parse(), Ok(Day(1_544_572_800_000)));
        for text in ["1544572800001", "+86400000", "086400000", "", "today"] {
            assert_eq!(text.parse::<Day>(), Err(NotADay), "{text}");
        }
    }

    #[test]
    fn a_source_id_needs_no_escaping_anywhere() {
        for text in ["P0OJ3CTID1", "qR6APLKpCBB3ue8pHkBLpo", "my_source-2"] {
            assert!(text.parse::<SourceId>().is_ok(), "{text}");
        }
        for text in ["", "a/b", "..", "a b", "ä", "a\"", &"x".repeat(101)] {
            assert_eq!(text.parse::<SourceId>(), Err(NotASourceId), "{text}");
        }
    }
}
