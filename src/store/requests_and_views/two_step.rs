//! Requests to set up second factors and to show one.
//!
//! A service, which can open sealed secrets, checks what somebody shows, and the transaction consumes
//! it: each code works once, also with concurrent requests. A member with a factor changes nothing
//! about signing in without it, and no session begins without it. Contains no secret in clear.

use super::mail_queue::NewMail;
use crate::domain::two_step::RecoveryHash;
use crate::domain::{Digest, MemberId, PasskeyId, Sealed, Session, TokenHash};

/// The stored password that was checked, as a digest of the PHC string: a transaction that finds
/// another one refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedPassword(pub Digest);

impl CheckedPassword {
    /// Of a PHC string.
    #[must_use]
    pub fn of(phc: &str) -> Self {
        Self(Digest::of(&[b"checked", phc.as_bytes()]))
    }
}

/// A verified second factor, to be consumed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecondFactorProof {
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
        letter: Option<NewMail>,
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
    pub checked: CheckedPassword,
    /// The second factor, if there is one.
    pub proof: Option<SecondFactorProof>,
}

/// How the member is authenticated when a new factor is confirmed.
#[derive(Clone, Copy, Debug)]
pub enum ConfirmedThrough {
    /// By a session, which gets a new token.
    Session(TokenHash),
    /// By a correct password only, since the account requires a factor and there is none yet.
    Ticket {
        /// The password.
        checked: CheckedPassword,
        /// The round of the ticket.
        round: u64,
        /// The number of earlier failures.
        failures_before: u32,
    },
}

/// A new authenticator app with its first code.
#[derive(Clone, Debug)]
pub struct ConfirmedAuthenticator {
    /// How the member is authenticated.
    pub through: ConfirmedThrough,
    /// The pending secret.
    pub secret: Sealed,
    /// The time step of the code.
    pub step: u64,
    /// New recovery codes.
    pub recovery: Vec<RecoveryHash>,
    /// The current session, with a new token.
    pub session: Session,
    /// The notification.
    pub letter: Option<NewMail>,
}

/// A re-encrypted secret.
#[derive(Clone, Debug)]
pub struct ResealedSecret {
    /// The member.
    pub member: MemberId,
    /// As stored.
    pub before: Sealed,
    /// With the newest key.
    pub after: Sealed,
}
