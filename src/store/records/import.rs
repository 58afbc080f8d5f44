//! The record of an import that is staged: from its begin until it is made, or nothing of it is left.

use super::{RecordReader, RecordWriter, as_damage};
use crate::domain::{AccountSlug, Failure, Timestamp};

/// An import that is not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportRecord {
    /// The account of its members.
    pub account: AccountSlug,
    /// When it was last heard of: its begin, or its last part.
    pub at: Timestamp,
    /// Set once it was given up: the id of a member up to which, in the order of ids, none of its
    /// members is left.
    pub swept: Option<String>,
}

impl ImportRecord {
    /// The record; the id is its key.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let writer = RecordWriter::new().text(self.account.as_str()).time(self.at);
        writer.option(self.swept.as_deref()).0
    }

    /// Reads a record.
    ///
    /// # Errors
    /// `Internal`, when it is damaged or of a newer version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        let mut reader = RecordReader::new("import", bytes)?;
        let found = Self {
            account: as_damage("import", AccountSlug::parse(reader.text()?))?,
            at: reader.time()?,
            swept: reader.option()?.map(str::to_owned),
        };
        reader.end(found)
    }
}
