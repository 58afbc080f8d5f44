//! Rules of second factors: each proof is consumed once, and nothing begins or extends a session
//! without them.

use kwic_team::domain::{ChangedRecord, Kind, Member, limits};
use kwic_team::store::AccountEdit;
use kwic_team::store::preconditions::MOVED_ON;
use kwic_team::store::requests_and_views::sessions::{PasswordChange, SignIn};
use kwic_team::store::requests_and_views::two_step::{
    CheckedPassword, ConfirmedAuthenticator, ConfirmedThrough, ResealedSecret, StepUp,
};

use crate::support::store_fixture::{
    BY, HOUR, StoreFixture, address, by, code, hash, id, password, recovery, recovery_code,
    refused, sealed, shown,
};

store_rules!(
    a_confirmed_app_is_said_by_the_record_and_renews_the_session,
    a_code_is_spent_once_and_a_session_needs_one,
    what_touches_the_sign_in_asks_for_the_factor,
    a_recovery_code_that_begins_another_app_is_a_change_like_any_other,
    where_it_is_enforced_no_session_begins_without_a_factor,
    a_factor_is_reset_by_who_shows_an_own_one,
    wrong_codes_are_counted_for_good_and_a_new_password_forgives,
    a_removed_member_leaves_no_factor,
    secrets_are_sealed_anew_where_they_are_what_they_were,
);

const WRONG_CODE: (Kind, &str) = (Kind::Denied, "wrong_code");
const CODE_MISSING: (Kind, &str) = (Kind::Denied, "code_missing");
const REFUSED: (Kind, &str) = (Kind::Unauthenticated, "sign_in_refused");

/// anna, with an app whose first step is 1, signed in by `own`.
async fn guarded(stage: &StoreFixture) -> Member {
    let anna = stage.join("anna").await;
    stage.signed_in(&anna, "first").await;
    stage.pending(&anna).await;
    stage.confirmed(&anna, hash("first"), "own").await;
    stage.store.member(&anna.id).await.unwrap().unwrap()
}

async fn round(stage: &StoreFixture) -> u64 {
    stage.store.factors(&id("anna")).await.unwrap().round
}

async fn enforce(stage: &StoreFixture) {
    let edit = AccountEdit { two_step_enforced: Some(true), ..AccountEdit::default() };
    stage.store.account_edit(&BY, &stage.acme, None, edit).await.unwrap();
}

async fn a_confirmed_app_is_said_by_the_record_and_renews_the_session(stage: StoreFixture) {
    let anna = stage.join("anna").await;
    for token in ["first", "other"] {
        stage.signed_in(&anna, token).await;
    }
    stage.pending(&anna).await;
    assert!(!stage.store.member(&anna.id).await.unwrap().unwrap().two_step);
    stage.told();
    let target = stage.target(&anna.id);
    let other = ConfirmedAuthenticator {
        secret: sealed("x"),
        ..stage.confirmation(&anna, hash("first"), "own")
    };
    let other = stage.store.two_step_confirm(target, other).await;
    assert_eq!(refused(other), (Kind::Conflict, "not_set_up"));
    let gone = stage.confirmation(&anna, hash("gone"), "own");
    let gone = stage.store.two_step_confirm(target, gone).await;
    assert_eq!(refused(gone), (Kind::Unauthenticated, "session_ended"));
    let confirmation = stage.confirmation(&anna, hash("first"), "own");
    let done = stage.store.two_step_confirm(target, confirmation.clone()).await.unwrap();
    assert_eq!(done.value, 1, "the other one ended");
    let after = stage.store.member(&anna.id).await.unwrap().unwrap();
    assert_eq!((after.two_step, after.version), (true, anna.version.next()));
    assert_eq!(stage.sessions("anna").await, [hash("own")]);
    let told = stage.told();
    assert!(told[0].rows.contains(&ChangedRecord::Member(after)), "decisions do not hear of it");
    assert!(told[0].rows.contains(&ChangedRecord::SessionGone(hash("other"))));
    let entry = ("member:anna".to_owned(), "two_step_enabled".to_owned(), "anna".to_owned());
    assert_eq!(stage.last_event().await, entry);
    let letter = stage.letters().await.pop().unwrap();
    assert_eq!((letter.kind.as_str(), letter.to.as_str()), ("two_step", "anna@example.org"));
    let twice = stage.store.two_step_confirm(target, confirmation).await;
    assert_eq!(refused(twice), (Kind::Unauthenticated, "session_ended"));
}

