//! Erasure, data export, the access review and `doctor`, end to end: over the port, by the commands
//! of the real binary, and by the bytes left in the file.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use kwic_team::clock::Clock;
use kwic_team::domain::{Actor, Digest, Email, Name, SendOutcome, Timestamp};
use kwic_team::store::requests_and_views::invites::{Idempotency, NewInvite};
use kwic_team::store::requests_and_views::two_step::{SecondFactorProof, StepUp};
use kwic_team::store::{MemberEdit, Preconditions, Store};
use redb::{ReadableDatabase, ReadableTable};
use serde_json::{Value as Json, json};

use crate::support::api_fixture::ApiFixture;
use crate::support::api_users::{PASSWORD, Person};
use crate::support::fake_sidecar::{FakeSidecar, ok};
use crate::support::fixture::HOUR;
use crate::support::sidecar::{Sidecar, Start};
use crate::support::store_fixture::{self as suite, BY, MINUTE, NOW};

const DAY: i64 = 24 * HOUR;
const NONE: Json = Json::Null;

fn holds(file: &Path, word: &str) -> bool {
    let bytes = fs::read(file).unwrap();
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}

/// Another number is another file.
fn inode(file: &Path) -> u64 {
    fs::metadata(file).unwrap().ino()
}

async fn open(file: &Path) -> suite::StoreFixture {
    let clock = Clock::fixed(NOW);
    suite::StoreFixture::on(Store::open(file, 8, clock.clone()).await.unwrap(), clock)
}

const PERSONAL: [&str; 4] = ["zed@example.org", "zed.new@example.org", "Zaphodia", "192.0.2.7"];

/// Somebody joins, signs in, moves, is removed and erased; others stay.
async fn erased(file: &Path) {
    let clock = Clock::fixed(NOW);
    let store = Store::open(file, 8, clock.clone()).await.unwrap();
    let stage = suite::StoreFixture::new(store, clock).await;
    // The caller chooses the key, which may name somebody.
    let request = Digest::of(&[b"call"]);
    let idempotency = Some(Idempotency { key: suite::key("to:zed@example.org,1"), request });
    let invitation = NewInvite {
        idempotency,
        first_name: Name::parse("first_name", "Zaphodia").unwrap(),
        ..stage.new_invite("zed")
    };
    stage.store.invite_create(&BY, invitation).await.unwrap();
    let zed = stage.store.invite_accept(stage.acceptance("zed")).await.unwrap().value;
    stage.signed_in(&zed, "zed").await;
    let email = Some(Email::parse("zed.new@example.org").unwrap());
    let edit = MemberEdit { email, ..MemberEdit::default() };
    stage.store.member_edit(&BY, stage.target(&zed.id), edit).await.unwrap();
    for number in 0..20 {
        stage.create(&format!("stays{number:02}")).await;
    }
    stage.clock.advance_ms(2 * MINUTE);
    stage.invite("also").await;
    stage.store.member_remove(&BY, stage.target(&zed.id)).await.unwrap();
    stage.store.member_erase(&BY, &stage.acme, &zed.id).await.unwrap();
}

/// Everything that a store answers, as text.
async fn contents(stage: &suite::StoreFixture) -> String {
    let members = stage.store.members(&stage.acme, &Default::default(), None, 100).await.unwrap();
    let log = stage.store.audit(Some(&stage.acme), &Default::default(), None, 1_000).await.unwrap();
    let report = stage.store.audit_verify(Some(&stage.acme)).await.unwrap();
    assert_eq!(report.fault, None);
    let invites = stage.store.invites(&stage.acme, &Default::default(), None, 100).await.unwrap();
    let revision = stage.revision().await;
    format!("{revision} {members:?} {log:?} {report:?} {invites:?} {:?}", stage.letters().await)
}

