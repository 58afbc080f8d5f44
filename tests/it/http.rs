//! The server against untrusted clients: raw bytes on loopback and on a unix socket, with small
//! limits.
//!
//! Knows no route: each test has its own handler. Waits on events, each wait with a timeout.

mod fast_path;
mod request_heads;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kwic_team::domain::{Failure, Kind};
use kwic_team::http::{
    Bytes, ConnectionBounds, Listen, Listener, Peer, Reply, Request, Server, SmallRequest,
    StreamPiece,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// No wait of these tests is longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Small enough for a test, long enough for a busy machine.
fn small() -> ConnectionBounds {
    ConnectionBounds {
        connections: 8,
        head_ms: 2_000,
        body_ms: 150,
        idle_ms: 60_000,
        drain_ms: 60_000,
        sweep_ms: 20,
    }
}

/// A server under test on a port of its own.
struct Served {
    server: Server,
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

/// By hyper, as every decision listener serves what its fast path does not answer.
async fn serve<H, F>(bounds: ConnectionBounds, handler: H) -> Served
where
    H: Fn(Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    serve_at_once(bounds, |_: &SmallRequest<'_>| None, handler).await
}

/// By hyper alone.
async fn serve_by_hyper<H, F>(bounds: ConnectionBounds, handler: H) -> Served
where
    H: Fn(Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let (listener, address) = listen().await;
    let server = Server::new(bounds);
    let own = server.clone();
    let accepting = tokio::spawn(async move { own.serve(&listener, handler).await });
    Served { server, address, accepting }
}

/// By `at_once` what it answers, and all else by hyper.
async fn serve_at_once<Q, H, F>(bounds: ConnectionBounds, at_once: Q, handler: H) -> Served
where
    Q: Fn(&SmallRequest<'_>) -> Option<Reply> + Clone + Send + Sync + 'static,
    H: Fn(Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let (listener, address) = listen().await;
    let server = Server::new(bounds);
    let own = server.clone();
    let accepting =
        tokio::spawn(async move { own.serve_with_fast_path(&listener, at_once, handler).await });
    Served { server, address, accepting }
}

async fn listen() -> (Listener, SocketAddr) {
    let listener = Listen::Tcp("127.0.0.1:0".parse().unwrap()).bind().await.unwrap();
    let Listener::Tcp(socket) = &listener else { panic!("a TCP listener") };
    let address = socket.local_addr().unwrap();
    (listener, address)
}

impl Served {
    async fn connect(&self) -> Wire<TcpStream> {
        Wire::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// Waits until this many connections are open.
    #[track_caller]
    fn until_open(&self, open: usize) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let reached = async {
                while self.server.connections() != open {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            assert!(
                timeout(PATIENCE, reached).await.is_ok(),
                "{} connections instead of {open}, {caller}",
                self.server.connections()
            );
        }
    }
}

/// An answer as it came.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// The caller's end of a connection.
struct Wire<S> {
    stream: S,
    unread: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    fn new(stream: S) -> Self {
        Self { stream, unread: Vec::new() }
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // A client that is cut off may be unable to send all of it.
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    async fn more(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let read = timeout(PATIENCE, self.stream.read(&mut buffer)).await.expect("bytes in time");
        let read = read.unwrap_or(0);
        self.unread.extend_from_slice(&buffer[..read]);
        read > 0
    }

    /// The next answer, whose length its head says.
    async fn answer(&mut self) -> Answer {
        let end = loop {
            match self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => assert!(self.more().await, "closed after {:?}", self.text()),
            }
        };
        let head = String::from_utf8(self.unread.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: String::new() };
        let length: usize = answer.header("content-length").map_or(0, |text| text.parse().unwrap());
        while self.unread.len() < length {
            assert!(self.more().await, "closed within the body");
        }
        answer.body = String::from_utf8(self.unread.drain(..length).collect()).unwrap();
        answer
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.unread).into_owned()
    }

    /// Everything until the other end closes.
    async fn rest(&mut self) -> String {
        while self.more().await {}
        self.text()
    }

    async fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Answer {
        self.send(bytes).await;
        self.answer().await
    }
}

const GET: &str = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Echoes the body, of at most 64 bytes.
async fn echo(mut request: Request) -> Reply {
    match request.body(64).await {
        Ok(body) => Reply::json(body),
        Err(failure) => Reply::message(&failure),
    }
}

async fn path(request: Request) -> Reply {
    Reply::text("text/plain", request.path().to_owned())
}

// === bodies ===

#[tokio::test]
async fn a_body_is_bounded_whether_its_length_is_claimed_or_found_out() {
    let served = serve(small(), echo).await;
    let fits = "x".repeat(64);
    let long = "x".repeat(65);
    let sized = |body: &str| {
        format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    let chunked = |pieces: &[&str]| {
        let mut text =
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
        for piece in pieces {
            text.push_str(&format!("{:x}\r\n{piece}\r\n", piece.len()));
        }
        text + "0\r\n\r\n"
    };
    for (what, bytes, status) in [
        ("claimed, fits", sized(&fits), 200),
        ("claimed, too large", sized(&long), 413),
        ("one chunk, fits", chunked(&[&fits]), 200),
        ("one chunk, too large", chunked(&[&long]), 413),
        ("two chunks, fit", chunked(&[&fits[..32], &fits[32..]]), 200),
        ("two chunks, too large", chunked(&[&fits, "x"]), 413),
    ] {
        let answer = served.connect().await.ask(bytes).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        let body = if status == 200 { fits.clone() } else { answer.body.clone() };
        assert_eq!(answer.body, body, "{what}");
        if status == 413 {
            assert!(answer.body.contains("larger than 64 bytes"), "{what}: {answer:?}");
        }
    }
    // A claim alone is enough, and nothing of such a body is asked for.
    let claim = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999\r\n\
        expect: 100-continue\r\n\r\n";
    assert_eq!(served.connect().await.ask(claim).await.status, 413);
}

#[tokio::test]
async fn who_expects_to_be_told_to_continue_is_told() {
    let served = serve(small(), echo).await;
    let mut wire = served.connect().await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n";
    assert_eq!(wire.ask(head).await.status, 100);
    assert_eq!(wire.ask("{}").await.body, "{}");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_body() {
    let heard = Arc::new(std::sync::Mutex::new(None));
    let told = Arc::new(Notify::new());
    let (hear, tell) = (Arc::clone(&heard), Arc::clone(&told));
    let served = serve(small(), move |mut request: Request| {
        let (hear, tell) = (Arc::clone(&hear), Arc::clone(&tell));
        async move {
            let read = request.body(64).await;
            *hear.lock().unwrap() = Some(read.map_err(|failure| failure.code));
            tell.notify_one();
            Reply::json("{}")
        }
    })
    .await;
    let mut wire = served.connect().await;
    wire.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n{}").await;
    drop(wire);
    timeout(PATIENCE, told.notified()).await.unwrap();
    assert_eq!(*heard.lock().unwrap(), Some(Err("body_broken")));
    served.until_open(0).await;
}

// === heads ===

#[tokio::test]
async fn heads_are_bounded() {
    let served = serve(small(), path).await;
    let long =
        |bytes| format!("GET / HTTP/1.1\r\nhost: a\r\ncookie: a={}\r\n\r\n", "y".repeat(bytes));
    // What other applications on the host have a browser send.
    assert_eq!(served.connect().await.ask(long(32 << 10)).await.status, 200);
    assert_eq!(served.connect().await.ask(long(80 << 10)).await.status, 431);
    let many: String = (0..200).map(|n| format!("x{n}: y\r\n")).collect();
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n");
    assert_eq!(served.connect().await.ask(many).await.status, 431);
    assert_eq!(served.connect().await.ask("\x16\x03\x01 tls\r\n\r\n").await.status, 400);
    served.until_open(0).await;
}

#[tokio::test]
async fn the_callers_request_id_comes_back_and_one_is_made_where_there_is_none() {
    let served = serve(small(), path).await;
    let mut wire = served.connect().await;
    let with = |id: &str| format!("GET / HTTP/1.1\r\nhost: a\r\nx-request-id: {id}\r\n\r\n");
    assert_eq!(wire.ask(with("my id-1")).await.header("x-request-id"), Some("my id-1"));
    let first = wire.ask(GET).await.header("x-request-id").unwrap().to_owned();
    let second = wire.ask(GET).await.header("x-request-id").unwrap().to_owned();
    assert!(first != second && first.len() > 16, "{first} {second}");
    assert_eq!(first.split_once('-').unwrap().0, second.split_once('-').unwrap().0);
    let longest = "i".repeat(1_024);
    assert_eq!(wire.ask(with(&longest)).await.header("x-request-id"), Some(&*longest));
    for replaced in ["i".repeat(1_025), "caf\u{e9}".to_owned(), "a\tb".to_owned(), String::new()] {
        let id = wire.ask(with(&replaced)).await.header("x-request-id").unwrap().to_owned();
        assert!(id.starts_with(first.split_once('-').unwrap().0), "{replaced:?} {id}");
    }
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let served = serve(small(), path).await;
    let mut wire = served.connect().await;
    wire.send("HEAD /abc HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await;
    let both = wire.rest().await;
    let (head, rest) = both.split_once("\r\n\r\n").unwrap();
    assert!(head.to_ascii_lowercase().contains("content-length: 4"), "{head}");
    assert!(rest.starts_with("HTTP/1.1 200"), "{rest}");
}

// === keeping alive ===

#[tokio::test]
async fn answers_to_pipelined_requests_keep_their_order() {
    let served = serve(small(), path).await;
    let mut wire = served.connect().await;
    let asked: String = (0..50).map(|n| format!("GET /{n} HTTP/1.1\r\nhost: a\r\n\r\n")).collect();
    wire.send(asked).await;
    for n in 0..50 {
        assert_eq!(wire.answer().await.body, format!("/{n}"));
    }
    assert_eq!(served.server.connections(), 1);
    assert_eq!(wire.ask("GET /x HTTP/1.1\r\nhost: a\r\n\r\n").await.body, "/x");
}

#[tokio::test]
async fn an_answer_does_not_wait_for_the_rest_of_the_next_request() {
    let served = serve(ConnectionBounds { head_ms: 60_000, ..small() }, path).await;
    let mut wire = served.connect().await;
    let first = wire.ask("GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HT").await;
    assert_eq!(first.body, "/1");
    assert_eq!(wire.ask("TP/1.1\r\nhost: a\r\n\r\n\r\n").await.body, "/2");
    assert_eq!(wire.ask("GET /3 HTTP/1.1\r\nhost: a\r\n\r\n").await.body, "/3");
}

// === the slow ===

#[tokio::test]
async fn a_head_that_dawdles_is_cut_off_and_a_warm_idle_connection_is_not() {
    let served = serve(ConnectionBounds { head_ms: 500, ..small() }, path).await;
    let mut warm = served.connect().await;
    warm.ask(GET).await;
    let began = std::time::Instant::now();
    let mut slow = served.connect().await;
    slow.send("GET / HTTP/1.1\r\nhost: a\r\n").await;
    let dawdle = async {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if slow.stream.write_all(b"x: y\r\n").await.is_err() {
                return;
            }
        }
    };
    timeout(PATIENCE, dawdle).await.expect("a steady drip does not help");
    assert!(began.elapsed() >= Duration::from_millis(120), "{:?}", began.elapsed());
    served.until_open(1).await;
    assert_eq!(warm.ask(GET).await.status, 200);
}

#[tokio::test]
async fn a_connection_that_never_asks_anything_is_not_warm() {
    let served = serve(ConnectionBounds { head_ms: 500, ..small() }, path).await;
    let mut silent = served.connect().await;
    assert_eq!(silent.rest().await, "");
    served.until_open(0).await;
}

#[tokio::test]
async fn a_body_that_dawdles_is_cut_off_however_steadily_it_drips() {
    let served = serve(small(), echo).await;
    let mut slow = served.connect().await;
    slow.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 64\r\n\r\n").await;
    let dawdle = async {
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_millis(30)).await;
            if slow.stream.write_all(b"x").await.is_err() {
                return;
            }
        }
        panic!("60 bytes in 1.8 s got through");
    };
    timeout(PATIENCE, dawdle).await.unwrap();
    served.until_open(0).await;
}

#[tokio::test]
async fn an_upload_that_flows_slowly_and_one_that_we_hold_up_are_let_live() {
    let served = serve(small(), |mut request: Request| async move {
        let mut bytes = 0;
        loop {
            match request.chunk().await {
                Ok(Some(piece)) => bytes += piece.len(),
                Ok(None) => return Reply::json(bytes.to_string()),
                Err(failure) => return Reply::message(&failure),
            }
            if bytes == 3 {
                // Longer than a body may take: it is our own time.
                tokio::time::sleep(Duration::from_millis(400)).await;
            }
        }
    })
    .await;
    let mut wire = served.connect().await;
    wire.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n").await;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        wire.send("x").await;
    }
    assert_eq!(wire.answer().await.body, "5");
    // One that stops is cut off.
    wire.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nx").await;
    assert_eq!(wire.rest().await, "");
}

#[tokio::test]
async fn an_idle_connection_lives_as_long_as_it_may() {
    let served = serve(ConnectionBounds { idle_ms: 150, ..small() }, path).await;
    let mut used = served.connect().await;
    used.ask(GET).await;
    assert_eq!(used.rest().await, "");
    served.until_open(0).await;
}

#[tokio::test]
async fn an_answer_that_takes_long_is_not_idle() {
    let bounds = ConnectionBounds { idle_ms: 1_000, ..small() };
    let served = serve(bounds, |_| async {
        let (sender, pieces) = mpsc::channel(1);
        tokio::spawn(async move {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_millis(150)).await;
                let _ = sender.send(StreamPiece::Bytes(Bytes::from_static(b"piece "))).await;
            }
            let _ = sender.send(StreamPiece::Last).await;
        });
        Reply::stream("text/plain", pieces)
    })
    .await;
    let mut wire = served.connect().await;
    wire.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    let text = wire.rest().await;
    assert_eq!(text.matches("piece ").count(), 10, "{text}");
    assert!(text.ends_with("0\r\n\r\n"), "{text}");
}

#[tokio::test]
async fn an_answer_whose_writer_gives_up_is_never_whole() {
    let served = serve(small(), |_| async {
        let (sender, pieces) = mpsc::channel(1);
        sender.send(StreamPiece::Bytes(Bytes::from_static(b"half"))).await.unwrap();
        Reply::stream("text/plain", pieces)
    })
    .await;
    let mut wire = served.connect().await;
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let text = wire.rest().await;
    assert!(!text.ends_with("0\r\n\r\n"), "{text}");
}

// === how many ===

#[tokio::test]
async fn who_is_over_the_bound_of_connections_waits_until_one_leaves() {
    let bounds = ConnectionBounds { connections: 2, head_ms: 60_000, ..small() };
    let served = serve(bounds, path).await;
    let mut first = served.connect().await;
    let mut second = served.connect().await;
    first.ask(GET).await;
    second.ask(GET).await;
    let mut third = served.connect().await;
    third.send(GET).await;
    let early = timeout(Duration::from_millis(150), third.answer()).await;
    assert!(early.is_err(), "{early:?}");
    drop(first);
    assert_eq!(third.answer().await.status, 200);
}

#[tokio::test]
async fn the_last_places_of_a_listener_serve_one_request_each() {
    let bounds = ConnectionBounds { connections: 16, head_ms: 60_000, ..small() };
    let at_once = |_: &SmallRequest<'_>| Some(Reply::json("{}"));
    let post = "POST /a HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    for asked in [GET, post] {
        let served = serve_at_once(bounds, at_once, path).await;
        let mut kept = Vec::new();
        for _ in 0..14 {
            let mut wire = served.connect().await;
            assert_eq!(wire.ask(asked).await.header("connection"), None);
            kept.push(wire);
        }
        for _ in 0..6 {
            let mut wire = served.connect().await;
            let answer = wire.ask(asked).await;
            assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
            assert_eq!(wire.rest().await, "");
        }
        served.until_open(14).await;
        drop(kept.pop());
        served.until_open(13).await;
        // The next one may have been given its place before.
        served.connect().await.ask(asked).await;
        assert_eq!(served.connect().await.ask(asked).await.header("connection"), None);
    }
}

