//! The live policies.
/// One immutable policy set.
#[derive(Debug, Default)]
pub struct Snapshot {}
