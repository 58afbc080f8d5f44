//! What the operator of the sidecar configured, checked.
/// Configuration.
#[derive(Clone, Debug, Default)]
pub struct Config {}
