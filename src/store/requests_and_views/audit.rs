//! Filters of the audit log.

use crate::domain::AuditEvent;

/// Which audit entries to read.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only entries whose target is this member.
    pub member: Option<String>,
    /// Only entries of this event.
    pub event: Option<AuditEvent>,
}
