//! Snapshots of a fleet: a node begins with one and goes on with the log; what is not whole, was
//! altered, or is of no place in the log is not taken, and what nobody needs is removed.

use std::path::PathBuf;
use std::sync::Arc;

use kwic_team::clock::Clock;
use kwic_team::domain::{Failure, Kind};
use kwic_team::entropy;
use kwic_team::fleet::snapshot_list;
use kwic_team::fleet::snapshot_reader::{NO_SNAPSHOT, begin_with_newest};
use kwic_team::fleet::snapshot_schedule::{
    self, BYTES_MAX, ENTRIES_MAX, SnapshotSchedule, Trimmed,
};
use kwic_team::fleet::snapshot_writer;
use kwic_team::store::records::snapshot_manifest::SnapshotManifest;
use kwic_team::store::shared_log::{FleetLog, NodeId};
use kwic_team::store::{LOG_AWAY, LOG_HALTED, Store};
use tempfile::TempDir;

use crate::support::in_process_log::{InProcessLog, LogLine, passing_keys};
use crate::support::store_fixture::{ACTOR, NOW, id, member, refused, slug};

struct Node {
    store: Store,
    line: Arc<LogLine>,
    folder: TempDir,
}

impl Node {
    /// One that has followed the log from its beginning.
    async fn first(log: &InProcessLog) -> Self {
        let store = Store::in_memory(Clock::fixed(NOW)).await.unwrap();
        let line = LogLine::new(log);
        log.join(&store, line.clone()).await;
        let node = Self { store, line, folder: tempfile::tempdir().unwrap() };
        node.follow().await.unwrap();
        node
    }

    /// One that begins with a snapshot.
    async fn from_snapshot(log: &InProcessLog) -> Result<Self, Failure> {
        let (line, folder) = (LogLine::new(log), tempfile::tempdir().unwrap());
        let file = folder.path().join("kwic.redb");
        let id = NodeId(entropy::random().unwrap());
        let begun = begin_with_newest(line.clone(), log.seal(), id, &file).await;
        assert_eq!(begun.is_ok(), file.exists(), "nothing is left of what was not taken");
        begun?;
        let store = Store::open(&file, 8, Clock::fixed(NOW)).await.unwrap();
        assert_eq!(store.fleet().await.unwrap().unwrap().node, id);
        log.join(&store, line.clone()).await;
        let node = Self { store, line, folder };
        node.follow().await?;
        Ok(node)
    }

    async fn follow(&self) -> Result<(), Failure> {
        while self.store.follow_log().await? > 0 {}
        Ok(())
    }

    async fn create(&self, name: &str) {
        self.store.member_create(&ACTOR, member("acme", name)).await.unwrap();
    }

    async fn knows(&self, name: &str) -> bool {
        self.store.member(&id(name)).await.unwrap().is_some()
    }

    fn scratch(&self) -> PathBuf {
        self.folder.path().join("scratch")
    }

    async fn snapshot(&self, log: &InProcessLog) -> Result<SnapshotManifest, Failure> {
        let (line, scratch) = (self.line.clone(), self.scratch());
        let written = snapshot_writer::write(&self.store, line, log.seal(), &scratch).await;
        assert!(!self.scratch().exists(), "the copy is removed");
        written
    }

    async fn trim(&self, log: &InProcessLog) -> Option<Trimmed> {
        let line: Arc<dyn FleetLog> = self.line.clone();
        snapshot_schedule::trim(&line, &log.seal()).await.unwrap()
    }

    async fn has_the_content_of(&self, other: &Self) -> bool {
        self.store.content_digest().await.unwrap() == other.store.content_digest().await.unwrap()
    }
}

/// A log with an account and a member, and the node that made them.
async fn begun() -> (InProcessLog, Node) {
    let log = InProcessLog::default();
    let node = Node::first(&log).await;
    node.store.account_create(&ACTOR, slug("acme"), "Acme".into(), None).await.unwrap();
    node.create("anna").await;
    (log, node)
}

