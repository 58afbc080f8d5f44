//! `/mail` and `/bounces`: the status of mail, a test mail, resuming after a stop, and bounces.

use super::call::{Answer, Call};
use super::wire;
use crate::domain::{Email, Failure, limits};
use crate::flows::caller::Caller;
use crate::flows::letters;
use crate::http::Reply;

pub(super) async fn status(call: &mut Call<'_>) -> Answer {
    let caller = call.caller().await?;
    standing(call, caller).await
}

async fn standing(call: &Call<'_>, caller: Caller) -> Result<Reply, Failure> {
    let status = letters::status(call.app, caller).await?;
    Ok(Reply::json_of(&wire::Mail::of(&call.app.mailer, status, call.app.clock.now())))
}

pub(super) async fn test(call: &mut Call<'_>) -> Answer {
    let caller = call.caller().await?;
    let mut form = call.form().await?;
    let to = form.required("to", Email::parse);
    let to = form.done(to)?;
    let report = letters::test(call.app, caller, &to).await?;
    Ok(Reply::json_of(&wire::MailTest::from(report)))
}

pub(super) async fn resume(call: &mut Call<'_>) -> Answer {
    let caller = call.caller().await?;
    letters::resume(call.app, caller.clone()).await?;
    standing(call, caller).await
}

/// A bounce, as the mail server passes it on. A mail that is not a bounce is accepted as well:
/// otherwise the mail server would retry for days.
pub(super) async fn bounce(call: &mut Call<'_>) -> Answer {
    let permit = call.operator()?;
    let raw = call.request.body(limits::BOUNCE_BYTES_MAX).await?;
    let told = letters::came_back(call.app, &permit, &raw).await?;
    let text = if told { r#"{"state":"told"}"# } else { r#"{"state":"nothing_new"}"# };
    Ok(Reply::json(text).status(super::ACCEPTED))
}
