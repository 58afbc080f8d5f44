//! The management API on its port, as browsers and programs use it: authentication, origin checks,
//! and response headers.

use std::time::Duration;

use kwic_team::domain::{AccountSlug, IpNetwork, limits};
use kwic_team::services::accounts;
use kwic_team::services::permits::StorePermit;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::support::api_fixture::{Answer, ApiFixture};
use crate::support::fixture::{HOUR, PASSWORD};

const NONE: Value = Value::Null;

/// The headers of every response, with their values.
const DRESS: [(&str, &str); 7] = [
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("vary", "Sec-Fetch-Site, Origin"),
    ("content-security-policy", "default-src 'none'; "),
];

#[track_caller]
fn is_dressed(answer: &Answer) {
    for (name, begins) in DRESS {
        let value = answer.header(name).unwrap_or_else(|| panic!("no {name}: {}", answer.head));
        assert!(value.starts_with(begins), "{name}: {value}");
    }
    assert_eq!(answer.header("access-control-allow-origin"), None, "{}", answer.head);
    match answer.header("content-type") {
        Some("application/json") => drop(answer.is(200)),
        Some("application/problem+json") => assert_eq!(answer.json()["status"], answer.status),
        Some("text/csv; charset=utf-8") => {
            assert!(answer.text.contains("\r\nid,first_name,"), "{answer:?}")
        }
        Some("text/html; charset=utf-8") => {
            assert!(answer.text.starts_with("<!doctype html>"), "{answer:?}")
        }
        Some("text/plain; charset=utf-8") => {
            assert_eq!((answer.status, answer.text.len()), (303, 0))
        }
        other => panic!("{other:?}: {answer:?}"),
    }
}

/// The end of a session takes what the console itself has in the browser, and nothing else of the
/// host: no other cookie, no storage, no cache.
#[track_caller]
fn takes_only_its_own(answer: &Answer) {
    assert_eq!(answer.header("clear-site-data"), None, "{answer:?}");
    let given = answer.head.lines().filter_map(|line| line.strip_prefix("set-cookie: "));
    let own = ["session", "told"].map(|name| {
        let same_site = if name == "session" { "Strict" } else { "Lax" };
        (format!("__Host-kwic_{name}="), format!("SameSite={same_site}"))
    });
    let taken: Vec<&str> = given.collect();
    assert_eq!(taken.len(), own.len(), "{taken:?}");
    for (cookie, (begins, same_site)) in taken.iter().zip(own) {
        let mut parts: Vec<&str> = cookie.split("; ").collect();
        assert_eq!(parts.remove(0), begins);
        parts.sort_unstable();
        assert_eq!(parts, ["HttpOnly", "Max-Age=0", "Path=/", same_site.as_str(), "Secure"]);
    }
}

/// The calls of the document: method, path with an id that nobody has, and the operation.
async fn calls(console: &ApiFixture) -> Vec<(String, String, Value)> {
    let document = console.anybody("GET /openapi.json", &NONE).await.is(200);
    let mut calls = Vec::new();
    for (path, place) in document["paths"].as_object().unwrap() {
        for (method, operation) in place.as_object().unwrap() {
            let path = path.replace("{id}", "nobody");
            calls.push((method.to_ascii_uppercase(), path, operation.clone()));
        }
    }
    assert!(calls.len() > 50, "{}", calls.len());
    calls
}

fn says(operation: &Value, words: &str) -> bool {
    operation["description"].as_str().unwrap().contains(words)
}

#[tokio::test]
async fn somebody_is_invited_joins_signs_in_and_signs_out() {
    let console = ApiFixture::new().await;
    let person = json!({"first_name": "Ann", "last_name": "Lee", "email": "ann@example.org",
        "role": "administrator"});
    let sent = console.operator("POST /invites", &person).await.is(201);
    let token = sent["link"].as_str().unwrap().split_once('#').unwrap().1;
    let seen = console.anybody("POST /invites/inspect", &json!({"token": token})).await.is(200);
    assert_eq!(
        (&seen["email"], &seen["account_name"]),
        (&json!("a***@example.org"), &json!("Acme"))
    );
    assert_eq!(
        (&seen["password"]["min"], &seen["role"]["id"]),
        (&json!(15), &json!("administrator"))
    );
    let join = json!({"token": token, "password": PASSWORD});
    let ann = console.anybody("POST /invites/accept", &join).await.is(201);
    console.anybody("POST /invites/accept", &join).await.problem(410, "invite_accepted");
    assert_eq!(ann["role"], "administrator");

    let entered = console.sign_in("acme", "ann").await;
    let me = entered.get("/me").await;
    assert_eq!(me.header("etag"), Some("\"1\""));
    let me = me.is(200);
    assert_eq!((&me["id"], &me["session"]["current"]), (&ann["id"], &json!(true)));
    let out = entered.call("POST /sign-out", &NONE).await;
    assert_eq!(out.is(200), json!({"state": "signed_out"}));
    takes_only_its_own(&out);
    entered.get("/me").await.problem(401, "session_ended");
    // Without a session the browser can still forget the cookie.
    entered.call("POST /sign-out", &NONE).await.is(200);
}

#[tokio::test]
async fn the_cookie_is_for_this_host_alone_and_unreadable_for_scripts() {
    let console = ApiFixture::new().await;
    console.stage.member("ann", "administrator").await;
    let body = json!({"account": "acme", "email": "ann@example.org", "password": PASSWORD});
    let answer = console.anybody("POST /sign-in", &body).await;
    let cookie = answer.header("set-cookie").unwrap();
    let mut parts = cookie.split("; ");
    let (name, token) = parts.next().unwrap().split_once('=').unwrap();
    assert_eq!((name, token.len()), ("__Host-kwic_session", 43));
    let attributes: Vec<&str> = parts.collect();
    assert_eq!(attributes, ["Secure", "HttpOnly", "SameSite=Strict", "Path=/"]);
    let body = answer.is(200);
    assert_eq!(body["state"], "signed_in");
    assert!(!body.to_string().contains(token), "the token stands in the body as well");
}

