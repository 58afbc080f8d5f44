//! The snapshots beside a log: which are whole, and which can be begun with.
//!
//! What does not open, lacks parts, or is of another layout is none. Nothing is believed by its name.

use std::collections::BTreeMap;

use super::blocking_log_calls::away;
use super::snapshot_name::{PREFIX, SnapshotName};
use crate::domain::Failure;
use crate::store::records::snapshot_manifest::SnapshotManifest;
use crate::store::shared_log::FleetLog;
use crate::store::shared_log_encryption::LogSeal;

/// A snapshot whose manifest opens, and whose parts are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundSnapshot {
    /// Its name.
    pub name: SnapshotName,
    /// What it is.
    pub manifest: SnapshotManifest,
}

/// What lies beside a log.
#[derive(Debug, Default)]
pub struct SnapshotList {
    /// The newest first.
    pub whole: Vec<FoundSnapshot>,
    /// Why each other one with a manifest is none.
    pub refused: Vec<String>,
}

/// The names of all objects of snapshots, by snapshot.
pub(super) fn objects_by_snapshot(
    log: &dyn FleetLog,
) -> Result<BTreeMap<SnapshotName, Vec<String>>, Failure> {
    let mut found = BTreeMap::<SnapshotName, Vec<String>>::new();
    for object in log.object_names(PREFIX).map_err(|why| away(&why))? {
        if let Some((name, _)) = SnapshotName::parse(&object) {
            found.entry(name).or_default().push(object);
        }
    }
    Ok(found)
}

/// Lists what lies beside a log. Reads manifests, and no parts.
///
/// # Errors
/// `Busy` `log_unavailable`, when the log is not reached.
pub fn list(log: &dyn FleetLog, seal: &LogSeal) -> Result<SnapshotList, Failure> {
    let mut found = SnapshotList::default();
    for (name, objects) in objects_by_snapshot(log)?.iter().rev() {
        let manifest = name.manifest();
        if !objects.contains(&manifest) {
            // Its writer has not come to the end, or never will.
            continue;
        }
        // Removed meanwhile by a node that trims.
        let Some(bytes) = log.object(&manifest).map_err(|why| away(&why))? else { continue };
        match read(name, &bytes, objects.len() as u64 - 1, seal) {
            Ok(manifest) => found.whole.push(FoundSnapshot { name: *name, manifest }),
            Err(why) => found.refused.push(why),
        }
    }
    Ok(found)
}

fn read(
    name: &SnapshotName,
    bytes: &[u8],
    parts: u64,
    seal: &LogSeal,
) -> Result<SnapshotManifest, String> {
    let at = name.manifest();
    let plain = seal.open_object(&at, bytes)?;
    let manifest = SnapshotManifest::decode(&plain).map_err(|fault| format!("`{at}`: {fault}"))?;
    if manifest.position.head.index != name.index {
        return Err(format!("`{at}` is of another index than its name"));
    }
    if parts != manifest.parts {
        return Err(format!(
            "the snapshot of `{at}` has {} parts, and {parts} are there",
            manifest.parts
        ));
    }
    Ok(manifest)
}
