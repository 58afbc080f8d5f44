//! Reload: a policy folder is checked and becomes the live set, or nothing changes.
//!
//! One service for file watch, signal and command. Runs outside the decision threads, at the priority
//! of the process, so that a new `forbid` takes effect soon on a busy machine. The swap is one
//! store of a pointer, made as soon as the set has passed the check; the comparison, the report and
//! saving the set follow. The live set is never partly changed, and the last good one is never
//! dropped. A reload that fails for a reason outside the folder is retried after a pause.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub use crate::app::ReloadReport;
use crate::app::{App, FolderProblem, PolicyStatus, UnsavedPolicies};
use crate::background;
use crate::domain::{
    Actor, Digest, Failure, FieldChange, Kind, PolicyCause, PolicyFiles, PolicyOutcome,
    PolicyReport, Revision, RoleId, Timestamp, limits,
};
use crate::engine::{AccessChanges, Snapshot};
use crate::gate;
use crate::policy_folder;
use crate::services::caller::Caller;
use crate::services::permissions::{Permit, StorePermit};
use crate::services::rights::Right;
use crate::services::{caller_keys, directory_sync, orphaned_invites};
use crate::store::{Store, StoredPolicies};

/// The number of lines about access changes in the log; the audit log has all.
const LOGGED_CHANGES: usize = 200;

/// The set is live but not saved; it is saved as soon as the store can be written.
pub const NOT_KEPT: &str = "policies_not_kept";

/// The pauses before a failed reload is retried: doubled from the first to the last.
pub(super) const AGAIN_AFTER: Duration = Duration::from_secs(2);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(60);

/// A folder that was read, and the result of the gate; no set if it is the one that is already
/// loaded.
type ReadFolder = (PolicyFiles, Result<Option<Snapshot>, Failure>);

/// Reads the folder, or the built-in policies, and loads it outside the decision threads.
fn load_other(
    dir: Option<PathBuf>,
    held: &[(RoleId, usize)],
    known: Digest,
) -> Result<ReadFolder, Failure> {
    let files = read(dir)?;
    if is_large(&files) {
        // The gate process inherits it.
        background::stand_behind();
    }
    let is_known = files.digest() == known;
    let loaded = (!is_known).then(|| gate::load(&files, held)).transpose();
    Ok((files, loaded))
}

pub(super) fn read(dir: Option<PathBuf>) -> Result<PolicyFiles, Failure> {
    dir.map_or_else(|| Ok(policy_folder::embedded_policies()), |dir| policy_folder::read(&dir))
}

/// Whether work on the set takes seconds and would take cores from decisions.
fn is_large(files: &PolicyFiles) -> bool {
    let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    bytes > limits::POLICY_BYTES_SOON
}

/// Runs work on a set outside the decision threads: at their priority, unless the set is large.
pub(super) async fn run_on_blocking_thread<T: Send + 'static>(
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
    // Started by a decision thread, which has the priority of the process.
    let begun = app.decisions.spawn(background::run("policies", work));
    begun
        .await
        .map_err(|fault| Failure::internal(format!("the check of the policies failed: {fault}")))?
}

/// The paths of the files of the live set; `None` if the set is not saved.
///
/// # Errors
/// `Denied` `not_allowed`; `Busy`, when the disk fails.
pub async fn files(app: &App, caller: Caller) -> Result<Option<Vec<String>>, Failure> {
    Permit::authorize(app, caller, [Right::VIEW_SETTINGS]).await?;
    let kept = app.store.policies_last_good().await?;
    let kept = kept.filter(|kept| kept.digest == app.policies.load().digest());
    Ok(kept.map(|kept| kept.files.into_iter().map(|(path, _)| path).collect()))
}