#[tokio::test]
async fn a_new_sign_in_ends_the_session_that_the_browser_had() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let body = json!({"account": "acme", "email": "ann@example.org", "password": PASSWORD});
    let again = ann.call("POST /sign-in", &body).await;
    assert_ne!(again.cookie(), ann.cookie);
    ann.get("/me").await.problem(401, "session_ended");
    // Another browser's stays.
    let other = console.sign_in("acme", "ann").await;
    console.sign_in("acme", "ann").await;
    other.get("/me").await.is(200);
}

#[tokio::test]
async fn only_a_page_of_our_own_may_change_anything() {
    let console = ApiFixture::with(|config| {
        config.console.public_url = Some("https://team.example:443/x".to_owned());
    })
    .await;
    let ann = console.person("ann", "administrator").await;
    let local = format!("host: {0}\r\norigin: http://{0}\r\n", console.address);
    let cases = [
        // What the browser says of itself, and whether it is heard with the cookie and without.
        ("sec-fetch-site: same-origin\r\n", true, true),
        ("sec-fetch-site: none\r\n", true, true),
        ("sec-fetch-site: same-site\r\n", false, false),
        ("sec-fetch-site: cross-site\r\n", false, false),
        ("sec-fetch-site: sideways\r\n", false, false),
        ("sec-fetch-site: same-origin\r\nsec-fetch-site: cross-site\r\n", false, false),
        ("sec-fetch-site: same-origin\r\norigin: https://evil.example\r\n", true, true),
        ("sec-fetch-site: cross-site\r\norigin: https://team.example\r\n", false, false),
        ("origin: https://team.example\r\n", true, true),
        ("host: team.example\r\norigin: https://team.example\r\n", true, true),
        (local.as_str(), true, true),
        ("origin: http://team.example\r\n", false, false),
        ("origin: https://team.example:8443\r\n", false, false),
        ("origin: https://evil.example\r\n", false, false),
        ("origin: https://team.example.evil.example\r\n", false, false),
        ("origin: null\r\n", false, false),
        ("origin: https://team.example\r\norigin: https://evil.example\r\n", false, false),
        ("host: localhost\r\norigin: http://localhost:3000\r\n", false, false),
        ("", false, true),
    ];
    let cookies = [format!("cookie: {}\r\n", ann.cookie), String::new()];
    // With nobody signed in the call is an open one: somebody could be signed in as another.
    let calls = [("POST /roles/suggest", r#"{"actions":["team:view"]}"#), ("POST /sign-in", "{}")];
    for (headers, with_cookie, without) in cases {
        for ((cookie, (line, body)), heard) in cookies.iter().zip(calls).zip([with_cookie, without])
        {
            let head = format!("{headers}{cookie}content-type: application/json\r\n");
            let answer = console.raw(line, &head, body).await;
            let refused = answer.status == 403;
            assert_eq!(!refused, heard, "{head}{line}: {}", answer.text);
            if refused {
                answer.problem(403, "cross_site");
            }
        }
    }
    // Reading needs none of it, and a cookie that is there twice counts as sent.
    let head = format!("sec-fetch-site: cross-site\r\ncookie: {}\r\n", ann.cookie);
    console.raw("GET /roles", &head, "").await.is(200);
    let twice = format!("cookie: {0}\r\ncookie: {0}\r\n", ann.cookie);
    console.raw("POST /sign-out", &twice, "").await.problem(403, "cross_site");
    ann.get("/me").await.is(200);
}

#[tokio::test]
async fn a_cookie_that_is_there_twice_is_none() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let cookie = &ann.cookie;
    for headers in [
        format!("cookie: {cookie}; {cookie}\r\n"),
        format!("cookie: {cookie}\r\ncookie: __Host-kwic_session=x\r\n"),
        format!("cookie: __Host-kwic_session=x; other=1; {cookie}\r\n"),
    ] {
        console.raw("GET /me", &headers, "").await.problem(401, "session_ended");
    }
    let beside = format!("cookie: other=1; {cookie}; more=__Host-kwic_session=x\r\n");
    console.raw("GET /me", &beside, "").await.is(200);
}

#[tokio::test]
async fn a_name_that_somebody_points_here_is_refused() {
    let console = ApiFixture::with(|config| {
        config.console.public_url = Some("https://team.example:8443".to_owned());
    })
    .await;
    for host in ["localhost", "127.0.0.1:8180", "[::1]:80", "team.example", "TEAM.example:8443"] {
        let head = format!("host: {host}\r\n");
        console.raw("GET /me", &head, "").await.problem(401, "not_signed_in");
    }
    for host in ["evil.example", "team.example.evil.example", "10.0.0.1", ""] {
        let head = format!("host: {host}\r\n");
        let answer = console.raw("GET /openapi.json", &head, "").await;
        answer.problem(403, "foreign_host");
        is_dressed(&answer);
    }
    let twice = "host: localhost\r\nhost: evil.example\r\n";
    console.raw("GET /openapi.json", twice, "").await.problem(400, "no_host");
}

#[tokio::test]
async fn a_session_knows_the_address_that_a_trusted_proxy_names() {
    let address = |trusted: &'static [&'static str]| async move {
        let console = ApiFixture::with(|config| {
            let networks = trusted.iter().filter_map(|text| IpNetwork::parse(text));
            config.console.trusted_proxies = networks.collect();
        })
        .await;
        console.stage.member("ann", "administrator").await;
        let body = json!({"account": "acme", "email": "ann@example.org", "password": PASSWORD});
        let head = "content-type: application/json\r\nx-forwarded-for: 192.0.2.66\r\n\
                    x-forwarded-for: 203.0.113.9, 10.1.2.3\r\nuser-agent: Browser\t/1\r\n";
        let answer = console.raw("POST /sign-in", head, &body.to_string()).await;
        let head = format!("cookie: {}\r\n", answer.cookie());
        let session = console.raw("GET /me", &head, "").await.is(200)["session"].clone();
        assert_eq!(session["agent"], "Browser/1");
        session["address"].as_str().unwrap().to_owned()
    };
    assert_eq!(address(&[]).await, "", "a proxy that nobody named is no person");
    assert_eq!(address(&["127.0.0.0/8"]).await, "10.1.2.3");
    assert_eq!(address(&["127.0.0.0/8", "10.0.0.0/8"]).await, "203.0.113.9");
}

