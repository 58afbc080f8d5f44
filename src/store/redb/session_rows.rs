//! Rows of sessions: begin, update, end.
//!
//! Every session that begins or ends is published to the subscribers with the same change.

use redb::ReadTransaction;

use super::row_reads::{Rows, TableRead};
use super::running_change::ChangeTransaction;
use super::tables::{SESSIONS, SESSIONS_BY_MEMBER};
use super::{StoreError, last_sign_in};
use crate::domain::session::ended;
use crate::domain::{
    AuditEvent, ChangedRecord, FieldChange, MemberId, Session, SessionLimits, Timestamp, TokenHash,
    limits,
};
use crate::store::records::sessions::{decode_session, encode_session};

pub(super) fn read(rows: &impl Rows, token: &TokenHash) -> Result<Option<Session>, StoreError> {
    rows.record(SESSIONS, &token.0.0, |bytes| decode_session(&token.0.0, bytes))
}

/// Refuses a caller who no longer has a session of this member.
pub(super) fn need_own(
    change: &ChangeTransaction<'_>,
    member: &MemberId,
    token: &TokenHash,
) -> Result<(), StoreError> {
    let own = read(change.tx, token)?.is_some_and(|session| session.member == *member);
    if own { Ok(()) } else { Err(ended().into()) }
}

/// A member's sessions, oldest first.
pub(super) fn of_member(rows: &impl Rows, member: &MemberId) -> Result<Vec<Session>, StoreError> {
    let index = rows.open(SESSIONS_BY_MEMBER)?;
    let mut sessions = Vec::new();
    for row in index.range((member.as_str(), i64::MIN, &[0; 32])..)? {
        let (key, _) = row?;
        let (of, _, hash) = key.value();
        if of != member.as_str() {
            break;
        }
        sessions.extend(rows.record(SESSIONS, hash, |bytes| decode_session(hash, bytes))?);
    }
    Ok(sessions)
}

fn put(change: &mut ChangeTransaction<'_>, session: &Session) -> Result<(), StoreError> {
    let record = encode_session(session);
    change.tx.open_table(SESSIONS)?.insert(&session.token.0.0, record.as_slice())?;
    change.tell(ChangedRecord::Session(session.clone()));
    Ok(())
}

pub(super) fn begin(
    change: &mut ChangeTransaction<'_>,
    session: &Session,
) -> Result<(), StoreError> {
    change.tx.open_table(SESSIONS_BY_MEMBER)?.insert(index_key(session), ())?;
    last_sign_in::record_sign_indule_expiry(change.tx, session)?;
    put(change, session)
}

pub(super) fn end(change: &mut ChangeTransaction<'_>, session: &Session) -> Result<(), StoreError> {
    change.tx.open_table(SESSIONS)?.remove(&session.token.0.0)?;
    change.tx.open_table(SESSIONS_BY_MEMBER)?.remove(index_key(session))?;
    change.tell(ChangedRecord::SessionGone(session.token));
    Ok(())
}

fn index_key(session: &Session) -> (&str, i64, &[u8; 32]) {
    (session.member.as_str(), session.created.0, &session.token.0.0)
}

/// Ends every session of a member; returns their number.
pub(super) fn end_all(
    change: &mut ChangeTransaction<'_>,
    member: &MemberId,
) -> Result<u64, StoreError> {
    let sessions = of_member(change.tx, member)?;
    for session in &sessions {
        end(change, session)?;
    }
    Ok(count(&sessions))
}

/// Ends every session; returns their number.
pub(super) fn end_every(change: &mut ChangeTransaction<'_>) -> Result<u64, StoreError> {
    let mut sessions = Vec::new();
    for row in change.tx.open_table(SESSIONS)?.iter()? {
        let (token, bytes) = row?;
        sessions.push(decode_session(token.value(), bytes.value())?);
    }
    for session in &sessions {
        end(change, session)?;
    }
    Ok(count(&sessions))
}

/// Ends every session of a member except one; returns the number of others.
pub(super) fn end_others(
    change: &mut ChangeTransaction<'_>,
    member: &MemberId,
    own: &TokenHash,
) -> Result<u64, StoreError> {
    let mut others = of_member(change.tx, member)?;
    others.retain(|session| session.token != *own);
    for session in &others {
        end(change, session)?;
    }
    Ok(count(&others))
}

/// Ends the oldest sessions of a member, if the maximum is reached.
pub(super) fn make_room(
    change: &mut ChangeTransaction<'_>,
    member: &MemberId,
) -> Result<(), StoreError> {
    let sessions = of_member(change.tx, member)?;
    let too_many = (sessions.len() + 1).saturating_sub(limits::SESSIONS_OF_MEMBER_MAX);
    for session in sessions.iter().take(too_many) {
        end(change, session)?;
    }
    Ok(())
}

/// Saves a session's last use, or deletes an expired session.
pub(super) fn tend(
    change: &mut ChangeTransaction<'_>,
    token: &TokenHash,
    used: Option<Timestamp>,
    limits: &SessionLimits,
) -> Result<(), StoreError> {
    let Some(before) = read(change.tx, token)? else { return Ok(()) };
    let used = used.map_or(before.used, |used| used.max(before.used));
    if !limits.lives(before.created, used, change.now) {
        return end(change, &before);
    }
    if used == before.used {
        return Ok(());
    }
    put(change, &Session { used, ..before })
}

/// Reads every session, in no order.
pub(super) fn all(tx: &ReadTransaction, mut each: impl FnMut(Session)) -> Result<(), StoreError> {
    for row in tx.open_table(SESSIONS)?.iter()? {
        let (token, bytes) = row?;
        each(decode_session(token.value(), bytes.value())?);
    }
    Ok(())
}

pub(super) fn count(sessions: &[Session]) -> u64 {
    u64::try_from(sessions.len()).unwrap_or(u64::MAX)
}

/// An entry about a new session, with its second factor.
pub(super) fn audit_sign_in(
    change: &ChangeTransaction<'_>,
    session: &Session,
    failures_before: u32,
    factor: Option<&str>,
) -> Result<(), StoreError> {
    let mut fields = vec![
        FieldChange::added("session", session.id.as_str()),
        FieldChange::added("address", session.address.as_str()),
        FieldChange::added("agent", session.agent.as_str()),
    ];
    fields.extend(factor.map(|factor| FieldChange::added("factor", factor)));
    let event = match failures_before {
        0 => AuditEvent::AuthnLoginSuccess,
        failures => {
            fields.push(FieldChange::added("failures_before", failures.to_string()));
            AuditEvent::AuthnLoginSuccessAfterFail
        }
    };
    change.audit(session.account.as_str(), event, session.member.as_str(), fields)
}
