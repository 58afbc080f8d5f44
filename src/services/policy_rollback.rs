//! Going back to a former policy set: into the folder, or pinned where the folder cannot be written.
//!
//! The set passes the gate as any other does. Then the folder gets its content in one step, and the set
//! is live; at every moment the folder has one of the two contents. With a pin the folder is ignored
//! until the pin is ended. Where the policies come from the fleet, all nodes get the set instead.

use std::path::PathBuf;
use std::sync::Arc;

use super::detached_changes::run_detached;
use super::permits::StorePermit;
use super::policy_approval::second_person_needed;
use super::policy_publish::{self, WayToAll};
use super::reload::{self, CheckedPolicies, ReloadReport, WayToLive};
use super::{directory_sync, policy_history};
use crate::app::{App, PolicyStatus, Reloading};
use crate::domain::{
    Failure, Kind, PolicyCause, PolicyEntry, PolicyFiles, PolicyOutcome, Timestamp,
};
use crate::engine::AccessChanges;
use crate::gate;
use crate::policy_folder::NewFolder;

/// Goes back to the set that `name` names, and waits for the result.
///
/// # Errors
/// `NotFound` `unknown_policy_set`; `PoliciesRefused` with every fault, such as a role that members hold
/// and the set does not have; `Conflict` `never_live`, `folder_not_written`, `no_policy_folder`,
/// `policies_pinned`;
/// `Denied` `second_person_needed`, where a pin would need one; else as [`reload::reload_now`].
pub async fn rollback(
    app: &Arc<App>,
    permit: StorePermit,
    name: &str,
    pin: bool,
) -> Result<ReloadReport, Failure> {
    let (app, name) = (Arc::clone(app), name.to_owned());
    run_detached(async move {
        let reader = policy_history::PolicyReader::of_operator(&permit);
        let set = policy_history::set(&app, &reader, &name).await?;
        if !was_live(&app, &set.entry).await? {
            return Err(never_live(set.entry.number));
        }
        let mut reloading = app.reloading.lock().await;
        let files = PolicyFiles::kept(set.files);
        if app.has_policies_of_fleet() {
            let cause = if pin { PolicyCause::Pin } else { PolicyCause::Rollback };
            published(&app, &permit.because(cause), files, &mut reloading).await
        } else if pin {
            let permit = permit.because(PolicyCause::Pin);
            pinned(&app, &permit, files, set.entry.number, &mut reloading).await
        } else {
            let permit = permit.because(PolicyCause::Rollback);
            written(&app, &permit, files, &mut reloading).await
        }
    })
    .await
}

/// Whether the set went live at some time, if not by this entry then by another one of the same
/// content. What was refused, or never approved, is no way back.
///
/// # Errors
/// `Busy`, when the disk fails.
pub async fn was_live(app: &App, entry: &PolicyEntry) -> Result<bool, Failure> {
    match entry.outcome {
        PolicyOutcome::Live => Ok(true),
        PolicyOutcome::Pending | PolicyOutcome::Refused => {
            app.store.policies_were_live(entry.digest).await
        }
    }
}

fn never_live(number: u64) -> Failure {
    Failure::new(
        Kind::Conflict,
        "never_live",
        format!(
            "set {number} was never live, so there is no way back to it: to use it, put its files into the policy folder, where it is checked and approved as any other"
        ),
    )
}

/// Ends a pin, loads the folder, and waits for the result.
///
/// # Errors
/// `Conflict` `not_pinned`; `PoliciesRefused` with every fault, while the pinned set stays live; else as
/// [`reload::reload_now`].
pub async fn unpin(app: &Arc<App>, permit: StorePermit) -> Result<ReloadReport, Failure> {
    let app = Arc::clone(app);
    run_detached(async move {
        if app.has_policies_of_fleet() {
            return policy_publish::unpinned(&app, &permit).await;
        }
        let mut reloading = app.reloading.lock().await;
        let ended = app.store.policies_unpinned(permit.actor()).await?;
        let status = app.policy_status.load_full();
        if ended.value.is_none() && status.pinned.is_none() {
            return Err(Failure::new(
                Kind::Conflict,
                "not_pinned",
                "no set is pinned: the policy folder is watched as usual",
            ));
        }
        directory_sync::wait_until_settled(&app, ended.revision).await?;
        let mut now = PolicyStatus::clone(&status);
        now.pinned = None;
        app.policy_status.store(Arc::new(now));
        tracing::info!("no set is pinned any more, and the policy folder is loaded");
        // A pinned set that could not be saved must not be pinned when it is.
        if let Some(unkept) = &mut reloading.unkept {
            unkept.pinned = None;
        }
        let permit = permit.because(PolicyCause::Unpin);
        let done = reload::reload_in(&app, &permit, &mut reloading).await;
        done.map_err(|fault| Failure {
            public: format!("the pin has ended, and the set stays live: {}", fault.public),
            ..fault
        })
    })
    .await
}

