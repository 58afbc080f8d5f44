//! Discovery: the metadata document, from the configuration alone.

use serde_json::{Value as Json, json};

use super::{ACTION, EVALUATION, EVALUATIONS, RESOURCE, SUBJECT, start, start_with};
use crate::support::decision_listener::DecisionListener;

const PATH: &str = "/.well-known/authzen-configuration";

async fn at(url: &str) -> DecisionListener {
    let url = url.to_owned();
    start_with(|app| {
        app.config.decision.public_url = Some(url);
        app.config.decision.allowed_hosts = vec!["other.example".to_owned()];
    })
    .await
}

async fn document(listener: &DecisionListener, path: &str) -> Json {
    let answer = listener.send("GET", path, "x-request-id: r1\r\n", b"").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("max-age=3600"));
    assert_eq!(answer.header("x-request-id"), Some("r1"));
    answer.json()
}

/// 6.2 to 6.5: an address for each call that there is, and nothing without a value.
#[tokio::test]
async fn the_document_has_the_addresses_of_all_calls() {
    let base = "https://pdp.example.com";
    for (url, path) in
        [(base.to_owned(), PATH.to_owned()), (format!("{base}/tenant1"), format!("{PATH}/tenant1"))]
    {
        let listener = at(&url).await;
        let found = document(&listener, &path).await;
        let expected = json!({
            "policy_decision_point": url,
            "access_evaluation_endpoint": format!("{url}{EVALUATION}"),
            "access_evaluations_endpoint": format!("{url}{EVALUATIONS}"),
            "search_subject_endpoint": format!("{url}{SUBJECT}"),
            "search_resource_endpoint": format!("{url}{RESOURCE}"),
            "search_action_endpoint": format!("{url}{ACTION}"),
        });
        assert_eq!(found, expected);
        // Each of them is there.
        for (name, address) in found.as_object().unwrap() {
            let call = address.as_str().unwrap().strip_prefix(&url).unwrap();
            if name != "policy_decision_point" {
                listener.post(call, "{}").await.refused(400);
            }
        }
    }
}

/// 6.1: the well-known part is between the host and the path, and nowhere else.
#[tokio::test]
async fn only_the_path_of_the_own_address_is_answered() {
    let listener = at("https://pdp.example.com/tenant1").await;
    for path in ["", "/", "/tenant2", "/tenant1/", "/tenant1/x", "tenant1"] {
        let answer = listener.send("GET", &format!("{PATH}{path}"), "", b"").await;
        answer.refused(404);
    }
    let before = listener.send("GET", &format!("/tenant1{PATH}"), "", b"").await;
    before.refused(404);
}

#[tokio::test]
async fn the_host_of_a_request_changes_nothing() {
    let listener = at("https://pdp.example.com").await;
    let expected = document(&listener, PATH).await;
    let foreign = format!("GET {PATH} HTTP/1.1\r\nhost: other.example\r\n\r\n");
    assert_eq!(listener.tcp(&foreign).await.json(), expected);
    assert_eq!(listener.unix(&foreign).await.json(), expected);
    let forwarded = "x-forwarded-host: evil.example\r\nforwarded: host=evil.example\r\n";
    assert_eq!(listener.send("GET", PATH, forwarded, b"").await.json(), expected);
}

/// 6.6: where no address is configured there is no document, and the calls are at their usual paths.
#[tokio::test]
async fn without_an_address_there_is_no_document() {
    let listener = start().await;
    let answer = listener.send("GET", PATH, "", b"").await;
    assert!(answer.refused(404).contains("`decision.public_url`"));
    for call in [EVALUATION, EVALUATIONS, SUBJECT, RESOURCE, ACTION] {
        listener.post(call, "{}").await.refused(400);
    }
}
