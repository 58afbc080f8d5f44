//! A session: a member signed in on one device, for a limited time.
//!
//! Has no role: the role is read from the member on each use. Contains no token.

use std::time::Duration;

use super::account::AccountSlug;
use super::failure::{Failure, Kind};
use super::member::MemberId;
use super::random_id::random_id;
use super::revision::Timestamp;
use super::token::TokenHash;

random_id! {
    /// Names a session to people: `s` and 26 base-32 digits. Opens nothing.
    SessionId, 's'
}

/// Somebody signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Unique in the whole store.
    pub id: SessionId,
    /// What it is found by.
    pub token: TokenHash,
    /// Who.
    pub member: MemberId,
    /// The member's account.
    pub account: AccountSlug,
    /// When the person signed in.
    pub created: Timestamp,
    /// When it was used last, right to a minute or so.
    pub used: Timestamp,
    /// The address that the person signed in from; empty where it is not known.
    pub address: String,
    /// What the browser called itself, bounded; empty where it said nothing.
    pub agent: String,
}

/// When sessions end by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// After so long without use.
    pub idle: Duration,
    /// And after so long in any case.
    pub absolute: Duration,
}

impl SessionLimits {
    /// Whether a session that was made and last used then still lives.
    #[must_use]
    pub fn lives(&self, created: Timestamp, used: Timestamp, now: Timestamp) -> bool {
        let ms = |limit: Duration| i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
        now.0 < used.0.saturating_add(ms(self.idle))
            && now.0 < created.0.saturating_add(ms(self.absolute))
    }
}

/// The one answer to a sign-in, whatever is wrong with it.
#[must_use]
pub fn sign_in_refused() -> Failure {
    Failure::new(
        Kind::Unauthenticated,
        "sign_in_refused",
        "the account, the address or the password is not right: try again, or reset the password",
    )
}

/// The failure for a token that stands for nobody.
#[must_use]
pub fn ended() -> Failure {
    Failure::new(
        Kind::Unauthenticated,
        "session_ended",
        "nobody is signed in, or the session has ended: sign in again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_idle_and_in_any_case() {
        let limits =
            SessionLimits { idle: Duration::from_millis(10), absolute: Duration::from_millis(25) };
        let lives = |used, now| limits.lives(Timestamp(0), Timestamp(used), Timestamp(now));
        assert!(lives(0, 9) && !lives(0, 10));
        assert!(lives(20, 24) && !lives(20, 25));
    }
}
