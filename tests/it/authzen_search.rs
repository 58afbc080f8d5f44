//! Searches of AuthZEN 1.0, over TCP and the unix socket, and against brute force: a result is allowed,
//! and nobody who is allowed is missing.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kwic_team::domain::access_query::Record;
use kwic_team::domain::{
    Account, AccountSlug, Change, ChangedRecord, EntityRef, ImportId, Member, MemberId,
    PolicyFiles, Query, Revision, Status, Timestamp, Value, Version,
};
use kwic_team::engine::{QueryContext, Snapshot};
use kwic_team::password::PasswordHasher;
use kwic_team::policy_folder;
use kwic_team::services::access_search::{SearchPosition, Searched, search};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value as Json, json};

use crate::support::fixture::{Fixture, NOW, email, name, role};
use crate::support::sidecar::{Answer, Sidecar, Start};

const SUBJECT: &str = "/access/v1/search/subject";
const RESOURCE: &str = "/access/v1/search/resource";
const ACTION: &str = "/access/v1/search/action";

/// Whether the content of a page's token, which always says when it was issued, cannot be read.
pub fn is_sealed(token: &str) -> bool {
    let bytes = URL_SAFE_NO_PAD.decode(token).unwrap();
    bytes.len() > 40 && !bytes.windows(6).any(|part| part == b"issued")
}

/// Two accounts; in `acme`, two may read chats, and a third is suspended.
fn team() -> Sidecar {
    let sidecar = Sidecar::start();
    sidecar.account("acme");
    sidecar.account("other");
    let acme = [
        ("ann", "administrator"),
        ("oli", "operator"),
        ("sam", "operator"),
        ("tom", "template_manager"),
    ];
    sidecar.members("acme", &acme);
    sidecar.members("other", &[("zoe", "operator"), ("kim", "administrator")]);
    sidecar.ok(&["member", "suspend", "sam", "--account", "acme"]);
    sidecar
}

/// A search for who may read a chat of `acme`.
fn readers() -> Json {
    json!({
        "subject": {"type": "user"},
        "action": {"name": "chats:view"},
        "resource": {"type": "chat", "id": "c1", "properties": {"account": "acme"}},
    })
}

fn entities(kind: &str, ids: &[&str]) -> Json {
    ids.iter().map(|id| json!({"type": kind, "id": id})).collect()
}

/// Asks by both ways; both answer the same but for the token, which is never the same twice.
#[track_caller]
fn ask(sidecar: &Sidecar, path: &str, body: &Json) -> Answer {
    let (tcp, unix) = (sidecar.tcp().post(path, body), sidecar.unix().post(path, body));
    assert_eq!(tcp.status, unix.status, "{tcp:?} {unix:?}");
    if tcp.status == 200 {
        assert_eq!(tcp.json()["results"], unix.json()["results"]);
    } else {
        assert_eq!(tcp.body, unix.body);
    }
    tcp
}

#[track_caller]
fn results(sidecar: &Sidecar, path: &str, body: &Json) -> Json {
    let answer = ask(sidecar, path, body);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.json()["page"]["next_token"], "", "{answer:?}");
    answer.json()["results"].clone()
}

#[track_caller]
fn refused(sidecar: &Sidecar, path: &str, body: &Json) -> String {
    let answer = ask(sidecar, path, body);
    assert_eq!(answer.status, 400, "{body}: {answer:?}");
    answer.json().as_str().expect("one string").to_owned()
}

