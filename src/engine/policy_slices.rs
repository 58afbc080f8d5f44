//! Policy slicing: for each kind of query, an index of the few policies that could apply, built at
//! load.
//!
//! A policy whose scope cannot match neither matches nor errs, so leaving it out changes neither
//! the decision nor its reasons nor its errors. Only scopes are used to leave policies out;
//! conditions are not read.
//!
//! For each environment (type of principal, action, type of resource) every policy that fits it is
//! in exactly one bucket: that of the entity of its principal scope, else that of the entity of its
//! resource scope, else the bucket for everyone. A query uses the buckets of its principal, its
//! resource and their ancestors. For roles, their bucket and the one for everyone are merged at
//! load, so that the usual query is one call of Cedar.

use std::collections::HashMap;
use std::sync::Arc;

use cedar_policy::{EntityUid, Policy, PolicySet, Schema};

use super::compiled_condition::CompiledPolicy;
use super::decision_cache::{self, DecisionCache};
use super::evaluate::{Environment, PolicyBucket, UncompiledPolicies};
use super::left_to_cedar::NotCompiled;
use super::policy_scope::PolicyScope;
use super::schema_conformity::Conformity;
use super::schema_facts::SchemaFacts;
use super::schema_names::Symbols;
use super::static_entities::StaticEntities;

/// Up to this many policies for everyone are merged into each role's slice; with more, the copies
/// would cost more than the second call of Cedar that they save. Few in tests, which so cover both
/// cases.
const MERGED_MAX: usize = if cfg!(test) { 3 } else { 64 };

/// Policies by the action in their scope: in a large set, few apply to one action.
struct PoliciesByAction<'p> {
    any: Vec<usize>,
    named: HashMap<&'p EntityUid, Vec<usize>>,
}

impl<'p> PoliciesByAction<'p> {
    fn new(policies: &'p [(Policy, PolicyScope)]) -> Self {
        let mut sorted = Self { any: Vec::new(), named: HashMap::new() };
        for (index, (_, scope)) in policies.iter().enumerate() {
            match &scope.action {
                None => sorted.any.push(index),
                Some(wanted) => {
                    wanted.iter().for_each(|uid| sorted.named.entry(uid).or_default().push(index));
                }
            }
        }
        sorted
    }

    /// Those whose scope has the action or one of its groups, in order.
    ///
    /// Includes `action == GROUP` for the actions of the group, which it does not match: a
    /// superfluous policy in a slice is harmless, a missing one is not.
    fn fitting(&self, lineage: &[EntityUid]) -> Vec<usize> {
        let named = lineage.iter().filter_map(|uid| self.named.get(uid));
        let mut fitting: Vec<usize> = named.flatten().chain(&self.any).copied().collect();
        fitting.sort_unstable();
        fitting.dedup();
        fitting
    }
}

/// All environments of a schema.
#[derive(Debug)]
pub(super) struct PolicySlices {
    envs: Vec<Environment>,
    /// By type of principal, action and type of resource; `u32::MAX` if the action does not apply.
    at: Vec<u32>,
    actions: usize,
    types: usize,
}

pub(super) struct SliceInputs<'p> {
    pub(super) schema: &'p Schema,
    pub(super) names: &'p Symbols,
    pub(super) stored: &'p StaticEntities,
    pub(super) conformity: &'p Conformity,
    /// For each policy: whether it reads only role, account and suspension.
    pub(super) determined: &'p [bool],
    pub(super) policies: &'p [(Policy, PolicyScope)],
    /// For each policy: its compiled form, if it has one.
    pub(super) compiled: &'p [Result<CompiledPolicy, NotCompiled>],
    /// Every role that a file, an entity or a scope names, with its groups.
    pub(super) roles: &'p [(String, Vec<EntityUid>)],
    /// Whether an account is in a group: then a member has further ancestors.
    pub(super) accounts_in_groups: bool,
}

impl<'p> SliceInputs<'p> {
    const fn schema_facts(&self) -> SchemaFacts<'p> {
        SchemaFacts { names: self.names, stored: self.stored, conformity: self.conformity }
    }
}

