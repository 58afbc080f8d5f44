//! Search, Core: who may, on what, and which actions, by identifiers alone.

use std::collections::BTreeSet;

use kwic_team::domain::{
    AccountSlug, Change, ChangedRecord, Member, MemberId, Revision, Status, limits,
};
use serde_json::{Value as Json, json};

use super::{ACTION, RESOURCE, SUBJECT, context, is_refused, policies, question, start, with};
use crate::support::decision_listener::{DecisionListener, JSON, REVISION, member, request};

/// Searches for who may read `record-1`, on which records `alice` may, and which actions she may do on it.
fn searches() -> [(&'static str, Json); 3] {
    let read = question("alice", "read", "record-1");
    [
        (SUBJECT, with(read.clone(), "subject.id", json!(null))),
        (RESOURCE, with(read.clone(), "resource.id", json!(null))),
        (ACTION, with(read, "action", json!(null))),
    ]
}

/// What is found, on one page.
async fn found(listener: &DecisionListener, path: &str, body: &Json) -> Json {
    let answer = listener.ask(path, body).await;
    let results = answer["results"].as_array().unwrap();
    assert_eq!(answer["page"], json!({"next_token": "", "count": results.len()}), "{answer}");
    answer["results"].clone()
}

/// Ids or names, page by page, each with so many results at most.
async fn pages(listener: &DecisionListener, path: &str, body: &Json, limit: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut page = json!({"limit": limit});
    for _ in 0..100 {
        let answer = listener.ask(path, &with(body.clone(), "page", page)).await;
        let results = answer["results"].as_array().unwrap();
        assert_eq!(answer["page"]["count"], results.len(), "{answer}");
        assert!(results.len() <= limit, "{answer}");
        let name = |it: &Json| it.get("id").unwrap_or(&it["name"]).as_str().unwrap().to_owned();
        all.extend(results.iter().map(name));
        let token = answer["page"]["next_token"].as_str().unwrap();
        if token.is_empty() {
            return all;
        }
        // The scenario sends the token alone.
        page = json!({"token": token});
    }
    panic!("no end: {all:?}");
}

fn first_page(body: &Json, limit: u64) -> Json {
    with(body.clone(), "page", json!({"limit": limit}))
}

fn after(body: &Json, token: &Json) -> Json {
    with(body.clone(), "page", json!({"token": token}))
}

async fn token_of(listener: &DecisionListener, path: &str, body: &Json) -> Json {
    let token = listener.ask(path, &first_page(body, 1)).await["page"]["next_token"].clone();
    assert_ne!(token, "");
    token
}

/// 4.2 to 4.4, byte for byte: `page` is first, and a result has type and id, or a name, and nothing else.
#[tokio::test]
async fn results_have_type_and_id_or_a_name() {
    let listener = start().await;
    let expected = [
        r#"{"page":{"next_token":"","count":2},"results":[{"type":"user","id":"bob"},{"type":"user","id":"alice"}]}"#,
        r#"{"page":{"next_token":"","count":2},"results":[{"type":"record","id":"record-1"},{"type":"record","id":"record-2"}]}"#,
        r#"{"page":{"next_token":"","count":2},"results":[{"name":"read"},{"name":"write"}]}"#,
    ];
    for ((path, body), expected) in searches().into_iter().zip(expected) {
        super::answers(&listener, path, &body, expected).await;
    }
}

/// 4.2.2, 4.2.3, 4.3.2, 4.3.3 and 4.4.2
#[tokio::test]
async fn context_ids_that_are_searched_for_and_unknown_keys_change_nothing() {
    let listener = start().await;
    for (path, body) in searches() {
        let expected = found(&listener, path, &body).await;
        let with_context = with(body.clone(), "context", context());
        assert_eq!(found(&listener, path, &with_context).await, expected, "{path}");
        let ignored = match path {
            SUBJECT => with(body.clone(), "subject.id", json!("alice")),
            RESOURCE => with(body.clone(), "resource.id", json!("record-2")),
            _ => with(body.clone(), "action", json!({"name": "delete"})),
        };
        assert_eq!(found(&listener, path, &ignored).await, expected, "{path}");
        let mut more = with(body, "futureField", json!({"nested": true}));
        more["page"] = json!({"properties": {"sort": "id"}, "unknown": 1});
        assert_eq!(found(&listener, path, &more).await, expected, "{path}");
    }
}

/// 4.6: what nobody knows finds nothing, in all three searches.
#[tokio::test]
async fn unknown_ids_and_types_find_nothing() {
    let listener = start().await;
    for (path, body) in searches() {
        for part in ["subject", "resource"] {
            let unknown = with(body.clone(), &format!("{part}.type"), json!("spaceship"));
            assert_eq!(found(&listener, path, &unknown).await, json!([]), "{path} {part}");
        }
        let unknown = match path {
            SUBJECT => with(body.clone(), "action.name", json!("burn")),
            _ => with(body.clone(), "subject.id", json!("nonexistent-user")),
        };
        assert_eq!(found(&listener, path, &unknown).await, json!([]), "{path}");
    }
    // A resource that only its caller knows is one about which can be asked.
    let (path, body) = &searches()[0];
    let unknown = with(body.clone(), "resource.id", json!("record-9"));
    assert_eq!(found(&listener, path, &unknown).await.as_array().unwrap().len(), 2);
}

/// 4.7: what is searched for has no id, all else is complete.
#[tokio::test]
async fn what_is_missing_or_mistyped_is_400() {
    let listener = start().await;
    for (path, body) in searches() {
        let needed = match path {
            SUBJECT => [
                "subject",
                "subject.type",
                "action",
                "action.name",
                "resource",
                "resource.type",
                "resource.id",
            ]
            .as_slice(),
            RESOURCE => &[
                "subject",
                "subject.type",
                "subject.id",
                "action",
                "action.name",
                "resource",
                "resource.type",
            ],
            _ => &[
                "subject",
                "subject.type",
                "subject.id",
                "resource",
                "resource.type",
                "resource.id",
            ],
        };
        for part in needed {
            let missing = with(body.clone(), part, json!(null)).to_string();
            let message = is_refused(&listener, path, &missing).await;
            assert_eq!(message, format!("`{part}` is missing"), "{path}");
            let mistyped = with(body.clone(), part, json!(7)).to_string();
            let message = is_refused(&listener, path, &mistyped).await;
            assert!(message.starts_with(&format!("`{part}` must be a")), "{path}: {message}");
        }
        for (bad, told) in [
            (with(body.clone(), "context", json!([])), "`context` must be an object"),
            (with(body.clone(), "page", json!("x")), "`page` must be an object"),
            (
                with(body.clone(), "page", json!({"limit": -1})),
                "`page.limit` must be a whole number",
            ),
            (
                with(body.clone(), "page", json!({"limit": 0.5})),
                "`page.limit` must be a whole number",
            ),
            (with(body.clone(), "page", json!({"token": 1})), "`page.token` must be a string"),
        ] {
            let message = is_refused(&listener, path, &bad.to_string()).await;
            assert!(message.starts_with(told), "{path} {bad}: {message}");
        }
        let plain = "content-type: text/plain\r\n";
        let plain = listener.send("POST", path, plain, body.to_string().as_bytes()).await;
        assert!(plain.refused(400).contains("`Content-Type: application/json`"));
    }
}

/// 4.5: in all three searches the pages together are the whole, and the last one has an empty token.
#[tokio::test]
async fn pages_together_are_the_whole() {
    let listener = start().await;
    for (path, body) in searches() {
        let whole = pages(&listener, path, &body, 100).await;
        assert_eq!(whole.len(), 2, "{path}");
        for limit in 1..=3 {
            assert_eq!(pages(&listener, path, &body, limit).await, whole, "{path} {limit}");
        }
        // A limit of 0 is none, and so is an empty token.
        let usual = with(body.clone(), "page", json!({"limit": 0, "token": ""}));
        assert_eq!(found(&listener, path, &usual).await.as_array().unwrap().len(), 2, "{path}");
    }
}

/// A token belongs to one question and one limit, and cannot be made.
#[tokio::test]
async fn a_token_of_anything_else_is_400() {
    let listener = start().await;
    let [subject, resource, action] = searches();
    for (path, body) in [&subject, &resource, &action] {
        let token = token_of(&listener, path, body).await;
        let text = token.as_str().unwrap();
        let same = with(body.clone(), "page", json!({"token": token, "limit": 1}));
        assert_eq!(listener.ask(path, &same).await["page"]["count"], 1, "{path}");
        let differs = with(body.clone(), "page", json!({"token": token, "limit": 2}));
        let message = is_refused(&listener, path, &differs.to_string()).await;
        assert!(message.starts_with("`page.limit` was 1"), "{path}: {message}");

        let mut others = vec![with(body.clone(), "context", json!({"blocked": false}))];
        for part in ["subject", "resource"] {
            others.push(with(body.clone(), &format!("{part}.type"), json!("Other")));
            others.push(with(body.clone(), &format!("{part}.properties"), json!({"status": "x"})));
        }
        others.push(match *path {
            SUBJECT => with(body.clone(), "resource.id", json!("record-2")),
            _ => with(body.clone(), "subject.id", json!("bob")),
        });
        if *path != ACTION {
            others.push(with(body.clone(), "action.name", json!("write")));
            others.push(with(body.clone(), "action.properties", json!({"soft": true})));
        }
        for other in others {
            let message = is_refused(&listener, path, &after(&other, &token).to_string()).await;
            assert!(message.contains("is not a token of this search"), "{path} {other}: {message}");
        }
        // Of another search, whose body is complete in both.
        for other in [SUBJECT, RESOURCE, ACTION].into_iter().filter(|other| other != path) {
            let whole = question("alice", "read", "record-1");
            let message = is_refused(&listener, other, &after(&whole, &token).to_string()).await;
            assert!(message.contains("is not a token of this search"), "{other}: {message}");
        }
        for at in [0, text.len() / 2, text.len() - 1] {
            let mut altered = text.to_owned().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = json!(String::from_utf8(altered).unwrap());
            let message = is_refused(&listener, path, &after(body, &altered).to_string()).await;
            assert!(message.contains("is not a token of this search"), "{path} {at}: {message}");
        }
        for bad in ["AAAA", "%", "\u{e9}", &text[1..], &format!("{text}A"), &"A".repeat(2_000)] {
            let message = is_refused(&listener, path, &after(body, &json!(bad)).to_string()).await;
            assert!(message.contains("is not a token of this search"), "{path} {bad}: {message}");
        }
    }
}

/// Also where the members of two searches are the same.
#[tokio::test]
async fn a_token_of_another_search_with_the_same_members_is_400() {
    let listener = start().await;
    let body = question("", "read", "");
    let token = token_of(&listener, SUBJECT, &body).await;
    assert_eq!(listener.ask(SUBJECT, &after(&body, &token)).await["page"]["count"], 1);
    let message = is_refused(&listener, RESOURCE, &after(&body, &token).to_string()).await;
    assert!(message.contains("is not a token of this search"), "{message}");
}

#[tokio::test]
async fn a_token_expires() {
    let listener = start().await;
    let hours = i64::try_from(limits::SEARCH_TOKEN_HOURS).unwrap();
    for (path, body) in searches() {
        let token = token_of(&listener, path, &body).await;
        listener.app.clock.advance_ms(hours * 3_600_000 - 1);
        let next = listener.ask(path, &after(&body, &token)).await;
        assert_eq!(next["page"]["count"], 1, "{path}");
        listener.app.clock.advance_ms(2);
        let message = is_refused(&listener, path, &after(&body, &token).to_string()).await;
        assert!(message.starts_with("`page.token` has expired, after 1 hour"), "{path}: {message}");
    }
}

/// A search is no snapshot. Where policies read the resource, members are asked about one by one; where role
/// and status decide, by groups.
#[tokio::test]
async fn what_changed_between_two_pages_is_seen_by_the_second() {
    let one_by_one = with(question("", "write", "record-1"), "subject.id", json!(null));
    let by_groups = with(one_by_one.clone(), "action.name", json!("open"));
    let by_groups = with(by_groups, "resource.type", json!("folder"));
    let gone = |id: &str| ChangedRecord::MemberGone {
        id: MemberId::parse(id).unwrap(),
        account: AccountSlug::parse("acme").unwrap(),
    };
    let suspended = |id: &str| {
        ChangedRecord::Member(Member { status: Status::Suspended, ..member(id, "acme", "editor") })
    };
    let given = |id: &str, role: &str| ChangedRecord::Member(member(id, "acme", role));
    for (what, row, expected) in [
        ("nothing", given("e1", "editor"), vec!["e1", "e2", "e3"]),
        ("removed", gone("e2"), vec!["e1", "e3"]),
        ("the one that was seen is removed", gone("e1"), vec!["e1", "e2", "e3"]),
        ("suspended", suspended("e2"), vec!["e1", "e3"]),
        ("given another role", given("e2", "admin"), vec!["e1", "e3"]),
        ("given the role", given("e4", "editor"), vec!["e1", "e2", "e3", "e4"]),
    ] {
        for search in [&one_by_one, &by_groups] {
            let ids = found_around(search, &row).await;
            assert_eq!(ids, expected, "{what}: {search}");
        }
    }
}

/// The ids on all pages of a search, where this changes after the first one.
async fn found_around(search: &Json, row: &ChangedRecord) -> Vec<String> {
    let members = ["e1", "e2", "e3"].map(|id| member(id, "acme", "editor"));
    let members = members.into_iter().chain([member("e4", "acme", "admin")]);
    let listener = DecisionListener::start(&policies(), members, |_| {}).await;
    let (mut ids, mut page) = (Vec::new(), first_page(search, 1));
    for number in 1.. {
        let answer = listener.ask(SUBJECT, &page).await;
        let found = answer["results"].as_array().unwrap().iter();
        ids.extend(found.map(|it| it["id"].as_str().unwrap().to_owned()));
        if number == 1 {
            let revision = Revision(REVISION.0 + 1);
            listener.app.directory.apply(&Change { revision, rows: vec![row.clone()] });
        }
        assert!(number < 10, "no end: {ids:?}");
        if answer["page"]["next_token"] == "" {
            break;
        }
        page = after(search, &answer["page"]["next_token"]);
    }
    ids
}

/// Every result, sent to evaluation, is allowed, and nothing that would be allowed is missing.
#[tokio::test]
async fn a_search_finds_what_evaluation_allows() {
    let listener = start().await;
    let (users, records) = (["alice", "bob"], ["record-1", "record-2"]);
    let actions = ["delete", "read", "write"];
    let mut allowed = BTreeSet::new();
    for user in users {
        for action in actions {
            for of_record in records {
                let question = question(user, action, of_record);
                if listener.ask(super::EVALUATION, &question).await["decision"] == true {
                    allowed.insert((user, action, of_record));
                }
            }
        }
    }
    assert_eq!(allowed.len(), 6);
    let mut results = [BTreeSet::new(), BTreeSet::new(), BTreeSet::new()];
    let named = async |path: &str, body: Json| {
        let results = found(&listener, path, &body).await;
        let name = |it: &Json| it.get("id").unwrap_or(&it["name"]).as_str().unwrap().to_owned();
        results.as_array().unwrap().iter().map(name).collect::<BTreeSet<String>>()
    };
    for action in actions {
        for of_record in records {
            let found =
                named(SUBJECT, with(question("", action, of_record), "subject.id", json!(null)));
            let found = found.await;
            let users = users.into_iter().filter(|user| found.contains(*user));
            results[0].extend(users.map(|user| (user, action, of_record)));
        }
        for user in users {
            let found =
                named(RESOURCE, with(question(user, action, ""), "resource.id", json!(null)));
            let found = found.await;
            let records = records.into_iter().filter(|id| found.contains(*id));
            results[1].extend(records.map(|id| (user, action, id)));
        }
    }
    for user in users {
        for id in records {
            let found = named(ACTION, with(question(user, "", id), "action", json!(null))).await;
            let actions = actions.into_iter().filter(|action| found.contains(*action));
            results[2].extend(actions.map(|action| (user, action, id)));
        }
    }
    assert_eq!(results, [allowed.clone(), allowed.clone(), allowed]);
}

/// However many are found and whatever limit is asked for, a page has a bound; all pages together have
/// everybody once. `SEARCH_MEMBERS` says how many members.
#[tokio::test]
async fn a_page_of_a_million_results_has_a_bound() {
    let count = std::env::var("SEARCH_MEMBERS").map_or(2_500, |text| text.parse().unwrap());
    let members = (0..count).map(|n| member(&format!("m{n:07}"), "acme", "editor"));
    let listener = DecisionListener::start(&policies(), members, |_| {}).await;
    let body = with(question("m0000000", "write", "record-1"), "subject.id", json!(null));
    let most = limits::SEARCH_RESULTS_MAX;
    let mut body = with(body, "page", json!({"limit": 1_000_000}));
    let mut ids = BTreeSet::new();
    for page in 0.. {
        let asked = request("POST", SUBJECT, JSON, body.to_string().as_bytes());
        let answer =
            if page % 2 == 0 { listener.tcp(&asked).await } else { listener.unix(&asked).await };
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body.len() < 40 * most + 1_000, "{} bytes", answer.body.len());
        let answer = answer.json();
        let results = answer["results"].as_array().unwrap();
        assert_eq!(results.len(), most.min(count - ids.len()), "page {page}");
        let new = results.iter().filter(|it| ids.insert(it["id"].as_str().unwrap().to_owned()));
        assert_eq!(new.count(), results.len(), "page {page}");
        let token = answer["page"]["next_token"].clone();
        if token == "" {
            break;
        }
        // The limit that the caller said is the same on each page, also where it was lowered.
        body["page"] = json!({"token": token, "limit": 1_000_000});
    }
    assert_eq!(ids.len(), count);
}