#[test]
fn a_search_finds_who_may_on_what_and_which_actions() {
    let sidecar = team();
    let answer = ask(&sidecar, SUBJECT, &readers());
    assert_eq!(
        answer.body,
        r#"{"page":{"next_token":"","count":2},"results":[{"type":"user","id":"ann"},{"type":"user","id":"oli"}]}"#
    );
    assert!(answer.header("x-kwic-revision").is_some(), "{answer:?}");

    // The id of what is searched for is ignored, as are keys that nobody knows.
    let mut more = readers();
    more["subject"]["id"] = json!("zoe");
    more["subject"]["properties"] = json!({"department": "sales"});
    more["unknown"] = json!([1]);
    more["context"] = json!({"time": "now"});
    more["resource"]["properties"]["colour"] = json!("red");
    assert_eq!(results(&sidecar, SUBJECT, &more), entities("user", &["ann", "oli"]));

    let asked = json!({
        "subject": {"type": "user", "id": "ann"},
        "action": {"name": "team:remove"},
        "resource": {"type": "user"},
    });
    let team = ["ann", "oli", "sam", "tom"];
    let found = results(&sidecar, RESOURCE, &asked);
    let found: BTreeSet<&str> =
        found.as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(found, team.into());
    let accounts = json!({
        "subject": {"type": "user", "id": "ann"},
        "action": {"name": "settings:edit"},
        "resource": {"type": "account"},
    });
    assert_eq!(results(&sidecar, RESOURCE, &accounts), entities("account", &["acme"]));

    let actions = json!({
        "subject": {"type": "user", "id": "oli"},
        "resource": {"type": "chat", "id": "c1", "properties": {"account": "acme"}},
    });
    let own = json!([{"name": "chats:respond"}, {"name": "chats:view"}]);
    assert_eq!(results(&sidecar, ACTION, &actions), own);
    // Each result, sent to evaluation, is allowed.
    for action in ["chats:respond", "chats:view"] {
        let mut question = actions.clone();
        question["action"] = json!({"name": action});
        assert!(sidecar.tcp().allows(&question));
    }
}

#[test]
fn what_nobody_knows_finds_nothing() {
    let sidecar = team();
    for (path, part, value) in [
        (SUBJECT, "action", json!({"name": "chats:burn"})),
        (SUBJECT, "subject", json!({"type": "robot"})),
        (SUBJECT, "resource", json!({"type": "spaceship", "id": "s"})),
        (SUBJECT, "resource", json!({"type": "chat", "id": "c1"})),
        (
            SUBJECT,
            "resource",
            json!({"type": "chat", "id": "c", "properties": {"account": "none"}}),
        ),
        (RESOURCE, "subject", json!({"type": "user", "id": "nobody"})),
        (RESOURCE, "subject", json!({"type": "robot", "id": "r"})),
        (RESOURCE, "resource", json!({"type": "chat"})),
        (ACTION, "subject", json!({"type": "user", "id": "nobody"})),
        (ACTION, "subject", json!({"type": "user", "id": "sam"})),
        (ACTION, "resource", json!({"type": "spaceship", "id": "s"})),
    ] {
        let mut body = readers();
        if path != SUBJECT {
            body["subject"]["id"] = json!("ann");
        }
        body[part] = value;
        assert_eq!(results(&sidecar, path, &body), json!([]), "{path} {body}");
    }
}

#[test]
fn a_search_of_another_shape_is_told_which_member_is_wrong() {
    let sidecar = team();
    let with = |path: &str, value: Json| {
        let mut body = readers();
        body["subject"]["id"] = json!("ann");
        *body.pointer_mut(path).unwrap() = value;
        body
    };
    for (path, body, told) in [
        (SUBJECT, json!([]), "the body must be a JSON object"),
        (SUBJECT, with("/subject", Json::Null), "`subject` is missing"),
        (SUBJECT, with("/subject", json!({})), "`subject.type` is missing"),
        (SUBJECT, with("/subject/type", json!(7)), "`subject.type` must be a string"),
        (SUBJECT, with("/action", Json::Null), "`action` is missing"),
        (SUBJECT, with("/action/name", Json::Null), "`action.name` is missing"),
        (SUBJECT, with("/resource/id", Json::Null), "`resource.id` is missing"),
        (RESOURCE, with("/subject/id", Json::Null), "`subject.id` is missing"),
        (RESOURCE, with("/resource/type", Json::Null), "`resource.type` is missing"),
        (RESOURCE, with("/action", json!("chats:view")), "`action` must be an object"),
        (ACTION, with("/subject/id", Json::Null), "`subject.id` is missing"),
        (ACTION, with("/resource/id", Json::Null), "`resource.id` is missing"),
    ] {
        let message = refused(&sidecar, path, &body);
        assert!(message.contains(told), "{message}");
    }
    for (page, told) in [
        (json!(7), "`page` must be an object"),
        (json!({"limit": -1}), "`page.limit` must be a whole number"),
        (json!({"limit": 1.5}), "`page.limit` must be a whole number"),
        (json!({"limit": "ten"}), "`page.limit` must be a whole number"),
        (json!({"token": 7}), "`page.token` must be a string"),
        (json!({"token": "AAAA"}), "`page.token` is not a token of this search"),
        (json!({"token": "%"}), "`page.token` is not a token of this search"),
    ] {
        let mut body = readers();
        body["page"] = page;
        let message = refused(&sidecar, SUBJECT, &body);
        assert!(message.contains(told), "{message}");
    }
    let mut unix = sidecar.unix();
    let plain = unix.send("POST", SUBJECT, "content-type: text/plain\r\n", &readers().to_string());
    assert_eq!(plain.status, 400, "{plain:?}");
    let empty = unix.send("POST", SUBJECT, "content-type: application/json\r\n", "");
    assert_eq!(empty.status, 400, "{empty:?}");
    let read = unix.get(SUBJECT);
    assert_eq!((read.status, read.header("allow")), (405, Some("POST")));
    let said = "content-type: application/json\r\nx-request-id: r7\r\n";
    let echoed = unix.send("POST", ACTION, said, "{}");
    assert_eq!((echoed.status, echoed.header("x-request-id")), (400, Some("r7")));
}

