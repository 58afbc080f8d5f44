//! Transitions of second factors: set up, confirm, switch off, reset.
//!
//! [`second_factor_check`] consumes what is shown. Has no key: sealed secrets stay sealed.

use redb::ReadableTable;

use super::member_rows::{self, MemberTables, OwnedTarget};
use super::running_change::{ChangeTransaction, TransactionEnd};
use super::tables::FACTORS;
use super::{
    Store, StoreError, account_rows, factor_rows, invariants, link_rows, password_rows,
    second_factor_check, session_rows,
};
use crate::clock;
use crate::domain::session::sign_in_refused;
use crate::domain::two_step::{
    Authenticator, PendingAuthenticator, RecoveryHash, TwoStepEvent, code_missing, own_factor_first,
};
use crate::domain::{
    AccountSlug, Actor, AuditEvent, ChangedRecord, Factors, Failure, FieldChange, Kind, Member,
    MemberId, Sealed, Session, Timestamp, TokenHash, limits,
};
use crate::store::preconditions::rights_changed;
use crate::store::records::two_step::decode_factors;
use crate::store::requests_and_views::mail_queue::NewMail;
use crate::store::requests_and_views::two_step::{
    ConfirmedAuthenticator, ConfirmedThrough, ResealedSecret, StepUp,
};
use crate::store::{Committed, MemberTarget, Preconditions};

