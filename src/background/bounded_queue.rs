//! A bounded work queue: one piece of work runs, and a few more wait.
//!
//! Limits long-running work that callers can request.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{run, stand_behind};
use crate::domain::{Failure, Kind};

/// A queue; clones share it.
#[derive(Clone, Debug)]
pub struct BoundedQueue {
    /// One permit for each piece that runs or waits.
    places: Arc<Semaphore>,
    /// One permit for the running piece.
    turn: Arc<Semaphore>,
}

impl BoundedQueue {
    /// A queue in which so many may wait.
    #[must_use]
    pub fn new(waiting_max: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(waiting_max.saturating_add(1))),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// Runs `work`, when it is its turn, on a thread with a lower priority than the decision
    /// threads; to its end, even if the caller stops waiting.
    ///
    /// # Errors
    /// `Busy`, when too many wait or the thread cannot start; `Internal`, when the work panics.
    pub async fn run<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| full())?;
        let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(|_| full())?;
        let in_turn = move || {
            stand_behind();
            let done = work();
            drop((turn, place));
            done
        };
        run(name, in_turn).await
    }
}

fn full() -> Failure {
    Failure::new(
        Kind::Busy,
        "too_many_waiting",
        "too many such requests wait already: try again in a moment",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn one_runs_a_few_wait_and_more_are_refused() {
        let queue = BoundedQueue::new(2);
        let (go_on, told) = mpsc::channel::<()>();
        let at_once = Arc::new(AtomicUsize::new(0));
        let told = Arc::new(std::sync::Mutex::new(told));
        let piece = || {
            let (queue, told, at_once) = (queue.clone(), Arc::clone(&told), Arc::clone(&at_once));
            tokio::spawn(async move {
                let work = move || {
                    let others = at_once.fetch_add(1, Ordering::SeqCst);
                    let _ = told.lock().unwrap().recv();
                    at_once.fetch_sub(1, Ordering::SeqCst);
                    others
                };
                queue.run("test", work).await
            })
        };
        let pieces = [piece(), piece(), piece()];
        while queue.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = queue.run("test", || ()).await.unwrap_err();
        assert_eq!((refused.kind, refused.code), (Kind::Busy, "too_many_waiting"));
        drop(go_on);
        for piece in pieces {
            assert_eq!(piece.await.unwrap().unwrap(), 0, "another one ran at once");
        }
        let broken = queue.run("test", || -> () { std::panic::resume_unwind(Box::new(())) }).await;
        assert_eq!(broken.unwrap_err().kind, Kind::Internal);
        assert!(queue.run("test", || ()).await.is_ok());
    }
}
