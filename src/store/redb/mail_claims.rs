//! Letters on their way out: leased to a sender, settled by the result of the attempt.
//!
//! Sends nothing. A letter is queued in the transition that it reports, never on its own.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use super::expiry_schedule::time_after;
use super::row_reads::TableRead;
use super::running_change::{ChangeTransaction, TransactionEnd};
use super::tables::{LETTERS_DUE, LETTERS_WAITING, MAIL};
use super::{Store, StoreError, letter_rows};
use crate::domain::{
    Actor, AuditEvent, DeliveryState, Failure, FieldChange, MailId, MailStop, QueuedMail,
    SendOutcome, Timestamp,
};
use crate::store::Committed;
use crate::store::records::queued_mail::{QueuedMailRecord, encode_moment};
use crate::store::shared_log::NodeId;

/// When a letter was last accepted; with an account in the key, one of the account.
pub(super) const TAKEN: &str = "taken";
/// How far a letter is moved back after a fault of the configuration.
const STEP_BACK_MS: i64 = 60_000;
/// The target of entries about mail as a whole.
pub(super) const ALL_MAIL: &str = "mail";
/// After how many leases an overdue lease of another node is forgotten: it has ended long ago.
const OVERDUE_KEPT: i64 = 8;

/// What the sender of this process keeps in mind from one claim to the next.
#[derive(Clone, Debug, Default)]
pub(super) struct Claimant {
    /// The account of the last leased letter: the next one's turn is next.
    served: String,
    /// Leases of other nodes whose end has passed, and when this node met them first, by its own
    /// clock.
    overdue: HashMap<(MailId, Option<Timestamp>), Timestamp>,
}

impl Claimant {
    /// Whether a letter that is due may be leased by this node. Another node's clock
    /// may be wrong: its ended lease is taken over only after this node has watched it for one whole lease.
    fn may_take(&mut self, record: &QueuedMailRecord, by: &LeaseTerms) -> bool {
        let QueuedMailRecord { letter, leased_by, .. } = record;
        if letter.delivery.state != DeliveryState::Sending || *leased_by == by.node {
            return true;
        }
        let seen = self.overdue.entry((letter.id, letter.leased_until)).or_insert(by.own_now);
        by.own_now >= time_after(*seen, by.lease_ms)
    }

    /// Forgets leases that have ended long ago.
    fn forget(&mut self, by: &LeaseTerms) {
        let kept_ms = by.lease_ms.saturating_mul(OVERDUE_KEPT);
        self.overdue.retain(|_, seen| by.own_now < time_after(*seen, kept_ms));
    }
}

/// Who leases letters, and for how long.
#[derive(Clone, Debug)]
struct LeaseTerms {
    /// `None` without a fleet.
    node: Option<NodeId>,
    /// The time by the clock of this node, which a change may be ahead of.
    own_now: Timestamp,
    lease_ms: i64,
}

impl Store {
    /// When the next letter is due, or a lease ends; `None` if nothing waits, or mail is stopped.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn letter_due(&self) -> Result<Option<Timestamp>, Failure> {
        self.read(|tx| {
            if letter_rows::read_mail_stop(tx)?.is_some() {
                return Ok(None);
            }
            let queue = tx.open_table(LETTERS_DUE)?;
            let first = queue.first()?;
            Ok(first.map(|(key, _)| Timestamp(key.value().0)))
        })
        .await
    }

    /// Leases up to `limit` due letters, oldest first, to one sender: nobody else gets them until
    /// `lease` is over, and another node of a fleet only after it has seen that for as long again.
    /// None while mail is stopped. No revision, and no audit entry.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn letters_claim(
        &self,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<QueuedMail>, Failure> {
        let lease_ms = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        let by = LeaseTerms { node: self.own_node(), own_now: self.0.clock.now(), lease_ms };
        let mut claimant = self.claimant().clone();
        claimant.forget(&by);
        let Committed { value: (claimed, claimant), .. } =
            self.write(&Actor::System, move |change| claim(change, limit, &by, claimant)).await?;
        // Only now: an account whose letter was not leased after all keeps its turn.
        *self.claimant() = claimant;
        Ok(claimed)
    }

    fn claimant(&self) -> MutexGuard<'_, Claimant> {
        self.0.claimant.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node that leases are of; `None` without a fleet.
    fn own_node(&self) -> Option<NodeId> {
        self.0.log.get().map(|link| link.node)
    }
}

/// The most expired letters that one transaction gives up, beside those that it leases.
const GIVEN_UP_MAX: usize = 1_000;

