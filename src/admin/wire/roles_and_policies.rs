//! Roles, what they allow, and the live policies.

use serde::Serialize;

use crate::app::PolicyStatus;
use crate::clock::rfc3339;
use crate::domain::RoleId;
use crate::engine::{self, Cell, Matrix, Snapshot};
use crate::services::reload::ReloadReport;

#[derive(Debug, Serialize)]
pub(in crate::admin) struct Role {
    id: String,
    title: String,
    summary: String,
    best_for: String,
    actions: Vec<String>,
}

impl Role {
    pub(in crate::admin) fn new(card: &engine::RoleCard, actions: Vec<String>) -> Self {
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
pub(in crate::admin) struct Comparison {
    roles: Vec<String>,
    rows: Vec<ComparisonRow>,
}

#[derive(Debug, Serialize)]
struct ComparisonRow {
    action: String,
    resource: String,
    cells: Vec<&'static str>,
    /// The policies on which cells with `depends` depend; at most the first ones.
    depends_on: Vec<String>,
}

impl From<&Matrix> for Comparison {
    fn from(matrix: &Matrix) -> Self {
        let row = |row: &engine::MatrixRow| ComparisonRow {
            action: row.action.clone(),
            resource: row.resource.clone(),
            cells: row.cells.iter().map(|cell| cell.as_str()).collect(),
            depends_on: row.policies(),
        };
        Self {
            roles: matrix.roles.iter().map(ToString::to_string).collect(),
            rows: matrix.rows.iter().map(row).collect(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(in crate::admin) struct Policies {
    digest: String,
    policies: usize,
    state: &'static str,
    fault: Option<String>,
    loaded_at: String,
}

impl Policies {
    pub(in crate::admin) fn new(live: &Snapshot, status: &PolicyStatus) -> Self {
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
pub(in crate::admin) struct Reload {
    digest: String,
    policies: usize,
    changed: bool,
    gains: Vec<String>,
    loses: Vec<String>,
    may_gain: Vec<String>,
    may_lose: Vec<String>,
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
            may_gain: report.changes.may_gain,
            may_lose: report.changes.may_lose,
            notes: report.notes,
        }
    }
}

/// A role, for somebody who is about to have it.
#[derive(Debug, Serialize)]
pub(super) struct RoleName {
    id: String,
    title: String,
    summary: String,
}

impl RoleName {
    /// From the live policies; only the id if they no longer have the role.
    pub(super) fn of(live: &Snapshot, role: &RoleId) -> Self {
        let card = live.roles().iter().find(|card| card.id == *role);
        Self {
            id: role.to_string(),
            title: card.map_or_else(|| role.to_string(), |card| card.title.clone()),
            summary: card.map_or_else(String::new, |card| card.summary.clone()),
        }
    }
}

/// The smallest role for a task; `role` is null if no single role is enough.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Suggestion {
    pub(in crate::admin) role: Option<Role>,
    pub(in crate::admin) extra: Vec<String>,
    pub(in crate::admin) reason: String,
    pub(in crate::admin) others: Vec<String>,
}

/// What a member may do; `depends` means that an attribute, an identity or the context decides.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Permissions {
    role: String,
    items: Vec<Permission>,
}

#[derive(Debug, Serialize)]
struct Permission {
    action: String,
    resource: String,
    allowed: &'static str,
}

impl Permissions {
    /// From rows of the matrix: action, type of resource, cell.
    pub(in crate::admin) fn new(role: &RoleId, rows: Vec<(&str, &str, Cell)>) -> Self {
        let items = rows.into_iter().map(|(action, resource, cell)| Permission {
            action: action.to_owned(),
            resource: resource.to_owned(),
            allowed: cell.as_str(),
        });
        Self { role: role.to_string(), items: items.collect() }
    }
}
