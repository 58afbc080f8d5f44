//! Nodes of two versions of the program: what a node does that meets what a newer one has written, and
//! what it says of itself; and the steps of a change of layout, as the documentation has them.

use std::path::Path;
use std::time::Duration;

use kwic_team::clock::Clock;
use kwic_team::domain::Digest;
use kwic_team::fleet::snapshot_reader::begin_with_newest;
use kwic_team::fleet::snapshot_writer;
use kwic_team::store::records::shared_log_entry::{Entry, LargeEntry};
use kwic_team::store::records::snapshot_manifest::SnapshotManifest;
use kwic_team::store::shared_log::{EntryId, FleetLog, NodeId};
use kwic_team::store::{LAYOUT, LOG_HALTED, Store};
use redb::{Database, TableDefinition};

use crate::support::fleet_fixture::{
    Fleet, LogServers, configure, give_keys, json, postgres_log, stop,
};
use crate::support::in_process_log::InProcessLog;
use crate::support::log_nodes::{Node, three};
use crate::support::sidecar::{Sidecar, eventually, question};
use crate::support::store_fixture::{NOW, refused};

/// A format that no program reads yet.
const NEWER: u8 = 3;
const IN_FLEET: u64 = 1 << 32;

/// Appends an entry with these bytes, as a node would.
fn append(log: &InProcessLog, id: EntryId, plain: &[u8]) {
    let entry = log.seal().entry(&log.head(), id, plain).unwrap();
    log.write(id, entry.bytes.to_vec());
}

async fn is_halted_by_a_newer_entry(log: &InProcessLog, node: &Node) {
    let before = node.store.log_applied().await.unwrap();
    assert_eq!(refused(node.store.follow_log().await).1, LOG_HALTED);
    let why = node.store.log_fault().unwrap();
    let index = log.head().index;
    assert!(
        why.contains(&format!("entry {index} of the shared log was written by a newer")),
        "{why}"
    );
    assert!(why.contains("install the version that the other nodes have"), "{why}");
    assert_eq!(node.store.log_applied().await.unwrap(), before, "something of it was applied");
    assert_eq!(refused(node.create("late").await).1, LOG_HALTED);
}

#[tokio::test]
async fn a_node_halts_at_an_entry_of_a_newer_format_and_goes_on_with_a_newer_program() {
    let (log, [first, second, _]) = three().await;
    first.create("anna").await.unwrap();
    second.follow().await;
    // What follows the version byte is not looked at.
    append(&log, EntryId([1; 16]), &[NEWER, 0xff]);
    is_halted_by_a_newer_entry(&log, &second).await;
    assert!(second.knows("anna").await, "it decides by what it has");
    // A program that reads the entry starts with the same file.
    log.lose_tail(1);
    append(&log, EntryId([1; 16]), &Entry::default().encode());
    let disk = second.disk.copy();
    let newer = Node::on_disk(&log, &disk).await;
    newer.follow().await;
    assert_eq!(newer.store.log_applied().await.unwrap(), Some(log.head()));
}

#[tokio::test]
async fn a_large_entry_of_a_newer_format_halts_a_node_as_well() {
    let (log, [first, second, _]) = three().await;
    let (id, index, bytes) = (EntryId([2; 16]), log.head().index + 1, [NEWER, 0xff]);
    let name = LargeEntry::object_name(index, id, 0);
    let object = log.seal().object(index - 1, &name, &bytes).unwrap();
    first.line.put_object(&name, &object).unwrap();
    let named = LargeEntry { parts: 1, bytes: 2, digest: Digest::of(&[&bytes]) };
    append(&log, id, &named.encode());
    is_halted_by_a_newer_entry(&log, &second).await;
}

#[tokio::test]
async fn a_snapshot_of_another_layout_is_not_begun_with_and_it_is_said_which_version_to_install() {
    let (log, [first, ..]) = three().await;
    let folder = tempfile::tempdir().unwrap();
    let (line, scratch) = (first.line.clone(), folder.path().join("scratch"));
    let written = snapshot_writer::write(&first.store, line, log.seal(), &scratch).await.unwrap();
    let names = first.line.object_names("snapshots/").unwrap();
    let manifest = names.iter().find(|name| name.ends_with("/manifest")).unwrap();
    let join = async |plain: &[u8]| {
        let sealed = log.seal().object(written.position.head.index, manifest, plain).unwrap();
        first.line.put_object(manifest, &sealed).unwrap();
        let file = folder.path().join("store");
        begin_with_newest(first.line.clone(), log.seal(), NodeId([7; 16]), &file).await
    };
    for (layout, which) in [(LAYOUT + 1, "a newer kwic-team"), (LAYOUT - 1, "an older kwic-team")] {
        let plain = SnapshotManifest { layout, ..written }.encode();
        let why = join(&plain).await.unwrap_err().public;
        assert!(why.contains(which) && why.contains("install the version"), "{why}");
    }
    let mut newer = written.encode();
    newer[0] += 1;
    let why = join(&newer).await.unwrap_err().public;
    assert!(why.contains("newer kwic-team"), "{why}");
    assert!(join(&written.encode()).await.is_ok());
}

