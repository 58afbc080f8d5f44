//! The viewer's own passkeys: added in two steps, and removed.
//!
//! The member is re-authenticated first, then the browser is asked: the page carries the challenge,
//! and the script calls the browser and puts the response into the form, which is sent like every
//! other form.

use super::form_page::{BrowserPrompt, FormPage, Input, kind};
use super::page_layout::{PageLayout, not_possible, redirect_with_notice};
use super::page_request::{CurrentUser, FormBody, PageRequest, PageResult};
use super::texts as w;
use super::two_step::{proof_asked, proof_shown};
use crate::domain::passkey::{too_many, unknown};
use crate::domain::{Failure, Kind, Name, Passkey, PasskeyId, limits};
use crate::http::Reply;
use crate::services::passkeys::{self, PasskeyPrompt};
use crate::services::two_step::{self, TwoStepStatus};

/// Why a member cannot add a passkey now; `None` if the member can.
pub(super) fn why_none_more(call: &PageRequest<'_>, standing: &TwoStepStatus) -> Option<String> {
    if standing.since.is_none() {
        return Some(w::PASSKEY_TWO_STEP_FIRST.to_owned());
    }
    let here = passkeys::offered(call.app);
    let room = || match standing.passkeys.len() {
        limits::PASSKEYS_MAX.. => Err(too_many()),
        _ => Ok(()),
    };
    here.and_then(|()| room()).err().map(|failure| w::refusal(&failure))
}

/// The challenge, and the browser's response, from the form.
pub(super) fn answer(form: &FormBody) -> Result<passkeys::PasskeyAnswer, Failure> {
    let (challenge, credential) = (form.text("challenge"), form.text("credential"));
    if credential.is_empty() {
        return Err(Failure::new(Kind::Invalid, "credential", w::PASSKEY_UNSCRIPTED));
    }
    Ok(passkeys::PasskeyAnswer {
        challenge: challenge.to_owned(),
        credential: credential.to_owned(),
    })
}

pub(super) async fn ask(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    Ok(match none_more(call, &viewer).await? {
        Some(reply) => reply,
        None => ask_sheet(call, &viewer, "").page(),
    })
}

/// The page for a member who cannot add a passkey now.
async fn none_more(call: &PageRequest<'_>, viewer: &CurrentUser) -> Result<Option<Reply>, Failure> {
    let standing = two_step::standing(call.app, &viewer.signed_in).await?;
    let next = match standing.since {
        None => ("/me/two-step", w::SET_UP_TWO_STEP),
        Some(_) => ("/me", w::TO_SECURITY),
    };
    Ok(why_none_more(call, &standing)
        .map(|why| not_possible(PageLayout::own(call, viewer, w::ADD_PASSKEY), why, next)))
}

fn ask_sheet<'p>(call: &PageRequest<'_>, viewer: &'p CurrentUser, name: &str) -> FormPage<'p> {
    let sheet =
        FormPage::new(PageLayout::own(call, viewer, w::ADD_PASSKEY), "/me/passkeys/new", w::GO_ON)
            .line(w::ADD_PASSKEY_WHY)
            .needs_script(w::PASSKEY_UNSCRIPTED)
            .input(Input::new("name", w::NAME, kind::TEXT).hint(w::PASSKEY_NAME_HINT).value(name))
            .cancel("/me");
    proof_asked(sheet, viewer, w::YOUR_PASSWORD)
}

pub(super) async fn begin(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let form = call.form().await?;
    if let Some(reply) = none_more(call, &viewer).await? {
        return Ok(reply);
    }
    match begun(call, &viewer, &form).await {
        Ok((name, asked)) => Ok(browser_sheet(call, &viewer, &name, asked).page()),
        Err(failure) => ask_sheet(call, &viewer, form.text("name")).not_taken(failure),
    }
}

/// Checks the name before a code is requested.
async fn begun(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    form: &FormBody,
) -> Result<(Name, PasskeyPrompt), Failure> {
    let name = named(form)?;
    let shown = proof_shown(form);
    let asked = passkeys::begin(call.app, &viewer.signed_in, &shown, &call.from()).await?;
    Ok((name, asked))
}

fn named(form: &FormBody) -> Result<Name, Failure> {
    let mut read = form.reader();
    let name = read.read("name", |text| Name::parse("name", text));
    read.done(name)
}

fn browser_sheet<'p>(
    call: &PageRequest<'_>,
    viewer: &'p CurrentUser,
    name: &Name,
    asked: PasskeyPrompt,
) -> FormPage<'p> {
    let shell = PageLayout::own(call, viewer, w::ADD_PASSKEY);
    FormPage::new(shell, "/me/passkeys/confirm", w::MAKE_PASSKEY)
        .line(w::MAKE_PASSKEY_WHY)
        .needs_script(w::PASSKEY_UNSCRIPTED)
        .hidden("name", name.as_str())
        .asks(BrowserPrompt::New(asked))
        .cancel("/me")
}

pub(super) async fn confirm(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let form = call.form().await?;
    match confirmed(call, &viewer, &form).await {
        Ok(added) => {
            Ok(redirect_with_notice(call.app, "/me", &w::passkey_added(added.name.as_str())))
        }
        // Another challenge needs another code: starts again, under the same name.
        Err(failure) => ask_sheet(call, &viewer, form.text("name")).not_taken(failure),
    }
}

async fn confirmed(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    form: &FormBody,
) -> Result<Passkey, Failure> {
    let (name, answer) = (named(form)?, answer(form)?);
    Ok(passkeys::confirm(call.app, &viewer.signed_in, &answer, name).await?.value)
}

pub(super) async fn ask_remove(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let passkey = own(call, &viewer).await?;
    Ok(remove_sheet(call, &viewer, &passkey).page())
}

async fn own(call: &PageRequest<'_>, viewer: &CurrentUser) -> Result<Passkey, Failure> {
    let id = PasskeyId::parse(&call.id).ok_or_else(unknown)?;
    let known = passkeys::list(call.app, &viewer.signed_in).await?;
    known.into_iter().find(|passkey| passkey.id == id).ok_or_else(unknown)
}

fn remove_sheet<'p>(
    call: &PageRequest<'_>,
    viewer: &'p CurrentUser,
    passkey: &Passkey,
) -> FormPage<'p> {
    let title = w::remove_passkey(passkey.name.as_str());
    let action = format!("/me/passkeys/{}/remove", passkey.id);
    let sheet = FormPage::new(PageLayout::own(call, viewer, title), action, w::REMOVE)
        .line(w::REMOVE_PASSKEY_WHY)
        .danger()
        .cancel("/me");
    proof_asked(sheet, viewer, w::YOUR_PASSWORD)
}

pub(super) async fn remove(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let passkey = own(call, &viewer).await?;
    let shown = proof_shown(&call.form().await?);
    let (own, id) = (&viewer.signed_in, passkey.id.clone());
    match passkeys::remove(call.app, own, id, &shown, &call.from()).await {
        Ok(_) => {
            Ok(redirect_with_notice(call.app, "/me", &w::passkey_removed(passkey.name.as_str())))
        }
        Err(failure) => remove_sheet(call, &viewer, &passkey).not_taken(failure),
    }
}
