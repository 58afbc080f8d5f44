//! Warnings for the operator: what to fix although the sidecar works.
//!
//! Collects what other modules recorded.

use super::permit::StorePermit;
use crate::app::App;

/// One thing to fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Its topic.
    pub about: &'static str,
    /// Whether something does not work as configured.
    pub fails: bool,
    /// What is wrong, and what to do next.
    pub sentence: String,
}

/// All warnings.
#[must_use]
pub fn all(app: &App, _: &StorePermit) -> Vec<Warning> {
    let configured = app.config.warnings.iter().map(|sentence| Warning {
        about: "configuration",
        fails: false,
        sentence: sentence.clone(),
    });
    let keys = app.caller_keys_fault.load_full().map(|why| Warning {
        about: "keys_file",
        fails: true,
        sentence: format!(
            "{why}; the previous keys stay active: fix it, then run `kwic-team policy reload`"
        ),
    });
    let bounces = app.telemetry.mail.bounces_fault().map(|why| Warning {
        about: "mail",
        fails: true,
        sentence: format!("returned mail is not read: {why}; correct `mail.bounce_maildir`"),
    });
    configured.chain(keys).chain(bounces).collect()
}
