//! The members and sessions in memory: the effect of each change, and when it becomes visible.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kwic_team::directory::Directory;
use kwic_team::domain::{
    AccountSlug, ApiToken, ApiTokenId, Change, ChangedRecord, Digest, Email, ImportId, Member,
    MemberAccess, MemberId, Name, Revision, RoleId, Session, SessionId, Status, Timestamp,
    TokenHash, Version,
};
use kwic_team::store::change_feed::LoadedRecord;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

fn member(id: &str, role: &str) -> Member {
    Member {
        id: MemberId::parse(id).unwrap(),
        account: AccountSlug::parse("acme").unwrap(),
        email: Email::parse("a.b@example.org").unwrap(),
        first_name: Name::parse("first_name", "Ørjan").unwrap(),
        last_name: Name::parse("last_name", "Lee").unwrap(),
        role: RoleId::parse(role).unwrap(),
        status: Status::Active,
        two_step: true,
        joined: Timestamp(5),
        version: Version::FIRST,
    }
}

fn apply(directory: &Directory, revision: u64, rows: Vec<ChangedRecord>) {
    directory.apply(&Change { revision: Revision(revision), rows });
}

fn held(directory: &Directory) -> Vec<(String, usize)> {
    directory.roles_held().into_iter().map(|(role, count)| (role.to_string(), count)).collect()
}

/// A member that is no more.
fn gone(id: &str) -> ChangedRecord {
    ChangedRecord::MemberGone {
        id: MemberId::parse(id).unwrap(),
        account: AccountSlug::parse("acme").unwrap(),
    }
}

fn token(byte: u8) -> TokenHash {
    TokenHash(Digest([byte; 32]))
}

/// A session of `a` that began at 5 and was used last then.
fn session(byte: u8, used: i64) -> Session {
    Session {
        id: SessionId::from_random([byte; 16]),
        token: token(byte),
        member: MemberId::parse("a").unwrap(),
        account: AccountSlug::parse("acme").unwrap(),
        created: Timestamp(5),
        used: Timestamp(used),
        address: "192.0.2.7".into(),
        agent: "Lynx".into(),
    }
}

fn used(directory: &Directory, byte: u8) -> Option<i64> {
    directory.session(&token(byte), |live| live.used.0)
}

#[test]
fn a_session_is_found_by_its_token_until_the_feed_ends_it() {
    let directory = Directory::new();
    directory.load_one(LoadedRecord::Session(session(1, 5)));
    apply(&directory, 1, vec![ChangedRecord::Session(session(2, 6))]);
    assert_eq!(directory.sessions_len(), 2);
    let seen = directory.session(&token(2), |live| {
        (live.id.clone(), live.member.to_string(), live.account.to_string(), live.created)
    });
    let id = SessionId::from_random([2; 16]);
    assert_eq!(seen, Some((id, "a".to_owned(), "acme".to_owned(), Timestamp(5))));
    assert_eq!(used(&directory, 3), None);
    // The member and all sessions go in one change.
    let gone =
        vec![ChangedRecord::SessionGone(token(1)), ChangedRecord::SessionGone(token(2)), gone("a")];
    apply(&directory, 2, gone);
    assert_eq!((used(&directory, 1), used(&directory, 2)), (None, None));
    directory.session_used(&token(1), Timestamp(9));
    assert_eq!((directory.sessions_len(), directory.sessions_used()), (0, vec![]));
}

#[test]
fn use_only_rises_and_waits_until_it_is_written_down() {
    let directory = Directory::new();
    apply(
        &directory,
        1,
        vec![ChangedRecord::Session(session(1, 5)), ChangedRecord::Session(session(2, 5))],
    );
    assert_eq!(directory.sessions_used(), [], "the store knows it all");
    directory.session_used(&token(1), Timestamp(20));
    directory.session_used(&token(1), Timestamp(10));
    assert_eq!((used(&directory, 1), used(&directory, 2)), (Some(20), Some(5)));
    assert_eq!(directory.sessions_used(), [(token(1), Timestamp(20))]);
    // It is used again while the store writes it down: that is still to be written.
    directory.session_used(&token(1), Timestamp(30));
    apply(&directory, 2, vec![ChangedRecord::Session(session(1, 20))]);
    assert_eq!((used(&directory, 1), directory.sessions_len()), (Some(30), 2));
    assert_eq!(directory.sessions_used(), [(token(1), Timestamp(30))]);
    apply(&directory, 3, vec![ChangedRecord::Session(session(1, 30))]);
    assert_eq!(directory.sessions_used(), []);
}

