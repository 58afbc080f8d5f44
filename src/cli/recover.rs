//! `kwic-team recover`: account recovery for an administrator who is locked out.
//!
//! Talks to the running sidecar, which accepts this call only on `admin.sock`.

use crate::domain::member::UNKNOWN;
use clap::Args;
use serde_json::Value as Json;

use super::account_flag::AccountArg;
use super::sidecar_client::{ApiCall, SidecarClient};
use super::value_parsers::filled;
use super::{CommandResult, Global, edit_args, member, output};

#[derive(Args, Debug)]
pub(super) struct RecoverArgs {
    /// The administrator's address
    #[arg(value_parser = filled)]
    email: String,
    #[command(flatten)]
    account: AccountArg,
}

pub(super) fn run(global: &Global, args: &RecoverArgs) -> CommandResult {
    let (account, slug) = args.account.parameter();
    let email = args.email.as_str();
    let body = edit_args::object([(account, slug.map(Json::from)), ("email", Some(email.into()))]);
    let remote = SidecarClient::of(global)?;
    let reset = remote.json(&ApiCall::new("POST", "/api/v1/recover").body(&body));
    let reset = reset.map_err(|stop| {
        if !stop.is(UNKNOWN) {
            return stop;
        }
        member::known_of(&remote, &args.account, email).unwrap_or(stop)
    })?;
    output::answer(global, &reset, |reset| member::print_reset(email, reset))
}
