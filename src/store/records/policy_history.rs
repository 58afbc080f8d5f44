//! The records of the history of the policies: an entry, and the number of one.

use super::{RecordReader, RecordWriter};
use crate::domain::{
    Digest, Failure, GuardOutcome, GuardOutcomes, GuardState, PolicyCause, PolicyEntry,
    PolicyOutcome, PolicyReport, Revision,
};

/// The second version of an entry has what is known about the guards.
const ENTRY_VERSION: u8 = 2;

/// The record of an entry; the number is its key.
#[must_use]
pub fn encode_policy_entry(entry: &PolicyEntry) -> Vec<u8> {
    let report = &entry.report;
    let writer = RecordWriter::of_version(ENTRY_VERSION)
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
    let writer = lists.into_iter().fold(writer, |writer, list| {
        list.iter().fold(writer.long(count(list)), |writer, line| writer.text(line))
    });
    writer.perhaps(report.guards.as_ref(), guards).0
}

fn count<T>(list: &[T]) -> u64 {
    u64::try_from(list.len()).unwrap_or(u64::MAX)
}

fn guards(writer: RecordWriter, known: &GuardOutcomes) -> RecordWriter {
    let writer = writer.text(&known.solver).long(known.cases).long(count(&known.guards));
    known.guards.iter().fold(writer, |writer, guard| {
        writer.text(&guard.id).text(guard.state.as_str()).text(&guard.why)
    })
}

fn read_guards(reader: &mut RecordReader<'_>) -> Result<GuardOutcomes, Failure> {
    let (solver, cases) = (reader.text()?.to_owned(), reader.long()?);
    let mut guards = Vec::new();
    for _ in 0..reader.long()? {
        let id = reader.text()?.to_owned();
        let state = reader.text()?;
        let state = GuardState::ALL.into_iter().find(|known| known.as_str() == state);
        let state = state.ok_or_else(|| reader.damaged())?;
        guards.push(GuardOutcome { id, state, why: reader.text()?.to_owned() });
    }
    Ok(GuardOutcomes { solver, cases, guards })
}

/// Reads the record of an entry.
///
/// # Errors
/// `Internal`, when it is damaged or of a newer version.
pub fn decode_policy_entry(number: u64, bytes: &[u8]) -> Result<PolicyEntry, Failure> {
    let (version, mut reader) = RecordReader::up_to(ENTRY_VERSION, "policy entry", bytes)?;
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
        guards: if version < ENTRY_VERSION { None } else { reader.perhaps(read_guards)? },
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
