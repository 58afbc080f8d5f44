//! The shared log on a real etcd cluster: each outcome of an append, what is refused and in which
//! words, and what members that die leave behind.

mod faulty_proxy;
mod lost_members;
mod misconfigured_cluster;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use kwic_team::domain::Digest;
use kwic_team::store::etcd_log::{EtcdLog, EtcdSettings, LogId};
use kwic_team::store::shared_log::{
    Appended, ENTRY_BYTES_MAX, EntryId, FleetLog as _, LogEntry, LogHead, OBJECT_BYTES_MAX,
    READ_MAX, SharedLog,
};
use tokio::runtime::Runtime;

use self::faulty_proxy::{FaultyProxy, LineFault};
use crate::support::etcd_cluster::{ClusterOptions, EtcdCluster};

/// The cluster of the tests that leave it whole: one for all that run at a time.
static CLUSTER: Mutex<Weak<EtcdCluster>> = Mutex::new(Weak::new());
/// For prefixes that no other test has.
static PREFIXES: AtomicU8 = AtomicU8::new(0);
/// The timeout of a call where a test waits for it to pass.
const SOON: Duration = Duration::from_millis(900);

fn cluster() -> Option<Arc<EtcdCluster>> {
    let mut known = CLUSTER.lock().unwrap();
    if let Some(cluster) = known.upgrade() {
        return Some(cluster);
    }
    let cluster = Arc::new(EtcdCluster::start(&ClusterOptions::default())?);
    *known = Arc::downgrade(&cluster);
    Some(cluster)
}

/// A deployment: a prefix, an id, and the runtime of its nodes.
struct Deployment {
    runtime: Runtime,
    settings: EtcdSettings,
    id: LogId,
}

impl Deployment {
    /// One with nothing in etcd yet.
    fn of(endpoints: Vec<String>) -> Self {
        let number = PREFIXES.fetch_add(1, Ordering::Relaxed);
        let mut settings = EtcdSettings::new(endpoints);
        settings.prefix = format!("test-{number}/");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        Self { runtime, settings, id: LogId(rand::random()) }
    }

    fn log(&self) -> EtcdLog {
        EtcdLog::new(&self.settings, self.id, self.runtime.handle().clone()).unwrap()
    }

    fn created(&self) -> EtcdLog {
        let log = self.log();
        log.create(&start()).unwrap();
        log
    }

    /// A line to the same log through other endpoints, with a short timeout.
    fn by(&self, endpoints: Vec<String>) -> EtcdLog {
        let mut settings = EtcdSettings { endpoints, ..self.settings.clone() };
        settings.request_timeout = SOON;
        EtcdLog::new(&settings, self.id, self.runtime.handle().clone()).unwrap()
    }
}

/// The head before the first entry.
fn start() -> LogHead {
    LogHead { index: 0, authenticator: Digest::of(&[b"a test"]) }
}

fn entry(before: &LogHead, bytes: impl Into<Vec<u8>>) -> LogEntry {
    LogEntry::after(before, EntryId(rand::random()), bytes.into())
}

/// Appends entries one after another; the last head.
fn fill(log: &EtcdLog, mut head: LogHead, entries: impl IntoIterator<Item = Vec<u8>>) -> LogHead {
    for bytes in entries {
        let next = entry(&head, bytes);
        assert_eq!(log.append(&head, &next), Appended::Made);
        head = next.head;
    }
    head
}

/// The whole log from an index on; every entry follows the one before it.
fn all(log: &EtcdLog, after: &LogHead) -> Vec<LogEntry> {
    let (mut found, mut head) = (Vec::<LogEntry>::new(), *after);
    for _ in 0..1000 {
        let part = log.read(head.index, READ_MAX).unwrap();
        for entry in part.entries {
            assert!(entry.follows(&head), "{} after {}", entry.head.index, head.index);
            head = entry.head;
            found.push(entry);
        }
        if head == part.head {
            return found;
        }
    }
    panic!("the log has no end");
}

