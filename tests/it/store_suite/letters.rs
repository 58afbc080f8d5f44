//! Rules of letters: one sender at a time, every result recorded, nothing obsolete sent, nothing
//! kept forever.

use std::time::Duration;

use kwic_team::domain::{
    ChangedRecord, DeliveryNotice, DeliveryState, InviteState, MailId, MailStop, QueuedMail,
    SendOutcome, SessionLimits, Timestamp,
};
use kwic_team::store::Committed;
use kwic_team::store::requests_and_views::invites::{InviteFilter, NewInvite};

use crate::support::store_fixture::{
    ACTOR, BY, DAY, LEASE, LIFETIME, MINUTE, NOW, StoreFixture, hash, invite_id, refused, slug,
};

store_rules!(
    a_letter_has_one_sender_at_a_time,
    a_start_ends_every_lease,
    who_knows_a_return_path_fills_no_log,
    every_ending_of_a_try_is_written_down,
    a_result_that_comes_too_late_changes_nothing,
    a_letter_whose_time_is_over_is_given_up,
    a_misconfiguration_stops_all_mail_and_costs_no_letter,
    what_comes_back_is_written_down_once,
    letters_are_listed_and_counted_by_account,
    what_is_long_over_is_forgotten_and_nothing_else,
);
store_rules!(alone: each_account_has_its_turn);

const LEASE_MS: i64 = 300_000;

fn taken() -> SendOutcome {
    SendOutcome::Taken { detail: "250 queued as 7".into() }
}

async fn settle(
    stage: &StoreFixture,
    claimed: &QueuedMail,
    handover: SendOutcome,
) -> Committed<()> {
    stage.store.letter_settle(claimed, handover).await.unwrap()
}

async fn letter(stage: &StoreFixture, id: MailId) -> QueuedMail {
    stage.store.letter(id).await.unwrap().unwrap()
}

async fn a_letter_has_one_sender_at_a_time(stage: StoreFixture) {
    let due = || stage.store.letter_due();
    assert_eq!(due().await.unwrap(), None);
    for name in ["a", "b", "c"] {
        stage.invite(name).await;
    }
    assert_eq!(due().await.unwrap(), Some(NOW));
    let revision = stage.revision().await;
    let first = stage.store.letters_claim(2, LEASE).await.unwrap();
    let rest = stage.store.letters_claim(2, LEASE).await.unwrap();
    let ids = |letters: &[QueuedMail]| letters.iter().map(|letter| letter.id.0).collect::<Vec<_>>();
    assert_eq!((ids(&first), ids(&rest)), (vec![1, 2], vec![3]));
    let delivery = &first[0].delivery;
    assert_eq!((delivery.state, delivery.attempts), (DeliveryState::Sending, 1));
    assert_eq!((delivery.last_attempt, delivery.next_attempt), (Some(NOW), None));
    assert_eq!(letter(&stage, MailId(1)).await, first[0]);
    assert_eq!(stage.revision().await, revision, "a claim took a revision");
    assert!(stage.claim().await.is_empty());
    // The sender is gone: the lease runs out, and the letter goes under the same message id.
    assert_eq!(due().await.unwrap(), Some(Timestamp(NOW.0 + LEASE_MS)));
    stage.clock.advance_ms(LEASE_MS - 1);
    assert!(stage.claim().await.is_empty());
    stage.clock.advance_ms(1);
    let again = stage.claim().await;
    assert_eq!(ids(&again), [1, 2, 3]);
    assert_eq!((&again[0].message_id, again[0].delivery.attempts), (&first[0].message_id, 2));
    stage.told();
}

