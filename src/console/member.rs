//! The page of one member: details, what the role allows, and all actions.
//!
//! Every action is confirmed first, on a page with its consequences; the services decide whether it is
//! allowed.

use std::collections::BTreeSet;

use askama::Template;

use super::edit_conflict::{self, of_member};
use super::form_page::{EditConflict, FormPage, FormPart, Input, kind};
use super::handed_over_link::LinkPage;
use super::page_layout::{PageLayout, not_possible, page, redirect_with_notice, unknown_path};
use super::page_request::{CurrentUser, FormBody, PageRequest, PageResult};
use super::page_urls::{self, BACK, member_path};
use super::role_picker::RolePicker;
use super::roles::title;
use super::row_actions::{ActionTarget, AvailableAction, RowAction};
use super::texts as w;
use super::timestamps::TimeLabel;
use crate::domain::{Failure, Kind, Member, MemberId, Name, RoleId, Session, Status};
use crate::engine::{Cell, Matrix, TypeTitles};
use crate::http::Reply;
use crate::services::members::{self, ChosenMember};
use crate::services::members_locked_out::{self, SignInLock};
use crate::services::rights::RightsSummary;
use crate::services::step_up::StepUpProof;
use crate::services::{passwords, roles, sessions, two_step};
use crate::store::MemberEdit;

/// The default list to return to.
const TEAM: &str = "/team";

/// A confirmed action on a member.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MemberAction {
    ResetPassword,
    ResetTwoStep,
    EndSessions,
    Suspend,
    Restore,
    Remove,
}

impl MemberAction {
    fn of(call: &PageRequest<'_>) -> Result<Self, Failure> {
        let found = CONFIRMED.iter().find(|(row, _)| row.key == call.verb);
        found.map(|(_, action)| *action).ok_or_else(unknown_path)
    }

    const fn takes_away(self) -> bool {
        matches!(self, Self::ResetTwoStep | Self::EndSessions | Self::Suspend | Self::Remove)
    }
}

/// The first letters of both names, in capitals.
pub(super) fn initials(member: &Member) -> String {
    let first = |name: &str| name.chars().next();
    let both = [first(member.first_name.as_str()), first(member.last_name.as_str())];
    both.into_iter().flatten().flat_map(char::to_uppercase).collect()
}

/// Whether the account would have no administrator without this member.
pub(super) fn is_last_administrator(administrators: &[Member], member: &Member) -> bool {
    matches!(administrators, [only] if only.id == member.id)
}

const EDIT: RowAction = RowAction::asked("edit", w::EDIT_DETAILS);
const ROLE: RowAction = RowAction::asked("role", w::CHANGE_ROLE);
const PERMISSIONS: RowAction = RowAction {
    place: ActionTarget::Part("#permissions"),
    dialog: false,
    ..RowAction::asked("permissions", w::VIEW_PERMISSIONS)
};
const RESET_PASSWORD: RowAction = RowAction::asked("reset-password", w::SEND_PASSWORD_RESET);
const RESET_TWO_STEP: RowAction = RowAction::asked("reset-two-step", w::RESET_TWO_STEP);
const END_SESSIONS: RowAction = RowAction::asked("end-sessions", w::END_SESSIONS);
const SUSPEND: RowAction = RowAction::asked("suspend", w::SUSPEND);
const RESTORE: RowAction = RowAction::asked("restore", w::RESTORE);
const REMOVE: RowAction = RowAction { danger: true, ..RowAction::asked("remove", w::REMOVE) };
const OWN_NAMES: RowAction = RowAction {
    place: ActionTarget::At("/me/names"),
    ..RowAction::asked("names", w::EDIT_DETAILS)
};
const OWN_SECURITY: RowAction = RowAction {
    place: ActionTarget::At("/me"),
    dialog: false,
    ..RowAction::asked("me", w::MY_SECURITY)
};

