//! How the store's disk does its part: whether the last change was kept, how many were not, and
//! whether work on it ended in a panic.
//!
//! Contains no path and nothing of a record.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;
use crate::domain::{Failure, Kind};

/// The delay after a failure before the disk is tried again: a nearly full one can save small
/// changes although a large one failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// The last failure, until a write succeeds.
#[derive(Debug, Default)]
pub(super) struct DiskHealth {
    failing: Mutex<Option<(String, Instant)>>,
    failures: AtomicU64,
    /// Whether work on the store has panicked: what it has in memory and in its file is not trusted
    /// any more, until a restart has looked at every page.
    broken: AtomicBool,
}

/// The code of a failure that tells of a panic.
pub const BROKEN: &str = "store_broken";
const BROKE: &str = "work on the store broke off, and no change is written until a restart: its file may be damaged: keep a copy of it, stop the sidecar, and restore the last backup";

impl DiskHealth {
    fn failing(&self) -> MutexGuard<'_, Option<(String, Instant)>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a failed write.
    pub(super) fn failed(&self, cause: &str) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        if self.failing().replace((cause.to_owned(), clock::monotonic())).is_none() {
            tracing::error!(
                cause,
                "the store cannot be written, and every change is refused until it can"
            );
        }
    }

    /// Records a successful write.
    pub(super) fn worked(&self) {
        if self.failing().take().is_some() {
            tracing::info!("the store can be written again");
        }
    }

    /// Records that work on the store has panicked; returns the failure for the caller.
    pub(super) fn broke(&self) -> Failure {
        self.failures.fetch_add(1, Ordering::Relaxed);
        if !self.broken.swap(true, Ordering::AcqRel) {
            tracing::error!("{BROKE}");
        }
        Failure::new(Kind::Busy, BROKEN, BROKE)
    }

    /// Whether no change is written any more.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Refuses a change where none is written any more.
    pub(super) fn unbroken(&self) -> Result<(), Failure> {
        if self.is_broken() { Err(Failure::new(Kind::Busy, BROKEN, BROKE)) } else { Ok(()) }
    }

    /// Why the last write failed; `None` if it succeeded.
    pub(super) fn fault(&self) -> Option<String> {
        if self.is_broken() {
            return Some(BROKE.to_owned());
        }
        self.failing().as_ref().map(|(cause, _)| cause.clone())
    }

    /// Whether it is time for another attempt.
    pub(super) fn is_to_be_tried(&self) -> bool {
        let is_due = self.failing().as_ref().is_some_and(|(_, at)| at.elapsed() >= PATIENCE);
        is_due && !self.is_broken()
    }

    /// The number of failed writes since the start.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}
