//! The engine by example: small folders and single queries, each with the decision that the
//! contract requires. The oracle covers the cases that nobody thought of.

mod changes;
mod explanation_sentences;

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Value as Json, json};

use super::{Cell, Members, PolicyFault, QueryContext, Snapshot, render};
use crate::domain::access_query::Record;
use crate::domain::decision::Explanation;
use crate::domain::{
    EntityRef, MemberTexts, MemberView, PolicyFiles, Query, Reason, RoleId, Timestamp, Value,
};

const SCHEMA: &str = r#"namespace KWIC {
  entity Account in [Group] { limit?: Long };
  entity Group;
  entity Role in [Role];
  entity User in [Role, Account] {
    account: Account, active: Bool, role: String, joined?: datetime, nickname?: String,
  };
  entity Service { contact?: User };
  entity Template in [Account] { account?: Account, owner?: User, n?: Long, due?: datetime } tags String;
  entity BotFlow in [Account];
  entity Ticket in [Account] { email: String, role: Role };
  action view appliesTo { principal: [User, Service], resource: [Template, BotFlow, Account, Ticket] };
  action edit appliesTo { principal: User, resource: [Template, User, Account], context: { target?: User } };
  action sweep appliesTo { principal: Service, resource: Account };
}"#;

const EDITOR: &str = r#"@id("editor") @role("editor") @title("Editor") @summary("Edits.") @best_for("Editors.")
permit (principal in KWIC::Role::"editor", action in [KWIC::Action::"view", KWIC::Action::"edit"], resource);
"#;

const VIEWER: &str = r#"@id("viewer") @role("viewer") @title("Viewer") @summary("Views.") @best_for("Viewers.")
permit (principal in KWIC::Role::"viewer", action == KWIC::Action::"view", resource);
"#;

const RULES: &str = r#"@id("tenancy")
forbid (principal is KWIC::User, action, resource) unless { resource in principal.account };
@id("suspension")
forbid (principal is KWIC::User, action, resource) unless { principal.active };
"#;

/// A folder by its files; a later file of the same path takes the place of an earlier one.
fn files(more: &[(&str, &str)]) -> PolicyFiles {
    let mut folder: HashMap<&str, &str> = HashMap::from([
        ("schema.cedarschema", SCHEMA),
        ("roles/editor.cedar", EDITOR),
        ("roles/viewer.cedar", VIEWER),
        ("rules/rules.cedar", RULES),
    ]);
    folder.extend(more.iter().copied());
    let kept = folder.into_iter().filter(|(_, text)| !text.is_empty());
    PolicyFiles::new(kept.map(|(path, text)| (path.to_owned(), text.into())).collect())
}

fn snapshot(more: &[(&str, &str)]) -> Snapshot {
    Snapshot::load(&files(more), &[]).unwrap_or_else(|faults| panic!("{}", render(&faults)))
}

/// The standard rules and one more.
fn with_rule(rule: &str) -> Snapshot {
    snapshot(&[("rules/more.cedar", rule)])
}

fn faults(more: &[(&str, &str)]) -> Vec<PolicyFault> {
    Snapshot::load(&files(more), &[]).expect_err("the folder should be refused")
}

/// Refused, and some fault says `words`.
fn refused(more: &[(&str, &str)], words: &str) {
    let said = render(&faults(more));
    assert!(said.contains(words), "{said}");
}

/// `anna` edits and `vera` views in `acme`, `gus` edits in `globex`; `sam`, who edits, and `tom`, who
/// views, are suspended.
struct Team;

impl Members for Team {
    fn with<R>(&self, id: &str, read: impl FnOnce(MemberView<'_>) -> R) -> Option<R> {
        let (account, role, active) = match id {
            "anna" => ("acme", "editor", true),
            "vera" => ("acme", "viewer", true),
            "gus" => ("globex", "editor", true),
            "sam" => ("acme", "editor", false),
            "tom" => ("acme", "viewer", false),
            _ => return None,
        };
        Some(read(MemberView {
            id,
            account,
            role,
            active,
            texts: MemberTexts::Apart {
                email_key: "a@example.org",
                first_name: "A",
                last_name: "B",
            },
            two_step: false,
            joined: Timestamp(1_700_000_000_120),
        }))
    }
}

fn record(json: &Json) -> Record<'static> {
    let members = json.as_object().into_iter().flatten();
    members.map(|(name, json)| (Cow::Owned(name.clone()), value(json))).collect()
}