impl Store {
    /// A member's second factors; empty if none was ever set up.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn factors(&self, member: &MemberId) -> Result<Factors, Failure> {
        let member = member.clone();
        self.read(move |tx| factor_rows::read(tx, &member)).await
    }

    /// Saves the secret of an authenticator app that is being set up. Replaces another pending one;
    /// the current app stays valid until the new one is confirmed.
    ///
    /// # Errors
    /// `Unauthenticated` `session_ended`, when the member is gone or suspended; `Denied`
    /// `wrong_code`, `code_missing`; `Conflict` `moved_on`; `Busy`.
    pub async fn two_step_begin(
        &self,
        target: MemberTarget<'_>,
        shown: StepUp,
        secret: Sealed,
        expires: Timestamp,
    ) -> Result<Committed<()>, Failure> {
        let target = OwnedTarget::from(target);
        self.write(&Actor::Member(target.id.clone()), move |change| {
            let member = invariants::signed_in(change, &target)?;
            password_rows::check(change, &member.id, shown.checked)?;
            let mut factors = factor_rows::read(change.tx, &member.id)?;
            let replaces = factors.authenticator.is_some();
            if replaces {
                second_factor_check::spend_proof(change, &member, &mut factors, shown.proof)?;
            }
            factors.pending = Some(PendingAuthenticator { secret, expires });
            factor_rows::put(change.tx, &member.id, &factors)?;
            // A used recovery code is in the audit log, and its mail is queued.
            Ok(if replaces { TransactionEnd::Changed(()) } else { TransactionEnd::Quietly(()) })
        })
        .await
    }

    /// Activates an authenticator app. Every other session ends, and the current one is replaced.
    /// Returns the number of others.
    ///
    /// # Errors
    /// `Unauthenticated` `session_ended`, `sign_in_refused`; `Denied` `wrong_code`; `Conflict`
    /// `not_set_up`, where nothing is pending; `Busy`.
    pub async fn two_step_confirm(
        &self,
        target: MemberTarget<'_>,
        confirmed: ConfirmedAuthenticator,
    ) -> Result<Committed<u64>, Failure> {
        let target = OwnedTarget::from(target);
        self.write(&Actor::Member(target.id.clone()), move |change| {
            let member = invariants::signed_in(change, &target)?;
            let mut factors = factor_rows::read(change.tx, &member.id)?;
            consume_proof(change, &member, &factors, confirmed.through)?;
            let pending = factors.pending.take().filter(|it| change.now < it.expires);
            if pending.is_none_or(|it| it.secret != confirmed.secret) {
                return Err(factor_rows::not_set_up().into());
            }
            let (secret, step) = (confirmed.secret, confirmed.step);
            let before =
                factors.authenticator.replace(Authenticator { secret, step, since: change.now });
            factors.recovery = confirmed.recovery;
            factors.failures = 0;
            factors.round = factors.round.saturating_add(1);
            factor_rows::put(change.tx, &member.id, &factors)?;
            let member = set_two_step(change, &member, true)?;
            let own = u64::from(matches!(confirmed.through, ConfirmedThrough::Session(_)));
            let others = renew(change, &member, own, &confirmed.session)?;
            let was = before.map(|before| {
                FieldChange::added(
                    "replaced",
                    format!("an app of {}", clock::rfc3339(before.since)),
                )
            });
            factor_rows::audit(change, &member, AuditEvent::TwoStepEnabled, was)?;
            if let ConfirmedThrough::Ticket { failures_before, .. } = confirmed.through {
                session_rows::audit_sign_in(
                    change,
                    &confirmed.session,
                    failures_before,
                    Some("authenticator"),
                )?;
            }
            factor_rows::tell(change, &member, TwoStepEvent::On, confirmed.letter)?;
            Ok(TransactionEnd::Changed(others))
        })
        .await
    }

    /// Turns a member's own factor off. Every other session ends, and the current one gets a new
    /// token. Returns the number of others.
    ///
    /// # Errors
    /// `Unauthenticated` `session_ended`; `Denied` `wrong_code`, `code_missing`; `Conflict`
    /// `not_set_up`, `two_step_enforced`, `moved_on`; `Busy`.
    pub async fn two_step_off(
        &self,
        target: MemberTarget<'_>,
        shown: StepUp,
        renewed: (TokenHash, Session),
        letter: Option<NewMail>,
    ) -> Result<Committed<u64>, Failure> {
        let target = OwnedTarget::from(target);
        self.write(&Actor::Member(target.id.clone()), move |change| {
            let member = invariants::signed_in(change, &target)?;
            if !member.two_step {
                return Err(factor_rows::not_set_up().into());
            }
            if account_rows::asks_two_step(change.tx, &member.account)? {
                return Err(enforced().into());
            }
            let (token, next) = renewed;
            session_rows::need_own(change, &member.id, &token)?;
            second_factor_check::step_up(change, &member, shown)?;
            factor_rows::take_away(change, &member.id)?;
            let member = set_two_step(change, &member, false)?;
            let others = renew(change, &member, 1, &next)?;
            let count = FieldChange::added("sessions_ended", others.to_string());
            factor_rows::audit(change, &member, AuditEvent::TwoStepDisabled, Some(count))?;
            factor_rows::tell(change, &member, TwoStepEvent::Off, letter)?;
            Ok(TransactionEnd::Changed(others))
        })
        .await
    }

    /// Replaces a member's own recovery codes.
    ///
    /// # Errors
    /// As [`Self::two_step_off`], but for `two_step_enforced`.
    pub async fn recovery_codes(
        &self,
        target: MemberTarget<'_>,
        shown: StepUp,
        recovery: Vec<RecoveryHash>,
        letter: Option<NewMail>,
    ) -> Result<Committed<()>, Failure> {
        let target = OwnedTarget::from(target);
        self.write(&Actor::Member(target.id.clone()), move |change| {
            let member = invariants::signed_in(change, &target)?;
            if !member.two_step {
                return Err(factor_rows::not_set_up().into());
            }
            second_factor_check::step_up(change, &member, shown)?;
            let mut factors = factor_rows::read(change.tx, &member.id)?;
            let unused = FieldChange::added("unused", factors.recovery.len().to_string());
            factors.recovery = recovery;
            factor_rows::put(change.tx, &member.id, &factors)?;
            factor_rows::audit(change, &member, AuditEvent::RecoveryCodesCreated, Some(unused))?;
            factor_rows::tell(change, &member, TwoStepEvent::NewCodes, letter)?;
            Ok(TransactionEnd::Changed(()))
        })
        .await
    }

    /// Resets all factors of another member, and ends the sessions. A member who does it presents
    /// the own factor. Returns the number of sessions.
    ///
    /// # Errors
    /// `NotFound` `unknown_member`; `Stale`; `Denied` `wrong_code`, `code_missing`; `Conflict`
    /// `own_factor`, `not_set_up`, `moved_on`; `Busy`.
    pub async fn two_step_reset(
        &self,
        by: &Preconditions,
        target: MemberTarget<'_>,
        shown: Option<StepUp>,
        letter: Option<NewMail>,
    ) -> Result<Committed<u64>, Failure> {
        let (by, target) = (by.clone(), OwnedTarget::from(target));
        self.write(&by.actor.clone(), move |change| {
            invariants::preconditions(change, &by, &target.account)?;
            let member = member_rows::find_target(change, &target)?;
            if let Some(actor) = by.actor.member() {
                if *actor == member.id {
                    return Err(own_factor().into());
                }
                prove_own_factor(change, actor, shown)?;
            }
            if !member.two_step {
                return Err(nothing_to_reset(&member).into());
            }
            factor_rows::take_away(change, &member.id)?;
            let member = set_two_step(change, &member, false)?;
            let ended = session_rows::end_all(change, &member.id)?;
            // With a pending password link, somebody else could now sign in.
            link_rows::end_all(change, &member.id)?;
            let count = FieldChange::added("sessions_ended", ended.to_string());
            factor_rows::audit(change, &member, AuditEvent::TwoStepReset, Some(count))?;
            factor_rows::tell(change, &member, TwoStepEvent::Reset, letter)?;
            Ok(TransactionEnd::Changed(ended))
        })
        .await
    }

    /// Counts a wrong code after a correct password; returns the number in a row. The letter is
    /// sent at the count [`crate::domain::limits::CODE_FAILURES_TOLD`].
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn code_failed(
        &self,
        member: &Member,
        letter: Option<NewMail>,
    ) -> Result<Committed<u32>, Failure> {
        let member = member.clone();
        self.write(&Actor::System, move |change| {
            let known = member_rows::read(change.tx, member.id.as_str())?;
            let mut factors = factor_rows::read(change.tx, &member.id)?;
            if known.is_none() || factors.authenticator.is_none() {
                return Ok(TransactionEnd::AsItWas(0));
            }
            factors.failures = factors.failures.saturating_add(1);
            factor_rows::put(change.tx, &member.id, &factors)?;
            let failures = factors.failures;
            if failures != limits::CODE_FAILURES_TOLD {
                return Ok(TransactionEnd::Quietly(failures));
            }
            let count = FieldChange::added("wrong_codes", failures.to_string());
            factor_rows::audit(change, &member, AuditEvent::AuthnLoginLock, Some(count))?;
            factor_rows::tell(change, &member, TwoStepEvent::Guessed, letter)?;
            Ok(TransactionEnd::Changed(failures))
        })
        .await
    }

    /// Every member with an encrypted secret, with the account.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn sealed_factors(&self) -> Result<Vec<(MemberId, AccountSlug, Factors)>, Failure> {
        self.read(|tx| {
            let mut found = Vec::new();
            for row in tx.open_table(FACTORS)?.iter()? {
                let (id, bytes) = row?;
                let factors = decode_factors(bytes.value())?;
                let member = member_rows::read(tx, id.value())?;
                found.extend(member.map(|member| (member.id, member.account, factors)));
            }
            Ok(found)
        })
        .await
    }

    /// Replaces secrets by re-encrypted ones, if they are unchanged. No revision: subscribers do
    /// not see them.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn factors_reseal(
        &self,
        resealed: Vec<ResealedSecret>,
    ) -> Result<Committed<()>, Failure> {
        self.write(&Actor::System, move |change| {
            for ResealedSecret { member, before, after } in resealed {
                let mut factors = factor_rows::read(change.tx, &member)?;
                if let Some(it) = factors.authenticator.as_mut().filter(|it| it.secret == before) {
                    it.secret = after.clone();
                }
                if let Some(it) = factors.pending.as_mut().filter(|it| it.secret == before) {
                    it.secret = after;
                }
                if factors != Factors::default() {
                    factor_rows::put(change.tx, &member, &factors)?;
                }
            }
            Ok(TransactionEnd::Quietly(()))
        })
        .await
    }
}