#[tokio::test]
async fn a_place_for_one_request_is_none_for_a_stream() {
    let bounds = ConnectionBounds { connections: 8, head_ms: 60_000, ..small() };
    let served = serve(bounds, |request: Request| async move {
        let (sender, told) = mpsc::channel(1);
        sender.send(Bytes::from_static(b"event")).await.unwrap();
        std::mem::forget(sender);
        match request.path() {
            "/events" => Reply::events(told, (), |event| event),
            _ => Reply::json("{}"),
        }
    })
    .await;
    let mut kept = Vec::new();
    for _ in 0..7 {
        let mut wire = served.connect().await;
        wire.ask(GET).await;
        kept.push(wire);
    }
    let answer = served.connect().await.ask("GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{answer:?}");
    assert_eq!(served.connect().await.ask(GET).await.status, 200);
}

#[tokio::test]
async fn a_full_listener_lets_nobody_rest() {
    let bounds = ConnectionBounds { connections: 3, head_ms: 400, ..small() };
    let served = serve(bounds, path).await;
    let (mut warm, mut silent) = (served.connect().await, served.connect().await);
    warm.ask(GET).await;
    let mut third = served.connect().await;
    third.ask(GET).await;
    // There is no fourth place, and a warm connection may rest for a minute where there is one.
    assert_eq!(served.connect().await.ask(GET).await.status, 200);
    assert_eq!((warm.rest().await, silent.rest().await), (String::new(), String::new()));
}

