//! This node of a fleet: its log, how far it has followed it, and how long ago that was known.
//!
//! Holds what is known, and asks nobody.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::config;
use crate::domain::{Failure, Timestamp};
use crate::entropy;
use crate::staleness::Staleness;
use crate::store::shared_log::{FleetLog, NodeId};
use crate::store::shared_log_encryption::LogSeal;

/// This node.
pub struct FleetNode {
    /// Its id: that of its file.
    pub id: NodeId,
    /// Its name for people.
    pub name: String,
    /// The log that the nodes share.
    pub log: Arc<dyn FleetLog>,
    /// The seal of what is in the log.
    pub seal: LogSeal,
    /// Drawn at random for this process.
    pub process: [u8; 16],
    /// When the program was started.
    pub since: Timestamp,
    /// How long ago it had everything that the log has.
    pub staleness: Staleness,
    /// The index up to which decisions see the log.
    applied: AtomicU64,
    /// The index up to which the log is in the file on the disk.
    persisted: AtomicU64,
    /// The index of the log's head, when it was asked the last time.
    head: AtomicU64,
    /// Whether this is the node that does the regular work of the fleet.
    tends: AtomicBool,
    /// Whether another process runs with this node's id, and was there first.
    is_copy: AtomicBool,
    /// How often another process has replaced this one's report.
    of_others: AtomicU64,
    /// When the last report was sent that the log has taken, since the machine was started.
    reported: Mutex<Option<Duration>>,
    /// Why the log did not take the last report.
    unreported: Mutex<Option<String>>,
    /// Why the log was not reached the last time.
    away: Mutex<Option<String>>,
}

impl fmt::Debug for FleetNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetNode").field("name", &self.name).finish_non_exhaustive()
    }
}

impl FleetNode {
    /// A node that has not asked its log yet.
    ///
    /// # Errors
    /// `Internal`, when there is no randomness.
    pub fn new(
        config: &config::Fleet,
        id: NodeId,
        log: Arc<dyn FleetLog>,
        seal: LogSeal,
        since: Timestamp,
    ) -> Result<Self, Failure> {
        Ok(Self {
            id,
            name: config.name.clone(),
            log,
            seal,
            process: entropy::random()?,
            since,
            staleness: Staleness::new(config.max_staleness, config.on_stale),
            applied: AtomicU64::new(0),
            persisted: AtomicU64::new(0),
            head: AtomicU64::new(0),
            tends: AtomicBool::new(false),
            is_copy: AtomicBool::new(false),
            of_others: AtomicU64::new(0),
            reported: Mutex::default(),
            unreported: Mutex::default(),
            away: Mutex::default(),
        })
    }

    /// Notes up to where decisions see the log, and its head.
    pub fn reached(&self, applied: u64, head: u64) {
        self.applied.fetch_max(applied, Ordering::AcqRel);
        self.head.fetch_max(head, Ordering::AcqRel);
    }

    /// The index up to which decisions see the log.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// Notes up to where the log is in the file on the disk.
    pub fn set_persisted(&self, index: u64) {
        self.persisted.fetch_max(index, Ordering::AcqRel);
    }

    /// The index up to which decisions see the log after a crash, too: what other nodes are told.
    #[must_use]
    pub fn persisted(&self) -> u64 {
        self.persisted.load(Ordering::Acquire)
    }

    /// The index of the log's head, as far as is known; at least [`Self::applied`].
    #[must_use]
    pub fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire).max(self.applied())
    }

    /// Notes that the log took a report that was sent then.
    pub fn reported(&self, sent: Duration) {
        *self.reported.lock().unwrap_or_else(PoisonError::into_inner) = Some(sent);
        note(&self.unreported, None);
    }

    /// Notes why the log did not take a report; answers whether that is news.
    pub fn set_unreported(&self, why: &str) -> bool {
        note(&self.unreported, Some(why))
    }

    /// When the last report was sent that the log has taken.
    #[must_use]
    pub fn last_reported(&self) -> Option<Duration> {
        *self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whether this is the node that does the regular work of the fleet.
    pub fn set_tends(&self, tends: bool) {
        self.tends.store(tends, Ordering::Release);
    }

    /// Whether this is the node that does the regular work of the fleet, as far as is known.
    #[must_use]
    pub fn tends(&self) -> bool {
        self.tends.load(Ordering::Acquire)
    }

    /// Notes a report of another process in the place of the own one; whether it is the second. The
    /// first may be one of the process before this, which was late.
    pub fn is_second_of_other(&self) -> bool {
        self.of_others.fetch_add(1, Ordering::AcqRel) == 1
    }

    /// Notes that another process runs with this node's id, and was there first.
    pub fn set_copy(&self) {
        self.is_copy.store(true, Ordering::Release);
    }

    /// Whether another process runs with this node's id, and was there first: this one reports no more.
    #[must_use]
    pub fn is_copy(&self) -> bool {
        self.is_copy.load(Ordering::Acquire)
    }

    /// Notes why the log was not reached, or that it was; answers whether that is news.
    pub fn set_away(&self, why: Option<&str>) -> bool {
        note(&self.away, why)
    }

    /// Why the log was not reached the last time, or did not take a report; `None` if it was, and did.
    #[must_use]
    pub fn away(&self) -> Option<String> {
        let known = |why: &Mutex<Option<String>>| {
            why.lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        known(&self.away).or_else(|| known(&self.unreported))
    }
}

/// Notes a fault, or that there is none; answers whether that is news.
fn note(place: &Mutex<Option<String>>, why: Option<&str>) -> bool {
    let mut known = place.lock().unwrap_or_else(PoisonError::into_inner);
    let is_news = known.is_some() != why.is_some();
    *known = why.map(str::to_owned);
    is_news
}
