//! Members: created, edited, suspended, restored, removed, leaving; and the settings of accounts.

use std::collections::BTreeSet;
use std::time::Duration;

use kwic_team::domain::{Actor, AuditEvent, Digest, Member, MemberId, Status, Timestamp, Version};
use kwic_team::services::client_info::ClientInfo;
use kwic_team::services::members::{self, ChosenMember, NewMember};
use kwic_team::services::{accounts, directory_sync, own_profile};
use kwic_team::store::{AccountEdit, Committed, ImportPart, ImportRow, MemberEdit, Store};
use tokio::sync::mpsc;

use super::actions::{MEMBERS_MAX, UID, name, role};
use super::model::{ACCOUNTS, HOUR_MS, Holder, Person, Reasons, Who, account_at};
use super::policies::Right;
use super::second_factors::Which;
use super::{Held, Sim, slug};

impl Sim {
    /// Why a change of a member must be refused, whatever it changes.
    pub(super) fn about_member(
        &self,
        who: Who,
        target: usize,
        expected: Option<Version>,
        right: Right<'_>,
    ) -> Reasons {
        let person = &self.model.people[target];
        let elsewhere = person.gone || person.account != self.model.account_of(who);
        let reasons = Reasons::default()
            .when(!self.model.may(who, right), "not_allowed")
            .when(elsewhere, "unknown_member");
        if elsewhere {
            return reasons;
        }
        reasons.when(expected.is_some_and(|expected| expected.0 != person.version), "stale")
    }

    pub(super) async fn edit_names(&mut self) -> Held {
        let who = self.who();
        let account = self.model.account_of(who);
        let Some(target) = self.some_member(account) else { return Ok(()) };
        let Some(caller) = self.caller(who)? else { return Ok(()) };
        let person = self.model.people[target].clone();
        let expected = self.version(person.version);
        let (first, last) = self.names();
        self.note(format_args!("{who:?} names {} {first} {last}, {expected:?}", person.id));
        let reasons = self.about_member(who, target, expected, Right::Edit);
        let edit = MemberEdit {
            first_name: Some(name(&first)),
            last_name: Some(name(&last)),
            ..MemberEdit::default()
        };
        let app = self.world.app.clone();
        let chosen = ChosenMember { id: person.id.clone(), expected };
        let call = members::edit(&app, caller, chosen, edit);
        let look = look_edited(&person);
        if self.change(&reasons, call, look).await?.is_some() {
            self.renames(target, first, last);
        }
        Ok(())
    }

    pub(super) fn renames(&mut self, target: usize, first: String, last: String) {
        let person = &mut self.model.people[target];
        if (&person.first_name, &person.last_name) == (&first, &last) {
            return;
        }
        person.first_name = first;
        person.last_name = last;
        person.version += 1;
        let (account, id) = (person.account, person.id.clone());
        self.audits(account, AuditEvent::UserUpdated, id.as_str());
    }

    pub(super) async fn own_names(&mut self) -> Held {
        let Some(at) = self.somebodys_seat() else { return Ok(()) };
        let Some(signed_in) = self.signed_in(at)? else { return Ok(()) };
        let person = self.model.owner(at).clone();
        let target = self.model.people.iter().position(|other| other.id == person.id).unwrap();
        let expected = self.version(person.version);
        let (first, last) = self.names();
        self.note(format_args!("{} takes the name {first} {last}", person.id));
        let stale = expected.is_some_and(|expected| expected.0 != person.version);
        let reasons = Reasons::default().when(stale, "stale");
        let app = self.world.app.clone();
        let (new_first, new_last) = (Some(name(&first)), Some(name(&last)));
        let call = own_profile::edit(&app, signed_in, expected, new_first, new_last);
        let look = look_edited(&person);
        if self.change(&reasons, call, look).await?.is_some() {
            self.renames(target, first, last);
        }
        Ok(())
    }