#[tokio::test]
async fn the_next_start_leaves_no_byte_of_who_was_erased() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.redb");
    erased(&file).await;
    // Rows are deleted and freed pages still contain them: that is why the file is rewritten.
    assert!(PERSONAL.iter().any(|word| holds(&file, word)), "nothing to take away");
    let before = inode(&file);
    let stage = open(&file).await;
    for word in PERSONAL {
        assert!(!holds(&file, word), "`{word}` is left in the file");
    }
    for word in ["stays07@example.org", "also@example.org"] {
        assert!(holds(&file, word), "`{word}` is lost");
    }
    let kept = contents(&stage).await;
    assert!(kept.contains("stays19@example.org") && kept.contains("user_erased"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let after = inode(&file);
    assert_ne!(after, before);
    drop(stage);
    // Once is enough.
    let stage = open(&file).await;
    assert_eq!(contents(&stage).await, kept);
    assert_eq!(inode(&file), after);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something lies beside the file");
    stage.create("later").await;
}

#[tokio::test]
async fn a_file_that_cannot_be_written_anew_goes_on_until_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.redb");
    erased(&file).await;
    // Simulates a disk without space for a second file.
    let beside = folder.path().join("store.redb.new");
    fs::create_dir(&beside).unwrap();
    let before = inode(&file);
    let stage = open(&file).await;
    stage.create("meanwhile").await;
    let kept = contents(&stage).await;
    assert_eq!(inode(&file), before);
    drop(stage);
    fs::remove_dir(&beside).unwrap();
    // What a start that broke off left there is nobody's file.
    fs::write(&beside, b"half a file").unwrap();
    let stage = open(&file).await;
    assert_eq!(contents(&stage).await, kept);
    assert_ne!(inode(&file), before);
    assert!(PERSONAL.iter().all(|word| !holds(&file, word)));
    assert!(!beside.exists());
}

#[tokio::test]
async fn a_file_of_the_second_layout_learns_from_its_sessions_who_was_here() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.redb");
    let clock = Clock::fixed(NOW);
    let store = Store::open(&file, 8, clock.clone()).await.unwrap();
    let stage = suite::StoreFixture::new(store, clock).await;
    let anna = stage.join("anna").await;
    for token in ["one", "two"] {
        stage.signed_in(&anna, token).await;
        stage.clock.advance_ms(DAY);
    }
    let bert = stage.create("bert").await;
    drop(stage);
    {
        let database = redb::Database::open(&file).unwrap();
        let tx = database.begin_write().unwrap();
        let meta = redb::TableDefinition::<&str, u64>::new("meta");
        tx.open_table(meta).unwrap().insert("format", 2).unwrap();
        let seen = redb::TableDefinition::<&str, i64>::new("signed_in");
        tx.delete_table(seen).unwrap();
        tx.delete_table(redb::TableDefinition::<(&str, &str), ()>::new("erased")).unwrap();
        tx.commit().unwrap();
    }
    let stage = open(&file).await;
    let seen = stage.store.seen(vec![anna, bert]).await.unwrap();
    let seen: Vec<_> = seen.into_iter().map(|seen| seen.signed_in).collect();
    assert_eq!(seen, [Some(Timestamp(NOW.0 + DAY)), None]);
    drop(stage);
    let database = redb::Database::open(&file).unwrap();
    let tx = database.begin_read().unwrap();
    let meta = tx.open_table(redb::TableDefinition::<&str, u64>::new("meta")).unwrap();
    assert_eq!(meta.get("format").unwrap().unwrap().value(), 4);
}

#[tokio::test]
async fn a_file_of_the_third_layout_loses_no_letter_that_waits() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.redb");
    let clock = Clock::fixed(NOW);
    let store = Store::open(&file, 8, clock.clone()).await.unwrap();
    let stage = suite::StoreFixture::new(store, clock).await;
    for name in ["a", "b", "c"] {
        stage.invite(name).await;
    }
    let sent = stage.claim().await.remove(0);
    let taken = SendOutcome::Taken { detail: "250".to_owned() };
    stage.store.letter_settle(&sent, taken).await.unwrap();
    stage.store.letters_release().await.unwrap();
    drop(stage);
    {
        let database = redb::Database::open(&file).unwrap();
        let tx = database.begin_write().unwrap();
        let meta = redb::TableDefinition::<&str, u64>::new("meta");
        tx.open_table(meta).unwrap().insert("format", 3).unwrap();
        let waiting = redb::TableDefinition::<(&str, i64, u64), ()>::new("letters_waiting");
        assert!(tx.delete_table(waiting).unwrap());
        tx.commit().unwrap();
    }
    let stage = open(&file).await;
    let ids: Vec<_> = stage.claim().await.iter().map(|letter| letter.id.0).collect();
    assert_eq!(ids, [2, 3]);
}

