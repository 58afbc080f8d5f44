//! `kwic-team keys`: the secret keys in the data folder, and which of them the nodes of a fleet use.
//!
//! Only adds keys. Never prints one.

use clap::Subcommand;
use serde_json::{Value as Json, json};

use super::output::text;
use super::sidecar_client::{ApiCall, SidecarClient};
use super::{CommandError, CommandResult, Exit, Global, output};
use crate::keys::Keys;

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Add new keys; the next start encrypts the secrets of second factors with them
    #[command(
        after_help = "Example: kwic-team keys rotate\n\nThe old keys stay, since mail that is not sent yet, bounces and `kwic-team invite link` need them. Restart the sidecar, then wait 30 days, the longest that a link works. After that, stop the sidecar, move all but the newest `link-NUMBER.key` and the newest `seal-NUMBER.key` out of `keys/`, keep them with the backups made before, and start it again."
    )]
    Rotate,
    /// In a fleet, put the newest keys in use on all nodes, once each has them
    #[command(
        after_help = "Example: kwic-team keys activate\n\nIn a fleet: run `kwic-team keys rotate` on one node, copy the two new files to `keys/` of each other one, restart every sidecar, then run this once. It is refused while a node lacks a key, which `kwic-team fleet status` shows. It also encrypts the secrets of second factors with the new key."
    )]
    Activate,
}

pub(super) fn run(global: &Global, command: &KeysCommand) -> CommandResult {
    match command {
        KeysCommand::Rotate => rotate(global),
        KeysCommand::Activate => activate(global, &SidecarClient::of(global)?),
    }
}

fn activate(global: &Global, remote: &SidecarClient) -> CommandResult {
    let activated = remote.json(&ApiCall::new("POST", "/api/v1/keys/activate"))?;
    output::answer(global, &activated, |activated| {
        let keys = activated.get("keys").and_then(Json::as_array);
        let keys: Vec<&str> = keys.into_iter().flatten().filter_map(Json::as_str).collect();
        output::say(&format!(
            "all nodes use {} from now on; {} encrypted with the new key",
            keys.join(" and "),
            output::count(activated, "resealed", "secret was", "secrets were")
        ))?;
        match text(activated, "unreadable").as_str() {
            "0" => Ok(()),
            unreadable => output::say(&format!(
                "secrets of second factors that no key decrypts: {unreadable}; `kwic-team doctor` says what to do"
            )),
        }
    })
}

fn rotate(global: &Global) -> CommandResult {
    let folder = global.data.join("keys");
    if !folder.is_dir() {
        return Err(CommandError::failure(format!(
            "there are no keys in `{}`: give the data folder of a sidecar that has run, with --data",
            global.data.display()
        )));
    }
    let made = Keys::rotate(&folder)?;
    let paths: Vec<String> = made.iter().map(|path| path.display().to_string()).collect();
    if global.json {
        output::line(&json!({"made": paths}).to_string())?;
        return Ok(Exit::Ok);
    }
    for path in &paths {
        output::line(path)?;
    }
    output::line(
        "restart the sidecar: it then uses the new keys, and encrypts the secrets of second factors with them; in a fleet, copy them to every node and restart each, then run `kwic-team keys activate`",
    )?;
    Ok(Exit::Ok)
}