/// Reloads the folder now, and waits for the result.
///
/// # Errors
/// `PoliciesRefused` with every fault; the live set goes on answering then.
pub async fn reload_now(app: &Arc<App>, permit: StorePermit) -> Result<ReloadReport, Failure> {
    let app = Arc::clone(app);
    // A detached task: a caller that disconnects must not interrupt a swap before it is saved.
    tokio::spawn(async move {
        let keys = caller_keys::reload_caller_keys(&app).await;
        let report = once(&app, &permit).await?;
        keys.map(|()| report).map_err(|fault| caller_keys::not_reloaded(&fault))
    })
    .await
    .map_err(|fault| Failure::internal(format!("the reload failed: {fault}")))?
}

/// Checks the folder as a reload would, and returns what it would change. Changes and records
/// nothing: a fault is only for the caller.
///
/// # Errors
/// `PoliciesRefused` with every fault; `Busy`.
pub async fn check(app: &App, _: &StorePermit) -> Result<ReloadReport, Failure> {
    // Only one folder is checked at a time, for any purpose.
    let _one = app.checking.lock().await;
    let alone = app.reloading.lock().await;
    let dir = app.config.policies.dir.clone();
    let held = app.directory.roles_held();
    let live = app.policies.load_full();
    let known = live.digest();
    let loaded = run_on_blocking_thread(app, false, move || load_other(dir, &held, known)).await;
    // A reload need not wait for the comparison.
    drop(alone);
    let (files, loaded) = loaded??;
    let Some(snapshot) = loaded? else {
        let mut report = report(&live, false, AccessChanges::default());
        report.notes.extend(orphaned_invites::notes(app, &live).await);
        return Ok(report);
    };
    let snapshot = Arc::new(snapshot);
    let changes = compare(app, Arc::clone(&snapshot), Arc::clone(&live)).await;
    let mut report = report(&snapshot, true, changes);
    report.notes.extend(orphaned_invites::notes(app, &snapshot).await);
    give_back(app, &files, snapshot).await;
    Ok(report)
}

/// The access changes of a set; unknown if they could not be computed.
pub(super) async fn compare(app: &App, now: Arc<Snapshot>, before: Arc<Snapshot>) -> AccessChanges {
    let work = move || now.changes_since(&before);
    app.comparisons.run("comparison", work).await.unwrap_or_else(|fault| {
        tracing::error!("the policies could not be compared with the previous ones: {fault}");
        AccessChanges::unknown("the policies could not be compared with the previous ones")
    })
}

/// Freeing a large set takes long enough to delay a caller.
async fn give_back(app: &App, files: &PolicyFiles, snapshot: Arc<Snapshot>) {
    if is_large(files) {
        // If no thread can be started, it is freed here.
        let _ = run_on_blocking_thread(app, true, move || drop(snapshot)).await;
    }
}

/// However many callers wait while one reload runs, one more follows: each gets the result of a
/// reload that began after its request.
async fn once(app: &App, permit: &StorePermit) -> Result<ReloadReport, Failure> {
    let number = app.reloads_asked.fetch_add(1, Ordering::AcqRel) + 1;
    let mut reloading = app.reloading.lock().await;
    if let Some((asked, outcome)) = &reloading.last
        && *asked >= number
    {
        return outcome.clone();
    }
    let asked = app.reloads_asked.load(Ordering::Acquire);
    app.telemetry.begin_reload(app.clock.now());
    let outcome = try_once(app, permit, &mut reloading.unkept).await;
    let outcome = told(app, &mut reloading.failed, outcome);
    reloading.last = Some((asked, outcome.clone()));
    outcome
}

