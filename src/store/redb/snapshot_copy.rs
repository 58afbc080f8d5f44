//! The copy of a file that another node of the fleet can begin with: everything that the nodes have in
//! common at one place in the log, and nothing of this node alone.

use std::path::{Path, PathBuf};

use super::content_digest::content;
use super::file_rewrite::{CopyFor, copy};
use super::log_apply::position;
use super::tables::FORMAT;
use super::{Store, StoreError, blocking, disk_error_text, revision};
use crate::domain::{Digest, Failure, Kind, Revision};
use crate::store::records::shared_log_position::LogPosition;

/// What a copy for another node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotContent {
    /// Up to where the log is in it.
    pub position: LogPosition,
    /// The revision of the last change in it.
    pub revision: Revision,
    /// The digest of its rows.
    pub content: Digest,
    /// The layout of the file.
    pub layout: u64,
}

impl Store {
    /// Copies what the nodes have in common into a new file at `to` (mode 0600). Changes continue
    /// meanwhile.
    ///
    /// # Errors
    /// `Busy` `log_halted`, where the node does not follow its log any more: what it has may not be
    /// what the others have; `Busy` `copy_failed`, when it cannot be written; `Busy`, when the disk
    /// fails; `Internal` where the file is in no fleet.
    pub async fn copy_snapshot(&self, to: &Path) -> Result<SnapshotContent, Failure> {
        let (store, to): (Self, PathBuf) = (self.clone(), to.to_owned());
        blocking(move || {
            if let Some(link) = store.0.log.get() {
                link.followed()?;
            }
            // What is copied from here is what others begin with.
            store.check_now()?;
            let _copies = store.copying();
            let from = store.guarded(|database| {
                use redb::ReadableDatabase as _;
                Ok(database.begin_read()?)
            })?;
            store.unbroken(|| {
                let read = || {
                    let (position, revision) = (position(&from)?, revision(&from)?);
                    Ok(SnapshotContent {
                        position,
                        revision,
                        content: content(&from)?,
                        layout: FORMAT,
                    })
                };
                let found = read().map_err(|fault| match fault {
                    StoreError::Rule(failure) => failure,
                    StoreError::Disk(fault) => super::busy(&disk_error_text::of(&fault)),
                })?;
                copy(&from, &to, CopyFor::AnotherNode).map_err(|fault| {
                    Failure::new(
                        Kind::Busy,
                        "copy_failed",
                        "the store could not be copied for the other nodes of the fleet, and nothing was changed: free as much space beside it as its file takes",
                    )
                    .logged(disk_error_text::of(&fault))
                })?;
                Ok(found)
            })
        })
        .await
    }
}
