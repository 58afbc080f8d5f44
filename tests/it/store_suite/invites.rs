//! Rules of invites: what they reserve, which link works, who can be invited, and how often.

use kwic_team::domain::{
    Actor, ChangedRecord, DeliveryState, Digest, Generation, InviteOutcome, InviteState, Kind,
    MailKind, Member, Timestamp, Version,
};
use kwic_team::store::preconditions::MOVED_ON;
use kwic_team::store::requests_and_views::invites::{
    Acceptance, Idempotency, InviteEdit, InviteFilter, InviteTarget, NewInvite, NewInviteLink,
};
use kwic_team::store::{ImportRow, MemberEdit, Preconditions};

use crate::support::store_fixture::{
    BY, DAY, HOUR, LIFETIME, MINUTE, NOW, StoreFixture, address, by, email, hash, id, invite_id,
    key, member, name, password, refused, role, shown, slug, to_address,
};

store_rules!(
    an_invite_is_one_change_with_its_letter_and_its_entry,
    a_repeated_call_answers_the_invite_of_the_first,
    one_address_gets_few_invites,
    one_inviter_and_one_account_send_so_many,
    a_new_link_kills_the_one_before,
    an_invite_is_corrected,
    a_member_who_shows_a_link_becomes_the_inviter,
    a_new_address_takes_the_link_with_it,
    a_link_is_shown_without_a_change_or_with_a_new_one,
    what_is_revoked_is_over_and_frees_its_address,
    joining_makes_a_member_once,
    the_inviter_must_still_have_the_right,
    a_dead_link_asks_for_a_new_one,
    an_invite_is_touched_only_in_its_account_and_its_version,
    pages_hold_every_invite_once_newest_first,
    an_address_is_a_members_or_an_open_invites,
    an_expired_invite_gives_way_to_everybody,
);

async fn an_invite_is_one_change_with_its_letter_and_its_entry(stage: StoreFixture) {
    let made = stage.store.invite_create(&BY, stage.new_invite("bo")).await.unwrap();
    let invite = &made.value.invite;
    assert_eq!(
        (invite.generation, invite.version, invite.created, invite.expires),
        (Generation::FIRST, Version::FIRST, NOW, stage.later(LIFETIME))
    );
    assert_eq!(invite.state(NOW), InviteState::Pending);
    assert_eq!(made.value.delivery.state, DeliveryState::Queued);
    assert_eq!(
        (made.value.previously_removed, invite.inviter.label().as_str()),
        (None, "sidecar:7")
    );
    let told = stage.told();
    assert_eq!((told.len(), told[0].revision), (1, made.revision));
    assert_eq!(told[0].rows, [ChangedRecord::LetterQueued]);
    let (actor, event, target) = stage.last_event().await;
    assert_eq!((actor.as_str(), event.as_str()), ("sidecar:7", "invite_created"));
    assert_eq!(target, invite.id.as_str());
    let found = stage.store.invite_by_token(hash("bo 1")).await.unwrap();
    assert_eq!(found, Some((invite.clone(), Generation::FIRST)));
    assert_eq!(stage.store.invite_by_token(hash("nonsense")).await.unwrap(), None);
    let [letter] = &stage.letters().await[..] else { panic!("not one letter") };
    assert_eq!((Some(letter.id), letter.to.as_str()), (invite.letter, "bo@example.org"));
    // Where no mail is sent, there is none to tell of.
    let mut silent = stage.new_invite("cy");
    silent.link.letter = None;
    let made = stage.store.invite_create(&BY, silent).await.unwrap().value;
    assert_eq!((made.invite.letter, made.delivery.state), (None, DeliveryState::None));
    assert!(stage.told()[0].rows.is_empty());
    let nowhere = NewInvite { account: slug("nobody"), ..stage.new_invite("di") };
    let nowhere = stage.store.invite_create(&BY, nowhere).await;
    assert_eq!(refused(nowhere), (Kind::NotFound, "unknown_account"));
}

