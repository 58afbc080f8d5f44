//! Passwords as they are stored, and requests to begin and end sessions.
//!
//! A session begins only with the password that was checked for it, of a member who is active in
//! the same transaction. Contains no token and no password: hashes of both.

use super::letters::NewLetter;
use super::two_step::{Checked, Proof, StepUp};
use crate::domain::{MemberId, Session, SessionId, Timestamp, TokenHash};

/// A member's password, as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// A PHC string of argon2id.
    pub password: String,
    /// When it was set.
    pub changed: Timestamp,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credential(changed {})", self.changed.0)
    }
}

/// What a sign-in leaves behind.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// The new session.
    pub session: Session,
    /// What the password was checked against: another one by now refuses.
    pub checked: Checked,
    /// The same password hashed anew, where its parameters were below target.
    pub rehashed: Option<String>,
    /// The second factor, and the round of its ticket; `None` for who has none.
    pub proof: Option<(Proof, u64)>,
    /// How many tries failed before.
    pub failures_before: u32,
}

/// A member's own change of the password.
#[derive(Clone, Debug)]
pub struct PasswordChange {
    /// Whose.
    pub member: MemberId,
    /// The current password, and the second factor of who has one.
    pub shown: StepUp,
    /// The PHC string of the new one.
    pub password: String,
    /// The session that it was made in, and the one that takes its place under a new token.
    pub renewed: (TokenHash, Session),
    /// Tells the member.
    pub letter: Option<NewLetter>,
}

/// Which sessions of a member are to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    All,
    /// This one.
    One(SessionId),
    /// All but this one.
    AllBut(TokenHash),
}
