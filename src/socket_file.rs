//! The file of a unix socket that this process created.
//!
//! Another process can remove or replace the file, and the socket is not notified: device and inode
//! show it. Never removes a file that another process created.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

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
        id_at(&self.path).is_ok_and(|id| id == self.id)
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
