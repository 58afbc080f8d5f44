//! Second factors: set up, used, turned off, reset, required by an account; and attempts to bypass
//! them.
//!
//! Codes come from the test's own app, at the time of the run.

use std::sync::Arc;

use kwic_team::app::App;
use kwic_team::domain::{AuditEvent, Failure, Member, MemberId, Session, SessionId, Token};
use kwic_team::services::client_info::ClientInfo;
use kwic_team::services::members::ChosenMember;
use kwic_team::services::sign_in::{self, NewSignIn, SignInAttempt, SignInOutcome};
use kwic_team::services::step_up::StepUpProof;
use kwic_team::services::two_step::{self, EnabledFactor};
use kwic_team::services::{accounts, directory_sync};
use kwic_team::store::requests_and_views::sessions::SignIn;
use kwic_team::store::requests_and_views::two_step::CheckedPassword;
use kwic_team::store::{AccountEdit, Committed, Store};
use totp_rs::{Builder, Secret};

use super::model::{ACCOUNTS, Factor, Person, Reasons, Who};
use super::policies::Right;
use super::sessions::with_token;
use super::{Held, Sim, slug};

const STEP_MS: i64 = 30_000;
/// Nobody tries wrong codes beyond this: a letter would tell of the tenth.
const WRONG_CODES_MAX: u32 = 8;

/// The code that is presented with the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// There is no factor to show.
    NotAsked,
    /// There is none to show, though the account asks for one.
    Owed,
    New(u64),
    Used,
    Recovery,
    UsedRecovery,
    LeftOut,
}

/// What somebody shows.
#[derive(Clone, Debug)]
pub(super) struct Showing {
    pub which: Which,
    pub code: Option<String>,
}

impl Showing {
    /// Why it opens nothing.
    pub fn refused(&self) -> Option<&'static str> {
        match self.which {
            Which::NotAsked | Which::New(_) | Which::Recovery => None,
            Which::Owed => Some("two_step_needed"),
            Which::Used | Which::UsedRecovery => Some("wrong_code"),
            Which::LeftOut => Some("code_missing"),
        }
    }

    pub fn with(&self, password: &str) -> StepUpProof {
        StepUpProof { password: password.to_owned(), code: self.code.clone() }
    }
}

fn code_at(secret: &[u8], step: u64) -> String {
    Builder::new().with_secret(secret).build_noncompliant().generate(step * 30).to_string()
}

impl Sim {
    fn time_step(&self) -> u64 {
        u64::try_from(self.model.now / STEP_MS).unwrap()
    }

    /// What somebody shows: mostly a code that fits, for which time may have to go by.
    pub(super) fn shows(&mut self, id: &MemberId) -> Showing {
        let Some(person) = self.model.person(id) else {
            return Showing { which: Which::NotAsked, code: None };
        };
        let Some(factor) = person.factor.clone() else {
            let owed = self.model.enforced[person.account];
            let which = if owed { Which::Owed } else { Which::NotAsked };
            return Showing { which, code: None };
        };
        let (recovery, spent) = (factor.recovery.first().cloned(), factor.spent.last().cloned());
        let (which, code) = match self.dice.below(20) {
            _ if factor.failures >= WRONG_CODES_MAX => (Which::New(0), None),
            0 | 1 => (Which::Used, Some(code_at(&factor.secret, factor.step))),
            2 | 3 if recovery.is_some() => (Which::Recovery, recovery),
            4 | 5 if spent.is_some() => (Which::UsedRecovery, spent),
            6 | 7 => (Which::LeftOut, None),
            _ => (Which::New(0), None),
        };
        if which != Which::New(0) {
            return Showing { which, code };
        }
        if self.time_step() <= factor.step {
            let next = i64::try_from(factor.step + 1).unwrap() * STEP_MS;
            self.pass(next - self.model.now);
        }
        let step = self.time_step();
        Showing { which: Which::New(step), code: Some(code_at(&factor.secret, step)) }
    }

    /// What was shown is used up.
    pub(super) fn spends(&mut self, id: &MemberId, showing: &Showing) {
        let Some(person) = self.model.person_mut(id) else { return };
        let (account, email) = (person.account, person.email.clone());
        let Some(factor) = &mut person.factor else { return };
        match showing.which {
            Which::New(step) => factor.step = step,
            Which::Recovery => {
                let code = factor.recovery.remove(0);
                factor.spent.push(code);
                self.audits(account, AuditEvent::RecoveryCodeUsed, id.as_str());
                self.posts("two_step", &email);
            }
            Which::NotAsked | Which::Owed | Which::Used | Which::UsedRecovery | Which::LeftOut => {}
        }
    }

