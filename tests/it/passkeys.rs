//! Passkeys: valid responses of an authenticator are accepted, all others refused.

use std::net::IpAddr;
use std::sync::Arc;

use kwic_team::domain::{Factors, Failure, Kind, Name, Passkey, TwoStepEvent, limits};
use kwic_team::password::PasswordHasher;
use kwic_team::services::client_info::ClientInfo;
use kwic_team::services::members::{self, ChosenMember};
use kwic_team::services::passkeys::{self, PasskeyAnswer, PasskeyPrompt};
use kwic_team::services::passwords;
use kwic_team::services::sign_in::{self, NewSignIn, SignInOutcome};
use kwic_team::services::step_up::StepUpProof;
use kwic_team::services::two_step;
use kwic_team::store::AuditFilter;
use kwic_team::throttle::LoginKey;
use serde_json::{Value, json};
use webauthn_authenticator_rs::WebauthnAuthenticator as _;
use webauthn_authenticator_rs::prelude::Url;
use webauthn_authenticator_rs::softpasskey::SoftPasskey;

use crate::support::api_fixture::ApiFixture;
use crate::support::fixture::{Fixture, HOUR, PASSWORD, email, refused};
use crate::support::virtual_authenticator::{
    BACKED_UP, BACKUP_ELIGIBLE, PRESENT, Says, VERIFIED, VirtualAuthenticator, bent, text,
};
use crate::two_step::{
    Guarded, WRONG, enforce, guarded, here, news, show, shown, ticket, try_password,
};

const ORIGIN: &str = "https://team.example.org";
const CREATE: &str = "webauthn.create";
const GET: &str = "webauthn.get";

async fn stage_at(address: &str) -> Fixture {
    let address = address.to_owned();
    Fixture::with(PasswordHasher::cheap().unwrap(), |config| {
        config.console.public_url = Some(address)
    })
    .await
}

async fn stage() -> Fixture {
    stage_at("https://team.example.org/console").await
}

fn name(text: &str) -> Name {
    Name::parse("name", text).unwrap()
}

fn options(asked: &PasskeyPrompt) -> Value {
    serde_json::to_value(&asked.options).unwrap()
}

fn answer(asked: &PasskeyPrompt, credential: &Value) -> PasskeyAnswer {
    PasskeyAnswer { challenge: asked.challenge.clone(), credential: credential.to_string() }
}

async fn begin(stage: &Fixture, who: &Guarded) -> Result<PasskeyPrompt, Failure> {
    let signed_in = stage.signed_in(&who.entered).unwrap();
    let given = shown(&who.phone.next(stage));
    passkeys::begin(&stage.app, &signed_in, &given, &here()).await
}

async fn confirm(
    stage: &Fixture,
    who: &Guarded,
    answer: PasskeyAnswer,
) -> Result<Passkey, Failure> {
    let signed_in = stage.signed_in(&who.entered).unwrap();
    let done = passkeys::confirm(&stage.app, &signed_in, &answer, name("ring")).await;
    done.map(|done| done.value)
}

async fn add(
    stage: &Fixture,
    who: &Guarded,
    device: &VirtualAuthenticator,
) -> Result<Passkey, Failure> {
    let asked = begin(stage, who).await?;
    let made = device.makes(&Says::truly(CREATE, ORIGIN, &options(&asked)));
    confirm(stage, who, answer(&asked, &made)).await
}

async fn remove(stage: &Fixture, who: &Guarded, passkey: &Passkey) -> Result<Passkey, Failure> {
    let signed_in = stage.signed_in(&who.entered).unwrap();
    let (id, given) = (passkey.id.clone(), shown(&who.phone.next(stage)));
    let done = passkeys::remove(&stage.app, &signed_in, id, &given, &here()).await;
    done.map(|done| done.value)
}

async fn sign_in(
    stage: &Fixture,
    ticket: &str,
    answer: PasskeyAnswer,
) -> Result<NewSignIn, Failure> {
    sign_in::by_passkey(&stage.app, ticket, answer, here()).await.map(|done| done.value)
}

/// Tries to sign in with what a device says when it is asked.
async fn tries(
    stage: &Fixture,
    who: &str,
    answers: impl FnOnce(Says) -> Value,
) -> Result<NewSignIn, Failure> {
    // Earlier attempts must not delay this one.
    stage.app.throttle.forget(LoginKey::new(&stage.acme, &email(who)));
    let ticket = ticket(stage, who).await;
    let asked = passkeys::ask(&stage.app, &ticket).await?;
    let given = answers(Says::truly(GET, ORIGIN, &options(&asked)));
    sign_in(stage, &ticket, answer(&asked, &given)).await
}

async fn kept(stage: &Fixture, who: &Guarded) -> Vec<Passkey> {
    stage.app.store.factors(&who.member.id).await.unwrap().passkeys
}

/// The last event of the account except delivery reports, with its data.
async fn last_event(stage: &Fixture) -> (String, String) {
    let filter = AuditFilter::default();
    let page = stage.app.store.audit(Some(&stage.acme), &filter, None, 1_000).await.unwrap();
    let last = page.items.iter().rfind(|entry| !entry.event.starts_with("mail_")).unwrap();
    (last.event.clone(), format!("{:?}", last.detail))
}

const WRONG_PASSKEY: (Kind, &str) = (Kind::Denied, "wrong_passkey");
const DEAD: (Kind, &str) = (Kind::Conflict, "challenge_dead");

