//! Invites: sent, resent, edited, shown, revoked, accepted, requested again.

use std::collections::{BTreeMap, BTreeSet};

use kwic_team::domain::{AccountSlug, AuditEvent, Email, IdempotencyKey, Invite, Member, Version};
use kwic_team::services::invites::{
    self, ChosenInvite, Invitation, InviteCorrection, InviteWithLink,
};
use kwic_team::store::{Committed, Store};

use super::actions::{BAD_PASSWORD, MEMBERS_MAX, audited, name, role};
use super::model::{Call, DAY_MS, HOUR_MS, Holder, Invited, Lot, Model, Reasons, Who, account_at};
use super::policies::Right;
use super::{Held, Sim, slug};

impl Sim {
    pub(super) async fn invite(&mut self) -> Held {
        let who = self.who();
        let account = self.model.account_of(who);
        if self.model.members(account).len() >= MEMBERS_MAX {
            return Ok(());
        }
        let Some(caller) = self.caller(who)? else { return Ok(()) };
        let (email, given) = (self.address(), self.some_role());
        let (first, last) = self.names();
        let key = self.dice.percent(15).then(|| format!("key-{}", self.dice.below(2)));
        self.note(format_args!("{who:?} invites {email} as {given}, key {key:?}"));
        let invitation = Invitation {
            email: email.clone(),
            first_name: name(&first),
            last_name: name(&last),
            role: role(&given),
        };
        let asked = format!("{} {first} {last} {given}", email.as_str());
        let call_key = key.as_ref().map(|key| (account, caller.actor().label(), key.clone()));
        let repeated = call_key.as_ref().and_then(|key| self.model.calls.get(key)).cloned();
        let repeated = repeated.filter(|call| self.model.now < call.at + DAY_MS);
        let mut reasons = Reasons::default()
            .when(!self.model.set.has_role(&given), "unknown_role")
            .when(!self.model.may(who, Right::Invite), "not_allowed")
            .when(!self.model.may(who, Right::Assign(&given)), "not_allowed");
        match &repeated {
            Some(call) => {
                reasons = reasons.when(call.asked != asked, "idempotency_key_reused");
            }
            None => {
                let holder = self.model.holder(account, &email);
                reasons.must.extend(holder.map(Holder::refuses_invite));
                reasons = too_many(&self.model, reasons, account, &email);
            }
        }
        let app = self.world.app.clone();
        let (at, wanted) = (slug(account), email.clone());
        let known: BTreeSet<_> =
            self.model.invites.iter().map(|invite| invite.id.clone()).collect();
        let repeats = repeated.as_ref().map(|call| call.invite.clone());
        let key = key.map(|key| IdempotencyKey::parse(&key).unwrap());
        let call = invites::send(&app, caller, invitation, key);
        let call = async { call.await.map(with_link) };
        let look = async move |store: &Store| {
            let made = all_invites(store, &at).await;
            made.into_iter()
                .find(|invite| match &repeats {
                    Some(repeats) => invite.id == *repeats,
                    None => invite.email == wanted && !known.contains(&invite.id),
                })
                .map(|invite| (invite, None))
        };
        let Some((invite, link)) = self.change(&reasons, call, look).await? else { return Ok(()) };
        if let Some(call) = repeated {
            return if invite.id == call.invite {
                Ok(())
            } else {
                Err("a repeated call made another invite".to_owned())
            };
        }
        self.holds_expiry(&invite)?;
        for ended in self.model.makes_way(account, &email) {
            self.audits(account, AuditEvent::InviteRevoked, ended.as_str());
        }
        self.model.invites(&invite);
        self.model.sends_to(account, &email);
        self.learn_link(invite.id.as_str(), link)?;
        if let Some(key) = call_key {
            let (invite, at) = (invite.id.clone(), self.model.now);
            self.model.calls.insert(key, Call { asked, invite, at });
        }
        self.audits(account, AuditEvent::InviteCreated, invite.id.as_str());
        self.posts("invite", &email);
        Ok(())
    }

    /// An invite ends when its account says.
    pub(super) fn holds_expiry(&self, invite: &Invite) -> Held {
        let account = account_at(invite.account.as_str());
        let until = self.model.now + self.model.lifetimes_ms[account];
        if invite.expires.0 == until {
            return Ok(());
        }
        Err(format!("an invite ends at {}, not {until}", invite.expires.0))
    }

