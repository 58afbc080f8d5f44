//! A link sent by mail: proves, once, that its reader receives mail at an address.
//!
//! For a new password or a new address; an invite's link is part of the invite. Contains no token:
//! a link is looked up by the hash of its token.

use super::account::AccountSlug;
use super::email::Email;
use super::failure::{Failure, Kind};
use super::ids::{KeyId, LinkId};
use super::member::MemberId;
use super::revision_and_timestamp::Timestamp;

/// The purpose of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkPurpose {
    /// A new password.
    PasswordReset,
    /// A new address, confirmed from both: one link goes to the old address, one to the new.
    EmailChange {
        /// The new address.
        to: Email,
        /// Which of the two.
        end: AddressSide,
    },
}

/// The two addresses of an address change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressSide {
    /// The current address.
    Old,
    /// The new address.
    New,
}

/// A link that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneTimeLink {
    /// Unique in the whole store.
    pub id: LinkId,
    /// The member's account.
    pub account: AccountSlug,
    /// The member.
    pub member: MemberId,
    /// What it is for.
    pub purpose: LinkPurpose,
    /// The key from which its token is derived.
    pub key: KeyId,
    /// When it was created.
    pub created: Timestamp,
    /// When it expires.
    pub expires: Timestamp,
    /// For an address change: when this side was confirmed.
    pub confirmed: Option<Timestamp>,
}

impl OneTimeLink {
    /// Whether it works at a given time.
    ///
    /// # Errors
    /// `Gone`, code `link_expired`.
    pub fn may_be_used(&self, now: Timestamp) -> Result<(), Failure> {
        let sentence = match now < self.expires {
            true if !self.created.is_ahead_of(now) => return Ok(()),
            true => "this link was made while the server's clock was wrong: ask for a new one",
            false => "this link has expired: ask for a new one, and open it soon",
        };
        Err(Failure::new(Kind::Gone, "link_expired", sentence))
    }
}

/// The failure for a token that is not valid: unknown, used, or replaced.
#[must_use]
pub fn dead() -> Failure {
    Failure::new(
        Kind::Gone,
        "link_dead",
        "this link no longer works: it was used, replaced or never valid; ask for a new one",
    )
}
