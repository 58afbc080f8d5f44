//! An API token: lets a program act as the member who created it, with its own role and expiry
//! date.
//!
//! Contains no secret: a token is looked up by its hash. Its permissions come from the live
//! policies on each use.

use super::account::AccountSlug;
use super::failure::{Failure, Kind};
use super::ids::ApiTokenId;
use super::member::{MemberId, Name};
use super::revision_and_timestamp::Timestamp;
use super::role::RoleId;
use super::token::{Token, TokenHash};

/// The prefix of every secret, so that one that leaks can be recognized.
pub const PREFIX: &str = "kwt_";

/// An API token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// Unique in the whole store.
    pub id: ApiTokenId,
    /// The hash by which it is found.
    pub token: TokenHash,
    /// What it is for, in its creator's words.
    pub name: Name,
    /// Its role.
    pub role: RoleId,
    /// The member that it acts as, and ends with.
    pub member: MemberId,
    /// The creator's account.
    pub account: AccountSlug,
    /// When it was created.
    pub created: Timestamp,
    /// When it expires.
    pub expires: Timestamp,
    /// The last use, accurate to about a minute; `None` before the first.
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

/// Parses a presented secret; `None` if it cannot be one.
#[must_use]
pub fn parse(text: &str) -> Option<Token> {
    Token::parse(text.strip_prefix(PREFIX)?)
}

/// The secret, for the one response that shows it.
#[must_use]
pub fn secret(token: &Token) -> String {
    format!("{PREFIX}{}", token.expose())
}

/// The failure for a secret that is not valid, whatever the cause: one message, which does not
/// reveal whether the token existed.
#[must_use]
pub fn ended() -> Failure {
    Failure::new(
        Kind::Unauthenticated,
        "token_ended",
        "this API token is not valid: it never existed, has expired, was revoked, or its creator may no longer give its role; create a new one",
    )
}

/// The code of [`unknown`].
pub const UNKNOWN: &str = "unknown_token";

/// The failure for the id of an unknown token.
#[must_use]
pub fn unknown() -> Failure {
    Failure::new(
        Kind::NotFound,
        UNKNOWN,
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
