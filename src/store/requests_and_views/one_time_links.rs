//! Requests to create links to a new password and to a new address.
//!
//! A link is looked up by the hash of its token, works once, and ends with its member.

use super::mail_queue::NewMail;
use crate::domain::{AddressSide, KeyId, LinkId, Member, Timestamp, TokenHash};

/// A new link.
#[derive(Clone, Debug)]
pub struct NewOneTimeLink {
    /// A new id.
    pub id: LinkId,
    /// The key from which its token is derived.
    pub key: KeyId,
    /// The hash by which it is found.
    pub token: TokenHash,
    /// When it expires.
    pub expires: Timestamp,
    /// Its letter; `None` if no mail is sent.
    pub letter: Option<NewMail>,
}

/// The result of confirming an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmailConfirmed {
    /// The other address is not confirmed yet.
    WaitingFor(AddressSide),
    /// The member has the new address.
    Changed(Member),
}
