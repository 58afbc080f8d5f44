//! Two-step verification: codes that work once, recovery codes, and no session without them.

use std::net::IpAddr;
use std::sync::Arc;

use kwic_team::domain::{Email, Failure, Kind, Member, Token, TwoStepEvent, limits};
use kwic_team::keys::Keys;
use kwic_team::mail::MailContent;
use kwic_team::services::api_tokens::{self, TokenRequest};
use kwic_team::services::caller::Caller;
use kwic_team::services::client_info::ClientInfo;
use kwic_team::services::members::ChosenMember;
use kwic_team::services::sign_in::{self, NewSignIn, SignInOutcome};
use kwic_team::services::sign_in_ticket::PendingSignIn;
use kwic_team::services::step_up::StepUpProof;
use kwic_team::services::{
    accounts, invites, own_profile, passwords, sessions, token_auth, two_step,
};
use kwic_team::store::AccountEdit;
use totp_rs::{Builder, Secret};

use crate::support::fixture::{Fixture, HOUR, PASSWORD, email, link_in, refused};

const STEP: i64 = 30_000;
pub const WRONG: &str = "000000";

/// An authenticator app, as its owner holds it.
pub struct Phone(Vec<u8>);

impl Phone {
    pub fn of(secret: &str) -> Self {
        Self(Secret::try_from_base32(secret).unwrap().as_ref().to_vec())
    }

    /// The code that it shows `steps` from now.
    pub fn shows(&self, stage: &Fixture, steps: i64) -> String {
        let seconds = (stage.app.clock.now().0 + steps * STEP) / 1_000;
        self.shows_at(u64::try_from(seconds).unwrap())
    }

    /// The code that it shows so many seconds after 1970.
    pub fn shows_at(&self, seconds: u64) -> String {
        let totp = Builder::new().with_secret(self.0.as_slice()).build_noncompliant();
        totp.generate(seconds).to_string()
    }

    /// A code that was not used: a step has passed.
    pub fn next(&self, stage: &Fixture) -> String {
        stage.later(STEP);
        self.shows(stage, 0)
    }
}

/// A member with a second factor.
pub struct Guarded {
    pub member: Member,
    pub phone: Phone,
    pub recovery: Vec<String>,
    pub entered: NewSignIn,
}

pub fn here() -> ClientInfo {
    ClientInfo {
        address: Some(IpAddr::from([192, 0, 2, 7])),
        agent: "Lynx".to_owned(),
        claimed: None,
    }
}

pub fn shown(code: &str) -> StepUpProof {
    StepUpProof { password: PASSWORD.to_owned(), code: Some(code.to_owned()) }
}

async fn reseal(stage: &Fixture) -> Result<(usize, usize), Failure> {
    two_step::reseal(&stage.app.store, &stage.app.keys).await
}

pub async fn set_up(stage: &Fixture, member: Member, entered: &NewSignIn) -> Guarded {
    let signed_in = stage.signed_in(entered).unwrap();
    let app = &stage.app;
    let told =
        two_step::begin(app, &signed_in, &StepUpProof::password(PASSWORD), &here()).await.unwrap();
    let phone = Phone::of(&told.secret);
    let code = phone.shows(stage, 0);
    let done = two_step::confirm(app, &signed_in, &code, &here()).await.unwrap().value;
    let recovery = done.recovery.iter().map(|code| code.expose()).collect();
    Guarded { member, phone, recovery, entered: done.entered }
}

pub async fn guarded(stage: &Fixture, who: &str, role: &str) -> Guarded {
    let member = stage.member(who, role).await;
    let entered = stage.sign_in(who).await;
    let guarded = set_up(stage, member, &entered).await;
    stage.mails().await;
    guarded
}

pub async fn try_password(stage: &Fixture, who: &str, password: &str) -> SignInOutcome {
    sign_in::sign_in(&stage.app, stage.attempt(who, password, here())).await.unwrap()
}

/// The ticket that a right password gets.
pub async fn ticket(stage: &Fixture, who: &str) -> String {
    match try_password(stage, who, PASSWORD).await {
        SignInOutcome::SecondFactor(PendingSignIn { ticket, .. }) => ticket,
        other => panic!("{other:?}"),
    }
}

pub async fn show(stage: &Fixture, ticket: &str, code: &str) -> Result<NewSignIn, Failure> {
    sign_in::second_factor(&stage.app, ticket, code, here()).await.map(|done| done.value)
}

pub async fn enforce(stage: &Fixture) {
    let edit = AccountEdit { two_step_enforced: Some(true), ..AccountEdit::default() };
    accounts::edit(&stage.app, stage.operator(), None, edit).await.unwrap();
}

