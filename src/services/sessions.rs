//! Sessions: which there are, when they were used last, and their end.
//!
//! Begins no session: that is a sign-in's.

use std::sync::Arc;
use std::time::Duration;

use super::caller::Caller;
use super::detached_changes::{run_applied, run_detached};
use super::members::{self, ChosenMember};
use super::permits::{Permit, by_self};
use super::rights::Right;
use super::session_auth::{SignedIn, limits};
use super::{api_tokens, directory_sync, import, roles};
use crate::app::App;
use crate::domain::{Email, Failure, MemberId, Session, SessionId, Token};
use crate::store::Committed;
use crate::store::requests_and_views::sessions::SessionSelector;
use crate::throttle::LoginKey;

/// How often the last use of sessions is saved.
const TEND_EVERY: Duration = Duration::from_secs(60);
/// In a fleet an idle session is deleted this much later: another node may know of a use that it has
/// not saved yet.
const UNSAVED_USE: Duration = Duration::from_secs(180);

/// Marks the network of a session as known for the member.
pub fn recognize(app: &App, session: &Session) {
    let Ok(address) = session.address.parse() else { return };
    let email = app
        .directory
        .with(session.member.as_str(), |member| Email::parse(member.texts.email_key()));
    if let Some(Ok(email)) = email {
        app.throttle.recognize(LoginKey::new(&session.account, &email), address, session.created);
    }
}

/// The caller's own current sessions, newest first.
///
/// # Errors
/// `Busy`, when the disk fails.
pub async fn own(app: &App, signed_in: &SignedIn) -> Result<Vec<Session>, Failure> {
    live_of(app, signed_in.member()).await
}

/// A member's current sessions, newest first.
///
/// # Errors
/// `Denied` `not_allowed`; `NotFound` `unknown_member`; `Busy`, when the disk fails.
pub async fn of_member(app: &App, caller: Caller, id: &MemberId) -> Result<Vec<Session>, Failure> {
    let permit = Permit::authorize(app, caller, [Right::edit(id.clone())]).await?;
    let member = members::found(app, permit.account(), id).await?;
    live_of(app, &member.id).await
}

/// The current sessions, with the last use that memory knows.
pub(super) async fn live_of(app: &App, member: &MemberId) -> Result<Vec<Session>, Failure> {
    let (now, limits) = (app.clock.now(), limits(app));
    let mut sessions = app.store.sessions_of(member).await?;
    for session in &mut sessions {
        if let Some(used) = app.directory.session(&session.token, |live| live.used) {
            session.used = session.used.max(used);
        }
    }
    sessions.retain(|session| limits.lives(session.created, session.used, now));
    Ok(sessions)
}

/// Ends a member's sessions; returns their number.
///
/// # Errors
/// `NotFound` `unknown_member`; `Stale`; `Conflict` `moved_on`; `Busy`, when the disk fails.
pub async fn end_of_member(
    app: &Arc<App>,
    caller: Caller,
    chosen: ChosenMember,
) -> Result<Committed<u64>, Failure> {
    let app = Arc::clone(app);
    run_detached(async move {
        let _still = roles::lock_role_grants(&app, []).await?;
        let permit = Permit::authorize(&app, caller, [Right::edit(chosen.id.clone())]).await?;
        let (store, account) = (&app.store, &permit.account().clone());
        let chosen = &chosen;
        let change = move |by| async move {
            store.sessions_end(&by, chosen.target(account), SessionSelector::All).await
        };
        permit.run(&app, change).await
    })
    .await
}

/// Ends one of the caller's own sessions, or all others; returns their number.
///
/// # Errors
/// `NotFound` `unknown_session`; `Busy`, when the disk fails.
pub async fn end_own(
    app: &Arc<App>,
    signed_in: SignedIn,
    one: Option<SessionId>,
) -> Result<Committed<u64>, Failure> {
    run_applied(app, |app| async move {
        let which = one.map_or(SessionSelector::AllBut(signed_in.token()), SessionSelector::One);
        app.store.sessions_end(&by_self(&app, &signed_in), signed_in.target(), which).await
    })
    .await
}

/// Signs out; returns whether there was a session.
///
/// # Errors
/// `Busy`, when the disk fails.
pub async fn sign_out(app: &Arc<App>, token: Token) -> Result<Committed<bool>, Failure> {
    run_applied(app, |app| async move { app.store.session_sign_out(token.hash()).await }).await
}

/// Saves the last use of sessions and API tokens repeatedly, until the task is ended.
pub async fn run_expiry(app: Arc<App>) {
    loop {
        tokio::time::sleep(TEND_EVERY).await;
        if let Err(failure) = expire_once(&app).await {
            tracing::warn!(%failure, "the last use of sessions could not be saved");
        }
        if let Err(failure) = api_tokens::expire_once(&app).await {
            tracing::warn!(%failure, "the last use of API tokens could not be saved");
        }
        if let Err(failure) = import::sweep_once(&app).await {
            tracing::warn!(%failure, "what is left of an import could not be removed");
        }
    }
}

/// Saves the last use of sessions, and deletes expired ones; in a fleet one node deletes for all.
///
/// # Errors
/// `Busy`, when the disk fails.
pub async fn expire_once(app: &App) -> Result<(), Failure> {
    let used = app.directory.sessions_used();
    let mut limits = limits(app);
    if app.fleet.is_some() {
        limits.idle = limits.idle.saturating_add(UNSAVED_USE);
    }
    let done = if app.tends() {
        app.store.sessions_tend(used, limits).await?
    } else if used.is_empty() {
        return Ok(());
    } else {
        app.store.sessions_used(used, limits).await?
    };
    directory_sync::wait_until_settled(app, done.revision).await
}