/// The actions that are confirmed first: the key in the menu is the end of the path.
const CONFIRMED: [(&RowAction, MemberAction); 6] = [
    (&RESET_PASSWORD, MemberAction::ResetPassword),
    (&RESET_TWO_STEP, MemberAction::ResetTwoStep),
    (&END_SESSIONS, MemberAction::EndSessions),
    (&SUSPEND, MemberAction::Suspend),
    (&RESTORE, MemberAction::Restore),
    (&REMOVE, MemberAction::Remove),
];

pub(super) static MEMBER_ACTIONS: [&RowAction; 11] = [
    &EDIT,
    &ROLE,
    &PERMISSIONS,
    &RESET_PASSWORD,
    &RESET_TWO_STEP,
    &END_SESSIONS,
    &SUSPEND,
    &RESTORE,
    &REMOVE,
    &OWN_NAMES,
    &OWN_SECURITY,
];

/// Why the state of a member rules an action out, whatever the viewer's rights.
#[derive(Clone, Copy)]
enum Blocked {
    LastAdministrator,
    Suspended,
    /// Suspended, so that nothing is left to end or to suspend.
    SignedOut,
    Active,
    NoTwoStep,
    OwnRole,
    OwnSuspension,
    OwnTwoStep,
    /// The viewer has no second factor to confirm it with.
    OwnFactorFirst,
}

impl Blocked {
    /// Why the action with this key is not possible.
    fn of(key: &str, viewer: &CurrentUser, member: &Member, last: bool) -> Option<Self> {
        let (own, suspended) = (viewer.is(member), member.status == Status::Suspended);
        match key {
            "role" if own => Some(Self::OwnRole),
            "role" | "remove" | "suspend" if last => Some(Self::LastAdministrator),
            "suspend" if own => Some(Self::OwnSuspension),
            "reset-password" if suspended => Some(Self::Suspended),
            "end-sessions" | "suspend" if suspended => Some(Self::SignedOut),
            "restore" if !suspended => Some(Self::Active),
            "reset-two-step" if own => Some(Self::OwnTwoStep),
            "reset-two-step" if !member.two_step => Some(Self::NoTwoStep),
            "reset-two-step" if !viewer.member.two_step => Some(Self::OwnFactorFirst),
            _ => None,
        }
    }

    /// In a menu; `None` where the page of the action says it.
    const fn word(self) -> Option<&'static str> {
        match self {
            Self::LastAdministrator => Some(w::LAST_ADMINISTRATOR),
            Self::Suspended => Some(w::IS_SUSPENDED),
            Self::SignedOut => Some(w::IS_SIGNED_OUT),
            Self::NoTwoStep => Some(w::TWO_STEP_IS_OFF),
            Self::Active
            | Self::OwnRole
            | Self::OwnSuspension
            | Self::OwnTwoStep
            | Self::OwnFactorFirst => None,
        }
    }

    fn page(self, call: &PageRequest<'_>, viewer: &CurrentUser, member: &Member) -> Reply {
        let (name, id) = (member.full_name(), &member.id);
        let of_member = || (member_path(id, ""), w::TO_MEMBER);
        let own = |path: &str, words| (path.to_owned(), words);
        let (why, next) = match self {
            Self::LastAdministrator => (w::is_last_administrator(&name), own("/team", w::TO_TEAM)),
            Self::Suspended => (w::is_suspended(&name), (member_path(id, "/restore"), w::RESTORE)),
            Self::SignedOut => (w::is_signed_out(&name), of_member()),
            Self::Active => (w::is_active(&name), of_member()),
            Self::NoTwoStep => (w::has_no_two_step(&name), of_member()),
            Self::OwnRole => (w::OWN_ROLE.to_owned(), of_member()),
            Self::OwnSuspension => (w::OWN_SUSPENSION.to_owned(), of_member()),
            Self::OwnTwoStep => (w::OWN_TWO_STEP.to_owned(), own("/me", w::TO_SECURITY)),
            Self::OwnFactorFirst => {
                (w::OWN_FACTOR_FIRST.to_owned(), own("/me/two-step", w::SET_UP_TWO_STEP))
            }
        };
        not_possible(PageLayout::inside(call, viewer, w::NOT_POSSIBLE, "/team"), why, next)
    }
}

