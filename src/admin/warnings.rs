//! `/warnings`: what the operator of the sidecar should fix.

use super::api_request::{ApiRequest, ApiResult};
use super::response_documents::{self, List};
use crate::http::Reply;
use crate::services::operator_warnings;

pub(super) async fn list(call: &mut ApiRequest<'_>) -> ApiResult {
    let permit = call.operator()?;
    let all = operator_warnings::all(call.app, &permit).await;
    Ok(Reply::json_of(&List::<response_documents::Warning>::whole(all)))
}
