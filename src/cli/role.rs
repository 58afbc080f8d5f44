//! `kwic-team role`: the roles of the live policies.
//!
//! Talks to the running sidecar.

use clap::Subcommand;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::output::{self, List, text};
use super::sidecar_client::{ApiCall, SidecarClient};
use super::value_parsers::filled;
use super::{CommandError, CommandResult, Exit, Global};
use crate::domain::RoleId;
use crate::percent_encoding::encoded;
use crate::services::roles::{self, RoleTitles};

#[derive(Debug, Subcommand)]
pub(super) enum RoleCommand {
    /// List the roles
    #[command(after_help = "Example: kwic-team role list")]
    List,
    /// Show one role with its actions
    #[command(after_help = "Example: kwic-team role show ROLE")]
    Show {
        /// The role's name
        #[arg(value_parser = filled)]
        role: String,
    },
    /// Compare roles action by action
    #[command(after_help = "Example: kwic-team role compare ROLE OTHER_ROLE")]
    Compare {
        /// The roles; all by default
        roles: Vec<String>,
    },
    /// Find the smallest role that allows these actions; exits 1 if there is none
    #[command(after_help = "Example: kwic-team role suggest docs:read docs:edit")]
    Suggest {
        /// The actions
        #[arg(required = true, value_name = "ACTION")]
        actions: Vec<String>,
    },
}

pub(super) fn run(global: &Global, command: RoleCommand) -> CommandResult {
    let remote = SidecarClient::of(global)?;
    match command {
        RoleCommand::List => {
            let mut list = List::new(global.json, &["role", "title", "best for"]);
            remote.pages("/api/v1/roles", &[], |role| {
                let row = |role: &Json| ["id", "title", "best_for"].map(|name| text(role, name));
                list.add(&role, |role| row(role).to_vec())
            })?;
            list.end()?;
        }
        RoleCommand::Show { role } => {
            let path = format!("/api/v1/roles/{}", encoded(&named(&remote, role)?));
            let role = remote.json(&ApiCall::new("GET", path)).map_err(as_mistyped)?;
            if global.json {
                output::line(&role.to_string())?;
            } else {
                output::fields(&role, &["id", "title", "summary", "best_for"])?;
                for action in strings(&role, "actions") {
                    output::line(&format!("action\t{action}"))?;
                }
            }
        }
        RoleCommand::Compare { roles } => {
            let roles = roles.into_iter().map(|role| named(&remote, role));
            let roles = roles.collect::<Result<Vec<_>, CommandError>>()?;
            let matrix = remote.json(&ApiCall::new("GET", "/api/v1/roles/compare"))?;
            print_matrix(global.json, &Matrix::of(&matrix).only(&roles)?)?;
        }
        RoleCommand::Suggest { actions } => {
            let body = json!({"actions": actions});
            let call = ApiCall::new("POST", "/api/v1/roles/suggest").body(&body);
            return suggest(global, &remote.json(&call)?);
        }
    }
    Ok(Exit::Ok)
}

/// The id of a role that is named by its id, or by its title as people see it. Only what cannot be
/// an id is looked up.
///
/// # Errors
/// A usage error that names the roles there are.
pub(super) fn named(remote: &SidecarClient, role: String) -> Result<String, CommandError> {
    if RoleId::parse(&role).is_ok() {
        return Ok(role);
    }
    let found = titles(remote)?.find(&role);
    found.map(|id| id.to_string()).map_err(|fault| CommandError::usage(fault.public))
}

/// The roles of the sidecar, each with its title.
pub(super) fn titles(remote: &SidecarClient) -> Result<RoleTitles, CommandError> {
    let mut roles = Vec::new();
    remote.pages("/api/v1/roles", &[], |role| {
        let id = RoleId::parse(&text(&role, "id")).ok();
        roles.extend(id.map(|id| (id, text(&role, "title"))));
        Ok(())
    })?;
    Ok(RoleTitles::new(roles))
}

/// A role that there is not stands on the command line, whatever the call says.
fn as_mistyped(stop: CommandError) -> CommandError {
    if stop.is(roles::UNKNOWN) { CommandError { exit: Exit::Usage, ..stop } } else { stop }
}

