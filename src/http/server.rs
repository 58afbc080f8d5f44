//! Listeners: loopback TCP and unix sockets, with connection limits and graceful shutdown.
//!
//! Knows no route: the caller passes a handler. A connection gets a slot before it is accepted, is
//! closed when it is too slow, and is told to close when the server stops.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::SocketAddr as SocketName;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixSocket, UnixStream};
use tokio::sync::oneshot;
use tracing::Instrument as _;

use super::bad_request_replies;
use super::connection_activity::{ConnectionPhase, Phase, WatchedStream};
use super::connection_limit::{ConnectionLimit, ConnectionPermit};
use super::connections::{ConnectionBounds, ConnectionEntry, ConnectionGuard, ServerState};
use super::fast_path::{self, SmallRequest};
use super::request::{self, Peer, Request};
use super::response::Reply;
use crate::clock;
use crate::config::remedy;
use crate::domain::{Failure, Kind, limits};
use crate::own_socket_file::{self, SocketFile};
use crate::telemetry::log::{self, DueLogLine};

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

impl Listen {
    /// Checks a place without binding it: a socket's path has a maximum length, and must not be
    /// another file's.
    ///
    /// # Errors
    /// As [`Listen::bind`].
    pub fn check(&self) -> Result<(), Failure> {
        let Self::Unix { path, .. } = self else { return Ok(()) };
        SocketName::from_pathname(own_socket_file::draft(path))
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
    let new = own_socket_file::draft(path);
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

/// The code of a socket that another process may hold.
pub const SOCKET_TAKEN: &str = "socket_taken";

/// Only a refused connection means that nobody listens: a live process that is too busy to accept
/// responds in another way.
async fn make_sure_it_is_dead(path: &Path) -> Result<(), Failure> {
    let name = path.display();
    let refuse = |sentence: String| Err(Failure::new(Kind::Conflict, SOCKET_TAKEN, sentence));
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

fn no_socket(path: &Path) -> Failure {
    let name = path.display();
    let sentence =
        format!("`{name}` exists and is not a socket: move it away, or configure another path");
    Failure::new(Kind::Conflict, SOCKET_TAKEN, sentence)
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

/// A server with any number of listeners.
#[derive(Clone)]
pub struct Server(Arc<ServerState>);

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({} connections)", self.connections())
    }
}

impl Server {
    /// A server with these limits; its sweep runs as long as it lives.
    #[must_use]
    pub fn new(bounds: ConnectionBounds) -> Self {
        Self::counting(bounds, Arc::default())
    }

    /// Another server with the same counter of panics.
    #[must_use]
    pub fn beside(&self, bounds: ConnectionBounds) -> Self {
        Self::counting(bounds, Arc::clone(&self.0.panics))
    }

    fn counting(bounds: ConnectionBounds, panics: Arc<AtomicU64>) -> Self {
        let shared = Arc::new(ServerState::new(bounds, panics));
        let watched = Arc::downgrade(&shared);
        tokio::spawn(async move {
            let mut beat = tokio::time::interval(Duration::from_millis(bounds.sweep_ms.max(1)));
            loop {
                beat.tick().await;
                let Some(shared) = watched.upgrade() else { return };
                shared.advance_sweep_clock();
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
        self.accept_all(listener, handler, None::<fn(&SmallRequest<'_>) -> Option<Reply>>).await;
    }

    /// The same, with `answer_fast` called first for every small request, which answers if it can
    /// without waiting. It must answer as the handler would, and leave to the handler what that
    /// would refuse.
    pub async fn serve_with_fast_path<Q, H, F>(
        &self,
        listener: &Listener,
        answer_fast: Q,
        handler: H,
    ) where
        Q: Fn(&SmallRequest<'_>) -> Option<Reply> + Clone + Send + Sync + 'static,
        H: Fn(Request) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Reply> + Send + 'static,
    {
        self.accept_all(listener, handler, Some(answer_fast)).await;
    }

    async fn accept_all<Q, H, F>(&self, listener: &Listener, handler: H, answer_fast: Option<Q>)
    where
        Q: Fn(&SmallRequest<'_>) -> Option<Reply> + Clone + Send + Sync + 'static,
        H: Fn(Request) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Reply> + Send + 'static,
    {
        // For this listener only: a crowd on the port does not take slots of the socket.
        let places = ConnectionLimit::new(self.0.bounds.connections);
        loop {
            // A slot is taken before accepting: further clients wait in the system's queue.
            let Some(place) = places.admit().await else { return };
            let (handler, answer_fast, places) =
                (handler.clone(), answer_fast.clone(), places.clone());
            match accept(listener).await {
                Ok(Accepted::Tcp(stream, address)) => {
                    self.spawn(stream, Peer::Tcp { address }, handler, answer_fast, places, place);
                }
                Ok(Accepted::Unix(stream, uid)) => {
                    self.spawn(stream, Peer::Unix { uid }, handler, answer_fast, places, place);
                }
                Ok(Accepted::Gone) => {}
                Err(fault) => {
                    if let Some(DueLogLine { left_out }) =
                        log::due("connections cannot be accepted")
                    {
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
        handler: H,
        answer_fast: Option<Q>,
        places: ConnectionLimit,
        place: ConnectionPermit,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        Q: Fn(&SmallRequest<'_>) -> Option<Reply> + Send + Sync + 'static,
        H: Fn(Request) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Reply> + Send + 'static,
    {
        let shared = Arc::clone(&self.0);
        let number = shared.number();
        let connection_phase = Arc::new(ConnectionPhase::new(Arc::clone(&shared.sweep_clock)));
        let (swept, is_brief) = (Arc::clone(&connection_phase), place.is_brief);
        let (close, mut told_to_close) = oneshot::channel();
        // Locked while the task is created, so that it cannot leave before it has entered.
        let mut connections = self.0.connections();
        let task = tokio::spawn(async move {
            // Created here: a runtime that shuts down drops the task while the lock is held, and a
            // task that never entered must not leave.
            let _leave = ConnectionGuard(Arc::clone(&shared), number);
            let _place = place;
            let phase_of_stream = Arc::clone(&connection_phase);
            let mut stream = WatchedStream {
                stream,
                connection_phase: phase_of_stream,
                before: Bytes::new(),
                refused: None,
            };
            let mut told = false;
            if let Some(answer_fast) = answer_fast {
                let (stream, shared) = (&mut stream, shared.as_ref());
                let small = fast_path::FastPathConnection {
                    stream,
                    connection_phase: &connection_phase,
                    shared,
                    peer,
                    is_brief,
                };
                let Some(handed) = small.serve(&answer_fast, &mut told_to_close).await else {
                    return;
                };
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
            let answering =
                AnswerContext { connection_phase: &connection_phase, shared: &shared, is_brief };
            serve_by_hyper(stream, peer, answering, told_to_close, handler).await;
        });
        let (task, close) = (task.abort_handle(), Some(close));
        let entry = ConnectionEntry {
            connection_phase: swept,
            task,
            close,
            places,
            is_brief,
            is_cut: false,
        };
        connections.insert(number, entry);
    }

    /// Closes idle connections, cuts off those that wait for their client, lets responses finish,
    /// and cuts off the rest after the time limit. Stop accepting first. Returns the number of
    /// connections cut off.
    pub async fn drain(&self) -> usize {
        self.0.stop();
        let began = clock::monotonic();
        let bound = Duration::from_millis(self.0.bounds.drain_ms);
        let mut cut_off = 0;
        while self.connections() > 0 && began.elapsed() < bound {
            // Repeated, since a connection may just have been accepted.
            self.0.request_close();
            self.0.advance_sweep_clock();
            if began.elapsed() >= Duration::from_millis(STOP_GRACE_MS) {
                cut_off += self
                    .0
                    .cut_off(|connection_phase| connection_phase.waits_for_caller(STOP_GRACE_MS));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        cut_off + self.0.cut_off(|_| true)
    }
}

/// The context for the responses of one connection.
#[derive(Clone, Copy)]
struct AnswerContext<'c> {
    connection_phase: &'c Arc<ConnectionPhase>,
    shared: &'c ServerState,
    is_brief: bool,
}

impl AnswerContext<'_> {
    /// The response for a reply, and whether the connection closes after it.
    fn may_keep_open(self, (reply, closing): (Reply, bool)) -> (Reply, bool) {
        if !reply.is_endless() {
            return (reply, closing || self.is_brief);
        }
        if self.is_brief {
            let text = "too many connections are open for one more stream: try again in a moment";
            return (Reply::message(&Failure::new(Kind::Busy, "busy", text)), true);
        }
        self.connection_phase.mark_endless();
        (reply, closing)
    }
}

async fn serve_by_hyper<S, H, F>(
    stream: WatchedStream<S>,
    peer: Peer,
    answering: AnswerContext<'_>,
    told_to_close: impl Future<Output = ()>,
    handler: H,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request) -> F,
    F: Future<Output = Reply>,
{
    let AnswerContext { connection_phase, shared, .. } = answering;
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let request =
            Request::new(request, peer, Arc::clone(connection_phase), Arc::clone(&shared.bodies));
        let id = request.id_value().clone();
        // What is logged on the way to the answer names the request.
        let span = request.span();
        let answer = handler(request);
        async move {
            let (reply, closing) = answering.may_keep_open(shared.guarded(&id, answer).await);
            reply.log();
            connection_phase.enter(Phase::Idle);
            Ok::<_, Infallible>(reply.finish(&id, closing))
        }
        .instrument(span)
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
            if connection_phase.is_endless() {
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
async fn refuse<S: AsyncWrite + Unpin>(mut stream: WatchedStream<S>, unread: &[u8]) {
    let Some(code) = stream.refused.take() else { return };
    let (mut written, mut id) = (Vec::new(), [0; request::MADE_ID_BYTES]);
    let reply = bad_request_replies::reply(code, unread);
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
