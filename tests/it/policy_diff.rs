//! The difference of two policy sets: ten wrong edits of a tired administrator, each with exactly who
//! gained or lost, and with commands that show it when they are run.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value as Json, json};

use crate::reload::{role_file, with_ann, without_tests};
use crate::support::sidecar::{Start, binary};

/// One wrong edit of a folder, and what it does.
struct WrongEdit {
    name: &'static str,
    edit: fn(&Path),
    /// `ROLE CHANGE ACTION PLACE STATUS` of each cell of which an example shows the change, and the
    /// policies responsible for them.
    expected: Result<(&'static [&'static str], &'static [&'static str]), &'static str>,
}

fn put(folder: &Path, path: &str, text: &str) {
    fs::write(folder.join(path), text).unwrap();
}

/// Replaces one text in a file, which must be there.
fn replace(folder: &Path, path: &str, from: &str, to: &str) {
    let text = fs::read_to_string(folder.join(path)).unwrap();
    assert!(text.contains(from), "{path} has no `{from}`");
    put(folder, path, &text.replacen(from, to, 1));
}

/// A small folder, in which rules have more conditions than those of the shipped one.
fn folder(at: &Path) {
    fs::create_dir_all(at.join("roles")).unwrap();
    fs::create_dir_all(at.join("rules")).unwrap();
    put(
        at,
        "schema.cedarschema",
        r#"namespace Desk {
  entity Account;
  entity Role;
  entity User in [Role, Account] = { account: Account, role: String, active: Bool };
  entity Note in [Account] = { secret?: Bool };
  action "all";
  action "read", "write", "destroy" in ["all"] appliesTo {
    principal: [User], resource: [Note], context: { office?: Bool, hours?: Bool }
  };
}
"#,
    );
    put(
        at,
        "roles/clerk.cedar",
        r#"@id("clerk") @role("clerk") @title("Clerk") @summary("Reads.") @best_for("Clerks.")
permit (principal in Desk::Role::"clerk", action in [Desk::Action::"read"], resource);
"#,
    );
    put(
        at,
        "roles/chief.cedar",
        r#"@id("chief") @role("chief") @title("Chief") @summary("All.") @best_for("Chiefs.")
permit (
  principal in Desk::Role::"chief",
  action in [Desk::Action::"read", Desk::Action::"write", Desk::Action::"destroy"],
  resource
);
"#,
    );
    put(
        at,
        "rules/tenancy.cedar",
        "@id(\"tenancy\")\nforbid (principal, action, resource)\nunless { resource in principal.account };\n",
    );
    put(
        at,
        "rules/suspension.cedar",
        "@id(\"suspension\")\nforbid (principal, action, resource)\nunless { principal.active };\n",
    );
    put(
        at,
        "rules/outside.cedar",
        "@id(\"outside\")\nforbid (principal, action == Desk::Action::\"destroy\", resource)\nwhen { !((context has office && context.office) && (context has hours && context.hours)) };\n",
    );
    put(
        at,
        "rules/secret.cedar",
        "@id(\"secret\")\nforbid (principal in Desk::Role::\"clerk\", action, resource)\nwhen { resource has secret && resource.secret };\n",
    );
}