    pub(super) async fn edit_role(&mut self) -> Held {
        let who = self.who();
        let account = self.model.account_of(who);
        let Some(target) = self.some_member(account) else { return Ok(()) };
        let Some(caller) = self.caller(who)? else { return Ok(()) };
        let person = self.model.people[target].clone();
        let expected = self.version(person.version);
        let given = self.some_role();
        self.note(format_args!("{who:?} gives {} the role {given}", person.id));
        let reasons = self.about_member(who, target, expected, Right::Edit);
        let reasons = self.model.about_role(reasons, who, target, &given);
        let edit = MemberEdit { role: Some(role(&given)), ..MemberEdit::default() };
        let app = self.world.app.clone();
        let chosen = ChosenMember { id: person.id.clone(), expected };
        let call = members::edit(&app, caller, chosen, edit);
        let look = look_edited(&person);
        if self.change(&reasons, call, look).await?.is_some() && person.role != given {
            self.takes_role(target, &given);
        }
        Ok(())
    }

    pub(super) fn takes_role(&mut self, target: usize, given: &str) {
        let (account, id) = {
            let person = &self.model.people[target];
            (person.account, person.id.clone())
        };
        for ended in self.model.takes_role(target, given) {
            self.audits(account, AuditEvent::InviteRevoked, ended.as_str());
        }
        self.audits(account, AuditEvent::PrivilegePermissionsChanged, id.as_str());
    }

    pub(super) async fn edit_address(&mut self) -> Held {
        let who = if self.dice.percent(80) {
            Who::Sidecar(self.dice.below(ACCOUNTS.len()))
        } else {
            self.who()
        };
        let account = self.model.account_of(who);
        let Some(target) = self.some_member(account) else { return Ok(()) };
        let Some(caller) = self.caller(who)? else { return Ok(()) };
        let person = self.model.people[target].clone();
        let expected = self.version(person.version);
        let email = self.address();
        self.note(format_args!("{who:?} gives {} the address {email}", person.id));
        let reasons = self.about_member(who, target, expected, Right::Edit);
        let mut reasons = reasons.when(!matches!(who, Who::Sidecar(_)), "operator_only");
        if email.key() != person.email.key() {
            let holder = self.model.holder(person.account, &email);
            reasons.must.extend(holder.map(Holder::refuses_member));
        }
        let edit = MemberEdit { email: Some(email.clone()), ..MemberEdit::default() };
        let app = self.world.app.clone();
        let chosen = ChosenMember { id: person.id.clone(), expected };
        let call = members::edit(&app, caller, chosen, edit);
        let look = look_edited(&person);
        if self.change(&reasons, call, look).await?.is_some() && email != person.email {
            self.takes_address(target, &email);
        }
        Ok(())
    }

    pub(super) async fn suspend(&mut self) -> Held {
        let who = self.who();
        let account = self.model.account_of(who);
        // Nobody may accept what a suspended member sent, as long as that lasts.
        let mut inviters = self.inviters(account);
        inviters.retain(|at| !self.model.is_last_administrator(&self.model.people[*at]));
        let inviter = self.dice.perhaps(&inviters).filter(|_| self.dice.percent(50));
        let Some(target) = inviter.or_else(|| self.some_member(account)) else { return Ok(()) };
        self.suspend_one(who, target).await
    }

    pub(super) async fn suspend_one(&mut self, who: Who, target: usize) -> Held {
        let Some(caller) = self.caller(who)? else { return Ok(()) };
        let person = self.model.people[target].clone();
        let expected = self.version(person.version);
        self.note(format_args!("{who:?} suspends {}", person.id));
        let here = !person.gone && person.account == self.model.account_of(who);
        let reasons = self
            .about_member(who, target, expected, Right::Edit)
            .when(here && person.status == Status::Suspended, "already_suspended")
            .when(here && self.model.is_last_administrator(&person), "last_administrator");
        let app = self.world.app.clone();
        let chosen = ChosenMember { id: person.id.clone(), expected };
        let call = members::suspend(&app, caller, chosen);
        let look = look_edited(&person);
        if self.change(&reasons, call, look).await?.is_some() {
            self.model.suspends(target);
            self.audits(person.account, AuditEvent::UserSuspended, person.id.as_str());
        }
        Ok(())
    }

