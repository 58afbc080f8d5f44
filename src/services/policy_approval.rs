//! Approving a set by which somebody gains access: with `policies.hold_widening` it waits for a yes.
//!
//! What is approved is the set with the digest that somebody has seen, and no other: the folder is read
//! and checked again, and must still have it.

use std::sync::Arc;

use super::detached_changes::run_detached;
use super::permits::StorePermit;
use super::policy_publish;
use super::reload::{self, ReloadReport};
use crate::app::App;
use crate::domain::{Actor, Failure, Kind, PolicyCause, PolicySetName};

/// The set that waits goes live, and the caller waits for the result. `digest` has 12 digits or more.
///
/// # Errors
/// `Invalid`, when that is no digest; `Conflict` `not_pending`, when another set or none waits;
/// `Denied` `second_person_needed`, where another person must approve it; else as
/// [`reload::reload_now`].
pub async fn approve(
    app: &Arc<App>,
    permit: StorePermit,
    digest: &str,
) -> Result<ReloadReport, Failure> {
    let Some(name @ PolicySetName::Digest(_)) = PolicySetName::parse(digest) else {
        return Err(Failure::invalid(
            "digest",
            "`digest` must be 12 to 64 hexadecimal digits of the digest of the set that waits: `kwic-team policy show pending` prints it",
        ));
    };
    let app = Arc::clone(app);
    run_detached(async move {
        let mut reloading = app.reloading.lock().await;
        let pending = reloading.pending.clone().filter(|it| name.is_digest(&it.digest));
        let pending = pending.ok_or_else(reload::not_pending)?;
        if app.config.policies.two_person && is_one_person(permit.actor(), &pending.actor) {
            return Err(second_person_needed());
        }
        let permit = permit.because(PolicyCause::Approval);
        if app.has_policies_of_fleet() {
            return policy_publish::approved(&app, &permit, pending.digest, &mut reloading).await;
        }
        reload::approved(&app, &permit, pending.digest, &mut reloading).await
    })
    .await
}

/// Whether both may be the same person. Those who act on the machine of the sidecar can write the
/// folder, so all of them count as one.
pub(super) fn is_one_person(one: &Actor, other: &str) -> bool {
    let of_machine =
        |actor: &Actor| matches!(actor, Actor::System | Actor::Sidecar { .. } | Actor::Setup);
    match Actor::from_label(other) {
        Some(other) if of_machine(one) || of_machine(&other) => {
            of_machine(one) && of_machine(&other)
        }
        Some(other) => one.is_same(&other),
        // Nobody knows who it was.
        None => true,
    }
}

/// The caller may be who brought the set.
pub(super) fn second_person_needed() -> Failure {
    Failure::new(
        Kind::Denied,
        "second_person_needed",
        "somebody else must approve these policies (`policies.two_person`): policies from the machine of the sidecar are approved by a member with `settings:edit` in the account of `policies.managed_by`, and those that a member loaded by another member or on the machine",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_the_machine_is_of_one_person() {
        let member = |id: &str| Actor::from_label(&format!("member:{id}")).unwrap();
        let root = Actor::Sidecar { uid: 0 };
        for (one, other, same) in [
            (&root, "system", true),
            (&root, "sidecar:1000", true),
            (&Actor::System, "sidecar:0", true),
            (&root, "member:ann", false),
            (&member("ann"), "system", false),
            (&member("ann"), "member:ann", true),
            (&member("ann"), "member:bo", false),
            (&member("ann"), "something else", true),
        ] {
            assert_eq!(is_one_person(one, other), same, "{one:?} {other}");
        }
    }
}
