//! Three stores on one log: what each outcome of an append comes to, and when a node stops.

use std::sync::{Arc, Mutex, mpsc};

use kwic_team::clock::Clock;
use kwic_team::domain::{Actor, Digest, Failure, Kind, PolicyReport, Revision};
use kwic_team::store::shared_log::{Appended, FleetLog, LogEntry, LogHead, LogPart, SharedLog};
use kwic_team::store::{
    AuditFilter, LOG_AWAY, LOG_HALTED, LOG_UNCLEAR, MemberEdit, MemberTarget, Store, StoredPolicies,
};

use crate::support::failing_storage::{FailingStorage, Survives};
use crate::support::in_process_log::AppendFault::{Late, LostAnswer, LostRequest, Refused, Twice};
use crate::support::in_process_log::{AppendFault, LogLine};
use crate::support::log_nodes::{Node, assert_alike, three};
use crate::support::store_fixture::{
    ACTOR, BY, HOUR, NOW, id, member, name, refused, slug, to_role,
};

#[tokio::test]
async fn a_change_on_one_node_is_on_all_of_them() {
    let (_, mut nodes) = three().await;
    assert_eq!(nodes[0].create("anna").await.unwrap().revision, Revision(2));
    assert!(!nodes[1].knows("anna").await, "it has not followed yet");
    nodes[1].follow().await;
    let (anna, acme) = (id("anna"), slug("acme"));
    let target = MemberTarget { account: &acme, id: &anna, expected: None };
    nodes[1].store.member_edit(&BY, target, to_role("viewer")).await.unwrap();
    nodes[2].store.member_remove(&BY, target).await.unwrap();
    assert_alike(&mut nodes).await;
    assert!(!nodes[0].knows("anna").await);
}

#[tokio::test]
async fn a_change_behind_others_runs_again_on_what_they_did() {
    let (_, mut nodes) = three().await;
    nodes[0].create("anna").await.unwrap();
    nodes[0].create("bert").await.unwrap();
    assert_eq!(refused(nodes[1].create("anna").await), (Kind::Conflict, "id_taken"));
    assert_eq!(nodes[2].create("carl").await.unwrap().revision, Revision(4));
    // A refusal, too, is of what the log has.
    let (anna, acme) = (id("anna"), slug("acme"));
    let target = MemberTarget { account: &acme, id: &anna, expected: None };
    nodes[0].store.member_remove(&BY, target).await.unwrap();
    let again = nodes[1].store.member_remove(&BY, target).await;
    assert_eq!(refused(again), (Kind::NotFound, "unknown_member"));
    assert_alike(&mut nodes).await;
}

/// What a change comes to under faults: the code of its failure, and whether it is made in the end.
async fn comes_to(faults: &[AppendFault], other_first: bool) -> (Option<&'static str>, bool) {
    let (log, mut nodes) = three().await;
    nodes[0].line.plan(faults.iter().copied());
    let code = nodes[0].create("anna").await.err().map(|failure| failure.code);
    if other_first {
        nodes[1].create("bert").await.unwrap();
    }
    log.deliver_late();
    assert_alike(&mut nodes).await;
    (code, nodes[2].knows("anna").await)
}

#[tokio::test]
async fn each_outcome_of_an_append_is_told_as_what_it_is() {
    assert_eq!(comes_to(&[LostRequest], false).await, (None, true));
    assert_eq!(comes_to(&[LostAnswer], false).await, (None, true));
    assert_eq!(comes_to(&[Twice], false).await, (None, true));
    assert_eq!(comes_to(&[Late, LostAnswer], true).await, (None, true));
    assert_eq!(comes_to(&[Refused], false).await, (Some(LOG_AWAY), false));
    assert_eq!(comes_to(&[LostRequest; 3], false).await, (Some(LOG_UNCLEAR), false));
    let answers_lost = [LostAnswer, Refused, Refused];
    assert_eq!(comes_to(&answers_lost, false).await, (Some(LOG_UNCLEAR), true));
    let late = [Late, LostRequest, Refused];
    assert_eq!(comes_to(&late, false).await, (Some(LOG_UNCLEAR), true));
    assert_eq!(comes_to(&late, true).await, (Some(LOG_UNCLEAR), false));
}

