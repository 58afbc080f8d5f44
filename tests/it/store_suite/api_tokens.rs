//! Rules of API tokens: created by a checked member, published to subscribers, and ended with what
//! they depend on.

use kwic_team::domain::{
    Actor, ApiToken, ChangedRecord, Kind, LoadedRecord, Member, SessionLimits, Status, Timestamp,
    limits,
};
use kwic_team::store::preconditions::MOVED_ON;
use kwic_team::store::requests_and_views::api_tokens::{NewApiToken, TokenOwner};
use kwic_team::store::requests_and_views::two_step::{CheckedPassword, SecondFactorProof, StepUp};
use kwic_team::store::{MemberEdit, Preconditions};

use crate::support::store_fixture::{
    BY, DAY, MINUTE, StoreFixture, by, hash, id, refused, role, sealed, shown, to_role, token_id,
};

store_rules!(
    a_token_is_made_by_who_shows_it_and_is_told,
    nobody_else_makes_one,
    there_is_room_for_so_many,
    tokens_end_with_their_maker,
    a_maker_with_another_role_keeps_what_that_one_gives,
    who_acts_by_a_token_that_ended_changes_nothing,
    a_token_is_revoked_once_and_by_its_own_account,
    use_is_written_down_and_what_has_expired_goes,
    pages_are_oldest_first,
);

const MOVED: (Kind, &str) = (Kind::Conflict, MOVED_ON);

async fn made(stage: &StoreFixture, member: &Member, name: &str, as_role: &str) -> ApiToken {
    let new = stage.api_token(member, name, as_role);
    stage.store.api_token_create(&by(member), new).await.unwrap().value
}

fn as_token(token: &ApiToken, member: &Member) -> Preconditions {
    let actor = Actor::Token { id: token.id.clone(), member: member.id.clone() };
    Preconditions { actor, ..by(member) }
}

async fn names(stage: &StoreFixture) -> Vec<String> {
    let page = stage.store.api_tokens(&stage.acme, None, None, 1_000).await.unwrap();
    page.items.iter().map(|token| token.name.as_str().to_owned()).collect()
}

async fn a_token_is_made_by_who_shows_it_and_is_told(stage: StoreFixture) {
    let anna = stage.join("anna").await;
    stage.told();
    let new = stage.api_token(&anna, "reports", "viewer");
    let made = stage.store.api_token_create(&by(&anna), new.clone()).await.unwrap();
    assert_eq!(made.value, new.token);
    let told = stage.told();
    assert_eq!(told[0].revision, made.revision);
    assert_eq!(told[0].rows, [ChangedRecord::ApiToken(new.token.clone())]);
    let entry = ("member:anna".to_owned(), "authn_token_created".to_owned(), "anna".to_owned());
    assert_eq!(stage.last_event().await, entry);
    let found = stage.store.api_token(&stage.acme, &new.token.id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&new.token));
    let elsewhere =
        stage.store.api_token(&crate::support::store_fixture::slug("globex"), &new.token.id).await;
    assert_eq!(elsewhere.unwrap(), None);
    let (told, reader) = std::sync::mpsc::channel();
    stage.store.load(move |record| told.send(record).unwrap()).await.unwrap();
    assert_eq!(reader.iter().last(), Some(LoadedRecord::ApiToken(new.token)));
}