/// Every way to take an address of `acme`, tried; `anna` is a member. The codes of those refused.
async fn taken(stage: &StoreFixture, wanted: &str) -> Vec<(Kind, &'static str)> {
    let (store, anna) = (&stage.store, id("anna"));
    let target = stage.target(&anna);
    let new = Member { email: address(wanted), ..member("acme", "newcomer") };
    let row = ImportRow { line: 2, member: new.clone() };
    let imported = stage.import(vec![vec![row]], true).await.map_err(|refusal| {
        assert_eq!(refusal.fields.len(), 1, "{refusal}");
        refusal
    });
    let (old, mail) = (stage.link("old"), stage.link("new"));
    vec![
        refused(store.member_create(&crate::support::store_fixture::ACTOR, new).await),
        refused(imported),
        refused(store.member_edit(&BY, target, to_address(wanted)).await),
        refused(
            store
                .email_change_begin(target, shown(target.id.as_str()), address(wanted), [old, mail])
                .await,
        ),
    ]
}

/// The invite to somebody at another one's address.
fn elsewhere(stage: &StoreFixture, name: &str, at: &str) -> NewInvite {
    NewInvite { email: address(at), ..stage.new_invite(name) }
}

async fn an_address_is_a_members_or_an_open_invites(stage: StoreFixture) {
    stage.create("anna").await;
    stage.create("carl").await;
    stage.invite("bo").await;
    let (conflict, refused_import) = (Kind::Conflict, (Kind::Invalid, "import_refused"));
    let all = |code| vec![(conflict, code), refused_import, (conflict, code), (conflict, code)];
    assert_eq!(taken(&stage, "bo").await, all("already_invited"));
    assert_eq!(taken(&stage, "carl").await, all("already_member"));
    let invited = stage.store.invite_create(&BY, elsewhere(&stage, "x", "BO")).await.unwrap_err();
    assert_eq!((invited.kind, invited.code), (conflict, "already_invited"));
    let until = kwic_team::clock::rfc3339(stage.later(LIFETIME));
    for said in [kwic_team::clock::rfc3339(NOW).as_str(), &until, "resend", "edit"] {
        assert!(invited.public.contains(said), "{invited} does not say {said}");
    }
    let member = stage.store.invite_create(&BY, elsewhere(&stage, "x", "carl")).await.unwrap_err();
    assert_eq!((member.kind, member.code), (conflict, "already_member"));
    for said in ["Ann Lee", "`operator`", "role"] {
        assert!(member.public.contains(said), "{member} does not say {said}");
    }
    stage.store.member_suspend(&BY, stage.target(&id("carl"))).await.unwrap();
    let asleep = stage.store.invite_create(&BY, elsewhere(&stage, "x", "carl")).await.unwrap_err();
    assert_eq!((asleep.kind, asleep.code), (conflict, "suspended_member"));
    assert!(asleep.public.contains("restore"), "{asleep}");
    // On another account, the address is somebody else's.
    let there = NewInvite { account: slug("globex"), ..elsewhere(&stage, "x", "bo") };
    stage.store.invite_create(&BY, there).await.unwrap();
}

async fn an_expired_invite_gives_way_to_everybody(stage: StoreFixture) {
    stage.join("anna").await;
    let names = ["a", "b", "c", "d", "e", "f"];
    for name in names {
        stage.invite(name).await;
    }
    stage.clock.advance_ms(LIFETIME);
    assert_eq!(stage.invited("a").await.invite.state(stage.clock.now()), InviteState::Expired);
    let (store, anna) = (&stage.store, id("anna"));
    let target = stage.target(&anna);
    store.member_create(&crate::support::store_fixture::ACTOR, member("acme", "a")).await.unwrap();
    let row = ImportRow { line: 2, member: member("acme", "b") };
    stage.import(vec![vec![row]], true).await.unwrap();
    store.member_edit(&BY, target, to_address("c")).await.unwrap();
    store.invite_create(&BY, elsewhere(&stage, "x", "d")).await.unwrap();
    let x = invite_id("x");
    let edit = InviteEdit {
        email: Some(address("e")),
        link: Some(stage.invite_link("x", 2)),
        ..InviteEdit::default()
    };
    store.invite_edit(&BY, stage.invite_target(&x), edit).await.unwrap();
    store
        .email_change_begin(
            target,
            shown(target.id.as_str()),
            address("f"),
            [stage.link("old"), stage.link("new")],
        )
        .await
        .unwrap();
    assert_eq!(
        stage.invited("f").await.invite.fate,
        InviteOutcome::Open,
        "ended before anybody confirmed"
    );
    store.email_change_confirm(hash("old"), None).await.unwrap();
    store.email_change_confirm(hash("new"), None).await.unwrap();
    for name in names {
        let invite = stage.invited(name).await.invite;
        assert_eq!(invite.fate, InviteOutcome::Revoked { at: stage.clock.now() }, "{name}");
        let ended = ("invite_revoked".to_owned(), invite.id.as_str().to_owned());
        let events = stage.events().await;
        let said =
            events.iter().filter(|(_, event, target)| (event, target) == (&ended.0, &ended.1));
        assert_eq!(said.count(), 1, "{name}");
        let renewed = store
            .invite_renew(&BY, stage.invite_target(&invite.id), stage.invite_link(name, 2))
            .await;
        assert_eq!(refused(renewed), (Kind::Conflict, "invite_revoked"));
    }
}

