//! The shadow policies: a candidate set that is asked beside the live one, and where the two differ.
//!
//! One decision in N leaves its query in a bounded queue; if the queue is full, the query is dropped
//! and counted, so that a decision never waits. Asking the candidate is the work of
//! `services::shadow`. All of it is kept in memory only, and begins anew with another candidate.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::domain::access_query::OwnedQuery;
use crate::domain::{Query, Timestamp};
use crate::engine::{ExampleQuery, Snapshot};

/// The maximum number of waiting queries.
const WAITING_MAX: usize = 1_024;
/// The maximum number of kinds of disagreements, each with one question.
const KINDS_MAX: usize = 200;

/// The candidate, as far as it was loaded.
#[derive(Clone, Debug, Default)]
pub struct ShadowSet {
    /// The set; `None` until it is loaded, and while its folder is at fault.
    pub set: Option<Arc<Snapshot>>,
    /// When the folder was loaded or refused.
    pub loaded_at: Option<Timestamp>,
    /// Why the folder could not be loaded.
    pub fault: Option<String>,
}

/// The key by which disagreements are counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DisagreementKind {
    /// The role of the member; empty for any other subject.
    pub role: String,
    /// The action's name.
    pub action: String,
    /// The type of the resource, as the caller spells it.
    pub resource_type: String,
    /// Whether the candidate allows it, and the live set does not.
    pub gains: bool,
}

/// Where the two sets differ, with the first question that showed it.
#[derive(Clone, Debug, PartialEq)]
pub struct Disagreement {
    /// How often it was seen.
    pub count: u64,
    /// When it was seen last.
    pub last: Timestamp,
    /// The question of a made-up member like the one it was about; `None` where that gives other
    /// answers, since more than the role, the account and the status decides.
    pub question: Option<ExampleQuery>,
}

/// What was counted since the candidate was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShadowCounts {
    /// Both sets gave the same answer.
    pub agreed: u64,
    /// They did not.
    pub differed: u64,
    /// The queue was full, or something changed in between.
    pub left_out: u64,
}

/// The disagreements by kind.
#[derive(Debug, Default)]
struct Found {
    kinds: BTreeMap<DisagreementKind, Disagreement>,
    /// Those of kinds for which there was no room.
    more: u64,
}

/// Takes queries, and records where the candidate differs.
#[derive(Debug)]
pub struct Shadow {
    /// One decision in this many; 0 for none.
    every: u64,
    queries: Sender<OwnedQuery>,
    /// Until the first reader takes it.
    waiting: Mutex<Option<Receiver<OwnedQuery>>>,
    candidate: ArcSwap<ShadowSet>,
    due: Notify,
    agreed: AtomicU64,
    differed: AtomicU64,
    left_out: AtomicU64,
    found: Mutex<Found>,
}

impl Shadow {
    /// Samples one decision in `every`; 0 for none.
    #[must_use]
    pub fn new(every: u64) -> Self {
        let (queries, waiting) = channel(WAITING_MAX);
        Self {
            every,
            queries,
            waiting: Mutex::new(Some(waiting)),
            candidate: ArcSwap::default(),
            due: Notify::new(),
            agreed: AtomicU64::new(0),
            differed: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            found: Mutex::default(),
        }
    }

    /// One decision in this many is asked; 0 for none.
    #[must_use]
    pub fn every(&self) -> u64 {
        self.every
    }

    /// Whether a decision is sampled, by its number among those of its thread.
    #[must_use]
    pub fn is_due(&self, number: u64) -> bool {
        self.every > 0 && number.is_multiple_of(self.every)
    }

    /// Queues a query, unless the queue is full or there is no candidate.
    pub fn leave(&self, query: &Query<'_>) {
        if self.candidate.load().set.is_none() {
            return;
        }
        // A place first: the copy is not free.
        match self.queries.try_reserve() {
            Ok(place) => place.send(OwnedQuery::of(query)),
            Err(_) => self.count_left_out(),
        }
    }

    /// The receiver of the queries; the first caller gets it.
    #[must_use]
    pub fn waiting(&self) -> Option<Receiver<OwnedQuery>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The candidate.
    #[must_use]
    pub fn candidate(&self) -> Arc<ShadowSet> {
        self.candidate.load_full()
    }