pub fn news(mails: &[(Email, MailContent)]) -> Vec<TwoStepEvent> {
    let news = mails.iter().filter_map(|(_, content)| match content {
        MailContent::TwoStep { news, .. } => Some(*news),
        _ => None,
    });
    news.collect()
}

#[tokio::test]
async fn an_api_token_is_made_by_who_shows_the_factor() {
    let stage = Fixture::new().await;
    let ann = guarded(&stage, "ann", "administrator").await;
    let signed_in = stage.signed_in(&ann.entered).unwrap();
    let make = |shown: StepUpProof| {
        let (app, signed_in) = (&stage.app, signed_in.clone());
        let (name, role) =
            (crate::support::fixture::name("job"), crate::support::fixture::role("operator"));
        let wanted = TokenRequest { name, role, days: 1 };
        async move { api_tokens::create_own(app, signed_in, wanted, Some(shown), here()).await }
    };
    let missing = make(StepUpProof::password(PASSWORD)).await;
    assert_eq!(refused(missing), (Kind::Denied, "code_missing"));
    let used = ann.phone.shows(&stage, 0);
    assert_eq!(refused(make(shown(&used)).await), (Kind::Denied, "wrong_code"));
    let code = ann.phone.next(&stage);
    let made = make(shown(&code)).await.unwrap().value;
    assert!(token_auth::authenticate(&stage.app, &made.secret).is_some());
    assert_eq!(refused(make(shown(&code)).await), (Kind::Denied, "wrong_code"));
}

#[tokio::test]
async fn a_code_signs_in_once() {
    let stage = Fixture::new().await;
    let ann = stage.member("ann", "operator").await;
    let before = stage.sign_in("ann").await;
    let elsewhere = stage.sign_in("ann").await;
    let ann = set_up(&stage, ann, &before).await;
    assert!(stage.signed_in(&before).is_none(), "a new token comes with the factor");
    assert!(stage.signed_in(&elsewhere).is_none(), "other sessions end");
    assert!(stage.signed_in(&ann.entered).is_some());
    assert!(stage.stored(&ann.member.id).await.unwrap().two_step);
    assert!(stage.app.directory.with(ann.member.id.as_str(), |view| view.two_step).unwrap());
    assert_eq!(news(&stage.mails().await), [TwoStepEvent::On]);

    let first = ticket(&stage, "ann").await;
    let used = ann.phone.shows(&stage, 0);
    assert_eq!(refused(show(&stage, &first, &used).await), (Kind::Denied, "wrong_code"));
    let code = ann.phone.next(&stage);
    let entered = show(&stage, &first, &code).await.unwrap();
    assert!(stage.signed_in(&entered).is_some());
    let second = ticket(&stage, "ann").await;
    assert_eq!(refused(show(&stage, &second, &code).await), (Kind::Denied, "wrong_code"));
    assert_eq!(refused(show(&stage, &first, &code).await), (Kind::Unauthenticated, "ticket_dead"));
    let code = ann.phone.next(&stage);
    show(&stage, &second, &code).await.unwrap();
}

#[tokio::test]
async fn codes_at_the_edges_of_their_time() {
    let stage = Fixture::new().await;
    let ann = guarded(&stage, "ann", "operator").await;
    stage.later(10 * STEP);
    for (steps, fits) in [(-2, false), (2, false), (-1, true), (0, true), (1, true)] {
        let ticket = ticket(&stage, "ann").await;
        let taken = show(&stage, &ticket, &ann.phone.shows(&stage, steps)).await;
        assert_eq!(taken.is_ok(), fits, "{steps} steps from now");
        // A later step was taken: earlier ones are over, whatever the clock says.
        stage.later(if fits { 0 } else { HOUR });
    }
    // The step after now was taken; its own time comes, and it is used.
    let late = ticket(&stage, "ann").await;
    let code = ann.phone.next(&stage);
    assert_eq!(refused(show(&stage, &late, &code).await), (Kind::Denied, "wrong_code"));
}

#[tokio::test]
async fn a_clock_that_jumps_back_reopens_nothing_and_a_recovery_code_helps() {
    let stage = Fixture::new().await;
    let ann = guarded(&stage, "ann", "operator").await;
    let code = ann.phone.next(&stage);
    show(&stage, &ticket(&stage, "ann").await, &code).await.unwrap();
    stage.later(-HOUR);
    let old = ann.phone.shows(&stage, 0);
    let waiting = ticket(&stage, "ann").await;
    let refusal = show(&stage, &waiting, &old).await.unwrap_err();
    assert!(refusal.public.contains("the clock of this server was wrong"), "{refusal}");
    assert!(refusal.public.contains("wait 60 minutes"), "{refusal}");
    assert_eq!(refused(show(&stage, &waiting, &code).await), (Kind::Denied, "wrong_code"));
    show(&stage, &waiting, &ann.recovery[0]).await.unwrap();
    stage.later(10 * HOUR);
    let code = ann.phone.next(&stage);
    show(&stage, &ticket(&stage, "ann").await, &code).await.unwrap();
}

