//! Requests to create the first account and to edit one.

use std::time::Duration;

use crate::domain::{AccountSlug, Member};

/// What the first account is made of.
#[derive(Clone, Debug)]
pub struct FirstAccount {
    /// The account's slug.
    pub slug: AccountSlug,
    /// The account's name for people.
    pub name: String,
    /// Its first member.
    pub member: Member,
    /// The member's password, as a PHC string.
    pub password: String,
}

/// What an edit of an account changes; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct AccountEdit {
    /// The name for people.
    pub name: Option<String>,
    /// When its invites expire.
    pub invite_lifetime: Option<Duration>,
    /// Whether everybody needs a second factor.
    pub two_step_enforced: Option<bool>,
}
