//! Members of the cluster die, or do not reach each other: without a majority nothing is made and nothing
//! is read, and nothing that was made is lost.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kwic_team::store::shared_log::{Appended, READ_MAX, SharedLog};

use super::{Deployment, SOON, all, entry, fill, start};
use crate::support::etcd_cluster::{ClusterOptions, EtcdCluster};
use crate::support::sidecar::eventually;
use crate::support::tcp_proxy::Passing;

/// How long a node goes on where its test does not.
const PATIENCE: Duration = Duration::from_secs(300);

#[test]
fn without_a_majority_nothing_is_made_and_nothing_is_read() {
    let Some(mut cluster) = EtcdCluster::start(&ClusterOptions::default()) else { return };
    let fleet = Deployment::of(cluster.endpoints());
    fleet.created();
    let log = fleet.by(cluster.endpoints());
    let head = fill(&log, start(), [b"first".to_vec()]);
    cluster.kill(1);
    cluster.kill(2);
    let next = entry(&head, "without a majority");
    let begin = Instant::now();
    let outcome = log.append(&head, &next);
    assert!(matches!(outcome, Appended::Unknown(_) | Appended::Refused(_)), "{outcome:?}");
    assert!(begin.elapsed() < SOON * 2, "{:?}", begin.elapsed());
    let begin = Instant::now();
    assert!(log.read(0, READ_MAX).is_err());
    assert!(begin.elapsed() < SOON * 2, "{:?}", begin.elapsed());
    cluster.restart(1);
    // The same entry after the same head, as a node tries it.
    eventually("the entry is in the log", || match log.append(&head, &next) {
        Appended::Made | Appended::Moved(_) => true,
        Appended::Unknown(_) | Appended::Refused(_) => false,
    });
    let entries = all(&log, &start());
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1], next);
}

#[test]
fn the_death_of_the_leader_loses_nothing_that_was_made() {
    const DEATHS: usize = 3;
    let Some(mut cluster) = EtcdCluster::start(&ClusterOptions::default()) else { return };
    let fleet = Deployment::of(cluster.endpoints());
    fleet.created();
    let (is_over, made_so_far) = (AtomicBool::new(false), AtomicUsize::new(0));
    let node = |number: usize| {
        let mut endpoints = fleet.settings.endpoints.clone();
        endpoints.rotate_left(number);
        let log = fleet.by(endpoints);
        let (mut head, mut made, mut lost) = (start(), Vec::new(), Vec::new());
        let begin = Instant::now();
        while !is_over.load(Ordering::Relaxed) && begin.elapsed() < PATIENCE {
            if let Ok(part) = log.read(head.index, READ_MAX) {
                head = part.entries.last().map_or(part.head, |last| last.head);
                if head != part.head {
                    continue;
                }
            }
            let next = entry(&head, format!("{number}"));
            match log.append(&head, &next) {
                Appended::Made => {
                    made.push(next.id.0);
                    made_so_far.fetch_add(1, Ordering::Relaxed);
                    head = next.head;
                }
                Appended::Moved(_) => lost.push(next.id.0),
                Appended::Refused(_) | Appended::Unknown(_) => {}
            }
        }
        (made, lost)
    };
    let told = std::thread::scope(|scope| {
        let node = &node;
        let nodes: Vec<_> = (0..3).map(|number| scope.spawn(move || node(number))).collect();
        for _ in 0..DEATHS {
            let before = made_so_far.load(Ordering::Relaxed);
            eventually("appends are made", || made_so_far.load(Ordering::Relaxed) > before + 30);
            let leader = cluster.leader();
            cluster.kill(leader);
            let before = made_so_far.load(Ordering::Relaxed);
            eventually("the others go on", || made_so_far.load(Ordering::Relaxed) > before + 30);
            cluster.restart(leader);
        }
        is_over.store(true, Ordering::Relaxed);
        nodes.into_iter().map(|node| node.join().unwrap()).collect::<Vec<_>>()
    });
    let found: Vec<_> = all(&fleet.log(), &start()).into_iter().map(|entry| entry.id.0).collect();
    let mut made = 0;
    for (of_node, others) in told {
        made += of_node.len();
        assert!(of_node.iter().all(|id| found.contains(id)), "an entry that was made is lost");
        assert!(others.iter().all(|id| !found.contains(id)), "one that moved is there");
    }
    assert!(found.len() >= made);
}

/// A leader that its peers do not hear answers its clients, and must not answer for the others.
#[test]
fn a_member_apart_from_its_peers_makes_nothing_and_reads_nothing_of_before() {
    let options = ClusterOptions { has_lines: true, ..ClusterOptions::default() };
    for how in [Passing::Held, Passing::Refused] {
        let Some(cluster) = EtcdCluster::start(&options) else { return };
        let fleet = Deployment::of(cluster.endpoints());
        fleet.created();
        let log = fleet.by(cluster.endpoints());
        let head = fill(&log, start(), [b"first".to_vec()]);
        let leader = cluster.leader();
        let others = (0..3).filter(|other| *other != leader).map(|other| cluster.endpoint(other));
        let [apart, majority] = [vec![cluster.endpoint(leader)], others.collect()];
        let [apart, majority] = [fleet.by(apart), fleet.by(majority)];
        // Begins the watch, without which nothing tells that there is something to read nearby.
        assert!(apart.read_nearby(0, READ_MAX).is_none());
        let is_told = || apart.wait_for_change(Duration::from_millis(100));
        eventually("the watch begins", is_told);
        cluster.pass_to_peers(leader, how);
        let lost = entry(&head, "apart");
        let outcome = apart.append(&head, &lost);
        let is_made = matches!(outcome, Appended::Made | Appended::Moved(_));
        assert!(!is_made, "{how:?}: {outcome:?}");
        let next = entry(&head, "of the majority");
        eventually("the others go on", || match majority.append(&head, &next) {
            Appended::Made | Appended::Moved(_) => true,
            Appended::Unknown(_) | Appended::Refused(_) => false,
        });
        assert!(apart.read(0, READ_MAX).is_err(), "{how:?}: it reads what is no longer the end");
        let nearby = apart.read_nearby(0, READ_MAX).map(|part| part.head);
        assert_eq!(nearby, Some(head), "{how:?}: what that member has");
        cluster.pass_to_peers(leader, Passing::All);
        eventually("it has what the others have", || {
            apart.read(0, READ_MAX).is_ok_and(|part| part.head == next.head)
        });
        let found: Vec<_> = all(&apart, &start()).into_iter().map(|entry| entry.id.0).collect();
        assert!(found.contains(&next.id.0) && !found.contains(&lost.id.0), "{how:?}");
    }
}
