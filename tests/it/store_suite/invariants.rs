//! Rules for every path: who may make a change, and that an administrator remains after it.

use std::collections::BTreeSet;

use kwic_team::domain::{
    Actor, ChangedRecord, DeliveryState, InviteOutcome, InviteState, Kind, Member, MemberId,
    Status, Version,
};
use kwic_team::store::preconditions::MOVED_ON;
use kwic_team::store::requests_and_views::invites::{InviteEdit, InviteFilter};
use kwic_team::store::requests_and_views::sessions::SessionSelector;
use kwic_team::store::{AccountEdit, ImportRow, MemberEdit, Preconditions};

use crate::support::store_fixture::{
    ACTOR, BY, StoreFixture, address, by, hash, id, invite_id, member, name, refused, role, slug,
    to_address, to_role, where_administer,
};

store_rules!(
    the_author_of_a_change_is_the_one_who_was_authorized,
    the_last_administrator_stays,
    two_administrators_who_end_each_other_leave_one,
    nobody_changes_the_own_role,
    a_removal_ends_all_that_a_member_could_act_by,
    a_hundred_sessions_and_a_hundred_invites_end_in_one_change,
    a_new_role_ends_the_invites_that_it_may_not_send,
    a_suspension_ends_sessions_and_links_and_leaves_invites,
    a_new_address_ends_links_to_the_old_one,
    administrators_are_counted_through_every_path,
);

/// Every change that somebody makes by a right, tried; the codes that it was refused with.
async fn tried(stage: &StoreFixture, by: &Preconditions) -> Vec<(Kind, &'static str)> {
    let (store, bert, bo) = (&stage.store, id("bert"), invite_id("bo"));
    let (acme, member, invite) = (&stage.acme, stage.target(&bert), stage.invite_target(&bo));
    let named = MemberEdit { first_name: Some(name("X")), ..MemberEdit::default() };
    let renamed = AccountEdit { name: Some("X".into()), ..AccountEdit::default() };
    let corrected = InviteEdit { role: Some(role("viewer")), ..InviteEdit::default() };
    vec![
        refused(store.account_edit(by, acme, None, renamed).await),
        refused(store.member_edit(by, member, named).await),
        refused(store.member_suspend(by, member).await),
        refused(store.member_restore(by, member).await),
        refused(store.member_remove(by, member).await),
        refused(store.sessions_end(by, member, SessionSelector::All).await),
        refused(store.reset_begin(by, member, stage.link("reset")).await),
        refused(store.invite_create(by, stage.new_invite("new")).await),
        refused(store.invite_renew(by, invite, stage.invite_link("bo", 2)).await),
        refused(store.invite_edit(by, invite, corrected).await),
        refused(store.invite_link_shown(by, invite, None).await),
        refused(store.invite_revoke(by, invite).await),
    ]
}

async fn the_author_of_a_change_is_the_one_who_was_authorized(stage: StoreFixture) {
    let anna = stage.create("anna").await;
    stage.join("bert").await;
    stage.invite("bo").await;
    let gone = Member { id: id("ghost"), ..anna.clone() };
    let mut strange = member("globex", "gus");
    strange.version =
        stage.store.member_create(&ACTOR, strange.clone()).await.unwrap().value.version;
    let suspended = stage.create("suse").await;
    let suspended =
        stage.store.member_suspend(&BY, stage.target(&suspended.id)).await.unwrap().value;
    let older = by(&anna);
    let edit = MemberEdit { last_name: Some(name("Mei")), ..MemberEdit::default() };
    stage.store.member_edit(&BY, stage.target(&anna.id), edit).await.unwrap();
    stage.told();
    let before = stage.revision().await;
    let no_version = Preconditions { version: None, ..by(&suspended) };
    let nobodys_version = Preconditions { version: Some(Version::FIRST), ..BY.clone() };
    let cases = [
        ("an older version", older),
        ("somebody who is gone", by(&gone)),
        ("somebody of another account", by(&strange)),
        ("somebody suspended", by(&suspended)),
        ("somebody suspended, whose right rests on no role", no_version),
        ("a version of nobody", nobodys_version),
    ];
    for (what, by) in cases {
        for answer in tried(&stage, &by).await {
            assert_eq!(answer, (Kind::Conflict, MOVED_ON), "{what}");
        }
    }
    assert_eq!(stage.revision().await, before);
    assert!(stage.told().is_empty());
    // By the version that there is, it is taken.
    let anna = stage.get("anna").await;
    stage.store.invite_create(&by(&anna), stage.new_invite("new")).await.unwrap();
}

