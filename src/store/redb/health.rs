//! The health of the store's disk: whether the last write was saved, and how many failed.
//!
//! Contains no path and nothing of a record.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;

/// So long after a failure it is tried for the first time whether the disk does its part again: a
/// nearly full one keeps small changes, and a large one failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// What went wrong last, until a change is kept again.
#[derive(Debug, Default)]
pub(super) struct Health {
    failing: Mutex<Option<(String, Instant)>>,
    failures: AtomicU64,
}

impl Health {
    fn failing(&self) -> MutexGuard<'_, Option<(String, Instant)>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A change could not be kept.
    pub(super) fn failed(&self, cause: &str) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        if self.failing().replace((cause.to_owned(), clock::monotonic())).is_none() {
            tracing::error!(
                cause,
                "the store cannot be written, and every change is refused until it can"
            );
        }
    }

    /// A change was kept.
    pub(super) fn worked(&self) {
        if self.failing().take().is_some() {
            tracing::info!("the store can be written again");
        }
    }

    /// Why the last change was not kept; `None` where it was.
    pub(super) fn fault(&self) -> Option<String> {
        self.failing().as_ref().map(|(cause, _)| cause.clone())
    }

    /// Whether it is time to try again.
    pub(super) fn is_to_be_tried(&self) -> bool {
        self.failing().as_ref().is_some_and(|(_, at)| at.elapsed() >= PATIENCE)
    }

    /// How many changes were not kept since the start.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}
