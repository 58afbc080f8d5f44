//! An API token: lets a program act as the member who made it, with a role and an end date of its
//! own.
//!
//! Holds no secret: the hash is what it is found by. What it may do is asked of the live policies
//! each time.

use super::account::AccountSlug;
use super::failure::{Failure, Kind};
use super::ids::ApiTokenId;
use super::member::{MemberId, Name};
use super::revision::Timestamp;
use super::role::RoleId;
use super::token::{Token, TokenHash};

/// What every secret begins with, so that who finds one knows what it opens.
pub const PREFIX: &str = "kwt_";

/// An API token that has been made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// Unique in the whole store.
    pub id: ApiTokenId,
    /// What it is found by.
    pub token: TokenHash,
    /// What it is for, in its maker's words.
    pub name: Name,
    /// What it may do.
    pub role: RoleId,
    /// Whom it acts as, and ends with.
    pub member: MemberId,
    /// The maker's account.
    pub account: AccountSlug,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it opens nothing.
    pub expires: Timestamp,
    /// When it was used last, right to a minute or so; `None` before its first use.
    pub used: Option<Timestamp>,
}

impl ApiToken {
    /// Whether it opens anything at a moment, as far as its times go.
    #[must_use]
    pub fn lives(&self, now: Timestamp) -> bool {
        lives(self.created, self.expires, now)
    }
}

/// Whether a token of these times opens anything at a moment. One that was made under a clock that was
/// ahead does not.
#[must_use]
pub fn lives(created: Timestamp, expires: Timestamp, now: Timestamp) -> bool {
    now < expires && !created.is_ahead_of(now)
}

/// Reads a secret that somebody brings; `None` for what cannot be one.
#[must_use]
pub fn parse(text: &str) -> Option<Token> {
    Token::parse(text.strip_prefix(PREFIX)?)
}

/// The secret, for the one answer that shows it.
#[must_use]
pub fn secret(token: &Token) -> String {
    format!("{PREFIX}{}", token.expose())
}

/// The failure for a secret that opens nothing, whatever the cause: one answer, so that it tells
/// nobody whether there ever was such a token.
#[must_use]
pub fn ended() -> Failure {
    Failure::new(
        Kind::Unauthenticated,
        "token_ended",
        "this API token opens nothing: it was never given out, has expired, was revoked, or its maker may not give its role any more; make a new one",
    )
}

/// The failure for an id that names no token here.
#[must_use]
pub fn unknown() -> Failure {
    Failure::new(
        Kind::NotFound,
        "unknown_token",
        "there is no such API token on this account: `kwic-team token list` shows the tokens",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_a_clock_that_was_wrong_opens_nothing() {
        let at = |created, expires| lives(Timestamp(created), Timestamp(expires), Timestamp(0));
        assert!(at(0, 1) && at(300_000, 400_000));
        assert!(!at(0, 0) && !at(300_001, 400_000));
    }

    #[test]
    fn a_secret_is_a_token_behind_the_prefix_and_nothing_else() {
        let token = Token::from_bytes([7; 32]);
        let text = secret(&token);
        assert_eq!(text.len(), 47);
        assert_eq!(parse(&text), Some(token.clone()));
        for other in
            [token.expose(), "kwt_", "", "KWT_", &format!("{PREFIX}{text}"), &format!("{text}A")]
        {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
