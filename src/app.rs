//! The handles that a flow needs: the live policies, the members in memory, the store, the clock.
//!
//! Holds them; decides nothing.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, RwLock};

use crate::clock::Clock;
use crate::config::Config;
use crate::directory::Directory;
use crate::domain::{Digest, Timestamp};
use crate::engine::Snapshot;
use crate::store::Store;
use crate::telemetry::Telemetry;

/// How the live policies stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyStatus {
    /// The set comes from the store, since the folder was refused at start.
    pub last_good: bool,
    /// Why the folder was last refused; `None` once it loads again.
    pub fault: Option<String>,
    /// When the set went live.
    pub loaded_at: Timestamp,
}

/// Everything that is shared by the requests of one sidecar.
#[derive(Debug)]
pub struct App {
    /// What the operator of the sidecar configured.
    pub config: Config,
    /// What time it is.
    pub clock: Clock,
    /// The live policy set. A decision loads it once.
    pub policies: ArcSwap<Snapshot>,
    /// How the live set stands; never read by a decision.
    pub policy_status: ArcSwap<PolicyStatus>,
    /// The members in memory.
    pub directory: Arc<Directory>,
    /// The records on disk.
    pub store: Store,
    /// Counters and histograms.
    pub telemetry: Telemetry,
    /// Digests of the bearer keys that callers of the decision listener must bring; empty where
    /// none are asked for.
    pub decision_keys: Vec<Digest>,
    /// One reload at a time. Holds what changed where the live set could not be kept for the next
    /// start.
    pub reloading: Mutex<Option<Vec<String>>>,
    /// Read while a member is given a role, written while the policies are swapped: no role
    /// disappears that a member holds.
    pub roles_given: RwLock<()>,
}

impl App {
    /// The handles, with a live policy set and nothing counted yet.
    #[must_use]
    pub fn new(
        config: Config,
        clock: Clock,
        policies: Snapshot,
        directory: Arc<Directory>,
        store: Store,
    ) -> Self {
        let status = PolicyStatus { last_good: false, fault: None, loaded_at: clock.now() };
        Self {
            config,
            clock,
            policies: ArcSwap::from_pointee(policies),
            policy_status: ArcSwap::from_pointee(status),
            directory,
            store,
            telemetry: Telemetry::default(),
            decision_keys: Vec::new(),
            reloading: Mutex::new(None),
            roles_given: RwLock::new(()),
        }
    }
}
