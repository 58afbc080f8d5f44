//! The file after a long history: no secret in clear, and personal data only where it can be
//! erased; and a file of an older layout still works.

use std::path::Path;

use kwic_team::clock::Clock;
use kwic_team::domain::{
    Email, Member, SendOutcome, Session, SessionId, Timestamp, Token, Version,
};
use kwic_team::store::Store;
use kwic_team::store::requests_and_views::invites::{
    Acceptance, InviteEdit, NewInvite, NewInviteLink,
};
use kwic_team::store::requests_and_views::one_time_links::NewOneTimeLink;
use kwic_team::store::requests_and_views::sessions::{SessionSelector, SignIn};
use redb::{ReadableDatabase, ReadableTable};

use crate::support::first_layout_store::of_layout_1;
use crate::support::store_fixture::{
    BY, MINUTE, NOW, StoreFixture, by, bytes, id, invite_id, name, password, refused, shown, slug,
    to_address, to_role, where_administer,
};

fn token(text: &str) -> Token {
    let [half, other] = [bytes(text), bytes(&format!("{text} other half"))];
    let mut whole = [0; 32];
    whole[..16].copy_from_slice(&half);
    whole[16..].copy_from_slice(&other);
    Token::from_bytes(whole)
}

fn invitation(stage: &StoreFixture, local: &str, generation: u32) -> NewInvite {
    let link = stage.invite_link(local, generation);
    NewInvite {
        email: Email::parse(&format!("unmistakable.{local}@example.org")).unwrap(),
        first_name: name("Zaphodia"),
        link: NewInviteLink { token: token(local).hash(), ..link },
        ..stage.new_invite(local)
    }
}

fn link(stage: &StoreFixture, text: &str) -> NewOneTimeLink {
    NewOneTimeLink { token: token(text).hash(), ..stage.link(text) }
}

async fn begin(stage: &StoreFixture, member: &Member, text: &str) {
    let session = Session {
        id: SessionId::from_random(bytes(text)),
        token: token(text).hash(),
        ..stage.session(member, text)
    };
    let sign_in = SignIn { session, failures_before: 1, ..stage.sign_in(member, text) };
    stage.store.session_begin(sign_in).await.unwrap();
}

/// Somebody joins, invites, signs in, moves, and is removed.
async fn story(stage: &StoreFixture) -> Vec<Token> {
    let store = &stage.store;
    store.invite_create(&BY, invitation(stage, "zed", 1)).await.unwrap();
    let claimed = stage.claim().await;
    store.letter_settle(&claimed[0], SendOutcome::Taken { detail: "250".into() }).await.unwrap();
    let acceptance = Acceptance {
        token: token("zed").hash(),
        member: id("zed"),
        password: password("zed"),
        judged: None,
        inviter: None,
    };
    let zed = store.invite_accept(acceptance).await.unwrap().value;
    store.invite_create(&by(&zed), invitation(stage, "friend", 1)).await.unwrap();
    let friend = invite_id("friend");
    stage.clock.advance_ms(MINUTE);
    let moved = NewInviteLink { token: token("moved").hash(), ..stage.invite_link("friend", 2) };
    let edit = InviteEdit {
        email: Some(Email::parse("unmistakable.pal@example.org").unwrap()),
        link: Some(moved),
        first_name: Some(name("Zaphodina")),
        ..InviteEdit::default()
    };
    store.invite_edit(&BY, stage.invite_target(&friend), edit).await.unwrap();
    store
        .invite_wanted(token("friend").hash(), stage.notice().map(|new| (zed.clone(), new)))
        .await
        .unwrap();
    begin(stage, &zed, "session").await;
    begin(stage, &zed, "session2").await;
    store.sign_in_slowed(&zed, 10).await.unwrap();
    let target = stage.target(&zed.id);
    store
        .sessions_end(&BY, target, SessionSelector::One(SessionId::from_random(bytes("session2"))))
        .await
        .unwrap();
    let to = Email::parse("unmistakable.new@example.org").unwrap();
    let links = [link(stage, "old"), link(stage, "new")];
    store.email_change_begin(target, shown("zed"), to, links).await.unwrap();
    store.email_change_confirm(token("old").hash(), None).await.unwrap();
    store.email_change_confirm(token("new").hash(), stage.notice()).await.unwrap();
    store.reset_begin(&BY, target, link(stage, "reset")).await.unwrap();
    store.reset_end(token("reset").hash(), password("zed2"), stage.notice()).await.unwrap();
    store.member_edit(&BY, target, to_role("viewer")).await.unwrap();
    store.member_suspend(&BY, target).await.unwrap();
    store.member_restore(&BY, target).await.unwrap();
    store.member_remove(&BY, target).await.unwrap();
    ["zed", "friend", "moved", "session", "session2", "old", "new", "reset"].map(token).into()
}

