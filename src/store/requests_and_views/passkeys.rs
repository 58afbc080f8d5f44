//! Requests to add passkeys.
//!
//! Signing in with one is part of the begin of a session, which consumes its response as it
//! consumes a code. Contains no cryptography: the caller has verified the response.

use super::mail_queue::NewMail;
use crate::domain::{Passkey, TokenHash};

/// A verified new passkey.
#[derive(Clone, Debug)]
pub struct NewPasskey {
    /// The current session.
    pub session: TokenHash,
    /// The round of its challenge.
    pub round: u64,
    /// The passkey.
    pub passkey: Passkey,
    /// The notification.
    pub letter: Option<NewMail>,
}