    /// Keeps the token of a link that was shown.
    pub(super) fn learn_link(&mut self, invite: &str, link: Option<String>) -> Held {
        let Some(link) = link else { return Ok(()) };
        let token = link.rsplit_once('#').map(|(_, token)| token.to_owned());
        let token = token.ok_or_else(|| format!("a link without a token: {link}"))?;
        let found = self.model.invites.iter_mut().find(|known| known.id.as_str() == invite);
        let found = found.ok_or("a link of an unknown invite")?;
        let before = found.tokens.insert(found.generation, token.clone());
        if before.is_some_and(|before| before != token) {
            return Err("one link has two tokens".to_owned());
        }
        Ok(())
    }

    /// An invite: mostly one that is open.
    pub(super) fn some_invite(&mut self) -> Option<usize> {
        let all: Vec<usize> = (0..self.model.invites.len()).collect();
        let open: Vec<usize> =
            all.iter().copied().filter(|at| self.model.invites[*at].is_open()).collect();
        if self.dice.percent(80) { self.dice.perhaps(&open) } else { self.dice.perhaps(&all) }
    }

    /// Why a change of an invite must be refused, whatever it changes.
    pub(super) fn about_invite(&self, who: Who, at: usize, expected: Option<Version>) -> Reasons {
        let invite = &self.model.invites[at];
        let elsewhere = invite.account != self.model.account_of(who) || invite.forgotten;
        let reasons = Reasons::default()
            .when(!self.model.may(who, Right::Invite), "not_allowed")
            .when(elsewhere, "unknown_invite");
        if elsewhere {
            return reasons;
        }
        reasons
            .when(expected.is_some_and(|expected| expected.0 != invite.version), "stale")
            .when(matches!(invite.fate, Lot::Accepted(_)), "invite_accepted")
            .when(matches!(invite.fate, Lot::Revoked(_)), "invite_revoked")
    }

    /// The same, and the role is given again.
    pub(super) fn about_giving(
        &self,
        reasons: Reasons,
        who: Who,
        at: usize,
        role: Option<&str>,
    ) -> Reasons {
        let invite = &self.model.invites[at];
        let here = invite.account == self.model.account_of(who) && !invite.forgotten;
        let given = role.or(here.then_some(invite.role.as_str()));
        match given {
            Some(given) => reasons
                .when(role.is_some() && !self.model.set.has_role(given), "unknown_role")
                .when(role.is_none() && !self.model.set.has_role(given), "invite_role_gone")
                .when(!self.model.may(who, Right::Assign(given)), "not_allowed"),
            None => reasons,
        }
    }

    pub(super) async fn resend(&mut self) -> Held {
        let Some(at) = self.some_invite() else { return Ok(()) };
        let who = self.who_of(self.model.invites[at].account);
        let Some(caller) = self.caller(who)? else { return Ok(()) };
        let invite = self.model.invites[at].clone();
        let expected = self.version(invite.version);
        self.note(format_args!("{who:?} resends {} to {}, {expected:?}", invite.id, invite.email));
        let reasons = self.about_giving(self.about_invite(who, at, expected), who, at, None);
        let reasons = too_many(&self.model, reasons, invite.account, &invite.email);
        let app = self.world.app.clone();
        let chosen = ChosenInvite { id: invite.id.clone(), expected };
        let call = async { invites::resend(&app, caller, chosen).await.map(with_link) };
        let Some((made, link)) = self.change(&reasons, call, look_changed(&invite)).await? else {
            return Ok(());
        };
        self.holds_expiry(&made)?;
        self.renewed(at, &made, who);
        self.model.sends_to(invite.account, &invite.email);
        self.learn_link(made.id.as_str(), link)?;
        self.audits(invite.account, AuditEvent::InviteResent, made.id.as_str());
        self.posts("invite", &invite.email);
        Ok(())
    }

    /// An invite gets its next link, and the giver becomes responsible for it.
    fn renewed(&mut self, at: usize, made: &Invite, who: Who) {
        let giver = self.model.actor(who).map(|person| person.id.clone());
        let invite = &mut self.model.invites[at];
        invite.generation += 1;
        invite.version += 1;
        invite.expires = made.expires.0;
        invite.inviter = giver;
    }