/// What a person writes in the next test; each but an idempotency key stands in the file as it is.
const WRITTEN: [&str; 10] = [
    "zqx-first",
    "zqx-last",
    "zqx-edited",
    "zqx.a@example.org",
    "zqx.pending@example.org",
    "zqx agent",
    "192.0.2.99",
    "zqx token",
    "zqx-passkey",
    "zqx-answer",
];

/// Somebody writes something into every field there is, with and without a token, and leaves letters
/// in every state.
async fn wrote_everywhere(stage: &suite::StoreFixture) {
    let store = &stage.store;
    let name = |text: &str| Name::parse("name", text).unwrap();
    let keyed = |text: &str, new: NewInvite| {
        let request = Digest::of(&[b"call"]);
        NewInvite { idempotency: Some(Idempotency { key: suite::key(text), request }), ..new }
    };
    let new = NewInvite {
        first_name: name("zqx-first"),
        last_name: name("zqx-last"),
        email: Email::parse("zqx.a@example.org").unwrap(),
        ..stage.new_invite("zed")
    };
    store.invite_create(&BY, keyed("zqx-key-by-others", new)).await.unwrap();
    let zed = store.invite_accept(stage.acceptance("zed")).await.unwrap().value;
    let mut entering = stage.sign_in(&zed, "first");
    entering.session.agent = "zqx agent".to_owned();
    entering.session.address = "192.0.2.99".to_owned();
    store.session_begin(entering).await.unwrap();
    let edit = MemberEdit { first_name: Some(name("zqx-edited")), ..MemberEdit::default() };
    let zed = store.member_edit(&suite::by(&zed), stage.target(&zed.id), edit).await.unwrap().value;
    let token = stage.api_token(&zed, "zqx token", "operator");
    let token = store.api_token_create(&suite::by(&zed), token).await.unwrap().value;
    let own = suite::by(&zed);
    store.invite_create(&own, keyed("zqx-key-own", stage.new_invite("bo"))).await.unwrap();
    let actor = Actor::Token { id: token.id, member: zed.id.clone() };
    let program = Preconditions { actor, ..suite::by(&zed) };
    store.invite_create(&program, keyed("zqx-key-token", stage.new_invite("cy"))).await.unwrap();
    stage.pending(&zed).await;
    stage.confirmed(&zed, suite::hash("first"), "own").await;
    stage.with_passkey(&zed, "zqx-passkey", 2).await;
    let target = stage.target(&zed.id);
    store.reset_begin(&BY, target, stage.link("reset")).await.unwrap();
    let code = SecondFactorProof::Step { secret: suite::sealed("zed"), step: 3 };
    let shown = StepUp { proof: Some(code), ..suite::shown("zed") };
    let pending = Email::parse("zqx.pending@example.org").unwrap();
    let links = [stage.link("old"), stage.link("new")];
    store.email_change_begin(target, shown, pending, links).await.unwrap();
    // The other mail server's words about one letter; another is still on its way, one stops all mail.
    let claimed = stage.claim().await;
    let of_zed = claimed.iter().filter(|letter| letter.to.as_str().starts_with("zqx."));
    let of_zed: Vec<_> = of_zed.collect();
    assert!(of_zed.len() > 3, "{claimed:?}");
    let detail = "550 <zqx.a@example.org> zqx-answer".to_owned();
    store.letter_settle(of_zed[0], SendOutcome::Refused { detail }).await.unwrap();
    let detail = "535 no mail from you to <zqx.a@example.org>".to_owned();
    store.letter_settle(of_zed[1], SendOutcome::Misconfigured { detail }).await.unwrap();
}

/// The keys of a table of idempotency keys, and of those that are still to be forgotten.
fn keys_of_calls(file: &Path) -> [Vec<String>; 2] {
    let database = redb::Database::open(file).unwrap();
    let tx = database.begin_read().unwrap();
    let calls = tx.open_table(redb::TableDefinition::<&str, &[u8]>::new("calls")).unwrap();
    let calls = calls.iter().unwrap().map(|row| row.unwrap().0.value().to_owned()).collect();
    let leaving = redb::TableDefinition::<(i64, u8, &str), ()>::new("leaving");
    let leaving = tx.open_table(leaving).unwrap();
    let noted = leaving.iter().unwrap().filter_map(|row| {
        let row = row.unwrap();
        let (_, kind, key) = row.0.value();
        (kind == b'c').then(|| key.to_owned())
    });
    [calls, noted.collect()]
}

