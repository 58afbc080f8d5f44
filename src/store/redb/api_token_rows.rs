//! Rows of API tokens: begin, read, revoke.
//!
//! Every token that is created or ends is published to the subscribers with the same change, and
//! every end that somebody causes has its audit entry.

use std::collections::BTreeSet;

use redb::ReadTransaction;

use super::row_reads::{Rows, TableRead};
use super::running_change::ChangeTransaction;
use super::tables::{API_TOKENS, API_TOKENS_BY_MEMBER};
use super::{StoreError, expiry_schedule};
use crate::clock;
use crate::domain::{
    AccountSlug, ApiToken, ApiTokenId, AuditEvent, ChangedRecord, FieldChange, Member, MemberId,
    RoleId, Timestamp,
};
use crate::store::records::api_tokens::{decode_api_token, encode_api_token};

/// Writes a new token, and an entry about it.
pub(super) fn begin(
    change: &mut ChangeTransaction<'_>,
    token: &ApiToken,
) -> Result<(), StoreError> {
    change.tx.open_table(API_TOKENS_BY_MEMBER)?.insert(index_key(token), ())?;
    expiry_schedule::schedule(
        change,
        token.expires,
        expiry_schedule::ExpiringKind::ApiToken,
        token.id.as_str(),
    )?;
    put(change, token)?;
    audit(change, AuditEvent::AuthnTokenCreated, token)
}

/// Whether an acting token is still valid.
pub(super) fn still_acts(
    change: &ChangeTransaction<'_>,
    id: &ApiTokenId,
    member: &MemberId,
) -> Result<bool, StoreError> {
    let found = read(change.tx, id.as_str())?;
    Ok(found.is_some_and(|token| token.member == *member && token.lives(change.now)))
}

/// Revokes a member's tokens, except those for roles that the member may still give; returns their
/// number. Expired ones are deleted without being counted.
pub(super) fn revoke_made_by(
    change: &mut ChangeTransaction<'_>,
    member: &Member,
    keep: &BTreeSet<RoleId>,
) -> Result<u64, StoreError> {
    let tokens = of(change.tx, &member.account, Some(&member.id))?;
    revoke_some(change, tokens, |token| keep.contains(&token.role))
}

fn revoke_some(
    change: &mut ChangeTransaction<'_>,
    tokens: Vec<ApiToken>,
    keeps: impl Fn(&ApiToken) -> bool,
) -> Result<u64, StoreError> {
    let mut revoked = 0;
    for token in tokens {
        if change.now >= token.expires {
            end(change, &token)?;
        } else if !keeps(&token) {
            revoke(change, &token)?;
            revoked += 1;
        }
    }
    Ok(revoked)
}

/// Revokes every token; returns their number. Expired ones are deleted without being counted.
pub(super) fn revoke_every(change: &mut ChangeTransaction<'_>) -> Result<u64, StoreError> {
    let mut tokens = Vec::new();
    for row in change.tx.open_table(API_TOKENS)?.iter()? {
        let (id, bytes) = row?;
        tokens.push(decode_api_token(id.value(), bytes.value())?);
    }
    revoke_some(change, tokens, |_| false)
}

pub(super) fn revoke(
    change: &mut ChangeTransaction<'_>,
    token: &ApiToken,
) -> Result<(), StoreError> {
    end(change, token)?;
    audit(change, AuditEvent::AuthnTokenRevoked, token)
}

/// Takes away a token that has expired.
pub(super) fn forget(
    change: &mut ChangeTransaction<'_>,
    id: &str,
) -> Result<Option<Timestamp>, StoreError> {
    let Some(token) = read(change.tx, id)? else { return Ok(None) };
    if change.now < token.expires {
        return Ok(Some(token.expires));
    }
    end(change, &token)?;
    Ok(None)
}

fn end(change: &mut ChangeTransaction<'_>, token: &ApiToken) -> Result<(), StoreError> {
    change.tx.open_table(API_TOKENS)?.remove(token.id.as_str())?;
    change.tx.open_table(API_TOKENS_BY_MEMBER)?.remove(index_key(token))?;
    change.tell(ChangedRecord::ApiTokenGone(token.token));
    Ok(())
}

pub(super) fn put(change: &mut ChangeTransaction<'_>, token: &ApiToken) -> Result<(), StoreError> {
    let record = encode_api_token(token);
    change.tx.open_table(API_TOKENS)?.insert(token.id.as_str(), record.as_slice())?;
    change.tell(ChangedRecord::ApiToken(token.clone()));
    Ok(())
}

pub(super) fn read(rows: &impl Rows, id: &str) -> Result<Option<ApiToken>, StoreError> {
    rows.record(API_TOKENS, id, |bytes| decode_api_token(id, bytes))
}

/// Tokens of an account, or of one creator, by creator and then oldest first.
pub(super) fn of(
    rows: &impl Rows,
    account: &AccountSlug,
    member: Option<&MemberId>,
) -> Result<Vec<ApiToken>, StoreError> {
    let index = rows.open(API_TOKENS_BY_MEMBER)?;
    let begin = member.map_or("", MemberId::as_str);
    let mut found = Vec::new();
    for row in index.range((account.as_str(), begin, i64::MIN, "")..)? {
        let (key, _) = row?;
        let (of_account, maker, _, id) = key.value();
        if of_account != account.as_str() || member.is_some_and(|member| member.as_str() != maker) {
            break;
        }
        found.extend(read(rows, id)?);
    }
    Ok(found)
}

fn index_key(token: &ApiToken) -> (&str, &str, i64, &str) {
    (token.account.as_str(), token.member.as_str(), token.created.0, token.id.as_str())
}

/// Reads every token, in no order.
pub(super) fn all(tx: &ReadTransaction, mut each: impl FnMut(ApiToken)) -> Result<(), StoreError> {
    for row in tx.open_table(API_TOKENS)?.iter()? {
        let (id, bytes) = row?;
        each(decode_api_token(id.value(), bytes.value())?);
    }
    Ok(())
}

fn audit(
    change: &ChangeTransaction<'_>,
    event: AuditEvent,
    token: &ApiToken,
) -> Result<(), StoreError> {
    let made = event == AuditEvent::AuthnTokenCreated;
    let field = |name, value: &str| {
        if made { FieldChange::added(name, value) } else { FieldChange::removed(name, value) }
    };
    let fields = vec![
        field("purpose", "api_token"),
        field("token", token.id.as_str()),
        field("name", token.name.as_str()),
        field("role", token.role.as_str()),
        field("expires", &clock::rfc3339(token.expires)),
    ];
    change.audit(token.account.as_str(), event, token.member.as_str(), fields)
}