    pub(super) async fn correct(&mut self) -> Held {
        let Some(at) = self.some_invite() else { return Ok(()) };
        let who = self.who_of(self.model.invites[at].account);
        let Some(caller) = self.caller(who)? else { return Ok(()) };
        let invite = self.model.invites[at].clone();
        let expected = self.version(invite.version);
        let email = self.dice.percent(60).then(|| self.address());
        let given = self.dice.percent(40).then(|| self.some_role());
        let (first, last) = self.names();
        let (first, last) = (Some(first).filter(|_| self.dice.percent(30)), Some(last));
        self.note(format_args!("{who:?} corrects {}: {email:?} {given:?} {first:?}", invite.id));
        let reasons = self.about_invite(who, at, expected);
        let mut reasons = self.about_giving(reasons, who, at, given.as_deref());
        let moved = email.clone().filter(|email| *email != invite.email);
        let gives = given.as_ref().is_some_and(|given| *given != invite.role);
        let answers = self.model.actor(who).map(|person| &person.id) == invite.inviter.as_ref();
        // Who answers for it, or saw its link, must not pass on what another one gives.
        let renews = moved.is_some() || gives && !answers;
        if let (None, true) = (&moved, renews) {
            reasons = too_many(&self.model, reasons, invite.account, &invite.email);
        }
        if let Some(email) = &moved {
            if email.key() != invite.email.key() {
                let holder = self.model.holder(invite.account, email);
                reasons.must.extend(holder.map(Holder::refuses_invite));
            }
            reasons = too_many(&self.model, reasons, invite.account, email);
        }
        let correction = InviteCorrection {
            email,
            first_name: first.as_deref().map(name),
            last_name: last.as_deref().map(name),
            role: given.as_deref().map(role),
        };
        let app = self.world.app.clone();
        let chosen = ChosenInvite { id: invite.id.clone(), expected };
        let changes = moved.is_some()
            || gives
            || first.as_ref().is_some_and(|first| *first != invite.first_name)
            || last.as_ref().is_some_and(|last| *last != invite.last_name);
        let call =
            async { invites::correct(&app, caller, chosen, correction).await.map(with_link) };
        let look = look_changed(&invite);
        let Some((made, link)) = self.change(&reasons, call, look).await? else { return Ok(()) };
        if !changes {
            return Ok(());
        }
        if let Some(email) = &moved {
            // Its own address in other letters is nobody else's: the invite itself goes on.
            if email.key() != invite.email.key() {
                for ended in self.model.makes_way(invite.account, email) {
                    self.audits(invite.account, AuditEvent::InviteRevoked, ended.as_str());
                }
            }
            self.model.invites[at].email = email.clone();
        }
        if renews {
            let email = self.model.invites[at].email.clone();
            self.holds_expiry(&made)?;
            self.renewed(at, &made, who);
            self.model.sends_to(invite.account, &email);
            self.posts("invite", &email);
        } else {
            self.model.invites[at].version += 1;
        }
        let known = &mut self.model.invites[at];
        known.role = given.unwrap_or_else(|| known.role.clone());
        known.first_name = first.unwrap_or_else(|| known.first_name.clone());
        known.last_name = last.unwrap_or_else(|| known.last_name.clone());
        self.learn_link(made.id.as_str(), link)?;
        self.audits(invite.account, AuditEvent::InviteUpdated, made.id.as_str());
        Ok(())
    }

    pub(super) async fn show_link(&mut self) -> Held {
        let Some(at) = self.some_invite() else { return Ok(()) };
        let who = self.who_of(self.model.invites[at].account);
        let Some(caller) = self.caller(who)? else { return Ok(()) };
        let invite = self.model.invites[at].clone();
        let expected = self.version(invite.version);
        self.note(format_args!("{who:?} looks at the link of {}", invite.id));
        let reasons = self.about_giving(self.about_invite(who, at, expected), who, at, None);
        let app = self.world.app.clone();
        let chosen = ChosenInvite { id: invite.id.clone(), expected };
        let call = async { invites::link(&app, caller, chosen).await.map(with_link) };
        let event = AuditEvent::InviteLinkShown;
        let seen = self.audit_seen[invite.account];
        let (account, id) = (slug(invite.account), invite.id.clone());
        let look = async move |store: &Store| {
            let audited = audited(store, &account, seen, event, id.as_str()).await;
            let found = store.invite(&account, &id).await.unwrap();
            found.filter(|_| audited).map(|view| (view.invite, None))
        };
        let Some((made, link)) = self.change(&reasons, call, look).await? else { return Ok(()) };
        // A member sees only a link that ends with the own right to give it.
        let actor = self.model.actor(who).map(|person| &person.id);
        let of_another = actor.is_some() && actor != invite.inviter.as_ref();
        if self.model.now >= invite.expires || of_another {
            self.holds_expiry(&made)?;
            self.renewed(at, &made, who);
        }
        self.learn_link(made.id.as_str(), link)?;
        self.audits(invite.account, event, made.id.as_str());
        Ok(())
    }

