//! The keys that a request reads or writes, to find conflicts with other requests.

use bytes::Bytes;
use http::{Method, Request};
use percent_encoding::percent_decode_str;

/// The keys of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Touch {
    bucket: String,
    keys: Keys,
    writes: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Keys {
    /// Nothing that another request could change.
    Nothing,
    These(Vec<String>),
    /// All that begin so.
    Prefix(String),
}

impl Touch {
    /// Reads it off an S3 request in path style.
    pub(crate) fn of(request: &Request<Bytes>) -> Touch {
        let path = percent_decode_str(request.uri().path().trim_start_matches('/')).decode_utf8_lossy().into_owned();
        let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
        let query = request.uri().query().unwrap_or_default();
        let is_delete_of_many = query.split('&').any(|pair| pair.split('=').next() == Some("delete"));
        let keys = match (request.method(), bucket.is_empty(), key.is_empty()) {
            (_, true, _) => Keys::Nothing,
            (_, false, false) => Keys::These(vec![key.to_owned()]),
            (&Method::POST, false, true) if is_delete_of_many => Keys::These(keys_of(request.body())),
            (_, false, true) => Keys::Prefix(parameter(query, "prefix")),
        };
        let writes = keys != Keys::Nothing && !matches!(*request.method(), Method::GET | Method::HEAD);
        Touch { bucket: bucket.to_owned(), keys, writes }
    }

    /// True if the request may change something.
    pub fn writes(&self) -> bool {
        self.writes
    }

    /// True if nothing that another request changes has to do with it.
    pub(crate) fn is_nothing(&self) -> bool {
        self.keys == Keys::Nothing
    }

    /// True if the order of the two makes a difference: both touch one key, and at least one of them writes.
    pub fn conflicts(&self, other: &Touch) -> bool {
        (self.writes || other.writes) && self.bucket == other.bucket && self.keys.meet(&other.keys)
    }
}

impl Keys {
    fn meet(&self, other: &Keys) -> bool {
        match (self, other) {
            (Keys::Nothing, _) | (_, Keys::Nothing) => false,
            (Keys::These(some), Keys::These(others)) => some.iter().any(|key| others.contains(key)),
            (Keys::These(keys), Keys::Prefix(prefix)) | (Keys::Prefix(prefix), Keys::These(keys)) => {
                keys.iter().any(|key| key.starts_with(prefix))
            }
            (Keys::Prefix(one), Keys::Prefix(other)) => one.starts_with(other) || other.starts_with(one),
        }
    }
}

fn parameter(query: &str, name: &str) -> String {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs.find(|(key, _)| *key == name).map(|(_, value)| value.replace('+', " ")).unwrap_or_default();
    percent_decode_str(&value).decode_utf8_lossy().into_owned()
}

/// The keys of a `DeleteObjects`.
fn keys_of(body: &Bytes) -> Vec<String> {
    let text = String::from_utf8_lossy(body);
    let keys = text.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
    let plain = |key: &str| {
        let key = key.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
        key.replace("&amp;", "&")
    };
    keys.map(plain).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn touch(method: &str, uri: &str, body: &'static str) -> Touch {
        let request = Request::builder().method(method).uri(uri).body(Bytes::from_static(body.as_bytes()));
        Touch::of(&request.unwrap())
    }

    #[test]
    fn two_requests_conflict_if_they_touch_one_key_and_one_of_them_writes() {
        let put = touch("PUT", "/b/a/1?x-id=PutObject", "");
        let get = touch("GET", "/b/a/1?x-id=GetObject", "");
        let list = touch("GET", "/b/?list-type=2&prefix=a%2F", "");
        let delete = touch("POST", "/b/?delete", "<Delete><Object><Key>a/1</Key></Object></Delete>");
        for (one, other, conflict) in [
            (&put, &put, true),
            (&put, &get, true),
            (&get, &get, false),
            (&put, &list, true),
            (&get, &list, false),
            (&delete, &list, true),
            (&delete, &get, true),
            (&put, &touch("PUT", "/other/a/1", ""), false),
            (&put, &touch("GET", "/b/?prefix=b%2F", ""), false),
            (&put, &touch("POST", "/", "Action=AssumeRole"), false),
        ] {
            assert_eq!(one.conflicts(other), conflict, "{one:?} {other:?}");
            assert_eq!(other.conflicts(one), conflict, "{other:?} {one:?}");
        }
    }
}
