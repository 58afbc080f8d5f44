//! Requests to edit and import members, filters of lists, and what a removal ended.

use std::collections::BTreeSet;

use crate::domain::{AccountSlug, Digest, Email, Member, MemberId, Name, RoleId, Status, Version};

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

/// One row of an import.
#[derive(Clone, Debug)]
pub struct ImportRow {
    /// The line in the file, from 1.
    pub line: u64,
    /// The member to make.
    pub member: Member,
}

/// The messages of an import while it streams.
#[derive(Clone, Debug)]
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