    pub(super) async fn restore(&mut self) -> Held {
        let who = self.who();
        let account = self.model.account_of(who);
        let suspended: Vec<usize> = self
            .model
            .members(account)
            .into_iter()
            .filter(|at| self.model.people[*at].status == Status::Suspended)
            .collect();
        let found = if self.dice.percent(85) {
            self.dice.perhaps(&suspended)
        } else {
            self.some_member(account)
        };
        let Some(target) = found else { return Ok(()) };
        let Some(caller) = self.caller(who)? else { return Ok(()) };
        let person = self.model.people[target].clone();
        let expected = self.version(person.version);
        self.note(format_args!("{who:?} restores {}", person.id));
        let here = !person.gone && person.account == self.model.account_of(who);
        let reasons = self
            .about_member(who, target, expected, Right::Edit)
            .when(here && person.status == Status::Active, "already_active");
        let app = self.world.app.clone();
        let chosen = ChosenMember { id: person.id.clone(), expected };
        let call = members::restore(&app, caller, chosen);
        let look = look_edited(&person);
        if self.change(&reasons, call, look).await?.is_some() {
            let known = &mut self.model.people[target];
            known.status = Status::Active;
            known.version += 1;
            self.audits(person.account, AuditEvent::UserRestored, person.id.as_str());
        }
        Ok(())
    }

    pub(super) async fn remove(&mut self) -> Held {
        let who = self.who();
        let account = self.model.account_of(who);
        let Some(target) = self.some_member(account) else { return Ok(()) };
        self.remove_one(who, target).await
    }

    pub(super) async fn remove_one(&mut self, who: Who, target: usize) -> Held {
        let Some(caller) = self.caller(who)? else { return Ok(()) };
        let person = self.model.people[target].clone();
        let expected = self.version(person.version);
        self.note(format_args!("{who:?} removes {}", person.id));
        let here = !person.gone && person.account == self.model.account_of(who);
        let reasons = self
            .about_member(who, target, expected, Right::Remove)
            .when(here && self.model.is_last_administrator(&person), "last_administrator");
        self.plan_for_leaving(&person.id);
        let app = self.world.app.clone();
        let chosen = ChosenMember { id: person.id.clone(), expected };
        let call = async {
            members::remove(&app, caller, chosen).await.map(|done| {
                let counts = (done.value.sessions_ended, done.value.invites_cancelled);
                Committed { revision: done.revision, value: Some(counts) }
            })
        };
        let look = look_gone(&person.id);
        let Some(told) = self.change(&reasons, call, look).await? else { return Ok(()) };
        self.goes(target, told)
    }

    /// Somebody is gone; what ended with that is told, where it was heard.
    pub(super) fn goes(&mut self, target: usize, told: Option<(u64, u64)>) -> Held {
        let (account, id) = {
            let person = &self.model.people[target];
            (person.account, person.id.clone())
        };
        let (sessions, invites) = self.model.goes(target);
        if told.is_some_and(|told| told != (sessions as u64, invites.len() as u64)) {
            return Err(format!(
                "removing {id} ended {told:?} sessions and invites, not {sessions} and {}",
                invites.len()
            ));
        }
        for ended in invites {
            self.audits(account, AuditEvent::InviteRevoked, ended.as_str());
        }
        self.audits(account, AuditEvent::UserDeleted, id.as_str());
        Ok(())
    }

