//! What a running change reads and writes: rows that are staged in memory above the last commit, or
//! the write transaction itself.
//!
//! A staged change is nothing but rows until it is applied: one that is refused has touched
//! nothing, and the transaction that writes is begun late. Decides nothing about rows.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, Table,
    TableDefinition, Value, WriteTransaction,
};

use super::StoreError;
use super::database_file::begin_write;
use super::row_keys::{self, RowKey};
use super::row_reads::{Found, RowRange, Rows, TableRead};
use super::staged_rows::{StagedRows, TableRows};
use super::tables::{self, EachTable};

/// The rows as a change sees them, with what it has written.
pub(super) enum Workspace {
    Staged(Box<Overlay>),
    /// For what does not fit into memory, and for whole files.
    Direct(Box<WriteTransaction>),
}

/// Rows above a snapshot of the file.
pub(super) struct Overlay {
    below: ReadTransaction,
    /// Rows of the changes that were kept.
    kept: StagedRows,
    /// Rows of the running change.
    own: RefCell<StagedRows>,
}

impl Overlay {
    /// What was written last under a key; `None`, where nothing was.
    fn get(&self, table: u8, key: &[u8]) -> Option<Option<Arc<[u8]>>> {
        RefCell::borrow(&self.own).get(table, key).or_else(|| self.kept.get(table, key))
    }

    /// The rows that were written in a range.
    fn range(&self, table: u8, start: Bound<&[u8]>, end: Bound<&[u8]>) -> TableRows {
        let mut rows = self.kept.range(table, start, end);
        rows.extend(RefCell::borrow(&self.own).range(table, start, end));
        rows
    }
}

impl Workspace {
    /// Rows in memory, above the last commit.
    pub(super) fn staged(database: &Database) -> Result<Self, StoreError> {
        let below = database.begin_read()?;
        let (kept, own) = (StagedRows::default(), RefCell::default());
        Ok(Self::Staged(Box::new(Overlay { below, kept, own })))
    }

    /// The rows of a transaction.
    pub(super) fn direct(database: &Database) -> Result<Self, StoreError> {
        Ok(Self::Direct(Box::new(begin_write(database)?)))
    }

    /// Opens a table for reading and writing. In a transaction, a table can be opened once at a
    /// time.
    pub(super) fn open_table<K: RowKey, V: Value + 'static>(
        &self,
        table: TableDefinition<'static, K, V>,
    ) -> Result<WorkTable<'_, K, V>, StoreError> {
        Ok(match self {
            Self::Direct(tx) => WorkTable::Direct(tx.open_table(table)?),
            Self::Staged(overlay) => WorkTable::Staged {
                number: tables::number(&table)?,
                below: overlay.below.open_table(table)?,
                overlay,
            },
        })
    }

    /// A copy of what the change has written so far; nothing, in a transaction.
    pub(super) fn written(&self) -> StagedRows {
        match self {
            Self::Staged(overlay) => RefCell::borrow(&overlay.own).clone(),
            Self::Direct(_) => StagedRows::default(),
        }
    }

    /// Keeps what the change has written: the next one is run on it.
    pub(super) fn keep(&mut self) {
        if let Self::Staged(overlay) = self {
            overlay.kept.extend(overlay.own.take());
        }
    }

    /// Undoes what the change has written. In a transaction it is the only one, and is undone where
    /// that is not committed.
    pub(super) fn forget(&mut self) {
        if let Self::Staged(overlay) = self {
            overlay.own.take();
        }
    }

    /// A transaction with everything that was kept, to be committed.
    pub(super) fn into_transaction(
        self,
        database: &Database,
    ) -> Result<WriteTransaction, StoreError> {
        let Overlay { below, kept, .. } = match self {
            Self::Direct(tx) => return Ok(*tx),
            Self::Staged(overlay) => *overlay,
        };
        // A reader that lives on keeps pages from being used again, and the file grows.
        drop(below);
        let tx = begin_write(database)?;
        apply(&tx, &kept)?;
        Ok(tx)
    }
}

impl Rows for Workspace {
    type Open<'t, K: RowKey, V: Value + 'static> = WorkTable<'t, K, V>;

    fn open<K: RowKey, V: Value + 'static>(
        &self,
        table: TableDefinition<'static, K, V>,
    ) -> Result<Self::Open<'_, K, V>, StoreError> {
        self.open_table(table)
    }
}