    pub(super) async fn revoke(&mut self) -> Held {
        let Some(at) = self.some_invite() else { return Ok(()) };
        let who = self.who_of(self.model.invites[at].account);
        let Some(caller) = self.caller(who)? else { return Ok(()) };
        let invite = self.model.invites[at].clone();
        let expected = self.version(invite.version);
        self.note(format_args!("{who:?} revokes {}", invite.id));
        let reasons = self.about_invite(who, at, expected);
        let app = self.world.app.clone();
        let chosen = ChosenInvite { id: invite.id.clone(), expected };
        let call = async { invites::revoke(&app, caller, chosen).await.map(with_link) };
        let look = look_changed(&invite);
        if self.change(&reasons, call, look).await?.is_some() {
            let known = &mut self.model.invites[at];
            known.fate = Lot::Revoked(self.model.now);
            known.version += 1;
            self.audits(invite.account, AuditEvent::InviteRevoked, invite.id.as_str());
        }
        Ok(())
    }

    /// A token of whatever was seen: of an invite mostly, else of something else or of nothing.
    pub(super) fn some_token(&mut self) -> Option<String> {
        let (mut valid, mut dead) = (Vec::new(), BTreeMap::<&str, Vec<&str>>::new());
        let mut lost = Vec::new();
        for invite in &self.model.invites {
            let may = self.model.inviter_may(invite);
            for token in invite.tokens.values() {
                match self.model.dead_token(token) {
                    None if may => valid.push(token.as_str()),
                    None => lost.push(token.as_str()),
                    Some(why) => dead.entry(why).or_default().push(token),
                }
            }
        }
        let dead: Vec<&Vec<&str>> = dead.values().collect();
        let some = match self.dice.below(100) {
            // Seldom there, and gone soon.
            0..20 if !lost.is_empty() => self.dice.perhaps(&lost),
            0..60 => Some(self.dice.perhaps(&valid)?),
            // Each way to be dead as often as the others.
            60..94 => self.dice.perhaps(&dead).map(|tokens| self.dice.one_of(tokens)),
            _ => None,
        };
        if let Some(token) = some {
            return Some(token.to_owned());
        }
        let links = self.model.links.iter().filter_map(|link| link.token.as_deref());
        let others: Vec<&str> =
            links.chain(self.model.seats.iter().filter_map(|seat| seat.token.as_deref())).collect();
        Some(match self.dice.perhaps(&others) {
            Some(other) if self.dice.percent(50) => other.to_owned(),
            _ => self.forged(),
        })
    }

    pub(super) async fn accept(&mut self) -> Held {
        let Some(token) = self.some_token() else { return Ok(()) };
        let good = !self.dice.percent(8);
        self.accept_by(token, good).await
    }

    pub(super) async fn accept_by(&mut self, token: String, good: bool) -> Held {
        let password = if good { self.new_password() } else { BAD_PASSWORD.to_owned() };
        let found = self.model.by_token(&token);
        let dead = self.model.dead_token(&token);
        let invite = found.map(|(at, _)| self.model.invites[at].clone());
        let who = invite.as_ref().map(|invite| invite.id.as_str().to_owned());
        self.note(format_args!("somebody accepts {who:?}, by a dead link: {dead:?}, good: {good}"));
        let mut reasons = Reasons::of(dead);
        if let (None, Some(invite)) = (dead, &invite) {
            reasons = reasons
                .when(!self.model.inviter_may(invite), "inviter_lost_right")
                .when(!good, "invalid");
        }
        let app = self.world.app.clone();
        let call = invites::accept(&app, &token, &password);
        let address = invite.as_ref().map(|invite| (slug(invite.account), invite.email.clone()));
        let look = look_member(address);
        let Some(member) = self.change(&reasons, call, look).await? else { return Ok(()) };
        let ((at, _), invite) = (found.unwrap(), invite.unwrap());
        let as_invited = member.email == invite.email
            && member.role.as_str() == invite.role
            && member.first_name.as_str() == invite.first_name
            && member.account == slug(invite.account);
        if !as_invited {
            return Err(format!("{member:?} joined by {invite:?}"));
        }
        let known = &mut self.model.invites[at];
        known.fate = Lot::Accepted(self.model.now);
        known.version += 1;
        self.model.adds(&member, Some(password));
        self.audits(invite.account, AuditEvent::InviteAccepted, invite.id.as_str());
        self.audits(invite.account, AuditEvent::UserCreated, member.id.as_str());
        Ok(())
    }

