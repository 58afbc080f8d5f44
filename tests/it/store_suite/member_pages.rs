//! Rules of the member table: every order, pages in both directions, search and counts.

use std::collections::BTreeSet;

use kwic_team::domain::{Email, InviteState, Kind, Member, RoleId, SendOutcome, Status, Timestamp};
use kwic_team::store::member_pages::{MemberOrder, MemberTablePage, MemberTableQuery};
use kwic_team::store::requests_and_views::invites::{InviteFilter, OpenInvites};
use kwic_team::store::{ImportRow, MemberFilter};

use crate::support::store_fixture::{
    ACTOR, BY, HOUR, LIFETIME, StoreFixture, member, name, role, slug,
};

store_rules!(
    names_are_ordered_as_people_read_them,
    every_order_is_paged_forth_and_back,
    a_page_is_right_after_its_cursor_has_gone,
    a_cursor_is_of_one_order_and_one_end,
    members_are_found_whatever_the_case_and_the_accents,
    filters_and_counts_stand_beside_the_page,
    open_invites_are_counted,
);
store_rules!(alone: ten_thousand_members_are_one_page);

/// A member of acme with this id, these names, and an address of that id.
fn called(of: &str, first: &str, last: &str) -> Member {
    Member { first_name: name(first), last_name: name(last), ..member("acme", of) }
}

async fn put(stage: &StoreFixture, member: Member) -> Member {
    stage.store.member_create(&ACTOR, member).await.unwrap().value
}

async fn roster(stage: &StoreFixture, query: &MemberTableQuery) -> MemberTablePage {
    stage.store.roster(&stage.acme, query).await.unwrap()
}

fn in_order(order: MemberOrder, limit: usize) -> MemberTableQuery {
    MemberTableQuery { order, limit, ..MemberTableQuery::default() }
}

fn ids(roster: &MemberTablePage) -> Vec<&str> {
    roster.items.iter().map(|seen| seen.member.id.as_str()).collect()
}

/// Follows `next` from the beginning, and holds each page against the numbers that come with it.
async fn forth(stage: &StoreFixture, query: &MemberTableQuery) -> (Vec<String>, MemberTablePage) {
    let (mut query, mut seen) = (query.clone(), Vec::new());
    for _ in 0..1_000 {
        let page = roster(stage, &query).await;
        assert_eq!(page.first, if page.items.is_empty() { 0 } else { seen.len() + 1 });
        assert_eq!(page.previous.is_some(), !seen.is_empty());
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        assert_eq!(page.next.is_some(), seen.len() < page.matching);
        match &page.next {
            Some(next) => query.after = Some(next.clone()),
            None => return (seen, page),
        }
    }
    panic!("no end");
}

async fn names_are_ordered_as_people_read_them(stage: StoreFixture) {
    for (id, first, last) in [
        ("z1", "Zo\u{eb}", "Adams"),
        ("a1", "\u{c5}ngstr\u{f6}m", "Lee"),
        ("b1", "bert", "Lee"),
        ("z2", "Zoe", "Baker"),
        ("a2", "ANA", "Lee"),
        ("d1", "\u{930}\u{935}\u{93f}", "\u{936}\u{930}\u{94d}\u{92e}\u{93e}"),
        ("d2", "\u{930}\u{935}", "\u{936}\u{930}\u{94d}\u{92e}\u{93e}"),
        ("h1", "\u{5d3}\u{5d5}\u{5d3}", "\u{5db}\u{5d4}\u{5df}"),
    ] {
        put(&stage, called(id, first, last)).await;
    }
    let page = roster(&stage, &in_order(MemberOrder::Name, 100)).await;
    // Angstrom stands with the a; Zoe Adams before Zoe Baker; other scripts behind Latin.
    assert_eq!(ids(&page), ["a2", "a1", "b1", "z1", "z2", "h1", "d2", "d1"]);
}

