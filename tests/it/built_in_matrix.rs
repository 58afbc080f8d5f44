//! Every cell of the built-in matrix, asked of the real sidecar over TCP and over the unix socket.
//!
//! The table in `cases/matrix.txt` was typed from the requirements, not from the policies.

use std::fs;
use std::io::{Read, Write};

use crate::support::sidecar::{Connection, Sidecar, Start, question};

const ROLES: [&str; 7] = [
    "administrator",
    "template_manager",
    "broadcast_manager",
    "contact_manager",
    "operator",
    "chat_manager",
    "automation_manager",
];

/// Asks every cell in three situations; answers how many questions that were.
fn ask_all<S: Read + Write>(connection: &mut Connection<S>) -> usize {
    let mut asked = 0;
    for line in include_str!("cases/matrix.txt").lines().filter(|line| !line.starts_with('#')) {
        let [actions, kinds, may] = line.split(" | ").collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let may: Vec<&str> = may.split(' ').collect();
        for action in actions.split(' ') {
            for kind in kinds.split(' ') {
                for role in ROLES {
                    for (member, account, active) in [
                        (role.to_owned(), "acme", true),
                        (role.to_owned(), "other", true),
                        (format!("{role}-suspended"), "acme", false),
                    ] {
                        // A resource of type user must be a member; the account is itself.
                        let id = match (kind, account) {
                            ("account", account) => account,
                            ("user", "acme") => "somebody",
                            ("user", _) => "stranger",
                            _ => "r1",
                        };
                        let expected = active && account == "acme" && may.contains(&role);
                        let question = question(&member, action, (kind, id), account);
                        assert_eq!(connection.allows(&question), expected, "{question}");
                        asked += 1;
                    }
                }
            }
        }
    }
    asked
}

#[test]
fn every_cell_answers_as_the_table_says() {
    let sidecar = Sidecar::start();
    sidecar.account("acme");
    sidecar.account("other");
    let suspended: Vec<String> = ROLES.iter().map(|role| format!("{role}-suspended")).collect();
    let mut members: Vec<(&str, &str)> = ROLES.iter().map(|role| (*role, *role)).collect();
    members.extend(suspended.iter().zip(ROLES).map(|(id, role)| (id.as_str(), role)));
    members.push(("somebody", "operator"));
    sidecar.members("acme", &members);
    sidecar.members("other", &[("stranger", "operator")]);
    for id in &suspended {
        sidecar.ok(&["member", "suspend", "--account", "acme", id]);
    }
    let over_tcp = ask_all(&mut sidecar.tcp());
    let over_unix = ask_all(&mut sidecar.unix());
    assert_eq!(over_tcp, over_unix);
    // 34 actions on 69 types in all, 7 roles, 3 situations.
    assert_eq!(over_tcp, 69 * 7 * 3);
}

#[test]
fn spellings_accounts_and_overrides() {
    let sidecar = Sidecar::start();
    sidecar.account("acme");
    sidecar.members("acme", &[("ann", "template_manager"), ("adam", "administrator")]);
    let mut tcp = sidecar.tcp();
    for kind in ["bot_flow", "BotFlow", "KWIC::BotFlow"] {
        assert!(tcp.allows(&question("adam", "botflows:edit", (kind, "f"), "acme")));
    }
    for kind in ["user", "member", "User", "KWIC::User"] {
        assert!(tcp.allows(&question("adam", "team:edit", (kind, "ann"), "acme")));
    }
    // A member's account is the store's to say, not the caller's.
    assert!(!tcp.allows(&question("ann", "team:edit", ("user", "adam"), "acme")));
    let mut forged = question("ann", "team:edit", ("user", "adam"), "acme");
    forged["subject"]["properties"] = serde_json::json!({"role": "administrator", "active": true});
    assert!(!tcp.allows(&forged));
    // Without an account a resource belongs to nobody.
    let mut nowhere = question("ann", "templates:view", ("template", "t"), "acme");
    assert!(tcp.allows(&nowhere));
    nowhere["resource"]["properties"] = serde_json::json!({});
    assert!(!tcp.allows(&nowhere));
    // What is unknown is denied with its reason, what is malformed is not answered.
    for (member, action, kind, reason) in [
        ("nobody", "templates:view", "template", "unknown_subject"),
        ("ann", "templates:fly", "template", "unknown_action"),
        ("ann", "templates:view", "spaceship", "unknown_resource_type"),
        ("ann", "templates:view", "chat", "action_not_applicable"),
        ("ann", "chats:view", "chat", "role_lacks_action"),
    ] {
        let mut asked = question(member, action, (kind, "x"), "acme");
        asked["options"] = serde_json::json!({"explain": true});
        let answer = tcp.post("/access/v1/evaluation", &asked);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["decision"], false);
        assert_eq!(answer.json()["context"]["reason"], reason, "{answer:?}");
    }
    let mut lacks = question("ann", "chats:view", ("chat", "x"), "acme");
    lacks["options"] = serde_json::json!({"explain": true});
    let answer = tcp.post("/access/v1/evaluation", &lacks).json();
    assert_eq!(
        answer["context"]["roles"],
        serde_json::json!(["administrator", "chat_manager", "operator"])
    );
}

/// A set whose one rule compares an account with a role, and accounts that are named like roles.
fn comparing(rule: &str) -> Sidecar {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "schema.cedarschema",
        "entity Account; entity Role;
         entity User in [Role, Account] { account: String, role: String, active: Bool };
         entity Paper in [Account] { account?: String };
         action look appliesTo { principal: User, resource: Paper };
         action \"team:edit\" appliesTo { principal: User, resource: Account };",
    );
    for role in ["reader", "writer"] {
        write(
            &format!("roles/{role}.cedar"),
            &format!(
                "@id(\"{role}\") @role(\"{role}\") @title(\"t\") @summary(\"s\") @best_for(\"b\")
                 permit (principal in Role::\"{role}\", action == Action::\"team:edit\", resource);"
            ),
        );
    }
    write("rules/rules.cedar", rule);
    let policies = Some(folder.path().to_owned());
    let sidecar = Sidecar::start_with(&Start { policies, ..Start::default() });
    sidecar.account("reader");
    sidecar.account("acme");
    sidecar.members("reader", &[("rita", "reader")]);
    sidecar.members("acme", &[("anna", "reader")]);
    sidecar
}

#[test]
fn an_answer_about_one_account_is_not_remembered_for_another() {
    for condition in [
        "[principal.account] == [principal.role]",
        "{a: principal.account} == {a: principal.role}",
        "principal.account == principal.role",
        "[principal.role, \"x\"].contains(principal.account)",
        "(if principal.account == \"reader\" then 1 else 2) == 1",
    ] {
        let rule = format!(
            "@id(\"same\") permit (principal, action == Action::\"look\", resource) when {{ {condition} }};"
        );
        let sidecar = comparing(&rule);
        let mut tcp = sidecar.tcp();
        let mut look =
            |member, account| tcp.allows(&question(member, "look", ("paper", "p"), account));
        for _ in 0..2 {
            assert!(look("rita", "reader"), "{condition}");
            assert!(!look("anna", "acme"), "{condition}");
        }
    }
}
