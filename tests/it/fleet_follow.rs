//! A node that follows a log in this process: when it is fresh, when it is stale, and when it stops;
//! who has seen a change.

use std::sync::Arc;
use std::time::Duration;

use kwic_team::app::FleetNode;
use kwic_team::config::{Fleet, LogAddress, OnStale};
use kwic_team::domain::{Kind, Timestamp};
use kwic_team::password::PasswordHasher;
use kwic_team::services::permits::StorePermit;
use kwic_team::services::{accounts, fleet_follow, fleet_status, sessions};
use kwic_team::store::records::shared_log_entry::ENTRY_FORMAT;
use kwic_team::store::shared_log::{EntryId, NodeId};
use kwic_team::store::{CLOCK_AHEAD, LOG_AWAY, LOG_HALTED};
use kwic_team::throttle::LoginKey;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::support::fixture::{Fixture, NOW, email};
use crate::support::in_process_log::{InProcessLog, LogLine};

/// As short as may be configured: a node asks the log once a second.
const MAX_STALENESS: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(20);

struct Node {
    stage: Fixture,
    line: Arc<LogLine>,
    node: Arc<FleetNode>,
    /// End with this.
    tasks: JoinSet<()>,
}

impl Node {
    async fn on(log: &InProcessLog, number: u8, on_stale: OnStale) -> Self {
        Self::started(log, number, on_stale, NOW).await
    }

