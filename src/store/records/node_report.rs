//! The record of what a node of a fleet says of itself, for the other nodes.

use std::time::Duration;

use super::{RecordReader, RecordWriter};
use crate::config::OnStale;
use crate::domain::{Digest, Failure, KeyId, KeyKind, KeyMark, Revision, Timestamp};

/// The second version of a report says what became of policies from the fleet, the third one which
/// entries a node reads, and why it has stopped. Each has more at its end than the one before, so a
/// program reads of a newer version what it knows: nodes of two versions must know of each other.
const REPORT_VERSION: u8 = 3;

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
    /// The newest format of entries that its program reads.
    pub reads_format: u8,
    /// Why it has stopped following the log; empty where it has not.
    pub halted_because: String,
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
            reads_format: super::shared_log_entry::ENTRY_FORMAT,
            halted_because: String::new(),
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
        let writer = writer.text(&self.policies_fault).long(self.published);
        writer.byte(self.reads_format).text(&self.halted_because).0
    }

    /// Reads a record.
    ///
    /// # Errors
    /// `Internal`, when it is damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        let (version, mut reader) = RecordReader::up_to(u8::MAX, "report of a node", bytes)?;
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
            reads_format: 1,
            halted_because: String::new(),
        };
        if version >= 2 {
            report.policies_fault = reader.text()?.to_owned();
            report.published = reader.long()?;
        }
        if version >= 3 {
            report.reads_format = reader.byte()?;
            report.halted_because = reader.text()?.to_owned();
        }
        if version > REPORT_VERSION { Ok(report) } else { reader.end(report) }
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
            reads_format: 7,
            halted_because: "it was altered".to_owned(),
        };
        let bytes = report.encode();
        assert_eq!(NodeReport::decode(&bytes), Ok(report.clone()));
        for length in 0..bytes.len() {
            assert!(NodeReport::decode(&bytes[..length]).is_err(), "{length}");
        }
        // What nodes of the versions before say.
        let (third, second) =
            (1 + 4 + report.halted_because.len(), report.policies_fault.len() + 4 + 8);
        let of_second =
            NodeReport { reads_format: 1, halted_because: String::new(), ..report.clone() };
        let of_first =
            NodeReport { policies_fault: String::new(), published: 0, ..of_second.clone() };
        for (version, less, said) in [(2, third, of_second), (1, third + second, of_first)] {
            let mut bytes = bytes[..bytes.len() - less].to_vec();
            bytes[0] = version;
            assert_eq!(NodeReport::decode(&bytes), Ok(said), "{version}");
        }
        // Of a newer version it is read what is known; more is none of this one.
        let more = |version: u8| [&[version], &bytes[1..], b"more"].concat();
        assert_eq!(NodeReport::decode(&more(REPORT_VERSION + 1)), Ok(report));
        assert!(NodeReport::decode(&more(REPORT_VERSION)).is_err());
    }
}
