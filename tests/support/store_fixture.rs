//! The fixture of the suite: a store with two accounts, its clock, its subscribers, and short
//! helpers.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kwic_team::clock::Clock;
use kwic_team::domain::two_step::RecoveryCode;
use kwic_team::domain::{
    AccountSlug, Actor, ApiToken, ApiTokenId, Change, Digest, Email, Failure, Generation,
    IdempotencyKey, InviteId, KeyId, Kind, LinkId, Member, MemberId, Name, Passkey, PasskeyId,
    QueuedMail, RoleId, Sealed, Session, SessionId, Status, Timestamp, TokenHash, Version,
};
use kwic_team::store::change_feed::Follower;
use kwic_team::store::requests_and_views::api_tokens::{NewApiToken, TokenOwner};
use kwic_team::store::requests_and_views::invites::{
    Acceptance, InviteTarget, InviteView, NewInvite, NewInviteLink,
};
use kwic_team::store::requests_and_views::mail_queue::NewMail;
use kwic_team::store::requests_and_views::one_time_links::NewOneTimeLink;
use kwic_team::store::requests_and_views::passkeys::NewPasskey;
use kwic_team::store::requests_and_views::sessions::SignIn;
use kwic_team::store::requests_and_views::two_step::{
    CheckedPassword, ConfirmedAuthenticator, ConfirmedThrough, SecondFactorProof, StepUp,
};
use kwic_team::store::shared_log::SharedLog;
use kwic_team::store::{
    AuditFilter, ImportPart, ImportRow, MemberEdit, MemberTarget, Preconditions, Store,
};
use tokio::sync::mpsc;

use crate::support::in_process_log::{InProcessLog, LogLine};

pub(crate) const NOW: Timestamp = Timestamp(1_764_000_000_000);
pub(crate) const ACTOR: Actor = Actor::Sidecar { uid: 7 };
pub(crate) static BY: Preconditions = Preconditions::actor(ACTOR);
pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;
/// How long invites and links of the suite open.
pub(crate) const LIFETIME: i64 = 72 * HOUR;
/// How long a claimed letter belongs to its sender.
pub(crate) const LEASE: Duration = Duration::from_secs(300);

pub(crate) fn slug(text: &str) -> AccountSlug {
    AccountSlug::parse(text).unwrap()
}

pub(crate) fn id(text: &str) -> MemberId {
    MemberId::parse(text).unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse("first_name", text).unwrap()
}

pub(crate) fn role(text: &str) -> RoleId {
    RoleId::parse(text).unwrap()
}

pub(crate) fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text).unwrap()
}

pub(crate) fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

/// The address of somebody of this name.
pub(crate) fn address(name: &str) -> Email {
    email(&format!("{name}@example.org"))
}

/// 16 bytes that are another's for no other text.
pub(crate) fn bytes(text: &str) -> [u8; 16] {
    let Digest(digest) = Digest::of(&[text.as_bytes()]);
    *digest.first_chunk().unwrap()
}

/// What a token of this text is found by.
pub(crate) fn hash(text: &str) -> TokenHash {
    TokenHash(Digest::of(&[b"token", text.as_bytes()]))
}

pub(crate) fn member(account: &str, name: &str) -> Member {
    Member {
        id: id(name),
        account: slug(account),
        email: address(name),
        first_name: self::name("Ann"),
        last_name: Name::parse("last_name", "Lee").unwrap(),
        role: role("operator"),
        status: Status::Active,
        two_step: false,
        joined: NOW,
        version: Version::FIRST,
    }
}

pub(crate) fn to_role(text: &str) -> MemberEdit {
    MemberEdit { role: Some(role(text)), ..MemberEdit::default() }
}

pub(crate) fn to_address(text: &str) -> MemberEdit {
    MemberEdit { email: Some(address(text)), ..MemberEdit::default() }
}

/// By the operator of the sidecar, where these roles administer.
pub(crate) fn where_administer(roles: &[&str]) -> Preconditions {
    Preconditions { administering: roles.iter().map(|text| role(text)).collect(), ..BY.clone() }
}

/// By a member, with the current version.
pub(crate) fn by(member: &Member) -> Preconditions {
    Preconditions {
        actor: Actor::Member(member.id.clone()),
        version: Some(member.version),
        administering: BTreeSet::new(),
    }
}

#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, Failure>) -> (Kind, &'static str) {
    let failure = result.expect_err("was taken");
    assert!(failure.public.len() > 20, "{failure}");
    (failure.kind, failure.code)
}

/// A store with the accounts `acme` and `globex`, and who follows it from the beginning.
pub(crate) struct StoreFixture {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    follower: Mutex<Follower>,
    pub(crate) acme: AccountSlug,
}