#[test]
fn an_api_token_is_found_by_its_secret_and_its_use_is_known_here_first() {
    let made = ApiToken {
        id: ApiTokenId::from_random([4; 16]),
        token: token(4),
        name: Name::parse("name", "t").unwrap(),
        role: RoleId::parse("viewer").unwrap(),
        member: MemberId::parse("a").unwrap(),
        account: AccountSlug::parse("acme").unwrap(),
        created: Timestamp(5),
        expires: Timestamp(50),
        used: None,
    };
    let directory = Directory::new();
    directory.load_one(LoadedRecord::ApiToken(made.clone()));
    let found = directory.api_token(&token(4)).unwrap();
    assert_eq!((found.id.clone(), found.role.as_str()), (made.id.clone(), "viewer"));
    assert_eq!((found.member.as_str(), found.expires), ("a", Timestamp(50)));
    assert!(directory.session(&token(4), |_| ()).is_none(), "it passes for a session");
    assert_eq!(
        (directory.api_token_last_used(&token(4)), directory.api_tokens_used()),
        (None, vec![])
    );
    directory.api_token_used(&token(4), Timestamp(9));
    assert_eq!(directory.api_tokens_used(), [(made.id.clone(), Timestamp(9))]);
    let written = ApiToken { used: Some(Timestamp(9)), ..made };
    apply(&directory, 1, vec![ChangedRecord::ApiToken(written)]);
    assert_eq!(directory.api_token_last_used(&token(4)), Some(Timestamp(9)));
    assert_eq!(directory.api_tokens_used(), []);
    apply(&directory, 2, vec![ChangedRecord::ApiTokenGone(token(4))]);
    assert!(directory.api_token(&token(4)).is_none());
}

#[test]
fn a_member_is_seen_as_the_store_holds_it() {
    let directory = Directory::new();
    // As short as an id may be, as long as a short one, one longer, and the longest.
    for length in [1, 31, 32, 128] {
        let id = "x".repeat(length);
        directory.load_one(LoadedRecord::Members(vec![member(&id, "operator")]));
        let seen = directory.with(&id, |view| {
            assert_eq!((view.id, view.account, view.role), (id.as_str(), "acme", "operator"));
            assert_eq!((view.active, view.two_step, view.joined), (true, true, Timestamp(5)));
            let texts = view.texts;
            assert_eq!(
                (texts.email_key(), texts.first_name(), texts.last_name()),
                ("a.b@example.org", "Ørjan", "Lee")
            );
        });
        assert!(seen.is_some(), "an id of {length} characters is not found");
        for other in [&id[1..], &format!("{id}x"), &format!("{id}\0"), ""] {
            let found = directory.with(other, |view| view.id.len());
            assert_eq!(found, None, "{other:?} finds an id of {length} characters");
        }
        apply(&directory, 1, vec![gone(&id)]);
        assert!(directory.with(&id, |_| ()).is_none());
    }
    assert!(directory.is_empty());
}

/// A member's standing, as the short way says it and as the whole record does.
fn standings(directory: &Directory, id: &str) -> [Option<(String, String, bool)>; 2] {
    let told = |standing: MemberAccess<'_>| {
        (standing.account.to_owned(), standing.role.to_owned(), standing.active)
    };
    [directory.access(id, told), directory.with(id, |view| told(view.access()))]
}

const UUID: &str = "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";

#[test]
fn a_standing_is_found_by_the_whole_id_and_no_other() {
    let directory = Directory::new();
    let own = MemberId::from_random([7; 16]).to_string();
    for (id, is_short) in [
        ("x", true),
        (own.as_str(), true),
        (&"x".repeat(27), true),
        (&"x".repeat(28), false),
        (UUID, true),
        (&UUID.to_uppercase(), false),
        (&UUID.replace('-', "0"), false),
        (&format!("{UUID}0"), false),
    ] {
        directory.load_one(LoadedRecord::Members(vec![member(id, "operator")]));
        let [standing, whole] = standings(&directory, id);
        assert!(whole.is_some(), "{id}");
        assert_eq!(standing, whole.filter(|_| is_short), "{id}");
        let [first, rest @ ..] = id.as_bytes() else { panic!("an id") };
        let other = [&[first ^ 1], rest].concat();
        for other in [
            &id[1..],
            &format!("{id}x"),
            &format!("{id}\0"),
            &format!("\0{id}"),
            std::str::from_utf8(&other).unwrap(),
            "",
            "\0",
        ] {
            assert_eq!(standings(&directory, other), [None, None], "{other:?} finds {id}");
        }
        apply(&directory, 1, vec![gone(id)]);
        assert_eq!(standings(&directory, id), [None, None]);
    }
}

