//! `kwic-team recover`: the way back in for an administrator.
//!
//! Speaks to the running sidecar, which takes this only from whoever may open the data folder.

use clap::Args;
use serde_json::Value as Json;

use super::account_flag::Account;
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
