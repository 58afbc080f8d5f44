//! Background retries while the sidecar runs: reloads after changes of the folder, a reload that
//! failed for a reason outside the folder, and saving a live set that could not be saved.
//!
//! Each stops with the sidecar.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::app::{App, UnsavedPolicies};
use crate::clock;
use crate::domain::{Actor, PolicyCause};
use crate::engine::AccessChanges;
use crate::policy_folder::FolderWatch;
use crate::services::permits::StorePermit;
use crate::services::reload;

/// How often saving a live set is retried.
const KEEP_EVERY: Duration = Duration::from_secs(1);

/// Reloads whenever the folder changes.
pub async fn watch(app: Arc<App>, mut folder: FolderWatch) {
    loop {
        folder.changed().await;
        let began = clock::monotonic();
        // The outcome is in the log and the status.
        let permit = StorePermit::system().because(PolicyCause::Watch);
        let done = reload::reload_now(&app, permit).await;
        if done.is_ok_and(|report| !report.pending) {
            tracing::info!(
                took_ms = began.elapsed().as_millis(),
                "policies were reloaded after the folder changed"
            );
        }
    }
}

/// Retries a reload, or the one at the start, that failed for a reason outside the folder, such as
/// a lack of memory or of open files: after a pause, unless another reload comes first.
pub async fn retry_failed_reload(app: Arc<App>) {
    let mut due = app.reload_due.subscribe();
    loop {
        let pause = *due.borrow_and_update();
        let changed = due.changed();
        match pause {
            // The sender is in the app, so it still exists.
            None => drop(changed.await),
            Some(pause) if tokio::time::timeout(pause, changed).await.is_err() => {
                // The outcome is in the log and the status, with the next retry.
                let permit = StorePermit::system().because(PolicyCause::Retry);
                if reload::reload_now(&app, permit).await.is_ok() {
                    tracing::info!("policies were reloaded after an earlier attempt failed");
                }
            }
            Some(_) => {}
        }
    }
}

/// Saves the live set for the next start as soon as the store can be written, if it could not be
/// saved before.
pub async fn save_unsaved_policies(app: Arc<App>) {
    loop {
        tokio::time::sleep(KEEP_EVERY).await;
        // The store itself checks when it can be written again.
        if app.policies_unkept.load(Ordering::Relaxed) && app.store.fault().is_none() {
            let unkept = &mut app.reloading.lock().await.unkept;
            let Some(UnsavedPolicies { files, cause, at, pinned, .. }) = unkept.as_ref() else {
                continue;
            };
            let (files, changes) = (files.clone(), AccessChanges::default());
            let (cause, at, pinned) = (*cause, *at, *pinned);
            let set = UnsavedPolicies { files, changes, cause, at, pinned };
            if reload::keep(&app, &Actor::System, set, unkept).await.is_ok() {
                tracing::info!("the live policies are saved for the next start");
            }
        }
    }
}