#[test]
fn standings_follow_every_change_while_their_table_grows() {
    const IDS: u64 = 3_000;
    let directory = Directory::new();
    let mut dice = StdRng::seed_from_u64(17);
    for revision in 1..20_000 {
        let number = dice.random_range(0..IDS);
        let id = format!("m{number}");
        let row = match dice.random_range(0..4) {
            0 => gone(&id),
            kind => ChangedRecord::Member(Member {
                account: AccountSlug::parse(&format!("account-{}", dice.random_range(0..50)))
                    .unwrap(),
                status: if kind == 1 { Status::Suspended } else { Status::Active },
                ..member(&id, ["viewer", "operator", "editor"][dice.random_range(0..3)])
            }),
        };
        apply(&directory, revision, vec![row]);
        let [standing, whole] = standings(&directory, &id);
        assert_eq!(standing, whole, "{id} at {revision}");
    }
    let found = (0..IDS).filter(|number| {
        let [standing, whole] = standings(&directory, &format!("m{number}"));
        assert_eq!(standing, whole, "m{number}");
        standing.is_some()
    });
    assert_eq!(found.count(), directory.len());
    assert!(directory.len() > 1_000, "only {}: nothing is shown", directory.len());
}

#[test]
fn members_that_several_threads_load_are_all_there() {
    // Fewer than said, as many, and more: what is said is a hint.
    for said in [10, 4_000, 9_000] {
        let directory = Directory::new();
        directory.load_one(LoadedRecord::Coming(said));
        std::thread::scope(|threads| {
            for thread in 0..2 {
                let directory = &directory;
                threads.spawn(move || {
                    for number in 0..2_000 {
                        let role = ["viewer", "operator"][number % 2];
                        let id = format!("m{thread}-{number}");
                        directory.load_one(LoadedRecord::Members(vec![member(&id, role)]));
                    }
                });
            }
        });
        assert_eq!(directory.len(), 4_000);
        let halves = ["operator", "viewer"].map(|role| (role.to_owned(), 2_000));
        assert_eq!(held(&directory), halves);
        for id in ["m0-0", "m1-0", "m0-1999", "m1-1999"] {
            let [standing, whole] = standings(&directory, id);
            assert!(standing.is_some() && standing == whole, "{id} of {said}");
        }
    }
}

#[test]
fn members_that_change_before_the_load_ends_or_are_loaded_twice_are_found_once() {
    let directory = Directory::new();
    for id in ["ann", "ann", "leo"] {
        directory.load_one(LoadedRecord::Members(vec![member(id, "operator")]));
    }
    apply(&directory, 1, vec![gone("leo")]);
    directory.loaded(Revision(1));
    let group = directory.first_group(Bound::Unbounded).unwrap();
    assert_eq!(directory.group_members(&group, "", usize::MAX), ["ann"]);
    let held: Vec<_> = directory.roles_held().into_iter().map(|(_, members)| members).collect();
    assert_eq!(held, [1]);
}