impl StoreFixture {
    pub(crate) async fn in_memory() -> Self {
        let clock = Clock::fixed(NOW);
        Self::new(Store::in_memory(clock.clone()).await.unwrap(), clock).await
    }

    /// The only node of a log.
    pub(crate) async fn on_a_log() -> Self {
        let log = InProcessLog::default();
        Self::by_line(&log, LogLine::new(&log)).await
    }

    /// The only node of a log that a line leads to, with the name and the keys of `log`.
    pub(crate) async fn by_line(log: &InProcessLog, line: Arc<dyn SharedLog>) -> Self {
        let clock = Clock::fixed(NOW);
        let store = Store::in_memory(clock.clone()).await.unwrap();
        log.join(&store, line).await;
        Self::new(store, clock).await
    }

    pub(crate) async fn in_file(file: &Path) -> Self {
        let clock = Clock::fixed(NOW);
        Self::new(Store::open(file, 8, clock.clone()).await.unwrap(), clock).await
    }

    pub(crate) async fn new(store: Store, clock: Clock) -> Self {
        let follower = store.subscribe();
        for account in ["acme", "globex"] {
            store.account_create(&ACTOR, slug(account), account.into(), None).await.unwrap();
        }
        let stage = Self { store, clock, follower: Mutex::new(follower), acme: slug("acme") };
        assert_eq!(stage.told().iter().map(|change| change.revision.0).collect::<Vec<_>>(), [1, 2]);
        stage
    }

    /// A store that is furnished already.
    pub(crate) fn on(store: Store, clock: Clock) -> Self {
        let follower = Mutex::new(store.subscribe());
        Self { store, clock, follower, acme: slug("acme") }
    }

    /// What the follower was told since it was last asked.
    pub(crate) fn told(&self) -> Vec<Arc<Change>> {
        let mut follower = self.follower.lock().unwrap();
        std::iter::from_fn(|| follower.try_recv().ok()).collect()
    }

    pub(crate) fn later(&self, ms: i64) -> Timestamp {
        Timestamp(self.clock.now().0 + ms)
    }

    pub(crate) async fn create(&self, name: &str) -> Member {
        self.store.member_create(&ACTOR, member("acme", name)).await.unwrap().value
    }

    /// An active member of this role.
    pub(crate) async fn create_as(&self, name: &str, role: &str) -> Member {
        let new = Member { role: self::role(role), ..member("acme", name) };
        self.store.member_create(&ACTOR, new).await.unwrap().value
    }

    pub(crate) async fn get(&self, name: &str) -> Member {
        self.store.member(&id(name)).await.unwrap().unwrap()
    }

    pub(crate) fn target<'t>(&'t self, id: &'t MemberId) -> MemberTarget<'t> {
        MemberTarget { account: &self.acme, id, expected: None }
    }

    /// Revision, event and target of every entry of `acme`.
    pub(crate) async fn events(&self) -> Vec<(u64, String, String)> {
        let page = self
            .store
            .audit(Some(&self.acme), &AuditFilter::default(), None, 10_000)
            .await
            .unwrap();
        page.items.into_iter().map(|entry| (entry.revision.0, entry.event, entry.target)).collect()
    }

    /// The last entry of `acme`: who, what, to whom.
    pub(crate) async fn last_event(&self) -> (String, String, String) {
        let page = self
            .store
            .audit(Some(&self.acme), &AuditFilter::default(), None, 10_000)
            .await
            .unwrap();
        let last = page.items.into_iter().next_back().unwrap();
        (last.actor, last.event, last.target)
    }

    pub(crate) async fn revision(&self) -> u64 {
        self.store.revision().await.unwrap().0
    }

    pub(crate) async fn import(
        &self,
        rows: Vec<Vec<ImportRow>>,
        ends: bool,
    ) -> Result<u64, Failure> {
        let (sender, parts) = mpsc::channel(rows.len() + 1);
        for rows in rows {
            sender.send(ImportPart::Rows(rows)).await.unwrap();
        }
        if ends {
            sender.send(ImportPart::End { digest: Digest::of(&[b"file"]) }).await.unwrap();
        }
        drop(sender);
        self.store.member_import(&ACTOR, &self.acme, parts).await.map(|done| done.value)
    }

    fn new_letter(&self, what: &str) -> NewMail {
        NewMail { message_id: format!("{what}@example.org"), expires: self.later(LIFETIME) }
    }

    /// A letter that tells of something.
    pub(crate) fn notice(&self) -> Option<NewMail> {
        Some(self.new_letter("notice"))
    }

