//! The keys of a log in etcd, and the bytes of their values.
//!
//! | key, behind the prefix | value |
//! | --- | --- |
//! | `head` | text: `kwic-team-log`, version of the format, id of the log (32 hexadecimal digits), index (decimal), authenticator (64 hexadecimal digits), with one space between |
//! | `entries/` and the index as 16 hexadecimal digits | version (1 byte), id of the entry (16 bytes), authenticator (32 bytes), what the entry says |
//! | `objects/` and the name of an object | its bytes |
//!
//! A head has one text only: an append compares it as a whole, and so the log's id and format too.

use super::messages::{KeyValue, Range};
use crate::domain::Digest;
use crate::store::shared_log::{EntryId, LogEntry, LogHead};

pub use crate::store::shared_log::LogId;

/// The version of this format, as the head says it.
pub(super) const FORMAT: u32 = 1;
/// The same, as an entry says it.
const ENTRY_FORMAT: u8 = 1;
const MAGIC: &str = "kwic-team-log";

/// The value of the head.
pub(super) fn encode_head(log: LogId, head: &LogHead) -> String {
    format!("{MAGIC} {FORMAT} {log} {} {}", head.index, head.authenticator.hex())
}

/// Why the value of the head is not read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeadFault {
    /// It is of another version of the format.
    Format(u32),
    /// It is none that a log writes.
    Altered,
}

/// What the value of the head says.
pub(super) fn decode_head(value: &[u8]) -> Result<(LogId, LogHead), HeadFault> {
    let text = std::str::from_utf8(value).map_err(|_| HeadFault::Altered)?;
    let mut words = text.split(' ');
    let mut next = || words.next().ok_or(HeadFault::Altered);
    if next()? != MAGIC {
        return Err(HeadFault::Altered);
    }
    let format = next()?.parse().map_err(|_| HeadFault::Altered)?;
    if format != FORMAT {
        return Err(HeadFault::Format(format));
    }
    let id = u128::from_str_radix(next()?, 16).map_err(|_| HeadFault::Altered)?;
    let index = next()?.parse().map_err(|_| HeadFault::Altered)?;
    let authenticator = Digest::from_hex(next()?).ok_or(HeadFault::Altered)?;
    let (log, head) = (LogId(id.to_be_bytes()), LogHead { index, authenticator });
    // Another text for the same head would never be equal to what an append compares.
    let is_ours = encode_head(log, &head) == text;
    is_ours.then_some((log, head)).ok_or(HeadFault::Altered)
}

/// The value of an entry.
pub(super) fn encode_entry(entry: &LogEntry) -> Vec<u8> {
    let parts: [&[u8]; 4] =
        [&[ENTRY_FORMAT], &entry.id.0, &entry.head.authenticator.0, &entry.bytes];
    parts.concat()
}

/// The entry at an index.
pub(super) fn decode_entry(index: u64, value: &[u8]) -> Option<LogEntry> {
    let (format, rest) = value.split_first()?;
    let (id, rest) = rest.split_first_chunk()?;
    let (authenticator, bytes) = rest.split_first_chunk()?;
    let head = LogHead { index, authenticator: Digest(*authenticator) };
    (*format == ENTRY_FORMAT).then(|| LogEntry { id: EntryId(*id), head, bytes: bytes.into() })
}

