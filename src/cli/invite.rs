//! `kwic-team invite`.
//!
//! Talks to the running sidecar. A link is printed on its own line if the sidecar returns it; it is
//! never generated or kept here.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::account_flag::AccountArg;
use super::confirmation::ConfirmArg;
use super::output::{self, List, text};
use super::people_file_format::{self, InviteFormat};
use super::sidecar_client::{ApiCall, SidecarClient, reasons};
use super::value_parsers::filled;
use super::{CommandError, CommandResult, Exit, Global, edit_args, mail, role};
use crate::domain::member::full_name;
use crate::domain::{Email, InviteId, InviteState};
use crate::services::import::ImportedRow;

#[derive(Args, Debug)]
pub(super) struct InviteSelector {
    /// The invite's id or address
    #[arg(value_parser = filled)]
    invite: String,
    #[command(flatten)]
    account: AccountArg,
}

#[derive(Debug, Subcommand)]
pub(super) enum InviteCommand {
    /// Invite one person, or up to 100 that a file names
    #[command(
        after_help = "Example: kwic-team invite send --email ann@example.org --first-name Ann --last-name Lee --role ROLE\n         kwic-team invite send --file team.csv\n         kwic-team invite send --file addresses.txt --role ROLE\n\nThe file is CSV with the columns first_name,last_name,email,role; or JSON lines with these names; or a list of addresses, such as `Ann Lee <ann@example.org>; \"Ek, Bo\" <bo@example.org>`, or of rows `Ann,Lee,ann@example.org,ROLE` without a header line, where the role may be left out."
    )]
    Send(SendArgs),
    /// List invites, newest first
    #[command(after_help = "Example: kwic-team invite list --state pending")]
    List {
        #[command(flatten)]
        account: AccountArg,
        /// Only those in this state
        #[arg(long, value_parser = InviteState::ALL.map(InviteState::as_str))]
        state: Option<String>,
        /// Only this role
        #[arg(long, value_parser = filled)]
        role: Option<String>,
        /// Part of a name or an address
        #[arg(long)]
        search: Option<String>,
    },
    /// Change name, address or role; a new address gets a new link, and so does a new role if somebody else sent the invite; `invite resend` opens one again that has expired
    #[command(
        after_help = "Example: kwic-team invite edit ann@example.org --email anna@example.org"
    )]
    Edit {
        #[command(flatten)]
        who: InviteSelector,
        #[command(flatten)]
        person: edit_args::PersonEditArgs,
    },
    /// Send a new link; the previous one stops working
    #[command(after_help = "Example: kwic-team invite resend ann@example.org")]
    Resend(InviteSelector),
    /// Print the current link, to pass it on
    #[command(after_help = "Example: kwic-team invite link ann@example.org")]
    Link(InviteSelector),
    /// Revoke an invite
    #[command(after_help = "Example: kwic-team invite revoke ann@example.org --yes")]
    Revoke {
        #[command(flatten)]
        who: InviteSelector,
        #[command(flatten)]
        yes: ConfirmArg,
    },
}

#[derive(Args, Debug)]
pub(super) struct SendArgs {
    #[command(flatten)]
    account: AccountArg,
    /// The address
    #[arg(long, required_unless_present = "file", value_parser = filled)]
    email: Option<String>,
    /// The first name
    #[arg(long, required_unless_present = "file", value_parser = filled)]
    first_name: Option<String>,
    /// The last name; omit it for a person with one name
    #[arg(long)]
    last_name: Option<String>,
    /// The role; with --file, only for a list: the role of each entry that names none
    #[arg(long, required_unless_present = "file", value_parser = filled)]
    role: Option<String>,
    /// A key of your choice: repeating the command with the same key within 24 hours invites nobody twice
    #[arg(long, value_name = "KEY", value_parser = printable)]
    idempotency_key: Option<String>,
    /// CSV, JSON lines or a list with everybody to invite; `-` is the standard input
    #[arg(long, conflicts_with_all = ["email", "first_name", "last_name", "idempotency_key"])]
    file: Option<PathBuf>,
    /// The file's format, if its name does not end in `.csv`, `.jsonl` or `.txt`
    #[arg(long, conflicts_with = "email")]
    format: Option<InviteFormat>,
}