#[tokio::test]
async fn an_authenticator_of_other_hands_signs_in_in_the_place_of_a_code() {
    let stage = stage().await;
    let ann = guarded(&stage, "ann", "operator").await;
    let origin = Url::parse(ORIGIN).unwrap();
    let mut soft = SoftPasskey::new(true);
    let asked = begin(&stage, &ann).await.unwrap();
    let told = options(&asked);
    assert_eq!(told["publicKey"]["rp"], json!({"id": "team.example.org", "name": "KWIC"}));
    assert_eq!(told["publicKey"]["user"]["name"], "ann@example.org");
    assert!(told["publicKey"]["hints"].is_null(), "any kind of authenticator: {told}");
    assert_eq!(told["publicKey"]["timeout"], 300_000);
    assert!(told["publicKey"]["extensions"].is_null(), "Chromium takes not all of them: {told}");
    let made = soft.do_registration(origin.clone(), serde_json::from_value(told).unwrap());
    let made = serde_json::to_value(made.unwrap()).unwrap();
    let passkey = confirm(&stage, &ann, answer(&asked, &made)).await.unwrap();
    assert_eq!((passkey.name.as_str(), passkey.used), ("ring", None));
    assert_eq!(news(&stage.mails().await), [TwoStepEvent::PasskeyAdded]);
    assert_eq!(last_event(&stage).await.0, "passkey_added");
    assert!(stage.signed_in(&ann.entered).is_some());

    stage.later(HOUR);
    let SignInOutcome::SecondFactor(waiting) = try_password(&stage, "ann", PASSWORD).await else {
        panic!("a session without a factor")
    };
    assert!(waiting.passkeys);
    let asked = passkeys::ask(&stage.app, &waiting.ticket).await.unwrap();
    let told = serde_json::from_value(options(&asked)).unwrap();
    let signed = soft.do_authentication(origin, told).unwrap();
    let signed = answer(&asked, &serde_json::to_value(signed).unwrap());
    let again = PasskeyAnswer {
        challenge: signed.challenge.clone(),
        credential: signed.credential.clone(),
    };
    let entered = sign_in(&stage, &waiting.ticket, signed).await.unwrap();
    assert!(stage.signed_in(&entered).is_some());
    let (event, said) = last_event(&stage).await;
    assert!(event == "authn_login_success" && said.contains("passkey"), "{event} {said}");
    let own = kept(&stage, &ann).await;
    assert_eq!(own[0].used, Some(stage.app.clock.now()));
    assert_ne!(own[0].credential, passkey.credential, "its counter has risen");
    // Once.
    let twice = sign_in(&stage, &waiting.ticket, again).await;
    assert_eq!(refused(twice), (Kind::Unauthenticated, "ticket_dead"));
    // A code goes on working.
    let code = ann.phone.next(&stage);
    show(&stage, &ticket(&stage, "ann").await, &code).await.unwrap();
}

#[tokio::test]
async fn a_new_authenticator_that_lies_is_not_kept() {
    let stage = stage().await;
    let ann = guarded(&stage, "ann", "operator").await;
    let asked = begin(&stage, &ann).await.unwrap();
    let device = VirtualAuthenticator::new(1);
    let truth = Says::truly(CREATE, ORIGIN, &options(&asked));
    let but = |change: fn(&mut Says)| {
        let mut says = truth.clone();
        change(&mut says);
        device.makes(&says)
    };
    let member = |path: &str, value: Value| {
        let mut made = device.makes(&truth);
        *made.pointer_mut(path).unwrap() = value;
        made
    };
    let lies = [
        but(|says| says.origin = "https://team.example.net".into()),
        but(|says| says.origin = "http://team.example.org".into()),
        but(|says| says.origin = "https://team.example.org:8443".into()),
        but(|says| says.origin = "https://evil.team.example.org".into()),
        but(|says| says.origin = "https://example.org".into()),
        but(|says| says.relying_party = "example.org".into()),
        but(|says| says.kind = GET),
        but(|says| says.challenge = text(&[7; 32])),
        but(|says| says.challenge.clear()),
        but(|says| says.cross_origin = true),
        but(|says| says.flags = 0),
        but(|says| says.flags = PRESENT | BACKED_UP),
        // An algorithm that nobody asked for: -37, PS256, in CBOR.
        but(|says| says.algorithm = 0x2a),
        // No point of the curve.
        bent(device.makes(&truth), "attestationObject", 0),
        member("/response/attestationObject", text(b"\xa1\x63fmt\x64none").into()),
        member("/response/attestationObject", text(&[0xff; 600]).into()),
        member("/response/attestationObject", "".into()),
        member("/response/clientDataJSON", text(b"{}").into()),
        member("/response/clientDataJSON", text(b"\xff").into()),
    ];
    for (place, lie) in lies.iter().enumerate() {
        let taken = confirm(&stage, &ann, answer(&asked, lie)).await;
        assert_eq!(refused(taken), WRONG_PASSKEY, "lie {place}: {lie}");
    }
    for nonsense in [
        json!({}),
        json!([]),
        member("/response", json!({})),
        member("/rawId", 7.into()),
        member("/rawId", "*".into()),
        member("/response/attestationObject", json!(null)),
    ] {
        let taken = confirm(&stage, &ann, answer(&asked, &nonsense)).await;
        assert_eq!(refused(taken).0, Kind::Invalid, "{nonsense}");
    }
    let long = device.clone().named(&[9; 3_500]).makes(&truth);
    assert!(confirm(&stage, &ann, answer(&asked, &long)).await.is_err(), "a credential of 3 KiB");
    assert!(kept(&stage, &ann).await.is_empty());
    assert_eq!(news(&stage.mails().await), []);
    // The same question, answered truly, and with more than anybody asked for.
    let mut made = device.makes(&truth);
    made["response"]["publicKeyAlgorithm"] = json!(-7);
    made["later"] = json!({"a": [null, 1.5]});
    confirm(&stage, &ann, answer(&asked, &made)).await.unwrap();
}

