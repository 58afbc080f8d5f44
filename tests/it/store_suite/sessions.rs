//! Rules of passwords and sessions: what begins a session, what ends it, and what is recorded.

use std::time::Duration;

use kwic_team::domain::limits::{FORGOTTEN_AT_ONCE_MAX, SESSIONS_OF_MEMBER_MAX};
use kwic_team::domain::{ChangedRecord, Kind, Session, SessionLimits, Status};
use kwic_team::store::change_feed::LoadedRecord;
use kwic_team::store::preconditions::MOVED_ON;
use kwic_team::store::requests_and_views::sessions::{PasswordChange, SessionSelector, SignIn};
use kwic_team::store::requests_and_views::two_step::CheckedPassword;

use crate::support::store_fixture::{
    BY, MINUTE, NOW, StoreFixture, hash, id, member, password, refused, session_id, shown, slug,
};

store_rules!(
    a_session_begins_by_the_password_that_was_checked,
    only_so_many_sessions_live,
    sessions_end_one_or_all_or_all_others,
    a_session_token_is_enough_to_sign_out,
    use_is_written_down_and_what_is_over_goes,
    a_new_password_ends_every_other_session,
    many_expired_sessions_end_in_several_changes,
    a_slowed_sign_in_is_noted,
    all_sessions_are_loaded,
);

async fn a_session_begins_by_the_password_that_was_checked(stage: StoreFixture) {
    let anna = stage.join("anna").await;
    stage.create("nobody").await;
    stage.told();
    let store = &stage.store;
    let sign_in = stage.sign_in(&anna, "one");
    let begun = store.session_begin(sign_in.clone()).await.unwrap();
    assert_eq!(begun.value, sign_in.session);
    let entry = ("member:anna".to_owned(), "authn_login_success".to_owned(), "anna".to_owned());
    assert_eq!(stage.last_event().await, entry);
    let after_failures = SignIn { failures_before: 3, ..stage.sign_in(&anna, "two") };
    store.session_begin(after_failures).await.unwrap();
    assert_eq!(stage.last_event().await.1, "authn_login_successafterfail");
    let other =
        SignIn { checked: CheckedPassword::of(&password("other")), ..stage.sign_in(&anna, "x") };
    let unknown = stage.sign_in(&member("acme", "ghost"), "x");
    let without = stage.sign_in(&member("acme", "nobody"), "x");
    let strange = Session { account: slug("globex"), ..stage.session(&anna, "x") };
    let strange = SignIn { session: strange, ..stage.sign_in(&anna, "x") };
    for (what, refusal) in [
        ("another password by now", other),
        ("nobody", unknown),
        ("somebody without a password", without),
        ("another account", strange),
    ] {
        let answer = refused(store.session_begin(refusal).await);
        assert_eq!(answer, (Kind::Unauthenticated, "sign_in_refused"), "{what}");
    }
    // The same password, rehashed, is not a new password.
    let rehashed = SignIn { rehashed: Some(password("anew")), ..stage.sign_in(&anna, "three") };
    stage.clock.advance_ms(MINUTE);
    store.session_begin(rehashed).await.unwrap();
    let credential = store.credential(&anna.id).await.unwrap().unwrap();
    assert_eq!((credential.password, credential.changed), (password("anew"), NOW));
    assert!(!format!("{:?}", store.credential(&anna.id).await.unwrap()).contains("argon2"));
    store.member_suspend(&BY, stage.target(&anna.id)).await.unwrap();
    let asleep =
        SignIn { checked: CheckedPassword::of(&password("anew")), ..stage.sign_in(&anna, "x") };
    assert_eq!(
        refused(store.session_begin(asleep).await),
        (Kind::Unauthenticated, "sign_in_refused")
    );
    let told = stage.told();
    assert_eq!(
        (told[0].revision, &told[0].rows[..]),
        (begun.revision, &[ChangedRecord::Session(begun.value)][..])
    );
}

async fn only_so_many_sessions_live(stage: StoreFixture) {
    let anna = stage.join("anna").await;
    for number in 0..100 {
        stage.signed_in(&anna, &number.to_string()).await;
        stage.clock.advance_ms(1);
    }
    stage.told();
    let last = stage.signed_in(&anna, "100").await;
    assert_eq!(
        stage.told()[0].rows,
        [ChangedRecord::SessionGone(hash("0")), ChangedRecord::Session(last)]
    );
    let newest_first: Vec<_> = (1..=100).rev().map(|n: u32| hash(&n.to_string())).collect();
    assert_eq!(stage.sessions("anna").await, newest_first);
}