async fn a_repeated_call_answers_the_invite_of_the_first(stage: StoreFixture) {
    let with_key = |stage: &StoreFixture, name: &str, request: &str| NewInvite {
        idempotency: Some(Idempotency {
            key: key("k"),
            request: Digest::of(&[request.as_bytes()]),
        }),
        ..stage.new_invite(name)
    };
    let anna = stage.create("anna").await;
    let first = stage.store.invite_create(&by(&anna), with_key(&stage, "bo", "one")).await.unwrap();
    stage.told();
    // The caller has made a new id and a new link for the same person.
    let again = NewInvite { email: address("bo"), ..with_key(&stage, "other", "one") };
    let repeated = stage.store.invite_create(&by(&anna), again).await.unwrap();
    assert_eq!(repeated, first);
    assert!(stage.told().is_empty() && stage.letters().await.len() == 1);
    let reused = stage.store.invite_create(&by(&anna), with_key(&stage, "cy", "two")).await;
    assert_eq!(refused(reused), (Kind::Conflict, "idempotency_key_reused"));
    // Another caller's key is another key.
    stage.store.invite_create(&BY, with_key(&stage, "cy", "two")).await.unwrap();
    stage.clock.advance_ms(DAY - 1);
    let late = stage.store.invite_create(&by(&anna), with_key(&stage, "di", "two")).await;
    assert_eq!(refused(late), (Kind::Conflict, "idempotency_key_reused"));
    stage.clock.advance_ms(1);
    stage.store.invite_create(&by(&anna), with_key(&stage, "di", "two")).await.unwrap();
    let known = stage.store.invite_create(&by(&anna), with_key(&stage, "ed", "two")).await.unwrap();
    assert_eq!(known.value.invite.id, invite_id("di"));
}

/// The wait in seconds of a refusal for asking too often.
fn wait<T: std::fmt::Debug>(result: Result<T, kwic_team::domain::Failure>) -> u64 {
    let failure = result.expect_err("was taken");
    assert_eq!((failure.kind, failure.code), (Kind::TooMany, "too_many_invites"));
    failure.retry_after.unwrap()
}

async fn one_address_gets_few_invites(stage: StoreFixture) {
    stage.invite("bo").await;
    let (store, bo) = (&stage.store, invite_id("bo"));
    let target = stage.invite_target(&bo);
    stage.clock.advance_ms(MINUTE - 1_500);
    let renew = |generation| store.invite_renew(&BY, target, stage.invite_link("bo", generation));
    assert_eq!(wait(renew(2).await), 2, "the operator of the sidecar is bound by this, too");
    let edit = |to: &str, generation| InviteEdit {
        email: Some(address(to)),
        link: Some(stage.invite_link("bo", generation)),
        ..InviteEdit::default()
    };
    // Another spelling of the address is the same mailbox; another account is other people.
    let spelled = store.invite_edit(&BY, target, edit("BO", 2)).await;
    assert_eq!(wait(spelled), 2);
    let there = NewInvite { account: slug("globex"), ..elsewhere(&stage, "x", "bo") };
    store.invite_create(&BY, there).await.unwrap();
    stage.clock.advance_ms(1_500);
    for generation in 2..=5 {
        renew(generation).await.unwrap();
        stage.clock.advance_ms(MINUTE);
    }
    // What was refused did not count: these were five.
    let left = u64::try_from((DAY - 5 * MINUTE) / 1_000).unwrap();
    assert_eq!(wait(renew(6).await), left);
    store.invite_edit(&BY, target, edit("elsewhere", 6)).await.unwrap();
    assert_eq!(wait(store.invite_edit(&BY, target, edit("bo", 7)).await), left);
    stage.clock.advance_ms(DAY - 5 * MINUTE);
    store.invite_edit(&BY, target, edit("bo", 7)).await.unwrap();
}

