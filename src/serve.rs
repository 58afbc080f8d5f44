//! The composition root: open, wire, listen, announce, wait, drain.
//!
//! Contains no logic of its own.

pub mod demo;
pub mod fleet_commands;
pub mod folder_lock;
pub mod offline_backup;

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, OwnedMutexGuard, watch};
use tokio::task::JoinSet;

use crate::app::{App, ConsoleUrls, FleetNode, Reloading};
use crate::background;
use crate::backup::{abandoned_files, replaced_stores, staged_restore};
use crate::clock::Clock;
use crate::config::{Config, OnStale, Policies, PolicySource, remedy, resolve_symlinks};
use crate::directory::Directory;
use crate::domain::{Digest, Failure, Kind, PolicyCause, plural};
use crate::fleet::key_cipher::FleetCipher;
use crate::gate;
use crate::http::{ConnectionBounds, Listen, Listener, SOCKET_TAKEN, Server, SmallRequest};
use crate::keys::epoch_keys::EpochKeys;
use crate::keys::{Keys, caller_keys};
use crate::mail::Mailer;
use crate::open_file_limit;
use crate::own_socket_file;
use crate::policy_folder::{self, FolderWatch};
use crate::routes;
use crate::services::permits::StorePermit;
use crate::services::store_and_key_checks::{self, keys_are_there};
use crate::services::{
    cross_check, directory_sync, fleet_follow, fleet_snapshots, fleet_status, import,
    mail_delivery, policy_publish, policy_reload_loops, reload, sessions, set_up, shadow,
    startup_policies, two_step,
};
use crate::store::change_feed::Follower;
use crate::store::shared_log::SharedLog;
use crate::store::shared_log_encryption::LogSeal;
use crate::store::{self, Store, shared_log_backend};
use crate::telemetry::log::{self, LogFormat, say};

/// Decisions never wait: what delays their listeners longer than this is a caller.
const DECISIONS_DRAIN_MS_MAX: u64 = 2_000;
/// How long the end waits for the store: for what still reads or writes it, and until it is closed.
const CLOSE_MS_MAX: u64 = 5_000;
/// The permissions of `admin.sock`: its owner is the operator.
const ADMIN_MODE: u32 = 0o600;
/// How often the files of sockets are checked.
const SOCKET_LOOK_EVERY: Duration = Duration::from_secs(1);
/// A file exceeded the limit on the size of files (`setrlimit(2)`). Unhandled, the signal would end
/// the process; handled, the write fails like any other.
const SIGXFSZ: i32 = 25;

/// Serves until a signal stops it, on the runtime of management.
///
/// # Errors
/// A sentence that says what to do, when something cannot be opened, loaded or bound.
pub async fn run(config: Config, demo: bool) -> Result<(), Failure> {
    let (opened, store) = watch::channel(None);
    let served = serve(config, demo, opened, store.clone()).await;
    close(store).await;
    served
}

/// Closes the store, however the sidecar came to its end: else the process may end while another
/// thread closes it, which leaves the file as after a crash.
async fn close(mut store: watch::Receiver<Option<Store>>) {
    let close = async {
        // One that is being opened comes; one that could not be opened does not.
        let store = store.wait_for(Option::is_some).await.ok().and_then(|store| store.clone());
        match store {
            Some(store) => store.close().await,
            None => Ok(()),
        }
    };
    let closed = tokio::time::timeout(Duration::from_millis(CLOSE_MS_MAX), close).await;
    let cause = match closed {
        Ok(Ok(())) => return,
        Ok(Err(fault)) => fault.private.unwrap_or(fault.public),
        Err(_) => "it is still in use".to_owned(),
    };
    tracing::warn!(
        cause,
        "the store was not closed: the next start finds it as after a crash, with every change that was acknowledged"
    );
}

