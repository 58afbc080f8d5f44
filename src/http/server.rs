//! Listeners: loopback TCP and unix sockets, with connection limits and graceful shutdown.
//!
//! Knows no route: the caller passes a handler. A connection gets a slot before it is accepted, is
//! closed when it is too slow, and is told to close when the server stops.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::SocketAddr as SocketName;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixSocket, UnixStream};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::at_once::{self, Small};
use super::connection::{Hands, Phase, Pulse, Watched};
use super::places::{Place, Places};
use super::refusal;
use super::request::{self, Bodies, Peer, Request};
use super::respond::Reply;
use crate::clock;
use crate::config::remedy;
use crate::domain::{Failure, Kind, limits};
use crate::socket_file::SocketFile;
use crate::telemetry::log::{self, Due};

/// How long a client has for the rest of a request, or to read more of a response, when the server
/// stops.
const STOP_GRACE_MS: u64 = 100;
/// How long an accept loop pauses after the system refused a connection.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// A listening address.
#[derive(Clone, Debug)]
pub enum Listen {
    /// A TCP address; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix {
        /// Its path.
        path: PathBuf,
        /// Its permissions, such as `0o660`.
        mode: u32,
    },
}

/// A bound socket.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// Unix, with its file, which is removed with it.
    Unix(UnixListener, Arc<SocketFile>),
}

/// What a connection may take; milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Concurrent connections, for each listener.
    pub connections: usize,
    /// For a head: the first since the connection, the others since their first byte.
    pub head_ms: u64,
    /// For a whole body, or for the next piece of an upload.
    pub body_ms: u64,
    /// For an idle connection, or a response that is not read.
    pub idle_ms: u64,
    /// For running requests when the server stops.
    pub drain_ms: u64,
    /// The interval of the sweep.
    pub sweep_ms: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: limits::CONNECTIONS_MAX,
            head_ms: limits::HEAD_MS_MAX,
            body_ms: limits::BODY_MS_MAX,
            idle_ms: limits::IDLE_MS_MAX,
            drain_ms: limits::DRAIN_MS_MAX,
            sweep_ms: 500,
        }
    }
}

impl Listen {
    /// Checks a place without binding it: a socket's path has a maximum length, and must not be
    /// another file's.
    ///
    /// # Errors
    /// As [`Listen::bind`].
    pub fn check(&self) -> Result<(), Failure> {
        let Self::Unix { path, .. } = self else { return Ok(()) };
        SocketName::from_pathname(new_name(path))
            .map_err(|fault| taken(&path.display().to_string(), &fault))?;
        match fs::symlink_metadata(path) {
            Ok(there) if !there.file_type().is_socket() => Err(no_socket(path)),
            _ => Ok(()),
        }
    }

    /// Binds the socket.
    ///
    /// # Errors
    /// `Conflict`, when somebody else listens there; `Internal` with the system's reason.
    pub async fn bind(&self) -> Result<Listener, Failure> {
        self.check()?;
        match self {
            Self::Tcp(address) => {
                let bound = bind_tcp(*address);
                bound.map(Listener::Tcp).map_err(|fault| taken(&address.to_string(), &fault))
            }
            Self::Unix { path, mode } => bind_unix(path, *mode).await,
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Avoids waiting for connections of the previous process.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(limits::BACKLOG)
}

/// Binds under a temporary name and moves the file into place, so that nobody connects before the
/// mode is set. The socket of a dead process is replaced; nothing else is.
async fn bind_unix(path: &Path, mode: u32) -> Result<Listener, Failure> {
    if fs::symlink_metadata(path).is_ok() {
        make_sure_it_is_dead(path).await?;
    }
    let new = new_name(path);
    let bound = || -> io::Result<(UnixListener, SocketFile)> {
        let _ = fs::remove_file(&new);
        let socket = UnixSocket::new_stream()?;
        socket.bind(&new)?;
        let listener = socket.listen(limits::BACKLOG)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(mode))?;
        let file = SocketFile::new(&new, path)?;
        fs::rename(&new, path)?;
        Ok((listener, file))
    };
    bound()
        .map(|(listener, file)| Listener::Unix(listener, Arc::new(file)))
        .map_err(|fault| taken(&path.display().to_string(), &fault))
}

/// Only a refused connection means that nobody listens: a live process that is too busy to accept
/// responds in another way.
async fn make_sure_it_is_dead(path: &Path) -> Result<(), Failure> {
    let name = path.display();
    let refuse = |sentence: String| Err(Failure::new(Kind::Conflict, "socket_taken", sentence));
    match UnixStream::connect(path).await {
        Err(fault) if fault.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) => refuse(format!(
            "another process answers on `{name}`: stop it, or configure another path"
        )),
        Err(fault) => refuse(format!(
            "`{name}` may be in use ({fault}): remove it if nothing uses it, or configure another path"
        )),
    }
}