async fn one_inviter_and_one_account_send_so_many(stage: StoreFixture) {
    let anna = stage.create("anna").await;
    let bert = stage.create("bert").await;
    let carl = stage.create("carl").await;
    let send = |by: Preconditions, name: String| {
        let (store, new) = (stage.store.clone(), stage.new_invite(&name));
        async move { store.invite_create(&by, new).await }
    };
    for number in 0..200 {
        send(by(&anna), format!("a{number}")).await.unwrap();
        send(by(&bert), format!("b{number}")).await.unwrap();
    }
    stage.clock.advance_ms(HOUR - 1_000);
    assert_eq!(wait(send(by(&anna), "more".into()).await), 1);
    for number in 0..100 {
        send(by(&carl), format!("c{number}")).await.unwrap();
    }
    let day = u64::try_from((DAY - HOUR) / 1_000 + 1).unwrap();
    assert_eq!(wait(send(by(&carl), "more".into()).await), day);
    // The operator of the sidecar moves whole teams.
    send(BY.clone(), "more".into()).await.unwrap();
    stage.clock.advance_ms(DAY);
    send(by(&anna), "next".into()).await.unwrap();
}

async fn a_new_link_kills_the_one_before(stage: StoreFixture) {
    stage.invite("bo").await;
    let (store, bo) = (&stage.store, invite_id("bo"));
    let target = stage.invite_target(&bo);
    stage.clock.advance_ms(MINUTE);
    for generation in [0, 1, 3] {
        let wrong = store.invite_renew(&BY, target, stage.invite_link("bo", generation)).await;
        assert_eq!(refused(wrong), (Kind::Conflict, MOVED_ON), "generation {generation}");
    }
    let renewed = store.invite_renew(&BY, target, stage.invite_link("bo", 2)).await.unwrap();
    let invite = renewed.value.invite;
    assert_eq!((invite.version, invite.sent), (Version(2), stage.clock.now()));
    assert_eq!(invite.expires, stage.later(LIFETIME));
    let [letter] = &stage.letters().await[..] else { panic!("the old letter still waits") };
    let kind = MailKind::Invite { invite: bo.clone(), generation: Generation(2) };
    assert_eq!((letter.kind.clone(), Some(letter.id)), (kind, invite.letter));
    let old = store.invite_by_token(hash("bo 1")).await.unwrap();
    assert_eq!(old, Some((invite, Generation(1))), "a dead link is told from nonsense");
    let dead = store.invite_accept(stage.acceptance("bo")).await;
    assert_eq!(refused(dead), (Kind::Gone, "invite_replaced"));
    assert_eq!(stage.last_event().await.1, "invite_resent");
    // An expired one opens again.
    stage.clock.advance_ms(LIFETIME);
    let new = Acceptance { token: hash("bo 2"), ..stage.acceptance("bo") };
    assert_eq!(refused(store.invite_accept(new).await), (Kind::Gone, "invite_expired"));
    store.invite_renew(&BY, target, stage.invite_link("bo", 3)).await.unwrap();
    let new = Acceptance { token: hash("bo 3"), ..stage.acceptance("bo") };
    store.invite_accept(new).await.unwrap();
    let late = store.invite_renew(&BY, target, stage.invite_link("bo", 4)).await;
    assert_eq!(refused(late), (Kind::Conflict, "invite_accepted"));
    stage.told();
}

async fn an_invite_is_corrected(stage: StoreFixture) {
    let before = stage.invite("bo").await;
    let (store, bo) = (&stage.store, invite_id("bo"));
    let target = stage.invite_target(&bo);
    let edit = InviteEdit {
        first_name: Some(name("Bob")),
        role: Some(role("viewer")),
        ..InviteEdit::default()
    };
    let edited = store.invite_edit(&BY, target, edit.clone()).await.unwrap();
    let invite = &edited.value.invite;
    assert_eq!((invite.first_name.as_str(), invite.role.as_str()), ("Bob", "viewer"));
    assert_eq!(
        (invite.version, invite.generation, invite.letter),
        (Version(2), Generation::FIRST, before.invite.letter)
    );
    let same = store.invite_edit(&BY, target, edit).await.unwrap();
    assert_eq!(same, edited, "an edit that changes nothing took a revision");
    // The own address is no other one, and needs no new link.
    let own = InviteEdit {
        email: Some(address("bo")),
        link: Some(stage.invite_link("bo", 2)),
        ..InviteEdit::default()
    };
    assert_eq!(store.invite_edit(&BY, target, own).await.unwrap(), edited);
    assert_eq!(stage.last_event().await.1, "invite_updated");
    // A check of the earlier version is repeated.
    let early = Acceptance { judged: Some(Version(1)), ..stage.acceptance("bo") };
    assert_eq!(refused(store.invite_accept(early).await), (Kind::Conflict, MOVED_ON));
    let judged = Some(invite.version);
    let acceptance = Acceptance { judged, ..stage.acceptance("bo") };
    let joined = store.invite_accept(acceptance).await.unwrap().value;
    assert_eq!((joined.role.as_str(), joined.first_name.as_str()), ("viewer", "Bob"));
}

