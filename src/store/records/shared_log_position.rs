//! The record of how far a file has followed the shared log.

use super::{RecordReader, RecordWriter};
use crate::domain::{Digest, Failure, Timestamp};
use crate::store::shared_log::LogHead;

/// Up to where a file has followed the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPosition {
    /// The last entry that is in the file.
    pub head: LogHead,
    /// The time of its last change: no later change is made earlier.
    pub at: Timestamp,
}

impl LogPosition {
    /// The record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let LogHead { index, authenticator } = self.head;
        RecordWriter::new().long(index).raw(&authenticator.0).time(self.at).0
    }

    /// Reads a record.
    ///
    /// # Errors
    /// `Internal`, when it is damaged or of a newer version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        let mut reader = RecordReader::new("place in the log", bytes)?;
        let head = LogHead { index: reader.long()?, authenticator: Digest(reader.array()?) };
        let at = reader.time()?;
        reader.end(Self { head, at })
    }
}
