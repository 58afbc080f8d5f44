//! Rules of passkeys: a credential has one owner, and its response is consumed once and only in the
//! state in which it was verified.

use kwic_team::domain::{Failure, Kind, Member};
use kwic_team::store::Committed;
use kwic_team::store::requests_and_views::passkeys::NewPasskey;
use kwic_team::store::requests_and_views::two_step::StepUp;

use crate::support::store_fixture::{
    BY, StoreFixture, by_passkey, code, hash, id, passkey, passkey_id, refused, shown,
};

store_rules!(
    a_passkey_is_added_by_who_shows_the_factor_in_the_round_of_it,
    an_answer_is_spent_on_what_it_was_judged_by,
    a_credential_has_one_owner_until_it_is_given_up,
    a_copied_passkey_is_counted_and_written_down,
);

async fn guarded(stage: &StoreFixture, name: &str) -> Member {
    let member = stage.join(name).await;
    stage.signed_in(&member, "first").await;
    stage.pending(&member).await;
    stage.confirmed(&member, hash("first"), "own").await;
    member
}

async fn round(stage: &StoreFixture, name: &str) -> u64 {
    stage.store.factors(&id(name)).await.unwrap().round
}

async fn add(stage: &StoreFixture, of: &Member, new: NewPasskey) -> Result<(), Failure> {
    stage.store.passkey_add(stage.target(&of.id), new).await.map(|_| ())
}

async fn a_passkey_is_added_by_who_shows_the_factor_in_the_round_of_it(stage: StoreFixture) {
    let anna = guarded(&stage, "anna").await;
    let target = stage.target(&anna.id);
    let begin = |proof| {
        let shown = StepUp { proof, ..shown("anna") };
        async {
            stage.store.passkey_begin(target, shown).await.map(|Committed { value, .. }| value)
        }
    };
    assert_eq!(refused(begin(None).await), (Kind::Denied, "code_missing"));
    assert_eq!(refused(begin(Some(code(1))).await), (Kind::Denied, "wrong_code"));
    let other = stage.sign_in_by(&anna, "other", Some(code(2)), round(&stage, "anna").await);
    stage.store.session_begin(other).await.unwrap();
    let given = begin(Some(code(3))).await.unwrap();
    assert_eq!(refused(begin(Some(code(3))).await), (Kind::Denied, "wrong_code"), "spent");
    let new = |round| stage.new_passkey("ring", round);
    let dead = (Kind::Conflict, "challenge_dead");
    for wrong in [given - 1, given + 1] {
        assert_eq!(refused(add(&stage, &anna, new(wrong)).await), dead);
    }
    let elsewhere = NewPasskey { session: hash("gone"), ..new(given) };
    let elsewhere = add(&stage, &anna, elsewhere).await;
    assert_eq!(refused(elsewhere), (Kind::Unauthenticated, "session_ended"));
    add(&stage, &anna, new(given)).await.unwrap();
    assert_eq!(stage.sessions("anna").await, [hash("own")], "the others end");
    let event = ("member:anna".to_owned(), "passkey_added".to_owned(), "anna".to_owned());
    assert_eq!(stage.last_event().await, event);
    assert_eq!(stage.letters().await.pop().unwrap().kind.as_str(), "two_step");
    let twice = add(&stage, &anna, stage.new_passkey("other", given)).await;
    assert_eq!(refused(twice), dead, "a challenge is used up");
    // A member without an app cannot begin, nor continue after the app was removed.
    let given = begin(Some(code(4))).await.unwrap();
    stage.store.two_step_reset(&BY, target, None, None).await.unwrap();
    stage.signed_in(&anna, "own").await;
    assert_eq!(refused(add(&stage, &anna, stage.new_passkey("late", given)).await), dead);
    let now = round(&stage, "anna").await;
    let without = (Kind::Conflict, "not_set_up");
    assert_eq!(refused(add(&stage, &anna, stage.new_passkey("late", now)).await), without);
    assert_eq!(refused(begin(None).await), without);
}

