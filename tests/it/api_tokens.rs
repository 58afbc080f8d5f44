//! API tokens end to end: what a program may do with one, and when it may do nothing.

use kwic_team::store::{MemberEdit, MemberTarget};
use serde_json::{Value, json};

use crate::support::api_fixture::{Answer, ApiFixture, Person};
use crate::support::api_users::{PASSWORD, call, document, problem};
use crate::support::fixture::role;
use crate::support::sidecar::Sidecar;

const NONE: Value = Value::Null;
const DAY: i64 = 24 * 60 * 60 * 1000;

fn wanted(as_role: &str) -> Value {
    json!({"name": "Nightly report", "role": as_role, "expires_days": 30, "password": PASSWORD})
}

/// A token that somebody makes, and its secret.
async fn made(person: &Person<'_>, as_role: &str) -> (Value, String) {
    let made = person.call("POST /tokens", &wanted(as_role)).await.is(201);
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("kwt_") && secret.len() == 47, "{secret}");
    (made, secret)
}

/// Calls as a program does: no cookie, no header of a browser.
async fn by(console: &ApiFixture, secret: &str, line: &str, body: &Value) -> Answer {
    let media = if body.is_null() { "" } else { "content-type: application/json\r\n" };
    let headers = format!("authorization: Bearer {secret}\r\n{media}");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    console.raw(line, &headers, &body).await
}

async fn is_dead(console: &ApiFixture, secret: &str) {
    by(console, secret, "GET /members", &NONE).await.problem(401, "token_ended");
    by(console, secret, "GET /roles", &NONE).await.problem(401, "token_ended");
}

async fn lives(console: &ApiFixture, secret: &str) {
    by(console, secret, "GET /roles", &NONE).await.is(200);
}

#[tokio::test]
async fn a_token_does_what_its_role_may_and_nothing_of_a_person() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let bo = console.person("bo", "operator").await;
    bo.call("POST /tokens", &wanted("operator")).await.problem(403, "not_allowed");
    let (token, secret) = made(&ann, "administrator").await;
    let (low, below) = made(&ann, "operator").await;

    by(&console, &secret, "GET /members", &NONE).await.is(200);
    let invite = json!({"first_name": "Cy", "last_name": "Lee", "email": "cy@example.org",
        "role": "operator"});
    let sent = by(&console, &secret, "POST /invites", &invite).await.is(201);
    let me = ann.get("/me").await.is(200);
    assert_eq!((&sent["inviter"]["kind"], &sent["inviter"]["id"]), (&json!("member"), &me["id"]));
    let log = ann.get("/audit").await.is(200).to_string();
    let actor = format!("token:{}:{}", token["id"].as_str().unwrap(), me["id"].as_str().unwrap());
    assert!(log.contains(&actor), "the log does not tell the token from its maker: {log}");

    let mut other = invite.clone();
    other["email"] = json!("dee@example.org");
    by(&console, &below, "POST /invites", &other).await.problem(403, "not_allowed");
    for line in ["GET /me", "GET /me/sessions", "GET /me/two-step", "GET /me/data"] {
        by(&console, &secret, line, &NONE).await.problem(403, "session_needed");
    }
    let password = json!({"current": PASSWORD, "password": "nine yellow tricycles"});
    by(&console, &secret, "POST /me/password", &password).await.problem(403, "session_needed");
    by(&console, &secret, "POST /tokens", &wanted("operator")).await.problem(403, "session_needed");
    let path = format!("DELETE /tokens/{}", low["id"].as_str().unwrap());
    by(&console, &secret, &path, &NONE).await.problem(403, "session_needed");
    let bo = bo.get("/me").await.is(200)["id"].as_str().unwrap().to_owned();
    let shown = json!({"password": PASSWORD});
    let reset = format!("POST /members/{bo}/reset-two-step");
    by(&console, &secret, &reset, &shown).await.problem(403, "session_needed");
    by(&console, &secret, "GET /accounts", &NONE).await.problem(403, "operator_only");
    // A member who requires a factor must have one; for a token, its creator.
    let version = ann.get("/account").await.is(200)["version"].to_string();
    let head = format!(
        "authorization: Bearer {secret}\r\ncontent-type: application/json\r\nif-match: \"{version}\"\r\n"
    );
    let enforce = json!({"two_step_enforced": true}).to_string();
    let enforced = console.raw("PATCH /account", &head, &enforce).await;
    enforced.problem(409, "own_factor_first");
    // Not even its maker's own role, which would be its way up.
    let (id, version) = (me["id"].as_str().unwrap(), me["version"].to_string());
    let head = format!(
        "authorization: Bearer {secret}\r\ncontent-type: application/json\r\nif-match: \"{version}\"\r\n"
    );
    let line = format!("PATCH /members/{id}");
    let own = console.raw(&line, &head, &json!({"role": "operator"}).to_string()).await;
    own.problem(409, "own_role");
}

