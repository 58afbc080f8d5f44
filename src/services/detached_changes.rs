//! Runs a change to its end even if the client disconnects.
//!
//! When a connection closes, the future that serves it is dropped. If the change were part of that
//! future, it could stop between the commit and the moment when decisions see it. A detached task
//! cannot be dropped by a client.

use std::sync::Arc;

use super::directory_sync::wait_until_applied;
use crate::app::App;
use crate::domain::Failure;
use crate::store::Committed;

/// Spawns `change` and waits for it; if the waiting is dropped, the change still completes.
///
/// # Errors
/// Those of `change`; `Internal` when it panicked.
pub(super) async fn run_detached<T: Send + 'static>(
    change: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::spawn(change).await {
        Ok(result) => result,
        Err(fault) => Err(Failure::internal(format!("a change was interrupted: {fault}"))),
    }
}

/// The same for a change of the store, until decisions see it.
///
/// # Errors
/// As [`run_detached`] and [`wait_until_applied`].
pub(super) async fn run_applied<T, F>(
    app: &Arc<App>,
    change: impl FnOnce(Arc<App>) -> F,
) -> Result<Committed<T>, Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<Committed<T>, Failure>> + Send + 'static,
{
    let (change, app) = (change(Arc::clone(app)), Arc::clone(app));
    run_detached(async move { wait_until_applied(&app, change.await).await }).await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::run_detached;

    #[tokio::test]
    async fn a_change_ends_when_nobody_waits_for_it_any_more() {
        let done = Arc::new(AtomicBool::new(false));
        let (open, gate) = tokio::sync::oneshot::channel::<()>();
        let (tell, told) = tokio::sync::oneshot::channel::<()>();
        let mark = Arc::clone(&done);
        let change = run_detached(async move {
            let _ = gate.await;
            mark.store(true, Ordering::SeqCst);
            let _ = tell.send(());
            Ok(())
        });
        // The caller gives up after the change began, as a closed connection does.
        let caller = tokio::spawn(change);
        tokio::task::yield_now().await;
        caller.abort();
        assert!(caller.await.is_err());
        open.send(()).unwrap();
        told.await.unwrap();
        assert!(done.load(Ordering::SeqCst));
    }
}
