//! The model: a few plain lists that predict the state of the real system.
//!
//! Independent of store, engine and mail: only the rules, as specified.

use std::collections::{BTreeMap, BTreeSet};

use kwic_team::domain::{
    ApiToken, ApiTokenId, Email, Generation, Invite, InviteId, InviteOutcome, LinkId, Member,
    MemberId, Session, SessionId, SessionLimits, Status, Timestamp, TokenHash,
};

use super::policies::{Right, Set};

pub const ACCOUNTS: [&str; 2] = ["acme", "globex"];
pub const MINUTE_MS: i64 = 60_000;
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
pub const DAY_MS: i64 = 24 * HOUR_MS;
/// For so long what is over can still be looked up.
pub const OVER_MS: i64 = 90 * DAY_MS;

/// A member, or one who was.
#[derive(Clone, Debug)]
pub struct Person {
    pub id: MemberId,
    pub account: usize,
    pub email: Email,
    pub first_name: String,
    pub last_name: String,
    pub role: String,
    pub status: Status,
    pub version: u64,
    pub password: Option<String>,
    pub factor: Option<Factor>,
    pub gone: bool,
}

impl Person {
    pub fn active(&self) -> bool {
        !self.gone && self.status == Status::Active
    }
}

/// A second factor, as its owner holds it.
#[derive(Clone, Debug)]
pub struct Factor {
    pub secret: Vec<u8>,
    /// The time step of the last code that was taken.
    pub step: u64,
    /// Recovery codes that were not used, and those that were.
    pub recovery: Vec<String>,
    pub spent: Vec<String>,
    /// Wrong codes in a row, as the store counted them last.
    pub failures: u32,
}

/// An invite, and the tokens that were seen of it.
#[derive(Clone, Debug)]
pub struct Invited {
    pub id: InviteId,
    pub account: usize,
    pub email: Email,
    pub first_name: String,
    pub last_name: String,
    pub role: String,
    /// Who sent it, where that is a member.
    pub inviter: Option<MemberId>,
    pub generation: u32,
    pub expires: i64,
    pub version: u64,
    pub fate: Lot,
    /// When somebody asked for a new link last, as memory knows it.
    pub wanted: Option<i64>,
    /// Over for so long that nobody can look it up any more.
    pub forgotten: bool,
    /// From mails and from links that were shown.
    pub tokens: BTreeMap<u32, String>,
}

impl Invited {
    /// Whether it is still there, and nobody ended it.
    pub fn is_open(&self) -> bool {
        self.fate == Lot::Open && !self.forgotten
    }
}

/// What became of an invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lot {
    Open,
    Accepted(i64),
    Revoked(i64),
}

/// A session.
#[derive(Clone, Debug)]
pub struct ModelSession {
    pub id: SessionId,
    pub hash: TokenHash,
    /// Where the caller got it.
    pub token: Option<String>,
    pub member: MemberId,
    pub created: i64,
    /// As memory knows it.
    pub used: i64,
    /// As the disk knows it, by the last sign of it.
    pub written: i64,
    /// Ended by somebody, or taken away when its time was over.
    pub ended: bool,
}

/// A program with an API token.
#[derive(Clone, Debug)]
pub struct Program {
    pub id: ApiTokenId,
    pub hash: TokenHash,
    /// Where its maker got it.
    pub secret: Option<String>,
    pub member: MemberId,
    pub account: usize,
    pub role: String,
    pub expires: i64,
    /// Ended by somebody, or with its maker's right.
    pub ended: bool,
}

/// What a link is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    Reset,
    /// The end at the address so far, or the other one.
    NewAddress {
        to: Email,
        at_old: bool,
    },
}

/// A link to a new password or a new address.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Once its letter told.
    pub id: Option<LinkId>,
    pub member: MemberId,
    pub purpose: Purpose,
    pub expires: i64,
    pub confirmed: bool,
    pub dead: bool,
    /// From its mail.
    pub token: Option<String>,
}