impl PolicySlices {
    /// Sorts the policies into buckets.
    ///
    /// # Errors
    /// Where a policy cannot be put into its slice: a slice must never lack one.
    pub(super) fn new(parts: &SliceInputs<'_>) -> Result<Self, String> {
        let SliceInputs { schema, names, policies, .. } = *parts;
        let (types, actions) = (names.types.len(), names.actions.len());
        let mut slices =
            Self { envs: Vec::new(), at: vec![u32::MAX; types * actions * types], actions, types };
        let compiled = parts.compiled;
        let mut sets = BucketPool { policies, compiled, made: HashMap::new() };
        let roles = RolesByGroup::new(parts);
        let by_action = PoliciesByAction::new(policies);
        for env in schema.request_envs() {
            let found = (
                names.index_of(env.principal()),
                names.actions.iter().position(|action| action.uid == *env.action()),
                names.index_of(env.resource()),
            );
            let (Some(principal), Some(action), Some(resource)) = found else { continue };
            let Some(info) = names.actions.get(action) else { continue };
            let mut fitting = by_action.fitting(&info.lineage);
            fitting.retain(|index| {
                policies.get(*index).is_some_and(|(_, scope)| {
                    scope.principal.fits(env.principal()) && scope.resource.fits(env.resource())
                })
            });
            let number = u32::try_from(slices.envs.len()).unwrap_or(u32::MAX);
            let cell = slices.cell(principal, action, resource);
            if let Some(cell) = slices.at.get_mut(cell) {
                *cell = number;
            }
            let cache = decision_cache::is_cacheable(parts.schema_facts(), principal, resource)
                .then(|| roles.decision_cache(parts, &fitting))
                .flatten();
            slices.envs.push(Environment { cache, ..Environment::new(fitting, &mut sets, parts)? });
        }
        Ok(slices)
    }

    fn cell(&self, principal: usize, action: usize, resource: usize) -> usize {
        (principal * self.actions + action) * self.types + resource
    }

    /// The environment, if the action applies to such a principal and resource.
    pub(super) fn env(
        &self,
        principal: usize,
        action: usize,
        resource: usize,
    ) -> Option<&Environment> {
        let number = *self.at.get(self.cell(principal, action, resource))?;
        self.envs.get(usize::try_from(number).ok()?)
    }

    /// The decision caches of all environments that have one.
    pub(super) fn caches(&self) -> impl Iterator<Item = &DecisionCache> {
        self.envs.iter().filter_map(|env| env.cache.as_ref())
    }

    /// The largest number of policies for everyone in any environment, which slicing cannot reduce.
    pub(super) fn everyone_max(&self) -> usize {
        let size =
            |env: &Environment| env.everyone.as_ref().map_or(0, |all| all.all.policies().count());
        self.envs.iter().map(size).max().unwrap_or(0)
    }
}

/// The roles, by themselves and by every group that they are in.
struct RolesByGroup<'p> {
    roles: HashMap<&'p EntityUid, Vec<usize>>,
    /// Roles in something that is no role: it might be a member, or an account.
    unusual: Vec<usize>,
}

impl<'p> RolesByGroup<'p> {
    fn new(parts: &SliceInputs<'p>) -> Self {
        let role_type = parts.names.name(parts.names.role);
        let mut sorted = Self { roles: HashMap::new(), unusual: Vec::new() };
        for (at, (_, lineage)) in parts.roles.iter().enumerate() {
            lineage.iter().for_each(|uid| sorted.roles.entry(uid).or_default().push(at));
            if lineage.iter().any(|uid| Some(uid.type_name()) != role_type) {
                sorted.unusual.push(at);
            }
        }
        sorted
    }

    /// A decision cache for the roles that only determined policies concern; `None` if there are
    /// none.
    fn decision_cache(&self, parts: &SliceInputs<'_>, fitting: &[usize]) -> Option<DecisionCache> {
        let role_type = parts.names.name(parts.names.role);
        let mut cache = DecisionCache::new(parts.roles.len());
        self.unusual.iter().for_each(|role| cache.leave_out(*role));
        for &at in fitting.iter().filter(|&&at| parts.determined.get(at) != Some(&true)) {
            let (_, scope) = parts.policies.get(at)?;
            let group = scope.principal.key().filter(|uid| Some(uid.type_name()) == role_type)?;
            self.roles.get(group)?.iter().for_each(|role| cache.leave_out(*role));
        }
        Some(cache)
    }
}