fn value(json: &Json) -> Value<'static> {
    match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Long(whole),
            None => Value::Double(number.as_f64().unwrap()),
        },
        Json::String(text) => Value::String(Cow::Owned(text.clone())),
        Json::Array(items) => Value::List(items.iter().map(value).collect()),
        Json::Object(_) => Value::Record(record(json)),
    }
}

/// One question: `TYPE:ID` thrice, and what the caller says.
#[derive(Clone)]
struct Ask {
    subject: &'static str,
    action: &'static str,
    resource: &'static str,
    subject_says: Json,
    says: Json,
    context: Json,
    single_account: Option<&'static str>,
}

fn ask(subject: &'static str, action: &'static str, resource: &'static str) -> Ask {
    Ask {
        subject,
        action,
        resource,
        subject_says: json!({}),
        says: json!({"account": "acme"}),
        context: json!({}),
        single_account: None,
    }
}

impl Ask {
    fn says(self, says: Json) -> Self {
        Self { says, ..self }
    }

    fn with<T>(&self, read: impl FnOnce(&Query<'_>, &QueryContext<'_, Team>) -> T) -> T {
        let records = [&self.subject_says, &self.says, &self.context].map(record);
        let [subject_says, says, context] = &records;
        let entity = |name: &'static str, properties| {
            let (kind, id) = name.rsplit_once(':').unwrap();
            EntityRef { kind, id, properties }
        };
        let query = Query {
            subject: entity(self.subject, subject_says.as_slice()),
            action: self.action,
            action_properties: &[],
            resource: entity(self.resource, says.as_slice()),
            context,
        };
        read(&query, &QueryContext { members: &Team, single_account: self.single_account })
    }

    fn of(&self, snapshot: &Snapshot) -> Explanation {
        self.with(|query, world| {
            let decision = snapshot.decide(query, world, true);
            let explanation = decision.explanation.unwrap();
            assert_eq!(decision.allowed, explanation.reason == Reason::Granted);
            assert_eq!(snapshot.decide(query, world, false).allowed, decision.allowed);
            explanation
        })
    }

    fn reason(&self, snapshot: &Snapshot) -> Reason {
        self.of(snapshot).reason
    }
}

#[test]
fn each_reason_by_its_name() {
    let set = snapshot(&[]);
    let granted = ask("user:anna", "edit", "template:t").of(&set);
    assert_eq!((granted.reason, granted.policies), (Reason::Granted, vec!["editor".to_owned()]));
    let lacks = ask("user:vera", "edit", "template:t").of(&set);
    assert_eq!(lacks.reason, Reason::RoleLacksAction);
    assert_eq!(lacks.roles, [RoleId::parse("editor").unwrap()]);
    for (subject, action, resource, reason) in [
        ("user:sam", "edit", "template:t", Reason::Suspended),
        ("user:gus", "edit", "template:t", Reason::OtherAccount),
        ("user:gus", "edit", "account:acme", Reason::OtherAccount),
        ("user:gus", "edit", "user:vera", Reason::OtherAccount),
        ("user:nobody", "edit", "template:t", Reason::UnknownSubject),
        ("robot:anna", "edit", "template:t", Reason::UnknownSubject),
        ("session:x", "edit", "template:t", Reason::SessionEnded),
        ("user:anna", "paint", "template:t", Reason::UnknownAction),
        ("user:anna", "edit", "painting:t", Reason::UnknownResourceType),
        ("user:anna", "edit", "bot_flow:b", Reason::ActionNotApplicable),
        ("user:anna", "sweep", "account:acme", Reason::ActionNotApplicable),
    ] {
        let found = ask(subject, action, resource).reason(&set);
        assert_eq!(found, reason, "{subject} {action} {resource}");
    }
}

#[test]
fn an_erring_forbid_denies_and_is_named() {
    let set = with_rule(
        r#"@id("overflow") forbid (principal, action, resource is KWIC::Template)
           when { resource has n && resource.n + 9223372036854775807 > 0 };"#,
    );
    let edit =
        |n: i64| ask("user:anna", "edit", "template:t").says(json!({"account": "acme", "n": n}));
    assert_eq!(edit(-9_223_372_036_854_775_807).reason(&set), Reason::Granted);
    let erred = edit(1).of(&set);
    assert_eq!((erred.reason, erred.policies), (Reason::ForbidErred, vec!["overflow".to_owned()]));
}

