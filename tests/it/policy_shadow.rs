//! Shadow policies: a candidate folder is asked beside the live one, and is told where it differs. It
//! never changes an answer.

use std::fs;
use std::process::Command;

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::reload::{may_view_templates, with_ann};
use crate::support::sidecar::{Sidecar, Start, binary, copy_folder, eventually, shipped_policies};

/// Every decision is asked of another folder, which lets Ann view templates.
fn shadowed(watched: bool) -> (Sidecar, TempDir) {
    let home = tempfile::tempdir().unwrap();
    let shadow = home.path().join("shadow");
    let config = format!("shadow = \"{}\"\nshadow_sample = 1\n", shadow.display());
    let sidecar = with_ann(&Start { config, unwatched: !watched, ..Start::default() });
    eventually("there is no folder yet", || shadow_of(&sidecar)["fault"].is_string());
    copy_folder(&shipped_policies(), &shadow);
    fs::remove_dir_all(shadow.join("tests")).unwrap();
    let role = shadow.join("roles/contact_manager.cedar");
    let text = fs::read_to_string(&role).unwrap();
    let one = "KWIC::Action::\"contacts:view\"";
    let two = format!("{one}, KWIC::Action::\"templates:view\"");
    fs::write(&role, text.replacen(one, &two, 1)).unwrap();
    sidecar.ok(&["policy", "reload"]);
    eventually("the folder is loaded", || {
        let found = shadow_of(&sidecar);
        found["digest"].is_string() && found["fault"].is_null()
    });
    (sidecar, home)
}

fn shadow_of(sidecar: &Sidecar) -> Json {
    serde_json::from_str(&sidecar.ok(&["--json", "policy", "shadow"])).unwrap()
}

#[test]
fn where_the_shadow_differs_is_counted_and_can_be_asked_again() {
    let (sidecar, home) = shadowed(true);
    assert!(!may_view_templates(&sidecar), "the live set answers");
    eventually("it is listed", || shadow_of(&sidecar)["items"][0].is_object());
    let found = shadow_of(&sidecar);
    let item = &found["items"][0];
    assert_eq!(item["role"], "contact_manager");
    assert_eq!(
        (&item["action"], &item["resource_type"]),
        (&json!("templates:view"), &json!("template"))
    );
    assert_eq!((&item["live"], &item["shadow"]), (&json!("deny"), &json!("allow")));
    let count = item["count"].as_u64().unwrap();
    for _ in 0..20 {
        assert!(!may_view_templates(&sidecar));
    }
    eventually("all are counted", || {
        shadow_of(&sidecar)["items"][0]["count"].as_u64().unwrap() == count + 20
    });

    // The question as it is printed, asked of both.
    let command = item["command"].as_str().unwrap();
    let folder = home.path().join("shadow").display().to_string();
    assert!(command.contains(&folder), "{command}");
    for (policies, code) in [(folder.as_str(), 0), ("live", 2)] {
        let command = command.replace(&folder, policies);
        let program = format!("\"$KWIC_TEAM\" --data \"$DATA\" {}", &command["kwic-team ".len()..]);
        let asked = Command::new("sh")
            .args(["-c", &program])
            .env("KWIC_TEAM", binary())
            .env("DATA", sidecar.path("data"))
            .output()
            .unwrap();
        assert_eq!(asked.status.code(), Some(code), "{command}: {asked:?}");
    }
    let printed = sidecar.ok(&["policy", "shadow"]);
    assert!(
        printed
            .contains("role contact_manager\ttemplates:view on template: live deny, shadow allow"),
        "{printed}"
    );
    assert!(printed.contains("\tkwic-team decide "), "{printed}");
    let metrics = sidecar.tcp().get("/metrics").body;
    let series = "kwic_shadow_disagreements_total{role=\"contact_manager\",action=\"templates:view\",shadow=\"allow\"} 21";
    assert!(metrics.contains(series) && metrics.contains("kwic_shadow_loaded 1"), "{metrics}");
}

#[test]
fn a_shadow_at_fault_is_told_and_changes_no_answer() {
    let (sidecar, home) = shadowed(true);
    assert!(!may_view_templates(&sidecar));
    let rule = home.path().join("shadow/rules/tenancy.cedar");
    let text = fs::read_to_string(&rule).unwrap();
    let digest = shadow_of(&sidecar)["digest"].clone();
    fs::write(&rule, "forbid(").unwrap();
    eventually("the fault is told", || !shadow_of(&sidecar)["fault"].is_null());
    let found = shadow_of(&sidecar);
    assert!(found["fault"].as_str().unwrap().contains("rules/tenancy.cedar:1"), "{found}");
    assert_eq!((&found["digest"], &found["items"]), (&Json::Null, &json!([])));
    let printed = sidecar.ok(&["policy", "shadow"]);
    assert!(
        printed.contains("cannot be loaded") && printed.contains("tenancy.cedar:1"),
        "{printed}"
    );
    assert!(sidecar.tcp().get("/metrics").body.contains("kwic_shadow_loaded 0"));
    assert!(!may_view_templates(&sidecar));
    let ready = sidecar.tcp().get("/readyz");
    assert_eq!((ready.status, &ready.json()["policies"]), (200, &json!("live")));
    let told = ready.json()["shadow_fault"].as_str().unwrap().to_owned();
    assert!(!told.contains("tenancy") && told.contains("kwic-team doctor"), "{told}");
    let doctor = String::from_utf8(sidecar.run(&["doctor"]).stdout).unwrap();
    let warned = "warn: the shadow policies cannot be loaded, and are not asked";
    assert!(doctor.contains(warned) && doctor.contains("tenancy.cedar:1"), "{doctor}");
    let config = sidecar.path("kwic-team.toml");
    let check = ["serve", "--check", "--config", config.to_str().unwrap()];
    let warned = "warning: the shadow policies cannot be loaded, and would not be asked:\n";
    let said = sidecar.ok(&check);
    assert!(said.contains(&format!("{warned}rules/tenancy.cedar:1")), "{said}");
    fs::write(&rule, text).unwrap();
    eventually("it is mended", || shadow_of(&sidecar)["digest"] == digest);
    assert_eq!(sidecar.tcp().get("/readyz").json()["shadow_fault"], Json::Null);
    assert!(!sidecar.ok(&check).contains("warning: the shadow"));
}

#[test]
fn an_unwatched_shadow_is_loaded_by_a_reload() {
    let (sidecar, home) = shadowed(false);
    let digest = shadow_of(&sidecar)["digest"].clone();
    let role = home.path().join("shadow/roles/operator.cedar");
    let text = fs::read_to_string(&role).unwrap();
    fs::write(&role, format!("{text}// again\n")).unwrap();
    assert_eq!(shadow_of(&sidecar)["digest"], digest);
    sidecar.ok(&["policy", "reload"]);
    eventually("the folder is loaded again", || {
        let now = shadow_of(&sidecar)["digest"].clone();
        now.is_string() && now != digest
    });
}

#[test]
fn without_a_shadow_the_command_says_how_to_have_one() {
    let sidecar = Sidecar::start();
    let none = sidecar.run(&["policy", "shadow"]);
    assert_eq!(none.status.code(), Some(1));
    let told = String::from_utf8(none.stderr).unwrap();
    assert!(told.contains("name their folder in `policies.shadow`"), "{told}");
    assert!(!sidecar.tcp().get("/metrics").body.contains("kwic_shadow_"));
}
