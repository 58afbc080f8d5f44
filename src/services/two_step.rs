//! Two-step verification: set up, confirm, turn off, reset, and recovery codes.
//!
//! A secret is shown once, when an app is set up; recovery codes once, when they are created. An
//! administrator can reset another member's second factor, never learn or choose it.

use std::sync::Arc;

use super::caller::{Caller, person_needed};
use super::client_info::ClientInfo;
use super::detached_changes::{run_applied, run_detached};
use super::members::{self, ChosenMember};
use super::notice_letters::new_notice;
use super::permits::Permit;
use super::rights::Right;
use super::session_auth::SignedIn;
use super::sign_in::{NewSignIn, new_session};
use super::sign_in_log_lines::log_sign_in;
use super::sign_in_ticket::SignInTicket;
use super::step_up::{StepUpProof, check_own, own_password_missing, purpose, unsealed};
use super::{account_and_inviter, roles};
use crate::app::App;
use crate::domain::two_step::{
    RecoveryCode, first_code_of_another_time, own_factor_first, wrong_first_code,
};
use crate::domain::{
    Factors, Failure, Kind, Member, Passkey, Sealed, Timestamp, input_cleanup, limits,
};
use crate::entropy;
use crate::keys::Keys;
use crate::store::requests_and_views::two_step::{
    ConfirmedAuthenticator, ConfirmedThrough, ResealedSecret, StepUp,
};
use crate::store::{Committed, MemberTarget, Store};
use crate::totp::{self, Enrolment, SECRET_BYTES, SearchWindow};

/// The state of a member's own two-step verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwoStepStatus {
    /// When the authenticator app was set up; `None` if there is none.
    pub since: Option<Timestamp>,
    /// The number of unused recovery codes.
    pub recovery_left: usize,
    /// Passkeys that can be used instead of a code, oldest first.
    pub passkeys: Vec<Passkey>,
    /// Whether the account requires it.
    pub enforced: bool,
}

/// A confirmed factor: the current session, the number of ended ones, and the recovery codes, shown
/// once. Never printed.
#[derive(Debug)]
pub struct EnabledFactor {
    /// The session, with a new token.
    pub entered: NewSignIn,
    /// How many sessions ended.
    pub ended: u64,
    /// New recovery codes.
    pub recovery: Vec<RecoveryCode>,
}

/// The state of the caller's own two-step verification.
///
/// # Errors
/// `Unauthenticated` `session_ended`; `Busy`.
pub async fn standing(app: &App, signed_in: &SignedIn) -> Result<TwoStepStatus, Failure> {
    standing_of(app, &signed_in.record(app).await?).await
}

pub(super) async fn standing_of(app: &App, member: &Member) -> Result<TwoStepStatus, Failure> {
    let Factors { authenticator, recovery, passkeys, .. } = app.store.factors(&member.id).await?;
    Ok(TwoStepStatus {
        since: authenticator.map(|it| it.since),
        recovery_left: recovery.len(),
        passkeys,
        enforced: account_and_inviter::account(app, &member.account).await?.two_step_enforced,
    })
}

/// Begins to set up an authenticator app, the first one or a replacement.
///
/// # Errors
/// `Denied` `wrong_password`, `wrong_code`, `code_missing`; `TooMany` `too_many_tries`;
/// `Unauthenticated` `session_ended`; `Conflict` `moved_on`; `Busy`.
pub async fn begin(
    app: &Arc<App>,
    signed_in: &SignedIn,
    shown: &StepUpProof,
    from: &ClientInfo,
) -> Result<Enrolment, Failure> {
    let member = signed_in.record(app).await?;
    let shown = check_own(app, &member, shown, from).await?;
    enrol(app, &member, shown).await
}

/// The same during a sign-in, after the password, on an account that requires it.
///
/// # Errors
/// `Unauthenticated` `ticket_dead`; `Denied` `code_missing`, for a member with a factor; `Busy`.
pub async fn begin_by_ticket(app: &Arc<App>, ticket: &str) -> Result<Enrolment, Failure> {
    let (ticket, member) = SignInTicket::open(app, ticket).await?;
    enrol(app, &member, StepUp { checked: ticket.checked, proof: None }).await
}

async fn enrol(app: &Arc<App>, member: &Member, shown: StepUp) -> Result<Enrolment, Failure> {
    let secret: [u8; SECRET_BYTES] = entropy::random()?;
    let issuer = format!("KWIC {}", member.account);
    let enrolment = totp::enrolment(&secret, &issuer, &member.email)?;
    let sealed = app.keys.seal(&purpose(member), &secret)?;
    let expires = app.clock.later(limits::TWO_STEP_SETUP_LIFETIME);
    let member = member.clone();
    run_applied(app, |app| async move {
        app.store.two_step_begin(MemberTarget::of(&member), shown, sealed, expires).await
    })
    .await?;
    Ok(enrolment)
}

