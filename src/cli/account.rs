//! `kwic-team account`, and the `--account` flag of other commands.
//!
//! Talks to the running sidecar.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value as Json;

use super::edit::{self, object};
use super::output::{self, List, text};
use super::remote::{Call, Remote, with_query};
use super::{Exit, Global, Outcome, invite};
use crate::config;

/// Which account a command is about.
#[derive(Args, Clone, Debug)]
pub(super) struct Account {
    /// The account; optional while there is only one
    #[arg(long, value_name = "SLUG")]
    account: Option<String>,
}

impl Account {
    /// The parameter of a call.
    pub(super) fn parameter(&self) -> (&'static str, Option<&str>) {
        ("account", self.account.as_deref())
    }

    /// The path of a call that takes no other parameter.
    pub(super) fn path(&self, path: &str) -> String {
        with_query(path, &[self.parameter()])
    }
}

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
    #[arg(long)]
    slug: String,
    /// Its display name
    #[arg(long)]
    name: String,
    /// The first administrator's address
    #[arg(long, requires = "first_name")]
    email: Option<String>,
    /// The first administrator's first name
    #[arg(long, requires = "email")]
    first_name: Option<String>,
    /// The first administrator's last name; omit it for a person with one name
    #[arg(long, requires = "email")]
    last_name: Option<String>,
    /// The first administrator's role; needed if several roles administer
    #[arg(long, requires = "email")]
    role: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct EditArgs {
    #[command(flatten)]
    account: Account,
    /// The new display name
    #[arg(long)]
    name: Option<String>,
    /// When invites expire, in whole hours, such as `72h`
    #[arg(long, value_name = "TIME", value_parser = hours)]
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

fn hours(text: &str) -> Result<u64, String> {
    let seconds = config::duration(text).map(|time| time.as_secs());
    let hours = seconds.filter(|seconds| seconds % 3_600 == 0).map(|seconds| seconds / 3_600);
    hours.ok_or_else(|| "give whole hours, such as `72h` or `3d`".to_owned())
}

pub(super) fn run(global: &Global, command: AccountCommand) -> Outcome {
    let remote = Remote::of(global)?;
    match command {
        AccountCommand::Create(args) => create(global, &remote, args),
        AccountCommand::List => {
            let columns = ["slug", "name", "created"];
            let mut list = List::new(global.json, &columns);
            remote.pages("/api/v1/accounts", &[], |account| {
                list.add(&account, |account| columns.map(|name| text(account, name)).to_vec())
            })?;
            list.end()?;
            Ok(Exit::Ok)
        }
        AccountCommand::Edit(args) => edit(global, &remote, args),
    }
}

fn create(global: &Global, remote: &Remote, args: CreateArgs) -> Outcome {
    let last_name = args.email.is_some().then(|| args.last_name.unwrap_or_default());
    let body = object([
        ("slug", Some(args.slug.into())),
        ("name", Some(args.name.into())),
        ("email", args.email.map(Json::from)),
        ("first_name", args.first_name.map(Json::from)),
        ("last_name", last_name.map(Json::from)),
        ("role", args.role.map(Json::from)),
    ]);
    let made = remote.json(&Call::new("POST", "/api/v1/accounts").body(&body))?;
    output::answer(global, &made, |made| {
        output::say(&format!(
            "account {} was created, at revision {}",
            text(made, "slug"),
            text(made, "revision")
        ))?;
        made.get("invite").map_or(Ok(()), invite::print_sent)
    })
}

fn edit(global: &Global, remote: &Remote, args: EditArgs) -> Outcome {
    let given = [
        ("name", args.name.map(Json::from)),
        ("invite_lifetime_hours", args.invite_lifetime.map(Json::from)),
        ("two_step_enforced", args.two_step.map(|switch| Json::from(switch == Switch::On))),
    ];
    let changes = edit::changes(given, "--name, --invite-lifetime or --two-step")?;
    let path = args.account.path("/api/v1/account");
    let before = remote.json(&Call::new("GET", path.clone()))?;
    let after = edit::patch(remote, path, &before, &changes)?;
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
