//! Offline operations on a data folder that no sidecar uses: backup and restore.
//!
//! Loses nothing: the previous files are kept under other names. Holds `admin.sock` and the store's
//! lock until it is done, so that no sidecar starts meanwhile.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use super::make_private;
use crate::backup::staged_restore::{self, KEPT, beside, failed, staged};
use crate::backup::{self, Backup, BackupReport, abandoned_files, above, sync_folder};
use crate::clock::{self, Clock};
use crate::config::{Config, resolve_symlinks};
use crate::domain::{Actor, Failure, Kind, Revision, Timestamp};
use crate::http::{Listen, Listener, SOCKET_TAKEN};
use crate::keys::Keys;
use crate::services::two_step;
use crate::socket_file::SocketFile;
use crate::store::Store;
use crate::store::types::backup::RevokedAccess;

/// The code of a failure that tells of a restore under way.
pub const RESTORING: &str = "restore_runs";
/// A restore answers at once, and its callers are on this machine.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);
/// More than its answer has.
const ANSWER_BYTES_MAX: u64 = 16 << 10;
/// So many pieces of what is asked are read.
const ASKED_PIECES_MAX: usize = 1000;

/// The result of a restore.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The restored revision.
    pub revision: Revision,
    /// When the backup was made.
    pub taken: Timestamp,
    /// What was ended.
    pub undone: RevokedAccess,
    /// Open invites whose link cannot be derived again, since its key is missing.
    pub invites_without_key: u64,
    /// Second-factor secrets whose key is missing.
    pub secrets_without_key: usize,
    /// The paths of the previous files.
    pub kept: Vec<PathBuf>,
}

/// Makes a backup of a data folder that no sidecar uses.
///
/// # Errors
/// As [`backup::write`]; a sentence that says what to do, when a sidecar runs, or there is no store.
pub async fn back_up(config: &Config, to: &Path) -> Result<BackupReport, Failure> {
    let store = &config.store.path;
    if !store.exists() {
        return Err(Failure::new(
            Kind::NotFound,
            "no_store",
            format!("there is no store `{}`: give the --data of a sidecar", store.display()),
        ));
    }
    if staged_restore::is_there(&config.data) {
        return Err(staged_restore::told(&config.data));
    }
    let copy = |file: PathBuf| async move { Store::copy_file(store, &file).await };
    backup::write(to, &config.data, Vec::new(), Clock::System.now(), copy).await
}

/// Restores a backup, with its keys unless it was read without them. Sessions, API tokens and links
/// to a new password or address of that time end.
///
/// # Errors
/// A sentence that says what to do, when a sidecar runs, the backup is damaged, or the disk fails.
pub async fn restore(
    config: &Config,
    backup: &Backup,
    with_keys: bool,
) -> Result<Restored, Failure> {
    let _alone = FolderLock::with(config).await?;
    staged_restore::finish(&config.data, &config.store.path)?;
    let staged = StagedFiles::of(config, backup, with_keys)?;
    let keys = Keys::open(staged.keys.as_deref().unwrap_or(&keys_of(config)))?;
    let store = Store::open(&staged.store, config.store.cache_mb, Clock::System).await?;
    let actor = Actor::Sidecar { uid: owner(&staged.store)? };
    let undone = store.put_back(&actor, backup.taken()).await?.value;
    let (_, secrets_without_key) = two_step::reseal(&store, &keys).await?;
    let invites_without_key = invites_without_key(&store, &keys).await?;
    // Closed before it is renamed.
    store.close().await?;
    Ok(Restored {
        revision: backup.revision(),
        taken: backup.taken(),
        undone,
        invites_without_key,
        secrets_without_key,
        kept: staged.take_place()?,
    })
}

fn keys_of(config: &Config) -> PathBuf {
    config.data.join("keys")
}

/// The current user.
fn owner(own: &Path) -> Result<u32, Failure> {
    fs::metadata(own).map(|meta| meta.uid()).map_err(|fault| failed(own, &fault))
}

async fn invites_without_key(store: &Store, keys: &Keys) -> Result<u64, Failure> {
    let mut count = 0;
    for (invite, known) in store.open_invites().await? {
        let token = keys.invite_token(invite.key, &invite.account, &invite.id, invite.generation);
        if token.is_none_or(|token| token.hash() != known) {
            count += 1;
        }
    }
    Ok(count)
}

/// Exclusive access to the data folder.
struct FolderLock {
    _socket: Arc<SocketFile>,
    /// Locked as a running sidecar does.
    _store: Option<File>,
}

