//! Who gains and who loses by example: what is claimed, and what only may be.

use super::super::Changes;
use super::*;

fn changes(before: &[(&str, &str)], after: &[(&str, &str)]) -> Changes {
    snapshot(after).changes_since(&snapshot(before))
}

#[test]
fn who_gains_and_who_loses() {
    let more = VIEWER.replace(
        "== KWIC::Action::\"view\"",
        "in [KWIC::Action::\"view\", KWIC::Action::\"edit\"]",
    );
    let wider = [("roles/viewer.cedar", more.as_str())];
    let gained = changes(&[], &wider);
    assert_eq!(gained.gains, ["viewer gains edit on account, template, user"]);
    assert_eq!(gained.count(), 1, "{gained:?}");
    let lost = changes(&wider, &[]);
    assert_eq!(lost.loses, ["viewer loses edit on account, template, user"]);
    let same = changes(&[], &[("rules/rules.cedar", &format!("// a word\n{RULES}"))]);
    assert_eq!(same.lines(), ["nobody gains", "nobody loses"]);
}

#[test]
fn removing_tenancy_is_a_gain_in_another_account() {
    let (_, suspension) = RULES.split_once("@id(\"suspension\")").unwrap();
    let open = format!("@id(\"suspension\"){suspension}");
    let found = changes(&[], &[("rules/rules.cedar", &open)]);
    let line = "viewer gains view on account, bot_flow, template, ticket in ANOTHER account";
    assert!(found.gains.iter().any(|gain| gain == line), "{found:#?}");
    assert!(!found.gains.iter().any(|gain| gain.contains("SUSPENDED")), "{found:#?}");
}

#[test]
fn a_policy_that_attributes_decide_is_told() {
    for rule in [
        r#"@id("odd") permit (principal is KWIC::User, action, resource is KWIC::Template) when { resource has n && resource.n > 3 };"#,
        r#"@id("odd") permit (principal is KWIC::User, action, resource is KWIC::User) when { resource in KWIC::Role::"viewer" };"#,
        r#"@id("odd") permit (principal, action == KWIC::Action::"edit", resource == KWIC::Template::"t");"#,
        r#"@id("odd") permit (principal is KWIC::User, action, resource) when { principal.account == KWIC::Account::"acme" };"#,
    ] {
        let found = changes(&[], &[("rules/more.cedar", rule)]);
        assert_eq!(found.may_gain.len(), 1, "{rule}\n{found:?}");
        assert!(found.may_gain[0].starts_with("may gain: depends on policy `odd`, which is new"));
        assert_eq!(found.lines()[1..], ["nobody loses"], "{rule}");
    }
}

#[test]
fn an_account_by_name_is_no_situation_of_the_matrix() {
    let schema = SCHEMA.replace("account: Account, active", "account: String, active");
    let tenancy = r#"@id("t") forbid (principal is KWIC::User, action, resource) unless { principal.active };"#;
    let rule = r#"@id("odd") permit (principal is KWIC::User, action, resource) when { principal.account == "acme" };"#;
    let before = [("schema.cedarschema", schema.as_str()), ("rules/rules.cedar", tenancy)];
    let after = [before[0], before[1], ("rules/more.cedar", rule)];
    let found = changes(&before, &after);
    assert_eq!(
        found.may_gain,
        ["may gain: depends on policy `odd`, which is new: its condition decides"]
    );
    let named = r#"@id("odd") permit (principal is KWIC::User, action, resource) when { principal.role == "viewer" };"#;
    let found = changes(&[], &[("rules/more.cedar", named)]);
    assert!(found.may_gain.is_empty() && !found.gains.is_empty(), "{found:?}");
}

#[test]
fn a_policy_for_stored_subjects_is_told() {
    let bot = r#"[{"uid": {"type": "KWIC::Service", "id": "bot"}, "attrs": {}, "parents": []}]"#;
    let sweep = r#"@id("sweep") permit (principal is KWIC::Service, action == KWIC::Action::"sweep", resource);"#;
    let before = [("entities.json", bot)];
    let after = [("entities.json", bot), ("rules/more.cedar", sweep)];
    let found = changes(&before, &after);
    let line = "may gain: depends on policy `sweep`, which is new: it decides about entities of `entities.json` too";
    assert_eq!(found.lines(), [line, "nobody loses"]);
    assert_eq!(
        ask("service:bot", "sweep", "account:acme").reason(&snapshot(&after)),
        Reason::Granted
    );
}