/// The index of the last entry of [`begun`].
const BEGUN: u64 = 2;

/// The same with so many members that a snapshot has several parts.
async fn begun_large() -> (InProcessLog, Node) {
    let (log, node) = begun().await;
    // Made at the same time, they are few entries.
    let made = (0..MANY).map(|number| {
        let store = node.store.clone();
        tokio::spawn(async move {
            store.member_create(&ACTOR, member("acme", &format!("m{number}"))).await.unwrap();
        })
    });
    for made in made.collect::<Vec<_>>() {
        made.await.unwrap();
    }
    (log, node)
}

const MANY: usize = 2_000;

fn objects(line: &LogLine) -> Vec<String> {
    line.object_names("snapshots/").unwrap()
}

#[tokio::test]
async fn a_node_begins_with_a_snapshot_and_goes_on_with_the_log() {
    let (log, first) = begun_large().await;
    let written = first.snapshot(&log).await.unwrap();
    assert_eq!(written.position.head, log.head());
    assert!(written.parts > 1, "one part tests nothing of several: {written:?}");
    first.create("bert").await;
    // Nothing of before the snapshot is needed.
    first.line.trim(written.position.head.index).unwrap();
    let second = Node::from_snapshot(&log).await.unwrap();
    assert!(second.knows("anna").await && second.knows("bert").await);
    assert!(second.has_the_content_of(&first).await);
    // Either is told of what the other does.
    second.create("carl").await;
    first.follow().await.unwrap();
    first.create("dora").await;
    second.follow().await.unwrap();
    assert!(second.has_the_content_of(&first).await);
    assert_eq!(second.store.revision().await.unwrap(), first.store.revision().await.unwrap());
    // And it can write one for a third.
    second.snapshot(&log).await.unwrap();
    let third = Node::from_snapshot(&log).await.unwrap();
    assert!(third.has_the_content_of(&first).await);
}

#[tokio::test]
async fn a_snapshot_shows_no_name() {
    let (log, first) = begun().await;
    first.snapshot(&log).await.unwrap();
    for object in objects(&first.line) {
        let bytes = first.line.object(&object).unwrap().unwrap();
        for word in ["anna", "acme", "example.org"] {
            let has = bytes.windows(word.len()).any(|part| part == word.as_bytes());
            assert!(!has, "{word} is in {object}");
        }
    }
}

#[tokio::test]
async fn what_is_not_whole_is_not_taken_and_the_one_before_it_is() {
    let (log, first) = begun_large().await;
    let older = first.snapshot(&log).await.unwrap();
    first.create("bert").await;
    let newer = first.snapshot(&log).await.unwrap();
    let own: Vec<String> = objects(&first.line).split_off(objects(&first.line).len() / 2);
    assert_eq!(own.len() as u64, newer.parts + 1);
    assert!(newer.parts > 1, "parts in each other's place are two");
    assert_eq!(older.parts, newer.parts);
    let whole: Vec<(String, Vec<u8>)> =
        own.iter().map(|name| (name.clone(), first.line.object(name).unwrap().unwrap())).collect();
    let (part, manifest) = (own[0].as_str(), own.last().unwrap().as_str());
    assert!(manifest.ends_with("/manifest") && part.ends_with("/00000000"));
    let spoil: [(&str, &dyn Fn()); 6] = [
        ("a part is missing", &|| first.line.remove_object(part).unwrap()),
        ("the manifest is missing", &|| first.line.remove_object(manifest).unwrap()),
        ("a bit of a part", &|| {
            let mut bytes = whole[0].1.clone();
            bytes[1000] ^= 1;
            first.line.put_object(part, &bytes).unwrap();
        }),
        ("a bit of the manifest", &|| {
            let mut bytes = whole.last().unwrap().1.clone();
            *bytes.last_mut().unwrap() ^= 1;
            first.line.put_object(manifest, &bytes).unwrap();
        }),
        ("two parts in each other's place", &|| {
            first.line.put_object(&own[0], &whole[1].1).unwrap();
            first.line.put_object(&own[1], &whole[0].1).unwrap();
        }),
        ("a part of the one before", &|| {
            let of_older = first.line.object(&objects(&first.line)[0]).unwrap().unwrap();
            first.line.put_object(part, &of_older).unwrap();
        }),
    ];
    for (what, spoil) in spoil {
        spoil();
        let line = LogLine::new(&log);
        let file = first.folder.path().join("began.redb");
        let node = NodeId([7; 16]);
        let taken = begin_with_newest(line, log.seal(), node, &file).await.unwrap();
        assert_eq!(taken, older, "{what}");
        for (name, bytes) in &whole {
            first.line.put_object(name, bytes).unwrap();
        }
        let taken = begin_with_newest(LogLine::new(&log), log.seal(), node, &file).await.unwrap();
        assert_eq!(taken, newer, "{what} was undone");
    }
}

