//! The shared log of a store: whether this node still follows it, and the failures that tell.
//!
//! A node that meets what cannot follow what it has stops for good: it never guesses which of two
//! orders is the right one.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::{Failure, Kind};
use crate::store::log_seal::LogSeal;
use crate::store::shared_log::{LogHead, LogPart, NodeId, READ_MAX, SharedLog};

/// The code of a failure because the shared log was not reached, or took nothing.
pub const LOG_AWAY: &str = "log_unavailable";
/// The code of a failure of which it is not known whether the shared log took the change.
pub const LOG_UNCLEAR: &str = "log_unclear";
/// The code of a failure because this node has stopped following the shared log.
pub const LOG_HALTED: &str = "log_halted";

/// A log, and how it is followed.
pub(super) struct LogLink {
    pub(super) log: Arc<dyn SharedLog>,
    pub(super) seal: LogSeal,
    /// The node that the file is of.
    pub(super) node: NodeId,
    /// Bytes of the entries that were applied.
    pub(super) bytes: AtomicU64,
    /// Why nothing more of it is applied.
    halted: Mutex<Option<String>>,
}

impl LogLink {
    pub(super) fn new(log: Arc<dyn SharedLog>, seal: LogSeal, node: NodeId) -> Self {
        Self { log, seal, node, bytes: AtomicU64::new(0), halted: Mutex::default() }
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

    /// Reads what follows a head. Stops where the log does not lead on from there.
    pub(super) fn read_after(&self, before: &LogHead, most: usize) -> Result<LogPart, Failure> {
        self.followed()?;
        let part = self.log.read(before.index, most.min(READ_MAX)).map_err(|why| away(&why))?;
        let LogHead { index, .. } = part.head;
        if index < before.index {
            let why = format!("the log ends at {index}, and {} was applied", before.index);
            return Err(self.halt(&why));
        }
        if index == before.index && part.head != *before {
            return Err(self.halt(&format!("the log has another entry {index} than was applied")));
        }
        let next = before.index.saturating_add(1);
        if index > before.index && part.entries.first().is_none_or(|entry| entry.head.index > next)
        {
            let why = format!(
                "the log has no entry {next} any more, as this node was away too long: stop it, run `kwic-team fleet join`, then start it"
            );
            return Err(self.halt(&why));
        }
        Ok(part)
    }
}

fn halted(why: &str) -> Failure {
    Failure::new(
        Kind::Busy,
        LOG_HALTED,
        "this node does not follow the log that the nodes share any more, and nothing was changed: its log says why; make the change on another node, and have this one join again",
    )
    .logged(why)
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
