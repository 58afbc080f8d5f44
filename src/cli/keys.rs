//! `kwic-team keys`: the secret keys in the data folder.
//!
//! Only adds keys. Never prints one.

use clap::Subcommand;
use serde_json::json;

use super::{CommandError, CommandResult, Exit, Global, output};
use crate::keys::Keys;

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Add new keys; the next start encrypts the secrets of second factors with them
    #[command(
        after_help = "Example: kwic-team keys rotate\n\nThe old keys stay, since mail that is not sent yet, bounces and `kwic-team invite link` need them. Restart the sidecar, then wait 30 days, the longest that a link works. After that, stop the sidecar, move all but the newest `link-NUMBER.key` and the newest `seal-NUMBER.key` out of `keys/`, keep them with the backups made before, and start it again."
    )]
    Rotate,
}

pub(super) fn run(global: &Global, command: &KeysCommand) -> CommandResult {
    match command {
        KeysCommand::Rotate => rotate(global),
    }
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
        "restart the sidecar: it then uses the new keys, and encrypts the secrets of second factors with them",
    )?;
    Ok(Exit::Ok)
}
