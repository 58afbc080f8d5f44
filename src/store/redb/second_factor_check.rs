//! Checks and consumes what somebody shows beside the password.
//!
//! Whatever begins or keeps a session comes through [`need`] or [`step_up`]: there is no other way
//! to a session, and neither bypasses a factor.

use super::running_change::ChangeTransaction;
use super::{StoreError, account_rows, factor_rows, password_rows};
use crate::domain::passkey::wrong_passkey;
use crate::domain::session::sign_in_refused;
use crate::domain::two_step::{TwoStepEvent, code_missing, set_up_first, wrong_code};
use crate::domain::{AuditEvent, Factors, FieldChange, Member};
use crate::store::requests_and_views::two_step::{SecondFactorProof, StepUp};

/// Requires the second factor of a sign-in before its session begins. If the account requires one
/// and the member has none, there is no session. Returns the factor.
pub(super) fn need(
    change: &mut ChangeTransaction<'_>,
    member: &Member,
    proof: Option<SecondFactorProof>,
    round: Option<u64>,
) -> Result<Option<&'static str>, StoreError> {
    let mut factors = factor_rows::read(change.tx, &member.id)?;
    if factors.authenticator.is_none() {
        return if account_rows::asks_two_step(change.tx, &member.account)? {
            Err(set_up_first().into())
        } else {
            Ok(None)
        };
    }
    if proof.is_some() && round != Some(factors.round) {
        return Err(sign_in_refused().into());
    }
    let named = match &proof {
        Some(SecondFactorProof::Recovery { .. }) => "recovery code",
        Some(SecondFactorProof::Passkey { .. }) => "passkey",
        Some(SecondFactorProof::Step { .. }) | None => "authenticator",
    };
    spend_proof(change, member, &mut factors, proof)?;
    Ok(Some(named))
}

/// Requires re-authentication before a change of how a member signs in.
pub(super) fn step_up(
    change: &mut ChangeTransaction<'_>,
    member: &Member,
    shown: StepUp,
) -> Result<(), StoreError> {
    password_rows::check(change, &member.id, shown.checked)?;
    need(change, member, shown.proof, Some(factor_rows::read(change.tx, &member.id)?.round))
        .map(|_| ())
}

/// Consumes a proof. With two concurrent requests, one code is accepted once.
pub(super) fn spend_proof(
    change: &mut ChangeTransaction<'_>,
    member: &Member,
    factors: &mut Factors,
    proof: Option<SecondFactorProof>,
) -> Result<(), StoreError> {
    factors.may_try()?;
    match proof.ok_or_else(code_missing)? {
        SecondFactorProof::Step { secret, step } => {
            let app = factors.authenticator.as_mut();
            let app = app.filter(|app| app.secret == secret && app.step < step);
            app.ok_or_else(wrong_code)?.step = step;
        }
        SecondFactorProof::Recovery { hash, letter } => {
            let place = factors.recovery.iter().position(|known| *known == hash);
            factors.recovery.remove(place.ok_or_else(wrong_code)?);
            let unused = FieldChange::added("unused", factors.recovery.len().to_string());
            factor_rows::audit(change, member, AuditEvent::RecoveryCodeUsed, Some(unused))?;
            factor_rows::tell(change, member, TwoStepEvent::CodeUsed, letter)?;
        }
        SecondFactorProof::Passkey { id, before, after } => {
            let known = factors.passkeys.iter_mut();
            let mut known = known.filter(|it| it.id == id && it.credential == before);
            let passkey = known.next().ok_or_else(wrong_passkey)?;
            passkey.credential = after;
            passkey.used = Some(change.now);
        }
    }
    factors.failures = 0;
    factors.round = factors.round.saturating_add(1);
    factor_rows::put(change.tx, &member.id, factors)
}
