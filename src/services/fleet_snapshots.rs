//! Snapshots of the fleet's store for nodes that join, written by one of the live nodes when one is due;
//! and what an erasure needs after its entry: each node's file written anew, and the log trimmed.
//!
//! Which node writes and trims follows from the reports: of those that are live, the one with the lowest id. Two
//! that think so do no harm.

use std::sync::Arc;
use std::time::Duration;

use super::fleet_erasure::remove_from_log;
use super::fleet_status::{blocking, registered};
use crate::app::{App, FleetNode};
use crate::backup::replaced_stores::SNAPSHOT;
use crate::backup::staged_restore::beside;
use crate::clock;
use crate::config::resolve_symlinks;
use crate::domain::Failure;
use crate::fleet::log_erasure::LogRemains;
use crate::fleet::node_reports::RegisteredNode;
use crate::fleet::snapshot_schedule::SnapshotSchedule;
use crate::store::ErasureReach;
use crate::store::shared_log::NodeId;

/// How often it is looked whether there is something to do.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The longest pause after the removal of what was erased, and after work that failed.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// The shortest pause after work that failed.
const RETRY_MIN: Duration = Duration::from_secs(5);
/// Times as long as the work has taken, it pauses: the copy of a large store for nothing is not made
/// all the time.
const PAUSE_FACTOR: u32 = 4;
/// A node whose last report is older than this leaves the work to others.
const LIVE_MS: i64 = 30_000;

/// Writes snapshots, and removes from the log what was erased, until the sidecar stops.
pub async fn write(app: Arc<App>) {
    let Some(node) = app.fleet.clone() else { return };
    let mut work = SnapshotWork::default();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let begun = clock::monotonic();
        if let Err(fault) = work.look(&app, &node).await {
            let cause = fault.private.as_deref().unwrap_or(&fault.public);
            tracing::warn!(cause, "no snapshot for new nodes was written: it is tried again");
            let pause = begun.elapsed().saturating_mul(PAUSE_FACTOR);
            tokio::time::sleep(pause.clamp(RETRY_MIN, PAUSE_MAX)).await;
        }
    }
}

/// What one node knows of this work.
#[derive(Default)]
struct SnapshotWork {
    schedule: SnapshotSchedule,
    /// The last erasure for which the file of this node was to be written anew.
    rewritten: u64,
}

impl SnapshotWork {
    async fn look(&mut self, app: &App, node: &Arc<FleetNode>) -> Result<(), Failure> {
        if app.store.log_fault().is_some() {
            return Ok(());
        }
        let ErasureReach { erased, rewritten } =
            app.store.erasure_reach().await?.unwrap_or_default();
        if rewritten < erased && self.rewritten < erased && app.store.rewrite_if_small().await? {
            // What failed, or is too large, is done by the next start.
            self.rewritten = erased;
        }
        if let Err(fault) = destroy_old_keys(node).await {
            let cause = fault.private.as_deref().unwrap_or(&fault.public);
            tracing::warn!(
                cause,
                "a former key of the shared log is not destroyed: it is tried again"
            );
        }
        // The parts of an import that runs make one due again and again: one behind its end is enough.
        let is_due = self.schedule.is_due(node.applied(), app.store.log_bytes_applied())
            && !app.store.is_importing().await?;
        let all = registered(node).await?;
        if !has_turn(&all, node.id, app.clock.now().0) {
            return Ok(());
        }
        // Also of before this node joined.
        let told = all.iter().filter_map(|other| other.report.as_ref().ok());
        let erased = told.map(|report| report.erased).fold(erased, u64::max);
        let is_in_log = erased > 0 && {
            let log = Arc::clone(&node.log);
            let left = blocking(move || LogRemains::of(&*log)).await?;
            left.behind < erased || node.seal.begins().0 < erased
        };
        let scratch = beside(&resolve_symlinks(&app.config.store.path)?, SNAPSHOT);
        if is_in_log {
            let begun = clock::monotonic();
            remove_from_log(app, node, &all, erased, &scratch).await?;
            // Erasures one after the other are removed together.
            let pause = begun.elapsed().saturating_mul(PAUSE_FACTOR);
            tokio::time::sleep(pause.min(PAUSE_MAX)).await;
        }
        if is_due {
            self.schedule.tend(&app.store, &node.log, &node.seal, &scratch).await?;
        }
        Ok(())
    }
}

/// Destroys the epoch keys that nothing in the log needs any more.
async fn destroy_old_keys(node: &Arc<FleetNode>) -> Result<(), Failure> {
    let (oldest, newest) = node.seal.begins();
    if oldest == newest {
        return Ok(());
    }
    let log = Arc::clone(&node.log);
    let left = blocking(move || LogRemains::of(&*log)).await?;
    let seal = node.seal.clone();
    let destroyed = tokio::task::spawn_blocking(move || seal.destroy_before(left.behind)).await;
    let destroyed = destroyed.map_err(|fault| Failure::internal(fault.to_string()))??;
    if destroyed > 0 {
        tracing::info!(
            destroyed,
            behind = left.behind,
            "keys of what the shared log had before were destroyed"
        );
    }
    Ok(())
}

fn has_turn(all: &[RegisteredNode], own: NodeId, now_ms: i64) -> bool {
    all.iter().filter(|other| other.id < own).all(|other| {
        other.report.as_ref().map_or(true, |report| {
            report.is_halted || now_ms.saturating_sub(report.at.0).saturating_abs() > LIVE_MS
        })
    })
}
