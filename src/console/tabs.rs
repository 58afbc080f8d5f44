//! The two tabs of the team page: the members and the invitations.

/// The tabs above the table, each with its count.
pub(super) struct Tabs {
    pub(super) members: usize,
    pub(super) invitations: usize,
    /// The tab that is open: `members` or `invitations`.
    pub(super) open: &'static str,
}
