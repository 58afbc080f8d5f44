//! From the rows of a running change to those of an entry, and back.
//!
//! Rows that belong to this node alone are split off. Every byte of an entry is checked before a row
//! of it is staged: it comes from outside.

use std::sync::Arc;

use redb::{TableDefinition, Value as _};

use super::StoreError;
use super::row_keys::{self, RowKey};
use super::row_values::{self, RowValue};
use super::staged_rows::StagedRows;
use super::tables::{self, EachTable, Home, META};
use crate::domain::{Failure, Revision};
use crate::store::records::entry::{Difference, RowChange};

/// The rows of a change, by where they belong.
#[derive(Default)]
pub(super) struct Split {
    /// For all nodes, sorted.
    pub(super) shared: Vec<RowChange>,
    /// For this node's file.
    pub(super) local: StagedRows,
    /// Whether the change asks every node to rewrite its file.
    pub(super) rewrite: bool,
}

/// Splits the rows of a change. The row of the revision is left out: the entry has it as a number.
pub(super) fn split(rows: StagedRows) -> Result<Split, StoreError> {
    struct Splitting(StagedRows, Split);
    impl EachTable for Splitting {
        fn table<K: RowKey, V: RowValue>(
            &mut self,
            number: u8,
            _: TableDefinition<'static, K, V>,
        ) -> Result<(), StoreError> {
            for (key, value) in self.0.take_table(number) {
                match tables::home(number, &key)? {
                    Home::AllNodes => {
                        let value = value.map(|value| row_values::encode::<V>(&value));
                        self.1.shared.push(RowChange { table: number, key, value });
                    }
                    Home::ThisNode => self.1.local.put(number, key, value),
                    Home::EntryRevision => {}
                    Home::EntryRewrite => self.1.rewrite = true,
                }
            }
            Ok(())
        }
    }
    let mut splitting = Splitting(rows, Split::default());
    tables::each_table(&mut splitting)?;
    Ok(splitting.1)
}

/// Stages the rows of a change, with its revision and its mark for a rewrite.
pub(super) fn stage(change: &Difference, into: &mut StagedRows) -> Result<(), StoreError> {
    struct Staging<'e>(&'e [RowChange], &'e mut StagedRows, usize);
    impl EachTable for Staging<'_> {
        fn table<K: RowKey, V: RowValue>(
            &mut self,
            number: u8,
            _: TableDefinition<'static, K, V>,
        ) -> Result<(), StoreError> {
            let from = self.0.partition_point(|row| row.table < number);
            let of_table = self.0.iter().skip(from).take_while(|row| row.table == number);
            for RowChange { key, value, .. } in of_table {
                row_keys::decode::<K>(key)?;
                if tables::home(number, key)? != Home::AllNodes {
                    return Err(Failure::internal("an entry has a row of one node alone").into());
                }
                let value = value.as_deref().map(row_values::decode::<V>).transpose()?;
                self.1.put(number, key.clone(), value.map(Arc::from));
                self.2 += 1;
            }
            Ok(())
        }
    }
    let mut staging = Staging(&change.rows, into, 0);
    tables::each_table(&mut staging)?;
    if staging.2 != change.rows.len() {
        return Err(Failure::internal("an entry has a row of a table that there is not").into());
    }
    let mut meta = |key: &str, value: u64| -> Result<(), StoreError> {
        let value: &[u8] = &u64::as_bytes(&value);
        into.put(tables::number(&META)?, row_keys::encode::<&str>(&key), Some(value.into()));
        Ok(())
    };
    if let Some(Revision(revision)) = change.revision {
        meta(tables::REVISION, revision)?;
    }
    if change.rewrite {
        meta(tables::REWRITE, 1)?;
    }
    Ok(())
}
