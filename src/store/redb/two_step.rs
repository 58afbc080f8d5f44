//! Second factors in the embedded backend.
//!
//! Everything that begins or extends a session calls [`need`] or [`step_up`]: there is no other way
//! to a session, and none bypasses a second factor. Has no key: secrets stay encrypted.

use redb::{ReadableTable, WriteTransaction};

use super::letters::{self, Outgoing};
use super::members::{self, OwnedTarget, Tables};
use super::rows::Rows;
use super::transition::{Ends, Transition};
use super::{FACTORS, Fault, RedbStore, accounts, guards, links, passkeys, sessions};
use crate::clock;
use crate::domain::passkey::wrong_passkey;
use crate::domain::session::{ended, sign_in_refused};
use crate::domain::two_step::{
    Authenticator, Pending, RecoveryHash, TwoStepNews, code_missing, set_up_first, wrong_code,
};
use crate::domain::{
    AccountSlug, Actor, AuditDetail, AuditEvent, Factors, Failure, Kind, LetterKind, Member,
    MemberId, Row, Sealed, Session, Status, Timestamp, TokenHash, limits,
};
use crate::store::by::moved_on;
use crate::store::letters::NewLetter;
use crate::store::record::two_step::{decode_factors, encode_factors};
use crate::store::two_step::{Checked, Confirmed, Proof, Resealed, StepUp, Through};
use crate::store::{By, Committed, Target};

impl RedbStore {
    pub(in crate::store) async fn factors(&self, member: &MemberId) -> Result<Factors, Failure> {
        let member = member.clone();
        self.read(move |tx| read(tx, &member)).await
    }

    pub(in crate::store) async fn two_step_begin(
        &self,
        target: Target<'_>,
        shown: StepUp,
        secret: Sealed,
        expires: Timestamp,
    ) -> Result<Committed<()>, Failure> {
        let target = OwnedTarget::from(target);
        self.write(&Actor::Member(target.id.clone()), move |change| {
            let member = acting(change, &target)?;
            check_password(change, &member.id, shown.checked)?;
            let mut factors = read(change.tx, &member.id)?;
            let replaces = factors.authenticator.is_some();
            if replaces {
                spend(change, &member, &mut factors, shown.proof)?;
            }
            factors.pending = Some(Pending { secret, expires });
            put(change.tx, &member.id, &factors)?;
            // A used recovery code is in the audit log, and its mail is queued.
            Ok(if replaces { Ends::Changed(()) } else { Ends::Quietly(()) })
        })
        .await
    }

    pub(in crate::store) async fn two_step_confirm(
        &self,
        target: Target<'_>,
        confirmed: Confirmed,
    ) -> Result<Committed<u64>, Failure> {
        let target = OwnedTarget::from(target);
        self.write(&Actor::Member(target.id.clone()), move |change| {
            let member = acting(change, &target)?;
            let mut factors = read(change.tx, &member.id)?;
            come_through(change, &member, &factors, confirmed.through)?;
            let pending = factors.pending.take().filter(|it| change.now < it.expires);
            if pending.is_none_or(|it| it.secret != confirmed.secret) {
                return Err(not_set_up().into());
            }
            let (secret, step) = (confirmed.secret, confirmed.step);
            let before =
                factors.authenticator.replace(Authenticator { secret, step, since: change.now });
            factors.recovery = confirmed.recovery;
            factors.failures = 0;
            factors.round = factors.round.saturating_add(1);
            put(change.tx, &member.id, &factors)?;
            let member = set_two_step(change, &member, true)?;
            let own = u64::from(matches!(confirmed.through, Through::Session(_)));
            let others = renew(change, &member, own, &confirmed.session)?;
            let was = before.map(|before| format!("an app of {}", clock::rfc3339(before.since)));
            audit(change, &member, AuditEvent::TwoStepEnabled, ("replaced", was))?;
            if let Through::Ticket { failures_before, .. } = confirmed.through {
                sessions::audit_sign_in(
                    change,
                    &confirmed.session,
                    failures_before,
                    Some("authenticator"),
                )?;
            }
            tell(change, &member, TwoStepNews::On, confirmed.letter)?;
            Ok(Ends::Changed(others))
        })
        .await
    }

