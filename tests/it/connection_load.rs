//! Crowds: silent connections and event streams, which must not affect other callers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::api_users::{Person, call, document, problem};
use crate::support::sidecar::{PATIENCE, Sidecar, Start, eventually, question};

/// More connections than there may be open files.
const CROWD: usize = 260;
/// More than there are places at a listener.
const BEFORE: usize = 80;

fn few_files(ulimit: &'static str) -> Sidecar {
    let sidecar = Sidecar::start_with(&Start { ulimit: Some(ulimit), ..Start::default() });
    sidecar.account("acme");
    sidecar.members("acme", &[("ann", "operator")]);
    sidecar
}

fn asked() -> serde_json::Value {
    question("ann", "chats:view", ("chat", "c"), "acme")
}

/// Silent connections to a port.
fn silent(address: &str, many: usize) -> Vec<TcpStream> {
    (0..many).map(|_| TcpStream::connect(address).unwrap()).collect()
}

#[test]
fn a_silent_crowd_on_one_listener_stops_no_other() {
    let sidecar = few_files("-n 200");
    let log = sidecar.log_text();
    assert!(log.contains("200 open files are enough for 34 connections"), "{log}");
    let console = || call(&sidecar, "GET /me", "", None).status;
    let by_port = || sidecar.tcp().allows(&asked());
    let by_socket = || {
        assert_eq!(sidecar.unix().get("/readyz").status, 200);
        sidecar.unix().allows(&asked())
    };
    let operator = || sidecar.ok(&["account", "list"]);

    let crowd = silent(&sidecar.address, CROWD);
    assert!(by_socket() && operator().starts_with("acme"));
    assert_eq!(console(), 401);
    drop(crowd);
    let crowd = silent(&sidecar.console, CROWD);
    assert!(by_port() && by_socket() && operator().starts_with("acme"));
    drop(crowd);
    let socket = sidecar.path("decide.sock");
    let crowd: Vec<_> = (0..CROWD).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    assert!(by_port() && operator().starts_with("acme"));
    assert_eq!(console(), 401);
    drop(crowd);
    let socket = sidecar.path("data/admin.sock");
    let crowd: Vec<_> = (0..CROWD).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    assert!(by_port() && by_socket());
    assert_eq!(console(), 401);
    drop(crowd);
}

#[test]
fn the_soft_limit_of_open_files_is_raised_to_the_hard_one() {
    let sidecar = few_files("-S -n 100");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", sidecar.pid())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let [.., soft, hard, _] = files.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("{files}");
    };
    assert_eq!(soft, hard);
    let _crowd = silent(&sidecar.address, CROWD);
    assert!(sidecar.tcp().allows(&asked()));
}

#[test]
fn a_caller_behind_a_silent_crowd_is_answered() {
    let sidecar = few_files("-n 200");
    let _silent = silent(&sidecar.address, BEFORE);
    // Warm connections that rest hold no place for ever either.
    assert!(sidecar.tcp().allows(&asked()));
    let mut resting: Vec<_> = (0..34).map(|_| sidecar.tcp()).collect();
    for connection in &mut resting {
        assert!(connection.allows(&asked()));
    }
    assert!(sidecar.tcp().allows(&asked()));
}

#[test]
fn too_few_open_files_refuse_the_start_and_say_so() {
    let home = tempfile::tempdir().unwrap();
    let config = "[console]\nlisten = \"127.0.0.1:0\"\n[decision]\nlisten = \"127.0.0.1:0\"\n";
    std::fs::write(home.path().join("kwic-team.toml"), config).unwrap();
    let output = crate::support::sidecar::bounded(home.path(), Some("-n 70")).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("only 70 files open: allow at least 88"), "{message}");
}

