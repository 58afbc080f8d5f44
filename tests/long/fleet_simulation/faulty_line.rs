//! A line to the log with a fault that the simulation must find: what a broken log, or a broken node
//! at the end of its line, would do.
//!
//! The program itself has no way to plant one.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kwic_team::domain::{Change, ChangedRecord};
use kwic_team::store::records::MemberRecord;
use kwic_team::store::records::shared_log_entry::{Difference, Entry, Told};
use kwic_team::store::shared_log::{Appended, FleetLog, LogEntry, LogHead, LogPart, SharedLog};

use crate::support::in_process_log::{InProcessLog, LogLine};

/// The number of the table of members.
const MEMBERS: u8 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plant {
    /// An append is made whatever the head is.
    AppendsWithoutComparing,
    /// What is unknown is taken for a failure.
    UnknownIsFailure,
    /// A node applies an entry twice.
    AppliesTwice,
    /// A node's feed tells a change before it is appended.
    TellsBeforeAppend,
    /// A node that has what the log has not writes a snapshot.
    SnapshotOfDiverged,
    /// The lease of a letter does not say which node has it, so the start of another one ends it, and
    /// the letter is sent twice.
    LeasesOfNoNode,
}

impl Plant {
    pub(super) const ALL: [Self; 6] = [
        Self::AppendsWithoutComparing,
        Self::UnknownIsFailure,
        Self::AppliesTwice,
        Self::TellsBeforeAppend,
        Self::SnapshotOfDiverged,
        Self::LeasesOfNoNode,
    ];
}

pub(super) struct PlantedLine {
    line: Arc<LogLine>,
    log: InProcessLog,
    plant: Option<Plant>,
    /// Told before the append.
    early: Mutex<Vec<Change>>,
    /// The node is on a replica of its own: what it appends comes to nobody else.
    fork: Mutex<Fork>,
}

#[derive(Default)]
struct Fork {
    is_open: bool,
    entries: Vec<LogEntry>,
}

impl PlantedLine {
    pub(super) fn new(line: &Arc<LogLine>, log: &InProcessLog, plant: Option<Plant>) -> Self {
        let (line, log) = (line.clone(), log.clone());
        Self { line, log, plant, early: Mutex::default(), fork: Mutex::default() }
    }

    pub(super) fn plants(&self, plant: Plant) -> bool {
        self.plant == Some(plant)
    }

    /// Puts the node on a replica of its own, from the log's head on.
    pub(super) fn fork(&self) {
        self.fork.lock().unwrap().is_open = true;
    }

    pub(super) fn take_early(&self) -> Vec<Change> {
        std::mem::take(&mut self.early.lock().unwrap())
    }
}

/// What of a change is about members.
fn members(change: &Difference) -> Vec<ChangedRecord> {
    let mut records = Vec::new();
    for told in &change.told {
        match told {
            Told::Row { table: MEMBERS, key } => {
                let row = change.rows.iter().find(|row| row.table == MEMBERS && row.key == *key);
                // The key is the id, a zero byte, and another one.
                let id = std::str::from_utf8(&key[..key.len() - 2]).unwrap();
                let bytes = row.unwrap().value.as_ref().unwrap();
                records
                    .push(ChangedRecord::Member(MemberRecord::decode(id, bytes).unwrap().member));
            }
            Told::MemberGone { id, account } => {
                let (id, account) = (id.clone(), account.clone());
                records.push(ChangedRecord::MemberGone { id, account });
            }
            _ => {}
        }
    }
    records
}

impl SharedLog for PlantedLine {
    fn append(&self, before: &LogHead, entry: &LogEntry) -> Appended {
        let mut fork = self.fork.lock().unwrap();
        if fork.is_open {
            fork.entries.push(entry.clone());
            return Appended::Made;
        }
        drop(fork);
        match self.plant {
            Some(Plant::AppendsWithoutComparing) if self.log.head() != *before => {
                self.log.force(before, entry);
                return Appended::Made;
            }
            Some(Plant::TellsBeforeAppend) => {
                let plain = self.log.seal().open_entry(before, entry).unwrap();
                for change in Entry::decode(&plain).unwrap().changes {
                    let Some(revision) = change.revision else { continue };
                    let rows = members(&change);
                    // What is told of accounts is not known here.
                    if rows.is_empty() {
                        continue;
                    }
                    self.early.lock().unwrap().push(Change { revision, rows });
                }
            }
            _ => {}
        }
        match self.line.append(before, entry) {
            Appended::Unknown(why) if self.plant == Some(Plant::UnknownIsFailure) => {
                Appended::Refused(why)
            }
            outcome => outcome,
        }
    }

    fn read(&self, after: u64, most: usize) -> Result<LogPart, String> {
        let mut part = self.line.read(after, most)?;
        if let Some(head) = self.fork.lock().unwrap().entries.last().map(|last| last.head) {
            part = LogPart { entries: Vec::new(), head };
        }
        if self.plant == Some(Plant::AppliesTwice)
            && let [entry] = &part.entries[..]
        {
            let again = self.log.moved(entry, &self.log.head_before(entry), &entry.head);
            part.head = again.head;
            part.entries.push(again);
        }
        Ok(part)
    }

    fn read_nearby(&self, after: u64, most: usize) -> Option<LogPart> {
        match self.plant {
            Some(_) => self.read(after, most).ok(),
            None => self.line.read_nearby(after, most),
        }
    }
}

/// Objects are those of the line.
impl FleetLog for PlantedLine {
    fn wait_for_change(&self, at_most: Duration) {
        self.line.wait_for_change(at_most);
    }

    fn trim(&self, through: u64) -> Result<(), String> {
        self.line.trim(through)
    }

    fn put_object(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        self.line.put_object(name, bytes)
    }

    fn object(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        self.line.object(name)
    }

    fn object_names(&self, prefix: &str) -> Result<Vec<String>, String> {
        self.line.object_names(prefix)
    }

    fn remove_object(&self, name: &str) -> Result<(), String> {
        self.line.remove_object(name)
    }
}
