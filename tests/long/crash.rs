//! The state after a change that a disk failure interrupts: all or nothing, and never less than
//! what was acknowledged.

mod change_catalogue;
mod tables;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use kwic_team::clock::Clock;
use kwic_team::directory::Directory;
use kwic_team::domain::{
    Account, Failure, FieldChange, Kind, Member, Name, PolicySetName, Revision, Session, Status,
    Timestamp,
};
use kwic_team::services::directory_sync;
use kwic_team::store::change_feed::LoadedRecord;
use kwic_team::store::requests_and_views::invites::NewInvite;
use kwic_team::store::{AuditFilter, Committed, MemberFilter, Store, StoredPolicies};
use tokio::task::JoinHandle;

use self::change_catalogue::{TRANSITIONS, Transition};
use crate::support::failing_storage::{FailingStorage, Survives, Wait};
use crate::support::first_layout_store::of_layout_1;
use crate::support::store_fixture::{ACTOR, BY, LEASE, NOW, StoreFixture, id, member, slug};

/// More than one table or tree is written by each transition; no one of them takes more syncs.
const SYNCS_MAX: usize = 20;

async fn open_at(disk: &FailingStorage, now: Timestamp) -> StoreFixture {
    let (disk, clock) = (disk.clone(), Clock::fixed(now));
    let store = Store::on(move || disk.clone(), clock.clone()).await.unwrap();
    StoreFixture::on(store, clock)
}

async fn open(disk: &FailingStorage) -> Store {
    open_at(disk, NOW).await.store
}

/// A disk with people of every kind on it.
async fn furnished() -> FailingStorage {
    let disk = FailingStorage::default();
    let store = open(&disk).await;
    change_catalogue::furnish(&StoreFixture::new(store, Clock::fixed(NOW)).await).await;
    disk
}

/// The same, as one transition finds it.
async fn prepared(furnished: &FailingStorage, transition: Transition) -> FailingStorage {
    let disk = furnished.copy();
    transition.prepare(&open_at(&disk, NOW).await).await;
    disk
}

/// A disk opened when a transition happens.
async fn open_for(disk: &FailingStorage, transition: Transition) -> StoreFixture {
    open_at(disk, Timestamp(NOW.0 + transition.wait())).await
}

/// One audit entry without what is random in it: sequence, revision, event, target, detail.
type AuditLine = (u64, Revision, String, String, Option<Vec<FieldChange>>);

/// Everything that a store answers, read by every way in.
#[derive(Debug, PartialEq)]
struct Contents {
    revision: Revision,
    accounts: Vec<Account>,
    members: Vec<Member>,
    sessions: Vec<Session>,
    policies: Option<StoredPolicies>,
    audit: Vec<Vec<AuditLine>>,
    rows: BTreeSet<String>,
}

/// `disk` is where the store lies.
async fn contents(store: &Store, disk: &FailingStorage) -> Contents {
    let accounts = store.accounts().await.unwrap();
    let mut members = Vec::new();
    let mut audit = Vec::new();
    for account in &accounts {
        let filter = MemberFilter::default();
        let page = store.members(&account.slug, &filter, None, 1_000).await.unwrap();
        for found in page.items {
            let by_id = store.member(&found.id).await.unwrap();
            assert_eq!(by_id.as_ref(), Some(&found));
            let by_email = store.member_by_email(&account.slug, found.email.key()).await.unwrap();
            assert_eq!(by_email.as_ref(), Some(&found));
            members.push(found);
        }
    }
    let (told, reader) = std::sync::mpsc::channel();
    let revision = store.load(move |record| told.send(record).unwrap()).await.unwrap();
    let (mut loaded, mut sessions, mut tokens) = (0, Vec::new(), 0);
    for record in reader {
        match record {
            LoadedRecord::Coming(_) | LoadedRecord::Account(_) => {}
            LoadedRecord::Members(members) => loaded += members.len(),
            LoadedRecord::Importing(..) => panic!("without a log nothing is staged"),
            LoadedRecord::Session(session) => sessions.push(session),
            LoadedRecord::ApiToken(_) => tokens += 1,
        }
    }
    assert_eq!(loaded, members.len(), "rows and the index of addresses differ");
    let mut listed = 0;
    for account in &accounts {
        listed += store.api_tokens(&account.slug, None, None, 1_000).await.unwrap().items.len();
    }
    assert_eq!(listed, tokens, "rows and the index of API tokens differ");
    for chain in store.audit_chains().await.unwrap() {
        let report = store.audit_verify(chain.as_ref()).await.unwrap();
        assert_eq!(report.fault, None, "{chain:?}");
        let page = store.audit(chain.as_ref(), &AuditFilter::default(), None, 1_000).await.unwrap();
        let line = |entry: kwic_team::domain::AuditEntry| {
            (entry.sequence, entry.revision, entry.event, entry.target, entry.detail)
        };
        audit.push(page.items.into_iter().map(line).collect());
    }
    assert_eq!(store.revision().await.unwrap(), revision);
    let policies = store.policies_last_good().await.unwrap();
    let live = store.policy_entry(PolicySetName::Live).await.unwrap();
    assert_eq!(live.is_some(), policies.is_some(), "the last good set and the history differ");
    let rows = tables::agreeing_rows(disk);
    Contents { revision, accounts, members, sessions, policies, audit, rows }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap()
        .block_on(work)
}

