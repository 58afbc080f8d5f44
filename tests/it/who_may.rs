//! Who may do something, and what a member may do, with why: by the management API and on the command
//! line, and against each decision asked one by one.

use std::collections::BTreeSet;
use std::sync::Arc;

use kwic_team::domain::{EntityRef, Query, Value as Attribute};
use kwic_team::engine::{QueryContext, Snapshot};
use serde_json::{Value, json};

use crate::authzen_search::{folder, folders, is_sealed};
use crate::support::api_fixture::ApiFixture;
use crate::support::fake_sidecar::Ran;
use crate::support::fixture::HOUR;
use crate::support::sidecar::Sidecar;

const NONE: Value = Value::Null;

/// Members of `acme`, of whom `m4` is suspended, and of `beta`.
async fn team() -> ApiFixture {
    let console = ApiFixture::new().await;
    let beta = json!({"slug": "beta", "name": "Beta"});
    console.operator("POST /accounts", &beta).await.is(201);
    for (account, id, role) in [
        ("acme", "m1", "administrator"),
        ("acme", "m2", "operator"),
        ("acme", "m3", "operator"),
        ("acme", "m4", "operator"),
        ("acme", "m5", "template_manager"),
        ("beta", "z1", "administrator"),
        ("beta", "z2", "operator"),
    ] {
        let email = format!("{id}@Example.org");
        let body = json!({"id": id, "first_name": "Ann", "last_name": "Lee", "email": email, "role": role});
        console.operator(&format!("POST /members?account={account}"), &body).await.is(201);
    }
    console.operator("POST /members/m4/suspend?account=acme", &NONE).await.is(200);
    console
}

/// All pages of a list.
async fn pages(console: &ApiFixture, path: &str) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    for _ in 0..100 {
        let page = console.operator(&format!("GET {path}{after}"), &NONE).await.is(200);
        all.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next"].as_str() else { return all };
        after = format!("&after={next}");
    }
    panic!("no end: {path}");
}

fn names<'v>(items: &'v [Value], field: &str) -> BTreeSet<&'v str> {
    let names: BTreeSet<&str> = items.iter().map(|item| item[field].as_str().unwrap()).collect();
    assert_eq!(names.len(), items.len(), "somebody twice: {items:?}");
    names
}

#[tokio::test]
async fn who_may_names_members_of_the_account_with_the_policies_that_allow_it() {
    let console = team().await;
    let who = |more: &str| format!("/who-may?account=acme&action=chats:respond{more}");
    let found = pages(&console, &who("")).await;
    assert_eq!(names(&found, "id"), ["m1", "m2", "m3"].into());
    let operator = found.iter().find(|item| item["id"] == "m2").unwrap();
    assert_eq!(operator["email"], "m2@Example.org");
    assert_eq!((&operator["role"], &operator["status"]), (&json!("operator"), &json!("active")));
    assert_eq!(operator["policies"], json!(["operator"]));
    assert_eq!(operator["sentence"], "`chats:respond` on this `account` is allowed");
    // A resource without an account is in the account of the question.
    for resource in ["chat:c1", "Chat:c1", "account:acme"] {
        let found = pages(&console, &who(&format!("&resource={resource}&limit=1"))).await;
        assert_eq!(names(&found, "id"), ["m1", "m2", "m3"].into(), "{resource}");
    }
    let found = pages(&console, "/who-may?account=acme&action=team:edit&resource=user:m2").await;
    assert_eq!(names(&found, "id"), ["m1"].into());
    let found = pages(&console, "/who-may?account=beta&action=chats:respond").await;
    assert_eq!(names(&found, "id"), ["z1", "z2"].into());
}

#[tokio::test]
async fn what_may_names_the_actions_of_one_member() {
    let console = team().await;
    let found = pages(&console, "/members/m2/what-may?account=acme&limit=1").await;
    let item = |action: &str| {
        json!({"action": action, "resource": "account:acme", "policies": ["operator"],
            "sentence": format!("`{action}` on this `account` is allowed")})
    };
    assert_eq!(found, [item("chats:respond"), item("chats:view")]);
    let found = pages(&console, "/members/m1/what-may?account=acme&resource=user:m2").await;
    assert!(names(&found, "action").contains("team:remove"), "{found:?}");
    for (id, resource) in [("m4", "chat:1"), ("m2", "template:t"), ("m2", "user:m1")] {
        let path = format!("/members/{id}/what-may?account=acme&resource={resource}");
        assert!(pages(&console, &path).await.is_empty(), "{path}");
    }
}

