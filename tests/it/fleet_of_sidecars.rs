//! Three sidecars on one PostgreSQL or etcd: a removal on one is a deny on all; what a node does that
//! cannot reach the log, one that starts without it, and one that leaves.

use std::fs;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::support::fleet_fixture::{self, Fleet, LogServers, json, stop};
use crate::support::sidecar::{Answer, Connection, Sidecar, eventually, question};
use crate::support::tcp_proxy::Passing;

/// How long a node may be without word from the log.
const MAX_STALENESS: Duration = Duration::from_secs(8);

/// On PostgreSQL; `None` where there is none.
fn fleet() -> Option<Fleet> {
    LogServers::postgres().map(|servers| Fleet::with_members(servers, MAX_STALENESS))
}

/// Whether somebody may do something, and for how long the node has been stale by its answer.
fn decision<S: std::io::Read + std::io::Write>(
    connection: &mut Connection<S>,
    who: &str,
) -> (bool, Option<String>) {
    let asked = question(who, "chats:view", ("chat", "c"), "acme");
    let answer: Answer = connection.post("/access/v1/evaluation", &asked);
    assert_eq!(answer.status, 200, "{answer:?}");
    let stale = answer.header("x-kwic-stale").map(str::to_owned);
    (answer.json()["decision"].as_bool().unwrap(), stale)
}

fn metric(node: &Sidecar, name: &str) -> Option<f64> {
    let text = node.tcp().get("/metrics").body;
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")))?;
    line.parse().ok()
}

#[test]
fn a_removal_on_one_node_is_a_deny_on_all_by_postgresql() {
    let Some(fleet) = fleet() else { return };
    all_have_what_one_changes(&fleet);
    one_leaves(fleet);
}

#[test]
fn a_removal_on_one_node_is_a_deny_on_all_by_etcd() {
    let Some(servers) = LogServers::etcd() else { return };
    let fleet = Fleet::with_members(servers, MAX_STALENESS);
    all_have_what_one_changes(&fleet);
    one_leaves(fleet);
}

fn all_have_what_one_changes(fleet: &Fleet) {
    let mut connections: Vec<_> = fleet.nodes.iter().map(Sidecar::tcp).collect();
    for connection in &mut connections {
        assert_eq!(decision(connection, "leo"), (true, None));
    }
    let said = fleet.nodes[0].ok(&["member", "remove", "leo", "--yes", "--wait-all"]);
    assert!(said.ends_with("seen by 3 of 3\n"), "{said}");
    for connection in &mut connections {
        assert_eq!(decision(connection, "leo"), (false, None));
        assert_eq!(decision(connection, "ann"), (true, None));
    }
    // Each may change what all have.
    let several = serde_json::json!({"items": [{"id": "max", "do": "suspend"}, {"id": "nobody", "do": "suspend"}]});
    let done = fleet.nodes[2].admin().post("/api/v1/members/bulk?wait=all", &several).json();
    assert_eq!(done["seen"]["sentence"], "seen by 3 of 3", "{done}");
    for connection in &mut connections {
        assert_eq!(decision(connection, "max"), (false, None));
    }
    let show = |node: &Sidecar| node.ok(&["member", "show", "max", "--json"]);
    assert!(fleet.nodes.iter().all(|node| show(node).contains("\"suspended\"")));
    let status = fleet.nodes[1].ok(&["fleet", "status"]);
    let rows: Vec<Vec<&str>> = status.lines().map(|line| line.split('\t').collect()).collect();
    let names: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(names, ["host-1", "host-2 (this)", "host-3"], "{status}");
    assert!(
        rows.iter().all(|row| row[1] == "fresh" && row[7] == "ok" && row[9] == "ok"),
        "{status}"
    );
    for node in &fleet.nodes {
        assert_eq!(metric(node, "kwic_fleet_stale"), Some(0.0));
        let ready = node.tcp().get("/readyz");
        assert_eq!((ready.status, ready.json()["fleet"]["state"].as_str()), (200, Some("fresh")));
    }
}

/// The last node goes on alone, and the others without it.
fn one_leaves(mut fleet: Fleet) {
    let mut alone = fleet.nodes.pop().unwrap();
    stop(&mut alone);
    json(&alone, &["fleet", "leave", "--yes"]);
    fleet_fixture::configure(&alone, "");
    alone.restart();
    assert_eq!(decision(&mut alone.tcp(), "leo"), (false, None));
    eventually("it is forgotten, as it does not report any more", || {
        fleet.nodes[0].run(&["fleet", "forget", "host-3"]).status.success()
    });
    let said = fleet.nodes[1].ok(&["member", "remove", "ann", "--yes", "--wait-all"]);
    assert!(said.ends_with("seen by 2 of 2\n"), "{said}");
    assert_eq!(decision(&mut alone.tcp(), "ann"), (true, None));
    assert_eq!(decision(&mut fleet.nodes[0].tcp(), "ann"), (false, None));
}

