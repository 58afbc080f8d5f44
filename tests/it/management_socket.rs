//! The management API as a program meets it: bytes on a unix socket.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kwic_team::admin;
use kwic_team::app::App;
use kwic_team::clock::Clock;
use kwic_team::config::Config;
use kwic_team::directory::Directory;
use kwic_team::domain::Timestamp;
use kwic_team::engine::Snapshot;
use kwic_team::http::{ConnectionBounds, Listen, Server};
use kwic_team::policy_folder;
use kwic_team::services::directory_sync;
use kwic_team::store::Store;
use kwic_team::store::change_feed::Follower;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// A sidecar with nothing but its management socket.
struct Sidecar {
    app: Arc<App>,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

/// An answer.
struct Answer {
    status: u16,
    head: String,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{}", self.text))
    }

    #[track_caller]
    fn is(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }

    /// A problem of this status and code; its text.
    #[track_caller]
    fn problem(self, status: u16, code: &str) -> Value {
        assert!(self.head.contains("application/problem+json"), "{}", self.head);
        let body = self.is(status);
        assert_eq!(body["code"], code, "{body}");
        body
    }
}

impl Sidecar {
    async fn start() -> Self {
        let (sidecar, feed) = Self::start_without_following().await;
        tokio::spawn(directory_sync::follow(Arc::clone(&sidecar.app.directory), feed));
        sidecar
    }

    /// One whose directory does not change until the feed is followed.
    async fn start_without_following() -> (Self, Follower) {
        let clock = Clock::fixed(Timestamp(1_795_000_000_000));
        let store = Store::in_memory(clock.clone()).await.unwrap();
        let directory = Arc::new(Directory::new());
        let feed = directory_sync::load(&store, &directory).await.unwrap();
        let policies = Snapshot::load(&policy_folder::embedded_policies(), &[]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let config = Config::default_for(folder.path().to_owned());
        let app = Arc::new(App::new(config, clock, policies, directory, store).unwrap());
        let socket = folder.path().join("admin.sock");
        let listen = Listen::Unix { path: socket.clone(), mode: 0o600 };
        let listener = listen.bind().await.unwrap();
        let served = Arc::clone(&app);
        tokio::spawn(async move {
            let answer = move |request| {
                let app = Arc::clone(&served);
                async move { admin::route(&app, request).await }
            };
            Server::new(ConnectionBounds::default()).serve(&listener, answer).await;
        });
        (Self { app, socket, _folder: folder }, feed)
    }

    async fn send(&self, line: &str, headers: &str, body: &[u8]) -> Answer {
        let mut stream = UnixStream::connect(&self.socket).await.unwrap();
        let (method, path) = line.split_once(' ').unwrap();
        let head = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-length: {}\r\n{headers}\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, text) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_ascii_lowercase(), text: text.to_owned() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path}"), "", b"").await
    }

    async fn call(&self, line: &str, body: &Value) -> Answer {
        let body = body.to_string();
        self.send(line, "content-type: application/json\r\n", body.as_bytes()).await
    }

    async fn account(&self, slug: &str) {
        self.call("POST /accounts", &json!({"slug": slug, "name": slug})).await.is(201);
    }

    async fn member(&self, account: &str, id: &str) -> Value {
        let body = json!({"id": id, "first_name": "Ann", "last_name": "Lee",
            "email": format!("{id}@example.org"), "role": "operator"});
        self.call(&format!("POST /members?account={account}"), &body).await.is(201)
    }
}

#[tokio::test]
async fn an_account_and_a_member_are_made_and_found() {
    let sidecar = Sidecar::start().await;
    sidecar.get("/members").await.problem(400, "account_missing");
    sidecar.account("acme").await;
    let made = sidecar.member("acme", "a1").await;
    assert_eq!((&made["status"], &made["version"]), (&json!("active"), &json!(1)));
    assert_eq!(made["joined"], "2026-11-18T11:06:40Z");
    // Decisions know the member before the caller does.
    assert_eq!(
        sidecar.app.directory.with("a1", |member| member.role.to_owned()).unwrap(),
        "operator"
    );
    let shown = sidecar.get("/members/a%31").await;
    assert!(shown.head.contains("etag: \"1\""), "{}", shown.head);
    assert_eq!(shown.is(200)["email"], "a1@example.org");
    assert_eq!(sidecar.get("/members?email=A1@example.org").await.is(200)["items"][0]["id"], "a1");
    sidecar
        .call("POST /accounts", &json!({"slug": "acme", "name": "x"}))
        .await
        .problem(409, "account_exists");
    sidecar.account("globex").await;
    let several = sidecar.get("/members").await.problem(400, "account_missing");
    assert!(several["detail"].as_str().unwrap().contains("`acme`, `globex`"), "{several}");
    sidecar.get("/members?account=nobody").await.problem(404, "unknown_account");
    sidecar.get("/members/a1?account=globex").await.problem(404, "unknown_member");
}

