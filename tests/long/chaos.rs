//! Three sidecars on a real PostgreSQL, and on a real etcd of three members, whose lines are cut, those
//! between the members of etcd as well, and which are killed and stand still like their servers, while
//! people are invited, edited, removed and erased, policies are loaded again, and the log is trimmed
//! behind snapshots. What was answered meanwhile is recorded, then checked.
//!
//! `CHAOS_SEED=7 CHAOS_SECONDS=600 cargo test --test long -- chaos:: --nocapture` runs another seed, for
//! longer. The seed decides what happens, in which order and for how long; how far the processes are
//! then is up to the machine.

mod clients;
mod faults;
mod history;

use std::collections::BTreeSet;
use std::env;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use kwic_team::domain::AccountSlug;
use kwic_team::store::Store;
use serde_json::Value as Json;
use tokio::runtime::Runtime;

use self::clients::{
    ACCOUNT, ERASED, Editor, Ending, World, ask_for_decisions, erase, list, read_and_reload,
};
use self::history::{AuditRow, Found, Held, History, Members};
use crate::support::etcd_cluster::{ClusterOptions, EtcdCluster};
use crate::support::fleet_fixture::{Fleet, LogServers};
use crate::support::sidecar::Sidecar;

/// How long a node may be without word from the log: the least that is taken.
const MAX_STALENESS: Duration = Duration::from_secs(4);
const EDITORS: u64 = 3;
/// How long one is disturbed, where nothing else is said.
const SECONDS: u64 = 25;
/// How long the nodes may take until they are alike again.
const SETTLING: Duration = Duration::from_secs(90);
/// How often the nodes may have gone on while their files were compared.
const COMPARISONS: usize = 5;

/// One at a time: both want the machine for themselves.
static ONE: Mutex<()> = Mutex::new(());

fn number(variable: &str, usual: u64) -> u64 {
    env::var(variable).map_or(usual, |text| text.parse().unwrap())
}

#[test]
fn on_postgresql() {
    run("on_postgresql", LogServers::postgres);
}

#[test]
fn on_etcd() {
    let options = ClusterOptions { has_lines: true, ..ClusterOptions::default() };
    run("on_etcd", || EtcdCluster::start(&options).map(LogServers::Etcd));
}

fn run(test: &str, servers: impl FnOnce() -> Option<LogServers>) {
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let Some(servers) = servers() else { return };
    let (seed, seconds) = (number("CHAOS_SEED", 1), number("CHAOS_SECONDS", SECONDS));
    println!(
        "again: CHAOS_SEED={seed} CHAOS_SECONDS={seconds} cargo test --test long -- chaos::{test} --nocapture"
    );
    let mut fleet = Fleet::of(servers, MAX_STALENESS, |node| {
        node.account(ACCOUNT);
        node.account(ERASED);
    });
    let homes = fleet.nodes.iter().map(|node| node.home.path().to_owned()).collect();
    let world = World::new(homes, seed);
    let history = disturbed(&mut fleet, &world, Duration::from_secs(seconds));
    println!("{}", history.tally());
    let checked = settle(&fleet).and_then(|()| {
        let found: Vec<Found> = world.homes.iter().map(|home| found(home)).collect();
        history.check(&found, MAX_STALENESS)?;
        have_the_same(&mut fleet)
    });
    if let Err(why) = checked {
        for node in &fleet.nodes {
            println!("--- the log of {}:\n{}", node.home.path().display(), end_of_log(node));
        }
        panic!("seed {seed}: {why}");
    }
    history.is_worth_something();
}

/// Everything happens at once; what was recorded.
fn disturbed(fleet: &mut Fleet, world: &World, time: Duration) -> History {
    let mut history = History::default();
    thread::scope(|scope| {
        let mut all = Vec::new();
        for number in 0..EDITORS {
            all.push(scope.spawn(move || Editor::new(world, number).work()));
        }
        for (node, number) in (0..world.homes.len()).zip(100..) {
            all.push(scope.spawn(move || ask_for_decisions(world, node, number)));
        }
        all.push(scope.spawn(move || read_and_reload(world, 200)));
        all.push(scope.spawn(move || erase(world)));
        {
            let _ending = Ending(world);
            faults::disturb(fleet, &mut world.dice(300), time);
        }
        for one in all {
            history.add(one.join().unwrap());
        }
    });
    history
}

