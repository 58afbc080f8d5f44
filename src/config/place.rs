//! Configured paths on a real disk: symbolic links, and remedies for disk errors.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::domain::{Failure, Kind};

/// The path without the symbolic links at its end: code that replaces the file or folder must
/// replace the target of the link, and not the link.
///
/// # Errors
/// `Internal` `link_lost` where it leads to nothing.
pub fn behind_links(path: &Path) -> Result<PathBuf, Failure> {
    let Ok(target) = fs::read_link(path) else { return Ok(path.to_owned()) };
    fs::canonicalize(path).map_err(|fault| {
        let sentence = format!(
            "`{}` is a link to `{}`, which cannot be found: {fault}; mount its disk, or correct the link",
            path.display(),
            target.display()
        );
        Failure::new(Kind::Internal, "link_lost", sentence)
    })
}

/// The remedy for an I/O error, if it is known. Names no path.
#[must_use]
pub fn remedy(fault: &io::Error) -> Option<&'static str> {
    /// Too many open files, in this process and on the machine (`errno(3)`).
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    match fault.raw_os_error() {
        Some(EMFILE) => return Some("raise the limit on open files of the process"),
        Some(ENFILE) => return Some("raise the limit on open files of the machine"),
        _ => {}
    }
    match fault.kind() {
        io::ErrorKind::StorageFull => Some("free space on its disk"),
        io::ErrorKind::QuotaExceeded => Some("raise the quota, or free space"),
        io::ErrorKind::ReadOnlyFilesystem => Some("mount its file system writable"),
        io::ErrorKind::FileTooLarge => Some("raise the limit on the size of files"),
        io::ErrorKind::PermissionDenied => Some("run this as the owner of the data folder"),
        _ => None,
    }
}