#[test]
fn bad_attributes_are_named() {
    let set = snapshot(&[]);
    for (resource, says, path) in [
        ("template:t", json!({"account": "acme", "n": "1"}), "resource.properties.n"),
        ("template:t", json!({"account": "acme", "due": "soon"}), "resource.properties.due"),
        ("template:t", json!({"account": 7}), "resource.properties.account"),
        (
            "template:t",
            json!({"account": {"type": "KWIC::Group", "id": "acme"}}),
            "resource.properties.account",
        ),
        ("ticket:t", json!({"account": "acme", "role": "x"}), "resource.properties.email"),
    ] {
        let found = ask("user:anna", "view", resource).says(says).of(&set);
        assert_eq!(found.reason, Reason::BadAttributes);
        assert!(found.sentence.contains(&format!("`{path}`")), "{}", found.sentence);
    }
}

#[test]
fn all_bad_attributes_are_named_at_once() {
    let set = snapshot(&[]);
    let question =
        ask("user:anna", "edit", "template:t").says(json!({"account": 7, "n": "1", "due": "soon"}));
    let found = Ask { context: json!({"target": 1}), ..question }.of(&set);
    assert_eq!(found.reason, Reason::BadAttributes);
    let named = ["properties.account", "properties.n", "properties.due"];
    for path in named.map(|name| format!("`resource.{name}` must be")) {
        assert_eq!(found.sentence.matches(&path).count(), 1, "{}", found.sentence);
    }
    assert!(found.sentence.contains("`context.target` must be"), "{}", found.sentence);
    // As many as somebody reads.
    let many: String = (10..40).map(|number| format!("n{number}: Set<Long>, ")).collect();
    let schema = SCHEMA.replace("n?: Long,", &many);
    let set = snapshot(&[("schema.cedarschema", &schema)]);
    let found =
        ask("user:anna", "view", "template:t").says(json!({"n10": ["a", true, 1]})).of(&set);
    for part in [
        "`resource.properties.n10[0]` must be",
        "`resource.properties.n10[1]` must be",
        "`resource.properties.n18` is required",
        "; 21 more attributes do not conform to the schema",
    ] {
        assert!(found.sentence.contains(part), "{}", found.sentence);
    }
    assert!(!found.sentence.contains("n19"), "{}", found.sentence);
}

#[test]
fn what_the_store_knows_wins() {
    let set = with_rule(
        r#"@id("nick") permit (principal, action, resource) when { principal has nickname && principal.nickname == "boss" };"#,
    );
    let mut sam = ask("user:sam", "edit", "template:t");
    sam.subject_says =
        json!({"active": true, "role": "editor", "account": "acme", "nickname": "boss"});
    assert_eq!(sam.reason(&set), Reason::Suspended);
    let mut gus = ask("user:gus", "edit", "template:t");
    gus.subject_says = json!({"account": "acme"});
    assert_eq!(gus.reason(&set), Reason::OtherAccount);
    // A member as resource is where the store says, not where the caller says.
    let moved = ask("user:gus", "edit", "user:vera").says(json!({"account": "globex"}));
    assert_eq!(moved.reason(&set), Reason::OtherAccount);
    // What only the caller knows is taken.
    let mut vera = ask("user:vera", "edit", "template:t");
    assert_eq!(vera.reason(&set), Reason::RoleLacksAction);
    vera.subject_says = json!({"nickname": "boss"});
    assert_eq!(vera.reason(&set), Reason::Granted);
}

#[test]
fn accounts_by_slug_by_entity_and_by_default() {
    let set = snapshot(&[]);
    let edit = ask("user:anna", "edit", "template:t");
    for says in [
        json!({"account": "acme"}),
        json!({"account": {"type": "KWIC::Account", "id": "acme"}}),
        json!({"account": {"__entity": {"type": "KWIC::Account", "id": "acme"}}}),
    ] {
        assert_eq!(edit.clone().says(says).reason(&set), Reason::Granted);
    }
    let none = edit.clone().says(json!({}));
    assert_eq!(none.reason(&set), Reason::OtherAccount);
    let single = Ask { single_account: Some("acme"), ..none };
    assert_eq!(single.reason(&set), Reason::Granted);
    let said = Ask { single_account: Some("acme"), ..edit.says(json!({"account": "globex"})) };
    assert_eq!(said.reason(&set), Reason::OtherAccount);
}

