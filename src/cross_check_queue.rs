//! The queue of sampled decisions to cross-check, and the counts of the results.
//!
//! One decision in N puts its query into this bounded queue. If the queue is full the sample is
//! dropped and counted, so that a decision never waits. The check itself is in
//! `services::cross_check`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::domain::access_query::OwnedQuery;
use crate::domain::{Digest, Query, Revision};

/// The maximum number of waiting samples: they are checked one after another, without hurry.
const WAITING_MAX: usize = 64;

/// A decision, with what it was based on.
#[derive(Debug)]
pub struct DecisionSample {
    /// The query.
    pub question: OwnedQuery,
    /// The decision.
    pub allowed: bool,
    /// The revision of the members that it was based on.
    pub revision: Revision,
    /// The policies that it was based on.
    pub policies: Digest,
}

/// The results of cross-checks, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrossCheckCounts {
    /// Cedar's own authorizer agreed.
    pub agreed: u64,
    /// It disagreed.
    pub differed: u64,
    /// The queue was full, or something changed in between.
    pub left_out: u64,
}

/// Takes samples, and records whether the engine is trusted.
#[derive(Debug)]
pub struct CrossCheck {
    /// One decision in this many; 0 for none.
    every: u64,
    samples: Sender<DecisionSample>,
    /// Until the first reader takes it.
    waiting: Mutex<Option<Receiver<DecisionSample>>>,
    distrusted: AtomicBool,
    agreed: AtomicU64,
    differed: AtomicU64,
    left_out: AtomicU64,
}

impl CrossCheck {
    /// Samples one decision in `every`; 0 for none.
    #[must_use]
    pub fn new(every: u64) -> Self {
        let (samples, waiting) = channel(WAITING_MAX);
        Self {
            every,
            samples,
            waiting: Mutex::new(Some(waiting)),
            distrusted: AtomicBool::new(false),
            agreed: AtomicU64::new(0),
            differed: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
        }
    }

    /// Whether a decision is sampled, by its number among those of its thread.
    #[must_use]
    pub fn is_due(&self, number: u64) -> bool {
        self.every > 0 && number.is_multiple_of(self.every)
    }

    /// Queues a query for the cross-check.
    pub fn leave(&self, query: &Query<'_>, allowed: bool, revision: Revision, policies: Digest) {
        // A place first: the copy is not free.
        match self.samples.try_reserve() {
            Ok(place) => {
                let question = OwnedQuery::of(query);
                place.send(DecisionSample { question, allowed, revision, policies });
            }
            Err(_) => self.count_left_out(),
        }
    }

    /// The receiver of the samples; the first caller gets it.
    #[must_use]
    pub fn waiting(&self) -> Option<Receiver<DecisionSample>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Records that Cedar's own authorizer agreed.
    pub fn count_agreed(&self) {
        self.agreed.fetch_add(1, Ordering::Relaxed);
    }

    /// Records that something changed in between: two decisions may then differ.
    pub fn count_left_out(&self) {
        self.left_out.fetch_add(1, Ordering::Relaxed);
    }

    /// Records that Cedar's own authorizer disagreed: from now on it makes all decisions.
    pub fn count_differed(&self) {
        self.differed.fetch_add(1, Ordering::Relaxed);
        self.distrusted.store(true, Ordering::Relaxed);
    }

    /// Whether all decisions must be made by Cedar's own authorizer over the whole set.
    #[must_use]
    pub fn is_distrusted(&self) -> bool {
        self.distrusted.load(Ordering::Relaxed)
    }

    /// The results so far.
    #[must_use]
    pub fn outcomes(&self) -> CrossCheckCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CrossCheckCounts {
            agreed: read(&self.agreed),
            differed: read(&self.differed),
            left_out: read(&self.left_out),
        }
    }
}