#[tokio::test]
async fn the_secret_is_told_once_and_the_list_tells_the_last_use() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let (token, secret) = made(&ann, "operator").await;
    let listed = ann.get("/tokens").await.is(200);
    let [item] = listed["items"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    assert!(!listed.to_string().contains(&secret[4..]), "{listed}");
    assert_eq!((&item["id"], &item["used"]), (&token["id"], &NONE));
    assert_eq!((&item["name"], &item["role"]), (&json!("Nightly report"), &json!("operator")));
    let me = ann.get("/me").await.is(200);
    assert_eq!(item["member"]["id"], me["id"]);
    assert!(item["member"]["name"].as_str().unwrap().contains(me["last_name"].as_str().unwrap()));
    lives(&console, &secret).await;
    let used = ann.get("/tokens").await.is(200)["items"][0]["used"].clone();
    assert!(used.is_string(), "{used}");
    let data = ann.get("/me/data").await.is(200);
    assert_eq!((&data["tokens"][0]["id"], &data["tokens"][0]["used"]), (&token["id"], &used));
    kwic_team::services::api_tokens::expire_once(&console.stage.app).await.unwrap();
    let account = &console.stage.acme;
    let stored = console.stage.app.store.api_tokens(account, None, None, 9).await.unwrap();
    assert!(stored.items[0].used.is_some(), "only memory knows of it");
}

#[tokio::test]
async fn making_one_asks_again_who_one_is() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let without = json!({"name": "t", "role": "operator", "expires_days": 30});
    ann.call("POST /tokens", &without).await.problem(403, "password_missing");
    let mut other = wanted("operator");
    other["member"] = json!("somebody");
    ann.call("POST /tokens", &other).await.problem(403, "operator_only");
    let mut wrong = wanted("operator");
    wrong["password"] = json!("another one entirely");
    ann.call("POST /tokens", &wrong).await.problem(403, "wrong_password");
    for (field, value) in [
        ("expires_days", json!(0)),
        ("expires_days", json!(366)),
        ("expires_days", NONE),
        ("name", json!("")),
        ("member", json!("")),
    ] {
        let mut wrong = wanted("operator");
        wrong[field] = value.clone();
        let told = ann.call("POST /tokens", &wrong).await.problem(400, "invalid");
        assert_eq!(told["fields"][0]["field"], field, "{value}: {told}");
    }
    ann.call("POST /tokens", &wanted("emperor")).await.problem(400, "unknown_role");
    assert_eq!(ann.get("/tokens").await.is(200)["items"], json!([]));
}

#[tokio::test]
async fn a_token_ends_when_it_is_revoked_and_when_its_time_is_over() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let (token, secret) = made(&ann, "operator").await;
    let (_, other) = made(&ann, "operator").await;
    lives(&console, &secret).await;
    let path = format!("DELETE /tokens/{}", token["id"].as_str().unwrap());
    ann.call(&path, &NONE).await.is(200);
    is_dead(&console, &secret).await;
    ann.call(&path, &NONE).await.problem(404, "unknown_token");
    ann.call("DELETE /tokens/nonsense", &NONE).await.problem(404, "unknown_token");
    lives(&console, &other).await;
    console.stage.later(30 * DAY - 60_000);
    lives(&console, &other).await;
    console.stage.later(60_000);
    is_dead(&console, &other).await;
    for never in ["kwt_", "kwt_nonsense", "", "eyJhbGciOiJIUzI1NiJ9.e30.x"] {
        is_dead(&console, never).await;
    }
}

#[tokio::test]
async fn a_token_ends_with_its_makers_role_suspension_and_removal() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    for end in ["role", "suspend", "remove"] {
        let maker = console.person(&format!("maker{end}"), "administrator").await;
        let (_, secret) = made(&maker, "operator").await;
        lives(&console, &secret).await;
        let me = maker.get("/me").await.is(200);
        let id = me["id"].as_str().unwrap();
        match end {
            "role" => {
                let version = format!("if-match: \"{}\"\r\n", me["version"]);
                let line = format!("PATCH /members/{id}");
                ann.send(&line, &version, &json!({"role": "operator"})).await.is(200);
            }
            "suspend" => {
                ann.call(&format!("POST /members/{id}/suspend"), &NONE).await.is(200);
            }
            _ => {
                let receipt = ann.call(&format!("DELETE /members/{id}"), &NONE).await.is(200);
                assert_eq!(receipt["tokens_revoked"], 1);
            }
        }
        is_dead(&console, &secret).await;
        assert_eq!(ann.get("/tokens").await.is(200)["items"], json!([]), "{end}");
    }
}

