//! The policy folder on disk: reads it whole, notices that it changed, writes the shipped one.
//!
//! Understands no policy and never says whether a folder is any good. Changes are noticed by
//! looking: the identity, size and times of every file, behind every symbolic link. That one
//! mechanism sees what an editor renames, what a `ConfigMap` swaps behind a link, what is deleted
//! and what a network disk changes without telling, which notifications of the kernel do not.

use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use include_dir::{Dir, include_dir};

use crate::clock;
use crate::domain::digest::Hasher;
use crate::domain::{Digest, Failure, Kind, PolicyFiles, limits};

/// How often the folder is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A large folder is looked at less often, so that looking takes at most a fiftieth of a core.
const REST_FACTOR: u32 = 50;
/// Looking rests at most so long, however slow the disk is.
const REST_MAX: Duration = Duration::from_secs(10);
/// After so many looks, a folder that never stands still is reloaded as it is: a file in it may change
/// all the time, and a `forbid` must count soon.
const LOOKS_MAX: usize = 10;
/// How often a folder that changes while it is read is read again.
const READ_TRIES: usize = 5;

/// Most entries of one folder that are looked at, hidden ones too.
const ENTRIES_MAX: usize = 2 * limits::POLICY_FILES_MAX;

/// The shipped folder, as it stood when this binary was built.
static SHIPPED: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/policies");

/// The shipped folder.
#[must_use]
pub fn shipped() -> PolicyFiles {
    let inner = SHIPPED.dirs().flat_map(Dir::files);
    let file = |file: &include_dir::File<'_>| {
        (file.path().to_string_lossy().into_owned(), file.contents().to_vec())
    };
    PolicyFiles::new(SHIPPED.files().chain(inner).map(file).collect())
}

/// Reads a whole folder: its files and those one folder down. Hidden files are passed over.
///
/// # Errors
/// `PoliciesRefused`, when the folder or a file in it cannot be read, is no regular file, lies
/// outside the folder, is over a bound, or does not stand still.
pub fn read(dir: &Path) -> Result<PolicyFiles, Failure> {
    for _ in 0..READ_TRIES {
        let before = fingerprint(dir);
        let files = read_once(dir);
        // A fault counts as well only where nothing moved meanwhile.
        if fingerprint(dir) == before {
            return files;
        }
    }
    Err(refused(format!(
        "the policy folder `{}` changes while it is read: let it rest, then reload",
        dir.display()
    )))
}

fn read_once(dir: &Path) -> Result<PolicyFiles, Failure> {
    let root = dir.canonicalize().map_err(|fault| folder_unreadable(dir, &fault))?;
    let Listed { found, hidden } = list(dir)?;
    let mut files = Vec::with_capacity(found.len());
    let mut room = limits::POLICY_FOLDER_BYTES_MAX;
    for (name, path) in found {
        let bytes = read_file(&root, &name, &path, room)?;
        room = room.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        files.push((name, bytes));
    }
    let note = |path| format!("`{path}` is hidden or a backup copy: it is not loaded");
    Ok(PolicyFiles::new(files).with(Vec::new(), hidden.into_iter().map(note).collect()))
}

/// Reads one regular file inside the folder's real path, and no more bytes than are allowed: what
/// the size says may change, and under `/proc` it is 0.
fn read_file(root: &Path, name: &str, path: &Path, room: u64) -> Result<Vec<u8>, Failure> {
    let unreadable = |fault: io::Error| of_file(name, &format!("cannot be read: {fault}"));
    let real = path.canonicalize().map_err(unreadable)?;
    inside(root, &real, name)?;
    // Before it is opened: opening a device can do something, opening a named pipe waits.
    regular(&fs::symlink_metadata(&real).map_err(unreadable)?, name)?;
    let file = OpenOptions::new().read(true).custom_flags(NONBLOCK).open(&real);
    let file = file.map_err(unreadable)?;
    // And after: something else may have been put there meanwhile.
    regular(&file.metadata().map_err(unreadable)?, name)?;
    let opened = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
    inside(root, &opened.or_else(|_| path.canonicalize()).map_err(unreadable)?, name)?;
    let most = room.min(limits::POLICY_FILE_BYTES_MAX);
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
        let mib = |bytes: u64| bytes >> 20;
        return Err(of_file(
            name,
            &format!(
                "is too large: a policy file may have at most {} MiB, the whole folder {} MiB",
                mib(limits::POLICY_FILE_BYTES_MAX),
                mib(limits::POLICY_FOLDER_BYTES_MAX)
            ),
        ));
    }
    Ok(bytes)
}

/// `O_NONBLOCK`: without it, opening a named pipe that nobody writes to waits for ever.
#[cfg(target_os = "linux")]
const NONBLOCK: i32 = 0o4000;
#[cfg(not(target_os = "linux"))]
const NONBLOCK: i32 = 4;

fn inside(root: &Path, real: &Path, name: &str) -> Result<(), Failure> {
    match real.starts_with(root) {
        true => Ok(()),
        false => Err(of_file(
            name,
            "is a link that leads out of the policy folder: put a copy there in its place",
        )),
    }
}

fn regular(meta: &Metadata, name: &str) -> Result<(), Failure> {
    let kind = meta.file_type();
    let what = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () if kind.is_block_device() || kind.is_char_device() => "a device",
        () if kind.is_dir() => "a folder in a folder",
        () => "a link",
    };
    Err(of_file(name, &format!("is {what}, not a regular file: remove it from the policy folder")))
}

/// The visible files of a folder, and the hidden ones that may be policies.
struct Listed {
    /// Path inside the folder, and path.
    found: Vec<(String, PathBuf)>,
    hidden: Vec<String>,
}

