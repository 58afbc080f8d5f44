//! Batch, Core and Properties: several evaluations in one request.

use serde_json::{Value as Json, json};

use super::{
    ALLOW, EVALUATIONS, answers, context, is_refused, question, record, start, user, with,
};

/// The text of an answer with these decisions.
fn decisions(all: &[bool]) -> String {
    let items: Vec<String> = all.iter().map(|one| format!(r#"{{"decision":{one}}}"#)).collect();
    format!(r#"{{"evaluations":[{}]}}"#, items.join(","))
}

/// A record with its status.
fn status(id: &str, status: &str) -> Json {
    json!({"type": "record", "id": id, "properties": {"status": status}})
}

#[tokio::test]
async fn core_number_and_order_are_those_of_the_request() {
    let listener = start().await;
    let records = json!([{"resource": record("record-1")}, {"resource": record("record-2")}]);
    let of_alice = json!({"subject": user("alice"), "action": {"name": "read"}});
    let structure = with(of_alice.clone(), "evaluations", records);
    let of_bob = json!({
        "subject": user("bob"),
        "resource": record("record-1"),
        "evaluations": [{"action": {"name": "read"}}, {"action": {"name": "write"}}],
    });
    let own = [question("alice", "read", "record-1"), question("bob", "write", "record-1")];
    let inherited = json!([
        {"resource": record("record-1")},
        {"resource": record("record-2"), "context": {"time": "2025-06-27T19:00-07:00", "source": "batch-override"}},
    ]);
    let inherited = with(with(of_alice, "evaluations", inherited), "context", context());
    for (case, body, expected) in [
        ("3.2.1", structure, [true, true].as_slice()),
        ("3.2.2", of_bob, &[true, false]),
        ("3.2.5", json!({"evaluations": own}), &[true, false]),
        ("3.2.6", inherited, &[true, true]),
    ] {
        println!("{case}");
        answers(&listener, EVALUATIONS, &body, &decisions(expected)).await;
    }
}

#[tokio::test]
async fn core_without_items_it_is_one_evaluation() {
    let listener = start().await;
    let read = question("alice", "read", "record-1");
    // 3.4.2 and 3.4.3
    answers(&listener, EVALUATIONS, &read, ALLOW).await;
    answers(&listener, EVALUATIONS, &with(read.clone(), "evaluations", json!([])), ALLOW).await;
    let lacking = with(read, "resource", json!(null));
    for items in [json!(null), json!([])] {
        let body = with(lacking.clone(), "evaluations", items).to_string();
        let message = is_refused(&listener, EVALUATIONS, &body).await;
        assert!(message.contains("`resource` is missing"), "{message}");
    }
}

#[tokio::test]
async fn core_an_item_at_fault_is_a_deny_of_that_item() {
    let listener = start().await;
    let body = json!({
        "subject": user("alice"),
        "action": {"name": "read"},
        "options": {"evaluations_semantic": "execute_all"},
        "evaluations": [{"resource": record("record-1")}, {}],
    });
    // 3.4.1
    answers(&listener, EVALUATIONS, &body, &decisions(&[true, false])).await;
    let told = with(body, "options.explain", json!(true));
    let answer = listener.ask(EVALUATIONS, &told).await;
    let error = json!({"status": 400, "message": "`resource` is missing"});
    assert_eq!(
        answer["evaluations"][1],
        json!({"decision": false, "context": {"error": error}}),
        "{answer}"
    );
    // What is wrong with the whole is a 400.
    for (body, told) in [
        ("{\"evaluations\": ", "cannot be read as JSON"),
        ("{\"evaluations\": {}}", "`evaluations` must be an array"),
        ("", "the body is empty"),
    ] {
        let message = is_refused(&listener, EVALUATIONS, body).await;
        assert!(message.contains(told), "{body}: {message}");
    }
}

#[tokio::test]
async fn core_a_semantic_ends_the_batch_early() {
    let listener = start().await;
    let [yes, no] = [json!({"action": {"name": "read"}}), json!({"action": {"name": "write"}})];
    let ask = |semantic: &str, items: [&Json; 3]| {
        json!({
            "subject": user("bob"),
            "resource": record("record-1"),
            "options": {"evaluations_semantic": semantic, "unknown": 1},
            "evaluations": items,
        })
    };
    for (semantic, items, expected) in [
        ("execute_all", [&no, &yes, &no], [false, true, false].as_slice()),
        ("deny_on_first_deny", [&yes, &no, &yes], &[true, false]),
        ("deny_on_first_deny", [&yes, &yes, &yes], &[true, true, true]),
        ("permit_on_first_permit", [&yes, &no, &yes], &[true]),
        ("permit_on_first_permit", [&no, &no, &yes], &[false, false, true]),
    ] {
        println!("{semantic}");
        answers(&listener, EVALUATIONS, &ask(semantic, items), &decisions(expected)).await;
    }
    let unknown = ask("stop_when_tired", [&yes, &yes, &yes]).to_string();
    let message = is_refused(&listener, EVALUATIONS, &unknown).await;
    assert!(message.contains("`options.evaluations_semantic` must be"), "{message}");
}

#[tokio::test]
async fn properties_decide_in_each_item() {
    let listener = start().await;
    let active = status("record-1", "active");
    let archived = status("record-2", "archived");
    let admin = json!({"type": "user", "id": "bob", "properties": {"role": "admin"}});
    let write = json!({"action": {"name": "write"}});
    let of_alice = with(write.clone(), "subject", user("alice"));
    let by_record = json!([{"resource": active}, {"resource": archived}]);
    let by_user = json!([{"subject": user("alice")}, {"subject": admin}]);
    let inherited = with(of_alice.clone(), "resource", active.clone());
    let inherited = with(inherited, "evaluations", json!([{}, {"resource": archived}]));
    for (case, body, expected) in [
        ("3.2.3", with(of_alice, "evaluations", by_record), [true, false]),
        ("3.2.4", with(with(write, "resource", archived), "evaluations", by_user), [false, true]),
        ("3.2.7", inherited, [true, false]),
    ] {
        println!("{case}");
        answers(&listener, EVALUATIONS, &body, &decisions(&expected)).await;
    }
}

/// An own member replaces the default as a whole: nothing of the default is left in it.
#[tokio::test]
async fn properties_and_context_of_a_default_are_not_merged() {
    let listener = start().await;
    let mut delete = question("alice", "delete", "record-1");
    delete["action"]["properties"] = json!({"soft": true});
    delete["evaluations"] = json!([{}, {"action": {"name": "delete"}}, {"action": {"name": "delete", "properties": {}}}]);
    answers(&listener, EVALUATIONS, &delete, &decisions(&[true, false, false])).await;

    let mut read = question("alice", "read", "record-1");
    read["context"] = json!({"blocked": true});
    read["evaluations"] =
        json!([{}, {"context": {}}, {"context": {"time": "now"}}, {"context": {"blocked": false}}]);
    answers(&listener, EVALUATIONS, &read, &decisions(&[false, true, true, true])).await;

    let mut write = question("alice", "write", "record-1");
    write["resource"]["properties"] = json!({"status": "active"});
    write["evaluations"] = json!([{}, {"resource": record("record-2")}]);
    answers(&listener, EVALUATIONS, &write, &decisions(&[true, false])).await;
}
