//! The epoch keys of a fleet's log, as files: `epoch-NUMBER.key`, 64 hexadecimal digits and the index of
//! the log behind which the key seals.
//!
//! Everything in the log is sealed with the newest one. A new epoch begins with an entry of the log that
//! holds the next key, sealed with the one before: a node that follows the log gets every key, and a key
//! leads to those after it and to none before it. So once every node has destroyed the older keys, what
//! was sealed with them is lost, wherever a copy of it is. No backup has these keys.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::key_files::{KEY_BYTES, number_of, refuse, write_new};
use super::secret_encryption::{seal_with, unseal_with};
use crate::config::SecretFile;
use crate::domain::{Digest, Failure, KeyId, Sealed, opaque_debug};
use crate::entropy;

/// What the names of the files begin with.
const KIND: &str = "epoch";

/// The keys, by number. Clones are the same keys.
#[derive(Clone)]
pub struct EpochKeys(Arc<Inner>);

opaque_debug!(EpochKeys, "EpochKeys(..)");

struct Inner {
    /// `None` for keys of this process only.
    folder: Option<PathBuf>,
    keys: Mutex<BTreeMap<KeyId, EpochKey>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct EpochKey {
    key: [u8; KEY_BYTES],
    /// The index of the entry that began the epoch; what follows it is sealed with the key.
    begins: u64,
    /// Whether its file is there.
    is_kept: bool,
}

impl EpochKeys {
    /// The first key, for this process only.
    ///
    /// # Errors
    /// `Internal`, when the operating system has no randomness.
    pub fn passing() -> Result<Self, Failure> {
        let first = EpochKey { key: entropy::random()?, begins: 0, is_kept: true };
        Ok(Self::of(None, BTreeMap::from([(KeyId(1), first)])))
    }

    /// Reads the files of a folder, and creates none. Ends a destruction that was interrupted.
    ///
    /// # Errors
    /// `Internal` with a sentence that says what to do, when a key cannot be read or is damaged.
    pub fn read(folder: &Path) -> Result<Self, Failure> {
        let mut keys = BTreeMap::new();
        let entries = match fs::read_dir(folder) {
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => None,
            entries => Some(entries.map_err(|fault| refuse(folder, &fault))?),
        };
        for entry in entries.into_iter().flatten() {
            let path = entry.map_err(|fault| refuse(folder, &fault))?.path();
            let destroyed = path.with_extension("key");
            let is_over = path.extension().is_some_and(|it| it == OVER);
            if let (true, Some(number)) = (is_over, number_of(&destroyed, KIND)) {
                if let Err(fault) = overwrite(&path) {
                    // It is there still, and is destroyed by the next attempt.
                    tracing::warn!(path = %path.display(), %fault, "a former key of the shared log is not destroyed");
                    let left = SecretFile::read(&path).ok().and_then(|it| parse(it.text.trim()));
                    keys.extend(left.map(|key| (KeyId(number), key)));
                }
                continue;
            }
            let Some(number) = number_of(&path, KIND) else { continue };
            let secret = SecretFile::read(&path).map_err(|why| refuse(&path, &why))?;
            let key = parse(secret.text.trim()).ok_or_else(|| {
                refuse(&path, &"it is damaged; copy the folder `keys` of another node")
            })?;
            keys.insert(KeyId(number), key);
        }
        Ok(Self::of(Some(folder.to_owned()), keys))
    }

    fn of(folder: Option<PathBuf>, keys: BTreeMap<KeyId, EpochKey>) -> Self {
        Self(Arc::new(Inner { folder, keys: Mutex::new(keys) }))
    }

    fn keys(&self) -> MutexGuard<'_, BTreeMap<KeyId, EpochKey>> {
        self.0.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys().is_empty()
    }

    /// Whether there is a key of this number.
    #[must_use]
    pub fn has(&self, id: KeyId) -> bool {
        self.keys().contains_key(&id)
    }

