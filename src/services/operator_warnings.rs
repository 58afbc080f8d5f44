//! Warnings for the operator: what to fix although the sidecar works.
//!
//! Reads what is remembered elsewhere, and counts the open invites that nobody can accept.

use super::invites_without_role;
use super::permits::StorePermit;
use crate::app::App;
use crate::domain::{RoleId, plural};

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
    let lacking =
        lacking_keys(app).map(|sentence| Warning { about: "keys", fails: true, sentence });
    let orphaned = invites_without_role::notes(app, &app.policies.load_full()).await;
    let orphaned =
        orphaned.into_iter().map(|sentence| Warning { about: "invites", fails: false, sentence });
    let unknown = unknown_roles(app).into_iter().map(|(role, members)| Warning {
        about: "policies",
        fails: true,
        sentence: format!(
            "{} the role `{role}`, which the policies of this node lack, and may do nothing here: give this node the policies of the other nodes",
            plural(members, "member has", "members have")
        ),
    });
    configured.chain(keys).chain(bounces).chain(lacking).chain(orphaned).chain(unknown).collect()
}

/// In a fleet keys can come into use while a node is forgotten, and be missing where it comes back.
#[must_use]
pub fn lacking_keys(app: &App) -> Option<String> {
    let lacks = app.keys.lacks(app.keys.in_use());
    (!lacks.is_empty()).then(|| {
        format!(
            "the nodes use keys that this node lacks ({}): copy the folder `keys` of another node to it, then restart its sidecar; until then it can make no links, encrypt no second factor, and read none that was encrypted since",
            lacks.join(", ")
        )
    })
}

/// Roles that members have and the live policies lack, with how many have them: in a fleet another node,
/// with other policies, can give one that this node's folder no longer has.
#[must_use]
pub fn unknown_roles(app: &App) -> Vec<(RoleId, usize)> {
    let policies = app.policies.load();
    let held = app.directory.roles_held().into_iter();
    held.filter(|(role, members)| *members > 0 && !policies.has_role(role)).collect()
}
