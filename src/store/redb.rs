//! The store over redb: one file on this machine, or memory.
//!
//! Every call runs on a thread of the blocking pool, never on one that answers decisions. Every
//! commit is two-phase and leaves a file that reopens fast after a crash. After an input or output error
//! the file is closed, and opened again by the next call, so that freed space is all it takes to go on.
//!
//! A store can share a log with those of other nodes ([`super::shared_log`]): then each change is
//! appended there first, and every node writes it to a file of its own. What other nodes have appended is
//! written without waiting for the disk, as the log has it; everything that anybody was told of as done
//! by this node is on the disk ([`Store::persist`]).
//!
//! The modules stand below in layers, and each uses only those before it: the file on the disk; the
//! tables, how rows are read, what a change writes to, and how that is an entry of a log; what every
//! change needs (a transition, its audit entries, its commit, when rows expire); the rows of each kind
//! of thing, with what ends together with them; the invariants and the second factor; then the transitions, what reads across
//! all kinds, and backups and upgrades of the whole file.

mod database_file;
mod disk_error_text;
mod disk_health;
mod header_commit_slots;
mod write_overlay_backend;

mod change_workspace;
mod file_rewrite;
mod row_counts;
mod row_keys;
mod row_reads;
mod row_values;
mod shared_log_entry_rows;
mod staged_rows;
mod tables;

mod audit;
mod audit_diff;
mod change_feed_references;
mod change_queue;
mod expiry_schedule;
mod group_commit;
mod large_entries;
mod log_apply;
mod log_commit;
mod log_connection;
mod log_key_rotation;
mod rate_limits;
mod record_version;
mod running_change;
mod unsynced_rows;

mod account_rows;
mod address_index;
mod api_token_rows;
mod factor_rows;
mod idempotency;
mod import_rows;
mod invite_rows;
mod last_sign_in;
mod letter_rows;
mod link_rows;
mod member_rows;
mod password_rows;
mod session_rows;

mod invariants;
mod purge;
mod second_factor_check;
mod staged_import;

mod accounts;
mod api_tokens;
mod invites;
mod mail_claims;
mod mail_status;
mod member_import;
mod members;
mod one_time_links;
mod passkeys;
mod policies;
mod publications;
mod sessions;
mod two_step;

mod all_data_of_member;
mod content_digest;
mod erasure;
mod erasure_progress;
mod fleet_membership;
mod invite_list;
mod keys_in_use;
mod member_pages;

mod backup;
mod migrations;
mod online_file_rewrite;
mod snapshot_copy;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, TryLockError};

use redb::{Database, ReadTransaction, ReadableDatabase, StorageBackend};

use self::change_queue::ChangeQueue;
use self::database_file::{StoreFile, damaged, open_failure};
pub use self::disk_health::BROKEN;
use self::disk_health::DiskHealth;
pub use self::erasure_progress::ErasureReach;
pub use self::log_apply::Followed;
use self::log_connection::LogConnection;
pub use self::log_connection::{CLOCK_AHEAD, LOG_AWAY, LOG_HALTED, LOG_UNCLEAR};
use self::mail_claims::Claimant;
use self::row_reads::{Rows, TableRead as _};
use self::running_change::TransactionEnd;
pub use self::snapshot_copy::SnapshotContent;
pub use self::tables::FORMAT as LAYOUT;
use self::tables::{META, REVISION};
use self::unsynced_rows::UnsyncedRows;
use super::change_feed::{Follower, Followers, LoadedRecord};
use crate::clock::Clock;
use crate::domain::{Actor, Change, Failure, Kind, Revision};

/// Opens the database, and reopens it; the argument says whether it may be created.
type Opener = Box<dyn Fn(bool) -> Result<Database, Failure> + Send + Sync>;

