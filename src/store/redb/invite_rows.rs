//! Rows of invites: read, change, end, delete.
//!
//! An invite that ends withdraws its letters that were not sent yet.

use std::collections::BTreeSet;

use super::address_index::{self, Addresses};
use super::expiry_schedule::{OVER_MS, time_after};
use super::row_reads::{Rows, TableRead};
use super::running_change::ChangeTransaction;
use super::tables::{
    INVITE_LINKS, INVITE_TOKENS, INVITES, INVITES_BY_ACCOUNT, INVITES_BY_INVITER, REMOVED,
};
use super::{StoreError, letter_rows};
use crate::domain::{
    AuditEvent, FieldChange, Generation, Invite, InviteOutcome, InviteState, MemberId, RoleId,
    Timestamp, TokenHash,
};
use crate::store::records::invites::{InviteRecord, InviteTokenRecord};
use crate::store::requests_and_views::invites::InviteView;

pub(super) fn put(change: &ChangeTransaction<'_>, record: &InviteRecord) -> Result<(), StoreError> {
    let id = record.invite.id.as_str();
    change.tx.open_table(INVITES)?.insert(id, record.encode().as_slice())?;
    Ok(())
}

/// Writes a changed invite with its next version.
pub(super) fn put_changed(
    change: &ChangeTransaction<'_>,
    mut record: InviteRecord,
) -> Result<Invite, StoreError> {
    record.invite.version = record.invite.version.next();
    record.last_change = change.as_last();
    put(change, &record)?;
    Ok(record.invite)
}

/// Ends an invite, and its unsent letters. The caller may reassign its address.
pub(super) fn end(
    change: &ChangeTransaction<'_>,
    mut record: InviteRecord,
    fate: InviteOutcome,
) -> Result<Invite, StoreError> {
    letter_rows::cancel_mail(change, record.invite.letter)?;
    letter_rows::cancel_mail(change, record.wanted)?;
    if let Some(inviter) = record.invite.inviter.member() {
        let key = (inviter.as_str(), record.invite.id.as_str());
        change.tx.open_table(INVITES_BY_INVITER)?.remove(key)?;
    }
    record.invite.fate = fate;
    put_changed(change, record)
}

/// Revokes an invite. The caller releases its address.
pub(super) fn revoke(
    change: &ChangeTransaction<'_>,
    record: InviteRecord,
) -> Result<Invite, StoreError> {
    let before = record.invite.state(change.now);
    let revoked = end(change, record, InviteOutcome::Revoked { at: change.now })?;
    let fields =
        vec![FieldChange::changed("state", before.as_str(), InviteState::Revoked.as_str())];
    audit(change, AuditEvent::InviteRevoked, &revoked, fields)?;
    Ok(revoked)
}

/// Revokes every invite of a member, except those for roles that the member may still give; returns
/// their number.
pub(super) fn revoke_sent_by(
    change: &ChangeTransaction<'_>,
    inviter: &MemberId,
    keep: &BTreeSet<RoleId>,
) -> Result<u64, StoreError> {
    let mut revoked = 0;
    for id in sent_by(change, inviter)? {
        let Some(record) = read(change.tx, &id)? else { continue };
        if keep.contains(&record.invite.role) {
            continue;
        }
        Addresses::open(change)?.release(&record.invite)?;
        revoke(change, record)?;
        revoked += 1;
    }
    Ok(revoked)
}

fn sent_by(change: &ChangeTransaction<'_>, inviter: &MemberId) -> Result<Vec<String>, StoreError> {
    let sent = change.tx.open_table(INVITES_BY_INVITER)?;
    let mut ids = Vec::new();
    for row in sent.range((inviter.as_str(), "")..)? {
        let (key, ()) = row.map(|(key, _)| (key, ()))?;
        let (sent_by, id) = key.value();
        if sent_by != inviter.as_str() {
            break;
        }
        ids.push(id.to_owned());
    }
    Ok(ids)
}

/// An invite, in whichever account.
pub(super) fn read(rows: &impl Rows, id: &str) -> Result<Option<InviteRecord>, StoreError> {
    rows.record(INVITES, id, |bytes| InviteRecord::decode(id, bytes))
}

pub(super) fn by_token(
    rows: &impl Rows,
    token: &TokenHash,
) -> Result<Option<(InviteRecord, Generation)>, StoreError> {
    let found = rows.record(INVITE_TOKENS, &token.0.0, InviteTokenRecord::decode)?;
    let Some(InviteTokenRecord { invite, generation }) = found else { return Ok(None) };
    Ok(read(rows, invite.as_str())?.map(|record| (record, generation)))
}

/// An invite with what is told of it.
pub(super) fn with_delivery(rows: &impl Rows, invite: Invite) -> Result<InviteView, StoreError> {
    let letter = match invite.letter {
        Some(letter) => letter_rows::read(rows, letter)?,
        None => None,
    };
    let delivery = letter.map(|record| record.letter.delivery).unwrap_or_default();
    let key = address_index::key(&invite.account, invite.email.key());
    let removed = rows.open(REMOVED)?.get(key.as_str())?.map(|found| Timestamp(found.value()));
    Ok(InviteView { invite, delivery, previously_removed: removed })
}

/// When an invite may be deleted: long after it has ended.
pub(super) fn forgotten_at(invite: &Invite) -> Timestamp {
    let over = match invite.fate {
        InviteOutcome::Open => invite.expires,
        InviteOutcome::Accepted { at, .. } | InviteOutcome::Revoked { at } => at,
    };
    time_after(over, OVER_MS)
}

/// Deletes an invite with all its links, unless it is too early.
pub(super) fn forget(
    change: &ChangeTransaction<'_>,
    id: &str,
) -> Result<Option<Timestamp>, StoreError> {
    let Some(record) = read(change.tx, id)? else { return Ok(None) };
    let invite = record.invite;
    let at = forgotten_at(&invite);
    if change.now < at {
        return Ok(Some(at));
    }
    take_away(change, &invite)?;
    Ok(None)
}

/// Deletes an invite with all its links.
pub(super) fn take_away(change: &ChangeTransaction<'_>, invite: &Invite) -> Result<(), StoreError> {
    Addresses::open(change)?.release(invite)?;
    let id = invite.id.as_str();
    change.tx.open_table(INVITES)?.remove(id)?;
    let key = (invite.account.as_str(), invite.created.0, id);
    change.tx.open_table(INVITES_BY_ACCOUNT)?.remove(key)?;
    if let Some(inviter) = invite.inviter.member() {
        change.tx.open_table(INVITES_BY_INVITER)?.remove((inviter.as_str(), id))?;
    }
    let mut links = change.tx.open_table(INVITE_LINKS)?;
    let mut tokens = change.tx.open_table(INVITE_TOKENS)?;
    for generation in Generation::FIRST.0..=invite.generation.0 {
        if let Some(hash) = links.get((id, generation))? {
            tokens.remove(hash.value())?;
        }
        links.remove((id, generation))?;
    }
    Ok(())
}

pub(super) fn audit(
    change: &ChangeTransaction<'_>,
    event: AuditEvent,
    invite: &Invite,
    fields: Vec<FieldChange>,
) -> Result<(), StoreError> {
    change.audit(invite.account.as_str(), event, invite.id.as_str(), fields)
}
