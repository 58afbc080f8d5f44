//! Signing in: address and password, then the second factor; and signing out.
//!
//! A ticket travels from page to page in a hidden field of a form, never in a URL.

use std::sync::Arc;

use super::call::{Answer, Call};
use super::form::Form;
use super::passkeys::answer;
use super::place::escaped;
use super::sheet::{Asks, Input, Sheet, kind};
use super::shell::{Note, Shell, page, see};
use super::two_step::{Codes, Scan};
use super::words as w;
use super::{is_page, page_path};
use crate::app::App;
use crate::browser;
use crate::domain::{AccountSlug, Email, Failure, Kind, Token};
use crate::flows::session_auth::COOKIE;
use crate::flows::sign_in::{self, Attempt, Outcome};
use crate::flows::{accounts, passkeys, sessions, two_step};
use crate::http::{Reply, Request};

/// The start page of the viewer.
pub(super) async fn home(call: &mut Call<'_>) -> Answer {
    let viewer = call.viewer().await?;
    Ok(see(call.app, if viewer.rights.view_team { "/team" } else { "/me" }))
}

/// The sign-in page that returns to the requested page.
pub(super) fn place_before(app: &App, request: &Request) -> String {
    let path = page_path(app, request);
    let place = request.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    match path == "/" || !is_page(&place) {
        true => "/sign-in".to_owned(),
        false => format!("/sign-in?next={}", escaped(&place)),
    }
}

/// The page that says that the session is over. It shows nothing of the account.
pub(super) fn over(app: &App, request: &Request) -> Reply {
    let shell = Shell::outside(app, request, w::OVER);
    let lines = vec![w::OVER_WHY.to_owned(), w::OVER_ASK.to_owned()];
    page(&Note { shell, lines, next: ("/sign-in".to_owned(), w::SIGN_IN) }).status(401)
}

/// The page after signing out.
pub(super) async fn left(call: &mut Call<'_>) -> Answer {
    let shell = Shell::outside(call.app, call.request, w::SIGNED_OUT);
    let lines = vec![w::SIGNED_OUT_WHY.to_owned()];
    let reply = page(&Note { shell, lines, next: ("/sign-in".to_owned(), w::SIGN_IN) });
    // A page that was told that its session has ended redirects here, and may still have the token.
    Ok(match call.viewer().await {
        Err(failure) if failure.kind == Kind::Unauthenticated => browser::dropping(reply),
        _ => reply,
    })
}

pub(super) async fn show(call: &mut Call<'_>) -> Answer {
    // If there is only one account, its name need not be entered.
    let only = accounts::sole(call.app).await?;
    let account = only.as_ref().map_or("", |slug| slug.as_str());
    let next = call.parameter("next");
    let form = Form::filled(&[("account", account), ("next", &next)]);
    Ok(sheet(call, &form).page())
}

fn sheet<'p>(call: &Call<'_>, form: &Form) -> Sheet<'p> {
    let shell = Shell::outside(call.app, call.request, w::SIGN_IN);
    Sheet::new(shell, "/sign-in", w::SIGN_IN)
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

pub(super) async fn enter(call: &mut Call<'_>) -> Answer {
    let form = call.form().await?;
    match try_to_enter(call, &form).await {
        Ok(reply) => Ok(reply),
        Err(failure) => Ok(sheet(call, &form).refused(&failure)),
    }
}

async fn try_to_enter(call: &mut Call<'_>, form: &Form) -> Answer {
    let mut read = form.reader();
    let account = read.read("account", AccountSlug::named);
    let email = read.read("email", Email::parse);
    let (account, email) = read.done(account.zip(email))?;
    let password = form.text("password").to_owned();
    enter_by(call, Attempt { account, email, password, from: call.from() }, form.text("next")).await
}

