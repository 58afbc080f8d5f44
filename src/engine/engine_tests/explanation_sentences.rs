//! The sentences of explanations, word for word: each cause alone, and combinations.

use serde_json::json;

use super::{Ask, SCHEMA, ask, snapshot, with_rule};
use crate::domain::Reason::{self, *};
use crate::engine::Snapshot;

#[track_caller]
fn says(set: &Snapshot, question: &Ask, reason: Reason, sentence: &str) {
    let found = question.of(set);
    assert_eq!((found.reason, found.sentence.as_str()), (reason, sentence));
}

fn edit(subject: &'static str, properties: serde_json::Value) -> Ask {
    ask(subject, "edit", "template:t").says(properties)
}

#[test]
fn status_account_and_role() {
    let set = snapshot(&[]);
    let acme = || json!({"account": "acme"});
    let globex = || json!({"account": "globex"});
    for (question, reason, sentence) in [
        (edit("user:sam", acme()), Suspended, "this member is suspended: restore the member first"),
        (
            edit("user:gus", acme()),
            OtherAccount,
            "this `template` is in account `acme`, not the member's",
        ),
        (
            edit("user:anna", json!({})),
            OtherAccount,
            "the request names no account: send `resource.properties.account`",
        ),
        (
            ask("user:gus", "edit", "account:acme"),
            OtherAccount,
            "the account `acme` is not the member's",
        ),
        (
            ask("user:gus", "edit", "user:vera"),
            OtherAccount,
            "this `user` is a member of another account",
        ),
        (
            edit("user:vera", acme()),
            RoleLacksAction,
            "the role `viewer` may not `edit` this `template`; these roles may: `editor`",
        ),
        (
            edit("user:sam", globex()),
            Suspended,
            "this member is suspended; this `template` is in account `globex`, not the member's",
        ),
        (
            edit("user:vera", json!({})),
            OtherAccount,
            "the request names no account: send `resource.properties.account`; the role `viewer` may not `edit` this `template`; if nothing else stood in the way, these roles may: `editor`",
        ),
        (
            edit("user:tom", globex()),
            Suspended,
            "this member is suspended; this `template` is in account `globex`, not the member's; the role `viewer` may not `edit` this `template`; if nothing else stood in the way, these roles may: `editor`",
        ),
        (edit("user:anna", acme()), Granted, "`edit` on this `template` is allowed"),
    ] {
        says(&set, &question, reason, sentence);
    }
    // Alone, no role would be enough.
    assert!(edit("user:tom", globex()).of(&set).roles.is_empty());
    let single = Ask { single_account: Some("acme"), ..edit("user:gus", json!({})) };
    let sentence =
        "this `template` is in account `acme` (`decision.single_account`), not the member's";
    says(&set, &single, OtherAccount, sentence);
}

#[test]
fn what_the_schema_and_the_team_do_not_have() {
    let set = snapshot(&[]);
    for (question, reason, sentence) in [
        (
            ask("person:anna", "edit", "template:t"),
            UnknownSubject,
            "the schema has no type `person`",
        ),
        (
            ask("usr:anna", "edit", "template:t"),
            UnknownSubject,
            "the schema has no type `usr`: did you mean `user`?",
        ),
        (
            ask("service:ghost", "view", "template:t"),
            UnknownSubject,
            "`entities.json` has no `service` `ghost`",
        ),
        (
            ask("user:nobody", "edit", "template:t").says(json!({"n": "x"})),
            UnknownSubject,
            "there is no `user` `nobody`",
        ),
        (
            ask("user:nobody", "edti", "painting:t"),
            UnknownSubject,
            "there is no `user` `nobody`; the schema has no action `edti`: did you mean `edit`?; the schema has no type `painting`",
        ),
        (
            ask("user:anna", "veiw", "template:t"),
            UnknownAction,
            "the schema has no action `veiw`: did you mean `view`?",
        ),
        (
            ask("user:anna", "edit", "tempalte:t"),
            UnknownResourceType,
            "the schema has no type `tempalte`: did you mean `template`?",
        ),
        (
            ask("user:anna", "edit", "bot_flow:b"),
            ActionNotApplicable,
            "the action `edit` does not apply to a `bot_flow`, only to an `account`, a `template` or a `user`",
        ),
        (
            ask("user:anna", "sweep", "account:acme"),
            ActionNotApplicable,
            "the action `sweep` is not for a `user`, only for a `service`",
        ),
        (
            ask("user:anna", "edit", "user:ghost"),
            UnknownResource,
            "there is no `user` `ghost`; `resource.properties.active` is required by the schema and missing; `resource.properties.role` is required by the schema and missing",
        ),
        (
            edit("user:anna", json!({"n": 0.5})),
            BadAttributes,
            "`resource.properties.n` must be a whole number, not 0.5",
        ),
    ] {
        says(&set, &question, reason, sentence);
    }
    let schema = SCHEMA.replace("n?: Long", "n?: Long, from?: ipaddr");
    let set = snapshot(&[("schema.cedarschema", &schema)]);
    let sentence =
        "`resource.properties.from` must be an IP address, such as `192.0.2.1`, not `here`";
    says(&set, &edit("user:anna", json!({"from": "here"})), BadAttributes, sentence);
}

