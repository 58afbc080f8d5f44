//! Inviting: one person in a dialog, or several from pasted lines.
//!
//! Never claims that a mail was sent; the list of invitations shows the delivery status.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use askama::Template;

use super::call::{Answer, Call};
use super::cards::Deck;
use super::form::{Form, Reader};
use super::link::LinkPage;
use super::place::member_path;
use super::sheet::{Input, Part, Select, Sheet, kind};
use super::shell::{Shell, page, see_telling};
use super::viewer::Viewer;
use super::when::When;
use super::words as w;
use crate::domain::{
    Email, Failure, IdempotencyKey, InviteState, Kind, Member, Name, RoleId, Timestamp, Token,
    limits,
};
use crate::entropy;
use crate::flows::import::pasted;
use crate::flows::invites::{self, Invitation, Shown};
use crate::flows::members;
use crate::flows::roles::Titles;
use crate::store::invites::InviteFilter;

/// The page to which a new invitation leads.
const INVITATIONS: &str = "/team?tab=invitations";

pub(super) async fn show(call: &mut Call<'_>) -> Answer {
    let viewer = able(call).await?;
    let form = Form::filled(&[("role", &call.parameter("role")), ("key", &key()?)]);
    Ok(sheet(call, &viewer, &form).await?.page())
}

/// The viewer, who may invite.
async fn able(call: &Call<'_>) -> Result<Viewer, Failure> {
    let viewer = call.viewer().await?;
    match viewer.rights.invite {
        true => Ok(viewer),
        false => Err(Failure::new(Kind::Denied, "not_allowed", w::CANNOT_INVITE)),
    }
}

/// The idempotency key of the form: a second click, or a resubmission, makes no second invite.
fn key() -> Result<String, Failure> {
    Ok(Token::from_bytes(entropy::random()?).expose().to_owned())
}

async fn sheet<'p>(call: &Call<'_>, viewer: &'p Viewer, form: &Form) -> Result<Sheet<'p>, Failure> {
    let deck = Deck::of(call, viewer).await?;
    let shell = Shell::inside(call, viewer, w::INVITE_MEMBER, "/team");
    Ok(Sheet::new(shell, "/team/invite", w::SEND_INVITATION)
        .hidden("key", form.text("key"))
        .input(Input::new("first_name", w::FIRST_NAME, kind::TEXT).value(form.text("first_name")))
        .input(
            Input::new("last_name", w::LAST_NAME, kind::TEXT)
                .value(form.text("last_name"))
                .optional(),
        )
        .input(Input::new("email", w::EMAIL, kind::EMAIL).value(form.text("email")))
        .part(Part::Roles { cards: deck.cards(form.text("role")), wrong: None })
        .cancel("/team"))
}

pub(super) async fn send(call: &mut Call<'_>) -> Answer {
    let form = call.form().await?;
    let viewer = call.viewer().await?;
    match send_one(call, &viewer, &form).await {
        Ok(shown) => {
            let told = w::invitation_made(shown.view.invite.email.as_str());
            Ok(sent(call, &viewer, shown, &told, INVITATIONS.to_owned()))
        }
        Err(failure) => {
            let failure = helped(call, &viewer, &form, failure).await;
            let sheet = sheet(call, &viewer, &form).await?;
            let sheet = match next_step(call, &viewer, &form).await {
                Some((path, name)) => sheet.instead(path, name),
                None => sheet,
            };
            Ok(sheet.refused(&failure))
        }
    }
}

async fn send_one(call: &Call<'_>, viewer: &Viewer, form: &Form) -> Result<Shown, Failure> {
    let mut read = form.reader();
    let invitation = invitation(&mut read);
    let invitation = read.done(invitation)?;
    let key = match form.text("key") {
        "" => None,
        key => Some(IdempotencyKey::parse(key)?),
    };
    Ok(invites::send(call.app, viewer.caller(), invitation, key).await?.value)
}

