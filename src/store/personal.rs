//! What is kept of one person: erased once the member is removed, handed out while there is one,
//! and when the person signed in last.
//!
//! Ids stay: they are pseudonyms in an audit log that must still verify. Judges nobody's right.

use crate::domain::{AuditEntry, Invite, Member, Timestamp};

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