#[tokio::test]
async fn members_ask_about_their_own_account_if_they_may_see_the_team() {
    let console = team().await;
    let (ann, joe) =
        (console.person("ann", "administrator").await, console.person("joe", "operator").await);
    for path in ["/who-may?action=chats:view", "/members/m2/what-may"] {
        let items = ann.get(path).await.is(200)["items"].clone();
        assert!(!items.as_array().unwrap().is_empty(), "{path}");
        assert!(!items.to_string().contains("\"z1\""), "{items}");
        joe.get(path).await.problem(403, "not_allowed");
        console.anybody(&format!("GET {path}"), &NONE).await.problem(401, "not_signed_in");
        let mark = if path.contains('?') { '&' } else { '?' };
        let other = ann.get(&format!("{path}{mark}account=beta")).await;
        other.problem(400, "invalid");
    }
    // A member of another account is unknown, whether there is one or not.
    for id in ["z2", "nobody"] {
        ann.get(&format!("/members/{id}/what-may")).await.problem(404, "unknown_member");
        let path = format!("/who-may?action=team:edit&resource=user:{id}");
        let told = ann.get(&path).await.problem(400, "invalid")["detail"].clone();
        let told = told.as_str().unwrap().replace(id, "ID");
        assert!(told.starts_with("there is no member `ID` on this account: give the id"), "{told}");
    }
    let mine = |slug: &str| format!("/who-may?action=chats:view&resource=account:{slug}");
    for slug in ["beta", "none"] {
        let told = ann.get(&mine(slug)).await.problem(400, "invalid");
        assert!(told["detail"].as_str().unwrap().contains("write `account:acme`"), "{told}");
    }
}

#[tokio::test]
async fn a_question_at_fault_is_told_what_to_do() {
    let console = team().await;
    for (query, field, told) in [
        ("", "action", "`action` is missing: name one"),
        ("action=chats:veiw", "action", "has no action `chats:veiw`: did you mean `chats:view`?"),
        ("action=fly", "action", "has no action `fly`: `kwic-team role compare` lists"),
        (
            "action=chats:view&resource=chat",
            "resource",
            "a resource is TYPE:ID, such as `doc:1`: `chat` is none",
        ),
        ("action=chats:view&resource=chta:1", "resource", "no type `chta`: did you mean `chat`?"),
        (
            "action=chats:view&resource=ship:1",
            "resource",
            "has no type `ship`: use one of `account`, `chat`",
        ),
        (
            "action=chats:view&resource=template:1",
            "resource",
            "does not apply to a `template`, only to an `account` or a `chat`: name the resource, such as `chat:1`",
        ),
        ("action=chats:view&after=x", "after", "`after` does not continue this list"),
        ("action=chats:view&limit=101", "limit", "from 1 to 100"),
        ("action=chats:view&actoin=x", "actoin", "there is no parameter `actoin`"),
    ] {
        let path = format!("GET /who-may?account=acme&{query}");
        let problem = console.operator(&path, &NONE).await.problem(400, "invalid");
        let fields = problem["fields"].to_string();
        assert!(problem["detail"].as_str().unwrap().contains(told), "{problem}");
        assert!(fields.contains(&format!("\"{field}\"")), "{problem}");
    }
    for (query, told) in [
        ("resource=ship:1", "has no type `ship`: use one of `account`"),
        ("resource=x", "a resource is TYPE:ID, such as `doc:1`: `x` is none"),
    ] {
        let path = format!("GET /members/m2/what-may?account=acme&{query}");
        let problem = console.operator(&path, &NONE).await.problem(400, "invalid");
        assert!(problem["detail"].as_str().unwrap().contains(told), "{problem}");
    }
}

