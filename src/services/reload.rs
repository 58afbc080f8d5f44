//! Reload: a policy folder is checked and becomes the live set, or nothing changes.
//!
//! One service for file watch, signal and command. Runs outside the decision threads, at the priority
//! of the process, so that a new `forbid` takes effect soon on a busy machine. The swap is one
//! store of a pointer, made as soon as the set has passed the check; the comparison, the report and
//! saving the set follow. The live set is never partly changed, and the last good one is never
//! dropped. A reload that fails for a reason outside the folder is retried after a pause.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub use crate::app::ReloadReport;
use crate::app::{App, FolderProblem, PendingPolicies, PolicyStatus, Reloading, UnsavedPolicies};
use crate::background;
use crate::config::{Policies, PolicySource};
use crate::domain::escaped_text::printable;
use crate::domain::{
    Actor, Digest, Failure, FieldChange, Kind, PolicyCause, PolicyFiles, PolicyOutcome,
    PolicyReport, Revision, RoleId, Timestamp, limits,
};
use crate::engine::{AccessChanges, Snapshot};
use crate::gate::{self, NotAdmitted};
use crate::policy_folder::{self, NewFolder};
use crate::services::caller::Caller;
use crate::services::permits::{Permit, StorePermit};
use crate::services::rights::Right;
use crate::services::{caller_keys, directory_sync, invites_without_role};
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
type ReadFolder = (PolicyFiles, Result<Option<Snapshot>, NotAdmitted>);

/// Reads the folder, or the built-in policies, and loads it outside the decision threads, unless it is
/// the set that is live.
async fn load_other(app: &App) -> Result<ReadFolder, Failure> {
    let (held, known) = (app.directory.roles_held(), app.policies.load().digest());
    let Policies { dir, source, demand_proof, .. } = app.config.policies.clone();
    let published = published(&app.store, source).await?;
    let work = move || {
        let files = published.map_or_else(|| read(dir), Ok)?;
        load_unless_known(files, &held, known, demand_proof)
    };
    run_on_blocking_thread(app, false, work).await?
}

/// What was published to the fleet, where the policies come from there. Until something is, a node has
/// those of its folder.
pub(super) async fn published(
    store: &Store,
    source: PolicySource,
) -> Result<Option<PolicyFiles>, Failure> {
    match source {
        PolicySource::Folder => Ok(None),
        PolicySource::Fleet => {
            let published = store.published_live().await?;
            Ok(published.map(|set| PolicyFiles::kept(set.files)))
        }
    }
}

