//! Concurrent changes: whichever comes first, the other one meets its result.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;

use kwic_team::app::App;
use kwic_team::domain::{
    AuditEvent, Email, Failure, Invite, InviteId, Member, MemberId, Session, Status,
};
use kwic_team::services::caller::Caller;
use kwic_team::services::client_info::ClientInfo;
use kwic_team::services::invites::{self, Invitation};
use kwic_team::services::members::{self, ChosenMember};
use kwic_team::services::sign_in::{self, SignInAttempt};
use kwic_team::store::MemberEdit;
use tokio::sync::oneshot;

use super::actions::{name, role};
use super::model::{ACCOUNTS, Lot, Model, Reasons, Who};
use super::policies::Right;
use super::{Held, Sim, slug};
use crate::support::fixture::entered;

/// One of the two.
#[derive(Clone, Debug)]
enum Move {
    /// An administrator takes somebody's rights.
    Strike { seat: usize, target: usize, blow: Blow },
    /// Somebody joins by a link.
    Accept { token: String, password: String },
    /// A member signs in.
    SignIn { target: usize },
    /// An administrator invites somebody.
    Invite { seat: usize, email: Email },
}

#[derive(Clone, Copy, Debug)]
enum Blow {
    Demote,
    Suspend,
    Remove,
}

/// What came of it.
#[derive(Debug)]
struct Came {
    revision: u64,
    of: Of,
}

#[derive(Debug)]
enum Of {
    Strike,
    Accept(Box<Member>),
    SignIn(Box<Session>, String),
    Invite(Box<Invite>),
}

/// What the model says it left: entries and letters.
#[derive(Default)]
struct Left {
    audits: Vec<(usize, AuditEvent, String)>,
    letters: Vec<Email>,
}

impl Sim {
    pub(super) async fn race(&mut self) -> Held {
        let account = self.dice.below(ACCOUNTS.len());
        let moves = match self.dice.below(6) {
            0 | 1 => self.duel(account),
            2 => self.two_clicks(),
            3 => self.accepts_of_one_who_goes(account),
            4 => self.sign_in_of_one_who_goes(account),
            _ => self.two_invites(account),
        };
        let Some(moves) = moves else { return Ok(()) };
        self.note(format_args!("at once: {moves:?}"));
        for of in &moves {
            if let Move::Strike { target, .. } = of {
                let id = self.model.people[*target].id.clone();
                self.plan_for_leaving(&id);
            }
        }
        let [first, second] = [self.striker(&moves[0])?, self.striker(&moves[1])?];
        let (app, model) = (self.world.app.clone(), self.model.clone());
        let one = play(app.clone(), model.clone(), moves[0].clone(), first);
        let other = play(app, model, moves[1].clone(), second);
        let by = 1 + self.dice.below(8);
        self.note(format_args!("  held up or ahead by {by}"));
        let came = match &moves {
            [Move::Accept { .. } | Move::SignIn { .. }, _] => held_up(by, one, other).await,
            _ => in_step(by / 2, one, other).await,
        };
        self.either_order(&moves, &came)
    }

    /// Two administrators of one account, each against the other.
    fn duel(&mut self, account: usize) -> Option<[Move; 2]> {
        let (one, first) = self.signed_in_administrator(account, None)?;
        let (other, second) = self.signed_in_administrator(account, Some(first))?;
        Some([self.strike(one, second), self.strike(other, first)])
    }

    /// One link, opened twice.
    fn two_clicks(&mut self) -> Option<[Move; 2]> {
        let token = self.valid_token(|_| true)?;
        let passwords = [self.new_password(), self.new_password()];
        Some(passwords.map(|password| Move::Accept { token: token.clone(), password }))
    }

    /// Somebody joins while the inviter loses the right to invite.
    fn accepts_of_one_who_goes(&mut self, account: usize) -> Option<[Move; 2]> {
        let (seat, own) = self.signed_in_administrator(account, None)?;
        let mut inviters = self.model.members(account);
        inviters.retain(|at| *at != own);
        let target = self.dice.perhaps(&inviters)?;
        let id = self.model.people[target].id.clone();
        let token = self.valid_token(|inviter| inviter == Some(&id))?;
        let accept = Move::Accept { token, password: self.new_password() };
        Some([accept, self.strike(seat, target)])
    }

