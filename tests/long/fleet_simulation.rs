//! A simulation of three nodes on one log that loses, delays and doubles what is sent, refuses, is cut
//! off, and loses its tail, on disks that fail and lose their power: one seed decides all events.
//!
//! `FLEET_SEEDS=1000 cargo test --test long -- fleet` runs so many seeds. Every change has an actor of
//! its own, so that the audit log tells which changes were made, and in which order; a model of two
//! maps repeats them. Some are imports in parts, which other changes come between. Letters, invites and
//! sessions are in another account.

mod faulty_line;
mod history;
mod imports;
mod letters_invites_sessions;

use std::collections::{BTreeMap, HashSet};
use std::mem::discriminant;
use std::sync::Arc;

use kwic_team::clock::Clock;
use kwic_team::domain::{Actor, Change, Kind, Member, MemberId, QueuedMail, Timestamp};
use kwic_team::fleet::snapshot_reader::begin_with_newest;
use kwic_team::fleet::{snapshot_list, snapshot_writer};
use kwic_team::store::change_feed::Follower;
use kwic_team::store::records::fleet_membership::FleetMembership;
use kwic_team::store::records::shared_log_position::LogPosition;
use kwic_team::store::shared_log::{FleetLog, LogHead, NodeId};
use kwic_team::store::{LOG_AWAY, LOG_UNCLEAR, MemberEdit, MemberTarget, Preconditions, Store};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use self::faulty_line::{Plant, PlantedLine};
use self::history::{Asked, Came, What};
use self::imports::Import;
use self::letters_invites_sessions::OtherAccount;
use crate::support::failing_storage::{FailingStorage, Survives};
use crate::support::in_process_log::{AppendFault, InProcessLog, LogLine};
use crate::support::store_fixture::{ACTOR, MINUTE, NOW, id, member, name, slug};

const NODES: usize = 3;
const STEPS: usize = 100;
const PEOPLE: usize = 6;
const SEEDS: u64 = 30;
/// Of these seeds one finds each planted fault.
const SEEDS_OF_PLANT: u64 = 40;

/// What holds, or how it does not.
type Held = Result<(), String>;

fn holds(holds: bool, what: impl FnOnce() -> String) -> Held {
    if holds { Ok(()) } else { Err(what()) }
}

struct Node {
    store: Store,
    clock: Clock,
    disk: FailingStorage,
    line: Arc<LogLine>,
    planted: Arc<PlantedLine>,
    is_cut: bool,
    feed: Follower,
    /// The last revision that a directory knows of: from the feed, or because it was in the file
    /// at the start.
    known: u64,
    /// The last revision that somebody relies on, as this node has answered by it, or reported it.
    relied_on: u64,
    /// What a directory was told, by revision.
    told: BTreeMap<u64, Change>,
    /// How often it was started again.
    starts: usize,
    /// Whether it has released since its start what it was sending before.
    has_released: bool,
    /// The letter that it has sent, and of which it has not written down what came of it.
    sending: Option<QueuedMail>,
    import: Option<Import>,
}

async fn open(
    log: &InProcessLog,
    disk: &FailingStorage,
    clock: &Clock,
    line: &Arc<PlantedLine>,
) -> (Store, Follower) {
    let disk = disk.clone();
    let store = Store::on(move || disk.clone(), clock.clone()).await.unwrap();
    if line.plants(Plant::LeasesOfNoNode) && store.fleet().await.unwrap().is_none() {
        let fleet = FleetMembership { log: log.seal().log(), node: NodeId([1; 16]) };
        let applied = LogPosition { head: InProcessLog::start(), at: Timestamp(i64::MIN) };
        store.enter_fleet(fleet, applied).await.unwrap();
    }
    log.join(&store, line.clone()).await;
    let feed = store.subscribe();
    (store, feed)
}

impl Node {
    async fn new(log: &InProcessLog, plant: Option<Plant>) -> Self {
        let (clock, disk, line) = (Clock::fixed(NOW), FailingStorage::default(), LogLine::new(log));
        let planted = Arc::new(PlantedLine::new(&line, log, plant));
        let (store, feed) = open(log, &disk, &clock, &planted).await;
        Self {
            store,
            clock,
            disk,
            line,
            planted,
            is_cut: false,
            feed,
            known: 0,
            relied_on: 0,
            told: BTreeMap::new(),
            starts: 0,
            has_released: true,
            sending: None,
            import: None,
        }
    }