/// Leases due letters, with accounts taking turns: the many letters of one do not delay another. An
/// expired letter is given up. What the claimant has to keep in mind is returned.
fn claim(
    change: &mut ChangeTransaction<'_>,
    limit: usize,
    by: &LeaseTerms,
    mut claimant: Claimant,
) -> Result<TransactionEnd<(Vec<QueuedMail>, Claimant)>, StoreError> {
    if letter_rows::read_mail_stop(change.tx)?.is_some() {
        return Ok(TransactionEnd::AsItWas((Vec::new(), claimant)));
    }
    let (mut claimed, mut given_up) = (Vec::new(), 0);
    while claimed.len() < limit && given_up < GIVEN_UP_MAX {
        let Some(before) = next_due(change, by, &mut claimant)? else { break };
        if change.now >= before.letter.expires {
            let detail = "its link expired before the mail server accepted it".to_owned();
            let failed = over(&before, DeliveryState::Failed, detail);
            letter_rows::replace(change, Some(&before), Some(&failed))?;
            audit(change, AuditEvent::MailFailed, &failed)?;
            given_up += 1;
            continue;
        }
        let mut sending = before.clone();
        sending.letter.leased_until = Some(time_after(change.now, by.lease_ms));
        sending.leased_by = by.node;
        let delivery = &mut sending.letter.delivery;
        delivery.state = DeliveryState::Sending;
        delivery.attempts = delivery.attempts.saturating_add(1);
        delivery.last_attempt = Some(change.now);
        delivery.next_attempt = None;
        letter_rows::replace(change, Some(&before), Some(&sending))?;
        claimed.push(sending.letter);
    }
    let nothing = claimed.is_empty();
    let claimed = (claimed, claimant);
    Ok(match (given_up > 0, nothing) {
        (true, _) => TransactionEnd::Changed(claimed),
        (false, false) => TransactionEnd::Quietly(claimed),
        (false, true) => TransactionEnd::AsItWas(claimed),
    })
}

/// The letter that is due the longest, of the account whose turn it is: the first one with a due
/// letter after the last served, cyclically. Letters that another node may be sending are passed over.
fn next_due(
    change: &ChangeTransaction<'_>,
    by: &LeaseTerms,
    claimant: &mut Claimant,
) -> Result<Option<QueuedMailRecord>, StoreError> {
    let waiting = change.tx.open_table(LETTERS_WAITING)?;
    for round_again in [false, true] {
        let mut account = if round_again { None } else { Some(claimant.served.clone()) };
        loop {
            let begin = account.as_deref().map_or(Bound::Unbounded, |account| {
                // No later letter of the account is read.
                Bound::Excluded((account, i64::MAX, u64::MAX))
            });
            let mut without_more = None;
            for row in waiting.range((begin, Bound::Unbounded))? {
                let (key, _) = row?;
                let (of, due, id) = key.value();
                if due > change.now.0 {
                    without_more = Some(of.to_owned());
                    break;
                }
                let Some(record) = letter_rows::read(change.tx, MailId(id))? else { continue };
                if claimant.may_take(&record, by) {
                    of.clone_into(&mut claimant.served);
                    return Ok(Some(record));
                }
            }
            let Some(of) = without_more else { break };
            account = Some(of);
        }
    }
    Ok(None)
}

impl Store {
    /// Ends every lease of this node, at a start: their holder no longer exists. What was being sent
    /// is tried again immediately, under the same message id. A lease of another node of the fleet
    /// ends by its time.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn letters_release(&self) -> Result<(), Failure> {
        // The file is locked: no other process of this node can hold a lease.
        let node = self.own_node();
        self.write(&Actor::System, move |change| {
            let mut released = false;
            for id in all_waiting(change)? {
                let Some(before) = letter_rows::read(change.tx, id)? else { continue };
                let is_own = before.leased_by == node;
                if is_own && before.letter.delivery.state == DeliveryState::Sending {
                    let detail = before.letter.delivery.detail.clone();
                    let queued = over(&before, DeliveryState::Queued, detail);
                    letter_rows::replace(change, Some(&before), Some(&queued))?;
                    released = true;
                }
            }
            Ok(if released { TransactionEnd::Quietly(()) } else { TransactionEnd::AsItWas(()) })
        })
        .await
        .map(|released| released.value)
    }

    /// Saves the result of an attempt. `claimed` is the letter as it was leased: a result after the
    /// lease was lost changes nothing. A misconfiguration stops the whole queue, and uses up no
    /// attempt of the letter. Final results have an audit entry.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn letter_settle(
        &self,
        claimed: &QueuedMail,
        handover: SendOutcome,
    ) -> Result<Committed<()>, Failure> {
        let (claimed, node) = (claimed.clone(), self.own_node());
        self.write(&Actor::System, move |change| {
            let held = letter_rows::read(change.tx, claimed.id)?.filter(|record| {
                record.letter.delivery.state == DeliveryState::Sending
                    && record.leased_by == node
                    && record.letter.delivery.attempts == claimed.delivery.attempts
                    && record.letter.leased_until == claimed.leased_until
            });
            match held {
                Some(before) => settle(change, &before, handover),
                None => Ok(TransactionEnd::AsItWas(())),
            }
        })
        .await
    }
}

fn all_waiting(change: &ChangeTransaction<'_>) -> Result<Vec<MailId>, StoreError> {
    let queue = change.tx.open_table(LETTERS_DUE)?;
    queue.iter()?.map(|row| Ok(MailId(row?.0.value().1))).collect()
}

