//! The checks after every step, through every interface of the system.

use std::collections::{BTreeMap, BTreeSet};

use kwic_team::domain::{
    AuditEvent, DeliveryState, InviteId, InviteState, MailKind, QueuedMail, Status, Timestamp,
};
use kwic_team::services::{directory_sync, invites};
use kwic_team::store::{AuditFilter, MemberFilter};

use super::invites::all_invites;
use super::model::{ACCOUNTS, Invited, Lot, ModelSession, OVER_MS, Purpose, Sent};
use super::policies::FEATURES;
use super::{Held, Post, Sim, holds, slug};

/// The whole chain is walked so often.
const WALK_EVERY: usize = 10;

impl Sim {
    pub(super) async fn check(&mut self) -> Held {
        self.revisions_rise().await?;
        self.audit_is_whole().await?;
        self.members_are_as_told().await?;
        self.sessions_are_as_told().await?;
        self.tokens_are_as_told().await?;
        self.factors_are_as_told().await?;
        self.invites_are_as_told().await?;
        self.letters_are_kept().await?;
        self.nobody_else_is_allowed()?;
        self.somebody_administers().await
    }

    /// Every change has the revision after the last one, and none that was told is lost.
    pub(super) async fn revisions_rise(&mut self) -> Held {
        if self.crashed {
            let at = self.world.begun_at.0;
            let lost = self.acknowledged.max(self.told);
            holds(at >= lost, || format!("revision {lost} was told, {at} is left"))?;
            self.told = at;
        }
        let last = self.world.store().revision().await.unwrap();
        directory_sync::wait_until_settled(&self.world.app, last)
            .await
            .map_err(|fault| fault.to_string())?;
        while let Ok(change) = self.world.feed.try_recv() {
            let next = self.told + 1;
            holds(change.revision.0 == next, || {
                format!("the feed tells {} after {}", change.revision, next - 1)
            })?;
            self.told = next;
        }
        let (store, directory) =
            (self.world.store().revision().await.unwrap(), self.world.app.directory.revision());
        let told = self.told;
        holds(store.0 == told && directory == store && self.acknowledged <= told, || {
            format!(
                "store {store}, directory {directory}, feed {told}, told to callers {}",
                self.acknowledged
            )
        })
    }

    /// Each chain verifies, has no gap, and has exactly the expected entries.
    pub(super) async fn audit_is_whole(&mut self) -> Held {
        let mut found = Vec::new();
        for chain in [Some(0), Some(1), None] {
            let of = chain.map(slug);
            let seen = match chain {
                Some(account) => &mut self.audit_seen[account],
                None => &mut self.audit_seen_of_store,
            };
            let store = &self.world.app.store;
            let filter = AuditFilter::default();
            let page = store.audit(of.as_ref(), &filter, Some(*seen), 1_000).await.unwrap();
            for entry in page.items {
                holds(entry.sequence == *seen + 1, || {
                    format!("{of:?}: entry {} comes after {seen}", entry.sequence)
                })?;
                *seen = entry.sequence;
                let event = match entry.event.as_str() {
                    "authn_login_successafterfail" => "authn_login_success".to_owned(),
                    event => event.to_owned(),
                };
                // Of these nobody can foresee how many there are.
                if !event.starts_with("mail_") && event != "authn_login_lock" {
                    // What the store's own entries are about is not the model's business.
                    let target = if chain.is_some() { entry.target } else { String::new() };
                    found.push((chain, event, target));
                }
            }
            let total = *seen;
            if self.crashed || total.is_multiple_of(WALK_EVERY as u64) {
                let report = store.audit_verify(of.as_ref()).await.unwrap();
                holds(report.fault.is_none() && report.entries == total, || {
                    format!("the chain of {of:?} does not hold: {report:?}, {total} were read")
                })?;
            }
        }
        for (account, maker) in std::mem::take(&mut self.model.revoked) {
            self.audits(account, AuditEvent::AuthnTokenRevoked, maker.as_str());
        }
        let mut wanted: Vec<_> = std::mem::take(&mut self.expected.audits)
            .into_iter()
            .map(|(chain, event, target)| (chain, event.to_owned(), target))
            .collect();
        wanted.sort();
        found.sort();
        holds(wanted == found, || format!("the audit log tells {found:?}, not {wanted:?}"))
    }