#[tokio::test]
async fn a_node_that_is_cut_off_reads_and_changes_nothing() {
    let (_, mut nodes) = three().await;
    nodes[0].create("anna").await.unwrap();
    nodes[0].line.cut(true);
    assert!(nodes[0].knows("anna").await);
    assert_eq!(refused(nodes[0].create("bert").await), (Kind::Busy, LOG_UNCLEAR));
    // What it would refuse may be allowed by now: without the log it does not say.
    assert_eq!(refused(nodes[0].create("anna").await), (Kind::Busy, LOG_AWAY));
    assert_eq!(refused(nodes[0].store.follow_log().await), (Kind::Busy, LOG_AWAY));
    nodes[1].create("bert").await.unwrap();
    nodes[0].line.cut(false);
    assert_alike(&mut nodes).await;
    nodes[0].create("carl").await.unwrap();
}

/// A server may be cut off from the others: what it lacks stops no node, and proves nothing.
#[tokio::test]
async fn the_nearest_server_may_have_less_than_the_log() {
    let (log, nodes) = three().await;
    nodes[0].create("anna").await.unwrap();
    nodes[0].create("bert").await.unwrap();
    nodes[1].line.set_lag(1);
    let near = nodes[1].store.follow_nearby().await.unwrap().unwrap();
    assert_eq!((near.entries, near.applied), (1, near.head));
    assert!(nodes[1].knows("anna").await && !nodes[1].knows("bert").await);
    nodes[1].follow().await;
    assert!(nodes[1].knows("bert").await);
    for lag in [0, 1, 2, 9] {
        nodes[1].line.set_lag(lag);
        let none_new = nodes[1].store.follow_nearby().await.unwrap().unwrap();
        assert_eq!(
            (none_new.entries, none_new.applied, none_new.head),
            (0, near.applied + 1, near.applied + 1)
        );
    }
    assert_eq!(nodes[1].store.log_fault(), None);
    nodes[1].create("carl").await.unwrap();
    // Whether this node was away too long is for the others to say.
    log.trim(2);
    assert!(nodes[2].store.follow_nearby().await.unwrap().is_none());
    assert_eq!(nodes[2].store.log_fault(), None);
    assert_halted(&nodes[2]).await;
}

#[tokio::test]
async fn nobody_waits_for_the_disk_with_what_other_nodes_appended() {
    let (log, nodes) = three().await;
    nodes[1].store.persist().await.unwrap();
    nodes[0].create("anna").await.unwrap();
    let syncs = nodes[1].disk.syncs();
    nodes[1].follow().await;
    assert_eq!(nodes[1].disk.syncs(), syncs);
    let (log, disk) = (&log, &nodes[1].disk);
    let after_a_crash =
        || async move { Node::on_disk(log, &disk.after_power_cut(Survives::Nothing)).await };
    let again = after_a_crash().await;
    assert!(nodes[1].knows("anna").await && !again.knows("anna").await);
    again.follow().await;
    assert!(again.knows("anna").await);
    nodes[1].store.persist().await.unwrap();
    assert!(after_a_crash().await.knows("anna").await);
    let syncs = nodes[1].disk.syncs();
    nodes[1].store.persist().await.unwrap();
    assert_eq!(nodes[1].disk.syncs(), syncs, "there is nothing to wait for");
}

#[tokio::test]
async fn what_others_changed_is_seen_on_a_full_disk() {
    let (log, nodes) = three().await;
    nodes[1].disk.fill_blocks();
    // Until it does not fit any more.
    let mut names = (0..200).map(|number| format!("m{number}"));
    while nodes[1].store.fault().is_none() {
        nodes[0].create(&names.next().expect("the disk is full")).await.unwrap();
        nodes[1].follow().await;
        let _ = nodes[1].store.persist().await;
    }
    nodes[0].create("anna").await.unwrap();
    let _ = nodes[1].store.follow_log().await;
    assert!(nodes[1].knows("anna").await && nodes[1].store.fault().is_some());
    nodes[1].disk.heal();
    nodes[1].store.persist().await.unwrap();
    assert_eq!(nodes[1].store.fault(), None);
    let again = Node::on_disk(&log, &nodes[1].disk.after_power_cut(Survives::Nothing)).await;
    assert!(again.knows("anna").await);
}