/// Saves the result of an attempt by the holder of the lease.
fn settle(
    change: &mut ChangeTransaction<'_>,
    before: &QueuedMailRecord,
    handover: SendOutcome,
) -> Result<TransactionEnd<()>, StoreError> {
    let (settled, event) = match handover {
        SendOutcome::Taken { detail } => {
            let (mut mail, now) = (change.tx.open_table(MAIL)?, encode_moment(change.now));
            mail.insert(TAKEN, now.as_slice())?;
            mail.insert(taken_key(before.letter.account.as_str()).as_str(), now.as_slice())?;
            drop(mail);
            (over(before, DeliveryState::HandedOver, detail), AuditEvent::MailHandedOver)
        }
        SendOutcome::Refused { detail } => {
            (over(before, DeliveryState::Failed, detail), AuditEvent::MailFailed)
        }
        SendOutcome::Later { detail, at } => {
            let mut deferred = over(before, DeliveryState::Deferred, detail);
            deferred.letter.delivery.next_attempt = Some(at);
            letter_rows::replace(change, Some(before), Some(&deferred))?;
            return Ok(TransactionEnd::Quietly(()));
        }
        SendOutcome::Void => {
            letter_rows::replace(change, Some(before), None)?;
            return Ok(TransactionEnd::Quietly(()));
        }
        SendOutcome::Misconfigured { detail } => return stop_all(change, before, detail, &[]),
        SendOutcome::SenderRefused { detail, others } => {
            let failed = put_back(change, &others, &detail)?;
            return stop_all(change, before, detail, &failed);
        }
    };
    letter_rows::replace(change, Some(before), Some(&settled))?;
    audit(change, event, &settled)?;
    Ok(TransactionEnd::Changed(()))
}

/// Queues a letter as before the attempt, and stops mail until the cause is fixed.
fn stop_all(
    change: &mut ChangeTransaction<'_>,
    before: &QueuedMailRecord,
    cause: String,
    others: &[MailId],
) -> Result<TransactionEnd<()>, StoreError> {
    queue_again(change, before, &cause)?;
    if letter_rows::read_mail_stop(change.tx)?.is_some() {
        return Ok(TransactionEnd::Quietly(()));
    }
    let stop = MailStop { cause, since: change.now };
    letter_rows::put_stop(change, &stop)?;
    let mut fields = vec![FieldChange::added("cause", stop.cause.as_str())];
    if !others.is_empty() {
        let others: Vec<String> = others.iter().map(ToString::to_string).collect();
        fields.push(FieldChange::added("queued_again", others.join(", ")));
    }
    change.audit("", AuditEvent::MailStopped, ALL_MAIL, fields)?;
    Ok(TransactionEnd::Changed(()))
}

/// Queues letters again that failed by a fault of the configuration; returns which.
fn put_back(
    change: &mut ChangeTransaction<'_>,
    letters: &[MailId],
    cause: &str,
) -> Result<Vec<MailId>, StoreError> {
    let mut queued = Vec::new();
    for id in letters {
        let Some(failed) = letter_rows::read(change.tx, *id)? else { continue };
        // What has bounced or was cancelled meanwhile stays so.
        if failed.letter.delivery.state == DeliveryState::Failed {
            queue_again(change, &failed, cause)?;
            queued.push(*id);
        }
    }
    Ok(queued)
}

/// Queues a letter as before the attempt.
fn queue_again(
    change: &mut ChangeTransaction<'_>,
    before: &QueuedMailRecord,
    cause: &str,
) -> Result<(), StoreError> {
    let mut queued = over(before, DeliveryState::Queued, cause.to_owned());
    let delivery = &mut queued.letter.delivery;
    delivery.attempts = delivery.attempts.saturating_sub(1);
    // After the others: if the letter itself is at fault, it must not be the first to stop mail
    // again.
    delivery.next_attempt = Some(time_after(change.now, STEP_BACK_MS));
    letter_rows::replace(change, Some(before), Some(&queued))
}

/// A letter after an attempt: in this state, without a lease or a next attempt.
pub(super) fn over(
    before: &QueuedMailRecord,
    state: DeliveryState,
    detail: String,
) -> QueuedMailRecord {
    let mut record = before.clone();
    record.letter.leased_until = None;
    record.leased_by = None;
    let delivery = &mut record.letter.delivery;
    delivery.state = state;
    delivery.detail = detail;
    delivery.next_attempt = None;
    record
}

/// A slug contains no space.
pub(super) fn taken_key(account: &str) -> String {
    format!("{TAKEN} {account}")
}

pub(super) fn audit(
    change: &ChangeTransaction<'_>,
    event: AuditEvent,
    record: &QueuedMailRecord,
) -> Result<(), StoreError> {
    let letter = &record.letter;
    let fields = vec![
        FieldChange::added("letter", letter.id.to_string()),
        FieldChange::added("kind", letter.kind.as_str()),
        FieldChange::added("to", letter.to.as_str()),
        FieldChange::added("detail", letter.delivery.detail.as_str()),
    ];
    change.audit(letter.account.as_str(), event, &record.subject, fields)
}
