//! Re-authentication before sensitive changes: the password, and the second factor if the member
//! has one.
//!
//! Rate-limited like a sign-in, by the same counter. Codes are consumed by the transaction, not
//! here.

use std::sync::Arc;

use super::client_info::ClientInfo;
use super::notice_letters::new_notice;
use super::sign_in_log_lines::log_failed_sign_in;
use crate::app::App;
use crate::domain::two_step::{
    Code, WRONG_CODE, clock_off, clock_went_back, code_missing, wrong_code,
};
use crate::domain::{Factors, Failure, Kind, Member, Sealed, session};
use crate::password::Password;
use crate::store::requests_and_views::two_step::{CheckedPassword, SecondFactorProof, StepUp};
use crate::throttle::{AdmittedAttempt, LoginKey};
use crate::totp::{self, SearchWindow};

/// What a signed-in member presents. Never printed.
#[derive(Clone)]
pub struct StepUpProof {
    /// The password as typed.
    pub password: String,
    /// A code of the authenticator app, or a recovery code; not needed without a second factor.
    pub code: Option<String>,
}

impl StepUpProof {
    /// Only the password, without a second factor.
    #[must_use]
    pub fn password(password: &str) -> Self {
        Self { password: password.to_owned(), code: None }
    }
}

/// Verifies what a member presents.
///
/// # Errors
/// `Denied` `wrong_password`, `wrong_code`, `code_missing`, `codes_locked`; `TooMany`
/// `too_many_tries`; `Conflict` `factor_unreadable`; `Unauthenticated` `session_ended`; `Busy`.
pub(super) async fn check_own(
    app: &Arc<App>,
    member: &Member,
    shown: &StepUpProof,
    from: &ClientInfo,
) -> Result<StepUp, Failure> {
    let login = LoginKey::new(&member.account, &member.email);
    let admitted = app.throttle.admit(login, from.spot(), app.clock.now())?;
    let credential = app.store.credential(&member.id).await?.ok_or_else(session::ended)?;
    let matches = match Password::parse(&shown.password) {
        Ok(password) => app.hasher.verify(&password, &credential.password).await?.matches,
        Err(_) => false,
    };
    if !matches {
        let failures = admitted.failed(app.clock.now());
        log_failed_sign_in(app, &member.account, &member.email, from, failures);
        return Err(wrong_password());
    }
    let checked = CheckedPassword::of(&credential.password);
    let factors = app.store.factors(&member.id).await?;
    if factors.authenticator.is_none() {
        admitted.succeeded(app.clock.now());
        return Ok(StepUp { checked, proof: None });
    }
    let code = shown.code.as_deref().ok_or_else(code_missing)?;
    let (proof, _) = check_code(app, member, &factors, code, admitted).await?;
    Ok(StepUp { checked, proof: Some(proof) })
}

/// Checks a code of a member with a second factor. A wrong one counts with wrong passwords, and
/// also in a permanent counter, since the one who entered it knows the password. Returns also the
/// number of earlier failures.
///
/// # Errors
/// `Denied` `wrong_code`, `codes_locked`; `Conflict` `factor_unreadable`; `Busy`.
pub(super) async fn check_code(
    app: &App,
    member: &Member,
    factors: &Factors,
    code: &str,
    admitted: AdmittedAttempt,
) -> Result<(SecondFactorProof, u32), Failure> {
    factors.may_try()?;
    match proof_of(app, member, factors, code) {
        Ok(proof) => Ok((proof, admitted.succeeded(app.clock.now()))),
        Err(failure) if failure.code == WRONG_CODE => {
            count_failure(app, member, admitted).await?;
            Err(failure)
        }
        Err(failure) => Err(failure),
    }
}

/// Counts a wrong code, or a wrong response of a passkey, after a correct password.
pub(super) async fn count_failure(
    app: &App,
    member: &Member,
    admitted: AdmittedAttempt,
) -> Result<(), Failure> {
    let failures = admitted.failed(app.clock.now());
    let (id, account) = (&member.id, &member.account);
    tracing::warn!(event = "authn_login_fail", member = %id, %account, failures, "a second factor was refused");
    app.store.code_failed(member, new_notice(app, "two-step")?).await.map(|_| ())
}

/// What a code proves. Whether it was used is checked here and again in the transaction.
fn proof_of(
    app: &App,
    member: &Member,
    factors: &Factors,
    code: &str,
) -> Result<SecondFactorProof, Failure> {
    match Code::parse(code)? {
        Code::Recovery(code) => {
            let hash = code.hash();
            if !factors.recovery.contains(&hash) {
                return Err(wrong_code());
            }
            Ok(SecondFactorProof::Recovery { hash, letter: new_notice(app, "two-step")? })
        }
        Code::Digits(digits) => {
            let it = factors.authenticator.as_ref().ok_or_else(wrong_code)?;
            let secret = unsealed(app, member, &it.secret)?;
            let now = app.clock.now();
            match totp::step_of(&secret, &digits, now) {
                Some(step) if step > it.step => {
                    Ok(SecondFactorProof::Step { secret: it.secret.clone(), step })
                }
                // A used step can only be in the future if the clock went back.
                Some(_) => {
                    Err(totp::minutes_ahead(it.step, now).map_or_else(wrong_code, clock_went_back))
                }
                // Only for codes of the past: a hint about future ones would help an attacker who
                // guesses.
                None => {
                    let off = totp::minutes_off(&secret, &digits, now, SearchWindow::Before);
                    Err(off.map_or_else(wrong_code, clock_off))
                }
            }
        }
    }
}

/// The encryption purpose of the secret of a member's authenticator app.
pub(super) fn purpose(member: &Member) -> [&[u8]; 3] {
    [b"totp", member.account.as_str().as_bytes(), member.id.as_str().as_bytes()]
}

/// The decrypted secret of an authenticator app.
pub(super) fn unsealed(app: &App, member: &Member, sealed: &Sealed) -> Result<Vec<u8>, Failure> {
    app.keys.unseal(&purpose(member), sealed).ok_or_else(|| {
        Failure::new(
            Kind::Conflict,
            "factor_unreadable",
            "codes of your authenticator app cannot be checked at present: use a recovery code, or ask an administrator to reset your two-step verification",
        )
        .logged("the key for its secret is missing, as after a restore without the folder `keys`")
    })
}

fn wrong_password() -> Failure {
    Failure {
        kind: Kind::Denied,
        code: "wrong_password",
        ..Failure::invalid("password", "this is not your current password: type it again")
    }
}

/// The refusal of a missing proof.
pub(super) fn own_password_missing() -> Failure {
    Failure {
        kind: Kind::Denied,
        code: "password_missing",
        ..Failure::invalid(
            "password",
            "confirm that it is you: give your own `password`, and `code` where you have a second factor",
        )
    }
}
