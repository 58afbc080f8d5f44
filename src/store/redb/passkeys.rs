//! Transitions of passkeys: add, remove, mark as copied.
//!
//! A credential belongs to one member of the whole store, and only while that member has an
//! authenticator app. Contains no cryptography.

use super::member_rows::{self, OwnedTarget};
use super::running_change::TransactionEnd;
use super::tables::PASSKEYS;
use super::{Store, factor_rows, invariants, second_factor_check, session_rows};
use crate::domain::passkey::{challenge_dead, too_many, unknown};
use crate::domain::two_step::TwoStepEvent;
use crate::domain::{
    Actor, AuditEvent, Factors, Failure, FieldChange, Member, Passkey, PasskeyId, TokenHash, limits,
};
use crate::store::requests_and_views::mail_queue::NewMail;
use crate::store::requests_and_views::passkeys::NewPasskey;
use crate::store::requests_and_views::two_step::StepUp;
use crate::store::{Committed, MemberTarget};

impl Store {
    /// Consumes the proof that a member presents before a passkey is added. Returns the round for
    /// the challenge: any other use of a factor ends it.
    ///
    /// # Errors
    /// `Unauthenticated` `session_ended`; `Denied` `wrong_code`, `code_missing`; `Conflict`
    /// `not_set_up`, where there is no authenticator app, `too_many_passkeys`,
    /// `moved_on`; `Busy`.
    pub async fn passkey_begin(
        &self,
        target: MemberTarget<'_>,
        shown: StepUp,
    ) -> Result<Committed<u64>, Failure> {
        let target = OwnedTarget::from(target);
        self.write(&Actor::Member(target.id.clone()), move |change| {
            let member = invariants::signed_in(change, &target)?;
            room_for_one(&factor_rows::read(change.tx, &member.id)?)?;
            second_factor_check::step_up(change, &member, shown)?;
            Ok(TransactionEnd::Quietly(factor_rows::read(change.tx, &member.id)?.round))
        })
        .await
    }

    /// Saves a passkey, and ends the member's other sessions.
    ///
    /// # Errors
    /// `Unauthenticated` `session_ended`; `Conflict` `challenge_dead`, when the round is over,
    /// `too_many_passkeys`, `passkey_known`, when any member has it already; `Busy`.
    pub async fn passkey_add(
        &self,
        target: MemberTarget<'_>,
        new: NewPasskey,
    ) -> Result<Committed<Passkey>, Failure> {
        let target = OwnedTarget::from(target);
        self.write(&Actor::Member(target.id.clone()), move |change| {
            let member = invariants::signed_in(change, &target)?;
            session_rows::need_own(change, &member.id, &new.session)?;
            let mut factors = factor_rows::read(change.tx, &member.id)?;
            if factors.round != new.round {
                return Err(challenge_dead().into());
            }
            room_for_one(&factors)?;
            let passkey = new.passkey;
            factor_rows::claim(change.tx, &passkey.id, &member)?;
            factors.passkeys.push(passkey.clone());
            // The challenge is consumed.
            factors.round = factors.round.saturating_add(1);
            factor_rows::put(change.tx, &member.id, &factors)?;
            session_rows::end_others(change, &member.id, &new.session)?;
            let name = FieldChange::added("name", passkey.name.as_str());
            factor_rows::audit(change, &member, AuditEvent::PasskeyAdded, Some(name))?;
            factor_rows::tell(change, &member, TwoStepEvent::PasskeyAdded, new.letter)?;
            Ok(TransactionEnd::Changed(passkey))
        })
        .await
    }

    /// Removes a member's own passkey; all other sessions end.
    ///
    /// # Errors
    /// `Unauthenticated` `session_ended`; `NotFound` `unknown_passkey`; `Denied` `wrong_code`,
    /// `code_missing`; `Conflict` `moved_on`; `Busy`.
    pub async fn passkey_remove(
        &self,
        target: MemberTarget<'_>,
        session: TokenHash,
        id: PasskeyId,
        shown: StepUp,
        letter: Option<NewMail>,
    ) -> Result<Committed<Passkey>, Failure> {
        let target = OwnedTarget::from(target);
        self.write(&Actor::Member(target.id.clone()), move |change| {
            let member = invariants::signed_in(change, &target)?;
            session_rows::need_own(change, &member.id, &session)?;
            second_factor_check::step_up(change, &member, shown)?;
            let mut factors = factor_rows::read(change.tx, &member.id)?;
            let place = factors.passkeys.iter().position(|known| known.id == id);
            let passkey = factors.passkeys.remove(place.ok_or_else(unknown)?);
            change.tx.open_table(PASSKEYS)?.remove(id.as_str())?;
            factor_rows::put(change.tx, &member.id, &factors)?;
            session_rows::end_others(change, &member.id, &session)?;
            let name = FieldChange::added("name", passkey.name.as_str());
            factor_rows::audit(change, &member, AuditEvent::PasskeyRemoved, Some(name))?;
            factor_rows::tell(change, &member, TwoStepEvent::PasskeyRemoved, letter)?;
            Ok(TransactionEnd::Changed(passkey))
        })
        .await
    }

    /// Counts a response whose counter went back, records it, and notifies the member.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn passkey_copied(
        &self,
        member: &Member,
        id: &PasskeyId,
        letter: Option<NewMail>,
    ) -> Result<Committed<()>, Failure> {
        let (member, id) = (member.clone(), id.clone());
        self.write(&Actor::System, move |change| {
            let known = member_rows::read(change.tx, member.id.as_str())?;
            let mut factors = factor_rows::read(change.tx, &member.id)?;
            let passkey = factors.passkeys.iter().find(|passkey| passkey.id == id);
            let (Some(_), Some(passkey)) = (known, passkey) else {
                return Ok(TransactionEnd::AsItWas(()));
            };
            let name = FieldChange::added("name", passkey.name.as_str());
            factors.failures = factors.failures.saturating_add(1);
            factor_rows::put(change.tx, &member.id, &factors)?;
            factor_rows::audit(change, &member, AuditEvent::PasskeyCopied, Some(name))?;
            factor_rows::tell(change, &member, TwoStepEvent::PasskeyCopied, letter)?;
            Ok(TransactionEnd::Changed(()))
        })
        .await
    }
}

/// Without an authenticator app there would be no recovery codes, and no code for
/// re-authentication.
fn room_for_one(factors: &Factors) -> Result<(), Failure> {
    if factors.authenticator.is_none() {
        return Err(factor_rows::not_set_up());
    }
    if factors.passkeys.len() >= limits::PASSKEYS_MAX {
        return Err(too_many());
    }
    Ok(())
}