    fn cut(&mut self, is_cut: bool) {
        self.is_cut = is_cut;
        self.line.cut(is_cut);
    }

    async fn restart(&mut self, log: &InProcessLog) -> Held {
        self.listen()?;
        self.store.close().await.unwrap();
        self.relied_on = self.known;
        self.start(log).await
    }

    /// Ends without a word, and starts on what is left on the disk.
    async fn lose_power(&mut self, log: &InProcessLog, survives: Survives) -> Held {
        self.listen()?;
        self.disk = self.disk.after_power_cut(survives);
        self.start(log).await
    }

    async fn start(&mut self, log: &InProcessLog) -> Held {
        (self.store, self.feed) = open(log, &self.disk, &self.clock, &self.planted).await;
        (self.starts, self.has_released, self.sending) = (self.starts + 1, false, None);
        let (relied_on, kept) = (self.relied_on, self.store.revision().await.unwrap().0);
        self.known = kept;
        holds(relied_on <= kept, || format!("{relied_on} was told, and only {kept} is in the file"))
    }

    /// Takes what the feed tells: each change once, in the order of revisions.
    fn listen(&mut self) -> Held {
        while let Ok(change) = self.feed.try_recv() {
            let (known, told) = (self.known, change.revision.0);
            holds(told == known + 1, || format!("{told} was told after {known}"))?;
            self.known = told;
            self.told.insert(told, Arc::unwrap_or_clone(change));
        }
        for early in self.planted.take_early() {
            self.told.entry(early.revision.0).or_insert(early);
        }
        Ok(())
    }

    /// As before a report.
    async fn persist(&mut self) {
        let seen = self.store.revision().await;
        if let (Ok(()), Ok(revision)) = (self.store.persist().await, seen) {
            self.relied_on = self.relied_on.max(revision.0);
        }
    }

    async fn follow(&self) {
        while self.store.follow_log().await.is_ok_and(|applied| applied > 0) {}
    }
}

struct Fleet {
    log: InProcessLog,
    nodes: Vec<Node>,
    dice: StdRng,
    asked: Vec<Asked>,
    other: OtherAccount,
    folder: TempDir,
}