impl Environment {
    fn new(
        all: Vec<usize>,
        sets: &mut BucketPool<'_>,
        parts: &SliceInputs<'_>,
    ) -> Result<Self, String> {
        let mut everyone = Vec::new();
        let mut by_principal: HashMap<EntityUid, Vec<usize>> = HashMap::new();
        let mut by_resource: HashMap<EntityUid, Vec<usize>> = HashMap::new();
        for &index in &all {
            let Some((_, scope)) = parts.policies.get(index) else { continue };
            match (scope.principal.key(), scope.resource.key()) {
                (Some(uid), _) => by_principal.entry(uid.clone()).or_default().push(index),
                (None, Some(uid)) => by_resource.entry(uid.clone()).or_default().push(index),
                (None, None) => everyone.push(index),
            }
        }
        let merged = everyone.len() <= MERGED_MAX;
        let mut roles = HashMap::new();
        for (role, lineage) in parts.roles.iter().filter(|_| merged) {
            let own: Vec<usize> =
                lineage.iter().filter_map(|uid| by_principal.get(uid)).flatten().copied().collect();
            if !own.is_empty() {
                let both = everyone.iter().copied().chain(own).collect();
                roles.insert(role.clone(), sets.of(both)?);
            }
        }
        let role_type = parts.names.get(parts.names.role).map(|info| &info.name);
        let only_roles = by_principal.keys().all(|uid| Some(uid.type_name()) == role_type);
        Ok(Self {
            beyond_roles: !by_principal.is_empty() && (!only_roles || parts.accounts_in_groups),
            roles,
            merged,
            everyone: if everyone.is_empty() { None } else { Some(sets.of(everyone)?) },
            by_principal: sets.buckets(by_principal)?,
            by_resource: sets.buckets(by_resource)?,
            all,
            cache: None,
        })
    }
}

/// Buckets by the policies in them: environments that need the same share one.
struct BucketPool<'p> {
    policies: &'p [(Policy, PolicyScope)],
    compiled: &'p [Result<CompiledPolicy, NotCompiled>],
    made: HashMap<Vec<usize>, Arc<PolicyBucket>>,
}

impl BucketPool<'_> {
    fn of(&mut self, mut indices: Vec<usize>) -> Result<Arc<PolicyBucket>, String> {
        indices.sort_unstable();
        indices.dedup();
        if let Some(bucket) = self.made.get(&indices) {
            return Ok(Arc::clone(bucket));
        }
        let is_compiled = |index: &usize| matches!(self.compiled.get(*index), Some(Ok(_)));
        let (compiled, rest): (Vec<usize>, Vec<usize>) =
            indices.iter().copied().partition(is_compiled);
        let uncompiled = if rest.is_empty() {
            UncompiledPolicies::None
        } else if compiled.is_empty() {
            UncompiledPolicies::All
        } else {
            UncompiledPolicies::Some(Box::new(self.set(&rest)?))
        };
        let bucket = Arc::new(PolicyBucket { all: self.set(&indices)?, compiled, uncompiled });
        self.made.insert(indices, Arc::clone(&bucket));
        Ok(bucket)
    }

    fn set(&self, indices: &[usize]) -> Result<PolicySet, String> {
        let mut set = PolicySet::new();
        for (policy, _) in indices.iter().filter_map(|&index| self.policies.get(index)) {
            set.add(policy.clone()).map_err(|fault| fault.to_string())?;
        }
        Ok(set)
    }

    fn buckets(
        &mut self,
        of: HashMap<EntityUid, Vec<usize>>,
    ) -> Result<HashMap<EntityUid, Arc<PolicyBucket>>, String> {
        of.into_iter().map(|(uid, indices)| Ok((uid, self.of(indices)?))).collect()
    }
}
