//! The two tabs of the team page: the members and the invitations.

/// The tabs above the table, with their counts.
pub(super) struct TeamTabs {
    pub(super) members: usize,
    pub(super) invitations: usize,
    /// The open tab: `members` or `invitations`.
    pub(super) open: &'static str,
}
