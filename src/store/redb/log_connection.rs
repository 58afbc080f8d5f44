//! A store's connection to the shared log: whether this node still follows it, and the failures that tell.
//!
//! A node that reads an entry which does not continue its own file stops for good: it never guesses which
//! of two orders is the right one.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::clock;
use crate::domain::{Failure, Kind};
use crate::store::shared_log::{LogHead, LogPart, NodeId, READ_MAX, SharedLog};
use crate::store::shared_log_encryption::LogSeal;

/// The code of a failure because the shared log was not reached, or took nothing.
pub const LOG_AWAY: &str = "log_unavailable";
/// The code of a failure of which it is not known whether the shared log took the change.
pub const LOG_UNCLEAR: &str = "log_unclear";
/// The code of a failure because this node has stopped following the shared log.
pub const LOG_HALTED: &str = "log_halted";
/// The code of a failure because this machine's clock is too far ahead of the other nodes.
pub const CLOCK_AHEAD: &str = "clock_ahead";

/// So many entries in a row are appended by one node before it leaves a gap for the others.
const IN_A_ROW_MAX: u32 = 8;
/// The same with pauses in between, each of which is too short for a node that is slow.
const WITH_PAUSES_MAX: u32 = 128;

/// A log, and how it is followed.
pub(super) struct LogConnection {
    pub(super) log: Arc<dyn SharedLog>,
    pub(super) seal: LogSeal,
    /// The node that the file is of.
    pub(super) node: NodeId,
    /// Bytes of the entries that were applied.
    pub(super) bytes: AtomicU64,
    /// Why nothing more of it is applied.
    halted: Mutex<Option<String>>,
    own: Mutex<OwnEntries>,
    /// By how many seconds the clock is ahead of the other nodes; 0 where it is not.
    clock_ahead: AtomicU64,
}

/// The entries in a row that this node appended, no other node in between.
///
/// A node that has just appended knows the head at once, and would win the next append as well: the
/// others learn of it by losing. So after some entries in a row it leaves a gap of the length that
/// another node needs to read, apply and append.
#[derive(Default)]
struct OwnEntries {
    last: Option<LogHead>,
    in_a_row: u32,
    /// How many in a row, whatever pauses there were.
    since_gap: u32,
    /// When the last one was applied.
    ended: Option<Instant>,
    /// For how long there was none to append, all in all since the first of those in a row.
    idle: Duration,
    /// Until then it appends nothing.
    gap_until: Option<Instant>,
}

impl LogConnection {
    pub(super) fn new(log: Arc<dyn SharedLog>, seal: LogSeal, node: NodeId) -> Self {
        Self {
            log,
            seal,
            node,
            bytes: AtomicU64::new(0),
            halted: Mutex::default(),
            own: Mutex::default(),
            clock_ahead: AtomicU64::new(0),
        }
    }

    fn own(&self) -> MutexGuard<'_, OwnEntries> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while other nodes are to have their turn. Blocks.
    #[expect(clippy::disallowed_methods, reason = "nobody tells that the others have had theirs")]
    pub(super) fn wait_for_turn(&self) {
        let gap = self.own().gap_until.take();
        if let Some(left) = gap.and_then(|until| until.checked_duration_since(clock::monotonic())) {
            thread::sleep(left);
        }
    }

    /// Notes an entry that this node appended behind a head. `during`: from the run of its changes to its
    /// application.
    pub(super) fn appended(&self, before: &LogHead, entry: LogHead, during: Range<Instant>) {
        let mut own = self.own();
        let gap = during.end.saturating_duration_since(during.start) * 2;
        let idle = own.ended.map(|ended| during.start.saturating_duration_since(ended));
        own.idle = own.idle.saturating_add(idle.unwrap_or_default());
        // Others had their turn, even one that is slow.
        if own.last != Some(*before) || idle.is_some_and(|idle| idle >= gap) {
            own.since_gap = 0;
        }
        if own.since_gap == 0 || own.idle >= gap {
            (own.in_a_row, own.idle) = (0, Duration::ZERO);
        }
        own.in_a_row = own.in_a_row.saturating_add(1);
        own.since_gap = own.since_gap.saturating_add(1);
        (own.last, own.ended) = (Some(entry), Some(during.end));
        if own.in_a_row >= IN_A_ROW_MAX || own.since_gap >= WITH_PAUSES_MAX {
            (own.in_a_row, own.since_gap, own.idle) = (0, 0, Duration::ZERO);
            own.gap_until = during.end.checked_add(gap);
        }
    }