/// What is certain is none of these: new, gone and changed, each says which way it may go.
#[test]
fn a_policy_that_depends_claims_nothing_of_a_role() {
    for (scope, condition, other) in [
        (r#"principal == KWIC::User::"bob", action, resource"#, "", "when { principal.active }"),
        (r#"principal in KWIC::Account::"acme", action, resource"#, "", "when { true }"),
        (r#"principal, action, resource == KWIC::Template::"t""#, "", "unless { false }"),
        (r#"principal, action, resource in KWIC::Account::"acme""#, "", "when { true }"),
        ("principal is KWIC::User, action, resource", "when { principal has joined }", ""),
        ("principal is KWIC::User, action, resource", "unless { principal has joined }", ""),
        (
            "principal is KWIC::User, action, resource",
            r#"unless { principal.account == KWIC::Account::"acme" }"#,
            r#"unless { principal.account == KWIC::Account::"globex" }"#,
        ),
        (
            r#"principal in KWIC::Role::"viewer", action, resource is KWIC::Template"#,
            "when { resource has n && resource.n > 3 }",
            "when { resource has n && resource.n > 4 }",
        ),
    ] {
        let rule =
            |effect: &str, condition: &str| format!("@id(\"odd\") {effect} ({scope}) {condition};");
        for effect in ["permit", "forbid"] {
            let (one, two) = (rule(effect, condition), rule(effect, other));
            let (one, two) = ([("rules/more.cedar", &*one)], [("rules/more.cedar", &*two)]);
            let (new, gone) = (changes(&[], &one), changes(&one, &[]));
            let says = "depends on policy `odd`, which";
            let (up, down) = match effect {
                "permit" => (&new, &gone),
                _ => (&gone, &new),
            };
            assert_eq!((up.may_gain.len(), up.count()), (1, 1), "{one:?} {up:#?}");
            assert_eq!((down.may_lose.len(), down.count()), (1, 1), "{one:?} {down:#?}");
            assert!(up.may_gain[0].starts_with(&format!("may gain: {says} is ")), "{up:#?}");
            assert!(down.may_lose[0].starts_with(&format!("may lose: {says} is ")), "{down:#?}");
            assert_eq!(up.lines()[1..], ["nobody loses"]);
            assert_eq!(down.lines()[1..], ["nobody gains"]);
            let changed = changes(&one, &two);
            // Without its condition the last one is certain, and shown by the cells too.
            assert!(changed.may_gain[0].contains("`odd`, which changed"), "{changed:#?}");
            assert!(changed.may_lose[0].contains("`odd`, which changed"), "{changed:#?}");
            let noted = one[0].1.replace("@id", "@note(\"a word\") @id");
            let noted = changes(&one, &[("rules/more.cedar", &noted)]);
            assert_eq!(noted.lines(), ["nobody gains", "nobody loses"]);
        }
    }
}

#[test]
fn one_forbidden_user_is_one_line_and_every_cell_depends_on_it() {
    let rule = r#"@id("bob") forbid (principal == KWIC::User::"bob", action, resource);"#;
    let after = [("rules/more.cedar", rule)];
    let why = r#"it concerns only `KWIC::User::"bob"`"#;
    let line = format!("may lose: depends on policy `bob`, which is new: {why}");
    assert_eq!(changes(&[], &after).lines(), [line.as_str(), "nobody gains"]);
    let line = format!("may gain: depends on policy `bob`, which is gone: {why}");
    assert_eq!(changes(&after, &[]).lines(), [line.as_str(), "nobody loses"]);
    let carl = rule.replace("\"bob\", action", "\"carl\", action");
    let line = format!(
        r#"depends on policy `bob`, which changed: it concerns only `KWIC::User::"carl"`; before, {why}"#
    );
    assert_eq!(
        changes(&after, &[("rules/more.cedar", &carl)]).lines(),
        ["gain", "lose"].map(|verb| format!("may {verb}: {line}"))
    );
    for row in &snapshot(&after).matrix().rows {
        for (cell, on) in row.cells.iter().zip(&row.depends_on) {
            let depends = *cell == Cell::Depends;
            assert_eq!(on.to_vec(), if depends { vec!["bob"] } else { Vec::new() }, "{row:?}");
            assert_ne!(*cell, Cell::Allowed, "{row:?}");
        }
    }
}

/// A role that gains what another policy may take away gains it in some cases only.
#[test]
fn what_a_role_gains_beside_a_policy_that_depends_is_no_claim() {
    let bob = (
        "rules/bob.cedar",
        r#"@id("bob") forbid (principal == KWIC::User::"bob", action, resource);"#,
    );
    let any = (
        "rules/any.cedar",
        r#"@id("any") permit (principal is KWIC::User, action, resource is KWIC::Template) when { resource has n };"#,
    );
    let edit = (
        "rules/edit.cedar",
        r#"@id("edit") permit (principal in KWIC::Role::"viewer", action == KWIC::Action::"edit", resource is KWIC::Template);"#,
    );
    let found = changes(&[bob], &[bob, edit]);
    assert_eq!(
        found.lines(),
        ["viewer may gain edit on template: depends on policy `bob`", "nobody loses"]
    );
    let found = changes(&[bob, edit], &[bob]);
    assert_eq!(
        found.lines(),
        ["viewer may lose edit on template: depends on policy `bob`", "nobody gains"]
    );
    // It depends before and after, and yet on less.
    let found = changes(&[any, bob, edit], &[any, bob]);
    assert_eq!(
        found.lines(),
        ["viewer may lose edit on template: depends on policies `any`, `bob`", "nobody gains"]
    );
    let found = changes(&[any], &[any, edit]);
    assert_eq!(
        found.lines(),
        ["viewer may gain edit on template: depends on policy `any`", "nobody loses"]
    );
}

#[test]
fn changed_data_may_be_a_gain_or_a_loss() {
    let schema = SCHEMA.replace("nickname?: String", "nickname?: String, badge?: Long");
    for (name, file) in [
        ("schema.cedarschema", schema.as_str()),
        (
            "entities.json",
            r#"[{"uid": {"type": "KWIC::Service", "id": "bot"}, "attrs": {}, "parents": []}]"#,
        ),
    ] {
        let found = changes(&[], &[(name, file)]);
        let [gain, lose] =
            ["gain", "lose"].map(|verb| format!("may {verb}: depends on `{name}`, which changed"));
        assert_eq!(found.lines(), [gain, lose]);
    }
}

/// Where stored entities can be in two accounts at once, no made-up one shows what a rule about
/// accounts does.
#[test]
fn what_stored_entities_could_gain_is_told() {
    let split = r#"@id("split") permit (principal is KWIC::User, action == KWIC::Action::"view", resource is KWIC::Template)
        when { resource has account && resource.account == principal.account && !(resource in principal.account) };"#;
    let template = r#"[{"uid": {"type": "KWIC::Template", "id": "t"}, "attrs": {}, "parents": [{"type": "KWIC::Account", "id": "globex"}]}]"#;
    let nested = r#"[{"uid": {"type": "KWIC::Account", "id": "acme"}, "attrs": {}, "parents": [{"type": "KWIC::Account", "id": "globex"}]}]"#;
    let group = r#"[{"uid": {"type": "KWIC::Account", "id": "acme"}, "attrs": {}, "parents": [{"type": "KWIC::Group", "id": "eu"}]}]"#;
    let schema = SCHEMA.replace("Account in [Group]", "Account in [Group, Account]");
    for (entities, told) in [(template, 1), (nested, 1), (group, 0)] {
        let before = [("schema.cedarschema", &*schema), ("entities.json", entities)];
        let found = changes(&before, &[before[0], before[1], ("rules/split.cedar", split)]);
        assert_eq!(found.may_gain.len(), told, "{entities} {found:#?}");
        assert_eq!(found.lines().contains(&"nobody gains".to_owned()), told == 0, "{found:#?}");
    }
}
