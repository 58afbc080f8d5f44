//! The data kept about one person: erased after the member was removed, exported before; and the
//! last sign-in.
//!
//! Ids stay: they are pseudonyms in an audit log that must still verify.

use super::{By, Committed, Store};
use crate::domain::{AccountSlug, AuditEntry, Failure, Invite, Member, MemberId, Timestamp};

/// The result of an erasure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erasure {
    /// Audit entries whose personal part was erased.
    pub entries: u64,
    /// Deleted invites, with their links: those by which the person came, and ended ones to the
    /// person's addresses that nobody else accepted.
    pub invites: u64,
    /// Deleted letters to the person, and about such an invite.
    pub letters: u64,
}

/// A member, with the last sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The member.
    pub member: Member,
    /// The begin of the last session; `None` if none is known.
    pub signed_in: Option<Timestamp>,
}

/// All data kept about one member, except the sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberData {
    /// The record.
    pub seen: Seen,
    /// The invite by which the person came, as long as it is kept.
    pub came_by: Option<Invite>,
    /// Invites by the member, newest first.
    pub invites_sent: Vec<Invite>,
    /// Audit entries about the member, about that invite, and by the member, oldest first. Changes
    /// of other people come without the personal part, which is theirs.
    pub entries: Vec<AuditEntry>,
    /// Whether there are more, older entries or invites.
    pub cut: bool,
}

impl Store {
    /// Erases the personal data of a removed member. If nothing is left of it, nothing changes.
    /// Later entries about the member get no personal part.
    ///
    /// # Errors
    /// `NotFound` `unknown_member`, when no such member was ever removed from the account;
    /// `Conflict` `not_removed`, or [`super::by::MOVED_ON`]; `Busy`, when the disk fails.
    pub async fn member_erase(
        &self,
        by: &By,
        account: &AccountSlug,
        id: &MemberId,
    ) -> Result<Committed<Erasure>, Failure> {
        match self {
            Self::Redb(store) => store.member_erase(by, account, id).await,
        }
    }

    /// The last sign-ins of members, in the given order.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn seen(&self, members: Vec<Member>) -> Result<Vec<Seen>, Failure> {
        match self {
            Self::Redb(store) => store.seen(members).await,
        }
    }

    /// All data kept about one member, with at most `limit` entries and `limit` invites; `None` if
    /// the account has no such member.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn member_data(
        &self,
        account: &AccountSlug,
        id: &MemberId,
        limit: usize,
    ) -> Result<Option<MemberData>, Failure> {
        match self {
            Self::Redb(store) => store.member_data(account, id, limit).await,
        }
    }
}
