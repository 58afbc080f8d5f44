//! `kwic-team audit`: lists the audit log and verifies its hash chains.
//!
//! Talks to the running sidecar.

use clap::Subcommand;
use serde_json::Value as Json;

use super::output::{self, List, text};
use super::remote::{Call, Remote, with_query};
use super::{Exit, Global, Outcome, Stop};
use crate::domain::AuditEvent;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// List the entries of an account, oldest first
    #[command(after_help = "Example: kwic-team audit list --member m42 --event user_deleted")]
    List {
        /// The account; optional while there is only one
        #[arg(long, value_name = "SLUG")]
        account: Option<String>,
        /// The store's own entries: accounts, policies and restores
        #[arg(long, conflicts_with = "account")]
        store: bool,
        /// Only entries about the member with this id
        #[arg(long)]
        member: Option<String>,
        /// Only this event
        #[arg(long, value_parser = AuditEvent::ALL.map(AuditEvent::as_str), hide_possible_values = true)]
        event: Option<String>,
    },
    /// Verify the hash chains; exits 1 if one was altered
    #[command(after_help = "Example: kwic-team audit verify --account acme --expect HEAD")]
    Verify {
        /// Only this account's chain
        #[arg(long, value_name = "SLUG")]
        account: Option<String>,
        /// Only the store's own chain: accounts and policies
        #[arg(long, conflicts_with = "account")]
        store: bool,
        /// A head that was printed earlier and that a chain must still contain
        #[arg(long, value_name = "HEAD")]
        expect: Option<String>,
    },
}

pub(super) fn run(global: &Global, command: AuditCommand) -> Outcome {
    let remote = Remote::of(global)?;
    match command {
        AuditCommand::List { account, store, member, event } => {
            let parameters = [
                ("account", account.as_deref()),
                ("chain", store.then_some("store")),
                ("member", member.as_deref()),
                ("event", event.as_deref()),
            ];
            let mut list = List::new(global.json, &ENTRY);
            remote.long_pages("/api/v1/audit", &parameters, |entry| list.add(&entry, row))?;
            list.end()?;
            Ok(Exit::Ok)
        }
        AuditCommand::Verify { account, store, expect } => {
            let chain = match (&account, store) {
                (Some(account), _) => Chain::Account(account),
                (None, true) => Chain::Store,
                (None, false) => Chain::Any,
            };
            verify(global, &remote, chain, expect.as_deref())
        }
    }
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
enum Chain<'a> {
    Any,
    Store,
    Account(&'a str),
}

impl<'a> Chain<'a> {
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

fn verify(global: &Global, remote: &Remote, wanted: Chain<'_>, expect: Option<&str>) -> Outcome {
    let path = with_query("/api/v1/audit/verify", &[("account", wanted.account())]);
    let report = remote.json(&Call::new("GET", path))?;
    let chains = report.get("items").and_then(Json::as_array).into_iter().flatten();
    let chains: Vec<&Json> = chains.filter(|chain| wanted.holds(chain)).collect();
    print(global, &chains).or_else(Stop::unless_reader_left)?;
    if chains.iter().any(|chain| !text(chain, "fault").is_empty()) {
        return Err(Stop::failure(
            "the audit log was altered: keep the store's file as it is, and find out who could write to it",
        ));
    }
    match expect {
        Some(expect) if !chains.iter().any(|chain| text(chain, "head") == expect) => {
            reaches(remote, wanted, expect)
        }
        _ => Ok(Exit::Ok),
    }
}

fn print(global: &Global, chains: &[&Json]) -> Result<(), Stop> {
    let mut list = List::new(global.json, &["chain", "entries", "head", "state"]);
    for chain in chains {
        list.add(chain, |chain| {
            let or = |text: String, other: &str| match text.is_empty() {
                true => other.to_owned(),
                false => text,
            };
            vec![
                or(text(chain, "account"), "(store)"),
                text(chain, "entries"),
                text(chain, "head"),
                or(text(chain, "fault"), "holds"),
            ]
        })?;
    }
    list.end()
}

/// An earlier head is in the middle of the chain now: then some entry has it.
fn reaches(remote: &Remote, chain: Chain<'_>, expect: &str) -> Outcome {
    let mut found = false;
    let mut look = |account: Option<&str>, chain: Option<&str>| {
        remote.long_pages("/api/v1/audit", &[("account", account), ("chain", chain)], |entry| {
            found |= text(&entry, "hash") == expect;
            Ok(())
        })
    };
    if !matches!(chain, Chain::Account(_)) {
        look(None, Some("store"))?;
    }
    if !matches!(chain, Chain::Store) {
        // If there are several accounts and none is named, the sidecar lists them.
        look(chain.account(), None)?;
    }
    if found {
        output::complain("the chain is intact and contains the expected head");
        return Ok(Exit::Ok);
    }
    Err(Stop::failure(
        "the chain is intact, but does not contain the expected head: its end was cut off or rewritten",
    ))
}
