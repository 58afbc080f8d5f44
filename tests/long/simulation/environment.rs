//! The environment of a run: decisions, time, power, policies; and its begin and end.

use std::sync::Arc;

use kwic_team::domain::access_query::{EntityRef, Query};
use kwic_team::domain::{Actor, AuditEvent, Email, Member, MemberId, PolicyReport, Value};
use kwic_team::services::caller::Caller;
use kwic_team::services::client_info::ClientInfo;
use kwic_team::services::decide::decide;
use kwic_team::services::permits::StorePermit;
use kwic_team::services::set_up::{self, FirstAccountRequest};
use kwic_team::services::{accounts, directory_sync, mail_delivery, reload};
use kwic_team::store::{Committed, Store, StoredPolicies};

use super::actions::{UID, name, role};
use super::model::{ACCOUNTS, DAY_MS, HOUR_MS, MINUTE_MS, Model, Reasons, Who};
use super::policies::{FEATURES, Set};
use super::{Held, Sim, holds, slug};
use crate::support::failing_storage::Survives;
use crate::support::sidecar::copy_folder;

impl Sim {
    /// Accounts, each with a first administrator: invited, or by the link of an empty store.
    pub(super) async fn settle_in(&mut self) -> Held {
        let invited = self.dice.percent(50);
        if !invited {
            self.set_up().await?;
        }
        for account in usize::from(!invited)..ACCOUNTS.len() {
            let first = accounts::FirstMember {
                email: Email::parse(&format!("p{account}@example.org")).unwrap(),
                first_name: name("First"),
                last_name: name("One"),
                role: None,
            };
            let permit = StorePermit::sidecar(UID);
            let app = self.world.app.clone();
            let made = accounts::create(&app, permit, slug(account), "A team", Some(first)).await;
            let made = made.map_err(|fault| format!("no account: {fault}"))?;
            let (view, link) = made.value.invite.ok_or("no invite")?;
            let (id, email) = (view.invite.id.as_str().to_owned(), view.invite.email.clone());
            self.model.invites(&view.invite);
            self.model.sends_to(account, &email);
            self.learn_link(&id, Some(link))?;
            self.audits(account, AuditEvent::InviteCreated, &id);
            self.audits_of_store(AuditEvent::AccountCreated);
            self.posts("invite", &email);
        }
        Ok(())
    }

    /// The first administrator of an account joins, a second one is made, and both sign in.
    pub(super) async fn begin(&mut self, account: usize) -> Held {
        let invite = self.model.invites.iter().find(|invite| invite.account == account);
        if let Some(token) = invite.and_then(|invite| invite.tokens.get(&1)).cloned() {
            self.accept_by(token, true).await?;
        }
        let second = self.new_member(account);
        let email = Email::parse("p5@example.org").unwrap();
        let second = Member { email, role: role("administrator"), ..second };
        self.create_one(Who::Sidecar(account), second).await?;
        for at in self.model.members(account) {
            if self.model.people[at].password.is_none() {
                self.reset_one(Who::Sidecar(account), at, None).await?;
                // Before the letter is cancelled, since its link was used without it.
                self.check().await?;
                let token = self.model.links.last().and_then(|link| link.token.clone());
                self.reset_by(token.ok_or("the operator is shown no link")?, true).await?;
            }
            self.sign_in_as(at, true).await?;
        }
        Ok(())
    }

    /// The first account and its administrator, by the link that a start prints; it opens once.
    async fn set_up(&mut self) -> Held {
        let app = self.world.app.clone();
        let token = set_up::offer_setup_link(&app).await.map_err(|fault| fault.to_string())?;
        let token = token.ok_or("an empty store offers no set-up")?;
        let password = self.new_password();
        let first = |slug| FirstAccountRequest {
            slug,
            name: "A team".to_owned(),
            email: Email::parse("p0@example.org").unwrap(),
            first_name: name("First"),
            last_name: name("One"),
            role: None,
        };
        let from = ClientInfo::default();
        let made = set_up::set_up(&app, token.expose(), first(slug(0)), &password, &from).await;
        let (_, member) = made.map_err(|fault| format!("no set-up: {fault}"))?.value;
        let again = set_up::set_up(&app, token.expose(), first(slug(1)), &password, &from).await;
        let code = again.err().map(|failure| failure.code);
        holds(code == Some("link_dead"), || format!("a set-up link opens twice: {code:?}"))?;
        self.audits(0, AuditEvent::UserCreated, member.id.as_str());
        self.audits_of_store(AuditEvent::AccountCreated);
        self.model.adds(&member, Some(password));
        Ok(())
    }

