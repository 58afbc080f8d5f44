//! The seal of the shared log: what does not open where it is halts a node, and a reader of the log
//! learns no name.

use std::fs;

use kwic_team::clock::Clock;
use kwic_team::domain::Kind;
use kwic_team::keys::Keys;
use kwic_team::keys::epoch_keys::EpochKeys;
use kwic_team::store::shared_log::{EntryId, LogId};
use kwic_team::store::shared_log_encryption::LogSeal;
use kwic_team::store::{LOG_HALTED, Store};
use tempfile::TempDir;

use crate::support::failing_storage::FailingStorage;
use crate::support::in_process_log::{InProcessLog, LogLine, keys_in, passing_keys};
use crate::support::log_nodes::Node;
use crate::support::sidecar::copy_folder;
use crate::support::store_fixture::{ACTOR, NOW, member, refused, slug};

async fn node(log: &InProcessLog) -> Store {
    let store = Store::in_memory(Clock::fixed(NOW)).await.unwrap();
    log.join(&store, LogLine::new(log)).await;
    store
}

/// A log in which an account and two members were made.
async fn log_of_two() -> (InProcessLog, Store) {
    let log = InProcessLog::default();
    let writer = node(&log).await;
    writer.account_create(&ACTOR, slug("acme"), "Acme".into(), None).await.unwrap();
    for name in ["anna", "bert"] {
        writer.member_create(&ACTOR, member("acme", name)).await.unwrap();
    }
    (log, writer)
}

/// Why a node that has followed nothing halts at the end of this log.
async fn halts(log: &InProcessLog) -> String {
    let reader = node(log).await;
    let mut followed = reader.follow_log().await;
    while followed.as_ref().is_ok_and(|entries| *entries > 0) {
        followed = reader.follow_log().await;
    }
    assert_eq!(refused(followed), (Kind::Busy, LOG_HALTED));
    assert_eq!(refused(reader.member_create(&ACTOR, member("acme", "zoe")).await).1, LOG_HALTED);
    reader.log_fault().unwrap()
}

#[tokio::test]
async fn an_entry_that_was_altered_halts_a_node() {
    let (log, _) = log_of_two().await;
    let (last, length) = (log.entries().pop().unwrap(), log.entries().len());
    // Every byte: the number of the key, the nonce, the text, the authenticator.
    for at in 0..last.bytes.len() {
        let mut bytes = last.bytes.to_vec();
        bytes[at] ^= 1;
        log.lose_tail(1);
        log.write(last.id, bytes);
        assert_eq!(log.entries().len(), length);
        let why = halts(&log).await;
        assert!(why.contains(&format!("entry {length} of the shared log")), "{why}");
    }
    log.lose_tail(1);
    log.write(last.id, last.bytes[..3].to_vec());
    assert!(halts(&log).await.contains("is cut off"));
}

#[tokio::test]
async fn an_entry_in_another_place_halts_a_node() {
    // The last one again, behind itself, with a chain that is right.
    let (log, _) = log_of_two().await;
    let last = log.entries().pop().unwrap();
    log.write(last.id, last.bytes.to_vec());
    assert!(halts(&log).await.contains("was altered"));
    // In its place, under another name.
    let (log, _) = log_of_two().await;
    let last = log.entries().pop().unwrap();
    log.lose_tail(1);
    log.write(EntryId([1; 16]), last.bytes.to_vec());
    assert!(halts(&log).await.contains("was altered"));
}

#[tokio::test]
async fn an_entry_of_others_halts_a_node() {
    let (log, writer) = log_of_two().await;
    let (before, last) = (log.head_before(&log.entries()[2]), log.entries()[2].clone());
    let plain = log.seal().open_entry(&before, &last).unwrap();
    // Of another log of the same team, and of somebody without its keys.
    let other = LogSeal::new(LogId([9; 16]), log.keys());
    let forger = LogSeal::new(log.seal().log(), passing_keys());
    for seal in [other, forger] {
        let forged = seal.entry(&before, last.id, &plain).unwrap();
        log.lose_tail(1);
        log.write(forged.id, forged.bytes.to_vec());
        assert!(halts(&log).await.contains("was altered"));
    }
    // Without a seal.
    log.lose_tail(1);
    log.write(last.id, plain);
    halts(&log).await;
    assert!(writer.log_fault().is_none(), "it has applied the true one");
}

/// A folder with the keys of the first node of a fleet.
fn keys_of_a_log() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    Keys::open(folder.path()).unwrap();
    EpochKeys::read(folder.path()).unwrap().begin_log().unwrap();
    folder
}

