//! Plans: over HTTP and the unix socket, what cannot be planned, and against a real PostgreSQL: the rows
//! that a plan selects are exactly those that a decision allows.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use kwic_team::domain::query::Record;
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
    marks?: Set<String>, seen?: datetime,
  };
  entity Note in [Account] = { account?: Account, "odd \" name"?: String };
  action view, edit appliesTo { principal: User, resource: [Chat, Note], context: { n?: Long, late?: Bool } };
}
"#;

/// A folder with one role and these rules.
fn folder(rules: &[String], stored: bool) -> PolicyFiles {
    let role = "@id(\"operator\") @role(\"operator\") @title(\"Operator\") @summary(\"s\") @best_for(\"b\")\n\
                permit (principal in K::Role::\"operator\", action == K::Action::\"view\", resource)\n\
                when { principal.active && resource in principal.account };";
    let rules: Vec<String> =
        rules.iter().enumerate().map(|(n, rule)| format!("@id(\"r{n}\") {rule}")).collect();
    let mut files = vec![
        ("schema.cedarschema".to_owned(), SCHEMA.as_bytes().to_vec()),
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

/// What cannot be expressed as a filter is named with its policy, and nothing wider is answered.
#[test]
fn what_cannot_be_planned_is_an_error_that_names_the_policy() {
    for (condition, told) in [
        (
            "resource has label && resource.label like \"a*\"",
            "`like` on an attribute of the resource",
        ),
        ("resource has marks && resource.marks.contains(\"a\")", "a set as an attribute"),
        ("resource has marks && resource.marks.containsAny([\"a\"])", "containsAny"),
        ("resource has seen && resource.seen < datetime(\"2026-01-01\")", "datetime"),
        ("resource has size && resource.size + 1 < 3", "arithmetic with an attribute"),
        ("resource has creator && resource.creator in principal.account", "an attribute names"),
        ("resource has creator && resource.creator.active", "it reads an attribute of an entity"),
        ("principal in resource", "the resource on its right"),
    ] {
        let rule = format!(
            "permit (principal, action == K::Action::\"view\", resource is K::Chat) when {{ {condition} }};"
        );
        let snapshot = match Snapshot::load(&folder(std::slice::from_ref(&rule), false), &[]) {
            Ok(snapshot) => snapshot,
            Err(faults) => panic!("{}", render(&faults)),
        };
        let members = Somebody;
        let world = QueryContext { members: &members, single_account: None };
        let refused = snapshot.plan(&query_of("view", "Chat", &[]), &world).unwrap_err();
        assert!(refused.starts_with("policy `r0` cannot be expressed as a filter"), "{refused}");
        assert!(refused.contains(told), "{refused}");
        // It does not concern another action.
        assert_eq!(snapshot.plan(&query_of("edit", "Chat", &[]), &world), Ok(Plan::Never));
    }
}

/// Conditions that would make the filter explode are refused in time.
#[test]
fn a_filter_has_a_bound() {
    let mut condition = "(resource has open && resource.open)".to_owned();
    for _ in 0..7 {
        condition = format!("({condition} == (resource has size && resource.size < 3))");
        condition = format!("(if {condition} then {condition} else principal.active)");
        if condition.len() > 20_000 {
            break;
        }
    }
    let rule = format!(
        "permit (principal, action == K::Action::\"view\", resource is K::Chat) when {{ {condition} }};"
    );
    let snapshot = Snapshot::load(&folder(&[rule], false), &[]).unwrap();
    let members = Somebody;
    let world = QueryContext { members: &members, single_account: None };
    let refused = snapshot.plan(&query_of("view", "Chat", &[]), &world).unwrap_err();
    assert!(refused.contains("more than") || refused.contains("`if`"), "{refused}");
}

struct Somebody;

impl kwic_team::engine::Members for Somebody {
    fn with<R>(
        &self,
        id: &str,
        read: impl FnOnce(kwic_team::domain::MemberView<'_>) -> R,
    ) -> Option<R> {
        Some(read(kwic_team::engine::made_up_member(id, "acme", "nothing", true)))
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

/// One expression that Cedar's validator accepts for chats.
struct Conditions<'r>(&'r mut SmallRng);

impl Conditions<'_> {
    fn pick<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of.choose(self.0).unwrap()
    }

    fn test(&mut self) -> String {
        let attribute = self.pick(&["size", "weight"]);
        let number = self.pick(&["-5", "0", "3", "9223372036854775807"]);
        match self.0.random_range(0..18) {
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
    for number in 0..folders() {
        let rules: Vec<String> =
            (0..random.random_range(1..5)).map(|_| Conditions(&mut random).rule()).collect();
        let snapshot = match Snapshot::load(&folder(&rules, number % 3 == 0), &[]) {
            Ok(snapshot) => snapshot,
            // Cedar's validator refuses what can never apply.
            Err(faults) => panic!("{}", render(&faults)),
        };
        let single_account = (number % 4 == 0).then_some("acme");
        let world = QueryContext { members: &*stage.app.directory, single_account };
        let rows: Vec<Row> = (0..ROWS).map(|n| Row::random(&mut random, n)).collect();
        let mut script = format!(
            "DROP TABLE IF EXISTS plan_chats; CREATE TABLE plan_chats (id text, account text, assignee text, \
             creator text, size bigint, weight bigint, open boolean, label text, tag text);\n\
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
