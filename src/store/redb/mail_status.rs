//! The status of mail: queued letters, bounces, and why sending stopped; notes refusals of letters and
//! resumes sending.

use std::ops::Bound;

use redb::{ReadTransaction, ReadableTable};

use super::row_reads::Rows;
use super::running_change::TransactionEnd;
use super::tables::{
    LETTER_COUNTS, LETTERS, LETTERS_BY_ACCOUNT, LETTERS_DUE, LETTERS_WAITING, MAIL,
};
use super::{Store, StoreError, letter_rows, mail_claims};
use crate::domain::{
    AccountSlug, Actor, AuditEvent, DeliveryNotice, DeliveryState, Failure, MailId, QueuedMail,
    Timestamp, limits,
};
use crate::store::records::queued_mail::{QueuedMailRecord, decode_moment};
use crate::store::requests_and_views::mail_queue::{MailStatus, WaitingMail};
use crate::store::{Committed, Page};

impl Store {
    /// One letter.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn letter(&self, id: MailId) -> Result<Option<QueuedMail>, Failure> {
        self.read(move |tx| Ok(letter_rows::read(tx, id)?.map(|record| record.letter))).await
    }

    /// Letters of an account, newest first, after the cursor.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn letters(
        &self,
        account: Option<&AccountSlug>,
        after: Option<MailId>,
        limit: usize,
    ) -> Result<Page<QueuedMail>, Failure> {
        let (account, end) = (account.cloned(), after.map_or(u64::MAX, |after| after.0));
        self.read(move |tx| {
            let mut page = Page { items: Vec::new(), next: None };
            for id in newest(tx, account.as_ref(), end, limit.saturating_add(1))? {
                let Some(record) = letter_rows::read(tx, id)? else { continue };
                if page.items.len() == limit {
                    page.next = page.items.last().map(|last: &QueuedMail| last.id.to_string());
                    break;
                }
                page.items.push(record.letter);
            }
            Ok(page)
        })
        .await
    }

    /// Saves a bounce of a sent letter; false if the letter no longer exists, or the bounce has no
    /// news.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn letter_notice(&self, notice: DeliveryNotice) -> Result<Committed<bool>, Failure> {
        self.write(&Actor::System, move |change| {
            let Some(before) = letter_rows::read(change.tx, notice.letter)? else {
                return Ok(TransactionEnd::AsItWas(false));
            };
            let delivery = &before.letter.delivery;
            let is_news = (delivery.state, &delivery.detail) != (notice.state, &notice.detail);
            if !is_news || !may_be_told(&before.letter, notice.state) {
                return Ok(TransactionEnd::AsItWas(false));
            }
            let event = match notice.state {
                DeliveryState::Bounced => Some(AuditEvent::MailBounced),
                DeliveryState::Delivered => Some(AuditEvent::MailDelivered),
                _ => None,
            };
            let DeliveryNotice { state, detail, .. } = notice;
            let told = mail_claims::over(&before, state, detail);
            letter_rows::replace(change, Some(&before), Some(&told))?;
            Ok(match event {
                Some(event) => {
                    mail_claims::audit(change, event, &told)?;
                    TransactionEnd::Changed(true)
                }
                None => TransactionEnd::Quietly(true),
            })
        })
        .await
    }

    /// The status of mail, of one account or of all.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn mail_status(&self, account: Option<&AccountSlug>) -> Result<MailStatus, Failure> {
        let account = account.cloned();
        self.read(move |tx| {
            let table = tx.open_table(LETTER_COUNTS)?;
            let mut sums = DeliveryState::ALL.map(|state| (state, 0));
            for row in table.range((account.as_ref().map_or("", AccountSlug::as_str), "")..)? {
                let (key, count) = row?;
                let (of, state) = key.value();
                if account.as_ref().is_some_and(|account| account.as_str() != of) {
                    break;
                }
                if let Some(sum) = sums.iter_mut().find(|(known, _)| known.as_str() == state) {
                    sum.1 += count.value();
                }
            }
            let counts = sums.into_iter().filter(|(_, count)| *count > 0).collect();
            let mut status = MailStatus {
                stopped: letter_rows::read_mail_stop(tx)?,
                counts,
                ..MailStatus::default()
            };
            status.taken = match &account {
                Some(account) => taken_of(tx, account.as_str())?,
                None => tx.record(MAIL, mail_claims::TAKEN, decode_moment)?,
            };
            let waits = DeliveryState::ALL.map(|state| (!state.is_over()).then_some(state));
            let waits: Vec<_> = waits.into_iter().flatten().collect();
            if status.count(&waits) > 0 {
                status.oldest = match &account {
                    Some(account) => oldest_of(tx, account.as_str())?,
                    None => oldest(tx)?,
                };
            }
            Ok(status)
        })
        .await
    }

    /// The status of mail of each account with waiting letters, without counts: letters of other
    /// accounts say nothing about it.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn mail_waiting(&self) -> Result<Vec<MailStatus>, Failure> {
        self.read(|tx| {
            let waiting = tx.open_table(LETTERS_WAITING)?;
            let (mut found, mut account) = (Vec::new(), None::<String>);
            loop {
                let begin = account.as_deref().map_or(Bound::Unbounded, |account| {
                    // No later letter of the account is read.
                    Bound::Excluded((account, i64::MAX, u64::MAX))
                });
                let Some(row) = waiting.range((begin, Bound::Unbounded))?.next() else {
                    return Ok(found);
                };
                let of = row?.0.value().0.to_owned();
                let (oldest, taken) = (oldest_of(tx, &of)?, taken_of(tx, &of)?);
                found.push(MailStatus { oldest, taken, ..MailStatus::default() });
                account = Some(of);
            }
        })
        .await
    }

    /// Resumes mail, immediately; returns whether it was stopped.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn mail_resume(&self, actor: &Actor) -> Result<Committed<bool>, Failure> {
        self.write(actor, |change| {
            if !letter_rows::remove_stop(change)? {
                return Ok(TransactionEnd::AsItWas(false));
            }
            change.audit("", AuditEvent::MailResumed, mail_claims::ALL_MAIL, Vec::new())?;
            Ok(TransactionEnd::Changed(true))
        })
        .await
    }
}