    pub(in crate::store) async fn two_step_off(
        &self,
        target: Target<'_>,
        shown: StepUp,
        renewed: (TokenHash, Session),
        letter: Option<NewLetter>,
    ) -> Result<Committed<u64>, Failure> {
        let target = OwnedTarget::from(target);
        self.write(&Actor::Member(target.id.clone()), move |change| {
            let member = acting(change, &target)?;
            if !member.two_step {
                return Err(not_set_up().into());
            }
            if accounts::asks_two_step(change.tx, &member.account)? {
                return Err(enforced().into());
            }
            let (token, next) = renewed;
            sessions::need_own(change, &member.id, &token)?;
            step_up(change, &member, shown)?;
            take_away(change, &member.id)?;
            let member = set_two_step(change, &member, false)?;
            let others = renew(change, &member, 1, &next)?;
            let count = Some(others.to_string());
            audit(change, &member, AuditEvent::TwoStepDisabled, ("sessions_ended", count))?;
            tell(change, &member, TwoStepNews::Off, letter)?;
            Ok(Ends::Changed(others))
        })
        .await
    }

    pub(in crate::store) async fn recovery_codes(
        &self,
        target: Target<'_>,
        shown: StepUp,
        recovery: Vec<RecoveryHash>,
        letter: Option<NewLetter>,
    ) -> Result<Committed<()>, Failure> {
        let target = OwnedTarget::from(target);
        self.write(&Actor::Member(target.id.clone()), move |change| {
            let member = acting(change, &target)?;
            if !member.two_step {
                return Err(not_set_up().into());
            }
            step_up(change, &member, shown)?;
            let mut factors = read(change.tx, &member.id)?;
            let left = factors.recovery.len().to_string();
            factors.recovery = recovery;
            put(change.tx, &member.id, &factors)?;
            audit(change, &member, AuditEvent::RecoveryCodesCreated, ("unused", Some(left)))?;
            tell(change, &member, TwoStepNews::NewCodes, letter)?;
            Ok(Ends::Changed(()))
        })
        .await
    }

    pub(in crate::store) async fn two_step_reset(
        &self,
        by: &By,
        target: Target<'_>,
        shown: Option<StepUp>,
        letter: Option<NewLetter>,
    ) -> Result<Committed<u64>, Failure> {
        let (by, target) = (by.clone(), OwnedTarget::from(target));
        self.write(&by.actor.clone(), move |change| {
            guards::by(change, &by, &target.account)?;
            let member = members::find(change, &target)?;
            if let Some(actor) = by.actor.member() {
                if *actor == member.id {
                    return Err(own_factor().into());
                }
                show_own(change, actor, shown)?;
            }
            if !member.two_step {
                return Err(not_set_up().into());
            }
            take_away(change, &member.id)?;
            let member = set_two_step(change, &member, false)?;
            let ended = sessions::end_all(change, &member.id)?;
            // With a pending password link, somebody else could now sign in.
            links::end_all(change, &member.id)?;
            let count = Some(ended.to_string());
            audit(change, &member, AuditEvent::TwoStepReset, ("sessions_ended", count))?;
            tell(change, &member, TwoStepNews::Reset, letter)?;
            Ok(Ends::Changed(ended))
        })
        .await
    }

    pub(in crate::store) async fn code_failed(
        &self,
        member: &Member,
        letter: Option<NewLetter>,
    ) -> Result<Committed<u32>, Failure> {
        let member = member.clone();
        self.write(&Actor::System, move |change| {
            let known = members::read(change.tx, member.id.as_str())?;
            let mut factors = read(change.tx, &member.id)?;
            if known.is_none() || factors.authenticator.is_none() {
                return Ok(Ends::AsItWas(0));
            }
            factors.failures = factors.failures.saturating_add(1);
            put(change.tx, &member.id, &factors)?;
            let failures = factors.failures;
            if failures != limits::CODE_FAILURES_TOLD {
                return Ok(Ends::Quietly(failures));
            }
            let count = Some(failures.to_string());
            audit(change, &member, AuditEvent::AuthnLoginLock, ("wrong_codes", count))?;
            tell(change, &member, TwoStepNews::Guessed, letter)?;
            Ok(Ends::Changed(failures))
        })
        .await
    }

    pub(in crate::store) async fn sealed_factors(
        &self,
    ) -> Result<Vec<(MemberId, AccountSlug, Factors)>, Failure> {
        self.read(|tx| {
            let mut found = Vec::new();
            for row in tx.open_table(FACTORS)?.iter()? {
                let (id, bytes) = row?;
                let factors = decode_factors(bytes.value())?;
                let member = members::read(tx, id.value())?;
                found.extend(member.map(|member| (member.id, member.account, factors)));
            }
            Ok(found)
        })
        .await
    }

