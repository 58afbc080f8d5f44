//! Reading the history of the policies: which sets there were, what each changed, and its files.
//!
//! Read-only: the reload adds the entries.

use super::caller::Caller;
use super::permits::{Permit, StorePermit};
use super::reload;
use super::rights::Right;
use crate::app::App;
use crate::domain::escaped_text::printable;
use crate::domain::{Failure, Kind, PolicyEntry, PolicySetName};
use crate::store::Page;

/// The right to read the policies.
#[derive(Debug)]
pub struct PolicyReader(());

impl PolicyReader {
    /// For a member who may see the settings.
    ///
    /// # Errors
    /// As [`Permit::authorize`].
    pub async fn of_member(app: &App, caller: Caller) -> Result<Self, Failure> {
        Permit::authorize(app, caller, [Right::VIEW_SETTINGS]).await?;
        Ok(Self(()))
    }

    /// For the operator of the sidecar.
    #[must_use]
    pub fn of_operator(_: &StorePermit) -> Self {
        Self(())
    }
}

/// A set in the history, with its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySet {
    /// What is known about it.
    pub entry: PolicyEntry,
    /// Path and content of each file that is loaded.
    pub files: Vec<(String, Vec<u8>)>,
}

/// One page of the history, newest first: the entries before the one with number `before`.
///
/// # Errors
/// `Busy`, when the disk fails.
pub async fn list(
    app: &App,
    _: &PolicyReader,
    before: Option<u64>,
    limit: usize,
) -> Result<Page<PolicyEntry>, Failure> {
    app.store.policy_history(before, limit).await
}

/// The entry of the set that answers; `None` until it is saved.
///
/// # Errors
/// `Busy`, when the disk fails.
pub async fn live(app: &App, _: &PolicyReader) -> Result<Option<PolicyEntry>, Failure> {
    let entry = app.store.policy_entry(PolicySetName::Live).await?;
    Ok(entry.filter(|entry| entry.digest == app.policies.load().digest()))
}

/// The set that answers, one that waits, or a former one.
///
/// # Errors
/// `NotFound` `unknown_policy_set`, `none_pending`; `Busy` `policies_not_kept`, when the set that answers could not be
/// saved yet; `Busy`, when the disk fails.
pub async fn set(app: &App, _: &PolicyReader, name: &str) -> Result<PolicySet, Failure> {
    let unknown = || unknown(name);
    let parsed = PolicySetName::parse(name).ok_or_else(unknown)?;
    let is_live = parsed == PolicySetName::Live;
    let is_pending = parsed == PolicySetName::Pending;
    let entry = app.store.policy_entry(parsed).await?;
    let entry = entry.ok_or_else(|| if is_pending { none_pending() } else { unknown() })?;
    if is_live && entry.digest != app.policies.load().digest() {
        return Err(Failure::new(
            Kind::Busy,
            reload::NOT_KEPT,
            "the live policies are not saved yet: `kwic-team doctor` says why; try again in a minute",
        ));
    }
    let files = app.store.policy_files(entry.digest).await?.ok_or_else(unknown)?;
    Ok(PolicySet { entry, files })
}

fn none_pending() -> Failure {
    Failure::new(
        Kind::NotFound,
        "none_pending",
        "no policies wait for approval: `kwic-team policy history` shows what became of earlier ones",
    )
}

fn unknown(name: &str) -> Failure {
    Failure::new(
        Kind::NotFound,
        "unknown_policy_set",
        format!(
            "the history has no set `{}`: `kwic-team policy history` lists numbers and digests",
            printable(name)
        ),
    )
}
