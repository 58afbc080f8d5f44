//! The decision listener, byte for byte: what a service sends and what it gets back.
//!
//! A table for each call, one row for each point of AuthZEN 1.0 or of the contract. Not about
//! policies: two members and one action are enough.

use std::collections::HashSet;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kwic_team::app::{App, FleetNode};
use kwic_team::authzen;
use kwic_team::config::{Fleet, LogAddress, OnStale};
use kwic_team::domain::{Change, Digest, PolicyFiles, Revision, Timestamp, limits};
use kwic_team::policy_folder;
use kwic_team::store::shared_log::NodeId;
use serde_json::{Value as Json, json};

use crate::support::decision_listener::{DecisionListener, JSON, member, request};
use crate::support::in_process_log::{InProcessLog, LogLine};
use crate::support::sidecar::Answer;

/// A decision listener with one member. What it is asked is asked by every way, but for what is asked
/// [`Sidecar::once`].
struct Sidecar(DecisionListener);

impl Deref for Sidecar {
    type Target = DecisionListener;

    fn deref(&self) -> &DecisionListener {
        &self.0
    }
}

impl Sidecar {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut App)) -> Self {
        let change = |app: &mut App| {
            app.config.decision.wait_ms = 100;
            app.config.limits.evaluation_body_bytes_max = 4_096;
            app.config.limits.batch_items_max = 3;
            change(app);
        };
        let members = [member("oli", "acme", "operator")];
        Self(DecisionListener::start(&untested(), members, change).await)
    }

    async fn evaluation(&self, body: impl AsRef<[u8]>) -> Answer {
        self.post("/access/v1/evaluation", body).await
    }

    async fn evaluations(&self, body: impl AsRef<[u8]>) -> Answer {
        self.post("/access/v1/evaluations", body).await
    }

    /// An evaluation with these header lines.
    async fn evaluation_with(&self, headers: &str, body: impl AsRef<[u8]>) -> Answer {
        self.send("POST", "/access/v1/evaluation", headers, body.as_ref()).await
    }

    /// Posts JSON text over TCP alone: where asking again changes something.
    async fn once(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        let headers = format!("{JSON}connection: close\r\n");
        self.tcp(request("POST", path, &headers, body.as_ref())).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.tcp(request("GET", path, "connection: close\r\n", b"")).await
    }
}

/// The calls with a body.
const CALLS: [&str; 6] = [
    "/access/v1/evaluation",
    "/access/v1/evaluations",
    "/access/v1/search/subject",
    "/access/v1/search/resource",
    "/access/v1/search/action",
    "/access/v1/plan",
];
const ALLOW: &str = r#"{"decision":true}"#;
const DENY: &str = r#"{"decision":false}"#;

/// The shipped policies without their tests, which cost each start a second.
fn untested() -> PolicyFiles {
    let files = policy_folder::embedded_policies().into_files();
    PolicyFiles::new(files.into_iter().filter(|(path, _)| !path.starts_with("tests/")).collect())
}

/// A question that is allowed.
fn granted() -> Json {
    json!({
        "subject": {"type": "user", "id": "oli"},
        "action": {"name": "chats:view"},
        "resource": {"type": "chat", "id": "c1", "properties": {"account": "acme"}},
    })
}

/// The same with one value, named by its path, replaced; null removes it.
fn with(path: &str, value: Json) -> String {
    let mut body = granted();
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let parent = if parent.is_empty() { &mut body } else { &mut body[parent] };
    match value {
        Json::Null => drop(parent.as_object_mut().unwrap().remove(name)),
        value => parent[name] = value,
    }
    body.to_string()
}

// === one evaluation ===

#[tokio::test]
async fn one_question_gets_a_decision_and_nothing_else() {
    let sidecar = Sidecar::start().await;
    let reversed = r#"{"resource":{"properties":{"account":"acme"},"id":"c1","type":"chat"},
        "action":{"name":"chats:view"},"subject":{"id":"oli","type":"user"}}"#;
    let rows = [
        ("plain", granted().to_string(), ALLOW),
        ("another order of members", reversed.to_owned(), ALLOW),
        ("unknown members", with("colour", json!({"any": ["thing"]})), ALLOW),
        ("unknown members within", with("subject.colour", json!(1)), ALLOW),
        ("properties of the subject", with("subject.properties", json!({"d": 1.5})), ALLOW),
        ("properties of the action", with("action.properties", json!({"m": [{}]})), ALLOW),
        ("any context", with("context", json!({"time": "now", "deep": {"er": []}})), ALLOW),
        ("no promotion by the caller", with("action.name", json!("billing:manage")), DENY),
        (
            "null counts as left out",
            r#"{"context":null,"options":null,"#.to_owned() + &granted().to_string()[1..],
            ALLOW,
        ),
        ("evaluations are of another call", with("evaluations", json!(7)), ALLOW),
        ("an unknown option", with("options", json!({"colour": 7})), ALLOW),
        ("explain declined", with("options", json!({"explain": false})), ALLOW),
        ("unknown subject", with("subject.id", json!("nobody")), DENY),
        ("unknown subject type", with("subject.type", json!("robot")), DENY),
        ("unknown action", with("action.name", json!("chats:burn")), DENY),
        ("unknown resource type", with("resource.type", json!("cloud")), DENY),
        ("empty names", with("subject.id", json!("")), DENY),
        ("another account", with("resource.properties", json!({"account": "globex"})), DENY),
        ("the longest name", with("subject.id", json!("i".repeat(1_024))), DENY),
        ("escapes", granted().to_string().replace("oli", "\\u006fli"), ALLOW),
        ("numbers of any size", with("context", json!({"n": 1e300, "i": i64::MIN})), ALLOW),
    ];
    for (what, body, expected) in rows {
        let answer = sidecar.evaluation(&body).await;
        assert_eq!((answer.status, &*answer.body), (200, expected), "{what}: {body}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{what}");
        assert_eq!(answer.header("x-kwic-revision"), Some("7"), "{what}");
        let live = sidecar.app.policies.load();
        assert_eq!(answer.header("x-kwic-policies"), Some(live.digest_hex()), "{what}");
        // The same question gets the same answer.
        assert_eq!(sidecar.evaluation(&body).await.body, expected, "{what}");
    }
    let huge = |digits: usize| {
        let member = format!(r#"{{"n":{},"#, "9".repeat(digits));
        granted().to_string().replacen('{', &member, 1)
    };
    assert_eq!(sidecar.evaluation(huge(300)).await.body, ALLOW);
    assert!(sidecar.evaluation(huge(2_000)).await.refused(400).contains("out of range"));
    let promoted = with("subject.properties", json!({"role": "administrator", "active": true}))
        .replace("chats:view", "billing:manage");
    assert_eq!(sidecar.evaluation(promoted).await.body, DENY);
}