#[test]
fn types_in_every_spelling() {
    let set = snapshot(&[]);
    for resource in ["bot_flow:b", "BotFlow:b", "KWIC::BotFlow:b"] {
        assert_eq!(ask("user:anna", "view", resource).reason(&set), Reason::Granted, "{resource}");
    }
    for resource in ["user:vera", "member:vera", "User:vera", "KWIC::User:vera"] {
        assert_eq!(ask("user:anna", "edit", resource).reason(&set), Reason::Granted, "{resource}");
    }
    let schema = SCHEMA.replace("entity BotFlow", "entity bot_flow;\n  entity BotFlow");
    refused(&[("schema.cedarschema", &schema)], "both called `bot_flow`");
}

#[test]
fn a_type_that_is_in_no_account_is_put_into_none() {
    let schema = SCHEMA.replace("entity BotFlow in [Account]", "entity BotFlow");
    let set = snapshot(&[("schema.cedarschema", &schema)]);
    assert_eq!(ask("user:anna", "view", "bot_flow:b").reason(&set), Reason::Forbidden);
    let schema = SCHEMA.replace("entity User in [Role, Account]", "entity User in [Account]");
    refused(&[("schema.cedarschema", &schema)], "every member is in a `Role`");
}

#[test]
fn stored_tags_hold() {
    let entities = r#"[{"uid": {"type": "KWIC::Template", "id": "t"}, "attrs": {}, "tags": {"state": "locked"},
        "parents": [{"type": "KWIC::Account", "id": "acme"}]}]"#;
    let rule = r#"@id("locked") forbid (principal, action, resource is KWIC::Template)
        when { resource.hasTag("state") && resource.getTag("state") == "locked" };"#;
    let set = snapshot(&[("entities.json", entities), ("rules/more.cedar", rule)]);
    assert_eq!(ask("user:anna", "edit", "template:t").of(&set).policies, ["locked"]);
    assert_eq!(ask("user:anna", "edit", "template:u").reason(&set), Reason::Granted);
}

#[test]
fn a_test_of_the_folder_reads_the_stored_entities_too() {
    let entities = r#"[
        {"uid": {"type": "KWIC::Account", "id": "acme"}, "attrs": {}, "parents": [{"type": "KWIC::Group", "id": "eu"}]},
        {"uid": {"type": "KWIC::Template", "id": "t"}, "attrs": {}, "parents": [{"type": "KWIC::Account", "id": "acme"}]}]"#;
    let rule = r#"@id("closed") forbid (principal, action, resource in KWIC::Group::"eu");"#;
    let own = json!([{"uid": {"type": "KWIC::Template", "id": "own"}, "attrs": {},
        "parents": [{"type": "KWIC::Account", "id": "acme"}]}]);
    // A stored resource, and one of the case, whose account is stored.
    let case = |resource: &str, entities: Json| {
        json!({"decision": "deny", "reason": ["closed"], "num_errors": 0, "entities": entities,
            "request": {"principal": "KWIC::Service::\"s\"", "action": "KWIC::Action::\"view\"",
                "resource": format!("KWIC::Template::{resource:?}"), "context": {}}})
    };
    let cases = json!([case("t", json!([])), case("own", own)]).to_string();
    snapshot(&[("entities.json", entities), ("rules/more.cedar", rule), ("tests/a.json", &cases)]);
    let other = json!([case("other", json!([]))]).to_string();
    refused(
        &[("entities.json", entities), ("rules/more.cedar", rule), ("tests/a.json", &other)],
        "expected to be decided by `closed`, got no policy",
    );
}

#[test]
fn asking_for_an_attribute_of_an_attribute_builds_it() {
    let entities = r#"[{"uid": {"type": "KWIC::Account", "id": "acme"}, "attrs": {"limit": 1}, "parents": []}]"#;
    let rule = r#"@id("limited") forbid (principal is KWIC::User, action, resource) when { principal has account.limit };"#;
    // Nothing else reads `account`.
    let set = snapshot(&[("entities.json", entities), ("rules/rules.cedar", rule)]);
    assert_eq!(ask("user:anna", "edit", "template:t").of(&set).policies, ["limited"]);
    assert_eq!(ask("user:gus", "edit", "template:t").says(json!({})).reason(&set), Reason::Granted);
}

#[test]
fn a_named_member_that_cannot_be_made_denies() {
    let schema = SCHEMA.replace("nickname?: String", "badge: Long");
    let rule = r#"@id("no-editors") forbid (principal, action == KWIC::Action::"edit", resource)
        when { context has target && context.target in KWIC::Role::"editor" };"#;
    let set = snapshot(&[("schema.cedarschema", &schema), ("rules/more.cedar", rule)]);
    let mut edit = ask("user:anna", "edit", "template:t");
    edit.subject_says = json!({"badge": 1});
    assert_eq!(edit.reason(&set), Reason::Granted);
    edit.context = json!({"target": "gus"});
    let found = edit.of(&set);
    assert_eq!(found.reason, Reason::BadAttributes);
    assert!(found.sentence.contains("badge"), "{}", found.sentence);
}

