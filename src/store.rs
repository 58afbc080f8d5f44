//! The store: accounts, members, invites, letters, sessions, API tokens, the audit log and the last
//! good policies.
//!
//! What callers bring and get is described here and in [`types`]; the methods of [`Store`] are in
//! `redb`, one file for each kind of thing.
//!
//! Offers transactions, not tables: each checks its preconditions, writes the rows and the audit
//! entry atomically, and gets the next revision. Every change is published to the change feed, in
//! the order of revisions and without gaps. Independent of Cedar and HTTP, and does not check
//! rights: the caller holds a permit.

pub mod change_feed;
pub mod member_table;
pub mod preconditions;
pub mod records;
mod redb;
pub mod types;

use std::collections::BTreeSet;
use std::time::Duration;

pub use self::redb::{BROKEN, REPLACED, Store, UNAVAILABLE};
pub use preconditions::Preconditions;

use crate::domain::{
    AccountSlug, AuditEvent, Digest, Email, Member, MemberId, Name, Revision, RoleId, Status,
    Timestamp, Version,
};

/// A durable change: its revision and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed<T> {
    /// The revision of the change.
    pub revision: Revision,
    /// The record after the change.
    pub value: T,
}

/// A member, and the version that the caller has seen.
#[derive(Clone, Copy, Debug)]
pub struct MemberTarget<'a> {
    /// The account the caller speaks for: a member of another one is `NotFound`.
    pub account: &'a AccountSlug,
    /// The member.
    pub id: &'a MemberId,
    /// `If-Match`: `Stale` if the record has changed since. `None` accepts any version.
    pub expected: Option<Version>,
}

impl<'a> MemberTarget<'a> {
    /// This member, as it is when the change is made.
    #[must_use]
    pub const fn of(member: &'a Member) -> Self {
        Self { account: &member.account, id: &member.id, expected: None }
    }
}

/// What an edit changes; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct MemberEdit {
    /// First name.
    pub first_name: Option<Name>,
    /// Last name.
    pub last_name: Option<Name>,
    /// The address.
    pub email: Option<Email>,
    /// The role.
    pub role: Option<RoleId>,
    /// Used if the role changes: the roles that the member may still invite for with the new one.
    /// Open invites of the member for other roles end.
    pub still_invites: BTreeSet<RoleId>,
    /// Used if the role changes: the roles that the member may still create API tokens for with the
    /// new one. Tokens for other roles end.
    pub still_makes_tokens: BTreeSet<RoleId>,
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

/// What a removal ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The member as it was.
    pub member: Member,
    /// How many sessions ended with it.
    pub sessions_ended: u64,
    /// How many API tokens ended with it.
    pub tokens_revoked: u64,
    /// How many of the invites that the member sent were cancelled.
    pub invites_cancelled: u64,
}

/// A filter over the members of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberFilter {
    /// Part of a name or an address, compared without regard to case and accents.
    pub search: Option<String>,
    /// Only members with one of these roles; all, where it is empty.
    pub roles: Vec<RoleId>,
    /// Only members in this state.
    pub status: Option<Status>,
    /// Only members with a second factor, or only those without.
    pub two_step: Option<bool>,
}

/// One page of a list, and where the next begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, in order.
    pub items: Vec<T>,
    /// Opaque; `None` at the end.
    pub next: Option<String>,
}

/// One row of an import.
#[derive(Clone, Debug)]
pub struct ImportRow {
    /// The line in the file, from 1.
    pub line: u64,
    /// The member to make.
    pub member: Member,
}

/// The messages of an import while it streams.
#[derive(Debug)]
pub enum ImportPart {
    /// Some more rows.
    Rows(Vec<ImportRow>),
    /// The file was read completely without faults: commit. A channel that closes without this
    /// aborts the import.
    End {
        /// SHA-256 of the file.
        digest: Digest,
    },
}

/// A policy set as files, saved for the next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPolicies {
    /// The digest of the set.
    pub digest: Digest,
    /// When it went live.
    pub at: Timestamp,
    /// Path inside the folder, and content.
    pub files: Vec<(String, Vec<u8>)>,
}

/// Which audit entries to read.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only entries whose target is this member.
    pub member: Option<String>,
    /// Only entries of this event.
    pub event: Option<AuditEvent>,
}