/// When a letter of an account was last accepted.
fn taken_of(tx: &ReadTransaction, account: &str) -> Result<Option<Timestamp>, StoreError> {
    tx.record(MAIL, mail_claims::taken_key(account).as_str(), decode_moment)
}

/// The oldest waiting letter of all.
fn oldest(tx: &ReadTransaction) -> Result<Option<WaitingMail>, StoreError> {
    let queue = tx.open_table(LETTERS_DUE)?;
    let keys = queue.iter()?.take(limits::MAIL_WAITING_LOOKED_AT);
    let ids = keys.map(|row| Ok(row?.0.value().1)).collect::<Result<Vec<u64>, StoreError>>()?;
    first_queued(tx, &ids)
}

/// The same of one account.
fn oldest_of(tx: &ReadTransaction, account: &str) -> Result<Option<WaitingMail>, StoreError> {
    let waiting = tx.open_table(LETTERS_WAITING)?;
    let all = (account, i64::MIN, 0)..=(account, i64::MAX, u64::MAX);
    let keys = waiting.range(all)?.take(limits::MAIL_WAITING_LOOKED_AT);
    let ids = keys.map(|row| Ok(row?.0.value().2)).collect::<Result<Vec<u64>, StoreError>>()?;
    first_queued(tx, &ids)
}

/// Ids are in the order of the queue.
fn first_queued(tx: &ReadTransaction, ids: &[u64]) -> Result<Option<WaitingMail>, StoreError> {
    let Some(first) = ids.iter().min() else { return Ok(None) };
    Ok(letter_rows::read(tx, MailId(*first))?.map(|QueuedMailRecord { letter, .. }| WaitingMail {
        since: letter.created,
        detail: letter.delivery.detail,
    }))
}

/// Whether a bounce can be about a letter: one that was tried at least once, since a crash may have
/// come between the mail server's acceptance and its recording. That delivery is delayed, or that
/// another server accepted it, is ignored for a letter that is still to be sent, was delivered or
/// bounced.
///
/// Delivery and bounce are each recorded once, and a bounce is final: the recipient of a letter
/// knows its return path, and must not be able to fill the log.
fn may_be_told(letter: &QueuedMail, state: DeliveryState) -> bool {
    let is_out = letter_rows::due(letter).is_none() && letter.delivery.attempts > 0;
    match state {
        DeliveryState::Deferred | DeliveryState::HandedOver => {
            is_out
                && matches!(
                    letter.delivery.state,
                    DeliveryState::HandedOver | DeliveryState::Deferred
                )
        }
        DeliveryState::Delivered => {
            letter.delivery.attempts > 0
                && !matches!(
                    letter.delivery.state,
                    DeliveryState::Delivered | DeliveryState::Bounced
                )
        }
        DeliveryState::Bounced => {
            letter.delivery.attempts > 0 && letter.delivery.state != DeliveryState::Bounced
        }
        _ => false,
    }
}

/// Letters before `end`, newest first.
fn newest(
    tx: &ReadTransaction,
    account: Option<&AccountSlug>,
    end: u64,
    limit: usize,
) -> Result<Vec<MailId>, StoreError> {
    match account {
        Some(account) => {
            let index = tx.open_table(LETTERS_BY_ACCOUNT)?;
            let range = index.range((account.as_str(), 0)..(account.as_str(), end))?;
            range.rev().take(limit).map(|row| Ok(MailId(row?.0.value().1))).collect()
        }
        None => {
            let letters = tx.open_table(LETTERS)?;
            let range = letters.range(..end)?;
            range.rev().take(limit).map(|row| Ok(MailId(row?.0.value()))).collect()
        }
    }
}