const SURVIVALS: [Survives; 8] = [
    Survives::Nothing,
    Survives::All,
    Survives::Half(1),
    Survives::Half(2),
    Survives::Half(3),
    Survives::Half(4),
    Survives::Half(5),
    Survives::Half(6),
];

/// The store is as before or as after; as after, where the change was acknowledged.
fn assert_whole(
    found: &Contents,
    sides: (&Contents, &Contents),
    acknowledged: bool,
    what: &dyn Debug,
) {
    let (before, after) = sides;
    let is_after = found == after;
    assert!(is_after || !acknowledged, "{what:?}: an acknowledged change is lost: {found:#?}");
    assert!(is_after || found == before, "{what:?}: neither before nor after: {found:#?}");
}

#[test]
fn a_power_cut_leaves_each_transition_whole_or_undone() {
    let furnished = run(furnished());
    each_transition(|transition| run(cut_everywhere(&furnished, transition)));
}

/// Tries each transition, some at once: they share nothing.
fn each_transition(work: impl Fn(Transition) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(transition) = TRANSITIONS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(*transition);
                }
            });
        }
    });
}

async fn cut_everywhere(furnished: &FailingStorage, transition: Transition) {
    let furnished = prepared(furnished, transition).await;
    let before = contents(&open(&furnished.copy()).await, &furnished).await;
    let undisturbed = furnished.copy();
    let stage = open_for(&undisturbed, transition).await;
    let opened = undisturbed.syncs();
    transition.run(&stage).await.unwrap();
    let syncs = undisturbed.syncs() - opened;
    assert!((2..SYNCS_MAX).contains(&syncs), "{transition:?}: {syncs} syncs: is it two-phase?");
    let after = contents(&stage.store, &undisturbed).await;
    assert_ne!(before, after, "{transition:?} changes nothing");
    let (mut undone, mut done) = (0, 0);
    // One more than there are: the power goes after the change was acknowledged.
    for sync in 1..=syncs + 1 {
        let disk = furnished.copy();
        let stage = open_for(&disk, transition).await;
        disk.cut_at_sync(sync);
        let acknowledged = transition.run(&stage).await;
        if let Err(fault) = &acknowledged {
            assert_eq!(fault.kind, Kind::Busy, "{transition:?}: {fault}");
        }
        assert_eq!(acknowledged.is_ok(), sync > syncs, "{transition:?}: acknowledged too early");
        for survives in SURVIVALS {
            let left = disk.after_power_cut(survives);
            let found = contents(&open(&left).await, &left).await;
            let what = (transition, sync, survives);
            assert_whole(&found, (&before, &after), acknowledged.is_ok(), &what);
            undone += usize::from(found == before);
            done += usize::from(found == after);
        }
        drop(stage);
    }
    // A double that lost everything or nothing would have tried nothing.
    assert!(undone > 0 && done > 0, "{transition:?}: {undone} undone, {done} done");
}

#[test]
fn a_power_cut_while_the_file_is_made_leaves_one_that_opens() {
    run(async {
        let fresh = FailingStorage::default();
        open(&fresh).await;
        let syncs = fresh.syncs();
        for sync in 1..=syncs {
            let disk = FailingStorage::default();
            disk.cut_at_sync(sync);
            let on = disk.clone();
            let made = Store::on(move || on.clone(), Clock::fixed(NOW)).await;
            for survives in SURVIVALS {
                let found = disk.after_power_cut(survives);
                let on = found.clone();
                let opened = Store::on(move || on.clone(), Clock::fixed(NOW)).await;
                // The file is made beside its name and moved there whole: one that does not open
                // here was never in its place. What opens must work.
                if let Ok(store) = opened {
                    store.account_create(&ACTOR, slug("acme"), "Acme".into(), None).await.unwrap();
                    assert_eq!(contents(&store, &found).await.revision, Revision(1));
                } else {
                    assert!(made.is_err(), "sync {sync}, {survives:?}: was made and is lost");
                }
            }
        }
    });
}

