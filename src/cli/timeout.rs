//! Timeouts of a command: for the sidecar, and for input files that are pipes.
//!
//! Counts only the time spent waiting, in total. Time at a prompt or while output is read does not
//! count.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use super::CommandError;
use crate::clock;

/// The default timeout for one response, or one file.
pub(super) const USUAL: Duration = Duration::from_secs(30);

/// The timeout of one command; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct WaitLimit {
    /// The value of `--timeout`: for all waits together.
    given: Option<Duration>,
    /// The total time waited so far.
    waited: Rc<Cell<Duration>>,
    /// The total when the current wait began. Without `--timeout` only the current wait is limited.
    before: Rc<Cell<Duration>>,
}

impl WaitLimit {
    pub(super) fn new(given: Option<u64>) -> Self {
        Self { given: given.map(Duration::from_secs), ..Self::default() }
    }

    /// Whether one limit applies to all waits together.
    pub(super) const fn is_given(&self) -> bool {
        self.given.is_some()
    }

    /// Begins another wait.
    pub(super) fn begin(&self) {
        self.before.set(self.waited.get());
    }

    /// The total limit, if the current wait has this default.
    pub(super) fn limit(&self, usual: Duration) -> Duration {
        self.given.unwrap_or(usual)
    }

    /// The remaining time of the current wait.
    pub(super) fn left(&self, usual: Duration) -> Duration {
        let waited = match self.given {
            Some(_) => self.waited.get(),
            None => self.waited.get().saturating_sub(self.before.get()),
        };
        self.limit(usual).saturating_sub(waited)
    }

    /// Adds time waited.
    pub(super) fn count(&self, waited: Duration) {
        self.waited.set(self.waited.get().saturating_add(waited));
    }

    /// Runs `work`, which may wait for a file, on a thread that ends with the command; a failure
    /// that names `what` on a timeout.
    pub(super) fn read<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CommandError> {
        let (give, taken) = channel();
        self.begin();
        let began = clock::monotonic();
        thread::spawn(move || drop(give.send(work())));
        let read = taken.recv_timeout(self.left(USUAL));
        self.count(began.elapsed());
        read.map_err(|_| self.no_data(what))
    }

    /// For a file that nobody writes to, or not completely.
    pub(super) fn no_data(&self, file: &str) -> CommandError {
        CommandError::failure(format!(
            "`{file}` was not read to its end within {} s: write to it and close it, name a file, or wait longer with --timeout",
            self.limit(USUAL).as_secs()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_given_limit_is_one_for_all_waits() {
        let limit = WaitLimit::new(Some(5));
        for left in [5, 3, 1, 0] {
            limit.begin();
            assert_eq!((limit.left(USUAL), limit.limit(USUAL)), (left * SECOND, 5 * SECOND));
            limit.clone().count(2 * SECOND);
        }
    }

    #[test]
    fn without_one_each_wait_has_its_own() {
        let limit = WaitLimit::new(None);
        limit.count(20 * SECOND);
        assert_eq!(limit.left(USUAL), 10 * SECOND);
        limit.begin();
        assert_eq!((limit.left(USUAL), limit.left(600 * SECOND)), (USUAL, 600 * SECOND));
    }
}
