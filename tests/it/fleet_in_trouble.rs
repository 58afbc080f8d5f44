//! Three sidecars whose log takes no changes, is restored from a backup, altered by hand, or another
//! one; and a node that comes back from an old image of its disk. Each says why, and none guesses.

use std::fs;
use std::time::Duration;

use serde_json::Value as Json;

use crate::support::etcd_cluster::{ClusterOptions, EtcdCluster};
use crate::support::fleet_fixture::{self, Fleet, LogServers, complaint, json, postgres_log, stop};
use crate::support::postgres_server::PostgresServer;
use crate::support::sidecar::{Sidecar, eventually, question};
use crate::support::tcp_proxy::Passing;

/// How long a node may be without word from the log.
const MAX_STALENESS: Duration = Duration::from_secs(8);
/// In so much space a fleet has room.
const ETCD_BYTES: usize = 16 << 20;

fn allows(node: &Sidecar, who: &str) -> bool {
    node.tcp().allows(&question(who, "chats:view", ("chat", "c"), "acme"))
}

/// Whether a node says this about itself to its operator.
fn says(node: &Sidecar, words: &str) -> bool {
    node.admin().get("/readyz").body.contains(words)
}

fn are_fresh(nodes: &[Sidecar]) {
    for node in nodes {
        eventually("each node is fresh", || says(node, "\"state\":\"fresh\""));
    }
}

fn postgres(servers: &mut LogServers) -> &mut PostgresServer {
    let LogServers::Postgres(server) = servers else { panic!("it is PostgreSQL") };
    server
}

fn etcd(servers: &LogServers) -> &EtcdCluster {
    let LogServers::Etcd(cluster) = servers else { panic!("it is etcd") };
    cluster
}

/// The log takes nothing more: each node says so in these words, until it takes something again.
fn takes_no_changes(fleet: &mut Fleet, words: &str, relieve: impl FnOnce(&mut LogServers)) {
    let mut told = String::new();
    eventually("changes are refused", || {
        let tried = fleet.nodes[0].run(&["member", "edit", "max", "--first-name", "Max"]);
        told = String::from_utf8(tried.stderr).unwrap();
        !tried.status.success()
    });
    assert!(
        told.contains("cannot be reached or takes no change, and nothing was changed"),
        "{told}"
    );
    assert!(allows(&fleet.nodes[0], "ann"), "decisions go on");
    // What takes no report is not the last word: in time the nodes are stale.
    for node in &fleet.nodes {
        eventually("each node is stale", || !allows(node, "ann"));
    }
    // A start finds the same.
    fleet.nodes[2].kill_and_restart();
    for node in &fleet.nodes {
        eventually("each node says why", || says(node, words));
    }
    relieve(&mut fleet.servers);
    are_fresh(&fleet.nodes);
    fleet.nodes[2].ok(&["member", "remove", "leo", "--yes", "--wait-all"]);
    for node in &fleet.nodes {
        eventually("decisions go on", || allows(node, "ann"));
        assert!(!allows(node, "leo"));
    }
}

#[test]
fn a_postgresql_that_takes_no_changes_is_told_and_passes() {
    let Some(servers) = LogServers::postgres() else { return };
    let mut fleet = Fleet::with_members(servers, MAX_STALENESS);
    postgres(&mut fleet.servers).set("default_transaction_read_only = on");
    takes_no_changes(&mut fleet, "does not allow writes", |servers| {
        postgres(servers).set("default_transaction_read_only = off");
    });
}