/// Records the result of a reload in the log, the counters and the status; one that failed for a
/// reason outside the folder is retried.
fn told(
    app: &App,
    failed: &mut u32,
    outcome: Result<ReloadReport, Failure>,
) -> Result<ReloadReport, Failure> {
    app.telemetry.reloaded(outcome.is_ok());
    let passing = outcome.as_ref().err().is_some_and(is_passing);
    *failed = if passing { failed.saturating_add(1) } else { 0 };
    let pause = passing.then(|| pause_after(*failed));
    app.reload_due.send_replace(pause);
    outcome.map_err(|fault| {
        let fault = due_again(fault, pause);
        let text = status_text(&fault);
        match fault.kind {
            Kind::PoliciesRefused => {
                tracing::error!("the policies are refused, the previous policies stay live\n{text}")
            }
            _ => tracing::error!(cause = fault.private.as_deref(), "{text}"),
        }
        // The set is live, so the folder is not at fault.
        if fault.code != NOT_KEPT {
            let status = PolicyStatus::clone(&app.policy_status.load());
            let outcome = FolderProblem::of(&fault);
            app.policy_status.store(Arc::new(PolicyStatus {
                fault: Some(text),
                outcome,
                ..status
            }));
        }
        fault
    })
}

/// The status text for a folder that was not loaded.
pub(super) fn status_text(fault: &Failure) -> String {
    match FolderProblem::of(fault) {
        // The name of an unreadable file comes first, as with a refusal.
        FolderProblem::Refused | FolderProblem::Unread => fault.public.clone(),
        _ if fault.code == NOT_KEPT => fault.public.clone(),
        _ => format!("the policies were not reloaded: {}", fault.public),
    }
}

/// Adds the time of the next retry.
pub(super) fn due_again(fault: Failure, pause: Option<Duration>) -> Failure {
    let Some(pause) = pause.map(|pause| pause.as_secs()) else { return fault };
    let public = format!("{}; it is tried again by itself in {pause} s", fault.public);
    Failure { public, retry_after: Some(pause), ..fault }
}

/// Whether the same folder may load later.
pub(super) fn is_passing(fault: &Failure) -> bool {
    matches!(fault.kind, Kind::Busy | Kind::Internal) && fault.code != NOT_KEPT
}

fn pause_after(failed: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failed.saturating_sub(1));
    AGAIN_AFTER.saturating_mul(doubled).min(AGAIN_AFTER_MAX)
}

async fn try_once(
    app: &App,
    permit: &StorePermit,
    unkept: &mut Option<UnsavedPolicies>,
) -> Result<ReloadReport, Failure> {
    let dir = app.config.policies.dir.clone();
    let held = app.directory.roles_held();
    let before = app.policies.load_full();
    let known = before.digest();
    let (files, loaded) =
        run_on_blocking_thread(app, false, move || load_other(dir, &held, known)).await??;
    let at = app.clock.now();
    if let Err(fault) = &loaded {
        refused(&app.store, permit.actor(), permit.cause(), stored(files.clone(), at), fault).await;
    }
    let Some(snapshot) = loaded? else {
        app.policy_status.store(Arc::new(PolicyStatus::live(at)));
        if unkept.is_some() {
            let (changes, cause) = (AccessChanges::default(), permit.cause());
            let set = UnsavedPolicies { files, changes, cause, at };
            keep(app, permit.actor(), set, unkept).await?;
        }
        // The caller is told, also if the watcher has reloaded the folder before.
        let mut report = report(&before, false, AccessChanges::default());
        report.notes.extend(orphaned_invites::notes(app, &before).await);
        return Ok(report);
    };
    let snapshot = Arc::new(snapshot);
    go_live(app, &snapshot, at).await?;
    let retired = Arc::clone(&before);
    let changes = compare(app, Arc::clone(&snapshot), before).await;
    let orphaned = orphaned_invites::notes(app, &snapshot).await;
    orphaned.iter().for_each(|note| tracing::warn!(%note, "policies"));
    give_back(app, &files, retired).await;
    log_changes(&changes.lines());
    let set = UnsavedPolicies { files, changes: changes.clone(), cause: permit.cause(), at };
    keep(app, permit.actor(), set, unkept).await?;
    let mut report = report(&snapshot, true, changes);
    report.notes.extend(orphaned);
    Ok(report)
}