#[tokio::test]
async fn an_authenticator_that_lies_does_not_sign_in() {
    let stage = stage().await;
    let ann = guarded(&stage, "ann", "operator").await;
    let (device, other) = (VirtualAuthenticator::new(1), VirtualAuthenticator::new(2));
    add(&stage, &ann, &device).await.unwrap();
    let lies: [fn(&mut Says); 12] = [
        |says| says.origin = "https://team.example.net".into(),
        |says| says.origin = "http://team.example.org".into(),
        |says| says.origin = "https://team.example.org:8443".into(),
        |says| says.origin = "https://evil.team.example.org".into(),
        |says| says.origin = "null".into(),
        |says| says.relying_party = "example.org".into(),
        |says| says.kind = CREATE,
        |says| says.challenge = text(&[7; 32]),
        |says| says.challenge.clear(),
        |says| says.flags = 0,
        // It was not eligible for a backup when it was added.
        |says| says.flags = PRESENT | BACKUP_ELIGIBLE,
        |says| says.flags = PRESENT | BACKED_UP,
    ];
    let mut failures = 0;
    for (place, lie) in lies.iter().enumerate() {
        let tried = tries(&stage, "ann", |mut says| {
            says.counter = 100;
            lie(&mut says);
            device.signs(&says)
        });
        assert_eq!(refused(tried.await), WRONG_PASSKEY, "lie {place}");
        failures += 1;
        let factors = stage.app.store.factors(&ann.member.id).await.unwrap();
        assert_eq!(factors.failures, failures, "lie {place}");
    }
    // Bent on the way, after it was signed.
    for (member, from_end) in [("signature", 0), ("authenticatorData", 0), ("clientDataJSON", 1)] {
        let tried = tries(&stage, "ann", |says| bent(device.signs(&says), member, from_end)).await;
        assert!(tried.is_err(), "{member}");
    }
    // Another key under the name of this credential; a credential of nobody.
    let posing = other.clone().named(&device.id);
    for stranger in [posing, other] {
        let tried = tries(&stage, "ann", |says| stranger.signs(&says)).await;
        assert_eq!(refused(tried), WRONG_PASSKEY);
    }
    let entered = tries(&stage, "ann", |says| device.signs(&says)).await.unwrap();
    assert!(stage.signed_in(&entered).is_some());
    let factors = stage.app.store.factors(&ann.member.id).await.unwrap();
    assert_eq!(factors.failures, 0);
    let told = news(&stage.mails().await);
    assert_eq!(told, [TwoStepEvent::PasskeyAdded, TwoStepEvent::Guessed], "after ten");
}

#[tokio::test]
async fn a_passkey_of_another_member_opens_nothing() {
    let stage = stage().await;
    let (ann, bo) =
        (guarded(&stage, "ann", "operator").await, guarded(&stage, "bo", "operator").await);
    let (of_ann, of_bo) = (VirtualAuthenticator::new(1), VirtualAuthenticator::new(2));
    add(&stage, &ann, &of_ann).await.unwrap();
    add(&stage, &bo, &of_bo).await.unwrap();
    let tried = tries(&stage, "ann", |says| of_bo.signs(&says)).await;
    assert_eq!(refused(tried), WRONG_PASSKEY);
    // Bo's question, truly answered by Bo's device, under Ann's ticket.
    let (his, hers) = (ticket(&stage, "bo").await, ticket(&stage, "ann").await);
    let asked = passkeys::ask(&stage.app, &his).await.unwrap();
    let signed = || of_bo.signs(&Says::truly(GET, ORIGIN, &options(&asked)));
    let crossed = sign_in(&stage, &hers, answer(&asked, &signed())).await;
    assert_eq!(refused(crossed), DEAD);
    let entered = sign_in(&stage, &his, answer(&asked, &signed())).await.unwrap();
    assert_eq!(entered.member.id, bo.member.id);
    // A question for adding one, answered for another.
    let asked = begin(&stage, &ann).await.unwrap();
    let made = VirtualAuthenticator::new(3).makes(&Says::truly(CREATE, ORIGIN, &options(&asked)));
    assert_eq!(refused(confirm(&stage, &bo, answer(&asked, &made)).await), DEAD);
}

