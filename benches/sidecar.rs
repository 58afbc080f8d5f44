//! How close does the real server come to a bare hyper server, and what do members and reloads
//! cost it?
//!
//! `cargo bench --bench sidecar` prints the table of the README. The bare server (a fixed answer,
//! the same headers, the same profile) is this program started again; both are loaded by the same
//! client in one run, in turns. The server has core 0, the client core 1; the machine is shared,
//! so only ratios inside one run count.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    missing_docs,
    reason = "a benchmark that meets the unexpected should stop there"
)]

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CONNECTIONS: usize = 64;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
const QUIET: Duration = Duration::from_secs(20);
const WINDOW: Duration = Duration::from_secs(1);
const MEMBERS: usize = 1_000_000;
const POLICIES: usize = 10_000;
const BINARY: &str = env!("CARGO_BIN_EXE_kwic-team");

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("bare") => bare(),
        Some("reload") => measure(&[reload]),
        Some("sign-ins") => measure(&[sign_ins]),
        Some("mail") => mail(),
        _ => {
            measure(&[start, throughput, sign_ins, reload]);
            mail();
        }
    }
}

fn measure(stages: &[fn(&Path)]) {
    let home = tempfile::tempdir().unwrap();
    prepare(home.path());
    pin_to_core_1();
    println!("| what | measured | goal |\n| --- | --- | --- |");
    for stage in stages {
        stage(home.path());
    }
}

// === a home with a million members ===

/// A configuration and a policy folder, small at first.
fn prepare(home: &Path) {
    write_policies(&home.join("policies"), 0, 0);
    fs::write(
        home.join("kwic-team.toml"),
        format!(
            "[console]\nlisten = \"127.0.0.1:0\"\n[decision]\nlisten = \"127.0.0.1:0\"\n[policies]\ndir = \"{}/policies\"\nwatch = false\n",
            home.display()
        ),
    )
    .unwrap();
    let server = Server::start(home);
    run(home, &["account", "create", "--slug", "acme", "--name", "Acme"]);
    let mut file = String::from("id,first_name,last_name,email,role\n");
    for number in 0..MEMBERS {
        writeln!(file, "m{number:07},Ann,Example,member.{number}@example.org,template_manager")
            .unwrap();
    }
    fs::write(home.join("members.csv"), file).unwrap();
    let began = Instant::now();
    run(
        home,
        &["member", "import", "--account", "acme", home.join("members.csv").to_str().unwrap()],
    );
    eprintln!("imported {MEMBERS} members in {:.1} s", began.elapsed().as_secs_f64());
    server.kill();
}

/// The shipped folder and `extra` policies of other roles; `version` makes the set a new one.
fn write_policies(dir: &Path, extra: usize, version: usize) {
    let shipped = kwic_team::policy_folder::shipped();
    for (path, bytes) in shipped.iter() {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let mut text = format!("// version {version}\n");
    for number in 0..extra {
        writeln!(
            text,
            "@id(\"extra-{number}\")\npermit(principal in KWIC::Role::\"extra_{number}\", action == KWIC::Action::\"templates:view\", resource) when {{ {version} >= 0 }};"
        )
        .unwrap();
    }
    fs::write(dir.join("rules/extra.cedar"), text).unwrap();
}

fn run(home: &Path, arguments: &[&str]) {
    let output =
        Command::new(BINARY).arg("--data").arg(home.join("data")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

// === servers, each on core 0 ===

struct Server {
    child: Child,
    address: SocketAddr,
    console: Option<SocketAddr>,
}

impl Server {
    fn start(home: &Path) -> Self {
        Self::spawn(
            Command::new("taskset")
                .args(["-c", "0", BINARY, "--config"])
                .arg(home.join("kwic-team.toml"))
                .arg("--data")
                .arg(home.join("data"))
                .arg("serve"),
        )
    }

    fn bare() -> Self {
        Self::spawn(
            Command::new("taskset")
                .args(["-c", "0"])
                .arg(std::env::current_exe().unwrap())
                .arg("bare"),
        )
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut places = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some(at) = line.split("http://").nth(1) {
                // A set-up link has a path behind its place.
                places.extend(at.trim().parse::<SocketAddr>());
            }
            if line == "ready" {
                break;
            }
        }
        // Decisions first, then the management API, which the bare server does not have.
        Self { child, address: places[0], console: places.get(1).copied() }
    }

    fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The floor: hyper with a fixed answer and the headers of ours.
fn bare() {
    use http_body_util::{BodyExt, Full};
    use hyper::body::{Bytes, Incoming};
    use hyper::header::HeaderValue;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("http://{}\nready", listener.local_addr().unwrap());
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                let service =
                    hyper::service::service_fn(|request: hyper::Request<Incoming>| async {
                        let _ = request.into_body().collect().await;
                        let mut response = hyper::Response::new(Full::new(Bytes::from_static(
                            br#"{"decision":true}"#,
                        )));
                        let headers = response.headers_mut();
                        for (name, value) in [
                            ("content-type", "application/json"),
                            ("x-request-id", "0123456789abcdef-1"),
                            ("x-kwic-revision", "1"),
                            (
                                "x-kwic-policies",
                                "0123456789012345678901234567890123456789012345678901234567890123",
                            ),
                        ] {
                            headers.insert(name, HeaderValue::from_static(value));
                        }
                        Ok::<_, std::convert::Infallible>(response)
                    });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
                    .await;
            });
        }
    });
}

