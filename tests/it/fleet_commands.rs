//! `kwic-team fleet init`, `join` and `leave`: each state of file and log, and a process that is killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kwic_team::backup::abandoned_files;
use kwic_team::clock::Clock;
use kwic_team::config::{Config, Fleet};
use kwic_team::domain::{Failure, Kind};
use kwic_team::fleet::configured_log::LogPlace;
use kwic_team::keys::Keys;
use kwic_team::serve::fleet_commands::{self, FLEET_STATE, FleetBegun, FleetJoined};
use kwic_team::store::shared_log::{FleetLog, LogHead, LogId};
use kwic_team::store::{LOG_AWAY, Store};
use tempfile::TempDir;

use crate::support::fleet_fixture::{self, complaint, give_keys, json, postgres_log, stop};
use crate::support::in_process_log::{InProcessLog, LogLine, keys_in, passing_keys};
use crate::support::postgres_server::PostgresServer;
use crate::support::sidecar::{Sidecar, binary, copy_folder, eventually, question};
use crate::support::store_fixture::{ACTOR, id, member, refused, slug};

/// A place for a log in memory.
#[derive(Default)]
struct Place {
    log: Mutex<Option<(LogId, InProcessLog)>>,
    /// So many calls are answered before the place is away.
    calls_left: AtomicUsize,
}

impl Place {
    fn new() -> Arc<Self> {
        Arc::new(Self { log: Mutex::default(), calls_left: AtomicUsize::new(usize::MAX) })
    }

    fn call(&self) -> Result<(), Failure> {
        let left = self.calls_left.load(Ordering::SeqCst);
        if left == 0 {
            return Err(Failure::new(Kind::Busy, LOG_AWAY, "the place of the log is away for now"));
        }
        self.calls_left.store(left - 1, Ordering::SeqCst);
        Ok(())
    }

    fn log(&self) -> InProcessLog {
        self.log.lock().unwrap().as_ref().unwrap().1.clone()
    }
}

impl LogPlace for Place {
    fn inspect(&self) -> Result<Option<(LogId, LogHead)>, Failure> {
        self.call()?;
        Ok(self.log.lock().unwrap().as_ref().map(|(id, log)| (*id, log.head())))
    }

    fn create(&self, id: LogId) -> Result<(), Failure> {
        self.call()?;
        let mut log = self.log.lock().unwrap();
        assert!(log.is_none());
        *log = Some((id, InProcessLog::of(id, passing_keys())));
        Ok(())
    }

    fn open(&self, log: LogId) -> Result<Arc<dyn FleetLog>, Failure> {
        self.call()?;
        let there = self.log.lock().unwrap();
        let (id, there) = there.as_ref().unwrap();
        assert_eq!(*id, log);
        Ok(LogLine::new(there))
    }
}

/// A data folder.
struct Folder {
    _home: TempDir,
    config: Config,
}

impl Folder {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("kwic-team.toml");
        let text = "[fleet]\nlog = \"postgresql://kwic@db.example/kwic\"\non_stale = \"deny\"\n";
        fs::write(&file, text).unwrap();
        let data = home.path().join("data");
        let config = Config::load(Some(&file), data, std::iter::empty()).unwrap();
        fs::create_dir(&config.data).unwrap();
        Self { _home: home, config }
    }

    /// With a store that has one member, and keys.
    async fn with_member(name: &str) -> Self {
        let folder = Self::new();
        let store = folder.open().await;
        store.account_create(&ACTOR, slug("acme"), "Acme".into(), None).await.unwrap();
        store.member_create(&ACTOR, member("acme", name)).await.unwrap();
        store.close().await.unwrap();
        Keys::open(&folder.keys()).unwrap();
        folder
    }

    fn keys(&self) -> PathBuf {
        self.config.data.join("keys")
    }

    fn settings(&self) -> Fleet {
        self.config.fleet.clone().unwrap()
    }

    async fn open(&self) -> Store {
        Store::open(&self.config.store.path, 8, Clock::System).await.unwrap()
    }

    async fn init(&self, place: &Arc<Place>) -> Result<FleetBegun, Failure> {
        let place: Arc<dyn LogPlace> = place.clone();
        fleet_commands::init(&self.config, &place).await
    }

    async fn join(&self, place: &Arc<Place>) -> Result<FleetJoined, Failure> {
        let place: Arc<dyn LogPlace> = place.clone();
        fleet_commands::join(&self.config, &self.settings(), &place).await
    }

    /// Whether the store knows somebody, and whether it is in a fleet.
    async fn holds(&self, name: &str) -> (bool, bool) {
        let store = self.open().await;
        let knows = store.member(&id(name)).await.unwrap().is_some();
        let found = (knows, store.fleet().await.unwrap().is_some());
        store.close().await.unwrap();
        found
    }

    /// The names of what lies in the data folder, without those of a socket.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.config.data).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.starts_with("admin.sock"));
        names.sort();
        names
    }
}

