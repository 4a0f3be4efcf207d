//! Requests signed by hand, which AWS's own clients would not send.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use standins::iam::Credentials;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A request on its way to an S3 by path. Every header is signed, but those that are said not to be.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: &'static str,
    path: String,
    query: &'static str,
    headers: Vec<(String, String)>,
    unsigned: Vec<(String, String)>,
    body: Vec<u8>,
    service: &'static str,
    age: Duration,
}

/// Status, and the code of a refusal.
pub(crate) type Answer = (u16, String);

impl Request {
    pub(crate) fn new(method: &'static str, path: &str, body: impl AsRef<[u8]>) -> Request {
        let body = body.as_ref().to_vec();
        let headers = vec![(String::from("x-amz-content-sha256"), hex::encode(Sha256::digest(&body)))];
        let path = path.to_owned();
        Request { method, path, query: "", headers, unsigned: Vec::new(), body, service: "s3", age: Duration::ZERO }
    }

    /// The query, in the order and the escapes that signatures want.
    pub(crate) fn query(mut self, query: &'static str) -> Request {
        self.query = query;
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.retain(|(there, _)| there != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn unsigned_header(mut self, name: &str, value: &str) -> Request {
        self.unsigned.push((name.to_owned(), value.to_owned()));
        self
    }

    /// In the credential's scope.
    pub(crate) fn for_service(mut self, service: &'static str) -> Request {
        self.service = service;
        self
    }

    /// Signed so long ago.
    pub(crate) fn aged(mut self, age: Duration) -> Request {
        self.age = age;
        self
    }

    /// The same signature around another body.
    pub(crate) fn with_body(mut self, body: impl AsRef<[u8]>) -> Request {
        self.body = body.as_ref().to_vec();
        self
    }

    /// With signature version 4.
    pub(crate) async fn send(mut self, url: &str, key: &Credentials) -> Answer {
        let signed = jiff::Timestamp::try_from(SystemTime::now() - self.age).unwrap();
        let date = signed.strftime("%Y%m%dT%H%M%SZ").to_string();
        self = self.header("host", authority(url)).header("x-amz-date", &date);
        self.headers.sort();
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let lines: String = self.headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let (_, payload) = self.headers.iter().find(|(name, _)| name == "x-amz-content-sha256").unwrap();
        let request = format!("{}\n{}\n{}\n{lines}\n{names}\n{payload}", self.method, self.path, self.query);
        let scope = format!("{}/us-east-1/{}/aws4_request", &date[..8], self.service);
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex::encode(Sha256::digest(request)));
        let secret = format!("AWS4{}", key.secret_access_key);
        let signing_key = scope.split('/').fold(secret.into_bytes(), |key, part| hmac_sha256(&key, part));
        let signature = hex::encode(hmac_sha256(&signing_key, &text));
        let id = &key.access_key_id;
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}");
        self.unsigned_header("authorization", &authorization).transmit(url).await
    }

    /// With signature version 2.
    pub(crate) async fn send_v2(self, url: &str, key: &Credentials) -> Answer {
        let date = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let amz: String = self.headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let text = format!("{}\n\n\n{date}\n{amz}{}", self.method, self.path);
        let signature = sign_v2(&text, key);
        let authorization = format!("AWS {}:{signature}", key.access_key_id);
        let request = self.header("host", authority(url)).unsigned_header("date", &date);
        request.unsigned_header("authorization", &authorization).transmit(url).await
    }

    async fn transmit(self, url: &str) -> Answer {
        let mark = if self.query.is_empty() { "" } else { "?" };
        let mut head = format!("{} {}{mark}{} HTTP/1.1\r\n", self.method, self.path, self.query);
        for (name, value) in self.headers.iter().chain(&self.unsigned) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\nconnection: close\r\n\r\n", self.body.len()));
        let mut stream = TcpStream::connect(authority(url)).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&self.body).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        let code = answer.split("<Code>").nth(1).and_then(|rest| rest.split("</Code>").next());
        (status, code.unwrap_or_default().to_owned())
    }
}

/// `aws-chunked`: one chunk, the last chunk if it is sent, and trailers.
pub(crate) fn chunked(data: &str, ends: bool, trailers: &str) -> String {
    let last = if ends { "0\r\n" } else { "" };
    let end = if ends { "\r\n" } else { "" };
    format!("{:x}\r\n{data}\r\n{last}{trailers}{end}", data.len())
}

/// The policy of a browser's form, and its signature of version 2.
pub(crate) fn signed_policy(policy: &str, key: &Credentials) -> (String, String) {
    let policy = BASE64_STANDARD.encode(policy);
    let signature = sign_v2(&policy, key);
    (policy, signature)
}

fn sign_v2(text: &str, key: &Credentials) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(key.secret_access_key.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

fn authority(url: &str) -> &str {
    url.trim_start_matches("http://").trim_end_matches('/')
}

fn hmac_sha256(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
