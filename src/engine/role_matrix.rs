//! The permission matrix: which role may do what.
//!
//! A cell is evaluated with a synthetic member and resource: in the member's account, in another
//! account, in none; active and suspended. For a determined policy ([`super::cacheable_policies`]) one
//! synthetic member is representative. Any other policy makes a cell `depends`, and is named.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cedar_policy::{Effect, Policy, PolicyId, PolicySet};

use super::attribute_types::{AttributeShape, AttributeType, Extension};
use super::entity_builder::{
    BuiltAttributes, EntityBuilder, Principal, ResolvedQuery, is_supplied,
};
use super::evaluate::{Environment, Evaluation, SliceKeys};
use super::example_query::ExampleQuery;
use super::policy_scope::PolicyScope;
use super::{NoMembers, Snapshot};
use crate::domain::access_query::Record;
use crate::domain::{RoleId, Value, worded};

worded! {
    /// What a role may do with one action on one type of resource, on its own account.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Cell {
        /// Whatever the attributes are.
        Allowed = "allowed",
        /// Whatever the attributes are.
        Denied = "denied",
        /// It depends on an attribute, an identity or the context.
        Depends = "depends",
    }
}

/// One action on one type of resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatrixRow {
    /// The action's name.
    pub action: String,
    /// The type, in snake case.
    pub resource: String,
    /// One cell for each role, in the order of [`Matrix::roles`].
    pub cells: Vec<Cell>,
    /// The same for a suspended member.
    pub suspended: Vec<Cell>,
    /// The policies that each cell depends on, by id; none unless the cell is `depends`.
    pub depends_on: Vec<Arc<[String]>>,
}

/// The number of policies named in a row.
const NAMED: usize = 20;

impl MatrixRow {
    /// The policies that the cells of the row depend on, sorted; at most the first ones.
    #[must_use]
    pub fn policies(&self) -> Vec<String> {
        let all: BTreeSet<&String> = self.depends_on.iter().flat_map(|ids| ids.iter()).collect();
        all.into_iter().take(NAMED).cloned().collect()
    }
}

/// All roles, all actions.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Matrix {
    /// The roles, in the order of the cells.
    pub roles: Vec<RoleId>,
    /// One row for each action on each type that it applies to.
    pub rows: Vec<MatrixRow>,
}

/// Where the synthetic resource is, relative to the synthetic member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResourceLocation {
    Own,
    Other,
    Nowhere,
}

/// A situation in which a synthetic member is evaluated.
#[derive(Clone, Copy, Debug)]
pub(super) struct MatrixScenario {
    pub(super) active: bool,
    pub(super) place: ResourceLocation,
    pub(super) label: &'static str,
}

/// All situations that a determined policy can distinguish. The first is the one that the matrix
/// shows.
pub(super) const SITUATIONS: [MatrixScenario; 6] = {
    use ResourceLocation::{Nowhere, Other, Own};
    [
        MatrixScenario { active: true, place: Own, label: "" },
        MatrixScenario { active: true, place: Other, label: " in ANOTHER account" },
        MatrixScenario { active: true, place: Nowhere, label: " outside every account" },
        MatrixScenario { active: false, place: Own, label: " while SUSPENDED" },
        MatrixScenario {
            active: false,
            place: Other,
            label: " in ANOTHER account while SUSPENDED",
        },
        MatrixScenario {
            active: false,
            place: Nowhere,
            label: " outside every account while SUSPENDED",
        },
    ]
};

/// The result of the determined policies in one situation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CertainVerdict {
    Forbidden,
    #[default]
    Silent,
    Permitted,
}

/// The policies that could apply to a role on one action and type, and are not determined.
#[derive(Debug, Default)]
pub(super) struct UndeterminedPolicies<'s> {
    pub(super) permits: BTreeSet<&'s str>,
    pub(super) forbids: BTreeSet<&'s str>,
}

