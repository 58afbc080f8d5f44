//! Snapshots beside a log: parts first, the manifest last, so that one that can be found is whole.
//!
//! What is put is named by a random id, and putting it again changes nothing: where it is not known
//! what came of a call, it is made again. One node at a time writes a snapshot, which its caller sees
//! to.

use std::fmt;

use tokio_postgres::types::ToSql;

use super::PostgresLog;
use super::log_rows::{altered, column};
use super::tables::{self, SNAPSHOT_PART_BYTES_MAX};

/// The most snapshots that are looked at.
const SNAPSHOTS_MAX: i64 = 16;
/// How many parts one statement removes.
const REMOVE_STEP: i64 = 50;

/// Names a snapshot: random, so that no other snapshot of any node has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SnapshotId(pub [u8; 16]);

impl fmt::Debug for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A snapshot that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSnapshot {
    /// Its name.
    pub id: SnapshotId,
    /// The index of the last entry that is in it.
    pub index: u64,
    /// What its writer says of it.
    pub manifest: Vec<u8>,
}

impl PostgresLog {
    /// Puts a part of a snapshot.
    ///
    /// # Errors
    /// That it is larger than [`SNAPSHOT_PART_BYTES_MAX`]; why the log cannot be reached, after which
    /// it may be there.
    pub fn put_snapshot_part(&self, id: SnapshotId, part: u32, bytes: &[u8]) -> Result<(), String> {
        bounded(bytes)?;
        let statement = tables::put_snapshot_part(&self.server.schema);
        self.change(&statement, &[&id.0.as_slice(), &i64::from(part), &bytes]).map(drop)
    }

    /// Puts the manifest of a snapshot whose parts are all there; from then on it is found.
    ///
    /// # Errors
    /// As [`Self::put_snapshot_part`].
    pub fn put_snapshot(&self, snapshot: &LogSnapshot) -> Result<(), String> {
        let LogSnapshot { id, index, manifest } = snapshot;
        bounded(manifest)?;
        let index = i64::try_from(*index).map_err(|_| "no entry has this index".to_owned())?;
        let statement = tables::put_snapshot(&self.server.schema);
        self.change(&statement, &[&id.0.as_slice(), &index, manifest]).map(drop)
    }

    /// The newest snapshots, 16 at most, the newest first.
    ///
    /// # Errors
    /// Why the log cannot be reached.
    pub fn snapshots(&self) -> Result<Vec<LogSnapshot>, String> {
        let schema = &self.server.schema;
        let rows = self.look(&tables::snapshots(schema), &[&SNAPSHOTS_MAX])?;
        let snapshot = |row| {
            let id: &[u8] = column(row, 0, schema)?;
            let index: i64 = column(row, 1, schema)?;
            let manifest: Option<Vec<u8>> = column(row, 2, schema)?;
            let (Ok(id), Ok(index), Some(manifest)) =
                (id.try_into(), u64::try_from(index), manifest)
            else {
                return Err(altered(schema, &format!("a snapshot at {index} is none")));
            };
            Ok(LogSnapshot { id: SnapshotId(id), index, manifest })
        };
        rows.iter().map(snapshot).collect()
    }

    /// A part of a snapshot; `None` where it is not there, as after its removal.
    ///
    /// # Errors
    /// Why the log cannot be reached.
    pub fn snapshot_part(&self, id: SnapshotId, part: u32) -> Result<Option<Vec<u8>>, String> {
        let schema = &self.server.schema;
        let statement = tables::snapshot_part(schema);
        let rows = self.look(&statement, &[&id.0.as_slice(), &i64::from(part)])?;
        let Some(row) = rows.first() else { return Ok(None) };
        let bytes: Option<Vec<u8>> = column(row, 0, schema)?;
        let what = format!("part {part} of the snapshot {id:?} is too large");
        bytes.map(Some).ok_or_else(|| altered(schema, &what))
    }

    /// Removes all snapshots but these, and what was put of unfinished ones.
    ///
    /// # Errors
    /// Why the log cannot be reached. Some may be removed.
    pub fn keep_snapshots(&self, kept: &[SnapshotId]) -> Result<(), String> {
        let kept: Vec<&[u8]> = kept.iter().map(|id| id.0.as_slice()).collect();
        // First what makes them be found.
        self.change(&tables::remove_snapshots(&self.server.schema), &[&kept])?;
        let parts = tables::remove_snapshot_parts(&self.server.schema);
        while self.change(&parts, &[&kept, &REMOVE_STEP])? >= REMOVE_STEP.unsigned_abs() {}
        Ok(())
    }

    fn look(
        &self,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>, String> {
        self.runtime.block_on(async {
            let session = self.session(&self.bulk).await?;
            let asked = session.client().query(statement, parameters);
            self.answered(&session, asked).await.map_err(super::Unanswered::said)
        })
    }
}

fn bounded(bytes: &[u8]) -> Result<(), String> {
    let size = bytes.len();
    if size > SNAPSHOT_PART_BYTES_MAX {
        return Err(format!(
            "a part of a snapshot of {size} bytes is larger than {SNAPSHOT_PART_BYTES_MAX}"
        ));
    }
    Ok(())
}