    pub(super) async fn want(&mut self) -> Held {
        let Some(token) = self.some_token() else { return Ok(()) };
        let found = self.model.by_token(&token).map(|(at, _)| at);
        let invite = found.map(|at| self.model.invites[at].clone());
        let open = invite.as_ref().filter(|invite| invite.is_open());
        self.note(format_args!(
            "somebody wants a new link of {:?}",
            invite.as_ref().map(|i| &i.id)
        ));
        let lately = |at: i64| self.model.now < at + HOUR_MS;
        // The inviter was asked recently.
        let open = open.filter(|invite| !invite.wanted.is_some_and(lately));
        let reasons = Reasons::default();
        let app = self.world.app.clone();
        let call = async {
            let revision = app.store.revision().await?;
            invites::request_new_link(&app, &token)
                .await
                .map(|()| Committed { revision, value: () })
        };
        let event = AuditEvent::InviteWanted;
        let target = open.map(|invite| (slug(invite.account), invite.id.as_str().to_owned()));
        let seen = open.map_or(0, |invite| self.audit_seen[invite.account]);
        let look = async move |store: &Store| match target {
            Some((account, id)) => audited(store, &account, seen, event, &id).await.then_some(()),
            None => Some(()),
        };
        let made = self.change(&reasons, call, look).await?.is_some();
        let (true, Some(invite), Some(at)) = (made, open, found) else { return Ok(()) };
        if !self.crashed {
            self.model.invites[at].wanted = Some(self.model.now);
        }
        self.audits(invite.account, event, invite.id.as_str());
        let reader = invite.inviter.as_ref().and_then(|id| self.model.person(id));
        if let Some(reader) = reader.filter(|reader| reader.active()) {
            let to = reader.email.clone();
            self.posts("invite_wanted", &to);
        }
        Ok(())
    }
}

/// Why a link may not go to an address so soon.
fn too_many(model: &Model, reasons: Reasons, account: usize, email: &Email) -> Reasons {
    reasons.when(model.too_many_to(account, email), "too_many_invites")
}

/// An invite that came back, with its link where that was shown.
fn with_link(done: Committed<InviteWithLink>) -> Committed<(Invite, Option<String>)> {
    let Committed { revision, value: InviteWithLink { view, link, .. } } = done;
    Committed { revision, value: (view.invite, link) }
}

type InviteAndLink = (Invite, Option<String>);

/// Finds an invite in a later version.
fn look_changed(before: &Invited) -> impl AsyncFnOnce(&Store) -> Option<InviteAndLink> + use<> {
    let (account, id, version) = (slug(before.account), before.id.clone(), before.version);
    async move |store: &Store| {
        let found = store.invite(&account, &id).await.unwrap();
        found
            .map(|view| view.invite)
            .filter(|invite| invite.version.0 > version)
            .map(|invite| (invite, None))
    }
}

/// Finds the member who has an address.
fn look_member(
    address: Option<(AccountSlug, Email)>,
) -> impl AsyncFnOnce(&Store) -> Option<Member> {
    async move |store: &Store| {
        let (account, email) = address?;
        store.member_by_email(&account, email.key()).await.unwrap()
    }
}

/// Every invite of an account.
pub(super) async fn all_invites(store: &Store, account: &AccountSlug) -> Vec<Invite> {
    let page = store.invites(account, &Default::default(), None, 1_000).await.unwrap();
    page.items.into_iter().map(|view| view.invite).collect()
}