#[test]
fn a_moment_with_a_round_fraction_is_a_datetime() {
    let set = with_rule(
        r#"@id("new") forbid (principal is KWIC::User, action, resource)
           when { principal has joined && principal.joined > datetime("2023-11-14T22:13:20.120Z") };"#,
    );
    assert_eq!(ask("user:anna", "edit", "template:t").reason(&set), Reason::Granted);
}

#[test]
fn folders_that_are_refused() {
    let rule = |text: &'static str| [("rules/more.cedar", text)];
    let slot = r#"@id("s") forbid (principal == ?principal, action, resource);"#;
    refused(&rule(slot), "has a slot");
    refused(&rule("permit (principal, action, resource);"), "no `@id`");
    refused(&rule(r#"@id("tenancy") permit (principal, action, resource);"#), "`tenancy` is taken");
    refused(&[("roles/viewer.cedar", &VIEWER.replace("@title(\"Viewer\")", ""))], "no `@title`");
    let far = r#"@id("far") permit (principal, action, resource is KWIC::Template)
        when { resource has owner && resource.owner.account has limit && resource.owner.account.limit > 1 };"#;
    refused(&rule(far), "far");
    let user = r#"[{"uid": {"type": "KWIC::User", "id": "x"}, "attrs": {"account": {"type": "KWIC::Account", "id": "a"}, "active": true, "role": "editor"}, "parents": []}]"#;
    refused(&[("entities.json", user)], "is a member");
    let none = [
        ("schema.cedarschema", ""),
        ("roles/editor.cedar", ""),
        ("roles/viewer.cedar", ""),
        ("rules/rules.cedar", ""),
    ];
    let said = render(&faults(&none));
    assert!(said.contains("no `schema.cedarschema`") && said.contains("no role"), "{said}");
}

#[test]
fn every_fault_at_once_with_its_line_underlined() {
    let found = faults(&[
        (
            "roles/viewer.cedar",
            "@id(\"viewer\")\npermit (principal, action, resource)\nwhen { principle };\n",
        ),
        ("rules/a.cedar", "// one\n// two\npermit (principal action, resource);"),
        ("rules/b.cedar", "permit (principal, action, resource);"),
    ]);
    let lines: Vec<_> = found.iter().map(|fault| (fault.file.as_str(), fault.line)).collect();
    for place in
        [("roles/viewer.cedar", Some(3)), ("rules/a.cedar", Some(3)), ("rules/b.cedar", Some(1))]
    {
        assert!(lines.contains(&place), "{}", render(&found));
    }
    let types = faults(&[
        (
            "rules/a.cedar",
            "@id(\"a\")\nforbid (principal, action, resource is KWIC::Template)\nwhen { resource.m == 1 };",
        ),
        (
            "rules/b.cedar",
            "@id(\"b\") permit (principal is KWIC::User, action, resource) when { principal.active > 3 };",
        ),
    ]);
    let first = types.iter().find(|fault| fault.file == "rules/a.cedar").unwrap();
    assert_eq!(first.line, Some(3));
    assert!(first.excerpt.contains("resource.m") && first.excerpt.contains("^^^"), "{first}");
    assert!(types.iter().any(|fault| fault.file == "rules/b.cedar"), "{}", render(&types));
}

#[test]
fn faults_of_spelling_hide_no_faults_of_type() {
    let found = faults(&[
        ("rules/a.cedar", "permit (principal action, resource);"),
        ("rules/b.cedar", "@id(\"b\") forbid (principal, action, resource) when { resource.m };"),
        ("rules/c.cedar", "@id(\"tenancy\") forbid (principal, action, resource);"),
        ("entities.json", "{"),
    ]);
    let mut places: Vec<_> = found.iter().map(|fault| fault.file.as_str()).collect();
    places.dedup();
    for file in ["rules/a.cedar", "rules/b.cedar", "entities.json"] {
        assert!(places.contains(&file), "{}", render(&found));
    }
    assert_eq!(found.iter().filter(|fault| fault.message.contains("tenancy")).count(), 1);
    refused(&[("roles/viewer.cedar.cedar", VIEWER)], "file's name: `viewer.cedar`");
}

#[test]
fn a_held_role_cannot_disappear() {
    let held = [(RoleId::parse("viewer").unwrap(), 2), (RoleId::parse("old").unwrap(), 0)];
    assert!(Snapshot::load(&files(&[]), &held).is_ok());
    let found = Snapshot::load(&files(&[("roles/viewer.cedar", "")]), &held).expect_err("refused");
    let said = render(&found);
    assert!(said.contains("`viewer` is gone, and 2 members hold it"), "{said}");
}

#[test]
fn another_account_is_seen_on_stored_resources_too() {
    let entities = r#"[{"uid": {"type": "KWIC::Template", "id": "t"},
        "attrs": {"account": {"type": "KWIC::Account", "id": "acme"}}, "parents": []}]"#;
    let rule = r#"@id("tenancy") forbid (principal is KWIC::User, action, resource is KWIC::Template)
        unless { resource has account && resource.account == principal.account };"#;
    let set = snapshot(&[("entities.json", entities), ("rules/rules.cedar", rule)]);
    let edit = |who| ask(who, "edit", "template:t").says(json!({}));
    assert_eq!(edit("user:anna").reason(&set), Reason::Granted);
    assert_eq!(edit("user:gus").reason(&set), Reason::OtherAccount);
}

