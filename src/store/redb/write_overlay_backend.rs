//! A read-only view of a store's file: writes stay in memory.
//!
//! redb verifies the checksums of pages only on request, and then repairs what it can. Here it does
//! so on a view, so that damage is detected, and acknowledged data is never repaired away.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{Database, ReadTransaction, ReadableDatabase as _, StorageBackend};

use super::database_file::{HEAD_BYTES, OpenFile, StoreFile, caught, empty, open_failure};
use super::{Store, Writer, blocking, header_commit_slots};
use crate::clock::Clock;
use crate::domain::{Failure, Kind, limits};
use crate::file_lock::FileLock;

const PAGE: u64 = 4096;

/// The source of the bytes below.
enum ViewBase {
    /// A file that no sidecar has open, locked while the view exists.
    File(Arc<FileLock>),
    /// The file of this process.
    Open(Arc<OpenFile>),
}

impl ViewBase {
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.read_exact_at(out, offset),
            Self::Open(file) => file.read(offset, out),
        }
    }
}

/// The pages written on top of the base.
#[derive(Default)]
struct ViewOverlay {
    pages: BTreeMap<u64, Vec<u8>>,
    length: u64,
}

/// Clones share the view.
#[derive(Clone)]
pub(super) struct ReadOnlyView(Arc<(ViewBase, u64, Mutex<ViewOverlay>)>);

impl fmt::Debug for ReadOnlyView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("View")
    }
}

impl ReadOnlyView {
    /// Of a file that no sidecar has open, at its newest change, as a start would open it.
    fn of_file(path: &Path) -> Result<Self, Failure> {
        let io = |fault| open_failure(path, &redb::Error::Io(fault));
        if !fs::metadata(path).map_err(io)?.is_file() {
            // A pipe would block.
            return Err(io(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a regular file",
            )));
        }
        let file = FileLock::shared(File::open(path).map_err(io)?);
        let file = Arc::new(file.map_err(|fault| match fault {
            TryLockError::WouldBlock => open_failure(path, &redb::Error::DatabaseAlreadyOpen),
            TryLockError::Error(fault) => io(fault),
        })?);
        let length = file.metadata().map_err(io)?.len();
        if length == 0 {
            return Err(empty(path));
        }
        let mut head = vec![0; HEAD_BYTES.min(usize::try_from(length).unwrap_or(HEAD_BYTES))];
        file.read_exact_at(&mut head, 0).map_err(io)?;
        let another = || Some(Self::new(ViewBase::File(Arc::clone(&file)), length));
        let flags = whole(path, &head, another);
        let view = Self::new(ViewBase::File(Arc::clone(&file)), length);
        if let Some(flags) = flags {
            view.write(header_commit_slots::FLAGS as u64, &[flags]).map_err(io)?;
        }
        Ok(view)
    }

    /// Of the open file after its last write: pages of a read transaction of that moment are not
    /// overwritten while it lives.
    fn of_open(file: Arc<OpenFile>) -> Result<Self, io::Error> {
        let (head, length) = file.as_left();
        let view = Self::new(ViewBase::Open(file), length);
        view.write(0, &head)?;
        Ok(view)
    }

    fn new(base: ViewBase, length: u64) -> Self {
        let over = ViewOverlay { pages: BTreeMap::new(), length };
        Self(Arc::new((base, length, Mutex::new(over))))
    }

    fn over(&self) -> MutexGuard<'_, ViewOverlay> {
        self.0.2.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One page of the base; zero after its end.
    fn below(&self, page: u64) -> io::Result<Vec<u8>> {
        let (base, length, _) = &*self.0;
        let mut bytes = vec![0; usize::try_from(PAGE).unwrap_or_default()];
        let there = length.saturating_sub(page * PAGE).min(PAGE);
        if let Some(part) = bytes.get_mut(..usize::try_from(there).unwrap_or_default()) {
            base.read(page * PAGE, part)?;
        }
        Ok(bytes)
    }

    /// The pages of a byte range: for each the position in the page and in the range, and the
    /// length.
    fn parts(offset: u64, bytes: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
        let end = offset.saturating_add(bytes as u64);
        (offset / PAGE..end.div_ceil(PAGE)).map(move |page| {
            let from = offset.max(page * PAGE);
            let to = end.min((page + 1) * PAGE);
            let small = |wide: u64| usize::try_from(wide).unwrap_or(usize::MAX);
            (page, small(from - page * PAGE), small(from - offset), small(to - from))
        })
    }
}

