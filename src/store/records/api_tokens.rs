//! Records of API tokens.
//!
//! Contain only the hash of the secret.

use super::{RecordReader, RecordWriter, as_damage};
use crate::domain::{
    AccountSlug, ApiToken, ApiTokenId, Digest, Failure, MemberId, Name, RoleId, TokenHash,
};

/// A token's record; the id is its key.
#[must_use]
pub fn encode_api_token(token: &ApiToken) -> Vec<u8> {
    RecordWriter::new()
        .raw(&token.token.0.0)
        .text(token.name.as_str())
        .text(token.role.as_str())
        .text(token.member.as_str())
        .text(token.account.as_str())
        .time(token.created)
        .time(token.expires)
        .perhaps(token.used, RecordWriter::time)
        .0
}

/// Reads a token's record.
///
/// # Errors
/// `Internal`, when it is damaged or of a newer version.
pub fn decode_api_token(id: &str, bytes: &[u8]) -> Result<ApiToken, Failure> {
    const KIND: &str = "API token";
    let mut reader = RecordReader::new(KIND, bytes)?;
    let token = ApiToken {
        id: ApiTokenId::parse(id).ok_or_else(|| reader.damaged())?,
        token: TokenHash(Digest(reader.array()?)),
        name: as_damage(KIND, Name::parse("name", reader.text()?))?,
        role: as_damage(KIND, RoleId::parse(reader.text()?))?,
        member: as_damage(KIND, MemberId::parse(reader.text()?))?,
        account: as_damage(KIND, AccountSlug::parse(reader.text()?))?,
        created: reader.time()?,
        expires: reader.time()?,
        used: reader.perhaps(RecordReader::time)?,
    };
    reader.end(token)
}
