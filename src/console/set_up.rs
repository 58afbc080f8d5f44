//! Creation of the first account and its administrator, with the link that the sidecar prints at
//! its first start.

use super::accept_invitation::{code_in, enter_joined};
use super::form_page::{FormPage, FormPart, Input, kind};
use super::page_layout::{MessagePage, PageLayout, page};
use super::page_request::{FormBody, PageRequest, PageResult};
use super::texts as w;
use crate::domain::{AccountSlug, Email, Failure, Kind, Name};
use crate::password::chars_min;
use crate::services::accounts::checked_name;
use crate::services::set_up::{FirstAccountRequest, is_offered, set_up};

pub(super) async fn show(call: &mut PageRequest<'_>) -> PageResult {
    if is_offered(call.app) {
        return Ok(sheet(call, &FormBody::default(), true).page());
    }
    let shell = PageLayout::outside(call.app, call.request, w::FIRST_DONE);
    let lines = vec![w::FIRST_DONE_WHY.to_owned()];
    Ok(page(&MessagePage { shell, lines, next: ("/sign-in".to_owned(), w::SIGN_IN) }))
}

/// The fields; the code again only if it was wrong.
fn sheet<'p>(call: &PageRequest<'_>, form: &FormBody, ask_code: bool) -> FormPage<'p> {
    let shell = PageLayout::outside(call.app, call.request, w::FIRST);
    let input = |name, label, kind| Input::new(name, label, kind).value(form.text(name));
    let sheet = FormPage::new(shell, "/setup", w::FIRST_DO).line(w::FIRST_WHY);
    let sheet = if ask_code {
        sheet.input(input("token", w::FIRST_CODE, kind::SENT).hint(w::LINK_OR_CODE_HINT))
    } else {
        sheet.hidden("token", form.text("token"))
    };
    let rules = w::password_rules(chars_min(false));
    sheet
        .input(input("name", w::NAME_OF_TEAM, kind::TEXT))
        .input(input("slug", w::ACCOUNT, kind::ACCOUNT).hint(w::FIRST_SLUG_HINT))
        .input(input("first_name", w::GIVEN_NAME, kind::GIVEN))
        .input(input("last_name", w::FAMILY_NAME, kind::FAMILY).optional())
        .input(input("email", w::EMAIL, kind::OWN_EMAIL))
        .part(FormPart::Input(
            Input::new("password", w::JOIN_SET_PASSWORD, kind::NEW_PASSWORD).hint(rules),
        ))
}

pub(super) async fn done(call: &mut PageRequest<'_>) -> PageResult {
    let form = call.form().await?;
    match try_to_set_up(call, &form).await {
        Ok(reply) => Ok(reply),
        Err(failure) => {
            let ask_code = failure.kind == Kind::Gone || form.text("token").is_empty();
            Ok(sheet(call, &form, ask_code).refused(&failure))
        }
    }
}

async fn try_to_set_up(call: &PageRequest<'_>, form: &FormBody) -> PageResult {
    let first = first(form)?;
    let (token, password) = (code_in(form.text("token")), form.text("password"));
    let made = set_up(call.app, &token, first, password, &call.from()).await?;
    let (account, member) = made.value;
    enter_joined(call, member, password, &w::joined(&account.name)).await
}

fn first(form: &FormBody) -> Result<FirstAccountRequest, Failure> {
    let mut read = form.reader();
    let name = read.read("name", checked_name);
    let slug = read.read("slug", AccountSlug::typed);
    let first_name = read.read("first_name", |text| Name::parse("first_name", text));
    let last_name = read.read("last_name", Name::last);
    let email = read.read("email", Email::parse);
    let given = name.zip(slug).zip(first_name.zip(last_name)).zip(email);
    let (((name, slug), (first_name, last_name)), email) = read.done(given)?;
    Ok(FirstAccountRequest { slug, name, email, first_name, last_name, role: None })
}
