//! The data kept about one person: erased after the member was removed, exported before; and the
//! last sign-in.
//!
//! Ids stay: they are pseudonyms in an audit log that must still verify.

use crate::domain::{AuditEntry, Invite, Member, Timestamp};

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
pub struct MemberWithSignIn {
    /// The member.
    pub member: Member,
    /// The begin of the last session; `None` if none is known.
    pub signed_in: Option<Timestamp>,
}

/// All data kept about one member, except the sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberData {
    /// The record.
    pub seen: MemberWithSignIn,
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
