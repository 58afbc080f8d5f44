//! Where the log of a fleet is, or is to be: the place that the configuration names.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::config::Fleet;
use crate::domain::Failure;
use crate::store::shared_log::{FleetLog, LogHead, LogId};
use crate::store::shared_log_backend;

/// A place for one log. The calls block, and end within the timeouts of its engine.
pub trait LogPlace: Send + Sync {
    /// The log that is there, with its head; `None`, where there is none.
    ///
    /// # Errors
    /// Why that cannot be said, with what to do.
    fn inspect(&self) -> Result<Option<(LogId, LogHead)>, Failure>;

    /// Makes a log with no entry.
    ///
    /// # Errors
    /// As [`Self::inspect`]; that there is one.
    fn create(&self, log: LogId) -> Result<(), Failure>;

    /// The log of this name, which is expected to be there.
    ///
    /// # Errors
    /// As [`Self::inspect`].
    fn open(&self, log: LogId) -> Result<Arc<dyn FleetLog>, Failure>;
}

/// The place that the configuration names.
#[derive(Clone, Debug)]
pub struct ConfiguredPlace {
    fleet: Fleet,
    /// Where the connections to the engine live.
    runtime: Handle,
}

impl ConfiguredPlace {
    /// The place of a fleet, on the runtime of the caller.
    #[must_use]
    pub fn new(fleet: Fleet) -> Self {
        Self { fleet, runtime: Handle::current() }
    }
}

impl LogPlace for ConfiguredPlace {
    fn inspect(&self) -> Result<Option<(LogId, LogHead)>, Failure> {
        shared_log_backend::inspect(&self.fleet, &self.runtime)
    }

    fn create(&self, log: LogId) -> Result<(), Failure> {
        shared_log_backend::create(&self.fleet, log, &log.start(), &self.runtime)
    }

    fn open(&self, log: LogId) -> Result<Arc<dyn FleetLog>, Failure> {
        shared_log_backend::open(&self.fleet, log, self.runtime.clone())
    }
}
