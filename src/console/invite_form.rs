//! Inviting: one person in a dialog, or several from pasted lines.
//!
//! Never claims that a mail was sent; the list of invitations shows the delivery status.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use askama::Template;

use super::form_page::{FormPage, FormPart, Input, Select, kind};
use super::handed_over_link::LinkPage;
use super::page_layout::{PageLayout, page, redirect_with_notice};
use super::page_request::{CurrentUser, FormBody, FormReader, PageRequest, PageResult};
use super::page_urls::member_path;
use super::role_picker::RolePicker;
use super::texts as w;
use super::timestamps::TimeLabel;
use crate::domain::escaped_text::printable;
use crate::domain::{
    Email, Failure, IdempotencyKey, InviteState, Member, Name, RoleId, Timestamp, Token, limits,
};
use crate::entropy;
use crate::services::import::pasted_list;
use crate::services::invites::{self, Invitation, InviteWithLink};
use crate::services::members;
use crate::services::roles::RoleTitles;
use crate::store::preconditions::{ALREADY_MEMBER, SUSPENDED_MEMBER};
use crate::store::requests_and_views::invites::InviteFilter;

/// The page to which a new invitation leads.
const INVITATIONS: &str = "/team?tab=invitations";

pub(super) async fn show(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = able(call).await?;
    let form = FormBody::filled(&[("role", &call.parameter("role")), ("key", &key()?)]);
    Ok(sheet(call, &viewer, &form).await?.page())
}

/// The viewer, who may invite.
async fn able(call: &PageRequest<'_>) -> Result<CurrentUser, Failure> {
    let viewer = call.viewer().await?;
    if viewer.rights.invite { Ok(viewer) } else { Err(Failure::not_allowed(w::CANNOT_INVITE)) }
}

/// The idempotency key of the form: a second click, or a resubmission, makes no second invite.
fn key() -> Result<String, Failure> {
    Ok(Token::from_bytes(entropy::random()?).expose().to_owned())
}

async fn sheet<'p>(
    call: &PageRequest<'_>,
    viewer: &'p CurrentUser,
    form: &FormBody,
) -> Result<FormPage<'p>, Failure> {
    let deck = RolePicker::of(call, viewer).await?;
    let shell = PageLayout::inside(call, viewer, w::INVITE_MEMBER, "/team");
    Ok(FormPage::new(shell, "/team/invite", w::SEND_INVITATION)
        .hidden("key", form.text("key"))
        .names(form)
        .input(Input::new("email", w::EMAIL, kind::EMAIL).value(form.text("email")))
        .part(FormPart::Roles { cards: deck.cards(form.text("role")), wrong: None })
        .cancel("/team"))
}

pub(super) async fn send(call: &mut PageRequest<'_>) -> PageResult {
    let form = call.form().await?;
    let viewer = call.viewer().await?;
    match send_one(call, &viewer, &form).await {
        Ok(shown) => {
            let told = w::invitation_made(shown.view.invite.email.as_str());
            Ok(after_invite(call, &viewer, shown, &told, INVITATIONS.to_owned()))
        }
        Err(failure) => {
            let failure = with_holder_named(call, &viewer, &form, failure).await;
            let sheet = sheet(call, &viewer, &form).await?;
            let sheet = match next_step(call, &viewer, &form).await {
                Some((path, name)) => sheet.instead(path, name),
                None => sheet,
            };
            Ok(sheet.refused(&failure))
        }
    }
}

async fn send_one(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    form: &FormBody,
) -> Result<InviteWithLink, Failure> {
    let mut read = form.reader();
    let invitation = invitation(&mut read);
    let invitation = read.done(invitation)?;
    let key = match form.text("key") {
        "" => None,
        key => Some(IdempotencyKey::parse(key)?),
    };
    Ok(invites::send(call.app, viewer.caller(), invitation, key).await?.value)
}

/// The role of the person who is invited.
pub(super) fn role_chosen(text: &str) -> Result<RoleId, Failure> {
    match text {
        "" => Err(Failure::invalid("role", w::CHOOSE_ROLE)),
        text => RoleId::parse(text)
            .map_err(|_| Failure::invalid("role", w::no_such_role(&printable(text)))),
    }
}

fn invitation(read: &mut FormReader<'_>) -> Option<Invitation> {
    let first_name = read.read("first_name", |text| Name::parse("first_name", text));
    let last_name = read.read("last_name", Name::last);
    let email = read.read("email", Email::parse);
    let role = read.read("role", role_chosen);
    let ((first_name, last_name), (email, role)) =
        first_name.zip(last_name).zip(email.zip(role))?;
    Some(Invitation { email, first_name, last_name, role })
}