/// Confirms the app with its first code. Every other session ends, and this one gets a new token.
///
/// # Errors
/// `Denied` `wrong_code`; `Conflict` `not_set_up`; `Unauthenticated` `session_ended`; `Busy`.
pub async fn confirm(
    app: &Arc<App>,
    signed_in: &SignedIn,
    code: &str,
    from: &ClientInfo,
) -> Result<Committed<EnabledFactor>, Failure> {
    let member = signed_in.record(app).await?;
    take_into_use(app, member, ConfirmedThrough::Session(signed_in.token()), code, from).await
}

/// The same during a sign-in, after the password, on an account that requires it; signs in.
///
/// # Errors
/// `Unauthenticated` `ticket_dead`, `sign_in_refused`; `Denied` `wrong_code`; `Conflict`
/// `not_set_up`; `Busy`.
pub async fn confirm_by_ticket(
    app: &Arc<App>,
    ticket: &str,
    code: &str,
    from: &ClientInfo,
) -> Result<Committed<EnabledFactor>, Failure> {
    let (ticket, member) = SignInTicket::open(app, ticket).await?;
    let SignInTicket { checked, round, failures_before, .. } = ticket;
    let through = ConfirmedThrough::Ticket { checked, round, failures_before };
    let done = take_into_use(app, member, through, code, from).await?;
    log_sign_in(&done.value.entered.session);
    Ok(done)
}

async fn take_into_use(
    app: &Arc<App>,
    member: Member,
    through: ConfirmedThrough,
    code: &str,
    from: &ClientInfo,
) -> Result<Committed<EnabledFactor>, Failure> {
    let pending = app.store.factors(&member.id).await?.pending.ok_or_else(nothing_pending)?;
    let secret = unsealed(app, &member, &pending.secret)?;
    let digits = input_cleanup::code(code);
    let now = app.clock.now();
    // The person who sets up an app has its secret: a hint about its clock reveals nothing.
    let off = || totp::minutes_off(&secret, &digits, now, SearchWindow::Around);
    let step = totp::step_of(&secret, &digits, now);
    let step = step.ok_or_else(|| {
        off().map_or_else(|| wrong_first_code(&digits), first_code_of_another_time)
    })?;
    let recovery = new_codes()?;
    let (token, session) = new_session(app, &member, from)?;
    let confirmed = ConfirmedAuthenticator {
        through,
        secret: pending.secret,
        step,
        recovery: recovery.iter().map(RecoveryCode::hash).collect(),
        session: session.clone(),
        letter: new_notice(app, "two-step")?,
    };
    let id = member.clone();
    let done = run_applied(app, |app| async move {
        app.store.two_step_confirm(MemberTarget::of(&id), confirmed).await
    })
    .await?;
    let member = Member { two_step: true, ..member };
    let entered = NewSignIn { token, session, member };
    Ok(Committed {
        revision: done.revision,
        value: EnabledFactor { entered, ended: done.value, recovery },
    })
}

fn new_codes() -> Result<Vec<RecoveryCode>, Failure> {
    let code = |_| entropy::random().map(RecoveryCode::from_bytes);
    (0..limits::RECOVERY_CODES).map(code).collect()
}

/// Turns the member's own second factor off. Every other session ends, and this one gets a new
/// token. Returns that, and the number of ended sessions.
///
/// # Errors
/// `Denied` `wrong_password`, `wrong_code`, `code_missing`; `Conflict` `not_set_up`,
/// `two_step_enforced`, `moved_on`; `TooMany` `too_many_tries`; `Unauthenticated` `session_ended`;
/// `Busy`.
pub async fn switch_off(
    app: &Arc<App>,
    signed_in: &SignedIn,
    shown: &StepUpProof,
    from: &ClientInfo,
) -> Result<Committed<(NewSignIn, u64)>, Failure> {
    let member = signed_in.record(app).await?;
    let shown = check_own(app, &member, shown, from).await?;
    let (token, session) = new_session(app, &member, from)?;
    let renewed = (signed_in.token(), session.clone());
    let letter = new_notice(app, "two-step")?;
    let id = member.clone();
    let done = run_applied(app, |app| async move {
        app.store.two_step_off(MemberTarget::of(&id), shown, renewed, letter).await
    })
    .await?;
    let member = Member { two_step: false, ..member };
    let entered = NewSignIn { token, session, member };
    Ok(Committed { revision: done.revision, value: (entered, done.value) })
}

/// New recovery codes, which replace the previous ones; shown once.
///
/// # Errors
/// As [`switch_off`], but for `two_step_enforced`.
pub async fn recovery_codes(
    app: &Arc<App>,
    signed_in: &SignedIn,
    shown: &StepUpProof,
    from: &ClientInfo,
) -> Result<Committed<Vec<RecoveryCode>>, Failure> {
    let member = signed_in.record(app).await?;
    let shown = check_own(app, &member, shown, from).await?;
    let recovery = new_codes()?;
    let hashes = recovery.iter().map(RecoveryCode::hash).collect();
    let letter = new_notice(app, "two-step")?;
    let done = run_applied(app, |app| async move {
        app.store.recovery_codes(MemberTarget::of(&member), shown, hashes, letter).await
    })
    .await?;
    Ok(Committed { revision: done.revision, value: recovery })
}

