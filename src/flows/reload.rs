//! Reload: a policy folder goes through the gate and becomes the live set, or nothing changes.
//!
//! One flow for file watch, signal and command. Runs apart from the threads that answer, at the
//! priority of the process: a `forbid` must count soon, however busy the machine is. The swap itself
//! is one store of a pointer. Never leaves the live set half changed, and never
//! drops the last good one.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub use crate::app::ReloadReport;
use crate::app::{App, PolicyStatus, Unkept};
use crate::background;
use crate::clock;
use crate::domain::{
    Actor, AuditDetail, Digest, Failure, Kind, PolicyFiles, Revision, RoleId, Timestamp, limits,
};
use crate::engine::{Changes, Snapshot, render};
use crate::flows::permit::{Caller, Permit, Right, StorePermit};
use crate::flows::{callers, refresh};
use crate::gate;
use crate::policy_folder::{self, Watch};
use crate::store::{Store, StoredPolicies};

/// How many lines of change the log gets; the audit log gets all.
const LOGGED_CHANGES: usize = 200;

/// How often it is tried to keep a live set that could not be kept.
const KEEP_EVERY: Duration = Duration::from_secs(1);

/// The set is live, and what is missing is tried again by [`keep_unkept`].
const NOT_KEPT: &str = "policies_not_kept";

/// The pause before a reload that failed for no fault of the folder is tried again: doubled from the
/// first to the last.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(60);

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
}

/// Reads the folder, or the shipped one, and takes it through the gate beside decisions; `None` instead
/// of the set that is known to pass already.
fn load_other(
    dir: Option<PathBuf>,
    held: &[(RoleId, usize)],
    known: Digest,
) -> Result<(PolicyFiles, Option<Snapshot>), Failure> {
    let files = read(dir)?;
    if is_large(&files) {
        // The process of the gate inherits it.
        background::stand_behind();
    }
    let is_known = files.digest() == known;
    let snapshot = (!is_known).then(|| gate::load(&files, held)).transpose()?;
    Ok((files, snapshot))
}

fn read(dir: Option<PathBuf>) -> Result<PolicyFiles, Failure> {
    dir.map_or_else(|| Ok(policy_folder::shipped()), |dir| policy_folder::read(&dir))
}

/// Whether work on the set takes seconds, in which it would take cores from decisions.
fn is_large(files: &PolicyFiles) -> bool {
    let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    bytes > limits::POLICY_BYTES_SOON
}

/// What a start begins with: a set that was kept has passed before, so it is loaded at once.
fn load_first(
    dir: Option<PathBuf>,
    held: &[(RoleId, usize)],
    kept: Option<Digest>,
) -> Result<Loaded, Failure> {
    let files = read(dir)?;
    let snapshot = match kept == Some(files.digest()) {
        true => Snapshot::load(&files, held).map_err(|faults| refused(&render(&faults)))?,
        false => gate::load(&files, held)?,
    };
    Ok(Loaded { files, snapshot })
}

/// Runs the gate's work where nothing is decided yet.
async fn first<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    background::run("policies", work).await
}

/// Runs the gate's work beside the decisions: at their priority, unless it is on a large set.
async fn apart<T: Send + 'static>(
    app: &App,
    large: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let work = move || {
        if large {
            background::stand_behind();
        }
        work()
    };
    // Begun by one of their threads, which stands where the process does.
    let begun = app.decisions.spawn(background::run("policies", work));
    begun.await.map_err(|fault| Failure::internal(format!("the gate broke off: {fault}")))?
}

fn refused(faults: &str) -> Failure {
    Failure::new(Kind::PoliciesRefused, "policies_refused", faults)
}

/// The set to start with: the folder's, else the last good one, loudly.
///
/// # Errors
/// `PoliciesRefused`, when the folder is at fault and no good set was ever kept.
pub async fn at_start(
    dir: Option<PathBuf>,
    held: Vec<(RoleId, usize)>,
    store: &Store,
    now: Timestamp,
) -> Result<Start, Failure> {
    let kept = store.policies_last_good().await?;
    let digest = kept.as_ref().map(|kept| kept.digest);
    let fault = match first(move || load_first(dir, &held, digest)).await? {
        Ok(loaded) => return begin(loaded, kept, store, now).await,
        Err(fault) => fault,
    };
    let Some(kept) = kept else { return Err(fault) };
    tracing::error!(
        kept = %kept.digest,
        "the policy folder is refused, so the last good set answers; mend the folder, then reload\n{}",
        fault.public
    );
    let files = PolicyFiles::kept(kept.files);
    let snapshot = first(move || Snapshot::load(&files, &[])).await?.map_err(|faults| {
        refused(&format!(
            "{}\nand the last good set no longer loads:\n{}",
            fault.public,
            render(&faults)
        ))
    })?;
    let status = PolicyStatus { last_good: true, fault: Some(fault.public), loaded_at: kept.at };
    Ok(Start { snapshot, status })
}

