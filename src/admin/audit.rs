//! `/audit`: the audit log, and the verification of its hash chains.

use super::api_request::{ApiRequest, ApiResult, RequestSource};
use super::response_documents::{self, List};
use crate::domain::{AuditEvent, Failure, MemberId};
use crate::http::Reply;
use crate::services::audit;
use crate::store::AuditFilter;

/// The events, each with its name.
pub(super) fn events() -> [(&'static str, AuditEvent); AuditEvent::ALL.len()] {
    AuditEvent::ALL.map(|event| (event.as_str(), event))
}

pub(super) async fn list(call: &mut ApiRequest<'_>) -> ApiResult {
    let of_store = call.params.one_of("chain", &[("store", ())]).is_some();
    let filter = AuditFilter {
        member: call.params.read_as("member", MemberId::parse).map(|id| id.to_string()),
        event: call.params.one_of("event", &events()),
    };
    let after = call.params.read_as("after", sequence);
    let limit = call.params.limit();
    // The store's chain belongs to no account, so `account` with it is a fault.
    let page = if of_store {
        let permit = call.operator()?;
        audit::list_store(call.app, &permit, &filter, after, limit).await?
    } else {
        let caller = call.caller().await?;
        audit::list(call.app, caller, &filter, after, limit).await?
    };
    Ok(Reply::json_of(&List::<response_documents::AuditLogEntry>::from(page)))
}

fn sequence(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|_| {
        Failure::invalid(
            "after",
            "`after` is not a valid cursor: send the `next` of the previous page",
        )
    })
}

/// The caller's chain; for the operator of the sidecar, who names no account, every chain.
pub(super) async fn verify(call: &mut ApiRequest<'_>) -> ApiResult {
    let every =
        matches!(call.who, Some(RequestSource::Sidecar { .. })) && !call.params.names("account");
    let reports = if every {
        let permit = call.operator()?;
        audit::verify_all(call.app, &permit).await?
    } else {
        let caller = call.caller().await?;
        vec![audit::verify(call.app, caller).await?]
    };
    Ok(Reply::json_of(&List::<response_documents::ChainVerification>::whole(reports)))
}
