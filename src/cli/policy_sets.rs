//! Policy sets as commands name them: a folder, or a set in the history of the running sidecar.

use std::path::Path;

use serde_json::Value as Json;

use super::output::text;
use super::sidecar_client::{ApiCall, SidecarClient};
use super::{CommandError, Global};
use crate::domain::{Failure, PolicyFiles, PolicySetName};
use crate::engine::Snapshot;
use crate::gate;
use crate::percent_encoding::encoded;
use crate::policy_folder;

/// The files of a folder; of the built-in policies by default.
pub(super) fn files(dir: Option<&Path>) -> Result<PolicyFiles, CommandError> {
    Ok(match dir {
        Some(dir) => policy_folder::read(dir)?,
        None => policy_folder::embedded_policies(),
    })
}

/// Loads a folder, which may break its guards.
pub(super) fn load(dir: Option<&Path>) -> Result<Snapshot, CommandError> {
    gate(&files(dir)?)
}

/// Loads a folder that may become the live set: it keeps its guards, which must be proved if that is
/// demanded.
pub(super) fn admitted(dir: Option<&Path>, demand_proof: bool) -> Result<Snapshot, CommandError> {
    let admitted = gate::admit(&files(dir)?, &[], demand_proof);
    Ok(admitted.map_err(Failure::from)?)
}

/// Checks and loads a set; it may break its guards.
pub(super) fn gate(files: &PolicyFiles) -> Result<Snapshot, CommandError> {
    Ok(gate::load(files, &[])?)
}

/// The files of a set that is named as in `policy show`, else those of a folder.
pub(super) fn named(global: &Global, name: &Path) -> Result<PolicyFiles, CommandError> {
    match name.to_str().filter(|name| PolicySetName::parse(name).is_some()) {
        None => files(Some(name)),
        Some(name) => {
            let files = fetched(global, name)?;
            let files = files.get("files").and_then(Json::as_array).into_iter().flatten();
            let file = |file: &Json| (text(file, "path"), text(file, "text").into_bytes());
            Ok(PolicyFiles::kept(files.map(file).collect()))
        }
    }
}

/// A set of the history, as the management API has it.
pub(super) fn fetched(global: &Global, name: &str) -> Result<Json, CommandError> {
    let path = format!("/api/v1/policies/history/{}", encoded(name));
    SidecarClient::of(global)?.json(&ApiCall::new("GET", path))
}
