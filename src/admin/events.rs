//! `/events`: members of the account that changed or left, as server-sent events (HTML, section
//! 9.2), so that a product can end what it still has open for them.

use super::api_request::{ApiRequest, ApiResult};
use super::response_documents;
use crate::http::Reply;
use crate::services::member_event_stream;

/// The stream ends in order when the caller may listen no longer, or the sidecar stops: the client
/// connects again.
pub(super) async fn listen(call: &mut ApiRequest<'_>) -> ApiResult {
    let caller = call.caller().await?;
    let (told, place) = member_event_stream::listen(call.app, caller).await?;
    Ok(Reply::events(told, place, |event| response_documents::event(&event).into()))
}
