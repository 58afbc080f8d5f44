//! Signing in: address and password, then the second factor; and signing out.
//!
//! A ticket travels from page to page in a hidden field of a form, never in a URL.

use std::sync::Arc;

use super::form_page::{BrowserPrompt, FormPage, Input, kind};
use super::page_layout::{MessagePage, PageLayout, page, redirect};
use super::page_request::{FormBody, PageRequest, PageResult};
use super::passkeys::answer;
use super::texts as w;
use super::two_step::{AuthenticatorSetupPage, RecoveryCodesPage};
use super::{is_page, page_path};
use crate::app::App;
use crate::browser_security;
use crate::domain::{AccountSlug, Email, Failure, Kind, Token};
use crate::http::{Reply, Request};
use crate::percent_encoding::encoded;
use crate::services::session_auth::COOKIE;
use crate::services::sign_in::{self, SignInAttempt, SignInOutcome};
use crate::services::{accounts, passkeys, sessions, two_step};

/// The start page of the viewer.
pub(super) async fn home(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    Ok(redirect(call.app, if viewer.rights.view_team { "/team" } else { "/me" }))
}

/// The sign-in page that returns to the requested page.
pub(super) fn place_before(app: &App, request: &Request) -> String {
    let path = page_path(app, request);
    let place = request.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    if path == "/" || !is_page(&place) {
        "/sign-in".to_owned()
    } else {
        format!("/sign-in?next={}", encoded(&place))
    }
}

/// The page that says that the session is over. It shows nothing of the account.
pub(super) fn session_over(app: &App, request: &Request) -> Reply {
    let shell = PageLayout::outside(app, request, w::OVER);
    let lines = vec![w::OVER_WHY.to_owned(), w::OVER_ASK.to_owned()];
    page(&MessagePage { shell, lines, next: ("/sign-in".to_owned(), w::SIGN_IN) }).status(401)
}

/// The page after signing out.
pub(super) async fn signed_out(call: &mut PageRequest<'_>) -> PageResult {
    let shell = PageLayout::outside(call.app, call.request, w::SIGNED_OUT);
    let lines = vec![w::SIGNED_OUT_WHY.to_owned()];
    let reply = page(&MessagePage { shell, lines, next: ("/sign-in".to_owned(), w::SIGN_IN) });
    // A page that was told that its session has ended redirects here, and may still have the token.
    Ok(match call.viewer().await {
        Err(failure) if failure.kind == Kind::Unauthenticated => browser_security::dropping(reply),
        _ => reply,
    })
}

pub(super) async fn show(call: &mut PageRequest<'_>) -> PageResult {
    // If there is only one account, its name need not be entered.
    let only = accounts::sole(call.app).await?;
    let account = only.as_ref().map_or("", |slug| slug.as_str());
    let next = call.parameter("next");
    let form = FormBody::filled(&[("account", account), ("next", &next)]);
    Ok(sheet(call, &form).page())
}

fn sheet<'p>(call: &PageRequest<'_>, form: &FormBody) -> FormPage<'p> {
    let shell = PageLayout::outside(call.app, call.request, w::SIGN_IN);
    FormPage::new(shell, "/sign-in", w::SIGN_IN)
        .hidden("next", form.text("next"))
        .input(
            Input::new("account", w::ACCOUNT, kind::ACCOUNT)
                .hint(w::ACCOUNT_HINT)
                .value(form.text("account")),
        )
        .input(Input::new("email", w::EMAIL, kind::OWN_EMAIL).value(form.text("email")))
        .input(Input::new("password", w::PASSWORD, kind::PASSWORD))
        .instead("/forgot", w::FORGOT)
}

pub(super) async fn enter(call: &mut PageRequest<'_>) -> PageResult {
    let form = call.form().await?;
    match try_to_enter(call, &form).await {
        Ok(reply) => Ok(reply),
        Err(failure) => Ok(sheet(call, &form).refused(&failure)),
    }
}

async fn try_to_enter(call: &mut PageRequest<'_>, form: &FormBody) -> PageResult {
    let mut read = form.reader();
    let account = read.read("account", AccountSlug::named);
    let email = read.read("email", Email::parse);
    let (account, email) = read.done(account.zip(email))?;
    let password = form.text("password").to_owned();
    enter_by(call, SignInAttempt { account, email, password, from: call.from() }, form.text("next"))
        .await
}