    /// Fixes mail, and advances the clock until no letter waits.
    pub(super) async fn wind_up(&mut self) -> Held {
        self.swarm.cut_percent = 0;
        self.world.memory.recover();
        if self.is_mail_stopped().await {
            let caller = Caller::Sidecar { uid: UID, account: slug(0) };
            let app = self.world.app.clone();
            mail_delivery::resume(&app, caller)
                .await
                .map_err(|fault| format!("not resumed: {fault}"))?;
        }
        for _ in 0..50 {
            self.deliver_all().await?;
            let due = self.world.store().letter_due().await.map_err(|fault| fault.to_string())?;
            let Some(due) = due else { return Ok(()) };
            let wait = (due.0 - self.model.now).max(0) + 1;
            self.pass(wait);
        }
        Err("letters still wait though the mail server takes every one".to_owned())
    }
}

impl Sim {
    pub(super) async fn decide(&mut self) -> Held {
        let feature = self.dice.one_of(&FEATURES);
        let account = self.dice.below(ACCOUNTS.len());
        if let (true, Some(at)) = (self.dice.percent(50), self.somebodys_seat()) {
            let (lives, token) = {
                let seat = &self.model.seats[at];
                (self.model.lives(seat), seat.token.clone().unwrap())
            };
            self.note(format_args!(
                "{} asks for {} by session",
                self.model.seats[at].id, feature.0
            ));
            let may = lives && self.model.is_allowed(self.model.owner(at), feature, account);
            let said = self.decision(("session", &token), feature, account);
            if lives {
                self.model.seats[at].used = self.model.now;
            }
            self.count(if said { "done" } else { "denied" });
            return holds(said == may, || {
                format!("{feature:?} on {account} by session {at}: {said}")
            });
        }
        let all: Vec<usize> = (0..self.model.people.len()).collect();
        let Some(at) = self.dice.perhaps(&all) else { return Ok(()) };
        let person = self.model.people[at].clone();
        self.note(format_args!("{} asks for {}", person.id, feature.0));
        let may = self.model.is_allowed(&person, feature, account);
        let said = self.decision(("user", person.id.as_str()), feature, account);
        self.count(if said { "done" } else { "denied" });
        holds(said == may, || format!("{feature:?} on {account} by {person:?}: {said}"))
    }

    /// Asks one question of the real thing.
    pub(super) fn decision(
        &self,
        (kind, id): (&str, &str),
        (action, resource, _): (&str, &str, &[&str]),
        account: usize,
    ) -> bool {
        let app = &self.world.app;
        let text = Value::String(ACCOUNTS[account].into());
        let properties = [("account".into(), text)];
        let on = if resource == "account" { ACCOUNTS[account] } else { "one" };
        let query = Query {
            subject: EntityRef { kind, id, properties: &[] },
            action,
            action_properties: &[],
            resource: EntityRef { kind: resource, id: on, properties: &properties },
            context: &[],
        };
        decide(app, &app.policies.load(), &query, false).allowed
    }

    pub(super) fn jump(&mut self) -> Held {
        const SECOND_MS: i64 = 1_000;
        let mut jumps = vec![
            (SECOND_MS, 10),
            (30 * SECOND_MS, 10),
            (61 * SECOND_MS, 20),
            (5 * MINUTE_MS, 20),
            (29 * MINUTE_MS, 5),
            (31 * MINUTE_MS, 5),
            (2 * HOUR_MS, 5),
            (13 * HOUR_MS, 3),
            (25 * HOUR_MS, 3),
            (73 * HOUR_MS, 4),
        ];
        if self.swarm.long_jumps {
            jumps.extend([(31 * DAY_MS, 2), (91 * DAY_MS, 2)]);
        }
        let by = self.dice.weighted(&jumps);
        self.note(format_args!("{} s go by", by / SECOND_MS));
        self.count("done");
        self.pass(by);
        Ok(())
    }

    /// Time goes by.
    pub(super) fn pass(&mut self, by_ms: i64) {
        self.world.clock.advance_ms(by_ms);
        self.model.now = self.world.now();
    }