/// What `fleet status` says on a node.
fn status(node: &Sidecar) -> Json {
    // It exits 1 unless all are fresh.
    let output = node.run(&["fleet", "status", "--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// The names of a node's keys of one kind.
fn key_files(node: &Sidecar, kind: &str) -> Vec<String> {
    let entries = fs::read_dir(node.path("data/keys")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.starts_with(kind));
    names.sort();
    names
}

#[test]
fn an_erasure_names_the_node_that_is_missing_and_is_complete_when_it_is_back() {
    let Some(mut fleet) = fleet() else { return };
    fleet.nodes[0].ok(&["member", "remove", "leo", "--yes", "--wait-all"]);
    fleet.nodes[2].kill();
    let one = &fleet.nodes[0];
    let early = one.run(&["member", "erase", "leo", "--yes", "--wait-all=3"]);
    let told = String::from_utf8(early.stderr).unwrap();
    assert_eq!(early.status.code(), Some(1), "{told}");
    assert!(told.contains("the log still has") && told.contains("host-3 has not"), "{told}");
    assert_eq!(status(one)["erasure"]["complete"], false);
    fleet.nodes[2].restart();
    let one = &fleet.nodes[0];
    eventually("it has reached all", || status(one)["erasure"]["complete"] == true);
    let again = one.ok(&["member", "erase", "leo", "--yes", "--wait-all"]);
    assert!(again.contains("erased on 3 of 3 nodes and from the log"), "{again}");
    for node in &fleet.nodes {
        assert_eq!(key_files(node, "epoch"), ["epoch-2.key"]);
        let file = fs::read(node.path("data/kwic.redb")).unwrap();
        let has = |word: &[u8]| file.windows(word.len()).any(|part| part == word);
        assert!(has(b"ann@example.org") && !has(b"leo@example.org"));
    }
}

#[test]
fn new_keys_are_used_when_every_node_has_them() {
    let Some(mut fleet) = fleet() else { return };
    fleet.nodes[0].ok(&["keys", "rotate"]);
    fleet.nodes[0].kill();
    fleet.nodes[0].restart();
    let one = &fleet.nodes[0];
    eventually("it reports the new keys", || {
        let status = status(one);
        let lacks = &status["items"][1]["lacks_keys"];
        *lacks == serde_json::json!(["link-2.key", "seal-2.key"])
    });
    assert_eq!(status(one)["keys"], serde_json::json!(["link-1.key", "seal-1.key"]));
    let early = one.run(&["keys", "activate"]);
    let told = String::from_utf8(early.stderr).unwrap();
    assert_eq!(early.status.code(), Some(1), "{told}");
    for node in ["host-2", "host-3"] {
        assert!(told.contains(&format!("{node} (link-2.key and seal-2.key)")), "{told}");
    }
    assert!(!told.contains("host-1"), "{told}");
    for number in [1, 2] {
        for key in ["link-2.key", "seal-2.key"] {
            let key = format!("data/keys/{key}");
            fs::copy(fleet.nodes[0].path(&key), fleet.nodes[number].path(&key)).unwrap();
        }
        fleet.nodes[number].kill();
        fleet.nodes[number].restart();
    }
    let one = &fleet.nodes[0];
    eventually("every node has reported its keys", || {
        one.run(&["keys", "activate"]).status.success()
    });
    for node in &fleet.nodes {
        eventually("each uses the new keys", || {
            status(node)["keys"] == serde_json::json!(["link-2.key", "seal-2.key"])
        });
        eventually("each is fresh", || decision(&mut node.tcp(), "ann").0);
    }
    // A start without the key in use is refused.
    fleet.nodes[2].kill();
    let key = fleet.nodes[2].path("data/keys/seal-2.key");
    fs::remove_file(key).unwrap();
    let config = fleet.nodes[2].path("kwic-team.toml");
    let refused = fleet.nodes[2].run(&["serve", "--config", config.to_str().unwrap()]);
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("`seal-2.key`") && told.contains("copy the folder `keys`"), "{told}");
}

#[test]
fn a_node_that_was_forgotten_while_new_keys_came_into_use_says_which_it_lacks() {
    let Some(mut fleet) = fleet() else { return };
    fleet.nodes[2].kill();
    let forget = ["fleet", "forget", "host-3"];
    eventually("it is silent", || fleet.nodes[0].run(&forget).status.success());
    fleet.nodes[0].ok(&["keys", "rotate"]);
    for key in ["data/keys/link-2.key", "data/keys/seal-2.key"] {
        fs::copy(fleet.nodes[0].path(key), fleet.nodes[1].path(key)).unwrap();
    }
    for node in &mut fleet.nodes[..2] {
        node.kill();
        node.restart();
    }
    eventually("both others have reported their keys", || {
        fleet.nodes[0].run(&["keys", "activate"]).status.success()
    });
    fleet.nodes[2].restart();
    let lacking = "fail: the nodes use keys that this node lacks (link-2.key, seal-2.key): copy";
    eventually("it says what it lacks", || {
        let found = fleet.nodes[2].run(&["doctor"]);
        let told = String::from_utf8(found.stdout).unwrap();
        found.status.code() == Some(1) && told.contains(lacking)
    });
}

#[test]
fn a_node_without_the_log_decides_on_until_it_is_stale_and_catches_up() {
    let Some(fleet) = fleet() else { return };
    let (one, cut_off) = (&fleet.nodes[0], &fleet.nodes[2]);
    let made = one.ok(&[
        "token",
        "create",
        "--member",
        "chief",
        "--role",
        "administrator",
        "--days",
        "1",
        "job",
        "--json",
    ]);
    let made: Json = serde_json::from_str(&made).unwrap();
    let bearer = format!("authorization: Bearer {}\r\n", made["secret"].as_str().unwrap());
    let list = || {
        let mut console = Connection::new(TcpStream::connect(&cut_off.console).unwrap());
        console.send("GET", "/api/v1/members", &bearer, "")
    };
    eventually("the token is known", || list().status == 200);
    fleet.pass(2, Passing::NoRequest);
    let begun = Instant::now();
    let mut connection = cut_off.tcp();
    assert_eq!(decision(&mut connection, "leo"), (true, None));
    let refused = cut_off.run(&["member", "suspend", "max"]);
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && told.contains("the log that the nodes share"), "{told}");
    let removed = one.run(&["member", "remove", "leo", "--yes", "--wait-all=1"]);
    let told = String::from_utf8(removed.stderr).unwrap();
    assert!(!removed.status.success() && told.contains("seen by 2 of 3, not by host-3"), "{told}");
    eventually("the node is stale", || decision(&mut connection, "ann") != (true, None));
    // The last report before the cut may have been a second old.
    assert!(begun.elapsed() >= MAX_STALENESS - Duration::from_secs(4), "{:?}", begun.elapsed());
    let (allowed, stale) = decision(&mut connection, "ann");
    assert!(
        !allowed
            && stale
                .is_some_and(|seconds| seconds.parse::<u64>().unwrap() >= MAX_STALENESS.as_secs())
    );
    let ready = cut_off.tcp().get("/readyz");
    assert_eq!((ready.status, ready.json()["code"].as_str()), (503, Some("stale")));
    assert_eq!(metric(cut_off, "kwic_fleet_stale"), Some(1.0));
    // Nor does it show anything to somebody who may have been removed meanwhile.
    let refused = list();
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("stale")));
    assert_eq!(cut_off.admin().get("/api/v1/members?account=acme").status, 200);
    eventually("the log says so", || cut_off.log_text().contains("this node is stale"));
    fleet.pass(2, Passing::All);
    eventually("the node is fresh", || decision(&mut connection, "ann") == (true, None));
    assert_eq!(decision(&mut connection, "leo"), (false, None));
    assert!(cut_off.log_text().contains("the shared log is reached again"));
    cut_off.ok(&["member", "suspend", "max"]);
}

