//! Changes of the viewer's own name, address and password; and leaving.
//!
//! What must not be done from an unattended screen asks for the password again.

use super::edit_conflict;
use super::form_page::{EditConflict, FormPage, Input, kind};
use super::member::is_last_administrator;
use super::page_layout::{MessagePage, PageLayout, not_possible, page, redirect_with_notice};
use super::page_request::{CurrentUser, FormBody, PageRequest, PageResult};
use super::page_urls::{BACK, LocalPath};
use super::roles::title;
use super::texts as w;
use super::two_step::{proof_asked, proof_shown};
use crate::browser_security;
use crate::domain::{Email, Failure, Kind, Name};
use crate::http::Reply;
use crate::password::chars_min;
use crate::services::{members, own_profile, passwords};

pub(super) async fn password_form(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    Ok(password_sheet(call, &viewer).page())
}

fn password_sheet<'p>(call: &PageRequest<'_>, viewer: &'p CurrentUser) -> FormPage<'p> {
    let sheet =
        FormPage::new(PageLayout::own(call, viewer, w::CHANGE_PASSWORD), "/me/password", w::SAVE)
            .line(w::CHANGE_PASSWORD_WHY)
            .cancel("/me");
    let rules = w::password_rules(chars_min(viewer.account.two_step_enforced));
    proof_asked(sheet, viewer, w::CURRENT_PASSWORD)
        .input(Input::new("new_password", w::NEW_PASSWORD, kind::NEW_PASSWORD).hint(rules))
}

pub(super) async fn set_password(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let form = call.form().await?;
    let (shown, new) = (proof_shown(&form), form.text("new_password"));
    let signed_in = viewer.signed_in.clone();
    match passwords::change_own(call.app, signed_in, &shown, new, call.from()).await {
        Ok(done) => {
            let (entered, ended) = done.value;
            let told = w::and_others_ended(w::PASSWORD_IS_CHANGED, ended);
            Ok(browser_security::keeping(
                redirect_with_notice(call.app, "/me", &told),
                &entered.token,
            ))
        }
        Err(failure) => password_sheet(call, &viewer).not_taken(of_new_password(failure)),
    }
}

/// The rules name the field `password`, which is the new one here.
fn of_new_password(mut failure: Failure) -> Failure {
    if failure.kind == Kind::Invalid {
        for (name, _) in &mut failure.fields {
            "new_password".clone_into(name);
        }
    }
    failure
}

pub(super) async fn name_form(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let CurrentUser { member, .. } = &viewer;
    let version = member.version.0.to_string();
    let form = FormBody::filled(&[
        ("first_name", member.first_name.as_str()),
        ("last_name", member.last_name.as_str()),
        ("version", &version),
        (BACK, &call.back("/me")),
    ]);
    Ok(names_sheet(call, &viewer, &form).page())
}

fn names_sheet<'p>(
    call: &PageRequest<'_>,
    viewer: &'p CurrentUser,
    form: &FormBody,
) -> FormPage<'p> {
    let input = |name, label, kind| Input::new(name, label, kind).value(form.text(name));
    FormPage::new(PageLayout::own(call, viewer, w::CHANGE_NAME), "/me/names", w::SAVE)
        .hidden("version", form.text("version"))
        .input(input("first_name", w::GIVEN_NAME, kind::GIVEN))
        .input(input("last_name", w::FAMILY_NAME, kind::FAMILY).optional())
        .leads_back(form.back("/me"))
}

pub(super) async fn set_names(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let form = call.form().await?;
    match change_names(call, &viewer, &form).await {
        Ok(()) => Ok(redirect_with_notice(call.app, &form.back("/me"), w::NAME_CHANGED)),
        Err(failure) if failure.kind == Kind::Stale => {
            let viewer = call.viewer().await?;
            let CurrentUser { member, .. } = &viewer;
            let role = title(&call.app.policies.load(), &member.role);
            let current = edit_conflict::of_member(member, role);
            let id = member.id.as_str();
            let by = edit_conflict::about(call, &viewer, id, member.version, current).await;
            let anew = LocalPath::at("/me/names").with(BACK, &form.back("/me")).path();
            let by = EditConflict { anew: Some(anew), ..by };
            Ok(names_sheet(call, &viewer, &form).overtaken(&failure, by))
        }
        Err(failure) => names_sheet(call, &viewer, &form).not_taken(failure),
    }
}