#[tokio::test]
async fn a_cookie_of_another_application_signs_nobody_out() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    for foreign in ["theme=caf\u{e9}; ", "n\u{e4}me=x;", "flag; ;=x; ", "q=\"a; b=\"; "] {
        let head = format!("cookie: {foreign}{}\r\n", ann.cookie);
        console.raw("GET /me", &head, "").await.is(200);
        let page = console.raw("GET /raw/me", &head, "").await;
        assert_eq!(page.status, 200, "{foreign}");
    }
}

#[tokio::test]
async fn every_answer_tells_a_browser_to_keep_and_guess_nothing() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let answers = [
        (ann.get("/me").await, 200),
        (ann.get("/members/export").await, 200),
        (console.anybody("GET /openapi.json", &NONE).await, 200),
        (console.anybody("GET /me", &NONE).await, 401),
        (ann.get("/accounts").await, 403),
        (ann.get("/members/nobody").await, 404),
        (ann.get("/nothing").await, 404),
        (console.raw("GET /raw/", "", "").await, 303),
        (console.raw("GET /raw/nothing", "", "").await, 404),
        (console.raw("GET /raw/sign-in", "", "").await, 200),
        (ann.call("PUT /members", &NONE).await, 405),
        (ann.call("POST /invites", &json!({})).await, 400),
        (ann.call("PATCH /me", &json!({"first_name": "A"})).await, 428),
        (ann.call("POST /sign-out", &NONE).await, 200),
    ];
    for (answer, status) in answers {
        assert_eq!(answer.status, status, "{answer:?}");
        is_dressed(&answer);
        let policy = answer.header("content-security-policy").unwrap();
        for part in ["frame-ancestors 'none'", "base-uri 'none'", "object-src 'none'"] {
            assert!(policy.contains(part), "{policy}");
        }
        assert_eq!(answer.header("strict-transport-security"), None, "plain HTTP promises nothing");
    }
    // A promise is for the whole host, on every port: below a path or at a port the host is another's,
    // and names below it always are.
    for (base, promise) in [
        ("https://team.example", Some("max-age=31536000")),
        ("https://app.example/team", None),
        ("https://app.example:8443", None),
        ("https://app.example:8443/team", None),
    ] {
        let ciphered =
            ApiFixture::with(|config| config.console.public_url = Some(base.to_owned())).await;
        for path in ["GET /nothing", "GET /raw/sign-in", "POST /sign-out"] {
            let answer = ciphered.anybody(path, &NONE).await;
            assert_eq!(answer.header("strict-transport-security"), promise, "{base} {path}");
        }
    }
}

