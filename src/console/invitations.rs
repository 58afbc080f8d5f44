//! The list of invitations: delivery status and actions.

use askama::Template;

use super::edit_conflict;
use super::form_page::{EditConflict, Fact, FormPage, FormPart, Input, kind};
use super::invite_form;
use super::page_layout::{PageLayout, not_possible, page, redirect_with_notice, unknown_path};
use super::page_request::{CurrentUser, FormBody, PageRequest, PageResult};
use super::page_urls::{self, LocalPath, member_path};
use super::role_picker::RolePicker;
use super::roles::title;
use super::row_actions::{AvailableAction, RowAction, RowMenus};
use super::team_tabs::TeamTabs;
use super::texts as w;
use super::timestamps::TimeLabel;
use crate::domain::{
    DeliveryState, Email, Failure, InviteId, InviteOutcome, InviteState, Kind, Name, Timestamp,
};
use crate::engine::Snapshot;
use crate::http::Reply;
use crate::services::invites::{self, ChosenInvite, InviteCorrection, InviteWithLink};
use crate::store::requests_and_views::invites::InviteFilter;

/// Rows on a page.
const ROWS: usize = 25;

/// A confirmed action on an invitation.
#[derive(Clone, Copy)]
enum InvitationAction {
    Resend,
    Link,
    Revoke,
}

impl InvitationAction {
    /// Whether it makes or shows a link.
    const fn is_of_link(self) -> bool {
        matches!(self, Self::Resend | Self::Link)
    }

    fn of(call: &PageRequest<'_>) -> Result<Self, Failure> {
        match call.verb.as_str() {
            "resend" => Ok(Self::Resend),
            "link" => Ok(Self::Link),
            "revoke" => Ok(Self::Revoke),
            _ => Err(unknown_path()),
        }
    }
}

struct InvitationRow {
    name: String,
    email: String,
    role: String,
    /// The policies have this role no longer: nobody can join by the invitation.
    role_gone: bool,
    delivery: w::Badge,
    detail: String,
    next_try: Option<TimeLabel>,
    state: w::Badge,
    expires: TimeLabel,
    inviter: String,
    sent: TimeLabel,
    path: String,
    menu: Option<usize>,
    row_actions: Vec<AvailableAction>,
}

#[derive(Template)]
#[template(path = "console/templates/invitations.html", config = ".askama.toml")]
struct InvitationsPage<'p> {
    shell: PageLayout<'p>,
    viewer: &'p CurrentUser,
    banners: Vec<String>,
    tabs: TeamTabs,
    search: String,
    states: Vec<(&'static str, &'static str, bool)>,
    filtered: bool,
    lines: Vec<InvitationRow>,
    /// Some mail is pending: the page refreshes soon.
    unsettled: bool,
    count: String,
    /// Appended to the path of each action, so that it returns to this view of the list.
    leads_back: String,
    next: Option<String>,
    menus: RowMenus,
    /// Mail is sent: else no delivery is promised.
    mail: bool,
}

/// The invitations tab of the team page.
pub(super) async fn list(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    tabs: TeamTabs,
) -> PageResult {
    let search = call.parameter("search").trim().to_owned();
    let named = call.parameter("state");
    let filter = InviteFilter {
        search: Some(search.clone()).filter(|search| !search.is_empty()),
        role: None,
        states: chosen_states(&named),
    };
    let after = Some(call.parameter("after")).filter(|after| !after.is_empty());
    let listed = invites::list(call.app, viewer.caller(), &filter, after.as_deref(), ROWS).await?;
    let found = invites::count(call.app, viewer.caller(), &filter).await?;
    let live = call.app.policies.load_full();
    let now = call.app.clock.now();
    let mut menus = RowMenus::new(&KINDS);
    let lines: Vec<InvitationRow> =
        listed.items.iter().map(|shown| line(viewer, &live, now, shown, &mut menus)).collect();
    let place = LocalPath::at("/team").with("tab", "invitations").with("search", &search);
    let place = place.with("state", &named);
    let here = place.clone().with("after", after.as_deref().unwrap_or_default()).path();
    let leads_back = if here == BACK {
        String::new()
    } else {
        LocalPath::at("").with(page_urls::BACK, &here).path()
    };
    let next = listed.next.map(|cursor| place.with("after", &cursor).path());
    Ok(page(&InvitationsPage {
        shell: PageLayout::inside(call, viewer, w::TEAM, "/team"),
        viewer,
        banners: Vec::new(),
        tabs,
        filtered: !search.is_empty() || !named.is_empty(),
        search,
        states: states(&named),
        unsettled: lines
            .iter()
            .any(|line| line.delivery.word == w::SENDING || line.delivery.word == w::QUEUED),
        lines,
        count: w::invitations_found(found),
        leads_back,
        next,
        menus,
        mail: call.sends_mail(),
    }))
}