async fn each_account_has_its_turn(stage: StoreFixture) {
    let far = |name: &str| NewInvite { account: slug("globex"), ..stage.new_invite(name) };
    for number in 0..300 {
        stage.invite(&format!("a{number}")).await;
    }
    stage.clock.advance_ms(1);
    for name in ["b", "c"] {
        stage.store.invite_create(&BY, far(name)).await.unwrap();
    }
    let next = async || {
        let claimed = stage.store.letters_claim(1, LEASE).await.unwrap();
        let [letter] = claimed.as_slice() else { panic!("{claimed:?}") };
        (letter.account.to_string(), letter.id.0)
    };
    let turns = [next().await, next().await, next().await, next().await, next().await];
    let expected = [("acme", 1), ("globex", 301), ("acme", 2), ("globex", 302), ("acme", 3)];
    assert_eq!(turns, expected.map(|(account, id)| (account.to_owned(), id)));
    // What is not due yet takes no turn, and several at once are taken in turn as well.
    stage.clock.advance_ms(-1);
    stage.store.invite_create(&BY, far("d")).await.unwrap();
    let claimed = stage.store.letters_claim(3, LEASE).await.unwrap();
    let ids: Vec<_> = claimed.iter().map(|letter| letter.id.0).collect();
    assert_eq!(ids, [303, 4, 5]);
    assert_eq!(stage.claim().await.len(), 295);
}

async fn who_knows_a_return_path_fills_no_log(stage: StoreFixture) {
    for name in ["a", "b"] {
        stage.invite(name).await;
    }
    for claimed in stage.claim().await {
        settle(&stage, &claimed, taken()).await;
    }
    let entries = stage.events().await.len();
    for (letter, first) in [(1, DeliveryState::Delivered), (2, DeliveryState::Bounced)] {
        for round in 0..40 {
            let other = [DeliveryState::Bounced, DeliveryState::Delivered, DeliveryState::Deferred];
            let state = if round == 0 { first } else { other[round % 3] };
            let (letter, detail) = (MailId(letter), format!("said {round}"));
            stage.store.letter_notice(DeliveryNotice { letter, state, detail }).await.unwrap();
        }
        assert_eq!(
            self::letter(&stage, MailId(letter)).await.delivery.state,
            DeliveryState::Bounced
        );
    }
    assert_eq!(stage.events().await.len(), entries + 3, "the log grows with every notice");
}

async fn a_start_ends_every_lease(stage: StoreFixture) {
    for name in ["a", "b", "c"] {
        stage.invite(name).await;
    }
    let claimed = stage.store.letters_claim(2, LEASE).await.unwrap();
    let later = stage.later(5 * MINUTE);
    settle(&stage, &claimed[1], SendOutcome::Later { detail: "421".into(), at: later }).await;
    let revision = stage.revision().await;
    stage.store.letters_release().await.unwrap();
    assert_eq!(stage.revision().await, revision);
    let again = stage.claim().await;
    let ids: Vec<_> = again.iter().map(|letter| (letter.id.0, letter.delivery.attempts)).collect();
    assert_eq!(ids, [(1, 2), (3, 1)], "one on its way is due at once, one put off is not");
    settle(&stage, &claimed[0], SendOutcome::Void).await;
    assert_eq!(letter(&stage, MailId(1)).await, again[0], "a lease that was ended still settles");
}

async fn every_ending_of_a_try_is_written_down(stage: StoreFixture) {
    for name in ["a", "b", "c", "d"] {
        stage.invite(name).await;
    }
    let claimed = stage.claim().await;
    let later = stage.later(5 * MINUTE);
    settle(&stage, &claimed[0], taken()).await;
    let entry = |event: &str, name| {
        ("system".to_owned(), event.to_owned(), invite_id(name).as_str().to_owned())
    };
    assert_eq!(stage.last_event().await, entry("mail_handed_over", "a"));
    settle(&stage, &claimed[1], SendOutcome::Refused { detail: "550 no such mailbox".into() })
        .await;
    assert_eq!(stage.last_event().await, entry("mail_failed", "b"));
    let (revision, entries) = (stage.revision().await, stage.events().await.len());
    settle(&stage, &claimed[2], SendOutcome::Later { detail: "421 busy".into(), at: later }).await;
    settle(&stage, &claimed[3], SendOutcome::Void).await;
    assert_eq!((stage.revision().await, stage.events().await.len()), (revision, entries));
    let delivery = |name: &'static str| {
        let stage = &stage;
        async move { stage.invited(name).await.delivery }
    };
    let a = delivery("a").await;
    assert_eq!((a.state, a.detail.as_str()), (DeliveryState::HandedOver, "250 queued as 7"));
    let b = delivery("b").await;
    assert_eq!((b.state, b.detail.as_str()), (DeliveryState::Failed, "550 no such mailbox"));
    let c = delivery("c").await;
    assert_eq!((c.state, c.next_attempt, c.attempts), (DeliveryState::Deferred, Some(later), 1));
    assert_eq!(stage.store.letter(claimed[3].id).await.unwrap(), None);
    assert_eq!(stage.store.letter_due().await.unwrap(), Some(later));
    stage.clock.advance_ms(5 * MINUTE);
    let again = stage.claim().await;
    assert_eq!((again.len(), again[0].id), (1, claimed[2].id));
}

