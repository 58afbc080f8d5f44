//! Nodes of two versions of the program: what a node does that meets what a newer one has written, and
//! what it says of itself.

use std::path::Path;

use kwic_team::clock::Clock;
use kwic_team::domain::Digest;
use kwic_team::fleet::snapshot_reader::begin_with_newest;
use kwic_team::fleet::snapshot_writer;
use kwic_team::store::records::entry::{Entry, LargeEntry};
use kwic_team::store::records::snapshot_manifest::SnapshotManifest;
use kwic_team::store::shared_log::{EntryId, FleetLog, NodeId};
use kwic_team::store::{LAYOUT, LOG_HALTED, Store};
use redb::{Database, TableDefinition};

use crate::support::in_process_log::InProcessLog;
use crate::support::log_nodes::{Node, three};
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
