//! Seals of what is in a shared log: entries, and the objects beside them.
//!
//! A log is kept by others, and is in their backups, so what it has is encrypted and authenticated. The
//! seal of an entry names the log, the entry's place and its predecessor, that of an object its name:
//! nothing opens in another place than the one that it was sealed for. Somebody who can write the log
//! and lacks the keys can read nothing and add nothing that a node would apply. They can remove the
//! report of a node, so that nobody waits for it, and hide the newest entries from a node.

use std::fmt;
use std::sync::Arc;

use super::records::shared_log_entry::NextEpoch;
use super::shared_log::{EntryId, LogEntry, LogHead, LogId};
use crate::domain::{Failure, KeyId, Sealed};

/// The most bytes that a seal adds: the key's number, a nonce and an authenticator.
pub const SEAL_BYTES_MAX: usize = 64;

/// Encrypts for a purpose: every part of `of` is authenticated with the text, and needed again.
///
/// Entries and snapshots are sealed with the key of an epoch, which ends with an erasure; reports with
/// the keys that all nodes have. Where nothing is said of epochs, there is one for good.
pub trait LogCipher: Send + Sync {
    /// Encrypts what belongs behind an index of the log, with the key of its epoch.
    ///
    /// # Errors
    /// `Internal`, when there is no key, or no randomness.
    fn seal(&self, behind: u64, of: &[&[u8]], plain: &[u8]) -> Result<Sealed, Failure>;

    /// Decrypts; `None`, where the key is missing, or anything was altered.
    fn open(&self, of: &[&[u8]], sealed: &Sealed) -> Option<Vec<u8>>;

    /// Whether there is a key of this number.
    fn has(&self, key: KeyId) -> bool;

    /// The cipher of reports; `None` for the same as of entries.
    fn of_reports(&self) -> Option<&dyn LogCipher> {
        None
    }

    /// What the name of a key's file begins with.
    fn key_name(&self) -> &'static str {
        "seal"
    }

    /// The next epoch, with a key that nobody has; `None`, where there is one epoch for good.
    ///
    /// # Errors
    /// As [`Self::seal`].
    fn next_epoch(&self, _log: LogId) -> Result<Option<NextEpoch>, Failure> {
        Ok(None)
    }

    /// Takes the key of an epoch that begins behind an index of the log.
    ///
    /// # Errors
    /// A sentence for the operator, where it does not open, or is another one than is known.
    fn learn(&self, _log: LogId, _next: &NextEpoch, _begins: u64) -> Result<(), String> {
        Err("it begins an epoch, and this node knows of none".to_owned())
    }

    /// Whether what will be learned can be written down.
    ///
    /// # Errors
    /// A sentence that says what to do.
    fn check_writable(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// Writes down what was learned: before anything that is sealed with it is applied for good.
    ///
    /// # Errors
    /// A sentence that says what to do, where it cannot be written.
    fn keep(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// The indexes behind which the oldest and the newest key seal.
    fn begins(&self) -> (u64, u64) {
        (0, 0)
    }

    /// Destroys the keys that open nothing behind an index; answers how many.
    ///
    /// # Errors
    /// As [`Self::keep`].
    fn destroy_before(&self, _index: u64) -> Result<usize, Failure> {
        Ok(0)
    }
}

/// The seal of one log.
#[derive(Clone)]
pub struct LogSeal {
    log: LogId,
    cipher: Arc<dyn LogCipher>,
}

impl fmt::Debug for LogSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogSeal({:?})", self.log)
    }
}

impl LogSeal {
    /// The seal of a log.
    #[must_use]
    pub fn new(log: LogId, cipher: Arc<dyn LogCipher>) -> Self {
        Self { log, cipher }
    }

    /// The log.
    #[must_use]
    pub const fn log(&self) -> LogId {
        self.log
    }

    /// Seals an entry that is to follow a head.
    ///
    /// # Errors
    /// As [`LogCipher::seal`].
    pub fn entry(&self, before: &LogHead, id: EntryId, plain: &[u8]) -> Result<LogEntry, Failure> {
        let index = before.index.saturating_add(1).to_le_bytes();
        let of = self.of_entry(before, &index, &id);
        let sealed = self.cipher.seal(before.index, &of, plain)?;
        Ok(LogEntry::after(before, id, sealed.to_bytes()))
    }

    /// What an entry says that follows a head.
    ///
    /// # Errors
    /// A sentence for the operator, when it does not open.
    pub fn open_entry(&self, before: &LogHead, entry: &LogEntry) -> Result<Vec<u8>, String> {
        let index = before.index.saturating_add(1);
        let what = || format!("entry {index} of the shared log");
        self.open(&self.of_entry(before, &index.to_le_bytes(), &entry.id), &entry.bytes, what)
    }

