//! Rules of links to a new password and to a new address.

use kwic_team::domain::{Actor, AddressSide, ChangedRecord, Kind, MailKind, MemberId};
use kwic_team::store::Preconditions;
use kwic_team::store::requests_and_views::one_time_links::EmailConfirmed;

use crate::support::store_fixture::{
    BY, HOUR, NOW, StoreFixture, address, email, hash, id, link_id, password, refused, shown,
};

store_rules!(
    a_link_to_a_new_password_opens_once,
    only_the_last_link_to_a_new_password_opens,
    both_ends_confirm_a_new_address,
    a_new_address_is_still_free_when_it_is_confirmed,
    a_link_opens_only_what_it_is_for,
);

async fn a_link_to_a_new_password_opens_once(stage: StoreFixture) {
    let anna = stage.join("anna").await;
    for token in ["one", "two"] {
        stage.signed_in(&anna, token).await;
    }
    stage.told();
    let (store, target) = (&stage.store, stage.target(&anna.id));
    let made = store.reset_begin(&BY, target, stage.link("reset")).await.unwrap();
    assert_eq!((made.value.id.clone(), made.value.created), (link_id("reset"), NOW));
    assert_eq!(stage.last_event().await.1, "authn_token_created");
    let letter = stage.letters().await.pop().unwrap();
    assert_eq!(letter.kind, MailKind::PasswordReset { link: link_id("reset") });
    let ended = store.reset_end(hash("reset"), password("new"), stage.notice()).await.unwrap();
    assert_eq!(ended.value, (anna.clone(), 2));
    assert_eq!(store.credential(&anna.id).await.unwrap().unwrap().password, password("new"));
    let entry = ("member:anna".to_owned(), "authn_password_change".to_owned(), "anna".to_owned());
    assert_eq!(stage.last_event().await, entry);
    let letters = stage.letters().await;
    let kinds: Vec<_> = letters.iter().map(|letter| letter.kind.as_str()).collect();
    assert_eq!(kinds, ["password_changed"], "the letter with the dead link still waits");
    let twice = store.reset_end(hash("reset"), password("x"), None).await;
    assert_eq!(refused(twice), (Kind::Gone, "link_dead"));
    let told = stage.told();
    assert_eq!(
        told[1].rows[..2],
        [ChangedRecord::SessionGone(hash("one")), ChangedRecord::SessionGone(hash("two"))]
    );
    // It works until it expires, and only for members who may sign in.
    store.reset_begin(&BY, target, stage.link("late")).await.unwrap();
    stage.clock.advance_ms(HOUR);
    let late = store.reset_end(hash("late"), password("x"), None).await;
    assert_eq!(refused(late), (Kind::Gone, "link_expired"));
    store.member_suspend(&BY, target).await.unwrap();
    for by in [BY.clone(), Preconditions::actor(Actor::Member(anna.id.clone()))] {
        let asleep = store.reset_begin(&by, target, stage.link("asleep")).await;
        assert_eq!(refused(asleep), (Kind::Conflict, "suspended_member"));
    }
    let ghost = id("ghost");
    let nobody = store.reset_begin(&BY, stage.target(&ghost), stage.link("x")).await;
    assert_eq!(refused(nobody), (Kind::NotFound, "unknown_member"));
}

async fn only_the_last_link_to_a_new_password_opens(stage: StoreFixture) {
    let anna = stage.join("anna").await;
    let (store, target) = (&stage.store, stage.target(&anna.id));
    let (old, new) = (stage.link("old"), stage.link("new"));
    store.email_change_begin(target, shown("anna"), address("anna2"), [old, new]).await.unwrap();
    for token in ["first", "second"] {
        store.reset_begin(&BY, target, stage.link(token)).await.unwrap();
    }
    assert!(!stage.is_link("first").await && stage.is_link("second").await);
    assert!(stage.is_link("old").await, "another kind of link died with it");
    let due: Vec<_> = stage.claim().await.into_iter().map(|letter| letter.message_id).collect();
    assert_eq!(due, ["old@example.org", "new@example.org", "second@example.org"]);
    store.reset_end(hash("second"), password("x"), None).await.unwrap();
    assert!(!stage.is_link("old").await, "a reader of the old mails can still move the address");
}

async fn begin(stage: &StoreFixture, anna: &MemberId, to: &str, suffix: &str) {
    let (old, new) = (format!("old{suffix}"), format!("new{suffix}"));
    let (old, new) = (stage.link(&old), stage.link(&new));
    let shown = shown(anna.as_str());
    let target = stage.target(anna);
    stage.store.email_change_begin(target, shown, address(to), [old, new]).await.unwrap();
}

