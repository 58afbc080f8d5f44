//! A copy of the whole store as one file, and what a copy that is put back must not bring back.
//!
//! Knows files and rows only: which folder a backup is, is the business of whoever asks.

use std::path::Path;

use super::redb::RedbStore;
use super::{Committed, Store};
use crate::domain::{Actor, Failure, Invite, Revision, Timestamp, TokenHash};

/// What somebody could come in by when the copy was made, and must not now: it may have been ended
/// since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Undone {
    /// Sessions that ended.
    pub sessions: u64,
    /// API tokens that were revoked.
    pub tokens: u64,
    /// Links to a new password or a new address that ended.
    pub links: u64,
}

impl Store {
    /// Copies everything there is at one revision into a new file at `to` (mode 0600). Changes go on
    /// meanwhile. Answers the revision.
    ///
    /// # Errors
    /// `Busy` `copy_failed`, when it cannot be read or written; `Busy`, when the disk fails.
    pub async fn copy_to(&self, to: &Path) -> Result<Revision, Failure> {
        match self {
            Self::Redb(store) => store.copy_to(to).await,
        }
    }

    /// The same for the file at `from`, which no sidecar has open. Its records stay as they are, in
    /// whichever layout.
    ///
    /// # Errors
    /// As [`Self::copy_to`]; a sentence that says what to do, when the file is locked, damaged, or
    /// of a newer version.
    pub async fn copy_file(from: &Path, to: &Path) -> Result<Revision, Failure> {
        RedbStore::copy_file(from, to).await
    }

    /// Ends every session, API token and link to a new password or address, in a store that was put
    /// back as it was at `taken`, and writes down that it was.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn put_back(
        &self,
        actor: &Actor,
        taken: Timestamp,
    ) -> Result<Committed<Undone>, Failure> {
        match self {
            Self::Redb(store) => store.put_back(actor, taken).await,
        }
    }

    /// Every invite that may still be accepted, with the hash of its valid token.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn open_invites(&self) -> Result<Vec<(Invite, TokenHash)>, Failure> {
        match self {
            Self::Redb(store) => store.open_invites().await,
        }
    }
}
