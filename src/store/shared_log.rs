//! The shared log: one order of entries for many nodes, each with a file of its own.
//!
//! A log keeps entries and knows nothing of what they say: they are sealed. Whatever is behind this does the
//! consensus; nothing here does.
//!
//! # What a log promises
//!
//! - There is one [`LogHead`]. An append names the head that it follows, and compares and replaces it
//!   in one operation: of two appends after the same head, one is made. "There is no entry with the
//!   next index" is not that comparison: where old entries are trimmed, it lets a node that slept
//!   append into the past.
//! - An entry that was appended is kept until it is trimmed from the front, and never changes.
//! - [`SharedLog::read`] sees every append that was answered before it began.
//! - A request may arrive late, twice, or after its caller stopped waiting; an answer may be lost.
//!
//! # What a node does at each outcome of an append
//!
//! | outcome | what it means | what the node does |
//! | --- | --- | --- |
//! | [`Appended::Made`] | the entry is the head's next | applies it, as any other entry, and answers |
//! | [`Appended::Moved`] | this request appended nothing | looks for the entry's id behind the head that it named, as an earlier delivery of the same request may have appended it; if it is not there, applies what came and runs its changes again |
//! | [`Appended::Refused`] | this request appended nothing, and none like it would | answers that nothing was changed, unless an earlier try is unknown |
//! | [`Appended::Unknown`] | it may be appended, now or later | tries the same entry after the same head again, which cannot append it twice; in the end answers that the change may have been made |
//!
//! An outcome is known by the entry's id at its index, never by "the log is that long". An unknown
//! entry needs no bookkeeping: once another entry follows the head that it named, it can no longer be
//! appended.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::Digest;

/// The most entries that are read at once.
pub const READ_MAX: usize = 256;
/// The most bytes of an entry.
pub const ENTRY_BYTES_MAX: usize = 1 << 20;
/// The most bytes of an object beside the log.
pub const OBJECT_BYTES_MAX: usize = 1 << 20;

/// Names an entry: random, so that no other entry of any node has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntryId(pub [u8; 16]);

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Names a log: random, so that no other log of any team has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogId(pub [u8; 16]);

impl LogId {
    /// The head of this log before its first entry.
    #[must_use]
    pub fn start(&self) -> LogHead {
        LogHead { index: 0, authenticator: Digest::of(&[b"log", &self.0]) }
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Names a node of a fleet: random, so that no other node has it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 16]);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A place in a log: what is there up to and with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogHead {
    /// The index of the entry; 0 before the first one.
    pub index: u64,
    /// Authenticates the entry and all before it.
    pub authenticator: Digest,
}

impl LogHead {
    /// The head with an entry after this one.
    #[must_use]
    pub fn with(&self, id: EntryId, bytes: &[u8]) -> Self {
        let index = self.index.saturating_add(1);
        let parts: [&[u8]; 4] = [&self.authenticator.0, &index.to_le_bytes(), &id.0, bytes];
        Self { index, authenticator: Digest::of(&parts) }
    }
}

/// One entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its name.
    pub id: EntryId,
    /// The head with it.
    pub head: LogHead,
    /// What it says, sealed ([`super::shared_log_encryption`]).
    pub bytes: Arc<[u8]>,
}

impl LogEntry {
    /// An entry to be appended after a head.
    #[must_use]
    pub fn after(before: &LogHead, id: EntryId, bytes: Vec<u8>) -> Self {
        Self { id, head: before.with(id, &bytes), bytes: bytes.into() }
    }

    /// Whether it is what follows a head.
    #[must_use]
    pub fn follows(&self, before: &LogHead) -> bool {
        self.head == before.with(self.id, &self.bytes)
    }
}

/// What came of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is the head.
    Made,
    /// The head is another one than it named. With what follows the one that it named, as [`SharedLog::read`]
    /// answers it, where the engine tells that at once.
    Moved(Option<LogPart>),
    /// The log does not take it, and says why.
    Refused(String),
    /// It is not known, and why.
    Unknown(String),
}

/// A part of a log, and its head at that time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPart {
    /// In the order of indexes, without a gap. They begin with the next one after what was asked for,
    /// unless that was trimmed.
    pub entries: Vec<LogEntry>,
    /// The head.
    pub head: LogHead,
}

/// A log that many nodes append to. The calls block: none is made on a thread that decides.
pub trait SharedLog: Send + Sync {
    /// Appends an entry, if the head is still `before`.
    fn append(&self, before: &LogHead, entry: &LogEntry) -> Appended;

    /// Reads up to `most` entries after an index.
    ///
    /// # Errors
    /// Why the log cannot be reached.
    fn read(&self, after: u64, most: usize) -> Result<LogPart, String>;

    /// The same, by what one server of the engine has, which may be less: for a caller who was woken, and asks
    /// by [`Self::read`] where it must know. Spares the servers a question to each other. `None`, where no
    /// server answers, where this one lacks what the caller was woken for, or where the engine has no quicker
    /// answer than that of [`Self::read`].
    fn read_nearby(&self, after: u64, most: usize) -> Option<LogPart> {
        let _ = (after, most);
        None
    }

    /// Where the log keeps objects; `None`, where it keeps none.
    fn objects(&self) -> Option<&dyn FleetLog> {
        None
    }
}

/// What the nodes of a fleet need of a log's engine beside the log itself. The calls block, and end
/// within the engine's timeouts.
pub trait FleetLog: SharedLog {
    /// Waits until something was appended, as far as the engine tells, and at most so long. Only a
    /// hint: what is true is what [`SharedLog::read`] answers.
    fn wait_for_change(&self, at_most: Duration);

    /// Removes the entries up to and with an index.
    ///
    /// # Errors
    /// Why the log cannot be reached, or refuses.
    fn trim(&self, through: u64) -> Result<(), String>;

    /// Keeps an object under a name, in place of the one that it had: the report of a node
    /// (`nodes/...`), a part of a snapshot (`snapshots/...`) or of an entry (`entries/...`). At most [`OBJECT_BYTES_MAX`].
    ///
    /// # Errors
    /// As [`Self::trim`].
    fn put_object(&self, name: &str, bytes: &[u8]) -> Result<(), String>;

    /// An object; `None` if there is none of that name.
    ///
    /// # Errors
    /// As [`Self::trim`].
    fn object(&self, name: &str) -> Result<Option<Vec<u8>>, String>;

    /// The names of objects that begin with a prefix, sorted.
    ///
    /// # Errors
    /// As [`Self::trim`].
    fn object_names(&self, prefix: &str) -> Result<Vec<String>, String>;

    /// Removes an object, if it is there.
    ///
    /// # Errors
    /// As [`Self::trim`].
    fn remove_object(&self, name: &str) -> Result<(), String>;
}
