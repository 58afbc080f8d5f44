//! Replaces the content of a policy folder in one step, and keeps what was there beside it.
//!
//! The new content is written into a new folder next to the policy folder, and the two exchange their
//! names. At every moment the policy folder has one of the two contents, whole. Files that are not
//! loaded, such as those of version control, are copied, but no link that leads out; the folder that is
//! kept has everything that was there. If anything fails before the exchange, nothing has changed.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::clock::rfc3339;
use crate::config::cause_at;
use crate::domain::policy_file_kind::{HEAD, PolicyFileKind, hidden, misplaced};
use crate::domain::{Failure, Kind, PolicyFiles, Timestamp, limits};

/// The most files and folders that are copied because they are not loaded, and their bytes.
const OTHERS_MAX: usize = limits::POLICY_ENTRIES_MAX;
const OTHERS_BYTES_MAX: u64 = 256 << 20;
/// How many names are tried for the folder that is kept.
const NAMES_MAX: u32 = 100;

/// A folder with other content, next to the policy folder. Removed again unless it is exchanged.
#[derive(Debug)]
pub struct NewFolder {
    /// The policy folder, behind links.
    dir: PathBuf,
    /// The new one; after the exchange, what was there.
    beside: PathBuf,
    exchanged: bool,
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if !self.exchanged {
            let _ = fs::remove_dir_all(&self.beside);
        }
    }
}

impl NewFolder {
    /// Writes the files of a set into a folder next to `dir`, with everything of `dir` that is not
    /// loaded, and makes it durable. It is named for the time.
    ///
    /// # Errors
    /// `Conflict` `folder_not_written`, with the cause, when the disk refuses; nothing is left then.
    pub fn beside(dir: &Path, files: &PolicyFiles, now: Timestamp) -> Result<Self, Failure> {
        let cannot = |fault: io::Error| not_written(dir, &fault);
        let dir = dir.canonicalize().map_err(cannot)?;
        let beside = make_beside(&dir, now).map_err(cannot)?;
        let new = Self { dir, beside, exchanged: false };
        new.fill(files).map_err(cannot)?;
        // What would be loaded from it is exactly the set.
        let found = super::read(&new.beside)?;
        if found.digest() != files.digest() {
            return Err(Failure::internal("a folder that was written has another digest"));
        }
        Ok(new)
    }

    /// Exchanges the two folders; returns the path of the one that has what was there.
    ///
    /// # Errors
    /// As [`Self::beside`].
    pub fn exchange(mut self) -> Result<PathBuf, Failure> {
        let cannot = |fault: io::Error| not_written(&self.dir, &fault);
        match renameat_with(CWD, &self.beside, CWD, &self.dir, RenameFlags::EXCHANGE) {
            Ok(()) => {}
            // The file system, or the kernel, does not know how.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                self.exchange_by_two_names().map_err(cannot)?;
            }
            Err(fault) => return Err(cannot(fault.into())),
        }
        self.exchanged = true;
        if let Some(parent) = self.dir.parent()
            && let Err(fault) = sync(parent)
        {
            tracing::warn!(%fault, "the exchange of the policy folder may not survive a power failure");
        }
        Ok(self.beside.clone())
    }

    /// For a moment there is no policy folder: a reload then reports that, and the live policies stay.
    fn exchange_by_two_names(&self) -> io::Result<()> {
        let aside = self.beside.with_extension("aside");
        fs::rename(&self.dir, &aside)?;
        if let Err(fault) = fs::rename(&self.beside, &self.dir) {
            fs::rename(&aside, &self.dir)?;
            return Err(fault);
        }
        fs::rename(&aside, &self.beside)
    }

    fn fill(&self, files: &PolicyFiles) -> io::Result<()> {
        let mut room = CopyRoom { entries: OTHERS_MAX, bytes: OTHERS_BYTES_MAX };
        copy_others(&self.dir, &self.dir, &self.beside, &mut room)?;
        for (path, bytes) in files.iter() {
            let to = self.beside.join(path);
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent)?;
            }
            let mut file = File::create_new(&to)?;
            file.write_all(bytes)?;
            if let Ok(meta) = fs::metadata(self.dir.join(path)) {
                file.set_permissions(meta.permissions())?;
            }
            file.sync_all()?;
        }
        for folder in fs::read_dir(&self.beside)? {
            let folder = folder?;
            if folder.file_type()?.is_dir() {
                sync(&folder.path())?;
            }
        }
        sync(&self.beside)
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// A new folder next to another, named for the time: `policies.replaced-2026-11-29T16-26-55Z`.
fn make_beside(dir: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let when = rfc3339(Timestamp(now.0 - now.0.rem_euclid(1_000))).replace(':', "-");
    for number in 1..=NAMES_MAX {
        let more = if number > 1 { format!("-{number}") } else { String::new() };
        let beside = dir.with_file_name(format!("{name}.replaced-{when}{more}"));
        match fs::create_dir(&beside) {
            Ok(()) => {
                fs::set_permissions(&beside, fs::metadata(dir)?.permissions())?;
                return Ok(beside);
            }
            Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => {}
            Err(fault) => return Err(fault),
        }
    }
    Err(io::Error::other("too many folders have the name for this time"))
}

