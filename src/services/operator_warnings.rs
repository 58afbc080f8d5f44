//! Warnings for the operator: what to fix although the sidecar works.
//!
//! Reads what is remembered elsewhere, and counts the open invites that nobody can accept.

use super::orphaned_invites;
use super::permissions::StorePermit;
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
pub async fn all(app: &App, _: &StorePermit) -> Vec<Warning> {
    let configured = app.config.warnings.iter().map(|sentence| Warning {
        about: "configuration",
        fails: false,
        sentence: sentence.clone(),
    });
    let keys = app.caller_keys_fault.load_full().map(|why| Warning {
        about: "keys_file",
        fails: true,
        sentence: format!(
            "{why}; the previous keys stay valid: fix it, then run `kwic-team policy reload`"
        ),
    });
    let bounces = app.telemetry.mail.bounces_fault().map(|why| Warning {
        about: "mail",
        fails: true,
        sentence: format!("returned mail is not read: {why}; correct `mail.bounce_maildir`"),
    });
    let orphaned = orphaned_invites::notes(app, &app.policies.load_full()).await;
    let orphaned =
        orphaned.into_iter().map(|sentence| Warning { about: "invites", fails: false, sentence });
    configured.chain(keys).chain(bounces).chain(orphaned).collect()
}
