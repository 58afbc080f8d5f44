//! The policy folder on disk: reads it whole, notices that it changed, writes the shipped one.
//!
//! Understands no policy and never says whether a folder is any good. Changes are noticed by
//! looking: the identity, size and times of every file, behind every symbolic link. That one
//! mechanism sees what an editor renames, what a `ConfigMap` swaps behind a link, what is deleted
//! and what a network disk changes without telling, which notifications of the kernel do not.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
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
/// How often a folder that changes while it is read is read again.
const READ_TRIES: usize = 5;

/// The shipped folder, as it stood when this binary was built.
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
/// `PoliciesRefused`, when the folder or a file in it cannot be read, is over a bound, or does
/// not stand still.
pub fn read(dir: &Path) -> Result<PolicyFiles, Failure> {
    for _ in 0..READ_TRIES {
        let before = fingerprint(dir);
        let files = read_once(dir)?;
        if fingerprint(dir) == before {
            return Ok(files);
        }
    }
    Err(refused(format!(
        "the policy folder `{}` changes while it is read: let it rest, then reload",
        dir.display()
    )))
}

fn read_once(dir: &Path) -> Result<PolicyFiles, Failure> {
    let mut files = Vec::new();
    let mut bytes = 0;
    for (name, path) in list(dir).map_err(|fault| unreadable(dir, &fault))? {
        let meta = fs::metadata(&path).map_err(|fault| unreadable(&path, &fault))?;
        bytes += meta.len();
        if meta.len() > limits::POLICY_FILE_BYTES_MAX || bytes > limits::POLICY_FOLDER_BYTES_MAX {
            return Err(refused(format!(
                "`{}` is too large: a policy file may have {} bytes, a folder {}",
                path.display(),
                limits::POLICY_FILE_BYTES_MAX,
                limits::POLICY_FOLDER_BYTES_MAX
            )));
        }
        files.push((name, fs::read(&path).map_err(|fault| unreadable(&path, &fault))?));
        if files.len() > limits::POLICY_FILES_MAX {
            return Err(refused(format!(
                "`{}` holds more than {} files",
                dir.display(),
                limits::POLICY_FILES_MAX
            )));
        }
    }
    Ok(PolicyFiles::new(files))
}

/// Every file of the folder and of its folders, by its path inside.
fn list(dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for (name, path) in entries(dir)? {
        if !fs::metadata(&path)?.is_dir() {
            files.push((name, path));
            continue;
        }
        for (inner, path) in entries(&path)? {
            // Passed over, a `forbid` in it would silently be none.
            if fs::metadata(&path)?.is_dir() {
                return Err(io::Error::other(format!(
                    "`{name}/{inner}` is a folder in a folder: move its files up into `{name}`"
                )));
            }
            files.push((format!("{name}/{inner}"), path));
        }
    }
    Ok(files)
}

/// The visible entries of one folder, sorted. What an editor leaves behind is not visible.
fn entries(dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with(['.', '#']) && !name.ends_with(['~', '#']) {
            found.push((name, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// What the folder looks like from outside: equal while nothing changes.
fn fingerprint(dir: &Path) -> Option<Digest> {
    let mut hasher = Hasher::default();
    for (name, path) in list(dir).ok()? {
        let meta = fs::metadata(&path).ok()?;
        hasher.part(name.as_bytes());
        let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
        times.iter().for_each(|time| hasher.raw(&time.to_le_bytes()));
        [meta.dev(), meta.ino(), meta.size()]
            .iter()
            .for_each(|number| hasher.raw(&number.to_le_bytes()));
    }
    Some(hasher.finish())
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
    seen: Option<Digest>,
}

impl Watch {
    /// Begins to look; what the folder is like now counts as seen.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), seen: fingerprint(dir) }
    }

    /// Waits until the folder has changed and then stood still for one look.
    pub async fn changed(&mut self) {
        let mut candidate = self.seen;
        let mut rest = LOOK_EVERY;
        loop {
            tokio::time::sleep(rest).await;
            let dir = self.dir.clone();
            let began = clock::monotonic();
            let now = tokio::task::spawn_blocking(move || fingerprint(&dir)).await.ok().flatten();
            rest = LOOK_EVERY.max(began.elapsed() * REST_FACTOR);
            if now == candidate && now != self.seen {
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

fn unreadable(path: &Path, fault: &io::Error) -> Failure {
    refused(format!("the policies at `{}` cannot be read: {fault}", path.display()))
}
