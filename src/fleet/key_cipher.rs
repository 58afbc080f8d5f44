//! The cipher of the shared log: the epoch keys for entries and snapshots, and for reports the keys that
//! encrypt secrets, which all nodes have alike.
//!
//! What is sealed names its key by number, so that a new key can be added while old entries are read.

use crate::domain::{Failure, KeyId, Kind, Sealed};
use crate::keys::Keys;
use crate::keys::epoch_keys::EpochKeys;
use crate::store::records::shared_log_entry::NextEpoch;
use crate::store::shared_log::LogId;
use crate::store::shared_log_encryption::LogCipher;

/// The keys of a node.
#[derive(Debug)]
pub struct FleetCipher {
    epochs: EpochKeys,
    reports: ReportCipher,
}

#[derive(Debug)]
struct ReportCipher(Keys);

impl FleetCipher {
    /// The cipher with these keys.
    #[must_use]
    pub fn new(keys: Keys, epochs: EpochKeys) -> Self {
        Self { epochs, reports: ReportCipher(keys) }
    }
}

/// What the key of an epoch is sealed for.
fn purpose<'p>(log: &'p LogId, number: &'p [u8; 4]) -> [&'p [u8]; 3] {
    [b"epoch of the log", &log.0, number]
}

impl LogCipher for FleetCipher {
    fn seal(&self, behind: u64, of: &[&[u8]], plain: &[u8]) -> Result<Sealed, Failure> {
        self.epochs.seal(behind, of, plain)
    }

    fn open(&self, of: &[&[u8]], sealed: &Sealed) -> Option<Vec<u8>> {
        self.epochs.unseal(of, sealed)
    }

    fn has(&self, key: KeyId) -> bool {
        self.epochs.has(key)
    }

    fn of_reports(&self) -> Option<&dyn LogCipher> {
        Some(&self.reports)
    }

    fn key_name(&self) -> &'static str {
        "epoch"
    }

    fn next_epoch(&self, log: LogId) -> Result<Option<NextEpoch>, Failure> {
        let (number, key) = self.epochs.next()?;
        let ReportCipher(keys) = &self.reports;
        let key = keys.seal(&purpose(&log, &number.0.to_le_bytes()), &key)?;
        Ok(Some(NextEpoch { number, key }))
    }

    fn learn(&self, log: LogId, next: &NextEpoch, begins: u64) -> Result<(), String> {
        let ReportCipher(keys) = &self.reports;
        let NextEpoch { number, key } = next;
        if !keys.has_seal(key.key) {
            return Err(format!(
                "the key of an epoch was sealed with `seal-{}.key`, which this node lacks: copy the folder `keys` of another node to this one, then restart it",
                key.key.0
            ));
        }
        let plain = keys.unseal(&purpose(&log, &number.0.to_le_bytes()), key);
        let plain = plain.and_then(|plain| plain.try_into().ok());
        if plain.is_some_and(|plain| self.epochs.learn(*number, plain, begins)) {
            return Ok(());
        }
        Err(format!(
            "`epoch-{}.key` is another one on this node than in the log, or does not open with the keys of this node: compare `keys` with another node first",
            number.0
        ))
    }

    fn check_writable(&self) -> Result<(), Failure> {
        self.epochs.check_writable().map_err(|fault| {
            let sentence = format!(
                "the folder `keys` of this node cannot be written, and the next key of the shared log belongs in it: {fault}"
            );
            Failure::new(Kind::Internal, "keys", sentence)
        })
    }

    fn keep(&self) -> Result<(), Failure> {
        self.epochs.keep()
    }

    fn begins(&self) -> (u64, u64) {
        self.epochs.begins()
    }

    fn destroy_before(&self, index: u64) -> Result<usize, Failure> {
        self.epochs.destroy_before(index)
    }
}

impl LogCipher for ReportCipher {
    fn seal(&self, _: u64, of: &[&[u8]], plain: &[u8]) -> Result<Sealed, Failure> {
        self.0.seal_for_nodes(of, plain)
    }

    fn open(&self, of: &[&[u8]], sealed: &Sealed) -> Option<Vec<u8>> {
        self.0.unseal(of, sealed)
    }

    fn has(&self, key: KeyId) -> bool {
        self.0.has_seal(key)
    }
}
