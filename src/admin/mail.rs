//! `/mail` and `/bounces`: the status of mail, a test mail, resuming after a stop, and bounces.

use super::api_request::{ApiRequest, ApiResult};
use super::response_documents;
use crate::domain::{Email, Failure, limits};
use crate::http::Reply;
use crate::services::caller::Caller;
use crate::services::mail_delivery;

pub(super) async fn status(call: &mut ApiRequest<'_>) -> ApiResult {
    let caller = call.caller().await?;
    standing(call, caller).await
}

async fn standing(call: &ApiRequest<'_>, caller: Caller) -> Result<Reply, Failure> {
    let status = mail_delivery::status(call.app, caller).await?;
    Ok(Reply::json_of(&response_documents::MailReport::of(
        &call.app.mailer,
        status,
        call.app.clock.now(),
    )))
}

pub(super) async fn test(call: &mut ApiRequest<'_>) -> ApiResult {
    let caller = call.caller().await?;
    let mut form = call.form().await?;
    let to = form.required("to", Email::parse);
    let to = form.done(to)?;
    let report = mail_delivery::test(call.app, caller, &to).await?;
    Ok(Reply::json_of(&response_documents::MailTest::from(report)))
}

pub(super) async fn resume(call: &mut ApiRequest<'_>) -> ApiResult {
    let caller = call.caller().await?;
    mail_delivery::resume(call.app, caller.clone()).await?;
    standing(call, caller).await
}

/// A bounce, as the mail server passes it on. A mail that is not a bounce is accepted as well:
/// otherwise the mail server would retry for days.
pub(super) async fn bounce(call: &mut ApiRequest<'_>) -> ApiResult {
    let permit = call.operator()?;
    let raw = call.request.body(limits::BOUNCE_BYTES_MAX).await?;
    let told = mail_delivery::record_bounce(call.app, &permit, &raw).await?;
    let text = if told { r#"{"state":"told"}"# } else { r#"{"state":"nothing_new"}"# };
    Ok(Reply::json(text).status(super::ACCEPTED))
}