impl<'s> UndeterminedPolicies<'s> {
    /// What the result depends on, given the determined part; nothing if that is decisive.
    pub(super) fn on(&self, certain: CertainVerdict) -> BTreeSet<&'s str> {
        match certain {
            CertainVerdict::Permitted => self.forbids.clone(),
            CertainVerdict::Silent if !self.permits.is_empty() => {
                self.permits.union(&self.forbids).copied().collect()
            }
            CertainVerdict::Silent | CertainVerdict::Forbidden => BTreeSet::new(),
        }
    }

    pub(super) fn cell(&self, certain: CertainVerdict) -> Cell {
        match certain {
            CertainVerdict::Permitted if self.forbids.is_empty() => Cell::Allowed,
            CertainVerdict::Silent if self.permits.is_empty() => Cell::Denied,
            CertainVerdict::Permitted | CertainVerdict::Silent => Cell::Depends,
            CertainVerdict::Forbidden => Cell::Denied,
        }
    }
}

impl Snapshot {
    /// The matrix of all roles. The first call evaluates every cell, which takes a while: not for
    /// decision threads.
    #[must_use]
    pub fn matrix(&self) -> Arc<Matrix> {
        Arc::clone(self.matrix.get_or_init(|| Arc::new(self.tried_out())))
    }

    /// The matrix, if it was computed before.
    #[must_use]
    pub fn known_matrix(&self) -> Option<Arc<Matrix>> {
        self.matrix.get().map(Arc::clone)
    }

    fn tried_out(&self) -> Matrix {
        let roles: Vec<RoleId> = self.roles().iter().map(|card| card.id.clone()).collect();
        // Most cells depend on the same policies, if on any: each list is stored once.
        let mut lists: BTreeMap<BTreeSet<&str>, Arc<[String]>> = BTreeMap::new();
        let mut rows = Vec::new();
        for (action, resource) in self.asked() {
            let (mut cells, mut suspended, mut depends_on) = (Vec::new(), Vec::new(), Vec::new());
            for role in &roles {
                let depending = self.depending(role, &action, &resource);
                let [shown, _, _, while_suspended, ..] = SITUATIONS;
                let certain = self.certain(role, &action, &resource, shown);
                let certain_then = self.certain(role, &action, &resource, while_suspended);
                suspended.push(depending.cell(certain_then));
                let on = depending.on(certain);
                cells.push(depending.cell(certain));
                let list = lists
                    .entry(on)
                    .or_insert_with_key(|on| on.iter().map(|id| (*id).to_owned()).collect());
                depends_on.push(Arc::clone(list));
            }
            rows.push(MatrixRow { action, resource, cells, suspended, depends_on });
        }
        Matrix { roles, rows }
    }

    /// The roles whose active members may do each of `actions` on the own account itself.
    #[must_use]
    pub fn roles_allowed(&self, actions: &[&str]) -> Vec<RoleId> {
        let Some(account) = self.names.get(self.names.account) else { return Vec::new() };
        self.roles()
            .iter()
            .map(|card| &card.id)
            .filter(|role| {
                actions
                    .iter()
                    .all(|action| self.cell(role, action, &account.snake) == Cell::Allowed)
            })
            .cloned()
            .collect()
    }

    /// The actions that a role is allowed on some type in the own account.
    #[must_use]
    pub fn actions_of(&self, role: &RoleId) -> Vec<String> {
        let allowed = self
            .asked()
            .into_iter()
            .filter(|(action, resource)| self.cell(role, action, resource) == Cell::Allowed);
        let names: BTreeSet<String> = allowed.map(|(action, _)| action).collect();
        names.into_iter().collect()
    }

    /// Every action that members may ask on some type, sorted.
    #[must_use]
    pub fn actions(&self) -> Vec<String> {
        let names: BTreeSet<String> = self.asked().into_iter().map(|(action, _)| action).collect();
        names.into_iter().collect()
    }

    /// Every action with every type of resource on which members may do it.
    pub(super) fn asked(&self) -> Vec<(String, String)> {
        let mut asked = Vec::new();
        for (action, info) in self.names.actions.iter().enumerate() {
            for (kind, resource) in self.names.types.iter().enumerate() {
                if self.slices.env(self.names.user, action, kind).is_some() {
                    asked.push((info.uid.id().unescaped().to_owned(), resource.snake.clone()));
                }
            }
        }
        asked.sort();
        asked
    }

    fn cell(&self, role: &RoleId, action: &str, resource: &str) -> Cell {
        let [shown, ..] = SITUATIONS;
        self.depending(role, action, resource).cell(self.certain(role, action, resource, shown))
    }