    /// Store and directory have the members of the model, and nobody else.
    pub(super) async fn members_are_as_told(&mut self) -> Held {
        let mut count = 0;
        for (account, name) in ACCOUNTS.iter().enumerate() {
            let filter = MemberFilter::default();
            let page = self.world.store().members(&slug(account), &filter, None, 1_000).await;
            let mut found = BTreeMap::new();
            for member in page.unwrap().items {
                let text = format!(
                    "{} {} {} {} {} v{} {}",
                    member.email.as_str(),
                    member.first_name.as_str(),
                    member.last_name.as_str(),
                    member.role,
                    member.status.as_str(),
                    member.version,
                    member.two_step
                );
                let seen = self.world.app.directory.with(member.id.as_str(), |view| {
                    view.account == *name
                        && view.role == member.role.as_str()
                        && view.active == (member.status == Status::Active)
                        && view.texts.email_key() == member.email.key()
                        && view.texts.first_name() == member.first_name.as_str()
                });
                holds(seen == Some(true), || {
                    format!("decisions see {} as {seen:?}, the store as {text}", member.id)
                })?;
                found.insert(member.id.as_str().to_owned(), text);
                count += 1;
            }
            let wanted: BTreeMap<String, String> = self
                .model
                .members(account)
                .into_iter()
                .map(|at| {
                    let person = &self.model.people[at];
                    let text = format!(
                        "{} {} {} {} {} v{} {}",
                        person.email.as_str(),
                        person.first_name,
                        person.last_name,
                        person.role,
                        person.status.as_str(),
                        person.version,
                        person.factor.is_some()
                    );
                    (person.id.as_str().to_owned(), text)
                })
                .collect();
            holds(found == wanted, || format!("members of {name}: {found:#?}, not {wanted:#?}"))?;
        }
        let directory = self.world.app.directory.len();
        holds(directory == count, || format!("decisions see {directory} members of {count}"))
    }

    /// Store and directory have the sessions that nobody ended, and none outlives its member.
    pub(super) async fn sessions_are_as_told(&mut self) -> Held {
        let mut by_member: BTreeMap<&str, Vec<&ModelSession>> = BTreeMap::new();
        for seat in &self.model.seats {
            by_member.entry(seat.member.as_str()).or_default().push(seat);
        }
        for seats in by_member.values() {
            let member = &seats[0].member;
            let found = self.world.store().sessions_of(member).await.unwrap();
            for session in &found {
                let seat = seats.iter().find(|seat| seat.hash == session.token);
                holds(seat.is_some() || !self.model.owes_factor(member), || {
                    format!("the session {} of {member} began past the factor", session.id)
                })?;
                let there = seat.is_some_and(|seat| !seat.ended && session.id == seat.id);
                holds(there, || {
                    format!("the session {} of {member} should not be there", session.id)
                })?;
            }
            for seat in seats {
                let stored = found.iter().find(|session| session.token == seat.hash);
                let live = self
                    .world
                    .app
                    .directory
                    .session(&seat.hash, |live| (live.member.clone(), live.used.0));
                if seat.ended {
                    holds(live.is_none(), || format!("decisions see the ended {}", seat.id))?;
                    continue;
                }
                let Some(stored) = stored else {
                    return Err(format!("the session {} of {member} is lost", seat.id));
                };
                holds(stored.used.0 == seat.written, || {
                    format!("{} was used at {}, not {}", seat.id, stored.used.0, seat.written)
                })?;
                holds(live == Some((seat.member.clone(), seat.used)), || {
                    format!("decisions see {} as {live:?}, not used at {}", seat.id, seat.used)
                })?;
            }
        }
        Ok(())
    }

    /// Store and directory have the API tokens that nobody ended, and none outlives its maker or
    /// its maker's right.
    pub(super) async fn tokens_are_as_told(&mut self) -> Held {
        for account in 0..ACCOUNTS.len() {
            let page = self.world.store().api_tokens(&slug(account), None, None, 1_000).await;
            let found = page.unwrap().items;
            for token in &found {
                let known = self.model.programs.iter().find(|known| known.id == token.id);
                let there = known.is_some_and(|known| {
                    !known.ended && known.hash == token.token && known.expires == token.expires.0
                });
                holds(there, || format!("the token {} outlives {}", token.id, token.member))?;
            }
            let (model, now) = (&self.model, self.model.now);
            for known in model.programs.iter().filter(|known| known.account == account) {
                let there = found.iter().any(|token| token.id == known.id);
                let lives = !known.ended && now < known.expires;
                holds(there || !lives, || format!("the token {} is lost", known.id))?;
                let seen = self.world.app.directory.api_token(&known.hash).is_some();
                holds(seen == there, || format!("decisions see the token {}: {seen}", known.id))?;
            }
        }
        for at in 0..self.model.programs.len() {
            if self.model.programs[at].secret.is_some() {
                self.program(at)?;
            }
        }
        Ok(())
    }

