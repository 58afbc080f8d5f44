//! Back to a former set: written to the folder, or pinned; across crashes, and refused where it cannot be.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::policy_history::{each, history};
use crate::reload::{may_view_templates, readiness, role_file, with_ann, without_tests};
use crate::support::sidecar::{Sidecar, Start, binary, eventually};

/// Set 3 lets Ann view templates, and is live; set 2 does not.
fn with_two_sets(start: &Start) -> Sidecar {
    let sidecar = with_ann(start);
    without_tests(&sidecar);
    sidecar.ok(&["policy", "reload"]);
    eventually("the folder without tests is live", || history(&sidecar).len() == 2);
    role_file(&sidecar, true);
    sidecar.ok(&["policy", "reload"]);
    eventually("the wider set is live", || history(&sidecar).len() == 3);
    assert!(may_view_templates(&sidecar));
    sidecar
}

/// The folders next to the policy folder that hold what was there.
fn kept(sidecar: &Sidecar) -> Vec<String> {
    let names = fs::read_dir(sidecar.home.path()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut kept: Vec<String> =
        names.filter(|name| name.starts_with("policies.replaced-")).collect();
    kept.sort();
    kept
}

#[test]
fn a_rollback_writes_the_folder_keeps_what_was_there_and_restores_the_answers() {
    let mut sidecar = with_two_sets(&Start::default());
    fs::write(sidecar.path("policies/README.md"), "read me").unwrap();
    let wider = fs::read(sidecar.path("policies/roles/contact_manager.cedar")).unwrap();
    let said = sidecar.ok(&["policy", "rollback", "2", "--yes"]);
    assert!(said.contains("contact_manager loses templates:view"), "{said}");
    assert!(!may_view_templates(&sidecar));
    let beside = kept(&sidecar);
    assert_eq!(beside.len(), 1, "{beside:?}");
    assert!(said.contains(&format!("is kept next to it, in `{}`", beside[0])), "{said}");
    let former = sidecar.path(&beside[0]).join("roles/contact_manager.cedar");
    assert_eq!(fs::read(former).unwrap(), wider);
    assert_eq!(fs::read(sidecar.path("policies/README.md")).unwrap(), b"read me");
    let listed = history(&sidecar);
    assert_eq!(each(&listed, "cause")[0], "rollback");
    assert_eq!(listed[0]["digest"], listed[2]["digest"]);
    // The folder has it, so it stays.
    sidecar.ok(&["policy", "reload"]);
    sidecar.kill_and_restart();
    assert!(!may_view_templates(&sidecar));
    assert_eq!(history(&sidecar).len(), 4);
    // And forward again, by digest.
    let digest = listed[1]["digest"].as_str().unwrap();
    sidecar.ok(&["policy", "rollback", &digest[..12], "--yes"]);
    assert!(may_view_templates(&sidecar));
    // The watcher sees each folder that was written, and finds nothing new.
    role_file(&sidecar, false);
    eventually("an edit is live afterwards", || !may_view_templates(&sidecar));
    eventually("it is in the history", || history(&sidecar).len() == 6);
    assert_eq!(each(&history(&sidecar), "cause")[..2], ["watch", "rollback"]);
}

#[test]
fn a_set_is_pinned_where_the_folder_cannot_be_written_until_that_is_ended() {
    let start = Start { unwatched: true, ..Start::default() };
    let mut sidecar = with_two_sets(&start);
    let said = sidecar.ok(&["policy", "rollback", "2", "--pin", "--yes"]);
    assert!(said.contains("contact_manager loses templates:view"), "{said}");
    assert!(!may_view_templates(&sidecar));
    let is_pinned = |sidecar: &Sidecar| {
        let ready = readiness(sidecar);
        assert_eq!((&ready["policies"], &ready["policies_pinned"]), (&"pinned".into(), &2.into()));
        assert!(sidecar.tcp().get("/metrics").body.contains("state=\"pinned\""));
    };
    is_pinned(&sidecar);
    assert_eq!(kept(&sidecar), [""; 0], "the folder was not touched");
    let reload = sidecar.run(&["policy", "reload"]);
    assert_eq!(reload.status.code(), Some(1));
    let told = String::from_utf8(reload.stderr).unwrap();
    assert!(told.contains("set 2 is pinned"), "{told}");
    let written = sidecar.run(&["policy", "rollback", "3", "--yes"]);
    assert_eq!(written.status.code(), Some(1), "the pin comes first");
    sidecar.kill_and_restart();
    is_pinned(&sidecar);
    assert!(!may_view_templates(&sidecar));
    let doctor = String::from_utf8(sidecar.run(&["doctor"]).stdout).unwrap();
    assert!(doctor.contains("set 2 is pinned"), "{doctor}");
    let said = sidecar.ok(&["policy", "unpin"]);
    assert!(said.contains("contact_manager gains templates:view"), "{said}");
    assert!(may_view_templates(&sidecar));
    assert_eq!(readiness(&sidecar)["policies"], "live");
    let again = sidecar.run(&["policy", "unpin"]);
    assert!(String::from_utf8(again.stderr).unwrap().contains("no set is pinned"));
    assert_eq!(each(&history(&sidecar), "cause")[..2], ["unpin", "pin"]);
    sidecar.kill_and_restart();
    assert!(may_view_templates(&sidecar));
}

#[test]
fn a_rollback_that_cannot_be_leaves_everything_as_it_was() {
    let sidecar = with_two_sets(&Start { unwatched: true, ..Start::default() });
    let before = (history(&sidecar).len(), readiness(&sidecar)["digest"].clone());
    let same = |what: &str, before: &(usize, serde_json::Value)| {
        let now = (history(&sidecar).len(), readiness(&sidecar)["digest"].clone());
        assert_eq!(&now, before, "{what}");
        assert!(may_view_templates(&sidecar), "{what}");
        assert_eq!(kept(&sidecar), [""; 0], "{what}");
    };
    let unknown = sidecar.run(&["policy", "rollback", "99", "--yes"]);
    assert_eq!(unknown.status.code(), Some(1));
    same("there is no such set", &before);
    let role = sidecar.path("policies/roles/operator.cedar");
    let text = fs::read_to_string(&role).unwrap();
    fs::write(&role, text.replacen("permit", "permmit", 1)).unwrap();
    assert_eq!(sidecar.run(&["policy", "reload"]).status.code(), Some(3));
    fs::write(&role, text).unwrap();
    sidecar.ok(&["policy", "reload"]);
    let before = (before.0 + 1, before.1);
    let same = |what: &str| same(what, &before);
    for pin in [&[][..], &["--pin"]] {
        let refused = sidecar.run(&[&["policy", "rollback", "4", "--yes"][..], pin].concat());
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let told = String::from_utf8(refused.stderr).unwrap();
        assert!(told.contains("set 4 was never live"), "{told}");
        same("it was refused before");
    }
    let unasked = sidecar.run(&["policy", "rollback", "2"]);
    assert_eq!(unasked.status.code(), Some(64), "nobody could be asked");
    same("it was not confirmed");
    // Another file has the place of the folder next to it, which root could write.
    let policies = sidecar.path("policies");
    let moved = sidecar.path("elsewhere");
    fs::rename(&policies, &moved).unwrap();
    let none = sidecar.run(&["policy", "rollback", "2", "--yes"]);
    let told = String::from_utf8(none.stderr).unwrap();
    assert_eq!(none.status.code(), Some(1), "{told}");
    assert!(told.contains("cannot be replaced, and nothing was changed"), "{told}");
    assert!(told.contains("--pin"), "{told}");
    fs::rename(&moved, &policies).unwrap();
    same("there is no folder");
    if fs::read_to_string("/proc/self/status").unwrap().contains("Uid:\t0\t") {
        return;
    }
    fs::set_permissions(sidecar.home.path(), Permissions::from_mode(0o500)).unwrap();
    let unwritable = sidecar.run(&["policy", "rollback", "2", "--yes"]);
    fs::set_permissions(sidecar.home.path(), Permissions::from_mode(0o700)).unwrap();
    assert_eq!(unwritable.status.code(), Some(1));
    same("the folder that it is in cannot be written");
}

#[test]
fn a_crash_at_any_moment_of_a_rollback_leaves_one_of_the_two_sets_and_its_history() {
    let mut sidecar = with_two_sets(&Start { unwatched: true, ..Start::default() });
    let digests = [1, 0].map(|at| history(&sidecar)[at]["digest"].clone());
    for (round, pause) in [0, 30, 60, 120, 240, 480].into_iter().enumerate() {
        // To the set that is not live, so that each round changes something.
        let live = readiness(&sidecar)["digest"].clone();
        let to = digests.iter().find(|digest| **digest != live).unwrap().as_str().unwrap();
        let mut rollback = Command::new(binary())
            .arg("--data")
            .arg(sidecar.path("data"))
            .args(["policy", "rollback", &to[..12], "--yes"])
            .env_clear()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        sidecar.kill_and_restart();
        rollback.wait().unwrap();
        let live = readiness(&sidecar)["digest"].clone();
        assert!(digests.contains(&live), "round {round}: {live}");
        let folder =
            sidecar.ok(&["--json", "policy", "check", sidecar.path("policies").to_str().unwrap()]);
        let folder: serde_json::Value = serde_json::from_str(&folder).unwrap();
        assert_eq!(
            folder["digest"], live,
            "round {round}: the folder is whole, and is what answers"
        );
        eventually("the history agrees with what answers", || {
            history(&sidecar)[0]["digest"] == live
        });
    }
}

#[test]
fn a_rollback_while_the_folder_is_loaded_waits_for_it() {
    let sidecar = with_two_sets(&Start { unwatched: true, ..Start::default() });
    std::thread::scope(|scope| {
        let reloads = scope.spawn(|| {
            for _ in 0..10 {
                sidecar.ok(&["policy", "reload"]);
            }
        });
        for set in ["2", "3", "2"] {
            sidecar.ok(&["policy", "rollback", set, "--yes"]);
            assert_eq!(may_view_templates(&sidecar), set == "3", "set {set}");
        }
        reloads.join().unwrap();
    });
    assert!(!may_view_templates(&sidecar));
    let listed = history(&sidecar);
    assert_eq!(each(&listed, "cause")[..3], ["rollback"; 3], "no reload found anything new");
    assert_eq!(listed[0]["digest"], readiness(&sidecar)["digest"]);
}

#[test]
fn a_rollback_to_a_set_without_a_role_that_somebody_has_names_the_role() {
    let sidecar = with_ann(&Start { unwatched: true, ..Start::default() });
    without_tests(&sidecar);
    let role = sidecar.path("policies/roles/contact_manager.cedar");
    let text = fs::read_to_string(&role).unwrap();
    let trainee = sidecar.path("policies/roles/trainee.cedar");
    fs::write(&trainee, text.replace("contact_manager", "trainee")).unwrap();
    sidecar.ok(&["policy", "reload"]);
    sidecar.members("acme", &[("tim", "trainee")]);
    for pin in [&["--yes"][..], &["--yes", "--pin"]] {
        let ended = sidecar.run(&[&["policy", "rollback", "1"], pin].concat());
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(3), "{told}");
        assert!(told.contains("the role `trainee` is gone, and 1 member holds it"), "{told}");
    }
    assert!(trainee.exists());
    assert_eq!(history(&sidecar).len(), 2);
}
