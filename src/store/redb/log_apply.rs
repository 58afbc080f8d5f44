//! Application of the entries of the shared log to this node's file: those of other nodes, and its
//! own.
//!
//! Several entries are one commit. Each must follow the one before it, and its revisions those of the
//! file; otherwise nothing of it is written, and nothing more of the log is applied.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use redb::ReadableDatabase as _;

use super::change_queue::CommitFault;
use super::change_workspace;
use super::database_file::begin_write;
use super::group_commit::{Ready, Unsynced};
use super::large_entries::{self, NotApplied};
use super::log_connection::{LogConnection, Unread, away};
use super::row_keys;
use super::row_reads::Rows;
use super::staged_rows::StagedRows;
use super::tables::{self, LOG, LOG_APPLIED, LOG_ERASED};
use super::{
    Store, StoreError, UNAVAILABLE, Writer, blocking, change_feed_references, revision,
    shared_log_entry_rows,
};
use crate::domain::{Change, Failure, Kind, Revision};
use crate::store::records::shared_log_entry::Difference;
use crate::store::records::shared_log_position::LogPosition;
use crate::store::shared_log::{LogEntry, LogHead, LogPart, READ_MAX, SharedLog};
use crate::store::shared_log_encryption::{LogCipher, LogSeal};

impl Store {
    /// Has the store follow the log of its fleet from now on: every change is appended to it, and
    /// [`Self::follow_log`] applies those of other nodes. Before anything is changed; once.
    ///
    /// # Errors
    /// `Internal`, when the file is in no fleet; `Busy`, when the disk fails.
    pub async fn join_log(
        &self,
        log: Arc<dyn SharedLog>,
        cipher: Arc<dyn LogCipher>,
    ) -> Result<(), Failure> {
        let fleet = self.fleet().await?;
        let fleet = fleet.ok_or_else(|| Failure::internal("the store is in no fleet"))?;
        let link = LogConnection::new(log, LogSeal::new(fleet.log, cipher), fleet.node);
        let joined = self.0.log.set(link);
        joined.map_err(|_| Failure::internal("the store follows a log already"))
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
            store.noted(store.follow_once(link)).map(|followed| followed.entries)
        })
        .await
    }

    /// As [`Self::follow_log`]; answers where the file and the log are then. `None` without a log.
    ///
    /// # Errors
    /// As [`Self::follow_log`].
    pub async fn follow_to_head(&self) -> Result<Option<Followed>, Failure> {
        let store = self.clone();
        blocking(move || {
            let Some(link) = store.0.log.get() else { return Ok(None) };
            store.noted(store.follow_once(link)).map(Some)
        })
        .await
    }

    /// As [`Self::follow_to_head`], by what one server has of the log, which may be less: no proof that this
    /// node has everything. `None` without a log, or if the log itself is to be asked.
    ///
    /// # Errors
    /// As [`Self::follow_log`].
    pub async fn follow_nearby(&self) -> Result<Option<Followed>, Failure> {
        let store = self.clone();
        blocking(move || {
            let Some(link) = store.0.log.get() else { return Ok(None) };
            let at = store.guarded(|database| position(&database.begin_read()?))?;
            let Some(part) = link.read_nearby(&at.head)? else { return Ok(None) };
            if part.entries.is_empty() {
                return Ok(Some(Followed::nothing_behind(&at.head)));
            }
            store.noted(store.apply_behind(link, &at.head, &part)).map(Some)
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

    /// Bytes of the entries that were applied since [`Self::join_log`]; 0 without a log.
    #[must_use]
    pub fn log_bytes_applied(&self) -> u64 {
        self.0.log.get().map_or(0, |link| link.bytes.load(Ordering::Relaxed))
    }

    /// Why the store has stopped following its log.
    #[must_use]
    pub fn log_fault(&self) -> Option<String> {
        self.0.log.get().and_then(LogConnection::fault)
    }

    /// Stops following the log for good, as where it does not lead on from what was applied.
    pub fn halt_log(&self, why: &str) {
        if let Some(link) = self.0.log.get() {
            link.halt(why);
        }
    }

    /// Notes by how many seconds the clock of this machine is ahead of the other nodes, where that is
    /// too much: no change is made then, as the times of all later ones would be ahead, too. Answers
    /// whether that is news.
    pub fn set_clock_ahead(&self, seconds: Option<u64>) -> bool {
        self.0.log.get().is_some_and(|link| link.set_clock_ahead(seconds))
    }

    /// Applies what the log has beyond the file, up to a bound.
    pub(super) fn follow_once(&self, link: &LogConnection) -> Result<Followed, Failure> {
        let at = self.guarded(|database| position(&database.begin_read()?))?;
        // No lock is held meanwhile: another caller may apply the same entries.
        let part = self.read_log(link, &at.head)?;
        if part.head == at.head {
            return Ok(Followed::nothing_behind(&at.head));
        }
        self.apply_behind(link, &at.head, &part)
    }

    /// Applies what was read behind a head.
    pub(super) fn apply_behind(
        &self,
        link: &LogConnection,
        at: &LogHead,
        part: &LogPart,
    ) -> Result<Followed, Failure> {
        let (before, head) = (at.index, part.head.index);
        self.apply(link, &part.entries, None).map_err(|fault| fault.fault)?;
        let entries = part.entries.iter().filter(|entry| entry.head.index > before).count();
        let applied = part.entries.last().map_or(before, |last| last.head.index.max(before));
        Ok(Followed { entries, applied, head })
    }

    /// Reads what follows a head. Stops following where the log does not lead on from what is in the file.
    pub(super) fn read_log(
        &self,
        link: &LogConnection,
        before: &LogHead,
    ) -> Result<LogPart, Failure> {
        let why = match link.read_after(before, READ_MAX) {
            Ok(part) => return Ok(part),
            Err(Unread::Failed(fault)) => return Err(fault),
            Err(Unread::Gap(why)) => why,
        };
        // No lock was held: another caller may have applied what follows, and all nodes have trimmed it.
        let at = self.guarded(|database| position(&database.begin_read()?))?;
        Err(if at.head.index > before.index {
            away("another change applied what follows meanwhile")
        } else {
            link.halt(&why)
        })
    }

    /// Waits until what was applied is on the disk: a crash cannot undo it then.
    ///
    /// # Errors
    /// As [`Self::revision`].
    pub async fn persist(&self) -> Result<(), Failure> {
        let store = self.clone();
        blocking(move || store.noted(store.persist_now())).await
    }

    pub(super) fn persist_now(&self) -> Result<(), Failure> {
        // Not by the lock of changes, which may be held for long.
        if self.unsynced().is_empty() { Ok(()) } else { self.persist_with(&mut self.writer()) }
    }

    pub(super) fn persist_with(&self, writer: &mut Writer) -> Result<(), Failure> {
        self.ready(writer)?;
        if self.unsynced().is_empty() {
            return Ok(());
        }
        let persisted = self.write_and_tell(writer, |database| {
            let (tx, told) = (begin_write(database)?, Vec::new());
            Ok((Some(Ready { tx, told, unsynced: None }), ()))
        });
        persisted.map_err(|fault| fault.fault)
    }

    /// Writes entries that follow what is in the file, and tells subscribers; those that are in it
    /// already are passed over. `own`: of changes of this node, the rows that are of it alone; only these
    /// wait for the disk. Whatever else is lost in a crash is read from the log once more.
    pub(super) fn apply(
        &self,
        link: &LogConnection,
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
        let mut staged = Staged { learns: true, ..Staged::behind(at, reached) };
        for entry in entries {
            staged.add(link, entry).map_err(|why| {
                CommitFault::of_all(match why {
                    NotApplied::Never(why) => link.halt(&why),
                    NotApplied::NotYet(why) => away(&why),
                })
            })?;
        }
        if staged.at.head == at.head && own.is_none() {
            return Ok(());
        }
        link.seal.keep().map_err(|fault| {
            CommitFault::of_all(Failure::new(Kind::Busy, UNAVAILABLE, fault.public))
        })?;
        let bytes: usize = entries.iter().map(|entry| entry.bytes.len()).sum();
        link.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        // On a disk that is full, what other nodes removed counts all the same.
        let bytes = staged.rows.bytes();
        let waits = own.is_some() || !self.unsynced().has_space_for(bytes);
        staged.rows.extend(own.unwrap_or_default());
        self.write_and_tell(&mut writer, |database| {
            let tx = begin_write(database)?;
            staged.mark()?;
            change_workspace::apply(&tx, &staged.rows)?;
            let Staged { at: to, rows, told, .. } = staged;
            let span = (at.head.index, to.head.index);
            Ok((
                Some(Ready {
                    tx,
                    told,
                    unsynced: (!waits).then_some(Unsynced { span, rows, bytes }),
                }),
                (),
            ))
        })
    }
}

/// What came of a look at the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Followed {
    /// How many entries were beyond the file.
    pub entries: usize,
    /// The index up to which the log is in the file now, at least.
    pub applied: u64,
    /// The index of the log's head when it was asked.
    pub head: u64,
}

impl Followed {
    fn nothing_behind(&LogHead { index, .. }: &LogHead) -> Self {
        Self { entries: 0, applied: index, head: index }
    }

    /// Whether the log has more than was read at once.
    pub(super) fn is_behind(&self) -> bool {
        self.applied < self.head
    }
}

/// Up to where the log is in a file.
pub(super) fn position(rows: &impl Rows) -> Result<LogPosition, StoreError> {
    let found = rows.record(LOG, LOG_APPLIED, LogPosition::decode)?;
    Ok(found.ok_or_else(|| Failure::internal("the file does not say where it is in the log"))?)
}

/// Why an entry could not be applied behind a place in the log, if that is so. Asked before an entry
/// is appended: one that cannot be applied would stop every node.
pub(super) fn check(
    link: &LogConnection,
    at: LogPosition,
    reached: Revision,
    entry: &LogEntry,
) -> Result<(), NotApplied> {
    Staged::behind(at, reached).add(link, entry)
}

/// Entries that are to be written.
struct Staged {
    at: LogPosition,
    reached: Revision,
    rows: StagedRows,
    told: Vec<Change>,
    /// The last entry that erased data.
    erased: Option<LogPosition>,
    /// Whether the entries are in the log, so that the keys in them are those of its epochs.
    learns: bool,
}

impl Staged {
    /// Nothing yet, behind a place in the log.
    fn behind(at: LogPosition, reached: Revision) -> Self {
        let (rows, told) = (StagedRows::default(), Vec::new());
        Self { at, reached, rows, told, erased: None, learns: false }
    }

    /// Adds the next entry; why it is not the next one.
    fn add(&mut self, link: &LogConnection, entry: &LogEntry) -> Result<(), NotApplied> {
        let (index, last) = (entry.head.index, self.at.head.index);
        if index < last || entry.head == self.at.head {
            return Ok(());
        }
        if index > last.saturating_add(1) {
            return Err(format!("entry {index} came after entry {last}").into());
        }
        if !entry.follows(&self.at.head) {
            return Err(format!("entry {index} does not follow what was applied").into());
        }
        let of_entry = |fault: StoreError| format!("entry {index}: {}", text(&fault));
        let plain = link.seal.open_entry(&self.at.head, entry)?;
        let decoded = large_entries::whole(link, entry, &plain)?;
        for change in &decoded.changes {
            self.add_change(change).map_err(of_entry)?;
        }
        if let (true, Some(next)) = (self.learns, &decoded.epoch) {
            link.seal.learn(next, index).map_err(|why| format!("entry {index}: {why}"))?;
        }
        self.at.head = entry.head;
        if decoded.changes.iter().any(|change| change.rewrite) {
            self.erased = Some(self.at);
        }
        Ok(())
    }

    fn add_change(&mut self, change: &Difference) -> Result<(), StoreError> {
        if let Some(revision) = change.revision {
            if revision != self.reached.next() {
                let why = format!("revision {revision} came after revision {}", self.reached);
                return Err(Failure::internal(why).into());
            }
            self.reached = revision;
            self.told.push(Change { revision, rows: change_feed_references::resolve(change)? });
        }
        self.at.at = self.at.at.max(change.at);
        shared_log_entry_rows::stage(change, &mut self.rows)
    }

    /// Writes down up to where the log is in the file.
    fn mark(&mut self) -> Result<(), StoreError> {
        let table = tables::number(&LOG)?;
        for (row, position) in [(LOG_APPLIED, Some(self.at)), (LOG_ERASED, self.erased)] {
            if let Some(position) = position {
                let key = row_keys::encode::<&str>(&row);
                self.rows.put(table, key, Some(position.encode().into()));
            }
        }
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