/// Whichever call fails: the file that is opened again has what was seen, and it is told once.
#[tokio::test]
async fn a_disk_that_fails_takes_nothing_back_that_was_seen() {
    let mut failed = 0;
    for call in 1..40 {
        let (_log, mut nodes) = three().await;
        nodes[1].store.persist().await.unwrap();
        nodes[1].told();
        nodes[0].create("anna").await.unwrap();
        nodes[1].follow().await;
        nodes[1].disk.break_at_call(call);
        failed += usize::from(nodes[1].store.persist().await.is_err());
        nodes[1].disk.heal();
        assert!(nodes[1].knows("anna").await, "{call}");
        nodes[0].create("bert").await.unwrap();
        nodes[1].follow().await;
        // Once more, with what may have been on the disk already.
        nodes[1].disk.break_at_call(1);
        let _ = nodes[1].store.persist().await;
        nodes[1].disk.heal();
        nodes[1].create("carl").await.unwrap();
        nodes[1].store.persist().await.unwrap();
        let told: Vec<u64> = nodes[1].told().iter().map(|change| change.revision.0).collect();
        let last = nodes[1].store.revision().await.unwrap().0;
        assert_eq!(told, [last - 2, last - 1, last], "{call}");
        nodes[0].follow().await;
        let [one, other] = [&nodes[0], &nodes[1]].map(|node| node.store.content_digest());
        assert_eq!(one.await.unwrap(), other.await.unwrap(), "{call}");
    }
    assert!(failed > 5, "{failed}");
}

#[tokio::test]
async fn what_is_so_already_is_so_after_a_crash() {
    let (log, nodes) = three().await;
    nodes[0].create("anna").await.unwrap();
    let (acme, anna) = (slug("acme"), id("anna"));
    let target = || MemberTarget { account: &acme, id: &anna, expected: None };
    let renamed = || MemberEdit { first_name: Some(name("Ann")), ..MemberEdit::default() };
    nodes[0].store.member_edit(&BY, target(), renamed()).await.unwrap();
    nodes[1].follow().await;
    // Nothing is changed, and nothing was on the disk yet.
    nodes[1].store.member_edit(&BY, target(), renamed()).await.unwrap();
    let again = Node::on_disk(&log, &nodes[1].disk.after_power_cut(Survives::Nothing)).await;
    let found = again.store.member(&anna).await.unwrap().unwrap();
    assert_eq!(found.first_name.as_str(), "Ann");
}

/// A check reads the file, so what waits for the disk is written first.
#[tokio::test]
async fn a_check_of_the_file_covers_what_other_nodes_appended() {
    let (log, nodes) = three().await;
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("one.redb"), folder.path().join("copy.redb"));
    let store = Store::open(&path, 16, Clock::fixed(NOW)).await.unwrap();
    log.join(&store, LogLine::new(&log)).await;
    store.persist().await.unwrap();
    nodes[0].create("anna").await.unwrap();
    while store.follow_log().await.unwrap() > 0 {}
    let on_disk = || async {
        std::fs::copy(&path, &copy).unwrap();
        let view = Store::view(&copy).await.unwrap();
        view.member(&id("anna")).await.unwrap().is_some()
    };
    assert!(store.member(&id("anna")).await.unwrap().is_some() && !on_disk().await);
    store.check().await.unwrap();
    assert!(on_disk().await);
}

/// Whether a node has stopped, and changes nothing any more.
async fn assert_halted(node: &Node) {
    let before = node.store.content_digest().await.unwrap();
    assert_eq!(refused(node.store.follow_log().await), (Kind::Busy, LOG_HALTED));
    assert_eq!(refused(node.create("zoe").await), (Kind::Busy, LOG_HALTED));
    assert!(node.store.log_fault().is_some());
    assert_eq!(node.store.content_digest().await.unwrap(), before);
}

#[tokio::test]
async fn a_node_stops_where_the_log_does_not_lead_on() {
    let (log, nodes) = three().await;
    nodes[0].create("anna").await.unwrap();
    nodes[0].create("bert").await.unwrap();
    nodes[1].follow().await;
    // A tail is lost: who has applied it stops, who has not goes on.
    log.lose_tail(1);
    assert_halted(&nodes[0]).await;
    nodes[2].create("carl").await.unwrap();
    assert_halted(&nodes[1]).await;
    // The tail is another one by now, and longer: its revisions fit what was applied.
    let (log, nodes) = three().await;
    nodes[0].create("anna").await.unwrap();
    log.lose_tail(1);
    nodes[1].create("bert").await.unwrap();
    nodes[1].create("carl").await.unwrap();
    assert_halted(&nodes[0]).await;
    // What this node needs next was trimmed.
    let (log, nodes) = three().await;
    nodes[0].create("anna").await.unwrap();
    nodes[0].create("bert").await.unwrap();
    log.trim(2);
    nodes[0].create("carl").await.unwrap();
    assert_halted(&nodes[1]).await;
    // An entry that ran on another state than it follows.
    let (log, nodes) = three().await;
    nodes[0].create("anna").await.unwrap();
    let [.., before, again] = &log.entries()[..] else { panic!("there are two entries") };
    log.force(&before.head, again);
    assert_halted(&nodes[1]).await;
}