/// The page in the place of the form of an action that the state of the member rules out.
async fn blocked(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    member: &Member,
    key: &str,
) -> Option<Reply> {
    let administrators = members::administrators(call.app, &viewer.account.slug).await;
    let last = is_last_administrator(&administrators, member);
    Some(Blocked::of(key, viewer, member, last)?.page(call, viewer, member))
}

/// The viewer's actions on a member, in the order of the menu; may be empty.
pub(super) fn available_actions(
    viewer: &CurrentUser,
    member: &Member,
    last: bool,
) -> Vec<AvailableAction> {
    if viewer.is(member) {
        return vec![
            AvailableAction { kind: &OWN_NAMES, why: None },
            AvailableAction { kind: &OWN_SECURITY, why: None },
        ];
    }
    let mut all = Vec::new();
    let mut add = |kind: &'static RowAction| {
        let why = Blocked::of(kind.key, viewer, member, last).and_then(Blocked::word);
        all.push(AvailableAction { kind, why });
    };
    if viewer.rights.edit {
        add(&EDIT);
        if viewer.rights.may_change_roles() {
            add(&ROLE);
        }
        add(&PERMISSIONS);
        add(&RESET_PASSWORD);
        add(&RESET_TWO_STEP);
        add(&END_SESSIONS);
        add(if member.status == Status::Suspended { &RESTORE } else { &SUSPEND });
    }
    if viewer.rights.remove {
        add(&REMOVE);
    }
    all
}

#[derive(Template)]
#[template(path = "console/templates/member.html", config = ".askama.toml")]
struct MemberPage<'p> {
    shell: PageLayout<'p>,
    member: &'p Member,
    initials: String,
    you: bool,
    role: String,
    status: w::Badge,
    /// Until when sign-in attempts are refused.
    until: Option<TimeLabel>,
    /// Why the member cannot sign in, and what to do.
    lock: Option<&'static str>,
    two_step: w::Badge,
    joined: TimeLabel,
    active: Option<TimeLabel>,
    devices: Option<String>,
    path: String,
    /// The list from which this page was opened.
    back: String,
    /// Appended to the path of each action, so that it returns here.
    leads_back: String,
    row_actions: Vec<AvailableAction>,
    can: Vec<String>,
    /// Allowed in some cases, by a policy that reads more than the role.
    depends: Vec<String>,
    cannot: Vec<String>,
}

pub(super) async fn show(call: &mut PageRequest<'_>) -> PageResult {
    let (viewer, member) = found(call).await?;
    let (live, matrix) = roles::compared(call.app).await?;
    let administrators = members::administrators(call.app, &viewer.account.slug).await;
    let seen = members::with_last_sign_in_of(call.app, member).await?;
    let member = &seen.member;
    let devices = devices(call, &viewer, member).await.map(|all| w::devices(all.len()));
    let [can, depends, cannot] = allowed(live.type_titles(), &matrix, member);
    let lock = members_locked_out::lock_of_member(call.app, viewer.caller(), member).await?;
    let (path, back) = (member_path(&member.id, ""), call.back(TEAM));
    let here =
        page_urls::LocalPath::at(&path).with(BACK, if back == TEAM { "" } else { &back }).path();
    Ok(page(&MemberPage {
        shell: PageLayout::inside(call, &viewer, member.full_name(), "/team"),
        initials: initials(member),
        you: viewer.is(member),
        role: title(&live, &member.role),
        status: lock.map_or_else(|| w::status(member.status), |_| w::locked()),
        until: match lock {
            Some(SignInLock::Until(at)) => Some(TimeLabel::exactly(at)),
            _ => None,
        },
        lock: lock.map(w::why_locked),
        two_step: w::two_step(member.two_step),
        joined: TimeLabel::exactly(member.joined),
        active: seen.signed_in.map(|at| TimeLabel::from(at, call.app.clock.now())),
        devices,
        row_actions: available_actions(
            &viewer,
            member,
            is_last_administrator(&administrators, member),
        ),
        leads_back: page_urls::LocalPath::at("").with(BACK, &here).path(),
        path,
        back,
        can,
        depends,
        cannot,
        member,
    }))
}

