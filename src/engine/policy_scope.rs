//! The scope of a policy: whom, which actions and which resources it can apply to.

use cedar_policy::{
    ActionConstraint, EntityTypeName, EntityUid, Policy, PrincipalConstraint, ResourceConstraint,
};

/// The constraint of one side of a policy's scope.
#[derive(Clone, Debug)]
pub(super) enum ScopeConstraint {
    Any,
    Is(EntityTypeName),
    Eq(EntityUid),
    In(EntityUid),
    IsIn(EntityTypeName, EntityUid),
}

impl ScopeConstraint {
    /// False if no entity of this type can match.
    pub(super) fn fits(&self, name: &EntityTypeName) -> bool {
        match self {
            Self::Any | Self::In(_) => true,
            Self::Is(wanted) | Self::IsIn(wanted, _) => wanted == name,
            Self::Eq(uid) => uid.type_name() == name,
        }
    }

    /// Whether an entity with these ancestors matches; the first one is the entity itself.
    pub(super) fn matches(&self, lineage: &[EntityUid]) -> bool {
        let is = |name: &EntityTypeName| lineage.first().is_some_and(|own| own.type_name() == name);
        match self {
            Self::Any => true,
            Self::Is(name) => is(name),
            Self::Eq(uid) => lineage.first() == Some(uid),
            Self::In(uid) => lineage.contains(uid),
            Self::IsIn(name, uid) => is(name) && lineage.contains(uid),
        }
    }

    /// The one entity that must be the entity in the query or one of its ancestors.
    pub(super) fn key(&self) -> Option<&EntityUid> {
        match self {
            Self::Any | Self::Is(_) => None,
            Self::Eq(uid) | Self::In(uid) | Self::IsIn(_, uid) => Some(uid),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct PolicyScope {
    pub(super) principal: ScopeConstraint,
    pub(super) action: Option<Vec<EntityUid>>,
    pub(super) resource: ScopeConstraint,
}

impl PolicyScope {
    /// Reads the scope.
    pub(super) fn of(policy: &Policy) -> Self {
        Self {
            principal: match policy.principal_constraint() {
                PrincipalConstraint::Any => ScopeConstraint::Any,
                PrincipalConstraint::Is(name) => ScopeConstraint::Is(name),
                PrincipalConstraint::Eq(uid) => ScopeConstraint::Eq(uid),
                PrincipalConstraint::In(uid) => ScopeConstraint::In(uid),
                PrincipalConstraint::IsIn(name, uid) => ScopeConstraint::IsIn(name, uid),
            },
            action: match policy.action_constraint() {
                ActionConstraint::Any => None,
                ActionConstraint::Eq(uid) => Some(vec![uid]),
                ActionConstraint::In(uids) => Some(uids),
            },
            resource: match policy.resource_constraint() {
                ResourceConstraint::Any => ScopeConstraint::Any,
                ResourceConstraint::Is(name) => ScopeConstraint::Is(name),
                ResourceConstraint::Eq(uid) => ScopeConstraint::Eq(uid),
                ResourceConstraint::In(uid) => ScopeConstraint::In(uid),
                ResourceConstraint::IsIn(name, uid) => ScopeConstraint::IsIn(name, uid),
            },
        }
    }
}
