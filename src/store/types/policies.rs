//! The policies that are saved for the next start.

use crate::domain::{Digest, PolicyEntry, Timestamp};

/// A policy set as files, saved for the next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPolicies {
    /// The digest of the set.
    pub digest: Digest,
    /// When it went live.
    pub at: Timestamp,
    /// Path inside the folder, and content.
    pub files: Vec<(String, Vec<u8>)>,
}

/// What differs from the folder, or from what the folder would bring.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PolicyState {
    /// The set that waits for approval.
    pub pending: Option<PolicyEntry>,
    /// The number of the set that is served whatever the folder has.
    pub pinned: Option<u64>,
}
