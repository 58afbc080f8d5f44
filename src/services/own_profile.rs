//! Changes of the member's own record: name, address, leaving.
//!
//! Needs no right except a session, and touches nobody else. What must not be done from an
//! unattended screen asks for the password again.

use std::sync::Arc;

use super::client_info::ClientInfo;
use super::detached_changes::{run_applied, run_detached};
use super::links::new_link;
use super::notice_letters::{may_write_to, new_notice};
use super::permits::by_self;
use super::session_auth::SignedIn;
use super::step_up::{StepUpProof, check_own};
use super::{directory_sync, roles};
use crate::app::App;
use crate::domain::{
    Email, Failure, Kind, Member, Name, Timestamp, Token, Version, limits, one_time_link,
};
use crate::store::requests_and_views::one_time_links::EmailConfirmed;
use crate::store::{Committed, MemberEdit, MemberTarget, Removal};

/// Changes the member's own name.
///
/// # Errors
/// `Unauthenticated` `session_ended`; `Stale`; `Busy`.
pub async fn edit(
    app: &Arc<App>,
    signed_in: SignedIn,
    expected: Option<Version>,
    first_name: Option<Name>,
    last_name: Option<Name>,
) -> Result<Committed<Member>, Failure> {
    let edit = MemberEdit { first_name, last_name, ..MemberEdit::default() };
    run_applied(app, |app| async move {
        let by = by_self(&app, &signed_in);
        let target = MemberTarget { expected, ..signed_in.target() };
        app.store.member_edit(&by, target, edit).await
    })
    .await
}

/// Leaves the account for good, unless it is the last administrator.
///
/// # Errors
/// `Denied` `wrong_password`, `wrong_code`, `code_missing`; `TooMany` `too_many_tries`; `Conflict` `last_administrator`;
/// `Unauthenticated` `session_ended`; `Busy`.
pub async fn leave(
    app: &Arc<App>,
    signed_in: SignedIn,
    shown: &StepUpProof,
    from: ClientInfo,
) -> Result<Committed<Removal>, Failure> {
    let member = signed_in.record(app).await?;
    // Consumed by the removal itself: the code cannot be used again.
    check_own(app, &member, shown, &from).await?;
    let app = Arc::clone(app);
    run_detached(async move {
        let _still = roles::lock_role_grants(&app, []).await?;
        let by = by_self(&app, &signed_in);
        directory_sync::wait_until_applied(
            &app,
            app.store.member_remove(&by, signed_in.target()).await,
        )
        .await
    })
    .await
}

/// Begins a change of the member's own address: a link is sent to the current and the new one, and
/// the change is made when both were opened. Returns until when.
///
/// # Errors
/// `Denied` `wrong_password`, `wrong_code`, `code_missing`; `TooMany` `too_many_tries`, `too_many_requests`; `Conflict` `mail_not_sent`,
/// `already_member`, `already_invited`, `same_address`; `Busy`.
pub async fn change_email(
    app: &Arc<App>,
    signed_in: SignedIn,
    to: Email,
    shown: &StepUpProof,
    from: ClientInfo,
) -> Result<Timestamp, Failure> {
    let member = signed_in.record(app).await?;
    let shown = check_own(app, &member, shown, &from).await?;
    if !app.mailer.sends() {
        return Err(Failure::new(
            Kind::Conflict,
            "mail_not_sent",
            "no mail is sent here, so an address cannot be confirmed: ask the operator of the sidecar to change it with `kwic-team member edit`",
        ));
    }
    may_write_to(app, &member.account, "email change", &to)?;
    let lifetime = limits::EMAIL_CHANGE_LIFETIME;
    let (old, _) = new_link(app, &member.account, lifetime, "email-old")?;
    let (new, _) = new_link(app, &member.account, lifetime, "email-new")?;
    let expires = new.expires;
    run_applied(app, |app| async move {
        app.store.email_change_begin(signed_in.target(), shown, to, [old, new]).await
    })
    .await?;
    Ok(expires)
}

/// Confirms one of the two addresses, with its link.
///
/// # Errors
/// `Gone` `link_dead`, `link_expired`; `Conflict` `already_member`, `already_invited`; `Busy`.
pub async fn confirm_email(
    app: &Arc<App>,
    token: &str,
) -> Result<Committed<EmailConfirmed>, Failure> {
    let token = Token::parse(token).ok_or_else(one_time_link::dead)?;
    let letter = new_notice(app, "email-changed")?;
    run_applied(
        app,
        |app| async move { app.store.email_change_confirm(token.hash(), letter).await },
    )
    .await
}
