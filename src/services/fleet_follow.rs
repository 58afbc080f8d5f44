//! Following the shared log: applies what other nodes append, and notes when this node had
//! everything.
//!
//! The log is asked for its head at least once a second, whatever wakes this task: a watch may hang
//! without a word. Where a watch wakes it before, one server is asked alone, which mostly has what is new;
//! where it lacks that, the log is asked. Without a log there is nothing to follow, and no task.

use std::sync::Arc;
use std::time::Duration;

use super::directory_sync::wait_until_settled;
use super::{fleet_status, operator_warnings};
use crate::app::{App, FleetNode};
use crate::clock;
use crate::config::OnStale;
use crate::domain::Failure;
use crate::store::LOG_HALTED;

/// The longest time between two questions for the head.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// The pause after a question that failed: an engine that answers at once that it is away is not
/// asked all the time.
const RETRY_EVERY: Duration = Duration::from_millis(500);
/// How often it is looked whether the node has become stale, for the log of the process.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Follows the log until the sidecar stops.
pub async fn follow(app: Arc<App>) {
    let Some(node) = app.fleet.clone() else { return };
    let watched = Arc::clone(&node);
    tokio::join!(keep_up(&app, &node), tell_staleness(&watched));
}

async fn keep_up(app: &App, node: &Arc<FleetNode>) {
    let mut asked: Option<Duration> = None;
    loop {
        let now = clock::since_boot();
        let left = asked.and_then(|asked| (asked + ASK_EVERY).checked_sub(now));
        let step = if left.is_some() {
            step_nearby(app, node).await
        } else {
            asked = Some(now);
            step(app, node).await
        };
        match step {
            // More is there: read at once as much as may be.
            Ok(false) => asked = None,
            Ok(true) => {
                let log = Arc::clone(&node.log);
                let most = left.unwrap_or(ASK_EVERY);
                let wait = tokio::task::spawn_blocking(move || log.wait_for_change(most));
                // One that panics is followed by the next question all the same.
                if wait.await.is_err() {
                    tokio::time::sleep(RETRY_EVERY).await;
                }
            }
            Err(fault) => {
                missed(node, &fault);
                tokio::time::sleep(RETRY_EVERY).await;
                asked = None;
            }
        }
    }
}

/// Applies what one server has of the log; whether that was all of it, as far as that server knows. Says
/// nothing of how fresh the node is: the server may be cut off from the others.
async fn step_nearby(app: &App, node: &FleetNode) -> Result<bool, Failure> {
    let Some(seen) = app.store.follow_nearby().await? else { return Ok(false) };
    if seen.applied > node.applied() {
        wait_until_settled(app, app.store.revision().await?).await?;
        follow_keys(app).await?;
    }
    node.reached(seen.applied, seen.head);
    Ok(seen.applied >= seen.head)
}

/// Asks the log once, and applies what it has; whether that was everything. A node registers before it
/// is fresh the first time: a caller that waits for all nodes must know of each that decides.
async fn step(app: &App, node: &Arc<FleetNode>) -> Result<bool, Failure> {
    if !node.staleness.was_fresh() {
        fleet_status::register(app, node).await?;
        fleet_status::note_choice(app, node).await?;
    }
    let asked = clock::since_boot();
    let Some(seen) = app.store.follow_to_head().await? else { return Ok(true) };
    // What is in the file counts once decisions see it.
    wait_until_settled(app, app.store.revision().await?).await?;
    // Entries may also have been applied for a change of this node.
    if seen.applied > node.applied() {
        follow_keys(app).await?;
    }
    node.reached(seen.applied, seen.head);
    if node.set_away(None) {
        tracing::info!(index = seen.applied, "the shared log is reached again");
    }
    let is_all = seen.applied >= seen.head;
    // A node whose file cannot be written could not apply the next entry. A log that takes no report
    // may be a former primary that others no longer write to: what it answers is not the last word.
    if let (true, None, Some(reported)) = (is_all, app.store.fault(), node.last_reported()) {
        node.staleness.fresh_at(asked.min(reported));
    }
    Ok(is_all)
}

/// Uses the keys that the fleet uses.
async fn follow_keys(app: &App) -> Result<(), Failure> {
    let Some(keys) = app.store.keys_in_use().await? else { return Ok(()) };
    if keys == app.keys.in_use() {
        return Ok(());
    }
    // A start without one of them is refused, also after a crash. A disk that is full is told elsewhere.
    let _ = app.store.persist().await;
    app.keys.put_in_use(keys);
    tracing::info!(keys = ?keys.files(), "the nodes use new keys");
    if let Some(sentence) = operator_warnings::lacking_keys(app) {
        tracing::error!("{sentence}");
    }
    Ok(())
}

fn missed(node: &FleetNode, fault: &Failure) {
    let why = fault.private.as_deref().unwrap_or(&fault.public);
    let is_news = node.set_away(Some(why));
    if fault.code == LOG_HALTED {
        if node.staleness.halt() {
            tracing::error!(
                why,
                "this node has stopped following the shared log and stays stale: do what `why` says; where it says only what was found, stop this node, run `kwic-team fleet join`, then start it again; if other nodes have stopped as well, look first whether the log was restored from a backup or altered"
            );
        }
    } else if is_news {
        tracing::warn!(
            why,
            "the shared log cannot be followed: changes are refused, and decisions are answered by what this node knows until it is stale"
        );
    }
}

/// Tells when the node becomes stale, and when it no longer is.
async fn tell_staleness(node: &FleetNode) {
    // The start has no word of its own: the first head comes within moments.
    let mut was_stale = false;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let age = node.staleness.age();
        let is_stale =
            node.staleness.now().is_some() && (node.staleness.was_fresh() || age >= ASK_EVERY * 2);
        if is_stale && !was_stale {
            let seconds = age.as_secs();
            match node.staleness.on_stale() {
                OnStale::Deny => tracing::error!(
                    seconds,
                    "this node is stale: every decision is a deny until it can follow the shared log and write its store again"
                ),
                OnStale::Answer => tracing::error!(
                    seconds,
                    "this node is stale: decisions may not see changes of other nodes until it can follow the shared log and write its store again"
                ),
            }
        } else if was_stale && !is_stale {
            tracing::info!("this node is no longer stale");
        }
        was_stale = is_stale;
    }
}
