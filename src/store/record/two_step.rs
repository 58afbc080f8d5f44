//! Records of second factors.
//!
//! Holds no secret in clear: an authenticator's is sealed, a recovery code's is a hash.

use super::{Reader, Writer};
use crate::domain::two_step::{Authenticator, Pending, RecoveryHash};
use crate::domain::{Digest, Factors, Failure, KeyId, Sealed};

/// The record of a member's factors.
#[must_use]
pub fn encode_factors(factors: &Factors) -> Vec<u8> {
    let count = u64::try_from(factors.recovery.len()).unwrap_or(u64::MAX);
    let writer = Writer::new()
        .long(factors.round)
        .long(factors.failures.into())
        .perhaps(factors.authenticator.as_ref(), |writer, it| {
            sealed(writer, &it.secret).long(it.step).time(it.since)
        })
        .perhaps(factors.pending.as_ref(), |writer, it| sealed(writer, &it.secret).time(it.expires))
        .long(count);
    factors.recovery.iter().fold(writer, |writer, hash| writer.raw(&hash.0.0)).0
}

fn sealed(writer: Writer, sealed: &Sealed) -> Writer {
    writer.long(sealed.key.0.into()).bytes(&sealed.bytes)
}

/// Reads the record of a member's factors.
///
/// # Errors
/// `Internal`, when it is damaged or of a newer version.
pub fn decode_factors(bytes: &[u8]) -> Result<Factors, Failure> {
    let mut reader = Reader::new("second factor", bytes)?;
    let mut factors =
        Factors { round: reader.long()?, failures: reader.short()?, ..Factors::default() };
    factors.authenticator = reader.perhaps(|reader| {
        let secret = read_sealed(reader)?;
        Ok(Authenticator { secret, step: reader.long()?, since: reader.time()? })
    })?;
    factors.pending = reader
        .perhaps(|reader| Ok(Pending { secret: read_sealed(reader)?, expires: reader.time()? }))?;
    for _ in 0..reader.long()? {
        factors.recovery.push(RecoveryHash(Digest(reader.array()?)));
    }
    reader.end(factors)
}

fn read_sealed(reader: &mut Reader<'_>) -> Result<Sealed, Failure> {
    Ok(Sealed { key: KeyId(reader.short()?), bytes: reader.bytes()?.to_vec() })
}
