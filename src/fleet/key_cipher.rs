//! The cipher of the shared log: the keys that encrypt secrets, which all nodes have alike.
//!
//! What is sealed names its key by number, so that a new key can be added while old entries are read.

use crate::domain::{Failure, KeyId, Sealed};
use crate::keys::Keys;
use crate::store::log_seal::LogCipher;

impl LogCipher for Keys {
    fn seal(&self, of: &[&[u8]], plain: &[u8]) -> Result<Sealed, Failure> {
        Self::seal(self, of, plain)
    }

    fn open(&self, of: &[&[u8]], sealed: &Sealed) -> Option<Vec<u8>> {
        self.unseal(of, sealed)
    }

    fn has(&self, key: KeyId) -> bool {
        self.has_seal(key)
    }
}