#[test]
fn an_etcd_that_is_full_is_told_and_passes() {
    let options = ClusterOptions {
        members: 1,
        more: vec![format!("--quota-backend-bytes={ETCD_BYTES}")],
        ..ClusterOptions::default()
    };
    let Some(cluster) = EtcdCluster::start(&options) else { return };
    let mut fleet = Fleet::with_members(LogServers::Etcd(cluster), MAX_STALENESS);
    let cluster = etcd(&fleet.servers);
    // Of another program, which uses the same cluster.
    let body = format!(r#"{{"key":"b3RoZXI=","value":"{}"}}"#, "A".repeat(1 << 20));
    let is_full =
        (0..ETCD_BYTES >> 18).any(|_| cluster.post(0, "kv/put", &body)["error"].is_string());
    assert!(is_full);
    takes_no_changes(&mut fleet, "etcdctl alarm disarm", |servers| {
        let cluster = etcd(servers);
        let text = |answer: &Json| answer.as_str().unwrap().to_owned();
        cluster.post(0, "kv/deleterange", r#"{"key":"b3RoZXI="}"#);
        let status = cluster.post(0, "maintenance/status", "{}");
        let revision = text(&status["header"]["revision"]);
        let compact = format!(r#"{{"revision":"{revision}","physical":true}}"#);
        assert!(cluster.post(0, "kv/compaction", &compact)["error"].is_null());
        assert!(cluster.post(0, "maintenance/defragment", "{}")["error"].is_null());
        let member = text(&status["header"]["member_id"]);
        let disarm =
            format!(r#"{{"action":"DEACTIVATE","memberID":"{member}","alarm":"NOSPACE"}}"#);
        assert!(cluster.post(0, "maintenance/alarm", &disarm)["error"].is_null());
    });
}

#[test]
fn an_old_disk_of_a_node_goes_on_and_an_old_disk_of_the_log_is_not_followed() {
    let Some(servers) = LogServers::postgres() else { return };
    let mut fleet = Fleet::with_members(servers, MAX_STALENESS);
    let (file, image) = (fleet.nodes[2].path("data/kwic.redb"), fleet.nodes[2].path("image"));
    stop(&mut fleet.nodes[2]);
    fs::copy(&file, &image).unwrap();
    fleet.nodes[2].restart();
    are_fresh(&fleet.nodes);
    fleet.nodes[0].ok(&["member", "remove", "leo", "--yes", "--wait-all"]);
    fleet.nodes[2].ok(&["member", "suspend", "max"]);
    stop(&mut fleet.nodes[2]);
    fs::copy(&image, &file).unwrap();
    fleet.nodes[2].restart();
    eventually("it goes on", || allows(&fleet.nodes[2], "ann"));
    assert!(!allows(&fleet.nodes[2], "leo") && !allows(&fleet.nodes[2], "max"));
    // Its own changes follow those that it had made before.
    fleet.nodes[2].ok(&["member", "restore", "max"]);
    eventually("the others see it", || allows(&fleet.nodes[0], "max"));

    let server = postgres(&mut fleet.servers);
    server.stop_at_once();
    server.keep_data();
    server.run();
    fleet.nodes[0].ok(&["member", "remove", "max", "--yes", "--wait-all"]);
    let server = postgres(&mut fleet.servers);
    server.stop_at_once();
    server.put_data_back();
    server.run();
    for node in &fleet.nodes {
        eventually("each node has stopped following", || says(node, "was applied"));
        assert!(!allows(node, "ann") && !allows(node, "max"));
        let told = complaint(node, &["member", "suspend", "ann"]);
        assert!(told.contains("does not follow the log that the nodes share any more"), "{told}");
    }
    stop(&mut fleet.nodes[2]);
    let told = complaint(&fleet.nodes[2], &["fleet", "join", "--yes"]);
    assert!(told.contains("this store has changes that the log lacks"), "{told}");
}

#[test]
fn a_log_that_is_altered_or_another_one_or_not_to_be_entered_is_told_apart() {
    let Some(servers) = LogServers::postgres() else { return };
    let mut fleet = Fleet::with_members(servers, MAX_STALENESS);
    let port = postgres(&mut fleet.servers).port;
    // Another deployment, which has a log of its own on the same server.
    postgres(&mut fleet.servers).sql("CREATE DATABASE other");
    let mut other = Sidecar::start();
    stop(&mut other);
    let stale = "max_staleness = \"4s\"\non_stale = \"deny\"\n";
    let section = |node: &Sidecar, database: &str| postgres_log(node, port, database) + stale;
    fleet_fixture::configure(&other, &section(&other, "postgres"));
    let told = complaint(&other, &["fleet", "init"]);
    assert!(told.contains("there is a log already at `fleet.log`"), "{told}");
    fleet_fixture::configure(&other, &section(&other, "other"));
    json(&other, &["fleet", "init"]);

    let mut node = fleet.nodes.pop().unwrap();
    stop(&mut node);
    fleet_fixture::configure(&node, &section(&node, "other"));
    node.restart();
    eventually("the other log is told", || says(&node, "holds the log"));
    assert!(!allows(&node, "ann"));
    stop(&mut node);
    let told = complaint(&node, &["fleet", "join", "--yes"]);
    assert!(told.contains("the log at `fleet.log` is of another one"), "{told}");
    fleet_fixture::configure(&node, &section(&node, "postgres"));
    fs::write(node.path("password"), "wrong\n").unwrap();
    node.restart();
    eventually("the password is told", || says(&node, "compare user and password"));
    assert!(!allows(&node, "ann"));
    stop(&mut node);
    fleet.nodes.push(node);
    fleet.configure(2, "deny");
    fleet.nodes[2].restart();
    are_fresh(&fleet.nodes);

    fleet.pass(2, Passing::NoRequest);
    fleet.nodes[0].ok(&["member", "remove", "leo", "--yes"]);
    eventually("the second node sees it", || !allows(&fleet.nodes[1], "leo"));
    postgres(&mut fleet.servers).sql(
        "UPDATE kwic_team.entries SET bytes = set_byte(bytes, 40, get_byte(bytes, 40) # 1)
        WHERE index = (SELECT index FROM kwic_team.head)",
    );
    fleet.pass(2, Passing::All);
    eventually("what was altered is not applied", || says(&fleet.nodes[2], "fleet join"));
    assert!(!allows(&fleet.nodes[2], "ann"));
    // Those that have applied what stood there go on.
    fleet.nodes[1].ok(&["member", "suspend", "max"]);
    eventually("the first node sees it", || !allows(&fleet.nodes[0], "max"));
    eventually("decisions go on", || allows(&fleet.nodes[0], "ann"));
}