#[tokio::test]
async fn a_challenge_is_for_one_purpose_one_time_and_five_minutes() {
    let stage = stage().await;
    let ann = guarded(&stage, "ann", "operator").await;
    let device = VirtualAuthenticator::new(1);
    let life = i64::try_from(limits::PASSKEY_LIFETIME.as_millis()).unwrap();
    let made = |asked: &PasskeyPrompt| {
        let made = device.makes(&Says::truly(CREATE, ORIGIN, &options(asked)));
        answer(asked, &made)
    };
    let signed = |asked: &PasskeyPrompt, counter| {
        let says = Says { counter, ..Says::truly(GET, ORIGIN, &options(asked)) };
        answer(asked, &device.signs(&says))
    };
    // Adding: too late; after a code was used for something else; twice; bent.
    let asked = begin(&stage, &ann).await.unwrap();
    stage.later(life);
    assert_eq!(refused(confirm(&stage, &ann, made(&asked)).await), DEAD, "too late");
    let asked = begin(&stage, &ann).await.unwrap();
    let code = ann.phone.next(&stage);
    show(&stage, &ticket(&stage, "ann").await, &code).await.unwrap();
    assert_eq!(refused(confirm(&stage, &ann, made(&asked)).await), DEAD, "a code was used");
    let asked = begin(&stage, &ann).await.unwrap();
    for bent in
        ["", "x", &asked.challenge[1..], &format!("{}A", asked.challenge), &"A".repeat(70_000)]
    {
        let bent = PasskeyAnswer { challenge: bent.to_owned(), ..made(&asked) };
        assert_eq!(refused(confirm(&stage, &ann, bent).await), DEAD);
    }
    stage.later(life - 1);
    confirm(&stage, &ann, made(&asked)).await.unwrap();
    let passkey = kept(&stage, &ann).await.remove(0);
    remove(&stage, &ann, &passkey).await.unwrap();
    assert_eq!(refused(confirm(&stage, &ann, made(&asked)).await), DEAD, "twice");
    add(&stage, &ann, &device).await.unwrap();

    // Signing in: the same.
    let waiting = ticket(&stage, "ann").await;
    let asked = passkeys::ask(&stage.app, &waiting).await.unwrap();
    stage.later(life);
    assert_eq!(refused(sign_in(&stage, &waiting, signed(&asked, 5)).await), DEAD, "too late");
    let asked = passkeys::ask(&stage.app, &waiting).await.unwrap();
    sign_in(&stage, &waiting, signed(&asked, 5)).await.unwrap();
    let next = ticket(&stage, "ann").await;
    let old = signed(&asked, 6);
    assert_eq!(refused(sign_in(&stage, &next, old).await), DEAD, "of an earlier sign-in");
    let new = passkeys::ask(&stage.app, &next).await.unwrap();
    let old = PasskeyAnswer { credential: signed(&asked, 6).credential, ..signed(&new, 6) };
    assert_eq!(refused(sign_in(&stage, &next, old).await), WRONG_PASSKEY, "an earlier answer");
    // One for signing in adds nothing, and one for adding signs nobody in.
    let fresh = VirtualAuthenticator::new(2);
    let fresh = fresh.makes(&Says::truly(CREATE, ORIGIN, &options(&new)));
    assert_eq!(refused(confirm(&stage, &ann, answer(&new, &fresh)).await), DEAD);
    let adding = begin(&stage, &ann).await.unwrap();
    stage.later(60_000);
    let next = ticket(&stage, "ann").await;
    assert_eq!(refused(sign_in(&stage, &next, signed(&adding, 7)).await), DEAD);
}

#[tokio::test]
async fn a_counter_that_goes_back_is_refused_and_told() {
    let stage = stage().await;
    let ann = guarded(&stage, "ann", "operator").await;
    let device = VirtualAuthenticator::new(1);
    add(&stage, &ann, &device).await.unwrap();
    let at = |counter| {
        let device = device.clone();
        move |says: Says| device.signs(&Says { counter, ..says })
    };
    tries(&stage, "ann", at(7)).await.unwrap();
    stage.mails().await;
    let before = kept(&stage, &ann).await;
    for counter in [6, 7, 0] {
        let copied = tries(&stage, "ann", at(counter)).await;
        assert_eq!(refused(copied), (Kind::Denied, "passkey_copied"), "{counter}");
        assert_eq!(news(&stage.mails().await), [TwoStepEvent::PasskeyCopied]);
        assert_eq!(last_event(&stage).await.0, "passkey_copied");
    }
    assert_eq!(kept(&stage, &ann).await, before);
    assert_eq!(stage.app.store.factors(&ann.member.id).await.unwrap().failures, 3);
    tries(&stage, "ann", at(8)).await.unwrap();
    // One that does not count at all is no copy.
    stage.mails().await;
    let bo = guarded(&stage, "bo", "operator").await;
    let still = VirtualAuthenticator::new(2);
    let asked = begin(&stage, &bo).await.unwrap();
    let says = Says { counter: 0, ..Says::truly(CREATE, ORIGIN, &options(&asked)) };
    confirm(&stage, &bo, answer(&asked, &still.makes(&says))).await.unwrap();
    for _ in 0..2 {
        tries(&stage, "bo", |says| still.signs(&Says { counter: 0, ..says })).await.unwrap();
    }
}

#[tokio::test]
async fn one_that_asked_for_a_pin_when_it_was_added_asks_again() {
    let stage = stage().await;
    let ann = guarded(&stage, "ann", "operator").await;
    let device = VirtualAuthenticator::new(1);
    let asked = begin(&stage, &ann).await.unwrap();
    let says = Says::truly(CREATE, ORIGIN, &options(&asked));
    let made = device.makes(&Says { flags: PRESENT | VERIFIED, ..says });
    confirm(&stage, &ann, answer(&asked, &made)).await.unwrap();
    for (flags, why) in [(PRESENT, "did not verify that it is you"), (VERIFIED, "was not accepted")]
    {
        let tried = tries(&stage, "ann", |says| device.signs(&Says { flags, ..says })).await;
        let failure = tried.unwrap_err();
        assert!(failure.public.contains(why), "{failure}");
        assert_eq!((failure.kind, failure.code), WRONG_PASSKEY, "{flags}");
    }
    assert_eq!(stage.app.store.factors(&ann.member.id).await.unwrap().failures, 2);
    let flags = PRESENT | VERIFIED;
    tries(&stage, "ann", |says| device.signs(&Says { flags, ..says })).await.unwrap();
}