/// What a member may do, may do in some cases, and may not do, in words.
fn allowed(titles: &TypeTitles, matrix: &Matrix, member: &Member) -> [Vec<String>; 3] {
    let permissions = roles::permissions_of(matrix, member);
    let with = |wanted: Cell| {
        let found = permissions.iter().filter(|(.., cell)| *cell == wanted);
        found.map(|(action, ..)| *action).collect::<BTreeSet<_>>()
    };
    let (can, mut depends, mut cannot) =
        (with(Cell::Allowed), with(Cell::Depends), with(Cell::Denied));
    depends.retain(|action| !can.contains(action));
    cannot.retain(|action| !can.contains(action) && !depends.contains(action));
    [can, depends, cannot]
        .map(|actions| actions.into_iter().map(|action| w::action(titles, action)).collect())
}

fn said(titles: &TypeTitles, actions: &[String]) -> Vec<String> {
    actions.iter().map(|action| w::action(titles, action)).collect()
}

/// The member of the path, for viewers who may see the team.
pub(super) async fn found(call: &PageRequest<'_>) -> Result<(CurrentUser, Member), Failure> {
    let viewer = call.viewer().await?;
    let id = id(call)?;
    let member = members::show(call.app, viewer.caller(), &id).await?;
    Ok((viewer, member))
}

fn id(call: &PageRequest<'_>) -> Result<MemberId, Failure> {
    MemberId::parse(&call.id).map_err(|_| members::unknown())
}

/// The sessions of a member; `None` if the viewer may not see them.
async fn devices(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    member: &Member,
) -> Option<Vec<Session>> {
    sessions::of_member(call.app, viewer.caller(), &member.id).await.ok()
}

/// The member that the path names, for who may do something about it: no form is shown that is
/// refused whatever is typed.
async fn found_by(
    call: &PageRequest<'_>,
    may: impl FnOnce(&RightsSummary) -> bool,
) -> Result<(CurrentUser, Member), Failure> {
    let (viewer, member) = found(call).await?;
    if may(&viewer.rights) {
        Ok((viewer, member))
    } else {
        Err(Failure::not_allowed(w::CANNOT_CHANGE_MEMBERS))
    }
}

pub(super) async fn edit(call: &mut PageRequest<'_>) -> PageResult {
    let (viewer, member) = found_by(call, |rights| rights.edit).await?;
    let form = FormBody::filled(&[
        ("first_name", member.first_name.as_str()),
        ("last_name", member.last_name.as_str()),
        ("version", &member.version.0.to_string()),
        (BACK, &call.back(TEAM)),
    ]);
    Ok(edit_sheet(call, &viewer, &member, &form).page())
}

fn edit_sheet<'p>(
    call: &PageRequest<'_>,
    viewer: &'p CurrentUser,
    member: &Member,
    form: &FormBody,
) -> FormPage<'p> {
    let shell = PageLayout::inside(call, viewer, w::edit_of(&member.full_name()), "/team");
    FormPage::new(shell, member_path(&member.id, "/edit"), w::SAVE)
        .line(w::address_is(member.email.as_str(), call.sends_mail()))
        .hidden("version", form.text("version"))
        .names(form)
        .leads_back(form.back(TEAM))
}

pub(super) async fn edited(call: &mut PageRequest<'_>) -> PageResult {
    let form = call.form().await?;
    let (viewer, member) = found(call).await?;
    match save(call, &viewer, &form).await {
        Ok(member) => {
            Ok(redirect_with_notice(call.app, &form.back(TEAM), &w::saved(&member.full_name())))
        }
        Err(failure) if failure.kind == Kind::Stale => {
            let (member, by) = overtaken(call, &viewer, "/edit", &form).await?;
            Ok(edit_sheet(call, &viewer, &member, &form).overtaken(&failure, by))
        }
        Err(failure) => Ok(edit_sheet(call, &viewer, &member, &form).refused(&failure)),
    }
}