const EDITS: &[WrongEdit] = &[
    WrongEdit {
        name: "a missing tenancy condition",
        edit: |at| fs::remove_file(at.join("rules/tenancy.cedar")).unwrap(),
        expected: Ok((
            &[
                "chief gains read another_account active",
                "chief gains read no_account active",
                "chief gains write another_account active",
                "chief gains write no_account active",
                "chief may_gain destroy another_account active",
                "chief may_gain destroy no_account active",
                "clerk may_gain read another_account active",
                "clerk may_gain read no_account active",
            ],
            &["tenancy"],
        )),
    },
    WrongEdit {
        name: "`||` for `&&`",
        edit: |at| replace(at, "rules/outside.cedar", ") && (", ") || ("),
        expected: Ok((&["chief may_gain destroy own_account active"], &["outside"])),
    },
    WrongEdit {
        name: "a role name misspelt",
        edit: |at| replace(at, "rules/secret.cedar", "Role::\"clerk\"", "Role::\"clark\""),
        expected: Ok((&["clerk may_gain read own_account active"], &["secret"])),
    },
    WrongEdit {
        name: "an action group too wide",
        edit: |at| {
            replace(at, "roles/clerk.cedar", "[Desk::Action::\"read\"]", "[Desk::Action::\"all\"]");
        },
        expected: Ok((
            &[
                "clerk may_gain destroy own_account active",
                "clerk may_gain write own_account active",
            ],
            &["clerk"],
        )),
    },
    WrongEdit {
        name: "a `forbid` dropped",
        edit: |at| fs::remove_file(at.join("rules/outside.cedar")).unwrap(),
        expected: Ok((&["chief may_gain destroy own_account active"], &["outside"])),
    },
    WrongEdit {
        name: "a suspended member let in",
        edit: |at| replace(at, "rules/suspension.cedar", "principal.active", "true"),
        expected: Ok((
            &[
                "chief gains read own_account suspended",
                "chief gains write own_account suspended",
                "chief may_gain destroy own_account suspended",
                "clerk may_gain read own_account suspended",
            ],
            &["suspension"],
        )),
    },
    WrongEdit {
        name: "an administrator locked out",
        edit: |at| {
            let locked = "resource\n)\nwhen { !principal.active };";
            replace(at, "roles/chief.cedar", "resource\n);", locked);
        },
        expected: Ok((
            &[
                "chief loses read own_account active",
                "chief loses write own_account active",
                "chief may_lose destroy own_account active",
            ],
            &["chief"],
        )),
    },
    WrongEdit {
        name: "`unless` for `when`",
        edit: |at| replace(at, "rules/secret.cedar", "when {", "unless {"),
        expected: Ok((
            &["clerk may_gain read own_account active", "clerk may_lose read own_account active"],
            &["secret"],
        )),
    },
    WrongEdit {
        name: "a negated condition",
        edit: |at| {
            let (from, to) = ("resource in principal.account", "!(resource in principal.account)");
            replace(at, "rules/tenancy.cedar", from, to);
        },
        expected: Ok((
            &[
                "chief gains read another_account active",
                "chief gains read no_account active",
                "chief gains write another_account active",
                "chief gains write no_account active",
                "chief loses read own_account active",
                "chief loses write own_account active",
                "chief may_gain destroy another_account active",
                "chief may_gain destroy no_account active",
                "chief may_lose destroy own_account active",
                "clerk may_gain read another_account active",
                "clerk may_gain read no_account active",
                "clerk may_lose read own_account active",
            ],
            &["tenancy"],
        )),
    },
    WrongEdit {
        name: "a copied role file with the old id",
        edit: |at| {
            let text = fs::read_to_string(at.join("roles/chief.cedar")).unwrap();
            let copy = text.replacen("@role(\"chief\")", "@role(\"trainee\")", 1);
            put(at, "roles/trainee.cedar", &copy);
        },
        expected: Err("roles/trainee.cedar"),
    },
];

fn run(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.current_dir(home).args(arguments).output().unwrap()
}

/// Runs a command as it is printed.
fn in_a_shell(home: &Path, line: &str) -> i32 {
    let line = line.replacen("kwic-team", binary(), 1);
    let ended = Command::new("sh").args(["-c", &line]).current_dir(home).output().unwrap();
    ended.status.code().unwrap()
}

