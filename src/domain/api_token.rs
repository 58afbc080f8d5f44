//! An API token: lets a program act as the member who created it, with its own role and expiry
//! date.
//!
//! Contains no secret: a token is looked up by its hash. Its permissions come from the live
//! policies on each use.

use super::account::AccountSlug;
use super::failure::{Failure, Kind};
use super::member::{MemberId, Name};
use super::random_id::random_id;
use super::revision::Timestamp;
use super::role::RoleId;
use super::token::{Token, TokenHash};

/// What every secret begins with, so that who finds one knows what it opens.
pub const PREFIX: &str = "kwt_";

random_id! {
    /// Names an API token to people: `t` and 26 base-32 digits. Opens nothing.
    ApiTokenId, 't'
}

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
        "this API token is not valid: it never existed, has expired, was revoked, or its creator may no longer give its role; create a new one",
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
