//! Entries of the shared log: what the changes of one commit did to the rows.
//!
//! Rows are named by the number of their table and by our own bytes of key and value, never by those
//! of the database. Holds nothing that belongs to one node alone, and no record twice: what
//! subscribers are told is a reference to a row, except for what is gone.

use super::{RecordReader, RecordWriter, as_damage};
use crate::domain::{
    AccountSlug, Digest, Failure, ImportId, KeyId, MemberId, Revision, Sealed, Timestamp, TokenHash,
};
use crate::store::shared_log::EntryId;

const KIND: &str = "log entry";
/// The newest format of entries that this program reads, and the one that it writes.
///
/// The number stands for all that entries bring: their own bytes, the tables, and the records in the
/// rows. What a former program would not read alike is a new format: a node that meets one halts
/// there, before it has taken anything of it. A program that knows a new format writes the former one
/// until every registered node reports that it reads the new one. 2 is taken: it marks an entry that
/// names its bytes.
pub const ENTRY_FORMAT: u8 = 1;
/// The version byte of an entry that names its bytes.
const LARGE_VERSION: u8 = 2;
/// The newest version byte that this program reads.
const NEWEST: u8 = if ENTRY_FORMAT > LARGE_VERSION { ENTRY_FORMAT } else { LARGE_VERSION };

/// What is appended to the log at once: changes, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Entry {
    /// None only where an epoch begins.
    pub changes: Vec<Difference>,
    /// The epoch that begins behind this entry.
    pub epoch: Option<NextEpoch>,
}

/// An epoch of the log's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextEpoch {
    /// Its number.
    pub number: KeyId,
    /// Its key, sealed with the keys of all nodes.
    pub key: Sealed,
}

/// What one change did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// As [`crate::domain::Actor::label`] writes it.
    pub actor: String,
    /// The time.
    pub at: Timestamp,
    /// `None` for a change that subscribers are not told.
    pub revision: Option<Revision>,
    /// Whether it erased data, so that every node has to rewrite its file.
    pub rewrite: bool,
    /// Sorted by table and key, each once.
    pub rows: Vec<RowChange>,
    /// In the order told.
    pub told: Vec<Told>,
}

/// A row that was written or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChange {
    /// The number of its table.
    pub table: u8,
    /// Its key.
    pub key: Box<[u8]>,
    /// Its value; `None` where it was removed.
    pub value: Option<Box<[u8]>>,
}

/// What subscribers are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The state of a row of the same change.
    Row {
        /// The number of its table.
        table: u8,
        /// Its key.
        key: Box<[u8]>,
    },
    /// A member was removed.
    MemberGone {
        /// The member.
        id: MemberId,
        /// The member's account.
        account: AccountSlug,
    },
    /// A session ended.
    SessionGone(TokenHash),
    /// An API token ended.
    ApiTokenGone(TokenHash),
    /// A letter was queued.
    LetterQueued,
    /// An import was made.
    Imported {
        /// The import.
        import: ImportId,
        /// The account of its members.
        account: AccountSlug,
    },
    /// An import was given up.
    ImportGone(ImportId),
}

/// An entry whose bytes are too many for a log: it names the objects beside the log that have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LargeEntry {
    /// How many objects.
    pub parts: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Of these bytes.
    pub digest: Digest,
}

impl LargeEntry {
    /// What the names of these objects begin with.
    pub const PREFIX: &str = "entries/";

    /// Whether bytes are of such an entry.
    #[must_use]
    pub fn is_one(bytes: &[u8]) -> bool {
        bytes.first() == Some(&LARGE_VERSION)
    }

    /// What the names of the objects of one entry begin with.
    #[must_use]
    pub fn objects_of(index: u64, id: EntryId) -> String {
        format!("{}{index:020}/{id:?}/", Self::PREFIX)
    }

    /// The name of an object that an entry names.
    #[must_use]
    pub fn object_name(index: u64, id: EntryId, part: u64) -> String {
        format!("{}{part:04}", Self::objects_of(index, id))
    }

    /// The index of the entry that names an object, or was to.
    #[must_use]
    pub fn index_of(name: &str) -> Option<u64> {
        name.strip_prefix(Self::PREFIX)?.split('/').next()?.parse().ok()
    }

    /// The entry as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let writer = RecordWriter::of_version(LARGE_VERSION);
        writer.long(self.parts).long(self.bytes).raw(&self.digest.0).0
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// As [`Entry::decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        let (_, mut reader) = RecordReader::up_to(LARGE_VERSION, KIND, bytes)?;
        let (parts, bytes) = (reader.long()?, reader.long()?);
        let digest = Digest(reader.array()?);
        reader.end(Self { parts, bytes, digest })
    }
}

