//! What is brought to make an API token.
//!
//! A token begins only by what was checked of its maker, held against what the same transaction
//! finds. Holds no secret: the hash of one.

use super::two_step::StepUp;
use crate::domain::{ApiToken, Version};

/// A token that is to be made.
#[derive(Clone, Debug)]
pub struct NewApiToken {
    /// The token; its time begins with the transaction.
    pub token: ApiToken,
    /// What was checked of its maker.
    pub maker: Maker,
}

/// How a member comes to be the maker of a token.
#[derive(Clone, Debug)]
pub enum Maker {
    /// Makes it, and has shown again who it is.
    Own(StepUp),
    /// Was named by the operator of the sidecar, in the version that was judged.
    Named(Version),
}
