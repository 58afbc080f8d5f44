//! What symbolic analysis finds odd about single policies: one that may fail to be evaluated, and one
//! without effect, since the set allows the same without it.
//!
//! Both are warnings: a set may have its reasons.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Effect, Policy};
use serde::{Deserialize, Serialize};

use super::Snapshot;
use super::counterexample::QueryMaker;
use super::example_query::ExampleQuery;
use super::request_kind::{AnalysedSet, KindPolicies, literals};
use super::solver_protocol::{Proof, Questions, SmtSolver, implies, never_errs};
use crate::domain::{PolicyFiles, worded};

/// Sets with more policies are not looked at: each policy is a question or more.
const POLICIES_MAX: usize = 200;

worded! {
    /// What is odd.
    #[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
    pub enum Oddity {
        /// Some request makes its evaluation fail.
        CanErr = "can_err",
        /// Without it the set allows the same.
        WithoutEffect = "without_effect",
    }
}

/// A policy with something odd.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct PolicyWarning {
    /// The id of the policy.
    pub id: String,
    /// What it is.
    pub oddity: Oddity,
    /// Where it was found, for people; empty if it is so everywhere.
    pub place: String,
    /// A query that shows it, if one is known.
    pub example: Option<ExampleQuery>,
}

impl Snapshot {
    /// The warnings about all policies; the second is false if they could not all be found. `files` are those that
    /// this set was loaded from. May take as long as the solver does.
    pub fn policy_warnings(
        &self,
        files: &PolicyFiles,
        solver: &mut dyn SmtSolver,
    ) -> (Vec<PolicyWarning>, bool) {
        let analysed = AnalysedSet::new(self, files);
        let analysed = analysed.ok().filter(|_| self.policies.len() <= POLICIES_MAX);
        let Some(analysed) = analysed else { return (Vec::new(), false) };
        let mut questions = Questions::to(solver);
        let mut search = WarningSearch {
            analysed: &analysed,
            erring: BTreeMap::new(),
            effective: BTreeSet::new(),
            is_whole: true,
        };
        for kind in analysed.kinds() {
            if let Some(found) = analysed.of(&kind) {
                search.look(&kind.to_string(), &found, &mut questions);
            }
        }
        search.warnings()
    }
}

struct WarningSearch<'a, 's> {
    analysed: &'a AnalysedSet<'s>,
    erring: BTreeMap<String, PolicyWarning>,
    /// The policies with an effect, and those of which it is not known.
    effective: BTreeSet<String>,
    is_whole: bool,
}

impl WarningSearch<'_, '_> {
    fn look(&mut self, place: &str, found: &KindPolicies<'_>, questions: &mut Questions<'_>) {
        let is_open = self.analysed.obstacle(found.policies.iter().copied()).is_none();
        for &policy in &found.policies {
            let id: &str = policy.id().as_ref();
            if !is_open || questions.spent().is_some() {
                self.is_whole = false;
                self.effective.insert(id.to_owned());
                continue;
            }
            if !self.erring.contains_key(id) {
                self.look_for_errors(place, found, policy, questions);
            }
            if !self.effective.contains(id) && self.may_have_effect(found, policy, questions) {
                self.effective.insert(id.to_owned());
            }
        }
    }

    fn look_for_errors(
        &mut self,
        place: &str,
        found: &KindPolicies<'_>,
        policy: &Policy,
        questions: &mut Questions<'_>,
    ) {
        let set = self.analysed.set;
        let compiled = self.analysed.compile_one(&found.env, policy);
        match compiled.map(|compiled| never_errs(questions, &compiled)) {
            Ok(Proof::Proved) => {}
            Ok(Proof::Unknown(_)) | Err(_) => self.is_whole = false,
            Ok(Proof::Refuted(env)) => {
                let named = literals(found.policies.iter().copied());
                let roles = set.roles().iter().map(|card| &card.id).collect();
                let queries = QueryMaker { set, roles, named: &named }.queries(&env);
                let errs = |query: &ExampleQuery| {
                    set.judged(query, |verdict, _| verdict.erred.contains(policy.id()))
                };
                let example = queries.into_iter().find(|query| errs(query) == Some(true));
                let id = policy.id().to_string();
                let (oddity, place) = (Oddity::CanErr, place.to_owned());
                self.erring.insert(id.clone(), PolicyWarning { id, oddity, place, example });
            }
        }
    }

    /// Whether the set without the policy may allow other things.
    fn may_have_effect(
        &mut self,
        found: &KindPolicies<'_>,
        policy: &Policy,
        questions: &mut Questions<'_>,
    ) -> bool {
        let all = &found.policies;
        let others: Vec<&Policy> =
            all.iter().copied().filter(|other| other.id() != policy.id()).collect();
        // A `permit` allows more than there is without it, a `forbid` less.
        let (part, whole) = match policy.effect() {
            Effect::Permit => (all, &others),
            Effect::Forbid => (&others, all),
        };
        let named = literals(all.iter().copied());
        let roles = self.analysed.set.roles().iter().map(|card| &card.id);
        let facts = self.analysed.member_facts(roles, &named);
        let part = self.analysed.compile(&found.env, part.iter().copied().chain(&facts));
        let whole = self.analysed.compile(&found.env, whole.iter().copied());
        let sets = part.and_then(|part| Ok((part, whole?)));
        match sets.map(|(part, whole)| implies(questions, &part, &whole)) {
            Ok(Proof::Proved) => false,
            Ok(Proof::Refuted(_)) => true,
            Ok(Proof::Unknown(_)) | Err(_) => {
                self.is_whole = false;
                true
            }
        }
    }

    fn warnings(self) -> (Vec<PolicyWarning>, bool) {
        let policies = self.analysed.set.policies.iter();
        let idle = policies.map(|(policy, _)| policy.id().to_string());
        let idle = idle.filter(|id| !self.effective.contains(id)).map(|id| PolicyWarning {
            id,
            oddity: Oddity::WithoutEffect,
            place: String::new(),
            example: None,
        });
        (self.erring.into_values().chain(idle.collect::<Vec<_>>()).collect(), self.is_whole)
    }
}
