//! Requests to create, resend, edit and accept invites, and views of them.
//!
//! An invite, the letter with its link and the audit entry are one transaction. Contains no token:
//! callers pass its hash.

use super::letters::NewLetter;
use crate::domain::{
    AccountSlug, Delivery, Digest, Email, Generation, IdempotencyKey, Invite, InviteId,
    InviteState, KeyId, MemberId, Name, RoleId, Timestamp, TokenHash, Version,
};

/// What a new invite is made of. Its link is of [`Generation::FIRST`].
#[derive(Clone, Debug)]
pub struct NewInvite {
    /// A new id.
    pub id: InviteId,
    /// The account.
    pub account: AccountSlug,
    /// Where the link goes.
    pub email: Email,
    /// Given name.
    pub first_name: Name,
    /// Family name.
    pub last_name: Name,
    /// The role that it gives.
    pub role: RoleId,
    /// Its first link.
    pub link: NewInviteLink,
    /// Makes a repeated call answer the invite of the first one.
    pub idempotency: Option<Idempotency>,
}

/// A new link of an invite.
#[derive(Clone, Debug)]
pub struct NewInviteLink {
    /// The generation that the token was derived for: the one after the invite's own.
    pub generation: Generation,
    /// The key that it was derived with.
    pub key: KeyId,
    /// What it is found by.
    pub token: TokenHash,
    /// From when on it cannot be accepted.
    pub expires: Timestamp,
    /// The letter that carries it; `None` where no mail is sent.
    pub letter: Option<NewLetter>,
}

/// What tells a repeated call from another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The caller's own, so that no other caller can guess at it.
    pub key: IdempotencyKey,
    /// The digest of the call.
    pub request: Digest,
}

/// Which invite, and in which version the caller saw it.
#[derive(Clone, Copy, Debug)]
pub struct InviteTarget<'a> {
    /// The account the caller speaks for: an invite of another one is `NotFound`.
    pub account: &'a AccountSlug,
    /// The invite.
    pub id: &'a InviteId,
    /// `If-Match`: `Stale` if the record has moved on. `None` takes it as it is.
    pub expected: Option<Version>,
}

/// What a correction changes; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct InviteEdit {
    /// Given name.
    pub first_name: Option<Name>,
    /// Family name.
    pub last_name: Option<Name>,
    /// The role.
    pub role: Option<RoleId>,
    /// Another address: the old link dies.
    pub email: Option<Email>,
    /// The link to give, where the address changes, or the role does by another than who sent the
    /// invite; left alone elsewhere.
    pub link: Option<NewInviteLink>,
}

/// What joining needs.
#[derive(Clone, Debug)]
pub struct Acceptance {
    /// The hash of the token that was brought.
    pub token: TokenHash,
    /// The id of the member to be.
    pub member: MemberId,
    /// The hash of the chosen password, as a PHC string.
    pub password: String,
    /// The version of the invite that was judged; `None` takes it as it is.
    pub judged: Option<Version>,
    /// Who sent the invite and in which version this one's right was judged; `None` where the
    /// right to invite rests on no member.
    pub inviter: Option<(MemberId, Version)>,
}

/// An invite, and how far its mail got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InviteView {
    /// The invite.
    pub invite: Invite,
    /// The delivery of its valid link.
    pub delivery: Delivery,
    /// When a member with this address was removed from the account last.
    pub previously_removed: Option<Timestamp>,
}

/// A filter over the invites of one account.
#[derive(Clone, Debug, Default)]
pub struct InviteFilter {
    /// Part of a name or an address, compared without regard to case and accents.
    pub search: Option<String>,
    /// Only invites that give this role.
    pub role: Option<RoleId>,
    /// Only invites in one of these states; all of them where none is named.
    pub states: Vec<InviteState>,
}

/// How many invites of an account wait to be accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenInvites {
    /// Those that may still be accepted.
    pub pending: usize,
    /// How many of them have a link that did not arrive: the mail failed, or came back.
    pub undelivered: usize,
    /// Those that have expired, and can be sent again.
    pub expired: usize,
}

impl OpenInvites {
    /// All that are not over.
    #[must_use]
    pub fn all(&self) -> usize {
        self.pending.saturating_add(self.expired)
    }
}