#[tokio::test]
async fn a_node_gets_each_epoch_key_by_the_log_and_says_which_one_it_lacks() {
    let (first, second) = (keys_of_a_log(), tempfile::tempdir().unwrap());
    copy_folder(first.path(), second.path());
    let log = InProcessLog::sealed_with(keys_in(first.path()));
    let writer = node(&log).await;
    writer.account_create(&ACTOR, slug("acme"), "Acme".into(), None).await.unwrap();
    writer.begin_epoch(0).await.unwrap();
    // One has begun behind that.
    writer.begin_epoch(1).await.unwrap();
    writer.member_create(&ACTOR, member("acme", "anna")).await.unwrap();
    assert_eq!(log.entries().len(), 3);
    // Who had the keys at the beginning can follow.
    let late = node(&log.with_keys(keys_in(second.path()))).await;
    assert_eq!(late.follow_log().await.unwrap(), 3);
    assert!(second.path().join("epoch-2.key").exists(), "it starts again with it");
    late.member_create(&ACTOR, member("acme", "bert")).await.unwrap();
    assert_eq!(writer.follow_log().await.unwrap(), 1);
    // Who has the newer key does not come to the older one by it.
    fs::remove_file(second.path().join("epoch-1.key")).unwrap();
    let why = halts(&log.with_keys(keys_in(second.path()))).await;
    assert!(why.contains("`epoch-1.key`") && why.contains("copy the folder `keys`"), "{why}");
}

#[tokio::test]
async fn a_node_without_the_key_that_an_epoch_key_is_sealed_with_halts_and_says_so() {
    let (first, second) = (keys_of_a_log(), tempfile::tempdir().unwrap());
    copy_folder(first.path(), second.path());
    Keys::rotate(first.path()).unwrap();
    let log = InProcessLog::sealed_with(keys_in(first.path()));
    node(&log).await.begin_epoch(0).await.unwrap();
    let why = halts(&log.with_keys(keys_in(second.path()))).await;
    assert!(why.contains("`seal-2.key`") && why.contains("copy the folder `keys`"), "{why}");
    // Another key by that name.
    Keys::rotate(second.path()).unwrap();
    let why = halts(&log.with_keys(keys_in(second.path()))).await;
    assert!(why.contains("compare `keys`"), "{why}");
    assert!(!second.path().join("epoch-2.key").exists());
}

#[tokio::test]
async fn a_node_that_cannot_write_the_key_of_an_epoch_applies_nothing_and_goes_on_when_it_can() {
    let (first, second) = (keys_of_a_log(), tempfile::tempdir().unwrap());
    copy_folder(first.path(), second.path());
    let log = InProcessLog::sealed_with(keys_in(first.path()));
    let writer = node(&log).await;
    writer.account_create(&ACTOR, slug("acme"), "Acme".into(), None).await.unwrap();
    writer.begin_epoch(0).await.unwrap();
    writer.member_create(&ACTOR, member("acme", "anna")).await.unwrap();
    let late = node(&log.with_keys(keys_in(second.path()))).await;
    // Its name is taken, as there may be no space for it.
    let in_the_way = second.path().join("epoch-2.key");
    fs::create_dir(&in_the_way).unwrap();
    for _ in 0..2 {
        assert_eq!(refused(late.follow_log().await), (Kind::Busy, "store_unavailable"));
        assert_eq!(late.log_applied().await.unwrap(), Some(InProcessLog::start()));
        assert_eq!(late.log_fault(), None, "it is for good");
    }
    fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(late.follow_log().await.unwrap(), 3);
    late.member_create(&ACTOR, member("acme", "bert")).await.unwrap();
    let again = node(&log.with_keys(keys_in(second.path()))).await;
    assert_eq!(again.follow_log().await.unwrap(), 4);
}

#[tokio::test]
async fn a_disk_that_fails_while_an_epoch_begins_leaves_one_epoch_and_nothing_half_done() {
    let mut calls = 0;
    loop {
        let keys = keys_of_a_log();
        let log = InProcessLog::sealed_with(keys_in(keys.path()));
        let disk = FailingStorage::default();
        let node = Node::on_disk(&log, &disk).await;
        node.store.account_create(&ACTOR, slug("acme"), "Acme".into(), None).await.unwrap();
        calls += 1;
        disk.break_at_call(calls);
        let begun = node.store.begin_epoch(0).await;
        disk.heal();
        node.follow().await;
        node.store.begin_epoch(0).await.unwrap();
        assert_eq!(log.entries().len(), 2, "{calls}");
        assert_eq!(node.store.log_applied().await.unwrap(), Some(log.head()), "{calls}");
        assert!(keys.path().join("epoch-2.key").exists(), "{calls}");
        node.create("anna").await.unwrap();
        // A start with the keys that are written down.
        let again = Node::on_disk(&log.with_keys(keys_in(keys.path())), &disk.copy()).await;
        again.follow().await;
        assert!(again.knows("anna").await && again.create("bert").await.is_ok(), "{calls}");
        match begun {
            Ok(()) => break,
            Err(fault) => assert_eq!(fault.code, "store_unavailable", "{calls}: {fault}"),
        }
    }
    assert!(calls > 2, "the commit has {calls} calls of the disk");
}

#[tokio::test]
async fn a_reader_of_the_log_learns_no_name() {
    let (log, _) = log_of_two().await;
    let plain: Vec<u8> = log.plain_entries().iter().flat_map(|entry| entry.encode()).collect();
    let sealed: Vec<u8> =
        log.entries().iter().flat_map(|entry| entry.bytes.iter().copied()).collect();
    let has = |bytes: &[u8], word: &str| {
        bytes.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
    };
    for word in ["anna", "bert", "acme", "example.org", "operator"] {
        assert!(has(&plain, word), "{word} is in no entry: the test searches for nothing");
        assert!(!has(&sealed, word), "{word}");
    }
}
