//! A lock on an open file that ends with its value.
//!
//! The system ends such a lock (`flock(2)`) when the last descriptor of the open file is closed. A
//! child process has them all between its fork and its exec, so that a lock which only falls with its
//! file can outlive its value. This one is given up first.

use std::fs::{File, TryLockError};
use std::ops::Deref;

/// A locked file, open as it was given.
#[derive(Debug)]
pub struct FileLock(File);

impl FileLock {
    /// Nobody else has a lock on the file while this one lives.
    ///
    /// # Errors
    /// `WouldBlock` where somebody else has one; otherwise the file system has none.
    pub fn exclusive(file: File) -> Result<Self, TryLockError> {
        file.try_lock()?;
        Ok(Self(file))
    }

    /// Nobody else has an exclusive lock on the file while this one lives.
    ///
    /// # Errors
    /// As [`Self::exclusive`].
    pub fn shared(file: File) -> Result<Self, TryLockError> {
        file.try_lock_shared()?;
        Ok(Self(file))
    }
}

impl Deref for FileLock {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // What fails here ends when the file is closed.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_with_its_value_though_a_child_process_still_has_its_descriptor() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("store");
        std::fs::write(&path, "").unwrap();
        let file = || File::open(&path).unwrap();
        for lock in [FileLock::exclusive, FileLock::shared] {
            let held = lock(file()).unwrap();
            let copy = held.try_clone().unwrap();
            assert!(matches!(FileLock::exclusive(file()), Err(TryLockError::WouldBlock)));
            drop(held);
            drop(FileLock::exclusive(file()).unwrap());
            drop(copy);
        }
        let (one, two) = (FileLock::shared(file()).unwrap(), FileLock::shared(file()).unwrap());
        drop(one);
        assert!(FileLock::exclusive(file()).is_err(), "the other one still has it");
        drop(two);
    }
}