async fn a_code_is_spent_once_and_a_session_needs_one(stage: StoreFixture) {
    let anna = guarded(&stage).await;
    let store = &stage.store;
    let begin = |token: &str, proof, round| {
        let sign_in = stage.sign_in_by(&anna, token, proof, round);
        async move { store.session_begin(sign_in).await.map(|_| ()) }
    };
    let now = round(&stage).await;
    assert_eq!(refused(store.session_begin(stage.sign_in(&anna, "x")).await), CODE_MISSING);
    assert_eq!(refused(begin("x", Some(code(1)), now).await), WRONG_CODE, "set up with it");
    let other = kwic_team::store::requests_and_views::two_step::SecondFactorProof::Step {
        secret: sealed("other"),
        step: 9,
    };
    assert_eq!(refused(begin("x", Some(other), now).await), WRONG_CODE, "of another app");
    assert_eq!(refused(begin("x", Some(code(2)), now + 1).await), REFUSED, "of another round");
    begin("two", Some(code(2)), now).await.unwrap();
    assert_eq!(refused(begin("x", Some(code(3)), now).await), REFUSED, "a ticket used twice");
    let now = round(&stage).await;
    for used in [2, 1] {
        assert_eq!(refused(begin("x", Some(code(used)), now).await), WRONG_CODE);
    }
    begin("three", Some(recovery(1, stage.notice())), now).await.unwrap();
    let letter = stage.letters().await.pop().unwrap();
    assert_eq!(letter.kind.as_str(), "two_step");
    let now = round(&stage).await;
    assert_eq!(refused(begin("x", Some(recovery(1, None)), now).await), WRONG_CODE);
    assert_eq!(refused(begin("x", Some(recovery(3, None)), now).await), WRONG_CODE);
    let other = SignIn {
        checked: CheckedPassword::of("another password"),
        ..stage.sign_in_by(&anna, "x", Some(code(9)), now)
    };
    assert_eq!(refused(store.session_begin(other).await), REFUSED);
    assert_eq!(stage.sessions("anna").await.len(), 3);
}

async fn what_touches_the_sign_in_asks_for_the_factor(stage: StoreFixture) {
    let anna = guarded(&stage).await;
    let (store, target) = (&stage.store, stage.target(&anna.id));
    let own = || (hash("own"), stage.session(&anna, "next"));
    for (proof, answer) in [(None, CODE_MISSING), (Some(code(1)), WRONG_CODE)] {
        let given = || StepUp { proof: proof.clone(), ..shown("anna") };
        let change = PasswordChange {
            member: anna.id.clone(),
            shown: given(),
            password: password("new"),
            renewed: own(),
            letter: None,
        };
        assert_eq!(refused(store.password_change(change).await), answer);
        let links = [stage.link("old"), stage.link("new")];
        let moved = store.email_change_begin(target, given(), address("anna2"), links).await;
        assert_eq!(refused(moved), answer);
        let codes = vec![recovery_code(9).hash()];
        assert_eq!(refused(store.recovery_codes(target, given(), codes, None).await), answer);
        let off = store.two_step_off(target, given(), own(), None).await;
        assert_eq!(refused(off), answer);
        let begun = store.two_step_begin(target, given(), sealed("new"), stage.later(HOUR)).await;
        assert_eq!(refused(begun), answer);
    }
    let moved = StepUp { checked: CheckedPassword::of("another one"), proof: Some(code(5)) };
    let moved = store.two_step_off(target, moved, own(), None).await;
    assert_eq!(refused(moved), (Kind::Conflict, MOVED_ON));
    assert_eq!(stage.sessions("anna").await, [hash("own")], "something was changed");
    let off = StepUp { proof: Some(code(6)), ..shown("anna") };
    let done = store.two_step_off(target, off, own(), stage.notice()).await.unwrap();
    assert_eq!((done.value, stage.sessions("anna").await), (0, vec![hash("next")]));
    assert!(!store.member(&anna.id).await.unwrap().unwrap().two_step);
    stage.signed_in(&anna, "again").await;
}