/// The role of whoever is invited.
pub(super) fn role_chosen(text: &str) -> Result<RoleId, Failure> {
    match text {
        "" => Err(Failure::invalid("role", w::CHOOSE_ROLE)),
        text => RoleId::parse(text).map_err(|_| {
            Failure::invalid("role", w::no_such_role(&text.escape_debug().to_string()))
        }),
    }
}

fn invitation(read: &mut Reader<'_>) -> Option<Invitation> {
    let first_name = read.read("first_name", |text| Name::parse("first_name", text));
    let last_name = read.read("last_name", Name::last);
    let email = read.read("email", Email::parse);
    let role = read.read("role", role_chosen);
    let ((first_name, last_name), (email, role)) =
        first_name.zip(last_name).zip(email.zip(role))?;
    Some(Invitation { email, first_name, last_name, role })
}

/// The page after an invitation was created or changed: its link, if no mail is sent, or a message.
pub(super) fn sent(
    call: &Call<'_>,
    viewer: &Viewer,
    shown: Shown,
    told: &str,
    back: String,
) -> crate::http::Reply {
    match shown.link {
        Some(link) => {
            let shell = Shell::inside(call, viewer, w::INVITATION_LINK, "/team");
            let line = w::link_for(shown.view.invite.email.as_str());
            LinkPage::new(shell, line, link, back).can_be_shown_again().page()
        }
        None => see_telling(call.app, &back, told),
    }
}

/// The holder of the address, if an invitation was refused because of it.
async fn holder(call: &Call<'_>, viewer: &Viewer, form: &Form) -> Option<Member> {
    let email = Email::parse(form.text("email").trim()).ok()?;
    members::by_email(call.app, viewer.caller(), &email).await.ok()?
}

/// Names the holder of the address in the message.
pub(super) async fn helped(
    call: &Call<'_>,
    viewer: &Viewer,
    form: &Form,
    failure: Failure,
) -> Failure {
    if !matches!(failure.code, "already_member" | "suspended_member") {
        return failure;
    }
    let Some(member) = holder(call, viewer, form).await else { return failure };
    let live = call.app.policies.load();
    let role = super::roles::title(&live, &member.role);
    let sentence = w::has_access(&member.full_name(), &role, member.status);
    Failure { fields: vec![("email".to_owned(), sentence.clone())], public: sentence, ..failure }
}

/// A suggested next step after such a refusal.
async fn next_step(call: &Call<'_>, viewer: &Viewer, form: &Form) -> Option<(String, String)> {
    let member = holder(call, viewer, form).await?;
    let name = w::manage(&member.full_name());
    Some((member_path(&member.id, ""), name))
}

/// One pasted line with its result.
struct Verdict {
    line: String,
    /// Why it was not sent; `None` if it was.
    why: Option<String>,
    /// The link of whoever was invited, where no mail carries it.
    link: Option<String>,
}

#[derive(Template)]
#[template(path = "console/templates/verdicts.html", config = ".askama.toml")]
struct Verdicts<'p> {
    shell: Shell<'p>,
    verdicts: Vec<Verdict>,
    /// The lines still to be sent.
    left: String,
    /// The role for lines without one.
    role: String,
    checked: bool,
    /// The number of valid lines.
    good: usize,
    /// Whether there are links to pass on.
    links: bool,
}

pub(super) async fn several(call: &mut Call<'_>) -> Answer {
    let viewer = able(call).await?;
    Ok(several_sheet(call, &viewer, ("", NO_ROLE)).page())
}

/// The choice of no default role.
const NO_ROLE: &str = "-";

