//! The change feed: what every committed change did, in the order of revisions, without gaps.
//!
//! Carries records after the change, never who may see them.

use std::sync::Arc;

use crate::domain::{Account, Member, MemberId, Revision};

/// One committed change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its revision: one more than the change before.
    pub revision: Revision,
    /// What it touched.
    pub rows: Vec<Row>,
}

/// One record after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// An account, made or changed.
    Account(Account),
    /// A member, made or changed.
    Member(Member),
    /// A member that is no more.
    MemberGone(MemberId),
}

/// One record read while loading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// An account.
    Account(Account),
    /// A member.
    Member(Member),
}

/// Receives changes in order. Unbounded: a change that was acknowledged must reach its followers,
/// and the store's own pace bounds how many there are.
pub type Follower = tokio::sync::mpsc::UnboundedReceiver<Arc<Change>>;
