//! Records of second factors.
//!
//! Contain no secret in clear: an authenticator's secret is encrypted, a recovery code is hashed.

use super::{RecordReader, RecordWriter};
use crate::domain::two_step::{Authenticator, PendingAuthenticator, RecoveryHash};
use crate::domain::{Digest, Factors, Failure, KeyId, Name, Passkey, PasskeyId, Sealed};

/// The second version of the record has passkeys.
const FACTORS_VERSION: u8 = 2;

/// The record of a member's factors.
#[must_use]
pub fn encode_factors(factors: &Factors) -> Vec<u8> {
    let count = u64::try_from(factors.recovery.len()).unwrap_or(u64::MAX);
    let writer = RecordWriter::of_version(FACTORS_VERSION)
        .long(factors.round)
        .long(factors.failures.into())
        .perhaps(factors.authenticator.as_ref(), |writer, it| {
            sealed(writer, &it.secret).long(it.step).time(it.since)
        })
        .perhaps(factors.pending.as_ref(), |writer, it| sealed(writer, &it.secret).time(it.expires))
        .long(count);
    let writer = factors.recovery.iter().fold(writer, |writer, hash| writer.raw(&hash.0.0));
    let count = u64::try_from(factors.passkeys.len()).unwrap_or(u64::MAX);
    factors.passkeys.iter().fold(writer.long(count), passkey).0
}

fn passkey(writer: RecordWriter, passkey: &Passkey) -> RecordWriter {
    writer
        .text(passkey.id.as_str())
        .text(passkey.name.as_str())
        .bytes(&passkey.credential)
        .time(passkey.created)
        .perhaps(passkey.used, RecordWriter::time)
}

fn sealed(writer: RecordWriter, sealed: &Sealed) -> RecordWriter {
    writer.long(sealed.key.0.into()).bytes(&sealed.bytes)
}

/// Reads the record of a member's factors.
///
/// # Errors
/// `Internal`, when it is damaged or of a newer version.
pub fn decode_factors(bytes: &[u8]) -> Result<Factors, Failure> {
    let (version, mut reader) = RecordReader::up_to(FACTORS_VERSION, "second factor", bytes)?;
    let mut factors =
        Factors { round: reader.long()?, failures: reader.short()?, ..Factors::default() };
    factors.authenticator = reader.perhaps(|reader| {
        let secret = read_sealed(reader)?;
        Ok(Authenticator { secret, step: reader.long()?, since: reader.time()? })
    })?;
    factors.pending = reader.perhaps(|reader| {
        Ok(PendingAuthenticator { secret: read_sealed(reader)?, expires: reader.time()? })
    })?;
    for _ in 0..reader.long()? {
        factors.recovery.push(RecoveryHash(Digest(reader.array()?)));
    }
    let passkeys = if version == FACTORS_VERSION { reader.long()? } else { 0 };
    for _ in 0..passkeys {
        factors.passkeys.push(read_passkey(&mut reader)?);
    }
    reader.end(factors)
}

fn read_passkey(reader: &mut RecordReader<'_>) -> Result<Passkey, Failure> {
    Ok(Passkey {
        id: PasskeyId::parse(reader.text()?).ok_or_else(|| reader.damaged())?,
        name: Name::parse("name", reader.text()?).map_err(|_| reader.damaged())?,
        credential: reader.bytes()?.to_vec(),
        created: reader.time()?,
        used: reader.perhaps(RecordReader::time)?,
    })
}

fn read_sealed(reader: &mut RecordReader<'_>) -> Result<Sealed, Failure> {
    Ok(Sealed { key: KeyId(reader.short()?), bytes: reader.bytes()?.to_vec() })
}