async fn a_member_who_shows_a_link_becomes_the_inviter(stage: StoreFixture) {
    let (ann, eve) = (stage.create("anna").await, stage.create("eve").await);
    stage.invite_by(&by(&ann), "bo").await;
    let (store, bo) = (&stage.store, invite_id("bo"));
    let target = stage.invite_target(&bo);
    // Another member sees no link but one of the own.
    let seen = store.invite_link_shown(&by(&eve), target, None).await;
    assert_eq!(refused(seen), (Kind::Conflict, MOVED_ON));
    let role_alone = InviteEdit { role: Some(role("viewer")), ..InviteEdit::default() };
    stage.clock.advance_ms(60_000);
    let raised = store.invite_edit(&by(&eve), target, role_alone.clone()).await;
    assert_eq!(refused(raised), (Kind::Conflict, MOVED_ON));
    let link = Some(stage.invite_link("bo", 2));
    let shown = store.invite_link_shown(&by(&eve), target, link).await.unwrap().value;
    assert_eq!(shown.invite.inviter, Actor::Member(eve.id.clone()));
    let old = store.invite_accept(stage.acceptance("bo")).await;
    assert_eq!(refused(old), (Kind::Gone, "invite_replaced"));
    // The one who sent it first may go; it ends with the one who holds its link.
    let gone = store.member_remove(&BY, stage.target(&ann.id)).await.unwrap().value;
    assert_eq!(gone.invites_cancelled, 0);
    // The own one may raise the role, under the same link.
    store.invite_edit(&by(&eve), target, role_alone).await.unwrap();
    let gone = store.member_remove(&BY, stage.target(&eve.id)).await.unwrap().value;
    assert_eq!(gone.invites_cancelled, 1);
}

async fn a_new_address_takes_the_link_with_it(stage: StoreFixture) {
    stage.invite("bo").await;
    stage.invite("cy").await;
    stage.create("anna").await;
    let (store, bo) = (&stage.store, invite_id("bo"));
    let target = stage.invite_target(&bo);
    let to = |to: &str, generation| InviteEdit {
        email: Some(email(to)),
        link: Some(stage.invite_link("bo", generation)),
        ..InviteEdit::default()
    };
    for (taken, code) in
        [("cy@example.org", "already_invited"), ("anna@example.org", "already_member")]
    {
        let refusal = store.invite_edit(&BY, target, to(taken, 2)).await;
        assert_eq!(refused(refusal), (Kind::Conflict, code));
    }
    let skipped = store.invite_edit(&BY, target, to("bob@example.org", 3)).await;
    assert_eq!(refused(skipped), (Kind::Conflict, MOVED_ON));
    let moved = store.invite_edit(&BY, target, to("bob@example.org", 2)).await.unwrap().value;
    assert_eq!(
        (moved.invite.generation, moved.invite.email.as_str()),
        (Generation(2), "bob@example.org")
    );
    let old = store.invite_accept(stage.acceptance("bo")).await;
    assert_eq!(
        refused(old),
        (Kind::Gone, "invite_replaced"),
        "the mistyped address opens the door"
    );
    let to: Vec<_> = stage.letters().await.into_iter().map(|letter| letter.to).collect();
    assert_eq!(to, [address("cy"), email("bob@example.org")]);
    stage.create("bo").await;
    let held = stage.store.invite_create(&BY, elsewhere(&stage, "x", "bob")).await;
    assert_eq!(refused(held), (Kind::Conflict, "already_invited"));
}

