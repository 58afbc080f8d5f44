//! `/invites`: send, list, edit, resend and revoke invites; and the calls of the holder of a link.

use super::api_request::{ApiRequest, ApiResult};
use super::if_match::tag;
use super::json_body::JsonBody;
use super::response_documents::{BulkItemOutcome, Changed, Invite, InvitePreview, List, Member};
use crate::app::App;
use crate::domain::idempotency_key::refused;
use crate::domain::{Email, Failure, IdempotencyKey, InviteState, Name, RoleId, limits};
use crate::http::{Reply, SoleHeader};
use crate::services::caller::Caller;
use crate::services::invites::{self, ChosenInvite, Invitation, InviteCorrection, InviteWithLink};
use crate::store::Committed;
use crate::store::requests_and_views::invites::InviteFilter;

pub(super) async fn list(call: &mut ApiRequest<'_>) -> ApiResult {
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

pub(super) async fn show(call: &mut ApiRequest<'_>) -> ApiResult {
    let id = call.invite_id()?;
    let caller = call.caller().await?;
    let shown = invites::show(call.app, caller, &id).await?;
    let etag = tag(shown.view.invite.version);
    Ok(Reply::json_of(&Invite::of(call.app, shown)).header("etag", etag))
}

pub(super) async fn send(call: &mut ApiRequest<'_>) -> ApiResult {
    let key = idempotency_key(call.request.sole_header("idempotency-key"))?;
    let caller = call.caller().await?;
    let mut form = call.form().await?;
    let invitation = invitation(&mut form);
    let invitation = form.done(invitation)?;
    let sent = invites::send(call.app, caller, invitation, key).await?;
    let status = if sent.value.repeated { super::OK } else { super::CREATED };
    Ok(changed(call.app, sent).status(status))
}

fn invitation(form: &mut JsonBody) -> Option<Invitation> {
    let first_name = form.required("first_name", |text| Name::parse("first_name", text));
    let last_name = form.required("last_name", Name::last);
    let email = form.required("email", Email::parse);
    let role = form.required("role", RoleId::parse);
    let ((first_name, last_name), (email, role)) =
        first_name.zip(last_name).zip(email.zip(role))?;
    Some(Invitation { email, first_name, last_name, role })
}

fn idempotency_key(header: SoleHeader<'_>) -> Result<Option<IdempotencyKey>, Failure> {
    match header {
        SoleHeader::Absent => Ok(None),
        SoleHeader::Text(text) => IdempotencyKey::parse(text).map(Some),
        SoleHeader::Unclear => Err(refused()),
    }
}

pub(super) async fn send_several(call: &mut ApiRequest<'_>) -> ApiResult {
    let caller = call.caller().await?;
    let mut form = call.form().await?;
    let items = form.items("items", limits::BULK_ITEMS_MAX, invitation);
    let mut outcomes = Vec::new();
    // One after the other, each in its own transaction: a refusal of one does not affect the next.
    for invitation in form.done(items)? {
        let sent = invites::send(call.app, caller.clone(), invitation, None).await;
        outcomes.push(BulkItemOutcome::of_invite(call.app, sent));
    }
    Ok(Reply::json_of(&List { items: outcomes, next: None }))
}

pub(super) async fn edit(call: &mut ApiRequest<'_>) -> ApiResult {
    let chosen = ChosenInvite { id: call.invite_id()?, expected: call.demanded()? };
    let caller = call.caller().await?;
    let correction = correction(call.form().await?)?;
    let done = invites::correct(call.app, caller, chosen, correction).await?;
    Ok(changed(call.app, done))
}

fn correction(mut form: JsonBody) -> Result<InviteCorrection, Failure> {
    let correction = InviteCorrection {
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

pub(super) async fn resend(call: &mut ApiRequest<'_>) -> ApiResult {
    let (caller, chosen) = chosen(call).await?;
    let done = invites::resend(call.app, caller, chosen).await?;
    Ok(changed(call.app, done))
}

pub(super) async fn link(call: &mut ApiRequest<'_>) -> ApiResult {
    let (caller, chosen) = chosen(call).await?;
    let done = invites::link(call.app, caller, chosen).await?;
    Ok(changed(call.app, done))
}

pub(super) async fn revoke(call: &mut ApiRequest<'_>) -> ApiResult {
    let (caller, chosen) = chosen(call).await?;
    let done = invites::revoke(call.app, caller, chosen).await?;
    Ok(changed(call.app, done))
}

async fn chosen(call: &mut ApiRequest<'_>) -> Result<(Caller, ChosenInvite), Failure> {
    let chosen = ChosenInvite { id: call.invite_id()?, expected: call.expected()? };
    Ok((call.caller().await?, chosen))
}

fn changed(app: &App, done: Committed<InviteWithLink>) -> Reply {
    let etag = tag(done.value.view.invite.version);
    let record = Changed::new(Invite::of(app, done.value), done.revision);
    Reply::json_of(&record).header("etag", etag)
}

/// The token in a body. An invalid one is treated like an unknown one.
pub(super) fn token(form: &mut JsonBody) -> Option<String> {
    form.required("token", |text| Ok::<_, Failure>(text.to_owned()))
}

/// The password in a body; the rules are in the services.
pub(super) fn password(form: &mut JsonBody, name: &'static str) -> Option<String> {
    form.required(name, |text| Ok::<_, Failure>(text.to_owned()))
}

pub(super) async fn inspect(call: &mut ApiRequest<'_>) -> ApiResult {
    call.done()?;
    let mut form = call.form().await?;
    let token = token(&mut form);
    let token = form.done(token)?;
    let inspected = invites::inspect(call.app, &token).await?;
    Ok(Reply::json_of(&InvitePreview::of(call.app, inspected)))
}

pub(super) async fn accept(call: &mut ApiRequest<'_>) -> ApiResult {
    call.done()?;
    let mut form = call.form().await?;
    let given = token(&mut form).zip(password(&mut form, "password"));
    let (token, password) = form.done(given)?;
    let joined = invites::accept(call.app, &token, &password).await?;
    Ok(Reply::json_of(&Changed::<Member>::from(joined)).status(super::CREATED))
}

pub(super) async fn want(call: &mut ApiRequest<'_>) -> ApiResult {
    call.done()?;
    let mut form = call.form().await?;
    let token = token(&mut form);
    let token = form.done(token)?;
    invites::request_new_link(call.app, &token).await?;
    Ok(Reply::json(r#"{"state":"requested"}"#).status(super::ACCEPTED))
}
