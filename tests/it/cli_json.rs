//! The machine-readable side of the command line: JSON on request, also for errors, exit codes, and
//! output that cannot control a terminal.

use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::support::fake_sidecar::{FakeSidecar, command, ok, page, problem, run};
use crate::support::sidecar::{copy_folder, shipped_policies};

/// The shipped folder, to be changed.
fn copied() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&shipped_policies(), folder.path());
    folder
}

fn document(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_else(|fault| panic!("{fault}: {text:?}"))
}

/// The document on standard error: its code.
#[track_caller]
fn fails(arguments: &[&str], exit: i32) -> String {
    let error = document(&run(arguments).complains(exit));
    assert!(error["detail"].as_str().unwrap().len() > 10, "{error}");
    error["code"].as_str().unwrap().to_owned()
}

#[test]
fn what_goes_wrong_is_a_document_on_standard_error() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = folder.path().join("data");
    let nothing = nothing.to_str().unwrap();
    assert_eq!(fails(&["--json", "fly"], 64), "usage");
    assert_eq!(fails(&["member", "show", "--json"], 64), "usage");
    assert_eq!(fails(&["--json", "member", "list", "--data", nothing], 1), "failed");
    assert_eq!(fails(&["--json", "policy", "matrix", "/nowhere"], 3), "policies_refused");
    let unknown =
        json!({"status": 404, "code": "unknown_member", "detail": "there is no such member"});
    let sidecar = FakeSidecar::answering([problem(404, &unknown)]);
    let error = document(&sidecar.run(&["member", "show", "m1", "--json"]).complains(1));
    assert_eq!(error, json!({"code": "unknown_member", "detail": "there is no such member"}));
    // Help is no answer.
    assert!(run(&["--json", "--help"]).ends(0).contains("Usage"));
}

#[test]
fn a_refused_folder_is_an_answer() {
    let folder = copied();
    fs::write(folder.path().join("rules/a.cedar"), "permit(\n").unwrap();
    fs::write(folder.path().join("rules/b.cedar"), "forbid(\n").unwrap();
    let dir = folder.path().to_str().unwrap();
    for verb in ["check", "test"] {
        let answer = document(&run(&["policy", verb, dir, "--json"]).ends(3));
        assert_eq!((&answer["passed"], &answer["folder"]), (&json!(false), &json!(dir)));
        let faults = answer["faults"].as_array().unwrap();
        let starts = |at: usize, text| faults[at].as_str().unwrap().starts_with(text);
        assert_eq!(faults.len(), 2, "{answer}");
        assert!(starts(0, "rules/a.cedar:1: ") && starts(1, "rules/b.cedar:1: "), "{answer}");
    }
}

#[test]
fn commands_that_write_answer_in_json_too() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("policies");
    let dir = dir.to_str().unwrap();
    let answer = document(&run(&["policy", "init", dir, "--json"]).ends(0));
    assert_eq!(answer, json!({"folder": dir}));
    let answer = document(&run(&["policy", "check", dir, "--json"]).ends(0));
    assert_eq!((&answer["passed"], &answer["folder"]), (&json!(true), &json!(dir)));
    fs::write(
        Path::new(dir).join("rules/z.cedar"),
        "@id(\"z\")\npermit(principal,action,resource)when{false};",
    )
    .unwrap();
    let fmt = |more: &[&str], exit| {
        document(&run(&[&["policy", "fmt", dir, "--json"][..], more].concat()).ends(exit))
    };
    assert_eq!(fmt(&["--check"], 1), json!({"changed": ["rules/z.cedar"], "written": false}));
    assert_eq!(fmt(&[], 0), json!({"changed": ["rules/z.cedar"], "written": true}));
    assert_eq!(fmt(&["--check"], 0), json!({"changed": [], "written": false}));
    let data = folder.path().join("data");
    let checked = run(&["serve", "--check", "--json", "--data", data.to_str().unwrap()]).ends(0);
    assert_eq!(document(&checked)["passed"], true);
}

