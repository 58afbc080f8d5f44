//! Records of invites: the invite, the hashes of its links, and idempotent calls.
//!
//! Contain no token: its hash is a key.

use super::{LastChange, RecordReader, RecordWriter, as_damage};
use crate::domain::{
    AccountSlug, Actor, Digest, Email, Failure, Generation, Invite, InviteId, InviteOutcome, KeyId,
    MailId, MemberId, Name, RoleId, Timestamp, Version,
};

const KIND: &str = "invite";
const OPEN: u8 = 0;
const ACCEPTED: u8 = 1;
const REVOKED: u8 = 2;

/// A stored invite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InviteRecord {
    /// The invite.
    pub invite: Invite,
    /// The last letter that asked for a new link.
    pub wanted: Option<MailId>,
    /// Its last change.
    pub last_change: LastChange,
}

impl InviteRecord {
    /// The record; the id is its key.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let invite = &self.invite;
        let writer = RecordWriter::new()
            .text(invite.account.as_str())
            .text(invite.email.as_str())
            .text(invite.first_name.as_str())
            .text(invite.last_name.as_str())
            .text(invite.role.as_str())
            .text(&invite.inviter.label())
            .time(invite.created)
            .time(invite.sent)
            .time(invite.expires)
            .long(invite.generation.0.into())
            .long(invite.key.0.into());
        let writer = match &invite.fate {
            InviteOutcome::Open => writer.byte(OPEN),
            InviteOutcome::Accepted { member, at } => {
                writer.byte(ACCEPTED).text(member.as_str()).time(*at)
            }
            InviteOutcome::Revoked { at } => writer.byte(REVOKED).time(*at),
        };
        writer
            .perhaps(invite.letter.map(|letter| letter.0), RecordWriter::long)
            .perhaps(self.wanted.map(|letter| letter.0), RecordWriter::long)
            .long(invite.version.0)
            .change(&self.last_change)
            .0
    }

    /// Reads a record.
    ///
    /// # Errors
    /// `Internal`, when it is damaged or of a newer version.
    pub fn decode(id: &str, bytes: &[u8]) -> Result<Self, Failure> {
        let mut reader = RecordReader::new(KIND, bytes)?;
        let invite = Invite {
            id: InviteId::parse(id).ok_or_else(|| reader.damaged())?,
            account: as_damage(KIND, AccountSlug::parse(reader.text()?))?,
            email: as_damage(KIND, Email::parse(reader.text()?))?,
            first_name: as_damage(KIND, Name::parse("first_name", reader.text()?))?,
            last_name: as_damage(KIND, Name::last(reader.text()?))?,
            role: as_damage(KIND, RoleId::parse(reader.text()?))?,
            inviter: Actor::from_label(reader.text()?).ok_or_else(|| reader.damaged())?,
            created: reader.time()?,
            sent: reader.time()?,
            expires: reader.time()?,
            generation: Generation(reader.short()?),
            key: KeyId(reader.short()?),
            fate: fate(&mut reader)?,
            letter: reader.perhaps(RecordReader::long)?.map(MailId),
            version: Version(0),
        };
        let wanted = reader.perhaps(RecordReader::long)?.map(MailId);
        let invite = Invite { version: Version(reader.long()?), ..invite };
        let last_change = reader.change()?;
        reader.end(Self { invite, wanted, last_change })
    }
}

fn fate(reader: &mut RecordReader<'_>) -> Result<InviteOutcome, Failure> {
    match reader.byte()? {
        OPEN => Ok(InviteOutcome::Open),
        ACCEPTED => Ok(InviteOutcome::Accepted {
            member: as_damage(KIND, MemberId::parse(reader.text()?))?,
            at: reader.time()?,
        }),
        REVOKED => Ok(InviteOutcome::Revoked { at: reader.time()? }),
        _ => Err(reader.damaged()),
    }
}

/// The invite of a token; kept when the link was replaced, so that a dead link is recognized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InviteTokenRecord {
    /// The invite.
    pub invite: InviteId,
    /// The number of the link.
    pub generation: Generation,
}

impl InviteTokenRecord {
    /// The record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        RecordWriter::new().text(self.invite.as_str()).long(self.generation.0.into()).0
    }

    /// Reads a record.
    ///
    /// # Errors
    /// `Internal`, when it is damaged or of a newer version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        let mut reader = RecordReader::new("invite's link", bytes)?;
        let record = Self {
            invite: InviteId::parse(reader.text()?).ok_or_else(|| reader.damaged())?,
            generation: Generation(reader.short()?),
        };
        reader.end(record)
    }
}

/// An idempotent call, and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotentCallRecord {
    /// The digest of the call.
    pub request: Digest,
    /// The resulting invite.
    pub invite: InviteId,
    /// The time.
    pub at: Timestamp,
}

impl IdempotentCallRecord {
    /// The record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        RecordWriter::new().raw(&self.request.0).text(self.invite.as_str()).time(self.at).0
    }

    /// Reads a record.
    ///
    /// # Errors
    /// `Internal`, when it is damaged or of a newer version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        let mut reader = RecordReader::new("idempotency key", bytes)?;
        let record = Self {
            request: Digest(reader.array()?),
            invite: InviteId::parse(reader.text()?).ok_or_else(|| reader.damaged())?,
            at: reader.time()?,
        };
        reader.end(record)
    }
}
