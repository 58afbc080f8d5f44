//! Two-step verification: the QR code, the first code, recovery codes, and turning it off.
//!
//! A secret is shown once, on one page, and is in no URL.

use askama::Template;

use super::form_page::{FormErrors, FormPage, FormPart, Input, kind};
use super::page_layout::{PageLayout, not_possible, page, redirect_with_notice};
use super::page_request::{CurrentUser, FormBody, PageRequest, PageResult};
use super::texts as w;
use crate::browser_security;
use crate::domain::Failure;
use crate::domain::two_step::RecoveryCode;
use crate::http::{Reply, status};
use crate::services::step_up::StepUpProof;
use crate::services::two_step;
use crate::totp::Enrolment;

/// A secret for an app, and the field for the first code.
#[derive(Template)]
#[template(path = "console/templates/scan.html", config = ".askama.toml")]
pub(super) struct AuthenticatorSetupPage<'p> {
    shell: PageLayout<'p>,
    lines: Vec<&'static str>,
    refusal: Option<FormErrors>,
    action: &'static str,
    submit: &'static str,
    hidden: Vec<(&'static str, String)>,
    /// The secret, in groups that can be typed.
    secret: String,
    url: String,
    /// SVG that is generated here, so it needs no escaping.
    qr: String,
}

impl<'p> AuthenticatorSetupPage<'p> {
    pub(super) fn new(shell: PageLayout<'p>, action: &'static str, enrolment: Enrolment) -> Self {
        let Enrolment { secret, url, qr } = enrolment;
        let secret = in_groups(&secret);
        let (lines, hidden) = (Vec::new(), Vec::new());
        let submit = w::SET_UP_CONFIRM;
        Self {
            shell: shell.narrow(),
            lines,
            refusal: None,
            action,
            submit,
            hidden,
            secret,
            url,
            qr,
        }
    }

    /// For who replaces an app: two-step verification is on already.
    pub(super) fn replacing(self) -> Self {
        Self { submit: w::TWO_STEP_REPLACE_CONFIRM, ..self.line(w::TWO_STEP_REPLACE_WHY) }
    }

    pub(super) fn line(mut self, line: &'static str) -> Self {
        self.lines.push(line);
        self
    }

    pub(super) fn hidden(mut self, name: &'static str, value: &str) -> Self {
        self.hidden.push((name, value.to_owned()));
        self
    }

    /// The page, with the reason why the previous code was refused.
    pub(super) fn page(mut self, failure: Option<&Failure>) -> Reply {
        self.refusal = failure.map(FormErrors::of);
        let reply = page(&self);
        failure.map_or_else(|| page(&self), |failure| reply.status(status(failure.kind)))
    }
}

/// Recovery codes, shown once.
#[derive(Template)]
#[template(path = "console/templates/codes.html", config = ".askama.toml")]
pub(super) struct RecoveryCodesPage<'p> {
    shell: PageLayout<'p>,
    codes: Vec<String>,
    next: &'static str,
}

impl<'p> RecoveryCodesPage<'p> {
    pub(super) fn new(shell: PageLayout<'p>, codes: &[RecoveryCode], next: &'static str) -> Self {
        let codes = codes.iter().map(RecoveryCode::expose).collect();
        Self { shell: shell.narrow(), codes, next }
    }

    pub(super) fn page(&self) -> Reply {
        page(self)
    }
}

/// A key to type, in groups of four characters.
fn in_groups(secret: &str) -> String {
    let letters: Vec<char> = secret.chars().collect();
    let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
    groups.join(" ")
}

/// Asks for re-authentication: what must not be done from an unattended screen.
pub(super) fn proof_asked<'p>(
    sheet: FormPage<'p>,
    viewer: &CurrentUser,
    label: &str,
) -> FormPage<'p> {
    let sheet = sheet.part(FormPart::Username(viewer.member.email.to_string())).input(Input::new(
        "password",
        label,
        kind::PASSWORD,
    ));
    if viewer.member.two_step {
        sheet.input(Input::new("code", w::CODE, kind::CODE).hint(w::CODE_HINT))
    } else {
        sheet
    }
}

pub(super) fn proof_shown(form: &FormBody) -> StepUpProof {
    let code = Some(form.text("code").trim()).filter(|code| !code.is_empty());
    StepUpProof { password: form.text("password").to_owned(), code: code.map(str::to_owned) }
}

pub(super) async fn ask(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    Ok(ask_sheet(call, &viewer).page())
}

fn ask_sheet<'p>(call: &PageRequest<'_>, viewer: &'p CurrentUser) -> FormPage<'p> {
    let (title, why) = if viewer.member.two_step {
        (w::TWO_STEP_REPLACE, w::TWO_STEP_REPLACE_WHY)
    } else {
        (w::SET_UP_TWO_STEP, w::TWO_STEP_WHY)
    };
    let shell = PageLayout::own(call, viewer, title);
    let sheet = FormPage::new(shell, "/me/two-step", w::GO_ON).line(why).cancel("/me");
    proof_asked(sheet, viewer, w::YOUR_PASSWORD)
}

