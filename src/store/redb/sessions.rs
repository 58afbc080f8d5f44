//! Passwords and sessions in the embedded backend.
//!
//! Every session that begins or ends is published to the subscribers with the same change.

use redb::{ReadTransaction, ReadableTable};

use super::letters::{self, Outgoing};
use super::links;
use super::members::{self, OwnedTarget};
use super::rows::Rows;
use super::transition::{Ends, Transition};
use super::{
    CREDENTIALS, Fault, RedbStore, SESSIONS, SESSIONS_BY_MEMBER, guards, leaving, seen, two_step,
};
use crate::domain::session::{ended, sign_in_refused};
use crate::domain::{
    Actor, AuditDetail, AuditEvent, Failure, Kind, LetterKind, Member, MemberId, Row, Session,
    SessionLimits, Status, Timestamp, TokenHash, limits,
};
use crate::store::letters::NewLetter;
use crate::store::record::sessions::{
    decode_credential, decode_session, encode_credential, encode_session,
};
use crate::store::sessions::{Credential, PasswordChange, SignIn, Which};
use crate::store::two_step::Checked;
use crate::store::{By, Committed, Target};

impl RedbStore {
    pub(in crate::store) async fn credential(
        &self,
        member: &MemberId,
    ) -> Result<Option<Credential>, Failure> {
        let member = member.clone();
        self.read(move |tx| read_credential(tx, &member)).await
    }

    pub(in crate::store) async fn session_begin(
        &self,
        sign_in: SignIn,
    ) -> Result<Committed<Session>, Failure> {
        let SignIn { session, checked, rehashed, proof, failures_before } = sign_in;
        self.write(&Actor::Member(session.member.clone()), move |change| {
            let member = members::read(change.tx, session.member.as_str())?.filter(|member| {
                member.status == Status::Active && member.account == session.account
            });
            let credential = read_credential(change.tx, &session.member)?;
            let (Some(member), Some(credential)) = (member, credential) else {
                return Err(sign_in_refused().into());
            };
            if Checked::of(&credential.password) != checked {
                return Err(sign_in_refused().into());
            }
            let (proof, round) = proof.unzip();
            let factor = two_step::need(change, &member, proof, round)?;
            if let Some(password) = rehashed {
                // The same password: it was not changed.
                let credential = Credential { password, changed: credential.changed };
                put_credential(change, &member.id, &credential)?;
            }
            make_room(change, &member.id)?;
            begin(change, &session)?;
            audit_sign_in(change, &session, failures_before, factor)?;
            Ok(Ends::Changed(session))
        })
        .await
    }

    pub(in crate::store) async fn sessions_of(
        &self,
        member: &MemberId,
    ) -> Result<Vec<Session>, Failure> {
        let member = member.clone();
        self.read(move |tx| {
            let mut sessions = of_member(tx, &member)?;
            sessions.reverse();
            Ok(sessions)
        })
        .await
    }

    pub(in crate::store) async fn sessions_end(
        &self,
        by: &By,
        target: Target<'_>,
        which: Which,
    ) -> Result<Committed<u64>, Failure> {
        let (by, target) = (by.clone(), OwnedTarget::from(target));
        self.write(&by.actor.clone(), move |change| {
            guards::by(change, &by, &target.account)?;
            let member = members::find(change, &target)?;
            let mut ending = of_member(change.tx, &member.id)?;
            ending.retain(|session| match &which {
                Which::All => true,
                Which::One(id) => session.id == *id,
                Which::AllBut(token) => session.token != *token,
            });
            if ending.is_empty() {
                return match which {
                    Which::One(_) => Err(unknown().into()),
                    Which::All | Which::AllBut(_) => Ok(Ends::AsItWas(0)),
                };
            }
            for session in &ending {
                end(change, session)?;
            }
            audit_ended(change, &member.account, &member.id, &ending)?;
            Ok(Ends::Changed(count(&ending)))
        })
        .await
    }

    pub(in crate::store) async fn session_sign_out(
        &self,
        token: TokenHash,
    ) -> Result<Committed<bool>, Failure> {
        self.write(&Actor::System, move |change| {
            let Some(session) = read(change.tx, &token)? else {
                return Ok(Ends::AsItWas(false));
            };
            change.acts(&Actor::Member(session.member.clone()));
            end(change, &session)?;
            let (account, member) = (session.account.clone(), session.member.clone());
            audit_ended(change, &account, &member, &[session])?;
            Ok(Ends::Changed(true))
        })
        .await
    }

    pub(in crate::store) async fn sessions_tend(
        &self,
        used: Vec<(TokenHash, Timestamp)>,
        limits: SessionLimits,
    ) -> Result<Committed<()>, Failure> {
        let now = self.0.clock.now();
        let used: std::collections::BTreeMap<_, _> = used.into_iter().collect();
        // Read outside the transaction, so that nobody waits while all sessions are read.
        let (tended, used) = self
            .read(move |tx| {
                let mut tended: Vec<TokenHash> = used.keys().copied().collect();
                all(tx, |session| {
                    let last =
                        used.get(&session.token).map_or(session.used, |at| session.used.max(*at));
                    if !limits.lives(session.created, last, now) {
                        tended.push(session.token);
                    }
                })?;
                Ok((tended, used))
            })
            .await?;
        self.write(&Actor::System, move |change| {
            for token in tended {
                let used = used.get(&token).copied();
                tend(change, &token, used, &limits)?;
            }
            let forgotten = leaving::forget_some(change)?;
            Ok(match (change.tells(), forgotten) {
                (true, _) => Ends::Changed(()),
                (false, true) => Ends::Quietly(()),
                (false, false) => Ends::AsItWas(()),
            })
        })
        .await
    }

