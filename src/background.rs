//! Long work beside the decisions: on a thread of its own, at the lowest priority.
//!
//! A decision that becomes due takes the core from it at once. Never for work that a request
//! waits for on the decision listener.

use tokio::sync::oneshot;

use crate::domain::Failure;

/// The weakest claim to a core that a thread can have.
const LOWEST_PRIORITY: i32 = 19;

/// Runs `work` to its end, also when the caller stops waiting.
///
/// # Errors
/// `Internal`, when the thread cannot start or the work panics.
pub async fn run<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let (answer, answered) = oneshot::channel();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            yield_to_others();
            // Nobody may be waiting any more; the work counts all the same.
            let _ = answer.send(work());
        })
        .map_err(|fault| Failure::internal(format!("no thread for `{name}`: {fault}")))?;
    answered.await.map_err(|_| Failure::internal(format!("`{name}` broke off")))
}

/// On Linux a priority belongs to a thread. Where it cannot be lowered the work is done anyway.
fn yield_to_others() {
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), LOWEST_PRIORITY);
}