    /// The link of this generation to somebody, found by `hash("NAME GENERATION")`.
    pub(crate) fn invite_link(&self, name: &str, generation: u32) -> NewInviteLink {
        NewInviteLink {
            generation: Generation(generation),
            key: KeyId(1),
            token: hash(&format!("{name} {generation}")),
            expires: self.later(LIFETIME),
            letter: Some(self.new_letter(name)),
        }
    }

    /// An invite to somebody, who is to be an operator.
    pub(crate) fn new_invite(&self, name: &str) -> NewInvite {
        NewInvite {
            id: invite_id(name),
            account: self.acme.clone(),
            email: address(name),
            first_name: self::name("Bo"),
            last_name: Name::parse("last_name", "Ray").unwrap(),
            role: role("operator"),
            link: self.invite_link(name, 1),
            idempotency: None,
        }
    }

    pub(crate) async fn invite_by(&self, by: &Preconditions, name: &str) -> InviteView {
        self.store.invite_create(by, self.new_invite(name)).await.unwrap().value
    }

    pub(crate) async fn invite(&self, name: &str) -> InviteView {
        self.invite_by(&BY, name).await
    }

    /// The current invite to somebody.
    pub(crate) async fn invited(&self, name: &str) -> InviteView {
        self.store.invite(&self.acme, &invite_id(name)).await.unwrap().unwrap()
    }

    pub(crate) fn invite_target<'t>(&'t self, id: &'t InviteId) -> InviteTarget<'t> {
        InviteTarget { account: &self.acme, id, expected: None }
    }

    /// Joining by the first link, as the member of that name.
    pub(crate) fn acceptance(&self, name: &str) -> Acceptance {
        Acceptance {
            token: hash(&format!("{name} 1")),
            member: id(name),
            password: password(name),
            judged: None,
            inviter: None,
        }
    }

    /// A member who joined by an invite and can sign in.
    pub(crate) async fn join(&self, name: &str) -> Member {
        self.invite(name).await;
        self.store.invite_accept(self.acceptance(name)).await.unwrap().value
    }

    /// A session of a member, found by `hash(token)`.
    pub(crate) fn session(&self, member: &Member, token: &str) -> Session {
        Session {
            id: session_id(token),
            token: hash(token),
            member: member.id.clone(),
            account: member.account.clone(),
            created: self.clock.now(),
            used: self.clock.now(),
            address: "192.0.2.7".into(),
            agent: "Lynx".into(),
        }
    }

    pub(crate) fn sign_in(&self, member: &Member, token: &str) -> SignIn {
        SignIn {
            session: self.session(member, token),
            checked: CheckedPassword::of(&password(member.id.as_str())),
            rehashed: None,
            proof: None,
            failures_before: 0,
        }
    }

    pub(crate) async fn signed_in(&self, member: &Member, token: &str) -> Session {
        self.store.session_begin(self.sign_in(member, token)).await.unwrap().value
    }

    /// A sign-in with a second factor, by a ticket of a round.
    pub(crate) fn sign_in_by(
        &self,
        member: &Member,
        token: &str,
        proof: Option<SecondFactorProof>,
        round: u64,
    ) -> SignIn {
        SignIn { proof: proof.map(|proof| (proof, round)), ..self.sign_in(member, token) }
    }

    /// Has a member's authenticator app shown its secret.
    pub(crate) async fn pending(&self, member: &Member) {
        let (shown, secret) = (shown(member.id.as_str()), sealed(member.id.as_str()));
        let target = self.target(&member.id);
        self.store.two_step_begin(target, shown, secret, self.later(HOUR)).await.unwrap();
    }

    /// The first code of that app, in a session that goes on as another one.
    pub(crate) fn confirmation(
        &self,
        member: &Member,
        from: TokenHash,
        to: &str,
    ) -> ConfirmedAuthenticator {
        ConfirmedAuthenticator {
            through: ConfirmedThrough::Session(from),
            secret: sealed(member.id.as_str()),
            step: 1,
            recovery: vec![recovery_code(1).hash(), recovery_code(2).hash()],
            session: self.session(member, to),
            letter: self.notice(),
        }
    }

    pub(crate) async fn confirmed(&self, member: &Member, from: TokenHash, to: &str) {
        let confirmation = self.confirmation(member, from, to);
        self.store.two_step_confirm(self.target(&member.id), confirmation).await.unwrap();
    }