/// Tries to take the only administrator away on every path; the codes.
async fn ended(
    stage: &StoreFixture,
    by: &Preconditions,
    id: &MemberId,
) -> Vec<(Kind, &'static str)> {
    let (store, target) = (&stage.store, stage.target(id));
    vec![
        refused(store.member_remove(by, target).await),
        refused(store.member_suspend(by, target).await),
        refused(store.member_edit(by, target, to_role("viewer")).await),
    ]
}

const LAST: (Kind, &str) = (Kind::Conflict, "last_administrator");

async fn the_last_administrator_stays(stage: StoreFixture) {
    let chief = where_administer(&["chief", "deputy"]);
    let anna = stage.create_as("anna", "chief").await;
    stage.create_as("bert", "viewer").await;
    // Of another account, and suspended ones, do not count.
    let other = Member { role: role("chief"), ..member("globex", "gus") };
    stage.store.member_create(&ACTOR, other).await.unwrap();
    let idle = stage.create_as("idle", "deputy").await;
    stage.store.member_suspend(&chief, stage.target(&idle.id)).await.unwrap();
    let before = stage.revision().await;
    assert_eq!(ended(&stage, &chief, &anna.id).await, [LAST; 3]);
    let herself = Preconditions { administering: chief.administering.clone(), ..by(&anna) };
    assert_eq!(
        refused(stage.store.member_remove(&herself, stage.target(&anna.id)).await),
        LAST,
        "leaves by herself"
    );
    assert_eq!(stage.revision().await, before);
    let refusal = stage.store.member_remove(&chief, stage.target(&anna.id)).await.unwrap_err();
    assert!(refusal.public.contains("make somebody else an administrator first"), "{refusal}");
    // Another name, and another role that administers too, leave her one.
    let named = MemberEdit { first_name: Some(name("X")), ..to_role("deputy") };
    stage.store.member_edit(&chief, stage.target(&anna.id), named).await.unwrap();
    // A second one frees the first.
    stage.store.member_restore(&chief, stage.target(&idle.id)).await.unwrap();
    stage.store.member_suspend(&chief, stage.target(&anna.id)).await.unwrap();
    assert_eq!(ended(&stage, &chief, &idle.id).await, [LAST; 3]);
    // A member who does not administer is not the last administrator.
    stage.store.member_remove(&chief, stage.target(&anna.id)).await.unwrap();
    stage.store.member_remove(&chief, stage.target(&id("bert"))).await.unwrap();
    // Where no role administers, there is no last one.
    stage.store.member_remove(&BY, stage.target(&idle.id)).await.unwrap();
}

async fn administrators_are_counted_through_every_path(stage: StoreFixture) {
    let chief = where_administer(&["chief"]);
    let of_role = |name: &str| Member { role: role("chief"), ..member("acme", name) };
    stage.store.member_create(&ACTOR, of_role("made")).await.unwrap();
    let row = |line, name| ImportRow { line, member: of_role(name) };
    stage.import(vec![vec![row(2, "moved"), row(3, "moved2")]], true).await.unwrap();
    // An import that is refused counts nobody.
    stage.import(vec![vec![row(2, "not"), row(3, "moved")]], true).await.unwrap_err();
    let mut invite = stage.new_invite("joined");
    invite.role = role("chief");
    stage.store.invite_create(&BY, invite).await.unwrap();
    stage.store.invite_accept(stage.acceptance("joined")).await.unwrap();
    stage.create_as("raised", "viewer").await;
    stage.store.member_edit(&BY, stage.target(&id("raised")), to_role("chief")).await.unwrap();
    // Five there are; four may go, each by another path.
    let store = &stage.store;
    store.member_remove(&chief, stage.target(&id("made"))).await.unwrap();
    store.member_suspend(&chief, stage.target(&id("moved"))).await.unwrap();
    store.member_edit(&chief, stage.target(&id("moved2")), to_role("viewer")).await.unwrap();
    store.member_remove(&chief, stage.target(&id("joined"))).await.unwrap();
    assert_eq!(ended(&stage, &chief, &id("raised")).await, [LAST; 3]);
    store.member_remove(&chief, stage.target(&id("moved"))).await.unwrap();
    assert_eq!(ended(&stage, &chief, &id("raised")).await, [LAST; 3]);
}

