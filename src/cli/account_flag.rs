//! `--account`: how a command names the account that it is about.

use clap::Args;

use super::sidecar_client::with_query;
use super::value_parsers::filled;

/// Which account a command is about.
#[derive(Args, Clone, Debug)]
pub(super) struct AccountArg {
    /// The account; optional while there is only one
    #[arg(long, value_name = "SLUG", value_parser = filled)]
    account: Option<String>,
}

impl AccountArg {
    /// The parameter of a call.
    pub(super) fn parameter(&self) -> (&'static str, Option<&str>) {
        ("account", self.account.as_deref())
    }

    /// The path of a call that takes no other parameter.
    pub(super) fn path(&self, path: &str) -> String {
        with_query(path, &[self.parameter()])
    }
}