    pub(super) async fn crash(&mut self) -> Held {
        let survives = self.survives();
        self.note(format_args!("the power goes, {survives:?} survives"));
        self.count("done");
        self.go_dark(survives).await;
        Ok(())
    }

    /// The power goes now, and comes back; a fault that is to be planted is.
    pub(super) async fn go_dark(&mut self, survives: Survives) {
        let (set, plant) = (self.model.set, &mut self.plant);
        let mut planted = None;
        self.world
            .crash(set, survives, |disk| {
                planted = plant.as_mut().and_then(|plant| plant.sow(disk));
            })
            .await;
        if let Some(planted) = planted {
            self.note(format_args!("  planted: {planted}"));
        }
        self.crashed = true;
        self.after_start();
    }

    /// Memory is lost; the feed starts again.
    pub(super) fn after_start(&mut self) {
        self.model.restarts();
    }

    /// Tells the plant who is about to go.
    pub(super) fn plan_for_leaving(&mut self, id: &MemberId) {
        if let Some(plant) = &mut self.plant {
            plant.before_leaving(&self.world.disk, id);
        }
    }

    pub(super) async fn reload(&mut self) -> Held {
        let set = self.dice.one_of(&Set::ALL);
        self.note(format_args!("the policies become {set:?}"));
        let held = |model: &Model| {
            model.people.iter().any(|person| !person.gone && !set.has_role(&person.role))
        };
        let refused = set == Set::Broken || held(&self.model);
        let reasons = Reasons::default().when(refused, "policies_refused");
        let changes = set != self.model.set;
        self.reloads = true;
        let taken = if self.swarm.real_reloads {
            self.reload_folder(set, &reasons).await?
        } else {
            self.swap(set, refused, changes).await?
        };
        self.count(if taken { "done" } else { "policies_refused" });
        if taken {
            self.model.set = set;
            if changes {
                self.audits_of_store(AuditEvent::PoliciesReloaded);
            }
        }
        Ok(())
    }

    /// Through the gate, as the folder is edited.
    pub(super) async fn reload_folder(
        &mut self,
        set: Set,
        reasons: &Reasons,
    ) -> Result<bool, String> {
        let dir = self.world.app.config.policies.dir.clone().unwrap();
        let _ = std::fs::remove_dir_all(&dir);
        copy_folder(&set.folder(), &dir);
        let app = self.world.app.clone();
        let digest = set.loaded().map(|(_, snapshot)| snapshot.digest());
        let call = async {
            let report = reload::reload_now(&app, StorePermit::system()).await?;
            let revision = app.store.revision().await?;
            Ok(Committed { revision, value: report.digest })
        };
        // A reload is not disturbed: what is live then is another story.
        let cut = std::mem::replace(&mut self.swarm.cut_percent, 0);
        let live = self.change(reasons, call, async |_: &Store| None).await;
        self.swarm.cut_percent = cut;
        let live = live?;
        if live.is_some() && live != digest {
            return Err(format!("{live:?} is live, not {digest:?}"));
        }
        Ok(live.is_some())
    }

    /// As a reload does after the gate: nobody is given a role meanwhile, no role that is held
    /// goes, and the set is kept.
    pub(super) async fn swap(
        &mut self,
        set: Set,
        refused: bool,
        changes: bool,
    ) -> Result<bool, String> {
        let app = self.world.app.clone();
        let (false, Some((files, snapshot))) = (refused, set.loaded()) else { return Ok(false) };
        {
            let _no_role_is_given = app.roles_given.write().await;
            let held = app.directory.roles_held();
            if held.iter().any(|(role, count)| *count > 0 && !snapshot.has_role(role)) {
                return Err("a role is held that nobody has".to_owned());
            }
            app.policies.store(Arc::clone(snapshot));
        }
        if changes {
            let policies = StoredPolicies {
                digest: snapshot.digest(),
                at: app.clock.now(),
                files: files.clone().into_files(),
            };
            let actor = Actor::System;
            let report = PolicyReport::default();
            let kept = app.store.policies_installed(&actor, policies, report, Vec::new()).await;
            let kept = kept.map_err(|fault| format!("the set was not kept: {fault}"))?;
            let seen = directory_sync::wait_until_settled(&app, kept.revision).await;
            seen.map_err(|fault| fault.to_string())?;
            self.acknowledged = self.acknowledged.max(kept.revision.0);
        }
        Ok(true)
    }
}