async fn a_link_is_shown_without_a_change_or_with_a_new_one(stage: StoreFixture) {
    let before = stage.invite("bo").await;
    let (store, bo) = (&stage.store, invite_id("bo"));
    let target = stage.invite_target(&bo);
    let shown = store.invite_link_shown(&BY, target, None).await.unwrap();
    assert_eq!(shown.value, before);
    assert_eq!((stage.last_event().await.1.as_str(), shown.revision.0), ("invite_link_shown", 4));
    stage.clock.advance_ms(LIFETIME);
    let late = store.invite_link_shown(&BY, target, None).await;
    assert_eq!(refused(late), (Kind::Conflict, MOVED_ON));
    let renewed = NewInviteLink { letter: None, ..stage.invite_link("bo", 2) };
    let shown = store.invite_link_shown(&BY, target, Some(renewed.clone())).await.unwrap().value;
    assert_eq!((shown.invite.generation, shown.invite.letter), (Generation(2), None));
    let twice = store.invite_link_shown(&BY, target, Some(renewed)).await;
    assert_eq!(refused(twice), (Kind::Conflict, MOVED_ON));
    let new = Acceptance { token: hash("bo 2"), ..stage.acceptance("bo") };
    store.invite_accept(new).await.unwrap();
}

async fn what_is_revoked_is_over_and_frees_its_address(stage: StoreFixture) {
    stage.invite("bo").await;
    stage.told();
    let (store, bo) = (&stage.store, invite_id("bo"));
    let target = stage.invite_target(&bo);
    let revoked = store.invite_revoke(&BY, target).await.unwrap().value;
    assert_eq!(revoked.invite.fate, InviteOutcome::Revoked { at: NOW });
    assert!(stage.letters().await.is_empty(), "the letter still waits");
    let again = [
        refused(store.invite_revoke(&BY, target).await),
        refused(store.invite_link_shown(&BY, target, None).await),
        refused(store.invite_edit(&BY, target, InviteEdit::default()).await),
    ];
    assert_eq!(again, [(Kind::Conflict, "invite_revoked"); 3]);
    let dead = store.invite_accept(stage.acceptance("bo")).await;
    assert_eq!(refused(dead), (Kind::Gone, "invite_revoked"));
    let entry = ("sidecar:7".to_owned(), "invite_revoked".to_owned(), bo.as_str().to_owned());
    assert_eq!(stage.last_event().await, entry);
    stage.create("bo").await;
    stage.told();
}

async fn joining_makes_a_member_once(stage: StoreFixture) {
    stage.invite("bo").await;
    stage.create("taken").await;
    stage.told();
    let (store, bo) = (&stage.store, invite_id("bo"));
    let nonsense = Acceptance { token: hash("nonsense"), ..stage.acceptance("bo") };
    assert_eq!(refused(store.invite_accept(nonsense).await), (Kind::Gone, "link_dead"));
    let no_id = Acceptance { member: id("taken"), ..stage.acceptance("bo") };
    assert_eq!(refused(store.invite_accept(no_id).await), (Kind::Conflict, "id_taken"));
    stage.clock.advance_ms(MINUTE);
    let joined = store.invite_accept(stage.acceptance("bo")).await.unwrap();
    let (_, member) = (joined.revision, joined.value);
    assert_eq!((member.joined, member.version), (stage.clock.now(), Version::FIRST));
    assert_eq!((member.email.as_str(), member.role.as_str()), ("bo@example.org", "operator"));
    let told = stage.told();
    assert_eq!((told.len(), &told[0].rows[..]), (1, &[ChangedRecord::Member(member.clone())][..]));
    let fate = InviteOutcome::Accepted { member: member.id.clone(), at: stage.clock.now() };
    assert_eq!(stage.invited("bo").await.invite.fate, fate);
    assert!(stage.letters().await.is_empty(), "the letter still waits");
    let credential = store.credential(&member.id).await.unwrap().unwrap();
    assert_eq!(credential.password, password("bo"));
    let found = store.member_by_email(&stage.acme, "bo@example.org").await.unwrap();
    assert_eq!(found, Some(member));
    let twice = Acceptance { member: id("second"), ..stage.acceptance("bo") };
    assert_eq!(refused(store.invite_accept(twice).await), (Kind::Gone, "invite_accepted"));
    let page = store.audit(Some(&stage.acme), &Default::default(), None, 100).await.unwrap();
    let entries: Vec<_> = page.items.iter().rev().take(2).collect();
    let actor = format!("invite:{bo}");
    assert!(entries.iter().all(|entry| entry.actor == actor));
    assert_eq!(
        (entries[1].event.as_str(), entries[1].target.as_str()),
        ("invite_accepted", bo.as_str())
    );
    assert_eq!((entries[0].event.as_str(), entries[0].target.as_str()), ("user_created", "bo"));
}

