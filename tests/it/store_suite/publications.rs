//! Rules of what is published to a fleet: which set is to be live, which waits, and that no role vanishes
//! that somebody has.

use kwic_team::domain::{Digest, Kind, PolicyCause};
use kwic_team::store::StoredPolicies;
use kwic_team::store::requests_and_views::policies::{NewPublication, Publications};

use crate::support::store_fixture::{ACTOR, BY, NOW, StoreFixture, id, refused, role, to_role};

store_rules!(
    a_published_set_is_the_one_that_all_are_to_have,
    a_set_that_waits_is_approved_or_gives_way,
    a_role_that_somebody_has_does_not_vanish,
    nothing_is_published_over_a_pin,
);

fn set(content: &str) -> StoredPolicies {
    let files = vec![("roles/a.cedar".to_owned(), content.as_bytes().to_vec())];
    StoredPolicies { digest: Digest::of(&[content.as_bytes()]), at: NOW, files }
}

fn new(content: &str, roles: &[&str]) -> NewPublication {
    NewPublication {
        set: set(content),
        cause: PolicyCause::Publish,
        roles: roles.iter().map(|name| role(name)).collect(),
        waits: false,
        is_pinned: false,
    }
}

async fn known(stage: &StoreFixture) -> (Option<Digest>, Option<Digest>) {
    let Publications { live, pending } = stage.store.publications().await.unwrap();
    (live.map(|it| it.digest), pending.map(|it| it.digest))
}

async fn a_published_set_is_the_one_that_all_are_to_have(stage: StoreFixture) {
    let store = &stage.store;
    assert_eq!(known(&stage).await, (None, None));
    assert_eq!(store.published_live().await.unwrap(), None);
    for (number, content) in [(1, "one"), (2, "two")] {
        let done = store.policies_published(&ACTOR, new(content, &["operator"])).await.unwrap();
        assert_eq!((done.value.number, done.value.actor), (number, ACTOR.label()));
        assert_eq!(store.published_live().await.unwrap(), Some(set(content)));
    }
    assert_eq!(known(&stage).await, (Some(set("two").digest), None));
    let log = store.audit(None, &Default::default(), None, 10).await.unwrap();
    assert_eq!(log.items.last().unwrap().event, "policies_published");
    // That a node has it is a matter of that node.
    assert_eq!(store.policies_last_good().await.unwrap(), None);
}

async fn a_set_that_waits_is_approved_or_gives_way(stage: StoreFixture) {
    let store = &stage.store;
    let waiting = |content: &str| NewPublication { waits: true, ..new(content, &["operator"]) };
    store.policies_published(&ACTOR, new("live", &["operator"])).await.unwrap();
    store.policies_published(&ACTOR, waiting("wide")).await.unwrap();
    let (live, wide) = (set("live").digest, set("wide").digest);
    assert_eq!(known(&stage).await, (Some(live), Some(wide)));
    assert_eq!(store.published_pending().await.unwrap(), Some(set("wide")));
    let other = store.publication_approved(&ACTOR, live).await;
    assert_eq!(refused(other), (Kind::Conflict, "not_pending"));
    let done = store.publication_approved(&ACTOR, wide).await.unwrap().value;
    assert_eq!((done.number, done.cause), (3, PolicyCause::Approval));
    assert_eq!(known(&stage).await, (Some(wide), None));
    assert_eq!(store.published_live().await.unwrap(), Some(set("wide")));
    let again = store.publication_approved(&ACTOR, wide).await;
    assert_eq!(refused(again), (Kind::Conflict, "not_pending"));
    store.policies_published(&ACTOR, waiting("wider")).await.unwrap();
    store.policies_published(&ACTOR, new("narrow", &["operator"])).await.unwrap();
    assert_eq!(known(&stage).await, (Some(set("narrow").digest), None));
    assert_eq!(store.published_pending().await.unwrap(), None);
}

async fn a_role_that_somebody_has_does_not_vanish(stage: StoreFixture) {
    let store = &stage.store;
    let both = new("both", &["operator", "viewer"]);
    store.policies_published(&ACTOR, both.clone()).await.unwrap();
    // The node that publishes has checked it before another one gave the role.
    stage.create("anna").await;
    store.member_edit(&BY, stage.target(&id("anna")), to_role("viewer")).await.unwrap();
    let narrow = new("narrow", &["operator"]);
    let told = store.policies_published(&ACTOR, narrow.clone()).await;
    assert_eq!(refused(told), (Kind::PoliciesRefused, "policies_refused"));
    let held = NewPublication { waits: true, ..narrow.clone() };
    assert!(store.policies_published(&ACTOR, held.clone()).await.is_err());
    assert_eq!(known(&stage).await, (Some(both.set.digest), None));
    // Also a suspended member has it, and one who got it while the set waited.
    store.member_suspend(&BY, stage.target(&id("anna"))).await.unwrap();
    assert!(store.policies_published(&ACTOR, narrow.clone()).await.is_err());
    store.member_edit(&BY, stage.target(&id("anna")), to_role("operator")).await.unwrap();
    store.policies_published(&ACTOR, held).await.unwrap();
    store.member_edit(&BY, stage.target(&id("anna")), to_role("viewer")).await.unwrap();
    let late = store.publication_approved(&ACTOR, narrow.set.digest).await;
    assert_eq!(refused(late), (Kind::PoliciesRefused, "policies_refused"));
    store.member_remove(&BY, stage.target(&id("anna"))).await.unwrap();
    store.publication_approved(&ACTOR, narrow.set.digest).await.unwrap();
}

async fn nothing_is_published_over_a_pin(stage: StoreFixture) {
    let store = &stage.store;
    let pinned = NewPublication { is_pinned: true, ..new("pinned", &["operator"]) };
    store.policies_published(&ACTOR, pinned.clone()).await.unwrap();
    let other = store.policies_published(&ACTOR, new("other", &["operator"])).await;
    assert_eq!(refused(other), (Kind::Conflict, "policies_pinned"));
    let again = NewPublication { set: set("again"), ..pinned };
    store.policies_published(&ACTOR, again).await.unwrap();
    assert!(store.publication_unpinned(&ACTOR).await.unwrap().value);
    assert!(!store.publication_unpinned(&ACTOR).await.unwrap().value);
    store.policies_published(&ACTOR, new("other", &["operator"])).await.unwrap();
}
