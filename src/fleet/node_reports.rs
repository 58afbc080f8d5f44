//! The reports of the nodes: an object beside the log for each, which says how far it is.
//!
//! A node is registered while its report is there. One that is shut down for good stays so until it is
//! forgotten: nobody else knows that it does not come back. The calls block.

use crate::domain::Failure;
use crate::store::records::node_report::NodeReport;
use crate::store::shared_log::{FleetLog, NodeId};
use crate::store::shared_log_encryption::LogSeal;

/// What the names of these objects begin with.
const PREFIX: &str = "nodes/";

/// A node that is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredNode {
    /// The node.
    pub id: NodeId,
    /// What it says; or why that cannot be read, as where it is of a newer version.
    pub report: Result<NodeReport, String>,
}

fn object_name(node: NodeId) -> String {
    format!("{PREFIX}{node}")
}

/// Puts the report of a node in place of its last one.
///
/// # Errors
/// Why the log cannot be reached, or takes nothing.
pub fn put(
    log: &dyn FleetLog,
    seal: &LogSeal,
    node: NodeId,
    report: &NodeReport,
) -> Result<(), String> {
    let name = object_name(node);
    let sealed = seal.report(&name, &report.encode());
    log.put_object(&name, &sealed.map_err(|fault| said(&fault))?)
}

/// All nodes that are registered, in the order of their ids.
///
/// # Errors
/// Why the log cannot be reached.
pub fn all(log: &dyn FleetLog, seal: &LogSeal) -> Result<Vec<RegisteredNode>, String> {
    let mut nodes = Vec::new();
    for name in log.object_names(PREFIX)? {
        let Some(id) = node_of(&name) else { continue };
        // One that was forgotten meanwhile is none.
        nodes.extend(of(log, seal, id)?);
    }
    Ok(nodes)
}

/// A node, if it is registered.
///
/// # Errors
/// As [`all`].
pub fn of(
    log: &dyn FleetLog,
    seal: &LogSeal,
    node: NodeId,
) -> Result<Option<RegisteredNode>, String> {
    let name = object_name(node);
    let Some(bytes) = log.object(&name)? else { return Ok(None) };
    let plain = seal.open_report(&name, &bytes);
    let report = plain.and_then(|plain| NodeReport::decode(&plain).map_err(|fault| said(&fault)));
    Ok(Some(RegisteredNode { id: node, report }))
}

/// Removes the report of a node.
///
/// # Errors
/// As [`put`].
pub fn forget(log: &dyn FleetLog, node: NodeId) -> Result<(), String> {
    log.remove_object(&object_name(node))
}

fn node_of(name: &str) -> Option<NodeId> {
    let text = name.strip_prefix(PREFIX).filter(|text| text.len() == 32)?;
    u128::from_str_radix(text, 16).ok().map(|id| NodeId(id.to_be_bytes()))
}

fn said(fault: &Failure) -> String {
    fault.private.clone().unwrap_or_else(|| fault.public.clone())
}