/// The current member, to show with a form that was overtaken.
async fn overtaken(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    rest: &str,
    form: &FormBody,
) -> Result<(Member, EditConflict), Failure> {
    let member = members::show(call.app, viewer.caller(), &id(call)?).await?;
    let current = of_member(&member, title(&call.app.policies.load(), &member.role));
    let by = edit_conflict::about(call, viewer, member.id.as_str(), member.version, current).await;
    let anew =
        page_urls::LocalPath::at(&member_path(&member.id, rest)).with(BACK, &form.back(TEAM));
    Ok((member, EditConflict { anew: Some(anew.path()), ..by }))
}

async fn save(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    form: &FormBody,
) -> Result<Member, Failure> {
    let mut read = form.reader();
    let first_name = read.read("first_name", |text| Name::parse("first_name", text));
    let last_name = read.read("last_name", Name::last);
    read.done(first_name.as_ref().zip(last_name.as_ref()).map(drop))?;
    let edit = MemberEdit { first_name, last_name, ..MemberEdit::default() };
    let chosen = ChosenMember { id: id(call)?, expected: form.version() };
    Ok(members::edit(call.app, viewer.caller(), chosen, edit).await?.value)
}

pub(super) async fn role(call: &mut PageRequest<'_>) -> PageResult {
    let (viewer, member) = found_by(call, RightsSummary::may_change_roles).await?;
    if let Some(reply) = blocked(call, &viewer, &member, ROLE.key).await {
        return Ok(reply);
    }
    let version = member.version.0.to_string();
    let back = call.back(TEAM);
    let form =
        FormBody::filled(&[("role", member.role.as_str()), ("version", &version), (BACK, &back)]);
    Ok(role_sheet(call, &viewer, &member, &form).await?.page())
}

async fn role_sheet<'p>(
    call: &PageRequest<'_>,
    viewer: &'p CurrentUser,
    member: &Member,
    form: &FormBody,
) -> Result<FormPage<'p>, Failure> {
    let deck = RolePicker::of(call, viewer).await?;
    let shell = PageLayout::inside(call, viewer, w::role_of(&member.full_name()), "/team");
    Ok(FormPage::new(shell, member_path(&member.id, "/role"), w::GO_ON)
        .hidden("version", form.text("version"))
        .part(FormPart::Roles { cards: deck.cards(form.text("role")), wrong: None })
        .leads_back(form.back(TEAM)))
}

/// A role was chosen: shows what is gained and lost, and changes it after confirmation.
pub(super) async fn role_given(call: &mut PageRequest<'_>) -> PageResult {
    let form = call.form().await?;
    let (viewer, member) = found(call).await?;
    let given = match RoleId::parse(form.text("role")) {
        Ok(role) if role == member.role => Err(Failure::invalid("role", w::SAME_ROLE)),
        Ok(role) if form.text("seen").is_empty() => {
            return Ok(difference_sheet(call, &viewer, &member, &role, &form).await?.page());
        }
        Ok(role) => give(call, &viewer, role, &form).await,
        Err(_) => Err(Failure::invalid("role", w::CHOOSE_ROLE)),
    };
    match given {
        Ok(member) => {
            let title = title(&call.app.policies.load(), &member.role);
            let told = w::now_is(&member.full_name(), &title);
            Ok(redirect_with_notice(call.app, &form.back(TEAM), &told))
        }
        Err(failure) if failure.kind == Kind::Stale => {
            let (member, by) = overtaken(call, &viewer, "/role", &form).await?;
            Ok(role_sheet(call, &viewer, &member, &form).await?.overtaken(&failure, by))
        }
        Err(failure) => Ok(match blocked(call, &viewer, &member, ROLE.key).await {
            Some(reply) if failure.kind == Kind::Conflict => reply,
            _ => role_sheet(call, &viewer, &member, &form).await?.refused(&failure),
        }),
    }
}

