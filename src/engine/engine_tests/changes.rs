//! Access changes by example: certain and possible ones.

use super::super::AccessChanges;
use super::super::change_report::ReportDraft;
use super::super::role_matrix_diff::compare_all;
use super::*;

fn changes(before: &[(&str, &str)], after: &[(&str, &str)]) -> AccessChanges {
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
    assert_eq!(same.lines(), ["nobody gains access", "nobody loses access"]);
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
        assert!(found.may_gain[0].starts_with("somebody may gain access: policy `odd` is new"));
        assert_eq!(found.lines()[1..], ["nobody loses access"], "{rule}");
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
        [
            "somebody may gain access: policy `odd` is new, and its condition decides when it applies"
        ]
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
    let line = "somebody may gain access: policy `sweep` is new, and it decides about entities of `entities.json` too";
    assert_eq!(found.lines(), [line, "nobody loses access"]);
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
            let says = "access: policy `odd`";
            let (up, down) = match effect {
                "permit" => (&new, &gone),
                _ => (&gone, &new),
            };
            assert_eq!((up.may_gain.len(), up.count()), (1, 1), "{one:?} {up:#?}");
            assert_eq!((down.may_lose.len(), down.count()), (1, 1), "{one:?} {down:#?}");
            assert!(up.may_gain[0].starts_with(&format!("somebody may gain {says} ")), "{up:#?}");
            assert!(
                down.may_lose[0].starts_with(&format!("somebody may lose {says} ")),
                "{down:#?}"
            );
            assert_eq!(up.lines()[1..], ["nobody loses access"]);
            assert_eq!(down.lines()[1..], ["nobody gains access"]);
            let changed = changes(&one, &two);
            // Without its condition the last one is certain, and shown by the cells too.
            assert!(changed.may_gain[0].contains("`odd` has changed"), "{changed:#?}");
            assert!(changed.may_lose[0].contains("`odd` has changed"), "{changed:#?}");
            let noted = one[0].1.replace("@id", "@note(\"a word\") @id");
            let noted = changes(&one, &[("rules/more.cedar", &noted)]);
            assert_eq!(noted.lines(), ["nobody gains access", "nobody loses access"]);
        }
    }
}

#[test]
fn one_forbidden_user_is_one_line_and_every_cell_depends_on_it() {
    let rule = r#"@id("bob") forbid (principal == KWIC::User::"bob", action, resource);"#;
    let after = [("rules/more.cedar", rule)];
    let why = r#"it concerns only `KWIC::User::"bob"`"#;
    let line = format!("somebody may lose access: policy `bob` is new, and {why}");
    assert_eq!(changes(&[], &after).lines(), [line.as_str(), "nobody gains access"]);
    let line = format!("somebody may gain access: policy `bob` was removed, and {why}");
    assert_eq!(changes(&after, &[]).lines(), [line.as_str(), "nobody loses access"]);
    let carl = rule.replace("\"bob\", action", "\"carl\", action");
    let line = format!(
        r#"policy `bob` has changed, and it concerns only `KWIC::User::"carl"` (before the change: {why})"#
    );
    assert_eq!(
        changes(&after, &[("rules/more.cedar", &carl)]).lines(),
        ["gain", "lose"].map(|verb| format!("somebody may {verb} access: {line}"))
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
        ["viewer may gain edit on template: depends on policy `bob`", "nobody loses access"]
    );
    let found = changes(&[bob, edit], &[bob]);
    assert_eq!(
        found.lines(),
        ["viewer may lose edit on template: depends on policy `bob`", "nobody gains access"]
    );
    // It depends before and after, and yet on less.
    let found = changes(&[any, bob, edit], &[any, bob]);
    assert_eq!(
        found.lines(),
        [
            "viewer may lose edit on template: depends on policies `any`, `bob`",
            "nobody gains access"
        ]
    );
    let found = changes(&[any], &[any, edit]);
    assert_eq!(
        found.lines(),
        ["viewer may gain edit on template: depends on policy `any`", "nobody loses access"]
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
        let [gain, lose] = ["gain", "lose"]
            .map(|verb| format!("somebody may {verb} access: `{name}` has changed"));
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
        assert_eq!(
            found.lines().contains(&"nobody gains access".to_owned()),
            told == 0,
            "{found:#?}"
        );
    }
}

/// So many more roles, each with one policy and its effect.
fn roles(many: usize, action: &str, resource: &str) -> Vec<(String, String)> {
    let role = |n: usize| {
        let text = format!(
            "@id(\"r{n}\") @role(\"r{n}\") @title(\"R\") @summary(\"S.\") @best_for(\"B.\")\npermit (principal in KWIC::Role::\"r{n}\", action == KWIC::Action::\"{action}\", resource is KWIC::{resource});"
        );
        (format!("roles/r{n}.cedar"), text)
    };
    (0..many).map(role).collect()
}

fn borrowed(files: &[(String, String)]) -> Vec<(&str, &str)> {
    files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect()
}

const TOO_MUCH: &str = "too much changed to compare: somebody may gain or lose access";

#[test]
fn a_comparison_that_comes_to_its_bound_says_so_and_claims_nothing() {
    let wider = EDITOR.replace("resource);", "resource) when { principal has account };");
    let (before, after) = (snapshot(&[]), snapshot(&[("roles/editor.cedar", &wider)]));
    assert_eq!(
        after.changes_since(&before).lines(),
        ["nobody gains access", "nobody loses access"]
    );
    for work in [0, 20, 400] {
        let found = after.changes_within(&before, work);
        assert_eq!(found.lines(), [TOO_MUCH], "{work}");
        assert_eq!(
            (&found.may_gain, &found.may_lose),
            (&vec![TOO_MUCH.to_owned()], &vec![TOO_MUCH.to_owned()])
        );
    }
    // What was found until then is reported all the same.
    let (_, suspension) = RULES.split_once("@id(\"suspension\")").unwrap();
    let open = format!("@id(\"suspension\"){suspension}");
    let found = snapshot(&[("rules/rules.cedar", &open)]).changes_within(&before, 1_000);
    assert!(found.gains[0].contains("in ANOTHER account"), "{found:?}");
    assert!(found.lines().contains(&TOO_MUCH.to_owned()), "{found:?}");
    let unknown = AccessChanges::unknown("no thread").lines();
    assert_eq!(unknown, ["no thread: somebody may gain or lose access"]);
}

