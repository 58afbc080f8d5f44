//! The membership of a data folder that no sidecar uses: `kwic-team fleet init`, `join` and `leave`.
//!
//! Each can be killed at any moment, and run again: what it leaves is a store that starts, and the
//! command goes on from there. The store of before is kept under another name where another one takes
//! its place.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::folder_lock::FolderLock;
use crate::backup::replaced_stores::{self, BEFORE_JOIN, JOINING, SNAPSHOT, mark};
use crate::backup::staged_restore::{self, beside};
use crate::backup::{above, sync_folder};
use crate::clock::Clock;
use crate::config::{Config, Fleet, cause_at, resolve_symlinks};
use crate::domain::{Failure, KeysInUse, Kind, Revision, Timestamp};
use crate::entropy;
use crate::fleet::configured_log::LogPlace;
use crate::fleet::key_cipher::FleetCipher;
use crate::fleet::{snapshot_list, snapshot_reader, snapshot_writer};
use crate::keys::Keys;
use crate::keys::epoch_keys::EpochKeys;
use crate::store::Store;
use crate::store::records::fleet_membership::FleetMembership;
use crate::store::records::shared_log_position::LogPosition;
use crate::store::shared_log::{FleetLog, LogHead, LogId, NodeId};
use crate::store::shared_log_encryption::LogSeal;

/// The code of a failure because the data folder, or the log, is in another state than the command
/// needs.
pub const FLEET_STATE: &str = "fleet_state";

/// A fleet that was begun.
#[derive(Clone, Debug)]
pub struct FleetBegun {
    /// Its log, and this node of it.
    pub fleet: FleetMembership,
    /// The revision of the store.
    pub revision: Revision,
    /// Bytes of the snapshot for other nodes; `None`, where there was one.
    pub snapshot_bytes: Option<u64>,
}

/// A fleet that was joined.
#[derive(Clone, Debug)]
pub struct FleetJoined {
    /// Its log, and this node of it.
    pub fleet: FleetMembership,
    /// The place in the log that the node begins at.
    pub index: u64,
    /// The revision of the store.
    pub revision: Revision,
    /// The path of the store of before, if there was one.
    pub kept: Option<PathBuf>,
    /// Stores of earlier joins that were old enough to be removed.
    pub removed: Vec<PathBuf>,
}

/// A fleet that was left.
#[derive(Clone, Debug)]
pub struct FleetLeft {
    /// Its log, and the node that left.
    pub fleet: FleetMembership,
    /// The revision of the store.
    pub revision: Revision,
}

/// Makes a log from the store of this folder, and a snapshot for the nodes that join.
///
/// # Errors
/// `Conflict` `fleet_state` with what to do, when there is a log already, or the store is in another
/// fleet; a sentence that says what to do, when a sidecar runs, there is no store, or the log cannot be
/// reached.
pub async fn init(config: &Config, place: &Arc<dyn LogPlace>) -> Result<FleetBegun, Failure> {
    let _alone = FolderLock::beside_store(config).await?;
    staged_restore::finish(&config.data, &config.store.path)?;
    let store_path = &config.store.path;
    if !store_path.exists() {
        return Err(state(format!(
            "there is no store `{}`: to take the members of a fleet that is there, run `kwic-team fleet join`; to begin one with no members, run `kwic-team serve` without `fleet.log` once",
            store_path.display()
        )));
    }
    let keys = keys(config)?;
    let there = at(place, |place| place.inspect()).await?;
    let store = Store::open(store_path, config.store.cache_mb, Clock::System).await?;
    let begun = begin(config, place, &store, keys, there).await;
    let closed = store.close().await;
    closed.and(begun)
}

async fn begin(
    config: &Config,
    place: &Arc<dyn LogPlace>,
    store: &Store,
    keys: Keys,
    there: Option<(LogId, LogHead)>,
) -> Result<FleetBegun, Failure> {
    let fleet = own_fleet(store, keys.newest(), there.map(|(log, _)| log)).await?;
    let epochs = EpochKeys::read(&config.data.join("keys"))?;
    if there.is_none() {
        epochs.begin_log()?;
        at(place, move |place| place.create(fleet.log)).await?;
    }
    let log = at(place, move |place| place.open(fleet.log)).await?;
    let cipher = cipher(keys, epochs)?;
    let seal = LogSeal::new(fleet.log, Arc::clone(&cipher) as _);
    store.join_log(Arc::clone(&log) as _, cipher).await?;
    let has_one = {
        let (log, seal) = (Arc::clone(&log), seal.clone());
        blocking(move || Ok(!snapshot_list::list(&*log, &seal)?.whole.is_empty())).await?
    };
    let mut snapshot_bytes = None;
    if !has_one {
        let scratch = beside(&resolve_symlinks(&config.store.path)?, SNAPSHOT);
        let written = snapshot_writer::write(store, log, seal, &scratch).await?;
        snapshot_bytes = Some(written.bytes);
    }
    Ok(FleetBegun { fleet, revision: store.revision().await?, snapshot_bytes })
}