#[tokio::test]
async fn nothing_that_a_person_wrote_is_left_in_any_table() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.redb");
    let clock = Clock::fixed(NOW);
    let store = Store::open(&file, 8, clock.clone()).await.unwrap();
    let stage = suite::StoreFixture::new(store, clock).await;
    let request = Digest::of(&[b"of others"]);
    let idempotency = Some(Idempotency { key: suite::key("zqx-of-others"), request });
    let others = NewInvite { idempotency, ..stage.new_invite("dee") };
    stage.store.invite_create(&BY, others.clone()).await.unwrap();
    wrote_everywhere(&stage).await;
    for word in WRITTEN {
        assert!(holds(&file, word), "`{word}` was never written");
    }
    let zed = stage.get("zed").await;
    stage.store.member_remove(&BY, stage.target(&zed.id)).await.unwrap();
    stage.store.member_erase(&BY, &stage.acme, &zed.id).await.unwrap();
    // What others did stays: a call of theirs is still known as one.
    let again = stage.store.invite_create(&BY, others).await.unwrap().value;
    assert_eq!(again.invite.id, suite::invite_id("dee"));
    assert!(stage.store.invite(&stage.acme, &suite::invite_id("bo")).await.unwrap().is_some());
    drop(stage);
    // The start writes every row that is left into a new file.
    drop(open(&file).await);
    for word in WRITTEN.into_iter().chain(["zqx"]) {
        assert!(!holds(&file, word), "`{word}` is left");
    }
    let [calls, noted] = keys_of_calls(&file);
    assert_eq!(calls, noted);
    let [call] = calls.as_slice() else { panic!("{calls:?}") };
    assert!(call.starts_with("acme\0sidecar:7\0"), "{call}");
}

#[tokio::test]
async fn erasing_takes_the_right_to_remove_and_a_member_who_was_removed() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let bo = console.person("bo", "operator").await;
    let cy = console.stage.member("cy", "operator").await;
    let erase = format!("POST /members/{}/erase", cy.id);
    bo.call(&erase, &NONE).await.problem(403, "not_allowed");
    ann.call(&erase, &NONE).await.problem(409, "not_removed");
    ann.call("POST /members/ghost/erase", &NONE).await.problem(404, "unknown_member");
    ann.call(&format!("DELETE /members/{}", cy.id), &NONE).await.is(200);
    bo.call(&erase, &NONE).await.problem(403, "not_allowed");
    let done = ann.call(&erase, &NONE).await.is(200);
    assert_eq!((&done["id"], &done["invites_erased"]), (&json!(cy.id.as_str()), &json!(1)));
    assert!(done["entries_erased"].as_u64().unwrap() >= 4, "{done}");
    assert!(done["revision"].as_u64() > Some(0));
    let again = console.operator(&erase, &NONE).await.is(200);
    assert_eq!((&again["entries_erased"], &again["letters_erased"]), (&json!(0), &json!(0)));
    assert_eq!(again["revision"], done["revision"]);
    let log = ann.get("/audit?limit=1000").await;
    assert!(!log.text.contains("cy@example.org"), "{}", log.text);
    assert!(log.text.contains("ann@example.org") && log.text.contains("user_erased"));
    let erased = ann.get("/audit?event=user_erased").await.is(200);
    assert_eq!(erased["items"][0]["target"], cy.id.as_str());
    let whole = ann.get("/audit/verify").await.is(200);
    assert_eq!(whole["items"][0]["fault"], NONE);
    assert!(!ann.get("/invites?limit=1000").await.text.contains("cy@example.org"));
}

#[tokio::test]
async fn a_session_that_is_used_while_its_member_is_erased_brings_nothing_back() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let cy = console.person("cy", "operator").await;
    let who = cy.get("/me").await.is(200)["id"].as_str().unwrap().to_owned();
    ann.call(&format!("DELETE /members/{who}"), &NONE).await.is(200);
    ann.call(&format!("POST /members/{who}/erase"), &NONE).await.is(200);
    cy.get("/me").await.problem(401, "session_ended");
    cy.call("POST /sign-out", &NONE).await.is(200);
    let body = json!({"account": "acme", "email": "cy@example.org", "password": "seven red cars!"});
    for _ in 0..12 {
        console.anybody("POST /sign-in", &body).await;
        console.stage.later(HOUR);
    }
    kwic_team::services::sessions::expire_once(&console.stage.app).await.unwrap();
    console.stage.mails().await;
    let log = console.operator("GET /audit?limit=1000", &NONE).await;
    assert!(!log.text.contains("cy@example.org") && log.text.contains(&who), "{}", log.text);
    assert!(!console.operator("GET /members", &NONE).await.text.contains("cy@"));
    assert_eq!(console.stage.app.directory.with(&who, |_| ()), None);
}

