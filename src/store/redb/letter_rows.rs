//! Rows of letters: queue, withdraw, delete.
//!
//! Only [`replace`] writes a letter, so that the queue and the counts agree with the letters.

use super::expiry_schedule::{self, OVER_MS, time_after};
use super::row_reads::{Rows, TableRead};
use super::running_change::ChangeTransaction;
use super::tables::{
    LETTER_COUNTS, LETTERS, LETTERS_BY_ACCOUNT, LETTERS_DUE, LETTERS_WAITING, MAIL, MAIL_STOP, META,
};
use super::{StoreError, row_counts};
use crate::domain::{
    AccountSlug, ChangedRecord, Delivery, DeliveryState, Email, MailId, MailKind, MailStop, Member,
    QueuedMail, Timestamp,
};
use crate::store::records::queued_mail::{QueuedMailRecord, decode_mail_stop, encode_mail_stop};
use crate::store::requests_and_views::mail_queue::NewMail;

/// A letter to be.
pub(super) struct MailToQueue {
    pub(super) account: AccountSlug,
    pub(super) kind: MailKind,
    /// The target in the audit log: the id of an invite or of a member.
    pub(super) subject: String,
    pub(super) to: Email,
    pub(super) to_name: String,
    pub(super) new: NewMail,
}

impl MailToQueue {
    /// To a member, about something of their own.
    pub(super) fn to_member(member: &Member, kind: MailKind, new: NewMail) -> Self {
        Self {
            account: member.account.clone(),
            kind,
            subject: member.id.as_str().to_owned(),
            to: member.email.clone(),
            to_name: member.full_name(),
            new,
        }
    }
}

/// Queues a letter, in the transaction that it reports.
pub(super) fn queue(
    change: &mut ChangeTransaction<'_>,
    out: MailToQueue,
) -> Result<MailId, StoreError> {
    let id = next_id(change)?;
    let MailToQueue { account, kind, subject, to, to_name, new } = out;
    let delivery = Delivery { state: DeliveryState::Queued, ..Delivery::default() };
    let letter = QueuedMail {
        id,
        account,
        kind,
        to,
        to_name,
        message_id: new.message_id,
        created: change.now,
        expires: new.expires,
        delivery,
        leased_until: None,
    };
    let key = (letter.account.as_str(), id.0);
    change.tx.open_table(LETTERS_BY_ACCOUNT)?.insert(key, ())?;
    let forgotten = time_after(letter.expires, OVER_MS);
    expiry_schedule::schedule(
        change,
        forgotten,
        expiry_schedule::ExpiringKind::Letter,
        &id.to_string(),
    )?;
    replace(change, None, Some(&QueuedMailRecord { letter, subject, leased_by: None }))?;
    change.tell(ChangedRecord::LetterQueued);
    Ok(id)
}

fn next_id(change: &ChangeTransaction<'_>) -> Result<MailId, StoreError> {
    let mut meta = change.tx.open_table(META)?;
    let next = meta.get("letter")?.map_or(0, |found| found.value()).saturating_add(1);
    meta.insert("letter", next)?;
    Ok(MailId(next))
}

/// Cancels an unsent letter. Also one that is being sent: its result no longer matters.
pub(super) fn cancel_mail(
    change: &ChangeTransaction<'_>,
    letter: Option<MailId>,
) -> Result<(), StoreError> {
    let Some(letter) = letter else { return Ok(()) };
    match read(change.tx, letter)? {
        Some(waiting) if due(&waiting.letter).is_some() => replace(change, Some(&waiting), None),
        _ => Ok(()),
    }
}

/// When a letter needs a sender: when it is due, or its lease ends. `None` once nothing is left to
/// send.
pub(super) fn due(letter: &QueuedMail) -> Option<Timestamp> {
    match letter.delivery.state {
        DeliveryState::Queued => Some(letter.delivery.next_attempt.unwrap_or(letter.created)),
        DeliveryState::Sending => letter.leased_until,
        // Without a next attempt, another mail server is the one that retries.
        DeliveryState::Deferred => letter.delivery.next_attempt,
        _ => None,
    }
}

/// The position of a waiting letter among those of its account.
pub(super) fn waits(letter: &QueuedMail) -> Option<(&str, i64, u64)> {
    due(letter).map(|due| (letter.account.as_str(), due.0, letter.id.0))
}

/// Writes or deletes a letter, with its place in the queue and in the counts.
pub(super) fn replace(
    change: &ChangeTransaction<'_>,
    before: Option<&QueuedMailRecord>,
    after: Option<&QueuedMailRecord>,
) -> Result<(), StoreError> {
    let mut letters = change.tx.open_table(LETTERS)?;
    let mut queue = change.tx.open_table(LETTERS_DUE)?;
    let mut waiting = change.tx.open_table(LETTERS_WAITING)?;
    let count = |letter: &QueuedMail, by: i64| {
        let key = (letter.account.as_str(), letter.delivery.state.as_str());
        row_counts::add_to_counter(change.tx, LETTER_COUNTS, key, by)
    };
    if let Some(QueuedMailRecord { letter, .. }) = before {
        count(letter, -1)?;
        if let Some(key @ (_, due, id)) = waits(letter) {
            queue.remove((due, id))?;
            waiting.remove(key)?;
        }
        if after.is_none() {
            letters.remove(letter.id.0)?;
            let key = (letter.account.as_str(), letter.id.0);
            change.tx.open_table(LETTERS_BY_ACCOUNT)?.remove(key)?;
        }
    }
    if let Some(record) = after {
        count(&record.letter, 1)?;
        if let Some(key @ (_, due, id)) = waits(&record.letter) {
            queue.insert((due, id), ())?;
            waiting.insert(key, ())?;
        }
        letters.insert(record.letter.id.0, record.encode().as_slice())?;
    }
    Ok(())
}

/// Writes down why no mail goes out.
pub(super) fn put_stop(
    change: &mut ChangeTransaction<'_>,
    stop: &MailStop,
) -> Result<(), StoreError> {
    change.tx.open_table(MAIL)?.insert(MAIL_STOP, encode_mail_stop(stop).as_slice())?;
    change.tell(ChangedRecord::Mail(Some(stop.clone())));
    Ok(())
}

/// Lets mail go out again; answers whether it was stopped.
pub(super) fn remove_stop(change: &mut ChangeTransaction<'_>) -> Result<bool, StoreError> {
    let was_stopped = change.tx.open_table(MAIL)?.remove(MAIL_STOP)?;
    if was_stopped {
        change.tell(ChangedRecord::Mail(None));
    }
    Ok(was_stopped)
}

/// A letter.
pub(super) fn read(rows: &impl Rows, id: MailId) -> Result<Option<QueuedMailRecord>, StoreError> {
    rows.record(LETTERS, id.0, |bytes| QueuedMailRecord::decode(id, bytes))
}

/// Why no mail goes out, where that is so.
pub(super) fn read_mail_stop(rows: &impl Rows) -> Result<Option<MailStop>, StoreError> {
    rows.record(MAIL, MAIL_STOP, decode_mail_stop)
}

/// Deletes a letter that ended long ago.
pub(super) fn forget(
    change: &ChangeTransaction<'_>,
    id: &str,
) -> Result<Option<Timestamp>, StoreError> {
    let Ok(id) = id.parse() else { return Ok(None) };
    if let Some(record) = read(change.tx, MailId(id))? {
        replace(change, Some(&record), None)?;
    }
    Ok(None)
}
