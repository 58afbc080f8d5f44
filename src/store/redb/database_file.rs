//! The store's file: opening it, and checking that it is still the same file.
//!
//! A file can be replaced, deleted, truncated or overwritten while it is open, and the system does
//! not report it. So device and inode of the path are compared with the open file, and length and
//! header with what this process wrote last: the header has the checksums of the roots, and through
//! them of every page. Never writes to a file that another process has written to.

use std::fmt;
use std::fs;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, Database, StorageBackend, WriteTransaction};

use super::StoreError;
use crate::config::{cause_at, resolve_symlinks};
use crate::domain::{Failure, Kind, limits};

/// The bytes that redb writes at every commit: its header and both commit slots.
pub(super) const HEAD_BYTES: usize = 320;

/// The identity of a file while it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(meta: &fs::Metadata) -> Self {
        Self { device: meta.dev(), inode: meta.ino() }
    }
}

/// What happened to a file while it was open.
#[derive(Debug)]
enum FileFault {
    Gone,
    Replaced,
    Cut,
    Overwritten,
    /// The system does not report it.
    Unknown(io::Error),
}

impl FileFault {
    fn failure(&self, path: &Path) -> Failure {
        let save = "put the right file back, or save what the sidecar still holds with `kwic-team backup`, stop the sidecar, and restore that backup";
        let restore = "stop the sidecar, then restore a backup";
        let (what, next) = match self {
            Self::Gone => ("was deleted or moved away", save),
            Self::Replaced => ("was replaced by another one", save),
            Self::Cut => ("was cut off by another process", restore),
            Self::Overwritten => ("was written over by another process", restore),
            Self::Unknown(fault) => return super::unavailable(fault),
        };
        let sentence = format!(
            "the store's file {what} while the sidecar runs, and nothing was changed: {next}"
        );
        Failure::new(Kind::Busy, super::REPLACED, sentence)
            .logged(format!("`{}` {what}", path.display()))
    }
}

/// An open file, as this process left it.
pub(super) struct OpenFile {
    backend: FileBackend,
    id: FileId,
    left: Mutex<FileState>,
    /// Whether nothing is written to it any more.
    frozen: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct FileState {
    /// The beginning of the file.
    head: Vec<u8>,
    length: u64,
}

impl fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenFile").field("id", &self.id).finish_non_exhaustive()
    }
}

impl OpenFile {
    fn open(path: &Path, frozen: Arc<AtomicBool>) -> io::Result<Self> {
        // The lock of a pipe would protect nothing, and reading it would block.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
        let id = FileId::of(&file.metadata()?);
        let backend = FileBackend::new(file).map_err(io::Error::other)?;
        let open = Self { backend, id, left: Mutex::default(), frozen };
        open.remember(&mut open.left())?;
        Ok(open)
    }

    fn left(&self) -> MutexGuard<'_, FileState> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the current state of the file as left by this process.
    fn remember(&self, left: &mut FileState) -> io::Result<()> {
        left.length = self.backend.len()?;
        left.head = self.head(left.length)?;
        Ok(())
    }

    fn head(&self, length: u64) -> io::Result<Vec<u8>> {
        let mut head = vec![0; HEAD_BYTES.min(usize::try_from(length).unwrap_or(HEAD_BYTES))];
        self.backend.read(0, &mut head)?;
        Ok(head)
    }

    /// Whether nobody else has truncated or written to the file.
    fn unchanged(&self, left: &FileState) -> Result<(), FileFault> {
        if self.backend.len().map_err(FileFault::Unknown)? < left.length {
            return Err(FileFault::Cut);
        }
        if self.head(left.length).map_err(FileFault::Unknown)? == left.head {
            Ok(())
        } else {
            Err(FileFault::Overwritten)
        }
    }

    /// Writes, unless another process has written. Then records head and length if they may have
    /// changed.
    fn alter(&self, changes: bool, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        if self.frozen.load(Ordering::Acquire) {
            return Err(io::Error::other("nothing is written to the store until a restart"));
        }
        let mut left = self.left();
        self.unchanged(&left).map_err(|wrong| match wrong {
            FileFault::Unknown(fault) => fault,
            _ => io::Error::other("another process has written to the store's file"),
        })?;
        let done = work();
        if changes || done.is_err() {
            self.remember(&mut left)?;
        }
        done
    }

