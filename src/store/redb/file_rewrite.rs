//! Rewriting the store's file after an erasure.
//!
//! A freed page keeps its bytes until it is reused, and so does the unused end of a page: neither
//! deleting a row nor compacting the file removes its bytes. A new file has only the current rows.
//! An incomplete file never gets the store's name.

use std::fs::{self, File};
use std::path::Path;

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError,
    TableHandle as _, Value, WriteTransaction,
};

use super::change_workspace::Workspace;
use super::database_file::{StoreFile, beside, fill_file, open_failure};
use super::row_keys::RowKey;
use super::tables::{
    EachTable, FORMAT_ROW, LOG, LOG_APPLIED, LOG_REWRITTEN, META, REWRITE, each_table,
    is_of_one_node, layout,
};
use super::{StoreError, disk_error_text};
use crate::config::resolve_symlinks;
use crate::domain::Failure;

/// Schedules a rewrite of the file.
pub(super) fn request_rewrite(tx: &Workspace) -> Result<(), StoreError> {
    tx.open_table(META)?.insert(REWRITE, 1)
}

/// The database, rewritten if that is due. If it fails, for lack of space, the old file is used,
/// and the next start tries again.
pub(super) fn rewrite_if_due(database: Database, file: &StoreFile) -> Result<Database, Failure> {
    // Behind a link the target is replaced, and the link stays.
    let path = resolve_symlinks(file.path())?;
    let due = database.begin_read().map_err(StoreError::from).and_then(|tx| is_due(&tx));
    match due {
        Ok(false) => return Ok(database),
        Ok(true) => {}
        Err(StoreError::Rule(failure)) => return Err(failure),
        Err(StoreError::Disk(fault)) => return Err(open_failure(&path, &fault)),
    }
    let new = beside(&path);
    let made = database.begin_read().map_err(redb::Error::from).and_then(|from| {
        copy(&from, &new, CopyFor::Rewrite)?;
        fs::rename(&new, &path).map_err(|fault| redb::StorageError::Io(fault).into())
    });
    if let Err(fault) = made {
        let _ = fs::remove_file(&new);
        tracing::warn!(
            %fault,
            "erased data may still be in freed pages of the store: free as much space as its file takes, then restart the sidecar"
        );
        file.tell_not_rewritten(disk_error_text::of(&fault));
        return Ok(database);
    }
    // The rename must be durable, too; the file itself already is.
    if let Some(Err(fault)) = path.parent().map(|folder| File::open(folder)?.sync_all()) {
        tracing::warn!(%fault, "the folder of the store could not be synced");
    }
    drop(database);
    tracing::info!("the store's file was rewritten without the erased data");
    file.open_now()
}

/// Whether a rewrite is due.
pub(super) fn is_due(tx: &ReadTransaction) -> Result<bool, StoreError> {
    match tx.open_table(META) {
        Ok(meta) => Ok(meta.get(REWRITE)?.is_some()),
        Err(TableError::TableDoesNotExist(_)) => Ok(false),
        Err(fault) => Err(fault.into()),
    }
}

/// What a copy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CopyFor {
    /// To take the place of the file: everything.
    Rewrite,
    /// To be restored, on its own: in no fleet.
    Backup,
    /// To be the beginning of another node's file: without what is of this node alone.
    AnotherNode,
}

impl CopyFor {
    fn has(self, table: &str) -> bool {
        match self {
            Self::Rewrite => true,
            Self::Backup => table != LOG.name(),
            Self::AnotherNode => !is_of_one_node(table),
        }
    }
}

/// Creates a new file with the contents of a transaction.
pub(super) fn copy(from: &ReadTransaction, path: &Path, what: CopyFor) -> Result<(), redb::Error> {
    fill_file(path, |to| {
        each_table(&mut Copy { from, to, what })?;
        let mut meta = to.open_table(META)?;
        meta.remove(REWRITE)?;
        if what != CopyFor::Rewrite {
            let format = meta.get(FORMAT_ROW)?.map(|found| layout(found.value()));
            if let Some(format) = format {
                meta.insert(FORMAT_ROW, format)?;
            }
        }
        let mut log = to.open_table(LOG)?;
        let applied = log.get(LOG_APPLIED)?.map(|found| found.value().to_vec());
        if let Some(applied) = applied {
            log.insert(LOG_REWRITTEN, applied.as_slice())?;
        }
        Ok(())
    })
}

struct Copy<'t> {
    from: &'t ReadTransaction,
    to: &'t WriteTransaction,
    what: CopyFor,
}

impl EachTable for Copy<'_> {
    fn table<K: RowKey, V: Value + 'static>(
        &mut self,
        _: u8,
        table: TableDefinition<'static, K, V>,
    ) -> Result<(), StoreError> {
        let from = match self.from.open_table(table) {
            Ok(from) => from,
            // Of an older layout.
            Err(TableError::TableDoesNotExist(_)) => return Ok(()),
            Err(fault) => return Err(fault.into()),
        };
        let mut to = self.to.open_table(table)?;
        if !self.what.has(table.name()) {
            return Ok(());
        }
        for row in from.iter()? {
            let (key, value) = row?;
            to.insert(key.value(), value.value())?;
        }
        Ok(())
    }
}
