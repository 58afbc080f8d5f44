//! A backup of the running sidecar: the store at one revision, and the keys.
//!
//! A backup contains every key, so only the operator of the sidecar may make one.

use std::path::PathBuf;
use std::sync::Arc;

use super::detached_changes::run_detached;
use super::permits::StorePermit;
use crate::app::App;
use crate::backup::{self, BackupReport};
use crate::domain::Failure;

/// Makes a backup in a new folder. Changes continue meanwhile.
///
/// # Errors
/// As [`backup::write`]; `Internal` `store_damaged`.
pub async fn take(
    app: &Arc<App>,
    permit: StorePermit,
    to: PathBuf,
) -> Result<BackupReport, Failure> {
    let app = Arc::clone(app);
    let taken = run_detached(async move {
        let store = app.store.clone();
        let copy = |file: PathBuf| async move { store.copy_to(&file).await };
        // The keys in use, wherever their files are.
        let keys = app.keys.files();
        backup::write(&to, &app.config.data, keys, app.clock.now(), copy).await
    })
    .await?;
    tracing::info!(
        by = permit.actor().label(),
        place = %taken.place.display(),
        revision = taken.revision.0,
        "a backup was made"
    );
    Ok(taken)
}