    /// A try at a session by what is shown; without a code, or a factor that is owed, straight at
    /// the store.
    pub(super) async fn enter(
        app: Arc<App>,
        attempt: SignInAttempt,
        code: Option<String>,
        token: Token,
    ) -> Result<Committed<(Session, Option<String>)>, Failure> {
        let (account, email) = (attempt.account.clone(), attempt.email.clone());
        let done = match (sign_in::sign_in(&app, attempt).await?, code) {
            (SignInOutcome::Entered(done), _) => *done,
            (SignInOutcome::SecondFactor(waiting), Some(code)) => {
                sign_in::second_factor(&app, &waiting.ticket, &code, ClientInfo::default()).await?
            }
            (SignInOutcome::SecondFactor(_) | SignInOutcome::SetUp(_), _) => {
                let member = app.store.member_by_email(&account, email.key()).await?.unwrap();
                without_factor(&app, member, token).await?
            }
        };
        Ok(with_token(done))
    }

    /// Sets an app up, or another one in the place of the first.
    pub(super) async fn set_up_factor(&mut self) -> Held {
        let Some(at) = self.somebodys_seat() else { return Ok(()) };
        let id = self.model.seats[at].member.clone();
        let showing = self.shows(&id);
        let Some(signed_in) = self.signed_in(at)? else { return Ok(()) };
        let person = self.model.owner(at).clone();
        let (password, right) = self.own_password(&person);
        self.note(format_args!("{id} sets an app up: {right} {:?}", showing.which));
        let owed = showing.which == Which::Owed;
        let refused = showing.refused().filter(|_| !owed);
        let mut reasons = self.about_password(&person, right);
        reasons.must.extend(refused);
        let app = self.world.app.clone();
        let call = async {
            let shown = showing.with(&password);
            let told = two_step::begin(&app, &signed_in, &shown, &ClientInfo::default()).await?;
            Ok(Committed { revision: app.store.revision().await?, value: told.secret })
        };
        // What is told once cannot be told by a look: power cuts here are another test's.
        let cut = std::mem::replace(&mut self.swarm.cut_percent, 0);
        let told = self.change(&reasons, call, async |_: &Store| None).await;
        self.tried(&person, right && showing.refused() != Some("wrong_code"));
        if let Some(secret) = told? {
            self.spends(&id, &showing);
            let from = ClientInfo::default();
            let confirm =
                async |code: String| two_step::confirm(&app, &signed_in, &code, &from).await;
            self.confirms_factor(&person, &secret, 1, confirm).await?;
        }
        self.swarm.cut_percent = cut;
        Ok(())
    }

    /// Shows the first code of an app that was told its secret, now and then a wrong one; answers
    /// whether it was taken into use. `own` sessions go on.
    async fn confirms_factor(
        &mut self,
        person: &Person,
        secret: &str,
        own: usize,
        confirm: impl AsyncFnOnce(String) -> Result<Committed<EnabledFactor>, Failure>,
    ) -> Result<bool, String> {
        let secret = Secret::try_from_base32(secret).unwrap().as_ref().to_vec();
        let right = !self.dice.percent(15);
        let step = if right { self.time_step() } else { self.time_step() + 7 };
        let reasons = Reasons::default().when(!right, "wrong_code");
        let call = confirm(code_at(&secret, step));
        let made = self.change(&reasons, call, async |_: &Store| None).await?;
        let is_made = made.is_some();
        if let Some(made) = made {
            self.takes_factor(person, made, secret, own)?;
        }
        Ok(is_made)
    }