/// Signs in with a password, and shows the next step.
///
/// # Errors
/// As [`sign_in::sign_in`].
pub(super) async fn enter_by(call: &Call<'_>, attempt: Attempt, next: &str) -> Answer {
    match sign_in::sign_in(call.app, attempt).await? {
        Outcome::Entered(entered) => entered_by(call, &entered.value.token, next).await,
        Outcome::SecondFactor(waiting) => Ok(code_sheet(call, &waiting.ticket, next).await.page()),
        Outcome::SetUp(waiting) => {
            let told = two_step::begin_by_ticket(call.app, &waiting.ticket).await?;
            let scan = Scan::new(shell(call, w::SET_UP_TWO_STEP), "/sign-in/set-up", told);
            Ok(scan.line(w::SET_UP_WHY).hidden("ticket", &waiting.ticket).page(None))
        }
    }
}

fn shell<'p>(call: &Call<'_>, title: &str) -> Shell<'p> {
    Shell::outside(call.app, call.request, title)
}

/// Signed in: a previous session of this browser ends.
async fn entered_by(call: &Call<'_>, token: &Token, next: &str) -> Answer {
    end_brought(call.app, call.request).await?;
    // Only to a page of the console: the link that led here may be a stranger's.
    let next = if is_page(next) { next } else { "/" };
    Ok(browser::keeping(see(call.app, next), token))
}

/// Ends the current session of this browser, if any.
pub(super) async fn end_brought(app: &Arc<App>, request: &Request) -> Result<(), Failure> {
    if let Some(token) = request.cookie(COOKIE).and_then(Token::parse) {
        sessions::sign_out(app, token).await?;
    }
    Ok(())
}

/// The second step: a code, or a passkey if the member has one. Each page has its own challenge.
async fn code_sheet<'p>(call: &Call<'_>, ticket: &str, next: &str) -> Sheet<'p> {
    let sheet = Sheet::new(shell(call, w::SECOND_STEP), "/sign-in/code", w::SIGN_IN)
        .hidden("ticket", ticket)
        .hidden("next", next)
        .input(Input::new("code", w::CODE, kind::CODE).hint(w::CODE_HINT))
        .out("/sign-in", w::USE_ANOTHER_ACCOUNT);
    match passkeys::ask(call.app, ticket).await {
        Ok(asked) => sheet.asks(Asks::Shown(asked, "/sign-in/passkey", w::USE_PASSKEY)),
        // No passkey, or no valid ticket: the code form reports faults of the ticket.
        Err(_) => sheet,
    }
}

pub(super) async fn by_passkey(call: &mut Call<'_>) -> Answer {
    let form = call.form().await?;
    let (ticket, next) = (form.text("ticket"), form.text("next"));
    match shown(call, ticket, &form).await {
        Ok(token) => entered_by(call, &token, next).await,
        Err(failure) => Ok(code_sheet(call, ticket, next).await.refused(&failure)),
    }
}

async fn shown(call: &Call<'_>, ticket: &str, form: &Form) -> Result<Token, Failure> {
    let answer = answer(form)?;
    Ok(sign_in::by_passkey(call.app, ticket, answer, call.from()).await?.value.token)
}

pub(super) async fn second_step(call: &mut Call<'_>) -> Answer {
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
pub(super) async fn set_up(call: &mut Call<'_>) -> Answer {
    let form = call.form().await?;
    let ticket = form.text("ticket");
    let from = call.from();
    match two_step::confirm_by_ticket(call.app, ticket, form.text("code").trim(), &from).await {
        Ok(done) => {
            end_brought(call.app, call.request).await?;
            let reply =
                Codes::new(shell(call, w::RECOVERY_CODES), &done.value.recovery, "/").page();
            Ok(browser::keeping(reply, &done.value.entered.token))
        }
        Err(failure) => {
            // A new secret: the page with the previous one is gone.
            let told = two_step::begin_by_ticket(call.app, ticket).await?;
            let scan = Scan::new(shell(call, w::SET_UP_TWO_STEP), "/sign-in/set-up", told);
            Ok(scan.line(w::SET_UP_AGAIN).hidden("ticket", ticket).page(Some(&failure)))
        }
    }
}

pub(super) async fn leave(call: &mut Call<'_>) -> Answer {
    call.form().await?;
    end_brought(call.app, call.request).await?;
    Ok(browser::forgetting(see(call.app, "/signed-out")))
}
