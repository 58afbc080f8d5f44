//! `kwic-team account`.
//!
//! Speaks to the running sidecar.

use clap::Subcommand;
use serde_json::json;

use super::output::{self, List, text};
use super::remote::{Call, Remote};
use super::{Exit, Global, Outcome};

#[derive(Debug, Subcommand)]
pub(super) enum AccountCommand {
    /// Make an account
    #[command(after_help = "Example: kwic-team account create --slug acme --name \"Acme\"")]
    Create {
        /// Its name in addresses and commands: `a-z`, `0-9` and `-`
        #[arg(long)]
        slug: String,
        /// Its name for people
        #[arg(long)]
        name: String,
    },
    /// List all accounts
    #[command(after_help = "Example: kwic-team account list")]
    List,
}

pub(super) fn run(global: &Global, command: AccountCommand) -> Outcome {
    let remote = Remote::of(global)?;
    match command {
        AccountCommand::Create { slug, name } => {
            let body = json!({"slug": slug, "name": name});
            let made = remote.json(&Call::new("POST", "/api/v1/accounts").body(&body))?;
            if global.json {
                output::line(&made.to_string())?;
            } else {
                output::line(&format!(
                    "account {} is there, at revision {}",
                    text(&made, "slug"),
                    text(&made, "revision")
                ))?;
            }
        }
        AccountCommand::List => {
            let columns = ["slug", "name", "created"];
            let mut list = List::new(global.json, &columns);
            remote.pages("/api/v1/accounts", &[], |account| {
                list.add(&account, |account| columns.map(|name| text(account, name)).to_vec())
            })?;
            list.end()?;
        }
    }
    Ok(Exit::Ok)
}