#[test]
fn the_matrix_shows_types_with_required_attributes() {
    let matrix = snapshot(&[]).matrix();
    let cell = |action: &str, resource: &str| {
        let row = matrix.rows.iter().find(|row| row.action == action && row.resource == resource);
        row.unwrap().cells.iter().map(|cell| cell.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(cell("edit", "template"), ["allowed", "denied"]);
    assert_eq!(cell("edit", "user"), ["allowed", "denied"]);
    assert_eq!(cell("view", "ticket"), ["allowed", "allowed"]);
}

#[test]
fn conditions_look_into_no_entity_by_name() {
    // What a question gathers is found from principal, resource and context: Cedar's levels
    // refuse a condition that starts from anywhere else.
    for condition in [
        r#"KWIC::Role::"editor" in KWIC::Role::"leads""#,
        r#"KWIC::Account::"acme" has limit"#,
        r#"(if principal.active then KWIC::Account::"acme" else principal.account) has limit"#,
        r#"{a: KWIC::Account::"acme"}.a has limit"#,
    ] {
        let rule = format!(
            r#"@id("far") forbid (principal is KWIC::User, action, resource) when {{ {condition} }};"#
        );
        refused(&[("rules/more.cedar", &rule)], "entity literals cannot be dereferenced");
    }
}

#[test]
fn attributes_of_every_kind_are_read_by_the_schema() {
    let schema = format!(
        r#"{}
          type Money = {{ amount: Long, rate?: decimal }};
          entity Color enum ["red", "blue"];
          entity Deal in [Account] {{ price: Money, parts: Set<Money>, color: Color, "odd name"?: ipaddr, stamp?: Stamp::At }};
          action price appliesTo {{ principal: User, resource: [Deal, Color] }};
        }}
        namespace Stamp {{ type At = {{ at: datetime, by?: KWIC::User }}; }}"#,
        SCHEMA.trim_end_matches('}')
    );
    let rules = r#"@id("price") permit (principal, action == KWIC::Action::"price", resource is KWIC::Deal)
        when { resource.price has rate && resource.price.rate.lessThan(decimal("1.5"))
            && resource.parts.contains(resource.price) && resource.color == KWIC::Color::"red"
            && resource has "odd name" && resource["odd name"].isLoopback()
            && resource has stamp && resource.stamp.at > datetime("2020-01-01")
            && resource.stamp has by && resource.stamp.by == principal };
        @id("paint") permit (principal, action == KWIC::Action::"price", resource is KWIC::Color);"#;
    let set = snapshot(&[("schema.cedarschema", &schema), ("rules/rules.cedar", rules)]);
    let right = json!({
        "account": "acme", "price": {"amount": 1, "rate": "1.25", "undeclared": 1}, "parts": [{"amount": 1, "rate": "1.25"}],
        "color": "red", "odd name": "127.0.0.1", "stamp": {"at": "2024-02-03", "by": {"type": "KWIC::User", "id": "anna"}},
    });
    let price = |says| ask("user:anna", "price", "deal:d").says(says);
    assert_eq!(price(right.clone()).of(&set).policies, ["price"]);
    for (path, wrong, named) in [
        ("/price/amount", json!(1.5), "price.amount"),
        ("/price/rate", json!("much"), "price.rate"),
        ("/parts/0/amount", json!("2"), "parts[0].amount"),
        ("/color", json!("green"), "color"),
        ("/odd name", json!("here"), "odd name"),
        ("/stamp/at", json!("today"), "stamp.at"),
        ("/stamp/by", json!({"type": "KWIC::Role", "id": "anna"}), "stamp.by"),
    ] {
        let mut says = right.clone();
        *says.pointer_mut(path).unwrap() = wrong;
        let found = price(says).of(&set);
        assert_eq!(found.reason, Reason::BadAttributes, "{path}");
        let words = format!("`resource.properties.{named}`");
        assert!(found.sentence.contains(&words), "{}", found.sentence);
    }
    assert_eq!(ask("user:anna", "price", "color:red").reason(&set), Reason::Granted);
    let paint = r#"@id("paint") permit (principal, action == KWIC::Action::"price", resource is KWIC::Color);"#;
    let open = [("schema.cedarschema", schema.as_str()), ("rules/rules.cedar", paint)];
    let rows = snapshot(&open).matrix().rows.clone();
    let row = rows.iter().find(|row| row.resource == "color").unwrap();
    assert_eq!(row.cells, [Cell::Allowed, Cell::Allowed]);
    let green = ask("user:anna", "price", "color:green").of(&set);
    assert_eq!(green.reason, Reason::BadAttributes);
    assert!(green.sentence.contains("`resource.id`"), "{}", green.sentence);
}

