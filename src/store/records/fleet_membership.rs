//! The record of which fleet a file is in, and as which node.

use super::{RecordReader, RecordWriter};
use crate::domain::Failure;
use crate::store::shared_log::{LogId, NodeId};

/// Of the file of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FleetMembership {
    /// The log that the file follows.
    pub log: LogId,
    /// The node that the file is of.
    pub node: NodeId,
}

impl FleetMembership {
    /// The record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        RecordWriter::new().raw(&self.log.0).raw(&self.node.0).0
    }

    /// Reads a record.
    ///
    /// # Errors
    /// `Internal`, when it is damaged or of a newer version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        let mut reader = RecordReader::new("fleet", bytes)?;
        let found = Self { log: LogId(reader.array()?), node: NodeId(reader.array()?) };
        reader.end(found)
    }
}
