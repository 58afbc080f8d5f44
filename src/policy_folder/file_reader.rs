//! Reads one file of a policy folder: a regular file inside the folder, up to the size limit.
//!
//! Opens nothing that could block, have side effects, or be outside the folder.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::folder_fault::{file_unreadable, of_file};
use super::folder_listing::{FolderEntry, inside};
use crate::domain::policy_file_kind::{self, PolicyFileKind};
use crate::domain::{Failure, limits};

/// Bytes of a file that is not loaded.
const HEAD: u64 = policy_file_kind::HEAD as u64;

/// Reads one regular file inside the folder's real path, up to the size limit: the reported size
/// may change, and under `/proc` it is 0. Of a file that is not loaded, only the beginning; nothing
/// if it no longer exists. The bytes are subtracted from the remaining room.
pub(super) fn read_file(
    root: &Path,
    found: &FolderEntry,
    room: &mut u64,
) -> Result<Option<Vec<u8>>, Failure> {
    let FolderEntry { name, path } = found;
    let unreadable = |fault: io::Error| file_unreadable(name, &fault);
    let meta = fs::symlink_metadata(path);
    if meta.is_err_and(|fault| fault.kind() == io::ErrorKind::NotFound) {
        return Ok(None);
    }
    let real = path.canonicalize().map_err(unreadable)?;
    inside(root, &real, name)?;
    // Before opening: opening a device can have effects, opening a named pipe blocks.
    regular(&fs::symlink_metadata(&real).map_err(unreadable)?, name)?;
    let file = open(root, &real, name)?;
    let is_loaded = PolicyFileKind::of(name).is_some();
    let own = if is_loaded { limits::POLICY_FILE_BYTES_MAX } else { HEAD };
    let most = own.min(*room);
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    let read = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if read > most && (is_loaded || most < HEAD) {
        return Err(too_large(name));
    }
    *room = room.saturating_sub(read);
    Ok(Some(bytes))
}

/// Opens what was a regular file inside the folder, without blocking: it may have been replaced
/// meanwhile.
fn open(root: &Path, real: &Path, name: &str) -> Result<File, Failure> {
    let unreadable = |fault: io::Error| file_unreadable(name, &fault);
    let file = OpenOptions::new().read(true).custom_flags(NONBLOCK).open(real);
    let file = file.map_err(unreadable)?;
    regular(&file.metadata().map_err(unreadable)?, name)?;
    let opened = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
    inside(root, &opened.or_else(|_| real.canonicalize()).map_err(unreadable)?, name)?;
    Ok(file)
}

fn too_large(name: &str) -> Failure {
    let mib = |bytes: u64| bytes >> 20;
    of_file(
        name,
        &format!(
            "is too large: a policy file may have at most {} MiB, the whole folder {} MiB",
            mib(limits::POLICY_FILE_BYTES_MAX),
            mib(limits::POLICY_FOLDER_BYTES_MAX)
        ),
    )
}

