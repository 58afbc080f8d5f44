//! Evaluation: which slices of its environment a query needs; Cedar evaluates each, and the results
//! are combined here.
//!
//! Fails closed: a `forbid` that cannot be evaluated denies, whereas Cedar alone would skip it.
//! Resolves no names, builds no entities.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use cedar_policy::{
    AuthorizationError, Authorizer, Decision as CedarDecision, Effect, Entities, EntityUid,
    EvalResult, EvaluationError, PolicyId, PolicySet, Request, Response, eval_expression,
};

use super::attribute_types::shown_within_quotes;
use super::compiled_condition_inputs::Stop;
use super::decision_cache::DecisionCache;
use super::left_to_cedar::CedarOperand;

/// Policies that are evaluated together.
#[derive(Debug)]
pub(super) struct PolicyBucket {
    /// All of them.
    pub(super) all: PolicySet,
    /// Those that are compiled, by their number in the set.
    pub(super) compiled: Vec<usize>,
    pub(super) uncompiled: UncompiledPolicies,
}

/// Which policies of a bucket are not compiled.
#[derive(Debug)]
pub(super) enum UncompiledPolicies {
    None,
    Some(Box<PolicySet>),
    All,
}

impl PolicyBucket {
    /// The policies that are not compiled, if there are any.
    pub(super) fn rest(&self) -> Option<&PolicySet> {
        match &self.uncompiled {
            UncompiledPolicies::None => None,
            UncompiledPolicies::Some(rest) => Some(rest),
            UncompiledPolicies::All => Some(&self.all),
        }
    }
}

/// One environment: the policies that could apply, by principal and resource.
#[derive(Debug, Default)]
pub(super) struct Environment {
    pub(super) everyone: Option<Arc<PolicyBucket>>,
    /// By role id: the bucket for everyone, merged with those of the role and its groups.
    pub(super) roles: HashMap<String, Arc<PolicyBucket>>,
    /// Whether `roles` was built: false if there are too many policies for everyone.
    pub(super) merged: bool,
    pub(super) by_principal: HashMap<EntityUid, Arc<PolicyBucket>>,
    pub(super) by_resource: HashMap<EntityUid, Arc<PolicyBucket>>,
    /// Whether a member may be in a principal bucket that `roles` does not cover.
    pub(super) beyond_roles: bool,
    /// Indices of all policies that could apply, for the matrix.
    pub(super) all: Vec<usize>,
    /// The decision cache, if only role, account and suspension matter.
    pub(super) cache: Option<DecisionCache>,
}

/// The keys of a query for the slices.
pub(super) struct SliceKeys<'k> {
    /// The member's role, if the principal is a member.
    pub(super) role: Option<&'k str>,
    /// The role and the groups that it is in.
    pub(super) role_lineage: &'k [EntityUid],
    /// The principal and all its other ancestors.
    pub(super) principal: &'k [EntityUid],
    /// The resource and all its ancestors.
    pub(super) resource: &'k [EntityUid],
}

impl Environment {
    /// Which keys of a member's query [`Self::each`] reads beside the role: the lineages of the role, of
    /// the principal and of the resource.
    pub(super) fn sorted_by(&self) -> (bool, bool, bool) {
        let by_role = !self.merged && !self.by_principal.is_empty();
        (by_role, by_role || self.beyond_roles, !self.by_resource.is_empty())
    }

    /// Calls `each` with slices that together contain every policy that could match.
    pub(super) fn each(&self, keys: &SliceKeys<'_>, mut each: impl FnMut(&PolicyBucket)) {
        let role = keys.role.filter(|_| self.merged);
        let merged = role.and_then(|role| self.roles.get(role));
        if let Some(set) = merged.or(self.everyone.as_ref()) {
            each(set);
        }
        let buckets = |of: &HashMap<EntityUid, Arc<PolicyBucket>>,
                       uids: &[EntityUid],
                       each: &mut dyn FnMut(&PolicyBucket)| {
            for set in uids.iter().filter_map(|uid| of.get(uid)) {
                each(set);
            }
        };
        if role.is_none() && !self.by_principal.is_empty() {
            buckets(&self.by_principal, keys.role_lineage, &mut each);
        }
        if role.is_none() || self.beyond_roles {
            buckets(&self.by_principal, keys.principal, &mut each);
        }
        if !self.by_resource.is_empty() {
            buckets(&self.by_resource, keys.resource, &mut each);
        }
    }