/// Starts with the folder's set, and keeps it where it is another than the kept one.
async fn begin(
    loaded: Loaded,
    kept: Option<StoredPolicies>,
    store: &Store,
    now: Timestamp,
) -> Result<Start, Failure> {
    let Loaded { files, snapshot } = loaded;
    if kept.as_ref().is_none_or(|kept| kept.digest != snapshot.digest()) {
        let before = match kept {
            Some(kept) => {
                let files = PolicyFiles::kept(kept.files);
                first(move || Snapshot::load(&files, &[])).await?.ok()
            }
            None => None,
        };
        let changes = before.map(|before| snapshot.changes_since(&before)).unwrap_or_default();
        keep(store, Actor::System, (&snapshot, files), now, &changes.lines()).await?;
    }
    log_live(&snapshot);
    let status = PolicyStatus { last_good: false, fault: None, loaded_at: now };
    Ok(Start { snapshot, status })
}

/// The paths of the files that the live set was made from; `None` where that set is not kept.
///
/// # Errors
/// `Denied` `not_allowed`; `Busy`, when the disk fails.
pub async fn files(app: &App, caller: Caller) -> Result<Option<Vec<String>>, Failure> {
    Permit::authorize(app, caller, [Right::VIEW_SETTINGS]).await?;
    let kept = app.store.policies_last_good().await?;
    let kept = kept.filter(|kept| kept.digest == app.policies.load().digest());
    Ok(kept.map(|kept| kept.files.into_iter().map(|(path, _)| path).collect()))
}

/// Reloads the folder now, and waits for the outcome.
///
/// # Errors
/// `PoliciesRefused` with every fault; the live set goes on answering then.
pub async fn now(app: &Arc<App>, permit: StorePermit) -> Result<ReloadReport, Failure> {
    let app = Arc::clone(app);
    // A task of its own: a caller that hangs up must not stop a swap before it is kept.
    tokio::spawn(async move {
        let keys = callers::reload(&app).await;
        let report = once(&app, permit).await?;
        keys.map(|()| report).map_err(|fault| callers::not_reloaded(&fault))
    })
    .await
    .map_err(|fault| Failure::internal(format!("the reload broke off: {fault}")))?
}

/// Takes the folder through the gate as a reload would, and says what it would change. Changes
/// nothing, and notes nothing down: a fault is for whoever asked.
///
/// # Errors
/// `PoliciesRefused` with every fault; `Busy`.
pub async fn check(app: &App, _: &StorePermit) -> Result<ReloadReport, Failure> {
    // One folder goes through the gate at a time, whatever for.
    let _one = app.checking.lock().await;
    let _alone = app.reloading.lock().await;
    let dir = app.config.policies.dir.clone();
    let held = app.directory.roles_held();
    let live = app.policies.load_full();
    let report = move || match load_other(dir, &held, live.digest())?.1 {
        None => Ok(report(&live, false, Changes::default())),
        Some(snapshot) => Ok(report(&snapshot, true, snapshot.changes_since(&live))),
    };
    apart(app, false, report).await?
}

/// However many wait while one reload runs, one more follows: each is answered by a reload that
/// began after it was asked for.
async fn once(app: &App, permit: StorePermit) -> Result<ReloadReport, Failure> {
    let number = app.reloads_asked.fetch_add(1, Ordering::AcqRel) + 1;
    let mut reloading = app.reloading.lock().await;
    if let Some((asked, outcome)) = &reloading.last
        && *asked >= number
    {
        return outcome.clone();
    }
    let asked = app.reloads_asked.load(Ordering::Acquire);
    app.telemetry.begin_reload(app.clock.now());
    let outcome = told(app, try_once(app, permit, &mut reloading.unkept).await);
    reloading.last = Some((asked, outcome.clone()));
    outcome
}

/// Tells what came of a reload in the log, the counters and the status.
fn told(app: &App, outcome: Result<ReloadReport, Failure>) -> Result<ReloadReport, Failure> {
    match outcome {
        Ok(report) => {
            app.telemetry.reloaded(true, app.clock.now());
            Ok(report)
        }
        Err(fault) => {
            app.telemetry.reloaded(false, app.clock.now());
            let refused = fault.kind == Kind::PoliciesRefused;
            let why = match refused {
                true => fault.public.clone(),
                false => format!("the policies were not reloaded: {}", fault.public),
            };
            if refused {
                tracing::error!(
                    "the policies are refused, the set before goes on answering\n{why}"
                );
            } else {
                tracing::error!(cause = fault.private.as_deref(), "{}", fault.public);
            }
            // One that is live already is not at fault.
            if fault.code != NOT_KEPT {
                let status = PolicyStatus::clone(&app.policy_status.load());
                app.policy_status.store(Arc::new(PolicyStatus { fault: Some(why), ..status }));
            }
            Err(fault)
        }
    }
}