#[tokio::test]
async fn a_member_gets_what_is_kept_and_nothing_of_others() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let bo = console.person("bo", "operator").await;
    console.stage.later(2 * 60_000);
    let person = json!({"first_name": "Uniqua", "last_name": "Lee", "email": "secret@example.org",
        "role": "operator"});
    ann.call("POST /invites", &person).await.is(201);
    let own = ann.get("/me/data").await;
    let data = own.is(200);
    let id = data["member"]["id"].as_str().unwrap();
    assert_eq!(data["member"]["email"], "ann@example.org");
    assert_eq!(data["sessions"][0]["current"], true);
    assert_eq!(data["came_by"]["email"], "ann@example.org");
    assert_eq!(data["came_by"]["inviter"], "sidecar:7");
    assert_eq!(data["invites_sent"][0]["state"], "pending");
    assert_eq!(data["cut"], false);
    let events: Vec<&str> = data["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["event"].as_str().unwrap())
        .collect();
    for event in ["invite_created", "user_created", "authn_login_success"] {
        assert!(events.contains(&event), "no `{event}`: {events:?}");
    }
    let token = ann.cookie.split_once('=').unwrap().1;
    let credential = {
        let id = kwic_team::domain::MemberId::parse(id).unwrap();
        console.stage.app.store.credential(&id).await.unwrap().unwrap().password
    };
    for secret in ["secret@example.org", "Uniqua", "bo@example.org", token, &credential, "argon2"] {
        assert!(!own.text.contains(secret), "`{secret}` is handed out: {}", own.text);
    }
    // Somebody else's takes the right to edit them: it tells from where they sign in.
    let of_ann = format!("/members/{id}/data");
    bo.get(&of_ann).await.problem(403, "not_allowed");
    let by_other = ann.get(&of_ann).await.is(200);
    assert_eq!(by_other["member"], data["member"]);
    console.operator(&format!("GET {of_ann}"), &NONE).await.is(200);
    ann.get("/members/ghost/data").await.problem(404, "unknown_member");
    console.operator("GET /me/data", &NONE).await.problem(403, "session_needed");
}

#[tokio::test]
async fn a_record_says_when_its_member_signed_in() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let me = ann.get("/me").await.is(200);
    assert_eq!(me["signed_in"], me["session"]["created"]);
    console.stage.member("bo", "operator").await;
    let list = ann.get("/members").await.is(200);
    let seen: Vec<_> =
        list["items"].as_array().unwrap().iter().map(|it| &it["signed_in"]).collect();
    assert_eq!(seen, [&me["signed_in"], &NONE]);
    let one = ann.get(&format!("/members/{}", me["id"].as_str().unwrap())).await.is(200);
    assert_eq!(one["signed_in"], me["signed_in"]);
}

