//! `kwic-team fleet init`, `join` and `leave`: whether the store of a stopped sidecar is in a fleet.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::confirmation::ConfirmArg;
use super::output::{self, text};
use super::sidecar_client::SidecarClient;
use super::{CommandError, CommandResult, Global, serve};
use crate::config::{Config, Fleet};
use crate::fleet::configured_log::{ConfiguredPlace, LogPlace};
use crate::serve::fleet_commands::{self, FleetBegun, FleetJoined, FleetLeft};

/// The configuration, and its fleet.
fn configured(global: &Global) -> Result<(Config, Fleet), CommandError> {
    let config = serve::configured(global, &global.data)?;
    let fleet = config.fleet.clone().ok_or_else(|| {
        CommandError::failure(
            "`fleet.log` is not set: write where the log of the fleet is, or is to be, into the section `[fleet]` of the configuration; `kwic-team config` describes its keys",
        )
    })?;
    Ok((config, fleet))
}

pub(super) fn init(global: &Global) -> CommandResult {
    let client = SidecarClient::of(global)?;
    let (config, fleet) = configured(global)?;
    let begun = client.run(async {
        let place: Arc<dyn LogPlace> = Arc::new(ConfiguredPlace::new(fleet));
        fleet_commands::init(&config, &place).await
    })?;
    let FleetBegun { fleet, revision, snapshot_bytes } = &begun;
    let told = json!({
        "log": format!("{:?}", fleet.log),
        "node": fleet.node.to_string(),
        "revision": revision.0,
        "snapshot_bytes": snapshot_bytes,
    });
    output::answer(global, &told, |told| {
        output::say(&format!(
            "this node is in a fleet: revision {}, log {}, node {}",
            text(told, "revision"),
            text(told, "log"),
            text(told, "node")
        ))?;
        output::line(&format!(
            "start the sidecar: kwic-team serve; on each further node, set the same `fleet.log`, copy the folder `{}` into its data folder, and run `kwic-team fleet join`",
            config.data.join("keys").display()
        ))
    })
}

pub(super) fn join(global: &Global, yes: &ConfirmArg) -> CommandResult {
    let client = SidecarClient::of(global)?;
    let (config, fleet) = configured(global)?;
    if config.store.path.exists() {
        yes.or_ask(&format!(
            "Replace the store in `{}` by that of the fleet? Members that only this store has are not known afterwards.",
            global.data.display()
        ))?;
    }
    let joined = client.run(async {
        let place: Arc<dyn LogPlace> = Arc::new(ConfiguredPlace::new(fleet.clone()));
        fleet_commands::join(&config, &fleet, &place).await
    })?;
    output::answer(global, &joined_document(&joined), |_| print_joined(&joined))
}

fn joined_document(joined: &FleetJoined) -> Json {
    let path = |path: &Path| path.display().to_string();
    json!({
        "log": format!("{:?}", joined.fleet.log),
        "node": joined.fleet.node.to_string(),
        "index": joined.index,
        "revision": joined.revision.0,
        "kept": joined.kept.as_deref().map(path),
        "removed": joined.removed.iter().map(|removed| path(removed)).collect::<Vec<_>>(),
    })
}

fn print_joined(joined: &FleetJoined) -> Result<(), CommandError> {
    output::say(&format!(
        "this node is in the fleet: revision {}, log {:?}, node {}",
        joined.revision.0, joined.fleet.log, joined.fleet.node
    ))?;
    if let Some(kept) = &joined.kept {
        output::say(&format!("the previous store is kept: {}", kept.display()))?;
    }
    for removed in &joined.removed {
        output::say(&format!("an older one was removed: {}", removed.display()))?;
    }
    output::line("start the sidecar, which reads what came since: kwic-team serve")
}

pub(super) fn leave(global: &Global, yes: &ConfirmArg) -> CommandResult {
    let client = SidecarClient::of(global)?;
    let config = serve::configured(global, &global.data)?;
    yes.or_ask(&format!(
        "Take the store in `{}` out of its fleet? Changes on other nodes, such as removals of members, do not reach it afterwards.",
        global.data.display()
    ))?;
    let FleetLeft { fleet, revision } = client.run(fleet_commands::leave(&config))?;
    let told = json!({
        "log": format!("{:?}", fleet.log),
        "node": fleet.node.to_string(),
        "revision": revision.0,
    });
    output::answer(global, &told, |told| {
        output::say(&format!(
            "this store is in no fleet any more: revision {}; it was node {}",
            text(told, "revision"),
            text(told, "node")
        ))?;
        output::line(
            "remove the section `[fleet]` from the configuration, then start the sidecar: kwic-team serve; on another node, run `kwic-team fleet forget` with the name of this one",
        )
    })
}