#[test]
fn members_that_are_loaded_from_both_ends_are_found_by_role_in_the_order_of_their_ids() {
    // Ids of several lengths, one below and one above what is stored in line.
    let id = |number: usize| format!("{number:05}{}", "x".repeat([0, 1, 26, 27][number % 4]));
    let of = |number: usize| Member {
        status: [Status::Active, Status::Suspended][usize::from(number.is_multiple_of(7))],
        ..member(&id(number), ["viewer", "operator", "auditor"][number % 3])
    };
    let numbers: Vec<usize> = (0..1_000).collect();
    let (first, second) = numbers.split_at(617);
    let one_by_one = Directory::new();
    let rows = numbers.iter().map(|number| ChangedRecord::Member(of(*number)));
    apply(&one_by_one, 1, rows.collect());
    for at_once in [1, 2, 7, 100, 1_000] {
        let directory = Directory::new();
        let forwards = first.chunks(at_once).map(<[usize]>::to_vec);
        let backwards = second.rchunks(at_once).map(|run| run.iter().rev().copied().collect());
        let (mut forwards, mut backwards) = (forwards, backwards);
        loop {
            let runs: [Option<Vec<usize>>; 2] = [backwards.next(), forwards.next()];
            if runs.iter().all(Option::is_none) {
                break;
            }
            for run in runs.into_iter().flatten() {
                let members = run.into_iter().map(of).collect();
                directory.load_one(LoadedRecord::Members(members));
            }
        }
        directory.loaded(Revision(1));
        let mut group = directory.first_group(Bound::Unbounded);
        let mut found = 0;
        while let Some(next) = group {
            let ids = directory.group_members(&next, "", usize::MAX);
            assert!(ids.is_sorted() && ids == one_by_one.group_members(&next, "", usize::MAX));
            found += ids.len();
            group = directory.first_group(Bound::Excluded(&next));
        }
        assert_eq!(found, numbers.len(), "{at_once} at once");
        // A change behind it finds each in its place.
        for number in &numbers {
            apply(&directory, 2, vec![gone(&id(*number))]);
        }
        assert_eq!(directory.first_group(Bound::Unbounded), None);
    }
}

#[test]
fn a_standing_is_never_half_changed() {
    let directory = Directory::new();
    let as_it_was = member("a", "viewer");
    let as_it_became = Member {
        account: AccountSlug::parse("globex").unwrap(),
        status: Status::Suspended,
        ..member("a", "operator")
    };
    apply(&directory, 1, vec![ChangedRecord::Member(as_it_was.clone())]);
    let read = |standing: MemberAccess<'_>| {
        [("acme", "viewer", true), ("globex", "operator", false)].contains(&(
            standing.account,
            standing.role,
            standing.active,
        ))
    };
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let reading = threads.spawn(|| {
            let mut reads = 0_u32;
            while !done.load(Ordering::Relaxed) || reads == 0 {
                assert_eq!(directory.access("a", read), Some(true));
                reads += 1;
            }
        });
        for revision in 0..4_000 {
            let as_now = if revision % 2 == 0 { &as_it_became } else { &as_it_was };
            // Another member each time, so that the table is rebuilt meanwhile.
            let more = member(&format!("m{revision}"), "viewer");
            apply(
                &directory,
                2 + revision,
                vec![ChangedRecord::Member(as_now.clone()), ChangedRecord::Member(more)],
            );
        }
        done.store(true, Ordering::Relaxed);
        reading.join().unwrap();
    });
}

#[test]
fn roles_are_counted_through_every_change() {
    let directory = Directory::new();
    let suspended = Member { status: Status::Suspended, ..member("b", "viewer") };
    let rows = vec![ChangedRecord::Member(member("a", "viewer")), ChangedRecord::Member(suspended)];
    apply(&directory, 1, rows);
    assert_eq!(held(&directory), [("viewer".to_owned(), 2)], "suspended members hold a role too");
    apply(&directory, 2, vec![ChangedRecord::Member(member("a", "operator"))]);
    assert_eq!(held(&directory), [("operator".to_owned(), 1), ("viewer".to_owned(), 1)]);
    apply(&directory, 3, vec![gone("b")]);
    apply(&directory, 4, vec![gone("b")]);
    assert_eq!(held(&directory), [("operator".to_owned(), 1)]);
    assert_eq!((directory.len(), directory.revision()), (1, Revision(4)));
}

