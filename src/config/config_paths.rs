//! Configured paths on a real disk: symbolic links, and remedies for disk errors.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::domain::{Failure, Kind};

/// The path without the symbolic links at its end: code that replaces the file or folder must
/// replace the target of the link, and not the link.
///
/// # Errors
/// `Internal` `link_lost` where it leads to nothing.
pub fn resolve_symlinks(path: &Path) -> Result<PathBuf, Failure> {
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

/// A fault of the system at a file or folder, and what to do about it, where that is known.
#[must_use]
pub fn cause_at(fault: &io::Error, path: &Path) -> String {
    let uid = |path: &Path| fs::metadata(path).map(|meta| meta.uid());
    if fault.kind() == io::ErrorKind::PermissionDenied
        && let (Ok(owner), Ok(own)) = (uid(path), uid(Path::new("/proc/self")))
    {
        return if owner == own {
            format!("{fault}: {}", permit(path))
        } else {
            format!(
                "{fault}: it belongs to user {owner}, and this is user {own}: run this as its owner"
            )
        };
    }
    match remedy(fault) {
        Some(remedy) => format!("{fault}: {remedy}"),
        None => fault.to_string(),
    }
}

/// What its owner does about a file or folder whose permissions keep them out.
fn permit(path: &Path) -> String {
    let Ok(meta) = fs::metadata(path) else { return "see its permissions".to_owned() };
    let (mode, place) = (meta.permissions().mode() & 0o7777, path.display());
    let wanted = if meta.is_dir() { 0o700 } else { 0o600 };
    if mode & wanted == wanted {
        "its mode allows it, so a mount, an ACL or a security module refuses it".to_owned()
    } else {
        format!("its mode is {mode:04o}: run `chmod {wanted:o} {place}`")
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_told_which_permission_is_missing() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("kwic.redb");
        fs::write(&file, "").unwrap();
        let told = |path: &Path, mode: u32| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            // The user who runs the tests may be allowed everything.
            cause_at(&io::Error::from(io::ErrorKind::PermissionDenied), path)
        };
        let read_only = told(&file, 0o400);
        assert!(read_only.contains("is 0400: run `chmod 600 "), "{read_only}");
        assert!(!read_only.contains("run this as"), "{read_only}");
        let allowed = told(&file, 0o600);
        assert!(!allowed.contains("chmod") && allowed.contains("ACL"), "{allowed}");
        let folder = told(home.path(), 0o500);
        assert!(folder.contains("run `chmod 700 "), "{folder}");
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
    }
}