/// Who wants something done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The operator of the sidecar, about an account.
    Sidecar(usize),
    /// The holder of this session's token.
    Seat(usize),
    /// The holder of this API token.
    Program(usize),
}

/// Why something must be refused, and why it may be.
#[derive(Clone, Debug, Default)]
pub struct Reasons {
    pub must: BTreeSet<&'static str>,
    pub may: BTreeSet<&'static str>,
}

impl Reasons {
    /// One more reason, where it holds.
    pub fn when(mut self, holds: bool, code: &'static str) -> Self {
        if holds {
            self.must.insert(code);
        }
        self
    }

    /// A refusal that is hard to foresee to the second.
    pub fn perhaps(mut self, holds: bool, code: &'static str) -> Self {
        if holds {
            self.may.insert(code);
        }
        self
    }

    pub fn of(code: Option<&'static str>) -> Self {
        Self { must: code.into_iter().collect(), may: BTreeSet::new() }
    }
}

/// A call that may be repeated.
#[derive(Clone, Debug)]
pub struct Call {
    pub asked: String,
    pub invite: InviteId,
    pub at: i64,
}

/// Everything that should be.
#[derive(Clone, Debug)]
pub struct Model {
    pub now: i64,
    pub set: Set,
    pub limits: SessionLimits,
    pub people: Vec<Person>,
    pub invites: Vec<Invited>,
    pub seats: Vec<ModelSession>,
    pub programs: Vec<Program>,
    /// Makers whose tokens were revoked, of which the audit log must still tell.
    pub revoked: Vec<(usize, MemberId)>,
    pub links: Vec<Sent>,
    /// How long an invite may be accepted, by account.
    pub lifetimes_ms: [i64; 2],
    /// Whether an account asks everybody for a second factor.
    pub enforced: [bool; 2],
    /// The hours that somebody chose for that.
    pub chosen_lifetimes: [Option<u64>; 2],
    /// Links sent to an address, by account and key.
    pub sent_to: BTreeMap<(usize, String), Rate>,
    /// When somebody who is signed in had mail sent to an address, by key.
    pub wrote_to: BTreeMap<String, Vec<i64>>,
    /// Recent failed sign-in attempts, by account and key.
    pub failures: BTreeMap<(usize, String), u32>,
    /// Calls that may be repeated: account, caller and key.
    pub calls: BTreeMap<(usize, String, String), Call>,
}

/// How often an address was written to: within a day that began then, and when last.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub begun: i64,
    pub times: u32,
    pub last: i64,
}

/// Who an address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    Active(usize),
    Suspended(usize),
    Pending(usize),
}

impl Holder {
    /// The refusal of an invite to the address.
    pub fn refuses_invite(self) -> &'static str {
        match self {
            Self::Active(_) => "already_member",
            Self::Suspended(_) => "suspended_member",
            Self::Pending(_) => "already_invited",
        }
    }

    /// The refusal of a member with the address.
    pub fn refuses_member(self) -> &'static str {
        match self {
            Self::Active(_) | Self::Suspended(_) => "already_member",
            Self::Pending(_) => "already_invited",
        }
    }
}

// === what is ===

impl Model {
    /// Nobody yet.
    pub fn new(now: i64, limits: SessionLimits) -> Self {
        Self {
            now,
            set: Set::Shipped,
            limits,
            people: Vec::new(),
            invites: Vec::new(),
            seats: Vec::new(),
            programs: Vec::new(),
            revoked: Vec::new(),
            links: Vec::new(),
            enforced: [false; 2],
            lifetimes_ms: [72 * HOUR_MS; 2],
            chosen_lifetimes: [None; 2],
            sent_to: BTreeMap::new(),
            wrote_to: BTreeMap::new(),
            failures: BTreeMap::new(),
            calls: BTreeMap::new(),
        }
    }

    pub fn person(&self, id: &MemberId) -> Option<&Person> {
        self.people.iter().find(|person| person.id == *id && !person.gone)
    }

