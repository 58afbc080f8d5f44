//! `/accounts` and `/account`: list and create accounts, the tenants of the product, and read and change the
//! settings of one.

use std::time::Duration;

use super::api_request::{ApiRequest, ApiResult};
use super::if_match::tag;
use super::json_body::JsonBody;
use super::response_documents::{Account, AccountWithInvite, Changed, Invite, List};
use crate::domain::{AccountSlug, Email, Failure, Name, RoleId, limits};
use crate::http::Reply;
use crate::services::accounts::{self, CreatedAccount, FirstMember};
use crate::services::invites::InviteWithLink;
use crate::store::{AccountEdit, Committed};

pub(super) async fn list(call: &mut ApiRequest<'_>) -> ApiResult {
    let permit = call.operator()?;
    let found = accounts::list(call.app, &permit).await?;
    let items = found.into_iter().map(|account| Account::of(call.app, account)).collect();
    Ok(Reply::json_of(&List { items, next: None }))
}

pub(super) async fn create(call: &mut ApiRequest<'_>) -> ApiResult {
    let permit = call.operator()?;
    let mut form = call.form().await?;
    let slug = form.required("slug", AccountSlug::typed);
    let name = form.required("name", accounts::checked_name);
    let first = first_member(&mut form);
    let (slug, name) = form.done(slug.zip(name))?;
    let made = accounts::create(call.app, permit, slug, &name, first).await?;
    let Committed { revision, value: CreatedAccount { account, invite } } = made;
    let invite = invite.map(|(view, link)| {
        let link = Some(link);
        let warning = view.invite.email.hint();
        let shown = InviteWithLink { view, inviter: None, link, warning, repeated: false };
        Invite::of(call.app, shown)
    });
    let record = AccountWithInvite { account: Account::of(call.app, account), invite };
    Ok(Reply::json_of(&Changed::new(record, revision)).status(super::CREATED))
}

/// The first administrator of the account: all fields or none. The last name may be left out.
fn first_member(form: &mut JsonBody) -> Option<FirstMember> {
    let [has_email, has_first_name, has_last_name, has_role] =
        ["email", "first_name", "last_name", "role"].map(|name| form.names(name));
    let email = form.optional("email", Email::parse);
    let first_name = form.optional("first_name", |text| Name::parse("first_name", text));
    let last_name = form.optional("last_name", Name::last);
    let role = form.optional("role", RoleId::parse);
    let is_named = has_email || has_first_name || has_last_name || has_role;
    if is_named && !(has_email && has_first_name) {
        let reason = "`email` and `first_name` name the first administrator: give both, or none";
        form.fault("email", reason.to_owned());
    }
    let last_name = if has_last_name { last_name } else { Name::last("").ok() };
    let (email, (first_name, last_name)) = email.zip(first_name.zip(last_name))?;
    Some(FirstMember { email, first_name, last_name, role })
}

pub(super) async fn show(call: &mut ApiRequest<'_>) -> ApiResult {
    let caller = call.caller().await?;
    let account = accounts::show(call.app, caller).await?;
    let etag = tag(account.version);
    Ok(Reply::json_of(&Account::of(call.app, account)).header("etag", etag))
}

pub(super) async fn edit(call: &mut ApiRequest<'_>) -> ApiResult {
    let expected = call.demanded()?;
    let caller = call.caller().await?;
    let edit = account_edit(call.form().await?)?;
    let Committed { revision, value } = accounts::edit(call.app, caller, expected, edit).await?;
    let etag = tag(value.version);
    let record = Changed::new(Account::of(call.app, value), revision);
    Ok(Reply::json_of(&record).header("etag", etag))
}

const HOUR: u64 = 3_600;
/// The permitted lifetimes of an invite, in hours.
pub(super) const INVITE_HOURS: std::ops::RangeInclusive<u64> =
    limits::INVITE_LIFETIME_MIN.as_secs() / HOUR..=limits::INVITE_LIFETIME_MAX.as_secs() / HOUR;

fn account_edit(mut form: JsonBody) -> Result<AccountEdit, Failure> {
    let hours = form.whole("invite_lifetime_hours", INVITE_HOURS);
    let edit = AccountEdit {
        name: form.optional("name", accounts::checked_name),
        invite_lifetime: hours.map(|hours| Duration::from_secs(hours * HOUR)),
        two_step_enforced: form.flag("two_step_enforced"),
    };
    let changes =
        edit.name.is_some() || edit.invite_lifetime.is_some() || edit.two_step_enforced.is_some();
    form.changing(edit, changes)
}
