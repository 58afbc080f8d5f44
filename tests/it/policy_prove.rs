//! Guards that are proved, refuted, or neither: with a real solver, with bad ones, and with none.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

use crate::policy_diff::{document, folder, in_a_shell, put, replace, run, run_with_solver};
use crate::support::sidecar::{Sidecar, Start, copy_folder, is_installed, shipped_policies};

/// What became of each guard: `ID STATE`, and the whole document.
fn proof(home: &Path, dir: &str) -> (Vec<String>, Json) {
    let found = document(&run(home, &["--json", "policy", "prove", dir]));
    (states(&found), found)
}

fn states(found: &Json) -> Vec<String> {
    let guards = found["guards"].as_array().unwrap().iter();
    guards
        .map(|guard| {
            format!("{} {}", guard["id"].as_str().unwrap(), guard["state"].as_str().unwrap())
        })
        .collect()
}

/// A small folder with one guard of its own, and perhaps another rule.
fn with_guard(home: &Path, guard: &str, rule: &str) {
    let at = home.join("set");
    folder(&at);
    put(&at, "guards/all.cedar", guard);
    if !rule.is_empty() {
        put(&at, "rules/more.cedar", rule);
    }
}

#[test]
fn every_shipped_guard_is_proved_and_nothing_is_odd() {
    if !is_installed("cvc5") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let policies = shipped_policies();
    let proved = run(home.path(), &["--json", "policy", "prove", policies.to_str().unwrap()]);
    assert_eq!(proved.status.code(), Some(0), "{proved:?}");
    let found = document(&proved);
    let wanted = [
        "active_members_only proved",
        "administrators_do_everything proved",
        "administrators_manage proved",
        "own_account_only proved",
    ];
    assert_eq!(states(&found), wanted);
    assert_eq!(found["warnings"].as_array().unwrap().len(), 0, "{found:#}");
    assert_eq!(found["all_policies_searched"], true);
    assert!(found["solver"].as_str().unwrap().starts_with("cvc5 "), "{found:#}");
}

#[test]
fn a_shipped_guard_refuses_what_it_is_for() {
    let administrators = "roles/administrator.cedar";
    for (guard, file, from, to) in [
        ("own_account_only", "rules/tenancy.cedar", "forbid", "permit"),
        ("active_members_only", "rules/suspension.cedar", "principal.active", "true"),
        ("administrators_do_everything", administrators, "KWIC::Action::\"chats:view\",", ""),
        (
            "administrators_manage",
            "roles/operator.cedar",
            "action in [",
            "action in [KWIC::Action::\"billing:view\", ",
        ),
    ] {
        let home = tempfile::tempdir().unwrap();
        let at = home.path().join("set");
        copy_folder(&shipped_policies(), &at);
        fs::remove_dir_all(at.join("tests")).unwrap();
        replace(&at, file, from, to);
        // The cases of the matrix are enough for that.
        let refused = run_with_solver(home.path(), "/no/solver", &["policy", "check", "set"]);
        assert_eq!(refused.status.code(), Some(3), "{guard}");
        let told = String::from_utf8(refused.stderr).unwrap();
        let named = format!("guards/{guard}.cedar: the policies break the guard `{guard}` (");
        assert!(told.contains(&named), "{guard}: {told}");
        assert!(told.contains("` is allowed `") || told.contains("` is denied `"), "{told}");
    }
}

#[test]
fn a_set_that_breaks_a_guard_in_a_case_is_in_the_history_with_its_guards() {
    let sidecar = Sidecar::start_with(&Start { unwatched: true, ..Start::default() });
    let built_in = known(&sidecar, "1").1;
    assert_eq!(built_in["solver"], "cvc5 in the tests of this version");
    fs::remove_dir_all(sidecar.path("policies/tests")).unwrap();
    replace(&sidecar.path("policies"), "rules/tenancy.cedar", "forbid", "permit");
    assert_eq!(sidecar.run(&["policy", "reload"]).status.code(), Some(3));
    let (states, proof) = known(&sidecar, "2");
    assert!(states.contains(&"own_account_only refuted".to_owned()), "{states:?}");
    assert!(!states.iter().any(|state| state.ends_with(" proved")), "{states:?}");
    assert!(proof["cases"].as_u64().unwrap() > 0, "{proof}");
    let shown = sidecar.ok(&["policy", "show", "2"]);
    assert!(shown.contains("guard\town_account_only\trefuted\n"), "{shown}");
}

