//! The fast path for small requests: what it accepts, what it leaves to hyper, and that clients
//! cannot tell the difference.

use std::sync::atomic::{AtomicUsize, Ordering};

use kwic_team::http::SmallRequest;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// What a request said, as both sides understood it.
fn told(path: &str, host: Option<&str>, authorization: Option<&str>, body: &[u8]) -> Reply {
    Reply::json(format!("{path} {host:?} {authorization:?} {body:?}"))
}

/// Answers like hyper's side, but for an empty body.
fn at_once(request: &SmallRequest<'_>) -> Option<Reply> {
    let SmallRequest { path, host, authorization, body, .. } = *request;
    (!body.is_empty()).then(|| told(path, host, authorization, body))
}

async fn by_hyper(mut request: Request) -> Reply {
    match request.body(1_000).await {
        Ok(body) => told(request.path(), request.host(), request.header("authorization"), &body),
        Err(failure) => Reply::message(&failure),
    }
}

/// A server that answers by `at_once` what it can, and counts it.
async fn serving() -> (Served, Arc<AtomicUsize>) {
    serving_within(small()).await
}

async fn serving_within(bounds: ConnectionBounds) -> (Served, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    let at_once = move |request: &SmallRequest<'_>| {
        let reply = at_once(request)?;
        counted.fetch_add(1, Ordering::Relaxed);
        Some(reply)
    };
    (serve_at_once(bounds, at_once, by_hyper).await, taken)
}

const USUAL: &str = "POST /ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-Request-Id: i1\r\nUser-Agent: a\r\nContent-Length: 7\r\n\r\n{\"a\":1}";

