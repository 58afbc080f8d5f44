//! `kwic-team policy shadow`: where the shadow policies differ from the live ones, each with a
//! `kwic-team decide` command.

use serde::Deserialize as _;
use serde_json::Value as Json;

use super::output::{self, text};
use super::sidecar_client::{ApiCall, SidecarClient};
use super::{CommandResult, Exit, Global};
use crate::engine::ExampleQuery;

pub(super) fn run(global: &Global) -> CommandResult {
    let found = SidecarClient::of(global)?.json(&ApiCall::new("GET", "/api/v1/policies/shadow"))?;
    let folder = text(&found, "folder");
    let items = found.get("items").and_then(Json::as_array).cloned().unwrap_or_default();
    let commands: Vec<Option<String>> = items.iter().map(|item| command(&folder, item)).collect();
    if global.json {
        return json(found, commands);
    }
    let fault = text(&found, "fault");
    if !fault.is_empty() {
        output::line("the shadow policies cannot be loaded, and are not asked:")?;
        fault.lines().try_for_each(output::line)?;
        return Ok(Exit::Ok);
    }
    output::fields(&found, &["folder", "digest", "policies", "loaded_at", "sample"])?;
    output::fields(&found, &["agreed", "differed", "left_out"])?;
    for (item, command) in items.iter().zip(commands) {
        let word = |name: &str| output::shown(&text(item, name));
        let role = word("role");
        let who = if role.is_empty() { "no member".to_owned() } else { format!("role {role}") };
        output::line(&format!(
            "{}\t{who}\t{} on {}: live {}, shadow {}",
            word("count"),
            word("action"),
            word("resource_type"),
            word("live"),
            word("shadow"),
        ))?;
        match command {
            Some(command) => output::line(&format!("\t{}", output::shown(&command)))?,
            None => output::line(
                "\tnot to be repeated with a made-up member: more than the role, the account and the status decides",
            )?,
        }
    }
    let more = found.get("more").and_then(Json::as_u64).unwrap_or_default();
    if more > 0 {
        output::line(&format!("and {more} of further kinds"))?;
    }
    Ok(Exit::Ok)
}

fn json(mut found: Json, commands: Vec<Option<String>>) -> CommandResult {
    let items = found.get_mut("items").and_then(Json::as_array_mut).into_iter().flatten();
    for (item, command) in items.zip(commands) {
        if let Some(item) = item.as_object_mut() {
            item.insert("command".to_owned(), command.map_or(Json::Null, Json::String));
        }
    }
    output::line(&found.to_string())?;
    Ok(Exit::Ok)
}

/// The command that asks the folder the question of one item, if it has one.
fn command(folder: &str, item: &Json) -> Option<String> {
    let question = item.get("question").filter(|question| question.is_object())?;
    let question = ExampleQuery::deserialize(question).ok()?;
    Some(question.command(folder, None))
}
