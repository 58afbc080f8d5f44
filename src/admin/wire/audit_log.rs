//! Audit entries, and the state of their hash chains.

use serde::Serialize;

use crate::clock::rfc3339;
use crate::domain::audit::ChainReport;
use crate::domain::{AuditEntry, FieldChange};

#[derive(Debug, Serialize)]
pub(in crate::admin) struct AuditLogEntry {
    sequence: u64,
    revision: u64,
    at: String,
    actor: String,
    event: String,
    target: String,
    hash: String,
    detail: Option<Vec<AuditField>>,
}

#[derive(Debug, Serialize)]
struct AuditField {
    field: String,
    before: Option<String>,
    after: Option<String>,
}

impl From<AuditEntry> for AuditLogEntry {
    fn from(entry: AuditEntry) -> Self {
        let fields = |detail: Vec<FieldChange>| {
            let field = |FieldChange { field, before, after }| AuditField { field, before, after };
            detail.into_iter().map(field).collect()
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

/// One verified chain; `account` is null for the store's own.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct ChainVerification {
    account: Option<String>,
    entries: u64,
    head: String,
    fault: Option<String>,
}

impl From<ChainReport> for ChainVerification {
    fn from(report: ChainReport) -> Self {
        Self {
            account: report.account.map(|account| account.to_string()),
            entries: report.entries,
            head: report.head.hex(),
            fault: report.fault.map(|(sequence, reason)| format!("entry {sequence}: {reason}")),
        }
    }
}
