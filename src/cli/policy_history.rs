//! `kwic-team policy history` and `policy show`: the sets that the running sidecar keeps.

use serde_json::Value as Json;

use super::output::{self, List, text};
use super::role::strings;
use super::sidecar_client::SidecarClient;
use super::{CommandError, CommandResult, Exit, Global, policy_prove, policy_sets};
use crate::domain::GuardState;

const COLUMNS: [&str; 7] = ["no", "at", "outcome", "cause", "by", "digest", "changes"];
/// The digits of a digest that a list shows; they are enough to name the set.
const DIGITS: usize = 12;

pub(super) fn list(global: &Global, limit: Option<usize>) -> CommandResult {
    let remote = SidecarClient::of(global)?;
    let (mut list, mut left) = (List::new(global.json, &COLUMNS), limit.unwrap_or(usize::MAX));
    remote.long_pages("/api/v1/policies/history", &[], |entry| {
        if left == 0 {
            return Ok(());
        }
        left -= 1;
        list.add(&entry, row)
    })?;
    list.end()
}

fn row(entry: &Json) -> Vec<String> {
    let mut row =
        ["number", "at", "outcome", "cause", "actor"].map(|name| text(entry, name)).to_vec();
    row.push(text(entry, "digest").chars().take(DIGITS).collect());
    let fault = text(entry, "fault");
    row.push(match fault.lines().next() {
        Some(first) => first.to_owned(),
        None => changes(entry),
    });
    row
}

/// How many lines there are of each kind.
fn changes(entry: &Json) -> String {
    let counted = [
        ("gains", "gain"),
        ("loses", "loss"),
        ("may_gain", "possible gain"),
        ("may_lose", "possible loss"),
    ];
    let counts = counted.map(|(list, kind)| (strings(entry, list).len(), kind));
    let named = counts.iter().filter(|(count, _)| *count > 0);
    let words: Vec<String> = named.map(|(count, kind)| format!("{kind}: {count}")).collect();
    words.join(", ")
}

pub(super) fn show(global: &Global, set: &str, file: Option<&str>) -> CommandResult {
    let found = policy_sets::fetched(global, set)?;
    let files = found.get("files").and_then(Json::as_array).into_iter().flatten();
    let Some(wanted) = file else {
        return output::answer(global, &found, |found| {
            let facts = [
                "number", "outcome", "at", "cause", "actor", "digest", "revision", "policies",
                "pinned",
            ];
            output::fields(&present(found), &facts)?;
            for list in ["gains", "loses", "may_gain", "may_lose"] {
                strings(found, list).iter().try_for_each(|line| output::line(line))?;
            }
            let fault = text(found, "fault");
            fault.lines().try_for_each(output::line)?;
            print_proof(found.get("proof").unwrap_or(&Json::Null))?;
            files
                .map(|file| text(file, "path"))
                .try_for_each(|path| output::line(&format!("file\t{}", output::shown(&path))))
        });
    };
    let mut files = files;
    let Some(content) = files.find(|file| text(file, "path") == wanted) else {
        return Err(CommandError::failure(format!(
            "the set has no file `{}`: `kwic-team policy show {}` lists its files",
            output::shown(wanted),
            output::shown(set)
        )));
    };
    let text = text(content, "text");
    // On a terminal, what is not printable is escaped; elsewhere the file is written as it is.
    if global.json {
        output::line(&content.to_string())?;
    } else if output::is_terminal() {
        output::print(&text)?;
    } else {
        output::bytes(text.as_bytes())?;
    }
    Ok(Exit::Ok)
}

/// What was found about each guard, and by which solver.
fn print_proof(proof: &Json) -> Result<(), CommandError> {
    let cases = proof.get("cases").and_then(Json::as_u64).unwrap_or(0);
    let solver = text(proof, "solver");
    for guard in proof.get("guards").and_then(Json::as_array).into_iter().flatten() {
        let (id, state) = (text(guard, "id"), text(guard, "state"));
        let mut told = policy_prove::told(&state, cases, &text(guard, "why"));
        if state == GuardState::Proved.as_str() && !solver.is_empty() {
            told = format!("{told} by {solver}");
        }
        output::line(&format!("guard\t{}\t{}", output::shown(&id), output::shown(&told)))?;
    }
    Ok(())
}

/// Without the facts that are null.
fn present(found: &Json) -> Json {
    let facts = found.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    Json::Object(facts.map(|(name, value)| (name.clone(), value.clone())).collect())
}
