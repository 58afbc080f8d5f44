//! Rules of erasure: what is deleted, what stays, and that nothing personal is recorded again; and
//! of last sign-ins.

use std::sync::Arc;
use std::time::Duration;

use kwic_team::domain::{
    AuditEntry, DeliveryNotice, DeliveryState, Digest, FieldChange, Kind, Member, SendOutcome,
    SessionLimits, Timestamp,
};
use kwic_team::store::requests_and_views::invites::{Acceptance, Idempotency, NewInvite};
use kwic_team::store::requests_and_views::personal_data::Erasure;
use kwic_team::store::{AuditFilter, MemberEdit};

use crate::support::store_fixture::{
    BY, DAY, MINUTE, NOW, StoreFixture, address, by, hash, id, invite_id, key, member, name,
    password, refused, shown, slug,
};

store_rules!(
    everything_personal_goes_and_nothing_of_anybody_else,
    only_who_was_removed_is_erased,
    nothing_comes_back_by_what_was_under_way,
    what_comes_while_it_is_looked_for_goes_too,
    an_id_that_comes_back_is_somebody_who_is_here,
    an_address_that_somebody_else_has_now_stays_theirs,
    a_members_data_holds_ids_only_of_everybody_else,
);
store_rules!(alone: a_member_was_seen_when_a_session_began);

/// An invite to `zed`, whose name and addresses are nobody else's.
fn invitation(stage: &StoreFixture, of: &str) -> NewInvite {
    NewInvite { email: address("zed"), first_name: name("Zaphodia"), ..stage.new_invite(of) }
}

async fn erase(stage: &StoreFixture, who: &str) -> Erasure {
    stage.store.member_erase(&BY, &stage.acme, &id(who)).await.unwrap().value
}

pub(super) async fn entries(stage: &StoreFixture) -> Vec<AuditEntry> {
    let filter = AuditFilter::default();
    stage.store.audit(Some(&stage.acme), &filter, None, 10_000).await.unwrap().items
}

/// Everything that an account's log says, as text.
async fn said(stage: &StoreFixture) -> String {
    entries(stage).await.iter().map(|entry| format!("{:?}\n", entry.detail)).collect()
}

async fn holds(stage: &StoreFixture) {
    for chain in [Some(&stage.acme), None] {
        let report = stage.store.audit_verify(chain).await.unwrap();
        assert_eq!(report.fault, None, "{chain:?}");
    }
}

/// `zed` is invited twice, joins, signs in, moves, invites `bo`, who asks for a new link, and is
/// removed. `bert` joins meanwhile. Every letter was handed over.
async fn lived(stage: &StoreFixture) -> Member {
    let store = &stage.store;
    let early = invite_id("early");
    store.invite_create(&BY, invitation(stage, "early")).await.unwrap();
    store.invite_revoke(&BY, stage.invite_target(&early)).await.unwrap();
    stage.clock.advance_ms(2 * MINUTE);
    let idempotency = Some(Idempotency { key: key("for-zed"), request: Digest::of(&[b"call"]) });
    let new = NewInvite { idempotency, ..invitation(stage, "zed") };
    store.invite_create(&BY, new).await.unwrap();
    store.letters_claim(10, Duration::from_secs(60)).await.unwrap();
    let zed = store.invite_accept(stage.acceptance("zed")).await.unwrap().value;
    stage.signed_in(&zed, "zed").await;
    store.sign_in_slowed(&zed, 10).await.unwrap();
    let target = stage.target(&zed.id);
    let (old, new) = (stage.link("old"), stage.link("new"));
    store.email_change_begin(target, shown("zed"), address("zed.new"), [old, new]).await.unwrap();
    store.email_change_confirm(hash("old"), None).await.unwrap();
    store.email_change_confirm(hash("new"), stage.notice()).await.unwrap();
    let zed = stage.get("zed").await;
    stage.invite_by(&by(&zed), "bo").await;
    store.invite_wanted(hash("bo 1"), stage.notice().map(|new| (zed.clone(), new))).await.unwrap();
    stage.join("bert").await;
    for letter in stage.claim().await {
        let detail = format!("250 taken for {}", letter.to);
        store.letter_settle(&letter, SendOutcome::Taken { detail }).await.unwrap();
    }
    store.member_remove(&BY, stage.target(&zed.id)).await.unwrap();
    zed
}

const PERSONAL: [&str; 4] = ["zed@example.org", "zed.new@example.org", "Zaphodia", "192.0.2.7"];