impl FolderLock {
    async fn with(config: &Config) -> Result<Self, Failure> {
        make_private(&config.data)?;
        let path = config.data.join("admin.sock");
        let socket = match (Listen::Unix { path: path.clone(), mode: 0o600 }).bind().await {
            Err(taken) if taken.code == SOCKET_TAKEN => {
                return Err(if restores(&path).await {
                    restoring(&config.data)
                } else {
                    served(&config.data)
                });
            }
            bound => bound?,
        };
        let Listener::Unix(listener, socket) = socket else {
            return Err(Failure::internal("the socket that was bound is not a unix socket"));
        };
        let store = &config.store.path;
        let file = match backup::open_file(store) {
            Ok(file) => Some(file),
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => None,
            Err(fault) => return Err(failed(store, &fault)),
        };
        let locked = file.as_ref().map_or(Ok(()), File::try_lock);
        let alone = Self { _socket: socket, _store: file };
        match locked {
            Ok(()) => {
                answer(listener);
                Ok(alone)
            }
            Err(TryLockError::WouldBlock) => Err(held(store)),
            Err(TryLockError::Error(fault)) => Err(failed(store, &fault)),
        }
    }
}

/// That a restore is under way.
pub(super) fn restoring(data: &Path) -> Failure {
    let sentence = format!(
        "a restore runs on `{}`: wait until it has ended, then try again; nothing was changed",
        data.display()
    );
    Failure::new(Kind::Conflict, RESTORING, sentence)
}

/// Answers every client on the socket of the sidecar that a restore runs, until the process ends.
/// On a thread of its own: a restore reads and writes files on the one that it has.
fn answer(listener: UnixListener) {
    let detail = "a restore runs on this data folder: wait until it has ended, then try again; nothing was changed";
    let body = format!("{{\"status\":503,\"code\":\"{RESTORING}\",\"detail\":\"{detail}\"}}");
    let head = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nx-request-id: restore\r\nconnection: close\r\ncontent-length:";
    let answer = format!("{head} {}\r\n\r\n{body}", body.len());
    let listener = listener.into_std().and_then(|listener| {
        listener.set_nonblocking(false)?;
        Ok(listener)
    });
    let Ok(listener) = listener else { return };
    // Who is not told this waits for nothing, and loses nothing.
    let _ = thread::Builder::new().name("restore".to_owned()).spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.and_then(|stream| tell(stream, &answer));
        }
    });
}

/// Reads to the end of the head, and to the end of what is sent after the answer: a socket that is
/// closed with bytes in it takes the answer back.
fn tell(mut stream: StdUnixStream, answer: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(ANSWERED_WITHIN))?;
    stream.set_write_timeout(Some(ANSWERED_WITHIN))?;
    let mut asked = [0; 4096];
    if stream.read(&mut asked)? == 0 {
        return Ok(());
    }
    stream.write_all(answer.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    for _ in 0..ASKED_PIECES_MAX {
        if stream.read(&mut asked)? == 0 {
            break;
        }
    }
    Ok(())
}

/// Whether a restore answers at the socket.
pub(super) async fn restores(socket: &Path) -> bool {
    let ask = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream
            .write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        let told = format!("\"code\":\"{RESTORING}\"");
        Ok::<bool, io::Error>(String::from_utf8_lossy(&answer).contains(&told))
    };
    matches!(tokio::time::timeout(ANSWERED_WITHIN, ask).await, Ok(Ok(true)))
}

fn served(what: &Path) -> Failure {
    Failure::new(
        Kind::Conflict,
        "sidecar_runs",
        format!(
            "a sidecar runs on `{}`: stop it, then restore; nothing was changed",
            what.display()
        ),
    )
}

fn held(store: &Path) -> Failure {
    let sentence = format!(
        "the store `{}` is held by another process, such as a sidecar or a backup: stop the sidecar, or wait until the other command has ended, then restore; nothing was changed",
        store.display()
    );
    Failure::new(Kind::Conflict, "sidecar_runs", sentence)
}

/// The prepared files. Removed when dropped before they are in place.
struct StagedFiles<'c> {
    config: &'c Config,
    store: PathBuf,
    /// `None` if the current keys stay.
    keys: Option<PathBuf>,
}

impl Drop for StagedFiles<'_> {
    fn drop(&mut self) {
        // From then on the next start completes it.
        if !staged_restore::is_there(&self.config.data) {
            let _ = fs::remove_file(&self.store);
            self.keys.iter().for_each(|keys| drop(fs::remove_dir_all(keys)));
        }
    }
}

