//! The folder `rejected/` beside a file, for its refused rows. Its objects are never ingested.

use protocol::keys::KEY_BYTES_MAX;

/// Its name.
const NAME: &str = "rejected/";

/// The folder of a key, with its `/`; empty for a key without one.
#[must_use]
pub fn parent(key: &str) -> &str {
    &key[..key.rfind('/').map_or(0, |at| at + 1)]
}

/// The key of the refused rows of a file; `None` if it would be too long.
#[must_use]
pub fn key(of_file: &str, rejects_name: &str) -> Option<String> {
    let key = format!("{}{NAME}{rejects_name}", parent(of_file));
    (key.len() <= KEY_BYTES_MAX).then_some(key)
}

/// True for an object in such a folder, however deep.
#[must_use]
pub fn has(key: &str) -> bool {
    key.starts_with(NAME) || key.contains("/rejected/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_rows_stand_in_a_folder_beside_their_file_that_is_never_read() {
        for (file, expected) in [
            ("track_1.csv", "rejected/track_1.rejects.csv"),
            ("in/2026/track_1.csv", "in/2026/rejected/track_1.rejects.csv"),
        ] {
            let key = key(file, "track_1.rejects.csv").unwrap();
            assert_eq!(key, expected);
            assert!(has(&key) && !has(file));
        }
        assert_eq!(key(&format!("{}/track_1.csv", "a".repeat(1_000)), "track_1.rejects.csv"), None);
        assert!(!has("unrejected/track_1.csv") && has("rejected/more/track_1.csv"));
    }
}
