//! One decision: resolve names, build entities, evaluate slices.
//!
//! Synchronous and total, and fails closed: any doubt is a deny with a reason. Reads no disk, takes
//! no lock, and writes nothing but an entry of the decision cache. (The first decision over the whole set
//! builds that set.)

use std::collections::BTreeSet;

use cedar_policy::{ActionConstraint, Effect, PolicyId};

use super::attribute_types::BadAttributes;
use super::decision_cache::{self, CacheKey, CacheKeyParts, DecisionCache};
use super::entity_builder::{BuiltAttributes, EntityBuilder, Principal, ResolvedQuery};
use super::evaluate::{Environment, Evaluation, Findings, SliceKeys, Verdict};
use super::policy_scope::PolicyScope;
use super::schema_names::ActionInfo;
use super::{Members, QueryContext, Snapshot};
use crate::domain::{Decision, MemberAccess, Query};

/// Why a query is denied without evaluating policies.
pub(super) enum UnansweredCause {
    /// The subject does not exist, or the session has ended.
    UnknownSubject,
    /// The schema lacks the action or the type of resource, or does not apply the action to it for
    /// this type of principal.
    NoTopic(Option<usize>),
    /// An attribute does not conform to the schema.
    Bad(BadAttributes),
}

impl From<BadAttributes> for UnansweredCause {
    fn from(bad: BadAttributes) -> Self {
        Self::Bad(bad)
    }
}

/// The resolved names of a query.
pub(super) struct ResolvedNames<'e> {
    pub(super) action: &'e ActionInfo,
    pub(super) resource_type: usize,
    pub(super) env: &'e Environment,
}

/// The policies to evaluate.
#[derive(Clone, Copy)]
enum PolicySelection<'e> {
    /// The slices that could apply.
    Slices(&'e Environment),
    /// All policies.
    WholeSet,
}

/// The ways to evaluate a query.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EvaluationPlan {
    /// From the cache, or with the slices.
    Usual,
    /// With the slices, with an explanation.
    Explained,
    /// With Cedar's own authorizer over all policies.
    WholeSet,
    /// The same, with the explanation that it gives.
    WholeSetExplained,
}

impl Snapshot {
    /// Decides one query about the members of `world`.
    pub fn decide<M: Members>(
        &self,
        query: &Query<'_>,
        world: &QueryContext<'_, M>,
        explain: bool,
    ) -> Decision {
        self.answer(
            query,
            world,
            if explain { EvaluationPlan::Explained } else { EvaluationPlan::Usual },
        )
    }

    /// The same with Cedar's own authorizer over the whole set: without cache and slices, at the
    /// cost of the whole set. A `forbid` that errs denies here as well.
    pub fn decide_by_whole_set<M: Members>(
        &self,
        query: &Query<'_>,
        world: &QueryContext<'_, M>,
    ) -> Decision {
        self.answer(query, world, EvaluationPlan::WholeSet)
    }

    /// The same with an explanation: all causes of a deny if the slices deny as well; otherwise
    /// what the whole set says.
    pub fn explain_by_whole_set<M: Members>(
        &self,
        query: &Query<'_>,
        world: &QueryContext<'_, M>,
    ) -> Decision {
        let whole = self.answer(query, world, EvaluationPlan::WholeSetExplained);
        if whole.allowed {
            return whole;
        }
        let usual = self.answer(query, world, EvaluationPlan::Explained);
        if usual.allowed { whole } else { Decision { erred: whole.erred, ..usual } }
    }

    fn answer<M: Members>(
        &self,
        query: &Query<'_>,
        world: &QueryContext<'_, M>,
        how: EvaluationPlan,
    ) -> Decision {
        match self.decide_for_principal(query, world, how) {
            Ok(decision) => decision,
            Err(refusal) => Decision {
                explanation: matches!(
                    how,
                    EvaluationPlan::Explained | EvaluationPlan::WholeSetExplained
                )
                .then(|| self.explain_refusal(&refusal, query, world)),
                ..Decision::default()
            },
        }
    }

    fn decide_for_principal<M: Members>(
        &self,
        query: &Query<'_>,
        world: &QueryContext<'_, M>,
        how: EvaluationPlan,
    ) -> Result<Decision, UnansweredCause> {
        let subject = &query.subject;
        let kind = self.names.type_index(subject.kind);
        // `entities.json` contains no member: the loader refuses one.
        if kind != Some(self.names.user) {
            let uid = kind.and_then(|kind| self.names.uid(kind, subject.id));
            return match uid.as_ref().and_then(|uid| Some((uid, self.stored.get(uid)?))) {
                Some((uid, stored)) => {
                    self.judge(Principal::Stored(uid, stored), query, world, how)
                }
                None => Err(UnansweredCause::UnknownSubject),
            };
        }
        // `access` reads the directory's lock-free index, which may lack a member that exists.
        if how == EvaluationPlan::Usual
            && let Some(Some(allowed)) = world.members.access(subject.id, |access| {
                self.cached_decision(access, query, world.single_account)
            })
        {
            return Ok(Decision { allowed, ..Decision::default() });
        }
        world
            .members
            .with(subject.id, |view| self.judge(Principal::Member(view), query, world, how))
            .unwrap_or(Err(UnansweredCause::UnknownSubject))
    }

