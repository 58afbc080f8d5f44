//! Audit entries, and the state of their hash chains.

use serde::Serialize;

use crate::clock::rfc3339;
use crate::domain::audit::ChainReport;
use crate::domain::{AuditEntry, FieldChange};

document! {
    pub(in crate::admin) struct AuditLogEntry from(entry: AuditEntry) {
        sequence: u64 = entry.sequence,
        revision: u64 = entry.revision.0,
        at: String = rfc3339(entry.at),
        actor: String = entry.actor,
        event: String = entry.event,
        target: String = entry.target,
        hash: String = entry.hash.hex(),
        detail: Option<Vec<AuditField>> =
            entry.detail.map(|fields| fields.into_iter().map(AuditField::from).collect()),
    }
}

document! {
    struct AuditField from(change: FieldChange) {
        field: String = change.field,
        before: Option<String> = change.before,
        after: Option<String> = change.after,
    }
}

document! {
    /// One verified chain; `account` is null for the store's own.
    pub(in crate::admin) struct ChainVerification from(report: ChainReport) {
        account: Option<String> = report.account.map(|account| account.to_string()),
        entries: u64 = report.entries,
        head: String = report.head.hex(),
        fault: Option<String> = report.fault.map(|(sequence, reason)| format!("entry {sequence}: {reason}")),
    }
}