#[test]
fn questions_that_wait_for_a_revision_leave_room_for_others() {
    let sidecar = Sidecar::start_with(&Start {
        ulimit: Some("-n 200"),
        environment: vec![("KWIC_TEAM_DECISION_WAIT_MS", "60000".into())],
        ..Start::default()
    });
    sidecar.account("acme");
    sidecar.members("acme", &[("ann", "operator")]);
    let body = asked().to_string();
    let head = format!(
        "POST /access/v1/evaluation HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nx-kwic-at-least: 18446744073709551615\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let open = |_| {
        let mut stream = TcpStream::connect(&sidecar.address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream
    };
    let waiting: Vec<TcpStream> = (0..30).map(open).collect();
    // 34 connections, of which 17 may wait.
    let is_told = |stream: &&TcpStream| stream.peek(&mut [0]).is_ok();
    eventually("13 are told at once", || waiting.iter().filter(is_told).count() == 13);
    let told = waiting.iter().find(is_told).unwrap().try_clone().unwrap();
    told.set_nonblocking(false).unwrap();
    let told = crate::support::sidecar::Connection::new(told).read(false);
    assert_eq!(told.status, 503, "{told:?}");
    assert!(told.body.contains("17 requests wait for a revision already"), "{told:?}");
    assert!(sidecar.tcp().allows(&asked()));
}

/// Opens a stream of events; answers it with the status.
fn listen(sidecar: &Sidecar, cookie: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(&sidecar.console).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head =
        format!("GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\ncookie: {cookie}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let (mut answer, mut piece) = (String::new(), [0; 4096]);
    // A refusal ends with its body, a stream goes on.
    while !answer.contains("\r\n\r\n")
        || !answer.starts_with("HTTP/1.1 200") && !answer.ends_with('}')
    {
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "cut off after {answer:?}");
        answer.push_str(std::str::from_utf8(&piece[..read]).unwrap());
    }
    (stream, answer)
}

#[test]
fn streams_of_events_are_bounded_for_a_session_a_member_and_an_account() {
    let sidecar = few_files("-n 512");
    // 112 connections each: 56 streams, of an account 28, of a member 14, as of a session.
    let role = "administrator";
    sidecar.members("acme", &[("bo", role), ("cy", role), ("dee", role)]);
    let bo = Person::of_import(&sidecar, "acme", "bo");
    let again = Person::sign_in(&sidecar, "acme", "bo@example.org");
    let cy = Person::of_import(&sidecar, "acme", "cy");
    let opened = |person: &Person<'_>| {
        let mut open = Vec::new();
        loop {
            assert!(open.len() < 60, "no bound");
            let (stream, answer) = listen(&sidecar, &person.cookie);
            if !answer.starts_with("HTTP/1.1 200") {
                return (open, answer);
            }
            open.push(stream);
        }
    };
    let (mut of_bo, refused) = opened(&bo);
    assert_eq!(of_bo.len(), 14, "{refused}");
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    assert!(refused.contains("this session or API token has 14 event streams open"), "{refused}");
    assert!(refused.to_ascii_lowercase().contains("retry-after: "), "{refused}");
    let (of_again, refused) = opened(&again);
    assert_eq!(of_again.len(), 0, "another session of the same member");
    assert!(refused.contains("you have 14 event streams open"), "{refused}");
    let (of_cy, refused) = opened(&cy);
    assert_eq!(of_cy.len(), 14, "{refused}");
    let (_, refused) = opened(&Person::of_import(&sidecar, "acme", "dee"));
    assert!(refused.contains("account `acme` has 28 event streams open"), "{refused}");
    // Who closes one may open one.
    of_bo.truncate(13);
    let mut reopened = None;
    eventually("a place comes back", || {
        let (stream, answer) = listen(&sidecar, &bo.cookie);
        reopened = Some(stream);
        answer.starts_with("HTTP/1.1 200")
    });
    let problems = call(&sidecar, "GET /events", &format!("cookie: {}\r\n", bo.cookie), None);
    assert_eq!(problem(&problems, 429), "too_many_streams");
    document(&bo.call("GET /me", None), 200);
    assert!(sidecar.tcp().allows(&asked()));
}