    /// The environment of a cell, with its action and type; `None` if this set does not have the
    /// role, the action or the type.
    fn env_of(
        &self,
        role: &RoleId,
        action: &str,
        resource: &str,
    ) -> Option<(&Environment, usize, usize)> {
        let (action, kind) = (self.names.action_index(action)?, self.names.type_index(resource)?);
        let env = self.slices.env(self.names.user, action, kind)?;
        self.has_role(role).then_some((env, action, kind))
    }

    /// The policies of a cell that are not determined, whatever the situation.
    fn depending(&self, role: &RoleId, action: &str, resource: &str) -> UndeterminedPolicies<'_> {
        let role_uid = self.names.uid(self.names.role, role.as_str());
        let (Some((env, ..)), Some(role_uid)) = (self.env_of(role, action, resource), role_uid)
        else {
            return UndeterminedPolicies::default();
        };
        let lineage = self.stored.lineage(role_uid);
        let policies = env.all.iter().filter_map(|&at| self.policies.get(at));
        let concerning = policies.filter(|(_, scope)| self.concerns(scope, &lineage));
        self.depending_of(concerning.map(|(policy, _)| policy))
    }

    /// Those of these policies that are not determined.
    pub(super) fn depending_of<'s>(
        &self,
        policies: impl Iterator<Item = &'s Policy>,
    ) -> UndeterminedPolicies<'s> {
        let mut depending = UndeterminedPolicies::default();
        for policy in policies.filter(|policy| !self.is_determined(policy.id())) {
            let found = match policy.effect() {
                Effect::Permit => &mut depending.permits,
                Effect::Forbid => &mut depending.forbids,
            };
            found.insert(policy.id().as_ref());
        }
        depending
    }

    /// The accounts of the synthetic member and of another one; from the list of the schema, if it
    /// has one.
    fn accounts(&self) -> (&str, &str) {
        let listed = self.names.get(self.names.account).and_then(|info| info.ids.as_deref());
        let at = |at: usize| listed.and_then(|ids| ids.get(at)).map(String::as_str);
        (at(0).unwrap_or("matrix-own"), at(1).unwrap_or("matrix-other"))
    }

    /// The query of one cell in one situation; `None` if this set does not have the action or the
    /// type.
    pub(super) fn example(
        &self,
        role: &RoleId,
        action: &str,
        resource: &str,
        situation: MatrixScenario,
    ) -> Option<ExampleQuery> {
        let info = self.names.actions.get(self.names.action_index(action)?)?;
        let kind = self.names.type_index(resource)?;
        let (own, other) = self.accounts();
        let account = match situation.place {
            ResourceLocation::Own => Some(own),
            ResourceLocation::Other => Some(other),
            ResourceLocation::Nowhere => None,
        };
        let listed = self.names.get(kind).and_then(|kind| kind.ids.as_ref()?.first());
        let listed = listed.map(String::as_str);
        let id = match account {
            Some(account) if kind == self.names.account => account,
            _ => listed.unwrap_or("matrix-resource"),
        };
        let mut properties = defaults(self.names.shape(kind), |name| name == "account");
        if let Some(account) = account {
            let account = Value::String(Cow::Owned(account.to_owned()));
            properties.push((Cow::Borrowed("account"), account));
        }
        Some(ExampleQuery {
            member: "matrix-member".to_owned(),
            member_account: own.to_owned(),
            role: role.clone(),
            active: situation.active,
            subject_properties: defaults(self.names.shape(self.names.user), is_supplied),
            action: action.to_owned(),
            resource_type: resource.to_owned(),
            resource: id.to_owned(),
            properties,
            context: defaults(&info.context, |_| false),
        })
    }

    /// The result of the determined policies of one cell in one situation. What this set does not
    /// have is neither permitted nor forbidden.
    pub(super) fn certain(
        &self,
        role: &RoleId,
        action: &str,
        resource: &str,
        situation: MatrixScenario,
    ) -> CertainVerdict {
        self.certain_with_reasons(role, action, resource, situation).0
    }

    /// The same, with the policies that decide it.
    pub(super) fn certain_with_reasons(
        &self,
        role: &RoleId,
        action: &str,
        resource: &str,
        situation: MatrixScenario,
    ) -> (CertainVerdict, BTreeSet<PolicyId>) {
        let silent = (CertainVerdict::Silent, BTreeSet::new());
        let Some((env, action_at, kind)) = self.env_of(role, action, resource) else {
            return silent;
        };
        let example = self.example(role, action, resource, situation);
        let (Some(info), Some(example)) = (self.names.actions.get(action_at), example) else {
            return silent;
        };
        let query = example.query();
        let case = ResolvedQuery {
            principal: Principal::Member(example.view()),
            query: &query,
            action: info,
            resource_type: kind,
            default_account: None,
            moved_to: None,
        };
        let gatherer = EntityBuilder {
            names: &self.names,
            stored: &self.stored,
            members: &NoMembers,
            attributes: BuiltAttributes::Read,
        };
        // A resource that cannot exist in this situation (for example because its account is
        // required) is a deny there.
        let Ok(gathered) = gatherer.gather(&case) else {
            return (CertainVerdict::Forbidden, BTreeSet::new());
        };
        let keys = SliceKeys {
            role: Some(role.as_str()),
            role_lineage: &gathered.role_lineage,
            principal: &gathered.principal_lineage,
            resource: &gathered.resource_lineage,
        };
        let mut determined = PolicySet::new();
        env.each(&keys, |bucket| {
            for policy in bucket.all.policies().filter(|policy| self.is_determined(policy.id())) {
                let _ = determined.add(policy.clone());
            }
        });
        let evaluation = Evaluation {
            forbids: &self.forbids,
            request: &gathered.request,
            entities: &gathered.entities,
        };
        let verdict = evaluation.whole(&determined);
        let forbidden =
            verdict.forbid_erred || verdict.reasons.iter().any(|id| self.forbids.contains(id));
        let certain = match (verdict.allowed, forbidden) {
            (_, true) => CertainVerdict::Forbidden,
            (true, _) => CertainVerdict::Permitted,
            (false, _) => CertainVerdict::Silent,
        };
        (certain, verdict.reasons)
    }

    fn is_determined(&self, id: &PolicyId) -> bool {
        let text: &str = id.as_ref();
        self.meta.get(text).is_some_and(|meta| meta.determined)
    }

    /// False if the scope names another role.
    fn concerns(&self, scope: &PolicyScope, role_lineage: &[cedar_policy::EntityUid]) -> bool {
        let role_type = self.names.name(self.names.role);
        scope
            .principal
            .key()
            .is_none_or(|uid| Some(uid.type_name()) != role_type || role_lineage.contains(uid))
    }
}