/// The sentence of a refusal because of the state of things.
#[track_caller]
fn state<T: std::fmt::Debug>(refused: Result<T, Failure>) -> String {
    let failure = refused.unwrap_err();
    assert_eq!((failure.kind, failure.code), (Kind::Conflict, FLEET_STATE), "{failure}");
    failure.public
}

#[tokio::test]
async fn a_fleet_is_begun_with_one_store_and_joined_by_others() {
    let place = Place::new();
    let (first, second) = (Folder::with_member("anna").await, Folder::with_member("bert").await);
    let begun = first.init(&place).await.unwrap();
    assert!(begun.snapshot_bytes.unwrap() > 10_000, "{begun:?}");
    assert_eq!(first.holds("anna").await, (true, true));
    assert_eq!(first.names(), ["keys", "kwic.redb"]);
    // Once more changes nothing.
    let again = first.init(&place).await.unwrap();
    assert_eq!((again.fleet, again.snapshot_bytes), (begun.fleet, None));
    // Keys of its own open nothing.
    assert!(state(second.join(&place).await).contains("copy the folder `keys` of another node"));
    let other = Folder::with_member("carl").await;
    other.init(&Place::new()).await.unwrap();
    fs::copy(other.keys().join("epoch-1.key"), second.keys().join("epoch-1.key")).unwrap();
    let strange = second.join(&place).await.unwrap_err();
    assert!(strange.public.contains("compare `keys`"), "{strange}");
    assert_eq!(second.holds("bert").await, (true, false));
    assert_eq!(second.names(), ["keys", "kwic.redb"]);
    fs::remove_dir_all(second.keys()).unwrap();
    assert!(state(second.join(&place).await).contains("copy the folder `keys` of another node"));
    assert!(!second.keys().exists(), "none are made");
    copy_folder(&first.keys(), &second.keys());
    let joined = second.join(&place).await.unwrap();
    assert_eq!(joined.fleet.log, begun.fleet.log);
    assert_ne!(joined.fleet.node, begun.fleet.node);
    assert_eq!(second.holds("anna").await, (true, true));
    assert_eq!(second.holds("bert").await, (false, true));
    // What it had is kept.
    let kept = Store::view(&joined.kept.unwrap()).await.unwrap();
    assert!(kept.member(&id("bert")).await.unwrap().is_some());
    assert_eq!(second.names().len(), 3);
    // A node that joins again stays the same node; one without a store gets one.
    assert_eq!(second.join(&place).await.unwrap().fleet, joined.fleet);
    let third = Folder::new();
    copy_folder(&first.keys(), &third.keys());
    assert_eq!(third.join(&place).await.unwrap().kept, None);
    assert_eq!(third.holds("anna").await, (true, true));
    assert_eq!(third.names(), ["keys", "kwic.redb"]);
    // And each follows the same log.
    let log = place.log().with_keys(keys_in(&first.keys()));
    let mut contents = Vec::new();
    for (folder, name) in [(&first, "carl"), (&second, "dora"), (&third, "emil")] {
        let store = folder.open().await;
        log.join(&store, LogLine::new(&log)).await;
        while store.follow_log().await.unwrap() > 0 {}
        store.member_create(&ACTOR, member("acme", name)).await.unwrap();
        contents.push(store);
    }
    for store in &contents {
        while store.follow_log().await.unwrap() > 0 {}
    }
    let digests = [&contents[0], &contents[1], &contents[2]].map(Store::content_digest);
    let [one, two, three] = digests;
    let one = one.await.unwrap();
    assert!(two.await.unwrap() == one && three.await.unwrap() == one);
}

