//! The file of a unix socket that this process created.
//!
//! Another process can remove or replace the file, and the socket is not notified: device and inode
//! show it. Never removes a file that another process created.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

/// So long a socket may have the name that it is made under, if its maker lives.
const MADE_WITHIN: Duration = Duration::from_secs(60);

/// The temporary name of a socket until its mode is set.
#[must_use]
pub fn draft(path: &Path) -> PathBuf {
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}", process::id()));
    PathBuf::from(new)
}

/// Sockets that were made for `paths`, by processes that were killed before they got their names.
#[must_use]
pub fn left_behind(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in paths {
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let is_named = |there: &Path| paths.iter().any(|it| it.file_name() == there.file_name());
        found.extend(entries.map(|entry| entry.path()).filter(|there| {
            maker(there, path).is_some_and(|maker| is_left(there, maker)) && !is_named(there)
        }));
    }
    found
}

/// The process that makes this socket for that path, by its name.
fn maker(draft: &Path, path: &Path) -> Option<u32> {
    let name = draft.file_name()?.to_str()?;
    let rest = name.strip_prefix(path.file_name()?.to_str()?)?.strip_prefix('.')?;
    rest.parse().ok().filter(|maker: &u32| maker.to_string() == rest)
}

/// Another process may have the number of a dead one, which never needs long.
fn is_left(draft: &Path, maker: u32) -> bool {
    let Ok(meta) = fs::symlink_metadata(draft) else { return false };
    let age = || meta.modified().ok()?.elapsed().ok();
    let is_dead = || !Path::new("/proc").join(maker.to_string()).exists();
    meta.file_type().is_socket() && (is_dead() || age().is_some_and(|age| age >= MADE_WITHIN))
}

/// The file. Removed when dropped, if it is still there.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode, which are unique while the socket is open.
    id: (u64, u64),
}

impl SocketFile {
    /// A file that was created at `made`, and is moved to `path`.
    ///
    /// # Errors
    /// Those of the system.
    pub fn new(made: &Path, path: &Path) -> io::Result<Self> {
        Ok(Self { id: id_at(made)?, path: path.to_owned() })
    }

    /// Where it was made.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file at the path is this one.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.look().is_ok_and(|is_in_place| is_in_place)
    }

    /// The same, where the system tells it.
    ///
    /// # Errors
    /// Those of the system.
    pub fn look(&self) -> io::Result<bool> {
        match id_at(&self.path) {
            Ok(id) => Ok(id == self.id),
            Err(fault) => match fault.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(false),
                _ => Err(fault),
            },
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_in_place() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn id_at(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_file_that_cannot_be_looked_at_is_not_taken_for_one_that_was_removed() {
        let home = tempfile::tempdir().unwrap();
        let (folder, path) = (home.path().join("data"), home.path().join("data/admin.sock"));
        fs::create_dir(&folder).unwrap();
        let _socket = UnixListener::bind(&path).unwrap();
        let file = SocketFile::new(&path, &path).unwrap();
        assert!(file.look().unwrap() && file.is_in_place());
        fs::rename(&folder, home.path().join("aside")).unwrap();
        assert!(!file.look().unwrap());
        // A loop of links cannot be followed, as a folder that may not be entered cannot.
        std::os::unix::fs::symlink(&folder, &folder).unwrap();
        assert!(file.look().is_err() && !file.is_in_place());
    }

    #[test]
    fn only_sockets_of_dead_makers_are_left_behind() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        // Beyond every process (`pid_max` of Linux is 4,194,304 at most).
        let dead = path("admin.sock.99999999");
        let paths = [path("admin.sock"), path("admin.sock.99999998")];
        let more = [draft(&paths[0]), path("admin.sock.old"), path("admin.sock.099999999")];
        for socket in paths.iter().chain(&more).chain([&dead]) {
            drop(UnixListener::bind(socket).unwrap());
        }
        fs::write(path("admin.sock.99999997"), "mine").unwrap();
        assert_eq!(left_behind(&paths), [dead]);
    }
}