async fn the_inviter_must_still_have_the_right(stage: StoreFixture) {
    let anna = stage.create("anna").await;
    stage.invite_by(&by(&anna), "bo").await;
    let judged = |member: &Member| Acceptance {
        inviter: Some((member.id.clone(), member.version)),
        ..stage.acceptance("bo")
    };
    let store = &stage.store;
    let edit = MemberEdit { first_name: Some(name("X")), ..MemberEdit::default() };
    let changed = store.member_edit(&BY, stage.target(&anna.id), edit).await.unwrap().value;
    let bert = stage.create("bert").await;
    let by_nobody = stage.acceptance("bo");
    for (what, acceptance) in
        [("before", judged(&anna)), ("somebody else", judged(&bert)), ("nobody", by_nobody)]
    {
        let refusal = refused(store.invite_accept(acceptance).await);
        assert_eq!(refusal, (Kind::Conflict, MOVED_ON), "judged {what}");
    }
    let asleep = store.member_suspend(&BY, stage.target(&anna.id)).await.unwrap().value;
    for member in [&changed, &asleep] {
        let refusal = refused(store.invite_accept(judged(member)).await);
        assert_eq!(refusal, (Kind::Conflict, MOVED_ON));
    }
    let awake = store.member_restore(&BY, stage.target(&anna.id)).await.unwrap().value;
    store.invite_accept(judged(&awake)).await.unwrap();
    // An invite that no member sent depends on no member's right.
    stage.invite("cy").await;
    let strange = Acceptance { inviter: Some((awake.id, awake.version)), ..stage.acceptance("cy") };
    assert_eq!(refused(store.invite_accept(strange).await), (Kind::Conflict, MOVED_ON));
    store.invite_accept(stage.acceptance("cy")).await.unwrap();
}

async fn a_dead_link_asks_for_a_new_one(stage: StoreFixture) {
    let anna = stage.create("anna").await;
    stage.invite_by(&by(&anna), "bo").await;
    stage.claim().await;
    stage.clock.advance_ms(LIFETIME);
    let (store, bo) = (&stage.store, invite_id("bo"));
    let nonsense = store.invite_wanted(hash("nonsense"), None).await;
    assert_eq!(refused(nonsense), (Kind::Gone, "link_dead"));
    let wanted = |reader: &Member| {
        store.invite_wanted(hash("bo 1"), stage.notice().map(|letter| (reader.clone(), letter)))
    };
    wanted(&anna).await.unwrap();
    let entry = (format!("invite:{bo}"), "invite_wanted".to_owned(), bo.as_str().to_owned());
    assert_eq!(stage.last_event().await, entry);
    let waiting = || async {
        let letters = stage.letters().await;
        let kind = MailKind::InviteWanted { invite: bo.clone() };
        letters
            .into_iter()
            .filter(|letter| letter.kind == kind)
            .map(|letter| letter.to)
            .collect::<Vec<_>>()
    };
    assert_eq!(waiting().await, [address("anna")]);
    // To the address that the reader has now; one letter at a time.
    store.member_edit(&BY, stage.target(&anna.id), to_address("anna2")).await.unwrap();
    wanted(&anna).await.unwrap();
    assert_eq!(waiting().await, [address("anna2")]);
    // What was asked for was done.
    store.invite_renew(&BY, stage.invite_target(&bo), stage.invite_link("bo", 2)).await.unwrap();
    assert_eq!(waiting().await, []);
    // Nobody is written to who cannot do anything.
    store.member_suspend(&BY, stage.target(&anna.id)).await.unwrap();
    wanted(&anna).await.unwrap();
    assert_eq!(waiting().await, []);
    assert_eq!(stage.last_event().await.1, "invite_wanted");
}

