//! The policies at the start: those of the folder, else the last good set, with an error in the
//! log.
//!
//! Only chooses the first set; the comparison with the saved set, its report and saving follow once
//! decisions are answered.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use crate::app::{App, FolderProblem, PendingPolicies, PolicyStatus, Reloading, UnsavedPolicies};
use crate::background;
use crate::config::PolicySource;
use crate::domain::{
    Actor, Digest, Failure, Kind, PolicyCause, PolicyFiles, PolicySetName, RoleId, Timestamp,
};
use crate::engine::{AccessChanges, Snapshot};
use crate::gate::{self, NotAdmitted};
use crate::services::reload;
use crate::store::{LOG_AWAY, LOG_UNCLEAR, Store, StoredPolicies};

/// A folder that was read, and the result of the gate.
struct ReadPolicies {
    files: PolicyFiles,
    snapshot: Result<Snapshot, NotAdmitted>,
}

/// A loaded set with its files.
struct LoadedPolicies {
    files: PolicyFiles,
    snapshot: Snapshot,
}

/// The result of a start: the first set, and its status.
#[derive(Debug)]
pub struct StartPolicies {
    /// The first live set.
    pub snapshot: Snapshot,
    /// Live, or last good with the fault of the folder.
    pub status: PolicyStatus,
    /// When the folder is tried again, if it is not at fault.
    pub due: Option<Duration>,
    /// What must still be reported and saved.
    pub untold: Option<UnannouncedPolicies>,
    /// The set of the folder, if it waits for approval.
    pub pending: Option<PendingPolicies>,
}

/// What a start reads, and the limits that it keeps.
#[derive(Debug)]
pub struct StartOptions {
    /// The folder; `None` for the built-in policies.
    pub dir: Option<PathBuf>,
    /// Whether what was published to the fleet takes its place.
    pub source: PolicySource,
    /// Whether a set by which somebody gains access waits for approval.
    pub hold_widening: bool,
    /// Whether a set with a guard that is not proved is refused.
    pub demand_proof: bool,
    /// The roles that members have, with the number of members.
    pub held: Vec<(RoleId, usize)>,
}

/// A set that differs from the saved one.
#[derive(Debug)]
pub struct UnannouncedPolicies {
    files: PolicyFiles,
    before: PolicyFiles,
    at: Timestamp,
}

/// Loads the first set: a saved set has passed the check before, so it is loaded without it, except that it
/// may have passed before proofs were demanded.
fn load_first(
    files: PolicyFiles,
    held: &[(RoleId, usize)],
    kept: Option<Digest>,
    demand_proof: bool,
) -> Result<ReadPolicies, Failure> {
    let snapshot = if kept == Some(files.digest()) && !demand_proof {
        Snapshot::load(&files, held).map_err(|faults| gate::failure(&faults).into())
    } else {
        gate::admit(&files, held, demand_proof)
    };
    Ok(ReadPolicies { files, snapshot })
}

/// Runs work on a set before anything is decided.
async fn first<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    background::run("policies", work).await
}

/// The first set: the folder's, else the last good one, with an error in the log.
///
/// # Errors
/// `PoliciesRefused`, when the folder is at fault and no good set was ever kept; `Busy`, when it could
/// not be read or checked then.
pub async fn at_start(
    options: StartOptions,
    store: &Store,
    now: Timestamp,
) -> Result<StartPolicies, Failure> {
    let mut start = chosen(options, store, now).await?;
    // A saved set is not proved again: the history has what was found when it went live.
    if start.snapshot.guard_outcomes().is_none() {
        let known = store.policy_entry(PolicySetName::Live).await.ok().flatten();
        let known = known.filter(|entry| entry.digest == start.snapshot.digest());
        start.snapshot = start.snapshot.with_guard_outcomes(known.and_then(|it| it.report.guards));
    }
    Ok(start)
}

