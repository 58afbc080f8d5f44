//! The members in memory: what a change does to them, and when it counts as seen.

use std::sync::Arc;
use std::time::Duration;

use kwic_team::directory::Directory;
use kwic_team::domain::{
    AccountSlug, Change, Email, Member, MemberId, Name, Revision, RoleId, Row, Status, Timestamp,
    Version,
};
use kwic_team::store::feed::Loaded;

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

fn apply(directory: &Directory, revision: u64, rows: Vec<Row>) {
    directory.apply(&Change { revision: Revision(revision), rows });
}

fn held(directory: &Directory) -> Vec<(String, usize)> {
    directory.roles_held().into_iter().map(|(role, count)| (role.to_string(), count)).collect()
}

#[test]
fn a_member_is_seen_as_the_store_holds_it() {
    let directory = Directory::new();
    // As short as an id may be, as long as a short one, one longer, and the longest.
    for length in [1, 31, 32, 128] {
        let id = "x".repeat(length);
        directory.load_one(Loaded::Member(member(&id, "operator")));
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
        apply(&directory, 1, vec![Row::MemberGone(MemberId::parse(&id).unwrap())]);
        assert!(directory.with(&id, |_| ()).is_none());
    }
    assert!(directory.is_empty());
}

#[test]
fn roles_are_counted_through_every_change() {
    let directory = Directory::new();
    let suspended = Member { status: Status::Suspended, ..member("b", "viewer") };
    let rows = vec![Row::Member(member("a", "viewer")), Row::Member(suspended)];
    apply(&directory, 1, rows);
    assert_eq!(held(&directory), [("viewer".to_owned(), 2)], "suspended members hold a role too");
    apply(&directory, 2, vec![Row::Member(member("a", "operator"))]);
    assert_eq!(held(&directory), [("operator".to_owned(), 1), ("viewer".to_owned(), 1)]);
    apply(&directory, 3, vec![Row::MemberGone(MemberId::parse("b").unwrap())]);
    apply(&directory, 4, vec![Row::MemberGone(MemberId::parse("b").unwrap())]);
    assert_eq!(held(&directory), [("operator".to_owned(), 1)]);
    assert_eq!((directory.len(), directory.revision()), (1, Revision(4)));
}

#[tokio::test]
async fn whoever_waits_for_a_revision_goes_on_when_it_is_seen_and_gives_up_in_time() {
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
    apply(&directory, 2, vec![Row::Member(member("a", "viewer"))]);
    assert_eq!(waiting.await.unwrap(), (true, true));
}
