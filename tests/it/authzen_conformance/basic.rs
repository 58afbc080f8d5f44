//! Basic, Core and Properties: single evaluations.

use serde_json::json;

use super::{
    ALLOW, DENY, EVALUATION, answers, context, is_refused, question, record, start, user, with,
};
use crate::support::decision_listener::JSON;

#[tokio::test]
async fn core_identifiers_decide() {
    let listener = start().await;
    let more = json!({
        "subject": {"type": "user", "id": "alice", "properties": {"department": "Sales", "role": "manager"}},
        "action": {"name": "read", "properties": {"method": "GET"}},
        "resource": {"type": "record", "id": "record-1", "properties": {"status": "active", "owner": "bob"}},
    });
    let read = question("alice", "read", "record-1");
    for (case, body, expected) in [
        ("2.2.1", read.clone(), ALLOW),
        ("rule 2", question("alice", "write", "record-1"), ALLOW),
        ("rule 3", question("bob", "read", "record-1"), ALLOW),
        ("2.2.2", question("bob", "write", "record-1"), DENY),
        ("2.2.3", with(read.clone(), "context", context()), ALLOW),
        ("2.2.8", more, ALLOW),
        ("2.2.9", with(read.clone(), "futureField", json!({"nested": true})), ALLOW),
        ("an unknown subject", question("nobody", "read", "record-1"), DENY),
        ("an unknown type of subject", with(read.clone(), "subject.type", json!("robot")), DENY),
        ("an unknown action", question("alice", "burn", "record-1"), DENY),
        ("an unknown type of resource", with(read, "resource.type", json!("cloud")), DENY),
    ] {
        println!("{case}");
        answers(&listener, EVALUATION, &body, expected).await;
    }
}

#[tokio::test]
async fn properties_of_subject_action_and_resource_decide() {
    let listener = start().await;
    let archived = with(
        question("alice", "write", "record-2"),
        "resource.properties",
        json!({"status": "archived"}),
    );
    let admin = json!({"type": "user", "id": "bob", "properties": {"role": "admin"}});
    let delete = question("alice", "delete", "record-1");
    let soft = |soft: bool| with(delete.clone(), "action.properties", json!({"soft": soft}));
    let promoted = json!({"type": "user", "id": "alice", "properties": {"role": "admin"}});
    let other = with(archived.clone(), "resource.properties", json!({"status": "active"}));
    for (case, body, expected) in [
        ("2.2.4", archived.clone(), DENY),
        ("2.2.5", with(archived.clone(), "subject", admin), ALLOW),
        ("2.2.6", soft(true), ALLOW),
        ("2.2.7", soft(false), DENY),
        ("no caller promotes a member", with(archived, "subject", promoted), DENY),
        ("what a caller says of a resource wins over what is stored", other, ALLOW),
        ("what is stored counts without", question("alice", "write", "record-2"), DENY),
    ] {
        println!("{case}");
        answers(&listener, EVALUATION, &body, expected).await;
    }
}

#[tokio::test]
async fn core_errors_are_400() {
    let listener = start().await;
    let read = question("alice", "read", "record-1");
    let mut rows = Vec::new();
    // 2.4.1 and 2.4.2
    for path in [
        "subject",
        "action",
        "resource",
        "subject.type",
        "subject.id",
        "action.name",
        "resource.type",
        "resource.id",
    ] {
        let body = with(read.clone(), path, json!(null));
        rows.push((body.to_string(), format!("`{path}` is missing")));
    }
    // 2.4.6
    let mistyped = |path: &str, value| with(read.clone(), path, value).to_string();
    rows.extend([
        (mistyped("subject", json!("alice")), "`subject` must be an object".to_owned()),
        (mistyped("action.name", json!(123)), "`action.name` must be a string".to_owned()),
        // 2.4.4 and 2.4.5
        ("{\"subject\": ".to_owned(), "cannot be read as JSON".to_owned()),
        (String::new(), "the body is empty".to_owned()),
    ]);
    for (body, told) in rows {
        let message = is_refused(&listener, EVALUATION, &body).await;
        assert!(message.contains(&told), "{body}: {message}");
    }
    // 2.4.3
    for headers in ["content-type: text/plain\r\n", ""] {
        let body = read.to_string();
        let answer = listener.send("POST", EVALUATION, headers, body.as_bytes()).await;
        assert!(answer.refused(400).contains("`Content-Type: application/json`"), "{headers}");
    }
}

/// 2.5
#[tokio::test]
async fn core_a_request_id_is_echoed_and_none_is_needed() {
    let listener = start().await;
    let body = question("alice", "read", "record-1").to_string();
    let headers = format!("{JSON}x-request-id: bfe9eb29-ab87-4ca3-be83-a1d5d8305716\r\n");
    let echoed = listener.send("POST", EVALUATION, &headers, body.as_bytes()).await;
    assert_eq!(echoed.header("x-request-id"), Some("bfe9eb29-ab87-4ca3-be83-a1d5d8305716"));
    let without = listener.post(EVALUATION, body).await;
    assert_eq!((without.status, &*without.body), (200, ALLOW));
}

/// 2.6
#[tokio::test]
async fn core_the_same_request_gets_the_same_answer() {
    let listener = start().await;
    for _ in 0..5 {
        answers(&listener, EVALUATION, &question("alice", "read", "record-1"), ALLOW).await;
        answers(&listener, EVALUATION, &question("bob", "write", "record-1"), DENY).await;
    }
    // Whichever order its members have.
    let reversed = format!(
        r#"{{"resource":{},"action":{{"name":"read"}},"subject":{}}}"#,
        record("record-1"),
        user("alice")
    );
    assert_eq!(listener.post(EVALUATION, reversed).await.body, ALLOW);
}