#[tokio::test]
async fn a_maker_who_may_not_give_the_role_is_judged_at_each_call() {
    let console = ApiFixture::new().await;
    console.person("chief", "administrator").await;
    let ann = console.person("ann", "administrator").await;
    let (_, secret) = made(&ann, "operator").await;
    let me = ann.get("/me").await.is(200);
    let id = kwic_team::domain::MemberId::parse(me["id"].as_str().unwrap()).unwrap();
    // The row stays, as where other policies and not another role take the right away.
    let edit = MemberEdit {
        role: Some(role("operator")),
        still_makes_tokens: [role("operator")].into(),
        ..MemberEdit::default()
    };
    let stage = &console.stage;
    let by = kwic_team::store::Preconditions::actor(kwic_team::domain::Actor::Sidecar { uid: 7 });
    let target = MemberTarget { account: &stage.acme, id: &id, expected: None };
    let done = stage.app.store.member_edit(&by, target, edit).await.unwrap();
    kwic_team::services::directory_sync::wait_until_settled(&stage.app, done.revision)
        .await
        .unwrap();
    let left = stage.app.store.api_tokens(&stage.acme, None, None, 9).await.unwrap();
    assert_eq!(left.items.len(), 1);
    is_dead(&console, &secret).await;
}

/// What a command that fails tells.
fn failed(sidecar: &Sidecar, words: &[&str]) -> String {
    let output = sidecar.run(words);
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_proxy_asks_about_a_program_and_hears_of_its_own_role() {
    let sidecar = Sidecar::start();
    sidecar.account("acme");
    sidecar.members("acme", &[("ann", "administrator"), ("bo", "operator")]);
    let made = sidecar.ok(&[
        "token",
        "create",
        "--member",
        "ann@example.org",
        "--role",
        "operator",
        "--days",
        "7",
        "proxy",
        "--json",
    ]);
    let made: Value = serde_json::from_str(&made).unwrap();
    let secret = made["secret"].as_str().unwrap();
    let mut ask = sidecar.tcp();
    let mut forward = |query: &str| {
        let bearer = format!("authorization: Bearer {secret}\r\n");
        ask.send("GET", &format!("/forward-auth{query}"), &bearer, "")
    };
    let who = forward("");
    assert_eq!((who.status, who.header("x-kwic-user")), (200, Some("ann")));
    assert_eq!(who.header("x-kwic-role"), Some("operator"));
    let query = |action: &str| format!("?action={action}&resource_type=chat&resource_id=c1");
    assert_eq!(forward(&query("chats%3Aview")).status, 200);
    // Its maker may.
    for asked in [
        query("chats%3Amanage"),
        query("chats%3Afly"),
        query("chats%3Aview").replace("=chat&", "=spaceship&"),
    ] {
        // The same for all: a proxy shows it to any visitor.
        let denied = forward(&asked);
        assert_eq!(denied.status, 403, "{asked}");
        let says = "\"you do not have access to this: ask an administrator of your team for it\"";
        assert_eq!(denied.body, says, "{asked}");
    }
    for logged in ["the action `chats:fly`", "the resource type `spaceship`"] {
        assert!(sidecar.log_text().contains(logged), "{}", sidecar.log_text());
    }
    let refused = failed(
        &sidecar,
        &["token", "create", "--member", "bo", "--role", "operator", "--days", "7", "t"],
    );
    assert!(refused.contains("may not give the role"), "{refused}");
    let id = made["id"].as_str().unwrap();
    let listed = sidecar.ok(&["token", "list", "--member", "ann"]);
    assert!(
        listed.contains(id) && listed.contains("proxy") && !listed.contains(secret),
        "{listed}"
    );
    assert!(failed(&sidecar, &["token", "revoke", id]).contains("--yes"));
    sidecar.ok(&["token", "revoke", id, "--yes"]);
    assert_eq!(forward("").status, 401);
    let headers = format!("authorization: Bearer {secret}\r\n");
    assert_eq!(problem(&call(&sidecar, "GET /members", &headers, None), 401), "token_ended");
    let other = json!({"name": "t", "role": "operator", "expires_days": 7});
    let cookie = crate::support::api_users::Person::of_import(&sidecar, "acme", "bo");
    assert_eq!(problem(&cookie.call("POST /tokens", Some(&other)), 403), "not_allowed");
    document(&cookie.call("GET /me", None), 200);
}