async fn a_recovery_code_that_begins_another_app_is_a_change_like_any_other(stage: StoreFixture) {
    let anna = guarded(&stage).await;
    stage.told();
    let (store, target) = (&stage.store, stage.target(&anna.id));
    let given = |proof| StepUp { proof: Some(proof), ..shown("anna") };
    let expires = stage.later(HOUR);
    let begun = store
        .two_step_begin(target, given(recovery(1, stage.notice())), sealed("new"), expires)
        .await
        .unwrap();
    let next =
        store.two_step_begin(target, given(code(2)), sealed("newer"), expires).await.unwrap();
    let entry = stage.events().await.pop().unwrap();
    assert_eq!((entry.0, entry.1.as_str()), (begun.revision.0, "recovery_code_used"));
    assert!(next.revision > begun.revision, "two changes have one revision");
    assert!(
        stage.told()[0].rows.contains(&ChangedRecord::LetterQueued),
        "its mail waits for another one"
    );
}

async fn where_it_is_enforced_no_session_begins_without_a_factor(stage: StoreFixture) {
    let anna = stage.join("anna").await;
    stage.signed_in(&anna, "own").await;
    enforce(&stage).await;
    let (store, target) = (&stage.store, stage.target(&anna.id));
    let needed = (Kind::Conflict, "two_step_needed");
    assert_eq!(refused(store.session_begin(stage.sign_in(&anna, "x")).await), needed);
    let forged = stage.sign_in_by(&anna, "x", Some(code(9)), 0);
    assert_eq!(refused(store.session_begin(forged).await), needed);
    let change = PasswordChange {
        member: anna.id.clone(),
        shown: shown("anna"),
        password: password("new"),
        renewed: (hash("own"), stage.session(&anna, "next")),
        letter: None,
    };
    assert_eq!(refused(store.password_change(change).await), needed);
    stage.pending(&anna).await;
    let through = |checked: &str, round| ConfirmedThrough::Ticket {
        checked: CheckedPassword::of(&password(checked)),
        round,
        failures_before: 0,
    };
    for (through, what) in
        [(through("another", 0), "another password"), (through("anna", 7), "an old ticket")]
    {
        let confirmed =
            ConfirmedAuthenticator { through, ..stage.confirmation(&anna, hash("-"), "in") };
        let done = store.two_step_confirm(target, confirmed).await;
        assert_eq!(refused(done), REFUSED, "{what}");
    }
    let confirmed = ConfirmedAuthenticator {
        through: through("anna", 0),
        ..stage.confirmation(&anna, hash("-"), "in")
    };
    store.two_step_confirm(target, confirmed).await.unwrap();
    assert_eq!(stage.sessions("anna").await, [hash("in")]);
    // A member with a factor cannot sign in with the password alone, not even with a pending app.
    let again = StepUp { proof: Some(code(2)), ..shown("anna") };
    store.two_step_begin(target, again, sealed("anna"), stage.later(HOUR)).await.unwrap();
    let now = round(&stage).await;
    let confirmed = ConfirmedAuthenticator {
        through: through("anna", now),
        ..stage.confirmation(&anna, hash("-"), "y")
    };
    assert_eq!(refused(store.two_step_confirm(target, confirmed).await), REFUSED);
    let off = StepUp { proof: Some(code(3)), ..shown("anna") };
    let renewed = (hash("in"), stage.session(&anna, "next"));
    let off = store.two_step_off(target, off, renewed, None).await;
    assert_eq!(refused(off), (Kind::Conflict, "two_step_enforced"));
}

