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

impl Store {
    /// How many invites of an account a filter finds.
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

    /// How many invites of an account wait to be accepted.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn invites_open(&self, account: &AccountSlug) -> Result<OpenInvites, Failure> {
        match self {
            Self::Redb(store) => store.invites_open(account).await,
        }
    }

    /// Makes an invite. A repeated call with the same idempotency key answers the invite that
    /// there is, with the revision there was. An expired invite to the address is ended by it.
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

    /// The invite that a token was given out for, and which of its links it is.
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

    /// Gives an invite a new link, and a letter with it: the old link dies.
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

    /// Corrects an invite. One that changes nothing answers it as it is.
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

    /// Notes that somebody was shown the valid link; `renewed` is a new one, where
    /// [`Invite::needs_own_link`] says so.
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

    /// Takes an invite back.
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

    /// Makes the member that an invite is for, with a password, and ends the invite.
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

    /// Notes that the holder of a dead link asks for a new one, and queues a letter to the
    /// inviter, where there is somebody to write to.
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
