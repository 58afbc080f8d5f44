//! `/sign-in` with its second half, and `/sign-out`: the begin and the end of a session.

use super::api_request::{ApiRequest, ApiResult};
use super::invites::password;
use super::json_body::JsonBody;
use super::response_documents::{Enrolment, PendingSignIn, SignedIn, TwoStepSignedIn};
use super::two_step::code;
use crate::browser_security;
use crate::domain::{AccountSlug, Email, Failure, Token};
use crate::http::Reply;
use crate::services::session_auth::COOKIE;
use crate::services::sign_in::{self, SignInAttempt, SignInOutcome};
use crate::services::{sessions, two_step};

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

pub(super) fn ticket(form: &mut JsonBody) -> Option<String> {
    form.required("ticket", |text| Ok::<_, Failure>(text.to_owned()))
}

pub(super) async fn second_factor(call: &mut ApiRequest<'_>) -> ApiResult {
    call.done()?;
    let mut form = call.form().await?;
    let given = ticket(&mut form).zip(code(&mut form));
    let (ticket, code) = form.done(given)?;
    let entered = sign_in::second_factor(call.app, &ticket, &code, call.from()).await?.value;
    let reply = Reply::json_of(&SignedIn::of(call.app, &entered.session, entered.member));
    replace(call, reply, &entered.token).await
}

pub(super) async fn begin_by_ticket(call: &mut ApiRequest<'_>) -> ApiResult {
    call.done()?;
    let mut form = call.form().await?;
    let ticket = ticket(&mut form);
    let ticket = form.done(ticket)?;
    let enrolment = two_step::begin_by_ticket(call.app, &ticket).await?;
    Ok(Reply::json_of(&Enrolment::from(enrolment)))
}

pub(super) async fn confirm_by_ticket(call: &mut ApiRequest<'_>) -> ApiResult {
    call.done()?;
    let mut form = call.form().await?;
    let given = ticket(&mut form).zip(code(&mut form));
    let (ticket, code) = form.done(given)?;
    let done = two_step::confirm_by_ticket(call.app, &ticket, &code, &call.from()).await?;
    let token = done.value.entered.token.clone();
    let reply = Reply::json_of(&TwoStepSignedIn::of(call.app, done.value));
    replace(call, reply, &token).await
}
