//! From what a change tells to the references of an entry, and back.
//!
//! The feed of every node comes from here, that of the node which made the change too: it can say
//! nothing that differs from the rows.

use super::StoreError;
use super::row_keys;
use super::tables::{self, ACCOUNTS, API_TOKENS, MAIL, MAIL_STOP, MEMBERS, RecordTable, SESSIONS};
use crate::domain::{ChangedRecord, Failure};
use crate::store::records::api_tokens::decode_api_token;
use crate::store::records::queued_mail::decode_mail_stop;
use crate::store::records::sessions::decode_session;
use crate::store::records::shared_log_entry::{Difference, RowChange, Told};
use crate::store::records::{AccountRecord, MemberRecord};

/// The references of what is told.
pub(super) fn refer(told: &[ChangedRecord]) -> Result<Vec<Told>, StoreError> {
    told.iter().map(reference).collect()
}

fn reference(told: &ChangedRecord) -> Result<Told, StoreError> {
    let text = |table: RecordTable<&'static str>, key: &str| -> Result<Told, StoreError> {
        let key = row_keys::encode::<&str>(&key);
        Ok(Told::Row { table: tables::number(&table)?, key })
    };
    match told {
        ChangedRecord::Account(account) => text(ACCOUNTS, account.slug.as_str()),
        ChangedRecord::Member(member) | ChangedRecord::Importing(_, member) => {
            text(MEMBERS, member.id.as_str())
        }
        ChangedRecord::ApiToken(token) => text(API_TOKENS, token.id.as_str()),
        ChangedRecord::Mail(_) => text(MAIL, MAIL_STOP),
        ChangedRecord::Session(session) => {
            let key = row_keys::encode::<&[u8; 32]>(&&session.token.0.0);
            Ok(Told::Row { table: tables::number(&SESSIONS)?, key })
        }
        ChangedRecord::MemberGone { id, account } => {
            Ok(Told::MemberGone { id: id.clone(), account: account.clone() })
        }
        ChangedRecord::SessionGone(token) => Ok(Told::SessionGone(*token)),
        ChangedRecord::ApiTokenGone(token) => Ok(Told::ApiTokenGone(*token)),
        ChangedRecord::LetterQueued => Ok(Told::LetterQueued),
        ChangedRecord::Imported { import, account } => {
            Ok(Told::Imported { import: *import, account: account.clone() })
        }
        ChangedRecord::ImportGone(import) => Ok(Told::ImportGone(*import)),
    }
}

/// What subscribers are told of a change.
pub(super) fn resolve(change: &Difference) -> Result<Vec<ChangedRecord>, StoreError> {
    let mut records = Vec::new();
    for told in &change.told {
        records.extend(match told {
            Told::Row { table, key } => record(change, *table, key)?,
            Told::MemberGone { id, account } => {
                Some(ChangedRecord::MemberGone { id: id.clone(), account: account.clone() })
            }
            Told::SessionGone(token) => Some(ChangedRecord::SessionGone(*token)),
            Told::ApiTokenGone(token) => Some(ChangedRecord::ApiTokenGone(*token)),
            Told::LetterQueued => Some(ChangedRecord::LetterQueued),
            Told::Imported { import, account } => {
                Some(ChangedRecord::Imported { import: *import, account: account.clone() })
            }
            Told::ImportGone(import) => Some(ChangedRecord::ImportGone(*import)),
        });
    }
    Ok(records)
}

/// The record of a row. `None` where the same change removed it again: it tells that, too.
fn record(change: &Difference, table: u8, key: &[u8]) -> Result<Option<ChangedRecord>, StoreError> {
    let place = |row: &RowChange| (row.table, &*row.key).cmp(&(table, key));
    let found = change.rows.binary_search_by(place).ok().and_then(|at| change.rows.get(at));
    let row = found.ok_or_else(|| Failure::internal("an entry tells a row that it lacks"))?;
    let Some(bytes) = row.value.as_deref() else {
        let is_mail = table == tables::number(&MAIL)?;
        return Ok(is_mail.then_some(ChangedRecord::Mail(None)));
    };
    if table == tables::number(&SESSIONS)? {
        let token = row_keys::decode::<&[u8; 32]>(key)?;
        return Ok(Some(ChangedRecord::Session(decode_session(&token, bytes)?)));
    }
    let key = row_keys::decode::<&str>(key)?;
    Ok(Some(if table == tables::number(&ACCOUNTS)? {
        ChangedRecord::Account(AccountRecord::decode(&key, bytes)?.account)
    } else if table == tables::number(&MEMBERS)? {
        let MemberRecord { member, import, .. } = MemberRecord::decode(&key, bytes)?;
        match import {
            Some(import) => ChangedRecord::Importing(import, member),
            None => ChangedRecord::Member(member),
        }
    } else if table == tables::number(&API_TOKENS)? {
        ChangedRecord::ApiToken(decode_api_token(&key, bytes)?)
    } else if table == tables::number(&MAIL)? && key == MAIL_STOP {
        ChangedRecord::Mail(Some(decode_mail_stop(bytes)?))
    } else {
        return Err(Failure::internal("an entry tells a row that nobody follows").into());
    }))
}
