//! Transactions of letters: claimed by one sender at a time, completed, and updated by bounces.
//!
//! A letter is queued in the transaction that it reports, never on its own. Sends nothing.

use std::time::Duration;

use super::{Committed, Page, Store};
use crate::domain::{
    AccountSlug, Actor, DeliveryState, Failure, Handover, Letter, LetterId, MailStop, Notice,
    Timestamp, limits,
};

/// The data with which a transaction queues a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLetter {
    /// The `Message-ID` without angle brackets.
    pub message_id: String,
    /// After this it is not worth sending.
    pub expires: Timestamp,
}

/// The status of mail, of one account or of all.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MailStatus {
    /// Why mail is stopped.
    pub stopped: Option<MailStop>,
    /// The number of letters in each state; states without one are left out.
    pub counts: Vec<(DeliveryState, u64)>,
    /// The oldest letter that is still to be sent.
    pub oldest: Option<Waiting>,
    /// When a letter was last accepted by the mail server: of the account, or of any.
    pub taken: Option<Timestamp>,
}

/// A letter that is still to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// When it was queued.
    pub since: Timestamp,
    /// The result of its last attempt, in plain words; empty before the first.
    pub detail: String,
}

/// Whether letters are sent as they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// They are.
    Well,
    /// One has waited longer than usual, or the first attempt of one failed and none was sent
    /// since.
    Slow,
    /// One has waited for long, and none was sent since it was queued.
    Stuck,
}

impl MailStatus {
    /// The number of letters in these states.
    #[must_use]
    pub fn count(&self, states: &[DeliveryState]) -> u64 {
        let counts = self.counts.iter().filter(|(state, _)| states.contains(state));
        counts.map(|(_, count)| count).sum()
    }

    /// The flow. A single deferred letter, as with greylisting, is no problem while others are
    /// sent: others of the account, if this is about one.
    #[must_use]
    pub fn flow(&self, now: Timestamp) -> Flow {
        let Some(oldest) = &self.oldest else { return Flow::Well };
        let age = u64::try_from(now.0.saturating_sub(oldest.since.0)).unwrap_or(0);
        let age = Duration::from_millis(age);
        let none_since = self.taken.is_none_or(|taken| taken < oldest.since);
        let tried = !oldest.detail.is_empty();
        match none_since {
            true if age >= limits::MAIL_STUCK_AFTER => Flow::Stuck,
            true if tried || age >= limits::MAIL_SLOW_AFTER => Flow::Slow,
            false if age >= limits::MAIL_PUT_OFF_MAX => Flow::Slow,
            _ => Flow::Well,
        }
    }
}

impl Store {
    /// Leases up to `limit` due letters, oldest first, to one sender: nobody else gets them until
    /// `lease` is over. None while mail is stopped. No revision, and no audit entry.
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

    /// Ends every lease, at a start: their holders no longer exist. What was being sent is tried
    /// again immediately, under the same message id.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn letters_release(&self) -> Result<(), Failure> {
        match self {
            // The file is locked: no other sender can hold a lease.
            Self::Redb(store) => store.letters_release().await,
        }
    }

    /// When the next letter is due, or a lease ends; `None` if nothing waits, or mail is stopped.
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

    /// Saves the result of an attempt. `claimed` is the letter as it was leased: a result after the
    /// lease was lost changes nothing. A misconfiguration stops the whole queue, and uses up no
    /// attempt of the letter. Final results have an audit entry.
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

    /// Saves a bounce of a sent letter; false if the letter no longer exists, or the bounce has no
    /// news.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn letter_notice(&self, notice: Notice) -> Result<Committed<bool>, Failure> {
        match self {
            Self::Redb(store) => store.letter_notice(notice).await,
        }
    }

    /// The status of mail, of one account or of all.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn mail_status(&self, account: Option<&AccountSlug>) -> Result<MailStatus, Failure> {
        match self {
            Self::Redb(store) => store.mail_status(account).await,
        }
    }

    /// The status of mail of each account with waiting letters, without counts: letters of other
    /// accounts say nothing about it.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn mail_waiting(&self) -> Result<Vec<MailStatus>, Failure> {
        match self {
            Self::Redb(store) => store.mail_waiting().await,
        }
    }

    /// Resumes mail, immediately; returns whether it was stopped.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn mail_resume(&self, actor: &Actor) -> Result<Committed<bool>, Failure> {
        match self {
            Self::Redb(store) => store.mail_resume(actor).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_is_stuck_where_nothing_goes_out_and_slow_where_one_waits() {
        let minutes = |minutes: i64| Timestamp(minutes * 60_000);
        let flow = |since: i64, detail: &str, taken: Option<i64>, now: i64| {
            let oldest = Some(Waiting { since: minutes(since), detail: detail.to_owned() });
            let status = MailStatus { oldest, taken: taken.map(minutes), ..MailStatus::default() };
            status.flow(minutes(now))
        };
        let away = "the mail server could not be reached";
        assert_eq!(MailStatus::default().flow(minutes(9)), Flow::Well);
        assert_eq!(flow(10, "", None, 11), Flow::Well, "its turn has not come");
        assert_eq!(flow(10, away, None, 10), Flow::Slow, "tried in vain");
        assert_eq!(flow(10, away, Some(9), 10), Flow::Slow);
        assert_eq!(flow(10, away, Some(11), 12), Flow::Well, "others go out");
        assert_eq!(flow(10, "", Some(9), 16), Flow::Slow, "nobody takes it");
        for detail in ["", away] {
            assert_eq!(flow(10, detail, Some(9), 25), Flow::Stuck);
            assert_eq!(flow(10, detail, None, 25), Flow::Stuck);
        }
        assert_eq!(flow(10, away, Some(60), 69), Flow::Well);
        assert_eq!(flow(10, away, Some(60), 70), Flow::Slow, "one is put off for an hour");
        assert_eq!(flow(10, away, None, 9), Flow::Slow, "whatever the clock did");
    }
}