/// A handle; clones share the file.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    opener: Opener,
    /// The file on disk, if there is one.
    file: Option<Arc<StoreFile>>,
    health: DiskHealth,
    /// `None` after an I/O error, until the next call reopens it.
    database: RwLock<Option<Database>>,
    /// Held while the file is copied: what reads it for long ends where it is written anew.
    copies: RwLock<()>,
    /// Whether it was closed for good. Changes only while `database` is locked.
    closed: AtomicBool,
    /// Locked from the beginning of a change until it is published, so that the feed is in the
    /// order of revisions.
    writer: Mutex<Writer>,
    queue: ChangeQueue,
    /// The log that this file follows, if there is one.
    log: OnceLock<LogConnection>,
    /// The last revision that is known to be in the file.
    reached: AtomicU64,
    /// What the file may not have on the disk yet.
    unsynced: Mutex<UnsyncedRows>,
    /// Whether the outcome of the last commit is unknown.
    unsettled: AtomicBool,
    /// What the sender of letters keeps in mind from one claim to the next.
    claimant: Mutex<Claimant>,
    clock: Clock,
}

#[derive(Default)]
struct Writer {
    followers: Followers,
    /// Changes whose commit was started and whose outcome is unknown: the disk may have saved them.
    unsettled: Vec<Change>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

/// An internal error: a rule, or the disk.
#[derive(Debug)]
enum StoreError {
    Rule(Failure),
    Disk(redb::Error),
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        Self::Rule(failure)
    }
}

macro_rules! disk_faults {
    ($($error:ty),*) => {
        $(impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                Self::Disk(error.into())
            }
        })*
    };
}
disk_faults!(
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError,
    redb::SetDurabilityError
);

impl Store {
    /// Opens the file at `path`, or makes it with mode 0600, with a cache of `cache_mb` MiB.
    ///
    /// # Errors
    /// A sentence that says what to do, when the file is locked, damaged, or of a newer version.
    pub async fn open(path: &Path, cache_mb: usize, clock: Clock) -> Result<Self, Failure> {
        let file = Arc::new(StoreFile::new(
            path,
            cache_mb.saturating_mul(1 << 20),
            write_overlay_backend::before_use,
        ));
        let opened = Arc::clone(&file);
        let opener: Opener = Box::new(move |may_make| {
            // Only at the start: while the sidecar runs, the file is already migrated.
            if !may_make {
                return opened.open_again();
            }
            file_rewrite::rewrite_if_due(opened.begin()?, &opened)
        });
        let store = Self::with(opener, Some(file), clock);
        store.await
    }

    /// A store that lives in memory and ends with the process.
    ///
    /// # Errors
    /// `Internal`, when memory runs out.
    pub async fn in_memory(clock: Clock) -> Result<Self, Failure> {
        Self::on(redb::backends::InMemoryBackend::new, clock).await
    }