    pub(in crate::store) async fn password_change(
        &self,
        change: PasswordChange,
    ) -> Result<Committed<u64>, Failure> {
        let PasswordChange { member, shown, password, renewed, letter } = change;
        // Ends the sessions of everybody who knew the old one.
        self.write(&Actor::Member(member.clone()), move |change| {
            let (token, next) = renewed;
            need_own(change, &member, &token)?;
            let record = members::read(change.tx, member.as_str())?;
            let record = record.filter(|record| record.status == Status::Active);
            let Some(member) = record else { return Err(ended().into()) };
            two_step::step_up(change, &member, shown)?;
            set_password(change, &member.id, password)?;
            let others = end_all(change, &member.id)?.saturating_sub(1);
            links::end_all(change, &member.id)?;
            begin(change, &next)?;
            audit_password(change, &member, others)?;
            if let Some(new) = letter {
                tell_of_password(change, &member, new)?;
            }
            Ok(Ends::Changed(others))
        })
        .await
    }

    pub(in crate::store) async fn sign_in_slowed(
        &self,
        actor: &Actor,
        member: &Member,
        failures: u32,
    ) -> Result<Committed<()>, Failure> {
        let member = member.clone();
        self.write(actor, move |change| {
            let fields = vec![("failures".to_owned(), None, Some(failures.to_string()))];
            change.audit(
                member.account.as_str(),
                AuditEvent::AuthnLoginLock,
                member.id.as_str(),
                AuditDetail { fields },
            )?;
            Ok(Ends::Changed(()))
        })
        .await
    }
}

/// Sets a member's password.
pub(super) fn set_password(
    change: &Transition<'_>,
    member: &MemberId,
    password: String,
) -> Result<(), Fault> {
    put_credential(change, member, &Credential { password, changed: change.now })
}

fn put_credential(
    change: &Transition<'_>,
    member: &MemberId,
    credential: &Credential,
) -> Result<(), Fault> {
    let mut credentials = change.tx.open_table(CREDENTIALS)?;
    credentials.insert(member.as_str(), encode_credential(credential).as_slice())?;
    Ok(())
}

pub(super) fn read_credential(
    rows: &impl Rows,
    member: &MemberId,
) -> Result<Option<Credential>, Fault> {
    rows.record(CREDENTIALS, member.as_str(), decode_credential)
}

fn read(rows: &impl Rows, token: &TokenHash) -> Result<Option<Session>, Fault> {
    rows.record(SESSIONS, &token.0.0, |bytes| decode_session(&token.0.0, bytes))
}

/// Refuses a caller who no longer has a session of this member.
pub(super) fn need_own(
    change: &Transition<'_>,
    member: &MemberId,
    token: &TokenHash,
) -> Result<(), Fault> {
    let own = read(change.tx, token)?.is_some_and(|session| session.member == *member);
    if own { Ok(()) } else { Err(ended().into()) }
}

/// A member's sessions, oldest first.
fn of_member(rows: &impl Rows, member: &MemberId) -> Result<Vec<Session>, Fault> {
    let index = rows.open(SESSIONS_BY_MEMBER)?;
    let mut sessions = Vec::new();
    for row in index.range((member.as_str(), i64::MIN, &[0; 32])..)? {
        let (key, _) = row?;
        let (of, _, hash) = key.value();
        if of != member.as_str() {
            break;
        }
        sessions.extend(rows.record(SESSIONS, hash, |bytes| decode_session(hash, bytes))?);
    }
    Ok(sessions)
}

fn put(change: &mut Transition<'_>, session: &Session) -> Result<(), Fault> {
    let record = encode_session(session);
    change.tx.open_table(SESSIONS)?.insert(&session.token.0.0, record.as_slice())?;
    change.tell(Row::Session(session.clone()));
    Ok(())
}

pub(super) fn begin(change: &mut Transition<'_>, session: &Session) -> Result<(), Fault> {
    change.tx.open_table(SESSIONS_BY_MEMBER)?.insert(index_key(session), ())?;
    seen::note(change.tx, session)?;
    put(change, session)
}

fn end(change: &mut Transition<'_>, session: &Session) -> Result<(), Fault> {
    change.tx.open_table(SESSIONS)?.remove(&session.token.0.0)?;
    change.tx.open_table(SESSIONS_BY_MEMBER)?.remove(index_key(session))?;
    change.tell(Row::SessionGone(session.token));
    Ok(())
}

fn index_key(session: &Session) -> (&str, i64, &[u8; 32]) {
    (session.member.as_str(), session.created.0, &session.token.0.0)
}

