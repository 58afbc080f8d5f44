//! `/members/review`: the access review.

use super::api_request::{ApiRequest, ApiResult};
use super::response_documents::{self, List};
use crate::http::Reply;
use crate::services::access_review;

pub(super) async fn review(call: &mut ApiRequest<'_>) -> ApiResult {
    let caller = call.caller().await?;
    let found = access_review::review(call.app, caller).await?;
    Ok(Reply::json_of(&List::<response_documents::Finding>::whole(found)))
}
