//! Requests to create links to a new password and to a new address.
//!
//! A link is looked up by the hash of its token, works once, and ends with its member.

use super::letters::NewLetter;
use crate::domain::{EmailEnd, KeyId, LinkId, Member, Timestamp, TokenHash};

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