async fn sessions_end_one_or_all_or_all_others(stage: StoreFixture) {
    let anna = stage.join("anna").await;
    for token in ["a", "b", "c", "d"] {
        stage.signed_in(&anna, token).await;
        stage.clock.advance_ms(1);
    }
    stage.told();
    let (store, target) = (&stage.store, stage.target(&anna.id));
    let end = |which| store.sessions_end(&BY, target, which);
    let one = end(SessionSelector::One(session_id("b"))).await.unwrap();
    assert_eq!(one.value, 1);
    let again = end(SessionSelector::One(session_id("b"))).await;
    assert_eq!(refused(again), (Kind::NotFound, "unknown_session"));
    assert_eq!(end(SessionSelector::AllBut(hash("c"))).await.unwrap().value, 2);
    let none = end(SessionSelector::AllBut(hash("c"))).await.unwrap();
    assert_eq!((none.value, none.revision.0), (0, stage.revision().await));
    assert_eq!(stage.sessions("anna").await, [hash("c")]);
    assert_eq!(end(SessionSelector::All).await.unwrap().value, 1);
    let entry = ("sidecar:7".to_owned(), "session_logout".to_owned(), "anna".to_owned());
    assert_eq!(stage.last_event().await, entry);
    let ghost = id("ghost");
    let nobody = store.sessions_end(&BY, stage.target(&ghost), SessionSelector::All).await;
    assert_eq!(refused(nobody), (Kind::NotFound, "unknown_member"));
    let told = stage.told();
    assert_eq!(told.len(), 3);
    let gone = |tokens: &[&str]| {
        tokens.iter().map(|text| ChangedRecord::SessionGone(hash(text))).collect::<Vec<_>>()
    };
    assert_eq!(told[1].rows, gone(&["a", "d"]));
}

async fn a_session_token_is_enough_to_sign_out(stage: StoreFixture) {
    let anna = stage.join("anna").await;
    stage.signed_in(&anna, "one").await;
    stage.told();
    assert!(stage.store.session_sign_out(hash("one")).await.unwrap().value);
    let again = stage.store.session_sign_out(hash("one")).await.unwrap();
    assert!(!again.value);
    assert_eq!(stage.told().len(), 1);
    let entry = ("member:anna".to_owned(), "session_logout".to_owned(), "anna".to_owned());
    assert_eq!(stage.last_event().await, entry);
}

async fn use_is_written_down_and_what_is_over_goes(stage: StoreFixture) {
    let limits = SessionLimits {
        idle: Duration::from_secs(30 * 60),
        absolute: Duration::from_secs(60 * 60),
    };
    let anna = stage.join("anna").await;
    for token in ["used", "idle", "gone"] {
        stage.signed_in(&anna, token).await;
    }
    let own = SessionSelector::One(session_id("gone"));
    stage.store.sessions_end(&BY, stage.target(&anna.id), own).await.unwrap();
    stage.told();
    let entries = stage.events().await.len();
    stage.clock.advance_ms(20 * MINUTE);
    let at = stage.clock.now();
    let used = |text| vec![(hash(text), at)];
    let tended = stage.store.sessions_tend(used("used"), limits).await.unwrap();
    let session = stage.store.sessions_of(&anna.id).await.unwrap();
    let session = session.into_iter().find(|session| session.token == hash("used")).unwrap();
    assert_eq!(session.used, at);
    let told = stage.told();
    assert_eq!(
        (told[0].revision, &told[0].rows[..]),
        (tended.revision, &[ChangedRecord::Session(session)][..])
    );
    // An earlier use, one of a session that is gone, and none at all change nothing.
    for nothing in [vec![(hash("used"), NOW)], used("gone"), Vec::new()] {
        let same = stage.store.sessions_tend(nothing, limits).await.unwrap();
        assert_eq!(same.revision, tended.revision);
    }
    assert_eq!(stage.sessions("anna").await.len(), 2);
    stage.clock.advance_ms(10 * MINUTE);
    stage.store.sessions_tend(Vec::new(), limits).await.unwrap();
    assert_eq!(stage.sessions("anna").await, [hash("used")], "idle for half an hour");
    assert_eq!(stage.told()[0].rows, [ChangedRecord::SessionGone(hash("idle"))]);
    // A use that is not written down yet counts, up to the end in any case.
    stage.clock.advance_ms(29 * MINUTE);
    let used = vec![(hash("used"), stage.clock.now())];
    stage.store.sessions_tend(used, limits).await.unwrap();
    assert_eq!(stage.sessions("anna").await.len(), 1);
    stage.clock.advance_ms(MINUTE);
    let used = vec![(hash("used"), stage.clock.now())];
    stage.store.sessions_tend(used, limits).await.unwrap();
    assert_eq!(stage.sessions("anna").await, []);
    assert_eq!(stage.events().await.len(), entries, "an entry for what nobody did");
}

