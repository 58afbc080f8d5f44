//! The lines of "On several machines" in the README, run as they stand after those of the quick start:
//! three sidecars on one PostgreSQL, and on one etcd.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::readme::README;
use crate::support::etcd_cluster::{ClusterOptions, EtcdCluster};
use crate::support::postgres_server::PostgresServer;
use crate::support::sidecar::binary;

/// The most commands that make three sidecars of one.
const COMMANDS_MAX: usize = 5;

/// The fence after a line of the README.
fn fence(language: &str, after: &str) -> &'static str {
    let (_, rest) = README.split_once(after).unwrap();
    let (_, fence) = rest.split_once(&format!("```{language}\n")).unwrap();
    fence.split_once("```").unwrap().0
}

/// As it stands, but with ports that are free, and a wait for an event in place of a time.
fn adapted(lines: &str, is_ready: &str) -> String {
    let wait = format!("timeout 60 sh -c 'until {is_ready}; do sleep 0.2; done'");
    let ports = ["8180", "8181", "8280", "8281", "8380", "8381"];
    let lines = ports.iter().fold(lines.to_owned(), |lines, port| {
        lines.replace(&format!("127.0.0.1:{port}"), "127.0.0.1:0")
    });
    assert_eq!(lines.matches("sleep 2").count(), 1, "{lines}");
    lines.replace("sleep 2", &wait)
}

/// The quick start from its policies on, then the fleet, with a log and perhaps a password for it.
fn script(log: &str, password: Option<&str>) -> String {
    let quick = fence("sh", "With a data folder and a policy folder of your own:");
    let (_, quick) = quick.split_once("--path .\n").unwrap();
    let quick = adapted(quick, "kwic-team account list").replace("kwic-team decide", "true");
    let lines = fence("sh", "The same on one machine");
    let mut lines = adapted(lines, "test $(kwic-team fleet status | grep -c fresh) = 3");
    let section = fence("toml", "## On several machines");
    let url = section.split('"').nth(1).unwrap();
    let mut section = section.replacen(url, log, 1);
    match password {
        Some(password) => {
            section =
                format!("{section}END\necho {password} > log-password\nchmod 600 log-password\n")
        }
        None => {
            let is_other = |line: &&str| !line.starts_with("password_file");
            let others: Vec<&str> = section.lines().filter(is_other).collect();
            section = format!("{}\nEND\n", others.join("\n"));
            lines = lines.replace(" log-password", "");
        }
    }
    format!("set -e\n{quick}kill $!; wait\ncat >> kwic-team.toml <<'END'\n{section}{lines}")
}

/// What it prints; it must end with a deny.
fn walk(script: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("one");
    fs::create_dir(&home).unwrap();
    let (said, complained) = (folder.path().join("said"), folder.path().join("complained"));
    let path = format!("{}:/usr/bin:/bin", Path::new(binary()).parent().unwrap().display());
    let any = "127.0.0.1:0";
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).current_dir(&home).env_clear().env("PATH", &path);
    shell.env("KWIC_TEAM_DECISION_LISTEN", any).env("KWIC_TEAM_CONSOLE_LISTEN", any);
    // A group of its own, for what it leaves running.
    shell.process_group(0).stdin(Stdio::null());
    shell.stdout(fs::File::create(&said).unwrap()).stderr(fs::File::create(&complained).unwrap());
    let mut shell = shell.spawn().unwrap();
    let code = shell.wait().unwrap().code();
    let end = format!("kill -s KILL -- -{}", shell.id());
    Command::new("sh").args(["-c", &end]).status().unwrap();
    let said = fs::read_to_string(&said).unwrap();
    let complained = fs::read_to_string(&complained).unwrap();
    assert_eq!(code, Some(2), "{script}\n{said}\n{complained}");
    said
}

fn holds(log: &str, password: Option<&str>) {
    let said = walk(&script(log, password));
    assert!(said.contains("seen by 3 of 3\n") && said.ends_with("deny\n"), "{said}");
}

#[test]
fn three_sidecars_are_made_by_few_commands() {
    let (made, _) = fence("sh", "The same on one machine").split_once("sleep 2").unwrap();
    let made = made.replace("\\\n", "");
    assert_eq!(made.trim().lines().count(), COMMANDS_MAX, "{made}");
}

#[test]
fn the_lines_hold_on_postgresql() {
    let Some(server) = PostgresServer::start(&[]) else { return };
    server.sql("CREATE USER kwic PASSWORD 'of-kwic'");
    server.sql("CREATE DATABASE kwic OWNER kwic");
    holds(&format!("postgresql://kwic@127.0.0.1:{}/kwic", server.port), Some("of-kwic"));
}

#[test]
fn the_lines_hold_on_etcd() {
    let one = ClusterOptions { members: 1, ..ClusterOptions::default() };
    let Some(cluster) = EtcdCluster::start(&one) else { return };
    holds(&format!("etcd://127.0.0.1:{}/kwic-team/", cluster.port(0)), None);
}
