//! Three stores on one log in this process, as three nodes of a fleet.

use std::sync::Arc;

use kwic_team::clock::Clock;
use kwic_team::domain::{Change, Failure, Member};
use kwic_team::store::change_feed::Follower;
use kwic_team::store::{Committed, Store};

use super::failing_storage::FailingStorage;
use super::in_process_log::{InProcessLog, LogLine};
use super::store_fixture::{ACTOR, NOW, id, member, slug};

/// A store, its disk, and its line to the log.
pub struct Node {
    pub store: Store,
    pub clock: Clock,
    pub disk: FailingStorage,
    pub line: Arc<LogLine>,
    pub feed: Follower,
}

impl Node {
    pub async fn on(log: &InProcessLog) -> Self {
        Self::on_disk(log, &FailingStorage::default()).await
    }

    pub async fn on_disk(log: &InProcessLog, disk: &FailingStorage) -> Self {
        let (line, clock, opened) = (LogLine::new(log), Clock::fixed(NOW), disk.clone());
        let store = Store::on(move || opened.clone(), clock.clone()).await.unwrap();
        log.join(&store, line.clone()).await;
        let feed = store.subscribe();
        Self { store, clock, disk: disk.clone(), line, feed }
    }

    pub async fn create(&self, name: &str) -> Result<Committed<Member>, Failure> {
        self.store.member_create(&ACTOR, member("acme", name)).await
    }

    pub async fn follow(&self) {
        while self.store.follow_log().await.unwrap() > 0 {}
    }

    pub async fn knows(&self, name: &str) -> bool {
        self.store.member(&id(name)).await.unwrap().is_some()
    }

    pub fn told(&mut self) -> Vec<Arc<Change>> {
        std::iter::from_fn(|| self.feed.try_recv().ok()).collect()
    }
}

/// Three nodes that know of one account.
pub async fn three() -> (InProcessLog, [Node; 3]) {
    let log = InProcessLog::default();
    let nodes = [Node::on(&log).await, Node::on(&log).await, Node::on(&log).await];
    nodes[0].store.account_create(&ACTOR, slug("acme"), "Acme".into(), None).await.unwrap();
    for node in &nodes {
        node.follow().await;
    }
    (log, nodes)
}

/// All nodes have the same content, and were told the same, without a gap.
pub async fn assert_alike(nodes: &mut [Node; 3]) {
    let (mut contents, mut feeds) = (Vec::new(), Vec::new());
    for node in nodes {
        node.follow().await;
        assert_eq!(node.store.log_fault(), None);
        contents.push(node.store.content_digest().await.unwrap());
        feeds.push(node.told());
    }
    assert!(contents.iter().all(|content| *content == contents[0]), "{contents:?}");
    assert!(feeds.iter().all(|feed| *feed == feeds[0]), "the feeds differ");
    let revisions = feeds[0].iter().map(|change| change.revision.0);
    assert!(revisions.eq(1..=feeds[0].len() as u64));
}
