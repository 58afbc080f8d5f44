//! `kwic-team audit`: lists the audit log and verifies its hash chains.
//!
//! Talks to the running sidecar.

use clap::Subcommand;
use serde_json::Value as Json;

use super::output::{self, List, text};
use super::sidecar_client::{ApiCall, SidecarClient, with_query};
use super::value_parsers::filled;
use super::{CommandError, CommandResult, Exit, Global, member};
use crate::domain::member::UNKNOWN;
use crate::domain::{AuditEvent, Digest, input_cleanup};
use crate::percent_encoding::encoded;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// List the entries of an account, oldest first
    #[command(after_help = "Example: kwic-team audit list --member m42 --event user_deleted")]
    List {
        /// The account; optional while there is only one
        #[arg(long, value_name = "SLUG", value_parser = filled)]
        account: Option<String>,
        /// Instead of an account's entries, the store's own: about accounts, policies and restores
        #[arg(long, conflicts_with = "account")]
        store: bool,
        /// Only entries about this member or removed member, by id or address
        #[arg(long, value_parser = filled)]
        member: Option<String>,
        /// Only this event, such as `user_deleted` for a removed member; `invite_wanted`: somebody with a link that no longer works asked for a new one; `passkey_copied`: a passkey was refused, since it may have been copied
        #[arg(long, value_parser = AuditEvent::ALL.map(AuditEvent::as_str))]
        event: Option<String>,
    },
    /// Verify the hash chains; exits 1 if one was altered
    #[command(after_help = "Example: kwic-team audit verify --account acme --expect HEAD")]
    Verify {
        /// Only this account's chain
        #[arg(long, value_name = "SLUG", value_parser = filled)]
        account: Option<String>,
        /// Only the store's own chain: about accounts, policies and restores
        #[arg(long, conflicts_with = "account")]
        store: bool,
        /// The `head` (hash of the last entry) that an earlier run printed; the chain must still contain it
        #[arg(long, value_name = "HEAD")]
        expect: Option<String>,
    },
}

pub(super) fn run(global: &Global, command: AuditCommand) -> CommandResult {
    let remote = SidecarClient::of(global)?;
    match command {
        AuditCommand::List { account, store, member, event } => {
            let of_account = ("account", account.as_deref());
            let member = match member {
                Some(address) if address.contains('@') && !store => {
                    Some(member::id_by_address(&remote, of_account, &address)?)
                }
                member => member,
            };
            let parameters = [
                ("account", account.as_deref()),
                ("chain", store.then_some("store")),
                ("member", member.as_deref()),
                ("event", event.as_deref()),
            ];
            let mut list = List::new(global.json, &ENTRY);
            let mut found = false;
            remote.long_pages("/api/v1/audit", &parameters, |entry| {
                found = true;
                list.add(&entry, row)
            })?;
            list.end()?;
            match member.filter(|_| !found && !store) {
                Some(id) => about_nobody(&remote, of_account, &id, event.is_some()),
                None => Ok(Exit::Ok),
            }
        }
        AuditCommand::Verify { account, store, expect } => {
            let chain = match (&account, store) {
                (Some(account), _) => ChainSelector::Account(account),
                (None, true) => ChainSelector::Store,
                (None, false) => ChainSelector::Any,
            };
            verify(global, &remote, chain, expect.as_deref())
        }
    }
}

/// No entry is about this id: where it is no member's either, it may be mistyped.
fn about_nobody(
    remote: &SidecarClient,
    account: (&str, Option<&str>),
    id: &str,
    of_event: bool,
) -> CommandResult {
    let path = with_query(&format!("/api/v1/members/{}", encoded(id)), &[account]);
    match remote.json(&ApiCall::new("GET", path)) {
        Err(stop) if stop.is(UNKNOWN) => {}
        _ => return Ok(Exit::Ok),
    }
    let such = if of_event { "such " } else { "" };
    Err(CommandError::failure(format!(
        "no {such}entry is about `{}`, and no member has this id: give an id, or the address of somebody who is or was a member",
        output::shown(id)
    )))
}

const ENTRY: [&str; 6] = ["no", "at", "actor", "event", "target", "detail"];

fn row(entry: &Json) -> Vec<String> {
    let mut row =
        ["sequence", "at", "actor", "event", "target"].map(|name| text(entry, name)).to_vec();
    let fields = entry.get("detail").and_then(Json::as_array).into_iter().flatten();
    let changes: Vec<String> = fields
        .map(|field| {
            let (name, before, after) =
                (text(field, "field"), text(field, "before"), text(field, "after"));
            match (before.is_empty(), after.is_empty()) {
                (true, _) => format!("{name}: {after}"),
                (_, true) => format!("{name}: {before} -> nothing"),
                _ => format!("{name}: {before} -> {after}"),
            }
        })
        .collect();
    row.push(changes.join("; "));
    row
}

/// The chains to verify.
#[derive(Clone, Copy)]
enum ChainSelector<'a> {
    Any,
    Store,
    Account(&'a str),
}