/// The characters that a header value may have.
fn printable(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("use printable ASCII characters without space".to_owned())
    }
}

pub(super) fn run(global: &Global, command: InviteCommand) -> CommandResult {
    let remote = SidecarClient::of(global)?;
    match command {
        InviteCommand::Send(SendArgs { file: Some(file), format, account, role, .. }) => {
            let format = InviteFormat::of(&file, format)?;
            if role.is_some() && format != InviteFormat::List {
                return Err(CommandError::usage(
                    "--role is for a list: in CSV and JSON lines each line names its role",
                ));
            }
            send_all(global, &remote, &account, (&file, format, role))
        }
        InviteCommand::Send(args) => send(global, &remote, args),
        InviteCommand::List { account, state, role, search } => {
            let role = role.map(|role| role::named(&remote, role)).transpose()?;
            let parameters = [
                account.parameter(),
                ("state", state.as_deref()),
                ("role", role.as_deref()),
                ("search", search.as_deref()),
            ];
            list(global, &remote, &parameters)
        }
        InviteCommand::Edit { who, person } => {
            let changes = person.changes(&remote)?;
            let before = find(&remote, &who)?;
            let after = edit_args::patch(&remote, path_of(&who, &before, ""), &before, &changes)?;
            output::answer(global, &after, show)
        }
        InviteCommand::Resend(who) => {
            let invite = find(&remote, &who)?;
            let sent = remote.json(&ApiCall::new("POST", path_of(&who, &invite, "/resend")))?;
            output::answer(global, &sent, print_sent)
        }
        InviteCommand::Link(who) => {
            let invite = find(&remote, &who)?;
            let shown = remote.json(&ApiCall::new("POST", path_of(&who, &invite, "/link")))?;
            output::answer(global, &shown, print_link)
        }
        InviteCommand::Revoke { who, yes } => {
            let invite = find(&remote, &who)?;
            yes.or_ask(&format!("revoke the invite of {}?", output::person(&invite)))?;
            let revoked = remote.json(&ApiCall::new("DELETE", path_of(&who, &invite, "")))?;
            output::answer(global, &revoked, |revoked| {
                output::say(&format!(
                    "the invite of {} is {}, at revision {}",
                    output::person(revoked),
                    text(revoked, "state"),
                    text(revoked, "revision")
                ))
            })
        }
    }
}

fn send(global: &Global, remote: &SidecarClient, args: SendArgs) -> CommandResult {
    let role = args.role.map(|role| role::named(remote, role)).transpose()?;
    let body = edit_args::object([
        ("first_name", args.first_name.map(Json::from)),
        ("last_name", Some(args.last_name.unwrap_or_default().into())),
        ("email", args.email.map(Json::from)),
        ("role", role.map(Json::from)),
    ]);
    let mut call = ApiCall::new("POST", args.account.path("/api/v1/invites")).body(&body);
    call.idempotency_key = args.idempotency_key.as_deref();
    output::answer(global, &remote.json(&call)?, print_sent)
}

/// Prints the result of an invitation.
pub(super) fn print_sent(invite: &Json) -> Result<(), CommandError> {
    let revision = match text(invite, "revision") {
        revision if revision.is_empty() => revision,
        revision => format!("; revision {revision}"),
    };
    output::say(&format!(
        "{} is invited as {}; the link works until {}{revision}",
        output::person(invite),
        text(invite, "role"),
        text(invite, "expires")
    ))?;
    output::say(&format!("mail: {}", mail::words(invite)))?;
    let removed = text(invite, "previously_removed");
    if !removed.is_empty() {
        output::say(&format!(
            "note: this address belonged to a member who was removed at {removed}"
        ))?;
    }
    let warning = text(invite, "warning");
    if !warning.is_empty() {
        output::say(&format!("note: {warning}"))?;
    }
    output::link(invite)
}

