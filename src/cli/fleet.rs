//! `kwic-team fleet`: the nodes that share a log.
//!
//! `status` and `forget` talk to the running sidecar of this node; `init`, `join` and `leave` work on the
//! store of a stopped one.

use clap::Subcommand;
use serde_json::Value as Json;

use super::confirmation::ConfirmArg;
use super::output::{self, text};
use super::role::strings;
use super::sidecar_client::{ApiCall, SidecarClient};
use super::value_parsers::filled;
use super::{CommandError, CommandResult, Exit, Global, fleet_membership};
use crate::percent_encoding::encoded;

#[derive(Debug, Subcommand)]
pub(super) enum FleetCommand {
    /// Begin a fleet with the store of this node, while no sidecar runs
    #[command(
        after_help = "Example: kwic-team fleet init\n\nMakes the log at `fleet.log`, and a copy of the store beside it for nodes that join. If it was interrupted, run it again."
    )]
    Init,
    /// Make this node one of the fleet, while no sidecar runs; asks first
    #[command(
        after_help = "Example: kwic-team fleet join --yes\n\nCopy the folder `keys` of another node into the data folder first. The store of the fleet takes the place of this node's, which is kept under another name for `fleet.keep_old_days` days. Also for a node that was away too long, or has stopped following the log."
    )]
    Join {
        #[command(flatten)]
        yes: ConfirmArg,
    },
    /// Go on with the store of this node alone, while no sidecar runs; asks first
    #[command(
        after_help = "Example: kwic-team fleet leave --yes\n\nThe store keeps its members. Remove the section `[fleet]` from the configuration before the sidecar is started, and run `kwic-team fleet forget` on another node."
    )]
    Leave {
        #[command(flatten)]
        yes: ConfirmArg,
    },
    /// Show each node: its state, how far it has followed the log, its policies, version and clock; exits 1 unless all are fresh
    #[command(
        after_help = "Example: kwic-team fleet status\n\nA node is `fresh`; `stale` (it has not heard from the log for `fleet.max_staleness`); `halted` (it no longer follows the log: the warning says why; mostly, stop it, run `kwic-team fleet join` there, then start it again); `silent` (it is not running, or cannot reach the log); or `unreadable` (what it reports does not open: compare its `keys` with those of this node)."
    )]
    Status,
    /// Forget a node that does not come back, so that nobody waits for it
    #[command(after_help = "Example: kwic-team fleet forget host-3")]
    Forget {
        /// The node's name or id, as `fleet status` shows it
        #[arg(value_parser = filled)]
        node: String,
    },
}

pub(super) fn run(global: &Global, command: &FleetCommand) -> CommandResult {
    match command {
        FleetCommand::Init => fleet_membership::init(global),
        FleetCommand::Join { yes } => fleet_membership::join(global, yes),
        FleetCommand::Leave { yes } => fleet_membership::leave(global, yes),
        FleetCommand::Status => status(global, &SidecarClient::of(global)?),
        FleetCommand::Forget { node } => {
            let remote = SidecarClient::of(global)?;
            let path = format!("/api/v1/fleet/{}", encoded(node));
            let forgotten = remote.json(&ApiCall::new("DELETE", path))?;
            output::answer(global, &forgotten, |forgotten| {
                output::say(&format!("{} is forgotten", text(forgotten, "forgotten")))
            })
        }
    }
}

const COLUMNS: [&str; 10] = [
    "name", "state", "index", "behind", "revision", "policies", "version", "clock", "since", "keys",
];

fn status(global: &Global, remote: &SidecarClient) -> CommandResult {
    let fleet = remote.json(&ApiCall::new("GET", "/api/v1/fleet"))?;
    let nodes = fleet.get("items").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    let printed = if global.json {
        output::line(&fleet.to_string())
    } else {
        output::table(&COLUMNS, &nodes.iter().map(row).collect::<Vec<_>>()).and_then(|()| {
            let erasure = fleet.get("erasure").filter(|erasure| !erasure.is_null());
            erasure.map_or(Ok(()), |erasure| {
                output::say(&format!("last erasure: {}", text(erasure, "sentence")))
            })?;
            let warnings = strings(&fleet, "warnings");
            warnings.iter().try_for_each(|warning| output::say(&format!("warning: {warning}")))
        })
    };
    printed.or_else(CommandError::unless_reader_left)?;
    let are_fresh = nodes.iter().all(|node| text(node, "state") == "fresh");
    Ok(if are_fresh { Exit::Ok } else { Exit::Failure })
}

fn row(node: &Json) -> Vec<String> {
    let report = node.get("report").unwrap_or(&Json::Null);
    let name = match text(report, "name") {
        name if name.is_empty() => text(node, "id"),
        name => name,
    };
    let own = if node.get("this").and_then(Json::as_bool) == Some(true) { " (this)" } else { "" };
    let silent = text(node, "silent_seconds");
    let state = match text(node, "state") {
        state if silent.is_empty() => state,
        state => format!("{state} for {silent} s"),
    };
    let lacks = node.get("lacks_keys").and_then(Json::as_array);
    let lacks: Vec<&str> = lacks.into_iter().flatten().filter_map(Json::as_str).collect();
    let refused = report.get("policies_refused").and_then(Json::as_bool) == Some(true);
    let digest: String = text(report, "policies").chars().take(DIGEST_CHARS).collect();
    let clock = match node.get("clock_seconds").and_then(Json::as_i64) {
        Some(seconds) if seconds.abs() <= CLOCK_SECONDS => "ok".to_owned(),
        Some(seconds) => format!("{seconds:+} s"),
        None => String::new(),
    };
    vec![
        format!("{name}{own}"),
        state,
        text(report, "index"),
        text(node, "behind"),
        text(report, "revision"),
        if refused { format!("{digest} (others refused)") } else { digest },
        text(report, "version"),
        clock,
        text(report, "since"),
        if lacks.is_empty() { "ok".to_owned() } else { format!("lacks {}", lacks.join(", ")) },
    ]
}

/// Enough of a digest to see whether two differ.
const DIGEST_CHARS: usize = 12;
/// A difference of clocks that is within what it is measured to.
const CLOCK_SECONDS: i64 = 2;
