//! A copy of the whole store as one file, what a restored copy must not bring back, and checks of
//! the file.
//!
//! Works on files and rows; the layout of a backup folder is the caller's.

use std::path::Path;

use super::redb::RedbStore;
use super::{Committed, Store};
use crate::domain::{Actor, Failure, Invite, Revision, Timestamp, TokenHash};

/// What was valid when the copy was made and must end now, since it may have been revoked since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Undone {
    /// Sessions that ended.
    pub sessions: u64,
    /// API tokens that were revoked.
    pub tokens: u64,
    /// Links to a new password or a new address that ended.
    pub links: u64,
}

/// Erased data may still be in freed pages of the file, until a start rewrites it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErasedLeft {
    /// The next start will rewrite it.
    UntilStart,
    /// The last start could not, for this reason.
    Failed(String),
}

impl Store {
    /// Copies everything at one revision into a new file at `to` (mode 0600). Changes continue
    /// meanwhile. Returns the revision.
    ///
    /// # Errors
    /// `Busy` `copy_failed`, when it cannot be read or written; `Busy`, when the disk fails.
    pub async fn copy_to(&self, to: &Path) -> Result<Revision, Failure> {
        match self {
            Self::Redb(store) => store.copy_to(to).await,
        }
    }

    /// The same for the file at `from`, which no sidecar has open. Its records stay unchanged, in
    /// any layout.
    ///
    /// # Errors
    /// As [`Self::copy_to`]; a sentence that says what to do, when the file is locked, damaged, or
    /// of a newer version.
    pub async fn copy_file(from: &Path, to: &Path) -> Result<Revision, Failure> {
        RedbStore::copy_file(from, to).await
    }

    /// The store in a file that no sidecar has open, with every page verified; changes are lost
    /// when it is dropped, and nothing is written to the file.
    ///
    /// # Errors
    /// A sentence that says what to do, when the file is locked, damaged, or of a newer version.
    pub async fn view(path: &Path) -> Result<Self, Failure> {
        RedbStore::view(path).await.map(Self::Redb)
    }

    /// Whether erased data may still be in the file.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn erased_left(&self) -> Result<Option<ErasedLeft>, Failure> {
        match self {
            Self::Redb(store) => store.erased_left().await,
        }
    }

    /// Verifies the checksum of every page in the file; changes continue meanwhile.
    ///
    /// # Errors
    /// `Internal` `store_damaged`; `Busy`, when the disk fails.
    pub async fn check(&self) -> Result<(), Failure> {
        match self {
            Self::Redb(store) => store.check().await,
        }
    }

    /// Whether the open file is the one that a restart would open, unchanged by others.
    ///
    /// # Errors
    /// `Busy` `store_replaced`.
    pub async fn is_in_place(&self) -> Result<(), Failure> {
        match self {
            Self::Redb(store) => store.is_in_place().await,
        }
    }

    /// Why the last write failed, without a path; `None` if it succeeded.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        match self {
            Self::Redb(store) => store.fault(),
        }
    }

    /// The number of failed writes since the start.
    #[must_use]
    pub fn failures(&self) -> u64 {
        match self {
            Self::Redb(store) => store.failures(),
        }
    }

    /// Ends every session, API token and link to a new password or address, in a store that was
    /// restored as of `taken`, and records it.
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

    /// Every open invite, with the hash of its valid token.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn open_invites(&self) -> Result<Vec<(Invite, TokenHash)>, Failure> {
        match self {
            Self::Redb(store) => store.open_invites().await,
        }
    }
}
