//! Counters and logs.
/// Counters.
#[derive(Debug, Default)]
pub struct Telemetry {}
