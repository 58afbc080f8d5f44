//! The log: lines to standard error, as text or as JSON.
//!
//! Set up once, before anything can be worth a line. Never writes a body, a token or an address.

use std::io;

use tracing_subscriber::EnvFilter;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one object a line.
    Json,
}

/// Begins to log at level `info`; a second call changes nothing.
pub fn begin(format: LogFormat) {
    let filter = EnvFilter::new("info");
    // Told on standard error, a failure to write there would end the thread that has something to say.
    let builder = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .log_internal_errors(false)
        .with_env_filter(filter);
    // An error means that a log has begun already, which tests do.
    let _ = match format {
        LogFormat::Text => builder.with_target(false).with_ansi(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
