//! `/fleet` and `/keys/activate`: the nodes that share a log, forgetting one, and new keys on all of them;
//! waiting until all have seen a change.

use std::time::Duration;

use super::api_request::{ApiRequest, ApiResult};
use super::response_documents;
use crate::domain::Failure;
use crate::http::Reply;
use crate::services::fleet_erasure::{self, ErasureReceipt};
use crate::services::fleet_key_activation;
use crate::services::fleet_status::{self, SeenBy, WAIT_MAX, WAIT_USUAL};
use crate::services::policy_publish::{self, PublishedOn};

pub(super) async fn show(call: &mut ApiRequest<'_>) -> ApiResult {
    let permit = call.operator()?;
    let status = fleet_status::status(call.app, &permit).await?;
    let status = status.ok_or_else(fleet_status::no_fleet)?;
    let erasure = fleet_erasure::receipt(call.app, &permit).await?;
    Ok(Reply::json_of(&response_documents::Fleet::of(status, erasure)))
}

pub(super) async fn forget(call: &mut ApiRequest<'_>) -> ApiResult {
    let permit = call.operator()?;
    let name = fleet_status::forget(call.app, &permit, &call.id).await?;
    Ok(Reply::json_of(&response_documents::ForgottenNode::of(name)))
}

pub(super) async fn activate_keys(call: &mut ApiRequest<'_>) -> ApiResult {
    let permit = call.operator()?;
    let activated = fleet_key_activation::activate(call.app, &permit).await?;
    Ok(Reply::json_of(&response_documents::KeysActivated::from(activated)))
}

/// For how long a change is to wait until every node has seen it; none where it is not to.
#[derive(Clone, Copy, Debug)]
pub(super) struct WaitForAll(Option<Duration>);

impl WaitForAll {
    /// Reads `wait=all` and `wait_seconds`, either of which asks to wait. Before the other parameters
    /// are finished.
    pub(super) fn of(call: &mut ApiRequest<'_>) -> Self {
        let waits = call.params.one_of("wait", &[("all", ())]).is_some();
        let most = WAIT_MAX.as_secs();
        let seconds = call.params.read_as("wait_seconds", |text| match text.parse() {
            Ok(seconds) if (1..=most).contains(&seconds) => Ok(seconds),
            _ => Err(Failure::invalid(
                "wait_seconds",
                format!("`wait_seconds` must be a whole number from 1 to {most}"),
            )),
        });
        let limit = seconds.map(Duration::from_secs);
        Self(limit.or(waits.then_some(WAIT_USUAL)))
    }

    /// Waits, after the change was made; none where that was not asked for.
    pub(super) async fn seen(self, call: &ApiRequest<'_>) -> Option<SeenBy> {
        Some(fleet_status::seen_by_all(call.app, self.0?).await)
    }

    /// The same after policies were published, until they are live everywhere.
    pub(super) async fn published(self, call: &ApiRequest<'_>) -> Option<PublishedOn> {
        Some(policy_publish::live_on_all(call.app, self.0?).await)
    }

    /// The same after an erasure, until it has reached everything; none for a sidecar on its own.
    pub(super) async fn erased(self, call: &ApiRequest<'_>) -> Option<ErasureReceipt> {
        fleet_erasure::reached_all(call.app, self.0?).await
    }
}