async fn two_administrators_who_end_each_other_leave_one(stage: StoreFixture) {
    let (anna, bert) =
        (stage.create_as("anna", "chief").await, stage.create_as("bert", "chief").await);
    let administering: BTreeSet<_> = [role("chief")].into();
    let by = |member: &Member| Preconditions { administering: administering.clone(), ..by(member) };
    let (of_anna, of_bert) = (by(&anna), by(&bert));
    let one = stage.store.member_edit(&of_anna, stage.target(&bert.id), to_role("viewer"));
    let other = stage.store.member_edit(&of_bert, stage.target(&anna.id), to_role("viewer"));
    let (one, other) = tokio::join!(one, other);
    assert!(one.is_ok() != other.is_ok(), "{one:?}, {other:?}");
    let roles = [stage.get("anna").await.role, stage.get("bert").await.role];
    assert!(roles.contains(&role("chief")), "nobody is left");
    assert_eq!(refused(one.and(other)), (Kind::Conflict, MOVED_ON));
}

async fn nobody_changes_the_own_role(stage: StoreFixture) {
    let anna = stage.create("anna").await;
    let herself = [by(&anna), Preconditions::actor(Actor::Member(anna.id.clone()))];
    for by in &herself {
        let raised = stage.store.member_edit(by, stage.target(&anna.id), to_role("chief")).await;
        assert_eq!(refused(raised), (Kind::Conflict, "own_role"));
    }
    let same = MemberEdit { first_name: Some(name("X")), ..to_role("operator") };
    stage.store.member_edit(&herself[0], stage.target(&anna.id), same).await.unwrap();
    assert_eq!(stage.get("anna").await.role, role("operator"));
}

async fn a_removal_ends_all_that_a_member_could_act_by(stage: StoreFixture) {
    let anna = stage.join("anna").await;
    for token in ["one", "two"] {
        stage.signed_in(&anna, token).await;
    }
    stage.store.reset_begin(&BY, stage.target(&anna.id), stage.link("reset")).await.unwrap();
    let inviter = by(&anna);
    for name in ["bo", "cy", "di"] {
        stage.invite_by(&inviter, name).await;
    }
    let bo = invite_id("bo");
    stage.store.invite_revoke(&inviter, stage.invite_target(&bo)).await.unwrap();
    stage.invite("other").await;
    stage.told();
    let removed = stage.store.member_remove(&BY, stage.target(&anna.id)).await.unwrap();
    let receipt = &removed.value;
    assert_eq!((receipt.sessions_ended, receipt.invites_cancelled), (2, 2));
    let told = stage.told();
    assert_eq!((told.len(), told[0].revision), (1, removed.revision));
    let gone = |token| ChangedRecord::SessionGone(hash(token));
    let of_member = ChangedRecord::MemberGone { id: anna.id.clone(), account: stage.acme.clone() };
    assert_eq!(told[0].rows, [gone("one"), gone("two"), of_member]);
    assert_eq!(stage.sessions("anna").await, []);
    assert_eq!(stage.store.credential(&anna.id).await.unwrap(), None);
    assert!(!stage.is_link("reset").await);
    for name in ["bo", "cy", "di"] {
        let view = stage.invited(name).await;
        assert!(matches!(view.invite.fate, InviteOutcome::Revoked { .. }), "{name}");
        assert_eq!(view.delivery.state, DeliveryState::None, "{name}: a letter still waits");
        let dead = stage.store.invite_accept(stage.acceptance(name)).await;
        assert_eq!(refused(dead), (Kind::Gone, "invite_revoked"));
    }
    let due: Vec<_> = stage.claim().await.into_iter().map(|letter| letter.to_name).collect();
    assert_eq!(due, ["Bo Ray"], "only the invite that somebody else sent");
    // The addresses are free, and an invite to hers says that she was here.
    stage.create("cy").await;
    stage.clock.advance_ms(crate::support::store_fixture::DAY);
    let again = stage.new_invite("anna");
    let again = kwic_team::store::requests_and_views::invites::NewInvite {
        id: invite_id("anna again"),
        ..again
    };
    let view = stage.store.invite_create(&BY, again).await.unwrap().value;
    assert_eq!(view.previously_removed, Some(crate::support::store_fixture::NOW));
}