fn print_link(invite: &Json) -> Result<(), CommandError> {
    if text(invite, "link").is_empty() {
        return Err(CommandError::failure(
            "the sidecar shows no link for this invite: send a new one with `kwic-team invite resend`",
        ));
    }
    output::say(&format!(
        "the link of {} works until {}",
        output::person(invite),
        text(invite, "expires")
    ))?;
    output::link(invite)
}

fn show(invite: &Json) -> Result<(), CommandError> {
    let mut shown = invite.clone();
    if let Some(delivery) = shown.get_mut("delivery") {
        *delivery = mail::words(invite).into();
    }
    if let Some(role) = shown.get_mut("role") {
        *role = output::role(invite).into();
    }
    let names = [
        "id",
        "account",
        "email",
        "first_name",
        "last_name",
        "role",
        "state",
        "delivery",
        "created",
        "sent",
        "expires",
        "version",
        "revision",
        "warning",
    ];
    output::fields(&shown, &names)?;
    output::link(invite)
}

fn list(
    global: &Global,
    remote: &SidecarClient,
    parameters: &[(&str, Option<&str>)],
) -> CommandResult {
    let head = ["id", "email", "name", "role", "state", "delivery", "expires"];
    let mut list = List::new(global.json, &head);
    remote.long_pages("/api/v1/invites", parameters, |invite| {
        list.add(&invite, |invite| {
            vec![
                text(invite, "id"),
                text(invite, "email"),
                full_name(&text(invite, "first_name"), &text(invite, "last_name")),
                output::role(invite),
                text(invite, "state"),
                mail::words(invite),
                text(invite, "expires"),
            ]
        })
    })?;
    list.end()
}

/// By id, else by address.
fn find(remote: &SidecarClient, who: &InviteSelector) -> Result<Json, CommandError> {
    let name = who.invite.as_str();
    if let Some(id) = InviteId::parse(name) {
        let path = who.account.path(&format!("/api/v1/invites/{id}"));
        return remote.json(&ApiCall::new("GET", path));
    }
    if name.contains('@') {
        return find_by_address(remote, who, &Email::parse(name)?);
    }
    let name = name.escape_debug();
    Err(CommandError::failure(format!(
        "`{name}` is neither the id of an invite nor an address: `kwic-team invite list` shows both"
    )))
}

/// The invite that can still be accepted, else the newest expired one.
fn find_by_address(
    remote: &SidecarClient,
    who: &InviteSelector,
    email: &Email,
) -> Result<Json, CommandError> {
    let address = email.as_str();
    let mut all = Vec::new();
    let parameters = [who.account.parameter(), ("search", Some(email.key()))];
    remote.pages("/api/v1/invites", &parameters, |invite| {
        let other = Email::parse(&text(&invite, "email"));
        if other.is_ok_and(|other| other.key() == email.key()) {
            all.push(invite);
        }
        Ok(())
    })?;
    let mut pending = all.iter().filter(|invite| text(invite, "state") == "pending");
    let expired = || all.iter().find(|invite| text(invite, "state") == "expired");
    let open = pending.next();
    if open.is_some() && pending.next().is_some() {
        return Err(CommandError::failure(format!(
            "several pending invites are for `{address}`: `kwic-team invite list --search {address}` shows their ids"
        )));
    }
    open.or_else(expired).cloned().ok_or_else(|| {
        CommandError::failure(match all.first() {
            None => {
                format!("`{address}` is not invited: `kwic-team invite list` shows who is")
            }
            Some(last) => format!(
                "no pending invite is for `{address}`, and the last one is {}: `kwic-team invite list --search {address}` shows it",
                text(last, "state")
            ),
        })
    })
}

fn path_of(who: &InviteSelector, invite: &Json, verb: &str) -> String {
    who.account.path(&format!("/api/v1/invites/{}{verb}", text(invite, "id")))
}

