//! Requests to create API tokens.
//!
//! A token is created only if what was checked of its creator still holds in the same transaction.
//! Contains only the hash of the secret.

use super::two_step::StepUp;
use crate::domain::{ApiToken, Version};

/// A token to create.
#[derive(Clone, Debug)]
pub struct NewApiToken {
    /// The token; its lifetime begins with the transaction.
    pub token: ApiToken,
    /// What was checked of its creator.
    pub maker: TokenOwner,
}

/// The creator of a token.
#[derive(Clone, Debug)]
pub enum TokenOwner {
    /// Creates it, and has re-authenticated.
    Own(StepUp),
    /// Was named by the operator of the sidecar, in the version that was checked.
    Named(Version),
}