#[test]
fn policies_that_forbid() {
    let locked = r#"@id("locked") forbid (principal, action == KWIC::Action::"edit", resource is KWIC::Template)
        when { resource has n && resource.n > 3 };"#;
    let set = with_rule(locked);
    let at = |n: i64| json!({"account": "acme", "n": n});
    for (subject, reason, sentence) in [
        ("user:anna", Forbidden, "forbidden by policy `locked`"),
        ("user:sam", Suspended, "this member is suspended; forbidden by policy `locked`"),
        (
            "user:gus",
            OtherAccount,
            "this `template` is in account `acme`, not the member's; forbidden by policy `locked`",
        ),
        (
            "user:vera",
            RoleLacksAction,
            "the role `viewer` may not `edit` this `template`; if nothing else stood in the way, these roles may: `editor`; forbidden by policy `locked`",
        ),
    ] {
        says(&set, &edit(subject, at(5)), reason, sentence);
    }
    assert_eq!(edit("user:sam", at(5)).of(&set).policies, ["locked", "suspension"]);
    let frozen = locked.replace("locked", "frozen");
    let set = with_rule(&format!("{locked}\n{frozen}"));
    says(&set, &edit("user:anna", at(5)), Forbidden, "forbidden by policies `frozen`, `locked`");

    let leads = r#"@id("leads") forbid (principal is KWIC::User, action, resource)
        unless { principal in KWIC::Role::"editor" };"#;
    let set = with_rule(leads);
    let view = ask("user:vera", "view", "template:t");
    says(&set, &view, Forbidden, "forbidden by policy `leads`; these roles may: `editor`");
    assert_eq!(view.of(&set).roles.len(), 1);
    let sentence = "the role `viewer` may not `edit` this `template`; forbidden by policy `leads`; these roles may: `editor`";
    says(&set, &edit("user:vera", at(1)), RoleLacksAction, sentence);
}

#[test]
fn policies_that_cannot_be_evaluated_and_conditions_that_do_not_hold() {
    let rules = r#"@id("owner-active") forbid (principal, action == KWIC::Action::"edit", resource is KWIC::Template)
            when { resource has owner && !resource.owner.active };
        @id("few") permit (principal is KWIC::Service, action == KWIC::Action::"view", resource is KWIC::Template)
            when { resource has n && resource.n + 1 < 3 };"#;
    let bot = r#"[{"uid": {"type": "KWIC::Service", "id": "bot"}, "attrs": {}, "parents": []}]"#;
    let set = snapshot(&[("rules/more.cedar", rules), ("entities.json", bot)]);
    let owned = json!({"account": "acme", "owner": "ghost"});
    let sentence =
        "policy `owner-active` could not be evaluated: `KWIC::User::\"ghost\"` is unknown";
    says(&set, &edit("user:anna", owned), ForbidErred, sentence);
    let view = |n: i64| ask("service:bot", "view", "template:t").says(json!({"n": n}));
    says(&set, &view(1), Granted, "`view` on this `template` is allowed");
    let unmet =
        "no policy allows `view` on this `template`: the conditions of policy `few` do not hold";
    says(&set, &view(9), ConditionUnmet, unmet);
    let overflow = view(i64::MAX).of(&set);
    assert_eq!(overflow.reason, ConditionUnmet);
    assert!(overflow.sentence.contains("policy `few` could not be evaluated: integer overflow"));
    let nothing = "no policy allows `view` on this `bot_flow` for `service` `bot`";
    says(&set, &ask("service:bot", "view", "bot_flow:b"), NoPermit, nothing);
}

/// The template `t` of `entities.json`, in these accounts; `globex` is in the group `bad`.
fn stored(attrs: &serde_json::Value, accounts: &[&str], rule: &str) -> Snapshot {
    let entity = |kind: &str, id: &str| json!({"type": format!("KWIC::{kind}"), "id": id});
    let parents: Vec<_> = accounts.iter().map(|slug| entity("Account", slug)).collect();
    let entities = json!([
        {"uid": entity("Template", "t"), "attrs": attrs, "parents": parents},
        {"uid": entity("Account", "globex"), "attrs": {}, "parents": [entity("Group", "bad")]},
    ]);
    snapshot(&[("entities.json", &entities.to_string()), ("rules/more.cedar", rule)])
}

