//! Transactions of second factors.
//!
//! A proof is verified by a flow, which can decrypt secrets, and consumed here: each code works
//! once, even with concurrent requests. A member with a second factor cannot change the sign-in
//! without it, and no session begins without it. Contains no secret in clear.

use super::letters::NewLetter;
use super::{By, Committed, Store, Target};
use crate::domain::two_step::RecoveryHash;
use crate::domain::{
    AccountSlug, Digest, Factors, Failure, Member, MemberId, PasskeyId, Sealed, Session, Timestamp,
    TokenHash,
};

/// The stored password that was checked, as a digest of the PHC string: a transaction that finds
/// another one refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked(pub Digest);

impl Checked {
    /// Of a PHC string.
    #[must_use]
    pub fn of(phc: &str) -> Self {
        Self(Digest::of(&[b"checked", phc.as_bytes()]))
    }
}

/// A verified second factor, to be consumed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A code of the authenticator app.
    Step {
        /// The secret that it was checked against.
        secret: Sealed,
        /// Its time step.
        step: u64,
    },
    /// A recovery code.
    Recovery {
        /// Its stored hash.
        hash: RecoveryHash,
        /// The notification.
        letter: Option<NewLetter>,
    },
    /// An answer of a passkey.
    Passkey {
        /// The passkey.
        id: PasskeyId,
        /// The credential that it was checked against.
        before: Vec<u8>,
        /// The credential with the counter and the flags of the response.
        after: Vec<u8>,
    },
}

/// A re-authentication, before something that must not be done from an unattended screen.
#[derive(Clone, Debug)]
pub struct StepUp {
    /// The password.
    pub checked: Checked,
    /// The second factor, if there is one.
    pub proof: Option<Proof>,
}

/// How the member is authenticated when a new factor is confirmed.
#[derive(Clone, Copy, Debug)]
pub enum Through {
    /// By a session, which gets a new token.
    Session(TokenHash),
    /// By a correct password only, since the account requires a factor and there is none yet.
    Ticket {
        /// The password.
        checked: Checked,
        /// The round of the ticket.
        round: u64,
        /// The number of earlier failures.
        failures_before: u32,
    },
}

/// A new authenticator app with its first code.
#[derive(Clone, Debug)]
pub struct Confirmed {
    /// How the member is authenticated.
    pub through: Through,
    /// The pending secret.
    pub secret: Sealed,
    /// The time step of the code.
    pub step: u64,
    /// New recovery codes.
    pub recovery: Vec<RecoveryHash>,
    /// The current session, with a new token.
    pub session: Session,
    /// The notification.
    pub letter: Option<NewLetter>,
}

/// A re-encrypted secret.
#[derive(Clone, Debug)]
pub struct Resealed {
    /// The member.
    pub member: MemberId,
    /// As stored.
    pub before: Sealed,
    /// With the newest key.
    pub after: Sealed,
}

impl Store {
    /// A member's second factors; empty if none was ever set up.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn factors(&self, member: &MemberId) -> Result<Factors, Failure> {
        match self {
            Self::Redb(store) => store.factors(member).await,
        }
    }

    /// Saves the secret of an authenticator app that is being set up. Replaces another pending one;
    /// the current app stays valid until the new one is confirmed.
    ///
    /// # Errors
    /// `Unauthenticated` `session_ended`, when the member is gone or suspended; `Denied`
    /// `wrong_code`, `code_missing`; `Conflict` [`super::by::MOVED_ON`]; `Busy`.
    pub async fn two_step_begin(
        &self,
        target: Target<'_>,
        shown: StepUp,
        secret: Sealed,
        expires: Timestamp,
    ) -> Result<Committed<()>, Failure> {
        match self {
            Self::Redb(store) => store.two_step_begin(target, shown, secret, expires).await,
        }
    }

    /// Activates an authenticator app. Every other session ends, and the current one is replaced.
    /// Returns the number of others.
    ///
    /// # Errors
    /// `Unauthenticated` `session_ended`, `sign_in_refused`; `Denied` `wrong_code`; `Conflict`
    /// `not_set_up`, where nothing is pending; `Busy`.
    pub async fn two_step_confirm(
        &self,
        target: Target<'_>,
        confirmed: Confirmed,
    ) -> Result<Committed<u64>, Failure> {
        match self {
            Self::Redb(store) => store.two_step_confirm(target, confirmed).await,
        }
    }

    /// Turns a member's own factor off. Every other session ends, and the current one gets a new
    /// token. Returns the number of others.
    ///
    /// # Errors
    /// `Unauthenticated` `session_ended`; `Denied` `wrong_code`, `code_missing`; `Conflict`
    /// `not_set_up`, `two_step_enforced`, [`super::by::MOVED_ON`]; `Busy`.
    pub async fn two_step_off(
        &self,
        target: Target<'_>,
        shown: StepUp,
        renewed: (TokenHash, Session),
        letter: Option<NewLetter>,
    ) -> Result<Committed<u64>, Failure> {
        match self {
            Self::Redb(store) => store.two_step_off(target, shown, renewed, letter).await,
        }
    }

    /// Replaces a member's own recovery codes.
    ///
    /// # Errors
    /// As [`Self::two_step_off`], but for `two_step_enforced`.
    pub async fn recovery_codes(
        &self,
        target: Target<'_>,
        shown: StepUp,
        recovery: Vec<RecoveryHash>,
        letter: Option<NewLetter>,
    ) -> Result<Committed<()>, Failure> {
        match self {
            Self::Redb(store) => store.recovery_codes(target, shown, recovery, letter).await,
        }
    }

    /// Resets all factors of another member, and ends the sessions. A member who does it presents
    /// the own factor. Returns the number of sessions.
    ///
    /// # Errors
    /// `NotFound` `unknown_member`; `Stale`; `Denied` `wrong_code`, `code_missing`; `Conflict`
    /// `own_factor`, `not_set_up`, [`super::by::MOVED_ON`]; `Busy`.
    pub async fn two_step_reset(
        &self,
        by: &By,
        target: Target<'_>,
        shown: Option<StepUp>,
        letter: Option<NewLetter>,
    ) -> Result<Committed<u64>, Failure> {
        match self {
            Self::Redb(store) => store.two_step_reset(by, target, shown, letter).await,
        }
    }

    /// Counts a wrong code after a correct password; returns the number in a row. The letter is
    /// sent at the count [`crate::domain::limits::CODE_FAILURES_TOLD`].
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn code_failed(
        &self,
        member: &Member,
        letter: Option<NewLetter>,
    ) -> Result<Committed<u32>, Failure> {
        match self {
            Self::Redb(store) => store.code_failed(member, letter).await,
        }
    }

    /// Every member with an encrypted secret, with the account.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn sealed_factors(&self) -> Result<Vec<(MemberId, AccountSlug, Factors)>, Failure> {
        match self {
            Self::Redb(store) => store.sealed_factors().await,
        }
    }

    /// Replaces secrets by re-encrypted ones, if they are unchanged. No revision: subscribers do
    /// not see them.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn factors_reseal(&self, resealed: Vec<Resealed>) -> Result<Committed<()>, Failure> {
        match self {
            Self::Redb(store) => store.factors_reseal(resealed).await,
        }
    }
}