async fn difference_sheet<'p>(
    call: &PageRequest<'_>,
    viewer: &'p CurrentUser,
    member: &Member,
    role: &RoleId,
    form: &FormBody,
) -> Result<FormPage<'p>, Failure> {
    let (live, matrix) = roles::compared(call.app).await?;
    let difference = roles::difference(&matrix, &member.role, role);
    let list = |actions: &[String]| match actions {
        [] => vec![w::NOTHING.to_owned()],
        actions => said(live.type_titles(), actions),
    };
    let title = w::make(&member.full_name(), &title(&live, role));
    let shell = PageLayout::inside(call, viewer, title.clone(), "/team");
    let mut sheet = FormPage::new(shell, member_path(&member.id, "/role"), title)
        .hidden("version", form.text("version"))
        .hidden("role", role.as_str())
        .hidden("seen", "yes")
        .part(FormPart::List { title: w::GAINS.to_owned(), items: list(&difference.gains) })
        .part(FormPart::List { title: w::LOSES.to_owned(), items: list(&difference.loses) });
    for (title, actions) in
        [(w::MAY_GAIN, &difference.may_gain), (w::MAY_LOSE, &difference.may_lose)]
    {
        if !actions.is_empty() {
            let items = said(live.type_titles(), actions);
            sheet = sheet.part(FormPart::List { title: title.to_owned(), items });
        }
    }
    Ok(sheet.leads_back(form.back(TEAM)))
}

async fn give(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    role: RoleId,
    form: &FormBody,
) -> Result<Member, Failure> {
    let edit = MemberEdit { role: Some(role), ..MemberEdit::default() };
    let chosen = ChosenMember { id: id(call)?, expected: form.version() };
    Ok(members::edit(call.app, viewer.caller(), chosen, edit).await?.value)
}

pub(super) async fn ask(call: &mut PageRequest<'_>) -> PageResult {
    let verb = MemberAction::of(call)?;
    let may = |rights: &RightsSummary| {
        if verb == MemberAction::Remove { rights.remove } else { rights.edit }
    };
    let (viewer, member) = found_by(call, may).await?;
    if let Some(reply) = blocked(call, &viewer, &member, &call.verb).await {
        return Ok(reply);
    }
    let form = FormBody::filled(&[(BACK, &call.back(TEAM))]);
    Ok(verb_sheet(call, &viewer, &member, verb, &form).await.page())
}

async fn verb_sheet<'p>(
    call: &PageRequest<'_>,
    viewer: &'p CurrentUser,
    member: &Member,
    verb: MemberAction,
    form: &FormBody,
) -> FormPage<'p> {
    let back = form.back(TEAM);
    let name = member.full_name();
    let devices = devices(call, viewer, member).await.map(|sessions| sessions.len());
    let mail = call.sends_mail();
    let (title, lines, submit) = match verb {
        MemberAction::ResetPassword => w::ask_reset_password(&name, member.email.as_str(), mail),
        MemberAction::ResetTwoStep => w::ask_reset_two_step(&name, mail),
        MemberAction::EndSessions => w::ask_end_sessions(&name, devices),
        MemberAction::Suspend => w::ask_suspend(&name, devices),
        MemberAction::Restore => w::ask_restore(&name),
        MemberAction::Remove => w::ask_remove(&name, devices),
    };
    let shell = PageLayout::inside(call, viewer, title, "/team");
    let sheet = FormPage::new(shell, member_path(&member.id, &format!("/{}", call.verb)), submit)
        .hidden("version", member.version.0.to_string())
        .leads_back(&back);
    let sheet = lines.into_iter().fold(sheet, FormPage::line);
    let sheet = if verb.takes_away() { sheet.danger() } else { sheet };
    match verb {
        MemberAction::ResetTwoStep => {
            let sheet = sheet.input(Input::new("password", w::YOUR_PASSWORD, kind::PASSWORD));
            if viewer.member.two_step {
                sheet.input(Input::new("code", w::YOUR_CODE, kind::CODE).hint(w::CODE_HINT))
            } else {
                sheet
            }
        }
        MemberAction::Remove => {
            let sheet = if must_be_typed(call, member) {
                sheet.input(
                    Input::new("name", w::type_name(&name), kind::PASTED).value(form.text("name")),
                )
            } else {
                sheet
            };
            match member.status {
                Status::Active => {
                    let suspend = page_urls::LocalPath::at(&member_path(&member.id, "/suspend"))
                        .with(BACK, &back);
                    sheet.instead(suspend.path(), w::SUSPEND_INSTEAD)
                }
                Status::Suspended => sheet,
            }
        }
        _ => sheet,
    }
}

