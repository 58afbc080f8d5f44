//! Records that several services look up: one account, and the sender of an invite.

use crate::app::App;
use crate::domain::{Account, AccountSlug, Failure, Invite, Kind, Member};

/// One account.
///
/// # Errors
/// `NotFound` `unknown_account`; `Busy`.
pub(super) async fn account(app: &App, slug: &AccountSlug) -> Result<Account, Failure> {
    app.store.account(slug).await?.ok_or_else(|| unknown_account(slug))
}

/// The failure for a slug that names no account.
pub(super) fn unknown_account(slug: &AccountSlug) -> Failure {
    Failure::new(
        Kind::NotFound,
        "unknown_account",
        format!("there is no account `{slug}`: `kwic-team account list` shows the accounts"),
    )
}

/// The member who sent an invite, if there still is one.
pub(super) async fn inviter(app: &App, invite: &Invite) -> Result<Option<Member>, Failure> {
    match invite.inviter.member() {
        Some(id) => app.store.member(id).await,
        None => Ok(None),
    }
}
