//! A team in one process: real services over a store in memory, a manual clock, and mail that ends in
//! memory.

use std::sync::Arc;

use kwic_team::app::App;
use kwic_team::clock::Clock;
use kwic_team::config::Config;
use kwic_team::directory::Directory;
use kwic_team::domain::{
    AccountSlug, Email, Failure, Kind, Member, MemberId, Name, RoleId, Timestamp,
};
use kwic_team::engine::Snapshot;
use kwic_team::mail::{ActionLink, InMemoryServer, MailContent, Mailer};
use kwic_team::password::PasswordHasher;
use kwic_team::policy_folder;
use kwic_team::services::caller::Caller;
use kwic_team::services::client_info::ClientInfo;
use kwic_team::services::invites::{self, Invitation, InviteWithLink};
use kwic_team::services::permits::StorePermit;
use kwic_team::services::sign_in::{self, NewSignIn, SignInAttempt, SignInOutcome};
use kwic_team::services::{accounts, directory_sync, mail_delivery, session_auth};
use kwic_team::store::{Committed, Store};

pub const NOW: Timestamp = Timestamp(1_764_000_000_000);
pub const PASSWORD: &str = "seven green bicycles";
pub const HOUR: i64 = 3_600_000;

pub struct Fixture {
    pub app: Arc<App>,
    pub mail: InMemoryServer,
    pub acme: AccountSlug,
}

pub fn email(name: &str) -> Email {
    Email::parse(&format!("{name}@example.org")).unwrap()
}

pub fn name(text: &str) -> Name {
    Name::parse("first_name", text).unwrap()
}

pub fn role(text: &str) -> RoleId {
    RoleId::parse(text).unwrap()
}

/// The refusal's kind and code.
#[track_caller]
pub fn refused<T>(result: Result<T, Failure>) -> (Kind, &'static str) {
    let Err(failure) = result else { panic!("was taken") };
    assert!(failure.public.len() > 20, "{failure}");
    (failure.kind, failure.code)
}

impl Fixture {
    /// An account `acme`, with nobody in it.
    pub async fn new() -> Self {
        Self::with_hasher(PasswordHasher::cheap().unwrap()).await
    }

    pub async fn with_mailer(mailer: Mailer) -> Self {
        let mut stage = Self::new().await;
        Arc::get_mut(&mut stage.app).expect("only one handle").mailer = mailer;
        stage
    }

    pub async fn with_hasher(hasher: PasswordHasher) -> Self {
        Self::with(hasher, |_| {}).await
    }

    /// One that is configured.
    pub async fn with(hasher: PasswordHasher, configure: impl FnOnce(&mut Config)) -> Self {
        let stage = Self::empty(hasher, configure).await;
        let permit = StorePermit::sidecar(7);
        accounts::create(&stage.app, permit, stage.acme.clone(), "Acme", None).await.unwrap();
        stage
    }

    /// One without any account.
    pub async fn empty(hasher: PasswordHasher, configure: impl FnOnce(&mut Config)) -> Self {
        let clock = Clock::fixed(NOW);
        let store = Store::in_memory(clock.clone()).await.unwrap();
        let directory = Arc::new(Directory::new());
        let feed = directory_sync::load(&store, &directory).await.unwrap();
        tokio::spawn(directory_sync::follow(Arc::clone(&directory), feed));
        let policies = Snapshot::load(&policy_folder::embedded_policies(), &[]).unwrap();
        let mut config = Config::default_for("/nowhere".into());
        configure(&mut config);
        let mail = InMemoryServer::default();
        let mut app = App::new(config, clock, policies, directory, store).unwrap();
        app.mailer = Mailer::memory(&mail).unwrap();
        app.hasher = hasher;
        let app = Arc::new(app);
        Self { app, mail, acme: AccountSlug::parse("acme").unwrap() }
    }

    pub fn operator(&self) -> Caller {
        Caller::Sidecar { uid: 7, account: self.acme.clone() }
    }

    pub fn later(&self, by_ms: i64) {
        self.app.clock.advance_ms(by_ms);
    }

    /// Sends all due mail; returns what was sent since the last call.
    pub async fn mails(&self) -> Vec<(Email, MailContent)> {
        while mail_delivery::deliver_due(&self.app).await.unwrap() > 0 {}
        self.mail.take_sent().into_iter().map(|sent| (sent.to, sent.content)).collect()
    }

    /// The link of the only mail that is due.
    #[track_caller]
    pub fn link_of(mails: &[(Email, MailContent)]) -> ActionLink {
        let [(_, content)] = mails else { panic!("{} mails", mails.len()) };
        link_in(content)
    }

    pub async fn invite(
        &self,
        by: Caller,
        who: &str,
        as_role: &str,
    ) -> Result<Committed<InviteWithLink>, Failure> {
        let invitation = Invitation {
            email: email(who),
            first_name: name("Ann"),
            last_name: name("Lee"),
            role: role(as_role),
        };
        invites::send(&self.app, by, invitation, None).await
    }

    /// Somebody who was invited and has joined.
    pub async fn member(&self, who: &str, as_role: &str) -> Member {
        // Invites of one account are limited; time passes between them.
        self.later(61_000);
        let sent = self.invite(self.operator(), who, as_role).await.unwrap().value;
        let code = match sent.link {
            Some(link) if !self.app.mailer.sends() => link.rsplit('#').next().unwrap().to_owned(),
            _ => Self::link_of(&self.mails().await).code.expose().to_owned(),
        };
        invites::accept(&self.app, &code, PASSWORD).await.unwrap().value
    }

    pub async fn try_sign_in(
        &self,
        who: &str,
        password: &str,
        from: ClientInfo,
    ) -> Result<Committed<NewSignIn>, Failure> {
        sign_in::sign_in(&self.app, self.attempt(who, password, from)).await.map(entered)
    }

    pub fn attempt(&self, who: &str, password: &str, from: ClientInfo) -> SignInAttempt {
        let password = password.to_owned();
        SignInAttempt { account: self.acme.clone(), email: email(who), password, from }
    }

    pub async fn sign_in(&self, who: &str) -> NewSignIn {
        self.try_sign_in(who, PASSWORD, ClientInfo::default()).await.unwrap().value
    }

    /// A signed-in member, as the API knows it.
    pub fn caller(&self, entered: &NewSignIn) -> Caller {
        Caller::Member(self.signed_in(entered).expect("signed in"))
    }

    pub fn signed_in(&self, entered: &NewSignIn) -> Option<session_auth::SignedIn> {
        session_auth::authenticate(&self.app, entered.token.expose())
    }

    pub async fn stored(&self, id: &MemberId) -> Option<Member> {
        self.app.store.member(id).await.unwrap()
    }
}

/// The session of a member without a second factor.
#[track_caller]
pub fn entered(outcome: SignInOutcome) -> Committed<NewSignIn> {
    match outcome {
        SignInOutcome::Entered(entered) => *entered,
        waiting => panic!("a second factor is asked for: {waiting:?}"),
    }
}

/// The link that a mail carries.
#[track_caller]
pub fn link_in(content: &MailContent) -> ActionLink {
    match content {
        MailContent::Invite { link, .. }
        | MailContent::PasswordReset { link, .. }
        | MailContent::EmailChange { link, .. } => link.clone(),
        other => panic!("no link in {other:?}"),
    }
}
