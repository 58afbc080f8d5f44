//! Passwords and addresses: changed by their owners, and with links from mail.

use std::collections::BTreeMap;

use kwic_team::domain::{AddressSide, AuditEvent, Email, Status, Token, Version};
use kwic_team::services::caller::Caller;
use kwic_team::services::client_info::ClientInfo;
use kwic_team::services::members::ChosenMember;
use kwic_team::services::{own_profile, passwords};
use kwic_team::store::requests_and_views::one_time_links::EmailConfirmed;
use kwic_team::store::{Committed, Store};

use super::actions::{BAD_PASSWORD, UID};
use super::model::{ACCOUNTS, DAY_MS, HOUR_MS, Holder, Person, Purpose, Reasons, Sent, Who};
use super::policies::Right;
use super::second_factors::Showing;
use super::sessions::with_token;
use super::{Held, Sim, slug};

impl Sim {
    pub(super) async fn change_password(&mut self) -> Held {
        let Some(at) = self.somebodys_seat() else { return Ok(()) };
        let showing = self.shows(&self.model.seats[at].member.clone());
        let Some(signed_in) = self.signed_in(at)? else { return Ok(()) };
        let person = self.model.owner(at).clone();
        let (current, right) = self.own_password(&person);
        let good = !self.dice.percent(10);
        let new = if good { self.new_password() } else { BAD_PASSWORD.to_owned() };
        self.note(format_args!("{} changes the password: {right} {good}", person.id));
        let reasons = self.about_step_up(&person, right, &showing).when(!good, "invalid");
        let app = self.world.app.clone();
        let from = ClientInfo::default();
        let call = async {
            let changed =
                passwords::change_own(&app, signed_in, &showing.with(&current), &new, from).await;
            changed.map(|done| {
                let (entered, _) = done.value;
                with_token(Committed { revision: done.revision, value: entered })
            })
        };
        let look = self.look_session(Some(person.id.clone()));
        let made = self.change(&reasons, call, look).await?;
        self.tried(&person, right && showing.refused() != Some("wrong_code"));
        if let Some((session, token)) = made {
            self.spends(&person.id, &showing);
            self.model.ends_seats(&person.id, None);
            self.model.ends_links(&person.id);
            self.model.seats(&session, token);
            self.model.person_mut(&person.id).unwrap().password = Some(new);
            self.audits(person.account, AuditEvent::AuthnPasswordChange, person.id.as_str());
            self.posts("password_changed", &person.email);
        }
        Ok(())
    }

    /// What somebody types as the own password, and whether it is.
    pub(super) fn own_password(&mut self, person: &Person) -> (String, bool) {
        match (&person.password, self.dice.percent(85)) {
            (Some(password), true) => (password.clone(), true),
            _ => ("not mine at all, really".to_owned(), false),
        }
    }

    pub(super) fn about_password(&self, person: &Person, right: bool) -> Reasons {
        Reasons::default()
            .when(!right, "wrong_password")
            .perhaps(self.model.failed_tries(person) >= 3, "too_many_tries")
    }

    /// The same, with the second factor of who has one or owes one.
    pub(super) fn about_step_up(&self, person: &Person, right: bool, showing: &Showing) -> Reasons {
        let mut reasons = self.about_password(person, right);
        reasons.must.extend(showing.refused());
        reasons
    }

    /// Counts what a try with the own password counts for.
    pub(super) fn tried(&mut self, person: &Person, right: bool) {
        let key = (person.account, person.email.key().to_owned());
        if !right {
            *self.model.failures.entry(key).or_default() += 1;
        }
    }

    pub(super) async fn reset(&mut self) -> Held {
        let who = self.who();
        let account = self.model.account_of(who);
        let Some(target) = self.some_member(account) else { return Ok(()) };
        if matches!(who, Who::Sidecar(_)) && self.dice.percent(40) {
            let email = self.model.people[target].email.clone();
            return self.recover(account, email).await;
        }
        let expected = self.version(self.model.people[target].version);
        self.reset_one(who, target, expected).await
    }

