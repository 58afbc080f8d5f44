//! Rows of links to a new password and to a new address: begin, read, end.
//!
//! A link that was used, was replaced or whose member is gone is deleted, with its letter if that
//! was not sent yet.

use super::expiry_schedule::{self, OVER_MS, time_after};
use super::row_reads::{Rows, TableRead};
use super::running_change::ChangeTransaction;
use super::tables::{LINK_TOKENS, LINKS, LINKS_BY_MEMBER};
use super::{StoreError, letter_rows};
use crate::domain::{LinkPurpose, MemberId, Timestamp, TokenHash};
use crate::store::records::one_time_links::OneTimeLinkRecord;

/// Writes a new link, with what it is found by.
pub(super) fn begin(
    change: &ChangeTransaction<'_>,
    record: &OneTimeLinkRecord,
) -> Result<(), StoreError> {
    put(change, record)?;
    let (link, id) = (&record.link, record.link.id.as_str());
    change.tx.open_table(LINK_TOKENS)?.insert(&record.token.0.0, id)?;
    change.tx.open_table(LINKS_BY_MEMBER)?.insert((link.member.as_str(), id), ())?;
    expiry_schedule::schedule(
        change,
        time_after(link.expires, OVER_MS),
        expiry_schedule::ExpiringKind::Link,
        id,
    )
}

pub(super) fn put(
    change: &ChangeTransaction<'_>,
    record: &OneTimeLinkRecord,
) -> Result<(), StoreError> {
    let mut links = change.tx.open_table(LINKS)?;
    links.insert(record.link.id.as_str(), record.encode().as_slice())?;
    Ok(())
}

pub(super) fn read(rows: &impl Rows, id: &str) -> Result<Option<OneTimeLinkRecord>, StoreError> {
    rows.record(LINKS, id, |bytes| OneTimeLinkRecord::decode(id, bytes))
}

pub(super) fn by_token(
    rows: &impl Rows,
    token: &TokenHash,
) -> Result<Option<OneTimeLinkRecord>, StoreError> {
    match rows.open(LINK_TOKENS)?.get(&token.0.0)? {
        Some(id) => read(rows, id.value()),
        None => Ok(None),
    }
}

/// Every link of a member.
pub(super) fn of_member(
    change: &ChangeTransaction<'_>,
    member: &MemberId,
) -> Result<Vec<OneTimeLinkRecord>, StoreError> {
    let index = change.tx.open_table(LINKS_BY_MEMBER)?;
    let mut found = Vec::new();
    for row in index.range((member.as_str(), "")..)? {
        let (key, _) = row?;
        let (of, id) = key.value();
        if of != member.as_str() {
            break;
        }
        found.extend(read(change.tx, id)?);
    }
    Ok(found)
}

/// Ends every link of a member, and their unsent letters.
pub(super) fn end_all(change: &ChangeTransaction<'_>, member: &MemberId) -> Result<(), StoreError> {
    end_some(change, member, |_| true)
}

/// Ends every link; returns their number.
pub(super) fn end_every(change: &ChangeTransaction<'_>) -> Result<u64, StoreError> {
    let mut links = Vec::new();
    for row in change.tx.open_table(LINKS)?.iter()? {
        let (id, bytes) = row?;
        links.push(OneTimeLinkRecord::decode(id.value(), bytes.value())?);
    }
    let mut ended = 0;
    for record in &links {
        end(change, record)?;
        ended += 1;
    }
    Ok(ended)
}

pub(super) fn end_some(
    change: &ChangeTransaction<'_>,
    member: &MemberId,
    which: impl Fn(&LinkPurpose) -> bool,
) -> Result<(), StoreError> {
    for record in of_member(change, member)? {
        if which(&record.link.purpose) {
            end(change, &record)?;
        }
    }
    Ok(())
}

fn end(change: &ChangeTransaction<'_>, record: &OneTimeLinkRecord) -> Result<(), StoreError> {
    letter_rows::cancel_mail(change, record.letter)?;
    let id = record.link.id.as_str();
    change.tx.open_table(LINKS)?.remove(id)?;
    change.tx.open_table(LINK_TOKENS)?.remove(&record.token.0.0)?;
    change.tx.open_table(LINKS_BY_MEMBER)?.remove((record.link.member.as_str(), id))?;
    Ok(())
}

/// Deletes a link that expired long ago.
pub(super) fn forget(
    change: &ChangeTransaction<'_>,
    id: &str,
) -> Result<Option<Timestamp>, StoreError> {
    if let Some(record) = read(change.tx, id)? {
        end(change, &record)?;
    }
    Ok(None)
}