/// Every file of the folder and of its folders.
fn list(dir: &Path) -> Result<Listed, Failure> {
    let mut listed = Listed { found: Vec::new(), hidden: Vec::new() };
    let top = entries(dir).map_err(|fault| folder_unreadable(dir, &fault))?;
    for (name, path) in top {
        if is_hidden(&name) {
            listed.hidden.extend(is_policy_name(&name).then_some(name));
        } else if is_dir(&name, &path)? {
            let inside = entries(&path)
                .map_err(|fault| of_file(&name, &format!("cannot be read: {fault}")))?;
            for (inner, path) in inside {
                let full = format!("{name}/{inner}");
                if is_hidden(&inner) {
                    listed.hidden.extend(is_policy_name(&inner).then_some(full));
                } else if is_dir(&full, &path)? {
                    // Passed over, a `forbid` in it would silently be none.
                    return Err(refused(format!(
                        "`{full}` is a folder in a folder: move its files up into `{name}`"
                    )));
                } else {
                    listed.found.push((full, path));
                }
            }
        } else {
            listed.found.push((name, path));
        }
        if listed.found.len() > limits::POLICY_FILES_MAX {
            return Err(too_many(dir));
        }
    }
    Ok(listed)
}

fn is_dir(name: &str, path: &Path) -> Result<bool, Failure> {
    let meta = fs::metadata(path);
    Ok(meta.map_err(|fault| of_file(name, &format!("cannot be read: {fault}")))?.is_dir())
}

/// What an editor leaves behind is no part of a folder.
fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '#']) || name.ends_with(['~', '#'])
}

/// Whether somebody could take a hidden file for a policy that counts.
fn is_policy_name(name: &str) -> bool {
    name.to_ascii_lowercase().contains(".cedar")
}

/// The entries of one folder, sorted, and no more of them than one too many.
fn entries(dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)?.take(ENTRIES_MAX) {
        let entry = entry?;
        found.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    if found.len() == ENTRIES_MAX {
        return Err(io::Error::other(format!("it holds {ENTRIES_MAX} files or more")));
    }
    found.sort();
    Ok(found)
}

/// What the folder looks like from outside: equal while nothing changes. Opens no file, and a file
/// that cannot be looked at is part of the picture.
fn fingerprint(dir: &Path) -> Digest {
    let mut hasher = Hasher::default();
    match entries(dir) {
        Err(fault) => hasher.part(fault.to_string().as_bytes()),
        Ok(found) => {
            for (name, path) in found.iter().filter(|(name, _)| !is_hidden(name)) {
                if !look_at(name, path, &mut hasher) {
                    continue;
                }
                match entries(path) {
                    Err(fault) => hasher.part(fault.to_string().as_bytes()),
                    Ok(inner) => {
                        for (name, path) in inner.iter().filter(|(name, _)| !is_hidden(name)) {
                            look_at(name, path, &mut hasher);
                        }
                    }
                }
            }
        }
    }
    hasher.finish()
}

/// Adds one file, and the link that leads to it; answers whether it is a folder.
fn look_at(name: &str, path: &Path, hasher: &mut Hasher) -> bool {
    hasher.part(name.as_bytes());
    match fs::metadata(path) {
        Ok(meta) => {
            let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
            times.iter().for_each(|time| hasher.raw(&time.to_le_bytes()));
            [meta.dev(), meta.ino(), meta.size(), meta.mode().into()]
                .iter()
                .for_each(|number| hasher.raw(&number.to_le_bytes()));
            meta.is_dir()
        }
        Err(fault) => {
            hasher.part(fault.to_string().as_bytes());
            false
        }
    }
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

/// Looks at a folder again and again.
#[derive(Debug)]
pub struct Watch {
    dir: PathBuf,
    seen: Digest,
}

impl Watch {
    /// Begins to look; what the folder is like now counts as seen.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), seen: fingerprint(dir) }
    }

    /// Waits until the folder has changed and then stood still for one look, or has not for many.
    pub async fn changed(&mut self) {
        let mut candidate = self.seen;
        let mut rest = LOOK_EVERY;
        let mut looks = 0;
        loop {
            tokio::time::sleep(rest).await;
            let dir = self.dir.clone();
            let began = clock::monotonic();
            let looked = tokio::task::spawn_blocking(move || fingerprint(&dir)).await;
            rest = LOOK_EVERY.max(began.elapsed() * REST_FACTOR).min(REST_MAX);
            let Ok(now) = looked else { continue };
            looks += usize::from(now != self.seen || looks > 0);
            if now != self.seen && (now == candidate || looks >= LOOKS_MAX) {
                self.seen = now;
                return;
            }
            candidate = now;
        }
    }
}

fn refused(message: String) -> Failure {
    Failure::new(Kind::PoliciesRefused, "policies_refused", message)
}

fn folder_unreadable(dir: &Path, fault: &io::Error) -> Failure {
    refused(format!("the policy folder `{}` cannot be read: {fault}", dir.display()))
}

fn too_many(dir: &Path) -> Failure {
    refused(format!(
        "the policy folder `{}` holds more than {} files",
        dir.display(),
        limits::POLICY_FILES_MAX
    ))
}

/// A fault of one file, as the gate tells one: its path inside the folder first.
fn of_file(name: &str, message: &str) -> Failure {
    refused(format!("{name}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_never_rests_holds_up_no_reload() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = Watch::new(folder.path());
        let changed = watch.changed();
        tokio::pin!(changed);
        for n in 0..10_000 {
            fs::write(folder.path().join("sync.log"), "x".repeat(n)).unwrap();
            let pause = Duration::from_millis(20);
            if tokio::time::timeout(pause, &mut changed).await.is_ok() {
                return;
            }
        }
        panic!("no change is told");
    }
}