    fn judge<M: Members>(
        &self,
        principal: Principal<'_>,
        query: &Query<'_>,
        world: &QueryContext<'_, M>,
        how: EvaluationPlan,
    ) -> Result<Decision, UnansweredCause> {
        let (case, env) = self.resolve_names(principal, query, world)?;
        let entry = match principal {
            Principal::Member(view) if how == EvaluationPlan::Usual => {
                let ResolvedQuery { action, resource_type, .. } = case;
                let names = ResolvedNames { action, resource_type, env };
                self.cache_entry(&names, view.access(), query, world.single_account)
            }
            _ => None,
        };
        if let Some((cache, key)) = entry
            && let Some(allowed) = cache.cached_decision(key)
        {
            return Ok(Decision { allowed, ..Decision::default() });
        }
        // What may be cached is decided by Cedar, once.
        if how == EvaluationPlan::Usual
            && entry.is_none()
            && let Some(outcome) = self.decide_compiled(&case, env, world)
        {
            let outcome = outcome?;
            let erred = u32::try_from(outcome.erred).unwrap_or(u32::MAX);
            return Ok(Decision { allowed: outcome.is_allow(), erred, explanation: None });
        }
        let asked = match how {
            EvaluationPlan::WholeSet | EvaluationPlan::WholeSetExplained => {
                PolicySelection::WholeSet
            }
            EvaluationPlan::Usual | EvaluationPlan::Explained => PolicySelection::Slices(env),
        };
        let verdict = self.ask(&case, asked, world)?;
        if let Some((cache, key)) = entry.filter(|_| verdict.erred.is_empty()) {
            cache.insert(key, verdict.allowed);
        }
        Ok(Decision {
            allowed: verdict.allowed,
            erred: u32::try_from(verdict.erred.len()).unwrap_or(u32::MAX),
            explanation: match how {
                EvaluationPlan::Usual | EvaluationPlan::WholeSet => None,
                EvaluationPlan::Explained => Some(self.explain(&case, env, &verdict, world)),
                EvaluationPlan::WholeSetExplained => Some(self.explain_whole_set(&case, &verdict)),
            },
        })
    }

    /// The cached decision for a query of a member with this state, if there is one.
    fn cached_decision(
        &self,
        access: MemberAccess<'_>,
        query: &Query<'_>,
        default_account: Option<&str>,
    ) -> Option<bool> {
        let names = self.names_of(self.names.user, query)?;
        let (cache, key) = self.cache_entry(&names, access, query, default_account)?;
        cache.cached_decision(key)
    }

