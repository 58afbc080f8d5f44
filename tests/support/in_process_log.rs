//! A shared log in memory, whose faults a test chooses: it loses requests and answers, delivers late
//! or twice, refuses, is cut off from a node, and forgets its tail as a replica does that takes over.
//!
//! Never waits, and does nothing by chance: a run with the same choices is the same run.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use kwic_team::domain::Digest;
use kwic_team::store::shared_log::{Appended, LogEntry, LogHead, LogPart, SharedLog};

/// What happens to one append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendFault {
    /// It does not arrive.
    LostRequest,
    /// It arrives; its answer does not.
    LostAnswer,
    /// It arrives when [`InProcessLog::deliver_late`] is called; the caller waits no longer.
    Late,
    /// It arrives twice, and the second answer is heard.
    Twice,
    /// The log takes nothing.
    Refused,
}

/// The log; clones are the same log.
#[derive(Clone, Default)]
pub struct InProcessLog(Arc<Mutex<LogState>>);

#[derive(Default)]
struct LogState {
    entries: Vec<LogEntry>,
    /// Appends on their way.
    late: Vec<(LogHead, LogEntry)>,
}

impl LogState {
    fn head(&self) -> LogHead {
        self.entries.last().map_or(InProcessLog::start(), |entry| entry.head)
    }

    fn append(&mut self, before: &LogHead, entry: &LogEntry) -> Appended {
        if self.head() != *before {
            return Appended::Moved;
        }
        self.entries.push(entry.clone());
        Appended::Made
    }
}

impl InProcessLog {
    /// The head before the first entry.
    pub fn start() -> LogHead {
        LogHead { index: 0, authenticator: Digest::of(&[b"the log of a test"]) }
    }

    fn state(&self) -> MutexGuard<'_, LogState> {
        self.0.lock().unwrap()
    }

    pub fn head(&self) -> LogHead {
        self.state().head()
    }

    pub fn entries(&self) -> Vec<LogEntry> {
        self.state().entries.clone()
    }

    /// Appends without comparing, as a broken log would, and as the next entry of its own.
    pub fn force(&self, entry: &LogEntry) {
        let mut state = self.state();
        let entry = LogEntry::after(&state.head(), entry.id, entry.bytes.to_vec());
        state.entries.push(entry);
    }

    /// Delivers what is on its way.
    pub fn deliver_late(&self) {
        let mut state = self.state();
        for (before, entry) in std::mem::take(&mut state.late) {
            state.append(&before, &entry);
        }
    }

    /// A replica takes over that lacks the last entries.
    pub fn lose_tail(&self, count: usize) {
        let mut state = self.state();
        let left = state.entries.len().saturating_sub(count);
        state.entries.truncate(left);
    }

    /// The first entries are gone.
    pub fn trim(&self, count: usize) {
        self.state().entries.drain(..count);
    }
}

/// A node's line to the log.
pub struct LogLine {
    log: InProcessLog,
    line: Mutex<LineState>,
}

#[derive(Default)]
struct LineState {
    faults: VecDeque<AppendFault>,
    is_cut: bool,
}

impl LogLine {
    pub fn new(log: &InProcessLog) -> Arc<Self> {
        Arc::new(Self { log: log.clone(), line: Mutex::default() })
    }

    /// What happens to the next appends, one after another; then they are sound.
    pub fn plan(&self, faults: impl IntoIterator<Item = AppendFault>) {
        self.line.lock().unwrap().faults = faults.into_iter().collect();
    }

    /// Cuts the node off, or joins it again.
    pub fn cut(&self, is_cut: bool) {
        self.line.lock().unwrap().is_cut = is_cut;
    }
}

impl SharedLog for LogLine {
    fn append(&self, before: &LogHead, entry: &LogEntry) -> Appended {
        let fault = {
            let mut line = self.line.lock().unwrap();
            if line.is_cut {
                return Appended::Unknown("the line is cut".to_owned());
            }
            line.faults.pop_front()
        };
        let mut state = self.log.state();
        let lost = || Appended::Unknown("no answer came".to_owned());
        match fault {
            None => state.append(before, entry),
            Some(AppendFault::LostRequest) => lost(),
            Some(AppendFault::LostAnswer) => {
                state.append(before, entry);
                lost()
            }
            Some(AppendFault::Late) => {
                state.late.push((*before, entry.clone()));
                lost()
            }
            Some(AppendFault::Twice) => {
                state.append(before, entry);
                state.append(before, entry)
            }
            Some(AppendFault::Refused) => Appended::Refused("the log is full".to_owned()),
        }
    }

    fn read(&self, after: u64, most: usize) -> Result<LogPart, String> {
        if self.line.lock().unwrap().is_cut {
            return Err("the line is cut".to_owned());
        }
        let state = self.log.state();
        let behind = state.entries.iter().filter(|entry| entry.head.index > after);
        Ok(LogPart { entries: behind.take(most).cloned().collect(), head: state.head() })
    }
}
