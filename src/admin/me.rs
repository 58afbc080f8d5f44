//! `/me`: the signed-in member: name, address, sessions, permissions, and leaving.

use super::api_request::{ApiRequest, ApiResult};
use super::if_match::tag;
use super::invites::token;
use super::json_body::JsonBody;
use super::response_documents::{self, Changed, EndedSessions, RemovalReceipt, Session};
use super::roles;
use super::two_step::shown;
use crate::browser_security;
use crate::clock::rfc3339;
use crate::domain::{Email, Failure, Name, SessionId};
use crate::http::Reply;
use crate::services::{members, own_profile, session_auth, sessions};
use crate::store::Committed;
use crate::store::requests_and_views::one_time_links::EmailConfirmed;

pub(super) async fn show(call: &mut ApiRequest<'_>) -> ApiResult {
    let signed_in = call.signed_in()?;
    let member = signed_in.record(call.app).await?;
    let found = sessions::own(call.app, &signed_in).await?;
    let session = found.into_iter().find(|session| session.id == *signed_in.session());
    let session = session.ok_or_else(session_auth::ended)?;
    let etag = tag(member.version);
    let session = Session::of(call.app, session, Some(signed_in.session()));
    let member = members::with_last_sign_in_of(call.app, member).await?;
    let me = response_documents::CurrentMember {
        member: response_documents::MemberWithSignIn::from(member),
        session,
    };
    Ok(Reply::json_of(&me).header("etag", etag))
}

pub(super) async fn edit(call: &mut ApiRequest<'_>) -> ApiResult {
    let expected = call.demanded()?;
    let signed_in = call.signed_in()?;
    let (first, last) = names(call.form().await?)?;
    let done = own_profile::edit(call.app, signed_in, expected, first, last).await?;
    let etag = tag(done.value.version);
    Ok(Reply::json_of(&Changed::<response_documents::Member>::from(done)).header("etag", etag))
}

fn names(mut form: JsonBody) -> Result<(Option<Name>, Option<Name>), Failure> {
    let first_name = form.optional("first_name", |text| Name::parse("first_name", text));
    let last_name = form.optional("last_name", Name::last);
    let changes = first_name.is_some() || last_name.is_some();
    form.changing((first_name, last_name), changes)
}

pub(super) async fn leave(call: &mut ApiRequest<'_>) -> ApiResult {
    let signed_in = call.signed_in()?;
    let mut form = call.form().await?;
    let shown = shown(&mut form, "password");
    let shown = form.done(shown)?;
    let left = own_profile::leave(call.app, signed_in, &shown, call.from()).await?;
    Ok(browser_security::forgetting(Reply::json_of(&Changed::<RemovalReceipt>::from(left))))
}

pub(super) async fn permissions(call: &mut ApiRequest<'_>) -> ApiResult {
    let member = call.signed_in()?.record(call.app).await?;
    roles::permissions(call.app, &member).await
}

pub(super) async fn change_email(call: &mut ApiRequest<'_>) -> ApiResult {
    let signed_in = call.signed_in()?;
    let mut form = call.form().await?;
    let given = form.required("email", Email::parse).zip(shown(&mut form, "password"));
    let (email, shown) = form.done(given)?;
    let expires =
        own_profile::change_email(call.app, signed_in, email, &shown, call.from()).await?;
    let text = format!(r#"{{"state":"confirm_both","expires":"{}"}}"#, rfc3339(expires));
    Ok(Reply::json(text).status(super::ACCEPTED))
}

pub(super) async fn confirm_email(call: &mut ApiRequest<'_>) -> ApiResult {
    call.done()?;
    let mut form = call.form().await?;
    let token = token(&mut form);
    let token = form.done(token)?;
    Ok(match own_profile::confirm_email(call.app, &token).await?.value {
        EmailConfirmed::WaitingFor(_) => Reply::json(r#"{"state":"waiting_for_other"}"#),
        EmailConfirmed::Changed(member) => {
            Reply::json_of(&response_documents::EmailChanged::of(&member))
        }
    })
}

pub(super) async fn sessions(call: &mut ApiRequest<'_>) -> ApiResult {
    let signed_in = call.signed_in()?;
    let found = sessions::own(call.app, &signed_in).await?;
    Ok(Reply::json_of(&Session::list(call.app, found, Some(signed_in.session()))))
}

pub(super) async fn end_others(call: &mut ApiRequest<'_>) -> ApiResult {
    end(call, None).await
}

pub(super) async fn end_session(call: &mut ApiRequest<'_>) -> ApiResult {
    let id = call.session_id()?;
    end(call, Some(id)).await
}

async fn end(call: &mut ApiRequest<'_>, id: Option<SessionId>) -> ApiResult {
    let signed_in = call.signed_in()?;
    let own = id.as_ref() == Some(signed_in.session());
    let Committed { revision, value } = sessions::end_own(call.app, signed_in, id).await?;
    let reply = Reply::json_of(&EndedSessions::new(value, revision));
    Ok(if own { browser_security::forgetting(reply) } else { reply })
}
