//! An import into a fleet that is larger than an entry of the log: three stores on one log see all of
//! it or nothing, whatever happens between its parts.

use std::sync::Arc;
use std::time::Duration;

use kwic_team::directory::Directory;
use kwic_team::domain::{Actor, Change, ChangedRecord, Digest, Failure, Kind};
use kwic_team::services::directory_sync;
use kwic_team::store::requests_and_views::members::MemberFilter;
use kwic_team::store::{AuditFilter, Committed, ImportPart, ImportRow, MemberTarget};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::support::failing_storage::Survives;
use crate::support::in_process_log::AppendFault::{LostAnswer, LostRequest, Refused};
use crate::support::in_process_log::InProcessLog;
use crate::support::log_nodes::{Node, assert_alike, three};
use crate::support::store_fixture::{ACTOR, BY, MINUTE, id, member, refused, slug};

/// Members of one part of a file, and how many parts are more than fit into an entry.
const PART: u64 = 700;
const PARTS: u64 = 3;
/// Entries of a whole import: its begin, its parts, and its end.
const ENTRIES: u64 = PARTS + 2;

/// How many members a list shows, and the directory after a restart.
async fn seen(node: &Node) -> usize {
    node.follow().await;
    let (mut listed, mut after) = (0, None::<String>);
    let filter = MemberFilter::default();
    loop {
        let page = node.store.members(&slug("acme"), &filter, after.as_deref(), 1_000).await;
        let page = page.unwrap();
        listed += page.items.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let directory = Arc::new(Directory::new());
    directory_sync::load(&node.store, &directory).await.unwrap();
    assert_eq!(directory.len(), listed, "the directory has others than the list");
    listed
}

/// An import that runs, and the end of the line by which its file comes.
struct Import {
    parts: Option<mpsc::Sender<ImportPart>>,
    running: JoinHandle<Result<Committed<u64>, Failure>>,
    log: InProcessLog,
    begun: u64,
}

impl Import {
    fn into(node: &Node, log: &InProcessLog) -> Self {
        let (parts, rows) = mpsc::channel(1);
        let store = node.store.clone();
        let running =
            tokio::spawn(async move { store.member_import(&ACTOR, &slug("acme"), rows).await });
        Self { parts: Some(parts), running, log: log.clone(), begun: log.head().index }
    }

    async fn send(&self, part: ImportPart) {
        // An import that has failed listens no more.
        let _ = self.parts.as_ref().unwrap().send(part).await;
    }

    async fn send_parts(&self) {
        for part in 0..PARTS {
            self.send(rows(part)).await;
        }
    }

    async fn end(&self) {
        self.send(ImportPart::End { digest: Digest::of(&[b"file"]) }).await;
    }

    /// Waits until so many entries of the import are in the log.
    async fn until_entries(&self, count: u64) {
        for _ in 0..1_000 {
            if self.log.head().index >= self.begun + count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the import has not come to its entry {count}");
    }

    async fn outcome(mut self) -> Result<Committed<u64>, Failure> {
        self.parts.take();
        self.running.await.unwrap()
    }
}

fn rows(part: u64) -> ImportPart {
    let row = |number: u64| {
        let member = member("acme", &format!("m{:05}", part * PART + number));
        ImportRow { line: 2 + part * PART + number, member }
    };
    ImportPart::Rows((0..PART).map(row).collect())
}

const ALL: usize = (PART * PARTS) as usize;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_import_is_seen_on_all_nodes_at_once() {
    let (log, mut nodes) = three().await;
    let import = Import::into(&nodes[0], &log);
    import.send_parts().await;
    import.until_entries(ENTRIES - 1).await;
    for node in &nodes {
        assert_eq!(seen(node).await, 0);
        assert!(!node.knows("m00007").await);
        assert!(node.store.is_importing().await.unwrap());
    }
    import.end().await;
    let done = import.outcome().await.unwrap();
    assert_eq!((done.value, done.revision), (ALL as u64, nodes[0].store.revision().await.unwrap()));
    for node in &nodes {
        assert_eq!(seen(node).await, ALL);
        assert!(!node.store.is_importing().await.unwrap());
    }
    let acme = slug("acme");
    let audit = nodes[1].store.audit(Some(&acme), &AuditFilter::default(), None, 10).await.unwrap();
    let events: Vec<&str> = audit.items.iter().map(|entry| entry.event.as_str()).collect();
    assert_eq!(events, ["users_imported"]);
    // They are members like others.
    let (m7, m8) = (id("m00007"), id("m00008"));
    let target = |id| MemberTarget { account: &acme, id, expected: None };
    nodes[1].store.member_remove(&BY, target(&m7)).await.unwrap();
    nodes[2].store.member_suspend(&BY, target(&m8)).await.unwrap();
    for node in &nodes {
        assert_eq!(seen(node).await, ALL - 1);
    }
    assert_alike(&mut nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_that_follows_has_what_one_that_starts_has() {
    let (log, mut nodes) = three().await;
    let directory = Directory::new();
    let import = Import::into(&nodes[0], &log);
    import.send_parts().await;
    import.until_entries(ENTRIES - 1).await;
    nodes[1].follow().await;
    let apply = |node: &mut Node| node.told().iter().for_each(|told| directory.apply(told));
    apply(&mut nodes[1]);
    let sees = |name: &str| {
        let (whole, fast) = (directory.with(name, |_| ()), directory.access(name, |_| ()));
        assert!(whole.is_some() || fast.is_none(), "{name} is in the index alone");
        whole.is_some()
    };
    assert!(!sees("m00007") && directory.is_empty());
    assert_eq!(directory.roles_held()[0].1, ALL, "a policy set without the role is refused");
    import.end().await;
    import.outcome().await.unwrap();
    nodes[1].follow().await;
    apply(&mut nodes[1]);
    assert_eq!(directory.len(), ALL);
    assert!(sees("m00007"));
    while directory.index_imported() {}
    assert!(sees("m00007") && directory.access("m00007", |_| ()).is_some());
    assert_eq!(directory.revision(), nodes[1].store.revision().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clash_with_another_node_refuses_all_of_it_and_leaves_nothing() {
    let (log, mut nodes) = three().await;
    let import = Import::into(&nodes[0], &log);
    import.send_parts().await;
    import.until_entries(ENTRIES - 1).await;
    // What is staged is taken, and nobody is told by whom.
    let taken = nodes[1].store.member_create(&ACTOR, member("acme", "m00007")).await;
    assert_eq!(refused(taken), (Kind::Conflict, "id_taken"));
    let same_address = kwic_team::domain::Member { id: id("other"), ..member("acme", "m00008") };
    let taken = nodes[1].store.member_create(&ACTOR, same_address).await.unwrap_err();
    assert_eq!((taken.kind, taken.code), (Kind::Conflict, "already_member"));
    assert!(taken.public.contains("an import that has not ended"), "{taken}");
    // What another node has taken meanwhile clashes with the next part.
    let mine = kwic_team::domain::Member {
        email: member("acme", "m02100").email,
        ..member("acme", "m02101")
    };
    nodes[2].store.member_create(&ACTOR, mine).await.unwrap();
    import.send(rows(PARTS)).await;
    import.end().await;
    let refusal = import.outcome().await.unwrap_err();
    assert_eq!((refusal.kind, refusal.code), (Kind::Invalid, "import_refused"));
    let lines: Vec<&str> = refusal.fields.iter().map(|(line, _)| line.as_str()).collect();
    assert_eq!(lines, ["line 2102", "line 2103"]);
    for node in &nodes {
        assert_eq!(seen(node).await, 1);
        let stored = node.store.member_import(&ACTOR, &slug("acme"), one("m00007")).await;
        assert_eq!(stored.unwrap().value, 1, "its ids and addresses are free again");
        let (acme, m7) = (slug("acme"), id("m00007"));
        let target = MemberTarget { account: &acme, id: &m7, expected: None };
        node.store.member_remove(&BY, target).await.unwrap();
    }
    assert_alike(&mut nodes).await;
}

fn one(name: &str) -> mpsc::Receiver<ImportPart> {
    let (sender, parts) = mpsc::channel(2);
    let row = ImportRow { line: 2, member: member("acme", name) };
    sender.try_send(ImportPart::Rows(vec![row])).unwrap();
    sender.try_send(ImportPart::End { digest: Digest::of(&[b"one"]) }).unwrap();
    parts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_breaks_off_leaves_nothing() {
    let (log, mut nodes) = three().await;
    let import = Import::into(&nodes[0], &log);
    import.send_parts().await;
    import.until_entries(ENTRIES - 1).await;
    assert_eq!(refused(import.outcome().await), (Kind::Invalid, "import_refused"));
    assert_eq!(seen(&nodes[1]).await, 0);
    let stored = nodes[1].store.member_import(&ACTOR, &slug("acme"), one("m00007")).await;
    assert_eq!(stored.unwrap().value, 1);
    assert_alike(&mut nodes).await;
}

/// Kills the node that imports once so many entries of the import are in the log.
async fn killed_after(entries: u64) {
    let (log, mut nodes) = three().await;
    let import = Import::into(&nodes[0], &log);
    import.send_parts().await;
    if entries == ENTRIES {
        import.end().await;
    }
    import.until_entries(entries.min(ENTRIES)).await;
    import.running.abort();
    let _ = import.running.await;
    let reached = log.head().index - import.begun;
    let disk = nodes[0].disk.after_power_cut(Survives::Nothing);
    nodes[0] = Node::on_disk(&log, &disk).await;
    let all = if reached == ENTRIES { ALL } else { 0 };
    for node in &nodes {
        assert_eq!(seen(node).await, all, "killed after {reached} entries");
    }
    // Another node removes what is left, once nothing has come for a while.
    assert!(!nodes[1].store.imports_sweep().await.unwrap().value, "it may go on");
    nodes[1].clock.advance_ms(11 * MINUTE);
    while nodes[1].store.imports_sweep().await.unwrap().value {}
    assert_eq!(seen(&nodes[2]).await, all);
    let mut again = 0;
    for name in ["m00007", "m01007", "m02007"] {
        again +=
            usize::from(nodes[2].store.member_create(&ACTOR, member("acme", name)).await.is_ok());
    }
    assert_eq!(again, if all == 0 { 3 } else { 0 }, "killed after {reached} entries");
    for node in &mut nodes[..] {
        node.follow().await;
    }
    let [first, rest @ ..] = &nodes;
    let content = first.store.content_digest().await.unwrap();
    for node in rest {
        assert_eq!(node.store.content_digest().await.unwrap(), content);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_leaves_all_or_nothing() {
    for entries in 1..=ENTRIES {
        killed_after(entries).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_was_given_up_takes_no_more_parts() {
    let (log, mut nodes) = three().await;
    let import = Import::into(&nodes[0], &log);
    import.send_parts().await;
    import.until_entries(ENTRIES - 1).await;
    nodes[1].follow().await;
    nodes[1].clock.advance_ms(11 * MINUTE);
    assert!(nodes[1].store.imports_sweep().await.unwrap().value);
    let directory = Arc::new(Directory::new());
    directory_sync::load(&nodes[1].store, &directory).await.unwrap();
    assert!(directory.roles_held().is_empty(), "a start keeps roles of members that will never be");
    import.end().await;
    assert_eq!(refused(import.outcome().await), (Kind::Busy, "import_given_up"));
    assert_eq!(seen(&nodes[2]).await, 0);
    let gone = |told: &Arc<Change>| matches!(told.rows[..], [ChangedRecord::ImportGone(_)]);
    assert_eq!(nodes[2].told().iter().filter(|told| gone(told)).count(), 1);
    assert!(!nodes[2].store.imports_sweep().await.unwrap().value, "all of it was removed");
}

#[tokio::test(start_paused = true)]
async fn an_import_comes_through_a_log_that_fails_now_and_then() {
    let (log, mut nodes) = three().await;
    let faults = [LostAnswer, LostRequest, Refused, LostRequest, LostRequest, LostRequest];
    let lost = [LostAnswer, Refused, Refused];
    nodes[0].line.plan(faults.into_iter().chain(lost).chain(lost).chain(lost).chain(lost));
    let import = Import::into(&nodes[0], &log);
    import.send_parts().await;
    import.end().await;
    // The begin is heard of; each later step is tried again.
    assert_eq!(import.outcome().await.unwrap().value, ALL as u64);
    for node in &nodes {
        assert_eq!(seen(node).await, ALL);
    }
    assert_alike(&mut nodes).await;
}

#[tokio::test(start_paused = true)]
async fn an_import_whose_end_is_not_heard_was_made() {
    let (log, mut nodes) = three().await;
    let import = Import::into(&nodes[0], &log);
    import.send_parts().await;
    import.until_entries(ENTRIES - 1).await;
    // Made, and the node hears it only at its second try.
    nodes[0].line.plan([LostAnswer, Refused, Refused]);
    import.end().await;
    assert_eq!(import.outcome().await.unwrap().value, ALL as u64);
    assert_alike(&mut nodes).await;
    let audit = nodes[2].store.audit(None, &AuditFilter::default(), None, 10).await.unwrap();
    assert!(audit.items.iter().all(|entry| entry.actor != Actor::System.label()));
    assert_eq!(seen(&nodes[1]).await, ALL);
}

#[tokio::test(start_paused = true)]
async fn an_import_that_loses_the_log_imports_nothing() {
    let (log, mut nodes) = three().await;
    let import = Import::into(&nodes[0], &log);
    import.send_parts().await;
    import.until_entries(ENTRIES - 1).await;
    nodes[0].line.cut(true);
    import.send(rows(PARTS)).await;
    import.end().await;
    assert_eq!(refused(import.outcome().await), (Kind::Busy, "log_unavailable"));
    nodes[0].line.cut(false);
    assert_eq!(seen(&nodes[1]).await, 0);
    nodes[1].clock.advance_ms(11 * MINUTE);
    while nodes[1].store.imports_sweep().await.unwrap().value {}
    assert_alike(&mut nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_makes_its_way_beside_changes_of_other_nodes() {
    let (log, mut nodes) = three().await;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut busy = Vec::new();
    for node in &nodes[1..] {
        let (store, stop) = (node.store.clone(), stop.clone());
        let name = format!("busy{}", busy.len());
        busy.push(tokio::spawn(async move {
            let (acme, who) = (slug("acme"), id(&name));
            let mut made = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                made += u32::from(store.member_create(&ACTOR, member("acme", &name)).await.is_ok());
                let target = MemberTarget { account: &acme, id: &who, expected: None };
                let _ = store.member_remove(&BY, target).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            made
        }));
    }
    let import = Import::into(&nodes[0], &log);
    import.send_parts().await;
    import.end().await;
    let made = import.outcome().await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for other in busy {
        assert!(other.await.unwrap() > 0);
    }
    assert_eq!(made.unwrap().value, ALL as u64);
    assert_alike(&mut nodes).await;
}
