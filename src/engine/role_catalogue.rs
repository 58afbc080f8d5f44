//! The role catalogue: the roles of the policy folder and their descriptions.
//!
//! Read from annotations; there is no list of roles in code.

use crate::domain::RoleId;

/// One role, as its policy file introduces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleCard {
    /// Its name: the file's stem.
    pub id: RoleId,
    /// Its display name.
    pub title: String,
    /// What it may do, in a sentence.
    pub summary: String,
    /// For whom it is, in a sentence.
    pub best_for: String,
}
