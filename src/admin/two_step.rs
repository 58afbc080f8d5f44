//! Two-step verification: of the caller, of another member, and the second half of a sign-in.

use super::api_request::{ApiRequest, ApiResult};
use super::invites::password;
use super::json_body::JsonBody;
use super::members::chosen;
use super::sign_in::replace;
use super::wire::{
    EndedSessions, Enrolment, RecoveryCodes, SignedIn, TwoStepSignedIn, TwoStepStatus,
};
use crate::browser_security;
use crate::domain::Failure;
use crate::http::Reply;
use crate::services::step_up::StepUpProof;
use crate::services::{sign_in, two_step};
use crate::store::Committed;

/// The proof of identity: `password`, and `code` if there is a second factor.
pub(super) fn shown(form: &mut JsonBody, name: &'static str) -> Option<StepUpProof> {
    let code = code_if_any(form);
    password(form, name).map(|password| StepUpProof { password, code })
}

/// The same if given; the flow refuses if it is required.
pub(super) fn shown_if_any(form: &mut JsonBody) -> Option<StepUpProof> {
    let code = code_if_any(form);
    let password = form.optional("password", |text| Ok::<_, Failure>(text.to_owned()));
    password.map(|password| StepUpProof { password, code })
}

fn code(form: &mut JsonBody) -> Option<String> {
    form.required("code", |text| Ok::<_, Failure>(text.to_owned()))
}

fn code_if_any(form: &mut JsonBody) -> Option<String> {
    form.optional("code", |text| Ok::<_, Failure>(text.to_owned()))
}

pub(super) fn ticket(form: &mut JsonBody) -> Option<String> {
    form.required("ticket", |text| Ok::<_, Failure>(text.to_owned()))
}

pub(super) async fn show(call: &mut ApiRequest<'_>) -> ApiResult {
    let signed_in = call.signed_in()?;
    let standing = two_step::standing(call.app, &signed_in).await?;
    Ok(Reply::json_of(&TwoStepStatus::from(standing)))
}

pub(super) async fn begin(call: &mut ApiRequest<'_>) -> ApiResult {
    let signed_in = call.signed_in()?;
    let mut form = call.form().await?;
    let given = shown(&mut form, "password");
    let given = form.done(given)?;
    let enrolment = two_step::begin(call.app, &signed_in, &given, &call.from()).await?;
    Ok(Reply::json_of(&Enrolment::from(enrolment)))
}

pub(super) async fn confirm(call: &mut ApiRequest<'_>) -> ApiResult {
    let signed_in = call.signed_in()?;
    let mut form = call.form().await?;
    let code = code(&mut form);
    let code = form.done(code)?;
    let done = two_step::confirm(call.app, &signed_in, &code, &call.from()).await?;
    let token = done.value.entered.token.clone();
    Ok(browser_security::keeping(Reply::json_of(&RecoveryCodes::of_set_up(&done)), &token))
}

pub(super) async fn switch_off(call: &mut ApiRequest<'_>) -> ApiResult {
    let signed_in = call.signed_in()?;
    let mut form = call.form().await?;
    let given = shown(&mut form, "password");
    let given = form.done(given)?;
    let done = two_step::switch_off(call.app, &signed_in, &given, &call.from()).await?;
    let Committed { revision, value: (entered, ended) } = done;
    Ok(browser_security::keeping(
        Reply::json_of(&EndedSessions::new(ended, revision)),
        &entered.token,
    ))
}

pub(super) async fn recovery_codes(call: &mut ApiRequest<'_>) -> ApiResult {
    let signed_in = call.signed_in()?;
    let mut form = call.form().await?;
    let given = shown(&mut form, "password");
    let given = form.done(given)?;
    let done = two_step::recovery_codes(call.app, &signed_in, &given, &call.from()).await?;
    Ok(Reply::json_of(&RecoveryCodes::new(&done.value, 0, done.revision)))
}

/// A member presents the own second factor; the operator of the sidecar sends nothing.
pub(super) async fn reset(call: &mut ApiRequest<'_>) -> ApiResult {
    let from = call.from();
    let (caller, chosen) = chosen(call).await?;
    let id = chosen.id.clone();
    let mut form = call.form().await?;
    let shown = shown_if_any(&mut form);
    form.done(Some(()))?;
    let done = two_step::reset(call.app, caller, chosen, shown, from).await?;
    Ok(Reply::json_of(&EndedSessions::of_member(&id, &done)))
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
