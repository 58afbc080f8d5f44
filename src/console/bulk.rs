//! Bulk changes of members: a confirmation with the consequences, changes one by one, and a result
//! for each.

use askama::Template;

use super::call::{Answer, Call};
use super::form::Form;
use super::place::BACK;
use super::sheet::{Input, Part, Select, Sheet, kind};
use super::shell::{Shell, page};
use super::viewer::Viewer;
use super::words as w;
use crate::domain::{Failure, Kind, Member, MemberId, RoleId, limits};
use crate::flows::members::{self, Chosen};
use crate::store::MemberEdit;

/// The default list to return to.
const TEAM: &str = "/team";

#[derive(Clone, Copy)]
enum Change {
    Role,
    Suspend,
    Remove,
}

impl Change {
    fn parse(text: &str) -> Result<Self, Failure> {
        match text {
            "role" => Ok(Self::Role),
            "suspend" => Ok(Self::Suspend),
            "remove" => Ok(Self::Remove),
            _ => Err(Failure::new(Kind::NotFound, "unknown_path", w::NOT_FOUND_WHY)),
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::Suspend => "suspend",
            Self::Remove => "remove",
        }
    }
}

/// The result for one member.
struct Outcome {
    name: String,
    /// Why it was not done; `None` if it was.
    why: Option<String>,
}

#[derive(Template)]
#[template(path = "console/templates/outcomes.html", config = ".askama.toml")]
struct Outcomes<'p> {
    shell: Shell<'p>,
    outcomes: Vec<Outcome>,
    back: String,
}

/// The selected members, in order.
async fn chosen(
    call: &Call<'_>,
    viewer: &Viewer,
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

pub(super) async fn ask(call: &mut Call<'_>) -> Answer {
    let viewer = call.viewer().await?;
    let change = Change::parse(&call.parameter("do"))?;
    let may = match change {
        Change::Role => viewer.rights.edit && !viewer.rights.gives.is_empty(),
        Change::Suspend => viewer.rights.edit,
        Change::Remove => viewer.rights.remove,
    };
    if !may {
        return Err(Failure::new(Kind::Denied, "not_allowed", w::CANNOT_CHANGE_MEMBERS));
    }
    let chosen = chosen(call, &viewer, call.parameters("id").into_iter()).await?;
    let form = Form::filled(&[(BACK, &call.back(TEAM))]);
    Ok(sheet(call, &viewer, change, &chosen, &form).page())
}

fn sheet<'p>(
    call: &Call<'_>,
    viewer: &'p Viewer,
    change: Change,
    all: &[Member],
    form: &Form,
) -> Sheet<'p> {
    let (title, line) = match change {
        Change::Role => w::ask_roles(all.len()),
        Change::Suspend => w::ask_suspend_several(all.len()),
        Change::Remove => w::ask_remove_several(all.len()),
    };
    let shell = Shell::inside(call, viewer, title.clone(), "/team");
    let names = all.iter().map(Member::full_name).collect();
    let sheet = Sheet::new(shell, "/team/bulk", title)
        .line(line)
        .hidden("do", change.as_str())
        .part(Part::List { title: w::MEMBERS.to_owned(), items: names })
        .leads_back(form.back(TEAM));
    let sheet = all.iter().fold(sheet, |sheet, member| sheet.hidden("id", member.id.as_str()));
    match change {
        Change::Role => sheet.part(Part::Select(roles(call, viewer))),
        Change::Suspend => sheet.danger(),
        Change::Remove => {
            let input = Input::new("count", w::type_count(all.len()), kind::NUMBER);
            sheet.danger().input(input.value(form.text("count")))
        }
    }
}

fn roles(call: &Call<'_>, viewer: &Viewer) -> Select {
    let live = call.app.policies.load();
    let given = live.roles().iter().filter(|card| viewer.rights.gives.contains(&card.id));
    let given = given.map(|card| (card.id.to_string(), card.title.clone()));
    let none = (String::new(), w::CHOOSE_A_ROLE.to_owned());
    let options = std::iter::once(none).chain(given).collect();
    Select { name: "role", label: w::ROLE.to_owned(), options, chosen: String::new(), wrong: None }
}

pub(super) async fn done(call: &mut Call<'_>) -> Answer {
    let form = call.form().await?;
    let viewer = call.viewer().await?;
    let change = Change::parse(form.text("do"))?;
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
        outcomes.push(Outcome { name, why: done.err().map(|failure| w::refusal(&failure)) });
    }
    let shell = Shell::inside(call, &viewer, w::WHAT_WAS_DONE, "/team");
    Ok(page(&Outcomes { shell: shell.narrow(), outcomes, back }))
}

/// Whether the confirmation for so many is correct.
fn confirmed(change: Change, form: &Form, count: usize) -> Result<(), Failure> {
    match change {
        Change::Role if form.text("role").is_empty() => {
            Err(Failure::invalid("role", w::CHOOSE_ROLE))
        }
        Change::Remove if form.text("count").trim() != count.to_string() => {
            Err(Failure::invalid("count", w::type_count(count)))
        }
        _ => Ok(()),
    }
}

async fn act(
    call: &Call<'_>,
    viewer: &Viewer,
    change: Change,
    member: Member,
    form: &Form,
) -> Result<(), Failure> {
    let chosen = Chosen { id: member.id, expected: Some(member.version) };
    match change {
        Change::Role => {
            let role = Some(RoleId::parse(form.text("role"))?);
            let edit = MemberEdit { role, ..MemberEdit::default() };
            members::edit(call.app, viewer.caller(), chosen, edit).await.map(drop)
        }
        Change::Suspend => members::suspend(call.app, viewer.caller(), chosen).await.map(drop),
        Change::Remove => members::remove(call.app, viewer.caller(), chosen).await.map(drop),
    }
}