/// Serves until a signal ends it. The store is sent to `opened` as soon as it is open.
async fn serve(
    mut config: Config,
    demo: bool,
    opened: watch::Sender<Option<Store>>,
    store: watch::Receiver<Option<Store>>,
) -> Result<(), Failure> {
    if demo {
        config.mail.kind = Some("folder".to_owned());
    }
    let format = if config.telemetry.log_json { LogFormat::Json } else { LogFormat::Text };
    let _writers = log::begin(format, &config.telemetry.log_level);
    fit_connections(&mut config)?;
    let decisions = DecisionThreads::new()?;
    let sockets = BoundSockets::bind(&config, &decisions).await?;
    let mut signals = Signals::listen()?;
    // Before the folder is read: a change during the read must be noticed later.
    let Policies { dir, source, watch, .. } = &config.policies;
    let watches = *watch && *source == PolicySource::Folder;
    let watch = dir.as_deref().filter(|_| watches).map(FolderWatch::new);
    let OpenedData { app, follower, untold } = tokio::select! {
        opened = decisions.open(config, demo, sockets.console.place(), opened, Handle::current()) => opened?,
        // However long a large store or a hanging disk takes. Closed here: the threads that open it
        // end with this function.
        () = signals.end() => {
            close(store).await;
            return Ok(());
        }
    };
    let following = tokio::spawn(directory_sync::follow(Arc::clone(&app.directory), follower));
    {
        // Until the end: what is stopped still changes the store.
        let app = Arc::clone(&app);
        let mend = directory_sync::repair_store(app.store.clone());
        tokio::spawn(async move { app.tasks.run("store", mend).await });
    }
    if demo {
        demo::populate(&app).await?;
    }
    let all = bounds(&app.config);
    let server = decisions
        .server(ConnectionBounds { drain_ms: all.drain_ms.min(DECISIONS_DRAIN_MS_MAX), ..all });
    let (mut answering, mut managing, mut tasks) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
    let mut places = Vec::new();
    for listener in sockets.decision {
        places.push(("decisions", listener.place()));
        let (app, server) = (Arc::clone(&app), server.clone());
        let mode = app.config.decision.socket_mode;
        let known = Arc::clone(&app);
        let serving = keep_listening(known, listener, mode, move |listener| {
            let (server, app) = (server.clone(), Arc::clone(&app));
            async move {
                let (own, asked) = (server.clone(), Arc::clone(&app));
                let at_once =
                    move |request: &SmallRequest<'_>| routes::decision_fast_path(&asked, request);
                let handler = move |request| {
                    routes::decision_full_path(Arc::clone(&app), own.clone(), request)
                };
                server.serve_with_fast_path(&listener, at_once, handler).await;
            }
        });
        answering.spawn_on(serving, decisions.handle());
    }
    let management = server.beside(all);
    places.push(("management", sockets.console.place()));
    places.push(("management for the command line", sockets.admin.place()));
    {
        let (app, server) = (Arc::clone(&app), management.clone());
        tasks.spawn(async move {
            let handler = move |request| routes::management(Arc::clone(&app), request);
            server.serve(&sockets.console, handler).await;
        });
    }
    {
        let (app, server) = (Arc::clone(&app), management.clone());
        let known = Arc::clone(&app);
        managing.spawn(keep_listening(known, sockets.admin, ADMIN_MODE, move |listener| {
            let (server, app) = (server.clone(), Arc::clone(&app));
            async move {
                let handler = move |request| routes::admin(Arc::clone(&app), request);
                server.serve(&listener, handler).await;
            }
        }));
    }
    if let Some(watch) = watch {
        lasting(&mut tasks, &app, "policy folder", |app| policy_reload_loops::watch(app, watch));
    }
    if app.has_policies_of_fleet() {
        lasting(&mut tasks, &app, "published policies", policy_publish::follow);
    }
    if app.fleet.is_some() {
        lasting(&mut tasks, &app, "shared log", fleet_follow::follow);
        lasting(&mut tasks, &app, "node report", fleet_status::report);
        lasting(&mut tasks, &app, "snapshots", fleet_snapshots::write);
        lasting(&mut tasks, &app, "nodes", fleet_status::watch_nodes);
    }
    if let Some((untold, reloading)) = untold {
        let tell = |app| startup_policies::tell(app, untold, reloading);
        lasting(&mut tasks, &app, "policies told", tell);
    }
    lasting(&mut tasks, &app, "policies", policy_reload_loops::retry_failed_reload);
    let mail = mail_delivery::deliver(Arc::clone(&app), app.store.subscribe());
    let mail = {
        let app = Arc::clone(&app);
        tokio::spawn(async move { app.tasks.run("mail", mail).await })
    };
    lasting(&mut tasks, &app, "bounces", mail_delivery::watch_bounces);
    lasting(&mut tasks, &app, "mail queue", mail_delivery::watch_queue);
    lasting(&mut tasks, &app, "sessions", sessions::run_expiry);
    lasting(&mut tasks, &app, "policies kept", policy_reload_loops::save_unsaved_policies);
    lasting(&mut tasks, &app, "imports", import::retry_spool);
    lasting(&mut tasks, &app, "cross-check", cross_check::run);
    lasting(&mut tasks, &app, "shadow folder", shadow::follow);
    lasting(&mut tasks, &app, "shadow", shadow::run);
    announce(&app, &places);
    offer_set_up(&app).await?;
    // A disk that takes nothing is told before the first change meets it.
    if demo {
        demo::introduce(&app, &places)
    } else {
        store_and_key_checks::try_the_disk(&app).await
    }
    say("ready");
    tokio::select! {
        () = signals.until_told(&app) => {}
        // At once: decisions would go on by the members of before.
        _ = following => return Err(not_followed()),
    }
    tasks.abort_all();
    managing.shutdown().await;
    app.stopping.send_replace(true);
    // A letter that is being sent is completed, or sent again at the next start.
    let patience = Duration::from_millis(app.config.limits.drain_ms_max);
    let (cut_off, _) = tokio::join!(management.drain(), tokio::time::timeout(patience, mail));
    // Decisions are answered until everything else has stopped, so that the interruption is short.
    answering.shutdown().await;
    let cut_off = cut_off + server.drain().await;
    tracing::info!(cut_off, "stopped");
    Ok(())
}

