//! Input files of commands: limited in size and, for pipes, in time.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use super::CommandError;
use super::timeout::WaitLimit;

/// The file of an argument: `-` is the standard input.
pub(super) fn named(argument: &Path) -> &Path {
    if argument == Path::new("-") { Path::new("/dev/stdin") } else { argument }
}

/// The first bytes of a file, up to a limit; `-` is the standard input.
pub(super) fn bytes(path: &Path, most: u64, limit: &WaitLimit) -> Result<Vec<u8>, CommandError> {
    let path = named(path);
    let unreadable = |fault: io::Error| unreadable(path, &fault);
    if fs::metadata(path).map_err(unreadable)?.is_file() {
        return read(path, most).map_err(unreadable);
    }
    let own = path.to_owned();
    limit.read(&path.display().to_string(), move || read(&own, most))?.map_err(unreadable)
}

/// That a file cannot be read, and what to do next.
pub(super) fn unreadable(path: &Path, fault: &io::Error) -> CommandError {
    let next = match fault.kind() {
        io::ErrorKind::NotFound => ": name a file that is there",
        io::ErrorKind::IsADirectory => ": name a file, not a folder",
        io::ErrorKind::PermissionDenied => ": let the user that runs this read it",
        _ => "",
    };
    CommandError::failure(format!("`{}` cannot be read: {fault}{next}", path.display()))
}

fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}