fn suggest(global: &Global, suggestion: &Json) -> CommandResult {
    let role = suggestion.get("role").filter(|role| !role.is_null());
    let reason = text(suggestion, "reason");
    if global.json {
        output::line(&suggestion.to_string()).or_else(CommandError::unless_reader_left)?;
    }
    let Some(role) = role else { return Err(CommandError::failure(output::shown(&reason))) };
    if !global.json {
        let listed = |name: &str| match strings(suggestion, name) {
            texts if texts.is_empty() => "none".to_owned(),
            texts => texts.join(", "),
        };
        let shown = json!({
            "role": text(role, "id"),
            "title": text(role, "title"),
            "reason": reason,
            "also allows": listed("extra"),
            "other roles": listed("others"),
        });
        output::fields(&shown, &["role", "title", "reason", "also allows", "other roles"])?;
    }
    Ok(Exit::Ok)
}

/// The texts of an array.
pub(super) fn strings(json: &Json, name: &str) -> Vec<String> {
    let items = json.get(name).and_then(Json::as_array).into_iter().flatten();
    items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// Roles side by side, from the sidecar or from a folder.
#[derive(Serialize)]
pub(super) struct Matrix {
    pub(super) roles: Vec<String>,
    pub(super) rows: Vec<MatrixRow>,
}

/// One action on one type of resource; a cell is `allowed`, `denied` or `depends`.
#[derive(Serialize)]
pub(super) struct MatrixRow {
    pub(super) action: String,
    pub(super) resource: String,
    pub(super) cells: Vec<String>,
    /// The policies on which a cell with `depends` depends.
    pub(super) depends_on: Vec<String>,
}

impl Matrix {
    fn of(document: &Json) -> Self {
        let rows = document.get("rows").and_then(Json::as_array).into_iter().flatten();
        let row = |row: &Json| MatrixRow {
            action: text(row, "action"),
            resource: text(row, "resource"),
            cells: strings(row, "cells"),
            depends_on: strings(row, "depends_on"),
        };
        Self { roles: strings(document, "roles"), rows: rows.map(row).collect() }
    }

    /// The columns of these roles, in the given order; all by default.
    fn only(self, wanted: &[String]) -> Result<Self, CommandError> {
        if wanted.is_empty() {
            return Ok(self);
        }
        let column = |role: &String| {
            self.roles.iter().position(|known| known == role).ok_or_else(|| {
                let known = self.roles.join("`, `");
                CommandError::usage(format!("there is no role `{role}`: use one of `{known}`"))
            })
        };
        let columns = wanted.iter().map(column).collect::<Result<Vec<usize>, CommandError>>()?;
        let cut = |row: MatrixRow| {
            let cells: Vec<String> =
                columns.iter().filter_map(|&at| row.cells.get(at).cloned()).collect();
            let depends = cells.iter().any(|cell| cell == "depends");
            let depends_on = if depends { row.depends_on } else { Vec::new() };
            MatrixRow { cells, depends_on, ..row }
        };
        Ok(Self { roles: wanted.to_vec(), rows: self.rows.into_iter().map(cut).collect() })
    }
}

/// Prints a matrix: `yes`, `-` or `depends` in each cell, and on which policies.
pub(super) fn print_matrix(json: bool, matrix: &Matrix) -> Result<(), CommandError> {
    if json {
        let document = serde_json::to_string(matrix).map_err(|fault| {
            CommandError::failure(format!("the matrix cannot be written: {fault}"))
        })?;
        return output::line(&document);
    }
    let word = |cell: &String| match cell.as_str() {
        "allowed" => "yes".to_owned(),
        "denied" => "-".to_owned(),
        other => other.to_owned(),
    };
    let named = matrix.rows.iter().any(|row| !row.depends_on.is_empty());
    let row = |row: &MatrixRow| {
        let names = [row.action.clone(), row.resource.clone()];
        let depends_on = named.then(|| row.depends_on.join(", "));
        names.into_iter().chain(row.cells.iter().map(word)).chain(depends_on).collect()
    };
    let rows: Vec<Vec<String>> = matrix.rows.iter().map(row).collect();
    let roles = matrix.roles.iter().map(String::as_str);
    let depends_on = named.then_some("depends on policy");
    let head: Vec<&str> = ["action", "on"].into_iter().chain(roles).chain(depends_on).collect();
    if !output::is_terminal() {
        // Without a header the cells have no meaning, in a pipe either.
        output::line(&head.join("\t"))?;
    }
    output::table(&head, &rows)
}
