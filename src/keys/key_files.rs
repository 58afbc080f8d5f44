//! The keys of one kind, as files: `KIND-NUMBER.key`, 64 hexadecimal digits each.
//!
//! Never changes or removes an existing key.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::config::SecretFile;
use crate::domain::{Digest, Failure, KeyId, KeyKind, KeyMark, Kind};
use crate::entropy;

/// Bytes of a key: the size of the hash (RFC 2104 section 3), and of a `ChaCha20` key (RFC 8439
/// section 2.3).
pub(super) const KEY_BYTES: usize = 32;

/// The keys of one kind, by number.
pub(super) struct KeyRing(BTreeMap<KeyId, [u8; KEY_BYTES]>);

impl KeyRing {
    /// One temporary key, for this process only.
    pub(super) fn passing() -> Result<Self, Failure> {
        Ok(Self(BTreeMap::from([(KeyId(1), entropy::random()?)])))
    }

    /// Reads the keys of a kind; creates the folder and the first key if there is none.
    pub(super) fn open(folder: &Path, kind: &str) -> Result<Self, Failure> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|fault| refuse(folder, &fault))?;
        let ring = Self::read(folder, kind)?;
        if ring.is_empty() {
            ring.extend(folder, kind)?;
            return Self::read(folder, kind);
        }
        Ok(ring)
    }

    /// Reads the keys of a kind, and creates none.
    pub(super) fn read(folder: &Path, kind: &str) -> Result<Self, Failure> {
        let mut keys = BTreeMap::new();
        let entries = match fs::read_dir(folder) {
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(Self(keys)),
            entries => entries.map_err(|fault| refuse(folder, &fault))?,
        };
        for entry in entries {
            let path = entry.map_err(|fault| refuse(folder, &fault))?.path();
            let Some(number) = number_of(&path, kind) else { continue };
            let secret = SecretFile::read(&path).map_err(|why| refuse(&path, &why))?;
            let key = Digest::from_hex(secret.text.trim())
                .ok_or_else(|| refuse(&path, &"it is damaged; restore it from a backup"))?;
            keys.insert(KeyId(number), key.0);
        }
        Ok(Self(keys))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys in the format of their files.
    pub(super) fn files<'r>(
        &'r self,
        kind: &'r str,
    ) -> impl Iterator<Item = (String, String)> + 'r {
        let text = |key: &[u8; KEY_BYTES]| format!("{}\n", Digest(*key).hex());
        self.0.iter().map(move |(id, key)| (format!("{kind}-{}.key", id.0), text(key)))
    }

    /// The marks of all keys.
    pub(super) fn marks(&self, kind: KeyKind) -> impl Iterator<Item = KeyMark> {
        self.0.iter().map(move |(id, key)| KeyMark::of(kind, *id, key))
    }

    /// The keys of this ring that another one lacks, or has with another content.
    pub(super) fn without(&self, other: &Self) -> impl Iterator<Item = KeyId> {
        self.0.iter().filter(|(id, key)| other.0.get(id) != Some(*key)).map(|(id, _)| *id)
    }

    /// Writes one more key.
    pub(super) fn extend(&self, folder: &Path, kind: &str) -> Result<PathBuf, Failure> {
        let number = self.current().0.checked_add(1).ok_or_else(|| {
            let last = folder.join(format!("{kind}-{}.key", self.current().0));
            refuse(&last, &"no higher number is left; restore the folder from a backup")
        })?;
        let path = folder.join(format!("{kind}-{number}.key"));
        let key: [u8; KEY_BYTES] = entropy::random()?;
        write_new(&path, &Digest(key).hex()).map_err(|fault| refuse(&path, &fault))?;
        Ok(path)
    }

    /// The highest number; 0 for none.
    pub(super) fn current(&self) -> KeyId {
        self.0.last_key_value().map_or(KeyId(0), |(id, _)| *id)
    }

    pub(super) fn get(&self, id: KeyId) -> Option<&[u8; KEY_BYTES]> {
        self.0.get(&id)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.0.keys().copied()
    }
}

pub(super) fn refuse(what: &Path, why: &dyn fmt::Display) -> Failure {
    let sentence = format!("the key `{}` cannot be used: {why}", what.display());
    Failure::new(Kind::Internal, "keys", sentence)
}

pub(super) fn number_of(path: &Path, kind: &str) -> Option<u32> {
    let name = path.file_name()?.to_str()?.strip_prefix(kind)?;
    name.strip_prefix('-')?.strip_suffix(".key")?.parse().ok()
}

/// Written to a temporary file and linked: a partial key must never be read, and an existing file
/// stays.
pub(super) fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(fault),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    match fs::hard_link(&new, path) {
        Ok(()) => fs::remove_file(&new)?,
        // Not every file system has hard links.
        Err(_) if fs::symlink_metadata(path).is_err() => fs::rename(&new, path)?,
        Err(fault) => return fs::remove_file(&new).and(Err(fault)),
    }
    // What is encrypted with it must not outlive its name.
    path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}
