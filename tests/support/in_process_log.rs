//! A shared log in memory, whose faults a test chooses: it loses requests and answers, delivers late
//! or twice, refuses, is cut off from a node, and forgets its tail as a replica does that takes over.
//!
//! Never waits, and does nothing by chance: a run with the same choices is the same run.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use kwic_team::domain::Timestamp;
use kwic_team::entropy;
use kwic_team::fleet::key_cipher::FleetCipher;
use kwic_team::keys::Keys;
use kwic_team::keys::epoch_keys::EpochKeys;
use kwic_team::store::Store;
use kwic_team::store::records::fleet_membership::FleetMembership;
use kwic_team::store::records::shared_log_entry::Entry;
use kwic_team::store::records::shared_log_position::LogPosition;
use kwic_team::store::shared_log::{
    Appended, EntryId, FleetLog, LogEntry, LogHead, LogId, LogPart, NodeId, SharedLog,
};
use kwic_team::store::shared_log_encryption::LogSeal;

/// The log of a test.
pub const LOG: LogId = LogId(*b"the log of tests");

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
#[derive(Clone)]
pub struct InProcessLog {
    id: LogId,
    state: Arc<Mutex<LogState>>,
    keys: Arc<FleetCipher>,
}

impl Default for InProcessLog {
    fn default() -> Self {
        Self::sealed_with(passing_keys())
    }
}

/// Keys of one process.
pub fn passing_keys() -> Arc<FleetCipher> {
    Arc::new(FleetCipher::new(Keys::passing().unwrap(), EpochKeys::passing().unwrap()))
}

/// The keys of a folder.
pub fn keys_in(folder: &Path) -> Arc<FleetCipher> {
    let (keys, epochs) = (Keys::read(folder).unwrap(), EpochKeys::read(folder).unwrap());
    Arc::new(FleetCipher::new(keys, epochs))
}

struct LogState {
    /// What the first entry follows that was not trimmed.
    start: LogHead,
    entries: Vec<LogEntry>,
    /// Appends on their way.
    late: Vec<(LogHead, LogEntry)>,
    objects: BTreeMap<String, Vec<u8>>,
}

impl LogState {
    fn head(&self) -> LogHead {
        self.entries.last().map_or(self.start, |entry| entry.head)
    }

    fn append(&mut self, before: &LogHead, entry: &LogEntry) -> Appended {
        if self.head() != *before {
            // Some engines tell what they have, others wait to be asked.
            let behind = self.entries.iter().filter(|entry| entry.head.index > before.index);
            let told = || LogPart { entries: behind.take(8).cloned().collect(), head: self.head() };
            return Appended::Moved(entry.head.index.is_multiple_of(2).then(told));
        }
        self.entries.push(entry.clone());
        Appended::Made
    }
}

impl LogState {
    /// The first entries are gone.
    fn trim(&mut self, count: usize) {
        self.start = self.entries.drain(..count).next_back().map_or(self.start, |last| last.head);
    }
}

impl InProcessLog {
    /// An empty log, for nodes with these keys.
    pub fn sealed_with(keys: Arc<FleetCipher>) -> Self {
        Self::of(LOG, keys)
    }

    /// The same, of another name.
    pub fn of(id: LogId, keys: Arc<FleetCipher>) -> Self {
        let (entries, late, objects) = (Vec::new(), Vec::new(), BTreeMap::new());
        let state = LogState { start: id.start(), entries, late, objects };
        Self { id, state: Arc::new(Mutex::new(state)), keys }
    }

    /// The same log, for nodes with other keys.
    pub fn with_keys(&self, keys: Arc<FleetCipher>) -> Self {
        Self { id: self.id, state: self.state.clone(), keys }
    }

    /// The keys of the nodes.
    pub fn keys(&self) -> Arc<FleetCipher> {
        self.keys.clone()
    }

    /// The head before the first entry.
    pub fn start() -> LogHead {
        LOG.start()
    }

    /// The seal of the nodes.
    pub fn seal(&self) -> LogSeal {
        LogSeal::new(self.id, self.keys.clone())
    }

    /// Has a store follow the log by a line; from the beginning, if it is in no fleet.
    pub async fn join(&self, store: &Store, line: Arc<dyn SharedLog>) {
        if store.fleet().await.unwrap().is_none() {
            let node = NodeId(entropy::random().unwrap());
            let applied = LogPosition { head: self.id.start(), at: Timestamp(i64::MIN) };
            store.enter_fleet(FleetMembership { log: self.id, node }, applied).await.unwrap();
        }
        store.join_log(line, self.keys()).await.unwrap();
    }