    /// The indexes behind which the oldest and the newest key seal; 0 where there is none.
    #[must_use]
    pub fn begins(&self) -> (u64, u64) {
        let keys = self.keys();
        let index = |key: Option<(&KeyId, &EpochKey)>| key.map_or(0, |(_, key)| key.begins);
        (index(keys.first_key_value()), index(keys.last_key_value()))
    }

    /// Forgets keys that begin behind an index, up to where this node has the log. Their entries come
    /// again, and are others where the log has lost its end.
    pub fn forget_behind(&self, index: u64) {
        self.keys().retain(|_, key| key.begins <= index);
    }

    /// Whether a file can be written beside the keys, as the next epoch needs.
    ///
    /// # Errors
    /// Those of the system.
    pub fn check_writable(&self) -> io::Result<()> {
        let Some(folder) = &self.0.folder else { return Ok(()) };
        let path = folder.join("epoch.check");
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        fs::remove_file(&path)
    }

    /// Makes the first key of a new log, and destroys those of an earlier one.
    ///
    /// # Errors
    /// As [`Self::keep`].
    pub fn begin_log(&self) -> Result<(), Failure> {
        let (id, key) = self.next()?;
        self.keys().insert(id, EpochKey { key, begins: 0, is_kept: false });
        self.keep()?;
        self.destroy(|other| other < id)
    }

    /// A key for the next epoch, with its number. It is none until it is learned.
    ///
    /// # Errors
    /// `Internal`, when the operating system has no randomness, or no number is left.
    pub fn next(&self) -> Result<(KeyId, [u8; KEY_BYTES]), Failure> {
        let newest = self.keys().last_key_value().map_or(0, |(id, _)| id.0);
        let number = newest.checked_add(1);
        let number = number.ok_or_else(|| Failure::internal("the log has no epoch left"))?;
        Ok((KeyId(number), entropy::random()?))
    }

    /// Takes the key of an epoch from the log; whether it is not another one than is known already.
    pub fn learn(&self, id: KeyId, key: [u8; KEY_BYTES], begins: u64) -> bool {
        let new = EpochKey { key, begins, is_kept: self.0.folder.is_none() };
        let known = *self.keys().entry(id).or_insert(new);
        known.key == key && known.begins == begins
    }

    /// Writes the files of keys that were learned.
    ///
    /// # Errors
    /// `Internal` with a sentence that says what to do, when a file cannot be written.
    pub fn keep(&self) -> Result<(), Failure> {
        let Some(folder) = &self.0.folder else { return Ok(()) };
        for (id, key) in self.keys().iter_mut().filter(|(_, key)| !key.is_kept) {
            let path = file(folder, *id);
            let text = format!("{} {}", Digest(key.key).hex(), key.begins);
            keep_at(&path, &text).map_err(|fault| refuse(&path, &fault))?;
            key.is_kept = true;
        }
        Ok(())
    }

    /// Destroys the keys that open nothing behind an index; answers how many.
    ///
    /// # Errors
    /// As [`Self::keep`].
    pub fn destroy_before(&self, index: u64) -> Result<usize, Failure> {
        let before = self.keys().len();
        let oldest = self.keys().iter().rev().find(|(_, key)| key.begins <= index).map(|it| *it.0);
        if let Some(oldest) = oldest {
            self.destroy(|id| id < oldest)?;
        }
        Ok(before.saturating_sub(self.keys().len()))
    }

    /// Destroys every key of a folder, also damaged ones.
    ///
    /// # Errors
    /// As [`Self::keep`].
    pub fn destroy_all(folder: &Path) -> Result<(), Failure> {
        let entries = match fs::read_dir(folder) {
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(|fault| refuse(folder, &fault))?,
        };
        for entry in entries {
            let path = entry.map_err(|fault| refuse(folder, &fault))?.path().with_extension("key");
            if number_of(&path, KIND).is_some() {
                destroy(&path).map_err(|fault| refuse(&path, &fault))?;
            }
        }
        Ok(())
    }