#[tokio::test]
async fn each_wrong_state_is_told_with_what_to_do_and_changes_nothing() {
    let (place, other) = (Place::new(), Place::new());
    let (one, two) = (Folder::with_member("anna").await, Folder::with_member("bert").await);
    assert!(state(one.join(&place).await).contains("run `kwic-team fleet init` on the node"));
    assert!(state(Folder::new().init(&place).await).contains("run `kwic-team fleet join`"));
    assert!(state(fleet_commands::leave(&one.config).await).contains("in no fleet"));
    place.calls_left.store(0, Ordering::SeqCst);
    assert_eq!(refused(one.init(&place).await), (Kind::Busy, LOG_AWAY));
    assert_eq!(refused(one.join(&place).await), (Kind::Busy, LOG_AWAY));
    place.calls_left.store(usize::MAX, Ordering::SeqCst);
    assert_eq!(one.holds("anna").await, (true, false));
    let running = one.open().await;
    for held in [one.init(&place).await.map(drop), one.join(&place).await.map(drop)] {
        let held = held.unwrap_err();
        assert!(held.public.contains("is held by another process"), "{held}");
    }
    running.close().await.unwrap();
    one.init(&place).await.unwrap();
    two.init(&other).await.unwrap();
    assert!(state(two.init(&place).await).contains("run `kwic-team fleet leave` first"));
    assert!(state(two.join(&place).await).contains("run `kwic-team fleet leave` first"));
    assert_eq!(two.holds("bert").await, (true, true));
    fleet_commands::leave(&two.config).await.unwrap();
    assert_eq!(two.holds("bert").await, (true, false));
    assert!(!two.keys().join("epoch-1.key").exists(), "it can read nothing of the log any more");
    assert!(state(two.init(&place).await).contains("run `kwic-team fleet join`"));
    assert_eq!(two.holds("bert").await, (true, false));
    assert_eq!(two.names(), ["keys", "kwic.redb"]);
    // A place that has lost its log, which is more than its beginning.
    let log = place.log().with_keys(keys_in(&one.keys()));
    let store = one.open().await;
    log.join(&store, LogLine::new(&log)).await;
    store.member_create(&ACTOR, member("acme", "carl")).await.unwrap();
    store.close().await.unwrap();
    // The log comes back from a backup: a join would lose what only this store has.
    log.lose_tail(1);
    let told = state(one.join(&place).await);
    assert!(told.contains("(up to entry 1, and the log ends at 0)"), "{told}");
    assert!(told.contains("kwic.redb` away"), "{told}");
    assert_eq!(one.names(), ["keys", "kwic.redb"]);
    place.log.lock().unwrap().take();
    assert!(state(one.init(&place).await).contains("a place without its log"));
    assert!(place.log.lock().unwrap().is_none());
}

#[tokio::test]
async fn an_init_that_was_cut_off_goes_on_when_it_is_run_again() {
    // The calls: inspect, create, open.
    for calls in 0..3 {
        let place = Place::new();
        let folder = Folder::with_member("anna").await;
        place.calls_left.store(calls, Ordering::SeqCst);
        assert_eq!(refused(folder.init(&place).await), (Kind::Busy, LOG_AWAY));
        assert_eq!(folder.holds("anna").await, (true, calls > 0), "after {calls}");
        place.calls_left.store(usize::MAX, Ordering::SeqCst);
        let begun = folder.init(&place).await.unwrap();
        assert!(begun.snapshot_bytes.is_some());
        assert_eq!(place.log.lock().unwrap().as_ref().unwrap().0, begun.fleet.log);
    }
}

/// Gives a node a log in a database of its own.
fn configure(node: &Sidecar, server: &PostgresServer, database: &str) {
    let log = postgres_log(node, server.port, database);
    fleet_fixture::configure(node, &format!("{log}max_staleness = \"10s\"\non_stale = \"deny\"\n"));
}

