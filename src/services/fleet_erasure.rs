//! Erasures in a fleet: removing from the log what was erased, and the receipt that says how far that
//! is and which nodes are missing.
//!
//! An erasure has reached everything when the log has nothing of before it, and every node has applied
//! it, has written its file anew since, and has destroyed the key of what was in the log: then copies of
//! the log, wherever they are, open for nobody.

use std::path::Path;
use std::time::Duration;

use super::fleet_status::{self, registered};
use super::permits::StorePermit;
use crate::app::{App, FleetNode};
use crate::clock;
use crate::domain::Failure;
use crate::fleet::log_erasure::{ErasureInLog, LogRemains};
use crate::fleet::node_reports::RegisteredNode;

/// How often it is looked while somebody waits.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How far the last erasure has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasureReceipt {
    /// The index of its entry.
    pub index: u64,
    /// Whether the log has nothing of before it: no entry and no snapshot.
    pub removed_from_log: bool,
    /// The nodes that it has not reached.
    pub missing: Vec<MissingNode>,
    /// How many nodes are registered.
    pub nodes: usize,
    /// Why nothing is known; the erasure was made all the same.
    pub fault: Option<String>,
}

/// A node that an erasure has not reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingNode {
    /// Its name, or its id where its report cannot be read.
    pub name: String,
    /// What it has not done.
    pub lacks: &'static str,
}

impl ErasureReceipt {
    /// Whether it has reached everything.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.fault.is_none() && self.removed_from_log && self.missing.is_empty()
    }

    /// A sentence for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        if let Some(why) = &self.fault {
            return format!("it is not known how far the erasure has come: {why}");
        }
        if self.is_complete() {
            let nodes = self.nodes;
            return format!(
                "erased on {nodes} of {nodes} nodes and from the log, and its former key is destroyed"
            );
        }
        let log = "the log still has what was erased";
        let log = (!self.removed_from_log).then(|| log.to_owned());
        let nodes = self.missing.iter().map(|node| format!("{} {}", node.name, node.lacks));
        let parts: Vec<String> = log.into_iter().chain(nodes).collect();
        format!("the erasure is not complete: {}", parts.join("; "))
    }

    fn unknown(fault: &Failure) -> Self {
        let fault = Some(fault.public.clone());
        Self { index: 0, removed_from_log: false, missing: Vec::new(), nodes: 0, fault }
    }
}

/// How far the last erasure has come that any node knows of; `None` where there was none, and for a
/// sidecar on its own.
///
/// # Errors
/// `Busy` `log_unavailable`, when the log is not reached.
pub async fn receipt(app: &App, _permit: &StorePermit) -> Result<Option<ErasureReceipt>, Failure> {
    let Some(node) = &app.fleet else { return Ok(None) };
    let all = registered(node).await?;
    let told = all.iter().filter_map(|node| node.report.as_ref().ok()).map(|report| report.erased);
    look(node, &all, told.fold(0, u64::max)).await
}

/// Waits until the last erasure that this node knows of has reached everything, at most so long. After an
/// erasure of this node. `None` where nothing was ever erased, and for a sidecar on its own.
pub async fn reached_all(app: &App, at_most: Duration) -> Option<ErasureReceipt> {
    let node = app.fleet.as_ref()?;
    let begun = clock::monotonic();
    let erased = match app.store.erasure_reach().await {
        Ok(reach) => reach.unwrap_or_default().erased,
        Err(fault) => return Some(ErasureReceipt::unknown(&fault)),
    };
    loop {
        let found = match registered(node).await {
            Ok(all) => look(node, &all, erased).await,
            Err(fault) => Err(fault),
        };
        let found = found.unwrap_or_else(|fault| Some(ErasureReceipt::unknown(&fault)));
        let is_done = found.as_ref().is_none_or(ErasureReceipt::is_complete);
        let waited = begun.elapsed();
        if is_done || waited >= at_most {
            return found;
        }
        tokio::time::sleep(LOOK_EVERY.min(at_most.saturating_sub(waited))).await;
    }
}

