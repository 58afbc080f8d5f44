//! What the store must do, in memory, in a file and on a log: rules, revisions, feed, audit, pages.

/// Makes three tests of each rule, `RULE::in_memory`, `RULE::in_a_file` and `RULE::on_a_log`, each on
/// a fresh store, and lists the rules for [`real_logs`]. After `alone:` the log is left out: for what
/// cannot go by one, such as a large import, and for clocks that go back, which those of a log do not.
macro_rules! store_rules {
    (alone: $($rule:ident),* $(,)?) => {
        $(mod $rule { store_rules!(@alone $rule); })*
    };
    (@alone $rule:ident) => {
        use crate::support::store_fixture::StoreFixture;

        #[tokio::test]
        async fn in_memory() {
            super::$rule(StoreFixture::in_memory().await).await;
        }

        #[tokio::test]
        async fn in_a_file() {
            let folder = tempfile::tempdir().unwrap();
            super::$rule(StoreFixture::in_file(&folder.path().join("s.redb")).await).await;
        }
    };
    ($($rule:ident),* $(,)?) => {
        /// The rules of this file that hold on a log.
        pub(super) const ON_A_LOG: &[crate::store_suite::real_logs::Rule] =
            &[$((stringify!($rule), |stage| Box::pin($rule(stage)))),*];

        $(
            mod $rule {
                store_rules!(@alone $rule);

                #[tokio::test]
                async fn on_a_log() {
                    super::$rule(StoreFixture::on_a_log().await).await;
                }
            }
        )*
    };
}

mod accounts;
mod api_tokens;
mod erasure;
pub(crate) mod file_contents;
mod invariants;
mod invites;
mod letters;
mod member_pages;
mod one_time_links;
mod passkeys;
mod publications;
mod real_logs;
mod sessions;
mod two_step;

use std::collections::BTreeSet;

use kwic_team::clock::Clock;
use kwic_team::domain::{
    Actor, AuditEvent, ChangedRecord, Digest, Email, FieldChange, Kind, Member, PolicyCause,
    PolicyOutcome, PolicyReport, PolicySetName, Revision, Status, Version, limits,
};
use kwic_team::store::{
    AuditFilter, ImportRow, MemberEdit, MemberFilter, MemberTarget, Store, StoredPolicies,
};
use redb::ReadableTable;

use crate::support::store_fixture::{
    ACTOR, BY, NOW, StoreFixture, id, member, name, refused, role, slug,
};

store_rules!(
    accounts_are_made_once_and_listed_in_order,
    ids_are_unique_everywhere_and_addresses_in_their_account,
    each_change_takes_one_revision_one_entry_and_one_word_to_followers,
    a_member_is_touched_only_in_its_account_and_its_state,
    an_address_moves_with_its_member_and_is_free_again,
    pages_hold_everybody_once_in_order,
    the_audit_log_is_paged_filtered_and_verified,
    the_last_good_policies_are_kept_as_they_were,
    every_set_is_in_the_history_with_its_files,
    a_set_that_waits_is_pending_until_another_comes,
    the_history_is_bounded_and_keeps_what_is_newest,
    an_entry_holds_so_much_and_says_what_it_leaves_out,
    many_writers_get_revisions_without_gaps,
    an_import_is_one_change_or_none,
);

async fn accounts_are_made_once_and_listed_in_order(stage: StoreFixture) {
    let again = stage.store.account_create(&ACTOR, slug("acme"), "Other".into(), None).await;
    assert_eq!(refused(again), (Kind::Conflict, "account_exists"));
    let listed = stage.store.accounts().await.unwrap();
    let slugs: Vec<&str> = listed.iter().map(|account| account.slug.as_str()).collect();
    assert_eq!(slugs, ["acme", "globex"]);
    let found = stage.store.account(&stage.acme).await.unwrap().unwrap();
    assert_eq!((found.name.as_str(), found.created, found.version), ("acme", NOW, Version::FIRST));
    assert_eq!(stage.store.account(&slug("nobody")).await.unwrap(), None);
    assert_eq!(stage.store.revision().await.unwrap(), Revision(2), "a refusal took a revision");
}

