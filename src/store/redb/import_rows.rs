//! Rows of imports that are staged and not made: whose members nobody sees.
//!
//! The row of a member names its import for as long as the member is not changed. What decides is
//! whether that import is still in the table: taking it out shows all of its members at once.

use std::collections::BTreeMap;

use super::StoreError;
use super::row_reads::{Rows, TableRead};
use super::running_change::ChangeTransaction;
use super::tables::{IMPORTS, META};
use crate::domain::{Failure, ImportId, Kind};
use crate::store::records::MemberRecord;
use crate::store::records::import::ImportRecord;

/// The row of [`META`] with the last id of an import.
const LAST_ID: &str = "import";
/// An import that takes no more parts, and will not be made.
pub(super) const GIVEN_UP: &str = "import_given_up";

/// The imports that are not made, and whether each was given up.
pub(super) struct UnmadeImports(BTreeMap<ImportId, bool>);

impl UnmadeImports {
    pub(super) fn read(rows: &impl Rows) -> Result<Self, StoreError> {
        let mut unmade = BTreeMap::new();
        for row in rows.open(IMPORTS)?.iter()? {
            let (import, bytes) = row?;
            let is_given_up = ImportRecord::decode(bytes.value())?.swept.is_some();
            unmade.insert(ImportId(import.value()), is_given_up);
        }
        Ok(Self(unmade))
    }

    pub(super) fn seen(&self, record: &MemberRecord) -> Seen {
        match record.import.map(|import| (import, self.0.get(&import))) {
            Some((_, Some(true))) => Seen::Never,
            Some((import, Some(false))) => Seen::Later(import),
            _ => Seen::ByAll,
        }
    }
}

/// Who sees a member.
pub(super) enum Seen {
    ByAll,
    /// Nobody, until the import is made.
    Later(ImportId),
    Never,
}

/// An import that is not made, if it is one.
pub(super) fn find(rows: &impl Rows, import: ImportId) -> Result<Option<ImportRecord>, StoreError> {
    rows.record(IMPORTS, import.0, ImportRecord::decode)
}

/// Whether a member is of an import that is not made: nobody sees it.
pub(super) fn is_hidden(rows: &impl Rows, record: &MemberRecord) -> Result<bool, StoreError> {
    match record.import {
        Some(import) => Ok(find(rows, import)?.is_some()),
        None => Ok(false),
    }
}

/// An import to which parts are still added.
pub(super) fn need_open(rows: &impl Rows, import: ImportId) -> Result<ImportRecord, StoreError> {
    let found = find(rows, import)?.filter(|record| record.swept.is_none());
    Ok(found.ok_or_else(given_up)?)
}

/// A number that no import has had.
pub(super) fn next_id(change: &ChangeTransaction<'_>) -> Result<ImportId, StoreError> {
    let mut meta = change.tx.open_table(META)?;
    let next = meta.get(LAST_ID)?.map_or(0, |found| found.value()).saturating_add(1);
    meta.insert(LAST_ID, next)?;
    Ok(ImportId(next))
}

pub(super) fn put(
    change: &ChangeTransaction<'_>,
    import: ImportId,
    record: &ImportRecord,
) -> Result<(), StoreError> {
    change.tx.open_table(IMPORTS)?.insert(import.0, record.encode().as_slice())
}

pub(super) fn remove(change: &ChangeTransaction<'_>, import: ImportId) -> Result<(), StoreError> {
    change.tx.open_table(IMPORTS)?.remove(import.0)?;
    Ok(())
}

fn given_up() -> Failure {
    Failure::new(
        Kind::Busy,
        GIVEN_UP,
        "nothing was imported: no part of the file reached the log that the nodes share for too long, and the import was given up; import the file again",
    )
}
