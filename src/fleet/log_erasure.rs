//! What a log still holds from before an index, and removing it for an erasure.
//!
//! Trimming for an erasure leaves one snapshot, which is newer than what was erased. It waits for the
//! nodes: one that would find the log trimmed behind it would have to join again, and keeps the file
//! with what was erased until then. The calls block, except for [`ErasureInLog::step`].

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::blocking_log_calls::{away, blocking};
use super::snapshot_list::list;
use super::snapshot_name::{PREFIX, SnapshotName};
use super::{snapshot_schedule, snapshot_writer};
use crate::domain::Failure;
use crate::store::Store;
use crate::store::records::shared_log_entry::LargeEntry;
use crate::store::shared_log::FleetLog;
use crate::store::shared_log_encryption::LogSeal;

/// What a log still has, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRemains {
    /// No entry, large object or snapshot, whole or not, is older than this index.
    pub behind: u64,
    /// The place of the newest snapshot, whole or not; 0 for none.
    pub newest_snapshot: u64,
}

impl LogRemains {
    /// Looks what there is.
    ///
    /// # Errors
    /// Why the log cannot be reached.
    pub fn of(log: &dyn FleetLog) -> Result<Self, String> {
        let part = log.read(0, 1)?;
        let first = part.entries.first();
        let entries = first.map_or(part.head.index, |entry| entry.head.index.saturating_sub(1));
        let large = log.object_names(LargeEntry::PREFIX)?;
        let large = large.iter().filter_map(|name| LargeEntry::index_of(name));
        let entries = large.map(|index| index.saturating_sub(1)).fold(entries, u64::min);
        let names = log.object_names(PREFIX)?;
        let snapshots = names.iter().filter_map(|name| SnapshotName::parse(name));
        let none = Self { behind: entries, newest_snapshot: 0 };
        Ok(snapshots.fold(none, |found, (name, _)| Self {
            behind: found.behind.min(name.index),
            newest_snapshot: found.newest_snapshot.max(name.index),
        }))
    }
}

/// Removes what was erased from the log, by a node that has applied the erasure.
pub struct ErasureInLog<'a> {
    /// The node's store.
    pub store: &'a Store,
    /// The log.
    pub log: &'a Arc<dyn FleetLog>,
    /// Its seal.
    pub seal: &'a LogSeal,
    /// As of [`snapshot_writer::write`].
    pub scratch: &'a Path,
}

impl fmt::Debug for ErasureInLog<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErasureInLog").field("seal", self.seal).finish_non_exhaustive()
    }
}

impl ErasureInLog<'_> {
    /// Goes on with removing everything up to an index: begins a new epoch, writes a snapshot of a later
    /// place where there is none, and trims the log behind it once every node has applied that much.
    /// Answers whether everything is removed. `applied_by_all`: every node has applied the log up to
    /// there.
    ///
    /// # Errors
    /// As [`snapshot_writer::write`].
    pub async fn step(&self, up_to: u64, applied_by_all: u64) -> Result<bool, Failure> {
        // Nothing that stays may need the key of before.
        self.store.begin_epoch(up_to).await?;
        let up_to = self.seal.begins().1.max(up_to);
        let (log, seal) = (Arc::clone(self.log), self.seal.clone());
        let newest = blocking(move || {
            let found = list(&*log, &seal)?;
            Ok(found.whole.first().map(|newest| newest.name.index))
        });
        let newest = match newest.await? {
            Some(newest) if newest >= up_to => newest,
            _ => {
                let (log, seal) = (Arc::clone(self.log), self.seal.clone());
                let written = snapshot_writer::write(self.store, log, seal, self.scratch).await?;
                written.position.head.index
            }
        };
        if newest < up_to || newest > applied_by_all {
            return Ok(false);
        }
        snapshot_schedule::trim_behind(self.log, newest).await?;
        let log = Arc::clone(self.log);
        let left = blocking(move || LogRemains::of(&*log).map_err(|why| away(&why))).await?;
        Ok(left.behind >= up_to)
    }
}
