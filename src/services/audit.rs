//! Reading and verifying the audit log.
//!
//! Read-only: each transaction of the store writes its own entry.

use super::caller::Caller;
use super::permits::{Permit, StorePermit};
use super::rights::Right;
use crate::app::App;
use crate::domain::audit::ChainReport;
use crate::domain::{AuditEntry, Failure};
use crate::store::{AuditFilter, Page};

/// One page of an account's chain, newest last, after the entry with sequence `after`.
///
/// # Errors
/// `Denied` `not_allowed`; `Busy`, when the disk fails.
pub async fn list(
    app: &App,
    caller: Caller,
    filter: &AuditFilter,
    after: Option<u64>,
    limit: usize,
) -> Result<Page<AuditEntry>, Failure> {
    let permit = Permit::authorize(app, caller, [Right::VIEW_TEAM]).await?;
    app.store.audit(Some(permit.account()), filter, after, limit).await
}

/// The same, newest first: the entries before the one with sequence `before`.
///
/// # Errors
/// `Denied` `not_allowed`; `Busy`, when the disk fails.
pub async fn latest(
    app: &App,
    caller: Caller,
    filter: &AuditFilter,
    before: Option<u64>,
    limit: usize,
) -> Result<Page<AuditEntry>, Failure> {
    let permit = Permit::authorize(app, caller, [Right::VIEW_TEAM]).await?;
    app.store.audit_latest(Some(permit.account()), filter, before, limit).await
}

/// One page of the store's own chain: accounts and policies.
///
/// # Errors
/// `Internal`, when the disk fails.
pub async fn list_store(
    app: &App,
    _permit: &StorePermit,
    filter: &AuditFilter,
    after: Option<u64>,
    limit: usize,
) -> Result<Page<AuditEntry>, Failure> {
    app.store.audit(None, filter, after, limit).await
}

/// Checks one account's chain from its first entry to its last.
///
/// # Errors
/// `Denied` `not_allowed`; `Busy`, when the disk fails; an altered chain is a report, not an error.
pub async fn verify(app: &App, caller: Caller) -> Result<ChainReport, Failure> {
    let permit = Permit::authorize(app, caller, [Right::VIEW_TEAM]).await?;
    app.store.audit_verify(Some(permit.account())).await
}

/// Checks every chain: the store's own, and each account's.
///
/// # Errors
/// `Internal`, when the disk fails; an altered chain is a report, not an error.
pub async fn verify_all(app: &App, _permit: &StorePermit) -> Result<Vec<ChainReport>, Failure> {
    let mut reports = Vec::new();
    for chain in app.store.audit_chains().await? {
        reports.push(app.store.audit_verify(chain.as_ref()).await?);
    }
    Ok(reports)
}