async fn chosen(
    StartOptions { dir, source, hold_widening, demand_proof, held }: StartOptions,
    store: &Store,
    now: Timestamp,
) -> Result<StartPolicies, Failure> {
    let kept = store.policies_last_good().await?;
    let of_folder = source == PolicySource::Folder;
    if let Some(number) = store.policies_state().await?.pinned.filter(|_| of_folder)
        && let Some(kept) = &kept
    {
        return begin_pinned(kept.clone(), number).await;
    }
    let digest = kept.as_ref().map(|kept| kept.digest);
    let published = reload::published(store, source).await?;
    let work = move || {
        let files = published.map_or_else(|| reload::read(dir), Ok)?;
        load_first(files, &held, digest, demand_proof)
    };
    let read = first(work).await.and_then(|read| read);
    let fault = match read {
        Ok(ReadPolicies { files, snapshot: Ok(snapshot) }) => {
            let loaded = LoadedPolicies { files, snapshot };
            let other = kept.as_ref().filter(|kept| kept.digest != loaded.snapshot.digest());
            if let Some(kept) = other.filter(|_| hold_widening && of_folder) {
                return begin_held(loaded, kept.clone(), store, now).await;
            }
            return begin(loaded, kept, store, now).await;
        }
        Ok(ReadPolicies { files, snapshot: Err(why) }) => {
            let set = reload::stored(files, now);
            reload::refused(store, &Actor::System, PolicyCause::Start, set, &why).await;
            why.failure
        }
        Err(fault) => fault,
    };
    let Some(kept) = kept else { return Err(fault) };
    let due = reload::is_passing(&fault).then_some(reload::AGAIN_AFTER);
    let fault = reload::due_again(fault, due);
    let text = reload::status_text(&fault);
    tracing::error!(
        kept = %kept.digest,
        cause = fault.private.as_deref(),
        "the policies are not loaded, and the last good policies stay live\n{text}",
    );
    let files = PolicyFiles::kept(kept.files);
    let loaded = first(move || Snapshot::load(&files, &[])).await?;
    let snapshot = loaded.map_err(|faults| {
        let last = gate::failure(&faults);
        let public = format!("{text}\nand the last good policies do not load:\n{}", last.public);
        Failure { public, ..last }
    })?;
    let outcome = FolderProblem::of(&fault);
    let status =
        PolicyStatus { last_good: true, fault: Some(text), outcome, ..PolicyStatus::live(kept.at) };
    Ok(StartPolicies { snapshot, status, due, untold: None, pending: None })
}

/// Starts with the folder's set. The very first one is saved immediately; the changes of a later
/// one are computed afterwards.
async fn begin(
    loaded: LoadedPolicies,
    kept: Option<StoredPolicies>,
    store: &Store,
    now: Timestamp,
) -> Result<StartPolicies, Failure> {
    let LoadedPolicies { files, snapshot } = loaded;
    let untold = match kept {
        None => {
            let changes = AccessChanges::default();
            let cause = PolicyCause::Start;
            let first = UnsavedPolicies { files, changes, cause, at: now, pinned: None };
            match reload::install(store, &Actor::System, &snapshot, &first, &[]).await {
                Ok(_) => None,
                // A node that has joined a fleet: it decides, and saves the set later.
                Err(fault) if [LOG_AWAY, LOG_UNCLEAR].contains(&fault.code) => {
                    let UnsavedPolicies { files, .. } = first;
                    Some(UnannouncedPolicies { before: files.clone(), files, at: now })
                }
                Err(fault) => return Err(fault),
            }
        }
        Some(kept) if kept.digest == snapshot.digest() => {
            forget_pending(store).await;
            None
        }
        Some(kept) => {
            Some(UnannouncedPolicies { files, before: PolicyFiles::kept(kept.files), at: now })
        }
    };
    reload::log_live(&snapshot);
    let status = PolicyStatus::live(now);
    Ok(StartPolicies { snapshot, status, due: None, untold, pending: None })
}