    pub fn person_mut(&mut self, id: &MemberId) -> Option<&mut Person> {
        self.people.iter_mut().find(|person| person.id == *id && !person.gone)
    }

    /// Positions of the members of an account.
    pub fn members(&self, account: usize) -> Vec<usize> {
        let here = |person: &Person| !person.gone && person.account == account;
        (0..self.people.len()).filter(|at| here(&self.people[*at])).collect()
    }

    /// Positions of the active administrators of an account.
    pub fn administrators(&self, account: usize) -> Vec<usize> {
        let mut found = self.members(account);
        found.retain(|at| self.administers(&self.people[*at]));
        found
    }

    pub fn administers(&self, person: &Person) -> bool {
        person.active() && self.set.administers(&person.role)
    }

    pub fn is_pending(&self, invite: &Invited) -> bool {
        invite.is_open() && self.now < invite.expires
    }

    /// Whether a session still opens anything.
    pub fn lives(&self, seat: &ModelSession) -> bool {
        let now = Timestamp(self.now);
        !seat.ended && self.limits.lives(Timestamp(seat.created), Timestamp(seat.used), now)
    }

    /// Positions of the sessions whose token somebody holds and that open something.
    pub fn live_seats(&self) -> Vec<usize> {
        let live = |seat: &ModelSession| seat.token.is_some() && self.lives(seat);
        (0..self.seats.len()).filter(|at| live(&self.seats[*at])).collect()
    }

    pub fn holder(&self, account: usize, email: &Email) -> Option<Holder> {
        let holds = |at: &usize| self.people[*at].email.key() == email.key();
        if let Some(at) = self.members(account).into_iter().find(holds) {
            return Some(match self.people[at].status {
                Status::Active => Holder::Active(at),
                Status::Suspended => Holder::Suspended(at),
            });
        }
        let pending = |invite: &Invited| {
            invite.account == account
                && invite.email.key() == email.key()
                && self.is_pending(invite)
        };
        self.invites.iter().position(pending).map(Holder::Pending)
    }

    /// Whether no session of somebody begins without a second factor.
    pub fn owes_factor(&self, id: &MemberId) -> bool {
        self.person(id)
            .is_some_and(|person| person.factor.is_some() || self.enforced[person.account])
    }

    pub fn account_of(&self, who: Who) -> usize {
        match who {
            Who::Sidecar(account) => account,
            Who::Seat(seat) => self.owner(seat).account,
            Who::Program(at) => self.programs[at].account,
        }
    }

    /// Whose session it is, also where that person is gone.
    pub fn owner(&self, seat: usize) -> &Person {
        let id = &self.seats[seat].member;
        self.people.iter().find(|person| person.id == *id).unwrap()
    }

    /// Who made a token, also where that person is gone.
    pub fn maker(&self, at: usize) -> &Person {
        let id = &self.programs[at].member;
        self.people.iter().find(|person| person.id == *id).unwrap()
    }

    /// Whether a token's maker may still give its role.
    pub fn may_make(&self, person: &Person, role: &str) -> bool {
        self.set.has_role(role)
            && self.person_may(person, Right::Edit)
            && self.person_may(person, Right::Assign(role))
    }

    /// Whether a token still opens anything.
    pub fn acts(&self, at: usize) -> bool {
        let program = &self.programs[at];
        !program.ended && self.now < program.expires && self.may_make(self.maker(at), &program.role)
    }

    /// The member who acts.
    pub fn actor(&self, who: Who) -> Option<&Person> {
        match who {
            Who::Sidecar(_) => None,
            Who::Seat(seat) => Some(self.owner(seat)),
            Who::Program(at) => Some(self.maker(at)),
        }
    }

    pub fn may(&self, who: Who, right: Right<'_>) -> bool {
        if let Who::Program(at) = who {
            return self.acts(at) && self.set.may(&self.programs[at].role, right);
        }
        self.actor(who).is_none_or(|person| self.person_may(person, right))
    }

    pub fn person_may(&self, person: &Person, right: Right<'_>) -> bool {
        person.active() && self.set.may(&person.role, right)
    }