async fn many_expired_sessions_end_in_several_changes(stage: StoreFixture) {
    let limits = SessionLimits {
        idle: Duration::from_secs(30 * 60),
        absolute: Duration::from_secs(60 * 60),
    };
    let (most, each) = (FORGOTTEN_AT_ONCE_MAX, SESSIONS_OF_MEMBER_MAX);
    let members = most / each + 1;
    for member in 0..members {
        let member = stage.join(&format!("m{member}")).await;
        for token in 0..each {
            stage.signed_in(&member, &format!("{} {token}", member.id)).await;
        }
    }
    stage.told();
    stage.clock.advance_ms(60 * MINUTE);
    let tended = stage.store.sessions_tend(Vec::new(), limits).await.unwrap();
    let told = stage.told();
    let rows: Vec<usize> = told.iter().map(|change| change.rows.len()).collect();
    assert_eq!(rows, [most, members * each - most]);
    assert_eq!(told.last().unwrap().revision, tended.revision);
    assert_eq!(stage.sessions("m0").await, []);
}

async fn a_new_password_ends_every_other_session(stage: StoreFixture) {
    let anna = stage.join("anna").await;
    for token in ["own", "other", "third"] {
        stage.signed_in(&anna, token).await;
    }
    stage.told();
    let change = |checked: &str| PasswordChange {
        member: anna.id.clone(),
        shown: shown(checked),
        password: password("new"),
        renewed: (hash("own"), stage.session(&anna, "next")),
        letter: stage.notice(),
    };
    let store = &stage.store;
    let moved = store.password_change(change("another one by now")).await;
    assert_eq!(refused(moved), (Kind::Conflict, MOVED_ON));
    let ended =
        PasswordChange { renewed: (hash("gone"), stage.session(&anna, "next")), ..change("anna") };
    let ended = store.password_change(ended).await;
    assert_eq!(refused(ended), (Kind::Unauthenticated, "session_ended"));
    assert_eq!(store.password_change(change("anna")).await.unwrap().value, 2);
    assert_eq!(stage.sessions("anna").await, [hash("next")]);
    let credential = store.credential(&anna.id).await.unwrap().unwrap();
    assert_eq!(credential.password, password("new"));
    let entry = ("member:anna".to_owned(), "authn_password_change".to_owned(), "anna".to_owned());
    assert_eq!(stage.last_event().await, entry);
    let letter = stage.letters().await.pop().unwrap();
    assert_eq!(
        (letter.kind.as_str(), letter.to.as_str()),
        ("password_changed", "anna@example.org")
    );
    let told = stage.told();
    assert_eq!(told.len(), 1);
    for row in [
        ChangedRecord::SessionGone(hash("own")),
        ChangedRecord::SessionGone(hash("other")),
        ChangedRecord::SessionGone(hash("third")),
        ChangedRecord::Session(stage.session(&anna, "next")),
        ChangedRecord::LetterQueued,
    ] {
        assert!(told[0].rows.contains(&row), "{row:?} was not told");
    }
}

async fn a_slowed_sign_in_is_noted(stage: StoreFixture) {
    let anna = stage.create("anna").await;
    stage.store.sign_in_slowed(&anna, 10).await.unwrap();
    let entry = ("system".to_owned(), "authn_login_lock".to_owned(), "anna".to_owned());
    assert_eq!(stage.last_event().await, entry);
}

async fn all_sessions_are_loaded(stage: StoreFixture) {
    let anna = stage.join("anna").await;
    let session = stage.signed_in(&anna, "one").await;
    let (told, reader) = std::sync::mpsc::channel();
    stage.store.load(move |record| told.send(record).unwrap()).await.unwrap();
    let loaded: Vec<LoadedRecord> = reader.iter().collect();
    assert_eq!(loaded.last(), Some(&LoadedRecord::Session(session)));
    assert!(loaded.contains(&LoadedRecord::Coming(1)));
    assert_eq!(loaded.len(), 5, "two accounts, how many members, a member, a session");
    assert_eq!(anna.status, Status::Active);
}
