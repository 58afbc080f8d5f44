//! Requests to create, resend, edit and accept invites, and views of them.
//!
//! An invite, the letter with its link and the audit entry are one transaction. Contains no token:
//! callers pass its hash.

use super::mail_queue::NewMail;
use crate::domain::{
    AccountSlug, Delivery, Digest, Email, Generation, IdempotencyKey, Invite, InviteId,
    InviteState, KeyId, MemberId, Name, RoleId, Timestamp, TokenHash, Version,
};

/// The data of a new invite. Its link is of [`Generation::FIRST`].
#[derive(Clone, Debug)]
pub struct NewInvite {
    /// A new id.
    pub id: InviteId,
    /// The account.
    pub account: AccountSlug,
    /// The address of the link.
    pub email: Email,
    /// First name.
    pub first_name: Name,
    /// Last name.
    pub last_name: Name,
    /// The role that it gives.
    pub role: RoleId,
    /// Its first link.
    pub link: NewInviteLink,
    /// Makes a repeated call return the invite of the first one.
    pub idempotency: Option<Idempotency>,
}

/// A new link of an invite.
#[derive(Clone, Debug)]
pub struct NewInviteLink {
    /// The generation of the token: the one after the invite's own.
    pub generation: Generation,
    /// The key from which it is derived.
    pub key: KeyId,
    /// The hash by which it is found.
    pub token: TokenHash,
    /// When it expires.
    pub expires: Timestamp,
    /// Its letter; `None` if no mail is sent.
    pub letter: Option<NewMail>,
}

/// Identifies a repeated call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// In the caller's own namespace, so that no other caller can guess it.
    pub key: IdempotencyKey,
    /// The digest of the call.
    pub request: Digest,
}

/// An invite, and the version that the caller has seen.
#[derive(Clone, Copy, Debug)]
pub struct InviteTarget<'a> {
    /// The account of the caller: an invite of another one is `NotFound`.
    pub account: &'a AccountSlug,
    /// The invite.
    pub id: &'a InviteId,
    /// `If-Match`: `Stale` if the record has changed since. `None` accepts any version.
    pub expected: Option<Version>,
}

/// The changes of an edit; `None` leaves a field unchanged.
#[derive(Clone, Debug, Default)]
pub struct InviteEdit {
    /// First name.
    pub first_name: Option<Name>,
    /// Last name.
    pub last_name: Option<Name>,
    /// The role.
    pub role: Option<RoleId>,
    /// Another address: the previous link stops working.
    pub email: Option<Email>,
    /// The new link, used if the address changes, or if the role is changed by another member than
    /// the sender; ignored otherwise.
    pub link: Option<NewInviteLink>,
}

/// The data for joining.
#[derive(Clone, Debug)]
pub struct Acceptance {
    /// The hash of the presented token.
    pub token: TokenHash,
    /// The id of the new member.
    pub member: MemberId,
    /// The hash of the new password, as a PHC string.
    pub password: String,
    /// The version of the invite that was checked; `None` accepts any.
    pub judged: Option<Version>,
    /// The sender of the invite and the version of the sender's record that was checked; `None` if
    /// the right to invite does not depend on a member.
    pub inviter: Option<(MemberId, Version)>,
}

/// An invite, with its delivery status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InviteView {
    /// The invite.
    pub invite: Invite,
    /// The delivery status of its valid link.
    pub delivery: Delivery,
    /// When a member with this address was last removed from the account.
    pub previously_removed: Option<Timestamp>,
}

/// A filter over the invites of one account.
#[derive(Clone, Debug, Default)]
pub struct InviteFilter {
    /// Part of a name or an address, compared without regard to case and accents.
    pub search: Option<String>,
    /// Only invites with this role.
    pub role: Option<RoleId>,
    /// Only invites in one of these states; all if empty.
    pub states: Vec<InviteState>,
}

/// Counts of the open invites of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenInvites {
    /// Those that can still be accepted.
    pub pending: usize,
    /// Those with a link that was not delivered: the mail failed or bounced.
    pub undelivered: usize,
    /// Those that have expired, and can be resent.
    pub expired: usize,
}

impl OpenInvites {
    /// All that are not over.
    #[must_use]
    pub fn all(&self) -> usize {
        self.pending.saturating_add(self.expired)
    }
}
