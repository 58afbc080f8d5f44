//! Files of older layouts, brought up to date in the transaction that opens them.
//!
//! Loses nothing: a file that cannot be brought up to date is left as it was. Writes nothing to one
//! that is up to date: a full disk must not stop a start, after which decisions go on.

use redb::{Database, ReadableDatabase as _, ReadableTable, WriteTransaction};

use super::file::begin_write;
use super::tables::{self, FORMAT, LETTERS, LETTERS_WAITING, MEMBERS, META, SESSIONS};
use super::{Fault, last_sign_in, letter_rows, member_rows};
use crate::domain::LetterId;
use crate::store::record::letters::LetterRecord;
use crate::store::record::sessions::decode_session;
use crate::store::record::{MemberRecord, newer};

/// Makes the tables of a new file, brings one of an older layout up to date, and refuses one of a
/// newer layout.
pub(super) fn where_due(database: &Database) -> Result<(), Fault> {
    if is_current(database)? {
        return Ok(());
    }
    let tx = begin_write(database)?;
    let format = tx.open_table(META)?.get("format")?.map(|found| found.value());
    if format.is_some_and(|format| format > FORMAT) {
        return Err(newer("database").into());
    }
    tables::open_all(&tx)?;
    if format == Some(1) {
        from_1(&tx)?;
    }
    if format.is_some_and(|format| format <= 2) {
        from_2(&tx)?;
    }
    if format.is_some_and(|format| format <= 3) {
        from_3(&tx)?;
    }
    tx.open_table(META)?.insert("format", FORMAT)?;
    tx.commit()?;
    Ok(())
}

fn is_current(database: &Database) -> Result<bool, Fault> {
    let read = database.begin_read()?;
    if !tables::has_all(&read)? {
        return Ok(false);
    }
    let format = read.open_table(META)?.get("format")?.map(|found| found.value());
    Ok(format == Some(FORMAT))
}

/// The first layout counted no roles; everything else that is new begins empty.
fn from_1(tx: &WriteTransaction) -> Result<(), Fault> {
    let mut held = member_rows::Held::default();
    for row in tx.open_table(MEMBERS)?.iter()? {
        let (id, bytes) = row?;
        held.add(&MemberRecord::decode(id.value(), bytes.value())?.member);
    }
    held.write(tx)
}

/// The second layout did not know when members signed in last: sessions that live still tell.
fn from_2(tx: &WriteTransaction) -> Result<(), Fault> {
    for row in tx.open_table(SESSIONS)?.iter()? {
        let (token, bytes) = row?;
        last_sign_in::note(tx, &decode_session(token.value(), bytes.value())?)?;
    }
    Ok(())
}

/// The third layout did not know which account's letters wait.
fn from_3(tx: &WriteTransaction) -> Result<(), Fault> {
    let mut waiting = tx.open_table(LETTERS_WAITING)?;
    for row in tx.open_table(LETTERS)?.iter()? {
        let (id, bytes) = row?;
        let record = LetterRecord::decode(LetterId(id.value()), bytes.value())?;
        if let Some(key) = letter_rows::waits(&record.letter) {
            waiting.insert(key, ())?;
        }
    }
    Ok(())
}
