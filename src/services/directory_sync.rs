//! Keeps the directory in step with the store.
//!
//! Loads all members at start, follows the change feed, and lets a change wait until decisions see
//! it. Never writes to the store.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::directory::Directory;
use crate::domain::{Failure, Kind, LoadedRecord, Revision, Session};
use crate::store::change_feed::Follower;
use crate::store::{Committed, Store};

/// The feed is in this process: a change that is not visible after this long is a bug, and is
/// reported as one.
const SETTLE_MAX: Duration = Duration::from_secs(10);
/// How often an unresolved commit is checked again, after a disk failure.
const MEND_EVERY: Duration = Duration::from_secs(1);

/// Fills the directory from the store; returns the feed that continues from there.
///
/// # Errors
/// `Internal`, when the store cannot be read.
pub async fn load(store: &Store, directory: &Arc<Directory>) -> Result<Follower, Failure> {
    load_and(store, directory, |_| {}).await
}

/// The same, and passes each session to `each`.
///
/// # Errors
/// `Internal`, when the store cannot be read.
pub async fn load_and(
    store: &Store,
    directory: &Arc<Directory>,
    each: impl Fn(&Session) + Send + Sync + 'static,
) -> Result<Follower, Failure> {
    // Subscribed first: a change between the two arrives twice, but is never missed.
    let follower = store.subscribe();
    let filling = Arc::clone(directory);
    let take = move |record| {
        if let LoadedRecord::Session(session) = &record {
            each(session);
        }
        filling.load_one(record);
    };
    let revision = store.load(take).await?;
    directory.loaded(revision);
    Ok(follower)
}

/// Applies changes in order until the store is closed; while none waits, it puts the members of imports
/// into the index of the directory.
pub async fn follow(directory: Arc<Directory>, mut follower: Follower) {
    let mut is_indexing = true;
    loop {
        tokio::select! {
            biased;
            change = follower.recv() => {
                let Some(change) = change else { return };
                if change.revision > directory.revision() {
                    directory.apply(&change);
                    is_indexing = true;
                }
            }
            () = tokio::task::yield_now(), if is_indexing => {
                is_indexing = directory.index_imported();
            }
        }
    }
}

/// Waits until decisions see a change; if it was refused because of somebody else's change, until
/// they see that one. Returns its argument.
///
/// # Errors
/// Those of the change; `Internal` as [`wait_until_settled`].
pub async fn wait_until_applied<T>(
    app: &App,
    changed: Result<Committed<T>, Failure>,
) -> Result<Committed<T>, Failure> {
    match &changed {
        Ok(done) => wait_until_settled(app, done.revision).await?,
        Err(fault) if matches!(fault.kind, Kind::NotFound | Kind::Conflict | Kind::Stale) => {
            wait_until_settled(app, app.store.revision().await?).await?;
        }
        Err(_) => {}
    }
    changed
}

/// Checks repeatedly for an unresolved commit and for the store's file, until the task is ended:
/// decisions must not wait for the next change.
pub async fn repair_store(store: Store) {
    let mut told = false;
    loop {
        tokio::time::sleep(MEND_EVERY).await;
        // If the disk still fails, readiness reports it, and the next check follows.
        let _ = store.mend().await;
        let wrong = store.is_in_place().await.err();
        if let Some(fault) = wrong.as_ref().filter(|_| !told) {
            tracing::error!(cause = fault.private.as_deref(), "{}", fault.public);
        } else if told && wrong.is_none() {
            tracing::info!("the store's file is in its place again");
        }
        told = wrong.is_some();
    }
}

/// Waits until decisions see a revision.
///
/// # Errors
/// `Internal`, when the directory does not get there: the change is durable all the same.
pub async fn wait_until_settled(app: &App, revision: Revision) -> Result<(), Failure> {
    if app.directory.reached(revision, SETTLE_MAX).await {
        return Ok(());
    }
    Err(Failure::internal(format!("the directory has not reached revision {revision}")))
}
