//! API tokens: a program acts as the member who created the token, with the token's role.
//!
//! Each use is checked twice against the live policies: whether the creator may still give the
//! role, and what the role may do. A token cannot create or revoke tokens, nor do anything about
//! the person who created it. The secret is returned once and not stored.

use std::sync::Arc;

use super::caller::{Caller, person_needed};
use super::client_info::ClientInfo;
use super::detached_changes::run_detached;
use super::permits::Permit;
use super::rights::{Right, giving, may_give};
use super::session_auth::SignedIn;
use super::step_up::{StepUpProof, check_own, own_password_missing};
use super::{directory_sync, members, roles};
use crate::app::App;
use crate::domain::api_token;
use crate::domain::{
    AccountSlug, ApiToken, ApiTokenId, Failure, Kind, Member, MemberId, Name, RoleId, Status,
    Timestamp, Token, limits,
};
use crate::entropy;
use crate::store::requests_and_views::api_tokens::{NewApiToken, TokenOwner};
use crate::store::requests_and_views::two_step::StepUp;
use crate::store::{Committed, Page};

pub use crate::domain::api_token::unknown;

/// A day in milliseconds.
const DAY: i64 = 24 * 60 * 60 * 1000;

/// The data of a new token.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// What it is for.
    pub name: Name,
    /// What it may do.
    pub role: RoleId,
    /// For how many days, from 1 to [`limits::API_TOKEN_DAYS_MAX`].
    pub days: i64,
}

/// A new token and its secret. Never printed.
pub struct IssuedToken {
    /// The token.
    pub token: ApiToken,
    /// Shown once.
    pub secret: String,
}

/// Creates a token for the signed-in member, who re-authenticates.
///
/// # Errors
/// `Denied` `not_allowed`, `password_missing`, `wrong_password`, `wrong_code`, `code_missing`, `codes_locked`;
/// `TooMany` `too_many_tries`; `Invalid` `unknown_role`; `Conflict` `too_many_tokens`,
/// `factor_unreadable`, `moved_on`; `Unauthenticated` `session_ended`; `Busy`.
pub async fn create_own(
    app: &Arc<App>,
    signed_in: SignedIn,
    wanted: TokenRequest,
    shown: Option<StepUpProof>,
    from: ClientInfo,
) -> Result<Committed<IssuedToken>, Failure> {
    let app = Arc::clone(app);
    run_detached(async move {
        let _giving = roles::lock_role_grants(&app, [&wanted.role]).await?;
        let maker = signed_in.record(&app).await?;
        // The right is checked first: without it no code is consumed.
        let permit = giver(&app, Caller::Member(signed_in), &wanted.role).await?;
        let shown = shown.ok_or_else(own_password_missing)?;
        let shown = check_own(&app, &maker, &shown, &from).await?;
        make(&app, permit, maker, wanted, |_| TokenOwner::Own(StepUp::clone(&shown))).await
    })
    .await
}

/// Creates a token for a member whom the operator of the sidecar names.
///
/// # Errors
/// `Denied` `operator_only`; `NotFound` `unknown_member`; `Invalid` `unknown_role`; `Conflict`
/// `maker_may_not`, `too_many_tokens`, `moved_on`; `Busy`.
pub async fn create_for(
    app: &Arc<App>,
    caller: Caller,
    wanted: TokenRequest,
    maker: MemberId,
) -> Result<Committed<IssuedToken>, Failure> {
    caller.must_be_sidecar()?;
    let app = Arc::clone(app);
    run_detached(async move {
        let _giving = roles::lock_role_grants(&app, [&wanted.role]).await?;
        let maker = members::found(&app, caller.account(), &maker).await?;
        if maker.status != Status::Active || !may_give(&app, &maker, &wanted.role) {
            return Err(maker_may_not(&maker, &wanted.role));
        }
        let permit = giver(&app, caller, &wanted.role).await?;
        make(&app, permit, maker, wanted, |maker| TokenOwner::Named(maker.version)).await
    })
    .await
}

async fn giver(app: &App, caller: Caller, role: &RoleId) -> Result<Permit, Failure> {
    Permit::authorize(app, caller, giving(role)).await
}

async fn make(
    app: &App,
    permit: Permit,
    maker: Member,
    wanted: TokenRequest,
    as_maker: impl Fn(&Member) -> TokenOwner,
) -> Result<Committed<IssuedToken>, Failure> {
    let (secret, now) = (Token::from_bytes(entropy::random()?), app.clock.now());
    let token = ApiToken {
        id: ApiTokenId::from_random(entropy::random()?),
        token: secret.hash(),
        name: wanted.name,
        role: wanted.role,
        member: maker.id.clone(),
        account: maker.account.clone(),
        created: now,
        expires: Timestamp(now.0.saturating_add(wanted.days.saturating_mul(DAY))),
        used: None,
    };
    let (store, token, by_whom) = (&app.store, &token, &as_maker(&maker));
    let change = move |by| async move {
        let new = NewApiToken { token: token.clone(), maker: by_whom.clone() };
        store.api_token_create(&by, new).await
    };
    let done = permit.run(app, change).await?;
    let made = IssuedToken { token: done.value, secret: api_token::secret(&secret) };
    Ok(Committed { value: made, revision: done.revision })
}

