//! Files that a command reads whole: bounded in bytes and, where nothing comes, in time.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;

use super::Stop;
use super::remote::LIMIT;

/// The first bytes of a file, at most so many.
pub(super) fn bytes(path: &Path, most: u64) -> Result<Vec<u8>, Stop> {
    let unreadable =
        |fault: io::Error| Stop::failure(format!("`{}` cannot be read: {fault}", path.display()));
    if fs::metadata(path).map_err(unreadable)?.is_file() {
        return read(path, most).map_err(unreadable);
    }
    // A pipe that nobody writes to: the thread ends with the command.
    let (give, taken) = channel();
    let own = path.to_owned();
    thread::spawn(move || drop(give.send(read(&own, most))));
    match taken.recv_timeout(LIMIT) {
        Ok(read) => read.map_err(unreadable),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            Err(Stop::failure(format!(
                "nothing came from `{}` within {} s: write to it, or name a file",
                path.display(),
                LIMIT.as_secs()
            )))
        }
    }
}

fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}
