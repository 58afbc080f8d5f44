//! The record of a policy set that was published to the nodes of a fleet; its files are another one.

use super::{RecordReader, RecordWriter, as_damage};
use crate::domain::{Digest, Failure, PolicyCause, RoleId};
use crate::store::requests_and_views::policies::Publication;

const KIND: &str = "published policy set";

impl Publication {
    /// The record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let roles = u64::try_from(self.roles.len()).unwrap_or(u64::MAX);
        let writer = RecordWriter::new()
            .long(self.number)
            .raw(&self.digest.0)
            .time(self.at)
            .text(&self.actor)
            .text(self.cause.as_str())
            .byte(self.is_pinned.into())
            .long(roles);
        self.roles.iter().fold(writer, |writer, role| writer.text(role.as_str())).0
    }

    /// Reads a record.
    ///
    /// # Errors
    /// `Internal`, when it is damaged or of a newer version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        let mut reader = RecordReader::new(KIND, bytes)?;
        let (number, digest) = (reader.long()?, Digest(reader.array()?));
        let (at, actor) = (reader.time()?, reader.text()?.to_owned());
        let cause = reader.text()?;
        let cause = PolicyCause::ALL.into_iter().find(|known| known.as_str() == cause);
        let cause = cause.ok_or_else(|| reader.damaged())?;
        let is_pinned = reader.flag()?;
        let mut roles = Vec::new();
        // A count that is too large ends with the bytes.
        for _ in 0..reader.long()? {
            roles.push(as_damage(KIND, RoleId::parse(reader.text()?))?);
        }
        reader.end(Self { number, digest, at, actor, cause, roles, is_pinned })
    }
}
