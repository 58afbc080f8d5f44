//! Rows that were written and are not in the file yet: held in memory, by table and key.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// Rows by their keys as [`super::row_keys`] writes them, so in the order of keys. A value is in the
/// bytes of redb; `None` is a removed row.
pub(super) type TableRows = BTreeMap<Box<[u8]>, Option<Arc<[u8]>>>;

/// Rows by the number of their table.
#[derive(Clone, Debug, Default)]
pub(super) struct StagedRows(BTreeMap<u8, TableRows>);

impl StagedRows {
    /// Writes a row, or removes it.
    pub(super) fn put(&mut self, table: u8, key: Box<[u8]>, value: Option<Arc<[u8]>>) {
        self.0.entry(table).or_default().insert(key, value);
    }

    /// Writes later rows over these.
    pub(super) fn extend(&mut self, later: Self) {
        for (table, rows) in later.0 {
            self.0.entry(table).or_default().extend(rows);
        }
    }

    /// How many bytes keys and values have.
    pub(super) fn bytes(&self) -> usize {
        let rows = self.0.values().flatten();
        rows.map(|(key, value)| key.len() + value.as_ref().map_or(0, |value| value.len())).sum()
    }

    /// What was written last under a key; `None`, where nothing was.
    pub(super) fn get(&self, table: u8, key: &[u8]) -> Option<Option<Arc<[u8]>>> {
        self.0.get(&table)?.get(key).cloned()
    }

    /// Takes the rows of a table.
    pub(super) fn take_table(&mut self, table: u8) -> TableRows {
        self.0.remove(&table).unwrap_or_default()
    }

    /// The rows of a table.
    pub(super) fn table(&self, table: u8) -> Option<&TableRows> {
        self.0.get(&table)
    }

    /// A copy of the rows with keys in a range; none, where the range is inverted.
    pub(super) fn range(&self, table: u8, start: Bound<&[u8]>, end: Bound<&[u8]>) -> TableRows {
        let Some(rows) = self.0.get(&table) else { return TableRows::new() };
        // A range with both ends panics where they are inverted.
        let from_start = rows.range::<[u8], _>((start, Bound::Unbounded));
        let before_end = |key: &[u8]| match end {
            Bound::Included(end) => key <= end,
            Bound::Excluded(end) => key < end,
            Bound::Unbounded => true,
        };
        from_start
            .take_while(|(key, _)| before_end(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}
