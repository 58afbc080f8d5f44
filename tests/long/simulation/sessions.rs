//! Sessions: begun, ended by their holders and by others, expired.

use std::collections::BTreeSet;

use kwic_team::domain::{AuditEvent, MemberId, Session, Token};
use kwic_team::services::client_info::ClientInfo;
use kwic_team::services::members::ChosenMember;
use kwic_team::services::sessions;
use kwic_team::services::sign_in::{NewSignIn, SignInAttempt};
use kwic_team::store::{Committed, Store};

use super::model::{ACCOUNTS, Person, Reasons};
use super::policies::Right;
use super::second_factors::Which;
use super::{Held, Sim, slug};

impl Sim {
    pub(super) async fn sign_in(&mut self) -> Held {
        let account = self.dice.below(ACCOUNTS.len());
        let mut able = self.model.members(account);
        able.retain(|at| self.model.people[*at].password.is_some());
        let some = if self.dice.percent(80) {
            self.dice.perhaps(&able)
        } else {
            self.some_member(account)
        };
        let Some(at) = some else { return Ok(()) };
        let right = !self.dice.percent(30);
        self.sign_in_as(at, right).await
    }

    pub(super) async fn sign_in_as(&mut self, at: usize, right: bool) -> Held {
        let person = self.model.people[at].clone();
        let password = match (right, &person.password) {
            (true, Some(password)) => password.clone(),
            _ => "another password, and wrong".to_owned(),
        };
        self.note(format_args!("{} signs in, right: {right}", person.id));
        let same = |other: &&Person| {
            other.account == person.account && other.email.key() == person.email.key()
        };
        let owner = self.model.people.iter().filter(|other| !other.gone).find(same).cloned();
        let showing = self.shows(owner.as_ref().map_or(&person.id, |owner| &owner.id));
        let fits = owner
            .as_ref()
            .is_some_and(|owner| owner.active() && owner.password.as_ref() == Some(&password));
        let failures = self.model.failed_tries(&person);
        let refused = showing.refused().filter(|_| fits);
        let reasons = Reasons::of(refused)
            .when(!fits, "sign_in_refused")
            .perhaps(failures >= 3, "too_many_tries");
        let member = owner.as_ref().map(|owner| owner.id.clone());
        let attempt = SignInAttempt {
            account: slug(person.account),
            email: person.email.clone(),
            password: password.clone(),
            from: ClientInfo { agent: "a simulation".to_owned(), ..ClientInfo::default() },
        };
        if let (true, Some(owner), Which::Owed) = (fits, &owner, showing.which)
            && self.dice.percent(60)
        {
            return self.set_up_on_the_way(owner, attempt).await;
        }
        let token = Token::parse(&self.forged()).unwrap();
        let call = Self::enter(self.world.app.clone(), attempt, showing.code.clone(), token);
        let look = self.look_session(member.clone());
        let before = self.model.failed_tries(&person);
        match self.change(&reasons, call, look).await? {
            Some((session, token)) => {
                self.spends(&session.member, &showing);
                self.model.seats(&session, token);
                self.model.forgets_failures(person.account, &person.email);
                let event = AuditEvent::AuthnLoginSuccess;
                self.audits(person.account, event, session.member.as_str());
            }
            None if (!fits || refused == Some("wrong_code")) && !self.crashed => {
                let key = (person.account, person.email.key().to_owned());
                self.model.failures.insert(key, before + 1);
            }
            None => {}
        }
        Ok(())
    }

    /// Finds a session of a member that was not known.
    pub(super) fn look_session(
        &self,
        member: Option<MemberId>,
    ) -> impl AsyncFnOnce(&Store) -> Option<(Session, Option<String>)> + use<> {
        let known: BTreeSet<_> = self.model.seats.iter().map(|seat| seat.hash).collect();
        async move |store: &Store| {
            let sessions = store.sessions_of(&member?).await.unwrap();
            let new = sessions.into_iter().find(|session| !known.contains(&session.token));
            new.map(|session| (session, None))
        }
    }

    pub(super) async fn sign_out(&mut self) -> Held {
        let Some(at) = self.somebodys_seat() else { return Ok(()) };
        let seat = self.model.seats[at].clone();
        self.note(format_args!("{} signs out of {}", seat.member, seat.id));
        let token = Token::parse(seat.token.as_deref().unwrap()).unwrap();
        let app = self.world.app.clone();
        let call = sessions::sign_out(&app, token);
        let (member, hash, was) = (seat.member.clone(), seat.hash, !seat.ended);
        let look = async move |store: &Store| {
            let sessions = store.sessions_of(&member).await.unwrap();
            (!sessions.iter().any(|session| session.token == hash)).then_some(was)
        };
        let Some(there_was) = self.change(&Reasons::default(), call, look).await? else {
            return Ok(());
        };
        if there_was == seat.ended {
            return Err(format!("signing out of {} found one: {there_was}", seat.id));
        }
        if there_was {
            self.model.seats[at].ended = true;
            let account = self.model.owner(at).account;
            self.audits(account, AuditEvent::SessionLogout, seat.member.as_str());
        }
        Ok(())
    }