#[tokio::test]
async fn a_body_of_another_shape_is_told_which_member_is_wrong() {
    let sidecar = Sidecar::start().await;
    let mut rows = Vec::new();
    for name in ["subject", "action", "resource"] {
        rows.push((with(name, Json::Null), format!("`{name}` is missing")));
        for value in [json!("x"), json!(1), json!([]), json!(true)] {
            rows.push((with(name, value), format!("`{name}` must be an object, not a")));
        }
        let of = format!("{name}.properties");
        rows.push((with(&of, json!([])), format!("`{of}` must be an object, not an array")));
    }
    for name in ["subject.type", "subject.id", "action.name", "resource.type", "resource.id"] {
        rows.push((with(name, Json::Null), format!("`{name}` is missing")));
        for value in [json!(1), json!({}), json!([]), json!(false)] {
            rows.push((with(name, value), format!("`{name}` must be a string, not a")));
        }
        let long = json!("x".repeat(1_025));
        rows.push((with(name, long), format!("`{name}` is longer than 1024 bytes")));
    }
    rows.extend([
        (with("context", json!("x")), "`context` must be an object, not a string".to_owned()),
        (with("options", json!([])), "`options` must be an object, not an array".to_owned()),
        (
            with("options", json!({"explain": "yes"})),
            "`options.explain` must be true or false, not a string".to_owned(),
        ),
        ("{}".to_owned(), "is missing".to_owned()),
        ("[]".to_owned(), "the body must be a JSON object, not an array".to_owned()),
        ("\"x\"".to_owned(), "the body must be a JSON object, not a string".to_owned()),
        ("null".to_owned(), "the body must be a JSON object, not null".to_owned()),
        (String::new(), "the body is empty".to_owned()),
        (" \n".to_owned(), "line 2 column".to_owned()),
        (granted().to_string() + "}", "trailing characters".to_owned()),
        (granted().to_string().replace('}', ""), "line 1 column".to_owned()),
        (with("context", json!({"a": "B"})).replace("\"B\"", "1e999"), "line 1 column".to_owned()),
        (with("context", json!({"a": "B"})).replace('B', "\\ud800"), "line 1 column".to_owned()),
        (
            with("context", json!({"a": {"b": 1, "B": 2}})).replace('B', "b"),
            "the key `b` is given twice".to_owned(),
        ),
        (
            with("colour", json!([{"b": 1, "B": 2}])).replace('B', "b"),
            "the key `b` is given twice".to_owned(),
        ),
        (
            with("colour", json!("X")).replace("\"X\"", &("[".repeat(32) + &"]".repeat(32))),
            "nests deeper than 32 levels".to_owned(),
        ),
    ]);
    for path in ["/access/v1/evaluation", "/access/v1/evaluations"] {
        for (body, expected) in &rows {
            let answer = sidecar.post(path, body).await;
            let message = answer.refused(400);
            assert!(message.contains(expected), "{path} {body}: {message}");
            assert!(!message.ends_with('.') && !message.contains('\n'), "{message}");
            assert!(answer.header("x-request-id").is_some());
        }
    }
    let mut not_utf8 = with("context", json!({"a": "B"})).into_bytes();
    let at = not_utf8.iter().position(|byte| *byte == b'B').unwrap();
    not_utf8[at] = 0xff;
    sidecar.evaluation(not_utf8).await.refused(400);
    let large = with("context", json!({"a": "x".repeat(4_096)}));
    assert!(sidecar.evaluation(large).await.refused(413).contains("4096 bytes"));
}

#[tokio::test]
async fn a_body_is_json_by_its_content_type_only() {
    let sidecar = Sidecar::start().await;
    let body = granted().to_string();
    for (header, status) in [
        ("content-type: application/json", 200),
        ("Content-Type: Application/JSON; charset=UTF-8", 200),
        ("content-type: application/json ;a=b", 200),
        ("x: y", 400),
        ("content-type: text/plain", 400),
        ("content-type: application/jsonp", 400),
        ("content-type: application/xml; application/json", 400),
        ("content-type: application/x-www-form-urlencoded", 400),
    ] {
        let answer = sidecar.evaluation_with(&format!("{header}\r\n"), &body).await;
        assert_eq!(answer.status, status, "{header}: {answer:?}");
        if status == 400 {
            assert!(answer.refused(400).contains("`Content-Type: application/json`"));
        }
    }
    for path in CALLS {
        let plain = sidecar.send("POST", path, "content-type: text/plain\r\n", body.as_bytes());
        assert!(plain.await.refused(400).contains("`Content-Type: application/json`"), "{path}");
    }
}

