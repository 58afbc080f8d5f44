//! `kwic-team audit`: who did what, and whether the chains hold.
//!
//! Speaks to the running sidecar.

use clap::Subcommand;
use serde_json::Value as Json;

use super::output::{self, text};
use super::remote::{Call, Remote, with_query};
use super::{Exit, Global, Outcome, Stop};

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// List the entries of an account, oldest first
    #[command(after_help = "Example: kwic-team audit list --member m42 --event user_deleted")]
    List {
        /// The account; may be left out while there is only one
        #[arg(long, value_name = "SLUG")]
        account: Option<String>,
        /// The store's own entries: accounts and policies
        #[arg(long, conflicts_with = "account")]
        store: bool,
        /// Only entries about this member's id
        #[arg(long)]
        member: Option<String>,
        /// Only this event
        #[arg(long)]
        event: Option<String>,
    },
    /// Walk the chains and recompute everything; exits 1 where one does not hold
    #[command(after_help = "Example: kwic-team audit verify --account acme --expect HEAD")]
    Verify {
        /// Only this account's chain
        #[arg(long, value_name = "SLUG")]
        account: Option<String>,
        /// The head that was printed earlier: the chain must still reach it
        #[arg(long, value_name = "HEAD", requires = "account")]
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
            let mut rows = Vec::new();
            remote.pages("/api/v1/audit", &parameters, |entry| {
                if global.json {
                    output::line(&entry.to_string());
                } else {
                    rows.push(row(&entry));
                }
            })?;
            output::table(&["no", "at", "actor", "event", "target", "detail"], &rows);
            Ok(Exit::Ok)
        }
        AuditCommand::Verify { account, expect } => {
            verify(global, &remote, account.as_deref(), expect.as_deref())
        }
    }
}

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

fn verify(
    global: &Global,
    remote: &Remote,
    account: Option<&str>,
    expect: Option<&str>,
) -> Outcome {
    let path = with_query("/api/v1/audit/verify", &[("account", account)]);
    let report = remote.json(&Call::new("GET", path))?;
    let mut rows = Vec::new();
    let mut heads = Vec::new();
    let mut whole = true;
    for chain in report.get("items").and_then(Json::as_array).into_iter().flatten() {
        let fault = text(chain, "fault");
        whole &= fault.is_empty();
        heads.push(text(chain, "head"));
        if global.json {
            output::line(&chain.to_string());
        }
        let name = match text(chain, "account") {
            name if name.is_empty() => "(store)".to_owned(),
            name => name,
        };
        let state = if fault.is_empty() { "holds".to_owned() } else { fault };
        rows.push(vec![name, text(chain, "entries"), text(chain, "head"), state]);
    }
    if !global.json {
        output::table(&["chain", "entries", "head", "state"], &rows);
    }
    if !whole {
        return Err(Stop::failure(
            "a chain does not hold: keep the file as it is, and find out who could write it",
        ));
    }
    match expect {
        Some(expect) if !heads.iter().any(|head| head == expect) => {
            reaches(remote, account, expect)
        }
        _ => Ok(Exit::Ok),
    }
}

/// A head that was kept may have been built upon since: then some entry carries it.
fn reaches(remote: &Remote, account: Option<&str>, expect: &str) -> Outcome {
    let mut found = false;
    remote.pages("/api/v1/audit", &[("account", account), ("limit", Some("1000"))], |entry| {
        found |= text(&entry, "hash") == expect;
    })?;
    if found {
        output::line("the chain holds, and was built upon what was expected");
        return Ok(Exit::Ok);
    }
    Err(Stop::failure(
        "the chain holds in itself, but nowhere has the head that was expected: its end was cut off or written anew",
    ))
}