/// The states to show. By default invites that can still be accepted or resent: accepted ones are
/// members, and revoked ones are history.
fn chosen_states(named: &str) -> Vec<InviteState> {
    match InviteState::ALL.into_iter().find(|state| state.as_str() == named) {
        Some(state) => vec![state],
        None if named == "all" => Vec::new(),
        None => vec![InviteState::Pending, InviteState::Expired],
    }
}

fn states(chosen: &str) -> Vec<(&'static str, &'static str, bool)> {
    let all = [
        ("", w::OPEN),
        ("pending", w::PENDING),
        ("expired", w::EXPIRED),
        ("revoked", w::REVOKED),
        ("accepted", w::ACCEPTED),
        ("all", w::ALL),
    ];
    all.into_iter().map(|(value, name)| (value, name, value == chosen)).collect()
}

fn line(
    viewer: &CurrentUser,
    live: &Snapshot,
    now: Timestamp,
    shown: &InviteWithLink,
    menus: &mut RowMenus,
) -> InvitationRow {
    let (invite, delivery) = (&shown.view.invite, &shown.view.delivery);
    let state = invite.state(now);
    let row_actions = row_actions(viewer, state);
    InvitationRow {
        name: invite.full_name(),
        email: invite.email.as_str().to_owned(),
        role: title(live, &invite.role),
        role_gone: state.is_open() && !live.has_role(&invite.role),
        delivery: w::delivery(delivery.state),
        detail: match delivery.state {
            DeliveryState::Deferred | DeliveryState::Bounced | DeliveryState::Failed => {
                w::sentence(&delivery.detail)
            }
            _ => String::new(),
        },
        next_try: delivery
            .next_attempt
            .filter(|_| delivery.state == DeliveryState::Deferred)
            .map(TimeLabel::exactly),
        state: w::invite_state(state),
        expires: TimeLabel::from(invite.expires, now),
        inviter: shown.inviter.as_ref().map_or_else(|| w::RUNS_IT.to_owned(), |it| it.full_name()),
        sent: TimeLabel::from(invite.sent, now),
        path: format!("/team/invitations/{}", invite.id),
        menu: menus.number(&row_actions),
        row_actions,
    }
}

/// The actions of the viewer on an invitation.
fn row_actions(viewer: &CurrentUser, state: InviteState) -> Vec<AvailableAction> {
    if !viewer.rights.invite || !state.is_open() {
        return Vec::new();
    }
    KINDS.iter().map(|kind| AvailableAction { kind, why: None }).collect()
}

/// All actions on an open invitation.
static KINDS: [RowAction; 4] = [
    RowAction::asked("resend", w::RESEND),
    RowAction::asked("link", w::COPY_LINK),
    RowAction::asked("edit", w::CORRECT),
    RowAction { danger: true, ..RowAction::asked("revoke", w::REVOKE) },
];

async fn found(call: &PageRequest<'_>) -> Result<(CurrentUser, InviteWithLink), Failure> {
    let viewer = call.viewer().await?;
    let id = InviteId::parse(&call.id).ok_or_else(invites::unknown)?;
    let shown = invites::show(call.app, viewer.caller(), &id).await?;
    Ok((viewer, shown))
}

/// The same, for who may invite: no form is shown that is refused whatever is typed.
async fn found_by_inviter(
    call: &PageRequest<'_>,
) -> Result<(CurrentUser, InviteWithLink), Failure> {
    let (viewer, shown) = found(call).await?;
    if viewer.rights.invite {
        Ok((viewer, shown))
    } else {
        Err(Failure::not_allowed(w::CANNOT_INVITE))
    }
}

/// Whether the policies no longer have the role of an invitation that is open.
fn role_gone(call: &PageRequest<'_>, shown: &InviteWithLink) -> bool {
    let invite = &shown.view.invite;
    let known = call.app.policies.load().has_role(&invite.role);
    invite.state(call.app.clock.now()).is_open() && !known
}

