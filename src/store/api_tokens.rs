//! Requests to create API tokens.
//!
//! A token is created only if what was checked of its creator still holds in the same transaction.
//! Contains only the hash of the secret.

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