#[tokio::test]
async fn adding_and_removing_end_the_other_sessions_and_are_told() {
    let stage = stage().await;
    let ann = guarded(&stage, "ann", "operator").await;
    let other = async || {
        let code = ann.phone.next(&stage);
        show(&stage, &ticket(&stage, "ann").await, &code).await.unwrap()
    };
    let before = other().await;
    let passkey = add(&stage, &ann, &VirtualAuthenticator::new(1)).await.unwrap();
    assert!(stage.signed_in(&before).is_none() && stage.signed_in(&ann.entered).is_some());
    assert_eq!(news(&stage.mails().await), [TwoStepEvent::PasskeyAdded]);
    let before = other().await;
    remove(&stage, &ann, &passkey).await.unwrap();
    assert!(stage.signed_in(&before).is_none() && stage.signed_in(&ann.entered).is_some());
    assert_eq!(news(&stage.mails().await), [TwoStepEvent::PasskeyRemoved]);
    assert_eq!(last_event(&stage).await.0, "passkey_removed");
}

#[tokio::test]
async fn a_new_password_by_mail_does_not_go_past_a_passkey() {
    let stage = stage().await;
    let ann = guarded(&stage, "ann", "operator").await;
    let device = VirtualAuthenticator::new(1);
    add(&stage, &ann, &device).await.unwrap();
    stage.mails().await;
    let signed = |asked: &PasskeyPrompt| {
        answer(asked, &device.signs(&Says::truly(GET, ORIGIN, &options(asked))))
    };
    let old = ticket(&stage, "ann").await;
    let asked = passkeys::ask(&stage.app, &old).await.unwrap();
    passwords::send_link(&stage.app, &stage.acme, &email("ann")).await.unwrap();
    let link = Fixture::link_of(&stage.mails().await);
    let new = "eleven purple kettles";
    passwords::reset_by_link(&stage.app, link.code.expose(), new, &here()).await.unwrap();
    let by_old = sign_in(&stage, &old, signed(&asked)).await;
    assert_eq!(refused(by_old), (Kind::Unauthenticated, "sign_in_refused"));
    assert!(stage.app.store.sessions_of(&ann.member.id).await.unwrap().is_empty());
    let SignInOutcome::SecondFactor(waiting) = try_password(&stage, "ann", new).await else {
        panic!("a session without a factor")
    };
    assert!(waiting.passkeys);
    let asked = passkeys::ask(&stage.app, &waiting.ticket).await.unwrap();
    sign_in(&stage, &waiting.ticket, signed(&asked)).await.unwrap();
}

#[tokio::test]
async fn where_a_factor_is_enforced_a_passkey_is_never_the_last_one() {
    let stage = stage().await;
    let ann = guarded(&stage, "ann", "operator").await;
    let device = VirtualAuthenticator::new(1);
    let passkey = add(&stage, &ann, &device).await.unwrap();
    enforce(&stage).await;
    // The app stays as long as it is enforced, so what is left is never a passkey alone.
    let signed_in = stage.signed_in(&ann.entered).unwrap();
    let given = shown(&ann.phone.next(&stage));
    let off = two_step::switch_off(&stage.app, &signed_in, &given, &here()).await;
    assert_eq!(refused(off), (Kind::Conflict, "two_step_enforced"));
    assert_eq!(kept(&stage, &ann).await, std::slice::from_ref(&passkey));
    // And a passkey that goes leaves the app.
    remove(&stage, &ann, &passkey).await.unwrap();
    let factors = stage.app.store.factors(&ann.member.id).await.unwrap();
    assert!(factors.authenticator.is_some() && factors.passkeys.is_empty());
    let tried = tries(&stage, "ann", |says| device.signs(&says)).await;
    assert_eq!(refused(tried), (Kind::Conflict, "no_passkey"));
    let code = ann.phone.next(&stage);
    show(&stage, &ticket(&stage, "ann").await, &code).await.unwrap();
}

#[tokio::test]
async fn a_credential_has_one_owner() {
    let stage = stage().await;
    let (ann, bo) =
        (guarded(&stage, "ann", "operator").await, guarded(&stage, "bo", "operator").await);
    let device = VirtualAuthenticator::new(1);
    let passkey = add(&stage, &ann, &device).await.unwrap();
    let known = (Kind::Conflict, "passkey_known");
    assert_eq!(refused(add(&stage, &bo, &device).await), known);
    // Another key with a credential id that is in use: the existing one stays.
    let posing = VirtualAuthenticator::new(2).named(&device.id);
    assert_eq!(refused(add(&stage, &bo, &posing).await), known);
    // The browser was asked to exclude the owner's credentials; one that does not is refused.
    let asked = begin(&stage, &ann).await.unwrap();
    let excluded = options(&asked)["publicKey"]["excludeCredentials"].clone();
    assert_eq!(excluded[0]["id"], text(&device.id), "{excluded}");
    let made = device.makes(&Says::truly(CREATE, ORIGIN, &options(&asked)));
    assert!(confirm(&stage, &ann, answer(&asked, &made)).await.is_err());
    assert_eq!(kept(&stage, &ann).await, std::slice::from_ref(&passkey));
    assert!(kept(&stage, &bo).await.is_empty());

    // It is free again once it is removed, its owner's factor is reset, or its owner is gone.
    remove(&stage, &ann, &passkey).await.unwrap();
    assert_eq!(refused(remove(&stage, &ann, &passkey).await), (Kind::NotFound, "unknown_passkey"));
    let passkey = add(&stage, &bo, &device).await.unwrap();
    let others = remove(&stage, &ann, &passkey).await;
    assert_eq!(refused(others), (Kind::NotFound, "unknown_passkey"));
    let of_bo = || ChosenMember { id: bo.member.id.clone(), expected: None };
    two_step::reset(&stage.app, stage.operator(), of_bo(), None, here()).await.unwrap();
    assert!(kept(&stage, &bo).await.is_empty());
    add(&stage, &ann, &device).await.unwrap();
    let of_ann = ChosenMember { id: ann.member.id.clone(), expected: None };
    members::remove(&stage.app, stage.operator(), of_ann).await.unwrap();
    assert!(kept(&stage, &ann).await.is_empty());
    stage.mails().await;
    let cy = guarded(&stage, "cy", "operator").await;
    add(&stage, &cy, &device).await.unwrap();
}

