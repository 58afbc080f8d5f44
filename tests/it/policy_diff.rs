//! The difference of two policy sets: ten wrong edits of a tired administrator, each with exactly who
//! gained or lost, and with commands that show it when they are run.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value as Json, json};

use crate::reload::{role_file, with_ann, without_tests};
use crate::support::sidecar::{Start, binary, is_installed};

/// One wrong edit of a folder, and what it does.
struct WrongEdit {
    name: &'static str,
    edit: fn(&Path),
    /// The guards that refuse it.
    guards: &'static [&'static str],
    /// `ROLE CHANGE ACTION PLACE STATUS` of each cell of which an example shows the change, and the
    /// policies responsible for them.
    expected: Result<(&'static [&'static str], &'static [&'static str]), &'static str>,
}

pub fn put(folder: &Path, path: &str, text: &str) {
    fs::write(folder.join(path), text).unwrap();
}

/// Replaces one text in a file, which must be there.
pub fn replace(folder: &Path, path: &str, from: &str, to: &str) {
    let text = fs::read_to_string(folder.join(path)).unwrap();
    assert!(text.contains(from), "{path} has no `{from}`");
    put(folder, path, &text.replacen(from, to, 1));
}

/// A small folder, in which rules have more conditions than those of the shipped one.
pub fn folder(at: &Path) {
    fs::create_dir_all(at.join("roles")).unwrap();
    fs::create_dir_all(at.join("guards")).unwrap();
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
    put(at, "guards/all.cedar", GUARDS);
    put(
        at,
        "rules/secret.cedar",
        "@id(\"secret\")\nforbid (principal in Desk::Role::\"clerk\", action, resource)\nwhen { resource has secret && resource.secret };\n",
    );
}

/// What every set of the small folder must keep.
const GUARDS: &str = r#"@id("own_profile") @guard("at_most")
permit (principal, action, resource) when { resource in principal.account };

@id("active") @guard("at_most")
permit (principal, action, resource) when { principal.active };

@id("clerks_read") @guard("at_most")
permit (principal, action, resource)
unless { principal in Desk::Role::"clerk" && action != Desk::Action::"read" };

@id("office") @guard("at_most")
permit (principal, action, resource)
when { action != Desk::Action::"destroy" ||
  (context has office && context.office && context has hours && context.hours) };

@id("secrets") @guard("at_most")
permit (principal, action, resource)
unless { principal in Desk::Role::"clerk" && resource has secret && resource.secret };

@id("chief_reads") @guard("at_least")
permit (principal in Desk::Role::"chief", action == Desk::Action::"read", resource)
when { principal.active && resource in principal.account };
"#;

const EDITS: &[WrongEdit] = &[
    WrongEdit {
        name: "a missing tenancy condition",
        guards: &["own_profile"],
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
        guards: &["office"],
        edit: |at| replace(at, "rules/outside.cedar", ") && (", ") || ("),
        expected: Ok((&["chief may_gain destroy own_profile active"], &["outside"])),
    },
    WrongEdit {
        name: "a role name misspelt",
        guards: &["secrets"],
        edit: |at| replace(at, "rules/secret.cedar", "Role::\"clerk\"", "Role::\"clark\""),
        expected: Ok((&["clerk may_gain read own_profile active"], &["secret"])),
    },
    WrongEdit {
        name: "an action group too wide",
        guards: &["clerks_read"],
        edit: |at| {
            replace(at, "roles/clerk.cedar", "[Desk::Action::\"read\"]", "[Desk::Action::\"all\"]");
        },
        expected: Ok((
            &[
                "clerk may_gain destroy own_profile active",
                "clerk may_gain write own_profile active",
            ],
            &["clerk"],
        )),
    },
    WrongEdit {
        name: "a `forbid` dropped",
        guards: &["office"],
        edit: |at| fs::remove_file(at.join("rules/outside.cedar")).unwrap(),
        expected: Ok((&["chief may_gain destroy own_profile active"], &["outside"])),
    },
    WrongEdit {
        name: "a suspended member let in",
        guards: &["active"],
        edit: |at| replace(at, "rules/suspension.cedar", "principal.active", "true"),
        expected: Ok((
            &[
                "chief gains read own_profile suspended",
                "chief gains write own_profile suspended",
                "chief may_gain destroy own_profile suspended",
                "clerk may_gain read own_profile suspended",
            ],
            &["suspension"],
        )),
    },
    WrongEdit {
        name: "an administrator locked out",
        guards: &["chief_reads"],
        edit: |at| {
            let locked = "resource\n)\nwhen { !principal.active };";
            replace(at, "roles/chief.cedar", "resource\n);", locked);
        },
        expected: Ok((
            &[
                "chief loses read own_profile active",
                "chief loses write own_profile active",
                "chief may_lose destroy own_profile active",
            ],
            &["chief"],
        )),
    },
    WrongEdit {
        name: "`unless` for `when`",
        guards: &["secrets"],
        edit: |at| replace(at, "rules/secret.cedar", "when {", "unless {"),
        expected: Ok((
            &["clerk may_gain read own_profile active", "clerk may_lose read own_profile active"],
            &["secret"],
        )),
    },
    WrongEdit {
        name: "a negated condition",
        guards: &["chief_reads", "own_profile"],
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
                "chief loses read own_profile active",
                "chief loses write own_profile active",
                "chief may_gain destroy another_account active",
                "chief may_gain destroy no_account active",
                "chief may_lose destroy own_profile active",
                "clerk may_gain read another_account active",
                "clerk may_gain read no_account active",
                "clerk may_lose read own_profile active",
            ],
            &["tenancy"],
        )),
    },
    WrongEdit {
        name: "a copied role file with the old id",
        guards: &[],
        edit: |at| {
            let text = fs::read_to_string(at.join("roles/chief.cedar")).unwrap();
            let copy = text.replacen("@role(\"chief\")", "@role(\"trainee\")", 1);
            put(at, "roles/trainee.cedar", &copy);
        },
        expected: Err("roles/trainee.cedar"),
    },
];

