//! `kwic-team member`.
//!
//! Talks to the running sidecar. Asks for confirmation where a change cannot be undone.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use serde_json::Value as Json;

use super::account_flag::AccountArg;
use super::confirmation::ConfirmArg;
use super::output::{self, List, text};
use super::people_file_format::Format;
use super::sidecar_client::{ApiCall, SidecarClient, WAIT_ALL, with_query};
use super::value_parsers::filled;
use super::{CommandError, CommandResult, Exit, Global, edit_args, mail, role};
use crate::domain::{AuditEvent, Email, Status, member};
use crate::percent_encoding::encoded;
use crate::services::fleet_status::WAIT_MAX;
use crate::store::member_pages::MemberOrder;

const COLUMNS: [&str; 6] = ["id", "email", "first_name", "last_name", "role", "status"];

#[derive(Args, Debug)]
pub(super) struct MemberSelector {
    /// The member's id or address
    #[arg(value_parser = filled)]
    member: String,
    #[command(flatten)]
    account: AccountArg,
}

#[derive(Debug, Subcommand)]
pub(super) enum MemberCommand {
    /// List members
    #[command(
        after_help = "Example: kwic-team member list --status suspended\n         kwic-team member list --sort=-signed_in"
    )]
    List {
        #[command(flatten)]
        account: AccountArg,
        /// Part of a name or an address
        #[arg(long)]
        search: Option<String>,
        /// Only this role
        #[arg(long, value_parser = filled)]
        role: Option<String>,
        /// Only active or suspended ones
        #[arg(long, value_parser = Status::ALL.map(Status::as_str))]
        status: Option<String>,
        /// The sort order; a leading `-` reverses it
        #[arg(long, allow_hyphen_values = true, value_parser = orders())]
        sort: Option<String>,
    },
    /// Show one member
    #[command(after_help = "Example: kwic-team member show ann@example.org")]
    Show(MemberSelector),
    /// Change name, address or role
    #[command(after_help = "Example: kwic-team member edit ann@example.org --role ROLE")]
    Edit {
        #[command(flatten)]
        who: MemberSelector,
        #[command(flatten)]
        person: edit_args::PersonEditArgs,
    },
    /// Suspend a member: sessions end, as do links to set a new password or confirm a new address; API tokens are revoked for good, and sign-in is refused until `member restore`; what access decisions say about the member is up to the policies: the built-in ones deny everything
    #[command(after_help = "Example: kwic-team member suspend ann@example.org")]
    Suspend(MemberSelector),
    /// Restore a suspended member; API tokens stay revoked
    #[command(after_help = "Example: kwic-team member restore ann@example.org")]
    Restore(MemberSelector),
    /// Sign a member out everywhere; the member can sign in again
    #[command(after_help = "Example: kwic-team member end-sessions ann@example.org")]
    EndSessions(MemberSelector),
    /// Print a link to set a new password; it is also mailed to the member if `mail.kind` is `smtp`
    #[command(after_help = "Example: kwic-team member reset-password ann@example.org")]
    ResetPassword(MemberSelector),
    /// Remove a member's second factor, passkeys and recovery codes; all sessions end, and links to a new password or address stop working
    #[command(after_help = "Example: kwic-team member reset-two-step ann@example.org")]
    ResetTwoStep(MemberSelector),
    /// Remove a member for good: sessions end, as do links to set a new password or confirm a new address; API tokens are revoked, and so are invites that the member sent and nobody has accepted yet
    #[command(after_help = "Example: kwic-team member remove ann@example.org --yes")]
    Remove {
        #[command(flatten)]
        who: MemberSelector,
        #[command(flatten)]
        yes: ConfirmArg,
        /// In a fleet, wait until every node has seen it, at most so many seconds (10 without a number), and exit 1 if one has not
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "10", value_parser = clap::value_parser!(u64).range(1..=WAIT_MAX.as_secs()))]
        wait_all: Option<u64>,
    },
    /// Erase the personal data of a removed member
    #[command(
        after_help = "Example: kwic-team member erase m42 --yes\n\nName a removed member by the id: `kwic-team audit list --event user_deleted` shows it. Restart the sidecar afterwards, so that it rewrites the store's file without the erased data. In a fleet a node does so at once where the file is small: `kwic-team fleet status` says how far the last erasure has come, and which node to restart."
    )]
    Erase {
        /// The id of the removed member
        #[arg(value_name = "MEMBER", value_parser = filled)]
        id: String,
        #[command(flatten)]
        account: AccountArg,
        #[command(flatten)]
        yes: ConfirmArg,
        /// In a fleet, wait until it has reached the log and the file of every node, at most so many seconds (60 without a number), and exit 1 if it has not
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "60", value_parser = clap::value_parser!(u64).range(1..=WAIT_MAX.as_secs()))]
        wait_all: Option<u64>,
    },
    /// Review access: show members who perhaps no longer need it, administrators without a second factor, and whether one administrator or none is left
    #[command(after_help = "Example: kwic-team member review")]
    Review(AccountArg),
    /// Import members from a file, all or nothing
    #[command(
        after_help = "Example: kwic-team member import --account acme members.csv\n\nCSV with the columns first_name,last_name,email,role and optionally id and status (active or suspended), or the same as JSON lines.\n\nSends no mail. To set a password, members use \"forgot password\" where mail is sent, or a link that you print with `kwic-team member reset-password`."
    )]
    Import {
        #[command(flatten)]
        account: AccountArg,
        /// CSV or JSON lines; `-` is the standard input
        file: PathBuf,
        /// The file's format, if its name does not end in `.csv` or `.jsonl`
        #[arg(long)]
        format: Option<Format>,
    },
    /// Export all members, or all data kept about one, to a file or standard output
    #[command(
        after_help = "Example: kwic-team member export --format jsonl --output members.jsonl\n         kwic-team member export ann@example.org --output ann.json"
    )]
    Export {
        /// The id or address of one member, to export all data about that member as JSON; without it, the list of all members is exported
        #[arg(value_parser = filled)]
        member: Option<String>,
        #[command(flatten)]
        account: AccountArg,
        /// CSV or JSON lines
        #[arg(long, default_value = "csv", conflicts_with = "member")]
        format: Format,
        /// CSV with a byte order mark, so that Excel reads it as UTF-8
        #[arg(long, conflicts_with_all = ["member", "format"])]
        excel: bool,
        /// The file to write
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Each sort order, and its reverse.
fn orders() -> PossibleValuesParser {
    let forward = MemberOrder::ALL.into_iter().map(|order| order.as_str().to_owned());
    PossibleValuesParser::new(forward.flat_map(|order| [format!("-{order}"), order]))
}

pub(super) fn run(global: &Global, command: MemberCommand) -> CommandResult {
    let remote = SidecarClient::of(global)?;
    match command {
        MemberCommand::List { account, search, role, status, sort } => {
            let role = role.map(|role| role::named(&remote, role)).transpose()?;
            let parameters = [
                account.parameter(),
                ("search", search.as_deref()),
                ("role", role.as_deref()),
                ("status", status.as_deref()),
                ("sort", sort.as_deref()),
            ];
            list(global, &remote, &parameters)
        }
        MemberCommand::Show(who) => {
            let member = find(&remote, &who)?;
            output::answer(global, &member, show)
        }
        MemberCommand::Edit { who, person } => {
            let changes = person.changes(&remote)?;
            let before = find(&remote, &who)?;
            let after = edit_args::patch(&remote, path_of(&who, &before, ""), &before, &changes)?;
            output::answer(global, &after, |after| {
                show(after)?;
                let email = Email::parse(&text(after, "email")).ok();
                let hint = email.and_then(|email| email.hint());
                hint.map_or(Ok(()), |hint| output::say(&format!("note: {hint}")))
            })
        }
        MemberCommand::Suspend(who) => change(global, &remote, &who, "POST", "/suspend"),
        MemberCommand::Restore(who) => change(global, &remote, &who, "POST", "/restore"),
        MemberCommand::EndSessions(who) => end_sessions(global, &remote, &who),
        MemberCommand::ResetPassword(who) => reset_password(global, &remote, &who),
        MemberCommand::ResetTwoStep(who) => reset_two_step(global, &remote, &who),
        MemberCommand::Remove { who, yes, wait_all } => {
            remove(global, &remote, &who, &yes, wait_all)
        }
        MemberCommand::Import { account, file, format } => {
            let media = Format::of(&file, format)?.media();
            let done = remote.upload(account.path("/api/v1/members/import"), media, &file)?;
            output::answer(global, &done, |done| {
                let imported = text(done, "imported");
                let members = if imported == "1" { "member was" } else { "members were" };
                output::line(&format!(
                    "{imported} {members} imported, at revision {}; the file's digest is {}",
                    text(done, "revision"),
                    text(done, "digest")
                ))?;
                let hints = done.get("warnings").and_then(Json::as_array);
                hints.into_iter().flatten().try_for_each(|hint| {
                    let (line, sentence) = (text(hint, "line"), text(hint, "sentence"));
                    output::say(&format!("note: line {line}: {sentence}"))
                })
            })
        }
        MemberCommand::Erase { id, account, .. } if id.contains('@') => {
            Err(takes_id(&remote, &account, &id))
        }
        MemberCommand::Erase { id, account, yes, wait_all } => {
            yes.or_ask(&format!("erase the personal data of the removed member `{id}` for good?"))?;
            erase(global, &remote, &id, &account, wait_all)
        }
        MemberCommand::Review(account) => review(global, &remote, &account),
        MemberCommand::Export { member: Some(member), account, output, .. } => {
            let who = MemberSelector { member, account };
            let member = find(&remote, &who)?;
            received(&remote, path_of(&who, &member, "/data"), output)
        }
        MemberCommand::Export { member: None, account, format, excel, output } => {
            let mark = excel.then_some("true");
            let parameters = [account.parameter(), ("format", Some(format.name())), ("bom", mark)];
            received(&remote, with_query("/api/v1/members/export", &parameters), output)
        }
    }
}

fn list(
    global: &Global,
    remote: &SidecarClient,
    parameters: &[(&str, Option<&str>)],
) -> CommandResult {
    let mut list = List::new(global.json, &COLUMNS);
    remote.long_pages("/api/v1/members", parameters, |member| {
        list.add(&member, |member| COLUMNS.map(|name| text(member, name)).to_vec())
    })?;
    list.end()
}

/// Ids that are the names of calls below `/members/`.
const CALLS: [&str; 3] = ["import", "export", "review"];

/// The member of an account by id or address.
pub(super) fn named(
    remote: &SidecarClient,
    member: String,
    account: &AccountArg,
) -> Result<Json, CommandError> {
    find(remote, &MemberSelector { member, account: account.clone() })
}

/// By id, else by address. An id may look like an address, even like another member's.
fn find(remote: &SidecarClient, who: &MemberSelector) -> Result<Json, CommandError> {
    let account = who.account.parameter();
    let name = who.member.as_str();
    if CALLS.contains(&name) {
        return Err(CommandError::failure(format!(
            "`{name}` cannot be named by its id here: give the member's address"
        )));
    }
    let path = who.account.path(&format!("/api/v1/members/{}", encoded(name)));
    let by_id = remote.json(&ApiCall::new("GET", path));
    let unknown = match by_id {
        Err(stop) if stop.is(member::UNKNOWN) && name.contains('@') => stop,
        Err(stop) if stop.is(member::UNKNOWN) => {
            return Err(removed(remote, account, name).unwrap_or(stop));
        }
        answered => return answered,
    };
    let mut found = None;
    remote.pages("/api/v1/members", &[account, ("email", Some(name))], |member| {
        found = Some(member);
        Ok(())
    })?;
    found.ok_or_else(|| {
        let known = invited(remote, account, name).or_else(|| removed(remote, account, name));
        known.unwrap_or(unknown)
    })
}

/// Says of an address or an id that is no member's any more when the member was removed, where the
/// audit log knows.
fn removed(
    remote: &SidecarClient,
    account: (&str, Option<&str>),
    name: &str,
) -> Option<CommandError> {
    let Removed { id, at } = last_removed(remote, account, name)?;
    let again = if name.contains('@') {
        "to let this person in again, use `kwic-team invite send`".to_owned()
    } else {
        format!("`kwic-team audit list --member {id}` shows what is known")
    };
    let name = output::shown(name);
    let stop = CommandError::failure(format!("`{name}` was removed at {at}: {again}"));
    Some(CommandError { code: Some(member::UNKNOWN.to_owned()), ..stop })
}

/// A member who was removed, and when.
struct Removed {
    id: String,
    at: String,
}

/// Who had an address or an id, and was removed last; `None` also where that was erased.
fn last_removed(
    remote: &SidecarClient,
    account: (&str, Option<&str>),
    name: &str,
) -> Option<Removed> {
    let event = ("event", Some(AuditEvent::UserDeleted.as_str()));
    let email = Email::parse(name).ok();
    let id = email.is_none().then_some(name);
    let mut last = None;
    let had = |entry: &Json| {
        let fields = entry.get("detail").and_then(Json::as_array).into_iter().flatten();
        fields.filter(|field| text(field, "field") == "email").any(|field| {
            let before = Email::parse(&text(field, "before"));
            before.is_ok_and(|before| email.as_ref().is_some_and(|it| it.key() == before.key()))
        })
    };
    let parameters = [account, event, ("member", id)];
    let asked = remote.long_pages("/api/v1/audit", &parameters, |entry| {
        if id.is_some() || had(&entry) {
            last = Some(Removed { id: text(&entry, "target"), at: text(&entry, "at") });
        }
        Ok(())
    });
    asked.ok().and(last)
}

/// If an address is not a member's but invited, says so.
fn invited(
    remote: &SidecarClient,
    account: (&str, Option<&str>),
    address: &str,
) -> Option<CommandError> {
    let email = Email::parse(address).ok()?;
    let mut waits = false;
    let parameters = [account, ("state", Some("pending")), ("search", Some(email.key()))];
    let asked = remote.pages("/api/v1/invites", &parameters, |invite| {
        let other = Email::parse(&text(&invite, "email"));
        waits |= other.is_ok_and(|other| other.key() == email.key());
        Ok(())
    });
    let message = format!(
        "`{address}` is invited and has not joined yet: `kwic-team invite link {address}` prints the link to join, `kwic-team invite edit {address}` changes the invite, `kwic-team invite revoke {address}` revokes it"
    );
    (asked.is_ok() && waits).then(|| CommandError::failure(message))
}

fn show(member: &Json) -> Result<(), CommandError> {
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
            "signed_in",
            "version",
            "revision",
        ],
    )
}

