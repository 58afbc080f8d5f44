//! `/policies`: the live policy set, the history of sets, a preview of what the folder would change, a
//! reload, publishing to a fleet, the approval of a set that waits, the way back to a former one, and
//! where the shadow policies differ.

use super::api_request::{ApiRequest, ApiResult, RequestSource};
use super::fleet::WaitForAll;
use super::json_body::JsonBody;
use super::response_documents::{self, List};
use crate::domain::{Failure, PolicyFiles, limits};
use crate::http::Reply;
use crate::services::permits::StorePermit;
use crate::services::policy_history::{self, PolicyReader};
use crate::services::{policy_approval, policy_publish, policy_rollback, reload, shadow};

pub(super) async fn show(call: &mut ApiRequest<'_>) -> ApiResult {
    reading(call).await?;
    let (live, status) = (call.app.policies.load(), call.app.policy_status.load());
    Ok(Reply::json_of(&response_documents::Policies::new(&live, &status)))
}

pub(super) async fn history(call: &mut ApiRequest<'_>) -> ApiResult {
    let before = call.params.read_as("after", number);
    let limit = call.params.limit();
    let reader = reading(call).await?;
    let page = policy_history::list(call.app, &reader, before, limit).await?;
    Ok(Reply::json_of(&List::<response_documents::PolicyHistoryEntry>::from(page)))
}

pub(super) async fn history_entry(call: &mut ApiRequest<'_>) -> ApiResult {
    let reader = reading(call).await?;
    let set = policy_history::set(call.app, &reader, &call.id).await?;
    Ok(Reply::json_of(&response_documents::PolicySet::from(set)))
}

fn number(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|_| {
        Failure::invalid(
            "after",
            "`after` is not a valid cursor: send the `next` of the previous page",
        )
    })
}

pub(super) async fn check(call: &mut ApiRequest<'_>) -> ApiResult {
    let permit = managing(call).await?;
    Ok(Reply::json_of(&response_documents::Reload::from(reload::check(call.app, &permit).await?)))
}

pub(super) async fn reload(call: &mut ApiRequest<'_>) -> ApiResult {
    let permit = managing(call).await?;
    let report = reload::reload_now(call.app, permit).await?;
    Ok(Reply::json_of(&response_documents::Reload::from(report)))
}

pub(super) async fn publish(call: &mut ApiRequest<'_>) -> ApiResult {
    let wait = WaitForAll::of(call);
    let permit = managing(call).await?;
    let mut form = JsonBody::read(call.request, limits::POLICY_PUBLISH_BODY_BYTES_MAX).await?;
    let files = form.items("files", limits::POLICY_ENTRIES_MAX, |file| {
        let path = file.required("path", file_path);
        let text = file.required("text", |text| Ok(text.as_bytes().to_vec()));
        path.zip(text)
    });
    let files = form.done(files)?;
    let report = policy_publish::publish(call.app, permit, PolicyFiles::new(files)).await?;
    // What waits for approval is live nowhere.
    let nodes = if report.pending { None } else { wait.published(call).await };
    Ok(Reply::json_of(&response_documents::PoliciesPublished::new(report, nodes)))
}

/// The path of a file in a policy folder. What belongs to no folder is refused by the check.
fn file_path(text: &str) -> Result<String, Failure> {
    let is_short = text.chars().count() <= limits::POLICY_PATH_CHARS_MAX;
    if is_short && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(Failure::invalid(
        "path",
        format!(
            "`path` must be a path in the folder, such as `roles/operator.cedar`, with at most {} characters and no control characters",
            limits::POLICY_PATH_CHARS_MAX
        ),
    ))
}

pub(super) async fn approve(call: &mut ApiRequest<'_>) -> ApiResult {
    let permit = managing(call).await?;
    let mut form = call.form().await?;
    let digest = form.required("digest", |text| Ok(text.to_owned()));
    let digest = form.done(digest)?;
    let report = policy_approval::approve(call.app, permit, &digest).await?;
    Ok(Reply::json_of(&response_documents::Reload::from(report)))
}

pub(super) async fn rollback(call: &mut ApiRequest<'_>) -> ApiResult {
    let permit = managing(call).await?;
    let mut form = call.form().await?;
    let pin = form.flag("pin").unwrap_or_default();
    let set = form.required("set", |text| Ok(text.to_owned()));
    let set = form.done(set)?;
    let report = policy_rollback::rollback(call.app, permit, &set, pin).await?;
    Ok(Reply::json_of(&response_documents::Reload::from(report)))
}

pub(super) async fn unpin(call: &mut ApiRequest<'_>) -> ApiResult {
    let permit = managing(call).await?;
    let report = policy_rollback::unpin(call.app, permit).await?;
    Ok(Reply::json_of(&response_documents::Reload::from(report)))
}

pub(super) async fn shadow(call: &mut ApiRequest<'_>) -> ApiResult {
    let permit = managing(call).await?;
    let report = shadow::report(call.app, &permit).ok_or_else(shadow::no_folder)?;
    // The paths of this machine are for its operator.
    let is_operator = !matches!(call.who, Some(RequestSource::Member(_) | RequestSource::Token(_)));
    let folder = call.app.config.policies.shadow.as_ref().filter(|_| is_operator);
    let folder = folder.map(|folder| folder.display().to_string());
    Ok(Reply::json_of(&response_documents::Shadow::new(report, folder)))
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

async fn reading(call: &mut ApiRequest<'_>) -> Result<PolicyReader, Failure> {
    match call.who {
        Some(RequestSource::Member(_) | RequestSource::Token(_)) => {
            let caller = call.caller().await?;
            PolicyReader::of_member(call.app, caller).await
        }
        _ => call.operator().map(|permit| PolicyReader::of_operator(&permit)),
    }
}
