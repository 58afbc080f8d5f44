//! Records as bytes: twins of the domain's values, as the store keeps them.
//!
//! Each record begins with a version byte. Numbers are little-endian; a text is its length in 32
//! bits and its UTF-8 bytes. `tests/it/golden` has one example of each kind: changing one changes
//! the format of existing data, and must be deliberate.

pub mod api_tokens;
pub mod fleet_membership;
pub mod import;
pub mod invites;
pub mod node_report;
pub mod one_time_links;
pub mod policy_history;
pub mod publication;
pub mod queued_mail;
pub mod sessions;
pub mod shared_log_entry;
pub mod shared_log_position;
pub mod snapshot_manifest;
pub mod two_step;

use std::time::Duration;

use crate::domain::{
    Account, AccountSlug, Actor, Digest, Email, Failure, FieldChange, ImportId, Member, MemberId,
    Name, Revision, RoleId, Status, Timestamp, Version,
};
use crate::store::StoredPolicies;

/// The version byte of records, except where a kind has its own.
const VERSION: u8 = 1;
/// The second version of an account has settings, and its last change.
const ACCOUNT_VERSION: u8 = 2;
/// The second version of a member names its import.
const MEMBER_VERSION: u8 = 2;

/// The last change of a record, for the refusal of an older version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastChange {
    /// As [`crate::domain::Actor::label`] writes it.
    pub actor: String,
    /// The time.
    pub at: Timestamp,
}

/// A stored account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRecord {
    /// The account.
    pub account: Account,
    /// Its last change.
    pub last_change: LastChange,
}

/// A stored member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRecord {
    /// The member.
    pub member: Member,
    /// Its last change.
    pub last_change: LastChange,
    /// The import that staged it, until it is changed: while that is not made, nobody sees it.
    pub import: Option<ImportId>,
}

/// The part of an audit entry that the hash chain covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditHeader {
    /// From 1, without gaps.
    pub sequence: u64,
    /// The revision of the change.
    pub revision: Revision,
    /// The time.
    pub at: Timestamp,
    /// The actor.
    pub actor: String,
    /// The event.
    pub event: String,
    /// The target.
    pub target: String,
    /// The salted digest of the personal part.
    pub personal: Digest,
}

/// The end of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AuditHead {
    /// The sequence of the last entry; 0 for none.
    pub sequence: u64,
    /// The hash up to and with it.
    pub hash: Digest,
}

/// The personal part of an entry, with its salt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonalPart {
    /// Prevents guessing names from the digest.
    pub salt: [u8; 16],
    /// Names, addresses, before and after.
    pub detail: Vec<FieldChange>,
}

impl PersonalPart {
    /// The digest in the header.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&[&self.salt, &detail_bytes(&self.detail)])
    }
}

impl AuditHeader {
    /// The hash of the chain with this entry after `before`.
    #[must_use]
    pub fn hash(&self, before: Digest) -> Digest {
        Digest::of(&[&before.0, &self.encode()])
    }
}

/// Encodes a record.
struct RecordWriter(Vec<u8>);

impl RecordWriter {
    fn new() -> Self {
        Self(vec![VERSION])
    }

    fn of_version(version: u8) -> Self {
        Self(vec![version])
    }

    fn byte(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    fn long(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn time(mut self, value: Timestamp) -> Self {
        self.0.extend_from_slice(&value.0.to_le_bytes());
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_le_bytes());
        self.raw(bytes)
    }

    fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    fn option(self, text: Option<&str>) -> Self {
        self.perhaps(text, Self::text)
    }

    /// An optional value: a byte that says whether it is present, and the value.
    fn perhaps<T>(self, value: Option<T>, write: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            Some(value) => write(self.byte(1), value),
            None => self.byte(0),
        }
    }

    fn change(self, change: &LastChange) -> Self {
        self.time(change.at).text(&change.actor)
    }
}

/// Decodes a record; anything unexpected is reported as damage.
struct RecordReader<'r> {
    rest: &'r [u8],
    kind: &'static str,
}

impl<'r> RecordReader<'r> {
    fn new(kind: &'static str, bytes: &'r [u8]) -> Result<Self, Failure> {
        Self::up_to(VERSION, kind, bytes).map(|(_, reader)| reader)
    }

