//! The role catalogue: which roles the policy folder offers, and what each says of itself.
//!
//! Read from annotations; never from a list in code.

use crate::domain::RoleId;

/// One role, as its policy file introduces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleCard {
    /// Its name: the file's stem.
    pub id: RoleId,
    /// What people call it.
    pub title: String,
    /// What it may do, in a sentence.
    pub summary: String,
    /// Whom it suits, in a sentence.
    pub best_for: String,
}
