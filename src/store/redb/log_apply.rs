//! Application of the entries of the shared log to this node's file: those of other nodes, and its
//! own.
//!
//! Several entries are one commit. Each must follow the one before it, and its revisions those of the
//! file; otherwise nothing of it is written, and nothing more of the log is applied.

use std::sync::Arc;

use redb::ReadableDatabase as _;

use super::change_jobs::CommitFault;
use super::database_file::begin_write;
use super::group_commit::Ready;
use super::log_link::LogLink;
use super::row_keys;
use super::staged_rows::StagedRows;
use super::table_reads::{Rows, TableRead as _};
use super::tables::{self, LOG};
use super::workspace::{self, Workspace};
use super::{Store, StoreError, blocking, entry_rows, revision, told_records};
use crate::domain::{Change, Failure, Revision, Timestamp};
use crate::store::records::entry::{Difference, Entry};
use crate::store::records::log_position::LogPosition;
use crate::store::shared_log::{LogEntry, LogHead, READ_MAX, SharedLog};

/// The row of [`LOG`] that says up to where the log is in the file.
const APPLIED: &str = "applied";

impl Store {
    /// Has the store follow a log from now on: every change is appended to it, and
    /// [`Self::follow_log`] applies those of other nodes. `start`: the place in the log whose state a
    /// file has that has followed none. Before anything is changed; once.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn join_log(&self, log: Arc<dyn SharedLog>, start: LogHead) -> Result<(), Failure> {
        let store = self.clone();
        blocking(move || {
            let mut writer = store.writer();
            store.ready(&mut writer)?;
            let begun = store.write_and_tell(&mut writer, |database| {
                let rows = Workspace::direct(database)?;
                if rows.open(LOG)?.get(APPLIED)?.is_some() {
                    return Ok((None, ()));
                }
                let first = LogPosition { head: start, at: Timestamp(i64::MIN) };
                rows.open_table(LOG)?.insert(APPLIED, first.encode().as_slice())?;
                let tx = rows.into_transaction(database)?;
                Ok((Some(Ready { tx, told: Vec::new() }), ()))
            });
            begun.map_err(|fault| fault.fault)?;
            let joined = store.0.log.set(LogLink::new(log));
            joined.map_err(|_| Failure::internal("the store follows a log already"))
        })
        .await
    }

    /// Applies what the log has beyond the file, up to a bound; answers how many entries.
    ///
    /// # Errors
    /// `Busy` `log_unavailable`, when the log is not reached; `log_halted`, when what it has does not
    /// follow what was applied; as [`Self::revision`], when the disk fails.
    pub async fn follow_log(&self) -> Result<usize, Failure> {
        let store = self.clone();
        blocking(move || {
            let Some(link) = store.0.log.get() else { return Ok(0) };
            store.noted(store.catch_up(link))
        })
        .await
    }

    /// Up to where the log is in the file; `None` without a log.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn log_applied(&self) -> Result<Option<LogHead>, Failure> {
        if self.0.log.get().is_none() {
            return Ok(None);
        }
        self.read(|tx| Ok(Some(position(tx)?.head))).await
    }

    /// Why the store has stopped following its log.
    #[must_use]
    pub fn log_fault(&self) -> Option<String> {
        self.0.log.get().and_then(LogLink::fault)
    }

    /// Applies what the log has beyond the file, up to a bound.
    pub(super) fn catch_up(&self, link: &LogLink) -> Result<usize, Failure> {
        let at = self.guarded(|database| position(&database.begin_read()?))?;
        // No lock is held meanwhile: another caller may apply the same entries.
        let part = link.read_after(&at.head, READ_MAX)?;
        if part.head == at.head {
            return Ok(0);
        }
        self.apply(link, &part.entries, None).map_err(|fault| fault.fault)?;
        Ok(part.entries.iter().filter(|entry| entry.head.index > at.head.index).count())
    }

    /// Writes entries that follow what is in the file, and tells subscribers; those that are in it
    /// already are passed over. `own`: rows of this node alone that are written with them.
    pub(super) fn apply(
        &self,
        link: &LogLink,
        entries: &[LogEntry],
        own: Option<StagedRows>,
    ) -> Result<(), Box<CommitFault>> {
        let mut writer = self.writer();
        self.ready(&mut writer).map_err(CommitFault::of_all)?;
        link.followed().map_err(CommitFault::of_all)?;
        let read = self.guarded(|database| {
            let tx = database.begin_read()?;
            Ok((position(&tx)?, revision(&tx)?))
        });
        let (at, reached) = read.map_err(CommitFault::of_all)?;
        let mut staged = Staged { at, reached, rows: StagedRows::default(), told: Vec::new() };
        for entry in entries {
            staged.add(entry).map_err(|why| CommitFault::of_all(link.halt(&why)))?;
        }
        if staged.at.head == at.head && own.is_none() {
            return Ok(());
        }
        staged.rows.extend(own.unwrap_or_default());
        self.write_and_tell(&mut writer, |database| {
            let tx = begin_write(database)?;
            staged.mark()?;
            workspace::apply(&tx, &staged.rows)?;
            Ok((Some(Ready { tx, told: staged.told }), ()))
        })
    }
}