/// The keys of one deployment.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    /// The prefix ends with `/`.
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Every key of the deployment.
    pub(super) fn all(&self) -> Range {
        below(self.prefix.clone())
    }

    pub(super) fn head(&self) -> Vec<u8> {
        format!("{}head", self.prefix).into_bytes()
    }

    /// The object of a name.
    pub(super) fn object(&self, name: &str) -> Vec<u8> {
        format!("{}objects/{name}", self.prefix).into_bytes()
    }

    /// The objects whose names begin with a text.
    pub(super) fn objects(&self, prefix: &str) -> Range {
        below(format!("{}objects/{prefix}", self.prefix))
    }

    /// The name of an object's key.
    pub(super) fn object_of(&self, key: &[u8]) -> Option<String> {
        let key = std::str::from_utf8(key).ok()?;
        key.strip_prefix(&self.prefix)?.strip_prefix("objects/").map(str::to_owned)
    }

    pub(super) fn entry(&self, index: u64) -> Vec<u8> {
        format!("{}entries/{index:016x}", self.prefix).into_bytes()
    }

    /// The entries from an index on.
    pub(super) fn entries_from(&self, index: u64) -> Range {
        Range { key: self.entry(index), ..below(format!("{}entries/", self.prefix)) }
    }

    /// The index of an entry's key.
    pub(super) fn index_of(&self, found: &KeyValue) -> Option<u64> {
        let key = std::str::from_utf8(&found.key.0).ok()?;
        let digits = key.strip_prefix(&self.prefix)?.strip_prefix("entries/")?;
        let index = u64::from_str_radix(digits, 16).ok()?;
        (self.entry(index) == found.key.0).then_some(index)
    }
}

/// The keys that begin with a text that ends with `/`.
fn below(prefix: String) -> Range {
    let key = prefix.into_bytes();
    let mut end = key.clone();
    // The character after `/`.
    if let Some(last) = end.last_mut() {
        *last = b'0';
    }
    Range { key, end }
}

#[cfg(test)]
mod tests {
    use super::super::messages::Base64;
    use super::*;

    fn head() -> LogHead {
        LogHead { index: 12, authenticator: Digest([0xab; 32]) }
    }

    #[test]
    fn a_head_has_one_text() {
        let text = encode_head(LogId([7; 16]), &head());
        assert_eq!(text, format!("kwic-team-log 1 {} 12 {}", "07".repeat(16), "ab".repeat(32)));
        assert_eq!(decode_head(text.as_bytes()), Ok((LogId([7; 16]), head())));
        let newer = text.replacen(" 1 ", " 2 ", 1);
        assert_eq!(decode_head(newer.as_bytes()), Err(HeadFault::Format(2)));
        let digits = "ab".repeat(32);
        for altered in [
            String::new(),
            "hello".to_owned(),
            format!("{text} "),
            text.replace(" 12 ", " 012 "),
            text.replace(" 12 ", " -1 "),
            text.replace(&digits, &digits.to_uppercase()),
            text.replacen("07", "7", 1),
            text.replacen("-log", "", 1),
        ] {
            assert_eq!(decode_head(altered.as_bytes()), Err(HeadFault::Altered), "{altered}");
        }
        assert_eq!(decode_head(&[0xff]), Err(HeadFault::Altered));
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let entry = LogEntry::after(&head(), EntryId([3; 16]), b"what it says".to_vec());
        let value = encode_entry(&entry);
        assert_eq!(decode_entry(13, &value), Some(entry));
        assert_eq!(decode_entry(13, &value[..48]), None);
        assert_eq!(decode_entry(13, &[&[2], &value[1..]].concat()), None);
        assert!(decode_entry(13, &value[..49]).is_some());
    }

    #[test]
    fn keys_of_entries_are_in_the_order_of_indexes_and_below_the_prefix() {
        let keys = Keys::new("a/");
        assert_eq!(keys.all(), Range { key: b"a/".to_vec(), end: b"a0".to_vec() });
        assert_eq!(keys.head(), b"a/head");
        let entries = keys.entries_from(9);
        assert_eq!(entries.end, b"a/entries0");
        assert!(keys.entry(9) < keys.entry(10) && keys.entry(255) < keys.entry(u64::MAX));
        assert!(entries.key == keys.entry(9) && keys.entry(u64::MAX) < entries.end);
        let index = |key: &str| {
            let key = Base64::of(key);
            keys.index_of(&KeyValue {
                key,
                value: Base64::default(),
                create_revision: String::new(),
            })
        };
        assert_eq!(index("a/entries/000000000000000a"), Some(10));
        for none in
            ["a/entries/a", "a/entries/000000000000000A", "a/head", "b/entries/000000000000000a"]
        {
            assert_eq!(index(none), None, "{none}");
        }
    }
}