/// The temporary name of a socket until its mode is set.
fn new_name(path: &Path) -> PathBuf {
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}", std::process::id()));
    PathBuf::from(new)
}

fn no_socket(path: &Path) -> Failure {
    let name = path.display();
    let sentence =
        format!("`{name}` exists and is not a socket: move it away, or configure another path");
    Failure::new(Kind::Conflict, "socket_taken", sentence)
}

fn taken(place: &str, fault: &io::Error) -> Failure {
    let (kind, next) = match (fault.kind(), remedy(fault)) {
        (io::ErrorKind::AddrInUse, _) => (Kind::Conflict, "stop what listens there"),
        (_, next) => (Kind::Internal, next.unwrap_or("stop what listens there")),
    };
    Failure::new(
        kind,
        "cannot_listen",
        format!("cannot listen on `{place}`: {fault}; {next}, or configure another place"),
    )
}

impl Listener {
    /// The address: `http://ADDRESS` or `unix:PATH`.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(address) => format!("http://{address}"),
                Err(_) => "http://?".to_owned(),
            },
            Self::Unix(_, file) => format!("unix:{}", file.path().display()),
        }
    }
}

/// One connection, as the sweep sees it.
struct Entry {
    pulse: Arc<Pulse>,
    task: AbortHandle,
    /// Tells the connection to close after the current request; taken when used.
    close: Option<oneshot::Sender<()>>,
    /// The slots of its listener.
    places: Places,
    /// Its slot is for one request.
    is_brief: bool,
    /// Cut off, since its client delayed the stop of the server.
    is_cut: bool,
}

impl Entry {
    /// Whether the connection has exceeded the time limit of its phase. If a listener is full, a
    /// waiting client takes precedence over a silent one.
    fn is_too_slow(&self, bounds: &Bounds) -> bool {
        let is_crowded = self.is_brief || self.places.are_full();
        let (phase, for_ms) = self.pulse.read();
        let most = match phase {
            // It was answered, and does not read the response.
            Phase::Idle if self.is_brief => limits::HEAD_MS_MAX_CROWDED,
            // Event streams have their own limit.
            Phase::Idle if is_crowded && !self.pulse.is_endless() => {
                bounds.head_ms.min(bounds.idle_ms)
            }
            Phase::Idle => bounds.idle_ms,
            Phase::Head if is_crowded => bounds.head_ms.min(limits::HEAD_MS_MAX_CROWDED),
            Phase::Head => bounds.head_ms,
            Phase::Body if is_crowded => bounds.body_ms.min(limits::HEAD_MS_MAX_CROWDED),
            Phase::Body => bounds.body_ms,
            Phase::Answer => return false,
        };
        for_ms > most
    }
}

/// The state that all listeners of a server share.
pub(super) struct Shared {
    bounds: Bounds,
    connections: Mutex<HashMap<u64, Entry>>,
    next: AtomicU64,
    began: Instant,
    hands: Arc<Hands>,
    bodies: Arc<Bodies>,
    stopping: AtomicBool,
    panics: Arc<AtomicU64>,
}

