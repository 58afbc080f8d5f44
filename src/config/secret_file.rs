//! Files with secrets: must be regular files of limited size; notes whether others may read them.
//!
//! Never repeats their content.

use std::fs::{self, File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::domain::{input_cleanup, limits};

/// The content of a file.
pub struct SecretFile {
    /// The text, without a byte order mark.
    pub text: String,
    /// The file's mode, if too many others may read or change it.
    pub exposed: Option<u32>,
}

impl SecretFile {
    /// Reads a secret file.
    ///
    /// # Errors
    /// A sentence that follows the file's name.
    pub fn read(path: &Path) -> Result<Self, String> {
        let unreadable = |fault: std::io::Error| format!("cannot be read: {fault}");
        let meta = fs::metadata(path).map_err(unreadable)?;
        // A pipe would block.
        if !meta.is_file() {
            return Err("is not a regular file: name one".to_owned());
        }
        let most = limits::SECRET_FILE_BYTES_MAX;
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes));
        if read.map_err(unreadable)? as u64 > most {
            return Err(format!("has more than {} KiB: is it the right file?", most >> 10));
        }
        let text = input_cleanup::text(&bytes)?.to_owned();
        Ok(Self { text, exposed: exposed(&meta) })
    }
}

/// A file of this user must be private to its owner. One of another user, such as a mounted secret
/// (root's, 0440), is readable for this process through its group only, so the group may read it.
fn exposed(meta: &Metadata) -> Option<u32> {
    let own = fs::metadata("/proc/self").map_or(true, |process| process.uid() == meta.uid());
    let allowed = if own { 0o700 } else { 0o750 };
    let mode = meta.mode() & 0o777;
    (mode & !allowed != 0).then_some(mode)
}