/// The page after an invitation was created or changed: its link, if no mail is sent, or a message.
pub(super) fn after_invite(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    shown: InviteWithLink,
    told: &str,
    back: String,
) -> crate::http::Reply {
    let with_warning = |text: &str| match &shown.warning {
        Some(warning) => format!("{text} {}", w::sentence(warning)),
        None => text.to_owned(),
    };
    match shown.link {
        Some(link) => {
            let shell = PageLayout::inside(call, viewer, w::INVITATION_LINK, "/team");
            let line =
                with_warning(&w::link_for(shown.view.invite.email.as_str(), call.sends_mail()));
            LinkPage::new(shell, line, link, back).can_be_shown_again().page()
        }
        None => redirect_with_notice(call.app, &back, &with_warning(told)),
    }
}

/// The holder of the address, if an invitation was refused because of it.
async fn holder(call: &PageRequest<'_>, viewer: &CurrentUser, form: &FormBody) -> Option<Member> {
    let email = Email::parse(form.text("email").trim()).ok()?;
    members::by_email(call.app, viewer.caller(), &email).await.ok()?
}

/// Names the holder of the address in the message.
pub(super) async fn with_holder_named(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    form: &FormBody,
    failure: Failure,
) -> Failure {
    if !matches!(failure.code, ALREADY_MEMBER | SUSPENDED_MEMBER) {
        return failure;
    }
    let Some(member) = holder(call, viewer, form).await else { return failure };
    let live = call.app.policies.load();
    let role = super::roles::title(&live, &member.role);
    let sentence = w::has_access(&member.full_name(), &role, member.status);
    Failure { fields: vec![("email".to_owned(), sentence.clone())], public: sentence, ..failure }
}

/// A suggested next step after such a refusal.
async fn next_step(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    form: &FormBody,
) -> Option<(String, String)> {
    let member = holder(call, viewer, form).await?;
    let name = w::manage(&member.full_name());
    Some((member_path(&member.id, ""), name))
}

struct PastedLineResult {
    line: String,
    /// Why it was not sent; `None` if it was.
    why: Option<String>,
    /// What is unusual about it.
    hint: Option<String>,
    /// The link of the person who was invited, if no mail is sent.
    link: Option<String>,
}

#[derive(Template)]
#[template(path = "console/templates/verdicts.html", config = ".askama.toml")]
struct PastedLinesPage<'p> {
    shell: PageLayout<'p>,
    verdicts: Vec<PastedLineResult>,
    /// The lines still to be sent.
    left: String,
    /// The role for lines without one, and those to choose from.
    role: String,
    roles: Vec<(String, String)>,
    checked: bool,
    /// The number of valid lines.
    good: usize,
    /// Whether there are links to pass on.
    links: bool,
}

pub(super) async fn several(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = able(call).await?;
    Ok(several_sheet(call, &viewer, "", NO_ROLE).page())
}

/// The choice of no default role.
const NO_ROLE: &str = "-";

/// The choices of a role for lines without one: none, then the roles that the viewer can give.
fn roles_of_others(call: &PageRequest<'_>, viewer: &CurrentUser) -> Vec<(String, String)> {
    let live = call.app.policies.load();
    let given = live.roles().iter().filter(|card| viewer.rights.gives.contains(&card.id));
    let given = given.map(|card| (card.id.to_string(), card.title.clone()));
    std::iter::once((NO_ROLE.to_owned(), w::ROLE_IN_LINE.to_owned())).chain(given).collect()
}

