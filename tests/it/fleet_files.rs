//! The file of a node of a fleet: what is of this node alone stays in it, and an older program leaves
//! it alone.

use std::path::Path;

use kwic_team::clock::Clock;
use kwic_team::domain::Timestamp;
use kwic_team::store::Store;
use kwic_team::store::records::fleet_membership::FleetMembership;
use kwic_team::store::records::shared_log_position::LogPosition;
use kwic_team::store::shared_log::{LogHead, LogId, NodeId};
use redb::{Database, ReadableDatabase as _, TableDefinition};

use crate::support::store_fixture::{ACTOR, BY, NOW, StoreFixture, id, slug};

const FLEET: FleetMembership = FleetMembership { log: LogId([3; 16]), node: NodeId([4; 16]) };

fn applied() -> LogPosition {
    LogPosition { head: LogHead { index: 7, ..FLEET.log.start() }, at: Timestamp(5) }
}

async fn open(file: &Path) -> Store {
    Store::open(file, 8, Clock::fixed(NOW)).await.unwrap()
}

/// The format that a program finds in a file before anything else.
fn format(file: &Path) -> u64 {
    let database = Database::open(file).unwrap();
    let tx = database.begin_read().unwrap();
    let meta = tx.open_table(TableDefinition::<&str, u64>::new("meta")).unwrap();
    meta.get("format").unwrap().unwrap().value()
}

#[tokio::test]
async fn a_file_in_a_fleet_says_so_and_an_older_program_refuses_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kwic.redb");
    let store = open(&file).await;
    assert_eq!(store.fleet().await.unwrap(), None);
    store.enter_fleet(FLEET, applied()).await.unwrap();
    store.close().await.unwrap();
    // Version 4 is the last layout that knows of no fleet: it refuses what is above.
    assert!(format(&file) > 4);
    let store = open(&file).await;
    assert_eq!(store.fleet().await.unwrap(), Some(FLEET));
    assert_eq!(store.fleet_position().await.unwrap(), Some(applied()));
    store.leave_fleet().await.unwrap();
    assert_eq!(store.fleet().await.unwrap(), None);
    assert_eq!(store.fleet_position().await.unwrap(), None);
    store.close().await.unwrap();
    assert_eq!(format(&file), 4);
}

#[tokio::test]
async fn a_backup_is_in_no_fleet() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let fixture = StoreFixture::in_file(&at("kwic.redb")).await;
    fixture.create("anna").await;
    fixture.store.enter_fleet(FLEET, applied()).await.unwrap();
    let content = fixture.store.content_digest().await.unwrap();
    fixture.store.copy_to(&at("running.redb")).await.unwrap();
    fixture.store.close().await.unwrap();
    Store::copy_file(&at("kwic.redb"), &at("stopped.redb")).await.unwrap();
    for copy in ["running.redb", "stopped.redb"] {
        assert_eq!(format(&at(copy)), 4, "{copy}");
        let copied = open(&at(copy)).await;
        assert_eq!(copied.fleet().await.unwrap(), None, "{copy}");
        assert_eq!(copied.fleet_position().await.unwrap(), None, "{copy}");
        assert_eq!(copied.content_digest().await.unwrap(), content, "{copy}");
        copied.account_create(&ACTOR, slug("other"), "Other".into(), None).await.unwrap();
    }
}

#[tokio::test]
async fn a_file_that_is_rewritten_stays_in_its_fleet() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kwic.redb");
    let fixture = StoreFixture::in_file(&file).await;
    fixture.create("anna").await;
    let anna = id("anna");
    fixture.store.member_remove(&BY, fixture.target(&anna)).await.unwrap();
    fixture.store.member_erase(&BY, &fixture.acme, &anna).await.unwrap();
    fixture.store.enter_fleet(FLEET, applied()).await.unwrap();
    assert!(fixture.store.erased_left().await.unwrap().is_some());
    fixture.store.close().await.unwrap();
    let store = open(&file).await;
    assert!(store.erased_left().await.unwrap().is_none(), "it was rewritten");
    assert_eq!(store.fleet().await.unwrap(), Some(FLEET));
    assert_eq!(store.fleet_position().await.unwrap(), Some(applied()));
}