    fn sign_in_of_one_who_goes(&mut self, account: usize) -> Option<[Move; 2]> {
        let (seat, own) = self.signed_in_administrator(account, None)?;
        let mut others = self.model.members(account);
        others.retain(|at| {
            let person = &self.model.people[*at];
            let alone = person.password.is_some() && !self.model.owes_factor(&person.id);
            *at != own && person.active() && alone
        });
        let target = self.dice.perhaps(&others)?;
        if self.model.failed_tries(&self.model.people[target]) > 0 {
            return None;
        }
        Some([Move::SignIn { target }, self.strike(seat, target)])
    }

    /// Two invites to one address.
    fn two_invites(&mut self, account: usize) -> Option<[Move; 2]> {
        let (one, first) = self.signed_in_administrator(account, None)?;
        let (other, _) = self.signed_in_administrator(account, Some(first))?;
        let email = self.address();
        Some([one, other].map(|seat| Move::Invite { seat, email: email.clone() }))
    }

    /// A session of an active administrator, and whose it is.
    fn signed_in_administrator(
        &mut self,
        account: usize,
        but: Option<usize>,
    ) -> Option<(usize, usize)> {
        let at = |id: &MemberId| self.model.people.iter().position(|person| person.id == *id);
        let mut seats = Vec::new();
        for seat in self.model.live_seats() {
            let owner = self.model.owner(seat);
            let fits = owner.account == account && self.model.administers(owner);
            if let (true, Some(owner)) = (fits, at(&owner.id))
                && Some(owner) != but
            {
                seats.push((seat, owner));
            }
        }
        self.dice.perhaps(&seats)
    }

    fn valid_token(&mut self, fits: impl Fn(Option<&MemberId>) -> bool) -> Option<String> {
        let mut tokens = Vec::new();
        for invite in &self.model.invites {
            if self.model.is_pending(invite)
                && fits(invite.inviter.as_ref())
                && let Some(token) = invite.tokens.get(&invite.generation)
            {
                tokens.push(token.as_str());
            }
        }
        self.dice.perhaps(&tokens).map(str::to_owned)
    }

    fn strike(&mut self, seat: usize, target: usize) -> Move {
        let blow = self.dice.one_of(&[Blow::Demote, Blow::Demote, Blow::Suspend, Blow::Remove]);
        Move::Strike { seat, target, blow }
    }

    fn striker(&mut self, of: &Move) -> Result<Option<Caller>, String> {
        match of {
            Move::Strike { seat, .. } | Move::Invite { seat, .. } => {
                Ok(self.signed_in(*seat)?.map(Caller::Member))
            }
            Move::Accept { .. } | Move::SignIn { .. } => Ok(None),
        }
    }

    /// Takes what came into the model, in an order in which it may have come.
    fn either_order(&mut self, moves: &[Move; 2], came: &[Result<Came, Failure>; 2]) -> Held {
        for order in [[0, 1], [1, 0]] {
            let (mut model, mut left) = (self.model.clone(), Left::default());
            let fits = order.into_iter().all(|turn| {
                let reasons = reasons(&model, &moves[turn]);
                match &came[turn] {
                    Ok(came) if reasons.must.is_empty() => {
                        lands(&mut model, &moves[turn], came, &mut left);
                        true
                    }
                    Ok(_) => false,
                    Err(failure) => {
                        let code = failure.code;
                        reasons.must.contains(code)
                            || !reasons.must.is_empty() && reasons.may.contains(code)
                    }
                }
            });
            if !fits {
                continue;
            }
            self.model = model;
            for (account, event, target) in left.audits {
                self.audits(account, event, &target);
            }
            for email in left.letters {
                self.posts("invite", &email);
            }
            for came in came {
                match came {
                    Ok(came) => self.acknowledged = self.acknowledged.max(came.revision),
                    Err(failure) => self.note(format_args!("  refused: {}", failure.code)),
                }
                self.count(came.as_ref().err().map_or("done", |failure| failure.code));
            }
            return Ok(());
        }
        Err(format!("{came:?} came of {moves:?} in no order"))
    }
}

/// Holds one up after so many polls until the other one is over: hashing has a thread of its own,
/// and time must not decide which of them comes first.
async fn held_up(
    polls: usize,
    one: impl Future<Output = Result<Came, Failure>> + Send + 'static,
    other: impl Future<Output = Result<Came, Failure>>,
) -> [Result<Came, Failure>; 2] {
    let (go, gone) = oneshot::channel::<()>();
    let stands = Arc::new(AtomicBool::new(false));
    let standing = Arc::clone(&stands);
    let mut store = Batches::hold().await;
    // A task of its own is polled only when it can go on.
    let one = tokio::spawn(async move {
        let (mut one, mut left) = (pin!(one), polls);
        let early = std::future::poll_fn(|cx| match one.as_mut().poll(cx) {
            Poll::Ready(came) => Poll::Ready(Some(came)),
            Poll::Pending => {
                left -= 1;
                if left == 0 { Poll::Ready(None) } else { Poll::Pending }
            }
        });
        if let Some(came) = early.await {
            return came;
        }
        standing.store(true, Ordering::Release);
        let _ = gone.await;
        one.await
    });
    while !one.is_finished() && !stands.load(Ordering::Acquire) {
        store.next().await;
    }
    store.next().await;
    drop(store);
    let other = other.await;
    let _ = go.send(());
    [one.await.unwrap(), other]
}

