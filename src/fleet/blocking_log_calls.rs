//! Calls of a log outside the store: on threads that may wait, with the failures that they come to.

use std::io;

use crate::domain::{Failure, Kind};
use crate::store::LOG_AWAY;

/// The log was not reached, or refused.
pub(super) fn away(why: &str) -> Failure {
    Failure::new(
        Kind::Busy,
        LOG_AWAY,
        "the log that the nodes share cannot be reached or takes nothing: see its server, and `fleet.log` in the configuration, then try again",
    )
    .logged(why)
}

/// A file of this node could not be read or written.
pub(super) fn failed(what: &str, fault: &io::Error) -> Failure {
    Failure::new(
        Kind::Busy,
        "snapshot_failed",
        format!("{what}: {fault}; fix that, then try again; nothing was changed"),
    )
}

/// Work that waits for the log or for a disk, on a thread that may wait.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|fault| Failure::internal(format!("the work beside the log failed: {fault}")))?
}
