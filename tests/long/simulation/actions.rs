//! The actions of a run: who does what, what interrupts a change, and how its result is compared
//! with the model.

use kwic_team::domain::{AccountSlug, AuditEvent, Email, Failure, Name, RoleId, Token, Version};
use kwic_team::services::caller::Caller;
use kwic_team::services::{session_auth, token_auth};
use kwic_team::store::{Committed, Store};

use super::model::{ACCOUNTS, Reasons, Who};
use super::policies::{Right, Set};
use super::random::ActionKind;
use super::system::{Ended, Interruption};
use super::{Held, Sim, holds, slug};
use crate::support::failing_storage::Survives;

pub(super) const UID: u32 = 1000;
/// Addresses of each account: few, so that they are wanted twice.
const ADDRESSES: usize = 14;
/// Nobody is invited any more once an account has so many.
pub(super) const MEMBERS_MAX: usize = 12;

pub(super) const BAD_PASSWORD: &str = "password";
const FIRST_NAMES: [&str; 5] = ["Asha", "Bo", "Chen", "Dora", "Emeka"];

const LAST_NAMES: [&str; 4] = ["Lee", "Okafor", "Rao", "Weiss"];

const WORDS: [&str; 16] = [
    "walnut", "glacier", "harbour", "lantern", "meadow", "orbit", "pepper", "quarry", "ribbon",
    "saddle", "thimble", "umbrella", "velvet", "whistle", "yonder", "zephyr",
];

pub(super) fn name(text: &str) -> Name {
    Name::parse("name", text).unwrap()
}

pub(super) fn role(text: &str) -> RoleId {
    RoleId::parse(text).unwrap()
}

impl Sim {
    /// Does one thing of a kind.
    pub(super) async fn act(&mut self, kind: ActionKind) -> Held {
        match kind {
            ActionKind::Invite => self.invite().await,
            ActionKind::Resend => self.resend().await,
            ActionKind::Correct => self.correct().await,
            ActionKind::ShowLink => self.show_link().await,
            ActionKind::Revoke => self.revoke().await,
            ActionKind::Accept => self.accept().await,
            ActionKind::Want => self.want().await,
            ActionKind::SignIn => self.sign_in().await,
            ActionKind::SignOut => self.sign_out().await,
            ActionKind::MakeToken => self.make_token().await,
            ActionKind::RevokeToken => self.revoke_token().await,
            ActionKind::EndOwn => self.end_own().await,
            ActionKind::EndOfMember => self.end_of_member().await,
            ActionKind::Decide => self.decide().await,
            ActionKind::EditNames => self.edit_names().await,
            ActionKind::EditRole => self.edit_role().await,
            ActionKind::EditAddress => self.edit_address().await,
            ActionKind::Suspend => self.suspend().await,
            ActionKind::Restore => self.restore().await,
            ActionKind::Remove => self.remove().await,
            ActionKind::Leave => self.leave().await,
            ActionKind::Race => self.race().await,
            ActionKind::Bulk => self.bulk().await,
            ActionKind::Create => self.create().await,
            ActionKind::Import => self.import().await,
            ActionKind::ChangePassword => self.change_password().await,
            ActionKind::Reset => self.reset().await,
            ActionKind::AskReset => self.ask_reset().await,
            ActionKind::ResetByLink => self.reset_by_link().await,
            ActionKind::ChangeAddress => self.change_address().await,
            ActionKind::ConfirmAddress => self.confirm_address().await,
            ActionKind::OwnNames => self.own_names().await,
            ActionKind::EditAccount => self.edit_account().await,
            ActionKind::SetUpFactor => self.set_up_factor().await,
            ActionKind::SwitchFactorOff => self.switch_factor_off().await,
            ActionKind::ResetFactor => self.reset_factor().await,
            ActionKind::Enforce => self.enforce().await,
            ActionKind::Deliver => self.deliver().await,
            ActionKind::Bounce => self.bounce().await,
            ActionKind::Resume => self.resume().await,
            ActionKind::Jump => self.jump(),
            ActionKind::Crash => self.crash().await,
            ActionKind::Tend => self.tend().await,
            ActionKind::Reload => self.reload().await,
        }
    }
}

// === who and what ===

impl Sim {
    /// Somebody who wants something: mostly an administrator who is signed in.
    pub(super) fn who(&mut self) -> Who {
        let account = self.dice.below(ACCOUNTS.len());
        self.who_of(account)
    }

    /// The same, mostly of this account.
    pub(super) fn who_of(&mut self, account: usize) -> Who {
        let account = if self.dice.percent(6) { self.dice.below(ACCOUNTS.len()) } else { account };
        let mut seats = self.seats_to_take();
        seats.retain(|seat| self.model.owner(*seat).account == account);
        let managing: Vec<usize> = seats
            .iter()
            .copied()
            .filter(|seat| self.model.person_may(self.model.owner(*seat), Right::Invite))
            .collect();
        let programs = self.programs_to_take(account);
        if let (true, Some(at)) = (self.dice.percent(15), self.dice.perhaps(&programs)) {
            return Who::Program(at);
        }
        let seat = if self.dice.percent(75) {
            self.dice.perhaps(&managing)
        } else {
            self.dice.perhaps(&seats)
        };
        match seat {
            Some(seat) if !self.dice.percent(15) => Who::Seat(seat),
            _ => Who::Sidecar(account),
        }
    }

