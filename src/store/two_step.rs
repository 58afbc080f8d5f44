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

/// Which stored password somebody's password was checked against, as a digest of the PHC string:
/// a transaction that finds another one refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked(pub Digest);

impl Checked {
    /// Of a PHC string.
    #[must_use]
    pub fn of(phc: &str) -> Self {
        Self(Digest::of(&[b"checked", phc.as_bytes()]))
    }
}

/// What somebody showed beside the password, to be spent once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A code of the authenticator app.
    Step {
        /// The secret that it was checked against.
        secret: Sealed,
        /// The time step that it belongs to.
        step: u64,
    },
    /// A recovery code.
    Recovery {
        /// What is kept of it.
        hash: RecoveryHash,
        /// Tells the member.
        letter: Option<NewLetter>,
    },
    /// An answer of a passkey.
    Passkey {
        /// Which.
        id: PasskeyId,
        /// The credential that it was checked against.
        before: Vec<u8>,
        /// The same, with the counter and the flags of the answer.
        after: Vec<u8>,
    },
}

/// What a member who is signed in showed again, before something that must not be done from a
/// screen that was left open.
#[derive(Clone, Debug)]
pub struct StepUp {
    /// The password.
    pub checked: Checked,
    /// The second factor, of who has one.
    pub proof: Option<Proof>,
}

/// How somebody came to where a new factor is confirmed.
#[derive(Clone, Copy, Debug)]
pub enum Through {
    /// By a session, which goes on under a new token.
    Session(TokenHash),
    /// By a right password alone, since the account asks for a factor and there is none.
    Ticket {
        /// The password.
        checked: Checked,
        /// The round that the ticket was made in.
        round: u64,
        /// How many tries failed before.
        failures_before: u32,
    },
}

/// A new authenticator app that has shown its first code.
#[derive(Clone, Debug)]
pub struct Confirmed {
    /// How the member came here.
    pub through: Through,
    /// The secret that was pending.
    pub secret: Sealed,
    /// The time step of the code.
    pub step: u64,
    /// New recovery codes.
    pub recovery: Vec<RecoveryHash>,
    /// The session that goes on, under a new token.
    pub session: Session,
    /// Tells the member.
    pub letter: Option<NewLetter>,
}

/// A secret that is to be sealed anew.
#[derive(Clone, Debug)]
pub struct Resealed {
    /// Whose.
    pub member: MemberId,
    /// As it stands in the store.
    pub before: Sealed,
    /// Under the newest key.
    pub after: Sealed,
}

impl Store {
    /// A member's second factors; none at all for who never set one up.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn factors(&self, member: &MemberId) -> Result<Factors, Failure> {
        match self {
            Self::Redb(store) => store.factors(member).await,
        }
    }

    /// Keeps the secret of an authenticator app that is being set up. What was pending before is
    /// replaced; what is in use stays in use until the new one is confirmed.
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

    /// Takes an authenticator app into use. Every other session ends, as does the one before.
    /// Answers how many others.
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

    /// Switches a member's own factor off. Every other session ends, and the one it was done in goes
    /// on under a new token. Answers how many others.
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

    /// Takes all factors of another member away, and ends the sessions. A member who does it shows
    /// the own factor. Answers how many sessions.
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

    /// Counts a wrong code of somebody who knew the password; answers how many in a row. The letter
    /// goes out with the one that [`crate::domain::limits::CODE_FAILURES_TOLD`] names.
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

    /// Every member whose factors hold a sealed secret, with the account.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn sealed_factors(&self) -> Result<Vec<(MemberId, AccountSlug, Factors)>, Failure> {
        match self {
            Self::Redb(store) => store.sealed_factors().await,
        }
    }

    /// Puts secrets under a newer key, where they still are what they were. No revision: nothing
    /// that anybody follows changes.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn factors_reseal(&self, resealed: Vec<Resealed>) -> Result<Committed<()>, Failure> {
        match self {
            Self::Redb(store) => store.factors_reseal(resealed).await,
        }
    }
}
