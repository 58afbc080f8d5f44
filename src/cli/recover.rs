//! `kwic-team recover`: account recovery for an administrator who is locked out.
//!
//! Talks to the running sidecar, which accepts this call only on `admin.sock`.

use clap::Args;
use serde_json::Value as Json;

use super::account::Account;
use super::remote::{Call, Remote};
use super::{Global, Outcome, edit, member, output};

#[derive(Args, Debug)]
pub(super) struct RecoverArgs {
    /// The administrator's address
    email: String,
    #[command(flatten)]
    account: Account,
}

pub(super) fn run(global: &Global, args: &RecoverArgs) -> Outcome {
    let (account, slug) = args.account.parameter();
    let email = args.email.as_str();
    let body = edit::object([(account, slug.map(Json::from)), ("email", Some(email.into()))]);
    let reset = Remote::of(global)?.json(&Call::new("POST", "/api/v1/recover").body(&body))?;
    output::answer(global, &reset, |reset| member::print_reset(email, reset))
}