    /// Whether the sender of an invite may still send it.
    pub fn inviter_may(&self, invite: &Invited) -> bool {
        invite.inviter.as_ref().is_none_or(|id| {
            self.person(id).is_some_and(|person| {
                self.person_may(person, Right::Invite)
                    && self.person_may(person, Right::Assign(&invite.role))
            })
        })
    }

    /// Whether this one may not go or lose the role.
    pub fn is_last_administrator(&self, person: &Person) -> bool {
        self.administers(person) && self.administrators(person.account).len() == 1
    }

    /// Whether one more link to an address is too many: one a minute, five a day.
    pub fn too_many_to(&self, account: usize, email: &Email) -> bool {
        self.sent_to.get(&(account, email.key().to_owned())).is_some_and(|rate| {
            let in_day = self.now < rate.begun + DAY_MS && rate.times >= 5;
            in_day || self.now < rate.last + MINUTE_MS
        })
    }

    /// Whether there may be no more mail to an address at somebody's wish for now.
    pub fn wrote_lately(&self, email: &Email) -> bool {
        let times = self.wrote_to.get(email.key());
        times.is_some_and(|times| times.iter().any(|at| self.now < at + DAY_MS))
    }

    /// The invite that a token was given out for, and which of its links.
    pub fn by_token(&self, token: &str) -> Option<(usize, u32)> {
        self.invites.iter().enumerate().find_map(|(at, invite)| {
            let mut of = invite.tokens.iter();
            of.find(|(_, known)| *known == token).map(|(generation, _)| (at, *generation))
        })
    }

    /// Why a token accepts nothing.
    pub fn dead_token(&self, token: &str) -> Option<&'static str> {
        let Some((at, generation)) = self.by_token(token) else { return Some("link_dead") };
        let invite = &self.invites[at];
        match invite.fate {
            _ if invite.forgotten => Some("link_dead"),
            Lot::Accepted(_) => Some("invite_accepted"),
            Lot::Revoked(_) => Some("invite_revoked"),
            Lot::Open if generation != invite.generation => Some("invite_replaced"),
            Lot::Open if self.now >= invite.expires => Some("invite_expired"),
            Lot::Open if !self.set.has_role(&invite.role) => Some("invite_role_gone"),
            Lot::Open => None,
        }
    }

    pub fn link_by_token(&self, token: &str) -> Option<usize> {
        self.links.iter().position(|link| link.token.as_deref() == Some(token))
    }

    /// Why a link opens nothing.
    pub fn dead_link(&self, token: &str) -> Option<&'static str> {
        let link = self.link_by_token(token).map(|at| &self.links[at]);
        match link.filter(|link| !link.dead) {
            None => Some("link_dead"),
            Some(link) if self.now >= link.expires => Some("link_expired"),
            Some(_) => None,
        }
    }

    /// Whether the other end of a change of address was confirmed.
    pub fn is_other_end_confirmed(&self, link: &Sent) -> bool {
        self.links.iter().any(|other| {
            let Purpose::NewAddress { at_old, .. } = &other.purpose else { return false };
            let Purpose::NewAddress { at_old: own, .. } = &link.purpose else { return false };
            other.member == link.member && !other.dead && other.confirmed && at_old != own
        })
    }

    /// Whether somebody gets an allow for something in an account.
    pub fn is_allowed(
        &self,
        person: &Person,
        feature: (&str, &str, &[&str]),
        account: usize,
    ) -> bool {
        person.active() && person.account == account && self.set.allows(&person.role, feature)
    }

    /// Why somebody's role must stay as it is, beside these reasons.
    pub fn about_role(&self, reasons: Reasons, who: Who, target: usize, given: &str) -> Reasons {
        let person = &self.people[target];
        let reasons = reasons.when(!self.set.has_role(given), "unknown_role");
        if person.gone || person.account != self.account_of(who) || person.role == given {
            return reasons;
        }
        let own = self.actor(who).is_some_and(|actor| actor.id == person.id);
        let loses = self.is_last_administrator(person) && !self.set.administers(given);
        reasons
            .when(!self.may(who, Right::Assign(given)), "not_allowed")
            .when(!self.may(who, Right::Assign(&person.role)), "not_allowed")
            .when(own, "own_role")
            .when(loses, "last_administrator")
    }

    pub fn failed_tries(&self, person: &Person) -> u32 {
        let key = (person.account, person.email.key().to_owned());
        self.failures.get(&key).copied().unwrap_or(0)
    }
}