impl<'a> ChainSelector<'a> {
    fn account(self) -> Option<&'a str> {
        match self {
            Self::Account(account) => Some(account),
            Self::Any | Self::Store => None,
        }
    }

    fn holds(self, chain: &Json) -> bool {
        !matches!(self, Self::Store) || text(chain, "account").is_empty()
    }
}

fn verify(
    global: &Global,
    remote: &SidecarClient,
    wanted: ChainSelector<'_>,
    expect: Option<&str>,
) -> CommandResult {
    let expect = expect.map(head).transpose()?;
    let path = with_query("/api/v1/audit/verify", &[("account", wanted.account())]);
    let report = remote.json(&ApiCall::new("GET", path))?;
    let chains = report.get("items").and_then(Json::as_array).into_iter().flatten();
    let chains: Vec<&Json> = chains.filter(|chain| wanted.holds(chain)).collect();
    print(global, &chains).or_else(CommandError::unless_reader_left)?;
    if chains.iter().any(|chain| !text(chain, "fault").is_empty()) {
        return Err(CommandError::failure(
            "the audit log was altered: keep the store's file as it is, and find out who could write to it",
        ));
    }
    match expect {
        Some(expect) if !chains.iter().any(|chain| text(chain, "head") == expect) => {
            reaches(remote, wanted, &chains, &expect)
        }
        _ => Ok(Exit::Ok),
    }
}

fn print(global: &Global, chains: &[&Json]) -> Result<(), CommandError> {
    let mut list = List::new(global.json, &["chain", "entries", "head", "state"]);
    for chain in chains {
        list.add(chain, |chain| {
            let or =
                |text: String, other: &str| if text.is_empty() { other.to_owned() } else { text };
            vec![
                or(text(chain, "account"), "(store)"),
                text(chain, "entries"),
                text(chain, "head"),
                or(text(chain, "fault"), "intact"),
            ]
        })?;
    }
    list.end().map(drop)
}

/// An earlier head is in the middle of the chain now: then some entry has it.
fn reaches(
    remote: &SidecarClient,
    wanted: ChainSelector<'_>,
    chains: &[&Json],
    expect: &str,
) -> CommandResult {
    if let Some(chain) = carrier(remote, chains, expect)? {
        output::complain(&format!("{} is intact and contains the expected head", named(chain)));
        return Ok(Exit::Ok);
    }
    if !matches!(wanted, ChainSelector::Any) {
        // The head of another chain says nothing about this one.
        let report = remote.json(&ApiCall::new("GET", "/api/v1/audit/verify"))?;
        let all = report.get("items").and_then(Json::as_array).into_iter().flatten();
        let is_new = |chain: &&Json| {
            chains.iter().all(|known| text(known, "account") != text(chain, "account"))
        };
        let others: Vec<&Json> = all.filter(is_new).collect();
        if let Some(other) = carrier(remote, &others, expect)? {
            return Err(of_other(other, expect));
        }
    }
    Err(CommandError::failure(
        "no chain that was checked contains the expected head: the end of its chain was cut off or rewritten, or the head is from another store; if no restore explains this (`kwic-team audit list --store --event store_restored`), keep the store's file as it is, and find out who could write to it",
    ))
}

/// A chain, in a sentence.
fn named(chain: &Json) -> String {
    match text(chain, "account") {
        account if account.is_empty() => "the store's own chain".to_owned(),
        account => format!("the chain of `{account}`"),
    }
}

/// The chain that has this head, now or at some entry.
fn carrier<'c>(
    remote: &SidecarClient,
    chains: &[&'c Json],
    expect: &str,
) -> Result<Option<&'c Json>, CommandError> {
    if let Some(chain) = chains.iter().find(|chain| text(chain, "head") == expect) {
        return Ok(Some(*chain));
    }
    for chain in chains {
        let account = text(chain, "account");
        let parameter = match account.as_str() {
            "" => ("chain", Some("store")),
            account => ("account", Some(account)),
        };
        let mut found = false;
        remote.long_pages("/api/v1/audit", &[parameter], |entry| {
            found |= text(&entry, "hash") == expect;
            Ok(())
        })?;
        if found {
            return Ok(Some(*chain));
        }
    }
    Ok(None)
}

/// The head of another chain than the one that is looked at.
fn of_other(chain: &Json, expect: &str) -> CommandError {
    let is = if text(chain, "head") == expect { "is" } else { "was once" };
    let (name, flag) = match text(chain, "account") {
        account if account.is_empty() => ("the store's own chain".to_owned(), "--store".to_owned()),
        account => (format!("`{account}`"), format!("--account {account}")),
    };
    CommandError::usage(format!(
        "this {is} the head of {name}, and says nothing about the chain that was checked: give {flag}"
    ))
}

/// A head as it was copied.
///
/// # Errors
/// A usage error for what is no head.
fn head(typed: &str) -> Result<String, CommandError> {
    Digest::from_hex(input_cleanup::pasted(typed)).map(|head| head.hex()).ok_or_else(|| {
        let shown = output::shown(input_cleanup::pasted(typed));
        CommandError::usage(format!(
            "--expect: `{shown}` is not a head: give all 64 characters (0-9, a-f) that `kwic-team audit verify` printed"
        ))
    })
}
