//! Connection slots of one listener, and the reserved ones.
//!
//! A kept-alive connection keeps its slot. So the last slots serve one request each: a health check
//! or a new caller is served while all others are taken.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::limits;

/// All slots of a listener.
#[derive(Clone)]
pub(super) struct ConnectionLimit {
    kept: Arc<Semaphore>,
    brief: Arc<Semaphore>,
}

/// One slot, until the connection ends.
pub(super) struct ConnectionPermit {
    _held: OwnedSemaphorePermit,
    /// For one request: the connection is closed after the response.
    pub(super) is_brief: bool,
}

impl ConnectionLimit {
    /// With so many slots.
    pub(super) fn new(all: usize) -> Self {
        let brief = (all / 8).min(limits::BRIEF_CONNECTIONS_MAX);
        let (kept, brief) = (Semaphore::new(all - brief), Semaphore::new(brief));
        Self { kept: Arc::new(kept), brief: Arc::new(brief) }
    }

    /// Takes the next free slot, a reserved one only if there is no other.
    pub(super) async fn admit(&self) -> Option<ConnectionPermit> {
        let (held, is_brief) = tokio::select! {
            biased;
            held = Arc::clone(&self.kept).acquire_owned() => (held, false),
            held = Arc::clone(&self.brief).acquire_owned() => (held, true),
        };
        held.ok().map(|held| ConnectionPermit { _held: held, is_brief })
    }

    /// Whether no slot for a lasting connection is free.
    pub(super) fn are_full(&self) -> bool {
        self.kept.available_permits() == 0
    }
}