#[tokio::test]
async fn where_none_can_be_taken_it_says_why() {
    let (log, first) = begun().await;
    let none = Node::from_snapshot(&log).await.map(drop).unwrap_err();
    assert_eq!((none.kind, none.code), (Kind::Conflict, NO_SNAPSHOT));
    assert!(none.public.contains("kwic-team fleet init"), "{none}");
    first.snapshot(&log).await.unwrap();
    // Of a team with other keys.
    let other = log.with_keys(passing_keys());
    let strange = Node::from_snapshot(&other).await.map(drop).unwrap_err();
    assert_eq!(strange.code, NO_SNAPSHOT);
    assert!(strange.public.contains("compare `keys`"), "{strange}");
    // The log does not lead on from there any more.
    first.create("bert").await;
    first.create("carl").await;
    first.line.trim(BEGUN + 1).unwrap();
    let late = Node::from_snapshot(&log).await.map(drop).unwrap_err();
    assert!(late.public.contains("does not lead on"), "{late}");
}

#[tokio::test]
async fn a_node_that_was_away_too_long_halts_and_joins_again() {
    let (log, first) = begun().await;
    let second = Node::first(&log).await;
    first.create("bert").await;
    first.snapshot(&log).await.unwrap();
    first.create("carl").await;
    first.snapshot(&log).await.unwrap();
    assert_eq!(first.trim(&log).await.map(|trimmed| trimmed.through), Some(BEGUN + 1));
    assert_eq!(refused(second.follow().await), (Kind::Busy, LOG_HALTED));
    let why = second.store.log_fault().unwrap();
    assert!(why.contains("kwic-team fleet join"), "{why}");
    let again = Node::from_snapshot(&log).await.unwrap();
    assert!(again.has_the_content_of(&first).await);
}

#[tokio::test]
async fn a_writer_that_is_cut_off_leaves_what_a_later_trim_removes() {
    let (log, first) = begun().await;
    let parts = first.snapshot(&log).await.unwrap().parts;
    let kept = objects(&first.line);
    first.create("bert").await;
    // After each part, and before the manifest.
    for count in 0..=parts {
        first.line.cut_after_objects(usize::try_from(count).unwrap());
        assert_eq!(refused(first.snapshot(&log).await), (Kind::Busy, LOG_AWAY));
        first.line.cut(false);
    }
    let garbage = objects(&first.line).len() - kept.len();
    assert_eq!(garbage as u64, parts * (parts + 1) / 2);
    assert!(Node::from_snapshot(&log).await.unwrap().has_the_content_of(&first).await);
    assert_eq!(first.trim(&log).await, None, "there is one snapshot");
    // At the same place the other writer may be at work still.
    first.snapshot(&log).await.unwrap();
    first.create("carl").await;
    first.snapshot(&log).await.unwrap();
    let trimmed = first.trim(&log).await.unwrap();
    assert_eq!((trimmed.through, trimmed.objects), (BEGUN + 1, kept.len()));
    first.create("dora").await;
    first.snapshot(&log).await.unwrap();
    let trimmed = first.trim(&log).await.unwrap();
    assert_eq!((trimmed.through, trimmed.objects), (BEGUN + 2, garbage + kept.len()));
    let left = objects(&first.line);
    assert_eq!(left.iter().filter(|name| name.ends_with("/manifest")).count(), 2);
    assert_eq!(log.entries().first().unwrap().head.index, BEGUN + 3);
    assert!(Node::from_snapshot(&log).await.unwrap().has_the_content_of(&first).await);
}