#[test]
fn only_what_a_change_concerns_is_compared() {
    let many = roles(40, "view", "Template");
    let before = snapshot(&borrowed(&many));
    // Nothing changed but words.
    let noted = format!("// A word.\n{RULES}");
    let same = [borrowed(&many), vec![("rules/rules.cedar", noted.as_str())]].concat();
    assert_eq!(
        snapshot(&same).changes_within(&before, 0).lines(),
        ["nobody gains access", "nobody loses access"]
    );
    // One role of many: its questions.
    let mut one = many.clone();
    one[7].1 = one[7].1.replace("\"view\"", "\"edit\"");
    let found = snapshot(&borrowed(&one)).changes_within(&before, 1_000);
    assert_eq!(found.lines(), ["r7 gains edit on template", "r7 loses view on template"]);
    // Many new roles: what they are permitted, and nothing else.
    let found = before.changes_within(&snapshot(&[]), 10_000);
    assert_eq!((found.gains.len(), found.count()), (40, 40), "{found:?}");
    // No policy permits it to anybody, so that a `forbid` changes nothing.
    let edit = EDITOR
        .replace("[KWIC::Action::\"view\", KWIC::Action::\"edit\"]", "[KWIC::Action::\"view\"]");
    let closed = [("roles/editor.cedar", edit.as_str())];
    let forbid =
        r#"@id("no") forbid (principal is KWIC::User, action == KWIC::Action::"edit", resource);"#;
    let found =
        snapshot(&[closed[0], ("rules/no.cedar", forbid)]).changes_within(&snapshot(&closed), 30);
    assert_eq!(found.lines(), ["nobody gains access", "nobody loses access"]);
}

#[test]
fn what_is_left_out_of_a_comparison_would_not_show() {
    let stored = r#"[
        {"uid": {"type": "KWIC::Role", "id": "viewer"}, "attrs": {}, "parents": [{"type": "KWIC::Role", "id": "staff"}]},
        {"uid": {"type": "KWIC::Role", "id": "staff"}, "attrs": {}, "parents": []}]"#;
    let staff = r#"@id("staff") permit (principal in KWIC::Role::"staff", action == KWIC::Action::"edit", resource is KWIC::Template);"#;
    let odd = r#"@id("odd") permit (principal is KWIC::User, action, resource is KWIC::Template) when { resource has n };"#;
    let no = r#"@id("no") forbid (principal in KWIC::Role::"viewer", action == KWIC::Action::"view", resource is KWIC::Account);"#;
    let schema =
        SCHEMA.replace("resource: [Template, User, Account]", "resource: [Template, User]");
    let more = roles(3, "edit", "Template");
    let (more, stored) = (borrowed(&more), ("entities.json", stored));
    let sets: Vec<Snapshot> = [
        vec![],
        vec![("rules/more.cedar", odd)],
        vec![("rules/more.cedar", no)],
        vec![stored],
        vec![stored, ("rules/more.cedar", staff)],
        vec![stored, ("rules/more.cedar", no), more[0]],
        vec![("schema.cedarschema", schema.as_str())],
        vec![("roles/editor.cedar", "")],
        more.clone(),
        vec![("rules/rules.cedar", ""), more[1]],
    ]
    .iter()
    .map(|files| snapshot(files))
    .collect();
    for (now, after) in sets.iter().enumerate() {
        for (then, before) in sets.iter().enumerate() {
            let mut draft = ReportDraft::default();
            compare_all(after, before, &mut draft);
            let (all, found) = (draft.told(), after.changes_since(before));
            let of_roles = |lines: &[String]| -> Vec<String> {
                lines.iter().filter(|line| !line.starts_with("somebody may ")).cloned().collect()
            };
            assert_eq!((&found.gains, &found.loses), (&all.gains, &all.loses), "{then} {now}");
            assert_eq!(of_roles(&found.may_gain), all.may_gain, "{then} {now}");
            assert_eq!(of_roles(&found.may_lose), all.may_lose, "{then} {now}");
        }
    }
}

#[test]
fn no_more_lines_are_kept_than_somebody_reads() {
    let rule = |n: usize| {
        format!(
            "@id(\"u{n}\") permit (principal == KWIC::User::\"u{n}\", action == KWIC::Action::\"edit\", resource is KWIC::Template);\n"
        )
    };
    let many: String = (0..520).map(rule).collect();
    let found = changes(&[], &[("rules/more.cedar", &many)]);
    assert_eq!((found.may_gain.len(), found.count()), (501, 501));
    assert_eq!(found.may_gain[500], "20 more lines");
    assert_eq!(found.lines().len(), 502, "and that nobody loses access");
    let twice = found.clone().followed_by(found);
    assert_eq!((twice.may_gain.len(), &*twice.may_gain[500]), (501, "502 more lines"));
    // Few lines can be long ones.
    let long = "x".repeat(100_000);
    let found =
        changes(&[], &[("rules/more.cedar", &rule(1).replace("\"u1\"", &format!("\"{long}\"")))]);
    assert_eq!(found.lines(), ["1 more line", "nobody loses access"]);
}
