//! Idempotency keys: which invite the first call with a key has created.
//!
//! A key expires after some hours.

use super::expiry_schedule::{self, time_after};
use super::row_reads::Rows;
use super::running_change::ChangeTransaction;
use super::tables::CALLS;
use super::{StoreError, invite_rows};
use crate::domain::{AccountSlug, Actor, Failure, IdempotencyKey, Invite, Kind, Timestamp, limits};
use crate::store::preconditions::KEY_REUSED;
use crate::store::records::invites::IdempotentCallRecord;
use crate::store::requests_and_views::invites::{Idempotency, NewInvite};

const IDEMPOTENCY_MS: i64 = limits::IDEMPOTENCY_HOURS * 60 * 60 * 1_000;

/// The invite of an earlier call with the same key.
pub(super) fn repeated(
    change: &ChangeTransaction<'_>,
    new: &NewInvite,
) -> Result<Option<Invite>, StoreError> {
    let Some(Idempotency { key, request }) = &new.idempotency else { return Ok(None) };
    let key = call_key(&change.actor, &new.account, key);
    let Some(call) = change.tx.record(CALLS, key.as_str(), IdempotentCallRecord::decode)? else {
        return Ok(None);
    };
    if change.now >= time_after(call.at, IDEMPOTENCY_MS) {
        return Ok(None);
    }
    if call.request != *request {
        return Err(Failure::new(
            Kind::Conflict,
            KEY_REUSED,
            "this idempotency key belongs to another call: repeat that call unchanged, or use a new key",
        )
        .into());
    }
    Ok(invite_rows::read(change.tx, call.invite.as_str())?.map(|record| record.invite))
}

pub(super) fn remember(
    change: &ChangeTransaction<'_>,
    invite: &Invite,
    idempotency: &Idempotency,
) -> Result<(), StoreError> {
    let key = call_key(&change.actor, &invite.account, &idempotency.key);
    let call = IdempotentCallRecord {
        request: idempotency.request,
        invite: invite.id.clone(),
        at: change.now,
    };
    change.tx.open_table(CALLS)?.insert(key.as_str(), call.encode().as_slice())?;
    expiry_schedule::schedule(
        change,
        time_after(call.at, IDEMPOTENCY_MS),
        expiry_schedule::ExpiringKind::Call,
        &key,
    )
}

/// Each caller has keys of its own.
fn call_key(actor: &str, account: &AccountSlug, key: &IdempotencyKey) -> String {
    format!("{account}\0{actor}\0{}", key.digest().hex())
}

/// Who made the call of such a key.
pub(super) fn called_by(key: &str) -> Option<Actor> {
    key.split('\0').nth(1).and_then(Actor::from_label)
}

/// Deletes an idempotent call, unless its key was used again since.
pub(super) fn forget(
    change: &ChangeTransaction<'_>,
    key: &str,
) -> Result<Option<Timestamp>, StoreError> {
    let Some(call) = change.tx.record(CALLS, key, IdempotentCallRecord::decode)? else {
        return Ok(None);
    };
    let over = time_after(call.at, IDEMPOTENCY_MS);
    if change.now < over {
        return Ok(Some(over));
    }
    change.tx.open_table(CALLS)?.remove(key)?;
    Ok(None)
}