fn path_of(who: &MemberSelector, member: &Json, verb: &str) -> String {
    who.account.path(&format!("/api/v1/members/{}{verb}", encoded(&text(member, "id"))))
}

fn change(
    global: &Global,
    remote: &SidecarClient,
    who: &MemberSelector,
    method: &'static str,
    verb: &str,
) -> CommandResult {
    let member = find(remote, who)?;
    let after = remote.json(&ApiCall::new(method, path_of(who, &member, verb)))?;
    output::answer(global, &after, |after| {
        output::say(&format!(
            "{} is {}, at revision {}",
            output::person(after),
            text(after, "status"),
            text(after, "revision")
        ))
    })
}

fn end_sessions(global: &Global, remote: &SidecarClient, who: &MemberSelector) -> CommandResult {
    let member = find(remote, who)?;
    let ended = remote.json(&ApiCall::new("POST", path_of(who, &member, "/end-sessions")))?;
    output::answer(global, &ended, |ended| {
        output::say(&format!(
            "{} is signed out everywhere, at revision {}: {} ended",
            output::person(&member),
            text(ended, "revision"),
            output::count(ended, "sessions_ended", "session", "sessions")
        ))
    })
}

fn reset_two_step(global: &Global, remote: &SidecarClient, who: &MemberSelector) -> CommandResult {
    let member = find(remote, who)?;
    // A member would have to present a second factor here.
    let shown = edit_args::object([]);
    let path = path_of(who, &member, "/reset-two-step");
    let ended = remote.json(&ApiCall::new("POST", path).body(&shown))?;
    output::answer(global, &ended, |ended| {
        output::say(&format!(
            "the two-step verification of {} was reset, at revision {}: {} ended; the password stays the same",
            output::person(&member),
            text(ended, "revision"),
            output::count(ended, "sessions_ended", "session", "sessions")
        ))
    })
}

