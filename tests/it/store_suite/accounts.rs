//! Rules of accounts and their settings, and of the set-up of an empty store.

use std::time::Duration;

use kwic_team::clock::Clock;
use kwic_team::domain::{ChangedRecord, Kind, Version};
use kwic_team::store::{AccountEdit, FirstAccount, Store};

use crate::support::store_fixture::{
    ACTOR, BY, NOW, StoreFixture, id, member, password, refused, slug,
};

store_rules!(
    settings_change_by_version,
    an_account_is_made_with_the_invite_of_its_first_member,
    only_an_empty_store_is_set_up,
);

async fn settings_change_by_version(stage: StoreFixture) {
    let edit = AccountEdit {
        name: Some("Acme Ltd".into()),
        invite_lifetime: Some(Duration::from_secs(3_600)),
        two_step_enforced: Some(true),
    };
    let (store, acme) = (&stage.store, &stage.acme);
    let first = Some(Version::FIRST);
    let edited = store.account_edit(&BY, acme, first, edit.clone()).await.unwrap();
    assert_eq!(edited.value.version, Version(2));
    assert_eq!(store.account(acme).await.unwrap(), Some(edited.value.clone()));
    let same = store.account_edit(&BY, acme, None, edit).await.unwrap();
    assert_eq!(same, edited, "an edit that changes nothing took a revision");
    let stale = store.account_edit(&BY, acme, first, AccountEdit::default()).await.unwrap_err();
    assert!(stale.kind == Kind::Stale && stale.public.contains("`sidecar:7`"), "{stale}");
    let nobody = store.account_edit(&BY, &slug("nobody"), None, AccountEdit::default()).await;
    assert_eq!(refused(nobody), (Kind::NotFound, "unknown_account"));
    let expected = ("sidecar:7", "account_updated", "acme");
    let (actor, event, target) = stage.last_event().await;
    assert_eq!((actor.as_str(), event.as_str(), target.as_str()), expected);
    let told = stage.told();
    assert_eq!((told.len(), &told[0].rows[..]), (1, &[ChangedRecord::Account(edited.value)][..]));
}

async fn an_account_is_made_with_the_invite_of_its_first_member(stage: StoreFixture) {
    let mut first = stage.new_invite("ann");
    first.account = slug("initech");
    let made = stage
        .store
        .account_create(&ACTOR, slug("initech"), "Initech".into(), Some(first.clone()))
        .await
        .unwrap();
    let view = made.value.1.unwrap();
    assert_eq!(view.invite.account, slug("initech"));
    assert_eq!(stage.store.invite(&slug("initech"), &first.id).await.unwrap(), Some(view));
    let told = stage.told();
    assert_eq!((told.len(), told[0].rows.len()), (1, 2), "an account, and a letter: one change");
    // Refused together, too.
    let again =
        stage.store.account_create(&ACTOR, slug("initech"), "Other".into(), Some(first)).await;
    assert_eq!(refused(again), (Kind::Conflict, "account_exists"));
    assert_eq!(stage.letters().await.len(), 1);
}

fn setup() -> FirstAccount {
    let member = member("acme", "ann");
    FirstAccount { slug: slug("acme"), name: "Acme".into(), member, password: password("ann") }
}

async fn only_an_empty_store_is_set_up(stage: StoreFixture) {
    let refusal = stage.store.set_up(FirstAccount { slug: slug("third"), ..setup() }).await;
    assert_eq!(refused(refusal), (Kind::Conflict, "set_up_already"));
    assert_eq!(stage.store.accounts().await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_empty_store_is_set_up_with_a_member_who_can_sign_in() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::fixed(NOW));
    let file = folder.path().join("s.redb");
    sets_up(Store::in_memory(clock.clone()).await.unwrap()).await;
    sets_up(Store::open(&file, 8, clock).await.unwrap()).await;
}

async fn sets_up(store: Store) {
    let made = store.set_up(setup()).await.unwrap();
    assert_eq!(store.member(&id("ann")).await.unwrap(), Some(made.value));
    let credential = store.credential(&id("ann")).await.unwrap().unwrap();
    assert_eq!((credential.password, credential.changed), (password("ann"), NOW));
    assert_eq!(refused(store.set_up(setup()).await), (Kind::Conflict, "set_up_already"));
    let entries = |chain| {
        let store = store.clone();
        async move {
            let page = store.audit(chain, &Default::default(), None, 10).await.unwrap();
            page.items.into_iter().map(|entry| (entry.actor, entry.event)).collect::<Vec<_>>()
        }
    };
    let line = |event: &str| vec![("setup".to_owned(), event.to_owned())];
    assert_eq!(entries(None).await, line("account_created"));
    assert_eq!(entries(Some(&slug("acme"))).await, line("user_created"));
}
