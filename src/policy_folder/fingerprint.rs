//! The fingerprint of a policy folder: equal as long as nothing relevant changes.
//!
//! For files that are loaded, or that would be a fault: identity, size and times, behind every
//! link. Any other file is relevant only if it contains a policy: it is opened when it has changed,
//! so that a log beside the policies causes no reload.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::file_reader::read_file;
use super::folder_listing::{FolderEntry, FolderListing, list};
use crate::domain::digest::Hasher;
use crate::domain::policy_file_kind::{PolicyFileKind, misplaced};
use crate::domain::{Digest, Failure, limits};

/// Fingerprints one folder, and remembers which files are irrelevant.
#[derive(Debug, Default)]
pub(super) struct FolderFingerprint {
    known: HashMap<PathBuf, (FileStamp, bool)>,
}

/// Differs when a file was replaced or modified.
type FileStamp = [u8; 64];

impl FolderFingerprint {
    /// A file that cannot be examined, or read if required, is part of the fingerprint.
    pub(super) fn fingerprint(&mut self, dir: &Path) -> Digest {
        let mut hasher = Hasher::default();
        match list(dir) {
            Err(fault) => hasher.part(fault.public.as_bytes()),
            Ok(listed) => self.add(&listed, &mut hasher),
        }
        hasher.finish()
    }

    fn add(&mut self, listed: &FolderListing, hasher: &mut Hasher) {
        let before = std::mem::take(&mut self.known);
        let mut room = limits::POLICY_FOLDER_BYTES_MAX;
        for found in &listed.files {
            let stamp = match fs::metadata(&found.path) {
                Ok(meta) => stamp(&meta),
                Err(fault) if fault.kind() == io::ErrorKind::NotFound => continue,
                Err(fault) => {
                    hasher.part(found.name.as_bytes());
                    hasher.part(fault.to_string().as_bytes());
                    continue;
                }
            };
            let known = before.get(&found.path).filter(|(then, _)| *then == stamp);
            let counts = match known {
                Some((_, counts)) => Ok(*counts),
                None => counts(&listed.root, found, &mut room),
            };
            match counts {
                Err(fault) => hasher.part(fault.public.as_bytes()),
                Ok(counts) => {
                    if counts {
                        hasher.part(found.name.as_bytes());
                        hasher.raw(&stamp);
                    }
                    self.known.insert(found.path.clone(), (stamp, counts));
                }
            }
        }
        listed.misplaced.iter().for_each(|(name, _)| hasher.part(name.as_bytes()));
    }
}

/// Whether a file is loaded, or a fault.
fn counts(root: &Path, found: &FolderEntry, room: &mut u64) -> Result<bool, Failure> {
    if PolicyFileKind::of(&found.name).is_some() || misplaced(&found.name, &[]).is_some() {
        return Ok(true);
    }
    let Some(head) = read_file(root, found, room)? else { return Ok(false) };
    Ok(misplaced(&found.name, &head).is_some())
}

fn stamp(meta: &Metadata) -> FileStamp {
    let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
    let numbers = [meta.dev(), meta.ino(), meta.size(), meta.mode().into()];
    let mut stamp = [0; 64];
    let parts =
        times.iter().map(|n| n.to_le_bytes()).chain(numbers.iter().map(|n| n.to_le_bytes()));
    for (place, part) in stamp.chunks_exact_mut(8).zip(parts) {
        place.copy_from_slice(&part);
    }
    stamp
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_counts_changes_the_picture() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        fs::create_dir(dir.join("rules")).unwrap();
        let mut look = FolderFingerprint::default();
        let mut changes = |path: &str, text: &str| {
            let before = look.fingerprint(dir);
            fs::write(dir.join(path), text).unwrap();
            let after = look.fingerprint(dir);
            assert_eq!(
                after,
                FolderFingerprint::default().fingerprint(dir),
                "what is remembered is so"
            );
            before != after
        };
        for (path, text, expected) in [
            ("rules/a.cedar", "", true),
            ("rules/a.cedar", "forbid", true),
            ("sync.log", "one", false),
            ("sync.log", "one and two", false),
            ("rules/sync.log", "one", false),
            ("rules/.a.cedar.swp", "one", false),
            ("rules/a.cedar~", "one", false),
            ("sync.log", "forbid (principal, action, resource);", true),
            ("sync.log", "three", true),
            ("rules/.b.cedar", "", true),
            ("rules/b.cedar.bak", "", true),
            ("tests.yaml", "", true),
        ] {
            assert_eq!(changes(path, text), expected, "{path}: {text}");
        }
    }
}
