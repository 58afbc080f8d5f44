//! When a policy set becomes live: before the comparison, also at a start; not at a low priority;
//! and by itself once a transient error is gone.
//!
//! The real sidecar, and services on a store in memory. No test measures time.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kwic_team::app::App;
use kwic_team::clock::Clock;
use kwic_team::config::{Config, PolicySource};
use kwic_team::directory::Directory;
use kwic_team::domain::Timestamp;
use kwic_team::engine::Snapshot;
use kwic_team::policy_folder;
use kwic_team::services::permits::StorePermit;
use kwic_team::services::startup_policies::StartOptions;
use kwic_team::services::{directory_sync, reload, startup_policies};
use kwic_team::store::{AuditFilter, Store};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::reload::{may_view_templates, readiness, role_file, with_ann, without_tests};
use crate::support::sidecar::{
    PATIENCE, Sidecar, Start, copy_folder, eventually, shipped_policies,
};

/// A role file of the shipped folder that allows more.
fn widen(policies: &Path) {
    let role = policies.join("roles/contact_manager.cedar");
    let text = fs::read_to_string(&role).unwrap();
    let more = "KWIC::Action::\"templates:view\", KWIC::Action::\"contacts:view\"";
    fs::write(&role, text.replacen("KWIC::Action::\"contacts:view\"", more, 1)).unwrap();
    let _ = fs::remove_dir_all(policies.join("tests"));
}

const WIDENED: &str = "contact_manager gains templates:view on account, template";

/// An application on a copy of the shipped folder, which is live.
async fn application(home: &Path, store: Store) -> Arc<App> {
    let mut config = Config::default_for(home.to_owned());
    config.policies.dir = Some(home.join("policies"));
    let begun = Snapshot::load(&policy_folder::embedded_policies(), &[]).unwrap();
    let directory = Arc::new(Directory::new());
    let follower = directory_sync::load(&store, &directory).await.unwrap();
    tokio::spawn(directory_sync::follow(Arc::clone(&directory), follower));
    Arc::new(App::new(config, a_clock(), begun, directory, store).unwrap())
}

fn a_clock() -> Clock {
    Clock::fixed(Timestamp(1_764_000_000_000))
}

/// The lines about what reloads changed, in the audit log.
async fn told(store: &Store) -> Vec<String> {
    let log = store.audit(None, &AuditFilter::default(), None, 10).await.unwrap();
    let fields = log.items.into_iter().flat_map(|entry| entry.detail).flatten();
    fields.filter(|line| line.field == "change").filter_map(|line| line.after).collect()
}

/// Lets others go on until something holds.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "waited {PATIENCE:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_set_answers_before_it_is_compared_and_the_report_follows() {
    let home = tempfile::tempdir().unwrap();
    copy_folder(&shipped_policies(), &home.path().join("policies"));
    let app = application(home.path(), Store::in_memory(a_clock()).await.unwrap()).await;
    // Nothing is compared until this one ends.
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let (begin, begun) = std::sync::mpsc::channel::<()>();
    let comparisons = app.comparisons.clone();
    let other = tokio::spawn(async move {
        let wait = move || {
            begin.send(()).unwrap();
            let _ = ended.recv();
        };
        comparisons.run("test", wait).await
    });
    until("the other comparison runs", || begun.try_recv().is_ok()).await;
    let before = app.policies.load().digest();
    widen(&home.path().join("policies"));
    let asked = |app: &Arc<App>| {
        let app = Arc::clone(app);
        tokio::spawn(async move { reload::check(&app, &StorePermit::system()).await })
    };
    let checked = asked(&app);
    for _ in 0..1_000 {
        if app.reloading.try_lock().is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let reloading = Arc::clone(&app);
    let reload =
        tokio::spawn(async move { reload::reload_now(&reloading, StorePermit::system()).await });
    until("the set is live", || app.policies.load().digest() != before).await;
    assert!(!reload.is_finished(), "it is not compared yet");
    assert_eq!(told(&app.store).await, [""; 0]);
    drop(end);
    other.await.unwrap().unwrap();
    let report = reload.await.unwrap().unwrap();
    assert_eq!(report.changes.gains, [WIDENED]);
    assert_eq!(told(&app.store).await, [WIDENED, "nobody loses access"]);
    assert_eq!(checked.await.unwrap().unwrap().digest, report.digest);
}

