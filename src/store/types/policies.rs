//! The policies that are saved for the next start.

use crate::domain::{Digest, Timestamp};

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
