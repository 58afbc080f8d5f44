//! Removal and suspension: after the response, no decision says allow.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::support::sidecar::{Connection, Sidecar, question};

#[test]
fn a_removed_member_is_denied_a_thousand_times_out_of_a_thousand() {
    let sidecar = Sidecar::start();
    sidecar.account("acme");
    let ids: Vec<String> = (0..1_000).map(|number| format!("m{number}")).collect();
    let members: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "operator")).collect();
    sidecar.members("acme", &members);
    let stop = Arc::new(AtomicBool::new(false));
    let hammers: Vec<_> = (0..3)
        .map(|hammer| {
            let (address, stop) = (sidecar.address.clone(), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut connection = Connection::new(TcpStream::connect(address).unwrap());
                let mut number = hammer;
                while !stop.load(Ordering::Relaxed) {
                    number = (number + 7) % 1_000;
                    connection.allows(&question(
                        &format!("m{number}"),
                        "chats:view",
                        ("chat", "c"),
                        "acme",
                    ));
                }
            })
        })
        .collect();
    let mut admin = sidecar.admin();
    let mut tcp = sidecar.tcp();
    let mut last = 0;
    for id in &ids {
        let asked = question(id, "chats:view", ("chat", "c"), "acme");
        assert!(tcp.allows(&asked), "{id} before");
        let receipt = admin.send("DELETE", &format!("/api/v1/members/{id}?account=acme"), "", "");
        assert_eq!(receipt.status, 200, "{receipt:?}");
        assert!(!tcp.allows(&asked), "{id} after");
        let revision = receipt.json()["revision"].as_u64().unwrap();
        assert!(last == 0 || revision == last + 1, "revisions have no gaps");
        last = revision;
    }
    stop.store(true, Ordering::Relaxed);
    hammers.into_iter().for_each(|hammer| hammer.join().unwrap());
}

#[test]
fn suspended_between_two_requests_and_restored() {
    let sidecar = Sidecar::start();
    sidecar.account("acme");
    sidecar.members("acme", &[("ann", "operator")]);
    let asked = question("ann", "chats:view", ("chat", "c"), "acme");
    let mut tcp = sidecar.tcp();
    assert!(tcp.allows(&asked));
    sidecar.ok(&["member", "suspend", "ann@example.org"]);
    assert!(!tcp.allows(&asked));
    let mut explained = asked.clone();
    explained["options"] = json!({"explain": true});
    let answer = tcp.post("/access/v1/evaluation", &explained).json();
    assert_eq!(answer["context"]["reason"], "suspended");
    assert_eq!(answer["context"]["policies"], json!(["suspension"]));
    sidecar.ok(&["member", "restore", "ann"]);
    assert!(tcp.allows(&asked));
}

#[test]
fn everything_acknowledged_is_there_after_a_power_cut() {
    let mut sidecar = Sidecar::start();
    sidecar.account("acme");
    let mut expected = Vec::new();
    for round in 0..5 {
        for number in 0..10 {
            let id = format!("m{round}-{number}");
            sidecar.members("acme", &[(&id, "operator")]);
            if number % 3 == 0 {
                sidecar.ok(&["member", "remove", &id, "--yes"]);
            } else {
                expected.push(id);
            }
        }
        sidecar.kill_and_restart();
        let listed = sidecar.ok(&["member", "list"]);
        let mut found: Vec<&str> =
            listed.lines().filter_map(|line| line.split('\t').next()).collect();
        found.sort_unstable();
        let mut wanted: Vec<&str> = expected.iter().map(String::as_str).collect();
        wanted.sort_unstable();
        assert_eq!(found, wanted);
        sidecar.ok(&["audit", "verify"]);
    }
}

#[test]
fn at_least_waits_or_says_so() {
    let sidecar = Sidecar::start();
    sidecar.account("acme");
    sidecar.members("acme", &[("ann", "operator")]);
    let body = question("ann", "chats:view", ("chat", "c"), "acme").to_string();
    let mut tcp = sidecar.tcp();
    let mut ask = |revision: &str| {
        let headers = format!("content-type: application/json\r\nx-kwic-at-least: {revision}\r\n");
        tcp.send("POST", "/access/v1/evaluation", &headers, &body)
    };
    let answer = ask("1");
    assert_eq!(answer.status, 200);
    let seen: u64 = answer.header("x-kwic-revision").unwrap().parse().unwrap();
    assert_eq!(ask(&seen.to_string()).status, 200);
    let later = ask(&(seen + 1).to_string());
    assert_eq!(later.status, 503);
    assert!(later.body.contains("is not reached yet"), "{later:?}");
    assert_eq!(ask("soon").status, 400);
}