/// The page in the place of a form about an invitation that is over, or of which no link is made
/// since its role was removed: that one first gets another role.
fn cannot_be_done(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    shown: &InviteWithLink,
    (is_of_link, back): (bool, &str),
) -> Option<Reply> {
    let (invite, name) = (&shown.view.invite, shown.view.invite.full_name());
    let page = |title, why: String, next| {
        not_possible(PageLayout::inside(call, viewer, title, "/team"), why, next)
    };
    match &invite.fate {
        InviteOutcome::Accepted { member, .. } => Some(page(
            w::JOIN_ACCEPTED,
            w::invite_is_accepted(&name),
            (member_path(member, ""), w::TO_MEMBER),
        )),
        InviteOutcome::Revoked { .. } => Some(page(
            w::INVITE_IS_REVOKED,
            w::invite_is_revoked(&name),
            ("/team/invite".to_owned(), w::INVITE_MEMBER),
        )),
        InviteOutcome::Open if is_of_link && role_gone(call, shown) => {
            let edit = LocalPath::at(&path(shown, "edit")).with(page_urls::BACK, back).path();
            Some(page(w::INVITE_ROLE_GONE, w::invite_role_gone(&name), (edit, w::EDIT_INVITATION)))
        }
        InviteOutcome::Open => None,
    }
}

fn path(shown: &InviteWithLink, rest: &str) -> String {
    format!("/team/invitations/{}/{rest}", shown.view.invite.id)
}

const BACK: &str = "/team?tab=invitations";

pub(super) async fn edit(call: &mut PageRequest<'_>) -> PageResult {
    let (viewer, shown) = found_by_inviter(call).await?;
    if let Some(reply) = cannot_be_done(call, &viewer, &shown, (false, &call.back(BACK))) {
        return Ok(reply);
    }
    let invite = &shown.view.invite;
    let form = FormBody::filled(&[
        ("first_name", invite.first_name.as_str()),
        ("last_name", invite.last_name.as_str()),
        ("email", invite.email.as_str()),
        ("role", invite.role.as_str()),
        ("version", &invite.version.0.to_string()),
        (page_urls::BACK, &call.back(BACK)),
    ]);
    Ok(edit_sheet(call, &viewer, &shown, &form).await?.page())
}

async fn edit_sheet<'p>(
    call: &PageRequest<'_>,
    viewer: &'p CurrentUser,
    shown: &InviteWithLink,
    form: &FormBody,
) -> Result<FormPage<'p>, Failure> {
    let deck = RolePicker::of(call, viewer).await?;
    let title = w::correct_of(&shown.view.invite.full_name());
    let shell = PageLayout::inside(call, viewer, title, "/team");
    let sheet = FormPage::new(shell, path(shown, "edit"), w::SAVE);
    let sheet = if role_gone(call, shown) { sheet.line(w::INVITE_ROLE_GONE_CHOOSE) } else { sheet };
    Ok(sheet
        .line(if call.sends_mail() { w::CORRECT_WHY } else { w::CORRECT_WHY_NO_MAIL })
        .hidden("version", form.text("version"))
        .names(form)
        .input(Input::new("email", w::EMAIL, kind::EMAIL).value(form.text("email")))
        .part(FormPart::Roles { cards: deck.cards(form.text("role")), wrong: None })
        .leads_back(form.back(BACK)))
}

pub(super) async fn edited(call: &mut PageRequest<'_>) -> PageResult {
    let form = call.form().await?;
    let (viewer, shown) = found(call).await?;
    match correct(call, &viewer, &shown, &form).await {
        Ok(corrected) => {
            let (before, now) = (&shown.view.invite, &corrected.view.invite);
            let told = if now.generation == before.generation {
                w::invitation_changed(&now.full_name())
            } else {
                w::invitation_anew(now.email.as_str())
            };
            Ok(invite_form::after_invite(call, &viewer, corrected, &told, form.back(BACK)))
        }
        Err(failure) if failure.kind == Kind::Stale => {
            let (shown, by) = overtaken(call, &viewer).await?;
            let anew =
                LocalPath::at(&path(&shown, "edit")).with(page_urls::BACK, &form.back(BACK)).path();
            let sheet = edit_sheet(call, &viewer, &shown, &form).await?;
            Ok(sheet.overtaken(&failure, EditConflict { anew: Some(anew), ..by }))
        }
        Err(failure) => {
            let over = cannot_be_done(call, &viewer, &shown, (false, &form.back(BACK)));
            if let Some(reply) = over.filter(|_| viewer.rights.invite) {
                return Ok(reply);
            }
            let failure = invite_form::with_holder_named(call, &viewer, &form, failure).await;
            Ok(edit_sheet(call, &viewer, &shown, &form).await?.refused(&failure))
        }
    }
}

/// The current invitation, to show with a form that was overtaken.
async fn overtaken(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
) -> Result<(InviteWithLink, EditConflict), Failure> {
    let id = InviteId::parse(&call.id).ok_or_else(invites::unknown)?;
    let shown = invites::show(call.app, viewer.caller(), &id).await?;
    let invite = &shown.view.invite;
    let state = invite.state(call.app.clock.now());
    let current = vec![
        Fact::text(w::FIRST_NAME, invite.first_name.as_str()),
        Fact::text(w::LAST_NAME, invite.last_name.as_str()),
        Fact::text(w::EMAIL, invite.email.as_str()),
        Fact::text(w::ROLE, title(&call.app.policies.load(), &invite.role)),
        Fact::text(w::STATE, w::invite_state(state).word),
    ];
    let by =
        edit_conflict::about(call, viewer, &invite.id.to_string(), invite.version, current).await;
    Ok((shown, by))
}