    pub(super) async fn leave(&mut self) -> Held {
        let Some(at) = self.somebodys_seat() else { return Ok(()) };
        let showing = self.shows(&self.model.seats[at].member.clone());
        let Some(signed_in) = self.signed_in(at)? else { return Ok(()) };
        let person = self.model.owner(at).clone();
        let target = self.model.people.iter().position(|other| other.id == person.id).unwrap();
        let (password, right) = self.own_password(&person);
        self.note(format_args!("{} leaves, right: {right}", person.id));
        let last = self.model.is_last_administrator(&person);
        let refused = showing.refused().filter(|_| showing.which != Which::Owed);
        let mut reasons = self.about_password(&person, right).when(last, "last_administrator");
        reasons.must.extend(refused);
        self.plan_for_leaving(&person.id);
        let app = self.world.app.clone();
        let call = async {
            own_profile::leave(&app, signed_in, &showing.with(&password), ClientInfo::default())
                .await
                .map(|done| {
                    let counts = (done.value.sessions_ended, done.value.invites_cancelled);
                    Committed { revision: done.revision, value: Some(counts) }
                })
        };
        let look = look_gone(&person.id);
        let made = self.change(&reasons, call, look).await?;
        self.tried(&person, right && refused != Some("wrong_code"));
        match made {
            Some(told) => self.goes(target, told),
            None => Ok(()),
        }
    }

    /// Several members one after the other, by one caller.
    pub(super) async fn bulk(&mut self) -> Held {
        let who = self.who();
        let account = self.model.account_of(who);
        for _ in 0..2 + self.dice.below(4) {
            let Some(target) = self.some_member(account) else { return Ok(()) };
            if self.dice.percent(50) {
                self.suspend_one(who, target).await?
            } else {
                self.remove_one(who, target).await?
            }
            if self.crashed {
                return Ok(());
            }
        }
        Ok(())
    }

    pub(super) fn new_member(&mut self, account: usize) -> Member {
        let (first, last) = self.names();
        self.made += 1;
        Member {
            id: MemberId::parse(&format!("made-{}", self.made)).unwrap(),
            account: slug(account),
            email: self.address(),
            first_name: name(&first),
            last_name: name(&last),
            role: role(&self.some_role()),
            status: Status::Active,
            two_step: false,
            joined: Timestamp(self.model.now),
            version: Version::FIRST,
        }
    }

    pub(super) async fn create(&mut self) -> Held {
        let who = if self.dice.percent(80) {
            Who::Sidecar(self.dice.below(ACCOUNTS.len()))
        } else {
            self.who()
        };
        let account = self.model.account_of(who);
        if self.model.members(account).len() >= MEMBERS_MAX {
            return Ok(());
        }
        let member = self.new_member(account);
        self.create_one(who, member).await
    }

    pub(super) async fn create_one(&mut self, who: Who, member: Member) -> Held {
        let account = account_at(member.account.as_str());
        let Some(caller) = self.caller(who)? else { return Ok(()) };
        self.note(format_args!("{who:?} makes {} {} {}", member.id, member.email, member.role));
        let holder = self.model.holder(account, &member.email);
        let reasons = Reasons::of(holder.map(Holder::refuses_member))
            .when(!matches!(who, Who::Sidecar(_)), "operator_only")
            .when(!self.model.set.has_role(member.role.as_str()), "unknown_role");
        let new = NewMember {
            id: Some(member.id.clone()),
            email: member.email.clone(),
            first_name: member.first_name.clone(),
            last_name: member.last_name.clone(),
            role: member.role.clone(),
        };
        let app = self.world.app.clone();
        let call = members::create(&app, caller, new);
        let id = member.id.clone();
        let look = async move |store: &Store| store.member(&id).await.unwrap();
        if let Some(made) = self.change(&reasons, call, look).await? {
            self.comes(&made);
            self.audits(account, AuditEvent::UserCreated, made.id.as_str());
        }
        Ok(())
    }

    /// Somebody is a member by the operator's hand.
    pub(super) fn comes(&mut self, member: &Member) {
        let account = account_at(member.account.as_str());
        for ended in self.model.makes_way(account, &member.email) {
            self.audits(account, AuditEvent::InviteRevoked, ended.as_str());
        }
        self.model.adds(member, None);
    }