#[tokio::test]
async fn every_call_refuses_what_is_no_request_and_echoes_the_id_of_it() {
    let sidecar = Sidecar::start_with(|app| app.config.limits.batch_body_bytes_max = 4_096).await;
    let headers = format!("{JSON}x-request-id: r7\r\n");
    let twice = r#"{"context": {"a": {"b": 1, "b": 2}}}"#;
    let deep = format!("{{\"context\": {}}}", "[".repeat(40) + &"]".repeat(40));
    for path in CALLS {
        for (body, told) in [
            ("", "the body is empty"),
            ("[]", "the body must be a JSON object, not an array"),
            ("{\"subject\": ", "line 1 column"),
            ("{}", "is missing"),
            (twice, "the key `b` is given twice"),
            (&deep, "nests deeper than 32 levels"),
        ] {
            let answer = sidecar.send("POST", path, &headers, body.as_bytes()).await;
            let message = answer.refused(400);
            assert!(message.contains(told), "{path} {body}: {message}");
            assert_eq!(answer.header("x-request-id"), Some("r7"), "{path} {body}");
        }
        let not_utf8 = sidecar.send("POST", path, &headers, b"{\"a\": \"\xff\"}").await;
        not_utf8.refused(400);
        let early = format!("{headers}x-kwic-at-least: soon\r\n");
        let early = sidecar.send("POST", path, &early, granted().to_string().as_bytes()).await;
        assert!(early.refused(400).contains("`x-kwic-at-least`"), "{path}");
        let large = format!("{{\"a\": \"{}\"}}", "x".repeat(4_096));
        let large = sidecar.send("POST", path, &headers, large.as_bytes()).await;
        assert!(large.refused(413).contains("4096 bytes"), "{path}");
        assert_eq!(large.header("x-request-id"), Some("r7"), "{path}");
    }
}

#[tokio::test]
async fn who_asks_why_is_told() {
    let sidecar = Sidecar::start().await;
    let explain = json!({"explain": true});
    let allowed = sidecar.evaluation(with("options", explain.clone())).await.json();
    assert_eq!(allowed["decision"], true);
    let context = &allowed["context"];
    assert_eq!(
        (&context["reason"], &context["policies"], context.get("roles")),
        (&json!("granted"), &json!(["operator"]), None),
        "{allowed}"
    );
    let mut asked = granted();
    asked["options"] = explain;
    asked["action"]["name"] = json!("billing:manage");
    asked["resource"] = json!({"type": "account", "id": "acme"});
    let denied = sidecar.evaluation(asked.to_string()).await.json();
    let context = &denied["context"];
    assert_eq!(
        (&denied["decision"], &context["reason"]),
        (&json!(false), &json!("role_lacks_action"))
    );
    assert_eq!(context["roles"], json!(["administrator"]), "{denied}");
    assert!(!context["message"].as_str().unwrap().is_empty(), "{denied}");
    // And the same on the call for batches.
    let single = sidecar.evaluations(asked.to_string()).await.json();
    assert_eq!(single, denied);
}

#[tokio::test]
async fn reasons_are_made_apart_from_the_threads_that_decide() {
    let sidecar = Sidecar::start().await;
    // Requests for them wait for the ones before, and too many are refused; decisions go on.
    let (go_on, told) = std::sync::mpsc::channel::<()>();
    let told = Arc::new(std::sync::Mutex::new(told));
    let waiting: Vec<_> = (0..=limits::EXPLANATIONS_WAITING_MAX)
        .map(|_| {
            let (app, told) = (Arc::clone(&sidecar.app), Arc::clone(&told));
            tokio::spawn(async move {
                let wait = move || told.lock().unwrap().recv().is_ok();
                app.explanations.run("test", wait).await
            })
        })
        .collect();
    let asked = with("options", json!({"explain": true}));
    let mut of_batch = granted();
    of_batch["options"] = json!({"explain": true});
    of_batch["evaluations"] = json!([{}]);
    // Each takes its place when it is first polled, which is before this goes on.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(sidecar.evaluation(&asked).await.refused(503).contains("try again"));
    assert!(sidecar.evaluations(&asked).await.refused(503).contains("try again"));
    assert!(sidecar.evaluations(of_batch.to_string()).await.refused(503).contains("try again"));
    assert_eq!(sidecar.evaluation(granted().to_string()).await.body, ALLOW);
    // What is wrong in a body is said at once.
    let mut unknown = granted();
    unknown["subject"] = json!({"type": "user"});
    assert!(sidecar.evaluation(unknown.to_string()).await.refused(400).contains("`subject.id`"));
    unknown["options"] = json!({"explain": true});
    assert!(sidecar.evaluation(unknown.to_string()).await.refused(400).contains("`subject.id`"));
    drop(go_on);
    for waiting in waiting {
        let _ = waiting.await.unwrap();
    }
    assert_eq!(sidecar.evaluation(&asked).await.json()["context"]["reason"], "granted");
    let batch = sidecar.evaluations(of_batch.to_string()).await.json();
    assert_eq!(batch["evaluations"][0]["context"]["reason"], "granted", "{batch}");
}

#[tokio::test]
async fn a_stop_waits_for_no_reasons() {
    let sidecar = Sidecar::start().await;
    let (go_on, told) = std::sync::mpsc::channel::<()>();
    let app = Arc::clone(&sidecar.app);
    let running =
        tokio::spawn(
            async move { app.explanations.run("test", move || told.recv().is_ok()).await },
        );
    tokio::task::yield_now().await;
    let asked = with("options", json!({"explain": true}));
    let mut of_batch = granted();
    of_batch["options"] = json!({"explain": true});
    of_batch["evaluations"] = json!([{}, {"subject": {"type": "user", "id": "nobody"}}]);
    let of_batch = of_batch.to_string();
    let all = async {
        tokio::join!(
            sidecar.once("/access/v1/evaluation", &asked),
            sidecar.once("/access/v1/evaluations", &asked),
            sidecar.once("/access/v1/evaluations", &of_batch),
            async { sidecar.app.stopping.send_replace(true) },
        )
    };
    let all = tokio::time::timeout(std::time::Duration::from_secs(20), all).await;
    let (one, other, batch, _) = all.expect("the stop waits for what runs");
    let told = json!({"reason": "not_explained", "message": "this sidecar is stopping: ask for the reasons again"});
    for answer in [one, other] {
        assert_eq!(answer.json(), json!({"decision": true, "context": told}));
    }
    let denied = json!({"decision": false, "context": told});
    let evaluations = [json!({"decision": true, "context": told}), denied];
    assert_eq!(batch.json()["evaluations"], json!(evaluations));
    drop(go_on);
    assert!(!running.await.unwrap().unwrap());
}