    fn of_entry<'p>(
        &'p self,
        before: &'p LogHead,
        index: &'p [u8; 8],
        id: &'p EntryId,
    ) -> [&'p [u8]; 5] {
        [b"log entry", &self.log.0, index, &before.authenticator.0, &id.0]
    }

    /// Seals an object, which is to have this name. `behind`: the last entry of the log that is in it, or
    /// comes before it.
    ///
    /// # Errors
    /// As [`LogCipher::seal`].
    pub fn object(&self, behind: u64, name: &str, plain: &[u8]) -> Result<Vec<u8>, Failure> {
        let sealed = self.cipher.seal(behind, &self.of_object(name), plain)?;
        Ok(sealed.to_bytes())
    }

    /// What the object of this name says.
    ///
    /// # Errors
    /// As [`Self::open_entry`].
    pub fn open_object(&self, name: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
        self.open(&self.of_object(name), bytes, || format!("the object `{name}` of the shared log"))
    }

    /// Seals the report of a node, which is to be the object of this name: for all nodes, in whichever
    /// epoch they are.
    ///
    /// # Errors
    /// As [`LogCipher::seal`].
    pub fn report(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, Failure> {
        let sealed = self.of_reports().seal(0, &self.of_object(name), plain)?;
        Ok(sealed.to_bytes())
    }

    /// What the report of this name says.
    ///
    /// # Errors
    /// As [`Self::open_entry`].
    pub fn open_report(&self, name: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let what = || format!("the object `{name}` of the shared log");
        opened(self.of_reports(), &self.of_object(name), bytes, what)
    }

    fn of_reports(&self) -> &dyn LogCipher {
        self.cipher.of_reports().unwrap_or(&*self.cipher)
    }

    /// As [`LogCipher::next_epoch`].
    ///
    /// # Errors
    /// As [`LogCipher::seal`].
    pub fn next_epoch(&self) -> Result<Option<NextEpoch>, Failure> {
        self.cipher.next_epoch(self.log)
    }

    /// As [`LogCipher::learn`].
    ///
    /// # Errors
    /// As [`LogCipher::learn`].
    pub fn learn(&self, next: &NextEpoch, begins: u64) -> Result<(), String> {
        self.cipher.learn(self.log, next, begins)
    }

    /// As [`LogCipher::check_writable`].
    ///
    /// # Errors
    /// As [`LogCipher::check_writable`].
    pub fn check_writable(&self) -> Result<(), Failure> {
        self.cipher.check_writable()
    }

    /// As [`LogCipher::keep`].
    ///
    /// # Errors
    /// As [`LogCipher::keep`].
    pub fn keep(&self) -> Result<(), Failure> {
        self.cipher.keep()
    }

    /// As [`LogCipher::begins`].
    #[must_use]
    pub fn begins(&self) -> (u64, u64) {
        self.cipher.begins()
    }

    /// As [`LogCipher::destroy_before`].
    ///
    /// # Errors
    /// As [`LogCipher::keep`].
    pub fn destroy_before(&self, index: u64) -> Result<usize, Failure> {
        self.cipher.destroy_before(index)
    }

    fn of_object<'p>(&'p self, name: &'p str) -> [&'p [u8]; 3] {
        [b"log object", &self.log.0, name.as_bytes()]
    }

    fn open(
        &self,
        of: &[&[u8]],
        bytes: &[u8],
        what: impl Fn() -> String,
    ) -> Result<Vec<u8>, String> {
        opened(&*self.cipher, of, bytes, what)
    }
}

fn opened(
    cipher: &dyn LogCipher,
    of: &[&[u8]],
    bytes: &[u8],
    what: impl Fn() -> String,
) -> Result<Vec<u8>, String> {
    let sealed = Sealed::from_bytes(bytes);
    let sealed = sealed.ok_or_else(|| format!("{} is cut off", what()))?;
    if !cipher.has(sealed.key) {
        return Err(format!(
            "{} was sealed with `{}-{}.key`, which this node lacks: copy the folder `keys` of another node to this one, then restart it",
            what(),
            cipher.key_name(),
            sealed.key.0
        ));
    }
    cipher.open(of, &sealed).ok_or_else(|| {
        format!(
            "{} does not open with the keys of this node: it was altered or is of another log, or `keys` differs from the other nodes; compare `keys` with another node first",
            what()
        )
    })
}