/// What going back to the set that `name` names would change. Changes and records nothing.
///
/// # Errors
/// `NotFound` `unknown_policy_set`; `PoliciesRefused` with every fault; `Busy`.
pub async fn preview(
    app: &App,
    permit: &StorePermit,
    name: &str,
) -> Result<AccessChanges, Failure> {
    let reader = policy_history::PolicyReader::of_operator(permit);
    let set = policy_history::set(app, &reader, name).await?;
    // One set is looked at at a time. A reload does not wait for it: a proof takes seconds.
    let _one = app.checking.lock().await;
    let new = loaded(app, PolicyFiles::kept(set.files)).await?;
    let changes = reload::compare(app, Arc::clone(&new.snapshot), app.policies.load_full()).await;
    reload::give_back(app, &new.files, new.snapshot).await;
    Ok(changes)
}

/// A former set that passed the gate, with what it changes.
async fn checked(
    app: &App,
    files: PolicyFiles,
) -> Result<(CheckedPolicies, AccessChanges), Failure> {
    let new = loaded(app, files).await?;
    let changes = reload::compare(app, Arc::clone(&new.snapshot), app.policies.load_full()).await;
    Ok((new, changes))
}

/// A former set that passed the gate.
async fn loaded(app: &App, files: PolicyFiles) -> Result<CheckedPolicies, Failure> {
    let (held, demand_proof) = (app.directory.roles_held(), app.config.policies.demand_proof);
    let work = move || {
        let snapshot = gate::admit(&files, &held, demand_proof).map_err(Failure::from)?;
        Ok::<_, Failure>((files, snapshot))
    };
    let (files, snapshot) = reload::run_on_blocking_thread(app, false, work).await??;
    Ok(CheckedPolicies { files, snapshot: Arc::new(snapshot), at: app.clock.now() })
}

/// Whether another person must say yes to these changes.
fn needs_another(app: &App, changes: &AccessChanges) -> bool {
    app.config.policies.two_person && changes.widens()
}

/// All nodes of the fleet go back.
async fn published(
    app: &App,
    permit: &StorePermit,
    files: PolicyFiles,
    reloading: &mut Reloading,
) -> Result<ReloadReport, Failure> {
    let is_pinned = permit.cause() == PolicyCause::Pin;
    let (new, changes) = checked(app, files).await?;
    let waits = needs_another(app, &changes);
    if waits && is_pinned {
        return Err(second_person_needed());
    }
    let way = WayToAll { changes, waits, is_pinned };
    policy_publish::to_all(app, permit, new, way, reloading).await
}

async fn pinned(
    app: &App,
    permit: &StorePermit,
    files: PolicyFiles,
    number: u64,
    reloading: &mut Reloading,
) -> Result<ReloadReport, Failure> {
    let (new, changes) = checked(app, files).await?;
    // A pin leaves no folder that somebody else could approve.
    if needs_another(app, &changes) {
        return Err(second_person_needed());
    }
    let way = WayToLive { changes: Some(changes), pinned: Some(number), folder: None };
    reload::bring_live(app, permit, new, way, reloading).await
}

async fn written(
    app: &App,
    permit: &StorePermit,
    files: PolicyFiles,
    reloading: &mut Reloading,
) -> Result<ReloadReport, Failure> {
    if let Some(number) = app.policy_status.load().pinned {
        return Err(reload::pinned(number));
    }
    let Some(dir) = app.config.policies.dir.clone() else {
        return Err(Failure::new(
            Kind::Conflict,
            "no_policy_folder",
            "there is no policy folder to write to: `policies.dir` is not set; go back with `--pin`",
        ));
    };
    let (new, changes) = checked(app, files).await?;
    let folder = beside(app, dir, new.files.clone(), new.at).await?;
    if needs_another(app, &changes) {
        // The folder has it, and it waits there as any other set does.
        let kept = reload::run_on_blocking_thread(app, false, move || folder.exchange()).await??;
        let mut report = reload::hold(app, permit, new, changes, reloading).await;
        report.notes.push(reload::kept_note(&kept));
        return Ok(report);
    }
    let way = WayToLive { changes: Some(changes), pinned: None, folder: Some(folder) };
    reload::bring_live(app, permit, new, way, reloading).await
}

async fn beside(
    app: &App,
    dir: PathBuf,
    files: PolicyFiles,
    at: Timestamp,
) -> Result<NewFolder, Failure> {
    let write = move || NewFolder::beside(&dir, &files, at);
    reload::run_on_blocking_thread(app, false, write).await?
}
