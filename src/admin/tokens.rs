//! `/tokens`: list, create and revoke API tokens.
//!
//! The secret is in one response only, the one that creates the token. A token cannot create or
//! revoke tokens.

use super::CREATED;
use super::api_request::{ApiRequest, ApiResult, RequestSource};
use super::fleet::WaitForAll;
use super::json_body::JsonBody;
use super::response_documents::{ApiToken, ApiTokenMade, Changed, List};
use super::two_step::shown_if_any;
use crate::domain::{MemberId, Name, RoleId, limits};
use crate::http::Reply;
use crate::services::api_tokens::{self, TokenRequest};
use crate::services::caller::operator_only;

/// The permitted lifetimes of a token, in days.
pub(super) const DAYS: std::ops::RangeInclusive<u64> = 1..=limits::API_TOKEN_DAYS_MAX;

pub(super) async fn list(call: &mut ApiRequest<'_>) -> ApiResult {
    let member = call.params.read_as("member", MemberId::parse);
    let (after, limit) = (call.params.text("after"), call.params.limit());
    let caller = call.caller().await?;
    let page = api_tokens::list(call.app, caller, member.as_ref(), after.as_deref(), limit).await?;
    let items = page.items.into_iter().map(|listed| ApiToken::listed(call.app, listed)).collect();
    Ok(Reply::json_of(&List { items, next: page.next }))
}

/// A member must re-authenticate; the operator of the sidecar names the member.
pub(super) async fn create(call: &mut ApiRequest<'_>) -> ApiResult {
    let done = match call.who {
        Some(RequestSource::Sidecar { .. }) => {
            let caller = call.caller().await?;
            let mut form = call.form().await?;
            let given = wanted(&mut form).zip(form.required("member", MemberId::parse));
            let (wanted, member) = form.done(given)?;
            api_tokens::create_for(call.app, caller, wanted, member).await?
        }
        _ => {
            let signed_in = call.signed_in()?;
            let mut form = call.form().await?;
            let wanted = wanted(&mut form);
            let (member, shown) =
                (form.optional("member", MemberId::parse), shown_if_any(&mut form));
            let wanted = form.done(wanted)?;
            if member.is_some_and(|member| member != *signed_in.member()) {
                return Err(operator_only());
            }
            api_tokens::create_own(call.app, signed_in, wanted, shown, call.from()).await?
        }
    };
    let made = ApiTokenMade::of(call.app, done.value);
    Ok(Reply::json_of(&Changed::new(made, done.revision)).status(CREATED))
}

fn wanted(form: &mut JsonBody) -> Option<TokenRequest> {
    let name = form.required("name", |text| Name::parse("name", text));
    let role = form.required("role", RoleId::parse);
    let days = form.required_whole("expires_days", DAYS);
    let ((name, role), days) = name.zip(role).zip(days)?;
    Some(TokenRequest { name, role, days: i64::try_from(days).ok()? })
}

pub(super) async fn revoke(call: &mut ApiRequest<'_>) -> ApiResult {
    let id = call.api_token_id()?;
    let wait = WaitForAll::of(call);
    let caller = call.caller().await?;
    let done = api_tokens::revoke(call.app, caller, id).await?;
    let token = ApiToken::of(call.app, &done.value);
    let seen = wait.seen(call).await;
    Ok(Reply::json_of(&Changed::new(token, done.revision).seen(seen)))
}
