//! Plans: over HTTP and the unix socket, what cannot be planned, and against a real PostgreSQL: the rows
//! that a plan selects are exactly those that a decision allows.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use kwic_team::domain::access_query::Record;
use kwic_team::domain::{
    AccountSlug, Change, ChangedRecord, EntityRef, Member, MemberId, PolicyFiles, Query, Revision,
    Status, Value, Version,
};
use kwic_team::engine::{Plan, QueryContext, Snapshot, render};
use kwic_team::password::PasswordHasher;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value as Json, json};

use crate::support::decision_listener::{self, DecisionListener};
use crate::support::fixture::{Fixture, NOW, email, name, role};
use crate::support::postgres_server::PostgresServer;
use crate::support::sidecar::{Sidecar, Start};

const PLAN: &str = "/access/v1/plan";

const SCHEMA: &str = r#"
namespace K {
  entity Account in [Account];
  entity Role;
  entity User in [Role, Account] = { account: Account, role: String, active: Bool };
  entity Chat in [Account] = {
    assignee?: User, creator?: User, size?: Long, weight?: Long, open?: Bool, label?: String, tag: String,
    marks?: Set<String>, seen?: datetime, place?: ipaddr, price?: decimal,
  };
  entity Note in [Account] = { account?: Account, "odd \" name"?: String };
  action view, edit appliesTo { principal: User, resource: [Chat, Note], context: { n?: Long, late?: Bool, list?: Set<String> } };
}
"#;

/// A folder with one role and these rules.
fn folder(rules: &[String], stored: bool) -> PolicyFiles {
    folder_with(SCHEMA, rules, stored)
}

fn folder_with(schema: &str, rules: &[String], stored: bool) -> PolicyFiles {
    let role = "@id(\"operator\") @role(\"operator\") @title(\"Operator\") @summary(\"s\") @best_for(\"b\")\n\
                permit (principal in K::Role::\"operator\", action == K::Action::\"view\", resource)\n\
                when { principal.active && resource in principal.account };";
    let rules: Vec<String> =
        rules.iter().enumerate().map(|(n, rule)| format!("@id(\"r{n}\") {rule}")).collect();
    let mut files = vec![
        ("schema.cedarschema".to_owned(), schema.as_bytes().to_vec()),
        ("roles/operator.cedar".to_owned(), role.as_bytes().to_vec()),
        ("rules/rules.cedar".to_owned(), rules.join("\n").into_bytes()),
    ];
    if stored {
        let stored = r#"[{"uid": {"type": "K::Account", "id": "beta"}, "attrs": {}, "parents": [{"type": "K::Account", "id": "acme"}]}]"#;
        files.push(("entities.json".to_owned(), stored.as_bytes().to_vec()));
    }
    PolicyFiles::new(files)
}