#[tokio::test]
async fn passkeys_stand_beside_an_authenticator_app_only() {
    let stage = stage().await;
    let app = &stage.app;
    stage.member("plain", "operator").await;
    let plain = stage.sign_in("plain").await;
    let signed_in = stage.signed_in(&plain).unwrap();
    let early = passkeys::begin(app, &signed_in, &StepUpProof::password(PASSWORD), &here()).await;
    assert_eq!(refused(early), (Kind::Conflict, "not_set_up"));

    let ann = guarded(&stage, "ann", "operator").await;
    let signed_in = stage.signed_in(&ann.entered).unwrap();
    let used = ann.phone.shows(&stage, 0);
    let device = VirtualAuthenticator::new(1);
    let passkey = add(&stage, &ann, &device).await.unwrap();
    for (given, code) in [
        (StepUpProof::password(PASSWORD), "code_missing"),
        (shown(WRONG), "wrong_code"),
        (shown(&used), "wrong_code"),
        (StepUpProof { password: "not this one at all".into(), code: None }, "wrong_password"),
    ] {
        let added = passkeys::begin(app, &signed_in, &given, &here()).await;
        assert_eq!(refused(added), (Kind::Denied, code));
        stage.later(10_000);
        let id = passkey.id.clone();
        let removed = passkeys::remove(app, &signed_in, id, &given, &here()).await;
        assert_eq!(refused(removed), (Kind::Denied, code));
        stage.later(10_000);
    }
    assert_eq!(kept(&stage, &ann).await.len(), 1);
    // Another app leaves them where they are.
    let given = shown(&ann.phone.next(&stage));
    let told = two_step::begin(app, &signed_in, &given, &here()).await.unwrap();
    let phone = crate::two_step::Phone::of(&told.secret);
    let code = phone.shows(&stage, 0);
    let done = two_step::confirm(app, &signed_in, &code, &here()).await.unwrap().value;
    tries(&stage, "ann", |says| device.signs(&Says { counter: 9, ..says })).await.unwrap();
    // They go with it.
    let signed_in = stage.signed_in(&done.entered).unwrap();
    let given = shown(&phone.next(&stage));
    two_step::switch_off(app, &signed_in, &given, &here()).await.unwrap();
    assert!(kept(&stage, &ann).await.is_empty());
    assert!(matches!(try_password(&stage, "ann", PASSWORD).await, SignInOutcome::Entered(_)));
}

#[tokio::test]
async fn a_member_has_ten_passkeys_at_most() {
    let stage = stage().await;
    let ann = guarded(&stage, "ann", "operator").await;
    for number in 1..=u8::try_from(limits::PASSKEYS_MAX).unwrap() {
        add(&stage, &ann, &VirtualAuthenticator::new(number)).await.unwrap();
    }
    let more = add(&stage, &ann, &VirtualAuthenticator::new(99)).await;
    assert_eq!(refused(more), (Kind::Conflict, "too_many_passkeys"));
    // The last one signs in: a challenge for all of them is not too long.
    let last = VirtualAuthenticator::new(u8::try_from(limits::PASSKEYS_MAX).unwrap());
    tries(&stage, "ann", |says| last.signs(&Says { counter: 2, ..says })).await.unwrap();
}

#[tokio::test]
async fn at_an_address_without_a_name_passkeys_are_not_offered() {
    for address in ["http://127.0.0.1:8080", "https://192.0.2.7/console"] {
        let stage = stage_at(address).await;
        let ann = guarded(&stage, "ann", "operator").await;
        let failure = begin(&stage, &ann).await.unwrap_err();
        assert_eq!((failure.kind, failure.code), (Kind::Conflict, "passkeys_not_offered"));
        assert!(failure.public.contains("`console.public_url`"), "{failure}");
        let waiting = ticket(&stage, "ann").await;
        let asked = passkeys::ask(&stage.app, &waiting).await;
        assert_eq!(refused(asked), (Kind::Conflict, "no_passkey"));
    }
    // Where the console moves to one, sign-in does not offer what cannot be shown.
    let mut stage = stage().await;
    let ann = guarded(&stage, "ann", "operator").await;
    add(&stage, &ann, &VirtualAuthenticator::new(1)).await.unwrap();
    let app = Arc::get_mut(&mut stage.app).unwrap();
    app.links = kwic_team::app::ConsoleUrls::new("https://192.0.2.7");
    let SignInOutcome::SecondFactor(waiting) = try_password(&stage, "ann", PASSWORD).await else {
        panic!("a session without a factor")
    };
    assert!(!waiting.passkeys);
    let asked = passkeys::ask(&stage.app, &waiting.ticket).await;
    assert_eq!(refused(asked), (Kind::Conflict, "passkeys_not_offered"));
}