/// A token with its creator.
#[derive(Debug)]
pub struct TokenWithOwner {
    /// The token, with the last use that memory knows.
    pub token: ApiToken,
    /// Its creator.
    pub maker: Option<Member>,
}

/// One page of the valid tokens of the account, or of one creator.
///
/// # Errors
/// `Denied` `not_allowed`; `Invalid` for a cursor that is none; `Busy`.
pub async fn list(
    app: &App,
    caller: Caller,
    member: Option<&MemberId>,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<TokenWithOwner>, Failure> {
    let permit = Permit::authorize(app, caller, [Right::EDIT_TEAM]).await?;
    let page = app.store.api_tokens(permit.account(), member, after, limit).await?;
    let mut items = Vec::with_capacity(page.items.len());
    for token in live(app, page.items) {
        let maker = app.store.member(&token.member).await?;
        items.push(TokenWithOwner { token, maker });
    }
    Ok(Page { items, next: page.next })
}

/// One valid token of the account.
///
/// # Errors
/// `Denied` `not_allowed`; `NotFound` `unknown_token`; `Busy`.
pub async fn show(app: &App, caller: Caller, id: &ApiTokenId) -> Result<TokenWithOwner, Failure> {
    let permit = Permit::authorize(app, caller, [Right::EDIT_TEAM]).await?;
    let found = app.store.api_token(permit.account(), id).await?;
    let token = live(app, found.into_iter().collect()).next().ok_or_else(unknown)?;
    let maker = app.store.member(&token.member).await?;
    Ok(TokenWithOwner { token, maker })
}

/// A member's valid tokens.
pub(super) async fn of(
    app: &App,
    account: &AccountSlug,
    member: &MemberId,
) -> Result<Vec<ApiToken>, Failure> {
    let most = limits::API_TOKENS_OF_MEMBER_MAX;
    let page = app.store.api_tokens(account, Some(member), None, most).await?;
    Ok(live(app, page.items).collect())
}

fn live(app: &App, tokens: Vec<ApiToken>) -> impl Iterator<Item = ApiToken> {
    let now = app.clock.now();
    tokens.into_iter().filter(move |token| token.lives(now)).map(|token| {
        let used = token.used.max(app.directory.api_token_last_used(&token.token));
        ApiToken { used, ..token }
    })
}

/// Revokes a token of the account. Needs the same rights as creating it, so that nobody takes away
/// what only others may give.
///
/// # Errors
/// `Denied` `not_allowed`, `session_needed`; `NotFound` `unknown_token`; `Conflict` `moved_on`;
/// `Busy`.
pub async fn revoke(
    app: &Arc<App>,
    caller: Caller,
    id: ApiTokenId,
) -> Result<Committed<ApiToken>, Failure> {
    if matches!(caller, Caller::Token(_)) {
        return Err(person_needed());
    }
    let app = Arc::clone(app);
    run_detached(async move {
        let _still = roles::lock_role_grants(&app, []).await?;
        // Whether the token exists is revealed only with the right.
        Permit::authorize(&app, caller.clone(), [Right::EDIT_TEAM]).await?;
        let found = app.store.api_token(caller.account(), &id).await?.ok_or_else(unknown)?;
        let permit = revoker(&app, caller, &found).await?;
        let (store, account, id) = (&app.store, &permit.account().clone(), &id);
        let change = move |by| async move { store.api_token_revoke(&by, account, id).await };
        permit.run(&app, change).await
    })
    .await
}

/// Own tokens can always be revoked; others by members who may give the role.
async fn revoker(app: &App, caller: Caller, token: &ApiToken) -> Result<Permit, Failure> {
    let own = matches!(&caller, Caller::Member(signed_in) if *signed_in.member() == token.member);
    let assign = (!own).then(|| Right::assign(token.role.clone()));
    Permit::authorize(app, caller, [Right::EDIT_TEAM].into_iter().chain(assign)).await
}

/// Saves the last use of tokens.
///
/// # Errors
/// `Busy`, when the disk fails.
pub async fn expire_once(app: &App) -> Result<(), Failure> {
    let used = app.directory.api_tokens_used();
    if used.is_empty() {
        return Ok(());
    }
    let done = app.store.api_tokens_used(used).await?;
    directory_sync::wait_until_settled(app, done.revision).await
}

fn maker_may_not(maker: &Member, role: &RoleId) -> Failure {
    Failure::new(
        Kind::Conflict,
        "maker_may_not",
        format!(
            "`{}` may not give the role `{role}` (`team:edit` and `roles:assign`), and a token ends with that right: name a member who may, or another role",
            maker.id
        ),
    )
}