#[test]
fn a_connection_that_never_sends_a_byte_is_closed_like_one_that_sends_half_a_head() {
    let sidecar = Sidecar::start_with(&Start {
        config: "[limits]\nhead_ms_max = 300\n".to_owned(),
        ..Start::default()
    });
    for address in [&sidecar.address, &sidecar.console] {
        for sent in ["", "POST /access/v1/evaluation HTT"] {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE.min(Duration::from_secs(20)))).unwrap();
            stream.write_all(sent.as_bytes()).unwrap();
            let mut rest = Vec::new();
            // Closed with an end or a reset, never a wait for as long as a warm one may rest.
            match stream.read_to_end(&mut rest) {
                Ok(_) => assert!(rest.is_empty(), "{sent:?}"),
                Err(fault) => {
                    assert_eq!(fault.kind(), std::io::ErrorKind::ConnectionReset, "{sent:?}");
                }
            }
        }
    }
}

/// Stops them, however the test ends.
struct Stops<'s>(&'s AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks again and again over warm connections, as a busy service does, until told to stop.
fn ask_on(
    sidecar: &Sidecar,
    stop: &AtomicBool,
    ask: fn(&mut crate::support::sidecar::Connection<TcpStream>) -> crate::support::sidecar::Answer,
) {
    while !stop.load(Ordering::Relaxed) {
        let mut warm = sidecar.tcp();
        while !stop.load(Ordering::Relaxed) && ask(&mut warm).header("connection").is_none() {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn health_is_answered_while_busy_callers_hold_the_places() {
    let sidecar = few_files("-n 256");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let stops = Stops(&stop);
        for number in 0..60 {
            let (sidecar, stop) = (&sidecar, &stop);
            scope.spawn(move || match number % 2 {
                0 => ask_on(sidecar, stop, |warm| warm.get("/livez")),
                _ => ask_on(sidecar, stop, |warm| warm.post("/access/v1/evaluation", &asked())),
            });
        }
        let connections = || {
            let text = sidecar.unix().get("/metrics").body;
            let line = text.lines().find_map(|line| line.strip_prefix("kwic_connections "));
            line.unwrap().parse::<usize>().unwrap()
        };
        // One more is this connection.
        eventually("the places are held", || connections() > 42);
        let probes: std::io::Result<Vec<_>> = (0..20)
            .map(|number| {
                let path = if number % 2 == 0 { "/livez" } else { "/readyz" };
                let mut stream = TcpStream::connect(&sidecar.address).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
                let mut begin = [0; 12];
                stream.read_exact(&mut begin).map(|()| begin.to_vec())
            })
            .collect();
        drop(stops);
        for probe in probes.unwrap() {
            assert_eq!(probe, b"HTTP/1.1 200");
        }
    });
}

/// How many answers of a route had a status.
fn answered(sidecar: &Sidecar, route: &str, code: u16) -> u64 {
    let text = sidecar.tcp().get("/metrics").body;
    let name = format!("kwic_http_requests_total{{route=\"{route}\",code=\"{code}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
}

#[test]
fn what_strangers_can_cause_is_a_line_a_minute() {
    let sidecar = Sidecar::start();
    sidecar.account("acme");
    let half = |address: &str, path: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "POST {path} HTTP/1.1\r\nhost: localhost\r\nsec-fetch-site: same-origin\r\ncontent-type: application/json\r\ncontent-length: 90\r\n\r\n{{").unwrap();
    };
    for _ in 0..20 {
        half(&sidecar.address, "/access/v1/evaluation");
        half(&sidecar.address, "/access/v1/evaluations");
        half(&sidecar.console, "/api/v1/sign-in");
        let foreign = "origin: https://elsewhere.example\r\n";
        assert_eq!(call(&sidecar, "POST /sign-out", foreign, None).status, 403);
    }
    for number in 0..3 {
        let body =
            serde_json::json!({"account": "acme", "email": format!("no{number}@example.org")});
        assert_eq!(call(&sidecar, "POST /password-reset", "", Some(&body)).status, 202);
    }
    for route in ["/access/v1/evaluation", "/access/v1/evaluations"] {
        eventually("each is refused", || answered(&sidecar, route, 400) == 20);
    }
    let lines = |what: &str| sidecar.log_text().lines().filter(|line| line.contains(what)).count();
    eventually("nobody is told of", || lines("nobody to send a link to") > 0);
    for what in ["body_broken", "csrf_refused", "nobody to send a link to"] {
        assert_eq!(lines(what), 1, "{what}: {}", sidecar.log_text());
    }
}
