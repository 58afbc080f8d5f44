//! The record of what a node of a fleet says of itself, for the other nodes.

use std::time::Duration;

use super::{RecordReader, RecordWriter};
use crate::config::OnStale;
use crate::domain::{Digest, Failure, KeyId, KeyKind, KeyMark, Revision, Timestamp};

/// The second version of a report says what became of policies from the fleet.
const REPORT_VERSION: u8 = 2;

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReport {
    /// Its name for people.
    pub name: String,
    /// The version of its program.
    pub version: String,
    /// The index up to which its decisions see the log.
    pub applied: u64,
    /// The revision that its decisions see.
    pub revision: Revision,
    /// The digest of its live policies.
    pub policies: Digest,
    /// Whether its policies were not loaded the last time.
    pub policies_refused: bool,
    /// Why, where they come from the fleet; empty otherwise.
    pub policies_fault: String,
    /// The number of the last set from the fleet that it has taken or refused; 0 for none.
    pub published: u64,
    /// Whether it is stale.
    pub is_stale: bool,
    /// Whether it has stopped following the log.
    pub is_halted: bool,
    /// How long it may be without word from the log before it is stale.
    pub max_staleness: Duration,
    /// What it does about decisions then.
    pub on_stale: OnStale,
    /// Drawn at random when its program was started: two with one id are not the same node.
    pub process: [u8; 16],
    /// The index of the last entry that erased data, as far as it knows; 0 for none.
    pub erased: u64,
    /// Its file has nothing left of what was erased up to this index.
    pub rewritten: u64,
    /// Its keys open nothing that was in the log up to this index.
    pub opens_behind: u64,
    /// The keys that its program has.
    pub keys: Vec<KeyMark>,
    /// When its program was started, by its clock.
    pub since: Timestamp,
    /// When it said this, by its clock.
    pub at: Timestamp,
}

impl NodeReport {
    /// That of a made-up node, for tests.
    #[cfg(test)]
    pub(crate) fn made_up(id: u8) -> Self {
        Self {
            name: format!("host-{id}"),
            version: "0.1.0".to_owned(),
            applied: 1,
            revision: Revision(1),
            policies: Digest::default(),
            policies_refused: false,
            policies_fault: String::new(),
            published: 0,
            is_stale: false,
            is_halted: false,
            max_staleness: Duration::from_secs(30),
            on_stale: OnStale::Deny,
            process: [id; 16],
            erased: 0,
            rewritten: 1,
            opens_behind: 0,
            keys: Vec::new(),
            since: Timestamp(0),
            at: Timestamp(0),
        }
    }

    /// The record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let staleness = u64::try_from(self.max_staleness.as_millis()).unwrap_or(u64::MAX);
        let writer = RecordWriter::of_version(REPORT_VERSION)
            .text(&self.name)
            .text(&self.version)
            .long(self.applied)
            .long(self.revision.0)
            .raw(&self.policies.0)
            .byte(self.policies_refused.into())
            .byte(self.is_stale.into())
            .byte(self.is_halted.into())
            .long(staleness)
            .byte((self.on_stale == OnStale::Deny).into())
            .raw(&self.process)
            .long(self.erased)
            .long(self.rewritten)
            .long(self.opens_behind)
            .long(u64::try_from(self.keys.len()).unwrap_or(u64::MAX));
        let keys = |writer: RecordWriter, key: &KeyMark| {
            let kind = u8::from(key.kind == KeyKind::Seal);
            writer.byte(kind).long(key.id.0.into()).raw(&key.mark)
        };
        let writer = self.keys.iter().fold(writer, keys).time(self.since).time(self.at);
        writer.text(&self.policies_fault).long(self.published).0
    }

    /// Reads a record.
    ///
    /// # Errors
    /// `Internal`, when it is damaged or of a newer version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        let (version, mut reader) = RecordReader::up_to(REPORT_VERSION, "report of a node", bytes)?;
        let mut report = Self {
            name: reader.text()?.to_owned(),
            version: reader.text()?.to_owned(),
            applied: reader.long()?,
            revision: Revision(reader.long()?),
            policies: Digest(reader.array()?),
            policies_refused: reader.flag()?,
            policies_fault: String::new(),
            published: 0,
            is_stale: reader.flag()?,
            is_halted: reader.flag()?,
            max_staleness: Duration::from_millis(reader.long()?),
            on_stale: if reader.flag()? { OnStale::Deny } else { OnStale::Answer },
            process: reader.array()?,
            erased: reader.long()?,
            rewritten: reader.long()?,
            opens_behind: reader.long()?,
            keys: keys(&mut reader)?,
            since: reader.time()?,
            at: reader.time()?,
        };
        if version == REPORT_VERSION {
            report.policies_fault = reader.text()?.to_owned();
            report.published = reader.long()?;
        }
        reader.end(report)
    }
}

fn keys(reader: &mut RecordReader<'_>) -> Result<Vec<KeyMark>, Failure> {
    // A count that is too large ends with the bytes.
    let count = reader.long()?;
    let key = |_| {
        let kind = if reader.flag()? { KeyKind::Seal } else { KeyKind::Link };
        Ok(KeyMark { kind, id: KeyId(reader.short()?), mark: reader.array()? })
    };
    (0..count).map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_as_it_was_written_and_no_part_of_it_does() {
        let report = NodeReport {
            name: "host-1".to_owned(),
            version: "0.1.0".to_owned(),
            applied: 7,
            revision: Revision(9),
            policies: Digest::of(&[b"policies"]),
            policies_refused: true,
            policies_fault: "a.cedar:1: what".to_owned(),
            published: 4,
            is_stale: false,
            is_halted: true,
            max_staleness: Duration::from_secs(30),
            on_stale: OnStale::Deny,
            process: [3; 16],
            erased: 3,
            rewritten: 2,
            opens_behind: 1,
            keys: vec![KeyMark { kind: KeyKind::Seal, id: KeyId(1), mark: [7; 8] }],
            since: Timestamp(1_764_000_000_000),
            at: Timestamp(1_764_000_060_000),
        };
        let bytes = report.encode();
        assert_eq!(NodeReport::decode(&bytes), Ok(report.clone()));
        // One of a node of the first version.
        let policies = report.policies_fault.len() + 4 + 8;
        let mut first = bytes[..bytes.len() - policies].to_vec();
        first[0] = 1;
        let without = NodeReport { policies_fault: String::new(), published: 0, ..report };
        assert_eq!(NodeReport::decode(&first), Ok(without));
        for length in 0..bytes.len() {
            assert!(NodeReport::decode(&bytes[..length]).is_err(), "{length}");
        }
    }
}