fn document(output: &Output) -> Json {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|fault| panic!("{fault}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn cells(document: &Json) -> impl Iterator<Item = &Json> {
    document["cells"].as_array().unwrap().iter()
}

#[test]
fn ten_wrong_edits_are_named_exactly_and_shown_by_commands_that_replay() {
    for WrongEdit { name, edit, expected } in EDITS {
        let home = tempfile::tempdir().unwrap();
        folder(&home.path().join("old"));
        folder(&home.path().join("new"));
        edit(&home.path().join("new"));
        let ended =
            run(home.path(), &["--json", "policy", "diff", "old", "new", "--fail-on", "any"]);
        assert_eq!(ended.status.code(), Some(3), "{name}");
        let (changes, policies) = match expected {
            Ok(expected) => expected,
            Err(fault) => {
                let told = String::from_utf8_lossy(&ended.stderr);
                assert!(told.contains(fault), "{name}: {told}");
                continue;
            }
        };
        let found = document(&ended);
        let word = |cell: &Json, name: &str| cell[name].as_str().unwrap().to_owned();
        let shown: Vec<&Json> = cells(&found).filter(|cell| cell["shown"] == true).collect();
        let lines: BTreeSet<String> = shown
            .iter()
            .map(|cell| {
                ["role", "change", "action", "place", "status"]
                    .map(|name| word(cell, name))
                    .join(" ")
            })
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(lines, *changes, "{name}: {found:#}");
        let by: BTreeSet<&str> = shown
            .iter()
            .flat_map(|cell| cell["policies"].as_array().unwrap())
            .map(|id| id.as_str().unwrap())
            .collect();
        assert_eq!(by.into_iter().collect::<Vec<_>>(), *policies, "{name}");
        assert_eq!(found["complete"], true, "{name}");
        assert_eq!(found["proved"], false, "{name}");
        // The first and the last one are run as they are printed.
        for cell in [shown.first().unwrap(), shown.last().unwrap()] {
            let example = &cell["example"];
            for (answer, command) in [("before", "command_before"), ("now", "command")] {
                let line = example[command].as_str().unwrap();
                let exit = if example[answer] == "allow" { 0 } else { 2 };
                assert_eq!(in_a_shell(home.path(), line), exit, "{name}: {line}");
            }
            assert_ne!(example["before"], example["now"], "{name}");
        }
    }
}

#[test]
fn a_difference_fails_where_it_is_told_to_and_prints_what_people_read() {
    let home = tempfile::tempdir().unwrap();
    folder(&home.path().join("old"));
    folder(&home.path().join("new"));
    let diff =
        |more: &[&str]| run(home.path(), &[&["policy", "diff", "old", "new"], more].concat());
    let equal = diff(&["--fail-on", "any"]);
    assert_eq!(equal.status.code(), Some(0));
    let said = String::from_utf8(equal.stdout).unwrap();
    assert_eq!(said, "nobody gains access, nobody loses access: checked on 0 cases, not proved\n");
    let narrower = "resource\n)\nwhen { !principal.active };";
    replace(&home.path().join("new"), "roles/chief.cedar", "resource\n);", narrower);
    assert_eq!(diff(&["--fail-on", "widening"]).status.code(), Some(0), "nobody gains");
    assert_eq!(diff(&["--fail-on", "any"]).status.code(), Some(3));
    let said = String::from_utf8(diff(&[]).stdout).unwrap();
    for part in [
        "role chief\n  loses read on note: allowed -> denied, by chief\n    before allow, now deny: kwic-team decide --policies new --role chief ",
        "nobody gains access, somebody loses access or may: checked on ",
        " cases, not proved\n",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains('\u{1b}'), "no colour in a pipe");
}

#[test]
fn live_is_compared_with_a_folder_and_with_what_was_live() {
    let sidecar = with_ann(&Start { unwatched: true, ..Start::default() });
    let policies = sidecar.path("policies");
    let policies = policies.to_str().unwrap();
    without_tests(&sidecar);
    let diff = |old: &str, new: &str| {
        sidecar.run(&["--json", "policy", "diff", old, new, "--fail-on", "widening"])
    };
    assert_eq!(diff("live", policies).status.code(), Some(0));
    role_file(&sidecar, true);
    let wider = diff("live", policies);
    assert_eq!(wider.status.code(), Some(3));
    let gained = |output: &Output| {
        let found = document(output);
        let types: Vec<String> =
            cells(&found).map(|cell| format!("{} {}", cell["role"], cell["resource"])).collect();
        (types, found["gains"].clone())
    };
    let types = vec![
        r#""contact_manager" "account""#.to_owned(),
        r#""contact_manager" "template""#.to_owned(),
    ];
    let line = json!(["contact_manager gains templates:view on account, template"]);
    assert_eq!(gained(&wider), (types, line));
    sidecar.ok(&["policy", "reload"]);
    assert_eq!(gained(&diff("1", "live")), gained(&wider));
    let digest = crate::policy_history::history(&sidecar)[0]["digest"].clone();
    assert_eq!(gained(&diff("1", &digest.as_str().unwrap()[..12])), gained(&wider));
    assert_eq!(diff("live", "1").status.code(), Some(0), "the other way nobody gains");
    let line =
        document(&wider)["cells"][0]["example"]["command_before"].as_str().unwrap().to_owned();
    assert!(line.contains("--policies live"), "{line}");
    assert_eq!(in_a_shell(sidecar.home.path(), &line), 0, "live has it by now");
    let unknown = diff("live", "999");
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
}