    /// Another candidate, or none; everything that was counted is forgotten.
    pub fn replace(&self, candidate: ShadowSet) {
        let mut found = self.found();
        self.candidate.store(Arc::new(candidate));
        *found = Found::default();
        for counter in [&self.agreed, &self.differed, &self.left_out] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// Asks for the folder to be loaded again, soon.
    pub fn load_again(&self) {
        self.due.notify_one();
    }

    /// Waits until the folder is to be loaded again.
    pub async fn wait_until_due(&self) {
        self.due.notified().await;
    }

    /// Both sets gave the same answer.
    pub fn count_agreed(&self) {
        self.agreed.fetch_add(1, Ordering::Relaxed);
    }

    /// A query was not asked, or something changed in between.
    pub fn count_left_out(&self) {
        self.left_out.fetch_add(1, Ordering::Relaxed);
    }

    /// The two sets differ. `question` is called for the first of a kind. Nothing is recorded of a
    /// candidate that was replaced meanwhile.
    pub fn count_differed(
        &self,
        candidate: &Arc<Snapshot>,
        kind: DisagreementKind,
        at: Timestamp,
        question: impl FnOnce() -> Option<ExampleQuery>,
    ) {
        let mut found = self.found();
        if !self.candidate.load().set.as_ref().is_some_and(|set| Arc::ptr_eq(set, candidate)) {
            return;
        }
        self.differed.fetch_add(1, Ordering::Relaxed);
        if let Some(known) = found.kinds.get_mut(&kind) {
            known.count += 1;
            known.last = at;
        } else if found.kinds.len() < KINDS_MAX {
            let question = question();
            found.kinds.insert(kind, Disagreement { count: 1, last: at, question });
        } else {
            found.more += 1;
        }
    }

    /// The counts.
    #[must_use]
    pub fn counts(&self) -> ShadowCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ShadowCounts {
            agreed: read(&self.agreed),
            differed: read(&self.differed),
            left_out: read(&self.left_out),
        }
    }

    /// The disagreements, the most frequent kind first; and how many were of further kinds.
    #[must_use]
    pub fn disagreements(&self) -> (Vec<(DisagreementKind, Disagreement)>, u64) {
        let found = self.found();
        let kinds = found.kinds.iter().map(|(kind, seen)| (kind.clone(), seen.clone()));
        let (mut kinds, more): (Vec<_>, u64) = (kinds.collect(), found.more);
        drop(found);
        kinds.sort_by_key(|(_, seen)| std::cmp::Reverse(seen.count));
        (kinds, more)
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::EntityRef;
    use crate::policy_folder;

    fn candidate() -> ShadowSet {
        let set = Snapshot::load(&policy_folder::embedded_policies(), &[]).unwrap();
        ShadowSet { set: Some(Arc::new(set)), ..ShadowSet::default() }
    }

    #[test]
    fn a_decision_never_waits_and_nothing_is_copied_without_a_candidate() {
        let entity = EntityRef { kind: "user", id: "m", properties: &[] };
        let query = Query {
            subject: entity,
            action: "view",
            action_properties: &[],
            resource: entity,
            context: &[],
        };
        let shadow = Shadow::new(1);
        shadow.leave(&query);
        assert_eq!(shadow.counts(), ShadowCounts::default());
        shadow.replace(candidate());
        for _ in 0..WAITING_MAX + 10 {
            shadow.leave(&query);
        }
        assert_eq!(shadow.counts().left_out, 10);
        assert_eq!(shadow.waiting().unwrap().len(), WAITING_MAX);
        assert!(!Shadow::new(0).is_due(0));
    }

    #[test]
    fn disagreements_are_bounded_and_are_of_one_candidate() {
        let shadow = Shadow::new(1);
        let first = candidate();
        let set = first.set.clone().unwrap();
        shadow.replace(first);
        let kind = |at: usize| DisagreementKind {
            role: "r".to_owned(),
            action: format!("a{at:03}"),
            resource_type: "t".to_owned(),
            gains: true,
        };
        for at in 0..KINDS_MAX + 5 {
            shadow.count_differed(&set, kind(at), Timestamp(1), || None);
        }
        shadow.count_differed(&set, kind(7), Timestamp(2), || None);
        let (kinds, more) = shadow.disagreements();
        assert_eq!((kinds.len(), more), (KINDS_MAX, 5));
        assert_eq!((kinds[0].0.action.as_str(), kinds[0].1.count), ("a007", 2));
        assert_eq!(kinds[0].1.last, Timestamp(2));
        shadow.replace(candidate());
        shadow.count_differed(&set, kind(1), Timestamp(3), || None);
        assert_eq!((shadow.disagreements().0.len(), shadow.counts().differed), (0, 0));
    }
}