async fn a_hundred_sessions_and_a_hundred_invites_end_in_one_change(stage: StoreFixture) {
    let anna = stage.join("anna").await;
    for number in 0..100 {
        stage.signed_in(&anna, &format!("token {number}")).await;
        stage.invite_by(&by(&anna), &format!("p{number}")).await;
    }
    stage.told();
    let before = stage.revision().await;
    let entries = stage.events().await.len();
    let removed = stage.store.member_remove(&BY, stage.target(&anna.id)).await.unwrap();
    assert_eq!(removed.revision.0, before + 1);
    assert_eq!((removed.value.sessions_ended, removed.value.invites_cancelled), (100, 100));
    let told = stage.told();
    assert_eq!((told.len(), told[0].rows.len()), (1, 101));
    assert_eq!(stage.events().await.len(), entries + 101, "one for each invite, and one");
    let open = InviteFilter { states: vec![InviteState::Pending], ..InviteFilter::default() };
    let open = stage.store.invites(&stage.acme, &open, None, 1_000).await.unwrap();
    assert_eq!(open.items.len(), 0);
    assert!(stage.claim().await.is_empty());
}

async fn a_new_role_ends_the_invites_that_it_may_not_send(stage: StoreFixture) {
    let anna = stage.join("anna").await;
    for (name, given) in [("bo", "operator"), ("cy", "viewer")] {
        let mut new = stage.new_invite(name);
        new.role = role(given);
        stage.store.invite_create(&by(&anna), new).await.unwrap();
    }
    let state = |name: &'static str| {
        let stage = &stage;
        async move { stage.invited(name).await.invite.state(stage.clock.now()) }
    };
    // Without a new role, nothing of that is looked at.
    let named = MemberEdit { first_name: Some(name("X")), ..MemberEdit::default() };
    stage.store.member_edit(&BY, stage.target(&anna.id), named).await.unwrap();
    assert_eq!(state("bo").await, InviteState::Pending);
    let edit = MemberEdit { still_invites: [role("viewer")].into(), ..to_role("chief") };
    stage.store.member_edit(&BY, stage.target(&anna.id), edit).await.unwrap();
    assert_eq!(state("bo").await, InviteState::Revoked);
    assert_eq!(state("cy").await, InviteState::Pending);
    stage.create("bo").await;
    stage.store.member_edit(&BY, stage.target(&anna.id), to_role("viewer")).await.unwrap();
    assert_eq!(state("cy").await, InviteState::Revoked);
}

async fn a_suspension_ends_sessions_and_links_and_leaves_invites(stage: StoreFixture) {
    let anna = stage.join("anna").await;
    stage.signed_in(&anna, "one").await;
    stage.store.reset_begin(&BY, stage.target(&anna.id), stage.link("reset")).await.unwrap();
    stage.invite_by(&by(&anna), "bo").await;
    stage.told();
    let suspended = stage.store.member_suspend(&BY, stage.target(&anna.id)).await.unwrap().value;
    assert_eq!(suspended.status, Status::Suspended);
    assert_eq!(
        stage.told()[0].rows,
        [ChangedRecord::SessionGone(hash("one")), ChangedRecord::Member(suspended.clone())]
    );
    assert_eq!(stage.sessions("anna").await, []);
    assert!(!stage.is_link("reset").await);
    assert_eq!(stage.invited("bo").await.invite.state(stage.clock.now()), InviteState::Pending);
    // Her password stays, for when she is restored.
    stage.store.member_restore(&BY, stage.target(&anna.id)).await.unwrap();
    assert_eq!(stage.sessions("anna").await, [], "a restored member must sign in");
    stage.signed_in(&anna, "two").await;
}

async fn a_new_address_ends_links_to_the_old_one(stage: StoreFixture) {
    let anna = stage.join("anna").await;
    stage.store.reset_begin(&BY, stage.target(&anna.id), stage.link("reset")).await.unwrap();
    stage.store.member_edit(&BY, stage.target(&anna.id), to_address("anna2")).await.unwrap();
    assert!(!stage.is_link("reset").await, "a link in the old mailbox still opens");
    assert!(stage.claim().await.is_empty());
    let found = stage.store.member_by_email(&slug("acme"), address("anna2").key()).await.unwrap();
    assert_eq!(found.unwrap().id, anna.id);
}
