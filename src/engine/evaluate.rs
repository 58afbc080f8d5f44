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
    EvaluationError, PolicyId, PolicySet, Request, Response,
};

use super::attribute_types::shown_within_quotes;
use super::decision_cache::DecisionCache;

/// One environment: the policies that could apply, by principal and resource.
#[derive(Debug, Default)]
pub(super) struct Environment {
    pub(super) everyone: Option<Arc<PolicySet>>,
    /// By role id: the bucket for everyone, merged with those of the role and its groups.
    pub(super) roles: HashMap<String, Arc<PolicySet>>,
    /// Whether `roles` was built: false if there are too many policies for everyone.
    pub(super) merged: bool,
    pub(super) by_principal: HashMap<EntityUid, Arc<PolicySet>>,
    pub(super) by_resource: HashMap<EntityUid, Arc<PolicySet>>,
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
    /// Calls `each` with slices that together contain every policy that could match.
    pub(super) fn each(&self, keys: &SliceKeys<'_>, mut each: impl FnMut(&PolicySet)) {
        let role = keys.role.filter(|_| self.merged);
        let merged = role.and_then(|role| self.roles.get(role));
        if let Some(set) = merged.or(self.everyone.as_ref()) {
            each(set);
        }
        let buckets = |of: &HashMap<EntityUid, Arc<PolicySet>>,
                       uids: &[EntityUid],
                       each: &mut dyn FnMut(&PolicySet)| {
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
        env.each(keys, |set| self.add(set, &mut parts));
        parts.verdict()
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
        env.each(keys, |set| self.find(set, &mut found));
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