/// Resets another member's second factor, ends the sessions, and notifies the member. A member who
/// does it presents the own factor; the operator of the sidecar has none. Returns the number of
/// ended sessions.
///
/// # Errors
/// `Denied` `not_allowed`, `wrong_password`, `wrong_code`, `code_missing`; `NotFound`
/// `unknown_member`; `Stale`; `Conflict` `own_factor`, `own_factor_first`, `not_set_up`,
/// `moved_on`; `TooMany` `too_many_tries`; `Busy`.
pub async fn reset(
    app: &Arc<App>,
    caller: Caller,
    chosen: ChosenMember,
    shown: Option<StepUpProof>,
    from: ClientInfo,
) -> Result<Committed<u64>, Failure> {
    let app = Arc::clone(app);
    run_detached(async move {
        let _still = roles::lock_role_grants(&app, []).await?;
        let permit = Permit::authorize(&app, caller, [Right::edit(chosen.id.clone())]).await?;
        members::found(&app, permit.account(), &chosen.id).await?;
        let shown = match permit.caller() {
            Caller::Sidecar { .. } => None,
            Caller::Member(signed_in) => {
                let own = signed_in.record(&app).await?;
                // Before the password, which would not help.
                if !own.two_step {
                    return Err(own_factor_first());
                }
                let shown = shown.ok_or_else(own_password_missing)?;
                Some(check_own(&app, &own, &shown, &from).await?)
            }
            Caller::Token(_) => return Err(person_needed()),
        };
        let letter = new_notice(&app, "two-step")?;
        let (store, account) = (&app.store, &permit.account().clone());
        let (chosen, shown, letter) = (&chosen, &shown, &letter);
        let change = move |by| async move {
            let target = chosen.target(account);
            store.two_step_reset(&by, target, shown.clone(), letter.clone()).await
        };
        permit.run(&app, change).await
    })
    .await
}

/// Re-encrypts every secret with the newest key, so that older ones can be removed. Returns how
/// many, and how many could not be decrypted.
///
/// # Errors
/// `Busy`, when the disk fails.
pub async fn reseal(store: &Store, keys: &Keys) -> Result<(usize, usize), Failure> {
    let mut resealed = Vec::new();
    let mut unreadable = 0;
    for (id, account, factors) in store.sealed_factors().await? {
        let of: [&[u8]; 3] = [b"totp", account.as_str().as_bytes(), id.as_str().as_bytes()];
        let secrets =
            [factors.authenticator.map(|it| it.secret), factors.pending.map(|it| it.secret)];
        for before in secrets.into_iter().flatten() {
            match again(keys, &of, &before)? {
                ResealResult::Is(after) => {
                    resealed.push(ResealedSecret { member: id.clone(), before, after })
                }
                ResealResult::IsNew => {}
                ResealResult::Cannot => unreadable += 1,
            }
        }
    }
    let count = resealed.len();
    for some in resealed.chunks(limits::FORGOTTEN_AT_ONCE_MAX) {
        store.factors_reseal(some.to_vec()).await?;
    }
    Ok((count, unreadable))
}

/// The number of second-factor secrets that no key decrypts.
///
/// # Errors
/// `Busy`, when the disk fails.
pub async fn unreadable(store: &Store, keys: &Keys) -> Result<usize, Failure> {
    let mut unreadable = 0;
    for (id, account, factors) in store.sealed_factors().await? {
        let of: [&[u8]; 3] = [b"totp", account.as_str().as_bytes(), id.as_str().as_bytes()];
        let secrets =
            [factors.authenticator.map(|it| it.secret), factors.pending.map(|it| it.secret)];
        let closed = |secret: &Sealed| keys.unseal(&of, secret).is_none();
        unreadable += secrets.into_iter().flatten().filter(closed).count();
    }
    Ok(unreadable)
}

/// The result of re-encrypting a secret.
enum ResealResult {
    Is(Sealed),
    IsNew,
    Cannot,
}

fn again(keys: &Keys, of: &[&[u8]], sealed: &Sealed) -> Result<ResealResult, Failure> {
    match keys.unseal(of, sealed) {
        None => Ok(ResealResult::Cannot),
        Some(secret) if keys.is_old(sealed) => keys.seal(of, &secret).map(ResealResult::Is),
        Some(_) => Ok(ResealResult::IsNew),
    }
}

fn nothing_pending() -> Failure {
    Failure::new(
        Kind::Conflict,
        "not_set_up",
        "no authenticator app is being set up: start the set-up first",
    )
}
