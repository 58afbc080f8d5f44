//! `/me`: the signed-in member: name, address, sessions, permissions, and leaving.

use super::call::{Answer, Call};
use super::form::Form;
use super::invites::token;
use super::precondition::tag;
use super::roles;
use super::two_step::shown;
use super::wire::{self, Changed, Ended, Receipt, Session};
use crate::browser;
use crate::clock::rfc3339;
use crate::domain::{Email, Failure, Name, SessionId};
use crate::flows::{me, members, session_auth, sessions};
use crate::http::Reply;
use crate::store::Committed;
use crate::store::links::EmailConfirmed;

pub(super) async fn show(call: &mut Call<'_>) -> Answer {
    let signed_in = call.signed_in()?;
    let member = signed_in.record(call.app).await?;
    let found = sessions::own(call.app, &signed_in).await?;
    let session = found.into_iter().find(|session| session.id == *signed_in.session());
    let session = session.ok_or_else(session_auth::ended)?;
    let etag = tag(member.version);
    let session = Session::of(call.app, session, Some(signed_in.session()));
    let member = members::seen_one(call.app, member).await?;
    let me = wire::Me { member: wire::Seen::from(member), session };
    Ok(Reply::json_of(&me).header("etag", etag))
}

pub(super) async fn edit(call: &mut Call<'_>) -> Answer {
    let expected = call.demanded()?;
    let signed_in = call.signed_in()?;
    let names = names(call.form().await?)?;
    let done = me::edit(call.app, signed_in, expected, names).await?;
    let etag = tag(done.value.version);
    Ok(Reply::json_of(&Changed::<wire::Member>::from(done)).header("etag", etag))
}

fn names(mut form: Form) -> Result<(Option<Name>, Option<Name>), Failure> {
    let first_name = form.optional("first_name", |text| Name::parse("first_name", text));
    let last_name = form.optional("last_name", Name::last);
    let changes = first_name.is_some() || last_name.is_some();
    form.changing((first_name, last_name), changes)
}

pub(super) async fn leave(call: &mut Call<'_>) -> Answer {
    let signed_in = call.signed_in()?;
    let mut form = call.form().await?;
    let shown = shown(&mut form, "password");
    let shown = form.done(shown)?;
    let left = me::leave(call.app, signed_in, &shown, call.from()).await?;
    Ok(browser::forgetting(Reply::json_of(&Changed::<Receipt>::from(left))))
}

pub(super) async fn permissions(call: &mut Call<'_>) -> Answer {
    let member = call.signed_in()?.record(call.app).await?;
    roles::permissions(call.app, &member).await
}

pub(super) async fn change_email(call: &mut Call<'_>) -> Answer {
    let signed_in = call.signed_in()?;
    let mut form = call.form().await?;
    let given = form.required("email", Email::parse).zip(shown(&mut form, "password"));
    let (email, shown) = form.done(given)?;
    let expires = me::change_email(call.app, signed_in, email, &shown, call.from()).await?;
    let text = format!(r#"{{"state":"confirm_both","expires":"{}"}}"#, rfc3339(expires));
    Ok(Reply::json(text).status(super::ACCEPTED))
}

pub(super) async fn confirm_email(call: &mut Call<'_>) -> Answer {
    call.done()?;
    let mut form = call.form().await?;
    let token = token(&mut form);
    let token = form.done(token)?;
    Ok(match me::confirm_email(call.app, &token).await?.value {
        EmailConfirmed::WaitingFor(_) => Reply::json(r#"{"state":"waiting_for_other"}"#),
        EmailConfirmed::Changed(member) => Reply::json_of(&wire::EmailChanged::of(&member)),
    })
}

pub(super) async fn sessions(call: &mut Call<'_>) -> Answer {
    let signed_in = call.signed_in()?;
    let found = sessions::own(call.app, &signed_in).await?;
    Ok(Reply::json_of(&Session::list(call.app, found, Some(signed_in.session()))))
}

pub(super) async fn end_others(call: &mut Call<'_>) -> Answer {
    end(call, None).await
}

pub(super) async fn end_session(call: &mut Call<'_>) -> Answer {
    let id = call.session_id()?;
    end(call, Some(id)).await
}

async fn end(call: &mut Call<'_>, id: Option<SessionId>) -> Answer {
    let signed_in = call.signed_in()?;
    let own = id.as_ref() == Some(signed_in.session());
    let Committed { revision, value } = sessions::end_own(call.app, signed_in, id).await?;
    let reply = Reply::json_of(&Ended::new(value, revision));
    Ok(if own { browser::forgetting(reply) } else { reply })
}