impl Fleet {
    async fn new(seed: u64, plant: Option<Plant>) -> Self {
        let log = InProcessLog::default();
        let mut nodes = Vec::new();
        for _ in 0..NODES {
            nodes.push(Node::new(&log, plant).await);
        }
        let made = nodes[0].store.account_create(&ACTOR, slug("acme"), "Acme".into(), None).await;
        made.unwrap();
        let other = OtherAccount::new(&nodes[0]).await;
        Self {
            other,
            log,
            nodes,
            dice: StdRng::seed_from_u64(seed),
            asked: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn below(&mut self, count: usize) -> usize {
        self.dice.random_range(0..count)
    }

    async fn step(&mut self) -> Held {
        let at = self.below(NODES);
        match self.below(100) {
            0..40 => self.change(at).await?,
            40..48 => self.import(at).await?,
            48..65 => {
                self.plan_faults(at);
                self.plan_disk(at);
                let (choice, which) = (self.below(100), self.below(100));
                self.other.step(&mut self.nodes, at, choice, which).await?;
            }
            65..78 => {
                self.plan_disk(at);
                let lag = self.below(6);
                let node = &self.nodes[at];
                if lag < 3 {
                    let _ = node.store.follow_log().await;
                } else {
                    node.line.set_lag(lag - 3);
                    let _ = node.store.follow_nearby().await;
                }
                if lag.is_multiple_of(2) {
                    self.nodes[at].persist().await;
                }
            }
            78..86 => {
                let is_cut = self.nodes[at].is_cut;
                self.nodes[at].cut(!is_cut);
            }
            86..92 => self.log.deliver_late(),
            92..95 => {
                self.end_import(at).await;
                self.nodes[at].restart(&self.log).await?;
            }
            95..97 => self.lose_power(at).await?,
            97 => self.snapshot(at).await?,
            _ => {
                let ahead = self.dice.random_range(0..MINUTE);
                self.nodes[at].clock.advance_ms(ahead);
            }
        }
        self.nodes[at].disk.heal();
        if self.nodes[at].disk.is_off() {
            self.lose_power(at).await?;
        }
        self.nodes[at].listen()?;
        self.sees_whole_imports(at).await?;
        self.told_is_in_the_log(at)
    }

    /// A node writes a snapshot, unless it cannot reach the log: of a place that the log has.
    async fn snapshot(&mut self, at: usize) -> Held {
        let node = &self.nodes[at];
        if node.planted.plants(Plant::SnapshotOfDiverged) {
            node.planted.fork();
            let _ = node.store.member_create(&ACTOR, member("acme", "forked")).await;
        }
        let line: Arc<dyn FleetLog> = node.planted.clone();
        let scratch = self.folder.path().join("scratch");
        let written = snapshot_writer::write(&node.store, line, self.log.seal(), &scratch).await;
        let written = match written {
            Err(failure) if failure.code == LOG_AWAY && node.is_cut => return Ok(()),
            written => written.map_err(|failure| format!("no snapshot: {failure}"))?,
        };
        let heads: Vec<LogHead> = self.log.entries().iter().map(|entry| entry.head).collect();
        let head = written.position.head;
        holds(heads.contains(&head) || head == InProcessLog::start(), || {
            format!("a snapshot of {head:?}, which is not in the log")
        })
    }

    /// A node that begins with the newest snapshot, if there is one, has what the others have.
    async fn join(&self) -> Held {
        let line = LogLine::new(&self.log);
        if snapshot_list::list(&*line, &self.log.seal()).unwrap().whole.is_empty() {
            return Ok(());
        }
        let file = self.folder.path().join("joined.redb");
        let node = NodeId([1; 16]);
        let begun = begin_with_newest(line.clone(), self.log.seal(), node, &file).await;
        begun.map_err(|failure| failure.to_string())?;
        let store = Store::open(&file, 8, Clock::fixed(NOW)).await.unwrap();
        self.log.join(&store, line).await;
        while store.follow_log().await.map_err(|failure| failure.to_string())? > 0 {}
        let [one, other] = [self.nodes[0].store.content_digest(), store.content_digest()];
        let is_same = one.await.unwrap() == other.await.unwrap();
        store.close().await.unwrap();
        holds(is_same, || "a node that joined differs".to_owned())
    }

    /// Nobody hears of a change that is not in the log.
    fn told_is_in_the_log(&self, at: usize) -> Held {
        let entries = self.log.plain_entries();
        let last = entries
            .iter()
            .rev()
            .find_map(|entry| entry.changes.iter().rev().find_map(|change| change.revision));
        let told = self.nodes[at].told.keys().next_back().copied().unwrap_or(0);
        let last = last.map_or(0, |revision| revision.0);
        holds(told <= last, || format!("node {at} told {told}, and the log is at {last}"))
    }

    fn plan_faults(&mut self, at: usize) {
        const FAULTS: [AppendFault; 5] = [
            AppendFault::LostRequest,
            AppendFault::LostAnswer,
            AppendFault::Late,
            AppendFault::Twice,
            AppendFault::Refused,
        ];
        let count = if self.below(2) == 0 { 0 } else { 1 + self.below(3) };
        let faults: Vec<AppendFault> =
            (0..count).map(|_| FAULTS[self.below(FAULTS.len())]).collect();
        self.nodes[at].line.plan(faults);
    }

    /// The disk of a node fails in the next step, or loses its power.
    fn plan_disk(&mut self, at: usize) {
        let (choice, call, sync) = (self.below(8), 1 + self.below(12), 1 + self.below(2));
        match choice {
            0 => self.nodes[at].disk.break_at_call(call),
            1 => self.nodes[at].disk.cut_at_sync(sync),
            _ => {}
        }
    }

    async fn lose_power(&mut self, at: usize) -> Held {
        self.end_import(at).await;
        let survives = match self.below(3) {
            0 => Survives::Nothing,
            1 => Survives::All,
            _ => Survives::Half(self.dice.random()),
        };
        self.nodes[at].lose_power(&self.log, survives).await
    }

    /// One of the people, or of an import.
    fn somebody(&mut self) -> String {
        let imports: Vec<&Asked> = self.asked.iter().filter(|asked| asked.is_import()).collect();
        let imported = imports.last().map(|asked| asked.who.clone());
        match (imported, self.dice.random_range(0..3)) {
            (Some(name), 0) => name,
            _ => format!("m{}", self.below(PEOPLE)),
        }
    }

    async fn change(&mut self, at: usize) -> Held {
        self.plan_faults(at);
        self.plan_disk(at);
        let number = self.asked.len();
        let who = self.somebody();
        let what = match self.below(7) {
            0 | 1 => What::Create,
            2..5 => What::Rename(format!("N{number}")),
            5 => What::Switch { suspends: self.below(2) == 0 },
            _ => What::Remove,
        };
        let actor = Actor::Sidecar { uid: u32::try_from(number).unwrap() };
        let node = &self.nodes[at];
        let answer = ask(&node.store, actor, &id(&who), &what).await;
        let came = match answer {
            Ok(revision) => Came::Done(revision),
            // A process without power answers nobody.
            Err(_) if node.disk.is_off() => Came::Unclear,
            Err(failure) if failure.public.contains("was made") => Came::Made,
            Err(failure) if failure.code == LOG_UNCLEAR => Came::Unclear,
            Err(failure) if matches!(failure.kind, Kind::Busy | Kind::Internal) => Came::NotMade,
            Err(failure) => {
                // A refusal is of what the log has.
                let (applied, head) = (node.store.log_applied().await.unwrap(), self.log.head());
                let is_current = applied == Some(head);
                holds(is_current, || format!("{failure} at {applied:?}, the log is at {head:?}"))?;
                Came::NotMade
            }
        };
        if let Came::Done(revision) = came {
            let relied_on = &mut self.nodes[at].relied_on;
            *relied_on = revision.max(*relied_on);
        }
        self.asked.push(Asked { who, what, came });
        Ok(())
    }

    /// Heals everything, and lets all nodes follow.
    async fn settle(&mut self) -> Held {
        self.log.deliver_late();
        for node in &mut self.nodes {
            node.cut(false);
            node.line.plan([]);
            node.follow().await;
        }
        self.end_imports().await?;
        for node in &mut self.nodes {
            node.follow().await;
            node.listen()?;
        }
        Ok(())
    }

    /// All nodes have the same, and it is what was answered.
    async fn agree(&self) -> Held {
        let (first, mut told) = (&self.nodes[0], BTreeMap::new());
        for (at, node) in self.nodes.iter().enumerate() {
            let fault = node.store.log_fault();
            holds(fault.is_none(), || format!("node {at} stopped: {fault:?}"))?;
            let applied = node.store.log_applied().await.unwrap();
            holds(applied == Some(self.log.head()), || format!("node {at} is at {applied:?}"))?;
            let [one, other] = [first.store.content_digest(), node.store.content_digest()];
            let is_same = one.await.unwrap() == other.await.unwrap();
            holds(is_same, || format!("nodes 0 and {at} differ"))?;
            for (revision, change) in &node.told {
                let is_same = told.entry(revision).or_insert(change) == &change;
                holds(is_same, || format!("of {revision} node {at} was told {change:?}"))?;
            }
            let (known, kept) = (node.known, node.store.revision().await.unwrap().0);
            holds(known == kept, || format!("node {at} was told {known} of {kept}"))?;
        }
        self.join().await?;
        self.nothing_is_hidden().await?;
        self.other.check(&first.store).await?;
        history::check(&first.store, &self.asked).await
    }
}

/// Asks a store for a change; its revision.
async fn ask(
    store: &Store,
    actor: Actor,
    who: &MemberId,
    what: &What,
) -> Result<u64, kwic_team::domain::Failure> {
    let acme = slug("acme");
    let by = Preconditions::actor(actor);
    let target = MemberTarget { account: &acme, id: who, expected: None };
    Ok(match what {
        What::Create => {
            let new: Member = member("acme", who.as_str());
            store.member_create(&by.actor, new).await?.revision.0
        }
        What::Rename(to) => {
            let edit = MemberEdit { first_name: Some(name(to)), ..MemberEdit::default() };
            store.member_edit(&by, target, edit).await?.revision.0
        }
        What::Switch { suspends: true } => store.member_suspend(&by, target).await?.revision.0,
        What::Switch { suspends: false } => store.member_restore(&by, target).await?.revision.0,
        What::Remove => store.member_remove(&by, target).await?.revision.0,
        What::Import(_) => unreachable!("an import is asked for in parts"),
    })
}

/// All of a seed; what was asked.
async fn run(seed: u64, plant: Option<Plant>) -> Result<Vec<Asked>, String> {
    let mut fleet = Fleet::new(seed, plant).await;
    for step in 0..STEPS {
        fleet.step().await.map_err(|why| format!("seed {seed}, step {step}: {why}"))?;
    }
    let ended = match fleet.settle().await {
        Ok(()) => fleet.agree().await,
        fault => fault,
    };
    ended.map_err(|why| format!("seed {seed}, at the end: {why}"))?;
    Ok(fleet.asked)
}

#[tokio::test(start_paused = true)]
async fn three_nodes_agree_whatever_the_log_does() {
    let seeds = std::env::var("FLEET_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let (mut kinds, mut of_imports) = (HashSet::new(), HashSet::new());
    for seed in 0..seeds {
        let asked = run(seed, None).await.unwrap();
        kinds.extend(asked.iter().map(|asked| discriminant(&asked.came)));
        let imports = asked.iter().filter(|asked| asked.is_import());
        of_imports.extend(imports.map(|asked| discriminant(&asked.came)));
    }
    assert_eq!(kinds.len(), 4, "there are four kinds of answers");
    assert!(of_imports.len() >= 3, "an import was made, was not, or nobody knows");
}

#[tokio::test(start_paused = true)]
async fn every_planted_fault_is_found() {
    for plant in Plant::ALL {
        let mut found = None;
        for seed in 0..SEEDS_OF_PLANT {
            if let Err(why) = run(seed, Some(plant)).await {
                found = Some(why);
                break;
            }
        }
        println!("{plant:?}: {}", found.unwrap_or_else(|| panic!("{plant:?} was not found")));
    }
}

/// Acknowledged changes are lost with the tail, and nothing can be done about that here: but no node
/// goes on beside one that has another order.
#[tokio::test(start_paused = true)]
async fn who_knows_of_a_lost_tail_stops() {
    for seed in 0..SEEDS {
        let mut fleet = Fleet::new(seed, None).await;
        for _ in 0..STEPS / 2 {
            fleet.step().await.unwrap();
        }
        fleet.settle().await.unwrap();
        // Only one node has applied the tail.
        let (at, kept) = (fleet.below(NODES), fleet.log.head());
        let actor = Actor::Sidecar { uid: 1_000_000 };
        if seed % 2 == 0 {
            let new = member("acme", "lost");
            fleet.nodes[at].store.member_create(&actor, new).await.unwrap();
            fleet.log.lose_tail(1);
            assert_eq!(fleet.log.head(), kept);
        } else {
            fleet.lose_import(at).await;
        }
        let other = (at + 1) % NODES;
        // Of as many other changes as were lost, or more, each revision fits what was applied.
        for number in 0..seed / 2 % 3 {
            let new = member("acme", &format!("other{number}"));
            fleet.nodes[other].store.member_create(&actor, new).await.unwrap();
        }
        fleet.settle().await.unwrap();
        assert!(fleet.nodes[at].store.log_fault().is_some(), "seed {seed}");
        fleet.nothing_is_hidden().await.unwrap();
        let mut contents = Vec::new();
        for (at, node) in fleet.nodes.iter().enumerate() {
            if node.store.log_fault().is_none() {
                fleet.sees_whole_imports(at).await.unwrap();
                contents.push(node.store.content_digest().await.unwrap());
            }
        }
        assert_eq!(contents.len(), NODES - 1, "seed {seed}");
        assert_eq!(contents[0], contents[1], "seed {seed}");
    }
}
