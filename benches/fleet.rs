//! What does a shared log cost, and how soon is a removal on one node a deny on the others?
//!
//! `cargo bench --bench fleet` prints the table of `docs/performance.md`, with a stage's name behind
//! `--` that stage alone: `postgresql`, `etcd`, `join`, `import` and behind it how many members. Three
//! sidecars, one PostgreSQL and an etcd of three members run on this machine, on loopback; neither log
//! waits for the disk. Only ratios inside one run count: `etcd` measures what etcd alone takes, too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::allow_attributes,
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "a benchmark that meets the unexpected should stop there, and takes a part of the fixtures"
)]

#[path = "../tests/support"]
mod support {
    pub mod etcd_cluster;
    pub mod peer_proxy;
    pub mod postgres_server;
    pub mod sidecar;
    pub mod tcp_proxy;
}

use std::fmt::Write as _;
use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use kwic_team::store::etcd_log::{EtcdLog, EtcdSettings, LogId};
use kwic_team::store::shared_log::{
    Appended, EntryId, LogEntry, LogHead, READ_MAX, SharedLog as _,
};
use support::etcd_cluster::{ClusterOptions, EtcdCluster};
use support::postgres_server::{PASSWORD, PostgresServer, USER};
use support::sidecar::{Sidecar, copy_folder, eventually, question};

/// How many members are removed, and the pause between two of them.
const REMOVALS: usize = 1_000;
const PAUSE: Duration = Duration::from_millis(5);
const IMPORT_PAUSE: Duration = Duration::from_millis(200);
/// Connections to each node that edit at the same time.
const WRITERS: usize = 16;
const ROUND: Duration = Duration::from_secs(3);
const ROUNDS: usize = 5;
/// An edit wins whatever came before.
const HEADERS: &str = "content-type: application/json\r\nif-match: *\r\n";
const MANY: usize = 1_000_000;
/// About what one change takes in the log.
const PUT_BYTES: usize = 500;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let wanted = arguments.get(1).map(String::as_str).filter(|wanted| *wanted != "--bench");
    let is_wanted = |name: &str| wanted.is_none_or(|wanted| wanted == name);
    println!("| what | measured | goal |\n| --- | --- | --- |");
    if is_wanted("postgresql") {
        let server = PostgresServer::start(&[]).expect("PostgreSQL is installed");
        let log = format!("postgresql://{USER}@127.0.0.1:{}/postgres", server.port);
        measure("PostgreSQL", &fleet(&log, true, 3, REMOVALS + 1_000), 50.0);
    }
    if is_wanted("etcd") {
        etcd();
    }
    if is_wanted("join") {
        let server = PostgresServer::start(&[]).expect("PostgreSQL is installed");
        let log = format!("postgresql://{USER}@127.0.0.1:{}/postgres", server.port);
        join(&log);
    }
    if is_wanted("import") {
        let server = PostgresServer::start(&[]).expect("PostgreSQL is installed");
        let log = format!("postgresql://{USER}@127.0.0.1:{}/postgres", server.port);
        let members = arguments.get(2).and_then(|members| members.parse().ok()).unwrap_or(MANY);
        import(&log, members);
    }
}

/// Removals, edits and decisions of three nodes on one log. Answers the median of the milliseconds that
/// a removal takes, and an edit on a node without a log.
fn measure(engine: &str, nodes: &[Sidecar], goal_ms: f64) -> (f64, f64) {
    let alone = Sidecar::start();
    grow(&alone, REMOVALS + 1_000);
    let mut taken = removals(nodes);
    taken.sort_by(f64::total_cmp);
    println!(
        "| {engine}: request to remove on one node to the first deny on both others, {REMOVALS} removals | p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms | p99 {goal_ms:.0} ms |",
        taken[taken.len() / 2],
        taken[taken.len() * 99 / 100],
        taken[taken.len() - 1]
    );
    let (mut together, mut ratios) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let of_fleet = edits(&nodes.iter().collect::<Vec<_>>());
        ratios.push(of_fleet / edits(&[&alone]));
        together.push(of_fleet);
    }
    println!(
        "| {engine}: changes a second by three nodes at once, {WRITERS} connections each; against one node without a log | {:.0}; {:.2} | 500 |",
        median(&mut together),
        median(&mut ratios)
    );
    let mut ratios: Vec<f64> =
        (0..ROUNDS).map(|_| decisions(&nodes[1]) / decisions(&alone)).collect();
    println!(
        "| {engine}: decisions on a node of the fleet, against one without a log | {:.2} | 0.97 |",
        median(&mut ratios)
    );
    (taken[taken.len() / 2], median(&mut edits_in_a_row(&alone)))
}

