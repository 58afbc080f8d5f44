//! The nodes of a fleet, and which of them have seen a change.

use serde::Serialize;

use crate::clock::rfc3339;
use crate::services::fleet_erasure::{self, ErasureReceipt};
use crate::services::fleet_key_activation;
use crate::services::fleet_status::{FleetStatus, NodeStatus, SeenBy};
use crate::store::records::node_report::NodeReport;

document! {
    pub(in crate::admin) struct Fleet of(status: FleetStatus, erasure: Option<ErasureReceipt>) {
        /// The index of the log's last entry, as far as this node knows.
        head: u64 = status.head,
        /// How far the last erasure has come; none where there was none.
        erasure: Option<ErasureReached> = erasure.map(ErasureReached::from),
        /// The files of the keys that all nodes use.
        keys: [String; 2] = status.keys.files(),
        /// What to know of the nodes: those that have stopped or read other entries, and their policies.
        warnings: Vec<String> = status.warnings,
        items: Vec<Node> = status.nodes.into_iter().map(Node::from).collect(),
    }
}

document! {
    struct Node from(node: NodeStatus) {
        id: String = node.id.to_string(),
        /// Whether it is the node that answers.
        this: bool = node.is_own,
        /// `fresh`, `stale`, `halted`, `silent`, or `unreadable` where what it says does not open.
        state: &'static str = state(&node),
        /// For how many seconds a silent node has not reported.
        silent_seconds: Option<u64> = node.silent_seconds,
        /// By how many seconds its clock is ahead, to within two; none of a silent node.
        clock_seconds: Option<i64> = node.clock_seconds,
        /// Entries of the log that it has not applied.
        behind: u64 = node.behind,
        /// The files of keys in use, or newer, that another node has and this one lacks, or has with
        /// other content.
        lacks_keys: Vec<String> = node.lacks_keys,
        report: Option<Report> = node.report.ok().map(Report::from),
    }
}

fn state(node: &NodeStatus) -> &'static str {
    match &node.report {
        Err(_) => "unreadable",
        Ok(_) if node.silent_seconds.is_some() => "silent",
        Ok(report) if report.is_halted => "halted",
        Ok(report) if report.is_stale => "stale",
        Ok(_) => "fresh",
    }
}

document! {
    struct Report from(report: NodeReport) {
        name: String = report.name,
        version: String = report.version,
        /// The entry of the log up to which its decisions see the log.
        index: u64 = report.applied,
        revision: u64 = report.revision.0,
        policies: String = report.policies.hex(),
        /// Whether its policies were not loaded the last time.
        policies_refused: bool = report.policies_refused,
        /// Why, where they come from the fleet.
        policies_fault: Option<String> =
            Some(report.policies_fault).filter(|fault| !fault.is_empty()),
        max_staleness_seconds: u64 = report.max_staleness.as_secs(),
        on_stale: &'static str = report.on_stale.word(),
        since: String = rfc3339(report.since),
        at: String = rfc3339(report.at),
        /// The newest format of entries of the log that its program reads.
        reads_format: u8 = report.reads_format,
        /// Why it has stopped following the log, if it has.
        halted_because: Option<String> =
            Some(report.halted_because).filter(|why| !why.is_empty()),
    }
}

document! {
    pub(in crate::admin) struct ForgottenNode of(name: String) {
        forgotten: String = name,
    }
}

document! {
    pub(in crate::admin) struct KeysActivated from(activated: fleet_key_activation::KeysActivated) {
        /// The files of the keys.
        keys: [String; 2] = activated.keys.files(),
        /// How many secrets of second factors were encrypted with them.
        resealed: usize = activated.resealed,
        /// How many no key decrypts.
        unreadable: usize = activated.unreadable,
    }
}

document! {
    pub(in crate::admin) struct ErasureReached from(receipt: ErasureReceipt) {
        complete: bool = receipt.is_complete(),
        sentence: String = receipt.sentence(),
        /// The index of its entry in the log.
        index: u64 = receipt.index,
        removed_from_log: bool = receipt.removed_from_log,
        missing: Vec<MissingNode> = receipt.missing.into_iter().map(MissingNode::from).collect(),
    }
}

document! {
    struct MissingNode from(node: fleet_erasure::MissingNode) {
        node: String = node.name,
        lacks: &'static str = node.lacks,
    }
}

document! {
    pub(in crate::admin) struct Seen from(seen: SeenBy) {
        all: bool = seen.is_all(),
        /// None where it is not known.
        by: Option<usize> = seen.fault.is_none().then_some(seen.by),
        of: Option<usize> = seen.fault.is_none().then_some(seen.of),
        sentence: String = seen.sentence(),
        missing: Vec<String> = seen.missing,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_has_seen_a_change_is_null_where_it_is_not_known() {
        let seen = |fault: Option<String>| {
            let seen = SeenBy { by: 1, of: 1, missing: Vec::new(), fault };
            let told = serde_json::to_value(Seen::from(seen)).unwrap();
            [&told["all"], &told["by"], &told["of"]].map(Clone::clone)
        };
        assert_eq!(seen(None), [json!(true), json!(1), json!(1)]);
        assert_eq!(seen(Some("away".to_owned())), [json!(false), json!(null), json!(null)]);
    }
}
