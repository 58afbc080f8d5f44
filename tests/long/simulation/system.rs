//! The real system under the simulation: the services over a real store on a disk that loses power, a
//! mail server in memory, a manual clock.
//!
//! Independent of the model.

use std::pin::pin;
use std::sync::Arc;

use kwic_team::app::App;
use kwic_team::clock::Clock;
use kwic_team::config::Config;
use kwic_team::directory::Directory;
use kwic_team::domain::{Failure, Revision, Timestamp};
use kwic_team::keys::Keys;
use kwic_team::mail::{InMemoryServer, Mailer};
use kwic_team::password::PasswordHasher;
use kwic_team::services::directory_sync;
use kwic_team::store::Store;
use kwic_team::store::change_feed::Follower;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::policies::{self, Set};
use crate::support::failing_storage::{FailingStorage, Survives};

const BEGINS: Timestamp = Timestamp(1_764_000_000_000);
/// A change that hangs is a bug; this many looks are some seconds.
const LOOKS_MAX: usize = 5_000;

/// What happens to a change while it is made.
#[derive(Clone, Copy, Debug)]
pub enum Interruption {
    /// The power goes at a sync, from 1, or right after the change where it has fewer.
    Power { sync: usize, survives: Survives },
    /// The caller hangs up at a sync, from 1; the change goes on.
    HangUp { sync: usize },
}

/// How a change ended, as far as its caller knows.
#[derive(Debug)]
pub enum Ended<T> {
    Done(T),
    Refused(Failure),
    /// Nobody heard the end: it was made or not. `true` where it must have been made.
    Unheard(bool),
}

/// One sidecar, without sockets.
pub struct System {
    pub clock: Clock,
    pub disk: FailingStorage,
    pub memory: InMemoryServer,
    pub app: Arc<App>,
    /// Every change since the last start, in order.
    pub feed: Follower,
    /// What the store knew at the last start.
    pub begun_at: Revision,
    pub cut: Option<Interruption>,
    home: TempDir,
    tasks: Vec<JoinHandle<()>>,
}

impl System {
    /// An empty one.
    pub async fn new(set: Set) -> Self {
        let (clock, disk, memory) =
            (Clock::fixed(BEGINS), FailingStorage::default(), InMemoryServer::default());
        let home = tempfile::tempdir().unwrap();
        let started = start(&clock, &disk, &memory, &home, set).await;
        Self {
            clock,
            disk,
            memory,
            app: started.app,
            feed: started.feed,
            begun_at: started.begun_at,
            cut: None,
            home,
            tasks: started.tasks,
        }
    }

    pub fn now(&self) -> i64 {
        self.clock.now().0
    }

    pub fn store(&self) -> &Store {
        &self.app.store
    }

    /// Makes a change, with whatever is to happen to it.
    pub async fn change<T>(
        &mut self,
        set: Set,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> Ended<T> {
        let idle = Handle::current().metrics().num_alive_tasks();
        match self.cut.take() {
            None => {
                let ended = call.await;
                // What it has begun on the side counts to it.
                self.quiet(idle).await;
                ended.map_or_else(Ended::Refused, Ended::Done)
            }
            Some(Interruption::Power { sync, survives }) => {
                self.disk.cut_at_sync(sync);
                let ended = match call.await {
                    Ok(value) => Ended::Done(value),
                    Err(_) if self.disk.is_off() => Ended::Unheard(false),
                    Err(failure) => Ended::Refused(failure),
                };
                self.crash(set, survives, |_| {}).await;
                ended
            }
            Some(Interruption::HangUp { sync }) => self.hang_up(sync, call).await,
        }
    }

    async fn hang_up<T>(
        &mut self,
        sync: usize,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> Ended<T> {
        let wait = self.disk.wait_at_sync(sync);
        let idle = Handle::current().metrics().num_alive_tasks();
        let heard = {
            let mut call = pin!(call);
            tokio::select! {
                biased;
                heard = &mut call => Some(heard),
                () = wait.begun() => None,
            }
        };
        wait.end();
        let Some(heard) = heard else {
            self.quiet(idle).await;
            return Ended::Unheard(true);
        };
        heard.map_or_else(Ended::Refused, Ended::Done)
    }

    /// Waits until only so many tasks are left.
    async fn quiet(&self, idle: usize) {
        for _ in 0..LOOKS_MAX {
            if Handle::current().metrics().num_alive_tasks() <= idle {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        panic!("a change that nobody waits for does not end");
    }

    /// The power goes, and comes back; `meanwhile` gets the disk while nothing runs.
    pub async fn crash(
        &mut self,
        set: Set,
        survives: Survives,
        meanwhile: impl FnOnce(&FailingStorage),
    ) {
        self.disk = self.disk.after_power_cut(survives);
        for task in self.tasks.drain(..) {
            task.abort();
            let _ = task.await;
        }
        meanwhile(&self.disk);
        let started = start(&self.clock, &self.disk, &self.memory, &self.home, set).await;
        self.app = started.app;
        self.feed = started.feed;
        self.begun_at = started.begun_at;
        self.tasks = started.tasks;
    }
}

struct Started {
    app: Arc<App>,
    feed: Follower,
    begun_at: Revision,
    tasks: Vec<JoinHandle<()>>,
}

/// Opens everything, in the order of `serve`.
async fn start(
    clock: &Clock,
    disk: &FailingStorage,
    memory: &InMemoryServer,
    home: &TempDir,
    set: Set,
) -> Started {
    let on = disk.clone();
    let store = Store::on(move || on.clone(), clock.clone()).await.unwrap();
    let feed = store.subscribe();
    let directory = Arc::new(Directory::new());
    let follower = directory_sync::load(&store, &directory).await.unwrap();
    let begun_at = directory.revision();
    let tasks = vec![
        tokio::spawn(directory_sync::follow(Arc::clone(&directory), follower)),
        tokio::spawn(directory_sync::repair_store(store.clone())),
    ];
    let mut config = Config::default_for(home.path().to_owned());
    config.policies.dir = Some(home.path().join("policies"));
    let mut app = App::new(config, clock.clone(), policies::smallest(), directory, store).unwrap();
    // Loaded once for all runs; a run that reloads takes the folder through the gate.
    app.policies.store(Arc::clone(&set.loaded().unwrap().1));
    app.keys = Keys::open(&home.path().join("keys")).unwrap();
    app.mailer = Mailer::memory(memory).unwrap();
    app.hasher = PasswordHasher::cheap().unwrap();
    Started { app: Arc::new(app), feed, begun_at, tasks }
}