#[test]
fn pages_follow_each_other_by_a_token_of_one_search() {
    let sidecar = team();
    let mut first = readers();
    first["page"] = json!({"limit": 1});
    let answer = ask(&sidecar, SUBJECT, &first).json();
    assert_eq!(answer["results"], entities("user", &["ann"]));
    let token = answer["page"]["next_token"].as_str().unwrap().to_owned();
    assert!(!token.is_empty());
    assert!(is_sealed(&token), "it can be read: {token}");

    // The limit is the same, or is left out.
    let next = |page: Json| {
        let mut body = readers();
        body["page"] = page;
        body
    };
    for page in [json!({"token": token}), json!({"token": token, "limit": 1})] {
        assert_eq!(results(&sidecar, SUBJECT, &next(page)), entities("user", &["oli"]));
    }
    let other = refused(&sidecar, SUBJECT, &next(json!({"token": token, "limit": 2})));
    assert!(other.contains("`page.limit` was 1"), "{other}");

    // Whatever else is asked, a token of another search is none.
    for (path, value) in [
        ("/subject/type", json!("member")),
        ("/action/name", json!("chats:respond")),
        ("/resource/id", json!("c2")),
        ("/resource/properties/account", json!("other")),
    ] {
        let mut body = next(json!({"token": token}));
        *body.pointer_mut(path).unwrap() = value;
        refused(&sidecar, SUBJECT, &body);
    }
    let mut context = next(json!({"token": token}));
    context["context"] = json!({"a": 1});
    refused(&sidecar, SUBJECT, &context);
    let mut resource = next(json!({"token": token}));
    resource["subject"]["id"] = json!("ann");
    refused(&sidecar, RESOURCE, &resource);
    let mut altered = token.clone().into_bytes();
    altered[token.len() / 2] = if altered[token.len() / 2] == b'A' { b'B' } else { b'A' };
    let altered = String::from_utf8(altered).unwrap();
    refused(&sidecar, SUBJECT, &next(json!({"token": altered})));

    // An empty token is none, and a limit of 0 is the usual one.
    let page = next(json!({"token": "", "limit": 0}));
    assert_eq!(results(&sidecar, SUBJECT, &page), entities("user", &["ann", "oli"]));
    let page = next(json!({"limit": u64::MAX}));
    let message = refused(&sidecar, SUBJECT, &page);
    assert!(message.contains("`page.limit`"), "{message}");

    // Who was removed between two pages is on no page.
    sidecar.ok(&["member", "remove", "oli", "--account", "acme", "--yes"]);
    assert_eq!(results(&sidecar, SUBJECT, &next(json!({"token": token}))), json!([]));
}

#[test]
fn a_token_outlives_a_restart() {
    let mut sidecar = team();
    let mut body = readers();
    body["page"] = json!({"limit": 1});
    let token = ask(&sidecar, SUBJECT, &body).json()["page"]["next_token"].clone();
    sidecar.kill_and_restart();
    body["page"] = json!({"token": token});
    assert_eq!(results(&sidecar, SUBJECT, &body), entities("user", &["oli"]));
}

/// The shipped policies, without the guards and tests that hold them, with these files.
pub fn folder(more: &[(&str, &str)]) -> PolicyFiles {
    let shipped = policy_folder::embedded_policies().into_files().into_iter();
    let is_rule = |path: &str| !path.starts_with("tests/") && !path.starts_with("guards/");
    let mut files: Vec<(String, Vec<u8>)> = shipped.filter(|(path, _)| is_rule(path)).collect();
    for (path, text) in more {
        files.retain(|(known, _)| known != path);
        files.push(((*path).to_owned(), text.as_bytes().to_vec()));
    }
    PolicyFiles::new(files)
}

