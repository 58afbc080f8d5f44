//! Bulk changes of members: a confirmation with the consequences, changes one by one, and a result
//! for each.

use askama::Template;

use super::form_page::{FormPage, FormPart, Input, kind, role_select};
use super::page_layout::{PageLayout, page, unknown_path};
use super::page_request::{CurrentUser, FormBody, PageRequest, PageResult};
use super::page_urls::BACK;
use super::texts as w;
use crate::domain::{Failure, Member, MemberId, RoleId, limits};
use crate::services::bulk_member_changes::MemberChange;
use crate::services::members::{self, ChosenMember};

/// The default list to return to.
const TEAM: &str = "/team";

#[derive(Clone, Copy)]
enum BulkAction {
    Role,
    Suspend,
    Remove,
}

impl BulkAction {
    fn parse(text: &str) -> Result<Self, Failure> {
        match text {
            "role" => Ok(Self::Role),
            "suspend" => Ok(Self::Suspend),
            "remove" => Ok(Self::Remove),
            _ => Err(unknown_path()),
        }
    }
}

/// The result for one member.
struct BulkOutcome {
    name: String,
    /// Why it was not done; `None` if it was.
    why: Option<String>,
}

#[derive(Template)]
#[template(path = "console/templates/outcomes.html", config = ".askama.toml")]
struct BulkOutcomesPage<'p> {
    shell: PageLayout<'p>,
    outcomes: Vec<BulkOutcome>,
    back: String,
}

/// The selected members, in order.
async fn chosen(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    ids: impl Iterator<Item = String>,
) -> Result<Vec<Member>, Failure> {
    let mut all = Vec::new();
    for id in ids {
        if all.len() == limits::BULK_ITEMS_MAX {
            return Err(Failure::invalid("id", w::so_many_ticked(limits::BULK_ITEMS_MAX)));
        }
        let id = MemberId::parse(&id).map_err(|_| members::unknown())?;
        all.push(members::show(call.app, viewer.caller(), &id).await?);
    }
    if all.is_empty() {
        return Err(Failure::invalid("id", w::TICK_SOME));
    }
    Ok(all)
}

pub(super) async fn ask(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let change = BulkAction::parse(&call.parameter("do"))?;
    let may = match change {
        BulkAction::Role => viewer.rights.may_change_roles(),
        BulkAction::Suspend => viewer.rights.edit,
        BulkAction::Remove => viewer.rights.remove,
    };
    if !may {
        return Err(Failure::not_allowed(w::CANNOT_CHANGE_MEMBERS));
    }
    let chosen = chosen(call, &viewer, call.parameters("id").into_iter()).await?;
    let form = FormBody::filled(&[("do", &call.parameter("do")), (BACK, &call.back(TEAM))]);
    Ok(sheet(call, &viewer, change, &chosen, &form).page())
}

fn sheet<'p>(
    call: &PageRequest<'_>,
    viewer: &'p CurrentUser,
    change: BulkAction,
    all: &[Member],
    form: &FormBody,
) -> FormPage<'p> {
    let (title, line) = match change {
        BulkAction::Role => w::ask_roles(all.len()),
        BulkAction::Suspend => w::ask_suspend_several(all.len()),
        BulkAction::Remove => w::ask_remove_several(all.len()),
    };
    let shell = PageLayout::inside(call, viewer, title.clone(), "/team");
    let names = all.iter().map(Member::full_name).collect();
    let sheet = FormPage::new(shell, "/team/bulk", title)
        .line(line)
        .hidden("do", form.text("do"))
        .part(FormPart::List { title: w::MEMBERS.to_owned(), items: names })
        .leads_back(form.back(TEAM));
    let sheet = all.iter().fold(sheet, |sheet, member| sheet.hidden("id", member.id.as_str()));
    match change {
        BulkAction::Role => sheet.part(FormPart::Select(role_select(call, viewer, ""))),
        BulkAction::Suspend => sheet.danger(),
        BulkAction::Remove => {
            let input = Input::new("count", w::type_count(all.len()), kind::NUMBER);
            sheet.danger().input(input.value(form.text("count")))
        }
    }
}

pub(super) async fn done(call: &mut PageRequest<'_>) -> PageResult {
    let form = call.form().await?;
    let viewer = call.viewer().await?;
    let change = BulkAction::parse(form.text("do"))?;
    let ids = form.texts("id").map(str::to_owned);
    let chosen = chosen(call, &viewer, ids).await?;
    let back = form.back(TEAM);
    if let Err(failure) = confirmed(change, &form, chosen.len()) {
        return Ok(sheet(call, &viewer, change, &chosen, &form).refused(&failure));
    }
    let mut outcomes = Vec::with_capacity(chosen.len());
    for member in chosen {
        let name = member.full_name();
        let done = act(call, &viewer, change, member, &form).await;
        outcomes.push(BulkOutcome { name, why: done.err().map(|failure| w::refusal(&failure)) });
    }
    let shell = PageLayout::inside(call, &viewer, w::WHAT_WAS_DONE, "/team");
    Ok(page(&BulkOutcomesPage { shell: shell.narrow(), outcomes, back }))
}

/// Whether the confirmation for so many is correct.
fn confirmed(change: BulkAction, form: &FormBody, count: usize) -> Result<(), Failure> {
    match change {
        BulkAction::Role if form.text("role").is_empty() => {
            Err(Failure::invalid("role", w::CHOOSE_ROLE))
        }
        BulkAction::Remove if form.text("count").trim() != count.to_string() => {
            Err(Failure::invalid("count", w::type_count(count)))
        }
        _ => Ok(()),
    }
}

async fn act(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    change: BulkAction,
    member: Member,
    form: &FormBody,
) -> Result<(), Failure> {
    let chosen = ChosenMember { id: member.id, expected: Some(member.version) };
    let change = match change {
        BulkAction::Role => MemberChange::Role(RoleId::parse(form.text("role"))?),
        BulkAction::Suspend => MemberChange::Suspend,
        BulkAction::Remove => MemberChange::Remove,
    };
    change.apply(call.app, viewer.caller(), chosen).await.map(drop)
}
