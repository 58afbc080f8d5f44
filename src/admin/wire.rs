//! The documents of the management API: twins of the domain's types, for serde.
//!
//! Names here are promises to programs. Nothing secret has a field.

use serde::Serialize;

use crate::app::PolicyStatus;
use crate::clock::rfc3339;
use crate::domain::audit::ChainReport;
use crate::domain::{AuditDetail, AuditEntry, Revision};
use crate::engine::{Matrix, Snapshot};
use crate::flows::import::Imported;
use crate::flows::reload::ReloadReport;
use crate::store::{Committed, Page, Removal};
use crate::{domain, engine};

/// A list, or one page of it.
#[derive(Debug, Serialize)]
pub(super) struct List<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<String>,
}

impl<T> List<T> {
    /// A list that has no further page.
    pub(super) fn whole(items: impl IntoIterator<Item = impl Into<T>>) -> Self {
        Self { items: items.into_iter().map(Into::into).collect(), next: None }
    }
}

impl<D, T: From<D>> From<Page<D>> for List<T> {
    fn from(page: Page<D>) -> Self {
        Self { items: page.items.into_iter().map(T::from).collect(), next: page.next }
    }
}

/// A record after a change, and the change's revision.
#[derive(Debug, Serialize)]
pub(super) struct Changed<T> {
    #[serde(flatten)]
    pub(super) record: T,
    pub(super) revision: u64,
}

impl<D, T: From<D>> From<Committed<D>> for Changed<T> {
    fn from(Committed { revision: Revision(revision), value }: Committed<D>) -> Self {
        Self { record: T::from(value), revision }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Account {
    slug: String,
    name: String,
    created: String,
    version: u64,
}

impl From<domain::Account> for Account {
    fn from(account: domain::Account) -> Self {
        Self {
            slug: account.slug.to_string(),
            name: account.name,
            created: rfc3339(account.created),
            version: account.version.0,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Member {
    id: String,
    account: String,
    email: String,
    first_name: String,
    last_name: String,
    role: String,
    status: &'static str,
    two_step: bool,
    joined: String,
    version: u64,
}

impl From<domain::Member> for Member {
    fn from(member: domain::Member) -> Self {
        Self {
            id: member.id.to_string(),
            account: member.account.to_string(),
            email: member.email.to_string(),
            first_name: member.first_name.as_str().to_owned(),
            last_name: member.last_name.as_str().to_owned(),
            role: member.role.to_string(),
            status: member.status.as_str(),
            two_step: member.two_step,
            joined: rfc3339(member.joined),
            version: member.version.0,
        }
    }
}

/// What a removal ended.
#[derive(Debug, Serialize)]
pub(super) struct Receipt {
    id: String,
    sessions_ended: u64,
    tokens_revoked: u64,
    invites_cancelled: u64,
}

impl From<Removal> for Receipt {
    fn from(removal: Removal) -> Self {
        Self {
            id: removal.member.id.to_string(),
            sessions_ended: removal.sessions_ended,
            tokens_revoked: removal.tokens_revoked,
            invites_cancelled: removal.invites_cancelled,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct ImportReceipt {
    imported: u64,
    digest: String,
}

impl From<Imported> for ImportReceipt {
    fn from(imported: Imported) -> Self {
        Self { imported: imported.members, digest: imported.digest.hex() }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Role {
    id: String,
    title: String,
    summary: String,
    best_for: String,
    actions: Vec<String>,
}

impl Role {
    pub(super) fn new(card: &engine::RoleCard, actions: Vec<String>) -> Self {
        Self {
            id: card.id.to_string(),
            title: card.title.clone(),
            summary: card.summary.clone(),
            best_for: card.best_for.clone(),
            actions,
        }
    }
}

/// Roles side by side; a cell is `allowed`, `denied` or `depends`.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    roles: Vec<String>,
    rows: Vec<ComparisonRow>,
}

#[derive(Debug, Serialize)]
struct ComparisonRow {
    action: String,
    resource: String,
    cells: Vec<&'static str>,
}

impl From<Matrix> for Comparison {
    fn from(matrix: Matrix) -> Self {
        let row = |row: engine::MatrixRow| ComparisonRow {
            action: row.action,
            resource: row.resource,
            cells: row.cells.into_iter().map(engine::Cell::as_str).collect(),
        };
        Self {
            roles: matrix.roles.iter().map(ToString::to_string).collect(),
            rows: matrix.rows.into_iter().map(row).collect(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Policies {
    digest: String,
    policies: usize,
    state: &'static str,
    fault: Option<String>,
    loaded_at: String,
}

impl Policies {
    pub(super) fn new(live: &Snapshot, status: &PolicyStatus) -> Self {
        Self {
            digest: live.digest().hex(),
            policies: live.policy_count(),
            state: if status.last_good { "last_good" } else { "live" },
            fault: status.fault.clone(),
            loaded_at: rfc3339(status.loaded_at),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Reload {
    digest: String,
    policies: usize,
    changed: bool,
    gains: Vec<String>,
    loses: Vec<String>,
    notes: Vec<String>,
}

impl From<ReloadReport> for Reload {
    fn from(report: ReloadReport) -> Self {
        Self {
            digest: report.digest.hex(),
            policies: report.policies,
            changed: report.changed,
            gains: report.changes.gains,
            loses: report.changes.loses,
            notes: [report.notes, report.changes.notes].concat(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Entry {
    sequence: u64,
    revision: u64,
    at: String,
    actor: String,
    event: String,
    target: String,
    hash: String,
    detail: Option<Vec<EntryField>>,
}

#[derive(Debug, Serialize)]
struct EntryField {
    field: String,
    before: Option<String>,
    after: Option<String>,
}

impl From<AuditEntry> for Entry {
    fn from(entry: AuditEntry) -> Self {
        let fields = |detail: AuditDetail| {
            let field = |(field, before, after)| EntryField { field, before, after };
            detail.fields.into_iter().map(field).collect()
        };
        Self {
            sequence: entry.sequence,
            revision: entry.revision.0,
            at: rfc3339(entry.at),
            actor: entry.actor,
            event: entry.event,
            target: entry.target,
            hash: entry.hash.hex(),
            detail: entry.detail.map(fields),
        }
    }
}

/// One chain, verified; `account` is null for the store's own.
#[derive(Debug, Serialize)]
pub(super) struct Chain {
    account: Option<String>,
    entries: u64,
    head: String,
    fault: Option<String>,
}

impl From<ChainReport> for Chain {
    fn from(report: ChainReport) -> Self {
        Self {
            account: report.account.map(|account| account.to_string()),
            entries: report.entries,
            head: report.head.hex(),
            fault: report.fault.map(|(sequence, reason)| format!("entry {sequence}: {reason}")),
        }
    }
}
