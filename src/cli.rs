//! The command line.
//!
//! Parses arguments, calls the sidecar, prints the result and returns an exit code. Management
//! commands talk to the running sidecar through `admin.sock`; commands about a policy folder need
//! no sidecar. Never changes a store directly, because only the sidecar can make a removal visible
//! to decisions before it answers. A restore replaces the whole store, and only while no sidecar
//! runs.

mod account;
mod account_flag;
mod audit;
mod backup;
mod completions_and_man;
mod config_reference;
mod confirmation;
mod decide;
mod doctor;
mod edit_args;
mod file_input;
mod fleet;
mod fleet_membership;
mod invite;
mod json_object;
mod keys;
mod mail;
mod member;
mod output;
mod people_file_format;
mod policy;
mod policy_approve_and_rollback;
mod policy_diff;
mod policy_history;
mod policy_prove;
mod policy_publish;
mod policy_sets;
mod policy_shadow;
mod recover;
mod role;
mod serve;
mod sidecar_client;
mod timeout;
mod token;
mod value_parsers;
mod who_may;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use serde_json::{Value as Json, json};

use crate::config;
use crate::domain::{Failure, Kind};
use crate::gate;
use timeout::WaitLimit;

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Success; for a decision, allow.
    Ok = 0,
    /// Failure.
    Failure = 1,
    /// A decision is a deny.
    Deny = 2,
    /// A policy set was refused.
    PoliciesRefused = 3,
    /// Invalid command line. clap's own code is 2, which means a deny here.
    Usage = 64,
}

/// Why a command failed: the message for standard error, and the exit code.
#[derive(Debug)]
struct CommandError {
    exit: Exit,
    message: String,
    /// The code of the problem in the sidecar's response.
    code: Option<String>,
}

impl CommandError {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), code: None }
    }

    fn failure(message: impl Into<String>) -> Self {
        Self::new(Exit::Failure, message)
    }

    fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Whether the sidecar's response has this code.
    fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    fn document(&self) -> Json {
        let code = match (&self.code, self.exit) {
            (Some(code), _) => code,
            (None, Exit::Usage) => "usage",
            (None, Exit::PoliciesRefused) => Failure::POLICIES_REFUSED,
            (None, _) => "failed",
        };
        json!({"code": code, "detail": self.message})
    }

    /// The reader has closed the pipe: not a failure, and no message.
    fn reader_left() -> Self {
        Self::new(Exit::Ok, String::new())
    }

    /// Ignores a reader that has left, if the exit code matters more.
    fn unless_reader_left(self) -> Result<(), Self> {
        match self {
            Self { exit: Exit::Ok, .. } => Ok(()),
            stop => Err(stop),
        }
    }
}

impl From<Failure> for CommandError {
    fn from(failure: Failure) -> Self {
        let exit = match failure.kind {
            Kind::PoliciesRefused => Exit::PoliciesRefused,
            _ => Exit::Failure,
        };
        let mut message = failure.public;
        if let Some(private) = failure.private {
            message = format!("{message} ({private})");
        }
        Self::new(exit, message)
    }
}

type CommandResult = Result<Exit, CommandError>;

/// Team management and access control: members, roles, and access decisions by Cedar policies.
#[derive(Debug, Parser)]
#[command(name = "kwic-team", version, max_term_width = 100, subcommand_required = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// The default data folder.
const DATA: &str = "./kwic-data";

/// Flags that are accepted before or after the command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// The configuration file; by default `kwic-team.toml` in the current folder, if it exists; `kwic-team config` prints its keys
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data folder; by default `./kwic-data`
    #[arg(long = "data", global = true, value_name = "DIR")]
    named_data: Option<PathBuf>,
    /// The data folder that is used.
    #[arg(skip)]
    data: PathBuf,
    /// Print JSON: one document, or one line for each item of a list; errors as JSON on standard error
    #[arg(long, global = true)]
    json: bool,
    /// Seconds that the command may wait in total, for the sidecar and for input from a pipe; without it, 30 for each answer, or 600 for long operations such as a reload, a backup or an import
    #[arg(long, global = true, value_name = "SECONDS", value_parser = value_parsers::seconds)]
    timeout: Option<u64>,
    /// The same, counted.
    #[arg(skip)]
    wait_limit: WaitLimit,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the sidecar, until a signal stops it
    #[command(after_help = "Example: kwic-team serve --demo")]
    Serve(serve::ServeArgs),
    /// Accounts: create, list and change
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// Members: list, change, remove, import and export
    #[command(subcommand)]
    Member(member::MemberCommand),
    /// API tokens, with which programs act as a member
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Invites: send, list, change, resend, revoke; print a link
    #[command(subcommand)]
    Invite(invite::InviteCommand),
    /// Roles of the live policies
    #[command(subcommand)]
    Role(role::RoleCommand),
    /// Policy folders: write, check, test, compare, format; reload the sidecar's own
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Ask for one access decision; exits 0 for allow and 2 for deny
    #[command(
        after_help = "Example: kwic-team decide --subject user:ann --action docs:read --resource doc:1 --account acme --explain"
    )]
    Decide(decide::DecideArgs),
    /// List the members who may do an action, with the policies that allow it
    #[command(
        after_help = "Example: kwic-team who-may docs:read\n         kwic-team who-may docs:edit --resource doc:1 --account acme"
    )]
    WhoMay(who_may::WhoMayArgs),
    /// List the actions that a member may do, with the policies that allow them
    #[command(
        after_help = "Example: kwic-team what-may ann@example.org\n         kwic-team what-may ann --resource doc:1"
    )]
    WhatMay(who_may::WhatMayArgs),
    /// The audit log
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Mail: its status, a test of each step, and resuming after a stop
    #[command(subcommand)]
    Mail(mail::MailCommand),
    /// The fleet: the nodes that share a log
    #[command(subcommand)]
    Fleet(fleet::FleetCommand),
    /// Secret keys in the data folder
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Print a link to set a new password, for an administrator who is locked out
    #[command(after_help = "Example: kwic-team recover --account acme ann@example.org")]
    Recover(recover::RecoverArgs),
    /// Create a backup in a new folder; works while the sidecar runs
    #[command(
        after_help = "Example: kwic-team backup /backup/kwic-team/2026-11-25\n\nThe folder holds the whole store as it was at one moment, and the keys: protect it as you protect passwords."
    )]
    Backup(backup::BackupArgs),
    /// Restore a backup, while no sidecar runs; asks first
    #[command(
        after_help = "Example: kwic-team restore /backup/kwic-team/2026-11-25 --yes\n\nThe current store is kept under another name. All sessions and API tokens end, and links to set a new password or confirm a new address stop working, because they may have been revoked after the backup."
    )]
    Restore(backup::RestoreArgs),
    /// Print every configuration key with its default and meaning, as a configuration file
    #[command(after_help = "Example: kwic-team config\n         kwic-team config --json")]
    Config,
    /// Check the installation, and say what to fix; exits 1 if a check fails
    #[command(after_help = "Example: kwic-team doctor")]
    Doctor,
    /// Print a completion script for a shell
    #[command(
        after_help = "Example: kwic-team completions bash > /etc/bash_completion.d/kwic-team"
    )]
    Completions(completions_and_man::CompletionsArgs),
    /// Print the manual page of a command, or write all pages into a folder
    #[command(
        after_help = "Example: kwic-team man member import | man -l -\n         kwic-team man --dir /usr/local/share/man/man1"
    )]
    Man(completions_and_man::ManArgs),
}