/// Swaps the live set.
async fn go_live(app: &App, snapshot: &Arc<Snapshot>, at: Timestamp) -> Result<(), Failure> {
    // During the swap nobody is given a role, so none is given that is about to disappear.
    let _no_role_is_given = app.roles_given.write().await;
    still_held(snapshot, &app.directory.roles_held())?;
    app.policies.store(Arc::clone(snapshot));
    app.policy_status.store(Arc::new(PolicyStatus::live(at)));
    log_live(snapshot);
    Ok(())
}

/// Saves the live set for the next start, with the changes since the saved set; if that fails, it
/// is retried later.
pub(super) async fn keep(
    app: &App,
    actor: &Actor,
    mut set: UnsavedPolicies,
    unkept: &mut Option<UnsavedPolicies>,
) -> Result<(), Failure> {
    if let Some(earlier) = unkept.take() {
        set.changes = earlier.changes.followed_by(set.changes);
    }
    let (live, lines) = (app.policies.load_full(), set.changes.lines());
    let kept = install(&app.store, actor, &live, &set, &lines).await;
    settle(app, kept, set, unkept).await
}

/// Ends a reload whose set is live: records whether it is saved.
async fn settle(
    app: &App,
    kept: Result<Revision, Failure>,
    again: UnsavedPolicies,
    unkept: &mut Option<UnsavedPolicies>,
) -> Result<(), Failure> {
    app.policies_unkept.store(kept.is_err(), Ordering::Relaxed);
    match kept {
        Ok(revision) => directory_sync::wait_until_settled(app, revision).await,
        Err(fault) => {
            *unkept = Some(again);
            Err(Failure::new(
                Kind::Busy,
                NOT_KEPT,
                "the new policies are live, but could not be saved, and a restart would begin with the previous ones: `kwic-team doctor` and the log say why; if the store's disk is full, free space there: they are saved as soon as it can be written",
            )
            .logged(fault.to_string()))
        }
    }
}

fn report(snapshot: &Snapshot, changed: bool, changes: AccessChanges) -> ReloadReport {
    ReloadReport {
        digest: snapshot.digest(),
        policies: snapshot.policy_count(),
        changed,
        changes,
        notes: snapshot.notes().to_vec(),
    }
}

/// A role that a member was given while the set was checked.
fn still_held(snapshot: &Snapshot, held: &[(RoleId, usize)]) -> Result<(), Failure> {
    match held.iter().find(|(role, members)| *members > 0 && !snapshot.has_role(role)) {
        Some((role, _)) => Err(Failure::policies_refused(format!(
            "the role `{role}` was given to a member during the reload that would remove it: reload again"
        ))),
        None => Ok(()),
    }
}

/// Saves a set, with its entry in the history, and its entry with these lines in the audit log.
pub(super) async fn install(
    store: &Store,
    actor: &Actor,
    snapshot: &Snapshot,
    UnsavedPolicies { files, changes, cause, at }: &UnsavedPolicies,
    lines: &[String],
) -> Result<Revision, Failure> {
    let mut fields: Vec<FieldChange> =
        cause.told().into_iter().map(|cause| FieldChange::added("cause", cause)).collect();
    fields.push(FieldChange::added("policies", snapshot.policy_count().to_string()));
    fields.extend(lines.iter().map(|line| FieldChange::added("change", line)));
    let report = entry_report(snapshot, *cause, changes);
    let done = store.policies_installed(actor, stored(files.clone(), *at), report, fields).await;
    done.map(|committed| committed.revision)
}

/// What the history says about a set that passed the gate.
pub(super) fn entry_report(
    snapshot: &Snapshot,
    cause: PolicyCause,
    changes: &AccessChanges,
) -> PolicyReport {
    let AccessChanges { gains, loses, may_gain, may_lose } = changes.clone();
    let policies = u64::try_from(snapshot.policy_count()).unwrap_or(u64::MAX);
    PolicyReport { cause, policies, gains, loses, may_gain, may_lose, ..PolicyReport::default() }
}

