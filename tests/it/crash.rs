//! What is left of a change when the disk fails in the middle of it: all or nothing, and never
//! less than what was acknowledged.

use std::fmt::Debug;
use std::sync::Arc;
use std::thread;

use kwic_team::clock::Clock;
use kwic_team::directory::Directory;
use kwic_team::domain::{
    Account, AccountSlug, Actor, AuditDetail, Digest, Email, Failure, Kind, Member, MemberId, Name,
    Revision, RoleId, Status, Timestamp, Version,
};
use kwic_team::flows::refresh;
use kwic_team::store::redb::RedbStore;
use kwic_team::store::{
    AuditFilter, ImportPart, ImportRow, MemberEdit, MemberFilter, Store, StoredPolicies, Target,
};
use tokio::sync::mpsc;

use crate::disk::{Disk, Survives};

const NOW: Timestamp = Timestamp(1_764_000_000_000);
const ACTOR: Actor = Actor::Sidecar { uid: 1000 };
/// More than one table or tree is written by each transition; no one of them takes more syncs.
const SYNCS_MAX: usize = 20;

/// A change of the store, with its reason to be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transition {
    AccountCreate,
    MemberCreate,
    EditName,
    EditAddress,
    Suspend,
    Restore,
    Remove,
    Import,
    PoliciesInstalled,
}

const TRANSITIONS: [Transition; 9] = [
    Transition::AccountCreate,
    Transition::MemberCreate,
    Transition::EditName,
    Transition::EditAddress,
    Transition::Suspend,
    Transition::Restore,
    Transition::Remove,
    Transition::Import,
    Transition::PoliciesInstalled,
];

fn slug(text: &str) -> AccountSlug {
    AccountSlug::parse(text).unwrap()
}

fn id(text: &str) -> MemberId {
    MemberId::parse(text).unwrap()
}

fn member(name: &str) -> Member {
    Member {
        id: id(name),
        account: slug("acme"),
        email: Email::parse(&format!("{name}@example.org")).unwrap(),
        first_name: Name::parse("first_name", "Ann").unwrap(),
        last_name: Name::parse("last_name", "Lee").unwrap(),
        role: RoleId::parse("operator").unwrap(),
        status: Status::Active,
        two_step: false,
        joined: NOW,
        version: Version::FIRST,
    }
}

impl Transition {
    async fn run(self, store: &Store) -> Result<(), Failure> {
        let account = slug("acme");
        let (anna, bert) = (id("anna"), id("bert"));
        let anna = Target { account: &account, id: &anna, expected: None };
        let bert = Target { account: &account, id: &bert, expected: None };
        let edit = MemberEdit::default();
        match self {
            Self::AccountCreate => {
                store.account_create(&ACTOR, slug("globex"), "Globex".into()).await.map(|_| ())
            }
            Self::MemberCreate => store.member_create(&ACTOR, member("carl")).await.map(|_| ()),
            Self::EditName => {
                let first_name = Some(Name::parse("first_name", "Anna").unwrap());
                store.member_edit(&ACTOR, anna, MemberEdit { first_name, ..edit }).await.map(|_| ())
            }
            Self::EditAddress => {
                let email = Some(Email::parse("other@example.org").unwrap());
                store.member_edit(&ACTOR, anna, MemberEdit { email, ..edit }).await.map(|_| ())
            }
            Self::Suspend => store.member_suspend(&ACTOR, anna).await.map(|_| ()),
            Self::Restore => store.member_restore(&ACTOR, bert).await.map(|_| ()),
            Self::Remove => store.member_remove(&ACTOR, anna).await.map(|_| ()),
            Self::Import => {
                let (sender, parts) = mpsc::channel(4);
                for part in 0..2 {
                    let row =
                        |n: u64| ImportRow { line: n, member: member(&format!("m{part}{n}")) };
                    sender.send(ImportPart::Rows((0..40).map(row).collect())).await.unwrap();
                }
                sender.send(ImportPart::End { digest: Digest::of(&[b"file"]) }).await.unwrap();
                store.member_import(&ACTOR, &account, parts).await.map(|_| ())
            }
            Self::PoliciesInstalled => {
                let files = vec![("schema.cedarschema".to_owned(), b"entity A;".repeat(3000))];
                let policies = StoredPolicies { digest: Digest::of(&[b"set"]), at: NOW, files };
                store.policies_installed(&ACTOR, policies, AuditDetail::default()).await.map(|_| ())
            }
        }
    }
}