/// A fleet on etcd, and what etcd alone takes for the same.
fn etcd() {
    let cluster = EtcdCluster::start(&ClusterOptions::default()).expect("etcd is installed");
    let places: Vec<String> =
        (0..3).map(|member| format!("127.0.0.1:{}", cluster.port(member))).collect();
    let log = format!("etcd://{}/team/", places.join(","));
    let nodes = fleet(&log, false, 3, REMOVALS + 1_000);
    let (removal, edit) = measure("etcd", &nodes, 25.0);
    let bare = BareEtcd::on(&cluster);
    let mut taken = bare.puts_to_watches();
    taken.sort_by(f64::total_cmp);
    let put = taken[taken.len() / 2];
    println!(
        "| etcd alone: conditional put on one member to its watch event on both others, {REMOVALS} puts | p50 {put:.1} ms, p99 {:.1} ms | |",
        taken[taken.len() * 99 / 100]
    );
    println!(
        "| p50 of the removal above, less that of etcd alone; goal: two edits on a node without a log, and 3 ms | {:.1} ms | {:.1} ms |",
        removal - put,
        2.0 * edit + 3.0
    );
    changes_against_bare(&nodes, &bare);
}

/// What three nodes change, against conditional puts of what their entries are.
fn changes_against_bare(nodes: &[Sidecar], bare: &BareEtcd) {
    let (mut sizes, mut puts, mut bare_changes, mut ratios) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = bare.head_of_fleet();
        let began = Instant::now();
        let changes = edits(&nodes.iter().collect::<Vec<_>>());
        let taken = began.elapsed().as_secs_f64();
        let (entries, bytes) = bare.entries_of_fleet(&before);
        let size = changes * taken / entries;
        let a_second = bare.contended_puts(bytes);
        ratios.push(changes / (a_second * size));
        bare_changes.push(a_second * size);
        sizes.push(size);
        puts.push(a_second);
    }
    println!(
        "| etcd alone: conditional puts a second by three clients at once, each as large as an entry of the fleet; and the changes in so many entries, {:.1} each | {:.0}; {:.0} | |",
        median(&mut sizes),
        median(&mut puts),
        median(&mut bare_changes)
    );
    println!(
        "| etcd: changes a second by three nodes, against those of the contended puts | {:.2} | 0.8 |",
        median(&mut ratios)
    );
}

/// Clients of a cluster as the nodes are, one for each member, and a log of their own.
struct BareEtcd {
    runtime: tokio::runtime::Runtime,
    clients: Vec<EtcdLog>,
    fleet: EtcdSettings,
}