#[test]
fn an_append_is_made_or_moves_and_reads_see_it() {
    let Some(cluster) = cluster() else { return };
    let fleet = Deployment::of(cluster.endpoints());
    let (a, b) = (fleet.created(), fleet.log());
    assert_eq!(b.read(0, READ_MAX).unwrap().head, start());
    let first = entry(&start(), "first");
    assert_eq!(a.append(&start(), &first), Appended::Made);
    let other = entry(&start(), "other");
    assert!(matches!(b.append(&start(), &other), Appended::Moved(Some(_))));
    let part = b.read(0, READ_MAX).unwrap();
    assert_eq!((part.head, part.entries), (first.head, vec![first.clone()]));
    // A head that another history has at the same index is another head.
    let forged = LogHead { index: 1, authenticator: Digest::of(&[b"another"]) };
    assert!(matches!(b.append(&forged, &entry(&forged, "x")), Appended::Moved(Some(_))));
    let second = entry(&first.head, "second");
    assert_eq!(b.append(&first.head, &second), Appended::Made);
    let part = a.read(1, READ_MAX).unwrap();
    assert_eq!((part.head, part.entries), (second.head, vec![second]));
    assert_eq!(a.read(0, 1).unwrap().entries, [first]);
    assert!(a.read(0, 0).unwrap().entries.is_empty());
    assert!(a.read(2, READ_MAX).unwrap().entries.is_empty());
    // An entry that is not the next one would leave a gap.
    let gap = entry(&LogHead { index: 7, ..part.head }, "gap");
    assert!(matches!(a.append(&part.head, &gap), Appended::Refused(_)));
}

#[test]
fn entries_of_the_largest_size_fit_and_reads_are_bounded_by_bytes() {
    let Some(cluster) = cluster() else { return };
    let fleet = Deployment::of(cluster.endpoints());
    let log = fleet.created();
    let small = (0..READ_MAX + 20).map(|index| format!("entry {index}").into_bytes());
    let after_small = fill(&log, start(), small);
    assert_eq!(log.read(0, READ_MAX).unwrap().entries.len(), READ_MAX);
    let large = |byte| vec![byte; ENTRY_BYTES_MAX];
    fill(&log, after_small, (0..11).map(large));
    let part = log.read(after_small.index, READ_MAX).unwrap();
    assert_eq!(part.entries.len(), 8, "8 MiB");
    assert_eq!(part.head.index, after_small.index + 11);
    // Small ones, then large ones: what is too much for one read comes with the next.
    assert_eq!(all(&log, &start()).len(), READ_MAX + 20 + 11);
    // Each request stays within what is read at once, and both together do not.
    let sizes = [500_000; 8].into_iter().chain([560_000; 16]);
    fill(&log, part.head, sizes.map(|size| vec![5; size]));
    let entries = log.read(part.head.index, READ_MAX).unwrap().entries;
    let bytes: usize = entries.iter().map(|entry| entry.bytes.len()).sum();
    assert!(entries.len() > 8 && bytes <= 8 << 20, "{bytes}");
    let part = log.read(part.head.index + 24, 1).unwrap();
    let over = entry(&part.head, vec![0; ENTRY_BYTES_MAX + 1]);
    assert!(matches!(log.append(&part.head, &over), Appended::Refused(_)));
}

#[test]
fn eight_nodes_at_once_make_one_order_without_gaps() {
    const EACH: usize = 25;
    let Some(cluster) = cluster() else { return };
    let fleet = Deployment::of(cluster.endpoints());
    let log = fleet.created();
    let append = |node: usize| {
        let mut endpoints = cluster.endpoints();
        endpoints.rotate_left(node % 3);
        let settings = EtcdSettings { endpoints, ..fleet.settings.clone() };
        let log = EtcdLog::new(&settings, fleet.id, fleet.runtime.handle().clone()).unwrap();
        let (mut head, mut made) = (start(), Vec::new());
        for _ in 0..10_000 {
            let next = entry(&head, format!("{node}"));
            match log.append(&head, &next) {
                Appended::Made => made.push(next.id),
                Appended::Moved(_) => {}
                other => panic!("{other:?}"),
            }
            if made.len() == EACH {
                return made;
            }
            head = log.read(head.index, READ_MAX).unwrap().head;
        }
        panic!("node {node} appended only {}", made.len());
    };
    let made: Vec<EntryId> = std::thread::scope(|scope| {
        let nodes: Vec<_> = (0..8).map(|node| scope.spawn(move || append(node))).collect();
        nodes.into_iter().flat_map(|node| node.join().unwrap()).collect()
    });
    let found: Vec<_> = all(&log, &start()).into_iter().map(|entry| entry.id).collect();
    assert_eq!(found.len(), 8 * EACH);
    let (found, made): (BTreeSet<_>, BTreeSet<_>) =
        (found.iter().map(|id| id.0).collect(), made.iter().map(|id| id.0).collect());
    assert_eq!(found, made);
}

