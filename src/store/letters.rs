//! Transitions of letters: claimed by one sender at a time, settled, noticed.
//!
//! Letters are queued by the transitions that they tell of, never on their own. Sends nothing.

use std::time::Duration;

use super::{Committed, Page, Store};
use crate::domain::{
    AccountSlug, Actor, DeliveryState, Failure, Handover, Letter, LetterId, MailStop, Notice,
    Timestamp,
};

/// What a transition needs to queue a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLetter {
    /// The `Message-ID` without angle brackets.
    pub message_id: String,
    /// From when on it is not worth sending.
    pub expires: Timestamp,
}

/// How the mail of one account, or of all, stands.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MailStatus {
    /// Why no mail goes out at all.
    pub stopped: Option<MailStop>,
    /// How many letters are in each state; states without a letter are left out.
    pub counts: Vec<(DeliveryState, u64)>,
}

impl Store {
    /// Takes up to `limit` letters that are due, oldest first, for one sender: nobody else gets
    /// them until `lease` is over. None while mail is stopped. Takes no revision, and no audit
    /// entry.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn letters_claim(
        &self,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<Letter>, Failure> {
        match self {
            Self::Redb(store) => store.letters_claim(limit, lease).await,
        }
    }

    /// Ends every lease, for a start: whoever held one has ended. What was on its way is tried
    /// again at once, under the same message id.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn letters_release(&self) -> Result<(), Failure> {
        match self {
            // The file is locked: no other sender can hold a lease.
            Self::Redb(store) => store.letters_release().await,
        }
    }

    /// When the next letter is due, or a lease ends; `None` where nothing waits, or mail is
    /// stopped.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn letter_due(&self) -> Result<Option<Timestamp>, Failure> {
        match self {
            Self::Redb(store) => store.letter_due().await,
        }
    }

    /// One letter.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn letter(&self, id: LetterId) -> Result<Option<Letter>, Failure> {
        match self {
            Self::Redb(store) => store.letter(id).await,
        }
    }

    /// Letters of an account, newest first, after the cursor.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn letters(
        &self,
        account: Option<&AccountSlug>,
        after: Option<LetterId>,
        limit: usize,
    ) -> Result<Page<Letter>, Failure> {
        match self {
            Self::Redb(store) => store.letters(account, after, limit).await,
        }
    }

    /// Writes down how a try ended. `claimed` is the letter as it was claimed: a result that comes
    /// after the lease was lost to somebody else changes nothing. A misconfiguration stops the
    /// whole queue, and costs the letter nothing. What is over has an audit entry.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn letter_settle(
        &self,
        claimed: &Letter,
        handover: Handover,
    ) -> Result<Committed<()>, Failure> {
        match self {
            Self::Redb(store) => store.letter_settle(claimed, handover).await,
        }
    }

    /// Writes down what came back about a letter that was handed over; false where the letter is
    /// not known any more, or says the same already.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn letter_notice(&self, notice: Notice) -> Result<Committed<bool>, Failure> {
        match self {
            Self::Redb(store) => store.letter_notice(notice).await,
        }
    }

    /// How mail stands, for one account or for all.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn mail_status(&self, account: Option<&AccountSlug>) -> Result<MailStatus, Failure> {
        match self {
            Self::Redb(store) => store.mail_status(account).await,
        }
    }

    /// Lets mail go out again, at once; answers whether it was stopped.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn mail_resume(&self, actor: &Actor) -> Result<Committed<bool>, Failure> {
        match self {
            Self::Redb(store) => store.mail_resume(actor).await,
        }
    }
}