    /// For a kind of record with several versions: the version, and the rest.
    fn up_to(newest: u8, kind: &'static str, bytes: &'r [u8]) -> Result<(u8, Self), Failure> {
        match bytes.split_first() {
            Some((&version, rest)) if (1..=newest).contains(&version) => {
                Ok((version, Self { rest, kind }))
            }
            Some((&version, _)) if version > newest => Err(newer(kind)),
            _ => Err(damaged(kind)),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'r [u8], Failure> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| self.damaged())?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Failure> {
        self.take(N)?.try_into().map_err(|_| self.damaged())
    }

    fn byte(&mut self) -> Result<u8, Failure> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn flag(&mut self) -> Result<bool, Failure> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.damaged()),
        }
    }

    fn long(&mut self) -> Result<u64, Failure> {
        self.array().map(u64::from_le_bytes)
    }

    fn time(&mut self) -> Result<Timestamp, Failure> {
        self.array().map(|bytes| Timestamp(i64::from_le_bytes(bytes)))
    }

    fn bytes(&mut self) -> Result<&'r [u8], Failure> {
        let length = u32::from_le_bytes(self.array()?);
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn text(&mut self) -> Result<&'r str, Failure> {
        std::str::from_utf8(self.bytes()?).map_err(|_| self.damaged())
    }

    fn option(&mut self) -> Result<Option<&'r str>, Failure> {
        self.perhaps(Self::text)
    }

    fn perhaps<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        match self.byte()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(self.damaged()),
        }
    }

    fn change(&mut self) -> Result<LastChange, Failure> {
        Ok(LastChange { at: self.time()?, actor: self.text()?.to_owned() })
    }

    /// A number with a limited range.
    fn short(&mut self) -> Result<u32, Failure> {
        u32::try_from(self.long()?).map_err(|_| self.damaged())
    }

    fn damaged(&self) -> Failure {
        damaged(self.kind)
    }

    /// Checks that nothing is left.
    fn end<T>(self, value: T) -> Result<T, Failure> {
        if self.rest.is_empty() { Ok(value) } else { Err(self.damaged()) }
    }
}

fn damaged(kind: &str) -> Failure {
    Failure::internal(format!("a stored {kind} is damaged: restore a backup"))
}

/// The failure for a record of a newer version of this program.
pub(super) fn newer(kind: &str) -> Failure {
    Failure::internal(format!(
        "a stored {kind} was written by a newer kwic-team: run that version or a later one"
    ))
}

/// The domain's checks apply to what is read, too.
fn as_damage<T>(kind: &str, checked: Result<T, Failure>) -> Result<T, Failure> {
    checked.map_err(|_| damaged(kind))
}

impl AccountRecord {
    /// The record; the slug is its key.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let account = &self.account;
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        RecordWriter::of_version(ACCOUNT_VERSION)
            .time(account.created)
            .long(account.version.0)
            .text(&account.name)
            .byte(account.two_step_enforced.into())
            .perhaps(account.invite_lifetime.map(ms), RecordWriter::long)
            .change(&self.last_change)
            .0
    }

    /// Reads a record.
    ///
    /// # Errors
    /// `Internal`, when it is damaged or of a newer version.
    pub fn decode(slug: &str, bytes: &[u8]) -> Result<Self, Failure> {
        let (version, mut reader) = RecordReader::up_to(ACCOUNT_VERSION, "account", bytes)?;
        let mut account = Account {
            slug: as_damage("account", AccountSlug::parse(slug))?,
            created: reader.time()?,
            version: Version(reader.long()?),
            name: reader.text()?.to_owned(),
            invite_lifetime: None,
            two_step_enforced: false,
        };
        // An account of the first version could not be changed.
        let mut last_change = LastChange { actor: Actor::System.label(), at: account.created };
        if version > VERSION {
            account.two_step_enforced = reader.flag()?;
            account.invite_lifetime =
                reader.perhaps(RecordReader::long)?.map(Duration::from_millis);
            last_change = reader.change()?;
        }
        reader.end(Self { account, last_change })
    }
}

impl MemberRecord {
    /// The record; the id is its key.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let member = &self.member;
        // Without an import it is what every version reads.
        RecordWriter::of_version(if self.import.is_some() { MEMBER_VERSION } else { VERSION })
            .byte(u8::from(member.status == Status::Active) | u8::from(member.two_step) << 1)
            .time(member.joined)
            .long(member.version.0)
            .time(self.last_change.at)
            .text(&self.last_change.actor)
            .text(member.account.as_str())
            .text(member.role.as_str())
            .text(member.email.as_str())
            .text(member.first_name.as_str())
            .text(member.last_name.as_str())
            .raw(self.import.map(|import| import.0.to_le_bytes()).as_ref().map_or(&[], |id| id))
            .0
    }

    /// Reads a record.
    ///
    /// # Errors
    /// `Internal`, when it is damaged or of a newer version.
    pub fn decode(id: &str, bytes: &[u8]) -> Result<Self, Failure> {
        let (of, mut reader) = RecordReader::up_to(MEMBER_VERSION, "member", bytes)?;
        let flags = reader.byte()?;
        let (joined, version, at) = (reader.time()?, Version(reader.long()?), reader.time()?);
        let actor = reader.text()?.to_owned();
        let (account, role, email) = (reader.text()?, reader.text()?, reader.text()?);
        let (first_name, last_name) = (reader.text()?, reader.text()?);
        let import = (of > VERSION).then(|| reader.long().map(ImportId)).transpose()?;
        let checked = || {
            Ok(Member {
                id: MemberId::parse(id)?,
                account: AccountSlug::parse(account)?,
                email: Email::parse(email)?,
                first_name: Name::parse("first_name", first_name)?,
                last_name: Name::last(last_name)?,
                role: RoleId::parse(role)?,
                status: if flags & 1 == 1 { Status::Active } else { Status::Suspended },
                two_step: flags & 2 == 2,
                joined,
                version,
            })
        };
        let member = as_damage("member", checked())?;
        reader.end(Self { member, last_change: LastChange { actor, at }, import })
    }
}

