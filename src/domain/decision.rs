//! A decision: allow or deny, with the reason. The default is deny.

use super::role::RoleId;

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

/// The reason code of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A policy allows it.
    Granted,
    /// The role lacks the permission, and another role has it.
    RoleLacksAction,
    /// The resource is in another account, or in none.
    OtherAccount,
    /// The member is suspended.
    Suspended,
    /// There is no such subject.
    UnknownSubject,
    /// The session has ended or never existed.
    SessionEnded,
    /// The schema has no such action.
    UnknownAction,
    /// The schema has no such resource type.
    UnknownResourceType,
    /// The resource is an unknown member, and the query does not give the attributes.
    UnknownResource,
    /// The schema does not apply the action to such a subject and resource.
    ActionNotApplicable,
    /// An attribute is missing or of the wrong type.
    BadAttributes,
    /// A `forbid` could not be evaluated, and so denies.
    ForbidErred,
    /// A `forbid` matches, whatever the member's status and account.
    Forbidden,
    /// A `permit` names this in its scope, and its conditions do not hold.
    ConditionUnmet,
    /// No `permit` names this in its scope.
    NoPermit,
    /// A deny without an explanation, since a cross-check found a wrong decision.
    NotExplained,
}

impl Reason {
    /// The code in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::RoleLacksAction => "role_lacks_action",
            Self::OtherAccount => "other_account",
            Self::Suspended => "suspended",
            Self::UnknownSubject => "unknown_subject",
            Self::SessionEnded => "session_ended",
            Self::UnknownAction => "unknown_action",
            Self::UnknownResourceType => "unknown_resource_type",
            Self::UnknownResource => "unknown_resource",
            Self::ActionNotApplicable => "action_not_applicable",
            Self::BadAttributes => "bad_attributes",
            Self::ForbidErred => "forbid_erred",
            Self::Forbidden => "forbidden",
            Self::ConditionUnmet => "condition_unmet",
            Self::NoPermit => "no_permit",
            Self::NotExplained => "not_explained",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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
        let (_, after) = include_str!("decision.rs").split_once("match self {").unwrap();
        let (arms, _) = after.split_once("}").unwrap();
        let codes: BTreeSet<&str> = arms.split('"').skip(1).step_by(2).collect();
        assert!(codes.len() > 10);
        assert_eq!(listed(), codes);
    }
}
