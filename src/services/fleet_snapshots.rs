//! Snapshots of the fleet's store for nodes that join: written by one of the live nodes when one is due.
//!
//! Which node that is follows from the reports: of those that are live, the one with the lowest id. Two
//! that think so do no harm.

use std::sync::Arc;
use std::time::Duration;

use crate::app::{App, FleetNode};
use crate::backup::kept_stores::SNAPSHOT;
use crate::backup::staged_restore::beside;
use crate::config::resolve_symlinks;
use crate::domain::Failure;
use crate::fleet::node_reports::{self, RegisteredNode};
use crate::fleet::snapshot_schedule::SnapshotSchedule;
use crate::store::shared_log::NodeId;

/// How often it is looked whether one is due.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The pause after one that failed.
const RETRY_EVERY: Duration = Duration::from_secs(60);
/// A node whose last report is older than this leaves the work to others.
const LIVE_MS: i64 = 30_000;

/// Writes snapshots until the sidecar stops.
pub async fn write(app: Arc<App>) {
    let Some(node) = app.fleet.clone() else { return };
    let mut schedule = SnapshotSchedule::default();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if let Err(fault) = look(&app, &node, &mut schedule).await {
            let cause = fault.private.as_deref().unwrap_or(&fault.public);
            tracing::warn!(cause, "no snapshot for new nodes was written: it is tried again");
            tokio::time::sleep(RETRY_EVERY).await;
        }
    }
}

async fn look(
    app: &App,
    node: &Arc<FleetNode>,
    schedule: &mut SnapshotSchedule,
) -> Result<(), Failure> {
    let is_due = schedule.is_due(node.applied(), app.store.log_bytes_applied());
    // The parts of an import that runs make one due again and again: one behind its end is enough.
    if !is_due || app.store.log_fault().is_some() || app.store.is_importing().await? {
        return Ok(());
    }
    if !is_turn(app, node).await? {
        return Ok(());
    }
    let scratch = beside(&resolve_symlinks(&app.config.store.path)?, SNAPSHOT);
    schedule.tend(&app.store, &node.log, &node.seal, &scratch).await?;
    Ok(())
}

/// Whether this node is the one that writes.
async fn is_turn(app: &App, node: &Arc<FleetNode>) -> Result<bool, Failure> {
    let asked = Arc::clone(node);
    let read = tokio::task::spawn_blocking(move || node_reports::all(&*asked.log, &asked.seal));
    let all = read.await.map_err(|fault| Failure::internal(format!("reports: {fault}")))?;
    let all = all.map_err(|why| Failure::internal(format!("the reports were not read: {why}")))?;
    Ok(has_turn(&all, node.id, app.clock.now().0))
}

fn has_turn(all: &[RegisteredNode], own: NodeId, now_ms: i64) -> bool {
    all.iter().filter(|other| other.id < own).all(|other| {
        other.report.as_ref().map_or(true, |report| {
            report.is_halted || now_ms.saturating_sub(report.at.0).saturating_abs() > LIVE_MS
        })
    })
}
