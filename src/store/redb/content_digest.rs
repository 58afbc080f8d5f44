//! A digest of what a file has in common with the other nodes of its log: equal contents have equal
//! digests, whatever their files look like.

use redb::{ReadTransaction, ReadableTable as _, TableDefinition};

use super::row_keys::{self, RowKey};
use super::row_values::RowValue;
use super::tables::{self, EachTable, Home};
use super::{Store, StoreError};
use crate::domain::digest::Hasher;
use crate::domain::{Digest, Failure};

impl Store {
    /// The digest of every row but those of this node alone.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn content_digest(&self) -> Result<Digest, Failure> {
        self.read(content).await
    }
}

/// The digest of the rows of a transaction.
pub(super) fn content(tx: &ReadTransaction) -> Result<Digest, StoreError> {
    let mut digest = OfRows(tx, Hasher::default());
    tables::each_table(&mut digest)?;
    Ok(digest.1.finish())
}

struct OfRows<'t>(&'t ReadTransaction, Hasher);

impl EachTable for OfRows<'_> {
    fn table<K: RowKey, V: RowValue>(
        &mut self,
        number: u8,
        table: TableDefinition<'static, K, V>,
    ) -> Result<(), StoreError> {
        for row in self.0.open_table(table)?.iter()? {
            let (key, value) = row?;
            let key = row_keys::encode::<K>(&key.value());
            if matches!(tables::home(number, &key)?, Home::AllNodes | Home::EntryRevision) {
                self.1.part(&[number]);
                self.1.part(&key);
                self.1.part(&V::put(&value.value()));
            }
        }
        Ok(())
    }
}
