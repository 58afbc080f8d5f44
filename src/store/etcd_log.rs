//! A shared log on etcd, by the JSON gateway that etcd offers beside gRPC.
//!
//! etcd does the consensus: an append is one transaction, which compares the head and puts head and
//! entry. Reads are linearizable but for that of a caller who was woken, head and entries in one transaction. Keys and values are in
//! [`rows`]. etcd's history is never compacted and its file never defragmented from here: a cluster
//! may have other users.
//!
//! Limits: an entry has up to [`ENTRY_BYTES_MAX`] bytes, which fits into etcd's request limit of
//! 1.5 MiB; a transaction has two operations.
//!
//! What may be wrong with a cluster is told in sentences for its operator. They name no password.

mod connection_settings;
mod endpoint;
mod fleet_objects;
mod gateway;
mod head_watch;
mod messages;
mod rows;
mod tls;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;

use self::gateway::{CallFault, Gateway, Outcome, Repeat};
use self::head_watch::HeadWatch;
use self::messages::{Compare, KeyValue, Operation, Range, Transaction, TransactionAnswer};
use self::rows::{HeadFault, Keys};
use super::shared_log::{
    Appended, ENTRY_BYTES_MAX, FleetLog, LogEntry, LogHead, LogPart, SharedLog,
};

pub use self::connection_settings::{
    CONNECT_TIMEOUT, ClientCertificate, EtcdLogin, EtcdSettings, PREFIX, REQUEST_TIMEOUT,
};
pub use self::rows::LogId;

/// The most bytes of entries that one read answers with, unless the first one alone has more.
const READ_BYTES_MAX: usize = 8 << 20;
/// How many entries the first request of a read asks for: etcd bounds an answer by their number
/// only, and so many of the largest size are within [`READ_BYTES_MAX`].
const READ_STEP: usize = 8;
/// The same of a later request, where entries were small.
const READ_STEP_MAX: usize = 64;
/// How many entries are deleted at once.
const TRIM_STEP: usize = 256;

/// A log on etcd. Its calls block, and none may be made on a thread of the runtime.
pub struct EtcdLog {
    gateway: Arc<Gateway>,
    keys: Keys,
    log: LogId,
    runtime: Handle,
    watch: OnceLock<HeadWatch>,
}

impl EtcdLog {
    /// The log with an id. Asks nothing of etcd yet: a node starts while etcd is away.
    ///
    /// # Errors
    /// Which setting is of no use, or which file cannot be read.
    pub fn new(settings: &EtcdSettings, log: LogId, runtime: Handle) -> Result<Self, String> {
        let gateway = Arc::new(Gateway::new(settings)?);
        let keys = Keys::new(settings.checked_prefix()?);
        Ok(Self { gateway, keys, log, runtime, watch: OnceLock::new() })
    }

    /// The log that is there, whichever it is, for a node that joins it.
    ///
    /// # Errors
    /// As [`Self::new`]; why etcd cannot be reached; that there is no log, or none that this version
    /// reads.
    pub fn find(settings: &EtcdSettings, runtime: Handle) -> Result<Self, String> {
        let mut log = Self::new(settings, LogId([0; 16]), runtime)?;
        let transaction = Transaction { success: vec![log.read_head()], ..Transaction::default() };
        let answer = log.transact(&transaction, Repeat::Harmless).map_err(|fault| fault.why)?;
        let (id, _, _) = log.any_head(answer.read().next())?;
        log.log = id;
        Ok(log)
    }

    /// Which log is there, and its head; `None`, where there is none.
    ///
    /// # Errors
    /// As [`Self::new`]; why etcd cannot be reached; that there is a log that this version cannot read.
    pub fn inspect(
        settings: &EtcdSettings,
        runtime: Handle,
    ) -> Result<Option<(LogId, LogHead)>, String> {
        let log = Self::new(settings, LogId([0; 16]), runtime)?;
        let transaction = Transaction { success: vec![log.read_head()], ..Transaction::default() };
        let answer = log.transact(&transaction, Repeat::Harmless).map_err(|fault| fault.why)?;
        let read = answer.read().next().unwrap_or_default();
        if read.is_empty() {
            return Ok(None);
        }
        log.any_head(Some(read)).map(|(id, head, _)| Some((id, head)))
    }

