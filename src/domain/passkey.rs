//! Passkeys: the stored data of a Web Authentication credential, a second factor.
//!
//! A public key and the state of its authenticator: none of it is secret. Responses are verified
//! elsewhere.

use super::digest::Digest;
use super::failure::{Failure, Kind};
use super::ids::PasskeyId;
use super::limits;
use super::member::Name;
use super::revision_and_timestamp::Timestamp;

/// The code of a passkey that does not exist.
pub const UNKNOWN: &str = "unknown_passkey";

impl PasskeyId {
    /// The id of a credential: half a SHA-256 of the authenticator's id.
    #[must_use]
    pub fn of_credential(id: &[u8]) -> Self {
        let Digest(digest) = Digest::of(&[b"passkey", id]);
        Self::from_random(digest.first_chunk().copied().unwrap_or_default())
    }
}

/// One passkey of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passkey {
    /// Its id.
    pub id: PasskeyId,
    /// Its owner's name for it.
    pub name: Name,
    /// The credential: its public key, its counter and its flags, in the format of `passkeys`.
    pub credential: Vec<u8>,
    /// When it was added.
    pub created: Timestamp,
    /// The last sign-in with it; `None` before the first.
    pub used: Option<Timestamp>,
}

/// The refusal of a response that is not valid.
#[must_use]
pub fn wrong_passkey() -> Failure {
    Failure::new(
        Kind::Denied,
        "wrong_passkey",
        "this passkey was not accepted: try it again, or use a code of your authenticator app or a recovery code",
    )
}

/// The refusal of a response without user verification, where there was one before.
#[must_use]
pub fn passkey_unverified() -> Failure {
    Failure::new(
        Kind::Denied,
        "wrong_passkey",
        "this passkey did not verify that it is you: unlock it with its PIN, fingerprint or face and try again, or use a code of your authenticator app or a recovery code",
    )
}

/// The refusal of a challenge that is no longer valid.
#[must_use]
pub fn challenge_dead() -> Failure {
    Failure::new(
        Kind::Conflict,
        "challenge_dead",
        "this passkey request is no longer valid: it took too long, or you signed in meanwhile; start again",
    )
}

/// The refusal of an unknown passkey.
#[must_use]
pub fn unknown() -> Failure {
    Failure::new(
        Kind::NotFound,
        UNKNOWN,
        "you have no such passkey: `/api/v1/me/passkeys` lists yours",
    )
}

/// The refusal of more passkeys than the maximum.
#[must_use]
pub fn too_many() -> Failure {
    let most = limits::PASSKEYS_MAX;
    let text = format!("you have {most} passkeys, which is the maximum: remove one first");
    Failure::new(Kind::Conflict, "too_many_passkeys", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_credential_has_the_same_name() {
        let id = PasskeyId::of_credential(b"one");
        assert_eq!(id, PasskeyId::of_credential(b"one"));
        assert_ne!(id, PasskeyId::of_credential(b"two"));
        assert_eq!(PasskeyId::parse(id.as_str()), Some(id));
    }
}
