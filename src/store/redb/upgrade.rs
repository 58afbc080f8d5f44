//! Files of older layouts, brought up to date in the transaction that opens them.
//!
//! Loses nothing: a file that cannot be brought up to date is left as it was.

use redb::{ReadableTable, WriteTransaction};

use super::{Fault, LETTERS, LETTERS_WAITING, MEMBERS, SESSIONS, letters, members, seen};
use crate::domain::LetterId;
use crate::store::record::MemberRecord;
use crate::store::record::letters::LetterRecord;
use crate::store::record::sessions::decode_session;

/// The first layout counted no roles; everything else that is new begins empty.
pub(super) fn from_1(tx: &WriteTransaction) -> Result<(), Fault> {
    let mut held = members::Held::default();
    for row in tx.open_table(MEMBERS)?.iter()? {
        let (id, bytes) = row?;
        held.add(&MemberRecord::decode(id.value(), bytes.value())?.member);
    }
    held.write(tx)
}

/// The second layout did not know when members signed in last: sessions that live still tell.
pub(super) fn from_2(tx: &WriteTransaction) -> Result<(), Fault> {
    for row in tx.open_table(SESSIONS)?.iter()? {
        let (token, bytes) = row?;
        seen::note(tx, &decode_session(token.value(), bytes.value())?)?;
    }
    Ok(())
}

/// The third layout did not know which account's letters wait.
pub(super) fn from_3(tx: &WriteTransaction) -> Result<(), Fault> {
    let mut waiting = tx.open_table(LETTERS_WAITING)?;
    for row in tx.open_table(LETTERS)?.iter()? {
        let (id, bytes) = row?;
        let record = LetterRecord::decode(LetterId(id.value()), bytes.value())?;
        if let Some(key) = letters::waits(&record.letter) {
            waiting.insert(key, ())?;
        }
    }
    Ok(())
}
