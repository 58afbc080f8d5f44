//! Long work beside the decisions: on a thread of its own, at the lowest priority once there are any.
//!
//! A decision that becomes due takes the core from it at once. Never for work that a request
//! waits for on the decision listener.
//!
//! On a machine that has no core to spare, an idle thread may not run for as long as that lasts.
//! What somebody waits for has a patience: then it is begun once more like any other work.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use thread_priority::ThreadPriority;
use thread_priority::unix::{
    NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};
use tokio::sync::oneshot;

use crate::domain::Failure;

/// Runs `work` to its end, also when the caller stops waiting.
///
/// # Errors
/// `Internal`, when the thread cannot start or the work panics.
pub async fn run<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let last = move || {
        yield_to_others();
        work()
    };
    run_before_serving(name, last).await
}

/// The same at the usual priority, while there is no decision yet to make room for: on a busy host
/// an idle thread would put a start off for as long as others have something to do.
///
/// # Errors
/// As [`run`].
pub async fn run_before_serving<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let (answer, answered) = oneshot::channel();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // Nobody may be waiting any more; the work counts all the same.
            let _ = answer.send(work());
        })
        .map_err(|fault| Failure::internal(format!("no thread for `{name}`: {fault}")))?;
    answered.await.map_err(|_| Failure::internal(format!("`{name}` broke off")))
}

/// Work of one kind that somebody waits for; clones share what is known of how late it is.
#[derive(Clone, Debug, Default)]
pub struct Awaited(Arc<AtomicUsize>);

impl Awaited {
    /// Runs `work` as [`run`] does, and once more at the usual priority where it has not ended
    /// within `patience`; the first end answers. `work` must come to the same however often it is
    /// done. Whatever is done at the usual priority has waited that long before: callers who come
    /// one after another take no more than a little of a core from decisions, and while several are
    /// late, the next ones leave no further thread that waits for a core.
    ///
    /// # Errors
    /// As [`run`].
    pub async fn run<T: Send + 'static>(
        &self,
        name: &str,
        patience: Duration,
        work: impl FnOnce() -> T + Clone + Send + 'static,
    ) -> Result<T, Failure> {
        if self.late() >= LATE_MAX {
            tokio::time::sleep(patience).await;
            return run_before_serving(name, work).await;
        }
        let again = work.clone();
        let turn = Turn { state: Arc::new(AtomicU8::new(RUNNING)), late: Arc::clone(&self.0) };
        let ends = Ends(turn.clone());
        let mut first = pin!(run(name, move || {
            let _ends = ends;
            work()
        }));
        if let Ok(done) = tokio::time::timeout(patience, first.as_mut()).await {
            return done;
        }
        turn.is_late();
        tokio::select! {
            done = first => done,
            done = run_before_serving(name, again) => done,
        }
    }

    /// How many idle threads have not come to their end within the patience.
    fn late(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// So many idle threads may be late at once.
const LATE_MAX: usize = 4;

const RUNNING: u8 = 0;
const LATE: u8 = 1;
const ENDED: u8 = 2;

/// How one idle thread stands: counted while it is late.
#[derive(Clone)]
struct Turn {
    state: Arc<AtomicU8>,
    late: Arc<AtomicUsize>,
}

impl Turn {
    fn is_late(&self) {
        // Counted first, so that an end in between finds something to take back.
        self.late.fetch_add(1, Ordering::Relaxed);
        let late = self.state.compare_exchange(RUNNING, LATE, Ordering::AcqRel, Ordering::Relaxed);
        if late.is_err() {
            self.late.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Told however the thread ends.
struct Ends(Turn);

impl Drop for Ends {
    fn drop(&mut self) {
        if self.0.state.swap(ENDED, Ordering::AcqRel) == LATE {
            self.0.late.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Only an idle thread gives its core away at once: one of a low nice value may still finish its
/// slice of some milliseconds. Where it cannot be made idle the work is done anyway.
fn yield_to_others() {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use super::*;

    #[tokio::test]
    async fn what_is_put_off_is_begun_once_more_and_piles_nothing_up() {
        let (go_on, told) = mpsc::channel::<()>();
        let (calls, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(told)));
        let counted = Arc::clone(&calls);
        // Done twice, except by those who do not try on an idle thread: the first waits.
        let work = move |first: Arc<AtomicUsize>| {
            counted.fetch_add(1, Ordering::Relaxed);
            if first.fetch_add(1, Ordering::Relaxed) == 0 {
                let _ = told.lock().unwrap().recv();
            }
        };
        let (awaited, patience) = (Awaited::default(), Duration::from_millis(20));
        for late in 1..=LATE_MAX {
            let (work, first) = (work.clone(), Arc::default());
            awaited.run("test", patience, move || work(first)).await.unwrap();
            assert_eq!(awaited.late(), late);
        }
        assert_eq!(calls.load(Ordering::Relaxed), 2 * LATE_MAX);
        let second = Arc::new(AtomicUsize::new(1));
        let again = work.clone();
        awaited.run("test", patience, move || again(second)).await.unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), 2 * LATE_MAX + 1, "no further thread waits");
        drop(go_on);
        while awaited.late() > 0 {
            tokio::task::yield_now().await;
        }
    }

    const PATIENT: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn what_ends_in_time_is_done_once() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let work = move || counted.fetch_add(1, Ordering::Relaxed);
        assert_eq!(Awaited::default().run("test", PATIENT, work).await.unwrap(), 0);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }
}