impl BareEtcd {
    fn on(cluster: &EtcdCluster) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let settings = |member: usize, prefix: &str| {
            let of = EtcdSettings::new(vec![cluster.endpoint(member)]);
            EtcdSettings { prefix: prefix.to_owned(), ..of }
        };
        let client = |member| {
            let own = settings(member, "/bare/");
            EtcdLog::new(&own, LogId([1; 16]), runtime.handle().clone()).unwrap()
        };
        let clients: Vec<EtcdLog> = (0..3).map(client).collect();
        clients[0].create(&LogId([1; 16]).start()).unwrap();
        Self { fleet: settings(0, "/team/"), clients, runtime }
    }

    fn head(&self) -> LogHead {
        self.clients[0].read(0, 1).unwrap().head
    }

    /// Milliseconds from each put on the first member until both others have told of it.
    fn puts_to_watches(&self) -> Vec<f64> {
        let mut head = self.head();
        thread::scope(|threads| {
            let mut watches = Vec::new();
            for client in &self.clients[1..] {
                let (sender, seen) = mpsc::channel();
                // Ends once nobody listens, and then tells no more.
                threads.spawn(move || {
                    while sender.send(Instant::now()).is_ok() {
                        while !client.wait_for_change(ROUND) {}
                    }
                });
                watches.push(seen);
            }
            thread::sleep(ROUND);
            let measured = (0..REMOVALS).map(|_| {
                thread::sleep(PAUSE);
                for seen in &watches {
                    while seen.try_recv().is_ok() {}
                }
                let began = Instant::now();
                let entry = entry_behind(&head, PUT_BYTES);
                assert_eq!(self.clients[0].append(&head, &entry), Appended::Made);
                head = entry.head;
                let last = watches.iter().map(|seen| seen.recv_timeout(ROUND).unwrap()).max();
                (last.unwrap() - began).as_secs_f64() * 1_000.0
            });
            let measured: Vec<f64> = measured.collect();
            drop(watches);
            // Wakes them, so that they end.
            self.clients[0].append(&head, &entry_behind(&head, PUT_BYTES));
            measured
        })
    }

    /// Conditional puts a second that were made, by three clients at once, of values of so many bytes.
    fn contended_puts(&self, bytes: usize) -> f64 {
        let (began, start) = (Instant::now(), self.head());
        let made: u64 = thread::scope(|threads| {
            let clients = self.clients.iter().map(|client| {
                threads.spawn(move || {
                    let (mut head, mut made) = (start, 0_u64);
                    while began.elapsed() < ROUND {
                        let entry = entry_behind(&head, bytes);
                        match client.append(&head, &entry) {
                            Appended::Made => (head, made) = (entry.head, made + 1),
                            // As a node, it learns what it has missed.
                            Appended::Moved(told) => head = told.unwrap().head,
                            other => panic!("{other:?}"),
                        }
                    }
                    made
                })
            });
            let clients: Vec<_> = clients.collect();
            clients.into_iter().map(|client| client.join().unwrap()).sum()
        });
        made as f64 / began.elapsed().as_secs_f64()
    }

    fn log_of_fleet(&self) -> EtcdLog {
        EtcdLog::find(&self.fleet, self.runtime.handle().clone()).unwrap()
    }

    fn head_of_fleet(&self) -> LogHead {
        EtcdLog::inspect(&self.fleet, self.runtime.handle().clone()).unwrap().unwrap().1
    }

    /// How many entries the fleet has appended since a head, and the mean of the bytes of one.
    fn entries_of_fleet(&self, since: &LogHead) -> (f64, usize) {
        let last = self.head_of_fleet();
        // Some of the last ones: the first may be trimmed.
        let from = last.index.saturating_sub(100).max(since.index);
        let some = self.log_of_fleet().read(from, READ_MAX).unwrap().entries;
        let bytes: usize = some.iter().map(|entry| entry.bytes.len()).sum();
        ((last.index - since.index) as f64, bytes / some.len())
    }
}

fn entry_behind(head: &LogHead, bytes: usize) -> LogEntry {
    let id = EntryId(kwic_team::entropy::random().unwrap());
    LogEntry::after(head, id, vec![7; bytes])
}

