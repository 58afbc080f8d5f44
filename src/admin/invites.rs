//! `/invites`: send, list, edit, resend and revoke invites; and the calls of the holder of a link.

use super::call::{Answer, Call};
use super::form::Form;
use super::precondition::tag;
use super::wire::{Changed, Inspected, Invite, List, Member, Outcome};
use crate::app::App;
use crate::domain::idempotency_key::refused;
use crate::domain::{Email, Failure, IdempotencyKey, InviteState, Name, RoleId, limits};
use crate::flows::caller::Caller;
use crate::flows::invites::{self, ChosenInvite, Correction, Invitation, Shown};
use crate::http::{Reply, Sole};
use crate::store::Committed;
use crate::store::invites::InviteFilter;

pub(super) async fn list(call: &mut Call<'_>) -> Answer {
    let filter = InviteFilter {
        search: call.params.text("search"),
        role: call.params.read_as("role", RoleId::parse),
        states: call.params.one_of("state", &states()).into_iter().collect(),
    };
    let (after, limit) = (call.params.text("after"), call.params.limit());
    let caller = call.caller().await?;
    let page = invites::list(call.app, caller, &filter, after.as_deref(), limit).await?;
    let items = page.items.into_iter().map(|shown| Invite::of(call.app, shown)).collect();
    Ok(Reply::json_of(&List { items, next: page.next }))
}

/// The states, each with its name.
pub(super) fn states() -> [(&'static str, InviteState); InviteState::ALL.len()] {
    InviteState::ALL.map(|state| (state.as_str(), state))
}

pub(super) async fn show(call: &mut Call<'_>) -> Answer {
    let id = call.invite_id()?;
    let caller = call.caller().await?;
    let shown = invites::show(call.app, caller, &id).await?;
    let etag = tag(shown.view.invite.version);
    Ok(Reply::json_of(&Invite::of(call.app, shown)).header("etag", etag))
}

pub(super) async fn send(call: &mut Call<'_>) -> Answer {
    let key = idempotency_key(call.request.sole_header("idempotency-key"))?;
    let caller = call.caller().await?;
    let mut form = call.form().await?;
    let invitation = invitation(&mut form);
    let invitation = form.done(invitation)?;
    let sent = invites::send(call.app, caller, invitation, key).await?;
    let status = if sent.value.repeated { super::OK } else { super::CREATED };
    Ok(changed(call.app, sent).status(status))
}

fn invitation(form: &mut Form) -> Option<Invitation> {
    let first_name = form.required("first_name", |text| Name::parse("first_name", text));
    let last_name = form.required("last_name", Name::last);
    let email = form.required("email", Email::parse);
    let role = form.required("role", RoleId::parse);
    let ((first_name, last_name), (email, role)) =
        first_name.zip(last_name).zip(email.zip(role))?;
    Some(Invitation { email, first_name, last_name, role })
}

fn idempotency_key(header: Sole<'_>) -> Result<Option<IdempotencyKey>, Failure> {
    match header {
        Sole::Absent => Ok(None),
        Sole::Text(text) => IdempotencyKey::parse(text).map(Some),
        Sole::Unclear => Err(refused()),
    }
}

pub(super) async fn send_several(call: &mut Call<'_>) -> Answer {
    let caller = call.caller().await?;
    let mut form = call.form().await?;
    let items = form.items("items", limits::BULK_ITEMS_MAX, invitation);
    let mut outcomes = Vec::new();
    // One after the other, each in its own transaction: a refusal of one does not affect the next.
    for invitation in form.done(items)? {
        let sent = invites::send(call.app, caller.clone(), invitation, None).await;
        outcomes.push(Outcome::of_invite(call.app, sent));
    }
    Ok(Reply::json_of(&List { items: outcomes, next: None }))
}

pub(super) async fn edit(call: &mut Call<'_>) -> Answer {
    let chosen = ChosenInvite { id: call.invite_id()?, expected: call.demanded()? };
    let caller = call.caller().await?;
    let correction = correction(call.form().await?)?;
    let done = invites::correct(call.app, caller, chosen, correction).await?;
    Ok(changed(call.app, done))
}

fn correction(mut form: Form) -> Result<Correction, Failure> {
    let correction = Correction {
        first_name: form.optional("first_name", |text| Name::parse("first_name", text)),
        last_name: form.optional("last_name", Name::last),
        email: form.optional("email", Email::parse),
        role: form.optional("role", RoleId::parse),
    };
    let changes = correction.first_name.is_some()
        || correction.last_name.is_some()
        || correction.email.is_some()
        || correction.role.is_some();
    form.changing(correction, changes)
}

pub(super) async fn resend(call: &mut Call<'_>) -> Answer {
    let (caller, chosen) = chosen(call).await?;
    let done = invites::resend(call.app, caller, chosen).await?;
    Ok(changed(call.app, done))
}

pub(super) async fn link(call: &mut Call<'_>) -> Answer {
    let (caller, chosen) = chosen(call).await?;
    let done = invites::link(call.app, caller, chosen).await?;
    Ok(changed(call.app, done))
}

pub(super) async fn revoke(call: &mut Call<'_>) -> Answer {
    let (caller, chosen) = chosen(call).await?;
    let done = invites::revoke(call.app, caller, chosen).await?;
    Ok(changed(call.app, done))
}

async fn chosen(call: &mut Call<'_>) -> Result<(Caller, ChosenInvite), Failure> {
    let chosen = ChosenInvite { id: call.invite_id()?, expected: call.expected()? };
    Ok((call.caller().await?, chosen))
}

fn changed(app: &App, done: Committed<Shown>) -> Reply {
    let etag = tag(done.value.view.invite.version);
    let record = Changed::new(Invite::of(app, done.value), done.revision);
    Reply::json_of(&record).header("etag", etag)
}

/// The token in a body. An invalid one is treated like an unknown one.
pub(super) fn token(form: &mut Form) -> Option<String> {
    form.required("token", |text| Ok::<_, Failure>(text.to_owned()))
}

/// The password in a body; the rules are in the flows.
pub(super) fn password(form: &mut Form, name: &'static str) -> Option<String> {
    form.required(name, |text| Ok::<_, Failure>(text.to_owned()))
}

pub(super) async fn inspect(call: &mut Call<'_>) -> Answer {
    call.done()?;
    let mut form = call.form().await?;
    let token = token(&mut form);
    let token = form.done(token)?;
    let inspected = invites::inspect(call.app, &token).await?;
    Ok(Reply::json_of(&Inspected::of(call.app, inspected)))
}

pub(super) async fn accept(call: &mut Call<'_>) -> Answer {
    call.done()?;
    let mut form = call.form().await?;
    let given = token(&mut form).zip(password(&mut form, "password"));
    let (token, password) = form.done(given)?;
    let joined = invites::accept(call.app, &token, &password).await?;
    Ok(Reply::json_of(&Changed::<Member>::from(joined)).status(super::CREATED))
}

pub(super) async fn want(call: &mut Call<'_>) -> Answer {
    call.done()?;
    let mut form = call.form().await?;
    let token = token(&mut form);
    let token = form.done(token)?;
    invites::want(call.app, &token).await?;
    Ok(Reply::json(r#"{"state":"requested"}"#).status(super::ACCEPTED))
}
