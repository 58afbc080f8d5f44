//! Why a policy folder was not read: a fault of the folder, which is refused, or a transient error.

use std::io;
use std::path::Path;

use crate::domain::escaped_text::printable;
use crate::domain::{Failure, Kind};

/// The code of a transient failure.
pub const UNREAD: &str = "policies_unread";

pub(super) fn folder_unreadable(dir: &Path, fault: &io::Error) -> Failure {
    let next = match fault.kind() {
        io::ErrorKind::NotFound => ": name a folder that is there",
        io::ErrorKind::NotADirectory => ": name the folder, not a file in it",
        io::ErrorKind::PermissionDenied => ": let the user that runs this read it",
        _ => "",
    };
    unreadable(
        fault,
        format!("the policy folder `{}` cannot be read: {fault}{next}", dir.display()),
    )
}

pub(super) fn file_unreadable(name: &str, fault: &io::Error) -> Failure {
    unreadable(fault, format!("{}: cannot be read: {fault}", printable(name)))
}

fn unreadable(fault: &io::Error, message: String) -> Failure {
    if is_of_the_folder(fault) { Failure::policies_refused(message) } else { unread(message) }
}

/// A transient failure.
pub(super) fn unread(message: String) -> Failure {
    Failure::new(Kind::Busy, UNREAD, message)
}

/// Whether the error is caused by the folder's contents, and not by the disk or a limit of this
/// process or host.
fn is_of_the_folder(fault: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, IsADirectory, NotADirectory, NotFound, PermissionDenied};
    let Some(code) = fault.raw_os_error() else { return true };
    code == LINKS_IN_A_CIRCLE
        || matches!(
            fault.kind(),
            NotFound | PermissionDenied | NotADirectory | IsADirectory | InvalidFilename
        )
}

/// `ELOOP`.
#[cfg(target_os = "linux")]
const LINKS_IN_A_CIRCLE: i32 = 40;
#[cfg(not(target_os = "linux"))]
const LINKS_IN_A_CIRCLE: i32 = 62;

/// A fault of one file, in the format of other faults: its path inside the folder first.
pub(super) fn of_file(name: &str, message: &str) -> Failure {
    Failure::policies_refused(format!("{}: {message}", printable(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_folder_is_not_to_blame_for_is_not_refused() {
        // No entry, not permitted, no folder, a folder, a circle, too long a name.
        for of_the_folder in [2, 1, 13, 20, 21, LINKS_IN_A_CIRCLE, 36] {
            let fault = io::Error::from_raw_os_error(of_the_folder);
            let failure = file_unreadable("rules/a.cedar", &fault);
            assert_eq!(failure.kind, Kind::PoliciesRefused, "{fault}");
        }
        assert_eq!(
            file_unreadable("rules", &io::Error::other("too much")).kind,
            Kind::PoliciesRefused
        );
        for (fault, next) in [(2, "that is there"), (20, "not a file in it"), (13, "read it")] {
            let failure = folder_unreadable(Path::new("p"), &io::Error::from_raw_os_error(fault));
            assert!(failure.public.ends_with(next), "{failure}");
        }
        // Interrupted, I/O, try again, no memory, files of the system, files of the process, stale.
        for of_the_host in [4, 5, 11, 12, 23, 24, 116] {
            let fault = io::Error::from_raw_os_error(of_the_host);
            for failure in [
                file_unreadable("rules/a.cedar", &fault),
                folder_unreadable(Path::new("policies"), &fault),
            ] {
                assert_eq!((failure.kind, failure.code), (Kind::Busy, UNREAD));
                assert!(failure.public.contains(&fault.to_string()), "{failure}");
            }
        }
    }
}
