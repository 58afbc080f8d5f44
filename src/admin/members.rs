//! `/members`: list, show, create, edit, suspend, restore and remove members, one or several; their
//! sessions and permissions.
//!
//! An edit must carry the version that it is based on (`if-match`); for the other changes this is
//! optional.

use super::api_request::{ApiRequest, ApiResult};
use super::fleet::WaitForAll;
use super::if_match::tag;
use super::json_body::JsonBody;
use super::query_params::QueryParams;
use super::response_documents::{
    self, BulkItemOutcome, Changed, EndedSessions, List, SeveralChanged,
};
use super::{response_documents::RemovalReceipt, roles};
use crate::app::App;
use crate::domain::{Email, Failure, Member, MemberId, Name, RoleId, Status, Version, limits};
use crate::http::Reply;
use crate::services::bulk_member_changes::MemberChange;
use crate::services::caller::Caller;
use crate::services::fleet_status::SeenBy;
use crate::services::members::{self, ChosenMember, NewMember};
use crate::services::sessions;
use crate::store::member_pages::{MemberOrder, MemberTableQuery};
use crate::store::requests_and_views::personal_data::MemberWithSignIn;
use crate::store::{Committed, MemberEdit, MemberFilter, Page};

pub(super) async fn list(call: &mut ApiRequest<'_>) -> ApiResult {
    let wanted = MemberListQuery::read(&mut call.params);
    let caller = call.caller().await?;
    let page = wanted.page(call.app, caller).await?;
    Ok(Reply::json_of(&List::<response_documents::MemberWithSignIn>::from(page)))
}

struct MemberListQuery {
    query: MemberTableQuery,
    email: Option<Email>,
}

impl MemberListQuery {
    fn read(params: &mut QueryParams) -> Self {
        let filter = MemberFilter {
            search: params.text("search"),
            roles: params.read_as("role", RoleId::parse).into_iter().collect(),
            status: params.one_of("status", &STATUSES),
            two_step: params.one_of("two_step", &TWO_STEP),
        };
        let email = params.read_as("email", Email::parse);
        if email.is_some() && filter != MemberFilter::default() {
            let reason =
                "`email` finds one member: leave `search`, `role`, `status` and `two_step` out";
            params.fault("email", reason.to_owned());
        }
        let (order, descending) = params.one_of("sort", &SORTS).unwrap_or_default();
        let (after, limit) = (params.text("after"), params.limit());
        Self {
            query: MemberTableQuery { filter, order, descending, after, before: None, limit },
            email,
        }
    }

    async fn page(&self, app: &App, caller: Caller) -> Result<Page<MemberWithSignIn>, Failure> {
        let MemberTableQuery { filter, order, descending, after, limit, .. } = &self.query;
        let page = match (&self.email, order, descending) {
            (Some(email), _, _) => {
                let found = members::by_email(app, caller, email).await?;
                Page { items: found.into_iter().collect(), next: None }
            }
            // This order has an index.
            (None, MemberOrder::Email, false) => {
                members::list(app, caller, filter, after.as_deref(), *limit).await?
            }
            (None, _, _) => {
                let roster = members::roster(app, caller, &self.query).await?;
                return Ok(Page { items: roster.items, next: roster.next });
            }
        };
        members::with_last_sign_in(app, page).await
    }
}

/// The sort orders; `-` reverses one.
pub(super) const SORTS: [(&str, (MemberOrder, bool)); 10] = [
    ("email", (MemberOrder::Email, false)),
    ("-email", (MemberOrder::Email, true)),
    ("name", (MemberOrder::Name, false)),
    ("-name", (MemberOrder::Name, true)),
    ("role", (MemberOrder::Role, false)),
    ("-role", (MemberOrder::Role, true)),
    ("signed_in", (MemberOrder::SignedIn, false)),
    ("-signed_in", (MemberOrder::SignedIn, true)),
    ("joined", (MemberOrder::Joined, false)),
    ("-joined", (MemberOrder::Joined, true)),
];

pub(super) const TWO_STEP: [(&str, bool); 2] = [("true", true), ("false", false)];

pub(super) const STATUSES: [(&str, Status); 2] =
    [(Status::Active.as_str(), Status::Active), (Status::Suspended.as_str(), Status::Suspended)];

pub(super) async fn create(call: &mut ApiRequest<'_>) -> ApiResult {
    let caller = call.caller().await?;
    let new = new_member(call.form().await?)?;
    let made = members::create(call.app, caller, new).await?;
    Ok(changed(made).status(super::CREATED))
}