impl Shared {
    fn connections(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn move_hands(&self) {
        self.hands.set(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX));
    }

    /// Closes slow connections.
    fn sweep(&self) {
        for entry in self.connections().values().filter(|entry| entry.is_too_slow(&self.bounds)) {
            entry.task.abort();
        }
    }

    /// Tells every connection to close as soon as it is idle.
    fn tell_to_close(&self) {
        for entry in self.connections().values_mut() {
            if let Some(close) = entry.close.take() {
                let _ = close.send(());
            }
        }
    }

    /// Cuts off these connections; returns their number.
    fn cut_off(&self, is_so: impl Fn(&Pulse) -> bool) -> usize {
        let mut connections = self.connections();
        let those = connections.values_mut().filter(|entry| !entry.is_cut && is_so(&entry.pulse));
        those
            .map(|entry| {
                entry.is_cut = true;
                entry.task.abort();
            })
            .count()
    }

    /// The handler's response; a panic becomes a 500 and closes its connection.
    async fn guarded(
        &self,
        id: &HeaderValue,
        answer: impl Future<Output = Reply>,
    ) -> (Reply, bool) {
        let mut answer = pin!(answer);
        let caught = poll_fn(|context| {
            match catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context))) {
                Ok(polled) => polled.map(Ok),
                Err(panic) => Poll::Ready(Err(panic)),
            }
        });
        match caught.await {
            Ok(reply) => (reply, self.is_stopping()),
            Err(_) => (self.panicked(id.as_bytes()), true),
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// The response for a handler that panicked.
    pub(super) fn panicked(&self, id: &[u8]) -> Reply {
        self.panics.fetch_add(1, Ordering::Relaxed);
        let request_id = std::str::from_utf8(id).unwrap_or_default();
        tracing::error!(request_id, "a handler panicked");
        Reply::message(&Failure::internal("a handler panicked"))
    }
}

/// Removes a connection however its task ends.
struct Leave(Arc<Shared>, u64);

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.connections().remove(&self.1);
        // Panics of handlers are caught: this one is of the connection itself, and nothing else
        // reports it.
        if std::thread::panicking() {
            self.0.panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!("a connection ended in a panic");
        }
    }
}

/// A server with any number of listeners.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({} connections)", self.connections())
    }
}

