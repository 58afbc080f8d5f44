//! Erasure in a fleet: what is left of a person in the files of the nodes, in the log, and in copies of
//! the log that somebody has kept.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use kwic_team::clock::Clock;
use kwic_team::fleet::log_erasure::{ErasureInLog, LogRemains};
use kwic_team::fleet::snapshot_reader::begin_with_newest;
use kwic_team::fleet::snapshot_writer;
use kwic_team::keys::Keys;
use kwic_team::keys::epoch_keys::EpochKeys;
use kwic_team::store::records::shared_log_entry::LargeEntry;
use kwic_team::store::shared_log::{EntryId, FleetLog, LogEntry, NodeId};
use kwic_team::store::shared_log_encryption::LogSeal;
use kwic_team::store::{ErasureReach, MemberTarget, Store};
use tempfile::TempDir;

use crate::support::in_process_log::{InProcessLog, LogLine, keys_in};
use crate::support::sidecar::copy_folder;
use crate::support::store_fixture::{ACTOR, BY, NOW, id, member, slug};

/// Is erased. The id stays, as a pseudonym.
const ADDRESS: &str = "zaphodia@example.org";

/// A node with a file and keys of its own.
struct Node {
    home: TempDir,
    log: InProcessLog,
    line: Arc<LogLine>,
    store: Store,
}

impl Node {
    async fn new(keys: &TempDir, log: &InProcessLog) -> Self {
        let home = tempfile::tempdir().unwrap();
        copy_folder(keys.path(), &home.path().join("keys"));
        let log = log.with_keys(keys_in(&home.path().join("keys")));
        let (line, store) = Self::open(&home, &log).await;
        Self { home, log, line, store }
    }

    async fn open(home: &TempDir, log: &InProcessLog) -> (Arc<LogLine>, Store) {
        let (line, file) = (LogLine::new(log), home.path().join("kwic.redb"));
        let store = Store::open(&file, 8, Clock::fixed(NOW)).await.unwrap();
        log.join(&store, line.clone()).await;
        while store.follow_log().await.unwrap() > 0 {}
        (line, store)
    }

    /// Stopped, then started.
    async fn restart(&mut self) {
        self.store.close().await.unwrap();
        self.log = self.log.with_keys(keys_in(&self.home.path().join("keys")));
        (self.line, self.store) = Self::open(&self.home, &self.log).await;
    }

    async fn follow(&self) {
        while self.store.follow_log().await.unwrap() > 0 {}
    }

    async fn reach(&self) -> ErasureReach {
        self.store.erasure_reach().await.unwrap().unwrap()
    }

    async fn snapshot(&self) {
        let (seal, scratch) = (self.log.seal(), self.home.path().join("scratch"));
        snapshot_writer::write(&self.store, self.line.clone(), seal, &scratch).await.unwrap();
    }

    async fn step(&self, up_to: u64, applied_by_all: u64) -> bool {
        let log: Arc<dyn FleetLog> = self.line.clone();
        let (seal, scratch) = (self.log.seal(), self.home.path().join("scratch"));
        let work = ErasureInLog { store: &self.store, log: &log, seal: &seal, scratch: &scratch };
        work.step(up_to, applied_by_all).await.unwrap()
    }

    fn file_has(&self, word: &str) -> bool {
        has(&fs::read(self.file()).unwrap(), word)
    }

    fn file(&self) -> PathBuf {
        self.home.path().join("kwic.redb")
    }

    fn key_files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.home.path().join("keys")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name.starts_with("epoch"));
        names.sort();
        names
    }
}

fn has(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|part| part == word.as_bytes())
}

fn keys() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    Keys::open(folder.path()).unwrap();
    EpochKeys::read(folder.path()).unwrap().begin_log().unwrap();
    folder
}

/// What the engine of a log has had, as its write-ahead log or its backups keep it.
struct Leftovers {
    entries: Vec<LogEntry>,
    objects: Vec<(String, Vec<u8>)>,
}

impl Leftovers {
    fn of(node: &Node) -> Self {
        let names = node.line.object_names("").unwrap();
        let object = |name: String| {
            let bytes = node.line.object(&name).unwrap().unwrap();
            (name, bytes)
        };
        Self { entries: node.log.entries(), objects: names.into_iter().map(object).collect() }
    }

    /// How many entries and objects open with a node's keys, and whether one has the word.
    fn open_with(&self, seal: &LogSeal, word: &str) -> (usize, bool) {
        let mut before = InProcessLog::start();
        let mut plain = Vec::new();
        for entry in &self.entries {
            plain.extend(seal.open_entry(&before, entry));
            before = entry.head;
        }
        plain.extend(self.objects.iter().filter_map(|(name, it)| seal.open_object(name, it).ok()));
        (plain.len(), plain.iter().any(|plain| has(plain, word)))
    }
}

