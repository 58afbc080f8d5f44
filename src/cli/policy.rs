//! `kwic-team policy`: policy folders on disk, and the reload of the sidecar's own.
//!
//! `history`, `show`, `reload`, `publish`, `approve`, `rollback` and `unpin` need a running sidecar, and
//! `diff` where it is given a set of one; the other commands read or write a folder.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Map, Value as Json, json};

use super::confirmation::ConfirmArg;
use super::output;
use super::policy_approve_and_rollback;
use super::policy_diff::{self, DiffArgs};
use super::policy_history;
use super::policy_prove;
use super::policy_publish;
use super::policy_sets::{admitted, files, load};
use super::policy_shadow;
use super::role::{Matrix, MatrixRow, print_matrix};
use super::serve::configured;
use super::sidecar_client::{ApiCall, SidecarClient};
use super::{CommandError, CommandResult, Exit, Global};
use crate::domain::escaped_text::printable;
use crate::domain::{PolicyFiles, plural};
use crate::engine::{self, Snapshot};
use crate::gate;
use crate::policy_folder;
use crate::services::fleet_status::WAIT_MAX;

#[derive(Args, Debug)]
pub(super) struct FolderArgs {
    /// The policy folder; by default the one of the configuration, else the built-in policies
    dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Write the built-in policies to a folder, as a start
    #[command(after_help = "Example: kwic-team policy init policies")]
    Init {
        /// A new or empty folder
        dir: PathBuf,
    },
    /// Check a folder as a reload would; exits 3 and lists every fault if it is refused
    #[command(after_help = "Example: kwic-team policy check policies")]
    Check(FolderArgs),
    /// Run a folder's own tests
    #[command(after_help = "Example: kwic-team policy test policies")]
    Test(FolderArgs),
    /// Print which role may do what; with --before, who gains and who loses access
    #[command(
        after_help = "Example: kwic-team policy matrix policies\n         kwic-team policy matrix new-policies --before policies"
    )]
    Matrix {
        #[command(flatten)]
        folder: FolderArgs,
        /// Show who gains or loses access compared with this folder
        #[arg(long, value_name = "DIR")]
        before: Option<PathBuf>,
    },
    /// Print who gains and who loses access from one set to another, each change with a `kwic-team decide` command that shows it
    #[command(
        after_help = "Example: kwic-team policy diff live policies --fail-on widening\n         kwic-team policy diff 11 12 --json\n\nA set is a folder, `live`, `pending`, a number of `kwic-team policy history`, or the first 12 digits of a digest; write `./12` for a folder with such a name."
    )]
    Diff(DiffArgs),
    /// Prove the guards of a folder for every request, with the solver `cvc5`; exits 3 if one is refuted, 1 if one could not be proved
    #[command(
        after_help = "Example: kwic-team policy prove policies\n\nThe solver is the program that the variable `CVC5` names, else `cvc5` on the path. A guard is refuted by a `kwic-team decide` command that shows it."
    )]
    Prove(FolderArgs),
    /// Format the `.cedar` files of a folder
    #[command(after_help = "Example: kwic-team policy fmt policies --check")]
    Fmt {
        /// The policy folder
        dir: PathBuf,
        /// Change nothing; exit 1 if a file would change
        #[arg(long)]
        check: bool,
    },
    /// List the sets that went live, were held or were refused, newest first
    #[command(
        after_help = "Example: kwic-team policy history\n         kwic-team policy history --limit 5"
    )]
    History {
        /// The number of sets; by default all
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Print a set of the history: what it changed and which files it has; or one of the files
    #[command(
        after_help = "Example: kwic-team policy show 12\n         kwic-team policy show live roles/operator.cedar"
    )]
    Show {
        /// `live`, `pending`, a number of the history, or the first 12 digits of a digest
        set: String,
        /// A file of the set
        file: Option<String>,
    },
    /// Reload the sidecar's policy folder, and the bearer keys in `decision.keys_file`, and wait for the result; exits 3 if the folder is refused
    #[command(after_help = "Example: kwic-team policy reload")]
    Reload,
    /// Publish a folder to all nodes of a fleet (`policies.source` is `fleet`): it passes the check of this node, then each node takes it through its own; exits 3 if a check refuses it
    #[command(
        after_help = "Example: kwic-team policy publish policies --wait\n\nA node that refuses it goes on with its last good policies: `kwic-team fleet status` says why."
    )]
    Publish {
        /// The policy folder
        dir: PathBuf,
        /// Wait until it is live on every node, at most so many seconds (10 without a number), and exit 3 if one refuses it, 1 if one has not said anything
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "10", value_parser = clap::value_parser!(u64).range(1..=WAIT_MAX.as_secs()))]
        wait: Option<u64>,
    },
    /// Approve the set that waits, since somebody gains access by it (`policies.hold_widening`); prints what it changes, and asks first
    #[command(after_help = "Example: kwic-team policy approve 3fa9c1d20b7e")]
    Approve {
        /// The first 12 digits, or more, of its digest
        digest: String,
        #[command(flatten)]
        confirm: ConfirmArg,
    },
    /// Go back to a set of the history: the policy folder gets its content, and what was there is kept next to it; asks first
    #[command(
        after_help = "Example: kwic-team policy rollback 12\n         kwic-team policy rollback 12 --pin"
    )]
    Rollback {
        /// The number of the set, or the first 12 digits of its digest
        set: String,
        /// Leave the folder alone, and ignore it until `kwic-team policy unpin`: where it cannot be written
        #[arg(long)]
        pin: bool,
        #[command(flatten)]
        confirm: ConfirmArg,
    },
    /// List where the shadow policies (`policies.shadow`) answer otherwise than the live ones, the most frequent first, each with a command that asks them the same
    #[command(
        after_help = "Example: kwic-team policy shadow\n         kwic-team policy shadow --json"
    )]
    Shadow,
    /// End a pin, and load the policy folder
    #[command(after_help = "Example: kwic-team policy unpin")]
    Unpin,
}