/// Starts a task that runs as long as the sidecar.
fn lasting<F: Future<Output = ()> + Send + 'static>(
    tasks: &mut JoinSet<()>,
    app: &Arc<App>,
    name: &'static str,
    task: impl FnOnce(Arc<App>) -> F,
) {
    let (app, task) = (Arc::clone(app), task(Arc::clone(app)));
    tasks.spawn(async move { app.tasks.run(name, task).await });
}

/// The directory no longer hears of changes.
fn not_followed() -> Failure {
    Failure::new(
        Kind::Internal,
        "not_followed",
        "the task that applies changes to decisions has failed because of a bug, and the sidecar stops: see the log, then start it again",
    )
}

/// `serve --check`: creates everything that `serve` creates from the configuration alone, and
/// checks the policies. Writes nothing, and does not open the store. Returns a summary.
///
/// # Errors
/// `PoliciesRefused` with every fault.
pub fn check(config: &Config) -> Result<String, Failure> {
    fit_connections(&mut config.clone())?;
    refuse_a_lost_store(config)?;
    unix_sockets(config).iter().try_for_each(Listen::check)?;
    read_keys(config)?;
    Mailer::checked(&config.mail)?;
    let files = match &config.policies.dir {
        Some(dir) => policy_folder::read(dir)?,
        None => policy_folder::embedded_policies(),
    };
    let snapshot = gate::admit(&files, &[], config.policies.demand_proof)?;
    let shadow = config.policies.shadow.as_deref().and_then(|dir| shadow::check(dir).err());
    let shadow = shadow.map(|fault| {
        format!("the shadow policies cannot be loaded, and would not be asked:\n{}", fault.public)
    });
    let warnings = config.warnings.iter().chain(&shadow);
    let warnings: String = warnings.map(|warning| format!("\nwarning: {warning}")).collect();
    Ok(format!(
        "the configuration is in order; {}, {}, {} passed{warnings}",
        plural(snapshot.policy_count(), "policy", "policies"),
        plural(snapshot.roles().len(), "role", "roles"),
        plural(snapshot.test_count(), "test", "tests")
    ))
}

/// The threads that answer decisions, and do nothing else: no page, no mail and no change is queued
/// before a decision.
struct DecisionThreads(Option<Runtime>, Handle);

impl DecisionThreads {
    fn new() -> Result<Self, Failure> {
        let runtime = background::decisions()
            .map_err(|fault| Failure::internal(format!("cannot start: {fault}")))?;
        let handle = runtime.handle().clone();
        Ok(Self(Some(runtime), handle))
    }

    const fn handle(&self) -> &Handle {
        &self.1
    }