fn started(rules: &[&str]) -> Sidecar {
    let home = tempfile::tempdir().unwrap();
    let rules: Vec<String> = rules.iter().map(|&rule| rule.to_owned()).collect();
    for (file, bytes) in folder(&rules, false).into_files() {
        let file = home.path().join("policies").join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    let policies = Some(home.path().join("policies"));
    let sidecar = Sidecar::start_with(&Start { policies, ..Start::default() });
    sidecar.account("acme");
    sidecar.members("acme", &[("ann", "operator")]);
    sidecar
}

fn asked() -> Json {
    json!({
        "subject": {"type": "user", "id": "ann"},
        "action": {"name": "view"},
        "resource": {"type": "chat"},
    })
}

/// Asks by both ways, which answer the same.
#[track_caller]
fn ask(sidecar: &Sidecar, body: &Json) -> (u16, Json) {
    let (tcp, unix) = (sidecar.tcp().post(PLAN, body), sidecar.unix().post(PLAN, body));
    assert_eq!((tcp.status, &tcp.body), (unix.status, &unix.body));
    (tcp.status, tcp.json())
}

#[test]
fn a_plan_is_always_never_or_a_filter() {
    let sidecar = started(&[
        r#"permit (principal, action == K::Action::"edit", resource is K::Chat)
           when { resource has assignee && resource.assignee == principal && resource.tag == "x" };"#,
        r#"permit (principal, action == K::Action::"edit", resource is K::Note);"#,
        r#"permit (principal, action == K::Action::"view", resource is K::Note)
           when { resource has "odd \" name" && resource["odd \" name"] == "'; --" };"#,
    ]);
    let (status, own) = ask(&sidecar, &asked());
    assert_eq!(status, 200, "{own}");
    // What lacks a required attribute is denied.
    let sql = json!({"condition": "(\"tag\" IS NOT NULL AND \"account\" COLLATE \"C\" = $1::text)", "parameters": ["acme"]});
    let filter = json!({"op": "and", "filters": [
        {"op": "present", "attribute": "tag"}, {"op": "eq", "attribute": "account", "value": "acme"}]});
    assert_eq!(own, json!({"plan": "filter", "filter": filter, "sql": sql}));
    let mut edit = asked();
    edit["action"]["name"] = json!("edit");
    let (_, mine) = ask(&sidecar, &edit);
    assert_eq!(mine["sql"]["parameters"], json!(["ann", "x"]), "{mine}");
    edit["resource"]["type"] = json!("note");
    assert_eq!(ask(&sidecar, &edit), (200, json!({"plan": "always"})));
    // Names of columns are quoted, and values are parameters.
    edit["action"]["name"] = json!("view");
    let (_, odd) = ask(&sidecar, &edit);
    let condition = odd["sql"]["condition"].as_str().unwrap();
    assert!(condition.contains("\"odd \"\" name\" COLLATE \"C\" = $"), "{odd}");
    assert_eq!(odd["sql"]["parameters"], json!(["acme", "'; --"]));

    for (path, value) in [
        ("/subject/id", json!("nobody")),
        ("/subject/type", json!("robot")),
        ("/action/name", json!("burn")),
        ("/resource/type", json!("spaceship")),
    ] {
        let mut body = asked();
        *body.pointer_mut(path).unwrap() = value;
        assert_eq!(ask(&sidecar, &body), (200, json!({"plan": "never"})), "{body}");
    }
    sidecar.ok(&["member", "suspend", "ann"]);
    assert_eq!(ask(&sidecar, &asked()), (200, json!({"plan": "never"})));
}

#[test]
fn a_plan_of_another_shape_is_told_which_member_is_wrong() {
    let sidecar =
        started(&[r#"permit (principal, action == K::Action::"edit", resource is K::Note);"#]);
    for (path, value, told) in [
        ("/subject", Json::Null, "`subject` is missing"),
        ("/subject/id", Json::Null, "`subject.id` is missing"),
        ("/action", Json::Null, "`action` is missing"),
        ("/resource", json!(7), "`resource` must be an object"),
        ("/resource/type", Json::Null, "`resource.type` is missing"),
        (
            "/resource",
            json!({"type": "chat", "properties": {"account": "acme"}}),
            "leave `resource.properties` out",
        ),
        ("/context", json!({"n": "x"}), "a value that is not of its declared type"),
        ("/resource/type", json!("user"), "this action"),
    ] {
        let mut body = asked();
        body["context"] = json!({});
        *body.pointer_mut(path).unwrap() = value;
        if told == "this action" {
            assert_eq!(ask(&sidecar, &body).1, json!({"plan": "never"}));
            continue;
        }
        let (status, answer) = ask(&sidecar, &body);
        assert_eq!(status, 400, "{answer}");
        assert!(answer.as_str().unwrap().contains(told), "{answer}");
    }
}

/// A listener in this process, on a folder with these rules and this schema.
async fn listening(
    schema: &str,
    rules: &[String],
    single_account: Option<&str>,
) -> DecisionListener {
    let single_account = single_account.map(|slug| AccountSlug::parse(slug).unwrap());
    let members = [decision_listener::member("ann", "acme", "operator")];
    let files = folder_with(schema, rules, false);
    DecisionListener::start(&files, members, |app| {
        app.config.decision.single_account = single_account;
    })
    .await
}

/// What is answered with 400, by every way.
async fn refused(listener: &DecisionListener, body: &Json) -> String {
    listener.post(PLAN, body.to_string()).await.refused(400)
}

/// A policy that permits to view chats on a condition.
fn permit(condition: &str) -> String {
    format!(
        "permit (principal, action == K::Action::\"view\", resource is K::Chat) when {{ {condition} }};"
    )
}

/// What cannot be expressed as a filter is named with its policy, and nothing wider is answered.
#[tokio::test]
async fn what_cannot_be_planned_is_an_error_that_names_the_policy() {
    for (condition, told) in [
        (
            "resource has label && resource.label like \"a*\"",
            "`like` on an attribute of the resource",
        ),
        ("resource has marks && resource.marks.contains(\"a\")", "a set as an attribute"),
        ("resource has marks && resource.marks.containsAny([\"a\"])", "containsAny"),
        ("resource has marks && resource.marks == [\"a\"]", "a set that is not on the right"),
        ("resource has marks && context has list && resource.marks == context.list", "a set as an"),
        ("resource has seen && resource.seen < datetime(\"2026-01-01\")", "a date, an address"),
        ("resource has place && resource.place == ip(\"10.0.0.1\")", "ip"),
        ("resource has price && resource.price.lessThan(decimal(\"1.5\"))", "lessThan"),
        ("resource has size && resource.size + 1 < 3", "arithmetic with an attribute"),
        ("resource has creator && resource.creator in principal.account", "an attribute names"),
        ("resource has creator && resource.creator.active", "it reads an attribute of an entity"),
        (
            "resource has creator && resource.creator.account == principal.account",
            "it reads an attribute of an entity",
        ),
        ("principal in resource", "the resource on its right"),
    ] {
        println!("{condition}");
        let mut view = asked();
        view["context"] = json!({"list": ["a"]});
        let listener = listening(SCHEMA, &[permit(condition)], None).await;
        let message = refused(&listener, &view).await;
        assert!(message.starts_with("policy `r0` cannot be expressed as a filter"), "{message}");
        assert!(message.contains(told) && message.ends_with("ask for each resource"), "{message}");
        // As a `forbid` it is named as well: without it, the filter would be wider.
        let forbid = permit(condition).replacen("permit", "forbid", 1);
        let forbidding = listening(SCHEMA, &[forbid], None).await;
        let message = refused(&forbidding, &view).await;
        assert!(message.contains("policy `r0`") && message.contains(told), "{message}");
        // It does not concern another action.
        view["action"]["name"] = json!("edit");
        assert_eq!(listener.ask(PLAN, &view).await, json!({"plan": "never"}));
    }
}

/// What would blow up is bounded: a large policy is left to Cedar, a filter that grows is refused in time,
/// and decisions are what they would be without a bound.
#[tokio::test]
async fn policies_that_would_blow_up_are_bounded_and_decide_as_ever() {
    let is = |number: i64| format!("resource has size && resource.size == {number}");
    let wide = permit(&(0..90).map(is).collect::<Vec<_>>().join(" || "));
    // Twice as large with each level.
    let grows = (0..12).fold("(resource has open && resource.open)".to_owned(), |inner, level| {
        format!("({inner} == (resource has size && resource.size < {level}))")
    });
    let is_wide: fn(i64) -> bool = |size| (0..90).contains(&size);
    let does_grow: fn(i64) -> bool =
        |size| (0..12).fold(true, |inner, level| inner == (size < level));
    for (rule, told, expected) in [
        (wide, "it has more than 256 operators and values", is_wide),
        (permit(&grows), "its filter would have more than 4000 parts", does_grow),
    ] {
        // Of a role that permits nothing: the rule alone decides.
        let members = [decision_listener::member("ann", "acme", "other")];
        let files = folder_with(SCHEMA, &[rule], false);
        let listener = DecisionListener::start(&files, members, |_| {}).await;
        let policies = listener.app.policies.load();
        let is_noted =
            policies.notes().iter().any(|note| note.starts_with("`r0` is evaluated by Cedar"));
        assert_eq!(is_noted, told.starts_with("it has"), "{:?}", policies.notes());
        let message = refused(&listener, &asked()).await;
        assert!(message.contains("policy `r0`") && message.contains(told), "{message}");
        for size in [-1, 0, 3, 11, 12, 89, 90] {
            let mut question = asked();
            let properties = json!({"tag": "x", "account": "acme", "open": true, "size": size});
            question["resource"] = json!({"type": "chat", "id": "c", "properties": properties});
            let decision = listener.ask("/access/v1/evaluation", &question).await;
            assert_eq!(decision, json!({"decision": expected(size)}), "{told} {size}");
        }
    }
}

/// An account is in itself, whichever account a caller says and whichever is the only one.
#[tokio::test]
async fn an_account_is_planned_by_its_id_alone() {
    let schema = SCHEMA.replace("resource: [Chat, Note]", "resource: [Chat, Note, Account]");
    let rule = "permit (principal, action == K::Action::\"edit\", resource is K::Account)\n\
                when { resource in principal.account };";
    for single_account in [None, Some("acme")] {
        let listener = listening(&schema, &[rule.to_owned()], single_account).await;
        let mut asked = asked();
        asked["action"]["name"] = json!("edit");
        asked["resource"]["type"] = json!("account");
        let plan = listener.ask(PLAN, &asked).await;
        assert_eq!(
            plan["filter"],
            json!({"op": "eq", "attribute": "id", "value": "acme"}),
            "{plan}"
        );
        for (id, expected) in [("acme", true), ("beta", false)] {
            asked["resource"] =
                json!({"type": "account", "id": id, "properties": {"account": "acme"}});
            let decision = listener.ask("/access/v1/evaluation", &asked).await;
            assert_eq!(decision, json!({"decision": expected}), "{id} {single_account:?}");
        }
    }
}

/// A row whose account does not fit the attribute `account` is denied, which no filter says.
#[tokio::test]
async fn an_attribute_that_cannot_hold_the_account_is_not_planned() {
    let rule = "permit (principal, action == K::Action::\"edit\", resource is K::Note);";
    for (kind, is_planned) in [
        ("Account", true),
        ("String", true),
        ("Long", false),
        ("Set<String>", false),
        ("decimal", false),
    ] {
        let schema =
            SCHEMA.replace("account?: Account, \"odd", &format!("account?: {kind}, \"odd"));
        let listener = listening(&schema, &[rule.to_owned()], None).await;
        let mut asked = asked();
        asked["action"]["name"] = json!("edit");
        asked["resource"]["type"] = json!("note");
        if is_planned {
            assert_eq!(listener.ask(PLAN, &asked).await, json!({"plan": "always"}), "{kind}");
        } else {
            let message = refused(&listener, &asked).await;
            assert!(message.contains("their attribute `account` cannot be"), "{kind}: {message}");
        }
        asked["resource"] = json!({"type": "note", "id": "n", "properties": {"account": "acme"}});
        let decision = listener.ask("/access/v1/evaluation", &asked).await;
        assert_eq!(decision, json!({"decision": is_planned}), "{kind}");
    }
}

fn query_of<'q>(
    action: &'q str,
    kind: &'q str,
    context: &'q [(Cow<'q, str>, Value<'q>)],
) -> Query<'q> {
    Query {
        subject: EntityRef { kind: "User", id: "m0", properties: &[] },
        action,
        action_properties: &[],
        resource: EntityRef { kind, id: "", properties: &[] },
        context,
    }
}

// === against PostgreSQL ===

/// The schema, with an attribute whose values it lists.
fn schema_with_colours() -> String {
    SCHEMA
        .replace("tag: String,", "tag: String, colour?: Colour,")
        .replace("entity Role;", "entity Role; entity Colour enum [\"red\", \"green\"];")
}

/// One expression that Cedar's validator accepts for chats.
struct Conditions<'r>(&'r mut SmallRng);

