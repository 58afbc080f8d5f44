//! Whether a file is in a fleet: rows of this node alone, in no entry, snapshot or backup.
//!
//! A file in a fleet has another format, so that a program that knows of no fleet refuses it: it would
//! change it alone.

use redb::WriteTransaction;

use super::database_file::begin_write;
use super::group_commit::Ready;
use super::log_apply::position;
use super::row_reads::Rows;
use super::tables::{
    FORMAT, FORMAT_ROW, IN_FLEET, LOG, LOG_ANSWERS, LOG_APPLIED, LOG_ERASED, LOG_FLEET,
    LOG_REWRITTEN, META,
};
use super::{Store, StoreError, blocking};
use crate::domain::Failure;
use crate::store::records::fleet_membership::FleetMembership;
use crate::store::records::shared_log_position::LogPosition;

impl Store {
    /// The fleet that the file is in, if it is in one.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn fleet(&self) -> Result<Option<FleetMembership>, Failure> {
        self.read(membership).await
    }

    /// Up to where the log of its fleet is in the file, if it is in one.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn fleet_position(&self) -> Result<Option<LogPosition>, Failure> {
        self.read(|tx| match membership(tx)? {
            Some(_) => Ok(Some(position(tx)?)),
            None => Ok(None),
        })
        .await
    }

    /// Puts the file into a fleet: from now on it is changed by the entries of a log alone, behind
    /// `applied`. Before [`Self::join_log`].
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn enter_fleet(
        &self,
        fleet: FleetMembership,
        applied: LogPosition,
    ) -> Result<(), Failure> {
        self.set_fleet(Some((fleet, applied))).await
    }

    /// Takes the file out of its fleet: it keeps what it has, and is changed alone again.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn leave_fleet(&self) -> Result<(), Failure> {
        self.set_fleet(None).await
    }

    async fn set_fleet(
        &self,
        fleet: Option<(FleetMembership, LogPosition)>,
    ) -> Result<(), Failure> {
        if self.0.log.get().is_some() {
            return Err(Failure::internal("the store follows a log already"));
        }
        self.set_local(move |tx| {
            let mut log = tx.open_table(LOG)?;
            let mut meta = tx.open_table(META)?;
            match fleet {
                Some((fleet, applied)) => {
                    log.insert(LOG_FLEET, fleet.encode().as_slice())?;
                    log.insert(LOG_APPLIED, applied.encode().as_slice())?;
                    log.insert(LOG_REWRITTEN, applied.encode().as_slice())?;
                    meta.insert(FORMAT_ROW, FORMAT | IN_FLEET)?;
                }
                None => {
                    for row in [LOG_FLEET, LOG_APPLIED, LOG_ANSWERS, LOG_ERASED, LOG_REWRITTEN] {
                        log.remove(row)?;
                    }
                    meta.insert(FORMAT_ROW, FORMAT)?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Whether the log has a report by which this node answers while it is stale, and none since by
    /// which it denies.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn reported_answering(&self) -> Result<bool, Failure> {
        self.read(|tx| Ok(tx.open(LOG)?.get(LOG_ANSWERS)?.is_some())).await
    }

    /// Notes [`Self::reported_answering`]: `true` after such a report was taken, `false` before one by
    /// which the node denies is sent.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn set_reported_answering(&self, answers: bool) -> Result<(), Failure> {
        self.set_local(move |tx| {
            let mut log = tx.open_table(LOG)?;
            if answers {
                log.insert(LOG_ANSWERS, [].as_slice())?;
            } else {
                log.remove(LOG_ANSWERS)?;
            }
            Ok(())
        })
        .await
    }

    /// Writes rows of this node alone.
    async fn set_local(
        &self,
        set: impl FnOnce(&WriteTransaction) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), Failure> {
        let store = self.clone();
        blocking(move || {
            let mut writer = store.writer();
            store.ready(&mut writer)?;
            let set = store.write_and_tell(&mut writer, |database| {
                let tx = begin_write(database)?;
                set(&tx)?;
                Ok((Some(Ready { tx, told: Vec::new(), unsynced: None }), ()))
            });
            set.map_err(|fault| fault.of_writers)
        })
        .await
    }
}

/// The fleet that a file is in.
pub(super) fn membership(rows: &impl Rows) -> Result<Option<FleetMembership>, StoreError> {
    rows.record(LOG, LOG_FLEET, FleetMembership::decode)
}