#[test]
fn a_power_cut_while_an_older_file_is_brought_up_to_date_loses_nothing() {
    let older = FailingStorage::default();
    let database = redb::Database::builder().create_with_backend(older.clone()).unwrap();
    of_layout_1(&database);
    drop(database);
    run(async {
        let whole = older.copy();
        open(&whole).await;
        let after = tables::agreeing_rows(&whole);
        let syncs = whole.syncs();
        assert!(syncs >= 2, "{syncs} syncs: is it two-phase?");
        for sync in 1..=syncs {
            let disk = older.copy();
            disk.cut_at_sync(sync);
            let on = disk.clone();
            let opened = Store::on(move || on.clone(), Clock::fixed(NOW)).await;
            for survives in SURVIVALS {
                let left = disk.after_power_cut(survives);
                let store = open(&left).await;
                assert_eq!(contents(&store, &left).await.rows, after, "{sync}, {survives:?}");
            }
            drop(opened);
        }
    });
}

/// The members that decisions see are those in the file, whatever broke and healed.
async fn assert_followed(found: Contents, directory: &Directory, what: &dyn Debug) {
    assert!(
        directory.reached(found.revision, std::time::Duration::from_secs(5)).await,
        "{what:?}: the file is at {}, decisions are at {}",
        found.revision,
        directory.revision()
    );
    assert_eq!(directory.len(), found.members.len(), "{what:?}");
    assert_eq!(directory.sessions_len(), found.sessions.len(), "{what:?}");
    for session in found.sessions {
        let seen = directory.session(&session.token, |live| {
            (live.member.clone(), live.id.clone(), live.created, live.used)
        });
        let kept = (session.member, session.id, session.created, session.used);
        assert_eq!(seen, Some(kept), "{what:?}");
    }
    for member in found.members {
        let seen = directory.with(member.id.as_str(), |view| {
            assert_eq!(view.active, member.status == Status::Active, "{what:?}");
            assert_eq!(view.texts.first_name(), member.first_name.as_str(), "{what:?}");
            assert_eq!(view.texts.email_key(), member.email.key(), "{what:?}");
        });
        assert!(seen.is_some(), "{what:?}: {} is not seen", member.id);
    }
}

#[test]
fn a_disk_that_breaks_and_heals_leaves_file_and_decisions_as_one() {
    let furnished = run(furnished());
    each_transition(|transition| run(break_everywhere(&furnished, transition)));
}

async fn break_everywhere(furnished: &FailingStorage, transition: Transition) {
    let furnished = prepared(furnished, transition).await;
    let before = contents(&open(&furnished.copy()).await, &furnished).await;
    let undisturbed = furnished.copy();
    let stage = open_for(&undisturbed, transition).await;
    let opened = undisturbed.calls();
    transition.run(&stage).await.unwrap();
    let calls = undisturbed.calls() - opened;
    let after = contents(&stage.store, &undisturbed).await;
    let mut made_all_the_same = 0;
    for call in 1..=calls {
        let disk = furnished.copy();
        let stage = open_for(&disk, transition).await;
        let store = &stage.store;
        let directory = Arc::new(Directory::new());
        let follower = directory_sync::load(store, &directory).await.unwrap();
        let following = tokio::spawn(directory_sync::follow(Arc::clone(&directory), follower));
        disk.break_at_call(call);
        let acknowledged = transition.run(&stage).await;
        if let Err(fault) = &acknowledged {
            assert_eq!((fault.kind, fault.code), (Kind::Busy, "store_unavailable"));
        }
        disk.heal();
        let what = (transition, call);
        let found = contents(store, &disk).await;
        assert_whole(&found, (&before, &after), acknowledged.is_ok(), &what);
        let (made, reached) = (found == after, found.revision);
        assert_followed(found, &directory, &what).await;
        made_all_the_same += usize::from(made && acknowledged.is_err());
        if let (Err(fault), true) = (&acknowledged, made) {
            let sentence = &fault.public;
            assert!(!sentence.contains("nothing was changed"), "{what:?}: {sentence}");
        }
        // And the store goes on.
        let dora = store.member_create(&ACTOR, member("acme", "dora")).await.unwrap();
        assert_eq!(dora.revision, reached.next(), "{what:?}");
        assert_followed(contents(store, &disk).await, &directory, &what).await;
        following.abort();
    }
    assert!(made_all_the_same > 0, "{transition:?}: no commit broke off after its last write");
}

