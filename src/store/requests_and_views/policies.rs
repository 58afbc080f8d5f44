//! The policies that are saved for the next start.

use crate::domain::{Digest, PolicyCause, PolicyEntry, RoleId, Timestamp};

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

/// A set that is to be published to the nodes of a fleet.
#[derive(Clone, Debug)]
pub struct NewPublication {
    /// The set.
    pub set: StoredPolicies,
    /// Why it is published.
    pub cause: PolicyCause,
    /// The roles that it has.
    pub roles: Vec<RoleId>,
    /// Whether it waits for approval.
    pub waits: bool,
    /// Whether no other set may be published until that is ended.
    pub is_pinned: bool,
}

/// What is known of a set that was published to the nodes of a fleet, but for its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// From 1, in the order in which they were published; another one for one that was approved.
    pub number: u64,
    /// The digest of the set.
    pub digest: Digest,
    /// When it was published or approved.
    pub at: Timestamp,
    /// Who did that, as [`crate::domain::Actor::label`] writes it.
    pub actor: String,
    /// Why.
    pub cause: PolicyCause,
    /// The roles that it has.
    pub roles: Vec<RoleId>,
    /// Whether no other set may be published until that is ended.
    pub is_pinned: bool,
}

/// What was published to the nodes of a fleet.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Publications {
    /// The set that every node is to have.
    pub live: Option<Publication>,
    /// The set that waits for approval.
    pub pending: Option<Publication>,
}