    /// Creates the log with its first head, where nothing is below the prefix. Never called by a node
    /// that joins. A second call with the same id and head is a success, too.
    ///
    /// # Errors
    /// That something is there already; why etcd does not take it; that it is not known whether it
    /// did: then call it again.
    pub fn create(&self, start: &LogHead) -> Result<(), String> {
        let value = rows::encode_head(self.log, start);
        let transaction = Transaction {
            compare: vec![Compare::has_nothing(&self.keys.all())],
            success: vec![Operation::put(&self.keys.head(), value.as_bytes())],
            failure: vec![self.read_head()],
        };
        // Once it was done, it is not done again.
        let answer =
            self.transact(&transaction, Repeat::Harmless).map_err(|fault| match fault.outcome {
                Outcome::Unknown | Outcome::Full => {
                    format!("it is not known whether the log was created: {}", fault.why)
                }
                _ => fault.why,
            })?;
        if answer.succeeded {
            return Ok(());
        }
        let found = answer.read().next().unwrap_or_default();
        let prefix = self.keys.prefix();
        match found.first() {
            Some(head) if head.value.0 == value.as_bytes() => Ok(()),
            Some(_) => Err(format!(
                "there is a log below `{prefix}` in etcd already: join it, or choose another prefix"
            )),
            None => Err(format!(
                "there are keys below `{prefix}` in etcd which are not of a log: choose another prefix, or delete them"
            )),
        }
    }

    /// The id of the log.
    #[must_use]
    pub fn id(&self) -> LogId {
        self.log
    }

    /// Waits until the head may have changed since the last wait ended, or for so long; whether it
    /// may. Says nothing reliable: who polls at that interval misses nothing. For one thread.
    #[must_use]
    pub fn wait_for_change(&self, limit: Duration) -> bool {
        let watch = self.watch.get_or_init(|| {
            HeadWatch::start(&self.runtime, self.gateway.clone(), self.keys.head())
        });
        self.runtime.block_on(async { timeout(limit, watch.changed()).await.is_ok() })
    }

    /// Deletes the entries up to an index, oldest first; answers how many. In steps: a fault leaves
    /// the log without its oldest entries, as a smaller index would.
    ///
    /// # Errors
    /// That the log does not reach that far; why etcd does not take it.
    pub fn trim(&self, up_to: u64) -> Result<u64, String> {
        let (head, _) = self.head()?;
        if up_to > head.index {
            return Err(format!(
                "the log ends at {}: nothing up to {up_to} is trimmed",
                head.index
            ));
        }
        let Range { key, .. } = self.keys.entries_from(0);
        self.delete(&Range { key, end: self.keys.entry(up_to.saturating_add(1)) }, TRIM_STEP)
    }

    /// Deletes the keys of a range, so many at once; answers how many.
    fn delete(&self, range: &Range, step: usize) -> Result<u64, String> {
        let mut deleted = 0_u64;
        loop {
            let keys = Operation::read_range(range, step, true);
            let transaction =
                Transaction { success: vec![self.read_head(), keys], ..Transaction::default() };
            let answer =
                self.transact(&transaction, Repeat::Harmless).map_err(|fault| fault.why)?;
            let mut read = answer.read();
            let (_, created) = self.own_head(read.next())?;
            let found = read.next().unwrap_or_default();
            let (Some(first), Some(last)) = (found.first(), found.last()) else {
                return Ok(deleted);
            };
            // The key right after the last one.
            let end = [last.key.0.as_slice(), &[0]].concat();
            let span = Range { key: first.key.0.clone(), end };
            let answer = self.change(&created, vec![Operation::delete(&span)])?;
            deleted = deleted.saturating_add(answer.deleted());
        }
    }

    /// A change that may be made twice; none, where another log took the place of the one whose head
    /// was created at that revision.
    fn change(&self, created: &str, success: Vec<Operation>) -> Result<TransactionAnswer, String> {
        let compare = vec![Compare::was_created_at(&self.keys.head(), created)];
        let transaction = Transaction { compare, success, failure: Vec::new() };
        let answer = self.transact(&transaction, Repeat::Harmless).map_err(|fault| fault.why)?;
        if answer.succeeded { Ok(answer) } else { Err("the log was replaced meanwhile".to_owned()) }
    }