#[tokio::test]
async fn a_full_listener_waits_no_longer_for_a_body_than_for_a_head() {
    let bounds = ConnectionBounds { connections: 1, body_ms: 600_000, ..small() };
    let served = serve(bounds, echo).await;
    let mut half = served.connect().await;
    half.send("POST /a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 60\r\n\r\n{").await;
    served.until_open(1).await;
    assert_eq!(served.connect().await.ask(GET).await.status, 200, "the next is let in");
}

#[tokio::test]
async fn places_come_back_however_a_connection_ends() {
    let bounds = ConnectionBounds { connections: 1, head_ms: 1_000, idle_ms: 100, ..small() };
    let served = serve(bounds, |request: Request| async move {
        assert!(request.path() != "/panic", "as asked");
        Reply::json("{}")
    })
    .await;
    for round in 0..3 {
        let mut wire = served.connect().await;
        assert_eq!(wire.ask(GET).await.status, 200, "{round}");
        assert_eq!(wire.rest().await, "", "swept as idle, {round}");
        let mut wire = served.connect().await;
        wire.send("GET / HT").await;
        assert_eq!(wire.rest().await, "", "swept in its head, {round}");
        let mut wire = served.connect().await;
        assert_eq!(wire.ask("nonsense\r\n\r\n").await.status, 400, "{round}");
        drop(wire);
        let mut wire = served.connect().await;
        wire.ask("GET /panic HTTP/1.1\r\nhost: a\r\n\r\n").await;
        drop(wire);
        drop(served.connect().await);
    }
    served.until_open(0).await;
}