async fn an_invite_is_touched_only_in_its_account_and_its_version(stage: StoreFixture) {
    stage.invite("bo").await;
    let (store, bo, ghost, globex) =
        (&stage.store, invite_id("bo"), invite_id("ghost"), slug("globex"));
    let edit = InviteEdit { first_name: Some(name("Bob")), ..InviteEdit::default() };
    store.invite_edit(&BY, stage.invite_target(&bo), edit.clone()).await.unwrap();
    stage.clock.advance_ms(MINUTE);
    let own = stage.invite_target(&bo);
    for (target, answer) in [
        (InviteTarget { account: &globex, ..own }, (Kind::NotFound, "unknown_invite")),
        (stage.invite_target(&ghost), (Kind::NotFound, "unknown_invite")),
        (InviteTarget { expected: Some(Version(1)), ..own }, (Kind::Stale, "stale")),
        (InviteTarget { expected: Some(Version(3)), ..own }, (Kind::Stale, "stale")),
    ] {
        let renewed = store.invite_renew(&BY, target, stage.invite_link("bo", 2)).await;
        assert_eq!(refused(renewed), answer);
        assert_eq!(refused(store.invite_edit(&BY, target, edit.clone()).await), answer);
        assert_eq!(refused(store.invite_link_shown(&BY, target, None).await), answer);
        assert_eq!(refused(store.invite_revoke(&BY, target).await), answer);
    }
    assert_eq!(store.invite(&globex, &bo).await.unwrap(), None);
    assert_eq!(stage.invited("bo").await.invite.version, Version(2));
    let stale = InviteTarget { expected: Some(Version(1)), ..own };
    let stale = store.invite_revoke(&BY, stale).await.unwrap_err();
    assert!(stale.public.contains("`sidecar:7`"), "{stale}");
    let fresh = InviteTarget { expected: Some(Version(2)), ..own };
    store.invite_revoke(&BY, fresh).await.unwrap();
}

async fn pages_hold_every_invite_once_newest_first(stage: StoreFixture) {
    for number in 0..25 {
        let mut new = stage.new_invite(&format!("p{number:02}"));
        new.role = role(if number % 5 == 0 { "viewer" } else { "operator" });
        stage.store.invite_create(&BY, new).await.unwrap();
        // Some are made in the same moment.
        stage.clock.advance_ms(number % 2);
    }
    let there = NewInvite { account: slug("globex"), ..stage.new_invite("there") };
    stage.store.invite_create(&BY, there).await.unwrap();
    let all = InviteFilter::default();
    let (mut after, mut seen, mut pages) = (None::<String>, Vec::new(), 0);
    loop {
        let page = stage.store.invites(&stage.acme, &all, after.as_deref(), 10).await.unwrap();
        pages += 1;
        seen.extend(page.items.into_iter().map(|view| view.invite));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((pages, seen.len()), (3, 25));
    assert!(seen.is_sorted_by_key(|invite| std::cmp::Reverse(invite.created)));
    let ids: std::collections::BTreeSet<_> = seen.iter().map(|invite| &invite.id).collect();
    assert_eq!(ids.len(), 25);
    let p01 = invite_id("p01");
    stage.store.invite_revoke(&BY, stage.invite_target(&p01)).await.unwrap();
    let count = |filter: InviteFilter| {
        let store = stage.store.clone();
        async move { store.invites(&slug("acme"), &filter, None, 100).await.unwrap().items.len() }
    };
    let search = |text: &str| InviteFilter { search: Some(text.into()), ..InviteFilter::default() };
    assert_eq!(count(search("P2")).await, 5);
    assert_eq!(count(search("bo ray")).await, 25);
    let of_role = InviteFilter { role: Some(role("viewer")), ..InviteFilter::default() };
    assert_eq!(count(of_role).await, 5);
    let in_state = |state| InviteFilter { states: vec![state], ..InviteFilter::default() };
    assert_eq!(count(in_state(InviteState::Pending)).await, 24);
    assert_eq!(count(in_state(InviteState::Revoked)).await, 1);
    stage.clock.advance_ms(LIFETIME);
    assert_eq!(count(in_state(InviteState::Expired)).await, 24);
    for cursor in ["", "x", "5", "5.x", &format!("x.{p01}")] {
        let garbage = stage.store.invites(&stage.acme, &all, Some(cursor), 10).await;
        assert_eq!(refused(garbage), (Kind::Invalid, "invalid"), "{cursor}");
    }
    let behind = format!("{}.{p01}", Timestamp(0).0);
    let page = stage.store.invites(&stage.acme, &all, Some(&behind), 10).await.unwrap();
    assert!(page.items.is_empty() && page.next.is_none());
}
