//! Work of some milliseconds that a caller waits for, and that delays no decision.
//!
//! A decision preempts a thread of the idle scheduling class at once. It would wait up to a time
//! slice, some 3 ms, for one with only a raised nice value. But a busy machine may give the idle
//! class no time at all. So the work runs there first; if it takes too long, it is begun again at
//! the priority of management, and that result counts. The first run cannot be stopped. While as
//! many as were allowed are left behind, further work does not begin in the idle class.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{run, run_idle, stand_behind};
use crate::domain::Failure;

/// Runs work in the idle class first; clones share the limits.
#[derive(Clone, Debug)]
pub struct IdleThenNormal {
    idle_runs: Arc<Semaphore>,
    idle_max: Duration,
}

impl IdleThenNormal {
    /// So many run in the idle class at the same time, each for so long.
    #[must_use]
    pub fn new(idle_runs: usize, idle_max: Duration) -> Self {
        Self { idle_runs: Arc::new(Semaphore::new(idle_runs)), idle_max }
    }

    /// Runs `work` on a thread of its own, twice at most.
    ///
    /// # Errors
    /// `Busy`, when no thread can be started; `Internal`, when the work panics.
    pub async fn run<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Clone + Send + 'static,
    ) -> Result<T, Failure> {
        if let Ok(permit) = Arc::clone(&self.idle_runs).try_acquire_owned() {
            let first = work.clone();
            let first = run_idle(name, move || {
                let done = first();
                drop(permit);
                done
            });
            if let Ok(done) = timeout(self.idle_max, first).await {
                return done;
            }
        }
        run(name, move || {
            stand_behind();
            work()
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc;

    use super::super::is_idle;
    use super::*;

    #[tokio::test]
    async fn work_that_gets_no_time_in_the_idle_class_is_begun_again_outside_it() {
        let patient = IdleThenNormal::new(1, Duration::from_secs(600));
        assert!(patient.run("test", is_idle).await.unwrap(), "first in the idle class");
        let work = IdleThenNormal::new(1, Duration::from_millis(20));
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let starved = move || {
            if is_idle() {
                let _ = released.lock().unwrap().recv();
            }
            is_idle()
        };
        assert!(!work.run("test", starved).await.unwrap(), "then again");
        assert!(!work.run("test", is_idle).await.unwrap(), "one is left in the idle class");
        drop(release);
        for _ in 0..500 {
            if work.run("test", is_idle).await.unwrap() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the run that was left behind has ended");
    }
}