/// What may still be copied.
struct CopyRoom {
    entries: usize,
    bytes: u64,
}

impl CopyRoom {
    fn take(&mut self, bytes: u64) -> io::Result<()> {
        let room = self.entries.checked_sub(1).zip(self.bytes.checked_sub(bytes));
        let Some((entries, left)) = room else {
            return Err(io::Error::other(
                "it has too much beside the policies to be copied: move that elsewhere",
            ));
        };
        (self.entries, self.bytes) = (entries, left);
        Ok(())
    }
}

/// Copies everything of a folder but what is loaded, or looks as if it should be.
fn copy_others(root: &Path, from: &Path, to: &Path, room: &mut CopyRoom) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let meta = entry.metadata()?;
        let path = source.strip_prefix(root).unwrap_or(&source).to_string_lossy().into_owned();
        if meta.is_dir() {
            room.take(0)?;
            fs::create_dir(&target)?;
            copy_others(root, &source, &target, room)?;
            fs::set_permissions(&target, meta.permissions())?;
        } else if meta.is_symlink() {
            // A link that leads out, or nowhere, would be a fault of the new folder.
            let link = fs::read_link(&source)?;
            let leads_inside = source.canonicalize().is_ok_and(|real| real.starts_with(root));
            // The target of a link may be loaded through it.
            if link.is_relative() && leads_inside && !is_of_the_set(&path, &source)? {
                room.take(0)?;
                std::os::unix::fs::symlink(link, &target)?;
            }
        } else if meta.is_file() && !is_of_the_set(&path, &source)? {
            room.take(meta.len())?;
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

/// Whether a file is loaded, or is a fault where it is. A file of a hidden folder is neither.
fn is_of_the_set(path: &str, source: &Path) -> io::Result<bool> {
    if PolicyFileKind::of(path).is_some() || hidden(path).is_some() {
        return Ok(true);
    }
    if path.split('/').any(|part| part.starts_with('.')) {
        return Ok(false);
    }
    // A folder behind a link: what is loaded from it is among the files of the set.
    if fs::metadata(source)?.is_dir() {
        return Ok(true);
    }
    let mut head = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(File::open(source)?, HEAD as u64), &mut head)?;
    Ok(misplaced(path, &head).is_some())
}

