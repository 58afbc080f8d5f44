//! Records of links to a new password and to a new address.
//!
//! Contain no token: its hash is kept so that the index entry of the link can be removed with it.

use super::{RecordReader, RecordWriter, as_damage};
use crate::domain::{
    AccountSlug, AddressSide, Digest, Email, Failure, KeyId, LinkId, LinkPurpose, MailId, MemberId,
    OneTimeLink, TokenHash,
};

const KIND: &str = "link";

/// A stored link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneTimeLinkRecord {
    /// The link.
    pub link: OneTimeLink,
    /// The hash by which it is found.
    pub token: TokenHash,
    /// Its letter.
    pub letter: Option<MailId>,
}

impl OneTimeLinkRecord {
    /// The record; the id is its key.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let link = &self.link;
        let writer = RecordWriter::new()
            .text(link.account.as_str())
            .text(link.member.as_str())
            .long(link.key.0.into())
            .time(link.created)
            .time(link.expires)
            .perhaps(link.confirmed, RecordWriter::time)
            .raw(&self.token.0.0)
            .perhaps(self.letter.map(|letter| letter.0), RecordWriter::long);
        match &link.purpose {
            LinkPurpose::PasswordReset => writer.byte(0).0,
            LinkPurpose::EmailChange { to, end: AddressSide::Old } => {
                writer.byte(1).text(to.as_str()).0
            }
            LinkPurpose::EmailChange { to, end: AddressSide::New } => {
                writer.byte(2).text(to.as_str()).0
            }
        }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// `Internal`, when it is damaged or of a newer version.
    pub fn decode(id: &str, bytes: &[u8]) -> Result<Self, Failure> {
        let mut reader = RecordReader::new(KIND, bytes)?;
        let link = OneTimeLink {
            id: LinkId::parse(id).ok_or_else(|| reader.damaged())?,
            account: as_damage(KIND, AccountSlug::parse(reader.text()?))?,
            member: as_damage(KIND, MemberId::parse(reader.text()?))?,
            key: KeyId(reader.short()?),
            created: reader.time()?,
            expires: reader.time()?,
            confirmed: reader.perhaps(RecordReader::time)?,
            purpose: LinkPurpose::PasswordReset,
        };
        let token = TokenHash(Digest(reader.array()?));
        let letter = reader.perhaps(RecordReader::long)?.map(MailId);
        let link = OneTimeLink { purpose: purpose(&mut reader)?, ..link };
        reader.end(Self { link, token, letter })
    }
}

fn purpose(reader: &mut RecordReader<'_>) -> Result<LinkPurpose, Failure> {
    let end = match reader.byte()? {
        0 => return Ok(LinkPurpose::PasswordReset),
        1 => AddressSide::Old,
        2 => AddressSide::New,
        _ => return Err(reader.damaged()),
    };
    Ok(LinkPurpose::EmailChange { to: as_damage(KIND, Email::parse(reader.text()?))?, end })
}
