//! A secret, encrypted with a key that is not in the store.
//!
//! Names the key; does not decrypt, and is never printed.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::ids::KeyId;

/// An encrypted secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The key that encrypted it.
    pub key: KeyId,
    /// Nonce and ciphertext.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed(key {})", self.key.0)
    }
}

impl Sealed {
    /// As text, for transport: base64url (RFC 4648 section 5) without padding.
    #[must_use]
    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.to_bytes())
    }

    /// As bytes, for files and logs: the key's number in 32 bits, little-endian, then the rest.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.key.0.to_le_bytes().as_slice(), &self.bytes].concat()
    }

    /// Reads the bytes; `None`, where they are too few.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (key, bytes) = bytes.split_first_chunk()?;
        Some(Self { key: KeyId(u32::from_le_bytes(*key)), bytes: bytes.to_vec() })
    }

    /// Parses the text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::from_bytes(&URL_SAFE_NO_PAD.decode(text.trim()).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_and_never_prints() {
        let sealed = Sealed { key: KeyId(7), bytes: b"ciphertext".to_vec() };
        assert_eq!(Sealed::parse(&sealed.to_text()), Some(sealed.clone()));
        assert_eq!(format!("{sealed:?}"), "Sealed(key 7)");
        for text in ["", "AAA", "*", "\u{e4}"] {
            assert_eq!(Sealed::parse(text), None, "{text}");
        }
    }
}
