//! What happens to a fleet: lines that are cut or silent, nodes and servers that die or stand still.

use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

use crate::support::etcd_cluster::EtcdCluster;
use crate::support::fleet_fixture::{Fleet, LogServers};
use crate::support::sidecar::Sidecar;
use crate::support::tcp_proxy::Passing;

/// How a line fails.
const LINE_FAULTS: [Passing; 5] =
    [Passing::NoAnswer, Passing::NoRequest, Passing::Later, Passing::Nothing, Passing::Refused];
/// How a line between two members fails.
const PEER_FAULTS: [Passing; 2] = [Passing::Held, Passing::Refused];
/// So many at a time.
const AT_ONCE: usize = 2;

#[derive(Clone, Debug, PartialEq)]
enum Fault {
    Line(usize, Passing),
    /// A node that was killed.
    Dead(usize),
    /// A node that stands still.
    Paused(usize),
    /// The server of PostgreSQL, or members of etcd.
    Servers(Vec<usize>),
    /// A member of etcd that stands still.
    PausedMember(usize),
    /// A member of etcd whose lines to the others, or to one of them, are cut; clients reach it.
    Apart(usize, Option<usize>, Passing),
}

impl Fault {
    /// Two are never of the same part; that of all servers is none.
    fn part(&self) -> Option<usize> {
        match self {
            Self::Line(node, _) | Self::Dead(node) | Self::Paused(node) => Some(*node),
            Self::Servers(_) | Self::PausedMember(_) | Self::Apart(..) => None,
        }
    }
}

/// Disturbs a fleet for some time, then heals it.
pub(super) fn disturb(fleet: &mut Fleet, dice: &mut StdRng, time: Duration) {
    let end = Instant::now() + time;
    let mut active = Vec::<(Instant, Fault)>::new();
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(dice.random_range(100..900)));
        let now = Instant::now();
        let (over, still) = active.into_iter().partition(|(until, _)| *until <= now);
        active = still;
        heal_all(fleet, over);
        let fault = chosen(fleet, dice);
        let is_free = active.iter().all(|(_, other)| other.part() != fault.part());
        if active.len() < AT_ONCE && is_free {
            println!("{:?}: {fault:?}", end.saturating_duration_since(now));
            begin(fleet, &fault);
            // Most are over before a node is stale.
            let longest = if dice.random_range(0..4) == 0 { 8_000 } else { 1_500 };
            let lasts = Duration::from_millis(dice.random_range(200..longest));
            active.push((now + lasts, fault));
        }
    }
    heal_all(fleet, active);
}

fn heal_all(fleet: &mut Fleet, over: Vec<(Instant, Fault)>) {
    for (_, fault) in over {
        heal(fleet, &fault);
    }
}

fn chosen(fleet: &Fleet, dice: &mut StdRng) -> Fault {
    let node = dice.random_range(0..fleet.nodes.len());
    match (dice.random_range(0..10), &fleet.servers) {
        (0..4, _) => Fault::Line(node, LINE_FAULTS[dice.random_range(0..LINE_FAULTS.len())]),
        (4..6, _) => Fault::Dead(node),
        (6, _) => Fault::Paused(node),
        (_, LogServers::Postgres(_)) => Fault::Servers(vec![dice.random_range(0..2)]),
        (_, LogServers::Etcd(_)) => of_members(dice),
    }
}

/// Each as likely as the others.
fn of_members(dice: &mut StdRng) -> Fault {
    let member = dice.random_range(0..3);
    let peer_fault = PEER_FAULTS[dice.random_range(0..PEER_FAULTS.len())];
    match dice.random_range(0..5) {
        0 => Fault::PausedMember(member),
        1 => Fault::Servers(vec![member]),
        2 => Fault::Servers((0..3).filter(|other| *other != member).collect()),
        3 => Fault::Apart(member, None, peer_fault),
        _ => Fault::Apart(member, Some((member + 1) % 3), peer_fault),
    }
}

/// What passes between a member of etcd and another one, or all others.
fn pass(cluster: &EtcdCluster, member: usize, other: Option<usize>, what: Passing) {
    match other {
        Some(other) => cluster.pass_between(member, other, what),
        None => cluster.pass_to_peers(member, what),
    }
}

fn begin(fleet: &mut Fleet, fault: &Fault) {
    match (fault, &mut fleet.servers) {
        (Fault::Line(node, what), _) => fleet.pass(*node, *what),
        (Fault::Dead(node), _) => fleet.nodes[*node].kill(),
        (Fault::Paused(node), _) => fleet.nodes[*node].signal("STOP"),
        // Killed, or told to end at once.
        (Fault::Servers(how), LogServers::Postgres(server)) if how == &[0] => server.kill(),
        (Fault::Servers(_), LogServers::Postgres(server)) => server.stop_at_once(),
        (Fault::Servers(members), LogServers::Etcd(cluster)) => {
            members.iter().for_each(|member| cluster.kill(*member));
        }
        (Fault::PausedMember(member), LogServers::Etcd(cluster)) => cluster.pause(*member, true),
        (Fault::Apart(member, other, what), LogServers::Etcd(cluster)) => {
            pass(cluster, *member, *other, *what);
        }
        (Fault::PausedMember(_) | Fault::Apart(..), LogServers::Postgres(_)) => {}
    }
}

fn heal(fleet: &mut Fleet, fault: &Fault) {
    match (fault, &mut fleet.servers) {
        (Fault::Line(node, _), _) => fleet.pass(*node, Passing::All),
        (Fault::Dead(node), _) => Sidecar::restart(&mut fleet.nodes[*node]),
        (Fault::Paused(node), _) => fleet.nodes[*node].signal("CONT"),
        (Fault::Servers(_), LogServers::Postgres(server)) => server.run(),
        (Fault::Servers(members), LogServers::Etcd(cluster)) => cluster.restart_all(members),
        (Fault::PausedMember(member), LogServers::Etcd(cluster)) => cluster.pause(*member, false),
        (Fault::Apart(member, other, _), LogServers::Etcd(cluster)) => {
            pass(cluster, *member, *other, Passing::All);
        }
        (Fault::PausedMember(_) | Fault::Apart(..), LogServers::Postgres(_)) => {}
    }
}
