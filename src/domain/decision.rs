//! A decision: allow or deny, with the reason. The default is deny.

use super::role::RoleId;
use super::worded_enum::worded;

/// Allow or deny, with what an explanation needs.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Decision {
    /// True for allow.
    pub allowed: bool,
    /// How many policies could not be evaluated.
    pub erred: u32,
    /// The explanation, if it was requested.
    pub explanation: Option<Explanation>,
}

/// The explanation of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The reason code, for programs.
    pub reason: Reason,
    /// The sentence, for people: every cause of a deny.
    pub sentence: String,
    /// The ids of the deciding policies, sorted.
    pub policies: Vec<String>,
    /// On a deny: the roles that would be allowed with nothing else changed, sorted.
    pub roles: Vec<RoleId>,
}

worded! {
    /// The reason code of a decision.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Reason {
        /// A policy allows it.
        Granted = "granted",
        /// The role lacks the permission, and another role has it.
        RoleLacksAction = "role_lacks_action",
        /// The resource is in another account, or in none.
        OtherAccount = "other_account",
        /// The member is suspended.
        Suspended = "suspended",
        /// There is no such subject.
        UnknownSubject = "unknown_subject",
        /// The session has ended or never existed.
        SessionEnded = "session_ended",
        /// The schema has no such action.
        UnknownAction = "unknown_action",
        /// The schema has no such resource type.
        UnknownResourceType = "unknown_resource_type",
        /// The resource is an unknown member, and the query does not give the attributes.
        UnknownResource = "unknown_resource",
        /// The schema does not apply the action to such a subject and resource.
        ActionNotApplicable = "action_not_applicable",
        /// An attribute is missing or of the wrong type.
        BadAttributes = "bad_attributes",
        /// A `forbid` could not be evaluated, and so denies.
        ForbidErred = "forbid_erred",
        /// A `forbid` matches, whatever the member's status and account.
        Forbidden = "forbidden",
        /// A `permit` names this in its scope, and its conditions do not hold.
        ConditionUnmet = "condition_unmet",
        /// No `permit` names this in its scope.
        NoPermit = "no_permit",
        /// The node has not heard from the shared log for too long, and is configured to deny then.
        Stale = "stale",
        /// A deny without an explanation, since a cross-check found a wrong decision.
        NotExplained = "not_explained",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Reason;

    /// The words between backticks in the first column of the table of reasons in the documentation.
    fn listed() -> BTreeSet<&'static str> {
        let (_, after) =
            include_str!("../../docs/decisions.md").split_once("| code | cause |").unwrap();
        let rows = after.lines().skip(2).take_while(|line| line.trim_start().starts_with('|'));
        let codes = rows.filter_map(|row| row.split('|').nth(1));
        codes.flat_map(|codes| codes.split('`').skip(1).step_by(2)).collect()
    }

    #[test]
    fn the_documentation_lists_every_reason_and_no_other() {
        let codes: BTreeSet<&str> = Reason::ALL.map(Reason::as_str).into();
        assert_eq!(listed(), codes);
    }
}
