//! Writing a small file anew while the store is open, so that an erasure need not wait for a restart.
//!
//! Every read and change waits meanwhile. A large file is written anew at the next start.

use std::fs;
use std::sync::{PoisonError, RwLockReadGuard};

use redb::ReadableDatabase as _;

use super::database_file::open_failure;
use super::file_rewrite::{is_due, rewrite_if_due};
use super::{Store, blocking};
use crate::domain::{Failure, limits};

impl Store {
    /// Writes the file anew without erased data, if that is due and the file is small. Answers whether
    /// there is nothing left to try before the next start: not while a copy of the file is made. What
    /// failed is told by [`Self::erased_left`].
    ///
    /// # Errors
    /// `Busy` `store_replaced`, where the file is not in its place; `Busy`, when the disk fails.
    pub async fn rewrite_if_small(&self) -> Result<bool, Failure> {
        let store = self.clone();
        blocking(move || store.rewrite_now()).await
    }

    /// Keeps the file from being written anew.
    pub(super) fn copying(&self) -> RwLockReadGuard<'_, ()> {
        self.0.copies.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn rewrite_now(&self) -> Result<bool, Failure> {
        let Some(file) = &self.0.file else { return Ok(true) };
        let Ok(_copies) = self.0.copies.try_write() else { return Ok(false) };
        let mut writer = self.writer();
        // Where writing it anew fails, the file on the disk is opened again.
        self.persist_with(&mut writer)?;
        self.in_place()?;
        let is_due = self.guarded(|database| is_due(&database.begin_read()?))?;
        let length = fs::metadata(file.path())
            .map(|meta| meta.len())
            .map_err(|fault| open_failure(file.path(), &redb::Error::Io(fault)))?;
        if !is_due || length > limits::STORE_REWRITTEN_BYTES_MAX {
            return Ok(true);
        }
        self.unbroken(|| {
            let mut slot = self.0.database.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(database) = slot.take() {
                // What failed may be that the new file could not be opened.
                let written = rewrite_if_due(database, file).or_else(|_| file.open_now());
                *slot = Some(written?);
            }
            Ok(true)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::domain::{Actor, Timestamp};
    use crate::store::redb::file_rewrite::request_rewrite;
    use crate::store::redb::running_change::TransactionEnd;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_file_that_is_copied_is_written_anew_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::fixed(Timestamp(1_000_000));
        let store = Store::open(&folder.path().join("kwic.redb"), 8, clock).await.unwrap();
        let asked = store.write(&Actor::System, |change| {
            request_rewrite(change.tx)?;
            Ok(TransactionEnd::Quietly(()))
        });
        asked.await.unwrap();
        let is_due = || store.guarded(|database| is_due(&database.begin_read()?)).unwrap();
        {
            let _copies = store.copying();
            assert!(!store.rewrite_now().unwrap() && is_due());
        }
        assert!(store.rewrite_if_small().await.unwrap() && !is_due());
        assert!(store.is_in_place().await.is_ok());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_file_that_is_written_anew_is_not_taken_for_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kwic.redb");
        let clock = Clock::fixed(Timestamp(1_000_000));
        let store = Store::open(&path, 8, clock).await.unwrap();
        fs::copy(&path, folder.path().join("new")).unwrap();
        let written = store.0.database.write().unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert!(store.in_place().is_ok());
        drop(written);
        assert_eq!(store.in_place().unwrap_err().code, "store_replaced");
    }
}