#[tokio::test]
async fn a_cursor_belongs_to_one_question_and_expires() {
    let console = team().await;
    let ask = |line: &str| {
        let line = format!("GET {line}");
        let console = &console;
        async move { console.operator(&line, &NONE).await }
    };
    let first = ask("/who-may?account=acme&action=chats:view&limit=1").await.is(200);
    let next = first["next"].as_str().unwrap();
    assert!(is_sealed(next), "it can be read: {next}");
    let again = format!("/who-may?account=acme&action=chats:view&limit=2&after={next}");
    let found = ask(&again).await.is(200);
    assert_eq!(found["items"].as_array().unwrap().len(), 2, "{found}");
    for other in [
        "/who-may?account=beta&action=chats:view",
        "/who-may?account=acme&action=chats:respond",
        "/who-may?account=acme&action=chats:view&resource=chat:1",
        "/members/m2/what-may?account=acme",
    ] {
        let mark = if other.contains('?') { '&' } else { '?' };
        ask(&format!("{other}{mark}after={next}")).await.problem(400, "invalid");
    }
    console.stage.later(HOUR + 1_000);
    let told = ask(&again).await.problem(400, "invalid");
    assert!(told["detail"].as_str().unwrap().contains("expired, after 1 hour"), "{told}");
}

/// Folders in which stored entities and attributes decide: each answer is what each decision says.
#[tokio::test]
async fn what_is_told_is_what_decisions_say_one_by_one() {
    let console = team().await;
    let mut compared = 0;
    // A stored chat of no account is in none, for all who ask.
    let nowhere = r#"[{"uid": {"type": "KWIC::Chat", "id": "c3"}, "attrs": {}, "parents": []}]"#;
    for files in folders().into_iter().chain([folder(&[("entities.json", nowhere)])]) {
        let policies = Arc::new(Snapshot::load(&files, &[]).unwrap());
        console.stage.app.policies.store(Arc::clone(&policies));
        for resource in
            ["account:acme", "chat:c1", "chat:c2", "chat:c3", "chat:c4", "user:m1", "user:m3"]
        {
            let mut by_member: Vec<(&str, BTreeSet<String>)> =
                ["m1", "m2", "m3", "m4", "m5"].map(|id| (id, BTreeSet::new())).into();
            for action in policies.action_names() {
                let path =
                    format!("/who-may?account=acme&action={action}&resource={resource}&limit=2");
                let answer = console.operator(&format!("GET {path}"), &NONE).await;
                if answer.status == 400 {
                    assert!(answer.text.contains("does not apply to"), "{path}: {answer:?}");
                    continue;
                }
                let found = pages(&console, &path).await;
                let expected: BTreeSet<&str> = by_member
                    .iter()
                    .map(|(id, _)| *id)
                    .filter(|id| is_allowed(&console, &policies, (id, action, resource)))
                    .collect();
                assert_eq!(names(&found, "id"), expected, "{path}");
                assert!(found.iter().all(|item| !item["policies"].as_array().unwrap().is_empty()));
                for (_, actions) in by_member.iter_mut().filter(|(id, _)| expected.contains(id)) {
                    actions.insert(action.to_owned());
                }
                compared += expected.len();
            }
            for (id, actions) in &by_member {
                let path =
                    format!("/members/{id}/what-may?account=acme&resource={resource}&limit=3");
                let found = pages(&console, &path).await;
                let expected: BTreeSet<&str> = actions.iter().map(String::as_str).collect();
                assert_eq!(names(&found, "action"), expected, "{path}");
            }
        }
    }
    assert!(compared > 200, "{compared}");
}

/// One decision. A chat that is stored has its account there.
fn is_allowed(
    console: &ApiFixture,
    policies: &Snapshot,
    (id, action, resource): (&str, &str, &str),
) -> bool {
    let (kind, of) = resource.split_once(':').unwrap();
    let account = [("account".into(), Attribute::String("acme".into()))];
    let properties = if policies.is_stored(kind, of) { &[][..] } else { &account };
    let query = Query {
        subject: EntityRef { kind: "user", id, properties: &[] },
        action,
        action_properties: &[],
        resource: EntityRef { kind, id: of, properties },
        context: &[],
    };
    let world = QueryContext { members: &*console.stage.app.directory, single_account: None };
    policies.decide(&query, &world, false).allowed
}