/// `O_NONBLOCK`: without it, opening a named pipe without a writer blocks.
#[cfg(target_os = "linux")]
const NONBLOCK: i32 = 0o4000;
#[cfg(not(target_os = "linux"))]
const NONBLOCK: i32 = 4;

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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;
    use std::process::Command;

    use super::*;

    struct Home(tempfile::TempDir);

    impl Home {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn read(&self, name: &str, room: &mut u64) -> Result<Option<Vec<u8>>, String> {
            let found = FolderEntry { name: format!("rules/{name}"), path: self.path(name) };
            let root = self.0.path().canonicalize().unwrap();
            read_file(&root, &found, room).map_err(|fault| fault.public)
        }

        fn refused(&self, name: &str) -> String {
            self.read(name, &mut limits::POLICY_FOLDER_BYTES_MAX.clone()).unwrap_err()
        }
    }

    fn made(program: &str, arguments: &[&str], path: &Path) -> bool {
        Command::new(program).arg(path).args(arguments).output().unwrap().status.success()
    }

    #[test]
    fn only_a_regular_file_is_opened() {
        let home = Home::new();
        assert!(made("mkfifo", &[], &home.path("pipe.cedar")));
        let _socket = UnixListener::bind(home.path("socket.cedar")).unwrap();
        fs::create_dir(home.path("folder.cedar")).unwrap();
        let mut kinds =
            vec![("pipe", "a named pipe"), ("socket", "a socket"), ("folder", "a folder")];
        // Only root may make one.
        if made("mknod", &["c", "1", "5"], &home.path("device.cedar")) {
            kinds.push(("device", "a device"));
        }
        for (name, what) in kinds {
            let told = home.refused(&format!("{name}.cedar"));
            assert!(told.contains(&format!("is {what}")), "{told}");
            symlink(format!("{name}.cedar"), home.path(&format!("to-{name}"))).unwrap();
            let told = home.refused(&format!("to-{name}"));
            assert!(told.contains(&format!("is {what}")), "{told}");
        }
    }

    #[test]
    fn a_link_to_a_file_of_somebody_else_is_not_read() {
        let (home, other) = (Home::new(), Home::new());
        fs::write(other.path("key"), "permit-this-secret\n").unwrap();
        for target in [other.path("key"), "/dev/zero".into(), "/proc/self/environ".into()] {
            symlink(target, home.path("x.cedar")).unwrap();
            let told = home.refused("x.cedar");
            assert!(told.ends_with("put a copy there in its place"), "{told}");
            fs::remove_file(home.path("x.cedar")).unwrap();
        }
        assert_eq!(home.read("x.cedar", &mut 9), Ok(None));
    }

    #[test]
    fn what_is_exchanged_before_it_is_opened_is_neither_waited_for_nor_read() {
        let (home, other) = (Home::new(), Home::new());
        let root = home.0.path().canonicalize().unwrap();
        fs::write(other.path("key"), "permit-this-secret\n").unwrap();
        symlink(other.path("key"), root.join("key.cedar")).unwrap();
        let told = open(&root, &root.join("key.cedar"), "key.cedar").unwrap_err().public;
        assert!(told.contains("leads out"), "{told}");
        assert!(made("mkfifo", &[], &root.join("pipe.cedar")));
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let opened = open(&root, &root.join("pipe.cedar"), "pipe.cedar");
            tell.send(opened.unwrap_err().public).unwrap();
        });
        let told = told.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
        assert!(told.contains("is a named pipe"), "{told}");
    }

    #[test]
    fn no_more_is_read_than_is_allowed() {
        let home = Home::new();
        let large = fs::File::create(home.path("large.cedar")).unwrap();
        large.set_len(limits::POLICY_FILE_BYTES_MAX).unwrap();
        let mut room = limits::POLICY_FOLDER_BYTES_MAX;
        assert_eq!(home.read("large.cedar", &mut room).unwrap().unwrap().len(), 4 << 20);
        assert_eq!(room, limits::POLICY_FOLDER_BYTES_MAX - limits::POLICY_FILE_BYTES_MAX);
        large.set_len(limits::POLICY_FILE_BYTES_MAX + 1).unwrap();
        assert!(home.refused("large.cedar").contains("is too large"));
        // Of what is not loaded, however much there is, the beginning.
        fs::rename(home.path("large.cedar"), home.path("sync.log")).unwrap();
        let read = home.read("sync.log", &mut room).unwrap().unwrap().len();
        assert_eq!(read, policy_file_kind::HEAD + 1);
        fs::write(home.path("a.cedar"), "four").unwrap();
        assert_eq!(home.read("a.cedar", &mut 4), Ok(Some(b"four".to_vec())));
        assert!(home.read("a.cedar", &mut 3).unwrap_err().contains("the whole folder 64 MiB"));
        assert!(home.read("sync.log", &mut 3).unwrap_err().contains("the whole folder 64 MiB"));
    }
}