impl Entry {
    /// Whether bytes are of an entry of a newer format than this program reads.
    #[must_use]
    pub fn is_newer(bytes: &[u8]) -> bool {
        bytes.first().is_some_and(|&version| version > NEWEST)
    }

    /// The entry as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let writer = RecordWriter::of_version(ENTRY_FORMAT).long(count(&self.changes));
        let writer = self.changes.iter().fold(writer, Difference::write);
        let epoch = |writer: RecordWriter, epoch: &NextEpoch| {
            writer.long(epoch.number.0.into()).bytes(&epoch.key.to_bytes())
        };
        writer.perhaps(self.epoch.as_ref(), epoch).0
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// `Internal`, when it is damaged or of a newer version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        let mut reader = RecordReader::new(KIND, bytes)?;
        let mut changes = Vec::new();
        for _ in 0..reader.long()? {
            changes.push(Difference::read(&mut reader)?);
        }
        let epoch = reader.perhaps(NextEpoch::read)?;
        reader.end(Self { changes, epoch })
    }
}

impl NextEpoch {
    fn read(reader: &mut RecordReader<'_>) -> Result<Self, Failure> {
        let number = reader.short()?;
        let key = Sealed::from_bytes(reader.bytes()?).ok_or_else(|| reader.damaged())?;
        Ok(Self { number: KeyId(number), key })
    }
}

impl Difference {
    fn write(writer: RecordWriter, change: &Self) -> RecordWriter {
        let writer = writer
            .text(&change.actor)
            .time(change.at)
            .perhaps(change.revision, |writer, revision| writer.long(revision.0))
            .byte(change.rewrite.into())
            .long(count(&change.rows));
        let writer = change.rows.iter().fold(writer, |writer, row| {
            writer
                .byte(row.table)
                .bytes(&row.key)
                .perhaps(row.value.as_deref(), RecordWriter::bytes)
        });
        change.told.iter().fold(writer.long(count(&change.told)), Told::write)
    }

    fn read(reader: &mut RecordReader<'_>) -> Result<Self, Failure> {
        let mut change = Self {
            actor: reader.text()?.to_owned(),
            at: reader.time()?,
            revision: reader.perhaps(RecordReader::long)?.map(Revision),
            rewrite: reader.flag()?,
            rows: Vec::new(),
            told: Vec::new(),
        };
        for _ in 0..reader.long()? {
            change.rows.push(RowChange {
                table: reader.byte()?,
                key: reader.bytes()?.into(),
                value: reader.perhaps(RecordReader::bytes)?.map(Into::into),
            });
        }
        let is_before =
            |one: &RowChange, next: &RowChange| (one.table, &one.key) < (next.table, &next.key);
        if !change.rows.is_sorted_by(is_before) {
            return Err(reader.damaged());
        }
        for _ in 0..reader.long()? {
            change.told.push(Told::read(reader)?);
        }
        Ok(change)
    }
}

impl Told {
    fn write(writer: RecordWriter, told: &Self) -> RecordWriter {
        match told {
            Self::Row { table, key } => writer.byte(0).byte(*table).bytes(key),
            Self::MemberGone { id, account } => {
                writer.byte(1).text(id.as_str()).text(account.as_str())
            }
            Self::SessionGone(token) => writer.byte(2).raw(&token.0.0),
            Self::ApiTokenGone(token) => writer.byte(3).raw(&token.0.0),
            Self::LetterQueued => writer.byte(4),
            Self::Imported { import, account } => {
                writer.byte(5).long(import.0).text(account.as_str())
            }
            Self::ImportGone(import) => writer.byte(6).long(import.0),
        }
    }

    fn read(reader: &mut RecordReader<'_>) -> Result<Self, Failure> {
        Ok(match reader.byte()? {
            0 => Self::Row { table: reader.byte()?, key: reader.bytes()?.into() },
            1 => Self::MemberGone {
                id: as_damage(KIND, MemberId::parse(reader.text()?))?,
                account: as_damage(KIND, AccountSlug::parse(reader.text()?))?,
            },
            2 => Self::SessionGone(TokenHash(Digest(reader.array()?))),
            3 => Self::ApiTokenGone(TokenHash(Digest(reader.array()?))),
            4 => Self::LetterQueued,
            5 => Self::Imported {
                import: ImportId(reader.long()?),
                account: as_damage(KIND, AccountSlug::parse(reader.text()?))?,
            },
            6 => Self::ImportGone(ImportId(reader.long()?)),
            _ => return Err(reader.damaged()),
        })
    }
}

fn count<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}