#[tokio::test]
async fn rows_of_one_node_stay_there() {
    let (_, mut nodes) = three().await;
    let policies = StoredPolicies { digest: Digest::of(&[b"x"]), at: NOW, files: Vec::new() };
    let report = PolicyReport::default();
    let installed = nodes[0]
        .store
        .policies_installed(&Actor::System, policies.clone(), report, Vec::new())
        .await;
    installed.unwrap();
    assert_alike(&mut nodes).await;
    assert_eq!(nodes[0].store.policies_last_good().await.unwrap(), Some(policies));
    assert_eq!(nodes[1].store.policies_last_good().await.unwrap(), None);
    for (node, entries) in nodes.iter().zip([1, 0, 0]) {
        let history = node.store.policy_history(None, 10).await.unwrap();
        assert_eq!(history.items.len(), entries);
    }
    let entries = nodes[1].store.audit(None, &AuditFilter::default(), None, 10).await.unwrap();
    assert_eq!(entries.items.last().unwrap().event, "policies_reloaded");
}

#[tokio::test]
async fn no_change_is_earlier_than_one_before_it() {
    let (_, mut nodes) = three().await;
    nodes[0].clock.advance_ms(HOUR);
    nodes[0].create("anna").await.unwrap();
    nodes[1].create("bert").await.unwrap();
    assert_alike(&mut nodes).await;
    let acme = slug("acme");
    let audit = nodes[2].store.audit(Some(&acme), &AuditFilter::default(), None, 10).await;
    let times: Vec<i64> = audit.unwrap().items.iter().map(|entry| entry.at.0 - NOW.0).collect();
    assert_eq!(times, [HOUR, HOUR]);
}

#[tokio::test]
async fn a_restarted_node_goes_on_where_it_was() {
    let (log, nodes) = three().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.redb");
    for (index, name) in (1_u64..).zip(["anna", "bert"]) {
        let store = Store::open(&file, 8, Clock::fixed(NOW)).await.unwrap();
        log.join(&store, LogLine::new(&log)).await;
        assert_eq!(store.log_applied().await.unwrap().unwrap().index, (index - 1) * 2);
        while store.follow_log().await.unwrap() > 0 {}
        store.member_create(&ACTOR, member("acme", name)).await.unwrap();
        assert_eq!(store.log_applied().await.unwrap(), Some(log.head()));
        store.close().await.unwrap();
    }
    nodes[2].follow().await;
    assert!(nodes[2].knows("anna").await && nodes[2].knows("bert").await);
}

#[tokio::test]
async fn a_change_in_the_log_is_made_whatever_the_own_disk_does() {
    let mut broken = 0;
    loop {
        let (log, mut nodes) = three().await;
        let disk = FailingStorage::default();
        nodes[0] = Node::on_disk(&log, &disk).await;
        nodes[0].follow().await;
        disk.break_at_call(broken + 1);
        let answer = nodes[0].create("anna").await;
        disk.heal();
        assert_alike(&mut nodes).await;
        assert!(nodes[0].knows("anna").await && nodes[1].knows("anna").await);
        let Err(failure) = answer else { break };
        assert_eq!(failure.code, LOG_UNCLEAR);
        assert!(failure.public.contains("was made"), "{failure}");
        broken += 1;
    }
    assert!(broken > 2, "the commit has {broken} calls of the disk");
}

/// A line whose first append waits until it is told to go on.
struct Held {
    line: Arc<LogLine>,
    begun: Mutex<mpsc::Sender<()>>,
    go: Mutex<mpsc::Receiver<()>>,
}

impl SharedLog for Held {
    fn append(&self, before: &LogHead, entry: &LogEntry) -> Appended {
        let _ = self.begun.lock().unwrap().send(());
        // Ends with an error once the other end is dropped.
        let _: Result<(), _> = self.go.lock().unwrap().recv();
        self.line.append(before, entry)
    }