/// All nodes are fresh, have the same policies, and have applied as much as the others; the log and the
/// files have nothing of who was erased.
fn settle(fleet: &Fleet) -> Held {
    fleet.nodes.iter().for_each(|node| clients::write_policies(node.home.path(), 0));
    let end = Instant::now() + SETTLING;
    loop {
        let unlike = fleet.nodes.iter().find_map(|node| is_settled(node).err());
        let Some(why) = unlike else { return Ok(()) };
        if Instant::now() > end {
            return Err(format!("after {SETTLING:?} without a fault {why}"));
        }
        thread::sleep(Duration::from_millis(200));
    }
}

fn is_settled(node: &Sidecar) -> Held {
    let reloaded = node.run(&["policy", "reload"]);
    if !reloaded.status.success() {
        return Err(format!("the policies are not loaded: {reloaded:?}"));
    }
    let status = node.run(&["fleet", "status", "--json"]);
    let told: Json = serde_json::from_slice(&status.stdout).unwrap_or_default();
    let reports = told["items"].as_array().into_iter().flatten().map(|node| &node["report"]);
    let alike: BTreeSet<String> =
        reports.map(|report| format!("{} {}", report["policies"], report["revision"])).collect();
    if !status.status.success() || alike.len() != 1 {
        return Err(format!("not all nodes are fresh and alike: {status:?}"));
    }
    if told["erasure"]["complete"] == true {
        return Ok(());
    }
    Err(format!("the log was not trimmed: {}", told["erasure"]))
}

/// What a node has by its API.
fn found(home: &Path) -> Found {
    let audit = list(home, "/audit", None).unwrap();
    let members = list(home, "/members", None).unwrap();
    let members: Members = members
        .iter()
        .map(|member| {
            let text = |key: &str| member[key].as_str().unwrap().to_owned();
            (text("id"), (text("first_name"), member["status"] == "active"))
        })
        .collect();
    Found { audit: audit.iter().map(AuditRow::of).collect(), members }
}

/// Whether the files have the same content, and unbroken chains of the audit log.
fn have_the_same(fleet: &mut Fleet) -> Held {
    let runtime = Runtime::new().unwrap();
    for _ in 0..COMPARISONS {
        fleet.nodes.iter_mut().for_each(Sidecar::kill);
        let mut contents = Vec::new();
        for node in &fleet.nodes {
            contents.push(runtime.block_on(content(node))?);
        }
        contents.dedup();
        // One that was killed later may have had one more entry.
        let mut places: Vec<_> = contents.iter().map(|(place, _)| *place).collect();
        places.dedup();
        match (places.len(), contents.len()) {
            (1, 1) => return Ok(()),
            (1, _) => return Err(format!("the files differ: {contents:?}")),
            _ => fleet.nodes.iter_mut().for_each(Sidecar::restart),
        }
        settle(fleet)?;
    }
    Err("the nodes did not come to rest".to_owned())
}

/// The place in the log, and the digest, of a node that does not run.
async fn content(node: &Sidecar) -> Result<(u64, String), String> {
    let store = Store::view(&node.path("data/kwic.redb")).await.unwrap();
    let account = AccountSlug::parse(ACCOUNT).unwrap();
    let report = store.audit_verify(Some(&account)).await.unwrap();
    if let Some(fault) = report.fault {
        return Err(format!("the chain of the audit log: {fault:?}"));
    }
    let place = store.fleet_position().await.unwrap().unwrap().head.index;
    Ok((place, format!("{:?}", store.content_digest().await.unwrap())))
}

fn end_of_log(node: &Sidecar) -> String {
    let text = std::fs::read_to_string(&node.log).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
