//! The manifest of a snapshot: what its parts are together, and which place in the log they are of.

use super::{RecordReader, RecordWriter};
use crate::domain::{Digest, Failure, Revision, Timestamp};
use crate::store::records::shared_log_position::LogPosition;
use crate::store::shared_log::LogHead;

/// Written once every part is kept: a snapshot without one is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotManifest {
    /// Up to where the log is in it.
    pub position: LogPosition,
    /// The revision of the last change in it.
    pub revision: Revision,
    /// The digest of its rows.
    pub content: Digest,
    /// The layout of the file that its parts are.
    pub layout: u64,
    /// How many parts it has.
    pub parts: u64,
    /// Bytes of all parts.
    pub bytes: u64,
    /// The digest of these bytes.
    pub digest: Digest,
}

impl SnapshotManifest {
    /// The record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let LogPosition { head, at } = self.position;
        RecordWriter::new()
            .long(head.index)
            .raw(&head.authenticator.0)
            .time(at)
            .long(self.revision.0)
            .raw(&self.content.0)
            .long(self.layout)
            .long(self.parts)
            .long(self.bytes)
            .raw(&self.digest.0)
            .0
    }

    /// Reads a record.
    ///
    /// # Errors
    /// `Internal`, when it is damaged or of a newer version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        let mut reader = RecordReader::new("snapshot", bytes)?;
        let head = LogHead { index: reader.long()?, authenticator: Digest(reader.array()?) };
        let at: Timestamp = reader.time()?;
        let found = Self {
            position: LogPosition { head, at },
            revision: Revision(reader.long()?),
            content: Digest(reader.array()?),
            layout: reader.long()?,
            parts: reader.long()?,
            bytes: reader.long()?,
            digest: Digest(reader.array()?),
        };
        reader.end(found)
    }
}
