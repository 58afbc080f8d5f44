//! Transactions of links to a new password and to a new address, and the set-up of an empty store.
//!
//! A link is looked up by the hash of its token, works once, and ends with its member.

use super::letters::NewLetter;
use super::two_step::StepUp;
use super::{By, Committed, Store, Target};
use crate::domain::{
    AccountSlug, Email, EmailEnd, Failure, KeyId, Link, LinkId, Member, Timestamp, TokenHash,
};

/// A new link.
#[derive(Clone, Debug)]
pub struct NewLink {
    /// A new id.
    pub id: LinkId,
    /// The key from which its token is derived.
    pub key: KeyId,
    /// The hash by which it is found.
    pub token: TokenHash,
    /// When it expires.
    pub expires: Timestamp,
    /// Its letter; `None` if no mail is sent.
    pub letter: Option<NewLetter>,
}

/// The result of confirming an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmailConfirmed {
    /// The other address is not confirmed yet.
    WaitingFor(EmailEnd),
    /// The member has the new address.
    Changed(Member),
}

/// The data of the first account.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The account's slug.
    pub slug: AccountSlug,
    /// The account's display name.
    pub name: String,
    /// Its first member.
    pub member: Member,
    /// The member's password, as a PHC string.
    pub password: String,
}

impl Store {
    /// Creates a link to a new password; the member's older ones stop working.
    ///
    /// # Errors
    /// `NotFound` `unknown_member`; `Conflict` `suspended_member`, or [`super::by::MOVED_ON`];
    /// `Busy`, when the disk fails.
    pub async fn reset_begin(
        &self,
        by: &By,
        target: Target<'_>,
        link: NewLink,
    ) -> Result<Committed<Link>, Failure> {
        match self {
            Self::Redb(store) => store.reset_begin(by, target, link).await,
        }
    }

    /// One link.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn link(&self, id: &LinkId) -> Result<Option<Link>, Failure> {
        match self {
            Self::Redb(store) => store.link(id).await,
        }
    }

    /// The link of a token.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn link_by_token(&self, token: TokenHash) -> Result<Option<Link>, Failure> {
        match self {
            Self::Redb(store) => store.link_by_token(token).await,
        }
    }

    /// Sets a new password with a link, which ends, as do all sessions; returns the member and the
    /// number of sessions.
    ///
    /// # Errors
    /// `Gone` `link_dead`, `link_expired`; `Conflict` `suspended_member`; `Busy`, when the disk
    /// fails.
    pub async fn reset_end(
        &self,
        token: TokenHash,
        password: String,
        letter: Option<NewLetter>,
    ) -> Result<Committed<(Member, u64)>, Failure> {
        match self {
            Self::Redb(store) => store.reset_end(token, password, letter).await,
        }
    }

    /// Begins an address change: one link to the current address, one to the new. Older ones stop
    /// working.
    ///
    /// # Errors
    /// `NotFound` `unknown_member`; `Denied` `wrong_code`, `code_missing`; `Conflict` `already_member`, `already_invited`,
    /// `same_address`; `Busy`, when the disk fails.
    pub async fn email_change_begin(
        &self,
        target: Target<'_>,
        shown: StepUp,
        to: Email,
        [old, new]: [NewLink; 2],
    ) -> Result<Committed<()>, Failure> {
        match self {
            Self::Redb(store) => store.email_change_begin(target, shown, to, [old, new]).await,
        }
    }

    /// Confirms one of the two addresses; the second confirmation makes the change, and notifies
    /// the old address.
    ///
    /// # Errors
    /// `Gone` `link_dead`, `link_expired`; `Conflict` `already_member`, `already_invited` where
    /// somebody took the address meanwhile; `Busy`, when the disk fails.
    pub async fn email_change_confirm(
        &self,
        token: TokenHash,
        letter: Option<NewLetter>,
    ) -> Result<Committed<EmailConfirmed>, Failure> {
        match self {
            Self::Redb(store) => store.email_change_confirm(token, letter).await,
        }
    }

    /// Creates the first account and its first member.
    ///
    /// # Errors
    /// `Conflict` `set_up_already`, when there is any account; `Busy`, when the disk fails.
    pub async fn set_up(&self, setup: Setup) -> Result<Committed<Member>, Failure> {
        match self {
            Self::Redb(store) => store.set_up(setup).await,
        }
    }
}
