//! How close does the real server come to a bare hyper server, and what do members, edits, reloads,
//! sign-ins and pages cost it?
//!
//! `cargo bench --bench sidecar` prints the tables of `docs/performance.md`, with a stage's name behind `--` that
//! stage alone. The bare server (a fixed answer,
//! the same headers, the same profile) is this program started again; both are loaded by the same
//! client in one run, in turns. The server has core 0, the client core 1; a start and the gate have
//! both. The machine is shared, so only ratios inside one run count.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    missing_docs,
    reason = "a benchmark that meets the unexpected should stop there"
)]

#[path = "sidecar/load.rs"]
mod load;

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use load::{Ask, Place, ask_once, closed_loop, open_loop, p50_us_alone};

const CONNECTIONS: usize = 64;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
const QUIET: Duration = Duration::from_secs(10);
/// So short that the host interrupts few of them; the p99 of one is still that of some thousand questions.
const WINDOW: Duration = Duration::from_millis(20);
const MEMBERS: usize = 1_000_000;
const POLICIES: usize = 10_000;
const BOTH_CORES: &str = "0,1";
const BINARY: &str = env!("CARGO_BIN_EXE_kwic-team");

type Stage = fn(&Path);

/// The stages that share a home with a million members, in the order of the table.
const STAGES: [(&str, Stage); 12] = [
    ("start", start),
    ("gate", gate),
    ("throughput", throughput),
    ("attributes", attributes),
    ("stored", stored),
    ("latency", latency),
    ("batch", batch),
    ("restless", restless),
    ("edits", edits),
    ("writers", writers),
    ("sign-ins", sign_ins),
    ("reload", reload),
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let wanted = arguments.get(1).map(String::as_str).filter(|wanted| *wanted != "--bench");
    if wanted == Some("bare") {
        return bare(Path::new(&arguments[2]));
    }
    let is_wanted = |name: &str| wanted.is_none_or(|wanted| wanted == name);
    println!("| what | measured | goal |\n| --- | --- | --- |");
    let stages: Vec<_> = STAGES.into_iter().filter(|(name, _)| is_wanted(name)).collect();
    if !stages.is_empty() {
        let home = tempfile::tempdir().unwrap();
        prepare(home.path());
        pin_to_core_1();
        for (_, stage) in stages {
            stage(home.path());
        }
    }
    if is_wanted("page") {
        page();
    }
    if is_wanted("mail") {
        mail();
    }
}

// === a home with a million members ===

/// A configuration and a policy folder, small at first.
fn prepare(home: &Path) {
    write_policies(&home.join("policies"), 0, 0);
    fs::write(
        home.join("kwic-team.toml"),
        format!(
            "[console]\nlisten = \"127.0.0.1:0\"\n[decision]\nlisten = \"127.0.0.1:0\"\nsocket = \"{0}/decision.sock\"\n[policies]\ndir = \"{0}/policies\"\nwatch = false\n",
            home.display()
        ),
    )
    .unwrap();
    let server = Server::start(home);
    let began = Instant::now();
    grow(home, MEMBERS, "template_manager");
    eprintln!("imported {MEMBERS} members in {:.1} s", began.elapsed().as_secs_f64());
    server.kill();
}

/// An account, and so many members of it.
fn grow(home: &Path, members: usize, role: &str) {
    run(home, &["account", "create", "--slug", "acme", "--name", "Acme"]);
    let mut file = String::from("id,first_name,last_name,email,role\n");
    for number in 0..members {
        writeln!(file, "m{number:07},Ann,Example {number},member.{number}@example.org,{role}")
            .unwrap();
    }
    let path = home.join("members.csv");
    fs::write(&path, file).unwrap();
    run(home, &["member", "import", "--account", "acme", path.to_str().unwrap()]);
}

