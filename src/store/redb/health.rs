//! The health of the store's disk: whether the last write was saved, and how many failed.
//!
//! Contains no path and nothing of a record.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;

/// The delay after a failure before the disk is tried again: a nearly full one can save small
/// changes although a large one failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// The last failure, until a write succeeds.
#[derive(Debug, Default)]
pub(super) struct Health {
    failing: Mutex<Option<(String, Instant)>>,
    failures: AtomicU64,
}

impl Health {
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

    /// Why the last write failed; `None` if it succeeded.
    pub(super) fn fault(&self) -> Option<String> {
        self.failing().as_ref().map(|(cause, _)| cause.clone())
    }

    /// Whether it is time for another attempt.
    pub(super) fn is_to_be_tried(&self) -> bool {
        self.failing().as_ref().is_some_and(|(_, at)| at.elapsed() >= PATIENCE)
    }

    /// The number of failed writes since the start.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}