async fn a_result_that_comes_too_late_changes_nothing(stage: StoreFixture) {
    stage.invite("a").await;
    let first = stage.claim().await;
    stage.clock.advance_ms(LEASE_MS);
    let second = stage.claim().await;
    let revision = stage.revision().await;
    settle(&stage, &first[0], SendOutcome::Refused { detail: "550".into() }).await;
    assert_eq!(letter(&stage, second[0].id).await, second[0], "a lost lease still settles");
    settle(&stage, &second[0], taken()).await;
    assert_eq!(stage.revision().await, revision + 1);
    settle(&stage, &second[0], SendOutcome::Void).await;
    let settled = letter(&stage, second[0].id).await;
    assert_eq!(settled.delivery.state, DeliveryState::HandedOver);
    // Replaced while it was being sent: its result is ignored.
    stage.invite("b").await;
    let b = invite_id("b");
    let old = stage.claim().await;
    stage.clock.advance_ms(MINUTE);
    let link = stage.invite_link("b", 2);
    stage.store.invite_renew(&BY, stage.invite_target(&b), link).await.unwrap();
    settle(&stage, &old[0], SendOutcome::Misconfigured { detail: "535".into() }).await;
    let new = stage.claim().await;
    assert_eq!(new.len(), 1, "mail was stopped by a letter that is no more");
    assert_ne!(new[0].id, old[0].id);
}

async fn a_letter_whose_time_is_over_is_given_up(stage: StoreFixture) {
    stage.invite("a").await;
    stage.clock.advance_ms(MINUTE);
    stage.invite("b").await;
    stage.clock.advance_ms(LIFETIME - MINUTE);
    // It takes no place of those that are claimed.
    let claimed = stage.store.letters_claim(1, LEASE).await.unwrap();
    assert_eq!(claimed.iter().map(|letter| letter.id.0).collect::<Vec<_>>(), [2]);
    let delivery = stage.invited("a").await.delivery;
    assert_eq!((delivery.state, delivery.attempts), (DeliveryState::Failed, 0));
    assert_eq!(delivery.detail, "its link expired before the mail server accepted it");
    let a = invite_id("a").as_str().to_owned();
    assert_eq!(stage.last_event().await, ("system".to_owned(), "mail_failed".to_owned(), a));
    stage.clock.advance_ms(LEASE_MS);
    assert!(stage.claim().await.is_empty());
}

async fn a_misconfiguration_stops_all_mail_and_costs_no_letter(stage: StoreFixture) {
    for name in ["a", "b", "c"] {
        stage.invite(name).await;
    }
    let claimed = stage.store.letters_claim(2, LEASE).await.unwrap();
    stage.told();
    settle(&stage, &claimed[0], SendOutcome::Misconfigured { detail: "535 bad password".into() })
        .await;
    let stop = MailStop { cause: "535 bad password".into(), since: NOW };
    assert_eq!(stage.told()[0].rows, [ChangedRecord::Mail(Some(stop.clone()))]);
    stage.clock.advance_ms(MINUTE);
    // The second finds the same: one stop is enough.
    settle(&stage, &claimed[1], SendOutcome::Misconfigured { detail: "535 again".into() }).await;
    assert!(stage.told().is_empty());
    for id in [MailId(1), MailId(2)] {
        let queued = letter(&stage, id).await;
        assert_eq!((queued.delivery.state, queued.delivery.attempts), (DeliveryState::Queued, 0));
        assert_eq!(queued.leased_until, None);
    }
    let status = stage.store.mail_status(None).await.unwrap();
    assert_eq!((status.stopped, status.counts), (Some(stop), vec![(DeliveryState::Queued, 3)]));
    assert!(stage.claim().await.is_empty());
    assert_eq!(stage.store.letter_due().await.unwrap(), None);
    assert!(stage.store.mail_resume(&ACTOR).await.unwrap().value);
    assert_eq!(stage.told()[0].rows, [ChangedRecord::Mail(None)]);
    assert!(!stage.store.mail_resume(&ACTOR).await.unwrap().value);
    // Those that met the fault step back behind the others: one of them may be its cause.
    let ids =
        |letters: Vec<QueuedMail>| letters.iter().map(|letter| letter.id.0).collect::<Vec<_>>();
    assert_eq!(ids(stage.claim().await), [3, 1]);
    stage.clock.advance_ms(MINUTE);
    assert_eq!(ids(stage.claim().await), [2]);
    let own = stage.store.audit(None, &Default::default(), None, 100).await.unwrap();
    let last: Vec<_> = own.items.iter().rev().take(2).map(|entry| entry.event.as_str()).collect();
    assert_eq!(last, ["mail_resumed", "mail_stopped"]);
}