async fn change_names(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    form: &FormBody,
) -> Result<(), Failure> {
    let mut read = form.reader();
    let first_name = read.read("first_name", |text| Name::parse("first_name", text));
    let last_name = read.read("last_name", Name::last);
    let (first, last) = read.done(first_name.zip(last_name))?;
    let (signed_in, expected) = (viewer.signed_in.clone(), form.version());
    own_profile::edit(call.app, signed_in, expected, Some(first), Some(last)).await.map(drop)
}

/// Where no mail is sent a new address cannot be confirmed, and nobody is asked for one.
fn no_new_email(call: &PageRequest<'_>, viewer: &CurrentUser) -> Reply {
    let shell = PageLayout::own(call, viewer, w::CHANGE_EMAIL);
    not_possible(shell, w::NEW_EMAIL_NO_MAIL, ("/me", w::TO_SECURITY))
}

pub(super) async fn email_form(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    if !call.sends_mail() {
        return Ok(no_new_email(call, &viewer));
    }
    Ok(email_sheet(call, &viewer, "").page())
}

fn email_sheet<'p>(call: &PageRequest<'_>, viewer: &'p CurrentUser, typed: &str) -> FormPage<'p> {
    let input = Input::new("email", w::NEW_EMAIL, kind::EMAIL).hint(w::NEW_EMAIL_HINT).value(typed);
    let sheet =
        FormPage::new(PageLayout::own(call, viewer, w::CHANGE_EMAIL), "/me/email", w::GO_ON)
            .input(input)
            .cancel("/me");
    proof_asked(sheet, viewer, w::YOUR_PASSWORD)
}

pub(super) async fn ask_email(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let form = call.form().await?;
    if !call.sends_mail() {
        return Ok(no_new_email(call, &viewer));
    }
    match begin_email(call, &viewer, &form).await {
        Ok(()) => Ok(redirect_with_notice(call.app, "/me", w::NEW_EMAIL_ASKED)),
        Err(failure) => email_sheet(call, &viewer, form.text("email")).not_taken(failure),
    }
}

async fn begin_email(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    form: &FormBody,
) -> Result<(), Failure> {
    let mut read = form.reader();
    let to = read.read("email", Email::parse);
    let to = read.done(to)?;
    let signed_in = viewer.signed_in.clone();
    own_profile::change_email(call.app, signed_in, to, &proof_shown(form), call.from())
        .await
        .map(|_| ())
}

pub(super) async fn ask_to_leave(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    Ok(match cannot_leave(call, &viewer).await {
        Some(reply) => reply,
        None => leave_sheet(call, &viewer).page(),
    })
}

/// An account keeps its last administrator.
async fn cannot_leave(call: &PageRequest<'_>, viewer: &CurrentUser) -> Option<Reply> {
    let administrators = members::administrators(call.app, &viewer.account.slug).await;
    is_last_administrator(&administrators, &viewer.member).then(|| {
        let shell = PageLayout::own(call, viewer, w::leave(&viewer.account.name));
        not_possible(shell, w::CANNOT_LEAVE, ("/team", w::TO_TEAM))
    })
}

fn leave_sheet<'p>(call: &PageRequest<'_>, viewer: &'p CurrentUser) -> FormPage<'p> {
    let shell = PageLayout::own(call, viewer, w::leave(&viewer.account.name));
    let sheet =
        FormPage::new(shell, "/me/leave", w::LEAVE).line(w::LEAVE_WHY).danger().cancel("/me");
    proof_asked(sheet, viewer, w::YOUR_PASSWORD)
}

pub(super) async fn leave(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let shown = proof_shown(&call.form().await?);
    if let Some(reply) = cannot_leave(call, &viewer).await {
        return Ok(reply);
    }
    match own_profile::leave(call.app, viewer.signed_in.clone(), &shown, call.from()).await {
        Ok(_) => {
            let title = w::has_left(&viewer.account.name);
            let shell = PageLayout::outside(call.app, call.request, title);
            let lines = vec![w::SIGNED_OUT_EVERYWHERE.to_owned()];
            let next = ("/sign-in".to_owned(), w::TO_SIGN_IN);
            Ok(browser_security::forgetting(page(&MessagePage { shell, lines, next })))
        }
        Err(failure) => leave_sheet(call, &viewer).not_taken(failure),
    }
}