#[tokio::test]
async fn one_crowded_listener_does_not_take_the_places_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let served = serve(ConnectionBounds { connections: 2, ..small() }, path).await;
    let listener = Listen::Unix { path: socket.clone(), mode: 0o600 }.bind().await.unwrap();
    let own = served.server.clone();
    tokio::spawn(async move { own.serve(&listener, path).await });
    let mut crowd = [served.connect().await, served.connect().await];
    for one in &mut crowd {
        one.ask(GET).await;
    }
    let mut wire = Wire::new(UnixStream::connect(&socket).await.unwrap());
    assert_eq!(wire.ask(GET).await.status, 200);
}

// === panics ===

#[tokio::test]
async fn a_panic_in_a_handler_is_a_500_of_that_request_alone() {
    let served = serve(small(), |request: Request| async move {
        assert!(request.path() != "/panic", "as asked");
        Reply::json("{}")
    })
    .await;
    let mut other = served.connect().await;
    other.ask(GET).await;
    let mut wire = served.connect().await;
    wire.send("GET /panic HTTP/1.1\r\nhost: a\r\nx-request-id: seven\r\n\r\n").await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.header("x-request-id")), (500, Some("seven")), "{answer:?}");
    assert!(!answer.body.contains("as asked"), "{answer:?}");
    assert_eq!(wire.rest().await, "", "and the connection ends");
    assert_eq!(other.ask(GET).await.status, 200);
    assert_eq!(served.server.panics(), 1);
}

