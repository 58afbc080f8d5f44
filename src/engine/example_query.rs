//! A query of a made-up member, which can be asked of any policy set, and by anybody again.

use super::{Members, QueryContext, Snapshot};
use crate::domain::query::Record;
use crate::domain::{EntityRef, MemberTexts, MemberView, Query, RoleId, Timestamp};

/// One query of a made-up member.
#[derive(Clone, Debug, PartialEq)]
pub struct ExampleQuery {
    /// The id of the member.
    pub member: String,
    /// The account of the member.
    pub member_account: String,
    /// The role of the member; a set may not have it.
    pub role: RoleId,
    /// False for a suspended member.
    pub active: bool,
    /// Attributes of the member that the store does not supply.
    pub subject_properties: Record<'static>,
    /// The action's name.
    pub action: String,
    /// The type of the resource, in snake case.
    pub resource_type: String,
    /// The id of the resource.
    pub resource: String,
    /// Attributes of the resource, with its `account` if it has one.
    pub properties: Record<'static>,
    /// The context.
    pub context: Record<'static>,
}

impl ExampleQuery {
    /// The query.
    #[must_use]
    pub fn query(&self) -> Query<'_> {
        Query {
            subject: EntityRef {
                kind: "user",
                id: &self.member,
                properties: &self.subject_properties,
            },
            action: &self.action,
            action_properties: &[],
            resource: EntityRef {
                kind: &self.resource_type,
                id: &self.resource,
                properties: &self.properties,
            },
            context: &self.context,
        }
    }

    /// The member.
    #[must_use]
    pub fn view(&self) -> MemberView<'_> {
        made_up_member(&self.member, &self.member_account, self.role.as_str(), self.active)
    }

    /// The account of the resource, if it has one.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        let found = self.properties.iter().find(|(name, _)| name == "account");
        found.and_then(|(_, account)| account.as_str())
    }
}

impl Members for ExampleQuery {
    fn with<R>(&self, id: &str, read: impl FnOnce(MemberView<'_>) -> R) -> Option<R> {
        (id == self.member).then(|| read(self.view()))
    }
}

impl Snapshot {
    /// Whether this set allows an example.
    #[must_use]
    pub fn allows(&self, example: &ExampleQuery) -> bool {
        let world = QueryContext { members: example, single_account: None };
        self.decide(&example.query(), &world, false).allowed
    }
}

/// A member that there is not, as the examples and `kwic-team decide --role` have one.
#[must_use]
pub fn made_up_member<'m>(
    id: &'m str,
    account: &'m str,
    role: &'m str,
    active: bool,
) -> MemberView<'m> {
    MemberView {
        id,
        account,
        role,
        active,
        texts: MemberTexts::Apart {
            email_key: "made.up@example.org",
            first_name: "Made",
            last_name: "Up",
        },
        two_step: false,
        joined: Timestamp(0),
    }
}
