//! The data kept about one person: erased after the member was removed, exported before; and the
//! last sign-in.
//!
//! Ids stay: they are pseudonyms in an audit log that must still verify.

use super::{By, Committed, Store};
use crate::domain::{AccountSlug, AuditEntry, Failure, Invite, Member, MemberId, Timestamp};

/// What an erasure took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erasure {
    /// Audit entries whose personal part went.
    pub entries: u64,
    /// Invites that went with their links: those by which the person came, and those to one of the
    /// person's addresses that are over and that nobody else accepted.
    pub invites: u64,
    /// Letters to the person, and about such an invite.
    pub letters: u64,
}

/// A member, and when the person signed in last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The member.
    pub member: Member,
    /// When a session of theirs began last; `None` where none is known of.
    pub signed_in: Option<Timestamp>,
}

/// What is kept of one member, but for the sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberData {
    /// The record.
    pub seen: Seen,
    /// The invite by which the person came, while it can still be looked up.
    pub came_by: Option<Invite>,
    /// Invites that the member sent, newest first.
    pub invites_sent: Vec<Invite>,
    /// Audit entries about the member, about that invite, and by the member, oldest first. What was
    /// done to somebody else comes without its personal part: that is the other person's.
    pub entries: Vec<AuditEntry>,
    /// Whether there are more entries or invites, which are older.
    pub cut: bool,
}

impl Store {
    /// Takes away for good what is personal of a member who was removed. Where nothing is left of
    /// that, nothing changes. What is written later about the member gets no personal part.
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

    /// When members signed in last, in the order they are given.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn seen(&self, members: Vec<Member>) -> Result<Vec<Seen>, Failure> {
        match self {
            Self::Redb(store) => store.seen(members).await,
        }
    }

    /// What is kept of one member, with at most `limit` entries and `limit` invites; `None` where
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
