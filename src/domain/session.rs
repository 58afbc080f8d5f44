//! A session: a member signed in on one device, for a limited time.
//!
//! Has no role: the role is read from the member on each use. Contains no token.

use std::time::Duration;

use super::account::AccountSlug;
use super::failure::{Failure, Kind};
use super::ids::SessionId;
use super::member::MemberId;
use super::revision_and_timestamp::Timestamp;
use super::token::TokenHash;

/// The code of a session that does not exist.
pub const UNKNOWN: &str = "unknown_session";

/// A session of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Unique in the whole store.
    pub id: SessionId,
    /// The hash by which it is found.
    pub token: TokenHash,
    /// The member.
    pub member: MemberId,
    /// The member's account.
    pub account: AccountSlug,
    /// When the person signed in.
    pub created: Timestamp,
    /// The last use, accurate to about a minute.
    pub used: Timestamp,
    /// The client address at sign-in; empty if unknown.
    pub address: String,
    /// The user agent, truncated; empty if there was none.
    pub agent: String,
}

/// The timeouts of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// The idle timeout.
    pub idle: Duration,
    /// The absolute timeout.
    pub absolute: Duration,
}

impl SessionLimits {
    /// Whether a session that was made and last used then still lives. One that was made or used
    /// under a clock that was ahead does not.
    #[must_use]
    pub fn lives(&self, created: Timestamp, used: Timestamp, now: Timestamp) -> bool {
        let ms = |limit: Duration| i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
        !created.is_ahead_of(now)
            && !used.is_ahead_of(now)
            && now.0 < used.0.saturating_add(ms(self.idle))
            && now.0 < created.0.saturating_add(ms(self.absolute))
    }
}

/// The one failure of a sign-in, whatever the cause.
#[must_use]
pub fn sign_in_refused() -> Failure {
    Failure::new(
        Kind::Unauthenticated,
        "sign_in_refused",
        "the account, the address or the password is not right: try again, or reset the password",
    )
}

/// The failure for a session that does not exist, or has ended.
#[must_use]
pub fn unknown() -> Failure {
    Failure::new(
        Kind::NotFound,
        UNKNOWN,
        "there is no such session: `/api/v1/me/sessions` lists yours",
    )
}

/// The failure for a token without a session.
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

    #[test]
    fn a_session_of_a_clock_that_was_wrong_is_over() {
        let limits =
            SessionLimits { idle: Duration::from_secs(60), absolute: Duration::from_secs(3_600) };
        let lives = |created, used| limits.lives(Timestamp(created), Timestamp(used), Timestamp(0));
        assert!(lives(300_000, 300_000));
        assert!(!lives(300_001, 300_001) && !lives(0, 300_001));
    }
}