async fn a_factor_is_reset_by_who_shows_an_own_one(stage: StoreFixture) {
    let anna = guarded(&stage).await;
    let bert = stage.join("bert").await;
    stage.signed_in(&bert, "bert").await;
    let store = &stage.store;
    let target = stage.target(&anna.id);
    let of = |proof| Some(StepUp { proof, ..shown("bert") });
    let without = store.two_step_reset(&by(&bert), target, of(None), None).await;
    assert_eq!(refused(without), (Kind::Conflict, "own_factor_first"));
    stage.pending(&bert).await;
    stage.confirmed(&bert, hash("bert"), "bert2").await;
    let bert = store.member(&bert.id).await.unwrap().unwrap();
    let step = |step| kwic_team::store::requests_and_views::two_step::SecondFactorProof::Step {
        secret: sealed("bert"),
        step,
    };
    for (given, answer) in [
        (None, CODE_MISSING),
        (of(None), CODE_MISSING),
        (of(Some(step(1))), WRONG_CODE),
        (of(Some(code(9))), WRONG_CODE),
    ] {
        let done = store.two_step_reset(&by(&bert), target, given, None).await;
        assert_eq!(refused(done), answer);
    }
    let itself = stage.target(&bert.id);
    let own = store.two_step_reset(&by(&bert), itself, of(Some(step(2))), None).await;
    assert_eq!(refused(own), (Kind::Conflict, "own_factor"));
    let before = round(&stage).await;
    let done = store.two_step_reset(&by(&bert), target, of(Some(step(3))), stage.notice()).await;
    assert_eq!(done.unwrap().value, 1);
    let factors = store.factors(&anna.id).await.unwrap();
    assert!(factors.authenticator.is_none() && factors.recovery.is_empty());
    assert!(factors.round > before, "a ticket from before opens again");
    assert!(stage.sessions("anna").await.is_empty());
    let nothing = store.two_step_reset(&BY, target, None, None).await;
    assert_eq!(refused(nothing), (Kind::Conflict, "not_set_up"));
}

async fn wrong_codes_are_counted_for_good_and_a_new_password_forgives(stage: StoreFixture) {
    let anna = guarded(&stage).await;
    let store = &stage.store;
    for count in 1..=limits::CODE_FAILURES_MAX {
        let letters = stage.letters().await.len();
        assert_eq!(store.code_failed(&anna, stage.notice()).await.unwrap().value, count);
        let told = stage.letters().await.len() - letters;
        assert_eq!(told, usize::from(count == limits::CODE_FAILURES_TOLD), "after {count}");
    }
    let now = round(&stage).await;
    let locked = (Kind::Denied, "codes_locked");
    for proof in [code(9), recovery(1, None)] {
        let sign_in = stage.sign_in_by(&anna, "x", Some(proof), now);
        assert_eq!(refused(store.session_begin(sign_in).await), locked);
    }
    store.reset_begin(&BY, stage.target(&anna.id), stage.link("reset")).await.unwrap();
    store.reset_end(hash("reset"), password("anna"), None).await.unwrap();
    store.session_begin(stage.sign_in_by(&anna, "in", Some(code(9)), now)).await.unwrap();
    assert_eq!(store.factors(&anna.id).await.unwrap().failures, 0);
    let nobody = stage.create("nobody").await;
    assert_eq!(store.code_failed(&nobody, None).await.unwrap().value, 0);
}

async fn a_removed_member_leaves_no_factor(stage: StoreFixture) {
    let anna = guarded(&stage).await;
    stage.store.member_remove(&BY, stage.target(&anna.id)).await.unwrap();
    let factors = stage.store.factors(&anna.id).await.unwrap();
    assert_eq!(factors, kwic_team::domain::Factors::default());
    assert_eq!(stage.store.code_failed(&anna, stage.notice()).await.unwrap().value, 0);
    assert!(stage.store.sealed_factors().await.unwrap().is_empty());
}

async fn secrets_are_sealed_anew_where_they_are_what_they_were(stage: StoreFixture) {
    let anna = guarded(&stage).await;
    let [(found, account, _)] = &stage.store.sealed_factors().await.unwrap()[..] else { panic!() };
    assert_eq!((found, account), (&anna.id, &anna.account));
    let before = stage.store.revision().await.unwrap();
    for (from, to, expected) in [("other", "x", "anna"), ("anna", "anew", "anew")] {
        let resealed =
            ResealedSecret { member: anna.id.clone(), before: sealed(from), after: sealed(to) };
        stage.store.factors_reseal(vec![resealed]).await.unwrap();
        let factors = stage.store.factors(&anna.id).await.unwrap();
        assert_eq!(factors.authenticator.unwrap().secret, sealed(expected));
    }
    assert_eq!(stage.store.revision().await.unwrap(), before);
}
