//! Which thread does what, and at which priority.
//!
//! Decisions have their own threads at the priority of the process. Management and blocking work
//! (the store, files) run on other threads at a raised nice value, which still leaves them a share
//! of a core on a busy machine. A reload runs at the priority of the process, because a new `forbid`
//! must take effect soon. The idle scheduling class, where a busy machine may give a thread no time
//! at all, is for work that nobody waits for, and the first place for password hashes (see
//! [`IdleThenNormal`]).

mod bounded_queue;
mod idle_class_with_fallback;
mod supervised_tasks;

use std::fs;
use std::io;
use std::num::NonZero;
use std::thread::{self, available_parallelism};

use thread_priority::unix::{
    NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id, thread_schedule_policy,
};
use thread_priority::{ThreadPriority, ThreadPriorityValue};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

pub use bounded_queue::BoundedQueue;
pub use idle_class_with_fallback::IdleThenNormal;
pub use supervised_tasks::Tasks;

use crate::domain::{Failure, Kind};

/// The nice value of management and of all blocking work. Beside four busy processes on its core
/// such a thread gets a thirteenth of the core; at a nice value of 10 it would get a fortieth.
const BEHIND_NICE: i32 = 5;
/// The same on the scale of the crate, which ends at 99 with a nice value of -20.
const BEHIND: u8 = 35;
/// Threads for work that blocks, beside one for each core.
const BLOCKING_THREADS: usize = 32;

/// The runtime of the decisions, at the priority of the process.
///
/// # Errors
/// When the system has no thread to give.
pub fn decisions() -> io::Result<Runtime> {
    builder("decisions").build()
}

/// The runtime of management, whose threads and blocking threads have a lower priority than
/// decisions.
///
/// # Errors
/// When the system has no thread to give.
pub fn management() -> io::Result<Runtime> {
    builder("management").on_thread_start(stand_behind).build()
}

fn builder(name: &str) -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.enable_all().thread_name(name).max_blocking_threads(blocking_threads_max());
    builder
}

/// Enough for the password hashes, which are fewer than cores, and for the store. Each thread may
/// keep memory of its own, so their number is limited.
fn blocking_threads_max() -> usize {
    BLOCKING_THREADS + available_parallelism().map_or(1, NonZero::get)
}

/// Runs `work` to its end on its own thread at the caller's priority, even if the caller stops
/// waiting.
///
/// # Errors
/// `Busy`, when the thread cannot start; `Internal`, when the work panics.
pub async fn run<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let (answer, answered) = oneshot::channel();
    let begun = thread::Builder::new().name(name.to_owned()).spawn(move || {
        // The caller may have stopped waiting; the work is done all the same.
        let _ = answer.send(work());
    });
    begun.map_err(|fault| no_thread(&fault).logged(format!("for `{name}`")))?;
    answered.await.map_err(|_| Failure::internal(format!("`{name}` ended without a result")))
}

/// The operating system cannot start a thread.
#[must_use]
pub fn no_thread(fault: &io::Error) -> Failure {
    Failure::new(
        Kind::Busy,
        "no_thread",
        format!("no thread can be started: {fault}: see the limits of this host"),
    )
}

/// The same in the idle scheduling class, for work that nobody waits for: a decision preempts it
/// immediately.
///
/// # Errors
/// As [`run`].
pub async fn run_idle<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    run(name, move || {
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        // If it cannot be made idle, the work runs anyway.
        let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
        work()
    })
    .await
}

/// Lowers the priority of the calling thread, and of threads that it starts, below that of the
/// decision threads. Never raises it: the process may have been started with a lower priority, or
/// in another class. A thread without privileges cannot raise it again.
pub fn stand_behind() {
    let is_behind = nice().is_some_and(|own| own >= BEHIND_NICE);
    let behind = ThreadPriorityValue::try_from(BEHIND).map(ThreadPriority::Crossplatform);
    if let (false, Ok(behind), Ok(class @ ThreadSchedulePolicy::Normal(_))) =
        (is_behind, behind, thread_schedule_policy())
    {
        let _ = set_thread_priority_and_policy(thread_native_id(), behind, class);
    }
}

/// The nice value of the calling thread: field 19 of `proc_pid_stat(5)`, counted from behind the
/// name, which may contain anything.
fn nice() -> Option<i32> {
    let stat = fs::read_to_string("/proc/thread-self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(19 - 3)?.parse().ok()
}

#[cfg(test)]
fn is_idle() -> bool {
    let class = thread_schedule_policy();
    matches!(class, Ok(ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle)))
}

#[cfg(test)]
mod tests {
    use std::panic::resume_unwind;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex, mpsc};
    use std::time::Duration;

    use super::*;

    #[test]
    fn management_and_what_blocks_stand_behind_and_are_not_idle() {
        let own = nice().unwrap();
        let stands = || (nice().unwrap(), is_idle());
        let management = management().unwrap();
        management.block_on(async {
            let task = tokio::spawn(async move { stands() }).await.unwrap();
            let blocking = tokio::task::spawn_blocking(stands).await.unwrap();
            let begun = tokio::spawn(run("test", stands)).await.unwrap().unwrap();
            assert_eq!([task, blocking, begun], [(own.max(BEHIND_NICE), is_idle()); 3]);
        });
        let decisions = decisions().unwrap();
        let first = decisions.block_on(async { tokio::spawn(run("test", stands)).await.unwrap() });
        assert_eq!(
            first.unwrap(),
            stands(),
            "what a decision's thread begins stands where it does"
        );
    }

    #[test]
    fn a_thread_of_a_higher_nice_value_keeps_it() {
        let own = nice().unwrap();
        stand_behind();
        assert_eq!(nice().unwrap(), own.max(BEHIND_NICE));
        let class = thread_schedule_policy().unwrap();
        set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, class).unwrap();
        stand_behind();
        assert_eq!(nice().unwrap(), 19);
    }

    #[test]
    fn what_blocks_has_a_bounded_number_of_threads() {
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (open, opened) = mpsc::channel::<()>();
        let opened = Arc::new(Mutex::new(opened));
        let max = blocking_threads_max();
        let management = management().unwrap();
        management.block_on(async {
            let tasks: Vec<_> = (0..3 * max)
                .map(|_| {
                    let (running, most) = (Arc::clone(&running), Arc::clone(&most));
                    let opened = Arc::clone(&opened);
                    tokio::task::spawn_blocking(move || {
                        most.fetch_max(
                            1 + running.fetch_add(1, Ordering::SeqCst),
                            Ordering::SeqCst,
                        );
                        let _ = opened.lock().unwrap().recv();
                        running.fetch_sub(1, Ordering::SeqCst);
                    })
                })
                .collect();
            while running.load(Ordering::SeqCst) < max {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            drop(open);
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert_eq!(most.load(Ordering::SeqCst), max);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_idle() {
        assert!(run_idle("test", is_idle).await.unwrap());
    }

    #[tokio::test]
    async fn work_that_panics_is_a_fault_of_ours() {
        let broken = run("test", || resume_unwind(Box::new("on purpose"))).await;
        let fault: Failure = broken.map(|(): ()| ()).unwrap_err();
        assert_eq!(fault.kind, Kind::Internal);
    }
}
