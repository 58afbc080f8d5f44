//! What is remembered of every change: who did what to whom, and what was before and after.
//!
//! An entry is a header, which the chain covers, and a personal part kept apart, so that a
//! person's data can be erased and the chain still verifies. Never holds a secret.

use super::account::AccountSlug;
use super::digest::Digest;
use super::revision::{Revision, Timestamp};

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The operator of the sidecar, by the user id of the connection on `admin.sock`.
    Sidecar {
        /// The peer's user id.
        uid: u32,
    },
    /// The sidecar itself: a reload by file watch or signal, a last good set at start.
    System,
}

impl Actor {
    /// As it stands in the audit log: `sidecar:UID`, `system`.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Sidecar { uid } => format!("sidecar:{uid}"),
            Self::System => "system".to_owned(),
        }
    }
}

/// What happened. Names follow the OWASP Logging Vocabulary where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuditEvent {
    /// An account was made.
    AccountCreated,
    /// A member was made.
    UserCreated,
    /// A member's name or address changed.
    UserUpdated,
    /// A member's role changed.
    PrivilegePermissionsChanged,
    /// A member was suspended.
    UserSuspended,
    /// A suspended member was restored.
    UserRestored,
    /// A member was removed.
    UserDeleted,
    /// Members were imported: one entry for all.
    UsersImported,
    /// A policy set went live.
    PoliciesReloaded,
}

impl AuditEvent {
    /// Every event, for whoever reads a name back.
    pub const ALL: [Self; 9] = [
        Self::AccountCreated,
        Self::UserCreated,
        Self::UserUpdated,
        Self::PrivilegePermissionsChanged,
        Self::UserSuspended,
        Self::UserRestored,
        Self::UserDeleted,
        Self::UsersImported,
        Self::PoliciesReloaded,
    ];

    /// The event's name in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccountCreated => "account_created",
            Self::UserCreated => "user_created",
            Self::UserUpdated => "user_updated",
            Self::PrivilegePermissionsChanged => "privilege_permissions_changed",
            Self::UserSuspended => "user_suspended",
            Self::UserRestored => "user_restored",
            Self::UserDeleted => "user_deleted",
            Self::UsersImported => "users_imported",
            Self::PoliciesReloaded => "policies_reloaded",
        }
    }
}

/// The personal part of an entry: field, before, after. Erasable.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AuditDetail {
    /// One line a field that the change touched.
    pub fields: Vec<(String, Option<String>, Option<String>)>,
}

/// One entry as it is read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// The account whose chain this is in; `None` is the store's own chain.
    pub account: Option<AccountSlug>,
    /// 1 for a chain's first entry, without gaps.
    pub sequence: u64,
    /// The revision of the change.
    pub revision: Revision,
    /// When.
    pub at: Timestamp,
    /// Who, as [`Actor::label`] writes it.
    pub actor: String,
    /// What, as [`AuditEvent::as_str`] writes it.
    pub event: String,
    /// The id of what it was done to.
    pub target: String,
    /// The chain's hash up to and with this entry.
    pub hash: Digest,
    /// Names, addresses, before and after; `None` once erased.
    pub detail: Option<AuditDetail>,
}

/// What `audit verify` found of one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainReport {
    /// The account whose chain this is; `None` is the store's own chain.
    pub account: Option<AccountSlug>,
    /// How many entries.
    pub entries: u64,
    /// The hash of the last entry: keep it elsewhere, and ask for it again with `--expect`.
    pub head: Digest,
    /// Where the chain breaks first, and how; `None` where it holds.
    pub fault: Option<(u64, String)>,
}