async fn open(disk: &Disk) -> Store {
    let disk = disk.clone();
    Store::Redb(RedbStore::on(move || disk.clone(), Clock::fixed(NOW)).await.unwrap())
}

/// A disk with an account and two members, one of them suspended.
async fn furnished() -> Disk {
    let disk = Disk::default();
    let store = open(&disk).await;
    store.account_create(&ACTOR, slug("acme"), "Acme".into()).await.unwrap();
    for name in ["anna", "bert"] {
        store.member_create(&ACTOR, member(name)).await.unwrap();
    }
    let (account, bert) = (slug("acme"), id("bert"));
    let target = Target { account: &account, id: &bert, expected: None };
    store.member_suspend(&ACTOR, target).await.unwrap();
    drop(store);
    disk
}

/// One audit entry without what is random in it: sequence, revision, event, target, detail.
type AuditLine = (u64, Revision, String, String, Option<AuditDetail>);

/// Everything that a store answers, read by every way in.
#[derive(Debug, PartialEq)]
struct Contents {
    revision: Revision,
    accounts: Vec<Account>,
    members: Vec<Member>,
    policies: Option<StoredPolicies>,
    audit: Vec<Vec<AuditLine>>,
}

async fn contents(store: &Store) -> Contents {
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
    let loaded =
        reader.iter().filter(|record| matches!(record, kwic_team::store::feed::Loaded::Member(_)));
    assert_eq!(loaded.count(), members.len(), "rows and the index of addresses differ");
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
    Contents { revision, accounts, members, policies, audit }
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
    // Each transition on a thread of its own: they share nothing.
    thread::scope(|scope| {
        for transition in TRANSITIONS {
            let furnished = &furnished;
            scope.spawn(move || run(cut_everywhere(furnished, transition)));
        }
    });
}

async fn cut_everywhere(furnished: &Disk, transition: Transition) {
    let before = contents(&open(&furnished.copy()).await).await;
    let undisturbed = furnished.copy();
    let store = open(&undisturbed).await;
    let opened = undisturbed.syncs();
    transition.run(&store).await.unwrap();
    let syncs = undisturbed.syncs() - opened;
    assert!((2..SYNCS_MAX).contains(&syncs), "{transition:?}: {syncs} syncs: is it two-phase?");
    let after = contents(&store).await;
    assert_ne!(before, after, "{transition:?} changes nothing");
    let (mut undone, mut done) = (0, 0);
    // One more than there are: the power goes after the change was acknowledged.
    for sync in 1..=syncs + 1 {
        let disk = furnished.copy();
        let store = open(&disk).await;
        disk.cut_at_sync(sync);
        let acknowledged = transition.run(&store).await;
        if let Err(fault) = &acknowledged {
            assert_eq!(fault.kind, Kind::Busy, "{transition:?}: {fault}");
        }
        assert_eq!(acknowledged.is_ok(), sync > syncs, "{transition:?}: acknowledged too early");
        for survives in SURVIVALS {
            let found = contents(&open(&disk.after_power_cut(survives)).await).await;
            let what = (transition, sync, survives);
            assert_whole(&found, (&before, &after), acknowledged.is_ok(), &what);
            undone += usize::from(found == before);
            done += usize::from(found == after);
        }
        drop(store);
    }
    // A double that lost everything or nothing would have tried nothing.
    assert!(undone > 0 && done > 0, "{transition:?}: {undone} undone, {done} done");
}

#[test]
fn a_power_cut_while_the_file_is_made_leaves_one_that_opens() {
    run(async {
        let fresh = Disk::default();
        open(&fresh).await;
        let syncs = fresh.syncs();
        for sync in 1..=syncs {
            let disk = Disk::default();
            disk.cut_at_sync(sync);
            let on = disk.clone();
            let made = RedbStore::on(move || on.clone(), Clock::fixed(NOW)).await;
            for survives in SURVIVALS {
                let found = disk.after_power_cut(survives);
                let on = found.clone();
                let opened = RedbStore::on(move || on.clone(), Clock::fixed(NOW)).await;
                // The file is made beside its name and moved there whole: one that does not open
                // here was never in its place. What opens must work.
                if let Ok(store) = opened {
                    let store = Store::Redb(store);
                    store.account_create(&ACTOR, slug("acme"), "Acme".into()).await.unwrap();
                    assert_eq!(contents(&store).await.revision, Revision(1));
                } else {
                    assert!(made.is_err(), "sync {sync}, {survives:?}: was made and is lost");
                }
            }
        }
    });
}