#[test]
fn what_no_case_shows_is_refuted_by_the_solver() {
    if !is_installed("cvc5") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    folder(&home.path().join("set"));
    let (states, found) = proof(home.path(), "set");
    assert!(states.iter().all(|state| state.ends_with(" proved")), "{found:#}");
    // No case of the matrix has an office: only the solver finds one.
    replace(&home.path().join("set"), "rules/outside.cedar", ") && (", ") || (");
    let cases = run_with_solver(home.path(), "/no/solver", &["policy", "check", "set"]);
    assert_eq!(cases.status.code(), Some(0), "{cases:?}");
    let said = String::from_utf8(cases.stdout).unwrap();
    assert!(
        said.contains("0 of 6 guards are proved, and the others are checked on the cases"),
        "{said}"
    );
    let refused = run(home.path(), &["policy", "check", "set"]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("guards/all.cedar: the policies break the guard `office`"), "{told}");
    let command = told.split('`').find(|part| part.starts_with("kwic-team decide ")).unwrap();
    assert_eq!(in_a_shell(home.path(), &command.replacen("DIR", "set", 1)), 0, "{command}");
}

#[test]
fn what_only_a_guard_reads_is_there_when_it_is_evaluated() {
    let home = tempfile::tempdir().unwrap();
    let guard = r#"@id("has_role") @guard("at_most")
permit (principal, action, resource) when { principal.role != "" };"#;
    with_guard(home.path(), guard, "");
    let checked = run_with_solver(home.path(), "/no/solver", &["policy", "check", "set"]);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
}

#[test]
fn a_member_has_one_role_and_a_guard_may_rely_on_it() {
    if !is_installed("cvc5") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let guard = r#"@id("no_clerk_writes") @guard("at_most")
permit (principal, action, resource)
unless { principal in Desk::Role::"clerk" && action == Desk::Action::"write" };"#;
    with_guard(home.path(), guard, "");
    let (states, found) = proof(home.path(), "set");
    assert_eq!(states, ["no_clerk_writes proved"], "{found:#}");
}

