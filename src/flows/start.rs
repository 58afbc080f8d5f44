//! The policies at the start: those of the folder, else the last good set, with an error in the
//! log.
//!
//! Only chooses the first set; the comparison with the saved set, its report and saving follow once
//! decisions are answered.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use crate::app::{App, Outcome, PolicyStatus, Reloading, Unkept};
use crate::background;
use crate::domain::{Actor, Digest, Failure, PolicyFiles, RoleId, Timestamp};
use crate::engine::{Changes, Snapshot};
use crate::flows::reload;
use crate::gate;
use crate::store::{Store, StoredPolicies};

/// A set as it comes out of the gate, with what it was made from.
struct Loaded {
    files: PolicyFiles,
    snapshot: Snapshot,
}

/// What a start found: the set to begin with, and how it stands.
#[derive(Debug)]
pub struct Start {
    /// The set that answers from now on.
    pub snapshot: Snapshot,
    /// Live, or last good with the fault of the folder.
    pub status: PolicyStatus,
    /// In how long the folder is tried again, where it is not at fault.
    pub due: Option<Duration>,
    /// What is still to be told and kept of the set.
    pub untold: Option<Untold>,
}

/// A set that is another than the one that is kept.
#[derive(Debug)]
pub struct Untold {
    files: PolicyFiles,
    before: PolicyFiles,
    at: Timestamp,
}

/// What a start begins with: a set that was kept has passed before, so it is loaded at once.
fn load_first(
    dir: Option<PathBuf>,
    held: &[(RoleId, usize)],
    kept: Option<Digest>,
) -> Result<Loaded, Failure> {
    let files = reload::read(dir)?;
    let snapshot = match kept == Some(files.digest()) {
        true => Snapshot::load(&files, held).map_err(|faults| gate::failure(&faults))?,
        false => gate::load(&files, held)?,
    };
    Ok(Loaded { files, snapshot })
}

/// Runs the gate's work where nothing is decided yet.
async fn first<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    background::run("policies", work).await
}

/// The set to start with: the folder's, else the last good one, loudly.
///
/// # Errors
/// `PoliciesRefused`, when the folder is at fault and no good set was ever kept; `Busy`, when it could
/// not be read or checked then.
pub async fn at_start(
    dir: Option<PathBuf>,
    held: Vec<(RoleId, usize)>,
    store: &Store,
    now: Timestamp,
) -> Result<Start, Failure> {
    let kept = store.policies_last_good().await?;
    let digest = kept.as_ref().map(|kept| kept.digest);
    let loaded = first(move || load_first(dir, &held, digest)).await.and_then(|loaded| loaded);
    let fault = match loaded {
        Ok(loaded) => return begin(loaded, kept, store, now).await,
        Err(fault) => fault,
    };
    let Some(kept) = kept else { return Err(fault) };
    let due = reload::is_passing(&fault).then_some(reload::AGAIN_AFTER);
    let fault = reload::due_again(fault, due);
    let text = reload::status_text(&fault);
    tracing::error!(
        kept = %kept.digest,
        cause = fault.private.as_deref(),
        "the policy folder is not loaded, and the last good policies stay active\n{text}",
    );
    let files = PolicyFiles::kept(kept.files);
    let loaded = first(move || Snapshot::load(&files, &[])).await?;
    let snapshot = loaded.map_err(|faults| {
        let last = gate::failure(&faults);
        let public = format!("{text}\nand the last good policies do not load:\n{}", last.public);
        Failure { public, ..last }
    })?;
    let outcome = Outcome::of(&fault);
    let status = PolicyStatus { last_good: true, fault: Some(text), outcome, loaded_at: kept.at };
    Ok(Start { snapshot, status, due, untold: None })
}

/// Starts with the folder's set. The first one is kept at once; what one changes that follows another
/// is found out later.
async fn begin(
    loaded: Loaded,
    kept: Option<StoredPolicies>,
    store: &Store,
    now: Timestamp,
) -> Result<Start, Failure> {
    let Loaded { files, snapshot } = loaded;
    let untold = match kept {
        None => {
            reload::install(store, Actor::System, (&snapshot, files), now, &[]).await?;
            None
        }
        Some(kept) if kept.digest == snapshot.digest() => None,
        Some(kept) => Some(Untold { files, before: PolicyFiles::kept(kept.files), at: now }),
    };
    reload::log_live(&snapshot);
    Ok(Start { snapshot, status: PolicyStatus::live(now), due: None, untold })
}

/// Tells and keeps what a start has changed. `reloading` was taken before anything else could reload,
/// and is held until this is done.
pub async fn tell(app: Arc<App>, untold: Untold, mut reloading: OwnedMutexGuard<Reloading>) {
    let Untold { files, before, at } = untold;
    let live = app.policies.load_full();
    let before = reload::apart(&app, false, move || Snapshot::load(&before, &[])).await;
    let changes = match before {
        Ok(Ok(before)) => reload::compare(&app, live, Arc::new(before)).await,
        Ok(Err(_)) | Err(_) => Changes::unknown("the previous policies no longer load"),
    };
    reload::log_changes(&changes.lines());
    let unkept = &mut reloading.unkept;
    let set = Unkept { files, changes };
    let kept = reload::keep(&app, Actor::System, set, at, unkept).await;
    if let Err(fault) = kept {
        tracing::error!(cause = fault.private.as_deref(), "{}", fault.public);
    }
}
