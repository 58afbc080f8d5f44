//! Counts that are stored beside the rows that they count, so that nothing has to be scanned.
//!
//! Each is changed only by the one function that writes the rows.

use redb::TableDefinition;

use super::StoreError;
use super::change_workspace::Workspace;
use super::row_reads::TableRead;

/// Adds to a count, or subtracts; the row of a count of zero is deleted.
pub(super) fn add_to_counter(
    tx: &Workspace,
    table: TableDefinition<'static, (&'static str, &'static str), u64>,
    key: (&str, &str),
    by: i64,
) -> Result<(), StoreError> {
    let mut counts = tx.open_table(table)?;
    let before = counts.get(key)?.map_or(0, |found| found.value());
    match before.saturating_add_signed(by) {
        0 => counts.remove(key).map(|_| ()),
        after => counts.insert(key, after),
    }
}