    fn transact(
        &self,
        transaction: &Transaction,
        repeat: Repeat,
    ) -> Result<TransactionAnswer, CallFault> {
        self.runtime.block_on(self.gateway.transact(transaction, repeat))
    }

    fn read_head(&self) -> Operation {
        Operation::read(&self.keys.head())
    }

    /// The id of the log, its head, and the revision at which it was created.
    fn any_head(&self, read: Option<Vec<KeyValue>>) -> Result<(LogId, LogHead, String), String> {
        let Some(found) = read.unwrap_or_default().into_iter().next() else {
            return Err(format!(
                "there is no log below `{}` in etcd: create it with `kwic-team fleet init`, or check prefix and endpoints",
                self.keys.prefix()
            ));
        };
        match rows::decode_head(&found.value.0) {
            Ok((log, head)) => Ok((log, head, found.create_revision)),
            Err(HeadFault::Altered) => Err(self.altered()),
            Err(HeadFault::Format(format)) => Err(format!(
                "the log below `{}` in etcd has format {format}, and this version of kwic-team reads format {}: upgrade this node",
                self.keys.prefix(),
                rows::FORMAT
            )),
        }
    }

    /// As [`Self::any_head`], of this log only.
    fn own_head(&self, read: Option<Vec<KeyValue>>) -> Result<(LogHead, String), String> {
        let (log, head, created) = self.any_head(read)?;
        if log == self.log {
            return Ok((head, created));
        }
        Err(format!(
            "the log below `{}` in etcd is {log}, and this node follows {}: each deployment needs a prefix of its own",
            self.keys.prefix(),
            self.log
        ))
    }

    fn altered(&self) -> String {
        format!(
            "what is below `{}` in etcd was not written by kwic-team: it was altered, or belongs to another program",
            self.keys.prefix()
        )
    }

    /// The head, and the revision at which it was created.
    fn head(&self) -> Result<(LogHead, String), String> {
        let transaction = Transaction { success: vec![self.read_head()], ..Transaction::default() };
        let answer = self.transact(&transaction, Repeat::Harmless).map_err(|fault| fault.why)?;
        self.own_head(answer.read().next())
    }

    /// Whether an entry is in the log.
    fn has(&self, entry: &LogEntry) -> Result<bool, CallFault> {
        let read = Operation::read(&self.keys.entry(entry.head.index));
        let transaction = Transaction { success: vec![read], ..Transaction::default() };
        let found = self.transact(&transaction, Repeat::Harmless)?.read().next();
        let found = found.unwrap_or_default();
        Ok(found.first().is_some_and(|found| found.value.0 == rows::encode_entry(entry)))
    }

    /// Entries from an index on, up to a number of them, and the head.
    fn step(&self, from: u64, most: usize) -> Result<LogPart, CallFault> {
        self.step_by(from, most, Reader::Majority).map(|(part, _)| part)
    }

    /// The same, with the revision of the member that answers.
    fn step_by(&self, from: u64, most: usize, reader: Reader) -> Result<(LogPart, u64), CallFault> {
        let mut success = vec![self.read_head(), self.read_entries(from, most)];
        if reader == Reader::Nearby {
            success.iter_mut().for_each(Operation::take_what_the_member_has);
        }
        let transaction = Transaction { success, ..Transaction::default() };
        let answer = self.transact(&transaction, Repeat::Harmless)?;
        let revision = answer.header.revision().unwrap_or(0);
        let part = self.part(answer);
        part.map(|part| (part, revision))
            .map_err(|why| CallFault { outcome: Outcome::Rejected, why })
    }

    fn read_entries(&self, from: u64, most: usize) -> Operation {
        Operation::read_range(&self.keys.entries_from(from), most, false)
    }

    /// The head and the entries of an answer to a question for both.
    fn part(&self, answer: TransactionAnswer) -> Result<LogPart, String> {
        let mut read = answer.read();
        let (head, _) = self.own_head(read.next())?;
        let found = read.next().unwrap_or_default();
        let entries = found.iter().map(|found| {
            let index = self.keys.index_of(found);
            let entry = index.and_then(|index| rows::decode_entry(index, &found.value.0));
            entry.ok_or_else(|| self.altered())
        });
        Ok(LogPart { entries: entries.collect::<Result<_, _>>()?, head })
    }
}