    fn read(&self, after: u64, most: usize) -> Result<LogPart, String> {
        self.line.read(after, most)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_for_an_append() {
    let (log, nodes) = three().await;
    let store = Store::in_memory(Clock::fixed(NOW)).await.unwrap();
    let (begin, begun) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    let line = LogLine::new(&log);
    let held = Held { line, begun: Mutex::new(begin), go: Mutex::new(gone) };
    log.join(&store, Arc::new(held)).await;
    while store.follow_log().await.unwrap() > 0 {}
    let ours = store.clone();
    let change =
        tokio::spawn(async move { ours.member_create(&ACTOR, member("acme", "anna")).await });
    begun.recv().unwrap();
    // Read, followed and read again while the append of this node is under way.
    nodes[0].create("bert").await.unwrap();
    assert_eq!(store.follow_log().await.unwrap(), 1);
    assert!(store.member(&id("bert")).await.unwrap().is_some());
    assert!(store.member(&id("anna")).await.unwrap().is_none());
    drop(go);
    assert_eq!(change.await.unwrap().unwrap().revision, Revision(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_three_nodes_at_once_are_in_one_order() {
    const EACH: usize = 20;
    let (_, mut nodes) = three().await;
    let mut tasks = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        for number in 0..EACH {
            let store = node.store.clone();
            tasks.push(tokio::spawn(async move {
                let new = member("acme", &format!("m{at}-{number}"));
                // Of many nodes one may be unlucky each time: nothing was changed then.
                loop {
                    match store.member_create(&ACTOR, new.clone()).await {
                        Err(failure) if failure.code == LOG_AWAY => {}
                        done => break done.unwrap().revision.0,
                    }
                }
            }));
        }
    }
    let mut revisions = Vec::new();
    for task in tasks {
        revisions.push(task.await.unwrap());
    }
    revisions.sort_unstable();
    assert!(revisions.into_iter().eq(2..=3 * EACH as u64 + 1));
    assert_alike(&mut nodes).await;
}

/// An account whose record is larger than an entry of the log.
async fn create_large(node: &Node, name: &str) -> Result<(), Failure> {
    let title = "x".repeat(5 << 18);
    node.store.account_create(&ACTOR, slug(name), title, None).await.map(drop)
}

fn parts(node: &Node) -> Vec<String> {
    node.line.object_names("entries/").unwrap()
}

#[tokio::test]
async fn a_change_that_is_too_large_for_an_entry_is_named_by_one() {
    let (log, mut nodes) = three().await;
    create_large(&nodes[0], "large").await.unwrap();
    assert_eq!(parts(&nodes[0]).len(), 2);
    assert!(log.entries().last().unwrap().bytes.len() < 500);
    for object in parts(&nodes[0]) {
        let bytes = nodes[0].line.object(&object).unwrap().unwrap();
        assert!(!bytes.windows(9).any(|part| part == b"xxxxxxxxx"), "{object} is not sealed");
    }
    // Another node is faster each time: what lost is not kept.
    nodes[1].follow().await;
    nodes[2].create("anna").await.unwrap();
    create_large(&nodes[1], "later").await.unwrap();
    assert_eq!(parts(&nodes[0]).len(), 4);
    nodes[0].line.plan([Refused]);
    assert_eq!(refused(create_large(&nodes[0], "refused").await), (Kind::Busy, LOG_AWAY));
    assert_alike(&mut nodes).await;
}

#[tokio::test]
async fn a_large_entry_without_its_objects_is_not_applied() {
    let (_, mut nodes) = three().await;
    create_large(&nodes[0], "large").await.unwrap();
    let object = parts(&nodes[0]).pop().unwrap();
    let bytes = nodes[0].line.object(&object).unwrap().unwrap();
    nodes[0].line.remove_object(&object).unwrap();
    // It may have been trimmed: that is no damage.
    assert_eq!(refused(nodes[1].store.follow_log().await), (Kind::Busy, LOG_AWAY));
    assert_eq!(refused(nodes[1].create("anna").await), (Kind::Busy, LOG_AWAY));
    nodes[0].line.put_object(&object, &bytes).unwrap();
    nodes[0].create("anna").await.unwrap();
    assert_alike(&mut nodes).await;
    // What was altered is.
    let (_, nodes) = three().await;
    create_large(&nodes[0], "large").await.unwrap();
    let [.., one, other] = &parts(&nodes[0])[..] else { panic!("there are several parts") };
    let moved = nodes[0].line.object(one).unwrap().unwrap();
    nodes[0].line.put_object(other, &moved).unwrap();
    assert_halted(&nodes[1]).await;
}