fn reset_password(global: &Global, remote: &SidecarClient, who: &MemberSelector) -> CommandResult {
    let member = find(remote, who)?;
    let reset = remote.json(&ApiCall::new("POST", path_of(who, &member, "/reset-password")))?;
    output::answer(global, &reset, |reset| print_reset(&output::person(&member), reset))
}

/// Prints the link to set a new password, and what becomes of the mail with it.
pub(super) fn print_reset(name: &str, reset: &Json) -> Result<(), CommandError> {
    output::say(&format!(
        "give {name} this link to set a new password; it works until {}; revision {}",
        text(reset, "expires"),
        text(reset, "revision")
    ))?;
    output::say(&format!("mail: {}", mail::words(reset)))?;
    output::link(reset)
}

fn remove(
    global: &Global,
    remote: &SidecarClient,
    who: &MemberSelector,
    yes: &ConfirmArg,
    wait_all: Option<u64>,
) -> CommandResult {
    let member = find(remote, who)?;
    let name = output::person(&member);
    yes.or_ask(&format!("remove {name} for good?"))?;
    let path = waiting(path_of(who, &member, ""), wait_all);
    let receipt = remote.json(&ApiCall::new("DELETE", path))?;
    print_removal(global, &name, &receipt)?;
    let Some(seen) = receipt.get("seen") else { return Ok(Exit::Ok) };
    let sentence = text(seen, "sentence");
    if seen.get("all").and_then(Json::as_bool) == Some(true) {
        if !global.json {
            output::say(&sentence)?;
        }
        return Ok(Exit::Ok);
    }
    Err(CommandError::failure(output::shown(&format!(
        "{name} was removed, and a node that has not seen it may still allow access: {sentence}; `kwic-team fleet status` shows the nodes"
    ))))
}

