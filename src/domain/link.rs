//! A link sent by mail: proves, once, that its reader receives mail at an address.
//!
//! For a new password or a new address; an invite's link is part of the invite. Contains no token:
//! a link is looked up by the hash of its token.

use super::account::AccountSlug;
use super::email::Email;
use super::failure::{Failure, Kind};
use super::invite::KeyId;
use super::member::MemberId;
use super::random_id::random_id;
use super::revision::Timestamp;

random_id! {
    /// Names a link in the whole store: `l` and 26 base-32 digits.
    LinkId, 'l'
}

/// What a link is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkPurpose {
    /// A new password.
    PasswordReset,
    /// A new address, which both ends confirm: one link goes to the old address, one to the new.
    EmailChange {
        /// The new address.
        to: Email,
        /// Which end this link is.
        end: EmailEnd,
    },
}

/// The two ends of a change of address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EmailEnd {
    /// The address that the member still has.
    Old,
    /// The address that the member will have.
    New,
}

/// A link that has been given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Unique in the whole store.
    pub id: LinkId,
    /// The member's account.
    pub account: AccountSlug,
    /// Whose it is.
    pub member: MemberId,
    /// What it is for.
    pub purpose: LinkPurpose,
    /// The key that its token was derived with.
    pub key: KeyId,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it does not open.
    pub expires: Timestamp,
    /// For a change of address: when this end was confirmed.
    pub confirmed: Option<Timestamp>,
}

impl Link {
    /// Whether it opens at a moment.
    ///
    /// # Errors
    /// `Gone`, code `link_expired`.
    pub fn may_be_used(&self, now: Timestamp) -> Result<(), Failure> {
        if now < self.expires {
            return Ok(());
        }
        Err(Failure::new(
            Kind::Gone,
            "link_expired",
            "this link has expired: ask for a new one, and open it soon",
        ))
    }
}

/// The failure for a token that opens nothing: never given out, used, or replaced.
#[must_use]
pub fn dead() -> Failure {
    Failure::new(
        Kind::Gone,
        "link_dead",
        "this link no longer works: it was used, replaced or never valid; ask for a new one",
    )
}