async fn ids_are_unique_everywhere_and_addresses_in_their_account(stage: StoreFixture) {
    stage.create("anna").await;
    let same_id =
        Member { email: Email::parse("x@example.org").unwrap(), ..member("globex", "anna") };
    assert_eq!(
        refused(stage.store.member_create(&ACTOR, same_id).await),
        (Kind::Conflict, "id_taken")
    );
    let same_address = Member { id: id("other"), ..member("acme", "anna") };
    let same_address = Member { email: Email::parse("ANNA@Example.org").unwrap(), ..same_address };
    assert_eq!(
        refused(stage.store.member_create(&ACTOR, same_address.clone()).await),
        (Kind::Conflict, "already_member")
    );
    let elsewhere = Member { account: slug("globex"), ..same_address };
    stage.store.member_create(&ACTOR, elsewhere).await.unwrap();
    let nowhere = stage.store.member_create(&ACTOR, member("nobody", "bert")).await;
    assert_eq!(refused(nowhere), (Kind::NotFound, "unknown_account"));
}

async fn each_change_takes_one_revision_one_entry_and_one_word_to_followers(stage: StoreFixture) {
    let anna = id("anna");
    stage.create("anna").await;
    let edit = MemberEdit { first_name: Some(name("Anna")), ..MemberEdit::default() };
    stage.store.member_edit(&BY, stage.target(&anna), edit.clone()).await.unwrap();
    stage.store.member_suspend(&BY, stage.target(&anna)).await.unwrap();
    stage.store.member_restore(&BY, stage.target(&anna)).await.unwrap();
    // What changes nothing is none of the three.
    let same = stage.store.member_edit(&BY, stage.target(&anna), edit).await.unwrap();
    assert_eq!(same.revision, Revision(6));
    let removed = stage.store.member_remove(&BY, stage.target(&anna)).await.unwrap();
    assert_eq!((removed.revision, removed.value.member.version), (Revision(7), Version(4)));
    let told = stage.told();
    assert_eq!(told.iter().map(|change| change.revision.0).collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
    assert!(told.iter().all(|change| change.rows.len() == 1));
    assert!(
        matches!(&told[2].rows[..], [ChangedRecord::Member(member)] if member.status == Status::Suspended)
    );
    assert!(
        matches!(&told[4].rows[..], [ChangedRecord::MemberGone { id: gone, .. }] if *gone == anna)
    );
    let events = stage.events().await;
    let expected =
        ["user_created", "user_updated", "user_suspended", "user_restored", "user_deleted"];
    for ((revision, event, target), (at, expected)) in events.iter().zip((3..).zip(expected)) {
        assert_eq!((*revision, event.as_str(), target.as_str()), (at, expected, "anna"));
    }
    assert_eq!(events.len(), expected.len());
    assert_eq!(stage.store.member(&anna).await.unwrap(), None);
}

async fn a_member_is_touched_only_in_its_account_and_its_state(stage: StoreFixture) {
    let (anna, globex) = (id("anna"), slug("globex"));
    let first = stage.create("anna").await;
    let edit = MemberEdit { last_name: Some(name("Mei")), ..MemberEdit::default() };
    stage.store.member_edit(&BY, stage.target(&anna), edit).await.unwrap();
    let before = stage.store.member(&anna).await.unwrap().unwrap();
    assert_eq!(before.version, first.version.next());
    let stranger = MemberTarget { account: &globex, id: &anna, expected: None };
    let stale = MemberTarget { expected: Some(first.version), ..stage.target(&anna) };
    let unheard_of = MemberTarget { expected: Some(Version(9)), ..stage.target(&anna) };
    let ghost = id("ghost");
    for (target, answer) in [
        (stranger, (Kind::NotFound, "unknown_member")),
        (stage.target(&ghost), (Kind::NotFound, "unknown_member")),
        (stale, (Kind::Stale, "stale")),
        (unheard_of, (Kind::Stale, "stale")),
    ] {
        let edit = MemberEdit { first_name: Some(name("X")), ..MemberEdit::default() };
        assert_eq!(refused(stage.store.member_edit(&BY, target, edit).await), answer);
        assert_eq!(refused(stage.store.member_suspend(&BY, target).await), answer);
        assert_eq!(refused(stage.store.member_restore(&BY, target).await), answer);
        assert_eq!(refused(stage.store.member_remove(&BY, target).await), answer);
    }
    assert_eq!(stage.store.member(&anna).await.unwrap(), Some(before.clone()));
    let active = stage.store.member_restore(&BY, stage.target(&anna)).await;
    assert_eq!(refused(active), (Kind::Conflict, "already_active"));
    let fresh = MemberTarget { expected: Some(before.version), ..stage.target(&anna) };
    stage.store.member_suspend(&BY, fresh).await.unwrap();
    let again = stage.store.member_suspend(&BY, stage.target(&anna)).await;
    assert_eq!(refused(again), (Kind::Conflict, "already_suspended"));
}

async fn an_address_moves_with_its_member_and_is_free_again(stage: StoreFixture) {
    let (anna, bert) = (id("anna"), id("bert"));
    stage.create("anna").await;
    stage.create("bert").await;
    let to = |address: &str| MemberEdit {
        email: Some(Email::parse(address).unwrap()),
        ..MemberEdit::default()
    };
    let taken = stage.store.member_edit(&BY, stage.target(&anna), to("bert@example.org")).await;
    assert_eq!(refused(taken), (Kind::Conflict, "already_member"));
    stage.store.member_edit(&BY, stage.target(&anna), to("a2@example.org")).await.unwrap();
    // A spelling of the same address is nobody else's.
    stage.store.member_edit(&BY, stage.target(&anna), to("A2@example.org")).await.unwrap();
    stage.store.member_edit(&BY, stage.target(&bert), to("anna@example.org")).await.unwrap();
    let of = |address: &'static str| stage.store.member_by_email(&stage.acme, address);
    assert_eq!(of("anna@example.org").await.unwrap().unwrap().id, bert);
    assert_eq!(of("a2@example.org").await.unwrap().unwrap().email.as_str(), "A2@example.org");
    assert_eq!(of("bert@example.org").await.unwrap(), None);
    stage.store.member_remove(&BY, stage.target(&bert)).await.unwrap();
    assert_eq!(of("anna@example.org").await.unwrap(), None);
    stage.create("bert").await;
}

async fn pages_hold_everybody_once_in_order(stage: StoreFixture) {
    for number in 0..25 {
        stage.create(&format!("m{number:02}")).await;
        let other = Member { role: role("viewer"), ..member("globex", &format!("g{number}")) };
        stage.store.member_create(&ACTOR, other).await.unwrap();
    }
    let (mut after, mut seen, mut pages) = (None::<String>, Vec::new(), 0);
    loop {
        let page = stage
            .store
            .members(&stage.acme, &MemberFilter::default(), after.as_deref(), 10)
            .await
            .unwrap();
        pages += 1;
        seen.extend(page.items.into_iter().map(|member| member.id.as_str().to_owned()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((pages, seen.len()), (3, 25));
    assert!(seen.is_sorted());
    let of = |filter: MemberFilter| {
        let store = stage.store.clone();
        async move { store.members(&slug("globex"), &filter, None, 100).await.unwrap().items.len() }
    };
    let search = |text: &str| MemberFilter { search: Some(text.into()), ..MemberFilter::default() };
    assert_eq!(of(search("G2")).await, 6, "g2 and g20 to g24");
    assert_eq!(of(search("lee")).await, 25);
    let roles = vec![role("operator")];
    assert_eq!(of(MemberFilter { roles, ..MemberFilter::default() }).await, 0);
    let suspended = Some(Status::Suspended);
    assert_eq!(of(MemberFilter { status: suspended, ..MemberFilter::default() }).await, 0);
}

async fn an_import_is_one_change_or_none(stage: StoreFixture) {
    stage.create("anna").await;
    stage.told();
    let row = |line: u64, name: &str| ImportRow { line, member: member("acme", name) };
    let clash = vec![vec![row(2, "bert"), row(3, "anna")], vec![row(4, "carl"), row(5, "bert")]];
    let refusal = stage.import(clash, true).await.expect_err("a clash was taken");
    assert_eq!((refusal.kind, refusal.code), (Kind::Invalid, "import_refused"));
    let lines: Vec<&str> = refusal.fields.iter().map(|(line, _)| line.as_str()).collect();
    assert_eq!(lines, ["line 3", "line 5"]);
    let open_ended = stage.import(vec![vec![row(2, "bert")]], false).await;
    assert_eq!(refused(open_ended), (Kind::Invalid, "import_refused"));
    assert!(stage.told().is_empty(), "followers heard of an import that was refused");
    assert_eq!(stage.store.revision().await.unwrap(), Revision(3));
    let taken = stage.import(vec![vec![row(2, "bert")], vec![row(3, "carl")]], true).await;
    assert_eq!(taken.unwrap(), 2);
    let told = stage.told();
    assert_eq!((told.len(), told[0].revision, told[0].rows.len()), (1, Revision(4), 2));
    let last = stage.events().await.pop().unwrap();
    assert_eq!(last, (4, "users_imported".to_owned(), "acme".to_owned()));
    let mut unknown = stage;
    unknown.acme = slug("nobody");
    let refusal = unknown.import(vec![vec![row(2, "dora")]], true).await;
    assert_eq!(refused(refusal), (Kind::NotFound, "unknown_account"));
}

async fn the_audit_log_is_paged_filtered_and_verified(stage: StoreFixture) {
    let anna = id("anna");
    stage.create("anna").await;
    for number in 0..6 {
        let edit =
            MemberEdit { first_name: Some(name(&format!("A{number}"))), ..MemberEdit::default() };
        stage.store.member_edit(&BY, stage.target(&anna), edit).await.unwrap();
    }
    stage.create("bert").await;
    let read = |filter: AuditFilter, after: Option<u64>, limit| {
        let store = stage.store.clone();
        async move { store.audit(Some(&slug("acme")), &filter, after, limit).await.unwrap() }
    };
    let first = read(AuditFilter::default(), None, 5).await;
    assert_eq!(first.next.as_deref(), Some("5"));
    let rest = read(AuditFilter::default(), Some(5), 5).await;
    assert_eq!((rest.items.len(), rest.next), (3, None));
    let detail = first.items[1].detail.clone().unwrap();
    assert_eq!(detail, [FieldChange::changed("first_name", "Ann", "A0")]);
    assert_eq!((first.items[0].actor.as_str(), first.items[0].at), ("sidecar:7", NOW));
    let of_bert = AuditFilter { member: Some("bert".into()), ..AuditFilter::default() };
    assert_eq!(read(of_bert, None, 5).await.items.len(), 1);
    let edits = AuditFilter { event: Some(AuditEvent::UserUpdated), ..AuditFilter::default() };
    assert_eq!(read(edits, None, 100).await.items.len(), 6);
    let chains: BTreeSet<Option<String>> = stage
        .store
        .audit_chains()
        .await
        .unwrap()
        .into_iter()
        .map(|chain| chain.map(|slug| slug.as_str().to_owned()))
        .collect();
    assert_eq!(chains, [None, Some("acme".to_owned())].into());
    for (chain, entries) in [(None, 2), (Some(&stage.acme), 8)] {
        let report = stage.store.audit_verify(chain).await.unwrap();
        assert_eq!((report.entries, report.fault), (entries, None));
    }
}

async fn the_last_good_policies_are_kept_as_they_were(stage: StoreFixture) {
    assert_eq!(stage.store.policies_last_good().await.unwrap(), None);
    for content in ["one", "two"] {
        let files = vec![("roles/a.cedar".to_owned(), content.as_bytes().to_vec())];
        let digest = Digest::of(&[content.as_bytes()]);
        let policies = StoredPolicies { digest, at: NOW, files };
        let report = PolicyReport::default();
        let set = policies.clone();
        stage.store.policies_installed(&Actor::System, set, report, Vec::new()).await.unwrap();
        assert_eq!(stage.store.policies_last_good().await.unwrap(), Some(policies));
    }
    let own = stage.store.audit(None, &AuditFilter::default(), None, 10).await.unwrap();
    let last = own.items.last().unwrap();
    assert_eq!((last.actor.as_str(), last.event.as_str()), ("system", "policies_reloaded"));
}

fn policy_set(content: &str) -> StoredPolicies {
    let files = vec![("roles/a.cedar".to_owned(), content.as_bytes().to_vec())];
    StoredPolicies { digest: Digest::of(&[content.as_bytes()]), at: NOW, files }
}

/// A report with one line.
fn gaining(line: &str) -> PolicyReport {
    PolicyReport { gains: vec![line.to_owned()], ..PolicyReport::default() }
}

async fn every_set_is_in_the_history_with_its_files(stage: StoreFixture) {
    let store = &stage.store;
    let (one, two) = (policy_set("one"), policy_set("two"));
    for (number, set) in [(1, &one), (2, &two), (3, &one)] {
        let line = format!("line {number}");
        let done = store.policies_installed(&ACTOR, set.clone(), gaining(&line), Vec::new()).await;
        let done = done.unwrap();
        assert_eq!(done.value, number);
        let entry = store.policy_entry(PolicySetName::Number(number)).await.unwrap().unwrap();
        assert_eq!((entry.digest, entry.revision, entry.at), (set.digest, done.revision, NOW));
        assert_eq!((entry.actor, entry.outcome), (ACTOR.label(), PolicyOutcome::Live));
        assert_eq!(entry.report.gains, [line]);
    }
    let page = store.policy_history(None, 2).await.unwrap();
    let numbers: Vec<u64> = page.items.iter().map(|entry| entry.number).collect();
    assert_eq!((numbers, page.next.as_deref()), (vec![3, 2], Some("2")));
    let rest = store.policy_history(Some(2), 2).await.unwrap();
    assert_eq!((rest.items.len(), rest.items[0].number, rest.next), (1, 1, None));
    for (name, number) in [
        (PolicySetName::Live, Some(3)),
        (PolicySetName::Digest(one.digest.hex()[..12].to_owned()), Some(3)),
        (PolicySetName::Digest(two.digest.hex()), Some(2)),
        (PolicySetName::Number(4), None),
        (PolicySetName::Pending, None),
    ] {
        let entry = store.policy_entry(name.clone()).await.unwrap();
        assert_eq!(entry.map(|entry| entry.number), number, "{name:?}");
    }
    for set in [one, two] {
        assert_eq!(store.policy_files(set.digest).await.unwrap(), Some(set.files));
    }
    assert_eq!(store.policy_files(Digest::of(&[b"no"])).await.unwrap(), None);
}

async fn a_set_that_waits_is_pending_until_another_comes(stage: StoreFixture) {
    let store = &stage.store;
    let (live, wider, broken) = (policy_set("live"), policy_set("wider"), policy_set("broken"));
    let aside = async |outcome, set: &StoredPolicies, report| {
        store.policies_set_aside(&ACTOR, outcome, set.clone(), report).await.unwrap().number
    };
    let pending = async || store.policies_state().await.unwrap().pending.map(|it| it.number);
    let install = async |report| {
        store.policies_installed(&ACTOR, live.clone(), report, Vec::new()).await.unwrap().value
    };
    assert_eq!(install(PolicyReport::default()).await, 1);
    assert_eq!(pending().await, None);
    assert_eq!(aside(PolicyOutcome::Pending, &wider, gaining("a")).await, 2);
    assert_eq!(pending().await, Some(2));
    // The same once more, whatever brought it, is no new entry; with another difference it is.
    let again = PolicyReport { cause: PolicyCause::Start, ..gaining("a") };
    assert_eq!(aside(PolicyOutcome::Pending, &wider, again).await, 2);
    assert_eq!(aside(PolicyOutcome::Pending, &wider, gaining("b")).await, 3);
    let entry = store.policy_entry(PolicySetName::Pending).await.unwrap().unwrap();
    assert_eq!((entry.number, entry.actor), (3, ACTOR.label()));
    let refused = PolicyReport { fault: Some("why".to_owned()), ..PolicyReport::default() };
    assert_eq!(aside(PolicyOutcome::Refused, &broken, refused).await, 4);
    assert_eq!(pending().await, None, "the folder has changed");
    assert_eq!(aside(PolicyOutcome::Pending, &wider, gaining("b")).await, 5);
    store.policies_none_pending().await.unwrap();
    store.policies_none_pending().await.unwrap();
    assert_eq!(pending().await, None);
    assert_eq!(aside(PolicyOutcome::Pending, &wider, gaining("b")).await, 5);
    assert_eq!(pending().await, Some(5));
    let kept = store.policies_last_good().await.unwrap().unwrap();
    assert_eq!(kept, live, "what waits is not live");
    assert_eq!(install(PolicyReport { pinned: Some(1), ..PolicyReport::default() }).await, 6);
    let state = store.policies_state().await.unwrap();
    assert_eq!((state.pending, state.pinned), (None, Some(1)));
    assert_eq!(store.policies_unpinned(&ACTOR).await.unwrap().value, Some(1));
    assert_eq!(store.policies_unpinned(&ACTOR).await.unwrap().value, None);
    assert_eq!(store.policies_state().await.unwrap().pinned, None);
    let log = store.audit(None, &AuditFilter::default(), None, 100).await.unwrap();
    let events = log.items.iter().map(|entry| entry.event.as_str());
    let events: Vec<&str> = events.filter(|event| event.starts_with("policies")).collect();
    let held = ["policies_held"; 4];
    let expected = [&["policies_reloaded"], &held[..], &["policies_reloaded", "policies_unpinned"]];
    assert_eq!(events, expected.concat());
}

async fn the_history_is_bounded_and_keeps_what_is_newest(stage: StoreFixture) {
    let store = &stage.store;
    let live = policy_set("live");
    store.policies_installed(&ACTOR, live.clone(), gaining("a"), Vec::new()).await.unwrap();
    let most = limits::POLICY_HISTORY_OTHERS_MAX;
    let sets: Vec<StoredPolicies> =
        (0..most + 2).map(|number| policy_set(&format!("broken {number}"))).collect();
    for set in &sets {
        let report = PolicyReport { fault: Some("why".to_owned()), ..PolicyReport::default() };
        let kept = store.policies_set_aside(&ACTOR, PolicyOutcome::Refused, set.clone(), report);
        kept.await.unwrap();
    }
    let all = store.policy_history(None, 1_000).await.unwrap().items;
    assert_eq!(all.len(), most + 1);
    assert_eq!(all.last().unwrap().digest, live.digest, "the live set is counted apart");
    assert_eq!(store.policy_files(sets[1].digest).await.unwrap(), None);
    assert!(store.policy_files(sets[2].digest).await.unwrap().is_some());
    assert!(store.policy_files(live.digest).await.unwrap().is_some());
}

async fn an_entry_holds_so_much_and_says_what_it_leaves_out(stage: StoreFixture) {
    let policies = StoredPolicies { digest: Digest::of(&[b"x"]), at: NOW, files: Vec::new() };
    let line = |number: usize| FieldChange::added("change", format!("line {number}"));
    let mut fields: Vec<_> = (0..100_000).map(line).collect();
    fields[0].after = Some("é".repeat(100_000));
    let report = PolicyReport::default();
    stage.store.policies_installed(&Actor::System, policies, report, fields).await.unwrap();
    let page = stage.store.audit(None, &Default::default(), None, 100).await.unwrap();
    let kept = page.items.last().unwrap().fields();
    assert_eq!(kept.len(), limits::AUDIT_FIELDS_MAX + 1);
    let last = FieldChange::added("change", "99000 more, which the log leaves out");
    assert_eq!((&kept[999], &kept[1_000]), (&line(999), &last));
    let long = kept[0].after.as_ref().unwrap();
    assert_eq!(long.chars().count(), limits::AUDIT_TEXT_CHARS_MAX + 1);
    assert_eq!(stage.store.audit_verify(None).await.unwrap().fault, None);
}

async fn many_writers_get_revisions_without_gaps(stage: StoreFixture) {
    let mut writers = Vec::new();
    for writer in 0..4 {
        let store = stage.store.clone();
        writers.push(tokio::spawn(async move {
            for number in 0..10 {
                let new = member("acme", &format!("w{writer}n{number}"));
                store.member_create(&ACTOR, new).await.unwrap();
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let told: Vec<u64> = stage.told().iter().map(|change| change.revision.0).collect();
    assert_eq!(told, (3..43).collect::<Vec<_>>());
    assert_eq!(stage.store.audit_verify(Some(&stage.acme)).await.unwrap().fault, None);
}

/// Opens a store's file, to tamper with it.
fn tamper(file: &std::path::Path, work: impl FnOnce(&redb::WriteTransaction)) {
    let database = redb::Database::open(file).unwrap();
    let tx = database.begin_write().unwrap();
    work(&tx);
    tx.commit().unwrap();
}

/// What is done to the file, at which entry it shows, and a word of the sentence.
type Tampering = (&'static str, Box<dyn Fn(&redb::WriteTransaction)>, u64, &'static str);

const AUDIT: redb::TableDefinition<'_, (&str, u64), &[u8]> = redb::TableDefinition::new("audit");
const PERSONAL: redb::TableDefinition<'_, (&str, u64), &[u8]> =
    redb::TableDefinition::new("audit_personal");
const HEADS: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("audit_heads");

#[tokio::test]
async fn a_changed_audit_log_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.redb");
    let stage = StoreFixture::in_file(&whole).await;
    for name in ["anna", "bert", "carl"] {
        stage.create(name).await;
    }
    drop(stage);
    let replace = |tx: &redb::WriteTransaction, sequence: u64, from: &[u8], to: &[u8]| {
        let mut audit = tx.open_table(AUDIT).unwrap();
        let mut bytes = audit.get(("acme", sequence)).unwrap().unwrap().value().to_vec();
        let at = bytes.windows(from.len()).position(|part| part == from).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to);
        audit.insert(("acme", sequence), bytes.as_slice()).unwrap();
    };
    let cases: [Tampering; 6] = [
        ("a name in an entry", Box::new(move |tx| replace(tx, 2, b"bert", b"eve!")), 2, "changed"),
        ("the actor", Box::new(move |tx| replace(tx, 1, b"sidecar:7", b"sidecar:0")), 1, "changed"),
        (
            "an entry taken out",
            Box::new(|tx| drop(tx.open_table(AUDIT).unwrap().remove(("acme", 2)).unwrap())),
            3,
            "entry 2 is missing",
        ),
        (
            "the last entry taken off",
            Box::new(|tx| drop(tx.open_table(AUDIT).unwrap().remove(("acme", 3)).unwrap())),
            2,
            "entries after it are missing: the log should end with entry 3",
        ),
        (
            "another personal part",
            Box::new(|tx| {
                let mut personal = tx.open_table(PERSONAL).unwrap();
                let other = personal.get(("acme", 1)).unwrap().unwrap().value().to_vec();
                personal.insert(("acme", 2), other.as_slice()).unwrap();
            }),
            2,
            "details were changed",
        ),
        (
            "the head of another chain",
            Box::new(|tx| {
                let mut heads = tx.open_table(HEADS).unwrap();
                let other = heads.get("").unwrap().unwrap().value().to_vec();
                heads.insert("acme", other.as_slice()).unwrap();
            }),
            3,
            "entries were added to the end",
        ),
    ];
    for (what, work, at, why) in cases {
        let file = folder.path().join("tampered.redb");
        std::fs::copy(&whole, &file).unwrap();
        tamper(&file, work);
        let store = Store::open(&file, 8, Clock::fixed(NOW)).await.unwrap();
        let report = store.audit_verify(Some(&slug("acme"))).await.unwrap();
        let (found_at, sentence) = report.fault.unwrap_or_else(|| panic!("{what} goes unseen"));
        assert_eq!(found_at, at, "{what}: {sentence}");
        assert!(sentence.contains(why), "{what}: {sentence}");
    }
    // A personal part that is erased is no fault: that is what erasure does.
    let file = folder.path().join("erased.redb");
    std::fs::copy(&whole, &file).unwrap();
    tamper(&file, |tx| {
        tx.open_table(PERSONAL).unwrap().remove(("acme", 2)).unwrap();
    });
    let store = Store::open(&file, 8, Clock::fixed(NOW)).await.unwrap();
    assert_eq!(store.audit_verify(Some(&slug("acme"))).await.unwrap().fault, None);
}
