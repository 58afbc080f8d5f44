//! Those who change the team, ask for decisions and read the audit log while the fleet is disturbed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value as Json, json};

use super::history::{Allowed, Asked, AuditRow, Came, History, INVITED, What};
use crate::support::api_users::PASSWORD;
use crate::support::sidecar::{Answer, Connection, PATIENCE, question};

pub(super) const ACCOUNT: &str = "acme";
/// The account of those who are erased.
pub(super) const ERASED: &str = "erased";
/// How often somebody is.
const ERASE_EVERY: Duration = Duration::from_millis(1_500);
/// So many of the newest people are changed and asked about.
const LIVELY: usize = 24;
/// How long one waits for a decision, which waits for a revision at most for a second.
const DECISION: Duration = Duration::from_secs(5);

/// What all of them share.
pub(super) struct World {
    /// The folder of each node.
    pub(super) homes: Vec<PathBuf>,
    pub(super) seed: u64,
    pub(super) begun: Instant,
    pub(super) is_over: AtomicBool,
    /// Who was there, in that order, each with the revision of an acknowledged removal.
    people: Mutex<Vec<(String, Option<u64>)>>,
}

/// Ends everything, also where a test panics.
pub(super) struct Ending<'w>(pub(super) &'w World);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }
}

impl World {
    pub(super) fn new(homes: Vec<PathBuf>, seed: u64) -> Self {
        let (begun, is_over) = (Instant::now(), AtomicBool::new(false));
        Self { homes, seed, begun, is_over, people: Mutex::default() }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Dice for one of those who act.
    pub(super) fn dice(&self, number: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed.wrapping_mul(1000).wrapping_add(number))
    }

    /// One of the newest people.
    fn somebody(&self, dice: &mut StdRng) -> Option<(String, Option<u64>)> {
        let people = self.people.lock().unwrap();
        let from = people.len().saturating_sub(LIVELY);
        (from < people.len()).then(|| people[dice.random_range(from..people.len())].clone())
    }

    fn came(&self, id: String) {
        self.people.lock().unwrap().push((id, None));
    }

    fn went(&self, id: &str, revision: u64) {
        let mut people = self.people.lock().unwrap();
        if let Some(person) = people.iter_mut().rev().find(|person| person.0 == id) {
            person.1 = Some(revision);
        }
    }
}

/// What a call came to.
enum Called {
    NotSent,
    /// Sent, and not answered.
    Cut,
    Answered(Answer),
}

/// Calls the management API of a node as its operator; `line` is a method and a path below `/api/v1`.
fn call(home: &Path, line: &str, headers: &str, body: &Json) -> Called {
    call_in(ACCOUNT, home, line, headers, body)
}

fn call_in(account: &str, home: &Path, line: &str, headers: &str, body: &Json) -> Called {
    let Ok(mut connection) = connect(&home.join("data/admin.sock"), PATIENCE) else {
        return Called::NotSent;
    };
    let (method, path) = line.split_once(' ').unwrap();
    let mark = if path.contains('?') { '&' } else { '?' };
    let path = format!("/api/v1{path}{mark}account={account}");
    let (media, body) = match body {
        Json::Null => ("", String::new()),
        body => ("content-type: application/json\r\n", body.to_string()),
    };
    match connection.try_send(method, &path, &format!("{media}{headers}"), &body) {
        Ok(answer) => Called::Answered(answer),
        Err(_) => Called::Cut,
    }
}

fn connect(socket: &Path, patience: Duration) -> io::Result<Connection<UnixStream>> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(patience))?;
    Ok(Connection::new(stream))
}

/// All items of a list; none where a node does not answer.
pub(super) fn list(home: &Path, path: &str, after: Option<String>) -> Option<Vec<Json>> {
    let (mut items, mut after) = (Vec::new(), after);
    for _ in 0..1000 {
        let from = after.map(|after| format!("&after={after}")).unwrap_or_default();
        let Called::Answered(answer) =
            call(home, &format!("GET {path}?limit=200{from}"), "", &Json::Null)
        else {
            return None;
        };
        if answer.status != 200 {
            return None;
        }
        let page = answer.json();
        items.extend(page["items"].as_array()?.iter().cloned());
        after = match &page["next"] {
            Json::Null => return Some(items),
            Json::String(next) => Some(next.clone()),
            next => Some(next.to_string()),
        };
    }
    panic!("{path} has no end");
}

/// Somebody who changes the team.
pub(super) struct Editor<'w> {
    world: &'w World,
    number: u64,
    dice: StdRng,
    count: usize,
    /// Invites that nobody has used: the id, and the token.
    links: Vec<(String, String)>,
    history: History,
}

impl<'w> Editor<'w> {
    pub(super) fn new(world: &'w World, number: u64) -> Self {
        let (dice, history) = (world.dice(number), History::default());
        Self { world, number, dice, count: 0, links: Vec::new(), history }
    }