/// Ends every session of a member; returns their number.
pub(super) fn end_all(change: &mut Transition<'_>, member: &MemberId) -> Result<u64, Fault> {
    let sessions = of_member(change.tx, member)?;
    for session in &sessions {
        end(change, session)?;
    }
    Ok(count(&sessions))
}

/// Ends every session; returns their number.
pub(super) fn end_every(change: &mut Transition<'_>) -> Result<u64, Fault> {
    let mut sessions = Vec::new();
    for row in change.tx.open_table(SESSIONS)?.iter()? {
        let (token, bytes) = row?;
        sessions.push(decode_session(token.value(), bytes.value())?);
    }
    for session in &sessions {
        end(change, session)?;
    }
    Ok(count(&sessions))
}

/// Ends every session of a member except one; returns the number of others.
pub(super) fn end_others(
    change: &mut Transition<'_>,
    member: &MemberId,
    own: &TokenHash,
) -> Result<u64, Fault> {
    let mut others = of_member(change.tx, member)?;
    others.retain(|session| session.token != *own);
    for session in &others {
        end(change, session)?;
    }
    Ok(count(&others))
}

/// Ends the oldest sessions of a member, if the maximum is reached.
fn make_room(change: &mut Transition<'_>, member: &MemberId) -> Result<(), Fault> {
    let sessions = of_member(change.tx, member)?;
    let too_many = (sessions.len() + 1).saturating_sub(limits::SESSIONS_OF_MEMBER_MAX);
    for session in sessions.iter().take(too_many) {
        end(change, session)?;
    }
    Ok(())
}

/// Saves a session's last use, or deletes an expired session.
fn tend(
    change: &mut Transition<'_>,
    token: &TokenHash,
    used: Option<Timestamp>,
    limits: &SessionLimits,
) -> Result<(), Fault> {
    let Some(before) = read(change.tx, token)? else { return Ok(()) };
    let used = used.map_or(before.used, |used| used.max(before.used));
    if !limits.lives(before.created, used, change.now) {
        return end(change, &before);
    }
    if used == before.used {
        return Ok(());
    }
    put(change, &Session { used, ..before })
}

/// Reads every session, in no order.
pub(super) fn all(tx: &ReadTransaction, mut each: impl FnMut(Session)) -> Result<(), Fault> {
    for row in tx.open_table(SESSIONS)?.iter()? {
        let (token, bytes) = row?;
        each(decode_session(token.value(), bytes.value())?);
    }
    Ok(())
}

fn count(sessions: &[Session]) -> u64 {
    u64::try_from(sessions.len()).unwrap_or(u64::MAX)
}

/// Notifies a member that the password was changed.
pub(super) fn tell_of_password(
    change: &mut Transition<'_>,
    member: &Member,
    new: NewLetter,
) -> Result<(), Fault> {
    let out = Outgoing {
        account: member.account.clone(),
        kind: LetterKind::PasswordChanged { member: member.id.clone() },
        subject: member.id.as_str().to_owned(),
        to: member.email.clone(),
        to_name: member.full_name(),
        new,
    };
    letters::queue(change, out).map(|_| ())
}

/// An entry about a new password.
pub(super) fn audit_password(
    change: &Transition<'_>,
    member: &Member,
    sessions_ended: u64,
) -> Result<(), Fault> {
    let fields = vec![("sessions_ended".to_owned(), None, Some(sessions_ended.to_string()))];
    change.audit(
        member.account.as_str(),
        AuditEvent::AuthnPasswordChange,
        member.id.as_str(),
        AuditDetail { fields },
    )
}

/// An entry about a new session, with its second factor.
pub(super) fn audit_sign_in(
    change: &Transition<'_>,
    session: &Session,
    failures_before: u32,
    factor: Option<&str>,
) -> Result<(), Fault> {
    let field = |name: &str, value: &str| (name.to_owned(), None, Some(value.to_owned()));
    let mut fields = vec![
        field("session", session.id.as_str()),
        field("address", &session.address),
        field("agent", &session.agent),
    ];
    fields.extend(factor.map(|factor| field("factor", factor)));
    let event = match failures_before {
        0 => AuditEvent::AuthnLoginSuccess,
        failures => {
            fields.push(field("failures_before", &failures.to_string()));
            AuditEvent::AuthnLoginSuccessAfterFail
        }
    };
    change.audit(session.account.as_str(), event, session.member.as_str(), AuditDetail { fields })
}

fn audit_ended(
    change: &Transition<'_>,
    account: &crate::domain::AccountSlug,
    member: &MemberId,
    sessions: &[Session],
) -> Result<(), Fault> {
    let fields = sessions
        .iter()
        .map(|session| ("session".to_owned(), Some(session.id.as_str().to_owned()), None))
        .collect();
    change.audit(
        account.as_str(),
        AuditEvent::SessionLogout,
        member.as_str(),
        AuditDetail { fields },
    )
}

fn unknown() -> Failure {
    Failure::new(
        Kind::NotFound,
        "unknown_session",
        "this member has no such session: list the sessions to see which there are",
    )
}
