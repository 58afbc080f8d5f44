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
    /// The key that its token was derived with.
    pub key: KeyId,
    /// What it is found by.
    pub token: TokenHash,
    /// From when on it does not open.
    pub expires: Timestamp,
    /// The letter that carries it; `None` where no mail is sent.
    pub letter: Option<NewLetter>,
}

/// What a confirmation of a new address came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmailConfirmed {
    /// The other end has not confirmed yet.
    WaitingFor(EmailEnd),
    /// The member has the new address.
    Changed(Member),
}

/// What the first account is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The account's slug.
    pub slug: AccountSlug,
    /// The account's name for people.
    pub name: String,
    /// Its first member.
    pub member: Member,
    /// The member's password, as a PHC string.
    pub password: String,
}

impl Store {
    /// Makes a link to a new password; the member's older ones die.
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

    /// The link that a token was given out for.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn link_by_token(&self, token: TokenHash) -> Result<Option<Link>, Failure> {
        match self {
            Self::Redb(store) => store.link_by_token(token).await,
        }
    }

    /// Sets a new password by a link, which ends with it, as do all sessions; answers the member
    /// and how many sessions.
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

    /// Begins a change of address: one link to the old one, one to the new. Older ones die.
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

    /// Confirms one end of a change of address; the second one makes the change, and tells the
    /// old address.
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

    /// Makes the first account and its first member.
    ///
    /// # Errors
    /// `Conflict` `set_up_already`, when there is any account; `Busy`, when the disk fails.
    pub async fn set_up(&self, setup: Setup) -> Result<Committed<Member>, Failure> {
        match self {
            Self::Redb(store) => store.set_up(setup).await,
        }
    }
}
