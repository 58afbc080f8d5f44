//! `kwic-team mail`: the status of mail, a test mail, and resuming after a stop.
//!
//! Talks to the running sidecar; sends nothing itself.

use clap::Subcommand;
use serde_json::{Value as Json, json};

use super::account_flag::AccountArg;
use super::output::{self, text};
use super::sidecar_client::{ApiCall, SidecarClient};
use super::value_parsers::filled;
use super::{CommandError, CommandResult, Exit, Global};
use crate::mail::WRITTEN;

#[derive(Debug, Subcommand)]
pub(super) enum MailCommand {
    /// Show how mail is sent, whether it is stopped and why, since when the oldest message waits, and how many wait (`queued`, `deferred`), were accepted by the mail server (`handed_over`), bounced or failed
    #[command(after_help = "Example: kwic-team mail status")]
    Status(AccountArg),
    /// Send one mail and report each step; exits 1 if a step fails
    #[command(after_help = "Example: kwic-team mail test ann@example.org")]
    Test {
        /// The address to send it to
        #[arg(value_parser = filled)]
        address: String,
        #[command(flatten)]
        account: AccountArg,
    },
    /// Resume sending for all accounts, once the cause of a stop is fixed; prints the status of --account
    #[command(after_help = "Example: kwic-team mail resume")]
    Resume(AccountArg),
}

pub(super) fn run(global: &Global, command: &MailCommand) -> CommandResult {
    let remote = SidecarClient::of(global)?;
    let call = match command {
        MailCommand::Status(account) => ApiCall::new("GET", account.path("/api/v1/mail")),
        MailCommand::Resume(account) => ApiCall::new("POST", account.path("/api/v1/mail/resume")),
        MailCommand::Test { address, account } => return test(global, &remote, address, account),
    };
    output::answer(global, &remote.json(&call)?, print_status)
}

fn print_status(status: &Json) -> Result<(), CommandError> {
    let mut shown = status.clone();
    if let Some(stopped) = shown.get_mut("stopped") {
        *stopped = if stopped.is_null() {
            "no".into()
        } else {
            format!("since {}: {}", text(stopped, "since"), text(stopped, "cause")).into()
        };
    }
    if let Some(oldest) = shown.get_mut("oldest") {
        *oldest = match (text(oldest, "since"), text(oldest, "detail")) {
            (since, _) if since.is_empty() => "none".into(),
            (since, detail) if detail.is_empty() => format!("since {since}").into(),
            (since, detail) => format!("since {since}: {detail}").into(),
        };
    }
    if let Some(last) = shown.get_mut("last_success").filter(|last| last.is_null()) {
        *last = "never".into();
    }
    let names = [
        "kind",
        "state",
        "stopped",
        "oldest",
        "last_success",
        "queued",
        "deferred",
        "handed_over",
        "bounced",
        "failed",
    ];
    output::fields(&shown, &names)?;
    match text(status, "banner") {
        banner if banner.is_empty() => Ok(()),
        banner => output::say(&banner),
    }
}

fn test(
    global: &Global,
    remote: &SidecarClient,
    address: &str,
    account: &AccountArg,
) -> CommandResult {
    let body = json!({"to": address});
    let report =
        remote.json(&ApiCall::new("POST", account.path("/api/v1/mail/test")).body(&body))?;
    let steps = report.get("steps").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    let printed = if global.json {
        output::line(&report.to_string())
    } else {
        let row = |step: &Json| {
            let result = if passed(step) { "ok" } else { "failed" };
            vec![text(step, "step"), result.to_owned(), text(step, "detail")]
        };
        output::table(&["step", "result", "detail"], &steps.iter().map(row).collect::<Vec<_>>())
    };
    printed.or_else(CommandError::unless_reader_left)?;
    match steps.iter().find(|step| !passed(step)) {
        Some(step) => Err(CommandError::failure(output::shown(&format!(
            "the step `{}` failed: {}",
            text(step, "step"),
            text(step, "detail")
        )))),
        None if passed(&report) => Ok(Exit::Ok),
        None => {
            Err(CommandError::failure("the mail was not sent: `kwic-team mail status` may say why"))
        }
    }
}

fn passed(step: &Json) -> bool {
    step.get("ok").and_then(Json::as_bool) == Some(true)
}

/// The delivery status in a response, in plain words.
pub(super) fn words(answer: &Json) -> String {
    let Some(delivery) = answer.get("delivery") else { return String::new() };
    let (state, detail) = (text(delivery, "state"), text(delivery, "detail"));
    if state == "handed_over" && detail.starts_with(WRITTEN) {
        return detail;
    }
    let mut words = match state.as_str() {
        "none" => "no mail is sent".to_owned(),
        "sending" => "is being sent".to_owned(),
        "handed_over" => "accepted by the mail server".to_owned(),
        _ => state,
    };
    for (before, part) in [(": ", detail), ("; next try at ", text(delivery, "next_attempt"))] {
        if !part.is_empty() {
            words.push_str(before);
            words.push_str(&part);
        }
    }
    words
}
