//! `kwic-team who-may` and `kwic-team what-may`: who may do something, and what a member may do.
//!
//! Talks to the running sidecar. Each line names the policies that allow it; `--json` also has the
//! sentence of the explanation.

use clap::Args;
use serde_json::Value as Json;

use super::account_flag::AccountArg;
use super::output::{self, List, text};
use super::role::strings;
use super::sidecar_client::SidecarClient;
use super::value_parsers::{filled, resource};
use super::{CommandResult, Exit, Global, member};
use crate::percent_encoding::encoded;

#[derive(Args, Debug)]
pub(super) struct WhoMayArgs {
    /// The action's name; `kwic-team role compare` lists them
    #[arg(value_parser = filled)]
    action: String,
    #[command(flatten)]
    on: ResourceArg,
    #[command(flatten)]
    account: AccountArg,
}

#[derive(Args, Debug)]
pub(super) struct WhatMayArgs {
    /// The member's id or address
    #[arg(value_parser = filled)]
    member: String,
    #[command(flatten)]
    on: ResourceArg,
    #[command(flatten)]
    account: AccountArg,
}

#[derive(Args, Debug)]
struct ResourceArg {
    /// The resource; by default the account as a whole. Unless `entities.json` has it, it is taken to be in the account, and to have no further attributes
    #[arg(long, value_name = "TYPE:ID", value_parser = resource)]
    resource: Option<String>,
}

impl ResourceArg {
    fn parameter(&self) -> (&'static str, Option<&str>) {
        ("resource", self.resource.as_deref())
    }
}

pub(super) fn who(global: &Global, args: &WhoMayArgs) -> CommandResult {
    const COLUMNS: [&str; 5] = ["id", "email", "first_name", "last_name", "role"];
    let action = ("action", Some(args.action.as_str()));
    let parameters = [args.account.parameter(), action, args.on.parameter()];
    let remote = SidecarClient::of(global)?;
    listed(global, &remote, "/api/v1/who-may", &parameters, (&COLUMNS, "nobody may do this"))
}

pub(super) fn what(global: &Global, args: &WhatMayArgs) -> CommandResult {
    let remote = SidecarClient::of(global)?;
    let member = member::named(&remote, args.member.clone(), &args.account)?;
    let path = format!("/api/v1/members/{}/what-may", encoded(&text(&member, "id")));
    let parameters = [args.account.parameter(), args.on.parameter()];
    let none = format!("{} may do nothing on this", output::person(&member));
    listed(global, &remote, &path, &parameters, (&["action", "resource"], &none))
}

/// Prints a list with these columns and the policies, or says that there is none.
fn listed(
    global: &Global,
    remote: &SidecarClient,
    path: &str,
    parameters: &[(&str, Option<&str>)],
    (columns, none): (&[&str], &str),
) -> CommandResult {
    let head = [columns, &["policies"]].concat();
    let (mut list, mut found) = (List::new(global.json, &head), false);
    let row = |item: &Json| {
        let policies = strings(item, "policies").join(", ");
        columns.iter().map(|name| text(item, name)).chain([policies]).collect::<Vec<String>>()
    };
    remote.pages(path, parameters, |item| {
        found = true;
        list.add(&item, row)
    })?;
    if !found {
        output::complain(&output::shown(none));
        return Ok(Exit::Ok);
    }
    list.end()
}
