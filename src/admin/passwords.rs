//! Passwords: changed by their owner, or set with a link.

use super::api_request::{ApiRequest, ApiResult};
use super::invites::{password, token};
use super::members::chosen;
use super::response_documents::{AdministratorRecovery, Changed, EndedSessions, PasswordResetLink};
use super::two_step::shown;
use crate::browser_security;
use crate::domain::{AccountSlug, Email};
use crate::http::Reply;
use crate::services::caller::Caller;
use crate::services::{accounts, passwords};
use crate::store::Committed;

pub(super) async fn change(call: &mut ApiRequest<'_>) -> ApiResult {
    let signed_in = call.signed_in()?;
    let mut form = call.form().await?;
    let given = shown(&mut form, "current").zip(password(&mut form, "password"));
    let (current, new) = form.done(given)?;
    let from = call.from();
    let done = passwords::change_own(call.app, signed_in, &current, &new, from).await?;
    let Committed { revision, value: (entered, ended) } = done;
    let reply = Reply::json_of(&EndedSessions::new(ended, revision));
    Ok(browser_security::keeping(reply, &entered.token))
}

/// The same response whether or not the member exists.
pub(super) async fn request(call: &mut ApiRequest<'_>) -> ApiResult {
    call.done()?;
    let mut form = call.form().await?;
    let account = form.required("account", AccountSlug::named);
    let email = form.required("email", Email::parse);
    let (account, email) = form.done(account.zip(email))?;
    passwords::request(call.app, account, email, &call.from())?;
    Ok(Reply::json(r#"{"state":"mail_sent_if_known"}"#).status(super::ACCEPTED))
}

pub(super) async fn confirm(call: &mut ApiRequest<'_>) -> ApiResult {
    call.done()?;
    let mut form = call.form().await?;
    let given = token(&mut form).zip(password(&mut form, "password"));
    let (token, password) = form.done(given)?;
    let done = passwords::reset_by_link(call.app, &token, &password, &call.from()).await?;
    let (_, ended) = done.value;
    Ok(Reply::json(format!(r#"{{"state":"changed","sessions_ended":{ended}}}"#)))
}

pub(super) async fn reset(call: &mut ApiRequest<'_>) -> ApiResult {
    let (caller, chosen) = chosen(call).await?;
    let Committed { revision, value } = passwords::reset(call.app, caller, chosen).await?;
    Ok(Reply::json_of(&Changed::new(PasswordResetLink::from(value), revision)))
}

pub(super) async fn recover(call: &mut ApiRequest<'_>) -> ApiResult {
    call.done()?;
    let uid = call.uid()?;
    let mut form = call.form().await?;
    let account = form.optional("account", accounts::typed);
    let email = form.required("email", Email::parse);
    let email = form.done(email)?;
    let account = accounts::resolve_account(call.app, account).await?;
    let caller = Caller::Sidecar { uid, account };
    let Committed { revision, value } = passwords::recover(call.app, caller, &email).await?;
    Ok(Reply::json_of(&Changed::new(AdministratorRecovery::from(value), revision)))
}