    pub(super) async fn reset_one(
        &mut self,
        who: Who,
        target: usize,
        expected: Option<Version>,
    ) -> Held {
        let Some(caller) = self.caller(who)? else { return Ok(()) };
        let person = self.model.people[target].clone();
        self.note(format_args!("{who:?} lets {} set a new password", person.id));
        let reasons = self.about_member(who, target, expected, Right::Edit);
        let suspended = person.status == Status::Suspended && !person.gone;
        let asked = !matches!(who, Who::Sidecar(_)) && self.model.wrote_lately(&person.email);
        let reasons =
            reasons.when(suspended, "suspended_member").perhaps(asked, "too_many_requests");
        if !matches!(who, Who::Sidecar(_)) {
            self.model.writes_to(&person.email);
        }
        let app = self.world.app.clone();
        let chosen = ChosenMember { id: person.id.clone(), expected };
        let call = async {
            passwords::reset(&app, caller, chosen)
                .await
                .map(|done| Committed { revision: done.revision, value: done.value.link })
        };
        let look = self.look_letter::<Option<String>>(None);
        if let Some(link) = self.change(&reasons, call, look).await? {
            self.resets(&person, link);
        }
        Ok(())
    }

    /// The operator of the sidecar lets an administrator in again, by the address.
    async fn recover(&mut self, account: usize, email: Email) -> Held {
        self.note(format_args!("the operator lets {email} in again"));
        let owner = match self.model.holder(account, &email) {
            Some(Holder::Active(at) | Holder::Suspended(at)) => Some(self.model.people[at].clone()),
            _ => None,
        };
        let mut reasons = Reasons::of(owner.is_none().then_some("unknown_member"));
        if let Some(owner) = &owner {
            reasons = reasons
                .when(!self.model.set.administers(&owner.role), "not_an_administrator")
                .when(owner.status == Status::Suspended, "suspended_member");
        }
        let app = self.world.app.clone();
        let caller = Caller::Sidecar { uid: UID, account: slug(account) };
        let call = async {
            let made = passwords::recover(&app, caller, &email).await?;
            Ok(Committed { revision: made.revision, value: made.value.link })
        };
        let look = self.look_letter::<Option<String>>(None);
        if let Some(link) = self.change(&reasons, call, look).await? {
            self.resets(&owner.unwrap(), link);
        }
        Ok(())
    }

    /// Finds out whether a letter was queued.
    pub(super) fn look_letter<T>(
        &self,
        value: T,
    ) -> impl AsyncFnOnce(&Store) -> Option<T> + use<T> {
        let last = self.last_letter();
        async move |store: &Store| {
            let page = store.letters(None, None, 1).await.unwrap();
            let newest = page.items.first().map_or(0, |letter| letter.id.0);
            (newest > last).then_some(value)
        }
    }

    /// A link to a new password was made. Which one it is, its letter tells.
    pub(super) fn resets(&mut self, person: &Person, link: Option<String>) {
        self.model.ends_links_for(&person.id, |purpose| *purpose == Purpose::Reset);
        let expires = self.model.now + HOUR_MS;
        let token = link.and_then(|link| link.rsplit_once('#').map(|(_, token)| token.to_owned()));
        self.links(person, Purpose::Reset, expires, token);
        self.audits(person.account, AuditEvent::AuthnTokenCreated, person.id.as_str());
        self.posts("password_reset", &person.email);
    }

    pub(super) fn links(
        &mut self,
        person: &Person,
        purpose: Purpose,
        expires: i64,
        token: Option<String>,
    ) {
        let member = person.id.clone();
        let new = Sent { id: None, member, purpose, expires, confirmed: false, dead: false, token };
        self.model.links.push(new);
    }

    pub(super) async fn ask_reset(&mut self) -> Held {
        let account = self.dice.below(ACCOUNTS.len());
        let email = self.address();
        self.note(format_args!("somebody asks for a new password for {email} on {account}"));
        let holder = match self.model.holder(account, &email) {
            Some(Holder::Active(at)) => Some(self.model.people[at].clone()),
            _ => None,
        };
        let app = self.world.app.clone();
        let at = slug(account);
        let call = async {
            let revision = app.store.revision().await?;
            let sent = passwords::send_link(&app, &at, &email).await;
            sent.map(|()| Committed { revision, value: () })
        };
        let queued = self.look_letter(());
        let nobody = holder.is_none();
        let look = async move |store: &Store| if nobody { Some(()) } else { queued(store).await };
        let made = self.change(&Reasons::default(), call, look).await?.is_some();
        if let (true, Some(person)) = (made, holder) {
            self.resets(&person, None);
        }
        Ok(())
    }