/// A table of a workspace.
pub(super) enum WorkTable<'t, K: RowKey, V: Value + 'static> {
    Direct(Table<'t, K, V>),
    Staged { number: u8, below: ReadOnlyTable<K, V>, overlay: &'t Overlay },
}

impl<K: RowKey, V: Value + 'static> WorkTable<'_, K, V> {
    /// Writes a row, new or in place of the one with its key.
    pub(super) fn insert<'k, 'v>(
        &mut self,
        key: impl Borrow<K::SelfType<'k>>,
        value: impl Borrow<V::SelfType<'v>>,
    ) -> Result<(), StoreError> {
        match self {
            Self::Direct(table) => {
                table.insert(key, value)?;
            }
            Self::Staged { number, overlay, .. } => {
                let value: Arc<[u8]> = V::as_bytes(value.borrow()).as_ref().into();
                overlay.own.borrow_mut().put(
                    *number,
                    row_keys::encode::<K>(key.borrow()),
                    Some(value),
                );
            }
        }
        Ok(())
    }

    /// Removes a row; whether there was one.
    pub(super) fn remove<'k>(
        &mut self,
        key: impl Borrow<K::SelfType<'k>>,
    ) -> Result<bool, StoreError> {
        match self {
            Self::Direct(table) => Ok(table.remove(key)?.is_some()),
            Self::Staged { .. } if self.get(key.borrow())?.is_none() => Ok(false),
            Self::Staged { number, overlay, .. } => {
                overlay.own.borrow_mut().put(*number, row_keys::encode::<K>(key.borrow()), None);
                Ok(true)
            }
        }
    }
}

impl<K: RowKey, V: Value + 'static> TableRead<K, V> for WorkTable<'_, K, V> {
    fn get<'k>(
        &self,
        key: impl Borrow<K::SelfType<'k>>,
    ) -> Result<Option<Found<'_, V>>, StoreError> {
        match self {
            Self::Direct(table) => Ok(table.get(key)?.map(Found::File)),
            Self::Staged { number, below, overlay } => {
                let staged = overlay.get(*number, &row_keys::encode::<K>(key.borrow()));
                match staged {
                    Some(value) => Ok(value.map(Found::Staged)),
                    None => Ok(below.get(key)?.map(Found::File)),
                }
            }
        }
    }

    fn range<'k, B: Borrow<K::SelfType<'k>> + 'k>(
        &self,
        range: impl RangeBounds<B> + 'k,
    ) -> Result<RowRange<'_, K, V>, StoreError> {
        match self {
            Self::Direct(table) => Ok(RowRange::new(table.range(range)?, Default::default())),
            Self::Staged { number, below, overlay } => {
                let ours = |key: &B| row_keys::encode::<K>(key.borrow());
                let (start, end) = (range.start_bound().map(ours), range.end_bound().map(ours));
                let (start, end) =
                    (start.as_ref().map(|key| &**key), end.as_ref().map(|key| &**key));
                let staged = overlay.range(*number, start, end);
                Ok(RowRange::new(below.range(range)?, staged))
            }
        }
    }
}

