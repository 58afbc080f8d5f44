//! Roles, what they allow, and the live policies.

use serde::Serialize;

use crate::app::PolicyStatus;
use crate::clock::rfc3339;
use crate::domain::{GuardOutcome, GuardOutcomes, PolicyEntry, RoleId};
use crate::engine::{self, Cell, Matrix, Snapshot};
use crate::services::policy_history;
use crate::services::policy_publish::PublishedOn;
use crate::services::reload::ReloadReport;

document! {
    pub(in crate::admin) struct Role new(card: &engine::RoleCard, actions: Vec<String>) {
        id: String = card.id.to_string(),
        title: String = card.title.clone(),
        summary: String = card.summary.clone(),
        best_for: String = card.best_for.clone(),
        actions: Vec<String> = actions,
    }
}

document! {
    /// Roles side by side; a cell is `allowed`, `denied` or `depends`.
    pub(in crate::admin) struct Comparison from(matrix: &Matrix) {
        roles: Vec<String> = matrix.roles.iter().map(ToString::to_string).collect(),
        rows: Vec<ComparisonRow> = matrix.rows.iter().map(ComparisonRow::from).collect(),
    }
}

document! {
    struct ComparisonRow from(row: &engine::MatrixRow) {
        action: String = row.action.clone(),
        resource: String = row.resource.clone(),
        cells: Vec<&'static str> = row.cells.iter().map(|cell| cell.as_str()).collect(),
        /// The policies on which cells with `depends` depend; at most the first ones.
        depends_on: Vec<String> = row.policies(),
    }
}

document! {
    pub(in crate::admin) struct Policies new(live: &Snapshot, status: &PolicyStatus) {
        digest: String = live.digest().hex(),
        policies: usize = live.policy_count(),
        state: &'static str = status.word(),
        /// The digest of the set that waits for approval.
        pending: Option<String> = status.pending.map(|digest| digest.hex()),
        /// The number of the set that is pinned.
        pinned: Option<u64> = status.pinned,
        fault: Option<String> = status.fault.clone(),
        loaded_at: String = rfc3339(status.loaded_at),
        /// None of a set that was loaded without that being known.
        proof: Option<GuardProofs> = live.guard_outcomes().cloned().map(GuardProofs::from),
    }
}

document! {
    /// What the check has found about the guards of a set.
    struct GuardProofs from(known: GuardOutcomes) {
        /// None where no solver has answered.
        solver: Option<String> = Some(known.solver).filter(|solver| !solver.is_empty()),
        /// How many cases of the matrix were evaluated.
        cases: u64 = known.cases,
        guards: Vec<GuardProof> = known.guards.into_iter().map(GuardProof::from).collect(),
    }
}

document! {
    struct GuardProof from(guard: GuardOutcome) {
        id: String = guard.id,
        state: &'static str = guard.state.as_str(),
        why: String = guard.why,
    }
}

document! {
    /// One set in the history; `gains` and so on are bounded, the audit log has more.
    pub(in crate::admin) struct PolicyHistoryEntry from(entry: PolicyEntry) {
        number: u64 = entry.number,
        digest: String = entry.digest.hex(),
        outcome: &'static str = entry.outcome.as_str(),
        at: String = rfc3339(entry.at),
        revision: u64 = entry.revision.0,
        actor: String = entry.actor,
        cause: &'static str = entry.report.cause.as_str(),
        policies: u64 = entry.report.policies,
        bytes: u64 = entry.bytes,
        pinned: Option<u64> = entry.report.pinned,
        gains: Vec<String> = entry.report.gains,
        loses: Vec<String> = entry.report.loses,
        may_gain: Vec<String> = entry.report.may_gain,
        may_lose: Vec<String> = entry.report.may_lose,
        fault: Option<String> = entry.report.fault,
        /// None where the guards were not reached, and of an entry of an earlier version.
        proof: Option<GuardProofs> = entry.report.guards.map(GuardProofs::from),
    }
}

/// A set in the history, with its files.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct PolicySet {
    #[serde(flatten)]
    entry: PolicyHistoryEntry,
    files: Vec<PolicyFile>,
}

impl From<policy_history::PolicySet> for PolicySet {
    fn from(set: policy_history::PolicySet) -> Self {
        let files = set.files.into_iter().map(PolicyFile::from).collect();
        Self { entry: PolicyHistoryEntry::from(set.entry), files }
    }
}

document! {
    struct PolicyFile from(file: (String, Vec<u8>)) {
        path: String = file.0,
        /// Only a refused set has files that are not UTF-8.
        text: String = String::from_utf8_lossy(&file.1).into_owned(),
    }
}

document! {
    pub(in crate::admin) struct Reload from(report: ReloadReport) {
        digest: String = report.digest.hex(),
        policies: usize = report.policies,
        changed: bool = report.changed,
        pending: bool = report.pending,
        gains: Vec<String> = report.changes.gains,
        loses: Vec<String> = report.changes.loses,
        may_gain: Vec<String> = report.changes.may_gain,
        may_lose: Vec<String> = report.changes.may_lose,
        notes: Vec<String> = report.notes,
    }
}

/// A set that was published to a fleet, as it is on the node that answers.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct PoliciesPublished {
    #[serde(flatten)]
    reload: Reload,
    /// Where it is live, if that was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<NodesWithPolicies>,
}

impl PoliciesPublished {
    pub(in crate::admin) fn new(report: ReloadReport, nodes: Option<PublishedOn>) -> Self {
        Self { reload: Reload::from(report), nodes: nodes.map(NodesWithPolicies::from) }
    }
}

document! {
    struct NodesWithPolicies from(nodes: PublishedOn) {
        all: bool = nodes.is_all(),
        /// None where it is not known.
        by: Option<usize> = nodes.fault.is_none().then_some(nodes.by),
        of: Option<usize> = nodes.fault.is_none().then_some(nodes.of),
        sentence: String = nodes.sentence(),
        refused: Vec<RefusingNode> = nodes.refused.into_iter().map(RefusingNode::from).collect(),
        missing: Vec<String> = nodes.missing,
    }
}

document! {
    struct RefusingNode from(refused: (String, String)) {
        node: String = refused.0,
        why: String = refused.1,
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

document! {
    /// What a member may do, from rows of the matrix; `depends` means that an attribute, an identity
    /// or the context decides.
    pub(in crate::admin) struct Permissions new(role: &RoleId, rows: Vec<(&str, &str, Cell)>) {
        role: String = role.to_string(),
        items: Vec<Permission> = rows.into_iter().map(Permission::of).collect(),
    }
}

document! {
    struct Permission of(row: (&str, &str, Cell)) {
        action: String = row.0.to_owned(),
        resource: String = row.1.to_owned(),
        allowed: &'static str = row.2.as_str(),
    }
}