#[test]
fn what_is_in_accounts_of_its_own() {
    let bad = r#"@id("bad") forbid (principal, action, resource in KWIC::Group::"bad");"#;
    let own = r#"@id("own") forbid (principal is KWIC::User, action, resource is KWIC::Template)
        unless { resource has account && resource.account == principal.account };"#;
    let globex = || json!({"account": {"type": "KWIC::Account", "id": "globex"}});
    for (attrs, accounts, rule, says_of, reason, sentence) in [
        (
            json!({}),
            &["acme", "globex"][..],
            bad,
            json!({}),
            Forbidden,
            "forbidden by policy `bad`",
        ),
        (
            json!({}),
            &["initech", "globex"],
            bad,
            json!({"account": "acme"}),
            OtherAccount,
            "`entities.json` puts this `template` into accounts `globex`, `initech`, none of them the member's",
        ),
        (
            json!({}),
            &["globex"],
            bad,
            json!({}),
            OtherAccount,
            "`entities.json` puts this `template` into account `globex`, not the member's",
        ),
        (
            json!({}),
            &[],
            bad,
            json!({}),
            OtherAccount,
            "`entities.json` puts this `template` into no account",
        ),
        (
            globex(),
            &["acme"],
            own,
            json!({}),
            OtherAccount,
            "the `account` of this `template` in `entities.json` is `globex`, not the member's",
        ),
        (
            json!({}),
            &["acme"],
            own,
            globex(),
            OtherAccount,
            "`resource.properties.account` is `globex`, not the member's",
        ),
        (
            json!({}),
            &["acme"],
            own,
            json!({}),
            OtherAccount,
            "neither `entities.json` nor the request gives the `account` of this `template`: send `resource.properties.account`",
        ),
    ] {
        let set = stored(&attrs, accounts, rule);
        let question = edit("user:anna", says_of);
        says(&set, &question, reason, sentence);
        let single = Ask { single_account: Some("acme"), ..question };
        match accounts {
            [] => assert_eq!(single.reason(&set), Granted),
            _ => says(&set, &single, reason, sentence),
        }
    }
}

#[test]
fn what_is_stored_in_no_account_is_in_the_single_one() {
    let sentence =
        "this `template` is in account `acme` (`decision.single_account`), not the member's";
    let own = r#"@id("own") forbid (principal is KWIC::User, action, resource is KWIC::Template)
        unless { resource has account && resource.account == principal.account };"#;
    let set = stored(&json!({}), &[], own);
    let single = |subject, says| Ask { single_account: Some("acme"), ..edit(subject, says) };
    for says in [json!({}), json!({"account": "acme"})] {
        assert_eq!(single("user:anna", says.clone()).reason(&set), Granted, "{says}");
    }
    says(&set, &single("user:gus", json!({})), OtherAccount, sentence);
    // Neither what the question says nor what is stored is passed over.
    let other = single("user:anna", json!({"account": "globex"}));
    assert_eq!(other.reason(&set), OtherAccount);
    let attribute = json!({"account": {"type": "KWIC::Account", "id": "acme"}});
    let elsewhere = stored(&attribute, &[], own);
    assert_eq!(single("user:anna", json!({})).reason(&elsewhere), OtherAccount);
    // What others are in would take them along.
    let template = json!({"type": "KWIC::Template", "id": "t"});
    let schema = SCHEMA.replace("entity Group", "entity Part in [Template];\n  entity Group");
    let entities = json!([
        {"uid": template, "attrs": {}, "parents": []},
        {"uid": {"type": "KWIC::Part", "id": "p"}, "attrs": {}, "parents": [template]},
    ]);
    let holds =
        snapshot(&[("schema.cedarschema", &schema), ("entities.json", &entities.to_string())]);
    let question = single("user:anna", json!({}));
    assert_eq!(question.reason(&holds), OtherAccount);
}

