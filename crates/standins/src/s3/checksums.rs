//! Digests: the client's claim, the arrived bytes, and their comparison.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Md5};
use s3s::{S3Error, S3ErrorCode, S3Result, TrailingHeaders, s3_error};

/// The algorithms of `x-amz-checksum-*`, as S3 writes them in messages.
const ALGORITHMS: [&str; 5] = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"];

/// Checksums by algorithm (`CRC32` → base64).
pub(crate) type Checksums = BTreeMap<String, String>;

/// Computes everything that a request claims, while its body passes.
pub(crate) struct Verifier {
    md5: Md5,
    hasher: ChecksumHasher,
    claimed_md5: Option<[u8; 16]>,
    claimed: Checksums,
    /// Those that are to come in the trailer.
    announced: Vec<&'static str>,
    trailers: Option<TrailingHeaders>,
}

/// The digests of a verified body.
#[derive(Debug)]
pub(crate) struct Digest {
    pub(crate) md5: [u8; 16],
    pub(crate) checksums: Checksums,
}

impl Verifier {
    /// Reads the claims from the headers; those announced in `x-amz-trailer` come after the body.
    pub(crate) fn new(headers: &HeaderMap, trailers: Option<TrailingHeaders>) -> S3Result<Verifier> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let claimed_md5 = header("content-md5").map(parse_md5).transpose()?;
        let announced = header("x-amz-trailer").unwrap_or_default().to_lowercase();
        // `x-amz-sdk-checksum-algorithm` alone asks S3 to compute it and to answer with it.
        let wanted = header("x-amz-sdk-checksum-algorithm")
            .or_else(|| header("x-amz-checksum-algorithm"))
            .unwrap_or_default()
            .to_uppercase();
        let mut hasher = ChecksumHasher::default();
        let (mut claimed, mut to_come) = (Checksums::new(), Vec::new());
        for algorithm in ALGORITHMS {
            let name = format!("x-amz-checksum-{}", algorithm.to_lowercase());
            let value = header(&name);
            if let Some(value) = value {
                check_shape(algorithm, value)?;
                claimed.insert(algorithm.to_owned(), value.to_owned());
            }
            let in_trailer = announced.split(',').any(|one| one.trim() == name);
            if in_trailer {
                to_come.push(algorithm);
            }
            if value.is_some() || in_trailer || wanted == algorithm {
                enable(&mut hasher, algorithm);
            }
        }
        if claimed.len() + to_come.len() > 1 {
            return Err(s3_error!(
                InvalidRequest,
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
            ));
        }
        Ok(Verifier { md5: Md5::new(), hasher, claimed_md5, claimed, announced: to_come, trailers })
    }

    /// Whether there is anything to compare with.
    pub(crate) fn claims(&self) -> bool {
        self.claimed_md5.is_some() || !self.claimed.is_empty()
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.hasher.update(bytes);
    }

    /// Compares. Call it before anything of the body is kept.
    pub(crate) fn finish(mut self) -> S3Result<Digest> {
        let md5 = self.md5.finalize();
        if self.claimed_md5.is_some_and(|claimed| claimed != md5) {
            return Err(s3_error!(BadDigest, "The Content-MD5 you specified did not match what we received."));
        }
        let trailers = self.trailers.as_ref().and_then(TrailingHeaders::take).unwrap_or_default();
        for algorithm in ALGORITHMS {
            let name = format!("x-amz-checksum-{}", algorithm.to_lowercase());
            let value = trailers.get(name).and_then(|value| value.to_str().ok());
            if value.is_some() != self.announced.contains(&algorithm) {
                return Err(malformed_trailer());
            }
            if let Some(value) = value {
                check_shape(algorithm, value)?;
                self.claimed.insert(algorithm.to_owned(), value.to_owned());
            }
        }
        let computed = by_name(self.hasher);
        for (algorithm, claimed) in &self.claimed {
            if computed.get(algorithm) != Some(claimed) {
                return Err(s3_error!(
                    BadDigest,
                    "The {algorithm} you specified did not match the calculated checksum."
                ));
            }
        }
        Ok(Digest { md5, checksums: computed })
    }
}

/// MD5 of bytes at hand.
pub(crate) fn md5(bytes: &[u8]) -> [u8; 16] {
    Md5::checksum(bytes)
}

/// MD5 and size of a file of any size.
pub(crate) fn md5_of_file(path: &Path) -> io::Result<([u8; 16], u64)> {
    let mut file = File::open(path)?;
    let (mut md5, mut size) = (Md5::new(), 0);
    let mut chunk = vec![0; 256 * 1024];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok((md5.finalize(), size)),
            read => {
                md5.update(&chunk[..read]);
                size += read as u64;
            }
        }
    }
}

/// The answer's fields.
pub(crate) fn to_dto(checksums: &Checksums) -> s3s::dto::Checksum {
    let get = |algorithm: &str| checksums.get(algorithm).cloned();
    s3s::dto::Checksum {
        checksum_crc32: get("CRC32"),
        checksum_crc32c: get("CRC32C"),
        checksum_crc64nvme: get("CRC64NVME"),
        checksum_sha1: get("SHA1"),
        checksum_sha256: get("SHA256"),
        ..s3s::dto::Checksum::default()
    }
}

fn by_name(hasher: ChecksumHasher) -> Checksums {
    let sums = hasher.finalize();
    [
        ("CRC32", sums.checksum_crc32),
        ("CRC32C", sums.checksum_crc32c),
        ("CRC64NVME", sums.checksum_crc64nvme),
        ("SHA1", sums.checksum_sha1),
        ("SHA256", sums.checksum_sha256),
    ]
    .into_iter()
    .filter_map(|(name, sum)| Some((name.to_owned(), sum?)))
    .collect()
}

fn enable(hasher: &mut ChecksumHasher, algorithm: &str) {
    match algorithm {
        "CRC32" => hasher.crc32 = Some(s3s::crypto::Crc32::new()),
        "CRC32C" => hasher.crc32c = Some(s3s::crypto::Crc32c::new()),
        "CRC64NVME" => hasher.crc64nvme = Some(s3s::crypto::Crc64Nvme::new()),
        "SHA1" => hasher.sha1 = Some(s3s::crypto::Sha1::new()),
        _ => hasher.sha256 = Some(s3s::crypto::Sha256::new()),
    }
}

/// A code of S3's list of errors that `s3s` does not know.
fn malformed_trailer() -> S3Error {
    let mut error = S3Error::with_message(
        S3ErrorCode::Custom("MalformedTrailerError".into()),
        "The request contained trailing data that was not well-formed or did not conform to our published schema.",
    );
    error.set_status_code(http::StatusCode::BAD_REQUEST);
    error
}

fn parse_md5(value: &str) -> S3Result<[u8; 16]> {
    BASE64_STANDARD
        .decode(value)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| s3_error!(InvalidDigest, "The Content-MD5 you specified was invalid."))
}

fn check_shape(algorithm: &str, value: &str) -> S3Result<()> {
    let bytes = match algorithm {
        "CRC32" | "CRC32C" => 4,
        "CRC64NVME" => 8,
        "SHA1" => 20,
        _ => 32,
    };
    match BASE64_STANDARD.decode(value) {
        Ok(decoded) if decoded.len() == bytes => Ok(()),
        _ => Err(s3_error!(InvalidRequest, "Value for x-amz-checksum-{} header is invalid.", algorithm.to_lowercase())),
    }
}
