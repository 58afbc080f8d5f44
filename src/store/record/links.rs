//! Records of links to a new password and to a new address.
//!
//! Contain no token: its hash is kept so that the index entry of the link can be removed with it.

use super::{Reader, Writer, as_damage};
use crate::domain::{
    AccountSlug, Digest, Email, EmailEnd, Failure, KeyId, LetterId, Link, LinkId, LinkPurpose,
    MemberId, TokenHash,
};

const KIND: &str = "link";

/// A stored link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRecord {
    /// The link.
    pub link: Link,
    /// The hash by which it is found.
    pub token: TokenHash,
    /// Its letter.
    pub letter: Option<LetterId>,
}

impl LinkRecord {
    /// The record; the id is its key.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let link = &self.link;
        let writer = Writer::new()
            .text(link.account.as_str())
            .text(link.member.as_str())
            .long(link.key.0.into())
            .time(link.created)
            .time(link.expires)
            .perhaps(link.confirmed, Writer::time)
            .raw(&self.token.0.0)
            .perhaps(self.letter.map(|letter| letter.0), Writer::long);
        match &link.purpose {
            LinkPurpose::PasswordReset => writer.byte(0).0,
            LinkPurpose::EmailChange { to, end: EmailEnd::Old } => {
                writer.byte(1).text(to.as_str()).0
            }
            LinkPurpose::EmailChange { to, end: EmailEnd::New } => {
                writer.byte(2).text(to.as_str()).0
            }
        }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// `Internal`, when it is damaged or of a newer version.
    pub fn decode(id: &str, bytes: &[u8]) -> Result<Self, Failure> {
        let mut reader = Reader::new(KIND, bytes)?;
        let link = Link {
            id: LinkId::parse(id).ok_or_else(|| reader.damaged())?,
            account: as_damage(KIND, AccountSlug::parse(reader.text()?))?,
            member: as_damage(KIND, MemberId::parse(reader.text()?))?,
            key: KeyId(reader.short()?),
            created: reader.time()?,
            expires: reader.time()?,
            confirmed: reader.perhaps(Reader::time)?,
            purpose: LinkPurpose::PasswordReset,
        };
        let token = TokenHash(Digest(reader.array()?));
        let letter = reader.perhaps(Reader::long)?.map(LetterId);
        let link = Link { purpose: purpose(&mut reader)?, ..link };
        reader.end(Self { link, token, letter })
    }
}

fn purpose(reader: &mut Reader<'_>) -> Result<LinkPurpose, Failure> {
    let end = match reader.byte()? {
        0 => return Ok(LinkPurpose::PasswordReset),
        1 => EmailEnd::Old,
        2 => EmailEnd::New,
        _ => return Err(reader.damaged()),
    };
    Ok(LinkPurpose::EmailChange { to: as_damage(KIND, Email::parse(reader.text()?))?, end })
}
