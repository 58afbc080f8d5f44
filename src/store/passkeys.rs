//! Transactions of passkeys: add, remove, and mark as copied.
//!
//! Signing in with one is part of the begin of a session, which consumes its response as it
//! consumes a code. Contains no cryptography: the caller has verified the response.

use super::letters::NewLetter;
use super::two_step::StepUp;
use super::{Committed, Store, Target};
use crate::domain::{Failure, Member, Passkey, PasskeyId, TokenHash};

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
    pub letter: Option<NewLetter>,
}

impl Store {
    /// Consumes the proof that a member presents before a passkey is added. Returns the round for
    /// the challenge: any other use of a factor ends it.
    ///
    /// # Errors
    /// `Unauthenticated` `session_ended`; `Denied` `wrong_code`, `code_missing`; `Conflict`
    /// `not_set_up`, where there is no authenticator app, `too_many_passkeys`,
    /// [`super::by::MOVED_ON`]; `Busy`.
    pub async fn passkey_begin(
        &self,
        target: Target<'_>,
        shown: StepUp,
    ) -> Result<Committed<u64>, Failure> {
        match self {
            Self::Redb(store) => store.passkey_begin(target, shown).await,
        }
    }

    /// Saves a passkey, and ends the member's other sessions.
    ///
    /// # Errors
    /// `Unauthenticated` `session_ended`; `Conflict` `challenge_dead`, when the round is over,
    /// `too_many_passkeys`, `passkey_known`, when any member has it already; `Busy`.
    pub async fn passkey_add(
        &self,
        target: Target<'_>,
        new: NewPasskey,
    ) -> Result<Committed<Passkey>, Failure> {
        match self {
            Self::Redb(store) => store.passkey_add(target, new).await,
        }
    }

    /// Removes a member's own passkey; all other sessions end.
    ///
    /// # Errors
    /// `Unauthenticated` `session_ended`; `NotFound` `unknown_passkey`; `Denied` `wrong_code`,
    /// `code_missing`; `Conflict` [`super::by::MOVED_ON`]; `Busy`.
    pub async fn passkey_remove(
        &self,
        target: Target<'_>,
        own: (TokenHash, PasskeyId),
        shown: StepUp,
        letter: Option<NewLetter>,
    ) -> Result<Committed<Passkey>, Failure> {
        match self {
            Self::Redb(store) => store.passkey_remove(target, own, shown, letter).await,
        }
    }

    /// Counts a response whose counter went back, records it, and notifies the member.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn passkey_copied(
        &self,
        member: &Member,
        id: &PasskeyId,
        letter: Option<NewLetter>,
    ) -> Result<Committed<()>, Failure> {
        match self {
            Self::Redb(store) => store.passkey_copied(member, id, letter).await,
        }
    }
}
