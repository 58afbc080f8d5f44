//! `/members/{id}/erase`, `/members/{id}/data` and `/me/data`: personal data.

use super::api_request::{ApiRequest, ApiResult};
use super::fleet::WaitForAll;
use super::response_documents::{self, Changed};
use crate::http::Reply;
use crate::services::personal_data;

pub(super) async fn erase(call: &mut ApiRequest<'_>) -> ApiResult {
    let id = call.member_id()?;
    let wait = WaitForAll::of(call);
    let caller = call.caller().await?;
    let done = personal_data::erase(call.app, caller, id.clone()).await?;
    let reached = wait.erased(call).await;
    let erasure = response_documents::Erasure::of(&id, done.value, reached);
    Ok(Reply::json_of(&Changed::new(erasure, done.revision)))
}

pub(super) async fn of_member(call: &mut ApiRequest<'_>) -> ApiResult {
    let id = call.member_id()?;
    let caller = call.caller().await?;
    let data = personal_data::of_member(call.app, caller, &id).await?;
    Ok(Reply::json_of(&response_documents::MemberData::of(call.app, data, None)))
}

pub(super) async fn own(call: &mut ApiRequest<'_>) -> ApiResult {
    let signed_in = call.signed_in()?;
    let data = personal_data::own(call.app, &signed_in).await?;
    Ok(Reply::json_of(&response_documents::MemberData::of(
        call.app,
        data,
        Some(signed_in.session()),
    )))
}