async fn what_comes_back_is_written_down_once(stage: StoreFixture) {
    for name in ["a", "b"] {
        stage.invite(name).await;
    }
    let notice = |letter: u64, state| DeliveryNotice {
        letter: MailId(letter),
        state,
        detail: format!("said {}", state.as_str()),
    };
    let told = |notice| async { stage.store.letter_notice(notice).await.unwrap().value };
    let state = |id| {
        let stage = &stage;
        async move { letter(stage, MailId(id)).await.delivery.state }
    };
    // Nobody can have heard of a letter that was never tried.
    for made_up in [DeliveryState::Bounced, DeliveryState::Delivered, DeliveryState::Deferred] {
        assert!(!told(notice(1, made_up)).await, "{made_up:?}");
        assert!(!told(notice(9, made_up)).await, "{made_up:?} of no letter");
    }
    let claimed = stage.claim().await;
    // One that was being sent may have been accepted before a crash; a report of a delay is
    // ignored.
    assert!(!told(notice(2, DeliveryState::Deferred)).await);
    assert!(told(notice(2, DeliveryState::Bounced)).await);
    settle(&stage, &claimed[1], SendOutcome::Later { detail: "421".into(), at: NOW }).await;
    assert_eq!(state(2).await, DeliveryState::Bounced, "sent again though it came back");
    settle(&stage, &claimed[0], taken()).await;
    assert!(told(notice(1, DeliveryState::Deferred)).await);
    assert!(!told(notice(1, DeliveryState::Deferred)).await, "the same said twice is news");
    assert_eq!(stage.store.letter_due().await.unwrap(), None, "would be sent twice");
    let entries = stage.events().await.len();
    assert!(told(notice(1, DeliveryState::HandedOver)).await, "another server took it");
    assert_eq!((state(1).await, stage.events().await.len()), (DeliveryState::HandedOver, entries));
    assert!(told(notice(1, DeliveryState::Delivered)).await);
    assert_eq!(stage.last_event().await.1, "mail_delivered");
    for older in [DeliveryState::Deferred, DeliveryState::HandedOver] {
        assert!(!told(notice(1, older)).await, "it arrived already");
    }
    assert!(told(notice(1, DeliveryState::Bounced)).await);
    assert_eq!(stage.invited("a").await.delivery.detail, "said bounced");
    assert_eq!(stage.last_event().await.1, "mail_bounced");
    assert!(!told(notice(1, DeliveryState::Sending)).await);
    // A bounced invite does not prevent a new link.
    stage.clock.advance_ms(MINUTE);
    let (a, link) = (invite_id("a"), stage.invite_link("a", 2));
    let renewed = stage.store.invite_renew(&BY, stage.invite_target(&a), link).await.unwrap();
    assert_eq!(renewed.value.delivery.state, DeliveryState::Queued);
    assert_eq!(state(1).await, DeliveryState::Bounced, "what came back is still known");
}