/// The fleet of which this store is to be the first node. The store is put into it before there is a
/// log: one that was killed in between makes the log of this fleet when it is run again, and no node
/// can find a log that has no store.
async fn own_fleet(
    store: &Store,
    keys: KeysInUse,
    there: Option<LogId>,
) -> Result<FleetMembership, Failure> {
    let position = store.fleet_position().await?;
    match (store.fleet().await?, there) {
        (None, None) => {
            let (log, node) = (LogId(entropy::random()?), NodeId(entropy::random()?));
            let fleet = FleetMembership { log, node };
            let start = LogPosition { head: log.start(), at: Timestamp(i64::MIN) };
            store.begin_keys(keys).await?;
            store.enter_fleet(fleet, start).await?;
            Ok(fleet)
        }
        (Some(fleet), Some(log)) if fleet.log == log => Ok(fleet),
        (Some(fleet), None) if position.is_some_and(|position| position.head.index == 0) => {
            Ok(fleet)
        }
        (Some(_), None) => Err(state(
            "this store is in a fleet, and `fleet.log` names a place without its log: correct `fleet.log`, or have the log's server restored; to begin a new fleet with this store, run `kwic-team fleet leave`, then `kwic-team fleet init`".to_owned(),
        )),
        (Some(_), Some(_)) => Err(of_another_log()),
        (None, Some(_)) => Err(state(
            "there is a log already at `fleet.log`: run `kwic-team fleet join` to be a node of its fleet; for another fleet, name another database or prefix in `fleet.log`; nothing was changed".to_owned(),
        )),
    }
}

/// Takes the newest snapshot of the fleet as the store of this folder.
///
/// # Errors
/// `Conflict` `fleet_state` with what to do, when there is no log, the keys are missing, or the store is
/// in another fleet; as [`snapshot_reader::begin_with_newest`]; a sentence that says what to do, when a
/// sidecar runs or the log cannot be reached.
pub async fn join(
    config: &Config,
    settings: &Fleet,
    place: &Arc<dyn LogPlace>,
) -> Result<FleetJoined, Failure> {
    let mut alone = FolderLock::beside_store(config).await?;
    staged_restore::finish(&config.data, &config.store.path)?;
    let keys = keys(config)?;
    let store = resolve_symlinks(&config.store.path)?;
    let own = membership(&store).await?;
    alone.lock_store(config)?;
    let there = at(place, |place| place.inspect()).await?;
    let (log, head) = there.ok_or_else(|| {
        state("there is no log at `fleet.log`: run `kwic-team fleet init` on the node whose members all others are to have, or correct `fleet.log`; nothing was changed".to_owned())
    })?;
    let cipher = cipher(keys, EpochKeys::read(&config.data.join("keys"))?)?;
    let node = match own {
        Some((own, _)) if own.log != log => return Err(of_another_log()),
        Some((_, at)) if at.index > head.index || (at.index == head.index && at != head) => {
            return Err(state(format!(
                "this store has changes that the log lacks (up to entry {}, and the log ends at {}): the log was restored from a backup, or a standby without them took over. Look first whether another node has them, too. To go on without them, move `{}` away, and run `kwic-team fleet join` again; nothing was changed",
                at.index,
                head.index,
                store.display()
            )));
        }
        Some((own, _)) => own.node,
        None => NodeId(entropy::random()?),
    };
    let opened = at(place, move |place| place.open(log)).await?;
    let staged = beside(&store, JOINING);
    let begun = begin_at(opened, LogSeal::new(log, cipher), node, &staged).await?;
    let now = Clock::System.now();
    let kept = take_place(&staged, &store, now).inspect_err(|_| {
        let _ = fs::remove_file(&staged);
    })?;
    let removed = replaced_stores::remove_old(&store, settings.keep_old_days, now);
    Ok(FleetJoined {
        fleet: FleetMembership { log, node },
        index: begun.0,
        revision: begun.1,
        kept,
        removed,
    })
}

/// The place in the log, and the revision, of the snapshot that was taken.
async fn begin_at(
    log: Arc<dyn FleetLog>,
    seal: LogSeal,
    node: NodeId,
    staged: &Path,
) -> Result<(u64, Revision), Failure> {
    let taken = snapshot_reader::begin_with_newest(log, seal, node, staged).await?;
    Ok((taken.position.head.index, taken.revision))
}

