//! Passkeys in the embedded backend.
//!
//! A credential belongs to one member of the whole store, and only while that member has an
//! authenticator app. Contains no cryptography.

use redb::{ReadableTable as _, WriteTransaction};

use super::members::{self, OwnedTarget};
use super::transition::Ends;
use super::two_step::{acting, audit, not_set_up, put, read, step_up, tell};
use super::{Fault, PASSKEYS, RedbStore, sessions};
use crate::domain::passkey::{challenge_dead, too_many, unknown};
use crate::domain::two_step::TwoStepNews;
use crate::domain::{
    Actor, AuditEvent, Factors, Failure, Kind, Member, Passkey, PasskeyId, TokenHash, limits,
};
use crate::store::letters::NewLetter;
use crate::store::passkeys::NewPasskey;
use crate::store::two_step::StepUp;
use crate::store::{Committed, Target};

impl RedbStore {
    pub(in crate::store) async fn passkey_begin(
        &self,
        target: Target<'_>,
        shown: StepUp,
    ) -> Result<Committed<u64>, Failure> {
        let target = OwnedTarget::from(target);
        self.write(&Actor::Member(target.id.clone()), move |change| {
            let member = acting(change, &target)?;
            room_for_one(&read(change.tx, &member.id)?)?;
            step_up(change, &member, shown)?;
            Ok(Ends::Quietly(read(change.tx, &member.id)?.round))
        })
        .await
    }

    pub(in crate::store) async fn passkey_add(
        &self,
        target: Target<'_>,
        new: NewPasskey,
    ) -> Result<Committed<Passkey>, Failure> {
        let target = OwnedTarget::from(target);
        self.write(&Actor::Member(target.id.clone()), move |change| {
            let member = acting(change, &target)?;
            sessions::need_own(change, &member.id, &new.session)?;
            let mut factors = read(change.tx, &member.id)?;
            if factors.round != new.round {
                return Err(challenge_dead().into());
            }
            room_for_one(&factors)?;
            let passkey = new.passkey;
            claim(change.tx, &passkey.id, &member)?;
            factors.passkeys.push(passkey.clone());
            // The challenge is consumed.
            factors.round = factors.round.saturating_add(1);
            put(change.tx, &member.id, &factors)?;
            sessions::end_others(change, &member.id, &new.session)?;
            let name = Some(passkey.name.as_str().to_owned());
            audit(change, &member, AuditEvent::PasskeyAdded, ("name", name))?;
            tell(change, &member, TwoStepNews::PasskeyAdded, new.letter)?;
            Ok(Ends::Changed(passkey))
        })
        .await
    }

    pub(in crate::store) async fn passkey_remove(
        &self,
        target: Target<'_>,
        (session, id): (TokenHash, PasskeyId),
        shown: StepUp,
        letter: Option<NewLetter>,
    ) -> Result<Committed<Passkey>, Failure> {
        let target = OwnedTarget::from(target);
        self.write(&Actor::Member(target.id.clone()), move |change| {
            let member = acting(change, &target)?;
            sessions::need_own(change, &member.id, &session)?;
            step_up(change, &member, shown)?;
            let mut factors = read(change.tx, &member.id)?;
            let place = factors.passkeys.iter().position(|known| known.id == id);
            let passkey = factors.passkeys.remove(place.ok_or_else(unknown)?);
            change.tx.open_table(PASSKEYS)?.remove(id.as_str())?;
            put(change.tx, &member.id, &factors)?;
            sessions::end_others(change, &member.id, &session)?;
            let name = Some(passkey.name.as_str().to_owned());
            audit(change, &member, AuditEvent::PasskeyRemoved, ("name", name))?;
            tell(change, &member, TwoStepNews::PasskeyRemoved, letter)?;
            Ok(Ends::Changed(passkey))
        })
        .await
    }

    pub(in crate::store) async fn passkey_copied(
        &self,
        member: &Member,
        id: &PasskeyId,
        letter: Option<NewLetter>,
    ) -> Result<Committed<()>, Failure> {
        let (member, id) = (member.clone(), id.clone());
        self.write(&Actor::System, move |change| {
            let known = members::read(change.tx, member.id.as_str())?;
            let mut factors = read(change.tx, &member.id)?;
            let passkey = factors.passkeys.iter().find(|passkey| passkey.id == id);
            let (Some(_), Some(passkey)) = (known, passkey) else { return Ok(Ends::AsItWas(())) };
            let name = Some(passkey.name.as_str().to_owned());
            factors.failures = factors.failures.saturating_add(1);
            put(change.tx, &member.id, &factors)?;
            audit(change, &member, AuditEvent::PasskeyCopied, ("name", name))?;
            tell(change, &member, TwoStepNews::PasskeyCopied, letter)?;
            Ok(Ends::Changed(()))
        })
        .await
    }
}

/// Without an authenticator app there would be no recovery codes, and no code for
/// re-authentication.
fn room_for_one(factors: &Factors) -> Result<(), Failure> {
    if factors.authenticator.is_none() {
        return Err(not_set_up());
    }
    if factors.passkeys.len() >= limits::PASSKEYS_MAX {
        return Err(too_many());
    }
    Ok(())
}

/// A credential has one owner: another member with it is refused (Web Authentication Level 3,
/// section 7.1: no credential id is registered twice).
fn claim(tx: &WriteTransaction, id: &PasskeyId, owner: &Member) -> Result<(), Fault> {
    let mut owners = tx.open_table(PASSKEYS)?;
    if owners.get(id.as_str())?.is_some() {
        return Err(known().into());
    }
    owners.insert(id.as_str(), owner.id.as_str())?;
    Ok(())
}

/// Releases the credentials of deleted factors.
pub(super) fn release(tx: &WriteTransaction, factors: &Factors) -> Result<(), Fault> {
    let mut owners = tx.open_table(PASSKEYS)?;
    for passkey in &factors.passkeys {
        owners.remove(passkey.id.as_str())?;
    }
    Ok(())
}

fn known() -> Failure {
    Failure::new(
        Kind::Conflict,
        "passkey_known",
        "this passkey is already in use, by you or another member: use another one, or remove it there first",
    )
}
