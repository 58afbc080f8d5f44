//! Search, Properties: what a caller says of subject, resource and context is taken for every candidate.

use serde_json::{Value as Json, json};

use super::{ACTION, RESOURCE, SUBJECT, question, record, start, user, with};
use crate::support::decision_listener::DecisionListener;

fn admin() -> Json {
    json!({"type": "user", "id": "bob", "properties": {"role": "admin"}})
}

fn archived(id: &str) -> Json {
    json!({"type": "record", "id": id, "properties": {"status": "archived"}})
}

async fn finds(listener: &DecisionListener, case: &str, path: &str, body: &Json, expected: Json) {
    let answer = listener.ask(path, body).await;
    assert_eq!(answer["results"], expected, "{case}: {body}");
    assert_eq!(answer["page"]["next_token"], "", "{case}");
}

/// 4.2.4, 4.3.4 and 4.4.3
#[tokio::test]
async fn properties_decide_what_is_found() {
    let listener = start().await;
    let who = json!({"subject": {"type": "user"}, "action": {"name": "write"}, "resource": archived("record-2")});
    finds(&listener, "4.2.4", SUBJECT, &who, json!([user("bob")])).await;
    let which =
        json!({"subject": admin(), "action": {"name": "write"}, "resource": {"type": "record"}});
    finds(&listener, "4.3.4", RESOURCE, &which, json!([record("record-2")])).await;
    let actions = json!({"subject": admin(), "resource": archived("record-2")});
    finds(&listener, "4.4.3", ACTION, &actions, json!([{"name": "read"}, {"name": "write"}])).await;
}

/// What a caller says of a resource wins over what is stored, for each candidate; what it says of a member
/// does not.
#[tokio::test]
async fn properties_win_over_what_is_stored_but_promote_nobody() {
    let listener = start().await;
    let who = |status: &str| {
        let body = with(question("", "write", "record-1"), "subject", json!({"type": "user"}));
        with(body, "resource.properties", json!({"status": status}))
    };
    finds(&listener, "archived", SUBJECT, &who("archived"), json!([user("bob")])).await;
    finds(&listener, "active", SUBJECT, &who("active"), json!([user("alice")])).await;

    let which = |of_user: &str, status: &str| {
        let resource = json!({"type": "record", "properties": {"status": status}});
        with(question(of_user, "write", ""), "resource", resource)
    };
    let both = json!([record("record-1"), record("record-2")]);
    finds(&listener, "all archived", RESOURCE, &which("bob", "archived"), both.clone()).await;
    finds(&listener, "all archived", RESOURCE, &which("alice", "archived"), json!([])).await;
    finds(&listener, "all active", RESOURCE, &which("alice", "active"), both).await;

    let promoted = json!({"type": "user", "id": "alice", "properties": {"role": "admin"}});
    let which =
        json!({"subject": promoted, "action": {"name": "write"}, "resource": {"type": "record"}});
    finds(&listener, "no promotion", RESOURCE, &which, json!([record("record-1")])).await;
    let actions = json!({"subject": promoted, "resource": record("record-2")});
    finds(&listener, "no promotion", ACTION, &actions, json!([{"name": "read"}])).await;
    let everybody = json!({"type": "user", "properties": {"role": "admin"}});
    let who = with(question("", "write", "record-2"), "subject", everybody);
    finds(&listener, "no promotion", SUBJECT, &who, json!([user("bob")])).await;
    // A value that does not conform is a deny, and finds nothing.
    let bad = json!({"type": "record", "id": "record-1", "properties": {"status": 7}});
    let who = with(question("", "read", ""), "resource", bad);
    finds(
        &listener,
        "a bad value",
        SUBJECT,
        &with(who, "subject", json!({"type": "user"})),
        json!([]),
    )
    .await;
}

#[tokio::test]
async fn properties_of_the_action_and_the_context_decide() {
    let listener = start().await;
    let read = question("alice", "read", "record-1");
    for (path, left_out) in [(SUBJECT, "subject.id"), (RESOURCE, "resource.id"), (ACTION, "action")]
    {
        let body = with(read.clone(), left_out, json!(null));
        let blocked = with(body.clone(), "context", json!({"blocked": true}));
        let left = if path == ACTION { json!([{"name": "write"}]) } else { json!([]) };
        finds(&listener, "blocked", path, &blocked, left).await;
        let open = listener.ask(path, &with(body, "context", json!({"blocked": false}))).await;
        assert_eq!(open["results"].as_array().unwrap().len(), 2, "{path}");
    }
    let delete = |soft: bool| {
        let body = with(question("", "delete", "record-1"), "subject.id", json!(null));
        with(body, "action.properties", json!({"soft": soft}))
    };
    finds(&listener, "soft", SUBJECT, &delete(true), json!([user("bob"), user("alice")])).await;
    finds(&listener, "hard", SUBJECT, &delete(false), json!([])).await;
    let records = json!([record("record-1"), record("record-2")]);
    let which = with(delete(true), "subject", user("alice"));
    finds(&listener, "soft", RESOURCE, &with(which, "resource.id", json!(null)), records).await;
}