    /// The same for any resource.
    pub(super) fn each_of_any_resource(
        &self,
        keys: &SliceKeys<'_>,
        mut each: impl FnMut(&PolicyBucket),
    ) {
        self.each(&SliceKeys { resource: &[], ..*keys }, &mut each);
        self.by_resource.values().for_each(|bucket| each(bucket));
    }
}

/// Cedar's result for a query, over all its slices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Allow or deny; a `forbid` that errs denies.
    pub(super) allowed: bool,
    /// A `forbid` could not be evaluated.
    pub(super) forbid_erred: bool,
    /// The deciding policies, by Cedar's ids.
    pub(super) reasons: BTreeSet<PolicyId>,
    /// The policies that could not be evaluated.
    pub(super) erred: BTreeSet<PolicyId>,
}

/// What policies say to a query, without naming them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// A `permit` matches.
    pub(super) permitted: bool,
    /// A `forbid` matches, or could not be evaluated.
    pub(super) forbidden: bool,
    /// How many could not be evaluated.
    pub(super) erred: usize,
}

impl Outcome {
    /// One more that could not be evaluated.
    pub(super) const fn errs(&mut self, is_forbid: bool) {
        self.erred += 1;
        self.forbidden |= is_forbid;
    }

    /// The same with what other policies say.
    pub(super) const fn and(self, other: Self) -> Self {
        Self {
            permitted: self.permitted || other.permitted,
            forbidden: self.forbidden || other.forbidden,
            erred: self.erred + other.erred,
        }
    }

    pub(super) const fn is_allow(self) -> bool {
        self.permitted && !self.forbidden
    }
}

/// Cedar's result for a query, including what a `forbid` hides.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    /// The `permit`s that match, even if a `forbid` does.
    pub(super) permits: BTreeSet<PolicyId>,
    /// The `forbid`s that match, and those that could not be evaluated, with the error.
    pub(super) blocks: BTreeMap<PolicyId, Option<String>>,
    /// The `permit`s that could not be evaluated, with the error.
    pub(super) failed: BTreeMap<PolicyId, String>,
}

thread_local! {
    // An authorizer has no state, so one is enough.
    static AUTHORIZER: RefCell<Authorizer> = RefCell::new(Authorizer::new());
}

/// Combines the slices of one query.
pub(super) struct Evaluation<'e> {
    pub(super) forbids: &'e HashSet<PolicyId>,
    pub(super) request: &'e Request,
    pub(super) entities: &'e Entities,
}

