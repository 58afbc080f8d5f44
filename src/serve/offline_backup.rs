//! Offline operations on a data folder that no sidecar uses: backup and restore.
//!
//! Loses nothing: the previous files are kept under other names. A restore holds the folder until it is
//! done, so that no sidecar starts meanwhile.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::folder_lock::FolderLock;
use crate::backup::replaced_stores::{keep, mark};
use crate::backup::staged_restore::{self, KEPT, beside, failed, staged};
use crate::backup::{self, Backup, BackupReport, abandoned_files, above, sync_folder};
use crate::clock::Clock;
use crate::config::{Config, resolve_symlinks};
use crate::domain::{Actor, Failure, Kind, Revision, Timestamp};
use crate::keys::Keys;
use crate::services::two_step;
use crate::store::Store;
use crate::store::requests_and_views::restore_and_erasure_state::RevokedAccess;

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
        let mark = mark(KEPT, Clock::System.now());
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
