//! Writes a snapshot: the copy of a node's file, in sealed parts beside the log, and at last the
//! manifest, without which the parts are nothing.
//!
//! In memory is one part at a time. What was copied is compared with the log twice, before the parts
//! and before the manifest: a node that has applied what the log does not have must not pass it on.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::blocking_log_calls::{away, blocking, failed};
use super::snapshot_name::SnapshotName;
use crate::domain::digest::Hasher;
use crate::domain::{Digest, Failure, Kind};
use crate::store::records::snapshot_manifest::SnapshotManifest;
use crate::store::shared_log::{FleetLog, LogHead, OBJECT_BYTES_MAX, SharedLog};
use crate::store::shared_log_encryption::{LogSeal, SEAL_BYTES_MAX};
use crate::store::{LOG_HALTED, SnapshotContent, Store};

/// Bytes of a part before it is sealed.
const PART_BYTES: usize = OBJECT_BYTES_MAX - SEAL_BYTES_MAX;

/// Writes a snapshot of what a node has. `scratch`: the path of a file that does not exist, with as
/// much space as the store's file takes; it is removed at the end.
///
/// # Errors
/// `Busy` `log_halted`, where the node does not follow the log, or has what the log does not have;
/// `Busy` `log_unavailable`, when the log is not reached; as [`Store::copy_snapshot`].
pub async fn write(
    store: &Store,
    log: Arc<dyn FleetLog>,
    seal: LogSeal,
    scratch: &Path,
) -> Result<SnapshotManifest, Failure> {
    let scratch = Scratch(scratch.to_owned());
    let content = store.copy_snapshot(&scratch.0).await?;
    // What was halted meanwhile may have been copied already.
    if let Some(why) = store.log_fault() {
        return Err(not_on_log(&why));
    }
    let written = blocking(move || put(&content, &*log, &seal, &scratch.0)).await?;
    tracing::info!(
        index = written.position.head.index,
        parts = written.parts,
        bytes = written.bytes,
        "a snapshot for new nodes was written"
    );
    Ok(written)
}

/// Removed when dropped.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn put(
    content: &SnapshotContent,
    log: &dyn FleetLog,
    seal: &LogSeal,
    copy: &Path,
) -> Result<SnapshotManifest, Failure> {
    let SnapshotContent { position, revision, content, layout } = *content;
    check_on_log(log, &position.head)?;
    let name = SnapshotName::of(position.head.index)?;
    let (parts, bytes, digest) = put_parts(log, seal, copy, &name)?;
    let manifest = SnapshotManifest { position, revision, content, layout, parts, bytes, digest };
    check_on_log(log, &position.head)?;
    put_object(log, seal, (name.index, &name.manifest()), &manifest.encode())?;
    Ok(manifest)
}

/// How many parts, their bytes, and the digest of these.
fn put_parts(
    log: &dyn FleetLog,
    seal: &LogSeal,
    copy: &Path,
    name: &SnapshotName,
) -> Result<(u64, u64, Digest), Failure> {
    let io = |fault| failed("the copy of the store cannot be read", &fault);
    let mut file = File::open(copy).map_err(io)?;
    let (mut hasher, mut parts, mut bytes) = (Hasher::default(), 0, 0);
    let mut part = Vec::with_capacity(PART_BYTES);
    loop {
        part.clear();
        (&mut file).take(PART_BYTES as u64).read_to_end(&mut part).map_err(io)?;
        if part.is_empty() {
            return Ok((parts, bytes, hasher.finish()));
        }
        put_object(log, seal, (name.index, &name.part(parts)), &part)?;
        hasher.raw(&part);
        parts += 1;
        bytes += part.len() as u64;
    }
}

fn put_object(
    log: &dyn FleetLog,
    seal: &LogSeal,
    (index, name): (u64, &str),
    plain: &[u8],
) -> Result<(), Failure> {
    log.put_object(name, &seal.object(index, name, plain)?).map_err(|why| away(&why))
}

/// Refuses a place that is not one of the log.
fn check_on_log(log: &dyn SharedLog, head: &LogHead) -> Result<(), Failure> {
    match is_on_log(log, head).map_err(|why| away(&why))? {
        true => Ok(()),
        false => Err(not_on_log(&format!("the log has another entry {}", head.index))),
    }
}

/// Whether a place is one of the log, and the log still has what follows it.
pub(super) fn is_on_log(log: &dyn SharedLog, head: &LogHead) -> Result<bool, String> {
    let part = log.read(head.index, 1)?;
    if part.head.index <= head.index {
        return Ok(part.head == *head);
    }
    Ok(part.entries.first().is_some_and(|next| next.follows(head)))
}

fn not_on_log(why: &str) -> Failure {
    Failure::new(
        Kind::Busy,
        LOG_HALTED,
        "this node has not what the shared log has, and wrote no snapshot: run `kwic-team fleet join` on it",
    )
    .logged(why)
}