fn not_written(dir: &Path, fault: &io::Error) -> Failure {
    let cause = cause_at(fault, dir.parent().unwrap_or(dir));
    Failure::new(
        Kind::Conflict,
        "folder_not_written",
        format!(
            "the policy folder `{}` cannot be replaced, and nothing was changed: {cause}; or use `--pin`, which leaves the folder alone",
            dir.display()
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    const NOW: Timestamp = Timestamp(1_764_000_000_000);

    fn set(text: &str) -> PolicyFiles {
        PolicyFiles::new(vec![
            ("roles/a.cedar".to_owned(), text.as_bytes().to_vec()),
            ("schema.cedarschema".to_owned(), b"entity A;".to_vec()),
        ])
    }

    fn folder(at: &Path) {
        for (path, text) in [
            ("roles/a.cedar", "permit (principal, action, resource);"),
            ("roles/old.cedar", "permit (principal, action, resource);"),
            ("rules/notes.txt", "a note"),
            (".git/config", "[core]"),
            (".git/objects/ab/cd", "blob"),
            ("README.md", "read me"),
            ("Rules/misplaced.cedar", "forbid (principal, action, resource);"),
        ] {
            fs::create_dir_all(at.join(path).parent().unwrap()).unwrap();
            fs::write(at.join(path), text).unwrap();
        }
        symlink("README.md", at.join("LIESMICH")).unwrap();
        symlink("nowhere", at.join("dangling")).unwrap();
    }

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn the_content_is_exchanged_and_what_was_there_is_kept_whole() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("policies");
        folder(&dir);
        fs::set_permissions(dir.join("roles/a.cedar"), fs::Permissions::from_mode(0o640)).unwrap();
        let kept = NewFolder::beside(&dir, &set("permit"), NOW).unwrap().exchange().unwrap();
        assert_eq!(kept.file_name().unwrap(), "policies.replaced-2025-11-24T16-00-00Z");
        assert_eq!(read(&dir.join("roles/a.cedar")), "permit");
        let mode = fs::metadata(dir.join("roles/a.cedar")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert_eq!(read(&dir.join(".git/objects/ab/cd")), "blob");
        assert_eq!(read(&dir.join("rules/notes.txt")), "a note");
        assert_eq!(read(&dir.join("LIESMICH")), "read me");
        assert!(!dir.join("roles/old.cedar").exists());
        assert!(!dir.join("Rules/misplaced.cedar").exists(), "the set would be refused");
        assert!(fs::symlink_metadata(dir.join("dangling")).is_err(), "it would be refused");
        assert_eq!(super::super::read(&dir).unwrap().digest(), set("permit").digest());
        for path in ["roles/old.cedar", ".git/config", "Rules/misplaced.cedar", "dangling"] {
            assert!(fs::symlink_metadata(kept.join(path)).is_ok(), "{path}");
        }
        // Within the same second.
        let again = NewFolder::beside(&dir, &set("forbid"), NOW).unwrap().exchange().unwrap();
        assert_eq!(again.file_name().unwrap(), "policies.replaced-2025-11-24T16-00-00Z-2");
        assert_eq!(read(&again.join("roles/a.cedar")), "permit");
    }

    #[test]
    fn a_folder_behind_a_link_is_exchanged_and_the_link_stays() {
        let home = tempfile::tempdir().unwrap();
        let (dir, link) = (home.path().join("release-1"), home.path().join("policies"));
        folder(&dir);
        symlink("release-1", &link).unwrap();
        NewFolder::beside(&link, &set("permit"), NOW).unwrap().exchange().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(read(&link.join("roles/a.cedar")), "permit");
    }

    #[test]
    fn without_the_exchange_of_the_kernel_two_names_are_given() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("policies");
        folder(&dir);
        let mut new = NewFolder::beside(&dir, &set("permit"), NOW).unwrap();
        new.exchange_by_two_names().unwrap();
        new.exchanged = true;
        assert_eq!(read(&dir.join("roles/a.cedar")), "permit");
        assert!(new.beside.join("roles/old.cedar").exists());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_is_not_exchanged_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("policies");
        folder(&dir);
        drop(NewFolder::beside(&dir, &set("permit"), NOW).unwrap());
        let none = NewFolder::beside(&home.path().join("none"), &set("permit"), NOW);
        assert_eq!(none.unwrap_err().code, "folder_not_written");
        // A full disk, or too much to copy.
        let mut room = CopyRoom { entries: 3, bytes: 10 };
        assert!(copy_others(&dir, &dir, &home.path().join("x"), &mut room).is_err());
        let names = fs::read_dir(home.path()).unwrap().map(|it| it.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["policies"]);
        assert!(dir.join("roles/old.cedar").exists());
    }
}
