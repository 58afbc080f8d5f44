//! `kwic-team token`.
//!
//! Talks to the running sidecar. A secret is printed once, by the command that creates the token.

use clap::Subcommand;
use serde_json::{Value as Json, json};

use super::account_flag::AccountArg;
use super::confirmation::ConfirmArg;
use super::output::{self, List, text};
use super::sidecar_client::{ApiCall, SidecarClient};
use super::value_parsers::{filled, token_days};
use super::{CommandError, CommandResult, Global, member, role};
use crate::percent_encoding::encoded;

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Create an API token, which acts as a member with a role until it expires
    #[command(
        after_help = "Example: kwic-team token create --member ann@example.org --role ROLE --days 90 nightly-report\n\nThe secret is printed once. The member must be allowed to give this role to other members."
    )]
    Create {
        /// A name that says what it is for
        #[arg(value_parser = filled)]
        name: String,
        /// The member it acts as, by id or address
        #[arg(long, value_parser = filled)]
        member: String,
        /// The role it acts with
        #[arg(long, value_parser = filled)]
        role: String,
        /// Days until it expires, at most 365
        #[arg(long, value_parser = token_days)]
        days: u64,
        #[command(flatten)]
        account: AccountArg,
    },
    /// List API tokens
    #[command(after_help = "Example: kwic-team token list")]
    List {
        /// Only those of this member, by id or address
        #[arg(long, value_parser = filled)]
        member: Option<String>,
        #[command(flatten)]
        account: AccountArg,
    },
    /// Revoke an API token: it stops working
    #[command(after_help = "Example: kwic-team token revoke TOKEN_ID --yes")]
    Revoke {
        /// The id, or the name if only one token has it
        #[arg(value_name = "TOKEN", value_parser = filled)]
        token: String,
        #[command(flatten)]
        account: AccountArg,
        #[command(flatten)]
        yes: ConfirmArg,
    },
}

pub(super) fn run(global: &Global, command: TokenCommand) -> CommandResult {
    let remote = SidecarClient::of(global)?;
    match command {
        TokenCommand::Create { name, member, role, days, account } => {
            let role = role::named(&remote, role)?;
            let maker = text(&member::named(&remote, member, &account)?, "id");
            let body = json!({"name": name, "member": maker, "role": role, "expires_days": days});
            let call = ApiCall::new("POST", account.path("/api/v1/tokens"));
            let made = remote.json(&call.body(&body))?;
            output::answer(global, &made, |made| {
                output::say(&format!(
                    "{} acts as {} with the role {} until {}, at revision {}; its secret, which is shown only now:",
                    text(made, "id"),
                    maker,
                    text(made, "role"),
                    text(made, "expires"),
                    text(made, "revision")
                ))?;
                output::line(&text(made, "secret"))
            })
        }
        TokenCommand::List { member, account } => list(global, &remote, member, &account),
        TokenCommand::Revoke { token, account, yes } => {
            let id = id_of(&remote, token, &account)?;
            yes.or_ask(&format!("revoke the API token `{id}` for good?"))?;
            let path = account.path(&format!("/api/v1/tokens/{}", encoded(&id)));
            let revoked = remote.json(&ApiCall::new("DELETE", path))?;
            output::answer(global, &revoked, |revoked| {
                output::say(&format!(
                    "{} is revoked and no longer works, at revision {}",
                    text(revoked, "id"),
                    text(revoked, "revision")
                ))
            })
        }
    }
}

/// The id of a token, by id or by name.
fn id_of(
    remote: &SidecarClient,
    token: String,
    account: &AccountArg,
) -> Result<String, CommandError> {
    let mut named = Vec::new();
    let mut is_id = false;
    remote.long_pages("/api/v1/tokens", &[account.parameter()], |found| {
        let id = text(&found, "id");
        is_id |= id == token;
        if text(&found, "name") == token {
            named.push(id);
        }
        Ok(())
    })?;
    match named.as_slice() {
        [id] if !is_id => Ok(id.clone()),
        [_, _, ..] if !is_id => Err(CommandError::failure(format!(
            "several tokens are named `{token}`: give the id of one of them: `{}`",
            named.join("`, `")
        ))),
        // An id, or an unknown name: the sidecar reports it.
        _ => Ok(token),
    }
}

fn list(
    global: &Global,
    remote: &SidecarClient,
    member: Option<String>,
    account: &AccountArg,
) -> CommandResult {
    let maker = member.map(|member| member::named(remote, member, account)).transpose()?;
    let maker = maker.map(|maker| text(&maker, "id"));
    let parameters = [account.parameter(), ("member", maker.as_deref())];
    let columns = ["id", "name", "role", "acts as", "expires", "last used"];
    let mut list = List::new(global.json, &columns);
    remote.long_pages("/api/v1/tokens", &parameters, |token| {
        list.add(&token, |token| {
            let maker = token.get("member").unwrap_or(&Json::Null);
            let acts_as = format!("{} ({})", text(maker, "name"), text(maker, "id"));
            let used = match text(token, "used") {
                used if used.is_empty() => "never".to_owned(),
                used => used,
            };
            let [id, name, expires] = ["id", "name", "expires"].map(|name| text(token, name));
            vec![id, name, output::role(token), acts_as, expires, used]
        })
    })?;
    list.end()
}