// === what becomes of it ===

impl Model {
    pub fn adds(&mut self, member: &Member, password: Option<String>) {
        self.people.push(Person {
            id: member.id.clone(),
            account: account_at(member.account.as_str()),
            email: member.email.clone(),
            first_name: member.first_name.as_str().to_owned(),
            last_name: member.last_name.as_str().to_owned(),
            role: member.role.as_str().to_owned(),
            status: member.status,
            version: member.version.0,
            password,
            factor: None,
            gone: false,
        });
    }

    /// An invite that was made, as it came back.
    pub fn invites(&mut self, invite: &Invite) {
        assert_eq!((&invite.fate, invite.generation), (&InviteOutcome::Open, Generation::FIRST));
        self.invites.push(Invited {
            id: invite.id.clone(),
            account: account_at(invite.account.as_str()),
            email: invite.email.clone(),
            first_name: invite.first_name.as_str().to_owned(),
            last_name: invite.last_name.as_str().to_owned(),
            role: invite.role.as_str().to_owned(),
            inviter: invite.inviter.member().cloned(),
            generation: 1,
            expires: invite.expires.0,
            version: 1,
            fate: Lot::Open,
            wanted: None,
            forgotten: false,
            tokens: BTreeMap::new(),
        });
    }

    /// A session that began; the token where its caller got it.
    pub fn seats(&mut self, session: &Session, token: Option<String>) {
        self.seats.push(ModelSession {
            id: session.id.clone(),
            hash: session.token,
            token,
            member: session.member.clone(),
            created: session.created.0,
            used: session.used.0,
            written: session.used.0,
            ended: false,
        });
    }

    /// A token that was made, as it came back; the secret where its maker got it.
    pub fn makes(&mut self, token: &ApiToken, secret: Option<String>) {
        self.programs.push(Program {
            id: token.id.clone(),
            hash: token.token,
            secret,
            member: token.member.clone(),
            account: account_at(token.account.as_str()),
            role: token.role.as_str().to_owned(),
            expires: token.expires.0,
            ended: false,
        });
    }

    /// A member makes no more tokens but with these roles: those with others end.
    fn ends_programs(&mut self, id: &MemberId, still: &BTreeSet<&str>) {
        for program in &mut self.programs {
            let over = self.now >= program.expires;
            if program.member != *id || program.ended || over || still.contains(&*program.role) {
                continue;
            }
            program.ended = true;
            self.revoked.push((program.account, id.clone()));
        }
    }

    /// Somebody takes an address: expired invites to it end. Answers which.
    pub fn makes_way(&mut self, account: usize, email: &Email) -> Vec<InviteId> {
        let now = self.now;
        let mut ended = Vec::new();
        for invite in &mut self.invites {
            let same = invite.account == account && invite.email.key() == email.key();
            if same && invite.is_open() && now >= invite.expires {
                invite.fate = Lot::Revoked(now);
                invite.version += 1;
                ended.push(invite.id.clone());
            }
        }
        ended
    }

    /// A member sends no more invites but for these roles: the open ones for others end. Answers
    /// which.
    pub fn revokes_sent_by(&mut self, id: &MemberId, still: &BTreeSet<&str>) -> Vec<InviteId> {
        let now = self.now;
        let mut ended = Vec::new();
        for invite in &mut self.invites {
            let sent = invite.inviter.as_ref() == Some(id) && invite.is_open();
            if sent && !still.contains(invite.role.as_str()) {
                invite.fate = Lot::Revoked(now);
                invite.version += 1;
                ended.push(invite.id.clone());
            }
        }
        ended
    }

