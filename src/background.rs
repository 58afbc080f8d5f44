//! Long work beside the decisions: on a thread of its own, at the lowest priority once there are any.
//!
//! A decision that becomes due takes the core from it at once. Never for work that a request
//! waits for on the decision listener.

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

/// Only an idle thread gives its core away at once: one of a low nice value may still finish its
/// slice of some milliseconds. Where it cannot be made idle the work is done anyway.
fn yield_to_others() {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
}
