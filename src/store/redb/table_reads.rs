//! Row access, the same for read and write transactions.
//!
//! Read-only.

use std::borrow::Borrow;

use redb::{
    Key, ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition, Value,
    WriteTransaction,
};

use super::StoreError;
use super::tables::RecordTable;
use crate::domain::Failure;

/// A transaction in which rows can be read.
pub(super) trait Rows {
    /// An open table. In a write transaction, a table can be opened once at a time.
    type Open<'t, K: Key + 'static, V: Value + 'static>: ReadableTable<K, V>
    where
        Self: 't;

    /// Opens a table.
    fn open<K: Key + 'static, V: Value + 'static>(
        &self,
        table: TableDefinition<'static, K, V>,
    ) -> Result<Self::Open<'_, K, V>, StoreError>;

    /// One record, if it exists.
    fn record<'k, K: Key + 'static, T>(
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

impl Rows for ReadTransaction {
    type Open<'t, K: Key + 'static, V: Value + 'static> = ReadOnlyTable<K, V>;

    fn open<K: Key + 'static, V: Value + 'static>(
        &self,
        table: TableDefinition<'static, K, V>,
    ) -> Result<Self::Open<'_, K, V>, StoreError> {
        Ok(self.open_table(table)?)
    }
}

impl Rows for WriteTransaction {
    type Open<'t, K: Key + 'static, V: Value + 'static> = Table<'t, K, V>;

    fn open<K: Key + 'static, V: Value + 'static>(
        &self,
        table: TableDefinition<'static, K, V>,
    ) -> Result<Self::Open<'_, K, V>, StoreError> {
        Ok(self.open_table(table)?)
    }
}