#[tokio::test]
async fn transfer_codings_that_a_caller_would_take_are_passed_over() {
    let sidecar = Sidecar::start().await;
    let body = granted().to_string();
    for line in ["TE: gzip", "te: trailers, deflate;q=0.5", "te:", "te: ;;,\r\nte: chunked"] {
        let headers = format!("{JSON}{line}\r\n");
        let answer = sidecar.evaluation_with(&headers, &body).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ALLOW), "{line}: {answer:?}");
    }
}

// === batches ===

#[tokio::test]
async fn a_batch_explains_its_first_items_and_says_so() {
    let most = limits::EXPLAINED_ITEMS_MAX;
    let sidecar = Sidecar::start_with(|app| app.config.limits.batch_items_max = 1_000).await;
    let items: Vec<Json> = (0..most + 2).map(|_| json!({})).collect();
    let body = batch(&json!(items), &json!({"options": {"explain": true}}));
    let answers = sidecar.evaluations(body).await.json();
    let reasons: Vec<&str> = (0..most + 2)
        .map(|at| answers["evaluations"][at]["context"]["reason"].as_str().unwrap())
        .collect();
    assert!(reasons[..most].iter().all(|reason| *reason == "granted"), "{reasons:?}");
    assert_eq!(reasons[most..], ["not_explained"; 2]);
    let last = &answers["evaluations"][most];
    assert_eq!(last["decision"], true);
    assert!(last["context"]["message"].as_str().unwrap().contains("ask about this one again"));
}