    /// A server whose tasks run on these threads.
    fn server(&self, bounds: ConnectionBounds) -> Server {
        let _here = self.1.enter();
        Server::new(bounds)
    }

    /// Opens the store on these threads, which are idle at that time: on a busy host, threads of
    /// lower priority would delay the start. What lasts runs on those of management.
    async fn open(
        &self,
        config: Config,
        demo: bool,
        console: String,
        store: watch::Sender<Option<Store>>,
        management: Handle,
    ) -> Result<OpenedData, Failure> {
        let opening =
            async move { Box::pin(open(config, demo, &console, &store, management)).await };
        let opened = self.1.spawn(opening).await;
        opened.map_err(|fault| Failure::internal(format!("cannot start: {fault}")))?
    }

    /// Binds a socket whose readiness is reported to these threads.
    async fn bind(&self, listen: Listen) -> Result<Listener, Failure> {
        let bound = self.1.spawn(async move { listen.bind().await }).await;
        bound.map_err(|fault| Failure::internal(format!("cannot listen: {fault}")))?
    }
}

impl Drop for DecisionThreads {
    /// Without waiting, which a task may not do: connections were drained before.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// All sockets, bound before anything slow starts: a second sidecar fails early.
struct BoundSockets {
    decision: Vec<Listener>,
    /// The management API on its port.
    console: Listener,
    /// The same for the operator of the sidecar.
    admin: Listener,
}

impl BoundSockets {
    async fn bind(config: &Config, decisions: &DecisionThreads) -> Result<Self, Failure> {
        make_private(&config.data)?;
        let path = config.data.join("admin.sock");
        let admin = Listen::Unix { path: path.clone(), mode: ADMIN_MODE }.bind().await;
        let is_taken = admin.as_ref().is_err_and(|fault| fault.code == SOCKET_TAKEN);
        if is_taken && folder_lock::restores(&path).await {
            return Err(folder_lock::restoring(&config.data));
        }
        let admin = admin?;
        let console = Listen::Tcp(config.console.listen).bind().await?;
        let mut decision = vec![decisions.bind(Listen::Tcp(config.decision.listen)).await?];
        if let Some(path) = &config.decision.socket {
            let mode = config.decision.socket_mode;
            decision.push(decisions.bind(Listen::Unix { path: path.clone(), mode }).await?);
        }
        Ok(Self { decision, console, admin })
    }
}

/// Where the sockets in the file system lie.
#[must_use]
pub fn socket_paths(config: &Config) -> Vec<PathBuf> {
    let paths = unix_sockets(config).into_iter().filter_map(|socket| match socket {
        Listen::Unix { path, .. } => Some(path),
        Listen::Tcp(_) => None,
    });
    paths.collect()
}

/// The sockets in the file system, by their paths.
fn unix_sockets(config: &Config) -> Vec<Listen> {
    let admin = Listen::Unix { path: config.data.join("admin.sock"), mode: ADMIN_MODE };
    let mode = config.decision.socket_mode;
    let decision = config.decision.socket.clone().map(|path| Listen::Unix { path, mode });
    [Some(admin), decision].into_iter().flatten().collect()
}

/// Serves a listener. If the file of its socket is removed, as cleaners of old files do, or
/// replaced by a dead one, the socket is recreated.
async fn keep_listening<F: Future<Output = ()>>(
    app: Arc<App>,
    listener: Listener,
    mode: u32,
    serve: impl Fn(Arc<Listener>) -> F,
) {
    let mut listener = Arc::new(listener);
    loop {
        if let Listener::Unix(_, file) = &*listener {
            app.watch_socket(file);
        }
        tokio::select! {
            () = serve(Arc::clone(&listener)) => return,
            anew = made_anew(&listener, mode) => listener = Arc::new(anew),
        }
    }
}

/// Returns a new socket if the file of this one was removed or replaced. While the file in its
/// place must not be removed, the old socket serves open connections, and readiness reports it.
async fn made_anew(listener: &Listener, mode: u32) -> Listener {
    let Listener::Unix(_, file) = listener else { return std::future::pending().await };
    let (path, mut told) = (file.path(), false);
    loop {
        tokio::time::sleep(SOCKET_LOOK_EVERY).await;
        if file.is_in_place() {
            told = false;
            continue;
        }
        match (Listen::Unix { path: path.to_owned(), mode }).bind().await {
            Ok(anew) => {
                tracing::warn!(socket = %path.display(), "the socket was removed or replaced, and was recreated");
                return anew;
            }
            Err(fault) if !told => {
                tracing::error!(socket = %path.display(), "clients cannot reach the socket, since another file has its path: {}", fault.public);
                told = true;
            }
            Err(_) => {}
        }
    }
}

/// Makes the data folder private to its owner. A private one is not touched: its disk may be full
/// or read-only.
fn make_private(data: &Path) -> Result<(), Failure> {
    let private = || fs::metadata(data).map(|meta| meta.permissions().mode() & 0o7777 == 0o700);
    let made = match private() {
        Ok(true) => return Ok(()),
        _ => fs::DirBuilder::new().recursive(true).mode(0o700).create(data),
    };
    made.and_then(|()| fs::set_permissions(data, fs::Permissions::from_mode(0o700))).map_err(
        |fault| {
            let next = remedy(&fault).map_or(String::new(), |remedy| format!("{remedy}, or "));
            Failure::new(
                Kind::Internal,
                "data",
                format!(
                    "the data folder `{}` cannot be created, or made private to its owner: {fault}; {next}give another --data",
                    data.display()
                ),
            )
        },
    )
}

/// What was opened at the start.
struct OpenedData {
    app: Arc<App>,
    /// The feed continues from the directory's revision.
    follower: Follower,
    /// The changes of the policies since the last start, to be reported once decisions are
    /// answered; nothing reloads before.
    untold: Option<(startup_policies::UnannouncedPolicies, OwnedMutexGuard<Reloading>)>,
}

/// Store, directory, policies, keys, mail. The store is sent to `opened` before anything is done with it.
async fn open(
    config: Config,
    demo: bool,
    console: &str,
    opened: &watch::Sender<Option<Store>>,
    management: Handle,
) -> Result<OpenedData, Failure> {
    let clock = if demo { demo::clock() } else { Clock::System };
    if !demo {
        remove_stale_files(&config)?;
        refuse_a_lost_store(&config)?;
    }
    let store = if demo {
        Store::in_memory(clock.clone()).await?
    } else {
        Store::open(&config.store.path, config.store.cache_mb, clock.clone()).await?
    };
    opened.send_replace(Some(store.clone()));
    let keys = config.data.join("keys");
    keys_are_there(&store, &keys).await?;
    // Before anything is changed: each change goes by the log.
    let fleet = join_fleet(&config, &store, &clock, management).await?;
    // A letter that was leased by a process that has ended is due again when its lease expires.
    unless_full(store.letters_release().await)?;
    // With many members or policies this takes seconds, so progress is logged.
    tracing::info!("reading the members");
    let directory = Arc::new(Directory::new());
    let (seen, places) = std::sync::mpsc::channel();
    let follower = directory_sync::load_and(&store, &directory, move |session| {
        let _ = seen.send(session.clone());
    })
    .await?;
    let caller_keys = read_keys(&config)?;
    let held = directory.roles_held();
    tracing::info!(members = directory.len(), "checking the policies");
    let Policies { dir, source, hold_widening, demand_proof, .. } = config.policies.clone();
    let options = startup_policies::StartOptions { dir, source, hold_widening, demand_proof, held };
    let start = startup_policies::at_start(options, &store, clock.now()).await?;
    let mailer = Mailer::from_config(&config.mail, &config.data)?;
    let links = ConsoleUrls::new(config.console.public_url.as_deref().unwrap_or(console));
    // All nodes have the same keys: none are made here.
    let (fleet, keys) = match fleet {
        Some((node, keys)) => (Some(node), keys),
        None => (None, Keys::open(&keys)?),
    };
    let mut app = App::new(config, clock, start.snapshot, directory, store)?;
    app.policy_status.store(Arc::new(start.status));
    app.reloading.lock().await.pending = start.pending;
    app.reload_due.send_replace(start.due);
    app.caller_keys.store(Arc::new(caller_keys));
    app.keys = keys;
    app.mailer = mailer;
    app.links = links;
    app.fleet = fleet;
    // Networks of earlier sign-ins are known again after a restart.
    places.iter().for_each(|session| sessions::recognize(&app, &session));
    let app = Arc::new(app);
    if let Some((resealed, unreadable)) =
        unless_full(two_step::reseal(&app.store, &app.keys).await)?
    {
        tell_resealed(resealed, unreadable);
        app.secrets_without_key.store(unreadable, Ordering::Relaxed);
    }
    tell_made_ahead(&app.store).await;
    let untold = match start.untold {
        Some(untold) => Some((untold, Arc::clone(&app.reloading).lock_owned().await)),
        None => None,
    };
    Ok(OpenedData { app, follower, untold })
}

/// Has the store follow the log of its fleet, and the keys of its nodes; `None` for a sidecar on its own.
async fn join_fleet(
    config: &Config,
    store: &Store,
    clock: &Clock,
    runtime: Handle,
) -> Result<Option<(Arc<FleetNode>, Keys)>, Failure> {
    let refused = |sentence: &str| Failure::new(Kind::Internal, "fleet", sentence);
    let (membership, fleet) = match (store.fleet().await?, &config.fleet) {
        (None, None) => return Ok(None),
        (Some(_), None) => {
            return Err(refused(
                "this store is of a node of a fleet, and `fleet.log` is not set: set it, or run `kwic-team fleet leave` to go on with this store alone",
            ));
        }
        (None, Some(_)) => {
            return Err(refused(
                "`fleet.log` is set, and this store is in no fleet: run `kwic-team fleet init` to begin a fleet with this store, or `kwic-team fleet join` to take the store of the fleet that is there; to go on alone, leave out the section `[fleet]`",
            ));
        }
        (Some(membership), Some(fleet)) => (membership, fleet),
    };
    let folder = config.data.join("keys");
    let keys = fleet_keys(&folder, store).await?;
    let epochs = EpochKeys::read(&folder)?;
    let position = store.fleet_position().await?;
    epochs.forget_behind(position.map_or(0, |position| position.head.index));
    check_writable(&folder, &epochs)?;
    if epochs.is_empty() {
        return Err(refused(
            "the epoch key of the log is missing in the folder `keys`: copy the folder `keys` of another node to this one, then start again",
        ));
    }
    let cipher = Arc::new(FleetCipher::new(keys.clone(), epochs));
    let log = shared_log_backend::open(fleet, membership.log, runtime)?;
    store.join_log(Arc::clone(&log) as Arc<dyn SharedLog>, cipher.clone()).await?;
    let seal = LogSeal::new(membership.log, cipher);
    let node = FleetNode::new(fleet, membership.node, log, seal, clock.now())?;
    let (answers, told) = (fleet.on_stale == OnStale::Answer, store.reported_answering().await?);
    if answers && told {
        node.staleness.answers();
    } else if told {
        // Before other nodes take its silence for denials.
        store.set_reported_answering(false).await?;
    }
    tracing::info!(
        name = node.name,
        id = %node.id,
        on_stale = fleet.on_stale.word(),
        max_staleness_s = fleet.max_staleness.as_secs(),
        "this is a node of a fleet"
    );
    Ok(Some((Arc::new(node), keys)))
}

/// Refuses a folder in which no key can ever be written. A disk that is full passes.
fn check_writable(folder: &Path, epochs: &EpochKeys) -> Result<(), Failure> {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    let fault = epochs.check_writable().err();
    let Some(fault) =
        fault.filter(|it| [PermissionDenied, ReadOnlyFilesystem].contains(&it.kind()))
    else {
        return Ok(());
    };
    let sentence = format!(
        "`{}` cannot be written: {fault}; the nodes of a fleet write keys of the log to it: give this node a folder of its own that it can write",
        folder.display()
    );
    Err(Failure::new(Kind::Internal, "keys", sentence))
}

/// The keys of a node, with those in use that the fleet uses.
async fn fleet_keys(folder: &Path, store: &Store) -> Result<Keys, Failure> {
    let keys = Keys::read(folder)?;
    let in_use = store.keys_in_use().await?.unwrap_or(keys.newest());
    let lacks = keys.lacks(in_use);
    if !lacks.is_empty() {
        let sentence = format!(
            "the nodes of the fleet use {}, which `{}` lacks: copy the folder `keys` of another node to it, then start again",
            quoted(&lacks),
            folder.display()
        );
        return Err(Failure::new(Kind::Internal, "keys", sentence));
    }
    keys.put_in_use(in_use);
    Ok(keys)
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ")
}

/// Tells of what was made under another clock, which opens nothing.
async fn tell_made_ahead(store: &Store) {
    // A disk that cannot be read is told elsewhere.
    let made_ahead = store.made_ahead().await.unwrap_or(0);
    if made_ahead > 0 {
        tracing::error!(
            made_ahead,
            "invites, links, sessions or API tokens are dated in the future, and do not work: the clock of this machine is behind, or was ahead; `kwic-team doctor` says what to do"
        );
    }
}

/// Ignores a failure because of a full or read-only disk, or of a log that is away: a later start
/// will do it. Decisions do not have to wait for it, and the store reports the fault.
fn unless_full<T>(done: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(fault) if is_outside(fault.code) => Ok(None),
        Err(fault) => Err(fault),
    }
}