pub fn run(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.current_dir(home).args(arguments).output().unwrap()
}

/// The same with this program as the solver.
pub fn run_with_solver(home: &Path, solver: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.env("CVC5", solver).current_dir(home).args(arguments).output().unwrap()
}

/// Runs a command as it is printed.
pub fn in_a_shell(home: &Path, line: &str) -> i32 {
    let line = line.replacen("kwic-team", binary(), 1);
    let ended = Command::new("sh").args(["-c", &line]).current_dir(home).output().unwrap();
    ended.status.code().unwrap()
}

pub fn document(output: &Output) -> Json {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|fault| panic!("{fault}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn cells(document: &Json) -> impl Iterator<Item = &Json> {
    document["cells"].as_array().unwrap().iter()
}

#[test]
fn ten_wrong_edits_are_named_exactly_and_shown_by_commands_that_replay() {
    let is_proved = is_installed("cvc5");
    for WrongEdit { name, guards, edit, expected } in EDITS {
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
        assert_eq!(found["proved"], is_proved, "{name}: {found:#}");
        if is_proved {
            all_requests_are_told(home.path(), name, &found);
            guards_refuse_it(home.path(), name, guards);
        }
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

/// The kinds of request that the solver names are those of the cells, each with a command that replays.
fn all_requests_are_told(home: &Path, name: &str, found: &Json) {
    let kinds: Vec<&Json> = found["requests"].as_array().unwrap().iter().collect();
    let changed = kinds.iter().filter(|kind| kind["relation"] != "equal");
    let changed: BTreeSet<&str> = changed.map(|kind| kind["action"].as_str().unwrap()).collect();
    let shown = cells(found).filter(|cell| cell["shown"] == true);
    let by_cells: BTreeSet<&str> = shown.map(|cell| cell["action"].as_str().unwrap()).collect();
    assert_eq!(changed, by_cells, "{name}: {found:#}");
    for example in kinds.iter().flat_map(|kind| [&kind["gained"], &kind["lost"]]) {
        for (answer, command) in [("before", "command_before"), ("now", "command")] {
            // A set without the role cannot be asked.
            let Some(line) = example[command].as_str() else { continue };
            let exit = if example[answer] == "allow" { 0 } else { 2 };
            assert_eq!(in_a_shell(home, line), exit, "{name}: {line}");
        }
    }
}

/// A reload would refuse the folder, and each counterexample gives the answer that is claimed.
fn guards_refuse_it(home: &Path, name: &str, guards: &[&str]) {
    let refused = run(home, &["policy", "check", "new"]);
    assert_eq!(refused.status.code(), Some(3), "{name}");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    let proof = run(home, &["--json", "policy", "prove", "new"]);
    assert_eq!(proof.status.code(), Some(3), "{name}");
    let proof = document(&proof);
    let all = proof["guards"].as_array().unwrap();
    let refuted = all.iter().filter(|guard| guard["state"] == "refuted");
    let named: BTreeSet<&str> =
        refuted.clone().map(|guard| guard["id"].as_str().unwrap()).collect();
    assert_eq!(named.into_iter().collect::<Vec<_>>(), guards, "{name}: {proof:#}");
    let proved = all.iter().filter(|guard| guard["state"] == "proved").count();
    assert_eq!(proved + guards.len(), all.len(), "{name}: {proof:#}");
    assert!(guards.iter().any(|guard| told.contains(&format!("`{guard}`"))), "{name}: {told}");
    for guard in refuted {
        let line = guard["example"]["command"].as_str().unwrap();
        let exit = if guard["example"]["answer"] == "allow" { 0 } else { 2 };
        assert_eq!(in_a_shell(home, line), exit, "{name}: {line}");
    }
}

#[test]
fn a_difference_fails_where_it_is_told_to_and_prints_what_people_read() {
    let home = tempfile::tempdir().unwrap();
    folder(&home.path().join("old"));
    folder(&home.path().join("new"));
    let diff = |more: &[&str]| {
        let arguments = [&["policy", "diff", "old", "new"], more].concat();
        run_with_solver(home.path(), "/no/solver", &arguments)
    };
    let equal = diff(&["--fail-on", "any"]);
    assert_eq!(equal.status.code(), Some(0));
    let said = String::from_utf8(equal.stdout).unwrap();
    assert_eq!(
        said,
        "not proved: `CVC5` names `/no/solver`, which is no program\nnobody gains access, nobody loses access: checked on 0 cases, not proved\n"
    );
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
