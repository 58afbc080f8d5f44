//! Requests to set up second factors and to show one.
//!
//! A flow, which can open sealed secrets, checks what somebody shows, and the transaction consumes
//! it: each code works once, whoever comes at the same time. A member with a factor changes nothing
//! about signing in without it, and no session begins without it. Contains no secret in clear.

use super::letters::NewLetter;
use crate::domain::two_step::RecoveryHash;
use crate::domain::{Digest, MemberId, PasskeyId, Sealed, Session, TokenHash};

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