#[test]
fn a_byte_order_mark_before_any_file_is_skipped_and_faults_keep_their_lines() {
    let mark = |text: &str| format!("\u{feff}{text}");
    let rule = mark(
        r#"@id("new") forbid (principal is KWIC::User, action, resource) when { principal has nickname };"#,
    );
    let entities = mark("[]");
    let tests = mark("[]");
    let (schema, viewer) = (mark(SCHEMA), mark(VIEWER));
    let files = [
        ("schema.cedarschema", schema.as_str()),
        ("roles/viewer.cedar", &viewer),
        ("rules/more.cedar", &rule),
        ("entities.json", &entities),
        ("tests/none.json", &tests),
    ];
    let set = snapshot(&files);
    assert_eq!(ask("user:anna", "edit", "template:t").reason(&set), Reason::Granted);
    let found =
        faults(&[("rules/a.cedar", "\u{feff}// one\npermit (principal action, resource);")]);
    let fault = found.iter().find(|fault| fault.file == "rules/a.cedar").unwrap();
    assert_eq!(fault.line, Some(2), "{fault}");
    assert!(!fault.excerpt.contains('\u{feff}'));
    refused(&[("rules/more.cedar", "p\0e\0")], "is UTF-16 text");
}

/// Cedar's own JSON, RFC 3339 and JSON numbers, at any depth and wherever a caller says something.
#[test]
fn extension_values_are_taken_in_the_forms_that_tools_send() {
    let schema = format!(
        r#"{}
          entity Deal {{ at: datetime, rates: Set<decimal> }};
          action price appliesTo {{ principal: User, resource: Deal, context: {{ now?: datetime, limit?: decimal }} }};
        }}"#,
        SCHEMA.trim_end_matches('}')
    );
    let rules = r#"@id("price") permit (principal, action == KWIC::Action::"price", resource)
        when { resource.at == datetime("2026-01-31T07:00:00Z")
            && resource.rates == [decimal("1.25"), decimal("2.0")]
            && context has now && context.now == datetime("2026-01-31T07:00:00.500Z")
            && context has limit && context.limit == decimal("0.1") };"#;
    let set = snapshot(&[("schema.cedarschema", &schema), ("rules/rules.cedar", rules)]);
    let price = |at: Json, rates: Json, now: Json, limit: Json| {
        let ask = ask("user:anna", "price", "deal:d").says(json!({"at": at, "rates": rates}));
        Ask { context: json!({"now": now, "limit": limit}), ..ask }.of(&set)
    };
    let call = |function: &str, arg: Json| json!({"fn": function, "arg": arg});
    let at = json!("2026-01-31T08:00:00+01:00");
    let (rates, now, limit) = (json!(["1.25", 2]), json!("2026-01-31T07:00:00.5Z"), json!(0.1));
    for given in [
        at.clone(),
        call("datetime", at.clone()),
        json!({"__extn": call("datetime", json!("2026-01-31T07:00:00Z"))}),
    ] {
        let rates = json!([call("decimal", json!("1.25")), 2.0]);
        let found = price(given, rates, call("datetime", now.clone()), limit.clone());
        assert_eq!(found.reason, Reason::Granted, "{}", found.sentence);
    }
    for (found, path, words) in [
        (
            price(json!(1), rates.clone(), now.clone(), limit.clone()),
            "properties.at",
            "not a number",
        ),
        (
            price(call("decimal", at.clone()), rates.clone(), now.clone(), limit.clone()),
            "properties.at",
            "such as `2026-01-31T08:00:00Z`",
        ),
        (
            price(at.clone(), json!([1.000_01]), now.clone(), limit.clone()),
            "properties.rates[0]",
            "at most 4 digits",
        ),
        (
            price(at.clone(), rates.clone(), json!("2026-01-31T08:00:00.123456+01:00"), limit),
            "context.now",
            "at most 3 digits",
        ),
        (price(at, rates, now, json!(1e15)), "context.limit", "such as `\"1.25\"`"),
    ] {
        assert_eq!(found.reason, Reason::BadAttributes, "{path}");
        let sentence = &found.sentence;
        assert!(sentence.contains(path) && sentence.contains(words), "{sentence}");
    }
}

