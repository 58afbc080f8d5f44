//! The history of the demonstration: a month in which people join, sign in, are invited, suspended
//! and removed.
//!
//! Every step is a transaction of the store with a simulated clock, which runs from a month ago to
//! now: all rules apply, and the audit log verifies.

use super::demo_people::{self, Person};
use crate::app::App;
use crate::domain::two_step::RecoveryCode;
use crate::domain::{
    AccountSlug, Actor, ApiToken, ApiTokenId, DeliveryNotice, DeliveryState, Failure, Generation,
    Invite, InviteId, LinkId, Member, MemberId, Name, Revision, RoleId, SendOutcome, Session,
    SessionId, Status, Timestamp, Token, TokenHash, Version, limits,
};
use crate::entropy;
use crate::store::requests_and_views::api_tokens::{NewApiToken, TokenOwner};
use crate::store::requests_and_views::invites::{
    Acceptance, InviteTarget, NewInvite, NewInviteLink,
};
use crate::store::requests_and_views::mail_queue::NewMail;
use crate::store::requests_and_views::one_time_links::NewOneTimeLink;
use crate::store::requests_and_views::sessions::SignIn;
use crate::store::requests_and_views::two_step::{
    CheckedPassword, ConfirmedAuthenticator, ConfirmedThrough, StepUp,
};
use crate::store::{MemberEdit, MemberTarget, Preconditions};

pub(super) const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// The length of the history.
pub(super) const MONTH: i64 = 30 * DAY;
/// The time between two people.
const PACE: i64 = 10 * HOUR;
/// The lifetime of an invite in the demonstration.
const LIFETIME: i64 = 3 * DAY;

/// User agents.
const AGENTS: [&str; 3] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
    "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Mobile Safari/537.36",
];

/// The delivery status of an invite, and its outcome.
struct Invitee {
    person: Person,
    mail: DeliveryState,
    fate: InviteeOutcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum InviteeOutcome {
    Open,
    Accepted,
    Revoked,
}

const fn invitee(person: Person, mail: DeliveryState, fate: InviteeOutcome) -> Invitee {
    Invitee { person, mail, fate }
}

/// Days ago: the open ones have expired by now.
const EARLIER: [Invitee; 5] = [
    invitee(("Kiran", "Shah"), DeliveryState::HandedOver, InviteeOutcome::Accepted),
    invitee(("Usha", "Rani"), DeliveryState::Delivered, InviteeOutcome::Accepted),
    invitee(("Peter", "Novák"), DeliveryState::HandedOver, InviteeOutcome::Open),
    invitee(("Leila", "Haddad"), DeliveryState::Bounced, InviteeOutcome::Open),
    invitee(("Mateo", "Rossi"), DeliveryState::HandedOver, InviteeOutcome::Revoked),
];

/// Within the last hour.
const LATELY: [Invitee; 7] = [
    invitee(("Yusuf", "Demir"), DeliveryState::HandedOver, InviteeOutcome::Open),
    invitee(("Ines", "Costa"), DeliveryState::Delivered, InviteeOutcome::Open),
    invitee(("Omar", "Farouk"), DeliveryState::Bounced, InviteeOutcome::Open),
    invitee(("Sofia", "Lindqvist"), DeliveryState::Failed, InviteeOutcome::Open),
    invitee(("Tara", "Bhatt"), DeliveryState::None, InviteeOutcome::Open),
    invitee(("Jonas", "Weber"), DeliveryState::Failed, InviteeOutcome::Revoked),
    invitee(("Grace", "Mwangi"), DeliveryState::Deferred, InviteeOutcome::Open),
];

/// Recent, since the sidecar processes the queue as soon as it serves, and retries what is being
/// sent when its lease expires.
const UNDER_WAY: [Invitee; 2] = [
    invitee(("Rekha", "Sen"), DeliveryState::Sending, InviteeOutcome::Open),
    invitee(("Vivek", "Oberoi"), DeliveryState::Queued, InviteeOutcome::Open),
];

/// The account of the history, and its members' password.
pub(super) struct DemoHistory<'a> {
    pub(super) app: &'a App,
    pub(super) account: AccountSlug,
    /// The PHC string of the common password.
    pub(super) password: String,
}

