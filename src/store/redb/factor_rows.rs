//! Rows of second factors and the owners of passkeys, with the audit entries and letters about them.
//!
//! Has no key: sealed secrets stay sealed.

use super::StoreError;
use super::change_workspace::Workspace;
use super::letter_rows::{self, MailToQueue};
use super::row_reads::{Rows, TableRead};
use super::running_change::ChangeTransaction;
use super::tables::{FACTORS, PASSKEYS};
use crate::domain::two_step::TwoStepEvent;
use crate::domain::{
    AuditEvent, Factors, Failure, FieldChange, Kind, MailKind, Member, MemberId, PasskeyId,
};
use crate::store::records::two_step::{decode_factors, encode_factors};
use crate::store::requests_and_views::mail_queue::NewMail;

pub(super) fn read(rows: &impl Rows, member: &MemberId) -> Result<Factors, StoreError> {
    Ok(rows.record(FACTORS, member.as_str(), decode_factors)?.unwrap_or_default())
}

pub(super) fn put(tx: &Workspace, member: &MemberId, factors: &Factors) -> Result<(), StoreError> {
    tx.open_table(FACTORS)?.insert(member.as_str(), encode_factors(factors).as_slice())?;
    Ok(())
}

/// Deletes a member's factors; the round stays and increases, so that old tickets stay invalid.
pub(super) fn take_away(
    change: &ChangeTransaction<'_>,
    member: &MemberId,
) -> Result<(), StoreError> {
    let factors = read(change.tx, member)?;
    release_credentials(change.tx, &factors)?;
    let round = factors.round.saturating_add(1);
    put(change.tx, member, &Factors { round, ..Factors::default() })
}

/// Deletes the factors of a removed member.
pub(super) fn forget(change: &ChangeTransaction<'_>, member: &MemberId) -> Result<(), StoreError> {
    release_credentials(change.tx, &read(change.tx, member)?)?;
    change.tx.open_table(FACTORS)?.remove(member.as_str())?;
    Ok(())
}

/// A password reset by mail proves the owner's presence: the counter of wrong codes starts again.
pub(super) fn forgive(change: &ChangeTransaction<'_>, member: &MemberId) -> Result<(), StoreError> {
    let factors = read(change.tx, member)?;
    if factors.failures > 0 {
        put(change.tx, member, &Factors { failures: 0, ..factors })?;
    }
    Ok(())
}

/// Tells a member what became of a factor.
pub(super) fn tell(
    change: &mut ChangeTransaction<'_>,
    member: &Member,
    news: TwoStepEvent,
    letter: Option<NewMail>,
) -> Result<(), StoreError> {
    let Some(new) = letter else { return Ok(()) };
    let kind = MailKind::TwoStep { member: member.id.clone(), news };
    letter_rows::queue(change, MailToQueue::to_member(member, kind, new)).map(|_| ())
}

/// An entry about a factor, with one field at most.
pub(super) fn audit(
    change: &ChangeTransaction<'_>,
    member: &Member,
    event: AuditEvent,
    field: Option<FieldChange>,
) -> Result<(), StoreError> {
    let fields = field.into_iter().collect();
    change.audit(member.account.as_str(), event, member.id.as_str(), fields)
}

pub(super) fn not_set_up() -> Failure {
    Failure::new(
        Kind::Conflict,
        "not_set_up",
        "two-step verification is not set up, or setting it up took too long: begin to set it up again",
    )
}

/// A credential has one owner: another member with it is refused (Web Authentication Level 3,
/// section 7.1: no credential id is registered twice).
pub(super) fn claim(tx: &Workspace, id: &PasskeyId, owner: &Member) -> Result<(), StoreError> {
    let mut owners = tx.open_table(PASSKEYS)?;
    if owners.get(id.as_str())?.is_some() {
        return Err(known().into());
    }
    owners.insert(id.as_str(), owner.id.as_str())?;
    Ok(())
}

/// Releases the credentials of deleted factors.
fn release_credentials(tx: &Workspace, factors: &Factors) -> Result<(), StoreError> {
    let mut owners = tx.open_table(PASSKEYS)?;
    for passkey in &factors.passkeys {
        owners.remove(passkey.id.as_str())?;
    }
    Ok(())
}

fn known() -> Failure {
    Failure::new(
        Kind::Conflict,
        "passkey_known",
        "this passkey is already in use, by you or another member: use another one, or remove it there first",
    )
}