#[tokio::test]
async fn a_start_begins_with_a_changed_set_and_tells_what_it_changes_afterwards() {
    let home = tempfile::tempdir().unwrap();
    let policies = home.path().join("policies");
    copy_folder(&shipped_policies(), &policies);
    let store = Store::in_memory(a_clock()).await.unwrap();
    let start = async || {
        let (dir, held) = (Some(policies.clone()), Vec::new());
        let source = PolicySource::Folder;
        let options = StartOptions { dir, source, hold_widening: false, demand_proof: false, held };
        startup_policies::at_start(options, &store, a_clock().now()).await.unwrap()
    };
    let kept = async || store.policies_last_good().await.unwrap().unwrap().digest;
    let first = start().await;
    assert!(first.untold.is_none());
    assert_eq!(kept().await, first.snapshot.digest());
    assert_eq!(told(&store).await, [""; 0], "there was none before");
    widen(&policies);
    let next = start().await;
    let untold = next.untold.unwrap();
    assert_ne!(kept().await, next.snapshot.digest(), "nothing is compared yet");
    let app = application(home.path(), store.clone()).await;
    let live = next.snapshot.digest();
    app.policies.store(Arc::new(next.snapshot));
    let alone = Arc::clone(&app.reloading).lock_owned().await;
    startup_policies::tell(Arc::clone(&app), untold, alone).await;
    assert_eq!(kept().await, live);
    assert_eq!(told(&store).await, [WIDENED, "nobody loses access"]);
    assert!(app.reloading.try_lock().is_ok());
    assert!(start().await.untold.is_none());
}

/// How many files the sidecar may have open from now on; answers how many they were.
fn allow_files(sidecar: &Sidecar, current: Option<u64>) -> Option<u64> {
    let pid = Pid::from_raw(sidecar.pid().try_into().unwrap());
    let limit = Rlimit { current, maximum: getrlimit(Resource::Nofile).maximum };
    prlimit(pid, Resource::Nofile, limit).unwrap().current
}

#[test]
fn a_folder_that_cannot_be_read_for_now_is_not_refused_and_is_tried_again() {
    let sidecar = with_ann(&Start { unwatched: true, ..Start::default() });
    without_tests(&sidecar);
    role_file(&sidecar, true);
    let (mut operator, mut stranger) = (sidecar.admin(), sidecar.tcp());
    // Both connections are accepted before no file can be opened any more.
    assert_eq!(operator.get("/readyz").status, 200);
    assert_eq!(stranger.get("/readyz").json().get("fault"), None);
    let files = allow_files(&sidecar, Some(3));
    let answer = operator.send("POST", "/api/v1/policies/reload", "", "");
    let ready = stranger.get("/readyz").json();
    allow_files(&sidecar, files);
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")), "{answer:?}");
    let problem = answer.json();
    assert_eq!(problem["code"], "policies_unread", "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("cannot be read: Too many open files"), "{detail}");
    assert!(detail.ends_with("; it is tried again by itself in 2 s"), "{detail}");
    assert_eq!(
        ready["fault"],
        "the policy folder: could not be read, and is tried again; see the log, or run `kwic-team doctor`"
    );
    assert!(!sidecar.log_text().contains("refused"), "{}", sidecar.log_text());
    // Nobody asks again, and nobody watches the folder.
    eventually("the folder is live", || may_view_templates(&sidecar));
    assert_eq!(readiness(&sidecar).get("fault"), None);
}

/// Name, nice value and scheduling class of a process or thread.
fn standing(stat: &Path) -> Option<(String, i32, i32)> {
    let stat = fs::read_to_string(stat).ok()?;
    let (before, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let number = |field: usize| fields.get(field - 3)?.trim().parse().ok();
    Some((before.split_once('(')?.1.to_owned(), number(19)?, number(41)?))
}

/// The processes that a process has begun.
fn children(pid: u32) -> Vec<std::path::PathBuf> {
    let parent = |stat: &Path| -> Option<u32> {
        let stat = fs::read_to_string(stat).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let stats = entries.map(|entry| entry.path().join("stat"));
    stats.filter(|stat| parent(stat) == Some(pid)).collect()
}

#[test]
fn neither_the_gate_nor_what_swaps_the_set_stands_behind_everything() {
    let sidecar = with_ann(&Start { unwatched: true, ..Start::default() });
    without_tests(&sidecar);
    // The test itself may have been begun further behind.
    let (_, own, class) = standing(Path::new("/proc/self/stat")).unwrap();
    let end = Instant::now() + PATIENCE;
    let (mut gates, mut threads) = (0, 0);
    while gates == 0 || threads == 0 {
        assert!(Instant::now() < end, "{gates} processes and {threads} threads were seen");
        role_file(&sidecar, gates % 2 == 0);
        std::thread::scope(|scope| {
            let reload = scope.spawn(|| sidecar.ok(&["policy", "reload"]));
            while !reload.is_finished() {
                for child in children(sidecar.pid()).iter().filter_map(|stat| standing(stat)) {
                    assert_eq!((child.1, child.2), (own, class), "{child:?}");
                    gates += 1;
                }
                let tasks = fs::read_dir(format!("/proc/{}/task", sidecar.pid())).unwrap();
                for task in tasks.filter_map(Result::ok) {
                    let Some((name, nice, of)) = standing(&task.path().join("stat")) else {
                        continue;
                    };
                    // Nobody waits for a decision that is asked again.
                    if name != "cross-check" {
                        assert!(of == class && nice <= own.max(5), "{name}: {nice}, class {of}");
                        threads += usize::from(name == "management");
                    }
                }
            }
        });
    }
}
