//! `kwic-team member`.
//!
//! Speaks to the running sidecar. What cannot be undone asks first.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value as Json};

use super::output::{self, List, text};
use super::remote::{Call, Remote, encoded, with_query};
use super::{Exit, Global, Outcome, Stop};

const COLUMNS: [&str; 6] = ["id", "email", "first_name", "last_name", "role", "status"];

#[derive(Args, Debug)]
pub(super) struct Account {
    /// The account; may be left out while there is only one
    #[arg(long, value_name = "SLUG")]
    account: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct Who {
    /// The member's id, else the address
    member: String,
    #[command(flatten)]
    account: Account,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Format {
    Csv,
    Jsonl,
}

#[derive(Debug, Subcommand)]
pub(super) enum MemberCommand {
    /// List members, in the order of their addresses
    #[command(after_help = "Example: kwic-team member list --status suspended")]
    List {
        #[command(flatten)]
        account: Account,
        /// Part of a name or an address
        #[arg(long)]
        search: Option<String>,
        /// Only this role
        #[arg(long)]
        role: Option<String>,
        /// Only `active` or `suspended` ones
        #[arg(long)]
        status: Option<String>,
    },
    /// Show one member
    #[command(after_help = "Example: kwic-team member show ann@example.org")]
    Show(Who),
    /// Change name, address or role
    #[command(after_help = "Example: kwic-team member edit ann@example.org --role ROLE")]
    Edit {
        #[command(flatten)]
        who: Who,
        /// The new first name
        #[arg(long)]
        first_name: Option<String>,
        /// The new last name
        #[arg(long)]
        last_name: Option<String>,
        /// The new address
        #[arg(long)]
        email: Option<String>,
        /// The new role
        #[arg(long)]
        role: Option<String>,
    },
    /// Suspend a member: nothing is allowed until restored
    #[command(after_help = "Example: kwic-team member suspend ann@example.org")]
    Suspend(Who),
    /// Restore a suspended member
    #[command(after_help = "Example: kwic-team member restore ann@example.org")]
    Restore(Who),
    /// Remove a member for good
    #[command(after_help = "Example: kwic-team member remove ann@example.org --yes")]
    Remove {
        #[command(flatten)]
        who: Who,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Make members from a file, all or nothing
    #[command(
        after_help = "Example: kwic-team member import --account acme members.csv\n\nCSV with the columns first_name,last_name,email,role and optional id, or the same as JSON lines."
    )]
    Import {
        #[command(flatten)]
        account: Account,
        /// CSV or JSON lines
        file: PathBuf,
        /// The file's format, where its name does not end in `.csv` or `.jsonl`
        #[arg(long)]
        format: Option<Format>,
    },
    /// Write all members to a file or standard output
    #[command(
        after_help = "Example: kwic-team member export --format jsonl --output members.jsonl"
    )]
    Export {
        #[command(flatten)]
        account: Account,
        /// CSV or JSON lines
        #[arg(long, default_value = "csv")]
        format: Format,
        /// The file to write
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

pub(super) fn run(global: &Global, command: MemberCommand) -> Outcome {
    let remote = Remote::of(global)?;
    match command {
        MemberCommand::List { account, search, role, status } => {
            let parameters = [
                ("account", account.account.as_deref()),
                ("search", search.as_deref()),
                ("role", role.as_deref()),
                ("status", status.as_deref()),
            ];
            list(global, &remote, &parameters)
        }
        MemberCommand::Show(who) => {
            let member = find(&remote, &who)?;
            show(global, &member)?;
            Ok(Exit::Ok)
        }
        MemberCommand::Edit { who, first_name, last_name, email, role } => {
            let given = [
                ("first_name", first_name),
                ("last_name", last_name),
                ("email", email),
                ("role", role),
            ];
            edit(global, &remote, &who, given)
        }
        MemberCommand::Suspend(who) => change(global, &remote, &who, "POST", "/suspend"),
        MemberCommand::Restore(who) => change(global, &remote, &who, "POST", "/restore"),
        MemberCommand::Remove { who, yes } => remove(global, &remote, &who, yes),
        MemberCommand::Import { account, file, format } => {
            let media = media_of(&file, format)?;
            let path =
                with_query("/api/v1/members/import", &[("account", account.account.as_deref())]);
            let done = remote.upload(path, media, &file)?;
            if global.json {
                output::line(&done.to_string())?;
            } else {
                let imported = text(&done, "imported");
                let members = if imported == "1" { "member was" } else { "members were" };
                output::line(&format!(
                    "{imported} {members} imported, at revision {}; the file's digest is {}",
                    text(&done, "revision"),
                    text(&done, "digest")
                ))?;
            }
            Ok(Exit::Ok)
        }
        MemberCommand::Export { account, format, output } => {
            export(&remote, account.account.as_deref(), format, output)
        }
    }
}

fn list(global: &Global, remote: &Remote, parameters: &[(&str, Option<&str>)]) -> Outcome {
    let mut list = List::new(global.json, &COLUMNS);
    remote.long_pages("/api/v1/members", parameters, |member| {
        list.add(&member, |member| COLUMNS.map(|name| text(member, name)).to_vec())
    })?;
    list.end()?;
    Ok(Exit::Ok)
}

/// Ids that stand for calls below `/members/`.
const CALLS: [&str; 2] = ["import", "export"];

/// By id, else by address. An id may look like an address, even like another member's.
fn find(remote: &Remote, who: &Who) -> Result<Json, Stop> {
    let account = ("account", who.account.account.as_deref());
    let name = who.member.as_str();
    if CALLS.contains(&name) {
        return Err(Stop::failure(format!(
            "`{name}` cannot be named by its id here: give the member's address"
        )));
    }
    let path = format!("/api/v1/members/{}", encoded(name));
    let by_id = remote.json(&Call::new("GET", with_query(&path, &[account])));
    let unknown = match by_id {
        Err(stop) if stop.code == "unknown_member" && name.contains('@') => stop,
        answered => return answered,
    };
    let mut found = None;
    remote.pages("/api/v1/members", &[account, ("email", Some(name))], |member| {
        found = Some(member);
        Ok(())
    })?;
    found.ok_or(unknown)
}

fn show(global: &Global, member: &Json) -> Result<(), Stop> {
    if global.json {
        return output::line(&member.to_string());
    }
    output::fields(
        member,
        &[
            "id",
            "account",
            "email",
            "first_name",
            "last_name",
            "role",
            "status",
            "two_step",
            "joined",
            "version",
            "revision",
        ],
    )
}

fn path_of(who: &Who, member: &Json, verb: &str) -> String {
    let path = format!("/api/v1/members/{}{verb}", encoded(&text(member, "id")));
    with_query(&path, &[("account", who.account.account.as_deref())])
}

fn edit(
    global: &Global,
    remote: &Remote,
    who: &Who,
    given: [(&str, Option<String>); 4],
) -> Outcome {
    let body: Map<String, Json> = given
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), Json::String(value?))))
        .collect();
    if body.is_empty() {
        return Err(Stop::usage(
            "nothing to change: give --first-name, --last-name, --email or --role",
        ));
    }
    let before = find(remote, who)?;
    let body = Json::Object(body);
    let mut call = Call::new("PATCH", path_of(who, &before, "")).body(&body);
    call.if_match = before.get("version").and_then(Json::as_u64);
    let after = remote.json(&call)?;
    show(global, &after)?;
    Ok(Exit::Ok)
}