pub(super) fn run(global: &Global, command: PolicyCommand) -> CommandResult {
    match command {
        PolicyCommand::Init { dir } => {
            policy_folder::write_new(&dir, &policy_folder::embedded_policies())?;
            let folder = dir.display().to_string();
            output::answer(global, &json!({"folder": folder}), |_| {
                output::line(&format!(
                    "the built-in policies are in `{folder}`: set `policies.dir` to use them"
                ))
            })
        }
        PolicyCommand::Check(folder) => {
            let demand_proof = configured(global, &global.data)?.policies.demand_proof;
            judged(global, folder, |dir| admitted(dir, demand_proof), check)
        }
        PolicyCommand::Test(folder) => judged(global, folder, load, test),
        PolicyCommand::Matrix { folder, before } => {
            matrix(global, chosen(global, folder)?.as_deref(), before)
        }
        PolicyCommand::Diff(args) => policy_diff::run(global, &args),
        PolicyCommand::Prove(folder) => {
            policy_prove::run(global, chosen(global, folder)?.as_deref())
        }
        PolicyCommand::Fmt { dir, check } => format_all(global, &dir, check),
        PolicyCommand::History { limit } => policy_history::list(global, limit),
        PolicyCommand::Show { set, file } => policy_history::show(global, &set, file.as_deref()),
        PolicyCommand::Reload => reload(global),
        PolicyCommand::Publish { dir, wait } => policy_publish::run(global, &dir, wait),
        PolicyCommand::Approve { digest, confirm } => {
            policy_approve_and_rollback::approve(global, &digest, &confirm)
        }
        PolicyCommand::Rollback { set, pin, confirm } => {
            policy_approve_and_rollback::rollback(global, &set, pin, &confirm)
        }
        PolicyCommand::Shadow => policy_shadow::run(global),
        PolicyCommand::Unpin => policy_approve_and_rollback::unpin(global),
    }
}

/// The chosen folder: by default the one of the configuration, else the built-in policies. Prints
/// which one, if none was named.
fn chosen(global: &Global, folder: FolderArgs) -> Result<Option<PathBuf>, CommandError> {
    if folder.dir.is_some() {
        return Ok(folder.dir);
    }
    let dir = configured(global, &global.data)?.policies.dir;
    if !global.json {
        output::complain(&match &dir {
            Some(dir) => format!("the folder of the configuration: `{}`", dir.display()),
            None => {
                "the built-in policies: neither the command nor the configuration names a folder"
                    .to_owned()
            }
        });
    }
    Ok(dir)
}

/// Checks a folder. A refusal is a result, also as JSON.
fn judged(
    global: &Global,
    folder: FolderArgs,
    load: impl FnOnce(Option<&Path>) -> Result<Snapshot, CommandError>,
    judge: impl FnOnce(&Global, &Snapshot) -> Result<Map<String, Json>, CommandError>,
) -> CommandResult {
    let dir = chosen(global, folder)?;
    let name = dir.as_ref().map(|dir| dir.display().to_string());
    match load(dir.as_deref()) {
        Ok(snapshot) => {
            let mut document = judge(global, &snapshot)?;
            if global.json {
                document.insert("passed".to_owned(), json!(true));
                document.insert("folder".to_owned(), json!(name));
                output::line(&Json::Object(document).to_string())?;
            }
            Ok(Exit::Ok)
        }
        Err(stop) if global.json && stop.exit == Exit::PoliciesRefused => {
            let document =
                json!({"passed": false, "folder": name, "faults": faults(&stop.message)});
            output::verdict(&document.to_string())?;
            Ok(Exit::PoliciesRefused)
        }
        Err(stop) => Err(stop),
    }
}

/// One text for each fault; lines after the first are indented.
fn faults(text: &str) -> Vec<String> {
    let mut faults: Vec<String> = Vec::new();
    for line in text.lines() {
        match faults.last_mut() {
            Some(fault) if line.starts_with("  ") => {
                fault.push('\n');
                fault.push_str(line);
            }
            _ => faults.push(line.to_owned()),
        }
    }
    faults
}

