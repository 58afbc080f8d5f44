//! `kwic-team account`: the tenants of the product, and their settings.
//!
//! Talks to the running sidecar.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value as Json;

use super::account_flag::AccountArg;
use super::edit_args::{self, object};
use super::output::{self, List, text};
use super::sidecar_client::{ApiCall, SidecarClient};
use super::value_parsers::{filled, invite_hours};
use super::{CommandResult, Global, invite};

#[derive(Debug, Subcommand)]
pub(super) enum AccountCommand {
    /// Create an account, and an invite for its first administrator if an address is given
    #[command(
        after_help = "Example: kwic-team account create --slug acme --name \"Acme\" --email ann@example.org --first-name Ann --last-name Lee"
    )]
    Create(CreateArgs),
    /// List all accounts
    #[command(after_help = "Example: kwic-team account list")]
    List,
    /// Change name, lifetime of invites or two-step verification
    #[command(
        after_help = "Example: kwic-team account edit --account acme --invite-lifetime 72h --two-step on"
    )]
    Edit(EditArgs),
}

#[derive(Args, Debug)]
pub(super) struct CreateArgs {
    /// Its short name in URLs and commands: `a-z`, `0-9` and `-`
    #[arg(long, value_parser = filled)]
    slug: String,
    /// Its display name
    #[arg(long, value_parser = filled)]
    name: String,
    /// The first administrator's address
    #[arg(long, requires = "first_name", value_parser = filled)]
    email: Option<String>,
    /// The first administrator's first name
    #[arg(long, requires = "email", value_parser = filled)]
    first_name: Option<String>,
    /// The first administrator's last name; omit it for a person with one name
    #[arg(long, requires = "email")]
    last_name: Option<String>,
    /// The first administrator's role; required if several roles can administer an account
    #[arg(long, requires = "email", value_parser = filled)]
    role: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct EditArgs {
    #[command(flatten)]
    account: AccountArg,
    /// The new display name
    #[arg(long, value_parser = filled)]
    name: Option<String>,
    /// How long an invite can be accepted, in whole hours, such as `72h`
    #[arg(long, value_name = "TIME", value_parser = invite_hours)]
    invite_lifetime: Option<u64>,
    /// Whether two-step verification is required to sign in
    #[arg(long)]
    two_step: Option<Switch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

pub(super) fn run(global: &Global, command: AccountCommand) -> CommandResult {
    let remote = SidecarClient::of(global)?;
    match command {
        AccountCommand::Create(args) => create(global, &remote, args),
        AccountCommand::List => {
            let columns = ["slug", "name", "created"];
            let mut list = List::new(global.json, &columns);
            remote.pages("/api/v1/accounts", &[], |account| {
                list.add(&account, |account| columns.map(|name| text(account, name)).to_vec())
            })?;
            list.end()
        }
        AccountCommand::Edit(args) => edit(global, &remote, args),
    }
}

fn create(global: &Global, remote: &SidecarClient, args: CreateArgs) -> CommandResult {
    let last_name = args.email.is_some().then(|| args.last_name.unwrap_or_default());
    let body = object([
        ("slug", Some(args.slug.into())),
        ("name", Some(args.name.into())),
        ("email", args.email.map(Json::from)),
        ("first_name", args.first_name.map(Json::from)),
        ("last_name", last_name.map(Json::from)),
        ("role", args.role.map(Json::from)),
    ]);
    let made = remote.json(&ApiCall::new("POST", "/api/v1/accounts").body(&body))?;
    output::answer(global, &made, |made| {
        output::say(&format!(
            "account {} was created, at revision {}{}",
            text(made, "slug"),
            text(made, "revision"),
            match made.get("invite") {
                Some(_) => String::new(),
                None => format!(
                    "; it has no members yet: invite an administrator with `kwic-team invite send --account {}`",
                    text(made, "slug")
                ),
            }
        ))?;
        made.get("invite").map_or(Ok(()), invite::print_sent)
    })
}

fn edit(global: &Global, remote: &SidecarClient, args: EditArgs) -> CommandResult {
    let given = [
        ("name", args.name.map(Json::from)),
        ("invite_lifetime_hours", args.invite_lifetime.map(Json::from)),
        ("two_step_enforced", args.two_step.map(|switch| Json::from(switch == Switch::On))),
    ];
    let changes = edit_args::changes(given, "--name, --invite-lifetime or --two-step")?;
    let path = args.account.path("/api/v1/account");
    let before = remote.json(&ApiCall::new("GET", path.clone()))?;
    let after = edit_args::patch(remote, path, &before, &changes)?;
    output::answer(global, &after, |after| {
        let names = [
            "slug",
            "name",
            "created",
            "invite_lifetime_hours",
            "two_step_enforced",
            "version",
            "revision",
        ];
        output::fields(after, &names)
    })
}
