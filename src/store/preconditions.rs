//! Who makes a change, and its preconditions (optimistic lock): what was checked before, and is
//! checked again in the transaction.
//!
//! The engine decides which roles administer an account.

use std::collections::BTreeSet;

use crate::domain::{Actor, Failure, Kind, RoleId, Version};

/// The code of a refusal that can be resolved by checking the right again.
pub const MOVED_ON: &str = "moved_on";
/// The code of a refusal because `If-Match` names an older version.
pub const STALE: &str = "stale";
/// The code of a refusal because the address is a member's.
pub const ALREADY_MEMBER: &str = "already_member";
/// The code of a refusal because the member is suspended.
pub const SUSPENDED_MEMBER: &str = "suspended_member";
/// The code of a refusal because too many invitations were sent.
pub const TOO_MANY_INVITES: &str = "too_many_invites";
/// The code of an idempotency key that belongs to another call.
pub const KEY_REUSED: &str = "idempotency_key_reused";
/// The code of an address that has an open invite.
pub const ALREADY_INVITED: &str = "already_invited";

/// The actor of a change, and what must still hold of the actor and of the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preconditions {
    /// The actor, for the audit log. A member who acts by a right must still be active.
    pub actor: Actor,
    /// The version of the actor's record that was checked; `None` if the right does not depend on a
    /// role, as for the operator of the sidecar.
    pub version: Option<Version>,
    /// The roles whose active members administer their account, by the live policies: the last such
    /// member stays. Empty if no role does.
    pub administering: BTreeSet<RoleId>,
}

impl Preconditions {
    /// For an actor without a role, if no role administers.
    #[must_use]
    pub const fn actor(actor: Actor) -> Self {
        Self { actor, version: None, administering: BTreeSet::new() }
    }
}

/// The refusal of a change whose preconditions have changed.
#[must_use]
pub fn rights_changed() -> Failure {
    Failure::new(
        Kind::Conflict,
        MOVED_ON,
        "nothing was changed, because somebody's role or access changed at the same moment: look again, then repeat it",
    )
}
