//! Personal data: erased after the member was removed, exported before.
//!
//! An export contains no secret and no hash of one, and only ids of other people.

use std::sync::Arc;

use super::caller::Caller;
use super::detached_changes::run_detached;
use super::permits::Permit;
use super::rights::Right;
use super::session_auth::{self, SignedIn};
use super::two_step::{self, TwoStepStatus};
use super::{api_tokens, members, roles, sessions};
use crate::app::App;
use crate::domain::{
    AccountSlug, ApiToken, AuditEntry, AuditEvent, Failure, MemberId, Session, limits,
};
use crate::store::Committed;
use crate::store::requests_and_views::personal_data::{Erasure, MemberData};

/// Erases the personal data of a removed member. The store's file keeps the bytes until the next
/// start, which rewrites it.
///
/// # Errors
/// `Denied` `not_allowed`; `NotFound` `unknown_member`; `Conflict` `not_removed`, `moved_on`;
/// `Busy`.
pub async fn erase(
    app: &Arc<App>,
    caller: Caller,
    id: MemberId,
) -> Result<Committed<Erasure>, Failure> {
    let app = Arc::clone(app);
    run_detached(async move {
        let _still = roles::lock_role_grants(&app, []).await?;
        let permit = Permit::authorize(&app, caller, [Right::remove(id.clone())]).await?;
        let (store, account, id) = (&app.store, &permit.account().clone(), &id);
        let change = move |by| async move { store.member_erase(&by, account, id).await };
        permit.run(&app, change).await
    })
    .await
}

/// All data kept about one member.
#[derive(Debug)]
pub struct PersonalData {
    /// Record, invites and audit entries.
    pub kept: MemberData,
    /// The current sessions, newest first.
    pub sessions: Vec<Session>,
    /// The valid API tokens that the member created.
    pub tokens: Vec<ApiToken>,
    /// The state of two-step verification, without secrets.
    pub two_step: TwoStepStatus,
}

/// The data kept about a member of the caller's account. Needs the right to edit the member, since
/// it shows from where the person signs in.
///
/// # Errors
/// `Denied` `not_allowed`; `NotFound` `unknown_member`; `Busy`.
pub async fn of_member(app: &App, caller: Caller, id: &MemberId) -> Result<PersonalData, Failure> {
    let permit = Permit::authorize(app, caller, [Right::edit(id.clone())]).await?;
    gathered(app, permit.account(), id).await
}

/// The data kept about the signed-in member.
///
/// # Errors
/// `Unauthenticated` `session_ended`; `Busy`.
pub async fn own(app: &App, signed_in: &SignedIn) -> Result<PersonalData, Failure> {
    let member = signed_in.record(app).await?;
    gathered(app, &member.account, &member.id).await
}

/// The last sign-ins of the signed-in member, newest first, with the number of failures before
/// each.
///
/// # Errors
/// `Unauthenticated` `session_ended`; `Busy`.
pub async fn own_sign_ins(app: &App, signed_in: &SignedIn) -> Result<Vec<AuditEntry>, Failure> {
    let member = signed_in.record(app).await?;
    let most = limits::OWN_ENTRIES_LOOKED_AT;
    let kept = app.store.member_data(&member.account, &member.id, most).await?;
    let mut entries = kept.ok_or_else(session_auth::ended)?.entries;
    let told = [
        AuditEvent::AuthnLoginSuccess,
        AuditEvent::AuthnLoginSuccessAfterFail,
        AuditEvent::AuthnLoginLock,
    ];
    entries.retain(|entry| {
        entry.target == member.id.as_str() && told.iter().any(|it| it.as_str() == entry.event)
    });
    entries.reverse();
    entries.truncate(limits::OWN_SIGN_INS_SHOWN);
    Ok(entries)
}

async fn gathered(
    app: &App,
    account: &AccountSlug,
    id: &MemberId,
) -> Result<PersonalData, Failure> {
    let kept = app.store.member_data(account, id, limits::DATA_ITEMS_MAX).await?;
    let kept = kept.ok_or_else(members::unknown)?;
    let two_step = two_step::standing_of(app, &kept.seen.member).await?;
    let tokens = api_tokens::of(app, account, id).await?;
    Ok(PersonalData { kept, sessions: sessions::live_of(app, id).await?, tokens, two_step })
}
