//! `kwic-team config`: every configuration key, with its default and meaning.
//!
//! Reads no configuration, and needs no sidecar.

use serde_json::{Value as Json, json};

use super::{CommandResult, Exit, Global, output};
use crate::config;

pub(super) fn run(global: &Global) -> CommandResult {
    if !global.json {
        output::print(&config::reference())?;
        return Ok(Exit::Ok);
    }
    for key in config::keys() {
        // A default is written in TOML as it would be in JSON.
        let default: Json = serde_json::from_str(key.default).unwrap_or_default();
        let line = json!({
            "key": key.path(),
            "variable": key.variable(),
            "default": default,
            "about": key.about,
        });
        output::line(&line.to_string())?;
    }
    Ok(Exit::Ok)
}