fn is_outside(code: &str) -> bool {
    [store::UNAVAILABLE, store::LOG_AWAY, store::LOG_UNCLEAR, store::LOG_HALTED, store::CLOCK_AHEAD]
        .contains(&code)
}

/// Completes an interrupted restore, and removes leftovers of restores and backups: none is running
/// now.
fn remove_stale_files(config: &Config) -> Result<(), Failure> {
    if staged_restore::finish(&config.data, &config.store.path)?.is_some() {
        tracing::warn!("an interrupted restore was completed");
    }
    let mut removed = abandoned_files::remove(&config.data, &[]);
    removed.extend(abandoned_files::remove_of_restores(&config.data, &config.store.path));
    let mut sockets = own_socket_file::left_behind(&socket_paths(config));
    sockets.retain(|socket| fs::remove_file(socket).is_ok());
    removed.extend(sockets);
    for path in removed {
        tracing::warn!(path = %path.display(), "what an interrupted backup, restore, import or start had left was removed");
    }
    remove_old_stores(config);
    Ok(())
}

/// Removes stores that this node had before it joined its fleet, after the days that are configured.
fn remove_old_stores(config: &Config) {
    let Some(fleet) = &config.fleet else { return };
    let Ok(store) = resolve_symlinks(&config.store.path) else { return };
    for path in replaced_stores::remove_old(&store, fleet.keep_old_days, Clock::System.now()) {
        tracing::info!(path = %path.display(), "a store from before this node joined its fleet was removed, after `fleet.keep_old_days`");
    }
}

