//! Ids of 128 bits, written as 32 lowercase hexadecimal digits.

/// Declares such an id, so that a stream's cannot be taken for a plan's.
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

pub(crate) use hex_id;
