//! Whether a role exists, asked of the live policies: nothing else lists roles.
//!
//! Never says what a role may do.

use tokio::sync::RwLockReadGuard;

use crate::app::App;
use crate::domain::{Failure, Kind, RoleId};

/// Held while a member is given a role, until the directory counts it: no reload takes the role
/// away in between.
pub(super) type Giving<'a> = RwLockReadGuard<'a, ()>;

/// Checks that the live policies know `roles`, and keeps them from disappearing.
///
/// # Errors
/// `Invalid`, code `unknown_role`, naming the roles there are.
pub(super) async fn giving<'a>(
    app: &'a App,
    roles: impl IntoIterator<Item = &RoleId>,
) -> Result<Giving<'a>, Failure> {
    let giving = app.roles_given.read().await;
    roles.into_iter().try_for_each(|role| known(app, role))?;
    Ok(giving)
}

/// Checks that the live policies know `role`.
///
/// # Errors
/// `Invalid`, code `unknown_role`, naming the roles there are.
pub(super) fn known(app: &App, role: &RoleId) -> Result<(), Failure> {
    let live = app.policies.load();
    if live.has_role(role) {
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
