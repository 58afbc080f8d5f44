//! The embedded backend.
use super::feed;
use crate::clock::Clock;
use crate::domain::{Failure, Revision};
use std::path::Path;
/// The embedded backend.
#[derive(Clone, Debug)]
pub struct RedbStore {}
impl RedbStore {
    /// Opens.
    pub async fn open(_: &Path, _: usize, _: Clock) -> Result<Self, Failure> {
        todo!()
    }
    /// In memory.
    pub async fn in_memory(_: Clock) -> Result<Self, Failure> {
        todo!()
    }
    /// Follow.
    #[must_use]
    pub fn subscribe(&self) -> feed::Follower {
        todo!()
    }
    /// Load.
    pub async fn load(
        &self,
        _: impl FnMut(feed::Loaded) + Send + 'static,
    ) -> Result<Revision, Failure> {
        todo!()
    }
}