/// A sidecar with keys had a store: an empty one in its place would not know its members.
fn refuse_a_lost_store(config: &Config) -> Result<(), Failure> {
    let (store, keys) = (&config.store.path, config.data.join("keys"));
    resolve_symlinks(store)?;
    if config.fleet.is_some() && matches!(store.try_exists(), Ok(false)) {
        // An empty store would be made, which is in no fleet.
        let sentence = format!(
            "`fleet.log` is set, and there is no store `{}`: run `kwic-team fleet join` to begin with the store of the fleet, or put the file back",
            store.display()
        );
        return Err(Failure::new(Kind::Internal, "store_lost", sentence));
    }
    if !matches!(store.try_exists(), Ok(false)) || Keys::read(&keys)?.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Kind::Internal,
        "store_lost",
        format!(
            "there are keys in `{1}` and no store `{0}`: put the file back, mount its disk, or restore a backup with `kwic-team restore`; only where this is a new installation, remove `{1}` first",
            store.display(),
            keys.display()
        ),
    ))
}

/// Reports the re-encryption of secrets with the newest key.
fn tell_resealed(resealed: usize, unreadable: usize) {
    if resealed > 0 {
        tracing::info!(resealed, "secrets of second factors were encrypted with the newest key");
    }
    if unreadable > 0 {
        tracing::error!(
            unreadable,
            "secrets of second factors cannot be decrypted: put their keys back into the folder `keys`, or let members use a recovery code, or reset them with `kwic-team member reset-two-step`"
        );
    }
}