#[tokio::test]
async fn a_code_of_another_time_fails_and_says_how_far_the_clocks_differ() {
    let stage = Fixture::new().await;
    let ann = stage.member("ann", "operator").await;
    let entered = stage.sign_in("ann").await;
    // Setting the app up: the secret is the person's own, so either side may be told.
    let signed_in = stage.signed_in(&entered).unwrap();
    let app = &stage.app;
    let told =
        two_step::begin(app, &signed_in, &StepUpProof::password(PASSWORD), &here()).await.unwrap();
    let phone = Phone::of(&told.secret);
    for (steps, words) in [(-100, "about 50 minutes behind"), (60, "about 30 minutes ahead")] {
        let late = two_step::confirm(app, &signed_in, &phone.shows(&stage, steps), &here()).await;
        let refusal = late.unwrap_err();
        assert_eq!(refusal.code, "wrong_code");
        assert!(refusal.public.contains(words), "{refusal}");
    }
    let arabic: String = phone.shows(&stage, 0).chars().map(eastern).collect();
    two_step::confirm(app, &signed_in, &arabic, &here()).await.unwrap();
    // Signing in: a code that comes later tells nothing: an attacker who guesses could wait for it.
    let ticket = ticket(&stage, "ann").await;
    let behind = show(&stage, &ticket, &phone.shows(&stage, -100)).await.unwrap_err();
    assert!(behind.public.contains("about 50 minutes behind"), "{behind}");
    let ahead = show(&stage, &ticket, &phone.shows(&stage, 60)).await.unwrap_err();
    let nonsense = show(&stage, &ticket, "12345").await.unwrap_err();
    assert_eq!(ahead.public, nonsense.public);
    assert_eq!(app.store.factors(&ann.id).await.unwrap().failures, 3, "each counts");
    let arabic: String = phone.next(&stage).chars().map(eastern).collect();
    show(&stage, &ticket, &arabic).await.unwrap();
}