    fn halted(&self) -> MutexGuard<'_, Option<String>> {
        self.halted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why nothing more of the log is applied.
    pub(super) fn fault(&self) -> Option<String> {
        self.halted().clone()
    }

    /// Refuses where nothing more of the log is applied.
    pub(super) fn followed(&self) -> Result<(), Failure> {
        self.fault().map_or(Ok(()), |why| Err(halted(&why)))
    }

    /// Notes by how many seconds the clock is too far ahead; whether that is news.
    pub(super) fn set_clock_ahead(&self, seconds: Option<u64>) -> bool {
        let before = self.clock_ahead.swap(seconds.unwrap_or(0), Ordering::AcqRel);
        (before > 0) != seconds.is_some()
    }

    /// Refuses a change where it cannot be made on this node.
    pub(super) fn takes_changes(&self) -> Result<(), Failure> {
        self.followed()?;
        match self.clock_ahead.load(Ordering::Acquire) {
            0 => Ok(()),
            seconds => Err(clock_ahead(seconds)),
        }
    }

    /// Stops following the log.
    pub(super) fn halt(&self, why: &str) -> Failure {
        let mut halted_by = self.halted();
        if halted_by.is_none() {
            tracing::error!(
                why,
                "this node does not follow the shared log any more, and takes no change"
            );
            *halted_by = Some(why.to_owned());
        }
        halted(why)
    }

    /// Reads what follows a head. Stops where the log has another one.
    pub(super) fn read_after(&self, before: &LogHead, most: usize) -> Result<LogPart, Unread> {
        self.followed()?;
        let part = self.log.read(before.index, most.min(READ_MAX)).map_err(|why| away(&why))?;
        self.checked_after(before, part)
    }

    /// What was read of what follows a head. Stops where the log has another one.
    pub(super) fn checked_after(&self, before: &LogHead, part: LogPart) -> Result<LogPart, Unread> {
        let LogHead { index, .. } = part.head;
        if index < before.index {
            let why = format!("the log ends at {index}, and {} was applied", before.index);
            return Err(self.halt(&why).into());
        }
        if index == before.index && part.head != *before {
            return Err(self
                .halt(&format!("the log has another entry {index} than was applied"))
                .into());
        }
        let next = before.index.saturating_add(1);
        if index > before.index && part.entries.first().is_none_or(|entry| entry.head.index > next)
        {
            let why = format!(
                "the log has no entry {next} any more, as this node was away too long: stop it, run `kwic-team fleet join`, then start it"
            );
            return Err(Unread::Gap(why));
        }
        Ok(part)
    }

    /// What follows a head, by what one server has; without entries, if it has nothing beyond that head.
    /// `None` if it does not answer, or has no entry that follows. It may be behind this node, so nothing
    /// that it lacks is a fault of the log.
    pub(super) fn read_nearby(&self, before: &LogHead) -> Result<Option<LogPart>, Failure> {
        self.followed()?;
        let Some(part) = self.log.read_nearby(before.index, READ_MAX) else { return Ok(None) };
        if part.head.index <= before.index {
            return Ok(Some(LogPart { entries: Vec::new(), head: *before }));
        }
        let next = before.index.saturating_add(1);
        let follows = part.entries.first().is_some_and(|entry| entry.head.index == next);
        Ok(follows.then_some(part))
    }
}

/// Why what follows a head was not read.
pub(super) enum Unread {
    Failed(Failure),
    /// The log begins later: an error, unless the node has applied more than that head meanwhile.
    Gap(String),
}