/// Signs in with a password, and shows the next step.
///
/// # Errors
/// As [`sign_in::sign_in`].
pub(super) async fn enter_by(
    call: &PageRequest<'_>,
    attempt: SignInAttempt,
    next: &str,
) -> PageResult {
    match sign_in::sign_in(call.app, attempt).await? {
        SignInOutcome::Entered(entered) => entered_by(call, &entered.value.token, next).await,
        SignInOutcome::SecondFactor(waiting) => {
            Ok(code_sheet(call, &waiting.ticket, next).await.page())
        }
        SignInOutcome::SetUp(waiting) => {
            let told = two_step::begin_by_ticket(call.app, &waiting.ticket).await?;
            let scan = AuthenticatorSetupPage::new(
                shell(call, w::SET_UP_TWO_STEP),
                "/sign-in/set-up",
                told,
            );
            Ok(scan.line(w::SET_UP_WHY).hidden("ticket", &waiting.ticket).page(None))
        }
    }
}

fn shell<'p>(call: &PageRequest<'_>, title: &str) -> PageLayout<'p> {
    PageLayout::outside(call.app, call.request, title)
}

/// Signed in: a previous session of this browser ends.
async fn entered_by(call: &PageRequest<'_>, token: &Token, next: &str) -> PageResult {
    end_brought(call.app, call.request).await?;
    // Only to a page of the console: the link that led here may be a stranger's.
    let next = if is_page(next) { next } else { "/" };
    Ok(browser_security::keeping(redirect(call.app, next), token))
}

/// Ends the current session of this browser, if any.
pub(super) async fn end_brought(app: &Arc<App>, request: &Request) -> Result<(), Failure> {
    if let Some(token) = request.cookie(COOKIE).and_then(Token::parse) {
        sessions::sign_out(app, token).await?;
    }
    Ok(())
}

/// The second step: a code, or a passkey if the member has one. Each page has its own challenge.
async fn code_sheet<'p>(call: &PageRequest<'_>, ticket: &str, next: &str) -> FormPage<'p> {
    let sheet = FormPage::new(shell(call, w::SECOND_STEP), "/sign-in/code", w::SIGN_IN)
        .hidden("ticket", ticket)
        .hidden("next", next)
        .input(Input::new("code", w::CODE, kind::CODE).hint(w::CODE_HINT))
        .out("/sign-in", w::BACK_TO_SIGN_IN);
    match passkeys::ask(call.app, ticket).await {
        Ok(asked) => sheet.asks(BrowserPrompt::Shown(asked, "/sign-in/passkey", w::USE_PASSKEY)),
        // No passkey, or no valid ticket: the code form reports faults of the ticket.
        Err(_) => sheet,
    }
}

pub(super) async fn by_passkey(call: &mut PageRequest<'_>) -> PageResult {
    let form = call.form().await?;
    let (ticket, next) = (form.text("ticket"), form.text("next"));
    match shown(call, ticket, &form).await {
        Ok(token) => entered_by(call, &token, next).await,
        Err(failure) => Ok(code_sheet(call, ticket, next).await.refused(&failure)),
    }
}

async fn shown(call: &PageRequest<'_>, ticket: &str, form: &FormBody) -> Result<Token, Failure> {
    let answer = answer(form)?;
    Ok(sign_in::by_passkey(call.app, ticket, answer, call.from()).await?.value.token)
}

pub(super) async fn second_step(call: &mut PageRequest<'_>) -> PageResult {
    let form = call.form().await?;
    let (ticket, next) = (form.text("ticket"), form.text("next"));
    let entered =
        sign_in::second_factor(call.app, ticket, form.text("code").trim(), call.from()).await;
    match entered {
        Ok(entered) => entered_by(call, &entered.value.token, next).await,
        Err(failure) => Ok(code_sheet(call, ticket, next).await.refused(&failure)),
    }
}

/// The first code of an app that is set up during a sign-in.
pub(super) async fn set_up(call: &mut PageRequest<'_>) -> PageResult {
    let form = call.form().await?;
    let ticket = form.text("ticket");
    let from = call.from();
    match two_step::confirm_by_ticket(call.app, ticket, form.text("code").trim(), &from).await {
        Ok(done) => {
            end_brought(call.app, call.request).await?;
            let reply =
                RecoveryCodesPage::new(shell(call, w::RECOVERY_CODES), &done.value.recovery, "/")
                    .page();
            Ok(browser_security::keeping(reply, &done.value.entered.token))
        }
        Err(failure) => {
            // A new secret: the page with the previous one is gone, and so is its next code.
            let told = two_step::begin_by_ticket(call.app, ticket).await?;
            let scan = AuthenticatorSetupPage::new(
                shell(call, w::SET_UP_TWO_STEP),
                "/sign-in/set-up",
                told,
            );
            Ok(scan.line(w::SET_UP_AGAIN).hidden("ticket", ticket).page(Some(&failure)))
        }
    }
}

pub(super) async fn leave(call: &mut PageRequest<'_>) -> PageResult {
    call.form().await?;
    end_brought(call.app, call.request).await?;
    Ok(browser_security::forgetting(redirect(call.app, "/signed-out")))
}