async fn correct(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    shown: &InviteWithLink,
    form: &FormBody,
) -> Result<InviteWithLink, Failure> {
    let before = &shown.view.invite;
    let mut read = form.reader();
    let first_name = read.read("first_name", |text| Name::parse("first_name", text));
    let last_name = read.read("last_name", Name::last);
    let email = read.read("email", Email::parse);
    let role = read.read("role", invite_form::role_chosen);
    let names = first_name.as_ref().zip(last_name.as_ref());
    read.done(names.zip(email.as_ref().zip(role.as_ref())).map(drop))?;
    // Unchanged fields are left out: a new address invalidates the link.
    let correction = InviteCorrection {
        first_name: first_name.filter(|name| *name != before.first_name),
        last_name: last_name.filter(|name| *name != before.last_name),
        email: email.filter(|email| email.as_str() != before.email.as_str()),
        role: role.filter(|role| *role != before.role),
    };
    let chosen = ChosenInvite { id: before.id.clone(), expected: form.version() };
    Ok(invites::correct(call.app, viewer.caller(), chosen, correction).await?.value)
}

pub(super) async fn ask(call: &mut PageRequest<'_>) -> PageResult {
    let verb = InvitationAction::of(call)?;
    let (viewer, shown) = found_by_inviter(call).await?;
    let back = call.back(BACK);
    Ok(match cannot_be_done(call, &viewer, &shown, (verb.is_of_link(), &back)) {
        Some(reply) => reply,
        None => verb_sheet(call, &viewer, &shown, verb, back).page(),
    })
}

fn verb_sheet<'p>(
    call: &PageRequest<'_>,
    viewer: &'p CurrentUser,
    shown: &InviteWithLink,
    verb: InvitationAction,
    back: String,
) -> FormPage<'p> {
    let invite = &shown.view.invite;
    let (title, line, submit) = match verb {
        InvitationAction::Resend => {
            w::ask_resend(&invite.full_name(), invite.email.as_str(), call.sends_mail())
        }
        InvitationAction::Link => {
            let who = viewer.caller().actor();
            let renewed = invite.needs_own_link(&who, call.app.clock.now());
            w::ask_link(&invite.full_name(), renewed)
        }
        InvitationAction::Revoke => w::ask_revoke(&invite.full_name()),
    };
    let shell = PageLayout::inside(call, viewer, title, "/team");
    let sheet = FormPage::new(shell, path(shown, &call.verb), submit)
        .line(line)
        .hidden("version", invite.version.0.to_string())
        .leads_back(back);
    if matches!(verb, InvitationAction::Revoke) { sheet.danger() } else { sheet }
}

pub(super) async fn done(call: &mut PageRequest<'_>) -> PageResult {
    let verb = InvitationAction::of(call)?;
    let form = call.form().await?;
    let (viewer, shown) = found(call).await?;
    let chosen = ChosenInvite { id: shown.view.invite.id.clone(), expected: form.version() };
    let back = form.back(BACK);
    let cannot = cannot_be_done(call, &viewer, &shown, (verb.is_of_link(), &back));
    if let Some(reply) = cannot.filter(|_| viewer.rights.invite) {
        return Ok(reply);
    }
    let (caller, name) = (viewer.caller(), shown.view.invite.full_name());
    let done = match verb {
        InvitationAction::Resend => invites::resend(call.app, caller, chosen).await,
        InvitationAction::Link => invites::link(call.app, caller, chosen).await,
        InvitationAction::Revoke => invites::revoke(call.app, caller, chosen).await,
    };
    match done {
        Ok(_) if matches!(verb, InvitationAction::Revoke) => {
            Ok(redirect_with_notice(call.app, &back, &w::was_revoked(&name)))
        }
        Ok(done) => {
            let told = w::invitation_anew(done.value.view.invite.email.as_str());
            Ok(invite_form::after_invite(call, &viewer, done.value, &told, back))
        }
        Err(failure) if failure.kind == Kind::Stale => {
            let (shown, by) = overtaken(call, &viewer).await?;
            Ok(verb_sheet(call, &viewer, &shown, verb, back).overtaken(&failure, by))
        }
        Err(failure) => Ok(verb_sheet(call, &viewer, &shown, verb, back).refused(&failure)),
    }
}