/// Whether an answer is still out a moment later.
async fn waits(answer: &mut (impl Future<Output = Answer> + Unpin)) -> bool {
    tokio::time::timeout(Duration::from_millis(100), answer).await.is_err()
}

#[tokio::test]
async fn an_answer_waits_until_decisions_see_the_change() {
    let (sidecar, feed) = Sidecar::start_without_following().await;
    let body = json!({"slug": "acme", "name": "Acme"});
    let mut answer = Box::pin(sidecar.call("POST /accounts", &body));
    assert!(waits(&mut answer).await);
    tokio::spawn(directory_sync::follow(Arc::clone(&sidecar.app.directory), feed));
    answer.await.is(201);
}

#[tokio::test]
async fn nobody_is_given_a_role_while_the_policies_are_swapped() {
    let sidecar = Sidecar::start().await;
    sidecar.account("acme").await;
    let swap = sidecar.app.roles_given.write().await;
    let body = json!({"first_name": "Ann", "last_name": "Lee", "email": "a@example.org",
        "role": "operator"});
    let mut made = Box::pin(sidecar.call("POST /members", &body));
    let file = b"first_name,last_name,email,role\nBo,Lee,bo@example.org,operator\n";
    let mut imported = Box::pin(sidecar.send("POST /members/import", CSV, file));
    assert!(waits(&mut made).await);
    assert!(waits(&mut imported).await);
    drop(swap);
    let (made, imported) = tokio::join!(made, imported);
    made.is(201);
    imported.is(200);
}

#[tokio::test]
async fn who_comes_too_late_hears_of_it_when_decisions_see_why() {
    let (sidecar, feed) = Sidecar::start_without_following().await;
    let app = Arc::clone(&sidecar.app);
    let follow = |feed| tokio::spawn(directory_sync::follow(Arc::clone(&app.directory), feed));
    let following = follow(feed);
    sidecar.account("acme").await;
    sidecar.member("acme", "a1").await;
    following.abort();
    let feed = app.store.subscribe();
    let mut first = Box::pin(sidecar.send("DELETE /members/a1", "", b""));
    assert!(waits(&mut first).await);
    let mut second = Box::pin(sidecar.send("DELETE /members/a1", "", b""));
    assert!(waits(&mut second).await, "gone, and decisions may still allow");
    follow(feed);
    first.await.is(200);
    second.await.problem(404, "unknown_member");
}