    /// The roles that a member with a role could invite for.
    pub fn invites_for(&self, person: &Person, role: &str) -> BTreeSet<&'static str> {
        let may = |right| person.active() && self.set.may(role, right);
        if !may(Right::Invite) {
            return BTreeSet::new();
        }
        self.set.roles().into_iter().filter(|given| may(Right::Assign(given))).collect()
    }

    /// Ends a member's sessions, but perhaps for one; answers how many.
    pub fn ends_seats(&mut self, id: &MemberId, but: Option<usize>) -> usize {
        let mut ended = 0;
        for (at, seat) in self.seats.iter_mut().enumerate() {
            if seat.member == *id && !seat.ended && Some(at) != but {
                seat.ended = true;
                ended += 1;
            }
        }
        ended
    }

    pub fn ends_links(&mut self, id: &MemberId) {
        self.ends_links_for(id, |_| true);
    }

    pub fn ends_links_for(&mut self, id: &MemberId, which: impl Fn(&Purpose) -> bool) {
        for link in &mut self.links {
            if link.member == *id && which(&link.purpose) {
                link.dead = true;
            }
        }
    }

    pub fn forgets_failures(&mut self, account: usize, email: &Email) {
        self.failures.remove(&(account, email.key().to_owned()));
    }

    pub fn writes_to(&mut self, email: &Email) {
        self.wrote_to.entry(email.key().to_owned()).or_default().push(self.now);
    }

    pub fn sends_to(&mut self, account: usize, email: &Email) {
        let now = self.now;
        let new = Rate { begun: now, times: 0, last: now };
        let rate = self.sent_to.entry((account, email.key().to_owned())).or_insert(new);
        if now >= rate.begun + DAY_MS {
            *rate = new;
        }
        rate.times += 1;
        rate.last = now;
    }

    /// A member gets another role; answers the invites that end by it.
    pub fn takes_role(&mut self, target: usize, given: &str) -> Vec<InviteId> {
        let person = self.people[target].clone();
        let still = self.invites_for(&person, given);
        let known = &mut self.people[target];
        known.role = given.to_owned();
        known.version += 1;
        self.ends_links(&person.id);
        let as_given = Person { role: given.to_owned(), ..person.clone() };
        let roles = self.set.roles();
        let makes = roles.into_iter().filter(|role| self.may_make(&as_given, role)).collect();
        self.ends_programs(&person.id, &makes);
        self.revokes_sent_by(&person.id, &still)
    }

    pub fn suspends(&mut self, target: usize) {
        let person = &mut self.people[target];
        person.status = Status::Suspended;
        person.version += 1;
        let id = person.id.clone();
        self.ends_seats(&id, None);
        self.ends_links(&id);
        self.ends_programs(&id, &BTreeSet::new());
    }

    /// A member goes; answers how many sessions and which invites end by it.
    pub fn goes(&mut self, target: usize) -> (usize, Vec<InviteId>) {
        self.people[target].gone = true;
        let id = self.people[target].id.clone();
        self.ends_links(&id);
        self.ends_programs(&id, &BTreeSet::new());
        (self.ends_seats(&id, None), self.revokes_sent_by(&id, &BTreeSet::new()))
    }

    /// The last use of sessions is written down, and those whose time is over are taken away.
    pub fn tends(&mut self) {
        for at in 0..self.seats.len() {
            let lives = self.lives(&self.seats[at]);
            let seat = &mut self.seats[at];
            if lives { seat.written = seat.used } else { seat.ended = true }
        }
    }

    /// What memory alone knew is gone.
    pub fn restarts(&mut self) {
        self.failures.clear();
        for seat in &mut self.seats {
            seat.used = seat.written;
        }
        for invite in &mut self.invites {
            invite.wanted = None;
        }
    }
}

/// The position of an account.
pub fn account_at(slug: &str) -> usize {
    ACCOUNTS.iter().position(|known| *known == slug).unwrap()
}
