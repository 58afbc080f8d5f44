//! What is brought to make a link to a new password or a new address, and to set up an empty store.
//!
//! A link is found by the hash of its token, opens once, and ends with its member.

use super::letters::NewLetter;
use crate::domain::{AccountSlug, EmailEnd, KeyId, LinkId, Member, Timestamp, TokenHash};

/// A new link.
#[derive(Clone, Debug)]
pub struct NewLink {
    /// A new id.
    pub id: LinkId,
    /// The key that its token was derived with.
    pub key: KeyId,
    /// What it is found by.
    pub token: TokenHash,
    /// From when on it does not open.
    pub expires: Timestamp,
    /// The letter that carries it; `None` where no mail is sent.
    pub letter: Option<NewLetter>,
}

/// What a confirmation of a new address came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmailConfirmed {
    /// The other end has not confirmed yet.
    WaitingFor(EmailEnd),
    /// The member has the new address.
    Changed(Member),
}

/// What the first account is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The account's slug.
    pub slug: AccountSlug,
    /// The account's name for people.
    pub name: String,
    /// Its first member.
    pub member: Member,
    /// The member's password, as a PHC string.
    pub password: String,
}