/// Nine members of whom several share each key but the address.
async fn nine(stage: &StoreFixture) -> Vec<Member> {
    let mut all = Vec::new();
    for number in 0..9_i64 {
        let of = format!("m{}", (number * 5) % 9);
        stage.join(&of).await;
        stage.clock.advance_ms(HOUR * (number % 2));
        all.push(stage.get(&of).await);
    }
    // Three times twice at once, three never.
    for (number, member) in all.iter().enumerate().filter(|(number, _)| number % 3 != 0) {
        stage.clock.advance_ms(if number % 3 == 1 { HOUR } else { 0 });
        stage.signed_in(member, &format!("s{number}")).await;
    }
    for member in &all[..4] {
        let edit = crate::support::store_fixture::to_role("viewer");
        stage.store.member_edit(&BY, stage.target(&member.id), edit).await.unwrap();
    }
    all
}

async fn every_order_is_paged_forth_and_back(stage: StoreFixture) {
    nine(&stage).await;
    let other = Member { role: role("viewer"), ..member("globex", "aaa") };
    stage.store.member_create(&ACTOR, other).await.unwrap();
    for order in MemberOrder::ALL {
        let whole = roster(&stage, &in_order(order, 100)).await;
        assert_eq!((whole.total, whole.matching, whole.first), (9, 9, 1), "{order:?}");
        assert_eq!((&whole.next, &whole.previous), (&None, &None));
        let keys: Vec<(String, Option<Timestamp>, &str)> = whole
            .items
            .iter()
            .map(|seen| {
                let member = &seen.member;
                let (text, at) = match order {
                    MemberOrder::Name => (member.full_name().to_lowercase(), None),
                    MemberOrder::Email => (member.email.key().to_owned(), None),
                    MemberOrder::Role => (member.role.to_string(), None),
                    MemberOrder::SignedIn => (String::new(), seen.signed_in),
                    MemberOrder::Joined => (String::new(), Some(member.joined)),
                };
                (text, at, member.id.as_str())
            })
            .collect();
        assert!(keys.is_sorted(), "{order:?}: {keys:?}");
        let differing: BTreeSet<_> = keys.iter().map(|(text, at, _)| (text, at)).collect();
        let expected = match order {
            MemberOrder::Name => 1,
            MemberOrder::Email => 9,
            MemberOrder::Role => 2,
            MemberOrder::SignedIn => 4,
            MemberOrder::Joined => 5,
        };
        assert_eq!(differing.len(), expected, "{order:?}: the case tells nothing apart");
        for descending in [false, true] {
            let mut expected: Vec<&str> = ids(&whole);
            if descending {
                expected.reverse();
            }
            let query = MemberTableQuery { descending, ..in_order(order, 2) };
            let (seen, mut page) = forth(&stage, &query).await;
            assert_eq!(seen, expected, "{order:?} {descending}");
            assert_eq!(page.first, 9);
            let mut behind = vec![expected[8].to_owned()];
            while let Some(previous) = page.previous {
                page =
                    roster(&stage, &MemberTableQuery { before: Some(previous), ..query.clone() })
                        .await;
                assert!(page.next.is_some(), "{order:?}");
                behind.splice(..0, ids(&page).into_iter().map(str::to_owned));
                assert_eq!(page.first, 10 - behind.len(), "{order:?} {descending}");
                assert!(behind.len() <= 9, "{order:?}: {behind:?}");
            }
            assert_eq!(behind, expected, "{order:?} {descending}, backwards");
        }
    }
}

async fn a_page_is_right_after_its_cursor_has_gone(stage: StoreFixture) {
    nine(&stage).await;
    for order in MemberOrder::ALL {
        let query = in_order(order, 4);
        let first = roster(&stage, &query).await;
        let gone = first.items[3].member.clone();
        let after = MemberTableQuery { after: first.next.clone(), ..query.clone() };
        let wanted = roster(&stage, &after).await;
        stage.store.member_remove(&BY, stage.target(&gone.id)).await.unwrap();
        let page = roster(&stage, &after).await;
        assert_eq!(ids(&page), ids(&wanted), "{order:?}");
        assert_eq!((page.first, page.total), (wanted.first - 1, wanted.total - 1));
        let back = MemberTableQuery { before: page.previous, ..query };
        assert_eq!(ids(&roster(&stage, &back).await), ids(&first)[..3], "{order:?}");
        stage.store.member_create(&ACTOR, gone).await.unwrap();
    }
}