impl Conditions<'_> {
    fn pick<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of.choose(self.0).unwrap()
    }

    fn test(&mut self) -> String {
        let attribute = self.pick(&["size", "weight"]);
        let number = self.pick(&["-5", "0", "3", "9223372036854775807"]);
        match self.0.random_range(0..20) {
            0 => format!("resource has {attribute}"),
            1 => format!("resource has {attribute} && resource.{attribute} == {number}"),
            2 => format!("resource has {attribute} && {number} < resource.{attribute}"),
            3 => format!("resource has {attribute} && resource.{attribute} >= {number}"),
            4 => "resource has size && resource has weight && resource.size <= resource.weight".into(),
            5 => "resource has open && resource.open".into(),
            6 => "resource has open && resource.open == principal.active".into(),
            7 => "resource has assignee && resource.assignee == principal".into(),
            8 => "resource has assignee && resource has creator && resource.assignee != resource.creator".into(),
            9 => "resource in principal.account".into(),
            10 => format!("resource in K::Account::\"{}\"", self.pick(&["acme", "beta", "none"])),
            11 => format!("resource == K::Chat::\"c{}\"", self.0.random_range(0..9)),
            12 => format!("resource.tag == \"{}\"", self.pick(&["x", "y"])),
            13 => format!("resource has label && [\"a\", \"{}\"].contains(resource.label)", self.pick(&["", "é"])),
            14 => format!("context has n && context.n + {number} > 0"),
            15 => "principal.role == \"operator\"".into(),
            16 => "context has late && context.late".into(),
            17 => "resource has colour && resource.colour == K::Colour::\"red\"".into(),
            18 => format!("context has n && context.n * {number} < 7"),
            _ => format!("resource has label && resource.label == \"{}\"", self.pick(&["a", "A", "é", "e\u{301}", "'; drop table chats; --"])),
        }
    }

    fn expression(&mut self, depth: usize) -> String {
        if depth == 0 || self.0.random_bool(0.3) {
            return format!("({})", self.test());
        }
        let mut inner = || self.expression(depth - 1);
        let (one, two, three) = (inner(), inner(), inner());
        match self.0.random_range(0..7) {
            0 | 1 => format!("({one} && {two})"),
            2 | 3 => format!("({one} || {two})"),
            4 => format!("(!{one})"),
            5 => format!("(if {one} then {two} else {three})"),
            _ => format!("({one} == {two})"),
        }
    }

    fn rule(&mut self) -> String {
        let effect = if self.0.random_bool(0.6) { "permit" } else { "forbid" };
        let principal = self.pick(&["principal", "principal in K::Role::\"operator\""]);
        let action = self.pick(&[
            "action",
            "action == K::Action::\"view\"",
            "action == K::Action::\"edit\"",
        ]);
        let resource = self.pick(&[
            "resource is K::Chat",
            "resource is K::Chat in K::Account::\"acme\"",
            "resource == K::Chat::\"c1\"",
        ]);
        let kind = self.pick(&["when", "when", "unless"]);
        let condition = self.expression(3);
        let resource = if resource.contains("==") && self.0.random_bool(0.7) {
            "resource is K::Chat"
        } else {
            resource
        };
        // The scope of one resource says its type.
        format!("{effect} ({principal}, {action}, {resource}) {kind} {{ {condition} }};")
    }
}

