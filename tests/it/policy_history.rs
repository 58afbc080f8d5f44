//! The history of the policies: every set that went live or was refused, by command line and API,
//! across restarts.

use std::fs;

use serde_json::Value as Json;

use crate::reload::{may_view_templates, readiness, role_file, with_ann, without_tests};
use crate::support::sidecar::{Sidecar, Start, eventually, shipped_policies};

/// The entries of the history, newest first.
pub fn history(sidecar: &Sidecar) -> Vec<Json> {
    let listed = sidecar.ok(&["--json", "policy", "history"]);
    listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// One field of each entry.
pub fn each<'h>(history: &'h [Json], name: &str) -> Vec<&'h str> {
    history.iter().map(|entry| entry[name].as_str().unwrap()).collect()
}

#[test]
fn each_set_is_listed_with_what_it_changed_and_shown_with_its_files() {
    let mut sidecar = with_ann(&Start { unwatched: true, ..Start::default() });
    without_tests(&sidecar);
    sidecar.ok(&["policy", "reload"]);
    role_file(&sidecar, true);
    sidecar.ok(&["policy", "reload"]);
    let role = sidecar.path("policies/roles/contact_manager.cedar");
    let wider = fs::read_to_string(&role).unwrap();
    fs::write(&role, wider.replacen("permit", "permmit", 1)).unwrap();
    for _ in 0..2 {
        let refused = sidecar.run(&["policy", "reload"]);
        assert_eq!(refused.status.code(), Some(3));
    }
    let listed = history(&sidecar);
    assert_eq!(each(&listed, "outcome"), ["refused", "live", "live", "live"]);
    assert_eq!(each(&listed, "cause"), ["command", "command", "command", "start"]);
    assert!(listed[0]["actor"].as_str().unwrap().starts_with("sidecar:"), "{listed:?}");
    assert!(listed[0]["fault"].as_str().unwrap().contains("contact_manager.cedar:"), "{listed:?}");
    let gained = "contact_manager gains templates:view on account, template";
    assert_eq!(listed[1]["gains"], serde_json::json!([gained]));
    assert_eq!(readiness(&sidecar)["digest"], listed[1]["digest"]);

    let shown = sidecar.ok(&["policy", "show", "3"]);
    assert!(shown.contains(gained), "{shown}");
    assert!(shown.contains("file\troles/contact_manager.cedar"), "{shown}");
    let file = ["policy", "show", "live", "roles/contact_manager.cedar"];
    assert_eq!(sidecar.ok(&file), wider);
    let digest = &listed[2]["digest"].as_str().unwrap()[..12];
    let former = sidecar.ok(&["policy", "show", digest, "roles/contact_manager.cedar"]);
    let shipped = fs::read_to_string(shipped_policies().join("roles/contact_manager.cedar"));
    assert_eq!(former, shipped.unwrap());
    for (arguments, said) in [
        (vec!["policy", "show", "99"], "the history has no set `99`"),
        (vec!["policy", "show", "nonsense"], "the history has no set `nonsense`"),
        (vec!["policy", "show", "live", "no.cedar"], "the set has no file `no.cedar`"),
    ] {
        let stopped = sidecar.run(&arguments);
        let message = String::from_utf8(stopped.stderr).unwrap();
        assert_eq!(stopped.status.code(), Some(1), "{message}");
        assert!(message.contains(said), "{message}");
    }
    let table = sidecar.ok(&["policy", "history", "--limit", "2"]);
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(table.contains("gain: 1"), "{table}");

    // What is refused at the start is no new entry, and the history is there after a crash.
    sidecar.kill_and_restart();
    assert!(may_view_templates(&sidecar), "the last good set answers");
    assert_eq!(history(&sidecar), listed);
    fs::write(&role, wider).unwrap();
    sidecar.ok(&["policy", "reload"]);
    assert_eq!(history(&sidecar), listed, "it was live already");
}

#[test]
fn what_brings_a_set_is_in_the_history() {
    let sidecar = with_ann(&Start::default());
    without_tests(&sidecar);
    eventually("the watched folder is live", || history(&sidecar).len() == 2);
    let listed = history(&sidecar);
    assert_eq!(each(&listed, "cause"), ["watch", "start"]);
    assert_eq!(each(&listed, "actor"), ["system", "system"]);
}