// === start ===

fn start(home: &Path) {
    let mut times = Vec::new();
    let mut resident = 0;
    for _ in 0..3 {
        let began = Instant::now();
        let server = Server::start(home);
        let mut stream = TcpStream::connect(server.address).unwrap();
        assert!(ask_once(&mut stream, 1).contains("true"));
        times.push(began.elapsed().as_secs_f64());
        resident = server.resident_bytes();
        // As a power cut would end it: each start but the first follows one.
        server.kill();
    }
    println!(
        "| start to first answer, {MEMBERS} members, after `kill -9` | {:.2} s | 3 s |",
        median(&mut times)
    );
    println!(
        "| resident memory a member, {MEMBERS} members | {} bytes | 500 bytes |",
        resident / MEMBERS as u64
    );
}

// === throughput: closed loop, 64 connections ===

fn throughput(home: &Path) {
    let (ours, bare) = (Server::start(home), Server::bare());
    let mut rates = (Vec::new(), Vec::new());
    pin_to_core_1();
    for round in 0..=ROUNDS {
        let pair = (closed_loop(ours.address), closed_loop(bare.address));
        if round > 0 {
            rates.0.push(pair.0);
            rates.1.push(pair.1);
        }
    }
    let mut ratios: Vec<f64> =
        rates.0.iter().zip(&rates.1).map(|(ours, bare)| ours / bare).collect();
    println!(
        "| throughput, {CONNECTIONS} connections, one core, against bare hyper | {:.2} ({:.0} against {:.0} a second) | 0.4 |",
        median(&mut ratios),
        median(&mut rates.0),
        median(&mut rates.1)
    );
    ours.kill();
    bare.kill();
}

/// Requests a second.
fn closed_loop(address: SocketAddr) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let end = Instant::now() + ROUND;
        let tasks: Vec<_> = (0..CONNECTIONS)
            .map(|connection| {
                tokio::spawn(async move {
                    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
                    stream.set_nodelay(true).unwrap();
                    let mut random = Random::new(connection as u64 + 1);
                    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
                    let mut answered = 0_u64;
                    while Instant::now() < end {
                        write_request(&mut request, random.next());
                        stream.write_all(&request).await.unwrap();
                        let mut filled = 0;
                        loop {
                            let read = stream.read(&mut buffer[filled..]).await.unwrap();
                            assert!(read > 0, "the server hung up");
                            filled += read;
                            if complete(&buffer[..filled]) {
                                break;
                            }
                        }
                        assert!(buffer.starts_with(b"HTTP/1.1 200"));
                        answered += 1;
                    }
                    answered
                })
            })
            .collect();
        let mut answered = 0;
        for task in tasks {
            answered += task.await.unwrap();
        }
        answered as f64 / ROUND.as_secs_f64()
    })
}

// === sign-ins: open loop at half of the maximum ===

/// How many people sign in at once.
const PEOPLE: usize = 32;
const PASSWORD: &str = "seven green bicycles";

fn sign_ins(home: &Path) {
    let server = Server::start(home);
    let console = server.console.unwrap();
    for number in 0..PEOPLE {
        give_password(home, console, number);
    }
    let rate = (0..3).map(|_| closed_loop(server.address)).fold(0.0, f64::max) / 2.0;
    let measured = || {
        let end = Instant::now() + QUIET;
        p99_us(open_loop(server.address, rate, || Instant::now() < end))
    };
    let quiet_before = measured();
    let storm = Arc::new(AtomicBool::new(true));
    let people: Vec<_> = (0..PEOPLE)
        .map(|number| {
            let storm = Arc::clone(&storm);
            std::thread::spawn(move || {
                let mut signed_in = 0_u64;
                while storm.load(Ordering::Relaxed) {
                    let body = format!(
                        r#"{{"account":"acme","email":"member.{number}@example.org","password":"{PASSWORD}"}}"#
                    );
                    assert!(post(console, "sign-in", &body).starts_with("HTTP/1.1 200"));
                    signed_in += 1;
                }
                signed_in
            })
        })
        .collect();
    let busy = measured();
    storm.store(false, Ordering::Relaxed);
    let signed_in: u64 = people.into_iter().map(|person| person.join().unwrap()).sum();
    let quiet = f64::midpoint(quiet_before, measured());
    println!(
        "| p99 while {PEOPLE} people sign in at once, against quiet ({rate:.0} a second, open loop; {:.0} sign-ins a second) | {:.2} ({busy:.0} against {quiet:.0} µs), none refused | 1.5 |",
        signed_in as f64 / QUIET.as_secs_f64(),
        busy / quiet
    );
    server.kill();
}