    /// Reads the file as it is now.
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.backend.read(offset, out)
    }

    /// Writes one byte, durably.
    pub(super) fn put(&self, offset: u64, byte: u8) -> io::Result<()> {
        self.alter(true, || {
            self.backend.write(offset, &[byte])?;
            self.backend.sync_data()
        })
    }

    /// The head and the length of the file after the last write.
    pub(super) fn as_left(&self) -> (Vec<u8>, u64) {
        let left = self.left();
        (left.head.clone(), left.length)
    }
}

/// The open file, as a storage for redb.
#[derive(Debug)]
struct GuardedBackend(Arc<OpenFile>);

impl StorageBackend for GuardedBackend {
    fn len(&self) -> Result<u64, io::Error> {
        self.0.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.0.backend.read(offset, out)
    }

    fn set_len(&self, length: u64) -> Result<(), io::Error> {
        self.0.alter(true, || self.0.backend.set_len(length))
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.0.backend.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let in_head = offset < HEAD_BYTES as u64;
        self.0.alter(in_head, || self.0.backend.write(offset, data))
    }

    fn close(&self) -> Result<(), io::Error> {
        self.0.backend.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.backend.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.0.backend.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.backend.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.backend.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.backend.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.backend.query_lock_range(start, end)
    }
}

/// What is done after a file was opened, before it is used.
pub(super) type BeforeUse = fn(&Path, &Arc<OpenFile>) -> Result<(), Failure>;

/// The file of a running store, across reopening.
#[derive(Debug)]
pub(super) struct StoreFile {
    path: PathBuf,
    cache_bytes: usize,
    first: BeforeUse,
    /// The current or last open file.
    open: Mutex<Option<Arc<OpenFile>>>,
    /// Why it could not be rewritten at the start, if that was due.
    not_rewritten: Mutex<Option<String>>,
    frozen: Arc<AtomicBool>,
}

impl StoreFile {
    pub(super) fn new(path: &Path, cache_bytes: usize, first: BeforeUse) -> Self {
        Self {
            path: path.to_owned(),
            cache_bytes,
            first,
            open: Mutex::default(),
            not_rewritten: Mutex::default(),
            frozen: Arc::default(),
        }
    }

    /// Refuses every further write to the file, also those of redb when it closes the file.
    pub(super) fn freeze(&self) {
        self.frozen.store(true, Ordering::Release);
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Why erased data may still be in the file.
    pub(super) fn not_rewritten(&self) -> Option<String> {
        self.not_rewritten.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn tell_not_rewritten(&self, cause: String) {
        *self.not_rewritten.lock().unwrap_or_else(PoisonError::into_inner) = Some(cause);
    }

    /// The open file.
    pub(super) fn open_file(&self) -> Option<Arc<OpenFile>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens the file at the start; creates one if there is none.
    pub(super) fn begin(&self) -> Result<Database, Failure> {
        make_where_missing(&self.path)?;
        self.open_now()
    }

    /// Opens the current file at the path.
    pub(super) fn open_now(&self) -> Result<Database, Failure> {
        let (database, open) = self.open_there()?;
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(open);
        Ok(database)
    }

    /// Opens the file, which must exist.
    fn open_there(&self) -> Result<(Database, Arc<OpenFile>), Failure> {
        let path = &self.path;
        let io = |fault| open_failure(path, &redb::Error::Io(fault));
        if fs::metadata(path).map_err(io)?.len() == 0 {
            return Err(empty(path));
        }
        let open = Arc::new(OpenFile::open(path, Arc::clone(&self.frozen)).map_err(io)?);
        (self.first)(path, &open)?;
        let backend = GuardedBackend(Arc::clone(&open));
        let database = caught(path, || {
            Database::builder().set_cache_size(self.cache_bytes).create_with_backend(backend)
        })?;
        Ok((database, open))
    }

    /// Reopens the same file, and no other.
    pub(super) fn open_again(&self) -> Result<Database, Failure> {
        self.is_in_place()?;
        // From now on messages are for callers: without the path.
        let path = self.path.display().to_string();
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.open_now().map_err(|fault| super::busy(&fault.public.replace(&path, &name)))
    }

    /// Whether nobody else has written to the open file.
    ///
    /// # Errors
    /// `Busy` `store_replaced`.
    pub(super) fn is_unchanged(&self) -> Result<(), Failure> {
        let Some(open) = self.open_file() else { return Ok(()) };
        let left = open.left();
        open.unchanged(&left).map_err(|wrong| wrong.failure(&self.path))
    }

    /// Whether the open file is the one that a restart would open.
    ///
    /// # Errors
    /// `Busy` `store_replaced`.
    pub(super) fn is_in_place(&self) -> Result<(), Failure> {
        let Some(open) = self.open_file() else { return Ok(()) };
        let wrong = match fs::metadata(&self.path) {
            Ok(meta) if FileId::of(&meta) == open.id => return self.is_unchanged(),
            Ok(_) => FileFault::Replaced,
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => FileFault::Gone,
            // A part of the path became a file.
            Err(fault) if fault.kind() == io::ErrorKind::NotADirectory => FileFault::Gone,
            Err(fault) => FileFault::Unknown(fault),
        };
        Err(wrong.failure(&self.path))
    }
}

/// A new file is created under a temporary name and renamed, so that an empty file is never an
/// incompletely created one.
fn make_where_missing(path: &Path) -> Result<(), Failure> {
    match fs::metadata(path) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => {}
        // An existing file is checked when it is opened.
        _ => return Ok(()),
    }
    // A new file would replace a link whose disk is missing.
    resolve_symlinks(path)?;
    let new = beside(path);
    let made = fill_file(&new, |_| Ok(())).and_then(|()| {
        fs::rename(&new, path).map_err(|fault| redb::StorageError::Io(fault).into())
    });
    made.map_err(|fault| open_failure(path, &fault))
}

pub(super) fn empty(path: &Path) -> Failure {
    refuse(format!(
        "the store `{}` is empty: it was cut off; restore a backup, or remove it and the folder `keys` to begin anew",
        path.display()
    ))
}

/// Opens a database; a damaged file can cause an assertion in redb, which is a fault of the file.
pub(super) fn caught<T>(
    path: &Path,
    open: impl FnOnce() -> Result<T, redb::DatabaseError>,
) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(opened) => opened.map_err(|fault| open_failure(path, &fault.into())),
        Err(_) => Err(damaged(path, "it leads nowhere")),
    }
}