/// The lines of a head that differ from one answer to the next.
fn steady(answer: &str) -> String {
    let passing = |line: &&str| !line.starts_with("date: ") && !line.starts_with("x-request-id: ");
    let mut lines: Vec<&str> = answer.split("\r\n").filter(passing).collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[tokio::test]
async fn an_answer_at_once_is_hypers_answer() {
    let (served, taken) = serving().await;
    let hyper = serve_by_hyper(small(), by_hyper).await;
    let mut wires = [served.connect().await, hyper.connect().await];
    for _ in 0..3 {
        let mut ours = wires[0].ask(USUAL).await;
        let theirs = wires[1].ask(USUAL).await;
        assert_eq!(ours.header("x-request-id"), Some("i1"));
        let date = |answer: &Answer| answer.header("date").map(|date| date[..16].to_owned());
        assert_eq!(date(&ours), date(&theirs));
        assert_eq!(ours.header("date").map(str::len), Some(29));
        assert_eq!((steady(&ours.head), &ours.body), (steady(&theirs.head), &theirs.body));
        let made = USUAL.replace("X-Request-Id: i1\r\n", "");
        ours = wires[0].ask(made).await;
        assert!(ours.header("x-request-id").is_some_and(|id| id.len() > 16), "{ours:?}");
    }
    assert_eq!(taken.load(Ordering::Relaxed), 6, "hyper answered");
}

#[tokio::test]
async fn a_small_request_may_come_in_pieces() {
    let (served, taken) = serving().await;
    let mut wire = served.connect().await;
    for at in 1..USUAL.len() {
        wire.send(&USUAL[..at]).await;
        tokio::task::yield_now().await;
        assert!(wire.ask(&USUAL[at..]).await.body.starts_with("/ask "));
    }
    assert_eq!(taken.load(Ordering::Relaxed), USUAL.len() - 1);
}

#[tokio::test]
async fn what_is_unusual_is_left_to_hyper_and_so_is_the_rest_of_the_connection() {
    for (part, other) in [
        ("POST", "PUT"),
        ("/ask", "/a\u{e9}k"),
        ("/ask", "http://localhost/ask"),
        ("/ask", "/ask?a=b"),
        ("HTTP/1.1", "HTTP/1.0"),
        ("X-Request-Id: i1", "X-Kwic-At-Least: 1"),
        ("X-Request-Id: i1", "Transfer-Encoding: identity"),
        ("X-Request-Id: i1", "Expect: nothing"),
        ("X-Request-Id: i1", "Upgrade: websocket"),
        ("X-Request-Id: i1", "Connection: close"),
        ("X-Request-Id: i1", "Host: other"),
        ("X-Request-Id: i1", "Content-Length: 7"),
        ("X-Request-Id: i1", "Content-Type: application/json"),
        ("X-Request-Id: i1", "Cookie: a=b"),
        ("X-Request-Id: i1", "X-Request-Id: i1\r\nX-Request-Id: i2"),
        ("X-Request-Id: i1", "X-Request-Id: caf\u{e9}"),
        ("Content-Type: application/json", "Content-Type: text/plain"),
        ("Content-Type: application/json\r\n", ""),
        ("Content-Length: 7", "Content-Length: +7"),
        ("Content-Length: 7\r\n\r\n{\"a\":1}", "Content-Length: 0\r\n\r\n"),
        ("{\"a\":1}", "{\"a\":1}POST"),
    ] {
        let (served, taken) = serving().await;
        let mut wire = served.connect().await;
        assert_eq!(wire.ask(USUAL).await.status, 200);
        let bent = USUAL.replace(part, other);
        assert_ne!(bent, USUAL, "{part}");
        wire.send(bent).await;
        wire.more().await;
        assert_eq!(taken.load(Ordering::Relaxed), 1, "{other:?} was taken");
    }
    let (served, taken) = serving().await;
    let mut wire = served.connect().await;
    wire.ask(GET).await;
    assert_eq!(wire.ask(USUAL).await.status, 200);
    // Longer than the room for small ones.
    let long = "x".repeat(5_000);
    let long = format!(
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n{long}"
    );
    assert_eq!(served.connect().await.ask(long).await.status, 413);
    assert_eq!(taken.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn requests_that_come_together_are_answered_in_their_order() {
    let (served, _) = serving().await;
    let mut wire = served.connect().await;
    let asked: String = (0..20).map(|n| USUAL.replace("/ask", &format!("/{n}"))).collect();
    wire.send(asked).await;
    for n in 0..20 {
        assert!(wire.answer().await.body.starts_with(&format!("/{n} ")));
    }
}

#[tokio::test]
async fn a_panic_ends_one_connection() {
    let panics = |_: &SmallRequest<'_>| -> Option<Reply> { panic!("made to panic") };
    let served = serve_at_once(small(), panics, by_hyper).await;
    let (mut other, mut wire) = (served.connect().await, served.connect().await);
    let answer = wire.ask(USUAL).await;
    assert_eq!((answer.status, answer.header("connection")), (500, Some("close")));
    assert_eq!(wire.rest().await, "");
    assert_eq!(served.server.panics(), 1);
    assert_eq!(other.ask(GET).await.status, 200);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_the_rest_of_a_request() {
    let (served, taken) = serving_within(ConnectionBounds { head_ms: 60_000, ..small() }).await;
    let (mut idle, mut begun) = (served.connect().await, served.connect().await);
    idle.ask(USUAL).await;
    begun.ask(USUAL).await;
    begun.send(&USUAL[..50]).await;
    // By the time that a later request is answered, what came before has been read.
    idle.ask(USUAL).await;
    served.accepting.abort();
    let server = served.server.clone();
    let drained = tokio::spawn(async move { server.drain().await });
    assert_eq!(idle.rest().await, "", "an idle connection is closed");
    assert_eq!(begun.rest().await, "", "and so is one that keeps the server waiting");
    assert_eq!((drained.await.unwrap(), taken.load(Ordering::Relaxed)), (1, 3));
}

#[tokio::test]
async fn who_dawdles_over_a_small_request_is_cut_off() {
    let served =
        serve_at_once(ConnectionBounds { head_ms: 500, ..small() }, at_once, by_hyper).await;
    for part in [40, USUAL.len() - 1] {
        let mut wire = served.connect().await;
        wire.ask(USUAL).await;
        wire.send(&USUAL[..part]).await;
        served.until_open(0).await;
    }
}

#[tokio::test]
async fn a_number_that_is_no_length_is_answered_alike_and_ends_nothing() {
    let (served, _) = serving().await;
    let hyper = serve_by_hyper(small(), by_hyper).await;
    let lengths = [
        "18446744073709551615",
        "18446744073709551614",
        "18446744073709551616",
        "9223372036854775807",
        "9223372036854775808",
        "4294967296",
        "99999999999999999999999999999999",
        "007",
        "00000000000000000000000007",
        "+7",
        "-7",
        "-0",
        " 7 ",
        "7 7",
        "7,7",
        "7, 8",
        "0x7",
        "7e0",
        "7.0",
        "\u{0667}",
        "",
        " ",
        "7\r\nContent-Length: 7",
        "7\r\nContent-Length: 18446744073709551615",
        "18446744073709551615\r\nContent-Length: 18446744073709551615",
        "18446744073709551615\r\nTransfer-Encoding: chunked",
        "7\r\nTransfer-Encoding: chunked",
    ];
    let chunks = [
        "7\r\n{\"a\":1}\r\n0\r\n\r\n",
        "ffffffffffffffff\r\n{\"a\":1}",
        "8000000000000000\r\n{\"a\":1}",
        "10000000000000007\r\n{\"a\":1}\r\n0\r\n\r\n",
        "+7\r\n{\"a\":1}\r\n0\r\n\r\n",
        "-7\r\n{\"a\":1}",
        "\r\n{\"a\":1}",
    ];
    let sized = lengths.map(|length| USUAL.replace("Length: 7", &format!("Length: {length}")));
    let chunked = chunks.map(|body| {
        let head = USUAL.replace("Content-Length: 7", "Transfer-Encoding: chunked");
        head.replace("{\"a\":1}", body)
    });
    for request in sized.iter().chain(&chunked) {
        let (ours, theirs) = (
            exchange(&served, request.as_bytes()).await,
            exchange(&hyper, request.as_bytes()).await,
        );
        assert_eq!(steady(&ours), steady(&theirs), "{request}");
        assert!(ours.starts_with("HTTP/1.1 "), "{request}: {ours:?}");
    }
    assert_eq!((served.server.panics(), hyper.server.panics()), (0, 0));
}

const PIECES: [&str; 27] = [
    "\r\n",
    "\r",
    "\n",
    ":",
    " ",
    "\t",
    "7",
    "70",
    "0",
    "x",
    "\u{e9}",
    "\0",
    "Content-Length: 7\r\n",
    "content-length: 8\r\n",
    "Content-Length: 18446744073709551615\r\n",
    "18446744073709551615",
    "ffffffffffffffff\r\n",
    "Transfer-Encoding: chunked\r\n",
    "transfer-encoding: gzip, chunked\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Expect: 100-continue\r\n",
    "Host: other\r\n",
    "Authorization: Bearer k\r\n",
    "Accept: */*\r\n",
    " folded\r\n",
    "HTTP/1.0",
];

/// A request with some pieces put in, taken out or repeated.
fn bent(dice: &mut StdRng) -> Vec<u8> {
    let mut request = USUAL.as_bytes().to_vec();
    for _ in 0..dice.random_range(1..3) {
        let starts: Vec<usize> = request
            .windows(2)
            .enumerate()
            .filter(|(_, two)| *two == b"\r\n")
            .map(|(at, _)| at + 2)
            .collect();
        let at = match dice.random_range(0..2) {
            // At the beginning of a line, mostly: a field more.
            0 if !starts.is_empty() => starts[dice.random_range(0..starts.len())],
            _ => dice.random_range(0..=request.len()),
        };
        let end = dice.random_range(at..=request.len().min(at + 12));
        let piece = match dice.random_range(0..5) {
            0 => request[at..end].repeat(2),
            1 => Vec::new(),
            _ => PIECES[dice.random_range(0..PIECES.len())].into(),
        };
        let end = if dice.random_range(0..2) == 0 { at } else { end };
        request.splice(at..end, piece);
    }
    request
}

/// All that comes back when these bytes are all that is sent.
async fn exchange(served: &Served, bytes: &[u8]) -> String {
    let mut wire = served.connect().await;
    wire.send(bytes).await;
    let _ = wire.stream.shutdown().await;
    wire.rest().await
}

#[tokio::test]
async fn nobody_can_tell_who_answers() {
    let (served, taken) = serving().await;
    let hyper = serve_by_hyper(small(), by_hyper).await;
    let mut dice = StdRng::seed_from_u64(13);
    for _ in 0..5_000 {
        let bytes = bent(&mut dice);
        let (ours, theirs) = (exchange(&served, &bytes).await, exchange(&hyper, &bytes).await);
        assert_eq!(steady(&ours), steady(&theirs), "{}", String::from_utf8_lossy(&bytes));
    }
    let taken = taken.load(Ordering::Relaxed);
    println!("{taken} of 5000 were answered at once");
    assert!(taken > 300, "only {taken}: nothing is shown");
}