/// Does both, batch by batch of what they ask of the store, the second one so many batches later:
/// which of them comes first is decided here, and not by the machine's load.
async fn in_step(
    later: usize,
    one: impl Future<Output = Result<Came, Failure>> + Send + 'static,
    other: impl Future<Output = Result<Came, Failure>> + Send + 'static,
) -> [Result<Came, Failure>; 2] {
    let mut store = Batches::hold().await;
    let one = tokio::spawn(one);
    for _ in 0..later {
        store.next().await;
    }
    let other = tokio::spawn(other);
    while !one.is_finished() || !other.is_finished() {
        store.next().await;
    }
    drop(store);
    [one.await.unwrap(), other.await.unwrap()]
}

/// The one thread of the store, held but for one batch of work at a time.
struct Batches {
    held: Gate,
    done: usize,
}

/// More than the longest change takes, and a hash before it.
const BATCHES_MAX: usize = 10_000;
/// More turns than tasks that wake one another need.
const TURNS: usize = 50;

impl Batches {
    async fn hold() -> Self {
        let mut held = Gate::close();
        held.reached().await;
        Self { held, done: 0 }
    }

    /// Lets everybody go on until all wait for the store, and the store do what was asked of it.
    async fn next(&mut self) {
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        drop(std::mem::replace(&mut self.held, Gate::close()));
        self.held.reached().await;
        self.done += 1;
        assert!(self.done < BATCHES_MAX, "two things at once do not end");
    }
}

/// Occupies the one thread of the store, until it is dropped.
struct Gate {
    begun: oneshot::Receiver<()>,
    _go: mpsc::Sender<()>,
}

impl Gate {
    fn close() -> Self {
        let (begin, begun) = oneshot::channel();
        let (go, gone) = mpsc::channel();
        tokio::task::spawn_blocking(move || {
            let _ = begin.send(());
            // Ends with an error, when the other end is dropped.
            let _: Result<(), _> = gone.recv();
        });
        Self { begun, _go: go }
    }

    /// Ends once everything that was asked of the store before is done.
    async fn reached(&mut self) {
        (&mut self.begun).await.unwrap();
    }
}

/// Does it to the real thing.
async fn play(
    app: Arc<App>,
    model: Model,
    of: Move,
    caller: Option<Caller>,
) -> Result<Came, Failure> {
    let app = &app;
    let came = |revision: kwic_team::domain::Revision, of| Came { revision: revision.0, of };
    match &of {
        Move::Strike { target, blow, .. } => {
            let chosen = ChosenMember { id: model.people[*target].id.clone(), expected: None };
            let caller = caller.unwrap();
            let revision = match blow {
                Blow::Demote => {
                    let edit = MemberEdit { role: Some(role("operator")), ..MemberEdit::default() };
                    members::edit(app, caller, chosen, edit).await?.revision
                }
                Blow::Suspend => members::suspend(app, caller, chosen).await?.revision,
                Blow::Remove => members::remove(app, caller, chosen).await?.revision,
            };
            Ok(came(revision, Of::Strike))
        }
        Move::Accept { token, password } => {
            let done = invites::accept(app, token, password).await?;
            Ok(came(done.revision, Of::Accept(Box::new(done.value))))
        }
        Move::SignIn { target } => {
            let person = &model.people[*target];
            let attempt = SignInAttempt {
                account: slug(person.account),
                email: person.email.clone(),
                password: person.password.clone().unwrap(),
                from: ClientInfo::default(),
            };
            let done = entered(sign_in::sign_in(app, attempt).await?);
            let token = done.value.token.expose().to_owned();
            Ok(came(done.revision, Of::SignIn(Box::new(done.value.session), token)))
        }
        Move::Invite { email, .. } => {
            let invitation = Invitation {
                email: email.clone(),
                first_name: name("Two"),
                last_name: name("Times"),
                role: role("operator"),
            };
            let done = invites::send(app, caller.unwrap(), invitation, None).await?;
            Ok(came(done.revision, Of::Invite(Box::new(done.value.view.invite))))
        }
    }
}