    pub(super) async fn reset_by_link(&mut self) -> Held {
        let token = self.some_link_token(|purpose| *purpose == Purpose::Reset);
        let Some(token) = token else { return Ok(()) };
        let good = !self.dice.percent(10);
        self.reset_by(token, good).await
    }

    pub(super) async fn reset_by(&mut self, token: String, good: bool) -> Held {
        let password = if good { self.new_password() } else { BAD_PASSWORD.to_owned() };
        let at = self.model.link_by_token(&token);
        let link = at.map(|at| self.model.links[at].clone());
        let dead = self.model.dead_link(&token);
        self.note(format_args!("somebody sets a new password by {link:?}: {dead:?} {good}"));
        let mut reasons = Reasons::of(dead);
        if dead.is_none() {
            reasons = reasons.when(!good, "invalid");
            if link.as_ref().is_some_and(|link| link.purpose != Purpose::Reset) {
                reasons = reasons.when(true, "link_dead");
            }
        }
        let app = self.world.app.clone();
        let call = async {
            let set =
                passwords::reset_by_link(&app, &token, &password, &ClientInfo::default()).await;
            set.map(|done| Committed { revision: done.revision, value: Some(done.value.1) })
        };
        let look = self.look_letter::<Option<u64>>(None);
        let Some(told) = self.change(&reasons, call, look).await? else { return Ok(()) };
        let member = link.unwrap().member;
        let ended = self.model.ends_seats(&member, None);
        if told.is_some_and(|told| told != ended as u64) {
            return Err(format!("{told:?} sessions ended by a new password, not {ended}"));
        }
        self.model.ends_links(&member);
        let person = self.model.person_mut(&member).unwrap();
        person.password = Some(password);
        let person = person.clone();
        self.audits(person.account, AuditEvent::AuthnPasswordChange, member.as_str());
        self.posts("password_changed", &person.email);
        Ok(())
    }

    /// A token of a link, mostly of one that opens something of this purpose.
    pub(super) fn some_link_token(&mut self, fits: impl Fn(&Purpose) -> bool) -> Option<String> {
        let (mut live, mut dead) = (Vec::new(), BTreeMap::<&str, Vec<&str>>::new());
        for link in &self.model.links {
            let Some(token) = link.token.as_deref() else { continue };
            let other = (!fits(&link.purpose)).then_some("of another purpose");
            match self.model.dead_link(token).or(other) {
                None => live.push(token),
                Some(why) => dead.entry(why).or_default().push(token),
            }
        }
        let dead: Vec<&Vec<&str>> = dead.values().collect();
        let some = match self.dice.below(100) {
            0..70 => Some(self.dice.perhaps(&live)?.to_owned()),
            70..97 => self.dice.perhaps(&dead).map(|tokens| self.dice.one_of(tokens).to_owned()),
            _ => None,
        };
        Some(some.unwrap_or_else(|| self.forged()))
    }