fn new_member(mut form: JsonBody) -> Result<NewMember, Failure> {
    let id = form.optional("id", MemberId::parse);
    let first_name = form.required("first_name", |text| Name::parse("first_name", text));
    let last_name = form.required("last_name", Name::last);
    let email = form.required("email", Email::parse);
    let role = form.required("role", RoleId::parse);
    let new = first_name.zip(last_name).zip(email).zip(role);
    form.done(new.map(|(((first_name, last_name), email), role)| NewMember {
        id,
        email,
        first_name,
        last_name,
        role,
    }))
}

pub(super) async fn show(call: &mut ApiRequest<'_>) -> ApiResult {
    let id = call.member_id()?;
    let caller = call.caller().await?;
    let member = members::show(call.app, caller, &id).await?;
    let etag = tag(member.version);
    let member = members::with_last_sign_in_of(call.app, member).await?;
    Ok(Reply::json_of(&response_documents::MemberWithSignIn::from(member)).header("etag", etag))
}

pub(super) async fn edit(call: &mut ApiRequest<'_>) -> ApiResult {
    let chosen = ChosenMember { id: call.member_id()?, expected: call.demanded()? };
    let wait = WaitForAll::of(call);
    let caller = call.caller().await?;
    let edit = member_edit(call.form().await?)?;
    let edited = members::edit(call.app, caller, chosen, edit).await?;
    let seen = wait.seen(call).await;
    Ok(changed_and_seen(edited, seen))
}

fn member_edit(mut form: JsonBody) -> Result<MemberEdit, Failure> {
    let edit = MemberEdit {
        first_name: form.optional("first_name", |text| Name::parse("first_name", text)),
        last_name: form.optional("last_name", Name::last),
        email: form.optional("email", Email::parse),
        role: form.optional("role", RoleId::parse),
        ..MemberEdit::default()
    };
    let changes = edit.first_name.is_some()
        || edit.last_name.is_some()
        || edit.email.is_some()
        || edit.role.is_some();
    form.changing(edit, changes)
}

pub(super) async fn suspend(call: &mut ApiRequest<'_>) -> ApiResult {
    let wait = WaitForAll::of(call);
    let (caller, chosen) = chosen(call).await?;
    let suspended = members::suspend(call.app, caller, chosen).await?;
    let seen = wait.seen(call).await;
    Ok(changed_and_seen(suspended, seen))
}

pub(super) async fn restore(call: &mut ApiRequest<'_>) -> ApiResult {
    let (caller, chosen) = chosen(call).await?;
    members::restore(call.app, caller, chosen).await.map(changed)
}

pub(super) async fn remove(call: &mut ApiRequest<'_>) -> ApiResult {
    let wait = WaitForAll::of(call);
    let (caller, chosen) = chosen(call).await?;
    let removed = members::remove(call.app, caller, chosen).await?;
    let seen = wait.seen(call).await;
    Ok(Reply::json_of(&Changed::<RemovalReceipt>::from(removed).seen(seen)))
}

pub(super) async fn end_sessions(call: &mut ApiRequest<'_>) -> ApiResult {
    let wait = WaitForAll::of(call);
    let (caller, chosen) = chosen(call).await?;
    let id = chosen.id.clone();
    let ended = sessions::end_of_member(call.app, caller, chosen).await?;
    let seen = wait.seen(call).await;
    Ok(Reply::json_of(&EndedSessions::of_member(&id, &ended).seen(seen)))
}

/// The target of a call, and its version, if given.
pub(super) async fn chosen(call: &mut ApiRequest<'_>) -> Result<(Caller, ChosenMember), Failure> {
    let chosen = ChosenMember { id: call.member_id()?, expected: call.expected()? };
    Ok((call.caller().await?, chosen))
}

pub(super) async fn sessions(call: &mut ApiRequest<'_>) -> ApiResult {
    let id = call.member_id()?;
    let caller = call.caller().await?;
    // Marks the current session, for an administrator who views the own sessions.
    let current = match &caller {
        Caller::Member(signed_in) => Some(signed_in.session().clone()),
        Caller::Sidecar { .. } | Caller::Token(_) => None,
    };
    let found = sessions::of_member(call.app, caller, &id).await?;
    Ok(Reply::json_of(&response_documents::Session::list(call.app, found, current.as_ref())))
}

pub(super) async fn permissions(call: &mut ApiRequest<'_>) -> ApiResult {
    let id = call.member_id()?;
    let caller = call.caller().await?;
    let member = members::show(call.app, caller, &id).await?;
    roles::permissions(call.app, &member).await
}