async fn an_answer_is_spent_on_what_it_was_judged_by(stage: StoreFixture) {
    let anna = guarded(&stage, "anna").await;
    stage.with_passkey(&anna, "ring", 2).await;
    let begin = |token: &str, proof, round| {
        let sign_in = stage.sign_in_by(&anna, token, Some(proof), round);
        async { stage.store.session_begin(sign_in).await.map(|_| ()) }
    };
    let wrong = (Kind::Denied, "wrong_passkey");
    let now = round(&stage, "anna").await;
    assert_eq!(refused(begin("x", by_passkey("ring", "1", "2"), now).await), wrong, "not yet");
    assert_eq!(refused(begin("x", by_passkey("other", "0", "1"), now).await), wrong, "another");
    let late = begin("x", by_passkey("ring", "0", "1"), now - 1).await;
    assert_eq!(refused(late), (Kind::Unauthenticated, "sign_in_refused"), "an earlier round");
    begin("two", by_passkey("ring", "0", "1"), now).await.unwrap();
    let kept = stage.store.factors(&anna.id).await.unwrap();
    assert_eq!((kept.passkeys[0].credential.as_slice(), kept.round), (b"1".as_slice(), now + 1));
    assert!(kept.passkeys[0].used.is_some());
    let stale = begin("x", by_passkey("ring", "0", "1"), now + 1).await;
    assert_eq!(refused(stale), wrong, "judged by what it was before");
    begin("three", by_passkey("ring", "1", "2"), now + 1).await.unwrap();
}

async fn a_credential_has_one_owner_until_it_is_given_up(stage: StoreFixture) {
    let anna = guarded(&stage, "anna").await;
    let target = stage.target(&anna.id);
    stage.with_passkey(&anna, "ring", 2).await;
    let begin = async |step| {
        let shown = StepUp { proof: Some(code(step)), ..shown("anna") };
        stage.store.passkey_begin(target, shown).await.unwrap().value
    };
    let given = begin(3).await;
    let again = add(&stage, &anna, stage.new_passkey("ring", given)).await;
    assert_eq!(refused(again), (Kind::Conflict, "passkey_known"));
    let remove = async |name, step| {
        let shown = StepUp { proof: Some(code(step)), ..shown("anna") };
        let (own, ring) = (hash("own"), passkey_id(name));
        let removed = stage.store.passkey_remove(target, own, ring, shown, None).await;
        removed.map(|done| done.value)
    };
    let (gone, ring) = (hash("gone"), passkey_id("ring"));
    let elsewhere = stage.store.passkey_remove(target, gone, ring, shown("anna"), None).await;
    assert_eq!(refused(elsewhere), (Kind::Unauthenticated, "session_ended"));
    assert_eq!(refused(remove("none", 4).await), (Kind::NotFound, "unknown_passkey"));
    assert_eq!(refused(remove("ring", 3).await), (Kind::Denied, "wrong_code"));
    assert_eq!(remove("ring", 4).await.unwrap(), passkey("ring"));
    assert!(stage.store.factors(&anna.id).await.unwrap().passkeys.is_empty());
    // Released by its owner, by a reset, and by a removal.
    stage.with_passkey(&anna, "ring", 5).await;
    stage.store.two_step_reset(&BY, target, None, None).await.unwrap();
    stage.signed_in(&anna, "first").await;
    stage.pending(&anna).await;
    stage.confirmed(&anna, hash("first"), "own").await;
    stage.with_passkey(&anna, "ring", 6).await;
    stage.store.member_remove(&BY, target).await.unwrap();
    let bert = guarded(&stage, "bert").await;
    stage.with_passkey(&bert, "ring", 2).await;
}

async fn a_copied_passkey_is_counted_and_written_down(stage: StoreFixture) {
    let anna = guarded(&stage, "anna").await;
    stage.with_passkey(&anna, "ring", 2).await;
    let letters = stage.letters().await.len();
    let copied = async |name| {
        stage.store.passkey_copied(&anna, &passkey_id(name), stage.notice()).await.unwrap();
    };
    copied("other").await;
    assert_eq!(stage.store.factors(&anna.id).await.unwrap().failures, 0, "none of anna's");
    copied("ring").await;
    assert_eq!(stage.store.factors(&anna.id).await.unwrap().failures, 1);
    assert_eq!(stage.letters().await.len(), letters + 1);
    let event = ("system".to_owned(), "passkey_copied".to_owned(), "anna".to_owned());
    assert_eq!(stage.last_event().await, event);
}