    pub(super) async fn import(&mut self) -> Held {
        let account = self.dice.below(ACCOUNTS.len());
        let count = 1 + self.dice.below(3);
        if self.model.members(account).len() + count > MEMBERS_MAX {
            return Ok(());
        }
        let rows: Vec<Member> = (0..count).map(|_| self.new_member(account)).collect();
        let emails: Vec<&str> = rows.iter().map(|row| row.email.as_str()).collect();
        self.note(format_args!("{emails:?} are imported into {account}"));
        let keys: BTreeSet<&str> = rows.iter().map(|row| row.email.key()).collect();
        let held = rows.iter().any(|row| self.model.holder(account, &row.email).is_some());
        if rows.iter().any(|row| !self.model.set.has_role(row.role.as_str())) {
            // The API refuses these before they reach the store.
            return Ok(());
        }
        let reasons = Reasons::default().when(held || keys.len() < rows.len(), "import_refused");
        let (app, at, sent) = (self.world.app.clone(), slug(account), rows.clone());
        let call = async {
            let _giving = app.roles_given.read().await;
            let (sender, parts) = mpsc::channel(2);
            let rows = (1..).zip(sent).map(|(line, member)| ImportRow { line, member }).collect();
            sender.try_send(ImportPart::Rows(rows)).unwrap();
            sender.try_send(ImportPart::End { digest: Digest::of(&[b"file"]) }).unwrap();
            let actor = Actor::Sidecar { uid: UID };
            let done = app.store.member_import(&actor, &at, parts).await;
            directory_sync::wait_until_applied(&app, done).await
        };
        let id = rows[0].id.clone();
        let look = async move |store: &Store| store.member(&id).await.unwrap().map(|_| 0);
        if self.change(&reasons, call, look).await?.is_some() {
            for row in &rows {
                self.comes(row);
            }
            self.audits(account, AuditEvent::UsersImported, ACCOUNTS[account]);
        }
        Ok(())
    }

    pub(super) async fn edit_account(&mut self) -> Held {
        let who = self.who();
        let account = self.model.account_of(who);
        let Some(caller) = self.caller(who)? else { return Ok(()) };
        let hours = self.dice.one_of(&[1, 72, 720]);
        self.note(format_args!("{who:?} lets invites live {hours} h"));
        let reasons =
            Reasons::default().when(!self.model.may(who, Right::EditSettings), "not_allowed");
        let lifetime = Duration::from_secs(hours * 3_600);
        let edit = AccountEdit { invite_lifetime: Some(lifetime), ..AccountEdit::default() };
        let app = self.world.app.clone();
        let call = accounts::edit(&app, caller, None, edit);
        let at = slug(account);
        let look = async move |store: &Store| {
            let found = store.account(&at).await.unwrap();
            found.filter(|account| account.invite_lifetime == Some(lifetime))
        };
        let chosen = self.model.chosen_lifetimes[account] == Some(hours);
        if self.change(&reasons, call, look).await?.is_some() && !chosen {
            self.model.chosen_lifetimes[account] = Some(hours);
            self.model.lifetimes_ms[account] = i64::try_from(hours).unwrap() * HOUR_MS;
            self.audits(account, AuditEvent::AccountUpdated, ACCOUNTS[account]);
        }
        Ok(())
    }
}

/// Finds a member in a later version.
fn look_edited(before: &Person) -> impl AsyncFnOnce(&Store) -> Option<Member> + use<> {
    let (id, version) = (before.id.clone(), before.version);
    async move |store: &Store| {
        let found = store.member(&id).await.unwrap();
        found.filter(|member| member.version.0 > version)
    }
}

/// Finds out whether a member is gone.
fn look_gone(id: &MemberId) -> impl AsyncFnOnce(&Store) -> Option<Option<(u64, u64)>> + use<> {
    let id = id.clone();
    async move |store: &Store| {
        let found = store.member(&id).await.unwrap();
        if found.is_none() { Some(None) } else { None }
    }
}