#[test]
fn two_sidecars_on_one_postgresql_by_the_commands_alone() {
    let Some(server) = PostgresServer::shared() else { return };
    let (mut first, mut second) = (Sidecar::start(), Sidecar::start());
    first.account("acme");
    first.members("acme", &[("ann", "operator"), ("leo", "operator")]);
    let running = complaint(&first, &["fleet", "leave", "--yes"]);
    assert!(running.contains("stop it, then run the command again"), "{running}");
    assert!(complaint(&first, &["fleet", "init"]).contains("`fleet.log` is not set"));
    stop(&mut first);
    stop(&mut second);
    server.sql("CREATE DATABASE fleet_commands");
    for node in [&first, &second] {
        configure(node, &server, "fleet_commands");
    }
    let early = complaint(&second, &["fleet", "join", "--yes"]);
    assert!(early.contains("there is no log at `fleet.log`"), "{early}");
    let begun = json(&first, &["fleet", "init"]);
    assert!(begun["snapshot_bytes"].as_u64().unwrap() > 10_000, "{begun}");
    let strange = complaint(&second, &["fleet", "join", "--yes"]);
    assert!(strange.contains("copy the folder `keys` of another node"), "{strange}");
    give_keys(&first, &second);
    let joined = json(&second, &["fleet", "join", "--yes"]);
    assert_eq!(joined["log"], begun["log"]);
    assert!(Path::new(joined["kept"].as_str().unwrap()).exists());
    first.restart();
    second.restart();
    let asked = question("leo", "chats:view", ("chat", "c"), "acme");
    eventually("the second node is fresh", || second.tcp().allows(&asked));
    first.ok(&["member", "remove", "leo", "--yes"]);
    eventually("the removal is a deny on the second node", || !second.tcp().allows(&asked));
    // And back to a single file.
    stop(&mut second);
    let left = json(&second, &["fleet", "leave", "--yes"]);
    assert_eq!(left["node"], joined["node"]);
    fleet_fixture::configure(&second, "");
    second.restart();
    let ann = question("ann", "chats:view", ("chat", "c"), "acme");
    assert!(second.tcp().allows(&ann) && !second.tcp().allows(&asked));
}

#[test]
fn a_join_that_is_killed_at_any_moment_leaves_a_store_that_starts() {
    let Some(server) = PostgresServer::shared() else { return };
    let (mut first, mut second) = (Sidecar::start(), Sidecar::start());
    first.account("acme");
    first.members("acme", &[("ann", "operator")]);
    stop(&mut first);
    stop(&mut second);
    server.sql("CREATE DATABASE fleet_killed");
    for node in [&first, &second] {
        configure(node, &server, "fleet_killed");
    }
    json(&first, &["fleet", "init"]);
    give_keys(&first, &second);
    let (data, store) = (second.path("data"), second.path("data/kwic.redb"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut killed, mut ended, mut after) = (0, 0, 2);
    while ended < 2 {
        let mut joining = std::process::Command::new(binary())
            .args(["fleet", "join", "--yes", "--data"])
            .arg(&data)
            .arg("--config")
            .arg(second.path("kwic-team.toml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(after));
        let _ = joining.kill();
        let was_killed = joining.wait().unwrap().code().is_none();
        (killed, ended) = (killed + usize::from(was_killed), ended + usize::from(!was_killed));
        after += 1 + after / 8;
        runtime.block_on(async {
            let there = Store::view(&store).await.unwrap();
            // Either that of before, or that of the fleet.
            let knows = there.member(&id("ann")).await.unwrap().is_some();
            assert_eq!(there.fleet().await.unwrap().is_some(), knows);
        });
        abandoned_files::remove_of_restores(&data, &store);
        for entry in fs::read_dir(&data).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(!name.contains("joining") && !name.ends_with(".new"), "{name}");
        }
    }
    assert!(killed > 5, "{killed} were killed");
    first.restart();
    second.restart();
    let asked = question("ann", "chats:view", ("chat", "c"), "acme");
    eventually("the second node is fresh", || second.tcp().allows(&asked));
}
