//! Connection slots of one listener, and the reserved ones.
//!
//! A kept-alive connection keeps its slot. So the last slots serve one request each: a health check
//! or a new caller is served while all others are taken.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::limits;

/// All places of a listener.
#[derive(Clone)]
pub(super) struct Places {
    kept: Arc<Semaphore>,
    brief: Arc<Semaphore>,
}

/// One of them, until the connection ends.
pub(super) struct Place {
    _held: OwnedSemaphorePermit,
    /// Good for one request: the answer to it closes the connection.
    pub(super) is_brief: bool,
}

impl Places {
    /// So many in all.
    pub(super) fn new(all: usize) -> Self {
        let brief = (all / 8).min(limits::BRIEF_CONNECTIONS_MAX);
        let (kept, brief) = (Semaphore::new(all - brief), Semaphore::new(brief));
        Self { kept: Arc::new(kept), brief: Arc::new(brief) }
    }

    /// The next place that is free, a brief one only where there is no other.
    pub(super) async fn admit(&self) -> Option<Place> {
        let (held, is_brief) = tokio::select! {
            biased;
            held = Arc::clone(&self.kept).acquire_owned() => (held, false),
            held = Arc::clone(&self.brief).acquire_owned() => (held, true),
        };
        held.ok().map(|held| Place { _held: held, is_brief })
    }

    /// Whether nobody else can be let in to stay.
    pub(super) fn are_full(&self) -> bool {
        self.kept.available_permits() == 0
    }
}
