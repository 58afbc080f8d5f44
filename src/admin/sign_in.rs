//! `/sign-in`, `/sign-out` and `/setup`: the begin and the end of a session, and the creation of
//! the first account.

use super::api_request::{ApiRequest, ApiResult};
use super::invites::{password, token};
use super::wire::{self, Account, Changed, FirstAccount, PendingSignIn, SignedIn};
use crate::browser_security;
use crate::domain::{AccountSlug, Email, Name, RoleId, Token};
use crate::http::Reply;
use crate::services::accounts::checked_name;
use crate::services::session_auth::COOKIE;
use crate::services::sessions;
use crate::services::set_up::{self, FirstAccountRequest};
use crate::services::sign_in::{self, SignInAttempt, SignInOutcome};
use crate::store::Committed;

pub(super) async fn sign_in(call: &mut ApiRequest<'_>) -> ApiResult {
    call.done()?;
    let mut form = call.form().await?;
    let account = form.required("account", AccountSlug::named);
    let email = form.required("email", Email::parse);
    let given = account.zip(email).zip(password(&mut form, "password"));
    let ((account, email), password) = form.done(given)?;
    let attempt = SignInAttempt { account, email, password, from: call.from() };
    let entered = match sign_in::sign_in(call.app, attempt).await? {
        SignInOutcome::Entered(entered) => entered.value,
        SignInOutcome::SecondFactor(waiting) => {
            return Ok(Reply::json_of(&PendingSignIn::new("second_factor", waiting)));
        }
        SignInOutcome::SetUp(waiting) => {
            return Ok(Reply::json_of(&PendingSignIn::new("set_up_second_factor", waiting)));
        }
    };
    let reply = Reply::json_of(&SignedIn::of(call.app, &entered.session, entered.member));
    replace(call, reply, &entered.token).await
}

/// Replaces the session of the browser with a new one: the previous session must end.
pub(super) async fn replace(call: &ApiRequest<'_>, reply: Reply, token: &Token) -> ApiResult {
    if let Some(token) = bearer_session(call) {
        sessions::sign_out(call.app, token).await?;
    }
    Ok(browser_security::keeping(reply, token))
}

fn bearer_session(call: &ApiRequest<'_>) -> Option<Token> {
    call.request.cookie(COOKIE).and_then(Token::parse)
}

/// Also without a valid session: the browser must be able to forget its cookie.
pub(super) async fn sign_out(call: &mut ApiRequest<'_>) -> ApiResult {
    call.done()?;
    if let Some(token) = bearer_session(call) {
        sessions::sign_out(call.app, token).await?;
    }
    Ok(browser_security::forgetting(Reply::json(r#"{"state":"signed_out"}"#)))
}

pub(super) async fn set_up(call: &mut ApiRequest<'_>) -> ApiResult {
    call.done()?;
    let mut form = call.form().await?;
    let token = token(&mut form);
    let slug = form.required("slug", AccountSlug::typed);
    let name = form.required("name", checked_name);
    let email = form.required("email", Email::parse);
    let first_name = form.required("first_name", |text| Name::parse("first_name", text));
    let last_name = form.required("last_name", Name::last);
    let role = form.optional("role", RoleId::parse);
    let password = password(&mut form, "password");
    let account = slug.zip(name).zip(email);
    let given = account.zip(first_name.zip(last_name)).zip(token.zip(password));
    let ((((slug, name), email), (first_name, last_name)), (token, password)) = form.done(given)?;
    let first = FirstAccountRequest { slug, name, email, first_name, last_name, role };
    let made = set_up::set_up(call.app, &token, first, &password, &call.from()).await?;
    let Committed { revision, value: (account, member) } = made;
    let account = Account::of(call.app, account);
    let record = FirstAccount { account, member: wire::Member::from(member) };
    Ok(Reply::json_of(&Changed::new(record, revision)).status(super::CREATED))
}