/// Invites everybody in a file with one call; each gets a result.
fn send_all(
    global: &Global,
    remote: &SidecarClient,
    account: &AccountArg,
    (file, format, role): (&Path, InviteFormat, Option<String>),
) -> CommandResult {
    let roles = role::titles(remote)?;
    let role = role.map(|role| roles.find(&role)).transpose();
    let role = role.map_err(|fault| CommandError::usage(fault.public))?;
    let bytes = people_file_format::bytes(file, &global.wait_limit)?;
    let read_as = (format, role.as_ref());
    let people =
        people_file_format::invited(&bytes, read_as, roles, |email| clash(remote, account, email))?;
    let items: Vec<Json> = people.iter().map(|(_, row)| wire(row)).collect();
    let body = json!({"items": items});
    let call = ApiCall::new("POST", account.path("/api/v1/invites/bulk")).body(&body);
    let mut answer = remote.json(&call)?;
    let verdicts = match answer.get_mut("items").map(Json::take) {
        Some(Json::Array(verdicts)) if verdicts.len() == people.len() => verdicts,
        _ => {
            return Err(CommandError::failure(
                "the sidecar's answer does not report each line: `kwic-team invite list` shows who is invited",
            ));
        }
    };
    let verdicts: Vec<Json> = people
        .iter()
        .zip(verdicts)
        .map(|((line, row), mut verdict)| {
            if let Json::Object(members) = &mut verdict {
                members.insert("line".to_owned(), (*line).into());
                members.insert("email".to_owned(), row.email.as_str().into());
            }
            verdict
        })
        .collect();
    print_verdicts(global, &verdicts).or_else(CommandError::unless_reader_left)?;
    let refused = verdicts.iter().filter(|verdict| verdict.get("invite").is_none());
    // A line of a list may hold several people, of whom others were invited.
    let refused = refused.map(|it| format!("`{}` on line {}", text(it, "email"), text(it, "line")));
    let refused: Vec<String> = refused.collect();
    let (were, them) = match refused.len() {
        0 => return Ok(Exit::Ok),
        1 => ("was", "this entry"),
        _ => ("were", "these entries"),
    };
    let again = match format {
        InviteFormat::Csv => " below the header line",
        InviteFormat::Jsonl | InviteFormat::List => "",
    };
    Err(CommandError::failure(format!(
        "{} {were} refused: fix {them}, and send a file with nothing else{again}",
        refused.join(", ")
    )))
}

/// Why an address cannot be invited, where the sidecar knows it already.
fn clash(remote: &SidecarClient, account: &AccountArg, email: &Email) -> Option<String> {
    let mut reason = None;
    let parameters = [account.parameter(), ("email", Some(email.as_str()))];
    // What is not answered now is told of the line when it is sent.
    let asked = remote.pages("/api/v1/members", &parameters, |_| {
        reason = Some(format!("`{email}` is the address of a member already"));
        Ok(())
    });
    if asked.is_ok() && reason.is_none() {
        let parameters =
            [account.parameter(), ("state", Some("pending")), ("search", Some(email.key()))];
        let _ = remote.pages("/api/v1/invites", &parameters, |invite| {
            let other = Email::parse(&text(&invite, "email"));
            if other.is_ok_and(|other| other.key() == email.key()) {
                let expires = text(&invite, "expires");
                reason = Some(format!("`{email}` is invited already, until {expires}"));
            }
            Ok(())
        });
    }
    reason
}

fn wire(row: &ImportedRow) -> Json {
    json!({
        "first_name": row.first_name.as_str(),
        "last_name": row.last_name.as_str(),
        "email": row.email.as_str(),
        "role": row.role.as_str(),
    })
}

fn print_verdicts(global: &Global, verdicts: &[Json]) -> Result<(), CommandError> {
    let mut list = List::new(global.json, &["line", "email", "verdict", "detail", "link"]);
    for verdict in verdicts {
        list.add(verdict, |verdict| {
            let (word, detail, link) = match verdict.get("invite") {
                Some(invite) => {
                    let told = [mail::words(invite), text(invite, "warning")];
                    let told = told.into_iter().filter(|words| !words.is_empty());
                    let told = told.collect::<Vec<_>>().join("; ");
                    ("invited", told, text(invite, "link"))
                }
                None => {
                    let problem = verdict.get("problem").unwrap_or(&Json::Null);
                    ("refused", reasons(problem).join("; "), String::new())
                }
            };
            vec![text(verdict, "line"), text(verdict, "email"), word.to_owned(), detail, link]
        })?;
    }
    list.end().map(drop)
}
