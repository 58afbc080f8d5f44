//! `/members`: list, show, create, edit, suspend, restore, remove.
//!
//! An edit must say which version it was made of; the rest may.

use std::sync::Arc;

use super::form::Form;
use super::precondition::{Precondition, tag};
use super::query::Params;
use super::wire::{self, Changed, List};
use super::{Call, Request};
use crate::app::App;
use crate::domain::{Email, Failure, Kind, Member, MemberId, Name, RoleId, Status};
use crate::flows::members::{self, Chosen, NewMember};
use crate::flows::permit::Permit;
use crate::http::Reply;
use crate::store::{Committed, MemberEdit, MemberFilter, Page};

pub(super) async fn list(mut call: Call<'_>) -> Result<Reply, Failure> {
    let app = call.app;
    let wanted = Wanted::read(&mut call.params);
    let permit = call.permit().await?;
    let page = wanted.page(app, &permit).await?;
    Ok(Reply::json_of(&List::<wire::Member>::from(page)))
}

/// Which members a list asks for.
struct Wanted {
    filter: MemberFilter,
    email: Option<Email>,
    after: Option<String>,
    limit: usize,
}

impl Wanted {
    fn read(params: &mut Params) -> Self {
        let filter = MemberFilter {
            search: params.text("search"),
            role: params.read_as("role", RoleId::parse),
            status: params.one_of("status", &STATUSES),
        };
        let email = params.read_as("email", Email::parse);
        let filtered = filter.search.is_some() || filter.role.is_some() || filter.status.is_some();
        if email.is_some() && filtered {
            let reason = "`email` finds one member: leave `search`, `role` and `status` out";
            params.fault("email", reason.to_owned());
        }
        // Lists are in one order so far; a caller that names it gets no surprise later.
        params.one_of("sort", &[("email", ())]);
        Self { filter, email, after: params.text("after"), limit: params.limit() }
    }

    async fn page(&self, app: &App, permit: &Permit) -> Result<Page<Member>, Failure> {
        match &self.email {
            Some(email) => {
                let found = members::by_email(app, permit, email).await?;
                Ok(Page { items: found.into_iter().collect(), next: None })
            }
            None => {
                members::list(app, permit, &self.filter, self.after.as_deref(), self.limit).await
            }
        }
    }
}

const STATUSES: [(&str, Status); 2] =
    [(Status::Active.as_str(), Status::Active), (Status::Suspended.as_str(), Status::Suspended)];

pub(super) async fn create(call: Call<'_>, request: &mut Request) -> Result<Reply, Failure> {
    let app = call.app;
    let permit = call.permit().await?;
    let new = new_member(Form::read(request).await?)?;
    let made = members::create(app, permit, new).await?;
    Ok(changed(made).status(super::CREATED))
}

fn new_member(mut form: Form) -> Result<NewMember, Failure> {
    let id = form.optional("id", MemberId::parse);
    let first_name = form.required("first_name", |text| Name::parse("first_name", text));
    let last_name = form.required("last_name", |text| Name::parse("last_name", text));
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

pub(super) async fn show(call: Call<'_>, id: MemberId) -> Result<Reply, Failure> {
    let app = call.app;
    let permit = call.permit().await?;
    let member = members::show(app, &permit, &id).await?;
    let etag = tag(member.version);
    Ok(Reply::json_of(&wire::Member::from(member)).header("etag", etag))
}

pub(super) async fn edit(
    call: Call<'_>,
    request: &mut Request,
    id: MemberId,
) -> Result<Reply, Failure> {
    let app = call.app;
    let permit = call.permit().await?;
    let expected = Precondition::read(request.sole_header("if-match"))?.demanded()?;
    let edit = member_edit(Form::read(request).await?)?;
    members::edit(app, permit, Chosen { id, expected }, edit).await.map(changed)
}

fn member_edit(mut form: Form) -> Result<MemberEdit, Failure> {
    let edit = MemberEdit {
        first_name: form.optional("first_name", |text| Name::parse("first_name", text)),
        last_name: form.optional("last_name", |text| Name::parse("last_name", text)),
        email: form.optional("email", Email::parse),
        role: form.optional("role", RoleId::parse),
    };
    let edit = form.done(Some(edit))?;
    let nothing = edit.first_name.is_none()
        && edit.last_name.is_none()
        && edit.email.is_none()
        && edit.role.is_none();
    if nothing {
        return Err(Failure::new(
            Kind::Invalid,
            "no_change",
            "the body changes nothing: give `first_name`, `last_name`, `email` or `role`",
        ));
    }
    Ok(edit)
}

pub(super) async fn suspend(
    call: Call<'_>,
    request: &Request,
    id: MemberId,
) -> Result<Reply, Failure> {
    let (app, permit, chosen) = chosen(call, request, id).await?;
    members::suspend(app, permit, chosen).await.map(changed)
}

pub(super) async fn restore(
    call: Call<'_>,
    request: &Request,
    id: MemberId,
) -> Result<Reply, Failure> {
    let (app, permit, chosen) = chosen(call, request, id).await?;
    members::restore(app, permit, chosen).await.map(changed)
}

pub(super) async fn remove(
    call: Call<'_>,
    request: &Request,
    id: MemberId,
) -> Result<Reply, Failure> {
    let (app, permit, chosen) = chosen(call, request, id).await?;
    let removed = members::remove(app, permit, chosen).await?;
    Ok(Reply::json_of(&Changed::<wire::Receipt>::from(removed)))
}

/// `If-Match` is honoured when sent: who removes or suspends in haste need not read first.
async fn chosen<'a>(
    call: Call<'a>,
    request: &Request,
    id: MemberId,
) -> Result<(&'a Arc<App>, Permit, Chosen), Failure> {
    let app = call.app;
    let expected = Precondition::read(request.sole_header("if-match"))?.expected();
    let permit = call.permit().await?;
    Ok((app, permit, Chosen { id, expected }))
}

fn changed(member: Committed<Member>) -> Reply {
    let etag = tag(member.value.version);
    Reply::json_of(&Changed::<wire::Member>::from(member)).header("etag", etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(body: &str) -> Result<MemberEdit, Failure> {
        member_edit(Form::parse(body.as_bytes()).unwrap())
    }

    #[test]
    fn an_edit_changes_what_it_names_and_nothing_else() {
        let edited = edit(r#"{"role":"writer"}"#).unwrap();
        assert_eq!(edited.role.unwrap().as_str(), "writer");
        assert!(edited.first_name.is_none() && edited.last_name.is_none());
        assert!(edited.email.is_none());
        assert_eq!(edit("{}").unwrap_err().code, "no_change");
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
        let new = new_member(Form::parse(body).unwrap()).unwrap();
        assert_eq!((new.id, new.role.as_str()), (None, "w"));
        let failure = new_member(Form::parse(br#"{"id":"a b"}"#).unwrap()).unwrap_err();
        let names: Vec<&str> = failure.fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["id", "first_name", "last_name", "email", "role"]);
    }
}
