//! The journal of a restore whose files are complete and ready to replace the current ones.
//!
//! Store and keys cannot be replaced in one step. So a note on disk, written before the first step,
//! says that all steps are to be done: a restore that is interrupted after that is completed by the
//! next start or restore. Before that, nothing has been changed. Each step is idempotent.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::{KEYS, above, sync_folder};
use crate::config::resolve_symlinks;
use crate::domain::{Failure, Kind};

/// The name of the note, in the data folder. It has the suffix for the names of the previous files.
const NOTE: &str = "restore.pending";
/// The suffix of files that are ready to replace others.
const RESTORING: &str = "restoring";
/// How the ending of what a restore keeps begins; the time follows.
pub const KEPT: &str = "before-restore-";
/// More than any suffix has.
const NOTE_BYTES_MAX: u64 = 100;

/// The path of the replacement of a file or folder: beside it, on the same disk.
///
/// # Errors
/// As [`resolve_symlinks`].
pub fn staged(path: &Path) -> Result<PathBuf, Failure> {
    Ok(beside(&resolve_symlinks(path)?, RESTORING))
}

/// A path with a suffix.
#[must_use]
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}.{ending}", path.display()))
}

/// The path of the note before it is complete.
#[must_use]
pub fn draft(data: &Path) -> PathBuf {
    beside(&data.join(NOTE), "new")
}

/// Whether a restore was interrupted.
#[must_use]
pub fn is_there(data: &Path) -> bool {
    fs::symlink_metadata(data.join(NOTE)).is_ok()
}

/// The message that a restore was interrupted, and what to do.
#[must_use]
pub fn told(data: &Path) -> Failure {
    let sentence = format!(
        "a restore was interrupted, and the store and the keys in `{}` do not belong together: start the sidecar, which completes it, or restore again",
        data.display()
    );
    Failure::new(Kind::Conflict, "restore_pending", sentence)
}

/// Records that all prepared files are complete and are to replace the current ones. The previous
/// files are kept under their name and `ending`.
///
/// # Errors
/// `Internal` `restore_failed`.
pub fn begin(data: &Path, ending: &str) -> Result<(), Failure> {
    let note = data.join(NOTE);
    let new = draft(data);
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(ending.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &note)?;
        sync_folder(data)
    };
    write().map_err(|fault| failed(&note, &fault))
}

/// Replaces the files, if a restore has begun to; returns where the previous keys are kept, or
/// `None` if there was nothing to do.
///
/// # Errors
/// `Internal` `restore_failed`; as [`resolve_symlinks`].
pub fn finish(data: &Path, store: &Path) -> Result<Option<Vec<PathBuf>>, Failure> {
    if !is_there(data) {
        return Ok(None);
    }
    let note = data.join(NOTE);
    let ending = ending(&note).map_err(|fault| failed(&note, &fault))?;
    let (keys, store) = (resolve_symlinks(&data.join(KEYS))?, resolve_symlinks(store)?);
    let mut kept = Vec::new();
    let new = beside(&keys, RESTORING);
    if new.is_dir() {
        let old = beside(&keys, &ending);
        if keys.exists() {
            fs::rename(&keys, &old).map_err(|fault| failed(&old, &fault))?;
            kept.push(old);
        }
        fs::rename(&new, &keys).map_err(|fault| failed(&keys, &fault))?;
    }
    let old = beside(&keys, &ending);
    take_over_log_keys(&old, &keys).map_err(|fault| failed(&old, &fault))?;
    let new = beside(&store, RESTORING);
    if new.is_file() {
        fs::rename(&new, &store).map_err(|fault| failed(&store, &fault))?;
    }
    for folder in [above(&store), above(&keys)] {
        sync_folder(&folder).map_err(|fault| failed(&folder, &fault))?;
    }
    fs::remove_file(&note)
        .and_then(|()| sync_folder(data))
        .map_err(|fault| failed(&note, &fault))?;
    Ok(Some(kept))
}

/// Moves the keys of a shared log from the folder of before: no backup has them, and no copy of them is to
/// be kept.
fn take_over_log_keys(old: &Path, keys: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(old) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name();
        if name.to_str().is_some_and(super::is_of_the_log) {
            fs::rename(old.join(&name), keys.join(&name))?;
        }
    }
    sync_folder(keys)
}

fn ending(note: &Path) -> io::Result<String> {
    let mut text = String::new();
    super::open_file(note)?.take(NOTE_BYTES_MAX).read_to_string(&mut text)?;
    let text = text.trim();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_plain && !text.is_empty() {
        Ok(text.to_owned())
    } else {
        Err(io::Error::other("it does not belong to a restore: move it away"))
    }
}

/// The failure to write a file of a restore.
#[must_use]
pub fn failed(place: &Path, fault: &io::Error) -> Failure {
    Failure::new(
        Kind::Internal,
        "restore_failed",
        format!("`{}` cannot be written: {fault}; fix that, then restore again", place.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn killed_after_any_step_a_restore_is_finished_whole() {
        // So many steps were done: the old keys moved away, the new ones put there, the store.
        for steps in 0..=3 {
            let home = tempfile::tempdir().unwrap();
            let (data, store) = (home.path(), home.path().join("kwic.redb"));
            let keys = data.join(KEYS);
            let put = |folder: &Path, text: &str| {
                fs::create_dir(folder).unwrap();
                fs::write(folder.join("link-1.key"), text).unwrap();
            };
            put(&keys, "old");
            put(&staged(&keys).unwrap(), "new");
            fs::write(keys.join("epoch-3.key"), "of the log").unwrap();
            fs::write(&store, "old").unwrap();
            fs::write(staged(&store).unwrap(), "new").unwrap();
            assert_eq!(finish(data, &store).unwrap(), None, "nothing was begun");
            begin(data, "before").unwrap();
            let all: [&dyn Fn(); 3] = [
                &|| fs::rename(&keys, beside(&keys, "before")).unwrap(),
                &|| fs::rename(staged(&keys).unwrap(), &keys).unwrap(),
                &|| fs::rename(staged(&store).unwrap(), &store).unwrap(),
            ];
            all.iter().take(steps).for_each(|step| step());
            finish(data, &store).unwrap().unwrap();
            let read = |path: &Path| fs::read_to_string(path).unwrap();
            assert_eq!(read(&store), "new", "{steps}");
            assert_eq!(read(&keys.join("link-1.key")), "new", "{steps}");
            assert_eq!(read(&beside(&keys, "before").join("link-1.key")), "old", "{steps}");
            assert_eq!(read(&keys.join("epoch-3.key")), "of the log", "{steps}");
            assert!(!beside(&keys, "before").join("epoch-3.key").exists(), "{steps}");
            assert!(!is_there(data));
            assert_eq!(fs::read_dir(data).unwrap().count(), 3, "{steps}");
        }
    }
}
