//! `/openapi.json`: the API as a document of `OpenAPI` 3.1, with the checks that the domain makes
//! of each input, so that a request that conforms to it is not refused for its shape.
//!
//! Generated from the table of calls and from the live policies, which define roles and actions.
//! Lists what the listener offers on which it is requested: accounts appear on `admin.sock` only.

mod operations;
mod request_schemas;
mod response_schemas;
mod schema_builder;

use serde_json::{Map, Value, json};

use self::operations::{OperationDoc, about};
use self::request_schemas::Inputs;
use super::CALLS;
use super::api_request::{ApiRequest, ApiResult};
use super::route_matching::{Access, BodyKind, Endpoint};
use crate::http::{Peer, Reply};
use crate::services::session_auth::COOKIE;

pub(super) async fn show(call: &mut ApiRequest<'_>) -> ApiResult {
    call.done()?;
    let local = matches!(call.request.peer, Peer::Unix { .. });
    let inputs = Inputs::of(&call.app.policies.load());
    Ok(Reply::json_of(&document(call.app.links.base(), &inputs, local)))
}

fn document(base: &str, inputs: &Inputs, local: bool) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for entry in CALLS {
        let place = paths.entry(entry.path).or_insert_with(|| json!({}));
        if let Some(place) = place.as_object_mut() {
            let method = entry.method.as_str().to_ascii_lowercase();
            place.insert(method, operation(entry, about(entry.operation, inputs), inputs, local));
        }
    }
    let base = if local { "http://localhost" } else { base };
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "KWIC Team",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Who is on the team, and what each may do. Errors are `application/problem+json` (RFC 9457) and say what to do next. A call that changes something is refused when it comes from a page of another site: a program sends `Sec-Fetch-Site: same-origin`, or the console's own address as `Origin`.",
        },
        "servers": [{"url": format!("{base}/api/v1")}],
        "security": [{"session": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"session": {
                "type": "apiKey",
                "in": "cookie",
                "name": COOKIE,
                "description": "The cookie that `/sign-in` sets. `admin.sock` needs no sign-in: anyone who may open it acts as the operator of the sidecar.",
            }},
            "schemas": response_schemas::schemas(inputs),
            "responses": problems(),
        },
    })
}

fn operation(entry: &Endpoint, about: OperationDoc, inputs: &Inputs, local: bool) -> Value {
    let mut parameters = about.parameters;
    if entry.path.contains("{id}") {
        parameters.push(json!({
            "name": "id", "in": "path", "required": true, "schema": inputs.id_in(entry.path),
        }));
    }
    if local && about.of_account {
        parameters.push(json!({
            "name": "account", "in": "query", "schema": request_schemas::or_empty(request_schemas::slug()),
            "description": "The account. Optional while there is only one.",
        }));
    }
    let mut responses = Map::new();
    let (status, answer) = about.answer;
    if let Some(repeated) = about.repeated {
        responses.insert(repeated.to_string(), answer.clone());
    }
    responses.insert(status.to_string(), answer);
    let usual = usual_problems(entry, about.of_account);
    for status in usual.into_iter().chain(about.problems.iter().copied()) {
        let kind = if matches!(status, 429 | 503) { "Later" } else { "Problem" };
        let problem = json!({"$ref": format!("#/components/responses/{kind}")});
        responses.insert(status.to_string(), problem);
    }
    let mut operation = json!({
        "operationId": format!("{:?}", entry.operation),
        "summary": about.summary,
        "description": who(entry.access),
        "parameters": parameters,
        "responses": responses,
    });
    if let Some(operation) = operation.as_object_mut() {
        if let Some(body) = about.body {
            operation.insert("requestBody".to_owned(), json!({"required": true, "content": body}));
        }
        if entry.access == Access::Open {
            operation.insert("security".to_owned(), json!([]));
        }
    }
    operation
}

/// The refusals that every call of its kind may have.
fn usual_problems(entry: &Endpoint, of_account: bool) -> Vec<u16> {
    let mut problems = vec![400, 403, 500, 503];
    if entry.access != Access::Open {
        problems.push(401);
    }
    if of_account || entry.path.contains("{id}") {
        problems.push(404);
    }
    if entry.body != BodyKind::Empty {
        problems.extend([408, 413]);
    }
    problems
}