/// Writes staged rows to a transaction.
pub(super) fn apply(tx: &WriteTransaction, rows: &StagedRows) -> Result<(), StoreError> {
    struct Apply<'t>(&'t WriteTransaction, &'t StagedRows);
    impl EachTable for Apply<'_> {
        fn table<K: RowKey, V: Value + 'static>(
            &mut self,
            number: u8,
            table: TableDefinition<'static, K, V>,
        ) -> Result<(), StoreError> {
            let Some(rows) = self.1.table(number) else { return Ok(()) };
            let mut table = self.0.open_table(table)?;
            for (key, value) in rows {
                let key = row_keys::decode::<K>(key)?;
                match value {
                    Some(value) => table.insert(K::lend(&key), V::from_bytes(value))?.is_some(),
                    None => table.remove(K::lend(&key))?.is_some(),
                };
            }
            Ok(())
        }
    }
    tables::each_table(&mut Apply(tx, rows))
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::ops::Bound;

    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;
    use crate::store::redb::tables::{
        ACCOUNTS, AUDIT, AUDIT_PERSONAL, EXPIRY, INVITE_TOKENS, LETTERS, LETTERS_WAITING, MEMBERS,
        SESSIONS,
    };

    const RUNS: u64 = 100;
    const STEPS: usize = 60;
    const TEXTS: [&str; 6] = ["", "\0", "a", "a\0b", "ab", "b"];

    /// Something that a change does with a table.
    #[derive(Debug)]
    enum Step<K> {
        Insert(K, Vec<u8>),
        Remove(K),
        Get(K),
        First,
        /// At each `true` the next row is read from the back.
        Range(Bound<K>, Bound<K>, Vec<bool>),
    }

    type Answer = Vec<(Vec<u8>, Vec<u8>)>;

    fn bytes<T: Value + 'static>(found: &Found<'_, T>) -> Vec<u8> {
        T::as_bytes(&found.value()).as_ref().to_vec()
    }

    fn read<K: RowKey, V: Value + 'static>(
        mut rows: RowRange<'_, K, V>,
        from_back: &[bool],
    ) -> Answer {
        let mut ends = from_back.iter().chain(std::iter::repeat(&false));
        let next = || if *ends.next()? { rows.next_back() } else { rows.next() };
        std::iter::from_fn(next)
            .map(|row| row.map(|(key, value)| (bytes(&key), bytes(&value))).unwrap())
            .collect()
    }

    fn take<K: RowKey, V: Value + 'static>(
        rows: &Workspace,
        table: TableDefinition<'static, K, V>,
        step: &Step<K::Owned>,
    ) -> Answer {
        let mut table = rows.open_table(table).unwrap();
        match step {
            Step::Insert(key, value) => {
                table.insert(K::lend(key), V::from_bytes(value)).unwrap();
                Vec::new()
            }
            Step::Remove(key) => {
                let was_there = table.remove(K::lend(key)).unwrap();
                vec![(vec![u8::from(was_there)], Vec::new())]
            }
            Step::Get(key) => {
                let found = table.get(K::lend(key)).unwrap();
                found.iter().map(|value| (Vec::new(), bytes(value))).collect()
            }
            Step::First => {
                let found = table.first().unwrap();
                found.iter().map(|(key, value)| (bytes(key), bytes(value))).collect()
            }
            Step::Range(start, end, from_back) => {
                let range = (start.as_ref().map(K::lend), end.as_ref().map(K::lend));
                read(table.range::<K::SelfType<'_>>(range).unwrap(), from_back)
            }
        }
    }

    fn step<K>(dice: &mut StdRng, key: fn(&mut StdRng) -> K, width: Option<usize>) -> Step<K> {
        let bound = |dice: &mut StdRng| match dice.random_range(0..3) {
            0 => Bound::Included(key(dice)),
            1 => Bound::Excluded(key(dice)),
            _ => Bound::Unbounded,
        };
        match dice.random_range(0..10) {
            0..3 => Step::Insert(key(dice), vec![dice.random(); width.unwrap_or(2)]),
            3..5 => Step::Remove(key(dice)),
            5 => Step::Get(key(dice)),
            6 => Step::First,
            _ => {
                let ends = (0..dice.random_range(0..9)).map(|_| dice.random());
                let ends = ends.collect();
                Step::Range(bound(dice), bound(dice), ends)
            }
        }
    }

    /// The same steps by chance on staged rows and in a transaction: each is answered alike, and
    /// what was committed is the same at the end.
    fn compare<K: RowKey, V: Value + 'static>(
        defined: [TableDefinition<'static, K, V>; 2],
        key: fn(&mut StdRng) -> K::Owned,
    ) where
        K::Owned: Debug,
    {
        for seed in 0..RUNS {
            let dice = &mut StdRng::seed_from_u64(seed);
            let databases = [(); 2].map(|()| {
                let memory = redb::backends::InMemoryBackend::new();
                let database = Database::builder().create_with_backend(memory).unwrap();
                let tx = begin_write(&database).unwrap();
                tables::open_all(&tx).unwrap();
                tx.commit().unwrap();
                database
            });
            // The first changes give both the rows that the staged ones lie above.
            for begin in [Workspace::direct, Workspace::staged] {
                let mut rows =
                    [begin(&databases[0]).unwrap(), Workspace::direct(&databases[1]).unwrap()];
                for _ in 0..STEPS {
                    let table = defined[dice.random_range(0..2)];
                    let step = step(dice, key, V::fixed_width());
                    let is_undone =
                        matches!(rows[0], Workspace::Staged(_)) && dice.random_range(0..4) == 0;
                    if is_undone {
                        rows[0].keep();
                        take(&rows[0], table, &step);
                        rows[0].forget();
                        continue;
                    }
                    let [one, other] = rows.each_ref().map(|rows| take(rows, table, &step));
                    assert_eq!(one, other, "seed {seed}: {step:?} on {table}");
                }
                rows[0].keep();
                for (rows, database) in rows.into_iter().zip(&databases) {
                    rows.into_transaction(database).unwrap().commit().unwrap();
                }
            }
            for table in defined {
                let [one, other] = databases.each_ref().map(|database| {
                    let tx = database.begin_read().unwrap();
                    let table = tx.open_table(table).unwrap();
                    read(TableRead::iter(&table).unwrap(), &[])
                });
                assert_eq!(one, other, "seed {seed}: {table} at the end");
            }
        }
    }

    fn text(dice: &mut StdRng) -> String {
        TEXTS[dice.random_range(0..TEXTS.len())].to_owned()
    }

    fn time(dice: &mut StdRng) -> i64 {
        [i64::MIN, -1, 0, 1, i64::MAX][dice.random_range(0..5)]
    }

    fn count(dice: &mut StdRng) -> u64 {
        [0, 1, 255, 256, u64::MAX][dice.random_range(0..5)]
    }

    #[test]
    fn staged_rows_are_read_and_written_as_in_a_transaction() {
        compare([MEMBERS, ACCOUNTS], text);
        compare([LETTERS, LETTERS], count);
        compare([SESSIONS, INVITE_TOKENS], |dice| [dice.random_range(0..9); 32]);
        compare([AUDIT, AUDIT_PERSONAL], |dice| (text(dice), count(dice)));
        compare([LETTERS_WAITING; 2], |dice| (text(dice), time(dice), count(dice)));
        compare([EXPIRY; 2], |dice| (time(dice), dice.random_range(0..2), text(dice)));
    }
}
