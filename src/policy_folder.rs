//! The policy folder on disk: reads all of it, notices changes, writes the built-in policies,
//! exchanges its content, and compares the files of two.
//!
//! Does not parse policies and does not judge a folder's contents. Changes are noticed by polling
//! the identity, size and times of every relevant file, behind every symbolic link. Polling sees
//! what an editor renames, what a `ConfigMap` swaps behind a link, what is deleted and what a
//! network disk changes; the kernel's notifications miss some of these.

mod file_differences;
mod file_reader;
mod fingerprint;
mod folder_exchange;
mod folder_fault;
mod folder_listing;
mod shipped;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock;
use crate::domain::escaped_text::is_plain;
use crate::domain::policy_file_kind::{PolicyFileKind, misplaced};
use crate::domain::{Digest, Failure, Kind, PolicyFiles, limits};
use file_reader::read_file;
use fingerprint::FolderFingerprint;
use folder_fault::unread;
use folder_listing::list;

pub use file_differences::{
    FileChange, FileDifference, FileDifferences, LinePair, NumberedLine, file_differences,
};
pub use folder_exchange::NewFolder;
pub use folder_fault::UNREAD;
pub use shipped::embedded_policies;

/// The polling interval.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A large folder is polled less often, so that polling takes at most a fiftieth of a core.
const REST_FACTOR: u32 = 50;
/// The longest pause between two polls, however slow the disk is.
const REST_MAX: Duration = Duration::from_secs(10);
/// After this many polls, a folder that keeps changing is reloaded as it is: a file in it may
/// change all the time, and a `forbid` must take effect soon.
const LOOKS_MAX: usize = 10;
/// How often a read is repeated if the folder changes meanwhile.
const READ_TRIES: usize = 5;

const NOT_PLAIN: &str = "has a name that is not UTF-8 or has invisible characters, and is not loaded: rename it, or move it out of the policy folder";

/// Reads a whole folder: its files and those one level down. Hidden files are skipped.
///
/// # Errors
/// `PoliciesRefused`, when the folder or a file in it is not there, may not be read, is no regular file,
/// lies outside the folder, or is over a bound; `Busy` `policies_unread`, when it cannot be read for no
/// fault of its own, such as too many open files, or does not stand still.
pub fn read(dir: &Path) -> Result<PolicyFiles, Failure> {
    let mut look = FolderFingerprint::default();
    for _ in 0..READ_TRIES {
        let before = look.fingerprint(dir);
        let files = read_once(dir);
        // A fault also counts only if nothing changed meanwhile.
        if look.fingerprint(dir) == before {
            return files;
        }
    }
    Err(unread(format!("the policy folder `{}` changes while it is read", dir.display())))
}

fn read_once(dir: &Path) -> Result<PolicyFiles, Failure> {
    let mut listed = list(dir)?;
    let mut files = Vec::with_capacity(listed.files.len());
    let mut room = limits::POLICY_FOLDER_BYTES_MAX;
    for found in listed.files {
        let Some(bytes) = read_file(&listed.root, &found, &mut room)? else { continue };
        let name = found.name;
        let counts = || PolicyFileKind::of(&name).is_some() || misplaced(&name, &bytes).is_some();
        // Two names may be equal once they are decoded.
        if !is_plain(&name) && counts() {
            listed.misplaced.push((name, NOT_PLAIN.to_owned()));
        } else {
            files.push((name, bytes));
        }
    }
    Ok(PolicyFiles::new(files).with(listed.misplaced, listed.notes))
}

/// Writes a folder that does not exist yet, or is empty.
///
/// # Errors
/// `Conflict`, when something is there already; `Internal` with the cause, when the disk refuses.
pub fn write_new(dir: &Path, files: &PolicyFiles) -> Result<(), Failure> {
    if dir.exists() && fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_some()) {
        return Err(Failure::new(
            Kind::Conflict,
            "folder_not_empty",
            format!("`{}` is not an empty folder: name a new one", dir.display()),
        ));
    }
    for (path, bytes) in files.iter() {
        let path = dir.join(path);
        let parent = path.parent().unwrap_or(dir);
        fs::create_dir_all(parent).and_then(|()| fs::write(&path, bytes)).map_err(|fault| {
            Failure::new(
                Kind::Internal,
                "disk",
                format!("`{}` cannot be written: {fault}", path.display()),
            )
        })?;
    }
    Ok(())
}

/// Polls a folder.
#[derive(Debug)]
pub struct FolderWatch {
    dir: PathBuf,
    look: FolderFingerprint,
    seen: Digest,
}

impl FolderWatch {
    /// Starts polling; the current state counts as seen.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        let mut look = FolderFingerprint::default();
        let seen = look.fingerprint(dir);
        Self { dir: dir.to_owned(), look, seen }
    }

    /// Waits until the folder has changed and then not changed during one interval, or has kept
    /// changing for many.
    pub async fn changed(&mut self) {
        let mut candidate = self.seen;
        let mut rest = LOOK_EVERY;
        let mut looks = 0;
        loop {
            tokio::time::sleep(rest).await;
            let dir = self.dir.clone();
            let began = clock::monotonic();
            let mut look = std::mem::take(&mut self.look);
            let looked = tokio::task::spawn_blocking(move || (look.fingerprint(&dir), look)).await;
            rest = LOOK_EVERY.max(began.elapsed() * REST_FACTOR).min(REST_MAX);
            let Ok((now, look)) = looked else { continue };
            self.look = look;
            looks += usize::from(now != self.seen || looks > 0);
            if now != self.seen && (now == candidate || looks >= LOOKS_MAX) {
                self.seen = now;
                return;
            }
            candidate = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn a_name_that_is_not_plain_is_refused_where_it_counts() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("rules")).unwrap();
        let put = |name: &[u8], text: &str| {
            fs::write(folder.path().join(OsStr::from_bytes(name)), text).unwrap();
        };
        put(b"rules/a.cedar", "permit");
        put(b"rules/\xff.cedar", "forbid");
        put(b"rules/\xfe.cedar", "permit");
        put(b"rules/a\nb.cedar", "forbid");
        put(b"rules/a\xff.txt", "forbid (principal, action, resource);");
        put(b"notes\x1b[2J.txt", "");
        let files = read(folder.path()).unwrap();
        assert_eq!(files.iter().map(|(path, _)| path).collect::<Vec<_>>(), ["rules/a.cedar"]);
        let misplaced = files.misplaced();
        assert_eq!(misplaced.len(), 4, "{misplaced:?}");
        assert!(misplaced.iter().all(|(_, why)| why == NOT_PLAIN));
        assert_eq!(
            files.notes(),
            ["`notes\\u{1b}[2J.txt` is not part of a policy folder: it is ignored"]
        );
    }

    #[tokio::test]
    async fn a_file_that_never_rests_holds_up_no_reload() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = FolderWatch::new(folder.path());
        let changed = watch.changed();
        tokio::pin!(changed);
        fs::create_dir(folder.path().join("rules")).unwrap();
        for n in 0..10_000 {
            fs::write(folder.path().join("rules/x.cedar"), "x".repeat(n)).unwrap();
            let pause = Duration::from_millis(20);
            if tokio::time::timeout(pause, &mut changed).await.is_ok() {
                return;
            }
        }
        panic!("no change is told");
    }
}