/// The shipped schema, changed: chats have an assignee, and there are services.
fn wider_schema() -> String {
    let files = policy_folder::embedded_policies().into_files();
    let (_, bytes) = files.into_iter().find(|(path, _)| path == "schema.cedarschema").unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let text = text.replace(
        "entity Chat in [Account];",
        "entity Chat in [Account] = { assignee?: User };\n  entity Service in [Account];",
    );
    let text = text.replace("entity Account;", "entity Account in [Role, Account];");
    let chats = text.find(r#"action "chats:view""#).unwrap();
    let (before, after) = text.split_at(chats);
    format!("{before}{}", after.replacen("principal: [User]", "principal: [User, Service]", 1))
}

/// Folders in which different things decide.
pub fn folders() -> Vec<PolicyFiles> {
    let schema = wider_schema();
    let schema = ("schema.cedarschema", schema.as_str());
    let assignee = (
        "rules/assignee.cedar",
        r#"@id("assignee") forbid (principal, action == KWIC::Action::"chats:respond", resource is KWIC::Chat)
        unless { resource has assignee && resource.assignee == principal };"#,
    );
    let stored = (
        "entities.json",
        r#"[{"uid": {"type": "KWIC::Service", "id": "bot"}, "attrs": {}, "parents": [{"type": "KWIC::Account", "id": "acme"}]},
            {"uid": {"type": "KWIC::Chat", "id": "c1"}, "attrs": {"assignee": {"__entity": {"type": "KWIC::User", "id": "m3"}}}, "parents": [{"type": "KWIC::Account", "id": "acme"}]},
            {"uid": {"type": "KWIC::Chat", "id": "c2"}, "attrs": {}, "parents": [{"type": "KWIC::Account", "id": "beta"}]},
            {"uid": {"type": "KWIC::Account", "id": "beta"}, "attrs": {}, "parents": []}]"#,
    );
    let services = (
        "rules/services.cedar",
        r#"@id("services") permit (principal is KWIC::Service, action, resource);"#,
    );
    // Who is on `beta` is an operator, too, and what is in `coma` is in `acme`.
    let placed = (
        "entities.json",
        r#"[{"uid": {"type": "KWIC::Account", "id": "beta"}, "attrs": {}, "parents": [{"type": "KWIC::Role", "id": "operator"}]},
            {"uid": {"type": "KWIC::Account", "id": "coma"}, "attrs": {}, "parents": [{"type": "KWIC::Account", "id": "acme"}]}]"#,
    );
    let no_tenancy_of_chats = (
        "rules/tenancy.cedar",
        r#"@id("tenancy") forbid (principal is KWIC::User, action, resource) unless { resource in principal.account || action == KWIC::Action::"chats:view" };"#,
    );
    let no_tenancy = (
        "rules/tenancy.cedar",
        r#"@id("tenancy") forbid (principal, action, resource) unless { resource in principal.account || action == KWIC::Action::"chats:view" };"#,
    );
    let no_services_active = (
        "rules/suspension.cedar",
        r#"@id("suspension") forbid (principal is KWIC::User, action, resource) unless { principal.active };"#,
    );
    let services_at_home = (
        "rules/tenancy.cedar",
        r#"@id("tenancy") forbid (principal is KWIC::User, action, resource) unless { resource in principal.account };"#,
    );
    let names = (
        "rules/names.cedar",
        r#"@id("names") permit (principal, action == KWIC::Action::"templates:view", resource)
        when { principal.email like "m1*" && resource in principal.account };"#,
    );
    let colleagues = (
        "rules/colleagues.cedar",
        r#"@id("colleagues") forbid (principal, action == KWIC::Action::"team:remove", resource is KWIC::User)
        when { resource.role == "administrator" || resource == principal };"#,
    );
    vec![
        folder(&[]),
        folder(&[no_tenancy]),
        folder(&[names, colleagues]),
        folder(&[schema, assignee, no_services_active, services_at_home]),
        folder(&[schema, stored, services, assignee, no_services_active, services_at_home]),
        folder(&[schema, placed, no_tenancy_of_chats, no_services_active]),
        folder(&[schema, placed, no_services_active, services_at_home]),
    ]
}

const ACCOUNTS: [&str; 4] = ["acme", "beta", "coma", "delta"];
const ROLES: [&str; 4] = ["administrator", "operator", "chat_manager", "template_manager"];