    fn destroy(&self, is_over: impl Fn(KeyId) -> bool) -> Result<(), Failure> {
        let mut keys = self.keys();
        let over: Vec<KeyId> = keys.keys().copied().filter(|id| is_over(*id)).collect();
        for id in over {
            if let Some(folder) = &self.0.folder {
                destroy(&file(folder, id)).map_err(|fault| refuse(&file(folder, id), &fault))?;
            }
            keys.remove(&id);
        }
        Ok(())
    }

    /// Encrypts what belongs behind an index of the log, with the key of that epoch: what was before an
    /// erasure is sealed with a key that is destroyed, or not at all.
    ///
    /// # Errors
    /// `Internal`, when there is no such key, or no randomness.
    pub fn seal(&self, behind: u64, of: &[&[u8]], plain: &[u8]) -> Result<Sealed, Failure> {
        let keys = self.keys();
        let of_epoch = keys.iter().rev().find(|(_, key)| key.begins <= behind);
        let of_epoch = of_epoch.map(|(id, key)| (*id, key.key));
        drop(keys);
        let (id, key) = of_epoch.ok_or_else(|| {
            Failure::internal(format!("there is no epoch key for what follows entry {behind}"))
        })?;
        seal_with((id, &key), of, plain)
    }

    /// Decrypts; `None`, where the key is missing, or anything was altered.
    #[must_use]
    pub fn unseal(&self, of: &[&[u8]], sealed: &Sealed) -> Option<Vec<u8>> {
        let key = self.keys().get(&sealed.key)?.key;
        unseal_with(&key, of, sealed)
    }
}

fn file(folder: &Path, id: KeyId) -> PathBuf {
    folder.join(format!("{KIND}-{}.key", id.0))
}

fn parse(text: &str) -> Option<EpochKey> {
    let (key, begins) = text.split_once(' ')?;
    let Digest(key) = Digest::from_hex(key)?;
    Some(EpochKey { key, begins: begins.parse().ok()?, is_kept: true })
}

/// What a file is called while it is destroyed: one that is written over in part must not be read.
const OVER: &str = "over";

/// Writes a key that the log has said. Another one by its name is of an epoch that the log has lost.
fn keep_at(path: &Path, text: &str) -> io::Result<()> {
    match fs::read_to_string(path) {
        Ok(there) if there.trim() == text => return File::open(path)?.sync_all(),
        Ok(_) => destroy(path)?,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => {}
        Err(fault) => return Err(fault),
    }
    write_new(path, text)
}

/// Destroys a file, if it is there or was not destroyed to the end.
fn destroy(path: &Path) -> io::Result<()> {
    let over = path.with_extension(OVER);
    match fs::rename(path, &over) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => {}
        renamed => renamed?,
    }
    match overwrite(&over) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Writes over a file, then removes it. What the disk keeps of it elsewhere is out of reach.