/// A digit as an Arabic keyboard types it.
fn eastern(digit: char) -> char {
    char::from_u32(0x660 + digit.to_digit(10).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_at_once_with_one_code_are_one_session() {
    let stage = Fixture::new().await;
    let ann = guarded(&stage, "ann", "operator").await;
    sessions::end_own(&stage.app, stage.signed_in(&ann.entered).unwrap(), None).await.unwrap();
    for code in [ann.phone.next(&stage), ann.recovery[3].clone()] {
        let before = stage.app.store.sessions_of(&ann.member.id).await.unwrap().len();
        let ticket = ticket(&stage, "ann").await;
        let tries: Vec<_> = (0..100_u8)
            .map(|place| {
                // From everywhere: a known place is not slowed down by the others.
                let from =
                    ClientInfo { address: Some(IpAddr::from([198, 51, place, 1])), ..here() };
                let (app, ticket, code) = (Arc::clone(&stage.app), ticket.clone(), code.clone());
                tokio::spawn(async move {
                    sign_in::second_factor(&app, &ticket, &code, from).await.is_ok()
                })
            })
            .collect();
        let mut won = 0;
        for tried in tries {
            won += usize::from(tried.await.unwrap());
        }
        assert_eq!(won, 1);
        let after = stage.app.store.sessions_of(&ann.member.id).await.unwrap().len();
        assert_eq!(after, before + 1);
        stage.later(25 * HOUR);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_transactions_with_one_code_are_one_session() {
    // The same, past everything that slows down: the transaction alone holds it.
    let stage = Fixture::new().await;
    let ann = guarded(&stage, "ann", "operator").await;
    let code = ann.phone.next(&stage);
    let factors = stage.app.store.factors(&ann.member.id).await.unwrap();
    let secret = factors.authenticator.as_ref().unwrap().secret.clone();
    let now = stage.app.clock.now().0;
    let step = u64::try_from(now / STEP).unwrap();
    assert_eq!(code, ann.phone.shows(&stage, 0));
    let credential = stage.app.store.credential(&ann.member.id).await.unwrap().unwrap();
    let begin = |number: u8| {
        let session = kwic_team::domain::Session {
            id: kwic_team::domain::SessionId::from_random([number; 16]),
            token: Token::from_bytes([number; 32]).hash(),
            member: ann.member.id.clone(),
            account: stage.acme.clone(),
            created: stage.app.clock.now(),
            used: stage.app.clock.now(),
            address: String::new(),
            agent: String::new(),
        };
        let sign_in = kwic_team::store::requests_and_views::sessions::SignIn {
            session,
            checked: kwic_team::store::requests_and_views::two_step::CheckedPassword::of(
                &credential.password,
            ),
            rehashed: None,
            proof: Some((
                kwic_team::store::requests_and_views::two_step::SecondFactorProof::Step {
                    secret: secret.clone(),
                    step,
                },
                factors.round,
            )),
            failures_before: 0,
        };
        let app = Arc::clone(&stage.app);
        tokio::spawn(async move { app.store.session_begin(sign_in).await.is_ok() })
    };
    let tries: Vec<_> = (1..=100).map(begin).collect();
    let mut won = 0;
    for tried in tries {
        won += usize::from(tried.await.unwrap());
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn recovery_codes_work_once_and_new_ones_end_the_old() {
    let stage = Fixture::new().await;
    let ann = guarded(&stage, "ann", "operator").await;
    assert_eq!(ann.recovery.len(), limits::RECOVERY_CODES);
    let code = ann.recovery[0].to_lowercase().replace('-', " ");
    let entered = show(&stage, &ticket(&stage, "ann").await, &code).await.unwrap();
    let again = show(&stage, &ticket(&stage, "ann").await, &code).await;
    assert_eq!(refused(again), (Kind::Denied, "wrong_code"));
    assert_eq!(news(&stage.mails().await), [TwoStepEvent::CodeUsed]);
    let signed_in = stage.signed_in(&entered).unwrap();
    let standing = two_step::standing(&stage.app, &signed_in).await.unwrap();
    assert_eq!((standing.recovery_left, standing.enforced), (9, false));
    let given = shown(&ann.phone.next(&stage));
    let new =
        two_step::recovery_codes(&stage.app, &signed_in, &given, &here()).await.unwrap().value;
    let old = show(&stage, &ticket(&stage, "ann").await, &ann.recovery[1]).await;
    assert_eq!(refused(old), (Kind::Denied, "wrong_code"));
    show(&stage, &ticket(&stage, "ann").await, &new[1].expose()).await.unwrap();
    let mut told = news(&stage.mails().await);
    told.sort_by_key(|news| *news as u8);
    assert_eq!(told, [TwoStepEvent::NewCodes, TwoStepEvent::CodeUsed]);
    let all: std::collections::BTreeSet<String> = new.iter().map(|code| code.expose()).collect();
    assert_eq!(all.len(), limits::RECOVERY_CODES);
}

#[tokio::test]
async fn what_touches_the_sign_in_asks_for_the_factor_again() {
    let stage = Fixture::new().await;
    let ann = guarded(&stage, "ann", "operator").await;
    let app = &stage.app;
    let used = ann.phone.shows(&stage, 0);
    for (given, code) in [
        (StepUpProof::password(PASSWORD), "code_missing"),
        (shown(WRONG), "wrong_code"),
        (shown(&used), "wrong_code"),
        (StepUpProof { password: "not this one at all".into(), code: None }, "wrong_password"),
    ] {
        let expected = (Kind::Denied, code);
        let code = ann.phone.next(&stage);
        let entered = show(&stage, &ticket(&stage, "ann").await, &code).await.unwrap();
        let signed_in = || stage.signed_in(&entered).unwrap();
        let changed =
            passwords::change_own(app, signed_in(), &given, "eleven purple kettles", here()).await;
        assert_eq!(refused(changed), expected);
        stage.later(10_000);
        let moved =
            own_profile::change_email(app, signed_in(), email("anna"), &given, here()).await;
        assert_eq!(refused(moved), expected);
        stage.later(10_000);
        assert_eq!(refused(own_profile::leave(app, signed_in(), &given, here()).await), expected);
        stage.later(10_000);
        let off = two_step::switch_off(app, &signed_in(), &given, &here()).await;
        assert_eq!(refused(off), expected);
        stage.later(10_000);
        let codes = two_step::recovery_codes(app, &signed_in(), &given, &here()).await;
        assert_eq!(refused(codes), expected);
        stage.later(10_000);
        let another = two_step::begin(app, &signed_in(), &given, &here()).await;
        assert_eq!(refused(another), expected);
        stage.later(10_000);
    }
}

#[tokio::test]
async fn the_factor_is_replaced_and_switched_off_by_its_owner() {
    let stage = Fixture::new().await;
    let ann = guarded(&stage, "ann", "operator").await;
    let app = &stage.app;
    let signed_in = stage.signed_in(&ann.entered).unwrap();
    let given = shown(&ann.phone.next(&stage));
    let told = two_step::begin(app, &signed_in, &given, &here()).await.unwrap();
    // Until it is confirmed, the old one signs in.
    let code = ann.phone.next(&stage);
    show(&stage, &ticket(&stage, "ann").await, &code).await.unwrap();
    let new = Phone::of(&told.secret);
    let wrong = two_step::confirm(app, &signed_in, &ann.phone.next(&stage), &here()).await;
    assert_eq!(refused(wrong), (Kind::Denied, "wrong_code"));
    let done =
        two_step::confirm(app, &signed_in, &new.shows(&stage, 0), &here()).await.unwrap().value;
    assert_eq!(done.ended, 1);
    let old = show(&stage, &ticket(&stage, "ann").await, &ann.phone.next(&stage)).await;
    assert_eq!(refused(old), (Kind::Denied, "wrong_code"));
    show(&stage, &ticket(&stage, "ann").await, &new.next(&stage)).await.unwrap();
    stage.mails().await;

    let signed_in = stage.signed_in(&done.entered).unwrap();
    let given = shown(&new.next(&stage));
    let (entered, ended) =
        two_step::switch_off(app, &signed_in, &given, &here()).await.unwrap().value;
    assert_eq!(ended, 1);
    assert!(stage.signed_in(&entered).is_some() && stage.signed_in(&done.entered).is_none());
    assert_eq!(news(&stage.mails().await), [TwoStepEvent::Off]);
    assert!(matches!(try_password(&stage, "ann", PASSWORD).await, SignInOutcome::Entered(_)));
    let signed_in = stage.signed_in(&entered).unwrap();
    let twice = two_step::switch_off(app, &signed_in, &given, &here()).await;
    assert_eq!(refused(twice), (Kind::Conflict, "not_set_up"));
    let late = two_step::confirm(app, &signed_in, WRONG, &here()).await;
    assert_eq!(refused(late), (Kind::Conflict, "not_set_up"));
}

#[tokio::test]
async fn setting_up_takes_a_quarter_of_an_hour_at_most() {
    let stage = Fixture::new().await;
    stage.member("ann", "operator").await;
    let entered = stage.sign_in("ann").await;
    let signed_in = stage.signed_in(&entered).unwrap();
    let app = &stage.app;
    let told =
        two_step::begin(app, &signed_in, &StepUpProof::password(PASSWORD), &here()).await.unwrap();
    stage.later(i64::try_from(limits::TWO_STEP_SETUP_LIFETIME.as_millis()).unwrap());
    let code = Phone::of(&told.secret).shows(&stage, 0);
    let late = two_step::confirm(app, &signed_in, &code, &here()).await;
    assert_eq!(refused(late), (Kind::Conflict, "not_set_up"));
    assert!(matches!(try_password(&stage, "ann", PASSWORD).await, SignInOutcome::Entered(_)));
}

#[tokio::test]
async fn a_stolen_ticket_opens_nothing() {
    let stage = Fixture::new().await;
    let ann = guarded(&stage, "ann", "operator").await;
    let dead = (Kind::Unauthenticated, "ticket_dead");
    let code = || ann.phone.next(&stage);

    let stolen = ticket(&stage, "ann").await;
    let own = ticket(&stage, "ann").await;
    show(&stage, &own, &code()).await.unwrap();
    assert_eq!(refused(show(&stage, &stolen, &code()).await), dead, "its owner signed in");

    let stolen = ticket(&stage, "ann").await;
    stage.later(i64::try_from(limits::TICKET_LIFETIME.as_millis()).unwrap());
    assert_eq!(refused(show(&stage, &stolen, &code()).await), dead, "its time is over");

    let stolen = ticket(&stage, "ann").await;
    passwords::send_link(&stage.app, &stage.acme, &email("ann")).await.unwrap();
    let link = Fixture::link_of(&stage.mails().await);
    let new = "eleven purple kettles";
    passwords::reset_by_link(&stage.app, link.code.expose(), new, &here()).await.unwrap();
    let used = show(&stage, &stolen, &code()).await;
    assert_eq!(refused(used), (Kind::Unauthenticated, "sign_in_refused"), "another password");

    let SignInOutcome::SecondFactor(PendingSignIn { ticket: stolen, .. }) =
        try_password(&stage, "ann", new).await
    else {
        panic!("a new password by mail does not go past the factor")
    };
    for bent in ["", "x", &stolen[1..], &format!("{stolen}A"), &"A".repeat(5_000)] {
        assert_eq!(refused(show(&stage, bent, &code()).await), dead, "{bent}");
    }
    let chosen = ChosenMember { id: ann.member.id.clone(), expected: None };
    two_step::reset(&stage.app, stage.operator(), chosen, None, here()).await.unwrap();
    assert_eq!(refused(show(&stage, &stolen, &code()).await), dead, "the factor is another one");
    let by_it = two_step::begin_by_ticket(&stage.app, &stolen).await.unwrap();
    let code = Phone::of(&by_it.secret).shows(&stage, 0);
    let set_up = two_step::confirm_by_ticket(&stage.app, &stolen, &code, &here()).await;
    assert_eq!(refused(set_up), (Kind::Unauthenticated, "sign_in_refused"));
}

#[tokio::test]
async fn where_it_is_enforced_nothing_leads_past_it() {
    let stage = Fixture::new().await;
    let ann = stage.member("ann", "operator").await;
    let from_before = stage.sign_in("ann").await;
    enforce(&stage).await;
    let app = &stage.app;

    // Password.
    let SignInOutcome::SetUp(waiting) = try_password(&stage, "ann", PASSWORD).await else {
        panic!("a session without a factor")
    };
    // Its ticket alone.
    let alone = show(&stage, &waiting.ticket, WRONG).await;
    assert_eq!(refused(alone), (Kind::Conflict, "two_step_needed"));
    // Reset by mail: a new password, no session.
    passwords::send_link(app, &stage.acme, &email("ann")).await.unwrap();
    let link = Fixture::link_of(&stage.mails().await);
    passwords::reset_by_link(app, link.code.expose(), PASSWORD, &here()).await.unwrap();
    assert!(app.store.sessions_of(&ann.id).await.unwrap().is_empty());
    assert!(stage.signed_in(&from_before).is_none());
    assert!(matches!(try_password(&stage, "ann", PASSWORD).await, SignInOutcome::SetUp(_)));
    stage.mails().await;
    // Invite.
    let bo = stage.member("bo", "operator").await;
    assert!(app.store.sessions_of(&bo.id).await.unwrap().is_empty());
    assert!(matches!(try_password(&stage, "bo", PASSWORD).await, SignInOutcome::SetUp(_)));
    // Recovery by the operator of the sidecar.
    let chief = stage.member("chief", "administrator").await;
    let made = passwords::recover(app, stage.operator(), &chief.email).await.unwrap().value;
    let code = link_in(&stage.mails().await[0].1).code;
    assert_eq!(made.link, Some(app.links.to("reset", &code)));
    passwords::reset_by_link(app, code.expose(), PASSWORD, &here()).await.unwrap();
    assert!(matches!(try_password(&stage, "chief", PASSWORD).await, SignInOutcome::SetUp(_)));
    assert!(app.store.sessions_of(&chief.id).await.unwrap().is_empty());

    // The one way: set up, then in.
    let SignInOutcome::SetUp(waiting) = try_password(&stage, "ann", PASSWORD).await else {
        panic!()
    };
    let told = two_step::begin_by_ticket(app, &waiting.ticket).await.unwrap();
    let phone = Phone::of(&told.secret);
    let wrong = two_step::confirm_by_ticket(app, &waiting.ticket, WRONG, &here()).await;
    assert_eq!(refused(wrong), (Kind::Denied, "wrong_code"));
    let code = phone.shows(&stage, 0);
    let done =
        two_step::confirm_by_ticket(app, &waiting.ticket, &code, &here()).await.unwrap().value;
    assert!(stage.signed_in(&done.entered).is_some());
    let twice = two_step::confirm_by_ticket(app, &waiting.ticket, &code, &here()).await;
    assert_eq!(refused(twice).0, Kind::Conflict);
    // It stays: nobody switches it off.
    let signed_in = stage.signed_in(&done.entered).unwrap();
    let off = two_step::switch_off(app, &signed_in, &shown(&phone.next(&stage)), &here()).await;
    assert_eq!(refused(off), (Kind::Conflict, "two_step_enforced"));
    // A change of address, both ends confirmed, leaves it in place.
    let given = shown(&phone.next(&stage));
    own_profile::change_email(app, signed_in, email("anna"), &given, here()).await.unwrap();
    for (_, content) in stage.mails().await {
        if let MailContent::EmailChange { link, .. } = content {
            own_profile::confirm_email(app, link.code.expose()).await.unwrap();
        }
    }
    assert!(matches!(try_password(&stage, "anna", PASSWORD).await, SignInOutcome::SecondFactor(_)));
}

#[tokio::test]
async fn a_session_from_before_the_rule_goes_on_and_is_not_renewed_without_a_factor() {
    let stage = Fixture::new().await;
    stage.member("ann", "operator").await;
    let entered = stage.sign_in("ann").await;
    enforce(&stage).await;
    let app = &stage.app;
    let signed_in = stage.signed_in(&entered).expect("decisions and sessions are not gated");
    let given = StepUpProof::password(PASSWORD);
    let changed =
        passwords::change_own(app, signed_in.clone(), &given, "eleven purple kettles", here())
            .await;
    assert_eq!(refused(changed), (Kind::Conflict, "two_step_needed"));
    let moved = own_profile::change_email(app, signed_in, email("anna"), &given, here()).await;
    assert_eq!(refused(moved), (Kind::Conflict, "two_step_needed"));
    let ann = app.store.member_by_email(&stage.acme, email("ann").key()).await.unwrap().unwrap();
    set_up(&stage, ann, &entered).await;
}

#[tokio::test]
async fn who_enforces_it_has_it() {
    let stage = Fixture::new().await;
    let chief = stage.member("chief", "administrator").await;
    let entered = stage.sign_in("chief").await;
    let edit = || AccountEdit { two_step_enforced: Some(true), ..AccountEdit::default() };
    let early = accounts::edit(&stage.app, stage.caller(&entered), None, edit()).await;
    assert_eq!(refused(early), (Kind::Conflict, "own_factor_first"));
    let chief = set_up(&stage, chief, &entered).await;
    let caller = stage.caller(&chief.entered);
    assert!(
        accounts::edit(&stage.app, caller, None, edit()).await.unwrap().value.two_step_enforced
    );
    // The last administrator, too.
    let signed_in = stage.signed_in(&chief.entered).unwrap();
    let given = shown(&chief.phone.next(&stage));
    let off = two_step::switch_off(&stage.app, &signed_in, &given, &here()).await;
    assert_eq!(refused(off), (Kind::Conflict, "two_step_enforced"));
}

#[tokio::test]
async fn an_administrator_resets_anothers_factor_by_the_own_one() {
    let stage = Fixture::new().await;
    let ann = guarded(&stage, "ann", "operator").await;
    let plain = stage.member("plain", "administrator").await;
    let without = stage.sign_in("plain").await;
    let chief = guarded(&stage, "chief", "administrator").await;
    let app = &stage.app;
    let reset = |caller: Caller, who: &Member, given: Option<StepUpProof>| {
        let chosen = ChosenMember { id: who.id.clone(), expected: None };
        async move { two_step::reset(app, caller, chosen, given, here()).await }
    };
    let by_chief = || stage.caller(&chief.entered);
    let lacking = reset(stage.caller(&ann.entered), &plain, Some(shown(WRONG))).await;
    assert_eq!(refused(lacking), (Kind::Denied, "not_allowed"));
    let first =
        reset(stage.caller(&without), &ann.member, Some(StepUpProof::password(PASSWORD))).await;
    assert_eq!(refused(first), (Kind::Conflict, "own_factor_first"));
    let nothing = reset(by_chief(), &ann.member, None).await;
    assert_eq!(refused(nothing), (Kind::Denied, "password_missing"));
    let no_code = reset(by_chief(), &ann.member, Some(StepUpProof::password(PASSWORD))).await;
    assert_eq!(refused(no_code), (Kind::Denied, "code_missing"));
    let wrong = reset(by_chief(), &ann.member, Some(shown(WRONG))).await;
    assert_eq!(refused(wrong), (Kind::Denied, "wrong_code"));
    let own = reset(by_chief(), &chief.member, Some(shown(&chief.phone.next(&stage)))).await;
    assert_eq!(refused(own), (Kind::Conflict, "own_factor"));
    let none = reset(by_chief(), &plain, Some(shown(&chief.phone.next(&stage)))).await;
    assert_eq!(refused(none), (Kind::Conflict, "not_set_up"));
    assert!(stage.signed_in(&ann.entered).is_some(), "nothing has changed until here");

    let given = shown(&chief.phone.next(&stage));
    assert_eq!(reset(by_chief(), &ann.member, Some(given)).await.unwrap().value, 1);
    assert!(stage.signed_in(&ann.entered).is_none());
    assert!(!stage.stored(&ann.member.id).await.unwrap().two_step);
    assert_eq!(news(&stage.mails().await), [TwoStepEvent::Reset]);
    assert!(matches!(try_password(&stage, "ann", PASSWORD).await, SignInOutcome::Entered(_)));
    // The operator of the sidecar has no factor to show, and helps the last administrator.
    assert_eq!(reset(stage.operator(), &chief.member, None).await.unwrap().value, 1);
}

#[tokio::test]
async fn wrong_codes_are_slowed_down_told_and_ended() {
    let stage = Fixture::new().await;
    let ann = guarded(&stage, "ann", "operator").await;
    // Passwords and codes share one counter: a right password does not set it back.
    let stranger = ClientInfo { address: Some(IpAddr::from([198, 51, 100, 9])), ..here() };
    let attempt = |password: &str| stage.attempt("ann", password, stranger.clone());
    let mut waits = 0;
    let mut failures = 0_u32;
    let mut guessed = 0;
    while failures < limits::CODE_FAILURES_MAX {
        let begun = match sign_in::sign_in(&stage.app, attempt(PASSWORD)).await {
            Err(failure) if failure.kind == Kind::TooMany => {
                waits += 1;
                stage.later(i64::try_from(failure.retry_after.unwrap()).unwrap() * 1_000);
                continue;
            }
            done => done.unwrap(),
        };
        let SignInOutcome::SecondFactor(PendingSignIn { ticket, .. }) = begun else { panic!() };
        match sign_in::second_factor(&stage.app, &ticket, WRONG, stranger.clone()).await {
            Err(failure) if failure.code == "wrong_code" => failures += 1,
            other => panic!("{other:?} after {failures}"),
        }
        guessed +=
            news(&stage.mails().await).iter().filter(|it| **it == TwoStepEvent::Guessed).count();
    }
    assert!(waits > 90, "{waits} waits");
    assert_eq!(guessed, 1, "one mail, not a hundred");
    // From now on not even the right code, nor a recovery code, by this password.
    stage.later(25 * HOUR);
    let waiting = ticket(&stage, "ann").await;
    for code in [ann.phone.next(&stage), ann.recovery[0].clone()] {
        assert_eq!(refused(show(&stage, &waiting, &code).await), (Kind::Denied, "codes_locked"));
    }
    passwords::send_link(&stage.app, &stage.acme, &email("ann")).await.unwrap();
    let link = Fixture::link_of(&stage.mails().await);
    let new = "eleven purple kettles";
    passwords::reset_by_link(&stage.app, link.code.expose(), new, &here()).await.unwrap();
    let SignInOutcome::SecondFactor(PendingSignIn { ticket, .. }) =
        try_password(&stage, "ann", new).await
    else {
        panic!()
    };
    show(&stage, &ticket, &ann.phone.next(&stage)).await.unwrap();
}

#[tokio::test]
async fn with_other_keys_a_recovery_code_is_the_way_in() {
    let mut stage = Fixture::new().await;
    let ann = guarded(&stage, "ann", "operator").await;
    drop(ann.entered);
    let app = Arc::get_mut(&mut stage.app);
    let Some(app) = app else { panic!("somebody else holds the app") };
    app.keys = Keys::passing().unwrap();
    let waiting = ticket(&stage, "ann").await;
    let code = ann.phone.next(&stage);
    assert_eq!(refused(show(&stage, &waiting, &code).await), (Kind::Conflict, "factor_unreadable"));
    assert_eq!(reseal(&stage).await.unwrap(), (0, 1));
    show(&stage, &waiting, &ann.recovery[0]).await.unwrap();
}

#[tokio::test]
async fn secrets_are_put_under_a_new_key_and_open_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = Fixture::new().await;
    Arc::get_mut(&mut stage.app).unwrap().keys = Keys::open(folder.path()).unwrap();
    let ann = guarded(&stage, "ann", "operator").await;
    assert_eq!(reseal(&stage).await.unwrap(), (0, 0));
    Keys::rotate(folder.path()).unwrap();
    Arc::get_mut(&mut stage.app).unwrap().keys = Keys::open(folder.path()).unwrap();
    assert_eq!(reseal(&stage).await.unwrap(), (1, 0));
    std::fs::remove_file(folder.path().join("seal-1.key")).unwrap();
    Arc::get_mut(&mut stage.app).unwrap().keys = Keys::open(folder.path()).unwrap();
    let code = ann.phone.next(&stage);
    show(&stage, &ticket(&stage, "ann").await, &code).await.unwrap();
}

#[tokio::test]
async fn a_shorter_password_is_enough_where_everybody_shows_a_factor() {
    let stage = Fixture::new().await;
    let link = |mails: &[(Email, MailContent)]| Fixture::link_of(mails).code;
    stage.invite(stage.operator(), "ann", "operator").await.unwrap();
    let token = link(&stage.mails().await);
    let short = "vexed owl 7";
    let early = invites::accept(&stage.app, token.expose(), short).await;
    assert_eq!(refused(early).0, Kind::Invalid);
    enforce(&stage).await;
    invites::accept(&stage.app, token.expose(), short).await.unwrap();
    assert!(matches!(try_password(&stage, "ann", short).await, SignInOutcome::SetUp(_)));
}
