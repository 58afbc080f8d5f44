//! `kwic-team role`: what the live policies offer.
//!
//! Speaks to the running sidecar; knows no role itself.

use clap::Subcommand;
use serde_json::Value as Json;

use super::output::{self, text};
use super::remote::{Call, Remote, encoded};
use super::{Exit, Global, Outcome, Stop};

#[derive(Debug, Subcommand)]
pub(super) enum RoleCommand {
    /// List the roles
    #[command(after_help = "Example: kwic-team role list")]
    List,
    /// Show one role with its actions
    #[command(after_help = "Example: kwic-team role show ROLE")]
    Show {
        /// The role's name
        role: String,
    },
    /// Compare roles action by action
    #[command(after_help = "Example: kwic-team role compare ROLE OTHER_ROLE")]
    Compare {
        /// The roles; all where none is named
        roles: Vec<String>,
    },
}

pub(super) fn run(global: &Global, command: RoleCommand) -> Outcome {
    let remote = Remote::of(global)?;
    match command {
        RoleCommand::List => {
            let mut rows = Vec::new();
            remote.pages("/api/v1/roles", &[], |role| {
                if global.json {
                    output::line(&role.to_string());
                } else {
                    rows.push(["id", "title", "best_for"].map(|name| text(&role, name)).to_vec());
                }
            })?;
            output::table(&["role", "title", "best for"], &rows);
        }
        RoleCommand::Show { role } => {
            let path = format!("/api/v1/roles/{}", encoded(&role));
            let role = remote.json(&Call::new("GET", path))?;
            if global.json {
                output::line(&role.to_string());
            } else {
                output::fields(&role, &["id", "title", "summary", "best_for"]);
                for action in role.get("actions").and_then(Json::as_array).into_iter().flatten() {
                    output::line(&format!("action\t{}", action.as_str().unwrap_or_default()));
                }
            }
        }
        RoleCommand::Compare { roles } => {
            let matrix = remote.json(&Call::new("GET", "/api/v1/roles/compare"))?;
            if global.json {
                output::line(&matrix.to_string());
            } else {
                compare(&matrix, &roles)?;
            }
        }
    }
    Ok(Exit::Ok)
}

fn strings(json: &Json, name: &str) -> Vec<String> {
    let items = json.get(name).and_then(Json::as_array).into_iter().flatten();
    items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

fn compare(matrix: &Json, wanted: &[String]) -> Result<(), Stop> {
    let roles = strings(matrix, "roles");
    if let Some(unknown) = wanted.iter().find(|role| !roles.contains(role)) {
        return Err(Stop::failure(format!(
            "there is no role `{unknown}`: there are `{}`",
            roles.join("`, `")
        )));
    }
    let shown: Vec<usize> = (0..roles.len())
        .filter(|&at| wanted.is_empty() || roles.get(at).is_some_and(|role| wanted.contains(role)))
        .collect();
    let rows: Vec<(String, String, Vec<String>)> = matrix
        .get("rows")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .map(|row| (text(row, "action"), text(row, "resource"), strings(row, "cells")))
        .collect();
    let heads: Vec<&str> =
        shown.iter().filter_map(|&at| roles.get(at).map(String::as_str)).collect();
    print_matrix(
        &heads,
        rows.iter().map(|(action, resource, cells)| {
            let cells = shown.iter().filter_map(|&at| cells.get(at).map(String::as_str)).collect();
            (action.as_str(), resource.as_str(), cells)
        }),
    );
    Ok(())
}

/// Prints a matrix: `yes`, `-` or `depends` in each cell.
pub(super) fn print_matrix<'m>(
    roles: &[&str],
    rows: impl Iterator<Item = (&'m str, &'m str, Vec<&'m str>)>,
) {
    let rows: Vec<Vec<String>> = rows
        .map(|(action, resource, cells)| {
            let words = cells.into_iter().map(|cell| match cell {
                "allowed" => "yes",
                "denied" => "-",
                other => other,
            });
            [action, resource].into_iter().chain(words).map(str::to_owned).collect()
        })
        .collect();
    let head: Vec<&str> = ["action", "on"].into_iter().chain(roles.iter().copied()).collect();
    output::table(&head, &rows);
}