impl Server {
    /// A server with these limits; its sweep runs as long as it lives.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self::counting(bounds, Arc::default())
    }

    /// Another server with the same counter of panics.
    #[must_use]
    pub fn beside(&self, bounds: Bounds) -> Self {
        Self::counting(bounds, Arc::clone(&self.0.panics))
    }

    fn counting(bounds: Bounds, panics: Arc<AtomicU64>) -> Self {
        let shared = Arc::new(Shared {
            bounds,
            connections: Mutex::default(),
            next: AtomicU64::new(0),
            began: clock::monotonic(),
            hands: Arc::default(),
            bodies: Arc::default(),
            stopping: AtomicBool::new(false),
            panics,
        });
        let watched = Arc::downgrade(&shared);
        tokio::spawn(async move {
            let mut beat = tokio::time::interval(Duration::from_millis(bounds.sweep_ms.max(1)));
            loop {
                beat.tick().await;
                let Some(shared) = watched.upgrade() else { return };
                shared.move_hands();
                shared.sweep();
            }
        });
        Self(shared)
    }

    /// The number of open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.connections().len()
    }

    /// The number of handlers that panicked.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.0.panics.load(Ordering::Relaxed)
    }

    /// Accepts and serves until the task is ended; the handler answers each request.
    pub async fn serve<H, F>(&self, listener: &Listener, handler: H)
    where
        H: Fn(Request) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Reply> + Send + 'static,
    {
        self.accept_all(listener, handler, None::<fn(&Small<'_>) -> Option<Reply>>).await;
    }

    /// The same, with `at_once` called first for every small request, which answers if it can
    /// without waiting. It must answer as the handler would, and leave to the handler what that
    /// would refuse.
    pub async fn serve_at_once<Q, H, F>(&self, listener: &Listener, at_once: Q, handler: H)
    where
        Q: Fn(&Small<'_>) -> Option<Reply> + Clone + Send + Sync + 'static,
        H: Fn(Request) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Reply> + Send + 'static,
    {
        self.accept_all(listener, handler, Some(at_once)).await;
    }

    async fn accept_all<Q, H, F>(&self, listener: &Listener, handler: H, at_once: Option<Q>)
    where
        Q: Fn(&Small<'_>) -> Option<Reply> + Clone + Send + Sync + 'static,
        H: Fn(Request) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Reply> + Send + 'static,
    {
        // For this listener only: a crowd on the port does not take slots of the socket.
        let places = Places::new(self.0.bounds.connections);
        loop {
            // A slot is taken before accepting: further clients wait in the system's queue.
            let Some(place) = places.admit().await else { return };
            let answering = (handler.clone(), at_once.clone());
            let place = (places.clone(), place);
            match accept(listener).await {
                Ok(Accepted::Tcp(stream, address)) => {
                    self.spawn(stream, Peer::Tcp { address }, answering, place);
                }
                Ok(Accepted::Unix(stream, uid)) => {
                    self.spawn(stream, Peer::Unix { uid }, answering, place);
                }
                Ok(Accepted::Gone) => {}
                Err(fault) => {
                    if let Some(Due { left_out }) = log::due("connections cannot be accepted") {
                        let place = listener.place();
                        tracing::warn!(%fault, place, left_out, "connections cannot be accepted; still trying");
                    }
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    }

    fn spawn<S, Q, H, F>(
        &self,
        stream: S,
        peer: Peer,
        (handler, at_once): (H, Option<Q>),
        (places, place): (Places, Place),
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        Q: Fn(&Small<'_>) -> Option<Reply> + Send + Sync + 'static,
        H: Fn(Request) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Reply> + Send + 'static,
    {
        let shared = Arc::clone(&self.0);
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        let pulse = Arc::new(Pulse::new(Arc::clone(&shared.hands)));
        let (swept, is_brief) = (Arc::clone(&pulse), place.is_brief);
        let (close, mut told_to_close) = oneshot::channel();
        // Locked while the task is created, so that it cannot leave before it has entered.
        let mut connections = self.0.connections();
        let task = tokio::spawn(async move {
            // Created here: a runtime that shuts down drops the task while the lock is held, and a
            // task that never entered must not leave.
            let _leave = Leave(Arc::clone(&shared), number);
            let _place = place;
            let pulse_of_stream = Arc::clone(&pulse);
            let mut stream =
                Watched { stream, pulse: pulse_of_stream, before: Bytes::new(), refused: None };
            let mut told = false;
            if let Some(at_once) = at_once {
                let (stream, shared) = (&mut stream, shared.as_ref());
                let small = at_once::Connection { stream, pulse: &pulse, shared, peer, is_brief };
                let Some(handed) = small.serve(&at_once, &mut told_to_close).await else { return };
                stream.before = handed.bytes.into();
                told = handed.told;
            }
            let told_to_close = async {
                if told {
                    // Its request is running, and the response closes the connection.
                    std::future::pending().await
                }
                let _ = told_to_close.await;
            };
            let answering = Answering { pulse: &pulse, shared: &shared, is_brief };
            serve_by_hyper(stream, peer, answering, told_to_close, handler).await;
        });
        let (task, close) = (task.abort_handle(), Some(close));
        let entry = Entry { pulse: swept, task, close, places, is_brief, is_cut: false };
        connections.insert(number, entry);
    }

    /// Closes idle connections, cuts off those that wait for their client, lets responses finish,
    /// and cuts off the rest after the time limit. Stop accepting first. Returns the number of
    /// connections cut off.
    pub async fn drain(&self) -> usize {
        self.0.stopping.store(true, Ordering::Relaxed);
        let began = clock::monotonic();
        let bound = Duration::from_millis(self.0.bounds.drain_ms);
        let mut cut_off = 0;
        while self.connections() > 0 && began.elapsed() < bound {
            // Repeated, since a connection may just have been accepted.
            self.0.tell_to_close();
            self.0.move_hands();
            if began.elapsed() >= Duration::from_millis(STOP_GRACE_MS) {
                cut_off += self.0.cut_off(|pulse| pulse.waits_for_caller(STOP_GRACE_MS));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        cut_off + self.0.cut_off(|_| true)
    }
}

/// The context for the responses of one connection.
#[derive(Clone, Copy)]
struct Answering<'c> {
    pulse: &'c Arc<Pulse>,
    shared: &'c Shared,
    is_brief: bool,
}

impl Answering<'_> {
    /// The response for a reply, and whether the connection closes after it.
    fn judge(self, (reply, closing): (Reply, bool)) -> (Reply, bool) {
        if !reply.is_endless() {
            return (reply, closing || self.is_brief);
        }
        if self.is_brief {
            let text = "too many connections are open for one more stream: try again in a moment";
            return (Reply::message(&Failure::new(Kind::Busy, "busy", text)), true);
        }
        self.pulse.never_ends();
        (reply, closing)
    }
}

async fn serve_by_hyper<S, H, F>(
    stream: Watched<S>,
    peer: Peer,
    answering: Answering<'_>,
    told_to_close: impl Future<Output = ()>,
    handler: H,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request) -> F,
    F: Future<Output = Reply>,
{
    let Answering { pulse, shared, .. } = answering;
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let request = Request::new(request, peer, Arc::clone(pulse), Arc::clone(&shared.bodies));
        let id = request.id_value().clone();
        let answer = handler(request);
        async move {
            let (reply, closing) = answering.judge(shared.guarded(&id, answer).await);
            pulse.enter(Phase::Idle);
            Ok::<_, Infallible>(reply.finish(&id, closing))
        }
    });
    // Not `pipeline_flush`: it delays responses while part of a next request is buffered, without a
    // limit.
    let mut connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(limits::HEAD_BYTES_MAX)
        .writev(false)
        .serve_connection(TokioIo::new(stream), service);
    let served = tokio::select! {
        biased;
        served = &mut connection => served,
        () = told_to_close => {
            if pulse.is_endless() {
                return;
            }
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        }
    };
    if let Err(fault) = served {
        tracing::debug!(%fault, "a connection ended early");
        let parts = connection.into_parts();
        refuse(parts.io.into_inner(), &parts.read_buf).await;
    }
}

/// Responds with a sentence to a request that hyper refused. The sweep ends the wait for a client
/// that does not read it.
async fn refuse<S: AsyncWrite + Unpin>(mut stream: Watched<S>, unread: &[u8]) {
    let Some(code) = stream.refused.take() else { return };
    let (mut written, mut id) = (Vec::new(), [0; request::MADE_ID_BYTES]);
    let reply = refusal::reply(code, unread);
    let id = request::made_id(&mut id);
    if reply.write(&mut written, id, &clock::http_date(), true).is_some()
        && stream.write_all(&written).await.is_ok()
    {
        let _ = stream.shutdown().await;
    }
}

enum Accepted {
    Tcp(tokio::net::TcpStream, IpAddr),
    Unix(UnixStream, u32),
    /// The client has disconnected.
    Gone,
}

async fn accept(listener: &Listener) -> io::Result<Accepted> {
    match listener {
        Listener::Tcp(listener) => {
            let (stream, from) = listener.accept().await?;
            if stream.set_nodelay(true).is_err() {
                return Ok(Accepted::Gone);
            }
            // A dual-stack listener reports an IPv4 client as an IPv6 address.
            Ok(Accepted::Tcp(stream, from.ip().to_canonical()))
        }
        Listener::Unix(listener, _) => {
            let (stream, _) = listener.accept().await?;
            let peer = stream.peer_cred();
            Ok(peer.map_or(Accepted::Gone, |peer| Accepted::Unix(stream, peer.uid())))
        }
    }
}