/// The members that decisions see are those in the file, whatever broke and healed.
async fn assert_followed(store: &Store, directory: &Directory, what: &dyn Debug) {
    let found = contents(store).await;
    assert!(
        directory.reached(found.revision, std::time::Duration::from_secs(5)).await,
        "{what:?}: the file is at {}, decisions are at {}",
        found.revision,
        directory.revision()
    );
    assert_eq!(directory.len(), found.members.len(), "{what:?}");
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
    thread::scope(|scope| {
        for transition in TRANSITIONS {
            let furnished = &furnished;
            scope.spawn(move || run(break_everywhere(furnished, transition)));
        }
    });
}

async fn break_everywhere(furnished: &Disk, transition: Transition) {
    let before = contents(&open(&furnished.copy()).await).await;
    let undisturbed = furnished.copy();
    let store = open(&undisturbed).await;
    let opened = undisturbed.calls();
    transition.run(&store).await.unwrap();
    let calls = undisturbed.calls() - opened;
    let after = contents(&store).await;
    let mut made_all_the_same = 0;
    for call in 1..=calls {
        let disk = furnished.copy();
        let store = open(&disk).await;
        let directory = Arc::new(Directory::new());
        let follower = refresh::load(&store, &directory).await.unwrap();
        let following = tokio::spawn(refresh::follow(Arc::clone(&directory), follower));
        disk.break_at_call(call);
        let acknowledged = transition.run(&store).await;
        if let Err(fault) = &acknowledged {
            assert_eq!((fault.kind, fault.code), (Kind::Busy, "store_unavailable"));
        }
        disk.heal();
        let what = (transition, call);
        let found = contents(&store).await;
        assert_whole(&found, (&before, &after), acknowledged.is_ok(), &what);
        assert_followed(&store, &directory, &what).await;
        let made = found == after;
        made_all_the_same += usize::from(made && acknowledged.is_err());
        if let (Err(fault), true) = (&acknowledged, made) {
            let sentence = &fault.public;
            assert!(!sentence.contains("nothing was changed"), "{what:?}: {sentence}");
        }
        // And the store goes on.
        let dora = store.member_create(&ACTOR, member("dora")).await.unwrap();
        assert_eq!(dora.revision, found.revision.next(), "{what:?}");
        assert_followed(&store, &directory, &what).await;
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
        let store = RedbStore::on(move || opened.lock().unwrap().clone(), Clock::fixed(NOW));
        let store = Store::Redb(store.await.unwrap());
        store.member_create(&ACTOR, member("dora")).await.unwrap();
        for other in [older, Disk::default()] {
            disk.break_at_call(1);
            let broken = store.member_create(&ACTOR, member("emil")).await.unwrap_err();
            assert_eq!(broken.code, "store_unavailable");
            *in_its_place.lock().unwrap() = other;
            let refused = store.member_create(&ACTOR, member("emil")).await.unwrap_err();
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
        let store = open(&disk).await;
        let directory = Arc::new(Directory::new());
        let follower = refresh::load(&store, &directory).await.unwrap();
        tokio::spawn(refresh::follow(Arc::clone(&directory), follower));
        tokio::spawn(refresh::mend(store.clone()));
        let before = directory.revision();
        let undisturbed = disk.copy();
        let probe = open(&undisturbed).await;
        let opened = undisturbed.calls();
        Transition::Remove.run(&probe).await.unwrap();
        // The last call of the commit breaks off, when the change stands in the file already.
        disk.break_at_call(undisturbed.calls() - opened);
        let broken = Transition::Remove.run(&store).await.unwrap_err();
        assert_eq!(broken.code, "store_unavailable");
        assert!(store.is_unsettled(), "readiness does not tell");
        disk.heal();
        let told = directory.reached(before.next(), std::time::Duration::from_secs(5)).await;
        assert!(told && !store.is_unsettled());
        assert!(directory.with("anna", |_| ()).is_none(), "removed, and decisions may allow");
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
                ..member(&format!("many{number}"))
            };
            if let Err(fault) = store.member_create(&ACTOR, new).await {
                refused = Some((number, fault));
                break;
            }
        }
        let (number, fault) = refused.expect("the disk never filled");
        assert_eq!((fault.kind, fault.code), (Kind::Busy, "store_unavailable"));
        assert!(fault.public.contains("free space"), "{fault}");
        let full = contents(&store).await;
        assert_eq!(full.members.len(), 2 + number);
        disk.heal();
        store.member_create(&ACTOR, member("zoe")).await.unwrap();
        assert_eq!(contents(&store).await.members.len(), 3 + number);
    });
}