async fn try_once(
    app: &App,
    permit: StorePermit,
    unkept: &mut Option<Unkept>,
) -> Result<ReloadReport, Failure> {
    let dir = app.config.policies.dir.clone();
    let held = app.directory.roles_held();
    let before = app.policies.load_full();
    let known = before.digest();
    let (files, snapshot) = apart(app, false, move || load_other(dir, &held, known)).await??;
    let large = is_large(&files);
    let at = app.clock.now();
    let status = PolicyStatus { last_good: false, fault: None, loaded_at: at };
    let Some(snapshot) = snapshot else {
        app.policy_status.store(Arc::new(status));
        if let Some(Unkept { changes, .. }) = unkept.take() {
            let again = Unkept { files: files.clone(), changes };
            let actor = permit.into_actor();
            let kept = keep(&app.store, actor, (&before, files), at, &again.changes).await;
            settle(app, kept, again, unkept).await?;
        }
        return Ok(report(&before, false, Changes::default()));
    };
    let (snapshot, changes) = apart(app, large, move || {
        let changes = snapshot.changes_since(&before);
        (Arc::new(snapshot), changes)
    })
    .await?;
    let retired = {
        // While the swap is under way nobody is given a role, so none can be given that is
        // about to disappear.
        let _no_role_is_given = app.roles_given.write().await;
        still_held(&snapshot, &app.directory.roles_held())?;
        let retired = app.policies.swap(Arc::clone(&snapshot));
        app.policy_status.store(Arc::new(status));
        retired
    };
    let mut lines = unkept.take().map(|unkept| unkept.changes).unwrap_or_default();
    lines.extend(changes.lines());
    let again = Unkept { files: files.clone(), changes: lines };
    let kept = keep(&app.store, permit.into_actor(), (&snapshot, files), at, &again.changes).await;
    let (live, told) = (Arc::clone(&snapshot), changes.lines());
    // To give back the memory of a large set takes long enough to hold up decisions.
    apart(app, large, move || {
        log_live(&live);
        log_changes(&told);
        drop(retired);
    })
    .await?;
    settle(app, kept, again, unkept).await?;
    Ok(report(&snapshot, true, changes))
}

/// Ends a reload whose set is live: whether it is kept for the next start is told, and remembered
/// until it is.
async fn settle(
    app: &App,
    kept: Result<Revision, Failure>,
    again: Unkept,
    unkept: &mut Option<Unkept>,
) -> Result<(), Failure> {
    app.policies_unkept.store(kept.is_err(), Ordering::Relaxed);
    match kept {
        Ok(revision) => refresh::settled(app, revision).await,
        Err(fault) => {
            *unkept = Some(again);
            Err(Failure::new(
                Kind::Busy,
                NOT_KEPT,
                "the new policies are live, but could not be kept for the next start, which would begin with those before: `kwic-team doctor` and the log say why; free space on the store's disk where it is full: they are kept as soon as it can be written",
            )
            .logged(fault.to_string()))
        }
    }
}

fn report(snapshot: &Snapshot, changed: bool, changes: Changes) -> ReloadReport {
    ReloadReport {
        digest: snapshot.digest(),
        policies: snapshot.policy_count(),
        changed,
        changes,
        notes: snapshot.notes().to_vec(),
    }
}

/// A role that a member was given while the set went through the gate.
fn still_held(snapshot: &Snapshot, held: &[(RoleId, usize)]) -> Result<(), Failure> {
    match held.iter().find(|(role, members)| *members > 0 && !snapshot.has_role(role)) {
        Some((role, _)) => Err(refused(&format!(
            "the role `{role}` was given to a member while it was about to disappear: reload again"
        ))),
        None => Ok(()),
    }
}

/// Keeps a set for the start after a crash, with its entry in the audit log.
async fn keep(
    store: &Store,
    actor: Actor,
    (snapshot, files): (&Snapshot, PolicyFiles),
    at: Timestamp,
    changes: &[String],
) -> Result<Revision, Failure> {
    let mut detail = AuditDetail::default();
    detail.fields.push(("policies".into(), None, Some(snapshot.policy_count().to_string())));
    for line in changes {
        detail.fields.push(("change".into(), None, Some(line.clone())));
    }
    let stored = StoredPolicies { digest: snapshot.digest(), at, files: files.into_files() };
    store.policies_installed(&actor, stored, detail).await.map(|committed| committed.revision)
}