/// A caller moves nobody by asking about what they are in.
#[test]
fn no_caller_puts_what_others_are_in_into_an_account() {
    let set = snapshot(&[
        (
            "schema.cedarschema",
            r#"entity Account; entity Role in [Role, Account]; entity Team in [Account];
            entity Service in [Team];
            entity User in [Role, Account] { account: Account, role: String, active: Bool };
            action look appliesTo { principal: [User, Service], resource: [Team, Role] };"#,
        ),
        ("roles/editor.cedar", ""),
        (
            "roles/viewer.cedar",
            r#"@id("viewer") @role("viewer") @title("V") @summary("V.") @best_for("V.")
            permit (principal in Role::"viewer", action, resource);"#,
        ),
        (
            "rules/rules.cedar",
            r#"@id("services") permit (principal is Service, action, resource);
            @id("kept-out") forbid (principal in Account::"globex", action, resource);"#,
        ),
        (
            "entities.json",
            r#"[{"uid": {"type": "Service", "id": "bot"}, "attrs": {},
                "parents": [{"type": "Team", "id": "core"}]}]"#,
        ),
    ]);
    for (subject, resource) in
        [("service:bot", "team:core"), ("user:vera", "role:viewer"), ("user:vera", "role:other")]
    {
        let ask = ask(subject, "look", resource);
        let said = ask.clone().says(json!({"account": "globex"})).of(&set);
        assert_eq!(said.reason, Reason::BadAttributes, "{resource}");
        assert!(said.sentence.contains("the parent of others"), "{}", said.sentence);
        let alone = Ask { single_account: Some("globex"), ..ask.clone().says(json!({})) };
        assert_eq!(alone.reason(&set), Reason::BadAttributes, "{resource}");
        assert_eq!(ask.says(json!({})).reason(&set), Reason::Granted, "{resource}");
    }
    let other = ask("service:bot", "look", "team:other").says(json!({"account": "globex"}));
    assert_eq!(other.reason(&set), Reason::Granted, "nobody is in it");
}

/// A member who asks about themselves is one entity: its attributes as the resource count as well.
#[test]
fn what_is_said_of_the_subject_as_the_resource_counts() {
    let set = with_rule(
        r#"@id("named") forbid (principal, action, resource is KWIC::User)
           when { resource has nickname && resource.nickname == "x" };"#,
    );
    let own = |subject: Json, resource: Json| {
        let ask = ask("user:anna", "edit", "user:anna").says(resource);
        Ask { subject_says: subject, ..ask }.of(&set)
    };
    let (none, x, y) = (json!({}), json!({"nickname": "x"}), json!({"nickname": "y"}));
    assert_eq!(own(none.clone(), none.clone()).reason, Reason::Granted);
    assert_eq!(own(none.clone(), x.clone()).reason, Reason::Forbidden);
    assert_eq!(own(x.clone(), none.clone()).reason, Reason::Forbidden);
    assert_eq!(own(x.clone(), x.clone()).reason, Reason::Forbidden);
    for (subject, resource) in [(x.clone(), y), (json!({"nickname": "z"}), x)] {
        let said = own(subject, resource);
        assert_eq!(said.reason, Reason::BadAttributes);
        assert!(said.sentence.contains("resource.properties.nickname"), "{}", said.sentence);
    }
    let mistyped = own(none, json!({"nickname": 5}));
    assert_eq!(mistyped.reason, Reason::BadAttributes);
    assert!(mistyped.sentence.contains("resource.properties.nickname"), "{}", mistyped.sentence);
}