async fn everything_personal_goes_and_nothing_of_anybody_else(stage: StoreFixture) {
    lived(&stage).await;
    let before = entries(&stage).await;
    let text = said(&stage).await;
    for word in PERSONAL {
        assert!(text.contains(word), "the story lacks `{word}`");
    }
    assert!(stage.letters().await.iter().any(|letter| letter.to == address("zed.new")));
    let revision = stage.revision().await;
    let erased = erase(&stage, "zed").await;
    assert!(erased.entries > 10, "{erased:?}");
    assert_eq!((erased.invites, erased.letters), (2, 2));
    assert_eq!(stage.revision().await, revision + 1);

    let text = said(&stage).await;
    for word in PERSONAL {
        assert!(!text.contains(word), "`{word}` is left: {text}");
    }
    for letter in stage.letters().await {
        assert!(!letter.to.as_str().starts_with("zed"), "{letter:?}");
    }
    for gone in ["zed", "early"] {
        assert_eq!(stage.store.invite(&stage.acme, &invite_id(gone)).await.unwrap(), None);
        let token = stage.store.invite_by_token(hash(&format!("{gone} 1"))).await.unwrap();
        assert!(token.is_none(), "a dead link of `{gone}` is still known");
    }
    // The log keeps what happened to whom: all but the personal part is as it was.
    let after = entries(&stage).await;
    for (before, after) in before.iter().zip(&after) {
        let detail = after.detail.clone();
        assert_eq!(&AuditEntry { detail: before.detail.clone(), ..after.clone() }, before);
        let of_bert = ["bert", invite_id("bert").as_str()].contains(&before.target.as_str());
        if of_bert || before.event == "invite_created" && before.target == invite_id("bo").as_str()
        {
            assert_eq!(detail, before.detail, "{before:?}");
            assert!(detail.is_some());
        }
    }
    let [last] = &after[before.len()..] else { panic!("not one entry") };
    assert_eq!((last.event.as_str(), last.target.as_str()), ("user_erased", "zed"));
    let fields = last.fields();
    assert_eq!(fields[0], FieldChange::added("entries", erased.entries.to_string()));
    holds(&stage).await;
    // No earlier removal is noted: the address is new, and is not rate-limited.
    let again = stage.store.invite_create(&BY, invitation(&stage, "again")).await.unwrap().value;
    assert_eq!(again.previously_removed, None);

    let revision = stage.revision().await;
    assert_eq!(erase(&stage, "zed").await, Erasure::default());
    assert_eq!(stage.revision().await, revision, "nothing was left, and something changed");
    // The person was invited again: that invite stays.
    assert!(stage.store.invite(&stage.acme, &invite_id("again")).await.unwrap().is_some());
}

async fn only_who_was_removed_is_erased(stage: StoreFixture) {
    let anna = stage.create("anna").await;
    let revision = stage.revision().await;
    let of = async |account: &str, who: &str| {
        refused(stage.store.member_erase(&BY, &slug(account), &id(who)).await)
    };
    assert_eq!(of("acme", "anna").await, (Kind::Conflict, "not_removed"));
    assert_eq!(of("acme", "ghost").await, (Kind::NotFound, "unknown_member"));
    assert_eq!(of("globex", "anna").await, (Kind::NotFound, "unknown_member"));
    stage.store.member_suspend(&BY, stage.target(&anna.id)).await.unwrap();
    assert_eq!(of("acme", "anna").await, (Kind::Conflict, "not_removed"));
    stage.store.member_remove(&BY, stage.target(&anna.id)).await.unwrap();
    assert_eq!(of("globex", "anna").await, (Kind::NotFound, "unknown_member"));
    // Whose right has moved on erases nobody.
    let bert = stage.create("bert").await;
    let edit = MemberEdit { first_name: Some(name("Bertha")), ..MemberEdit::default() };
    stage.store.member_edit(&BY, stage.target(&bert.id), edit).await.unwrap();
    let late = stage.store.member_erase(&by(&bert), &stage.acme, &anna.id).await;
    assert_eq!(refused(late), (Kind::Conflict, "moved_on"));
    assert_eq!(stage.revision().await, revision + 4);
    assert_eq!(erase(&stage, "anna").await.entries, 3);
}

