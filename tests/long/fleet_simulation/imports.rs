//! Imports in the simulation: members who come in parts, on any node, between all that happens to it.
//!
//! Each import has one member whom other changes are about too, as soon as it was begun, and may have
//! one of the people of all other changes. Nobody else touches its other members, so a node sees all
//! of these, or none.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kwic_team::domain::{Actor, Digest, Failure, Kind};
use kwic_team::store::change_feed::LoadedRecord;
use kwic_team::store::{Committed, ImportPart, ImportRow, LOG_UNCLEAR, MemberFilter, Store};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::history::{Asked, Came, What};
use super::{Fleet, Held, NODES, Node, PEOPLE, holds};
use crate::support::in_process_log::AppendFault;
use crate::support::store_fixture::{DAY, MINUTE, member, slug};

/// Members of one part.
const PART: usize = 2;
/// More tries than an import makes.
const MANY: usize = 400;
/// Until an import waits for its file or before its next try, for some tries more, and for all.
const WAITS: [Duration; 3] =
    [Duration::from_millis(1), Duration::from_secs(3), Duration::from_secs(200)];

/// An import that runs on a node.
pub(super) struct Import {
    /// Its place in the list of what was asked.
    number: usize,
    /// The parts of its file that were not sent.
    left: VecDeque<ImportPart>,
    /// None once the file has broken off.
    file: Option<mpsc::Sender<ImportPart>>,
    running: JoinHandle<Result<Committed<u64>, Failure>>,
}

impl Import {
    fn begin(store: &Store, number: usize, names: &[String]) -> Self {
        let (file, parts) = mpsc::channel(names.len() + 1);
        let row = |(name, line): (&String, u64)| ImportRow { line, member: member("acme", name) };
        let rows: Vec<ImportRow> = names.iter().zip(0..).map(row).collect();
        let mut left: VecDeque<ImportPart> =
            rows.chunks(PART).map(|rows| ImportPart::Rows(rows.to_vec())).collect();
        left.push_back(ImportPart::End { digest: Digest::of(&[b"file"]) });
        let (store, actor) = (store.clone(), actor(number));
        let running =
            tokio::spawn(
                async move { store.member_import_staged(&actor, &slug("acme"), parts).await },
            );
        Self { number, left, file: Some(file), running }
    }

    /// Sends what comes next of the file.
    fn send(&mut self) {
        if let (Some(file), Some(part)) = (&self.file, self.left.pop_front()) {
            // An import that was refused listens no more.
            let _ = file.try_send(part);
        }
    }

    /// Whether its end was sent: else nothing of it can be made.
    fn may_be_made(&self) -> bool {
        self.left.is_empty()
    }
}

fn actor(number: usize) -> Actor {
    Actor::Sidecar { uid: u32::try_from(number).unwrap() }
}

/// The ids of an import: the first is that of a member whom others change, too.
fn names(number: usize, count: usize) -> Vec<String> {
    (0..count).map(|member| format!("i{number}-{member}")).collect()
}

/// Whether other changes are about a member of an import.
fn is_shared(name: &str) -> bool {
    name.starts_with('m') || name.ends_with("-0")
}

/// What a refusal says must be about members whom others make, too.
fn is_refusal_of(import: &Import, names: &[String], fault: &Failure) -> bool {
    let of_shared = |(line, _): &(String, String)| {
        let line = line.trim_start_matches("line ").parse::<usize>();
        line.is_ok_and(|line| names.get(line).is_some_and(|name| is_shared(name)))
    };
    (!fault.fields.is_empty() || import.file.is_none()) && fault.fields.iter().all(of_shared)
}

fn came(
    import: &Import,
    names: &[String],
    answer: Result<Committed<u64>, Failure>,
) -> Result<Came, String> {
    let fault = match answer {
        Ok(done) if done.value == names.len() as u64 => return Ok(Came::Done(done.revision.0)),
        Ok(done) => return Err(format!("{} of {names:?} were imported", done.value)),
        Err(fault) => fault,
    };
    let came = match (fault.kind, fault.code) {
        _ if fault.public.contains("was made") => Came::Made,
        (_, LOG_UNCLEAR) => Came::Unclear,
        (Kind::Invalid, "import_refused") if is_refusal_of(import, names, &fault) => Came::NotMade,
        (Kind::Busy | Kind::Internal, _) => Came::NotMade,
        _ => return Err(format!("the import of {names:?} came to {fault:?}")),
    };
    let fits = came == Came::NotMade || import.may_be_made();
    holds(fits, || format!("the import of {names:?} has not ended, and came to {fault:?}"))?;
    Ok(came)
}