    pub(super) fn work(mut self) -> History {
        while !self.world.is_over() {
            let node = self.dice.random_range(0..self.world.homes.len());
            self.step(node);
            thread::sleep(Duration::from_millis(self.dice.random_range(5..60)));
        }
        self.history
    }

    fn step(&mut self, node: usize) {
        self.count += 1;
        let name = format!("{}-{}", self.number, self.count);
        match self.dice.random_range(0..100) {
            0..18 => {
                let id = format!("p{name}");
                let body = json!({"id": id, "first_name": "Made", "last_name": "Person",
                    "email": format!("{id}@example.org"), "role": "operator"});
                self.ask(node, What::Create { id }, "POST /members", "", &body);
            }
            18..28 => {
                let email = format!("i{name}@example.org");
                let body = json!({"first_name": INVITED, "last_name": "Person", "email": email,
                    "role": "operator"});
                self.ask(node, What::Invite { email }, "POST /invites", "", &body);
            }
            28..36 => self.use_link(node),
            number => {
                if let Some((id, _)) = self.world.somebody(&mut self.dice) {
                    self.change(node, number, id, &name);
                }
            }
        }
    }

    fn use_link(&mut self, node: usize) {
        let Some((invite, token)) = self.links.pop() else { return };
        if self.dice.random_range(0..3) == 0 {
            let line = format!("DELETE /invites/{invite}");
            self.ask(node, What::Revoke { invite }, &line, "", &Json::Null);
        } else {
            let body = json!({"token": token, "password": PASSWORD});
            self.ask(node, What::Accept { invite }, "POST /invites/accept", "", &body);
        }
    }

    fn change(&mut self, node: usize, number: u32, id: String, name: &str) {
        let line = |method: &str, then: &str| format!("{method} /members/{id}{then}");
        match number {
            36..62 => {
                let home = &self.world.homes[node];
                let Called::Answered(shown) = call(home, &line("GET", ""), "", &Json::Null) else {
                    return;
                };
                let Some(version) = shown.header("etag") else { return };
                let (to, line) = (format!("N{name}"), line("PATCH", ""));
                let body = json!({"first_name": to});
                let headers = format!("if-match: {version}\r\n");
                self.ask(node, What::Rename { id, to }, &line, &headers, &body);
            }
            62..70 => {
                let line = line("POST", "/suspend");
                self.ask(node, What::Suspend { id }, &line, "", &Json::Null);
            }
            70..80 => {
                let line = line("POST", "/restore");
                self.ask(node, What::Restore { id }, &line, "", &Json::Null);
            }
            80..94 => {
                let line = line("DELETE", "");
                self.ask(node, What::Remove { id }, &line, "", &Json::Null);
            }
            _ => {
                let line = line("DELETE", "?wait_seconds=2");
                self.ask(node, What::Remove { id }, &line, "", &Json::Null);
            }
        }
    }

    /// Asks for a change, and notes what came of it.
    fn ask(&mut self, node: usize, what: What, line: &str, headers: &str, body: &Json) {
        let (came, seen_by_all) = match call(&self.world.homes[node], line, headers, body) {
            Called::NotSent => return,
            Called::Cut => (Came::Unknown, false),
            Called::Answered(answer) => {
                let (came, seen) = (came(&answer), &answer.json()["seen"]);
                self.learn(&what, &came, &answer);
                (came, seen["all"] == true)
            }
        };
        let ended = self.world.begun.elapsed();
        self.history.asked.push(Asked { node, what, came, ended, seen_by_all });
    }

    fn learn(&mut self, what: &What, came: &Came, answer: &Answer) {
        let &Came::Made(Some(revision)) = came else { return };
        let made = answer.json();
        let id = || made["id"].as_str().unwrap().to_owned();
        match what {
            What::Create { .. } | What::Accept { .. } => self.world.came(id()),
            What::Invite { .. } => {
                let token = made["link"].as_str().and_then(|link| link.rsplit_once('#'));
                self.links.extend(token.map(|(_, token)| (id(), token.to_owned())));
            }
            What::Remove { id } => self.world.went(id, revision),
            _ => {}
        }
    }
}

/// What an answer says of a change.
fn came(answer: &Answer) -> Came {
    let body = answer.json();
    let (code, detail) = (body["code"].as_str(), body["detail"].as_str().unwrap_or_default());
    match answer.status {
        200..300 => Came::Made(body["revision"].as_u64()),
        _ if code == Some("log_unclear") => Came::Unknown,
        _ if detail.contains("was made") => Came::Made(None),
        _ => Came::NotMade,
    }
}