/// One row: text, numbers and booleans by column, some of them NULL.
struct Row {
    id: String,
    values: Vec<(&'static str, Option<Value<'static>>)>,
}

impl Row {
    fn random(random: &mut SmallRng, number: usize) -> Self {
        let text = |random: &mut SmallRng, of: &[&'static str], nulls: f64| {
            let text = *of.choose(random).unwrap();
            (!random.random_bool(nulls)).then_some(Value::String(Cow::Borrowed(text)))
        };
        let long = |random: &mut SmallRng| {
            let number = *[-5, 0, 3, 7, i64::MAX, i64::MIN].choose(random).unwrap();
            (!random.random_bool(0.3)).then_some(Value::Long(number))
        };
        let members = ["m0", "m1", "m2", "m3", "nobody"];
        Self {
            id: format!("c{number}"),
            values: vec![
                ("account", text(random, &["acme", "beta", "none"], 0.2)),
                ("assignee", text(random, &members, 0.3)),
                ("creator", text(random, &members, 0.3)),
                ("size", long(random)),
                ("weight", long(random)),
                ("open", (!random.random_bool(0.3)).then(|| Value::Bool(random.random_bool(0.5)))),
                (
                    "label",
                    text(random, &["a", "A", "", "é", "e\u{301}", "'; drop table chats; --"], 0.3),
                ),
                ("tag", text(random, &["x", "y"], 0.1)),
                // No policy has to read it: a row with a value that the schema does not list is denied.
                ("colour", text(random, &["red", "green", "green", "blue"], 0.5)),
            ],
        }
    }