#[test]
fn a_file_that_was_replaced_meanwhile_is_refused() {
    run(async {
        let older = furnished().await;
        let disk = older.copy();
        let in_its_place = Arc::new(std::sync::Mutex::new(disk.clone()));
        let opened = Arc::clone(&in_its_place);
        let store = Store::on(move || opened.lock().unwrap().clone(), Clock::fixed(NOW));
        let store = store.await.unwrap();
        store.member_create(&ACTOR, member("acme", "dora")).await.unwrap();
        for other in [older, FailingStorage::default()] {
            disk.break_at_call(1);
            let broken = store.member_create(&ACTOR, member("acme", "emil")).await.unwrap_err();
            assert_eq!(broken.code, "store_unavailable");
            *in_its_place.lock().unwrap() = other;
            let refused = store.member_create(&ACTOR, member("acme", "emil")).await.unwrap_err();
            assert_eq!((refused.kind, refused.code), (Kind::Busy, "store_replaced"));
            assert_eq!(store.member(&id("dora")).await.unwrap_err().code, "store_replaced");
            disk.heal();
            *in_its_place.lock().unwrap() = disk.clone();
            assert!(store.member(&id("dora")).await.unwrap().is_some(), "the right file is back");
        }
    });
}

#[test]
fn what_a_broken_commit_left_open_is_found_out_though_nobody_asks() {
    run(async {
        let disk = furnished().await;
        let stage = open_at(&disk, NOW).await;
        let store = stage.store.clone();
        let directory = Arc::new(Directory::new());
        let follower = directory_sync::load(&store, &directory).await.unwrap();
        tokio::spawn(directory_sync::follow(Arc::clone(&directory), follower));
        tokio::spawn(directory_sync::repair_store(store.clone()));
        let before = directory.revision();
        let undisturbed = disk.copy();
        let probe = open_at(&undisturbed, NOW).await;
        let opened = undisturbed.calls();
        Transition::Remove.run(&probe).await.unwrap();
        // The last call of the commit fails, when the change is in the file already.
        disk.break_at_call(undisturbed.calls() - opened);
        let broken = Transition::Remove.run(&stage).await.unwrap_err();
        assert_eq!(broken.code, "store_unavailable");
        assert!(store.is_unsettled(), "readiness does not tell");
        disk.heal();
        let told = directory.reached(before.next(), std::time::Duration::from_secs(5)).await;
        assert!(told, "decisions do not hear of it");
        // It counts as settled once the last follower was told, and the directory is the first.
        for _ in 0..1_000 {
            if !store.is_unsettled() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert!(!store.is_unsettled());
        assert!(directory.with("anna", |_| ()).is_none(), "removed, and decisions may allow");
    });
}

#[test]
fn a_claim_that_is_not_kept_takes_no_turn() {
    run(async {
        let disk = FailingStorage::default();
        let stage = StoreFixture::new(open(&disk).await, Clock::fixed(NOW)).await;
        for (account, name) in [("acme", "a"), ("acme", "b"), ("globex", "c")] {
            let new = NewInvite { account: slug(account), ..stage.new_invite(name) };
            stage.store.invite_create(&BY, new).await.unwrap();
        }
        disk.break_at_call(1);
        let broken = stage.store.letters_claim(1, LEASE).await.unwrap_err();
        assert_eq!(broken.code, "store_unavailable");
        disk.heal();
        for turn in ["acme", "globex", "acme"] {
            let claimed = stage.store.letters_claim(1, LEASE).await.unwrap();
            assert_eq!(claimed[0].account, slug(turn));
        }
    });
}

/// One change that is being committed, and others that wait for it: two for each of `names`, of
/// which the second is refused.
async fn waiting(
    disk: &FailingStorage,
    store: &Store,
    names: &[&str],
) -> (Arc<Wait>, Vec<JoinHandle<Result<Committed<Member>, Failure>>>) {
    let create = |name: &str| {
        let (store, new) = (store.clone(), member("acme", name));
        tokio::spawn(async move { store.member_create(&ACTOR, new).await })
    };
    let wait = disk.wait_at_sync(1);
    let mut made = vec![create("first")];
    wait.begun().await;
    for name in names {
        made.extend([create(name), create(name)]);
    }
    let limit = Duration::from_secs(60);
    let all_wait = async {
        while store.changes_waiting() < made.len() - 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(limit, all_wait).await.unwrap();
    (wait, made)
}

#[test]
fn changes_that_wait_are_one_commit_and_each_of_them_whole_or_undone() {
    run(async {
        let disk = furnished().await;
        let alone = disk.copy();
        let stage = open_at(&alone, NOW).await;
        let opened = alone.syncs();
        stage.create("alone").await;
        let one_commit = alone.syncs() - opened;

        let stage = open_at(&disk, NOW).await;
        let before = stage.revision().await;
        let opened = disk.syncs();
        let (wait, made) = waiting(&disk, &stage.store, &["a", "b", "c", "d"]).await;
        wait.end();
        let (mut revisions, mut refusals) = (Vec::new(), 0);
        for made in made {
            match made.await.unwrap() {
                Ok(made) => revisions.push(made.revision.0),
                Err(refusal) => {
                    assert_eq!(refusal.code, "id_taken");
                    refusals += 1;
                }
            }
        }
        assert_eq!(disk.syncs() - opened, 2 * one_commit, "more than two commits");
        revisions.sort_unstable();
        let expected: Vec<u64> = (before + 1..=before + 5).collect();
        assert_eq!((revisions, refusals), (expected.clone(), 4));
        let told = stage.told();
        assert_eq!(told.iter().map(|change| change.revision.0).collect::<Vec<_>>(), expected);
        assert!(told.iter().all(|change| change.rows.len() == 1));
        contents(&stage.store, &disk).await;
    });
}

#[test]
fn a_disk_that_breaks_under_a_group_leaves_file_and_decisions_as_one() {
    run(async {
        let furnished = furnished().await;
        let (mut lost, mut kept) = (0, 0);
        for call in 1..60 {
            let disk = furnished.copy();
            let store = open(&disk).await;
            let directory = Arc::new(Directory::new());
            let follower = directory_sync::load(&store, &directory).await.unwrap();
            let following = tokio::spawn(directory_sync::follow(Arc::clone(&directory), follower));
            let (wait, made) = waiting(&disk, &store, &["a", "b"]).await;
            disk.break_at_call(call);
            wait.end();
            let mut acknowledged = Vec::new();
            for made in made {
                match made.await.unwrap() {
                    Ok(made) => acknowledged.push(made.value.id),
                    Err(fault) => assert!(
                        ["id_taken", "store_unavailable", "store"].contains(&fault.code),
                        "{call}: {fault}"
                    ),
                }
            }
            disk.heal();
            let found = contents(&store, &disk).await;
            for id in &acknowledged {
                assert!(
                    found.members.iter().any(|member| member.id == *id),
                    "{call}: {id} is lost"
                );
            }
            lost += usize::from(acknowledged.is_empty());
            kept += usize::from(acknowledged.len() == 3);
            assert_followed(found, &directory, &call).await;
            following.abort();
        }
        assert!(lost > 0 && kept > 0, "{lost} lost, {kept} kept");
    });
}

#[test]
fn a_full_disk_refuses_changes_keeps_all_and_goes_on_when_freed() {
    run(async {
        let disk = furnished().await;
        let store = open(&disk).await;
        disk.fill();
        let mut refused = None;
        for number in 0..20_000 {
            let new = Member {
                last_name: Name::parse("last_name", &"x".repeat(60)).unwrap(),
                ..member("acme", &format!("many{number}"))
            };
            if let Err(fault) = store.member_create(&ACTOR, new).await {
                refused = Some((number, fault));
                break;
            }
        }
        let (number, fault) = refused.expect("the disk never filled");
        assert_eq!((fault.kind, fault.code), (Kind::Busy, "store_unavailable"));
        assert!(fault.public.contains("free space"), "{fault}");
        assert!(store.fault().is_some_and(|cause| cause.contains("no space left")), "it is told");
        assert_eq!(store.failures(), 1);
        let full = contents(&store, &disk).await;
        assert_eq!(full.members.len(), 2 + number);
        disk.heal();
        store.member_create(&ACTOR, member("acme", "zoe")).await.unwrap();
        assert_eq!(contents(&store, &disk).await.members.len(), 3 + number);
        assert_eq!(store.fault(), None, "the next change is kept");
    });
}