#[tokio::test]
async fn wrong_passkeys_and_wrong_codes_share_one_counter() {
    let stage = stage().await;
    let ann = guarded(&stage, "ann", "operator").await;
    let device = VirtualAuthenticator::new(1);
    add(&stage, &ann, &device).await.unwrap();
    let early = passkeys::ask(&stage.app, &ticket(&stage, "ann").await).await.unwrap();
    for _ in 0..limits::CODE_FAILURES_MAX / 2 {
        let tried = tries(&stage, "ann", |says| device.signs(&Says { flags: 0, ..says })).await;
        assert_eq!(refused(tried), WRONG_PASSKEY);
        stage.app.throttle.forget(LoginKey::new(&stage.acme, &email("ann")));
        let code = show(&stage, &ticket(&stage, "ann").await, WRONG).await;
        assert_eq!(refused(code), (Kind::Denied, "wrong_code"));
    }
    let locked = (Kind::Denied, "codes_locked");
    let tried = tries(&stage, "ann", |says| device.signs(&Says { counter: 9, ..says })).await;
    assert_eq!(refused(tried), locked);
    // Nor is anything asked, or judged that was asked before.
    let waiting = ticket(&stage, "ann").await;
    assert_eq!(refused(passkeys::ask(&stage.app, &waiting).await), locked);
    let says = Says { flags: 0, ..Says::truly(GET, ORIGIN, &options(&early)) };
    let late = sign_in(&stage, &waiting, answer(&early, &device.signs(&says))).await;
    assert_eq!(refused(late), locked);
    // And the next try after a wrong one waits.
    stage.mails().await;
    let bo = guarded(&stage, "bo", "operator").await;
    let device = VirtualAuthenticator::new(2);
    add(&stage, &bo, &device).await.unwrap();
    let from = || ClientInfo { address: Some(IpAddr::from([198, 51, 100, 9])), ..here() };
    let waiting = ticket(&stage, "bo").await;
    let mut waits = 0;
    for _ in 0..20 {
        let asked = passkeys::ask(&stage.app, &waiting).await.unwrap();
        let says = Says { flags: 0, ..Says::truly(GET, ORIGIN, &options(&asked)) };
        let given = answer(&asked, &device.signs(&says));
        let tried = sign_in::by_passkey(&stage.app, &waiting, given, from()).await;
        waits += usize::from(refused(tried).0 == Kind::TooMany);
    }
    assert!(waits > 10, "{waits} waits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_at_once_with_one_answer_are_one_session() {
    let stage = stage().await;
    let ann = guarded(&stage, "ann", "operator").await;
    // It does not count: nothing but the round keeps its answer from being taken twice.
    let device = VirtualAuthenticator::new(1);
    let asked = begin(&stage, &ann).await.unwrap();
    let says = Says { counter: 0, ..Says::truly(CREATE, ORIGIN, &options(&asked)) };
    confirm(&stage, &ann, answer(&asked, &device.makes(&says))).await.unwrap();
    let before = stage.app.store.sessions_of(&ann.member.id).await.unwrap().len();
    let ticket = ticket(&stage, "ann").await;
    let asked = passkeys::ask(&stage.app, &ticket).await.unwrap();
    let says = Says { counter: 0, ..Says::truly(GET, ORIGIN, &options(&asked)) };
    let signed = device.signs(&says);
    let tries: Vec<_> = (0..50_u8)
        .map(|place| {
            let from = ClientInfo { address: Some(IpAddr::from([198, 51, place, 1])), ..here() };
            let (app, ticket) = (Arc::clone(&stage.app), ticket.clone());
            let given = answer(&asked, &signed);
            tokio::spawn(
                async move { sign_in::by_passkey(&app, &ticket, given, from).await.is_ok() },
            )
        })
        .collect();
    let mut won = 0;
    for tried in tries {
        won += usize::from(tried.await.unwrap());
    }
    assert_eq!(won, 1);
    let after = stage.app.store.sessions_of(&ann.member.id).await.unwrap().len();
    assert_eq!(after, before + 1);
}

#[tokio::test]
async fn two_at_once_add_one_credential_once() {
    let stage = stage().await;
    let ann = guarded(&stage, "ann", "operator").await;
    let asked = begin(&stage, &ann).await.unwrap();
    let says = Says::truly(CREATE, ORIGIN, &options(&asked));
    let (one, two) =
        (VirtualAuthenticator::new(1).makes(&says), VirtualAuthenticator::new(2).makes(&says));
    let (one, two) = tokio::join!(
        confirm(&stage, &ann, answer(&asked, &one)),
        confirm(&stage, &ann, answer(&asked, &two)),
    );
    assert_eq!(usize::from(one.is_ok()) + usize::from(two.is_ok()), 1);
    assert_eq!(kept(&stage, &ann).await.len(), 1);
}

#[tokio::test]
async fn the_calls_as_a_browser_makes_them() {
    let at = |config: &mut kwic_team::config::Config| {
        config.console.public_url = Some("http://localhost".to_owned());
    };
    let console = ApiFixture::with(at).await;
    let stage = &console.stage;
    let ann = guarded(stage, "ann", "operator").await;
    let cookie = format!("__Host-kwic_session={}", ann.entered.token.expose());
    let person = crate::support::api_fixture::Person { console: &console, cookie };
    let device = VirtualAuthenticator::new(1);
    let origin = "http://localhost";

    console.anybody("GET /me/passkeys", &Value::Null).await.problem(401, "not_signed_in");
    assert_eq!(person.get("/me/passkeys").await.is(200)["items"], json!([]));
    let shown = |code: &str| json!({"password": PASSWORD, "code": code});
    person.call("POST /me/passkeys", &shown(WRONG)).await.problem(403, "wrong_code");
    stage.later(HOUR / 6);
    let asked = person.call("POST /me/passkeys", &shown(&ann.phone.next(stage))).await.is(200);
    let made = device.makes(&Says::truly(CREATE, origin, &asked["options"]));
    let body = |credential: &Value| json!({"challenge": asked["challenge"], "name": "ring", "credential": credential});
    let confirm = async |body: &Value| person.call("POST /me/passkeys/confirm", body).await;
    let mut more = body(&made);
    more["more"] = json!(1);
    assert_eq!(confirm(&more).await.problem(400, "invalid")["fields"][0]["field"], "more");
    let mut large = made.clone();
    large["more"] = json!("x".repeat(limits::PASSKEY_ANSWER_BYTES_MAX));
    for odd in [json!("{}"), json!(null), json!([]), json!({}), large] {
        let problem = confirm(&body(&odd)).await.problem(400, "invalid");
        assert_eq!(problem["fields"][0]["field"], "credential", "{problem}");
    }
    let added = confirm(&body(&made)).await.is(201);
    let listed = person.get("/me/passkeys").await.is(200);
    assert_eq!(listed["items"][0]["id"], added["id"]);
    let fields: Vec<&String> = listed["items"][0].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["id", "name", "created", "used"], "no key, no counter");

    let login = json!({"account": "acme", "email": "ann@example.org", "password": PASSWORD});
    let half = console.anybody("POST /sign-in", &login).await.is(200);
    assert_eq!((&half["state"], &half["passkeys"]), (&json!("second_factor"), &json!(true)));
    let by_ticket = json!({"ticket": half["ticket"]});
    let asked = console.anybody("POST /sign-in/passkey", &by_ticket).await.is(200);
    let signed = device.signs(&Says { counter: 2, ..Says::truly(GET, origin, &asked["options"]) });
    let body = |credential: &Value| json!({"ticket": half["ticket"], "challenge": asked["challenge"], "credential": credential});
    let bent = bent(signed.clone(), "signature", 0);
    let wrong = console.anybody("POST /sign-in/passkey/confirm", &body(&bent)).await;
    wrong.problem(403, "wrong_passkey");
    assert_eq!(wrong.header("set-cookie"), None);
    stage.later(HOUR / 60);
    let entered = console.anybody("POST /sign-in/passkey/confirm", &body(&signed)).await;
    assert_eq!(entered.is(200)["state"], "signed_in");
    let person =
        crate::support::api_fixture::Person { console: &console, cookie: entered.cookie() };
    let me = person.get("/me").await.is(200);
    assert_eq!(me["two_step"], true);
    let path = format!("DELETE /me/passkeys/{}", added["id"].as_str().unwrap());
    person.call(&path, &json!({"password": PASSWORD})).await.problem(403, "code_missing");
    let gone = person.call(&path, &shown(&ann.phone.next(stage))).await.is(200);
    assert_eq!(gone["name"], "ring");
    let path = "DELETE /me/passkeys/s00000000000000000000000000";
    person.call(path, &shown(WRONG)).await.problem(404, "unknown_passkey");
}