fn change(
    global: &Global,
    remote: &Remote,
    who: &Who,
    method: &'static str,
    verb: &str,
) -> Outcome {
    let member = find(remote, who)?;
    let after = remote.json(&Call::new(method, path_of(who, &member, verb)))?;
    if global.json {
        output::line(&after.to_string())?;
    } else {
        output::line(&format!(
            "{} is {}, at revision {}",
            text(&after, "id"),
            text(&after, "status"),
            text(&after, "revision")
        ))?;
    }
    Ok(Exit::Ok)
}

fn remove(global: &Global, remote: &Remote, who: &Who, yes: bool) -> Outcome {
    let member = find(remote, who)?;
    let name = format!(
        "{} {} ({})",
        text(&member, "first_name"),
        text(&member, "last_name"),
        text(&member, "email")
    );
    if !yes && !confirmed(&format!("remove {name} for good? [y/N] "))? {
        return Err(Stop::failure("nothing was changed"));
    }
    let receipt = remote.json(&Call::new("DELETE", path_of(who, &member, "")))?;
    if global.json {
        output::line(&receipt.to_string())?;
    } else {
        output::line(&format!(
            "{name} is removed, at revision {}: {} sessions ended, {} tokens revoked, {} invites cancelled",
            text(&receipt, "revision"),
            text(&receipt, "sessions_ended"),
            text(&receipt, "tokens_revoked"),
            text(&receipt, "invites_cancelled")
        ))?;
    }
    Ok(Exit::Ok)
}

/// Asks a person; elsewhere there is nobody to ask.
fn confirmed(question: &str) -> Result<bool, Stop> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Stop::usage("this cannot be undone: give --yes where nobody can be asked"));
    }
    let _ = write!(io::stderr(), "{question}");
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .map_err(|fault| Stop::failure(format!("no answer: {fault}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn media_of(file: &Path, format: Option<Format>) -> Result<&'static str, Stop> {
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match (format, ending) {
        (Some(Format::Csv), _) | (None, "csv") => Ok("text/csv"),
        (Some(Format::Jsonl), _) | (None, "jsonl" | "ndjson") => Ok("application/jsonl"),
        _ => Err(Stop::usage(format!(
            "`{}` ends in neither `.csv` nor `.jsonl`: give --format csv or --format jsonl",
            file.display()
        ))),
    }
}

fn export(
    remote: &Remote,
    account: Option<&str>,
    format: Format,
    output: Option<PathBuf>,
) -> Outcome {
    let format = match format {
        Format::Csv => "csv",
        Format::Jsonl => "jsonl",
    };
    let path =
        with_query("/api/v1/members/export", &[("account", account), ("format", Some(format))]);
    let Some(output) = output else {
        remote.download(path, output::bytes)?;
        return Ok(Exit::Ok);
    };
    // Opened with the first piece: a call that is refused must not empty yesterday's file.
    let mut file = None;
    let received = remote.download(path, |piece| {
        let written = opened(&mut file, &output).and_then(|file| file.write_all(piece));
        written.map_err(|fault| {
            Stop::failure(format!("`{}` cannot be written: {fault}", output.display()))
        })
    });
    match received {
        Err(stop) if file.is_some() => Err(Stop::failure(format!(
            "{}\n`{}` holds only the beginning: do not use it",
            stop.message,
            output.display()
        ))),
        Err(stop) => Err(stop),
        Ok(()) => Ok(Exit::Ok),
    }
}

fn opened<'f>(file: &'f mut Option<File>, path: &Path) -> io::Result<&'f mut File> {
    match file {
        Some(file) => Ok(file),
        none => Ok(none.insert(File::create(path)?)),
    }
}