#[tokio::test]
async fn a_proxy_may_leave_the_path_of_the_address_in_place() {
    let console = ApiFixture::with(|config| {
        config.console.public_url = Some("https://team.example/team/".to_owned());
    })
    .await;
    for path in ["/raw/team/api/v1/openapi.json", "/raw/api/v1/openapi.json"] {
        let document = console.anybody(&format!("GET {path}"), &NONE).await.is(200);
        assert_eq!(document["servers"][0]["url"], "https://team.example/team/api/v1");
    }
    // What is no call is a page: here, one that there is not.
    for (path, status) in [("/raw/teamapi/v1/openapi.json", 404), ("/raw/team/nothing", 404)] {
        assert_eq!(console.raw(&format!("GET {path}"), "", "").await.status, status, "{path}");
    }
    // The console has pages below a path of the same name: each is found both ways.
    for path in ["/raw/team/sign-in", "/raw/sign-in"] {
        assert_eq!(console.raw(&format!("GET {path}"), "", "").await.status, 200, "{path}");
    }
    for path in ["/raw/team/team/invite", "/raw/team/invite"] {
        let answer = console.raw(&format!("GET {path}"), "", "").await;
        assert_eq!(
            answer.header("location"),
            Some("/team/sign-in?next=%2Fteam%2Finvite"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn nobody_calls_without_a_session_but_what_is_open() {
    let console = ApiFixture::new().await;
    let mut open = Vec::new();
    for (method, path, operation) in calls(&console).await {
        let line = format!("{method} {path}");
        let answer = console.anybody(&line, &NONE).await;
        if operation["security"] == json!([]) {
            assert_ne!(answer.status, 401, "{line}");
            open.push(line);
        } else {
            answer.problem(401, "not_signed_in");
        }
    }
    open.sort();
    let expected = [
        "GET /openapi.json",
        "POST /invites/accept",
        "POST /invites/inspect",
        "POST /invites/request-new",
        "POST /me/email/confirm",
        "POST /password-reset",
        "POST /password-reset/confirm",
        "POST /setup",
        "POST /sign-in",
        "POST /sign-in/passkey",
        "POST /sign-in/passkey/confirm",
        "POST /sign-in/second-factor",
        "POST /sign-in/two-step",
        "POST /sign-in/two-step/confirm",
        "POST /sign-out",
    ];
    assert_eq!(open, expected);
    let made_up = format!("cookie: __Host-kwic_session={}\r\n", "A".repeat(43));
    console.raw("GET /me", &made_up, "").await.problem(401, "session_ended");
    let ann = console.person("ann", "administrator").await;
    let key = "authorization: Bearer kwt_x\r\n";
    ann.send("GET /me", key, &NONE).await.problem(401, "token_ended");
    ann.send("GET /me", "authorization: Basic eDp5\r\n", &NONE).await.is(200);
}

#[tokio::test]
async fn what_the_document_says_of_callers_holds() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let (mut operators, mut members) = (0, 0);
    for (method, path, operation) in calls(&console).await {
        let line = format!("{method} {path}");
        if says(&operation, "For the operator of the sidecar, on `admin.sock`.") {
            ann.call(&line, &NONE).await.problem(403, "operator_only");
            operators += 1;
        }
        if says(&operation, "about themselves") {
            console.operator(&line, &NONE).await.problem(403, "session_needed");
            members += 1;
        }
    }
    assert_eq!((operators, members), (11, 19));
    ann.call("POST /policies/reload", &NONE).await.problem(403, "operator_only");
}

#[tokio::test]
async fn the_account_that_manages_policies_may_reload_them() {
    let console = ApiFixture::with(|config| {
        config.policies.managed_by = Some(AccountSlug::parse("acme").unwrap());
    })
    .await;
    let ann = console.person("ann", "administrator").await;
    assert_eq!(ann.call("POST /policies/reload", &NONE).await.is(200)["changed"], false);
    let checked = ann.call("POST /policies/check", &NONE).await.is(200);
    assert_eq!(checked["changed"], false);
    assert_eq!((&checked["may_gain"], &checked["may_lose"]), (&json!([]), &json!([])));
    assert_eq!(ann.get("/policies").await.is(200)["state"], "live");
    let bo = console.person("bo", "operator").await;
    for call in ["reload", "check", "approve", "rollback", "unpin"] {
        let call = format!("POST /policies/{call}");
        bo.call(&call, &NONE).await.problem(403, "not_allowed");
    }
    for path in ["/policies", "/policies/history", "/policies/history/live"] {
        bo.get(path).await.problem(403, "not_allowed");
    }
    let listed = ann.get("/policies/history").await.is(200);
    assert_eq!(listed["items"], json!([]), "nothing was saved in this fixture");
    ann.get("/policies/history/1").await.problem(404, "unknown_policy_set");
    ann.call("POST /policies/unpin", &NONE).await.problem(409, "not_pinned");
    let rollback = ("POST /policies/rollback", json!({"set": "1"}));
    ann.call(rollback.0, &rollback.1).await.problem(404, "unknown_policy_set");
}

#[tokio::test]
async fn a_role_without_rights_reads_roles_and_itself_and_no_more() {
    let console = ApiFixture::new().await;
    let bo = console.person("bo", "operator").await;
    for path in [
        "/members",
        "/members/x",
        "/members/export",
        "/invites",
        "/audit",
        "/audit/verify",
        "/account",
        "/mail",
        "/events",
    ] {
        bo.get(path).await.problem(403, "not_allowed");
    }
    let person = json!({"first_name": "A", "last_name": "B", "email": "c@example.org",
        "role": "operator"});
    bo.call("POST /invites", &person).await.problem(403, "not_allowed");
    bo.call("POST /mail/resume", &NONE).await.problem(403, "not_allowed");
    bo.get("/roles").await.is(200);
    bo.get("/roles/compare").await.is(200);
    let mine = bo.get("/me/permissions").await.is(200);
    let allowed = |action: &str| {
        mine["items"].as_array().unwrap().iter().any(|item| {
            item["action"] == action
                && item["resource"] == "account"
                && item["allowed"] == "allowed"
        })
    };
    assert!(allowed("chats:respond") && !allowed("team:view"), "{mine}");
    let asked = json!({"actions": ["chats:respond", "chats:assign"]});
    let suggested = bo.call("POST /roles/suggest", &asked).await.is(200);
    assert_eq!(suggested["role"]["id"], "chat_manager");
    assert_eq!(suggested["others"], json!(["administrator"]));
    let slip = json!({"actions": ["chats:view", "chat:respond"]});
    let problem = bo.call("POST /roles/suggest", &slip).await.problem(400, "invalid");
    assert_eq!(problem["fields"][0]["field"], "actions[1]");
    assert!(problem["detail"].as_str().unwrap().contains("did you mean `chats:respond`"));
}

#[tokio::test]
async fn another_accounts_ids_are_nobodys() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let globex = AccountSlug::parse("globex").unwrap();
    let permit = StorePermit::sidecar(7);
    accounts::create(&console.stage.app, permit, globex, "Globex", None).await.unwrap();
    let person = json!({"id": "their-1", "first_name": "Cy", "last_name": "Lee",
        "email": "cy@example.org", "role": "administrator"});
    console.operator("POST /members?account=globex", &person).await.is(201);
    let mut invited = person.clone();
    invited["email"] = json!("dee@example.org");
    invited.as_object_mut().unwrap().remove("id");
    let invite = console.operator("POST /invites?account=globex", &invited).await.is(201);
    let invite = invite["id"].as_str().unwrap();

    let any = "if-match: *\r\n";
    for id in ["their-1", "nobody", "%20", "%zz", "a%2Fb"] {
        let at = |below: &str| format!("/members/{id}{below}");
        let unknown = |answer: Answer| drop(answer.problem(404, "unknown_member"));
        unknown(ann.get(&at("")).await);
        unknown(ann.get(&at("/sessions")).await);
        unknown(ann.get(&at("/permissions")).await);
        unknown(ann.send(&format!("PATCH {}", at("")), any, &json!({"first_name": "X"})).await);
        unknown(ann.call(&format!("DELETE {}", at("")), &NONE).await);
        for verb in ["/suspend", "/restore", "/end-sessions", "/reset-password"] {
            unknown(ann.call(&format!("POST {}", at(verb)), &NONE).await);
        }
    }
    for id in [invite, "nobody", "i0"] {
        let unknown = |answer: Answer| drop(answer.problem(404, "unknown_invite"));
        unknown(ann.get(&format!("/invites/{id}")).await);
        let edit = format!("PATCH /invites/{id}");
        unknown(ann.send(&edit, any, &json!({"first_name": "X"})).await);
        unknown(ann.call(&format!("DELETE /invites/{id}"), &NONE).await);
        for verb in ["resend", "link"] {
            unknown(ann.call(&format!("POST /invites/{id}/{verb}"), &NONE).await);
        }
    }
    let bulk = json!({"items": [{"id": "their-1", "do": "remove"}]});
    let done = ann.call("POST /members/bulk", &bulk).await.is(200);
    assert_eq!(done["items"][0]["problem"]["code"], "unknown_member", "{done}");
    let other = console.sign_in("acme", "ann").await;
    let session = other.get("/me").await.is(200)["session"]["id"].as_str().unwrap().to_owned();
    console.stage.mails().await;
    let bo = console.person("bo", "operator").await;
    for id in [session.as_str(), "nobody"] {
        bo.call(&format!("DELETE /me/sessions/{id}"), &NONE).await.problem(404, "unknown_session");
    }
    // A member, an invite and its mail: nothing of theirs has changed.
    let theirs = console.operator("GET /audit?account=globex", &NONE).await.is(200);
    let events: Vec<&str> = theirs["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["user_created", "invite_created", "mail_handed_over"], "{theirs}");
    ann.get("/members?account=globex").await.problem(400, "invalid");
    ann.get("/members?account=acme").await.problem(400, "invalid");
    ann.get("/members?account=").await.problem(400, "invalid");
}

#[tokio::test]
async fn a_path_that_takes_other_methods_names_them() {
    let console = ApiFixture::new().await;
    let document = console.anybody("GET /openapi.json", &NONE).await.is(200);
    for (path, place) in document["paths"].as_object().unwrap() {
        let mut known: Vec<String> =
            place.as_object().unwrap().keys().map(|key| key.to_ascii_uppercase()).collect();
        if known.contains(&"GET".to_owned()) {
            known.push("HEAD".to_owned());
        }
        known.sort();
        let at = path.replace("{id}", "nobody");
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FLY"] {
            let answer = console.raw(&format!("{method} {at}"), "", "").await;
            assert_eq!(answer.status == 405, !known.contains(&method.to_owned()), "{method} {at}");
            if answer.status == 405 {
                let mut allow: Vec<&str> = answer.header("allow").unwrap().split(", ").collect();
                allow.sort_unstable();
                assert_eq!(allow, known, "{method} {at}");
            }
        }
    }
}

#[tokio::test]
async fn reading_changes_nothing_and_head_says_the_same_as_get() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let person = json!({"first_name": "Bo", "last_name": "Lee", "email": "bo@example.org",
        "role": "operator"});
    let invite = ann.call("POST /invites", &person).await.is(201);
    let id = invite["id"].as_str().unwrap();
    let member = ann.get("/me").await.is(200)["id"].as_str().unwrap().to_owned();
    let before = console.revision().await;
    let mut read = 0;
    for (method, path, _) in calls(&console).await {
        let path = match path.split('/').nth(1) {
            Some("invites") => path.replace("nobody", id),
            Some("members") => path.replace("nobody", &member),
            Some("roles") => path.replace("nobody", "operator"),
            _ => path,
        };
        if path == "/events" || method != "GET" {
            continue;
        }
        let (got, head) = (ann.get(&path).await, ann.call(&format!("HEAD {path}"), &NONE).await);
        assert_eq!((head.status, head.text.as_str()), (got.status, ""), "{path}");
        for name in ["etag", "content-type", "content-length", "set-cookie"] {
            assert_eq!(head.header(name), got.header(name), "{name} of {path}");
        }
        read += 1;
    }
    assert!(read > 15, "{read}");
    assert_eq!(console.revision().await, before);
}

#[tokio::test]
async fn an_edit_says_which_version_it_was_made_of() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let bo = console.stage.member("bo", "operator").await;
    let person = json!({"first_name": "Cy", "last_name": "Lee", "email": "cy@example.org",
        "role": "operator"});
    let invite = ann.call("POST /invites", &person).await.is(201);
    let invite = format!("/invites/{}", invite["id"].as_str().unwrap());
    let places = [
        ("/me".to_owned(), json!({"first_name": "An"})),
        (format!("/members/{}", bo.id), json!({"last_name": "Li"})),
        (invite, json!({"last_name": "Li"})),
        ("/account".to_owned(), json!({"invite_lifetime_hours": 24})),
    ];
    for (path, change) in places {
        let edit = format!("PATCH {path}");
        ann.call(&edit, &change).await.problem(428, "if_match_missing");
        ann.send(&edit, "if-match: 1\r\n", &change).await.problem(400, "if_match");
        ann.send(&edit, "if-match: \"99\"\r\n", &change).await.problem(412, "stale");
        let tag = ann.get(&path).await.header("etag").unwrap().to_owned();
        let head = format!("if-match: {tag}\r\n");
        ann.send(&edit, &head, &json!({})).await.problem(400, "no_change");
        ann.send(&edit, &head, &json!({"colour": "red"})).await.problem(400, "invalid");
        let edited = ann.send(&edit, &head, &change).await;
        let (field, value) = change.as_object().unwrap().iter().next().unwrap();
        assert_eq!(edited.is(200)[field], *value, "{path}");
        assert_ne!(edited.header("etag"), Some(tag.as_str()), "{path}");
        assert_eq!(ann.get(&path).await.header("etag"), edited.header("etag"), "{path}");
        ann.send(&edit, &head, &change).await.problem(412, "stale");
        ann.send(&edit, "if-match: *\r\n", &change).await.is(200);
    }
    let own = format!("PATCH /members/{}", bo.id);
    let email = json!({"email": "new@example.org"});
    ann.send(&own, "if-match: *\r\n", &email).await.problem(403, "operator_only");
}