/// The temporary path of a new file.
pub(super) fn beside(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.new", path.display()))
}

/// Creates a file with mode 0600, with the content that `work` writes, all or nothing.
pub(super) fn fill_file(
    path: &Path,
    work: impl FnOnce(&WriteTransaction) -> Result<(), StoreError>,
) -> Result<(), redb::Error> {
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(redb::StorageError::Io)?;
    let database = Database::builder()
        .set_cache_size(limits::COPY_CACHE_BYTES)
        .create_with_backend(FileBackend::new(file)?)?;
    let filled = begin_write(&database).and_then(|tx| {
        work(&tx)?;
        Ok(tx.commit()?)
    });
    filled.map_err(|fault| match fault {
        StoreError::Disk(error) => error,
        StoreError::Rule(failure) => redb::Error::Corrupted(failure.to_string()),
    })
}

/// Begins a transaction: two-phase, since untrusted input is stored, and with the data for a fast
/// start after a crash.
pub(super) fn begin_write(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut tx = database.begin_write()?;
    tx.set_two_phase_commit(true);
    tx.set_quick_repair(true);
    Ok(tx)
}

pub(super) fn open_failure(path: &Path, fault: &redb::Error) -> Failure {
    let place = path.display();
    refuse(match fault {
        redb::Error::DatabaseAlreadyOpen => format!(
            "the store `{place}` is held by another process: stop that one, or give another --data"
        ),
        redb::Error::UpgradeRequired(_) | redb::Error::LockProtocolMismatch => {
            format!("the store `{place}` was written by another version of kwic-team: run that one")
        }
        // Not a redb file, or a truncated one.
        redb::Error::Io(fault)
            if matches!(
                fault.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ) =>
        {
            return damaged(path, &fault.to_string());
        }
        redb::Error::Io(fault) => format!(
            "the store `{place}` cannot be opened: {}; nothing was changed",
            cause_at(fault, path)
        ),
        other => return damaged(path, &other.to_string()),
    })
}

/// The file is not a valid store.
pub(super) fn damaged(path: &Path, why: &str) -> Failure {
    refuse(format!(
        "the store `{}` is damaged ({why}): restore a backup; it was not made anew",
        path.display()
    ))
}

/// The code of a file that cannot be opened.
pub(super) const REFUSED: &str = "store";

fn refuse(sentence: String) -> Failure {
    Failure::new(Kind::Internal, REFUSED, sentence)
}