fn test(global: &Global, snapshot: &Snapshot) -> Result<Map<String, Json>, CommandError> {
    let count = snapshot.test_count();
    match count {
        _ if global.json => {}
        0 => output::line("the folder has no tests: write cases into `tests/*.json`")?,
        _ => output::line(&format!("{} passed", plural(count, "test", "tests")))?,
    }
    Ok(Map::from_iter([("tests".to_owned(), json!(count))]))
}

fn check(global: &Global, snapshot: &Snapshot) -> Result<Map<String, Json>, CommandError> {
    let administering = snapshot.administering();
    let administering: Vec<&str> = administering.iter().map(|role| role.as_str()).collect();
    if global.json {
        return Ok(Map::from_iter([
            ("digest".to_owned(), json!(snapshot.digest_hex())),
            ("policies".to_owned(), json!(snapshot.policy_count())),
            ("roles".to_owned(), json!(snapshot.roles().len())),
            ("guards".to_owned(), json!(snapshot.guard_count())),
            ("tests".to_owned(), json!(snapshot.test_count())),
            ("administering_roles".to_owned(), json!(administering)),
            ("notes".to_owned(), json!(snapshot.notes())),
        ]));
    }
    for note in snapshot.notes() {
        output::line(&format!("note: {note}"))?;
    }
    output::line(&format!(
        "the policies are in order: {}, {}, {} passed, {} kept in every case of the matrix; roles that can administer an account: {}",
        plural(snapshot.policy_count(), "policy", "policies"),
        plural(snapshot.roles().len(), "role", "roles"),
        plural(snapshot.test_count(), "test", "tests"),
        plural(snapshot.guard_count(), "guard", "guards"),
        if administering.is_empty() { "none".to_owned() } else { administering.join(", ") }
    ))?;
    Ok(Map::new())
}

fn matrix(global: &Global, dir: Option<&Path>, before: Option<PathBuf>) -> CommandResult {
    let snapshot = load(dir)?;
    if let Some(before) = before {
        let changes = snapshot.changes_since(&load(Some(&before))?);
        if global.json {
            let document = json!({
                "gains": changes.gains,
                "loses": changes.loses,
                "may_gain": changes.may_gain,
                "may_lose": changes.may_lose,
            });
            output::line(&document.to_string())?;
        } else {
            changes.lines().iter().try_for_each(|line| output::line(line))?;
        }
        return Ok(Exit::Ok);
    }
    let matrix = snapshot.matrix();
    let row = |row: &engine::MatrixRow| MatrixRow {
        action: row.action.clone(),
        resource: row.resource.clone(),
        cells: row.cells.iter().map(|cell| cell.as_str().to_owned()).collect(),
        depends_on: row.policies(),
    };
    let matrix = Matrix {
        roles: matrix.roles.iter().map(ToString::to_string).collect(),
        rows: matrix.rows.iter().map(row).collect(),
    };
    print_matrix(global.json, &matrix)?;
    Ok(Exit::Ok)
}

/// Formats every policy file if all of them can be parsed; else names those that cannot and writes
/// nothing.
fn format_all(global: &Global, dir: &Path, check: bool) -> CommandResult {
    let mut changed = Vec::new();
    let mut faults = Vec::new();
    let read = files(Some(dir))?;
    for (path, why) in read.misplaced() {
        faults.push(printable(&format!("{path}: {why}")));
    }
    let mut policies = read.into_files();
    policies.retain(|(path, _)| path.ends_with(".cedar"));
    let policies = PolicyFiles::new(policies);
    for ((path, bytes), formatted) in policies.iter().zip(gate::format_all(&policies)?) {
        match formatted {
            Ok(formatted) if formatted.as_bytes() == bytes => {}
            Ok(formatted) => changed.push((path.to_owned(), formatted)),
            Err(fault) => faults.push(fault),
        }
    }
    if !faults.is_empty() {
        return Err(CommandError::new(Exit::PoliciesRefused, faults.join("\n")));
    }
    for (path, formatted) in &changed {
        let place = dir.join(path);
        if !check {
            fs::write(&place, formatted).map_err(|fault| {
                CommandError::failure(format!("`{}` cannot be written: {fault}", place.display()))
            })?;
        }
        if !global.json {
            let what = if check { "would change" } else { "was changed" };
            output::verdict(&format!("{path} {what}"))?;
        }
    }
    if global.json {
        let paths: Vec<&String> = changed.iter().map(|(path, _)| path).collect();
        let document = json!({"changed": paths, "written": !check});
        output::verdict(&document.to_string())?;
    }
    Ok(if check && !changed.is_empty() { Exit::Failure } else { Exit::Ok })
}

fn reload(global: &Global) -> CommandResult {
    let answer = SidecarClient::of(global)?.json(&ApiCall::new("POST", "/api/v1/policies/reload"));
    let report = answer.map_err(|stop| match stop.exit {
        Exit::PoliciesRefused => {
            let message = format!("{}\nthe previous policies stay live", stop.message);
            CommandError { message, ..stop }
        }
        _ => stop,
    })?;
    policy_approve_and_rollback::print(global, &report)
}