impl AuditHeader {
    /// The bytes that the chain covers.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        RecordWriter::new()
            .long(self.sequence)
            .long(self.revision.0)
            .time(self.at)
            .text(&self.actor)
            .text(&self.event)
            .text(&self.target)
            .raw(&self.personal.0)
            .0
    }

    /// Reads a header and the stored hash of the chain after it.
    ///
    /// # Errors
    /// `Internal`, when it is damaged or of a newer version.
    pub fn decode(bytes: &[u8]) -> Result<(Self, Digest), Failure> {
        let mut reader = RecordReader::new("audit entry", bytes)?;
        let header = Self {
            sequence: reader.long()?,
            revision: Revision(reader.long()?),
            at: reader.time()?,
            actor: reader.text()?.to_owned(),
            event: reader.text()?.to_owned(),
            target: reader.text()?.to_owned(),
            personal: Digest(reader.array()?),
        };
        let hash = Digest(reader.array()?);
        reader.end((header, hash))
    }

    /// The header with the hash of the chain, as stored.
    #[must_use]
    pub fn encode_with(&self, hash: Digest) -> Vec<u8> {
        RecordWriter(self.encode()).raw(&hash.0).0
    }
}

impl AuditHead {
    /// The record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        RecordWriter::new().long(self.sequence).raw(&self.hash.0).0
    }

    /// Reads a record.
    ///
    /// # Errors
    /// `Internal`, when it is damaged or of a newer version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        let mut reader = RecordReader::new("audit head", bytes)?;
        let head = Self { sequence: reader.long()?, hash: Digest(reader.array()?) };
        reader.end(head)
    }
}

fn detail_bytes(detail: &[FieldChange]) -> Vec<u8> {
    let count = u64::try_from(detail.len()).unwrap_or(u64::MAX);
    detail
        .iter()
        .fold(RecordWriter::new().long(count), |writer, FieldChange { field, before, after }| {
            writer.text(field).option(before.as_deref()).option(after.as_deref())
        })
        .0
}

impl PersonalPart {
    /// The record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        RecordWriter::new().raw(&self.salt).bytes(&detail_bytes(&self.detail)).0
    }

    /// Reads a record.
    ///
    /// # Errors
    /// `Internal`, when it is damaged or of a newer version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        const KIND: &str = "personal part of an audit entry";
        let mut reader = RecordReader::new(KIND, bytes)?;
        let salt = reader.array()?;
        let mut inner = RecordReader::new(KIND, reader.bytes()?)?;
        let mut detail = Vec::new();
        for _ in 0..inner.long()? {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            // The fields are read in the order in which they were written.
            detail.push(FieldChange {
                field: inner.text()?.to_owned(),
                before: owned(inner.option()?),
                after: owned(inner.option()?),
            });
        }
        inner.end(())?;
        reader.end(Self { salt, detail })
    }
}

/// The record of a policy set.
#[must_use]
pub fn encode_policies(policies: &StoredPolicies) -> Vec<u8> {
    let count = u64::try_from(policies.files.len()).unwrap_or(u64::MAX);
    policies
        .files
        .iter()
        .fold(
            RecordWriter::new().raw(&policies.digest.0).time(policies.at).long(count),
            |writer, (path, bytes)| writer.text(path).bytes(bytes),
        )
        .0
}

/// Reads the record of a policy set.
///
/// # Errors
/// `Internal`, when it is damaged or of a newer version.
pub fn decode_policies(bytes: &[u8]) -> Result<StoredPolicies, Failure> {
    let mut reader = RecordReader::new("policy set", bytes)?;
    let (digest, at) = (Digest(reader.array()?), reader.time()?);
    let mut files = Vec::new();
    for _ in 0..reader.long()? {
        files.push((reader.text()?.to_owned(), reader.bytes()?.to_vec()));
    }
    reader.end(StoredPolicies { digest, at, files })
}