impl SharedLog for EtcdLog {
    fn append(&self, before: &LogHead, entry: &LogEntry) -> Appended {
        if entry.bytes.len() > ENTRY_BYTES_MAX {
            return Appended::Refused(format!("an entry has at most {ENTRY_BYTES_MAX} bytes"));
        }
        // The index is the key: any other would leave a gap or write over an entry.
        if before.index.checked_add(1) != Some(entry.head.index) {
            return Appended::Refused("the entry is not the next one".to_owned());
        }
        let key = self.keys.head();
        let head = rows::encode_head(self.log, &entry.head);
        let transaction = Transaction {
            compare: vec![Compare::has_value(&key, rows::encode_head(self.log, before).as_bytes())],
            success: vec![
                Operation::put(&key, head.as_bytes()),
                Operation::put(&self.keys.entry(entry.head.index), &rows::encode_entry(entry)),
            ],
            // What other nodes were faster with comes with the answer: they need no second request.
            failure: vec![self.read_head(), self.read_entries(entry.head.index, READ_STEP)],
        };
        match self.transact(&transaction, Repeat::Never) {
            Ok(answer) if answer.succeeded => Appended::Made,
            Ok(answer) => match self.part(answer) {
                Ok(part) => Appended::Moved(Some(part)),
                Err(why) => Appended::Refused(why),
            },
            // The append that fills etcd is made, and answered as those after it are, which are not.
            Err(CallFault { outcome: Outcome::Full, why }) => match self.has(entry) {
                Ok(true) => Appended::Made,
                Ok(false) => Appended::Refused(why),
                Err(fault) => Appended::Unknown(format!("{why}; {}", fault.why)),
            },
            Err(CallFault { outcome, why }) => match outcome {
                Outcome::NotSent | Outcome::Rejected | Outcome::TokenExpired => {
                    Appended::Refused(why)
                }
                Outcome::Unknown | Outcome::TooLarge | Outcome::Full => Appended::Unknown(why),
            },
        }
    }

    /// Several requests where entries are small: the head is that of the last one.
    fn read(&self, after: u64, most: usize) -> Result<LogPart, String> {
        // No limit at all is what etcd takes 0 for.
        let from = after.saturating_add(1);
        let first = self.step(from, READ_STEP.min(most).max(1));
        let mut part = first.map_err(|fault| fault.why)?;
        let mut step = READ_STEP;
        while let Some(last) = part.entries.last().map(|entry| entry.head.index) {
            let left = most.saturating_sub(part.entries.len());
            let bytes: usize = part.entries.iter().map(|entry| entry.bytes.len()).sum();
            if last >= part.head.index || left == 0 || bytes > READ_BYTES_MAX / 2 {
                break;
            }
            step = step.saturating_mul(2).min(READ_STEP_MAX);
            let next = last.saturating_add(1);
            // What was read is an answer, too: the next read meets the fault again, and begins with
            // fewer entries where these are too large.
            let Ok(more) = self.step(next, step.min(left)) else { break };
            // Trimmed meanwhile.
            if more.entries.first().is_none_or(|entry| entry.head.index != next) {
                break;
            }
            part.entries.extend(more.entries);
            part.head = more.head;
        }
        part.entries.truncate(within_bytes(&part.entries).min(most));
        Ok(part)
    }

    /// `None` also where the member that answers lacks what the watch has told, as it may be another one.
    fn read_nearby(&self, after: u64, most: usize) -> Option<LogPart> {
        let told = self.watch.get()?.told();
        let most = READ_STEP.min(most).max(1);
        let read = self.step_by(after.saturating_add(1), most, Reader::Nearby);
        read.ok().filter(|(_, revision)| *revision >= told).map(|(part, _)| part)
    }

    fn objects(&self) -> Option<&dyn FleetLog> {
        Some(self)
    }
}

/// Who answers a read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// The member that is asked, after it has asked the others.
    Majority,
    /// The member that is asked, by what it has.
    Nearby,
}

/// How many of the first entries have no more bytes than one read answers with; the first one always.
fn within_bytes(entries: &[LogEntry]) -> usize {
    let mut bytes = 0_usize;
    let within = entries.iter().take_while(|entry| {
        bytes = bytes.saturating_add(entry.bytes.len());
        bytes <= READ_BYTES_MAX
    });
    within.count().max(1)
}