/// The keys of callers; none if no file is configured.
fn read_keys(config: &Config) -> Result<Vec<Digest>, Failure> {
    config.decision.keys_file.as_deref().map_or(Ok(Vec::new()), caller_keys::read)
}

/// Lowers `limits.connections_max` to what the limit on open files allows.
fn fit_connections(config: &mut Config) -> Result<(), Failure> {
    let listeners = 3 + usize::from(config.decision.socket.is_some());
    let (files, wanted) = (open_file_limit::raise_file_limit(), config.limits.connections_max);
    let fitted = open_file_limit::connections(files, listeners, wanted)?;
    if fitted < wanted {
        tracing::warn!(
            "`limits.connections_max` is {wanted}, and {files} open files are enough for {fitted} connections to each listener: allow {} with `ulimit -n`, or with `LimitNOFILE=` of the service, or lower `limits.connections_max`",
            open_file_limit::needed(listeners, wanted)
        );
    }
    config.limits.connections_max = fitted;
    Ok(())
}

fn bounds(config: &Config) -> ConnectionBounds {
    ConnectionBounds {
        connections: config.limits.connections_max,
        head_ms: config.limits.head_ms_max,
        body_ms: config.limits.body_ms_max,
        idle_ms: config.limits.idle_ms_max,
        drain_ms: config.limits.drain_ms_max,
        ..ConnectionBounds::default()
    }
}