/// The words for the changes that can be made to several members; a change of the role names it too.
const CHANGES: [(&str, Option<MemberChange>); 5] = [
    ("suspend", Some(MemberChange::Suspend)),
    ("restore", Some(MemberChange::Restore)),
    ("remove", Some(MemberChange::Remove)),
    ("end_sessions", Some(MemberChange::EndSessions)),
    ("role", None),
];

pub(super) async fn change_several(call: &mut ApiRequest<'_>) -> ApiResult {
    let wait = WaitForAll::of(call);
    let caller = call.caller().await?;
    let mut form = call.form().await?;
    let items = form.items("items", limits::BULK_ITEMS_MAX, one_of_several);
    let mut outcomes = Vec::new();
    // One after the other, each in its own transaction: a refusal of one does not affect the next.
    for (chosen, change) in form.done(items)? {
        let id = chosen.id.clone();
        let done = change.apply(call.app, caller.clone(), chosen).await;
        outcomes.push(BulkItemOutcome::of_member(&id, done));
    }
    // Once for all of them.
    let seen = wait.seen(call).await;
    Ok(Reply::json_of(&SeveralChanged::new(outcomes, seen)))
}

fn one_of_several(form: &mut JsonBody) -> Option<(ChosenMember, MemberChange)> {
    let id = form.required("id", MemberId::parse);
    let change = match form.word("do", &CHANGES) {
        Some(None) => form.required("role", RoleId::parse).map(MemberChange::Role),
        change => change.flatten(),
    };
    let expected = form.whole("version", 0..=limits::JSON_WHOLE_MAX).map(Version);
    let (id, change) = id.zip(change)?;
    Some((ChosenMember { id, expected }, change))
}

fn changed(member: Committed<Member>) -> Reply {
    changed_and_seen(member, None)
}

fn changed_and_seen(member: Committed<Member>, seen: Option<SeenBy>) -> Reply {
    let etag = tag(member.value.version);
    Reply::json_of(&Changed::<response_documents::Member>::from(member).seen(seen))
        .header("etag", etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(body: &str) -> Result<MemberEdit, Failure> {
        member_edit(JsonBody::parse(body.as_bytes()).unwrap())
    }

    #[test]
    fn an_edit_changes_what_it_names_and_nothing_else() {
        let edited = edit(r#"{"role":"writer"}"#).unwrap();
        assert_eq!(edited.role.unwrap().as_str(), "writer");
        assert!(edited.first_name.is_none() && edited.last_name.is_none());
        assert!(edited.email.is_none());
        let nothing = edit("{}").unwrap_err();
        assert_eq!(nothing.code, "no_change");
        assert!(nothing.public.contains("`first_name`, `last_name`, `email`, `role`"), "{nothing}");
    }

    #[test]
    fn an_edit_cannot_touch_what_has_a_call_of_its_own() {
        for body in [r#"{"status":"active"}"#, r#"{"account":"b"}"#, r#"{"version":"9"}"#] {
            assert!(edit(body).unwrap_err().public.contains("there is no field"), "{body}");
        }
    }

    #[test]
    fn a_new_member_needs_all_but_the_id() {
        let body =
            br#"{"first_name":"Ann","last_name":"Lee","email":"ann@example.org","role":"w"}"#;
        let new = new_member(JsonBody::parse(body).unwrap()).unwrap();
        assert_eq!((new.id, new.role.as_str()), (None, "w"));
        let failure = new_member(JsonBody::parse(br#"{"id":"a b"}"#).unwrap()).unwrap_err();
        let names: Vec<&str> = failure.fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["id", "first_name", "last_name", "email", "role"]);
    }

    #[test]
    fn only_a_change_of_role_takes_a_role() {
        let read = |body: &str| {
            let mut form = JsonBody::parse(body.as_bytes()).unwrap();
            let read = one_of_several(&mut form);
            form.done(read).map(|(_, change)| change)
        };
        let role = RoleId::parse("w").unwrap();
        assert_eq!(read(r#"{"id":"a","do":"role","role":"w"}"#), Ok(MemberChange::Role(role)));
        assert_eq!(read(r#"{"id":"a","do":"suspend","version":3}"#), Ok(MemberChange::Suspend));
        for body in [
            r#"{"id":"a","do":"role"}"#,
            r#"{"id":"a","do":"suspend","role":"w"}"#,
            r#"{"id":"a","do":"fly"}"#,
            r#"{"do":"suspend"}"#,
        ] {
            assert!(read(body).is_err(), "{body}");
        }
    }
}