const fn who(access: Access) -> &'static str {
    match access {
        Access::Open => "No sign-in needed.",
        Access::Anyone => {
            "For members who are signed in, as far as their role allows it; on `admin.sock` for the operator of the sidecar."
        }
        Access::Member => "For members who are signed in, about themselves.",
        Access::Operator => "For the operator of the sidecar, on `admin.sock`.",
    }
}

fn problems() -> Value {
    let problem = |description: &str, headers: Value| {
        json!({
            "description": description,
            "headers": headers,
            "content": {"application/problem+json": {
                "schema": {"$ref": "#/components/schemas/Problem"},
            }},
        })
    };
    let id = response_schemas::request_id();
    let seconds = json!({"required": true, "schema": {"type": "integer", "minimum": 0},
        "description": "Seconds to wait before the next try."});
    json!({
        "Problem": problem("What is wrong, and what to do next.", json!({"x-request-id": id})),
        "Later": problem(
            "Not possible now: what to wait for.",
            json!({"x-request-id": id, "retry-after": seconds}),
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::engine::Snapshot;
    use crate::policy_folder;

    static INPUTS: LazyLock<Inputs> = LazyLock::new(|| {
        Inputs::of(&Snapshot::load(&policy_folder::embedded_policies(), &[]).unwrap())
    });

    fn made(local: bool) -> Value {
        document("https://team.example/x", &INPUTS, local)
    }

    #[test]
    fn every_call_of_the_table_is_in_the_document_and_nothing_else() {
        let document = made(false);
        let mut there: Vec<(String, String)> = Vec::new();
        for (path, place) in document["paths"].as_object().unwrap() {
            for method in place.as_object().unwrap().keys() {
                there.push((path.clone(), method.clone()));
            }
        }
        let method = |entry: &Endpoint| entry.method.as_str().to_ascii_lowercase();
        let mut wanted: Vec<(String, String)> =
            CALLS.iter().map(|entry| (entry.path.to_owned(), method(entry))).collect();
        there.sort();
        wanted.sort();
        assert_eq!(there, wanted);
        assert_eq!(document["servers"][0]["url"], "https://team.example/x/api/v1");
    }

    #[test]
    fn every_number_that_a_caller_sends_has_its_least_and_its_most() {
        fn unbounded(schema: &Value) -> bool {
            let is_number = schema["type"] == "integer" || schema["type"] == "number";
            let inside = match schema {
                Value::Object(keys) => keys.values().any(unbounded),
                Value::Array(items) => items.iter().any(unbounded),
                _ => false,
            };
            inside || is_number && (schema["minimum"].is_null() || schema["maximum"].is_null())
        }
        let document = made(true);
        for entry in CALLS {
            let method = entry.method.as_str().to_ascii_lowercase();
            let operation = &document["paths"][entry.path][&method];
            for sent in [&operation["parameters"], &operation["requestBody"]] {
                assert!(!unbounded(sent), "{method} {}: {sent:#}", entry.path);
            }
        }
    }

    #[test]
    fn a_call_has_a_body_in_the_document_where_the_table_says_so() {
        let document = made(false);
        for entry in CALLS {
            let method = entry.method.as_str().to_ascii_lowercase();
            let operation = &document["paths"][entry.path][&method];
            let content = operation["requestBody"]["content"].as_object();
            let json = content.is_some_and(|content| content.contains_key("application/json"));
            assert_eq!(content.is_some(), entry.body != BodyKind::Empty, "{entry:?}");
            assert_eq!(json, entry.body == BodyKind::Json, "{entry:?}");
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_no_schema_is_left_over() {
        let document = made(true);
        let text = document.to_string();
        let mut named = std::collections::BTreeSet::new();
        for part in text.split("\"$ref\":\"#/").skip(1) {
            let pointer = part.split('"').next().unwrap();
            assert!(document.pointer(&format!("/{pointer}")).is_some(), "{pointer}");
            named.insert(pointer.to_owned());
        }
        for kind in ["schemas", "responses"] {
            for name in document["components"][kind].as_object().unwrap().keys() {
                assert!(named.contains(&format!("components/{kind}/{name}")), "{name} is unused");
            }
        }
    }

    #[test]
    fn accounts_are_named_on_the_socket_only() {
        let names = |local| {
            let parameters = made(local)["paths"]["/members"]["get"]["parameters"].clone();
            parameters.as_array().unwrap().iter().any(|parameter| parameter["name"] == "account")
        };
        assert!(names(true) && !names(false));
    }
}