#[tokio::test]
async fn the_review_names_who_has_not_been_here_and_a_lone_administrator() {
    let console = ApiFixture::with(|config| {
        config.sessions.absolute = std::time::Duration::from_secs(400 * 24 * 3_600);
        config.sessions.idle = config.sessions.absolute;
    })
    .await;
    let kinds = async |person: &crate::support::api_fixture::Person<'_>| -> Vec<(String, u64)> {
        let found = person.get("/members/review").await.is(200);
        let item = |item: &Json| {
            let count = item["count"].as_u64().unwrap();
            assert_eq!(item["members"].as_array().unwrap().len() as u64, count);
            assert!(item["sentence"].as_str().unwrap().len() > 40, "{item}");
            (item["kind"].as_str().unwrap().to_owned(), count)
        };
        found["items"].as_array().unwrap().iter().map(item).collect()
    };
    let named = |kind: &str, count| (kind.to_owned(), count);
    let ann = console.person("ann", "administrator").await;
    let bo = console.person("bo", "operator").await;
    let never = console.stage.member("never", "operator").await;
    let asleep = console.stage.member("asleep", "operator").await;
    bo.get("/members/review").await.problem(403, "not_allowed");
    let factor = named("administrator_without_second_factor", 1);
    assert_eq!(kinds(&ann).await, [factor.clone(), named("one_administrator", 1)]);
    console.stage.later(31 * DAY);
    ann.call(&format!("POST /members/{}/suspend", asleep.id), &NONE).await.is(200);
    // Suspended members are not part of the review.
    let month = [
        factor,
        named("one_administrator", 1),
        named("not_for_30_days", 2),
        named("never_signed_in", 1),
    ];
    assert_eq!(kinds(&ann).await, month);
    let found = ann.get("/members/review").await.is(200);
    let last = found["items"].as_array().unwrap().last().unwrap();
    assert_eq!(last["members"][0]["id"], never.id.as_str());
    assert_eq!((&last["severity"], &last["members"][0]["signed_in"]), (&json!("notice"), &NONE));
    console.stage.later(60 * DAY);
    console.stage.member("dee", "administrator").await;
    let quarter = [
        named("administrator_without_second_factor", 2),
        named("not_for_90_days", 2),
        named("never_signed_in", 1),
    ];
    assert_eq!(kinds(&ann).await, quarter);
    console.sign_in("acme", "ann").await;
    assert_eq!(kinds(&ann).await[1], named("not_for_90_days", 1));
}

#[test]
fn a_person_is_removed_and_erased_by_command_and_no_file_tells_of_them() {
    let config = "[mail]\nkind = \"links\"\n".to_owned();
    let mut sidecar = Sidecar::start_with(&Start { config, ..Start::default() });
    sidecar.account("acme");
    sidecar.members("acme", &[("chief", "administrator"), ("deputy", "administrator")]);
    let sent = sidecar.ok(&[
        "invite",
        "send",
        "--email",
        "zed@example.net",
        "--first-name",
        "Zaphodia",
        "--last-name",
        "Quux",
        "--role",
        "operator",
        "--json",
    ]);
    let sent: Json = serde_json::from_str(&sent).unwrap();
    let zed = Person::join(&sidecar, "acme", sent["link"].as_str().unwrap());
    let data = sidecar.ok(&["member", "export", "zed@example.net"]);
    let data: Json = serde_json::from_str(&data).unwrap();
    assert_eq!(data["member"]["id"], zed.id.as_str());
    assert!(!data.to_string().contains(zed.token()) && !data.to_string().contains(PASSWORD));
    let (who, token) = (zed.id.clone(), zed.token().to_owned());
    drop(zed);

    let early = sidecar.run(&["member", "erase", &who, "--yes"]);
    assert_eq!(early.status.code(), Some(1));
    assert!(String::from_utf8(early.stderr).unwrap().contains("remove the member first"));
    sidecar.ok(&["member", "remove", &who, "--yes"]);
    let unasked = sidecar.run(&["member", "erase", &who]);
    assert_eq!(unasked.status.code(), Some(64));
    let by_address = sidecar.run(&["member", "erase", "zed@example.net", "--yes"]);
    assert_eq!(by_address.status.code(), Some(64));
    let told = String::from_utf8(by_address.stderr).unwrap();
    assert!(told.contains("erase takes the id") && told.contains(&who), "{told}");
    let done = sidecar.ok(&["member", "erase", &who, "--yes"]);
    assert!(
        done.starts_with(&format!("the personal data of {who} is erased, at revision ")),
        "{done}"
    );
    assert!(
        done.contains("1 invite and ") && done.contains("the next start of the sidecar"),
        "{done}"
    );
    let again = sidecar.ok(&["member", "erase", &who, "--yes", "--json"]);
    let again: Json = serde_json::from_str(&again).unwrap();
    assert_eq!(again["entries_erased"], 0);
    let verified = sidecar.ok(&["audit", "verify", "--account", "acme"]);
    assert!(verified.contains("intact"), "{verified}");

    let log = sidecar.log_text();
    sidecar.signal("TERM");
    assert_eq!(sidecar.wait(), Some(0));
    sidecar.restart();
    let file = sidecar.path("data/kwic.redb");
    for word in ["zed@example.net", "Zaphodia", "Quux", &token] {
        assert!(!holds(&file, word), "`{word}` is left in the file");
        assert!(!log.contains(word), "`{word}` stands in the log");
    }
    assert!(holds(&file, "chief@example.org"));
    assert_eq!(sidecar.ok(&["audit", "verify", "--account", "acme"]), verified);
    let told = sidecar.ok(&["audit", "list", "--member", &who]);
    assert!(told.contains("user_deleted") && told.contains("user_erased"), "{told}");
}