impl StorageBackend for ReadOnlyView {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.over().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let over = self.over();
        let behind = offset.checked_add(out.len() as u64).is_none_or(|end| end > over.length);
        if behind {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (page, in_page, at, long) in Self::parts(offset, out.len()) {
            let below;
            let from = match over.pages.get(&page) {
                Some(written) => written,
                None => {
                    below = self.below(page)?;
                    &below
                }
            };
            let parts = (out.get_mut(at..at + long), from.get(in_page..in_page + long));
            if let (Some(out), Some(from)) = parts {
                out.copy_from_slice(from);
            }
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> Result<(), io::Error> {
        self.over().length = length;
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut over = self.over();
        for (page, in_page, at, long) in Self::parts(offset, data.len()) {
            let whole = match over.pages.entry(page) {
                Entry::Occupied(there) => there.into_mut(),
                Entry::Vacant(free) => free.insert(self.below(page)?),
            };
            let to = whole.get_mut(in_page..in_page + long);
            if let (Some(to), Some(data)) = (to, data.get(at..at + long)) {
                to.copy_from_slice(data);
            }
        }
        Ok(())
    }
}

/// Opens a view, and verifies every page of it.
fn checked(path: &Path, view: ReadOnlyView) -> Result<Database, Failure> {
    caught(path, || {
        Database::builder()
            .set_cache_size(limits::COPY_CACHE_BYTES)
            .set_check_integrity_on_open(true)
            .create_with_backend(view)
    })
}

/// The flags that would select the newer commit, if the header selects the older one and every page
/// of the newer one is intact.
fn whole(path: &Path, head: &[u8], view: impl FnOnce() -> Option<ReadOnlyView>) -> Option<u8> {
    let flags = header_commit_slots::newer_slot(head)?;
    let view = view()?;
    view.write(header_commit_slots::FLAGS as u64, &[flags]).ok()?;
    checked(path, view).ok().map(|_| flags)
}

/// Prepares an opened file: selects its newest commit, and verifies every page of a small one.
/// Otherwise damage in redb's own lists would be found when it is closed, where it ends the
/// process.
pub(super) fn before_use(path: &Path, open: &Arc<OpenFile>) -> Result<(), Failure> {
    name_newest(path, open)?;
    let (_, length) = open.as_left();
    if length == 0 || length > limits::STORE_CHECKED_BYTES_MAX {
        return Ok(());
    }
    let view = ReadOnlyView::of_open(Arc::clone(open));
    let view = view.map_err(|fault| open_failure(path, &redb::Error::Io(fault)))?;
    checked(path, view).map(drop)
}

/// Makes an open file select its newest commit.
fn name_newest(path: &Path, open: &Arc<OpenFile>) -> Result<(), Failure> {
    let (head, _) = open.as_left();
    let view = || ReadOnlyView::of_open(Arc::clone(open)).ok();
    let Some(flags) = whole(path, &head, view) else { return Ok(()) };
    open.put(header_commit_slots::FLAGS as u64, flags)
        .map_err(|fault| open_failure(path, &redb::Error::Io(fault)))?;
    tracing::warn!(
        "the header of the store's file named the change before the last one, after a crash or since it was changed: the last one is used"
    );
    Ok(())
}

/// A database over a file that no sidecar has open, with every page verified. Nothing is written to
/// it.
pub(super) fn of_file(path: &Path) -> Result<Database, Failure> {
    checked(path, ReadOnlyView::of_file(path)?)
}

impl Store {
    /// The store in a file that no sidecar has open, with every page verified; changes are lost
    /// when it is dropped, and nothing is written to the file.
    ///
    /// # Errors
    /// A sentence that says what to do, when the file is locked, damaged, or of a newer version.
    pub async fn view(path: &Path) -> Result<Self, Failure> {
        let at = path.to_owned();
        let view = blocking(move || {
            let view = ReadOnlyView::of_file(&at)?;
            drop(checked(&at, view.clone())?);
            Ok(view)
        })
        .await?;
        Self::on(move || view.clone(), Clock::System).await
    }

    /// Verifies the checksum of every page in the file; changes continue meanwhile.
    ///
    /// # Errors
    /// `Internal` `store_damaged`; `Busy`, when the disk fails.
    pub async fn check(&self) -> Result<(), Failure> {
        let store = self.clone();
        blocking(move || store.check_now()).await
    }

    pub(super) fn check_now(&self) -> Result<(), Failure> {
        // A store in memory has no file.
        let Some(file) = self.0.file.clone() else { return Ok(()) };
        let check = |view| checked(file.path(), view).map(drop);
        let (pinned, view) = {
            let mut writer = self.writer();
            self.pinned(&file, &mut writer)?
        };
        if check(view).is_ok() {
            return Ok(());
        }
        drop(pinned);
        // Pages of redb's own may have been written meanwhile: writing is stopped for this check.
        let mut writer = self.writer();
        let (_pinned, view) = self.pinned(&file, &mut writer)?;
        check(view).map_err(|fault| damaged(&fault))
    }

    /// The last commit: a transaction that pins its pages, and a view of them.
    fn pinned(
        &self,
        file: &StoreFile,
        writer: &mut Writer,
    ) -> Result<(ReadTransaction, ReadOnlyView), Failure> {
        self.settle(writer)?;
        if !self.awaits_retry() {
            // The view reads what is on the disk, the transaction pins the newest commit: they should be the
            // same one. Where the disk is full they are not, and only a check that stops writing is sure.
            let _best_effort = self.persist_with(writer);
        }
        let pinned = self.guarded(|database| Ok(database.begin_read()?))?;
        let open = file.open_file().ok_or_else(|| super::busy("it is being opened again"))?;
        let view = ReadOnlyView::of_open(open).map_err(|fault| super::unavailable(&fault))?;
        Ok((pinned, view))
    }
}

fn damaged(fault: &Failure) -> Failure {
    Failure::new(
        Kind::Internal,
        "store_damaged",
        "the store's file is damaged: keep a copy of it, stop the sidecar, and restore the last backup",
    )
    .logged(fault.public.clone())
}