/// An administrator who resets another member's factor must have one, and present it.
fn prove_own_factor(
    change: &mut ChangeTransaction<'_>,
    actor: &MemberId,
    shown: Option<StepUp>,
) -> Result<(), StoreError> {
    let member = member_rows::read(change.tx, actor.as_str())?.ok_or_else(rights_changed)?;
    if !member.two_step {
        return Err(own_factor_first().into());
    }
    let shown = shown.ok_or_else(code_missing)?;
    second_factor_check::step_up(change, &member, shown)
}

/// Requires that a member who confirms a new factor has a session, or has given the password on an
/// account that requires a factor and there is none yet.
fn consume_proof(
    change: &ChangeTransaction<'_>,
    member: &Member,
    factors: &Factors,
    through: ConfirmedThrough,
) -> Result<(), StoreError> {
    match through {
        ConfirmedThrough::Session(token) => {
            session_rows::need_own(change, &member.id, &token)?;
            Ok(())
        }
        ConfirmedThrough::Ticket { checked, round, .. } => {
            password_rows::check(change, &member.id, checked).map_err(|_| sign_in_refused())?;
            // A member with a factor signs in with it.
            if factors.authenticator.is_some() || round != factors.round {
                return Err(sign_in_refused().into());
            }
            Ok(())
        }
    }
}

/// Ends every session of a member, and begins one that replaces the `own` ones; returns the number
/// of others.
fn renew(
    change: &mut ChangeTransaction<'_>,
    member: &Member,
    own: u64,
    next: &Session,
) -> Result<u64, StoreError> {
    let ended = session_rows::end_all(change, &member.id)?.saturating_sub(own);
    link_rows::end_all(change, &member.id)?;
    session_rows::begin(change, next)?;
    Ok(ended)
}

/// The member's record says whether there is a factor: decisions and lists read it there.
fn set_two_step(
    change: &mut ChangeTransaction<'_>,
    before: &Member,
    two_step: bool,
) -> Result<Member, StoreError> {
    if before.two_step == two_step {
        return Ok(before.clone());
    }
    let after = Member { two_step, version: before.version.next(), ..before.clone() };
    MemberTables::open(change)?.put(change, Some(before), &after)?;
    change.tell(ChangedRecord::Member(after.clone()));
    Ok(after)
}

fn enforced() -> Failure {
    Failure::new(
        Kind::Conflict,
        "two_step_enforced",
        "this account requires two-step verification, so it cannot be turned off: set up another authenticator app instead, or have an administrator change the account's settings",
    )
}

fn own_factor() -> Failure {
    Failure::new(
        Kind::Conflict,
        "own_factor",
        "you cannot reset your own second factor: use a recovery code, or ask another administrator",
    )
}

/// The refusal to take away what another member does not have.
fn nothing_to_reset(member: &Member) -> Failure {
    Failure::new(
        Kind::Conflict,
        "not_set_up",
        format!("{} has no two-step verification: nothing was changed", member.full_name()),
    )
}
