//! The levels of certification of AuthZEN 1.0, a module each: every case of the certification scenario, on
//! the policies and the data that it asks for, by every way to the listener.
//!
//! Numbers such as 2.2.4 are those of the scenario. What the specification says beyond it is in
//! `authzen_wire` for evaluations, and in `authzen_search` for searches.

mod basic;
mod batch;
mod discovery;
mod search_core;
mod search_properties;

use kwic_team::app::App;
use kwic_team::domain::{Member, PolicyFiles};
use serde_json::{Value as Json, json};

use crate::support::decision_listener::{DecisionListener, JSON, member};

const EVALUATION: &str = "/access/v1/evaluation";
const EVALUATIONS: &str = "/access/v1/evaluations";
const SUBJECT: &str = "/access/v1/search/subject";
const RESOURCE: &str = "/access/v1/search/resource";
const ACTION: &str = "/access/v1/search/action";

const ALLOW: &str = r#"{"decision":true}"#;
const DENY: &str = r#"{"decision":false}"#;

const SCHEMA: &str = r#"
entity Account;
entity Role;
entity User in [Role, Account] = { role: String, active: Bool };
entity Record = { status?: String };
entity Folder;
action read appliesTo { principal: User, resource: Record, context: { blocked?: Bool } };
action write appliesTo { principal: User, resource: Record };
action open appliesTo { principal: User, resource: Folder };
action delete appliesTo { principal: User, resource: Record, context: { action?: { soft?: Bool } } };
"#;

/// Rules 5 to 8 of section 1.4, one that reads the context, and what role and status alone decide.
const RULES: &str = r#"
@id("archived") forbid (principal, action == Action::"write", resource)
when { (resource has status && resource.status == "archived") != (principal.role == "admin") };
@id("soft") forbid (principal, action == Action::"delete", resource)
unless { context has action && context.action has soft && context.action.soft };
@id("blocked") forbid (principal, action == Action::"read", resource)
when { context has blocked && context.blocked };
@id("folders") permit (principal in Role::"editor", action == Action::"open", resource);
@id("suspended") forbid (principal, action, resource) unless { principal.active };
"#;

/// The records of section 1.2.
const ENTITIES: &str = r#"[
    {"uid": {"type": "Record", "id": "record-1"}, "attrs": {"status": "active"}, "parents": []},
    {"uid": {"type": "Record", "id": "record-2"}, "attrs": {"status": "archived"}, "parents": []}
]"#;

/// A role that may do everything that no rule forbids.
fn role_file(role: &str) -> (String, String) {
    let text = format!(
        "@id(\"{role}\") @role(\"{role}\") @title(\"{role}\") @summary(\"s\") @best_for(\"b\")\n\
         permit (principal in Role::\"{role}\", action, resource is Record);"
    );
    (format!("roles/{role}.cedar"), text)
}

fn policies() -> PolicyFiles {
    let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let files = [
        file("schema.cedarschema", SCHEMA),
        file("rules/rules.cedar", RULES),
        file("entities.json", ENTITIES),
        role_file("admin"),
        role_file("editor"),
    ];
    PolicyFiles::new(files.map(|(path, text)| (path, text.into_bytes())).into())
}

/// The subjects of section 1.1.
fn members() -> [Member; 2] {
    [member("alice", "acme", "editor"), member("bob", "acme", "admin")]
}

async fn start() -> DecisionListener {
    start_with(|_| {}).await
}

async fn start_with(change: impl FnOnce(&mut App)) -> DecisionListener {
    DecisionListener::start(&policies(), members(), change).await
}

fn user(id: &str) -> Json {
    json!({"type": "user", "id": id})
}

fn record(id: &str) -> Json {
    json!({"type": "record", "id": id})
}

fn question(of_user: &str, action: &str, of_record: &str) -> Json {
    json!({"subject": user(of_user), "action": {"name": action}, "resource": record(of_record)})
}

/// The same body with one value, named by its path, set; null removes it.
fn with(mut body: Json, path: &str, value: Json) -> Json {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let names = parent.split('.').filter(|name| !name.is_empty());
    let parent = names.fold(&mut body, |inside, name| &mut inside[name]);
    match value {
        Json::Null => drop(parent.as_object_mut().unwrap().remove(name)),
        value => parent[name] = value,
    }
    body
}

/// A context that no rule reads.
fn context() -> Json {
    json!({"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"})
}

/// Asks for the bytes of an answer, twice: unknown members are ignored, but a body with one is read by another
/// reader than a usual one.
async fn answers(listener: &DecisionListener, path: &str, body: &Json, expected: &str) {
    for body in [body.clone(), with(body.clone(), "futureField", json!({"nested": true}))] {
        let answer = listener.post(path, body.to_string()).await;
        assert_eq!((answer.status, &*answer.body), (200, expected), "{path} {body}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{path} {body}");
    }
}

/// Expects a 400 with one string, and the id of the request on it.
async fn is_refused(listener: &DecisionListener, path: &str, body: &str) -> String {
    let headers = format!("{JSON}x-request-id: of-the-caller\r\n");
    let answer = listener.send("POST", path, &headers, body.as_bytes()).await;
    assert_eq!(answer.header("x-request-id"), Some("of-the-caller"), "{path} {body}");
    answer.refused(400)
}