// === stopping ===

#[tokio::test]
async fn draining_closes_what_is_idle_at_once_and_lets_what_runs_finish() {
    let (go, begun) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (wait, begin) = (Arc::clone(&go), Arc::clone(&begun));
    let served = serve(small(), move |request: Request| {
        let (wait, begin) = (Arc::clone(&wait), Arc::clone(&begin));
        async move {
            if request.path() == "/slow" {
                begin.notify_one();
                wait.notified().await;
            }
            Reply::text("text/plain", "done")
        }
    })
    .await;
    let mut warm = served.connect().await;
    warm.ask(GET).await;
    let mut fresh = served.connect().await;
    let mut running = served.connect().await;
    running.send("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    timeout(PATIENCE, begun.notified()).await.unwrap();
    served.until_open(3).await;
    served.accepting.abort();
    let server = served.server.clone();
    let draining = tokio::spawn(async move { server.drain().await });
    assert_eq!(warm.rest().await, "");
    assert_eq!(fresh.rest().await, "");
    assert!(!draining.is_finished());
    go.notify_one();
    let answer = running.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{answer:?}");
    assert_eq!(running.rest().await, "");
    assert_eq!(timeout(PATIENCE, draining).await.unwrap().unwrap(), 0, "nothing was cut off");
    // The listener is gone with its task.
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test]
async fn draining_lets_an_answer_in_pieces_come_to_its_end() {
    let (sender, pieces) = mpsc::channel(1);
    let pieces = Arc::new(std::sync::Mutex::new(Some(pieces)));
    let served = serve(small(), move |_| {
        let pieces = pieces.lock().unwrap().take();
        async move { Reply::stream("text/plain", pieces.unwrap()) }
    })
    .await;
    let mut wire = served.connect().await;
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    sender.send(StreamPiece::Bytes(Bytes::from_static(b"first"))).await.unwrap();
    while !wire.text().contains("first") {
        assert!(wire.more().await);
    }
    served.accepting.abort();
    let server = served.server.clone();
    let draining = tokio::spawn(async move { server.drain().await });
    tokio::time::sleep(Duration::from_millis(60)).await;
    let _ = sender.send(StreamPiece::Bytes(Bytes::from_static(b"last"))).await;
    let _ = sender.send(StreamPiece::Last).await;
    let text = wire.rest().await;
    assert!(text.contains("last") && text.ends_with("0\r\n\r\n"), "{text}");
    assert_eq!(timeout(PATIENCE, draining).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn draining_waits_for_no_caller() {
    const LONG: usize = 16 << 20;
    let bounds = ConnectionBounds { head_ms: 60_000, body_ms: 60_000, ..small() };
    let served = serve(bounds, |mut request: Request| async move {
        match request.path() {
            "/body" => echo(request).await,
            "/upload" => match request.chunk().await {
                Ok(_) => Reply::text("text/plain", format!("{:?}", request.chunk().await)),
                Err(failure) => Reply::message(&failure),
            },
            "/long" => Reply::text("text/plain", vec![b'x'; LONG]),
            _ => {
                let (sender, pieces) = mpsc::channel(1);
                let piece = Bytes::from_static(&[b'x'; 64 << 10]);
                tokio::spawn(async move {
                    while sender.send(StreamPiece::Bytes(piece.clone())).await.is_ok() {}
                });
                Reply::stream("text/plain", pieces)
            }
        }
    })
    .await;
    let mut wires = Vec::new();
    for bytes in [
        "GET / HT",
        "POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf",
        "POST /upload HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "GET /long HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET /pieces HTTP/1.1\r\nhost: a\r\n\r\n",
    ] {
        let mut wire = served.connect().await;
        wire.send(bytes).await;
        if bytes.starts_with("GET /long") || bytes.starts_with("GET /pieces") {
            // It is under way, and from now on nobody takes more of it.
            assert!(wire.more().await);
        }
        wires.push(wire);
    }
    served.until_open(5).await;
    served.accepting.abort();
    timeout(PATIENCE, served.server.drain()).await.expect("nobody is waited for");
    served.until_open(0).await;
}

#[tokio::test]
async fn draining_ends_after_its_bound_whatever_still_runs() {
    let bounds = ConnectionBounds { drain_ms: 100, ..small() };
    let served = serve(bounds, |_| async { std::future::pending::<Reply>().await }).await;
    let mut wire = served.connect().await;
    wire.send(GET).await;
    served.until_open(1).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    served.accepting.abort();
    assert_eq!(timeout(PATIENCE, served.server.drain()).await.unwrap(), 1);
    assert_eq!(wire.rest().await, "");
    served.until_open(0).await;
}

// === unix sockets ===

fn mode_of(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

async fn bind(path: &Path, mode: u32) -> Result<Listener, Failure> {
    Listen::Unix { path: path.to_owned(), mode }.bind().await
}

#[tokio::test]
async fn a_unix_socket_has_its_mode_and_tells_who_connects() {
    let folder = tempfile::tempdir().unwrap();
    for mode in [0o600, 0o660, 0o666] {
        let socket = folder.path().join(format!("{mode:o}.sock"));
        let listener = bind(&socket, mode).await.unwrap();
        assert_eq!(mode_of(&socket), mode);
        assert_eq!(listener.place(), format!("unix:{}", socket.display()));
        let server = Server::new(small());
        tokio::spawn(async move {
            let peer = |request: Request| async move {
                Reply::text("text/plain", format!("{:?}", request.peer))
            };
            server.serve(&listener, peer).await;
        });
        let mut wire = Wire::new(UnixStream::connect(&socket).await.unwrap());
        let own = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(folder.path()).unwrap());
        assert_eq!(wire.ask(GET).await.body, format!("{:?}", Peer::Unix { uid: own }));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "and leaves nothing beside");
}

#[tokio::test]
async fn a_dead_socket_is_replaced_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let live = bind(&path, 0o600).await.expect("the dead one is replaced");
    let taken = bind(&path, 0o600).await.unwrap_err();
    assert_eq!((taken.kind, taken.code), (Kind::Conflict, "socket_taken"));
    assert!(taken.public.contains("stop it, or configure another path"), "{taken}");
    UnixStream::connect(&path).await.expect("the live one still listens");
    drop(live);

    let file = folder.path().join("notes.txt");
    std::fs::write(&file, "keep me").unwrap();
    let refused = bind(&file, 0o600).await.unwrap_err();
    assert!(refused.public.contains("is not a socket"), "{refused}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "keep me");

    // Alive, but not one that answers a connection as we know it: not ours to take.
    let other = folder.path().join("other.sock");
    let _datagrams = std::os::unix::net::UnixDatagram::bind(&other).unwrap();
    let refused = bind(&other, 0o600).await.unwrap_err();
    assert_eq!(refused.code, "socket_taken", "{refused}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let first = serve(small(), path).await;
    let refused = Listen::Tcp(first.address).bind().await.unwrap_err();
    assert_eq!(refused.kind, Kind::Conflict);
    assert!(refused.public.contains(&first.address.to_string()), "{refused}");
    let nowhere = bind(Path::new("/nonexistent/folder/s.sock"), 0o600).await.unwrap_err();
    assert!(nowhere.public.contains("/nonexistent/folder/s.sock"), "{nowhere}");
}
