//! A line to the log with a fault that the simulation must find: what a broken log, or a broken node
//! at the end of its line, would do.
//!
//! The program itself has no way to plant one.

use std::sync::{Arc, Mutex};

use kwic_team::domain::{Change, ChangedRecord};
use kwic_team::store::records::MemberRecord;
use kwic_team::store::records::entry::{Difference, Entry, Told};
use kwic_team::store::shared_log::{Appended, LogEntry, LogHead, LogPart, SharedLog};

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
}

impl Plant {
    pub(super) const ALL: [Self; 4] = [
        Self::AppendsWithoutComparing,
        Self::UnknownIsFailure,
        Self::AppliesTwice,
        Self::TellsBeforeAppend,
    ];
}

pub(super) struct PlantedLine {
    line: Arc<LogLine>,
    log: InProcessLog,
    plant: Option<Plant>,
    /// Told before the append.
    early: Mutex<Vec<Change>>,
}

impl PlantedLine {
    pub(super) fn new(line: &Arc<LogLine>, log: &InProcessLog, plant: Option<Plant>) -> Self {
        Self { line: line.clone(), log: log.clone(), plant, early: Mutex::default() }
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
        match self.plant {
            Some(Plant::AppendsWithoutComparing) if self.log.head() != *before => {
                self.log.force(entry);
                return Appended::Made;
            }
            Some(Plant::TellsBeforeAppend) => {
                for change in Entry::decode(&entry.bytes).unwrap().changes {
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
        if self.plant == Some(Plant::AppliesTwice)
            && let [entry] = &part.entries[..]
        {
            let again = LogEntry::after(&entry.head, entry.id, entry.bytes.to_vec());
            part.head = again.head;
            part.entries.push(again);
        }
        Ok(part)
    }
}