#[test]
fn a_lost_answer_is_unknown_and_the_id_tells_what_came_of_it() {
    let Some(cluster) = cluster() else { return };
    let fleet = Deployment::of(cluster.endpoints());
    let sound = fleet.created();
    let proxy = FaultyProxy::before(cluster.port(0));
    let log = fleet.by(vec![proxy.endpoint()]);
    let is_unknown = |outcome: Appended| matches!(outcome, Appended::Unknown(_));
    let has =
        |entry: &LogEntry| sound.read(entry.head.index - 1, 1).unwrap().entries.contains(entry);
    let lost = entry(&start(), "lost answer");
    proxy.plan([LineFault::LostAnswer]);
    assert!(is_unknown(log.append(&start(), &lost)));
    assert!(has(&lost));
    // Again, as a node does: it is not appended twice.
    assert!(matches!(log.append(&start(), &lost), Appended::Moved(Some(_))));
    assert!(has(&lost));
    let head = lost.head;
    let unsent = entry(&head, "lost request");
    proxy.plan([LineFault::LostRequest]);
    assert!(is_unknown(log.append(&head, &unsent)));
    assert!(!has(&unsent));
    assert_eq!(log.append(&head, &unsent), Appended::Made);
    let head = unsent.head;
    // A doubled request says that the head moved: it was itself.
    let doubled = entry(&head, "twice");
    proxy.plan([LineFault::Twice]);
    assert!(matches!(log.append(&head, &doubled), Appended::Moved(Some(_))));
    assert!(has(&doubled));
    let head = doubled.head;
    // A late one comes after another entry, and is none.
    let late = entry(&head, "late");
    proxy.plan([LineFault::Late]);
    assert!(is_unknown(log.append(&head, &late)));
    let other = entry(&head, "other");
    assert_eq!(sound.append(&head, &other), Appended::Made);
    proxy.deliver_late();
    assert!(!has(&late) && has(&other));
    // Where nothing came between, it is appended once its caller waits no longer.
    let late = entry(&other.head, "later");
    proxy.plan([LineFault::Late]);
    assert!(is_unknown(log.append(&other.head, &late)));
    assert!(!has(&late));
    proxy.deliver_late();
    assert!(has(&late));
    assert_eq!(all(&sound, &start()).len(), 5);
    // The append that fills etcd is made although the answer is no; the next one is not.
    let fills = entry(&late.head, "fills up");
    proxy.plan([LineFault::FillsUp]);
    assert_eq!(log.append(&late.head, &fills), Appended::Made);
    assert!(has(&fills));
    let next = entry(&fills.head, "no room");
    proxy.plan([LineFault::IsFull]);
    assert!(matches!(log.append(&fills.head, &next), Appended::Refused(_)));
    assert!(!has(&next));
    proxy.plan([LineFault::IsFull, LineFault::LostRequest]);
    assert!(is_unknown(log.append(&fills.head, &next)));
}

#[test]
fn an_append_is_sent_to_one_member_only_and_a_read_to_the_next_one() {
    let Some(cluster) = cluster() else { return };
    let fleet = Deployment::of(cluster.endpoints());
    let sound = fleet.created();
    let proxy = FaultyProxy::before(cluster.port(0));
    let log = fleet.by(vec![proxy.endpoint(), cluster.endpoint(1)]);
    let next = entry(&start(), "to a member that is silent");
    proxy.plan([LineFault::Silence]);
    let begin = Instant::now();
    assert!(matches!(log.append(&start(), &next), Appended::Unknown(_)));
    assert!(begin.elapsed() < SOON * 2, "{:?}", begin.elapsed());
    assert_eq!(sound.read(0, 1).unwrap().head, start());
    // The other member is asked now.
    assert_eq!(log.append(&start(), &next), Appended::Made);
    let log = fleet.by(vec![proxy.endpoint(), cluster.endpoint(1)]);
    proxy.plan([LineFault::Silence]);
    let begin = Instant::now();
    assert_eq!(log.read(0, READ_MAX).unwrap().head, next.head);
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    // A member that is not there got nothing: the append goes to the next one.
    let log = fleet.by(vec![unused(), cluster.endpoint(2)]);
    let other = entry(&next.head, "to a member that is there");
    assert_eq!(log.append(&next.head, &other), Appended::Made);
}

