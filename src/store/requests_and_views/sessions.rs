//! Passwords as they are stored, and requests to begin and end sessions.
//!
//! A session begins only with the password that was checked for it, of a member who is active in
//! the same transaction. Contains no token and no password: hashes of both.

use super::mail_queue::NewMail;
use super::two_step::{CheckedPassword, SecondFactorProof, StepUp};
use crate::domain::{MemberId, Session, SessionId, Timestamp, TokenHash};

/// A member's stored password.
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

/// The data of a sign-in.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// The new session.
    pub session: Session,
    /// The password that was checked: refused if it has changed since.
    pub checked: CheckedPassword,
    /// The new hash of the same password, if the old parameters were too weak.
    pub rehashed: Option<String>,
    /// The second factor, and the round of its ticket; `None` without a factor.
    pub proof: Option<(SecondFactorProof, u64)>,
    /// The number of earlier failures.
    pub failures_before: u32,
}

/// A member's own change of the password.
#[derive(Clone, Debug)]
pub struct PasswordChange {
    /// The member.
    pub member: MemberId,
    /// The current password, and the second factor if there is one.
    pub shown: StepUp,
    /// The PHC string of the new one.
    pub password: String,
    /// The current session, and its replacement with a new token.
    pub renewed: (TokenHash, Session),
    /// The notification.
    pub letter: Option<NewMail>,
}

/// The sessions of a member to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionSelector {
    /// All of them.
    All,
    /// This one.
    One(SessionId),
    /// All but this one.
    AllBut(TokenHash),
}