/// Milliseconds of each of some edits, one after another.
fn edits_in_a_row(node: &Sidecar) -> Vec<f64> {
    let mut line = node.admin();
    let path = format!("/api/v1/members/m{REMOVALS:07}?account=acme");
    let measured = (0..200).map(|number| {
        let began = Instant::now();
        let answer =
            line.send("PATCH", &path, HEADERS, &format!(r#"{{"last_name":"Row {number}"}}"#));
        assert_eq!(answer.status, 200, "{answer:?}");
        began.elapsed().as_secs_f64() * 1_000.0
    });
    measured.collect()
}

/// Milliseconds from each request to remove until both other nodes deny.
fn removals(nodes: &[Sidecar]) -> Vec<f64> {
    let measured = (0..REMOVALS).map(|number| {
        thread::sleep(PAUSE);
        removal(nodes, 0, number)
    });
    measured.collect()
}

/// Milliseconds from the request to one node to remove a member until all others deny.
fn removal(nodes: &[Sidecar], by: usize, number: usize) -> f64 {
    let name = format!("m{number:07}");
    let asked = question(&name, "templates:view", ("template", "t"), "acme");
    let mut admin = nodes[by].admin();
    let others = nodes.iter().enumerate().filter(|(node, _)| *node != by);
    let mut others: Vec<_> = others.map(|(_, node)| node.unix()).collect();
    assert!(others.iter_mut().all(|node| node.allows(&asked)));
    let began = Instant::now();
    thread::scope(|threads| {
        let request = threads.spawn(|| {
            let path = format!("/api/v1/members/{name}?account=acme");
            admin.send("DELETE", &path, "if-match: *\r\n", "")
        });
        for node in &mut others {
            while node.allows(&asked) {
                thread::sleep(Duration::from_micros(200));
            }
        }
        let taken = began.elapsed().as_secs_f64() * 1_000.0;
        let removed = request.join().unwrap();
        assert!(removed.status < 300, "{removed:?}");
        taken
    })
}

/// An import into a fleet of three, and removals on two of its nodes meanwhile.
fn import(log: &str, members: usize) {
    let nodes = fleet(log, true, 3, REMOVALS + 1_000);
    let file = nodes[0].path("many.csv");
    fs::write(&file, scattered(members)).unwrap();
    let began = Instant::now();
    let (mut during, mut whole) = (Vec::new(), 0.0);
    thread::scope(|threads| {
        let importing = threads.spawn(|| {
            nodes[0].ok(&["member", "import", "--account", "acme", file.to_str().unwrap()]);
            began.elapsed().as_secs_f64()
        });
        let mut number = 0;
        while number < REMOVALS && !importing.is_finished() {
            during.push(removal(&nodes, number % 2, number));
            number += 1;
            thread::sleep(IMPORT_PAUSE);
        }
        whole = importing.join().unwrap();
    });
    let last = scattered_id(members - 1);
    let asked = question(&last, "templates:view", ("template", "t"), "acme");
    for node in &nodes {
        eventually("the node has the import", || node.unix().allows(&asked));
    }
    let seen = began.elapsed().as_secs_f64();
    during.sort_by(f64::total_cmp);
    println!(
        "| import of {members} into a fleet of three on PostgreSQL: until it is answered, and seen on all nodes | {whole:.0} s, {seen:.0} s | 300 s |"
    );
    println!(
        "| request to remove meanwhile, on the node that imports and on another in turns, to the first deny on both others, {} removals | p50 {:.0} ms, longest {:.0} ms | longest 2,000 ms |",
        during.len(),
        during[during.len() / 2],
        during[during.len() - 1]
    );
}

/// Ids in an order of no kind, as those of other systems are.
fn scattered_id(number: usize) -> String {
    format!("{:016x}", (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn scattered(members: usize) -> String {
    let mut file = String::from("id,first_name,last_name,email,role\n");
    for number in 0..members {
        let id = scattered_id(number);
        writeln!(file, "{id},Ann,Example {number},{id}@example.org,template_manager").unwrap();
    }
    file
}

/// Edits a second, by so many connections to each node, each of members of its own.
fn edits(nodes: &[&Sidecar]) -> f64 {
    let began = Instant::now();
    let edited: u64 = thread::scope(|threads| {
        let mut writers = Vec::new();
        for (of, node) in nodes.iter().enumerate() {
            for writer in 0..WRITERS {
                writers.push(threads.spawn(move || {
                    let mut line = node.admin();
                    let member = REMOVALS + of * WRITERS + writer;
                    let path = format!("/api/v1/members/m{member:07}?account=acme");
                    let mut edited = 0_u64;
                    while began.elapsed() < ROUND {
                        let name =
                            format!(r#"{{"last_name":"Edited {}"}}"#, began.elapsed().as_nanos());
                        let answer = line.send("PATCH", &path, HEADERS, &name);
                        assert_eq!(answer.status, 200, "{answer:?}");
                        edited += 1;
                    }
                    edited
                }));
            }
        }
        writers.into_iter().map(|writer| writer.join().unwrap()).sum()
    });
    edited as f64 / began.elapsed().as_secs_f64()
}

/// Decisions a second, by eight connections.
fn decisions(node: &Sidecar) -> f64 {
    let began = Instant::now();
    let asked = question("m0001500", "templates:view", ("template", "t"), "acme");
    let decided: u64 = thread::scope(|threads| {
        let askers: Vec<_> = (0..8)
            .map(|_| {
                threads.spawn(|| {
                    let mut line = node.unix();
                    let mut decided = 0_u64;
                    while began.elapsed() < ROUND {
                        assert!(line.allows(&asked));
                        decided += 1;
                    }
                    decided
                })
            })
            .collect();
        askers.into_iter().map(|asker| asker.join().unwrap()).sum()
    });
    decided as f64 / began.elapsed().as_secs_f64()
}

/// A node that joins a fleet with a million members, and its restart.
fn join(log: &str) {
    let mut nodes = fleet(log, true, 1, MANY);
    let mut joining = stopped();
    let began = Instant::now();
    enter(&mut joining, &nodes[0], log, true, 2);
    joining.restart();
    until_decided(&joining);
    println!(
        "| a new node with {MANY} members, from a snapshot to its first answer | {:.1} s | 60 s |",
        began.elapsed().as_secs_f64()
    );
    nodes.truncate(1);
    joining.kill();
    let began = Instant::now();
    joining.restart();
    until_decided(&joining);
    println!(
        "| its restart after `kill -9`, to the first answer | {:.1} s | 2 s |",
        began.elapsed().as_secs_f64()
    );
}

fn until_decided(node: &Sidecar) {
    let asked = question("m0000001", "templates:view", ("template", "t"), "acme");
    eventually("the node decides", || node.unix().allows(&asked));
}

/// So many nodes on one log, with so many members.
fn fleet(log: &str, has_password: bool, count: usize, members: usize) -> Vec<Sidecar> {
    let mut first = Sidecar::start();
    grow(&first, members);
    stop(&mut first);
    configure(&first, 1, log, has_password);
    command(&first, &["fleet", "init"]);
    first.restart();
    let mut nodes = vec![first];
    for number in 2..=count {
        let mut node = stopped();
        enter(&mut node, &nodes[0], log, has_password, number);
        node.restart();
        nodes.push(node);
    }
    for node in &nodes {
        until_decided(node);
    }
    nodes
}

fn stopped() -> Sidecar {
    let mut node = Sidecar::start();
    stop(&mut node);
    node
}

fn stop(node: &mut Sidecar) {
    node.signal("TERM");
    assert_eq!(node.wait(), Some(0));
}

/// Has a stopped node join the fleet of another.
fn enter(node: &mut Sidecar, of: &Sidecar, log: &str, has_password: bool, number: usize) {
    configure(node, number, log, has_password);
    fs::remove_dir_all(node.path("data/keys")).unwrap();
    copy_folder(&of.path("data/keys"), &node.path("data/keys"));
    command(node, &["fleet", "join", "--yes"]);
}

fn configure(node: &Sidecar, number: usize, log: &str, has_password: bool) {
    let file = node.path("kwic-team.toml");
    let mut text = fs::read_to_string(&file).unwrap();
    write!(text, "[fleet]\nlog = \"{log}\"\nname = \"host-{number}\"\non_stale = \"deny\"\n")
        .unwrap();
    if has_password {
        let password = node.path("password");
        fs::write(&password, PASSWORD).unwrap();
        writeln!(text, "password_file = \"{}\"", password.display()).unwrap();
    }
    fs::write(&file, text).unwrap();
}

fn command(node: &Sidecar, arguments: &[&str]) {
    let config = node.path("kwic-team.toml");
    let output = node.run(&[&["--config", config.to_str().unwrap()], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// An account with so many members.
fn grow(node: &Sidecar, members: usize) {
    node.account("acme");
    let mut file = String::from("id,first_name,last_name,email,role\n");
    for number in 0..members {
        writeln!(
            file,
            "m{number:07},Ann,Example {number},member.{number}@example.org,template_manager"
        )
        .unwrap();
    }
    let path = node.path("members.csv");
    fs::write(&path, file).unwrap();
    node.ok(&["member", "import", "--account", "acme", path.to_str().unwrap()]);
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