    /// A token that a member makes, for thirty days; found by `hash("token NAME")`.
    pub(crate) fn api_token(&self, member: &Member, called: &str, as_role: &str) -> NewApiToken {
        let token = ApiToken {
            id: token_id(called),
            token: hash(&format!("token {called}")),
            name: name(called),
            role: role(as_role),
            member: member.id.clone(),
            account: member.account.clone(),
            created: self.clock.now(),
            expires: self.later(30 * DAY),
            used: None,
        };
        NewApiToken { token, maker: TokenOwner::Own(shown(member.id.as_str())) }
    }

    /// A passkey that answered in a round, added in the session `own`.
    pub(crate) fn new_passkey(&self, name: &str, round: u64) -> NewPasskey {
        let (session, passkey) = (hash("own"), passkey(name));
        NewPasskey { session, round, passkey, letter: self.notice() }
    }

    /// Has a member add a passkey, by the code of a step.
    pub(crate) async fn with_passkey(&self, member: &Member, name: &str, step: u64) {
        let target = self.target(&member.id);
        let code = SecondFactorProof::Step { secret: sealed(member.id.as_str()), step };
        let shown = StepUp { proof: Some(code), ..shown(member.id.as_str()) };
        let round = self.store.passkey_begin(target, shown).await.unwrap().value;
        self.store.passkey_add(target, self.new_passkey(name, round)).await.unwrap();
    }

    /// The tokens of a member's sessions, newest first.
    pub(crate) async fn sessions(&self, name: &str) -> Vec<TokenHash> {
        let sessions = self.store.sessions_of(&id(name)).await.unwrap();
        sessions.into_iter().map(|session| session.token).collect()
    }

    /// A link found by `hash(token)`.
    pub(crate) fn link(&self, token: &str) -> NewOneTimeLink {
        NewOneTimeLink {
            id: link_id(token),
            key: KeyId(1),
            token: hash(token),
            expires: self.later(HOUR),
            letter: Some(self.new_letter(token)),
        }
    }

    pub(crate) async fn is_link(&self, token: &str) -> bool {
        let by_token = self.store.link_by_token(hash(token)).await.unwrap();
        assert_eq!(by_token, self.store.link(&link_id(token)).await.unwrap());
        by_token.is_some()
    }

    /// Every letter there is, oldest first.
    pub(crate) async fn letters(&self) -> Vec<QueuedMail> {
        let mut letters = self.store.letters(None, None, 10_000).await.unwrap().items;
        letters.reverse();
        letters
    }

    pub(crate) async fn claim(&self) -> Vec<QueuedMail> {
        self.store.letters_claim(1_000, LEASE).await.unwrap()
    }
}

/// The password of the member of this name, shown again by who has no second factor.
pub(crate) fn shown(name: &str) -> StepUp {
    StepUp { checked: CheckedPassword::of(&password(name)), proof: None }
}

/// The sealed secret of the member of this name.
pub(crate) fn sealed(name: &str) -> Sealed {
    Sealed { key: KeyId(1), bytes: name.as_bytes().to_vec() }
}

/// A code of anna's app.
pub(crate) fn code(step: u64) -> SecondFactorProof {
    SecondFactorProof::Step { secret: sealed("anna"), step }
}

pub(crate) fn passkey_id(name: &str) -> PasskeyId {
    PasskeyId::of_credential(name.as_bytes())
}

/// A passkey that has counted to nothing yet.
pub(crate) fn passkey(name: &str) -> Passkey {
    Passkey {
        id: passkey_id(name),
        name: Name::parse("name", name).unwrap(),
        credential: b"0".to_vec(),
        created: NOW,
        used: None,
    }
}

/// An answer of a passkey, judged by one credential, which makes it another.
pub(crate) fn by_passkey(name: &str, before: &str, after: &str) -> SecondFactorProof {
    let (before, after) = (before.as_bytes().to_vec(), after.as_bytes().to_vec());
    SecondFactorProof::Passkey { id: passkey_id(name), before, after }
}

pub(crate) fn recovery_code(number: u8) -> RecoveryCode {
    RecoveryCode::from_bytes([number; 15])
}

pub(crate) fn recovery(number: u8, letter: Option<NewMail>) -> SecondFactorProof {
    SecondFactorProof::Recovery { hash: recovery_code(number).hash(), letter }
}

/// A placeholder for the password of the member of this name.
pub(crate) fn password(name: &str) -> String {
    format!("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA${name}")
}

pub(crate) fn invite_id(name: &str) -> InviteId {
    InviteId::from_random(bytes(name))
}

pub(crate) fn token_id(name: &str) -> ApiTokenId {
    ApiTokenId::from_random(bytes(name))
}

pub(crate) fn link_id(token: &str) -> LinkId {
    LinkId::from_random(bytes(token))
}

pub(crate) fn session_id(token: &str) -> SessionId {
    SessionId::from_random(bytes(token))
}
