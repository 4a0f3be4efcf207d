//! The signature of a webhook.

use hmac::{Hmac, Mac};
use sha1::Sha1;

use serde_json::value::RawValue;

/// Whether `signature`, the value of `X-Signature`, is that of a body: the HMAC-SHA1 in hexadecimal digits.
///
/// Segment signs the whole body of one event, and only the first event of a list (action-destinations, `webhook`). The
/// comparison takes the same time for every signature.
#[must_use]
pub fn is_signed(body: &[u8], signature: &str, secret: &str) -> bool {
    let Ok(signature) = hex::decode(signature.trim()) else { return false };
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret.as_bytes()) else { return false };
    mac.update(signed_part(body));
    mac.verify_slice(&signature).is_ok()
}

fn signed_part(body: &[u8]) -> &[u8] {
    let is_list = body.trim_ascii_start().starts_with(b"[");
    let first = || serde_json::from_slice::<Vec<&RawValue>>(body).ok()?.first().map(|first| first.get().as_bytes());
    if is_list { first().unwrap_or(body) } else { body }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(part: &str) -> String {
        let mut mac = Hmac::<Sha1>::new_from_slice(b"secret").unwrap();
        mac.update(part.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }

    /// RFC 2202, test case 2.
    #[test]
    fn a_signature_is_an_hmac_with_sha_1() {
        let digest = "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79";
        assert!(is_signed(b"what do ya want for nothing?", digest, "Jefe"));
        assert!(is_signed(b"what do ya want for nothing?", &digest.to_uppercase(), "Jefe"));
        assert!(!is_signed(b"what do ya want for nothing?", digest, "jefe"));
        assert!(!is_signed(b"what do ya want for nothing!", digest, "Jefe"));
        for other in ["", "effcdf", "x", &digest[1..]] {
            assert!(!is_signed(b"what do ya want for nothing?", other, "Jefe"), "{other}");
        }
    }

    #[test]
    fn the_bytes_of_the_first_element_sign_a_list() {
        let first = r#"{"type":"track", "event":"half \ud83d", "n":1.0}"#;
        let list = format!("[ {first} ,{{\"type\":\"page\"}}]");
        assert!(is_signed(list.as_bytes(), &sign(first), "secret"));
        assert!(!is_signed(list.as_bytes(), &sign(&list), "secret"));
        assert!(is_signed(first.as_bytes(), &sign(first), "secret"));
        assert!(!is_signed(b"[]", &sign(""), "secret"));
    }
}