/// Starts with the pinned set, which is the saved one; the folder is not read.
async fn begin_pinned(kept: StoredPolicies, number: u64) -> Result<StartPolicies, Failure> {
    let (files, at) = (PolicyFiles::kept(kept.files), kept.at);
    let loaded = first(move || Snapshot::load(&files, &[])).await?;
    let snapshot = loaded.map_err(|faults| {
        let last = gate::failure(&faults);
        let public = format!("the pinned set {number} does not load:\n{}", last.public);
        Failure { public, ..last }
    })?;
    reload::log_live(&snapshot);
    tracing::warn!(number, "a set is pinned, and the policy folder is ignored");
    let status = PolicyStatus { pinned: Some(number), ..PolicyStatus::live(at) };
    Ok(StartPolicies { snapshot, status, due: None, untold: None, pending: None })
}

/// The folder has the saved set: what waited before this start no longer does.
async fn forget_pending(store: &Store) {
    let forgotten = match store.policies_state().await {
        Ok(state) if state.pending.is_some() => store.policies_none_pending().await,
        Ok(_) => Ok(()),
        Err(fault) => Err(fault),
    };
    if let Err(fault) = forgotten {
        tracing::warn!(%fault, "it could not be saved that no policies wait for approval");
    }
}

/// Starts with the saved set while the folder's one waits for approval; with the folder's one if nobody
/// gains access by it, or if the saved one no longer loads.
async fn begin_held(
    loaded: LoadedPolicies,
    kept: StoredPolicies,
    store: &Store,
    now: Timestamp,
) -> Result<StartPolicies, Failure> {
    let files = PolicyFiles::kept(kept.files.clone());
    let saved = match first(move || Snapshot::load(&files, &[])).await? {
        Ok(saved) => saved,
        Err(faults) => {
            let fault = gate::failure(&faults);
            // This version may refuse what an earlier one took; for lack of a thread nothing is said.
            return match fault.kind {
                Kind::PoliciesRefused => begin(loaded, Some(kept), store, now).await,
                _ => Err(fault),
            };
        }
    };
    let LoadedPolicies { files, snapshot } = loaded;
    let compared = first(move || {
        let changes = snapshot.changes_since(&saved);
        (snapshot, saved, changes)
    });
    let (snapshot, saved, changes) = compared.await?;
    if !changes.widens() {
        return begin(LoadedPolicies { files, snapshot }, Some(kept), store, now).await;
    }
    let report = reload::entry_report(&snapshot, PolicyCause::Start, &changes);
    let set = reload::stored(files, now);
    let pending = reload::set_pending(store, &Actor::System, set, report).await;
    reload::log_live(&saved);
    let status = PolicyStatus { pending: Some(pending.digest), ..PolicyStatus::live(kept.at) };
    let pending = Some(pending);
    Ok(StartPolicies { snapshot: saved, status, due: None, untold: None, pending })
}

/// Reports and saves what a start has changed. `reloading` was locked before anything else could
/// reload, and is held until this is done.
pub async fn tell(
    app: Arc<App>,
    untold: UnannouncedPolicies,
    mut reloading: OwnedMutexGuard<Reloading>,
) {
    let UnannouncedPolicies { files, before, at } = untold;
    let live = app.policies.load_full();
    let before =
        reload::run_on_blocking_thread(&app, false, move || Snapshot::load(&before, &[])).await;
    let changes = match before {
        Ok(Ok(before)) => reload::compare(&app, live, Arc::new(before)).await,
        Ok(Err(_)) | Err(_) => AccessChanges::unknown("the previous policies no longer load"),
    };
    reload::log_changes(&changes.lines());
    let unkept = &mut reloading.unkept;
    let set = UnsavedPolicies { files, changes, cause: PolicyCause::Start, at, pinned: None };
    let kept = reload::keep(&app, &Actor::System, set, unkept).await;
    if let Err(fault) = kept {
        tracing::error!(cause = fault.private.as_deref(), "{}", fault.public);
    }
}