    /// The store has the factors of the model: the last code that was taken, and the codes left.
    pub(super) async fn factors_are_as_told(&mut self) -> Held {
        for person in self.model.people.iter_mut().filter(|person| !person.gone) {
            let Some(known) = &mut person.factor else { continue };
            let found = self.world.app.store.factors(&person.id).await.unwrap();
            let stands = (found.authenticator.map(|it| it.step), found.recovery.len());
            holds(stands == (Some(known.step), known.recovery.len()), || {
                format!("the factor of {} is at {stands:?}, not {known:?}", person.id)
            })?;
            // A wrong code that nobody heard the end of was counted or not.
            known.failures = found.failures;
        }
        Ok(())
    }

    /// The store has the invites of the model, in their states, and each address once.
    pub(super) async fn invites_are_as_told(&mut self) -> Held {
        for (account, name) in ACCOUNTS.iter().enumerate() {
            let found = all_invites(self.world.store(), &slug(account)).await;
            let mut held = BTreeSet::new();
            for at in self.model.members(account) {
                held.insert(self.model.people[at].email.key().to_owned());
            }
            for invite in &found {
                let known = self.model.invites.iter().find(|known| known.id == invite.id);
                let Some(known) = known else {
                    return Err(format!("{name} has an invite that nobody sent: {invite:?}"));
                };
                let fate = match (known.fate, invite.state(Timestamp(self.model.now))) {
                    (Lot::Accepted(_), InviteState::Accepted)
                    | (Lot::Revoked(_), InviteState::Revoked) => true,
                    (Lot::Open, InviteState::Pending) => {
                        holds(held.insert(invite.email.key().to_owned()), || {
                            format!("{} is held twice in {name}", invite.email)
                        })?;
                        self.model.is_pending(known)
                    }
                    (Lot::Open, InviteState::Expired) => !self.model.is_pending(known),
                    _ => false,
                };
                let same = fate
                    && invite.email == known.email
                    && invite.inviter.member() == known.inviter.as_ref()
                    && invite.role.as_str() == known.role
                    && invite.first_name.as_str() == known.first_name
                    && invite.last_name.as_str() == known.last_name
                    && invite.generation.0 == known.generation
                    && invite.expires.0 == known.expires
                    && invite.version.0 == known.version;
                holds(same, || format!("{invite:?} should be {known:?}"))?;
            }
            let there: BTreeSet<_> = found.into_iter().map(|invite| invite.id).collect();
            let now = self.model.now;
            for known in &mut self.model.invites {
                if known.account == account && !there.contains(&known.id) && !known.forgotten {
                    holds(may_be_forgotten(known, now), || format!("{known:?} is lost"))?;
                    known.forgotten = true;
                }
            }
        }
        self.tokens_open_what_they_should().await
    }

    /// Of each invite at most the last token opens it; a few are tried in each step.
    pub(super) async fn tokens_open_what_they_should(&mut self) -> Held {
        let mut tokens: Vec<(usize, u32, String)> = Vec::new();
        for (at, invite) in self.model.invites.iter().enumerate() {
            let of = invite.tokens.iter();
            tokens.extend(of.map(|(generation, token)| (at, *generation, token.clone())));
        }
        if tokens.is_empty() {
            return Ok(());
        }
        for _ in 0..3 {
            let (at, generation, token) = tokens[self.dice.below(tokens.len())].clone();
            let invite = &self.model.invites[at];
            let opens = self.model.dead_token(&token).is_none() && self.model.inviter_may(invite);
            let said = invites::inspect(&self.world.app, &token).await;
            holds(said.is_ok() == opens, || {
                format!("link {generation} of {invite:?} opens: {said:?}")
            })?;
        }
        Ok(())
    }