    fn sql(&self) -> String {
        let mut line = format!("('{}'", self.id);
        for (_, value) in &self.values {
            line.push_str(", ");
            line.push_str(&value.as_ref().map_or_else(|| "NULL".to_owned(), literal));
        }
        line + ")"
    }

    fn properties(&self) -> Record<'static> {
        let given = self
            .values
            .iter()
            .filter_map(|(name, value)| Some((Cow::Borrowed(*name), value.clone()?)));
        given.collect()
    }
}

fn literal(value: &Value<'_>) -> String {
    match value {
        Value::String(text) => format!("'{}'", text.replace('\'', "''")),
        // The smallest number has no literal of its own.
        Value::Long(number) => format!("'{number}'::bigint"),
        Value::Bool(flag) => flag.to_string(),
        other => panic!("{other:?}"),
    }
}

fn member(id: &str, number: usize) -> Member {
    Member {
        id: MemberId::parse(id).unwrap(),
        account: AccountSlug::parse(["acme", "beta"][number / 2]).unwrap(),
        email: email(id),
        first_name: name("Ann"),
        last_name: name("Lee"),
        role: role(["operator", "other"][number % 2]),
        status: if number == 2 { Status::Suspended } else { Status::Active },
        two_step: false,
        joined: NOW,
        version: Version(1),
    }
}

