//! Transactions of API tokens.
//!
//! A token is created only if what was checked of its creator still holds in the same transaction.
//! Contains only the hash of the secret.

use super::two_step::StepUp;
use super::{By, Committed, Page, Store};
use crate::domain::{AccountSlug, ApiToken, ApiTokenId, Failure, MemberId, Timestamp, Version};

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

impl Store {
    /// Makes a token.
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

    /// One page of an account's tokens, or of one maker's, oldest first.
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

    /// Revokes a token; answers it as it was.
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

    /// Writes down when tokens were used last. No audit entry. Those that have expired are taken
    /// away by [`Self::sessions_tend`].
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