fn several_sheet<'p>(
    call: &Call<'_>,
    viewer: &'p Viewer,
    (lines, role): (&str, &str),
) -> Sheet<'p> {
    let live = call.app.policies.load();
    let given = live.roles().iter().filter(|card| viewer.rights.gives.contains(&card.id));
    let given: Vec<_> = given.collect();
    let roles: Vec<&str> = given.iter().map(|card| card.title.as_str()).collect();
    let mut options = vec![(NO_ROLE.to_owned(), w::ROLE_IN_LINE.to_owned())];
    options.extend(given.iter().map(|card| (card.id.to_string(), card.title.clone())));
    let shell = Shell::inside(call, viewer, w::INVITE_SEVERAL, "/team");
    Sheet::new(shell, "/team/invite-several", w::CHECK_LINES)
        .line(w::SEVERAL_HOW)
        .line(w::roles_are(&roles))
        .input(Input::new("lines", w::LINES, r#"spellcheck="false""#).lines().value(lines))
        .part(Part::Select(Select {
            name: "role",
            label: w::ROLE_OF_OTHERS.to_owned(),
            options,
            chosen: role.to_owned(),
            wrong: None,
        }))
        .cancel("/team")
}

/// Checks the lines, and sends the valid ones after confirmation.
pub(super) async fn send_several(call: &mut Call<'_>) -> Answer {
    let form = call.form().await?;
    let viewer = able(call).await?;
    let lines = pasted::entries(form.text("lines"));
    let role = Some(form.text("role")).filter(|role| *role != NO_ROLE);
    let role = role.and_then(|role| RoleId::parse(role).ok());
    let titles = Titles::of(&call.app.policies.load());
    if lines.is_empty() || lines.len() > limits::BULK_ITEMS_MAX {
        let failure =
            Failure::invalid("lines", w::so_many_lines(limits::BULK_ITEMS_MAX, lines.len()));
        let typed = (form.text("lines"), form.text("role"));
        return Ok(several_sheet(call, &viewer, typed).refused(&failure));
    }
    let sending = !form.text("send").is_empty();
    let mut verdicts = Vec::with_capacity(lines.len());
    // The address of each line that can be sent, with the number of the line.
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for (number, line) in (1..).zip(lines) {
        let outcome = match pasted::read(line, role.as_ref(), &titles) {
            Err(failure) => Err(first_fault(&failure)),
            Ok(invitation) => match taken.entry(invitation.email.key().to_owned()) {
                Entry::Occupied(before) => Err(w::same_address(*before.get())),
                Entry::Vacant(free) => {
                    let outcome = match sending {
                        true => send_good(call, &viewer, invitation).await,
                        false => check(call, &viewer, &invitation).await.map(|()| None),
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
        verdicts.push(Verdict { line: line.to_owned(), why, link });
    }
    let is_left = |verdict: &&Verdict| !sending || verdict.why.is_some();
    let left: Vec<&str> = verdicts.iter().filter(is_left).map(|it| it.line.as_str()).collect();
    let left = left.join("\n");
    let title = if sending { w::SEVERAL_SENT } else { w::SEVERAL_CHECKED };
    let shell = Shell::inside(call, &viewer, title, "/team");
    let role = form.text("role").to_owned();
    let good = verdicts.iter().filter(|verdict| verdict.why.is_none()).count();
    let links = verdicts.iter().any(|verdict| verdict.link.is_some());
    Ok(page(&Verdicts { shell, verdicts, left, role, checked: !sending, good, links }))
}

/// Sends what was checked; answers the link, where no mail carries it.
async fn send_good(
    call: &Call<'_>,
    viewer: &Viewer,
    invitation: Invitation,
) -> Result<Option<String>, String> {
    match invites::send(call.app, viewer.caller(), invitation.clone(), None).await {
        Ok(sent) => Ok(sent.value.link),
        // The check says it in the words of people, where it meets the same.
        Err(failure) => {
            let why = check(call, viewer, &invitation).await.err();
            Err(why.unwrap_or_else(|| first_fault(&failure)))
        }
    }
}

/// The checks that are possible before sending.
async fn check(call: &Call<'_>, viewer: &Viewer, invitation: &Invitation) -> Result<(), String> {
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
        Some(expires) => Err(w::invited_until(&When::exactly(expires).words())),
        None => Ok(()),
    }
}

/// Until when somebody with this address may accept an invitation that was sent before.
async fn invited_until(call: &Call<'_>, viewer: &Viewer, email: &Email) -> Option<Timestamp> {
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
    let field = failure.fields.first().map(|(_, sentence)| sentence.as_str());
    w::sentence(field.unwrap_or(&failure.public))
}
