//! Changes that are too large for an entry of the log: their bytes are sealed objects beside it, and the
//! entry names them.
//!
//! The objects come first, under the index and the id of the entry that is to name them; without it
//! they are nothing. They go when the log is trimmed behind that index, whatever came of the entry.

use super::log_connection::{LogConnection, away};
use crate::domain::{Digest, Failure, Kind};
use crate::store::records::shared_log_entry::{Entry, LargeEntry};
use crate::store::shared_log::{
    ENTRY_BYTES_MAX, EntryId, FleetLog, LogEntry, LogHead, OBJECT_BYTES_MAX,
};
use crate::store::shared_log_encryption::SEAL_BYTES_MAX;

/// The most bytes of an entry of the log, before it is sealed.
pub(super) const PLAIN_BYTES_MAX: usize = ENTRY_BYTES_MAX - SEAL_BYTES_MAX;
/// Bytes of an object before it is sealed.
const PART_BYTES: usize = OBJECT_BYTES_MAX - SEAL_BYTES_MAX;
/// The most bytes of a change: they are in memory, on each node.
const LARGE_BYTES_MAX: usize = 64 << 20;

/// Why an entry cannot be applied.
pub(super) enum NotApplied {
    /// It never can.
    Never(String),
    /// What it names is not read.
    NotYet(String),
}

impl From<String> for NotApplied {
    fn from(why: String) -> Self {
        Self::Never(why)
    }
}

/// Puts the bytes of a change beside the log; answers the entry that names them.
pub(super) fn put(
    link: &LogConnection,
    before: &LogHead,
    id: EntryId,
    plain: &[u8],
) -> Result<Vec<u8>, Failure> {
    let objects = link.log.objects().filter(|_| plain.len() <= LARGE_BYTES_MAX);
    let objects = objects.ok_or_else(too_large)?;
    let (index, mut parts) = (before.index.saturating_add(1), 0);
    for part in plain.chunks(PART_BYTES) {
        let name = LargeEntry::object_name(index, id, parts);
        let sealed = link.seal.object(before.index, &name, part)?;
        objects.put_object(&name, &sealed).map_err(|why| away(&why))?;
        parts += 1;
    }
    let (bytes, digest) = (plain.len() as u64, Digest::of(&[plain]));
    Ok(LargeEntry { parts, bytes, digest }.encode())
}

/// Removes what an entry names that was not appended. What is left goes by a trim.
pub(super) fn remove(link: &LogConnection, entry: &LogEntry) {
    let Some(objects) = link.log.objects() else { return };
    let prefix = LargeEntry::objects_of(entry.head.index, entry.id);
    for name in objects.object_names(&prefix).unwrap_or_default() {
        let _ = objects.remove_object(&name);
    }
}

/// What an entry says whose bytes were opened: read from beside the log, where it is a large one.
pub(super) fn whole(
    link: &LogConnection,
    entry: &LogEntry,
    plain: &[u8],
) -> Result<Entry, NotApplied> {
    let index = entry.head.index;
    let of_entry = |why: &str| NotApplied::Never(format!("entry {index}: {why}"));
    let damaged = |fault: Failure| of_entry(fault.private.as_ref().unwrap_or(&fault.public));
    if !LargeEntry::is_one(plain) {
        return decoded(index, plain);
    }
    let named = LargeEntry::decode(plain).map_err(damaged)?;
    if named.bytes > LARGE_BYTES_MAX as u64 || named.parts > named.bytes {
        return Err(of_entry("it names more than an entry may have"));
    }
    let Some(objects) = link.log.objects() else {
        return Err(of_entry("it names objects, and this log keeps none"));
    };
    let mut bytes = Vec::new();
    for part in 0..named.parts {
        bytes.extend(read(link, objects, &LargeEntry::object_name(index, entry.id, part))?);
    }
    if bytes.len() as u64 != named.bytes || Digest::of(&[&bytes]) != named.digest {
        return Err(of_entry("the objects that it names are others"));
    }
    decoded(index, &bytes)
}

/// Nothing is taken of an entry of a newer format: the same node goes on from there with a newer program.
fn decoded(index: u64, bytes: &[u8]) -> Result<Entry, NotApplied> {
    if Entry::is_newer(bytes) {
        return Err(NotApplied::Never(format!(
            "entry {index} of the shared log was written by a newer kwic-team than this ({}): stop this node, install the version that the other nodes have, then start it again",
            env!("CARGO_PKG_VERSION")
        )));
    }
    Entry::decode(bytes).map_err(|fault| {
        let why = fault.private.as_ref().unwrap_or(&fault.public);
        NotApplied::Never(format!("entry {index}: {why}"))
    })
}

/// One that is missing may have been trimmed: the next look at the log says so.
fn read(link: &LogConnection, objects: &dyn FleetLog, name: &str) -> Result<Vec<u8>, NotApplied> {
    let found = objects.object(name).map_err(NotApplied::NotYet)?;
    let bytes = found
        .ok_or_else(|| NotApplied::NotYet(format!("the object `{name}` is not beside the log")))?;
    Ok(link.seal.open_object(name, &bytes)?)
}

/// Of a change that no log takes.
pub(super) fn too_large() -> Failure {
    Failure::new(
        Kind::TooLarge,
        "too_large_for_log",
        "this change is too large for the log that the nodes share, and nothing was changed: make it in parts",
    )
}
