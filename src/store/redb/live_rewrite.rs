//! Writing a small file anew while the store is open, so that an erasure need not wait for a restart.
//!
//! Every read and change waits meanwhile. A large file is written anew at the next start.

use std::fs;
use std::sync::PoisonError;

use redb::ReadableDatabase as _;

use super::compaction::{compact_if_due, is_due};
use super::database_file::open_failure;
use super::{Store, blocking};
use crate::domain::{Failure, limits};

impl Store {
    /// Writes the file anew without erased data, if that is due and the file is small. What failed is
    /// told by [`Self::erased_left`].
    ///
    /// # Errors
    /// `Busy` `store_replaced`, where the file is not in its place; `Busy`, when the disk fails.
    pub async fn rewrite_if_small(&self) -> Result<(), Failure> {
        let store = self.clone();
        blocking(move || store.rewrite_now()).await
    }

    fn rewrite_now(&self) -> Result<(), Failure> {
        let Some(file) = &self.0.file else { return Ok(()) };
        let mut writer = self.writer();
        self.ready(&mut writer)?;
        self.in_place()?;
        let is_due = self.guarded(|database| is_due(&database.begin_read()?))?;
        let length = fs::metadata(file.path())
            .map(|meta| meta.len())
            .map_err(|fault| open_failure(file.path(), &redb::Error::Io(fault)))?;
        if !is_due || length > limits::STORE_REWRITTEN_BYTES_MAX {
            return Ok(());
        }
        self.unbroken(|| {
            let mut slot = self.0.database.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(database) = slot.take() {
                *slot = Some(compact_if_due(database, file)?);
            }
            Ok(())
        })
    }
}