/// The path of a change that waits for all nodes of a fleet, where that is asked for.
fn waiting(path: String, wait_all: Option<u64>) -> String {
    let Some(seconds) = wait_all else { return path };
    let mark = if path.contains('?') { '&' } else { '?' };
    format!("{path}{mark}{WAIT_ALL}&wait_seconds={seconds}")
}

fn print_removal(global: &Global, name: &str, receipt: &Json) -> CommandResult {
    output::answer(global, receipt, |receipt| {
        output::say(&format!(
            "{name} is removed, at revision {}; ended: {}; revoked: {}, and {} that this member had sent",
            text(receipt, "revision"),
            output::count(receipt, "sessions_ended", "session", "sessions"),
            output::count(receipt, "tokens_revoked", "token", "tokens"),
            output::count(receipt, "invites_cancelled", "invite", "invites")
        ))
    })
}

fn erase(
    global: &Global,
    remote: &SidecarClient,
    id: &str,
    account: &AccountArg,
    wait_all: Option<u64>,
) -> CommandResult {
    let path = account.path(&format!("/api/v1/members/{}/erase", encoded(id)));
    let path = waiting(path, wait_all);
    let erased = remote.json(&ApiCall::new("POST", path)).map_err(|mut stop| {
        if stop.is(member::UNKNOWN) {
            stop.message = format!(
                "no member `{id}` was ever removed from this account: `kwic-team audit list --event user_deleted` shows the ids"
            );
        }
        stop
    })?;
    print_erasure(global, id, &erased)?;
    let reached = erased.get("reached");
    if reached.is_none_or(|reached| reached.get("complete").and_then(Json::as_bool) == Some(true)) {
        return Ok(Exit::Ok);
    }
    let sentence = reached.map(|reached| text(reached, "sentence")).unwrap_or_default();
    Err(CommandError::failure(output::shown(&format!(
        "the personal data of {id} was erased on this node, and {sentence}; `kwic-team fleet status` says how far it is"
    ))))
}