    /// A queued letter exists until it is final, and was sent unless it became obsolete.
    pub(super) async fn letters_are_kept(&mut self) -> Held {
        let wanted = std::mem::take(&mut self.expected.letters);
        if wanted.is_empty() && !self.letters_move && !self.crashed && !self.dice.percent(10) {
            return Ok(());
        }
        let page = self.world.store().letters(None, None, 100_000).await.unwrap();
        let found: BTreeMap<u64, QueuedMail> =
            page.items.into_iter().map(|letter| (letter.id.0, letter)).collect();
        let last = self.last_letter();
        let mut new: Vec<(&'static str, String)> = Vec::new();
        for (id, letter) in found.range(last + 1..) {
            new.push((letter.kind.as_str(), letter.to.as_str().to_owned()));
            self.learn(letter)?;
            self.letters.insert(*id, Post { letter: letter.clone(), sent: 0 });
        }
        let sort = |mut list: Vec<(&'static str, String)>| {
            list.sort();
            list
        };
        let (new, wanted) = (sort(new), sort(wanted));
        holds(new == wanted, || format!("letters were queued: {new:?}, not {wanted:?}"))?;
        let mut gone = Vec::new();
        for (id, post) in &mut self.letters {
            match found.get(id) {
                Some(letter) => post.letter = letter.clone(),
                None => gone.push(post.clone()),
            }
        }
        for post in gone {
            let long_ago = self.model.now >= post.letter.expires.0 + OVER_MS;
            let fine =
                long_ago || !post.letter.delivery.state.is_over() && self.is_void(&post.letter);
            holds(fine, || format!("the letter {:?} is lost", post.letter))?;
            self.letters.remove(&post.letter.id.0);
        }
        for post in self.letters.values() {
            let state = post.letter.delivery.state;
            let went = matches!(
                state,
                DeliveryState::HandedOver | DeliveryState::Delivered | DeliveryState::Bounced
            );
            holds(!went || post.sent > 0, || format!("{:?} never went out", post.letter))?;
        }
        Ok(())
    }

    /// Which link a new letter carries.
    pub(super) fn learn(&mut self, letter: &QueuedMail) -> Held {
        let (MailKind::PasswordReset { link } | MailKind::EmailChange { link }) = &letter.kind
        else {
            return Ok(());
        };
        let fits = |known: &&mut Sent| {
            let member = self.model.people.iter().find(|person| person.id == known.member);
            let to = match &known.purpose {
                Purpose::NewAddress { to, at_old: false } => to.as_str(),
                _ => member.map_or("", |person| person.email.as_str()),
            };
            let is_reset = known.purpose == Purpose::Reset;
            known.id.is_none()
                && to == letter.to.as_str()
                && is_reset == matches!(letter.kind, MailKind::PasswordReset { .. })
        };
        let known = self.model.links.iter_mut().find(fits);
        known.ok_or_else(|| format!("{letter:?} carries a link that nobody asked for"))?.id =
            Some(link.clone());
        Ok(())
    }

    /// Whether nobody needs a letter any more.
    pub(super) fn is_void(&self, letter: &QueuedMail) -> bool {
        let now = self.model.now;
        let invite = |id: &InviteId| self.model.invites.iter().find(|invite| invite.id == *id);
        match &letter.kind {
            MailKind::Invite { invite: id, generation } => invite(id).is_none_or(|invite| {
                !self.model.is_pending(invite) || invite.generation != generation.0
            }),
            // Its invite went on or ended, or it was asked for again.
            MailKind::InviteWanted { .. } => true,
            MailKind::PasswordReset { link } | MailKind::EmailChange { link } => {
                let known = self.model.links.iter().find(|known| known.id.as_ref() == Some(link));
                known.is_none_or(|known| known.dead || now >= known.expires)
            }
            MailKind::PasswordChanged { .. } | MailKind::TwoStep { .. } => false,
            MailKind::EmailChanged { member } => self.model.person(member).is_none(),
        }
    }

    /// No decision allows anything to a removed or suspended member, nor to an ended session.
    pub(super) fn nobody_else_is_allowed(&self) -> Held {
        for person in self.model.people.iter().filter(|person| !person.active()) {
            for feature in FEATURES {
                let said = self.decision(("user", person.id.as_str()), feature, person.account);
                holds(!said, || format!("{} is {person:?} and gets an allow", feature.0))?;
            }
        }
        for seat in &self.model.seats {
            let (Some(token), false) = (&seat.token, self.model.lives(seat)) else { continue };
            let account = self.model.people.iter().find(|person| person.id == seat.member);
            let account = account.unwrap().account;
            for feature in FEATURES {
                let said = self.decision(("session", token), feature, account);
                holds(!said, || format!("the session {} is over and gets an allow", seat.id))?;
            }
        }
        Ok(())
    }

    /// An account that had an active administrator has one, unless the policies changed what one
    /// is. Asked of the engine and the store alone.
    pub(super) async fn somebody_administers(&mut self) -> Held {
        let live = self.world.app.policies.load_full();
        for (account, name) in ACCOUNTS.iter().enumerate() {
            let filter = MemberFilter { status: Some(Status::Active), ..MemberFilter::default() };
            let page = self.world.store().members(&slug(account), &filter, None, 1_000).await;
            let has = page
                .unwrap()
                .items
                .iter()
                .any(|member| live.administering().contains(&member.role));
            let had = std::mem::replace(&mut self.administered[account], has);
            holds(has || !had || self.reloads, || {
                format!("{name} has no active administrator any more")
            })?;
        }
        Ok(())
    }
}

/// Whether an invite is over for so long that it may be forgotten.
fn may_be_forgotten(invite: &Invited, now: i64) -> bool {
    let over = match invite.fate {
        Lot::Open => invite.expires,
        Lot::Accepted(at) | Lot::Revoked(at) => at,
    };
    now >= over + OVER_MS
}