#[test]
fn a_change_wakes_and_a_watch_that_hangs_is_waited_for_no_longer_than_asked() {
    let Some(cluster) = cluster() else { return };
    let fleet = Deployment::of(cluster.endpoints());
    let log = fleet.created();
    // The beginning of a watch wakes, too.
    assert!(log.wait_for_change(Duration::from_secs(10)));
    assert!(!log.wait_for_change(Duration::from_millis(200)));
    let mut head = start();
    for index in 0..3 {
        let next = entry(&head, format!("{index}"));
        let other = fleet.log();
        let begin = std::thread::scope(|scope| {
            let waits = scope.spawn(|| log.wait_for_change(Duration::from_secs(10)));
            std::thread::sleep(Duration::from_millis(50));
            let begin = Instant::now();
            assert_eq!(other.append(&head, &next), Appended::Made);
            assert!(waits.join().unwrap());
            begin
        });
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
        head = next.head;
    }
    // Before anybody waits, too.
    let next = entry(&head, "before");
    assert_eq!(log.append(&head, &next), Appended::Made);
    assert!(log.wait_for_change(Duration::from_secs(10)));
    let proxy = FaultyProxy::before(cluster.port(0));
    let hangs = fleet.by(vec![proxy.endpoint()]);
    let begin = Instant::now();
    assert!(!hangs.wait_for_change(Duration::from_millis(300)));
    let last = entry(&next.head, "unheard");
    assert_eq!(log.append(&next.head, &last), Appended::Made);
    assert!(!hangs.wait_for_change(Duration::from_millis(300)));
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    assert_eq!(hangs.read(0, READ_MAX).unwrap().head, last.head);
}

#[test]
fn a_trimmed_log_goes_on_where_it_was() {
    let Some(cluster) = cluster() else { return };
    let fleet = Deployment::of(cluster.endpoints());
    let log = fleet.created();
    let head = fill(&log, start(), (0..300).map(|index: u32| index.to_be_bytes().to_vec()));
    assert_eq!(log.trim(290), Ok(290));
    assert_eq!(log.trim(290), Ok(0));
    let part = log.read(0, READ_MAX).unwrap();
    assert_eq!((part.head, part.entries.len()), (head, 10));
    assert_eq!(part.entries[0].head.index, 291);
    // A node that slept appends nothing into the past.
    let slept = entry(&start(), "slept");
    assert!(matches!(log.append(&start(), &slept), Appended::Moved(Some(_))));
    assert!(log.trim(301).unwrap_err().contains("ends at 300"));
    assert_eq!(log.trim(300), Ok(10));
    assert_eq!(log.read(0, READ_MAX).unwrap().head, head);
    let next = fill(&log, head, [b"next".to_vec()]);
    assert_eq!(log.read(300, 1).unwrap().entries[0].head, next);
}

#[test]
fn objects_are_replaced_listed_and_removed() {
    let Some(cluster) = cluster() else { return };
    let fleet = Deployment::of(cluster.endpoints());
    let log = fleet.created();
    let largest = vec![9; OBJECT_BYTES_MAX];
    assert_eq!(log.object("nodes/a"), Ok(None));
    for name in ["nodes/b", "nodes/a", "snapshots/a"] {
        log.put_object(name, name.as_bytes()).unwrap();
    }
    log.put_object("nodes/a", &largest).unwrap();
    assert_eq!(log.object("nodes/a"), Ok(Some(largest.clone())), "the newer one");
    assert_eq!(log.object_names("nodes/").unwrap(), ["nodes/a", "nodes/b"]);
    let large = [&largest[..], &[0]].concat();
    assert!(log.put_object("nodes/b", &large).unwrap_err().contains("at most"));
    assert_eq!(log.object("nodes/b"), Ok(Some(b"nodes/b".to_vec())));
    log.remove_object("nodes/a").unwrap();
    log.remove_object("nodes/a").unwrap();
    assert_eq!(log.object_names("").unwrap(), ["nodes/b", "snapshots/a"]);
    // The log is what it was, and a log of another id writes nothing here.
    assert_eq!(log.read(0, READ_MAX).unwrap().head, start());
    let other = EtcdLog::new(&fleet.settings, LogId([9; 16]), fleet.runtime.handle().clone());
    let refused = other.unwrap().put_object("nodes/c", b"x").unwrap_err();
    assert!(refused.contains("a prefix of its own"), "{refused}");
}

/// An endpoint where nothing listens.
fn unused() -> String {
    // Below the ports that the system gives away: no server of another test comes by it.
    static NEXT: AtomicU16 = AtomicU16::new(2);
    format!("http://127.0.0.1:{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