fn log_live(snapshot: &Snapshot) {
    tracing::info!(
        digest = snapshot.digest_hex(),
        policies = snapshot.policy_count(),
        roles = snapshot.roles().len(),
        guards = snapshot.guard_count(),
        tests_passed = snapshot.test_count(),
        "policies are live"
    );
    for note in snapshot.notes() {
        tracing::info!(%note, "policies");
    }
}

fn log_changes(lines: &[String]) {
    for line in lines.iter().take(LOGGED_CHANGES) {
        tracing::info!(change = %line, "policies");
    }
    if lines.len() > LOGGED_CHANGES {
        tracing::info!(
            more = lines.len() - LOGGED_CHANGES,
            "policies: further changes are in the audit log, see `kwic-team audit list`"
        );
    }
}

/// Keeps the live set for the next start as soon as the store can be written, where it could not be
/// before, until the task is ended.
pub async fn keep_unkept(app: Arc<App>) {
    loop {
        tokio::time::sleep(KEEP_EVERY).await;
        // The store finds out for itself when it can be written again.
        if app.policies_unkept.load(Ordering::Relaxed) && app.store.fault().is_none() {
            let unkept = &mut app.reloading.lock().await.unkept;
            let Some(again) = unkept.take() else { continue };
            let (live, files, at) =
                (app.policies.load_full(), again.files.clone(), app.clock.now());
            let kept = keep(&app.store, Actor::System, (&live, files), at, &again.changes).await;
            if settle(&app, kept, again, unkept).await.is_ok() {
                tracing::info!("the live policies are kept for the next start");
            }
        }
    }
}

/// Reloads whenever the folder changes, until the task is ended. A reload that failed for no fault of
/// the folder, such as a lack of memory, is tried again without a change.
pub async fn watch(app: Arc<App>, mut folder: Watch) {
    // A start with the last good set may have failed for such a reason as well.
    let mut again = app.policy_status.load().last_good.then_some(AGAIN_AFTER);
    loop {
        match again {
            Some(pause) => drop(tokio::time::timeout(pause, folder.changed()).await),
            None => folder.changed().await,
        }
        let began = clock::monotonic();
        // The outcome is in the log and the status.
        let outcome = now(&app, StorePermit::system()).await;
        again = match &outcome {
            Err(fault) if is_passing(fault) => {
                Some(again.map_or(AGAIN_AFTER, |pause| (pause * 2).min(AGAIN_AFTER_MAX)))
            }
            _ => None,
        };
        if outcome.is_ok() {
            tracing::info!(
                took_ms = began.elapsed().as_millis(),
                "policies were reloaded after the folder changed"
            );
        }
    }
}

/// Whether the same folder may load later.
fn is_passing(fault: &Failure) -> bool {
    matches!(fault.kind, Kind::Busy | Kind::Internal) && fault.code != NOT_KEPT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::config::Config;
    use crate::directory::Directory;

    #[tokio::test]
    async fn each_reload_that_failed_is_told_and_what_may_pass_is_tried_again() {
        let home = tempfile::tempdir().unwrap();
        let clock = Clock::fixed(Timestamp(1_764_000_000_000));
        let store = Store::in_memory(clock.clone()).await.unwrap();
        let config = Config::default_for(home.path().to_owned());
        let begun = Snapshot::load(&policy_folder::shipped(), &[]).unwrap();
        let app = App::new(config, clock, begun, Arc::new(Directory::new()), store).unwrap();
        for (fault, is_tried_again) in [
            (Failure::new(Kind::Busy, "gate_ended", "out of memory"), true),
            (Failure::new(Kind::Busy, "no_process", "no process"), true),
            (Failure::internal("broke off"), true),
            (refused("nosuchword"), false),
        ] {
            told(&app, Err(fault.clone())).unwrap_err();
            let status = PolicyStatus::clone(&app.policy_status.load());
            assert!(status.fault.as_ref().unwrap().contains(&fault.public), "{status:?}");
            assert!(status.short_fault().is_some());
            assert_eq!(is_passing(&fault), is_tried_again, "{fault:?}");
            app.policy_status.store(Arc::new(PolicyStatus { fault: None, ..status }));
        }
        let live = Failure::new(Kind::Busy, NOT_KEPT, "live, and not kept");
        told(&app, Err(live.clone())).unwrap_err();
        assert_eq!(app.policy_status.load().fault, None);
        assert!(!is_passing(&live));
        // The keys are at fault, and the policies are live.
        assert!(!is_passing(&callers::not_reloaded(&live)));
        // The runtime of the decisions must not end on a thread of another.
        tokio::task::spawn_blocking(move || drop(app)).await.unwrap();
    }
}
