//! Sidecars that share a log on a real PostgreSQL or etcd: a fleet that the commands have made, in
//! which each node has a line of its own to each server of the log.

use std::fs;
use std::process::Output;
use std::time::Duration;

use serde_json::Value as Json;

use super::etcd_cluster::{ClusterOptions, EtcdCluster};
use super::postgres_server::{PASSWORD, PostgresServer, USER};
use super::sidecar::{Sidecar, copy_folder, eventually, question};
use super::tcp_proxy::{Passing, TcpProxy};

/// What the log is on.
pub enum LogServers {
    Postgres(PostgresServer),
    Etcd(EtcdCluster),
}

impl LogServers {
    /// `None` where there is no PostgreSQL.
    pub fn postgres() -> Option<Self> {
        PostgresServer::start(&[]).map(Self::Postgres)
    }

    /// Three members; `None` where there is no etcd.
    pub fn etcd() -> Option<Self> {
        EtcdCluster::start(&ClusterOptions::default()).map(Self::Etcd)
    }

    fn ports(&self) -> Vec<u16> {
        match self {
            Self::Postgres(server) => vec![server.port],
            Self::Etcd(cluster) => {
                (0..cluster.endpoints().len()).map(|at| cluster.port(at)).collect()
            }
        }
    }

    /// The lines of `fleet.log` of a node that reaches the servers by these ports.
    fn log_lines(&self, node: &Sidecar, ports: &[u16]) -> String {
        match self {
            Self::Postgres(_) => postgres_log(node, ports[0], "postgres"),
            Self::Etcd(_) => etcd_log(ports, "kwic-team"),
        }
    }
}

/// The lines of a log on PostgreSQL; the password is in a file of the node.
pub fn postgres_log(node: &Sidecar, port: u16, database: &str) -> String {
    let password = node.path("password");
    fs::write(&password, format!("{PASSWORD}\n")).unwrap();
    let url = format!("postgresql://{USER}@127.0.0.1:{port}/{database}");
    format!("log = \"{url}\"\npassword_file = \"{}\"\n", password.display())
}

/// The line of a log on etcd.
pub fn etcd_log(ports: &[u16], prefix: &str) -> String {
    let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    format!("log = \"etcd://{}/{prefix}/\"\n", hosts.join(","))
}

/// Gives a node the section `[fleet]`, or another one.
pub fn configure(node: &Sidecar, section: &str) {
    let file = node.path("kwic-team.toml");
    let text = fs::read_to_string(&file).unwrap();
    let before = text.split("[fleet]").next().unwrap();
    let fleet = if section.is_empty() { String::new() } else { format!("[fleet]\n{section}") };
    fs::write(&file, format!("{before}{fleet}")).unwrap();
}

/// Runs a command with the configuration of a node.
pub fn run(node: &Sidecar, arguments: &[&str]) -> Output {
    let file = node.path("kwic-team.toml");
    node.run(&[arguments, &["--config", file.to_str().unwrap()]].concat())
}

/// The document that a command prints, which must succeed.
pub fn json(node: &Sidecar, arguments: &[&str]) -> Json {
    let output = run(node, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a command says that must fail.
pub fn complaint(node: &Sidecar, arguments: &[&str]) -> String {
    let output = run(node, arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

pub fn stop(node: &mut Sidecar) {
    node.signal("TERM");
    assert_eq!(node.wait(), Some(0));
}

/// Gives a stopped node the keys of another one.
pub fn give_keys(from: &Sidecar, to: &Sidecar) {
    fs::remove_dir_all(to.path("data/keys")).unwrap();
    copy_folder(&from.path("data/keys"), &to.path("data/keys"));
}

/// Three sidecars with the same members. Ended in this order.
pub struct Fleet {
    pub nodes: Vec<Sidecar>,
    /// Of each node, to each server.
    pub lines: Vec<Vec<TcpProxy>>,
    pub servers: LogServers,
    max_staleness: Duration,
}

impl Fleet {
    /// One whose first node has what `fill` puts there; nodes may be so long without the log.
    pub fn of(servers: LogServers, max_staleness: Duration, fill: impl FnOnce(&Sidecar)) -> Self {
        let nodes: Vec<Sidecar> = (0..3).map(|_| Sidecar::start()).collect();
        let to_each = |_: &Sidecar| servers.ports().into_iter().map(TcpProxy::to).collect();
        let lines = nodes.iter().map(to_each).collect();
        fill(&nodes[0]);
        let mut fleet = Self { nodes, lines, servers, max_staleness };
        for at in 0..fleet.nodes.len() {
            stop(&mut fleet.nodes[at]);
            fleet.configure(at, "deny");
            if at == 0 {
                json(&fleet.nodes[at], &["fleet", "init"]);
            } else {
                give_keys(&fleet.nodes[0], &fleet.nodes[at]);
                json(&fleet.nodes[at], &["fleet", "join", "--yes"]);
            }
            fleet.nodes[at].restart();
        }
        fleet
    }

    /// One with a few members, all nodes fresh.
    pub fn with_members(servers: LogServers, max_staleness: Duration) -> Self {
        let fleet = Self::of(servers, max_staleness, |node| {
            node.account("acme");
            let operators = [("ann", "operator"), ("leo", "operator"), ("max", "operator")];
            node.members("acme", &operators);
            node.members("acme", &[("chief", "administrator")]);
        });
        let ann = question("ann", "chats:view", ("chat", "c"), "acme");
        for node in &fleet.nodes {
            eventually("each node is fresh", || node.tcp().allows(&ann));
        }
        fleet
    }

    /// Writes the configuration of a node, from 0: `host-1` is the name of the first.
    pub fn configure(&self, at: usize, on_stale: &str) {
        let node = &self.nodes[at];
        let ports: Vec<u16> = self.lines[at].iter().map(|line| line.port).collect();
        let log = self.servers.log_lines(node, &ports);
        let (number, seconds) = (at + 1, self.max_staleness.as_secs());
        let section = format!(
            "{log}name = \"host-{number}\"\nmax_staleness = \"{seconds}s\"\non_stale = \"{on_stale}\"\n"
        );
        configure(node, &section);
    }

    /// What the lines of a node to all servers pass on.
    pub fn pass(&self, at: usize, what: Passing) {
        self.lines[at].iter().for_each(|line| line.pass(what));
    }
}