    pub(super) async fn change_address(&mut self) -> Held {
        let Some(at) = self.somebodys_seat() else { return Ok(()) };
        let showing = self.shows(&self.model.seats[at].member.clone());
        let Some(signed_in) = self.signed_in(at)? else { return Ok(()) };
        let person = self.model.owner(at).clone();
        let (password, right) = self.own_password(&person);
        let to = self.address();
        self.note(format_args!("{} wants the address {to}, right: {right}", person.id));
        let lately = self.model.wrote_lately(&to);
        let mut reasons =
            self.about_step_up(&person, right, &showing).perhaps(lately, "too_many_requests");
        self.model.writes_to(&to);
        if to.key() == person.email.key() {
            reasons = reasons.when(true, "same_address")
        } else {
            let holder = self.model.holder(person.account, &to);
            reasons.must.extend(holder.map(Holder::refuses_member));
        }
        let app = self.world.app.clone();
        let wanted = to.clone();
        let call = async {
            let revision = app.store.revision().await?;
            let from = ClientInfo::default();
            let begun =
                own_profile::change_email(&app, signed_in, wanted, &showing.with(&password), from)
                    .await;
            begun.map(|expires| Committed { revision, value: Some(expires.0) })
        };
        let look = self.look_letter::<Option<i64>>(None);
        let made = self.change(&reasons, call, look).await?;
        self.tried(&person, right && showing.refused() != Some("wrong_code"));
        let Some(told) = made else { return Ok(()) };
        self.spends(&person.id, &showing);
        let expires = self.model.now + DAY_MS;
        if told.is_some_and(|told| told != expires) {
            return Err(format!("a change of address ends at {told:?}, not {expires}"));
        }
        self.model.ends_links_for(&person.id, |purpose| *purpose != Purpose::Reset);
        for (at_old, email) in [(true, &person.email), (false, &to)] {
            let purpose = Purpose::NewAddress { to: to.clone(), at_old };
            self.links(&person, purpose, expires, None);
            self.posts("email_change", email);
        }
        self.audits(person.account, AuditEvent::AuthnTokenCreated, person.id.as_str());
        Ok(())
    }

    pub(super) async fn confirm_address(&mut self) -> Held {
        let token = self.some_link_token(|purpose| *purpose != Purpose::Reset);
        let Some(token) = token else { return Ok(()) };
        let at = self.model.link_by_token(&token);
        let link = at.map(|at| self.model.links[at].clone());
        let dead = self.model.dead_link(&token);
        self.note(format_args!("somebody confirms {link:?}: {dead:?}"));
        let other = link.as_ref().is_some_and(|link| link.purpose == Purpose::Reset);
        let mut reasons = Reasons::of(if other { Some("link_dead") } else { dead });
        let mut ends = None;
        if let (None, Some(link)) = (dead, &link) {
            match &link.purpose {
                Purpose::Reset => {}
                Purpose::NewAddress { to, .. } if !link.confirmed => {
                    let done = self.model.is_other_end_confirmed(link);
                    if done {
                        let account = self.model.person(&link.member).unwrap().account;
                        let holder = self.model.holder(account, to);
                        reasons.must.extend(holder.map(Holder::refuses_member));
                    }
                    ends = Some((link.member.clone(), to.clone(), done));
                }
                Purpose::NewAddress { .. } => {}
            }
        }
        let app = self.world.app.clone();
        let call = own_profile::confirm_email(&app, &token);
        let hash = Token::parse(&token).unwrap().hash();
        let again = ends.is_none();
        let look = async move |store: &Store| {
            let waiting = EmailConfirmed::WaitingFor(AddressSide::New);
            let link = store.link_by_token(hash).await.unwrap();
            let made = again || link.is_none_or(|link| link.confirmed.is_some());
            made.then_some(waiting)
        };
        let Some(_) = self.change(&reasons, call, look).await? else { return Ok(()) };
        let (Some((member, to, done)), Some(at)) = (ends, at) else { return Ok(()) };
        let target = self.model.people.iter().position(|person| person.id == member).unwrap();
        let old = self.model.people[target].email.clone();
        if done {
            self.takes_address(target, &to);
            self.posts("email_changed", &old);
        } else {
            self.model.links[at].confirmed = true;
            let account = self.model.people[target].account;
            self.audits(account, AuditEvent::UserUpdated, member.as_str());
        }
        Ok(())
    }

    pub(super) fn takes_address(&mut self, target: usize, email: &Email) {
        let person = self.model.people[target].clone();
        if email.key() != person.email.key() {
            for ended in self.model.makes_way(person.account, email) {
                self.audits(person.account, AuditEvent::InviteRevoked, ended.as_str());
            }
            self.model.ends_links(&person.id);
        }
        let known = &mut self.model.people[target];
        known.email = email.clone();
        known.version += 1;
        self.audits(person.account, AuditEvent::UserUpdated, person.id.as_str());
    }
}