impl DemoHistory<'_> {
    /// Creates the whole history, up to now.
    pub(super) async fn happens(&self) -> Result<(), Failure> {
        let mut members = Vec::new();
        for (number, person) in demo_people::MEMBERS.into_iter().enumerate() {
            members.push(self.joins(number, person).await?);
            self.passes(PACE);
        }
        for (number, person) in demo_people::REMOVED.into_iter().enumerate() {
            let gone = self.create(demo_people::MEMBERS.len() + number, person).await?;
            self.passes(HOUR);
            self.app.store.member_remove(&self.by().await?, self.target(&gone.id)).await?;
        }
        for invitee in &EARLIER {
            self.invite(invitee).await?;
            self.passes(MINUTE);
        }
        self.changes(&members).await?;
        self.to_now_but(2 * HOUR);
        for member in members.iter().step_by(5) {
            self.signs_in_again(member).await?;
            self.passes(MINUTE);
        }
        self.to_now_but(HOUR);
        for invitee in &LATELY {
            self.invite(invitee).await?;
            self.passes(MINUTE);
        }
        self.to_now_but(MINUTE);
        for invitee in &UNDER_WAY {
            self.invite(invitee).await?;
        }
        self.to_now_but(0);
        Ok(())
    }

    fn passes(&self, ms: i64) {
        self.app.clock.advance_ms(ms);
    }

    /// Advances the clock until so long before now.
    fn to_now_but(&self, ms: i64) {
        self.app.clock.catch_up(ms);
    }

    fn target<'t>(&'t self, id: &'t MemberId) -> MemberTarget<'t> {
        MemberTarget { account: &self.account, id, expected: None }
    }

    fn later(&self, ms: i64) -> Timestamp {
        Timestamp(self.app.clock.now().0.saturating_add(ms))
    }

    /// An administrator, with the current version; nobody if no role administers.
    async fn by(&self) -> Result<Preconditions, Failure> {
        let administering = self.app.policies.load().administering().clone();
        let Some(role) = administering.first() else {
            return Ok(Preconditions::actor(Actor::System));
        };
        let id = MemberId::parse(&super::member_of(role))?;
        Ok(Preconditions { administering, ..self.as_member(&id).await? })
    }

    async fn as_member(&self, id: &MemberId) -> Result<Preconditions, Failure> {
        let version = self.app.store.member(id).await?.map(|member| member.version);
        Ok(Preconditions { version, ..Preconditions::actor(Actor::Member(id.clone())) })
    }

    /// The role of a person by number: all in turn, but few administrators.
    fn role(&self, number: usize) -> Result<RoleId, Failure> {
        let live = self.app.policies.load();
        let roles: Vec<&RoleId> = live.roles().iter().map(|card| &card.id).collect();
        let common = |role: &&&RoleId| number == 0 || !live.administering().contains(**role);
        let few: Vec<&&RoleId> = roles.iter().filter(common).collect();
        let role = few.get(number % few.len().max(1)).map(|role| (**role).clone());
        role.or_else(|| roles.first().map(|role| (*role).clone()))
            .ok_or_else(|| Failure::internal("the live policies have no role"))
    }

    async fn create(&self, number: usize, person: Person) -> Result<Member, Failure> {
        let (first_name, last_name) = demo_people::names(person)?;
        let member = Member {
            id: MemberId::from_random(entropy::random()?),
            account: self.account.clone(),
            email: demo_people::email(person, number)?,
            first_name,
            last_name,
            role: self.role(number)?,
            status: Status::Active,
            two_step: false,
            joined: self.app.clock.now(),
            version: Version::FIRST,
        };
        Ok(self.app.store.member_create(&Actor::System, member).await?.value)
    }

    /// Somebody joins; most sign in, and many of those set up a second factor.
    async fn joins(&self, number: usize, person: Person) -> Result<Member, Failure> {
        let member = self.create(number, person).await?;
        if number % 9 == 8 {
            return Ok(member);
        }
        self.passes(HOUR / 2);
        give_password(self, &member.id).await?;
        let session = self.session(&member)?;
        let own = session.token;
        self.signs_in(session).await?;
        if number.is_multiple_of(3) {
            self.sets_up_two_step(&member, own).await?;
        }
        Ok(member)
    }

    fn session(&self, member: &Member) -> Result<Session, Failure> {
        let [one, two, ..]: [u8; 8] = entropy::random()?;
        let now = self.app.clock.now();
        Ok(Session {
            id: SessionId::from_random(entropy::random()?),
            // The token itself is discarded.
            token: token()?,
            member: member.id.clone(),
            account: self.account.clone(),
            created: now,
            used: now,
            address: format!("192.0.2.{}", one.max(1)),
            agent: AGENTS.get(usize::from(two) % AGENTS.len()).copied().unwrap_or("").to_owned(),
        })
    }

    async fn signs_in(&self, session: Session) -> Result<(), Failure> {
        let sign_in = SignIn {
            session,
            checked: CheckedPassword::of(&self.password),
            rehashed: None,
            proof: None,
            failures_before: 0,
        };
        self.app.store.session_begin(sign_in).await.map(drop)
    }

    /// Only members without a second factor: its secret is discarded.
    async fn signs_in_again(&self, member: &Member) -> Result<(), Failure> {
        let store = &self.app.store;
        let stands = store.member(&member.id).await?;
        let may = stands.is_some_and(|it| it.status == Status::Active && !it.two_step);
        if may && store.credential(&member.id).await?.is_some() {
            self.signs_in(self.session(member)?).await?;
        }
        Ok(())
    }

    async fn sets_up_two_step(&self, member: &Member, own: TokenHash) -> Result<(), Failure> {
        let app = self.app;
        let of: [&[u8]; 3] =
            [b"totp", self.account.as_str().as_bytes(), member.id.as_str().as_bytes()];
        let secret = app.keys.seal(&of, &entropy::random::<20>()?)?;
        let shown = StepUp { checked: CheckedPassword::of(&self.password), proof: None };
        let target = self.target(&member.id);
        app.store.two_step_begin(target, shown, secret.clone(), self.later(HOUR)).await?;
        let recovery = (0..limits::RECOVERY_CODES)
            .map(|_| Ok(RecoveryCode::from_bytes(entropy::random()?).hash()))
            .collect::<Result<Vec<_>, Failure>>()?;
        let confirmed = ConfirmedAuthenticator {
            through: ConfirmedThrough::Session(own),
            secret,
            step: 1,
            recovery,
            session: self.session(member)?,
            letter: None,
        };
        app.store.two_step_confirm(target, confirmed).await.map(drop)
    }

    /// Changes by administrators during the month, and tokens of two members.
    async fn changes(&self, members: &[Member]) -> Result<(), Failure> {
        let store = &self.app.store;
        for (number, member) in members.iter().enumerate().skip(1) {
            if number % 7 == 3 {
                store.member_suspend(&self.by().await?, self.target(&member.id)).await?;
            } else if number % 11 == 5 {
                let edit =
                    MemberEdit { role: Some(self.role(number + 1)?), ..MemberEdit::default() };
                store.member_edit(&self.by().await?, self.target(&member.id), edit).await?;
            } else {
                continue;
            }
            self.passes(MINUTE);
        }
        let roles: Vec<RoleId> =
            self.app.policies.load().roles().iter().map(|card| card.id.clone()).collect();
        for (role, name) in roles.iter().zip(["Nightly export", "Website contact form"]) {
            let maker = MemberId::parse(&super::member_of(role))?;
            self.makes_token(&maker, role, name).await?;
        }
        Ok(())
    }

    async fn makes_token(
        &self,
        maker: &MemberId,
        role: &RoleId,
        name: &str,
    ) -> Result<(), Failure> {
        let token = ApiToken {
            id: ApiTokenId::from_random(entropy::random()?),
            token: token()?,
            name: Name::parse("name", name)?,
            role: role.clone(),
            member: maker.clone(),
            account: self.account.clone(),
            created: self.app.clock.now(),
            expires: self.later(90 * DAY),
            used: None,
        };
        let shown = StepUp { checked: CheckedPassword::of(&self.password), proof: None };
        let new = NewApiToken { token, maker: TokenOwner::Own(shown) };
        self.app.store.api_token_create(&self.as_member(maker).await?, new).await.map(drop)
    }

    async fn invite(&self, invitee: &Invitee) -> Result<(), Failure> {
        let (app, by) = (self.app, self.by().await?);
        let id = InviteId::from_random(entropy::random()?);
        let key = app.keys.current();
        let token = app
            .keys
            .invite_token(key, &self.account, &id, Generation::FIRST)
            .ok_or_else(|| Failure::internal("the current key derives no token"))?
            .hash();
        let expires = self.later(LIFETIME);
        let letter = match invitee.mail {
            DeliveryState::None => None,
            _ => Some(NewMail { message_id: format!("{id}@demo.example"), expires }),
        };
        let (first_name, last_name) = demo_people::names(invitee.person)?;
        let new = NewInvite {
            id: id.clone(),
            account: self.account.clone(),
            email: demo_people::email(invitee.person, 0)?,
            first_name,
            last_name,
            role: self.role(usize::from(first_byte()?).max(1))?,
            link: NewInviteLink { generation: Generation::FIRST, key, token, expires, letter },
            idempotency: None,
        };
        let invite = app.store.invite_create(&by, new).await?.value.invite;
        self.deliver(&invite, invitee.mail).await?;
        match invitee.fate {
            InviteeOutcome::Open => {}
            InviteeOutcome::Revoked => {
                self.passes(HOUR / 4);
                let target = InviteTarget { account: &self.account, id: &id, expected: None };
                app.store.invite_revoke(&by, target).await?;
            }
            InviteeOutcome::Accepted => {
                self.passes(HOUR / 4);
                let acceptance = Acceptance {
                    token,
                    member: MemberId::from_random(entropy::random()?),
                    password: self.password.clone(),
                    judged: None,
                    inviter: by.actor.member().cloned().zip(by.version),
                };
                app.store.invite_accept(acceptance).await?;
            }
        }
        Ok(())
    }

    /// Sets the delivery status of an invite's letter.
    async fn deliver(&self, invite: &Invite, to: DeliveryState) -> Result<(), Failure> {
        if matches!(to, DeliveryState::None | DeliveryState::Queued) {
            return Ok(());
        }
        let store = &self.app.store;
        let claimed =
            store.letters_claim(limits::LETTERS_A_CONNECTION, limits::LETTER_LEASE).await?;
        let Some(letter) = claimed.iter().find(|letter| Some(letter.id) == invite.letter) else {
            return Err(Failure::internal("the mail of an invite cannot be read"));
        };
        let handover = match to {
            DeliveryState::Deferred => SendOutcome::Later {
                detail: "the mail server answers 421: too many connections".to_owned(),
                at: self.later(6 * HOUR),
            },
            DeliveryState::Failed => SendOutcome::Refused {
                detail: "the mail server answers 554: this address is not accepted".to_owned(),
            },
            DeliveryState::Sending => return Ok(()),
            _ => SendOutcome::Taken { detail: "the mail server answers 250: queued".to_owned() },
        };
        store.letter_settle(letter, handover).await?;
        let detail = match to {
            DeliveryState::Bounced => "there is no such mailbox",
            DeliveryState::Delivered => "the other end says that it arrived",
            _ => return Ok(()),
        };
        let notice = DeliveryNotice { letter: letter.id, state: to, detail: detail.to_owned() };
        store.letter_notice(notice).await.map(drop)
    }
}

/// Sets a member's password as a link does, without a mail.
pub(super) async fn give_password(
    past: &DemoHistory<'_>,
    id: &MemberId,
) -> Result<Revision, Failure> {
    let (app, token) = (past.app, token()?);
    let link = LinkId::from_random(entropy::random()?);
    let expires = past.later(MINUTE);
    let link = NewOneTimeLink { id: link, key: app.keys.current(), token, expires, letter: None };
    app.store.reset_begin(&Preconditions::actor(Actor::System), past.target(id), link).await?;
    Ok(app.store.reset_end(token, past.password.clone(), None).await?.revision)
}

fn token() -> Result<TokenHash, Failure> {
    Ok(Token::from_bytes(entropy::random()?).hash())
}

fn first_byte() -> Result<u8, Failure> {
    let [byte] = entropy::random()?;
    Ok(byte)
}