fn overwrite(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(0);
    file.write_all(&vec![b'0'; length])?;
    file.sync_all()?;
    fs::remove_file(path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF: &[&[u8]] = &[b"entry"];

    fn files(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_key_that_is_destroyed_opens_nothing_and_the_others_do() {
        let folder = tempfile::tempdir().unwrap();
        let keys = EpochKeys::read(folder.path()).unwrap();
        keys.begin_log().unwrap();
        let old = keys.seal(0, OF, b"old").unwrap();
        let (id, key) = keys.next().unwrap();
        assert!(keys.learn(id, key, 7) && keys.learn(id, key, 7), "an entry comes again");
        assert!(!keys.learn(id, [1; KEY_BYTES], 7) && !keys.learn(id, key, 8));
        let new = keys.seal(7, OF, b"new").unwrap();
        let late = keys.seal(6, OF, b"late").unwrap();
        assert_eq!((new.key, late.key), (id, KeyId(1)), "a key is that of a place");
        assert_eq!(files(folder.path()), ["epoch-1.key"], "it is kept before the entry is");
        keys.keep().unwrap();
        let again = EpochKeys::read(folder.path()).unwrap();
        assert_eq!(again.begins(), (0, 7));
        assert_eq!(again.unseal(OF, &old).unwrap(), b"old");
        assert_eq!(again.destroy_before(6).unwrap(), 0, "the log has what it opens");
        assert_eq!(again.destroy_before(7).unwrap(), 1);
        assert_eq!(files(folder.path()), ["epoch-2.key"]);
        fs::write(folder.path().join("epoch-1.over"), "interrupted").unwrap();
        assert_eq!((again.unseal(OF, &old), again.begins()), (None, (7, 7)));
        assert!(again.seal(6, OF, b"too late").is_err());
        assert_eq!(EpochKeys::read(folder.path()).unwrap().unseal(OF, &new).unwrap(), b"new");
        assert_eq!(files(folder.path()), ["epoch-2.key"]);
    }

    #[test]
    fn a_new_log_has_a_new_key_and_none_of_before() {
        let folder = tempfile::tempdir().unwrap();
        let keys = EpochKeys::read(folder.path()).unwrap();
        keys.begin_log().unwrap();
        let before = keys.seal(0, OF, b"of the other log").unwrap();
        keys.begin_log().unwrap();
        assert_eq!((files(folder.path()), keys.begins()), (vec!["epoch-2.key".to_owned()], (0, 0)));
        assert_eq!(keys.unseal(OF, &before), None);
        fs::write(folder.path().join("epoch-9.over"), "interrupted").unwrap();
        fs::write(folder.path().join("epoch-8.key"), "damaged").unwrap();
        EpochKeys::destroy_all(folder.path()).unwrap();
        assert_eq!(files(folder.path()), [""; 0]);
    }

    #[test]
    fn a_key_that_was_not_destroyed_to_the_end_is_destroyed_by_the_next_attempt() {
        let folder = tempfile::tempdir().unwrap();
        let keys = EpochKeys::read(folder.path()).unwrap();
        keys.begin_log().unwrap();
        let (id, key) = keys.next().unwrap();
        assert!(keys.learn(id, key, 7));
        keys.keep().unwrap();
        // The rename was made, and what followed failed.
        let [path, over] = ["epoch-1.key", "epoch-1.over"].map(|name| folder.path().join(name));
        fs::rename(path, &over).unwrap();
        assert_eq!(keys.destroy_before(7).unwrap(), 1);
        assert_eq!(files(folder.path()), ["epoch-2.key"]);
    }

    #[test]
    fn a_key_that_the_log_has_lost_gives_way_to_that_of_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let keys = EpochKeys::read(folder.path()).unwrap();
        keys.begin_log().unwrap();
        let (id, lost) = keys.next().unwrap();
        assert!(keys.learn(id, lost, 7));
        keys.keep().unwrap();
        let again = EpochKeys::read(folder.path()).unwrap();
        again.forget_behind(6);
        assert_eq!(again.begins(), (0, 0), "what was not applied is not used");
        assert!(again.learn(id, [5; KEY_BYTES], 9));
        again.keep().unwrap();
        again.keep().unwrap();
        let kept = EpochKeys::read(folder.path()).unwrap();
        assert!(kept.begins() == (0, 9) && kept.learn(id, [5; KEY_BYTES], 9));
        assert_eq!(files(folder.path()), ["epoch-1.key", "epoch-2.key"]);
        assert!(kept.check_writable().is_ok());
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "00 1", &"0".repeat(64), &format!("{} -1", "0".repeat(64))] {
            fs::write(folder.path().join("epoch-1.key"), text).unwrap();
            let refused = EpochKeys::read(folder.path()).unwrap_err();
            assert!(refused.public.contains("of another node"), "{refused}");
        }
    }
}
