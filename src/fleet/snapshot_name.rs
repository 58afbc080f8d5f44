//! The names of a snapshot's objects: `snapshots/INDEX-ID/MANIFEST or PART`.
//!
//! The index is of the last entry in it, so that names sort by age. The id is random: two nodes that
//! write a snapshot of one place at once do not mix their parts.

use crate::domain::Failure;
use crate::entropy;

/// What the names of all snapshots begin with.
pub(super) const PREFIX: &str = "snapshots/";
const MANIFEST: &str = "manifest";

/// Names a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotName {
    /// The index of the last entry in it.
    pub index: u64,
    /// Random.
    pub id: [u8; 16],
}

impl SnapshotName {
    /// A new one.
    pub(super) fn of(index: u64) -> Result<Self, Failure> {
        Ok(Self { index, id: entropy::random()? })
    }

    /// The snapshot of an object, and whether it is its manifest; `None`, where the name is of
    /// another form.
    pub(super) fn parse(object: &str) -> Option<(Self, bool)> {
        let (folder, file) = object.strip_prefix(PREFIX)?.split_once('/')?;
        let (index, id) = folder.split_once('-')?;
        let name = Self {
            index: u64::from_str_radix(index, 16).ok()?,
            id: u128::from_str_radix(id, 16).ok()?.to_be_bytes(),
        };
        let is_manifest = file == MANIFEST;
        // One name for one object: no sign, no capitals, no fewer digits.
        let is_own = is_manifest || file.parse().is_ok_and(|part| name.part(part) == object);
        (is_own && (!is_manifest || name.manifest() == object)).then_some((name, is_manifest))
    }

    /// The name of the manifest.
    pub(super) fn manifest(&self) -> String {
        format!("{}{MANIFEST}", self.folder())
    }

    /// The name of a part, from 0.
    pub(super) fn part(&self, number: u64) -> String {
        format!("{}{number:08}", self.folder())
    }

    fn folder(&self) -> String {
        format!("{PREFIX}{:016x}-{:032x}/", self.index, u128::from_be_bytes(self.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_and_others_are_passed_over() {
        let name = SnapshotName { index: 0x1f, id: [0xab; 16] };
        assert_eq!(
            name.part(7),
            "snapshots/000000000000001f-abababababababababababababababab/00000007"
        );
        assert_eq!(SnapshotName::parse(&name.part(7)), Some((name, false)));
        assert_eq!(SnapshotName::parse(&name.manifest()), Some((name, true)));
        for odd in [
            "nodes/1",
            "snapshots/1f-ab/00000007",
            "snapshots/000000000000001f-abababababababababababababababab/7",
            "snapshots/000000000000001f-abababababababababababababababab/+0000007",
            "snapshots/000000000000001F-abababababababababababababababab/manifest",
            "snapshots/000000000000001f-abababababababababababababababab/manifest.new",
        ] {
            assert_eq!(SnapshotName::parse(odd), None, "{odd}");
        }
    }
}
