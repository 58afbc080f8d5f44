//! Passwords: changed by their owner, or set with a link.
//!
//! Nobody else ever learns or chooses a member's password: an administrator can only have a link
//! sent. A new password ends every session except the one in which it was changed, which gets a new
//! token.

use std::sync::Arc;

use super::caller::Caller;
use super::client_info::ClientInfo;
use super::detached_changes::{run_applied, run_detached};
use super::links::new_link;
use super::members::{self, ChosenMember};
use super::notice_letters::{may_write_to, new_notice};
use super::permits::Permit;
use super::rights::Right;
use super::session_auth::SignedIn;
use super::sign_in::{NewSignIn, new_session};
use super::step_up::{StepUpProof, check_own};
use super::{account_and_inviter, directory_sync, roles};
use crate::app::App;
use crate::domain::{
    Account, AccountSlug, Actor, Delivery, DeliveryState, Email, Failure, Kind, Member,
    OneTimeLink, Status, Timestamp, Token, limits, one_time_link,
};
use crate::password::{Password, PasswordContext};
use crate::store::requests_and_views::sessions::PasswordChange;
use crate::store::{Committed, Preconditions};
use crate::telemetry::log::{self, DueLogLine};
use crate::throttle::{LoginKey, Quota};

/// A new link to set a password.
#[derive(Clone, Debug)]
pub struct PasswordResetLink {
    /// The member.
    pub member: Member,
    /// When it expires.
    pub expires: Timestamp,
    /// The link, if the caller may see it.
    pub link: Option<String>,
    /// The delivery status of its mail.
    pub delivery: Delivery,
}

/// Checks a new password by the rules, for one person on one account.
///
/// # Errors
/// `Invalid` for `password`, with the rule and what to do.
pub(super) fn check(
    password: &Password,
    account: &Account,
    email: &Email,
    [first_name, last_name]: [&str; 2],
) -> Result<(), Failure> {
    let context = PasswordContext {
        second_factor: account.two_step_enforced,
        account: &account.slug,
        account_name: &account.name,
        first_name,
        last_name,
        email,
    };
    crate::password::check(password, &context)
}

async fn checked_hash(app: &App, member: &Member, password: &str) -> Result<String, Failure> {
    let password = Password::parse(password)?;
    let account = account_and_inviter::account(app, &member.account).await?;
    let names = [member.first_name.as_str(), member.last_name.as_str()];
    check(&password, &account, &member.email, names)?;
    app.hasher.hash(&password).await
}

/// Changes the caller's own password. Every other session ends, and this one gets a new token.
/// Returns that, and the number of ended sessions.
///
/// # Errors
/// `Denied` `wrong_password`, `wrong_code`, `code_missing`; `Invalid` for a new password that is
/// refused; `TooMany` `too_many_tries`; `Unauthenticated` `session_ended`; `Conflict`
/// `two_step_needed`, `moved_on`; `Busy`.
pub async fn change_own(
    app: &Arc<App>,
    signed_in: SignedIn,
    shown: &StepUpProof,
    new: &str,
    from: ClientInfo,
) -> Result<Committed<(NewSignIn, u64)>, Failure> {
    let member = signed_in.record(app).await?;
    let current = Password::parse(&shown.password).ok();
    let shown = check_own(app, &member, shown, &from).await?;
    // Only now: a caller who does not know the password must not learn it by trying.
    if Password::parse(new).is_ok_and(|new| current.is_some_and(|current| current.is(&new))) {
        return Err(Failure::invalid(
            "password",
            "this is your current password: choose another one",
        ));
    }
    let password = checked_hash(app, &member, new).await?;
    let (token, session) = new_session(app, &member, &from)?;
    let change = PasswordChange {
        member: member.id.clone(),
        shown,
        password,
        renewed: (signed_in.token(), session.clone()),
        letter: new_notice(app, "password-changed")?,
    };
    let changed =
        run_applied(app, |app| async move { app.store.password_change(change).await }).await?;
    let entered = NewSignIn { token, session, member };
    Ok(Committed { revision: changed.revision, value: (entered, changed.value) })
}

/// Sends a link to a new password to a member.
///
/// The link is shown only to callers who may give the member's role, since it grants that role.
///
/// # Errors
/// `Denied` `not_allowed`; `NotFound` `unknown_member`; `Stale`; `Conflict` `suspended_member`,
/// `moved_on`; `TooMany` `too_many_requests`; `Busy`.
pub async fn reset(
    app: &Arc<App>,
    caller: Caller,
    chosen: ChosenMember,
) -> Result<Committed<PasswordResetLink>, Failure> {
    let app = Arc::clone(app);
    run_detached(async move {
        let _still = roles::lock_role_grants(&app, []).await?;
        let found = members::found(&app, caller.account(), &chosen.id).await;
        let mut rights = vec![Right::edit(chosen.id.clone())];
        let shows = caller.is_sidecar() || !app.mailer.sends();
        if let (true, Ok(member)) = (shows, &found) {
            rights.push(Right::assign(member.role.clone()));
        }
        let permit = Permit::authorize(&app, caller, rights).await?;
        let member = found?;
        if !permit.caller().is_sidecar() {
            may_write_to(&app, &member.account, "reset", &member.email)?;
        }
        let chosen = ChosenMember { expected: chosen.expected.or(Some(member.version)), ..chosen };
        let (new, token) = new_link(&app, &member.account, limits::RESET_LIFETIME, "reset")?;
        let (store, account) = (&app.store, &member.account);
        let (chosen, new) = (&chosen, &new);
        let change = move |by| async move {
            store.reset_begin(&by, chosen.target(account), new.clone()).await
        };
        let done = permit.run(&app, change).await?;
        let link = shows.then(|| app.links.to("reset", &token));
        Ok(Committed { revision: done.revision, value: made(&app, member, &done.value, link) })
    })
    .await
}

