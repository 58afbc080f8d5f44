//! Begins a node's file with a snapshot: the newest one that is whole, opens, and is of a place in the
//! log that the log still leads on from.
//!
//! In memory is one part at a time. The file has no name of a store until everything in it was compared
//! with the manifest.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use super::blocking_log_calls::{away, blocking, failed};
use super::snapshot_list::{FoundSnapshot, list};
use super::snapshot_writer::is_on_log;
use crate::clock::Clock;
use crate::domain::digest::Hasher;
use crate::domain::{Failure, Kind};
use crate::store::records::fleet_membership::FleetMembership;
use crate::store::records::snapshot_manifest::SnapshotManifest;
use crate::store::shared_log::{FleetLog, NodeId};
use crate::store::shared_log_encryption::LogSeal;
use crate::store::{LAYOUT, Store};

/// The code of a failure because no snapshot can be begun with.
pub const NO_SNAPSHOT: &str = "no_snapshot";
/// Memory for the pages of a file that is compared, in MiB.
const CACHE_MB: usize = 64;

/// Writes a node's file at `to`, which is replaced, from the newest snapshot that can be begun with.
///
/// # Errors
/// `Conflict` `no_snapshot`, with why each one was not taken; `Busy` `log_unavailable`, when the log is
/// not reached; `Busy` `snapshot_failed`, when the file cannot be written.
pub async fn begin_with_newest(
    log: Arc<dyn FleetLog>,
    seal: LogSeal,
    node: NodeId,
    to: &Path,
) -> Result<SnapshotManifest, Failure> {
    let (reading, sealed) = (Arc::clone(&log), seal.clone());
    let found = blocking(move || list(&*reading, &sealed)).await?;
    let mut refused = found.refused;
    for snapshot in found.whole {
        let taken = take(&log, &seal, snapshot, node, to).await;
        match taken {
            Ok(()) => return Ok(snapshot.manifest),
            Err(NotTaken::For(why)) => {
                tracing::warn!(index = snapshot.name.index, why, "a snapshot was not taken");
                refused.push(why);
            }
            Err(NotTaken::Failed(failure)) => {
                let _ = fs::remove_file(to);
                return Err(failure);
            }
        }
    }
    let _ = fs::remove_file(to);
    Err(none_taken(&refused))
}

/// Why a snapshot was not taken.
enum NotTaken {
    /// Because of what it is: an older one may do.
    For(String),
    /// None can be taken now.
    Failed(Failure),
}

impl From<Failure> for NotTaken {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

async fn take(
    log: &Arc<dyn FleetLog>,
    seal: &LogSeal,
    snapshot: FoundSnapshot,
    node: NodeId,
    to: &Path,
) -> Result<(), NotTaken> {
    let (log, unsealed, path) = (Arc::clone(log), seal.clone(), to.to_owned());
    blocking(move || Ok(fetch(&*log, &unsealed, &snapshot, &path))).await??;
    let store = Store::open(to, CACHE_MB, Clock::System).await.map_err(|fault| {
        NotTaken::For(format!("the file of snapshot {} is refused: {fault}", snapshot.name.index))
    })?;
    let is_equal = has_content(&store, &snapshot.manifest).await?;
    if is_equal {
        let fleet = FleetMembership { log: seal.log(), node };
        store.enter_fleet(fleet, snapshot.manifest.position).await?;
    }
    store.close().await?;
    if is_equal {
        return Ok(());
    }
    Err(NotTaken::For(format!("snapshot {} has not the rows of its manifest", snapshot.name.index)))
}

/// Whether a file has what the writer of the snapshot had.
async fn has_content(store: &Store, manifest: &SnapshotManifest) -> Result<bool, Failure> {
    Ok(store.content_digest().await? == manifest.content
        && store.revision().await? == manifest.revision)
}

/// Writes the parts into a new file.
fn fetch(
    log: &dyn FleetLog,
    seal: &LogSeal,
    snapshot: &FoundSnapshot,
    to: &Path,
) -> Result<(), NotTaken> {
    let FoundSnapshot { name, manifest } = snapshot;
    let index = name.index;
    if manifest.layout != LAYOUT {
        let which = if manifest.layout > LAYOUT { "a newer" } else { "an older" };
        return Err(NotTaken::For(format!(
            "snapshot {index} was written by {which} kwic-team than this: install the version that the nodes of the fleet have"
        )));
    }
    let is_led_on = is_on_log(log, &manifest.position.head).map_err(|why| away(&why))?;
    if !is_led_on {
        return Err(NotTaken::For(format!("the log does not lead on from snapshot {index}")));
    }
    let io = |fault| failed(&format!("`{}` cannot be written", to.display()), &fault);
    let mut file = new_file(to).map_err(io)?;
    let (mut hasher, mut bytes) = (Hasher::default(), 0);
    for number in 0..manifest.parts {
        let object = name.part(number);
        let part = log.object(&object).map_err(|why| away(&why))?;
        let part = part.ok_or_else(|| NotTaken::For(format!("`{object}` is missing")))?;
        let part = seal.open_object(&object, &part).map_err(NotTaken::For)?;
        hasher.raw(&part);
        bytes += part.len() as u64;
        file.write_all(&part).map_err(io)?;
    }
    if bytes != manifest.bytes || hasher.finish() != manifest.digest {
        return Err(NotTaken::For(format!(
            "the parts of snapshot {index} are not those of its manifest"
        )));
    }
    file.sync_all().map_err(io)?;
    Ok(())
}

/// An empty file that only its owner may read.
fn new_file(path: &Path) -> std::io::Result<File> {
    match fs::remove_file(path) {
        Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => return Err(fault),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn none_taken(refused: &[String]) -> Failure {
    let why = match refused {
        [] => "there is none: run `kwic-team fleet init` again on the node where it was run first, or start a node of the fleet, which writes one".to_owned(),
        refused => format!("none can be used: {}", refused.join("; ")),
    };
    let sentence =
        format!("a node begins with a snapshot of the fleet, and {why}; nothing was changed");
    Failure::new(Kind::Conflict, NO_SNAPSHOT, sentence)
}