fn print_erasure(global: &Global, id: &str, erased: &Json) -> CommandResult {
    output::answer(global, erased, |erased| {
        output::say(&format!(
            "the personal data of {id} is erased, at revision {}: from {}, of which the rest stays, with {} and {}",
            text(erased, "revision"),
            output::count(erased, "entries_erased", "audit entry", "audit entries"),
            output::count(erased, "invites_erased", "invite", "invites"),
            output::count(erased, "letters_erased", "message", "messages")
        ))?;
        match erased.get("reached") {
            Some(reached) => output::say(&text(reached, "sentence")),
            None => output::say(
                "the next start of the sidecar rewrites the store's file without the erased data; backups and the outbox are not changed",
            ),
        }
    })
}

/// The id in the audit log of the member who has an address, or had it before a removal.
///
/// # Errors
/// A failure, where that is nobody.
pub(super) fn id_by_address(
    remote: &SidecarClient,
    account: (&str, Option<&str>),
    address: &str,
) -> Result<String, CommandError> {
    let mut id = None;
    remote.pages("/api/v1/members", &[account, ("email", Some(address))], |member| {
        id = Some(text(&member, "id"));
        Ok(())
    })?;
    let id = id.or_else(|| last_removed(remote, account, address).map(|removed| removed.id));
    let none = || {
        let shown = output::shown(address);
        CommandError::failure(format!(
            "no member has or had the address `{shown}`: `kwic-team member list` lists the members; you can also give an id"
        ))
    };
    id.ok_or_else(|| invited(remote, account, address).unwrap_or_else(none))
}