impl From<Failure> for Unread {
    fn from(fault: Failure) -> Self {
        Self::Failed(fault)
    }
}

fn halted(why: &str) -> Failure {
    Failure::new(
        Kind::Busy,
        LOG_HALTED,
        "this node does not follow the log that the nodes share any more, and nothing was changed: make the change on another node; the log of this node says why, and what to do",
    )
    .logged(why)
}

fn clock_ahead(seconds: u64) -> Failure {
    let public = format!(
        "the clock of this node's machine is {seconds} seconds ahead of the other nodes, and nothing was changed: correct the clock (NTP), or make the change on another node"
    );
    Failure::new(Kind::Busy, CLOCK_AHEAD, public)
}

/// The log was not reached, or did not take a change.
pub(super) fn away(why: &str) -> Failure {
    Failure::new(
        Kind::Busy,
        LOG_AWAY,
        "the log that the nodes share cannot be reached or takes no change, and nothing was changed: try again in a minute",
    )
    .logged(why)
}

/// It is not known whether the log took a change.
pub(super) fn unclear(why: &str) -> Failure {
    Failure::new(
        Kind::Busy,
        LOG_UNCLEAR,
        "the log that the nodes share did not answer, and this change may or may not have been made, so look before you repeat it",
    )
    .logged(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::redb::log_commit::tests::{LOG, Plain};
    use crate::store::shared_log::{Appended, EntryId, LogEntry};

    /// Is not asked.
    struct NoLog;

    impl SharedLog for NoLog {
        fn append(&self, _: &LogHead, _: &LogEntry) -> Appended {
            Appended::Moved(None)
        }

        fn read(&self, _: u64, _: usize) -> Result<LogPart, String> {
            Err("there is none".to_owned())
        }
    }

    fn link() -> LogConnection {
        LogConnection::new(Arc::new(NoLog), LogSeal::new(LOG, Arc::new(Plain)), NodeId([1; 16]))
    }

    const TOOK: Duration = Duration::from_secs(60);

    fn append(link: &LogConnection, count: u32, before: LogHead) -> LogHead {
        append_every(Duration::ZERO, link, count, before)
    }

    fn append_every(idle: Duration, link: &LogConnection, count: u32, before: LogHead) -> LogHead {
        (0..count).fold(before, |before, _| {
            let entry = LogEntry::after(&before, EntryId([0; 16]), Vec::new()).head;
            let start = link.own().ended.map_or_else(clock::monotonic, |ended| ended + idle);
            link.appended(&before, entry, start..start + TOOK);
            entry
        })
    }

    #[test]
    fn a_node_that_appends_several_entries_in_a_row_leaves_a_gap() {
        let link = link();
        let head = append(&link, IN_A_ROW_MAX - 1, LOG.start());
        assert!(link.own().gap_until.is_none());
        append(&link, 1, head);
        let gap = link.own().gap_until.unwrap();
        assert!(gap > clock::monotonic() + Duration::from_secs(100), "{gap:?}");
    }

    #[test]
    fn a_node_that_has_nothing_to_append_for_as_long_needs_no_gap() {
        for (idle, has_gap) in [(TOOK, false), (TOOK / 3, false), (TOOK / 8, true)] {
            let link = link();
            let head = append_every(idle, &link, 3 * IN_A_ROW_MAX, LOG.start());
            assert_eq!(link.own().gap_until.is_some(), has_gap, "{idle:?}");
            // A node that is slow has its turn in the end.
            append_every(idle, &link, WITH_PAUSES_MAX, head);
            assert!(link.own().gap_until.is_some(), "{idle:?}");
        }
    }

    #[test]
    fn entries_of_other_nodes_in_between_need_no_gap() {
        let link = link();
        let mut head = LOG.start();
        for _ in 0..IN_A_ROW_MAX {
            head = append(&link, IN_A_ROW_MAX - 1, head);
            // Another node's.
            head = LogEntry::after(&head, EntryId([1; 16]), Vec::new()).head;
        }
        assert!(link.own().gap_until.is_none());
    }
}