async fn nobody_else_makes_one(stage: StoreFixture) {
    let anna = stage.join("anna").await;
    let bert = stage.join("bert").await;
    let first = made(&stage, &anna, "first", "viewer").await;
    stage.pending(&bert).await;
    stage.signed_in(&bert, "own").await;
    stage.confirmed(&bert, hash("own"), "next").await;
    let bert = stage.get("bert").await;
    let new = |member: &Member, maker| NewApiToken {
        maker,
        ..stage.api_token(member, "another", "viewer")
    };
    let own = |name| TokenOwner::Own(shown(name));
    let other = TokenOwner::Own(StepUp { checked: CheckedPassword::of("another"), proof: None });
    let old = TokenOwner::Named(anna.version.next());
    let tries = [
        (by(&anna), new(&anna, other), MOVED),
        (as_token(&first, &anna), new(&anna, own("anna")), MOVED),
        (by(&bert), new(&anna, own("anna")), MOVED),
        (by(&anna), new(&anna, TokenOwner::Named(anna.version)), MOVED),
        (BY.clone(), new(&anna, old), MOVED),
        (BY.clone(), new(&anna, own("anna")), MOVED),
        (by(&bert), new(&bert, own("bert")), (Kind::Denied, "code_missing")),
    ];
    for (number, (by, new, answer)) in tries.into_iter().enumerate() {
        let tried = stage.store.api_token_create(&by, new).await;
        assert_eq!(refused(tried), answer, "try {number}");
    }
    let proof = Some(SecondFactorProof::Step { secret: sealed("bert"), step: 2 });
    let given = StepUp { proof, ..shown("bert") };
    let again = new(&bert, TokenOwner::Own(given));
    stage.store.api_token_create(&by(&bert), again.clone()).await.unwrap();
    let spent = stage.store.api_token_create(&by(&bert), again).await;
    assert_eq!(refused(spent), (Kind::Denied, "wrong_code"), "a code is spent once");
    assert_eq!(names(&stage).await, ["first", "another"]);
}

async fn there_is_room_for_so_many(stage: StoreFixture) {
    let anna = stage.create("anna").await;
    let named = |number: usize| NewApiToken {
        maker: TokenOwner::Named(anna.version),
        ..stage.api_token(&anna, &format!("t{number}"), "viewer")
    };
    for number in 0..limits::API_TOKENS_OF_MEMBER_MAX {
        stage.store.api_token_create(&BY, named(number)).await.unwrap();
    }
    let more = stage.store.api_token_create(&BY, named(99)).await;
    assert_eq!(refused(more), (Kind::Conflict, "too_many_tokens"));
}

async fn tokens_end_with_their_maker(stage: StoreFixture) {
    let (anna, bert) = (stage.join("anna").await, stage.join("bert").await);
    for (member, name) in [(&anna, "a"), (&anna, "b"), (&bert, "c")] {
        made(&stage, member, name, "viewer").await;
    }
    stage.told();
    let gone = stage.store.member_remove(&BY, stage.target(&anna.id)).await.unwrap();
    assert_eq!(gone.value.tokens_revoked, 2);
    let told = stage.told();
    for name in ["a", "b"] {
        assert!(
            told[0].rows.contains(&ChangedRecord::ApiTokenGone(hash(&format!("token {name}")))),
            "{name}"
        );
    }
    assert_eq!(names(&stage).await, ["c"]);
    let bert = stage.store.member_suspend(&BY, stage.target(&bert.id)).await.unwrap();
    assert_eq!(bert.value.status, Status::Suspended);
    assert!(names(&stage).await.is_empty(), "a suspended member has a token");
    assert!(stage.told()[0].rows.contains(&ChangedRecord::ApiTokenGone(hash("token c"))));
    let events = stage.events().await;
    let revoked = events.iter().filter(|(_, event, _)| event == "authn_token_revoked");
    assert_eq!(revoked.count(), 3);
}

async fn a_maker_with_another_role_keeps_what_that_one_gives(stage: StoreFixture) {
    let anna = stage.join("anna").await;
    for (name, as_role) in [("view", "viewer"), ("work", "operator")] {
        made(&stage, &anna, name, as_role).await;
    }
    let still_makes_tokens = [role("viewer")].into();
    let edit = MemberEdit { still_makes_tokens, ..to_role("editor") };
    stage.store.member_edit(&BY, stage.target(&anna.id), edit).await.unwrap();
    assert_eq!(names(&stage).await, ["view"]);
}