/// The minimal attributes that conform to a shape: all required ones, with values that no
/// determined policy reads; `known` are supplied elsewhere.
fn defaults(shape: &AttributeShape, known: fn(&str) -> bool) -> Record<'static> {
    let mut record = Record::new();
    for attribute in &shape.attributes {
        let name = attribute.name.as_str();
        if attribute.required && !known(name) {
            record.push((Cow::Owned(name.to_owned()), default_of(&attribute.kind)));
        }
    }
    record
}

pub(super) fn default_of(kind: &AttributeType) -> Value<'static> {
    match kind {
        AttributeType::Long => Value::Long(0),
        AttributeType::Bool => Value::Bool(false),
        AttributeType::String => Value::String(Cow::Borrowed("")),
        AttributeType::Set(_) => Value::List(Vec::new()),
        AttributeType::Record(shape) => Value::Record(
            shape
                .attributes
                .iter()
                .filter(|attribute| attribute.required)
                .map(|attribute| (Cow::Owned(attribute.name.clone()), default_of(&attribute.kind)))
                .collect(),
        ),
        AttributeType::Entity(_, ids) => {
            let id = ids.as_ref().and_then(|ids| ids.first()).cloned().unwrap_or_default();
            Value::String(Cow::Owned(id))
        }
        AttributeType::Extension(extension) => Value::String(Cow::Borrowed(match extension {
            Extension::Decimal => "0.0",
            Extension::Ip => "127.0.0.1",
            Extension::DateTime => "1970-01-01",
            Extension::Duration => "0ms",
        })),
    }
}
