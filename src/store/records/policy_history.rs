//! The records of the history of the policies: an entry, and the number of one.

use super::{RecordReader, RecordWriter};
use crate::domain::{
    Digest, Failure, PolicyCause, PolicyEntry, PolicyOutcome, PolicyReport, Revision,
};

/// The record of an entry; the number is its key.
#[must_use]
pub fn encode_policy_entry(entry: &PolicyEntry) -> Vec<u8> {
    let report = &entry.report;
    let writer = RecordWriter::new()
        .raw(&entry.digest.0)
        .long(entry.revision.0)
        .time(entry.at)
        .text(&entry.actor)
        .text(entry.outcome.as_str())
        .long(entry.bytes)
        .text(report.cause.as_str())
        .long(report.policies)
        .perhaps(report.pinned, RecordWriter::long)
        .option(report.fault.as_deref());
    let lists = [&report.gains, &report.loses, &report.may_gain, &report.may_lose];
    lists
        .into_iter()
        .fold(writer, |writer, list| {
            let count = u64::try_from(list.len()).unwrap_or(u64::MAX);
            list.iter().fold(writer.long(count), |writer, line| writer.text(line))
        })
        .0
}

/// Reads the record of an entry.
///
/// # Errors
/// `Internal`, when it is damaged or of a newer version.
pub fn decode_policy_entry(number: u64, bytes: &[u8]) -> Result<PolicyEntry, Failure> {
    let mut reader = RecordReader::new("policy entry", bytes)?;
    let (digest, revision) = (Digest(reader.array()?), Revision(reader.long()?));
    let (at, actor) = (reader.time()?, reader.text()?.to_owned());
    let outcome = reader.text()?;
    let outcome = PolicyOutcome::ALL.into_iter().find(|known| known.as_str() == outcome);
    let (outcome, bytes) = (outcome.ok_or_else(|| reader.damaged())?, reader.long()?);
    let cause = reader.text()?;
    let cause = PolicyCause::ALL.into_iter().find(|known| known.as_str() == cause);
    let report = PolicyReport {
        cause: cause.ok_or_else(|| reader.damaged())?,
        policies: reader.long()?,
        pinned: reader.perhaps(RecordReader::long)?,
        fault: reader.option()?.map(str::to_owned),
        gains: lines(&mut reader)?,
        loses: lines(&mut reader)?,
        may_gain: lines(&mut reader)?,
        may_lose: lines(&mut reader)?,
    };
    reader.end(PolicyEntry { number, digest, revision, at, actor, outcome, bytes, report })
}

fn lines(reader: &mut RecordReader<'_>) -> Result<Vec<String>, Failure> {
    let mut lines = Vec::new();
    for _ in 0..reader.long()? {
        lines.push(reader.text()?.to_owned());
    }
    Ok(lines)
}

/// The record that names an entry.
#[must_use]
pub fn encode_policy_number(number: u64) -> Vec<u8> {
    RecordWriter::new().long(number).0
}

/// Reads the record that names an entry.
///
/// # Errors
/// `Internal`, when it is damaged or of a newer version.
pub fn decode_policy_number(bytes: &[u8]) -> Result<u64, Failure> {
    let mut reader = RecordReader::new("number of a policy set", bytes)?;
    let number = reader.long()?;
    reader.end(number)
}