impl Evaluation<'_> {
    pub(super) fn slices(&self, env: &Environment, keys: &SliceKeys<'_>) -> Verdict {
        let mut parts = SliceResults::default();
        env.each(keys, |bucket| self.add(&bucket.all, &mut parts));
        parts.verdict()
    }

    /// The same of the policies that are not compiled.
    pub(super) fn rest(&self, env: &Environment, keys: &SliceKeys<'_>) -> Outcome {
        let mut parts = SliceResults::default();
        env.each(keys, |bucket| {
            if let Some(rest) = bucket.rest() {
                self.add(rest, &mut parts);
            }
        });
        Outcome {
            permitted: !parts.permits.is_empty(),
            forbidden: !parts.forbids.is_empty() || parts.forbid_erred,
            erred: parts.erred.len(),
        }
    }

    /// Evaluates one whole set, without slices.
    pub(super) fn whole(&self, set: &PolicySet) -> Verdict {
        let mut parts = SliceResults::default();
        self.add(set, &mut parts);
        parts.verdict()
    }

    /// Evaluates the slices of an environment, for an explanation.
    pub(super) fn findings(&self, env: &Environment, keys: &SliceKeys<'_>) -> Findings {
        let mut found = Findings::default();
        env.each(keys, |bucket| self.find(&bucket.all, &mut found));
        found
    }

    fn find(&self, set: &PolicySet, found: &mut Findings) {
        let response = self.authorize(set);
        for error in response.diagnostics().errors() {
            let AuthorizationError::PolicyEvaluationError(error) = error;
            let (id, why) = (error.policy_id().clone(), why(error.inner()));
            if self.forbids.contains(&id) {
                found.blocks.insert(id, Some(why));
            } else {
                found.failed.insert(id, why);
            }
        }
        let reasons = response.diagnostics().reason().cloned();
        if response.decision() == CedarDecision::Allow {
            found.permits.extend(reasons);
            return;
        }
        let before = found.blocks.len();
        found.blocks.extend(reasons.map(|id| (id, None)));
        if found.blocks.len() > before {
            // A `forbid` that matches hides which `permit`s do.
            let permits = set.policies().filter(|policy| policy.effect() == Effect::Permit);
            if let Ok(permits) = PolicySet::from_policies(permits.cloned()) {
                found.permits.extend(self.authorize(&permits).diagnostics().reason().cloned());
            }
        }
    }

    fn authorize(&self, set: &PolicySet) -> Response {
        AUTHORIZER
            .with_borrow(|authorizer| authorizer.is_authorized(self.request, set, self.entities))
    }

    fn add(&self, set: &PolicySet, parts: &mut SliceResults) {
        let response = self.authorize(set);
        let reasons = response.diagnostics().reason().cloned();
        match response.decision() {
            CedarDecision::Allow => parts.permits.extend(reasons),
            CedarDecision::Deny => parts.forbids.extend(reasons),
        }
        for error in response.diagnostics().errors() {
            let AuthorizationError::PolicyEvaluationError(error) = error;
            let id = error.policy_id();
            parts.erred.insert(id.clone());
            parts.forbid_erred |= self.forbids.contains(id);
        }
    }
}

/// Evaluates a part of a condition.
///
/// # Errors
/// [`Stop::Errs`] where the evaluation fails.
pub(super) fn evaluate_operand(
    operand: &CedarOperand,
    request: &Request,
    entities: &Entities,
) -> Result<bool, Stop> {
    match eval_expression(request, entities, &operand.expression) {
        Ok(EvalResult::Bool(flag)) => Ok(flag),
        // Of another type, where Cedar's evaluation of the policy fails, too.
        Ok(_) | Err(_) => Err(Stop::Errs),
    }
}

/// Why a policy could not be evaluated, in Cedar's words.
fn why(error: &EvaluationError) -> String {
    let text = shown_within_quotes(&error.to_string());
    let unknown =
        text.strip_prefix("entity ").and_then(|rest| rest.strip_suffix(" does not exist"));
    match unknown {
        Some(entity) => format!("{entity} is unknown"),
        None => text,
    }
}

/// The results of the slices so far. A slice denies with reasons only if a `forbid` matched, and
/// then it hides only permits that could not have won.
#[derive(Default)]
struct SliceResults {
    permits: BTreeSet<PolicyId>,
    forbids: BTreeSet<PolicyId>,
    erred: BTreeSet<PolicyId>,
    forbid_erred: bool,
}

impl SliceResults {
    fn verdict(self) -> Verdict {
        let permitted = self.forbids.is_empty() && !self.permits.is_empty();
        Verdict {
            allowed: permitted && !self.forbid_erred,
            forbid_erred: self.forbid_erred,
            reasons: if self.forbids.is_empty() { self.permits } else { self.forbids },
            erred: self.erred,
        }
    }
}