async fn who_acts_by_a_token_that_ended_changes_nothing(stage: StoreFixture) {
    let (anna, bert) = (stage.join("anna").await, stage.join("bert").await);
    let token = made(&stage, &anna, "t", "operator").await;
    let suspend = |as_whom: Preconditions| {
        let (store, target) = (&stage.store, stage.target(&bert.id));
        async move { store.member_suspend(&as_whom, target).await.map(|_| ()) }
    };
    let other = Actor::Token { id: token.id.clone(), member: bert.id.clone() };
    let other = Preconditions { actor: other, ..by(&bert) };
    assert_eq!(refused(suspend(other).await), MOVED, "of another maker");
    stage.store.api_token_revoke(&BY, &stage.acme, &token.id).await.unwrap();
    assert_eq!(refused(suspend(as_token(&token, &anna)).await), MOVED, "revoked");
    let token = made(&stage, &anna, "u", "operator").await;
    stage.clock.advance_ms(31 * DAY);
    assert_eq!(refused(suspend(as_token(&token, &anna)).await), MOVED, "expired");
    assert_eq!(stage.get("bert").await.status, Status::Active);
    let token = made(&stage, &anna, "v", "operator").await;
    suspend(as_token(&token, &anna)).await.unwrap();
    let entry = (format!("token:{}:anna", token.id), "user_updated".to_owned(), "bert".to_owned());
    assert_eq!(stage.last_event().await.0, entry.0);
}

async fn a_token_is_revoked_once_and_by_its_own_account(stage: StoreFixture) {
    let anna = stage.join("anna").await;
    let token = made(&stage, &anna, "t", "viewer").await;
    let unknown = (Kind::NotFound, "unknown_token");
    let elsewhere = crate::support::store_fixture::slug("globex");
    let other = stage.store.api_token_revoke(&BY, &elsewhere, &token.id).await;
    assert_eq!(refused(other), unknown);
    stage.told();
    let revoked = stage.store.api_token_revoke(&by(&anna), &stage.acme, &token.id).await.unwrap();
    assert_eq!(revoked.value, token);
    assert_eq!(stage.told()[0].rows, [ChangedRecord::ApiTokenGone(token.token)]);
    let entry = ("member:anna".to_owned(), "authn_token_revoked".to_owned(), "anna".to_owned());
    assert_eq!(stage.last_event().await, entry);
    let again = stage.store.api_token_revoke(&by(&anna), &stage.acme, &token.id).await;
    assert_eq!(refused(again), unknown);
}

async fn use_is_written_down_and_what_has_expired_goes(stage: StoreFixture) {
    let anna = stage.join("anna").await;
    let token = made(&stage, &anna, "t", "viewer").await;
    let entries = stage.events().await.len();
    stage.told();
    let at = |minutes: i64| Timestamp(token.created.0 + minutes * MINUTE);
    for (minutes, stands) in [(5, 5), (3, 5), (6, 6)] {
        let used = vec![(token.id.clone(), at(minutes)), (token_id("ghost"), at(9))];
        stage.store.api_tokens_used(used).await.unwrap();
        let found = stage.store.api_token(&stage.acme, &token.id).await.unwrap().unwrap();
        assert_eq!(found.used, Some(at(stands)));
    }
    assert_eq!(stage.told().len(), 2, "a use before the last one is no change");
    stage.clock.advance_ms(31 * DAY);
    let hour = std::time::Duration::from_secs(3_600);
    let lives = SessionLimits { idle: hour * 10_000, absolute: hour * 10_000 };
    stage.store.sessions_tend(Vec::new(), lives).await.unwrap();
    assert!(names(&stage).await.is_empty());
    assert_eq!(
        stage.told()[0].rows,
        [ChangedRecord::ApiTokenGone(token.token)],
        "decisions know it still"
    );
    assert_eq!(stage.events().await.len(), entries, "time is nobody's doing");
}

async fn pages_are_oldest_first(stage: StoreFixture) {
    let (bert, anna) = (stage.join("bert").await, stage.join("anna").await);
    for (member, name) in [(&bert, "1"), (&anna, "2"), (&bert, "3")] {
        made(&stage, member, name, "viewer").await;
        stage.clock.advance_ms(1);
    }
    assert_eq!(names(&stage).await, ["1", "2", "3"]);
    let page = |after: Option<String>| {
        let (store, account, bert) = (&stage.store, &stage.acme, id("bert"));
        async move { store.api_tokens(account, Some(&bert), after.as_deref(), 1).await }
    };
    let first = page(None).await.unwrap();
    assert_eq!(first.items[0].name.as_str(), "1");
    let second = page(first.next).await.unwrap();
    assert_eq!((second.items[0].name.as_str(), second.next), ("3", None));
    assert_eq!(refused(page(Some("nonsense".into())).await), (Kind::Invalid, "invalid"));
}
