//! Migration of older file layouts, in the transaction that opens the file.
//!
//! Loses nothing: a file that cannot be migrated stays as it was. Writes nothing to a current one:
//! a full disk must not prevent a start, after which decisions work.
//!
//! The file of a node is not migrated: rows that only one of two layouts has would be in some nodes'
//! entries and not in others'. All nodes have the layout that their fleet was begun with.

use redb::{Database, ReadableDatabase as _, ReadableTable};

use super::change_workspace::Workspace;
use super::database_file::begin_write;
use super::row_reads::TableRead;
use super::tables::{
    self, FORMAT, FORMAT_ROW, IN_FLEET, LETTERS, LETTERS_WAITING, MEMBERS, META, SESSIONS, layout,
};
use super::{StoreError, last_sign_in, letter_rows, member_rows, policies};
use crate::domain::{Failure, MailId};
use crate::store::records::queued_mail::QueuedMailRecord;
use crate::store::records::sessions::decode_session;
use crate::store::records::{MemberRecord, newer};

/// Creates the tables of a new file, migrates one of an older layout, and refuses one of a newer
/// layout.
pub(super) fn migrate_if_due(database: &Database) -> Result<(), StoreError> {
    if is_current(database)? {
        return Ok(());
    }
    let tx = begin_write(database)?;
    let marked = tx.open_table(META)?.get(FORMAT_ROW)?.map(|found| found.value());
    let format = marked.map(layout);
    if format.is_some_and(|format| format > FORMAT) {
        return Err(newer("database").into());
    }
    let in_fleet = marked.unwrap_or_default() & IN_FLEET;
    if in_fleet != 0 && format != Some(FORMAT) {
        return Err(older_in_fleet().into());
    }
    tables::open_all(&tx)?;
    let tx = Workspace::Direct(Box::new(tx));
    policies::begin_history(&tx)?;
    if format == Some(1) {
        from_1(&tx)?;
    }
    if format.is_some_and(|format| format <= 2) {
        from_2(&tx)?;
    }
    if format.is_some_and(|format| format <= 3) {
        from_3(&tx)?;
    }
    tx.open_table(META)?.insert(FORMAT_ROW, FORMAT | in_fleet)?;
    tx.into_transaction(database)?.commit()?;
    Ok(())
}

fn older_in_fleet() -> Failure {
    Failure::internal(
        "this store is of a node of a fleet, and its layout is older than that of this kwic-team: start it with the version that it had; to go on with this one, have every node leave with that version (`kwic-team fleet leave`), then begin a new fleet",
    )
}

fn is_current(database: &Database) -> Result<bool, StoreError> {
    let read = database.begin_read()?;
    if !tables::has_all(&read)? {
        return Ok(false);
    }
    let format = read.open_table(META)?.get(FORMAT_ROW)?.map(|found| layout(found.value()));
    Ok(format == Some(FORMAT))
}

/// The first layout did not count roles; other new tables begin empty.
fn from_1(tx: &Workspace) -> Result<(), StoreError> {
    let mut held = member_rows::RoleCounts::default();
    for row in tx.open_table(MEMBERS)?.iter()? {
        let (id, bytes) = row?;
        held.add(&MemberRecord::decode(id.value(), bytes.value())?.member);
    }
    held.write(tx)
}

/// The second layout did not record last sign-ins: current sessions still show some.
fn from_2(tx: &Workspace) -> Result<(), StoreError> {
    for row in tx.open_table(SESSIONS)?.iter()? {
        let (token, bytes) = row?;
        last_sign_in::record_sign_indule_expiry(
            tx,
            &decode_session(token.value(), bytes.value())?,
        )?;
    }
    Ok(())
}

/// The third layout had no index of waiting letters by account.
fn from_3(tx: &Workspace) -> Result<(), StoreError> {
    let mut waiting = tx.open_table(LETTERS_WAITING)?;
    for row in tx.open_table(LETTERS)?.iter()? {
        let (id, bytes) = row?;
        let record = QueuedMailRecord::decode(MailId(id.value()), bytes.value())?;
        if let Some(key) = letter_rows::waits(&record.letter) {
            waiting.insert(key, ())?;
        }
    }
    Ok(())
}
