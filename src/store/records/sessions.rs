//! Records of sessions and passwords.
//!
//! Contain no token and no password: a session's key is the hash of its token, a password is a PHC
//! string.

use super::{RecordReader, RecordWriter, as_damage};
use crate::domain::{AccountSlug, Digest, Failure, MemberId, Session, SessionId, TokenHash};
use crate::store::requests_and_views::sessions::Credential;

/// A session's record; the hash of its token is its key.
#[must_use]
pub fn encode_session(session: &Session) -> Vec<u8> {
    RecordWriter::new()
        .text(session.id.as_str())
        .text(session.member.as_str())
        .text(session.account.as_str())
        .time(session.created)
        .time(session.used)
        .text(&session.address)
        .text(&session.agent)
        .0
}

/// Reads a session's record.
///
/// # Errors
/// `Internal`, when it is damaged or of a newer version.
pub fn decode_session(token: &[u8; 32], bytes: &[u8]) -> Result<Session, Failure> {
    const KIND: &str = "session";
    let mut reader = RecordReader::new(KIND, bytes)?;
    let session = Session {
        id: SessionId::parse(reader.text()?).ok_or_else(|| reader.damaged())?,
        token: TokenHash(Digest(*token)),
        member: as_damage(KIND, MemberId::parse(reader.text()?))?,
        account: as_damage(KIND, AccountSlug::parse(reader.text()?))?,
        created: reader.time()?,
        used: reader.time()?,
        address: reader.text()?.to_owned(),
        agent: reader.text()?.to_owned(),
    };
    reader.end(session)
}

/// A password's record.
#[must_use]
pub fn encode_credential(credential: &Credential) -> Vec<u8> {
    RecordWriter::new().time(credential.changed).text(&credential.password).0
}

/// Reads a password's record.
///
/// # Errors
/// `Internal`, when it is damaged or of a newer version.
pub fn decode_credential(bytes: &[u8]) -> Result<Credential, Failure> {
    let mut reader = RecordReader::new("password", bytes)?;
    let credential = Credential { changed: reader.time()?, password: reader.text()?.to_owned() };
    reader.end(credential)
}
