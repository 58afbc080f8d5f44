//! Who can do an action, and what a member can do, each with the policies that allow it.
//!
//! Both pages are a form with its answer below. A resource without an account is taken to be in the
//! viewer's account.

use askama::Template;

use super::member;
use super::page_layout::{PageLayout, page};
use super::page_request::{CurrentUser, PageRequest, PageResult};
use super::page_urls::{LocalPath, member_path};
use super::policies::SECTION;
use super::policies_try::said;
use super::roles::title;
use super::texts as w;
use crate::domain::{Failure, Kind, Member, MemberId, limits};
use crate::engine::Snapshot;
use crate::services::accounts;
use crate::services::who_may::{self, MemberActions, NamedResource, PageRequested, Permitted};
use crate::store::Page;

/// The page about an action.
const WHO: &str = "/policies/who-may";

/// A member or an action.
struct PermittedRow {
    name: String,
    /// What else is shown of a member.
    member: Option<PermittedMember>,
    why: String,
    /// The decision with the text of its policies, for who may see them.
    tried: Option<String>,
}

struct PermittedMember {
    path: String,
    email: String,
    role: String,
}

/// The results of one page.
struct FoundRows {
    rows: Vec<PermittedRow>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "console/templates/who_may.html", config = ".askama.toml")]
struct WhoMayPage<'p> {
    shell: PageLayout<'p>,
    /// Paths and labels of the pages above.
    above: Vec<(String, String)>,
    about: &'static str,
    path: String,
    /// Name and label; empty where a member is asked about.
    actions: Vec<(String, String)>,
    action: String,
    resource: String,
    resource_hint: String,
    wrong: Option<String>,
    found: Option<FoundRows>,
}

impl WhoMayPage<'_> {
    /// The page with an answer, or with what is wrong with the question.
    fn answered(mut self, live: &Snapshot, found: Result<FoundRows, Failure>) -> PageResult {
        match found {
            Ok(found) => self.found = Some(found),
            Err(failure) if failure.kind == Kind::Invalid => {
                self.wrong = Some(wrong(live, &failure));
            }
            Err(failure) => return Err(failure),
        }
        let reply = page(&self);
        Ok(if self.wrong.is_some() { reply.status(400) } else { reply })
    }
}

pub(super) async fn who(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    accounts::show(call.app, viewer.caller()).await?;
    let live = call.app.policies.load_full();
    let in_words = |name: String| {
        let words = w::action(live.type_titles(), &name);
        (name, words)
    };
    let shown = WhoMayPage {
        shell: PageLayout::inside(call, &viewer, w::WHO_CAN, SECTION),
        above: vec![(SECTION.to_owned(), w::POLICIES.to_owned())],
        about: w::WHO_CAN_WHY,
        path: WHO.to_owned(),
        actions: live.actions().into_iter().map(in_words).collect(),
        action: call.parameter("action"),
        resource: call.parameter("resource"),
        resource_hint: w::optional_resource_hint(&live.resource_types(None)),
        wrong: None,
        found: None,
    };
    if shown.action.is_empty() {
        return Ok(page(&shown));
    }
    let found = members(call, &viewer, &live, &shown.action).await;
    shown.answered(&live, found)
}

async fn members(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    live: &Snapshot,
    action: &str,
) -> Result<FoundRows, Failure> {
    let resource = resource(call)?;
    let on = resource.clone().unwrap_or_else(|| NamedResource::account(&viewer.account.slug));
    let asked = (action, resource, asked_page(call));
    let Page { items, next } =
        who_may::who_may(call.app, viewer.caller(), asked.0, asked.1, asked.2).await?;
    let row = |Permitted { what, policies, .. }: Permitted<Member>| PermittedRow {
        name: what.full_name(),
        member: Some(PermittedMember {
            path: member_path(&what.id, ""),
            email: what.email.to_string(),
            role: title(live, &what.role),
        }),
        why: w::allowed_by(&policies),
        tried: tried(viewer, (what.id.as_str(), action, &on)),
    };
    let next = next.map(|next| next_page(call, WHO, &next));
    Ok(FoundRows { rows: items.into_iter().map(row).collect(), next })
}

pub(super) async fn what(call: &mut PageRequest<'_>) -> PageResult {
    let (viewer, member) = member::found(call).await?;
    let live = call.app.policies.load_full();
    let name = member.full_name();
    let shown = WhoMayPage {
        shell: PageLayout::inside(call, &viewer, w::may_do(&name), "/team"),
        above: vec![("/team".to_owned(), w::TEAM.to_owned()), (member_path(&member.id, ""), name)],
        about: w::WHAT_CAN_WHY,
        path: member_path(&member.id, "/what-may"),
        actions: Vec::new(),
        action: String::new(),
        resource: call.parameter("resource"),
        resource_hint: w::optional_resource_hint(&live.resource_types(None)),
        wrong: None,
        found: None,
    };
    let found = actions(call, &viewer, &live, &member.id).await;
    shown.answered(&live, found)
}

async fn actions(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    live: &Snapshot,
    id: &MemberId,
) -> Result<FoundRows, Failure> {
    let (resource, asked) = (resource(call)?, asked_page(call));
    let MemberActions { resource, page } =
        who_may::what_may(call.app, viewer.caller(), id, resource, asked).await?;
    let row = |Permitted { what, policies, .. }: Permitted<String>| PermittedRow {
        name: w::action(live.type_titles(), &what),
        member: None,
        why: w::allowed_by(&policies),
        tried: tried(viewer, (id.as_str(), &what, &resource)),
    };
    let path = member_path(id, "/what-may");
    let next = page.next.map(|next| next_page(call, &path, &next));
    Ok(FoundRows { rows: page.items.into_iter().map(row).collect(), next })
}

/// The resource of the form, if one is named.
fn resource(call: &PageRequest<'_>) -> Result<Option<NamedResource>, Failure> {
    let text = call.parameter("resource");
    (!text.trim().is_empty()).then(|| NamedResource::parse(&text)).transpose()
}

/// What is wrong with a question, as a sentence of the page.
fn wrong(live: &Snapshot, failure: &Failure) -> String {
    let is_cursor = failure.fields.iter().any(|(field, _)| field == "after");
    match failure.code {
        who_may::ATTRIBUTES_NEEDED => w::refusal(failure),
        who_may::NO_RESOURCE => w::RESOURCE_WRONG.to_owned(),
        _ if is_cursor => w::LIST_IS_OLD.to_owned(),
        _ => said(live, &failure.public),
    }
}

fn asked_page(call: &PageRequest<'_>) -> PageRequested {
    let after = Some(call.parameter("after")).filter(|after| !after.is_empty());
    PageRequested { after, limit: limits::EXPLAINED_ITEMS_MAX }
}

/// The same question, from another place on.
fn next_page(call: &PageRequest<'_>, path: &str, next: &str) -> String {
    let path = LocalPath::at(path).with("action", &call.parameter("action"));
    path.with("resource", &call.parameter("resource")).with("after", next).path()
}

/// The page that shows the text of the policies, for who may see it.
fn tried(
    viewer: &CurrentUser,
    (member, action, resource): (&str, &str, &NamedResource),
) -> Option<String> {
    let path = LocalPath::at("/policies/try").with("member", member).with("action", action);
    let path = path.with("resource", &resource.to_string()).path();
    viewer.rights.view_settings.then_some(path)
}
