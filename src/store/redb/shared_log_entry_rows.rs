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
use crate::store::records::shared_log_entry::{Difference, RowChange};

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

#[cfg(test)]
mod tests {
    use redb::Value;

    use super::*;
    use crate::domain::Timestamp;
    use crate::store::records::shared_log_entry::{Entry, Told};
    use crate::store::redb::change_feed_references;
    use crate::store::redb::tables::{
        INVITE_LINKS, MEMBERS, PASSKEYS, POLICIES, RATES, REMOVED, SESSIONS, SESSIONS_BY_MEMBER,
    };

    fn put<K: RowKey, V: Value + 'static>(
        rows: &mut StagedRows,
        table: TableDefinition<'static, K, V>,
        key: &K::SelfType<'_>,
        value: Option<&V::SelfType<'_>>,
    ) {
        let value = value.map(|value| Arc::from(V::as_bytes(value).as_ref()));
        rows.put(tables::number(&table).unwrap(), row_keys::encode::<K>(key), value);
    }

    /// A row of each type of value, and some that are removed.
    fn rows() -> StagedRows {
        let (mut rows, hash) = (StagedRows::default(), &[7; 32]);
        put(&mut rows, META, &"letter", Some(&9));
        put(&mut rows, MEMBERS, &"anna", Some(&&b"a record"[..]));
        put(&mut rows, MEMBERS, &"bert", None);
        put(&mut rows, REMOVED, &"acme\0a@example.org", Some(&-1));
        put(&mut rows, PASSKEYS, &"p", Some(&"anna"));
        put(&mut rows, SESSIONS, &hash, None);
        put(&mut rows, SESSIONS_BY_MEMBER, &("anna", -1, hash), Some(&()));
        put(&mut rows, INVITE_LINKS, &("i", 2), Some(&hash));
        put(&mut rows, RATES, &"acme", Some(&(-1, 3)));
        rows
    }

    fn entry_of(split: Split) -> Entry {
        let Split { shared: rows, rewrite, .. } = split;
        let (actor, at, revision) = ("system".to_owned(), Timestamp(1), Some(Revision(4)));
        let told = vec![Told::Row { table: 2, key: row_keys::encode::<&str>(&"bert") }];
        let changes = vec![Difference { actor, at, revision, rewrite, rows, told }];
        Entry { changes, epoch: None }
    }

    fn text(rows: &StagedRows) -> String {
        format!("{rows:?}")
    }

    #[test]
    fn rows_come_back_and_those_of_one_node_do_not_travel() {
        let mut written = rows();
        for (key, value) in [(tables::REVISION, 4), (tables::REWRITE, 1), ("format", 4)] {
            put(&mut written, META, &key, Some(&value));
        }
        put(&mut written, POLICIES, &"last_good", Some(&&b"policies"[..]));
        let split = split(written).unwrap();
        let mut local = StagedRows::default();
        put(&mut local, META, &"format", Some(&4));
        put(&mut local, POLICIES, &"last_good", Some(&&b"policies"[..]));
        assert_eq!(text(&split.local), text(&local));
        assert!(split.rewrite);
        let entry = entry_of(split);
        let read = Entry::decode(&entry.encode()).unwrap();
        assert_eq!(read, entry);
        let mut staged = StagedRows::default();
        stage(&read.changes[0], &mut staged).unwrap();
        let mut expected = rows();
        put(&mut expected, META, &tables::REVISION, Some(&4));
        put(&mut expected, META, &tables::REWRITE, Some(&1));
        assert_eq!(text(&staged), text(&expected));
    }

    #[test]
    fn an_entry_with_rows_of_one_node_is_refused() {
        for (table, key) in [(35, "last_good"), (36, "applied"), (0, tables::REVISION), (99, "x")] {
            let mut entry = entry_of(Split::default());
            let key = row_keys::encode::<&str>(&key);
            entry.changes[0].rows.push(RowChange { table, key, value: None });
            assert!(stage(&entry.changes[0], &mut StagedRows::default()).is_err(), "{table}");
        }
    }

    #[test]
    fn a_flipped_bit_is_an_error_or_another_entry_and_no_panic() {
        let bytes = entry_of(split(rows()).unwrap()).encode();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                let Ok(entry) = Entry::decode(&flipped) else { continue };
                for change in &entry.changes {
                    let _ = stage(change, &mut StagedRows::default());
                    let _ = change_feed_references::resolve(change);
                }
            }
        }
    }
}
