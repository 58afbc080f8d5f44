//! Evaluation: Cedar evaluates each slice, and the results are combined here.
//!
//! Fails closed: a `forbid` that cannot be evaluated denies, whereas Cedar alone would skip it.
//! Resolves no names, builds no entities.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use cedar_policy::{
    AuthorizationError, Authorizer, Decision as CedarDecision, Effect, Entities, EvaluationError,
    PolicyId, PolicySet, Request, Response,
};

use super::attribute_types::shown_within_quotes;
use super::policy_slices::{Environment, SliceKeys};

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
    /// Evaluates the slices of an environment.
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
