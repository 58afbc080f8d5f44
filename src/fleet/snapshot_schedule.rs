//! When a snapshot is due, and what is removed once one stands.
//!
//! A node that begins with a snapshot needs the entries behind it. So the log keeps what follows the
//! older of the two newest places of which there is a snapshot: one that turns out to be damaged leaves
//! another one.

use std::path::Path;
use std::sync::Arc;

use super::blocking_log_calls::{away, blocking};
use super::snapshot_list::{SnapshotList, list, objects_by_snapshot};
use super::snapshot_writer;
use crate::domain::Failure;
use crate::store::Store;
use crate::store::records::shared_log_entry::LargeEntry;
use crate::store::records::snapshot_manifest::SnapshotManifest;
use crate::store::shared_log::FleetLog;
use crate::store::shared_log_encryption::LogSeal;

/// A snapshot is due when so many entries came since the last one.
pub const ENTRIES_MAX: u64 = 10_000;
/// The same for the bytes of these entries.
pub const BYTES_MAX: u64 = 64 << 20;

/// When the next snapshot of a fleet is due, as one node knows it.
#[derive(Clone, Copy, Debug, Default)]
pub struct SnapshotSchedule {
    /// The index of the newest snapshot; `None` until it was looked for, or while there is none.
    newest: Option<u64>,
    /// How many bytes of entries this node had applied then.
    bytes_then: u64,
}

/// What was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trimmed {
    /// Entries up to and with this index.
    pub through: u64,
    /// How many objects: of older snapshots, and of large entries that were trimmed.
    pub objects: usize,
}

impl SnapshotSchedule {
    /// Whether [`Self::tend`] has something to do, where the node has applied the log up to an index.
    /// `bytes`: as [`Store::log_bytes_applied`] answers. Asks nobody.
    #[must_use]
    pub fn is_due(&self, applied: u64, bytes: u64) -> bool {
        self.newest.is_none_or(|newest| {
            applied.saturating_sub(newest) >= ENTRIES_MAX
                || applied > newest && bytes.saturating_sub(self.bytes_then) >= BYTES_MAX
        })
    }

    /// Looks which snapshots there are, writes one if it is due, and trims the log behind it. One node
    /// at a time should; two do no harm. `scratch`: as of [`snapshot_writer::write`]. Answers what it
    /// wrote.
    ///
    /// # Errors
    /// As [`snapshot_writer::write`].
    pub async fn tend(
        &mut self,
        store: &Store,
        log: &Arc<dyn FleetLog>,
        seal: &LogSeal,
        scratch: &Path,
    ) -> Result<Option<SnapshotManifest>, Failure> {
        let (bytes, applied) = (store.log_bytes_applied(), store.log_applied().await?);
        let found = listed(log, seal).await?;
        // Another node may have written one meanwhile.
        let newest = found.whole.first().map(|newest| newest.name.index);
        if newest != self.newest {
            (self.newest, self.bytes_then) = (newest, bytes);
        }
        if !self.is_due(applied.map_or(0, |head| head.index), bytes) {
            return Ok(None);
        }
        let written = snapshot_writer::write(store, Arc::clone(log), seal.clone(), scratch).await?;
        (self.newest, self.bytes_then) = (Some(written.position.head.index), bytes);
        trim(log, seal).await?;
        Ok(Some(written))
    }
}

async fn listed(log: &Arc<dyn FleetLog>, seal: &LogSeal) -> Result<SnapshotList, Failure> {
    let (log, seal) = (Arc::clone(log), seal.clone());
    blocking(move || list(&*log, &seal)).await
}

/// Removes what no node needs any more: entries up to the older of the two newest places with a
/// snapshot, and what is left of snapshots before that place, whole or not. `None`, while there are
/// not two.
///
/// # Errors
/// `Busy` `log_unavailable`, when the log is not reached.
pub async fn trim(log: &Arc<dyn FleetLog>, seal: &LogSeal) -> Result<Option<Trimmed>, Failure> {
    let (log, seal) = (Arc::clone(log), seal.clone());
    blocking(move || trim_now(&*log, &seal)).await
}

fn trim_now(log: &dyn FleetLog, seal: &LogSeal) -> Result<Option<Trimmed>, Failure> {
    let mut places: Vec<u64> =
        list(log, seal)?.whole.iter().map(|snapshot| snapshot.name.index).collect();
    places.dedup();
    places.get(1).map(|&through| remove(log, through)).transpose()
}

/// Removes the entries up to and with an index, of which there is a snapshot, and what is left of
/// snapshots of before.
///
/// # Errors
/// As [`trim`].
pub(super) async fn trim_behind(log: &Arc<dyn FleetLog>, index: u64) -> Result<Trimmed, Failure> {
    let log = Arc::clone(log);
    blocking(move || remove(&*log, index)).await
}

fn remove(log: &dyn FleetLog, through: u64) -> Result<Trimmed, Failure> {
    log.trim(through).map_err(|why| away(&why))?;
    let mut objects = 0;
    // A writer that is that far behind writes what nobody needs: it may be at work still.
    for (name, of) in objects_by_snapshot(log)?.iter().filter(|(name, _)| name.index < through) {
        // First what makes it a snapshot.
        let manifest = name.manifest();
        let is_manifest = |object: &&String| **object == manifest;
        let rest = of.iter().filter(|object| !is_manifest(object));
        for object in of.iter().filter(is_manifest).chain(rest) {
            log.remove_object(object).map_err(|why| away(&why))?;
            objects += 1;
        }
    }
    for name in log.object_names(LargeEntry::PREFIX).map_err(|why| away(&why))? {
        if LargeEntry::index_of(&name).is_some_and(|index| index <= through) {
            log.remove_object(&name).map_err(|why| away(&why))?;
            objects += 1;
        }
    }
    Ok(Trimmed { through, objects })
}