/// Asks a node for decisions, often about people who were removed.
pub(super) fn ask_for_decisions(world: &World, node: usize, number: u64) -> History {
    let (mut dice, mut history, mut kept) = (world.dice(number), History::default(), None);
    while !world.is_over() {
        thread::sleep(Duration::from_millis(dice.random_range(1..8)));
        let Some((id, removed)) = world.somebody(&mut dice) else { continue };
        let at_least = removed.filter(|_| dice.random_range(0..2) == 0);
        if kept.is_none() {
            kept = connect(&world.homes[node].join("decide.sock"), DECISION).ok();
        }
        let Some(connection) = kept.as_mut() else { continue };
        let began = world.begun.elapsed();
        let Ok(answer) = decision(connection, &id, at_least) else {
            (history.unanswered, kept) = (history.unanswered + 1, None);
            continue;
        };
        if answer.status != 200 {
            // The revision is not reached, or the sidecar ends.
            assert_eq!(answer.status, 503, "{answer:?}");
            history.unanswered += 1;
            continue;
        }
        history.at_least += usize::from(at_least.is_some());
        if answer.json()["decision"] == true {
            let revision = answer.header("x-kwic-revision").unwrap().parse().unwrap();
            let is_stale = answer.header("x-kwic-stale").is_some();
            history.allowed.push(Allowed { node, id, began, at_least, revision, is_stale });
        } else {
            history.denied += 1;
        }
    }
    history
}

fn decision(
    connection: &mut Connection<UnixStream>,
    id: &str,
    at_least: Option<u64>,
) -> io::Result<Answer> {
    let body = question(id, "chats:view", ("chat", "c"), ACCOUNT).to_string();
    let wanted = at_least.map(|revision| format!("x-kwic-at-least: {revision}\r\n"));
    let headers = format!("content-type: application/json\r\n{}", wanted.unwrap_or_default());
    connection.try_send("POST", "/access/v1/evaluation", &headers, &body)
}

/// Reads the audit log of each node as it grows, and has policies loaded again.
pub(super) fn read_and_reload(world: &World, number: u64) -> History {
    let (mut dice, mut history) = (world.dice(number), History::default());
    let mut last = BTreeMap::<usize, u64>::new();
    let mut round = 0;
    while !world.is_over() {
        thread::sleep(Duration::from_millis(200));
        round += 1;
        for (node, home) in world.homes.iter().enumerate() {
            let after = last.get(&node).map(u64::to_string);
            let Some(rows) = list(home, "/audit", after) else { continue };
            let rows: Vec<AuditRow> = rows.iter().map(AuditRow::of).collect();
            last.extend(rows.last().map(|row| (node, row.sequence)));
            history.read.extend(rows.into_iter().map(|row| (node, row)));
        }
        if round % 25 == 0 {
            let home = &world.homes[dice.random_range(0..world.homes.len())];
            write_policies(home, round);
            if let Called::Answered(answer) = call_store(home, "POST /policies/reload") {
                assert!(matches!(answer.status, 200 | 503), "{answer:?}");
            }
        }
    }
    history
}

/// Makes, removes and erases people: each time the log begins an epoch, gets a snapshot, and is trimmed.
pub(super) fn erase(world: &World) -> History {
    let (mut history, mut number) = (History::default(), 0);
    while !world.is_over() {
        thread::sleep(ERASE_EVERY);
        number += 1;
        let (id, home) = (format!("e{number}"), &world.homes[number % world.homes.len()]);
        let body = json!({"id": id, "first_name": "Erased", "last_name": "Person",
            "email": format!("{id}@example.org"), "role": "operator"});
        let calls = [
            ("POST /members".to_owned(), body),
            (format!("DELETE /members/{id}"), Json::Null),
            (format!("POST /members/{id}/erase"), Json::Null),
        ];
        let is_made = |(line, body): &(String, Json)| {
            let called = call_in(ERASED, home, line, "", body);
            matches!(called, Called::Answered(answer) if (200..300).contains(&answer.status))
        };
        history.erased += usize::from(calls.iter().all(is_made));
    }
    history
}

/// A call that belongs to no account.
fn call_store(home: &Path, line: &str) -> Called {
    let Ok(mut connection) = connect(&home.join("data/admin.sock"), PATIENCE) else {
        return Called::NotSent;
    };
    let (method, path) = line.split_once(' ').unwrap();
    match connection.try_send(method, &format!("/api/v1{path}"), "", "") {
        Ok(answer) => Called::Answered(answer),
        Err(_) => Called::Cut,
    }
}

/// Gives the policies of a node another text, which decides as before.
pub(super) fn write_policies(home: &Path, number: usize) {
    let (file, written) = (home.join("policies/roles/operator.cedar"), home.join("operator.cedar"));
    let text = fs::read_to_string(&file).unwrap();
    let rest = text.split_once('\n').unwrap().1;
    fs::write(&written, format!("// Number {number}.\n{rest}")).unwrap();
    fs::rename(written, file).unwrap();
}
