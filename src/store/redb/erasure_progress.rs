//! How far an erasure has come in the file of a node of a fleet.
//!
//! An entry of the log that erases data has every node write its file anew. The file is clean of what
//! an entry erased if it was written anew with that entry in it, or has no rewrite to come.

use super::file_rewrite::is_due;
use super::fleet_membership::membership;
use super::log_apply::position;
use super::row_reads::Rows as _;
use super::tables::{LOG, LOG_ERASED, LOG_REWRITTEN};
use super::{Store, StoreError};
use crate::domain::Failure;
use crate::store::records::shared_log_position::LogPosition;

/// What a node's file says of erasures, by indexes of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErasureReach {
    /// The last entry that erased data; 0 where none did since the node joined.
    pub erased: u64,
    /// The file has nothing left of what was erased up to this entry.
    pub rewritten: u64,
}

impl Store {
    /// How far erasures have come in this file; `None` in no fleet.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn erasure_reach(&self) -> Result<Option<ErasureReach>, Failure> {
        self.read(|tx| {
            if membership(tx)?.is_none() {
                return Ok(None);
            }
            let index = |row: &str| {
                let found = tx.record(LOG, row, LogPosition::decode)?;
                Ok::<_, StoreError>(found.map_or(0, |position| position.head.index))
            };
            let rewritten =
                if is_due(tx)? { index(LOG_REWRITTEN)? } else { position(tx)?.head.index };
            Ok(Some(ErasureReach { erased: index(LOG_ERASED)?, rewritten }))
        })
        .await
    }
}