    /// A store on the storage that `backend` creates, each time it is opened.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn on<B: StorageBackend>(
        backend: impl Fn() -> B + Send + Sync + 'static,
        clock: Clock,
    ) -> Result<Self, Failure> {
        let opener: Opener = Box::new(move |_| {
            let opened = Database::builder().create_with_backend(backend());
            opened.map_err(|fault| open_failure(Path::new("the storage"), &fault.into()))
        });
        Self::with(opener, None, clock).await
    }

    async fn with(
        opener: Opener,
        file: Option<Arc<StoreFile>>,
        clock: Clock,
    ) -> Result<Self, Failure> {
        let database = RwLock::new(None);
        let store = Self(Arc::new(Inner {
            opener,
            file,
            health: DiskHealth::default(),
            database,
            closed: AtomicBool::new(false),
            writer: Mutex::default(),
            queue: ChangeQueue::default(),
            copies: RwLock::default(),
            log: OnceLock::new(),
            reached: AtomicU64::new(0),
            unsynced: Mutex::default(),
            unsettled: AtomicBool::new(false),
            claimant: Mutex::default(),
            clock,
        }));
        let opening = store.clone();
        blocking(move || opening.unharmed(Self::prepare)).await?;
        Ok(store)
    }

    /// Runs the work of a start; a damaged file can cause an assertion in redb or a record, which
    /// is a fault of the file.
    fn unharmed<T>(&self, work: impl FnOnce(&Self) -> Result<T, Failure>) -> Result<T, Failure> {
        self.unbroken(|| work(self)).map_err(|fault| {
            let path = self.0.file.as_ref().map_or(Path::new("the storage"), |file| file.path());
            match fault.code {
                disk_health::BROKEN => damaged(path, "it leads nowhere"),
                _ => fault,
            }
        })
    }

    /// Runs work on the store. Where it panics, as a damaged file leads redb or a record into an
    /// assertion, nothing is written any more: what lies in memory may be half changed, and pages that
    /// are in use may pass for free ones. What was read before is still there to decide by.
    fn unbroken<T>(&self, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
            self.0.file.iter().for_each(|file| file.freeze());
            Err(self.0.health.broke())
        })
    }

    /// Migrates the file, and reads its revision.
    fn prepare(&self) -> Result<(), Failure> {
        self.guarded(|database| {
            migrations::migrate_if_due(database)?;
            let found = revision(&database.begin_read()?)?;
            self.0.reached.fetch_max(found.0, Ordering::AcqRel);
            Ok(())
        })
    }

    /// Subscribes to all changes from now on. Subscribe before [`Self::load`], so that none is
    /// missed.
    #[must_use]
    pub fn subscribe(&self) -> Follower {
        self.writer().followers.subscribe()
    }

    /// Reads all accounts, members, sessions and API tokens, in this order, each through `each`;
    /// members on two threads at once, many in one record. Answers the revision that they were read at.
    ///
    /// # Errors
    /// `Internal`, when the disk fails or a record is damaged.
    pub async fn load(
        &self,
        each: impl Fn(LoadedRecord) + Send + Sync + 'static,
    ) -> Result<Revision, Failure> {
        let store = self.clone();
        let load = move |tx: &ReadTransaction| {
            account_rows::all(tx, |account| each(LoadedRecord::Account(account)))?;
            each(LoadedRecord::Coming(member_rows::count(tx)?));
            member_rows::all(tx, &each)?;
            session_rows::all(tx, |session| each(LoadedRecord::Session(session)))?;
            api_token_rows::all(tx, |token| each(LoadedRecord::ApiToken(token)))?;
            revision(tx)
        };
        blocking(move || {
            store.settle_if_free()?;
            store.unharmed(|store| store.guarded(|database| load(&database.begin_read()?)))
        })
        .await
    }

    /// The revision of the last change.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn revision(&self) -> Result<Revision, Failure> {
        self.read(revision).await
    }

    /// Resolves a change whose commit failed midway, if there is one, and checks whether a failed
    /// store can be written again.
    ///
    /// # Errors
    /// `Busy`, when the disk still fails.
    pub async fn mend(&self) -> Result<(), Failure> {
        let store = self.clone();
        blocking(move || {
            store.settle_if_free()?;
            if store.0.health.is_to_be_tried() { store.try_to_write() } else { Ok(()) }
        })
        .await
    }

    /// Tries whether a change would be kept, by one of nothing: [`Self::fault`] tells.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn try_writing(&self) -> Result<(), Failure> {
        let store = self.clone();
        blocking(move || {
            store.change(Actor::System.label(), |_| Ok(TransactionEnd::Quietly(())))?;
            Ok(())
        })
        .await
    }

    /// Closes the file for good, once what uses it has ended: every later call is refused. A process
    /// that ends without it leaves the file as after a crash.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn close(&self) -> Result<(), Failure> {
        let store = self.clone();
        blocking(move || store.close_now()).await
    }

    fn close_now(&self) -> Result<(), Failure> {
        let mut slot = self.0.database.write().unwrap_or_else(PoisonError::into_inner);
        self.0.closed.store(true, Ordering::Release);
        let open = slot.take();
        if self.0.health.is_broken() {
            // Closing reads what may be damaged, and must write nothing.
            std::mem::forget(open);
            return Ok(());
        }
        let closed = open.map_or(Ok(()), Database::close);
        closed.map_err(|fault| busy(&disk_error_text::of(&fault.into())))
    }

    /// Why the last write failed, without a path; `None` if it succeeded.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.0.health.fault()
    }

    /// Whether the last write failed so recently that it is not to be tried again yet.
    #[must_use]
    pub fn awaits_retry(&self) -> bool {
        self.fault().is_some() && !self.0.health.is_to_be_tried()
    }

    /// How many changes wait for a commit after the current one.
    #[must_use]
    pub fn changes_waiting(&self) -> usize {
        self.0.queue.len()
    }

    /// Whether work on the store has panicked, and no change is written until a restart.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.0.health.is_broken()
    }

    /// The number of failed writes since the start.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.0.health.failures()
    }

    /// Whether the open file is the one that a restart would open, unchanged by others.
    ///
    /// # Errors
    /// `Busy` `store_replaced`.
    pub async fn is_in_place(&self) -> Result<(), Failure> {
        let store = self.clone();
        blocking(move || store.in_place()).await
    }

    /// Whether a change may have been committed that subscribers have not received.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        self.0.unsettled.load(Ordering::Acquire)
    }

    /// Reads in one transaction.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Failure> {
        let store = self.clone();
        blocking(move || {
            store.settle_if_free()?;
            store.guarded(|database| work(&database.begin_read()?))
        })
        .await
    }

    /// An empty change: fails if every other would.
    fn try_to_write(&self) -> Result<(), Failure> {
        self.try_to_change(Actor::System.label(), |_| Ok(TransactionEnd::Quietly(())))?;
        Ok(())
    }

    fn in_place(&self) -> Result<(), Failure> {
        // While it is written anew, the new file has its name for a moment before it is opened.
        let Some(_open) = self.0.database.try_read().ok() else { return Ok(()) };
        self.0.file.as_ref().map_or(Ok(()), |file| file.is_in_place())
    }

    fn settle_if_free(&self) -> Result<(), Failure> {
        match self.0.writer.try_lock() {
            Ok(mut writer) => self.settle(&mut writer),
            Err(TryLockError::Poisoned(writer)) => self.settle(&mut writer.into_inner()),
            // A change is running; it resolves the outcome before it begins and when it ends.
            Err(TryLockError::WouldBlock) => Ok(()),
        }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // The outcome of a change that panicked is unknown, and is resolved before the next one.
        self.0.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unsynced(&self) -> MutexGuard<'_, UnsyncedRows> {
        self.0.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs work on the open database, and closes it after a disk error.
    fn guarded<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, Failure> {
        self.unbroken(|| self.on_open(work))
    }

    fn on_open<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, Failure> {
        self.reopen()?;
        // A file that another process has written to must not be read.
        self.0.file.as_ref().map_or(Ok(()), |file| file.is_unchanged())?;
        let database = self.0.database.read().unwrap_or_else(PoisonError::into_inner);
        let found = match database.as_ref() {
            Some(database) => work(database),
            None => Err(StoreError::Rule(busy("it is being opened again"))),
        };
        drop(database);
        found.map_err(|fault| match fault {
            StoreError::Rule(failure) => failure,
            StoreError::Disk(error) => {
                self.0.database.write().unwrap_or_else(PoisonError::into_inner).take();
                self.not_done(&error)
            }
        })
    }

    /// At the start everything but a disk error is damage, and is reported to the operator.
    fn not_done(&self, error: &redb::Error) -> Failure {
        let is_of_disk = matches!(error, redb::Error::Io(_) | redb::Error::PreviousIo);
        match &self.0.file {
            Some(file) if !is_of_disk && self.0.reached.load(Ordering::Acquire) == 0 => {
                open_failure(file.path(), error)
            }
            _ => busy(&disk_error_text::of(error)),
        }
    }

    fn reopen(&self) -> Result<(), Failure> {
        let is_open = |slot: &Option<Database>| slot.is_some();
        if is_open(&self.0.database.read().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        let mut slot = self.0.database.write().unwrap_or_else(PoisonError::into_inner);
        if !is_open(&slot) {
            if self.0.closed.load(Ordering::Acquire) {
                return Err(closed());
            }
            let reached = self.0.reached.load(Ordering::Acquire);
            let database = (self.0.opener)(reached == 0)?;
            self.unsynced().write_again(&database).map_err(|fault| match fault {
                StoreError::Rule(failure) => failure,
                StoreError::Disk(error) => self.not_done(&error),
            })?;
            if reached > 0 {
                check_known(&database, reached)?;
            }
            *slot = Some(database);
        }
        Ok(())
    }
}

/// Refuses a file that lacks acknowledged changes: it is another one.
fn check_known(database: &Database, reached: u64) -> Result<(), Failure> {
    let found = database.begin_read().map_err(StoreError::from).and_then(|tx| revision(&tx));
    match found {
        Ok(Revision(found)) if found >= reached => Ok(()),
        Ok(Revision(found)) => {
            Err(replaced().logged(format!("it is at revision {found}, {reached} was reached")))
        }
        Err(StoreError::Disk(redb::Error::TableDoesNotExist(_))) => Err(replaced()),
        Err(StoreError::Disk(error)) => Err(busy(&disk_error_text::of(&error))),
        Err(StoreError::Rule(failure)) => Err(failure),
    }
}

/// The code of a failure because another file took the place of the store's.
pub const REPLACED: &str = "store_replaced";
/// The code of a failure of the disk.
pub const UNAVAILABLE: &str = "store_unavailable";

fn replaced() -> Failure {
    Failure::new(
        Kind::Busy,
        REPLACED,
        "the store's file was replaced by an older one while the sidecar ran, and nothing was changed: put the right file in its place, then restart the sidecar",
    )
}

fn closed() -> Failure {
    Failure::new(
        Kind::Busy,
        "stopping",
        "KWIC Team is stopping, and nothing was changed: try again in a minute",
    )
}

/// The change was saved in a file that a restart does not find.
fn not_lasting(fault: &Failure) -> Failure {
    Failure::new(
        fault.kind,
        fault.code,
        "the store's file was replaced or deleted while this change was written, and the change is lost when the sidecar stops: save what the sidecar holds with `kwic-team backup`, stop the sidecar, and restore that backup",
    )
    .logged(fault.private.as_deref().unwrap_or_default())
}

/// Whether the disk failed, and not a rule.
fn is_of_disk(fault: &Failure) -> bool {
    matches!(fault.code, UNAVAILABLE | database_file::REFUSED)
}

/// The state of the file is unknown.
fn unavailable(fault: &io::Error) -> Failure {
    busy(&disk_error_text::of_io(fault))
}

fn revision(rows: &impl Rows) -> Result<Revision, StoreError> {
    let meta = rows.open(META)?;
    let found = meta.get(REVISION)?;
    Ok(Revision(found.map_or(0, |found| found.value())))
}

/// The disk failed; nothing was changed.
fn busy(cause: &str) -> Failure {
    Failure::new(
        Kind::Busy,
        UNAVAILABLE,
        "KWIC Team's data could not be read or written, and nothing was changed: `kwic-team doctor` and the log say why; free space on its disk where it is full, then try again",
    )
    .logged(cause)
}

/// The disk failed during a commit: the outcome is unknown to the caller.
fn unclear(fault: &Failure) -> Failure {
    Failure::new(
        Kind::Busy,
        UNAVAILABLE,
        "the disk failed, and this change may or may not have been made, so look before you repeat it: `kwic-team doctor` and the log say why; if its disk is full, free space there",
    )
    .logged(fault.private.as_deref().unwrap_or_default())
}

/// Outside the decision threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|fault| broke_off(&fault))?
}

fn broke_off(fault: &tokio::task::JoinError) -> Failure {
    Failure::internal(format!("the work of the store failed: {fault}"))
}