#[tokio::test]
async fn a_node_that_has_what_the_log_has_not_writes_no_snapshot() {
    let (log, first) = begun().await;
    let second = Node::first(&log).await;
    // A replica took over that lacks the last entry, and another one came in its place.
    second.create("bert").await;
    log.lose_tail(1);
    first.create("carl").await;
    // It does not know yet.
    assert_eq!(second.store.log_fault(), None);
    assert_eq!(refused(second.snapshot(&log).await), (Kind::Busy, LOG_HALTED));
    assert!(objects(&second.line).is_empty());
    // And now it does.
    assert!(second.follow().await.is_err());
    assert_eq!(refused(second.snapshot(&log).await), (Kind::Busy, LOG_HALTED));
    assert!(objects(&second.line).is_empty());
    // The lost entry was the last one: the log ends before what it has.
    log.lose_tail(1);
    assert_eq!(refused(first.snapshot(&log).await), (Kind::Busy, LOG_HALTED));
    assert!(objects(&second.line).is_empty());
}

#[tokio::test]
async fn a_snapshot_is_written_when_it_is_due() {
    let (log, first) = begun().await;
    let line: Arc<dyn FleetLog> = first.line.clone();
    let mut schedule = SnapshotSchedule::default();
    assert!(schedule.is_due(0, 0), "there is none");
    let tended = schedule.tend(&first.store, &line, &log.seal(), &first.scratch()).await.unwrap();
    assert_eq!(tended.unwrap().position.head.index, BEGUN);
    let bytes = first.store.log_bytes_applied();
    assert!(bytes > 100);
    assert!(!schedule.is_due(BEGUN, bytes));
    assert!(!schedule.is_due(BEGUN + ENTRIES_MAX - 1, bytes + BYTES_MAX - 1));
    assert!(schedule.is_due(BEGUN + ENTRIES_MAX, bytes));
    assert!(schedule.is_due(BEGUN + 1, bytes + BYTES_MAX));
    assert!(!schedule.is_due(BEGUN, bytes + BYTES_MAX), "nothing came since");
    // Another node finds that one.
    let second = Node::first(&log).await;
    let mut other = SnapshotSchedule::default();
    let tended = other.tend(&second.store, &line, &log.seal(), &second.scratch()).await.unwrap();
    assert_eq!(tended, None);
    let found = snapshot_list::list(&*line, &log.seal()).unwrap();
    assert_eq!((found.whole.len(), found.refused.len()), (1, 0));
}

#[tokio::test]
async fn what_a_large_entry_names_is_kept_until_it_is_trimmed() {
    let (log, first) = begun().await;
    let large = |name: &str| {
        let title = "x".repeat(5 << 18);
        first.store.account_create(&ACTOR, slug(name), title, None)
    };
    large("early").await.unwrap();
    first.snapshot(&log).await.unwrap();
    large("late").await.unwrap();
    let parts = || first.line.object_names("entries/").unwrap().len();
    assert_eq!(parts(), 4);
    let joined = Node::from_snapshot(&log).await.unwrap();
    assert!(joined.has_the_content_of(&first).await);
    first.snapshot(&log).await.unwrap();
    let trimmed = first.trim(&log).await.unwrap();
    assert_eq!(trimmed.through, BEGUN + 1);
    assert_eq!(parts(), 2);
}