pub(super) async fn begin(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let shown = proof_shown(&call.form().await?);
    match two_step::begin(call.app, &viewer.signed_in, &shown, &call.from()).await {
        Ok(told) => {
            let replaces = viewer.member.two_step;
            let title = if replaces { w::TWO_STEP_REPLACE } else { w::SET_UP_TWO_STEP };
            let shell = PageLayout::own(call, &viewer, title);
            let scan = AuthenticatorSetupPage::new(shell, "/me/two-step/confirm", told);
            Ok(if replaces { scan.replacing() } else { scan }.page(None))
        }
        Err(failure) => ask_sheet(call, &viewer).not_taken(failure),
    }
}

pub(super) async fn confirm(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let form = call.form().await?;
    let (code, from) = (form.text("code").trim(), call.from());
    match two_step::confirm(call.app, &viewer.signed_in, code, &from).await {
        Ok(done) => {
            let shell = PageLayout::own(call, &viewer, w::RECOVERY_CODES);
            let reply = RecoveryCodesPage::new(shell, &done.value.recovery, "/me").page();
            Ok(browser_security::keeping(reply, &done.value.entered.token))
        }
        Err(failure) => next_code(call, &viewer).not_taken(failure),
    }
}

/// The secret is shown once; after a wrong code only the next code is requested.
fn next_code<'p>(call: &PageRequest<'_>, viewer: &'p CurrentUser) -> FormPage<'p> {
    let shell = PageLayout::own(call, viewer, w::TWO_STEP_NEXT_CODE);
    let submit =
        if viewer.member.two_step { w::TWO_STEP_REPLACE_CONFIRM } else { w::SET_UP_CONFIRM };
    FormPage::new(shell, "/me/two-step/confirm", submit)
        .line(w::TWO_STEP_NEXT_CODE_WHY)
        .input(Input::new("code", w::SET_UP_CODE, kind::CODE))
        .out("/me/two-step", w::START_AGAIN)
}

pub(super) async fn ask_off(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    Ok(match cannot_turn_off(call, &viewer) {
        Some(reply) => reply,
        None => off_sheet(call, &viewer).page(),
    })
}

/// There is nothing to turn off, or the account requires it.
fn cannot_turn_off(call: &PageRequest<'_>, viewer: &CurrentUser) -> Option<Reply> {
    let (why, next) = if !viewer.member.two_step {
        (w::TWO_STEP_IS_OFF_ALREADY, ("/me", w::TO_SECURITY))
    } else if viewer.account.two_step_enforced {
        (w::TWO_STEP_STAYS_ON, ("/me/two-step", w::TWO_STEP_REPLACE))
    } else {
        return None;
    };
    let shell = PageLayout::own(call, viewer, w::TWO_STEP_OFF_TITLE);
    Some(not_possible(shell, why, next))
}

fn off_sheet<'p>(call: &PageRequest<'_>, viewer: &'p CurrentUser) -> FormPage<'p> {
    let shell = PageLayout::own(call, viewer, w::TWO_STEP_OFF_TITLE);
    let sheet = FormPage::new(shell, "/me/two-step/off", w::TWO_STEP_OFF)
        .line(w::TWO_STEP_OFF_WHY)
        .danger()
        .cancel("/me");
    proof_asked(sheet, viewer, w::YOUR_PASSWORD)
}

pub(super) async fn off(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let shown = proof_shown(&call.form().await?);
    if let Some(reply) = cannot_turn_off(call, &viewer) {
        return Ok(reply);
    }
    match two_step::switch_off(call.app, &viewer.signed_in, &shown, &call.from()).await {
        Ok(done) => {
            let (entered, ended) = done.value;
            let told = w::and_others_ended(w::TWO_STEP_IS_OFF, ended);
            Ok(browser_security::keeping(
                redirect_with_notice(call.app, "/me", &told),
                &entered.token,
            ))
        }
        Err(failure) => off_sheet(call, &viewer).not_taken(failure),
    }
}

pub(super) async fn ask_codes(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    Ok(match no_codes(call, &viewer) {
        Some(reply) => reply,
        None => codes_sheet(call, &viewer).page(),
    })
}

/// Recovery codes stand in for a second factor: without one there are none.
fn no_codes(call: &PageRequest<'_>, viewer: &CurrentUser) -> Option<Reply> {
    (!viewer.member.two_step).then(|| {
        let shell = PageLayout::own(call, viewer, w::CODES_NEW);
        not_possible(shell, w::CODES_TWO_STEP_FIRST, ("/me/two-step", w::SET_UP_TWO_STEP))
    })
}

fn codes_sheet<'p>(call: &PageRequest<'_>, viewer: &'p CurrentUser) -> FormPage<'p> {
    let shell = PageLayout::own(call, viewer, w::CODES_NEW);
    let sheet = FormPage::new(shell, "/me/recovery-codes", w::CODES_MAKE)
        .line(w::CODES_NEW_WHY)
        .cancel("/me");
    proof_asked(sheet, viewer, w::YOUR_PASSWORD)
}

pub(super) async fn codes(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let shown = proof_shown(&call.form().await?);
    if let Some(reply) = no_codes(call, &viewer) {
        return Ok(reply);
    }
    match two_step::recovery_codes(call.app, &viewer.signed_in, &shown, &call.from()).await {
        Ok(done) => Ok(RecoveryCodesPage::new(
            PageLayout::own(call, &viewer, w::RECOVERY_CODES),
            &done.value,
            "/me",
        )
        .page()),
        Err(failure) => codes_sheet(call, &viewer).not_taken(failure),
    }
}