/// Counts how often others get the thread while a batch is answered on it.
async fn others_in_between(app: &Arc<App>, body: String) -> usize {
    let count = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&count);
    let other = tokio::spawn(async move {
        loop {
            counting.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    authzen::answer_batch(app, body.into()).await.unwrap();
    other.abort();
    count.load(Ordering::Relaxed)
}

#[tokio::test]
async fn a_long_batch_lets_other_decisions_in_between() {
    let sidecar = Sidecar::start_with(|app| app.config.limits.batch_items_max = 1_000).await;
    let of = |items: usize, values: usize| {
        let items: Vec<Json> = (0..items).map(|_| json!({})).collect();
        let more = match values {
            0 => json!({}),
            values => json!({"context": {"list": vec![1; values]}}),
        };
        batch(&json!(items), &more)
    };
    let app = &sidecar.app;
    assert_eq!(others_in_between(app, of(60, 0)).await, 0);
    assert!(others_in_between(app, of(1_000, 0)).await >= 15);
    // By what the items share, a small body is a long batch.
    assert!(others_in_between(app, of(100, 900)).await >= 80);
    // Nor is it answered at once, where nobody could get in between.
    for (items, values, is_long) in [(60, 0, false), (200, 0, true), (20, 900, true)] {
        let body = of(items, values);
        assert!(body.len() < 4_096);
        let at_once = authzen::answer_batch_fast(app, body.as_bytes());
        assert_eq!(at_once.is_none(), is_long, "{items} items, {values} values");
    }
    let refused = sidecar.evaluations(of(200, 900)).await.refused(400);
    assert!(refused.contains("send several batches"), "{refused}");
}

#[tokio::test]
async fn a_question_has_so_many_values() {
    let sidecar = Sidecar::start_with(|app| {
        app.config.limits.evaluation_body_bytes_max = limits::EVALUATION_BODY_BYTES_MAX;
    })
    .await;
    let most = limits::QUERY_VALUES_MAX;
    let asked = |values: usize| with("context", json!({"list": vec![json!([]); values]}));
    // The list counts, and the account.
    assert_eq!(sidecar.evaluation(asked(most - 2)).await.body, ALLOW);
    let refused = sidecar.evaluation(asked(most - 1)).await.refused(400);
    assert!(refused.contains("send what the policies read"), "{refused}");
    for place in ["subject.properties", "action.properties", "resource.properties"] {
        let body = with(place, json!({"list": vec![json!([]); most]}));
        assert_eq!(sidecar.evaluation(body).await.status, 400, "{place}");
    }
    let mut item = granted();
    item["context"] = json!({"list": vec![1; most]});
    let body = batch(&json!([{}, item]), &json!({}));
    assert_eq!(sidecar.evaluations(body).await.body, answers(&[true, false]));
}

fn batch(items: &Json, more: &Json) -> String {
    let mut body = granted();
    body["evaluations"] = items.clone();
    if let Some(more) = more.as_object() {
        for (name, value) in more {
            body[name] = value.clone();
        }
    }
    body.to_string()
}

fn answers(decisions: &[bool]) -> String {
    let items: Vec<_> = decisions.iter().map(|it| format!(r#"{{"decision":{it}}}"#)).collect();
    format!(r#"{{"evaluations":[{}]}}"#, items.join(","))
}

#[tokio::test]
async fn a_batch_keeps_number_and_order_and_inherits_whole_objects() {
    let sidecar = Sidecar::start().await;
    let deny = json!({"action": {"name": "billing:manage"}});
    let no = json!({});
    let semantic = |word: &str| json!({"options": {"evaluations_semantic": word}});
    let mut bare = json!({"evaluations": [granted(), granted(), deny]});
    let rows = [
        ("inherits everything", batch(&json!([{}, {}]), &no), answers(&[true, true])),
        ("order", batch(&json!([{}, deny, {}]), &no), answers(&[true, false, true])),
        ("null inherits", batch(&json!([{"action": null}]), &no), answers(&[true])),
        (
            "an object is replaced whole, not merged",
            batch(&json!([{"resource": {"type": "chat", "id": "c1"}}]), &no),
            answers(&[false]),
        ),
        (
            "an item that lacks a sub-member does not take the default's",
            batch(&json!([{}, {"subject": {"type": "user"}}, {}]), &no),
            answers(&[true, false, true]),
        ),
        (
            "items that are no objects",
            batch(&json!([1, "x", {}]), &no),
            answers(&[false, false, true]),
        ),
        (
            "mistyped members of items",
            batch(&json!([{"subject": 1}, {"context": []}, {"action": {"name": 1}}]), &no),
            answers(&[false, false, false]),
        ),
        ("without defaults", bare.to_string(), answers(&[true, true, false])),
        (
            "unknown members and options",
            batch(&json!([{"x": 1}]), &json!({"options": {"x": {}}, "y": []})),
            answers(&[true]),
        ),
        (
            "execute_all",
            batch(&json!([deny, {}, deny]), &semantic("execute_all")),
            answers(&[false, true, false]),
        ),
        (
            "deny_on_first_deny",
            batch(&json!([{}, deny, {}]), &semantic("deny_on_first_deny")),
            answers(&[true, false]),
        ),
        (
            "a malformed item counts as a deny",
            batch(&json!([{}, {"subject": {}}, {}]), &semantic("deny_on_first_deny")),
            answers(&[true, false]),
        ),
        (
            "permit_on_first_permit",
            batch(&json!([deny, {}, deny]), &semantic("permit_on_first_permit")),
            answers(&[false, true]),
        ),
        (
            "a malformed item is no permit",
            batch(&json!([7, {}, deny]), &semantic("permit_on_first_permit")),
            answers(&[false, true]),
        ),
        ("absent is one question", granted().to_string(), ALLOW.to_owned()),
        ("empty is one question", batch(&json!([]), &no), ALLOW.to_owned()),
        ("null is one question", batch(&json!(null), &no), ALLOW.to_owned()),
    ];
    for (what, body, expected) in rows {
        let answer = sidecar.evaluations(&body).await;
        assert_eq!((answer.status, &*answer.body), (200, &*expected), "{what}: {body}");
        assert_eq!(answer.header("x-kwic-revision"), Some("7"), "{what}");
    }
    bare["evaluations"] = json!([]);
    assert!(sidecar.evaluations(bare.to_string()).await.refused(400).contains("is missing"));
}

#[tokio::test]
async fn a_batch_of_another_shape_is_refused_as_a_whole() {
    let sidecar = Sidecar::start().await;
    let no = json!({});
    let rows = [
        (batch(&json!({}), &no), "`evaluations` must be an array, not an object"),
        (batch(&json!("x"), &no), "`evaluations` must be an array, not a string"),
        (batch(&json!([{}, {}, {}, {}]), &no), "has 4 items, more than 3"),
        (
            batch(&json!([{}]), &json!({"options": {"evaluations_semantic": "first"}})),
            "`options.evaluations_semantic` must be `execute_all`",
        ),
        (
            batch(&json!([{}]), &json!({"options": {"evaluations_semantic": 1}})),
            "`options.evaluations_semantic` must be",
        ),
        (batch(&json!([{}]), &json!({"options": 1})), "`options` must be an object"),
        (
            batch(&json!([{"a": 1, "A": 2}]), &no).replace("\"A\"", "\"a\""),
            "the key `a` is given twice",
        ),
    ];
    for (body, expected) in rows {
        let message = sidecar.evaluations(&body).await.refused(400);
        assert!(message.contains(expected), "{body}: {message}");
    }
}

#[tokio::test]
async fn a_malformed_item_says_why_to_who_asks() {
    let sidecar = Sidecar::start().await;
    let explain = json!({"options": {"explain": true}});
    let body = batch(&json!([{"subject": {"id": "oli"}}, {}]), &explain);
    let answer = sidecar.evaluations(body).await.json();
    assert_eq!(
        answer["evaluations"][0],
        json!({"decision": false, "context": {"error":
            {"status": 400, "message": "`subject.type` is missing"}}})
    );
    assert_eq!(answer["evaluations"][1]["context"]["reason"], "granted");
}

// === revisions ===

#[tokio::test]
async fn an_answer_is_as_fresh_as_the_caller_asks() {
    let sidecar = Sidecar::start().await;
    let ask = async |at_least: &str| {
        let headers = format!("{JSON}x-kwic-at-least: {at_least}\r\n");
        sidecar.evaluation_with(&headers, granted().to_string()).await
    };
    for reached in ["0", "7", " 7 "] {
        assert_eq!(ask(reached).await.body, ALLOW, "{reached}");
    }
    let early = ask("8").await;
    assert!(early.refused(503).contains("revision 8 is not reached yet, only 7"), "{early:?}");
    assert_eq!(early.header("retry-after"), Some("1"));
    for bad in ["x", "-1", "7.0", "", "99999999999999999999", "caf\u{e9}"] {
        assert!(ask(bad).await.refused(400).contains("`x-kwic-at-least`"), "{bad}");
    }
    let twice = format!("{JSON}x-kwic-at-least: 1\r\nx-kwic-at-least: 8\r\n");
    let twice = sidecar.evaluation_with(&twice, granted().to_string()).await;
    twice.refused(400);
    // One that comes while we wait is waited for.
    let directory = Arc::clone(&sidecar.app.directory);
    let (answer, ()) = tokio::join!(ask("8"), async {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        directory.apply(&Change { revision: Revision(8), rows: Vec::new() });
    });
    assert_eq!((&*answer.body, answer.header("x-kwic-revision")), (ALLOW, Some("8")));
}

// === who may ask ===

#[tokio::test]
async fn a_name_that_a_page_could_make_its_own_is_refused_on_tcp() {
    let sidecar = Sidecar::start_with(|app| {
        app.config.decision.allowed_hosts = vec!["kwic-team.internal".to_owned()];
    })
    .await;
    let line = |host: &str| format!("GET /livez HTTP/1.1\r\nconnection: close\r\n{host}\r\n");
    for (host, status) in [
        ("localhost", 200),
        ("LocalHost:8181", 200),
        ("127.0.0.1", 200),
        ("127.0.0.1:8181", 200),
        ("127.1.2.3", 200),
        ("[::1]", 200),
        ("[::1]:8181", 200),
        ("kwic-team.internal", 200),
        ("KWIC-Team.internal:80", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("evil.example:127", 403),
        ("[::2]", 403),
        ("[::1].evil.example", 403),
        ("[::1", 403),
        ("10.0.0.1", 403),
        ("0.0.0.0", 403),
        ("kwic-team.internal.evil.example", 403),
        ("", 403),
    ] {
        let answer = sidecar.tcp(line(&format!("host: {host}\r\n"))).await;
        assert_eq!(answer.status, status, "{host}: {answer:?}");
        if status == 403 {
            assert!(answer.refused(403).contains("`decision.allowed_hosts`"), "{host}");
        }
        assert_eq!(sidecar.unix(line(&format!("host: {host}\r\n"))).await.status, 200, "{host}");
    }
    assert!(sidecar.tcp(line("")).await.refused(400).contains("`Host`"));
    let twice = "host: localhost\r\nhost: evil.example\r\n";
    assert!(sidecar.tcp(line(twice)).await.refused(400).contains("`Host`"));
    assert_eq!(sidecar.unix(line("")).await.status, 200);
    let absolute = "GET http://evil.example/livez HTTP/1.1\r\nhost: localhost\r\n\
        connection: close\r\n\r\n";
    assert_eq!(sidecar.tcp(absolute).await.status, 403);
    let foreign = "POST /access/v1/evaluation HTTP/1.1\r\nhost: evil.example\r\n\
        connection: close\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(sidecar.tcp(foreign).await.status, 403);
}

#[tokio::test]
async fn the_host_of_the_public_address_is_allowed_by_itself() {
    let line =
        |host: &str| format!("GET /livez HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    for (url, host, foreign) in [
        ("https://pdp.example.com/", "PDP.example.com", "example.com"),
        ("https://pdp.example.com:8443/tenant", "pdp.example.com:9000", "tenant"),
        ("https://[2001:db8::1]/x", "[2001:db8::1]:443", "[2001:db8::2]"),
    ] {
        let sidecar =
            Sidecar::start_with(|app| app.config.decision.public_url = Some(url.to_owned())).await;
        assert_eq!(sidecar.tcp(line(host)).await.status, 200, "{url} {host}");
        assert!(sidecar.tcp(line(foreign)).await.refused(403).contains("`decision.public_url`"));
    }
}

#[tokio::test]
async fn a_request_id_is_echoed_up_to_its_bound_and_replaced_beyond_it() {
    let sidecar = Sidecar::start().await;
    let body = granted().to_string();
    let ask = async |id: &str| {
        let answer = sidecar.evaluation_with(&format!("{JSON}x-request-id: {id}\r\n"), &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.header("x-request-id").unwrap().to_owned()
    };
    for length in [1, 129, 1_024] {
        let id = "i".repeat(length);
        assert_eq!(ask(&id).await, id, "{length}");
    }
    let other = ask(&"i".repeat(1_025)).await;
    assert!(!other.is_empty() && other.len() < 64, "{other}");
}

#[tokio::test]
async fn where_keys_are_configured_a_caller_brings_one() {
    let sidecar = Sidecar::start_with(|app| {
        let keys = vec![Digest::of(&[b"first-key"]), Digest::of(&[b"second-key"])];
        app.caller_keys.store(std::sync::Arc::new(keys));
    })
    .await;
    let body = granted().to_string();
    for (header, status) in [
        ("authorization: Bearer first-key\r\n", 200),
        ("authorization: Bearer second-key\r\n", 200),
        ("authorization: bearer second-key\r\n", 200),
        ("", 401),
        ("authorization: Bearer third-key\r\n", 401),
        ("authorization: Bearer \r\n", 401),
        ("authorization: Bearer first-ke\r\n", 401),
        ("authorization: Basic first-key\r\n", 401),
    ] {
        let headers = format!("{JSON}{header}x-request-id: r1\r\n");
        let answer = sidecar.evaluation_with(&headers, &body).await;
        assert_eq!(answer.status, status, "{header}: {answer:?}");
        assert_eq!(answer.header("x-request-id"), Some("r1"));
        if status == 401 {
            assert!(answer.refused(401).contains("`decision.keys_file`"));
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
    for path in CALLS {
        let unknown = sidecar.post(path, &body).await;
        assert!(unknown.refused(401).contains("`decision.keys_file`"), "{path}");
        assert_eq!(unknown.header("www-authenticate"), Some("Bearer"), "{path}");
        let headers = format!("{JSON}authorization: Bearer first-key\r\n");
        let known = sidecar.send("POST", path, &headers, b"{}").await;
        assert!(known.refused(400).contains("is missing"), "{path}");
    }
    assert_eq!(sidecar.get("/metrics").await.status, 401);
    assert_eq!(sidecar.get("/livez").await.status, 200);
    assert_eq!(sidecar.get("/readyz").await.status, 200);
}

// === the other paths ===

#[tokio::test]
async fn the_metadata_come_from_the_configuration_alone() {
    let none = Sidecar::start().await;
    let path = "/.well-known/authzen-configuration";
    assert!(none.get(path).await.refused(404).contains("`decision.public_url`"));

    let plain = Sidecar::start_with(|app| {
        app.config.decision.public_url = Some("https://pdp.example.com/".to_owned());
        app.config.decision.allowed_hosts = vec!["other.example".to_owned()];
    })
    .await;
    let expected = json!({
        "policy_decision_point": "https://pdp.example.com",
        "access_evaluation_endpoint": "https://pdp.example.com/access/v1/evaluation",
        "access_evaluations_endpoint": "https://pdp.example.com/access/v1/evaluations",
        "search_subject_endpoint": "https://pdp.example.com/access/v1/search/subject",
        "search_resource_endpoint": "https://pdp.example.com/access/v1/search/resource",
        "search_action_endpoint": "https://pdp.example.com/access/v1/search/action",
    });
    let answer = plain.get(path).await;
    assert_eq!((answer.status, answer.json()), (200, expected.clone()));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("max-age=3600"));
    let other = format!("GET {path} HTTP/1.1\r\nhost: other.example\r\nconnection: close\r\n\r\n");
    assert_eq!(plain.tcp(other).await.json(), expected);
    for elsewhere in ["/tenant1", "x", "s"] {
        plain.get(&format!("{path}{elsewhere}")).await.refused(404);
    }

    let tenant = Sidecar::start_with(|app| {
        app.config.decision.public_url = Some("https://pdp.example.com/tenant1".to_owned());
    })
    .await;
    let answer = tenant.get(&format!("{path}/tenant1")).await.json();
    assert_eq!(answer["policy_decision_point"], "https://pdp.example.com/tenant1");
    assert_eq!(
        answer["access_evaluation_endpoint"],
        "https://pdp.example.com/tenant1/access/v1/evaluation"
    );
    for elsewhere in ["tenant1", "/tenant2", "/tenant1/x", ""] {
        tenant.get(&format!("{path}{elsewhere}")).await.refused(404);
    }
}

#[tokio::test]
async fn each_path_has_its_method_and_says_so() {
    let sidecar = Sidecar::start().await;
    let ask = async |method: &str, path: &str| {
        sidecar.send(method, path, "x-request-id: r1\r\n", b"").await
    };
    let read = ["/livez", "/readyz", "/metrics", "/.well-known/authzen-configuration"];
    let read = read.map(|path| (path, "GET, HEAD"));
    for (path, allow) in CALLS.map(|path| (path, "POST")).into_iter().chain(read) {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
            if allow.split(", ").any(|allowed| allowed == method) {
                continue;
            }
            let answer = ask(method, path).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
            assert_eq!(answer.header("x-request-id"), Some("r1"), "{method} {path}");
        }
    }
    for path in ["/", "/access/v1", "/access/v1/evaluation/", "/access/v1/search", "/x"] {
        for method in ["GET", "POST"] {
            let answer = ask(method, path).await;
            answer.refused(404);
            assert_eq!(answer.header("x-request-id"), Some("r1"), "{method} {path}");
        }
    }
    let head = ask("HEAD", "/livez").await;
    assert_eq!((head.status, &*head.body, head.header("content-length")), (200, "", Some("3")));
    assert_eq!(ask("GET", "/livez?x=y").await.body, "ok\n");
}

#[tokio::test]
async fn readiness_and_metrics_tell_how_it_stands() {
    let sidecar = Sidecar::start().await;
    let ready = sidecar.get("/readyz").await.json();
    assert_eq!(
        (&ready["status"], &ready["policies"], &ready["revision"], &ready["members"]),
        (&json!("ready"), &json!("live"), &json!(7), &json!(1)),
        "{ready}"
    );
    assert_eq!(ready.get("fault"), None, "{ready}");
    let mut status = sidecar.app.policy_status.load().as_ref().clone();
    status.last_good = true;
    status.fault = Some("roles/x.cedar:3: unexpected token\n  3 | permit".to_owned());
    sidecar.app.policy_status.store(Arc::new(status));
    let ready = sidecar.get("/readyz").await.json();
    assert_eq!(
        (&ready["policies"], &ready["fault"]),
        (
            &json!("last_good"),
            &json!("roles/x.cedar:3: refused; see the log, or run `kwic-team doctor`")
        )
    );

    sidecar.once("/access/v1/evaluation", granted().to_string()).await;
    sidecar.once("/access/v1/evaluation", "{}").await;
    let both = batch(&json!([{}, {"subject": {"type": "user", "id": "x"}}]), &json!({}));
    sidecar.once("/access/v1/evaluations", both).await;
    sidecar.get("/nothing/here").await;
    let metrics = sidecar.get("/metrics").await;
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let digest = sidecar.app.policies.load().digest_hex().to_owned();
    for line in [
        "kwic_decisions_total{decision=\"allow\"} 2",
        "kwic_decisions_total{decision=\"deny\"} 1",
        "kwic_decision_duration_seconds_bucket{le=\"0.000001\"}",
        "kwic_decision_duration_seconds_bucket{le=\"0.00005\"}",
        "kwic_decision_duration_seconds_bucket{le=\"0.01\"}",
        // The second of its thread is timed, and all three may have been on threads of their own.
        "kwic_decision_duration_seconds_bucket{le=\"+Inf\"} ",
        "kwic_decision_duration_seconds_count ",
        "kwic_batch_size_bucket{le=\"1\"} 0",
        "kwic_batch_size_bucket{le=\"5\"} 1",
        "kwic_batch_size_bucket{le=\"1000\"} 1",
        "kwic_batch_size_sum 2",
        "kwic_http_requests_total{route=\"/access/v1/evaluation\",code=\"200\"} 1",
        "kwic_http_requests_total{route=\"/access/v1/evaluation\",code=\"400\"} 1",
        "kwic_http_requests_total{route=\"/access/v1/evaluations\",code=\"200\"} 1",
        "kwic_http_requests_total{route=\"unknown\",code=\"404\"} 1",
        "kwic_policy_eval_errors_total 0",
        "kwic_policy_reloads_total{result=\"accepted\"} 0",
        "kwic_policy_last_reload_successful ",
        "kwic_policy_last_success_reload_timestamp_seconds ",
        &format!("kwic_policy_info{{digest=\"{digest}\",state=\"last_good\"}} 1"),
        "kwic_policies ",
        "kwic_answers_remembered 1",
        "kwic_members 1",
        "kwic_store_revision 7",
        "kwic_connections 1",
        "kwic_handler_panics_total 0",
        "kwic_log_lines_dropped_total 0",
    ] {
        assert!(metrics.body.lines().any(|it| it.starts_with(line)), "{line}\n{}", metrics.body);
    }
    check_exposition(&metrics.body);
}

/// Version 0.0.4: HELP, then TYPE, then the samples of that family; each series once.
fn check_exposition(text: &str) {
    let mut family = String::new();
    let mut typed = false;
    let (mut families, mut seen) = (HashSet::new(), HashSet::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            rest.split_once(' ').unwrap().0.clone_into(&mut family);
            assert!(families.insert(family.clone()), "{family} twice");
            typed = false;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, family);
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            typed = true;
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(typed && series.starts_with(&family), "{line}");
            assert!(seen.insert(series.to_owned()), "{series} twice");
            value.parse::<f64>().unwrap_or_else(|_| panic!("{line}"));
        }
    }
    assert!(text.ends_with('\n'));
}

/// A node of a fleet whose log nobody asks.
fn fleet_node(on_stale: OnStale) -> Arc<FleetNode> {
    let config = Fleet {
        log: LogAddress::Postgres(String::new()),
        password_file: None,
        ca_file: None,
        cert_file: None,
        key_file: None,
        name: "host-1".to_owned(),
        max_staleness: Duration::from_secs(3_600),
        on_stale,
        keep_old_days: 30,
    };
    let log = InProcessLog::default();
    let (line, seal) = (LogLine::new(&log), log.seal());
    Arc::new(FleetNode::new(&config, NodeId([1; 16]), line, seal, Timestamp(0)).unwrap())
}

fn stale_of(answer: &Answer) -> Option<u64> {
    answer.header("x-kwic-stale").map(|seconds| seconds.parse().unwrap())
}

#[tokio::test]
async fn a_stale_node_that_is_to_deny_denies_by_every_way_and_says_so() {
    let node = fleet_node(OnStale::Deny);
    let own = node.clone();
    let sidecar = Sidecar::start_with(|app| app.fleet = Some(own)).await;
    let batch = json!({"evaluations": [granted(), granted()]}).to_string();
    let mut explained = granted();
    explained["options"] = json!({"explain": true});
    let single = sidecar.once("/access/v1/evaluation", granted().to_string()).await;
    assert_eq!((single.status, single.body.as_str(), stale_of(&single)), (200, DENY, Some(0)));
    let both = sidecar.once("/access/v1/evaluations", &batch).await;
    let denied = format!(r#"{{"evaluations":[{DENY},{DENY}]}}"#);
    assert_eq!((both.body.as_str(), stale_of(&both)), (denied.as_str(), Some(0)));
    let told = sidecar.once("/access/v1/evaluation", explained.to_string()).await;
    assert!(stale_of(&told).is_some());
    assert_eq!(told.json()["context"]["reason"], "stale");
    for path in
        ["/forward-auth", "/forward-auth?action=chats:view&resource_type=chat&resource_id=c"]
    {
        let answer = sidecar.get(path).await;
        assert_eq!((answer.status, stale_of(&answer)), (403, Some(0)), "{answer:?}");
    }
    let ready = sidecar.get("/readyz").await;
    assert_eq!((ready.status, ready.json()["code"].as_str()), (503, Some("stale")));
    let metrics = sidecar.get("/metrics").await.body;
    assert!(metrics.contains("\nkwic_fleet_stale 1\n"), "{metrics}");
    check_exposition(&metrics);

    node.staleness.fresh_at(kwic_team::clock::since_boot());
    let single = sidecar.once("/access/v1/evaluation", granted().to_string()).await;
    assert_eq!((single.body.as_str(), stale_of(&single)), (ALLOW, None));
    assert!(sidecar.once("/access/v1/evaluations", &batch).await.body.contains(ALLOW));
    assert_eq!(sidecar.get("/forward-auth").await.status, 401);
    let ready = sidecar.get("/readyz").await;
    assert_eq!((ready.status, ready.json()["fleet"]["state"].as_str()), (200, Some("fresh")));
    node.staleness.halt();
    assert_eq!(sidecar.once("/access/v1/evaluation", granted().to_string()).await.body, DENY);
}

#[tokio::test]
async fn a_stale_node_that_is_to_answer_answers_and_says_so() {
    let node = fleet_node(OnStale::Answer);
    node.staleness.answers();
    let sidecar = Sidecar::start_with(|app| app.fleet = Some(node)).await;
    let single = sidecar.once("/access/v1/evaluation", granted().to_string()).await;
    assert_eq!((single.body.as_str(), stale_of(&single)), (ALLOW, Some(0)));
    let batch = sidecar
        .once("/access/v1/evaluations", json!({"evaluations": [granted()]}).to_string())
        .await;
    assert!(batch.body.contains(ALLOW) && stale_of(&batch).is_some());
    let anybody = sidecar.get("/forward-auth").await;
    assert_eq!((anybody.status, stale_of(&anybody)), (401, Some(0)));
    let ready = sidecar.get("/readyz").await;
    assert_eq!((ready.status, ready.json()["fleet"]["state"].as_str()), (200, Some("stale")));
}

#[tokio::test]
async fn a_sidecar_on_its_own_says_nothing_of_a_fleet() {
    let sidecar = Sidecar::start().await;
    assert_eq!(stale_of(&sidecar.evaluation(granted().to_string()).await), None);
    assert!(sidecar.get("/readyz").await.json().get("fleet").is_none());
    assert!(!sidecar.get("/metrics").await.body.contains("kwic_fleet"));
}
