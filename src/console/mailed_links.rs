//! Forgotten passwords, and links from mail: a new password, a new address.
//!
//! The response to a request for a link is the same whether or not the member exists. The code of a
//! link arrives in a form and is never part of a URL that is requested.

use super::accept_invitation::code_in;
use super::form_page::{FormPage, Input, kind};
use super::page_layout::{MessagePage, PageLayout, page, redirect_with_notice};
use super::page_request::{FormBody, PageRequest, PageResult};
use super::texts as w;
use crate::domain::{AccountSlug, AddressSide, Email, Failure, Kind};
use crate::http::Reply;
use crate::password::chars_min;
use crate::services::{accounts, own_profile, passwords};
use crate::store::requests_and_views::one_time_links::EmailConfirmed;

pub(super) async fn forgot(call: &mut PageRequest<'_>) -> PageResult {
    if !call.sends_mail() {
        return Ok(no_link(call));
    }
    let only = accounts::sole(call.app).await?;
    let account = only.as_ref().map_or("", |slug| slug.as_str());
    Ok(forgot_sheet(call, &FormBody::filled(&[("account", account)])).page())
}

/// Where no mail is sent there is nothing to ask for here: an administrator has a link to pass on.
fn no_link(call: &PageRequest<'_>) -> Reply {
    let shell = PageLayout::outside(call.app, call.request, w::FORGOT_TITLE);
    let lines = vec![w::FORGOT_NO_MAIL.to_owned()];
    page(&MessagePage { shell, lines, next: ("/sign-in".to_owned(), w::TO_SIGN_IN) })
}

fn forgot_sheet<'p>(call: &PageRequest<'_>, form: &FormBody) -> FormPage<'p> {
    let shell = PageLayout::outside(call.app, call.request, w::FORGOT_TITLE);
    let account = Input::new("account", w::ACCOUNT, kind::ACCOUNT).hint(w::ACCOUNT_HINT);
    FormPage::new(shell, "/forgot", w::FORGOT_DO)
        .line(w::FORGOT_WHY)
        .input(account.value(form.text("account")))
        .input(Input::new("email", w::EMAIL, kind::OWN_EMAIL).value(form.text("email")))
        .out("/sign-in", w::CANCEL)
}

pub(super) async fn send_link(call: &mut PageRequest<'_>) -> PageResult {
    let form = call.form().await?;
    if !call.sends_mail() {
        return Ok(no_link(call));
    }
    match ask_for_link(call, &form) {
        Ok(()) => Ok(redirect_with_notice(call.app, "/sign-in", w::FORGOT_SENT)),
        Err(failure) => Ok(forgot_sheet(call, &form).refused(&failure)),
    }
}

fn ask_for_link(call: &PageRequest<'_>, form: &FormBody) -> Result<(), Failure> {
    let mut read = form.reader();
    let account = read.read("account", AccountSlug::named);
    let email = read.read("email", Email::parse);
    let (account, email) = read.done(account.zip(email))?;
    passwords::request(call.app, account, email, &call.from())
}

pub(super) async fn reset(call: &mut PageRequest<'_>) -> PageResult {
    Ok(reset_sheet(call, None).page())
}

/// Asks for the code, unless a valid one is known.
fn reset_sheet<'p>(call: &PageRequest<'_>, known: Option<&str>) -> FormPage<'p> {
    let shell = PageLayout::outside(call.app, call.request, w::RESET);
    let sheet = FormPage::new(shell, "/reset", w::SAVE).line(w::RESET_WHY);
    let sheet = match known {
        Some(token) => sheet.hidden("token", token),
        None => sheet.input(sent()),
    };
    // The member, and so the account's rules, are known only once the link was given.
    let rules = w::password_rules_of_anybody(chars_min(false), chars_min(true));
    sheet
        .input(Input::new("password", w::NEW_PASSWORD, kind::NEW_PASSWORD).hint(rules))
        .instead("/forgot", w::RESET_AGAIN)
}

fn sent() -> Input {
    Input::new("token", w::LINK_OR_CODE, kind::SENT).hint(w::LINK_OR_CODE_HINT)
}

pub(super) async fn set(call: &mut PageRequest<'_>) -> PageResult {
    let form = call.form().await?;
    let token = code_in(form.text("token"));
    let done =
        passwords::reset_by_link(call.app, &token, form.text("password"), &call.from()).await;
    match done {
        Ok(_) => Ok(redirect_with_notice(call.app, "/sign-in", w::RESET_DONE)),
        Err(failure) => {
            let known = Some(token.as_str()).filter(|_| failure.kind != Kind::Gone);
            Ok(reset_sheet(call, known).refused(&failure))
        }
    }
}

pub(super) async fn confirm_email(call: &mut PageRequest<'_>) -> PageResult {
    Ok(confirm_sheet(call).page())
}

fn confirm_sheet<'p>(call: &PageRequest<'_>) -> FormPage<'p> {
    let shell = PageLayout::outside(call.app, call.request, w::CONFIRM_EMAIL);
    FormPage::new(shell, "/confirm-email", w::CONFIRM_EMAIL_DO)
        .line(w::CONFIRM_EMAIL_WHY)
        .input(sent())
}

pub(super) async fn confirmed_email(call: &mut PageRequest<'_>) -> PageResult {
    let form = call.form().await?;
    let done = match own_profile::confirm_email(call.app, &code_in(form.text("token"))).await {
        Ok(done) => done.value,
        Err(failure) => {
            let public = match failure.kind {
                Kind::Gone => w::CONFIRM_EMAIL_GONE.to_owned(),
                _ => failure.public,
            };
            return Ok(confirm_sheet(call).refused(&Failure { public, ..failure }));
        }
    };
    let waits = |told| Ok(redirect_with_notice(call.app, "/confirm-email", told));
    match done {
        EmailConfirmed::WaitingFor(AddressSide::Old) => waits(w::CONFIRMED_WAITS_FOR_OLD),
        EmailConfirmed::WaitingFor(AddressSide::New) => waits(w::CONFIRMED_WAITS_FOR_NEW),
        EmailConfirmed::Changed(member) => {
            let next = if call.viewer().await.is_ok() { "/me" } else { "/sign-in" };
            Ok(redirect_with_notice(call.app, next, &w::email_is(member.email.as_str())))
        }
    }
}
