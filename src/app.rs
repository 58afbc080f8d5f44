//! The handles that a flow needs: the live policies, the members in memory, the store, the clock.
//!
//! Holds them; decides nothing.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::clock::Clock;
use crate::config::Config;
use crate::directory::Directory;
use crate::engine::Snapshot;
use crate::store::Store;
use crate::telemetry::Telemetry;

/// Everything that is shared by the requests of one sidecar.
#[derive(Debug)]
pub struct App {
    /// What the operator of the sidecar configured.
    pub config: Config,
    /// What time it is.
    pub clock: Clock,
    /// The live policy set. A decision loads it once.
    pub policies: ArcSwap<Snapshot>,
    /// The members in memory.
    pub directory: Arc<Directory>,
    /// The records on disk.
    pub store: Store,
    /// Counters and histograms.
    pub telemetry: Telemetry,
}
