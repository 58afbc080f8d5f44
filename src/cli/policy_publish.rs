//! `kwic-team policy publish`: a folder becomes the policies of all nodes of a fleet.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::output::{self, text};
use super::sidecar_client::{ApiCall, SidecarClient, WAIT_ALL};
use super::{CommandError, CommandResult, Exit, Global, policy_approve_and_rollback};
use crate::domain::escaped_text::printable;
use crate::policy_folder;

/// `wait`: for how many seconds at most it is waited for all nodes, if at all.
pub(super) fn run(global: &Global, dir: &Path, wait: Option<u64>) -> CommandResult {
    let body = json!({"files": files(dir)?});
    let path = match wait {
        None => "/api/v1/policies/publish".to_owned(),
        Some(seconds) => {
            format!("/api/v1/policies/publish?{WAIT_ALL}&wait_seconds={seconds}")
        }
    };
    let call = ApiCall::new("POST", path).body(&body);
    let published = SidecarClient::of(global)?.json(&call)?;
    policy_approve_and_rollback::print(global, &published)?;
    let Some(nodes) = published.get("nodes") else { return Ok(Exit::Ok) };
    let sentence = text(nodes, "sentence");
    if nodes.get("all").and_then(Json::as_bool) == Some(true) {
        if !global.json {
            output::say(&sentence)?;
        }
        return Ok(Exit::Ok);
    }
    let is_refused = nodes.get("refused").and_then(Json::as_array).is_some_and(|it| !it.is_empty());
    let exit = if is_refused { Exit::PoliciesRefused } else { Exit::Failure };
    Err(CommandError::new(exit, sentence))
}

/// Path and text of each file. The sidecar checks the set; what it would not see is refused here.
fn files(dir: &Path) -> Result<Vec<Json>, CommandError> {
    let read = policy_folder::read(dir)?;
    let mut faults: Vec<String> =
        read.misplaced().iter().map(|(path, why)| printable(&format!("{path}: {why}"))).collect();
    let mut files = Vec::new();
    for (path, bytes) in read.iter() {
        match std::str::from_utf8(bytes) {
            Ok(text) => files.push(json!({"path": path, "text": text})),
            Err(_) => faults.push(printable(&format!("{path}: is not UTF-8"))),
        }
    }
    if faults.is_empty() {
        return Ok(files);
    }
    Err(CommandError::new(Exit::PoliciesRefused, faults.join("\n")))
}
