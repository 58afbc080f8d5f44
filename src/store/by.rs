//! Who makes a change, and its preconditions (optimistic lock): what was checked before, and is
//! checked again in the transaction.
//!
//! The engine decides which roles administer an account.

use std::collections::BTreeSet;

use crate::domain::{Actor, Failure, Kind, RoleId, Version};

/// The code of a refusal that goes away when the right is judged anew.
pub const MOVED_ON: &str = "moved_on";

/// By whom, and by which judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// Who, for the audit log. A member who acts by a right must still be active.
    pub actor: Actor,
    /// The version of the acting member's record that the right was judged by; `None` where the
    /// right does not rest on a role, as for the operator of the sidecar.
    pub version: Option<Version>,
    /// The roles whose active members administer their account, by the live policies: the last
    /// such member stays. Empty where no role does.
    pub administering: BTreeSet<RoleId>,
}

impl By {
    /// By somebody whose right rests on no role, where no role administers.
    #[must_use]
    pub const fn actor(actor: Actor) -> Self {
        Self { actor, version: None, administering: BTreeSet::new() }
    }
}

/// The refusal of a change whose judgement is out of date.
#[must_use]
pub fn moved_on() -> Failure {
    Failure::new(
        Kind::Conflict,
        MOVED_ON,
        "rights changed while this was under way, and nothing was changed: look again, then repeat it",
    )
}