    pub(in crate::store) async fn factors_reseal(
        &self,
        resealed: Vec<Resealed>,
    ) -> Result<Committed<()>, Failure> {
        self.write(&Actor::System, move |change| {
            for Resealed { member, before, after } in resealed {
                let mut factors = read(change.tx, &member)?;
                if let Some(it) = factors.authenticator.as_mut().filter(|it| it.secret == before) {
                    it.secret = after.clone();
                }
                if let Some(it) = factors.pending.as_mut().filter(|it| it.secret == before) {
                    it.secret = after;
                }
                if factors != Factors::default() {
                    put(change.tx, &member, &factors)?;
                }
            }
            Ok(Ends::Quietly(()))
        })
        .await
    }
}

/// Requires the second factor of a sign-in before its session begins. If the account requires one
/// and the member has none, there is no session. Returns the factor.
pub(super) fn need(
    change: &mut Transition<'_>,
    member: &Member,
    proof: Option<Proof>,
    round: Option<u64>,
) -> Result<Option<&'static str>, Fault> {
    let mut factors = read(change.tx, &member.id)?;
    if factors.authenticator.is_none() {
        return match accounts::asks_two_step(change.tx, &member.account)? {
            true => Err(set_up_first().into()),
            false => Ok(None),
        };
    }
    if proof.is_some() && round != Some(factors.round) {
        return Err(sign_in_refused().into());
    }
    let named = match &proof {
        Some(Proof::Recovery { .. }) => "recovery code",
        Some(Proof::Passkey { .. }) => "passkey",
        Some(Proof::Step { .. }) | None => "authenticator",
    };
    spend(change, member, &mut factors, proof)?;
    Ok(Some(named))
}

/// Requires re-authentication before a change of how a member signs in.
pub(super) fn step_up(
    change: &mut Transition<'_>,
    member: &Member,
    shown: StepUp,
) -> Result<(), Fault> {
    check_password(change, &member.id, shown.checked)?;
    need(change, member, shown.proof, Some(read(change.tx, &member.id)?.round)).map(|_| ())
}

/// An administrator who resets another member's factor must have one, and present it.
fn show_own(
    change: &mut Transition<'_>,
    actor: &MemberId,
    shown: Option<StepUp>,
) -> Result<(), Fault> {
    let member = members::read(change.tx, actor.as_str())?.ok_or_else(moved_on)?;
    if !member.two_step {
        return Err(own_factor_first().into());
    }
    let shown = shown.ok_or_else(code_missing)?;
    step_up(change, &member, shown)
}

/// Consumes a proof. With two concurrent requests, one code is accepted once.
fn spend(
    change: &mut Transition<'_>,
    member: &Member,
    factors: &mut Factors,
    proof: Option<Proof>,
) -> Result<(), Fault> {
    factors.may_try()?;
    match proof.ok_or_else(code_missing)? {
        Proof::Step { secret, step } => {
            let app = factors.authenticator.as_mut();
            let app = app.filter(|app| app.secret == secret && app.step < step);
            app.ok_or_else(wrong_code)?.step = step;
        }
        Proof::Recovery { hash, letter } => {
            let place = factors.recovery.iter().position(|known| *known == hash);
            factors.recovery.remove(place.ok_or_else(wrong_code)?);
            let left = factors.recovery.len().to_string();
            audit(change, member, AuditEvent::RecoveryCodeUsed, ("unused", Some(left)))?;
            tell(change, member, TwoStepNews::CodeUsed, letter)?;
        }
        Proof::Passkey { id, before, after } => {
            let known = factors.passkeys.iter_mut();
            let mut known = known.filter(|it| it.id == id && it.credential == before);
            let passkey = known.next().ok_or_else(wrong_passkey)?;
            passkey.credential = after;
            passkey.used = Some(change.now);
        }
    }
    factors.failures = 0;
    factors.round = factors.round.saturating_add(1);
    put(change.tx, &member.id, factors)
}