/// How far the erasure of an index has come; none for 0. `all`: what the nodes report.
async fn look(
    node: &std::sync::Arc<FleetNode>,
    all: &[RegisteredNode],
    index: u64,
) -> Result<Option<ErasureReceipt>, Failure> {
    if index == 0 {
        return Ok(None);
    }
    let log = std::sync::Arc::clone(&node.log);
    let left = fleet_status::blocking(move || LogRemains::of(&*log)).await?;
    Ok(Some(receipt_of(all, index, left)))
}

fn receipt_of(all: &[RegisteredNode], index: u64, left: LogRemains) -> ErasureReceipt {
    let removed_from_log = left.behind >= index;
    let lacks = |node: &RegisteredNode| match &node.report {
        Err(_) => Some("gives a report that cannot be read here"),
        Ok(report) if report.applied < index => Some("has not applied it"),
        Ok(report) if report.rewritten < index => {
            Some("has it in its file, which the next start of its sidecar writes anew")
        }
        Ok(report) if !removed_from_log && report.applied < left.newest_snapshot => {
            Some("is behind, and what it has not applied is not trimmed")
        }
        Ok(report) if removed_from_log && report.opens_behind < index => {
            Some("still has the key of what was in the log")
        }
        Ok(_) => None,
    };
    let missing = all.iter().filter_map(|node| {
        let name = fleet_status::name_of(node);
        lacks(node).map(|lacks| MissingNode { name, lacks })
    });
    ErasureReceipt {
        index,
        removed_from_log,
        missing: missing.collect(),
        nodes: all.len(),
        fault: None,
    }
}

/// Goes on with removing from the log what was erased up to an index. `all`: what the nodes report. `scratch`: as of the snapshot's writer.
pub(super) async fn remove_from_log(
    app: &App,
    node: &FleetNode,
    all: &[RegisteredNode],
    erased: u64,
    scratch: &Path,
) -> Result<(), Failure> {
    // What cannot be read may be far behind.
    let applied = |node: &RegisteredNode| node.report.as_ref().map_or(0, |report| report.applied);
    let applied_by_all = all.iter().map(applied).fold(node.persisted(), u64::min);
    let work = ErasureInLog { store: &app.store, log: &node.log, seal: &node.seal, scratch };
    if work.step(erased, applied_by_all).await? {
        tracing::info!(erased, "what was erased is removed from the shared log");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::records::node_report::NodeReport;
    use crate::store::shared_log::NodeId;

    fn node(id: u8, applied: u64, rewritten: u64, opens_behind: u64) -> RegisteredNode {
        let report = NodeReport { applied, rewritten, opens_behind, ..NodeReport::made_up(id) };
        RegisteredNode { id: NodeId([id; 16]), report: Ok(report) }
    }

    #[test]
    fn a_receipt_names_what_the_erasure_has_not_reached() {
        let all = |kept: u64, nodes: &[RegisteredNode]| {
            receipt_of(nodes, 7, LogRemains { behind: kept, newest_snapshot: 9 })
        };
        let done = all(7, &[node(1, 7, 7, 8), node(2, 9, 9, 8)]);
        assert!(done.is_complete(), "{done:?}");
        assert!(done.sentence().starts_with("erased on 2 of 2 nodes and from the log"), "{done:?}");
        let keyed = all(7, &[node(1, 9, 9, 8), node(2, 9, 9, 0)]);
        assert!(keyed.sentence().ends_with("host-2 still has the key of what was in the log"));
        let log = all(6, &[node(1, 9, 9, 0)]);
        assert!(!log.is_complete() && log.sentence().contains("the log still has"), "{log:?}");
        let unread = RegisteredNode { id: NodeId([5; 16]), report: Err("newer".to_owned()) };
        let nodes =
            [node(1, 9, 9, 8), node(2, 6, 6, 8), node(3, 9, 6, 8), node(4, 8, 7, 8), unread];
        let early = all(6, &nodes);
        let names: Vec<&str> = early.missing.iter().map(|node| node.name.as_str()).collect();
        let five = NodeId([5; 16]).to_string();
        assert_eq!(names, ["host-2", "host-3", "host-4", five.as_str()], "{early:?}");
        assert!(early.sentence().contains("host-3 has it in its file"), "{early:?}");
        // Once the log is trimmed, a node that is behind has to be nothing but clean.
        assert_eq!(all(7, &nodes).missing.len(), 3);
    }
}
