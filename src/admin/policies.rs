//! `/policies`: the live policy set, a preview of what the folder would change, and a reload.

use super::api_request::{ApiRequest, ApiResult, RequestSource};
use super::wire;
use crate::domain::Failure;
use crate::http::Reply;
use crate::services::permissions::{Permit, StorePermit};
use crate::services::reload;
use crate::services::rights::Right;

pub(super) async fn show(call: &mut ApiRequest<'_>) -> ApiResult {
    match call.who {
        Some(RequestSource::Member(_) | RequestSource::Token(_)) => {
            let caller = call.caller().await?;
            Permit::authorize(call.app, caller, [Right::VIEW_SETTINGS]).await?;
        }
        _ => drop(call.operator()?),
    }
    let (live, status) = (call.app.policies.load(), call.app.policy_status.load());
    Ok(Reply::json_of(&wire::Policies::new(&live, &status)))
}

pub(super) async fn check(call: &mut ApiRequest<'_>) -> ApiResult {
    let permit = managing(call).await?;
    Ok(Reply::json_of(&wire::Reload::from(reload::check(call.app, &permit).await?)))
}

pub(super) async fn reload(call: &mut ApiRequest<'_>) -> ApiResult {
    let permit = managing(call).await?;
    let report = reload::reload_now(call.app, permit).await?;
    Ok(Reply::json_of(&wire::Reload::from(report)))
}

async fn managing(call: &mut ApiRequest<'_>) -> Result<StorePermit, Failure> {
    match call.who {
        Some(RequestSource::Member(_) | RequestSource::Token(_)) => {
            let caller = call.caller().await?;
            StorePermit::managing_policies(call.app, caller).await
        }
        _ => call.operator(),
    }
}
