//! Joining by an invitation: the invitation, a password, and why a link no longer works.
//!
//! The code of a link is in the URL fragment (after the `#`), which is not sent to servers: it
//! arrives in a form, filled in by the script or pasted by the reader, and is never part of a URL
//! that is requested.

use super::form_page::{Fact, FormPage, FormPart, Input, kind};
use super::page_layout::{MessagePage, PageLayout, page, redirect_with_notice, with_notice};
use super::page_request::{CurrentUser, PageRequest, PageResult};
use super::roles::title as role_title;
use super::sign_in::{end_brought, enter_by};
use super::texts as w;
use super::timestamps::TimeLabel;
use crate::browser_security;
use crate::domain::invite::LinkState;
use crate::domain::{Actor, Failure, Kind, Member, input_cleanup};
use crate::http::{Reply, status};
use crate::password::chars_min;
use crate::services::invites::{self, InvitePreview};
use crate::services::sign_in::SignInAttempt;

/// Extracts the code from pasted text: a whole link, or the code alone; a mail may have wrapped it.
pub(super) fn code_in(pasted: &str) -> String {
    let code = pasted.rsplit('#').next().unwrap_or_default();
    input_cleanup::secret(code)
}

fn shell<'p>(call: &PageRequest<'_>, title: impl Into<String>) -> PageLayout<'p> {
    PageLayout::outside(call.app, call.request, title)
}

pub(super) async fn show(call: &mut PageRequest<'_>) -> PageResult {
    Ok(paste(call, "").page())
}

fn paste<'p>(call: &PageRequest<'_>, pasted: &str) -> FormPage<'p> {
    let input = Input::new("token", w::LINK_OR_CODE, kind::SENT_AT_ONCE);
    FormPage::new(shell(call, w::JOIN), "/join/look", w::GO_ON)
        .line(w::JOIN_WHY)
        .input(input.hint(w::LINK_OR_CODE_HINT).value(pasted))
        .instead("/sign-in", w::SIGN_IN)
}

pub(super) async fn inspect_link(call: &mut PageRequest<'_>) -> PageResult {
    let form = call.form().await?;
    let token = code_in(form.text("token"));
    let found = match invites::inspect(call.app, &token).await {
        Ok(found) => found,
        Err(failure) => return closed(call, &token, failure).await,
    };
    match call.viewer().await {
        Err(_) => Ok(accept_sheet(call, &token, &found).page()),
        Ok(viewer) if form.text("leave").is_empty() => {
            Ok(as_another(call, &token, &found, &viewer))
        }
        Ok(_) => {
            end_brought(call.app, call.request).await?;
            Ok(browser_security::dropping(accept_sheet(call, &token, &found).page()))
        }
    }
}

/// Asks a viewer with another session whether to end it.
fn as_another(
    call: &PageRequest<'_>,
    token: &str,
    found: &InvitePreview,
    viewer: &CurrentUser,
) -> Reply {
    let who = format!("{} ({})", viewer.member.full_name(), viewer.account.name);
    FormPage::new(shell(call, w::JOIN_AS_ANOTHER), "/join/look", w::JOIN_LEAVE)
        .line(w::signed_in_as(&who, &found.invite.email.masked()))
        .hidden("token", token)
        .hidden("leave", "yes")
        .out("/", w::JOIN_STAY)
        .page()
}

fn accept_sheet<'p>(call: &PageRequest<'_>, token: &str, found: &InvitePreview) -> FormPage<'p> {
    let InvitePreview { invite, account, .. } = found;
    let live = call.app.policies.load();
    let role = role_title(&live, &invite.role);
    let summary = live.roles().iter().find(|card| card.id == invite.role);
    let facts = vec![
        Fact::text(w::JOIN_ACCOUNT, account.name.clone()),
        Fact::text(w::JOIN_INVITED_BY, inviter(found)),
        Fact::text(w::JOIN_FOR, format!("{}, {}", invite.full_name(), invite.email.masked())),
        Fact::text(w::ROLE, role.clone()),
        Fact::when(w::JOIN_HOLDS_UNTIL, TimeLabel::exactly(invite.expires)),
    ];
    let can = live.actions_of(&invite.role);
    let can = can.iter().map(|action| w::action(live.type_titles(), action)).collect();
    let mut sheet = FormPage::new(shell(call, w::join_title(&account.name)), "/join", w::JOIN_DO)
        .hidden("token", token)
        .part(FormPart::Facts(facts));
    if let Some(card) = summary {
        sheet = sheet.line(card.summary.clone());
    }
    if account.two_step_enforced {
        sheet = sheet.line(w::JOIN_TWO_STEP);
    }
    let rules = w::password_rules(chars_min(account.two_step_enforced));
    sheet
        .part(FormPart::List { title: w::what_you_can_do(&role), items: can })
        .part(FormPart::Username(invite.email.to_string()))
        .input(Input::new("password", w::JOIN_SET_PASSWORD, kind::NEW_PASSWORD).hint(rules))
}

