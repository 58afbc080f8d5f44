//! Transactions of passwords and sessions.
//!
//! A session begins only with the password that was checked for it, for a member who is active in
//! the same transaction. Contains hashes of tokens and passwords only.

use super::letters::NewLetter;
use super::two_step::{Checked, Proof, StepUp};
use super::{By, Committed, Store, Target};
use crate::domain::{
    Actor, Failure, Member, MemberId, Session, SessionId, SessionLimits, Timestamp, TokenHash,
};

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
    pub checked: Checked,
    /// The new hash of the same password, if the old parameters were too weak.
    pub rehashed: Option<String>,
    /// The second factor, and the round of its ticket; `None` without a factor.
    pub proof: Option<(Proof, u64)>,
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
    pub letter: Option<NewLetter>,
}

/// The sessions of a member to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    All,
    /// This one.
    One(SessionId),
    /// All but this one.
    AllBut(TokenHash),
}

impl Store {
    /// A member's password; `None` if none is set.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn credential(&self, member: &MemberId) -> Result<Option<Credential>, Failure> {
        match self {
            Self::Redb(store) => store.credential(member).await,
        }
    }

    /// Begins a session.
    ///
    /// # Errors
    /// `Unauthenticated` `sign_in_refused`, when the member is gone, suspended, or has another
    /// password by now, or the ticket is used up; `Denied` `wrong_code`, `code_missing`,
    /// `codes_locked`; `Conflict` `two_step_needed`; `Busy`, when the disk fails.
    pub async fn session_begin(&self, sign_in: SignIn) -> Result<Committed<Session>, Failure> {
        match self {
            Self::Redb(store) => store.session_begin(sign_in).await,
        }
    }

    /// A member's sessions, newest first, including expired ones.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn sessions_of(&self, member: &MemberId) -> Result<Vec<Session>, Failure> {
        match self {
            Self::Redb(store) => store.sessions_of(member).await,
        }
    }

    /// Ends sessions of a member; returns their number. None is no change.
    ///
    /// # Errors
    /// `NotFound` `unknown_member`, or `unknown_session` for [`Which::One`]; `Conflict`
    /// [`super::by::MOVED_ON`]; `Busy`, when the disk fails.
    pub async fn sessions_end(
        &self,
        by: &By,
        target: Target<'_>,
        which: Which,
    ) -> Result<Committed<u64>, Failure> {
        match self {
            Self::Redb(store) => store.sessions_end(by, target, which).await,
        }
    }

    /// Ends the session of a token; returns whether there was one.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn session_sign_out(&self, token: TokenHash) -> Result<Committed<bool>, Failure> {
        match self {
            Self::Redb(store) => store.session_sign_out(token).await,
        }
    }

    /// Saves the last use of sessions, and deletes expired ones. No audit entry.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn sessions_tend(
        &self,
        used: Vec<(TokenHash, Timestamp)>,
        limits: SessionLimits,
    ) -> Result<Committed<()>, Failure> {
        match self {
            Self::Redb(store) => store.sessions_tend(used, limits).await,
        }
    }

    /// Changes a password by its owner; every other session ends. Returns their number.
    ///
    /// # Errors
    /// `Unauthenticated` `session_ended`, when the session is gone; `Denied` `wrong_code`,
    /// `code_missing`; `Conflict` `two_step_needed`, or [`super::by::MOVED_ON`], when the password is another one by now; `Busy`, when the disk
    /// fails.
    pub async fn password_change(&self, change: PasswordChange) -> Result<Committed<u64>, Failure> {
        match self {
            Self::Redb(store) => store.password_change(change).await,
        }
    }

    /// Records that sign-in attempts of a member are delayed.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn sign_in_slowed(
        &self,
        member: &Member,
        failures: u32,
    ) -> Result<Committed<()>, Failure> {
        match self {
            Self::Redb(store) => store.sign_in_slowed(&Actor::System, member, failures).await,
        }
    }
}