#[test]
fn a_forbid_that_may_fail_leaves_no_at_least_guard_proved() {
    if !is_installed("cvc5") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let guard = r#"@id("chief_reads") @guard("at_least")
permit (principal in Desk::Role::"chief", action == Desk::Action::"read", resource)
when { principal.active && resource in principal.account };"#;
    // Cedar would skip it where it overflows; it denies here.
    let rule = "@id(\"sum\") forbid (principal, action, resource) when { context has sum && context.sum + 1 == 0 && context.sum > 0 };";
    with_guard(home.path(), guard, rule);
    replace(
        &home.path().join("set"),
        "schema.cedarschema",
        "office?: Bool",
        "office?: Bool, sum?: Long",
    );
    let (states, found) = proof(home.path(), "set");
    assert_eq!(states, ["chief_reads unknown"], "{found:#}");
    let why = found["guards"][0]["why"].as_str().unwrap();
    assert!(why.contains("the `forbid` `sum` is not proved to be evaluated always"), "{why}");
    // Without the rule it is allowed, and with it what Cedar would allow is denied.
    let command = "kwic-team decide --policies set --role chief --subject user:a --action read --resource note:1 --account x --context";
    for (sum, exit) in [(i64::MAX, 2), (1, 0)] {
        let command = format!("{command} '{{\"sum\":{sum}}}'");
        assert_eq!(in_a_shell(home.path(), &command), exit, "{command}");
    }
    let shown = found["warnings"][0]["command"].as_str().unwrap();
    assert!(shown.contains(&i64::MAX.to_string()), "{shown}");
    assert_eq!(in_a_shell(home.path(), shown), 2, "{shown}");
    let odd: Vec<(&str, &str)> = found["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|odd| (odd["policy"].as_str().unwrap(), odd["warning"].as_str().unwrap()))
        .collect();
    assert_eq!(odd, [("sum", "can_err"), ("sum", "without_effect")], "{found:#}");
}

#[test]
fn what_reads_an_entity_that_may_be_unknown_is_not_proved() {
    if !is_installed("cvc5") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let guard = r#"@id("named") @guard("at_most")
permit (principal, action, resource)
unless { context has boss && !(context.boss has active) };"#;
    with_guard(home.path(), guard, "");
    replace(
        &home.path().join("set"),
        "schema.cedarschema",
        "office?: Bool",
        "office?: Bool, boss?: User",
    );
    // Cedar takes it that a boss is known, and has the attribute; here a request may name anybody.
    let (states, found) = proof(home.path(), "set");
    assert_eq!(states, ["named unknown"], "{found:#}");
    let why = found["guards"][0]["why"].as_str().unwrap();
    assert!(why.contains("`named` reads an attribute of another entity"), "{why}");
}

/// A program that is no good solver.
fn solver(home: &Path, text: &str) -> PathBuf {
    let path = home.join("solver");
    fs::write(&path, format!("#!/bin/sh\nPATH=/usr/bin:/bin\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_bad_solver_proves_nothing_and_refuses_nothing() {
    let home = tempfile::tempdir().unwrap();
    folder(&home.path().join("set"));
    for (name, text, why) in [
        ("crashes", "kill -SEGV $$", "has ended"),
        ("hangs", "exec sleep 1000", "time"),
        ("floods", "exec yes unsat", "prints too much"),
        ("is another program", "exec cat /etc/passwd", "has ended"),
        ("writes a file", "cat > \"$0.filled\"", "has ended"),
        ("says nonsense", "echo unsat; echo sat; echo unsat", "has ended"),
    ] {
        let program = solver(home.path(), text);
        let program = program.to_str().unwrap();
        let ended = run_with_solver(home.path(), program, &["--json", "policy", "prove", "set"]);
        assert_eq!(ended.status.code(), Some(1), "{name}: {ended:?}");
        let found = document(&ended);
        assert_eq!((&found["proved"], &found["solver"]), (&false.into(), &"".into()), "{name}");
        for guard in found["guards"].as_array().unwrap() {
            assert_eq!(guard["state"], "unknown", "{name}: {guard}");
            assert!(guard["why"].as_str().unwrap().contains(why), "{name}: {guard}");
        }
        if name == "writes a file" {
            assert_eq!(fs::metadata(home.path().join("solver.filled")).unwrap().len(), 0);
        }
        if name == "hangs" {
            continue; // One wait for the whole time is enough.
        }
        let taken = run_with_solver(home.path(), program, &["policy", "check", "set"]);
        assert_eq!(taken.status.code(), Some(0), "{name}: {taken:?}");
    }
}

#[test]
fn without_a_solver_the_words_say_so() {
    let home = tempfile::tempdir().unwrap();
    folder(&home.path().join("set"));
    let ended = run_with_solver(home.path(), "/no/solver", &["policy", "prove", "set"]);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let said = String::from_utf8(ended.stdout).unwrap();
    assert!(said.contains("guard active, at_most: checked on "), "{said}");
    assert!(said.contains(" cases, not proved\n"), "{said}");
    assert!(said.ends_with("nothing is proved: `CVC5` names `/no/solver`, which is no program\n"));
}

#[test]
fn what_is_not_proved_is_refused_where_a_proof_is_demanded() {
    let home = tempfile::tempdir().unwrap();
    folder(&home.path().join("set"));
    put(home.path(), "kwic-team.toml", "[policies]\ndir = \"set\"\ndemand_proof = true\n");
    let check = ["serve", "--check"];
    let refused = run_with_solver(home.path(), "/no/solver", &check);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let told = String::from_utf8(refused.stderr).unwrap();
    let why =
        "the guard `active` is not proved, and `policies.demand_proof` asks for it: `CVC5` names";
    assert!(told.contains(why), "{told}");
    // Also where the folder is named, as a reload of it would be refused.
    let checked = run_with_solver(home.path(), "/no/solver", &["policy", "check", "set"]);
    assert_eq!(checked.status.code(), Some(3), "{checked:?}");
    assert!(String::from_utf8(checked.stderr).unwrap().contains(why));
    if is_installed("cvc5") {
        for command in [&check[..], &["policy", "check", "set"]] {
            assert_eq!(run(home.path(), command).status.code(), Some(0));
        }
    }
}

#[test]
fn a_set_that_was_live_before_proofs_were_demanded_is_told_at_the_start() {
    let home = tempfile::tempdir().unwrap();
    folder(&home.path().join("set"));
    let mut sidecar = Sidecar::start_with(&Start {
        unwatched: true,
        policies: Some(home.path().join("set")),
        environment: vec![("CVC5", PathBuf::from("/no/solver"))],
        ..Start::default()
    });
    let ready = |sidecar: &Sidecar| sidecar.unix().get("/readyz").json()["policies"].clone();
    assert_eq!(ready(&sidecar), "live");
    let (states, proof) = known(&sidecar, "live");
    assert!(states.iter().all(|state| state.ends_with(" checked")), "{states:?}");
    assert!(proof["cases"].as_u64().unwrap() > 0 && proof["solver"].is_null(), "{proof}");
    let config = sidecar.path("kwic-team.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("[policies]\n", "[policies]\ndemand_proof = true\n")).unwrap();
    sidecar.kill_and_restart();
    assert_eq!(ready(&sidecar), "last_good");
    // It is not checked again, and what is known of it is that of before.
    let live = sidecar.admin().get("/api/v1/policies").json();
    assert_eq!(live["proof"], proof);
    assert!(sidecar.log_text().contains("the guard `active` is not proved"));
}

#[test]
fn a_reload_is_refused_where_the_solver_refutes_a_guard_and_not_where_it_fails() {
    if !is_installed("cvc5") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    folder(&home.path().join("set"));
    let link = home.path().join("cvc5");
    let good = Command::new("which").arg("cvc5").output().unwrap().stdout;
    let good = String::from_utf8(good).unwrap();
    let use_solver = |program: &Path| {
        let _ = fs::remove_file(&link);
        symlink(program, &link).unwrap();
    };
    use_solver(Path::new(good.trim()));
    let sidecar = Sidecar::start_with(&Start {
        unwatched: true,
        policies: Some(home.path().join("set")),
        environment: vec![("CVC5", link.clone())],
        ..Start::default()
    });
    let live = || document(&sidecar.run(&["--json", "policy", "show", "live"]))["digest"].clone();
    let begun = live();
    replace(&sidecar.path("policies"), "rules/outside.cedar", ") && (", ") || (");
    let refused = sidecar.run(&["policy", "reload"]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("the policies break the guard `office`"), "{told}");
    assert_eq!(live(), begun);
    let known = |set: &str| known(&sidecar, set);
    assert!(known("1").0.iter().all(|state| state.ends_with(" proved")), "{:?}", known("1"));
    let (states, proof) = known("2");
    assert!(states.contains(&"office refuted".to_owned()), "{states:?}");
    assert!(proof["solver"].as_str().unwrap().starts_with("cvc5 "), "{proof}");
    let shown = sidecar.ok(&["policy", "show", "1"]);
    assert!(shown.contains("guard\toffice\tproved by cvc5 "), "{shown}");
    // Without its guard it is taken, also where the solver is of no use.
    use_solver(&solver(home.path(), "exit 1"));
    replace(
        &sidecar.path("policies"),
        "guards/all.cedar",
        "action != Desk::Action::\"destroy\" ||",
        "true ||",
    );
    let taken = sidecar.ok(&["policy", "reload"]);
    assert!(taken.contains("0 of 6 guards are proved"), "{taken}");
    assert_ne!(live(), begun);
    let (states, proof) = known("live");
    assert!(states.iter().all(|state| state.ends_with(" unknown")), "{states:?}");
    assert_eq!(proof["solver"], Json::Null);
}

/// What the history has of the guards of a set: `ID STATE`, and the whole of it.
fn known(sidecar: &Sidecar, set: &str) -> (Vec<String>, Json) {
    let found = document(&sidecar.run(&["--json", "policy", "show", set]));
    (states(&found["proof"]), found["proof"].clone())
}

#[test]
fn a_condition_that_says_the_same_in_other_words_is_equal() {
    if !is_installed("cvc5") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    folder(&home.path().join("old"));
    folder(&home.path().join("new"));
    replace(
        &home.path().join("new"),
        "rules/secret.cedar",
        "resource has secret && resource.secret",
        "resource has secret && !(!resource.secret)",
    );
    let diff = ["policy", "diff", "old", "new", "--fail-on", "any"];
    // Cases cannot tell.
    let cases = run_with_solver(home.path(), "/no/solver", &diff);
    assert_eq!(cases.status.code(), Some(3), "{cases:?}");
    let proved = run(home.path(), &diff);
    assert_eq!(proved.status.code(), Some(0), "{proved:?}");
    let said = String::from_utf8(proved.stdout).unwrap();
    let last = said.lines().last().unwrap();
    let words =
        "nobody gains access, nobody loses access: proved for all requests of 3 kinds, by cvc5 ";
    assert!(last.starts_with(words), "{said}");
}

#[test]
fn a_guard_with_a_mistake_is_refused_and_named() {
    for (guard, told) in [
        (
            "@id(\"g\") @guard(\"at_most\") permit (principal, action, resource) when { principal. };",
            "guards/all.cedar:1: ",
        ),
        (
            "@id(\"g\") @guard(\"at_most\") permit (principal, action == Desk::Action::\"fly\", resource);",
            "guards/all.cedar:1: ",
        ),
        (
            "@id(\"g\") @guard(\"at_best\") permit (principal, action, resource);",
            "a guard needs `@guard(\"at_most\")`",
        ),
        ("@id(\"g\") permit (principal, action, resource);", "a guard needs `@guard(\"at_most\")`"),
        (
            "@id(\"g\") @guard(\"at_most\") forbid (principal, action, resource);",
            "a guard is a `permit`",
        ),
    ] {
        let home = tempfile::tempdir().unwrap();
        with_guard(home.path(), guard, "");
        for command in ["check", "prove"] {
            let refused = run(home.path(), &["policy", command, "set"]);
            assert_eq!(refused.status.code(), Some(3), "{guard}: {refused:?}");
            let stderr = String::from_utf8(refused.stderr).unwrap();
            assert!(stderr.contains(told), "{guard}: {stderr}");
        }
    }
}
