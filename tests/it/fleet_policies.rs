//! Policies that are published to a fleet on a real PostgreSQL: all nodes get one set, one that refuses it
//! says so, what waits and what is pinned is so on all nodes, and no crash leaves them apart.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value as Json;

use crate::support::api_users::Person;
use crate::support::fleet_fixture::{Fleet, LogServers};
use crate::support::sidecar::{
    Sidecar, binary, copy_folder, eventually, question, shipped_policies,
};

const MAX_STALENESS: Duration = Duration::from_secs(30);

/// Three nodes with one source of policies; `None` where there is no PostgreSQL. Each has further lines
/// of the section `policies`.
fn fleet(lines: [&str; 3]) -> Option<Fleet> {
    let mut fleet = Fleet::with_members(LogServers::postgres()?, MAX_STALENESS);
    for (at, lines) in lines.iter().enumerate() {
        configure(&mut fleet.nodes[at], &format!("source = \"fleet\"\n{lines}"));
    }
    for node in &fleet.nodes {
        eventually("each node is fresh", || may(node, "chats:view"));
    }
    Some(fleet)
}

/// Restarts a node with further lines in the section `policies`.
fn configure(node: &mut Sidecar, lines: &str) {
    let file = node.path("kwic-team.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("[policies]\n", &format!("[policies]\n{lines}\n"))).unwrap();
    node.kill_and_restart();
}

/// Whether an operator may do something.
fn may(node: &Sidecar, action: &str) -> bool {
    let kind = if action.starts_with("chats") { "chat" } else { "template" };
    node.tcp().allows(&question("ann", action, (kind, "1"), "acme"))
}

/// A folder in which operators may view templates, or not, and what else is said of them.
fn folder(node: &Sidecar, wider: bool, said: &str) -> PathBuf {
    let at = node.path("next");
    let _ = fs::remove_dir_all(&at);
    copy_folder(&shipped_policies(), &at);
    fs::remove_dir_all(at.join("tests")).unwrap();
    let role = at.join("roles/operator.cedar");
    let one = "KWIC::Action::\"chats:view\"";
    let two = format!("{one}, KWIC::Action::\"templates:view\"");
    let mut text = fs::read_to_string(&role).unwrap();
    if wider {
        text = text.replace(one, &two);
    }
    fs::write(&role, format!("// {said}\n{text}")).unwrap();
    at
}

fn publish(node: &Sidecar, folder: &Path, wait: &str) -> Output {
    node.run(&["policy", "publish", folder.to_str().unwrap(), wait])
}

#[track_caller]
fn published(node: &Sidecar, folder: &Path) -> String {
    let output = publish(node, folder, "--wait=60");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn refused(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn ready(node: &Sidecar) -> Json {
    node.tcp().get("/readyz").json()
}

fn digest(node: &Sidecar) -> Json {
    ready(node)["digest"].clone()
}

/// The latest entry in the history of a node.
fn latest(node: &Sidecar) -> Json {
    let listed = node.ok(&["--json", "policy", "history", "--limit", "1"]);
    serde_json::from_str(&listed).unwrap()
}

#[test]
fn one_set_is_live_on_all_nodes_and_one_that_refuses_it_says_so() {
    let Some(mut fleet) = fleet([""; 3]) else { return };
    let [one, two, three] = &fleet.nodes[..] else { panic!("three nodes") };
    let said = published(one, &folder(one, true, "first"));
    assert!(said.contains("operator gains templates:view"), "{said}");
    assert!(said.ends_with("live on 3 of 3\n"), "{said}");
    for node in [one, two, three] {
        assert!(may(node, "templates:view"));
        assert_eq!(digest(node), digest(one));
        eventually("it is in the history", || latest(node)["cause"] == "publish");
        let entry = latest(node);
        assert_eq!(entry["outcome"], "live");
        assert!(entry["actor"].as_str().unwrap().starts_with("sidecar:"), "{entry}");
    }
    let same = published(two, &folder(two, true, "first"));
    assert!(same.contains("were live already"), "{same}");
    // What a folder has says nothing any more.
    fs::remove_dir_all(three.path("policies")).unwrap();
    two.ok(&["policy", "reload"]);
    let status = String::from_utf8(one.run(&["fleet", "status"]).stdout).unwrap();
    assert!(!status.contains("warning: "), "{status}");
    // The gate of the node that publishes is the first.
    let broken = folder(two, false, "broken");
    fs::write(broken.join("rules/tenancy.cedar"), "forbid(").unwrap();
    let told = refused(&publish(two, &broken, "--wait"), 3);
    assert!(told.contains("rules/tenancy.cedar:1"), "{told}");
    assert_eq!(latest(two)["outcome"], "refused");

    // The sidecars of the tests have no solver: one that demands proofs refuses everything.
    configure(&mut fleet.nodes[2], "demand_proof = true");
    let [one, two, three] = &fleet.nodes[..] else { panic!("three nodes") };
    eventually("the last one is fresh", || may(three, "templates:view"));
    let before = digest(three);
    assert_eq!((&ready(three)["policies"], &before), (&"last_good".into(), &digest(one)));
    let told = refused(&publish(one, &folder(one, false, "second"), "--wait=60"), 3);
    assert!(told.contains("live on 2 of 3"), "{told}");
    assert!(told.contains("host-3 refuses them, and goes on with its last good ones: "), "{told}");
    assert!(told.contains("is not proved, and `policies.demand_proof` asks for it"), "{told}");
    assert!(!may(two, "templates:view") && may(three, "templates:view"));
    assert_eq!(digest(three), before);
    let status = String::from_utf8(two.run(&["fleet", "status"]).stdout).unwrap();
    let other = before.as_str().unwrap();
    assert!(
        status.contains(&format!("warning: host-3 has the policies {}, and ", &other[..12])),
        "{status}"
    );
    // A restart does not change that.
    fleet.nodes[2].kill_and_restart();
    let three = &fleet.nodes[2];
    eventually("the last one is fresh", || may(three, "templates:view"));
    assert_eq!((digest(three), &ready(three)["policies"]), (before, &"last_good".into()));
}

#[test]
fn what_waits_and_what_is_pinned_is_so_on_all_nodes() {
    let Some(fleet) = fleet(["hold_widening = true\nmanaged_by = \"acme\""; 3]) else { return };
    let [one, two, three] = &fleet.nodes[..] else { panic!("three nodes") };
    published(one, &folder(one, false, "narrow"));
    let narrow = digest(one);
    let held = String::from_utf8(publish(one, &folder(one, true, "wide"), "--wait").stdout);
    assert!(held.unwrap().contains("policies wait for approval"));
    let waits = |node: &Sidecar| ready(node)["policies_pending"].clone();
    eventually("it waits on all nodes", || {
        waits(one).is_string() && waits(two) == waits(one) && waits(three) == waits(one)
    });
    for node in &fleet.nodes {
        assert!(!may(node, "templates:view"));
        let diff = node.ok(&["policy", "diff", "live", "pending"]);
        assert!(diff.contains("gains templates:view on template"), "{diff}");
    }
    let wide = waits(one).as_str().unwrap().to_owned();
    three.ok(&["policy", "approve", "--yes", &wide]);
    for node in &fleet.nodes {
        eventually("it is live on all nodes", || may(node, "templates:view"));
        eventually("nothing waits", || waits(node).is_null());
        eventually("it is in the history", || latest(node)["cause"] == "approval");
    }
    let late = refused(&two.run(&["policy", "approve", "--yes", &wide]), 1);
    assert!(late.contains("no policies wait for approval"), "{late}");

    let back = narrow.as_str().unwrap();
    two.ok(&["policy", "rollback", &back[..12], "--pin", "--yes"]);
    for node in &fleet.nodes {
        eventually("all are back", || digest(node) == narrow);
        eventually("it is pinned", || ready(node)["policies"] == "pinned");
    }
    let told = refused(&publish(one, &folder(one, true, "late"), "--wait"), 1);
    assert!(told.contains("the published policies are pinned"), "{told}");
    let chief = Person::of_import(one, "acme", "chief");
    let page = chief.page("/policies");
    assert!(page.contains("Pinned: no other policies can be published"), "{page}");
    assert!(page.contains(">End the pin<") && !page.contains("folder"), "{page}");
    one.ok(&["policy", "unpin"]);
    let page = chief.page("/policies");
    assert!(page.contains("Load the published policies again"), "{page}");
    assert!(!page.contains("folder") && !page.contains("/policies/check"), "{page}");
    for node in &fleet.nodes {
        eventually("it is no longer pinned", || ready(node)["policies"] == "live");
        assert_eq!(digest(node), narrow);
    }
    three.ok(&["policy", "rollback", &wide[..12], "--yes"]);
    for node in &fleet.nodes {
        eventually("all have it again", || may(node, "templates:view"));
    }
    // A set that waits gives way to the next one.
    published(two, &folder(two, false, "narrow"));
    publish(two, &folder(two, true, "wide"), "--wait");
    eventually("it waits on the others", || waits(one).is_string() && waits(three).is_string());
    published(three, &folder(three, false, "narrower"));
    for node in &fleet.nodes {
        eventually("nothing waits", || waits(node).is_null());
    }
}

#[test]
fn a_crash_at_any_moment_of_a_publish_leaves_all_nodes_with_one_of_the_two_sets() {
    let Some(mut fleet) = fleet([""; 3]) else { return };
    published(&fleet.nodes[0], &folder(&fleet.nodes[0], true, "round 0"));
    // One that is down gets it when it is back.
    fleet.nodes[1].kill();
    let one = &fleet.nodes[0];
    let told = refused(&publish(one, &folder(one, false, "missed"), "--wait=2"), 1);
    assert!(told.contains(" of 3, not yet on ") && told.contains("host-2"), "{told}");
    let now = digest(one);
    fleet.nodes[1].restart();
    eventually("it has the set", || digest(&fleet.nodes[1]) == now);
    for (round, pause) in [20, 60, 120, 240, 480].into_iter().enumerate() {
        // The node that publishes, and one of the others.
        let killed = if round % 2 == 0 { 0 } else { 2 };
        let before = digest(&fleet.nodes[0]);
        let next = folder(&fleet.nodes[0], round % 2 == 0, &format!("round {}", round + 1));
        let checked = fleet.nodes[0].ok(&["--json", "policy", "check", next.to_str().unwrap()]);
        let wanted = serde_json::from_str::<Json>(&checked).unwrap()["digest"].clone();
        let mut publishing = Command::new(binary())
            .arg("--data")
            .arg(fleet.nodes[0].path("data"))
            .args(["policy", "publish", next.to_str().unwrap()])
            .env_clear()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        fleet.nodes[killed].kill_and_restart();
        let was_told = publishing.wait().unwrap().success();
        eventually("all nodes have the same", || {
            let all: Vec<Json> = fleet.nodes.iter().map(digest).collect();
            let is_one = all.iter().all(|digest| *digest == all[0]);
            is_one && (all[0] == wanted || (all[0] == before && !was_told))
        });
        for node in &fleet.nodes {
            eventually("the history agrees with what is live", || {
                let shown = node.run(&["--json", "policy", "show", "live"]);
                let shown: Json = serde_json::from_slice(&shown.stdout).unwrap_or_default();
                shown["digest"] == digest(node)
            });
        }
    }
}

#[test]
fn nodes_with_other_folders_are_named_and_nothing_is_published() {
    let Some(servers) = LogServers::postgres() else { return };
    let fleet = Fleet::with_members(servers, MAX_STALENESS);
    let one = &fleet.nodes[0];
    let told = refused(&publish(one, &folder(one, true, "x"), "--wait"), 1);
    assert!(told.contains("set `policies.source = \"fleet\"` on all nodes"), "{told}");
    fs::remove_dir_all(fleet.nodes[2].path("policies/tests")).unwrap();
    let differs = "warning: the nodes have different policies, and may decide otherwise: ";
    eventually("the difference is told", || {
        let status = String::from_utf8(one.run(&["fleet", "status"]).stdout).unwrap();
        let line = status.lines().find(|line| line.starts_with(differs)).unwrap_or_default();
        line.contains("host-1, host-2 with ") && line.contains("host-3 with ")
    });
}