/// Writes into a file which layout it has.
fn set_format(file: &Path, format: u64) {
    let database = Database::open(file).unwrap();
    let tx = database.begin_write().unwrap();
    tx.open_table(TableDefinition::<&str, u64>::new("meta"))
        .unwrap()
        .insert("format", format)
        .unwrap();
    tx.commit().unwrap();
}

#[tokio::test]
async fn the_file_of_a_node_is_opened_in_its_own_layout_only() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kwic.redb");
    let open = async || Store::open(&file, 8, Clock::fixed(NOW)).await;
    open().await.unwrap().close().await.unwrap();
    for (format, words) in
        [((LAYOUT + 1) | IN_FLEET, "newer kwic-team"), ((LAYOUT - 1) | IN_FLEET, "layout is older")]
    {
        set_format(&file, format);
        let fault = open().await.map(drop).unwrap_err();
        let why = fault.private.clone().unwrap_or_else(|| fault.public.clone());
        assert!(why.contains(words), "{why}");
    }
    // Nothing was migrated: with its own layout it opens.
    set_format(&file, LAYOUT | IN_FLEET);
    open().await.unwrap().close().await.unwrap();
    set_format(&file, LAYOUT - 1);
    open().await.unwrap().close().await.unwrap();
}

/// The members of a node, and what its audit log says of them.
fn content(node: &Sidecar) -> [String; 2] {
    [node.ok(&["member", "list", "--json"]), node.ok(&["audit", "list", "--json"])]
}

#[test]
fn a_change_of_layout_by_leave_init_and_join_loses_nothing() {
    let Some(servers) = LogServers::postgres() else { return };
    let Fleet { servers, lines: _lines, mut nodes, .. } =
        Fleet::with_members(servers, Duration::from_secs(8));
    nodes[0].ok(&["member", "suspend", "max"]);
    // Who is stopped first lacks what the others change since.
    stop(&mut nodes[0]);
    nodes[1].members("acme", &[("late", "operator")]);
    nodes[2].ok(&["member", "remove", "leo", "--yes"]);
    let before = content(&nodes[2]);
    nodes[1..].iter_mut().for_each(stop);
    let leave = |node| json(node, &["fleet", "leave", "--yes"])["revision"].as_u64().unwrap();
    let left: Vec<u64> = nodes.iter().map(leave).collect();
    let first = (0..nodes.len()).max_by_key(|at| left[*at]).unwrap();
    assert!(left[0] < left[first], "{left:?}");
    // As if the version that is left had the layout before this one's.
    nodes.iter().for_each(|node| set_format(&node.path("data/kwic.redb"), LAYOUT - 1));
    let LogServers::Postgres(server) = &servers else { unreachable!("it is on PostgreSQL") };
    server.sql("CREATE DATABASE of_the_next_layout");
    for (at, node) in nodes.iter().enumerate() {
        let log = postgres_log(node, server.port, "of_the_next_layout");
        configure(node, &format!("{log}name = \"host-{at}\"\non_stale = \"deny\"\n"));
    }
    json(&nodes[first], &["fleet", "init"]);
    nodes[first].restart();
    for at in (0..nodes.len()).filter(|at| *at != first) {
        give_keys(&nodes[first], &nodes[at]);
        json(&nodes[at], &["fleet", "join", "--yes"]);
        nodes[at].restart();
    }
    let may = |node: &Sidecar, who| {
        node.tcp().allows(&question(who, "chats:view", ("chat", "c"), "acme"))
    };
    for node in &nodes {
        eventually("each node is fresh", || may(node, "late"));
        assert!(!may(node, "leo") && !may(node, "max"));
        assert_eq!(content(node), before);
        let chains = node.ok(&["audit", "verify", "--json"]);
        assert!(chains.lines().all(|chain| chain.contains("\"fault\":null")), "{chains}");
    }
    let said = nodes[0].ok(&["member", "remove", "late", "--yes", "--wait-all"]);
    assert!(said.ends_with("seen by 3 of 3\n"), "{said}");
}