#[tokio::test]
async fn what_nobody_knows_is_told_and_not_passed_over() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    for (method, path, _) in calls(&console).await {
        let line = format!("{method} {path}?colour=red");
        let answer = ann.call(&line, &NONE).await;
        // Calls that others make, ids that nobody has, and bodies come first.
        assert!(matches!(answer.status, 400 | 403 | 404 | 428), "{line}: {answer:?}");
    }
    let read = ann.get("/members?colour=red&limit=0").await.problem(400, "invalid");
    assert_eq!(read["fields"].as_array().unwrap().len(), 2, "{read}");
    // A call without a body takes none, or an empty one.
    let json = "content-type: application/json\r\n";
    let suspend = "POST /members/nobody/suspend";
    ann.call(suspend, &json!({"reason": "x"})).await.problem(400, "invalid");
    ann.call(suspend, &json!({})).await.problem(404, "unknown_member");
    let own = format!("cookie: {}\r\nsec-fetch-site: same-origin\r\n", ann.cookie);
    console.raw(suspend, &own, "reason=x").await.problem(400, "content_type");
    let form = format!("{own}content-type: application/x-www-form-urlencoded\r\n");
    console.raw("POST /invites", &form, "a=b").await.problem(400, "content_type");
    console.raw("POST /invites", &format!("{own}{json}"), "").await.problem(400, "body");
    let large = format!("{own}{json}content-length: 9999999\r\n");
    console.raw("POST /invites", &large, "").await.problem(413, "body_too_large");
}