/// A link for an administrator who cannot sign in, created by the operator of the sidecar.
///
/// # Errors
/// `Denied` `operator_only`; `NotFound` `unknown_member`; `Conflict` `not_an_administrator`,
/// `suspended_member`; `Busy`.
pub async fn recover(
    app: &Arc<App>,
    caller: Caller,
    email: &Email,
) -> Result<Committed<PasswordResetLink>, Failure> {
    caller.must_be_sidecar()?;
    let found = app.store.member_by_email(caller.account(), email.key()).await?;
    let member = found.ok_or_else(members::unknown)?;
    if !app.policies.load().administering().contains(&member.role) {
        return Err(Failure::new(
            Kind::Conflict,
            "not_an_administrator",
            format!(
                "this member has the role `{}`, which does not administer the account: use `kwic-team member reset-password`, or an administrator's address",
                member.role
            ),
        ));
    }
    reset(app, caller, ChosenMember { id: member.id, expected: None }).await
}

fn made(app: &App, member: Member, link: &OneTimeLink, shown: Option<String>) -> PasswordResetLink {
    let state = if app.mailer.sends() { DeliveryState::Queued } else { DeliveryState::None };
    let delivery = Delivery { state, ..Delivery::default() };
    PasswordResetLink { member, expires: link.expires, link: shown, delivery }
}

/// Requests a password reset link for somebody who cannot sign in. Returns before anything about
/// the address is looked up, so that neither the response nor its timing reveals whether the member
/// exists.
///
/// # Errors
/// `TooMany` `too_many_requests`.
pub fn request(
    app: &Arc<App>,
    account: AccountSlug,
    email: Email,
    from: &ClientInfo,
) -> Result<(), Failure> {
    let network = from.place();
    let to = [b"reset to".as_slice(), account.as_str().as_bytes(), email.key().as_bytes()];
    let by = network.as_ref().map(|network| [b"reset from".as_slice(), network.as_bytes()]);
    let by = by.as_ref().map(|of| Quota {
        of,
        most: limits::RESETS_BY_NETWORK_MAX,
        per: limits::RESETS_BY_NETWORK_PER,
    });
    let mut quotas: Vec<_> = by.into_iter().collect();
    quotas.extend(limits::RESETS_BY_ADDRESS.map(|(most, per)| Quota { of: &to, most, per }));
    app.quotas.take(&quotas, app.clock.now())?;
    let app = Arc::clone(app);
    tokio::spawn(async move {
        if let Err(failure) = send_link(&app, &account, &email).await
            && let Some(DueLogLine { left_out }) = log::due("a link could not be made")
        {
            let email = email.masked();
            tracing::warn!(%failure, email, left_out, "a link could not be made");
        }
    });
    Ok(())
}

/// Sends the link, if there is a member who can use it.
///
/// # Errors
/// `Busy`, when the disk fails.
pub async fn send_link(
    app: &Arc<App>,
    account: &AccountSlug,
    email: &Email,
) -> Result<(), Failure> {
    let member = app.store.member_by_email(account, email.key()).await?;
    let Some(member) = member.filter(|member| member.status == Status::Active) else {
        if let Some(DueLogLine { left_out }) = log::due("nobody to send a link to") {
            tracing::info!(%account, email = email.masked(), left_out, "nobody to send a link to");
        }
        return Ok(());
    };
    if !app.mailer.sends() {
        if let Some(DueLogLine { left_out }) = log::due("no mail is sent") {
            tracing::warn!(
                member = %member.id,
                left_out,
                "a member asked for a new password and no mail is sent: `kwic-team member reset-password` prints a link"
            );
        }
        return Ok(());
    }
    let (new, _) = new_link(app, account, limits::RESET_LIFETIME, "reset")?;
    let by = Preconditions::actor(Actor::Member(member.id.clone()));
    let chosen = ChosenMember { id: member.id, expected: None };
    let done = app.store.reset_begin(&by, chosen.target(account), new).await;
    directory_sync::wait_until_applied(app, done).await.map(|_| ())
}

/// Sets a new password with a link. Ends every session, and begins none: the member signs in
/// afterwards.
///
/// # Errors
/// `Gone` `link_dead`, `link_expired`; `Invalid` for a password that is refused; `Conflict`
/// `suspended_member`; `Busy`.
pub async fn reset_by_link(
    app: &Arc<App>,
    token: &str,
    password: &str,
    from: &ClientInfo,
) -> Result<Committed<(Member, u64)>, Failure> {
    let token = Token::parse(token).ok_or_else(one_time_link::dead)?;
    let found = app.store.link_by_token(token.hash()).await?.ok_or_else(one_time_link::dead)?;
    found.may_be_used(app.clock.now())?;
    let member = app.store.member(&found.member).await?.ok_or_else(one_time_link::dead)?;
    let hash = checked_hash(app, &member, password).await?;
    let letter = new_notice(app, "password-changed")?;
    let done =
        run_applied(
            app,
            |app| async move { app.store.reset_end(token.hash(), hash, letter).await },
        )
        .await?;
    // A guesser must not keep the owner from the new password.
    let login = LoginKey::new(&member.account, &member.email);
    app.throttle.forget(login);
    app.throttle.remember_network(login, from.spot(), app.clock.now());
    Ok(done)
}
