//! Row access, the same for a read transaction and for a running change.
//!
//! Read-only.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::ops::RangeBounds;
use std::sync::Arc;

use redb::{AccessGuard, ReadOnlyTable, ReadTransaction, TableDefinition, Value};

use super::StoreError;
use super::row_keys::{self, RowKey};
use super::staged_rows::TableRows;
use super::tables::RecordTable;
use crate::domain::Failure;

/// Whatever rows can be read from.
pub(super) trait Rows {
    /// An open table.
    type Open<'t, K: RowKey, V: Value + 'static>: TableRead<K, V>
    where
        Self: 't;

    /// Opens a table.
    fn open<K: RowKey, V: Value + 'static>(
        &self,
        table: TableDefinition<'static, K, V>,
    ) -> Result<Self::Open<'_, K, V>, StoreError>;

    /// One record, if it exists.
    fn record<'k, K: RowKey, T>(
        &self,
        table: RecordTable<K>,
        key: impl Borrow<K::SelfType<'k>>,
        decode: impl FnOnce(&[u8]) -> Result<T, Failure>,
    ) -> Result<Option<T>, StoreError> {
        let table = self.open(table)?;
        let found = table.get(key)?;
        Ok(found.map(|found| decode(found.value())).transpose()?)
    }
}

/// The rows of an open table.
pub(super) trait TableRead<K: RowKey, V: Value + 'static> {
    /// The value of a key, if there is a row.
    fn get<'k>(
        &self,
        key: impl Borrow<K::SelfType<'k>>,
    ) -> Result<Option<Found<'_, V>>, StoreError>;

    /// The rows with keys in a range, in the order of keys; none, where the range is inverted.
    fn range<'k, B: Borrow<K::SelfType<'k>> + 'k>(
        &self,
        range: impl RangeBounds<B> + 'k,
    ) -> Result<RowRange<'_, K, V>, StoreError>;

    /// All rows, in the order of keys.
    fn iter(&self) -> Result<RowRange<'_, K, V>, StoreError> {
        self.range::<K::SelfType<'_>>(..)
    }

    /// The first row.
    fn first(&self) -> Result<Option<Row<'_, K, V>>, StoreError> {
        self.iter()?.next().transpose()
    }
}

/// A key or a value that was found.
pub(super) enum Found<'t, T: Value + 'static> {
    File(AccessGuard<'t, T>),
    /// In the bytes of redb.
    Staged(Arc<[u8]>),
}

impl<T: Value + 'static> Found<'_, T> {
    pub(super) fn value(&self) -> T::SelfType<'_> {
        match self {
            Self::File(guard) => guard.value(),
            Self::Staged(bytes) => T::from_bytes(bytes),
        }
    }
}

/// A key with its value.
pub(super) type Row<'t, K, V> = (Found<'t, K>, Found<'t, V>);

/// A row of the file.
type FileRow<'t, K, V> = (AccessGuard<'t, K>, AccessGuard<'t, V>);

/// Rows in the order of keys, from both ends: those of a file, with staged ones in their place.
pub(super) struct RowRange<'t, K: RowKey, V: Value + 'static> {
    file: redb::Range<'t, K, V>,
    /// Rows of the file that were read, and come after a staged one: at the front and at the back.
    held: [Option<FileRow<'t, K, V>>; 2],
    /// A copy, so that a table can be written to while its rows are read.
    staged: TableRows,
}

/// An end of a range.
#[derive(Clone, Copy)]
enum End {
    Front,
    Back,
}

impl<'t, K: RowKey, V: Value + 'static> RowRange<'t, K, V> {
    pub(super) fn new(file: redb::Range<'t, K, V>, staged: TableRows) -> Self {
        Self { file, held: [None, None], staged }
    }

    /// The next row of the file from an end.
    fn of_file(&mut self, end: End) -> Result<Option<FileRow<'t, K, V>>, StoreError> {
        let [front, back] = &mut self.held;
        let (own, other) = match end {
            End::Front => (front, back),
            End::Back => (back, front),
        };
        if let Some(row) = own.take() {
            return Ok(Some(row));
        }
        let read = match end {
            End::Front => self.file.next(),
            End::Back => self.file.next_back(),
        };
        // The last row of all may be the one that is held at the other end.
        Ok(read.transpose()?.or_else(|| other.take()))
    }

    /// The next row from an end.
    fn step(&mut self, end: End) -> Result<Option<Row<'t, K, V>>, StoreError> {
        loop {
            let file = self.of_file(end)?;
            let staged = match end {
                End::Front => self.staged.first_entry(),
                End::Back => self.staged.last_entry(),
            };
            let Some(staged) = staged else {
                return Ok(file.map(|(key, value)| (Found::File(key), Found::File(value))));
            };
            if let Some(row) = file {
                let place = row_keys::encode::<K>(&row.0.value()).cmp(staged.key());
                match (end, place) {
                    // The staged row takes its place.
                    (_, Ordering::Equal) => {}
                    (End::Front, Ordering::Less) | (End::Back, Ordering::Greater) => {
                        return Ok(Some((Found::File(row.0), Found::File(row.1))));
                    }
                    (End::Front, _) => self.held[0] = Some(row),
                    (End::Back, _) => self.held[1] = Some(row),
                }
            }
            let (key, value) = staged.remove_entry();
            if let Some(value) = value {
                return Ok(Some((Found::Staged(redb_bytes::<K>(&key)?), Found::Staged(value))));
            }
        }
    }
}

/// The key of our own bytes in the bytes of redb.
fn redb_bytes<K: RowKey>(key: &[u8]) -> Result<Arc<[u8]>, StoreError> {
    let key = row_keys::decode::<K>(key)?;
    Ok(K::as_bytes(&K::lend(&key)).as_ref().into())
}

impl<'t, K: RowKey, V: Value + 'static> Iterator for RowRange<'t, K, V> {
    type Item = Result<Row<'t, K, V>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(End::Front).transpose()
    }
}

impl<K: RowKey, V: Value + 'static> DoubleEndedIterator for RowRange<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(End::Back).transpose()
    }
}

impl<K: RowKey, V: Value + 'static> TableRead<K, V> for ReadOnlyTable<K, V> {
    fn get<'k>(
        &self,
        key: impl Borrow<K::SelfType<'k>>,
    ) -> Result<Option<Found<'_, V>>, StoreError> {
        Ok(self.get(key)?.map(Found::File))
    }

    fn range<'k, B: Borrow<K::SelfType<'k>> + 'k>(
        &self,
        range: impl RangeBounds<B> + 'k,
    ) -> Result<RowRange<'_, K, V>, StoreError> {
        Ok(RowRange::new(self.range(range)?, TableRows::new()))
    }
}

impl Rows for ReadTransaction {
    type Open<'t, K: RowKey, V: Value + 'static> = ReadOnlyTable<K, V>;

    fn open<K: RowKey, V: Value + 'static>(
        &self,
        table: TableDefinition<'static, K, V>,
    ) -> Result<Self::Open<'_, K, V>, StoreError> {
        Ok(self.open_table(table)?)
    }
}