    /// Who has none on an account that asks for one sets it up on the way in.
    pub(super) async fn set_up_on_the_way(
        &mut self,
        person: &Person,
        attempt: SignInAttempt,
    ) -> Held {
        let app = self.world.app.clone();
        let cut = std::mem::replace(&mut self.swarm.cut_percent, 0);
        let reasons = self.about_password(person, true);
        let call = async {
            let SignInOutcome::SetUp(waiting) = sign_in::sign_in(&app, attempt).await? else {
                panic!("a factor is not asked for");
            };
            let told = two_step::begin_by_ticket(&app, &waiting.ticket).await?;
            let value = (waiting.ticket, told.secret);
            Ok(Committed { revision: app.store.revision().await?, value })
        };
        let begun = self.change(&reasons, call, async |_: &Store| None).await?;
        if let Some((ticket, secret)) = begun {
            self.model.forgets_failures(person.account, &person.email);
            let from = ClientInfo::default();
            let confirm =
                async |code: String| two_step::confirm_by_ticket(&app, &ticket, &code, &from).await;
            if self.confirms_factor(person, &secret, 0, confirm).await? {
                let event = AuditEvent::AuthnLoginSuccess;
                self.audits(person.account, event, person.id.as_str());
            }
        }
        self.swarm.cut_percent = cut;
        Ok(())
    }

    fn takes_factor(
        &mut self,
        person: &Person,
        made: EnabledFactor,
        secret: Vec<u8>,
        own: usize,
    ) -> Held {
        let ended = self.model.ends_seats(&person.id, None);
        if made.ended != (ended - own) as u64 {
            return Err(format!("{} sessions ended by a factor, not {ended} - {own}", made.ended));
        }
        self.model.ends_links(&person.id);
        let NewSignIn { token, session, .. } = made.entered;
        self.model.seats(&session, Some(token.expose().to_owned()));
        let step = self.time_step();
        let known = self.model.person_mut(&person.id).unwrap();
        known.version += u64::from(known.factor.is_none());
        let recovery = made.recovery.iter().map(|code| code.expose()).collect();
        known.factor = Some(Factor { secret, step, recovery, spent: Vec::new(), failures: 0 });
        self.audits(person.account, AuditEvent::TwoStepEnabled, person.id.as_str());
        self.posts("two_step", &person.email);
        Ok(())
    }

    pub(super) async fn switch_factor_off(&mut self) -> Held {
        let Some(at) = self.somebodys_seat() else { return Ok(()) };
        let id = self.model.seats[at].member.clone();
        let showing = self.shows(&id);
        let Some(signed_in) = self.signed_in(at)? else { return Ok(()) };
        let person = self.model.owner(at).clone();
        let (password, right) = self.own_password(&person);
        self.note(format_args!("{id} switches the app off: {right} {:?}", showing.which));
        let mut reasons = self
            .about_password(&person, right)
            .when(person.factor.is_none(), "not_set_up")
            .when(self.model.enforced[person.account], "two_step_enforced");
        reasons.must.extend(showing.refused());
        let app = self.world.app.clone();
        let call = async {
            let shown = showing.with(&password);
            let off = two_step::switch_off(&app, &signed_in, &shown, &ClientInfo::default()).await;
            off.map(|done| with_token(Committed { revision: done.revision, value: done.value.0 }))
        };
        let look = self.look_session(Some(id.clone()));
        let made = self.change(&reasons, call, look).await?;
        self.tried(&person, right && showing.refused() != Some("wrong_code"));
        if let Some((session, token)) = made {
            self.spends(&id, &showing);
            self.model.ends_seats(&id, None);
            self.model.seats(&session, token);
            self.loses_factor(&person, AuditEvent::TwoStepDisabled);
        }
        Ok(())
    }

    fn loses_factor(&mut self, person: &Person, event: AuditEvent) {
        self.model.ends_links(&person.id);
        let known = self.model.person_mut(&person.id).unwrap();
        known.factor = None;
        known.version += 1;
        self.audits(person.account, event, person.id.as_str());
        self.posts("two_step", &person.email);
    }

