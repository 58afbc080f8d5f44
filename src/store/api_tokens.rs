//! Transactions of API tokens.
//!
//! A token is created only if what was checked of its creator still holds in the same transaction.
//! Contains only the hash of the secret.

use super::two_step::StepUp;
use super::{By, Committed, Page, Store};
use crate::domain::{AccountSlug, ApiToken, ApiTokenId, Failure, MemberId, Timestamp, Version};

/// A token to create.
#[derive(Clone, Debug)]
pub struct NewApiToken {
    /// The token; its lifetime begins with the transaction.
    pub token: ApiToken,
    /// What was checked of its creator.
    pub maker: Maker,
}

/// The creator of a token.
#[derive(Clone, Debug)]
pub enum Maker {
    /// Creates it, and has re-authenticated.
    Own(StepUp),
    /// Was named by the operator of the sidecar, in the version that was checked.
    Named(Version),
}

impl Store {
    /// Creates a token.
    ///
    /// # Errors
    /// `Conflict` `too_many_tokens`, or [`super::by::MOVED_ON`], when the maker is another one by
    /// now than was checked; `Busy`, when the disk fails.
    pub async fn api_token_create(
        &self,
        by: &By,
        new: NewApiToken,
    ) -> Result<Committed<ApiToken>, Failure> {
        match self {
            Self::Redb(store) => store.api_token_create(by, new).await,
        }
    }

    /// One token of an account.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn api_token(
        &self,
        account: &AccountSlug,
        id: &ApiTokenId,
    ) -> Result<Option<ApiToken>, Failure> {
        match self {
            Self::Redb(store) => store.api_token(account, id).await,
        }
    }

    /// One page of the tokens of an account, or of one creator, oldest first.
    ///
    /// # Errors
    /// `Invalid` for a cursor that is none; `Busy`, when the disk fails.
    pub async fn api_tokens(
        &self,
        account: &AccountSlug,
        member: Option<&MemberId>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<ApiToken>, Failure> {
        match self {
            Self::Redb(store) => store.api_tokens(account, member, after, limit).await,
        }
    }

    /// Revokes a token; returns it as it was.
    ///
    /// # Errors
    /// `NotFound` `unknown_token`; `Conflict` [`super::by::MOVED_ON`]; `Busy`, when the disk fails.
    pub async fn api_token_revoke(
        &self,
        by: &By,
        account: &AccountSlug,
        id: &ApiTokenId,
    ) -> Result<Committed<ApiToken>, Failure> {
        match self {
            Self::Redb(store) => store.api_token_revoke(by, account, id).await,
        }
    }

    /// Saves the last use of tokens. No audit entry. Expired ones are deleted by
    /// [`Self::sessions_tend`].
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn api_tokens_used(
        &self,
        used: Vec<(ApiTokenId, Timestamp)>,
    ) -> Result<Committed<()>, Failure> {
        match self {
            Self::Redb(store) => store.api_tokens_used(used).await,
        }
    }
}