    /// Whose session; `None` where nobody is signed in or ever was.
    pub(super) fn somebodys_seat(&mut self) -> Option<usize> {
        let seats = self.seats_to_take();
        self.dice.perhaps(&seats)
    }

    /// The sessions that live; now and then those that do not as well.
    fn seats_to_take(&mut self) -> Vec<usize> {
        if !self.dice.percent(6) {
            return self.model.live_seats();
        }
        let known = |at: &usize| self.model.seats[*at].token.is_some();
        (0..self.model.seats.len()).filter(known).collect()
    }

    /// The API tokens that act for an account; now and then those that do not as well.
    fn programs_to_take(&mut self, account: usize) -> Vec<usize> {
        let all = self.dice.percent(10);
        let here = |at: &usize| {
            let program = &self.model.programs[*at];
            program.account == account && program.secret.is_some() && (all || self.model.acts(*at))
        };
        (0..self.model.programs.len()).filter(here).collect()
    }

    /// The caller as the services know it; `None` where the session is over, which the real thing
    /// must know as well.
    pub(super) fn caller(&mut self, who: Who) -> Result<Option<Caller>, String> {
        match who {
            Who::Sidecar(account) => Ok(Some(Caller::Sidecar { uid: UID, account: slug(account) })),
            Who::Seat(seat) => Ok(self.signed_in(seat)?.map(Caller::Member)),
            Who::Program(at) => Ok(self.program(at)?.map(Caller::Token)),
        }
    }

    /// Who holds an API token; the real thing and the model must agree on whether it opens.
    pub(super) fn program(&self, at: usize) -> Result<Option<token_auth::TokenHolder>, String> {
        let program = &self.model.programs[at];
        let secret = program.secret.as_deref().unwrap();
        let found = token_auth::authenticate(&self.world.app, secret);
        holds(found.is_some() == self.model.acts(at), || {
            format!("the token {} of {} opens: {found:?}", program.id, program.member)
        })?;
        let same = found.as_ref().is_none_or(|holder| {
            *holder.member() == program.member && holder.role().as_str() == program.role
        });
        holds(same, || format!("{program:?} opens as {found:?}"))?;
        Ok(found)
    }

    pub(super) fn signed_in(
        &mut self,
        at: usize,
    ) -> Result<Option<session_auth::SignedIn>, String> {
        let seat = &self.model.seats[at];
        let token = seat.token.clone().unwrap();
        let lives = self.model.lives(seat);
        let found = session_auth::authenticate(&self.world.app, &token);
        if found.is_some() != lives {
            return Err(format!(
                "the session {} of {} {}",
                seat.id,
                seat.member,
                if lives { "should live, and does not" } else { "is over, and still signs in" }
            ));
        }
        let Some(found) = found else { return Ok(None) };
        if *found.member() != seat.member || *found.session() != seat.id {
            return Err(format!("the token of {} signs in {}", seat.member, found.member()));
        }
        self.model.seats[at].used = self.model.now;
        Ok(Some(found))
    }

    /// A member: mostly of this account.
    pub(super) fn some_member(&mut self, account: usize) -> Option<usize> {
        let account = if self.dice.percent(5) { self.dice.below(ACCOUNTS.len()) } else { account };
        let here = self.model.members(account);
        let inviters = self.inviters(account);
        if let (true, Some(inviter)) = (self.dice.percent(25), self.dice.perhaps(&inviters)) {
            return Some(inviter);
        }
        let gone: Vec<usize> =
            (0..self.model.people.len()).filter(|at| self.model.people[*at].gone).collect();
        if self.dice.percent(4) { self.dice.perhaps(&gone) } else { self.dice.perhaps(&here) }
    }

    /// Who has something that ends with the own rights is worth more than others.
    pub(super) fn inviters(&self, account: usize) -> Vec<usize> {
        let mut inviters = self.model.members(account);
        inviters.retain(|at| {
            let id = Some(&self.model.people[*at].id);
            let mut invites = self.model.invites.iter();
            invites.any(|invite| invite.is_open() && invite.inviter.as_ref() == id)
        });
        inviters
    }

    pub(super) fn address(&mut self) -> Email {
        let number = self.dice.below(ADDRESSES);
        // The same address in other letters is the same address.
        let text = if self.dice.percent(15) {
            format!("P{number}@Example.Org")
        } else {
            format!("p{number}@example.org")
        };
        Email::parse(&text).unwrap()
    }

    pub(super) fn names(&mut self) -> (String, String) {
        let first = self.dice.one_of(&FIRST_NAMES).to_owned();
        (first, self.dice.one_of(&LAST_NAMES).to_owned())
    }