async fn letters_are_listed_and_counted_by_account(stage: StoreFixture) {
    for name in ["a", "b", "c"] {
        stage.invite(name).await;
    }
    let there = NewInvite { account: slug("globex"), ..stage.new_invite("d") };
    stage.store.invite_create(&BY, there).await.unwrap();
    let claimed = stage.store.letters_claim(2, LEASE).await.unwrap();
    settle(&stage, &claimed[0], taken()).await;
    let globex = slug("globex");
    let ids = |account, after: Option<u64>, limit| {
        let store = stage.store.clone();
        async move {
            let page = store.letters(account, after.map(MailId), limit).await.unwrap();
            (page.items.iter().map(|letter| letter.id.0).collect::<Vec<_>>(), page.next)
        }
    };
    let next = |id: &str| Some(id.to_owned());
    assert_eq!(ids(None, None, 3).await, (vec![4, 3, 2], next("2")));
    assert_eq!(ids(None, Some(2), 3).await, (vec![1], None));
    assert_eq!(ids(Some(&stage.acme), None, 2).await, (vec![3, 2], next("2")));
    assert_eq!(ids(Some(&stage.acme), Some(2), 2).await, (vec![1], None));
    assert_eq!(ids(Some(&globex), None, 2).await, (vec![4], None));
    let counts = |account| {
        let store = stage.store.clone();
        async move { store.mail_status(account).await.unwrap().counts }
    };
    use DeliveryState::{HandedOver, Queued, Sending};
    assert_eq!(counts(Some(&stage.acme)).await, [(Queued, 2), (HandedOver, 1)]);
    assert_eq!(counts(Some(&globex)).await, [(Sending, 1)]);
    assert_eq!(counts(None).await, [(Queued, 2), (Sending, 1), (HandedOver, 1)]);
}

async fn tend(stage: &StoreFixture) {
    let limits = SessionLimits { idle: Duration::from_secs(60), absolute: Duration::from_secs(60) };
    stage.store.sessions_tend(Vec::new(), limits).await.unwrap();
}

async fn what_is_long_over_is_forgotten_and_nothing_else(stage: StoreFixture) {
    let anna = stage.join("anna").await;
    for name in ["expired", "revoked", "renewed"] {
        stage.invite(name).await;
    }
    stage.store.reset_begin(&BY, stage.target(&anna.id), stage.link("reset")).await.unwrap();
    let revoked = invite_id("revoked");
    stage.store.invite_revoke(&BY, stage.invite_target(&revoked)).await.unwrap();
    for claimed in stage.claim().await {
        settle(&stage, &claimed, taken()).await;
    }
    let known = || async {
        let all = InviteFilter::default();
        let page = stage.store.invites(&stage.acme, &all, None, 100).await.unwrap();
        (page.items.len(), stage.letters().await.len(), stage.is_link("reset").await)
    };
    assert_eq!(known().await, (4, 3, true));
    stage.clock.advance_ms(40 * DAY);
    let renewed = invite_id("renewed");
    let link = stage.invite_link("renewed", 2);
    stage.store.invite_renew(&BY, stage.invite_target(&renewed), link).await.unwrap();
    stage.clock.advance_ms(50 * DAY + LIFETIME - 1);
    let (revision, entries) = (stage.revision().await, stage.events().await.len());
    tend(&stage).await;
    assert_eq!(known().await, (4, 4, false), "an hour's link was over earlier");
    stage.clock.advance_ms(1);
    tend(&stage).await;
    assert_eq!(known().await, (1, 1, false));
    assert_eq!((stage.revision().await, stage.events().await.len()), (revision, entries));
    assert_eq!(
        stage.invited("renewed").await.invite.state(stage.clock.now()),
        InviteState::Expired
    );
    // The token is forgotten with the invite, and the address of the expired one is free.
    assert_eq!(stage.store.invite_by_token(hash("expired 1")).await.unwrap(), None);
    stage.create("expired").await;
    stage.clock.advance_ms(40 * DAY);
    tend(&stage).await;
    assert_eq!(known().await, (0, 0, false));
    for generation in ["renewed 1", "renewed 2"] {
        assert_eq!(stage.store.invite_by_token(hash(generation)).await.unwrap(), None);
    }
    let gone = stage.store.invite_revoke(&BY, stage.invite_target(&renewed)).await;
    assert_eq!(refused(gone).1, "unknown_invite");
}
