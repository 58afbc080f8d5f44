//! API tokens: created and revoked. Any actor of a run may be a program with one.

use kwic_team::domain::{ApiToken, AuditEvent};
use kwic_team::services::api_tokens::{self, TokenRequest};
use kwic_team::services::client_info::ClientInfo;
use kwic_team::store::{Committed, Store};

use super::actions::{name, role};
use super::model::{Reasons, Who};
use super::policies::Right;
use super::{Held, Sim, slug};

impl Sim {
    pub(super) async fn make_token(&mut self) -> Held {
        let who = self.who();
        let wanted = self.some_role();
        let days = self.dice.one_of(&[1, 30, 365]);
        match who {
            // A token makes none: there is no way to call the service with one.
            Who::Program(_) => Ok(()),
            Who::Seat(at) => self.make_own(at, wanted, days).await,
            Who::Sidecar(account) => self.make_for(account, wanted, days).await,
        }
    }

    async fn make_own(&mut self, at: usize, given: String, days: i64) -> Held {
        let showing = self.shows(&self.model.seats[at].member.clone());
        let Some(signed_in) = self.signed_in(at)? else { return Ok(()) };
        let person = self.model.owner(at).clone();
        let (password, right) = self.own_password(&person);
        self.note(format_args!("{} makes a token with {given}, right: {right}", person.id));
        let may = self.model.person_may(&person, Right::Edit)
            && self.model.person_may(&person, Right::Assign(&given));
        let reasons = self
            .about_step_up(&person, right, &showing)
            .when(!may, "not_allowed")
            .when(!self.model.set.has_role(&given), "unknown_role");
        let app = self.world.app.clone();
        let (wanted, shown) = (wanted(&given, days), Some(showing.with(&password)));
        let call = async {
            let made =
                api_tokens::create_own(&app, signed_in, wanted, shown, ClientInfo::default());
            made.await.map(with_secret)
        };
        let look = self.look_token(person.account);
        let made = self.change(&reasons, call, look).await?;
        self.tried(&person, right && showing.refused() != Some("wrong_code"));
        if made.is_some() {
            self.spends(&person.id, &showing);
        }
        self.makes(made);
        Ok(())
    }

    async fn make_for(&mut self, account: usize, given: String, days: i64) -> Held {
        let Some(target) = self.some_member(account) else { return Ok(()) };
        let Some(caller) = self.caller(Who::Sidecar(account))? else { return Ok(()) };
        let person = self.model.people[target].clone();
        self.note(format_args!("the operator makes a token of {} with {given}", person.id));
        let here = !person.gone && person.account == account;
        let reasons = Reasons::default()
            .when(!here, "unknown_member")
            .when(!self.model.set.has_role(&given), "unknown_role")
            .when(here && !self.model.may_make(&person, &given), "maker_may_not");
        let app = self.world.app.clone();
        let (wanted, id) = (wanted(&given, days), person.id.clone());
        let call =
            async { api_tokens::create_for(&app, caller, wanted, id).await.map(with_secret) };
        let look = self.look_token(account);
        let made = self.change(&reasons, call, look).await?;
        self.makes(made);
        Ok(())
    }

    fn makes(&mut self, made: Option<Made>) {
        let Some((token, secret)) = made else { return };
        self.model.makes(&token, secret);
        let account = super::model::account_at(token.account.as_str());
        self.audits(account, AuditEvent::AuthnTokenCreated, token.member.as_str());
    }

    /// Finds a token that was not known.
    fn look_token(&self, account: usize) -> impl AsyncFnOnce(&Store) -> Option<Made> + use<> {
        let known: Vec<_> = self.model.programs.iter().map(|known| known.id.clone()).collect();
        async move |store: &Store| {
            let page = store.api_tokens(&slug(account), None, None, 1_000).await.unwrap();
            let new = page.items.into_iter().find(|token| !known.contains(&token.id));
            new.map(|token| (token, None))
        }
    }

    pub(super) async fn revoke_token(&mut self) -> Held {
        if self.model.programs.is_empty() {
            return Ok(());
        }
        let at = self.dice.below(self.model.programs.len());
        let program = self.model.programs[at].clone();
        let who = self.who_of(program.account);
        let Some(caller) = self.caller(who)? else { return Ok(()) };
        self.note(format_args!("{who:?} revokes {}", program.id));
        let elsewhere = program.account != self.model.account_of(who);
        let own = matches!(who, Who::Seat(seat) if self.model.owner(seat).id == program.member);
        let may = self.model.may(who, Right::Edit)
            && (own || self.model.may(who, Right::Assign(&program.role)));
        let over = self.model.now >= program.expires;
        let reasons = Reasons::default()
            .when(matches!(who, Who::Program(_)), "session_needed")
            .when(!may, "not_allowed")
            .when(elsewhere || program.ended, "unknown_token")
            // Tending takes it away some day.
            .perhaps(over, "unknown_token");
        let app = self.world.app.clone();
        let id = program.id.clone();
        let call = async {
            let done = api_tokens::revoke(&app, caller, id).await?;
            Ok(Committed { revision: done.revision, value: () })
        };
        let (account, id) = (slug(program.account), program.id.clone());
        let look = async move |store: &Store| {
            store.api_token(&account, &id).await.unwrap().is_none().then_some(())
        };
        if self.change(&reasons, call, look).await?.is_some() {
            self.model.programs[at].ended = true;
            let event = AuditEvent::AuthnTokenRevoked;
            self.audits(program.account, event, program.member.as_str());
        }
        Ok(())
    }
}

/// A token, and its secret where its maker got it.
type Made = (ApiToken, Option<String>);

fn wanted(as_role: &str, days: i64) -> TokenRequest {
    TokenRequest { name: name("a program"), role: role(as_role), days }
}

fn with_secret(done: Committed<api_tokens::IssuedToken>) -> Committed<Made> {
    let Committed { revision, value: api_tokens::IssuedToken { token, secret } } = done;
    Committed { revision, value: (token, Some(secret)) }
}
