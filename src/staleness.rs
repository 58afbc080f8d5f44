//! Staleness: how long ago this node last knew that it had everything that the shared log has.
//!
//! Read for each request from the boot clock, which runs on while the machine is suspended. A flag that a
//! task sets would be out of date in a process that was stopped for a while. Knows neither the log nor the store;
//! the task that follows the log notes here what is known.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock;
use crate::config::OnStale;

/// What is known of a node that is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale {
    /// Whole seconds since it was last known to be up to date; since its start, where it never was.
    pub seconds: u64,
    /// Whether it denies every decision for that.
    pub denies: bool,
}

/// When a node was fresh the last time. It is stale before the first time, too.
#[derive(Debug)]
pub struct Staleness {
    /// Since the machine was started, as all times here.
    begun: Duration,
    max: Duration,
    on_stale: OnStale,
    /// Milliseconds from `begun`, and one more; 0 for never.
    fresh_ms: AtomicU64,
    /// Whether it is stale for good.
    halted: AtomicBool,
    /// Whether other nodes know that this one answers while it is stale.
    answers: AtomicBool,
}

impl Staleness {
    /// That of a node that starts now.
    #[must_use]
    pub fn new(max: Duration, on_stale: OnStale) -> Self {
        let (fresh_ms, halted) = (AtomicU64::new(0), AtomicBool::new(false));
        let answers = AtomicBool::new(false);
        Self { begun: clock::since_boot(), max, on_stale, fresh_ms, halted, answers }
    }

    /// The node had everything that the log had at this instant: that of the question, not of its
    /// answer.
    pub fn fresh_at(&self, asked: Duration) {
        let ms = millis(asked.saturating_sub(self.begun)).saturating_add(1);
        self.fresh_ms.fetch_max(ms, Ordering::Release);
    }

    /// Other nodes know that this one answers while it is stale: one that waits for all nodes does
    /// not count on its deny. Until they know, this node denies even if it is configured to answer.
    pub fn answers(&self) {
        self.answers.store(true, Ordering::Release);
    }

    /// The node does not follow the log any more: it is stale from now on, until a restart.
    /// Answers whether that is news.
    pub fn halt(&self) -> bool {
        !self.halted.swap(true, Ordering::AcqRel)
    }

    /// Whether the node is stale now, and since when.
    #[must_use]
    pub fn now(&self) -> Option<Stale> {
        self.at(clock::since_boot())
    }

    /// How long ago it was fresh; since its start, where it never was.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.age_at(clock::since_boot())
    }

    /// Whether it has been fresh since its start.
    #[must_use]
    pub fn was_fresh(&self) -> bool {
        self.fresh_ms.load(Ordering::Acquire) > 0
    }

    /// The longest time for which it is not stale.
    #[must_use]
    pub const fn max(&self) -> Duration {
        self.max
    }

    /// What it does about decisions while it is stale.
    #[must_use]
    pub const fn on_stale(&self) -> OnStale {
        self.on_stale
    }

    fn at(&self, now: Duration) -> Option<Stale> {
        let age = self.age_at(now);
        let is_fresh = self.was_fresh() && !self.halted.load(Ordering::Acquire) && age <= self.max;
        let denies = self.on_stale == OnStale::Deny || !self.answers.load(Ordering::Acquire);
        (!is_fresh).then_some(Stale { seconds: age.as_secs(), denies })
    }

    fn age_at(&self, now: Duration) -> Duration {
        let fresh = self.fresh_ms.load(Ordering::Acquire).saturating_sub(1);
        now.saturating_sub(self.begun).saturating_sub(Duration::from_millis(fresh))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(30);

    fn after(staleness: &Staleness, seconds: u64) -> Option<u64> {
        let at = staleness.begun + Duration::from_secs(seconds);
        staleness.at(at).map(|stale| stale.seconds)
    }

    #[test]
    fn a_node_is_stale_before_it_was_fresh_and_when_that_was_too_long_ago() {
        let staleness = Staleness::new(MAX, OnStale::Deny);
        assert_eq!((after(&staleness, 0), after(&staleness, 3)), (Some(0), Some(3)));
        staleness.fresh_at(staleness.begun);
        assert_eq!((after(&staleness, 30), after(&staleness, 31)), (None, Some(31)));
        staleness.fresh_at(staleness.begun + Duration::from_secs(20));
        assert_eq!((after(&staleness, 50), after(&staleness, 51)), (None, Some(31)));
        // An answer that was overtaken by a later one changes nothing.
        staleness.fresh_at(staleness.begun + Duration::from_secs(10));
        assert_eq!(after(&staleness, 50), None);
    }

    #[test]
    fn a_node_that_has_halted_is_stale_at_once_and_stays_so() {
        let staleness = Staleness::new(MAX, OnStale::Answer);
        staleness.answers();
        staleness.fresh_at(staleness.begun);
        assert!(staleness.halt() && !staleness.halt());
        staleness.fresh_at(staleness.begun + Duration::from_secs(1));
        let at = staleness.begun + Duration::from_secs(1);
        assert_eq!(staleness.at(at), Some(Stale { seconds: 0, denies: false }));
    }

    #[test]
    fn the_choice_says_whether_a_stale_node_denies() {
        for (on_stale, denies) in [(OnStale::Deny, true), (OnStale::Answer, false)] {
            let staleness = Staleness::new(MAX, on_stale);
            assert!(staleness.now().unwrap().denies, "no other node knows of the choice");
            staleness.answers();
            assert_eq!(staleness.now().unwrap().denies, denies);
        }
    }
}