    pub(super) async fn end_own(&mut self) -> Held {
        let Some(at) = self.somebodys_seat() else { return Ok(()) };
        let Some(signed_in) = self.signed_in(at)? else { return Ok(()) };
        let seat = self.model.seats[at].clone();
        let one = self.dice.percent(50).then(|| seat.id.clone());
        self.note(format_args!("{} ends {one:?}, or all but {}", seat.member, seat.id));
        let app = self.world.app.clone();
        let kept = if one.is_some() { None } else { Some(at) };
        let others: Vec<usize> = (0..self.model.seats.len())
            .filter(|other| {
                let other_seat = &self.model.seats[*other];
                other_seat.member == seat.member && !other_seat.ended
            })
            .filter(|other| if kept.is_some() { *other != at } else { *other == at })
            .collect();
        let call = sessions::end_own(&app, signed_in, one);
        let look = self.look_ended(seat.member.clone(), &others);
        let Some(ended) = self.change(&Reasons::default(), call, look).await? else {
            return Ok(());
        };
        self.ends(&seat.member, &others, ended)
    }

    pub(super) async fn end_of_member(&mut self) -> Held {
        let who = self.who();
        let account = self.model.account_of(who);
        let Some(target) = self.some_member(account) else { return Ok(()) };
        let Some(caller) = self.caller(who)? else { return Ok(()) };
        let person = self.model.people[target].clone();
        let expected = self.version(person.version);
        self.note(format_args!("{who:?} ends the sessions of {}", person.id));
        let reasons = self.about_member(who, target, expected, Right::Edit);
        let others: Vec<usize> = (0..self.model.seats.len())
            .filter(|at| self.model.seats[*at].member == person.id && !self.model.seats[*at].ended)
            .collect();
        let app = self.world.app.clone();
        let chosen = ChosenMember { id: person.id.clone(), expected };
        let call = sessions::end_of_member(&app, caller, chosen);
        let look = self.look_ended(person.id.clone(), &others);
        let Some(ended) = self.change(&reasons, call, look).await? else { return Ok(()) };
        self.ends(&person.id, &others, ended)
    }

    /// Finds out whether none of these sessions is left.
    pub(super) fn look_ended(
        &self,
        member: MemberId,
        ending: &[usize],
    ) -> impl AsyncFnOnce(&Store) -> Option<u64> + use<> {
        let hashes: BTreeSet<_> = ending.iter().map(|at| self.model.seats[*at].hash).collect();
        async move |store: &Store| {
            let left = store.sessions_of(&member).await.unwrap();
            let none = !left.iter().any(|session| hashes.contains(&session.token));
            none.then_some(hashes.len() as u64)
        }
    }

    pub(super) fn ends(&mut self, member: &MemberId, ending: &[usize], told: u64) -> Held {
        if told != ending.len() as u64 {
            return Err(format!("{told} sessions of {member} ended, not {}", ending.len()));
        }
        for at in ending {
            self.model.seats[*at].ended = true;
        }
        if told > 0 {
            let account = self.model.owner(ending[0]).account;
            self.audits(account, AuditEvent::SessionLogout, member.as_str());
        }
        Ok(())
    }

    pub(super) async fn tend(&mut self) -> Held {
        self.note(format_args!("sessions are tended"));
        let app = self.world.app.clone();
        let call = async {
            sessions::expire_once(&app).await?;
            let revision = app.store.revision().await?;
            Ok(Committed { revision, value: true })
        };
        let Some(heard) =
            self.change(&Reasons::default(), call, async |_: &Store| Some(false)).await?
        else {
            return Ok(());
        };
        // If the result was lost, the remaining sessions show it.
        if heard && !self.crashed {
            self.model.tends();
        } else {
            self.adopt_sessions().await;
        }
        Ok(())
    }

    /// Takes the last use of sessions, and which of them are left, from the store.
    pub(super) async fn adopt_sessions(&mut self) {
        for at in 0..self.model.seats.len() {
            let seat = &self.model.seats[at];
            let found = self.world.store().sessions_of(&seat.member).await.unwrap();
            let found = found.into_iter().find(|session| session.token == seat.hash);
            let lives = self.model.lives(seat);
            let seat = &mut self.model.seats[at];
            match found {
                Some(session) => {
                    seat.written = session.used.0;
                    if self.crashed {
                        seat.used = seat.written;
                    }
                }
                // One that lives is not taken away by tending; the comparison tells.
                None if !lives => seat.ended = true,
                None => {}
            }
        }
    }
}

pub(super) fn with_token(done: Committed<NewSignIn>) -> Committed<(Session, Option<String>)> {
    let Committed { revision, value: entered } = done;
    Committed { revision, value: (entered.session, Some(entered.token.expose().to_owned())) }
}