fn several_sheet<'p>(
    call: &PageRequest<'_>,
    viewer: &'p CurrentUser,
    lines: &str,
    role: &str,
) -> FormPage<'p> {
    let options = roles_of_others(call, viewer);
    let roles: Vec<&str> = options.iter().skip(1).map(|(_, title)| title.as_str()).collect();
    let shell = PageLayout::inside(call, viewer, w::INVITE_SEVERAL, "/team");
    FormPage::new(shell, "/team/invite-several", w::CHECK_LINES)
        .line(w::SEVERAL_HOW)
        .line(w::roles_are(&roles))
        .input(Input::new("lines", w::LINES, r#"spellcheck="false""#).lines().value(lines))
        .part(FormPart::Select(Select {
            name: "role",
            label: w::ROLE_OF_OTHERS.to_owned(),
            options: options.clone(),
            chosen: role.to_owned(),
            wrong: None,
        }))
        .cancel("/team")
}

/// Checks the lines, and sends the valid ones after confirmation.
pub(super) async fn send_several(call: &mut PageRequest<'_>) -> PageResult {
    let form = call.form().await?;
    let viewer = able(call).await?;
    let lines = match pasted_list::entries(form.text("lines")) {
        Ok(lines) => lines,
        Err(failure) => {
            let sheet = several_sheet(call, &viewer, form.text("lines"), form.text("role"));
            return Ok(sheet.refused(&failure));
        }
    };
    let role = Some(form.text("role")).filter(|role| *role != NO_ROLE);
    let role = role.and_then(|role| RoleId::parse(role).ok());
    let titles = RoleTitles::of(&call.app.policies.load());
    if lines.is_empty() || lines.len() > limits::BULK_ITEMS_MAX {
        let failure =
            Failure::invalid("lines", w::so_many_lines(limits::BULK_ITEMS_MAX, lines.len()));
        let sheet = several_sheet(call, &viewer, form.text("lines"), form.text("role"));
        return Ok(sheet.refused(&failure));
    }
    let sending = !form.text("send").is_empty();
    let mut verdicts = Vec::with_capacity(lines.len());
    // The address of each line that can be sent, with the number of the line.
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for (number, line) in (1..).zip(lines) {
        let line = line.text.into_owned();
        let read = pasted_list::read(&line, role.as_ref(), &titles);
        let hint = read.as_ref().ok().and_then(|invitation| invitation.email.hint());
        let hint = hint.map(|hint| w::sentence(&hint));
        let outcome = match read {
            Err(failure) => Err(first_fault(&failure)),
            Ok(invitation) => match taken.entry(invitation.email.key().to_owned()) {
                Entry::Occupied(before) => Err(w::same_address(*before.get())),
                Entry::Vacant(free) => {
                    let outcome = if sending {
                        send_good(call, &viewer, invitation).await
                    } else {
                        check(call, &viewer, &invitation).await.map(|()| None)
                    };
                    if outcome.is_ok() {
                        free.insert(number);
                    }
                    outcome
                }
            },
        };
        let (why, link) = match outcome {
            Ok(link) => (None, link),
            Err(why) => (Some(why), None),
        };
        verdicts.push(PastedLineResult { line, why, hint, link });
    }
    let is_left = |verdict: &&PastedLineResult| !sending || verdict.why.is_some();
    let left: Vec<&str> = verdicts.iter().filter(is_left).map(|it| it.line.as_str()).collect();
    let left = left.join("\n");
    let title = if sending { w::SEVERAL_SENT } else { w::SEVERAL_CHECKED };
    let shell = PageLayout::inside(call, &viewer, title, "/team");
    let (role, roles) = (form.text("role").to_owned(), roles_of_others(call, &viewer));
    let good = verdicts.iter().filter(|verdict| verdict.why.is_none()).count();
    let links = verdicts.iter().any(|verdict| verdict.link.is_some());
    let checked = !sending;
    Ok(page(&PastedLinesPage { shell, verdicts, left, role, roles, checked, good, links }))
}

/// Sends what was checked; answers the link, where no mail carries it.
async fn send_good(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    invitation: Invitation,
) -> Result<Option<String>, String> {
    match invites::send(call.app, viewer.caller(), invitation.clone(), None).await {
        Ok(sent) => Ok(sent.value.link),
        // If the check finds the same fault, its wording is that of the page.
        Err(failure) => {
            let why = check(call, viewer, &invitation).await.err();
            Err(why.unwrap_or_else(|| first_fault(&failure)))
        }
    }
}

/// The checks that are possible before sending.
async fn check(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    invitation: &Invitation,
) -> Result<(), String> {
    let live = call.app.policies.load_full();
    if !viewer.rights.gives.contains(&invitation.role) {
        let role = super::roles::title(&live, &invitation.role);
        return Err(w::sentence(&w::no_such_role(&role)));
    }
    let email = &invitation.email;
    if let Ok(Some(member)) = members::by_email(call.app, viewer.caller(), email).await {
        let role = super::roles::title(&live, &member.role);
        return Err(w::sentence(&w::has_access(&member.full_name(), &role, member.status)));
    }
    match invited_until(call, viewer, email).await {
        Some(expires) => Err(w::invited_until(&TimeLabel::exactly(expires).words())),
        None => Ok(()),
    }
}

/// Until when somebody with this address may accept an invitation that was sent before.
async fn invited_until(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    email: &Email,
) -> Option<Timestamp> {
    let filter = InviteFilter {
        search: Some(email.as_str().to_owned()),
        role: None,
        states: vec![InviteState::Pending],
    };
    let most = limits::PAGE_ITEMS_MAX;
    let found = invites::list(call.app, viewer.caller(), &filter, None, most).await.ok()?;
    let mut invites = found.items.iter().map(|shown| &shown.view.invite);
    invites.find(|invite| invite.email.key() == email.key()).map(|invite| invite.expires)
}

fn first_fault(failure: &Failure) -> String {
    match failure.fields.first() {
        Some((_, sentence)) => w::sentence(sentence),
        None => w::refusal_with_wait(failure),
    }
}