#[tokio::test]
async fn several_are_invited_and_each_is_told_apart() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let person = |email: &str, role: &str| json!({"first_name": "Bo", "last_name": "Lee", "email": email, "role": role});
    let items = [
        person("bo@example.org", "operator"),
        person("ANN@example.org", "operator"),
        person("cy@example.org", "boss"),
    ];
    let sent = ann.call("POST /invites/bulk", &json!({"items": items})).await.is(200);
    let sent = sent["items"].as_array().unwrap();
    assert_eq!(sent[0]["invite"]["state"], "pending");
    let codes: Vec<&Value> = sent.iter().map(|one| &one["problem"]["code"]).collect();
    assert_eq!(codes, [&NONE, &json!("already_member"), &json!("unknown_role")]);
    let statuses: Vec<&Value> = sent.iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, [&json!(201), &json!(409), &json!(400)]);
    assert_eq!(sent[2]["problem"]["fields"][0]["field"], "role");
    assert_eq!(ann.get("/invites").await.is(200)["items"].as_array().unwrap().len(), 2);

    // Invalid rows are reported together, and nobody is invited.
    let items = [person("dee@example.org", "operator"), json!({"first_name": "", "email": "x"})];
    let refused = ann.call("POST /invites/bulk", &json!({"items": items})).await;
    let refused = refused.problem(400, "invalid");
    let fields: Vec<&str> = refused["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["field"].as_str().unwrap())
        .collect();
    let expected = ["items[1].first_name", "items[1].last_name", "items[1].email", "items[1].role"];
    assert_eq!(fields, expected);
    assert_eq!(ann.get("/invites?search=dee").await.is(200)["items"], json!([]));
    for items in [json!([]), json!(vec![person("e@example.org", "operator"); 101])] {
        ann.call("POST /invites/bulk", &json!({"items": items})).await.problem(400, "invalid");
    }
}

#[tokio::test]
async fn several_are_changed_and_the_guards_hold_for_each() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let own = ann.get("/me").await.is(200)["id"].as_str().unwrap().to_owned();
    let mut ids = Vec::new();
    for who in ["bo", "cy", "dee", "eve"] {
        ids.push(console.stage.member(who, "operator").await.id.to_string());
    }
    let items = json!([
        {"id": ids[0], "do": "suspend"},
        {"id": ids[0], "do": "restore", "version": 2},
        {"id": ids[1], "do": "remove"},
        {"id": ids[2], "do": "role", "role": "chat_manager"},
        {"id": ids[2], "do": "suspend", "version": 1},
        {"id": ids[3], "do": "end_sessions"},
        {"id": own, "do": "role", "role": "operator"},
        {"id": own, "do": "remove"},
        {"id": "nobody", "do": "suspend"},
    ]);
    let done = ann.call("POST /members/bulk", &json!({"items": items})).await.is(200);
    let done = done["items"].as_array().unwrap();
    let statuses: Vec<u64> = done.iter().map(|one| one["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 412, 200, 409, 409, 404], "{done:?}");
    assert_eq!(done[1]["member"]["status"], "active");
    assert_eq!(done[2]["receipt"]["id"], json!(ids[1]));
    assert_eq!(done[3]["member"]["role"], "chat_manager");
    assert_eq!(done[5]["receipt"]["sessions_ended"], 0);
    assert_eq!(done[6]["problem"]["code"], "own_role");
    assert_eq!(done[7]["problem"]["code"], "last_administrator");
    ann.get("/me").await.is(200);
}

#[tokio::test]
async fn a_repeated_call_under_one_key_invites_nobody_twice() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let person = |email: &str| json!({"first_name": "Bo", "last_name": "Lee", "email": email, "role": "operator"});
    let key = "idempotency-key: one\r\n";
    let first = ann.send("POST /invites", key, &person("bo@example.org")).await.is(201);
    let again = ann.send("POST /invites", key, &person("bo@example.org")).await.is(200);
    assert_eq!(first["id"], again["id"]);
    let other = ann.send("POST /invites", key, &person("cy@example.org")).await;
    other.problem(409, "idempotency_key_reused");
    ann.call("POST /invites", &person("bo@example.org")).await.problem(409, "already_invited");
    let twice = "idempotency-key: one\r\nidempotency-key: two\r\n";
    ann.send("POST /invites", twice, &person("dee@example.org"))
        .await
        .problem(400, "idempotency_key");
}

#[tokio::test]
async fn an_address_whose_domain_has_no_dot_gets_a_warning() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let warning = json!("`example` has no dot: check the address");
    let asha = json!({"first_name": "Asha", "last_name": "Rao", "email": "asha@example",
        "role": "operator"});
    console.stage.later(61_000);
    let sent = ann.call("POST /invites", &asha).await.is(201);
    assert_eq!(sent["warning"], warning);
    console.stage.later(61_000);
    let resend = format!("POST /invites/{}/resend", sent["id"].as_str().unwrap());
    assert_eq!(ann.call(&resend, &NONE).await.is(200)["warning"], warning);
    console.stage.later(61_000);
    let bo = json!({"items": [
        {"first_name": "Bo", "last_name": "Lee", "email": "bo@example", "role": "operator"},
        {"first_name": "Cy", "last_name": "Lee", "email": "cy@example.org", "role": "operator"},
    ]});
    let several = ann.call("POST /invites/bulk", &bo).await.is(200);
    let of = |at: usize| several["items"][at]["invite"]["warning"].clone();
    assert_eq!((of(0), of(1)), (warning.clone(), Value::Null), "{several}");
    let mut first = asha.clone();
    first["slug"] = json!("beta");
    first["name"] = json!("Beta");
    first["role"] = json!("administrator");
    let made = console.operator("POST /accounts", &first).await.is(201);
    assert_eq!(made["invite"]["warning"], warning);
}

