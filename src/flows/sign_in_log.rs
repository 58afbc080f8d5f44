//! What the log hears of sign-ins: those that succeeded, those that failed, and those slowed down.

use std::sync::Arc;

use super::client_info::ClientInfo;
use crate::app::App;
use crate::domain::{AccountSlug, Email, Session, limits};

/// Tells the log that somebody signed in.
pub(super) fn tell_entered(session: &Session) {
    tracing::info!(
        event = "authn_login_success",
        member = %session.member,
        account = %session.account,
        session = %session.id,
        "somebody signed in"
    );
}

/// Tells the log of a failed try; where many in a row begin to slow a member's sign-in down, the
/// member's audit log hears of it, once. The answer does not wait for that: its time would tell
/// whether there is such a member.
pub(super) fn tell_failed(
    app: &Arc<App>,
    (account, email): (&AccountSlug, &Email),
    from: &ClientInfo,
    failures: u32,
) {
    let (address, masked) = (from.network(), email.masked());
    let claimed = from.claimed.map(|address| address.to_string());
    tracing::warn!(event = "authn_login_fail", %account, email = masked, address, claimed, failures, "a password was refused");
    if failures != limits::SIGN_IN_FAILURES_TOLD {
        return;
    }
    tracing::warn!(event = "authn_login_lock", %account, email = masked, "tries are slowed down");
    let (app, account, email) = (Arc::clone(app), account.clone(), email.clone());
    tokio::spawn(async move {
        let member = app.store.member_by_email(&account, email.key()).await;
        if let Ok(Some(member)) = member {
            let _ = app.store.sign_in_slowed(&member, failures).await;
        }
    });
}