async fn a_cursor_is_of_one_order_and_one_end(stage: StoreFixture) {
    nine(&stage).await;
    let by_name = in_order(MemberOrder::Name, 2);
    let cursor = roster(&stage, &by_name).await.next;
    let asked = async |query: MemberTableQuery| {
        let failure = stage.store.roster(&stage.acme, &query).await.expect_err("was taken");
        assert_eq!(failure.kind, Kind::Invalid);
        failure.fields[0].0.clone()
    };
    let in_joined = MemberTableQuery { after: cursor.clone(), ..in_order(MemberOrder::Joined, 2) };
    assert_eq!(asked(in_joined).await, "after");
    let turned = MemberTableQuery { before: cursor.clone(), descending: true, ..by_name.clone() };
    assert_eq!(asked(turned).await, "before");
    let both = MemberTableQuery { after: cursor.clone(), before: cursor, ..by_name.clone() };
    assert_eq!(asked(both).await, "before");
    for text in ["", "name", "name ", "name m1", "name / x", "names m1 x", "-name m1 x"] {
        let query = MemberTableQuery { after: Some(text.to_owned()), ..by_name.clone() };
        assert_eq!(asked(query).await, "after", "{text}");
    }
    for text in ["joined m1 ", "joined m1 soon"] {
        let query =
            MemberTableQuery { after: Some(text.into()), ..in_order(MemberOrder::Joined, 2) };
        assert_eq!(asked(query).await, "after", "{text}");
    }
    // Behind the last one there is nothing, and that is no fault.
    let end = MemberTableQuery { after: Some("name zz zzz".into()), ..by_name };
    let page = roster(&stage, &end).await;
    assert_eq!((page.items.len(), page.first, page.matching), (0, 0, 9));
    assert_eq!((page.next, page.previous), (None, None));
}

async fn members_are_found_whatever_the_case_and_the_accents(stage: StoreFixture) {
    put(&stage, called("z1", "Zo\u{eb}", "K\u{f6}nig")).await;
    put(&stage, called("z2", "ZOE", "King")).await;
    let ravi = "\u{930}\u{935}\u{93f}";
    put(&stage, called("d1", ravi, "Rao")).await;
    put(&stage, called("d2", "\u{930}\u{935}", "Rao")).await;
    let found = async |text: &str| {
        let search = Some(text.to_owned());
        let filter = MemberFilter { search, ..MemberFilter::default() };
        let query = MemberTableQuery { filter: filter.clone(), ..in_order(MemberOrder::Name, 100) };
        let page = roster(&stage, &query).await;
        let listed = stage.store.members(&stage.acme, &filter, None, 100).await.unwrap();
        assert_eq!((page.matching, page.total), (listed.items.len(), 4), "{text}");
        ids(&page).join(" ")
    };
    assert_eq!(found("zoe").await, "z2 z1");
    assert_eq!(found("Zo\u{eb}").await, "z2 z1");
    assert_eq!(found("zoe konig").await, "z1");
    assert_eq!(found("Z2@Example").await, "z2");
    assert_eq!(found(ravi).await, "d1");
    assert_eq!(found("nobody").await, "");
}