#[tokio::test]
async fn own_sessions_are_listed_and_ended() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let other = console.sign_in("acme", "ann").await;
    let listed = ann.get("/me/sessions").await.is(200);
    let sessions = listed["items"].as_array().unwrap();
    assert_eq!(sessions.iter().filter(|one| one["current"] == true).count(), 1);
    assert_eq!(sessions.len(), 2);
    let id = other.get("/me").await.is(200)["session"]["id"].as_str().unwrap().to_owned();
    let ended = ann.call(&format!("DELETE /me/sessions/{id}"), &NONE).await;
    assert_eq!(
        (ended.is(200)["sessions_ended"].clone(), ended.header("set-cookie")),
        (json!(1), None)
    );
    other.get("/me").await.problem(401, "session_ended");
    let third = console.sign_in("acme", "ann").await;
    assert_eq!(ann.call("DELETE /me/sessions", &NONE).await.is(200)["sessions_ended"], 1);
    third.get("/me").await.problem(401, "session_ended");
    let own = ann.get("/me").await.is(200)["session"]["id"].as_str().unwrap().to_owned();
    let ended = ann.call(&format!("DELETE /me/sessions/{own}"), &NONE).await;
    takes_only_its_own(&ended);
    ann.get("/me").await.problem(401, "session_ended");
}

#[tokio::test]
async fn an_administrator_signs_somebody_out_everywhere() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let bo = console.person("bo", "operator").await;
    let other = console.sign_in("acme", "bo").await;
    let id = bo.get("/me").await.is(200)["id"].as_str().unwrap().to_owned();
    let ended = ann.call(&format!("POST /members/{id}/end-sessions"), &NONE).await.is(200);
    assert_eq!(ended["sessions_ended"], 2);
    for dead in [&bo, &other] {
        dead.get("/me").await.problem(401, "session_ended");
    }
    ann.get("/me").await.is(200);
}

#[tokio::test]
async fn an_administrator_sends_a_link_and_chooses_nobodys_password() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let bo = console.stage.member("bo", "operator").await;
    let line = format!("POST /members/{}/reset-password", bo.id);
    let chosen = json!({"password": "eleven blue umbrellas"});
    ann.call(&line, &chosen).await.problem(400, "invalid");
    console.stage.mails().await;
    let sent = ann.call(&line, &NONE).await;
    sent.is(200);
    let link = crate::support::fixture::Fixture::link_of(&console.stage.mails().await);
    assert!(!sent.text.contains(link.code.expose()), "the link is the member's: {sent:?}");
    let set = json!({"token": link.code.expose(), "password": "eleven blue umbrellas"});
    console.anybody("POST /password-reset/confirm", &set).await.is(200);
}

#[tokio::test]
async fn a_new_password_gives_a_new_cookie_and_leaving_takes_it() {
    let console = ApiFixture::new().await;
    console.person("ann", "administrator").await;
    let bo = console.person("bo", "operator").await;
    let other = console.sign_in("acme", "bo").await;
    let wrong = json!({"current": "not it, not it at all", "password": "eleven blue umbrellas"});
    bo.call("POST /me/password", &wrong).await.problem(403, "wrong_password");
    let right = json!({"current": PASSWORD, "password": "eleven blue umbrellas"});
    let changed = bo.call("POST /me/password", &right).await;
    assert_eq!(changed.is(200)["sessions_ended"], 1);
    for dead in [&bo, &other] {
        dead.get("/me").await.problem(401, "session_ended");
    }
    let bo = crate::support::api_fixture::Person { console: &console, cookie: changed.cookie() };
    bo.get("/me").await.is(200);
    bo.call("POST /me/leave", &json!({"password": PASSWORD})).await.problem(403, "wrong_password");
    let left = bo.call("POST /me/leave", &json!({"password": "eleven blue umbrellas"})).await;
    assert_eq!(left.is(200)["sessions_ended"], 1);
    takes_only_its_own(&left);
    bo.get("/me").await.problem(401, "session_ended");
}