async fn told(file: &Path) -> Vec<Token> {
    story(&StoreFixture::in_file(file).await).await
}

#[tokio::test]
async fn personal_data_stands_only_where_it_can_be_erased() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.redb");
    told(&file).await;
    let database = redb::Database::open(&file).unwrap();
    let tx = database.begin_read().unwrap();
    let said = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        ["unmistakable", "Zaphodi", "192.0.2.7", "Lynx"].iter().any(|word| text.contains(word))
    };
    let mut rows = 0;
    for row in tx.open_table(super::AUDIT).unwrap().iter().unwrap() {
        let (_, bytes) = row.unwrap();
        let text = String::from_utf8_lossy(bytes.value()).into_owned();
        assert!(!said(bytes.value()), "a header names a person: {text}");
        rows += 1;
    }
    assert!(rows > 20, "a short story of {rows} entries");
    let personal = tx.open_table(super::PERSONAL).unwrap();
    let told = personal.iter().unwrap().filter(|row| said(row.as_ref().unwrap().1.value()));
    assert!(told.count() > 8);
}

#[tokio::test]
async fn the_file_holds_no_token_in_clear() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.redb");
    let tokens = told(&file).await;
    let bytes = std::fs::read(&file).unwrap();
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|part| part == needle);
    for token in tokens {
        assert!(!holds(token.expose().as_bytes()), "a token stands in the file");
    }
    assert!(holds(b"unmistakable.zed@example.org"), "nothing is found, whatever is there");
}

#[tokio::test]
async fn a_file_of_the_first_layout_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.redb");
    of_layout_1(&redb::Database::create(&file).unwrap());
    for round in 0..2 {
        let store = Store::open(&file, 8, Clock::fixed(NOW)).await.unwrap();
        assert_eq!(store.revision().await.unwrap().0, 3, "opening is no change");
        let account = store.account(&slug("acme")).await.unwrap().unwrap();
        assert_eq!((account.version, account.invite_lifetime), (Version(3), None));
        let page = store.members(&slug("acme"), &Default::default(), None, 10).await.unwrap();
        assert_eq!(page.items.len(), 3, "round {round}");
        assert_eq!(page.items[0].joined, Timestamp(-1));
        let kept = store.policies_last_good().await.unwrap().unwrap();
        let history = store.policy_history(None, 10).await.unwrap().items;
        let known: Vec<_> = history.iter().map(|entry| (entry.number, entry.digest)).collect();
        assert_eq!(known, [(1, kept.digest)], "the history begins with what was live");
        assert_eq!(store.mail_status(None).await.unwrap().counts, []);
    }
    let store = Store::open(&file, 8, Clock::fixed(NOW)).await.unwrap();
    let acme = slug("acme");
    let target = |id| kwic_team::store::MemberTarget { account: &acme, id, expected: None };
    let chiefs = where_administer(&["operator"]);
    let (m1, m2, m3) = (id("m1"), id("m2"), id("m3"));
    // Two active ones were counted: one may go.
    store.member_edit(&chiefs, target(&m1), to_role("viewer")).await.unwrap();
    let last = store.member_remove(&chiefs, target(&m3)).await;
    assert_eq!(refused(last).1, "last_administrator");
    let taken = store.member_edit(&chiefs, target(&m2), to_address("m3")).await;
    assert_eq!(refused(taken).1, "already_member");
    store.member_suspend(&BY, target(&m1)).await.unwrap();
    assert_eq!(store.audit_verify(Some(&acme)).await.unwrap().fault, None);
}
