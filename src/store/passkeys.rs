//! What is brought to add a passkey.
//!
//! That one signs in is the business of a session's beginning, which spends its answer as it spends
//! a code. Knows no cryptography: whoever calls has checked the answer.

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