pub(super) fn stored(files: PolicyFiles, at: Timestamp) -> StoredPolicies {
    StoredPolicies { digest: files.digest(), at, files: files.into_files() }
}

/// Keeps a refused set in the history. That is not part of the refusal: if it fails, it is logged.
pub(super) async fn refused(
    store: &Store,
    actor: &Actor,
    cause: PolicyCause,
    policies: StoredPolicies,
    fault: &Failure,
) {
    if fault.kind != Kind::PoliciesRefused {
        return;
    }
    let fault = Some(fault.public.clone());
    let report = PolicyReport { cause, fault, ..PolicyReport::default() };
    let kept = store.policies_set_aside(actor, PolicyOutcome::Refused, policies, report).await;
    if let Err(fault) = kept {
        tracing::warn!(%fault, "the refused policies are not in the history");
    }
}

pub(super) fn log_live(snapshot: &Snapshot) {
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

pub(super) fn log_changes(lines: &[String]) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::config::Config;
    use crate::directory::Directory;

    #[tokio::test]
    async fn each_reload_that_failed_is_told_and_what_may_pass_is_due_again() {
        let home = tempfile::tempdir().unwrap();
        let clock = Clock::fixed(Timestamp(1_764_000_000_000));
        let store = Store::in_memory(clock.clone()).await.unwrap();
        let config = Config::default_for(home.path().to_owned());
        let begun = Snapshot::load(&policy_folder::embedded_policies(), &[]).unwrap();
        let live = report(&begun, false, AccessChanges::default());
        let app = App::new(config, clock, begun, Arc::new(Directory::new()), store).unwrap();
        let due = || *app.reload_due.borrow();
        let refused = Failure::policies_refused("nosuchword");
        let mut failed = 0;
        for (fault, outcome, again) in [
            (
                Failure::new(Kind::Busy, "policies_unread", "no files"),
                FolderProblem::Unread,
                Some(2),
            ),
            (
                Failure::new(Kind::Busy, "gate_ended", "no memory"),
                FolderProblem::Unchecked,
                Some(4),
            ),
            (Failure::internal("broke off"), FolderProblem::BrokenOff, Some(8)),
            (refused.clone(), FolderProblem::Refused, None),
            (
                Failure::new(Kind::Busy, "no_process", "no process"),
                FolderProblem::Unchecked,
                Some(2),
            ),
        ] {
            let told = told(&app, &mut failed, Err(fault.clone())).unwrap_err();
            let status = PolicyStatus::clone(&app.policy_status.load());
            let text = status.fault.as_ref().unwrap();
            assert!(text.contains(&fault.public), "{status:?}");
            assert_eq!(
                text.contains("; it is tried again by itself in "),
                again.is_some(),
                "{text}"
            );
            assert_eq!((status.outcome, told.retry_after), (outcome, again));
            assert_eq!(due(), again.map(Duration::from_secs));
            app.policy_status.store(Arc::new(PolicyStatus { fault: None, ..status }));
        }
        told(&app, &mut failed, Ok(live)).unwrap();
        assert_eq!((due(), failed), (None, 0));
        let not_kept = Failure::new(Kind::Busy, NOT_KEPT, "live, and not kept");
        told(&app, &mut failed, Err(not_kept.clone())).unwrap_err();
        assert_eq!((&app.policy_status.load().fault, due()), (&None, None));
        // The keys are at fault, and the policies are live.
        assert!(!is_passing(&caller_keys::not_reloaded(&not_kept)));
        // The runtime of the decisions must not end on a thread of another.
        tokio::task::spawn_blocking(move || drop(app)).await.unwrap();
    }

    #[test]
    fn the_pause_is_doubled_to_a_bound() {
        let pauses = [0, 1, 2, 3, 6, 7, u32::MAX].map(|failed| pause_after(failed).as_secs());
        assert_eq!(pauses, [2, 2, 4, 8, 60, 60, 60]);
    }
}