/// Logs the version and the addresses.
fn announce(app: &App, places: &[(&str, String)]) {
    say(concat!("kwic-team ", env!("CARGO_PKG_VERSION")));
    for (what, place) in places {
        say(&format!("{what} on {place}"));
    }
    let policies = app.policies.load();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        members = app.directory.len(),
        revision = app.directory.revision().0,
        policies = policies.policy_count(),
        digest = policies.digest_hex(),
        watching = app.config.policies.dir.is_some()
            && app.config.policies.watch
            && !app.has_policies_of_fleet(),
        store = %app.config.store.path.display(),
        "started"
    );
    for warning in &app.config.warnings {
        tracing::warn!("{warning}");
    }
    if app.config.mail.kind.is_none() {
        tracing::warn!(
            "`mail.kind` is not set, so no mail is sent: links are shown to the person who invites"
        );
    }
    if let Some(slug) = &app.config.decision.single_account
        && !app.directory.has_account(slug.as_str())
    {
        tracing::warn!(account = %slug, "`decision.single_account` names an account that does not exist yet");
    }
}

/// For an empty store, prints a link that creates the first account and its administrator, once.
async fn offer_set_up(app: &App) -> Result<(), Failure> {
    if let Some(token) = set_up::offer_setup_link(app).await? {
        say(
            "there is no account yet: open this link to make one, or use `kwic-team account create`",
        );
        say(&format!("  {}", app.links.to("setup", &token)));
    }
    Ok(())
}

/// The signals that the sidecar handles, from before it is ready.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// Handled, so that it does not end the process.
    _too_large: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind)
                .map_err(|fault| Failure::internal(format!("signals cannot be received: {fault}")))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
            _too_large: listen(SignalKind::from_raw(SIGXFSZ))?,
        })
    }

    /// Waits for SIGTERM or SIGINT.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// The same; SIGHUP reloads the policies. However many arrive, one reload runs and one more
    /// follows.
    async fn until_told(mut self, app: &Arc<App>) {
        let told = Arc::new(Notify::new());
        let (app, heard) = (Arc::clone(app), Arc::clone(&told));
        tokio::spawn(async move {
            loop {
                heard.notified().await;
                // The outcome is in the log and in the status.
                let _ =
                    reload::reload_now(&app, StorePermit::system().because(PolicyCause::Signal))
                        .await;
            }
        });
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => told.notify_one(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_which_no_key_can_be_written_is_refused_with_what_to_do() {
        let check = |folder: &Path| check_writable(folder, &EpochKeys::read(folder).unwrap());
        // There nobody makes a file, not even the superuser.
        let refused = check(Path::new("/sys/kernel")).unwrap_err().public;
        assert!(refused.starts_with("`/sys/kernel` cannot be written"), "{refused}");
        assert!(
            refused.ends_with("give this node a folder of its own that it can write"),
            "{refused}"
        );
        let own = tempfile::tempdir().unwrap();
        check(own.path()).unwrap();
        assert_eq!(std::fs::read_dir(own.path()).unwrap().count(), 0, "something is left");
    }
}
