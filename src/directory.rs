//! The members in memory.
/// Members.
#[derive(Debug, Default)]
pub struct Directory {}