async fn nothing_comes_back_by_what_was_under_way(stage: StoreFixture) {
    let store = &stage.store;
    let zed = {
        store.invite_create(&BY, invitation(&stage, "zed")).await.unwrap();
        store.invite_accept(stage.acceptance("zed")).await.unwrap().value
    };
    stage.signed_in(&zed, "one").await;
    stage.clock.advance_ms(2 * MINUTE);
    stage.invite_by(&by(&zed), "bo").await;
    store.invite_wanted(hash("bo 1"), stage.notice().map(|new| (zed.clone(), new))).await.unwrap();
    store.reset_begin(&BY, stage.target(&zed.id), stage.link("reset")).await.unwrap();
    let changed = stage.link("reset2");
    store.reset_begin(&BY, stage.target(&zed.id), changed).await.unwrap();
    store.reset_end(hash("reset2"), password("zed"), stage.notice()).await.unwrap();
    let under_way = stage.claim().await;
    assert!(under_way.iter().any(|letter| letter.to == address("zed")), "{under_way:?}");
    store.member_remove(&BY, stage.target(&zed.id)).await.unwrap();
    erase(&stage, "zed").await;
    let rows = entries(&stage).await.len();

    for letter in &under_way {
        let detail = format!("250 taken for {}", letter.to);
        store.letter_settle(letter, SendOutcome::Taken { detail }).await.unwrap();
        let detail = format!("550 nobody called {}", letter.to);
        let notice = DeliveryNotice { letter: letter.id, state: DeliveryState::Bounced, detail };
        store.letter_notice(notice).await.unwrap();
    }
    store.sign_in_slowed(&zed, 10).await.unwrap();
    let limits = SessionLimits { idle: Duration::from_secs(60), absolute: Duration::from_secs(60) };
    store.sessions_tend(vec![(hash("one"), stage.later(MINUTE))], limits).await.unwrap();
    assert_eq!(refused(store.session_begin(stage.sign_in(&zed, "two")).await).1, "sign_in_refused");
    assert!(!store.session_sign_out(hash("one")).await.unwrap().value);
    let wanted = store.invite_wanted(hash("zed 1"), stage.notice().map(|new| (zed.clone(), new)));
    assert_eq!(refused(wanted.await).1, "link_dead");
    let dead = store.reset_end(hash("reset"), password("x"), stage.notice()).await;
    assert_eq!(refused(dead).1, "link_dead");
    let late = Acceptance { member: id("zed2"), ..stage.acceptance("zed") };
    assert_eq!(refused(store.invite_accept(late).await).1, "link_dead");

    let text = said(&stage).await;
    for word in ["zed@", "Zaphodia", "192.0.2.7"] {
        assert!(!text.contains(word), "`{word}` came back: {text}");
    }
    let late = &entries(&stage).await[rows..];
    let slowed = late.iter().find(|entry| entry.event == "authn_login_lock").unwrap();
    assert_eq!((slowed.target.as_str(), &slowed.detail), ("zed", &None));
    holds(&stage).await;
    assert_eq!(erase(&stage, "zed").await, Erasure::default());
}

/// What is written before the change commits goes with it, what is written after gets no personal
/// part: whichever way it falls, nothing is left.
async fn what_comes_while_it_is_looked_for_goes_too(stage: StoreFixture) {
    let zed = stage.create("zed").await;
    for number in 0..50 {
        stage.create(&format!("m{number}")).await;
    }
    stage.store.member_remove(&BY, stage.target(&zed.id)).await.unwrap();
    let stage = Arc::new(stage);
    let mut late = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (stage, zed) = (Arc::clone(&stage), zed.clone());
        late.spawn(async move { stage.store.sign_in_slowed(&zed, 10).await.map(|_| ()) });
    }
    let erasing = {
        let stage = Arc::clone(&stage);
        tokio::spawn(async move { erase(&stage, "zed").await })
    };
    while let Some(done) = late.join_next().await {
        done.unwrap().unwrap();
    }
    assert!(erasing.await.unwrap().entries >= 2);
    let left = entries(&stage).await.into_iter().filter(|entry| {
        entry.target == "zed" && entry.event != "user_erased" && entry.detail.is_some()
    });
    assert_eq!(left.count(), 0);
    holds(&stage).await;
}

async fn an_id_that_comes_back_is_somebody_who_is_here(stage: StoreFixture) {
    let anna = stage.create("anna").await;
    stage.store.member_remove(&BY, stage.target(&anna.id)).await.unwrap();
    erase(&stage, "anna").await;
    stage.create("anna").await;
    let made = entries(&stage).await.pop().unwrap();
    assert_eq!(made.event, "user_created");
    assert!(made.detail.is_some(), "the log does not tell of somebody who is here");
    let again = stage.store.member_erase(&BY, &stage.acme, &anna.id).await;
    assert_eq!(refused(again), (Kind::Conflict, "not_removed"));
    stage.store.member_remove(&BY, stage.target(&anna.id)).await.unwrap();
    assert_eq!(erase(&stage, "anna").await.entries, 2);
}