/// The fleet of the store that is to be replaced, and its place in the log. A damaged store is in none: it is kept, whatever it
/// is.
async fn membership(store: &Path) -> Result<Option<(FleetMembership, LogHead)>, Failure> {
    if !store.exists() {
        return Ok(None);
    }
    let read = async {
        let view = Store::view(store).await?;
        Ok::<_, Failure>((view.fleet().await?, view.fleet_position().await?))
    };
    match read.await {
        Ok((fleet, position)) => Ok(fleet.zip(position.map(|position| position.head))),
        Err(fault) if fault.public.contains("is held by another process") => Err(fault),
        Err(fault) => {
            tracing::warn!(%fault, "the store that is replaced cannot be read");
            Ok(None)
        }
    }
}

/// Gives the new store its name; there is a whole store under it at every moment. Answers where the
/// old one is kept.
fn take_place(staged: &Path, store: &Path, now: Timestamp) -> Result<Option<PathBuf>, Failure> {
    let failed = |fault| unwritable(store, &fault);
    let synced = File::open(staged).and_then(|file| file.sync_all());
    synced.map_err(failed)?;
    let mut kept = None;
    if store.exists() {
        let old = beside(store, &mark(BEFORE_JOIN, now));
        replaced_stores::keep(store, &old).map_err(failed)?;
        kept = Some(old);
    }
    let folder = above(store);
    let placed = sync_folder(&folder).and_then(|()| fs::rename(staged, store));
    if let Err(fault) = placed {
        // Nothing took the place of what is there: it needs no second name.
        kept.iter().for_each(|old| drop(fs::remove_file(old)));
        return Err(failed(fault));
    }
    sync_folder(&folder).map_err(failed)?;
    Ok(kept)
}

/// Takes the store of this folder out of its fleet.
///
/// # Errors
/// `Conflict` `fleet_state`, when it is in none; a sentence that says what to do, when a sidecar runs or
/// there is no store.
pub async fn leave(config: &Config) -> Result<FleetLeft, Failure> {
    let _alone = FolderLock::beside_store(config).await?;
    staged_restore::finish(&config.data, &config.store.path)?;
    let path = &config.store.path;
    if !path.exists() {
        return Err(state(format!(
            "there is no store `{}`: give the --data of the node",
            path.display()
        )));
    }
    let store = Store::open(path, config.store.cache_mb, Clock::System).await?;
    let left = take_out(&store, &config.data.join("keys")).await;
    let closed = store.close().await;
    closed.and(left)
}

async fn take_out(store: &Store, keys: &Path) -> Result<FleetLeft, Failure> {
    let fleet = store.fleet().await?;
    let fleet = fleet.ok_or_else(|| {
        state("this store is in no fleet, and nothing was changed: to run it alone, leave the section `[fleet]` out of the configuration".to_owned())
    })?;
    // What it could read of the log, it has. First: where this is interrupted, the next attempt does the
    // rest.
    EpochKeys::destroy_all(keys)?;
    store.leave_fleet().await?;
    Ok(FleetLeft { fleet, revision: store.revision().await? })
}

fn cipher(keys: Keys, epochs: EpochKeys) -> Result<Arc<FleetCipher>, Failure> {
    if epochs.is_empty() {
        return Err(state(
            "the epoch key of the log is missing in `keys`: copy the folder `keys` of another node, as it is now, to this one; nothing was changed".to_owned(),
        ));
    }
    Ok(Arc::new(FleetCipher::new(keys, epochs)))
}

/// The keys of the nodes. None are made: those of another node are the right ones.
fn keys(config: &Config) -> Result<Keys, Failure> {
    let folder = config.data.join("keys");
    let keys = Keys::read(&folder)?;
    if keys.missing_kinds().is_empty() {
        return Ok(keys);
    }
    Err(state(format!(
        "the keys of the fleet are missing in `{0}`: copy the folder `keys` of another node to `{0}`; nothing was changed",
        folder.display()
    )))
}

fn of_another_log() -> Failure {
    state("this store is in a fleet, and the log at `fleet.log` is of another one: correct `fleet.log`; to give up the fleet that the store is in, run `kwic-team fleet leave` first; nothing was changed".to_owned())
}

fn state(sentence: String) -> Failure {
    Failure::new(Kind::Conflict, FLEET_STATE, sentence)
}

fn unwritable(store: &Path, fault: &std::io::Error) -> Failure {
    let sentence = format!(
        "the store `{}` cannot be replaced: {}; fix that, then run the command again",
        store.display(),
        cause_at(fault, store)
    );
    Failure::new(Kind::Internal, "fleet_join_failed", sentence)
}

/// Asks the place of the log, on a thread that may wait.
async fn at<T: Send + 'static>(
    place: &Arc<dyn LogPlace>,
    ask: impl FnOnce(&dyn LogPlace) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let place = Arc::clone(place);
    blocking(move || ask(&*place)).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|fault| Failure::internal(format!("the command failed: {fault}")))?
}
