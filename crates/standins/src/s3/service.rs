//! The server without its socket: one request, answered in the caller's own task.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;

use super::access::Vouched;
use super::store::Store;
use super::wire::Wire;
use crate::serve::{Reply, full};

/// The prefix for a body in chunks, signed or not (S3 API reference, `x-amz-content-sha256`).
const CHUNKED: &[u8] = b"STREAMING-";

/// The way to a server in process. It believes the access key that a request names and checks no signature.
#[derive(Clone)]
pub struct Service {
    wire: Wire,
    store: Arc<Store>,
    watch: Option<Watch>,
}

/// Sees each request that was carried out, with its answer.
type Watch = Arc<dyn Fn(&Request<Bytes>, &Response<Bytes>) + Send + Sync>;

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Service")
    }
}

impl Service {
    pub(crate) fn new(wire: Wire, store: Arc<Store>) -> Service {
        Service { wire, store, watch: None }
    }

    /// The same, where `watch` sees each request that was carried out, with its answer. It may panic: then the test fails
    /// at that moment.
    #[must_use]
    pub fn watched(self, watch: impl Fn(&Request<Bytes>, &Response<Bytes>) + Send + Sync + 'static) -> Service {
        Service { watch: Some(Arc::new(watch)), ..self }
    }

    /// A hash of every object's bucket, key and ETag: the same content has the same.
    pub fn fingerprint(&self) -> u64 {
        let state = self.store.lock();
        let mut hasher = DefaultHasher::new();
        for (bucket, held) in &state.buckets {
            bucket.hash(&mut hasher);
            for (key, versions) in &held.objects {
                let etags: Vec<&str> = versions.iter().map(|version| version.meta.etag.as_str()).collect();
                (key, etags).hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    pub(crate) fn wire(&self) -> Wire {
        self.wire.clone()
    }

    /// Carries a request out and answers it; `None` if a fault drops the connection.
    pub async fn call(&self, request: Request<Bytes>) -> Option<Response<Bytes>> {
        let Some(watch) = &self.watch else { return self.carry_out(request).await };
        let asked = request.clone();
        let answer = self.carry_out(request).await?;
        watch(&asked, &answer);
        Some(answer)
    }

    async fn carry_out(&self, request: Request<Bytes>) -> Option<Response<Bytes>> {
        let (mut parts, body) = request.into_parts();
        if let Some(vouched) = vouched(&parts.headers) {
            parts.extensions.insert(vouched);
        }
        parts.headers.remove(AUTHORIZATION);
        let declared = parts.headers.remove("x-amz-content-sha256");
        let body = if is_chunked(declared.as_ref()) { unchunked(&mut parts.headers, &body)? } else { body };
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        let reply = self.wire().handle_here(Request::from_parts(parts, full(body))).await;
        let Reply::Answer(answer) = reply else { return None };
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        Some(Response::from_parts(parts, body))
    }
}

/// Reads `AWS4-HMAC-SHA256 Credential=KEY/DAY/REGION/SERVICE/aws4_request, …`.
fn vouched(headers: &HeaderMap) -> Option<Vouched> {
    let authorization = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let mut scope = authorization.split("Credential=").nth(1)?.split(',').next()?.split('/');
    let access_key = scope.next()?.to_owned();
    let (region, service) = (scope.nth(1)?.to_owned(), scope.next()?.to_owned());
    Some(Vouched { access_key, region, service })
}

/// The content of a request's body. Chunks have signatures, which differ with the sender's session.
#[cfg(feature = "explorer")]
pub(crate) fn content_of(request: &Request<Bytes>) -> Bytes {
    let body = request.body();
    let is_chunked = is_chunked(request.headers().get("x-amz-content-sha256"));
    is_chunked.then(|| unchunked(&mut HeaderMap::new(), body)).flatten().unwrap_or_else(|| body.clone())
}

fn is_chunked(declared: Option<&HeaderValue>) -> bool {
    declared.is_some_and(|declared| declared.as_bytes().starts_with(CHUNKED))
}

/// The content of a body in chunks; its trailers become headers. `None` if it is cut short.
fn unchunked(headers: &mut HeaderMap, body: &Bytes) -> Option<Bytes> {
    let mut content = Vec::new();
    let mut rest = &body[..];
    loop {
        let (line, after) = next_line(rest)?;
        let size = line.split(';').next()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            rest = after;
            break;
        }
        content.extend_from_slice(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix(b"\r\n")?;
    }
    while let Some((line, after)) = next_line(rest) {
        if let Some((name, value)) = line.split_once(':')
            && let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value.trim()))
        {
            headers.insert(name, value);
        }
        rest = after;
    }
    headers.remove("x-amz-trailer");
    headers.remove("x-amz-decoded-content-length");
    let kept: Vec<HeaderValue> =
        headers.get_all(CONTENT_ENCODING).iter().filter(|value| *value != "aws-chunked").cloned().collect();
    headers.remove(CONTENT_ENCODING);
    for value in kept {
        headers.append(CONTENT_ENCODING, value);
    }
    Some(content.into())
}

fn next_line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let (line, after) = bytes.split_at(end);
    Some((std::str::from_utf8(line).ok()?, after.get(2..)?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_body_in_chunks_is_joined_and_its_trailer_is_a_header() {
        let mut headers = HeaderMap::new();
        headers.append(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.append(CONTENT_ENCODING, HeaderValue::from_static("aws-chunked"));
        let body = Bytes::from_static(b"3\r\nabc\r\n1\r\nd\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n");
        assert_eq!(unchunked(&mut headers, &body).unwrap(), "abcd");
        assert_eq!(headers["x-amz-checksum-crc32"], "AAAA");
        assert_eq!(headers[CONTENT_ENCODING], "gzip");
        assert_eq!(headers.get_all(CONTENT_ENCODING).iter().count(), 1);
    }

    #[test]
    fn a_truncated_body_is_refused() {
        let body = Bytes::from_static(b"3\r\nab");
        assert_eq!(unchunked(&mut HeaderMap::new(), &body), None);
    }
}