/// The shipped folder and `extra` policies of other roles; `version` makes the set a new one.
fn write_policies(dir: &Path, extra: usize, version: usize) {
    let shipped = kwic_team::policy_folder::embedded_policies();
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

// === servers, each on core 0 but where it starts alone ===

struct Server {
    child: Child,
    tcp: Place,
    unix: Place,
    console: Option<SocketAddr>,
}

impl Server {
    fn start(home: &Path) -> Self {
        Self::start_on("0", home)
    }

    fn start_on(cores: &str, home: &Path) -> Self {
        let mut command = Command::new("taskset");
        command
            .args(["-c", cores, BINARY, "--config"])
            .arg(home.join("kwic-team.toml"))
            .arg("--data")
            .arg(home.join("data"))
            .arg("serve");
        Self::spawn(&mut command, home.join("decision.sock"))
    }

    fn bare(home: &Path) -> Self {
        let socket = home.join("bare.sock");
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(std::env::current_exe().unwrap()).arg("bare").arg(&socket);
        Self::spawn(&mut command, socket)
    }

    fn spawn(command: &mut Command, socket: PathBuf) -> Self {
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
        Self {
            child,
            tcp: Place::Tcp(places[0]),
            unix: Place::Unix(socket),
            console: places.get(1).copied(),
        }
    }

    /// Whether the policies are those of the folder, and none from before.
    fn has_policies_of_folder(&self) -> bool {
        let Place::Tcp(address) = &self.tcp else { return false };
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.contains(r#""policies":"live""#)
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

/// The floor: hyper with a fixed answer and the headers of ours, on a port and on a socket.
fn bare(socket: &Path) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _ = fs::remove_file(socket);
        let unix = tokio::net::UnixListener::bind(socket).unwrap();
        println!("http://{}\nready", tcp.local_addr().unwrap());
        loop {
            tokio::select! {
                accepted = tcp.accept() => {
                    let (stream, _) = accepted.unwrap();
                    stream.set_nodelay(true).unwrap();
                    tokio::spawn(answer_always(stream));
                }
                accepted = unix.accept() => {
                    tokio::spawn(answer_always(accepted.unwrap().0));
                }
            }
        }
    });
}

async fn answer_always(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
) {
    use http_body_util::{BodyExt, Full};
    use hyper::body::{Bytes, Incoming};
    use hyper::header::HeaderValue;
    let service = hyper::service::service_fn(|request: hyper::Request<Incoming>| async {
        let _ = request.into_body().collect().await;
        let body = Bytes::from_static(br#"{"decision":true}"#);
        let mut response = hyper::Response::new(Full::new(body));
        let headers = response.headers_mut();
        for (name, value) in [
            ("content-type", "application/json"),
            ("x-request-id", "0123456789abcdef-1"),
            ("x-kwic-revision", "1"),
            ("x-kwic-policies", "0123456789012345678901234567890123456789012345678901234567890123"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Ok::<_, std::convert::Infallible>(response)
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
        .await;
}

// === start, and policies through the gate: both cores, nothing else to do ===

/// How long some things take that are not in turns with anything.
const REPEATS: usize = 5;

fn start(home: &Path) {
    let mut times = Vec::new();
    let mut resident = 0;
    for _ in 0..REPEATS {
        let began = Instant::now();
        let server = Server::start_on(BOTH_CORES, home);
        assert!(ask_once(&server.tcp), "the first answer is not that it is allowed");
        times.push(began.elapsed().as_secs_f64());
        resident = server.resident_bytes();
        // As a power cut would end it: each start but the first follows one.
        server.kill();
    }
    println!(
        "| start to first answer, {MEMBERS} members, after `kill -9` | {:.2} s | 2 s |",
        median(&mut times)
    );
    println!(
        "| resident memory a member, {MEMBERS} members | {} bytes | 350 bytes |",
        resident / MEMBERS as u64
    );
}

/// Read from the disk, parsed, validated and tested, by a command.
fn gate(home: &Path) {
    let policies = home.join("many");
    write_policies(&policies, POLICIES, 0);
    let mut times = Vec::new();
    for _ in 0..REPEATS {
        let began = Instant::now();
        let mut command = Command::new("taskset");
        command.args(["-c", BOTH_CORES, BINARY, "policy", "check"]).arg(&policies);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        times.push(began.elapsed().as_secs_f64());
    }
    println!("| {POLICIES} policies through the gate | {:.2} s | 3 s |", median(&mut times));
}

// === throughput and latency: closed loops ===

fn throughput(home: &Path) {
    let (ours, bare) = (Server::start(home), Server::bare(home));
    let against = |what: &str, goal: &str, ours: &Place, bare: &Place| {
        let rate = |place: &Place| closed_loop(place, Ask::One);
        let pairs = in_turns(|| rate(ours), || rate(bare));
        println!(
            "| throughput over {what}, {CONNECTIONS} connections, one core, against bare hyper | {:.2} ({:.0} against {:.0} a second) | {goal} |",
            pairs.ratio, pairs.ours, pairs.other
        );
    };
    against("TCP", "0.9", &ours.tcp, &bare.tcp);
    against("a unix socket", "0.85", &ours.unix, &bare.unix);
    ours.kill();
    bare.kill();
}

/// What a rule reads of a resource: the first two are compiled. Of the others the evaluation reaches an
/// operand that is not: one of principal and resource alone, and one of another member.
const CONDITIONS: [(&str, &str, &str); 4] = [
    ("compiled", "resource has assignee && resource.assignee != principal", "0.75"),
    (
        "compiled, dates",
        "resource has assignee && principal.joined > datetime(\"2100-01-01\")",
        "0.75",
    ),
    (
        "an operand left to Cedar",
        "resource has assignee && ![resource.assignee].containsAny([principal])",
        "0.4",
    ),
    (
        "an operand that reads another member, left to Cedar",
        "resource has assignee && !resource.assignee.active",
        "",
    ),
];

/// A `forbid` for everybody that reads who a resource is assigned to.
fn attributes(home: &Path) {
    let policies = home.join("policies");
    for (what, condition, goal) in CONDITIONS {
        declare(&policies, "entity Template in [Account] { assignee?: User };");
        let rule = format!(
            "@id(\"assigned\") forbid (principal, action, resource is KWIC::Template) when {{ {condition} }};"
        );
        fs::write(policies.join("rules/assigned.cedar"), rule).unwrap();
        // It forbids administrators something, which this guard does not allow.
        fs::remove_file(policies.join("guards/administrators_do_everything.cedar")).unwrap();
        let what = format!("decisions that read an attribute, {what}");
        against_bare(home, &what, goal, Ask::Assigned);
    }
    fs::remove_file(policies.join("rules/assigned.cedar")).unwrap();
    write_policies(&policies, 0, 0);
}

/// Entities that do not concern the members who are asked about.
fn stored(home: &Path) {
    let policies = home.join("policies");
    declare(&policies, "entity Template in [Account]; entity Service { note?: String };");
    for services in [1, 1_000] {
        let entities: Vec<String> = (0..services)
            .map(|number| {
                format!(
                    r#"{{"uid": {{"type": "KWIC::Service", "id": "s{number}"}}, "attrs": {{"note": "n"}}, "parents": []}}"#
                )
            })
            .collect();
        fs::write(policies.join("entities.json"), format!("[{}]", entities.join(","))).unwrap();
        let what =
            format!("decisions beside {services} in `entities.json` whom they do not concern");
        against_bare(home, &what, "0.95", Ask::One);
    }
    fs::remove_file(policies.join("entities.json")).unwrap();
    write_policies(&policies, 0, 0);
}

/// Replaces what the schema says of templates.
fn declare(policies: &Path, declaration: &str) {
    write_policies(policies, 0, 0);
    let path = policies.join("schema.cedarschema");
    let text = fs::read_to_string(&path).unwrap();
    let changed = text.replace("entity Template in [Account];", declaration);
    assert_ne!(text, changed);
    fs::write(path, changed).unwrap();
}

/// Throughput over a unix socket, in turns with the bare server.
fn against_bare(home: &Path, what: &str, goal: &str, ask: Ask) {
    let (ours, bare) = (Server::start(home), Server::bare(home));
    assert!(ours.has_policies_of_folder(), "the folder was refused");
    let pairs = in_turns(|| closed_loop(&ours.unix, ask), || closed_loop(&bare.unix, Ask::One));
    println!(
        "| {what}: throughput over a unix socket, {CONNECTIONS} connections, one core, against bare hyper | {:.2} ({:.0} against {:.0} a second) | {goal} |",
        pairs.ratio, pairs.ours, pairs.other
    );
    ours.kill();
    bare.kill();
}

fn latency(home: &Path) {
    let (ours, bare) = (Server::start(home), Server::bare(home));
    let against = |what: &str, goal: &str, one: &Place, other: &Place| {
        let pairs = in_turns(|| p50_us_alone(one), || p50_us_alone(other));
        println!(
            "| p50 at one connection, {what} | {:.2} ({:.1} against {:.1} \u{b5}s) | {goal} |",
            pairs.ratio, pairs.ours, pairs.other
        );
    };
    against("against bare hyper", "1.05", &ours.tcp, &bare.tcp);
    against("the unix socket against our TCP", "0.9", &ours.unix, &ours.tcp);
    ours.kill();
    bare.kill();
}

const BATCH: usize = 100;

fn batch(home: &Path) {
    let server = Server::start(home);
    let pairs = in_turns(
        || 1e6 / (closed_loop(&server.tcp, Ask::Batch(BATCH)) * BATCH as f64),
        || 1e6 / closed_loop(&server.tcp, Ask::One),
    );
    println!(
        "| a decision in a batch of {BATCH}, against one alone | {:.2} ({:.2} against {:.2} \u{b5}s) | 0.15 |",
        pairs.ratio, pairs.ours, pairs.other
    );
    server.kill();
}

/// Two things measured in turns: the medians of the ratio and of both.
struct Pairs {
    ratio: f64,
    ours: f64,
    other: f64,
}

fn in_turns(mut ours: impl FnMut() -> f64, mut other: impl FnMut() -> f64) -> Pairs {
    let _warm = (ours(), other());
    let pairs: Vec<(f64, f64)> = (0..ROUNDS).map(|_| (ours(), other())).collect();
    let of = |read: fn(&(f64, f64)) -> f64| median(&mut pairs.iter().map(read).collect::<Vec<_>>());
    Pairs {
        ratio: of(|(one, other)| one / other),
        ours: of(|pair| pair.0),
        other: of(|pair| pair.1),
    }
}

// === open loop at half of the maximum ===

/// Half of what the server can answer at most.
fn half_of_most(server: &Server) -> f64 {
    (0..3).map(|_| closed_loop(&server.tcp, Ask::One)).fold(0.0, f64::max) / 2.0
}

/// The p99 in microseconds, of quiet times and of busy ones.
struct P99 {
    /// The median of the windows: a pause of the shared machine spoils one window, not the run.
    of_a_window: (f64, f64),
    /// All questions together, with all that the host did meanwhile.
    of_all: (f64, f64),
}

impl std::fmt::Display for P99 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ((quiet, busy), (all_quiet, all_busy)) = (self.of_a_window, self.of_all);
        write!(
            f,
            "{:.2} ({quiet:.0} to {busy:.0} \u{b5}s; all windows together {all_quiet:.0} to {all_busy:.0} \u{b5}s)",
            busy / quiet
        )
    }
}

/// Of the windows that are quiet and of those that are busy, as `is_busy` says all through them, as
/// long as `on` says; `None` leaves a window out.
fn p99_of_quiet_and_busy(
    place: &Place,
    rate: f64,
    is_busy: impl Fn(Duration) -> Option<bool>,
    on: impl Fn(Duration) -> bool,
) -> P99 {
    let began = Instant::now();
    // What was said in each window: quiet, busy, neither.
    let said = RefCell::new(Vec::<[bool; 3]>::new());
    let windows = open_loop(place, rate, || {
        let passed = began.elapsed();
        let window = (passed.as_secs_f64() / WINDOW.as_secs_f64()) as usize;
        let mut said = said.borrow_mut();
        if said.len() <= window {
            said.resize(window + 1, [false; 3]);
        }
        said[window][is_busy(passed).map_or(2, usize::from)] = true;
        on(passed)
    });
    let said = said.into_inner();
    let of = |wanted: [bool; 3]| {
        let all = windows.iter().zip(&said).filter(|(_, said)| **said == wanted);
        all.map(|(window, _)| window.clone()).collect::<Vec<_>>()
    };
    let (quiet, busy) = (of([true, false, false]), of([false, true, false]));
    let of_a_window =
        |windows: &[Vec<u64>]| median(&mut windows.iter().cloned().map(p99_us).collect::<Vec<_>>());
    P99 {
        of_a_window: (of_a_window(&quiet), of_a_window(&busy)),
        of_all: (p99_us(quiet.concat()), p99_us(busy.concat())),
    }
}

/// Quiet and busy times in turns, so that both see the same machine.
struct Turns {
    each: Duration,
    /// This long at the beginning of each is left out: what was begun before ends there.
    settling: Duration,
    pairs: u32,
}

impl Turns {
    fn seconds_busy(&self) -> f64 {
        (self.each * self.pairs).as_secs_f64()
    }

    /// While `busy` is not set and while it is, which is what this sets.
    fn p99(&self, place: &Place, rate: f64, busy: &AtomicBool) -> P99 {
        let end = self.each * 2 * self.pairs;
        let is_busy = |passed: Duration| {
            let turn = (passed.as_secs_f64() / self.each.as_secs_f64()) as u32;
            let loud = !turn.is_multiple_of(2);
            busy.store(loud, Ordering::Relaxed);
            (passed >= self.each * turn + self.settling).then_some(loud)
        };
        let found = p99_of_quiet_and_busy(place, rate, is_busy, |passed| passed < end);
        busy.store(false, Ordering::Relaxed);
        found
    }
}

/// How often somebody who is to be busy looks whether that is now.
const LOOK: Duration = Duration::from_millis(500);

// === restless: what the machine itself does ===

/// The bare server on a core that never rests, since a process of idle priority spins there: what this
/// adds to a p99 is no work of ours.
fn restless(home: &Path) {
    let server = Server::bare(home);
    let rate = half_of_most(&server);
    let turns = Turns { each: Duration::from_secs(4), settling: Duration::from_secs(1), pairs: 10 };
    let (busy, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let spinner = {
        let (busy, over) = (Arc::clone(&busy), Arc::clone(&over));
        std::thread::spawn(move || spin_while(&busy, &over))
    };
    let p99 = turns.p99(&server.tcp, rate, &busy);
    over.store(true, Ordering::Relaxed);
    spinner.join().unwrap();
    println!(
        "| p99 of bare hyper while an idle process spins on its core, against quiet ({rate:.0} a second, open loop) | {p99} | |"
    );
    server.kill();
}

fn spin_while(busy: &AtomicBool, over: &AtomicBool) {
    let is_busy = || busy.load(Ordering::Relaxed) && !over.load(Ordering::Relaxed);
    while !over.load(Ordering::Relaxed) {
        if is_busy() {
            let mut command = Command::new("taskset");
            command.args(["-c", "0", "chrt", "-i", "0", "sh", "-c", "while :; do :; done"]);
            let mut spinner = command.spawn().unwrap();
            while is_busy() {
                std::thread::sleep(LOOK);
            }
            spinner.kill().unwrap();
            spinner.wait().unwrap();
        }
        std::thread::sleep(LOOK);
    }
}

// === edits ===

fn edits(home: &Path) {
    let server = Server::start(home);
    let rate = half_of_most(&server);
    let turns = Turns { each: Duration::from_secs(4), settling: Duration::from_secs(1), pairs: 10 };
    let (busy, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let editor = {
        let (busy, over) = (Arc::clone(&busy), Arc::clone(&over));
        let socket = home.join("data/admin.sock");
        std::thread::spawn(move || edit_while(&busy, &over, &socket))
    };
    let p99 = turns.p99(&server.tcp, rate, &busy);
    over.store(true, Ordering::Relaxed);
    let edits = editor.join().unwrap();
    println!(
        "| p99 while members are edited, against quiet ({rate:.0} a second, open loop; {:.0} edits a second) | {p99} | 2.0 |",
        edits as f64 / turns.seconds_busy()
    );
    server.kill();
}

/// So many edits are sent ahead of their answers, and looked for so seldom: the store is never without
/// one, and the core that the load is made on is not taken from it for each.
const AHEAD: u64 = 256;
const EDITS_LOOK: Duration = Duration::from_millis(100);

/// Gives one member after another a new last name, each as soon as the one before is written.
fn edit_while(busy: &AtomicBool, over: &AtomicBool, socket: &Path) -> u64 {
    let mut edited = 0;
    let mut line = None;
    while !over.load(Ordering::Relaxed) {
        if !busy.load(Ordering::Relaxed) {
            std::thread::sleep(LOOK);
            // The server does not keep one that says nothing for long.
            line = None;
            continue;
        }
        edited += line.get_or_insert_with(|| Edits::new(socket, 0)).go_on();
        std::thread::sleep(EDITS_LOOK);
    }
    edited
}

/// How many connections have edited.
static CONNECTED: AtomicU64 = AtomicU64::new(0);

/// How an answer begins.
const WRITTEN: &str = "HTTP/1.1 200 OK\r\n";

/// Edits on their way over one connection.
struct Edits {
    line: UnixStream,
    /// The number of this connection, of all that there were.
    number: u64,
    /// The number of the first member to edit.
    first: usize,
    sent: u64,
    written: u64,
    /// What came since the last answer began.
    rest: String,
}

impl Edits {
    fn new(socket: &Path, first: usize) -> Self {
        let line = UnixStream::connect(socket).unwrap();
        line.set_nonblocking(true).unwrap();
        let number = CONNECTED.fetch_add(1, Ordering::Relaxed);
        Self { line, number, first, sent: 0, written: 0, rest: String::new() }
    }

    /// Takes the answers that have come and sends further edits; answers how many were written.
    fn go_on(&mut self) -> u64 {
        let mut piece = [0; 65_536];
        loop {
            match self.line.read(&mut piece) {
                Ok(0) => panic!("the server hung up"),
                Ok(read) => self.rest.push_str(std::str::from_utf8(&piece[..read]).unwrap()),
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => break,
                Err(fault) => panic!("{fault}"),
            }
        }
        for refused in ["HTTP/1.1 4", "HTTP/1.1 5"] {
            assert!(!self.rest.contains(refused), "{}", self.rest);
        }
        let answers = self.rest.matches(WRITTEN).count();
        let read = self.rest.rfind(WRITTEN).map_or(0, |at| at + WRITTEN.len());
        self.rest.drain(..read);
        let answers = u64::try_from(answers).unwrap();
        self.written += answers;
        let mut requests = String::new();
        while self.sent < self.written + AHEAD {
            // A name that nobody has: one that stays as it is would be no change.
            let body = format!(r#"{{"last_name":"Edited {} {}"}}"#, self.number, self.sent);
            let member = (self.first as u64 + self.sent) % MEMBERS as u64;
            write!(
                requests,
                "PATCH /api/v1/members/m{member:07}?account=acme HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nif-match: *\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .unwrap();
            self.sent += 1;
        }
        self.line.write_all(requests.as_bytes()).unwrap();
        answers
    }
}

// === edits at the same time ===

/// So many connections edit members at the same time.
const WRITERS: usize = 16;
const WRITERS_LOOK: Duration = Duration::from_millis(2);

fn writers(home: &Path) {
    let server = Server::start(home);
    let socket = home.join("data/admin.sock");
    let (mut one, mut several, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (alone, together) = (edits_a_second(&socket, 1), edits_a_second(&socket, WRITERS));
        ratios.push(together / alone);
        one.push(alone);
        several.push(together);
    }
    println!(
        "| edits a second by {WRITERS} connections, against one | {:.2} ({:.0} against {:.0}) | 2.0 |",
        median(&mut ratios),
        median(&mut several),
        median(&mut one)
    );
    server.kill();
}

/// Edits by so many connections, each of members of its own, for one round.
fn edits_a_second(socket: &Path, connections: usize) -> f64 {
    let mut lines: Vec<_> =
        (0..connections).map(|line| Edits::new(socket, line * MEMBERS / WRITERS)).collect();
    let began = Instant::now();
    let mut edited = 0;
    while began.elapsed() < ROUND {
        edited += lines.iter_mut().map(Edits::go_on).sum::<u64>();
        std::thread::sleep(WRITERS_LOOK);
    }
    edited as f64 / began.elapsed().as_secs_f64()
}

// === sign-ins ===

/// How many people sign in at once.
const PEOPLE: usize = 32;
const PASSWORD: &str = "seven green bicycles";

fn sign_ins(home: &Path) {
    let server = Server::start(home);
    let console = server.console.unwrap();
    for number in 0..PEOPLE {
        give_password(home, console, number);
    }
    let rate = half_of_most(&server);
    // Those who wait for their turn when a storm ends still sign in.
    let turns = Turns { each: Duration::from_secs(10), settling: Duration::from_secs(5), pairs: 6 };
    let (busy, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let people: Vec<_> = (0..PEOPLE)
        .map(|number| {
            let (busy, over) = (Arc::clone(&busy), Arc::clone(&over));
            std::thread::spawn(move || {
                let mut signed_in = 0_u64;
                while !over.load(Ordering::Relaxed) {
                    if busy.load(Ordering::Relaxed) {
                        sign_in(console, number);
                        signed_in += 1;
                    } else {
                        std::thread::sleep(LOOK);
                    }
                }
                signed_in
            })
        })
        .collect();
    let p99 = turns.p99(&server.tcp, rate, &busy);
    over.store(true, Ordering::Relaxed);
    let signed_in: u64 = people.into_iter().map(|person| person.join().unwrap()).sum();
    println!(
        "| p99 while {PEOPLE} people sign in at once, against quiet ({rate:.0} a second, open loop; {:.0} sign-ins a second) | {p99}, none refused | 2.0 |",
        signed_in as f64 / turns.seconds_busy()
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

/// The cookie of a new session.
fn sign_in(console: SocketAddr, number: usize) -> String {
    let body = format!(
        r#"{{"account":"acme","email":"member.{number}@example.org","password":"{PASSWORD}"}}"#
    );
    let answer = post(console, "sign-in", &body);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

fn post(console: SocketAddr, path: &str, body: &str) -> String {
    call(console, &format!("POST /api/v1/{path}"), "content-type: application/json\r\n", body)
}

/// One call to the console's port on a connection of its own.
fn call(console: SocketAddr, what: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(console).unwrap();
    write!(
        stream,
        "{what} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

// === a page of a large team ===

/// As large as a team that somebody manages on a page may be.
const TEAM: usize = 10_000;
const VISITS: usize = 300;

/// What a request for the first rows takes, from the first byte sent to the last one read.
fn page() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    fs::write(
        home.join("kwic-team.toml"),
        "[console]\nlisten = \"127.0.0.1:0\"\n[decision]\nlisten = \"127.0.0.1:0\"\n",
    )
    .unwrap();
    let server = Server::start(home);
    grow(home, TEAM, "administrator");
    let console = server.console.unwrap();
    give_password(home, console, 0);
    let cookie = sign_in(console, 0);
    for path in ["/team", "/team?search=9", "/team?sort=-signed_in"] {
        let mut taken: Vec<f64> = (0..VISITS)
            .map(|_| {
                let began = Instant::now();
                let answer =
                    call(console, &format!("GET {path}"), &format!("cookie: {cookie}\r\n"), "");
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                began.elapsed().as_secs_f64() * 1_000.0
            })
            .collect();
        taken.sort_by(f64::total_cmp);
        println!(
            "| `{path}` of an account with {TEAM} members, p95 | {:.1} ms (p50 {:.1}) | 100 ms |",
            taken[VISITS * 95 / 100],
            taken[VISITS / 2]
        );
    }
    server.kill();
}

// === mail: a queue that drains ===

/// How many letters wait.
const LETTERS: usize = 10_000;
/// As many as one call invites.
const INVITED_AT_ONCE: usize = 100;

/// Letters are queued while the mail server refuses the sidecar, and are sent once it is fixed.
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

// === reload ===

fn reload(home: &Path) {
    write_policies(&home.join("policies"), POLICIES, 0);
    let server = Server::start(home);
    let rate = half_of_most(&server);
    let busy = Arc::new(AtomicBool::new(false));
    let reloads = {
        let (home, busy) = (home.to_owned(), Arc::clone(&busy));
        std::thread::spawn(move || reload_again_and_again(&home, &busy))
    };
    let p99 = p99_of_quiet_and_busy(
        &server.tcp,
        rate,
        |_| Some(busy.load(Ordering::Relaxed)),
        |_| !reloads.is_finished(),
    );
    let took = reloads.join().unwrap();
    println!(
        "| p99 while {POLICIES} policies reload, against quiet ({rate:.0} a second, open loop; {took:.1} s a reload) | {p99}, no request failed | 1.5 |"
    );
    server.kill();
}

/// A reload between two quiet times, `REPEATS` times; answers how many seconds one takes.
fn reload_again_and_again(home: &Path, busy: &AtomicBool) -> f64 {
    let mut times = Vec::new();
    for version in 1..=REPEATS {
        std::thread::sleep(QUIET);
        write_policies(&home.join("policies"), POLICIES, version);
        busy.store(true, Ordering::Relaxed);
        let began = Instant::now();
        run(home, &["policy", "reload"]);
        times.push(began.elapsed().as_secs_f64());
        busy.store(false, Ordering::Relaxed);
    }
    median(&mut times)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn p99_us(mut latencies_ns: Vec<u64>) -> f64 {
    latencies_ns.sort_unstable();
    latencies_ns[latencies_ns.len() * 99 / 100] as f64 / 1_000.0
}

/// The client keeps off the server's core.
fn pin_to_core_1() {
    let own = std::process::id().to_string();
    let status = Command::new("taskset").args(["-pc", "1", &own]).stdout(Stdio::null()).status();
    assert!(status.is_ok_and(|status| status.success()), "this benchmark needs `taskset`");
}