/// Removing an administrator needs the name to be typed.
fn must_be_typed(call: &PageRequest<'_>, member: &Member) -> bool {
    call.app.policies.load().administering().contains(&member.role)
}

pub(super) async fn done(call: &mut PageRequest<'_>) -> PageResult {
    let verb = MemberAction::of(call)?;
    let form = call.form().await?;
    let (viewer, member) = found(call).await?;
    let back = form.back(TEAM);
    // The store would do it: a member may suspend oneself by the API.
    if verb == MemberAction::Suspend
        && viewer.is(&member)
        && let Some(reply) = blocked(call, &viewer, &member, &call.verb).await
    {
        return Ok(reply);
    }
    match act(call, &viewer, &member, verb, &form).await {
        Ok(ActionNotice::Sentence(told)) => {
            // The page of a removed member no longer exists.
            let of_member = back.starts_with(&member_path(&member.id, ""));
            let back = if verb == MemberAction::Remove && of_member { TEAM } else { &back };
            Ok(redirect_with_notice(call.app, back, &told))
        }
        Ok(ActionNotice::Link(link)) => {
            let shell = PageLayout::inside(call, &viewer, w::RESET_LINK, "/team");
            Ok(LinkPage::new(shell, w::reset_link_for(&member.full_name()), link, back).page())
        }
        Err(failure) if failure.kind == Kind::Stale => {
            let (member, by) = overtaken(call, &viewer, "", &form).await?;
            let sheet = verb_sheet(call, &viewer, &member, verb, &form).await;
            Ok(sheet.overtaken(&failure, EditConflict { anew: None, ..by }))
        }
        Err(failure) => Ok(match blocked(call, &viewer, &member, &call.verb).await {
            Some(reply) if failure.kind == Kind::Conflict => reply,
            _ => verb_sheet(call, &viewer, &member, verb, &form).await.refused(&failure),
        }),
    }
}

/// The result of an action.
enum ActionNotice {
    Sentence(String),
    /// A link to pass on.
    Link(String),
}

async fn act(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    member: &Member,
    verb: MemberAction,
    form: &FormBody,
) -> Result<ActionNotice, Failure> {
    let (app, caller, name) = (call.app, viewer.caller(), member.full_name());
    let chosen = ChosenMember { id: member.id.clone(), expected: form.version() };
    Ok(ActionNotice::Sentence(match verb {
        MemberAction::ResetPassword => {
            let reset = passwords::reset(app, caller, chosen).await?.value;
            match reset.link {
                Some(link) => return Ok(ActionNotice::Link(link)),
                None => w::reset_on_its_way(&name),
            }
        }
        MemberAction::ResetTwoStep => {
            let code = Some(form.text("code").trim().to_owned()).filter(|code| !code.is_empty());
            let shown = StepUpProof { password: form.text("password").to_owned(), code };
            let ended = two_step::reset(app, caller, chosen, Some(shown), call.from()).await?;
            w::two_step_was_reset(&name, ended.value)
        }
        MemberAction::EndSessions => {
            let ended = sessions::end_of_member(app, caller, chosen).await?;
            w::signed_out_of(&name, ended.value)
        }
        MemberAction::Suspend => {
            members::suspend(app, caller, chosen).await?;
            w::was_suspended(&name)
        }
        MemberAction::Restore => {
            members::restore(app, caller, chosen).await?;
            w::was_restored(&name)
        }
        MemberAction::Remove => {
            let typed = form.text("name").trim();
            if must_be_typed(call, member) && typed != name {
                return Err(Failure::invalid("name", w::type_name(&name)));
            }
            let gone = members::remove(app, caller, chosen).await?.value;
            w::was_removed(&name, gone.sessions_ended, gone.invites_cancelled)
        }
    }))
}