#[tokio::test]
async fn members_are_listed_in_the_order_that_is_asked_for() {
    let sidecar = Sidecar::start().await;
    sidecar.account("acme").await;
    for (id, first_name, role) in [
        ("m1", "Zo\u{eb}", "broadcast_manager"),
        ("m2", "bo", "chat_manager"),
        ("m3", "Ann", "operator"),
    ] {
        let body = json!({"id": id, "first_name": first_name, "last_name": "Lee",
            "email": format!("{id}@example.org"), "role": role});
        sidecar.call("POST /members", &body).await.is(201);
    }
    let ids = |answer: &Value| {
        let items = answer["items"].as_array().unwrap();
        items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (sort, expected) in [
        ("email", ["m1", "m2", "m3"]),
        ("-email", ["m3", "m2", "m1"]),
        ("name", ["m3", "m2", "m1"]),
        ("-name", ["m1", "m2", "m3"]),
        ("-role", ["m3", "m2", "m1"]),
        ("-joined", ["m3", "m2", "m1"]),
        ("signed_in", ["m1", "m2", "m3"]),
    ] {
        let mut after = String::new();
        for number in 0..3 {
            let path = format!("/members?sort={sort}&limit=1{after}");
            let page = sidecar.get(&path).await.is(200);
            assert_eq!(ids(&page), expected[number..=number], "{sort}");
            assert!(page["items"][0]["signed_in"].is_null());
            after = match page["next"].as_str() {
                Some(next) => format!("&after={}", next.replace(' ', "%20")),
                None => String::new(),
            };
            assert_eq!(after.is_empty(), number == 2, "{sort}");
        }
    }
    assert_eq!(ids(&sidecar.get("/members?search=zoe").await.is(200)), ["m1"]);
    assert_eq!(ids(&sidecar.get("/members?two_step=true").await.is(200)), [""; 0]);
    assert_eq!(ids(&sidecar.get("/members?two_step=false&sort=name").await.is(200)).len(), 3);
    sidecar.get("/members?sort=age").await.problem(400, "invalid");
    sidecar.get("/members?sort=name&after=m1@example.org").await.problem(400, "invalid");
    sidecar.get("/members?sort=name&role=boss").await.problem(400, "unknown_role");
}

#[tokio::test]
async fn an_edit_needs_the_latest_version_and_a_role_that_exists() {
    let sidecar = Sidecar::start().await;
    sidecar.account("acme").await;
    sidecar.member("acme", "a1").await;
    let body = br#"{"role":"chat_manager"}"#;
    let json = "content-type: application/json\r\n";
    sidecar.send("PATCH /members/a1", json, body).await.problem(428, "if_match_missing");
    let seen = format!("{json}if-match: \"1\"\r\n");
    let edited = sidecar.send("PATCH /members/a1", &seen, body).await;
    assert!(edited.head.contains("etag: \"2\""), "{}", edited.head);
    assert_eq!(edited.is(200)["revision"], 3);
    let stale = sidecar.send("PATCH /members/a1", &seen, body).await.problem(412, "stale");
    assert!(stale["detail"].as_str().unwrap().contains("sidecar:"), "{stale}");
    let boss = br#"{"role":"boss"}"#;
    let now = format!("{json}if-match: \"2\"\r\n");
    let unknown = sidecar.send("PATCH /members/a1", &now, boss).await.problem(400, "unknown_role");
    assert!(unknown["detail"].as_str().unwrap().contains("`chat_manager`"), "{unknown}");
    assert_eq!(unknown["fields"][0]["field"], "role");
}

#[tokio::test]
async fn a_member_is_suspended_restored_and_removed() {
    let sidecar = Sidecar::start().await;
    sidecar.account("acme").await;
    sidecar.member("acme", "a1").await;
    let suspended = sidecar.send("POST /members/a1/suspend", "", b"").await.is(200);
    assert_eq!(suspended["status"], "suspended");
    assert!(!sidecar.app.directory.with("a1", |member| member.active).unwrap());
    sidecar.send("POST /members/a1/suspend", "", b"").await.problem(409, "already_suspended");
    sidecar
        .send("POST /members/a1/restore", "if-match: \"1\"\r\n", b"")
        .await
        .problem(412, "stale");
    sidecar.send("POST /members/a1/restore", "if-match: \"2\"\r\n", b"").await.is(200);
    let receipt = sidecar.send("DELETE /members/a1", "", b"").await.is(200);
    assert_eq!(
        receipt,
        json!({"id": "a1", "sessions_ended": 0, "tokens_revoked": 0,
        "invites_cancelled": 0, "revision": receipt["revision"]})
    );
    assert!(sidecar.app.directory.with("a1", |_| ()).is_none());
    sidecar.get("/members/a1").await.problem(404, "unknown_member");
    let log = sidecar.get("/audit?member=a1&limit=2").await.is(200);
    assert_eq!(
        (&log["items"][0]["event"], &log["items"][0]["target"]),
        (&json!("user_created"), &json!("a1"))
    );
    assert!(!log["next"].is_null(), "{log}");
    let chains = sidecar.get("/audit/verify").await.is(200);
    assert_eq!(chains["items"].as_array().unwrap().len(), 2, "{chains}");
    assert!(chains["items"].as_array().unwrap().iter().all(|chain| chain["fault"].is_null()));
    let store = sidecar.get("/audit?chain=store").await.is(200);
    assert_eq!(store["items"][0]["event"], "account_created");
}

const CSV: &str = "content-type: text/csv\r\n";

#[tokio::test]
async fn an_import_is_all_or_nothing_and_an_export_gives_it_back() {
    let sidecar = Sidecar::start().await;
    sidecar.account("acme").await;
    sidecar.member("acme", "a1").await;
    let file = "first_name,last_name,email,role,id\n\
        Bo,Lee,bo@example.org,operator,b2\n\
        Cy,Lee,cy@example.org,boss,c3\n\
        Ann,Lee,a1@example.org,operator,d4\n";
    let refused = sidecar
        .send("POST /members/import", CSV, file.as_bytes())
        .await
        .problem(400, "import_refused");
    let lines: Vec<&str> = refused["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| field["field"].as_str().unwrap())
        .collect();
    assert_eq!(lines, ["line 3", "line 4"], "{refused}");
    assert!(sidecar.app.directory.with("b2", |_| ()).is_none());
    let good = "first_name,last_name,email,role,id\n=1,Lee,bo@example.org,operator,b2\n";
    let done = sidecar.send("POST /members/import", CSV, good.as_bytes()).await.is(200);
    assert_eq!((&done["imported"], &done["revision"]), (&json!(1), &json!(3)));
    assert_eq!(done.get("warnings"), None);
    assert!(sidecar.app.directory.with("b2", |_| ()).is_some());
    let csv = sidecar.get("/members/export").await;
    assert!(csv.head.contains("text/csv"), "{}", csv.head);
    assert!(csv.text.contains("b2,'=1,Lee,bo@example.org,operator,active"), "{}", csv.text);
    let excel = sidecar.get("/members/export?bom=true").await;
    assert!(excel.text.contains("\n\u{feff}id,first_name"), "{}", excel.text);
    assert_eq!(sidecar.get("/members/export?bom=false").await.text, csv.text);
    assert!(!csv.text.contains('\u{feff}'));
    sidecar.get("/members/export?bom=1").await.problem(400, "invalid");
    let lines = sidecar.get("/members/export?format=jsonl").await;
    assert!(lines.text.contains(r#""first_name":"=1""#), "{}", lines.text);
    let odd = "first_name,last_name,email,role\nDi,Lee,di@example,operator\n";
    let done = sidecar.send("POST /members/import", CSV, odd.as_bytes()).await.is(200);
    let warning = json!({"line": 2, "sentence": "`example` has no dot: check the address"});
    assert_eq!(done["warnings"], json!([warning]));
}

#[tokio::test]
async fn a_file_that_breaks_off_changes_nothing_and_holds_nobody_up() {
    let sidecar = Sidecar::start().await;
    sidecar.account("acme").await;
    let mut stream = UnixStream::connect(&sidecar.socket).await.unwrap();
    let head = "POST /api/v1/members/import HTTP/1.1\r\nhost: localhost\r\n\
        content-type: text/csv\r\ncontent-length: 1000\r\n\r\n\
        first_name,last_name,email,role,id\nBo,Lee,bo@example.org,operator,b2\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    // While it arrives, however slowly, others go on.
    let made = tokio::time::timeout(Duration::from_secs(3), sidecar.member("acme", "a1"));
    made.await.expect("a file that arrives slowly holds up others");
    drop(stream);
    sidecar.member("acme", "a2").await;
    sidecar.get("/members/b2").await.problem(404, "unknown_member");
}

#[tokio::test]
async fn the_roles_and_the_matrix_come_from_the_live_policies() {
    let sidecar = Sidecar::start().await;
    let roles = sidecar.get("/roles").await.is(200);
    assert_eq!(roles["items"].as_array().unwrap().len(), sidecar.app.policies.load().roles().len());
    let one = sidecar.get("/roles/operator").await.is(200);
    assert!(one["actions"].as_array().unwrap().contains(&json!("chats:respond")), "{one}");
    sidecar.get("/roles/boss").await.problem(404, "unknown_role");
    let compared = sidecar.get("/roles/compare").await.is(200);
    let cells = compared["rows"][0]["cells"].as_array().unwrap().len();
    assert_eq!(cells, compared["roles"].as_array().unwrap().len());
    let policies = sidecar.get("/policies").await.is(200);
    assert_eq!((&policies["state"], &policies["fault"]), (&json!("live"), &Value::Null));
}

#[tokio::test]
async fn what_does_not_fit_is_told_with_all_its_faults() {
    let sidecar = Sidecar::start().await;
    sidecar.account("acme").await;
    let body = json!({"first_name": "", "email": "x", "role": "operator", "phone": "1"});
    let problem = sidecar.call("POST /members", &body).await.problem(400, "invalid");
    assert_eq!(problem["fields"].as_array().unwrap().len(), 4, "{problem}");
    sidecar.send("POST /members", "", b"{}").await.problem(400, "content_type");
    sidecar.send("POST /members/import", "", b"{}").await.problem(400, "content_type");
    sidecar.get("/members?limit=0&serach=x").await.problem(400, "invalid");
    sidecar.get("/nothing").await.problem(404, "unknown_path");
    let wrong = sidecar.send("PUT /members/a1", "", b"").await;
    assert!(wrong.head.contains("allow: get, head, patch, delete"), "{}", wrong.head);
    wrong.problem(405, "method_not_allowed");
}
