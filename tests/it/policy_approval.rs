//! Policies by which somebody gains access wait for a yes, also across a crash; narrower ones do not wait.

use std::fs;

use kwic_team::domain::AccountSlug;
use serde_json::{Value, json};

use crate::policy_history::{each, history};
use crate::reload::{may_view_templates, readiness, role_file, with_ann, without_tests};
use crate::support::api_fixture::ApiFixture;
use crate::support::sidecar::{Sidecar, Start, copy_folder, eventually, shipped_policies};

const NONE: Value = Value::Null;

fn holding(watched: bool) -> Sidecar {
    let config = "hold_widening = true\n".to_owned();
    let sidecar = with_ann(&Start { config, unwatched: !watched, ..Start::default() });
    without_tests(&sidecar);
    sidecar
}

fn pending(sidecar: &Sidecar) -> Option<String> {
    readiness(sidecar).get("policies_pending").map(|digest| digest.as_str().unwrap().to_owned())
}

fn refused(sidecar: &Sidecar, arguments: &[&str]) -> String {
    let output = sidecar.run(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_wider_edit_waits_for_approval_and_a_narrower_one_does_not() {
    let mut sidecar = holding(true);
    eventually("the folder without tests is live", || history(&sidecar).len() == 2);
    role_file(&sidecar, true);
    eventually("the edit waits", || pending(&sidecar).is_some());
    assert!(!may_view_templates(&sidecar));
    let digest = pending(&sidecar).unwrap();
    let said = sidecar.ok(&["policy", "diff", "live", "pending"]);
    assert!(said.contains("gains templates:view on template: denied -> allowed"), "{said}");
    assert!(sidecar.tcp().get("/metrics").body.contains("kwic_policies_pending 1"));

    // Neither a reload nor a crash is a way around it.
    let report = sidecar.ok(&["policy", "reload"]);
    assert!(report.contains("policies wait for approval"), "{report}");
    sidecar.kill_and_restart();
    assert!(!may_view_templates(&sidecar));
    assert_eq!(pending(&sidecar).as_deref(), Some(digest.as_str()));
    assert_eq!(readiness(&sidecar)["policies"], "live");
    let listed = history(&sidecar);
    assert_eq!(each(&listed, "outcome"), ["pending", "live", "live"], "it is one entry");
    assert_eq!(each(&listed, "cause")[0], "watch", "that of who brought it");

    let told = refused(&sidecar, &["policy", "approve", "--yes", &"0".repeat(64)]);
    assert!(told.contains("no policies with this digest wait"), "{told}");
    let told = sidecar.run(&["policy", "approve", "--yes", "abc"]);
    assert!(String::from_utf8(told.stderr).unwrap().contains("12 to 64 hexadecimal digits"));
    let around = refused(&sidecar, &["policy", "rollback", "pending", "--yes"]);
    assert!(around.contains("set 3 was never live"), "{around}");
    assert!(!may_view_templates(&sidecar));
    let done = sidecar.ok(&["policy", "approve", "--yes", &digest[..12]]);
    assert!(done.contains("contact_manager gains templates:view"), "{done}");
    assert!(may_view_templates(&sidecar));
    assert_eq!(pending(&sidecar), None);
    let again = refused(&sidecar, &["policy", "approve", "--yes", &digest]);
    assert!(again.contains("no policies wait for approval: "), "{again}");

    role_file(&sidecar, false);
    eventually("the narrower edit is live", || !may_view_templates(&sidecar));
    eventually("it is in the history", || history(&sidecar).len() == 5);
    let listed = history(&sidecar);
    let outcomes = ["live", "live", "pending", "live", "live"];
    assert_eq!(each(&listed, "outcome"), outcomes);
    assert_eq!(each(&listed, "cause")[..2], ["watch", "approval"]);
    let log = sidecar.ok(&["audit", "list", "--store"]);
    assert!(log.contains("policies_held") && log.contains("cause: approved"), "{log}");
    // What was approved may be gone back to, also by the number under which it waited.
    sidecar.ok(&["policy", "rollback", "3", "--yes"]);
    assert!(may_view_templates(&sidecar));
}

#[test]
fn what_waits_is_dropped_when_the_folder_changes_again() {
    let mut sidecar = holding(false);
    sidecar.ok(&["policy", "reload"]);
    let digest = || {
        role_file(&sidecar, true);
        sidecar.ok(&["policy", "reload"]);
        pending(&sidecar).unwrap()
    };
    // Back to what is live.
    let held = digest();
    role_file(&sidecar, false);
    let told = refused(&sidecar, &["policy", "approve", "--yes", &held]);
    assert!(told.contains("the policy folder has changed since"), "{told}");
    sidecar.ok(&["policy", "reload"]);
    assert_eq!(pending(&sidecar), None);
    // To a folder that is refused.
    digest();
    let role = sidecar.path("policies/roles/operator.cedar");
    let text = fs::read_to_string(&role).unwrap();
    fs::write(&role, text.replacen("permit", "permmit", 1)).unwrap();
    assert_eq!(sidecar.run(&["policy", "reload"]).status.code(), Some(3));
    assert_eq!(pending(&sidecar), None);
    fs::write(&role, text).unwrap();
    // While the sidecar does not run.
    digest();
    sidecar.kill();
    role_file(&sidecar, false);
    sidecar.restart();
    assert_eq!(pending(&sidecar), None);
    let none = refused(&sidecar, &["policy", "show", "pending"]);
    assert!(none.contains("no policies wait for approval"), "{none}");
}

#[test]
fn of_two_approvals_at_once_one_is_told_that_none_waits() {
    let sidecar = holding(false);
    sidecar.ok(&["policy", "reload"]);
    role_file(&sidecar, true);
    sidecar.ok(&["policy", "reload"]);
    let digest = pending(&sidecar).unwrap();
    let approve = || sidecar.run(&["policy", "approve", "--yes", &digest]);
    let both = std::thread::scope(|scope| {
        [scope.spawn(approve), scope.spawn(approve)].map(|it| it.join().unwrap())
    });
    let codes = both.each_ref().map(|output| output.status.code().unwrap());
    assert!(codes == [0, 1] || codes == [1, 0], "{both:?}");
    let late = &both[usize::from(codes[0] == 0)].stderr;
    assert!(String::from_utf8_lossy(late).contains("wait for approval"), "{both:?}");
    assert!(may_view_templates(&sidecar));
    let listed = history(&sidecar);
    assert_eq!(each(&listed, "cause")[..2], ["approval", "command"], "approved once");
}

async fn two_persons(folder: &tempfile::TempDir) -> ApiFixture {
    copy_folder(&shipped_policies(), folder.path());
    fs::remove_dir_all(folder.path().join("tests")).unwrap();
    let dir = folder.path().to_owned();
    let fixture = ApiFixture::with(|config| {
        config.policies.dir = Some(dir);
        config.policies.managed_by = Some(AccountSlug::parse("acme").unwrap());
        config.policies.hold_widening = true;
        config.policies.two_person = true;
    });
    fixture.await
}

#[tokio::test]
async fn with_two_persons_nobody_approves_what_they_brought() {
    let folder = tempfile::tempdir().unwrap();
    let console = two_persons(&folder).await;
    let ann = console.person("ann", "administrator").await;
    let bea = console.person("bea", "administrator").await;
    let joe = console.person("joe", "operator").await;
    let role = folder.path().join("roles/operator.cedar");
    let text = fs::read_to_string(&role).unwrap();
    let more = "\"chats:view\", KWIC::Action::\"chats:manage\"";
    fs::write(&role, text.replacen("\"chats:view\"", more, 1)).unwrap();
    let held = ann.call("POST /policies/reload", &NONE).await.is(200);
    assert_eq!((&held["pending"], &held["changed"]), (&json!(true), &json!(false)));
    let digest = json!({"digest": held["digest"]});
    ann.call("POST /policies/approve", &digest).await.problem(403, "second_person_needed");
    joe.call("POST /policies/approve", &digest).await.problem(403, "not_allowed");
    let page = bea.page("/policies").await;
    page.shows(200, &["New policies wait for approval", "Approve"]);
    joe.page("/policies").await;
    // Two at once: one of them is first.
    let approve = "POST /policies/approve";
    let (one, two) = tokio::join!(bea.call(approve, &digest), bea.call(approve, &digest));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    assert_eq!(ann.get("/policies").await.is(200)["pending"], json!(null));

    // What comes from the machine is approved by a member.
    let wider =
        text.replacen("\"chats:view\"", "\"chats:view\", KWIC::Action::\"contacts:view\"", 1);
    fs::write(&role, wider).unwrap();
    let held = console.operator("POST /policies/reload", &NONE).await.is(200);
    let digest = json!({"digest": held["digest"]});
    let refused = console.operator("POST /policies/approve", &digest).await;
    refused.problem(403, "second_person_needed");
    let form = format!("digest={}", held["digest"].as_str().unwrap());
    assert_eq!(ann.form("/policies/approve", &form).await.status, 303);
    let entries = ann.get("/policies/history?limit=1").await.is(200);
    let entry = &entries["items"][0];
    assert_eq!((&entry["outcome"], &entry["cause"]), (&json!("live"), &json!("approval")));
}