    /// Takes another's factor away; a member shows the own one.
    pub(super) async fn reset_factor(&mut self) -> Held {
        let who = self.who();
        let account = self.model.account_of(who);
        let with = |at: &usize| self.model.people[*at].factor.is_some();
        let able: Vec<usize> = self.model.members(account).into_iter().filter(with).collect();
        let some = if self.dice.percent(80) {
            self.dice.perhaps(&able)
        } else {
            self.some_member(account)
        };
        let Some(target) = some else { return Ok(()) };
        let signed_in = matches!(who, Who::Seat(_));
        let actor = self.model.actor(who).filter(|_| signed_in).cloned();
        let showing = actor.as_ref().map(|actor| self.shows(&actor.id));
        let Some(caller) = self.caller(who)? else { return Ok(()) };
        let person = self.model.people[target].clone();
        let expected = self.version(person.version);
        let mut reasons = self
            .about_member(who, target, expected, Right::Edit)
            .when(matches!(who, Who::Program(_)), "session_needed")
            .when(person.factor.is_none(), "not_set_up");
        let (mut shown, mut right) = (None, true);
        if let (Some(actor), Some(showing)) = (&actor, &showing) {
            let (password, is_right) = self.own_password(actor);
            (shown, right) = (Some(showing.with(&password)), is_right);
            let own = self.about_password(actor, right);
            reasons.must.extend(own.must);
            reasons.may.extend(own.may);
            reasons.must.extend(showing.refused().filter(|_| showing.which != Which::Owed));
            reasons = reasons
                .when(actor.id == person.id, "own_factor")
                .when(actor.factor.is_none(), "own_factor_first");
        }
        self.note(format_args!("{who:?} takes the factor of {}: {right} {showing:?}", person.id));
        let app = self.world.app.clone();
        let chosen = ChosenMember { id: person.id.clone(), expected };
        let call = async {
            let done = two_step::reset(&app, caller, chosen, shown, ClientInfo::default()).await?;
            Ok(Committed { revision: done.revision, value: Some(done.value) })
        };
        let (id, before) = (person.id.clone(), person.version);
        let look = async move |store: &Store| {
            let found = store.member(&id).await.unwrap();
            found.filter(|member| member.version.0 > before).map(|_| None)
        };
        let made = self.change(&reasons, call, look).await?;
        if let (Some(actor), Some(showing)) = (&actor, &showing) {
            self.tried(actor, right && showing.refused() != Some("wrong_code"));
            if made.is_some() {
                self.spends(&actor.id, showing);
            }
        }
        let Some(told) = made else { return Ok(()) };
        let ended = self.model.ends_seats(&person.id, None) as u64;
        self.loses_factor(&person, AuditEvent::TwoStepReset);
        match told.filter(|told| *told != ended) {
            Some(told) => Err(format!("{told} sessions ended by a reset, not {ended}")),
            None => Ok(()),
        }
    }

    /// An account asks everybody for a factor, or does not any more.
    pub(super) async fn enforce(&mut self) -> Held {
        let who = self.who();
        let account = self.model.account_of(who);
        let Some(caller) = self.caller(who)? else { return Ok(()) };
        let asks = self.dice.percent(40);
        self.note(format_args!("{who:?} lets the account ask for factors: {asks}"));
        let lacks = self.model.actor(who).is_some_and(|actor| actor.factor.is_none());
        let reasons = Reasons::default()
            .when(!self.model.may(who, Right::EditSettings), "not_allowed")
            .when(asks && lacks, "own_factor_first");
        let edit = AccountEdit { two_step_enforced: Some(asks), ..AccountEdit::default() };
        let app = self.world.app.clone();
        let call = accounts::edit(&app, caller, None, edit);
        let at = slug(account);
        let look = async move |store: &Store| {
            let found = store.account(&at).await.unwrap();
            found.filter(|account| account.two_step_enforced == asks)
        };
        if self.change(&reasons, call, look).await?.is_some()
            && self.model.enforced[account] != asks
        {
            self.model.enforced[account] = asks;
            self.audits(account, AuditEvent::AccountUpdated, ACCOUNTS[account]);
        }
        Ok(())
    }
}

/// Begins a session without the services, as if the factor were skipped.
async fn without_factor(
    app: &Arc<App>,
    member: Member,
    token: Token,
) -> Result<Committed<NewSignIn>, Failure> {
    let credential = app.store.credential(&member.id).await?.unwrap();
    let now = app.clock.now();
    let mut id = [0; 16];
    id.copy_from_slice(&token.hash().0.0[..16]);
    let session = Session {
        id: SessionId::from_random(id),
        token: token.hash(),
        member: member.id.clone(),
        account: member.account.clone(),
        created: now,
        used: now,
        address: String::new(),
        agent: String::new(),
    };
    let sign_in = SignIn {
        session: session.clone(),
        checked: CheckedPassword::of(&credential.password),
        rehashed: None,
        proof: None,
        failures_before: 0,
    };
    let done =
        directory_sync::wait_until_applied(app, app.store.session_begin(sign_in).await).await?;
    Ok(Committed { revision: done.revision, value: NewSignIn { token, session, member } })
}