/// Why it must be refused.
fn reasons(model: &Model, of: &Move) -> Reasons {
    match of {
        Move::Strike { seat, target, blow } => struck(model, *seat, *target, *blow),
        Move::Accept { token, .. } => {
            let dead = model.dead_token(token);
            let invite = &model.invites[model.by_token(token).unwrap().0];
            Reasons::of(dead)
                .when(dead.is_none() && !model.inviter_may(invite), "inviter_lost_right")
                // Who looks at the inviter first sees that one go first.
                .perhaps(!model.inviter_may(invite), "inviter_lost_right")
        }
        Move::SignIn { target } => {
            Reasons::default().when(!model.people[*target].active(), "sign_in_refused")
        }
        Move::Invite { seat, email } => {
            let who = Who::Seat(*seat);
            let account = model.account_of(who);
            let holder = model.holder(account, email).map(super::model::Holder::refuses_invite);
            Reasons::of(holder)
                .when(!model.may(who, Right::Invite), "not_allowed")
                .when(!model.may(who, Right::Assign("operator")), "not_allowed")
                .when(model.too_many_to(account, email), "too_many_invites")
        }
    }
}

fn struck(model: &Model, seat: usize, target: usize, blow: Blow) -> Reasons {
    let (actor, person) = (model.owner(seat), &model.people[target]);
    let right = if matches!(blow, Blow::Remove) { Right::Remove } else { Right::Edit };
    let reasons = Reasons::default()
        .when(!model.lives(&model.seats[seat]), "session_ended")
        // The store may know it before the directory does.
        .perhaps(!actor.active(), "not_allowed")
        .when(actor.active() && !model.person_may(actor, right), "not_allowed")
        .when(person.gone, "unknown_member");
    match blow {
        _ if person.gone => reasons,
        Blow::Demote => model.about_role(reasons, Who::Seat(seat), target, "operator"),
        Blow::Suspend => reasons
            .when(person.status == Status::Suspended, "already_suspended")
            .when(model.is_last_administrator(person), "last_administrator"),
        Blow::Remove => reasons.when(model.is_last_administrator(person), "last_administrator"),
    }
}

/// Takes it into the model.
fn lands(model: &mut Model, of: &Move, came: &Came, left: &mut Left) {
    let revoked = |account: usize, left: &mut Left, ended: Vec<InviteId>| {
        let entry = |id: InviteId| (account, AuditEvent::InviteRevoked, id.as_str().to_owned());
        left.audits.extend(ended.into_iter().map(entry));
    };
    match (of, &came.of) {
        (Move::Strike { target, blow, .. }, Of::Strike) => {
            let person = model.people[*target].clone();
            let event = match blow {
                Blow::Demote if person.role == "operator" => return,
                Blow::Demote => {
                    revoked(person.account, left, model.takes_role(*target, "operator"));
                    AuditEvent::PrivilegePermissionsChanged
                }
                Blow::Suspend => {
                    model.suspends(*target);
                    AuditEvent::UserSuspended
                }
                Blow::Remove => {
                    revoked(person.account, left, model.goes(*target).1);
                    AuditEvent::UserDeleted
                }
            };
            left.audits.push((person.account, event, person.id.as_str().to_owned()));
        }
        (Move::Accept { token, password }, Of::Accept(member)) => {
            let (at, _) = model.by_token(token).unwrap();
            let invite = &mut model.invites[at];
            invite.fate = Lot::Accepted(model.now);
            invite.version += 1;
            let (account, id) = (invite.account, invite.id.as_str().to_owned());
            left.audits.push((account, AuditEvent::InviteAccepted, id));
            let id = member.id.as_str().to_owned();
            left.audits.push((account, AuditEvent::UserCreated, id));
            model.adds(member, Some(password.clone()));
        }
        (Move::SignIn { target }, Of::SignIn(session, token)) => {
            let person = model.people[*target].clone();
            model.seats(session, Some(token.clone()));
            let id = person.id.as_str().to_owned();
            left.audits.push((person.account, AuditEvent::AuthnLoginSuccess, id));
        }
        (Move::Invite { email, .. }, Of::Invite(invite)) => {
            let account = super::model::account_at(invite.account.as_str());
            revoked(account, left, model.makes_way(account, email));
            model.invites(invite);
            model.sends_to(account, email);
            let id = invite.id.as_str().to_owned();
            left.audits.push((account, AuditEvent::InviteCreated, id));
            left.letters.push(email.clone());
        }
        _ => unreachable!("{of:?} leaves {came:?}"),
    }
}