impl<'c> StagedFiles<'c> {
    fn of(config: &'c Config, backup: &Backup, with_keys: bool) -> Result<Self, Failure> {
        let keys = keys_of(config);
        // If the folder has all of them, it may have newer ones too, which are still needed.
        let stay = !with_keys || backup.keys_are_in(&keys);
        let store = staged(&config.store.path)?;
        let keys = if stay { None } else { Some(staged(&keys)?) };
        // Left by an interrupted restore.
        [Some(&store), keys.as_ref()].into_iter().flatten().try_for_each(|path| clear(path))?;
        let staged = Self { config, store, keys };
        backup.put_store(&staged.store)?;
        staged.keys.iter().try_for_each(|keys| backup.put_keys(keys))?;
        Ok(staged)
    }

    /// Moves everything into place; returns where the previous files are kept. There is a complete
    /// store under the name at every moment, and once the first step is done, the others will be.
    fn take_place(&self) -> Result<Vec<PathBuf>, Failure> {
        let Config { data, .. } = self.config;
        let mark = mark(Clock::System.now());
        let mut kept = Vec::new();
        let store = resolve_symlinks(&self.config.store.path)?;
        if store.exists() {
            let old = beside(&store, &mark);
            keep(&store, &old).map_err(|fault| failed(&old, &fault))?;
            kept.push(old);
        }
        let begun = self.begin(&store, &mark);
        if begun.is_err() && !staged_restore::is_there(data) {
            // Nothing took the place of what was there: it needs no second name.
            kept.iter().for_each(|old| drop(fs::remove_file(old)));
        }
        begun?;
        kept.extend(staged_restore::finish(data, &self.config.store.path)?.unwrap_or_default());
        Ok(kept)
    }

    /// Says that everything lies whole beside its place, once it does.
    fn begin(&self, store: &Path, mark: &str) -> Result<(), Failure> {
        for folder in self.keys.iter().map(PathBuf::as_path).chain([above(store).as_path()]) {
            sync_folder(folder).map_err(|fault| failed(folder, &fault))?;
        }
        if let Some(keys) = &self.keys {
            sync_folder(&above(keys)).map_err(|fault| failed(keys, &fault))?;
        }
        staged_restore::begin(&self.config.data, mark)
    }
}

/// Gives the store a second name. Not every file system has links; a copy gets the name once it is
/// whole.
fn keep(store: &Path, old: &Path) -> io::Result<()> {
    fs::hard_link(store, old).or_else(|_| {
        let new = beside(old, "new");
        fs::copy(store, &new).and_then(|_| fs::rename(&new, old)).inspect_err(|_| {
            let _ = fs::remove_file(&new);
        })
    })
}

/// Removes what an interrupted restore has left, and nothing else.
fn clear(path: &Path) -> Result<(), Failure> {
    let Ok(there) = fs::symlink_metadata(path) else { return Ok(()) };
    if !abandoned_files::is_of_restore(path) {
        let sentence = format!(
            "`{}` is in the way, and no restore made it: move it away, then restore again; nothing was changed",
            path.display()
        );
        return Err(Failure::new(Kind::Conflict, "restore_in_the_way", sentence));
    }
    let removed = if there.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.map_err(|fault| failed(path, &fault))
}

/// Such as `before-restore-20261124T120000123Z`.
fn mark(now: Timestamp) -> String {
    let milliseconds = now.0.rem_euclid(1000);
    let time = clock::rfc3339(Timestamp(now.0 - milliseconds));
    let time: String = time.chars().filter(|c| c.is_ascii_alphanumeric() && *c != 'Z').collect();
    format!("{KEPT}{time}{milliseconds:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn clients_are_told_while_a_restore_runs() {
        let home = tempfile::tempdir().unwrap();
        let config = Config::load(None, home.path().join("data"), std::iter::empty()).unwrap();
        let socket = config.data.join("admin.sock");
        assert!(!restores(&socket).await);
        let alone = FolderLock::with(&config).await.unwrap();
        for _ in 0..3 {
            assert!(restores(&socket).await);
        }
        let second = FolderLock::with(&config).await.map(drop).unwrap_err();
        assert_eq!(second.code, RESTORING);
        assert!(second.public.contains("wait until it has ended"), "{second}");
        drop(alone);
        assert!(!restores(&socket).await);
        FolderLock::with(&config).await.map(drop).unwrap();
    }

    #[test]
    fn names_of_what_is_kept_sort_by_their_time() {
        for (milliseconds, ending) in [(0, "000Z"), (5, "005Z"), (120, "120Z"), (389, "389Z")] {
            let name = mark(Timestamp(1_795_521_600_000 + milliseconds));
            assert_eq!(name, format!("before-restore-20261124T120000{ending}"));
        }
    }
}
