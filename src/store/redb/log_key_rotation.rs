//! The beginning of an epoch of the log's key: an entry that holds the next key, and changes nothing.

use redb::ReadableDatabase as _;

use super::log_apply::position;
use super::log_commit::{AppendEnd, append};
use super::log_connection::{LogConnection, away};
use super::staged_rows::StagedRows;
use super::{Store, blocking};
use crate::domain::Failure;
use crate::entropy;
use crate::store::records::shared_log_entry::Entry;
use crate::store::shared_log::EntryId;

/// How often it is tried where other nodes are faster.
const RUNS_MAX: usize = 20;

impl Store {
    /// Begins a new epoch, unless one began behind an index of the log already.
    ///
    /// # Errors
    /// As [`Self::follow_log`].
    pub async fn begin_epoch(&self, behind: u64) -> Result<(), Failure> {
        let store = self.clone();
        blocking(move || {
            let Some(link) = store.0.log.get() else {
                return Err(Failure::internal("the store follows no log"));
            };
            store.noted(store.begin_epoch_now(link, behind))
        })
        .await
    }

    fn begin_epoch_now(&self, link: &LogConnection, behind: u64) -> Result<(), Failure> {
        for _ in 0..RUNS_MAX {
            while self.follow_once(link)?.is_behind() {}
            let (_, newest) = link.seal.begins();
            if newest > behind {
                return Ok(());
            }
            // Once it is appended, no node goes on that cannot write its key.
            link.seal.check_writable()?;
            let before = self.guarded(|database| position(&database.begin_read()?))?.head;
            let Some(next) = link.seal.next_epoch()? else { return Ok(()) };
            let entry = Entry { changes: Vec::new(), epoch: Some(next) };
            let entry = link.seal.entry(&before, EntryId(entropy::random()?), &entry.encode())?;
            let end = append(link, &before, &entry).map_err(|fault| fault.of_writers)?;
            if let AppendEnd::Made = end {
                return self
                    .apply(link, &[entry], Some(StagedRows::default()))
                    .map_err(|fault| fault.fault);
            }
        }
        Err(away("other nodes were faster each time"))
    }
}
