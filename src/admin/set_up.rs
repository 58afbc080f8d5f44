//! `/setup`: the creation of the first account.

use super::api_request::{ApiRequest, ApiResult};
use super::invites::{password, token};
use super::response_documents::{self, Account, Changed, FirstAccount};
use crate::domain::{AccountSlug, Email, Name, RoleId};
use crate::http::Reply;
use crate::services::accounts::checked_name;
use crate::services::set_up::{self, FirstAccountRequest};
use crate::store::Committed;

pub(super) async fn set_up(call: &mut ApiRequest<'_>) -> ApiResult {
    call.done()?;
    let mut form = call.form().await?;
    let token = token(&mut form);
    let slug = form.required("slug", AccountSlug::typed);
    let name = form.required("name", checked_name);
    let email = form.required("email", Email::parse);
    let first_name = form.required("first_name", |text| Name::parse("first_name", text));
    let last_name = form.required("last_name", Name::last);
    let role = form.optional("role", RoleId::parse);
    let password = password(&mut form, "password");
    let account = slug.zip(name).zip(email);
    let given = account.zip(first_name.zip(last_name)).zip(token.zip(password));
    let ((((slug, name), email), (first_name, last_name)), (token, password)) = form.done(given)?;
    let first = FirstAccountRequest { slug, name, email, first_name, last_name, role };
    let made = set_up::set_up(call.app, &token, first, &password, &call.from()).await?;
    let Committed { revision, value: (account, member) } = made;
    let account = Account::of(call.app, account);
    let record = FirstAccount { account, member: response_documents::Member::from(member) };
    Ok(Reply::json_of(&Changed::new(record, revision)).status(super::CREATED))
}
