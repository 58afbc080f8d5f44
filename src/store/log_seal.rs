//! Seals of what is in a shared log: entries, and the objects beside them.
//!
//! A log is kept by others, and is in their backups, so what it has is encrypted and authenticated. The
//! seal of an entry names the log, the entry's place and its predecessor, that of an object its name:
//! nothing opens in another place than the one that it was sealed for. Somebody who can write the log
//! and lacks the keys can read nothing and add nothing that a node would apply. They can remove the
//! report of a node, so that nobody waits for it, and hide the newest entries from a node.

use std::fmt;
use std::sync::Arc;

use super::shared_log::{EntryId, LogEntry, LogHead, LogId};
use crate::domain::{Failure, KeyId, Sealed};

/// The most bytes that a seal adds: the key's number, a nonce and an authenticator.
pub const SEAL_BYTES_MAX: usize = 64;

/// Encrypts for a purpose: every part of `of` is authenticated with the text, and needed again.
pub trait LogCipher: Send + Sync {
    /// Encrypts with the newest key.
    ///
    /// # Errors
    /// `Internal`, when there is no key, or no randomness.
    fn seal(&self, of: &[&[u8]], plain: &[u8]) -> Result<Sealed, Failure>;

    /// Decrypts; `None`, where the key is missing, or anything was altered.
    fn open(&self, of: &[&[u8]], sealed: &Sealed) -> Option<Vec<u8>>;

    /// Whether there is a key of this number.
    fn has(&self, key: KeyId) -> bool;
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
        let sealed = self.cipher.seal(&self.of_entry(before, &index, &id), plain)?;
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

    /// Seals an object, which is to have this name.
    ///
    /// # Errors
    /// As [`LogCipher::seal`].
    pub fn object(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, Failure> {
        let sealed = self.cipher.seal(&self.of_object(name), plain)?;
        Ok(sealed.to_bytes())
    }

    /// What the object of this name says.
    ///
    /// # Errors
    /// As [`Self::open_entry`].
    pub fn open_object(&self, name: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
        self.open(&self.of_object(name), bytes, || format!("the object `{name}` of the shared log"))
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
        let sealed = Sealed::from_bytes(bytes);
        let sealed = sealed.ok_or_else(|| format!("{} is cut off", what()))?;
        if !self.cipher.has(sealed.key) {
            return Err(format!(
                "{} was sealed with `seal-{}.key`, which this node lacks: copy the folder `keys` of another node to this one, then restart it",
                what(),
                sealed.key.0
            ));
        }
        self.cipher.open(of, &sealed).ok_or_else(|| {
            format!(
                "{} does not open with the keys of this node: it was altered or is of another log, or `keys` differs from the other nodes; compare `keys` with another node first",
                what()
            )
        })
    }
}