/// Parses and runs; every error is one message and an exit code.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    // Used by this program only, so it is in no help, manual or completion.
    if arguments.get(1).is_some_and(|word| word == gate::COMMAND) {
        return ended(gate::run().map(|()| Exit::Ok).map_err(CommandError::from), false);
    }
    let json = arguments.iter().any(|word| word == "--json");
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(fault) if fault.use_stderr() && json => {
            return ended(Err(CommandError::usage(fault.to_string().trim_end())), true);
        }
        Err(fault) => {
            // Help and version are successes; everything else is a usage error.
            let _ = fault.print();
            let exit = if fault.use_stderr() { Exit::Usage } else { Exit::Ok };
            return ExitCode::from(exit as u8);
        }
    };
    gate::use_processes();
    ended(dispatch(cli), json)
}

/// Prints the error on standard error; returns the exit code.
fn ended(outcome: CommandResult, json: bool) -> ExitCode {
    let exit = outcome.unwrap_or_else(|stop| {
        match json {
            _ if stop.message.is_empty() => {}
            true => output::complain(&stop.document().to_string()),
            false => output::complain(&stop.message),
        }
        stop.exit
    });
    ExitCode::from(exit as u8)
}

fn dispatch(cli: Cli) -> CommandResult {
    let Cli { mut global, command } = cli;
    let data = global.named_data.as_deref().unwrap_or(Path::new(DATA));
    global.data = config::absolute(data.to_owned());
    // Also for commands that do not need it: a missing file is a mistake.
    if let Some(file) = global.config.as_ref().filter(|file| !file.exists()) {
        let file = file.display();
        return Err(CommandError::usage(format!("--config: there is no file `{file}`")));
    }
    global.wait_limit = WaitLimit::new(global.timeout);
    match command {
        Command::Serve(args) => serve::run(&global, &args),
        Command::Account(command) => account::run(&global, command),
        Command::Member(command) => member::run(&global, command),
        Command::Token(command) => token::run(&global, command),
        Command::Invite(command) => invite::run(&global, command),
        Command::Role(command) => role::run(&global, command),
        Command::Policy(command) => policy::run(&global, command),
        Command::Decide(args) => decide::run(&global, &args),
        Command::WhoMay(args) => who_may::who(&global, &args),
        Command::WhatMay(args) => who_may::what(&global, &args),
        Command::Audit(command) => audit::run(&global, command),
        Command::Mail(command) => mail::run(&global, &command),
        Command::Fleet(command) => fleet::run(&global, &command),
        Command::Keys(command) => keys::run(&global, &command),
        Command::Recover(args) => recover::run(&global, &args),
        Command::Backup(args) => backup::back_up(&global, &args),
        Command::Restore(args) => backup::restore(&global, &args),
        Command::Config => config_reference::run(&global),
        Command::Doctor => doctor::run(&global),
        Command::Completions(args) => completions_and_man::completions(&args),
        Command::Man(args) => completions_and_man::man(&global, &args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_that_does_something_shows_an_example() {
        fn walk(command: &clap::Command, path: &str, missing: &mut Vec<String>) {
            let path = format!("{path} {}", command.get_name());
            if command.get_name() == "help" {
                return;
            }
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            if command.get_subcommands().next().is_none() && !help.contains("kwic-team") {
                missing.push(path.clone());
            }
            command.get_subcommands().for_each(|inner| walk(inner, &path, missing));
        }
        let mut missing = Vec::new();
        walk(&Cli::command(), "", &mut missing);
        assert!(missing.is_empty(), "no example: {missing:?}");
    }

    #[test]
    fn global_flags_stand_before_and_after() {
        for line in
            ["--data D --json role list", "role list --data D --json", "role --json list --data D"]
        {
            let words = std::iter::once("kwic-team").chain(line.split(' '));
            let cli = Cli::try_parse_from(words).unwrap();
            assert_eq!(cli.global.named_data, Some(PathBuf::from("D")));
            assert!(cli.global.json);
        }
    }
}
