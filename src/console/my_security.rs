//! My security: the sign-in settings of the viewer, signed-in devices, the last sign-ins.
//!
//! Needs no right except a session, and shows nobody else.

use askama::Template;

use super::form_page::Fact;
use super::page_layout::{PageLayout, page, redirect, redirect_with_notice};
use super::page_request::{PageRequest, PageResult};
use super::passkeys::why_none_more;
use super::roles::title as role_title;
use super::texts as w;
use super::timestamps::TimeLabel;
use super::user_agent::device;
use crate::browser_security;
use crate::domain::session::unknown;
use crate::domain::{AuditEntry, AuditEvent, Passkey, Session, SessionId, Timestamp};
use crate::services::{personal_data, sessions, two_step};

/// With this many recovery codes or fewer, new ones are advised.
const CODES_LOW: usize = 3;

struct SessionRow {
    id: String,
    name: String,
    address: String,
    started: TimeLabel,
    used: TimeLabel,
    here: bool,
}

struct PasskeyRow {
    id: String,
    name: String,
    added: TimeLabel,
    used: Option<TimeLabel>,
}

struct SignInRow {
    at: TimeLabel,
    name: String,
    address: String,
    outcome: String,
    /// No failed attempts before.
    clean: bool,
}

#[derive(Template)]
#[template(path = "console/templates/me.html", config = ".askama.toml")]
struct MySecurityPage<'p> {
    shell: PageLayout<'p>,
    facts: Vec<Fact>,
    since: Option<TimeLabel>,
    codes_left: usize,
    codes_low: bool,
    enforced: bool,
    keys: Vec<PasskeyRow>,
    /// Why no further one can be added.
    no_more_keys: Option<String>,
    devices: Vec<SessionRow>,
    sign_ins: Vec<SignInRow>,
}

pub(super) async fn show(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let signed_in = &viewer.signed_in;
    let now = call.app.clock.now();
    let standing = two_step::standing(call.app, signed_in).await?;
    let found = sessions::own(call.app, signed_in).await?;
    let entries = personal_data::own_sign_ins(call.app, signed_in).await?;
    let role = role_title(&call.app.policies.load(), &viewer.member.role);
    Ok(page(&MySecurityPage {
        shell: PageLayout::own(call, &viewer, w::MY_SECURITY),
        facts: vec![
            Fact::text(w::NAME, viewer.member.full_name()),
            Fact::text(w::EMAIL, viewer.member.email.to_string()),
            Fact::text(w::ROLE, role),
            Fact::text(w::JOIN_ACCOUNT, viewer.account.name.clone()),
        ],
        since: standing.since.map(TimeLabel::exactly),
        codes_left: standing.recovery_left,
        codes_low: standing.recovery_left <= CODES_LOW,
        enforced: standing.enforced,
        no_more_keys: why_none_more(call, &standing),
        keys: standing.passkeys.iter().map(|it| key(it, now)).collect(),
        devices: found.iter().map(|it| of_session(it, signed_in.session(), now)).collect(),
        sign_ins: entries.iter().map(|it| sign_in(it, now)).collect(),
    }))
}

fn key(passkey: &Passkey, now: Timestamp) -> PasskeyRow {
    PasskeyRow {
        id: passkey.id.to_string(),
        name: passkey.name.as_str().to_owned(),
        added: TimeLabel::from(passkey.created, now),
        used: passkey.used.map(|at| TimeLabel::from(at, now)),
    }
}

fn of_session(session: &Session, here: &SessionId, now: Timestamp) -> SessionRow {
    SessionRow {
        here: session.id == *here,
        id: session.id.to_string(),
        name: device(&session.agent),
        address: address(Some(&session.address)),
        started: TimeLabel::from(session.created, now),
        used: TimeLabel::from(session.used, now),
    }
}

fn address(known: Option<&str>) -> String {
    known.filter(|text| !text.is_empty()).unwrap_or(w::UNKNOWN_ADDRESS).to_owned()
}

fn sign_in(entry: &AuditEntry, now: Timestamp) -> SignInRow {
    let outcome = match entry.text("failures_before") {
        _ if entry.event == AuditEvent::AuthnLoginLock.as_str() => w::SIGN_IN_LOCKED.to_owned(),
        Some(failures) => w::sign_in_after(failures),
        None => w::SIGN_IN_TOOK.to_owned(),
    };
    SignInRow {
        at: TimeLabel::from(entry.at, now),
        name: entry.text("agent").map(device).unwrap_or_default(),
        address: address(entry.text("address")),
        outcome,
        clean: entry.event == AuditEvent::AuthnLoginSuccess.as_str(),
    }
}

pub(super) async fn end_session(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    call.form().await?;
    let id = SessionId::parse(&call.id).ok_or_else(unknown)?;
    let here = id == *viewer.signed_in.session();
    sessions::end_own(call.app, viewer.signed_in, Some(id)).await?;
    if here {
        return Ok(browser_security::forgetting(redirect(call.app, "/signed-out")));
    }
    Ok(redirect_with_notice(call.app, "/me", w::SESSION_ENDED))
}

pub(super) async fn end_others(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    call.form().await?;
    sessions::end_own(call.app, viewer.signed_in, None).await?;
    Ok(redirect_with_notice(call.app, "/me", w::OTHERS_ENDED))
}