#[test]
fn members_of_an_import_are_seen_once_it_is_made() {
    let directory = Directory::new();
    let [made, gone_one] = [ImportId(1), ImportId(2)];
    apply(&directory, 1, vec![ChangedRecord::Importing(made, member("a", "viewer"))]);
    directory.load_one(LoadedRecord::Importing(made, member("b", "viewer")));
    apply(&directory, 2, vec![ChangedRecord::Importing(gone_one, member("c", "operator"))]);
    let seen = || ["a", "b", "c"].map(|id| standings(&directory, id).map(|found| found.is_some()));
    assert_eq!(seen(), [[false; 2]; 3]);
    assert!(directory.is_empty());
    let both = [("operator".to_owned(), 1), ("viewer".to_owned(), 2)];
    assert_eq!(held(&directory), both, "a policy set must keep the roles that they will have");
    let account = AccountSlug::parse("acme").unwrap();
    apply(&directory, 3, vec![ChangedRecord::Imported { import: made, account }]);
    apply(&directory, 4, vec![ChangedRecord::ImportGone(gone_one)]);
    assert_eq!(seen(), [[false, true], [false, true], [false; 2]], "index, records");
    assert_eq!((directory.len(), held(&directory)), (2, vec![("viewer".to_owned(), 2)]));
    while directory.index_imported() {}
    assert_eq!(seen(), [[true; 2], [true; 2], [false; 2]]);
}

/// The index is filled after an import, in steps: what changes meanwhile stays as it was changed.
#[test]
fn members_who_change_after_their_import_are_not_indexed_as_they_came() {
    let directory = Directory::new();
    let ids: Vec<String> = (0..2_000).map(|number| format!("m{number:04}")).collect();
    let rows = ids.iter().map(|id| ChangedRecord::Importing(ImportId(1), member(id, "viewer")));
    apply(&directory, 1, rows.collect());
    let account = AccountSlug::parse("acme").unwrap();
    apply(&directory, 2, vec![ChangedRecord::Imported { import: ImportId(1), account }]);
    assert!(directory.index_imported(), "one step is not all");
    let suspended = Member { status: Status::Suspended, ..member("m1800", "viewer") };
    let changes = vec![
        ChangedRecord::Member(member("m0001", "operator")),
        ChangedRecord::Member(member("m1700", "operator")),
        ChangedRecord::Member(suspended),
        gone("m0002"),
        gone("m1900"),
    ];
    apply(&directory, 3, changes);
    while directory.index_imported() {}
    for (number, id) in ids.iter().enumerate() {
        let expected = match number {
            1 | 1_700 => Some(("operator".to_owned(), true)),
            1_800 => Some(("viewer".to_owned(), false)),
            2 | 1_900 => None,
            _ => Some(("viewer".to_owned(), true)),
        };
        let state = |access: MemberAccess<'_>| (access.role.to_owned(), access.active);
        assert_eq!(directory.access(id, state), expected, "{id}");
        assert_eq!(
            directory.with(id, |view| (view.role.to_owned(), view.active)),
            expected,
            "{id}"
        );
    }
}

/// More imports than have a number: their members are shown all the same, and only when they are made.
#[test]
fn imports_without_end_are_shown() {
    let directory = Directory::new();
    for number in 0..70_000 {
        let staged = ChangedRecord::Importing(ImportId(number), member("a", "viewer"));
        apply(&directory, 2 * number + 1, vec![staged]);
        assert!(directory.with("a", |_| ()).is_none(), "{number}");
        apply(&directory, 2 * number + 2, vec![ChangedRecord::ImportGone(ImportId(number))]);
    }
    apply(
        &directory,
        200_000,
        vec![ChangedRecord::Importing(ImportId(70_000), member("a", "viewer"))],
    );
    assert!(directory.with("a", |_| ()).is_none());
    let account = AccountSlug::parse("acme").unwrap();
    apply(&directory, 200_001, vec![ChangedRecord::Imported { import: ImportId(70_000), account }]);
    assert!(directory.with("a", |_| ()).is_some());
    while directory.index_imported() {}
    assert!(directory.access("a", |_| ()).is_some());
}

#[tokio::test]
async fn waiting_for_a_revision_ends_when_it_is_seen_or_at_the_timeout() {
    let directory = Arc::new(Directory::new());
    assert!(!directory.reached(Revision(1), Duration::from_millis(20)).await);
    let waiting = {
        let directory = Arc::clone(&directory);
        tokio::spawn(async move {
            let reached = directory.reached(Revision(2), Duration::from_secs(10)).await;
            (reached, directory.with("a", |_| ()).is_some())
        })
    };
    apply(&directory, 1, Vec::new());
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished(), "went on before its revision was seen");
    apply(&directory, 2, vec![ChangedRecord::Member(member("a", "viewer"))]);
    assert_eq!(waiting.await.unwrap(), (true, true));
}
