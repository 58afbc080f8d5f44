//! Transactions of invites: create, resend, edit, revoke, accept.
//!
//! An invite, the letter with its link and the audit entry are one transaction. Contains no token:
//! callers pass its hash.

use super::letters::NewLetter;
use super::{By, Committed, Page, Store};
use crate::domain::{
    AccountSlug, Delivery, Digest, Email, Failure, Generation, IdempotencyKey, Invite, InviteId,
    InviteState, KeyId, Member, MemberId, Name, RoleId, Timestamp, TokenHash, Version,
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
    pub letter: Option<NewLetter>,
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

impl Store {
    /// How many invites of an account match a filter.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn invites_count(
        &self,
        account: &AccountSlug,
        filter: &InviteFilter,
    ) -> Result<usize, Failure> {
        match self {
            Self::Redb(store) => store.invites_count(account, filter).await,
        }
    }

    /// Counts of the open invites of an account.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn invites_open(&self, account: &AccountSlug) -> Result<OpenInvites, Failure> {
        match self {
            Self::Redb(store) => store.invites_open(account).await,
        }
    }

    /// Creates an invite. A repeated call with the same idempotency key returns the existing one,
    /// with the current revision. An expired invite to the address is ended.
    ///
    /// # Errors
    /// `NotFound` `unknown_account`; `Conflict` `already_member`, `suspended_member`,
    /// `already_invited`, `idempotency_key_reused`, or [`super::by::MOVED_ON`]; `TooMany`
    /// `too_many_invites`; `Busy`, when the disk fails.
    pub async fn invite_create(
        &self,
        by: &By,
        new: NewInvite,
    ) -> Result<Committed<InviteView>, Failure> {
        match self {
            Self::Redb(store) => store.invite_create(by, new).await,
        }
    }

    /// One invite of an account.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn invite(
        &self,
        account: &AccountSlug,
        id: &InviteId,
    ) -> Result<Option<InviteView>, Failure> {
        match self {
            Self::Redb(store) => store.invite(account, id).await,
        }
    }

    /// The invite of a token, and which of its links it is.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn invite_by_token(
        &self,
        token: TokenHash,
    ) -> Result<Option<(Invite, Generation)>, Failure> {
        match self {
            Self::Redb(store) => store.invite_by_token(token).await,
        }
    }

    /// One page of an account's invites, newest first, after the cursor `after`.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn invites(
        &self,
        account: &AccountSlug,
        filter: &InviteFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<InviteView>, Failure> {
        match self {
            Self::Redb(store) => store.invites(account, filter, after, limit).await,
        }
    }

    /// Gives an invite a new link, with a letter: the previous link stops working.
    ///
    /// # Errors
    /// `NotFound` `unknown_invite`; `Stale`; `Conflict` `invite_accepted`, `invite_revoked`,
    /// `already_member`, `already_invited` where somebody else took the address meanwhile, or
    /// [`super::by::MOVED_ON`]; `TooMany` `too_many_invites`; `Busy`, when the disk fails.
    pub async fn invite_renew(
        &self,
        by: &By,
        target: InviteTarget<'_>,
        link: NewInviteLink,
    ) -> Result<Committed<InviteView>, Failure> {
        match self {
            Self::Redb(store) => store.invite_renew(by, target, link).await,
        }
    }

    /// Edits an invite. An edit that changes nothing returns it unchanged.
    ///
    /// # Errors
    /// As [`Self::invite_renew`].
    pub async fn invite_edit(
        &self,
        by: &By,
        target: InviteTarget<'_>,
        edit: InviteEdit,
    ) -> Result<Committed<InviteView>, Failure> {
        match self {
            Self::Redb(store) => store.invite_edit(by, target, edit).await,
        }
    }

    /// Records that the valid link was shown; `renewed` is a new one, if [`Invite::needs_own_link`]
    /// requires it.
    ///
    /// # Errors
    /// As [`Self::invite_renew`].
    pub async fn invite_link_shown(
        &self,
        by: &By,
        target: InviteTarget<'_>,
        renewed: Option<NewInviteLink>,
    ) -> Result<Committed<InviteView>, Failure> {
        match self {
            Self::Redb(store) => store.invite_link_shown(by, target, renewed).await,
        }
    }

    /// Revokes an invite.
    ///
    /// # Errors
    /// `NotFound` `unknown_invite`; `Stale`; `Conflict` `invite_accepted`, `invite_revoked`, or
    /// [`super::by::MOVED_ON`]; `Busy`, when the disk fails.
    pub async fn invite_revoke(
        &self,
        by: &By,
        target: InviteTarget<'_>,
    ) -> Result<Committed<InviteView>, Failure> {
        match self {
            Self::Redb(store) => store.invite_revoke(by, target).await,
        }
    }

    /// Creates the member of an invite, with a password, and ends the invite.
    ///
    /// # Errors
    /// `Gone` as [`Invite::may_be_accepted`] says, or `link_dead`; `Conflict` `already_member`,
    /// or [`super::by::MOVED_ON`]; `Busy`, when the disk fails.
    pub async fn invite_accept(
        &self,
        acceptance: Acceptance,
    ) -> Result<Committed<Member>, Failure> {
        match self {
            Self::Redb(store) => store.invite_accept(acceptance).await,
        }
    }

    /// Records that the holder of a dead link asks for a new one, and queues a letter to the
    /// inviter, if there is one.
    ///
    /// # Errors
    /// `Gone` `link_dead`; `Busy`, when the disk fails.
    pub async fn invite_wanted(
        &self,
        token: TokenHash,
        letter: Option<(Member, NewLetter)>,
    ) -> Result<Committed<()>, Failure> {
        match self {
            Self::Redb(store) => store.invite_wanted(token, letter).await,
        }
    }
}
