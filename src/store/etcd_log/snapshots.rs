//! Snapshots in etcd: parts first, the manifest last, so that a snapshot with a manifest is whole.
//!
//! What parts and manifest say is known to whoever writes them.

use super::messages::{KeyValue, Operation, Range, Transaction};
use super::rows::SnapshotId;
use super::{EtcdLog, Repeat};

/// The most bytes of a part or of a manifest.
pub const SNAPSHOT_PART_BYTES_MAX: usize = 1 << 20;
/// How many snapshots are listed.
const SNAPSHOTS_MAX: usize = 100;
/// How many parts are deleted at once.
const DELETE_STEP: usize = 16;

/// A snapshot in etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub id: SnapshotId,
    /// What its writer says of it; `None` where it is not whole: it is being written, or its writer
    /// died.
    pub manifest: Option<Vec<u8>>,
}

impl EtcdLog {
    /// Writes a part; a second time it replaces the first.
    ///
    /// # Errors
    /// That it is larger than [`SNAPSHOT_PART_BYTES_MAX`]; why etcd does not take it, or that this is
    /// not known: then write it again.
    pub fn put_snapshot_part(&self, id: SnapshotId, part: u32, bytes: &[u8]) -> Result<(), String> {
        self.put_bounded(&self.keys.snapshot_part(id, part), bytes)
    }

    /// Writes the manifest, after all parts: the snapshot is whole then.
    ///
    /// # Errors
    /// As [`Self::put_snapshot_part`].
    pub fn put_snapshot_manifest(&self, id: SnapshotId, manifest: &[u8]) -> Result<(), String> {
        self.put_bounded(&self.keys.snapshot_manifest(id), manifest)
    }

    fn put_bounded(&self, key: &[u8], bytes: &[u8]) -> Result<(), String> {
        if bytes.len() > SNAPSHOT_PART_BYTES_MAX {
            return Err(format!(
                "a part of a snapshot has at most {SNAPSHOT_PART_BYTES_MAX} bytes"
            ));
        }
        let (_, created) = self.head()?;
        self.change(&created, vec![Operation::put(key, bytes)]).map(drop)
    }

    /// The snapshots, up to 100 of them, in the order of their ids. Those without a part are not
    /// among them.
    ///
    /// # Errors
    /// Why etcd cannot be reached; that a key is none of a snapshot.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>, String> {
        let (mut found, mut range) = (Vec::new(), self.keys.snapshots());
        while found.len() < SNAPSHOTS_MAX {
            let Some(part) = self.first(&range, true)? else { break };
            let id = self.keys.snapshot_of(&part.key.0).ok_or_else(|| self.altered())?;
            let manifest = self.first(&just(self.keys.snapshot_manifest(id)), false)?;
            found.push(Snapshot { id, manifest: manifest.map(|found| found.value.0) });
            range.key = self.keys.snapshot_parts(id).end;
        }
        Ok(found)
    }

    /// A part, if it is there.
    ///
    /// # Errors
    /// Why etcd cannot be reached.
    pub fn snapshot_part(&self, id: SnapshotId, part: u32) -> Result<Option<Vec<u8>>, String> {
        let found = self.first(&just(self.keys.snapshot_part(id, part)), false)?;
        Ok(found.map(|found| found.value.0))
    }

    /// Deletes a snapshot: its manifest first, so that what is left is not taken for a whole one.
    ///
    /// # Errors
    /// As [`Self::put_snapshot_part`]; what was not deleted is listed still.
    pub fn delete_snapshot(&self, id: SnapshotId) -> Result<(), String> {
        self.delete(&just(self.keys.snapshot_manifest(id)), 1)?;
        self.delete(&self.keys.snapshot_parts(id), DELETE_STEP).map(drop)
    }

    /// The first key of a range, in this log.
    fn first(&self, range: &Range, keys_only: bool) -> Result<Option<KeyValue>, String> {
        let read = Operation::read_range(range, 1, keys_only);
        let transaction =
            Transaction { success: vec![self.read_head(), read], ..Transaction::default() };
        let answer = self.transact(&transaction, Repeat::Harmless).map_err(|fault| fault.why)?;
        let mut read = answer.read();
        self.own_head(read.next())?;
        Ok(read.next().unwrap_or_default().into_iter().next())
    }
}

/// The range of one key.
fn just(key: Vec<u8>) -> Range {
    let end = [key.as_slice(), &[0]].concat();
    Range { key, end }
}