/// Requires that a member who confirms a new factor has a session, or has given the password on an
/// account that requires a factor and there is none yet.
fn come_through(
    change: &Transition<'_>,
    member: &Member,
    factors: &Factors,
    through: Through,
) -> Result<(), Fault> {
    match through {
        Through::Session(token) => {
            sessions::need_own(change, &member.id, &token)?;
            Ok(())
        }
        Through::Ticket { checked, round, .. } => {
            check_password(change, &member.id, checked).map_err(|_| sign_in_refused())?;
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
    change: &mut Transition<'_>,
    member: &Member,
    own: u64,
    next: &Session,
) -> Result<u64, Fault> {
    let ended = sessions::end_all(change, &member.id)?.saturating_sub(own);
    links::end_all(change, &member.id)?;
    sessions::begin(change, next)?;
    Ok(ended)
}

fn check_password(
    change: &Transition<'_>,
    member: &MemberId,
    checked: Checked,
) -> Result<(), Fault> {
    let found = sessions::read_credential(change.tx, member)?;
    let same = found.is_some_and(|found| Checked::of(&found.password) == checked);
    if same { Ok(()) } else { Err(moved_on().into()) }
}

pub(super) fn acting(change: &Transition<'_>, target: &OwnedTarget) -> Result<Member, Fault> {
    let found = members::read(change.tx, target.id.as_str())?;
    let found =
        found.filter(|member| member.account == target.account && member.status == Status::Active);
    Ok(found.ok_or_else(ended)?)
}

/// The member's record says whether there is a factor: decisions and lists read it there.
fn set_two_step(
    change: &mut Transition<'_>,
    before: &Member,
    two_step: bool,
) -> Result<Member, Fault> {
    if before.two_step == two_step {
        return Ok(before.clone());
    }
    let after = Member { two_step, version: before.version.next(), ..before.clone() };
    Tables::open(change)?.put(change, Some(before), &after)?;
    change.tell(Row::Member(after.clone()));
    Ok(after)
}

pub(super) fn read(rows: &impl Rows, member: &MemberId) -> Result<Factors, Fault> {
    Ok(rows.record(FACTORS, member.as_str(), decode_factors)?.unwrap_or_default())
}

pub(super) fn put(
    tx: &WriteTransaction,
    member: &MemberId,
    factors: &Factors,
) -> Result<(), Fault> {
    tx.open_table(FACTORS)?.insert(member.as_str(), encode_factors(factors).as_slice())?;
    Ok(())
}

/// Deletes a member's factors; the round stays and increases, so that old tickets stay invalid.
fn take_away(change: &Transition<'_>, member: &MemberId) -> Result<(), Fault> {
    let factors = read(change.tx, member)?;
    passkeys::release(change.tx, &factors)?;
    let round = factors.round.saturating_add(1);
    put(change.tx, member, &Factors { round, ..Factors::default() })
}

/// Deletes the factors of a removed member.
pub(super) fn forget(change: &Transition<'_>, member: &MemberId) -> Result<(), Fault> {
    passkeys::release(change.tx, &read(change.tx, member)?)?;
    change.tx.open_table(FACTORS)?.remove(member.as_str())?;
    Ok(())
}

/// A password reset by mail proves the owner's presence: the counter of wrong codes starts again.
pub(super) fn forgive(change: &Transition<'_>, member: &MemberId) -> Result<(), Fault> {
    let factors = read(change.tx, member)?;
    if factors.failures > 0 {
        put(change.tx, member, &Factors { failures: 0, ..factors })?;
    }
    Ok(())
}

pub(super) fn tell(
    change: &mut Transition<'_>,
    member: &Member,
    news: TwoStepNews,
    letter: Option<NewLetter>,
) -> Result<(), Fault> {
    let Some(new) = letter else { return Ok(()) };
    let out = Outgoing {
        account: member.account.clone(),
        kind: LetterKind::TwoStep { member: member.id.clone(), news },
        subject: member.id.as_str().to_owned(),
        to: member.email.clone(),
        to_name: member.full_name(),
        new,
    };
    letters::queue(change, out).map(|_| ())
}

pub(super) fn audit(
    change: &Transition<'_>,
    member: &Member,
    event: AuditEvent,
    (name, value): (&str, Option<String>),
) -> Result<(), Fault> {
    let fields = value.map(|value| (name.to_owned(), None, Some(value))).into_iter().collect();
    change.audit(member.account.as_str(), event, member.id.as_str(), AuditDetail { fields })
}

pub(super) fn not_set_up() -> Failure {
    Failure::new(
        Kind::Conflict,
        "not_set_up",
        "two-step verification is not set up, or setting it up took too long: start the set-up again",
    )
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

fn own_factor_first() -> Failure {
    Failure::new(
        Kind::Conflict,
        "own_factor_first",
        "resetting somebody's two-step verification needs your own second factor: set up two-step verification for yourself first",
    )
}