/// What is known of an address that is no member's: that it is invited, or was removed.
pub(super) fn known_of(
    remote: &SidecarClient,
    account: &AccountArg,
    address: &str,
) -> Option<CommandError> {
    let account = account.parameter();
    invited(remote, account, address).or_else(|| removed(remote, account, address))
}

/// The refusal of an address, which may have been that of several members.
fn takes_id(remote: &SidecarClient, account: &AccountArg, address: &str) -> CommandError {
    let shown = output::shown(address);
    let what = "erase takes the id of a removed member, not the address";
    CommandError::usage(match last_removed(remote, account.parameter(), address) {
        Some(Removed { id, at }) => {
            format!("{what}: `{shown}` was the address of `{id}`, removed at {at}")
        }
        None => format!("{what}: `kwic-team audit list --event user_deleted` shows the ids"),
    })
}

/// The maximum number of members in a line of a finding.
const NAMED_MAX: usize = 5;

fn review(global: &Global, remote: &SidecarClient, account: &AccountArg) -> CommandResult {
    let mut list = List::new(global.json, &["severity", "finding", "members"]);
    let mut found = false;
    remote.pages("/api/v1/members/review", &[account.parameter()], |finding| {
        found = true;
        list.add(&finding, |finding| {
            vec![text(finding, "severity"), text(finding, "sentence"), concerned(finding)]
        })
    })?;
    list.end()?;
    if !found {
        output::complain("the access review finds nothing");
    }
    Ok(Exit::Ok)
}

/// The members of a finding; `--json` lists more.
fn concerned(finding: &Json) -> String {
    let members = finding.get("members").and_then(Json::as_array).map(Vec::as_slice);
    let one = |member: &Json| format!("{} ({})", text(member, "name"), text(member, "email"));
    let names: Vec<String> = members.unwrap_or_default().iter().take(NAMED_MAX).map(one).collect();
    let count = finding.get("count").and_then(Json::as_u64).unwrap_or(0);
    let named = u64::try_from(names.len()).unwrap_or(0);
    let more = match count.saturating_sub(named) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    names.join(", ") + &more
}

/// Downloads a file.
fn received(remote: &SidecarClient, path: String, output: Option<PathBuf>) -> CommandResult {
    let Some(output) = output else {
        remote.download(path, output::bytes)?;
        return Ok(Exit::Ok);
    };
    // Opened with the first piece: a refused call must not empty an existing file.
    let mut file = None;
    let received = remote.download(path, |piece| {
        let written = opened(&mut file, &output).and_then(|file| file.write_all(piece));
        written.map_err(|fault| {
            CommandError::failure(format!("`{}` cannot be written: {fault}", output.display()))
        })
    });
    match received {
        Err(stop) if file.is_some() => Err(CommandError::failure(format!(
            "{}\n`{}` is incomplete: do not use it",
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