    async fn started(log: &InProcessLog, number: u8, on_stale: OnStale, since: Timestamp) -> Self {
        let mut stage = Fixture::empty(PasswordHasher::cheap().unwrap(), |_| {}).await;
        let line = LogLine::new(log);
        log.join(&stage.app.store, line.clone()).await;
        let config = Fleet {
            log: LogAddress::Postgres(String::new()),
            password_file: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            name: format!("host-{number}"),
            max_staleness: MAX_STALENESS,
            on_stale,
            keep_old_days: 30,
        };
        let id = NodeId([number; 16]);
        let node = FleetNode::new(&config, id, line.clone(), log.seal(), since).unwrap();
        let node = Arc::new(node);
        Arc::get_mut(&mut stage.app).unwrap().fleet = Some(node.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(fleet_follow::follow(stage.app.clone()));
        tasks.spawn(fleet_status::report(stage.app.clone()));
        let made = Self { stage, line, node, tasks };
        made.is_eventually_fresh().await;
        made
    }

    fn is_stale(&self) -> bool {
        self.stage.app.stale().is_some()
    }

    async fn is_eventually_fresh(&self) {
        eventually("it is fresh", || !self.is_stale()).await;
    }

    async fn found(&self) -> Result<(), (Kind, &'static str)> {
        let made = accounts::create(
            &self.stage.app,
            StorePermit::sidecar(7),
            self.stage.acme.clone(),
            "A",
            None,
        );
        made.await.map(drop).map_err(|fault| (fault.kind, fault.code))
    }
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(PATIENCE, wait).await.is_ok(), "waited {PATIENCE:?} in vain: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_cut_off_decides_on_then_is_stale_and_is_fresh_again() {
    let log = InProcessLog::default();
    let one = Node::on(&log, 1, OnStale::Deny).await;
    one.found().await.unwrap();
    one.line.cut(true);
    assert!(!one.is_stale(), "it knew everything a moment ago");
    // What changes nothing is answered by the log, too.
    assert_eq!(one.found().await, Err((Kind::Busy, LOG_AWAY)));
    eventually("it is stale", || one.is_stale()).await;
    assert!(one.stage.app.stale().unwrap().denies);
    assert!(one.node.away().is_some());
    one.line.cut(false);
    one.is_eventually_fresh().await;
    assert_eq!(one.node.away(), None);
    // Longer than it may be stale: it asks all the time.
    for _ in 0..15 {
        sleep(MAX_STALENESS / 10).await;
        assert!(!one.is_stale());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stopped_following_is_stale_at_once_and_for_good() {
    let log = InProcessLog::default();
    let one = Node::on(&log, 1, OnStale::Answer).await;
    one.found().await.unwrap();
    assert!(!one.is_stale());
    log.lose_tail(1);
    eventually("it is stale", || one.is_stale()).await;
    assert!(one.node.staleness.age() <= MAX_STALENESS, "at once");
    assert!(one.stage.app.store.log_fault().is_some());
    assert!(!one.stage.app.stale().unwrap().denies, "it is to answer");
    sleep(Duration::from_millis(300)).await;
    assert!(one.is_stale());
    let again = accounts::create(
        &one.stage.app,
        StorePermit::sidecar(7),
        one.stage.acme.clone(),
        "A",
        None,
    );
    assert_eq!(again.await.unwrap_err().code, LOG_HALTED);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_changes_is_seen_by_all_or_it_is_said_who_has_not() {
    let log = InProcessLog::default();
    let nodes = [Node::on(&log, 1, OnStale::Deny).await, Node::on(&log, 2, OnStale::Answer).await];
    nodes[0].found().await.unwrap();
    let seen = fleet_status::seen_by_all(&nodes[0].stage.app, PATIENCE).await;
    assert_eq!((seen.sentence().as_str(), seen.is_all()), ("seen by 2 of 2", true));
    assert!(nodes[1].stage.app.directory.has_account("acme"));
    assert_eq!(nodes[1].node.applied(), nodes[0].node.applied());

    nodes[1].line.cut(true);
    nodes[0].stage.member("ann", "operator").await;
    let seen = fleet_status::seen_by_all(&nodes[0].stage.app, Duration::from_millis(500)).await;
    assert_eq!(seen.sentence(), "seen by 1 of 2, not by host-2");

    // Only the log tells what others have seen.
    nodes[0].line.cut(true);
    let seen = fleet_status::seen_by_all(&nodes[0].stage.app, Duration::from_millis(300)).await;
    assert!(!seen.is_all() && seen.sentence().contains("not known"), "{}", seen.sentence());
    nodes[0].line.cut(false);

    let permit = StorePermit::sidecar(7);
    let status = fleet_status::status(&nodes[0].stage.app, &permit).await.unwrap().unwrap();
    let names: Vec<_> = status.nodes.iter().map(|node| node.report.clone().unwrap().name).collect();
    assert_eq!(names, ["host-1", "host-2"]);
    assert!(status.nodes[0].behind == 0 && status.nodes[1].behind > 0);
    let forget = |name: &'static str| fleet_status::forget(&nodes[0].stage.app, &permit, name);
    assert_eq!(forget("host-3").await.unwrap_err().code, "unknown_node");
    assert_eq!(forget("host-1").await.unwrap_err().code, "own_node");
    nodes[1].line.cut(false);
    assert_eq!(forget("host-2").await.unwrap_err().code, "node_running");
    nodes[1].line.cut(true);
    let mut forgotten = Err("");
    for _ in 0..10 {
        forgotten = forget("host-2").await.map_err(|fault| fault.code);
        if forgotten != Err("node_running") {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(forgotten.as_deref(), Ok("host-2"));
    assert!(fleet_status::seen_by_all(&nodes[0].stage.app, Duration::ZERO).await.is_all());
    // It runs: it registers itself again.
    nodes[1].line.cut(false);
    let all = fleet_status::seen_by_all(&nodes[0].stage.app, PATIENCE).await;
    assert!(all.is_all());
    eventually("it has the member", || nodes[1].node.applied() == nodes[0].node.applied()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_as_one_node_the_later_one_stops() {
    let log = InProcessLog::default();
    let first = Node::on(&log, 1, OnStale::Deny).await;
    let copy = Node::started(&log, 1, OnStale::Deny, Timestamp(NOW.0 + 1)).await;
    eventually("the copy stops", || copy.is_stale() && copy.node.is_copy()).await;
    assert_eq!(copy.found().await, Err((Kind::Busy, LOG_HALTED)));
    assert!(copy.stage.app.store.log_fault().unwrap().contains("fleet leave"));
    first.found().await.unwrap();
    assert!(!first.is_stale() && !first.node.is_copy());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_clock_is_ahead_of_the_others_changes_nothing() {
    let log = InProcessLog::default();
    let [one, mut ahead] =
        [Node::on(&log, 1, OnStale::Deny).await, Node::on(&log, 2, OnStale::Deny).await];
    ahead.stage.later(3_600_000);
    ahead.tasks.spawn(fleet_status::watch_nodes(ahead.stage.app.clone()));
    let refused = async {
        while ahead.found().await != Err((Kind::Busy, CLOCK_AHEAD)) {
            // Its clock runs, so that its reports differ.
            one.stage.later(50);
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, refused).await.unwrap();
    assert!(!ahead.is_stale(), "it decides");
    assert_eq!(one.found().await, Err((Kind::Conflict, "account_exists")), "it asks the log");
}

#[tokio::test]
async fn a_sidecar_on_its_own_has_no_fleet_and_has_seen_everything() {
    let stage = Fixture::new().await;
    assert!(stage.app.stale().is_none());
    let seen = fleet_status::seen_by_all(&stage.app, Duration::ZERO).await;
    assert_eq!(seen.sentence(), "seen by 1 of 1");
    let permit = StorePermit::sidecar(7);
    assert!(fleet_status::status(&stage.app, &permit).await.unwrap().is_none());
    assert_eq!(fleet_status::forget(&stage.app, &permit, "x").await.unwrap_err().code, "no_fleet");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_deletes_what_has_expired_and_a_use_elsewhere_is_waited_for() {
    let log = InProcessLog::default();
    let nodes = [Node::on(&log, 1, OnStale::Deny).await, Node::on(&log, 2, OnStale::Deny).await];
    nodes[0].found().await.unwrap();
    let (here, there) = (&nodes[0].stage, &nodes[1].stage);
    let ann = here.member("ann", "operator").await;
    let signed_in = here.sign_in("ann").await;
    eventually("it is known there", || there.signed_in(&signed_in).is_some()).await;
    let left = async || here.app.store.sessions_of(&ann.id).await.unwrap().len();
    let idle = i64::try_from(here.app.config.sessions.idle.as_millis()).unwrap();
    // Both clocks: a node that is behind would go by the time of the log.
    for stage in [here, there] {
        stage.later(there.app.clock.now().0.max(here.app.clock.now().0) - stage.app.clock.now().0);
        stage.later(idle);
    }
    nodes[0].node.set_tends(true);
    sessions::expire_once(&here.app).await.unwrap();
    assert_eq!(left().await, 1, "another node may know of a use that it has not saved yet");
    for stage in [here, there] {
        stage.later(180_000);
    }
    assert!(!there.app.tends());
    sessions::expire_once(&there.app).await.unwrap();
    assert_eq!(left().await, 1, "two nodes do the same work");
    sessions::expire_once(&here.app).await.unwrap();
    assert_eq!(left().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_uses_of_many_sessions_are_one_entry() {
    let log = InProcessLog::default();
    let one = Node::on(&log, 1, OnStale::Deny).await;
    one.found().await.unwrap();
    let stage = &one.stage;
    for who in ["ann", "bob"] {
        stage.member(who, "operator").await;
    }
    let signed_in =
        [stage.sign_in("ann").await, stage.sign_in("ann").await, stage.sign_in("bob").await];
    sessions::expire_once(&stage.app).await.unwrap();
    let before = log.head().index;
    for _ in 0..5 {
        stage.later(10_000);
        assert!(signed_in.iter().all(|entered| stage.signed_in(entered).is_some()));
    }
    assert_eq!(log.head().index, before, "each use is an entry");
    sessions::expire_once(&stage.app).await.unwrap();
    assert_eq!(log.head().index, before + 1);
    sessions::expire_once(&stage.app).await.unwrap();
    assert_eq!(log.head().index, before + 1, "there was no use");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_reports_which_entries_it_reads_and_why_it_has_stopped() {
    let log = InProcessLog::default();
    let one = Node::on(&log, 1, OnStale::Deny).await;
    let permit = StorePermit::sidecar(7);
    let told = async || {
        let status = fleet_status::status(&one.stage.app, &permit).await.unwrap().unwrap();
        (status.nodes[0].report.clone().unwrap(), status.warnings)
    };
    let (report, warnings) = told().await;
    assert_eq!((report.reads_format, report.halted_because.as_str()), (ENTRY_FORMAT, ""));
    assert!(warnings.is_empty(), "{warnings:?}");
    let id = EntryId([1; 16]);
    let newer = log.seal().entry(&log.head(), id, &[3]).unwrap();
    log.write(id, newer.bytes.to_vec());
    let is_told = async {
        loop {
            let (report, warnings) = told().await;
            if report.is_halted {
                return (report, warnings);
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let (report, warnings) = timeout(PATIENCE, is_told).await.unwrap();
    assert!(report.halted_because.contains("newer kwic-team"), "{report:?}");
    let words = "host-1 has stopped following the log: entry 1 of the shared log was written by";
    assert!(warnings[0].starts_with(words), "{warnings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_learn_whose_the_regular_work_is_and_share_the_guesses() {
    let log = InProcessLog::default();
    let mut nodes =
        [Node::on(&log, 1, OnStale::Deny).await, Node::on(&log, 2, OnStale::Deny).await];
    for node in &mut nodes {
        let watching = fleet_status::watch_nodes(node.stage.app.clone());
        node.tasks.spawn(watching);
    }
    let only_the_lowest = || {
        // Clocks run, so that reports differ.
        nodes.iter().for_each(|node| node.stage.later(10));
        nodes[0].node.tends() && !nodes[1].node.tends()
    };
    eventually("the lowest does it", only_the_lowest).await;
    let throttle = &nodes[1].stage.app.throttle;
    let login = LoginKey::new(&nodes[1].stage.acme, &email("ann"));
    for _ in 0..2 {
        throttle.admit(login, None, NOW).unwrap().failed(NOW);
    }
    assert!(throttle.admit(login, None, NOW).is_err(), "as after four of one node");
}
