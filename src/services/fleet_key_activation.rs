//! New keys in a fleet: put in use on all nodes at once, when every node has them.
//!
//! The operator copies the new files to each node and restarts it; each node reports which keys its
//! program has. So no node uses a key that another one lacks. The secrets of second factors are then
//! encrypted anew by the node that was asked.

use std::sync::Arc;

use super::directory_sync::wait_until_applied;
use super::fleet_status::{lacks_keys, name_of, no_fleet, registered, wanted_keys};
use super::permits::StorePermit;
use super::two_step;
use crate::app::App;
use crate::domain::{Failure, KeyMark, KeysInUse, Kind};
use crate::fleet::node_reports::RegisteredNode;

/// The code of a failure because a node lacks a key.
pub const KEYS_LACKING: &str = "keys_lacking";

/// Keys that were put in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeysActivated {
    /// The keys.
    pub keys: KeysInUse,
    /// How many secrets of second factors were encrypted anew.
    pub resealed: usize,
    /// How many cannot be decrypted with any key of this node.
    pub unreadable: usize,
}

/// Puts the newest keys of this node in use on all nodes, and encrypts the secrets with them. Can be
/// repeated, as where it was interrupted.
///
/// # Errors
/// `NotFound` `no_fleet`; `Conflict` `keys_lacking`, with the nodes that lack one; `older_keys`; `Busy`
/// `log_unavailable`; `Busy`, when the disk fails.
pub async fn activate(app: &Arc<App>, permit: &StorePermit) -> Result<KeysActivated, Failure> {
    let Some(node) = &app.fleet else { return Err(no_fleet()) };
    let keys = app.keys.newest();
    let all = registered(node).await?;
    if let Some(why) = lacking(&all, keys, &app.keys.marks()) {
        let sentence = format!(
            "{why}: copy the new files of `keys` on this node to each of them, and restart its sidecar; forget a node that does not come back with `kwic-team fleet forget`; nothing was changed"
        );
        return Err(Failure::new(Kind::Conflict, KEYS_LACKING, sentence));
    }
    let activated = app.store.activate_keys(permit.actor(), keys).await;
    wait_until_applied(app, activated).await?;
    app.keys.put_in_use(keys);
    let (resealed, unreadable) = two_step::reseal(&app.store, &app.keys).await?;
    Ok(KeysActivated { keys, resealed, unreadable })
}

/// Which nodes lack one of the keys that are to be used, or have another one by its name.
fn lacking(all: &[RegisteredNode], keys: KeysInUse, own: &[KeyMark]) -> Option<String> {
    let mut wanted = wanted_keys(all, keys);
    wanted.extend(own.iter().filter(|key| keys.include(key)));
    let nodes = all.iter().filter_map(|node| {
        let lacks = match &node.report {
            Err(_) => "a report that cannot be read here".to_owned(),
            Ok(_) => lacks_keys(node, &wanted).join(" and "),
        };
        (!lacks.is_empty()).then(|| format!("{} ({lacks})", name_of(node)))
    });
    let nodes: Vec<String> = nodes.collect();
    (!nodes.is_empty()).then(|| format!("not every node has the new keys: {}", nodes.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{KeyId, KeyKind};
    use crate::store::records::node_report::NodeReport;
    use crate::store::shared_log::NodeId;

    const NEW: KeysInUse = KeysInUse { link: KeyId(2), seal: KeyId(2) };

    fn marks(numbers: &[u32], content: &[u8]) -> Vec<KeyMark> {
        let of = |kind| numbers.iter().map(move |id| KeyMark::of(kind, KeyId(*id), content));
        of(KeyKind::Link).chain(of(KeyKind::Seal)).collect()
    }

    fn node(id: u8, keys: Vec<KeyMark>) -> RegisteredNode {
        let report = NodeReport { keys, ..NodeReport::made_up(id) };
        RegisteredNode { id: NodeId([id; 16]), report: Ok(report) }
    }

    #[test]
    fn keys_are_refused_while_a_node_lacks_one_and_it_is_named() {
        let own = marks(&[1, 2], b"k");
        let lacking = |other: Vec<KeyMark>| {
            lacking(&[node(1, own.clone()), node(2, other)], NEW, &own).unwrap_or_default()
        };
        assert_eq!(lacking(own.clone()), "");
        assert_eq!(lacking(marks(&[2], b"k")), "", "an old one is not needed");
        assert!(lacking(marks(&[1], b"k")).contains("host-2 (link-2.key and seal-2.key)"));
        // By its name it is there.
        assert!(lacking(marks(&[1, 2], b"other")).contains("host-2 (link-2.key and seal-2.key)"));
        let newer = lacking(marks(&[1, 2, 3], b"k"));
        assert!(newer.contains("host-1 (link-3.key and seal-3.key)"), "{newer}");
        let unread = RegisteredNode { id: NodeId([5; 16]), report: Err("newer".to_owned()) };
        let told = super::lacking(&[node(1, own.clone()), unread], NEW, &own).unwrap();
        assert!(told.contains("cannot be read"), "{told}");
    }
}
