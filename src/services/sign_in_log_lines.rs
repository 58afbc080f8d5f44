//! What the log hears of sign-ins: those that succeeded, those that failed, and those slowed down.

use std::sync::Arc;

use super::client_info::ClientInfo;
use crate::app::App;
use crate::domain::{AccountSlug, Email, Session, limits};

pub(super) fn log_sign_in(session: &Session) {
    tracing::info!(
        event = "authn_login_success",
        member = %session.member,
        account = %session.account,
        session = %session.id,
        "somebody signed in"
    );
}

/// Logs a failed attempt; if many in a row begin to delay a member's sign-in, adds one entry to the
/// member's audit log. The response does not wait for that: its timing would reveal whether the
/// member exists.
pub(super) fn log_failed_sign_in(
    app: &Arc<App>,
    account: &AccountSlug,
    email: &Email,
    from: &ClientInfo,
    failures: u32,
) {
    let (address, masked) = (from.network(), email.masked());
    let claimed = from.claimed.map(|address| address.to_string());
    tracing::warn!(event = "authn_login_fail", %account, email = masked, address, claimed, failures, "a password was refused");
    if failures != limits::SIGN_IN_FAILURES_TOLD {
        return;
    }
    tracing::warn!(event = "authn_login_lock", %account, email = masked, "sign-in attempts are slowed down");
    let (app, account, email) = (Arc::clone(app), account.clone(), email.clone());
    tokio::spawn(async move {
        let member = app.store.member_by_email(&account, email.key()).await;
        if let Ok(Some(member)) = member {
            let _ = app.store.sign_in_slowed(&member, failures).await;
        }
    });
}