fn load_unless_known(
    files: PolicyFiles,
    held: &[(RoleId, usize)],
    known: Digest,
    demand_proof: bool,
) -> Result<ReadFolder, Failure> {
    if is_large(&files) {
        // The gate process inherits it.
        background::stand_behind();
    }
    let is_known = files.digest() == known;
    let loaded = (!is_known).then(|| gate::admit(&files, held, demand_proof)).transpose();
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
/// `PoliciesRefused` with every fault; the live set then stays active.
pub async fn reload_now(app: &Arc<App>, permit: StorePermit) -> Result<ReloadReport, Failure> {
    let app = Arc::clone(app);
    // A detached task: a caller that disconnects must not interrupt a swap before it is saved.
    tokio::spawn(async move {
        let keys = caller_keys::reload_caller_keys(&app).await;
        app.shadow.load_again();
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
    // One folder is looked at at a time. A reload does not wait for it: a proof takes seconds.
    let _one = app.checking.lock().await;
    let live = app.policies.load_full();
    let (files, loaded) = load_other(app).await?;
    let Some(snapshot) = loaded? else {
        let mut report = report(&live, false, AccessChanges::default());
        report.notes.extend(invites_without_role::notes(app, &live).await);
        return Ok(report);
    };
    let snapshot = Arc::new(snapshot);
    let changes = compare(app, Arc::clone(&snapshot), Arc::clone(&live)).await;
    let pending = is_held(app, &changes);
    let mut report = ReloadReport { pending, ..report(&snapshot, true, changes) };
    report.notes.extend(invites_without_role::notes(app, &snapshot).await);
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
pub(super) async fn give_back(app: &App, files: &PolicyFiles, snapshot: Arc<Snapshot>) {
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
    // A pin in the fleet keeps others from publishing.
    if !app.has_policies_of_fleet() {
        not_pinned(app)?;
    }
    let outcome = reload_in(app, permit, &mut reloading).await;
    reloading.last = Some((asked, outcome.clone()));
    outcome
}

/// Refuses to read the folder while a set is pinned.
fn not_pinned(app: &App) -> Result<(), Failure> {
    match app.policy_status.load().pinned {
        None => Ok(()),
        Some(number) => {
            tracing::info!(number, "the policy folder is not read, since a set is pinned");
            Err(pinned(number))
        }
    }
}

/// The folder is ignored.
pub(super) fn pinned(number: u64) -> Failure {
    Failure::new(
        Kind::Conflict,
        "policies_pinned",
        format!(
            "set {number} is pinned, and the policy folder is ignored: end that with `kwic-team policy unpin`, which loads the folder"
        ),
    )
}

/// A reload by somebody who holds the lock already.
pub(super) async fn reload_in(
    app: &App,
    permit: &StorePermit,
    reloading: &mut Reloading,
) -> Result<ReloadReport, Failure> {
    app.telemetry.begin_reload(app.clock.now());
    let outcome = try_once(app, permit, reloading).await;
    told(app, &mut reloading.failed, outcome)
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
            // What was refused has taken the place of what waited.
            let pending = status.pending.filter(|_| fault.kind != Kind::PoliciesRefused);
            app.policy_status.store(Arc::new(PolicyStatus {
                fault: Some(text),
                outcome,
                pending,
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
    reloading: &mut Reloading,
) -> Result<ReloadReport, Failure> {
    let before = app.policies.load_full();
    let (files, loaded) = load_other(app).await?;
    let at = app.clock.now();
    if let Err(why) = &loaded {
        refused(&app.store, permit.actor(), permit.cause(), stored(files.clone(), at), why).await;
        reloading.pending.take_if(|_| why.failure.kind == Kind::PoliciesRefused);
    }
    let Some(snapshot) = loaded? else {
        if app.has_policies_of_fleet() {
            // What waits and what is pinned there is no matter of what this node has.
            let PolicyStatus { pending, pinned, .. } =
                PolicyStatus::clone(&app.policy_status.load());
            let status = PolicyStatus { pending, pinned, ..PolicyStatus::live(at) };
            app.policy_status.store(Arc::new(status));
        } else {
            none_pending(app, reloading).await;
            app.policy_status.store(Arc::new(PolicyStatus::live(at)));
        }
        if reloading.unkept.is_some() {
            let (changes, cause) = (AccessChanges::default(), permit.cause());
            let set = UnsavedPolicies { files, changes, cause, at, pinned: None };
            keep(app, permit.actor(), set, &mut reloading.unkept).await?;
        }
        // The caller is told, also if the watcher has reloaded the folder before.
        let mut report = report(&before, false, AccessChanges::default());
        report.notes.extend(invites_without_role::notes(app, &before).await);
        return Ok(report);
    };
    let new = CheckedPolicies { files, snapshot: Arc::new(snapshot), at };
    if holds(app) {
        let changes = compare(app, Arc::clone(&new.snapshot), before).await;
        if is_held(app, &changes) {
            return Ok(hold(app, permit, new, changes, reloading).await);
        }
        let way = WayToLive { changes: Some(changes), ..WayToLive::default() };
        return bring_live(app, permit, new, way, reloading).await;
    }
    bring_live(app, permit, new, WayToLive::default(), reloading).await
}

/// A set that has passed the gate.
pub(super) struct CheckedPolicies {
    pub(super) files: PolicyFiles,
    pub(super) snapshot: Arc<Snapshot>,
    /// When it was read.
    pub(super) at: Timestamp,
}

/// Whether a set from the folder may have to wait. One from the fleet was approved there.
fn holds(app: &App) -> bool {
    app.config.policies.hold_widening && !app.has_policies_of_fleet()
}

/// Whether a set with these changes waits for approval.
fn is_held(app: &App, changes: &AccessChanges) -> bool {
    holds(app) && changes.widens()
}

/// The way in which a set becomes live.
#[derive(Default)]
pub(super) struct WayToLive {
    /// The access changes, if it was compared before.
    pub(super) changes: Option<AccessChanges>,
    /// The number of the set, if it is pinned.
    pub(super) pinned: Option<u64>,
    /// The folder with the set, if the policy folder is to get its content.
    pub(super) folder: Option<NewFolder>,
}

/// Makes a set live and saves it. It is compared afterwards, unless it was before.
pub(super) async fn bring_live(
    app: &App,
    permit: &StorePermit,
    CheckedPolicies { files, snapshot, at }: CheckedPolicies,
    mut way: WayToLive,
    reloading: &mut Reloading,
) -> Result<ReloadReport, Failure> {
    let before = app.policies.load_full();
    let kept_beside = go_live(app, &snapshot, at, &mut way).await?;
    reloading.pending = None;
    let changes = match way.changes {
        Some(changes) => changes,
        None => compare(app, Arc::clone(&snapshot), Arc::clone(&before)).await,
    };
    let orphaned = invites_without_role::notes(app, &snapshot).await;
    orphaned.iter().for_each(|note| tracing::warn!(%note, "policies"));
    give_back(app, &files, before).await;
    log_changes(&changes.lines());
    let (cause, pinned) = (permit.cause(), way.pinned);
    let set = UnsavedPolicies { files, changes: changes.clone(), cause, at, pinned };
    keep(app, permit.actor(), set, &mut reloading.unkept).await?;
    let mut report = report(&snapshot, true, changes);
    report.notes.extend(orphaned);
    report.notes.extend(kept_beside.map(|path| kept_note(&path)));
    Ok(report)
}

/// Where the former content of the policy folder is. Without the whole path, which not every reader of
/// a report may see.
pub(super) fn kept_note(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("what was in the policy folder is kept next to it, in `{}`", printable(&name))
}

/// The set that waits goes live, if the folder still has it.
pub(super) async fn approved(
    app: &App,
    permit: &StorePermit,
    digest: Digest,
    reloading: &mut Reloading,
) -> Result<ReloadReport, Failure> {
    let (files, loaded) = load_other(app).await?;
    let is_it = files.digest() == digest;
    let snapshot = loaded?.filter(|_| is_it).ok_or_else(not_pending)?;
    let new = CheckedPolicies { files, snapshot: Arc::new(snapshot), at: app.clock.now() };
    let before = app.policies.load_full();
    let changes = compare(app, Arc::clone(&new.snapshot), before).await;
    let way = WayToLive { changes: Some(changes), ..WayToLive::default() };
    bring_live(app, permit, new, way, reloading).await
}

/// No such set waits for approval.
pub(super) fn not_pending() -> Failure {
    Failure::new(
        Kind::Conflict,
        "not_pending",
        "no policies with this digest wait for approval: they were approved before, or the policy folder has changed since; `kwic-team policy history` shows what became of them",
    )
}

/// Keeps a set until somebody approves it; the live set stays.
pub(super) async fn hold(
    app: &App,
    permit: &StorePermit,
    CheckedPolicies { files, snapshot, at }: CheckedPolicies,
    changes: AccessChanges,
    reloading: &mut Reloading,
) -> ReloadReport {
    let report_of_entry = entry_report(&snapshot, permit.cause(), &changes);
    let set = stored(files.clone(), at);
    let pending = set_pending(&app.store, permit.actor(), set, report_of_entry).await;
    let status = PolicyStatus::clone(&app.policy_status.load());
    app.policy_status.store(Arc::new(PolicyStatus {
        fault: None,
        outcome: FolderProblem::default(),
        pending: Some(pending.digest),
        ..status
    }));
    reloading.pending = Some(pending);
    let report = ReloadReport { pending: true, ..report(&snapshot, false, changes) };
    give_back(app, &files, snapshot).await;
    report
}

/// Keeps a set that waits in the history, and says so. Who brought it first counts, also if it could
/// not be kept and is only known until the next start.
pub(super) async fn set_pending(
    store: &Store,
    actor: &Actor,
    set: StoredPolicies,
    report: PolicyReport,
) -> PendingPolicies {
    let digest = set.digest;
    tracing::warn!(
        %digest,
        "the policies wait for approval, since somebody would gain access by them: `kwic-team policy diff live pending` shows who, and `kwic-team policy approve` with this digest approves them"
    );
    let kept = store.policies_set_aside(actor, PolicyOutcome::Pending, set, report).await;
    match kept {
        Ok(entry) => PendingPolicies { digest, actor: entry.actor },
        Err(fault) => {
            tracing::warn!(%fault, "the policies that wait are not in the history");
            PendingPolicies { digest, actor: actor.label() }
        }
    }
}

/// The folder has the live set again: what waited no longer does.
pub(super) async fn none_pending(app: &App, reloading: &mut Reloading) {
    if reloading.pending.take().is_some()
        && let Err(fault) = app.store.policies_none_pending().await
    {
        // At the next start the folder says so again.
        tracing::warn!(%fault, "it could not be saved that no policies wait for approval");
    }
}

/// Swaps the live set, and before that the content of the policy folder, if that is to be replaced;
/// returns where its former content is then.
async fn go_live(
    app: &App,
    snapshot: &Arc<Snapshot>,
    at: Timestamp,
    way: &mut WayToLive,
) -> Result<Option<PathBuf>, Failure> {
    // During the swap nobody is given a role, so none is given that is about to disappear.
    let _no_role_is_given = app.roles_given.write().await;
    still_held(snapshot, &app.directory.roles_held())?;
    let kept_beside = match way.folder.take() {
        Some(folder) => Some(run_on_blocking_thread(app, false, move || folder.exchange()).await??),
        None => None,
    };
    app.policies.store(Arc::clone(snapshot));
    let status = PolicyStatus { pinned: way.pinned, ..PolicyStatus::live(at) };
    app.policy_status.store(Arc::new(status));
    log_live(snapshot);
    if let Some(number) = way.pinned {
        tracing::warn!(number, "a set is pinned, and the policy folder is ignored");
        app.reload_due.send_replace(None);
    }
    Ok(kept_beside)
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

pub(super) fn report(snapshot: &Snapshot, changed: bool, changes: AccessChanges) -> ReloadReport {
    ReloadReport {
        digest: snapshot.digest(),
        policies: snapshot.policy_count(),
        changed,
        pending: false,
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
    set: &UnsavedPolicies,
    lines: &[String],
) -> Result<Revision, Failure> {
    let mut fields: Vec<FieldChange> =
        set.cause.told().into_iter().map(|cause| FieldChange::added("cause", cause)).collect();
    fields.push(FieldChange::added("policies", snapshot.policy_count().to_string()));
    fields.extend(lines.iter().map(|line| FieldChange::added("change", line)));
    let report = entry_report(snapshot, set.cause, &set.changes);
    let report = PolicyReport { pinned: set.pinned, ..report };
    let files = stored(set.files.clone(), set.at);
    let done = store.policies_installed(actor, files, report, fields).await;
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
    let (guards, pinned, fault) = (snapshot.guard_outcomes().cloned(), None, None);
    PolicyReport { cause, policies, pinned, gains, loses, may_gain, may_lose, fault, guards }
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
    NotAdmitted { failure, guards }: &NotAdmitted,
) {
    if failure.kind != Kind::PoliciesRefused {
        return;
    }
    let (fault, guards) = (Some(failure.public.clone()), guards.as_deref().cloned());
    let report = PolicyReport { cause, fault, guards, ..PolicyReport::default() };
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
