//! Edits of a member or an invite, with optimistic locking.
//!
//! Every edit carries the version that was read before it, so that two concurrent edits do not
//! overwrite each other.

use clap::Args;
use serde_json::{Map, Value as Json};

use super::CommandError;
use super::role;
use super::sidecar_client::{ApiCall, SidecarClient};
use super::value_parsers::filled;

/// The editable fields of a person, member or invitee.
#[derive(Args, Debug)]
pub(super) struct PersonEditArgs {
    /// The new first name
    #[arg(long, value_parser = filled)]
    first_name: Option<String>,
    /// The new last name
    #[arg(long)]
    last_name: Option<String>,
    /// The new address
    #[arg(long, value_parser = filled)]
    email: Option<String>,
    /// The new role
    #[arg(long, value_parser = filled)]
    role: Option<String>,
}

impl PersonEditArgs {
    /// The body of the call; a usage error if nothing changes.
    pub(super) fn changes(self, remote: &SidecarClient) -> Result<Json, CommandError> {
        let role = self.role.map(|role| role::named(remote, role)).transpose()?;
        let given = [
            ("first_name", self.first_name.map(Json::from)),
            ("last_name", self.last_name.map(Json::from)),
            ("email", self.email.map(Json::from)),
            ("role", role.map(Json::from)),
        ];
        changes(given, "--first-name, --last-name, --email or --role")
    }
}

/// An object of the given values; a usage error with the `flags` if there are none.
pub(super) fn changes<const N: usize>(
    given: [(&str, Option<Json>); N],
    flags: &str,
) -> Result<Json, CommandError> {
    match object(given) {
        Json::Object(members) if members.is_empty() => {
            Err(CommandError::usage(format!("nothing to change: give {flags}")))
        }
        changes => Ok(changes),
    }
}

/// An object of the given values.
pub(super) fn object<const N: usize>(given: [(&str, Option<Json>); N]) -> Json {
    let given = given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Json::Object(given.collect::<Map<_, _>>())
}

/// Changes the record if it is unchanged since `before` was read.
pub(super) fn patch(
    remote: &SidecarClient,
    path: String,
    before: &Json,
    changes: &Json,
) -> Result<Json, CommandError> {
    let mut call = ApiCall::new("PATCH", path).body(changes);
    call.if_match = before.get("version").and_then(Json::as_u64);
    remote.json(&call)
}