async fn filters_and_counts_stand_beside_the_page(stage: StoreFixture) {
    nine(&stage).await;
    let lee = Member { role: role("auditor"), two_step: true, ..called("x1", "Bo", "Li") };
    put(&stage, lee).await;
    let resting =
        Member { role: role("auditor"), status: Status::Suspended, ..called("x2", "Cy", "Li") };
    put(&stage, resting).await;
    let of = async |filter: MemberFilter| {
        let page =
            roster(&stage, &MemberTableQuery { filter, ..in_order(MemberOrder::Name, 1) }).await;
        assert_eq!((page.total, page.without_two_step), (11, 9));
        let held: Vec<(&str, usize)> =
            page.held.iter().map(|(role, members)| (RoleId::as_str(role), *members)).collect();
        assert_eq!(held, [("auditor", 2), ("operator", 5), ("viewer", 4)]);
        page.matching
    };
    let everybody = MemberFilter::default();
    assert_eq!(of(everybody.clone()).await, 11);
    let roles = vec![role("auditor"), role("viewer")];
    assert_eq!(of(MemberFilter { roles: roles.clone(), ..everybody.clone() }).await, 6);
    let both = MemberFilter { roles, status: Some(Status::Active), ..everybody.clone() };
    assert_eq!(of(both).await, 5);
    assert_eq!(of(MemberFilter { two_step: Some(true), ..everybody.clone() }).await, 1);
    assert_eq!(of(MemberFilter { two_step: Some(false), ..everybody }).await, 10);
    let nobody =
        stage.store.roster(&slug("globex"), &in_order(MemberOrder::Role, 5)).await.unwrap();
    assert_eq!(nobody, MemberTablePage::default());
}

async fn ten_thousand_members_are_one_page(stage: StoreFixture) {
    let rows: Vec<ImportRow> = (0..10_000_u64)
        .map(|line| {
            // Every number once, in no order that anything else has.
            let of = format!("m{:05}", (line * 7_919) % 10_000);
            let member = Member {
                email: Email::parse(&format!("{line}@example.org")).unwrap(),
                ..called(&of, "Ann", &of)
            };
            ImportRow { line, member }
        })
        .collect();
    stage.import(vec![rows], true).await.unwrap();
    let query = MemberTableQuery { descending: true, ..in_order(MemberOrder::Name, 25) };
    let page = roster(&stage, &query).await;
    assert_eq!((page.total, page.matching, page.first), (10_000, 10_000, 1));
    assert_eq!((ids(&page)[0], ids(&page)[24]), ("m09999", "m09975"));
    let next = roster(&stage, &MemberTableQuery { after: page.next, ..query.clone() }).await;
    assert_eq!((next.first, ids(&next)[0]), (26, "m09974"));
    let before = Some("-name m05000 ann m05000".to_owned());
    let middle = roster(&stage, &MemberTableQuery { before, ..query }).await;
    assert_eq!((middle.first, ids(&middle)[0], ids(&middle)[24]), (4_975, "m05025", "m05001"));
}

async fn open_invites_are_counted(stage: StoreFixture) {
    let open = async || stage.store.invites_open(&stage.acme).await.unwrap();
    assert_eq!(open().await, OpenInvites::default());
    stage.create("zed").await;
    stage.join("anna").await;
    for invitee in ["bert", "carl", "dora", "emil"] {
        stage.invite(invitee).await;
    }
    assert_eq!(open().await, OpenInvites { pending: 4, ..OpenInvites::default() });
    for letter in stage.claim().await {
        if letter.to.key() == "bert@example.org" {
            let refused = SendOutcome::Refused { detail: "there is no such mailbox".into() };
            stage.store.letter_settle(&letter, refused).await.unwrap();
        }
    }
    let carl = stage.invited("carl").await.invite.id;
    stage.store.invite_revoke(&BY, stage.invite_target(&carl)).await.unwrap();
    assert_eq!(open().await, OpenInvites { pending: 3, undelivered: 1, expired: 0 });
    stage.clock.advance_ms(LIFETIME);
    assert_eq!(open().await, OpenInvites { expired: 3, ..OpenInvites::default() });
    for (states, count) in [
        (vec![InviteState::Expired], 3),
        (vec![InviteState::Pending], 0),
        (vec![InviteState::Pending, InviteState::Expired], 3),
    ] {
        let filter = InviteFilter { states, ..InviteFilter::default() };
        assert_eq!(stage.store.invites_count(&stage.acme, &filter).await.unwrap(), count);
    }
}