async fn an_address_that_somebody_else_has_now_stays_theirs(stage: StoreFixture) {
    stage.join("anna").await;
    let edit = MemberEdit { email: Some(address("anna2")), ..MemberEdit::default() };
    let anna = stage.store.member_edit(&BY, stage.target(&id("anna")), edit).await.unwrap().value;
    stage.clock.advance_ms(2 * MINUTE);
    // Somebody else joins by the address that is free again.
    let new = NewInvite { email: address("anna"), ..stage.new_invite("other") };
    stage.store.invite_create(&BY, new).await.unwrap();
    let other = Acceptance { member: id("other"), ..stage.acceptance("other") };
    stage.store.invite_accept(other).await.unwrap();
    let kept = async || -> Vec<AuditEntry> {
        let of = ["other", invite_id("other").as_str()].map(str::to_owned);
        let all = entries(&stage).await.into_iter();
        all.filter(|entry| of.contains(&entry.target)).collect()
    };
    let before = kept().await;
    stage.store.member_remove(&BY, stage.target(&anna.id)).await.unwrap();
    assert!(erase(&stage, "anna").await.entries > 0);
    assert_eq!(kept().await, before);
    assert!(stage.store.invite(&stage.acme, &invite_id("other")).await.unwrap().is_some());
    assert_eq!(stage.get("other").await.email, address("anna"));
}

async fn seen(stage: &StoreFixture, names: &[&str]) -> Vec<Option<Timestamp>> {
    let members = names.iter().map(|name| member("acme", name)).collect();
    let seen = stage.store.seen(members).await.unwrap();
    assert!(seen.iter().zip(names).all(|(seen, name)| seen.member.id.as_str() == *name));
    seen.into_iter().map(|seen| seen.signed_in).collect()
}

async fn a_member_was_seen_when_a_session_began(stage: StoreFixture) {
    let anna = stage.join("anna").await;
    stage.create("bert").await;
    assert_eq!(seen(&stage, &["anna", "bert"]).await, [None, None]);
    stage.signed_in(&anna, "one").await;
    stage.clock.advance_ms(DAY);
    stage.signed_in(&anna, "two").await;
    // It outlives the session, and no earlier moment takes its place.
    stage.store.session_sign_out(hash("two")).await.unwrap();
    let later = Timestamp(NOW.0 + DAY);
    assert_eq!(seen(&stage, &["bert", "anna"]).await, [None, Some(later)]);
    stage.clock.advance_ms(-DAY / 2);
    stage.signed_in(&anna, "three").await;
    assert_eq!(seen(&stage, &["anna"]).await, [Some(later)]);
    let data = stage.store.member_data(&stage.acme, &anna.id, 10).await.unwrap().unwrap();
    assert_eq!(data.seen.signed_in, Some(later));
    stage.store.member_remove(&BY, stage.target(&anna.id)).await.unwrap();
    assert_eq!(seen(&stage, &["anna"]).await, [None], "a member who is gone was seen");
}

async fn a_members_data_holds_ids_only_of_everybody_else(stage: StoreFixture) {
    let anna = stage.join("anna").await;
    stage.signed_in(&anna, "one").await;
    stage.invite_by(&by(&anna), "bo").await;
    stage.clock.advance_ms(2 * MINUTE);
    stage.invite_by(&by(&anna), "cy").await;
    stage.create("bert").await;
    let data =
        async |limit| stage.store.member_data(&stage.acme, &anna.id, limit).await.unwrap().unwrap();
    let whole = data(100).await;
    assert!(!whole.cut);
    assert_eq!(whole.came_by.as_ref().map(|invite| &invite.id), Some(&invite_id("anna")));
    let sent: Vec<_> = whole.invites_sent.iter().map(|invite| invite.id.clone()).collect();
    assert_eq!(sent, [invite_id("cy"), invite_id("bo")]);
    let told: Vec<_> =
        whole.entries.iter().map(|entry| (entry.event.as_str(), entry.detail.is_some())).collect();
    let expected = [
        ("invite_created", true),
        ("invite_accepted", true),
        ("user_created", true),
        ("authn_login_success", true),
        ("invite_created", false),
        ("invite_created", false),
    ];
    assert_eq!(told, expected);
    let cut = data(3).await;
    assert_eq!((cut.cut, cut.entries.as_slice()), (true, &whole.entries[3..]));
    let one = data(1).await;
    assert_eq!((one.cut, one.invites_sent.len(), one.came_by.is_some()), (true, 1, true));
    let elsewhere = stage.store.member_data(&slug("globex"), &anna.id, 10).await.unwrap();
    assert_eq!(elsewhere, None);
}
