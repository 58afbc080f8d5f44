//! What a deny says, word for word: each cause alone, and several at once.

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
            "the question names no account: send `resource.properties.account`",
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
            "the question names no account: send `resource.properties.account`; the role `viewer` may not `edit` this `template`; with the rest changed, these roles may: `editor`",
        ),
        (
            edit("user:tom", globex()),
            Suspended,
            "this member is suspended; this `template` is in account `globex`, not the member's; the role `viewer` may not `edit` this `template`; with the rest changed, these roles may: `editor`",
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
            "nobody is known as `user` `nobody`",
        ),
        (
            ask("user:nobody", "edti", "painting:t"),
            UnknownSubject,
            "nobody is known as `user` `nobody`; the schema has no action `edti`: did you mean `edit`?; the schema has no type `painting`",
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
            "the action `edit` does not apply to a `bot_flow`, only to `account`, `template`, `user`",
        ),
        (
            ask("user:anna", "sweep", "account:acme"),
            ActionNotApplicable,
            "the action `sweep` is not for a `user`, only for `service`",
        ),
        (
            ask("user:anna", "edit", "user:ghost"),
            UnknownResource,
            "nobody is known as `user` `ghost`; `resource.properties.active` is required by the schema and missing",
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
            "the role `viewer` may not `edit` this `template`; with the rest changed, these roles may: `editor`; forbidden by policy `locked`",
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