#[tokio::test]
async fn a_member_sees_which_passkeys_there_are_and_erasing_leaves_none() {
    let console =
        ApiFixture::with(|config| config.console.public_url = Some(ORIGIN.to_owned())).await;
    let stage = &console.stage;
    let ann = guarded(stage, "ann", "operator").await;
    let device = VirtualAuthenticator::new(1);
    add(stage, &ann, &device).await.unwrap();
    tries(stage, "ann", |says| device.signs(&says)).await.unwrap();
    let cookie = format!("__Host-kwic_session={}", ann.entered.token.expose());
    let person = crate::support::api_fixture::Person { console: &console, cookie };
    let own = person.get("/me/two-step").await.is(200)["passkeys"].clone();
    let fields: Vec<&String> = own[0].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["id", "name", "created", "used"]);
    assert_eq!((&own[0]["name"], own[0]["used"].is_string()), (&json!("ring"), true));
    let data = person.get("/me/data").await;
    assert_eq!(data.is(200)["two_step"]["passkeys"], own);
    let of_ann = format!("/members/{}", ann.member.id);
    let by_operator = console.operator(&format!("GET {of_ann}/data"), &Value::Null).await;
    assert_eq!(by_operator.is(200)["two_step"]["passkeys"], own);
    let credential = String::from_utf8(kept(stage, &ann).await.remove(0).credential).unwrap();
    let credential: Value = serde_json::from_str(&credential).unwrap();
    let key = credential.pointer("/cred/cred/key/EC_EC2/x").unwrap().to_string();
    for told in [data.text, by_operator.text] {
        for secret in [key.as_str(), &text(&device.id), "EC_EC2", "counter"] {
            assert!(!told.contains(secret), "`{secret}` is handed out: {told}");
        }
    }

    console.operator(&format!("DELETE {of_ann}"), &Value::Null).await.is(200);
    let audit = "GET /audit?limit=1000";
    assert!(console.operator(audit, &Value::Null).await.text.contains("\"ring\""));
    console.operator(&format!("POST {of_ann}/erase"), &Value::Null).await.is(200);
    assert_eq!(stage.app.store.factors(&ann.member.id).await.unwrap(), Factors::default());
    let log = console.operator(audit, &Value::Null).await.text;
    assert!(log.contains("passkey_added") && !log.contains("\"ring\""), "{log}");
}
