//! `/who-may`: the members who may do an action; `/members/{id}/what-may`: the actions of a member.
//!
//! Each item with the sentence and the policies that explain it.

use super::api_request::{ApiRequest, ApiResult};
use super::query_params::QueryParams;
use super::response_documents::{ActionOfMember, List, MemberWhoMay};
use crate::domain::limits;
use crate::http::Reply;
use crate::services::who_may::{self, MemberActions, NamedResource, PageRequested};

pub(super) async fn who(call: &mut ApiRequest<'_>) -> ApiResult {
    let action = call.params.text("action");
    if action.is_none() {
        let missing = "`action` is missing: name one; `kwic-team role compare` lists the actions";
        call.params.fault("action", missing.to_owned());
    }
    let (resource, page) = on_page(&mut call.params);
    let (action, caller) = (action.unwrap_or_default(), call.caller().await?);
    let found = who_may::who_may(call.app, caller, &action, resource, page).await?;
    Ok(Reply::json_of(&List::<MemberWhoMay>::from(found)))
}

pub(super) async fn what(call: &mut ApiRequest<'_>) -> ApiResult {
    let id = call.member_id()?;
    let (resource, page) = on_page(&mut call.params);
    let caller = call.caller().await?;
    let MemberActions { resource, page } =
        who_may::what_may(call.app, caller, &id, resource, page).await?;
    let items = page.items.into_iter().map(|item| ActionOfMember::on(&resource, item)).collect();
    Ok(Reply::json_of(&List { items, next: page.next }))
}

/// The resource and the page of a call.
fn on_page(params: &mut QueryParams) -> (Option<NamedResource>, PageRequested) {
    let resource = params.read_as("resource", NamedResource::parse);
    let (after, limit) = (params.text("after"), params.limit_to(limits::EXPLAINED_ITEMS_MAX));
    (resource, PageRequested { after, limit })
}