#[test]
fn more_policies_than_are_named() {
    let rules: Vec<String> = (10..23)
        .map(|number| {
            format!(
                "@id(\"e{number}\") forbid (principal, action, resource is KWIC::Template)
                when {{ resource has n && resource.n + 9223372036854775807 > 0 }};"
            )
        })
        .collect();
    let set = with_rule(&rules.join("\n"));
    let found = edit("user:anna", json!({"account": "acme", "n": 5})).of(&set);
    assert_eq!((found.reason, found.policies.len()), (ForbidErred, 13));
    assert!(found.sentence.contains("policy `e19` could not be evaluated"), "{}", found.sentence);
    assert!(found.sentence.ends_with("; and 3 more could not be evaluated"), "{}", found.sentence);

    let bot = r#"[{"uid": {"type": "KWIC::Service", "id": "bot"}, "attrs": {}, "parents": []}]"#;
    let permits = rules.join("\n").replace("forbid", "permit");
    let set = snapshot(&[("rules/more.cedar", &permits), ("entities.json", bot)]);
    let found = ask("service:bot", "view", "template:t").says(json!({"n": 5})).of(&set);
    assert_eq!(found.reason, ConditionUnmet);
    assert!(found.sentence.ends_with(", and 3 more could not be evaluated"), "{}", found.sentence);
}

#[test]
fn a_role_that_is_enough_beside_another_cause() {
    let rules = r#"@id("suspension") forbid (principal is KWIC::User, action, resource)
        when { !principal.active && !(principal in KWIC::Role::"editor") };"#;
    let set = snapshot(&[("rules/rules.cedar", rules)]);
    let view = ask("user:tom", "view", "template:t");
    says(&set, &view, Suspended, "this member is suspended: restore the member first");
    let roles = view.of(&set).roles;
    assert_eq!(roles.iter().map(|role| role.as_str()).collect::<Vec<_>>(), ["editor"]);
}

#[test]
fn what_a_caller_writes_is_no_sentence() {
    let owned = r#"@id("owner`s") forbid (principal, action, resource is KWIC::Template)
        when { resource has owner && !resource.owner.active };"#;
    let set = with_rule(owned);
    for (question, reason, sentence) in [
        (
            ask("user:x` is allowed; `y", "edit", "template:t"),
            UnknownSubject,
            r"there is no `user` `x\u{60} is allowed; \u{60}y`",
        ),
        (
            ask("u`ser:x", "edit", "template:t"),
            UnknownSubject,
            r"the schema has no type `u\u{60}ser`: did you mean `user`?",
        ),
        (
            ask("user:anna", "e`xyzzy", "template:t"),
            UnknownAction,
            r"the schema has no action `e\u{60}xyzzy`",
        ),
        (
            edit("user:anna", json!({"account": "a`b"})),
            OtherAccount,
            r"this `template` is in account `a\u{60}b`, not the member's",
        ),
        (
            ask("user:anna", "edit", "account:a`b"),
            OtherAccount,
            r"the account `a\u{60}b` is not the member's",
        ),
        (
            edit("user:anna", json!({"account": "acme", "due": "so`on"})),
            BadAttributes,
            r"`resource.properties.due` must be a date or time, such as `2026-01-31T08:00:00Z` or, at most 3 digits behind the second, `2026-01-31T08:00:00.250+01:00`, not `so\u{60}on`",
        ),
        (
            edit("user:anna", json!({"account": "acme", "owner": {"type": "x`y", "id": "z"}})),
            BadAttributes,
            r"`resource.properties.owner` must be an entity of type `KWIC::User`, not `x\u{60}y`",
        ),
        (
            edit("user:anna", json!({"account": "acme", "owner": "gh`ost"})),
            ForbidErred,
            r#"policy `owner\u{60}s` could not be evaluated: `KWIC::User::"gh\u{60}ost"` is unknown"#,
        ),
    ] {
        says(&set, &question, reason, sentence);
    }
}

#[test]
fn where_the_slices_are_wrong() {
    let open = r#"@id("open") permit (principal, action, resource);"#;
    let (mut set, mut opened) = (snapshot(&[]), with_rule(open));
    // The slices lack the policies for everyone.
    set.slices = snapshot(&[("rules/rules.cedar", "")]).slices;
    opened.slices = snapshot(&[]).slices;
    let whole = |set: &Snapshot, question: &Ask| {
        question.with(|query, world| {
            let whole = set.decide_by_whole_set(query, world).allowed;
            assert_ne!(set.decide(query, world, true).allowed, whole, "the fault shows");
            let explained = set.explain_by_whole_set(query, world);
            assert_eq!(explained.allowed, whole);
            explained.explanation.unwrap()
        })
    };
    let denied = whole(&set, &edit("user:gus", json!({"account": "acme"})));
    let sentence = "denied by policy `tenancy`; other causes were not looked for, because a wrong answer of the engine was found and all policies are evaluated for each question: see the log";
    assert_eq!((denied.reason, denied.sentence.as_str()), (NotExplained, sentence));
    assert_eq!(denied.policies, ["tenancy"]);
    let allowed = whole(&opened, &edit("user:vera", json!({"account": "acme"})));
    assert_eq!((allowed.reason, allowed.policies), (Granted, vec!["open".to_owned()]));
}
