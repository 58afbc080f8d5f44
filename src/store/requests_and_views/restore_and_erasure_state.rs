//! What a restored copy must drop, and whether erased data is gone from the file.
//!
//! The layout of a backup folder is the caller's.

/// What was valid when the copy was made and must end now, since it may have been revoked since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RevokedAccess {
    /// Sessions that ended.
    pub sessions: u64,
    /// API tokens that were revoked.
    pub tokens: u64,
    /// Links to a new password or a new address that ended.
    pub links: u64,
}

/// Erased data may still be in freed pages of the file, until a start rewrites it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErasedLeft {
    /// The next start will rewrite it.
    UntilStart,
    /// The last start could not, for this reason.
    Failed(String),
}