fn inviter(found: &InvitePreview) -> String {
    match (&found.inviter, &found.invite.inviter) {
        (Some(inviter), _) => inviter.full_name(),
        (None, Actor::Sidecar { .. }) => w::OPERATOR_INVITED.to_owned(),
        (None, _) => w::SOMEBODY.to_owned(),
    }
}

pub(super) async fn accept(call: &mut PageRequest<'_>) -> PageResult {
    let form = call.form().await?;
    let (token, password) = (code_in(form.text("token")), form.text("password"));
    let found = match invites::inspect(call.app, &token).await {
        Ok(found) => found,
        Err(failure) => return closed(call, &token, failure).await,
    };
    match invites::accept(call.app, &token, password).await {
        Ok(joined) => {
            enter_joined(call, joined.value, password, &w::joined(&found.account.name)).await
        }
        // The invitation may have closed meanwhile: a second click arrives second.
        Err(failure) if failure.kind == Kind::Gone => closed(call, &token, failure).await,
        Err(failure) => Ok(accept_sheet(call, &token, &found).refused(&failure)),
    }
}

/// Signs in a new member. If that must wait, the member has joined all the same.
pub(super) async fn enter_joined(
    call: &PageRequest<'_>,
    member: Member,
    password: &str,
    told: &str,
) -> PageResult {
    let Member { account, email, .. } = member;
    let attempt =
        SignInAttempt { account, email, password: password.to_owned(), from: call.from() };
    match enter_by(call, attempt, "/").await {
        Ok(reply) if reply.code() == 303 => Ok(with_notice(reply, told)),
        Ok(reply) => Ok(reply),
        Err(_) => Ok(redirect_with_notice(call.app, "/sign-in", told)),
    }
}

/// Why a link no longer works, and what to do.
async fn closed(call: &PageRequest<'_>, token: &str, failure: Failure) -> PageResult {
    if failure.kind != Kind::Gone {
        return Err(failure);
    }
    let Some((state, found)) = invites::link_state(call.app, token).await? else {
        return Ok(paste(call, token).refused(&failure));
    };
    let line = w::refusal(&failure);
    let reply = match state {
        LinkState::Expired => ask_new(call, token, w::JOIN_EXPIRED, when(&found)),
        LinkState::Replaced => {
            ask_new(call, token, w::JOIN_REPLACED, w::JOIN_REPLACED_WHY.to_owned())
        }
        LinkState::Accepted => over(call, w::JOIN_ACCEPTED, line),
        LinkState::Revoked => over(call, w::JOIN_REVOKED, line),
        LinkState::Open => over(call, w::JOIN_CLOSED, line),
    };
    Ok(reply.status(status(failure.kind)))
}

fn over(call: &PageRequest<'_>, title: &str, line: String) -> Reply {
    let next = ("/sign-in".to_owned(), w::SIGN_IN);
    page(&MessagePage { shell: shell(call, title), lines: vec![line], next })
}

fn when(found: &InvitePreview) -> String {
    let whom = found.inviter.as_ref().map_or_else(|| w::SOMEBODY.to_owned(), Member::full_name);
    w::expired_on(&TimeLabel::exactly(found.invite.expires).words(), &whom)
}

fn ask_new(call: &PageRequest<'_>, token: &str, title: &str, line: String) -> Reply {
    if !call.sends_mail() {
        return over(call, title, line);
    }
    FormPage::new(shell(call, title), "/join/request-new", w::JOIN_ASK_NEW)
        .line(line)
        .hidden("token", token)
        .out("/sign-in", w::SIGN_IN)
        .page()
}

/// The same response for every link.
pub(super) async fn ask_new_link(call: &mut PageRequest<'_>) -> PageResult {
    let form = call.form().await?;
    invites::request_new_link(call.app, &code_in(form.text("token"))).await?;
    let told = if call.sends_mail() { w::JOIN_ASKED } else { w::JOIN_NO_MAIL };
    Ok(redirect_with_notice(call.app, "/join", told))
}

#[cfg(test)]
mod tests {
    use super::code_in;

    #[test]
    fn a_code_is_found_in_whatever_was_pasted() {
        for pasted in
            ["AbC-1", " AbC-1\n", "https://x.example/team/join#AbC-1", "https://x#Ab\nC-1"]
        {
            assert_eq!(code_in(pasted), "AbC-1", "{pasted}");
        }
        assert_eq!(code_in(""), "");
    }
}
