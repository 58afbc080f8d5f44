//! Encryption of secrets: `XChaCha20-Poly1305`, whose 192-bit nonce can be random for any number of
//! messages.
//!
//! The purpose and the owner of a secret are authenticated with it (associated data), so that no
//! secret can be moved to another place. Knows no file.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};

use super::key_files::{KEY_BYTES, KeyRing};
use crate::domain::{Failure, KeyId, Sealed};
use crate::entropy;

/// Bytes of a nonce; it precedes the ciphertext.
const NONCE_BYTES: usize = 24;

pub(super) fn seal(
    ring: &KeyRing,
    id: KeyId,
    of: &[&[u8]],
    secret: &[u8],
) -> Result<Sealed, Failure> {
    let key = ring.get(id);
    let key =
        key.ok_or_else(|| Failure::internal(format!("there is no key {} to seal with", id.0)))?;
    seal_with((id, key), of, secret)
}

pub(super) fn unseal(ring: &KeyRing, of: &[&[u8]], sealed: &Sealed) -> Option<Vec<u8>> {
    unseal_with(ring.get(sealed.key)?, of, sealed)
}

/// Encrypts with a key of this number.
pub(super) fn seal_with(
    (id, key): (KeyId, &[u8; KEY_BYTES]),
    of: &[&[u8]],
    secret: &[u8],
) -> Result<Sealed, Failure> {
    let cipher = XChaCha20Poly1305::new(&Key::from(*key));
    let nonce: [u8; NONCE_BYTES] = entropy::random()?;
    let payload = Payload { msg: secret, aad: &purpose(of) };
    let ciphertext = cipher
        .encrypt(&XNonce::from(nonce), payload)
        .map_err(|_| Failure::internal("a secret could not be sealed"))?;
    Ok(Sealed { key: id, bytes: [nonce.as_slice(), &ciphertext].concat() })
}

pub(super) fn unseal_with(key: &[u8; KEY_BYTES], of: &[&[u8]], sealed: &Sealed) -> Option<Vec<u8>> {
    let cipher = XChaCha20Poly1305::new(&Key::from(*key));
    let (nonce, ciphertext) = sealed.bytes.split_first_chunk::<NONCE_BYTES>()?;
    cipher.decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad: &purpose(of) }).ok()
}

/// The parts with length prefixes, so that no two lists of parts are equal.
fn purpose(of: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in of {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}