/// Nobody is found where the policies could not be asked: that is said.
#[tokio::test]
async fn a_resource_that_needs_more_attributes_is_no_empty_list() {
    let console = team().await;
    let shipped = folder(&[]).into_files().into_iter();
    let (_, schema) = shipped.into_iter().find(|(path, _)| path == "schema.cedarschema").unwrap();
    let schema = String::from_utf8(schema).unwrap();
    let schema = schema
        .replace("entity Chat in [Account];", "entity Chat in [Account] = { topic: String };");
    let files = folder(&[("schema.cedarschema", &schema)]);
    console.stage.app.policies.store(Arc::new(Snapshot::load(&files, &[]).unwrap()));
    for (path, searched) in [
        ("/who-may?account=acme&action=chats:view&resource=chat:1", "subject"),
        ("/members/m2/what-may?account=acme&resource=chat:1", "action"),
    ] {
        let told =
            console.operator(&format!("GET {path}"), &NONE).await.problem(400, "attributes_needed");
        let told = told["detail"].as_str().unwrap();
        assert!(told.contains("`resource.properties.topic` is required"), "{told}");
        assert!(told.contains(&format!("ask `POST /access/v1/search/{searched}`")), "{told}");
    }
    assert_eq!(pages(&console, "/who-may?account=acme&action=chats:view").await.len(), 3);
}

/// Two accounts; in `acme`, three members.
fn sidecar() -> Sidecar {
    let sidecar = Sidecar::start();
    sidecar.account("acme");
    sidecar.account("beta");
    sidecar.members("acme", &[("ann", "administrator"), ("oli", "operator"), ("tom", "operator")]);
    sidecar.members("beta", &[("zoe", "operator")]);
    sidecar
}

#[test]
fn the_command_line_lists_who_may_and_what_may() {
    let sidecar = sidecar();
    let run = |line: &str| -> Ran {
        let words = line.split(' ').chain(["--account", "acme"]);
        sidecar.run(&words.collect::<Vec<_>>()).into()
    };
    assert_eq!(
        run("who-may chats:respond").ends(0),
        "ann\tann@example.org\tFirst\tLast\tadministrator\tadministrator\n\
         oli\toli@example.org\tFirst\tLast\toperator\toperator\n\
         tom\ttom@example.org\tFirst\tLast\toperator\toperator\n"
    );
    let json = run("who-may chats:respond --resource chat:1 --json").ends(0);
    let lines: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(names(&lines, "id"), ["ann", "oli", "tom"].into());
    assert_eq!(lines[1]["sentence"], "`chats:respond` on this `chat` is allowed");
    for member in ["oli", "oli@example.org"] {
        assert_eq!(
            run(&format!("what-may {member} --resource chat:1")).ends(0),
            "chats:respond\tchat:1\toperator\nchats:view\tchat:1\toperator\n"
        );
    }
    let json = run("what-may oli --json").ends(0);
    let first: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&first["action"], &first["resource"]),
        (&json!("chats:respond"), &json!("account:acme"))
    );
}

#[test]
fn a_command_that_finds_nobody_or_is_at_fault_says_so() {
    let sidecar = sidecar();
    sidecar.ok(&["member", "suspend", "tom", "--account", "acme"]);
    for (line, exit, told) in [
        ("what-may tom", 0, "First Last (tom@example.org) may do nothing on this"),
        ("who-may chats:veiw", 64, "did you mean `chats:view`?"),
        ("who-may chats:view --resource template:1", 64, "does not apply to a `template`, only to"),
        ("who-may chats:view --resource chat", 64, "give TYPE:ID, such as `doc:1`"),
        ("who-may chats:view --resource user:zoe", 64, "does not apply to a `user`"),
        ("who-may team:view --resource user:zoe", 64, "there is no member `zoe` on this account"),
        ("what-may zoe", 1, "there is no such member on this account"),
        ("what-may ann --resource ship:1", 64, "has no type `ship`: use one of `account`"),
    ] {
        let words: Vec<&str> = line.split(' ').chain(["--account", "acme"]).collect();
        let ran: Ran = sidecar.run(&words).into();
        let complained = ran.complains(exit);
        assert!(complained.contains(told), "{line}: {complained}");
    }
    let ran: Ran = sidecar.run(&["who-may", "chats:view"]).into();
    assert!(ran.complains(64).contains("--account"), "two accounts");
}
