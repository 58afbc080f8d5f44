//! Comparing two sets of the history: who gains and who loses access from one to the other, and their
//! files line by line.
//!
//! Read-only. One comparison at a time, so that a reload waits for one at most.

use std::sync::Arc;

use super::policy_history::{self, PolicyReader, PolicySet};
use super::reload;
use crate::app::App;
use crate::domain::{Failure, Kind, PolicyEntry, PolicyFiles};
use crate::engine::{AccessDifference, Snapshot};
use crate::gate;
use crate::policy_folder::{FileDifferences, file_differences};

/// The difference of two sets.
#[derive(Debug)]
pub struct PolicyComparison {
    /// The former set.
    pub old: PolicyEntry,
    /// The new set.
    pub new: PolicyEntry,
    /// Who gains and who loses; else why one of the sets cannot be loaded.
    pub access: Result<AccessDifference, String>,
    /// The files that differ.
    pub files: FileDifferences,
}

/// Compares the sets that two names name.
///
/// # Errors
/// As [`policy_history::set`]; `Busy`, when the host does not let a set be checked.
pub async fn compare(
    app: &App,
    reader: &PolicyReader,
    old: &str,
    new: &str,
) -> Result<PolicyComparison, Failure> {
    let old = policy_history::set(app, reader, old).await?;
    let new = policy_history::set(app, reader, new).await?;
    let _one = app.checking.lock().await;
    let access = match (loaded(app, &old).await, loaded(app, &new).await) {
        (Ok(old), Ok(new)) => {
            let work = move || new.difference_from(&old);
            Ok(app.comparisons.run("comparison", work).await?)
        }
        (Err(fault), _) | (_, Err(fault)) if fault.kind == Kind::PoliciesRefused => {
            Err(fault.public)
        }
        (Err(fault), _) | (_, Err(fault)) => return Err(fault),
    };
    let (of_old, of_new) = (old.files, new.files);
    let work = move || file_differences(&of_old, &of_new);
    let files = app.comparisons.run("comparison", work).await?;
    Ok(PolicyComparison { old: old.entry, new: new.entry, access, files })
}

/// The set, ready to be asked.
async fn loaded(app: &App, set: &PolicySet) -> Result<Arc<Snapshot>, Failure> {
    let live = app.policies.load_full();
    if set.entry.digest == live.digest() {
        return Ok(live);
    }
    let files = PolicyFiles::kept(set.files.clone());
    let load = move || gate::load(&files, &[]);
    reload::run_on_blocking_thread(app, false, load).await?.map(Arc::new)
}