/// How many folders: more by `PLAN_FOLDERS`.
fn folders() -> usize {
    std::env::var("PLAN_FOLDERS").map_or(80, |text| text.parse().unwrap())
}

const ROWS: usize = 80;

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_a_plan_are_the_rows_that_are_allowed() {
    let Some(server) = PostgresServer::shared() else { return };
    let seed = std::env::var("PLAN_SEED").map_or(1, |text| text.parse().unwrap());
    println!("PLAN_SEED={seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let stage = Fixture::empty(PasswordHasher::cheap().unwrap(), |_| {}).await;
    let ids = ["m0", "m1", "m2", "m3"];
    let rows = ids.iter().enumerate().map(|(n, id)| ChangedRecord::Member(member(id, n)));
    stage.app.directory.apply(&Change { revision: Revision(1), rows: rows.collect() });
    let (mut filters, mut allowed, mut asked) = (0, 0, 0);
    let schema = schema_with_colours();
    for number in 0..folders() {
        let rules: Vec<String> =
            (0..random.random_range(1..5)).map(|_| Conditions(&mut random).rule()).collect();
        let files = folder_with(&schema, &rules, number % 3 == 0);
        let snapshot = match Snapshot::load(&files, &[]) {
            Ok(snapshot) => snapshot,
            // Cedar's validator refuses what can never apply.
            Err(faults) => panic!("{}", render(&faults)),
        };
        let single_account = (number % 4 == 0).then_some("acme");
        let world = QueryContext { members: &*stage.app.directory, single_account };
        let rows: Vec<Row> = (0..ROWS).map(|n| Row::random(&mut random, n)).collect();
        let mut script = format!(
            "DROP TABLE IF EXISTS plan_chats; CREATE TABLE plan_chats (id text, account text, assignee text, \
             creator text, size bigint, weight bigint, open boolean, label text, tag text, colour text);\n\
             INSERT INTO plan_chats VALUES {};\n",
            rows.iter().map(Row::sql).collect::<Vec<_>>().join(", ")
        );
        let contexts: [Record<'static>; 3] = [
            vec![],
            vec![(Cow::Borrowed("n"), Value::Long(i64::MAX))],
            vec![(Cow::Borrowed("n"), Value::Long(2)), (Cow::Borrowed("late"), Value::Bool(true))],
        ];
        let mut expected: Vec<BTreeSet<&str>> = Vec::new();
        for id in ids {
            for action in ["view", "edit"] {
                let context = contexts.choose(&mut random).unwrap();
                let query = Query {
                    subject: EntityRef { kind: "User", id, properties: &[] },
                    ..query_of(action, "Chat", context)
                };
                let condition = match snapshot.plan(&query, &world) {
                    Ok(Plan::Always) => "TRUE".to_owned(),
                    Ok(Plan::Never) => "FALSE".to_owned(),
                    Ok(Plan::Filter(filter)) => {
                        filters += 1;
                        let name = format!("p{}", expected.len());
                        let list = "SELECT coalesce(string_agg(id, ',' ORDER BY id), '-') FROM plan_chats WHERE";
                        writeln!(script, "PREPARE {name} AS {list} {};", filter.sql).unwrap();
                        let given: Vec<String> = filter.parameters.iter().map(parameter).collect();
                        let given = if given.is_empty() {
                            String::new()
                        } else {
                            format!("({})", given.join(", "))
                        };
                        writeln!(script, "EXECUTE {name}{given};").unwrap();
                        String::new()
                    }
                    Err(why) => panic!("{why}:\n{}", rules.join("\n")),
                };
                if !condition.is_empty() {
                    writeln!(script, "SELECT coalesce(string_agg(id, ',' ORDER BY id), '-') FROM plan_chats WHERE {condition};").unwrap();
                }
                let is_allowed = |row: &&Row| {
                    let properties = row.properties();
                    let resource = EntityRef { kind: "Chat", id: &row.id, properties: &properties };
                    snapshot.decide_by_whole_set(&Query { resource, ..query }, &world).allowed
                };
                let found: BTreeSet<&str> =
                    rows.iter().filter(is_allowed).map(|row| row.id.as_str()).collect();
                asked += ROWS;
                allowed += found.len();
                expected.push(found);
            }
        }
        let told = server.sql(&script);
        let lines: Vec<&str> = told.lines().filter(|line| line.starts_with(['c', '-'])).collect();
        assert_eq!(lines.len(), expected.len(), "{told}\n{script}");
        for (at, (line, expected)) in lines.iter().zip(&expected).enumerate() {
            let found: BTreeSet<&str> = line.split(',').filter(|id| *id != "-").collect();
            assert_eq!(
                &found,
                expected,
                "folder {number}, plan {at}:\n{}\n{script}",
                rules.join("\n")
            );
        }
    }
    println!("{asked} rows, {allowed} allowed, {filters} filters");
    assert!(filters > folders() * 2 && allowed * 20 > asked, "a mix that tries little");
}

fn parameter(value: &Json) -> String {
    match value {
        Json::String(text) => format!("'{}'", text.replace('\'', "''")),
        Json::Number(number) => format!("'{number}'::bigint"),
        other => other.to_string(),
    }
}
