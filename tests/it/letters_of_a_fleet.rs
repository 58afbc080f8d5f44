//! Letters in a fleet: one node sends a letter, whatever the others do and whatever their clocks say.

use std::collections::BTreeSet;
use std::time::Duration;

use kwic_team::clock::Clock;
use kwic_team::domain::{DeliveryState, MailId, QueuedMail, SendOutcome};
use kwic_team::password::PasswordHasher;
use kwic_team::services::accounts;
use kwic_team::services::permits::StorePermit;
use kwic_team::store::Store;

use crate::support::fixture::Fixture;
use crate::support::in_process_log::{AppendFault, InProcessLog, LogLine};
use crate::support::store_fixture::{HOUR, LEASE, NOW, StoreFixture};

const LEASE_MS: i64 = 300_000;

/// A node that joins a log later.
struct Other {
    store: Store,
    clock: Clock,
}

impl Other {
    async fn on(log: &InProcessLog) -> Self {
        let clock = Clock::fixed(NOW);
        let store = Store::in_memory(clock.clone()).await.unwrap();
        log.join(&store, LogLine::new(log)).await;
        Self { store, clock }
    }

    async fn follow(&self) {
        while self.store.follow_log().await.unwrap() > 0 {}
    }

    async fn claims(&self) -> Vec<QueuedMail> {
        self.store.letters_claim(10, LEASE).await.unwrap()
    }
}

/// A node with accounts, another one, and letters that neither has claimed.
async fn two_with_letters(count: usize) -> (InProcessLog, StoreFixture, Other) {
    let log = InProcessLog::default();
    let Other { store, clock } = Other::on(&log).await;
    let first = StoreFixture::new(store, clock).await;
    for number in 0..count {
        first.invite(&format!("n{number}")).await;
    }
    let second = Other::on(&log).await;
    second.follow().await;
    (log, first, second)
}

fn ids(letters: &[QueuedMail]) -> Vec<u64> {
    letters.iter().map(|letter| letter.id.0).collect()
}

fn taken() -> SendOutcome {
    SendOutcome::Taken { detail: "250".to_owned() }
}

#[tokio::test]
async fn a_start_releases_what_its_own_node_was_sending_and_nothing_else() {
    let (_, first, second) = two_with_letters(2).await;
    let of_first = first.store.letters_claim(1, LEASE).await.unwrap();
    assert_eq!(ids(&of_first), [1]);
    second.store.letters_release().await.unwrap();
    let of_second = second.claims().await;
    assert_eq!(ids(&of_second), [2], "a start has released what another node is sending");
    first.store.letters_release().await.unwrap();
    assert_eq!(ids(&first.claim().await), [1], "what it was sending itself is sent again");
    // The result of an attempt is that of the node that leases the letter.
    second.follow().await;
    let first_again = second.store.letter(MailId(1)).await.unwrap().unwrap();
    second.store.letter_settle(&first_again, taken()).await.unwrap();
    second.store.letter_settle(&of_second[0], taken()).await.unwrap();
    first.store.follow_log().await.unwrap();
    let states: Vec<_> = first.letters().await.iter().map(|one| one.delivery.state).collect();
    assert_eq!(states, [DeliveryState::Sending, DeliveryState::HandedOver]);
}

#[tokio::test]
async fn what_a_node_was_sending_that_never_comes_back_is_sent_after_a_lease_by_the_own_clock() {
    let (_, first, second) = two_with_letters(2).await;
    let gone = first.store.letters_claim(1, LEASE).await.unwrap();
    // Its clock is an hour ahead, so every lease seems to be over.
    second.clock.advance_ms(HOUR);
    assert_eq!(ids(&second.claims().await), [2], "a letter is sent by two nodes");
    second.clock.advance_ms(LEASE_MS - 1);
    assert!(second.claims().await.is_empty());
    second.clock.advance_ms(1);
    let again = second.claims().await;
    assert_eq!(ids(&again), [1, 2]);
    assert_eq!(again[0].message_id, gone[0].message_id);
    // The first one comes back after all: its result is of no lease any more.
    first.store.letter_settle(&gone[0], taken()).await.unwrap();
    assert_eq!(first.store.letter(MailId(1)).await.unwrap().unwrap(), again[0]);
}

#[tokio::test]
async fn a_lease_that_is_not_of_a_node_yet_ends_by_its_time() {
    let clock = Clock::fixed(NOW);
    let alone = StoreFixture::new(Store::in_memory(clock.clone()).await.unwrap(), clock).await;
    alone.invite("anna").await;
    assert_eq!(ids(&alone.claim().await), [1]);
    let log = InProcessLog::default();
    log.join(&alone.store, LogLine::new(&log)).await;
    alone.store.letters_release().await.unwrap();
    alone.clock.advance_ms(LEASE_MS);
    assert!(alone.claim().await.is_empty(), "who leased it is not known");
    alone.clock.advance_ms(LEASE_MS);
    assert_eq!(ids(&alone.claim().await), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_claim_at_once_get_different_letters() {
    const LETTERS: usize = 12;
    let (log, first, second) = two_with_letters(LETTERS).await;
    let third = Other::on(&log).await;
    third.follow().await;
    let nodes = [first.store.clone(), second.store.clone(), third.store.clone()];
    let claims = nodes.map(|store| {
        tokio::spawn(async move {
            let mut claimed = Vec::new();
            while let Some(letter) = store.letters_claim(1, LEASE).await.unwrap().pop() {
                claimed.push(letter.id.0);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            claimed
        })
    });
    let mut all = Vec::new();
    for claimed in claims {
        all.extend(claimed.await.unwrap());
    }
    assert_eq!(all.len(), LETTERS, "{all:?}");
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), LETTERS, "{all:?}");
}

#[tokio::test(start_paused = true)]
async fn the_result_of_a_letter_is_saved_once_the_log_takes_it() {
    let (log, stage) =
        (InProcessLog::default(), Fixture::empty(PasswordHasher::cheap().unwrap(), |_| {}).await);
    let (line, store) = (LogLine::new(&log), &stage.app.store);
    log.join(store, line.clone()).await;
    let acme = stage.acme.clone();
    accounts::create(&stage.app, StorePermit::sidecar(7), acme, "Acme", None).await.unwrap();
    stage.invite(stage.operator(), "anna", "operator").await.unwrap();
    // The claim is sound; then the log is away for a while.
    line.plan([AppendFault::Twice, AppendFault::Refused, AppendFault::Refused]);
    assert_eq!(stage.mails().await.len(), 1);
    let letter = store.letter(MailId(1)).await.unwrap().unwrap();
    assert_eq!(letter.delivery.state, DeliveryState::HandedOver);
}