    /// What the entries say.
    pub fn plain_entries(&self) -> Vec<Entry> {
        let mut before = Self::start();
        let opened = self.entries().into_iter().map(|entry| {
            let plain = self.seal().open_entry(&before, &entry).unwrap();
            before = entry.head;
            Entry::decode(&plain).unwrap()
        });
        opened.collect()
    }

    /// An entry that was sealed to follow one head, sealed to follow another one.
    pub fn moved(&self, entry: &LogEntry, from: &LogHead, to: &LogHead) -> LogEntry {
        let plain = self.seal().open_entry(from, entry).unwrap();
        self.seal().entry(to, entry.id, &plain).unwrap()
    }

    /// Appends bytes as somebody would who can write the log: with a chain that is right.
    pub fn write(&self, id: EntryId, bytes: Vec<u8>) {
        let mut state = self.state();
        let entry = LogEntry::after(&state.head(), id, bytes);
        state.entries.push(entry);
    }

    fn state(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap()
    }

    pub fn head(&self) -> LogHead {
        self.state().head()
    }

    /// The head that an entry of the log follows.
    pub fn head_before(&self, entry: &LogEntry) -> LogHead {
        let entries = self.entries();
        let before = entries.iter().find(|one| one.head.index + 1 == entry.head.index);
        before.map_or(Self::start(), |before| before.head)
    }

    pub fn entries(&self) -> Vec<LogEntry> {
        self.state().entries.clone()
    }

    /// Appends without comparing, as a broken log would, and as the next entry of its own.
    pub fn force(&self, before: &LogHead, entry: &LogEntry) {
        let mut state = self.state();
        let entry = self.moved(entry, before, &state.head());
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
        self.state().trim(count);
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
    /// What the nearest server lacks, in entries.
    lag: usize,
    /// After so many more objects the line is cut.
    objects_left: Option<usize>,
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
        let mut line = self.line.lock().unwrap();
        (line.is_cut, line.objects_left) = (is_cut, None);
    }

    /// The nearest server lacks so many of the last entries.
    pub fn set_lag(&self, entries: usize) {
        self.line.lock().unwrap().lag = entries;
    }

    /// Cuts the node off once it has kept so many more objects.
    pub fn cut_after_objects(&self, count: usize) {
        self.line.lock().unwrap().objects_left = Some(count);
    }
}

impl LogLine {
    /// The state of the log, unless the line is cut.
    fn reached(&self) -> Result<MutexGuard<'_, LogState>, String> {
        if self.line.lock().unwrap().is_cut {
            return Err("the line is cut".to_owned());
        }
        Ok(self.log.state())
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
        let state = self.reached()?;
        let behind = state.entries.iter().filter(|entry| entry.head.index > after);
        Ok(LogPart { entries: behind.take(most).cloned().collect(), head: state.head() })
    }

    fn read_nearby(&self, after: u64, most: usize) -> Option<LogPart> {
        let lag = self.line.lock().unwrap().lag;
        let state = self.reached().ok()?;
        let has = &state.entries[..state.entries.len().saturating_sub(lag)];
        let head = has.last().map_or(state.start, |entry| entry.head);
        let behind = has.iter().filter(|entry| entry.head.index > after);
        Some(LogPart { entries: behind.take(most).cloned().collect(), head })
    }

    fn objects(&self) -> Option<&dyn FleetLog> {
        Some(self)
    }
}

impl FleetLog for LogLine {
    fn wait_for_change(&self, at_most: Duration) {
        thread::sleep(at_most.min(Duration::from_millis(5)));
    }

    fn trim(&self, through: u64) -> Result<(), String> {
        let mut state = self.reached()?;
        let gone = state.entries.iter().filter(|entry| entry.head.index <= through).count();
        state.trim(gone);
        Ok(())
    }

    fn put_object(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        {
            let mut line = self.line.lock().unwrap();
            match line.objects_left {
                Some(0) => line.is_cut = true,
                Some(left) => line.objects_left = Some(left - 1),
                None => {}
            }
        }
        self.reached()?.objects.insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn object(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(self.reached()?.objects.get(name).cloned())
    }

    fn object_names(&self, prefix: &str) -> Result<Vec<String>, String> {
        let state = self.reached()?;
        Ok(state.objects.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }

    fn remove_object(&self, name: &str) -> Result<(), String> {
        self.reached()?.objects.remove(name);
        Ok(())
    }
}