    /// The cache and the key of this decision in it, if it may be cached.
    fn cache_entry<'e>(
        &self,
        names: &ResolvedNames<'e>,
        access: MemberAccess<'_>,
        query: &Query<'_>,
        default_account: Option<&str>,
    ) -> Option<(&'e DecisionCache, CacheKey)> {
        let cache = names.env.cache.as_ref()?;
        let parts = CacheKeyParts {
            access,
            role: *self.role_index.get(access.role)?,
            query,
            context: &names.action.context,
            resource: names.resource_type,
            default_account,
        };
        let key = decision_cache::cache_key(self.schema_facts(), &parts)?;
        (!cache.is_left_out(key)).then_some((cache, key))
    }

    /// Whether all members with this state, except those that are stored entities, have the same
    /// decision for a query, whichever of them its subject is.
    #[must_use]
    pub fn is_decided_by_state(
        &self,
        access: MemberAccess<'_>,
        query: &Query<'_>,
        default_account: Option<&str>,
    ) -> bool {
        self.names_of(self.names.user, query)
            .and_then(|names| self.cache_entry(&names, access, query, default_account))
            .is_some()
    }

    /// Whether the decision for this query of a member is cached.
    #[cfg(test)]
    pub(super) fn is_cached<M: Members>(
        &self,
        query: &Query<'_>,
        world: &QueryContext<'_, M>,
    ) -> bool {
        let recalled = world.members.with(query.subject.id, |view| {
            self.cached_decision(view.access(), query, world.single_account)
        });
        recalled.flatten().is_some()
    }

    /// Inverts the cached decision for a query of a member, to test the detection.
    #[cfg(test)]
    pub(crate) fn invert_cached<M: Members>(&self, query: &Query<'_>, world: &QueryContext<'_, M>) {
        world.members.with(query.subject.id, |view| {
            let names = self.names_of(self.names.user, query)?;
            let (cache, key) =
                self.cache_entry(&names, view.access(), query, world.single_account)?;
            cache.insert(key, !cache.cached_decision(key)?);
            Some(())
        });
    }

    /// Resolves the names of a query of such a principal, if the schema has them.
    pub(super) fn names_of(
        &self,
        principal: usize,
        query: &Query<'_>,
    ) -> Option<ResolvedNames<'_>> {
        let action = self.names.action_index(query.action)?;
        let resource_type = self.names.type_index(query.resource.kind)?;
        let env = self.slices.env(principal, action, resource_type)?;
        Some(ResolvedNames { action: self.names.actions.get(action)?, resource_type, env })
    }

    /// Finds the action, the resource's type and the environment.
    pub(super) fn resolve_names<'a, M: Members>(
        &'a self,
        principal: Principal<'a>,
        query: &'a Query<'a>,
        world: &QueryContext<'a, M>,
    ) -> Result<(ResolvedQuery<'a>, &'a Environment), UnansweredCause> {
        let principal_type = match principal {
            Principal::Member(_) => Some(self.names.user),
            Principal::Stored(uid, _) => self.names.index_of(uid.type_name()),
        };
        let names = principal_type.and_then(|kind| self.names_of(kind, query));
        let Some(ResolvedNames { action, resource_type, env }) = names else {
            return Err(UnansweredCause::NoTopic(principal_type));
        };
        let default_account = world.single_account;
        let case = ResolvedQuery {
            principal,
            query,
            action,
            resource_type,
            default_account,
            moved_to: None,
        };
        Ok((case, env))
    }

    /// Evaluates one case with Cedar.
    fn ask<M: Members>(
        &self,
        case: &ResolvedQuery<'_>,
        asked: PolicySelection<'_>,
        world: &QueryContext<'_, M>,
    ) -> Result<Verdict, BadAttributes> {
        self.evaluate(case, world, BuiltAttributes::Read, |evaluation, keys| match asked {
            PolicySelection::Slices(env) => evaluation.slices(env, keys),
            PolicySelection::WholeSet => evaluation.whole(self.whole_set()),
        })
    }

    /// Evaluates one case with Cedar, for an explanation.
    pub(super) fn find<M: Members>(
        &self,
        case: &ResolvedQuery<'_>,
        env: &Environment,
        world: &QueryContext<'_, M>,
    ) -> Result<Findings, BadAttributes> {
        self.evaluate(case, world, BuiltAttributes::Read, |evaluation, keys| {
            evaluation.findings(env, keys)
        })
    }

    /// The `permit`s whose scope matches a case, regardless of their conditions.
    pub(super) fn permits_in_scope<M: Members>(
        &self,
        case: &ResolvedQuery<'_>,
        env: &Environment,
        world: &QueryContext<'_, M>,
    ) -> Result<BTreeSet<PolicyId>, BadAttributes> {
        self.evaluate(case, world, BuiltAttributes::Read, |_, keys| {
            let mut found = BTreeSet::new();
            let principal = [keys.principal, keys.role_lineage].concat();
            env.each(keys, |bucket| {
                let permits =
                    bucket.all.policies().filter(|policy| policy.effect() == Effect::Permit);
                let fitting = permits.filter(|policy| {
                    let PolicyScope { principal: who, resource, .. } = PolicyScope::of(policy);
                    who.matches(&principal)
                        && resource.matches(keys.resource)
                        && match policy.action_constraint() {
                            ActionConstraint::Any => true,
                            ActionConstraint::Eq(uid) => uid == case.action.uid,
                            ActionConstraint::In(uids) => {
                                uids.iter().any(|uid| case.action.lineage.contains(uid))
                            }
                        }
                });
                found.extend(fitting.map(|policy| policy.id().clone()));
            });
            found
        })
    }

    /// Gathers Cedar's input for a case.
    pub(super) fn evaluate<M: Members, T>(
        &self,
        case: &ResolvedQuery<'_>,
        world: &QueryContext<'_, M>,
        attributes: BuiltAttributes,
        judge: impl FnOnce(&Evaluation<'_>, &SliceKeys<'_>) -> T,
    ) -> Result<T, BadAttributes> {
        let gatherer = EntityBuilder {
            names: &self.names,
            stored: &self.stored,
            members: world.members,
            attributes,
        };
        let gathered = gatherer.gather(case)?;
        let evaluation = Evaluation {
            forbids: &self.forbids,
            request: &gathered.request,
            entities: &gathered.entities,
        };
        let role = match case.principal {
            Principal::Member(view) => Some(view.role),
            Principal::Stored(..) => None,
        };
        let keys = SliceKeys {
            role,
            role_lineage: &gathered.role_lineage,
            principal: &gathered.principal_lineage,
            resource: &gathered.resource_lineage,
        };
        Ok(judge(&evaluation, &keys))
    }
}
