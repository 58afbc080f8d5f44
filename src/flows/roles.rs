//! Whether a role exists, asked of the live policies: nothing else lists roles.
//!
//! Never says what a role may do.

use crate::app::App;
use crate::domain::{Failure, Kind, RoleId};

/// Checks that the live policies know `role`.
///
/// # Errors
/// `Invalid`, code `unknown_role`, naming the roles there are.
pub(super) fn known(app: &App, role: &RoleId) -> Result<(), Failure> {
    let live = app.policies.load();
    if live.roles().iter().any(|card| card.id == *role) {
        return Ok(());
    }
    let roles: Vec<&str> = live.roles().iter().map(|card| card.id.as_str()).collect();
    Err(unknown(role, &roles))
}

/// The failure that names the roles there are.
pub(super) fn unknown(role: &RoleId, roles: &[&str]) -> Failure {
    let text = format!("there is no role `{role}`: use one of `{}`", roles.join("`, `"));
    Failure {
        fields: vec![("role".to_owned(), text.clone())],
        ..Failure::new(Kind::Invalid, "unknown_role", text)
    }
}