#[test]
fn doctor_says_what_is_in_order_and_what_is_not() {
    let mut sidecar = Sidecar::start();
    sidecar.account("acme");
    sidecar.members("acme", &[("chief", "administrator")]);
    let well = sidecar.ok(&["doctor"]);
    for line in [
        "ok: the data folder ",
        "ok: 2 keys in ",
        "ok: the sidecar is ready, at revision ",
        "ok: the policies are live",
        "warn: no mail is sent",
        "warn: `acme`: one active member alone can administer",
        "warn: `acme`: 1 member can administer the account without a second factor",
        "ok: the store's own audit chain is intact, with ",
        "ok: the audit chain of `acme` is intact, with ",
    ] {
        assert!(well.lines().any(|found| found.starts_with(line)), "no `{line}`: {well}");
    }
    let printed = sidecar.ok(&["doctor", "--json"]);
    for line in printed.lines() {
        let line: Json = serde_json::from_str(line).unwrap();
        assert!(["ok", "warn", "fail"].contains(&line["state"].as_str().unwrap()), "{line}");
        assert!(line["about"].is_string() && line["sentence"].is_string(), "{line}");
    }
    assert_eq!(printed.lines().count(), well.lines().count());

    let open = |mode| {
        fs::set_permissions(sidecar.path("data"), fs::Permissions::from_mode(mode)).unwrap();
    };
    open(0o755);
    fs::write(sidecar.path("policies/rules/tenancy.cedar"), "forbid(").unwrap();
    sidecar.run(&["policy", "reload"]);
    let ill = sidecar.run(&["doctor"]);
    let printed = String::from_utf8(ill.stdout).unwrap();
    assert_eq!(ill.status.code(), Some(1));
    assert!(printed.contains("fail: others may enter the data folder"), "{printed}");
    assert!(printed.contains("fail: the policy folder was not loaded"), "{printed}");
    assert!(printed.contains("tenancy.cedar"), "{printed}");
    open(0o700);

    sidecar.kill();
    let alone = sidecar.run(&["doctor"]);
    let printed = String::from_utf8(alone.stdout).unwrap();
    assert_eq!(alone.status.code(), Some(1));
    assert!(
        printed.contains("ok: the data folder") && printed.contains("fail: no sidecar answers at")
    );
    assert!(printed.contains("ok: every page of the store"), "{printed}");
    assert_eq!(printed.lines().count(), 4, "{printed}");
}

#[test]
fn a_review_and_an_export_are_printed_as_they_came() {
    let finding = json!({"kind": "not_for_30_days", "severity": "notice",
        "sentence": "7 members have not signed in for 30 days: suspend those who need no access",
        "members": (0..7).map(|n| json!({"id": n.to_string(), "name": format!("N{n}"),
            "email": format!("n{n}@example.org"), "signed_in": null})).collect::<Vec<_>>(),
        "count": 7});
    let answer = json!({"items": [finding], "next": null});
    let nothing = json!({"items": [], "next": null});
    let sidecar = FakeSidecar::answering([ok(&answer), ok(&answer), ok(&nothing)]);
    let printed = sidecar.run(&["member", "review"]).ends(0);
    assert!(printed.starts_with("notice\t7 members have not signed in"), "{printed}");
    assert!(printed.ends_with("N4 (n4@example.org), and 2 more\n"), "{printed}");
    let whole = sidecar.run(&["member", "review", "--account", "acme", "--json"]).ends(0);
    assert_eq!(serde_json::from_str::<Json>(&whole).unwrap(), finding);
    let none = sidecar.run(&["member", "review"]);
    assert_eq!((none.out.as_str(), none.code), ("", 0));
    assert_eq!(sidecar.lines()[1], "GET /api/v1/members/review?account=acme");
    let both = sidecar.run(&["member", "export", "ann", "--format", "csv"]);
    assert_eq!(both.code, 64, "{}", both.err);
}
