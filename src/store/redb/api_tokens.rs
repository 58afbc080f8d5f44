//! Transitions of API tokens.
//!
//! Every token that is created or ends is published to the subscribers with the same change, and
//! every end that somebody causes has its audit entry.

use super::running_change::{ChangeTransaction, TransactionEnd};
use super::{Store, StoreError, api_token_rows, invariants, member_rows, second_factor_check};
use crate::domain::api_token::unknown;
use crate::domain::{
    AccountSlug, Actor, ApiToken, ApiTokenId, Failure, Kind, MemberId, Timestamp, limits,
};
use crate::store::preconditions::rights_changed;
use crate::store::requests_and_views::api_tokens::{NewApiToken, TokenOwner};
use crate::store::{Committed, Page, Preconditions};

impl Store {
    /// Makes a token.
    ///
    /// # Errors
    /// `Conflict` `too_many_tokens`, or `moved_on`, when the maker is another one by
    /// now than was checked; `Busy`, when the disk fails.
    pub async fn api_token_create(
        &self,
        by: &Preconditions,
        new: NewApiToken,
    ) -> Result<Committed<ApiToken>, Failure> {
        let by = by.clone();
        self.write(&by.actor.clone(), move |change| {
            let NewApiToken { token, maker } = new;
            invariants::preconditions(change, &by, &token.account)?;
            still_maker(change, &by, &token, maker)?;
            need_room(change, &token)?;
            api_token_rows::begin(change, &token)?;
            Ok(TransactionEnd::Changed(token))
        })
        .await
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
        let (account, id) = (account.clone(), id.clone());
        self.read(move |tx| {
            Ok(api_token_rows::read(tx, id.as_str())?.filter(|token| token.account == account))
        })
        .await
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
        let after = after.map(TokenCursor::parse).transpose()?;
        let (account, member) = (account.clone(), member.cloned());
        self.read(move |tx| {
            let mut found = api_token_rows::of(tx, &account, member.as_ref())?;
            found.sort_by_key(TokenCursor::of);
            if let Some(after) = &after {
                found.retain(|token| TokenCursor::of(token) > *after);
            }
            let more = found.len() > limit;
            found.truncate(limit);
            let next = found.last().filter(|_| more).map(|last| TokenCursor::of(last).text());
            Ok(Page { items: found, next })
        })
        .await
    }

    /// Revokes a token; returns it as it was.
    ///
    /// # Errors
    /// `NotFound` `unknown_token`; `Conflict` `moved_on`; `Busy`, when the disk fails.
    pub async fn api_token_revoke(
        &self,
        by: &Preconditions,
        account: &AccountSlug,
        id: &ApiTokenId,
    ) -> Result<Committed<ApiToken>, Failure> {
        let (by, account, id) = (by.clone(), account.clone(), id.clone());
        self.write(&by.actor.clone(), move |change| {
            invariants::preconditions(change, &by, &account)?;
            let token = api_token_rows::read(change.tx, id.as_str())?
                .filter(|token| token.account == account);
            let token = token.ok_or_else(unknown)?;
            api_token_rows::revoke(change, &token)?;
            Ok(TransactionEnd::Changed(token))
        })
        .await
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
        self.write(&Actor::System, move |change| {
            for (id, at) in used {
                // It may have ended since.
                if let Some(before) = api_token_rows::read(change.tx, id.as_str())?
                    && before.used < Some(at)
                {
                    api_token_rows::put(change, &ApiToken { used: Some(at), ..before })?;
                }
            }
            Ok(if change.tells() {
                TransactionEnd::Changed(())
            } else {
                TransactionEnd::AsItWas(())
            })
        })
        .await
    }
}

/// The creator is the one that was checked, unchanged.
fn still_maker(
    change: &mut ChangeTransaction<'_>,
    by: &Preconditions,
    token: &ApiToken,
    maker: TokenOwner,
) -> Result<(), StoreError> {
    match (&by.actor, maker) {
        // Only the member itself, never a token of the member: a token cannot create tokens.
        (Actor::Member(id), TokenOwner::Own(shown)) if *id == token.member => {
            let member = member_rows::read(change.tx, id.as_str())?.ok_or_else(rights_changed)?;
            second_factor_check::step_up(change, &member, shown)
        }
        (Actor::Sidecar { .. }, TokenOwner::Named(judged)) => {
            invariants::check_acting_member(change, &token.member, Some(judged), &token.account)
        }
        _ => Err(rights_changed().into()),
    }
}

fn need_room(change: &ChangeTransaction<'_>, token: &ApiToken) -> Result<(), StoreError> {
    let own = api_token_rows::of(change.tx, &token.account, Some(&token.member))?.len();
    let all = api_token_rows::of(change.tx, &token.account, None)?.len();
    let (whose, most) = if own >= limits::API_TOKENS_OF_MEMBER_MAX {
        ("a member", limits::API_TOKENS_OF_MEMBER_MAX)
    } else if all >= limits::API_TOKENS_OF_ACCOUNT_MAX {
        ("an account", limits::API_TOKENS_OF_ACCOUNT_MAX)
    } else {
        return Ok(());
    };
    Err(Failure::new(
        Kind::Conflict,
        "too_many_tokens",
        format!("{whose} may have {most} API tokens at most: revoke one that is not used"),
    )
    .into())
}

/// The cursor of a page: oldest first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct TokenCursor {
    created: i64,
    id: ApiTokenId,
}

impl TokenCursor {
    fn of(token: &ApiToken) -> Self {
        Self { created: token.created.0, id: token.id.clone() }
    }

    fn parse(text: &str) -> Result<Self, Failure> {
        let read = || {
            let (created, id) = text.split_once('.')?;
            Some(Self { created: created.parse().ok()?, id: ApiTokenId::parse(id)? })
        };
        read().ok_or_else(|| {
            Failure::invalid(
                "after",
                "`after` is not a valid cursor: use the `next` of the previous page",
            )
        })
    }

    fn text(&self) -> String {
        format!("{}.{}", self.created, self.id)
    }
}
