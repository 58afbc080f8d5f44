//! Offline operations on a data folder that no sidecar uses: backup and restore.
//!
//! Loses nothing: the previous files are kept under other names. Holds `admin.sock` and the store's
//! lock until it is done, so that no sidecar starts meanwhile.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{make_private, usable};
use crate::backup::pending::{self, beside, failed, staged};
use crate::backup::{self, Backup, Taken, above, leftovers, sync_folder};
use crate::clock::{self, Clock};
use crate::config::{Config, behind_links};
use crate::domain::{Actor, Failure, Kind, Revision, Timestamp};
use crate::flows::two_step;
use crate::http::{Listen, Listener};
use crate::keys::Keys;
use crate::store::Store;
use crate::store::backup::Undone;

/// The result of a restore.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The restored revision.
    pub revision: Revision,
    /// When the backup was made.
    pub taken: Timestamp,
    /// What was ended.
    pub undone: Undone,
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
pub async fn back_up(config: &Config, to: &Path) -> Result<Taken, Failure> {
    usable(config)?;
    let store = &config.store.path;
    if !store.exists() {
        return Err(Failure::new(
            Kind::NotFound,
            "no_store",
            format!("there is no store `{}`: give the --data of a sidecar", store.display()),
        ));
    }
    if pending::is_there(&config.data) {
        return Err(pending::told(&config.data));
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
    usable(config)?;
    let _alone = Alone::with(config).await?;
    pending::finish(&config.data, &config.store.path)?;
    let staged = Staged::of(config, backup, with_keys)?;
    let keys = Keys::open(staged.keys.as_deref().unwrap_or(&keys_of(config)))?;
    let store = Store::open(&staged.store, config.store.cache_mb, Clock::System).await?;
    let actor = Actor::Sidecar { uid: owner(&staged.store)? };
    let undone = store.put_back(&actor, backup.taken()).await?.value;
    let (_, secrets_without_key) = two_step::reseal(&store, &keys).await?;
    let invites_without_key = invites_without_key(&store, &keys).await?;
    // Closed before it is renamed.
    drop(store);
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
struct Alone {
    _socket: Listener,
    /// Locked as a running sidecar does.
    _store: Option<File>,
}

impl Alone {
    async fn with(config: &Config) -> Result<Self, Failure> {
        make_private(&config.data)?;
        let path = config.data.join("admin.sock");
        let socket = Listen::Unix { path, mode: 0o600 }.bind().await;
        let socket = socket.map_err(|failure| match failure.code {
            "socket_taken" => served(&config.data),
            _ => failure,
        })?;
        let store = &config.store.path;
        let file = match backup::open_file(store) {
            Ok(file) => Some(file),
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => None,
            Err(fault) => return Err(failed(store, &fault)),
        };
        let locked = file.as_ref().map_or(Ok(()), File::try_lock);
        let alone = Self { _socket: socket, _store: file };
        match locked {
            Ok(()) => Ok(alone),
            Err(TryLockError::WouldBlock) => Err(served(store)),
            Err(TryLockError::Error(fault)) => Err(failed(store, &fault)),
        }
    }
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

/// The prepared files. Removed when dropped before they are in place.
struct Staged<'c> {
    config: &'c Config,
    store: PathBuf,
    /// `None` if the current keys stay.
    keys: Option<PathBuf>,
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        // From then on the next start completes it.
        if !pending::is_there(&self.config.data) {
            let _ = fs::remove_file(&self.store);
            self.keys.iter().for_each(|keys| drop(fs::remove_dir_all(keys)));
        }
    }
}

impl<'c> Staged<'c> {
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
        let store = behind_links(&self.config.store.path)?;
        if store.exists() {
            let old = beside(&store, &mark);
            // Not every file system has hard links.
            fs::hard_link(&store, &old)
                .or_else(|_| fs::copy(&store, &old).map(drop))
                .map_err(|fault| failed(&old, &fault))?;
            kept.push(old);
        }
        for folder in self.keys.iter().map(PathBuf::as_path).chain([above(&store).as_path()]) {
            sync_folder(folder).map_err(|fault| failed(folder, &fault))?;
        }
        if let Some(keys) = &self.keys {
            sync_folder(&above(keys)).map_err(|fault| failed(keys, &fault))?;
        }
        pending::begin(data, &mark)?;
        kept.extend(pending::finish(data, &self.config.store.path)?.unwrap_or_default());
        Ok(kept)
    }
}

/// Removes what an interrupted restore has left, and nothing else.
fn clear(path: &Path) -> Result<(), Failure> {
    let Ok(there) = fs::symlink_metadata(path) else { return Ok(()) };
    if !leftovers::is_of_restore(path) {
        let sentence = format!(
            "`{}` is in the way, and no restore made it: move it away, then restore again; nothing was changed",
            path.display()
        );
        return Err(Failure::new(Kind::Conflict, "restore_in_the_way", sentence));
    }
    let removed = match there.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
    removed.map_err(|fault| failed(path, &fault))
}

/// Such as `before-restore-20261124T120000123Z`.
fn mark(now: Timestamp) -> String {
    let time = clock::rfc3339(now).replace(|c: char| !c.is_ascii_alphanumeric(), "");
    format!("before-restore-{time}")
}