/// A member's first password, by the link that the operator of the sidecar gets.
fn give_password(home: &Path, console: SocketAddr, number: usize) {
    let output = Command::new(BINARY)
        .arg("--data")
        .arg(home.join("data"))
        .args(["member", "reset-password", &format!("m{number:07}"), "--json"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let token = text.split_once("/reset#").unwrap().1.get(..43).unwrap();
    let body = format!(r#"{{"token":"{token}","password":"{PASSWORD}"}}"#);
    assert!(post(console, "password-reset/confirm", &body).starts_with("HTTP/1.1 200"));
}

/// One call to the management API on a connection of its own.
fn post(console: SocketAddr, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(console).unwrap();
    write!(
        stream,
        "POST /api/v1/{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

// === mail: a queue that drains ===

/// How many letters wait.
const LETTERS: usize = 10_000;
/// As many as one call invites.
const INVITED_AT_ONCE: usize = 100;

/// Letters are queued while the mail server refuses the sidecar, and go out once it is mended.
fn mail() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let configure = |mail: &str| {
        let text = format!(
            "[console]\nlisten = \"127.0.0.1:0\"\npublic_url = \"http://localhost\"\n[decision]\nlisten = \"127.0.0.1:0\"\n[mail]\n{mail}\n"
        );
        fs::write(home.join("kwic-team.toml"), text).unwrap();
    };
    // Nobody listens there: each letter is tried once and waits.
    configure("kind = \"smtp\"\nurl = \"smtp://127.0.0.1:1\"\nfrom = \"a@example.org\"");
    let server = Server::start(home);
    run(home, &["account", "create", "--slug", "acme", "--name", "Acme"]);
    for call in 0..LETTERS / INVITED_AT_ONCE {
        let mut file = String::from("first_name,last_name,email,role\n");
        for number in 0..INVITED_AT_ONCE {
            writeln!(file, "Bo,Lee,bo.{call}.{number}@example.org,operator").unwrap();
        }
        fs::write(home.join("invites.csv"), file).unwrap();
        run(home, &["invite", "send", "--file", home.join("invites.csv").to_str().unwrap()]);
    }
    server.kill();
    configure("kind = \"folder\"");
    let server = Server::start(home);
    let (began, quiet) = (Instant::now(), server.resident_bytes());
    let mut most = quiet;
    let sent = || fs::read_dir(home.join("data/outbox")).map_or(0, Iterator::count);
    while sent() < LETTERS {
        most = most.max(server.resident_bytes());
        assert!(began.elapsed() < Duration::from_secs(900), "only {} were sent", sent());
        std::thread::sleep(Duration::from_millis(200));
    }
    println!(
        "| {LETTERS} queued letters drain | {:.0} s, {:.1} MiB above rest | bounded |",
        began.elapsed().as_secs_f64(),
        (most - quiet) as f64 / f64::from(1 << 20)
    );
    server.kill();
}

// === reload: open loop at half of the maximum ===

fn reload(home: &Path) {
    write_policies(&home.join("policies"), POLICIES, 0);
    let server = Server::start(home);
    let rate = (0..3).map(|_| closed_loop(server.address)).fold(0.0, f64::max) / 2.0;
    let quiet = || {
        let end = Instant::now() + QUIET;
        p99_us(open_loop(server.address, rate, || Instant::now() < end))
    };
    let quiet_before = quiet();
    let (folder, data) = (home.join("policies"), home.join("data"));
    let began = Instant::now();
    let reloads = std::thread::spawn(move || reload_ten_times(&folder, &data));
    let busy = p99_us(open_loop(server.address, rate, || !reloads.is_finished()));
    reloads.join().unwrap();
    let took = began.elapsed().as_secs_f64() / 10.0;
    let quiet = f64::midpoint(quiet_before, quiet());
    println!(
        "| p99 while {POLICIES} policies reload ten times, against quiet ({rate:.0} a second, open loop; {took:.1} s a reload) | {:.2} ({busy:.0} against {quiet:.0} µs), no request failed | 1.5 |",
        busy / quiet
    );
    server.kill();
}

fn reload_ten_times(policies: &Path, data: &Path) {
    for version in 1..=10 {
        write_policies(policies, POLICIES, version);
        let output = Command::new(BINARY)
            .arg("--data")
            .arg(data)
            .args(["policy", "reload"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

/// Latencies in nanoseconds from the moment a request was due, at a fixed rate, by the window that
/// it was due in, as long as `on` says.
fn open_loop(address: SocketAddr, rate: f64, on: impl Fn() -> bool) -> Vec<Vec<u64>> {
    struct Slot {
        stream: TcpStream,
        due: Option<Instant>,
        buffer: Vec<u8>,
    }
    let mut slots: Vec<Slot> = (0..CONNECTIONS)
        .map(|_| {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_nonblocking(true).unwrap();
            Slot { stream, due: None, buffer: Vec::new() }
        })
        .collect();
    let gap = Duration::from_secs_f64(1.0 / rate);
    let began = Instant::now();
    let mut due = began;
    let mut random = Random::new(7);
    let mut request = Vec::new();
    let mut windows: Vec<Vec<u64>> = Vec::new();
    loop {
        let now = Instant::now();
        let ending = !on();
        if ending && slots.iter().all(|slot| slot.due.is_none()) {
            // The last window is not a whole one.
            windows.pop();
            return windows;
        }
        if !ending
            && now >= due
            && let Some(slot) = slots.iter_mut().find(|slot| slot.due.is_none())
        {
            write_request(&mut request, random.next());
            slot.stream.write_all(&request).unwrap();
            slot.due = Some(due);
            due += gap;
        }
        for slot in slots.iter_mut().filter(|slot| slot.due.is_some()) {
            let mut piece = [0; 4096];
            match slot.stream.read(&mut piece) {
                Ok(0) => panic!("the server hung up"),
                Ok(read) => slot.buffer.extend_from_slice(&piece[..read]),
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => continue,
                Err(fault) => panic!("{fault}"),
            }
            if complete(&slot.buffer) {
                assert!(slot.buffer.starts_with(b"HTTP/1.1 200"));
                let due = slot.due.take().unwrap();
                let window = ((due - began).as_secs_f64() / WINDOW.as_secs_f64()) as usize;
                if windows.len() <= window {
                    windows.resize(window + 1, Vec::new());
                }
                windows[window].push(u64::try_from(due.elapsed().as_nanos()).unwrap());
                slot.buffer.clear();
            }
        }
    }
}

// === requests ===

/// One question about one of all members and one of a million resources.
fn write_request(into: &mut Vec<u8>, random: u64) {
    let member = random as usize % MEMBERS;
    let resource = (random >> 32) % 1_000_000;
    let body = format!(
        r#"{{"subject":{{"type":"user","id":"m{member:07}"}},"action":{{"name":"templates:view"}},"resource":{{"type":"template","id":"t{resource}","properties":{{"account":"acme"}}}}}}"#
    );
    into.clear();
    write!(
        into,
        "POST /access/v1/evaluation HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
}

fn complete(buffer: &[u8]) -> bool {
    buffer.ends_with(b"}") && buffer.windows(4).any(|window| window == b"\r\n\r\n")
}

fn ask_once(stream: &mut TcpStream, random: u64) -> String {
    let mut request = Vec::new();
    write_request(&mut request, random);
    stream.write_all(&request).unwrap();
    let mut buffer = Vec::new();
    while !complete(&buffer) {
        let mut piece = [0; 1024];
        let read = stream.read(&mut piece).unwrap();
        buffer.extend_from_slice(&piece[..read]);
    }
    String::from_utf8(buffer).unwrap()
}

/// xorshift64*: which member and resource is asked about need not be a secret.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The median of the windows' p99: a pause of the shared machine spoils one window, not the run.
fn p99_us(windows: Vec<Vec<u64>>) -> f64 {
    let p99 = |mut latencies: Vec<u64>| {
        latencies.sort_unstable();
        latencies[latencies.len() * 99 / 100] as f64 / 1_000.0
    };
    median(&mut windows.into_iter().map(p99).collect::<Vec<f64>>())
}

/// The client keeps off the server's core.
fn pin_to_core_1() {
    let own = std::process::id().to_string();
    let status = Command::new("taskset").args(["-pc", "1", &own]).stdout(Stdio::null()).status();
    assert!(status.is_ok_and(|status| status.success()), "this benchmark needs `taskset`");
}
