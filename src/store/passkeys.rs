//! Requests to add passkeys.
//!
//! Signing in with one is part of the begin of a session, which consumes its response as it
//! consumes a code. Contains no cryptography: the caller has verified the response.

use super::letters::NewLetter;
use crate::domain::{Passkey, TokenHash};

/// A passkey that has shown that it is there.
#[derive(Clone, Debug)]
pub struct NewPasskey {
    /// The session that it is added in.
    pub session: TokenHash,
    /// The round that its challenge was made in.
    pub round: u64,
    /// The passkey.
    pub passkey: Passkey,
    /// Tells the member.
    pub letter: Option<NewLetter>,
}