fn member(random: &mut SmallRng, id: &str, version: u64) -> Member {
    let status = if random.random_bool(0.8) { Status::Active } else { Status::Suspended };
    Member {
        id: MemberId::parse(id).unwrap(),
        account: AccountSlug::parse(ACCOUNTS.choose(random).unwrap()).unwrap(),
        email: email(id),
        first_name: name("Ann"),
        last_name: name("Lee"),
        role: role(ROLES.choose(random).unwrap()),
        status,
        two_step: false,
        joined: NOW,
        version: Version(version),
    }
}

/// Something to search for: the query's own parts are empty where they are searched for.
struct Question {
    searched: Searched,
    subject: (&'static str, String),
    action: &'static str,
    resource: (&'static str, String),
    properties: Record<'static>,
}

impl Question {
    fn random(random: &mut SmallRng, members: usize) -> Self {
        let searched = [Searched::Subject, Searched::Resource, Searched::Action];
        let searched = *searched.choose(random).unwrap();
        let somebody = |random: &mut SmallRng| format!("m{}", random.random_range(0..members + 1));
        let subject = match random.random_range(0..8) {
            0 => ("service", "bot".to_owned()),
            1 => ("robot", "r".to_owned()),
            2 => ("member", somebody(random)),
            _ => ("user", somebody(random)),
        };
        let mut properties = Vec::new();
        let resource = match random.random_range(0..6) {
            0 => ("user", somebody(random)),
            1 => ("account", (*ACCOUNTS.choose(random).unwrap()).to_owned()),
            2 => ("template", "t".to_owned()),
            _ => ("chat", format!("c{}", random.random_range(1..4))),
        };
        if matches!(resource.0, "chat" | "template") && random.random_bool(0.9) {
            let account = Value::String(Cow::Borrowed(ACCOUNTS.choose(random).unwrap()));
            properties.push((Cow::Borrowed("account"), account));
        }
        if resource.0 == "chat" && random.random_bool(0.3) {
            let somebody = Value::String(Cow::Owned(somebody(random)));
            properties.push((Cow::Borrowed("assignee"), somebody));
        }
        let actions = ["chats:view", "chats:respond", "templates:view", "team:remove", "team:burn"];
        let action = actions.choose(random).unwrap();
        Self { searched, subject, action, resource, properties }
    }

    fn query<'q>(&'q self, candidate: &'q str) -> Query<'q> {
        let is = |part| self.searched == part;
        Query {
            subject: EntityRef {
                kind: self.subject.0,
                id: if is(Searched::Subject) { candidate } else { &self.subject.1 },
                properties: &[],
            },
            action: if is(Searched::Action) { candidate } else { self.action },
            action_properties: &[],
            resource: EntityRef {
                kind: self.resource.0,
                id: if is(Searched::Resource) { candidate } else { &self.resource.1 },
                properties: &self.properties,
            },
            context: &[],
        }
    }
}

/// How many cases: more by `SEARCH_CASES`.
fn cases() -> usize {
    std::env::var("SEARCH_CASES").map_or(10_000, |text| text.parse().unwrap())
}

/// Random teams, folders and questions.
#[tokio::test]
async fn what_is_found_is_what_is_allowed_and_nothing_is_missing() {
    const MEMBERS: usize = 24;
    let seed = std::env::var("SEARCH_SEED").map_or(1, |text| text.parse().unwrap());
    println!("SEARCH_SEED={seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let stage = Fixture::empty(PasswordHasher::cheap().unwrap(), |_| {}).await;
    let app = &stage.app;
    let sets: Vec<Arc<Snapshot>> =
        folders().iter().map(|files| Arc::new(Snapshot::load(files, &[]).unwrap())).collect();
    let mut revision = 0;
    let mut apply = |rows: Vec<ChangedRecord>| {
        revision += 1;
        app.directory.apply(&Change { revision: Revision(revision), rows });
    };
    apply(ACCOUNTS.iter().map(|slug| ChangedRecord::Account(account(slug))).collect());
    let (mut found, mut pages) = (0, 0);
    for case in 0..cases() {
        if case % 20 == 0 {
            let id = format!("m{}", random.random_range(0..MEMBERS));
            let is_there = app.directory.with(&id, |_| ()).is_some();
            apply(rows(&mut random, &id, is_there, u64::try_from(case).unwrap()));
        }
        let policies = sets.choose(&mut random).unwrap();
        let question = Question::random(&mut random, MEMBERS);
        let expected = by_brute_force(&stage, policies, &question, MEMBERS);
        let limit = random.random_range(1..=7);
        let (mut all, mut after): (Vec<String>, Option<SearchPosition>) = (Vec::new(), None);
        loop {
            let query = question.query("");
            let page = search(app, policies, &query, question.searched, after, limit);
            assert!(page.found.len() <= limit);
            pages += 1;
            all.extend(page.found);
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
            assert!(all.len() <= expected.len(), "case {case}: {all:?} {expected:?}");
        }
        let once: BTreeSet<String> = all.iter().cloned().collect();
        assert_eq!(once.len(), all.len(), "case {case}: {all:?}");
        assert_eq!(once, expected, "case {case}: {:?} {:?}", question.searched, question.query(""));
        found += all.len();
    }
    assert!(found > cases() / 4 && pages > cases(), "{found} found on {pages} pages");
}

/// One member comes, changes or goes; who comes by an import is nobody until the import is made.
fn rows(random: &mut SmallRng, id: &str, is_there: bool, case: u64) -> Vec<ChangedRecord> {
    let (import, account) = (ImportId(case), AccountSlug::parse("acme").unwrap());
    let member = member(random, id, case + 1);
    match random.random_range(0..10) {
        0 | 1 => vec![ChangedRecord::MemberGone { id: member.id, account }],
        2 if !is_there => {
            let imported = ChangedRecord::Imported { import, account };
            vec![ChangedRecord::Importing(import, member), imported]
        }
        3 if !is_there => {
            vec![ChangedRecord::Importing(import, member), ChangedRecord::ImportGone(import)]
        }
        4 if !is_there => vec![ChangedRecord::Importing(import, member)],
        _ => vec![ChangedRecord::Member(member)],
    }
}

fn account(slug: &str) -> Account {
    Account {
        slug: AccountSlug::parse(slug).unwrap(),
        name: slug.to_owned(),
        created: Timestamp(0),
        invite_lifetime: None,
        two_step_enforced: false,
        version: Version(1),
    }
}

/// Every id that there could be, asked one by one.
fn by_brute_force(
    stage: &Fixture,
    policies: &Snapshot,
    question: &Question,
    members: usize,
) -> BTreeSet<String> {
    let ids = (0..members).map(|n| format!("m{n}"));
    let stored = ["bot", "c1", "c2"].map(str::to_owned);
    let accounts = ACCOUNTS.map(str::to_owned);
    let all: Vec<String> = match question.searched {
        Searched::Action => policies.action_names().iter().map(|&name| name.to_owned()).collect(),
        Searched::Subject => ids.chain(stored).collect(),
        // Of what only callers know, nothing is found.
        Searched::Resource => match question.resource.0 {
            "user" => ids.filter(|id| stage.app.directory.with(id, |_| ()).is_some()).collect(),
            "account" => accounts.into(),
            kind => stored.into_iter().filter(|id| policies.is_stored(kind, id)).collect(),
        },
    };
    let world = QueryContext { members: &*stage.app.directory, single_account: None };
    let allowed = |id: &String| policies.decide(&question.query(id), &world, false).allowed;
    all.into_iter().filter(allowed).collect()
}

/// One page takes a bounded number of decisions: it may be empty, and still not be the last.
#[test]
fn a_page_is_bounded_in_work_and_the_next_one_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let path: PathBuf = home.path().join("policies");
    for (file, bytes) in folder(&[(
        "rules/names.cedar",
        r#"@id("names") permit (principal, action == KWIC::Action::"templates:view", resource)
        when { principal.email like "m4999@*" && resource in principal.account };"#,
    )])
    .into_files()
    {
        let file = path.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    let sidecar = Sidecar::start_with(&Start { policies: Some(path), ..Start::default() });
    sidecar.account("acme");
    let ids: Vec<String> = (0..5_000).map(|n| format!("m{n}")).collect();
    let members: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "operator")).collect();
    sidecar.members("acme", &members);
    let mut body = json!({
        "subject": {"type": "user"},
        "action": {"name": "templates:view"},
        "resource": {"type": "template", "id": "t", "properties": {"account": "acme"}},
    });
    let first = sidecar.unix().post(SUBJECT, &body).json();
    assert_eq!(first["results"], json!([]));
    body["page"] = json!({"token": first["page"]["next_token"]});
    let second = sidecar.unix().post(SUBJECT, &body).json();
    assert_eq!(second["results"], entities("user", &["m4999"]));
    assert_eq!(second["page"]["next_token"], "");
}
