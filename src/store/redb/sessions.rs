//! Transactions of passwords and sessions.
//!
//! Every session that begins or ends is published to the subscribers with the same change.

use super::member_rows::{self, OwnedTarget};
use super::running_change::{ChangeTransaction, TransactionEnd};
use super::{
    Store, StoreError, invariants, link_rows, password_rows, purge, second_factor_check,
    session_rows,
};
use crate::domain::limits::FORGOTTEN_AT_ONCE_MAX;
use crate::domain::session::{self, ended, sign_in_refused};
use crate::domain::{
    AccountSlug, Actor, AuditEvent, Failure, FieldChange, Member, MemberId, Session, SessionLimits,
    Status, Timestamp, TokenHash,
};
use crate::store::requests_and_views::sessions::{
    Credential, PasswordChange, SessionSelector, SignIn,
};
use crate::store::requests_and_views::two_step::CheckedPassword;
use crate::store::{Committed, MemberTarget, Preconditions};

impl Store {
    /// A member's password; `None` if none is set.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn credential(&self, member: &MemberId) -> Result<Option<Credential>, Failure> {
        let member = member.clone();
        self.read(move |tx| password_rows::read(tx, &member)).await
    }

    /// Begins a session.
    ///
    /// # Errors
    /// `Unauthenticated` `sign_in_refused`, when the member is gone, suspended, or has another
    /// password by now, or the ticket is used up; `Denied` `wrong_code`, `code_missing`,
    /// `codes_locked`; `Conflict` `two_step_needed`; `Busy`, when the disk fails.
    pub async fn session_begin(&self, sign_in: SignIn) -> Result<Committed<Session>, Failure> {
        let SignIn { session, checked, rehashed, proof, failures_before } = sign_in;
        self.write(&Actor::Member(session.member.clone()), move |change| {
            let member = member_rows::read(change.tx, session.member.as_str())?.filter(|member| {
                member.status == Status::Active && member.account == session.account
            });
            let credential = password_rows::read(change.tx, &session.member)?;
            let (Some(member), Some(credential)) = (member, credential) else {
                return Err(sign_in_refused().into());
            };
            if CheckedPassword::of(&credential.password) != checked {
                return Err(sign_in_refused().into());
            }
            let (proof, round) = proof.unzip();
            let factor = second_factor_check::need(change, &member, proof, round)?;
            if let Some(password) = rehashed {
                // The same password: it was not changed.
                let credential = Credential { password, changed: credential.changed };
                password_rows::put(change, &member.id, &credential)?;
            }
            session_rows::make_room(change, &member.id)?;
            session_rows::begin(change, &session)?;
            session_rows::audit_sign_in(change, &session, failures_before, factor)?;
            Ok(TransactionEnd::Changed(session))
        })
        .await
    }

    /// A member's sessions, newest first, including expired ones.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn sessions_of(&self, member: &MemberId) -> Result<Vec<Session>, Failure> {
        let member = member.clone();
        self.read(move |tx| {
            let mut sessions = session_rows::of_member(tx, &member)?;
            sessions.reverse();
            Ok(sessions)
        })
        .await
    }

    /// Ends sessions of a member; returns their number. None is no change.
    ///
    /// # Errors
    /// `NotFound` `unknown_member`, or `unknown_session` for [`SessionSelector::One`]; `Conflict`
    /// `moved_on`; `Busy`, when the disk fails.
    pub async fn sessions_end(
        &self,
        by: &Preconditions,
        target: MemberTarget<'_>,
        which: SessionSelector,
    ) -> Result<Committed<u64>, Failure> {
        let (by, target) = (by.clone(), OwnedTarget::from(target));
        self.write(&by.actor.clone(), move |change| {
            invariants::preconditions(change, &by, &target.account)?;
            let member = member_rows::find_target(change, &target)?;
            let mut ending = session_rows::of_member(change.tx, &member.id)?;
            ending.retain(|session| match &which {
                SessionSelector::All => true,
                SessionSelector::One(id) => session.id == *id,
                SessionSelector::AllBut(token) => session.token != *token,
            });
            if ending.is_empty() {
                return match which {
                    SessionSelector::One(_) => Err(session::unknown().into()),
                    SessionSelector::All | SessionSelector::AllBut(_) => {
                        Ok(TransactionEnd::AsItWas(0))
                    }
                };
            }
            for session in &ending {
                session_rows::end(change, session)?;
            }
            audit_ended(change, &member.account, &member.id, &ending)?;
            Ok(TransactionEnd::Changed(session_rows::count(&ending)))
        })
        .await
    }

    /// Ends the session of a token; returns whether there was one.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn session_sign_out(&self, token: TokenHash) -> Result<Committed<bool>, Failure> {
        self.write(&Actor::System, move |change| {
            let Some(session) = session_rows::read(change.tx, &token)? else {
                return Ok(TransactionEnd::AsItWas(false));
            };
            change.acts(&Actor::Member(session.member.clone()));
            session_rows::end(change, &session)?;
            let (account, member) = (session.account.clone(), session.member.clone());
            audit_ended(change, &account, &member, &[session])?;
            Ok(TransactionEnd::Changed(true))
        })
        .await
    }

    /// Saves the last use of sessions, and deletes expired ones. No audit entry.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn sessions_tend(
        &self,
        used: Vec<(TokenHash, Timestamp)>,
        limits: SessionLimits,
    ) -> Result<Committed<()>, Failure> {
        let now = self.0.clock.now();
        let used: std::collections::BTreeMap<_, _> = used.into_iter().collect();
        // Read outside the transaction, so that nobody waits while all sessions are read.
        let mut tended = self
            .read(move |tx| {
                let mut tended: Vec<_> =
                    used.iter().map(|(token, at)| (*token, Some(*at))).collect();
                session_rows::all(tx, |session| {
                    let used = used.get(&session.token).copied();
                    let last = used.map_or(session.used, |at| session.used.max(at));
                    if !limits.lives(session.created, last, now) {
                        tended.push((session.token, used));
                    }
                })?;
                Ok(tended)
            })
            .await?;
        while tended.len() > FORGOTTEN_AT_ONCE_MAX {
            let some = tended.split_off(tended.len() - FORGOTTEN_AT_ONCE_MAX);
            self.sessions_tend_some(some, limits, true).await?;
        }
        self.sessions_tend_some(tended, limits, true).await
    }

    /// Saves the last use of sessions alone, where another node deletes what has expired.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn sessions_used(
        &self,
        used: Vec<(TokenHash, Timestamp)>,
        limits: SessionLimits,
    ) -> Result<Committed<()>, Failure> {
        let mut used: Vec<_> = used.into_iter().map(|(token, at)| (token, Some(at))).collect();
        while used.len() > FORGOTTEN_AT_ONCE_MAX {
            let some = used.split_off(used.len() - FORGOTTEN_AT_ONCE_MAX);
            self.sessions_tend_some(some, limits, false).await?;
        }
        self.sessions_tend_some(used, limits, false).await
    }

    /// The same for some sessions, each with its last use.
    async fn sessions_tend_some(
        &self,
        tended: Vec<(TokenHash, Option<Timestamp>)>,
        limits: SessionLimits,
        purges: bool,
    ) -> Result<Committed<()>, Failure> {
        self.write(&Actor::System, move |change| {
            for (token, used) in tended {
                session_rows::tend(change, &token, used, &limits)?;
            }
            let forgotten = purges && purge::some(change)?;
            Ok(match (change.tells(), forgotten) {
                (true, _) => TransactionEnd::Changed(()),
                (false, true) => TransactionEnd::Quietly(()),
                (false, false) => TransactionEnd::AsItWas(()),
            })
        })
        .await
    }

    /// Changes a password by its owner; every other session ends. Returns their number.
    ///
    /// # Errors
    /// `Unauthenticated` `session_ended`, when the session is gone; `Denied` `wrong_code`,
    /// `code_missing`; `Conflict` `two_step_needed`, or `moved_on`, when the password is another one
    /// by now; `Busy`, when the disk fails.
    pub async fn password_change(&self, change: PasswordChange) -> Result<Committed<u64>, Failure> {
        let PasswordChange { member, shown, password, renewed, letter } = change;
        // Ends the sessions of everybody who knew the old one.
        self.write(&Actor::Member(member.clone()), move |change| {
            let (token, next) = renewed;
            session_rows::need_own(change, &member, &token)?;
            let record = member_rows::read(change.tx, member.as_str())?;
            let record = record.filter(|record| record.status == Status::Active);
            let Some(member) = record else { return Err(ended().into()) };
            second_factor_check::step_up(change, &member, shown)?;
            password_rows::set(change, &member.id, password)?;
            let others = session_rows::end_all(change, &member.id)?.saturating_sub(1);
            link_rows::end_all(change, &member.id)?;
            session_rows::begin(change, &next)?;
            password_rows::audit_changed(change, &member, others)?;
            if let Some(new) = letter {
                password_rows::tell_changed(change, &member, new)?;
            }
            Ok(TransactionEnd::Changed(others))
        })
        .await
    }

    /// Records that sign-in attempts of a member are delayed.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn sign_in_slowed(
        &self,
        member: &Member,
        failures: u32,
    ) -> Result<Committed<()>, Failure> {
        let member = member.clone();
        self.write(&Actor::System, move |change| {
            let fields = vec![FieldChange::added("failures", failures.to_string())];
            member_rows::audit(change, &member, AuditEvent::AuthnLoginLock, fields)?;
            Ok(TransactionEnd::Changed(()))
        })
        .await
    }
}

fn audit_ended(
    change: &ChangeTransaction<'_>,
    account: &AccountSlug,
    member: &MemberId,
    sessions: &[Session],
) -> Result<(), StoreError> {
    let fields = sessions
        .iter()
        .map(|session| FieldChange::removed("session", session.id.as_str()))
        .collect();
    let (chain, target) = (account.as_str(), member.as_str());
    change.audit(chain, AuditEvent::SessionLogout, target, fields)
}
