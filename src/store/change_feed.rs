//! The change feed: every committed change, in the order of revisions, without gaps.
//!
//! Carries the records after the change; does not restrict who sees them.

use std::sync::Arc;

use tokio::sync::mpsc;

pub use crate::domain::{Change, ChangedRecord, LoadedRecord};

/// Receives changes in order. Unbounded: an acknowledged change must reach its subscribers, and the
/// store's own pace limits their number.
pub type Follower = mpsc::UnboundedReceiver<Arc<Change>>;

/// All subscribers.
#[derive(Debug, Default)]
pub(super) struct Followers(Vec<mpsc::UnboundedSender<Arc<Change>>>);

impl Followers {
    pub(super) fn subscribe(&mut self) -> Follower {
        let (sender, follower) = mpsc::unbounded_channel();
        self.0.push(sender);
        follower
    }

    /// Sends to all subscribers; closed ones are removed.
    pub(super) fn publish(&mut self, change: Change) {
        let change = Arc::new(change);
        self.0.retain(|follower| follower.send(Arc::clone(&change)).is_ok());
    }
}