/// Up to where the log is in a file.
pub(super) fn position(rows: &impl Rows) -> Result<LogPosition, StoreError> {
    let found = rows.record(LOG, APPLIED, LogPosition::decode)?;
    Ok(found.ok_or_else(|| Failure::internal("the file does not say where it is in the log"))?)
}

/// Why an entry could not be applied behind a place in the log, if that is so. Asked before an entry
/// is appended: one that cannot be applied would stop every node.
pub(super) fn check(at: LogPosition, reached: Revision, entry: &LogEntry) -> Result<(), String> {
    Staged { at, reached, rows: StagedRows::default(), told: Vec::new() }.add(entry)
}

/// Entries that are to be written.
struct Staged {
    at: LogPosition,
    reached: Revision,
    rows: StagedRows,
    told: Vec<Change>,
}

impl Staged {
    /// Adds the next entry; why it is not the next one.
    fn add(&mut self, entry: &LogEntry) -> Result<(), String> {
        let (index, last) = (entry.head.index, self.at.head.index);
        if index < last || entry.head == self.at.head {
            return Ok(());
        }
        if index > last.saturating_add(1) {
            return Err(format!("entry {index} came after entry {last}"));
        }
        if !entry.follows(&self.at.head) {
            return Err(format!("entry {index} does not follow what was applied"));
        }
        let of_entry = |fault: StoreError| format!("entry {index}: {}", text(&fault));
        let decoded = Entry::decode(&entry.bytes).map_err(|fault| of_entry(fault.into()))?;
        for change in &decoded.changes {
            self.add_change(change).map_err(of_entry)?;
        }
        self.at.head = entry.head;
        Ok(())
    }

    fn add_change(&mut self, change: &Difference) -> Result<(), StoreError> {
        if let Some(revision) = change.revision {
            if revision != self.reached.next() {
                let why = format!("revision {revision} came after revision {}", self.reached);
                return Err(Failure::internal(why).into());
            }
            self.reached = revision;
            self.told.push(Change { revision, rows: told_records::resolve(change)? });
        }
        self.at.at = self.at.at.max(change.at);
        entry_rows::stage(change, &mut self.rows)
    }

    /// Writes down up to where the log is in the file.
    fn mark(&mut self) -> Result<(), StoreError> {
        let (table, key) = (tables::number(&LOG)?, row_keys::encode::<&str>(&APPLIED));
        self.rows.put(table, key, Some(self.at.encode().into()));
        Ok(())
    }
}

/// The cause, for the log.
fn text(fault: &StoreError) -> String {
    match fault {
        StoreError::Rule(failure) => failure.private.as_ref().unwrap_or(&failure.public).clone(),
        StoreError::Disk(error) => error.to_string(),
    }
}