    /// A role; now and then one that there is not.
    pub(super) fn some_role(&mut self) -> String {
        let set = if self.dice.percent(8) { Set::Owners } else { self.model.set };
        let mut roles = set.roles();
        // Those that may do something here are what is worth trying.
        roles.extend(["administrator"; 3]);
        if set.has_role("deputy") {
            roles.extend(["deputy"; 2]);
        }
        self.dice.one_of(&roles).to_owned()
    }

    /// A password that passes every rule, and that nobody had before.
    pub(super) fn new_password(&mut self) -> String {
        let first = self.dice.below(WORDS.len());
        let word = |step: usize| WORDS[(first + step) % WORDS.len()];
        self.passwords += 1;
        format!("{} {} {} {}", word(0), word(5), word(9), self.passwords)
    }

    pub(super) fn version(&mut self, now: u64) -> Option<Version> {
        match self.dice.below(10) {
            0 => Some(Version(now + 1)),
            1 if now > 1 => Some(Version(now - 1)),
            2..=5 => Some(Version(now)),
            _ => None,
        }
    }

    pub(super) fn forged(&mut self) -> String {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.dice.number().to_le_bytes());
        Token::from_bytes(bytes).expose().to_owned()
    }
}

// === how it ends ===

impl Sim {
    /// Lets the power or the caller go while the next change is made, so often as the seed does.
    pub(super) fn disturb(&mut self) {
        if !self.dice.percent(self.swarm.cut_percent) {
            return;
        }
        let sync = 1 + self.dice.below(4);
        let cut = if self.dice.percent(60) {
            Interruption::Power { sync, survives: self.survives() }
        } else {
            Interruption::HangUp { sync }
        };
        self.note(format_args!("  {cut:?}"));
        self.world.cut = Some(cut);
        self.crashed |= matches!(cut, Interruption::Power { .. });
    }

    pub(super) fn survives(&mut self) -> Survives {
        match self.dice.below(4) {
            0 => Survives::Nothing,
            1 => Survives::All,
            _ => Survives::Half(self.dice.number()),
        }
    }

    /// Does a change, disturbed or not, and holds its end against the reasons there are. Where
    /// nobody heard the end, `look` finds out. Answers what came of it; `None` where nothing did.
    pub(super) async fn change<T>(
        &mut self,
        reasons: &Reasons,
        call: impl Future<Output = Result<Committed<T>, Failure>>,
        look: impl AsyncFnOnce(&Store) -> Option<T>,
    ) -> Result<Option<T>, String> {
        self.disturb();
        let ended = self.world.change(self.model.set, call).await;
        if self.crashed {
            self.after_start();
        }
        let must = &reasons.must;
        match ended {
            Ended::Done(done) if must.is_empty() => {
                self.count("done");
                self.acknowledged = self.acknowledged.max(done.revision.0);
                let seen = self.world.app.directory.revision();
                let fine = self.crashed || self.letters_move || seen >= done.revision;
                holds(fine, || format!("was told as {}, decisions are at {seen}", done.revision))?;
                Ok(Some(done.value))
            }
            Ended::Done(_) => Err(format!("was done, though {must:?}")),
            Ended::Refused(failure)
                if must.contains(failure.code) || reasons.may.contains(failure.code) =>
            {
                self.count(failure.code);
                self.note(format_args!("  refused: {}", failure.code));
                Ok(None)
            }
            Ended::Refused(failure) => Err(format!(
                "was refused with `{}` ({failure}), though the reasons are {reasons:?}",
                failure.code
            )),
            Ended::Unheard(begun) => {
                let found = look(self.world.store()).await;
                self.count(if found.is_some() { "made unheard" } else { "undone unheard" });
                self.note(format_args!("  unheard, made: {}", found.is_some()));
                if found.is_some() && !must.is_empty() {
                    return Err(format!("was made unheard, though {must:?}"));
                }
                // A refusal may write as well: it counts wrong codes.
                if found.is_none() && begun && must.is_empty() {
                    return Err("was lost when its caller hung up in the middle".to_owned());
                }
                Ok(found)
            }
        }
    }

    /// A change must have this entry in the audit log of an account.
    pub(super) fn audits(&mut self, account: usize, event: AuditEvent, target: &str) {
        self.expected.audits.push((Some(account), event.as_str(), target.to_owned()));
    }

    /// A change must have such an entry in the store's own audit log.
    pub(super) fn audits_of_store(&mut self, event: AuditEvent) {
        self.expected.audits.push((None, event.as_str(), String::new()));
    }

    /// A change must have queued this letter.
    pub(super) fn posts(&mut self, kind: &'static str, to: &Email) {
        self.expected.letters.push((kind, to.as_str().to_owned()));
    }
}

/// Whether an account's audit log has such an entry after a sequence.
pub(super) async fn audited(
    store: &Store,
    account: &AccountSlug,
    seen: u64,
    event: AuditEvent,
    target: &str,
) -> bool {
    let page = store.audit(Some(account), &Default::default(), Some(seen), 1_000).await.unwrap();
    page.items.iter().any(|entry| entry.event == event.as_str() && entry.target == target)
}