impl Fleet {
    /// Begins an import on a node, or goes on with it; or a node tidies up behind others.
    pub(super) async fn import(&mut self, at: usize) -> Held {
        self.plan_faults(at);
        self.plan_disk(at);
        let left = self.nodes[at].import.as_ref().map_or(PART, |import| import.left.len());
        // The end comes alone, and then most is to be feared.
        if self.below(if left == 1 { 2 } else { 8 }) == 0 {
            let first = [AppendFault::Late, AppendFault::LostAnswer][self.below(2)];
            let rest = std::iter::repeat_n(AppendFault::Refused, self.below(2) * MANY + 2);
            self.nodes[at].line.plan(std::iter::once(first).chain(rest));
        }
        let (sent, is_cut_off) = (1 + self.below(3), self.below(12) == 0);
        let sent = if left > 1 { sent.min(left - 1) } else { sent };
        let wait = WAITS[self.below(WAITS.len())];
        if self.below(8) == 0 {
            self.nodes[at].clock.advance_ms(11 * MINUTE);
            let _ = self.nodes[at].store.imports_sweep().await;
            return Ok(());
        }
        if self.nodes[at].import.is_none() {
            self.begin_import(at);
        }
        if let Some(import) = &mut self.nodes[at].import {
            (0..sent).for_each(|_| import.send());
            if is_cut_off && !import.may_be_made() {
                import.file = None;
            }
        }
        // The time of the test goes on once nothing else can.
        sleep(wait).await;
        self.hear_of_import(at).await
    }

    fn begin_import(&mut self, at: usize) {
        let number = self.asked.len();
        let mut names = names(number, PART * (1 + self.below(3)));
        if self.below(4) == 0 {
            let place = 1 + self.below(names.len() - 1);
            names[place] = format!("m{}", self.below(PEOPLE));
        }
        self.nodes[at].import = Some(Import::begin(&self.nodes[at].store, number, &names));
        let (who, what) = (names[0].clone(), What::Import(names));
        self.asked.push(Asked { who, what, came: Came::NotMade });
    }

    /// Takes the outcome of an import that has ended.
    async fn hear_of_import(&mut self, at: usize) -> Held {
        if self.nodes[at].disk.is_off() {
            self.end_import(at).await;
        }
        let ended = self.nodes[at].import.take_if(|import| import.running.is_finished());
        let Some(mut import) = ended else { return Ok(()) };
        let answer = (&mut import.running).await.unwrap();
        let asked = &mut self.asked[import.number];
        let What::Import(names) = &asked.what else { unreachable!("an import was asked for") };
        asked.came = came(&import, names, answer)?;
        Ok(())
    }

    /// The process of an import ends, and nobody hears what came of it.
    pub(super) async fn end_import(&mut self, at: usize) {
        let Some(import) = self.nodes[at].import.take() else { return };
        import.running.abort();
        let _ = import.running.await;
        if import.left.is_empty() {
            self.asked[import.number].came = Came::Unclear;
        }
    }

    /// Lets all imports end, and tidies up behind them.
    pub(super) async fn end_imports(&mut self) -> Held {
        for at in 0..NODES {
            if let Some(import) = &mut self.nodes[at].import {
                import.file = None;
                sleep(WAITS[2]).await;
            }
            self.hear_of_import(at).await?;
            holds(self.nodes[at].import.is_none(), || {
                format!("an import on node {at} has no end")
            })?;
        }
        self.nodes.iter().for_each(|node| node.clock.advance_ms(DAY));
        let Some(sound) = self.sound() else { return Ok(()) };
        while sound.store.imports_sweep().await.map_err(|fault| fault.to_string())?.value {}
        Ok(())
    }

    /// A node that follows the log.
    fn sound(&self) -> Option<&Node> {
        self.nodes.iter().find(|node| node.store.log_fault().is_none())
    }

    /// A node imports, to the end of its file or not, and the log loses some entries of that which no
    /// other node has.
    pub(super) async fn lose_import(&mut self, at: usize) {
        let (before, sent) = (self.log.head().index, self.below(5));
        self.begin_import(at);
        if let Some(import) = &mut self.nodes[at].import {
            (0..sent).for_each(|_| import.send());
        }
        sleep(WAITS[0]).await;
        let entries = usize::try_from(self.log.head().index - before).unwrap();
        let lost = 1 + self.below(entries);
        self.log.lose_tail(lost);
    }

    /// A node sees all members of an import that nobody else touches, or none.
    pub(super) async fn sees_whole_imports(&self, at: usize) -> Held {
        let acme = slug("acme");
        let page = self.nodes[at].store.members(&acme, &MemberFilter::default(), None, 1_000).await;
        // The disk may fail here.
        let Ok(page) = page else { return Ok(()) };
        let ids: Vec<&str> = page.items.iter().map(|member| member.id.as_str()).collect();
        for asked in &self.asked {
            let What::Import(names) = &asked.what else { continue };
            let mut own = names.iter().filter(|name| !is_shared(name));
            let first = own.next().is_some_and(|name| ids.contains(&name.as_str()));
            let is_alike = own.all(|name| ids.contains(&name.as_str()) == first);
            holds(is_alike, || format!("node {at} has {ids:?}, a part of {asked:?}"))?;
        }
        Ok(())
    }

    /// Nothing is left of imports that were not made.
    pub(super) async fn nothing_is_hidden(&self) -> Held {
        let (hidden, store) = (Arc::new(AtomicUsize::new(0)), &self.sound().unwrap().store);
        let count = hidden.clone();
        let load = store.load(move |record| {
            match record {
                LoadedRecord::Coming(rows) => count.fetch_add(rows, Ordering::Relaxed),
                LoadedRecord::Members(seen) => count.fetch_sub(seen.len(), Ordering::Relaxed),
                _ => 0,
            };
        });
        load.await.unwrap();
        let (hidden, is_importing) = (hidden.load(Ordering::Relaxed), store.is_importing().await);
        let is_clean = hidden == 0 && !is_importing.unwrap();
        holds(is_clean, || format!("{hidden} members are left of imports that were not made"))
    }
}
