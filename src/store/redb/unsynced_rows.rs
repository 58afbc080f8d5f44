//! Rows of other nodes' entries that were committed without waiting for the disk.
//!
//! The log has them, so a crash loses nothing: the node reads them again. But a file that is opened again
//! while the program runs, as after a fault of the disk, must have everything that decisions and callers
//! have seen. So the rows are kept in memory until they are on the disk, and written once more then.

use redb::{Database, Durability, ReadableDatabase as _};

use super::change_workspace;
use super::database_file::begin_write;
use super::log_apply::position;
use super::staged_rows::StagedRows;
use super::{StoreError, replaced};

/// With so many bytes of rows, a commit waits for the disk.
const BYTES_MAX: usize = 1 << 20;

/// What the file has in memory, and may not have on the disk.
#[derive(Debug, Default)]
pub(super) struct UnsyncedRows(Option<Span>);

/// All commits since the last one that waited for the disk.
#[derive(Debug)]
struct Span {
    /// The index up to which the log is on the disk.
    from: u64,
    /// The same with these rows.
    to: u64,
    rows: StagedRows,
    bytes: usize,
}

impl UnsyncedRows {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether rows of so many more bytes may be added.
    pub(super) fn has_space_for(&self, bytes: usize) -> bool {
        bytes.saturating_add(self.0.as_ref().map_or(0, |span| span.bytes)) <= BYTES_MAX
    }

    /// Adds what was committed: the rows of the entries between two indexes of the log, `bytes` bytes of them.
    pub(super) fn add(&mut self, (from, to): (u64, u64), rows: StagedRows, bytes: usize) {
        let span = self.0.get_or_insert(Span { from, to, rows: StagedRows::default(), bytes: 0 });
        span.to = to;
        span.rows.extend(rows);
        span.bytes = span.bytes.saturating_add(bytes);
    }

    /// Forgets all: they are on the disk.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }

    /// Writes the rows to the file that was opened again, unless it has them: a commit that failed may have
    /// reached the disk.
    pub(super) fn write_again(&mut self, database: &Database) -> Result<(), StoreError> {
        let Some(span) = &self.0 else { return Ok(()) };
        let at = position(&database.begin_read()?)?.head.index;
        if at >= span.to {
            self.clear();
            return Ok(());
        }
        // It may have some of these rows already: writing them again changes nothing.
        if at < span.from {
            return Err(replaced().into());
        }
        let mut tx = begin_write(database)?;
        tx.set_durability(Durability::None)?;
        change_workspace::apply(&tx, &span.rows)?;
        Ok(tx.commit()?)
    }
}
