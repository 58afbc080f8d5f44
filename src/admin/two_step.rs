//! Two-step verification of the caller, and of another member.

use super::api_request::{ApiRequest, ApiResult};
use super::invites::password;
use super::json_body::JsonBody;
use super::members::chosen;
use super::response_documents::{EndedSessions, Enrolment, RecoveryCodes, TwoStepStatus};
use crate::browser_security;
use crate::domain::Failure;
use crate::http::Reply;
use crate::services::step_up::StepUpProof;
use crate::services::two_step;
use crate::store::Committed;

/// The proof of identity: `password`, and `code` if there is a second factor.
pub(super) fn shown(form: &mut JsonBody, name: &'static str) -> Option<StepUpProof> {
    let code = code_if_any(form);
    password(form, name).map(|password| StepUpProof { password, code })
}

/// The same if given; the service refuses if it is required.
pub(super) fn shown_if_any(form: &mut JsonBody) -> Option<StepUpProof> {
    let code = code_if_any(form);
    let password = form.optional("password", |text| Ok::<_, Failure>(text.to_owned()));
    password.map(|password| StepUpProof { password, code })
}

pub(super) fn code(form: &mut JsonBody) -> Option<String> {
    form.required("code", |text| Ok::<_, Failure>(text.to_owned()))
}

fn code_if_any(form: &mut JsonBody) -> Option<String> {
    form.optional("code", |text| Ok::<_, Failure>(text.to_owned()))
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