#[tokio::test]
async fn an_erasure_leaves_nothing_in_files_in_the_log_and_in_copies_of_the_log() {
    let keys = keys();
    let log = InProcessLog::sealed_with(keys_in(keys.path()));
    let mut one = Node::new(&keys, &log).await;
    let mut two = Node::new(&keys, &log).await;
    one.store.account_create(&ACTOR, slug("acme"), "Acme".into(), None).await.unwrap();
    one.store.member_create(&ACTOR, member("acme", "zaphodia")).await.unwrap();
    one.store.member_create(&ACTOR, member("acme", "anna")).await.unwrap();
    // A snapshot has the person, too.
    one.snapshot().await;
    two.follow().await;
    // The file on the disk has the person, not only memory.
    two.store.persist().await.unwrap();
    let (acme, zaphodia) = (slug("acme"), id("zaphodia"));
    let target = MemberTarget { account: &acme, id: &zaphodia, expected: None };
    one.store.member_remove(&BY, target).await.unwrap();
    one.store.member_erase(&BY, &acme, &zaphodia).await.unwrap();
    two.follow().await;
    let erased = one.reach().await.erased;
    assert_eq!((erased, two.reach().await.erased), (log.head().index, log.head().index));
    let leftovers = Leftovers::of(&one);
    let (opened, knows) = leftovers.open_with(&two.log.seal(), ADDRESS);
    assert!(knows && opened == leftovers.entries.len() + leftovers.objects.len(), "{opened}");

    // The log is not trimmed before every node has what takes its place.
    assert!(!one.step(erased, erased).await);
    assert!(LogRemains::of(&*one.line).unwrap().behind < erased);
    two.follow().await;
    let head = log.head().index;
    assert!(one.step(erased, head).await);
    assert!(LogRemains::of(&*one.line).unwrap().behind > erased);
    assert!(one.step(erased, head).await, "once more does no harm");

    // What a large entry named, or was to name, would count as well.
    let stray = LargeEntry::object_name(erased, EntryId([1; 16]), 0);
    one.line.put_object(&stray, b"sealed").unwrap();
    assert!(LogRemains::of(&*one.line).unwrap().behind < erased);
    assert!(one.step(erased, head).await && one.line.object(&stray).unwrap().is_none());

    // Each file is written anew, by a restart or while it is open.
    for node in [&one, &two] {
        assert!(node.reach().await.rewritten < erased && node.file_has(ADDRESS));
    }
    one.restart().await;
    two.store.rewrite_if_small().await.unwrap();
    for node in [&one, &two] {
        assert!(node.reach().await.rewritten >= erased && !node.file_has(ADDRESS));
        assert!(node.store.member(&id("anna")).await.unwrap().is_some());
        // The former key is there until it is destroyed, and opens everything.
        assert_eq!(node.key_files(), ["epoch-1.key", "epoch-2.key"]);
        assert!(leftovers.open_with(&node.log.seal(), ADDRESS).1);
        let left = LogRemains::of(&*node.line).unwrap();
        assert_eq!(node.log.seal().destroy_before(left.behind).unwrap(), 1);
        assert_eq!(node.key_files(), ["epoch-2.key"]);
        assert_eq!(leftovers.open_with(&node.log.seal(), ADDRESS), (0, false));
    }
    // And what is left is enough to go on, to start again, and to join.
    two.store.member_create(&ACTOR, member("acme", "bert")).await.unwrap();
    one.follow().await;
    two.restart().await;
    one.store.member_create(&ACTOR, member("acme", "carl")).await.unwrap();
    two.follow().await;
    assert!(two.store.member(&id("carl")).await.unwrap().is_some());
    two.snapshot().await;
    let objects = Leftovers { entries: Vec::new(), ..Leftovers::of(&one) };
    assert_eq!(objects.open_with(&one.log.seal(), ADDRESS), (objects.objects.len(), false));
}

#[tokio::test]
async fn a_node_that_joins_after_an_erasure_has_nothing_of_it_and_reads_the_log() {
    let keys = keys();
    let log = InProcessLog::sealed_with(keys_in(keys.path()));
    let one = Node::new(&keys, &log).await;
    one.store.account_create(&ACTOR, slug("acme"), "Acme".into(), None).await.unwrap();
    for name in ["zaphodia", "anna"] {
        one.store.member_create(&ACTOR, member("acme", name)).await.unwrap();
    }
    one.snapshot().await;
    let (acme, zaphodia) = (slug("acme"), id("zaphodia"));
    let target = MemberTarget { account: &acme, id: &zaphodia, expected: None };
    one.store.member_remove(&BY, target).await.unwrap();
    one.store.member_erase(&BY, &acme, &zaphodia).await.unwrap();
    let erased = one.reach().await.erased;
    assert!(!one.step(erased, erased).await && one.step(erased, log.head().index).await);
    one.store.rewrite_if_small().await.unwrap();
    let left = LogRemains::of(&*one.line).unwrap();
    assert_eq!(one.log.seal().destroy_before(left.behind).unwrap(), 1);
    // Behind the snapshot, so it is in an entry.
    one.store.member_create(&ACTOR, member("acme", "bert")).await.unwrap();

    let begin = async |keys: PathBuf| {
        let home = tempfile::tempdir().unwrap();
        copy_folder(&keys, &home.path().join("keys"));
        let log = log.with_keys(keys_in(&home.path().join("keys")));
        let (line, file) = (LogLine::new(&log), home.path().join("kwic.redb"));
        begin_with_newest(line, log.seal(), NodeId([9; 16]), &file).await.map(|_| (home, log))
    };
    // Keys of before open nothing that is there, and it is said which one is missing.
    let why = begin(keys.path().to_owned()).await.map(drop).unwrap_err().public;
    assert!(why.contains("`epoch-2.key`"), "{why}");
    let (home, log) = begin(one.home.path().join("keys")).await.unwrap();
    let (line, store) = Node::open(&home, &log).await;
    let late = Node { home, log, line, store };
    for name in ["anna", "bert"] {
        assert!(late.store.member(&id(name)).await.unwrap().is_some(), "{name}");
    }
    assert!(late.store.member(&zaphodia).await.unwrap().is_none());
    assert!(!late.file_has(ADDRESS) && late.reach().await.rewritten >= erased);
    late.store.member_create(&ACTOR, member("acme", "carl")).await.unwrap();
    one.follow().await;
    assert!(one.store.member(&id("carl")).await.unwrap().is_some());
}
