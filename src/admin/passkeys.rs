//! `/me/passkeys` and `/sign-in/passkey`: passkeys, in addition to the authenticator app.

use super::api_request::{ApiRequest, ApiResult};
use super::json_body::JsonBody;
use super::response_documents::{Changed, List, Passkey, PasskeyPrompt, SignedIn};
use super::sign_in::{replace, ticket};
use super::two_step::shown;
use crate::domain::passkey::unknown;
use crate::domain::{Failure, Name, PasskeyId, limits};
use crate::http::Reply;
use crate::services::{passkeys, sign_in};

/// The response of an authenticator, and its challenge.
fn answer(form: &mut JsonBody) -> Option<passkeys::PasskeyAnswer> {
    let challenge = form.required("challenge", |text| Ok::<_, Failure>(text.to_owned()));
    let credential = form.object("credential", limits::PASSKEY_ANSWER_BYTES_MAX);
    let (challenge, credential) = challenge.zip(credential)?;
    Some(passkeys::PasskeyAnswer { challenge, credential })
}

pub(super) async fn list(call: &mut ApiRequest<'_>) -> ApiResult {
    let signed_in = call.signed_in()?;
    let found = passkeys::list(call.app, &signed_in).await?;
    Ok(Reply::json_of(&List::<Passkey>::whole(found)))
}

pub(super) async fn begin(call: &mut ApiRequest<'_>) -> ApiResult {
    let signed_in = call.signed_in()?;
    let mut form = call.form().await?;
    let given = shown(&mut form, "password");
    let given = form.done(given)?;
    let asked = passkeys::begin(call.app, &signed_in, &given, &call.from()).await?;
    Ok(Reply::json_of(&PasskeyPrompt::from(asked)))
}

pub(super) async fn confirm(call: &mut ApiRequest<'_>) -> ApiResult {
    let signed_in = call.signed_in()?;
    let mut form = call.form().await?;
    let name = form.required("name", |text| Name::parse("name", text));
    let given = name.zip(answer(&mut form));
    let (name, answer) = form.done(given)?;
    let added = passkeys::confirm(call.app, &signed_in, &answer, name).await?;
    Ok(Reply::json_of(&Changed::<Passkey>::from(added)).status(super::CREATED))
}

pub(super) async fn remove(call: &mut ApiRequest<'_>) -> ApiResult {
    let id = PasskeyId::parse(&call.id).ok_or_else(unknown)?;
    let signed_in = call.signed_in()?;
    let mut form = call.form().await?;
    let given = shown(&mut form, "password");
    let given = form.done(given)?;
    let removed = passkeys::remove(call.app, &signed_in, id, &given, &call.from()).await?;
    Ok(Reply::json_of(&Changed::<Passkey>::from(removed)))
}

pub(super) async fn ask(call: &mut ApiRequest<'_>) -> ApiResult {
    call.done()?;
    let mut form = call.form().await?;
    let ticket = ticket(&mut form);
    let ticket = form.done(ticket)?;
    Ok(Reply::json_of(&PasskeyPrompt::from(passkeys::ask(call.app, &ticket).await?)))
}

pub(super) async fn sign_in(call: &mut ApiRequest<'_>) -> ApiResult {
    call.done()?;
    let mut form = call.form().await?;
    let given = ticket(&mut form).zip(answer(&mut form));
    let (ticket, answer) = form.done(given)?;
    let entered = sign_in::by_passkey(call.app, &ticket, answer, call.from()).await?.value;
    let reply = Reply::json_of(&SignedIn::of(call.app, &entered.session, entered.member));
    replace(call, reply, &entered.token).await
}