#[test]
fn a_start_without_the_log_serves_as_a_stale_node() {
    let Some(mut fleet) = fleet() else { return };
    fleet.pass(2, Passing::NoRequest);
    let starts = [
        ("deny", false, 503),
        // The others do not know of the choice yet.
        ("answer", false, 503),
        ("answer", true, 200),
    ];
    for (number, (on_stale, allowed, status)) in starts.into_iter().enumerate() {
        if number == 2 {
            fleet.pass(2, Passing::All);
            eventually("it is fresh", || decision(&mut fleet.nodes[2].tcp(), "leo").1.is_none());
            let said = fleet.nodes[0].ok(&["member", "remove", "ann", "--yes", "--wait-all"]);
            assert!(said.ends_with("seen by 3 of 3\n"), "{said}");
            fleet.pass(2, Passing::NoRequest);
        }
        fleet.nodes[2].kill();
        fleet.configure(2, on_stale);
        fleet.nodes[2].restart();
        let node = &fleet.nodes[2];
        let (answered, stale) = decision(&mut node.tcp(), "leo");
        assert_eq!((answered, stale.is_some()), (allowed, true));
        assert_eq!(node.tcp().get("/readyz").status, status);
    }
    // What all nodes have reported as seen, they have after a crash, too.
    assert!(!decision(&mut fleet.nodes[2].tcp(), "ann").0);
    fleet.nodes[0].ok(&["member", "remove", "leo", "--yes"]);
    fleet.pass(2, Passing::All);
    eventually("the node is fresh", || decision(&mut fleet.nodes[2].tcp(), "leo") == (false, None));
    // One that does not come back is forgotten, and nobody waits for it.
    fleet.nodes[2].kill();
    eventually("the node is known to be silent", || {
        let status = fleet.nodes[0].run(&["fleet", "status"]);
        let told = String::from_utf8(status.stdout).unwrap();
        !status.status.success() && told.contains("host-3\tsilent for ")
    });
    fleet.nodes[0].ok(&["fleet", "forget", "host-3"]);
    let said = fleet.nodes[0].ok(&["member", "remove", "max", "--yes", "--wait-all"]);
    assert!(said.ends_with("seen by 2 of 2\n"), "{said}");
}