async fn both_ends_confirm_a_new_address(stage: StoreFixture) {
    let anna = stage.join("anna").await;
    stage.told();
    let store = &stage.store;
    let confirm = |token: &str| store.email_change_confirm(hash(token), stage.notice());
    for (round, (first, second, other)) in
        [("old", "new", AddressSide::New), ("new", "old", AddressSide::Old)].into_iter().enumerate()
    {
        let to = format!("anna{round}");
        begin(&stage, &anna.id, &to, "x").await;
        begin(&stage, &anna.id, &to, "").await;
        assert!(!stage.is_link("oldx").await, "an older change goes on");
        let before = stage.get("anna").await;
        let waiting = confirm(first).await.unwrap();
        assert_eq!(waiting.value, EmailConfirmed::WaitingFor(other));
        let again = confirm(first).await.unwrap();
        assert_eq!(again, waiting, "confirming twice is a change, or confirms both ends");
        assert_eq!(stage.get("anna").await, before, "one end was enough");
        let EmailConfirmed::Changed(after) = confirm(second).await.unwrap().value else {
            panic!("both ends are confirmed, and nothing happens")
        };
        assert_eq!((&after.email, after.version), (&address(&to), before.version.next()));
        assert_eq!(stage.get("anna").await, after);
        let by_email = store.member_by_email(&stage.acme, before.email.key()).await.unwrap();
        assert_eq!(by_email, None, "the old address still finds her");
        let letter = stage.letters().await.pop().unwrap();
        assert_eq!((letter.kind.as_str(), &letter.to), ("email_changed", &before.email));
        assert_eq!(refused(confirm(first).await), (Kind::Gone, "link_dead"));
        assert_eq!(stage.last_event().await.1, "user_updated");
    }
    let letters = stage.letters().await;
    let to_old = letters.iter().filter(|letter| letter.kind.as_str() == "email_change");
    assert_eq!(to_old.count(), 0, "letters of changes that are over still wait");
    let last = stage.told().pop().unwrap();
    assert!(last.rows.contains(&ChangedRecord::Member(stage.get("anna").await)));
}

async fn a_new_address_is_still_free_when_it_is_confirmed(stage: StoreFixture) {
    let anna = stage.join("anna").await;
    let store = &stage.store;
    let same = email("ANNA@example.org");
    let same = store
        .email_change_begin(
            stage.target(&anna.id),
            shown("anna"),
            same,
            [stage.link("a"), stage.link("b")],
        )
        .await;
    assert_eq!(refused(same), (Kind::Conflict, "same_address"));
    begin(&stage, &anna.id, "wanted", "").await;
    store.email_change_confirm(hash("old"), None).await.unwrap();
    let invite = stage.invite("wanted").await.invite;
    let taken = store.email_change_confirm(hash("new"), None).await;
    assert_eq!(refused(taken), (Kind::Conflict, "already_invited"));
    store.invite_revoke(&BY, stage.invite_target(&invite.id)).await.unwrap();
    stage.create("wanted").await;
    let taken = store.email_change_confirm(hash("new"), None).await;
    assert_eq!(refused(taken), (Kind::Conflict, "already_member"));
    let wanted = id("wanted");
    store.member_remove(&BY, stage.target(&wanted)).await.unwrap();
    stage.clock.advance_ms(HOUR);
    let late = store.email_change_confirm(hash("new"), None).await;
    assert_eq!(refused(late), (Kind::Gone, "link_expired"));
    assert_eq!(stage.get("anna").await.email, anna.email);
}

async fn a_link_opens_only_what_it_is_for(stage: StoreFixture) {
    let anna = stage.join("anna").await;
    let store = &stage.store;
    store.reset_begin(&BY, stage.target(&anna.id), stage.link("reset")).await.unwrap();
    begin(&stage, &anna.id, "anna2", "").await;
    for token in ["old", "new"] {
        let reset = store.reset_end(hash(token), password("x"), None).await;
        assert_eq!(refused(reset), (Kind::Gone, "link_dead"));
    }
    let moved = store.email_change_confirm(hash("reset"), None).await;
    assert_eq!(refused(moved), (Kind::Gone, "link_dead"));
    let invite = stage.invite("bo").await.invite;
    let reset = store.reset_end(hash("bo 1"), password("x"), None).await;
    assert_eq!(refused(reset), (Kind::Gone, "link_dead"));
    assert_eq!(store.invite_by_token(hash("reset")).await.unwrap(), None);
    assert_eq!(invite.email, address("bo"));
}