#[tokio::test]
async fn the_product_hears_of_a_removal_and_a_listener_without_the_right_is_disconnected() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let bo = console.stage.member("bo", "operator").await;
    let mut heard = listen(&console, &ann.cookie).await;
    let begins = heard.event().await.unwrap();
    assert!(begins.starts_with("event: begins\nid: "), "{begins}");
    ann.call(&format!("POST /members/{}/suspend", bo.id), &NONE).await.is(200);
    let suspended = heard.event().await.unwrap();
    assert!(suspended.starts_with("event: member_changed\n"), "{suspended}");
    assert!(suspended.contains(r#""status":"suspended""#), "{suspended}");
    let removed = ann.call(&format!("DELETE /members/{}", bo.id), &NONE).await.is(200);
    let told = heard.event().await.unwrap();
    assert!(told.starts_with(&format!("event: member_removed\nid: {}\n", removed["revision"])));
    assert!(told.contains(bo.id.as_str()), "{told}");
    ann.call("POST /sign-out", &NONE).await.is(200);
    // At the next event the listener has lost the right.
    console.stage.member("cy", "operator").await;
    assert_eq!(heard.event().await, None);
}

#[tokio::test]
async fn a_sidecar_that_stops_does_not_wait_for_who_listens() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let mut heard = listen(&console, &ann.cookie).await;
    heard.event().await.unwrap();
    let began = std::time::Instant::now();
    assert_eq!(console.server.drain().await, 0, "cut off");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// A listener's end of the connection.
struct Heard(BufReader<TcpStream>);

async fn listen(console: &ApiFixture, cookie: &str) -> Heard {
    let mut stream = TcpStream::connect(console.address).await.unwrap();
    let head =
        format!("GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\ncookie: {cookie}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut heard = Heard(BufReader::new(stream));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(heard.0.read_line(&mut head).await.unwrap() > 0, "{head}");
    }
    assert!(head.contains("text/event-stream") && head.contains("no-store"), "{head}");
    heard
}

impl Heard {
    /// The next event; `None` at the end of the answer. Each event comes as one chunk.
    async fn event(&mut self) -> Option<String> {
        let mut event = String::new();
        loop {
            let mut line = String::new();
            let read = self.0.read_line(&mut line);
            let read = tokio::time::timeout(Duration::from_secs(10), read).await.expect("in time");
            let line = line.trim_end_matches(['\r', '\n']);
            if read.unwrap() == 0 || line == "0" {
                return None;
            }
            if line.is_empty() && event.contains("data: ") {
                return Some(event);
            }
            if line.contains(": ") {
                event.push_str(line);
                event.push('\n');
            }
        }
    }
}

#[tokio::test]
async fn the_first_account_is_made_by_a_link_that_opens_once() {
    let console = ApiFixture::empty().await;
    let token =
        kwic_team::services::set_up::offer_setup_link(&console.stage.app).await.unwrap().unwrap();
    let body = |token: &str, password: &str| {
        json!({"token": token, "slug": "first", "name": "First", "email": "ann@example.org",
            "first_name": "Ann", "last_name": "Lee", "password": password})
    };
    let wrong = body(&"A".repeat(43), PASSWORD);
    let dead = console.anybody("POST /setup", &wrong).await.problem(410, "link_dead");
    assert!(dead["detail"].as_str().unwrap().contains("the newest link in the terminal"), "{dead}");
    let weak = console.anybody("POST /setup", &body(token.expose(), "short")).await;
    assert_eq!(weak.problem(400, "invalid")["fields"][0]["field"], "password");
    let made = console.anybody("POST /setup", &body(token.expose(), PASSWORD)).await.is(201);
    assert_eq!(
        (&made["account"]["slug"], &made["member"]["role"]),
        (&json!("first"), &json!("administrator"))
    );
    let used = console.anybody("POST /setup", &body(token.expose(), PASSWORD)).await;
    let used = used.problem(410, "link_dead");
    assert!(used["detail"].as_str().unwrap().contains("there is an account already"), "{used}");
    console.sign_in("first", "ann").await.get("/account").await.is(200);
}

#[tokio::test]
async fn a_password_is_asked_for_and_reset_with_one_answer_for_everybody() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    console.stage.mails().await;
    let ask = |who: &str| json!({"account": "acme", "email": format!("{who}@example.org")});
    let (known, unknown) = (
        console.anybody("POST /password-reset", &ask("ann")).await,
        console.anybody("POST /password-reset", &ask("nobody")).await,
    );
    assert_eq!((known.is(202), known.status), (unknown.is(202), unknown.status));
    let mut mails = Vec::new();
    for _ in 0..500 {
        mails.extend(console.stage.mails().await);
        if !mails.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let link = crate::support::fixture::Fixture::link_of(&mails);
    let set = json!({"token": link.code.expose(), "password": "eleven blue umbrellas"});
    let done = console.anybody("POST /password-reset/confirm", &set).await;
    assert_eq!(done.is(200), json!({"state": "changed", "sessions_ended": 1}));
    assert_eq!(done.header("set-cookie"), None, "a reset signs nobody in");
    ann.get("/me").await.problem(401, "session_ended");
    let again = console.anybody("POST /password-reset", &ask("ann")).await;
    assert!(again.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    again.problem(429, "too_many_requests");
    console.stage.later(HOUR);
    console.anybody("POST /password-reset", &ask("ann")).await.is(202);
}

#[tokio::test]
async fn who_is_not_signed_in_sends_little() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let own = format!("cookie: {}\r\nsec-fetch-site: same-origin\r\n", ann.cookie);
    let json = "content-type: application/json\r\n";
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    let claiming = |more: &str, bytes: usize| format!("{more}content-length: {bytes}\r\n");
    let (small, large) = (limits::OPEN_BODY_BYTES_MAX, limits::ADMIN_BODY_BYTES_MAX);
    for path in ["sign-in", "password-reset", "invites/inspect", "invites/accept", "setup"] {
        let line = format!("POST /{path}");
        for who in [json.to_owned(), format!("{own}{json}")] {
            let answer = console.raw(&line, &claiming(&who, small + 1), "").await;
            answer.problem(413, "body_too_large");
        }
    }
    for path in ["/sign-in", "/sign-in/passkey", "/forgot", "/join/look", "/setup", "/team/invite"]
    {
        let line = format!("POST /raw{path}");
        assert_eq!(console.raw(&line, &claiming(form, small + 1), "").await.status, 413, "{path}");
    }
    let several = "POST /raw/team/invite-several";
    let whose = format!("{own}{form}");
    let most = format!("token={}", "x".repeat(small - 6));
    assert_eq!(console.raw("POST /raw/join/look", form, &most).await.status, 410);
    let lines = format!("lines={}", "x".repeat(small));
    assert_eq!(console.raw(several, &whose, &lines).await.status, 200, "a long list is taken");
    assert_eq!(console.raw(several, &claiming(&whose, large + 1), "").await.status, 413);
}

#[tokio::test]
async fn no_account_uses_up_the_mail_of_another() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let bo = console.stage.member("bo", "operator").await;
    let globex = AccountSlug::parse("globex").unwrap();
    let permit = StorePermit::sidecar(7);
    accounts::create(&console.stage.app, permit, globex, "Globex", None).await.unwrap();
    let to = json!({"to": "bo@example.org"});
    // As much as one account may have sent there in a day.
    for _ in 0..5 {
        console.operator("POST /mail/test?account=globex", &to).await.is(200);
        console.stage.later(60_000);
    }
    let more = console.operator("POST /mail/test?account=globex", &to).await;
    more.problem(429, "too_many_requests");
    // Another account, and what else is sent there, go on.
    ann.call("POST /mail/test", &to).await.is(200);
    let reset = format!("POST /members/{}/reset-password", bo.id);
    ann.call(&reset, &NONE).await.is(200);
    ann.call(&reset, &NONE).await.problem(429, "too_many_requests");
    let email = json!({"email": "bo2@example.org", "password": PASSWORD});
    ann.call("POST /mail/test", &json!({"to": "bo2@example.org"})).await.is(200);
    console.stage.later(60_000);
    ann.call("POST /me/email", &email).await.is(202);
}