#[test]
fn a_value_that_a_flag_does_not_take_ends_with_64() {
    for line in [
        "member list --status gone",
        "member list --sort age",
        "invite list --state lost",
        "audit list --event birthday",
        "token create --member m1 --role viewer --days 0 nightly",
        "token create --member m1 --role viewer --days 366 nightly",
        "member export --format xml",
        "member list --timeout soon",
        "decide --subject user:a --action a --resource doc:1 --policies P --role nobody",
    ] {
        let folder = copied();
        let policies = folder.path().to_str().unwrap();
        let words: Vec<&str> =
            line.split(' ').map(|it| if it == "P" { policies } else { it }).collect();
        run(&words).complains(64);
    }
    // What only the sidecar knows.
    for (line, code) in [
        ("member list --role boss", "unknown_role"),
        ("invite send --email a --first-name A --last-name B --role viewer", "invalid"),
        ("token create --member m1 --role boss --days 3 nightly", "unknown_role"),
    ] {
        let body = json!({"status": 400, "code": code, "detail": "there is no role `boss`: use one of `viewer`"});
        let member = json!({"id": "m1", "email": "a@example.org"});
        let mut script = vec![problem(400, &body)];
        if line.starts_with("token") {
            script.insert(0, ok(&member));
        }
        let sidecar = FakeSidecar::answering(script);
        sidecar.run(&line.split(' ').collect::<Vec<_>>()).complains(64);
    }
}

#[test]
fn a_configuration_that_is_not_there_is_an_error_of_every_command() {
    let sidecar = FakeSidecar::answering([page(&[], None)]);
    for line in ["member list", "policy check", "doctor", "serve --check", "mail status"] {
        let words = line.split(' ').chain(["--config", "/nowhere/kwic.toml"]);
        let err = sidecar.run(&words.collect::<Vec<_>>()).complains(64);
        assert_eq!(err, "--config: there is no file `/nowhere/kwic.toml`\n", "{line}");
    }
    assert!(sidecar.heard().is_empty());
}

#[test]
fn without_a_folder_the_one_of_the_configuration_is_judged_and_named() {
    let folder = copied();
    fs::remove_dir_all(folder.path().join("tests")).unwrap();
    let home = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    fs::write(home.path().join("kwic-team.toml"), format!("[policies]\ndir = \"{dir}\"\n"))
        .unwrap();
    let ran = command(&["policy", "test"]).current_dir(home.path()).output().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(said, format!("the folder of the configuration: `{dir}`\n"));
    assert!(String::from_utf8(ran.stdout).unwrap().contains("the folder has no tests"));
    let elsewhere = tempfile::tempdir().unwrap();
    let ran = command(&["policy", "test"]).current_dir(elsewhere.path()).output().unwrap();
    assert!(String::from_utf8(ran.stderr).unwrap().starts_with("the built-in policies"));
    assert!(String::from_utf8(ran.stdout).unwrap().contains("tests passed"));
}

#[test]
fn nothing_that_a_policy_says_steers_a_terminal() {
    let folder = copied();
    let dir = folder.path().to_str().unwrap();
    let clear = "\u{1b}[2J\u{7}\u{9b}31m";
    let steers = |text: &str| text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t'));
    let texts = [
        // In what is quoted, in an annotation, in a text, in a comment, and where nothing may stand.
        format!("permit(principal, action, {clear});"),
        format!("@id(\"{clear}\")\npermit(principal, action, resource) when {{ false }};"),
        format!("@id(\"z\")\n@advice(\"{clear}\")\nforbid(principal, action, resource);"),
        format!("@id(\"z\")\npermit(principal == User::\"{clear}\", action, resource);"),
        format!(
            "@id(\"z\")\n// {clear}\npermit(principal, action == Action::\"{clear}\", resource);"
        ),
        format!("@{clear}(\"z\")\npermit(principal, action, resource);"),
    ];
    let plain = tempfile::tempdir().unwrap();
    run(&["policy", "init", plain.path().join("p").to_str().unwrap()]).ends(0);
    let before = plain.path().join("p");
    for text in texts {
        fs::write(folder.path().join("rules/z.cedar"), &text).unwrap();
        for verb in [
            &["check", dir][..],
            &["test", dir],
            &["matrix", dir],
            &["matrix", dir, "--before", before.to_str().unwrap()],
            &["fmt", "--check", dir],
        ] {
            let ran = run(&[&["policy"][..], verb].concat());
            assert!(!steers(&ran.out) && !steers(&ran.err), "{verb:?}: {:?}", (ran.out, ran.err));
        }
    }
    let hostile = json!({"status": 409, "code": "x", "detail": format!("no {clear}")});
    let sidecar = FakeSidecar::answering([problem(409, &hostile)]);
    assert!(!steers(&sidecar.run(&["member", "show", "m1"]).complains(1)));
}
